//! A row record, the exact texts of a row's values under the names of their columns, as a row again.
//!
//! Promise: bytes come back from the hexadecimal digits they are shown as; a value whose text does
//! not say all of it (a list, a struct, a nanosecond) is refused with a reason, never read as NULL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use serde_json::{Map, Value};
use towpath_vocab::{Reason, types};

use super::cells::{Cells, Nulls, Span};
use super::column::{Column, bytes_of, misfit, readable_type};
use super::value::TimeFormats;

/// One row, or every reason against it. `own` are the types the values had where they were written
/// down, if not those of the schema.
pub(crate) fn row_of(
    text: &str,
    schema: &SchemaRef,
    own: &BTreeMap<String, DataType>,
) -> Result<Result<RecordBatch, Vec<Reason>>, ArrowError> {
    let values: Map<String, Value> = match serde_json::from_str(text) {
        Ok(values) => values,
        Err(error) => {
            let message = format!("is no JSON object: {error}");
            return Ok(Err(vec![reason("json", None, message)]));
        }
    };
    let mut columns = Vec::with_capacity(schema.fields().len());
    let mut reasons = Vec::new();
    for field in schema.fields() {
        let own = own.get(field.name()).unwrap_or(field.data_type());
        let value = text_of(values.get(field.name()));
        match column_of(value, field, own)? {
            Ok(column) => columns.push(column),
            Err(message) => reasons.push(reason("type", Some(field.name()), message)),
        }
    }
    if !reasons.is_empty() {
        return Ok(Err(reasons));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map(Ok)
}

fn reason(code: &str, column: Option<&String>, message: String) -> Reason {
    Reason {
        code: code.to_owned(),
        column: column.cloned(),
        value: None,
        message,
    }
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    }
}

/// One value as a column, or why it is none.
fn column_of(
    value: Option<String>,
    field: &Field,
    own: &DataType,
) -> Result<Result<ArrayRef, String>, ArrowError> {
    let data_type = field.data_type();
    let Some(text) = value else {
        return Ok(Ok(new_null_array(data_type, 1)));
    };
    let word = types::name(data_type);
    if !readable_type(data_type) {
        let message = format!("a `{word}` value cannot be read from its text; load its file again");
        return Ok(Err(message));
    }
    let bytes = if *own == DataType::Binary {
        match bytes_of(text.as_bytes()) {
            Some(bytes) => bytes,
            None => return Ok(Err("is no text of hexadecimal digits".to_owned())),
        }
    } else {
        text.into_bytes()
    };
    if *data_type == DataType::Binary {
        return Ok(Ok(Arc::new(BinaryArray::from_iter_values([bytes]))));
    }
    if std::str::from_utf8(&bytes).is_err() {
        return Ok(Err(format!(
            "a `bytes` value does not fit `{word}` exactly"
        )));
    }
    // Values were written down in ISO 8601, whatever patterns the files have.
    let times = TimeFormats::default();
    let spans = [Span::quoted(0, bytes.len(), false)];
    let nulls = Nulls::default();
    let cells = Cells {
        bytes: &bytes,
        spans: &spans,
        width: 1,
        column: 0,
        nulls: &nulls,
        unescape: &|text, to| to.extend_from_slice(text),
    };
    let mut column = Column::new(data_type, 1, &times);
    let mut bad = Vec::new();
    column.fill(&cells, 0, &mut bad);
    if bad.is_empty() {
        column.finish().map(Ok)
    } else {
        Ok(Err(misfit(&bytes, data_type, &times)))
    }
}
