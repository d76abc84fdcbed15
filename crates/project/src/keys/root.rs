//! Keys of `towpath.yml`, `connections/*.yml` and `schemas/*.yml`.
//!
//! See `keys/mod.rs`.

use super::declare::{Key, KeySchema, Kind, key};
use super::table::TABLE_DEFAULTS;

static ENVIRONMENT: KeySchema = KeySchema {
    noun: "environment",
    keys: ROOT_KEYS,
    also: &[],
};

const ROOT_KEYS: &[Key] = &[
    key(
        "lakehouse",
        Kind::Text,
        "Where tables live: a folder relative to the project. Default `./lake`. URLs of object stores are not supported in this version.",
    ),
    key(
        "timezone",
        Kind::Text,
        "Time zone of schedules and of dates without one. Not supported in this version: it is UTC.",
    ),
    key(
        "connections",
        Kind::Named(&Kind::Connection),
        "Outside systems, by name.",
    ),
    key(
        "defaults",
        Kind::Map(&DEFAULTS),
        "What holds where nothing nearer says otherwise.",
    ),
    key(
        "state",
        Kind::Secret,
        "Where runs are kept: the path of a file, or `postgres://…` for several machines. Default is a file of each environment under `.towpath/`.",
    ),
    key(
        "memory",
        Kind::Size,
        "The memory budget: `512MB`, `4GB`, 16MB at least. Default is half of what the machine allows.",
    ),
    key("parallel", Kind::Integer, "Most tasks at once. Default 4."),
    key(
        "names",
        Kind::OneOf(&["snake", "exact"]),
        "How source columns are named in tables: `snake` (default) or `exact`.",
    ),
    key("vars", Kind::Value, "Values of `var()` in models."),
    key(
        "mask_key",
        Kind::Secret,
        "The secret that `mask: hash` hashes with.",
    ),
    key("alerts", Kind::Value, "Who is told when something fails.")
        .later("look at the exit code of `towpath run`, or at `towpath runs`"),
    key("pools", Kind::Value, "Named limits that steps share.")
        .later("`parallel` bounds how many tasks run at once"),
];

/// `towpath.yml`.
pub(crate) static ROOT: KeySchema = KeySchema {
    noun: "project",
    keys: &[
        key(
            "towpath",
            Kind::Integer,
            "Version of the project's form: 1.",
        )
        .required(),
        key("name", Kind::Text, "The project's name.").required(),
        key(
            "id",
            Kind::Text,
            "Part of every commit token; written by `towpath init`, never changed.",
        ),
        key(
            "default_environment",
            Kind::Text,
            "The environment used without `--env`. Default `dev`.",
        ),
        key(
            "environments",
            Kind::Named(&Kind::Map(&ENVIRONMENT)),
            "Changes per environment, laid over the keys above.",
        ),
    ],
    also: &[&ENVIRONMENT],
};

static DEFAULTS: KeySchema = KeySchema {
    noun: "defaults",
    keys: &[
        key(
            "load",
            Kind::Map(&TABLE_DEFAULTS),
            "For every table that is loaded.",
        ),
        key("models", Kind::Map(&MODEL_DEFAULTS), "For every model."),
        key("alerts", Kind::Value, "For every pipeline.")
            .later("look at the exit code of `towpath run`, or at `towpath runs`"),
        key(
            "retries",
            Kind::Integer,
            "Attempts after the first. Default 2.",
        ),
        key(
            "reconnect",
            Kind::Duration,
            "How long a system that cannot be reached is tried again, beside `retries`. Default 1m.",
        ),
        key(
            "timeout",
            Kind::Duration,
            "An attempt is stopped after this long.",
        ),
    ],
    also: &[],
};

static MODEL_DEFAULTS: KeySchema = KeySchema {
    noun: "model defaults",
    keys: &[key(
        "materialized",
        Kind::OneOf(&["table", "view", "incremental", "ephemeral"]),
        "How models are kept. Default `view`.",
    )],
    also: &[],
};

/// A connection, without the options of its connector.
pub(crate) static CONNECTION: KeySchema = KeySchema {
    noun: "connection",
    keys: &[
        key(
            "type",
            Kind::Text,
            "The kind of system: a connector's name.",
        )
        .required(),
        key(
            "writable",
            Kind::Boolean,
            "Whether Towpath may write there. Default false.",
        ),
        key(
            "tables",
            Kind::Named(&Kind::Table),
            "What holds for single tables of this system, wherever they are loaded.",
        ),
        key(
            "limits",
            Kind::Map(&LIMITS),
            "What the outside system can bear.",
        ),
        key("description", Kind::Text, "What it is, for people."),
    ],
    also: &[],
};

static LIMITS: KeySchema = KeySchema {
    noun: "limits",
    keys: &[
        key("connections", Kind::Integer, "Most connections at once."),
        key("requests", Kind::Text, "Most requests per time: `10/s`.")
            .later("`limits: { connections: 1 }` makes one request at a time"),
    ],
    also: &[],
};

/// `schemas/CONNECTION.yml`.
pub(crate) static SCHEMAS: KeySchema = KeySchema {
    noun: "schemas",
    keys: &[
        key("version", Kind::Integer, "Version of this file's form: 1."),
        key(
            "tables",
            Kind::Named(&Kind::Map(&SCHEMA_TABLE)),
            "Tables of the outside system, by the name they have there.",
        )
        .required(),
    ],
    also: &[],
};

static SCHEMA_TABLE: KeySchema = KeySchema {
    noun: "table schema",
    keys: &[
        key("seen", Kind::Text, "When it was seen."),
        key("key", Kind::Texts, "Columns of the primary key."),
        key(
            "options",
            Kind::Value,
            "Options of its load with which the columns were seen.",
        ),
        key(
            "columns",
            Kind::Named(&Kind::Either(&[Kind::Text, Kind::Map(&SCHEMA_COLUMN)])),
            "Columns in order, with their types.",
        ),
    ],
    also: &[],
};

static SCHEMA_COLUMN: KeySchema = KeySchema {
    noun: "column schema",
    keys: &[
        key("type", Kind::Text, "The type.").required(),
        key(
            "required",
            Kind::Boolean,
            "True when the system promises that it is never null.",
        ),
        key(
            "source_type",
            Kind::Text,
            "The system's own type, when values travel as text.",
        ),
    ],
    also: &[],
};
