//! Messages of commands: outputs that cannot be written, names that do not exist, formats for programs, and
//! the forecasts of `plan`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use crate::test_project::{TestProject, has, text};

fn small() -> TestProject {
    let desk = TestProject::with_pipeline(
        "steps:
  pull: { load: data, into: raw, tables: { a: { from: a.csv, columns: { n: { type: int } }, fail_above: 50% } } }
  build: { models: all }
",
    );
    desk.write("data/a.csv", "n\n1\n2\nx\n");
    desk.write(
        "models/marts/m.sql",
        "{{ config(materialized='table') }}\nselect count(*) n from {{ source('raw', 'a') }}\n",
    );
    desk
}

/// Exit code and standard error of a command whose standard output is `stdout`.
fn into(desk: &TestProject, arguments: &[&str], stdout: Stdio) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(arguments)
        .current_dir(desk.path("."))
        .stdout(stdout)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    (output.status.code(), text(&output.stderr))
}

/// The writing end of a pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn output_that_cannot_be_written_is_no_panic() {
    let desk = small();
    let commands: [&[&str]; 6] = [
        &["run"],
        &["plan"],
        &["runs"],
        &["query", "--format", "csv", "select n from raw.a"],
        &["query", "select 1"],
        &["--help"],
    ];
    for arguments in commands {
        let (code, said) = into(&desk, arguments, unread());
        assert_eq!((code, said.as_str()), (Some(0), ""), "{arguments:?}");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, said) = into(&desk, arguments, full.into());
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        has(&said, &["error[R0995]: the output cannot be written"]);
        assert!(!said.contains("panicked"), "{said}");
    }
    // A command that failed keeps its own exit.
    assert_eq!(into(&desk, &["run", "nope"], unread()).0, Some(2));
}

#[test]
fn names_that_do_not_exist_are_mistakes() {
    let desk = small();
    desk.ok(".", &["run"]);
    for (arguments, wanted) in [
        (&["runs", "q"][..], "error[R0920]"),
        (
            &["quality", "raw.b"],
            "error[R0927]: there is no table `raw.b`",
        ),
        (
            &["plan", "--explain", "raw.b"],
            "error[R0927]: there is no table `raw.b`",
        ),
        (
            &["quarantine", "show", "raw.b"],
            "error[R0927]: there is no table `raw.b`",
        ),
    ] {
        let said = desk.exits(2, ".", arguments);
        has(&said, &[wanted, "did you mean `"]);
    }
    desk.ok(".", &["runs", "p"]);
    desk.ok(".", &["quality", "raw.a"]);
    desk.ok(".", &["plan", "--explain", "marts.m"]);
}

#[test]
fn rejected_rows_have_one_form_for_programs() {
    let desk = small();
    let shown = |table| desk.json(".", &["quarantine", "show", table, "--format", "json"]);
    let empty = serde_json::json!({
        "version": 1, "table": "raw.a", "rows": [], "reasons": [], "reasons_are_complete": true,
    });
    assert_eq!(shown("raw.a"), empty);
    desk.ok(".", &["run"]);
    let found = shown("raw.a");
    assert_eq!(
        (&found["version"], &found["table"]),
        (&1.into(), &"raw.a".into())
    );
    assert_eq!(found["rows"].as_array().unwrap().len(), 1);
    assert_eq!(found["rows"][0]["line"], 4);
    assert!(found["rows"][0]["reasons"].is_array(), "{found}");
}

/// The lines of a plan, without the blanks between columns.
fn planned(desk: &TestProject) -> String {
    let said = desk.ok(".", &["plan"]);
    let lines = said
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_says_what_a_run_would_do_and_why() {
    let desk = small();
    has(
        &planned(&desk),
        &["pull/raw.a read all of data:a.csv, replace raw.a nothing has run yet"],
    );
    assert!(!desk.path(".towpath").exists(), "a plan changes nothing");
    desk.ok(".", &["run"]);
    has(
        &planned(&desk),
        &[
            "pull/raw.a nothing unchanged since p#1 · pipelines/p.yml:",
            "build/marts.m nothing unchanged since p#1",
        ],
    );
    desk.write("data/a.csv", "n\n1\n2\n");
    has(
        &planned(&desk),
        &[
            "replace raw.a the source or its definition changed since p#1",
            "replace marts.m pull/raw.a comes before it",
        ],
    );
    desk.ok(".", &["run"]);
    desk.write(
        "models/marts/m.sql",
        "{{ config(materialized='table') }}\nselect count(*) + 0 n from {{ source('raw', 'a') }}\n",
    );
    has(
        &planned(&desk),
        &[
            "pull/raw.a nothing unchanged since p#2",
            "replace marts.m an input or its definition changed since p#2",
        ],
    );
    has(&desk.ok(".", &["run"]), &["marts.m"]);
    has(
        &planned(&desk),
        &["build/marts.m nothing unchanged since p#3"],
    );
    assert_eq!(
        desk.json(".", &["runs", "--format", "json"])["runs"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    desk.ok(".", &["lake", "drop", "marts.m", "--yes"]);
    has(
        &planned(&desk),
        &["replace marts.m the table was deleted, or another program changed it since"],
    );
}

#[test]
fn notes_are_told_when_they_are_new() {
    let desk = TestProject::with_pipeline(
        "steps:\n  pull: { load: data, into: raw, tables: { a: { from: \"*.csv\" } } }\n",
    );
    let grow = |rows: &str| desk.write("data/a.csv", &format!("n\n{rows}"));
    grow("1\n");
    desk.write("data/z.csv", "");
    let note = "z.csv` is empty and was skipped";
    has(&desk.ok(".", &["run"]), &["1 thing to know", note]);
    grow("1\n2\n");
    let again = desk.ok(".", &["run"]);
    has(&again, &["1 note as before: towpath logs p#2"]);
    assert!(!again.contains(note), "{again}");
    has(&desk.ok(".", &["logs", "p#2"]), &[note]);
    // A new one beside it.
    grow("1\n2\n3\n");
    desk.write("data/y.csv", "");
    let more = desk.ok(".", &["run"]);
    has(&more, &["y.csv` is empty", "1 note as before"]);
    assert!(!more.contains(note), "{more}");
    grow("1\n");
    let report = desk.json(".", &["run", "--format", "json"]);
    let table = &report["tables"][0];
    assert_eq!(table["notes"].as_array().unwrap().len(), 2);
    assert_eq!(table["new_notes"].as_array().unwrap().len(), 0);
    // One that had gone is new when it comes again.
    std::fs::remove_file(desk.path("data/z.csv")).unwrap();
    grow("1\n2\n");
    desk.ok(".", &["run"]);
    desk.write("data/z.csv", "");
    grow("1\n");
    has(&desk.ok(".", &["run"]), &[note]);
}
