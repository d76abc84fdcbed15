//! Merges the settings of a table from all levels.
//!
//! Promise: the order is project defaults < pipeline defaults < the connection's table < step < pattern <
//! exact name. Each setting has its file and line, for `plan --explain`. It does not interpret the
//! settings. Read next: `table.rs`.

use serde_json::Value as Json;

use crate::keys::{self, KeySchema};
use crate::report::{FileRange, Report};
use crate::yaml::{Map, Node, Value};

/// One setting of one table, with its position.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Setting {
    /// The table, as `schema.table`.
    pub table: String,
    /// The key, with dots for depth: `columns.wind_speed.max`.
    pub key: String,
    /// Its value.
    pub value: Json,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// Merges layers, the weakest first.
pub(crate) fn merge(at: FileRange, layers: &[Option<&Node>]) -> Node {
    let mut merged = Node::map(at, Map::new());
    for layer in layers.iter().flatten().filter(|layer| !layer.is_null()) {
        merged = merged.merged(layer);
    }
    Node { at, ..merged }
}

/// The table keys of a step, which apply to all of its tables.
pub(crate) fn of_step(step: &Node, shape: &KeySchema) -> Node {
    let mut map = Map::new();
    for (name, entry) in step.entries() {
        // Keys such as `key` belong to tables; `tables`, `into` and the actions belong to the step.
        if shape.keys.iter().any(|key| key.name == name) && !is_step_word(name) {
            map.insert(name.to_owned(), entry.clone());
        }
    }
    Node::map(step.at, map)
}

fn is_step_word(name: &str) -> bool {
    keys::STEP.keys.iter().any(|key| key.name == name)
}

/// Records every setting of a table.
pub(crate) fn explain(table: &str, node: &Node, report: &Report, into: &mut Vec<Setting>) {
    walk(table, "", node, report, into);
}

fn walk(table: &str, prefix: &str, node: &Node, report: &Report, into: &mut Vec<Setting>) {
    for (key, entry) in node.entries() {
        let path = if prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{prefix}.{key}")
        };
        match &entry.value.value {
            Value::Map(map) if !map.is_empty() => walk(table, &path, &entry.value, report, into),
            Value::Null => {}
            _ => into.push(Setting {
                table: table.to_owned(),
                key: path,
                value: entry.value.json(),
                file: report.path(entry.key_at).to_owned(),
                line: entry.key_at.line,
            }),
        }
    }
}
