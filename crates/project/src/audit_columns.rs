//! Which columns a load adds: `audit_columns: [_loaded_at, _run]`, `surrogate_key: customer_sk`.
//!
//! Promise: each name is obeyed, and one that the source has too is named in a diagnostic. It does not know how
//! values are made (`flow/src/audit_columns.rs`). Read next: `table.rs`, which puts them into its `write`.

use std::sync::Arc;

use towpath_vocab::{AbsentRows, AuditColumn, AuditColumns};

use crate::columns::Columns;
use crate::report::Report;
use crate::yaml::Node;

/// Words for `audit_columns`.
pub(crate) const WORDS: &[&str] = &["_loaded_at", "_run", "_source", "_row_hash"];

/// The columns that the load itself adds to a table with this key, with `_deleted_at` if rows that are gone are
/// marked; the known columns of the table get them. `source` is what `_source`
/// says, `previous` names the columns whose value before is kept.
pub(crate) fn read(
    settings: &Node,
    (source, key, previous): (&str, &[String], Vec<String>),
    deletes: Option<AbsentRows>,
    columns: &mut Columns,
    report: &mut Report,
) -> AuditColumns {
    let mut audit = AuditColumns {
        columns: Vec::new(),
        source: source.to_owned(),
        surrogate_key: None,
        previous,
    };
    surrogate_key(settings, key, columns, &mut audit, report);
    let asked = settings.get("audit_columns").map(Node::items);
    let asked = asked.unwrap_or_default().iter();
    let asked = asked.filter_map(|node| Some((node, AuditColumn::of_name(node.text()?)?)));
    let marks = matches!(deletes, Some(AbsentRows::Mark { .. }));
    let deleted = settings
        .get("deletes")
        .filter(|_| marks)
        .map(|node| (node, AuditColumn::DeletedAt));
    for (node, column) in asked.chain(deleted) {
        let name = column.name();
        let is_known = columns.target.as_ref().is_some_and(|schema| {
            let mut fields = schema.fields().iter();
            fields.any(|field| field.name().eq_ignore_ascii_case(name))
        });
        if is_known {
            report
                .error(
                    "P0143",
                    node.at,
                    format!("the source has a column `{name}`, which the load adds itself"),
                )
                .help(format!("leave it out (drop: [{name}]), or rename it: columns: {{ source{name}: {{ from: {name} }} }}"));
        } else if !audit.columns.contains(&column) {
            audit.columns.push(column);
        }
    }
    if !audit.is_empty() {
        columns.target = columns
            .target
            .take()
            .map(|schema| Arc::new(audit.added_to(&schema)));
    }
    audit
}

/// The column of a surrogate key.
fn surrogate_key(
    settings: &Node,
    key: &[String],
    columns: &Columns,
    audit: &mut AuditColumns,
    report: &mut Report,
) {
    let Some(node) = settings.get("surrogate_key") else {
        return;
    };
    let name = node.text().unwrap_or_default();
    let is_known = columns.target.as_ref().is_some_and(|schema| {
        let mut fields = schema.fields().iter();
        fields.any(|field| field.name().eq_ignore_ascii_case(name))
    });
    let is_audit = AuditColumn::of_name(name).is_some();
    if key.is_empty() {
        report
            .error(
                "P0124",
                node.at,
                "a `surrogate_key` is made of the `key`, and there is none",
            )
            .help("key: the columns that identify a row, such as order_id");
    } else if is_known || is_audit {
        report
            .error(
                "P0143",
                node.at,
                format!("the table has a column `{name}` already, which `surrogate_key` would add"),
            )
            .help("give it a name of its own: surrogate_key: customer_sk");
    } else if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        report
            .error(
                "P0131",
                node.at,
                format!("`{name}` cannot be the name of a column"),
            )
            .help("letters, digits and `_`");
    } else {
        audit.surrogate_key = Some(name.to_owned());
    }
}
