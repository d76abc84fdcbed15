//! What SQL databases share: algorithms that know neither a wire nor a dialect.
//!
//! Promise: a write (stage, keys, modes, alignment, commit table, candidate) and what an incremental read
//! stores and decides are here, once. A database adds a dialect (`dialect.rs`), a wire (`session.rs`,
//! `reader.rs`, `destination.rs`, `writer.rs`, `candidate.rs`) and a type table (`align.rs`, `TableTypes`). It names no
//! database. Read next: `writer.rs` and `apply.rs` for writing; `reader.rs`, `cursor.rs` and `boundary.rs` for
//! reading; CONTRIBUTING.md ("How to add a connector") for what a new database provides.

pub(crate) mod align;
pub(crate) mod apply;
pub(crate) mod batch;
pub(crate) mod boundary;
pub(crate) mod candidate;
pub(crate) mod codes;
pub(crate) mod columns;
pub(crate) mod commits;
pub(crate) mod cursor;
pub(crate) mod destination;
pub(crate) mod dialect;
pub(crate) mod effects;
pub(crate) mod fault;
pub(crate) mod gather;
pub(crate) mod modes;
pub(crate) mod names;
pub(crate) mod nested;
pub(crate) mod options;
pub(crate) mod random;
pub(crate) mod reader;
pub(crate) mod selection;
pub(crate) mod session;
pub(crate) mod statements;
pub(crate) mod tls;
pub(crate) mod writer;
