//! From SQLite's values to columns: each value fits its column exactly, or its row is a reject.
//!
//! A row is looked at as a whole before any of it is kept, so a bad row leaves nothing behind and
//! carries every reason. It knows no connection and no SQL.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use rusqlite::types::ValueRef;
use serde_json::{Map, Value};
use towpath_vocab::{RawRecord, Reason, types};

use crate::exact::read;

/// Integers up to here are doubles.
const EXACT: i64 = 1 << 53;
/// A reason shows so many characters of a value.
const SHOWN_CHARS: usize = 200;

/// Rows that a column has room for before it grows: a table may have many columns.
const ROOM: usize = 16;

/// A value that fits.
enum Cell<'a> {
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
pub(super) struct Batch {
    schema: SchemaRef,
    builders: Vec<Builder>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
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
    pub(super) fn new(schema: &SchemaRef) -> Self {
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

    /// Takes a row, or gives the reasons why not.
    pub(super) fn take(
        &mut self,
        row: &rusqlite::Row<'_>,
    ) -> rusqlite::Result<Result<(), Vec<Reason>>> {
        let mut cells = Vec::with_capacity(self.builders.len());
        let mut reasons = Vec::new();
        for (at, field) in self.schema.fields().iter().enumerate() {
            let value = row.get_ref(at)?;
            match fit(value, field.data_type()) {
                Ok(cell) => cells.push(cell),
                Err(why) => reasons.push(Reason {
                    code: if matches!(why, Misfit::Encoding) {
                        "encoding"
                    } else {
                        "type"
                    }
                    .to_owned(),
                    column: Some(field.name().clone()),
                    value: Some(text_of(value).chars().take(SHOWN_CHARS).collect()),
                    message: why.words(value, field.data_type()),
                }),
            }
        }
        if !reasons.is_empty() {
            return Ok(Err(reasons));
        }
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            self.bytes += builder.push(cell);
        }
        self.rows += 1;
        Ok(Ok(()))
    }

    /// The rows so far; the batch is empty again.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
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
            // `fit` gives no other kind but NULL.
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

enum Misfit {
    Kind,
    Encoding,
}

impl Misfit {
    fn words(&self, value: ValueRef<'_>, data_type: &DataType) -> String {
        let word = types::name(data_type);
        match self {
            Self::Encoding => "contains bytes that are not UTF-8 text".to_owned(),
            Self::Kind => format!(
                "is stored as {} and is not an exact `{word}`",
                value.data_type().to_string().to_lowercase()
            ),
        }
    }
}

/// The bounds of an integer type within 64 bits.
fn bounds(data_type: &DataType) -> (i64, i64) {
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

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "only where it is exact"
)]
fn fit<'a>(value: ValueRef<'a>, data_type: &DataType) -> Result<Cell<'a>, Misfit> {
    let cell = match (data_type, value) {
        (_, ValueRef::Null) => Some(Cell::Null),
        (DataType::Utf8, ValueRef::Text(bytes)) => {
            return std::str::from_utf8(bytes)
                .map(|text| Cell::Text(Cow::Borrowed(text)))
                .map_err(|_| Misfit::Encoding);
        }
        (DataType::Utf8, ValueRef::Integer(_) | ValueRef::Real(_)) => {
            Some(Cell::Text(Cow::Owned(text_of(value))))
        }
        (DataType::Binary, ValueRef::Blob(bytes)) => Some(Cell::Bytes(bytes)),
        (DataType::Float64, ValueRef::Real(real)) => Some(Cell::Double(real)),
        (DataType::Float64, ValueRef::Integer(whole)) => (-EXACT..=EXACT)
            .contains(&whole)
            .then_some(Cell::Double(whole as f64)),
        (DataType::Float32, ValueRef::Real(real)) => {
            (f64::from(real as f32) == real).then_some(Cell::Double(real))
        }
        (DataType::Float32, ValueRef::Integer(whole)) => (-(1 << 24)..=1 << 24)
            .contains(&whole)
            .then_some(Cell::Double(whole as f64)),
        (DataType::Float32 | DataType::Float64, ValueRef::Text(b"NaN")) => {
            Some(Cell::Double(f64::NAN))
        }
        (DataType::Boolean, ValueRef::Integer(0)) => Some(Cell::Bool(false)),
        (DataType::Boolean, ValueRef::Integer(1)) => Some(Cell::Bool(true)),
        (DataType::Boolean, ValueRef::Text(text)) => read::boolean(text).map(Cell::Bool),
        (DataType::Date32, ValueRef::Text(text)) => read::date(text).map(Cell::Date),
        (DataType::Timestamp(_, zone), ValueRef::Text(text)) => {
            moment(text, zone.is_some()).map(Cell::Micros)
        }
        (DataType::Decimal128(precision, scale), _) => {
            decimal(value, *precision, *scale).map(Cell::Decimal)
        }
        (DataType::UInt64, ValueRef::Integer(_) | ValueRef::Text(_)) => decimal(value, 20, 0)
            .filter(|value| u64::try_from(*value).is_ok())
            .map(Cell::Decimal),
        (whole, ValueRef::Integer(value)) if whole.is_integer() => {
            let (least, most) = bounds(whole);
            (least..=most).contains(&value).then_some(Cell::Int(value))
        }
        _ => None,
    };
    cell.ok_or(Misfit::Kind)
}

fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Option<i128> {
    match value {
        ValueRef::Text(text) => read::decimal(text, precision, scale),
        // The shortest digits that mean this double are what was stored.
        ValueRef::Integer(_) | ValueRef::Real(_) => {
            read::decimal(text_of(value).as_bytes(), precision, scale)
        }
        _ => None,
    }
}

fn moment(text: &[u8], zoned: bool) -> Option<i64> {
    match read::timestamp(text) {
        Some(moment) => (moment.zoned == zoned).then_some(moment.micros),
        None if zoned => None,
        None => Some(i64::from(read::date(text)?) * 86_400_000_000),
    }
}

/// A value as exact text.
fn text_of(value: ValueRef<'_>) -> String {
    use std::fmt::Write as _;
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}

/// A row as it came.
pub(super) fn raw(row: &rusqlite::Row<'_>, schema: &SchemaRef) -> RawRecord {
    let members = schema.fields().iter().enumerate().map(|(at, field)| {
        let value = match row.get_ref(at) {
            Ok(ValueRef::Null) | Err(_) => Value::Null,
            Ok(value) => Value::String(text_of(value)),
        };
        (field.name().clone(), value)
    });
    RawRecord::Row(Value::Object(members.collect::<Map<_, _>>()).to_string())
}
