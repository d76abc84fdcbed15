//! Notes what a load does to the columns of its table, and gives the declared types to the destination.
//!
//! Promise: every column that is new or no longer comes is in the report; a destination knows which types
//! the project declares, so it may change a column to that type. It stops nothing: the destination refuses
//! what `schema_change` forbids. Read next: `write_table.rs`.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{Checkpoint, Committed, Destination, WriteRequest, Writer};
use towpath_vocab::types::{self, DECLARED, MASKED};
use towpath_vocab::{
    SchemaChange, TableName, TablePlan, TaskKey, WriteMode, WritePlan, written_columns,
};

use crate::Result;

/// A destination wrapper that compares the columns of the table with those that are written.
pub(super) struct ColumnRecorder {
    inner: Arc<dyn Destination>,
    /// The names of columns whose type the project declares.
    declared: Vec<String>,
    notes: Mutex<Vec<String>>,
}

impl ColumnRecorder {
    pub(super) fn new(inner: Arc<dyn Destination>, plan: &TablePlan) -> Self {
        let declared = plan.columns.iter().filter(|c| c.data_type.is_some());
        Self {
            inner,
            declared: declared.map(|column| column.name.clone()).collect(),
            notes: Mutex::default(),
        }
    }

    /// The notes.
    pub(super) fn notes(&self) -> Vec<String> {
        let notes = self.notes.lock();
        notes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A note about columns that become text because the project declares it: the table has values, not the
    /// source's spelling of them.
    fn respelled(&self, before: &Schema, coming: &Schema) -> Option<String> {
        let becomes_text = |field: &&FieldRef| {
            let mut coming = coming.fields().iter();
            let coming = coming.find(|coming| same(coming.name(), field.name()));
            coming.is_some_and(|coming| *coming.data_type() == DataType::Utf8)
                && *field.data_type() != DataType::Utf8
                && self.declared.iter().any(|name| same(name, field.name()))
        };
        let fields: Vec<String> = before
            .fields()
            .iter()
            .filter(becomes_text)
            .map(|field| {
                format!(
                    "`{}` (was {})",
                    field.name(),
                    types::name(field.data_type())
                )
            })
            .collect();
        (!fields.is_empty()).then(|| format!(
            "columns that are text from now on: {}; rows that were in the table have their values in Towpath's spelling, new rows in that of the source; `--full-refresh` reads all rows again in the source's spelling and replaces the table",
            fields.join(", ")
        ))
    }

    /// The columns, with a note in the metadata of those with a declared type.
    fn with_declared_types(&self, schema: &SchemaRef) -> SchemaRef {
        let fields = schema.fields().iter().map(|field| {
            if !self.declared.contains(field.name()) {
                return Arc::clone(field);
            }
            let mut metadata = field.metadata().clone();
            metadata.insert(DECLARED.to_owned(), String::new());
            Arc::new(field.as_ref().clone().with_metadata(metadata))
        });
        let fields: Vec<_> = fields.collect();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }
}

#[async_trait]
impl Destination for ColumnRecorder {
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>> {
        self.inner.last(task, table).await
    }

    async fn begin(&self, mut intent: WriteRequest) -> Result<Box<dyn Writer>> {
        if intent.write.mode == WriteMode::Replace {
            return self.inner.begin(intent).await;
        }
        let before = self.inner.schema(&intent.table).await?;
        let notes = before.map(|before| {
            let coming = written_columns(intent.write.mode, &intent.schema);
            let mut notes = compared(&before, &coming, &intent.write);
            notes.extend(self.respelled(&before, &coming));
            notes.extend(masked_otherwise(&before, &coming));
            notes
        });
        intent.schema = self.with_declared_types(&intent.schema);
        let writer = self.inner.begin(intent).await?;
        let mut all = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(notes.unwrap_or_default());
        Ok(writer)
    }

    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>> {
        self.inner.schema(table).await
    }

    async fn checkpoint(&self, task: &TaskKey, table: &TableName) -> Result<Option<Checkpoint>> {
        self.inner.checkpoint(task, table).await
    }

    fn days(&self) -> Option<RangeInclusive<i32>> {
        self.inner.days()
    }
}

fn compared(before: &Schema, coming: &Schema, write: &WritePlan) -> Vec<String> {
    let missing = |from: &Schema, of: &Schema| {
        let is_in = |name: &str| from.fields().iter().any(|f| same(f.name(), name));
        let names = of.fields().iter().filter(|field| !is_in(field.name()));
        let names: Vec<String> = names.map(|field| format!("`{}`", field.name())).collect();
        names.join(", ")
    };
    let (new, gone) = (missing(before, coming), missing(coming, before));
    let mut notes = Vec::new();
    if !new.is_empty() {
        notes.push(match (write.schema_change, write.mode) {
            (SchemaChange::Ignore, _) => {
                format!("new columns that `on_schema_change: ignore` leaves out: {new}")
            }
            (_, WriteMode::InsertOnly) => format!(
                "new columns, NULL in all rows that the table had, because `write: insert_only` changes no row: {new}; `--full-refresh` reads all rows again and replaces the table"
            ),
            _ => format!("new columns, NULL in rows that are not read again: {new}"),
        });
    }
    if !gone.is_empty() {
        notes.push(format!(
            "columns that no longer come are NULL in the rows that are read now: {gone}"
        ));
    }
    notes
}

/// A note about columns that are hashed with another key than in the rows of the table. Columns of a key are
/// refused by the lakehouse.
fn masked_otherwise(before: &Schema, coming: &Schema) -> Option<String> {
    let is_otherwise = |field: &&FieldRef| {
        let mut coming = coming.fields().iter();
        let coming = coming.find(|coming| same(coming.name(), field.name()));
        let (before, now) = (
            field.metadata().get(MASKED),
            coming.and_then(|coming| coming.metadata().get(MASKED)),
        );
        before.is_some() && now.is_some() && before != now
    };
    let fields = before.fields().iter().filter(is_otherwise);
    let names: Vec<String> = fields.map(|field| format!("`{}`", field.name())).collect();
    (!names.is_empty()).then(|| format!(
        "masked with another `mask_key` than the rows that were in the table: {}; equal values have different hashes there and in the rows that are read now; `--full-refresh` reads and masks all rows again",
        names.join(", ")
    ))
}

/// Compares names without regard to case, as the lakehouse does.
fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;

    use super::*;

    #[test]
    fn what_is_new_and_what_is_gone_is_noted() {
        let schema = |names: &[&str]| {
            let field = |name: &&str| Field::new(*name, DataType::Utf8, true);
            Schema::new(names.iter().map(field).collect::<Vec<_>>())
        };
        let write = |mode, schema_change| WritePlan {
            mode,
            key: Vec::new(),
            schema_change,
            options: std::collections::BTreeMap::new(),
        };
        let evolve = write(WriteMode::Merge, SchemaChange::Evolve);
        let (before, coming) = (schema(&["Id", "a", "b"]), schema(&["id", "c"]));
        assert_eq!(
            compared(&before, &coming, &evolve),
            [
                "new columns, NULL in rows that are not read again: `c`",
                "columns that no longer come are NULL in the rows that are read now: `a`, `b`"
            ]
        );
        assert!(compared(&before, &before, &evolve).is_empty());
        let ignored = compared(
            &schema(&["id"]),
            &coming,
            &write(WriteMode::Merge, SchemaChange::Ignore),
        );
        assert_eq!(
            ignored,
            ["new columns that `on_schema_change: ignore` leaves out: `c`"]
        );
        let insert_only = write(WriteMode::InsertOnly, SchemaChange::Evolve);
        let kept = compared(&schema(&["id"]), &coming, &insert_only);
        assert!(
            kept[0].contains("`write: insert_only` changes no row: `c`"),
            "{kept:?}"
        );
    }
}
