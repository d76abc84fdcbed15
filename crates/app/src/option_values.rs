//! Judges the values of connector options before anything runs: an encoding that does not exist, a format that
//! reads no date.
//!
//! Promise: no system is contacted; the connector that would refuse a value in a run refuses it here, in the
//! same words. It knows no option. Read next: `ports/src/connector.rs`, `check_options`.

use std::collections::{BTreeMap, BTreeSet};

use towpath_ports::TableOptions;
use towpath_project::Setting;
use towpath_vocab::{
    Action, ConnectionPlan, Diagnostic, Failure, Plan, Selection, Span, TableName,
};

/// What connectors refuse of a plan. `explain` says where each setting stands, `files` are the project's.
pub(crate) fn refused_options(
    plan: &Plan,
    explain: &[Setting],
    files: &BTreeMap<String, String>,
) -> Vec<Diagnostic> {
    let connectors = towpath_connectors::connectors();
    let judge = |connection: &ConnectionPlan, table: &TableOptions<'_>| {
        let mut connectors = connectors.iter();
        let connector = connectors.find(|connector| connector.spec().kind == connection.kind);
        connector.map_or(Ok(()), |connector| {
            connector.check_options(connection, table)
        })
    };
    // An option of a connection is wrong once, not in each of its tables.
    let mut said = BTreeSet::new();
    let mut refused = Vec::new();
    let tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    for task in tasks {
        let (target, judged) = match &task.action {
            Action::Load(load) => {
                let object = match &load.selection {
                    Selection::Object(object) => Some(object.as_str()),
                    Selection::Query(_) => None,
                };
                let table = TableOptions {
                    object,
                    options: &load.options,
                    is_written: false,
                };
                (&load.table.target, judge(&load.connection, &table))
            }
            Action::Publish(publish) => {
                let table = TableOptions {
                    object: Some(&publish.object),
                    options: &publish.table.write.options,
                    is_written: true,
                };
                (&publish.table.target, judge(&publish.connection, &table))
            }
            _ => continue,
        };
        if let Err(failure) = judged
            && said.insert(failure.message.clone())
        {
            refused.push(diagnostic(target, failure, explain, files));
        }
    }
    refused
}

fn diagnostic(
    target: &TableName,
    failure: Failure,
    explain: &[Setting],
    files: &BTreeMap<String, String>,
) -> Diagnostic {
    let Failure {
        code,
        message,
        help,
        ..
    } = failure;
    let table = target.to_string();
    let own = explain
        .iter()
        .find(|setting| setting.table == table && message.contains(&format!("`{}`", setting.key)));
    let diagnostic = Diagnostic::error(&code, format!("`{table}`: {message}"));
    let diagnostic = match own.and_then(|setting| span(setting, files)) {
        Some(span) => diagnostic.at(span),
        None => diagnostic,
    };
    help.into_iter().fold(diagnostic, Diagnostic::help)
}

/// The key of a setting in its file.
fn span(setting: &Setting, files: &BTreeMap<String, String>) -> Option<Span> {
    let text = files.get(&setting.file)?;
    let before = text.split_inclusive('\n').take(setting.line - 1);
    let begin: usize = before.map(str::len).sum();
    let line = text.get(begin..)?.lines().next()?;
    let at = line.find(&format!("{}:", setting.key))?;
    let column = line.get(..at)?.chars().count() + 1;
    Some(Span {
        file: setting.file.clone(),
        start: begin + at,
        end: begin + at + setting.key.len(),
        line: setting.line,
        column,
    })
}
