//! The results of Towpath's engine, as text in PostgreSQL's form.
//!
//! Promise: a value is read from the array and not through the engine's own casts to text, so a wrong cast
//! cannot hide. It does not know the results of PostgreSQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use futures::TryStreamExt as _;
use towpath_engine::Engine;
use towpath_ports::{ExpressionCompiler, Query};
use towpath_vocab::Failure;

use crate::cases::Case;
use crate::compare::Written;

/// What Towpath says of one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ours {
    /// A value as text; `None` is NULL.
    Value(Option<String>),
    /// It fails with this code.
    Fails(String),
}

/// What Towpath says of a case.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It does not compile: code and message.
    Refused(String),
    /// One answer for each row, and the type.
    Rows(DataType, Vec<Ours>),
}

/// A library that panics for a value is our mistake.
pub(crate) fn ask(engine: &Engine, case: &Case) -> Answer {
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| answer(engine, case)));
    asked.unwrap_or_else(|_| Answer::Refused("R0515: a panic".to_owned()))
}

fn answer(engine: &Engine, case: &Case) -> Answer {
    let columns: Vec<ArrayRef> = (0..3)
        .map(|position| match case.kinds.get(position) {
            Some(kind) => {
                let at: Vec<usize> = case.rows.iter().map(|row| row[position]).collect();
                kind.column(&at)
            }
            None => Arc::new(arrow_array::BooleanArray::from(vec![
                None::<bool>;
                case.rows.len()
            ])),
        })
        .collect();
    let fields: Vec<Field> = ["a", "b", "c"]
        .iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let compiled = match engine.compile(&case.ours, &schema) {
        Ok(compiled) => compiled,
        Err(failure) => return Answer::Refused(short(&failure)),
    };
    let data_type = compiled.data_type().clone();
    let rows = match compiled.evaluate(&batch) {
        Ok(array) => texts(&array),
        Err(_) => (0..batch.num_rows())
            .flat_map(|row| match compiled.evaluate(&batch.slice(row, 1)) {
                Ok(array) => texts(&array),
                Err(failure) => vec![Ours::Fails(short(&failure))],
            })
            .collect(),
    };
    Answer::Rows(data_type, rows)
}

fn short(failure: &Failure) -> String {
    format!("{}: {}", failure.code.as_str(), failure.message)
}

fn texts(array: &ArrayRef) -> Vec<Ours> {
    (0..array.len())
        .map(|row| Ours::Value(text(array.as_ref(), row)))
        .collect()
}

/// One value as PostgreSQL writes it.
pub(crate) fn text(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    macro_rules! number {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row).to_string()
        };
    }
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).to_string(),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let zone = if zone.is_some() { "+00" } else { "" };
            moment(
                array.as_primitive::<TimestampMicrosecondType>().value(row),
                zone,
            )
        }
        DataType::Time32(TimeUnit::Second) => {
            time(i64::from(array.as_primitive::<Time32SecondType>().value(row)) * 1_000_000)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            time(array.as_primitive::<Time64NanosecondType>().value(row) / 1_000)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let it = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            interval(it.months, it.days, it.nanoseconds / 1_000)
        }
        DataType::List(_) => list(array.as_list::<i32>().value(row).as_ref()),
        other => format!("<{other}>"),
    })
}

fn float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 {
            "Infinity".into()
        } else {
            "-Infinity".into()
        };
    }
    value.to_string()
}

fn bytes(value: &[u8]) -> String {
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{hex}")
}

fn date(days: i32) -> String {
    match NaiveDate::default().checked_add_signed(TimeDelta::days(i64::from(days))) {
        Some(date) => {
            let (year, era) = era(date.year());
            format!("{year}{}{era}", date.format("-%m-%d"))
        }
        None => format!("day {days}"),
    }
}

fn moment(micros: i64, zone: &str) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(at) => written(at.naive_utc(), zone),
        None => format!("micros {micros}"),
    }
}

fn written(at: NaiveDateTime, zone: &str) -> String {
    let (year, era) = era(at.year());
    let rest = trimmed(at.format("-%m-%d %H:%M:%S%.6f").to_string());
    format!("{year}{rest}{zone}{era}")
}

/// There is no year 0.
fn era(year: i32) -> (String, &'static str) {
    if year > 0 {
        (format!("{year:04}"), "")
    } else {
        (format!("{:04}", 1 - year), " BC")
    }
}

fn trimmed(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn time(micros: i64) -> String {
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    trimmed(format!(
        "{:02}:{:02}:{:02}.{rest:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    ))
}

/// As PostgreSQL writes it: each field with its own sign.
fn interval(months: i32, days: i32, micros: i64) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let sign = if negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            out.push(format!("{sign}{value} {unit}{plural}"));
            negative = value < 0;
        }
    }
    if micros != 0 || out.is_empty() {
        let sign = if micros < 0 {
            "-"
        } else if negative {
            "+"
        } else {
            ""
        };
        let size = micros.abs();
        let (hours, minutes) = (size / 3_600_000_000, size / 60_000_000 % 60);
        let (seconds, rest) = (size / 1_000_000 % 60, size % 1_000_000);
        out.push(trimmed(format!(
            "{sign}{hours:02}:{minutes:02}:{seconds:02}.{rest:06}"
        )));
    }
    out.join(" ")
}

fn list(items: &dyn Array) -> String {
    let item = |row: usize| match text(items, row) {
        None => "NULL".to_owned(),
        Some(text) if matches!(items.data_type(), DataType::List(_)) => text,
        Some(text)
            if text.is_empty()
                || text.eq_ignore_ascii_case("null")
                || text.contains(['"', ',', '{', '}', '\\', ' ', '\n']) =>
        {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Some(text) => text,
    };
    let items: Vec<String> = (0..items.len()).map(item).collect();
    format!("{{{}}}", items.join(","))
}

/// The rows of a statement: for each its cells as text, in the order of the columns.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) written: Vec<Written>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// The rows of a statement.
pub(crate) async fn ask_statement(engine: &Engine, sql: &str) -> Result<Rows, String> {
    let asked = async {
        let answer = engine.query(sql, &BTreeMap::new()).await?;
        answer.batches.try_collect::<Vec<_>>().await
    };
    let batches: Vec<RecordBatch> = asked.await.map_err(|failure| short(&failure))?;
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    let written = match batches.first() {
        Some(batch) => batch
            .columns()
            .iter()
            .map(|column| Written::of(column.data_type()))
            .collect(),
        None => Vec::new(),
    };
    for batch in batches {
        for row in 0..batch.num_rows() {
            rows.push(
                batch
                    .columns()
                    .iter()
                    .map(|column| text(column.as_ref(), row))
                    .collect(),
            );
        }
    }
    Ok(Rows { written, rows })
}
