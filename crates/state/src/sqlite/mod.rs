//! The state store in one SQLite file: one thread writes, a few connections read.
//!
//! Promise: a write returns when it is durable; a read sees every write that returned before it, and never
//! waits for a write. Several processes may open one file. It does not know what is written. Read next:
//! `writer.rs`, `schema.rs`, `liveness.rs`.

mod file;
pub(crate) mod liveness;
pub(crate) mod schema;
mod statement;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

pub(crate) use file::SqliteFile;
pub(crate) use statement::{execute, rows};
