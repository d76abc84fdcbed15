//! The history of a table through the program: daily customers, read whole, each change a version.

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

const HISTORY: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      customers: { from: customers.csv, key: id, write: scd2, fail_above: 50%, columns: { email: { required: true } } }
  build:
    models: all
";

const CITIES: &str = "{{ config(materialized='table') }}
select city, count(*) as customers from {{ source('raw', 'customers') }} where _is_current group by city
";

fn customers(desk: &TestProject, rows: &str) {
    desk.write("data/customers.csv", &format!("id,city,email\n{rows}"));
}

fn ask(desk: &TestProject, sql: &str) -> Value {
    desk.json(".", &["query", "--format", "json", sql])
}

fn rows(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Versions in the order of key and time, without the times: a run cannot choose them.
fn versions(desk: &TestProject) -> Value {
    ask(
        desk,
        "select id, city, _is_current c, _valid_to = lead(_valid_from) over (partition by id order by _valid_from) g
         from raw.customers order by id, _valid_from",
    )
}

#[test]
fn daily_customers_keep_their_history() {
    let desk = TestProject::with_pipeline(HISTORY);
    desk.write("models/marts/cities.sql", CITIES);
    customers(&desk, "1,Rome,a@x\n2,Oslo,b@x\n3,Rome,c@x\n");
    has(
        &desk.ok(".", &["plan"]),
        &["keep versions by id in raw.customers, close rows that are gone"],
    );
    has(&desk.ok(".", &["run"]), &["+3 ~0 -0 =0"]);
    customers(&desk, "1,Rome,a@x\n2,Bonn,b@x\n4,Lima,d@x\n");
    has(&desk.ok(".", &["run"]), &["+1 ~1 -1 =1", "No row was lost"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    let now = rows(
        r#"[{"c":true,"city":"Rome","g":null,"id":1},{"c":false,"city":"Oslo","g":true,"id":2},{"c":true,"city":"Bonn","g":null,"id":2},{"c":false,"city":"Rome","g":null,"id":3},{"c":true,"city":"Lima","g":null,"id":4}]"#,
    );
    assert_eq!(versions(&desk), now);
    // As it was before the second run.
    let then = "select count(*) n from raw.customers where _valid_from < (select max(_valid_from) from raw.customers) and (_valid_to is null or _valid_to >= (select max(_valid_from) from raw.customers))";
    assert_eq!(ask(&desk, then), rows(r#"[{"n":3}]"#));
    let cities = "select city, customers from marts.cities order by city";
    let built = rows(
        r#"[{"city":"Bonn","customers":1},{"city":"Lima","customers":1},{"city":"Rome","customers":1}]"#,
    );
    assert_eq!(ask(&desk, cities), built);
    // Everything is read anew, and nothing of the history is lost.
    has(&desk.ok(".", &["run", "--full-refresh"]), &["+0 ~0 -0 =3"]);
    assert_eq!(versions(&desk), now);
    // A source without rows stops before it closes everything.
    customers(&desk, "");
    has(
        &desk.exits(3, ".", &["run"]),
        &["R0660", "its source has no rows"],
    );
    assert_eq!(versions(&desk), now);
}

#[test]
fn a_rejected_row_is_not_gone_and_comes_in_by_replay() {
    let desk = TestProject::with_pipeline(&HISTORY.replace("  build:\n    models: all\n", ""));
    customers(&desk, "1,Rome,a@x\n2,Oslo,b@x\n3,Bonn,c@x\n");
    desk.ok(".", &["run"]);
    customers(&desk, "1,Rome,a@x\n2,Bern,\n");
    let said = desk.ok(".", &["run"]);
    has(
        &said,
        &[
            "+0 ~0 -0 =1",
            "no row was closed because its key is gone",
            "1 row rejected",
        ],
    );
    let pipeline = desk.read("pipelines/p.yml");
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("{ required: true }", "{ type: text }"),
    );
    has(
        &desk.ok(".", &["quarantine", "replay", "raw.customers"]),
        &["1 "],
    );
    let of_two = "select city, _is_current c from raw.customers where id = 2 order by _valid_from";
    assert_eq!(
        ask(&desk, of_two),
        rows(r#"[{"c":false,"city":"Oslo"},{"c":true,"city":"Bern"}]"#)
    );
    customers(&desk, "1,Rome,a@x\n2,Bern,\n4,Lima,d@x\n");
    has(&desk.ok(".", &["run"]), &["+1 ~0 -1 =2"]);
}

#[test]
fn incremental_reads_close_nothing_and_times_come_from_the_source() {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 6f1e0000-0000-4000-8000-000000000003\nlakehouse: ./lake\nconnections:\n  store: { type: sqlite, path: store.db }\n",
    );
    let pipeline = "steps:\n  extract:\n    load: store\n    into: raw\n    tables:\n      customers: { cursor: at, key: id, write: scd2, valid_from: at, columns: { at: { type: timestamp } } }\n";
    desk.write("pipelines/p.yml", pipeline);
    let sql = |text: &str| {
        let store = Connection::open(desk.path("store.db")).unwrap();
        store.execute_batch(text).unwrap();
    };
    sql("create table customers (id integer primary key, city text, at text);
         insert into customers values (1, 'Rome', '2026-01-01 00:00:00'), (2, 'Oslo', '2026-01-02 00:00:00')");
    has(&desk.ok(".", &["run"]), &["+2 ~0 -0 =0"]);
    sql(
        "update customers set city = 'Bonn', at = '2026-02-01 00:00:00' where id = 1; delete from customers where id = 2",
    );
    has(&desk.ok(".", &["run"]), &["+0 ~1 -0"]);
    let all = "select id, city, cast(_valid_from as date) f, cast(_valid_to as date) t from raw.customers order by id, _valid_from";
    assert_eq!(
        ask(&desk, all),
        rows(
            r#"[{"city":"Rome","f":"2026-01-01","id":1,"t":"2026-02-01"},{"city":"Bonn","f":"2026-02-01","id":1,"t":null},{"city":"Oslo","f":"2026-01-02","id":2,"t":null}]"#
        )
    );
    // Another mode would destroy what is kept.
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("write: scd2, valid_from: at", "write: merge"),
    );
    sql("update customers set city = 'Bern', at = '2026-03-01 00:00:00' where id = 1");
    let refused = desk.exits(1, ".", &["run"]);
    has(
        &refused,
        &["R0445", "towpath lake drop raw.customers --yes"],
    );
    has(&desk.exits(1, ".", &["run", "--full-refresh"]), &["R0445"]);
    assert_eq!(desk.count(".", "raw.customers"), 3);
}

#[test]
fn snapshots_keep_every_read() {
    let desk = TestProject::with_pipeline(
        "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      daily: { from: customers.csv, key: id, write: snapshot, columns: { email: { required: true } }, fail_above: 60% }\n",
    );
    customers(&desk, "1,Rome,a@x\n2,Oslo,b@x\n");
    has(
        &desk.ok(".", &["plan"]),
        &["add a snapshot of all rows to raw.daily"],
    );
    desk.ok(".", &["run"]);
    customers(&desk, "1,Rome,a@x\n2,Bern,\n");
    desk.ok(".", &["run"]);
    desk.ok(".", &["run", "--full-refresh"]);
    let of_one = "select count(*) n, count(distinct _snapshot_at) t from raw.daily where id = 1";
    assert_eq!(ask(&desk, of_one), rows(r#"[{"n":3,"t":3}]"#));
    assert_eq!(desk.count(".", "raw.daily"), 4);
    let refused = desk.exits(4, ".", &["quarantine", "replay", "raw.daily"]);
    has(&refused, &["R0449", "run again"]);
}
