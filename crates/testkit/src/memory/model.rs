//! What a write does to the columns and rows of a table, in the simplest possible code.
//!
//! Promise: it implements every mode of `MODES` as the docs and the conformance suite describe it, and
//! refuses anything else. It knows neither tokens nor visibility: those are in `memory.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{Field, Schema, SchemaRef};
use towpath_ports::{PreparedStats, Result, WriteRequest, row_as_json};
use towpath_vocab::{Failure, Remedy, SchemaChange, WriteMode};

use super::MemoryDestination;

const DELETE: u8 = 2;

impl MemoryDestination {
    /// The modes in which it can be written.
    pub const MODES: [WriteMode; 5] = [
        WriteMode::Replace,
        WriteMode::Append,
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
    ];
}

/// A table after a write.
pub(super) struct After {
    pub(super) rows: Vec<RecordBatch>,
    /// The new rows in it.
    pub(super) incoming: Vec<RecordBatch>,
    pub(super) stats: PreparedStats,
}

fn wrong(remedy: Remedy, message: String) -> Failure {
    Failure::new("T0005", remedy, message)
}

/// Refuses a write that can never work.
pub(super) fn check(intent: &WriteRequest) -> Result<()> {
    let mode = intent.write.mode;
    if MemoryDestination::MODES.contains(&mode) {
        return Ok(());
    }
    Err(wrong(
        Remedy::Refused,
        format!("memory cannot be written by `{mode:?}`"),
    ))
}

/// The columns a table has after a write.
pub(super) fn columns(held: Option<&SchemaRef>, intent: &WriteRequest) -> Result<SchemaRef> {
    let Some(held) = held.filter(|_| intent.write.mode != WriteMode::Replace) else {
        return Ok(Arc::clone(&intent.schema));
    };
    let mut fields: Vec<Arc<Field>> = held.fields().to_vec();
    for field in intent.schema.fields() {
        match held.field_with_name(field.name()) {
            Ok(there) if there.data_type() == field.data_type() => {}
            Ok(there) => {
                let (name, there, here) = (field.name(), there.data_type(), field.data_type());
                let message =
                    format!("column `{name}` is `{there}` there and `{here}` in the rows");
                return Err(wrong(Remedy::FixData, message));
            }
            Err(_) => match intent.write.schema_change {
                SchemaChange::Evolve | SchemaChange::AddColumns => {
                    fields.push(Arc::clone(field));
                }
                SchemaChange::Ignore => {}
                SchemaChange::Fail => {
                    let message = format!("there is no column `{}`", field.name());
                    return Err(wrong(Remedy::FixData, message));
                }
            },
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn shaped(row: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| match row.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), row.num_rows()),
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|error| wrong(Remedy::FixData, error.to_string()))
}

/// The key of a row as text; refused if a part of it is NULL or missing.
fn key_of(row: &RecordBatch, intent: &WriteRequest) -> Result<Vec<String>> {
    let part = |column: &String| {
        let index = row.schema().index_of(column).ok();
        let index = index.filter(|index| !row.column(*index).is_null(0));
        let index = index.ok_or_else(|| {
            let message = format!("a row of `{}` has no key `{column}`", intent.table);
            wrong(Remedy::FixData, message)
        })?;
        let alone = row.project(&[index]);
        alone
            .map(|alone| row_as_json(&alone, 0))
            .map_err(|error| wrong(Remedy::Bug, error.to_string()))
    };
    intent.write.key.iter().map(part).collect()
}

/// The rows of a table, each with its key.
type Keyed = Vec<(Vec<String>, RecordBatch)>;

fn with_keys(rows: Vec<RecordBatch>, intent: &WriteRequest) -> Result<Keyed> {
    let keyed = |row| Ok((key_of(&row, intent)?, row));
    rows.into_iter().map(keyed).collect()
}

fn refuse_repeated(incoming: &Keyed, intent: &WriteRequest) -> Result<()> {
    let mut seen = BTreeSet::new();
    match incoming.iter().find(|(key, _)| !seen.insert(key)) {
        Some((key, _)) => {
            let (key, table) = (key.join(", "), &intent.table);
            Err(wrong(
                Remedy::FixData,
                format!("key `{key}` comes twice for `{table}`"),
            ))
        }
        None => Ok(()),
    }
}

/// The rows of a table after these rows were written, each with its op.
pub(super) fn after(
    held: &[RecordBatch],
    intent: &WriteRequest,
    schema: &SchemaRef,
    incoming: Vec<(RecordBatch, Option<u8>)>,
) -> Result<After> {
    let held: Vec<RecordBatch> = held
        .iter()
        .filter(|_| intent.write.mode != WriteMode::Replace)
        .map(|row| shaped(row, schema))
        .collect::<Result<_>>()?;
    let ops: Vec<Option<u8>> = incoming.iter().map(|(_, op)| *op).collect();
    let incoming: Vec<RecordBatch> = incoming
        .iter()
        .map(|(row, _)| shaped(row, schema))
        .collect::<Result<_>>()?;
    let mut stats = PreparedStats::default();
    let (rows, incoming) = match intent.write.mode {
        WriteMode::Merge => {
            let incoming = with_keys(incoming, intent)?;
            if ops.iter().all(Option::is_none) {
                refuse_repeated(&incoming, intent)?;
            }
            merged(with_keys(held, intent)?, incoming, &ops, &mut stats)
        }
        WriteMode::DeleteInsert => {
            let (held, incoming) = (with_keys(held, intent)?, with_keys(incoming, intent)?);
            let coming: BTreeSet<_> = incoming.iter().map(|(key, _)| key).collect();
            let kept = held.into_iter().filter(|(key, _)| !coming.contains(key));
            let kept: Vec<RecordBatch> = kept.map(|(_, row)| row).collect();
            let new: Vec<RecordBatch> = incoming.iter().map(|(_, row)| row.clone()).collect();
            (kept.into_iter().chain(new.clone()).collect(), new)
        }
        WriteMode::InsertOnly => {
            let (held, mut incoming) = (with_keys(held, intent)?, with_keys(incoming, intent)?);
            refuse_repeated(&incoming, intent)?;
            let known: BTreeSet<_> = held.iter().map(|(key, _)| key).collect();
            incoming.retain(|(key, _)| !known.contains(key));
            let new: Vec<RecordBatch> = incoming.into_iter().map(|(_, row)| row).collect();
            let held = held.into_iter().map(|(_, row)| row);
            (held.chain(new.clone()).collect::<Vec<_>>(), new)
        }
        _ => (held.into_iter().chain(incoming.clone()).collect(), incoming),
    };
    if intent.write.mode != WriteMode::Merge {
        stats.inserted = incoming.len() as u64;
    }
    stats.rows_after = Some(rows.len() as u64);
    Ok(After {
        rows,
        incoming,
        stats,
    })
}

/// Applies changes in order; for each key the last one counts.
fn merged(
    held: Keyed,
    incoming: Keyed,
    ops: &[Option<u8>],
    stats: &mut PreparedStats,
) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
    let mut last: Vec<(Vec<String>, RecordBatch, Option<u8>)> = Vec::new();
    for ((key, row), op) in incoming.into_iter().zip(ops) {
        last.retain(|(other, _, _)| *other != key);
        last.push((key, row, *op));
    }
    let mut rows = Vec::new();
    for (key, row) in held {
        match last.iter().find(|(other, _, _)| *other == key) {
            None => rows.push(row),
            Some((_, _, Some(DELETE))) => stats.deleted += 1,
            Some(_) => stats.updated += 1,
        }
    }
    last.retain(|(_, _, op)| *op != Some(DELETE));
    let new: Vec<RecordBatch> = last.into_iter().map(|(_, row, _)| row).collect();
    stats.inserted = new.len() as u64 - stats.updated;
    rows.extend(new.iter().cloned());
    (rows, new)
}
