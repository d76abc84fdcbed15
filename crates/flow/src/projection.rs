//! Computes the final columns of rows: `where`, then `from` and `set`, then `mask`, then types.
//!
//! Promise: if a value cannot be converted to its declared type without loss, its row is rejected; nothing
//! is rounded, clamped or set to NULL. It is compiled once per schema and keeps no state between batches.
//! In a change feed, deletes pass with their final key, and a changed row that `where` no longer selects
//! becomes a delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, RecordBatch, RecordBatchOptions,
    Scalar, new_null_array,
};
use arrow_buffer::BooleanBuffer;
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::{filter, filter_record_batch};
use async_trait::async_trait;
use towpath_ports::{
    ExpressionCompiler, Op, OpColumn, Operator, OperatorOutput, Result, RowExpression, Rows,
    value_as_json,
};
use towpath_vocab::{ColumnPlan, Failure, Naming, Reason, Reject, Remedy, TablePlan, types};

use crate::mask::{Masking, mask_word};
use crate::ops::NonDeletedRows;
use crate::predicate::kernel;
use crate::text;

/// The operator that computes the final columns.
pub(crate) struct Projection {
    filter: Option<Arc<dyn RowExpression>>,
    columns: Vec<Column>,
    /// The source columns, with the names that expressions use.
    named: SchemaRef,
    schema: SchemaRef,
}

struct Column {
    name: String,
    /// True for a column of the key; other columns of a delete have no meaning.
    is_key: bool,
    from: From,
    mask: Option<Masking>,
    /// The declared type, if it differs from that of the source.
    cast_to: Option<DataType>,
}

enum From {
    Source(usize),
    Expression(Arc<dyn RowExpression>),
}

impl Projection {
    /// Compiles the column settings of a table plan for the source's columns. `mask` returns the resolved
    /// mask of a column.
    ///
    /// # Errors
    /// `FixConfig` for a column or expression that does not fit the source, or for two columns with one
    /// name.
    pub(crate) fn compile(
        plan: &TablePlan,
        source: &SchemaRef,
        expressions: &dyn ExpressionCompiler,
        mask: &dyn Fn(&str) -> Option<Masking>,
    ) -> Result<Self> {
        let named = named(plan, source);
        let compile =
            |text: &str| -> Result<Arc<dyn RowExpression>> { expressions.compile(text, &named) };
        let filter = plan.filter.as_deref().map(compile).transpose()?;
        let renamed = renamed(plan, source);
        let mut columns = passed_through(plan, source, &renamed);
        for wish in &plan.columns {
            let from = origin(wish, plan.names, source, &compile, &columns)?;
            place(wish, from, &renamed, &mut columns);
        }
        distinct_names(&columns, source)?;
        let mut fields = Vec::with_capacity(columns.len());
        for column in &mut columns {
            column.is_key = plan.write.key.contains(&column.name);
            column.mask = mask(&column.name);
            let wish = plan.columns.iter().find(|wish| wish.name == column.name);
            fields.push(finish(column, wish, source)?);
        }
        let metadata = source.metadata().clone();
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        Ok(Self {
            filter,
            columns,
            named,
            schema,
        })
    }

    /// Applies `where`. In a change feed, a new row that it does not select is removed; a changed row that
    /// it no longer selects becomes a delete, because the target may have its old version.
    fn keep_where(&self, mut rows: Rows) -> Result<Rows> {
        let Some(condition) = &self.filter else {
            return Ok(rows);
        };
        let named = rename(&rows.batch, &self.named)?;
        let wanted = match NonDeletedRows::of(&rows) {
            None => holds(condition.as_ref(), &named)?,
            Some(present) => {
                present.spread_bits(&holds(condition.as_ref(), &present.only(&named)?)?)
            }
        };
        let Some(ops) = &rows.ops else {
            return keep_rows(rows, &BooleanArray::new(wanted, None));
        };
        let is_new = |op: u8| op == Op::Insert as u8;
        let kept = ops.values().iter().zip(&wanted);
        let kept: BooleanBuffer = kept.map(|(op, wanted)| wanted || !is_new(*op)).collect();
        let ops = ops.values().iter().zip(&wanted);
        rows.ops = Some(OpColumn::from_iter_values(ops.map(
            |(op, wanted)| match wanted {
                true => *op,
                false => Op::Delete as u8,
            },
        )));
        keep_rows(rows, &BooleanArray::new(kept, None))
    }

    /// Computes one column, and finds the values that its declared type cannot represent.
    fn column(
        &self,
        column: &Column,
        rows: &Rows,
        named: &RecordBatch,
        present: Option<&NonDeletedRows>,
    ) -> Result<(ArrayRef, Option<Lost>)> {
        let given = match (&column.from, present) {
            (From::Source(index), _) => Arc::clone(rows.batch.column(*index)),
            (From::Expression(expression), Some(present)) if !column.is_key => {
                present.spread_column(&expression.evaluate(&present.only(named)?)?)?
            }
            (From::Expression(expression), _) => expression.evaluate(named)?,
        };
        let given = match &column.mask {
            Some(mask) => mask.apply(&given)?,
            None => given,
        };
        let Some(to) = &column.cast_to else {
            return Ok((given, None));
        };
        let (cast, mut broken) = exact_cast(&given, to)?;
        if let Some(present) = present.filter(|_| !column.is_key) {
            broken = &broken & present.bits();
        }
        let lost = (broken.count_set_bits() > 0).then(|| Lost {
            column: column.name.clone(),
            to: to.clone(),
            given,
            broken,
        });
        Ok((cast, lost))
    }
}

/// The rows for which a condition is true.
fn holds(condition: &dyn RowExpression, batch: &RecordBatch) -> Result<BooleanBuffer> {
    let truth = condition.evaluate(batch)?;
    let truth = truth.as_boolean_opt().ok_or_else(|| {
        Failure::new(
            "R0616",
            Remedy::FixConfig,
            "`where` must give true or false",
        )
    })?;
    Ok(truth_bits(truth))
}

#[async_trait]
impl Operator for Projection {
    fn name(&self) -> &'static str {
        "projection"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let before = rows.len();
        let rows = self.keep_where(rows)?;
        let filtered_rows = (before - rows.len()) as u64;
        let named = rename(&rows.batch, &self.named)?;
        let present = NonDeletedRows::of(&rows);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut lost: Vec<Lost> = Vec::new();
        for column in &self.columns {
            let (array, broken) = self.column(column, &rows, &named, present.as_ref())?;
            arrays.push(array);
            lost.extend(broken);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(kernel)?;
        let rows = Rows { batch, ..rows };
        let output = match lost.is_empty() {
            true => OperatorOutput::of(rows),
            false => reject_lost(rows, &lost)?,
        };
        Ok(OperatorOutput {
            filtered_rows,
            ..output
        })
    }
}

/// Values of one column that their declared type cannot represent.
struct Lost {
    column: String,
    to: DataType,
    given: ArrayRef,
    broken: BooleanBuffer,
}

fn reject_lost(rows: Rows, lost: &[Lost]) -> Result<OperatorOutput> {
    let any = lost
        .iter()
        .fold(BooleanBuffer::new_unset(rows.len()), |any, l| {
            &any | &l.broken
        });
    let mut rejects = Vec::new();
    for row in any.set_indices() {
        let reasons = lost
            .iter()
            .filter(|l| l.broken.value(row))
            .map(|l| reason(l, row))
            .collect();
        rejects.push(reject(&rows, row, reasons));
    }
    let keep = BooleanArray::new(!&any, None);
    Ok(OperatorOutput {
        rejects,
        ..OperatorOutput::of(keep_rows(rows, &keep)?)
    })
}

fn reason(lost: &Lost, row: usize) -> Reason {
    Reason {
        code: "type".to_owned(),
        column: Some(lost.column.clone()),
        value: Some(value_text(&lost.given, row)),
        message: format!("the value does not fit the type {}", types::name(&lost.to)),
    }
}

/// One row as a reject; only now the origin is asked for its location and raw form.
pub(crate) fn reject(rows: &Rows, row: usize, reasons: Vec<Reason>) -> Reject {
    let ordinal = rows.ordinals.value(row);
    Reject {
        table: rows.table.clone(),
        place: rows.origin.place(ordinal),
        raw: rows.origin.raw(ordinal),
        reasons,
    }
}

/// A value as text of at most 200 characters.
pub(crate) fn value_text(column: &ArrayRef, row: usize) -> String {
    let text = match value_as_json(column, row) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Keeps the rows whose bit is set: columns, ordinals and ops.
pub(crate) fn keep_rows(rows: Rows, keep: &BooleanArray) -> Result<Rows> {
    if keep.true_count() == rows.len() {
        return Ok(rows);
    }
    let ops = match &rows.ops {
        Some(ops) => Some(filter(ops, keep).map_err(kernel)?.as_primitive().clone()),
        None => None,
    };
    Ok(Rows {
        batch: filter_record_batch(&rows.batch, keep).map_err(kernel)?,
        ordinals: filter(&rows.ordinals, keep)
            .map_err(kernel)?
            .as_primitive()
            .clone(),
        ops,
        ..rows
    })
}

/// Bits where a boolean is true; NULL is not.
pub(crate) fn truth_bits(truth: &BooleanArray) -> BooleanBuffer {
    match truth.nulls() {
        None => truth.values().clone(),
        Some(nulls) => truth.values() & nulls.inner(),
    }
}

/// Casts without loss, and returns the rows that would lose something (they are NULL in the result).
/// Numbers and times must be unchanged after casting them back; text must parse as the type (`text.rs`).
pub(crate) fn exact_cast(given: &ArrayRef, to: &DataType) -> Result<(ArrayRef, BooleanBuffer)> {
    let rows = given.len();
    if *given.data_type() == DataType::Null {
        return Ok((new_null_array(to, rows), BooleanBuffer::new_unset(rows)));
    }
    let texts = match given.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Some(cast(given, &DataType::Utf8).map_err(kernel)?)
        }
        _ => None,
    };
    let read = texts.and_then(|texts| text::typed(texts.as_string::<i32>(), to));
    let there = read.unwrap_or_else(|| cast(given, to)).map_err(|error| {
        Failure::new(
            "R0617",
            Remedy::FixConfig,
            format!(
                "{} cannot be converted to {}: {error}",
                types::name(given.data_type()),
                types::name(to)
            ),
        )
    })?;
    let was = validity(given);
    let mut broken = &was & &!&validity(&there);
    if is_number_or_time(given.data_type()) && is_number_or_time(to) {
        let back = cast(&there, given.data_type()).map_err(kernel)?;
        let differs = arrow_ord::cmp::distinct(&back, &one_zero(given)?).map_err(kernel)?;
        broken = &broken | &truth_bits(&differs);
    }
    Ok((there, broken))
}

/// `-0.0` becomes `0.0`: they are one number, though not one bit pattern.
fn one_zero(array: &ArrayRef) -> Result<ArrayRef> {
    let zero: ArrayRef = match array.data_type() {
        DataType::Float64 => Arc::new(Float64Array::from(vec![0.0])),
        DataType::Float32 => Arc::new(Float32Array::from(vec![0.0])),
        _ => return Ok(Arc::clone(array)),
    };
    arrow_arith::numeric::add(array, &Scalar::new(zero)).map_err(kernel)
}

fn validity(array: &ArrayRef) -> BooleanBuffer {
    match array.logical_nulls() {
        None => BooleanBuffer::new_set(array.len()),
        Some(nulls) => nulls.inner().clone(),
    }
}

fn is_number_or_time(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_temporal()
}

/// The source's columns, with the names that expressions use.
fn named(plan: &TablePlan, source: &SchemaRef) -> SchemaRef {
    Arc::new(plan.names.schema(source))
}

fn rename(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(kernel)
}

/// The source columns that `from` gives other names.
fn renamed(plan: &TablePlan, source: &SchemaRef) -> BTreeSet<usize> {
    let own_names = source.fields().iter().map(|field| field.name().as_str());
    let wishes = plan.columns.iter().filter(|wish| wish.set.is_none());
    let from: Vec<String> = wishes.filter_map(|wish| wish.from.clone()).collect();
    plan.names.find_all(own_names, &from)
}

/// The source columns that `keep` and `drop` leave, with their new names. One that `from` renames has its
/// former name no more, unless `columns` also has that name.
fn passed_through(plan: &TablePlan, source: &SchemaRef, renamed: &BTreeSet<usize>) -> Vec<Column> {
    let own_names = source.fields().iter().map(|field| field.name().as_str());
    let kept = plan.names.find_all(own_names.clone(), &plan.keep);
    let dropped = plan.names.find_all(own_names, &plan.drop);
    let is_named = |column: &Column| plan.columns.iter().any(|wish| wish.name == column.name);
    let is_moved =
        |column: &Column| matches!(column.from, From::Source(at) if renamed.contains(&at));
    source
        .fields()
        .iter()
        .enumerate()
        .filter(|(index, _)| plan.keep.is_empty() || kept.contains(index))
        .filter(|(index, _)| !dropped.contains(index))
        .map(|(index, field)| Column {
            name: plan.names.apply(field.name()),
            is_key: false,
            from: From::Source(index),
            mask: None,
            cast_to: None,
        })
        .filter(|column| is_named(column) || !is_moved(column))
        .collect()
}

/// Refuses a name in `keep` or `drop` that no source column has: it would leave a column out, or in, by a
/// spelling mistake. `may_be_absent` says which names a later read may still give.
///
/// # Errors
/// `FixConfig` with the columns that there are.
pub fn refuse_unknown_columns(
    plan: &TablePlan,
    source: &SchemaRef,
    may_be_absent: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let own = source.fields().iter().map(|field| field.name().as_str());
    let finder = plan.names.finder(own);
    let is_unknown = |name: &&String| finder.find(name).is_none() && !may_be_absent(name);
    for (key, names) in [("keep", &plan.keep), ("drop", &plan.drop)] {
        if let Some(name) = names.iter().find(is_unknown) {
            return Err(no_column(name, source).help(format!(
                "`{key}` names it; correct the name, or remove it from `{key}`"
            )));
        }
    }
    Ok(())
}

/// Where the values of a column with settings come from; `None` for one that is there already.
fn origin(
    wish: &ColumnPlan,
    names: Naming,
    source: &SchemaRef,
    compile: &dyn Fn(&str) -> Result<Arc<dyn RowExpression>>,
    columns: &[Column],
) -> Result<Option<From>> {
    Ok(match (&wish.set, &wish.from) {
        (Some(expression), _) => Some(From::Expression(compile(expression)?)),
        (None, Some(from)) => Some(From::Source(source_index(names, source, from)?)),
        (None, None) if columns.iter().any(|column| column.name == wish.name) => None,
        (None, None) => return Err(no_column(&wish.name, source)),
    })
}

/// Applies `from` and `set` of one column. A source column that would lose its name to another one stays:
/// `distinct_names` refuses the two.
fn place(
    wish: &ColumnPlan,
    from: Option<From>,
    renamed: &BTreeSet<usize>,
    columns: &mut Vec<Column>,
) {
    let Some(from) = from else {
        return;
    };
    let is_free = |column: &Column| match (&column.from, &from) {
        (From::Source(own), From::Source(_)) => renamed.contains(own),
        _ => true,
    };
    let mut same = columns.iter_mut();
    match same.find(|column| column.name == wish.name && is_free(column)) {
        Some(column) => column.from = from,
        None => columns.push(Column {
            name: wish.name.clone(),
            is_key: false,
            from,
            mask: None,
            cast_to: None,
        }),
    }
}

fn source_index(names: Naming, source: &SchemaRef, name: &str) -> Result<usize> {
    let own = source.fields().iter().map(|field| field.name().as_str());
    names.find(own, name).ok_or_else(|| no_column(name, source))
}

fn no_column(name: &str, source: &SchemaRef) -> Failure {
    let names: Vec<&str> = source.fields().iter().map(|f| f.name().as_str()).collect();
    Failure::new(
        "R0610",
        Remedy::FixConfig,
        format!("the source has no column `{name}`"),
    )
    .help(format!("it has: {}", names.join(", ")))
}

fn distinct_names(columns: &[Column], source: &SchemaRef) -> Result<()> {
    for (index, column) in columns.iter().enumerate() {
        let Some(twin) = columns
            .iter()
            .take(index)
            .find(|other| other.name == column.name)
        else {
            continue;
        };
        let source_name = |c: &Column| match c.from {
            From::Source(i) => source.field(i).name().clone(),
            From::Expression(_) => c.name.clone(),
        };
        return Err(Failure::new(
            "R0618",
            Remedy::FixConfig,
            format!(
                "`{}` and `{}` both become `{}`",
                source_name(twin),
                source_name(column),
                column.name
            ),
        )
        .help(
            "rename one with `columns: { new_name: { from: … } }`, leave one out with `drop`, or use `names: exact`",
        ));
    }
    Ok(())
}

/// Decides the type of a column and returns its field.
fn finish(column: &mut Column, wish: Option<&ColumnPlan>, source: &SchemaRef) -> Result<Field> {
    let (given, mut metadata, source_name) = match &column.from {
        From::Source(index) => {
            let field = source.field(*index);
            (
                field.data_type().clone(),
                field.metadata().clone(),
                Some(field.name()),
            )
        }
        From::Expression(expression) => (expression.data_type().clone(), Default::default(), None),
    };
    let given = match &column.mask {
        Some(mask) => mask.data_type(&given),
        None => given,
    };
    let declared = match wish.and_then(|wish| wish.data_type.as_deref()) {
        Some(word) => Some(types::parse(word).map_err(|error| {
            Failure::new(
                "R0619",
                Remedy::FixConfig,
                format!("column `{}`: {error}", column.name),
            )
        })?),
        None => None,
    };
    // What a table says about how it was loaded is not true of rows that are made from it.
    for of_reading in [types::NO_VALUES, types::WRITTEN_AS, types::AUDIT] {
        metadata.remove(of_reading);
    }
    let data_type = declared.unwrap_or_else(|| given.clone());
    match &column.mask {
        _ if data_type != DataType::Utf8 => {
            metadata.remove(types::BLANKS);
            metadata.remove(types::MASKED);
        }
        Some(mask) => {
            if let Some(word) = metadata.get_mut(types::BLANKS) {
                types::BLANKS_MASKED.clone_into(word);
            }
            if let Some(key) = mask.key_id() {
                metadata.insert(types::MASKED.to_owned(), mask_word(&key));
            }
        }
        None => {}
    }
    column.cast_to = (data_type != given).then(|| data_type.clone());
    if let Some(name) = source_name.filter(|name| **name != column.name) {
        metadata.insert(types::SOURCE_NAME.to_owned(), name.clone());
    }
    Ok(Field::new(&column.name, data_type, true).with_metadata(metadata))
}
