//! Model files to drafts: name, schema, config.
//!
//! Promise: the file's config beats the YAML's, which beats the project's defaults, as in dbt. It
//! resolves no reference.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use towpath_template::Scan;
use towpath_vocab::{Materialized, TableName};

use super::draft::{Draft, ModelContext};
use super::place;
use crate::load::{is_name, is_schema};
use crate::parsed::TextFile;
use crate::report::Report;
use crate::yaml::Node;

const WORDS: &[&str] = &["table", "view", "incremental", "ephemeral"];

/// Reads all models.
pub(super) fn read<'a>(
    files: &[TextFile<'a>],
    context: &ModelContext<'_>,
    report: &mut Report,
) -> Vec<Draft<'a>> {
    let mut drafts: Vec<Draft<'a>> = Vec::new();
    let mut seen: HashMap<String, &'a str> = HashMap::new();
    for file in files {
        let Some((folder, name)) = parts(file, report) else {
            continue;
        };
        if let Some(first) = seen.get(name) {
            report
                .error(
                    "M0331",
                    place::head(file),
                    format!("two models are called `{name}`"),
                )
                .help(format!("the other one is {first}: rename one of the files"));
            continue;
        }
        seen.insert(name.to_owned(), file.path);
        drafts.extend(draft(file, folder, name, context, report));
    }
    drafts
}

/// Schema and name of a model's file.
fn parts<'a>(file: &TextFile<'a>, report: &mut Report) -> Option<(&'a str, &'a str)> {
    let path = file.path.strip_prefix("models/")?;
    let name = path.rsplit('/').next()?.strip_suffix(".sql")?;
    let Some((folder, _)) = path.split_once('/') else {
        report
            .error(
                "M0332",
                place::head(file),
                format!("model `{name}` stands in no schema"),
            )
            .help(format!(
                "move it: models/marts/{name}.sql becomes marts.{name}"
            ));
        return None;
    };
    if !is_schema(folder) || !is_name(name) {
        report
            .error(
                "M0332",
                place::head(file),
                format!("`{folder}.{name}` cannot be the name of a table"),
            )
            .help("folder and file are letters, digits and `_`, starting with a letter");
        return None;
    }
    Some((folder, name))
}

fn draft<'a>(
    file: &TextFile<'a>,
    folder: &str,
    name: &str,
    context: &ModelContext<'_>,
    report: &mut Report,
) -> Option<Draft<'a>> {
    let (scan, sound) =
        match towpath_template::scan(file.path, file.text, &context.macros, &context.vars) {
            Ok(scan) => (scan, true),
            Err(problem) => (
                Scan::default(),
                !place::say(&problem, file, context, report),
            ),
        };
    let properties = context.properties.model(name).cloned();
    let config = config(&scan, properties.as_ref());
    if config.get("enabled") == Some(&Json::Bool(false)) {
        return None;
    }
    let text = |key: &str| config.get(key).and_then(Json::as_str);
    let schema = text("schema").unwrap_or(folder);
    if context.context.connections.contains_key(schema) {
        report
            .error(
                "P0123",
                place::head(file),
                format!(
                    "`{schema}` is a connection, so it cannot be a schema of the lakehouse too"
                ),
            )
            .help("rename the folder or the connection");
    }
    let materialized = materialized(
        text("materialized"),
        file,
        properties.as_ref(),
        context,
        report,
    );
    Some(Draft {
        name: name.to_owned(),
        table: TableName::new(schema, text("alias").unwrap_or(name)),
        file: *file,
        scan: Scan { config, ..scan },
        materialized,
        properties,
        references: std::collections::BTreeMap::new(),
        parents: Vec::new(),
        sound,
    })
}

/// The config of a model: its file's over its YAML's.
fn config(scan: &Scan, properties: Option<&Node>) -> Map<String, Json> {
    let mut config = match properties
        .and_then(|node| node.get("config"))
        .map(Node::json)
    {
        Some(Json::Object(map)) => map,
        _ => Map::new(),
    };
    for (key, value) in &scan.config {
        config.insert(key.clone(), value.clone());
    }
    config
}

fn materialized(
    word: Option<&str>,
    file: &TextFile<'_>,
    properties: Option<&Node>,
    context: &ModelContext<'_>,
    report: &mut Report,
) -> Materialized {
    let defaults = context
        .context
        .root
        .get("defaults")
        .and_then(|node| node.get("models"))
        .and_then(|node| node.get("materialized"));
    match word.or(defaults.and_then(Node::text)).unwrap_or("view") {
        "view" => Materialized::View,
        "table" => Materialized::Table,
        "incremental" => Materialized::Incremental,
        "ephemeral" => Materialized::Ephemeral,
        other => {
            let described = properties
                .and_then(|node| node.get("config"))
                .and_then(|config| config.get("materialized"));
            let at = place::setting(file, "materialized", other)
                .or(described.or(defaults).map(|node| node.at))
                .unwrap_or_else(|| place::head(file));
            report
                .error(
                    "M0336",
                    at,
                    format!("`{other}` is no way to keep a model in this version"),
                )
                .suggest(other, WORDS.iter().copied(), "there is");
            Materialized::View
        }
    }
}
