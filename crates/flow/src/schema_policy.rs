//! Judges the columns of rows by `schema_change`: those of the table stay as they are, where the project says so.
//!
//! Promise: with `freeze` nothing is written; with `discard_value` a value that the table has no place for is
//! left out and counted; with `quarantine_row` its record is rejected whole, with that value. A value that the
//! type of the table holds exactly is written. Without a policy, and for a table that does not exist, nothing
//! is judged here. Lists, structs and types that are stored as text are left to the destination, which
//! refuses to change them. Read next: `vocab/src/schema_policy.rs`, `output.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::nullif::nullif;
use async_trait::async_trait;
use towpath_ports::{Destination, Operator, OperatorOutput, Result, Rows};
use towpath_vocab::types::SOURCE_TYPE;
use towpath_vocab::{
    ChangePolicy, Failure, Reason, Remedy, SchemaPolicy, TablePlan, WriteMode, is_written_by_load,
    types,
};

use crate::ops::NonDeletedRows;
use crate::predicate::kernel;
use crate::projection::{exact_cast, keep_rows, reject, value_text};

/// What was found about the columns of a table; nothing, without a policy.
#[derive(Default)]
pub(crate) struct JudgedColumns {
    guard: Option<ColumnGuard>,
    /// The new columns that are not written; rules and `dedup` still see them.
    left_out: Vec<String>,
    pub(crate) report: ColumnReport,
}

/// How many values of each column were left out, shared with the report.
type DiscardCounts = Arc<Mutex<BTreeMap<String, u64>>>;

impl JudgedColumns {
    /// Adds the operator that keeps rows to the columns of the table; returns the columns behind it.
    pub(crate) fn guard(
        &mut self,
        schema: SchemaRef,
        operators: &mut Vec<Box<dyn Operator>>,
    ) -> SchemaRef {
        let Some(guard) = self.guard.take() else {
            return schema;
        };
        let schema = guard.schema();
        operators.push(Box::new(guard));
        schema
    }

    /// Adds the operator that leaves out new columns; returns the columns behind it.
    pub(crate) fn omit(
        &self,
        schema: SchemaRef,
        operators: &mut Vec<Box<dyn Operator>>,
    ) -> Result<SchemaRef> {
        if self.left_out.is_empty() {
            return Ok(schema);
        }
        let names = schema.fields().iter().map(|field| field.name());
        let kept: Vec<usize> = names
            .enumerate()
            .filter(|(_, name)| !self.left_out.contains(name))
            .map(|(at, _)| at)
            .collect();
        let schema = Arc::new(schema.project(&kept).map_err(kernel)?);
        operators.push(Box::new(Omission {
            kept,
            schema: Arc::clone(&schema),
        }));
        Ok(schema)
    }
}

/// What the report says about columns, when all rows have come.
#[derive(Default)]
pub(crate) struct ColumnReport {
    notes: Vec<String>,
    counts: DiscardCounts,
}

impl ColumnReport {
    /// The notes.
    pub(crate) fn notes(self) -> Vec<String> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let discarded: Vec<String> = counts
            .iter()
            .map(|(column, rows)| match rows {
                1 => format!("`{column}` in 1 row"),
                rows => format!("`{column}` in {rows} rows"),
            })
            .collect();
        let mut notes = self.notes.clone();
        if !discarded.is_empty() {
            notes.push(format!(
                "values that do not fit the type of the table are NULL, because of `schema_change: discard_value`: {}",
                discarded.join(", ")
            ));
        }
        notes
    }
}

/// Compares the columns of rows with those of the table.
///
/// # Errors
/// `FixConfig` if the policy forbids a difference.
pub(crate) async fn judge(
    plan: &TablePlan,
    mode: WriteMode,
    destination: &dyn Destination,
    rows: &SchemaRef,
) -> Result<JudgedColumns> {
    let Some(policy) = SchemaPolicy::of(&plan.write) else {
        return Ok(JudgedColumns::default());
    };
    let Some(table) = destination.schema(&plan.target).await? else {
        return Ok(JudgedColumns::default());
    };
    let new: Vec<usize> = (0..rows.fields().len())
        .filter(|at| find(&table, rows.field(*at).name()).is_none())
        .collect();
    let gone: Vec<&str> = table
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .filter(|name| find(rows, name).is_none() && !is_written_by_load(&plan.write, name))
        .collect();
    let names = |at: &[usize]| -> Vec<String> {
        let names = at.iter().map(|at| rows.field(*at).name().clone());
        names.collect()
    };
    if policy.columns == ChangePolicy::Freeze {
        let is_gone = !SchemaPolicy::allows_absent(&plan.write);
        refuse(plan, &names(&new), if is_gone { &gone } else { &[] })?;
    }
    let is_kept = policy.columns == ChangePolicy::Evolve;
    let left_out = if is_kept { Vec::new() } else { names(&new) };
    let guard = ColumnGuard::new(plan, policy, &table, rows, &new);
    let mut notes = Vec::new();
    notes.extend(note_new(policy.columns, &left_out));
    if mode == WriteMode::Replace && !gone.is_empty() && policy.types != ChangePolicy::Evolve {
        notes.push(format!(
            "columns that the source no longer has are NULL in all rows: `{}`",
            gone.join("`, `")
        ));
    }
    let counts = Arc::clone(&guard.counts);
    Ok(JudgedColumns {
        guard: Some(guard),
        left_out,
        report: ColumnReport { notes, counts },
    })
}

fn note_new(policy: ChangePolicy, new: &[String]) -> Option<String> {
    let names = new.join("`, `");
    match policy {
        _ if new.is_empty() => None,
        ChangePolicy::DiscardValue => Some(format!(
            "new columns that `schema_change: discard_value` leaves out: `{names}`"
        )),
        ChangePolicy::QuarantineRow => Some(format!(
            "new columns that `schema_change: quarantine_row` keeps out of the table: `{names}`; records with a value in them are rejected"
        )),
        ChangePolicy::Evolve | ChangePolicy::Freeze => None,
    }
}

fn refuse(plan: &TablePlan, new: &[String], gone: &[&str]) -> Result<()> {
    let mut changes: Vec<String> = new.iter().map(|name| format!("`{name}` is new")).collect();
    changes.extend(gone.iter().map(|name| format!("`{name}` does not come")));
    if changes.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the columns of `{}` changed, and `schema_change: freeze` forbids it: {}",
        plan.target,
        changes.join(", ")
    );
    Err(Failure::new("R0661", Remedy::FixConfig, message)
        .help("nothing was written. To accept the change: `schema_change: evolve`; to leave new columns out: `keep`, `drop`, or `schema_change: discard_value`")
        .help("or replace the table with what the source has now: towpath run --full-refresh"))
}

/// A note about columns that a replacement changed, because programs that read them may not expect it.
pub(crate) fn columns_changed(before: &SchemaRef, after: &SchemaRef) -> Option<String> {
    let changed = before.fields().iter().filter_map(|old| {
        let Ok(new) = after.field_with_name(old.name()) else {
            return Some(format!("`{}` is gone", old.name()));
        };
        let (was, is) = (types::name(old.data_type()), types::name(new.data_type()));
        (was != is).then(|| format!("`{}` was {was} and is {is}", old.name()))
    });
    let changed: Vec<String> = changed.collect();
    (!changed.is_empty()).then(|| format!("its columns changed: {}", changed.join(", ")))
}

/// The column of this name, without regard to case, as the lakehouse compares names.
fn find<'a>(schema: &'a Schema, name: &str) -> Option<&'a Field> {
    let name = name.to_lowercase();
    let mut fields = schema.fields().iter();
    fields
        .find(|field| field.name().to_lowercase() == name)
        .map(AsRef::as_ref)
}

/// The operator that keeps rows to the columns of the table.
struct ColumnGuard {
    schema: SchemaRef,
    typed: Vec<TypedColumn>,
    /// New columns whose values reject their record.
    rejected: Vec<usize>,
    types: ChangePolicy,
    counts: DiscardCounts,
}

/// A column that comes with another type.
struct TypedColumn {
    at: usize,
    to: DataType,
    is_key: bool,
}

/// Values without a place in the table.
struct Misplaced {
    at: usize,
    given: ArrayRef,
    rows: BooleanBuffer,
    message: String,
}

impl ColumnGuard {
    fn new(
        plan: &TablePlan,
        policy: SchemaPolicy,
        table: &Schema,
        rows: &SchemaRef,
        new: &[usize],
    ) -> Self {
        let by_value = matches!(
            policy.types,
            ChangePolicy::DiscardValue | ChangePolicy::QuarantineRow
        );
        let mut fields: Vec<Arc<Field>> = rows.fields().to_vec();
        let mut typed = Vec::new();
        for (at, field) in fields.iter_mut().enumerate().filter(|_| by_value) {
            let Some(to) = find(table, field.name()).and_then(|held| other_type(plan, held, field))
            else {
                continue;
            };
            let is_key = plan.write.key.contains(field.name());
            *field = Arc::new(Field::clone(field).with_data_type(to.clone()));
            typed.push(TypedColumn { at, to, is_key });
        }
        let rejected = match policy.columns {
            ChangePolicy::QuarantineRow => new.to_vec(),
            _ => Vec::new(),
        };
        Self {
            schema: Arc::new(Schema::new_with_metadata(fields, rows.metadata().clone())),
            typed,
            rejected,
            types: policy.types,
            counts: DiscardCounts::default(),
        }
    }

    /// Converts the columns that have another type. Returns the values that reject their record.
    fn convert(
        &self,
        rows: &Rows,
        present: Option<&NonDeletedRows>,
        columns: &mut [ArrayRef],
    ) -> Result<Vec<Misplaced>> {
        let mut misplaced = Vec::new();
        for TypedColumn { at, to, is_key } in &self.typed {
            let given = Arc::clone(rows.batch.column(*at));
            let (cast, mut broken) = converted(&given, to)?;
            if let Some(present) = present.filter(|_| !*is_key) {
                broken = &broken & present.bits();
            }
            let count = broken.count_set_bits() as u64;
            let slot = columns.get_mut(*at);
            if count == 0 || self.types == ChangePolicy::QuarantineRow || *is_key {
                slot.into_iter().for_each(|slot| *slot = Arc::clone(&cast));
            } else {
                let nulls = BooleanArray::new(broken.clone(), None);
                let left = nullif(&cast, &nulls).map_err(kernel)?;
                slot.into_iter().for_each(|slot| *slot = Arc::clone(&left));
                self.count(*at, count);
                continue;
            }
            if count > 0 {
                let message = format!(
                    "the value does not fit the type of the table, {}",
                    types::name(to)
                );
                misplaced.push(Misplaced {
                    at: *at,
                    given,
                    rows: broken,
                    message,
                });
            }
        }
        Ok(misplaced)
    }

    /// The values in new columns that reject their record.
    fn in_new_columns(&self, rows: &Rows, present: Option<&NonDeletedRows>) -> Vec<Misplaced> {
        let mut misplaced = Vec::new();
        for at in &self.rejected {
            let given = Arc::clone(rows.batch.column(*at));
            let mut held = match given.logical_nulls() {
                None => BooleanBuffer::new_set(given.len()),
                Some(nulls) => nulls.inner().clone(),
            };
            if let Some(present) = present {
                held = &held & present.bits();
            }
            if held.count_set_bits() > 0 {
                misplaced.push(Misplaced {
                    at: *at,
                    given,
                    rows: held,
                    message: "the table has no such column, and its columns are fixed".to_owned(),
                });
            }
        }
        misplaced
    }

    fn count(&self, at: usize, rows: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.schema.field(at).name().clone();
        *counts.entry(name).or_default() += rows;
    }

    fn reason(&self, one: &Misplaced, row: usize) -> Reason {
        Reason {
            code: "schema_change".to_owned(),
            column: Some(self.schema.field(one.at).name().clone()),
            value: Some(value_text(&one.given, row)),
            message: one.message.clone(),
        }
    }
}

#[async_trait]
impl Operator for ColumnGuard {
    fn name(&self) -> &'static str {
        "schema_change"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        if self.typed.is_empty() && self.rejected.is_empty() {
            return Ok(OperatorOutput::of(rows));
        }
        let present = NonDeletedRows::of(&rows);
        let mut columns = rows.batch.columns().to_vec();
        let mut misplaced = self.convert(&rows, present.as_ref(), &mut columns)?;
        misplaced.extend(self.in_new_columns(&rows, present.as_ref()));
        let any = misplaced
            .iter()
            .fold(BooleanBuffer::new_unset(rows.len()), |any, one| {
                &any | &one.rows
            });
        let rejects = any.set_indices().map(|row| {
            let broken = misplaced.iter().filter(|one| one.rows.value(row));
            let reasons = broken.map(|one| self.reason(one, row)).collect();
            reject(&rows, row, reasons)
        });
        let rejects: Vec<_> = rejects.collect();
        let batch = of_columns(&self.schema, columns, rows.len())?;
        let keep = BooleanArray::new(!&any, None);
        let rows = keep_rows(Rows { batch, ..rows }, &keep)?;
        Ok(OperatorOutput {
            rejects,
            ..OperatorOutput::of(rows)
        })
    }
}

/// The operator that leaves out new columns, behind all that may look at them.
struct Omission {
    kept: Vec<usize>,
    schema: SchemaRef,
}

#[async_trait]
impl Operator for Omission {
    fn name(&self) -> &'static str {
        "omission"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let columns = rows.batch.columns();
        let kept = self.kept.iter().filter_map(|at| columns.get(*at));
        let batch = of_columns(&self.schema, kept.cloned().collect(), rows.len())?;
        Ok(OperatorOutput::of(Rows { batch, ..rows }))
    }
}

fn of_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(kernel)
}

/// The type of the table, if it differs from that of the rows in a way that is judged value by value. A type
/// that the project itself chose is not a change of the source.
fn other_type(plan: &TablePlan, held: &Field, field: &Field) -> Option<DataType> {
    let mut named = plan.columns.iter();
    let is_chosen = named.any(|column| {
        column.name == *field.name() && (column.data_type.is_some() || column.mask.is_some())
    });
    let is_text_form = |field: &Field| field.metadata().contains_key(SOURCE_TYPE);
    let (to, from) = (held.data_type(), field.data_type());
    let differs = to != from && kind(to).is_some() && kind(from).is_some();
    (differs && !is_chosen && !is_text_form(held) && !is_text_form(field)).then(|| to.clone())
}

/// Types whose values have one meaning; a value is never taken from one kind to another, except from text,
/// which is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TypeKind {
    Number,
    Boolean,
    Text,
    /// A date or a time on a clock of no zone.
    Local,
    /// A moment.
    Moment,
}

fn kind(data_type: &DataType) -> Option<TypeKind> {
    Some(match data_type {
        DataType::Boolean => TypeKind::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TypeKind::Text,
        DataType::Date32 | DataType::Timestamp(_, None) => TypeKind::Local,
        DataType::Timestamp(_, Some(_)) => TypeKind::Moment,
        number if number.is_numeric() => TypeKind::Number,
        _ => return None,
    })
}

/// The values in another type, and the rows whose value it does not hold.
fn converted(given: &ArrayRef, to: &DataType) -> Result<(ArrayRef, BooleanBuffer)> {
    let (from, into) = (kind(given.data_type()), kind(to));
    if from == into || from == Some(TypeKind::Text) {
        return exact_cast(given, to);
    }
    let held = match given.logical_nulls() {
        None => BooleanBuffer::new_set(given.len()),
        Some(nulls) => nulls.inner().clone(),
    };
    Ok((new_null_array(to, given.len()), held))
}
