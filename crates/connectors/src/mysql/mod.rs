//! The `mysql` connector: reads tables, views and queries of MySQL and MariaDB on one snapshot, writes tables in
//! one transaction, and looks around in the catalogue.
//!
//! Promise: values arrive exactly or as rejects, whatever their type and character set; a broken connection
//! is never the end of a table; rows are visible with their token or not at all. Read next: `source.rs`,
//! `cursor.rs`, `pieces.rs`, `lanes.rs`, `pump.rs` for a read; `destination.rs`, `writer.rs`, `stage.rs` for a write; `types.rs`, `cells.rs`,
//! `present.rs`, `encode.rs` for values; `packet.rs`, `login.rs`, `session.rs` for the wire.

mod align;
mod candidate;
mod catalog;
mod cells;
mod codes;
mod connector;
mod cursor;
#[cfg(test)]
mod damage_tests;
mod destination;
mod discover;
mod encode;
mod error;
mod evolve;
mod foreign;
mod lanes;
mod literal;
mod login;
mod members;
mod packet;
mod params;
mod pieces;
mod present;
mod pump;
mod ranges;
mod session;
mod settings;
mod source;
mod sql;
mod stage;
mod state;
mod statements;
mod subject;
mod target;
mod task_lock;
mod types;
mod writer;

pub(crate) use codes::CODES;
pub use connector::Mysql;
