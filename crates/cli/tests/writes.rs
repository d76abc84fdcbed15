//! How a load writes its table, through the program: what becomes of columns that change at the source.

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
    for write in ["merge", "replace", "append", "delete+insert", "insert_only"] {
        let desk = store(&format!("write: {write}, schema_change: freeze"));
        desk.ok(".", &["run"]);
        let before = (orders(&desk), desk.ok(".", &["lake", "history", "raw.orders"]));
        for (change, code, wanted) in [
            ("alter table orders add column note text", "R0661", "`note` is new"),
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
            let after = (orders(&desk), desk.ok(".", &["lake", "history", "raw.orders"]));
            assert_eq!(before, after, "{write}: {change}");
        }
        // The way out that the message names.
        desk.ok(".", &["run", "--full-refresh"]);
        assert_eq!(orders(&desk), rows(r#"[{"id":1,"amount":1.5}]"#), "{write}");
        // The same columns again are no change.
        sql(&desk, "insert into orders values (2, 2.5)");
        desk.ok(".", &["run"]);
    }
}

#[test]
fn discarded_values_are_left_out_and_counted() {
    for write in ["merge", "replace", "delete+insert"] {
        let desk = store(&format!("write: {write}, schema_change: discard_value"));
        desk.ok(".", &["run"]);
        sql(&desk, CHANGED);
        for _ in 0..2 {
            has(
                &desk.ok(".", &["run"]),
                &[
                    "new columns that `schema_change: discard_value` leaves out: `note`",
                    "values that do not fit the type of the table are NULL, because of `schema_change: discard_value`: `amount` in 1 row",
                ],
            );
            assert_eq!(
                orders(&desk),
                rows(
                    r#"[{"id":1,"amount":11},{"id":2,"amount":null},{"id":3,"amount":30},{"id":4,"amount":40}]"#
                ),
                "{write}"
            );
        }
    }
}

#[test]
fn records_with_values_that_have_no_place_wait_and_come_in_by_replay() {
    for write in ["merge", "replace"] {
        let desk = store(&format!("write: {write}, schema_change: quarantine_row"));
        desk.ok(".", &["run"]);
        sql(&desk, CHANGED);
        has(
            &desk.ok(".", &["run"]),
            &["2 rows rejected", "keeps out of the table: `note`"],
        );
        let kept = match write {
            // Row 2 is as it was: a rejected record changes nothing.
            "merge" => r#"[{"id":1,"amount":11},{"id":2,"amount":20},{"id":4,"amount":40}]"#,
            _ => r#"[{"id":1,"amount":11},{"id":4,"amount":40}]"#,
        };
        assert_eq!(orders(&desk), rows(kept), "{write}");
        has(
            &desk.ok(".", &["quarantine", "show", "raw.orders"]),
            &["late", "2.5", "the table has no such column", "bigint"],
        );
        // Nothing has changed: they are rejected again.
        has(
            &desk.exits(3, ".", &["quarantine", "replay", "raw.orders"]),
            &["2"],
        );
        assert_eq!(orders(&desk), rows(kept), "{write}");
        load(&desk, &format!("write: {write}"));
        desk.ok(".", &["quarantine", "replay", "raw.orders"]);
        assert_eq!(
            ask(&desk, "select id, amount, note from raw.orders where id in (2, 3) order by id"),
            rows(r#"[{"id":2,"amount":2.5,"note":null},{"id":3,"amount":30.0,"note":"late"}]"#),
            "{write}"
        );
    }
}

#[test]
fn columns_and_types_have_policies_of_their_own() {
    // New columns come, types stay.
    let desk = store("write: merge, schema_change: { types: freeze }");
    desk.ok(".", &["run"]);
    sql(&desk, "alter table orders add column note text; update orders set note = 'x'");
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
    sql(&desk, "alter table orders add column note text; update orders set note = 'x'");
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
    desk.write("pipelines/p.yml", &pipeline.replace("schema_change: quarantine_row, ", ""));
    desk.ok(".", &["quarantine", "replay", "raw.t"]);
    assert_eq!(
        ask(&desk, "select * from raw.t where id = 3"),
        rows(r#"[{"id":3,"v":"d","w":"new"}]"#)
    );
}
