//! The `postgres` connector: reads by binary COPY on one snapshot, writes in one transaction, looks
//! around in the catalogue.
//!
//! Promise: values arrive exactly or as rejects, rows that commit late are not lost, a write and its
//! token commit together. Read next, for reading: `source.rs`, `pieces.rs`, `cursor.rs`, `pump.rs`,
//! `decode.rs`; for writing: `destination.rs`, `writer.rs`, `apply.rs`, `task_lock.rs`, `encode.rs`.
//! It knows nothing of pipelines, runs or the other connectors.

mod align;
mod apply;
mod assemble;
mod boundary;
mod candidate;
mod catalog;
mod codes;
mod connector;
mod cursor;
#[cfg(test)]
mod damage_tests;
mod decode;
mod definition;
mod destination;
mod discover;
mod encode;
mod error;
mod literal;
mod members;
mod names;
mod narrow;
mod new_table;
mod numeric;
mod open_transactions;
mod pieces;
mod pump;
mod read_progress;
mod recycled;
mod session;
mod settings;
mod snapshot;
mod source;
mod sql;
mod statements;
mod states;
mod task_lock;
mod text;
mod tls;
mod transactions;
mod types;
mod writer;

pub(crate) use codes::CODES;
pub use connector::Postgres;
