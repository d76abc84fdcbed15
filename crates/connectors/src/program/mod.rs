//! Rows from a program: it prints JSON lines, CSV or Arrow on its standard output.
//!
//! Promise: no row is given before the program has ended well, so what a program printed that failed is
//! never loaded. What it prints is read exactly as a file of that format is (`../files`). It does not know
//! what the program does. Read next: `source.rs`, then `run.rs` (the process), `cursor.rs` (incremental
//! reads).

mod codes;
mod connector;
mod cursor;
mod error;
mod records;
mod run;
mod settings;
mod source;
mod spec;

pub(crate) use codes::CODES;
pub use connector::Program;
