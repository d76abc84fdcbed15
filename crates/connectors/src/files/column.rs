//! One growing Arrow column that takes text and gives values of its type.
//!
//! Promise: a text that does not fit becomes a null and is reported by row; the caller drops that row and
//! says why. The type was chosen before: declared, known or inferred. Read next: `rows.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, StringArray, new_null_array};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, TimeUnit};

use super::cells::{Cells, Nulls};
use super::nested::{self, Leaves, Nested};
use super::value::{self, TimeFormats};
use crate::exact::local::NumberFormat;

/// A column on its way.
pub(crate) struct Column {
    data_type: DataType,
    values: Values,
    format: ColumnFormat,
    exact: bool,
}

/// How the numbers and times of a column are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ColumnFormat {
    pub(crate) times: TimeFormats,
    pub(crate) numbers: NumberFormat,
}

impl Default for ColumnFormat {
    fn default() -> Self {
        Self {
            times: TimeFormats::default(),
            numbers: NumberFormat::PLAIN,
        }
    }
}

/// How the columns of a table are written: by its options, and where only the values tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formats {
    pub(crate) usual: ColumnFormat,
    pub(crate) own: BTreeMap<String, ColumnFormat>,
}

impl Formats {
    pub(crate) fn of(&self, column: &str) -> &ColumnFormat {
        self.own.get(column).unwrap_or(&self.usual)
    }
}

/// How the texts of a table are read, whatever their columns.
pub(crate) struct Readings<'a> {
    pub(crate) nulls: &'a Nulls,
    pub(crate) formats: &'a Formats,
    /// Columns whose type is known from before: their doubles must keep every digit.
    pub(crate) exact: &'a BTreeSet<String>,
}

impl Readings<'_> {
    /// Why a text does not fit its column, in words.
    pub(crate) fn misfit(&self, column: &str, text: &[u8], data_type: &DataType) -> String {
        let format = self.formats.of(column);
        let is_exact = self.exact.contains(column);
        if is_exact
            && data_type.is_numeric()
            && format.numbers.read(text, value::double).is_some()
            && let Some(what) = code(text)
        {
            let word = towpath_vocab::types::name(data_type);
            return format!(
                "has {what}, which `{word}`, the type of this column so far, does not keep; declare `type: text` to keep it"
            );
        }
        let mut why = misfit(text, data_type, format);
        if is_exact {
            why.push_str(match data_type.is_nested() {
                true => "; the column keeps its type, declare a different one to change it",
                false => ", the type of this column so far; declare a different one to change it",
            });
        }
        why
    }
}

enum Values {
    I8(PrimitiveBuilder<Int8Type>),
    I16(PrimitiveBuilder<Int16Type>),
    I32(PrimitiveBuilder<Int32Type>),
    I64(PrimitiveBuilder<Int64Type>),
    U8(PrimitiveBuilder<UInt8Type>),
    U16(PrimitiveBuilder<UInt16Type>),
    U32(PrimitiveBuilder<UInt32Type>),
    U64(PrimitiveBuilder<UInt64Type>),
    F32(PrimitiveBuilder<Float32Type>),
    F64(PrimitiveBuilder<Float64Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>, u8, i8),
    Bool(BooleanBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>, bool),
    Text(Texts),
    /// Lists and structs; made with the first cells, when it is known how leaves are read.
    Nested(Option<Nested>),
    /// The file has no such column.
    Absent(usize),
}

/// Offsets, bytes and nulls of a text column. The bytes are checked to be UTF-8 once, at the end.
struct Texts {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Texts {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            bytes: Vec::with_capacity(rows * 8),
            nulls: NullBufferBuilder::new(rows),
        }
    }

    #[inline]
    fn push(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => {
                self.bytes.extend_from_slice(text);
                self.nulls.append_non_null();
            }
            None => self.nulls.append_null(),
        }
        // A chunk is shorter than 2^31, and so is the text of its cells.
        self.offsets
            .push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    /// Bytes as they are written: `\x` and two hexadecimal digits each. Any other text is its own bytes.
    fn into_bytes(mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        let mut out = BinaryBuilder::with_capacity(self.offsets.len(), self.bytes.len() / 2);
        for (row, ends) in self.offsets.windows(2).enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                out.append_null();
                continue;
            }
            let at =
                |end: Option<&i32>| end.and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
            let text = self.bytes.get(at(ends.first())..at(ends.last()));
            let text = text.unwrap_or_default();
            match text.strip_prefix(b"\\x").and_then(bytes_of) {
                Some(bytes) => out.append_value(bytes),
                None => out.append_value(text),
            }
        }
        Arc::new(out.finish())
    }
}

/// The bytes that hexadecimal digits stand for, if all of it is digits.
pub(crate) fn bytes_of(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = hex.chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        })
        .collect()
}

/// Whether text can be read as this type.
pub(crate) fn readable_type(data_type: &DataType) -> bool {
    Values::new(data_type, 0).is_some()
}

impl Values {
    fn new(data_type: &DataType, rows: usize) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 => Self::I8(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int16 => Self::I16(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int32 => Self::I32(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int64 => Self::I64(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt8 => Self::U8(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt16 => Self::U16(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt32 => Self::U32(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt64 => Self::U64(PrimitiveBuilder::with_capacity(rows)),
            DataType::Float32 => Self::F32(PrimitiveBuilder::with_capacity(rows)),
            DataType::Float64 => Self::F64(PrimitiveBuilder::with_capacity(rows)),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal(PrimitiveBuilder::with_capacity(rows), *precision, *scale)
            }
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Date32 => Self::Date(PrimitiveBuilder::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Self::Timestamp(PrimitiveBuilder::with_capacity(rows), zone.is_some())
            }
            DataType::Utf8 | DataType::Binary => Self::Text(Texts::new(rows)),
            nested if nested::is_readable(nested) => Self::Nested(None),
            _ => return None,
        })
    }
}

#[inline]
fn put<T: ArrowPrimitiveType>(
    builder: &mut PrimitiveBuilder<T>,
    cells: &Cells<'_>,
    bad: &mut Vec<usize>,
    first: usize,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) {
    cells.each(|row, text, _| match text {
        None => builder.append_null(),
        Some(text) => match parse(text) {
            Some(value) => builder.append_value(value),
            None => {
                builder.append_null();
                bad.push(first + row);
            }
        },
    });
}

impl Column {
    /// An empty column of a type that `readable_type` allows; others give nulls only.
    pub(crate) fn new(data_type: &DataType, rows: usize, format: &ColumnFormat) -> Self {
        let values = Values::new(data_type, rows).unwrap_or(Values::Absent(0));
        Self {
            data_type: data_type.clone(),
            values,
            format: format.clone(),
            exact: false,
        }
    }

    /// With `exact`, a number of which a double would lose digits does not fit; else the nearest one
    /// is taken.
    pub(crate) fn exactly(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// A column that no cell belongs to.
    pub(crate) fn absent(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            values: Values::Absent(0),
            format: ColumnFormat::default(),
            exact: false,
        }
    }

    /// Adds nulls to an absent column.
    pub(crate) fn pass(&mut self, rows: usize) {
        if let Values::Absent(count) = &mut self.values {
            *count += rows;
        }
    }

    /// Adds cells; rows that do not fit go to `bad`, counted from `first`.
    pub(crate) fn fill(&mut self, cells: &Cells<'_>, first: usize, bad: &mut Vec<usize>) {
        let ColumnFormat { times, numbers } = &self.format;
        let (numbers, exact) = (*numbers, self.exact);
        let is_kept = |text: &[u8]| !exact || code(text).is_none();
        let small = |text: &[u8]| numbers.read(text, value::integer).filter(|_| is_kept(text));
        match &mut self.values {
            Values::I8(b) => put(b, cells, bad, first, |text| small(text)?.try_into().ok()),
            Values::I16(b) => put(b, cells, bad, first, |text| small(text)?.try_into().ok()),
            Values::I32(b) => put(b, cells, bad, first, |text| small(text)?.try_into().ok()),
            Values::I64(b) => put(b, cells, bad, first, small),
            Values::U8(b) => put(b, cells, bad, first, |text| small(text)?.try_into().ok()),
            Values::U16(b) => put(b, cells, bad, first, |text| small(text)?.try_into().ok()),
            Values::U32(b) => put(b, cells, bad, first, |text| small(text)?.try_into().ok()),
            Values::U64(b) => {
                put(b, cells, bad, first, |text| {
                    numbers
                        .read(text, value::unsigned)
                        .filter(|_| is_kept(text))
                });
            }
            Values::F32(b) => {
                let read = if exact {
                    value::exact_single
                } else {
                    value::single
                };
                let read = |text: &[u8]| numbers.read(text, read).filter(|_| is_kept(text));
                put(b, cells, bad, first, read);
            }
            Values::F64(b) => {
                let read = if exact {
                    value::exact_double
                } else {
                    value::double
                };
                let read = |text: &[u8]| numbers.read(text, read).filter(|_| is_kept(text));
                put(b, cells, bad, first, read);
            }
            Values::Decimal(b, precision, scale) => {
                let read = |text: &[u8]| value::decimal(text, *precision, *scale);
                let read = |text: &[u8]| numbers.read(text, read).filter(|_| is_kept(text));
                put(b, cells, bad, first, read);
            }
            Values::Date(b) => put(b, cells, bad, first, |text| times.date(text)),
            Values::Timestamp(b, zoned) => {
                put(b, cells, bad, first, |text| moment(text, *zoned, times))
            }
            Values::Bool(b) => cells.each(|row, text, _| match text.map(value::boolean) {
                None => b.append_null(),
                Some(Some(value)) => b.append_value(value),
                Some(None) => {
                    b.append_null();
                    bad.push(first + row);
                }
            }),
            Values::Text(texts) => cells.each(|_, text, _| texts.push(text)),
            Values::Nested(values) => {
                let leaves = Leaves {
                    format: &self.format,
                    exact: self.exact,
                };
                let data_type = &self.data_type;
                let new = || Nested::new(data_type, 0, leaves);
                let values = values.get_or_insert_with(new);
                cells.each(|row, text, _| {
                    let good = text.filter(|text| nested::check(text, data_type, leaves).is_ok());
                    if text.is_some() && good.is_none() {
                        bad.push(first + row);
                    }
                    values.push(good);
                });
            }
            Values::Absent(count) => cells.each(|_, _, _| *count += 1),
        }
    }

    /// The column so far.
    pub(crate) fn finish(self) -> Result<ArrayRef, ArrowError> {
        let data_type = self.data_type;
        Ok(match self.values {
            Values::I8(mut b) => Arc::new(b.finish()),
            Values::I16(mut b) => Arc::new(b.finish()),
            Values::I32(mut b) => Arc::new(b.finish()),
            Values::I64(mut b) => Arc::new(b.finish()),
            Values::U8(mut b) => Arc::new(b.finish()),
            Values::U16(mut b) => Arc::new(b.finish()),
            Values::U32(mut b) => Arc::new(b.finish()),
            Values::U64(mut b) => Arc::new(b.finish()),
            Values::F32(mut b) => Arc::new(b.finish()),
            Values::F64(mut b) => Arc::new(b.finish()),
            Values::Decimal(mut b, ..) => Arc::new(b.finish().with_data_type(data_type)),
            Values::Bool(mut b) => Arc::new(b.finish()),
            Values::Date(mut b) => Arc::new(b.finish()),
            Values::Timestamp(mut b, _) => Arc::new(b.finish().with_data_type(data_type)),
            Values::Text(texts) if data_type == DataType::Binary => texts.into_bytes(),
            Values::Text(mut texts) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(texts.offsets));
                let (bytes, nulls) = (Buffer::from_vec(texts.bytes), texts.nulls.finish());
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Nested(Some(values)) => values.finish()?,
            Values::Nested(None) => new_null_array(&data_type, 0),
            Values::Absent(rows) => new_null_array(&data_type, rows),
        })
    }
}

/// A timestamp of a column with or without a time zone. A date alone is midnight; an offset is
/// demanded of an instant and refused otherwise.
fn moment(text: &[u8], zoned: bool, times: &TimeFormats) -> Option<i64> {
    match times.timestamp(text) {
        Some(moment) => (moment.zoned == zoned).then_some(moment.micros),
        None if zoned => None,
        None => Some(i64::from(times.date(text)?) * 86_400_000_000),
    }
}

/// Why a text does not fit a type, in words.
pub(crate) fn misfit(text: &[u8], data_type: &DataType, format: &ColumnFormat) -> String {
    let word = towpath_vocab::types::name(data_type);
    let ColumnFormat { times, numbers } = format;
    let reads = |read: fn(&[u8]) -> Option<f64>| numbers.read(text, read).is_some();
    let is_beyond = |text: &[u8]| value::beyond_doubles(text).then_some(());
    match data_type {
        DataType::List(_) | DataType::Struct(_) => {
            let leaves = Leaves {
                format,
                exact: false,
            };
            let why = nested::check(text, data_type, leaves).err();
            why.unwrap_or_else(|| format!("does not fit `{word}` exactly"))
        }
        DataType::Timestamp(_, zone) => match times.timestamp(text) {
            Some(moment) if moment.zoned && zone.is_none() => {
                format!("is not a valid `{word}`: it has an offset; declare `timestamptz`")
            }
            Some(moment) if !moment.zoned && zone.is_some() => {
                format!("is not a valid `{word}`: it has no offset; declare `timestamp`")
            }
            _ => format!("is not a valid `{word}`"),
        },
        DataType::Decimal128(..) if reads(value::double) => {
            format!("does not fit `{word}` exactly")
        }
        DataType::Float32 | DataType::Float64 if reads(value::double) => {
            format!("does not fit `{word}` exactly; declare `{word}` for the nearest one")
        }
        DataType::Float32 | DataType::Float64 if numbers.read(text, is_beyond).is_some() => {
            format!("is out of range for `{word}`")
        }
        data_type if data_type.is_integer() && is_whole(text, *numbers) => {
            match numbers.read(text, digits).is_some() {
                true => format!("is out of range for `{word}`"),
                false => format!(
                    "is not written as a whole number: `{word}` takes digits only, no point and no exponent"
                ),
            }
        }
        _ if text.is_empty() => {
            format!(
                "is not a valid `{word}`: an empty text; `null_values: [\"\"]` reads it as NULL"
            )
        }
        _ => format!("is not a valid `{word}`"),
    }
}

/// A sign and digits alone.
fn digits(text: &[u8]) -> Option<()> {
    let digits = match text {
        [b'-' | b'+', digits @ ..] | digits => digits,
    };
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(())
}

/// What of a number's text no number type keeps: such a text may be a code, as `01067`. When a type is found
/// from values, such values make the column text; a type found before must not change them either.
fn code(text: &[u8]) -> Option<&'static str> {
    match text.strip_prefix(b"-").unwrap_or(text) {
        [b'+', ..] => Some("a plus sign"),
        [b'0', b'0'..=b'9', ..] => Some("leading zeros"),
        _ => None,
    }
}

fn is_whole(text: &[u8], numbers: NumberFormat) -> bool {
    let whole = |text: &[u8]| value::decimal(text, 38, 0);
    numbers.read(text, whole).is_some()
}
