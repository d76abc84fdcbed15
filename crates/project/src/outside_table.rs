//! Diagnostics about the external table of a load: it is unknown, has changed, or cannot be read in this
//! mode.
//!
//! Promise: nothing here changes the plan; each function reports at most one mistake, at its position. It
//! contacts no system. Read next: `load.rs`.

use std::collections::BTreeMap;

use towpath_vocab::ReadMode;

use crate::connection::Connection;
use crate::context::StepContext;
use crate::load::{is_pattern, short_name};
use crate::report::{FileRange, Report};
use crate::yaml::Node;

/// Reports a mode of reading or writing that this version does not support.
pub(crate) fn not_active(word: &str, at: FileRange, report: &mut Report) {
    let said = report.error(
        "P0115",
        at,
        format!("`{word}` is not supported in this version"),
    );
    said.help("with a `cursor` only changed rows are read: mode: incremental");
}

/// Reports that tables of a program cannot keep a history in this version.
pub(crate) fn not_active_for_programs(word: &str, at: FileRange, report: &mut Report) {
    let message =
        format!("`write: {word}` is not supported for tables of a program in this version");
    report
        .error("P0115", at, message)
        .help("supported are: replace, append, merge, delete+insert, insert_only");
}

/// Reports an object that was not discovered, if a discovered one has a similar name.
pub(crate) fn unknown_external_table(
    object: &str,
    at: FileRange,
    connection: &Connection<'_>,
    context: &StepContext<'_>,
    report: &mut Report,
) {
    if is_pattern(object) {
        // A glob names files, and not one of them.
        return;
    }
    let name = &connection.plan.name;
    let Some(tables) = context
        .discovered
        .get(name)
        .filter(|tables| !tables.contains_key(object))
    else {
        return;
    };
    let known = tables
        .keys()
        .flat_map(|table| [table.as_str(), short_name(table)]);
    if let Some(near) = crate::suggest::nearest(object, known) {
        report
            .warning("C0510", at, format!("`{object}` is not a known table of `{name}`"))
            .label(format!("did you mean `{near}`?"))
            .help(format!("the known tables are in schemas/{name}.yml; for a new table: towpath connection discover {name} --write"));
    }
}

/// Reports that the types in `schemas/` were discovered with other options than those of the load.
pub(crate) fn seen_otherwise(
    object: &str,
    options: &BTreeMap<String, serde_json::Value>,
    merged: &Node,
    at: FileRange,
    connection: &Connection<'_>,
    context: &StepContext<'_>,
    report: &mut Report,
) {
    let name = &connection.plan.name;
    let Some(seen) = context.seen_with(name, object) else {
        return;
    };
    let changed = options
        .keys()
        .chain(seen.keys())
        .find(|option| options.get(*option) != seen.get(*option));
    let Some(option) = changed else { return };
    report
        .warning(
            "C0517",
            merged.get(option).map_or(at, |node| node.at.head()),
            format!(
                "schemas/{name}.yml has `{object}` as it was discovered with a different `{option}`"
            ),
        )
        .label("the types there stay as they are")
        .help(format!(
            "to discover it again: towpath connection discover {name} --write"
        ));
}

/// Reports a read mode that the connector does not support.
pub(crate) fn can_read(
    connection: &Connection<'_>,
    read: ReadMode,
    merged: &Node,
    at: FileRange,
    report: &mut Report,
) {
    let Some(spec) = connection.spec else {
        return;
    };
    if let Some(cursor) = merged.get("cursor").filter(|_| !spec.needs_cursor) {
        let name = &connection.plan.name;
        report
            .error(
                "C0507",
                cursor.at,
                format!("connection `{name}` takes no `cursor`: it finds new rows automatically"),
            )
            .help("mode: incremental");
        return;
    }
    if spec.reads.contains(&read) {
        return;
    }
    let (word, key) = match read {
        ReadMode::Full => ("full", "mode"),
        ReadMode::Incremental => ("incremental", "cursor"),
        ReadMode::Cdc => ("cdc", "mode"),
    };
    let at = merged
        .get("mode")
        .or_else(|| merged.get(key))
        .map_or(at, |node| node.at);
    report
        .error(
            "C0507",
            at,
            format!(
                "connection `{}` cannot be read by `{word}`",
                connection.plan.name
            ),
        )
        .help(format!(
            "connector `{}` can: {}",
            spec.kind,
            spec.reads
                .iter()
                .map(|mode| read_word(*mode))
                .collect::<Vec<_>>()
                .join(", ")
        ));
}

fn read_word(mode: ReadMode) -> &'static str {
    match mode {
        ReadMode::Full => "full",
        ReadMode::Incremental => "incremental",
        ReadMode::Cdc => "cdc",
    }
}
