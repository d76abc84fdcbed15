//! `load` steps: turns their tables and patterns into load tasks.
//!
//! Promise: each table of the step becomes one task, with its settings merged in the documented order. It
//! does not know other steps (see `graph.rs`). Read next: `settings.rs`, `table.rs`.

use std::collections::BTreeMap;

use towpath_vocab::{
    Action, Capability, LoadPlan, Naming, OptionSpec, OptionUse, Selection, TableFact, TableName,
};

use crate::columns;
use crate::connection::{self, Connection};
use crate::context::StepContext;
use crate::empty;
use crate::keys;
use crate::outside_table::{can_read, not_active, seen_otherwise, unknown_external_table};
use crate::report::{FileRange, Report};
use crate::settings::{self, Setting};
use crate::step::{Node as Task, StepFrame};
use crate::table::{self, Frame};
use crate::yaml::{Entry, Map, Node};

/// A table of the step before its settings are read.
struct TableDraft {
    name: String,
    at: FileRange,
    /// The object in the external system, unless the settings name another.
    object: String,
    /// Settings of the pattern it came from, and its own.
    layers: Vec<Node>,
}

/// Plans a `load` step.
pub(crate) fn plan(
    frame: &StepFrame<'_>,
    context: &StepContext<'_>,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) -> Vec<Task> {
    let Some(verb) = frame.node.get("load") else {
        return Vec::new();
    };
    let Some(connection) = verb
        .text()
        .and_then(|name| connection::find(context.connections, name, verb.at, report))
    else {
        return Vec::new();
    };
    if !connection.has(Capability::Source) {
        report
            .error(
                "C0504",
                verb.at,
                format!("connection `{}` cannot be read", connection.plan.name),
            )
            .help(format!(
                "connector `{}` can only be written",
                connection.plan.kind
            ));
        return Vec::new();
    }
    let Some(schema) = schema(frame, context, report) else {
        return Vec::new();
    };
    let wanted = wanted(frame, connection, context, report);
    let of_step = settings::of_step(
        frame.node,
        keys::STEP.also.first().copied().unwrap_or(&keys::TABLE),
    );
    let defaults = context
        .root
        .get("defaults")
        .and_then(|node| node.get("load"));
    let mut tasks = Vec::new();
    for one in wanted {
        let object = one
            .layers
            .last()
            .and_then(|own| own.get_text("from"))
            .unwrap_or(&one.object)
            .to_owned();
        let of_connection = connection
            .tables
            .as_ref()
            .and_then(|tables| tables.get(&object).or_else(|| tables.get(&one.name)));
        let mut layers = vec![defaults, frame.pipeline_load, of_connection, Some(&of_step)];
        layers.extend(one.layers.iter().map(Some));
        let merged = settings::merge(one.at, &layers);
        let target = TableName::new(&schema, &one.name);
        settings::explain(&target.to_string(), &merged, report, explain);
        table::check_lookback(one.layers.last(), &merged, report);
        let own = frame
            .node
            .get("tables")
            .and_then(|tables| tables.get(&one.name));
        empty::took_nothing_away(own, &merged, report);
        tasks.extend(task(
            &one, target, object, &merged, connection, frame, context, report,
        ));
    }
    tasks
}

fn schema(frame: &StepFrame<'_>, context: &StepContext<'_>, report: &mut Report) -> Option<String> {
    let Some(into) = frame.node.get("into") else {
        report
            .error(
                "P0106",
                frame.at,
                format!(
                    "step `{}` has no `into`: the schema to load into",
                    frame.name
                ),
            )
            .help("into: raw   # the schema in the lakehouse");
        return None;
    };
    let schema = into.text()?;
    if !is_schema(schema) {
        report
            .error(
                "P0131",
                into.at,
                format!("`{schema}` cannot be the name of a schema"),
            )
            .help("letters, digits and `_`, starting with a letter");
        return None;
    }
    if context.connections.contains_key(schema) {
        report
            .error(
                "P0123",
                into.at,
                format!(
                    "`{schema}` is a connection, so it cannot be a schema of the lakehouse too"
                ),
            )
            .help("use a different name: `raw` is usual");
        return None;
    }
    Some(schema.to_owned())
}

/// The name of a table for an object, by the rule of `names`, if the result is a valid name.
fn table_word(short: &str, names: Naming) -> String {
    let name = names.apply(short);
    if is_name(&name) {
        name
    } else {
        Naming::Snake.apply(short)
    }
}

/// Reports a name that is not allowed in a task's id or on the command line.
pub(crate) fn check_word(noun: &str, name: &str, at: FileRange, report: &mut Report) {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(good) {
        report
            .error(
                "P0131",
                at,
                format!("`{name}` cannot be the name of a {noun}"),
            )
            .help("letters, digits, `_` and `-`");
    }
}

/// True for names of schemas; those that begin with `_` belong to Towpath.
pub(crate) fn is_schema(text: &str) -> bool {
    is_name(text) && !text.starts_with('_') && text != "information_schema"
}

/// True for a schema that a model or a seed may name in its config: the lakehouse keeps every name, but the
/// first dot of a table's name ends its schema, and a few schemas belong to Towpath and the engine.
pub(crate) fn is_named_schema(text: &str) -> bool {
    const TAKEN: [&str; 3] = ["_towpath", "_quarantine", "information_schema"];
    !text.is_empty() && !text.contains('.') && !TAKEN.contains(&text)
}

/// True for names that need no quotes anywhere.
pub(crate) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

fn wanted(
    frame: &StepFrame<'_>,
    connection: &Connection<'_>,
    context: &StepContext<'_>,
    report: &mut Report,
) -> Vec<TableDraft> {
    let name = &connection.plan.name;
    let objects = context.objects(name);
    let except: Vec<String> = frame
        .node
        .get("except")
        .map(Node::texts)
        .unwrap_or_default();
    check_except(frame, name, &objects, report);
    let Some(tables) = frame.node.get("tables") else {
        if objects.is_empty() {
            report
                .error(
                    "P0120",
                    frame.at,
                    format!(
                        "step `{}` names no tables, and no tables of `{name}` are known",
                        frame.name
                    ),
                )
                .help("tables: { orders: {} }")
                .help(format!(
                    "or discover the tables: towpath connection discover {name} --write"
                ));
        }
        return expand("*", None, frame.at, &objects, &except, frame, context);
    };
    let mut found: Vec<TableDraft> = Vec::new();
    for (key, entry) in tables.entries() {
        if !is_pattern(key) {
            exact(key, entry, &mut found, report);
            continue;
        }
        let expanded = expand(
            key,
            Some(entry),
            entry.key_at,
            &objects,
            &except,
            frame,
            context,
        );
        if expanded.is_empty() {
            let said = report.warning(
                "P0121",
                entry.key_at,
                format!("pattern `{key}` matches no known table of `{name}`"),
            );
            match objects.is_empty() {
                true => said.help(format!("tables of `{name}` are not known yet: towpath connection discover {name} --write")),
                false => said.help(format!("{name} has: {}", crate::suggest::listing(&objects.keys().copied().collect::<Vec<_>>()))),
            };
        }
        for one in expanded {
            match found.iter_mut().find(|other| other.name == one.name) {
                // An exact entry wins over a pattern, in any order.
                Some(other) => other.layers.splice(0..0, one.layers).for_each(drop),
                None => found.push(one),
            }
        }
    }
    found
}

/// Reports an entry of `except` that leaves out no table.
fn check_except(
    frame: &StepFrame<'_>,
    connection: &str,
    objects: &BTreeMap<&str, &TableFact>,
    report: &mut Report,
) {
    let Some(except) = frame.node.get("except") else {
        return;
    };
    let tables = frame.node.get("tables");
    let has_pattern = |tables: &Node| tables.entries().any(|(key, _)| is_pattern(key));
    if !tables.is_none_or(has_pattern) {
        report
            .error(
                "P0160",
                except.at.head(),
                "`except` has no effect: `tables` has no pattern",
            )
            .help("remove it: a step loads the tables that it names");
        return;
    }
    for item in except.items() {
        let Some(pattern) = item.text() else { continue };
        let hits = |object: &str| matches(pattern, object) || matches(pattern, short_name(object));
        if objects.is_empty() || objects.keys().any(|object| hits(object)) {
            continue;
        }
        let known: Vec<&str> = objects.keys().copied().collect();
        report
            .warning(
                "P0156",
                item.at,
                format!("`{pattern}` leaves out no table: none of `{connection}` has this name"),
            )
            .suggest(pattern, known, &format!("tables of `{connection}`"))
            .help("after a change of the system: towpath connection discover --write");
    }
}

fn exact(key: &str, entry: &Entry, found: &mut Vec<TableDraft>, report: &mut Report) {
    if !is_name(key) {
        let name = Naming::Snake.apply(short_name(key));
        let from = entry.value.get_text("from").unwrap_or(key);
        report
            .error(
                "P0131",
                entry.key_at,
                format!("`{key}` cannot be the name of a table"),
            )
            .help("letters, digits and `_`, not starting with a digit")
            .help(format!(
                "give the target table a valid name: {name}: {{ from: \"{from}\" }}"
            ));
        return;
    }
    let own = if entry.value.as_map().is_some() {
        entry.value.clone()
    } else {
        Node::map(entry.key_at, Map::new())
    };
    if let Some(other) = found.iter_mut().find(|other| other.name == key) {
        other.at = entry.key_at;
        other.layers.push(own);
        return;
    }
    found.push(TableDraft {
        name: key.to_owned(),
        at: entry.key_at,
        object: key.to_owned(),
        layers: vec![own],
    });
}

pub(crate) fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?'])
}

fn expand(
    pattern: &str,
    entry: Option<&Entry>,
    at: FileRange,
    objects: &BTreeMap<&str, &TableFact>,
    except: &[String],
    frame: &StepFrame<'_>,
    context: &StepContext<'_>,
) -> Vec<TableDraft> {
    let named = frame.node.get("tables");
    let taken = |object: &str| {
        named
            .into_iter()
            .flat_map(Node::entries)
            .any(|(_, entry)| entry.value.get_text("from") == Some(object))
    };
    let mut found = Vec::new();
    for object in objects.keys() {
        let short = short_name(object);
        let hit = |pattern: &str| matches(pattern, object) || matches(pattern, short);
        if !hit(pattern) || except.iter().any(|pattern| hit(pattern)) || taken(object) {
            continue;
        }
        let mut layers = Vec::new();
        layers.extend(
            entry
                .filter(|entry| entry.value.as_map().is_some())
                .map(|entry| entry.value.clone()),
        );
        found.push(TableDraft {
            name: table_word(short, context.names),
            at,
            object: (*object).to_owned(),
            layers,
        });
    }
    found
}

/// `public.orders` is `orders`, `in/orders.csv.gz` is `orders`.
pub(crate) fn short_name(object: &str) -> &str {
    let last = object.rsplit('/').next().unwrap_or(object);
    let is_file = [
        "csv", "tsv", "json", "jsonl", "ndjson", "xml", "parquet", "avro", "arrow", "arrows",
        "feather", "ipc", "xlsx", "xlsm", "gz", "zst",
    ]
    .iter()
    .any(|end| last.ends_with(&format!(".{end}")));
    if is_file || object.contains('/') {
        return last.split('.').next().unwrap_or(last);
    }
    last.rsplit('.').next().unwrap_or(last)
}

/// Whether a pattern with `*` and `?` matches a whole text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[allow(
    clippy::too_many_arguments,
    reason = "one table's parts, all of them needed once"
)]
fn task(
    one: &TableDraft,
    target: TableName,
    object: String,
    merged: &Node,
    connection: &Connection<'_>,
    frame: &StepFrame<'_>,
    context: &StepContext<'_>,
    report: &mut Report,
) -> Option<Task> {
    let query = merged.get("query");
    if let (Some(query), Some(from)) = (query, merged.get("from")) {
        let place = report.place(from.at);
        report
            .error(
                "P0132",
                query.at,
                format!("`{target}` has both `from` and `query`"),
            )
            .help(format!("`from` is at {place}: keep one of them"));
    }
    let selection = match query.and_then(Node::text) {
        Some(text) => Selection::Query(text.to_owned()),
        None => Selection::Object(object.clone()),
    };
    let known = match selection {
        Selection::Object(_) => context.known(connection, &object),
        Selection::Query(_) => None,
    };
    if let (Selection::Object(object), None) = (&selection, &known) {
        unknown_external_table(object, one.at, connection, context, report);
    }
    let place = match &selection {
        Selection::Object(_) => object,
        Selection::Query(_) => format!("query of {target}"),
    };
    let planned = table::plan(
        merged,
        &Frame {
            target: &target,
            object: format!("{}:{place}", connection.plan.name),
            known: known.as_ref(),
            names: context.names,
            mask_key: context.mask_key.as_ref(),
            needs_cursor: connection.spec.is_none_or(|spec| spec.needs_cursor),
            reads_text: reads_text(connection, merged, &place),
            at: one.at,
        },
        report,
    );
    if let Some((word, at)) = planned.later {
        not_active(word, at, report);
        return None;
    }
    can_read(connection, planned.read, merged, one.at, report);
    let options = options(merged, connection, OptionUse::Writes);
    if let Selection::Object(object) = &selection {
        seen_otherwise(
            object, &options, merged, one.at, connection, context, report,
        );
    }
    let discovered = known.as_ref().and_then(readable);
    let schema = planned
        .schema
        .clone()
        .or_else(|| context.lakehouse(&target).map(|fact| fact.schema.clone()));
    let mut task = frame.task(Some(&target), one.at);
    task.writes = vec![target];
    task.firm = planned.schema.is_some() && known.as_ref().is_none_or(columns::Known::is_firm);
    task.schema = schema;
    task.references = planned.references;
    task.action = Some(Action::Load(Box::new(LoadPlan {
        connection: connection.plan.clone(),
        selection,
        options,
        known: discovered,
        read: planned.read,
        cursor: planned.cursor,
        table: planned.plan,
    })));
    Some(task)
}

/// Whether the types of the source are found by reading its text.
fn reads_text(connection: &Connection<'_>, merged: &Node, object: &str) -> bool {
    const TYPED: [&str; 6] = ["parquet", "avro", "arrow", "arrows", "feather", "ipc"];
    let of_connection = connection.plan.text("format");
    let format = merged.get_text("format").or(of_connection);
    let is_typed = |word: &str| TYPED.contains(&word.to_ascii_lowercase().as_str());
    let ending = object.rsplit('.').next();
    connection.spec.is_some_and(|spec| spec.keeps_text) && !format.or(ending).is_some_and(is_typed)
}

/// The known schema with which the source is read: discovered, and with a type for every column.
fn readable(known: &columns::Known<'_>) -> Option<TableFact> {
    let fields = known.fact.schema.fields();
    let typed = fields.iter().all(|field| !field.data_type().is_null());
    (known.is_firm() && typed).then(|| known.fact.clone())
}

/// Connector options of one table, without those that have an effect in the `unused` case only.
pub(crate) fn options(
    merged: &Node,
    connection: &Connection<'_>,
    unused: OptionUse,
) -> BTreeMap<String, serde_json::Value> {
    let Some(spec) = connection.spec else {
        return BTreeMap::new();
    };
    let is_used = |option: &&OptionSpec| option.per_table && option.used_by != unused;
    let per_table = spec.options.iter().filter(is_used);
    per_table
        .filter_map(|option| {
            Some((
                option.name.clone(),
                connection::plain(merged.get(&option.name)?, &option.kind),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("ref_*", "ref_a"));
        assert!(matches("*", ""));
        assert!(matches("a?c*e", "abcde"));
        assert!(!matches("ref_*", "xref_a"));
        assert!(!matches("a?", "a"));
    }

    #[test]
    fn short_names() {
        assert_eq!(short_name("public.orders"), "orders");
        assert_eq!(short_name("in/orders.csv.gz"), "orders");
        assert_eq!(short_name("weather.csv"), "weather");
        assert_eq!(short_name("orders"), "orders");
    }
}
