//! What SQL databases share: algorithms that know neither a wire nor a dialect.
//!
//! Promise: a database adds a dialect (`dialect.rs`), a session (`session.rs`) and a type table
//! (`align.rs`, `TableTypes`); commit table, alignment and the write modes are here, once. It names no
//! database. Read next: `session.rs`, `dialect.rs`, then `apply.rs`.

pub(crate) mod align;
pub(crate) mod apply;
pub(crate) mod boundary;
pub(crate) mod candidate;
pub(crate) mod codes;
pub(crate) mod columns;
pub(crate) mod commits;
pub(crate) mod cursor;
pub(crate) mod dialect;
pub(crate) mod fault;
pub(crate) mod modes;
pub(crate) mod names;
pub(crate) mod nested;
pub(crate) mod reader;
pub(crate) mod selection;
pub(crate) mod session;
pub(crate) mod statements;
