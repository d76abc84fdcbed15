//! How a load writes its table, through the program: columns that change at the source, columns that the load
//! adds, rows that are gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use rusqlite::Connection;
use serde_json::Value;

use crate::test_project::{TestProject, has};

const STORE: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000004
lakehouse: ./lake
connections:
  store: { type: sqlite, path: store.db }
";

/// A store with orders, and a load of them with these settings.
fn store(settings: &str) -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", STORE);
    load(&desk, settings);
    sql(
        &desk,
        "create table orders (id integer primary key, amount integer);
         insert into orders values (1, 10), (2, 20)",
    );
    desk
}

fn load(desk: &TestProject, settings: &str) {
    desk.write(
        "pipelines/p.yml",
        &format!("steps:\n  extract:\n    load: store\n    into: raw\n    tables:\n      orders: {{ key: id, fail_above: 60%, {settings} }}\n"),
    );
}

fn sql(desk: &TestProject, text: &str) {
    let store = Connection::open(desk.path("store.db")).unwrap();
    store.execute_batch(text).unwrap();
}

fn ask(desk: &TestProject, sql: &str) -> Value {
    desk.json(".", &["query", "--format", "json", sql])
}

fn orders(desk: &TestProject) -> Value {
    ask(desk, "select * from raw.orders order by id")
}

fn rows(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Orders with a new column, and amounts that are no integers any more.
const CHANGED: &str = "drop table orders;
    create table orders (id integer primary key, amount real, note text);
    insert into orders values (1, 11.0, null), (2, 2.5, null), (3, 30.0, 'late'), (4, 40.0, null)";

#[test]
fn frozen_columns_stop_the_load_before_anything_is_written() {
    for write in [
        "merge",
        "replace",
        "append",
        "delete+insert",
        "insert_only",
        "scd2",
        "snapshot",
    ] {
        let desk = store(&format!("write: {write}, schema_change: freeze"));
        desk.ok(".", &["run"]);
        let versions = || {
            let history = desk.ok(".", &["lake", "history", "raw.orders"]);
            history.lines().count()
        };
        let before = (orders(&desk), versions());
        for (change, code, wanted) in [
            (
                "alter table orders add column note text",
                "R0661",
                "`note` is new",
            ),
            (
                "alter table orders drop column note; alter table orders rename column amount to total",
                "R0661",
                "`total` is new, `amount` does not come",
            ),
            (
                "drop table orders; create table orders (id integer primary key, amount real); insert into orders values (1, 1.5)",
                "R0404",
                "column `amount` is",
            ),
        ] {
            sql(&desk, change);
            has(&desk.exits(1, ".", &["run"]), &[code, wanted]);
            assert_eq!(before, (orders(&desk), versions()), "{write}: {change}");
        }
        if ["scd2", "snapshot"].contains(&write) {
            // A history stays, whatever is refreshed.
            has(
                &desk.exits(1, ".", &["run", "--full-refresh"]),
                &["R0404", "column `amount` is"],
            );
            continue;
        }
        // The way out that the message names.
        desk.ok(".", &["run", "--full-refresh"]);
        assert_eq!(orders(&desk), rows(r#"[{"id":1,"amount":1.5}]"#), "{write}");
        // The same columns again are no change.
        sql(
            &desk,
            "delete from orders; insert into orders values (2, 2.5)",
        );
        desk.ok(".", &["run"]);
    }
}

#[test]
fn discarded_values_are_left_out_and_counted() {
    for write in ["merge", "replace", "delete+insert", "insert_only", "append"] {
        let desk = store(&format!("write: {write}, schema_change: discard_value"));
        if write == "append" {
            // A key that comes again stops an append.
            sql(&desk, "update orders set id = id + 10");
        }
        desk.ok(".", &["run"]);
        sql(&desk, CHANGED);
        for run in 2..4 {
            let said = desk.ok(".", &["run"]);
            let notes = desk.ok(".", &["logs", &format!("p#{run}")]);
            has(
                &format!("{said}{notes}"),
                &[
                    "new columns that `schema_change: discard_value` leaves out: `note`",
                    "values that do not fit the type of the table are NULL, because of `schema_change: discard_value`: `amount` in 1 row",
                ],
            );
            let (first, second) = match write {
                // Known keys stay as they are.
                "insert_only" => ("10", "20"),
                _ => ("11", "null"),
            };
            let kept = format!(
                r#"[{{"id":1,"amount":{first}}},{{"id":2,"amount":{second}}},{{"id":3,"amount":30}},{{"id":4,"amount":40}}]"#
            );
            let table = "select * from raw.orders where id < 10 order by id";
            assert_eq!(ask(&desk, table), rows(&kept), "{write}");
            if write == "append" {
                break;
            }
        }
    }
}

#[test]
fn records_with_values_that_have_no_place_wait_and_come_in_by_replay() {
    for write in ["merge", "replace", "delete+insert", "append"] {
        let desk = store(&format!("write: {write}, schema_change: quarantine_row"));
        if write == "append" {
            // A key that comes again stops an append.
            sql(&desk, "update orders set id = id + 10");
        }
        desk.ok(".", &["run"]);
        sql(&desk, CHANGED);
        has(
            &desk.ok(".", &["run"]),
            &["2 rows rejected", "keeps out of the table: `note`"],
        );
        let table = "select * from raw.orders where id < 10 order by id";
        let kept = match write {
            // Row 2 is as it was: a rejected record changes nothing.
            "merge" | "delete+insert" => {
                r#"[{"id":1,"amount":11},{"id":2,"amount":20},{"id":4,"amount":40}]"#
            }
            _ => r#"[{"id":1,"amount":11},{"id":4,"amount":40}]"#,
        };
        assert_eq!(ask(&desk, table), rows(kept), "{write}");
        has(
            &desk.ok(".", &["quarantine", "show", "raw.orders"]),
            &["late", "2.5", "the table has no such column", "bigint"],
        );
        // Nothing has changed: they are rejected again.
        has(
            &desk.ok(".", &["quarantine", "replay", "raw.orders"]),
            &["0 rows replayed, 2 still in the quarantine"],
        );
        assert_eq!(ask(&desk, table), rows(kept), "{write}");
        load(&desk, &format!("write: {write}"));
        desk.ok(".", &["quarantine", "replay", "raw.orders"]);
        assert_eq!(
            ask(
                &desk,
                "select id, amount, note from raw.orders where id in (2, 3) order by id"
            ),
            rows(r#"[{"id":2,"amount":2.5,"note":null},{"id":3,"amount":30.0,"note":"late"}]"#),
            "{write}"
        );
    }
}

/// A value of a record is never lost by a replay without a word.
#[test]
fn a_record_with_a_column_that_the_source_no_longer_has_stays_rejected() {
    let desk = store("write: merge, columns: { amount: { max: 99 } }");
    sql(&desk, "alter table orders add column note text");
    desk.ok(".", &["run"]);
    sql(
        &desk,
        "update orders set amount = 100, note = 'x' where id = 1",
    );
    desk.ok(".", &["run"]);
    sql(
        &desk,
        "alter table orders drop column note; update orders set amount = 5 where id = 1",
    );
    load(&desk, "write: insert_only");
    desk.ok(".", &["run"]);
    load(&desk, "write: merge");
    has(
        &desk.ok(".", &["quarantine", "replay", "raw.orders"]),
        &["0 rows replayed, 1 still in the quarantine"],
    );
    assert_eq!(orders(&desk)[0]["amount"], 10);
}

#[test]
fn columns_and_types_have_policies_of_their_own() {
    // New columns come, types stay.
    let desk = store("write: merge, schema_change: { types: freeze }");
    desk.ok(".", &["run"]);
    sql(
        &desk,
        "alter table orders add column note text; update orders set note = 'x'",
    );
    desk.ok(".", &["run"]);
    assert_eq!(
        orders(&desk),
        rows(r#"[{"id":1,"amount":10,"note":"x"},{"id":2,"amount":20,"note":"x"}]"#)
    );
    sql(&desk, CHANGED);
    has(&desk.exits(1, ".", &["run"]), &["R0404", "`amount`"]);
    // Types widen, new columns do not come.
    let desk = store("write: merge, schema_change: { columns: discard_value }");
    desk.ok(".", &["run"]);
    sql(&desk, CHANGED);
    desk.ok(".", &["run"]);
    assert_eq!(
        orders(&desk),
        rows(
            r#"[{"id":1,"amount":11.0},{"id":2,"amount":2.5},{"id":3,"amount":30.0},{"id":4,"amount":40.0}]"#
        )
    );
}

#[test]
fn a_history_makes_no_version_for_a_column_that_is_left_out() {
    let desk = store("write: scd2, schema_change: discard_value");
    desk.ok(".", &["run"]);
    sql(
        &desk,
        "alter table orders add column note text; update orders set note = 'x'",
    );
    has(&desk.ok(".", &["run"]), &["+0 ~0 -0 =2"]);
}

#[test]
fn a_new_column_of_a_text_file_waits_with_its_record() {
    let pipeline = "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      t: { from: t.csv, key: id, write: merge, schema_change: quarantine_row, fail_above: 60% }\n";
    let desk = TestProject::with_pipeline(pipeline);
    desk.write("data/t.csv", "id,v\n1,a\n2,b\n");
    desk.ok(".", &["run"]);
    desk.write("data/t.csv", "id,v,w\n1,a,\n2,c,\n3,d,new\n");
    has(&desk.ok(".", &["run"]), &["1 row rejected"]);
    assert_eq!(
        ask(&desk, "select * from raw.t order by id"),
        rows(r#"[{"id":1,"v":"a"},{"id":2,"v":"c"}]"#)
    );
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("schema_change: quarantine_row, ", ""),
    );
    desk.ok(".", &["quarantine", "replay", "raw.t"]);
    assert_eq!(
        ask(&desk, "select * from raw.t where id = 3"),
        rows(r#"[{"id":3,"v":"d","w":"new"}]"#)
    );
}

const AUDITED: &str = "audit_columns: [_loaded_at, _run, _source, _row_hash]";

fn audit(desk: &TestProject) -> Value {
    ask(
        desk,
        "select id, _run, _source, _row_hash h, _loaded_at <= now() and _loaded_at > now() - interval '1 hour' t from raw.orders order by id",
    )
}

#[test]
fn audit_columns_say_who_loaded_a_row_and_change_nothing_else() {
    let desk = store(&format!(
        "write: merge, {AUDITED}, checks: [ {{ not_null: _run }} ]"
    ));
    desk.ok(".", &["run"]);
    let first = audit(&desk);
    for (row, id) in [(0, 1), (1, 2)] {
        let row = &first[row];
        assert_eq!(
            (&row["id"], &row["_run"], &row["_source"], &row["t"]),
            (
                &id.into(),
                &"p#1".into(),
                &"store:orders".into(),
                &true.into()
            )
        );
        assert_eq!(row["h"].as_str().unwrap().len(), 64);
    }
    assert_ne!(first[0]["h"], first[1]["h"]);
    let types = ask(
        &desk,
        "select column_name c, data_type t from information_schema.columns where table_name = 'orders' and column_name like '\\_%' order by 1",
    );
    assert_eq!(
        types,
        rows(
            r#"[{"c":"_loaded_at","t":"timestamptz"},{"c":"_row_hash","t":"text"},{"c":"_run","t":"text"},{"c":"_source","t":"text"}]"#
        )
    );
    sql(
        &desk,
        "alter table orders add column note text; update orders set amount = 11 where id = 1",
    );
    desk.ok(".", &["run"]);
    let second = audit(&desk);
    assert_eq!(second[0]["_run"], "p#2");
    assert_eq!(second[1]["_run"], "p#2");
    assert_ne!(second[0]["h"], first[0]["h"]);
    // A new column without a value is no other row.
    assert_eq!(second[1]["h"], first[1]["h"]);
}

#[test]
fn audit_columns_make_no_version_and_no_change_to_publish() {
    let desk = store(&format!("write: scd2, {AUDITED}"));
    desk.ok(".", &["run"]);
    has(&desk.ok(".", &["run"]), &["+0 ~0 -0 =2"]);
    let runs = "select distinct _run from raw.orders";
    assert_eq!(ask(&desk, runs), rows(r#"[{"_run":"p#1"}]"#));
    sql(&desk, "update orders set amount = 21 where id = 2");
    has(&desk.ok(".", &["run"]), &["+0 ~1 -0 =1"]);
    let of_two = "select amount, _run from raw.orders where id = 2 order by _valid_from";
    assert_eq!(
        ask(&desk, of_two),
        rows(r#"[{"_run":"p#1","amount":20},{"_run":"p#3","amount":21}]"#)
    );

    let desk = store(&format!("write: merge, {AUDITED}"));
    desk.write(
        "towpath.yml",
        &format!("{STORE}  out: {{ type: sqlite, path: out.db, writable: true }}\n"),
    );
    let pipeline = desk.read("pipelines/p.yml");
    desk.write(
        "pipelines/p.yml",
        &format!(
            "{pipeline}  send: {{ publish: raw, into: out, tables: {{ orders: {{ key: id }} }} }}\n"
        ),
    );
    let sent = || {
        let out = Connection::open(desk.path("out.db")).unwrap();
        let mut rows = out
            .prepare("select id, amount, _run from orders order by id")
            .unwrap();
        let rows = rows.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
            ))
        });
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let row = |id, amount, run: &str| (id, amount, run.to_owned());
    desk.ok(".", &["run"]);
    assert_eq!(sent(), [row(1, 10, "p#1"), row(2, 20, "p#1")]);
    desk.ok(".", &["run"]);
    assert_eq!(sent(), [row(1, 10, "p#1"), row(2, 20, "p#1")]);
    sql(&desk, "update orders set amount = 21 where id = 2");
    desk.ok(".", &["run"]);
    assert_eq!(sent(), [row(1, 10, "p#1"), row(2, 21, "p#3")]);
}

#[test]
fn a_replayed_record_has_the_run_that_loaded_it() {
    let pipeline = "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      t: { from: t.csv, key: id, write: merge, audit_columns: [_run, _loaded_at], columns: { v: { max: 9 } }, fail_above: 60% }\n";
    let desk = TestProject::with_pipeline(pipeline);
    desk.write("data/t.csv", "id,v\n1,5\n2,50\n");
    has(&desk.ok(".", &["run"]), &["1 row rejected"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("pipelines/p.yml", &pipeline.replace("max: 9", "max: 99"));
    desk.ok(".", &["quarantine", "replay", "raw.t"]);
    let loaded = ask(
        &desk,
        "select id, _run, _loaded_at t from raw.t order by id",
    );
    assert_eq!(loaded[0]["_run"], "p#1");
    assert!(loaded[1]["_run"].is_string());
    assert_ne!(loaded[1]["_run"], "p#1");
    assert!(loaded[1]["t"].as_str().unwrap() > loaded[0]["t"].as_str().unwrap());
}

#[test]
fn a_source_with_a_column_of_that_name_is_refused() {
    let desk = store("write: merge, audit_columns: [_run]");
    sql(&desk, "alter table orders add column _run text");
    has(
        &desk.exits(1, ".", &["run"]),
        &["R0618", "`_run`", "drop: [_run]"],
    );
    load(
        &desk,
        "write: merge, audit_columns: [_run], columns: { source_run: { from: _run } }",
    );
    desk.ok(".", &["run"]);
    assert_eq!(
        ask(
            &desk,
            "select source_run, _run from raw.orders where id = 1"
        ),
        rows(r#"[{"_run":"p#2","source_run":null}]"#)
    );
}

#[test]
fn rows_that_are_gone_are_deleted_when_all_rows_came() {
    let rule = "columns: { amount: { min: 0 } }";
    let desk = store(&format!("write: merge, deletes: hard, {rule}"));
    has(
        &desk.ok(".", &["plan"]),
        &["merge into raw.orders by id, delete rows that are gone"],
    );
    desk.ok(".", &["run"]);
    sql(
        &desk,
        "delete from orders where id = 1; insert into orders values (3, -1), (4, 40)",
    );
    has(
        &desk.ok(".", &["run"]),
        &[
            "no row was deleted because its key is gone",
            "1 row rejected",
        ],
    );
    assert_eq!(desk.count(".", "raw.orders"), 3);
    sql(&desk, "update orders set amount = 30 where id = 3");
    has(&desk.ok(".", &["run"]), &["+1 ~2 -1"]);
    assert_eq!(
        orders(&desk),
        rows(r#"[{"amount":20,"id":2},{"amount":30,"id":3},{"amount":40,"id":4}]"#)
    );
    sql(&desk, "delete from orders");
    has(&desk.exits(3, ".", &["run"]), &["R0660"]);
    assert_eq!(desk.count(".", "raw.orders"), 3);
    desk.ok(".", &["run", "--delete-above", "raw.orders=100%"]);
    assert_eq!(desk.count(".", "raw.orders"), 0);
}

#[test]
fn rows_that_are_gone_are_marked_and_come_back() {
    let desk = store("write: merge, deletes: soft");
    has(
        &desk.ok(".", &["plan"]),
        &["merge into raw.orders by id, mark rows that are gone"],
    );
    desk.ok(".", &["run"]);
    let state = "select id, amount, _deleted_at from raw.orders order by id";
    assert_eq!(
        ask(&desk, state),
        rows(
            r#"[{"_deleted_at":null,"amount":10,"id":1},{"_deleted_at":null,"amount":20,"id":2}]"#
        )
    );
    sql(&desk, "delete from orders where id = 1");
    has(&desk.ok(".", &["run"]), &["+0 ~1 -1"]);
    let marked = ask(&desk, state);
    assert!(marked[0]["_deleted_at"].is_string(), "{marked}");
    assert_eq!(
        (&marked[0]["amount"], &marked[1]["_deleted_at"]),
        (&10.into(), &Value::Null)
    );
    has(&desk.ok(".", &["run"]), &["+0 ~1 -0"]);
    assert_eq!(ask(&desk, state), marked);
    sql(&desk, "insert into orders values (1, 11)");
    desk.ok(".", &["run"]);
    assert_eq!(
        ask(&desk, state),
        rows(
            r#"[{"_deleted_at":null,"amount":11,"id":1},{"_deleted_at":null,"amount":20,"id":2}]"#
        )
    );
}

#[test]
fn a_frozen_target_of_a_publish_stays_as_it_is() {
    for key in ["key: id, ", ""] {
        let desk = store("write: merge");
        desk.write(
            "towpath.yml",
            &format!("{STORE}  out: {{ type: sqlite, path: out.db, writable: true }}\n"),
        );
        let pipeline = desk.read("pipelines/p.yml");
        let publish = |change: &str| {
            desk.write(
                "pipelines/p.yml",
                &format!("{pipeline}  send: {{ publish: raw, into: out, tables: {{ orders: {{ {key}schema_change: {change} }} }} }}\n"),
            );
        };
        let sent = |sql: &str| {
            let out = Connection::open(desk.path("out.db")).unwrap();
            out.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        publish("freeze");
        desk.ok(".", &["run"]);
        sql(
            &desk,
            "alter table orders add column note integer; update orders set note = 7, amount = 11 where id = 1",
        );
        has(&desk.exits(1, ".", &["run"]), &["`note` is new"]);
        assert_eq!(sent("select sum(amount) from orders").unwrap(), 30);
        assert!(sent("select note from orders").is_err());
        publish("evolve");
        desk.ok(".", &["run"]);
        assert_eq!(sent("select sum(amount + note) from orders").unwrap(), 18);
    }
}

#[test]
fn a_replay_and_a_sample_delete_nothing() {
    for deletes in ["hard", "soft"] {
        let settings = |least: i32| {
            format!("write: merge, deletes: {deletes}, columns: {{ amount: {{ min: {least} }} }}")
        };
        let desk = store(&settings(0));
        sql(&desk, "insert into orders values (3, -1)");
        has(&desk.ok(".", &["run"]), &["1 row rejected"]);
        desk.ok(".", &["run", "--limit", "1"]);
        load(&desk, &settings(-9));
        has(
            &desk.ok(".", &["quarantine", "replay", "raw.orders"]),
            &["1 row replayed"],
        );
        assert_eq!(desk.count(".", "raw.orders"), 3, "{deletes}");
        if deletes == "soft" {
            assert_eq!(
                desk.count(".", "raw.orders where _deleted_at is not null"),
                0
            );
        }
    }
}

#[test]
fn a_load_without_rows_deletes_nothing_whoever_wrote_the_table() {
    // The load before had no rows either, and its setting was another one.
    let desk = store("write: merge");
    desk.ok(".", &["run"]);
    sql(&desk, "delete from orders");
    desk.ok(".", &["run"]);
    load(&desk, "write: merge, deletes: hard");
    has(
        &desk.exits(3, ".", &["run"]),
        &["R0660", "its source has no rows, and the table has 2"],
    );
    assert_eq!(desk.count(".", "raw.orders"), 2);
    // Rows came, and none of them passes.
    let desk = store("write: merge, deletes: hard");
    desk.ok(".", &["run"]);
    load(&desk, "write: merge, deletes: hard, where: amount > 99");
    has(
        &desk.exits(3, ".", &["run"]),
        &["R0660", "none of the 2 rows of its source is written"],
    );
    assert_eq!(desk.count(".", "raw.orders"), 2);
}

/// What a model makes of an audit column is a value like any other.
#[test]
fn a_model_of_audit_columns_is_published_when_they_change() {
    let desk = store("write: merge, audit_columns: [_run]");
    desk.write(
        "towpath.yml",
        &format!("{STORE}  out: {{ type: sqlite, path: out.db, writable: true }}\n"),
    );
    desk.write(
        "models/marts/m.sql",
        "{{ config(materialized='table') }} select id, _run, _run as batch from {{ source('raw', 'orders') }}",
    );
    let pipeline = desk.read("pipelines/p.yml");
    desk.write(
        "pipelines/p.yml",
        &format!("{pipeline}  build: {{ models: all }}\n  send: {{ publish: marts, into: out, tables: {{ m: {{ key: id }} }} }}\n"),
    );
    for run in ["p#1", "p#2"] {
        desk.ok(".", &["run"]);
        let out = Connection::open(desk.path("out.db")).unwrap();
        let sent = out.query_row("select min(_run) || min(batch) from m", [], |row| {
            row.get::<_, String>(0)
        });
        assert_eq!(sent.unwrap(), format!("{run}{run}"));
    }
}

#[test]
fn a_member_that_no_record_has_is_no_change_of_frozen_columns() {
    let desk = TestProject::with_pipeline(
        "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      t: { from: t.jsonl, key: id, write: merge, schema_change: freeze }\n",
    );
    desk.write("data/t.jsonl", "{\"id\":1,\"x\":2}\n");
    desk.ok(".", &["run"]);
    desk.write("data/t.jsonl", "{\"id\":3}\n");
    desk.ok(".", &["run"]);
    assert_eq!(
        ask(&desk, "select id, x from raw.t order by id"),
        rows(r#"[{"id":1,"x":2},{"id":3,"x":null}]"#)
    );
    desk.write("data/t.jsonl", "{\"id\":4,\"y\":1}\n");
    has(&desk.exits(1, ".", &["run"]), &["R0661", "`y` is new"]);
}

/// A source that gives a part of its rows looks like one that deleted the others.
#[test]
fn a_load_that_would_delete_most_rows_stops() {
    for (settings, table) in [
        ("write: merge, deletes: hard", "raw.orders"),
        (
            "write: merge, deletes: soft",
            "raw.orders where _deleted_at is null",
        ),
        ("write: scd2", "raw.orders where _is_current"),
    ] {
        let desk = store(settings);
        sql(
            &desk,
            "delete from orders; with recursive n(i) as (values (1) union all select i + 1 from n where i < 1000) insert into orders select i, i from n",
        );
        desk.ok(".", &["run"]);
        sql(
            &desk,
            "delete from orders where id > 499; insert into orders values (1001, 1)",
        );
        has(
            &desk.exits(3, ".", &["run"]),
            &[
                "R0662",
                "501 of its 1000 rows are not in the source any more (50.1 %), the limit is 50 %",
                "accept: towpath run --delete-above raw.orders=100%",
            ],
        );
        assert_eq!(desk.count(".", "raw.orders"), 1000, "{settings}");
        // Half of the rows may go.
        sql(&desk, "insert into orders values (500, 500)");
        desk.ok(".", &["run"]);
        assert_eq!(desk.count(".", table), 501, "{settings}");
        // Each limit stops the load by itself.
        sql(&desk, "delete from orders where id > 100");
        for limits in ["{ percent: 10, rows: 401 }", "{ percent: 90, rows: 400 }"] {
            load(&desk, &format!("{settings}, delete_above: {limits}"));
            has(&desk.exits(3, ".", &["run"]), &["R0662"]);
        }
        let limits = "{ percent: 90, rows: 401 }";
        load(&desk, &format!("{settings}, delete_above: {limits}"));
        desk.ok(".", &["run"]);
        assert_eq!(desk.count(".", table), 100, "{settings}");
        sql(&desk, "delete from orders where id > 1");
        load(&desk, &format!("{settings}, delete_above: 98"));
        has(
            &desk.exits(3, ".", &["run"]),
            &["99 of its 100 rows", "the limit is 98 rows"],
        );
        desk.ok(".", &["run", "--delete-above", "raw.orders=100%"]);
        assert_eq!(desk.count(".", table), 1, "{settings}");
    }
}

#[test]
fn the_value_before_a_change_is_kept() {
    for rest in ["", ", deletes: soft"] {
        let desk = store(&format!("write: scd3, track: [amount]{rest}"));
        has(
            &desk.ok(".", &["plan"]),
            &["merge into raw.orders by id, keep the values before of amount"],
        );
        desk.ok(".", &["run"]);
        let state = "select id, amount, _previous_amount from raw.orders order by id";
        sql(
            &desk,
            "update orders set amount = 21 where id = 2; insert into orders values (3, 30)",
        );
        desk.ok(".", &["run"]);
        // A wider type, the same values, and one that comes to be NULL.
        sql(
            &desk,
            "drop table orders; create table orders (id integer primary key, amount real);
             insert into orders values (1, null), (2, 21.0), (3, 30.5)",
        );
        desk.ok(".", &["run"]);
        let wanted = rows(
            r#"[{"id":1,"amount":null,"_previous_amount":10.0},{"id":2,"amount":21.0,"_previous_amount":20.0},{"id":3,"amount":30.5,"_previous_amount":30.0}]"#,
        );
        assert_eq!(ask(&desk, state), wanted, "{rest}");
        // What was kept outlives a refresh.
        desk.ok(".", &["run", "--full-refresh"]);
        assert_eq!(ask(&desk, state), wanted, "{rest}");
    }
    let desk = store("write: scd3, track: [nope]");
    has(&desk.exits(1, ".", &["run"]), &["R0663", "`nope`"]);
    // Without it the column would be lost row by row.
    let desk = store("write: scd3, track: [amount]");
    desk.ok(".", &["run"]);
    sql(&desk, "update orders set amount = amount + 1");
    desk.ok(".", &["run"]);
    load(&desk, "write: merge");
    has(
        &desk.exits(1, ".", &["run"]),
        &["R0430", "_previous_amount"],
    );
}

#[test]
fn a_surrogate_key_is_made_of_the_key_and_of_the_time_of_a_version() {
    let keys = "select id, sk, md5(id::text) = sk as of_key from raw.orders order by id, sk";
    for write in ["merge", "replace"] {
        let desk = store(&format!("write: {write}, surrogate_key: sk"));
        desk.ok(".", &["run"]);
        let first = ask(&desk, keys);
        assert_eq!(
            (&first[0]["of_key"], &first[1]["of_key"]),
            (&true.into(), &true.into())
        );
        sql(&desk, "update orders set amount = 11 where id = 1");
        desk.ok(".", &["run"]);
        assert_eq!(ask(&desk, keys), first, "{write}");
    }
    let desk = store("write: scd2, surrogate_key: sk");
    desk.ok(".", &["run"]);
    // The time of a run is no change.
    has(&desk.ok(".", &["run"]), &["+0 ~0 -0 =2"]);
    let first = ask(&desk, keys);
    sql(&desk, "update orders set amount = 11 where id = 1");
    has(&desk.ok(".", &["run"]), &["+0 ~1 -0 =1"]);
    assert_eq!(desk.count(".", "raw.orders"), 3);
    let counted = ask(&desk, "select count(distinct sk) as n from raw.orders");
    assert_eq!(counted[0]["n"], 3);
    for row in first.as_array().unwrap() {
        let same = format!(
            "raw.orders where sk = '{}' and id = {}",
            row["sk"].as_str().unwrap(),
            row["id"]
        );
        assert_eq!(desk.count(".", &same), 1);
        assert_eq!(row["of_key"], false);
    }
    // With a time of the source everybody can make it.
    let desk = store("write: scd2, valid_from: at, surrogate_key: sk");
    sql(
        &desk,
        "alter table orders add column at text; update orders set at = '2026-01-01 10:00:00'",
    );
    load(
        &desk,
        "write: scd2, valid_from: at, surrogate_key: sk, columns: { at: { type: timestamp } }",
    );
    desk.ok(".", &["run"]);
    let made = ask(
        &desk,
        "select md5(id::text || '-2026-01-01T10:00:00') = sk as same from raw.orders order by id",
    );
    assert_eq!(made, rows(r#"[{"same":true},{"same":true}]"#));
    let desk = store("surrogate_key: amount");
    has(&desk.exits(1, ".", &["run"]), &["R0618", "`amount`"]);
}

/// Who tolerates bad records has said nothing about rows that are gone.
#[test]
fn a_load_in_which_no_row_comes_is_judged_by_the_limit_for_deletes() {
    for (settings, table) in [
        ("write: merge, deletes: hard", "raw.orders"),
        ("write: scd2", "raw.orders where _is_current"),
    ] {
        let desk = store(settings);
        desk.ok(".", &["run"]);
        // Rows come, and none of them passes.
        load(&desk, &format!("{settings}, where: amount > 99"));
        has(
            &desk.exits(3, ".", &["run"]),
            &[
                "R0660",
                "none of the 2 rows",
                "--delete-above raw.orders=100%",
            ],
        );
        sql(&desk, "delete from orders");
        let lenient = settings.to_owned() + ", where: amount > 0";
        load(&desk, &lenient);
        has(
            &desk.exits(3, ".", &["run", "--fail-above", "raw.orders=100%"]),
            &["R0660", "its source has no rows"],
        );
        assert_eq!(desk.count(".", table), 2, "{settings}");
        load(&desk, &format!("{lenient}, delete_above: 100%"));
        desk.ok(".", &["run"]);
        assert_eq!(desk.count(".", table), 0, "{settings}");
    }
}
