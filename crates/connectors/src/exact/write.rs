//! A column's values as exact text: what CSV cells and JSON members are made of.
//!
//! Promise: the text of a value reads back as the same value: decimals keep their scale, doubles have
//! the shortest digits that lead back to them, timestamps are ISO 8601 with `Z` for instants, bytes are
//! `\x` and hex. It quotes nothing: those who frame it do.

use std::io::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType,
    TimestampNanosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use chrono::DateTime;

use super::read::TimeFormats;

const DAY_US: i64 = 86_400_000_000;

/// A column ready to be written.
pub(crate) struct Values {
    nulls: Option<NullBuffer>,
    pub(crate) kind: Kind,
}

/// Its values by what they look like.
pub(crate) enum Kind {
    Null,
    Bool(BooleanArray),
    Signed(PrimitiveArray<Int64Type>),
    Unsigned(PrimitiveArray<UInt64Type>),
    Single(PrimitiveArray<Float32Type>),
    Double(PrimitiveArray<Float64Type>),
    Decimal(PrimitiveArray<Decimal128Type>, i8),
    Date(PrimitiveArray<Date32Type>),
    /// With `Z`.
    Micros(PrimitiveArray<TimestampMicrosecondType>, bool),
    Nanos(PrimitiveArray<TimestampNanosecondType>, bool),
    Text(StringArray),
    Bytes(BinaryArray),
    List(OffsetBuffer<i32>, Box<Values>),
    Struct(Vec<(String, Values)>),
    /// Entries: keys and what they stand for.
    Map(OffsetBuffer<i32>, Box<[Values; 2]>),
    /// Times of day, spans of time, wide decimals: as Arrow shows them, which is exact.
    Shown(ArrayRef),
}

/// How a type is brought into one of the kinds.
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
pub(crate) fn has_text(data_type: &DataType) -> bool {
    match common(data_type) {
        DataType::List(item) => has_text(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| has_text(field.data_type())),
        DataType::Map(entries, _) => has_text(entries.data_type()),
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

impl Values {
    /// A column, encodings undone.
    pub(crate) fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
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
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Bool(array.as_boolean().clone()),
            DataType::Int64 => Kind::Signed(array.as_primitive().clone()),
            DataType::UInt64 => Kind::Unsigned(array.as_primitive().clone()),
            DataType::Float32 => Kind::Single(array.as_primitive().clone()),
            DataType::Float64 => Kind::Double(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => Kind::Decimal(array.as_primitive().clone(), *scale),
            DataType::Date32 => Kind::Date(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Kind::Micros(array.as_primitive().clone(), zone.is_some())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                Kind::Nanos(array.as_primitive().clone(), zone.is_some())
            }
            DataType::Utf8 => Kind::Text(array.as_string().clone()),
            DataType::Binary => Kind::Bytes(array.as_binary().clone()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Kind::List(list.offsets().clone(), Box::new(Self::of(list.values())?))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter().zip(fields);
                let members =
                    columns.map(|(column, field)| Ok((field.name().clone(), Self::of(column)?)));
                Kind::Struct(members.collect::<Result<_, ArrowError>>()?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let entries = [Self::of(map.keys())?, Self::of(map.values())?];
                Kind::Map(map.offsets().clone(), Box::new(entries))
            }
            other if is_shown(other) => Kind::Shown(Arc::clone(&array)),
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

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match &self.nulls {
            Some(nulls) => nulls.is_null(row),
            None => matches!(self.kind, Kind::Null),
        }
    }

    /// Whether JSON can hold the value without quotes.
    #[inline]
    pub(crate) fn is_plain_json(&self, row: usize) -> bool {
        match &self.kind {
            Kind::Bool(_) | Kind::Signed(_) | Kind::Unsigned(_) => true,
            Kind::Single(values) => values.value(row).is_finite(),
            Kind::Double(values) => values.value(row).is_finite(),
            _ => false,
        }
    }

    /// Adds the text of one value that is not null and neither text nor nested.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match &self.kind {
            Kind::Bool(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            }
            Kind::Signed(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(row)).as_bytes())
            }
            Kind::Unsigned(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(row)).as_bytes())
            }
            Kind::Single(values) => show(out, format_args!("{:?}", values.value(row))),
            Kind::Double(values) => show(out, format_args!("{:?}", values.value(row))),
            Kind::Decimal(values, scale) => decimal(values.value(row), *scale, out),
            Kind::Date(values) => date(i64::from(values.value(row)), out),
            Kind::Micros(values, zoned) => {
                moment(i128::from(values.value(row)) * 1_000, 6, *zoned, out)
            }
            Kind::Nanos(values, zoned) => moment(i128::from(values.value(row)), 9, *zoned, out),
            Kind::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Kind::Bytes(values) => {
                out.extend_from_slice(b"\\x");
                for byte in values.value(row) {
                    show(out, format_args!("{byte:02x}"));
                }
            }
            Kind::Shown(values) => {
                let options = FormatOptions::default();
                let formatter = ArrayFormatter::try_new(values.as_ref(), &options)?;
                show(
                    out,
                    format_args!("{}", formatter.value(row).try_to_string()?),
                );
            }
            Kind::Null | Kind::List(..) | Kind::Struct(_) | Kind::Map(..) => {}
        }
        Ok(())
    }

    /// Adds a date or timestamp in the user's pattern; false when the pattern does not lead back to it.
    pub(crate) fn write_formatted(
        &self,
        row: usize,
        times: &TimeFormats,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        let micros = match &self.kind {
            Kind::Date(values) => i64::from(values.value(row)).checked_mul(DAY_US),
            Kind::Micros(values, _) => Some(values.value(row)),
            Kind::Nanos(values, _) if values.value(row) % 1_000 == 0 => {
                Some(values.value(row) / 1_000)
            }
            _ => None,
        };
        let Some((micros, moment)) =
            micros.and_then(|micros| Some((micros, DateTime::from_timestamp_micros(micros)?)))
        else {
            return false;
        };
        match (&self.kind, &times.date, &times.timestamp) {
            (Kind::Date(_), Some(pattern), _) => {
                show(out, format_args!("{}", moment.date_naive().format(pattern)));
                let text = out.get(start..).unwrap_or_default();
                times
                    .date(text)
                    .is_some_and(|days| i64::from(days) * DAY_US == micros)
            }
            (Kind::Micros(_, zoned) | Kind::Nanos(_, zoned), _, Some(pattern)) => {
                if *zoned {
                    show(out, format_args!("{}", moment.format(pattern)));
                } else if !times.offset {
                    show(out, format_args!("{}", moment.naive_utc().format(pattern)));
                }
                let text = out.get(start..).unwrap_or_default();
                times
                    .timestamp(text)
                    .is_some_and(|back| back.micros == micros && back.zoned == *zoned)
            }
            _ => false,
        }
    }
}

fn show(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let Ok(fraction) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        if value != 0 {
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

/// `YYYY-MM-DD` of days since 1970; years outside 0 to 9999 get a sign, as ISO 8601 demands.
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

/// Nanoseconds since 1970 with a fraction of this many digits where it is not zero.
fn moment(nanos: i128, fraction_digits: u32, zoned: bool, out: &mut Vec<u8>) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_array::{
        Date32Array, Decimal128Array, Float32Array, Float64Array, TimestampMicrosecondArray,
    };
    use proptest::prelude::*;

    use super::super::read as value;
    use super::*;

    fn text(array: ArrayRef) -> String {
        let mut out = Vec::new();
        Values::of(&array).unwrap().write(0, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn exact_texts() {
        let dec = |value: i128, scale| {
            text(Arc::new(
                Decimal128Array::from(vec![value])
                    .with_precision_and_scale(38, scale)
                    .unwrap(),
            ))
        };
        assert_eq!(dec(-5, 3), "-0.005");
        assert_eq!(dec(0, 2), "0.00");
        assert_eq!(dec(12345, 2), "123.45");
        assert_eq!(dec(10_i128.pow(38) - 1, 0), "9".repeat(38));
        assert_eq!(dec(7, -2), "700");
        let double = |value| text(Arc::new(Float64Array::from(vec![value])));
        assert_eq!(double(0.1), "0.1");
        assert_eq!(double(-0.0), "-0.0");
        assert_eq!(double(1e300), "1e300");
        assert_eq!(double(f64::NAN), "NaN");
        assert_eq!(text(Arc::new(Float32Array::from(vec![0.1]))), "0.1");
        let at = |micros, zone: Option<&str>| {
            text(Arc::new(
                TimestampMicrosecondArray::from(vec![micros]).with_timezone_opt(zone),
            ))
        };
        assert_eq!(at(0, Some("UTC")), "1970-01-01T00:00:00Z");
        assert_eq!(at(-1, None), "1969-12-31T23:59:59.999999");
        assert_eq!(
            at(1_357_000_000_000_000, Some("America/New_York")),
            "2013-01-01T00:26:40Z"
        );
        let day = |days| text(Arc::new(Date32Array::from(vec![days])));
        assert_eq!(
            (day(0), day(11_016)),
            ("1970-01-01".to_owned(), "2000-02-29".to_owned())
        );
        assert_eq!(day(2_932_897), "+010000-01-01");
    }

    proptest! {
        #[test]
        fn values_read_back(
            days in -719_162..=2_932_896_i32,
            micros in -62_135_596_800_000_000..=253_402_300_799_999_999_i64,
            bits: u64,
            digits in -(10_i128.pow(38) - 1)..10_i128.pow(38),
            scale in 0..=38_i8,
        ) {
            prop_assert_eq!(value::date(text(Arc::new(Date32Array::from(vec![days]))).as_bytes()), Some(days));
            let moment = text(Arc::new(TimestampMicrosecondArray::from(vec![micros])));
            prop_assert_eq!(value::timestamp(moment.as_bytes()).map(|back| back.micros), Some(micros));
            let double = f64::from_bits(bits);
            let back = value::double(text(Arc::new(Float64Array::from(vec![double]))).as_bytes()).unwrap();
            prop_assert!(back.to_bits() == bits || double.is_nan() && back.is_nan());
            let array = Decimal128Array::from(vec![digits]).with_precision_and_scale(38, scale).unwrap();
            prop_assert_eq!(value::decimal(text(Arc::new(array)).as_bytes(), 38, scale), Some(digits));
        }
    }
}
