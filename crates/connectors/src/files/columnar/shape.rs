//! A decoded batch as rows of the table; rows that do not fit become rejects.
//!
//! Promise: a declared type takes a value that leads back to the same one, and text as text files are
//! read; any other row is rejected with its exact values. It reads no file: see `parts.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, UInt64Array,
    new_null_array,
};
use arrow_cast::cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use towpath_ports::{Event, Origin, ReservedMemory, Rows, exact_json, has_exact_text, row_as_json};
use towpath_vocab::{RawRecord, Reason, RecordLocation, Reject, types};

use super::columns::FileColumn;
use super::convert::{convert, exact_values, moment_text};
use super::form::Form;
use super::parts::ColumnarRead;
use crate::exact::write::Values;
use crate::files::cells::{Cells, Nulls, Span};
use crate::files::column::{Column, ColumnFormat, misfit, readable_type};
use crate::files::find::InputFile;
use crate::files::path_columns::{PathColumn, disagreeing, disagreement, repeated};

/// Rows of a file as they were read; holds their memory.
struct GroupOrigin {
    object: String,
    columns: Arc<Vec<FileColumn>>,
    batch: RecordBatch,
    first: u64,
    _lease: ReservedMemory,
}

impl std::fmt::Debug for GroupOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupOrigin")
            .field("object", &self.object)
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

impl Origin for GroupOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        RecordLocation {
            object: self.object.clone(),
            line: None,
            ordinal: ordinal + 1,
        }
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        let row = usize::try_from(ordinal.saturating_sub(self.first)).unwrap_or(usize::MAX);
        RawRecord::Row(exact_row(&self.columns, &self.batch, row))
    }
}

/// The exact values of a row, under the names of their columns.
fn exact_row(columns: &[FileColumn], batch: &RecordBatch, row: usize) -> String {
    if row >= batch.num_rows() {
        return "{}".to_owned();
    }
    let (mut fields, mut values) = (Vec::new(), Vec::new());
    for (column, array) in columns.iter().zip(batch.columns()) {
        let value = exact_values(&array.slice(row, 1), &column.form);
        fields.push(Field::new(&column.name, value.data_type().clone(), true));
        values.push(value);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    match RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), values, &options) {
        Ok(exact) => row_as_json(&exact, 0),
        Err(_) => row_as_json(batch, row),
    }
}

/// A value that does not fit: its row, the place of its column, the code of the reason, and why.
type RowError = (usize, usize, &'static str, String);

/// Brings a batch of these columns into the schema of the read.
pub(in crate::files) fn shape(
    asked: &ColumnarRead,
    file: &InputFile,
    columns: &[FileColumn],
    batch: RecordBatch,
    first: u64,
    lease: ReservedMemory,
) -> Result<Vec<Event>, ArrowError> {
    let rows = batch.num_rows();
    let mut shaped = Vec::with_capacity(asked.schema.fields().len());
    let mut misfits: Vec<RowError> = Vec::new();
    let held: HashMap<&str, _> = columns
        .iter()
        .zip(batch.columns())
        .map(|(column, array)| (column.name.as_str(), (column, array)))
        .collect();
    for (at, field) in asked.schema.fields().iter().enumerate() {
        let given = held.get(field.name().as_str()).copied();
        let column = match given {
            None => new_null_array(field.data_type(), rows),
            Some((column, array)) => {
                let (values, bad) = values(array, &column.form, field.data_type())?;
                misfits.extend(bad.into_iter().map(|(row, why)| (row, at, "type", why)));
                values
            }
        };
        shaped.push(match PathColumn::of(at, field, &file.path_values) {
            None => column,
            Some(path) => {
                let given = given.map(|_| &column);
                let (values, bad) = of_path_values(&path, given, rows)?;
                misfits.extend(bad.into_iter().map(|(row, why)| (row, at, "path", why)));
                values
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let shaped = RecordBatch::try_new_with_options(Arc::clone(&asked.schema), shaped, &options)?;
    let origin = Arc::new(GroupOrigin {
        object: file.object.clone(),
        columns: Arc::new(columns.to_vec()),
        batch,
        first,
        _lease: lease,
    });
    events_of(asked, shaped, origin, misfits)
}

/// Rows that fit, and rejects of the others.
fn events_of(
    asked: &ColumnarRead,
    shaped: RecordBatch,
    origin: Arc<GroupOrigin>,
    misfits: Vec<RowError>,
) -> Result<Vec<Event>, ArrowError> {
    let first = origin.first;
    let mut keep = vec![true; shaped.num_rows()];
    for (row, ..) in &misfits {
        if let Some(keep) = keep.get_mut(*row) {
            *keep = false;
        }
    }
    let rejects = rejects_of(asked, &origin, misfits);
    let kept = (first..).zip(&keep).filter(|(_, keep)| **keep);
    let ordinals = UInt64Array::from_iter_values(kept.map(|(row, _)| row));
    let batch = if rejects.is_empty() {
        shaped
    } else {
        arrow_select::filter::filter_record_batch(&shaped, &BooleanArray::from(keep))?
    };
    let mut events = Vec::with_capacity(2);
    if batch.num_rows() > 0 {
        events.push(Event::Rows(Rows {
            table: asked.table.clone(),
            batch,
            ordinals,
            ops: None,
            origin,
        }));
    }
    if !rejects.is_empty() {
        events.push(Event::Rejects(rejects));
    }
    Ok(events)
}

/// One reject per row.
fn rejects_of(
    asked: &ColumnarRead,
    origin: &GroupOrigin,
    mut misfits: Vec<RowError>,
) -> Vec<Reject> {
    let mut rejects: Vec<Reject> = Vec::new();
    misfits.sort();
    for (row, column, code, message) in misfits {
        let reason = Reason {
            code: code.to_owned(),
            column: Some(asked.schema.field(column).name().clone()),
            value: None,
            message,
        };
        let ordinal = origin.first + row as u64;
        match rejects.last_mut() {
            Some(last) if last.place.ordinal == ordinal + 1 => last.reasons.push(reason),
            _ => rejects.push(Reject {
                table: asked.table.clone(),
                place: origin.place(ordinal),
                raw: origin.raw(ordinal),
                reasons: vec![reason],
            }),
        }
    }
    rejects
}

/// Values and the rows, with a message each, that do not fit.
pub(crate) type Fitted = (ArrayRef, Vec<(usize, String)>);

/// A column as the type that is wanted.
pub(crate) fn values(
    array: &ArrayRef,
    form: &Form,
    wanted: &DataType,
) -> Result<Fitted, ArrowError> {
    if *array.data_type() == DataType::Null {
        return Ok((new_null_array(wanted, array.len()), Vec::new()));
    }
    if *wanted == DataType::Utf8 && form.is_moment() {
        return Ok((moment_text(array, form)?, Vec::new()));
    }
    let converted = convert(array, form)?;
    let bad = converted.bad.into_iter();
    let mut bad: Vec<(usize, String)> = bad
        .map(|(row, flaw)| (row, flaw.message(&form.to)))
        .collect();
    if form.to == *wanted {
        return Ok((converted.array, bad));
    }
    let (values, others) = declared(&converted.array, wanted)?;
    bad.extend(others);
    Ok((values, bad))
}

/// The value that the path of the file says, and the rows of which the file says another one.
fn of_path_values(
    path: &PathColumn,
    given: Option<&ArrayRef>,
    rows: usize,
) -> Result<Fitted, ArrowError> {
    let of_path = match repeated(path, rows)? {
        Ok(of_path) => of_path,
        Err(why) => {
            let bad = (0..rows).map(|row| (row, why.clone()));
            return Ok((new_null_array(&path.data_type, rows), bad.collect()));
        }
    };
    let differing = match given {
        Some(given) => disagreeing(given, &of_path, false)?,
        None => Vec::new(),
    };
    let value = path.value.as_deref();
    let bad = differing.into_iter().map(|row| (row, disagreement(value)));
    Ok((of_path, bad.collect()))
}

/// Whether values of one type can be read as the other, each exactly or not at all.
pub(crate) fn is_readable_as(from: &DataType, to: &DataType) -> bool {
    let temporal = |data_type: &DataType| data_type.is_temporal();
    match (from, to) {
        (DataType::Null, _) => true,
        (DataType::Utf8, _) => readable_type(to),
        (_, DataType::Utf8) => *from == DataType::Binary || has_exact_text(from),
        // A number says no unit, and a moment is no number.
        _ if temporal(from) != temporal(to) => false,
        _ => !from.is_nested() && can_cast_types(from, to) && can_cast_types(to, from),
    }
}

/// Values as a declared type.
fn declared(from: &ArrayRef, to: &DataType) -> Result<Fitted, ArrowError> {
    match (from.data_type(), to) {
        (DataType::Utf8, to) if *to != DataType::Binary => from_text(from.as_string(), to),
        (other, DataType::Utf8) if *other != DataType::Binary => as_text(from),
        _ => exact_cast(from, to),
    }
}

/// Text as a text file's cells are read.
fn from_text(texts: &StringArray, to: &DataType) -> Result<Fitted, ArrowError> {
    let offset = |at: usize| {
        texts
            .value_offsets()
            .get(at)
            .copied()
            .and_then(|at| usize::try_from(at).ok())
    };
    let spans: Vec<Span> = (0..texts.len())
        .map(
            |row| match (texts.is_null(row), offset(row), offset(row + 1)) {
                (false, Some(start), Some(end)) => Span::quoted(start, end, false),
                _ => Span::NULL,
            },
        )
        .collect();
    let (format, nulls) = (ColumnFormat::default(), Nulls::default());
    let cells = Cells {
        bytes: texts.value_data(),
        spans: &spans,
        width: 1,
        column: 0,
        nulls: &nulls,
        unescape: &|text, to| to.extend_from_slice(text),
    };
    let mut column = Column::new(to, texts.len(), &format);
    let mut bad = Vec::new();
    column.fill(&cells, 0, &mut bad);
    let why = |row: usize| (row, misfit(texts.value(row).as_bytes(), to, &format));
    Ok((column.finish()?, bad.into_iter().map(why).collect()))
}

/// Values as exact text, nested ones as JSON.
fn as_text(from: &ArrayRef) -> Result<Fitted, ArrowError> {
    let values = Values::of(from)?;
    let mut out = StringBuilder::with_capacity(from.len(), from.len() * 8);
    let (mut text, mut bad) = (Vec::new(), Vec::new());
    for row in 0..from.len() {
        if values.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        let written = match from.data_type().is_nested() {
            true => exact_json(&values, row, &mut text),
            false => values.write(row, &mut text),
        };
        match written {
            Ok(()) => out.append_value(String::from_utf8_lossy(&text)),
            Err(_) => {
                out.append_null();
                bad.push((row, "has no exact text".to_owned()));
            }
        }
    }
    Ok((Arc::new(out.finish()), bad))
}

/// Casts, and gives the rows whose value does not come back when cast back.
fn exact_cast(from: &ArrayRef, to: &DataType) -> Result<Fitted, ArrowError> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let there = cast_with_options(from, to, &options)?;
    let back = cast_with_options(&there, from.data_type(), &options)?;
    let differs = arrow_ord::cmp::distinct(from, &back)?;
    let (held, wanted) = (types::name(from.data_type()), types::name(to));
    let why = format!("a `{held}` value does not fit `{wanted}` exactly");
    let bad = (0..differs.len()).filter(|row| differs.value(*row));
    Ok((there, bad.map(|row| (row, why.clone())).collect()))
}
