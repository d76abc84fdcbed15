//! The keys of `pipelines/*.yml`: the pipeline and its steps.
//!
//! Promise: data only. The keys of a table in a step are in `table.rs`. Read next: `mod.rs`.

use super::declare::{Key, KeySchema, Kind, key};
use super::table::TABLE_DEFAULTS;

/// The actions of a step; each step has exactly one.
pub(crate) const VERBS: &[&str] = &[
    "load", "copy", "models", "publish", "command", "sql", "http", "sensor", "pipeline",
];

/// `pipelines/NAME.yml`.
pub(crate) static PIPELINE: KeySchema = KeySchema {
    noun: "pipeline",
    keys: &[
        key("description", Kind::Text, "A description: what it is for."),
        key(
            "params",
            Kind::Value,
            "Values given with `--param`: `since: { type: date, default: 2013-01-01 }`.",
        ),
        key(
            "defaults",
            Kind::Map(&PIPELINE_DEFAULTS),
            "Defaults of its steps; they override those of the project.",
        ),
        key(
            "steps",
            Kind::Named(&Kind::Step),
            "The steps. Their order follows from the data, not from the order of the lines.",
        )
        .required(),
        key(
            "parallel",
            Kind::Integer,
            "The maximum number of tasks at once.",
        ),
        key(
            "schedule",
            Kind::Either(&[Kind::Text, Kind::Map(&SCHEDULE)]),
            "When `towpath serve` runs it: a cron expression, or the settings below.",
        ),
        key("triggers", Kind::Value, "Events that start it.")
            .later("start it with cron or systemd: towpath run PIPELINE"),
        key(
            "alerts",
            Kind::Map(&ALERTS),
            "Which connections get a message when its runs fail, are late or recover: `{ failed: data_slack }`. `towpath serve` sends them.",
        ),
    ],
    also: &[],
};

static PIPELINE_DEFAULTS: KeySchema = KeySchema {
    noun: "defaults",
    keys: &[
        key(
            "load",
            Kind::Map(&TABLE_DEFAULTS),
            "Defaults of every table that this pipeline loads.",
        ),
        key(
            "retries",
            Kind::Integer,
            "The number of attempts after the first one.",
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

/// `alerts` of a pipeline and of the project's defaults.
pub(crate) static ALERTS: KeySchema = KeySchema {
    noun: "alerts",
    keys: &[
        key(
            "failed",
            Kind::Texts,
            "The connections that get a message when a run has failed; an empty list for none.",
        ),
        key(
            "recovered",
            Kind::Texts,
            "The connections that get a message when a run has succeeded after the one before it failed. Incidents of PagerDuty and alerts of Opsgenie are closed by it.",
        ),
        key(
            "late",
            Kind::Texts,
            "The connections that get a message when a run has not ended before the `deadline` of its schedule.",
        ),
        key(
            "quality",
            Kind::Texts,
            "The connections that get a message when checks have failed or warned, or records were rejected.",
        ),
    ],
    also: &[],
};

pub(crate) static SCHEDULE: KeySchema = KeySchema {
    noun: "schedule",
    keys: &[
        key(
            "cron",
            Kind::Text,
            "When it runs: minute, hour, day of the month, month, day of the week. A run is about the time since the moment before.",
        ),
        key(
            "every",
            Kind::Duration,
            "A fixed interval instead of `cron`, counted from `start`, or without it from 1970-01-01 UTC: `15m`.",
        ),
        key(
            "start",
            Kind::Text,
            "No interval begins before this day or time. Default: the first interval is the one that goes on when `towpath serve` first sees the schedule.",
        ),
        key(
            "end",
            Kind::Text,
            "No interval ends after this day or time.",
        ),
        key(
            "timezone",
            Kind::Text,
            "The time zone of `cron`, `start` and `end`: `Europe/Berlin`. Default UTC.",
        ),
        key(
            "catchup",
            Kind::OneOf(&["none", "latest", "all"]),
            "Which of the intervals that passed while no scheduler ran are run: `none`, `latest` (default) or `all`.",
        ),
        key(
            "overlap",
            Kind::OneOf(&[
                "queue",
                "keep_latest",
                "skip",
                "allow",
                "cancel_running",
                "terminate_running",
            ]),
            "What an interval does that is due while an earlier run goes on: it waits (`queue`), it waits and replaces one that waits (`keep_latest`), it is skipped (`skip`), or the earlier run is stopped and it runs then: cleanly (`cancel_running`) or at once (`terminate_running`). What the stopped run has committed stays; runs of users and of backfills are waited for. Default `queue` with `catchup: all`, else `keep_latest`. `allow` is not supported: two runs of one pipeline would write the same tables.",
        ),
        key(
            "dst_gap",
            Kind::OneOf(&["shift", "skip"]),
            "What happens to a time that the clock skips: it becomes the next moment (`shift`, default), or there is none (`skip`).",
        ),
        key(
            "dst_overlap",
            Kind::OneOf(&["first", "last", "both"]),
            "Which of the two moments of a time that the clock repeats: `first` (default), `last` or `both`.",
        ),
        key(
            "deadline",
            Kind::Duration,
            "How long a run of the schedule or of a backfill may take from its beginning: `2h`. One that has not ended by then is stopped and fails (R0716). The time that an interval waits for its run does not count. Without it there is no limit.",
        ),
    ],
    also: &[],
};

const STEP_KEYS: &[Key] = &[
    key(
        "load",
        Kind::Text,
        "Action: load tables of this connection into the lakehouse.",
    ),
    key(
        "models",
        Kind::Texts,
        "Action: build models: `all`, or names, schemas and paths.",
    ),
    key(
        "command",
        Kind::AtRunList,
        "Action: run a program: a list of the program and its arguments.",
    ),
    key(
        "publish",
        Kind::Text,
        "Action: publish tables of this lakehouse schema to a connection.",
    ),
    key(
        "copy",
        Kind::Value,
        "Action: move tables between external systems.",
    )
    .refused("load the tables and publish them: two steps"),
    key(
        "sql",
        Kind::Statements,
        "Action: run SQL statements in `connection`.",
    ),
    key(
        "http",
        Kind::Map(&HTTP),
        "Action: send one HTTP request.",
    ),
    key("sensor", Kind::Value, "Action: wait for something.").refused("use a `command` step that waits"),
    key("pipeline", Kind::Value, "Action: run another pipeline.").refused("write its steps into this pipeline, or run it with `towpath run`"),
    key("description", Kind::Text, "A description: what it is for."),
    key(
        "into",
        Kind::Text,
        "The target: the lakehouse schema of a load, the connection of a publish.",
    ),
    key(
        "tables",
        Kind::Named(&Kind::Table),
        "The tables. A key is the name of the target table; patterns such as `ref_*` are allowed. Of a publish, a pattern stands for tables of the lakehouse that steps write, each with the key by which it is written.",
    ),
    key(
        "except",
        Kind::Texts,
        "Tables and patterns that are left out.",
    ),
    key("exclude", Kind::Texts, "Models that are left out."),
    key(
        "connection",
        Kind::Text,
        "The connection in which the statements of `sql` run.",
    ),
    key(
        "transaction",
        Kind::Boolean,
        "Whether the statements of `sql` take effect together or not at all. Default true; MySQL commits at each statement that changes a definition.",
    ),
    key(
        "reads",
        Kind::Texts,
        "Tables that a command reads, or that must be there before SQL runs or a request is sent.",
    ),
    key(
        "writes",
        Kind::Either(&[Kind::TextList, Kind::Named(&Kind::Table)]),
        "Tables that a command writes.",
    ),
    key(
        "env",
        Kind::Named(&Kind::AtRun),
        "Extra environment variables of a command.",
    ),
    key(
        "directory",
        Kind::Text,
        "Working folder of a command, relative to the project.",
    ),
    key(
        "after",
        Kind::Texts,
        "Steps to wait for, where the order does not follow from the data.",
    ),
    key(
        "run_if",
        Kind::OneOf(RUN_IF),
        "When the step may start, depending on the results of the steps before it. Default `all_success`.",
    ),
    key("retries", Kind::Integer, "The number of attempts after the first one."),
    key(
        "backoff",
        Kind::Duration,
        "The delay before the first retry; it doubles with each retry.",
    ),
    key(
        "reconnect",
        Kind::Duration,
        "How long to try again when a system cannot be reached; these attempts do not count as `retries`. Default 1m.",
    ),
    key(
        "timeout",
        Kind::Duration,
        "The time limit of an attempt.",
    ),
    key("when", Kind::Value, "A condition.").refused("without it the step always runs: leave it out, or select steps with `towpath run PIPELINE.STEP`"),
    key("for_each", Kind::Value, "Repeat the step for each item.").refused("write a step for each item"),
    key("pool", Kind::Text, "A named limit that it shares with other steps.").later("`parallel` of the pipeline bounds how many tasks run at once"),
    key("parallel", Kind::Integer, "The maximum number of its tasks at once.").later("`parallel` of the pipeline bounds how many tasks run at once"),
];

/// `http` of a step.
pub(crate) static HTTP: KeySchema = KeySchema {
    noun: "request",
    keys: &[
        key("url", Kind::AtRun, "Where it goes.").required(),
        key(
            "method",
            Kind::OneOf(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
            "Default `GET`, or `POST` with a body.",
        ),
        key("headers", Kind::Named(&Kind::AtRun), "Its headers."),
        key("json", Kind::AtRunValue, "A body that is sent as JSON."),
        key("body", Kind::AtRun, "A body that is sent as it is."),
        key(
            "expect",
            Kind::Texts,
            "The statuses of an answer that is well: `[200-299, 404]`. Default `200-299`.",
        ),
    ],
    also: &[],
};

const RUN_IF: &[&str] = &[
    "all_success",
    "all_done",
    "one_failed",
    "one_success",
    "none_failed",
];

/// A step, with the table keys that apply to all of its tables.
pub(crate) static STEP: KeySchema = KeySchema {
    noun: "step",
    keys: STEP_KEYS,
    also: &[&TABLE_DEFAULTS],
};

/// The actions to which a step's key belongs; empty if it belongs to every step.
pub(crate) fn verbs_of(key: &str) -> &'static [&'static str] {
    match key {
        "into" | "tables" => &["load", "publish", "copy"],
        "except" => &["load", "publish"],
        "exclude" => &["models"],
        "reads" => &["command", "sql", "http"],
        "writes" | "env" | "directory" => &["command"],
        "connection" | "transaction" => &["sql"],
        _ if TABLE_DEFAULTS.find(key).is_some() => &["load"],
        _ => &[],
    }
}
