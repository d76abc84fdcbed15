//! Groups of processes that end with this process, however it ends.
//!
//! Promise: what a program starts ends with it, also when this process is killed. It does not know what a
//! program reads or writes. Users: `orchestrator/src/process.rs` (commands) and
//! `connectors/src/singer/program.rs` (taps and targets). Read next: `tree.rs`.

mod tree;

pub use tree::{Tree, is_left};
