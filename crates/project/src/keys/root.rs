//! The keys of `towpath.yml`, `connections/*.yml` and `schemas/*.yml`.
//!
//! Promise: data only. Options of a connector are not here: they are in its spec. Read next: `mod.rs`.

use super::declare::{Key, KeySchema, Kind, key};
use super::pipeline::ALERTS;
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
        "The location of the tables: a folder, relative to the project, or a bucket, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`, with credentials from the environment. Default `./lake`.",
    ),
    key(
        "timezone",
        Kind::Text,
        "The time zone of dates without one. Not supported in this version: it is always UTC. A schedule has its own `timezone`.",
    ),
    key(
        "connections",
        Kind::Named(&Kind::Connection),
        "External systems, by name.",
    ),
    key(
        "defaults",
        Kind::Map(&DEFAULTS),
        "Defaults for pipelines, steps and tables that do not set a value.",
    ),
    key(
        "state",
        Kind::Secret,
        "The state store, which holds the runs: the path of a file, or `postgres://…` for several machines. Default: one file per environment in `.towpath/`.",
    ),
    key(
        "memory",
        Kind::Size,
        "The memory limit: `512MB`, `4GB`, at least 16MB. Default: half of what the machine allows.",
    ),
    key(
        "parallel",
        Kind::Integer,
        "The maximum number of tasks at once. Default 4.",
    ),
    key(
        "statement_timeout",
        Kind::Duration,
        "How long one SQL statement may run: `10m`, `6h`; `0` means no limit. Default 1h.",
    ),
    key(
        "names",
        Kind::OneOf(&["snake", "exact"]),
        "How source columns are named in tables: `snake` (default) or `exact`.",
    ),
    key("vars", Kind::Value, "Values of `var()` in models."),
    key("mask_key", Kind::Secret, "The secret key of `mask: hash`."),
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
            "The version of the project format: 1.",
        )
        .required(),
        key("name", Kind::Text, "The project's name.").required(),
        key(
            "id",
            Kind::Text,
            "Part of every commit token. `towpath init` writes it; do not change it.",
        ),
        key(
            "default_environment",
            Kind::Text,
            "The environment that is used without `--env`. Default `dev`.",
        ),
        key(
            "environments",
            Kind::Named(&Kind::Map(&ENVIRONMENT)),
            "Settings per environment; they override the keys above.",
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
            "Defaults of every table that is loaded.",
        ),
        key(
            "models",
            Kind::Map(&MODEL_DEFAULTS),
            "Defaults of every model.",
        ),
        key(
            "alerts",
            Kind::Map(&ALERTS),
            "Who gets alerts about a pipeline that does not say so itself, for each condition.",
        ),
        key(
            "retries",
            Kind::Integer,
            "The number of attempts after the first one. Default 2.",
        ),
        key(
            "reconnect",
            Kind::Duration,
            "How long to try again when a system cannot be reached; these attempts do not count as `retries`. Default 1m.",
        ),
        key("timeout", Kind::Duration, "The time limit of an attempt."),
    ],
    also: &[],
};

static MODEL_DEFAULTS: KeySchema = KeySchema {
    noun: "model defaults",
    keys: &[key(
        "materialized",
        Kind::OneOf(&["table", "view", "incremental", "ephemeral"]),
        "How models are materialized. Default `view`.",
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
            "The type of system: the name of a connector.",
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
            "Settings of individual tables of this system, for every pipeline that loads them.",
        ),
        key(
            "limits",
            Kind::Map(&LIMITS),
            "Limits that protect the external system.",
        ),
        key("description", Kind::Text, "A description for people."),
    ],
    also: &[],
};

pub(crate) static LIMITS: KeySchema = KeySchema {
    noun: "limits",
    keys: &[
        key(
            "connections",
            Kind::Integer,
            "The most connections of one read at once, or of all requests to an API.",
        ),
        key(
            "requests",
            Kind::Text,
            "The maximum number of requests per time, for APIs: `10/s`, `600/m`, `5000/h`.",
        ),
    ],
    also: &[],
};

/// `schemas/CONNECTION.yml`.
pub(crate) static SCHEMAS: KeySchema = KeySchema {
    noun: "schemas",
    keys: &[
        key(
            "version",
            Kind::Integer,
            "The version of this file's format: 1.",
        ),
        key(
            "tables",
            Kind::Named(&Kind::Map(&SCHEMA_TABLE)),
            "Tables of the external system, by their names there.",
        )
        .required(),
    ],
    also: &[],
};

static SCHEMA_TABLE: KeySchema = KeySchema {
    noun: "table schema",
    keys: &[
        key("seen", Kind::Text, "When it was discovered."),
        key("key", Kind::Texts, "Columns of the primary key."),
        key(
            "options",
            Kind::Value,
            "The options of its load with which the columns were discovered.",
        ),
        key(
            "columns",
            Kind::Named(&Kind::Either(&[Kind::Text, Kind::Map(&SCHEMA_COLUMN)])),
            "The columns in their order, with their types.",
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
            "True if the system guarantees that it is never null.",
        ),
        key(
            "source_type",
            Kind::Text,
            "The type in the external system, if the values are read as text.",
        ),
    ],
    also: &[],
};
