//! The output of commands for people and for scripts: how much they print and in which format; and commands
//! that only read work in a project with mistakes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has, text};

const PIPELINE: &str = "steps:\n  pull:\n    load: data\n    into: raw\n    tables:\n      orders:\n        from: orders.csv\n        \
     fail_above: 100%\n        columns: { id: integer, amount: { type: integer, min: 0 } }\n";

fn orders() -> TestProject {
    let desk = TestProject::with_pipeline(PIPELINE);
    desk.write(
        "data/orders.csv",
        "id,amount,note\n1,5,a\n2,-7,\"b, c\"\n3,x,d\n",
    );
    desk
}

/// What a command says on standard error.
fn aside(desk: &TestProject, arguments: &[&str]) -> String {
    let output = desk.towpath(".", arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stderr)
}

#[test]
fn a_run_says_as_much_as_it_is_asked_to() {
    let desk = orders();
    assert_eq!(aside(&desk, &["run"]), "");
    let said = aside(&desk, &["run", "--full-refresh", "-v"]);
    has(
        &said,
        &["task started", "pull/raw.orders", "task ended", "run ended"],
    );
    assert!(said.len() < 4_000, "{} bytes:\n{said}", said.len());
    assert!(
        !said.contains("\u{1b}["),
        "no colours outside of a terminal"
    );

    let said = aside(&desk, &["run", "--full-refresh", "--log-format", "json"]);
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line["message"] == "task ended" && line["task"] == "pull/raw.orders")
    );

    let quiet = desk.towpath(".", &["run", "--full-refresh", "--quiet"]);
    assert_eq!(
        (text(&quiet.stdout), text(&quiet.stderr)),
        (String::new(), String::new())
    );
    std::fs::remove_file(desk.path("data/orders.csv")).unwrap();
    let failed = desk.exits(1, ".", &["run", "--quiet"]);
    has(&failed, &["✗ pull/raw.orders", "R0101"]);
}

#[test]
fn a_failure_of_many_tables_is_said_once_and_a_left_out_step_has_no_tick() {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 1\nlakehouse: ./lake\ndefaults: { reconnect: 0s, retries: 0 }\nconnections:\n  \
         db: { type: postgres, url: \"postgres://me@127.0.0.1:1/none\" }\n  data: { type: files, path: data }\n  \
         out: { type: files, path: out }\n",
    );
    desk.write(
        "pipelines/p.yml",
        "steps:\n  pull: { load: db, into: raw, tables: { a: {}, b: {}, c: {} } }\n",
    );
    let said = desk.exits(1, ".", &["run"]);
    assert_eq!(said.matches("error[R0202]").count(), 1, "{said}");
    has(&said, &["✗ pull/raw.a and 2 more tasks  error"]);

    desk.write("data/t.csv", "id\n1\n2\n");
    let send = "steps:\n  pull: { load: data, into: raw, tables: { t: { from: t.csv } } }\n  \
                send: { publish: raw, into: out, tables: { t.csv: { from: t } } }\n";
    desk.write("pipelines/p.yml", send);
    has(&desk.ok(".", &["run"]), &["✓ pull", "– send"]);
    let root = desk.read("towpath.yml");
    desk.write(
        "towpath.yml",
        &root.replace("path: out }", "path: out, writable: true }"),
    );
    has(&desk.ok(".", &["run"]), &["✓ send"]);
}

#[test]
fn a_rejected_record_is_shown_by_its_columns_with_the_bad_cells_marked() {
    let desk = orders();
    desk.ok(".", &["run"]);
    let said = desk.ok(".", &["quarantine", "show", "raw.orders"]);
    has(
        &said,
        &[
            "2 rejected records of raw.orders, 2 shown",
            "data/orders.csv:3 · held · p#1",
            "    id      2",
            "  ✗ amount  -7    the rule says at least 0",
            "    note    b, c",
            "  ✗ amount  x",
        ],
    );
    let rows = desk.json(
        ".",
        &["quarantine", "show", "raw.orders", "--format", "json"],
    );
    let cells = &rows["rows"][0]["cells"];
    assert_eq!(cells[0]["column"], "id", "{rows}");
    assert_eq!(rows["rows"][0]["record"], "2,-7,\"b, c\"", "{rows}");
}

#[test]
fn commands_that_only_read_do_so_in_a_project_with_mistakes() {
    let desk = orders();
    desk.ok(".", &["run"]);
    desk.write("pipelines/q.yml", "steps:\n  pull: { lode: data }\n");
    for arguments in [
        &["query", "select count(*) n from raw.orders"][..],
        &["runs"],
        &["logs"],
        &["quality"],
        &["lake", "history", "raw.orders"],
        &["lake", "describe", "raw.orders"],
        &["quarantine", "ls"],
        &["quarantine", "show", "raw.orders"],
        &["lineage", "raw.orders"],
    ] {
        let said = desk.ok(".", arguments);
        has(
            &said,
            &[
                "note: the project has",
                "pipelines/q.yml:2",
                "towpath check",
            ],
        );
    }
    let said = desk.exits(2, ".", &["quarantine", "replay", "raw.orders"]);
    has(&said, &["error[R0990]", "pipelines/q.yml:2"]);
    let said = desk.exits(2, ".", &["runs", "--env", "nowhere"]);
    has(&said, &["error[R0990]", "nowhere"]);
}

#[test]
fn shells_complete_and_every_code_is_explained() {
    let desk = TestProject::new();
    for shell in ["bash", "zsh", "fish"] {
        has(
            &desk.ok(".", &["completion", shell]),
            &["quarantine", "log-format"],
        );
    }
    for code in ["R0507", "R0202", "R0950", "P0102", "M0301", "r0990"] {
        let said = desk.ok(".", &["check", "--explain", code]);
        assert!(said.lines().count() > 2, "{said}");
    }
    let page = desk.ok(".", &["reference", "codes"]);
    let codes: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert!(codes.len() > 300, "{}", codes.len());
    has(
        &desk.exits(2, ".", &["check", "--explain", "R9999"]),
        &["R0991"],
    );
}
