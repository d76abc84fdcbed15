//! Tests every key of dbt's files: two values give two plans, or a diagnostic of the declared level names
//! the key.
//!
//! Promise: a key that is declared as supported but changes nothing fails here, and so does a known key
//! that is silently ignored, in each of the places that dbt allows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use towpath_vocab::Level;

use super::keys::{self, DbtKeys, Effect};
use crate::keys::obeyed::{checked, outcome};

type Files = BTreeMap<String, String>;

fn files(more: &[(&str, String)]) -> Files {
    let base = [
        (
            "towpath.yml",
            "{ towpath: 1, name: p, connections: { db: { type: postgres, url: \"${env:A}\" } } }",
        ),
        (
            "pipelines/p.yml",
            "steps: { load: { load: db, into: raw, tables: { orders: {} } }, build: { models: all } }",
        ),
        ("models/marts/n.sql", "select 1 as n"),
    ];
    let base = base.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let more = more
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.clone()));
    base.into_iter().chain(more).collect()
}

const MODEL: &str = "select 1 as id, 2 as other";

fn incremental(key: &str, value: &str) -> String {
    let base = [("materialized", "'incremental'"), ("unique_key", "'id'")];
    let pairs: Vec<String> = base
        .iter()
        .filter(|(name, _)| *name != key)
        .map(|(name, value)| format!("'{name}': {value}"))
        .chain([format!("'{key}': {value}")])
        .collect();
    pairs.join(", ")
}

fn in_file(key: &str, value: &str) -> Files {
    let text = format!(
        "{{{{ config({{ {} }}) }}}} {MODEL}",
        incremental(key, value)
    );
    files(&[("models/marts/m.sql", text)])
}

fn in_yaml(key: &str, value: &str) -> Files {
    let text = format!(
        "models: [ {{ name: m, config: {{ {} }} }} ]",
        incremental(key, value)
    );
    files(&[
        ("models/marts/m.sql", MODEL.to_owned()),
        ("models/m.yml", text),
    ])
}

fn in_project(key: &str, value: &str) -> Files {
    let config: Vec<String> = incremental(key, value)
        .split(", '")
        .map(|pair| format!("'+{}", pair.trim_start_matches('\'')))
        .collect();
    let text = format!(
        "name: p\nmodels: {{ p: {{ marts: {{ m: {{ {} }} }} }} }}",
        config.join(", ")
    );
    files(&[
        ("models/marts/m.sql", MODEL.to_owned()),
        ("dbt_project.yml", text),
    ])
}

fn seed(key: &str, value: &str) -> Files {
    let more = if key == "delimiter" {
        ""
    } else {
        ", delimiter: ';'"
    };
    let text = format!("seeds: [ {{ name: s, config: {{ '{key}': {value}{more} }} }} ]");
    files(&[
        ("seeds/s.csv", "Id;Other\n".to_owned()),
        ("seeds/s.yml", text),
    ])
}

fn test(key: &str, value: &str) -> Files {
    // With severity `error`, the limit of the warning would have no effect.
    let more = if key == "warn_if" {
        ", severity: warn"
    } else {
        ""
    };
    let config = format!("config: {{ {key}: {value}{more} }}");
    let beside = format!("{key}: {value}");
    let written = if key == "name" { beside } else { config };
    let text = format!(
        "models: [ {{ name: m, columns: [ {{ name: id, data_tests: [ {{ unique: {{ {written} }} }} ] }} ] }} ]"
    );
    files(&[
        ("models/marts/m.sql", MODEL.to_owned()),
        ("models/m.yml", text),
    ])
}

fn source(key: &str, value: &str) -> Files {
    let text = format!(
        "sources: [ {{ name: raw, config: {{ {key}: {value} }}, tables: [ {{ name: orders, data_tests: [ {{ unique: {{ column_name: id }} }} ] }} ] }} ]"
    );
    files(&[("models/s.yml", text)])
}

fn entry_of<'a>(list: &'a str, base: &'a str) -> impl Fn(&str, &str) -> Files + 'a {
    move |key, value| {
        let own = format!("{key}: ");
        let kept = base.split("; ").filter(|pair| !pair.starts_with(&own));
        let pairs: Vec<String> = kept
            .map(str::to_owned)
            .chain([format!("{key}: {value}")])
            .collect();
        let pairs = pairs.join(", ");
        let text = list.replace("ENTRY", &pairs);
        files(&[
            ("models/marts/m.sql", MODEL.to_owned()),
            ("seeds/s.csv", "id,other\n".to_owned()),
            ("models/m.yml", text),
        ])
    }
}

fn in_dbt_project(key: &str, value: &str) -> Files {
    let text = match key {
        "name" => format!("{{ name: {value}, models: {{ p: {{ +materialized: table }} }} }}"),
        _ => format!("{{ name: p, {key}: {value} }}"),
    };
    files(&[
        (
            "models/marts/m.sql",
            "select '{{ var('v', 'none') }}' as v".to_owned(),
        ),
        ("seeds/s.csv", "id\n".to_owned()),
        ("dbt_project.yml", text),
    ])
}

/// Two values of an obeyed key that make a difference.
fn values(noun: &str, key: &str) -> (&'static str, &'static str) {
    match (noun, key) {
        ("dbt project", "models") => (
            "{ p: { +materialized: table } }",
            "{ p: { +materialized: view } }",
        ),
        ("dbt project", "seeds") => ("{ p: { +schema: a } }", "{ p: { +schema: b } }"),
        ("dbt project", "name") => ("p", "q"),
        ("dbt project", "model-paths" | "source-paths") => ("[models]", "[x]"),
        ("dbt project", "seed-paths" | "data-paths") => ("[seeds]", "[x]"),
        ("dbt project", "macro-paths") => ("[macros]", "[x]"),
        (_, "vars") => ("{ v: a }", "{ v: b }"),
        ("file of properties", "models") => (
            "[ { name: m, data_tests: [ { unique: { column_name: id } } ] } ]",
            "[]",
        ),
        ("file of properties", "seeds") => ("[ { name: s, config: { schema: a } } ]", "[]"),
        ("file of properties", "sources") => (
            "[ { name: raw, tables: [ { name: orders, data_tests: [ { unique: { column_name: id } } ] } ] } ]",
            "[]",
        ),
        ("model's entry", "name") => ("m", "n"),
        ("seed's entry", "name") => ("s", "nothing"),
        ("model's entry", "config") => ("{ schema: a }", "{ schema: b }"),
        ("seed's entry", "config") => ("{ schema: a }", "{ schema: b }"),
        ("source's entry" | "source table's entry", "config") => {
            ("{ enabled: true }", "{ enabled: false }")
        }
        ("source's entry", "name") => ("raw", "nowhere"),
        ("source's entry", "schema") => ("raw", "nowhere"),
        ("source's entry", "tables") => (
            "[ { name: orders, data_tests: [ { unique: { column_name: id } } ] } ]",
            "[]",
        ),
        ("source table's entry", "name" | "identifier") => ("orders", "nothing"),
        ("column's entry", "name") => ("id", "other"),
        (_, "tests" | "data_tests") => (
            "[ { unique: { column_name: id } } ]",
            "[ { not_null: { column_name: id } } ]",
        ),
        (_, "columns") => ("[ { name: id, data_tests: [unique] } ]", "[]"),
        (_, "materialized") => ("'table'", "'view'"),
        (_, "enabled") => ("true", "false"),
        (_, "schema" | "alias" | "name") => ("'a'", "'b'"),
        (_, "unique_key") => ("'id'", "'other'"),
        (_, "incremental_strategy") => ("'merge'", "'delete+insert'"),
        (_, "on_schema_change") => ("'fail'", "'ignore'"),
        (_, "full_refresh") => ("true", "false"),
        (_, "delimiter") => ("';'", "'|'"),
        (_, "quote_columns") => ("true", "false"),
        (_, "column_types") => ("{ id: int }", "{ id: text }"),
        (_, "severity") => ("warn", "error"),
        (_, "where") => ("id > 1", "id > 2"),
        (_, "warn_if" | "error_if") => ("'>1'", "'>2'"),
        other => panic!("nobody wrote two values of {other:?}"),
    }
}

fn judge(keys: &DbtKeys, wrap: &dyn Fn(&str, &str) -> Files, wrong: &mut Vec<String>) -> usize {
    let said = |name: &str| {
        let checked = checked(&wrap(name, "'x'"));
        let named = format!("`{name}`");
        let found = checked.diagnostics.into_iter();
        found
            .filter(|d| d.message.contains(&named))
            .map(|d| (d.code, d.level))
            .collect::<Vec<_>>()
    };
    for key in keys.keys {
        let place = format!("{}: `{}`", keys.noun, key.name);
        let expected = match key.effect {
            Effect::Describes => continue,
            Effect::Refused(_) => Level::Error,
            Effect::Warned(_) => Level::Warning,
            Effect::Obeyed => {
                let (one, other) = values(keys.noun, key.name);
                let of = |value: &str| outcome(&checked(&wrap(key.name, value)));
                if of(one) == of(other) {
                    wrong.push(format!("{place} is read and not obeyed: {}", of(one)));
                }
                continue;
            }
        };
        let said = said(key.name);
        if !said.contains(&("P0115".to_owned(), expected)) {
            wrong.push(format!("{place} is passed over: {said:?}"));
        }
    }
    let slip = said("zzz_unknown");
    if !slip.contains(&("P0102".to_owned(), Level::Error)) {
        wrong.push(format!(
            "{}: an unknown key is passed over: {slip:?}",
            keys.noun
        ));
    }
    keys.keys.len()
}

/// Writes files with one entry.
type Writes<'a> = Box<dyn Fn(&str, &str) -> Files + 'a>;

#[test]
fn every_key_of_dbt_is_obeyed_or_said() {
    let model = "models: [ { ENTRY } ]";
    let column = "models: [ { name: m, columns: [ { ENTRY } ] } ]";
    let seeds = "seeds: [ { ENTRY } ]";
    let sources = "sources: [ { ENTRY } ]";
    let table = "sources: [ { name: raw, tables: [ { ENTRY } ] } ]";
    let tests = "data_tests: [ { unique: { column_name: id } } ]";
    let of_model = format!("name: m; {tests}");
    let of_table = format!("name: orders; {tests}");
    let of_source = format!("name: raw; tables: [ {{ name: orders, {tests} }} ]");
    let places: Vec<(&DbtKeys, Writes<'_>)> = vec![
        (&keys::MODEL_CONFIG, Box::new(in_file)),
        (&keys::MODEL_CONFIG, Box::new(in_yaml)),
        (&keys::MODEL_CONFIG, Box::new(in_project)),
        (&keys::SEED_CONFIG, Box::new(seed)),
        (&keys::TEST_CONFIG, Box::new(test)),
        (&keys::SOURCE_CONFIG, Box::new(source)),
        (
            &keys::PROPERTIES,
            Box::new(entry_of("{ ENTRY }", "version: 2")),
        ),
        (&keys::MODEL, Box::new(entry_of(model, &of_model))),
        (
            &keys::COLUMN,
            Box::new(entry_of(column, "name: id; data_tests: [unique]")),
        ),
        (
            &keys::SEED,
            Box::new(entry_of(seeds, "name: s; config: { schema: a }")),
        ),
        (&keys::SOURCE, Box::new(entry_of(sources, &of_source))),
        (&keys::SOURCE_TABLE, Box::new(entry_of(table, &of_table))),
        (&keys::PROJECT, Box::new(in_dbt_project)),
    ];
    let mut wrong = Vec::new();
    let mut count = 0;
    for (keys, wrap) in &places {
        count += judge(keys, wrap.as_ref(), &mut wrong);
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
