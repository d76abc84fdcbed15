//! A batch of rows between reader and writer: columns, operations, and the origin of each row.
//!
//! Promise: columns, ordinals and operations have equal lengths, and every filter or reordering is applied
//! to all of them. It knows no source; its `Origin` finds the raw record of a rejected row. Read next:
//! `source.rs`.

use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt8Array, UInt64Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use serde_json::Value;
use towpath_vocab::{RawRecord, RecordLocation, TableName};

use crate::exact::ExactValues;
use crate::exact_json::exact_json;

/// What a change feed says about a row. A column of these is an `OpColumn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// A new row.
    Insert = 0,
    /// New values of a row.
    Update = 1,
    /// The row with this key was deleted; other columns may be NULL.
    Delete = 2,
}

impl Op {
    /// The op of a byte in an `OpColumn`.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Op::Insert),
            1 => Some(Op::Update),
            2 => Some(Op::Delete),
            _ => None,
        }
    }
}

/// One `Op` per row, as bytes; never null.
pub type OpColumn = UInt8Array;

/// Where the rows of a batch come from; it is only used for rejected rows.
pub trait Origin: Send + Sync + fmt::Debug {
    /// The location of the row with this ordinal in the source.
    fn place(&self, ordinal: u64) -> RecordLocation;
    /// The row as it came, before any operator.
    fn raw(&self, ordinal: u64) -> RawRecord;
}

/// A batch of rows for one table.
///
/// `ordinals` is a hidden column: an operator that filters or reorders the batch does the same to it and to
/// `ops`. All three have equal lengths.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table as the reader names it.
    pub table: TableName,
    /// The columns.
    pub batch: RecordBatch,
    /// One number per row that `origin` understands: a row number or a byte offset.
    pub ordinals: UInt64Array,
    /// The operation of each row; `None` means that all are inserts.
    pub ops: Option<OpColumn>,
    /// Where the rows come from.
    pub origin: Arc<dyn Origin>,
}

impl Rows {
    /// Rows with ordinals from `first`, and with the batch itself as their origin.
    pub fn of_batch(table: TableName, object: &str, batch: RecordBatch, first: u64) -> Self {
        let count = batch.num_rows() as u64;
        Self {
            table,
            ordinals: UInt64Array::from_iter_values(first..first + count),
            ops: None,
            origin: Arc::new(BatchOrigin {
                object: object.to_owned(),
                batch: batch.clone(),
                first,
            }),
            batch,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The origin of rows whose source has no text: the batch as it was read (a cheap shared clone).
#[derive(Debug)]
pub struct BatchOrigin {
    /// The table or query, by the name that users know.
    pub object: String,
    /// The batch before any operator.
    pub batch: RecordBatch,
    /// The ordinal of its first row.
    pub first: u64,
}

impl Origin for BatchOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        RecordLocation {
            object: self.object.clone(),
            line: None,
            ordinal: ordinal + 1,
        }
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        let row = usize::try_from(ordinal.saturating_sub(self.first)).unwrap_or(usize::MAX);
        RawRecord::Row(row_as_json(&self.batch, row))
    }
}

/// One row as a JSON object of exact text, nested values as JSON: the form of `RawRecord::Row`. A row
/// out of range gives `{}`.
pub fn row_as_json(batch: &RecordBatch, row: usize) -> String {
    let mut object = serde_json::Map::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if row >= column.len() {
            break;
        }
        object.insert(field.name().clone(), value_as_json(column, row));
    }
    serde_json::Value::Object(object).to_string()
}

/// A value as a string of exact text; a nested value is JSON, NULL is null. It is never the text of an
/// error.
pub fn value_as_json(column: &ArrayRef, row: usize) -> Value {
    let column = &column.slice(row, 1);
    if column.is_null(0) || *column.data_type() == DataType::Null {
        return Value::Null;
    }
    let shown = match column.data_type() {
        nested if nested.is_nested() => None,
        // Arrow shows only the digits that the type should have, and not every interval.
        DataType::Interval(_) | DataType::Duration(_) => None,
        decimal if decimal.is_decimal() => None,
        _ => shown(column),
    };
    shown.or_else(|| exact(column)).unwrap_or_else(|| {
        // Beyond all exact texts: the number that is stored.
        let stored = arrow_cast::cast(column, &DataType::Int64).ok();
        stored
            .and_then(|stored| shown_as(&stored))
            .unwrap_or(Value::Null)
    })
}

fn shown(column: &ArrayRef) -> Option<Value> {
    let of_time = column.data_type().is_temporal();
    let text = shown_as(column)?;
    // Years of more than four digits have a form of their own.
    let is_long = text
        .as_str()
        .is_some_and(|text| text.starts_with(['+', '-']));
    (!of_time || !is_long).then_some(text)
}

fn shown_as(column: &ArrayRef) -> Option<Value> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).ok()?;
    formatter.value(0).try_to_string().ok().map(Value::String)
}

fn exact(column: &ArrayRef) -> Option<Value> {
    let values = ExactValues::of(column).ok()?;
    let mut text = Vec::new();
    if column.data_type().is_nested() {
        exact_json(&values, 0, &mut text).ok()?;
        return serde_json::from_slice(&text).ok();
    }
    values.write(0, &mut text).ok()?;
    String::from_utf8(text).ok().map(Value::String)
}
