//! Keys of a table in a step: how it is read and written, its columns with rules, its checks.
//!
//! See `keys/mod.rs`.

use super::declare::{Key, KeySchema, Kind, key};

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
    "What must hold before a new version becomes visible.",
);
static COLUMN_FORMS: Kind = Kind::Either(&[Kind::Type, Kind::Map(&COLUMN)]);
const COLUMNS: Key = key(
    "columns",
    Kind::Named(&COLUMN_FORMS),
    "Everything about single columns: types, transforms, rules.",
);

/// Table keys that may stand above a single table too: in defaults and steps.
pub(crate) static TABLE_DEFAULTS: KeySchema = KeySchema {
    noun: "load defaults",
    keys: &[
        key(
            "mode",
            Kind::OneOf(&["full", "incremental", "cdc"]),
            "What is read. Default `full`, `incremental` with a cursor.",
        ),
        key(
            "write",
            Kind::OneOf(WRITES),
            "What happens to the target. The default follows from `mode` and `key`.",
        ),
        key("cursor", Kind::Text, "The column that tells what is new."),
        key(
            "lookback",
            Kind::Duration,
            "Read this much again behind the last position.",
        ),
        key(
            "key",
            Kind::Texts,
            "The columns that identify a row; always checked unique and not null.",
        ),
        key(
            "where",
            Kind::Sql,
            "Only source rows for which this SQL expression is true.",
        ),
        key("keep", Kind::Texts, "Only these source columns."),
        key("drop", Kind::Texts, "Not these source columns."),
        key(
            "rename_all",
            Kind::OneOf(&["snake", "exact"]),
            "How columns are named, over the project's `names`.",
        ),
        key(
            "dedup",
            Kind::Map(&DEDUP),
            "Removes rows with the same key: `{ by: updated_at, keep: last }`.",
        ),
        key(
            "bad_rows",
            Kind::OneOf(&["quarantine", "fail", "drop"]),
            "What happens to rows that break a rule. Default `quarantine`.",
        ),
        key(
            "fail_above",
            Kind::Limit,
            "How many bad rows stop a load: `1%`, a count, or both. Default 10 %.",
        ),
        key(
            "schema_change",
            Kind::OneOf(&["evolve", "fail", "ignore"]),
            "What a change of the source's columns does. Default `evolve`.",
        ),
        COLUMNS,
        CHECKS,
        key(
            "event_time",
            Kind::Text,
            "The column that says when something happened.",
        )
        .later("it belongs to streams, which come in a later version"),
        key("watermark", Kind::Duration, "How late rows may come.")
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
            "Where it comes from: a table, file, glob or topic. Default is the key itself.",
        ),
        key(
            "query",
            Kind::Sql,
            "Where it comes from, as a query in the outside system's language.",
        ),
        key("description", Kind::Text, "What it is."),
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
            "The lakehouse table. Default is the key itself.",
        ),
        key(
            "key",
            Kind::Texts,
            "The columns that identify a row; with a key only what changed is sent.",
        ),
        key(
            "write",
            Kind::OneOf(WRITES),
            "What happens to the target. Default `merge` with a key, else `replace`.",
        ),
        key("keep", Kind::Texts, "Only these columns."),
        key("drop", Kind::Texts, "Not these columns."),
        key(
            "where",
            Kind::Sql,
            "Only rows for which this SQL expression is true.",
        ),
        key("description", Kind::Text, "What it is."),
        CHECKS,
    ],
    also: &[],
};

static DEDUP: KeySchema = KeySchema {
    noun: "dedup",
    keys: &[
        key("by", Kind::Text, "The column that decides.").required(),
        key(
            "keep",
            Kind::OneOf(&["last", "first"]),
            "Which row stays. Default `last`.",
        ),
    ],
    also: &[],
};

/// Rules of a column, which may also stand under `warn`.
pub(crate) static RULES: KeySchema = KeySchema {
    noun: "rules",
    keys: &[
        key(
            "required",
            Kind::Boolean,
            "True: a row without a value is bad.",
        ),
        key("min", Kind::Text, "The least value."),
        key("max", Kind::Text, "The largest value."),
        key("in", Kind::Texts, "The only values."),
        key(
            "pattern",
            Kind::Text,
            "A regular expression that text must match somewhere.",
        ),
        key(
            "length",
            Kind::Either(&[Kind::Integer, Kind::Map(&BOUNDS)]),
            "Number of characters: exactly, or `{ min: 1, max: 10 }`.",
        ),
        key(
            "expression",
            Kind::Sql,
            "An SQL expression that must be true.",
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
        key("parse", Kind::Text, "How its text is read: a date format.").refused(
            "set `date_format` or `timestamp_format` at the table, or `set:` an expression",
        ),
        key(
            "mask",
            Kind::OneOf(&["hash", "empty"]),
            "Hides its values: `hash` (keyed), or `empty` (always null).",
        ),
        key("warn", Kind::Map(&RULES), "Rules that only warn."),
        key("description", Kind::Text, "What it is."),
    ],
    also: &[&RULES],
};

static BOUNDS: KeySchema = KeySchema {
    noun: "bounds",
    keys: &[
        key("min", Kind::Text, "At least."),
        key("max", Kind::Text, "At most."),
    ],
    also: &[],
};

/// Kinds of checks: exactly one in each entry of `checks`.
pub(crate) const CHECK_KINDS: &[&str] = &[
    "not_null",
    "unique",
    "accepted_values",
    "pattern",
    "range",
    "relationships",
    "row_count",
    "freshness",
    "expression",
    "sql",
];

/// One entry of `checks`.
pub(crate) static CHECK: KeySchema = KeySchema {
    noun: "check",
    keys: &[
        key("not_null", Kind::Texts, "No null in these columns."),
        key(
            "unique",
            Kind::Texts,
            "No value, or combination of values, twice.",
        ),
        key(
            "accepted_values",
            Kind::Named(&Kind::Texts),
            "The only values: `{ status: [open, paid] }`.",
        ),
        key(
            "pattern",
            Kind::Named(&Kind::Text),
            "A regular expression: `{ email: '@' }`.",
        ),
        key(
            "range",
            Kind::Named(&Kind::Map(&BOUNDS)),
            "Bounds: `{ total: { min: 0, max: 1000 } }`.",
        ),
        key(
            "relationships",
            Kind::Named(&Kind::Text),
            "Every value stands in another table: `{ country: raw.countries.code }`.",
        ),
        key(
            "row_count",
            Kind::Map(&COUNTS),
            "Number of rows: `{ min: 1 }`.",
        ),
        key(
            "freshness",
            Kind::Named(&Kind::Duration),
            "The newest value is at most this old: `{ updated_at: 24h }`.",
        ),
        key(
            "expression",
            Kind::Sql,
            "An SQL expression that is true for every row.",
        ),
        key(
            "sql",
            Kind::Sql,
            "A query that must give no row; `{table}` is the table as it would be.",
        ),
        key(
            "severity",
            Kind::OneOf(&["error", "warn"]),
            "What a failure does. Default `error`: the commit is stopped.",
        ),
        key("name", Kind::Text, "Its name in reports."),
        key("where", Kind::Sql, "Only rows for which this is true."),
        key(
            "tolerance",
            Kind::Limit,
            "How many rows may break it: a count, a share, or both.",
        ),
    ],
    also: &[],
};

static COUNTS: KeySchema = KeySchema {
    noun: "row_count",
    keys: &[
        key("min", Kind::Integer, "At least."),
        key("max", Kind::Integer, "At most."),
    ],
    also: &[],
};
