//! Replays of rejected rows: each row is loaded once, none from a load that never committed, and none over
//! a newer row.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::process::Command;

use rusqlite::Connection;

use crate::test_project::{TestProject, has};

const PROJECT: &str = "towpath: 1
name: shop
id: 11111111-1111-4111-8111-111111111111
lakehouse: ./lake
connections:
  store: { type: sqlite, path: store.db }
  data: { type: files, path: data }
";

/// A project that loads `raw.orders` this way, from a SQLite table or the file `data/orders.csv`.
fn shop(from: &str, settings: &str) -> TestProject {
    let desk = TestProject::new();
    desk.write("shop/towpath.yml", PROJECT);
    desk.write(
        "shop/pipelines/shop.yml",
        &format!(
            "steps:\n  extract:\n    load: {from}\n    into: raw\n    tables:\n      orders:\n        \
             {settings}\n        columns: {{ amount: {{ min: 0 }} }}\n"
        ),
    );
    sql(
        &desk,
        "create table orders (id integer primary key, at integer, amount integer)",
    );
    desk
}

fn sql(desk: &TestProject, text: &str) {
    let store = Connection::open(desk.path("shop/store.db")).unwrap();
    store.execute_batch(text).unwrap();
}

/// Whatever amount is good from now on.
fn mend_the_rule(desk: &TestProject) {
    let pipeline = desk.read("shop/pipelines/shop.yml");
    let mended = pipeline.replace("min: 0", "min: -100");
    desk.write("shop/pipelines/shop.yml", &mended);
}

fn replay(desk: &TestProject) -> String {
    desk.ok("shop", &["quarantine", "replay", "raw.orders"])
}

/// Records that wait, and those that were decided anew.
fn held_and_outdated(desk: &TestProject) -> (u64, u64) {
    let shown = desk.json("shop", &["quarantine", "ls", "--format", "json"]);
    let line = &shown["tables"][0];
    let number = |name: &str| line[name].as_u64().unwrap();
    (number("held"), number("outdated"))
}

fn orders(desk: &TestProject) -> String {
    let sql = "select string_agg(id::varchar || '=' || amount::varchar, ' ' order by id) as all_of \
               from raw.orders";
    let shown = desk.json("shop", &["query", "--format", "json", sql]);
    shown[0]["all_of"].as_str().unwrap_or_default().to_owned()
}

const TEN: &str = "insert into orders values (1,1,1),(2,2,-2),(3,3,3),(4,4,-4),(5,5,5),(6,6,-6),\
                   (7,7,7),(8,8,-8),(9,9,9),(10,10,-10)";
const ALL: &str = "1=1 2=-2 3=3 4=-4 5=5 6=-6 7=7 8=-8 9=9 10=-10";

#[test]
fn records_of_a_load_that_was_stopped_are_never_replayed() {
    for (from, settings) in [
        (
            "store",
            "cursor: id\n        write: append\n        fail_above: 10%",
        ),
        (
            "data",
            "from: orders.csv\n        write: append\n        fail_above: 10%",
        ),
    ] {
        let desk = shop(from, settings);
        sql(&desk, TEN);
        let rows = ALL.split(' ').map(|row| row.split_once('=').unwrap());
        let rows: String = rows
            .map(|(id, amount)| format!("{id},{amount}\n"))
            .collect();
        desk.write("shop/data/orders.csv", &format!("id,amount\n{rows}"));
        desk.exits(3, "shop", &["run"]);
        assert_eq!(held_and_outdated(&desk), (0, 5), "{from}");
        has(&replay(&desk), &["0 rows replayed"]);
        mend_the_rule(&desk);
        desk.ok("shop", &["run"]);
        assert_eq!(orders(&desk), ALL, "{from}");
        assert_eq!(held_and_outdated(&desk), (0, 5), "{from}");
        has(&replay(&desk), &["0 rows replayed"]);
        assert_eq!(orders(&desk), ALL, "{from}");
    }
}

#[test]
fn records_of_an_attempt_that_was_killed_wait_only_when_they_are_still_bad() {
    let desk = shop(
        "store",
        "cursor: id\n        write: append\n        fail_above: 100%",
    );
    sql(&desk, TEN);
    let killed = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .arg("run")
        .current_dir(desk.path("shop"))
        .env("TOWPATH_FAILPOINT", "flow::between_quarantine_and_table")
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    // The next attempt has the same generation and meets one bad row less.
    sql(&desk, "update orders set amount = 2 where id = 2");
    desk.ok("shop", &["run"]);
    assert_eq!(orders(&desk), "1=1 2=2 3=3 5=5 7=7 9=9");
    assert_eq!(held_and_outdated(&desk), (4, 1));
    mend_the_rule(&desk);
    has(
        &replay(&desk),
        &["4 rows replayed, 0 still in the quarantine"],
    );
    assert_eq!(orders(&desk), ALL.replace("2=-2", "2=2"));
}

#[test]
fn a_full_refresh_decides_about_all_records_anew() {
    let desk = shop(
        "store",
        "cursor: id\n        write: append\n        fail_above: 100%",
    );
    sql(&desk, TEN);
    desk.ok("shop", &["run"]);
    assert_eq!(held_and_outdated(&desk), (5, 0));
    mend_the_rule(&desk);
    desk.ok("shop", &["run", "--full-refresh"]);
    assert_eq!(held_and_outdated(&desk), (0, 5));
    has(&replay(&desk), &["0 rows replayed"]);
    assert_eq!(orders(&desk), ALL);
}

#[test]
fn a_restore_lays_aside_what_the_next_run_reads_again() {
    let desk = shop(
        "store",
        "cursor: id\n        write: append\n        fail_above: 100%",
    );
    sql(&desk, "insert into orders values (1,1,1)");
    desk.ok("shop", &["run"]);
    sql(&desk, "insert into orders values (2,2,-2),(3,3,3)");
    desk.ok("shop", &["run"]);
    assert_eq!(held_and_outdated(&desk), (1, 0));
    desk.ok("shop", &["lake", "restore", "raw.orders", "--to", "0"]);
    mend_the_rule(&desk);
    assert_eq!(held_and_outdated(&desk), (0, 1));
    desk.ok("shop", &["run"]);
    has(&replay(&desk), &["0 rows replayed"]);
    assert_eq!(orders(&desk), "1=1 2=-2 3=3");
}

#[test]
fn a_replay_never_puts_an_older_row_over_a_newer_one() {
    let desk = shop(
        "store",
        "cursor: at\n        key: id\n        fail_above: 100%",
    );
    sql(
        &desk,
        "insert into orders values (1,1,-5),(2,2,3),(3,3,-1),(4,4,-4)",
    );
    desk.ok("shop", &["run"]);
    assert_eq!(orders(&desk), "2=3");
    sql(
        &desk,
        "update orders set at = 5, amount = 7 where id = 1; \
         update orders set at = 6, amount = -9 where id = 2; \
         update orders set at = 7, amount = -2 where id = 3;",
    );
    desk.ok("shop", &["run"]);
    assert_eq!(orders(&desk), "1=7 2=3");
    assert_eq!(held_and_outdated(&desk), (5, 0));
    mend_the_rule(&desk);
    let shown = replay(&desk);
    has(
        &shown,
        &[
            "3 rows replayed, 0 still in the quarantine",
            "2 records left out",
        ],
    );
    assert_eq!(
        orders(&desk),
        "1=7 2=-9 3=-2 4=-4",
        "the newest of each key"
    );
    assert_eq!(held_and_outdated(&desk), (0, 2));
    has(
        &replay(&desk),
        &["0 rows replayed, 0 still in the quarantine"],
    );
}

#[test]
fn of_two_records_of_one_load_the_newer_stays_whichever_is_replayed_first() {
    let desk = shop("data", "key: id\n        fail_above: 100%");
    desk.write(
        "shop/data/orders.csv",
        "id,amount\n1,-50\n1,-2\n2,-2\n2,-50\n3,3\n",
    );
    desk.ok("shop", &["run"]);
    let rule = |old: &str, new: &str| {
        let pipeline = desk.read("shop/pipelines/shop.yml");
        desk.write("shop/pipelines/shop.yml", &pipeline.replace(old, new));
    };
    rule("min: 0", "min: -10");
    has(
        &replay(&desk),
        &["2 rows replayed, 2 still in the quarantine"],
    );
    assert_eq!(orders(&desk), "1=-2 2=-2 3=3");
    rule("min: -10", "min: -100");
    has(
        &replay(&desk),
        &["1 row replayed, 0 still in the quarantine"],
    );
    assert_eq!(orders(&desk), "1=-2 2=-50 3=3");
    assert_eq!(held_and_outdated(&desk), (0, 1));
}

#[test]
fn of_two_records_of_one_load_the_greater_cursor_stays_wherever_it_stood() {
    let desk = shop(
        "store",
        "cursor: at\n        key: id\n        fail_above: 100%",
    );
    sql(
        &desk,
        "drop table orders; create table orders (id integer, at integer, amount integer); \
         insert into orders values (2,20,-20),(2,10,-10),(1,1,1),(3,30,-8),(3,40,-7),(3,35,-6)",
    );
    desk.ok("shop", &["run"]);
    let rule = |old: &str, new: &str| {
        let pipeline = desk.read("shop/pipelines/shop.yml");
        desk.write("shop/pipelines/shop.yml", &pipeline.replace(old, new));
    };
    rule("min: 0", "min: -15");
    replay(&desk);
    assert_eq!(orders(&desk), "1=1 2=-10 3=-7");
    rule("min: -15", "min: -100");
    has(
        &replay(&desk),
        &["1 row replayed, 0 still in the quarantine"],
    );
    assert_eq!(orders(&desk), "1=1 2=-20 3=-7");
}

#[test]
fn a_replay_leaves_known_keys_of_an_insert_only_table_alone() {
    let desk = shop(
        "store",
        "cursor: at\n        key: id\n        write: insert_only\n        fail_above: 100%",
    );
    sql(&desk, "insert into orders values (1,1,-5),(2,2,-2)");
    desk.ok("shop", &["run"]);
    sql(&desk, "update orders set at = 5, amount = 7 where id = 1");
    desk.ok("shop", &["run"]);
    mend_the_rule(&desk);
    has(&replay(&desk), &["1 row replayed", "1 record left out"]);
    assert_eq!(orders(&desk), "1=7 2=-2", "a known key stays as it is");
}

#[test]
fn a_replay_in_which_nothing_passes_makes_no_version() {
    let desk = shop(
        "store",
        "cursor: at\n        key: id\n        write: merge\n        fail_above: 100%",
    );
    sql(&desk, TEN);
    desk.ok("shop", &["run"]);
    let versions = || {
        let history = desk.json(
            "shop",
            &["lake", "history", "raw.orders", "--format", "json"],
        );
        history["history"].as_array().unwrap().len()
    };
    assert_eq!((versions(), held_and_outdated(&desk)), (1, (5, 0)));
    let said = replay(&desk);
    has(&said, &["0 rows replayed, 5 still in the quarantine"]);
    assert!(!said.contains("is now at"), "{said}");
    assert_eq!((versions(), held_and_outdated(&desk)), (1, (5, 0)));
    // One is older than a row of the table now, but it still breaks the rule: it waits like the others.
    sql(&desk, "update orders set amount = 2, at = 20 where id = 2");
    desk.ok("shop", &["run"]);
    assert_eq!(versions(), 2);
    assert_eq!(held_and_outdated(&desk), (5, 0));
    replay(&desk);
    assert_eq!((versions(), held_and_outdated(&desk)), (2, (5, 0)));
    mend_the_rule(&desk);
    replay(&desk);
    assert_eq!(orders(&desk), ALL.replace("2=-2", "2=2"));
    assert_eq!((versions(), held_and_outdated(&desk)), (3, (0, 1)));
    replay(&desk);
    assert_eq!((versions(), held_and_outdated(&desk)), (3, (0, 1)));
}

#[test]
fn a_replay_whose_only_record_is_older_than_the_table_makes_no_version() {
    let desk = shop(
        "store",
        "cursor: at\n        key: id\n        write: merge\n        fail_above: 100%",
    );
    sql(&desk, "insert into orders values (1,1,1),(2,2,-2)");
    desk.ok("shop", &["run"]);
    sql(&desk, "update orders set amount = 7, at = 20 where id = 2");
    desk.ok("shop", &["run"]);
    mend_the_rule(&desk);
    let versions = || {
        let history = desk.json(
            "shop",
            &["lake", "history", "raw.orders", "--format", "json"],
        );
        history["history"].as_array().unwrap().len()
    };
    assert_eq!((versions(), held_and_outdated(&desk)), (2, (1, 0)));
    has(&replay(&desk), &["0 rows replayed", "1 record left out"]);
    assert_eq!((versions(), held_and_outdated(&desk)), (2, (0, 1)));
    assert_eq!(orders(&desk), "1=1 2=7");
    replay(&desk);
    assert_eq!((versions(), held_and_outdated(&desk)), (2, (0, 1)));
}
