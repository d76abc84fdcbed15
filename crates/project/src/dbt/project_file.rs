//! `dbt_project.yml`: configs of models and seeds by folder, and variables.
//!
//! Promise: the nearest folder wins over those above it, as in dbt, and the config in a file or its YAML
//! wins over both. Keys without an effect are reported. Read next: `keys.rs`, `models/read.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::judge::{ConfigReaders, Setting, config, entry};
use super::keys::{DbtKeys, MODEL_CONFIG, PROJECT, SEED_CONFIG};
use crate::report::Report;
use crate::yaml::{Entry, Node};

/// The contents of `dbt_project.yml`; empty without one.
#[derive(Debug, Default)]
pub(crate) struct DbtProject {
    name: String,
    models: Option<Node>,
    seeds: Option<Node>,
    pub(crate) vars: BTreeMap<String, Json>,
}

/// Reads the file.
pub(crate) fn read(
    node: Option<&Node>,
    paths: &[&str],
    asked: &ConfigReaders<'_>,
    report: &mut Report,
) -> DbtProject {
    let Some(node) = node else {
        return DbtProject::default();
    };
    entry(node, &PROJECT, report);
    let folders = [
        ("model-paths", "models"),
        ("source-paths", "models"),
        ("seed-paths", "seeds"),
        ("data-paths", "seeds"),
        ("macro-paths", "macros"),
    ];
    for (key, folder) in folders {
        let Some(said) = node.get(key) else { continue };
        if said.texts() != [folder] {
            report
                .error(
                    "P0115",
                    said.at.head(),
                    format!("`{key}` is not supported in this version"),
                )
                .help(format!("files are read from `{folder}/`: move them there"));
        }
    }
    let project = DbtProject {
        name: node.get_text("name").unwrap_or_default().to_owned(),
        models: node.get("models").cloned(),
        seeds: node.get("seeds").cloned(),
        vars: vars(node),
    };
    let sections = [
        (&project.models, &MODEL_CONFIG, "models"),
        (&project.seeds, &SEED_CONFIG, "seeds"),
    ];
    for (section, keys, folder) in sections {
        let Some(section) = section else { continue };
        let below = format!("{folder}/");
        let files: Vec<&str> = paths
            .iter()
            .filter_map(|path| path.strip_prefix(below.as_str()))
            .collect();
        project.judge(section, keys, None, &files, asked, report);
    }
    project
}

/// Variables; those under the project's name win over the others.
fn vars(node: &Node) -> BTreeMap<String, Json> {
    let name = node.get_text("name").unwrap_or_default();
    let Some(Json::Object(said)) = node.get("vars").map(Node::json) else {
        return BTreeMap::new();
    };
    let (own, all): (Vec<_>, Vec<_>) = said
        .into_iter()
        .partition(|(key, value)| key == name && value.is_object());
    let own = own.into_iter().filter_map(|(_, value)| match value {
        Json::Object(map) => Some(map),
        _ => None,
    });
    all.into_iter().chain(own.flatten()).collect()
}

impl DbtProject {
    /// The config of a model, by its path in `models/` without `.sql`.
    pub(crate) fn model(&self, path: &str) -> Map<String, Json> {
        self.config(self.models.as_ref(), path)
    }

    /// The config of a seed, by its path in `seeds/` without `.csv`.
    pub(crate) fn seed(&self, path: &str) -> Map<String, Json> {
        self.config(self.seeds.as_ref(), path)
    }

    fn config(&self, section: Option<&Node>, path: &str) -> Map<String, Json> {
        let mut config = Map::new();
        let mut parts = std::iter::once(self.name.as_str()).chain(path.split('/'));
        let mut node = section;
        while let Some(here) = node {
            for (key, entry) in here.entries() {
                if let Some(key) = config_key(key, entry) {
                    config.insert(key.to_owned(), entry.value.json());
                }
            }
            node = parts.next().and_then(|part| here.get(part));
        }
        config
    }

    /// Checks the keys of a section; `folder` is the path so far, `None` above the project's name.
    fn judge(
        &self,
        node: &Node,
        keys: &DbtKeys,
        folder: Option<&str>,
        files: &[&str],
        asked: &ConfigReaders<'_>,
        report: &mut Report,
    ) {
        for (key, entry) in node.entries() {
            if let Some(known) = config_key(key, entry) {
                let setting = Setting {
                    key: known,
                    at: entry.key_at,
                    value: entry.value.json(),
                    is_yaml: true,
                };
                config([setting], keys, asked, report);
                continue;
            }
            let below = match folder {
                None if key == self.name => String::new(),
                None => {
                    unused(key, entry, report);
                    continue;
                }
                Some("") => key.to_owned(),
                Some(folder) => format!("{folder}/{key}"),
            };
            let used = |file: &&str| {
                let rest = file.strip_prefix(below.as_str());
                below.is_empty() || rest.is_some_and(|rest| rest.starts_with(['/', '.']))
            };
            match files.iter().any(used) {
                true => self.judge(&entry.value, keys, Some(&below), files, asked, report),
                false => unused(key, entry, report),
            }
        }
    }
}

fn unused(key: &str, entry: &Entry, report: &mut Report) {
    report
        .warning(
            "M0333",
            entry.key_at,
            format!("nothing in this project is named `{key}`"),
        )
        .help("configs of models are under the project's name, then under their folders");
}

/// The config key for a key of a section; `None` for a folder. As in dbt, a map is a folder unless its key
/// starts with `+`.
fn config_key<'k>(key: &'k str, entry: &Entry) -> Option<&'k str> {
    match key.strip_prefix('+') {
        Some(key) => Some(key),
        None if entry.value.as_map().is_some() => None,
        None => Some(key),
    }
}
