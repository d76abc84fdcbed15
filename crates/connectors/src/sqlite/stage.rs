//! How rows are stored: the declared type each column gets, and its values as SQLite values.
//!
//! Promise: what is stored reads back as the same value. Decimals of up to 15 digits are numbers, longer
//! ones exact text (`DECIMAL_TEXT`, because `DECIMAL` would round them to doubles); dates and timestamps
//! are ISO 8601 text; NaN, which SQLite would make NULL, is the text `NaN`.

use arrow_array::{ArrayRef, RecordBatch, UInt8Array};
use arrow_schema::{DataType, Field, TimeUnit};
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::error::{ErrorContext as _, Result, SqliteError};
use crate::exact::write::{Kind, Values};
use crate::relational::statements::OP;

/// The stage every write goes through.
pub(super) const STAGE: &str = "temp.\"_towpath_stage\"";
/// Digits that a double keeps of any decimal.
const DOUBLE_DIGITS: u8 = 15;

/// The type a column of a new table is declared with; `None` when SQLite cannot keep it.
pub(super) fn stored_as(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::UInt64 => "DECIMAL_TEXT(20,0)".to_owned(),
        other if other.is_integer() => "INTEGER".to_owned(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "REAL".to_owned(),
        DataType::Decimal128(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal32(precision, scale) => {
            let word = if *precision <= DOUBLE_DIGITS {
                "DECIMAL"
            } else {
                "DECIMAL_TEXT"
            };
            format!("{word}({precision},{scale})")
        }
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".to_owned(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "BLOB".to_owned(),
        DataType::Dictionary(_, values) => return stored_as(values),
        DataType::Null => "TEXT".to_owned(),
        _ => return None,
    })
}

/// The declared type of a field, or a failure that names it.
pub(super) fn declared(field: &Field) -> Result<String> {
    stored_as(field.data_type()).ok_or_else(|| SqliteError::NoType {
        column: field.name().clone(),
        data_type: field.data_type().to_string(),
    })
}

/// A column whose values can be bound.
struct Bound {
    values: Values,
    data_type: DataType,
}

impl Bound {
    fn of(array: &ArrayRef) -> Result<Self> {
        let values = Values::of(array).map_err(|error| encode(&error))?;
        Ok(Self {
            values,
            data_type: array.data_type().clone(),
        })
    }

    fn value(&self, row: usize) -> Result<ToSqlOutput<'_>> {
        if self.values.is_null(row) {
            return Ok(ToSqlOutput::Owned(Value::Null));
        }
        let owned = match &self.values.kind {
            Kind::Bool(values) => Value::Integer(i64::from(values.value(row))),
            Kind::Signed(values) => Value::Integer(values.value(row)),
            Kind::Unsigned(values) if self.data_type != DataType::UInt64 => {
                i64::try_from(values.value(row)).map_or(Value::Null, Value::Integer)
            }
            Kind::Single(values) if !values.value(row).is_nan() => {
                Value::Real(f64::from(values.value(row)))
            }
            Kind::Double(values) if !values.value(row).is_nan() => Value::Real(values.value(row)),
            Kind::Text(values) => {
                return Ok(ToSqlOutput::Borrowed(ValueRef::Text(
                    values.value(row).as_bytes(),
                )));
            }
            Kind::Bytes(values) => {
                return Ok(ToSqlOutput::Borrowed(ValueRef::Blob(values.value(row))));
            }
            _ => {
                let mut text = Vec::new();
                self.values
                    .write(row, &mut text)
                    .map_err(|error| encode(&error))?;
                Value::Text(String::from_utf8_lossy(&text).into_owned())
            }
        };
        Ok(ToSqlOutput::Owned(owned))
    }
}

fn encode(error: &arrow_schema::ArrowError) -> SqliteError {
    SqliteError::Columns {
        object: "the stage".to_owned(),
        why: error.to_string(),
    }
}

/// A value ready to be bound.
struct Ready<'a>(ToSqlOutput<'a>);

impl rusqlite::ToSql for Ready<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.clone())
    }
}

/// Makes the stage. Its columns have no type, so nothing is converted twice.
pub(super) fn create(
    connection: &Connection,
    columns: usize,
    with_ops: bool,
    shown: &str,
) -> Result<()> {
    let mut names: Vec<String> = (0..columns).map(|at| format!("c{at}")).collect();
    if with_ops {
        names.push(OP.to_owned());
    }
    connection
        .execute_batch(&format!(
            "BEGIN; CREATE TABLE {STAGE} ({})",
            names.join(", ")
        ))
        .doing(shown, "creating the stage")
}

/// Adds rows to the stage; gives about how many bytes they have.
pub(super) fn insert(
    connection: &Connection,
    batch: &RecordBatch,
    ops: Option<&UInt8Array>,
    shown: &str,
) -> Result<u64> {
    let columns = batch
        .columns()
        .iter()
        .map(Bound::of)
        .collect::<Result<Vec<_>>>()?;
    let width = columns.len() + usize::from(ops.is_some());
    let placeholders: Vec<String> = (1..=width).map(|at| format!("?{at}")).collect();
    let sql = format!("INSERT INTO {STAGE} VALUES ({})", placeholders.join(", "));
    let mut statement = connection
        .prepare_cached(&sql)
        .doing(shown, "filling the stage")?;
    for row in 0..batch.num_rows() {
        for (at, column) in columns.iter().enumerate() {
            statement
                .raw_bind_parameter(at + 1, Ready(column.value(row)?))
                .doing(shown, "filling the stage")?;
        }
        if let Some(ops) = ops {
            statement
                .raw_bind_parameter(width, i64::from(ops.value(row)))
                .doing(shown, "filling the stage")?;
        }
        statement.raw_execute().doing(shown, "filling the stage")?;
    }
    Ok(batch.get_array_memory_size() as u64)
}

/// Whether a column of this declared type keeps these values exactly, by SQLite's rules of affinity.
pub(super) fn keeps(present: &str, incoming: &DataType) -> bool {
    let word = present.trim().to_ascii_uppercase();
    let base = word.split('(').next().unwrap_or_default().trim().to_owned();
    let has = |part: &str| base.contains(part);
    let any = base.is_empty() || base == "ANY" || has("BLOB");
    let integers = has("INT");
    let texts = !integers && (has("CHAR") || has("CLOB") || has("TEXT"));
    let reals = !integers && !texts && (has("REAL") || has("FLOA") || has("DOUB"));
    let numbers = !any && !integers && !texts && !reals;
    match incoming {
        DataType::Null => true,
        DataType::Boolean => base.contains("BOOL") || integers,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            integers
                || reals
                || base.is_empty()
                || numbers && !has("BOOL") && !has("DATE") && !has("TIME")
        }
        DataType::UInt64 => base == "DECIMAL_TEXT" || base == "TEXT" || any && base.is_empty(),
        other if other.is_integer() => {
            integers
                || base.is_empty()
                || matches!(base.as_str(), "NUMERIC" | "DECIMAL" | "NUMBER") && !word.contains('(')
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => reals || base.is_empty(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => keeps_decimal(&word, &base, *precision, *scale),
        DataType::Date32 => base == "DATE" || texts || base.is_empty(),
        DataType::Timestamp(unit, zone) => {
            let _: &TimeUnit = unit;
            has("TIMESTAMP") && (zone.is_some() == (has("TZ") || has("WITH TIME ZONE")))
                || base == "DATETIME"
                || texts
                || base.is_empty()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            texts && base != "DECIMAL_TEXT" || base.is_empty()
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => any,
        DataType::Dictionary(_, values) => keeps(present, values),
        _ => false,
    }
}

fn keeps_decimal(word: &str, base: &str, precision: u8, scale: i8) -> bool {
    let digits = || {
        let (digits, places) = word.split_once('(')?.1.strip_suffix(')')?.split_once(',')?;
        Some((
            digits.trim().parse::<i16>().ok()?,
            places.trim().parse::<i16>().ok()?,
        ))
    };
    let roomy = || match digits() {
        None => !word.contains('('),
        Some((room, places)) => {
            places >= i16::from(scale) && room - places >= i16::from(precision) - i16::from(scale)
        }
    };
    match base {
        "DECIMAL_TEXT" => roomy(),
        "DECIMAL" | "NUMERIC" | "NUMBER" | "DEC" => precision <= DOUBLE_DIGITS && roomy(),
        "TEXT" | "" => true,
        _ => false,
    }
}
