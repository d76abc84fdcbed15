//! Settings are obeyed or refused, and what a run shows is what it found: keys that repeat, limits, masks, files
//! that were moved away, formats that read nothing, control characters of data.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

fn load(settings: &str) -> TestProject {
    TestProject::with_pipeline(&format!(
        "steps:\n  extract: {{ load: data, into: raw, tables: {{ t: {settings} }} }}\n"
    ))
}

fn held(desk: &TestProject, columns: &str) -> serde_json::Value {
    let sql = format!("select {columns} from raw.t order by 1");
    desk.json(".", &["query", "--format", "json", &sql])
}

#[test]
fn delete_and_insert_takes_keys_that_come_more_than_once() {
    let desk = load("{ from: t.csv, key: id, write: delete+insert }");
    desk.write("data/t.csv", "id,v\n1,a\n1,b\n2,c\n");
    desk.ok(".", &["run"]);
    desk.write("data/t.csv", "id,v\n1,x\n1,y\n1,z\n");
    desk.ok(".", &["run"]);
    let right = serde_json::json!([
        {"id": 1, "v": "x"}, {"id": 1, "v": "y"}, {"id": 1, "v": "z"}, {"id": 2, "v": "c"},
    ]);
    let sql = "select id, v from raw.t order by id, v";
    assert_eq!(desk.json(".", &["query", "--format", "json", sql]), right);
    // No part of the key is NULL all the same, and a check of one's own is run.
    desk.write("data/t.csv", "id,v\n,x\n");
    desk.exits(3, ".", &["run"]);
    let desk = load("{ from: t.csv, key: id, write: delete+insert, checks: [{ unique: id }] }");
    desk.write("data/t.csv", "id,v\n1,a\n1,b\n");
    has(&desk.exits(3, ".", &["run"]), &["R0620"]);
}

#[test]
fn a_key_that_repeats_is_not_advised_to_be_a_warning() {
    let desk = load("{ from: t.csv, key: id }");
    desk.write("data/t.csv", "id,v\n1,a\n1,b\n");
    let said = desk.exits(3, ".", &["run"]);
    has(&said, &["R0620", "dedup", "write: delete+insert"]);
    assert!(!said.contains("severity: warn"), "{said}");
}

#[test]
fn each_of_two_limits_stops_a_load() {
    let rows = |bad: usize, good: usize| {
        let bad = (0..bad).map(|_| "x\n");
        let good = (0..good).map(|n| format!("{n}\n"));
        format!("n\n{}{}", good.collect::<String>(), bad.collect::<String>())
    };
    let column = "columns: { n: { type: int } }";
    for (limit, bad, good, code) in [
        ("{ percent: 50, rows: 3 }", 4, 96, 3),
        ("{ percent: 50, rows: 3 }", 3, 2, 3),
        ("{ percent: 50, rows: 3 }", 3, 7, 0),
    ] {
        let desk = load(&format!("{{ from: t.csv, {column}, fail_above: {limit} }}"));
        desk.write("data/t.csv", &rows(bad, good));
        let said = desk.exits(code, ".", &["run"]);
        assert_eq!(said.contains("R0623"), code == 3, "{limit}: {said}");
    }
}

#[test]
fn new_files_only_do_not_replace_a_table() {
    let desk = load("{ from: 't*.csv', mode: incremental, write: replace }");
    desk.write("data/t1.csv", "id\n1\n");
    has(&desk.exits(2, ".", &["check"]), &["P0157"]);
}

#[test]
fn files_that_were_moved_away_after_loading_are_nothing_new() {
    let desk = load("{ from: 't*.csv', mode: incremental }");
    desk.write("data/t1.csv", "id\n1\n");
    desk.ok(".", &["run"]);
    std::fs::remove_file(desk.path("data/t1.csv")).unwrap();
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    assert_eq!(held(&desk, "id"), serde_json::json!([{"id": 1}]));
    desk.write("data/t2.csv", "id\n2\n");
    desk.ok(".", &["run"]);
    assert_eq!(held(&desk, "id"), serde_json::json!([{"id": 1}, {"id": 2}]));
    // Another name that finds nothing is a mistake, and so is a first load of nothing.
    std::fs::remove_file(desk.path("data/t2.csv")).unwrap();
    desk.write(
        "pipelines/p.yml",
        "steps:\n  extract: { load: data, into: raw, tables: { t: { from: 'u*.csv', mode: incremental } } }\n",
    );
    let said = desk.towpath(".", &["run"]);
    assert!(!said.status.success());
    let desk = load("{ from: 't*.csv', mode: incremental }");
    desk.write("data/x.txt", "x");
    assert!(!desk.towpath(".", &["run"]).status.success());
}

#[test]
fn formats_and_other_values_are_judged_by_check() {
    for (settings, said) in [
        (
            "date_format: 'DD.MM.YYYY'",
            ["R0103", "did you mean `%d.%m.%Y`?"],
        ),
        ("date_format: '%Q'", ["R0103", "date_format"]),
        ("date_format: '%H:%M'", ["R0103", "date_format"]),
        ("timestamp_format: '%Q'", ["R0103", "timestamp_format"]),
        ("encoding: klingon", ["R0103", "klingon"]),
        ("delimiter: ';;'", ["R0103", "delimiter"]),
        ("decimal: ',', thousands: ','", ["R0103", "thousands"]),
        ("sheet: x", ["R0103", "sheet"]),
    ] {
        let desk = load(&format!("{{ from: t.csv, {settings} }}"));
        desk.write("data/t.csv", "id\n1\n");
        let answer = desk.exits(2, ".", &["check"]);
        has(&answer, &said);
        has(&answer, &["pipelines/p.yml:2"]);
    }
    for settings in [
        "date_format: '%d.%m.%y'",
        "timestamp_format: '%d.%m.%Y %H:%M'",
        "timestamp_format: '%Y-%m-%dT%H:%M:%S%:z'",
        "timestamp_format: '%s'",
        "date_format: '%d %B %Y', encoding: latin1, delimiter: tab",
    ] {
        let desk = load(&format!("{{ from: t.csv, {settings} }}"));
        desk.write("data/t.csv", "id\n1\n");
        desk.ok(".", &["check"]);
    }
}

#[test]
fn the_state_may_be_the_path_that_a_variable_has() {
    let mut desk = load("{ from: t.csv }");
    let root = desk.read("towpath.yml");
    desk.write("data/t.csv", "id\n1\n");
    for (state, file) in [
        ("${env:STATE_FILE}", "one.db"),
        ("${env:STATE_FOLDER:-.}/two.db", "two.db"),
    ] {
        desk.set("STATE_FILE", "one.db");
        desk.write("towpath.yml", &format!("{root}state: {state}\n"));
        desk.ok(".", &["run"]);
        assert!(desk.path(file).is_file(), "{state}");
        has(&desk.ok(".", &["runs"]), &["p#1"]);
    }
}

#[test]
fn a_misspelt_default_environment_is_refused() {
    let desk = load("{ from: t.csv }");
    let root = desk.read("towpath.yml");
    desk.write(
        "towpath.yml",
        &format!("{root}default_environment: prd\nenvironments: {{ prod: {{}} }}\n"),
    );
    desk.write("data/t.csv", "id\n1\n");
    has(
        &desk.exits(2, ".", &["check"]),
        &["P0155", "did you mean `prod`?"],
    );
}

#[test]
fn another_key_of_masks_is_noticed() {
    let masked = "{ from: 't*.csv', mode: incremental, columns: { v: { mask: hash } } }";
    for settings in [masked, &masked.replace("mode: incremental, ", "")] {
        let mut desk = load(settings);
        let root = desk.read("towpath.yml");
        desk.write("towpath.yml", &format!("{root}mask_key: ${{env:MK}}\n"));
        desk.write("data/t1.csv", "id,v\n1,x@y\n");
        desk.set("MK", "one");
        desk.ok(".", &["run"]);
        has(&desk.ok(".", &["run"]), &["Nothing to do"]);
        if settings == masked {
            desk.write("data/t2.csv", "id,v\n2,x@y\n");
        }
        desk.set("MK", "two");
        let said = desk.ok(".", &["run"]);
        match settings == masked {
            true => has(&said, &["another `mask_key`", "`v`", "--full-refresh"]),
            false => assert!(!said.contains("Nothing to do"), "{said}"),
        }
    }
}

#[test]
fn control_characters_of_data_do_not_reach_the_terminal() {
    let desk = load("{ from: t.csv, columns: { n: { type: int } }, fail_above: 100% }");
    desk.write(
        "data/t.csv",
        "n,v\n1,\u{1b}[2Jx\u{7f}\u{9b}31m\n\u{1b}[2Jbad,y\n",
    );
    let shown = |arguments: &[&str]| {
        let said = desk.ok(".", arguments);
        let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!said.contains(obeyed), "{arguments:?}: {said:?}");
        said
    };
    shown(&["run"]);
    has(
        &shown(&["query", "select v from raw.t"]),
        &["\\u001b[2Jx\\u007f\\u009b31m"],
    );
    has(&shown(&["quarantine", "show", "raw.t"]), &["\\u001b[2Jbad"]);
    shown(&["logs"]);
    // Programs get the value.
    let rows = desk.json(".", &["query", "--format", "json", "select v from raw.t"]);
    assert_eq!(rows[0]["v"], "\u{1b}[2Jx\u{7f}\u{9b}31m");
    let csv = desk.ok(".", &["query", "--format", "csv", "select v from raw.t"]);
    assert!(csv.contains('\u{1b}'), "{csv:?}");
}
