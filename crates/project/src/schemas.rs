//! `schemas/CONNECTION.yml`: reads the columns of external tables as facts, and writes them.
//!
//! Promise: what is written reads back the same. A type without a word in the config is written as
//! `unknown` and read as `Null`, which is not checked. Read next: `vocab/src/types.rs`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use towpath_vocab::{FactSource, TableFact, types};

use crate::report::Report;
use crate::yaml::{Entry, Node};

/// The word for a type without a word.
const UNKNOWN: &str = "unknown";

/// Reads one file's tables.
pub(crate) fn read(node: &Node, report: &mut Report) -> BTreeMap<String, TableFact> {
    let tables = node.get("tables").into_iter().flat_map(Node::entries);
    tables
        .map(|(name, entry)| (name.to_owned(), table(&entry.value, report)))
        .collect()
}

/// The options with which each table was discovered.
pub(crate) fn options(node: &Node) -> BTreeMap<String, ReadOptions> {
    let tables = node.get("tables").into_iter().flat_map(Node::entries);
    tables
        .map(|(name, entry)| (name.to_owned(), options_of(&entry.value)))
        .collect()
}

pub(crate) fn options_of(table: &Node) -> ReadOptions {
    let said = table.get("options").into_iter().flat_map(Node::entries);
    said.map(|(name, entry)| (name.to_owned(), entry.value.json()))
        .collect()
}

fn table(node: &Node, report: &mut Report) -> TableFact {
    let columns = node.get("columns").into_iter().flat_map(Node::entries);
    let fields: Vec<Field> = columns
        .map(|(name, entry)| field(name, entry, report))
        .collect();
    TableFact {
        schema: Arc::new(Schema::new(fields)),
        key: node.get("key").map(Node::texts).unwrap_or_default(),
        source: FactSource::Discovered,
        seen_at: node.get_text("seen").unwrap_or_default().to_owned(),
    }
}

fn field(name: &str, entry: &Entry, report: &mut Report) -> Field {
    let node = &entry.value;
    let type_node = if node.text().is_some() {
        Some(node)
    } else {
        node.get("type")
    };
    let word = type_node.and_then(Node::text).unwrap_or(UNKNOWN);
    let data_type = match types::parse(word) {
        Ok(data_type) => data_type,
        Err(_) => {
            if word != UNKNOWN {
                let at = type_node.map_or(entry.key_at, |node| node.at);
                report
                    .error("T0401", at, format!("`{word}` is not a type"))
                    .suggest(word, crate::value::type_words(), "types");
            }
            DataType::Null
        }
    };
    let required = node.get_bool("required").unwrap_or(false);
    let field = Field::new(name, data_type, !required);
    match node.get_text("source_type") {
        Some(source) => field.with_metadata(HashMap::from([(
            types::SOURCE_TYPE.to_owned(),
            source.to_owned(),
        )])),
        None => field,
    }
}

/// Options of a table's load, by name.
pub type ReadOptions = BTreeMap<String, serde_json::Value>;

/// The text of `schemas/CONNECTION.yml`: tables, with the options with which they were discovered.
pub fn write_schemas(connection: &str, tables: &[(String, TableFact, ReadOptions)]) -> String {
    let mut out =
        String::from("# yaml-language-server: $schema=../.towpath/schemas/schemas.json\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "# The tables of `{connection}`. Written by `towpath connection discover {connection} --write`; commit it."
    );
    out.push_str("version: 1\ntables:\n");
    if tables.is_empty() {
        out.truncate(out.len() - 1);
        out.push_str(" {}\n");
    }
    for (name, fact, options) in tables {
        let _ = writeln!(out, "  {}:", yaml_text(name));
        if !fact.seen_at.is_empty() {
            let _ = writeln!(out, "    seen: {}", yaml_text(&fact.seen_at));
        }
        if !fact.key.is_empty() {
            let key: Vec<String> = fact.key.iter().map(|column| yaml_text(column)).collect();
            let _ = writeln!(out, "    key: [{}]", key.join(", "));
        }
        if !options.is_empty() {
            // JSON is YAML.
            let options = serde_json::Value::from_iter(options.clone());
            let _ = writeln!(out, "    options: {options}");
        }
        if fact.schema.fields().is_empty() {
            out.push_str("    columns: {}\n");
            continue;
        }
        out.push_str("    columns:\n");
        for field in fact.schema.fields() {
            let _ = writeln!(out, "      {}: {}", yaml_text(field.name()), column(field));
        }
    }
    out
}

fn column(field: &Field) -> String {
    let word = types::name(field.data_type());
    let word = if types::parse(&word).is_ok() {
        word
    } else {
        UNKNOWN.to_owned()
    };
    let source = field.metadata().get(types::SOURCE_TYPE);
    if field.is_nullable() && source.is_none() {
        return word;
    }
    let mut parts = vec![format!("type: {}", yaml_text(&word))];
    if !field.is_nullable() {
        parts.push("required: true".to_owned());
    }
    if let Some(source) = source {
        parts.push(format!("source_type: {}", yaml_text(source)));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// A text as a YAML scalar that reads back unchanged, also inside braces.
pub fn yaml_text(text: &str) -> String {
    let mut chars = text.chars();
    let starts_plain = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let plain = starts_plain
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if plain && !word {
        return text.to_owned();
    }
    // JSON's escapes are YAML's.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::disallowed_methods,
        reason = "tests"
    )]
    use super::*;
    use crate::yaml::{self, Dialect};

    #[test]
    fn what_is_written_reads_back() {
        let meta = HashMap::from([(types::SOURCE_TYPE.to_owned(), "interval".to_owned())]);
        let fields = vec![
            Field::new("id", DataType::Int64, false),
            Field::new("Straße \"x\"", DataType::Decimal128(18, 2), true),
            Field::new("no", DataType::Utf8, true).with_metadata(meta),
            Field::new("tags", types::parse("list(text)").unwrap(), true),
        ];
        let fact = TableFact {
            schema: Arc::new(Schema::new(fields)),
            key: vec!["id".to_owned()],
            source: FactSource::Discovered,
            seen_at: "2026-11-19T10:00:00Z".to_owned(),
        };
        let empty = TableFact {
            schema: Arc::new(Schema::empty()),
            key: vec![],
            seen_at: String::new(),
            ..fact.clone()
        };
        let seen_with = ReadOptions::from([
            ("delimiter".to_owned(), "; #".into()),
            ("null_values".to_owned(), vec!["NA", "-"].into()),
            ("header".to_owned(), false.into()),
        ]);
        let tables = vec![
            ("a b.csv".to_owned(), fact, seen_with),
            ("public.orders".to_owned(), empty, ReadOptions::new()),
        ];
        let text = write_schemas("shop_db", &tables);
        let mut report = Report::default();
        let node = yaml::parse("schemas/shop_db.yml", &text, Dialect::Ours, &mut report).unwrap();
        let seen_with = options(&node);
        let back: Vec<_> = read(&node, &mut report)
            .into_iter()
            .map(|(name, fact)| (name.clone(), fact, seen_with[&name].clone()))
            .collect();
        assert_eq!(back, tables, "{text}");
        assert_eq!(report.finish(), []);
    }

    #[test]
    fn types_without_a_word_are_unknown() {
        let schema = Schema::new(vec![Field::new(
            "t",
            DataType::Duration(arrow_schema::TimeUnit::Second),
            true,
        )]);
        let fact = TableFact {
            schema: Arc::new(schema),
            key: vec![],
            source: FactSource::Discovered,
            seen_at: String::new(),
        };
        let text = write_schemas("x", &[("t".to_owned(), fact, ReadOptions::new())]);
        assert!(text.contains("t: unknown"), "{text}");
        assert!(write_schemas("x", &[]).ends_with("tables: {}\n"));
    }
}
