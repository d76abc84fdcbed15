//! Prints the rows of a query: a table for people, CSV and JSON for programs.
//!
//! Promise: rows are printed as they come, and one batch is in memory, except for the table, whose
//! columns are as wide as their widest value. Values have the text that `towpath copy` writes
//! (`ports/src/exact.rs`), so no digit is lost; only intervals are written as PostgreSQL writes them.

use std::collections::BTreeSet;
use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::IntervalMonthDayNanoType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, IntervalUnit, SchemaRef};
use serde_json::Value;
use towpath_ports::{ExactKind, ExactValues, exact_json};
use towpath_vocab::{Failure, Remedy};

use super::numbers::plural;
use crate::args::RowFormat;
use crate::terminal::{Out, visible};

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
        let names = unique_names(&self.schema);
        let columns = columns(batch, &self.schema)?;
        for row in 0..batch.num_rows() {
            let first = self.rows == 0;
            self.rows += 1;
            let cells = columns.iter().map(|column| column.text(row));
            let cells = cells.collect::<Result<Vec<_>, _>>()?.into_iter();
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
                    let object: serde_json::Map<String, Value> = columns
                        .iter()
                        .zip(&names)
                        .zip(cells)
                        .map(|((column, name), cell)| (name.clone(), column.json(cell)))
                        .collect();
                    let before = if first { "[\n  " } else { ",\n  " };
                    write!(out, "{before}{}", Value::Object(object)).map_err(closed)?;
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
                out!("{}", text_table(&names, &self.table, &right));
                let more = self.rows - self.table.len() as u64;
                if more > 0 {
                    outln!("… {} more: --format csv", plural(more, "row"));
                }
                Ok(())
            }
        }
    }
}

/// A column of a batch that is printed.
struct Column<'a> {
    field: &'a Field,
    values: ExactValues,
    /// Set if the values are intervals.
    intervals: Option<&'a dyn Array>,
}

fn columns<'a>(batch: &'a RecordBatch, schema: &'a SchemaRef) -> Result<Vec<Column<'a>>, Failure> {
    let both = batch.columns().iter().zip(schema.fields());
    both.map(|(array, field)| {
        let is_interval = *array.data_type() == DataType::Interval(IntervalUnit::MonthDayNano);
        Ok(Column {
            field,
            values: ExactValues::of(array).map_err(|error| unshown(field.name(), &error))?,
            intervals: is_interval.then_some(array.as_ref()),
        })
    })
    .collect()
}

impl Column<'_> {
    /// The text of one value; `None` is NULL.
    fn text(&self, row: usize) -> Result<Option<String>, Failure> {
        let unshown = |error: &ArrowError| unshown(self.field.name(), error);
        if self.values.is_null(row) {
            return Ok(None);
        }
        if let Some(intervals) = self.intervals {
            return Ok(Some(interval(intervals, row)));
        }
        let mut text = Vec::new();
        match &self.values.kind {
            ExactKind::List(..) | ExactKind::Struct(_) | ExactKind::Map(..) => {
                exact_json(&self.values, row, &mut text).map_err(|error| unshown(&error))?;
            }
            ExactKind::Bytes(bytes) if is_uuid(self.field) => {
                return Ok(Some(uuid(bytes.value(row))));
            }
            _ => self
                .values
                .write(row, &mut text)
                .map_err(|error| unshown(&error))?,
        }
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// The text of one value as JSON.
    fn json(&self, cell: Option<String>) -> Value {
        let Some(text) = cell else { return Value::Null };
        match &self.values.kind {
            ExactKind::Bool(_)
            | ExactKind::Signed(_)
            | ExactKind::Unsigned(_)
            | ExactKind::Single(_)
            | ExactKind::Double(_)
            | ExactKind::List(..)
            | ExactKind::Struct(_)
            | ExactKind::Map(..) => serde_json::from_str(&text).map_or(Value::String(text), safe),
            _ => Value::String(text),
        }
    }
}

/// A value whose integers lose no digits in JavaScript: larger ones are text.
fn safe(value: Value) -> Value {
    match value {
        Value::Number(number) if is_large(&number) => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(safe).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, safe(member)))
            .collect(),
        other => other,
    }
}

fn is_large(number: &serde_json::Number) -> bool {
    let whole = number.as_i128().or(number.as_u64().map(i128::from));
    whole.is_some_and(|whole| whole.abs() > EXACT_IN_JSON)
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
fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
    parts.join("-")
}

/// A table with aligned columns and a header line.
pub(crate) fn text_table(names: &[String], rows: &[Vec<String>], right: &[bool]) -> String {
    let width = |text: &str| visible(text).chars().count();
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

/// The failure for a value without a text, for example a day after the end of the calendar.
fn unshown(column: &str, error: &ArrowError) -> Failure {
    Failure::new(
        "R0947",
        Remedy::FixData,
        format!("a value of column `{column}` cannot be shown: {error}"),
    )
    .help("leave the column out, or look at the number behind it: `arrow_cast(x, 'Int64')`")
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

    use arrow_array::types::Int64Type;
    use arrow_array::{
        ArrayRef, BinaryArray, Date64Array, FixedSizeBinaryArray, Int64Array, ListArray,
        TimestampMicrosecondArray,
    };
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
        let at = Date64Array::from(vec![i64::MAX]);
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
        let found = columns(&rows, &schema).unwrap()[0].text(0);
        let text = found.unwrap().unwrap();
        assert_eq!(text, "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
    #[test]
    fn values_are_written_as_copies_write_them() {
        let at = TimestampMicrosecondArray::from(vec![1_500_000]);
        let bytes = BinaryArray::from(vec![b"\x00\xff".as_slice()]);
        let large = Int64Array::from(vec![9_007_199_254_740_993]);
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![
            Some(9_007_199_254_740_993),
            Some(1),
        ])]);
        let field =
            |name: &str, array: &dyn Array| Field::new(name, array.data_type().clone(), true);
        let rows = batch(vec![
            (field("at", &at), Arc::new(at)),
            (field("b", &bytes), Arc::new(bytes)),
            (field("n", &large), Arc::new(large)),
            (field("l", &lists), Arc::new(lists)),
        ]);
        let schema = rows.schema();
        let columns = columns(&rows, &schema).unwrap();
        let found: Vec<Value> = columns
            .iter()
            .map(|column| column.json(column.text(0).unwrap()))
            .collect();
        let right = serde_json::json!([
            "1970-01-01T00:00:01.500000",
            "\\x00ff",
            "9007199254740993",
            ["9007199254740993", 1],
        ]);
        assert_eq!(Value::Array(found), right);
    }
}
