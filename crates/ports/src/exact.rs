//! The values of a column as exact text, for CSV cells, JSON members and rejected records.
//!
//! Promise: the text of a value parses to the same value. Decimals keep their scale, doubles have the
//! shortest digits that give the same double, timestamps are ISO 8601 with `Z` for instants, bytes are `\x`
//! and hex, intervals are ISO 8601 durations. No error text is ever a value. It knows no file format:
//! connectors add quotes and delimiters.

use std::io::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int64Type,
    IntervalMonthDayNanoType, TimestampMicrosecondType, TimestampNanosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, IntervalUnit, TimeUnit};
/// A column whose values can be written as text.
pub struct ExactValues {
    nulls: Option<NullBuffer>,
    /// The kind of the values.
    pub kind: ExactKind,
}

/// The values of a column, by their kind.
pub enum ExactKind {
    /// Always NULL.
    Null,
    /// Truth values.
    Bool(BooleanArray),
    /// Whole numbers.
    Signed(PrimitiveArray<Int64Type>),
    /// Whole numbers without sign.
    Unsigned(PrimitiveArray<UInt64Type>),
    /// Floating point, 32 bits.
    Single(PrimitiveArray<Float32Type>),
    /// Floating point, 64 bits.
    Double(PrimitiveArray<Float64Type>),
    /// With its scale.
    Decimal(PrimitiveArray<Decimal128Type>, i8),
    /// Days since 1970.
    Date(PrimitiveArray<Date32Type>),
    /// With `Z`.
    Micros(PrimitiveArray<TimestampMicrosecondType>, bool),
    /// With `Z`.
    Nanos(PrimitiveArray<TimestampNanosecondType>, bool),
    /// Text.
    Text(StringArray),
    /// Bytes.
    Bytes(BinaryArray),
    /// Lists, by their offsets.
    List(OffsetBuffer<i32>, Box<ExactValues>),
    /// Members by name.
    Struct(Vec<(String, ExactValues)>),
    /// Entries: keys and their values.
    Map(OffsetBuffer<i32>, Box<[ExactValues; 2]>),
    /// Times of day, durations, decimals with more than 38 digits.
    Shown(ArrayRef),
}

/// The type to which a type is cast before it is one of the kinds.
fn common(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::UInt64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::ListView(item) => {
            DataType::List(Arc::clone(item))
        }
        DataType::Dictionary(_, values) => common(values),
        DataType::RunEndEncoded(_, values) => common(values.data_type()),
        other => other.clone(),
    }
}

/// Types whose values Arrow shows exactly.
fn is_shown(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Date64
            | DataType::Duration(_)
            | DataType::Interval(_)
            | DataType::Decimal256(..)
    )
}

/// Whether every value of a type has an exact text.
pub fn has_exact_text(data_type: &DataType) -> bool {
    match common(data_type) {
        DataType::List(item) => has_exact_text(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| has_exact_text(field.data_type())),
        DataType::Map(entries, _) => has_exact_text(entries.data_type()),
        DataType::Null
        | DataType::Boolean
        | DataType::Int64
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Timestamp(..)
        | DataType::Utf8
        | DataType::Binary => true,
        other => is_shown(&other),
    }
}

impl ExactValues {
    /// Converts a column; dictionaries and other encodings are resolved.
    pub fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let wanted = common(array.data_type());
        let array = if wanted == *array.data_type() {
            Arc::clone(array)
        } else {
            let exact = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(array, &wanted, &exact)?
        };
        let kind = match array.data_type() {
            DataType::Null => ExactKind::Null,
            DataType::Boolean => ExactKind::Bool(array.as_boolean().clone()),
            DataType::Int64 => ExactKind::Signed(array.as_primitive().clone()),
            DataType::UInt64 => ExactKind::Unsigned(array.as_primitive().clone()),
            DataType::Float32 => ExactKind::Single(array.as_primitive().clone()),
            DataType::Float64 => ExactKind::Double(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => {
                ExactKind::Decimal(array.as_primitive().clone(), *scale)
            }
            DataType::Date32 => ExactKind::Date(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                ExactKind::Micros(array.as_primitive().clone(), zone.is_some())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                ExactKind::Nanos(array.as_primitive().clone(), zone.is_some())
            }
            DataType::Utf8 => ExactKind::Text(array.as_string().clone()),
            DataType::Binary => ExactKind::Bytes(array.as_binary().clone()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                ExactKind::List(list.offsets().clone(), Box::new(Self::of(list.values())?))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter().zip(fields);
                let members =
                    columns.map(|(column, field)| Ok((field.name().clone(), Self::of(column)?)));
                ExactKind::Struct(members.collect::<Result<_, ArrowError>>()?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let entries = [Self::of(map.keys())?, Self::of(map.values())?];
                ExactKind::Map(map.offsets().clone(), Box::new(entries))
            }
            other if is_shown(other) => ExactKind::Shown(Arc::clone(&array)),
            other => {
                let message = format!("a value of type {other} has no exact text");
                return Err(ArrowError::NotYetImplemented(message));
            }
        };
        Ok(Self {
            nulls: array.logical_nulls(),
            kind,
        })
    }

    /// Whether a row has no value.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        match &self.nulls {
            Some(nulls) => nulls.is_null(row),
            None => matches!(self.kind, ExactKind::Null),
        }
    }

    /// Whether JSON can hold the value without quotes.
    #[inline]
    pub fn is_plain_json(&self, row: usize) -> bool {
        match &self.kind {
            ExactKind::Bool(_) | ExactKind::Signed(_) | ExactKind::Unsigned(_) => true,
            ExactKind::Single(values) => values.value(row).is_finite(),
            ExactKind::Double(values) => values.value(row).is_finite(),
            _ => false,
        }
    }

    /// Adds the text of one value. The value is not NULL, not text and not nested.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match &self.kind {
            ExactKind::Bool(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            }
            ExactKind::Signed(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(row)).as_bytes())
            }
            ExactKind::Unsigned(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(row)).as_bytes())
            }
            ExactKind::Single(values) => show(out, format_args!("{:?}", values.value(row))),
            ExactKind::Double(values) => show(out, format_args!("{:?}", values.value(row))),
            ExactKind::Decimal(values, scale) => decimal(values.value(row), *scale, out),
            ExactKind::Date(values) => date(i64::from(values.value(row)), out),
            ExactKind::Micros(values, zoned) => {
                exact_moment(i128::from(values.value(row)) * 1_000, 6, *zoned, out)
            }
            ExactKind::Nanos(values, zoned) => {
                exact_moment(i128::from(values.value(row)), 9, *zoned, out)
            }
            ExactKind::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            ExactKind::Bytes(values) => {
                out.extend_from_slice(b"\\x");
                for byte in values.value(row) {
                    show(out, format_args!("{byte:02x}"));
                }
            }
            ExactKind::Shown(values) => shown(values, row, out)?,
            ExactKind::Null | ExactKind::List(..) | ExactKind::Struct(_) | ExactKind::Map(..) => {}
        }
        Ok(())
    }
}

fn show(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    pointed(value < 0, digits, scale, out);
}

/// Writes digits with a decimal point at the right position.
fn pointed(negative: bool, digits: &[u8], scale: i8, out: &mut Vec<u8>) {
    if negative {
        out.push(b'-');
    }
    let Ok(fraction) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    if fraction == 0 {
        out.extend_from_slice(digits);
        return;
    }
    let whole = digits.len().saturating_sub(fraction);
    let (before, after) = digits.split_at(whole);
    out.extend_from_slice(if before.is_empty() { b"0" } else { before });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', fraction - after.len()));
    out.extend_from_slice(after);
}

/// Writes days since 1970 as `YYYY-MM-DD`; years outside 0 to 9999 get a sign, as ISO 8601 requires.
fn date(days: i64, out: &mut Vec<u8>) {
    // Days since 0000-03-01, in eras of 400 years; years counted from March.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9999).contains(&year) {
        digits(year, 4, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        digits(year.abs(), if year.abs() > 9999 { 6 } else { 4 }, out);
    }
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
}

/// A number with at least so many digits.
fn digits(value: i64, least: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value).as_bytes();
    out.extend(std::iter::repeat_n(b'0', least.saturating_sub(text.len())));
    out.extend_from_slice(text);
}

/// Adds a moment in ISO 8601: nanoseconds since 1970, with a fraction of this many digits where it is not zero.
pub fn exact_moment(nanos: i128, fraction_digits: u32, zoned: bool, out: &mut Vec<u8>) {
    const SECOND: i128 = 1_000_000_000;
    let seconds = i64::try_from(nanos.div_euclid(SECOND)).unwrap_or(i64::MAX);
    let fraction = i64::try_from(nanos.rem_euclid(SECOND)).unwrap_or(0);
    date(seconds.div_euclid(86_400), out);
    let of_day = seconds.rem_euclid(86_400);
    out.push(b'T');
    digits(of_day / 3_600, 2, out);
    out.push(b':');
    digits(of_day / 60 % 60, 2, out);
    out.push(b':');
    digits(of_day % 60, 2, out);
    if fraction != 0 {
        // Microseconds unless there is more.
        let (value, width) = if fraction % 1_000 == 0 {
            (fraction / 1_000, 6)
        } else {
            (fraction, fraction_digits)
        };
        out.push(b'.');
        digits(value, width as usize, out);
    }
    if zoned {
        out.push(b'Z');
    }
}

/// Values of the rarer types.
fn shown(values: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    match values.data_type() {
        DataType::Interval(_) => return interval(values, row, out),
        DataType::Duration(unit) => duration(values, *unit, row, out)?,
        DataType::Decimal256(_, scale) => {
            let text = values
                .as_primitive::<Decimal256Type>()
                .value(row)
                .to_string();
            let digits = text.strip_prefix('-').unwrap_or(&text);
            pointed(digits.len() < text.len(), digits.as_bytes(), *scale, out);
        }
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(values.as_ref(), &options)?;
            let text = formatter.value(row).try_to_string()?;
            out.extend_from_slice(text.as_bytes());
        }
    }
    Ok(())
}

/// An ISO 8601 duration of seconds.
fn duration(
    values: &ArrayRef,
    unit: TimeUnit,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let per_second: u64 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let ticks = cast_with_options(values, &DataType::Int64, &CastOptions::default())?;
    let ticks = ticks.as_primitive::<Int64Type>().value(row);
    let sign = if ticks < 0 { "-" } else { "" };
    let (seconds, rest) = (
        ticks.unsigned_abs() / per_second,
        ticks.unsigned_abs() % per_second * (1_000_000_000 / per_second),
    );
    show(out, format_args!("PT{sign}{seconds}"));
    if rest != 0 {
        show(out, format_args!(".{rest:09}"));
    }
    out.push(b'S');
    Ok(())
}

/// An ISO 8601 duration of months, days and seconds.
fn interval(values: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let whole = cast_with_options(
        values,
        &DataType::Interval(IntervalUnit::MonthDayNano),
        &CastOptions::default(),
    )?;
    let span = whole.as_primitive::<IntervalMonthDayNanoType>().value(row);
    let (nanos, sign) = match span.nanoseconds {
        nanos if nanos < 0 => (nanos.unsigned_abs(), "-"),
        nanos => (nanos.unsigned_abs(), ""),
    };
    show(
        out,
        format_args!(
            "P{}M{}DT{sign}{}",
            span.months,
            span.days,
            nanos / 1_000_000_000
        ),
    );
    match nanos % 1_000_000_000 {
        0 => {}
        rest => show(out, format_args!(".{rest:09}")),
    }
    out.push(b'S');
    Ok(())
}
