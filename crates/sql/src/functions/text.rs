//! Converts values to text and text to values, in PostgreSQL's form.
//!
//! Promise: `2.0` is `2`, a timestamp has a blank between date and time, an interval names its parts. Blanks
//! around a text are ignored, a time may have no seconds, and a zone after a time without zone is ignored. A
//! text that is not a valid value is an error, or NULL for `TRY_CAST`. Formats of strftime are not handled
//! here. Read next: `read.rs`.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use chrono::NaiveDateTime;
use datafusion_common::cast::as_timestamp_microsecond_array;
use datafusion_common::{Result, exec_datafusion_err};
use datafusion_expr::ScalarUDF;

use super::define::{argument, define};
use super::span::{at, wall};

/// The function in place of a cast to text.
pub(crate) const TEXT_OF: &str = "text_of";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(
            TEXT_OF,
            |types| Ok(types.to_vec()),
            |_| Ok(DataType::Utf8),
            |args, _| Ok(Arc::new(texts(argument(args, 0)?)?)),
        ),
        define(
            TRUTH_LETTER,
            |_| Ok(vec![DataType::Boolean]),
            |_| Ok(DataType::Utf8),
            |args, _| {
                let values = argument(args, 0)?.as_boolean();
                let letter = |value: bool| if value { "t" } else { "f" };
                let all: StringArray = values.iter().map(|value| value.map(letter)).collect();
                Ok(Arc::new(all))
            },
        ),
    ]
}

/// A boolean as in `concat`: `t` or `f`.
pub(crate) const TRUTH_LETTER: &str = "truth_letter";

/// True for types that Arrow writes differently.
pub(crate) fn is_written_otherwise(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Float16
            | DataType::Float32
            | DataType::Float64
            | DataType::Timestamp(..)
            | DataType::Interval(_)
            | DataType::Time64(_)
            | DataType::Binary
            | DataType::BinaryView
            | DataType::LargeBinary
            | DataType::List(_)
            | DataType::LargeList(_)
    )
}

fn texts(values: &ArrayRef) -> Result<StringArray> {
    (0..values.len())
        .map(|row| text(values.as_ref(), row))
        .collect()
}

/// One value as text; `None` for NULL.
pub(super) fn text(values: &dyn Array, row: usize) -> Result<Option<String>> {
    if values.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match values.data_type() {
        DataType::Float64 => double(values.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => single(values.as_primitive::<Float32Type>().value(row)),
        DataType::Timestamp(_, zone) => {
            let micros = cast(&values.slice(row, 1), &wall())?;
            let micros = as_timestamp_microsecond_array(&micros)?.value(0);
            let moment =
                at(micros).ok_or_else(|| exec_datafusion_err!("a timestamp is out of range"))?;
            let mut text = moment_text(moment);
            if zone.is_some() {
                text.push_str("+00");
            }
            text
        }
        DataType::Interval(_) => {
            let span = cast(&values.slice(row, 1), &super::span::span())?;
            span_text(span.as_primitive::<IntervalMonthDayNanoType>().value(0))
        }
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => {
            let bytes = cast(&values.slice(row, 1), &DataType::Binary)?;
            let mut text = "\\x".to_owned();
            for byte in bytes.as_binary::<i32>().value(0) {
                // Writing into a text does not fail.
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
        DataType::List(_) => list(values.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => list(values.as_list::<i64>().value(row).as_ref())?,
        _ => ArrayFormatter::try_new(values, &FormatOptions::default().with_display_error(false))?
            .value(row)
            .try_to_string()?,
    }))
}

fn list(items: &dyn Array) -> Result<String> {
    let nested = items.data_type().is_nested();
    let mut out = Vec::with_capacity(items.len());
    for row in 0..items.len() {
        out.push(match text(items, row)? {
            None => "NULL".to_owned(),
            Some(text) if nested => text,
            Some(text)
                if text.is_empty()
                    || text.eq_ignore_ascii_case("null")
                    || text.contains(|c: char| c.is_whitespace() || "\"\\,{}".contains(c)) =>
            {
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Some(text) => text,
        });
    }
    Ok(format!("{{{}}}", out.join(",")))
}

fn double(value: f64) -> String {
    number(
        &format!("{value:e}"),
        value.is_nan(),
        value.is_infinite(),
        value < 0.0,
        15,
    )
}

fn single(value: f32) -> String {
    number(
        &format!("{value:e}"),
        value.is_nan(),
        value.is_infinite(),
        value < 0.0,
        6,
    )
}

/// Formats a number from its shortest digits with an exponent: plain digits if it is neither large nor
/// small.
fn number(digits: &str, nan: bool, infinite: bool, negative: bool, large: i32) -> String {
    if nan {
        return "NaN".to_owned();
    }
    if infinite {
        return if negative { "-Infinity" } else { "Infinity" }.to_owned();
    }
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= large {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let plain = mantissa.replace('.', "");
    let point = usize::try_from(exponent + 1).unwrap_or(0);
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{plain}");
    }
    if plain.len() <= point {
        return format!("{sign}{plain}{}", "0".repeat(point - plain.len()));
    }
    let (whole, part) = plain.split_at(point);
    format!("{sign}{whole}.{part}")
}

/// `2024-02-29 12:34:56.789`.
pub(super) fn moment_text(moment: NaiveDateTime) -> String {
    use chrono::Datelike;
    let year = moment.year();
    let (shown, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    let rest = moment.format("-%m-%d %H:%M:%S%.6f").to_string();
    let rest = rest.trim_end_matches('0').trim_end_matches('.');
    format!("{shown:04}{rest}{era}")
}

/// `1 year 2 mons 3 days 04:05:06.5`.
pub(super) fn span_text(it: IntervalMonthDayNano) -> String {
    towpath_vocab::interval::text(it.months, it.days, it.nanoseconds / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_postgresql_writes_them() {
        for (value, wanted) in [
            (0.0, "0"),
            (2.0, "2"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (100_000_000_000_000.0, "100000000000000"),
            (1e15, "1e+15"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(double(value), wanted);
        }
        assert_eq!(single(1e6), "1e+06");
        assert_eq!(
            span_text(IntervalMonthDayNano::new(14, -3, 14_706_500_000_000)),
            "1 year 2 mons -3 days +04:05:06.5"
        );
        assert_eq!(span_text(IntervalMonthDayNano::new(0, 0, 0)), "00:00:00");
    }
}
