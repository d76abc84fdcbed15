//! Singer taps and targets: programs that print tables as JSON messages, and programs that store them.
//!
//! Promise: a load takes every record that a tap gives, with the text of its values unchanged, or it fails;
//! the tap's own state is committed with the records before it. A tap that does not end well, prints what is
//! no message, or is silent for too long never looks like one that has no more records. What a target has not
//! confirmed does not count as delivered. No program outlives this process. It does not parse records: they are read as the lines of a JSON file are (`../files/objects.rs`).
//!
//! The way of a read: `settings.rs` (what the project says) -> `tap.rs` (catalog and start: `config_file.rs`,
//! `catalog.rs`, `program.rs`) -> `feed.rs` (messages: `message.rs`; columns: `json_schema.rs`,
//! `columns.rs`) -> `source.rs` (events and the position: `position.rs`). That of a write: `target.rs` ->
//! `target_writer.rs` (records: `target_schema.rs`, `target_candidate.rs`; what was delivered:
//! `delivered.rs`).

mod catalog;
mod codes;
mod columns;
mod config_file;
mod connector;
mod delivered;
mod discover;
mod error;
mod feed;
mod json_schema;
mod message;
mod position;
mod program;
mod settings;
mod source;
mod spec;
mod tap;
mod target;
mod target_candidate;
mod target_schema;
mod target_writer;

pub(crate) use codes::CODES;
pub use connector::Singer;
