//! How a table keeps the history of its rows (`write: scd2` and `write: snapshot`): what such a write is told.
//!
//! Promise: it travels in the options of a write, under a name that no key of a project has, and the columns
//! that it adds have one name and one type everywhere. It does not know how versions are made: see
//! `engine/src/lake/scd2.rs`. Read next: `plan.rs` (`WritePlan`).

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use crate::{WriteMode, WritePlan};

/// The column with the time from which a version is valid.
pub const VALID_FROM: &str = "_valid_from";
/// The column with the time from which it is no longer valid; NULL while it is.
pub const VALID_TO: &str = "_valid_to";
/// The column that is true for the version that is valid now.
pub const IS_CURRENT: &str = "_is_current";

/// The column with the time of the snapshot that a row belongs to.
pub const SNAPSHOT_AT: &str = "_snapshot_at";

/// The write option that holds a `RowHistoryPlan`.
const OPTION: &str = "towpath:history";

/// What a write is told that keeps the history of its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowHistoryPlan {
    /// The column with the time from which a row is valid; `None` means the time of the load.
    pub valid_from: Option<String>,
    /// The columns whose change makes a new version; none means all.
    pub track: Vec<String>,
    /// The rows are all that the source has: current rows whose key does not come are closed.
    pub closes_absent: bool,
    /// The time of the load in microseconds since 1970 UTC, set when it begins to write.
    pub at_us: Option<i64>,
}

impl RowHistoryPlan {
    /// What a write is told; `None` where nothing was.
    pub fn of(write: &WritePlan) -> Option<Self> {
        let stored = write.options.get(OPTION)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            valid_from: stored.get("valid_from").and_then(text),
            track: match stored.get("track") {
                Some(Value::Array(names)) => names.iter().filter_map(text).collect(),
                _ => Vec::new(),
            },
            closes_absent: stored.get("closes_absent") == Some(&Value::Bool(true)),
            at_us: stored.get("at_us").and_then(Value::as_i64),
        })
    }

    /// Puts it where the destination finds it.
    pub fn put(&self, write: &mut WritePlan) {
        let mut stored = json!({ "closes_absent": self.closes_absent });
        if let Value::Object(map) = &mut stored {
            if let Some(column) = &self.valid_from {
                map.insert("valid_from".to_owned(), json!(column));
            }
            if !self.track.is_empty() {
                map.insert("track".to_owned(), json!(self.track));
            }
            if let Some(at_us) = self.at_us {
                map.insert("at_us".to_owned(), json!(at_us));
            }
        }
        write.options.insert(OPTION.to_owned(), stored);
    }

    /// Changes what a write is told; a write without history stays as it is.
    pub fn change(write: &mut WritePlan, change: impl FnOnce(&mut Self)) {
        if let Some(mut history) = Self::of(write) {
            change(&mut history);
            history.put(write);
        }
    }
}

/// The columns that a write in this mode adds.
pub fn added_fields(mode: WriteMode) -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let time = |name: &str| Field::new(name, time.clone(), true);
    match mode {
        WriteMode::Scd2 => vec![
            time(VALID_FROM),
            time(VALID_TO),
            Field::new(IS_CURRENT, DataType::Boolean, true),
        ],
        WriteMode::Snapshot => vec![time(SNAPSHOT_AT)],
        _ => Vec::new(),
    }
}

/// True for a column that a write in this mode adds; names are compared without case.
pub fn is_added_column(mode: WriteMode, name: &str) -> bool {
    let added = added_fields(mode);
    added
        .iter()
        .any(|own| own.name().eq_ignore_ascii_case(name))
}

/// The columns of a table that is written in this mode from rows of these columns.
pub fn written_columns(mode: WriteMode, rows: &SchemaRef) -> SchemaRef {
    let added = added_fields(mode);
    if added.is_empty() {
        return Arc::clone(rows);
    }
    let fields: Vec<_> = rows
        .fields()
        .iter()
        .cloned()
        .chain(added.into_iter().map(Arc::new))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, rows.metadata().clone()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use super::*;
    use crate::SchemaChange;

    #[test]
    fn what_is_put_is_what_is_found() {
        let mut write = WritePlan {
            mode: WriteMode::Scd2,
            key: vec!["id".to_owned()],
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        };
        RowHistoryPlan::change(&mut write, |history| history.closes_absent = true);
        assert_eq!(RowHistoryPlan::of(&write), None);
        for history in [
            RowHistoryPlan::default(),
            RowHistoryPlan {
                valid_from: Some("updated_at".to_owned()),
                track: vec!["a".to_owned(), "b".to_owned()],
                closes_absent: true,
                at_us: Some(-1),
            },
        ] {
            history.put(&mut write);
            assert_eq!(RowHistoryPlan::of(&write), Some(history));
        }
        RowHistoryPlan::change(&mut write, |history| history.closes_absent = false);
        assert!(!RowHistoryPlan::of(&write).unwrap().closes_absent);
    }

    #[test]
    fn its_columns_follow_those_of_the_rows() {
        let rows = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let names = |schema: &Schema| {
            let names = schema.fields().iter().map(|field| field.name().clone());
            names.collect::<Vec<_>>()
        };
        let written = written_columns(WriteMode::Scd2, &rows);
        assert_eq!(names(&written), ["id", VALID_FROM, VALID_TO, IS_CURRENT]);
        assert_eq!(written_columns(WriteMode::Merge, &rows), rows);
        let snapshot = written_columns(WriteMode::Snapshot, &rows);
        assert_eq!(names(&snapshot), ["id", SNAPSHOT_AT]);
        let is_added = |name: &str| is_added_column(WriteMode::Scd2, name);
        assert!(is_added("_Valid_To") && !is_added("valid_to") && !is_added(SNAPSHOT_AT));
    }
}
