//! The lakehouse and files in the object stores of Azure and Google, on their emulators: `make conformance` runs
//! it. What is the same in all clouds is in `object_storage.rs`, `bucket_files.rs` and `bucket_writes.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use towpath_testkit::clouds::CloudEmulator;

use crate::test_project::{TestProject, has};

const PROJECT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000061
lakehouse: PLACE/lake
connections:
  data: { type: files, path: data }
  out: { type: files, path: 'PLACE/out', writable: true }
  parts: { type: files, path: 'PLACE/parts', format: parquet, writable: true }
  landing: { type: files, path: 'PLACE/landing' }
";

const PIPELINE: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      t: { from: t.csv, key: id, write: merge }
      log: { from: 'log-*.csv', write: append, mode: incremental }
  files:
    publish: raw
    into: out
    tables:
      t.csv: { from: t }
      log.parquet: { from: log, write: append }
  folders:
    publish: raw
    into: parts
    tables:
      log/: { from: log, write: append }
      t/: { from: t }
";

const ROWS: usize = 20;

fn project(place: &str, variables: Vec<(String, String)>) -> TestProject {
    let mut project = TestProject::new();
    project.write("p/towpath.yml", &PROJECT.replace("PLACE", place));
    project.write("p/pipelines/p.yml", PIPELINE);
    for (name, value) in variables {
        project.set(&name, &value);
    }
    project
}

fn assert_holds(project: &TestProject, place: &str, load: usize) {
    let rows = load + ROWS;
    // Each load adds one line, and each line is sent once.
    let sent = (load, load * (load + 1) / 2);
    let (log, t) = (sent, (rows, rows * (rows + 1) / 2));
    assert_eq!(project.count("p", "raw.t"), rows);
    assert_eq!(project.count("p", "raw.log"), load);
    assert_eq!(project.sums(&format!("{place}/out/t.csv")), t);
    assert_eq!(project.sums(&format!("{place}/out/log.parquet")), log);
    assert_eq!(project.sums(&format!("{place}/parts/log/*.parquet")), log);
    assert_eq!(project.sums(&format!("{place}/parts/t/*.parquet")), t);
}

fn start(project: &TestProject) -> Child {
    Command::new(env!("CARGO_BIN_EXE_towpath"))
        .arg("run")
        .current_dir(project.path("p"))
        .envs(project.variables.clone())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// All that a bucket is used for.
fn works_in(place: &str, variables: Vec<(String, String)>) {
    let project = project(place, variables);
    for load in 1..=3 {
        project.write_load("p/data", ROWS, load);
        project.ok("p", &["run"]);
        assert_holds(&project, place, load);
    }
    has(&project.ok("p", &["run"]), &["Nothing to do"]);
    for command in [
        &["lake", "history", "raw.t"][..],
        &["lake", "verify"],
        &["lake", "compact", "raw.t"],
        &["lake", "vacuum", "raw.t"],
        &["check"],
    ] {
        project.ok("p", command);
    }
    for load in 4..=9 {
        project.write_load("p/data", ROWS, load);
        let mut killed = start(&project);
        std::thread::sleep(Duration::from_millis(150 * (load as u64 - 3)));
        let _ = killed.kill();
        killed.wait().unwrap();
        project.ok("p", &["run"]);
        assert_holds(&project, place, load);
    }
    project.ok("p", &["lake", "verify", "--all-versions"]);
    // Keys with any characters; globs; what is missing.
    for (name, ids) in [
        ("a b%20+\u{fc}.csv", 1..4),
        ("x/#1.csv", 4..6),
        ("x/2.csv", 6..9),
    ] {
        let rows: String = ids.map(|id| format!("{id}\n")).collect();
        project.write("in.csv", &format!("id\n{rows}"));
        project.ok(".", &["copy", "in.csv", &format!("{place}/landing/{name}")]);
    }
    assert_eq!(
        project.sums(&format!("{place}/landing/a b%20+\u{fc}.csv")),
        (3, 6)
    );
    assert_eq!(project.sums(&format!("{place}/landing/x/*.csv")), (5, 30));
    assert_eq!(project.sums(&format!("{place}/landing/**/*.csv")), (8, 36));
    let missing = format!("select * from '{place}/landing/none.csv'");
    has(&project.exits(2, ".", &["query", &missing]), &["R0101"]);
    let discovered = project.ok("p", &["connection", "discover", "landing", "**/*.csv"]);
    has(&discovered, &["x/2.csv"]);
    large_files(&project, place);
    project.ok("p", &["lake", "drop", "raw.log", "--yes"]);
}

/// Files above the size of one part.
fn large_files(project: &TestProject, place: &str) {
    let rows = 1_000_000;
    let mut text = String::from("id\n");
    for id in 0..rows {
        writeln!(text, "{id:012}").unwrap();
    }
    project.write("big.csv", &text);
    let wanted = (rows, rows * (rows - 1) / 2);
    let big = format!("{place}/big.csv");
    project.ok(".", &["copy", "big.csv", &big, "--type", "id=bigint"]);
    assert_eq!(project.sums(&big), wanted);
    let said = project.exits(2, ".", &["copy", "big.csv", &big, "--memory", "24MB"]);
    has(&said, &["R0181"]);
    project.write(
        "p/pipelines/p.yml",
        "steps:
  big: { load: data, into: raw, tables: { big: { from: big.csv, write: replace, columns: { id: { type: bigint } } } } }
  send: { publish: raw, into: parts, tables: { big/: { from: big, format: csv } } }
",
    );
    std::fs::copy(project.path("big.csv"), project.path("p/data/big.csv")).unwrap();
    project.ok("p", &["run"]);
    assert_eq!(project.sums(&format!("{place}/parts/big/*.csv")), wanted);
}

#[test]
fn azure_with_a_key() {
    let azure = CloudEmulator::azure("lake").unwrap();
    works_in("az://lake/all", azure.azure_variables());
}

#[test]
fn a_signature_of_azure_is_in_no_message() {
    // Azurite does not know deletions of several objects with a signature, which the first write needs.
    let azure = CloudEmulator::azure("lake").unwrap();
    let with_key = project("az://lake/x", azure.azure_variables());
    let project = project("az://lake/x", azure.azure_variables_signed());
    with_key.write("a.csv", "id\n1\n2\n");
    with_key.ok(".", &["copy", "a.csv", "az://lake/x/a.csv"]);
    assert_eq!(project.sums("az://lake/x/a.csv"), (2, 3));
    project.write("a.csv", "id\n1\n");
    let said = project.exits(1, ".", &["copy", "a.csv", "az://lake/x/a.csv"]);
    assert!(
        said.contains("R0152") && !said.contains("1agykGYzV"),
        "{said}"
    );
}

#[test]
fn google() {
    let google = CloudEmulator::google("lake").unwrap();
    works_in("gs://lake/all", google.google_variables());
}

#[test]
fn what_cannot_be_used_is_said_with_a_way_out() {
    let azure = CloudEmulator::azure("lake").unwrap();
    let mut project = project("az://lake/x", azure.azure_variables());
    project.write("a.csv", "id\n1\n");
    let said = project.exits(2, ".", &["copy", "a.csv", "az://none/a.csv"]);
    has(&said, &["create the bucket"]);
    project.set("AZURE_STORAGE_ACCOUNT_KEY", "aGlkZGVuLWtleQ==");
    let said = project.exits(2, ".", &["copy", "a.csv", "az://lake/a.csv"]);
    has(&said, &["AZURE_STORAGE_ACCOUNT_KEY"]);
    assert!(!said.contains("aGlkZGVuLWtleQ"), "{said}");
    project.set("AZURE_STORAGE_CONNECTION_STRING", "hidden");
    let said = project.exits(2, ".", &["copy", "a.csv", "az://lake/a.csv"]);
    has(&said, &["R0151", "AZURE_STORAGE_CONNECTION_STRING"]);
}
