//! dbt's YAML beside models: what it says about models and sources.
//!
//! Promise: unknown keys are left alone, as dbt's own files have many; names that lead nowhere are
//! said. Tests are read by `tests_of.rs` once columns are known.

use std::collections::HashMap;

use towpath_vocab::TableName;

use super::Draft;
use crate::graph::Tables;
use crate::report::{At, Report};
use crate::yaml::Node;

/// A table under `sources:`.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) table: TableName,
    pub(crate) node: Node,
    at: At,
}

/// Everything the property files say.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    models: HashMap<String, Node>,
    sources: HashMap<(String, String), Source>,
}

/// Reads all property files.
pub(crate) fn read(files: &[Node], report: &mut Report) -> Properties {
    let mut properties = Properties::default();
    for file in files {
        for model in list(file, "models", report) {
            let Some((name, at)) = name(model, report) else {
                continue;
            };
            if let Some(first) = properties.models.get(name) {
                let place = report.place(first.at);
                report
                    .error("P0103", at, format!("model `{name}` is described twice"))
                    .help(format!("the first one is at {place}"));
                continue;
            }
            properties.models.insert(name.to_owned(), model.clone());
        }
        for source in list(file, "sources", report) {
            let Some((source_name, _)) = name(source, report) else {
                continue;
            };
            let schema = source.get_text("schema").unwrap_or(source_name);
            for table in list(source, "tables", report) {
                let Some((table_name, at)) = name(table, report) else {
                    continue;
                };
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

fn list<'n>(node: &'n Node, key: &str, report: &mut Report) -> &'n [Node] {
    let Some(value) = node.get(key) else {
        return &[];
    };
    if value.as_map().is_some() {
        report
            .error(
                "P0104",
                At {
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

fn name<'n>(node: &'n Node, report: &mut Report) -> Option<(&'n str, At)> {
    let found = node
        .get("name")
        .and_then(|name| Some((name.text()?, name.at)));
    if found.is_none() {
        report
            .error(
                "P0106",
                At {
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
    /// What is said about a model.
    pub(crate) fn model(&self, name: &str) -> Option<&Node> {
        self.models.get(name)
    }

    /// The table that a declared source means.
    pub(crate) fn source(&self, name: &str, table: &str) -> Option<TableName> {
        self.sources
            .get(&(name.to_owned(), table.to_owned()))
            .map(|source| source.table.clone())
    }

    /// All declared source tables.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// Says which descriptions lead nowhere.
    pub(super) fn check_names(&self, drafts: &[Draft<'_>], tables: &Tables, report: &mut Report) {
        for (name, node) in &self.models {
            let disabled = node
                .get("config")
                .and_then(|config| config.get_bool("enabled"))
                == Some(false);
            if !disabled && !drafts.iter().any(|draft| &draft.name == name) {
                let at = node.get("name").map_or(node.at, |name| name.at);
                report
                    .warning(
                        "M0333",
                        at,
                        format!("there is no model `{name}` that this could describe"),
                    )
                    .suggest(
                        name,
                        drafts.iter().map(|draft| draft.name.as_str()),
                        "models",
                    );
            }
        }
        for source in self.sources.values() {
            if !tables.contains(&source.table) {
                let word = source.table.to_string();
                let names: Vec<String> = tables.names().map(ToString::to_string).collect();
                report
                    .warning(
                        "M0333",
                        source.at,
                        format!("nothing loads the table `{word}` that this describes"),
                    )
                    .suggest(&word, names.iter().map(String::as_str), "tables");
            }
        }
    }
}
