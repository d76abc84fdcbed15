//! Prints the rows of a query: a table for people, CSV and JSON for programs.
//!
//! Promise: rows are printed as they come, and one batch is in memory, except for the table, whose
//! columns are as wide as their widest value. Values are formatted by `ports::exact`, so no digit is
//! lost.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, SchemaRef};
use towpath_vocab::{Failure, Remedy};

use super::numbers::plural;
use crate::args::RowFormat;
use crate::terminal::Out;

/// Integers beyond this lose digits in JavaScript.
const EXACT_IN_JSON: i128 = 1 << 53;
/// Rows a table for people shows before it says how to see more.
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
        let options = FormatOptions::default();
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
            let cells = batch
                .columns()
                .iter()
                .zip(&formatters)
                .map(|(column, formatter)| match column.data_type() {
                    _ if column.is_null(row) => None,
                    nested if nested.is_nested() => Some(nested_value(column, row).to_string()),
                    _ => Some(formatter.value(row).to_string()),
                });
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
                        .zip(cells)
                        .map(|(field, cell)| {
                            (field.name().clone(), json_cell(field.data_type(), cell))
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

/// A value as JSON: a list, a map or a struct, and what is in it as `json_cell` has it.
fn nested_value(array: &dyn Array, row: usize) -> serde_json::Value {
    use serde_json::Value;
    let all = |values: &dyn Array| -> Vec<Value> {
        (0..values.len())
            .map(|at| nested_value(values, at))
            .collect()
    };
    if array.is_null(row) {
        return Value::Null;
    }
    if let Some(list) = array.as_list_opt::<i32>() {
        return Value::Array(all(&list.value(row)));
    }
    if let Some(list) = array.as_list_opt::<i64>() {
        return Value::Array(all(&list.value(row)));
    }
    if let Some(list) = array.as_fixed_size_list_opt() {
        return Value::Array(all(&list.value(row)));
    }
    if let Some(fields) = array.as_struct_opt() {
        let field = |(field, column): (&arrow_schema::FieldRef, &arrow_array::ArrayRef)| {
            (field.name().clone(), nested_value(column, row))
        };
        return Value::Object(
            fields
                .fields()
                .iter()
                .zip(fields.columns())
                .map(field)
                .collect(),
        );
    }
    if let Some(map) = array.as_map_opt() {
        let entries = map.value(row);
        return Value::Array(all(&entries));
    }
    let text = ArrayFormatter::try_new(array, &FormatOptions::default())
        .map(|formatter| formatter.value(row).to_string());
    json_cell(array.data_type(), text.ok())
}

/// A JSON number; NaN and infinities have none and stay text.
fn number_value(text: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Number>(text).map_or_else(
        |_| serde_json::Value::String(text.to_owned()),
        serde_json::Value::Number,
    )
}

fn unprintable(error: arrow_schema::ArrowError) -> Failure {
    Failure::new(
        "R0994",
        Remedy::Bug,
        format!("a column cannot be shown: {error}"),
    )
}

/// Standard output tells at the end of the program whether it could be written.
fn closed(error: std::io::Error) -> Failure {
    Failure::new(
        "R0995",
        Remedy::FixConfig,
        format!("the output cannot be written: {error}"),
    )
}
