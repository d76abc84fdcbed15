//! A row as one line of text: `id=1 v=a`, with sorted names and without NULL.
//!
//! Promise: the line is the same whichever program read the row. A column that is NULL and a column that
//! does not exist are the same; an empty text is `v=`. Values are formatted by Arrow, so a number has all
//! of its digits.

use std::collections::BTreeMap;

use arrow_array::{Array as _, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};

/// A row's line.
pub fn line(columns: impl IntoIterator<Item = (String, Option<String>)>) -> String {
    let columns: BTreeMap<String, String> = columns
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let shown = columns
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    shown.collect::<Vec<_>>().join(" ")
}

/// The line of a JSON object whose values are texts, numbers, booleans or null.
pub fn line_of_json(object: &str) -> String {
    let parsed: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(object).unwrap_or_else(|error| panic!("`{object}`: {error}"));
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    line(parsed.into_iter().map(|(name, value)| (name, text(value))))
}

/// The lines of a batch, in its order.
pub fn lines_of_batch(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let names = || schema.fields().iter().map(|field| field.name().clone());
    let rows = texts_of_batch(batch).into_iter();
    rows.map(|row| line(names().zip(row))).collect()
}

/// The values of the rows of a batch, in its order.
pub fn texts_of_batch(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let options = FormatOptions::default();
    let formatters: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let cells = |row: usize| {
        let cell = |(at, formatter): (usize, &ArrayFormatter<'_>)| {
            (!batch.column(at).is_null(row)).then(|| formatter.value(row).to_string())
        };
        formatters.iter().enumerate().map(cell).collect()
    };
    (0..batch.num_rows()).map(cells).collect()
}
