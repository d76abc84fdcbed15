//! What a target is told of rows: their columns as JSON Schema, and each row as a record.
//!
//! Promise: a record has the digits of every value: decimals are numbers with all their digits, whose schema
//! says how many. What JSON cannot hold (NaN, infinities) is refused. Types come back as they were where
//! `json_schema.rs` reads them; intervals, times of day and nanoseconds are texts. Read next:
//! `target_writer.rs`.

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};
use serde_json::{Map, Number, Value, json};
use towpath_ports::{ExactKind, ExactValues, exact_json, json_string};

/// The column that says when a row was deleted.
pub(super) const DELETED_AT: &str = "_sdc_deleted_at";

/// The SCHEMA message of a stream.
pub(super) fn schema_message(
    stream: &str,
    schema: &Schema,
    key: &[String],
    marks_deletes: bool,
) -> String {
    let mut properties = Map::new();
    for field in schema.fields() {
        let is_key = key.contains(field.name());
        properties.insert(field.name().clone(), property(field.data_type(), is_key));
    }
    if marks_deletes {
        let moment = json!({ "type": ["null", "string"], "format": "date-time" });
        properties.insert(DELETED_AT.to_owned(), moment);
    }
    json!({
        "type": "SCHEMA",
        "stream": stream,
        "schema": { "type": "object", "properties": properties },
        "key_properties": key,
    })
    .to_string()
}

fn property(data_type: &DataType, is_key: bool) -> Value {
    let types = |word: &str| match is_key {
        true => json!([word]),
        false => json!(["null", word]),
    };
    match data_type {
        DataType::Boolean => json!({ "type": types("boolean") }),
        DataType::UInt64 => {
            json!({ "type": types("integer"), "minimum": 0, "maximum": u64::MAX })
        }
        integer if integer.is_integer() => json!({ "type": types("integer") }),
        float if float.is_floating() => json!({ "type": types("number") }),
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale) => decimal(types("number"), *digits, *scale),
        DataType::Date32 => json!({ "type": types("string"), "format": "date" }),
        DataType::Timestamp(unit, _) if *unit != TimeUnit::Nanosecond => {
            json!({ "type": types("string"), "format": "date-time" })
        }
        DataType::Struct(_) => json!({ "type": types("object") }),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            json!({ "type": types("array"), "items": {} })
        }
        DataType::Map(..) => json!({ "type": ["null", "object", "array"] }),
        _ => json!({ "type": types("string") }),
    }
}

/// A number of so many digits, `scale` of them behind the point.
fn decimal(types: Value, digits: u8, scale: i8) -> Value {
    let number = |text: String| text.parse::<Number>().map_or(Value::Null, Value::Number);
    let bound = format!("1e{}", i16::from(digits) - i16::from(scale));
    let mut property = json!({ "type": types });
    let members = [
        ("multipleOf", number(format!("1e{}", -i16::from(scale)))),
        ("exclusiveMinimum", number(format!("-{bound}"))),
        ("exclusiveMaximum", number(bound)),
    ];
    for (name, value) in members {
        property[name] = value;
    }
    property
}

/// Writes the RECORD messages of a batch.
pub(super) struct RecordWriter {
    /// What stands before the members of a record.
    head: Vec<u8>,
    keys: Vec<Vec<u8>>,
}

/// A row that no JSON can hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRecord {
    /// The column has NaN or an infinity.
    NotFinite(String),
    Arrow(String),
}

impl From<ArrowError> for NoRecord {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error.to_string())
    }
}

impl RecordWriter {
    pub(super) fn new(stream: &str, schema: &Schema) -> Self {
        let mut head = b"{\"type\":\"RECORD\",\"stream\":".to_vec();
        json_string(stream.as_bytes(), &mut head);
        head.extend_from_slice(b",\"record\":");
        let keys = schema.fields().iter().enumerate().map(|(at, field)| {
            let mut key = vec![if at == 0 { b'{' } else { b',' }];
            json_string(field.name().as_bytes(), &mut key);
            key.push(b':');
            key
        });
        Self {
            head,
            keys: keys.collect(),
        }
    }

    /// The bytes of a line before its record.
    pub(super) fn head(&self) -> usize {
        self.head.len()
    }

    /// Adds the rows of a batch to the first text; those for which `deleted_at` has a moment, with it, to the
    /// second one.
    pub(super) fn write<'m>(
        &self,
        batch: &RecordBatch,
        deleted_at: impl Fn(usize) -> Option<&'m str>,
        (rows, deleted): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<(), NoRecord> {
        let columns = batch.columns().iter().map(ExactValues::of);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let moment = deleted_at(row);
            let out = match moment {
                Some(_) => &mut *deleted,
                None => &mut *rows,
            };
            out.extend_from_slice(&self.head);
            for ((at, key), values) in self.keys.iter().enumerate().zip(&columns) {
                out.extend_from_slice(key);
                if !value(values, row, out)? {
                    let name = batch.schema().field(at).name().clone();
                    return Err(NoRecord::NotFinite(name));
                }
            }
            if let Some(moment) = moment {
                out.push(b',');
                json_string(DELETED_AT.as_bytes(), out);
                out.push(b':');
                json_string(moment.as_bytes(), out);
            }
            out.extend_from_slice(b"}}\n");
        }
        Ok(())
    }
}

/// Adds one value; false if JSON cannot hold it.
fn value(values: &ExactValues, row: usize, out: &mut Vec<u8>) -> Result<bool, ArrowError> {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(true);
    }
    match &values.kind {
        // A target reads a number with its schema, a text it would have to guess.
        ExactKind::Decimal(..) => values.write(row, out)?,
        ExactKind::Single(_) | ExactKind::Double(_) if !values.is_plain_json(row) => {
            return Ok(false);
        }
        _ => exact_json(values, row, out)?,
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
    use towpath_vocab::types;

    use super::*;
    use crate::singer::json_schema::{ColumnType, columns};

    #[test]
    fn types_come_back_from_their_schema() {
        let words = [
            "bool",
            "bigint",
            "ubigint",
            "double",
            "decimal(12,4)",
            "decimal(38,0)",
            "date",
            "text",
        ];
        let fields = words
            .iter()
            .map(|word| arrow_schema::Field::new(*word, types::parse(word).unwrap(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let message = schema_message("s", &schema, &["bigint".to_owned()], true);
        let message: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(message["key_properties"], json!(["bigint"]));
        let read = columns(&message["schema"]).unwrap();
        for column in read {
            match column.of {
                ColumnType::Is(data_type) => assert_eq!(types::name(&data_type), column.name),
                ColumnType::Time => assert_eq!(column.name, DELETED_AT),
            }
        }
    }

    #[test]
    fn records_have_all_digits_or_are_refused() {
        let decimals = Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_i128), None]);
        let decimals = decimals.with_precision_and_scale(38, 2).unwrap();
        let batch = |double: f64| {
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("i", Arc::new(Int64Array::from(vec![i64::MAX, 2]))),
                ("m", Arc::new(decimals.clone())),
                ("d", Arc::new(Float64Array::from(vec![0.1, double]))),
                ("t", Arc::new(StringArray::from(vec![Some("x\"\n"), None]))),
            ];
            RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(name, array)| (name, array, true)),
            )
            .unwrap()
        };
        let good = batch(1.0);
        let writer = RecordWriter::new("a \"b\"", &good.schema());
        let (mut out, mut gone) = (Vec::new(), Vec::new());
        let deleted = |row: usize| (row == 1).then_some("2026-01-01T00:00:00Z");
        writer.write(&good, deleted, (&mut out, &mut gone)).unwrap();
        assert!(out.starts_with(&gone[..writer.head()]));
        let text = String::from_utf8([out, gone].concat()).unwrap();
        let expected = concat!(
            r#"{"type":"RECORD","stream":"a \"b\"","record":{"i":9223372036854775807,"m":123456789012345678.90,"d":0.1,"t":"x\"\n"}}"#,
            "\n",
            r#"{"type":"RECORD","stream":"a \"b\"","record":{"i":2,"m":null,"d":1.0,"t":null,"_sdc_deleted_at":"2026-01-01T00:00:00Z"}}"#,
            "\n",
        );
        assert_eq!(text, expected);
        let nowhere = (&mut Vec::new(), &mut Vec::new());
        let refused = writer.write(&batch(f64::NAN), |_| None, nowhere);
        assert_eq!(refused, Err(NoRecord::NotFinite("d".to_owned())));
    }
}
