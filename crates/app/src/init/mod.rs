//! `init`: a project that runs at once, from nothing or from what is already there.
//!
//! Promise: no file is overwritten, and no secret is written. Read next: `start.rs`, then `example_project.rs`
//! (from nothing) and `from.rs` (from a database or a folder of files).

mod example_project;
mod from;
mod start;

pub use start::{InitReport, InitRequest, Variable, init};
