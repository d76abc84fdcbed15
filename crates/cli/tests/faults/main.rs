//! Bad input and faults, each with the real binary: the exit code, a message that names the location and
//! what to do, no secret in any output, no lost row, and the previous version still visible.
//!
//! `values.rs` has faults in the contents of files, `systems.rs` faults of servers, disks, signals and
//! state, `fault_project.rs` the project in which they happen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod fault_project;
mod systems;
mod values;
