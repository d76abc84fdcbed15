//! Bad input and faults, each through the real binary: the exit code, a message that names the place and
//! the way out, no secret anywhere, nothing lost, and the version of before still there.
//!
//! `values.rs`: what stands in files. `systems.rs`: servers, disks, signals, state. `ground.rs`: the
//! project they happen to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod fault_project;
mod systems;
mod values;
