//! Rows as the JSON records that are sent, and their keys.
//!
//! Promise: a record has the digits of every value: decimals are numbers with all their digits. A value that
//! JSON cannot hold (NaN, infinities) is null, and the record says so, so that it is not sent. Two rows have
//! one key exactly where the texts of their key columns are equal. Read next: `writer.rs`.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use towpath_ports::{ExactKind, ExactValues, exact_json, json_string, value_as_json};

use super::super::path::JsonPath;
use super::super::raw::Raw;
use super::sent_keys::RowKey;

/// A row to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What identifies it.
    pub(super) key: RowKey,
    /// Its JSON.
    pub(super) json: String,
    /// The column whose value JSON cannot hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) no_json: Option<String>,
    /// It is as it was when an earlier delivery was refused it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) again: bool,
}

impl Record {
    /// The value of a column as a part of a path; `None` for NULL, an empty text and what is no scalar.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        JsonPath::key(column).scalar(Raw::read(&self.json).ok()?)
    }

    /// Some of its columns as a JSON object.
    pub(super) fn only(&self, columns: &[String]) -> String {
        let raw = Raw::read(&self.json).unwrap_or(Raw::NULL);
        let mut out = b"{".to_vec();
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json_string(column.as_bytes(), &mut out);
            out.push(b':');
            let value = JsonPath::key(column).find(raw).unwrap_or(Raw::NULL);
            out.extend_from_slice(value.text().as_bytes());
        }
        out.push(b'}');
        String::from_utf8(out).unwrap_or_default()
    }

    /// A number that tells it from other rows, the same in each run: its key where that is one number.
    pub(super) fn number(&self, key: &[String]) -> u64 {
        let own = match key {
            [column] => self.text(column).and_then(|text| text.parse().ok()),
            _ => None,
        };
        own.unwrap_or_else(|| self.key.number())
    }
}

/// Makes records of batches.
pub(super) struct RecordMaker {
    key: Vec<String>,
}

impl RecordMaker {
    pub(super) fn new(key: &[String]) -> Self {
        Self { key: key.to_vec() }
    }

    /// The records of a batch, in its order.
    pub(super) fn records(&self, batch: &RecordBatch) -> Result<Vec<Record>, ArrowError> {
        let columns = batch.columns().iter().map(ExactValues::of);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let schema = batch.schema();
        let rows = 0..batch.num_rows();
        rows.map(|row| {
            let (mut json, mut no_json) = (Vec::new(), None);
            for (at, (field, values)) in schema.fields().iter().zip(&columns).enumerate() {
                json.push(if at == 0 { b'{' } else { b',' });
                json_string(field.name().as_bytes(), &mut json);
                json.push(b':');
                if !value(values, row, &mut json)? {
                    no_json.get_or_insert_with(|| field.name().clone());
                }
            }
            if columns.is_empty() {
                json.push(b'{');
            }
            json.push(b'}');
            Ok(Record {
                key: self.key_of(batch, row),
                json: String::from_utf8(json)
                    .map_err(|error| ArrowError::JsonError(error.to_string()))?,
                no_json,
                again: false,
            })
        })
        .collect()
    }

    fn key_of(&self, batch: &RecordBatch, row: usize) -> RowKey {
        let mut digest = Sha256::new();
        for name in &self.key {
            let value = batch
                .column_by_name(name)
                .map(|column| value_as_json(column, row).to_string());
            let value = value.unwrap_or_default();
            digest.update((value.len() as u64).to_le_bytes());
            digest.update(&value);
        }
        RowKey::of(&digest.finalize())
    }
}

/// Adds one value; false, and null, if JSON cannot hold it.
fn value(values: &ExactValues, row: usize, out: &mut Vec<u8>) -> Result<bool, ArrowError> {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(true);
    }
    match &values.kind {
        ExactKind::Decimal(..) => values.write(row, out)?,
        ExactKind::Single(_) | ExactKind::Double(_) if !values.is_plain_json(row) => {
            out.extend_from_slice(b"null");
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

    use super::*;

    #[test]
    fn records_keep_digits_and_say_what_json_cannot_hold() {
        let decimals = Decimal128Array::from(vec![Some(110), None]);
        let decimals = decimals.with_precision_and_scale(38, 2).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![i64::MAX, 2]))),
            ("m", Arc::new(decimals)),
            ("d", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
            ("t", Arc::new(StringArray::from(vec![Some("x\""), None]))),
        ];
        let columns = columns.into_iter().map(|(name, array)| (name, array, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let key = ["id".to_owned()];
        let records = RecordMaker::new(&key).records(&batch).unwrap();
        assert_eq!(
            records[0].json,
            r#"{"id":9223372036854775807,"m":1.10,"d":0.1,"t":"x\""}"#
        );
        assert_eq!(records[0].no_json, None);
        assert_eq!(records[1].json, r#"{"id":2,"m":null,"d":null,"t":null}"#);
        assert_eq!(records[1].no_json.as_deref(), Some("d"));
        assert_eq!(records[0].text("t").as_deref(), Some("x\""));
        assert_eq!(records[1].text("t"), None);
        assert_eq!(records[1].only(&key), r#"{"id":2}"#);
        assert_eq!(records[1].number(&key), 2);
        assert_ne!(records[0].key, records[1].key);
    }
}
