//! What a table says about its history: `deletes`, `valid_from` and `track` beside `write: scd2`, and what
//! `write: snapshot` needs.
//!
//! Promise: each of them is obeyed or named in a diagnostic, in a table without history too. It does not
//! know how versions are made. Read next: `table.rs`, which puts the plan into its `write`.

use towpath_vocab::{
    CheckKind, IS_CURRENT, Naming, ReadMode, RowHistoryPlan, SNAPSHOT_AT, WriteMode, added_fields,
    is_added_column, previous_column, written_columns,
};

use crate::checks::{Checks, Table};
use crate::columns::Columns;
use crate::report::{FileRange, Report};
use crate::table::word;
use crate::yaml::Node;

/// The keys that speak of history alone.
const KEYS: [&str; 2] = ["valid_from", "track"];

/// Gives a table the columns that its write adds.
pub(crate) fn add_columns(
    columns: &mut Columns,
    mode: WriteMode,
    at: FileRange,
    report: &mut Report,
) {
    let adds = !added_fields(mode).is_empty();
    let Some(schema) = columns.target.as_ref().filter(|_| adds) else {
        return;
    };
    let mut fields = schema.fields().iter();
    if let Some(field) = fields.find(|field| is_added_column(mode, field.name())) {
        let name = field.name();
        report
            .error(
                "P0138",
                at,
                format!(
                    "the source has a column `{name}`, which `write: {}` adds itself",
                    word(mode)
                ),
            )
            .help(format!("leave it out (drop: [{name}]), or rename it: columns: {{ source{name}: {{ from: {name} }} }}"));
        return;
    }
    columns.target = Some(written_columns(mode, schema));
}

/// What is said about the history of a table that is written in this way.
pub(crate) fn read(
    settings: &Node,
    (read, mode): (ReadMode, WriteMode),
    table: &Table<'_>,
    report: &mut Report,
) -> Option<RowHistoryPlan> {
    if mode != WriteMode::Scd2 {
        let keeps_previous = settings.get_text("write") == Some("scd3");
        let track = settings.get("track").filter(|_| keeps_previous);
        for node in track.map(Node::items).unwrap_or_default() {
            if let Some(column) = node.text() {
                table.column(column, node.at, report);
            }
        }
        for (key, node) in KEYS
            .iter()
            .filter(|key| **key != "track" || !keeps_previous)
            .filter_map(|key| Some((key, settings.get(key)?)))
        {
            report
                .error(
                    "P0136",
                    node.at,
                    format!("`{key}` has a meaning only with `write: scd2`"),
                )
                .help("remove it, or keep the history of the table: write: scd2");
        }
        return snapshot(settings, read, mode, report);
    }
    let deletes = settings.get("deletes");
    let closes = deletes.and_then(Node::text).map(|word| word == "close");
    if let Some(node) = deletes.filter(|_| closes == Some(true) && read != ReadMode::Full) {
        report
            .error(
                "P0137",
                node.at,
                "`deletes: close` needs all rows of the source, and only new ones are read",
            )
            .help("read everything: mode: full")
            .help("or keep rows that are gone: deletes: ignore");
    }
    let named = settings.get("track").map(Node::items).unwrap_or_default();
    let named = named.iter().chain(settings.get("valid_from"));
    for node in named {
        if let Some(column) = node.text() {
            table.column(column, node.at, report);
        }
    }
    let own = |name: &str| table.subject.own_name(name);
    let track = settings.get("track").map(Node::texts).unwrap_or_default();
    Some(RowHistoryPlan {
        valid_from: settings.get_text("valid_from").map(own),
        track: track.iter().map(|name| own(name)).collect(),
        closes_absent: closes.unwrap_or(true) && read == ReadMode::Full,
        at_us: None,
    })
}

/// `write: scd3` is a merge that keeps the values before of some columns; any other mode is itself.
pub(crate) fn merged(
    settings: &Node,
    mode: WriteMode,
    key: &[String],
    (columns, names): (&Columns, Naming),
    report: &mut Report,
) -> (WriteMode, Vec<String>) {
    match mode {
        WriteMode::Scd3 => (
            WriteMode::Merge,
            previous(settings, key, columns, names, report),
        ),
        mode => (mode, Vec::new()),
    }
}

fn previous(
    settings: &Node,
    key: &[String],
    columns: &Columns,
    names: Naming,
    report: &mut Report,
) -> Vec<String> {
    let Some(track) = settings.get("track") else {
        let at = settings.get("write").map_or(settings.at, |node| node.at);
        report
            .error("P0106", at, "`write: scd3` needs `track`")
            .help("track: [city]   # the columns whose value before is kept");
        return Vec::new();
    };
    let mut kept = Vec::new();
    for node in track.items() {
        let Some(text) = node.text() else { continue };
        let column = columns.own_name(text, names);
        let added = previous_column(&column);
        let mut fields = columns.target.iter().flat_map(|schema| schema.fields());
        let is_taken = fields.any(|field| field.name().eq_ignore_ascii_case(&added));
        let (code, message) = match (key.contains(&column), is_taken) {
            (true, _) => (
                "P0136",
                format!("`{column}` is of the key, which does not change"),
            ),
            (_, true) => (
                "P0138",
                format!("the source has a column `{added}`, which `write: scd3` adds itself"),
            ),
            _ => {
                kept.push(column);
                continue;
            }
        };
        report
            .error(code, node.at, message)
            .help("track: the columns whose value before is kept, as `_previous_COLUMN`");
    }
    kept
}

/// A read that is added whole needs no settings, and all rows.
fn snapshot(
    settings: &Node,
    read: ReadMode,
    mode: WriteMode,
    report: &mut Report,
) -> Option<RowHistoryPlan> {
    if mode != WriteMode::Snapshot {
        return None;
    }
    if let Some(node) = settings.get("write").filter(|_| read != ReadMode::Full) {
        report
            .error(
                "P0149",
                node.at,
                "`write: snapshot` keeps whole reads, and only new rows are read",
            )
            .help("read everything: mode: full; or add what is new: write: append");
    }
    Some(RowHistoryPlan::default())
}

/// A key is unique among the current versions, or in each snapshot, not in the whole history.
pub(crate) fn narrow_key_checks(checks: &mut Checks, key: &[String], mode: WriteMode) {
    for check in checks
        .list
        .iter_mut()
        .filter(|check| check.filter.is_none())
    {
        if let CheckKind::Unique { columns } = &mut check.kind
            && columns.len() == key.len()
            && columns.iter().all(|column| key.contains(column))
        {
            match mode {
                WriteMode::Snapshot => columns.push(SNAPSHOT_AT.to_owned()),
                _ => check.filter = Some(IS_CURRENT.to_owned()),
            }
        }
    }
}
