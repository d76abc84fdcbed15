//! Rejected records: which ones wait, which a replay loads, and what happens to each.
//!
//! Promise: a record is loaded once, and never over a newer row with its key; its status follows from
//! commits alone. The decisions are pure (`decide.rs`, `admission.rs`); the other files read and write
//! through ports. It knows no project and no connector, and takes no lock: the caller has locked the
//! pipeline. Read next: `waiting.rs` (which records wait), `records.rs` (their contents), `replay.rs`,
//! `after_restore.rs`.

#![warn(missing_docs)]

use std::sync::Arc;

use towpath_ports::{CommitLog, Destination, Query, Secrets};

mod admission;
mod after_restore;
mod codes;
mod decide;
mod list;
mod newer_rows;
mod reader;
mod records;
mod replay;
mod replay_note;
mod show;
mod waiting;

pub use after_restore::{RestoreEffect, RestoredTask, hold, is_replay, records as records_to_hold};
pub use codes::CODES;
pub use list::{QuarantineLine, ReasonCount, count, discard, list, listed, reasons};
pub use records::{Owner, Record, need_quarantine};
pub use replay::{ReadAgain, Replay, ReplayReport};
pub use replay_note::set_back;
pub use show::{RejectedCell, RejectedRecord, show};
pub use waiting::{outdate_decided, outdate_uncommitted, outdate_undone};

/// The ports that the quarantine uses.
pub struct QuarantinePorts {
    /// Where the tables and their rejected records are.
    pub lake: Arc<dyn Destination>,
    /// Its older commits.
    pub log: Arc<dyn CommitLog>,
    /// Queries on it.
    pub query: Arc<dyn Query>,
    /// The keys with which records of masked columns are encrypted.
    pub secrets: Arc<dyn Secrets>,
}
