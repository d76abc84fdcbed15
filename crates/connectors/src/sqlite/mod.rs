//! The `sqlite` connector: reads on one snapshot, writes in one transaction, looks around.
//!
//! Promise: values arrive exactly or as rejects, although any column may hold any kind of value; a
//! write and its token commit together; a database in use by others is waited for, then retried.
//! Read next, for reading: `source.rs`, `types.rs`, `cursor.rs`, `boundary.rs`, `pump.rs`, `cells.rs`; for writing:
//! `destination.rs`, `writer.rs`, `sql.rs`, `keys.rs`, then `relational/`. It knows no pipeline.

mod align;
mod boundary;
mod candidate;
mod catalog;
mod cells;
mod codes;
mod connector;
mod cursor;
mod destination;
mod discover;
mod error;
mod foreign;
mod keys;
mod names;
mod pump;
mod session;
mod source;
mod sql;
mod stage;
mod state;
mod statements;
mod types;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use codes::CODES;
pub use connector::Sqlite;
