//! The columns by which a loaded row tells where it comes from: `_loaded_at`, `_run`, `_source`, `_row_hash`.
//!
//! Promise: which of them a table has travels in the options of its write, under a name that no key of a
//! project has, so plans without them are as before. Their fields say in their metadata that they are audit
//! columns, so that comparisons leave them out. It makes no values. Read next: `flow/src/audit_columns.rs`.

use std::collections::HashMap;

use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};

use crate::types::{self, AUDIT};
use crate::{DELETED_AT, WritePlan, row_history};

/// The write option that holds an `AuditColumns`.
const OPTION: &str = "towpath:audit_columns";

/// An audit column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditColumn {
    /// `_loaded_at`: when the load that wrote the row began to write.
    LoadedAt,
    /// `_run`: the run that wrote the row.
    Run,
    /// `_source`: `connection:object`.
    Source,
    /// `_row_hash`: a hash of the other columns.
    RowHash,
    /// `_deleted_at`: NULL in rows that come. `deletes: soft` asks for it.
    DeletedAt,
}

impl AuditColumn {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::LoadedAt,
        Self::Run,
        Self::Source,
        Self::RowHash,
        Self::DeletedAt,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LoadedAt => "_loaded_at",
            Self::Run => "_run",
            Self::Source => "_source",
            Self::RowHash => "_row_hash",
            Self::DeletedAt => DELETED_AT,
        }
    }

    /// The column of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// Its field: times are instants in UTC, the others are text. That a row was deleted is something about
    /// the row, and not left out of comparisons.
    pub fn field(self) -> Field {
        let data_type = match self {
            Self::DeletedAt => return Field::new(self.name(), types::instant(), true),
            Self::LoadedAt => types::instant(),
            Self::Run | Self::Source | Self::RowHash => DataType::Utf8,
        };
        let metadata = HashMap::from([(AUDIT.to_owned(), self.name().to_owned())]);
        Field::new(self.name(), data_type, true).with_metadata(metadata)
    }
}

/// The audit columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditColumns {
    /// Which, in the order of the table.
    pub columns: Vec<AuditColumn>,
    /// What `_source` says.
    pub source: String,
}

impl AuditColumns {
    /// Those of a write; `None` if it has none.
    pub fn of(write: &WritePlan) -> Option<Self> {
        let stored = write.options.get(OPTION)?;
        let names = stored.get("columns").and_then(Value::as_array)?.iter();
        let source = stored.get("source").and_then(Value::as_str);
        Some(Self {
            columns: names
                .filter_map(Value::as_str)
                .filter_map(AuditColumn::of_name)
                .collect(),
            source: source.unwrap_or_default().to_owned(),
        })
    }

    /// Puts them where `flow` finds them.
    pub fn put(&self, write: &mut WritePlan) {
        if self.columns.is_empty() {
            return;
        }
        let names: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        let stored = json!({ "columns": names, "source": self.source });
        write.options.insert(OPTION.to_owned(), stored);
    }

    /// The columns of rows with these behind them.
    pub fn added_to(&self, rows: &Schema) -> Schema {
        let added = self.columns.iter().map(|column| column.field().into());
        let fields: Vec<_> = rows.fields().iter().cloned().chain(added).collect();
        Schema::new_with_metadata(fields, rows.metadata().clone())
    }

    /// Whether one of them has this name, in any case.
    pub fn has(&self, name: &str) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|column| column.name().eq_ignore_ascii_case(name))
    }
}

/// Whether a field is an audit column: it says when and by whom a row was written, not what it is.
pub fn is_audit_field(field: &Field) -> bool {
    field.metadata().get(AUDIT) == Some(field.name())
}

/// Whether a write adds the column itself: a time of history, or an audit column.
pub fn is_written_by_load(write: &WritePlan, name: &str) -> bool {
    row_history::is_added_column(write.mode, name)
        || AuditColumns::of(write).is_some_and(|audit| audit.has(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{SchemaChange, WriteMode};

    #[test]
    fn what_is_put_is_what_is_found() {
        let mut write = WritePlan {
            mode: WriteMode::Scd2,
            key: Vec::new(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        };
        let none = AuditColumns {
            columns: Vec::new(),
            source: "a:b".to_owned(),
        };
        none.put(&mut write);
        assert!(write.options.is_empty());
        let audit = AuditColumns {
            columns: vec![AuditColumn::Run, AuditColumn::LoadedAt],
            ..none
        };
        audit.put(&mut write);
        assert_eq!(AuditColumns::of(&write), Some(audit.clone()));
        assert!(audit.has("_RUN") && !audit.has("_source"));
        assert!(is_written_by_load(&write, "_run") && is_written_by_load(&write, "_valid_to"));
        assert!(!is_written_by_load(&write, "_row_hash"));
        let rows = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        let written = audit.added_to(&rows);
        let names: Vec<&str> = written.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["id", "_run", "_loaded_at"]);
        assert!(is_audit_field(written.field(1)) && !is_audit_field(written.field(0)));
    }
}
