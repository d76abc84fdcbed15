//! Connections: bound options, secrets as templates, and what their connector can do.
//!
//! Promise: a connection in the plan has every option that its connector needs. It opens nothing, and knows
//! a connector only by its spec. Read next: `load.rs` and `publish.rs`, which use connections.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use towpath_vocab::{
    Capability, ConnectionPlan, ConnectorSpec, ObjectKind, OptionKind, OptionValue, OptionVariant,
    SecretTemplate, passwords,
};

use crate::bind;
use crate::keys;
use crate::report::{FileRange, Report};
use crate::yaml::{Entry, Node};

/// A connection of the project.
#[derive(Debug)]
pub(crate) struct Connection<'a> {
    pub(crate) plan: ConnectionPlan,
    /// `None` if its type is unknown, which has been reported.
    pub(crate) spec: Option<&'a ConnectorSpec>,
    /// The position of its name.
    pub(crate) key_at: FileRange,
    /// Settings of single tables, by their names in the external system.
    pub(crate) tables: Option<Node>,
}

impl Connection<'_> {
    /// True if its connector has this capability, or is unknown.
    pub(crate) fn has(&self, capability: Capability) -> bool {
        self.spec
            .is_none_or(|spec| spec.capabilities.contains(&capability))
    }
}

/// Reads all connections of the merged project file.
pub(crate) fn read<'a>(
    root: &Node,
    specs: &'a [ConnectorSpec],
    report: &mut Report,
) -> IndexMap<String, Connection<'a>> {
    let entries = root.get("connections").into_iter().flat_map(Node::entries);
    entries
        .map(|(name, entry)| (name.to_owned(), one(name, entry, specs, report)))
        .collect()
}

fn one<'a>(
    name: &str,
    entry: &Entry,
    specs: &'a [ConnectorSpec],
    report: &mut Report,
) -> Connection<'a> {
    let node = &entry.value;
    let kind_node = node.get("type");
    let kind = kind_node.and_then(Node::text).unwrap_or_default();
    let spec = specs.iter().find(|spec| spec.kind == kind);
    match (kind_node, spec) {
        (None, _) => {
            report
                .error(
                    "P0106",
                    entry.key_at,
                    format!("connection `{name}` has no `type`"),
                )
                .help(format!("types: {}", kinds(specs)));
        }
        (Some(at), None) => {
            let error = report.error("C0501", at.at, format!("there is no connector `{kind}`"));
            // `mariadb` is only a scheme of URLs: its connector has one name.
            let is_named = |spec: &&ConnectorSpec| spec.schemes.iter().any(|other| other == kind);
            match specs.iter().find(is_named) {
                Some(spec) => error.label(format!("did you mean `{}`?", spec.kind)),
                None => error.suggest(
                    kind,
                    specs.iter().map(|spec| spec.kind.as_str()),
                    "connectors",
                ),
            };
        }
        _ => {}
    }
    let options = spec
        .map(|spec| options(name, entry, spec, report))
        .unwrap_or_default();
    let plan = ConnectionPlan {
        name: name.to_owned(),
        kind: kind.to_owned(),
        writable: node.get_bool("writable").unwrap_or(false),
        options,
    };
    Connection {
        plan,
        spec,
        key_at: entry.key_at,
        tables: node.get("tables").cloned(),
    }
}

fn kinds(specs: &[ConnectorSpec]) -> String {
    specs
        .iter()
        .map(|spec| spec.kind.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn options(
    name: &str,
    entry: &Entry,
    spec: &ConnectorSpec,
    report: &mut Report,
) -> BTreeMap<String, OptionValue> {
    let mut options = BTreeMap::new();
    for (key, value) in entry.value.entries() {
        if value.value.is_null() {
            continue;
        }
        let declared = spec.options.iter().find(|option| option.name == key);
        let Some(option) = declared else {
            if key == "limits" {
                without_effect(&value.value, spec, report);
                options.insert(key.to_owned(), OptionValue::Plain(value.value.json()));
            }
            if key == "tables" && spec.objects == ObjectKind::Endpoints {
                let tables = endpoints(&value.value, spec);
                options.insert(key.to_owned(), OptionValue::Plain(tables));
            }
            continue;
        };
        if let OptionKind::Variants(variants) = &option.kind {
            let variant = variant(variants, &value.value);
            let secrets = Secrets {
                connection: name,
                report: &mut *report,
            };
            options.extend(members(key, variant, &value.value, secrets));
            continue;
        }
        if let Some(template) = template(name, key, &option.kind, &value.value, report) {
            options.insert(key.to_owned(), OptionValue::Secret(template));
            continue;
        }
        let text = value.value.texts().join(" ");
        if passwords::has_password(&text) || passwords::is_key_value_address(&text) {
            secret_in_plain(
                &format!("`{key}` of connection `{name}`"),
                value.value.at,
                report,
            );
            continue;
        }
        options.insert(
            key.to_owned(),
            OptionValue::Plain(plain(&value.value, &option.kind)),
        );
    }
    for option in spec.options.iter().filter(|option| option.required) {
        if !options.contains_key(&option.name) {
            report
                .error(
                    "C0503",
                    entry.key_at,
                    format!("connection `{name}` has no `{}`", option.name),
                )
                .help(format!("`{}`: {}", option.name, option.doc));
        }
    }
    options
}

/// An option that is a secret, unresolved; warns of what is written in clear text.
fn template(
    connection: &str,
    option: &str,
    kind: &OptionKind,
    node: &Node,
    report: &mut Report,
) -> Option<SecretTemplate> {
    match kind {
        OptionKind::Secret => {
            let text = node.text().unwrap_or_default();
            literal_secret(connection, option, text, node.at, report);
            Some(SecretTemplate::new(text))
        }
        OptionKind::SecretMap => {
            literal_secrets(connection, option, node, report);
            Some(SecretTemplate::new(node.json().to_string()))
        }
        _ => None,
    }
}

/// Warns of limits that this connector has no use for.
fn without_effect(limits: &Node, spec: &ConnectorSpec, report: &mut Report) {
    for (key, entry) in limits.entries() {
        let is_known = keys::LIMITS.find(key).is_some();
        if !is_known || entry.value.is_null() || spec.limits.iter().any(|limit| limit == key) {
            continue;
        }
        let kind = &spec.kind;
        let message = format!("`{key}` has no effect on a connection of type `{kind}`");
        let help = match spec.limits.iter().any(|limit| limit == "connections") {
            true => "`limits: { connections: 1 }` makes one request at a time",
            false => "`parallel` of the project bounds how many tasks run at once",
        };
        report.warning("P0115", entry.value.at, message).help(help);
    }
}

/// The form of a map that its `type` says.
pub(crate) fn variant<'v>(variants: &'v [OptionVariant], node: &Node) -> Option<&'v OptionVariant> {
    let word = node.get_text("type")?;
    variants.iter().find(|variant| variant.word == word)
}

/// Where what is wrong with secrets is said.
struct Secrets<'r> {
    connection: &'r str,
    report: &'r mut Report,
}

/// The keys of an option that is a map, each with the option's name before it.
fn members(
    option: &str,
    variant: Option<&OptionVariant>,
    node: &Node,
    secrets: Secrets<'_>,
) -> BTreeMap<String, OptionValue> {
    let Some(variant) = variant else {
        return BTreeMap::new();
    };
    let kind = OptionValue::Plain(variant.word.clone().into());
    let mut members = BTreeMap::from([(format!("{option}.type"), kind)]);
    for key in &variant.keys {
        let Some(value) = node.get(&key.name).filter(|value| !value.is_null()) else {
            continue;
        };
        let name = format!("{option}.{}", key.name);
        let value = if key.kind == OptionKind::Secret {
            let text = value.text().unwrap_or_default();
            literal_secret(secrets.connection, &name, text, value.at, secrets.report);
            OptionValue::Secret(SecretTemplate::new(text))
        } else {
            OptionValue::Plain(plain(value, &key.kind))
        };
        members.insert(name, value);
    }
    members
}

/// What the connection says about its tables, in the options of its connector.
fn endpoints(tables: &Node, spec: &ConnectorSpec) -> serde_json::Value {
    let of_table = |node: &Node| {
        let options = spec.options.iter().filter(|option| option.per_table);
        let options = options.filter_map(|option| {
            let value = node.get(&option.name).filter(|value| !value.is_null())?;
            Some((option.name.clone(), plain(value, &option.kind)))
        });
        serde_json::Value::Object(options.collect())
    };
    let tables = tables.entries();
    let tables = tables.map(|(name, entry)| (name.to_owned(), of_table(&entry.value)));
    serde_json::Value::Object(tables.collect())
}

/// An option as JSON for its connector.
pub(crate) fn plain(node: &Node, kind: &OptionKind) -> serde_json::Value {
    match kind {
        OptionKind::TextMap => {
            let entries = node.entries();
            let texts = entries.filter_map(|(name, entry)| {
                Some((
                    name.to_owned(),
                    serde_json::Value::from(entry.value.text()?),
                ))
            });
            serde_json::Value::Object(texts.collect())
        }
        OptionKind::Variants(variants) => {
            let mut map = serde_json::Map::new();
            if let Some(variant) = variant(variants, node) {
                map.insert("type".to_owned(), variant.word.clone().into());
                for key in &variant.keys {
                    if let Some(value) = node.get(&key.name).filter(|value| !value.is_null()) {
                        map.insert(key.name.clone(), plain(value, &key.kind));
                    }
                }
            }
            serde_json::Value::Object(map)
        }
        OptionKind::Integer | OptionKind::Boolean => node.json(),
        OptionKind::TextList => node.texts().into_iter().collect(),
        _ => node
            .text()
            .map_or(serde_json::Value::Null, serde_json::Value::from),
    }
}

/// Warns about passwords in a map.
fn literal_secrets(connection: &str, option: &str, node: &Node, report: &mut Report) {
    for item in node.items().iter().filter(|item| item.text().is_none()) {
        if item.as_map().is_none() {
            literal_secrets(connection, option, item, report);
        }
        for (name, entry) in item.entries() {
            let option = format!("{option}.{name}");
            match entry.value.text() {
                Some(text) if passwords::is_literal_password(name, text) => {
                    literal_secret(connection, &option, text, entry.value.at, report);
                }
                Some(text) if passwords::has_password(text) => {
                    literal_secret(connection, &option, text, entry.value.at, report);
                }
                Some(_) => {}
                None => literal_secrets(connection, &option, &entry.value, report),
            }
        }
    }
}

/// Warns about a password in a file.
fn literal_secret(connection: &str, option: &str, text: &str, at: FileRange, report: &mut Report) {
    let whole = text.split_once("://").is_none() && !bind::has_slot(text);
    if whole || passwords::has_password(text) {
        report
            .warning(
                "C0509",
                at,
                format!("`{option}` of connection `{connection}` is written in a file"),
            )
            .label("everyone who has the files can read this secret")
            .help(format!(
                "write ${{secret:{}}} and set that variable",
                variable(connection, option)
            ));
    }
}

/// Reports a URL with a password in a text that is shown and stored.
pub(crate) fn secret_in_plain(what: &str, at: FileRange, report: &mut Report) {
    report
        .error(
            "C0518",
            at,
            format!("{what} is the URL of a database, or contains a password"),
        )
        .help("only secret options such as `url` may hold a password: this one is shown in plans and logs");
}

fn variable(connection: &str, option: &str) -> String {
    format!("{connection}_{option}")
        .to_uppercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

/// Finds a connection, or reports that there is none.
pub(crate) fn find<'c, 'a>(
    connections: &'c IndexMap<String, Connection<'a>>,
    name: &str,
    at: FileRange,
    report: &mut Report,
) -> Option<&'c Connection<'a>> {
    let found = connections.get(name);
    if found.is_none() {
        report
            .error("C0502", at, format!("there is no connection `{name}`"))
            .suggest(name, connections.keys().map(String::as_str), "connections")
            .help("declare it under `connections` in towpath.yml, or in connections/NAME.yml");
    }
    found
}
