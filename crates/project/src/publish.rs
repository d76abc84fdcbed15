//! `publish` steps: lakehouse tables that are sent to an external system.
//!
//! Promise: a publish to a connection without `writable: true` is planned, and a diagnostic says that it
//! will be skipped. It does not know which tables exist; `graph.rs` checks what is read.

use std::collections::{BTreeMap, BTreeSet};

use towpath_vocab::{
    Action, BadRows, Capability, ConnectorSpec, Guarantee, Naming, ObjectKind, OptionUse,
    PublishPlan, SchemaChange, TableLineage, TableName, TablePlan, WriteMode, WritePlan,
};

use crate::checks::{self, Reference, TableKey};
use crate::connection::{self, Connection};
use crate::context::StepContext;
use crate::load::{self, is_pattern};
use crate::report::{FileRange, Report};
use crate::rules::Subject;
use crate::settings::{self, Setting};
use crate::sqltext;
use crate::step::{Node as Task, StepFrame};
use crate::table::{word, write_word};
use crate::value;
use crate::yaml::{Entry, Map, Node};

/// Plans a `publish` step.
pub(crate) fn plan(
    frame: &StepFrame<'_>,
    context: &StepContext<'_>,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) -> Vec<Task> {
    let Some((verb, schema)) = frame
        .node
        .get("publish")
        .and_then(|node| Some((node, node.text()?)))
    else {
        return Vec::new();
    };
    let Some(connection) = target(frame, context, report) else {
        return Vec::new();
    };
    if context.connections.contains_key(schema) {
        report
            .error(
                "P0123",
                verb.at,
                format!("`{schema}` is a connection; `publish` names a schema of the lakehouse"),
            )
            .help("publish: marts, into: CONNECTION; between external systems it is a `copy`");
        return Vec::new();
    }
    if !connection.plan.writable {
        let name = &connection.plan.name;
        report
            .note(
                "C0506",
                frame.node.get("into").map_or(frame.at, |node| node.at),
                format!(
                    "`{name}` is read-only here: step `{}` will be skipped",
                    frame.name
                ),
            )
            .help(
                "set `writable: true` on the connection, in the environment that may write there",
            );
    }
    let Some(tables) = frame
        .node
        .get("tables")
        .filter(|tables| tables.entries().next().is_some())
    else {
        report
            .error(
                "P0120",
                frame.at,
                format!("step `{}` names no tables to publish", frame.name),
            )
            .help("tables: { customer_scores: { key: customer_id } }");
        return Vec::new();
    };
    let exact = tables.entries().filter(|(name, _)| !is_pattern(name));
    exact
        .map(|(name, entry)| {
            refuse_checks(&entry.value, connection, report);
            refuse_unused(&entry.value, connection, report);
            let publish = Publish {
                name,
                entry,
                key: &[],
            };
            task(&publish, schema, connection, frame, explain, report)
        })
        .collect()
}

/// A table of the lakehouse that a step writes, and its key.
pub(crate) type Written = BTreeMap<TableName, Vec<String>>;

/// Plans the patterns of a `publish` step: a task for each table of the lakehouse that a step writes, that a pattern
/// matches and that has no entry of its own.
pub(crate) fn plan_patterns(
    frame: &StepFrame<'_>,
    context: &StepContext<'_>,
    written: &Written,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) -> Vec<Task> {
    let text = |key| frame.node.get(key).and_then(Node::text);
    let (Some(schema), Some(tables)) = (text("publish"), frame.node.get("tables")) else {
        return Vec::new();
    };
    let Some(connection) = text("into").and_then(|into| context.connections.get(into)) else {
        return Vec::new();
    };
    if !connection.has(Capability::Destination) {
        return Vec::new();
    }
    let except = frame
        .node
        .get("except")
        .map(Node::texts)
        .unwrap_or_default();
    let mut taken: BTreeSet<TableName> = tables
        .entries()
        .filter(|(name, _)| !is_pattern(name))
        .map(|(name, entry)| source(name, &entry.value, schema))
        .collect();
    let mut tasks = Vec::new();
    for (pattern, entry) in tables.entries().filter(|(name, _)| is_pattern(name)) {
        if let Some(from) = entry.value.get("from") {
            report
                .error(
                    "P0131",
                    from.at,
                    "a pattern stands for several tables: it has no `from`",
                )
                .help("remove `from`, or give the table an entry of its own");
            continue;
        }
        refuse_checks(&entry.value, connection, report);
        refuse_unused(&entry.value, connection, report);
        let before = tasks.len();
        for (table, key) in written.iter().filter(|(table, _)| table.schema() == schema) {
            let hit = |pattern: &str| load::matches(pattern, table.table());
            if !hit(pattern)
                || except.iter().any(|pattern| hit(pattern))
                || !taken.insert(table.clone())
            {
                continue;
            }
            let publish = Publish {
                name: table.table(),
                entry,
                key,
            };
            tasks.push(task(&publish, schema, connection, frame, explain, report));
        }
        if tasks.len() == before {
            let names: Vec<&str> = written
                .keys()
                .filter(|table| table.schema() == schema)
                .map(TableName::table)
                .collect();
            report
                .warning(
                    "P0121",
                    entry.key_at,
                    format!("pattern `{pattern}` matches no table of `{schema}` that a step writes and that has no entry of its own"),
                )
                .help(format!("{schema} has: {}", crate::suggest::listing(&names)));
        }
    }
    tasks
}

fn target<'w>(
    frame: &StepFrame<'_>,
    context: &'w StepContext<'_>,
    report: &mut Report,
) -> Option<&'w Connection<'w>> {
    let Some(into) = frame.node.get("into") else {
        report
            .error(
                "P0106",
                frame.at,
                format!(
                    "step `{}` has no `into`: the connection to publish to",
                    frame.name
                ),
            )
            .help(format!(
                "into: CONNECTION   # one of {}",
                context
                    .connections
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        return None;
    };
    let connection = connection::find(context.connections, into.text()?, into.at, report)?;
    if !connection.has(Capability::Destination) {
        report
            .error(
                "C0504",
                into.at,
                format!("connection `{}` cannot be written", connection.plan.name),
            )
            .help(format!(
                "connector `{}` can only be read",
                connection.plan.kind
            ));
        return None;
    }
    Some(connection)
}

/// One table of a step.
struct Publish<'a> {
    name: &'a str,
    entry: &'a Entry,
    /// The key of a table that a pattern matches, where its entry has none.
    key: &'a [String],
}

/// The table of the lakehouse that an entry sends.
fn source(object: &str, node: &Node, schema: &str) -> TableName {
    match node.get_text("from") {
        Some(full) if full.contains('.') => full
            .parse()
            .unwrap_or_else(|_| TableName::new(schema, full)),
        Some(short) => TableName::new(schema, short),
        None => TableName::new(schema, object),
    }
}

fn task(
    publish: &Publish<'_>,
    schema: &str,
    connection: &Connection<'_>,
    frame: &StepFrame<'_>,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) -> Task {
    let Publish {
        name: object,
        entry,
        ..
    } = *publish;
    let empty = Node::map(entry.key_at, Map::new());
    let node = if entry.value.as_map().is_some() {
        &entry.value
    } else {
        &empty
    };
    let target = TableName::new(&connection.plan.name, object);
    settings::explain(&target.to_string(), node, report, explain);
    let from = source(object, node, schema);
    let key = match (node.get("key"), node.get_text("write")) {
        (Some(key), _) => key.texts(),
        (None, Some("replace" | "append")) => Vec::new(),
        (None, _) => publish.key.to_vec(),
    };
    let mode = mode(node, &key, connection, entry.key_at, report);
    check_where(node, mode, report);
    let table = checks::Table {
        name: &target,
        subject: Subject {
            schema: None,
            firm: true,
            loaded: None,
        },
        origin: "",
    };
    let key_at = node.get("key").map(|node| node.at);
    let takes_rows = takes_rows(connection);
    let checks = match takes_rows {
        // Its rows cannot be looked at before they are taken; that a key is unique, the writer sees.
        true => checks::read(None, TableKey::new(&[], None, mode), &table, report),
        false => {
            let table_key = TableKey::new(&key, key_at, mode);
            checks::read(node.get("checks"), table_key, &table, report)
        }
    };
    let mut task = frame.task(Some(&target), entry.key_at);
    task.reads = vec![from.clone()];
    task.references = checks.references;
    task.references.extend(columns_said(node, &from));
    let table = TablePlan {
        target: target.clone(),
        write: WritePlan {
            mode,
            key,
            schema_change: schema_change(node, mode, connection, report),
            options: load::options(node, connection, OptionUse::Reads),
        },
        filter: node.get_text("where").map(str::to_owned),
        columns: Vec::new(),
        names: Naming::Exact,
        keep: node.get("keep").map(Node::texts).unwrap_or_default(),
        drop: node.get("drop").map(Node::texts).unwrap_or_default(),
        dedup: None,
        rules: Vec::new(),
        checks: checks.list,
        bad_rows: match takes_rows && node.get_text("bad_rows") != Some("fail") {
            true => BadRows::Quarantine,
            false => BadRows::Fail,
        },
        fail_above: node
            .get("fail_above")
            .and_then(value::limit)
            .unwrap_or_default(),
        lineage: TableLineage {
            inputs: vec![from.to_string()],
            edges: Vec::new(),
            partial: true,
        },
    };
    let connection = connection.plan.clone();
    task.action = Some(Action::Publish(Box::new(PublishPlan {
        from,
        connection,
        object: object.to_owned(),
        table,
    })));
    task
}

/// Refuses checks of a table that may get rows twice: nobody can tell what it will hold.
fn refuse_checks(node: &Node, connection: &Connection<'_>, report: &mut Report) {
    let is_repeated = |spec: &&ConnectorSpec| spec.guarantee == Guarantee::AtLeastOnce;
    let (Some(said), Some(spec)) = (node.get("checks"), connection.spec.filter(is_repeated)) else {
        return;
    };
    let message = format!(
        "a table in a connection of type `{}` cannot be checked: nobody can look at what it holds",
        spec.kind
    );
    report
        .error("C0521", said.at, message)
        .help("put the checks on the table of the lakehouse that is published");
}

/// True for a system that takes or refuses each row.
fn takes_rows(connection: &Connection<'_>) -> bool {
    let spec = connection.spec;
    spec.is_some_and(|spec| spec.objects == ObjectKind::Endpoints)
}

/// Refuses settings of refused rows where the system takes all rows or none, and of columns where nobody
/// knows those of the system.
fn refuse_unused(node: &Node, connection: &Connection<'_>, report: &mut Report) {
    if takes_rows(connection) {
        let said = node.get("schema_change");
        if let Some(said) = said.filter(|said| said.text() == Some("freeze")) {
            let name = &connection.plan.name;
            let message = format!(
                "`schema_change` has no effect on a publish to `{name}`: nobody can ask an API which columns it takes"
            );
            report
                .error("P0160", said.at, message)
                .help("name the columns that are sent: keep: [id, …]");
        }
        return;
    }
    for key in ["bad_rows", "fail_above"] {
        let Some(said) = node.get(key).filter(|said| !said.is_null()) else {
            continue;
        };
        let message = format!(
            "`{key}` has no effect on a publish to `{}`, which takes all rows or none",
            connection.plan.name
        );
        report
            .error("P0160", said.at, message)
            .help("remove it; rules on the columns of a load set bad rows aside");
    }
}

/// What the target does with columns that it does not have.
fn schema_change(
    node: &Node,
    mode: WriteMode,
    connection: &Connection<'_>,
    report: &mut Report,
) -> SchemaChange {
    let Some(said) = node
        .get("schema_change")
        .filter(|said| said.text() == Some("freeze"))
    else {
        return SchemaChange::Evolve;
    };
    let is_file = connection
        .spec
        .is_some_and(|spec| spec.objects == ObjectKind::Files);
    if is_file && mode == WriteMode::Replace {
        report
            .error(
                "P0144",
                said.at,
                "a file that is replaced has no columns that could stay as they are",
            )
            .help("add to it (write: append), or remove `schema_change`");
    }
    SchemaChange::Fail
}

/// Checks the syntax of a `where`. Refuses one that gives other rows at another time, unless the mode also
/// sends what that changes: a replacement sends all rows, and a merge knows the moment of the rows that it
/// sent.
fn check_where(node: &Node, mode: WriteMode, report: &mut Report) {
    let Some((filter, text)) = node
        .get("where")
        .and_then(|node| Some((node, node.text()?)))
    else {
        return;
    };
    sqltext::syntax(text, filter.at, report);
    let asked = towpath_sql::changing_in_expression(text);
    // Whether each call of the clock has a value does not depend on the moment.
    if asked.iter().any(|name| towpath_sql::asks_clock(name))
        && let Err(problem) = towpath_sql::at_moment(text, 0)
        && problem.code != "M0305"
    {
        sqltext::say(&problem, text, filter.at, true, report);
    }
    let is_chance = |name: &String| !towpath_sql::asks_clock(name);
    let refused: Vec<String> = match mode {
        WriteMode::Replace => Vec::new(),
        WriteMode::Merge => asked.into_iter().filter(is_chance).collect(),
        _ => asked.into_iter().collect(),
    };
    if refused.is_empty() {
        return;
    }
    let names = refused.join("`, `");
    let by_key = "give the table a `key` and leave out `write`: rows that come into the window are then sent, and those that leave it are deleted; or `write: replace`";
    let (why, way_out) = match mode {
        WriteMode::Merge => (
            "a publish by key must know which rows it sent".to_owned(),
            "choose the rows in a model (`materialized: table`) and publish that; or `write: replace`",
        ),
        WriteMode::Append => (
            "`append` would send rows again, or never".to_owned(),
            by_key,
        ),
        mode => (
            format!("`{}` never deletes those that it gave before", word(mode)),
            by_key,
        ),
    };
    let message = format!("this `where` gives other rows at another time (`{names}`), and {why}");
    report.error("P0139", filter.at, message).help(way_out);
}

/// The columns that the published table must have.
fn columns_said(node: &Node, from: &TableName) -> Vec<Reference> {
    let named = ["key", "keep", "drop"]
        .into_iter()
        .filter_map(|key| node.get(key));
    named
        .flat_map(Node::items)
        .filter_map(|item| {
            Some(Reference {
                table: from.clone(),
                field: item.text()?.to_owned(),
                at: item.at,
            })
        })
        .collect()
}

fn mode(
    node: &Node,
    key: &[String],
    connection: &Connection<'_>,
    at: FileRange,
    report: &mut Report,
) -> WriteMode {
    let written = node.get("write");
    let default = if key.is_empty() {
        WriteMode::Replace
    } else {
        WriteMode::Merge
    };
    let mode = written
        .and_then(Node::text)
        .and_then(write_word)
        .unwrap_or(default);
    let at = written
        .or_else(|| node.get("key"))
        .map_or(at, |node| node.at);
    if matches!(
        mode,
        WriteMode::Merge | WriteMode::DeleteInsert | WriteMode::InsertOnly
    ) && key.is_empty()
    {
        report
            .error(
                "P0124",
                at,
                format!("a publish by `{}` needs a `key`", word(mode)),
            )
            .help("key: the columns that identify a row");
    }
    if let Some(spec) = connection.spec.filter(|spec| !spec.writes.contains(&mode)) {
        let can: Vec<&str> = spec.writes.iter().map(|mode| word(*mode)).collect();
        report
            .error(
                "C0505",
                at,
                format!(
                    "connection `{}` cannot be written by `{}`",
                    connection.plan.name,
                    word(mode)
                ),
            )
            .help(format!("connector `{}` can: {}", spec.kind, can.join(", ")));
    }
    mode
}
