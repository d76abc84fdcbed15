//! Compares the known columns of external tables with the present ones: the core of `check --connect`.
//!
//! Promise: every difference is reported once, at the line that says otherwise, with what to do. It
//! contacts nothing: the present tables come in as values. Read next: `outline.rs`, which finds the known
//! ones.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field};
use towpath_vocab::{Diagnostic, Failure, Level, Span, TableFact, types};

use crate::outline::KnownTable;
use crate::suggest;

/// The known columns of a table, from `schemas/CONNECTION.yml` or the last run.
#[derive(Clone, Debug)]
pub struct KnownColumns<'a> {
    /// The connection.
    pub connection: &'a str,
    /// The table's name there.
    pub object: &'a str,
    /// Columns and key.
    pub fact: &'a TableFact,
    /// The position of the table in the file.
    pub span: Option<Span>,
    /// The positions of the columns, if they are in a file.
    pub columns: BTreeMap<String, Span>,
    /// True if the columns are in a file of the project; columns that were only observed may change.
    pub written: bool,
}

impl<'a> KnownColumns<'a> {
    /// A table of `schemas/CONNECTION.yml`.
    pub fn written(connection: &'a str, object: &'a str, known: &'a KnownTable) -> Self {
        Self {
            connection,
            object,
            fact: &known.fact,
            span: Some(known.span.clone()),
            columns: known.columns.clone(),
            written: true,
        }
    }

    fn say(&self, code: &str, level: Level, column: Option<&str>, message: String) -> Diagnostic {
        let place = column.and_then(|column| self.columns.get(column));
        let mut said = match level {
            Level::Error => Diagnostic::error(code, message),
            Level::Warning => Diagnostic::warning(code, message),
            Level::Note => Diagnostic::note(code, message),
        };
        said.span = place.cloned().or_else(|| self.span.clone());
        if self.written {
            let way_out = "if the change is intended";
            said.help(format!(
                "{way_out}: towpath connection discover {} --write",
                self.connection
            ))
        } else {
            said.help("the last run saw a different state; the next run reports what changes")
        }
    }

    fn severe(&self) -> Level {
        if self.written {
            Level::Error
        } else {
            Level::Warning
        }
    }
}

/// All differences between the known and the present columns of a table.
pub fn compare(expected: &KnownColumns<'_>, live: &TableFact) -> Vec<Diagnostic> {
    let table = format!("`{}` of `{}`", expected.object, expected.connection);
    let mut found = Vec::new();
    let (known, now) = (&expected.fact.schema, &live.schema);
    for field in known.fields() {
        let name = field.name();
        match now.field_with_name(name) {
            Err(_) => {
                let columns: Vec<&str> = now.fields().iter().map(|f| f.name().as_str()).collect();
                let message = format!("{table} no longer has the column `{name}`");
                let said = expected.say("C0512", expected.severe(), Some(name), message);
                found.push(said.help(format!("it has: {}", suggest::listing(&columns))));
            }
            Ok(live) if differ(field, live) => {
                let message = format!(
                    "{table}: `{name}` is now {}, before it was {}",
                    words(live),
                    words(field)
                );
                found.push(expected.say("C0513", expected.severe(), Some(name), message));
            }
            Ok(_) => {}
        }
    }
    for field in now.fields() {
        if known.field_with_name(field.name()).is_err() {
            let message = format!(
                "{table} has a new column `{}` ({})",
                field.name(),
                words(field)
            );
            found.push(expected.say("C0514", Level::Warning, None, message));
        }
    }
    if expected.written && expected.fact.key != live.key {
        let list = |key: &[String]| match key.is_empty() {
            true => "no key".to_owned(),
            false => format!("the key `{}`", key.join(", ")),
        };
        let message = format!(
            "{table} now has {}, before it had {}",
            list(&live.key),
            list(&expected.fact.key)
        );
        found.push(expected.say("C0515", Level::Warning, None, message));
    }
    found
}

/// The diagnostic of a table that the external system does not have, or that cannot be read.
pub fn gone(connection: &str, object: &str, span: Option<Span>, why: &Failure) -> Diagnostic {
    let message = format!(
        "`{object}` of `{connection}` cannot be read: {}",
        why.message
    );
    placed(Diagnostic::error("C0511", message), span, why).help(format!(
        "to list its tables: towpath connection discover {connection}"
    ))
}

/// The diagnostic of a system that cannot be reached, or that refuses the login.
pub fn unreachable(connection: &str, span: Option<Span>, why: &Failure) -> Diagnostic {
    let message = format!("`{connection}` cannot be contacted: {}", why.message);
    placed(Diagnostic::error("C0516", message), span, why)
}

fn placed(mut said: Diagnostic, span: Option<Span>, why: &Failure) -> Diagnostic {
    said.span = span;
    why.help.iter().fold(said, |said, help| said.help(help))
}

/// Whether two types differ; a type without a word in the config is not compared.
fn differ(known: &Field, live: &Field) -> bool {
    *known.data_type() != DataType::Null && words(known) != words(live)
}

fn words(field: &Field) -> String {
    let word = types::name(field.data_type());
    match field.metadata().get(types::SOURCE_TYPE) {
        Some(source) => format!("{word} ({source})"),
        None => word,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_schema::Schema;
    use towpath_vocab::{FactSource, Remedy};

    use super::*;
    use crate::outline::read_schemas;

    fn live(fields: Vec<Field>, key: &[&str]) -> TableFact {
        TableFact {
            schema: Arc::new(Schema::new(fields)),
            key: key.iter().map(|k| (*k).to_owned()).collect(),
            source: FactSource::Observed,
            seen_at: String::new(),
        }
    }

    #[test]
    fn each_difference_is_said_at_its_column() {
        let text = "tables:\n  orders:\n    key: id\n    columns:\n      id: bigint\n      total: decimal(10,2)\n      note: text\n      odd: unknown\n";
        let known = read_schemas("schemas/db.yml", text).unwrap();
        let expected = KnownColumns::written("db", "orders", &known[0].1);
        let same = live(
            vec![
                Field::new("id", DataType::Int64, false),
                Field::new("total", DataType::Decimal128(10, 2), true),
                Field::new("note", DataType::LargeUtf8, true),
                Field::new("odd", DataType::Int8, true),
            ],
            &["id"],
        );
        assert_eq!(compare(&expected, &same), []);
        let other = live(
            vec![
                Field::new("id", DataType::Int64, false),
                Field::new("total", DataType::Float64, true),
                Field::new("odd", DataType::Int8, true),
                Field::new("vat", DataType::Int8, true),
            ],
            &["id", "vat"],
        );
        let found = compare(&expected, &other);
        let found_lines: Vec<(&str, usize)> = found
            .iter()
            .map(|d| (d.code.as_str(), d.span.as_ref().unwrap().line))
            .collect();
        assert_eq!(
            found_lines,
            [("C0513", 6), ("C0512", 7), ("C0514", 2), ("C0515", 2)]
        );
        assert!(
            found
                .iter()
                .all(|d| d.help[0].contains("discover db --write"))
        );
        let failure = Failure::new("R0201", Remedy::Retry, "refused").help("start it");
        assert_eq!(unreachable("db", None, &failure).help, ["start it"]);
    }
}
