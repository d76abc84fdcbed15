//! Reads model files: name, schema, config.
//!
//! Promise: the config in the file wins over the YAML, which wins over the defaults of the project, as in
//! dbt. It resolves no reference. Read next: `resolve.rs`.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use towpath_template::Scan;
use towpath_vocab::{Materialized, TableName};

use super::draft::{Draft, ModelContext};
use super::place;
use crate::dbt::{self, Setting};
use crate::load::{is_name, is_named_schema, is_schema};
use crate::parsed::TextFile;
use crate::report::Report;
use crate::yaml::Node;

/// The folder, and the schema of models that are in none of its folders.
const MODELS: &str = "models";

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
                    format!("two models are named `{name}`"),
                )
                .help(format!("the other one is {first}: rename one of the files"));
            continue;
        }
        if context.seeds.contains_key(name) {
            report
                .error(
                    "M0331",
                    place::head(file),
                    format!("a model and a seed are named `{name}`"),
                )
                .help("rename one of the files: `ref` must mean one table");
            continue;
        }
        seen.insert(name.to_owned(), file.path);
        drafts.extend(draft(file, folder, name, context, report));
    }
    drafts
}

/// Folder and name of a model's file.
fn parts<'a>(file: &TextFile<'a>, report: &mut Report) -> Option<(&'a str, &'a str)> {
    let path = file.path.strip_prefix("models/")?;
    let name = path.rsplit('/').next()?.strip_suffix(".sql")?;
    let folder = path.split_once('/').map_or(MODELS, |(folder, _)| folder);
    if !is_name(name) {
        not_a_table(file, (folder, name), FILE_NAMES, report);
        return None;
    }
    Some((folder, name))
}

const FILE_NAMES: &str = "folder and file are letters, digits and `_`, starting with a letter";
const CONFIG_NAMES: &str = "`schema` has no dot and is not `_towpath`, `_quarantine` or `information_schema`; neither it nor `alias` is empty";

/// Reports a name that no table can have.
fn not_a_table(
    file: &TextFile<'_>,
    (schema, table): (&str, &str),
    help: &str,
    report: &mut Report,
) {
    report
        .error(
            "M0332",
            place::head(file),
            format!("`{schema}.{table}` cannot be the name of a table"),
        )
        .help(help);
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
    let config = config(file, &scan, properties.as_ref(), context);
    if config.get("enabled") == Some(&Json::Bool(false)) {
        return None;
    }
    let text = |key: &str| config.get(key).and_then(Json::as_str);
    let schema = text("schema").unwrap_or(folder);
    let table = text("alias").unwrap_or(name);
    let refused = match text("schema") {
        _ if table.is_empty() => Some(CONFIG_NAMES),
        Some(schema) => (!is_named_schema(schema)).then_some(CONFIG_NAMES),
        None => (!is_schema(folder)).then_some(FILE_NAMES),
    };
    if let Some(help) = refused {
        not_a_table(file, (schema, table), help, report);
        return None;
    }
    if context.context.connections.contains_key(schema) {
        report
            .error(
                "P0123",
                place::head(file),
                format!(
                    "`{schema}` is a connection, so it cannot be a schema of the lakehouse too"
                ),
            )
            .help("rename the connection, or give the model another `schema` in its config");
    }
    let materialized = materialized(
        text("materialized"),
        file,
        properties.as_ref(),
        context,
        report,
    );
    judge_config(
        file,
        &scan,
        properties.as_ref(),
        materialized,
        context,
        report,
    );
    Some(Draft {
        name: name.to_owned(),
        table: TableName::new(schema, table),
        file: *file,
        scan: Scan { config, ..scan },
        materialized,
        properties,
        references: std::collections::BTreeMap::new(),
        parents: Vec::new(),
        sound,
    })
}

/// The config of a model: that of its file wins over that of its YAML, which wins over `dbt_project.yml`.
fn config(
    file: &TextFile<'_>,
    scan: &Scan,
    properties: Option<&Node>,
    context: &ModelContext<'_>,
) -> Map<String, Json> {
    let path = file.path.strip_prefix("models/").unwrap_or(file.path);
    let mut config = context
        .project
        .model(path.strip_suffix(".sql").unwrap_or(path));
    if let Some(Json::Object(said)) = properties
        .and_then(|node| node.get("config"))
        .map(Node::json)
    {
        config.extend(said);
    }
    for (key, value) in &scan.config {
        config.insert(key.clone(), value.clone());
    }
    config
}

/// Reports keys of a model's config that have no effect.
fn judge_config(
    file: &TextFile<'_>,
    scan: &Scan,
    properties: Option<&Node>,
    materialized: Materialized,
    context: &ModelContext<'_>,
    report: &mut Report,
) {
    let matters = |key: &str| {
        materialized == Materialized::Incremental || !dbt::INCREMENTAL_ONLY.contains(&key)
    };
    let described = properties.and_then(|node| node.get("config"));
    let described = described.into_iter().flat_map(Node::entries);
    let described = described.map(|(key, entry)| Setting {
        key,
        at: entry.key_at,
        value: entry.value.json(),
        is_yaml: true,
    });
    let written = scan.config.iter().map(|(key, value)| Setting {
        key,
        at: place::key(file, key).unwrap_or_else(|| place::head(file)),
        value: value.clone(),
        is_yaml: false,
    });
    let all = described.chain(written).filter(|one| matters(one.key));
    dbt::config(all, &dbt::MODEL_CONFIG, context.asked, report);
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
                    format!("this version does not have the materialization `{other}`"),
                )
                .suggest(other, WORDS.iter().copied(), "there is");
            Materialized::View
        }
    }
}
