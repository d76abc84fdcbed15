//! The `mysql` connector against a real MariaDB server that the tests start.
//!
//! Each test has a database of its own on one shared server; tests that kill a server start their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod bounds;
mod commit;
mod ended;
mod evolve;
mod faults;
mod incremental;
mod locks;
mod look;
mod parallel;
mod parallel_faults;
mod proxy;
#[path = "../postgres/reads.rs"]
mod reads;
mod statements;
mod support;
mod values;
mod write;
