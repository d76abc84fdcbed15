//! A batch on its way: columns, where each row stood in the source, and what is to be done with it.

use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array, UInt64Array};
use towpath_vocab::{RawRecord, RecordLocation, TableName};

/// What a change feed says about a row. A column of these is an `OpColumn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// The row is new.
    Insert = 0,
    /// The row has these values now.
    Update = 1,
    /// The row with this key is gone; other columns may be null.
    Delete = 2,
}

impl Op {
    /// The op a byte of an `OpColumn` means.
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

/// Where the rows of a batch come from: asked only about rows that are set aside.
pub trait Origin: Send + Sync + fmt::Debug {
    /// Where the row with this ordinal stands in the source.
    fn place(&self, ordinal: u64) -> RecordLocation;
    /// The row as it came, before any transform.
    fn raw(&self, ordinal: u64) -> RawRecord;
}

/// A batch of rows for one table.
///
/// `ordinals` is the hidden column every operator keeps: whatever filters or reorders the batch does
/// the same to it (and to `ops`). All three have equal lengths.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table as the reader names it.
    pub table: TableName,
    /// The columns.
    pub batch: RecordBatch,
    /// One number per row that `origin` understands: a row number or a byte offset.
    pub ordinals: UInt64Array,
    /// What is to be done with each row; `None` means all are inserts.
    pub ops: Option<OpColumn>,
    /// Where the rows come from.
    pub origin: Arc<dyn Origin>,
}

impl Rows {
    /// Rows numbered from `first`, whose origin is the batch itself.
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

/// The origin of rows whose source keeps no text: the batch as it was read (a cheap shared clone).
#[derive(Debug)]
pub struct BatchOrigin {
    /// The table or query, as a person would name it.
    pub object: String,
    /// The batch before any transform.
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

/// One row as a JSON object of exact text: the form of `RawRecord::Row`. A row out of range gives `{}`.
pub fn row_as_json(batch: &RecordBatch, row: usize) -> String {
    use arrow_array::Array;
    use arrow_cast::display::{ArrayFormatter, FormatOptions};
    let mut object = serde_json::Map::new();
    let options = FormatOptions::default();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if row >= column.len() {
            break;
        }
        let value = if column.is_null(row) {
            serde_json::Value::Null
        } else {
            match ArrayFormatter::try_new(column.as_ref(), &options) {
                Ok(formatter) => serde_json::Value::String(formatter.value(row).to_string()),
                Err(_) => serde_json::Value::Null,
            }
        };
        object.insert(field.name().clone(), value);
    }
    serde_json::Value::Object(object).to_string()
}
