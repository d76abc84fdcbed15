//! Rejected records for people: cells with the names of their columns, bad cells marked.
//!
//! Promise: values of masked columns are never shown. A CSV line has no header of its own; its columns are
//! those that the source had when it was last read. A record that cannot be split into columns is shown as
//! it came. It changes nothing. Read next: `records.rs`.

use std::collections::BTreeMap;

use serde::Serialize;
use towpath_flow::{RecordSeal, quarantine_table};
use towpath_ports::Result;
use towpath_vocab::{ColumnPlan, LoadPlan, RawRecord, Reason, TableName};

use crate::QuarantinePorts;
use crate::records::{ask, quoted, texts};

/// The text in place of a masked value.
const MASKED: &str = "(masked)";

/// One rejected record.
#[derive(Clone, Debug, Serialize)]
pub struct RejectedRecord {
    /// `held`, `replayed`, `discarded` or `outdated`.
    pub status: String,
    /// Its file or table.
    pub object: String,
    /// Its line, in text files.
    pub line: Option<u64>,
    /// Every reason.
    pub reasons: Vec<Reason>,
    /// The record as it came; `None` for tables with a masked column.
    pub record: Option<String>,
    /// Its cells, in the order of the columns; empty if it cannot be split into columns.
    pub cells: Vec<RejectedCell>,
    /// The run that rejected it.
    pub run: String,
    /// When it was rejected.
    pub rejected_at: String,
}

/// A value of a rejected record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedCell {
    /// The name of the column in the source.
    pub column: String,
    /// Its text; `None` for NULL.
    pub value: Option<String>,
    /// What is wrong with it.
    pub reasons: Vec<String>,
}

/// The rejected records of a table, newest first, without the first `skip`. `load` is the load that writes it, with
/// the columns of its source, if there is one.
///
/// # Errors
/// Those of the lakehouse.
pub async fn show(
    ports: &QuarantinePorts,
    load: Option<(&LoadPlan, Vec<String>)>,
    table: &TableName,
    (skip, limit): (u64, u64),
) -> Result<Vec<RejectedRecord>> {
    let quarantine = quoted(&quarantine_table(table));
    let sql = format!(
        "select status, object, cast(line as varchar) as line_text, reasons, form, record, run, \
         cast(set_aside_at as varchar) as at from {quarantine} \
         order by set_aside_at desc, object, line limit {limit} offset {skip}"
    );
    let reading = Reading::of(ports, load).await;
    let mut records = Vec::new();
    for batch in ask(ports, &sql).await? {
        let columns: Vec<Vec<Option<String>>> = batch.columns().iter().map(texts).collect();
        for row in 0..batch.num_rows() {
            let cell = |column: usize| {
                let found = columns.get(column).and_then(|c| c.get(row).cloned());
                found.flatten().unwrap_or_default()
            };
            let reasons: Vec<Reason> = serde_json::from_str(&cell(3)).unwrap_or_default();
            let (record, cells) = reading.read((table, &cell(1)), (&cell(4), &cell(5)), &reasons);
            records.push(RejectedRecord {
                status: cell(0),
                object: cell(1),
                line: cell(2).parse().ok(),
                reasons,
                record,
                cells,
                run: cell(6),
                rejected_at: cell(7),
            });
        }
    }
    Ok(records)
}

/// How the records of a table are parsed.
struct Reading {
    seal: RecordSeal,
    /// The source's columns, in their order.
    columns: Vec<String>,
    /// Source columns whose values are masked, and the name of each column in the table.
    masked: Vec<String>,
    names: BTreeMap<String, String>,
    delimiter: Option<char>,
    /// A text record may be fields with a delimiter: no other format of text is declared.
    is_delimited: bool,
}

impl Reading {
    async fn of(ports: &QuarantinePorts, load: Option<(&LoadPlan, Vec<String>)>) -> Self {
        let Some((load, columns)) = load else {
            return Self {
                seal: RecordSeal::Open,
                columns: Vec::new(),
                masked: Vec::new(),
                names: BTreeMap::new(),
                delimiter: None,
                is_delimited: true,
            };
        };
        // Without the key, a record is shown as encrypted, with its location and reasons.
        let seal = RecordSeal::of(&load.table, ports.secrets.as_ref()).await;
        let is_from = |column: &ColumnPlan, source: &str| {
            let from = column.from.as_ref();
            from.is_some_and(|from| load.table.names.is_same(from, source))
        };
        let named = |source: &String| {
            let wish = load.table.columns.iter().find(|c| is_from(c, source));
            wish.map_or_else(|| load.table.names.apply(source), |wish| wish.name.clone())
        };
        let names: BTreeMap<String, String> =
            columns.iter().map(|c| (c.clone(), named(c))).collect();
        let hidden = |name: &String| {
            load.table
                .columns
                .iter()
                .any(|c| c.mask.is_some() && (c.name == *name || is_from(c, name)))
        };
        let masked = names
            .iter()
            .filter(|(source, name)| hidden(source) || hidden(name))
            .map(|(source, _)| source.clone())
            .collect();
        Self {
            seal: seal.unwrap_or(RecordSeal::Withheld),
            columns,
            masked,
            names,
            delimiter: option(load, "delimiter").and_then(|text| match text.as_str() {
                "\\t" | "tab" => Some('\t'),
                text => text.chars().next(),
            }),
            is_delimited: option(load, "format")
                .is_none_or(|format| matches!(format.as_str(), "csv" | "xlsx")),
        }
    }

    /// A stored record: its text, unless a column is masked, and its cells.
    fn read(
        &self,
        (table, object_name): (&TableName, &str),
        (form, record): (&str, &str),
        reasons: &[Reason],
    ) -> (Option<String>, Vec<RejectedCell>) {
        let Ok(Some(raw)) = self.seal.open(table, form, record) else {
            return (None, Vec::new());
        };
        let is_open = matches!(self.seal, RecordSeal::Open);
        let values = match &raw {
            RawRecord::Row(text) => object(text),
            RawRecord::Text(text) if text.trim_start().starts_with('{') => object(text),
            RawRecord::Text(text) if self.is_delimited && !is_xml(object_name) => self.line(text),
            RawRecord::Text(_) => Vec::new(),
        };
        let (RawRecord::Row(text) | RawRecord::Text(text)) = raw;
        // Cells without names could be masked ones.
        let cells = values
            .into_iter()
            .map(|(column, value)| self.cell(column, value, reasons));
        (is_open.then_some(text), cells.collect())
    }

    /// Splits a CSV line into the known columns; empty if the number of columns differs.
    fn line(&self, text: &str) -> Vec<(String, Option<String>)> {
        let delimiters = match self.delimiter {
            Some(delimiter) => vec![delimiter],
            None => vec![',', ';', '\t', '|'],
        };
        let split = delimiters.into_iter().find_map(|delimiter| {
            let cells = split(text, delimiter);
            (cells.len() == self.columns.len()).then_some(cells)
        });
        let cells = split.unwrap_or_default();
        self.columns.iter().cloned().zip(cells).collect()
    }

    fn cell(&self, column: String, value: Option<String>, reasons: &[Reason]) -> RejectedCell {
        let name = self.names.get(&column);
        let about = |reason: &&Reason| {
            let said = reason.column.as_ref();
            said.is_some_and(|said| *said == column || Some(said) == name)
        };
        RejectedCell {
            reasons: reasons
                .iter()
                .filter(about)
                .map(|reason| reason.message.clone())
                .collect(),
            value: match self.masked.contains(&column) {
                true => Some(MASKED.to_owned()),
                false => value,
            },
            column,
        }
    }
}

/// Whether a file is one of elements by its name: commas in their texts separate no fields.
fn is_xml(object: &str) -> bool {
    let name = object.to_lowercase();
    let packed = [".gz", ".zst", ".zstd"];
    let name = packed.iter().find_map(|end| name.strip_suffix(end));
    name.unwrap_or(&object.to_lowercase()).ends_with(".xml")
}

/// The value of an option, from the table or its connection.
fn option(load: &LoadPlan, name: &str) -> Option<String> {
    let own = load.options.get(name).and_then(|value| value.as_str());
    own.or_else(|| load.connection.text(name))
        .map(str::to_owned)
}

/// The members of a JSON object, values as their text.
fn object(text: &str) -> Vec<(String, Option<String>)> {
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(text) else {
        return Vec::new();
    };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    members
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect()
}

/// The fields of a CSV record, without their quotes; `None` for an empty one without quotes, which is NULL.
fn split(line: &str, delimiter: char) -> Vec<Option<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), None::<String>, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                field.get_or_insert_default().push('"');
                letters.next();
            }
            '"' if quoted => quoted = false,
            '"' if field.as_ref().is_none_or(String::is_empty) => {
                field.get_or_insert_default();
                quoted = true;
            }
            letter if letter == delimiter && !quoted => fields.push(field.take()),
            letter => field.get_or_insert_default().push(letter),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(columns: &[&str], masked: &[&str]) -> Reading {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Reading {
            seal: RecordSeal::Open,
            columns: texts(columns),
            masked: texts(masked),
            names: BTreeMap::from([("Age Years".to_owned(), "age_years".to_owned())]),
            delimiter: None,
            is_delimited: true,
        }
    }

    fn cells(reading: &Reading, text: &str) -> Vec<(String, Option<String>, usize)> {
        let reasons = [Reason {
            code: "min".to_owned(),
            column: Some("age_years".to_owned()),
            value: None,
            message: "the rule says at least 0".to_owned(),
        }];
        let table = TableName::new("raw", "t");
        let (_, cells) = reading.read((&table, "t.csv"), ("text", text), &reasons);
        cells
            .into_iter()
            .map(|cell| (cell.column, cell.value, cell.reasons.len()))
            .collect()
    }

    /// A part of an element would stand under a wrong name, also where that name is not masked.
    #[test]
    fn an_element_has_no_fields() {
        let reading = reading(&["id", "note"], &["note"]);
        let table = TableName::new("raw", "t");
        let text = "<i><id>1</id><note>a, b</note></i>";
        for object in ["in/t.xml", "t.XML.gz"] {
            let (shown, cells) = reading.read((&table, object), ("text", text), &[]);
            assert_eq!((shown.as_deref(), cells.len()), (Some(text), 0), "{object}");
        }
        let (_, cells) = reading.read((&table, "t.csv"), ("text", text), &[]);
        assert_eq!(cells.len(), 2);
    }

    #[test]
    fn a_line_gets_the_names_of_its_columns_and_bad_cells_their_reasons() {
        let reading = reading(&["id", "Age Years", "note"], &["note"]);
        let cell =
            |name: &str, value: &str, reasons| (name.to_owned(), Some(value.to_owned()), reasons);
        let expected = vec![
            cell("id", "2", 0),
            cell("Age Years", "-5", 1),
            cell("note", MASKED, 0),
        ];
        assert_eq!(cells(&reading, "2,-5,\"a, \"\"b\"\"\""), expected);
        assert_eq!(cells(&reading, "2;-5;x"), expected);
        assert_eq!(cells(&reading, "2,-5"), Vec::new());
        assert_eq!(
            cells(&reading, "{\"id\": 2, \"x\": null}"),
            vec![cell("id", "2", 0), ("x".to_owned(), None, 0)]
        );
    }
}
