//! Rejected records: which wait, what a replay lets in, and what becomes of each.
//!
//! Promise: a record goes into its table once, never over a newer row of its key, and what happens to it
//! follows from commits alone. The decisions are pure (`decide.rs`, `admission.rs`); the rest asks and
//! writes through ports. It knows no project, no connector and no lock on a pipeline: the caller holds it.
//! Read next: `standing.rs` (what waits), `records.rs` (its records), `replay.rs`, `held_again.rs`.

#![warn(missing_docs)]

use std::sync::Arc;

use towpath_ports::{CommitLog, Destination, Query, Secrets};

mod admission;
mod codes;
mod decide;
mod held_again;
mod list;
mod newer;
mod noting;
mod reader;
mod records;
mod replay;
mod show;
mod standing;

pub use codes::CODES;
pub use held_again::{Again, SetBack, hold, is_replay, records as records_to_hold};
pub use list::{QuarantineLine, discard, list};
pub use noting::set_back;
pub use records::{Owner, Record, need_quarantine};
pub use replay::{ReadAgain, Replay, ReplayReport};
pub use show::{RejectedCell, RejectedRecord, show};
pub use standing::{outdate_uncommitted, outdate_undone};

/// What the quarantine works with.
pub struct QuarantinePorts {
    /// Where the tables and their rejected records are.
    pub lake: Arc<dyn Destination>,
    /// Its older commits.
    pub log: Arc<dyn CommitLog>,
    /// SQL over it.
    pub query: Arc<dyn Query>,
    /// The keys that records of masked columns are sealed with.
    pub secrets: Arc<dyn Secrets>,
}
