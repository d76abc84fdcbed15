//! `command` steps: a program with declared reads and writes.
//!
//! Promise: run-time substitutions stay in arguments; there is no shell. It does not run anything.

use std::collections::BTreeMap;

use towpath_vocab::passwords::{has_password, is_literal_password, password_arguments};
use towpath_vocab::{Action, CommandPlan, RowHistoryPlan, TableName};

use crate::context::StepContext;
use crate::load::{is_name, is_schema};
use crate::outside_table::{not_active, not_active_for_programs};
use crate::report::{FileRange, Report};
use crate::settings::{self, Setting};
use crate::step::{Node as Task, StepFrame};
use crate::table::{self, Frame};
use crate::yaml::{Map, Node, Value};

/// Plans a `command` step.
pub(crate) fn plan(
    frame: &StepFrame<'_>,
    context: &StepContext<'_>,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) -> Option<Task> {
    let verb = frame.node.get("command")?;
    let argv = verb.texts();
    if argv.is_empty() {
        report
            .error(
                "P0120",
                verb.at,
                format!("step `{}` does not name a program", frame.name),
            )
            .help("command: [python, score.py]");
        return None;
    }
    warn_of_passwords(frame, report);
    let mut task = frame.task(None, frame.at);
    for item in frame.node.get("reads").map(Node::items).unwrap_or_default() {
        task.reads.extend(
            item.text()
                .and_then(|text| table_name(text, item.at, report)),
        );
    }
    let mut writes = Vec::new();
    for (name, node, at) in written(frame.node) {
        let Some(target) = table_name(&name, at, report) else {
            continue;
        };
        settings::explain(&target.to_string(), &node, report, explain);
        let frame = Frame {
            target: &target,
            object: format!("{}:{target}", frame.name),
            known: None,
            names: context.names,
            mask_key: context.mask_key.as_ref(),
            needs_cursor: true,
            reads_text: true,
            at,
        };
        let planned = table::plan(&node, &frame, report);
        if let Some((word, at)) = planned.later {
            not_active(word, at, report);
        } else if RowHistoryPlan::of(&planned.plan.write).is_some() {
            let at = node.get("write").map_or(frame.at, |node| node.at);
            let word = node.get_text("write").unwrap_or_default();
            not_active_for_programs(word, at, report);
        }
        task.references.extend(planned.references);
        task.writes.push(target);
        writes.push(planned.plan);
    }
    task.action = Some(Action::Command(Box::new(CommandPlan {
        argv,
        directory: frame.node.get_text("directory").unwrap_or(".").to_owned(),
        env: environment(frame.node),
        reads: task.reads.clone(),
        writes,
    })));
    Some(task)
}

/// Warns about passwords in the file.
fn warn_of_passwords(frame: &StepFrame<'_>, report: &mut Report) {
    let argv = frame.node.get("command").map(|verb| verb.at);
    let has_one = |node: &Node| {
        let texts = node.texts();
        !password_arguments(&texts).is_empty() || texts.iter().any(|text| has_password(text))
    };
    let in_argv = argv.filter(|_| frame.node.get("command").is_some_and(has_one));
    let entries = frame.node.get("env").into_iter().flat_map(Node::entries);
    let in_env = entries.filter_map(|(name, entry)| {
        let text = entry.value.text()?;
        let whole = is_literal_password(name, text);
        (whole || has_password(text)).then_some(entry.value.at)
    });
    for at in in_argv.into_iter().chain(in_env) {
        let message = format!("a password of step `{}` is written in a file", frame.name);
        report
            .warning("C0509", at, message)
            .label("everyone who has the files can read this secret")
            .help("write ${secret:NAME} under `env` and set that variable");
    }
}

fn environment(node: &Node) -> BTreeMap<String, String> {
    let entries = node.get("env").into_iter().flat_map(Node::entries);
    entries
        .filter_map(|(name, entry)| Some((name.to_owned(), entry.value.text()?.to_owned())))
        .collect()
}

fn written(node: &Node) -> Vec<(String, Node, FileRange)> {
    let Some(writes) = node.get("writes") else {
        return Vec::new();
    };
    let empty = |at| Node::map(at, Map::new());
    match &writes.value {
        Value::Map(map) => map
            .iter()
            .map(|(name, entry)| {
                let node = if entry.value.as_map().is_some() {
                    entry.value.clone()
                } else {
                    empty(entry.key_at)
                };
                (name.clone(), node, entry.key_at)
            })
            .collect(),
        _ => writes
            .items()
            .iter()
            .filter_map(|item| Some((item.text()?.to_owned(), empty(item.at), item.at)))
            .collect(),
    }
}

/// Reads `schema.table`.
pub(crate) fn table_name(text: &str, at: FileRange, report: &mut Report) -> Option<TableName> {
    let parsed: Result<TableName, _> = text.parse();
    match parsed {
        Ok(name) if is_schema(name.schema()) && is_name(name.table()) => Some(name),
        _ => {
            report
                .error(
                    "P0131",
                    at,
                    format!("`{text}` is not of the form `schema.table`"),
                )
                .help("tables of the lakehouse have two parts of letters, digits and `_`: marts.customers");
            None
        }
    }
}
