//! Reads `checks:` of a table, and adds the checks that follow from its key.
//!
//! Promise: every check has a unique name in its table, values of the right type, and columns that exist,
//! as far as columns are known. It runs nothing. Relationships to tables that may not exist are returned
//! with their position: `graph.rs` knows all tables.

use towpath_vocab::{Check, CheckKind, Severity, TableName, Tolerance};

use crate::report::{FileRange, Report};
use crate::rules::{self, Subject};
use crate::sqltext;
use crate::value;
use crate::yaml::{Entry, Node};

/// A column of another table that a check refers to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) table: TableName,
    pub(crate) field: String,
    pub(crate) at: FileRange,
}

/// The checks of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    pub(crate) list: Vec<Check>,
    pub(crate) references: Vec<Reference>,
}

/// The table of a check.
pub(crate) struct Table<'a> {
    pub(crate) name: &'a TableName,
    pub(crate) subject: Subject<'a>,
    /// The origin of the known columns, for messages.
    pub(crate) origin: &'a str,
}

impl Table<'_> {
    /// Reports a column that does not exist.
    pub(crate) fn column(&self, column: &str, at: FileRange, report: &mut Report) {
        let Some(schema) = self.subject.schema else {
            return;
        };
        if crate::columns::find(schema, &self.subject.own_name(column)).is_some() {
            return;
        }
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let message = format!("`{}` has no column `{column}`", self.name);
        let said = if self.subject.firm {
            report.error("T0402", at, message)
        } else {
            report.warning("T0402", at, message)
        };
        said.suggest(column, names.iter().copied(), "there is")
            .help(format!(
                "{} has: {}  ({})",
                self.name,
                crate::suggest::listing(&names),
                self.origin
            ));
    }
}

/// Reads `checks`, and adds those that follow from `key`.
pub(crate) fn read(
    node: Option<&Node>,
    key: &[String],
    key_at: Option<FileRange>,
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
    implied(key, key_at, table, &mut checks, report);
    name_apart(&mut checks.list, report);
    checks
}

/// Adds the checks that follow from a key: it is unique, and no part of it is NULL.
pub(crate) fn implied(
    key: &[String],
    at: Option<FileRange>,
    table: &Table<'_>,
    checks: &mut Checks,
    report: &mut Report,
) {
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
    add(CheckKind::Unique {
        columns: key.to_vec(),
    });
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
        .and_then(|node| condition(node, table, report));
    let tolerance = item.get("tolerance").and_then(value::limit);
    let tolerance = tolerance
        .map(|t| Tolerance {
            rows: t.rows,
            percent: t.percent,
        })
        .unwrap_or_default();
    for (key, entry) in item
        .entries()
        .filter(|(key, _)| crate::keys::CHECK_KINDS.contains(key))
    {
        let kinds = kinds(key, entry, table, &mut checks.references, report);
        if let ("sql", Some(filter), Some(text)) = (key, &filter, entry.value.text()) {
            narrowed(text, filter, entry.value.at, report);
        }
        counts_no_rows(key, item, report);
        let many = kinds.len() > 1;
        for kind in kinds {
            let name = match item.get_text("name") {
                Some(name) if many => format!("{name}_{}", columns_of(&kind).join("_")),
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
fn counts_no_rows(key: &str, item: &Node, report: &mut Report) {
    if let ("row_count" | "freshness", Some(tolerance)) = (key, item.get("tolerance")) {
        let message = format!("`tolerance` has no effect on `{key}`: no single row can break it");
        report
            .error("P0160", tolerance.at, message)
            .help(match key {
                "row_count" => {
                    "remove it, and write a wider range: row_count: { min: 95, max: 105 }"
                }
                _ => "remove it, and allow a greater age",
            });
    }
}

/// Reports a `where` that cannot be applied: it filters `{table}`, so the query must contain `{table}`, and
/// not as the name before a column.
fn narrowed(query: &str, filter: &str, at: FileRange, report: &mut Report) {
    if !query.contains("{table}") {
        report
            .error(
                "K0605",
                at,
                "`where` filters `{table}`, which this query does not use",
            )
            .help(format!(
                "write the condition into the query: where {filter}"
            ))
            .help("or use `{table}` in the query in place of the table's name");
    } else if query.contains("{table}.") {
        report
            .error(
                "K0605",
                at,
                "with `where`, `{table}` cannot be written before a column",
            )
            .help("give it an alias: from {table} as t, then t.column");
    }
}

fn condition(node: &Node, table: &Table<'_>, report: &mut Report) -> Option<String> {
    let text = node.text()?;
    match table.subject.schema {
        Some(schema) => sqltext::condition(text, node.at, schema, table.subject.firm, report),
        None => sqltext::syntax(text, node.at, report),
    }
    Some(text.to_owned())
}

fn kinds(
    key: &str,
    entry: &Entry,
    table: &Table<'_>,
    references: &mut Vec<Reference>,
    report: &mut Report,
) -> Vec<CheckKind> {
    let node = &entry.value;
    match key {
        "not_null" | "unique" => {
            for item in node.items() {
                item.text()
                    .into_iter()
                    .for_each(|column| table.column(column, item.at, report));
            }
            match key {
                "unique" => vec![CheckKind::Unique {
                    columns: node.texts(),
                }],
                _ => node
                    .texts()
                    .into_iter()
                    .map(|column| CheckKind::NotNull { column })
                    .collect(),
            }
        }
        "row_count" => {
            let bound = |key: &str| node.get_text(key).and_then(|text| text.parse().ok());
            let (min, max) = (bound("min"), bound("max"));
            if let (Some(min), Some(max)) = (min, max) {
                let unsigned = arrow_schema::DataType::UInt64;
                rules::order(
                    &format!("{min}"),
                    &format!("{max}"),
                    Some(&unsigned),
                    node.at,
                    report,
                );
            }
            if min.is_none() && max.is_none() && node.as_map().is_some() {
                report
                    .error("K0601", entry.key_at, "`row_count` has no bound")
                    .help("write row_count: { min: 1 }");
            }
            vec![CheckKind::RowCount { min, max }]
        }
        "expression" => condition(node, table, report)
            .map(|expression| CheckKind::Expression { expression })
            .into_iter()
            .collect(),
        "sql" => {
            let Some(text) = node.text() else {
                return Vec::new();
            };
            sqltext::query(text, node.at, table.name, report);
            vec![CheckKind::Sql {
                query: text.to_owned(),
            }]
        }
        _ => node
            .entries()
            .filter_map(|(column, inner)| of_column(key, column, inner, table, references, report))
            .collect(),
    }
}

fn of_column(
    key: &str,
    column: &str,
    entry: &Entry,
    table: &Table<'_>,
    references: &mut Vec<Reference>,
    report: &mut Report,
) -> Option<CheckKind> {
    table.column(column, entry.key_at, report);
    let node = &entry.value;
    let data_type = table.subject.data_type(column);
    let column = column.to_owned();
    Some(match key {
        "accepted_values" => {
            for item in node.items() {
                item.text().into_iter().for_each(|text| {
                    rules::reads(&column, text, item.at, data_type.as_ref(), report);
                });
            }
            CheckKind::AcceptedValues {
                column,
                values: node.texts(),
            }
        }
        "pattern" => {
            let pattern = rules::pattern(&column, node, data_type.as_ref(), report)?;
            CheckKind::Pattern { column, pattern }
        }
        "range" => {
            let mut bound = |key: &str| {
                let node = node.get(key)?;
                let text = node.text()?;
                rules::reads(&column, text, node.at, data_type.as_ref(), report)
                    .then(|| text.to_owned())
            };
            let (min, max) = (bound("min"), bound("max"));
            if let (Some(min), Some(max)) = (&min, &max) {
                rules::order(min, max, data_type.as_ref(), node.at, report);
            }
            CheckKind::Range { column, min, max }
        }
        "freshness" => {
            is_a_time(&column, entry, data_type.as_ref(), report)?;
            CheckKind::Freshness {
                column,
                max_age_s: value::duration_ms(node.text()?)? / 1000,
            }
        }
        _ => {
            let (to, field) = relationship(node, report)?;
            let at = field_place(node, &field);
            references.push(Reference {
                table: to.clone(),
                field: field.clone(),
                at,
            });
            CheckKind::Relationships { column, to, field }
        }
    })
}

/// Reports a column without times; `None` then.
fn is_a_time(
    column: &str,
    entry: &Entry,
    data_type: Option<&arrow_schema::DataType>,
    report: &mut Report,
) -> Option<()> {
    use arrow_schema::DataType::{Date32, Date64, Timestamp};
    match data_type {
        None | Some(Date32 | Date64 | Timestamp(..)) => Some(()),
        Some(other) => {
            let name = towpath_vocab::types::name(other);
            let message =
                format!("`freshness` needs a date or timestamp, but column `{column}` is {name}");
            report
                .error("T0406", entry.key_at, message)
                .help("use a column with times, or give this one `type: timestamp`");
            None
        }
    }
}

fn relationship(node: &Node, report: &mut Report) -> Option<(TableName, String)> {
    let text = node.text()?;
    let parts: Vec<&str> = text.split('.').collect();
    if let [schema, table, field] = parts.as_slice()
        && parts.iter().all(|part| !part.is_empty())
    {
        return Some((TableName::new(*schema, *table), (*field).to_owned()));
    }
    report
        .error(
            "K0601",
            node.at,
            format!("`{text}` is not of the form `schema.table.column`"),
        )
        .help("write relationships: { country: raw.countries.code }");
    None
}

/// The last part of `schema.table.column`.
fn field_place(node: &Node, field: &str) -> FileRange {
    let text = node.text().unwrap_or_default();
    node.at
        .inside(text, text.len().saturating_sub(field.len()), text.len())
}

/// A default name, in the style of dbt.
pub(crate) fn name(kind: &CheckKind, table: &TableName) -> String {
    let columns = columns_of(kind);
    let mut parts = vec![kind.code().to_owned(), table.table().to_owned()];
    parts.extend(columns);
    parts.join("_")
}

fn columns_of(kind: &CheckKind) -> Vec<String> {
    match kind {
        CheckKind::Unique { columns } => columns.clone(),
        CheckKind::NotNull { column }
        | CheckKind::AcceptedValues { column, .. }
        | CheckKind::Pattern { column, .. }
        | CheckKind::Range { column, .. }
        | CheckKind::Relationships { column, .. }
        | CheckKind::Freshness { column, .. } => vec![column.clone()],
        CheckKind::RowCount { .. } | CheckKind::Expression { .. } | CheckKind::Sql { .. } => {
            Vec::new()
        }
    }
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
