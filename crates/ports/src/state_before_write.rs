//! The state of a table on which the plan of a write is based.
//!
//! Promise: a write that is correct only for that state is refused, under the lock of the destination, if
//! others have changed the table since. The rows after the write are computed from this state, not counted,
//! so rows that others wrote in between are noticed the next time. Read next: `destination.rs`.

use serde::{Deserialize, Serialize};
use towpath_vocab::{Failure, Remedy, WriteMode, WritePlan};

use crate::{PreparedStats, Result, TableState};

/// The write option that contains it; it is not a key of project files.
const OPTION: &str = "towpath:state_before_write";

/// The state of a table before a write, on which the plan of the write is based.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBeforeWrite {
    /// The state; `None` if there was no table.
    pub table: Option<TableState>,
    /// True if the write deletes rows because of this state, so the table must still have it under the
    /// lock.
    pub must_hold: bool,
}

impl StateBeforeWrite {
    /// The state on which a write was planned, if there is one.
    ///
    /// # Errors
    /// If the option is not a valid state.
    pub fn of(write: &WritePlan) -> Result<Option<Self>> {
        let Some(value) = write.options.get(OPTION) else {
            return Ok(None);
        };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|error| unreadable(&error))
    }

    /// Adds it to the options of a write, where the destination finds it.
    ///
    /// # Errors
    /// If it cannot be serialised.
    pub fn put(&self, write: &mut WritePlan) -> Result<()> {
        let value = serde_json::to_value(self).map_err(|error| unreadable(&error))?;
        write.options.insert(OPTION.to_owned(), value);
        Ok(())
    }

    /// True if the table under the lock no longer has the state for which a deletion was planned.
    #[must_use]
    pub fn is_overtaken(&self, now: Option<&TableState>) -> bool {
        // The time of the observation is not a property of the table.
        let seen = |table: &TableState| (table.identity.clone(), table.rows, table.newer);
        self.must_hold && self.table.as_ref().map(seen) != now.map(seen)
    }

    /// The rows of the table after the write, if nobody else has written to it meanwhile.
    #[must_use]
    pub fn rows_after(&self, mode: WriteMode, stats: &PreparedStats) -> Option<u64> {
        let before = match &self.table {
            _ if mode == WriteMode::Replace => return Some(stats.inserted),
            None => 0,
            Some(table) => table.rows?,
        };
        Some((before + stats.inserted).saturating_sub(stats.deleted))
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    let message = format!("the stored state of a table before its write cannot be read: {error}");
    Failure::new("R0713", Remedy::Bug, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn state(rows: u64) -> TableState {
        TableState {
            identity: "1".to_owned(),
            rows: Some(rows),
            ..TableState::default()
        }
    }

    #[test]
    fn rows_of_others_do_not_hide_in_what_a_write_leaves() {
        let before = |table| StateBeforeWrite {
            table,
            must_hold: true,
        };
        let stats = PreparedStats {
            inserted: 3,
            deleted: 1,
            ..PreparedStats::default()
        };
        let merge = |table| before(table).rows_after(WriteMode::Merge, &stats);
        assert_eq!(merge(Some(state(5))), Some(7));
        assert_eq!(merge(None), Some(2));
        let replaced = before(Some(state(5))).rows_after(WriteMode::Replace, &stats);
        assert_eq!(replaced, Some(3));
        assert!(before(Some(state(5))).is_overtaken(Some(&state(6))));
        assert!(before(None).is_overtaken(Some(&state(0))));
        assert!(!before(Some(state(5))).is_overtaken(Some(&state(5))));
        assert!(!StateBeforeWrite::default().is_overtaken(Some(&state(5))));
        let later = TableState {
            moment: Some("later".to_owned()),
            ..state(5)
        };
        assert!(!before(Some(state(5))).is_overtaken(Some(&later)));
    }
}
