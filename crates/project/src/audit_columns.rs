//! Which audit columns a table has: `audit_columns: [_loaded_at, _run]`.
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

/// The columns that the load itself adds, with `_deleted_at` if rows that are gone are marked; the known
/// columns of the table get them. `source` is what `_source` says.
pub(crate) fn read(
    settings: &Node,
    source: &str,
    deletes: Option<AbsentRows>,
    columns: &mut Columns,
    report: &mut Report,
) -> AuditColumns {
    let mut audit = AuditColumns {
        columns: Vec::new(),
        source: source.to_owned(),
    };
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
    if !audit.columns.is_empty() {
        columns.target = columns
            .target
            .take()
            .map(|schema| Arc::new(audit.added_to(&schema)));
    }
    audit
}
