//! From SQLite's values to columns: each value fits its column exactly, or its row is a reject.
//!
//! A row is looked at as a whole before any of it is kept, so a bad row leaves nothing behind and
//! carries every reason. It knows no connection and no SQL.

use std::borrow::Cow;

use arrow_schema::{DataType, SchemaRef};
use rusqlite::types::ValueRef;
use serde_json::{Map, Value};
use towpath_vocab::{RawRecord, Reason, types};

use crate::exact::read;
use crate::relational::batch::{Cell, bounds};

/// Integers up to here are doubles.
const EXACT: i64 = 1 << 53;
/// A reason shows so many characters of a value.
const SHOWN_CHARS: usize = 200;

/// The cells of a row, or the reasons why it does not fit.
pub(super) fn cells<'row>(
    row: &'row rusqlite::Row<'_>,
    schema: &SchemaRef,
) -> rusqlite::Result<Result<Vec<Cell<'row>>, Vec<Reason>>> {
    let mut cells = Vec::with_capacity(schema.fields().len());
    let mut reasons = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        let value = row.get_ref(at)?;
        match fit(value, field.data_type()) {
            Ok(cell) => cells.push(cell),
            Err(why) => reasons.push(Reason {
                code: if matches!(why, CellError::Encoding) {
                    "encoding"
                } else {
                    "type"
                }
                .to_owned(),
                column: Some(field.name().clone()),
                value: Some(text_of(value).chars().take(SHOWN_CHARS).collect()),
                message: why.words(value, field.data_type()),
            }),
        }
    }
    Ok(match reasons.is_empty() {
        true => Ok(cells),
        false => Err(reasons),
    })
}

enum CellError {
    Kind,
    Encoding,
}

impl CellError {
    fn words(&self, value: ValueRef<'_>, data_type: &DataType) -> String {
        let word = types::name(data_type);
        match self {
            Self::Encoding => "contains bytes that are not UTF-8 text".to_owned(),
            Self::Kind => format!(
                "is stored as {} and is not an exact `{word}`",
                value.data_type().to_string().to_lowercase()
            ),
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "only where it is exact"
)]
fn fit<'a>(value: ValueRef<'a>, data_type: &DataType) -> Result<Cell<'a>, CellError> {
    let cell = match (data_type, value) {
        (_, ValueRef::Null) => Some(Cell::Null),
        (DataType::Utf8, ValueRef::Text(bytes)) => {
            return std::str::from_utf8(bytes)
                .map(|text| Cell::Text(Cow::Borrowed(text)))
                .map_err(|_| CellError::Encoding);
        }
        (DataType::Utf8, ValueRef::Integer(_) | ValueRef::Real(_)) => {
            Some(Cell::Text(Cow::Owned(text_of(value))))
        }
        (DataType::Binary, ValueRef::Blob(bytes)) => Some(Cell::Bytes(bytes)),
        (DataType::Float64, ValueRef::Real(real)) => Some(Cell::Double(real)),
        (DataType::Float64, ValueRef::Integer(whole)) => (-EXACT..=EXACT)
            .contains(&whole)
            .then_some(Cell::Double(whole as f64)),
        (DataType::Float32, ValueRef::Real(real)) => {
            (f64::from(real as f32) == real).then_some(Cell::Double(real))
        }
        (DataType::Float32, ValueRef::Integer(whole)) => (-(1 << 24)..=1 << 24)
            .contains(&whole)
            .then_some(Cell::Double(whole as f64)),
        (DataType::Float32 | DataType::Float64, ValueRef::Text(b"NaN")) => {
            Some(Cell::Double(f64::NAN))
        }
        (DataType::Boolean, ValueRef::Integer(0)) => Some(Cell::Bool(false)),
        (DataType::Boolean, ValueRef::Integer(1)) => Some(Cell::Bool(true)),
        (DataType::Boolean, ValueRef::Text(text)) => read::boolean(text).map(Cell::Bool),
        (DataType::Date32, ValueRef::Text(text)) => read::date(text).map(Cell::Date),
        (DataType::Timestamp(_, zone), ValueRef::Text(text)) => {
            moment(text, zone.is_some()).map(Cell::Micros)
        }
        (DataType::Decimal128(precision, scale), _) => {
            decimal(value, *precision, *scale).map(Cell::Decimal)
        }
        (DataType::UInt64, ValueRef::Integer(_) | ValueRef::Text(_)) => decimal(value, 20, 0)
            .filter(|value| u64::try_from(*value).is_ok())
            .map(Cell::Decimal),
        (whole, ValueRef::Integer(value)) if whole.is_integer() => {
            let (least, most) = bounds(whole);
            (least..=most).contains(&value).then_some(Cell::Int(value))
        }
        _ => None,
    };
    cell.ok_or(CellError::Kind)
}

fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Option<i128> {
    match value {
        ValueRef::Text(text) => read::decimal(text, precision, scale),
        // The shortest digits that mean this double are what was stored.
        ValueRef::Integer(_) | ValueRef::Real(_) => {
            read::decimal(text_of(value).as_bytes(), precision, scale)
        }
        _ => None,
    }
}

fn moment(text: &[u8], zoned: bool) -> Option<i64> {
    match read::timestamp(text) {
        Some(moment) => (moment.zoned == zoned).then_some(moment.micros),
        None if zoned => None,
        None => Some(i64::from(read::date(text)?) * 86_400_000_000),
    }
}

/// A value as exact text.
fn text_of(value: ValueRef<'_>) -> String {
    use std::fmt::Write as _;
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}

/// A row as it came.
pub(super) fn raw(row: &rusqlite::Row<'_>, schema: &SchemaRef) -> RawRecord {
    let members = schema.fields().iter().enumerate().map(|(at, field)| {
        let value = match row.get_ref(at) {
            Ok(ValueRef::Null) | Err(_) => Value::Null,
            Ok(value) => Value::String(text_of(value)),
        };
        (field.name().clone(), value)
    });
    RawRecord::Row(Value::Object(members.collect::<Map<_, _>>()).to_string())
}
