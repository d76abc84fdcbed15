//! From the bytes of a row to cells: each value fits its column exactly, or its row is a reject.
//!
//! Promise: a row is looked at as a whole before any of it is kept, so a bad row carries every reason and
//! its exact text. It knows no connection and no SQL. Read next: `types.rs`. Source: MySQL's manual of the
//! client/server protocol, "Binary Protocol Value".

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow_schema::DataType;
use chrono::{Datelike as _, NaiveDate};
use serde_json::Map;
use sha2::{Digest as _, Sha256};
use towpath_vocab::{RawRecord, Reason, types};

use super::packet::Fields;
use super::settings::ZeroDates;
use super::types::{Column, Definition, Wire};
use crate::exact::read;
use crate::relational::batch::{Cell, bounds};
use crate::relational::boundary::DIGEST_BYTES;

/// A reason shows so many characters of a value.
const SHOWN_CHARS: usize = 200;
const DAY_MICROS: i64 = 86_400_000_000;
/// The most days in a time.
const MOST_DAYS: i64 = 34;

/// A date and a time as the server stores them: any part may be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    year: u16,
    month: u8,
    day: u8,
    micros: i64,
}

/// A value, as it travels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Int(i64),
    Unsigned(u64),
    Single(f32),
    Double(f64),
    Date(Calendar),
    DateTime(Calendar),
    /// Microseconds, also below zero and above a day.
    Time(i64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

/// The values of a row. `None` when it is malformed.
pub(super) fn values<'a>(row: &'a [u8], columns: &[Definition]) -> Option<Vec<Value<'a>>> {
    let mut fields = Fields(row);
    if fields.u8()? != 0 {
        return None;
    }
    let nulls = fields.bytes((columns.len() + 9) / 8)?;
    let mut values = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let bit = at + 2;
        let is_null = nulls.get(bit / 8)? & (1 << (bit % 8)) != 0;
        values.push(match is_null {
            true => Value::Null,
            false => value(&mut fields, column)?,
        });
    }
    fields.0.is_empty().then_some(values)
}

fn value<'a>(fields: &mut Fields<'a>, column: &Definition) -> Option<Value<'a>> {
    Some(match (column.wire, column.unsigned) {
        (Wire::Null, _) => Value::Null,
        (Wire::Tiny, true) => Value::Int(fields.u8()?.into()),
        (Wire::Tiny, false) => Value::Int(fields.u8()?.cast_signed().into()),
        (Wire::Short, true) | (Wire::Year, _) => Value::Int(fields.u16()?.into()),
        (Wire::Short, false) => Value::Int(fields.u16()?.cast_signed().into()),
        (Wire::Long, true) => Value::Int(fields.u32()?.into()),
        (Wire::Long, false) => Value::Int(fields.u32()?.cast_signed().into()),
        (Wire::LongLong, true) => Value::Unsigned(fields.u64()?),
        (Wire::LongLong, false) => Value::Int(fields.u64()?.cast_signed()),
        (Wire::Float, _) => Value::Single(f32::from_bits(fields.u32()?)),
        (Wire::Double, _) => Value::Double(f64::from_bits(fields.u64()?)),
        (Wire::Date, _) => Value::Date(calendar(fields)?),
        (Wire::DateTime | Wire::Timestamp, _) => Value::DateTime(calendar(fields)?),
        (Wire::Time, _) => Value::Time(time(fields)?),
        (Wire::Bit, _) => Value::Unsigned(bits(fields.counted()?)?),
        (Wire::Decimal | Wire::Json, _) => Value::Text(fields.counted()?),
        (Wire::Geometry, _) => Value::Bytes(fields.counted()?),
        (Wire::Enum | Wire::Set | Wire::Bytes, _) if column.binary => {
            Value::Bytes(fields.counted()?)
        }
        (Wire::Enum | Wire::Set | Wire::Bytes, _) => Value::Text(fields.counted()?),
    })
}

fn calendar(fields: &mut Fields<'_>) -> Option<Calendar> {
    let length = fields.u8()?;
    let mut at = Calendar::default();
    if !matches!(length, 0 | 4 | 7 | 11) {
        return None;
    }
    if length >= 4 {
        (at.year, at.month, at.day) = (fields.u16()?, fields.u8()?, fields.u8()?);
    }
    if length >= 7 {
        at.micros = clock(fields, 23)?;
    }
    if length >= 11 {
        at.micros += micros(fields)?;
    }
    Some(at)
}

fn time(fields: &mut Fields<'_>) -> Option<i64> {
    let length = fields.u8()?;
    if !matches!(length, 0 | 8 | 12) {
        return None;
    }
    if length == 0 {
        return Some(0);
    }
    let negative = fields.u8()? != 0;
    // The longest time is 838 hours.
    let days = i64::from(fields.u32()?);
    if days > MOST_DAYS {
        return None;
    }
    let mut span = days * DAY_MICROS + clock(fields, 23)?;
    if length == 12 {
        span += micros(fields)?;
    }
    Some(if negative { -span } else { span })
}

fn clock(fields: &mut Fields<'_>, most: u8) -> Option<i64> {
    let (hour, minute, second) = (fields.u8()?, fields.u8()?, fields.u8()?);
    let fits = hour <= most && minute < 60 && second < 60;
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    fits.then_some(seconds * 1_000_000)
}

fn micros(fields: &mut Fields<'_>) -> Option<i64> {
    Some(i64::from(fields.u32()?)).filter(|micros| *micros < 1_000_000)
}

/// Up to 64 bits, the highest first.
fn bits(bytes: &[u8]) -> Option<u64> {
    let fold = |bits: u64, byte: &u8| (bits << 8) | u64::from(*byte);
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, fold))
}

impl Calendar {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    fn days(&self) -> Option<i32> {
        let (year, month, day) = (self.year.into(), self.month.into(), self.day.into());
        Some(NaiveDate::from_ymd_opt(year, month, day)?.num_days_from_ce() - 719_163)
    }

    fn epoch_micros(&self) -> Option<i64> {
        Some(i64::from(self.days()?) * DAY_MICROS + self.micros)
    }

    fn date_text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn clock_text(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}"),
    }
}

/// A value as exact text; `None` for NULL. Bytes that are not text are hexadecimal digits.
pub(super) fn text_of(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Int(value) => value.to_string(),
        Value::Unsigned(value) => value.to_string(),
        Value::Single(value) => format!("{value:?}"),
        Value::Double(value) => format!("{value:?}"),
        Value::Date(at) => at.date_text(),
        Value::DateTime(at) => format!("{} {}", at.date_text(), clock_text(at.micros)),
        Value::Time(span) if *span < 0 => format!("-{}", clock_text(-span)),
        Value::Time(span) => clock_text(*span),
        Value::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => hexadecimal(bytes),
        },
        Value::Bytes(bytes) => hexadecimal(bytes),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The cells of a row, or the reasons why it does not fit. There may be more values than columns.
pub(super) fn cells<'a>(
    values: &[Value<'a>],
    columns: &[Column],
    zero_dates: ZeroDates,
) -> Result<Vec<Cell<'a>>, Vec<Reason>> {
    let mut cells = Vec::with_capacity(columns.len());
    let mut reasons = Vec::new();
    for (value, column) in values.iter().zip(columns) {
        match fit(value, &column.data_type, zero_dates) {
            Some(cell) => cells.push(cell),
            None => reasons.push(reason(value, column)),
        }
    }
    match reasons.is_empty() {
        true => Ok(cells),
        false => Err(reasons),
    }
}

fn reason(value: &Value<'_>, column: &Column) -> Reason {
    let text = text_of(value).unwrap_or_default();
    let word = types::name(&column.data_type);
    let (code, message) = match value {
        Value::Date(at) | Value::DateTime(at) if at.is_zero() => (
            "type",
            "is the zero date; `zero_dates: to_null` on the table reads it as NULL".to_owned(),
        ),
        Value::Date(_) | Value::DateTime(_) => (
            "type",
            format!("is not a date of the calendar, so it is not a valid `{word}`"),
        ),
        Value::Text(bytes) if std::str::from_utf8(bytes).is_err() => (
            "encoding",
            "contains bytes that are not UTF-8 text".to_owned(),
        ),
        _ => ("type", format!("is not an exact `{word}`")),
    };
    Reason {
        code: code.to_owned(),
        column: Some(column.definition.name.clone()),
        value: Some(text.chars().take(SHOWN_CHARS).collect()),
        message,
    }
}

fn fit<'a>(value: &Value<'a>, data_type: &DataType, zero_dates: ZeroDates) -> Option<Cell<'a>> {
    Some(match (data_type, value) {
        (_, Value::Null) => Cell::Null,
        (DataType::Utf8, Value::Text(bytes)) => {
            Cell::Text(Cow::Borrowed(std::str::from_utf8(bytes).ok()?))
        }
        (DataType::Utf8, value) => Cell::Text(Cow::Owned(text_of(value)?)),
        (DataType::Binary, Value::Bytes(bytes)) => Cell::Bytes(bytes),
        (DataType::Float32, Value::Single(value)) => Cell::Double(f64::from(*value)),
        (DataType::Float64, Value::Double(value)) => Cell::Double(*value),
        (DataType::Boolean, Value::Int(0) | Value::Unsigned(0)) => Cell::Bool(false),
        (DataType::Boolean, Value::Int(1) | Value::Unsigned(1)) => Cell::Bool(true),
        (DataType::Decimal128(precision, scale), Value::Text(text)) => {
            Cell::Decimal(read::decimal(text, *precision, *scale)?)
        }
        (DataType::Decimal128(precision, scale), Value::Int(_) | Value::Unsigned(_)) => {
            Cell::Decimal(read::decimal(
                text_of(value)?.as_bytes(),
                *precision,
                *scale,
            )?)
        }
        (DataType::Date32 | DataType::Timestamp(..), Value::Date(at) | Value::DateTime(at))
            if at.is_zero() && zero_dates == ZeroDates::Null =>
        {
            Cell::Null
        }
        (DataType::Date32, Value::Date(at)) => Cell::Date(at.days()?),
        (DataType::Timestamp(..), Value::DateTime(at)) => Cell::Micros(at.epoch_micros()?),
        (whole, Value::Int(value)) if whole.is_integer() => {
            let (least, most) = bounds(whole);
            return (least..=most).contains(value).then_some(Cell::Int(*value));
        }
        (DataType::Int64, Value::Unsigned(value)) => Cell::Int(i64::try_from(*value).ok()?),
        _ => return None,
    })
}

/// A row as it came, of the columns that are read.
pub(super) fn raw(values: &[Value<'_>], columns: &[Column]) -> RawRecord {
    let members = values.iter().zip(columns).map(|(value, column)| {
        let text = text_of(value).map_or(serde_json::Value::Null, serde_json::Value::String);
        (column.definition.name.clone(), text)
    });
    let row: Map<String, serde_json::Value> = members.collect();
    RawRecord::Row(serde_json::Value::Object(row).to_string())
}

/// Of the values at these places: equal values have equal digests, whatever the type that stores them.
pub(super) fn digest(values: &[Value<'_>], places: &[usize]) -> String {
    let mut hash = Sha256::new();
    let mut put = |class: u8, bytes: &[u8]| {
        hash.update([class]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for value in places.iter().filter_map(|place| values.get(*place)) {
        match value {
            Value::Null => put(0, &[]),
            Value::Text(bytes) | Value::Bytes(bytes) => put(1, bytes),
            value => put(1, text_of(value).unwrap_or_default().as_bytes()),
        }
    }
    let bytes = hash.finalize();
    let digits = bytes.iter().take(DIGEST_BYTES);
    digits.map(|byte| format!("{byte:02x}")).collect()
}
