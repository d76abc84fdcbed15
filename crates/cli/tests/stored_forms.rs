//! Projects of older versions of Towpath continue from their last state.
//!
//! Promise: `stored_forms/version_1` was written by the last version with tokens of version 1: a lakehouse,
//! commits in a SQLite database, files next to a CSV file and metadata in a Parquet footer, a state store,
//! a replay. Nothing in it is loaded twice or lost. Read next: `vocab/src/token/stored.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::path::Path;

use rusqlite::Connection;

use crate::test_project::{TestProject, has};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// The project as version 1 left it: orders 1, 3, 5 were loaded, 2 was replayed, 4 is in the quarantine.
fn version_1() -> TestProject {
    let project = TestProject::new();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored_forms/version_1");
    copy(&stored, &project.path("."));
    std::fs::rename(project.path("state"), project.path(".towpath")).unwrap();
    project
}

fn add_order(project: &TestProject, id: u32) {
    let shop = Connection::open(project.path("shop.db")).unwrap();
    let order = format!("insert into orders values ({id}, {id}, {id})");
    shop.execute_batch(&order).unwrap();
}

fn orders(project: &TestProject) -> String {
    let sql = "select string_agg(id::varchar, ' ' order by id) as ids from raw.orders";
    let rows = project.json(".", &["query", "--format", "json", sql]);
    rows[0]["ids"].as_str().unwrap().to_owned()
}

fn held(project: &TestProject) -> u64 {
    let tables = project.json(".", &["quarantine", "ls", "--format", "json"]);
    tables["tables"][0]["held"].as_u64().unwrap()
}

fn published(project: &TestProject, sql: &str) -> String {
    let out = Connection::open(project.path("out.db")).unwrap();
    out.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn nothing_of_version_1_is_done_again() {
    let project = version_1();
    has(&project.ok(".", &["run"]), &["Nothing to do"]);
    has(&project.ok(".", &["runs"]), &["p#1", "p#4"]);
    assert_eq!((orders(&project).as_str(), held(&project)), ("1 2 3 5", 1));
    let again = project.ok(".", &["quarantine", "replay", "raw.orders"]);
    has(&again, &["0 rows replayed", "1 still in the quarantine"]);
}

#[test]
fn what_is_new_since_version_1_is_added_once() {
    let project = version_1();
    add_order(&project, 6);
    project.write("data/t.csv", "id,v\n1,a\n2,changed\n");
    let said = project.ok(".", &["run"]);
    // The publish compares with the version that version 1 says it sent.
    has(&said, &["db.t", "+0 ~1 -1"]);
    assert_eq!(orders(&project), "1 2 3 5 6");
    let all = published(
        &project,
        "select group_concat(id || v, ' ') from (select * from t order by id)",
    );
    assert_eq!(all, "1a 2changed");
    assert_eq!(project.read("out/t.csv"), "id,v\n1,a\n2,changed\n");
    has(&project.ok(".", &["run"]), &["Nothing to do"]);
    // What is written now has the form of version 2: beside the position, not in it.
    let newest =
        "select position from _towpath_commits where table_name = 'db.t' order by generation desc";
    let stored: serde_json::Value = serde_json::from_str(&published(&project, newest)).unwrap();
    assert_eq!(
        stored["annotations"]["sent"]["key"],
        serde_json::json!(["id"])
    );
    assert!(stored["fingerprint"].is_string(), "{stored}");
    assert!(
        stored["position"]["towpath:fingerprint"].is_null(),
        "{stored}"
    );
    has(
        &project.read("out/.t.csv.towpath.json"),
        &[r#""version":2"#, r#""kind":"step""#],
    );
}

#[test]
fn without_a_state_store_the_tokens_of_version_1_are_enough() {
    let project = version_1();
    std::fs::remove_dir_all(project.path(".towpath")).unwrap();
    add_order(&project, 6);
    project.ok(".", &["run"]);
    assert_eq!(orders(&project), "1 2 3 5 6");
    assert_eq!(
        published(
            &project,
            "select group_concat(id, ' ') from (select id from orders order by id)"
        ),
        "1 2 3 5 6"
    );
    assert_eq!(project.read("out/t.csv").lines().count(), 4);
    has(&project.ok(".", &["run"]), &["Nothing to do"]);
}

#[test]
fn a_restore_brings_a_position_of_version_1_back() {
    let project = version_1();
    let restored = project.ok(".", &["lake", "restore", "raw.orders", "--to", "0"]);
    has(&restored, &["restored to version 0: 2 rows"]);
    // The replay is undone with it: its record waits again.
    assert_eq!((orders(&project).as_str(), held(&project)), ("1 3", 2));
    project.ok(".", &["run"]);
    assert_eq!(orders(&project), "1 3 5");
    let replayed = project.ok(".", &["quarantine", "replay", "raw.orders"]);
    has(&replayed, &["1 row replayed", "1 still in the quarantine"]);
    assert_eq!((orders(&project).as_str(), held(&project)), ("1 2 3 5", 1));
}
