//! Converts text columns to a declared type: exactly, or not at all.
//!
//! Promise: it uses the parsers of `vocab::text`, like the readers of files. In addition, blanks around a
//! value are ignored, a date may have the time 00:00, and a timestamp may have no time. Arrow converts all
//! other types. It knows no column, and does not know what happens to a row: see `projection.rs`.

use arrow_array::types::{Date32Type, Float32Type, Float64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow_array::{Decimal128Array, types::Decimal128Type};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use std::sync::Arc;
use towpath_vocab::text;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Parses the texts as this type, with NULL for those that do not parse; `None` for types that are parsed
/// elsewhere.
pub(crate) fn typed(texts: &StringArray, to: &DataType) -> Option<Result<ArrayRef, ArrowError>> {
    Some(Ok(match to {
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let values =
                read::<Decimal128Type>(texts, |text| text::decimal(text, precision, scale));
            let typed: Result<Decimal128Array, _> =
                values.with_precision_and_scale(precision, scale);
            return Some(typed.map(|typed| Arc::new(typed) as ArrayRef));
        }
        DataType::Float32 => Arc::new(read::<Float32Type>(texts, text::single)),
        DataType::Float64 => Arc::new(read::<Float64Type>(texts, text::double)),
        DataType::Date32 => Arc::new(read::<Date32Type>(texts, day)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let zoned = zone.is_some();
            let values = read::<TimestampMicrosecondType>(texts, |text| moment(text, zoned));
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        _ => return None,
    }))
}

fn read<T: ArrowPrimitiveType>(
    texts: &StringArray,
    one: impl Fn(&[u8]) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    // Blanks around a value have no meaning: a database pads `char(n)` with them.
    let value = |text: &str| one(text.trim_matches(' ').as_bytes());
    texts.iter().map(|text| text.and_then(value)).collect()
}

/// A date, or a timestamp without a time of day, as days since 1970.
fn day(text: &[u8]) -> Option<i32> {
    text::date(text).or_else(|| {
        let moment = text::timestamp(text).filter(|moment| !moment.zoned)?;
        let is_midnight = moment.micros % DAY_US == 0;
        i32::try_from(is_midnight.then_some(moment.micros / DAY_US)?).ok()
    })
}

/// Microseconds since 1970. A date alone is midnight; an instant must have an offset, and other timestamps
/// must not.
fn moment(text: &[u8], zoned: bool) -> Option<i64> {
    match text::timestamp(text) {
        Some(moment) => (moment.zoned == zoned).then_some(moment.micros),
        None if zoned => None,
        None => text::date(text).map(|days| i64::from(days) * DAY_US),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use towpath_vocab::types;

    use super::*;

    /// The value of a text as Arrow writes it, or `None`.
    fn converted(text: &str, word: &str) -> Option<String> {
        let to = types::parse(word).unwrap();
        let typed = typed(&StringArray::from(vec![text]), &to).unwrap().unwrap();
        assert_eq!(*typed.data_type(), to);
        let text = arrow_cast::cast(&typed, &DataType::Utf8).unwrap();
        let text = text.as_string::<i32>();
        text.is_valid(0).then(|| text.value(0).to_owned())
    }

    #[test]
    fn text_is_a_value_without_loss_or_none() {
        let cases = [
            ("1.239", "decimal(10,2)", None),
            ("1.230", "decimal(10,2)", Some("1.23")),
            ("-123e-2", "decimal(10,2)", Some("-1.23")),
            ("1e3", "decimal(10,2)", Some("1000.00")),
            ("0.000", "decimal(10,2)", Some("0.00")),
            ("123456789.00", "decimal(10,2)", None),
            ("  1.5 ", "decimal(10,2)", Some("1.50")),
            (" 2.5", "double", Some("2.5")),
            ("", "decimal(10,2)", None),
            (".", "decimal(10,2)", None),
            ("1e400", "double", None),
            ("inf", "double", Some("inf")),
            ("-1.5e3", "double", Some("-1500.0")),
            ("1e39", "float", None),
            ("0.5", "float", Some("0.5")),
            ("2026-01-31", "date", Some("2026-01-31")),
            ("2026-01-31T10:00:00", "date", None),
            ("2026-01-31 00:00:00", "date", Some("2026-01-31")),
            ("2026-01-31 00:00:00.000001", "date", None),
            ("2026-02-29", "date", None),
            (
                "2026-01-05 10:00:00 UTC",
                "timestamptz",
                Some("2026-01-05T10:00:00Z"),
            ),
            (
                "2024-02-29 01:02:03.123456",
                "timestamp",
                Some("2024-02-29T01:02:03.123456"),
            ),
            (
                "2024-02-29 01:02:03.123456000",
                "timestamp",
                Some("2024-02-29T01:02:03.123456"),
            ),
            ("2024-02-29 01:02:03.123456789", "timestamp", None),
            ("2024-02-29T01:02:03+02:00", "timestamp", None),
            ("2024-02-29T01:02:03", "timestamptz", None),
            (
                "2024-02-29T01:02:03+02:00",
                "timestamptz",
                Some("2024-02-28T23:02:03Z"),
            ),
            (
                "2024-02-29T01:02:03-0130",
                "timestamptz",
                Some("2024-02-29T02:32:03Z"),
            ),
            ("0001-01-01", "timestamp", Some("0001-01-01T00:00:00")),
            (
                "1969-12-31T23:59:59.5Z",
                "timestamptz",
                Some("1969-12-31T23:59:59.500Z"),
            ),
        ];
        for (text, word, expected) in cases {
            assert_eq!(
                converted(text, word).as_deref(),
                expected,
                "{text} as {word}"
            );
        }
    }
}
