//! How far a table has been read, as a position stores it.
//!
//! Promise: every form that was ever stored is read; one of a newer Towpath or of another cursor is
//! refused. It decides nothing: `cursor.rs`.

use serde::{Deserialize, Serialize};
use towpath_vocab::SplitPosition;

use super::boundary::Boundary;
use super::error::{PgError, Result};
use super::members::Members;
use super::recycled::Recycled;
use super::transactions::Ranges;
use crate::relational::columns::SeenColumn;

/// The form that is stored today.
pub(super) const VERSION: u32 = 4;

/// How far a table has been read. Versions 2 to 4 of its stored form: since 3, numbers that come again are kept
/// in blocks, with the last place of a row; since 4, with the rows that have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadProgress {
    pub(super) version: u32,
    pub(super) column: String,
    /// The largest cursor value, as text; `None` when there was none.
    pub(super) upper: Option<String>,
    /// The oldest transaction still open at the snapshot (64 bits).
    pub(super) horizon: i64,
    /// The transaction after the newest at the snapshot.
    pub(super) next: i64,
    /// Transactions from the horizon on whose rows were read.
    #[serde(default, skip_serializing_if = "Ranges::is_empty")]
    pub(super) seen: Ranges,
    /// False when transactions were not looked at: horizon and seen say nothing.
    pub(super) by_transaction: bool,
    /// The rows at the largest value; `None` when they were too many.
    pub(super) boundary: Option<Boundary>,
    /// The server's system identifier, database and timeline: transaction numbers mean nothing
    /// elsewhere.
    pub(super) server: String,
    /// The tables the rows stood in; `None` where rows carry no transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) members: Option<Members>,
    /// Rows whose transaction numbers come again; `None` where none can, or an older Towpath stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recycled: Option<Recycled>,
    /// The columns there were; empty when an older Towpath stored it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<SeenColumn>,
}

/// The first stored form: single transactions, no boundary, no timeline.
#[derive(Deserialize)]
struct FirstSeen {
    column: String,
    upper: Option<String>,
    horizon: i64,
    next: i64,
    #[serde(default)]
    seen: Vec<u32>,
    server: String,
}

/// The stored progress of a read, refused where it belongs to another cursor.
pub(super) fn read_progress(
    position: &SplitPosition,
    column: &str,
    object: &str,
) -> Result<ReadProgress> {
    let wrong = |reason: String| PgError::Position {
        object: object.to_owned(),
        reason,
    };
    let unknown = |_| wrong("it is not of a form this version knows".to_owned());
    let resume = position.resume.clone();
    let seen = match resume.get("version").and_then(serde_json::Value::as_u64) {
        Some(1) => serde_json::from_value::<FirstSeen>(resume)
            .map_err(unknown)?
            .into(),
        Some(2..=4) | None => serde_json::from_value::<ReadProgress>(resume).map_err(unknown)?,
        Some(other) => {
            return Err(wrong(format!(
                "it has version {other}, this Towpath knows versions 1 to 4"
            )));
        }
    };
    if !seen.column.eq_ignore_ascii_case(column) {
        return Err(wrong(format!(
            "it was read by `{}`, now the cursor is `{column}`",
            seen.column
        )));
    }
    Ok(seen)
}

impl From<FirstSeen> for ReadProgress {
    fn from(first: FirstSeen) -> Self {
        Self {
            version: 1,
            seen: Ranges::of_short(&first.seen, first.horizon),
            by_transaction: true,
            boundary: None,
            members: None,
            recycled: None,
            columns: Vec::new(),
            column: first.column,
            upper: first.upper,
            horizon: first.horizon,
            next: first.next,
            server: first.server,
        }
    }
}
