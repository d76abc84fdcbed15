//! Code for external systems: one folder for each kind, with its source, destination and discovery.
//!
//! Promise: a connector knows `ports`, `vocab` and its own system, and no other connector. Four are the
//! exception: `rest` and `singer` read JSON as files are read, `program` reads all that it gets so, and `adbc` reads
//! its batches as files of columns are. `registry.rs` lists all connectors, one line each. Read next: `registry.rs`, then the folder of a
//! connector.

mod adbc;
mod alerts;
#[cfg(test)]
mod damage;
mod exact;
mod files;
mod http_request;
mod https;
mod mysql;
mod postgres;
mod program;
mod registry;
mod relational;
mod rest;
mod singer;
mod sqlite;
mod stage;

use towpath_vocab::CodeEntry;

pub use adbc::Adbc;
pub use files::{FilesConnector, QueriedFiles, found_no_file, record_value, split_url};
pub use http_request::{HttpRequest, send as send_request};
pub use mysql::Mysql;
pub use postgres::Postgres;
pub use program::Program;
pub use registry::connectors;
pub use rest::Rest;
pub use singer::Singer;
pub use sqlite::Sqlite;

/// The tables of codes: one per connector, and that of all SQL databases.
pub const CODES: &[&[CodeEntry]] = &[
    adbc::CODES,
    alerts::CODES,
    files::CODES,
    http_request::CODES,
    mysql::CODES,
    postgres::CODES,
    program::CODES,
    relational::codes::CODES,
    rest::CODES,
    singer::CODES,
    sqlite::CODES,
];
