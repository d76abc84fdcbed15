//! Canonical text for values Delta has no type for, and back: one spelling per value, sortable where the
//! type allows it (fixed number of digits).
//!
//! Promise: a value that is stored as text comes back equal. Words: `time(s|ms|us|ns)`, `timestamp(ns)`,
//! `timestamptz(ns)`, `interval(month)`, `interval(day)`, `interval(nano)`, `duration(s|ms|us|ns)`,
//! `decimal(P,S)` beyond 38 digits, `null`. Other words in a column's metadata come from connectors and are
//! theirs to read. Read next: `types.rs`.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, IntervalDayTime, IntervalMonthDayNano};
use arrow_array::types::{
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, StringArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

use super::error::{LakeError, LakeResult};

/// The word for a type that travels as text; `None` when it does not.
pub(crate) fn word(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Null => "null".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time({})", unit_word(*unit)),
        DataType::Duration(unit) => format!("duration({})", unit_word(*unit)),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "timestamp(ns)".to_owned(),
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => "timestamptz(ns)".to_owned(),
        DataType::Interval(IntervalUnit::YearMonth) => "interval(month)".to_owned(),
        DataType::Interval(IntervalUnit::DayTime) => "interval(day)".to_owned(),
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval(nano)".to_owned(),
        _ => return None,
    })
}

/// The type a word stands for.
fn type_of(word: &str) -> Option<DataType> {
    let time = |unit: &str| {
        Some(match unit_of(unit)? {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            unit => DataType::Time64(unit),
        })
    };
    match word {
        "null" => Some(DataType::Null),
        "timestamp(ns)" => Some(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        "timestamptz(ns)" => Some(DataType::Timestamp(
            TimeUnit::Nanosecond,
            Some("UTC".into()),
        )),
        "interval(month)" => Some(DataType::Interval(IntervalUnit::YearMonth)),
        "interval(day)" => Some(DataType::Interval(IntervalUnit::DayTime)),
        "interval(nano)" => Some(DataType::Interval(IntervalUnit::MonthDayNano)),
        _ => {
            let (name, rest) = word.split_once('(')?;
            let argument = rest.strip_suffix(')')?;
            match name {
                "time" => time(argument),
                "duration" => Some(DataType::Duration(unit_of(argument)?)),
                "decimal" => {
                    let (precision, scale) = argument.split_once(',')?;
                    let precision: u8 = precision.parse().ok()?;
                    (precision <= 76)
                        .then_some(DataType::Decimal256(precision, scale.parse().ok()?))
                }
                _ => None,
            }
        }
    }
}

fn unit_word(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn unit_of(word: &str) -> Option<TimeUnit> {
    Some(match word {
        "s" => TimeUnit::Second,
        "ms" => TimeUnit::Millisecond,
        "us" => TimeUnit::Microsecond,
        "ns" => TimeUnit::Nanosecond,
        _ => return None,
    })
}

fn per_second(unit: TimeUnit) -> (i128, usize) {
    match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    }
}

/// Values as canonical text.
pub(crate) fn to_text(array: &ArrayRef, column: &str) -> LakeResult<ArrayRef> {
    use DataType as T;
    let from = array.data_type().clone();
    Ok(match &from {
        T::Null => new_null_array(&T::Utf8, array.len()),
        T::Time32(TimeUnit::Second) => {
            write::<Time32SecondType>(array, |v, out| clock(i128::from(v), TimeUnit::Second, out))
        }
        T::Time32(_) => write::<Time32MillisecondType>(array, |v, out| {
            clock(i128::from(v), TimeUnit::Millisecond, out)
        }),
        T::Time64(TimeUnit::Microsecond) => write::<Time64MicrosecondType>(array, |v, out| {
            clock(i128::from(v), TimeUnit::Microsecond, out)
        }),
        T::Time64(_) => write::<Time64NanosecondType>(array, |v, out| {
            clock(i128::from(v), TimeUnit::Nanosecond, out)
        }),
        T::Timestamp(TimeUnit::Nanosecond, zone) => {
            let zone = if zone.is_some() { "Z" } else { "" };
            write::<TimestampNanosecondType>(array, |v, out| {
                let at = chrono::DateTime::from_timestamp_nanos(v);
                let _ = write!(out, "{}{zone}", at.format("%Y-%m-%dT%H:%M:%S%.9f"));
            })
        }
        T::Duration(unit) => {
            let unit = *unit;
            match unit {
                TimeUnit::Second => {
                    write::<DurationSecondType>(array, |v, out| seconds(i128::from(v), unit, out))
                }
                TimeUnit::Millisecond => write::<DurationMillisecondType>(array, |v, out| {
                    seconds(i128::from(v), unit, out)
                }),
                TimeUnit::Microsecond => write::<DurationMicrosecondType>(array, |v, out| {
                    seconds(i128::from(v), unit, out)
                }),
                TimeUnit::Nanosecond => write::<DurationNanosecondType>(array, |v, out| {
                    seconds(i128::from(v), unit, out)
                }),
            }
        }
        T::Interval(IntervalUnit::YearMonth) => write::<IntervalYearMonthType>(array, |v, out| {
            let _ = write!(out, "P{v}M");
        }),
        T::Interval(IntervalUnit::DayTime) => write::<IntervalDayTimeType>(array, |v, out| {
            let _ = write!(out, "P{}D", v.days);
            span(i128::from(v.milliseconds), TimeUnit::Millisecond, out);
        }),
        T::Interval(IntervalUnit::MonthDayNano) => {
            write::<IntervalMonthDayNanoType>(array, |v, out| {
                let _ = write!(out, "P{}M{}D", v.months, v.days);
                span(i128::from(v.nanoseconds), TimeUnit::Nanosecond, out);
            })
        }
        T::Decimal256(..) | T::Decimal128(..) => exact_cast(array, &T::Utf8, column)?,
        other => {
            return Err(LakeError::UnknownType {
                column: column.to_owned(),
                found: other.to_string(),
            });
        }
    })
}

/// Text of a column with this `towpath.type` word, as values of the type it stands for. `None` when
/// the word is not one of the lakehouse's own.
///
/// # Errors
/// `NotExact` when a text is not the canonical spelling of a value.
pub fn from_text(
    array: &StringArray,
    word: &str,
    column: &str,
) -> Result<Option<ArrayRef>, LakeError> {
    let Some(to) = type_of(word) else {
        return Ok(None);
    };
    use DataType as T;
    let bad = |text: &str| LakeError::NotExact {
        column: column.to_owned(),
        target: word.to_owned(),
        why: format!(
            "`{}` is not its spelling",
            text.chars().take(60).collect::<String>()
        ),
    };
    let made: Result<ArrayRef, LakeError> = match &to {
        T::Null => Ok(new_null_array(&T::Null, array.len())),
        T::Time32(unit) | T::Time64(unit) => read_times(array, *unit, bad),
        T::Duration(unit) => read_durations(array, *unit, bad),
        T::Timestamp(_, zone) => {
            let array = read_primitive::<TimestampNanosecondType>(
                array,
                |t| read_instant(t.strip_suffix('Z').unwrap_or(t)),
                bad,
            )?;
            Ok(Arc::new(array.with_timezone_opt(zone.clone())))
        }
        T::Interval(IntervalUnit::YearMonth) => read::<IntervalYearMonthType>(
            array,
            |t| t.strip_prefix('P')?.strip_suffix('M')?.parse().ok(),
            bad,
        ),
        T::Interval(IntervalUnit::DayTime) => {
            read::<IntervalDayTimeType>(array, read_day_time, bad)
        }
        T::Interval(IntervalUnit::MonthDayNano) => {
            read::<IntervalMonthDayNanoType>(array, read_month_day_nano, bad)
        }
        other => exact_cast(&(Arc::new(array.clone()) as ArrayRef), other, column),
    };
    made.map(Some)
}

fn read_times(
    array: &StringArray,
    unit: TimeUnit,
    bad: impl Fn(&str) -> LakeError,
) -> LakeResult<ArrayRef> {
    match unit {
        TimeUnit::Second => {
            read::<Time32SecondType>(array, |text| narrow(read_clock(text, unit)?), bad)
        }
        TimeUnit::Millisecond => {
            read::<Time32MillisecondType>(array, |text| narrow(read_clock(text, unit)?), bad)
        }
        TimeUnit::Microsecond => {
            read::<Time64MicrosecondType>(array, |text| narrow(read_clock(text, unit)?), bad)
        }
        TimeUnit::Nanosecond => {
            read::<Time64NanosecondType>(array, |text| narrow(read_clock(text, unit)?), bad)
        }
    }
}

fn read_durations(
    array: &StringArray,
    unit: TimeUnit,
    bad: impl Fn(&str) -> LakeError,
) -> LakeResult<ArrayRef> {
    match unit {
        TimeUnit::Second => {
            read::<DurationSecondType>(array, |text| narrow(read_seconds(text, unit)?), bad)
        }
        TimeUnit::Millisecond => {
            read::<DurationMillisecondType>(array, |text| narrow(read_seconds(text, unit)?), bad)
        }
        TimeUnit::Microsecond => {
            read::<DurationMicrosecondType>(array, |text| narrow(read_seconds(text, unit)?), bad)
        }
        TimeUnit::Nanosecond => {
            read::<DurationNanosecondType>(array, |text| narrow(read_seconds(text, unit)?), bad)
        }
    }
}

/// A cast that fails instead of giving NULL.
pub(crate) fn exact_cast(array: &ArrayRef, to: &DataType, column: &str) -> LakeResult<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &options).map_err(|error| LakeError::NotExact {
        column: column.to_owned(),
        target: towpath_vocab::types::name(to),
        why: error.to_string(),
    })
}

fn write<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    spell: impl Fn(T::Native, &mut String),
) -> ArrayRef {
    let values = array.as_primitive::<T>();
    let mut builder = StringBuilder::with_capacity(values.len(), values.len() * 16);
    let mut scratch = String::new();
    for row in 0..values.len() {
        if values.is_null(row) {
            builder.append_null();
        } else {
            scratch.clear();
            spell(values.value(row), &mut scratch);
            builder.append_value(&scratch);
        }
    }
    Arc::new(builder.finish())
}

fn read<T: ArrowPrimitiveType>(
    array: &StringArray,
    parse: impl Fn(&str) -> Option<T::Native>,
    bad: impl Fn(&str) -> LakeError,
) -> LakeResult<ArrayRef> {
    Ok(Arc::new(read_primitive::<T>(array, parse, bad)?))
}

fn read_primitive<T: ArrowPrimitiveType>(
    array: &StringArray,
    parse: impl Fn(&str) -> Option<T::Native>,
    bad: impl Fn(&str) -> LakeError,
) -> LakeResult<PrimitiveArray<T>> {
    array
        .iter()
        .map(|text| {
            text.map(|text| parse(text).ok_or_else(|| bad(text)))
                .transpose()
        })
        .collect()
}

fn narrow<T: TryFrom<i128>>(value: i128) -> Option<T> {
    T::try_from(value).ok()
}

fn clock(value: i128, unit: TimeUnit, out: &mut String) {
    let (scale, digits) = per_second(unit);
    let (whole, part) = (value.div_euclid(scale), value.rem_euclid(scale));
    let _ = write!(
        out,
        "{:02}:{:02}:{:02}",
        whole / 3600,
        whole / 60 % 60,
        whole % 60
    );
    if digits > 0 {
        let _ = write!(out, ".{part:0digits$}");
    }
}

fn read_clock(text: &str, unit: TimeUnit) -> Option<i128> {
    let (scale, digits) = per_second(unit);
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) if digits > 0 && part.len() == digits => {
            (whole, part.parse::<i128>().ok()?)
        }
        None if digits == 0 => (text, 0),
        _ => return None,
    };
    let mut parts = whole.splitn(3, ':').map(|part| part.parse::<i128>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(((hours * 60 + minutes) * 60 + seconds) * scale + part)
}

fn seconds(value: i128, unit: TimeUnit, out: &mut String) {
    out.push('P');
    span(value, unit, out);
}

fn span(value: i128, unit: TimeUnit, out: &mut String) {
    let (scale, digits) = per_second(unit);
    let sign = if value < 0 { "-" } else { "" };
    let value = value.abs();
    let _ = write!(out, "T{sign}{}", value / scale);
    if digits > 0 {
        let _ = write!(out, ".{:0digits$}", value % scale);
    }
    out.push('S');
}

fn read_seconds(text: &str, unit: TimeUnit) -> Option<i128> {
    read_span(text.strip_prefix('P')?, unit)
}

fn read_span(text: &str, unit: TimeUnit) -> Option<i128> {
    let (scale, digits) = per_second(unit);
    let text = text.strip_prefix('T')?.strip_suffix('S')?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) if digits > 0 && part.len() == digits => {
            (whole, part.parse::<i128>().ok()?)
        }
        None if digits == 0 => (text, 0),
        _ => return None,
    };
    let value = whole.parse::<i128>().ok()? * scale + part;
    Some(if negative { -value } else { value })
}

fn read_day_time(text: &str) -> Option<IntervalDayTime> {
    let (days, rest) = text.strip_prefix('P')?.split_once('D')?;
    Some(IntervalDayTime {
        days: days.parse().ok()?,
        milliseconds: narrow(read_span(rest, TimeUnit::Millisecond)?)?,
    })
}

fn read_month_day_nano(text: &str) -> Option<IntervalMonthDayNano> {
    let (months, rest) = text.strip_prefix('P')?.split_once('M')?;
    let (days, rest) = rest.split_once('D')?;
    Some(IntervalMonthDayNano {
        months: months.parse().ok()?,
        days: days.parse().ok()?,
        nanoseconds: narrow(read_span(rest, TimeUnit::Nanosecond)?)?,
    })
}

fn read_instant(text: &str) -> Option<i64> {
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.9f")
        .ok()?
        .and_utc()
        .timestamp_nanos_opt()
}
