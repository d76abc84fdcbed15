//! Values of a cursor in SQL, and by which rules they are compared.
//!
//! Promise: a literal has the exact value in the type of its column, and a stored text that is no value of its class
//! is refused: a position cannot bring other SQL. It asks no database.

use arrow_schema::DataType;
use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use super::vendor::Vendor;

/// By which rules values of a cursor are written and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    /// Whole numbers and decimals.
    Number,
    Date,
    Timestamp,
    /// A timestamp in UTC.
    Instant,
    Text,
}

/// The class of a column that is read as this type, or why it cannot be a cursor.
pub(super) fn class(data_type: &DataType) -> Result<Class, &'static str> {
    Ok(match data_type {
        DataType::Date32 => Class::Date,
        DataType::Timestamp(_, None) => Class::Timestamp,
        DataType::Timestamp(_, Some(_)) => Class::Instant,
        DataType::Utf8 => Class::Text,
        DataType::Decimal128(..) | DataType::Decimal256(..) => Class::Number,
        other if other.is_integer() => Class::Number,
        other if other.is_floating() => {
            return Err("a floating point number has no exact text in SQL");
        }
        _ => return Err("its type has no order that only grows"),
    })
}

/// A value, from its exact text, in SQL; `None` if the text is no value of the class.
pub(super) fn literal(vendor: Vendor, class: Class, value: &str) -> Option<String> {
    match class {
        Class::Text => vendor.text(value),
        Class::Number => is_number(value).then(|| value.to_owned()),
        Class::Date => {
            date(value)?;
            Some(format!("DATE '{value}'"))
        }
        Class::Timestamp => {
            moment(value)?;
            Some(format!("TIMESTAMP '{}'", value.replace('T', " ")))
        }
        Class::Instant => {
            let local = value.strip_suffix('Z')?;
            moment(local)?;
            let local = local.replace('T', " ");
            Some(match vendor {
                Vendor::DuckDb | Vendor::Postgres => {
                    format!("TIMESTAMP WITH TIME ZONE '{local}+00'")
                }
                Vendor::Sqlite | Vendor::Other => format!("TIMESTAMP '{local} +00:00'"),
            })
        }
    }
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

fn date(value: &str) -> Option<NaiveDate> {
    // A sign means a year that databases write in other ways.
    (value.len() == 10 && !value.starts_with(['+', '-']))
        .then(|| NaiveDate::parse_from_str(value, "%Y-%m-%d").ok())?
}

fn moment(value: &str) -> Option<NaiveDateTime> {
    (!value.starts_with(['+', '-']))
        .then(|| NaiveDateTime::parse_from_str(value, "%Y-%m-%dT%H:%M:%S%.f").ok())?
}

/// The value less the lookback: units of a number, seconds of a timestamp, and of a date the days that they touch.
/// `None` if all rows are within it.
pub(super) fn lower(class: Class, value: &str, lookback: u64) -> Option<String> {
    let back = || TimeDelta::try_seconds(i64::try_from(lookback).ok()?);
    let is_plain = |text: &String| !text.starts_with(['+', '-']);
    match class {
        Class::Text => Some(value.to_owned()),
        Class::Number => less(value, lookback),
        Class::Date => {
            let midnight = date(value)?.and_hms_opt(0, 0, 0)?;
            let lower = midnight.checked_sub_signed(back()?)?.date();
            Some(lower.format("%Y-%m-%d").to_string()).filter(is_plain)
        }
        Class::Timestamp | Class::Instant => {
            let (local, end) = match value.strip_suffix('Z') {
                Some(local) => (local, "Z"),
                None => (value, ""),
            };
            let lower = moment(local)?.checked_sub_signed(back()?)?;
            Some(format!("{}{end}", lower.format("%Y-%m-%dT%H:%M:%S%.6f"))).filter(is_plain)
        }
    }
}

/// A number less a whole one, never above the exact value.
fn less(value: &str, lookback: u64) -> Option<String> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let lower = whole.parse::<i128>().ok()?.checked_sub(lookback.into())?;
    // Below zero a fraction leads away from it: one more is less than the exact value.
    match (
        fraction.bytes().all(|digit| digit == b'0'),
        whole.starts_with('-'),
    ) {
        (true, _) | (false, false) => Some(lower.to_string()),
        (false, true) => Some((lower - 1).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_position_cannot_be_anything_but_values() {
        let sql = |class, value| literal(Vendor::DuckDb, class, value);
        assert_eq!(sql(Class::Number, "-1.50").as_deref(), Some("-1.50"));
        for wrong in ["1 OR 1=1", "", "-", "1.", "1e5", "nan"] {
            assert_eq!(sql(Class::Number, wrong), None, "{wrong}");
        }
        let day = sql(Class::Date, "2024-01-31");
        assert_eq!(day.as_deref(), Some("DATE '2024-01-31'"));
        assert_eq!(sql(Class::Date, "2024-01-01'--"), None);
        let moment = sql(Class::Timestamp, "2024-01-01T00:00:00.000001");
        assert_eq!(
            moment.as_deref(),
            Some("TIMESTAMP '2024-01-01 00:00:00.000001'")
        );
        let instant = sql(Class::Instant, "2024-01-01T00:00:00Z");
        assert_eq!(
            instant.as_deref(),
            Some("TIMESTAMP WITH TIME ZONE '2024-01-01 00:00:00+00'")
        );
        assert_eq!(sql(Class::Instant, "2024-01-01T00:00:00"), None);
        assert_eq!(sql(Class::Timestamp, "+12024-01-01T00:00:00"), None);
    }

    #[test]
    fn a_lookback_never_reads_less_than_it_says() {
        let lower = |class, value, back| lower(class, value, back);
        assert_eq!(lower(Class::Number, "10.5", 3).as_deref(), Some("7"));
        assert_eq!(lower(Class::Number, "-10.5", 3).as_deref(), Some("-14"));
        assert_eq!(
            lower(Class::Date, "2024-03-01", 1).as_deref(),
            Some("2024-02-29")
        );
        assert_eq!(
            lower(Class::Instant, "2024-01-01T00:00:00Z", 60).as_deref(),
            Some("2023-12-31T23:59:00.000000Z")
        );
        assert_eq!(
            lower(Class::Timestamp, "0000-01-01T00:00:00", 86_400_000),
            None
        );
    }
}
