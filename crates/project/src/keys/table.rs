//! The keys of a table in a step: how it is read and written, its columns, the settings of its checks.
//!
//! Promise: data only. `table.rs` of this crate reads the values; the keys of rules are in `rules.rs`, those
//! of checks in `checks/kinds.rs`. Read next: `mod.rs`.

use super::declare::{Key, KeySchema, Kind, key};
use crate::audit_columns;
use crate::rules::RULES;
use crate::schema_policy;

/// Words for `write`.
pub(crate) const WRITES: &[&str] = &[
    "replace",
    "append",
    "merge",
    "upsert",
    "delete+insert",
    "insert_only",
    "scd1",
    "scd2",
    "scd3",
    "snapshot",
];

const CHECKS: Key = key(
    "checks",
    Kind::List(&Kind::Check),
    "Checks that must pass before a new version becomes visible.",
);
static COLUMN_FORMS: Kind = Kind::Either(&[Kind::Type, Kind::Map(&COLUMN)]);
const COLUMNS: Key = key(
    "columns",
    Kind::Named(&COLUMN_FORMS),
    "Settings of individual columns: types, transforms, rules.",
);

/// Table keys that are also allowed in defaults and steps.
pub(crate) static TABLE_DEFAULTS: KeySchema = KeySchema {
    noun: "load defaults",
    keys: &[
        key(
            "mode",
            Kind::OneOf(&["full", "incremental", "cdc"]),
            "Which rows are read. Default `full`, or `incremental` with a cursor. `cdc` is not supported in this version.",
        ),
        key(
            "write",
            Kind::OneOf(WRITES),
            "How the target is written. The default depends on `mode` and `key`.",
        ),
        key(
            "cursor",
            Kind::Text,
            "The column that shows which rows are new.",
        ),
        key(
            "lookback",
            Kind::Duration,
            "Rereads rows up to this far before the last position.",
        ),
        key(
            "key",
            Kind::Texts,
            "The columns that identify a row. They are always checked to be unique and not null.",
        ),
        key(
            "where",
            Kind::Sql,
            "Only source rows for which this SQL expression is true.",
        ),
        key("keep", Kind::Texts, "Only these source columns."),
        key("drop", Kind::Texts, "All source columns except these."),
        key(
            "rename_all",
            Kind::OneOf(&["snake", "exact"]),
            "How columns are named; overrides the project's `names`.",
        ),
        key(
            "dedup",
            Kind::Map(&DEDUP),
            "Removes duplicate rows with the same key: `{ by: updated_at, keep: last }`.",
        ),
        key(
            "bad_rows",
            Kind::OneOf(&["quarantine", "fail", "drop"]),
            "What happens to a row that breaks a rule. Default `quarantine`.",
        ),
        key(
            "fail_above",
            Kind::Limit,
            "The limit of bad rows that stops a load: `1%`, a number of rows, or both, of which each stops it. Default 10 %.",
        ),
        key(
            "schema_change",
            Kind::Either(&[Kind::OneOf(schema_policy::WORDS), Kind::Map(&SCHEMA_CHANGE)]),
            "What happens when the source's columns or types are not those of the table: one word, or `{ columns: freeze, types: quarantine_row }`. Default `evolve`; `fail` is read as `freeze`, `ignore` as `{ columns: discard_value, types: freeze }`.",
        ),
        key(
            "audit_columns",
            Kind::List(&Kind::OneOf(audit_columns::WORDS)),
            "Columns that the load adds: `_loaded_at` (when it began to write), `_run`, `_source` (connection and object), `_row_hash` (a hash of the other columns). Default: none.",
        ),
        key(
            "surrogate_key",
            Kind::Text,
            "A column that the load adds: md5 of the key, and with `write: scd2` of the time from which the version is valid.",
        ),
        COLUMNS,
        CHECKS,
        key(
            "event_time",
            Kind::Text,
            "The column with the time of the event.",
        )
        .later("it belongs to streams, which come in a later version"),
        key("watermark", Kind::Duration, "How late rows may arrive.")
            .later("it belongs to streams, which come in a later version"),
        key("stream", Kind::Value, "How an endless source is read.")
            .later("it belongs to streams, which come in a later version"),
    ],
    also: &[],
};

/// A table of a load.
pub(crate) static TABLE: KeySchema = KeySchema {
    noun: "table",
    keys: &[
        key(
            "from",
            Kind::Text,
            "The source: a table, file, glob or topic. Default: the key itself.",
        ),
        key(
            "query",
            Kind::Sql,
            "The source as a query in the language of the external system.",
        ),
        key(
            "deletes",
            Kind::OneOf(&["hard", "soft", "close", "ignore"]),
            "What happens to a row whose key is gone, when everything is read. With `write: merge`: `hard` deletes it, `soft` sets `_deleted_at`, `ignore` keeps it (default). With `write: scd2`: `close` ends its current version (default), `ignore` keeps it.",
        ),
        key(
            "delete_above",
            Kind::Limit,
            "With `deletes: hard`, `soft` or `close`: the limit of rows that are gone which stops a load: `20%` of the rows of the table, a number of rows, or both. Default 50 %; `100%` for no limit.",
        ),
        key(
            "valid_from",
            Kind::Text,
            "With `write: scd2`: the column with the time from which a row is valid. Default: the time of the load.",
        ),
        key(
            "track",
            Kind::Texts,
            "With `write: scd2`: a new version is made only when one of these columns changes. Default: all. With `write: scd3`: the columns whose value before is kept.",
        ),
        key("description", Kind::Text, "A description."),
    ],
    also: &[&TABLE_DEFAULTS],
};

/// A table of a publish.
pub(crate) static PUBLISH_TABLE: KeySchema = KeySchema {
    noun: "published table",
    keys: &[
        key(
            "from",
            Kind::Text,
            "The lakehouse table. Default: the key itself.",
        ),
        key(
            "key",
            Kind::Texts,
            "The columns that identify a row. With a key, only changed rows are sent.",
        ),
        key(
            "write",
            Kind::OneOf(WRITES),
            "How the target is written. Default: `merge` with a key, else `replace`.",
        ),
        key(
            "schema_change",
            Kind::OneOf(&["evolve", "freeze"]),
            "What happens when the rows have columns or types that the target does not have: `evolve` changes the target (default), `freeze` stops before anything is sent.",
        ),
        key("keep", Kind::Texts, "Only these columns."),
        key("drop", Kind::Texts, "Not these columns."),
        key(
            "bad_rows",
            Kind::OneOf(&["quarantine", "fail"]),
            "For endpoints of an API: what happens to a row that the API refuses. `quarantine`, the default, keeps it and sends it again in the next run; `fail` stops at the first one.",
        ),
        key(
            "fail_above",
            Kind::Limit,
            "For endpoints of an API: the limit of refused rows that stops the publish: `1%`, a number of rows, or both. Default 10 %.",
        ),
        key(
            "where",
            Kind::Sql,
            "Only rows for which this SQL expression is true.",
        ),
        key("description", Kind::Text, "A description."),
        CHECKS,
    ],
    also: &[],
};

/// `schema_change` for columns and types.
static SCHEMA_CHANGE: KeySchema = KeySchema {
    noun: "schema change",
    keys: &[
        key(
            "columns",
            Kind::OneOf(schema_policy::PART_WORDS),
            "New columns of the source: `evolve` adds them, `freeze` stops the load (also where a column no longer comes), `discard_value` leaves them out, `quarantine_row` rejects records with a value in them.",
        ),
        key(
            "types",
            Kind::OneOf(schema_policy::PART_WORDS),
            "Columns that come with another type: `evolve` widens the table, `freeze` stops the load, `discard_value` writes NULL for values that the type of the table does not hold, `quarantine_row` rejects their records.",
        ),
    ],
    also: &[],
};

static DEDUP: KeySchema = KeySchema {
    noun: "dedup",
    keys: &[
        key("by", Kind::Text, "The column that decides which row stays.").required(),
        key(
            "keep",
            Kind::OneOf(&["last", "first"]),
            "Which row stays. Default `last`.",
        ),
    ],
    also: &[],
};

/// One column.
pub(crate) static COLUMN: KeySchema = KeySchema {
    noun: "column",
    keys: &[
        key("from", Kind::Text, "Its name in the source."),
        key(
            "type",
            Kind::Type,
            "Its type: `bigint`, `decimal(18,2)`, `text`, `timestamp`, …",
        ),
        key("set", Kind::Sql, "An SQL expression over source columns."),
        key("parse", Kind::Text, "The date format of its text.").refused(
            "set `date_format` or `timestamp_format` at the table, or `set:` an expression",
        ),
        key(
            "mask",
            Kind::OneOf(&["hash", "empty"]),
            "Hides its values: `hash` (keyed), or `empty` (always null).",
        ),
        key("warn", Kind::Map(&RULES), "Rules that only give a warning."),
        key("description", Kind::Text, "A description."),
    ],
    also: &[&RULES],
};

/// What an entry of `checks` has beside its kind, which `checks/kinds.rs` declares.
pub(crate) static CHECK_SETTINGS: KeySchema = KeySchema {
    noun: "check",
    keys: &[
        key(
            "severity",
            Kind::OneOf(&["error", "warn"]),
            "What a failure does. Default `error`: it stops the commit.",
        ),
        key("name", Kind::Text, "Its name in reports."),
        key(
            "where",
            Kind::Sql,
            "Checks only rows for which this is true.",
        ),
        key(
            "tolerance",
            Kind::Limit,
            "How many rows may break it: a number, a percentage, or both, of which none may be exceeded.",
        ),
    ],
    also: &[],
};
