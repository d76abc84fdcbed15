//! The params of a pipeline: declared with a type and a default, set with `--param`.
//!
//! Promise: every value parses as its declared type. It knows no other substitution. Read next: `bind.rs`.

use std::collections::BTreeMap;

use towpath_vocab::types;

use crate::bind::{self, Bindings, Leaf};
use crate::inputs::CheckInputs;
use crate::report::Report;
use crate::yaml::{Node, Value};

const KEYS: &[&str] = &["type", "default", "description"];

/// Values of the params of a pipeline.
pub(crate) fn read(
    pipeline: &mut Node,
    inputs: &CheckInputs<'_>,
    bindings: &Bindings<'_>,
    declared: &mut Vec<String>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let Value::Map(map) = &mut pipeline.value else {
        return values;
    };
    let Some(params) = map.get_mut("params") else {
        return values;
    };
    if params.value.as_map().is_none() && !params.value.is_null() {
        report
            .error("P0104", params.value.at, "params must be a map of names")
            .help("write params: { since: { type: date, default: 2013-01-01 } }");
    }
    for (name, entry) in params.value.entries() {
        declared.push(name.to_owned());
        let node = &entry.value;
        for (key, inner) in node.entries().filter(|(key, _)| !KEYS.contains(key)) {
            report
                .error("P0102", inner.key_at, format!("unknown key `{key}`"))
                .suggest(key, KEYS.iter().copied(), "keys of a param");
        }
        let kind = node.get("type");
        let default = if node.as_map().is_some() {
            node.get("default")
        } else {
            Some(node)
        };
        let default = default.and_then(|node| {
            let text = node.text()?;
            Some(
                bind::leaf(text, node.at, Leaf::Text, bindings, report)
                    .unwrap_or_else(|| text.to_owned()),
            )
        });
        let given = inputs.params.get(name).cloned();
        let is_given = given.is_some();
        let Some(value) = given.or(default) else {
            report
                .error(
                    "P0206",
                    entry.key_at,
                    format!("param `{name}` has no value"),
                )
                .help(format!("set it: --param {name}=…, or declare a `default`"));
            continue;
        };
        if let Some(kind) = kind.and_then(Node::text) {
            // A value of the command line has no place in a file.
            let default = node.get("default").filter(|_| !is_given);
            let at = default.map_or(entry.key_at, |default| default.at);
            check(name, &value, kind, at, report);
        }
        values.insert(name.to_owned(), value);
    }
    values
}

fn check(name: &str, value: &str, kind: &str, at: crate::report::FileRange, report: &mut Report) {
    let Ok(data_type) = types::parse(kind) else {
        report
            .error("T0401", at, format!("`{kind}` is not a type"))
            .suggest(kind, crate::value::type_words(), "types");
        return;
    };
    if crate::literal::read(value, &data_type).is_err() {
        report
            .error(
                "P0206",
                at,
                format!("`{value}` is not a valid {kind}, the type of param `{name}`"),
            )
            .help(format!("set a different value: --param {name}=…"));
    }
}

/// Reports params that were given but that no pipeline declares.
pub(crate) fn check_given(inputs: &CheckInputs<'_>, declared: &[String], report: &mut Report) {
    for name in inputs.params.keys().filter(|name| !declared.contains(name)) {
        let file = report.file("towpath.yml");
        let at = crate::report::FileRange {
            file,
            line: 1,
            column: 1,
            ..Default::default()
        };
        report
            .error("P0206", at, format!("no pipeline has a param `{name}`"))
            .suggest(name, declared.iter().map(String::as_str), "params");
    }
}
