//! A lakehouse in a bucket, on a real server of the S3 protocol: every kind of write, maintenance, failures of the
//! service, killed processes, and what is said when it cannot be used.

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

fn command(project: &TestProject) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command
        .arg("run")
        .current_dir(project.path("."))
        .envs(project.variables.clone())
        .stdin(Stdio::null());
    command
}

/// Starts a run that nobody waits for.
fn start(project: &TestProject) -> Child {
    command(project)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_run_that_is_killed_at_any_request_leaves_nothing_half_done() {
    let server = S3Server::start("lake").unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    source(&project, 1);
    let before = proxy.requests();
    project.ok(".", &["run"]);
    let requests = proxy.requests() - before;
    for load in 2..=9 {
        source(&project, load);
        proxy.hold(requests * (load as u64 - 1) / 8);
        let mut killed = start(&project);
        // A run after the first one may need fewer requests.
        while !proxy.holds() && killed.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = killed.kill();
        killed.wait().unwrap();
        // What it had sent is carried out after it is gone.
        proxy.let_go();
        project.ok(".", &["run"]);
        assert_holds(&project, load);
    }
    project.ok(".", &["lake", "verify", "--all-versions"]);
}

#[test]
fn commits_that_land_after_they_were_given_up_are_counted_once() {
    let server = S3Server::start("lake").unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    for (load, lands_first) in [(1, true), (2, true), (3, false)] {
        source(&project, load);
        proxy.choose("PUT", "/_delta_log/0", S3Fault::Late, 1_000);
        has(&project.exits(1, ".", &["run"]), &["R0429"]);
        proxy.choose_none();
        if lands_first {
            assert!(proxy.land().contains(&200));
        }
        project.ok(".", &["run"]);
        assert_holds(&project, load);
        let later = proxy.land();
        assert!(later.iter().all(|status| *status == 412), "{later:?}");
        assert_holds(&project, load);
        project.ok(".", &["lake", "verify"]);
    }
}

#[test]
fn a_table_is_not_dropped_while_a_commit_may_still_land() {
    let server = S3Server::start("lake").unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    source(&project, 1);
    project.ok(".", &["run"]);
    source(&project, 2);
    proxy.choose("PUT", "/raw/t/_delta_log/0", S3Fault::Late, 1_000);
    has(&project.exits(1, ".", &["run"]), &["R0429"]);
    proxy.choose_none();
    let said = project.exits(4, ".", &["lake", "drop", "raw.t", "--yes"]);
    has(&said, &["R0988", "20 minutes"]);
    assert!(proxy.land().contains(&200));
    assert_eq!(project.count(".", "raw.t"), 2 + ROWS);
    project.ok(".", &["run"]);
    assert_holds(&project, 2);
}

#[test]
fn a_drop_whose_deletions_fail_can_be_repeated_at_once() {
    let server = S3Server::start("lake").unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    source(&project, 1);
    project.ok(".", &["run"]);
    proxy.choose("POST", "raw/t/_delta_log", S3Fault::Denied, 1_000);
    project.exits(2, ".", &["lake", "drop", "raw.t", "--yes"]);
    proxy.choose_none();
    project.towpath(".", &["lake", "drop", "raw.t", "--yes"]);
    source(&project, 2);
    project.ok(".", &["run"]);
    assert_eq!(project.count(".", "raw.t"), 2 + ROWS);
}

#[test]
fn two_processes_write_one_table_and_no_row_is_lost() {
    let server = S3Server::start("lake").unwrap();
    let first = project(&server.endpoint());
    let second = project(&server.endpoint());
    second.write(
        "towpath.yml",
        &PROJECT.replace("000000000031", "000000000032"),
    );
    let only = "steps:
  extract:
    load: data
    into: raw
    tables: { log: { from: 'log-*.csv', write: append, mode: incremental } }
";
    for project in [&first, &second] {
        project.write("pipelines/p.yml", only);
        std::fs::remove_dir_all(project.path("models")).unwrap();
    }
    for load in 1..=4 {
        let both: Vec<Child> = [&first, &second]
            .into_iter()
            .map(|project| {
                let log = format!("at,line\n{load},line {load}\n");
                project.write(&format!("data/log-{load}.csv"), &log);
                command(project)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for run in both {
            let output = run.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "load {load}: {said}");
        }
        assert_eq!(first.count(".", "raw.log"), 2 * load);
    }
    first.ok(".", &["lake", "verify"]);
}

#[test]
fn files_that_are_put_in_parts_are_whole_or_not_there() {
    let server = S3Server::start("lake").unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    project.write(
        "pipelines/p.yml",
        "steps:
  extract: { load: data, into: raw, tables: { big: { from: big.csv, write: replace } } }
",
    );
    std::fs::remove_dir_all(project.path("models")).unwrap();
    let mut state = 1_u64;
    let mut text = String::from("id,v\n");
    for id in 0..120_000 {
        write!(text, "{id},").unwrap();
        for _ in 0..12 {
            // What does not compress, so that a file is larger than a part.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            write!(text, "{:012x}", state >> 16).unwrap();
        }
        text.push('\n');
    }
    for (at, fault) in [S3Fault::Lost, S3Fault::ErrorAfter, S3Fault::Error]
        .into_iter()
        .enumerate()
    {
        project.write("data/big.csv", &text.replace("id,v", &format!("id,v{at}")));
        proxy.choose("POST", "uploadId=", fault, 1);
        proxy.choose("PUT", "partNumber=2", S3Fault::ErrorAfter, 1);
        project.ok(".", &["run"]);
        assert_eq!(project.count(".", "raw.big"), 120_000);
        project.ok(".", &["lake", "verify"]);
        assert!(proxy.chosen_all(), "the file was put in parts");
    }
}

#[test]
fn a_service_without_conditional_puts_is_refused() {
    let server = S3Server::start("lake").unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    source(&project, 1);
    proxy.choose("PUT", "/_towpath/probe/", S3Fault::Unknown, 1_000);
    has(&project.exits(1, ".", &["run"]), &["R0461"]);
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

    let mut other = project(&server.endpoint());
    other.set("AWS_TIMEOUT", "1h");
    source(&other, 1);
    has(&other.exits(2, ".", &["run"]), &["R0460", "AWS_TIMEOUT"]);

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
