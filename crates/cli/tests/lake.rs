//! Maintenance of tables as a user types it: restore, compact, vacuum and drop, during runs and after
//! kills.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::process::Command;

use serde_json::Value;

use crate::test_project::{TestProject, has};

/// A project that appends what is new in a SQLite table, and keeps a model of it.
fn growing() -> TestProject {
    let desk = TestProject::new();
    desk.write(
        "shop/towpath.yml",
        "towpath: 1\nname: shop\nid: 11111111-1111-4111-8111-111111111111\nlakehouse: ./lake\n\
         connections:\n  store: { type: sqlite, path: store.db }\n",
    );
    desk.write(
        "shop/pipelines/shop.yml",
        "steps:\n  extract:\n    load: store\n    into: raw\n    tables:\n      \
         orders: { cursor: id, write: append }\n  build: { models: all }\n",
    );
    model(&desk, "table");
    grow(&desk, &[1, 2, 3]);
    desk
}

fn model(desk: &TestProject, kind: &str) {
    let text = format!(
        "{{{{ config(materialized='{kind}') }}}}\nselect id % 2 as odd, count(*) as n from {{{{ source('raw', 'orders') }}}} group by 1\n"
    );
    desk.write("shop/models/marts/parity.sql", &text);
}

/// More rows at the source.
fn grow(desk: &TestProject, ids: &[i64]) {
    let rows: String = ids.iter().map(|id| format!("{id},row {id}\n")).collect();
    desk.write("shop/more.csv", &format!("id,name\n{rows}"));
    let append = [
        "copy",
        "more.csv",
        "sqlite:store.db",
        "--into",
        "orders",
        "--write",
        "append",
    ];
    desk.ok("shop", &append);
}

fn version(desk: &TestProject, table: &str) -> Value {
    let described = desk.json("shop", &["lake", "describe", table, "--format", "json"]);
    described["table_version"].clone()
}

fn ids(desk: &TestProject) -> String {
    let sql = "select string_agg(id::varchar, ' ' order by id) ids from raw.orders";
    desk.json("shop", &["query", "--format", "json", sql])[0]["ids"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Data files in a table's folder, and those its newest version has.
fn files(desk: &TestProject, table: &str) -> (usize, u64) {
    let folder = desk.path("shop/lake").join(table.replace('.', "/"));
    let there = std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_file())
        .count();
    let described = desk.json("shop", &["lake", "describe", table, "--format", "json"]);
    (there, described["files"].as_u64().unwrap())
}

/// Runs until the process is killed at an edge.
fn killed_at(desk: &TestProject, edge: &str, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(arguments)
        .current_dir(desk.path("shop"))
        .env("TOWPATH_FAILPOINT", edge)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        None,
        "{edge} was not reached: {output:?}"
    );
}

#[test]
fn after_a_restore_the_next_run_reads_again_from_there() {
    let desk = growing();
    desk.ok("shop", &["run"]);
    grow(&desk, &[4, 5]);
    desk.ok("shop", &["run"]);
    assert_eq!(
        (ids(&desk).as_str(), version(&desk, "raw.orders")),
        ("1 2 3 4 5", 1.into())
    );

    let said = desk.ok("shop", &["lake", "restore", "raw.orders", "--to", "0"]);
    has(
        &said,
        &[
            "raw.orders is restored to version 0: 3 rows; the new version is 2.",
            "The next run of shop.extract continues from there.",
        ],
    );
    assert_eq!(
        (ids(&desk).as_str(), version(&desk, "raw.orders")),
        ("1 2 3", 2.into())
    );
    has(
        &desk.ok("shop", &["lake", "history", "raw.orders"]),
        &["restore", "append"],
    );
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4 5");
    assert_eq!(desk.count("shop", "marts.parity"), 2);
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4 5", "each once");
    grow(&desk, &[6]);
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4 5 6");

    // A time, as the history tells it, and the state store lost meanwhile.
    let history = desk.json(
        "shop",
        &["lake", "history", "raw.orders", "--format", "json"],
    );
    let first = history["history"].as_array().unwrap().last().unwrap();
    let after = first["at_ms"].as_i64().unwrap() + 1;
    let seconds = format!("{}.{:03}", after / 1000, after % 1000);
    let sql = format!("select to_timestamp({seconds})::varchar t");
    let at = desk.json("shop", &["query", "--format", "json", &sql])[0]["t"].clone();
    std::fs::remove_dir_all(desk.path("shop/.towpath")).unwrap();
    let restored = desk.json(
        "shop",
        &[
            "lake",
            "restore",
            "raw.orders",
            "--to",
            at.as_str().unwrap(),
            "--format",
            "json",
        ],
    );
    assert_eq!(
        (&restored["restored"], &restored["rows"]),
        (&0.into(), &3.into())
    );
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4 5 6");
}

#[test]
fn what_cannot_be_restored_is_told() {
    let desk = growing();
    desk.ok("shop", &["run"]);
    grow(&desk, &[4]);
    desk.ok("shop", &["run"]);
    let restore =
        |to: &str, exit| desk.exits(exit, "shop", &["lake", "restore", "raw.orders", "--to", to]);
    has(&restore("7", 2), &["R0414", "version `7` of `raw.orders`"]);
    has(&restore("1", 2), &["R0986", "is at version 1"]);
    has(
        &restore("soon", 2),
        &["R0989", "neither a version nor a time", "(UTC)"],
    );
    has(&restore("2001-01-01", 2), &["R0427"]);
    has(
        &desk.exits(2, "shop", &["lake", "restore", "raw.order", "--to", "0"]),
        &["no table `raw.order`"],
    );
    assert_eq!(ids(&desk), "1 2 3 4");
}

#[test]
fn a_restore_that_is_killed_is_done_or_was_never_begun() {
    for (edge, done) in [
        ("lake::restore_position_written", false),
        ("lake::before_restore", false),
        ("lake::after_restore", true),
    ] {
        let desk = growing();
        desk.ok("shop", &["run"]);
        grow(&desk, &[4, 5]);
        desk.ok("shop", &["run"]);
        let restore = ["lake", "restore", "raw.orders", "--to", "0"];
        killed_at(&desk, edge, &restore);
        let expected = if done { "1 2 3" } else { "1 2 3 4 5" };
        assert_eq!(ids(&desk), expected, "{edge}");
        if !done {
            desk.ok("shop", &restore);
        }
        desk.ok("shop", &["run"]);
        assert_eq!(ids(&desk), "1 2 3 4 5", "{edge}");
        let markers = desk.path("shop/lake/_towpath/writers");
        assert_eq!(std::fs::read_dir(markers).unwrap().count(), 0, "{edge}");
    }
}

#[test]
fn rows_that_were_replayed_since_wait_again() {
    let desk = TestProject::new();
    desk.ok(".", &["init", "shop"]);
    desk.ok("shop", &["run"]);
    let before = version(&desk, "raw.orders").to_string();
    let pipeline = desk.read("shop/pipelines/shop.yml");
    desk.write(
        "shop/pipelines/shop.yml",
        &pipeline.replace("min: 1", "min: -1"),
    );
    desk.ok("shop", &["quarantine", "replay", "raw.orders"]);
    assert_eq!(desk.count("shop", "raw.orders"), 12);
    let said = desk.ok("shop", &["lake", "restore", "raw.orders", "--to", &before]);
    has(&said, &["1 quarantined row back in the quarantine"]);
    assert_eq!(desk.count("shop", "raw.orders"), 11);
    desk.ok("shop", &["quarantine", "replay", "raw.orders"]);
    assert_eq!(desk.count("shop", "raw.orders"), 12);
    desk.ok("shop", &["quarantine", "replay", "raw.orders"]);
    assert_eq!(desk.count("shop", "raw.orders"), 12, "each once");
}

#[test]
fn a_restore_undoes_no_replay_twice() {
    let desk = TestProject::new();
    desk.ok(".", &["init", "shop"]);
    desk.ok("shop", &["run"]);
    let before = version(&desk, "raw.orders").to_string();
    let pipeline = desk.read("shop/pipelines/shop.yml");
    let mended = pipeline.replace("min: 1", "min: -1");
    desk.write("shop/pipelines/shop.yml", &mended);
    let replay = || desk.ok("shop", &["quarantine", "replay", "raw.orders"]);
    let restore = |to: &str| desk.ok("shop", &["lake", "restore", "raw.orders", "--to", to]);
    replay();
    let replayed = version(&desk, "raw.orders").to_string();
    has(
        &restore(&before),
        &["1 quarantined row back in the quarantine"],
    );
    replay();
    // To behind the first replay: the row is there as it was before.
    let said = restore(&replayed);
    assert!(!said.contains("back in the quarantine"), "{said}");
    has(&replay(), &["0 rows replayed, 0 still in the quarantine"]);
    assert_eq!(desk.count("shop", "raw.orders"), 12);
    // Undone, and back again.
    has(
        &restore(&before),
        &["1 quarantined row back in the quarantine"],
    );
    restore(&replayed);
    has(&replay(), &["0 rows replayed, 0 still in the quarantine"]);
    assert_eq!(desk.count("shop", "raw.orders"), 12);
}

#[test]
fn compaction_leaves_rows_position_and_old_versions() {
    let desk = growing();
    for more in 4..8 {
        desk.ok("shop", &["run"]);
        grow(&desk, &[more]);
    }
    desk.ok("shop", &["run"]);
    assert_eq!(files(&desk, "raw.orders").1, 5);
    let done = desk.json(
        "shop",
        &["lake", "compact", "raw.orders", "--format", "json"],
    );
    assert_eq!(
        (&done["files_before"], &done["files_after"]),
        (&5.into(), &1.into())
    );
    assert_eq!(done["table_version"], 5);
    assert_eq!(ids(&desk), "1 2 3 4 5 6 7");
    assert_eq!(files(&desk, "raw.orders").1, 1);
    assert_eq!(desk.count("shop", "at_version('raw.orders', 1)"), 4);
    has(
        &desk.ok("shop", &["lake", "compact", "raw.orders"]),
        &["no small files"],
    );
    let unchanged = desk.ok("shop", &["run", "shop.build"]);
    has(&unchanged, &["Nothing to do"]);
    grow(&desk, &[8]);
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4 5 6 7 8");
    desk.ok("shop", &["lake", "restore", "raw.orders", "--to", "3"]);
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4 5 6 7 8");
}

fn vacuum<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["lake", "vacuum", "raw.orders"], more].concat()
}

#[test]
fn vacuum_refuses_what_is_young_unless_forced() {
    let desk = growing();
    desk.ok("shop", &["run"]);
    desk.ok("shop", &["run", "--full-refresh"]);
    assert_eq!(files(&desk, "raw.orders"), (2, 1));
    has(
        &desk.ok("shop", &vacuum(&[])),
        &["no unneeded files that are older than 7 days"],
    );
    let refused = desk.exits(4, "shop", &vacuum(&["--older-than", "0s"]));
    has(
        &refused,
        &["R0985", "are reading an older version", "--force"],
    );
    let listed = desk.ok("shop", &vacuum(&["--older-than", "0s", "--dry-run"]));
    has(&listed, &["part-", "1 file", "would be deleted"]);
    assert_eq!(files(&desk, "raw.orders"), (2, 1));
    let done = desk.json(
        "shop",
        &vacuum(&["--older-than", "0s", "--force", "--format", "json"]),
    );
    assert_eq!(done["files"].as_array().unwrap().len(), 1);
    assert_eq!(files(&desk, "raw.orders"), (1, 1));
    assert_eq!(ids(&desk), "1 2 3");
    let gone = desk.exits(2, "shop", &["lake", "restore", "raw.orders", "--to", "0"]);
    has(
        &gone,
        &["R0427", "1 of its 1 files were deleted by `lake vacuum`"],
    );
    desk.exits(2, "shop", &vacuum(&["--older-than", "soon"]));
}

#[test]
fn a_dropped_table_is_made_anew_from_all_its_source_holds() {
    let desk = growing();
    desk.ok("shop", &["run"]);
    let refused = desk.exits(4, "shop", &["lake", "drop", "raw.orders"]);
    has(
        &refused,
        &["R0987", "3 rows in 1 file, and 1 version", "--yes"],
    );
    assert_eq!(ids(&desk), "1 2 3");
    let gone = desk.ok("shop", &["lake", "drop", "raw.orders", "--yes"]);
    has(&gone, &["raw.orders was deleted"]);
    desk.exits(2, "shop", &["lake", "describe", "raw.orders"]);
    grow(&desk, &[4]);
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4");

    model(&desk, "view");
    desk.ok("shop", &["run"]);
    has(
        &desk.exits(4, "shop", &["lake", "drop", "marts.parity"]),
        &["view `marts.parity`"],
    );
    desk.ok("shop", &["lake", "drop", "marts.parity", "--yes"]);
    desk.ok("shop", &["run"]);
    assert_eq!(desk.count("shop", "marts.parity"), 2);
}

#[test]
fn a_run_clears_up_after_a_killed_one() {
    for edge in [
        "lake::prepared",
        "lake::position_written",
        "lake::before_link",
        "lake::after_commit",
    ] {
        let desk = growing();
        desk.ok("shop", &["run"]);
        grow(&desk, &[4]);
        killed_at(&desk, edge, &["run"]);
        let markers = desk.path("shop/lake/_towpath/writers");
        assert!(std::fs::read_dir(&markers).unwrap().count() > 0, "{edge}");
        desk.ok("shop", &["run"]);
        assert_eq!(ids(&desk), "1 2 3 4", "{edge}");
        assert_eq!(files(&desk, "raw.orders"), (2, 2), "{edge}");
        assert_eq!(std::fs::read_dir(&markers).unwrap().count(), 0, "{edge}");
        let log = desk.path("shop/lake/raw/orders/_delta_log");
        for entry in std::fs::read_dir(log).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.ends_with(".tmp"), "{edge}: {name}");
        }
    }
}

#[test]
fn a_model_is_in_sight_whenever_a_change_of_its_kind_is_killed() {
    for edge in ["lake::view_stands", "lake::before_deleting_dropped"] {
        let desk = growing();
        desk.ok("shop", &["run"]);
        model(&desk, "view");
        killed_at(&desk, edge, &["run", "shop.build"]);
        assert_eq!(desk.count("shop", "marts.parity"), 2, "{edge}");
        desk.ok("shop", &["run", "shop.build"]);
        assert_eq!(desk.count("shop", "marts.parity"), 2, "{edge}");
        assert!(!desk.path("shop/lake/marts/parity").exists(), "{edge}");

        model(&desk, "table");
        for edge in ["lake::before_commit", "lake::after_commit"] {
            killed_at(&desk, edge, &["run", "shop.build"]);
            assert_eq!(desk.count("shop", "marts.parity"), 2, "{edge}");
        }
        desk.ok("shop", &["run", "shop.build"]);
        assert_eq!(desk.count("shop", "marts.parity"), 2);
        desk.ok("shop", &["lake", "describe", "marts.parity"]);
    }
}

/// Flips bits in the middle of a data file that only this version of a table added.
fn damage(desk: &TestProject, table: &str) -> String {
    let folder = desk.path("shop/lake").join(table.replace('.', "/"));
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    let newest = files.pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    for byte in &mut bytes[40..48] {
        *byte ^= 0x11;
    }
    std::fs::write(&newest, bytes).unwrap();
    newest.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn verify_finds_a_damaged_file_and_says_what_can_be_done() {
    let desk = growing();
    desk.ok("shop", &["run"]);
    grow(&desk, &[4, 5]);
    desk.ok("shop", &["run"]);
    let fine = desk.ok("shop", &["lake", "verify"]);
    has(
        &fine,
        &[
            "marts.parity  version 1: 1 file",
            "raw.orders  version 1: 2 files",
            "no damage",
        ],
    );
    let name = damage(&desk, "raw.orders");
    let said = desk.exits(3, "shop", &["lake", "verify", "raw.orders", "marts.parity"]);
    has(
        &said,
        &[
            "marts.parity  version 1: 1 file",
            "raw.orders  version 1: 2 files",
            "1 file damaged or missing",
            &name,
            "of row group 0 and its footer); in version 1",
            "help: restore the file from a backup",
            "towpath lake verify raw.orders --all-versions",
        ],
    );
    let all = ["lake", "verify", "raw.orders", "--all-versions"];
    let said = desk.exits(3, "shop", &all);
    has(
        &said,
        &["versions 0 to 1", "towpath lake restore raw.orders --to 0"],
    );
    let json = desk.json("shop", &[&all[..], &["--format", "json"]].concat());
    assert_eq!(json["whole"], false);
    assert_eq!(json["tables"][0]["last_whole_version"], 0);
    assert_eq!(json["tables"][0]["damaged"][0]["versions"][0][0], 1);
    // No command reads it.
    let sql = "select sum(id), max(name) from raw.orders";
    has(
        &desk.exits(4, "shop", &["query", sql]),
        &["R0432", "`raw.orders` (version 1)", &name, "row group 0"],
    );
    grow(&desk, &[6]);
    has(&desk.exits(1, "shop", &["run"]), &["R0432", &name]);
    // The advice works.
    desk.ok("shop", &["lake", "restore", "raw.orders", "--to", "0"]);
    desk.ok("shop", &["run"]);
    assert_eq!(ids(&desk), "1 2 3 4 5 6");
    desk.ok("shop", &["lake", "verify"]);
    damage(&desk, "raw.orders");
    desk.ok("shop", &["run", "--full-refresh"]);
    assert_eq!(ids(&desk), "1 2 3 4 5 6");
    desk.ok("shop", &["lake", "verify"]);
    desk.exits(2, "shop", &["lake", "verify", "raw.nothing"]);
}
