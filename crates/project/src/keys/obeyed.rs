//! Tests every key of every project file: two values give two plans, or a diagnostic names the key.
//!
//! Promise: a key that is declared but has no effect and no diagnostic fails here, and so does a new key
//! without two values in this test. What the value in the plan does in a run is tested where it is used.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::Value as Json;
use towpath_vocab::{
    Capability, ConnectorSpec, Facts, Guarantee, Level, ObjectKind, OptionKind, OptionSpec,
    OptionUse, ReadMode, WriteMode,
};

use super::declare::{Key, KeySchema, Kind};
use crate::checks::kinds;
use crate::rules;
use crate::{CheckInputs, CheckedProject, check};

/// Keys without an effect on a run: text for people.
const DESCRIBES: &[&str] = &["description", "seen"];

fn spec(kind: &str, scheme: &str, options: &[(&str, OptionKind, bool)]) -> ConnectorSpec {
    let options = options.iter().map(|(name, kind, per_table)| OptionSpec {
        name: (*name).into(),
        kind: kind.clone(),
        required: false,
        per_table: *per_table,
        table_only: false,
        used_by: OptionUse::Always,
        doc: String::new(),
    });
    ConnectorSpec {
        kind: kind.into(),
        doc: String::new(),
        objects: match scheme {
            "file" => ObjectKind::Files,
            "https" => ObjectKind::Endpoints,
            _ => ObjectKind::Tables,
        },
        capabilities: vec![
            Capability::Source,
            Capability::Destination,
            Capability::Discover,
            Capability::Alert,
            Capability::Sql,
        ],
        options: options.collect(),
        limits: vec!["connections".into()],
        reads: vec![ReadMode::Full, ReadMode::Incremental],
        needs_cursor: scheme != "file",
        tells_version: scheme == "file",
        keeps_text: scheme == "file",
        writes: vec![WriteMode::Replace, WriteMode::Append, WriteMode::Merge],
        guarantee: Guarantee::ExactlyOnce,
        proven: Vec::new(),
        schemes: vec![scheme.into()],
        endings: Vec::new(),
    }
}

pub(crate) fn checked(files: &BTreeMap<String, String>) -> CheckedProject {
    let specs = vec![
        spec(
            "files",
            "file",
            &[
                ("path", OptionKind::Path, false),
                ("delimiter", OptionKind::Text, true),
            ],
        ),
        spec(
            "postgres",
            "postgres",
            &[("url", OptionKind::Secret, false)],
        ),
        spec("rest", "https", &[("url", OptionKind::Secret, false)]),
    ];
    let variables = BTreeMap::from([
        ("A".to_owned(), "a".to_owned()),
        ("B".to_owned(), "b".to_owned()),
    ]);
    check(&CheckInputs {
        files,
        specs: &specs,
        facts: &Facts {
            set_variables: variables.keys().cloned().collect(),
            ..Facts::default()
        },
        environment: None,
        variables: &variables,
        params: &BTreeMap::new(),
    })
}

/// The result without positions, which move with the text.
pub(crate) fn outcome(checked: &CheckedProject) -> String {
    fn bare(value: &mut Json) {
        match value {
            Json::Object(map) => {
                map.remove("span");
                map.values_mut().for_each(bare);
            }
            Json::Array(list) => list.iter_mut().for_each(bare),
            _ => {}
        }
    }
    let mut plan = serde_json::to_value(&checked.plan).unwrap();
    bare(&mut plan);
    let said: Vec<_> = checked
        .diagnostics
        .iter()
        .map(|d| (&d.code, d.level, &d.message))
        .collect();
    format!(
        "{plan}{said:?}{:?}{:?}",
        checked.state, checked.memory_bytes
    )
}

/// A map in braces, with one key set.
fn map(base: &[(&str, &str)], key: &str, value: &str) -> String {
    let rest = base.iter().filter(|(name, _)| *name != key);
    let pairs: Vec<String> = rest
        .map(|(name, value)| format!("{name}: {value}"))
        .chain([format!("{key}: {value}")])
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

const DB: &str = "{ type: postgres, url: \"${env:A}\", writable: true }";
const CONNECTIONS: &str = "{ db: { type: postgres, url: \"${env:A}\", writable: true }, db2: { type: postgres, url: \"${env:B}\", writable: true }, api: { type: rest, url: \"${env:A}\", writable: true } }";
const ROOT: &[(&str, &str)] = &[
    ("towpath", "1"),
    ("name", "p"),
    ("id", "p"),
    ("mask_key", "\"${secret:A}\""),
    ("connections", CONNECTIONS),
];
const STEPS: &str = "{ extract: { load: db, into: raw, tables: { orders: { columns: { a: { mask: hash } } } } }, build: { models: all } }";

fn files(root: &str, pipeline: &str) -> BTreeMap<String, String> {
    let text = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    BTreeMap::from([
        text("towpath.yml", root),
        text("pipelines/p.yml", pipeline),
        text("models/marts/m.sql", "select '{{ var('v', 'none') }}' as v"),
        text("models/other/n.sql", "select 1 as n"),
    ])
}

fn in_root(key: &str, value: &str) -> BTreeMap<String, String> {
    files(&map(ROOT, key, value), &format!("steps: {STEPS}"))
}

fn in_connection(key: &str, value: &str) -> BTreeMap<String, String> {
    let base = [
        ("type", "postgres"),
        ("url", "\"${env:A}\""),
        ("writable", "true"),
    ];
    in_root(
        "connections",
        &format!("{{ db: {}, db2: {DB} }}", map(&base, key, value)),
    )
}

fn in_pipeline(key: &str, value: &str) -> BTreeMap<String, String> {
    files(
        &map(ROOT, "name", "p"),
        &map(&[("steps", STEPS)], key, value),
    )
}

fn in_steps(steps: &str) -> BTreeMap<String, String> {
    in_pipeline("steps", steps)
}

fn in_step(key: &str, value: &str) -> BTreeMap<String, String> {
    let load: &[(&str, &str)] = &[
        ("load", "db"),
        ("into", "raw"),
        ("tables", "{ orders: { cursor: at, key: id } }"),
    ];
    let (base, more): (&[(&str, &str)], &str) = match super::verbs_of(key).first().copied() {
        Some("models") => (&[("models", "all")], ""),
        Some("command") => (&[("command", "[a]")], ""),
        Some("sql") => (&[("sql", "[select 1]"), ("connection", "db")], ""),
        _ => match key {
            "models" => (&[], ""),
            "sql" => (&[("connection", "db")], ""),
            "command" | "copy" | "http" | "sensor" | "pipeline" => (&[], ""),
            "publish" => (
                &[("into", "db"), ("tables", "{ orders: { from: orders } }")],
                "extract: { load: db, into: raw, tables: { orders: {} } }, again: { load: db, into: raw2, tables: { orders: {} } }, ",
            ),
            "after" | "run_if" => (load, "first: { command: [a] }, second: { command: [b] }, "),
            "except" => (&[("load", "db"), ("into", "raw")], ""),
            "cursor" | "key" => (
                &[
                    ("load", "db"),
                    ("into", "raw"),
                    ("tables", "{ orders: {} }"),
                ],
                "",
            ),
            _ => (load, ""),
        },
    };
    let base: Vec<(&str, &str)> = match key {
        "run_if" => base.iter().copied().chain([("after", "[first]")]).collect(),
        _ => base.to_vec(),
    };
    let mut files = in_steps(&format!("{{ {more}s: {} }}", map(&base, key, value)));
    if key == "except" {
        let known = "tables: { orders: { columns: { id: int } }, tmp: { columns: { id: int } } }";
        files.insert("schemas/db.yml".to_owned(), known.to_owned());
    }
    files
}

fn in_table(key: &str, value: &str) -> BTreeMap<String, String> {
    let base: &[(&str, &str)] = match key {
        "query" => &[],
        "deletes" | "delete_above" | "valid_from" | "track" => &[("key", "id"), ("write", "scd2")],
        _ => &[("cursor", "at"), ("key", "id")],
    };
    table(&map(base, key, value))
}

fn table(settings: &str) -> BTreeMap<String, String> {
    in_steps(&format!(
        "{{ s: {{ load: db, into: raw, tables: {{ orders: {settings} }} }} }}"
    ))
}

fn in_published(key: &str, value: &str) -> BTreeMap<String, String> {
    let settings = map(&[("key", "id")], key, value);
    // Only what takes rows one by one refuses some of them.
    let into = match key {
        "bad_rows" | "fail_above" => "api",
        _ => "db",
    };
    in_steps(&format!(
        "{{ s: {{ load: db, into: raw, tables: {{ orders: {{}}, others: {{}} }} }}, t: {{ publish: raw, into: {into}, tables: {{ orders: {settings} }} }} }}"
    ))
}

fn in_column(key: &str, value: &str) -> BTreeMap<String, String> {
    let base: &[(&str, &str)] = match key {
        "from" => &[],
        _ => &[("type", "text")],
    };
    table(&format!(
        "{{ columns: {{ c: {} }} }}",
        map(base, key, value)
    ))
}

fn in_warn(key: &str, value: &str) -> BTreeMap<String, String> {
    table(&format!(
        "{{ columns: {{ c: {{ type: text, warn: {{ {key}: {value} }} }} }} }}"
    ))
}

fn in_check(key: &str, value: &str) -> BTreeMap<String, String> {
    let base: &[(&str, &str)] = match kinds::find(key) {
        Some(_) => &[],
        None => &[("not_null", "c")],
    };
    table(&format!("{{ checks: [{}] }}", map(base, key, value)))
}

fn in_schemas(text: &str) -> BTreeMap<String, String> {
    let mut files = table("{}");
    files.insert("schemas/db.yml".to_owned(), text.to_owned());
    files
}

type Wrap = Box<dyn Fn(&str, &str) -> BTreeMap<String, String>>;

/// The maps inside kinds of checks: `row_count: { min: 1 }`, `range: { c: { min: 1 } }`.
fn in_kinds() -> impl Iterator<Item = (&'static KeySchema, Wrap)> {
    kinds::KINDS.iter().filter_map(|kind| {
        let name = kind.key.name;
        let wrapped: (_, Wrap) = match kind.key.kind {
            Kind::Map(inner) => (
                inner,
                Box::new(move |key, value| in_check(name, &map(&[], key, value))),
            ),
            Kind::Named(Kind::Map(inner)) => (
                inner,
                Box::new(move |key, value| in_check(name, &map(&[], "c", &map(&[], key, value)))),
            ),
            _ => return None,
        };
        Some(wrapped)
    })
}

fn places() -> Vec<(&'static KeySchema, Wrap)> {
    in_kinds().chain(files_and_maps()).collect()
}

fn files_and_maps() -> Vec<(&'static KeySchema, Wrap)> {
    use super::{
        CHECK, CONNECTION, PIPELINE, PUBLISH_TABLE, ROOT as PROJECT, SCHEMAS, STEP, TABLE,
    };
    vec![
        (&PROJECT, Box::new(in_root)),
        (
            inner(&PROJECT, "defaults"),
            Box::new(|key, value| in_root("defaults", &format!("{{ {key}: {value} }}"))),
        ),
        (&CONNECTION, Box::new(in_connection)),
        (
            inner(&CONNECTION, "limits"),
            Box::new(|key, value| in_connection("limits", &format!("{{ {key}: {value} }}"))),
        ),
        (&PIPELINE, Box::new(in_pipeline)),
        (
            inner(&PIPELINE, "defaults"),
            Box::new(|key, value| in_pipeline("defaults", &format!("{{ {key}: {value} }}"))),
        ),
        (
            &super::pipeline::SCHEDULE,
            Box::new(|key, value| {
                let base: &[(&str, &str)] = match key {
                    "every" => &[],
                    _ => &[("cron", "0 2 * * *")],
                };
                in_pipeline("schedule", &map(base, key, value))
            }),
        ),
        (
            &super::pipeline::ALERTS,
            Box::new(|key, value| in_pipeline("alerts", &map(&[], key, value))),
        ),
        (&STEP, Box::new(in_step)),
        (
            &super::pipeline::HTTP,
            Box::new(|key, value| in_step("http", &map(&[("url", "\"http://a\"")], key, value))),
        ),
        (&TABLE, Box::new(in_table)),
        (
            inner(&TABLE, "dedup"),
            Box::new(|key, value| in_table("dedup", &map(&[("by", "at")], key, value))),
        ),
        (
            either_map(&TABLE, "schema_change"),
            Box::new(|key, value| in_table("schema_change", &map(&[], key, value))),
        ),
        (&PUBLISH_TABLE, Box::new(in_published)),
        (&super::table::COLUMN, Box::new(in_column)),
        (&rules::RULES, Box::new(in_warn)),
        (&CHECK, Box::new(in_check)),
        (
            &SCHEMAS,
            Box::new(|key, value| {
                in_schemas(&map(
                    &[("tables", "{ orders: { columns: { id: int } } }")],
                    key,
                    value,
                ))
            }),
        ),
        (
            nested(&SCHEMAS, "tables"),
            Box::new(|key, value| {
                let orders = map(&[("columns", "{ id: int }")], key, value);
                in_schemas(&format!("tables: {{ orders: {orders} }}"))
            }),
        ),
    ]
}

fn inner(schema: &KeySchema, key: &str) -> &'static KeySchema {
    match schema.find(key).unwrap().kind {
        Kind::Map(inner) => inner,
        other => panic!("`{key}` takes {other:?}"),
    }
}

fn either_map(schema: &KeySchema, key: &str) -> &'static KeySchema {
    match schema.find(key).unwrap().kind {
        Kind::Either([_, Kind::Map(inner)]) => inner,
        other => panic!("`{key}` takes {other:?}"),
    }
}

fn nested(schema: &KeySchema, key: &str) -> &'static KeySchema {
    match schema.find(key).unwrap().kind {
        Kind::Named(Kind::Map(inner)) => inner,
        other => panic!("`{key}` takes {other:?}"),
    }
}

/// Two values of a key that must give different plans.
fn values(noun: &str, key: &str) -> Option<(&'static str, &'static str)> {
    let declared = match noun {
        "check" => kinds::find(key).map(|kind| kind.values),
        "column" | "rules" => {
            let rule = rules::KINDS.iter().find(|rule| rule.key.name == key);
            rule.map(|rule| rule.values)
        }
        _ => None,
    };
    if let Some([one, other]) = declared {
        return Some((one, other));
    }
    Some(match (noun, key) {
        ("project", "connections") => {
            (CONNECTIONS, "{ db: { type: postgres, url: \"${env:B}\" } }")
        }
        (_, "connections") => ("1", "2"),
        ("project" | "environment", "defaults") => ("{ retries: 1 }", "{ retries: 3 }"),
        ("pipeline", "defaults") => ("{ retries: 1 }", "{ retries: 3 }"),
        ("defaults", "load") => ("{ bad_rows: fail }", "{ bad_rows: drop }"),
        ("defaults", "models") => ("{ materialized: table }", "{ materialized: view }"),
        ("step", "load") => ("db", "db2"),
        ("step", "models") => ("all", "marts"),
        ("step", "writes") => ("[raw.a]", "{ raw.a: { key: id } }"),
        ("step", "tables") => ("{ a: {} }", "{ b: {} }"),
        ("step", "into" | "publish") => ("raw", "raw2"),
        ("connection", "tables") => ("{ orders: { key: a } }", "{ orders: { key: b } }"),
        ("connection", "type") => ("postgres", "files"),
        ("connection", "limits") => ("{ connections: 1 }", "{ connections: 2 }"),
        ("table" | "load defaults", "columns") | ("step", "columns") => {
            ("{ c: { required: true } }", "{ c: { min: \"1\" } }")
        }
        ("table schema", "options") => ("{ delimiter: x }", "{}"),
        ("table schema", "columns") => ("{ id: int }", "{ id: text }"),
        ("schemas", "version") | ("step", "parallel") => ("1", "2"),
        ("schemas", "tables") => (
            "{ orders: { columns: { id: int } } }",
            "{ orders: { columns: { id: text } } }",
        ),
        ("published table", "write") => ("merge", "append"),
        ("published table", "from") => ("orders", "others"),
        ("published table", "bad_rows") => ("fail", "quarantine"),
        (_, "min" | "max") => ("7", "8"),
        ("project" | "environment", "names") => ("snake", "exact"),
        (_, "name" | "id" | "lakehouse" | "from" | "cursor" | "by" | "directory") => ("x", "y"),
        (_, "timezone") => ("UTC", "Europe/Berlin"),
        (_, "schedule" | "cron") => ("0 2 * * *", "0 3 * * *"),
        (_, "start" | "end") => ("2026-01-01", "2026-01-02"),
        (_, "catchup") => ("none", "all"),
        (_, "overlap") => ("queue", "skip"),
        (_, "dst_gap") => ("shift", "skip"),
        (_, "dst_overlap") => ("first", "last"),
        (_, "state" | "mask_key") => ("\"${secret:A}\"", "\"${secret:B}\""),
        (_, "memory") => ("1GB", "2GB"),
        (_, "parallel" | "retries") => ("3", "5"),
        (_, "reconnect" | "statement_timeout") => ("30s", "5m"),
        (_, "vars") => ("{ v: x }", "{ v: y }"),
        (_, "default_environment") => ("dev", "prod"),
        (_, "environments") => ("{ dev: { lakehouse: x } }", "{ dev: { lakehouse: y } }"),
        ("pipeline" | "defaults", "alerts") => ("{ failed: db }", "{ failed: db2 }"),
        ("alerts", _) => ("db", "[db, db2]"),
        (_, "pools" | "triggers" | "copy" | "sensor" | "pipeline" | "body") => ("x", "y"),
        (_, "when" | "for_each" | "pool" | "stream" | "event_time" | "parse" | "requests") => {
            ("x", "y")
        }
        (_, "timeout" | "backoff" | "watermark" | "deadline" | "every" | "lookback") => {
            ("10s", "20s")
        }
        (_, "writable") => ("true", "false"),
        // A param changes nothing by itself: one without a value is an error.
        (_, "params") => ("{ v: { type: text, default: x } }", "{ v: { type: text } }"),
        (_, "steps") => ("{ a: { command: [a] } }", "{ a: { command: [b] } }"),
        (_, "command" | "track") => ("[a]", "[b]"),
        (_, "except") => ("[tmp]", "[orders]"),
        (_, "exclude") => ("[m]", "[n]"),
        (_, "reads") => ("[marts.m]", "[other.n]"),
        (_, "env") => ("{ X: a }", "{ X: b }"),
        (_, "after") => ("[first]", "[second]"),
        (_, "run_if") => ("all_done", "one_failed"),
        (_, "mode") => ("full", "incremental"),
        (_, "write") => ("merge", "replace"),
        (_, "deletes") => ("close", "ignore"),
        (_, "valid_from") => ("a", "b"),
        (_, "key" | "keep" | "drop") if noun != "dedup" => ("a", "b"),
        ("dedup", "keep") => ("last", "first"),
        (_, "where") => ("a > 1", "a > 2"),
        (_, "rename_all") => ("snake", "exact"),
        (_, "dedup") => ("{ by: a }", "{ by: b }"),
        (_, "bad_rows") => ("fail", "drop"),
        (_, "fail_above" | "delete_above" | "tolerance") => ("1%", "2%"),
        ("published table", "schema_change") => ("evolve", "freeze"),
        (_, "schema_change") => ("fail", "ignore"),
        ("schema change", "columns" | "types") => ("freeze", "quarantine_row"),
        (_, "audit_columns") => ("[_run]", "[_source]"),
        (_, "checks") => ("[ { not_null: a } ]", "[ { unique: a } ]"),
        (_, "query" | "set") => ("select 1", "select 2"),
        (_, "type") => ("text", "bigint"),
        (_, "mask") => ("empty", "hash"),
        (_, "warn") => ("{ required: true }", "{ min: \"1\" }"),
        (_, "severity") => ("warn", "error"),
        _ => return more_values(key),
    })
}

fn more_values(key: &str) -> Option<(&'static str, &'static str)> {
    Some(match key {
        "towpath" => ("1", "2"),
        "sql" => ("select 1", "[select 2, select 3]"),
        "connection" => ("db", "db2"),
        "transaction" => ("true", "false"),
        "http" => ("{ url: \"http://a\" }", "{ url: \"http://b\" }"),
        "url" => ("\"http://a\"", "\"http://b\""),
        "headers" => ("{ X: a }", "{ X: b }"),
        "json" => ("{ a: 1 }", "{ a: 2 }"),
        "method" => ("PUT", "DELETE"),
        "expect" => ("200", "[200-299, 404]"),
        "surrogate_key" => ("sk", "other_sk"),
        _ => return None,
    })
}

#[test]
fn every_key_is_obeyed_or_refused() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (schema, wrap) in places() {
        for key in schema.all().filter(|key| !DESCRIBES.contains(&key.name)) {
            count += 1;
            let Some((one, other)) = values(schema.noun, key.name) else {
                wrong.push(format!(
                    "{}.{}: nobody wrote two values",
                    schema.noun, key.name
                ));
                continue;
            };
            wrong.extend(judge(
                schema,
                key,
                &wrap(key.name, one),
                &wrap(key.name, other),
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 140, "only {count} keys were tried");
}

fn judge(
    schema: &KeySchema,
    key: &Key,
    one: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
) -> Option<String> {
    let (one, other) = (checked(one), checked(other));
    let named = format!("`{}` is not supported", key.name);
    let place = format!("{}.{}", schema.noun, key.name);
    let said = one
        .diagnostics
        .iter()
        .find(|d| d.code == "P0115" && d.message.starts_with(&named));
    match (key.inactive, said) {
        (Some(inactive), Some(said)) if said.level == inactive.level => None,
        (Some(_), _) => Some(format!(
            "{place}: not reported as unsupported: {:?}",
            one.diagnostics
        )),
        // Only some of their values have an effect; the others are reported.
        (None, _) if outcome(&one) == outcome(&other) => {
            Some(format!("{place}: read and not obeyed"))
        }
        (None, _) => {
            let error = one.diagnostics.iter().find(|d| d.level == Level::Error)?;
            Some(format!("{place}: {}", error.message))
        }
    }
}
