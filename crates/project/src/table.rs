//! Turns the settings of one table into a `TablePlan`: reading, writing, columns, rules, checks, limits.
//!
//! Promise: the plan is complete and consistent, or a diagnostic says why not. Defaults are those of
//! `docs/reference/project-files.md`. It does not know where settings came from (see `settings.rs`).

use std::sync::Arc;

use arrow_schema::SchemaRef;
use towpath_vocab::{
    AuditColumn, BadRows, CursorPlan, Dedup, Naming, ReadMode, SchemaChange, SecretTemplate,
    TableName, TablePlan, WriteMode, WritePlan,
};

use crate::audit_columns;
use crate::checks::{self, Reference, TableKey};
use crate::columns::{self, Known, Source};
use crate::deletes;
use crate::masked;
use crate::report::{FileRange, Report};
use crate::row_history;
use crate::rules::{self, Subject};
use crate::schema_policy;
use crate::sqltext;
use crate::value;
use crate::yaml::Node;

/// The context in which the settings of a table are read.
pub(crate) struct Frame<'a> {
    pub(crate) target: &'a TableName,
    /// The name of the source in lineage: `connection:object`.
    pub(crate) object: String,
    pub(crate) known: Option<&'a Known<'a>>,
    pub(crate) names: Naming,
    pub(crate) mask_key: Option<&'a SecretTemplate>,
    /// Whether only a `cursor` can find new rows of the source.
    pub(crate) needs_cursor: bool,
    /// Whether the types of the source are found by reading its text.
    pub(crate) reads_text: bool,
    /// The position of the table.
    pub(crate) at: FileRange,
}

/// The plan of a table.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: TablePlan,
    pub(crate) read: ReadMode,
    pub(crate) cursor: Option<CursorPlan>,
    /// Columns of the target, if known.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) references: Vec<Reference>,
    /// The word of a mode that this version does not support.
    pub(crate) later: Option<(&'static str, FileRange)>,
}

/// Plans one table.
pub(crate) fn plan(settings: &Node, frame: &Frame<'_>, report: &mut Report) -> Planned {
    let names = match settings.get_text("rename_all") {
        Some("exact") => Naming::Exact,
        Some("snake") => Naming::Snake,
        _ => frame.names,
    };
    let cursor = cursor(settings, names, frame, report);
    let read = read_mode(settings, cursor.is_some());
    let (keep, drop) = (
        source_columns("keep", settings, names, frame, report),
        source_columns("drop", settings, names, frame, report),
    );
    let filter = filter(settings, names, frame, report);
    let source = Source {
        known: frame.known,
        naming: names,
        keep: &keep,
        drop: &drop,
        mask_key: frame.mask_key,
        at: frame.at,
        target: frame.target.to_string(),
        object: frame.object.clone(),
    };
    let mut columns = columns::read(settings.get("columns"), &source, report);
    let key = settings.get("key").map(Node::texts).unwrap_or_default();
    let key: Vec<String> = key
        .iter()
        .map(|name| columns.own_name(name, names))
        .collect();
    let mode = write_mode(settings, read, &key, frame, report);
    let (mode, previous) = row_history::merged(settings, mode, &key, (&columns, names), report);
    let firm = frame.known.is_none_or(Known::is_firm);
    let subject = Subject {
        schema: columns.target.as_ref(),
        firm,
        loaded: Some((&columns, names)),
    };
    let rules = rules::read(settings.get("columns"), &subject, report);
    let absent = deletes::read(settings, (read, mode), report);
    let own = (frame.object.as_str(), key.as_slice(), previous);
    let audit = audit_columns::read(settings, own, absent, &mut columns, report);
    row_history::add_columns(&mut columns, mode, frame.at, report);
    let origin = frame
        .known
        .map(|known| known.origin.as_str())
        .unwrap_or_default();
    let table = checks::Table {
        name: frame.target,
        subject: Subject {
            schema: columns.target.as_ref(),
            firm,
            loaded: Some((&columns, names)),
        },
        origin,
    };
    let key_at = settings.get("key").map(|node| node.at);
    let table_key = TableKey::new(&key, key_at, mode);
    let mut checks = checks::read(settings.get("checks"), table_key, &table, report);
    let history = row_history::read(settings, (read, mode), &table, report);
    let dedup = dedup(settings, &key, &table, frame, report);
    let later = later(settings, read, mode, frame.at);
    let mut write = bare_write(mode, key);
    let bad_rows = bad_rows(settings);
    schema_policy::read(settings, bad_rows, frame.reads_text, report).put(&mut write);
    audit.put(&mut write);
    absent.into_iter().for_each(|absent| absent.put(&mut write));
    if let Some(history) = history {
        row_history::narrow_key_checks(&mut checks, &write.key, mode);
        history.put(&mut write);
    }
    deletes::limit(settings, &mut write, report);
    let planned = Planned {
        plan: TablePlan {
            target: frame.target.clone(),
            write,
            filter,
            columns: columns.plans,
            names,
            keep,
            drop,
            dedup,
            rules,
            checks: checks.list,
            bad_rows,
            fail_above: settings
                .get("fail_above")
                .and_then(value::limit)
                .unwrap_or_default(),
            lineage: columns.lineage,
        },
        read,
        cursor,
        schema: columns.target,
        references: checks.references,
        later,
    };
    masked::judge(&planned.plan, planned.schema.as_ref(), report);
    planned
}

/// A write without options.
fn bare_write(mode: WriteMode, key: Vec<String>) -> WritePlan {
    WritePlan {
        mode,
        key,
        schema_change: SchemaChange::default(),
        options: std::collections::BTreeMap::new(),
    }
}

/// Reports a `lookback` of the table's own settings without a cursor. In defaults it is for the tables that
/// have one.
pub(crate) fn check_lookback(own: Option<&Node>, settings: &Node, report: &mut Report) {
    if let (Some(lookback), None) = (
        own.and_then(|own| own.get("lookback")),
        settings.get("cursor"),
    ) {
        report
            .error(
                "P0160",
                lookback.at,
                "`lookback` has no effect without `cursor`",
            )
            .help(
                "remove it, or name the column that shows which rows are new: cursor: updated_at",
            );
    }
}

fn cursor(
    settings: &Node,
    names: Naming,
    frame: &Frame<'_>,
    report: &mut Report,
) -> Option<CursorPlan> {
    let node = settings.get("cursor")?;
    let column = node.text()?;
    columns::missing(frame.known, names, column, node.at, report);
    let lookback = settings
        .get_text("lookback")
        .and_then(value::duration_ms)
        .map_or(0, |ms| ms / 1000);
    Some(CursorPlan {
        column: column.to_owned(),
        lookback,
    })
}

fn read_mode(settings: &Node, has_cursor: bool) -> ReadMode {
    match settings.get_text("mode") {
        Some("full") => ReadMode::Full,
        Some("incremental") => ReadMode::Incremental,
        Some("cdc") => ReadMode::Cdc,
        _ if has_cursor => ReadMode::Incremental,
        _ => ReadMode::Full,
    }
}

fn write_mode(
    settings: &Node,
    read: ReadMode,
    key: &[String],
    frame: &Frame<'_>,
    report: &mut Report,
) -> WriteMode {
    let node = settings.get("write");
    let has_cursor = settings.get("cursor").is_some();
    if read == ReadMode::Incremental && frame.needs_cursor && !has_cursor {
        let at = settings.get("mode").map_or(frame.at, |node| node.at);
        report
            .error(
                "P0130",
                at,
                format!(
                    "`{}` is read incrementally but has no `cursor`",
                    frame.target
                ),
            )
            .help("cursor: the column that shows which rows are new, such as updated_at");
    }
    let mode = match node.and_then(Node::text) {
        Some(word) => write_word(word),
        None => None,
    };
    let mode = mode.unwrap_or(match read {
        ReadMode::Full => WriteMode::Replace,
        ReadMode::Incremental if key.is_empty() => WriteMode::Append,
        ReadMode::Incremental | ReadMode::Cdc => WriteMode::Merge,
    });
    let at = node.map_or(frame.at, |node| node.at);
    if read == ReadMode::Incremental && mode == WriteMode::Replace {
        report
            .error(
                "P0157",
                at,
                format!(
                    "`write: replace` would leave only the newest rows in `{}`: only new rows are read",
                    frame.target
                ),
            )
            .help("read everything: mode: full, without `cursor`")
            .help("or add what is new: write: append; or, with a `key`, write: merge");
    }
    let keyed = !matches!(
        mode,
        WriteMode::Replace | WriteMode::Append | WriteMode::Snapshot
    );
    if keyed && key.is_empty() {
        report
            .error(
                "P0124",
                at,
                format!(
                    "`{}` is written by `{}` but has no `key`",
                    frame.target,
                    word(mode)
                ),
            )
            .help("key: the columns that identify a row, such as order_id");
    }
    if read == ReadMode::Incremental && mode == WriteMode::Append && key.is_empty() {
        report
            .note(
                "P0125",
                at,
                format!(
                    "`{}` is appended to: a row that changes later is added again",
                    frame.target
                ),
            )
            .help("give it a `key`, and changed rows replace the old ones");
    }
    mode
}

/// The write mode for a word of the config.
pub(crate) fn write_word(word: &str) -> Option<WriteMode> {
    Some(match word {
        "replace" => WriteMode::Replace,
        "append" => WriteMode::Append,
        "merge" | "upsert" | "scd1" => WriteMode::Merge,
        "delete+insert" => WriteMode::DeleteInsert,
        "insert_only" => WriteMode::InsertOnly,
        "scd2" => WriteMode::Scd2,
        "scd3" => WriteMode::Scd3,
        "snapshot" => WriteMode::Snapshot,
        _ => return None,
    })
}

/// The word of a write mode.
pub(crate) fn word(mode: WriteMode) -> &'static str {
    match mode {
        WriteMode::Replace => "replace",
        WriteMode::Append => "append",
        WriteMode::Merge => "merge",
        WriteMode::DeleteInsert => "delete+insert",
        WriteMode::InsertOnly => "insert_only",
        WriteMode::Scd1 => "scd1",
        WriteMode::Scd2 => "scd2",
        WriteMode::Scd3 => "scd3",
        WriteMode::Snapshot => "snapshot",
    }
}

fn later(
    settings: &Node,
    read: ReadMode,
    mode: WriteMode,
    at: FileRange,
) -> Option<(&'static str, FileRange)> {
    let place = |key: &str| settings.get(key).map_or(at, |node| node.at);
    match (read, mode) {
        (ReadMode::Cdc, _) => Some(("mode: cdc", place("mode"))),
        _ => None,
    }
}

fn source_columns(
    key: &str,
    settings: &Node,
    names: Naming,
    frame: &Frame<'_>,
    report: &mut Report,
) -> Vec<String> {
    let Some(node) = settings.get(key) else {
        return Vec::new();
    };
    for item in node.items() {
        item.text().into_iter().for_each(|column| {
            columns::missing(frame.known, names, column, item.at, report);
        });
    }
    node.texts()
}

fn filter(
    settings: &Node,
    names: Naming,
    frame: &Frame<'_>,
    report: &mut Report,
) -> Option<String> {
    let node = settings.get("where")?;
    let text = node.text()?;
    match frame.known {
        Some(known) => {
            let named = Arc::new(names.schema(&known.fact.schema));
            sqltext::condition(text, node.at, &named, known.is_firm(), report)
        }
        None => sqltext::syntax(text, node.at, report),
    }
    Some(text.to_owned())
}

fn dedup(
    settings: &Node,
    key: &[String],
    table: &checks::Table<'_>,
    frame: &Frame<'_>,
    report: &mut Report,
) -> Option<Dedup> {
    let node = settings.get("dedup")?;
    let by = node.get("by")?;
    let column = by.text()?;
    table.column(column, by.at, report);
    if AuditColumn::of_name(column).is_some() && settings.get("audit_columns").is_some() {
        report
            .error(
                "P0145",
                by.at,
                format!(
                    "all rows of a load have one `{column}`, so it does not decide which stays"
                ),
            )
            .help("dedup: { by: a column of the source }");
    }
    if key.is_empty() {
        report
            .error(
                "P0124",
                node.get("by").map_or(frame.at, |by| by.at),
                format!("`{}` removes duplicates but has no `key`", frame.target),
            )
            .help("key: the columns that identify a row; of rows with the same key one stays");
    }
    Some(Dedup {
        by: table.subject.own_name(column),
        keep_last: node.get_text("keep") != Some("first"),
    })
}

fn bad_rows(settings: &Node) -> BadRows {
    match settings.get_text("bad_rows") {
        Some("fail") => BadRows::Fail,
        Some("drop") => BadRows::Drop,
        _ => BadRows::Quarantine,
    }
}
