//! The columns by which a loaded row tells where it comes from: `_loaded_at`, `_run`, `_source`, `_row_hash`,
//! and its surrogate key.
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
    /// The column with a hash of the key, and in a history of the time of the version (`surrogate_key`).
    pub surrogate_key: Option<String>,
    /// Columns of which the value before is kept (`write: scd3`). NULL in rows that come: the destination fills
    /// them when it merges.
    pub previous: Vec<String>,
}

/// The column with the value before of a column.
pub fn previous_column(column: &str) -> String {
    format!("_previous_{column}")
}

impl AuditColumns {
    /// Those of a write; `None` if it has none.
    pub fn of(write: &WritePlan) -> Option<Self> {
        let stored = write.options.get(OPTION)?;
        let names = stored.get("columns").and_then(Value::as_array)?.iter();
        let text = |key: &str| stored.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            columns: names
                .filter_map(Value::as_str)
                .filter_map(AuditColumn::of_name)
                .collect(),
            source: text("source").unwrap_or_default(),
            surrogate_key: text("surrogate_key"),
            previous: match stored.get("previous") {
                Some(Value::Array(names)) => {
                    let names = names.iter().filter_map(Value::as_str);
                    names.map(str::to_owned).collect()
                }
                _ => Vec::new(),
            },
        })
    }

    /// Puts them where `flow` finds them.
    pub fn put(&self, write: &mut WritePlan) {
        if self.is_empty() {
            return;
        }
        let names: Vec<&str> = self.columns.iter().map(|column| column.name()).collect();
        let mut stored = json!({ "columns": names, "source": self.source });
        if let (Some(name), Value::Object(stored)) = (&self.surrogate_key, &mut stored) {
            stored.insert("surrogate_key".to_owned(), json!(name));
        }
        if let (false, Value::Object(stored)) = (self.previous.is_empty(), &mut stored) {
            stored.insert("previous".to_owned(), json!(self.previous));
        }
        write.options.insert(OPTION.to_owned(), stored);
    }

    /// Whether nothing is added.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.surrogate_key.is_none() && self.previous.is_empty()
    }

    /// The columns of rows with these behind them.
    pub fn added_to(&self, rows: &Schema) -> Schema {
        let added = self.columns.iter().map(|column| column.field().into());
        let surrogate = self.surrogate_key.iter().map(|name| {
            // It follows from the key and from when the version began: no value of the row changes it.
            let metadata = HashMap::from([(AUDIT.to_owned(), name.clone())]);
            let field = Field::new(name, DataType::Utf8, true);
            field.with_metadata(metadata).into()
        });
        let previous = self.previous.iter().filter_map(|column| {
            let mut fields = rows.fields().iter();
            let field = fields.find(|field| field.name().eq_ignore_ascii_case(column))?;
            let before = field
                .as_ref()
                .clone()
                .with_name(previous_column(field.name()));
            Some(before.with_nullable(true).into())
        });
        let fields = rows.fields().iter().cloned();
        let fields = fields.chain(surrogate).chain(previous).chain(added);
        let fields: Vec<_> = fields.collect();
        Schema::new_with_metadata(fields, rows.metadata().clone())
    }

    /// Whether one of them has this name, in any case.
    pub fn has(&self, name: &str) -> bool {
        let mut columns = self.columns.iter();
        let mut surrogate = self.surrogate_key.iter();
        let mut previous = self.previous.iter();
        columns.any(|column| column.name().eq_ignore_ascii_case(name))
            || surrogate.any(|own| own.eq_ignore_ascii_case(name))
            || previous.any(|column| previous_column(column).eq_ignore_ascii_case(name))
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
            surrogate_key: None,
            previous: Vec::new(),
        };
        none.put(&mut write);
        assert!(write.options.is_empty());
        let audit = AuditColumns {
            columns: vec![AuditColumn::Run, AuditColumn::LoadedAt],
            surrogate_key: Some("sk".to_owned()),
            previous: vec!["ID".to_owned()],
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
        assert_eq!(names, ["id", "sk", "_previous_id", "_run", "_loaded_at"]);
        let marked: Vec<bool> = written.fields().iter().map(|f| is_audit_field(f)).collect();
        assert_eq!(marked, [false, true, false, true, true]);
        assert!(audit.has("SK") && audit.has("_previous_id") && !audit.is_empty());
    }
}
