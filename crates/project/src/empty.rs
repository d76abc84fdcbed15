//! Keys without a value (`where:`, `key: null`), and amounts that mean nothing: empty lists and zeros.
//!
//! Promise: such a key has one of three meanings, or there is a diagnostic. A key that takes the word `null`
//! takes YAML's null for it. A map or a list without entries is empty. At a table, in a step and in an
//! environment, null takes away what a default, or the base, sets. Read next: `shape.rs`, which asks for each
//! key.

use std::collections::BTreeMap;

use towpath_vocab::{ConnectorSpec, OptionKind, OptionSpec};

use crate::keys::{self, Key, KeySchema, Kind};
use crate::report::{FileRange, Report};
use crate::yaml::{Node, Value};

/// The word of options that mean NULL.
const NULL: &str = "null";
/// Whole numbers of which at least one is needed.
const AT_LEAST_ONE: [&str; 4] = ["parallel", "connections", "threads", "batch_rows"];
/// The maps that are merged from several levels.
const SETTINGS_OF_TABLES: [&str; 5] =
    ["table", "load defaults", "column", "dedup", "schema change"];
/// Durations after which something is stopped.
const TIME_LIMITS: [&str; 3] = ["timeout", "statement_timeout", "deadline"];

/// Takes YAML's null for the word `null` of an option that has it.
pub(crate) fn word(node: &mut Node, option: &OptionSpec) {
    let takes = |words: &[String]| words.iter().any(|word| word == NULL);
    if node.is_null() && matches!(&option.kind, OptionKind::OneOf(words) if takes(words)) {
        node.value = Value::Scalar {
            text: NULL.to_owned(),
            plain: true,
        };
    }
}

/// The same for all connections of a project, before environments are merged into the base: there null takes
/// away what the base sets.
pub(crate) fn words(root: &mut Node, specs: &[ConnectorSpec]) {
    let kinds: BTreeMap<String, String> = root
        .get("connections")
        .into_iter()
        .flat_map(Node::entries)
        .filter_map(|(name, entry)| {
            Some((name.to_owned(), entry.value.get_text("type")?.to_owned()))
        })
        .collect();
    let each = |connections: &mut Node| {
        for (name, connection) in entries_mut(connections) {
            let own = connection.get_text("type").map(str::to_owned);
            let kind = own.or_else(|| kinds.get(name).cloned());
            if let Some(spec) = specs.iter().find(|spec| Some(&spec.kind) == kind.as_ref()) {
                of_options(connection, spec);
            }
        }
    };
    for (key, value) in entries_mut(root) {
        match key {
            "connections" => each(value),
            "environments" => {
                let environments = entries_mut(value).flat_map(|(_, one)| entries_mut(one));
                environments
                    .filter(|(key, _)| *key == "connections")
                    .for_each(|(_, connections)| each(connections));
            }
            _ => {}
        }
    }
}

fn of_options(node: &mut Node, spec: &ConnectorSpec) {
    for (name, value) in entries_mut(node) {
        match spec.options.iter().find(|option| option.name == name) {
            Some(option) => word(value, option),
            None if name == "tables" => {
                entries_mut(value).for_each(|(_, table)| of_options(table, spec));
            }
            None => {}
        }
    }
}

fn entries_mut(node: &mut Node) -> impl Iterator<Item = (&str, &mut Node)> {
    let map = match &mut node.value {
        Value::Map(map) => Some(map),
        _ => None,
    };
    map.into_iter()
        .flat_map(|map| map.iter_mut())
        .map(|(name, entry)| (name.as_str(), &mut entry.value))
}

/// Reports a key of a file without a value, unless that has a meaning.
pub(crate) fn key(key: &Key, shape: &KeySchema, at: FileRange, report: &mut Report) {
    let is_collection = matches!(
        key.kind,
        Kind::Map(_) | Kind::Named(_) | Kind::List(_) | Kind::Value
    );
    // Without `tables`, a step reads all of them.
    let is_choice = key.name == "tables" && std::ptr::eq(shape, &raw const keys::STEP);
    if (is_collection && !is_choice) || key.required || may_take_away(shape, key.name) {
        return;
    }
    say(key.name, at, report);
}

/// True for settings of tables, which defaults may set.
pub(crate) fn may_take_away(shape: &KeySchema, name: &str) -> bool {
    let is_step_word = || keys::STEP.keys.iter().any(|key| key.name == name);
    match std::ptr::eq(shape, &raw const keys::STEP) {
        true => !is_step_word(),
        false => SETTINGS_OF_TABLES.contains(&shape.noun),
    }
}

/// Reports a key without a value.
pub(crate) fn say(name: &str, at: FileRange, report: &mut Report) {
    report
        .error("P0153", at, format!("`{name}` has no value"))
        .help("give it one, or remove the key: null only takes away what a default sets");
}

/// Reports keys of a table without a value that took away nothing: `merged` has the settings of all levels.
pub(crate) fn took_nothing_away(own: Option<&Node>, merged: &Node, report: &mut Report) {
    for (name, entry) in own.into_iter().flat_map(Node::entries) {
        let Some(merged) = merged.as_map().and_then(|map| map.get(name)) else {
            continue;
        };
        let is_collection = keys::TABLE
            .find(name)
            .is_some_and(|key| matches!(key.kind, Kind::Map(_) | Kind::Named(_) | Kind::List(_)));
        match entry.value.is_null() {
            true if merged.value.is_null() && !is_collection => say(name, entry.key_at, report),
            true => {}
            false => took_nothing_away(Some(&entry.value), &merged.value, report),
        }
    }
}

/// Reports an amount of nothing: no column in a key, no task at once, no time.
pub(crate) fn amount(name: &str, value: &Node, report: &mut Report) {
    let said = |report: &mut Report, message: String, help: &str| {
        report.error("P0154", value.at.head(), message).help(help);
    };
    if name == "key" && matches!(&value.value, Value::List(list) if list.is_empty()) {
        let help = "name the columns that identify a row, or remove the key; `key: null` takes away that of a default";
        said(report, "`key` has no column".to_owned(), help);
    }
    let Some(text) = value.text() else { return };
    if AT_LEAST_ONE.contains(&name) && text.parse() == Ok(0_u64) {
        said(
            report,
            format!("`{name}` is 0: nothing could run"),
            "write 1 or more",
        );
    }
    if TIME_LIMITS.contains(&name) && crate::value::duration_ms(text) == Some(0) {
        let help = "write 30s or 10m, or remove the key: then there is no limit";
        said(
            report,
            format!("`{name}` is 0: everything would be stopped at once"),
            help,
        );
    }
}
