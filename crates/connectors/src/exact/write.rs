//! Writes dates and timestamps in a user's pattern; `towpath_ports::ExactValues` writes all other values.
//!
//! Promise: a pattern is used only if the text can be parsed to the same value. It adds no quotes; its
//! callers do. Read next: `ports/src/exact.rs`.

use std::io::Write as _;

use chrono::DateTime;
pub(crate) use towpath_ports::{ExactKind as Kind, ExactValues as Values};

use super::read::TimeFormats;

const DAY_US: i64 = 86_400_000_000;

/// Writes a date or timestamp in the user's pattern; false if the text does not parse to the same value.
pub(crate) fn write_formatted(
    values: &Values,
    row: usize,
    times: &TimeFormats,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let micros = match &values.kind {
        Kind::Date(dates) => i64::from(dates.value(row)).checked_mul(DAY_US),
        Kind::Micros(micros, _) => Some(micros.value(row)),
        Kind::Nanos(nanos, _) if nanos.value(row) % 1_000 == 0 => Some(nanos.value(row) / 1_000),
        _ => None,
    };
    let Some((micros, moment)) =
        micros.and_then(|micros| Some((micros, DateTime::from_timestamp_micros(micros)?)))
    else {
        return false;
    };
    match (&values.kind, &times.date, &times.timestamp) {
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

fn show(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, Date32Array, Decimal128Array, Float32Array, Float64Array,
        TimestampMicrosecondArray,
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
