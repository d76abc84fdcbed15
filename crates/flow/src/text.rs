//! Text as values of a declared type, as readers of text files take it: exact, or not at all.
//!
//! A decimal loses no digit, a timestamp no fraction and no offset, a date no time of day; a number
//! beyond all floats is none (a float is the nearest one, as its declaration asks). Types that are not
//! here are Arrow's to read. It knows no column and no row's fate: see `shape.rs`.

use arrow_array::types::{Date32Type, Float32Type, Float64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow_array::{Decimal128Array, types::Decimal128Type};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use std::sync::Arc;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// The texts as this type, null where one does not read; `None` for types that are read elsewhere.
pub(crate) fn typed(texts: &StringArray, to: &DataType) -> Option<Result<ArrayRef, ArrowError>> {
    Some(Ok(match to {
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let values = read::<Decimal128Type>(texts, |text| decimal(text, precision, scale));
            let typed: Result<Decimal128Array, _> =
                values.with_precision_and_scale(precision, scale);
            return Some(typed.map(|typed| Arc::new(typed) as ArrayRef));
        }
        DataType::Float32 => Arc::new(read::<Float32Type>(texts, |text| {
            text.parse()
                .ok()
                .filter(|v: &f32| v.is_finite() || is_word(text))
        })),
        DataType::Float64 => Arc::new(read::<Float64Type>(texts, |text| {
            text.parse()
                .ok()
                .filter(|v: &f64| v.is_finite() || is_word(text))
        })),
        DataType::Date32 => Arc::new(read::<Date32Type>(texts, |text| day(text.as_bytes()))),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let zoned = zone.is_some();
            let values =
                read::<TimestampMicrosecondType>(texts, |text| moment(text.as_bytes(), zoned));
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        _ => return None,
    }))
}

fn read<T: ArrowPrimitiveType>(
    texts: &StringArray,
    one: impl Fn(&str) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    // Blanks around a value say nothing: `char(n)` of a database pads with them.
    let value = |text: &str| one(text.trim_matches(' '));
    texts.iter().map(|text| text.and_then(value)).collect()
}

/// `inf` and `NaN`, in contrast to digits.
fn is_word(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    rest.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// A decimal as digits of this scale, if it has at most this precision.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant: Vec<u8> = digits().skip_while(|byte| *byte == b'0').collect();
    let zeros = significant.iter().rev().take_while(|b| **b == b'0').count();
    let kept = significant.get(..significant.len() - zeros)?;
    if kept.is_empty() {
        return Some(0);
    }
    // The number is the kept digits times ten to the power of `shift`, in units of the scale.
    let shift = i32::try_from(zeros)
        .ok()?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(exponent)?
        .checked_add(i32::from(scale))?;
    let shift = u32::try_from(shift).ok()?;
    let mut value: i128 = 0;
    for byte in kept {
        value = value
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    let value = value.checked_mul(10_i128.checked_pow(shift)?)?;
    if value >= 10_i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

fn number(text: &[u8], from: usize, digits: usize) -> Option<i64> {
    let part = text.get(from..from + digits)?;
    part.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// A date, or a timestamp without a time of day, as days since 1970.
fn day(text: &[u8]) -> Option<i32> {
    date(text).or_else(|| {
        let at = moment(text, false)?;
        let days = (at % DAY_US == 0).then_some(at / DAY_US)?;
        i32::try_from(days).ok()
    })
}

/// `YYYY-MM-DD` as days since 1970.
fn date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') {
        return None;
    }
    let (year, month, day) = (
        number(text, 0, 4)?,
        number(text, 5, 2)?,
        number(text, 8, 2)?,
    );
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || day == 0 || day > last {
        return None;
    }
    // Whole years counted from March, so that the leap day is the last of its year.
    let (year, month) = match month > 2 {
        true => (year, month - 3),
        false => (year - 1, month + 9),
    };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leaps + (month * 153 + 2) / 5 + day - 719_469;
    i32::try_from(days).ok()
}

/// A timestamp in ISO 8601 to the microsecond. A date alone is midnight; an offset is demanded of an
/// instant and refused otherwise.
fn moment(text: &[u8], zoned: bool) -> Option<i64> {
    let midnight = i64::from(date(text.get(..10)?)?) * DAY_US;
    if text.len() == 10 {
        return (!zoned).then_some(midnight);
    }
    if !matches!(text.get(10), Some(b'T' | b't' | b' ')) || text.get(13) != Some(&b':') {
        return None;
    }
    let (hour, minute) = (number(text, 11, 2)?, number(text, 14, 2)?);
    let (mut at, mut second, mut fraction) = (16, 0, 0);
    if text.get(at) == Some(&b':') {
        second = number(text, at + 1, 2)?;
        at += 3;
        if text.get(at) == Some(&b'.') {
            let digits = text.get(at + 1..)?;
            let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
            let (kept, lost) = digits.get(..count)?.split_at(count.min(6));
            if count == 0 || lost.iter().any(|byte| *byte != b'0') {
                return None;
            }
            let power = 10_i64.checked_pow(u32::try_from(6 - kept.len()).ok()?)?;
            fraction = number(kept, 0, kept.len())? * power;
            at += 1 + count;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match text.get(at..)? {
        [] => None,
        [b'Z' | b'z'] | b" UTC" => Some(0),
        rest => Some(offset_minutes(rest)?),
    };
    if offset.is_some() != zoned {
        return None;
    }
    let seconds = hour * 3600 + (minute - offset.unwrap_or(0)) * 60 + second;
    Some(midnight + seconds * 1_000_000 + fraction)
}

/// `+HH`, `+HHMM`, `+HH:MM`, or with a minus, possibly after a blank.
fn offset_minutes(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (number(text, 1, 2)?, 0),
        5 => (number(text, 1, 2)?, number(text, 3, 2)?),
        6 if text.get(3) == Some(&b':') => (number(text, 1, 2)?, number(text, 4, 2)?),
        _ => return None,
    };
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use towpath_vocab::types;

    use super::*;

    /// What becomes of a text: its value as Arrow writes it, or nothing.
    fn told(text: &str, word: &str) -> Option<String> {
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
            assert_eq!(told(text, word).as_deref(), expected, "{text} as {word}");
        }
    }
}
