//! Arrow batches to rows of `COPY … FROM STDIN (FORMAT binary)`.
//!
//! Promise: every value is written exactly or refused by the column's name: no nanosecond is cut off,
//! no date wraps, no zero byte slips into text. One buffer is reused; there are no row objects. It
//! knows Arrow and the wire, not tables. Read next: `types.rs` (what is stored as what), `writer.rs`.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampNanosecondType, UInt8Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use bytes::{BufMut as _, BytesMut};
use towpath_ports::OpColumn;

use super::error::{NANOSECONDS, PgError, Result, ZERO_BYTE};
use super::numeric;

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// What the server accepts: 4714-11-24 BC to 5874897-12-31, and to 294276-12-31 for timestamps.
const DAYS: std::ops::Range<i32> = -2_451_545..2_145_031_949;
const MICROS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// One column, in one of the few forms that are written.
enum Cells {
    Bool(BooleanArray),
    I16(PrimitiveArray<Int16Type>),
    I32(PrimitiveArray<Int32Type>),
    I64(PrimitiveArray<Int64Type>),
    F32(PrimitiveArray<Float32Type>),
    F64(PrimitiveArray<Float64Type>),
    Decimal(PrimitiveArray<Decimal128Type>, i8),
    WideDecimal(PrimitiveArray<Decimal256Type>),
    Text(StringArray),
    Bytes(BinaryArray),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    Timestamp(PrimitiveArray<TimestampMicrosecondType>),
    List {
        rows: ListArray,
        items: Box<Cells>,
        element: u32,
    },
    Op(PrimitiveArray<UInt8Type>),
    /// Its place among all rows, counted from this.
    Ordinal(u64),
}

/// Starts a copy.
pub(super) fn write_header(out: &mut BytesMut) {
    out.put_slice(b"PGCOPY\n\xff\r\n\0");
    out.put_i32(0);
    out.put_i32(0);
}

/// Ends a copy.
pub(super) fn write_trailer(out: &mut BytesMut) {
    out.put_i16(-1);
}

/// A batch ready to be written row by row.
pub(super) struct Encoded {
    columns: Vec<(String, Cells)>,
    rows: usize,
    /// Rows before these.
    first: u64,
}

impl Encoded {
    /// Brings the columns into the forms that are written; `ops` become a last column, with the
    /// places of their rows, counted from `first`, behind it.
    pub(super) fn of(batch: &RecordBatch, ops: Option<OpColumn>, first: u64) -> Result<Self> {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(batch.num_columns() + 2);
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let found = cells(field.name(), array).map_err(|error| counted(error, first));
            columns.push((field.name().clone(), found?));
        }
        if let Some(ops) = ops {
            columns.push((String::new(), Cells::Op(ops)));
            columns.push((String::new(), Cells::Ordinal(first)));
        }
        Ok(Self {
            columns,
            rows: batch.num_rows(),
            first,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends one row.
    pub(super) fn write_row(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        out.put_i16(i16::try_from(self.columns.len()).unwrap_or(i16::MAX));
        for (name, cells) in &self.columns {
            cells.write(row, out).map_err(|reason| PgError::Value {
                column: name.clone(),
                reason,
                row: Some(self.first + row as u64 + 1),
            })?;
        }
        Ok(())
    }
}

/// The row of a value in a batch becomes its row among all.
fn counted(mut error: PgError, first: u64) -> PgError {
    if let PgError::Value { row: Some(row), .. } = &mut error {
        *row += first;
    }
    error
}

/// An item of a list is not counted as rows are.
fn in_list(mut error: PgError) -> PgError {
    if let PgError::Value { row, .. } = &mut error {
        *row = None;
    }
    error
}

/// The first row, from 1, that a value fails in.
fn failing<T>(values: impl Iterator<Item = Option<T>>, fails: impl Fn(T) -> bool) -> Option<u64> {
    let mut rows = (1..).zip(values);
    rows.find_map(|(row, value)| value.is_some_and(&fails).then_some(row))
}

fn cells(name: &str, array: &ArrayRef) -> Result<Cells> {
    let to = |data_type: &DataType| converted(name, array, data_type);
    let no_type = || PgError::NoType {
        column: name.to_owned(),
        data_type: array.data_type().to_string(),
    };
    Ok(match array.data_type() {
        DataType::Boolean => Cells::Bool(array.as_boolean().clone()),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => {
            Cells::I16(to(&DataType::Int16)?.as_primitive().clone())
        }
        DataType::UInt16 | DataType::Int32 => {
            Cells::I32(to(&DataType::Int32)?.as_primitive().clone())
        }
        DataType::UInt32 | DataType::Int64 => {
            Cells::I64(to(&DataType::Int64)?.as_primitive().clone())
        }
        DataType::UInt64 => {
            Cells::Decimal(to(&DataType::Decimal128(20, 0))?.as_primitive().clone(), 0)
        }
        DataType::Float16 | DataType::Float32 => {
            Cells::F32(to(&DataType::Float32)?.as_primitive().clone())
        }
        DataType::Float64 => Cells::F64(array.as_primitive().clone()),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
            if *s >= 0 =>
        {
            Cells::Decimal(
                to(&DataType::Decimal128(*p, *s))?.as_primitive().clone(),
                *s,
            )
        }
        DataType::Decimal256(_, s) if *s >= 0 => Cells::WideDecimal(array.as_primitive().clone()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            text(name, &to(&DataType::Utf8)?)?
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Cells::Bytes(to(&DataType::Binary)?.as_binary().clone()),
        DataType::Date32 | DataType::Date64 => {
            if let Some(millis) = array.as_primitive_opt::<Date64Type>() {
                whole_days(name, millis.iter())?;
            }
            Cells::Date(to(&DataType::Date32)?.as_primitive().clone())
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            if let Some(nanos) = array.as_primitive_opt::<Time64NanosecondType>() {
                whole_micros(name, nanos.iter())?;
            }
            Cells::Time(
                to(&DataType::Time64(TimeUnit::Microsecond))?
                    .as_primitive()
                    .clone(),
            )
        }
        DataType::Timestamp(_, zone) => {
            if let Some(nanos) = array.as_primitive_opt::<TimestampNanosecondType>() {
                whole_micros(name, nanos.iter())?;
            }
            Cells::Timestamp(
                to(&DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
                    .as_primitive()
                    .clone(),
            )
        }
        DataType::Dictionary(_, values) => cells(name, &to(values)?)?,
        DataType::List(item) | DataType::LargeList(item) => {
            let element = element_oid(item.data_type()).ok_or_else(no_type)?;
            let rows = to(&DataType::List(item.clone()))?.as_list::<i32>().clone();
            let items = cells(name, rows.values()).map_err(in_list)?;
            let items = Box::new(items);
            Cells::List {
                rows,
                items,
                element,
            }
        }
        _ => return Err(no_type()),
    })
}

/// The same values in another type, or a refusal when one does not fit.
fn converted(name: &str, array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, data_type, &strict).map_err(|_| PgError::Value {
        column: name.to_owned(),
        reason: "it is outside the range of PostgreSQL",
        row: None,
    })
}

fn text(name: &str, array: &ArrayRef) -> Result<Cells> {
    let text: &StringArray = array.as_string();
    let suspicious = memchr::memchr(0, text.value_data()).is_some();
    let zero = |value: &str| value.contains('\0');
    if suspicious && let Some(row) = failing(text.iter(), zero) {
        return Err(PgError::Value {
            column: name.to_owned(),
            reason: ZERO_BYTE,
            row: Some(row),
        });
    }
    Ok(Cells::Text(text.clone()))
}

fn whole_micros(name: &str, nanos: impl Iterator<Item = Option<i64>>) -> Result<()> {
    failing(nanos, |nanos| nanos % 1000 != 0).map_or(Ok(()), |row| {
        Err(PgError::Value {
            column: name.to_owned(),
            reason: NANOSECONDS,
            row: Some(row),
        })
    })
}

fn whole_days(name: &str, millis: impl Iterator<Item = Option<i64>>) -> Result<()> {
    failing(millis, |millis| millis % 86_400_000 != 0).map_or(Ok(()), |row| {
        Err(PgError::Value {
            column: name.to_owned(),
            reason: "a date in PostgreSQL has no time of day, and this value has one",
            row: Some(row),
        })
    })
}

/// The type an array's elements are sent as.
fn element_oid(data_type: &DataType) -> Option<u32> {
    use postgres_types::Type;
    Some(
        match super::types::stored_as(data_type)?.split('(').next()? {
            "boolean" => Type::BOOL.oid(),
            "smallint" => Type::INT2.oid(),
            "integer" => Type::INT4.oid(),
            "bigint" => Type::INT8.oid(),
            "real" => Type::FLOAT4.oid(),
            "double precision" => Type::FLOAT8.oid(),
            "numeric" => Type::NUMERIC.oid(),
            "text" => Type::TEXT.oid(),
            "bytea" => Type::BYTEA.oid(),
            "date" => Type::DATE.oid(),
            "time without time zone" => Type::TIME.oid(),
            "timestamp without time zone" => Type::TIMESTAMP.oid(),
            "timestamp with time zone" => Type::TIMESTAMPTZ.oid(),
            _ => return None,
        },
    )
}

impl Cells {
    fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Bool(array) => array.is_null(row),
            Cells::I16(array) => array.is_null(row),
            Cells::I32(array) => array.is_null(row),
            Cells::I64(array) => array.is_null(row),
            Cells::F32(array) => array.is_null(row),
            Cells::F64(array) => array.is_null(row),
            Cells::Decimal(array, _) => array.is_null(row),
            Cells::WideDecimal(array) => array.is_null(row),
            Cells::Text(array) => array.is_null(row),
            Cells::Bytes(array) => array.is_null(row),
            Cells::Date(array) => array.is_null(row),
            Cells::Time(array) => array.is_null(row),
            Cells::Timestamp(array) => array.is_null(row),
            Cells::List { rows, .. } => rows.is_null(row),
            Cells::Op(_) | Cells::Ordinal(_) => false,
        }
    }

    #[inline]
    fn write(&self, row: usize, out: &mut BytesMut) -> std::result::Result<(), &'static str> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        match self {
            Cells::Bool(array) => put(out, &[u8::from(array.value(row))]),
            Cells::I16(array) => put(out, &array.value(row).to_be_bytes()),
            Cells::I32(array) => put(out, &array.value(row).to_be_bytes()),
            Cells::I64(array) => put(out, &array.value(row).to_be_bytes()),
            Cells::F32(array) => put(out, &array.value(row).to_be_bytes()),
            Cells::F64(array) => put(out, &array.value(row).to_be_bytes()),
            Cells::Op(array) => put(out, &i16::from(array.value(row)).to_be_bytes()),
            Cells::Ordinal(first) => put(out, &(first + row as u64).to_be_bytes()),
            Cells::Text(array) => put(out, array.value(row).as_bytes()),
            Cells::Bytes(array) => put(out, array.value(row)),
            Cells::Time(array) => put(out, &array.value(row).to_be_bytes()),
            Cells::Decimal(array, scale) => numeric::write_i128(out, array.value(row), *scale),
            Cells::WideDecimal(array) => numeric::write_text_form(out, &array.value_as_string(row)),
            Cells::Date(array) => {
                let days = array
                    .value(row)
                    .checked_sub(EPOCH_DAYS)
                    .filter(|days| DAYS.contains(days));
                put(
                    out,
                    &days
                        .ok_or("the date is outside the range of PostgreSQL")?
                        .to_be_bytes(),
                );
            }
            Cells::Timestamp(array) => {
                let micros = array
                    .value(row)
                    .checked_sub(EPOCH_MICROS)
                    .filter(|micros| MICROS.contains(micros));
                put(
                    out,
                    &micros
                        .ok_or("the timestamp is outside the range of PostgreSQL")?
                        .to_be_bytes(),
                );
            }
            Cells::List {
                rows,
                items,
                element,
            } => write_list(rows, items, *element, row, out)?,
        }
        Ok(())
    }
}

#[inline]
fn put(out: &mut BytesMut, bytes: &[u8]) {
    // One cell holds at most the two gigabytes of an Arrow offset.
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
}

fn write_list(
    rows: &ListArray,
    items: &Cells,
    element: u32,
    row: usize,
    out: &mut BytesMut,
) -> std::result::Result<(), &'static str> {
    let ends = rows.value_offsets();
    let (begin, end) = (ends[row], ends[row + 1]);
    let at = out.len();
    out.put_i32(0);
    out.put_i32(i32::from(end > begin));
    out.put_i32(i32::from(
        (begin..end).any(|item| items.is_null(usize::try_from(item).unwrap_or(0))),
    ));
    out.put_u32(element);
    if end > begin {
        out.put_i32(end - begin);
        out.put_i32(1);
        for item in begin..end {
            items.write(usize::try_from(item).unwrap_or(0), out)?;
        }
    }
    let length =
        i32::try_from(out.len() - at - 4).map_err(|_| "the list is longer than two gigabytes")?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
