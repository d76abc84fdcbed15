//! Prints the rows of a query: a table for people, CSV and JSON for programs.
//!
//! Promise: rows are printed as they come, and one batch is in memory, except for the table, whose
//! columns are as wide as their widest value. Values are formatted by `ports::exact`, so no digit is
//! lost.

use std::collections::BTreeSet;
use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::IntervalMonthDayNanoType;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, IntervalUnit, SchemaRef};
use towpath_vocab::{Failure, Remedy};

use super::numbers::plural;
use crate::args::RowFormat;
use crate::terminal::Out;

/// Integers beyond this lose digits in JavaScript.
const EXACT_IN_JSON: i128 = 1 << 53;
/// The most rows of a table for people; a line below it says how to see more.
const TABLE_ROWS: usize = 200;

/// Prints rows as they come.
pub(crate) struct RowPrinter {
    format: RowFormat,
    schema: SchemaRef,
    rows: u64,
    table: Vec<Vec<String>>,
}

impl RowPrinter {
    pub(crate) fn new(format: RowFormat, schema: &SchemaRef) -> Self {
        Self {
            format,
            schema: SchemaRef::clone(schema),
            rows: 0,
            table: Vec::new(),
        }
    }

    pub(crate) fn print(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let out = &mut std::io::BufWriter::new(Out);
        // An error is never text in place of a value.
        let options = FormatOptions::default().with_display_error(false);
        let names = unique_names(&self.schema);
        let formatters = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
        let formatters = formatters
            .collect::<Result<Vec<_>, _>>()
            .map_err(unprintable)?;
        for row in 0..batch.num_rows() {
            let first = self.rows == 0;
            self.rows += 1;
            let cells = texts(batch, &self.schema, &formatters, row)?.into_iter();
            match self.format {
                RowFormat::Table if self.table.len() >= TABLE_ROWS => {}
                RowFormat::Table => self
                    .table
                    .push(cells.map(Option::unwrap_or_default).collect()),
                RowFormat::Csv => {
                    if first {
                        self.header(out)?;
                    }
                    let line: Vec<String> = cells
                        .map(|cell| cell.as_deref().map_or_else(String::new, csv_cell))
                        .collect();
                    writeln!(out, "{}", line.join(",")).map_err(closed)?;
                }
                RowFormat::Json => {
                    let object: serde_json::Map<String, serde_json::Value> = self
                        .schema
                        .fields()
                        .iter()
                        .zip(&names)
                        .zip(cells)
                        .map(|((field, name), cell)| {
                            (name.clone(), json_cell(field.data_type(), cell))
                        })
                        .collect();
                    let before = if first { "[\n  " } else { ",\n  " };
                    write!(out, "{before}{}", serde_json::Value::Object(object)).map_err(closed)?;
                }
            }
        }
        out.flush().map_err(closed)
    }

    fn header(&self, out: &mut impl Write) -> Result<(), Failure> {
        let names: Vec<String> = self
            .schema
            .fields()
            .iter()
            .map(|field| csv_cell(field.name()))
            .collect();
        writeln!(out, "{}", names.join(",")).map_err(closed)
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        let out = &mut Out;
        match self.format {
            RowFormat::Json if self.rows == 0 => writeln!(out, "[]").map_err(closed),
            RowFormat::Json => writeln!(out, "\n]").map_err(closed),
            RowFormat::Csv if self.rows == 0 => self.header(out),
            RowFormat::Csv => Ok(()),
            RowFormat::Table => {
                let names: Vec<String> = self
                    .schema
                    .fields()
                    .iter()
                    .map(|f| f.name().clone())
                    .collect();
                let right: Vec<bool> = self
                    .schema
                    .fields()
                    .iter()
                    .map(|f| f.data_type().is_numeric())
                    .collect();
                write!(out, "{}", text_table(&names, &self.table, &right)).map_err(closed)?;
                let more = self.rows - self.table.len() as u64;
                if more > 0 {
                    writeln!(out, "… {} more: --format csv", plural(more, "row"))
                        .map_err(closed)?;
                }
                Ok(())
            }
        }
    }
}

/// The values of one row as text; NULL is empty.
fn texts(
    batch: &RecordBatch,
    schema: &SchemaRef,
    formatters: &[ArrayFormatter<'_>],
    row: usize,
) -> Result<Vec<Option<String>>, Failure> {
    let columns = batch.columns().iter().zip(schema.fields()).zip(formatters);
    columns
        .map(|((column, field), formatter)| match column.data_type() {
            _ if column.is_null(row) => Ok(None),
            DataType::FixedSizeBinary(16) if is_uuid(field) => Ok(uuid(column, row)),
            DataType::Interval(IntervalUnit::MonthDayNano) => Ok(Some(interval(column, row))),
            nested if nested.is_nested() => Ok(Some(nested_value(column, row)?.to_string())),
            _ => formatter
                .value(row)
                .try_to_string()
                .map(Some)
                .map_err(|error| unshown(field.name(), &error)),
        })
        .collect()
}

/// Unique column names for an object: `a`, `a_1`, `a_2`.
fn unique_names(schema: &SchemaRef) -> Vec<String> {
    let mut taken: BTreeSet<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut names = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        if seen.insert(field.name()) {
            names.push(field.name().clone());
            continue;
        }
        let mut count = 1_usize;
        while taken.contains(&format!("{}_{count}", field.name())) {
            count += 1;
        }
        let name = format!("{}_{count}", field.name());
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

fn interval(column: &dyn Array, row: usize) -> String {
    let it = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
    towpath_vocab::interval::text(it.months, it.days, it.nanoseconds / 1_000)
}

fn is_uuid(field: &Field) -> bool {
    let extension = field.metadata().get("ARROW:extension:name");
    extension.is_some_and(|name| name == "arrow.uuid")
}

/// `550e8400-e29b-41d4-a716-446655440000`.
fn uuid(column: &dyn Array, row: usize) -> Option<String> {
    let bytes = column.as_fixed_size_binary_opt()?.value(row);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
    Some(parts.join("-"))
}

/// A table with aligned columns and a header line.
pub(crate) fn text_table(names: &[String], rows: &[Vec<String>], right: &[bool]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0)
                .max(width(name))
        })
        .collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, &wide))| {
                let pad = " ".repeat(wide.saturating_sub(width(cell)));
                if right.get(at) == Some(&true) {
                    format!("{pad}{cell}")
                } else {
                    format!("{cell}{pad}")
                }
            })
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let under = |(name, &wide): (&String, &usize)| {
        if name.is_empty() {
            String::new()
        } else {
            "─".repeat(wide)
        }
    };
    let rule: Vec<String> = names.iter().zip(&widths).map(under).collect();
    let mut out = line(names);
    out.push_str(&format!("{}\n", rule.join("  ")));
    out.extend(rows.iter().map(|row| line(row)));
    out
}

fn csv_cell(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn json_cell(data_type: &DataType, cell: Option<String>) -> serde_json::Value {
    use serde_json::Value;
    let Some(text) = cell else { return Value::Null };
    match data_type {
        DataType::Boolean => Value::Bool(text == "true"),
        _ if data_type.is_integer() => match text.parse::<i128>() {
            Ok(number) if number.abs() <= EXACT_IN_JSON => number_value(&text),
            _ => Value::String(text),
        },
        DataType::Float16 | DataType::Float32 | DataType::Float64 => number_value(&text),
        nested if nested.is_nested() => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        _ => Value::String(text),
    }
}

/// A list, a map or a struct as JSON; its members as in `json_cell`.
fn nested_value(array: &dyn Array, row: usize) -> Result<serde_json::Value, Failure> {
    use serde_json::Value;
    let all = |values: &dyn Array| -> Result<Value, Failure> {
        let items = (0..values.len()).map(|at| nested_value(values, at));
        Ok(Value::Array(items.collect::<Result<_, _>>()?))
    };
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    if let Some(list) = array.as_list_opt::<i32>() {
        return all(&list.value(row));
    }
    if let Some(list) = array.as_list_opt::<i64>() {
        return all(&list.value(row));
    }
    if let Some(list) = array.as_fixed_size_list_opt() {
        return all(&list.value(row));
    }
    if let Some(fields) = array.as_struct_opt() {
        let members = fields.fields().iter().zip(fields.columns());
        let members =
            members.map(|(field, column)| Ok((field.name().clone(), nested_value(column, row)?)));
        return Ok(Value::Object(members.collect::<Result<_, Failure>>()?));
    }
    if let Some(map) = array.as_map_opt() {
        // An object, as in JSON files.
        let entries = map.value(row);
        let members = (0..entries.len()).map(|at| {
            let key = match nested_value(entries.column(0), at)? {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Ok((key, nested_value(entries.column(1), at)?))
        });
        return Ok(Value::Object(members.collect::<Result<_, Failure>>()?));
    }
    if *array.data_type() == DataType::Interval(IntervalUnit::MonthDayNano) {
        return Ok(Value::String(interval(array, row)));
    }
    let options = FormatOptions::default().with_display_error(false);
    let text = ArrayFormatter::try_new(array, &options)
        .and_then(|formatter| formatter.value(row).try_to_string());
    let text = text.map_err(|error| unshown("a nested column", &error))?;
    Ok(json_cell(array.data_type(), Some(text)))
}

/// A JSON number; NaN and infinities stay text.
fn number_value(text: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Number>(text).map_or_else(
        |_| serde_json::Value::String(text.to_owned()),
        serde_json::Value::Number,
    )
}

/// The failure for a value without a text, for example a day after the end of the calendar.
fn unshown(column: &str, error: &arrow_schema::ArrowError) -> Failure {
    Failure::new(
        "R0947",
        Remedy::FixData,
        format!("a value of column `{column}` cannot be shown: {error}"),
    )
    .help("leave the column out, or look at the number behind it: `arrow_cast(x, 'Int64')`")
}

fn unprintable(error: arrow_schema::ArrowError) -> Failure {
    Failure::new(
        "R0994",
        Remedy::Bug,
        format!("a column cannot be shown: {error}"),
    )
}

/// The failure for output that cannot be written; it is reported at the end of the program.
fn closed(error: std::io::Error) -> Failure {
    Failure::new(
        "R0995",
        Remedy::FixConfig,
        format!("the output cannot be written: {error}"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, TimestampMicrosecondArray};
    use arrow_schema::Schema;

    use super::*;

    fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    #[test]
    fn columns_of_one_name_are_all_in_the_object() {
        let one = |value: i64| -> (Field, ArrayRef) {
            let field = Field::new("a", DataType::Int64, true);
            (field, Arc::new(Int64Array::from(vec![value])))
        };
        let other = Field::new("a_1", DataType::Int64, true);
        let rows = batch(vec![
            one(1),
            one(2),
            (other, Arc::new(Int64Array::from(vec![3]))),
        ]);
        assert_eq!(unique_names(&rows.schema()), ["a", "a_2", "a_1"]);
    }

    #[test]
    fn an_error_is_never_a_value() {
        let at = TimestampMicrosecondArray::from(vec![i64::MAX]).with_timezone("UTC");
        let field = Field::new("at", at.data_type().clone(), true);
        let rows = batch(vec![(field, Arc::new(at))]);
        let mut printer = RowPrinter::new(RowFormat::Csv, &rows.schema());
        assert_eq!(printer.print(&rows).unwrap_err().code.as_str(), "R0947");
    }

    #[test]
    fn a_uuid_is_written_as_one() {
        let bytes: Vec<u8> = (0..16).collect();
        let values = FixedSizeBinaryArray::try_from_iter([bytes].iter()).unwrap();
        let field = Field::new("id", values.data_type().clone(), true)
            .with_metadata([("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())].into());
        let rows = batch(vec![(field, Arc::new(values))]);
        let schema = rows.schema();
        let found = uuid(rows.column(0), 0);
        assert!(is_uuid(schema.field(0)));
        assert_eq!(found.unwrap(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
