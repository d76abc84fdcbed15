//! Rows of a database as columns: values that fit are collected and become a record batch.
//!
//! Promise: a value arrives in its column as it is; a row is pushed as a whole or not at all. It knows no
//! wire and does not decide which value fits which column: `sqlite/cells.rs` and `mysql/cells.rs` do. Read
//! next: `gather.rs`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, SchemaRef};

/// Rows that a column has room for before it grows: a table may have many columns.
const ROOM: usize = 16;

/// A value that fits its column.
pub(crate) enum Cell<'a> {
    Null,
    Int(i64),
    Double(f64),
    Decimal(i128),
    Bool(bool),
    Date(i32),
    Micros(i64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

enum Builder {
    Int(PrimitiveBuilder<Int64Type>),
    Double(PrimitiveBuilder<Float64Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>),
    Bool(BooleanBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Micros(PrimitiveBuilder<TimestampMicrosecondType>),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

/// A batch that grows.
pub(crate) struct Batch {
    schema: SchemaRef,
    builders: Vec<Builder>,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

fn builder(data_type: &DataType) -> Builder {
    match data_type {
        DataType::Float32 | DataType::Float64 => {
            Builder::Double(PrimitiveBuilder::with_capacity(ROOM))
        }
        // Unsigned integers of 64 bits may stand as text: they pass as decimals.
        DataType::Decimal128(..) | DataType::UInt64 => {
            Builder::Decimal(PrimitiveBuilder::with_capacity(ROOM))
        }
        DataType::Boolean => Builder::Bool(BooleanBuilder::with_capacity(ROOM)),
        DataType::Date32 => Builder::Date(PrimitiveBuilder::with_capacity(ROOM)),
        DataType::Timestamp(..) => Builder::Micros(PrimitiveBuilder::with_capacity(ROOM)),
        DataType::Binary => Builder::Bytes(BinaryBuilder::with_capacity(ROOM, ROOM)),
        other if other.is_integer() => Builder::Int(PrimitiveBuilder::with_capacity(ROOM)),
        _ => Builder::Text(StringBuilder::with_capacity(ROOM, ROOM)),
    }
}

impl Batch {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        Self {
            builders: schema
                .fields()
                .iter()
                .map(|field| builder(field.data_type()))
                .collect(),
            schema: Arc::clone(schema),
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes a row: a cell for each column.
    pub(crate) fn push(&mut self, cells: Vec<Cell<'_>>) {
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            self.bytes += builder.push(cell);
        }
        self.rows += 1;
    }

    /// The rows so far; the batch is empty again.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns = self.builders.iter_mut().zip(self.schema.fields());
        let columns = columns
            .map(|(builder, field)| builder.finish(field.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

impl Builder {
    /// Adds a cell of this builder's kind; gives its size.
    fn push(&mut self, cell: Cell<'_>) -> usize {
        match (self, cell) {
            (Self::Int(b), Cell::Int(value)) => b.append_value(value),
            (Self::Double(b), Cell::Double(value)) => b.append_value(value),
            (Self::Decimal(b), Cell::Decimal(value)) => {
                b.append_value(value);
                return 16;
            }
            (Self::Bool(b), Cell::Bool(value)) => b.append_value(value),
            (Self::Date(b), Cell::Date(value)) => b.append_value(value),
            (Self::Micros(b), Cell::Micros(value)) => b.append_value(value),
            (Self::Text(b), Cell::Text(text)) => {
                b.append_value(&text);
                return text.len() + 8;
            }
            (Self::Bytes(b), Cell::Bytes(bytes)) => {
                b.append_value(bytes);
                return bytes.len() + 8;
            }
            // A cell that fits is of no other kind but NULL.
            (Self::Int(b), _) => b.append_null(),
            (Self::Double(b), _) => b.append_null(),
            (Self::Decimal(b), _) => b.append_null(),
            (Self::Bool(b), _) => b.append_null(),
            (Self::Date(b), _) => b.append_null(),
            (Self::Micros(b), _) => b.append_null(),
            (Self::Text(b), _) => b.append_null(),
            (Self::Bytes(b), _) => b.append_null(),
        }
        8
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let array: ArrayRef = match self {
            Self::Int(b) => Arc::new(b.finish()),
            Self::Double(b) => Arc::new(b.finish()),
            Self::Decimal(b) if *data_type == DataType::UInt64 => {
                Arc::new(b.finish().with_data_type(DataType::Decimal128(20, 0)))
            }
            Self::Decimal(b) => Arc::new(b.finish().with_data_type(data_type.clone())),
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Micros(b) => Arc::new(b.finish().with_data_type(data_type.clone())),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Bytes(b) => Arc::new(b.finish()),
        };
        if array.data_type() == data_type {
            return Ok(array);
        }
        cast_with_options(
            &array,
            data_type,
            &CastOptions {
                safe: false,
                ..CastOptions::default()
            },
        )
    }
}

/// The bounds of an integer type within 64 bits.
pub(crate) fn bounds(data_type: &DataType) -> (i64, i64) {
    match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}
