//! The `postgres` connector against a real server that the tests start.
//!
//! Each test has a database of its own on one shared server; tests that kill a server start their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod chars;
mod claims;
mod faults;
mod incremental;
mod look;
mod new_tables;
mod reach;
mod read;
mod reads;
mod recycled;
mod rewritten;
mod statements;
mod states;
mod support;
mod torture;
mod versions;
mod write;
