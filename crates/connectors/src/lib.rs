//! Code for outside systems: one folder per kind, with all its faces.
//!
//! Promise: a connector knows `ports`, `vocab` and its own system; it never reaches another
//! connector, but for `rest`, which reads its pages as files. `registry.rs` lists them, one line each. Read next: `registry.rs`, then a folder.

mod exact;
mod files;
mod postgres;
mod registry;
mod relational;
mod rest;
mod sqlite;

use towpath_vocab::CodeEntry;

pub use files::{FilesConnector, QueriedFiles, record_value};
pub use postgres::Postgres;
pub use registry::connectors;
pub use rest::Rest;
pub use sqlite::Sqlite;

/// The tables of codes: one per connector, and that of all SQL databases.
pub const CODES: &[&[CodeEntry]] = &[
    files::CODES,
    postgres::CODES,
    relational::codes::CODES,
    rest::CODES,
    sqlite::CODES,
];
