//! Applies the declaration of keys to a tree: unknown keys, wrong values, missing keys, substitution.
//!
//! Promise: afterwards every value is bound and valid for its key, or there is a diagnostic; so other code
//! may skip values that it cannot read. It does not know what a project means. Read next:
//! `keys/declare.rs`, `bind.rs`.

use std::collections::BTreeMap;

use towpath_vocab::{ConnectorSpec, OptionKind, OptionSpec, OptionVariant};

use crate::bind::{self, Bindings, Leaf};
use crate::checks::kinds;
use crate::empty;
use crate::keys::{self, KeySchema, Kind};
use crate::report::Report;
use crate::unused;
use crate::value;
use crate::yaml::{self, Node, Value};

/// The context in which a tree is checked.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// `None` means that strings are checked but not bound, for environments that are not in use.
    pub(crate) bindings: Option<Bindings<'a>>,
    pub(crate) specs: &'a [ConnectorSpec],
    /// The connector of each connection.
    pub(crate) connectors: &'a BTreeMap<String, &'a ConnectorSpec>,
    /// Options that tables may set here.
    pub(crate) options: Option<&'a ConnectorSpec>,
    /// In the tables of a connection, which are read and written.
    pub(crate) in_connection: bool,
}

/// Checks and binds a tree.
pub(crate) fn conform(node: &mut Node, kind: Kind, context: &Context<'_>, report: &mut Report) {
    match kind {
        Kind::Map(shape) => map(node, shape, None, context, report),
        Kind::Named(inner) => named(node, *inner, context, report),
        Kind::List(inner) => list(node, *inner, context, report),
        Kind::Either(kinds) => either(node, kinds, context, report),
        Kind::Connection => connection(node, context, report),
        Kind::Step => step(node, context, report),
        Kind::Table => map(node, &keys::TABLE, context.options, context, report),
        Kind::Check => check(node, context, report),
        Kind::Value => bind_all(node, Leaf::Text, context, report),
        Kind::AtRunValue => bind_all(node, Leaf::AtRun, context, report),
        Kind::Limit => limit(node, context, report),
        Kind::Texts | Kind::TextList | Kind::AtRunList | Kind::Statements => {
            texts(node, kind, context, report);
        }
        _ => scalar(node, kind, context, report),
    }
}

fn map(
    node: &mut Node,
    shape: &KeySchema,
    extra: Option<&ConnectorSpec>,
    context: &Context<'_>,
    report: &mut Report,
) {
    let at = node.at;
    if node.is_null() {
        *node = Node::map(at, yaml::Map::new());
    }
    let found = node.kind();
    let Value::Map(map) = &mut node.value else {
        report
            .error(
                "P0104",
                at,
                format!("a {} must be a map, but this is {found}", shape.noun),
            )
            .help(format!("keys of a {}: {}", shape.noun, names(shape, extra)));
        return;
    };
    for (name, entry) in map.iter_mut() {
        if let Some(key) = shape.find(name) {
            if entry.value.is_null() {
                empty::key(key, shape, entry.key_at, report);
                continue;
            }
            unused::say_inactive(key, entry.key_at, report);
            conform(&mut entry.value, key.kind, context, report);
            empty::amount(key.name, &entry.value, report);
        } else if let Some(option) = extra.and_then(|spec| per_table(spec, name)) {
            if !context.in_connection {
                unused::say_unused(option, shape, entry.key_at, report);
            }
            empty::word(&mut entry.value, option);
            if entry.value.is_null() && !empty::may_take_away(shape, name) {
                empty::say(name, entry.key_at, report);
            }
            option_value(&mut entry.value, option, context, report);
        } else {
            let known: Vec<&str> = known(shape, extra).collect();
            report
                .error("P0102", entry.key_at, format!("unknown key `{name}`"))
                .suggest(name, known, &format!("keys of a {}", shape.noun));
        }
    }
    let missing: Vec<&str> = shape
        .all()
        .filter(|key| key.required && map.get(key.name).is_none_or(|entry| entry.value.is_null()))
        .map(|key| key.name)
        .collect();
    for name in missing {
        let doc = shape.find(name).map_or("", |key| key.doc);
        report
            .error(
                "P0106",
                at.head(),
                format!("this {} has no `{name}`", shape.noun),
            )
            .help(format!("`{name}`: {doc}"));
    }
}

fn per_table<'a>(spec: &'a ConnectorSpec, name: &str) -> Option<&'a OptionSpec> {
    spec.options
        .iter()
        .find(|option| option.per_table && option.name == name)
}

fn known<'a>(
    shape: &'a KeySchema,
    extra: Option<&'a ConnectorSpec>,
) -> impl Iterator<Item = &'a str> {
    let options = extra
        .into_iter()
        .flat_map(|spec| spec.options.iter().filter(|o| o.per_table));
    shape
        .all()
        .map(|key| key.name)
        .chain(options.map(|option| option.name.as_str()))
}

fn names(shape: &KeySchema, extra: Option<&ConnectorSpec>) -> String {
    crate::suggest::listing(&known(shape, extra).collect::<Vec<_>>())
}

fn named(node: &mut Node, inner: Kind, context: &Context<'_>, report: &mut Report) {
    let (at, found) = (node.at, node.kind());
    let Value::Map(map) = &mut node.value else {
        report
            .error(
                "P0104",
                at.head(),
                format!("expected a map of names, found {found}"),
            )
            .help("write `name: …` on a line each, indented by two spaces");
        return;
    };
    for entry in map.values_mut() {
        if !entry.value.is_null() {
            conform(&mut entry.value, inner, context, report);
        }
    }
}

fn list(node: &mut Node, inner: Kind, context: &Context<'_>, report: &mut Report) {
    let (at, found) = (node.at, node.kind());
    let Value::List(list) = &mut node.value else {
        report
            .error(
                "P0104",
                at.head(),
                format!("expected a list, found {found}"),
            )
            .help("start each entry with `- `");
        return;
    };
    for item in list {
        conform(item, inner, context, report);
    }
}

fn either(node: &mut Node, kinds: &[Kind], context: &Context<'_>, report: &mut Report) {
    let fits = |kind: &Kind| match (&node.value, kind) {
        (Value::Map(_), Kind::Map(_) | Kind::Named(_) | Kind::Table | Kind::Limit) => true,
        (Value::List(_), Kind::List(_) | Kind::Texts | Kind::TextList) => true,
        (Value::Scalar { .. }, kind) => !matches!(
            kind,
            Kind::Map(_) | Kind::Named(_) | Kind::List(_) | Kind::TextList
        ),
        _ => false,
    };
    match kinds.iter().find(|kind| fits(kind)).or(kinds.last()) {
        Some(kind) => conform(node, *kind, context, report),
        None => bind_all(node, Leaf::Text, context, report),
    }
}

fn connection(node: &mut Node, context: &Context<'_>, report: &mut Report) {
    let kind = node.get("type").and_then(Node::text).map(str::to_owned);
    let spec = kind
        .as_deref()
        .and_then(|kind| context.specs.iter().find(|spec| spec.kind == kind));
    let at = node.at;
    let found = node.kind();
    let Value::Map(map) = &mut node.value else {
        report
            .error(
                "P0104",
                at.head(),
                format!("a connection is a map, this is {found}"),
            )
            .help("start with `type:`");
        return;
    };
    let inner = Context {
        options: spec,
        in_connection: true,
        ..*context
    };
    for (name, entry) in map.iter_mut() {
        let option = spec.and_then(|spec| spec.options.iter().find(|option| option.name == *name));
        if let Some(option) = option {
            empty::word(&mut entry.value, option);
        }
        let key = keys::CONNECTION.find(name);
        if entry.value.is_null() {
            match key {
                Some(key) => empty::key(key, &keys::CONNECTION, entry.key_at, report),
                None if option.is_some() => empty::say(name, entry.key_at, report),
                None => {}
            }
            continue;
        }
        if let Some(key) = key {
            unused::say_inactive(key, entry.key_at, report);
            conform(&mut entry.value, key.kind, &inner, report);
            continue;
        }
        match (option, spec) {
            (Some(option), _) if option.table_only => {
                let message = format!("`{name}` has no effect on a connection");
                report
                    .error("C0519", entry.key_at, message)
                    .help("set it at the tables: `tables: { NAME: { … } }`");
            }
            (Some(option), _) => option_value(&mut entry.value, option, context, report),
            (None, Some(spec)) => {
                let options = spec.options.iter().map(|option| option.name.as_str());
                let known = keys::CONNECTION.all().map(|key| key.name).chain(options);
                let there = format!("keys of a connection of type `{}`", spec.kind);
                report
                    .error("P0102", entry.key_at, format!("unknown key `{name}`"))
                    .suggest(name, known, &there);
            }
            // An unknown type is reported where connections are read.
            (None, None) => {}
        }
    }
}

fn step(node: &mut Node, context: &Context<'_>, report: &mut Report) {
    let outside = node
        .get_text("load")
        .or_else(|| node.get_text("publish").and(node.get_text("into")));
    let spec = outside.and_then(|name| context.connectors.get(name).copied());
    let publish = node.get("publish").is_some();
    let inner = Context {
        options: spec,
        ..*context
    };
    let tables = if publish && let Value::Map(map) = &mut node.value {
        map.get_mut("tables").map(|entry| {
            (
                entry.key_at,
                std::mem::replace(&mut entry.value, Node::map(node.at, yaml::Map::new())),
            )
        })
    } else {
        None
    };
    map(node, &keys::STEP, None, &inner, report);
    if let Some((_, mut value)) = tables {
        publish_tables(&mut value, &inner, report);
        if let Value::Map(map) = &mut node.value
            && let Some(entry) = map.get_mut("tables")
        {
            entry.value = value;
        }
    }
}

fn publish_tables(node: &mut Node, context: &Context<'_>, report: &mut Report) {
    let (at, found) = (node.at, node.kind());
    let Value::Map(tables) = &mut node.value else {
        if !node.is_null() {
            report
                .error(
                    "P0104",
                    at.head(),
                    format!("expected a map of names, found {found}"),
                )
                .help("write `name: {}` on a line each");
        }
        return;
    };
    for entry in tables.values_mut().filter(|entry| !entry.value.is_null()) {
        map(
            &mut entry.value,
            &keys::PUBLISH_TABLE,
            context.options,
            context,
            report,
        );
    }
}

fn check(node: &mut Node, context: &Context<'_>, report: &mut Report) {
    if node.text().is_some() || node.is_null() {
        let word = node.text().unwrap_or_default().to_owned();
        report
            .error("K0601", node.at, format!("check `{word}` has no value"))
            .help("write `- not_null: column`, `- row_count: { min: 1 }`, …")
            .help(format!("checks: {}", kinds::names()));
        return;
    }
    let at = node.at.head();
    map(node, &keys::CHECK, None, context, report);
    let kinds: Vec<&str> = node
        .entries()
        .map(|(key, _)| key)
        .filter(|key| kinds::find(key).is_some())
        .collect();
    let unknown = node
        .entries()
        .any(|(key, _)| keys::CHECK.find(key).is_none());
    if kinds.len() > 1 || kinds.is_empty() && !unknown && node.as_map().is_some() {
        let message = match kinds.len() {
            0 => "this check is empty".to_owned(),
            _ => format!("this check has {} kinds: {}", kinds.len(), kinds.join(", ")),
        };
        let second = node
            .entries()
            .filter(|(key, _)| kinds::find(key).is_some())
            .nth(1);
        let at = second.map_or(at, |(_, entry)| entry.key_at);
        report
            .error("P0112", at, message)
            .help(format!("exactly one of {}", kinds::names()));
    }
}

fn texts(node: &mut Node, kind: Kind, context: &Context<'_>, report: &mut Report) {
    let leaf = match kind {
        Kind::AtRunList => Kind::AtRun,
        Kind::Statements => Kind::Statements,
        _ => Kind::Text,
    };
    let may_be_one = matches!(kind, Kind::Texts | Kind::Statements);
    match &mut node.value {
        Value::List(list) => {
            for item in list {
                scalar(item, leaf, context, report);
            }
        }
        Value::Scalar { .. } if may_be_one => scalar(node, leaf, context, report),
        _ => {
            let wanted = if may_be_one {
                "a text or a list of texts"
            } else {
                "a list of texts"
            };
            report
                .error(
                    "P0104",
                    node.at.head(),
                    format!("expected {wanted}, found {}", node.kind()),
                )
                .help("write [a, b]");
        }
    }
}

fn bind_all(node: &mut Node, leaf: Leaf, context: &Context<'_>, report: &mut Report) {
    match &mut node.value {
        Value::Null => {}
        Value::Scalar { .. } => bind_leaf(node, leaf, context, report),
        Value::List(list) => list
            .iter_mut()
            .for_each(|item| bind_all(item, leaf, context, report)),
        Value::Map(map) => {
            for entry in map.values_mut() {
                bind_all(&mut entry.value, leaf, context, report);
            }
        }
    }
}

fn bind_leaf(node: &mut Node, leaf: Leaf, context: &Context<'_>, report: &mut Report) {
    let Some(bindings) = &context.bindings else {
        return;
    };
    if let Value::Scalar { text, .. } = &mut node.value
        && let Some(bound) = bind::leaf(text, node.at, leaf, bindings, report)
    {
        *text = bound;
    }
}

fn scalar(node: &mut Node, kind: Kind, context: &Context<'_>, report: &mut Report) {
    if node.text().is_none() {
        report.error(
            "P0104",
            node.at.head(),
            format!("expected {}, found {}", expected(kind), node.kind()),
        );
        return;
    }
    let leaf = match kind {
        Kind::Sql => Leaf::Sql,
        Kind::AtRun => Leaf::AtRun,
        Kind::Statements => Leaf::SqlAtRun,
        Kind::Secret => Leaf::Secret,
        _ => Leaf::Text,
    };
    bind_leaf(node, leaf, context, report);
    let Some(text) = node.text().map(str::to_owned) else {
        return;
    };
    if bind::has_slot(&text) {
        return;
    }
    if let Err(problem) = value::check(kind, &text) {
        if matches!(kind, Kind::Boolean) && yaml::bare_boolean(node, report) {
            return;
        }
        let (code, message) = match kind {
            Kind::OneOf(_) => ("P0111", format!("`{text}` is not an accepted word")),
            Kind::Type => ("T0401", format!("`{text}` is not a type")),
            _ => ("P0127", format!("`{text}` is not {}", expected(kind))),
        };
        let said = report.error(code, node.at, message);
        match kind {
            Kind::OneOf(words) => said
                .suggest(&text, words.iter().copied(), "words")
                .help(format!("one of {}", words.join(", "))),
            Kind::Type => said.suggest(&text, value::type_words(), "types"),
            _ => said.help(problem),
        };
    }
}

fn limit(node: &mut Node, context: &Context<'_>, report: &mut Report) {
    if node.as_map().is_none() {
        scalar(node, Kind::Limit, context, report);
        return;
    }
    bind_all(node, Leaf::Text, context, report);
    if value::limit(node).is_none() && context.bindings.is_some() {
        report
            .error("P0127", node.at.head(), "this is not a valid limit")
            .help("write { percent: 1, rows: 10 }: a load stops when it exceeds one of them");
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "a whole number",
        Kind::Boolean => "true or false",
        Kind::Duration => "a duration",
        Kind::Size => "a size of 16MB or more",
        Kind::Limit => "a limit",
        Kind::Type => "a type",
        Kind::Sql => "SQL text",
        _ => "text",
    }
}

/// A map whose `type` says which keys it has.
fn variant_value(
    node: &mut Node,
    option: &OptionSpec,
    variants: &[OptionVariant],
    context: &Context<'_>,
    report: &mut Report,
) {
    let (at, found, name) = (node.at.head(), node.kind(), &option.name);
    let words = || variants.iter().map(|variant| variant.word.as_str());
    let listing = words().collect::<Vec<_>>().join(", ");
    let Value::Map(map) = &mut node.value else {
        report
            .error(
                "P0104",
                at,
                format!("`{name}` must be a map, but this is {found}"),
            )
            .help(format!(
                "write `{name}: {{ type: … }}` with one of {listing}"
            ));
        return;
    };
    let Some(kind) = map.get("type").filter(|entry| !entry.value.is_null()) else {
        report
            .error("P0106", at, format!("this `{name}` has no `type`"))
            .help(format!("`type` is one of {listing}"));
        return;
    };
    let word = kind.value.text().unwrap_or_default().to_owned();
    let Some(variant) = variants.iter().find(|variant| variant.word == word) else {
        report
            .error(
                "P0111",
                kind.value.at,
                format!("`{word}` is not a `type` of `{name}`"),
            )
            .suggest(&word, words(), "types");
        return;
    };
    for (key, entry) in map.iter_mut().filter(|(key, _)| *key != "type") {
        let Some(inner) = variant.keys.iter().find(|inner| inner.name == *key) else {
            let known = variant.keys.iter().map(|inner| inner.name.as_str());
            let there = format!("keys of `{name}` of type `{word}`");
            report
                .error("P0102", entry.key_at, format!("unknown key `{key}`"))
                .suggest(key, known, &there);
            continue;
        };
        empty::word(&mut entry.value, inner);
        if entry.value.is_null() {
            empty::say(key, entry.key_at, report);
        }
        option_value(&mut entry.value, inner, context, report);
    }
    for key in variant.keys.iter().filter(|key| key.required) {
        if map.get(&key.name).is_none_or(|entry| entry.value.is_null()) {
            report
                .error("P0106", at, format!("this `{name}` has no `{}`", key.name))
                .help(format!("`{}`: {}", key.name, key.doc));
        }
    }
}

/// A map of any values, whose texts may have secrets.
fn secret_map(node: &mut Node, option: &OptionSpec, context: &Context<'_>, report: &mut Report) {
    if node.as_map().is_none() {
        let (name, found) = (&option.name, node.kind());
        let message = format!("`{name}` must be a map, but this is {found}");
        report
            .error("P0104", node.at.head(), message)
            .help("write `name: value` on a line each, indented by two spaces");
        return;
    }
    bind_all(node, Leaf::Secret, context, report);
}

fn option_value(node: &mut Node, option: &OptionSpec, context: &Context<'_>, report: &mut Report) {
    if node.is_null() {
        return;
    }
    let kind = match &option.kind {
        OptionKind::Secret => Kind::Secret,
        OptionKind::Integer => Kind::Integer,
        OptionKind::Boolean => Kind::Boolean,
        OptionKind::TextList => Kind::Texts,
        OptionKind::TextMap => Kind::Named(&Kind::Text),
        OptionKind::SecretMap => return secret_map(node, option, context, report),
        OptionKind::Variants(variants) => {
            return variant_value(node, option, variants, context, report);
        }
        OptionKind::Text | OptionKind::Path | OptionKind::OneOf(_) => Kind::Text,
    };
    conform(node, kind, context, report);
    if let (OptionKind::OneOf(words), Some(text)) = (&option.kind, node.text())
        && !bind::has_slot(text)
        && !words.iter().any(|word| word == text)
    {
        report
            .error(
                "P0111",
                node.at,
                format!("`{text}` is not an accepted word"),
            )
            .suggest(text, words.iter().map(String::as_str), "words")
            .help(format!(
                "`{}` takes one of {}",
                option.name,
                words.join(", ")
            ));
    }
}
