//! Reads `checks:` of a table, and adds the checks that follow from its key.
//!
//! Promise: every check has a unique name in its table, values of the right type, and columns that exist,
//! as far as columns are known. It runs nothing. Relationships to tables that may not exist are returned
//! with their position: `graph.rs` knows all tables. Read next: `checks/kinds.rs`, which reads each kind.

use towpath_vocab::{Check, CheckKind, Severity, TableName, Tolerance, WriteMode};

use crate::report::{FileRange, Report};
use crate::value;
use crate::yaml::Node;
use kinds::{KindKey, Reading};

pub(crate) mod kinds;
mod table;

pub(crate) use table::{Reference, Table};

/// The checks of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    pub(crate) list: Vec<Check>,
    pub(crate) references: Vec<Reference>,
}

/// The key of a table.
#[derive(Clone, Copy)]
pub(crate) struct TableKey<'a> {
    pub(crate) columns: &'a [String],
    pub(crate) at: Option<FileRange>,
    /// It may come more than once.
    pub(crate) repeats: bool,
}

impl<'a> TableKey<'a> {
    /// A key by which a table is written in this mode.
    pub(crate) fn new(columns: &'a [String], at: Option<FileRange>, mode: WriteMode) -> Self {
        Self {
            columns,
            at,
            repeats: mode == WriteMode::DeleteInsert,
        }
    }
}

/// Reads `checks`, and adds those that follow from `key`.
pub(crate) fn read(
    node: Option<&Node>,
    key: TableKey<'_>,
    table: &Table<'_>,
    report: &mut Report,
) -> Checks {
    let mut checks = Checks::default();
    for item in node.map(Node::items).unwrap_or_default() {
        one(item, table, &mut checks, report);
    }
    for check in &mut checks.list {
        for column in check.kind.columns_mut() {
            *column = table.subject.own_name(column);
        }
    }
    implied(key, table, &mut checks, report);
    name_apart(&mut checks.list, report);
    checks
}

/// Adds the checks that follow from a key: it is unique unless it may repeat, and no part of it is NULL.
pub(crate) fn implied(
    key: TableKey<'_>,
    table: &Table<'_>,
    checks: &mut Checks,
    report: &mut Report,
) {
    let TableKey {
        columns: key,
        at,
        repeats,
    } = key;
    if key.is_empty() {
        return;
    }
    let span = at.map(|at| report.span(at));
    if let Some(at) = at {
        key.iter()
            .for_each(|column| table.column(column, at, report));
    }
    let mut add = |kind: CheckKind| {
        if !checks.list.iter().any(|check| stands_for(check, &kind)) {
            let name = name(&kind, table.name);
            let (severity, tolerance) = (Severity::Error, Tolerance::default());
            checks.list.push(Check {
                name,
                kind,
                severity,
                filter: None,
                tolerance,
                span: span.clone(),
            });
        }
    };
    if !repeats {
        add(CheckKind::Unique {
            columns: key.to_vec(),
        });
    }
    for column in key {
        add(CheckKind::NotNull {
            column: column.clone(),
        });
    }
}

/// True if a check requires of every row, as an error, what follows from a key. A check with a filter, with
/// severity `warn` or with a tolerance requires less.
fn stands_for(check: &Check, implied: &CheckKind) -> bool {
    let same = match (&check.kind, implied) {
        (CheckKind::Unique { columns: some }, CheckKind::Unique { columns: others }) => {
            some.len() == others.len() && some.iter().all(|column| others.contains(column))
        }
        (some, other) => some == other,
    };
    same && check.severity == Severity::Error
        && check.filter.is_none()
        && check.tolerance == Tolerance::default()
}

fn one(item: &Node, table: &Table<'_>, checks: &mut Checks, report: &mut Report) {
    let severity = match item.get_text("severity") {
        Some("warn") => Severity::Warn,
        _ => Severity::Error,
    };
    let filter = item
        .get("where")
        .and_then(|node| kinds::condition(node, table, report));
    let tolerance = item.get("tolerance").and_then(value::limit);
    let tolerance = tolerance
        .map(|t| Tolerance {
            rows: t.rows,
            percent: t.percent,
        })
        .unwrap_or_default();
    for (key, entry) in item.entries() {
        let Some(kind) = kinds::find(key) else {
            continue;
        };
        let mut reading = Reading {
            table,
            filter: filter.as_deref(),
            references: &mut checks.references,
            report,
        };
        let kinds = (kind.read)(&mut reading, entry);
        tolerates(kind, item, report);
        let many = kinds.len() > 1;
        for kind in kinds {
            let name = match item.get_text("name") {
                Some(name) if many => format!("{name}_{}", kind.columns().join("_")),
                Some(name) => name.to_owned(),
                None => name(&kind, table.name),
            };
            let span = Some(report.span(entry.key_at));
            checks.list.push(Check {
                name,
                kind,
                severity,
                filter: filter.clone(),
                tolerance,
                span,
            });
        }
    }
}

/// Reports a `tolerance` of a check that counts no rows.
fn tolerates(kind: &KindKey, item: &Node, report: &mut Report) {
    if let (Some(instead), Some(tolerance)) = (kind.no_tolerance, item.get("tolerance")) {
        let key = kind.key.name;
        let message = format!("`tolerance` has no effect on `{key}`: no single row can break it");
        report.error("P0160", tolerance.at, message).help(instead);
    }
}

/// A default name, in the style of dbt.
pub(crate) fn name(kind: &CheckKind, table: &TableName) -> String {
    let mut parts = vec![kind.code().to_owned(), table.table().to_owned()];
    parts.extend(kind.columns());
    parts.join("_")
}

/// Makes names unique in a table: an equal check is reported as a duplicate, different ones get a number.
pub(crate) fn name_apart(checks: &mut Vec<Check>, report: &mut Report) {
    let mut kept: Vec<Check> = Vec::with_capacity(checks.len());
    for mut check in std::mem::take(checks) {
        let same = |other: &&Check| {
            other.kind == check.kind
                && other.filter == check.filter
                && other.severity == check.severity
                && other.tolerance == check.tolerance
        };
        if kept.iter().find(same).is_some() {
            let mut diagnostic = towpath_vocab::Diagnostic::warning(
                "K0604",
                format!("check `{}` appears twice", check.name),
            );
            diagnostic.span = check.span.clone();
            report.say(diagnostic);
            continue;
        }
        let base = check.name.clone();
        let mut number = 2;
        while kept.iter().any(|other| other.name == check.name) {
            check.name = format!("{base}_{number}");
            number += 1;
        }
        kept.push(check);
    }
    *checks = kept;
}
