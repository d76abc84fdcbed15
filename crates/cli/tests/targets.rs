//! Publishes to Parquet, JSON lines and folders, and what happens with a type that changes in the source.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::ops::Range;

use crate::test_project::{TestProject, has, text};

const PROJECT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000004
lakehouse: ./lake
connections:
  data: { type: files, path: data }
  out: { type: files, path: out, writable: true }
  parts: { type: files, path: parts, format: parquet, writable: true }
  db: { type: sqlite, path: out.db, writable: true }
";

const PIPELINE: &str = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  files: { publish: raw, into: out, tables: { t.parquet: { from: t }, t.jsonl: { from: t } } }
  folder: { publish: raw, into: parts, tables: { t/: { from: t } } }
";

/// Each target, as a query names it.
const TARGETS: [&str; 3] = ["out/t.parquet", "out/t.jsonl", "parts/t/*.parquet"];

fn desk(pipeline: &str, rows: Range<u32>) -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    desk.write("pipelines/p.yml", pipeline);
    source(&desk, rows);
    desk.ok(".", &["run"]);
    desk
}

fn source(desk: &TestProject, rows: Range<u32>) {
    let lines: String = rows.map(|id| format!("{id},v{id}\n")).collect();
    desk.write("data/t.csv", &format!("id,v\n{lines}"));
}

/// Each target holds these rows.
fn assert_holds(desk: &TestProject, targets: &[&str], rows: Range<u32>) {
    let must = (rows.len() as i64, rows.map(i64::from).sum::<i64>());
    for target in targets {
        let sql = format!("select count(*) as n, sum(id) as s from '{target}'");
        let held = desk.json(".", &["query", "--format", "json", &sql]);
        let number = |name: &str| match &held[0][name] {
            serde_json::Value::String(text) => text.parse().unwrap(),
            other => other.as_i64().unwrap(),
        };
        assert_eq!((number("n"), number("s")), must, "{target}");
    }
}

fn parts(desk: &TestProject) -> Vec<std::path::PathBuf> {
    let folder = std::fs::read_dir(desk.path("parts/t")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .collect()
}

#[test]
fn files_and_folders_become_what_the_source_is() {
    let desk = desk(PIPELINE, 0..30);
    assert_holds(&desk, &TARGETS, 0..30);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    source(&desk, 10..20);
    desk.ok(".", &["run"]);
    assert_holds(&desk, &TARGETS, 10..20);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_holds(&desk, &TARGETS, 10..20);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    // Others take them away, or write something else there.
    for target in ["out/t.parquet", "out/t.jsonl"] {
        std::fs::remove_file(desk.path(target)).unwrap();
    }
    for part in parts(&desk) {
        std::fs::remove_file(part).unwrap();
    }
    desk.ok(".", &["run"]);
    assert_holds(&desk, &TARGETS, 10..20);
    desk.write("out/t.jsonl", "{\"id\":1}\n");
    desk.write("out/t.parquet", "PAR1 of somebody else PAR1");
    desk.ok(".", &["run"]);
    assert_holds(&desk, &TARGETS, 10..20);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
}

#[test]
fn what_is_appended_to_files_is_replaced_by_a_full_refresh() {
    let adds = PIPELINE.replace("{ from: t }", "{ from: t, write: append }");
    let desk = desk(&adds, 0..10);
    source(&desk, 10..20);
    desk.ok(".", &["run"]);
    assert_holds(&desk, &TARGETS, 0..20);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_holds(&desk, &TARGETS, 10..20);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
}

#[test]
fn a_type_that_changes_is_refused_by_a_target_of_another_type_and_fills_a_new_one() {
    let sends = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  build: { models: all }
  send: { publish: marts, into: db, tables: { m: { key: id } } }
";
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    desk.write("pipelines/p.yml", sends);
    let model = |value: &str| {
        let config = "{{ config(materialized='table') }}";
        let from = "{{ source('raw', 't') }}";
        let sql = format!("{config}\nselect id, {value} as v from {from}\n");
        desk.write("models/marts/m.sql", &sql);
    };
    let held = |sql: &str| -> i64 {
        let target = rusqlite::Connection::open(desk.path("out.db")).unwrap();
        target.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    source(&desk, 0..10);
    model("id");
    desk.ok(".", &["run"]);
    assert_eq!(
        held("select count(*) from m where typeof(v) = 'integer'"),
        10
    );
    // Text does not fit: nothing is written, and nothing is called sent.
    source(&desk, 5..20);
    model("cast(id as text) || 'x'");
    for _ in 0..2 {
        let refused = desk.towpath(".", &["run"]);
        assert!(!refused.status.success());
        let said = format!("{}{}", text(&refused.stdout), text(&refused.stderr));
        has(&said, &["R0245", "`INTEGER`"]);
        assert_eq!(
            held("select count(*) from m where typeof(v) = 'integer'"),
            10
        );
    }
    let target = rusqlite::Connection::open(desk.path("out.db")).unwrap();
    target.execute_batch("drop table m").unwrap();
    drop(target);
    desk.ok(".", &["run"]);
    assert_eq!(held("select count(*) from m where typeof(v) = 'text'"), 15);
    assert_eq!(held("select sum(id) from m"), 180);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
}
