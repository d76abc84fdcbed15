//! Rows that were set aside: listed, shown, replayed, given up.
//!
//! Read next: `records.rs` (what waits), `replay.rs` (each record once), `reader.rs` (records as a
//! source), `noting.rs` (what a replay's commit remembers).

pub(crate) mod held_again;
mod list;
mod noting;
mod reader;
mod records;
mod replay;
mod typed;

pub use list::{QuarantineLine, quarantine_discard, quarantine_list, quarantine_query};
pub use replay::{ReplayReport, quarantine_replay};
