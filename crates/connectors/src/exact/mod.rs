//! Exact text of values, in both directions: the form that files and SQLite store and that people read.
//!
//! Promise: `read` returns the value that `write` has written; nothing is rounded or guessed. It knows no
//! system and no file format; connectors add quotes and delimiters. Read next: `read.rs`, `write.rs`.

pub(crate) mod local;
pub(crate) mod read;
pub(crate) mod write;
pub(crate) mod xml;
