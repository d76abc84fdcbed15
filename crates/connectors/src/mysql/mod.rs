//! The `mysql` connector: reads tables, views and queries of MySQL and MariaDB on one snapshot, and looks
//! around in the catalogue. It does not write.
//!
//! Promise: values arrive exactly or as rejects, whatever their type and character set; a broken connection
//! is never the end of a table. Read next: `source.rs`, `cursor.rs`, `pump.rs` for a read; `types.rs` and
//! `cells.rs` for values; `packet.rs`, `login.rs`, `session.rs` for the wire.

mod catalog;
mod cells;
mod codes;
mod connector;
mod cursor;
mod discover;
mod error;
mod literal;
mod login;
mod packet;
mod pump;
mod session;
mod settings;
mod source;
mod subject;
mod types;

pub(crate) use codes::CODES;
pub use connector::Mysql;
