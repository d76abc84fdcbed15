//! Arrow IPC: files with a footer (Feather version 2), and streams that were written into a file.
//!
//! Promise: which of the two a file is, its first bytes say and not its name. A stream without its end, a message
//! that goes beyond the file, and a footer that contradicts its messages are errors. Record batches are decoded
//! one after the other. What a column and its values are, `columnar/` knows. Read next: `messages.rs`, `batches.rs`.

mod batches;
mod lz4;
mod messages;

pub(in crate::files) use batches::{open, summary};
