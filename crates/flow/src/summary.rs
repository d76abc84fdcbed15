//! The numbers of a transfer, which must balance: read = loaded + filtered + rejected + dropped.
//!
//! Promise: each row that was read is in exactly one of the numbers. `Progress` has the live counters for a
//! display. It prints nothing and decides nothing: limits are in `limits.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use towpath_ports::Receipt;
use towpath_vocab::{CheckResult, Failure, Reject, TableName};

/// The most rejects in the report.
pub(crate) const SAMPLES: usize = 10;

/// Live counters, shared with the display of progress.
#[derive(Debug, Default)]
pub struct Progress {
    rows_read: AtomicU64,
    rows_written: AtomicU64,
    bytes_in_memory: AtomicU64,
}

impl Progress {
    pub(crate) fn read(&self, rows: u64, bytes: u64) {
        self.rows_read.fetch_add(rows, Ordering::Relaxed);
        self.bytes_in_memory.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn written(&self, rows: u64) {
        self.rows_written.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows read so far.
    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// Rows given to writers so far.
    pub fn rows_written(&self) -> u64 {
        self.rows_written.load(Ordering::Relaxed)
    }

    /// Bytes of Arrow data read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_in_memory.load(Ordering::Relaxed)
    }
}

/// How often one rule was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// The column.
    pub column: String,
    /// The rule's code.
    pub code: String,
    /// The rule in words.
    pub message: String,
    /// True when it only warns.
    pub warns: bool,
    /// Rows that broke it.
    pub rows: u64,
    /// The first value that broke it, with its location.
    pub example: Option<String>,
}

/// What happened to one table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutputSummary {
    /// The table.
    pub table: TableName,
    /// Records read, including those that could not become a row.
    pub rows_read: u64,
    /// Rows that `where` removed.
    pub rows_filtered: u64,
    /// Rows that `dedup` removed.
    pub rows_deduplicated: u64,
    /// Rows that were rejected and are in the quarantine.
    pub rows_rejected: u64,
    /// Bad rows dropped because the project says `bad_rows: drop`.
    pub rows_dropped: u64,
    /// Rows written to the destination.
    pub rows_loaded: u64,
    /// The last commit, if there was one.
    pub receipt: Option<Receipt>,
    /// The results of all checks, in order.
    pub checks: Vec<CheckResult>,
    /// Broken rules, by rule.
    pub rules: Vec<RuleCount>,
    /// The first few rejected records.
    pub samples: Vec<Reject>,
    /// Notes of source and destination.
    pub notes: Vec<String>,
    /// Why nothing was committed, if nothing was.
    pub stopped: Option<Failure>,
}

impl OutputSummary {
    /// An empty summary.
    pub fn of(table: TableName) -> Self {
        Self {
            table,
            rows_read: 0,
            rows_filtered: 0,
            rows_deduplicated: 0,
            rows_rejected: 0,
            rows_dropped: 0,
            rows_loaded: 0,
            receipt: None,
            checks: Vec::new(),
            rules: Vec::new(),
            samples: Vec::new(),
            notes: Vec::new(),
            stopped: None,
        }
    }

    /// Adds how often each rule was broken.
    pub(crate) fn add_rules(&mut self, broken: Vec<RuleCount>) {
        for more in broken {
            let is_same = |count: &&mut RuleCount| {
                (&count.column, &count.code, &count.message)
                    == (&more.column, &more.code, &more.message)
            };
            match self.rules.iter_mut().find(is_same) {
                Some(count) => count.rows += more.rows,
                None => self.rules.push(more),
            }
        }
    }

    /// Combines this summary with that of a later commit of the same table: counts are added, the first few
    /// rejects stay, checks are those of the last commit.
    pub(crate) fn then(mut self, later: Self) -> Self {
        self.add_rules(later.rules);
        let room = SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(later.samples.into_iter().take(room));
        for note in later.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Self {
            rules: self.rules,
            samples: self.samples,
            notes: self.notes,
            rows_read: self.rows_read + later.rows_read,
            rows_filtered: self.rows_filtered + later.rows_filtered,
            rows_deduplicated: self.rows_deduplicated + later.rows_deduplicated,
            rows_rejected: self.rows_rejected + later.rows_rejected,
            rows_dropped: self.rows_dropped + later.rows_dropped,
            rows_loaded: self.rows_loaded + later.rows_loaded,
            receipt: later.receipt.or(self.receipt),
            table: later.table,
            checks: later.checks,
            stopped: later.stopped,
        }
    }

    /// True if every record that was read is in one of the counts.
    pub fn balances(&self) -> bool {
        let out = self.rows_loaded
            + self.rows_filtered
            + self.rows_deduplicated
            + self.rows_rejected
            + self.rows_dropped;
        self.rows_read == out
    }
}

/// What a transfer did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TransferSummary {
    /// One entry per table.
    pub outputs: Vec<OutputSummary>,
}
