//! Phase two: environments are merged, substitutions filled in, keys and values checked.
//!
//! Promise: afterwards the trees have only known keys with valid values, or there is a diagnostic; secret
//! options are still templates. It does not look at tables. Read next: `connection.rs`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use towpath_vocab::{ConnectorSpec, Facts};

use crate::bind::Bindings;
use crate::connection::{self, Connection};
use crate::empty;
use crate::inputs::CheckInputs;
use crate::keys::{self, Kind};
use crate::params;
use crate::parsed::Parsed;
use crate::report::{FileRange, Report};
use crate::shape::{self, Context};
use crate::yaml::{Entry, Map, Node, Value};

/// A pipeline's tree, bound.
#[derive(Debug)]
pub(crate) struct BoundPipeline {
    pub(crate) name: String,
    pub(crate) node: Node,
}

/// The project, bound for one environment.
#[derive(Debug)]
pub(crate) struct Bound<'a> {
    pub(crate) environment: String,
    pub(crate) root: Node,
    pub(crate) connections: IndexMap<String, Connection<'a>>,
    pub(crate) pipelines: Vec<BoundPipeline>,
    pub(crate) schemas: Vec<(String, Node)>,
}

/// Merges and binds all trees, and checks their keys and values.
pub(crate) fn bind<'a>(
    parsed: &mut Parsed<'_>,
    inputs: &CheckInputs<'a>,
    report: &mut Report,
) -> Option<Bound<'a>> {
    let mut root = root(parsed, report)?;
    adopt_connections(&mut root, std::mem::take(&mut parsed.connections), report);
    empty::words(&mut root, inputs.specs);
    let environment = environment(&root, inputs, report);
    check_other_environments(&root, &environment, inputs, report);
    let mut root = merge_environment(&root, &environment, report);
    let connectors = connectors(&root, inputs.specs);
    let bindings = bindings(inputs.variables, inputs.facts);
    let context = Context {
        bindings: Some(bindings),
        specs: inputs.specs,
        connectors: &connectors,
        options: None,
        in_connection: false,
    };
    shape::conform(&mut root, Kind::Map(&keys::ROOT), &context, report);
    version(&root, "towpath", report);
    let connections = connection::read(&root, inputs.specs, report);
    let mut declared = Vec::new();
    let mut pipelines = Vec::new();
    for (name, node) in std::mem::take(&mut parsed.pipelines) {
        let mut node = node;
        let params = params::read(&mut node, inputs, &bindings, &mut declared, report);
        let bindings = Bindings {
            params: Some(&params),
            ..bindings
        };
        let context = Context {
            bindings: Some(bindings),
            ..context
        };
        shape::conform(&mut node, Kind::Map(&keys::PIPELINE), &context, report);
        pipelines.push(BoundPipeline { name, node });
    }
    params::check_given(inputs, &declared, report);
    let mut schemas = std::mem::take(&mut parsed.schemas);
    for (_, node) in &mut schemas {
        shape::conform(node, Kind::Map(&keys::SCHEMAS), &context, report);
        version(node, "version", report);
    }
    Some(Bound {
        environment,
        root,
        connections,
        pipelines,
        schemas,
    })
}

fn bindings<'a>(variables: &'a BTreeMap<String, String>, facts: &'a Facts) -> Bindings<'a> {
    Bindings {
        variables,
        set_variables: &facts.set_variables,
        params: None,
    }
}

fn root(parsed: &mut Parsed<'_>, report: &mut Report) -> Option<Node> {
    let root = parsed.root.take();
    if root.is_none() && !report.failed() {
        let file = report.file("towpath.yml");
        let at = FileRange {
            file,
            line: 1,
            column: 1,
            ..FileRange::default()
        };
        report
            .error(
                "P0113",
                at,
                "there is no project here: `towpath.yml` is missing or empty",
            )
            .help("`towpath init` writes one; or run towpath in the folder that has it");
    }
    let root = root?;
    if root.as_map().is_none() {
        report
            .error(
                "P0104",
                root.at,
                format!("a project must be a map, but this is {}", root.kind()),
            )
            .help("start with `towpath: 1`");
        return None;
    }
    Some(root)
}

fn version(root: &Node, key: &str, report: &mut Report) {
    if let Some(node) = root.get(key)
        && let Some(text) = node.text()
        && text != "1"
    {
        report
            .error(
                "P0116",
                node.at,
                format!("`{text}` is not a known version of this file's format"),
            )
            .help("this version of Towpath reads version 1");
    }
}

/// Adds the connections of `connections/*.yml` to those of `towpath.yml`.
fn adopt_connections(root: &mut Node, files: Vec<(String, Node)>, report: &mut Report) {
    if files.is_empty() {
        return;
    }
    let at = root.at;
    let Value::Map(map) = &mut root.value else {
        return;
    };
    let entry = map
        .entry("connections".to_owned())
        .or_insert_with(|| Entry {
            key_at: at,
            value: Node::map(at, Map::new()),
        });
    if entry.value.is_null() {
        entry.value = Node::map(at, Map::new());
    }
    let Value::Map(connections) = &mut entry.value.value else {
        return;
    };
    for (name, node) in files {
        if let Some(first) = connections.get(&name) {
            let place = report.place(first.key_at);
            let head = FileRange {
                end: node.at.start + 1,
                ..node.at
            };
            report
                .error(
                    "P0129",
                    head,
                    format!("connection `{name}` is declared twice"),
                )
                .help(format!("the other one is at {place}: keep one of them"));
            continue;
        }
        let key_at = FileRange {
            end: node.at.start + 1,
            ..node.at
        };
        connections.insert(
            name,
            Entry {
                key_at,
                value: node,
            },
        );
    }
}

fn environment(root: &Node, inputs: &CheckInputs<'_>, report: &mut Report) -> String {
    let default = root.get("default_environment");
    let name = inputs
        .environment
        .or_else(|| default.and_then(Node::text))
        .unwrap_or("dev")
        .to_owned();
    let known: Vec<&str> = root
        .get("environments")
        .map(|node| node.entries().map(|(key, _)| key).collect())
        .unwrap_or_default();
    let default_name = default.and_then(Node::text).unwrap_or("dev");
    // `dev` is there without a word about it.
    let is_known = default_name == "dev" || known.is_empty() || known.contains(&default_name);
    if let Some(node) = default.filter(|_| !is_known) {
        report
            .error(
                "P0155",
                node.at,
                format!("there is no environment `{default_name}`, which is the default"),
            )
            .suggest(default_name, known.iter().copied(), "environments")
            .help(format!(
                "declare it, also without settings: environments: {{ {default_name}: {{}} }}"
            ));
    }
    if name != default_name && !known.contains(&name.as_str()) {
        let at = root
            .as_map()
            .and_then(|map| map.get("environments"))
            .map_or(
                FileRange {
                    end: root.at.start,
                    ..root.at
                },
                |entry| entry.key_at,
            );
        report
            .error("P0205", at, format!("there is no environment `{name}`"))
            .suggest(
                &name,
                known.iter().copied().chain([default_name]),
                "environments",
            )
            .help("declare it under `environments` in towpath.yml");
    }
    name
}

/// Checks the keys of environments that are not in use.
fn check_other_environments(
    root: &Node,
    used: &str,
    inputs: &CheckInputs<'_>,
    report: &mut Report,
) {
    let Some(environments) = root.get("environments") else {
        return;
    };
    let connectors = BTreeMap::new();
    let context = Context {
        bindings: None,
        specs: inputs.specs,
        connectors: &connectors,
        options: None,
        in_connection: false,
    };
    let lakehouse = |name: &str| {
        let own = environments
            .get(name)
            .and_then(|one| one.get_text("lakehouse"));
        own.or_else(|| root.get_text("lakehouse"))
            .unwrap_or("./lake")
    };
    for (name, entry) in environments.entries() {
        let same = lakehouse(name) == lakehouse(used) && !lakehouse(used).contains("${");
        if name != used && same {
            let message = format!(
                "environments `{used}` and `{name}` share the lakehouse `{}`",
                lakehouse(used)
            );
            report
                .note("P0135", entry.key_at, message)
                .help("each would overwrite the tables of the other: give one a folder of its own, `lakehouse: ./NAME`");
        }
        if name == used || entry.value.is_null() {
            continue;
        }
        let merged = merge_environment(root, name, report);
        let Value::Map(mut map) = merged.value else {
            continue;
        };
        map.shift_remove("environments");
        let mut node = Node::map(root.at, map);
        shape::conform(&mut node, Kind::Map(&keys::ROOT), &context, report);
    }
}

fn merge_environment(root: &Node, name: &str, report: &mut Report) -> Node {
    let Some(over) = root.get("environments").and_then(|node| node.get(name)) else {
        return root.clone();
    };
    for (connection, entry) in over.get("connections").into_iter().flat_map(Node::entries) {
        let base = root
            .get("connections")
            .and_then(|node| node.get(connection))
            .and_then(|node| node.get("type"));
        let changed = entry.value.get("type");
        if let (Some(base), Some(changed)) = (base, changed)
            && base.text() != changed.text()
        {
            let place = report.place(base.at);
            report
                .error(
                    "P0207",
                    changed.at,
                    format!("an environment cannot change the type of connection `{connection}`"),
                )
                .help(format!("its type is at {place}: use two connections"));
        }
    }
    let merged = root.merged(over);
    Node {
        at: root.at,
        ..merged
    }
}

fn connectors<'a>(root: &Node, specs: &'a [ConnectorSpec]) -> BTreeMap<String, &'a ConnectorSpec> {
    root.get("connections")
        .into_iter()
        .flat_map(Node::entries)
        .filter_map(|(name, entry)| {
            let kind = entry.value.get_text("type")?;
            Some((
                name.to_owned(),
                specs.iter().find(|spec| spec.kind == kind)?,
            ))
        })
        .collect()
}
