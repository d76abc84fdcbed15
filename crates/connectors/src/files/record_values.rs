//! Exact texts and JSON of a record as arrays of any type that a record can hold.
//!
//! Promise: the inverse of `towpath_ports::row_as_json`: what it wrote comes back as the same value,
//! also within lists, structs and maps, also in years of more than four digits. Anything else is
//! refused in words. It knows no columns and no record: see `record.rs`.

use std::sync::Arc;

use arrow_array::types::Decimal256Type;
use arrow_array::{
    ArrayRef, Date32Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, MapArray,
    PrimitiveArray, StructArray, TimestampMicrosecondArray, new_null_array,
    types::IntervalMonthDayNano,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_cast::cast::cast;
use arrow_cast::parse::parse_decimal;
use arrow_schema::{ArrowError, DataType, FieldRef, Fields, IntervalUnit, TimeUnit};
use serde_json::Value;
use towpath_ports::ExactValues;
use towpath_vocab::types;

use super::cells::{Cells, Nulls, Span};
use super::column::{Column, ColumnFormat, misfit, readable_type};
use super::value;

/// Values as an array, or why one of them is none of its type.
pub(super) type Read = Result<Result<ArrayRef, String>, ArrowError>;

/// Values as an array of a type.
pub(super) fn array_of(values: &[Option<&Value>], to: &DataType) -> Read {
    let values: Vec<Option<&Value>> = values
        .iter()
        .map(|value| value.filter(|value| !value.is_null()))
        .collect();
    let nulls = NullBuffer::from_iter(values.iter().map(Option::is_some));
    match to {
        DataType::List(item) => list(&values, item, nulls),
        DataType::Struct(fields) => members(&values, fields, nulls),
        DataType::Map(entries, sorted) => map(&values, entries, *sorted, nulls),
        DataType::Null => Ok(Ok(new_null_array(to, values.len()))),
        _ => texts(&values, to),
    }
}

fn shape(to: &str) -> Read {
    Ok(Err(format!(
        "is not written as {to}, so its parts cannot be read; load it again"
    )))
}

fn list(values: &[Option<&Value>], item: &FieldRef, nulls: NullBuffer) -> Read {
    let (mut items, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
    for value in values {
        match value {
            None => lengths.push(0),
            Some(Value::Array(all)) => {
                lengths.push(all.len());
                items.extend(all.iter().map(Some));
            }
            Some(_) => return shape("a list"),
        }
    }
    let items = match array_of(&items, item.data_type())? {
        Ok(items) => items,
        Err(why) => return Ok(Err(why)),
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    let made = ListArray::try_new(Arc::clone(item), offsets, items, Some(nulls))?;
    Ok(Ok(Arc::new(made)))
}

fn members(values: &[Option<&Value>], fields: &Fields, nulls: NullBuffer) -> Read {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let mut given = Vec::with_capacity(values.len());
        for value in values {
            match value {
                None => given.push(None),
                Some(Value::Object(object)) => given.push(object.get(field.name())),
                Some(_) => return shape("an object"),
            }
        }
        match array_of(&given, field.data_type())? {
            Ok(column) => columns.push(column),
            Err(why) => return Ok(Err(format!("member `{}`: {why}", field.name()))),
        }
    }
    let made =
        StructArray::try_new_with_length(fields.clone(), columns, Some(nulls), values.len())?;
    Ok(Ok(Arc::new(made)))
}

/// A map with texts as keys is an object, any other a list of its entries.
fn map(values: &[Option<&Value>], entries: &FieldRef, sorted: bool, nulls: NullBuffer) -> Read {
    let DataType::Struct(pair) = entries.data_type() else {
        return shape("a map");
    };
    let [key, member] = pair.as_ref() else {
        return shape("a map");
    };
    let mut keys: Vec<Value> = Vec::new();
    let (mut held, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
    for value in values {
        match value {
            None => lengths.push(0),
            Some(Value::Object(object)) => {
                lengths.push(object.len());
                keys.extend(object.keys().cloned().map(Value::String));
                held.extend(object.values().map(Some));
            }
            Some(Value::Array(all)) => {
                lengths.push(all.len());
                keys.extend(all.iter().map(|entry| entry["key"].clone()));
                held.extend(all.iter().map(|entry| entry.get("value")));
            }
            Some(_) => return shape("a map"),
        }
    }
    let keys: Vec<Option<&Value>> = keys.iter().map(Some).collect();
    let parts = (
        array_of(&keys, key.data_type())?,
        array_of(&held, member.data_type())?,
    );
    let (keys, held) = match parts {
        (Ok(keys), Ok(held)) => (keys, held),
        (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
    };
    let made = StructArray::try_new(pair.clone(), vec![keys, held], None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let made = MapArray::try_new(Arc::clone(entries), offsets, made, Some(nulls), sorted)?;
    Ok(Ok(Arc::new(made)))
}

/// Values that a text says all of.
fn texts(values: &[Option<&Value>], to: &DataType) -> Read {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        texts.push(match value {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Array(_) | Value::Object(_)) if *to != DataType::Utf8 => {
                return Ok(Err(format!("is not a valid `{}`", types::name(to))));
            }
            Some(other) => Some(other.to_string()),
        });
    }
    if readable_type(to) {
        return scalars(&texts, to);
    }
    let bad = || format!("is not a valid `{}`; load it again", types::name(to));
    Ok(rare(&texts, to)?.ok_or_else(bad))
}

/// By the readings of text files; moments of any year beyond them.
fn scalars(texts: &[Option<String>], to: &DataType) -> Read {
    let (mut bytes, mut spans) = (Vec::new(), Vec::with_capacity(texts.len()));
    for text in texts {
        let Some(text) = text else {
            spans.push(Span::NULL);
            continue;
        };
        let start = bytes.len();
        bytes.extend_from_slice(text.as_bytes());
        spans.push(Span::quoted(start, bytes.len(), false));
    }
    // Values were written down in ISO 8601, whatever patterns the files have.
    let (format, nulls) = (ColumnFormat::default(), Nulls::default());
    let cells = Cells {
        bytes: &bytes,
        spans: &spans,
        width: 1,
        column: 0,
        nulls: &nulls,
        unescape: &|text, to| to.extend_from_slice(text),
    };
    let mut column = Column::new(to, texts.len(), &format);
    let mut bad = Vec::new();
    column.fill(&cells, 0, &mut bad);
    let Some(first) = bad.first() else {
        return column.finish().map(Ok);
    };
    match far(texts, to) {
        Some(array) => Ok(Ok(array)),
        None => {
            let text = texts.get(*first).cloned().flatten().unwrap_or_default();
            Ok(Err(misfit(text.as_bytes(), to, &format)))
        }
    }
}

/// Every text as what `one` reads; `None` when one is none.
fn each<T>(texts: &[Option<String>], one: impl Fn(&str) -> Option<T>) -> Option<Vec<Option<T>>> {
    texts
        .iter()
        .map(|text| match text {
            None => Some(None),
            Some(text) => one(text).map(Some),
        })
        .collect()
}

fn far(texts: &[Option<String>], to: &DataType) -> Option<ArrayRef> {
    match to {
        DataType::Date32 => {
            let days = each(texts, |text| i32::try_from(value::far_date(text)?).ok())?;
            Some(Arc::new(Date32Array::from(days)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = each(texts, |text| {
                let moment = value::far_moment(text)?;
                (moment.zoned == zone.is_some()).then_some(moment.micros)
            })?;
            let array = TimestampMicrosecondArray::from(micros);
            Some(Arc::new(array.with_timezone_opt(zone.clone())))
        }
        _ => None,
    }
}

/// Times of day, spans, wide decimals.
fn rare(texts: &[Option<String>], to: &DataType) -> Result<Option<ArrayRef>, ArrowError> {
    Ok(match to {
        DataType::Time32(unit) => {
            let ticks = each(texts, |text| i32::try_from(clock(text, *unit)?).ok());
            ticks
                .map(|ticks| cast(&Int32Array::from(ticks), to))
                .transpose()?
        }
        DataType::Time64(unit) => {
            let ticks = each(texts, |text| clock(text, *unit));
            ticks
                .map(|ticks| cast(&Int64Array::from(ticks), to))
                .transpose()?
        }
        DataType::Duration(unit) => {
            let ticks = each(texts, |text| span(text.strip_prefix("PT")?, *unit));
            ticks
                .map(|ticks| cast(&Int64Array::from(ticks), to))
                .transpose()?
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => each(texts, interval)
            .map(|spans| Arc::new(IntervalMonthDayNanoArray::from(spans)) as ArrayRef),
        DataType::Decimal256(precision, scale) => wide(texts, *precision, *scale)?,
        _ => None,
    })
}

fn ticks_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn ticks(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let per = ticks_per_second(unit);
    let nanos_of_tick = 1_000_000_000 / per;
    (nanos % nanos_of_tick == 0).then_some(())?;
    seconds.checked_mul(per)?.checked_add(nanos / nanos_of_tick)
}

/// `HH:MM:SS` with a fraction.
fn clock(text: &str, unit: TimeUnit) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let mut next = || parts.next()?.parse::<i64>().ok();
    let (hours, minutes) = (next()?, next()?);
    let (seconds, nanos) = value::seconds(parts.next()?)?;
    let fits = (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    ticks(
        fits.then_some(hours * 3_600 + minutes * 60 + seconds)?,
        nanos,
        unit,
    )
}

/// Seconds with a sign and a fraction, and `S`.
fn span(text: &str, unit: TimeUnit) -> Option<i64> {
    let text = text.strip_suffix('S')?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (seconds, nanos) = value::seconds(text)?;
    let ticks = ticks(seconds, nanos, unit)?;
    Some(if negative { -ticks } else { ticks })
}

/// `P…M…DT…S`.
fn interval(text: &str) -> Option<IntervalMonthDayNano> {
    let (months, rest) = text.strip_prefix('P')?.split_once('M')?;
    let (days, rest) = rest.split_once("DT")?;
    Some(IntervalMonthDayNano::new(
        months.parse().ok()?,
        days.parse().ok()?,
        span(rest, TimeUnit::Nanosecond)?,
    ))
}

/// Decimals of more than 38 digits, if their text is the one that would be written.
fn wide(
    texts: &[Option<String>],
    precision: u8,
    scale: i8,
) -> Result<Option<ArrayRef>, ArrowError> {
    let parsed = each(texts, |text| {
        parse_decimal::<Decimal256Type>(text, precision, scale).ok()
    });
    let Some(parsed) = parsed else {
        return Ok(None);
    };
    let array = PrimitiveArray::<Decimal256Type>::from_iter(parsed);
    let array: ArrayRef = Arc::new(array.with_precision_and_scale(precision, scale)?);
    let back = ExactValues::of(&array)?;
    for (row, text) in texts.iter().enumerate() {
        let mut written = Vec::new();
        if let Some(text) = text {
            back.write(row, &mut written)?;
            if written != text.as_bytes() {
                return Ok(None);
            }
        }
    }
    Ok(Some(array))
}
