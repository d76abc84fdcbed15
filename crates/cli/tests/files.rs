//! Files as a user writes them down: read as they come, published under names of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

const PIPELINE: &str = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  send: { publish: raw, into: out, tables: { t: { format: jsonl } } }
";

#[test]
fn a_file_whose_name_tells_no_format_takes_the_tables_own() {
    let desk = TestProject::with_pipeline(PIPELINE);
    desk.write("data/t.csv", "id,v\n1,x\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t"), "{\"id\":1,\"v\":\"x\"}\n");
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("data/t.csv", "id,v\n1,x\n2,y\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t").lines().count(), 2);
}

const AS_THEY_COME: &str = "steps:
  extract: { load: data, into: raw, tables: { events: { from: 'events_*.csv', mode: incremental } } }
";

#[test]
fn files_are_read_as_they_come_and_each_once() {
    let desk = TestProject::with_pipeline(AS_THEY_COME);
    desk.write("data/events_1.csv", "id,v\n1,x\n2,y\n");
    has(
        &desk.ok(".", &["plan"]),
        &["read what is new in data:events_*.csv, append to raw.events"],
    );
    desk.ok(".", &["run"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("data/events_2.csv", "id,v\n3,z\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.events"), 3);
    // The state store may be lost: what was read stands with the table.
    std::fs::remove_dir_all(desk.path(".towpath")).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.events"), 3);
    // A file that is gone takes nothing with it; one that changed comes whole, and that is said.
    std::fs::remove_file(desk.path("data/events_1.csv")).unwrap();
    desk.write("data/events_2.csv", "id,v\n3,z\n4,w\n");
    has(
        &desk.ok(".", &["run"]),
        &["events_2.csv` has changed since it was read", "2 rows"],
    );
    assert_eq!(desk.count(".", "raw.events"), 5);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(desk.count(".", "raw.events"), 2);
    desk.write("data/events_3.csv", "id,v\n5,q\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.events"), 3);
}

/// A run by cursor that finds nothing new leaves the table as it is: no version, nothing to build behind it.
#[test]
fn a_cursor_that_finds_nothing_makes_no_version() {
    let desk = TestProject::with_pipeline(
        "steps:
  extract: { load: shop, into: raw, tables: { items: { cursor: at } } }
  build: { models: all }
",
    );
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nconnections:\n  shop: { type: sqlite, path: shop.db }\n",
    );
    desk.write(
        "models/marts/by_kind.sql",
        "{{ config(materialized='table') }} select kind, count(*) n from {{ source('raw', 'items') }} group by kind",
    );
    let sql = |statements: &str| {
        let shop = rusqlite::Connection::open(desk.path("shop.db")).unwrap();
        shop.execute_batch(statements).unwrap();
    };
    sql("create table items (at integer, kind text); insert into items values (1, 'a'), (2, 'b')");
    desk.ok(".", &["run"]);
    let versions = || desk.ok(".", &["lake", "history", "raw.items"]);
    let before = versions();
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    assert_eq!(versions(), before);
    sql("insert into items values (2, 'c'), (3, 'a')");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.items"), 4);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    assert_ne!(versions(), before);
}

#[test]
fn with_a_key_a_changed_file_replaces_its_rows() {
    let desk = TestProject::with_pipeline(
        "steps:
  extract: { load: data, into: raw, tables: { t: { from: 't_*.csv', mode: incremental, key: id } } }
",
    );
    desk.write("data/t_1.csv", "id,v\n1,x\n2,y\n");
    desk.ok(".", &["run"]);
    desk.write("data/t_1.csv", "id,v\n1,new\n2,y\n3,z\n");
    has(
        &desk.ok(".", &["run"]),
        &["all of it is read again, and written by key"],
    );
    let sql = "select string_agg(v, ' ' order by id) v from raw.t";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    assert_eq!(rows[0]["v"], "new y z");
}

#[test]
fn files_take_no_cursor() {
    let desk = TestProject::with_pipeline(
        "steps:\n  extract: { load: data, into: raw, tables: { t: { from: t.csv, cursor: id } } }\n",
    );
    has(
        &desk.exits(2, ".", &["check"]),
        &["error[C0507]", "takes no `cursor`", "mode: incremental"],
    );
}
