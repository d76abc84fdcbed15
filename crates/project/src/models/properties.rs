//! dbt's YAML files next to models: properties of models and sources.
//!
//! Promise: every key has an effect or is reported (see `dbt/keys.rs`), and so are names that do not exist.
//! `tests_of.rs` reads tests, once columns are known.

use std::collections::HashMap;

use towpath_vocab::TableName;

use crate::dbt;
use crate::report::{FileRange, Report};
use crate::yaml::Node;

/// A table under `sources:`.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) table: TableName,
    pub(crate) node: Node,
    pub(crate) at: FileRange,
}

/// The contents of all property files.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    models: HashMap<String, Node>,
    seeds: HashMap<String, Node>,
    sources: HashMap<(String, String), Source>,
}

/// Reads all property files.
pub(crate) fn read(files: &[Node], report: &mut Report) -> Properties {
    let mut properties = Properties::default();
    for file in files {
        dbt::entry(file, &dbt::PROPERTIES, report);
        let kinds = [
            ("model", &dbt::MODEL, &mut properties.models),
            ("seed", &dbt::SEED, &mut properties.seeds),
        ];
        for (kind, keys, into) in kinds {
            for one in list(file, &format!("{kind}s"), report) {
                described(one, kind, keys, into, report);
            }
        }
        for source in list(file, "sources", report) {
            let Some((source_name, _)) = name(source, report) else {
                continue;
            };
            dbt::entry(source, &dbt::SOURCE, report);
            let schema = source.get_text("schema").unwrap_or(source_name);
            let is_off = is_disabled(source, report);
            for table in list(source, "tables", report) {
                let Some((table_name, at)) = name(table, report) else {
                    continue;
                };
                dbt::entry(table, &dbt::SOURCE_TABLE, report);
                columns(table, report);
                if is_disabled(table, report) || is_off {
                    continue;
                }
                let real = table.get_text("identifier").unwrap_or(table_name);
                let one = Source {
                    table: TableName::new(schema, real),
                    node: table.clone(),
                    at,
                };
                properties
                    .sources
                    .insert((source_name.to_owned(), table_name.to_owned()), one);
            }
        }
    }
    properties
}

/// Adds the entry of a model or a seed.
fn described(
    entry: &Node,
    kind: &str,
    keys: &dbt::DbtKeys,
    into: &mut HashMap<String, Node>,
    report: &mut Report,
) {
    let Some((name, at)) = name(entry, report) else {
        return;
    };
    dbt::entry(entry, keys, report);
    columns(entry, report);
    if let Some(first) = into.get(name) {
        let place = report.place(first.at);
        report
            .error("P0103", at, format!("{kind} `{name}` is described twice"))
            .help(format!("the first one is at {place}"));
        return;
    }
    into.insert(name.to_owned(), entry.clone());
}

fn columns(entry: &Node, report: &mut Report) {
    for column in entry.get("columns").map(Node::items).unwrap_or_default() {
        dbt::entry(column, &dbt::COLUMN, report);
    }
}

/// Whether a source, or a table of one, is disabled.
fn is_disabled(node: &Node, report: &mut Report) -> bool {
    let Some(config) = node.get("config") else {
        return false;
    };
    dbt::entry(config, &dbt::SOURCE_CONFIG, report);
    config.get_bool("enabled") == Some(false)
}

fn list<'n>(node: &'n Node, key: &str, report: &mut Report) -> &'n [Node] {
    let Some(value) = node.get(key) else {
        return &[];
    };
    if value.as_map().is_some() {
        report
            .error(
                "P0104",
                FileRange {
                    end: value.at.start + 1,
                    ..value.at
                },
                format!("`{key}` is a list"),
            )
            .help("start each entry with `- name: …`");
        return &[];
    }
    value.items()
}

fn name<'n>(node: &'n Node, report: &mut Report) -> Option<(&'n str, FileRange)> {
    let found = node
        .get("name")
        .and_then(|name| Some((name.text()?, name.at)));
    if found.is_none() {
        report
            .error(
                "P0106",
                FileRange {
                    end: node.at.start + 1,
                    ..node.at
                },
                "this entry has no `name`",
            )
            .help("- name: …");
    }
    found
}

impl Properties {
    /// The properties of a model.
    pub(crate) fn model(&self, name: &str) -> Option<&Node> {
        self.models.get(name)
    }

    /// The properties of a seed.
    pub(crate) fn seed(&self, name: &str) -> Option<&Node> {
        self.seeds.get(name)
    }

    /// All described seeds.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.seeds.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// The table of a declared source.
    pub(crate) fn source(&self, name: &str, table: &str) -> Option<TableName> {
        self.sources
            .get(&(name.to_owned(), table.to_owned()))
            .map(|source| source.table.clone())
    }

    /// All declared source tables.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// All described models.
    pub(crate) fn models(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.models.iter().map(|(name, node)| (name.as_str(), node))
    }
}
