//! A row record, the exact texts of a row's values under the names of their columns, as a row again.
//!
//! Promise: bytes come back from the hexadecimal digits they are shown as, lists and structs from
//! their JSON; a value that does not say all of itself is refused with a reason, never read as NULL.
//! Read next: `record_values.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use serde_json::{Map, Value};
use towpath_vocab::{Reason, types};

use super::column::bytes_of;
use super::path_columns::{PathColumn, compared, repeated};
use super::path_values::PathValues;
use super::record_values::array_of;

/// One row, or every reason against it. `own` are the types the values had where they were written
/// down, if not those of the schema; `of_path` the columns of the file's path, which the text need not have.
pub(crate) fn row_of(
    text: &str,
    schema: &SchemaRef,
    own: &BTreeMap<String, DataType>,
    of_path: &PathValues,
) -> Result<Result<RecordBatch, Vec<Reason>>, ArrowError> {
    let values: Map<String, Value> = match serde_json::from_str(text) {
        Ok(values) => values,
        Err(error) => {
            let message = format!("is not a valid JSON object: {error}");
            return Ok(Err(vec![reason("json", None, message)]));
        }
    };
    let mut columns = Vec::with_capacity(schema.fields().len());
    let mut reasons = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        let own = own.get(field.name()).unwrap_or(field.data_type());
        let value = values.get(field.name());
        let path = PathColumn::of(at, field, of_path);
        let column = match (value, &path) {
            (None, Some(path)) => repeated(path, 1)?,
            _ => column_of(value, field, own)?,
        };
        match column {
            Ok(column) => {
                if let (Some(_), Some(path)) = (value, &path)
                    && let Some(message) = compared(&column, path)?
                {
                    reasons.push(reason("path", Some(field.name()), message));
                }
                columns.push(column);
            }
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

/// A value of a record of a source that keeps no text, as a column of one row of this type, or why it
/// is none.
///
/// # Errors
/// When arrays of the type cannot be made: a mistake of ours.
pub fn record_value(
    value: Option<&Value>,
    data_type: &DataType,
) -> Result<Result<ArrayRef, String>, ArrowError> {
    let field = Field::new("value", data_type.clone(), true);
    column_of(value, &field, data_type)
}

/// One value as a column, or why it is none.
fn column_of(
    value: Option<&Value>,
    field: &Field,
    own: &DataType,
) -> Result<Result<ArrayRef, String>, ArrowError> {
    let data_type = field.data_type();
    let value = value.filter(|value| !value.is_null());
    let Some(value) = value else {
        return Ok(Ok(new_null_array(data_type, 1)));
    };
    let Value::String(text) = value else {
        return array_of(&[Some(value)], data_type);
    };
    // What was bytes at the top of a record is bare hexadecimal digits.
    let bytes = match *own == DataType::Binary {
        false => return array_of(&[Some(value)], data_type),
        true => bytes_of(text.as_bytes()),
    };
    let Some(bytes) = bytes else {
        return Ok(Err("is not a text of hexadecimal digits".to_owned()));
    };
    if *data_type == DataType::Binary {
        return Ok(Ok(Arc::new(BinaryArray::from_iter_values([bytes]))));
    }
    match String::from_utf8(bytes) {
        Ok(text) => array_of(&[Some(&Value::String(text))], data_type),
        Err(_) => {
            let word = types::name(data_type);
            Ok(Err(format!(
                "a `bytes` value does not fit `{word}` exactly"
            )))
        }
    }
}
