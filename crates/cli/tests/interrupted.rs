//! Runs that were interrupted: what the next run resumes, what it reports about the interrupted one, and
//! tables that other programs wrote in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

/// Runs until it is killed at an edge.
fn killed(desk: &mut TestProject, edge: &str) {
    desk.set("TOWPATH_FAILPOINT", edge);
    let killed = desk.towpath(".", &["run"]);
    assert_eq!(killed.status.code(), None, "{edge}: {killed:?}");
    desk.set("TOWPATH_FAILPOINT", "");
}

const CHECKED: &str = "steps:
  pull:
    load: data
    into: raw
    tables:
      a: { from: a.csv, columns: { n: { type: int } }, fail_above: 50%, checks: [{ row_count: { min: 1 } }] }
  count: { models: all }
";

fn checked() -> TestProject {
    let desk = TestProject::with_pipeline(CHECKED);
    desk.write("data/a.csv", "n\n1\n2\nx\n3\n");
    desk.write(
        "models/marts/m.sql",
        "{{ config(materialized='table') }}\nselect count(*) n from {{ source('raw', 'a') }}\n",
    );
    desk
}

#[test]
fn a_commit_that_outlived_its_process_is_told_as_far_as_it_is_known() {
    let mut desk = checked();
    killed(&mut desk, "lake::after_commit@2");
    let report = desk.json(".", &["run", "--format", "json"]);
    assert_eq!(
        (&report["run"], &report["resumed"]),
        (&"p#1".into(), &true.into())
    );
    let raw = &report["tables"][0];
    assert_eq!(raw["table"], "raw.a");
    assert_eq!(raw["recovered"], true);
    assert_eq!(
        (&raw["rows_loaded"], &raw["rows_rejected"]),
        (&3.into(), &1.into())
    );
    assert_eq!(report["recovered"][0], "pull/raw.a");
    assert_eq!(report["rows_read"], 0);
    let notes = raw["notes"].to_string();
    has(
        &notes,
        &[
            "the numbers of rows read and left out are not known",
            "their results were lost",
        ],
    );
    has(
        &desk.ok(".", &["quality", "raw.a"]),
        &["raw.a: its checks passed in p#1"],
    );
    let lost = desk.json(".", &["quality", "--format", "json"]);
    assert_eq!(
        (&lost["lost"][0]["table"], &lost["lost"][0]["run"]),
        (&"raw.a".into(), &"p#1".into())
    );
    has(
        &desk.ok(".", &["lineage", "marts.m", "--format", "json"]),
        &["raw.a"],
    );
}

#[test]
fn a_resumed_run_tells_what_was_done_before_it_was_interrupted() {
    let mut desk = checked();
    // Once for the quarantine, once for the load, once for the model.
    killed(&mut desk, "lake::before_commit@3");
    let report = desk.json(".", &["run", "--format", "json"]);
    assert_eq!(report["resumed"], true);
    let tables: Vec<&str> = report["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["table"].as_str().unwrap())
        .collect();
    assert_eq!(tables, ["raw.a", "marts.m"]);
    assert_eq!(
        (
            &report["rows_read"],
            &report["rows_loaded"],
            &report["rows_rejected"]
        ),
        (&4.into(), &3.into(), &1.into())
    );
    assert_eq!(report["tables"][0]["passed"], 1);
}

#[test]
fn quarantine_commands_leave_an_interrupted_run_to_go_on() {
    let mut desk = TestProject::with_pipeline(
        "steps:
  pull: { load: data, into: raw, tables: { a: { from: a.csv, columns: { n: { type: int } }, fail_above: 50% } } }
  once: { command: [sh, -c, 'echo ran >> ran'], after: [pull] }
  last: { load: data, into: raw, tables: { b: { from: b.csv } }, after: [once] }
",
    );
    desk.write("data/a.csv", "n\n1\n2\nx\n");
    desk.write("data/b.csv", "n\n1\n");
    killed(&mut desk, "lake::before_commit@3");
    assert_eq!(desk.read("ran"), "ran\n");
    has(&desk.ok(".", &["runs"]), &["p#1", "interrupted"]);
    has(
        &desk.ok(".", &["why", "raw.b"]),
        &[
            "interrupted",
            "the process of its run has ended",
            "towpath run p",
        ],
    );
    has(&desk.ok(".", &["logs"]), &["p#1 · interrupted"]);
    desk.ok(".", &["quarantine", "discard", "raw.a"]);
    has(&desk.ok(".", &["run"]), &["p#1", "resumed"]);
    assert_eq!(desk.read("ran"), "ran\n");
    assert_eq!(desk.count(".", "raw.b"), 1);
}

#[test]
fn a_resumed_run_tries_again_what_failed_and_was_mended() {
    let mut desk = TestProject::with_pipeline(
        "parallel: 1
steps:
  bad: { command: [sh, bad.sh], retries: 0 }
  behind: { command: [sh, -c, 'echo ran >> behind'], after: [bad] }
  pull: { load: data, into: raw, tables: { b: { from: b.csv } } }
",
    );
    desk.write("bad.sh", "exit 3\n");
    desk.write("data/b.csv", "n\n1\n");
    killed(&mut desk, "lake::before_commit");
    desk.write("bad.sh", "exit 0\n");
    has(&desk.ok(".", &["run"]), &["p#1", "resumed"]);
    assert_eq!(desk.read("behind"), "ran\n");
}

#[test]
fn a_table_that_another_environment_wrote_is_not_unchanged() {
    let desk = TestProject::with_pipeline(
        "steps: { pull: { load: data, into: raw, tables: { a: { from: '${env:SOURCE}' } } }, build: { models: all } }\n",
    );
    let mut desk = desk;
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 1\nlakehouse: ./lake\nconnections: { data: { type: files, path: data } }\nenvironments: { dev: {}, prod: {} }\n",
    );
    desk.write("data/dev.csv", "n\n1\n");
    desk.write("data/prod.csv", "n\n1\n2\n");
    desk.write(
        "models/marts/m.sql",
        "{{ config(materialized='table') }}\nselect count(*) n from {{ source('raw', 'a') }}\n",
    );
    desk.write(
        "models/marts/v.sql",
        "select '{{ env_var(\"SOURCE\") }}' as s\n",
    );
    let run = |desk: &mut TestProject, env: &str| {
        desk.set("SOURCE", &format!("{env}.csv"));
        desk.ok(".", &["run", "--env", env]);
    };
    run(&mut desk, "dev");
    run(&mut desk, "prod");
    assert_eq!(desk.count(".", "raw.a"), 2);
    run(&mut desk, "dev");
    assert_eq!(desk.count(".", "raw.a"), 1);
    let rows = desk.json(".", &["query", "--format", "json", "select n from marts.m"]);
    assert_eq!(rows[0]["n"], 1);
    let rows = desk.json(".", &["query", "--format", "json", "select s from marts.v"]);
    assert_eq!(rows[0]["s"], "dev.csv");
    // Nothing changed since: compactions and its own commits change nothing.
    desk.ok(".", &["lake", "compact", "raw.a"]);
    has(&desk.ok(".", &["run", "--env", "dev"]), &["Nothing to do"]);
}
