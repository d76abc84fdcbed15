//! Rejected rows: listed, shown, replayed, discarded.
//!
//! Read next: `standing.rs` (what waits), `records.rs` (its records), `replay.rs` (each record once),
//! `newer.rs` (none over a newer row), `reader.rs` (records as a source), `noting.rs` (what a replay's
//! commit remembers).

pub(crate) mod held_again;
mod list;
mod newer;
mod noting;
mod reader;
mod records;
mod replay;
mod show;
mod standing;
mod typed;

pub use list::{QuarantineLine, quarantine_discard, quarantine_list};
pub(crate) use standing::{outdate_uncommitted, outdate_undone};

pub use replay::{ReplayReport, quarantine_replay};
pub use show::{RejectedCell, RejectedRecord, quarantine_show};
