//! A lakehouse in a bucket, on a real server of the S3 protocol: every kind of write, care, failures of the
//! service, killed processes, and what is said when it cannot be used.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::process::{Command, Stdio};
use std::time::Duration;

use towpath_testkit::s3::{ACCESS_KEY, FaultyS3, S3Fault, S3Server, SECRET_KEY};

use crate::test_project::{TestProject, has};

const PROJECT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000031
lakehouse: s3://lake/prod
connections:
  data: { type: files, path: data }
  out: { type: files, path: out, writable: true }
";

const PIPELINE: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      t: { from: t.csv, key: id, write: merge, columns: { v: { required: true } } }
      log: { from: 'log-*.csv', write: append, mode: incremental }
      past: { from: t.csv, key: id, write: scd2 }
  models: { models: models }
  send: { publish: marts, into: out, tables: { totals.csv: { from: totals } } }
";

/// Rows of the source before the first load.
const ROWS: usize = 20;

const MODEL: &str = "{{ config(materialized='table') }}
select count(*) as n, sum(id) as ids from {{ source('raw', 't') }}\n";

fn project(endpoint: &str) -> TestProject {
    let mut project = TestProject::new();
    project.write("towpath.yml", PROJECT);
    project.write("pipelines/p.yml", PIPELINE);
    project.write("models/marts/totals.sql", MODEL);
    for (name, value) in S3Server::variables(endpoint) {
        project.set(&name, &value);
    }
    project
}

/// The source after so many loads: a row more each time, the first one changed, and one row that breaks the
/// rule.
fn source(project: &TestProject, load: usize) {
    let rows: String = (1..=load + ROWS)
        .map(|id| format!("{id},v{load}\n"))
        .collect();
    project.write("data/t.csv", &format!("id,v\n{rows}999,\n"));
    let log = format!("at,line\n{load},line {load}\n");
    project.write(&format!("data/log-{load}.csv"), &log);
}

fn assert_holds(project: &TestProject, load: usize) {
    assert_eq!(project.count(".", "raw.t"), load + ROWS);
    assert_eq!(project.count(".", "raw.log"), load);
    assert_eq!(
        project.count(".", "raw.past where _is_current"),
        load + ROWS + 1
    );
    let ids: usize = (1..=load + ROWS).sum();
    let totals = project.read("out/totals.csv");
    assert!(
        totals.contains(&format!("{},{ids}", load + ROWS)),
        "{totals}"
    );
}

#[test]
fn every_write_and_all_care_of_tables_work_in_a_bucket() {
    let server = S3Server::start("lake").unwrap();
    let project = project(&server.endpoint());
    let mut said = String::new();
    for load in 1..=3 {
        source(&project, load);
        said.push_str(&project.ok(".", &["run"]));
        assert_holds(&project, load);
    }
    has(&said, &["1 row rejected"]);
    let idle = project.ok(".", &["run"]);
    has(&idle, &["Nothing to do"]);
    let described = project.ok(".", &["lake", "describe", "raw.t"]);
    has(&described, &["s3://lake/prod/raw/t"]);
    for command in [
        &["lake", "history", "raw.t"][..],
        &["lake", "verify"],
        &["lake", "compact", "raw.t"],
        &["lake", "vacuum", "raw.t"],
        &["lake", "restore", "raw.t", "--to", "0"],
        &["run"],
        &["quarantine", "show", "raw.t"],
        &["check"],
        &["plan"],
        &["lake", "drop", "raw.log", "--yes"],
        &["run"],
    ] {
        said.push_str(&project.ok(".", command));
    }
    assert_holds(&project, 3);
    assert!(!project.path("lake").exists(), "nothing is on this disk");
    let all = format!("{said}{}", project.everything(".towpath"));
    assert!(!all.contains(SECRET_KEY) && !all.contains(ACCESS_KEY));
}

#[test]
fn a_service_that_fails_slows_down_and_loses_answers_loses_and_doubles_no_row() {
    let server = S3Server::start("lake").unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    for (load, every) in [5, 7, 3, 11].into_iter().enumerate() {
        source(&project, load + 1);
        proxy.every(every);
        project.ok(".", &["run"]);
        proxy.every(0);
        assert_holds(&project, load + 1);
        project.ok(".", &["lake", "verify"]);
    }
    for fault in [
        S3Fault::Error,
        S3Fault::SlowDown,
        S3Fault::ErrorAfter,
        S3Fault::Lost,
    ] {
        assert!(proxy.done().contains(&fault), "{fault:?}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_half_done_and_the_next_one_completes() {
    let server = S3Server::start("lake").unwrap();
    let project = project(&server.endpoint());
    source(&project, 1);
    project.ok(".", &["run"]);
    for load in 2..=8 {
        source(&project, load);
        let mut killed = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .arg("run")
            .current_dir(project.path("."))
            .envs(project.variables.clone())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(120 * load as u64));
        let _ = killed.kill();
        killed.wait().unwrap();
        project.ok(".", &["run"]);
        assert_holds(&project, load);
    }
    project.ok(".", &["lake", "verify"]);
}

#[test]
fn what_cannot_be_used_is_said_with_a_way_out() {
    let server = S3Server::start("lake").unwrap();
    let mut wrong = project(&server.endpoint());
    source(&wrong, 1);
    wrong.set("AWS_SECRET_ACCESS_KEY", "another-secret");
    let said = wrong.exits(1, ".", &["run"]);
    has(&said, &["R0416", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!said.contains("another-secret"), "{said}");

    let missing = project(&server.endpoint());
    source(&missing, 1);
    let text = PROJECT.replace("s3://lake/", "s3://no-such-bucket/");
    missing.write("towpath.yml", &text);
    let said = missing.exits(1, ".", &["run"]);
    has(&said, &["no-such-bucket", "create the bucket"]);

    let mut open = project("http://storage.example.com");
    source(&open, 1);
    let said = open.exits(2, ".", &["run"]);
    has(&said, &["R0460", "TLS"]);
    open.set("AWS_ENDPOINT_URL", "");
    open.set("AWS_ACCESS_KEY_ID", "");
    open.set("AWS_SECRET_ACCESS_KEY", "");
    open.set("AWS_PROFILE", "work");
    has(&open.exits(2, ".", &["run"]), &["R0460", "AWS_PROFILE"]);

    let written = PROJECT.replace("s3://lake/", "s3://KEY:hidden@lake/");
    open.write("towpath.yml", &written);
    let said = open.exits(2, ".", &["check"]);
    assert!(!said.contains("hidden"), "{said}");
}
