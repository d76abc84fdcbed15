//! What a merge does with rows of its table whose key does not come (`deletes: hard` and `soft`).
//!
//! Promise: it is said only of a write that brings all rows of the source, and travels in the options of the
//! write, under a name that no key of a project has. How rows are found is the destination's part
//! (`engine/src/lake/absent.rs`). Read next: `row_history.rs`, which says the same of a history.

use serde_json::{Value, json};

use crate::{RowHistoryPlan, Threshold, WriteMode, WritePlan};

/// The column with the time from which a row is no longer in the source; NULL while it is.
pub const DELETED_AT: &str = "_deleted_at";

/// The write option that holds an `AbsentRows`.
const OPTION: &str = "towpath:deletes";

/// The write option that holds the limit of rows that may be gone.
const LIMIT: &str = "towpath:delete_above";

/// The limit where a table names none.
const MOST_PERCENT: f64 = 50.0;

/// How many of its present rows a write may delete, mark or close because they do not come; `None` if it
/// touches none of them.
pub fn delete_limit(write: &WritePlan) -> Option<Threshold> {
    let closes = RowHistoryPlan::of(write).is_some_and(|history| history.closes_absent);
    if !closes && AbsentRows::of(write).is_none() {
        return None;
    }
    let stored = write.options.get(LIMIT).cloned();
    let stored = stored.and_then(|stored| serde_json::from_value(stored).ok());
    Some(stored.unwrap_or(Threshold {
        rows: None,
        percent: Some(MOST_PERCENT),
    }))
}

/// Puts another limit than the usual one.
pub fn put_delete_limit(limit: Threshold, write: &mut WritePlan) {
    let stored = json!({ "rows": limit.rows, "percent": limit.percent });
    write.options.insert(LIMIT.to_owned(), stored);
}

/// What happens to rows that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentRows {
    /// They are deleted.
    Delete,
    /// They stay, and `DELETED_AT` gets the time of the load.
    Mark {
        /// In microseconds since 1970 UTC, set when the load begins to write.
        at_us: Option<i64>,
    },
}

impl AbsentRows {
    /// What a merge does; `None` if rows that do not come stay as they are.
    pub fn of(write: &WritePlan) -> Option<Self> {
        let stored = write.options.get(OPTION)?;
        let word = stored.get("deletes").and_then(Value::as_str)?;
        match (write.mode, word) {
            (WriteMode::Merge, "hard") => Some(Self::Delete),
            (WriteMode::Merge, "soft") => Some(Self::Mark {
                at_us: stored.get("at_us").and_then(Value::as_i64),
            }),
            _ => None,
        }
    }

    /// Puts it where the destination finds it.
    pub fn put(self, write: &mut WritePlan) {
        let stored = match self {
            Self::Delete => json!({ "deletes": "hard" }),
            Self::Mark { at_us: None } => json!({ "deletes": "soft" }),
            Self::Mark { at_us } => json!({ "deletes": "soft", "at_us": at_us }),
        };
        write.options.insert(OPTION.to_owned(), stored);
    }

    /// Rows that do not come stay as they are: the write brings only some rows.
    pub fn clear(write: &mut WritePlan) {
        write.options.remove(OPTION);
    }

    /// Says when the load began to write.
    pub fn begin(write: &mut WritePlan, now_us: i64) {
        if let Some(Self::Mark { .. }) = Self::of(write) {
            let at_us = Some(now_us);
            Self::Mark { at_us }.put(write);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::SchemaChange;

    #[test]
    fn what_is_put_is_what_is_found() {
        let mut write = WritePlan {
            mode: WriteMode::Merge,
            key: Vec::new(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        };
        assert_eq!(AbsentRows::of(&write), None);
        AbsentRows::Delete.put(&mut write);
        AbsentRows::begin(&mut write, 7);
        assert_eq!(AbsentRows::of(&write), Some(AbsentRows::Delete));
        AbsentRows::Mark { at_us: None }.put(&mut write);
        AbsentRows::begin(&mut write, 7);
        let marks = AbsentRows::Mark { at_us: Some(7) };
        assert_eq!(AbsentRows::of(&write), Some(marks));
        let percent = |write: &WritePlan| delete_limit(write).and_then(|limit| limit.percent);
        assert_eq!(percent(&write), Some(MOST_PERCENT));
        let limit = Threshold {
            rows: Some(7),
            percent: Some(2.5),
        };
        put_delete_limit(limit, &mut write);
        assert_eq!(delete_limit(&write), Some(limit));
        // Of another write it says nothing: `--full-refresh` replaces the table.
        write.mode = WriteMode::Replace;
        assert_eq!(AbsentRows::of(&write), None);
        AbsentRows::clear(&mut write);
        assert_eq!(delete_limit(&write), None);
        write.options.remove(LIMIT);
        assert!(write.options.is_empty());
    }
}
