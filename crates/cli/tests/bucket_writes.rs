//! Files that are written into a bucket, on a real server of the S3 protocol: every mode and format, failures of the
//! service, killed processes, puts that are carried out late, two processes on one file, files in parts, and
//! what is said when a service cannot be used.

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

const BUCKET: &str = "lake";

const PROJECT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000051
lakehouse: ./lake
connections:
  data: { type: files, path: data }
  out: { type: files, path: 's3://lake/out', writable: true }
  parts: { type: files, path: 's3://lake/parts', format: parquet, writable: true }
";

const PIPELINE: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      t: { from: t.csv, key: id, write: replace }
      log: { from: 'log-*.csv', write: append, mode: incremental }
  files:
    publish: raw
    into: out
    tables:
      t.csv: { from: t }
      log.jsonl: { from: log, write: append }
      log.csv.gz: { from: log, write: append }
      log.parquet: { from: log, write: append }
  folders:
    publish: raw
    into: parts
    tables:
      log/: { from: log, write: append }
      t/: { from: t }
";

/// Rows of the source before the first load.
const ROWS: usize = 20;

fn project(endpoint: &str) -> TestProject {
    let mut project = TestProject::new();
    // A query outside of a project may read any files.
    project.write("p/towpath.yml", PROJECT);
    project.write("p/pipelines/p.yml", PIPELINE);
    for (name, value) in S3Server::variables(endpoint) {
        project.set(&name, &value);
    }
    project
}

fn assert_holds(project: &TestProject, server: &S3Server, load: usize) {
    let rows = load + ROWS;
    // Each load adds one line, and each line is sent once.
    let sent = (load, load * (load + 1) / 2);
    let (log, t) = (sent, (rows, rows * (rows + 1) / 2));
    for file in ["log.jsonl", "log.csv.gz", "log.parquet"] {
        assert_eq!(
            project.sums(&format!("s3://lake/out/{file}")),
            log,
            "{file}"
        );
    }
    assert_eq!(project.sums("s3://lake/parts/log/*.parquet"), log);
    assert_eq!(project.sums("s3://lake/parts/t/*.parquet"), t);
    let text = server.get(BUCKET, "out/t.csv").unwrap().unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 1 + rows, "{text}");
    assert!(text.ends_with(&format!("{rows},v{load}\n")), "{text}");
}

/// Whoever takes each file that is there for data finds no row more: what is hidden begins with `.` or `_`.
fn assert_nothing_is_left(project: &TestProject, server: &S3Server, load: usize) {
    let shown = |folder: &str| {
        let mut names = server.names(BUCKET, folder).unwrap();
        names.retain(|name| !name.starts_with(['.', '_']));
        names
    };
    let files = ["log.csv.gz", "log.jsonl", "log.parquet", "t.csv"];
    assert_eq!(shown("out"), files);
    assert_eq!(shown("parts/t").len(), 1);
    assert_eq!(shown("parts/log").len(), load);
    let stages = std::fs::read_dir(project.path("p/.towpath/files")).unwrap();
    assert_eq!(stages.count(), 0, "files on their way are gone");
}

#[test]
fn every_mode_and_format_is_written() {
    let server = S3Server::start(BUCKET).unwrap();
    let project = project(&server.endpoint());
    for load in 1..=3 {
        project.write_load("p/data", ROWS, load);
        project.ok("p", &["run"]);
        assert_holds(&project, &server, load);
        assert_nothing_is_left(&project, &server, load);
    }
    has(&project.ok("p", &["run"]), &["Nothing to do"]);
    // What was committed is known from the bucket alone.
    std::fs::remove_dir_all(project.path("p/.towpath")).unwrap();
    project.write_load("p/data", ROWS, 4);
    project.ok("p", &["run"]);
    assert_holds(&project, &server, 4);
    project.ok(".", &["copy", "p/data/t.csv", "s3://lake/a b/t.parquet"]);
    assert_eq!(project.sums("s3://lake/a b/t.parquet"), (24, 300));
    project.ok(".", &["copy", "s3://lake/a b/t.parquet", "s3://lake/c.csv"]);
    assert_eq!(project.sums("s3://lake/c.csv"), (24, 300));
    let everything = project.everything(".");
    assert!(!everything.contains(SECRET_KEY) && !everything.contains(ACCESS_KEY));
}

#[test]
fn a_service_that_fails_and_loses_answers_loses_and_doubles_no_row() {
    let server = S3Server::start(BUCKET).unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    for (load, every) in [5, 7, 3, 11].into_iter().enumerate() {
        project.write_load("p/data", ROWS, load + 1);
        proxy.every(every);
        project.ok("p", &["run"]);
        proxy.every(0);
        assert_holds(&project, &server, load + 1);
    }
    for fault in [S3Fault::Error, S3Fault::ErrorAfter, S3Fault::Lost] {
        assert!(proxy.done().contains(&fault), "{fault:?}");
    }
    // The answer to each kind of put is lost once.
    for (load, part) in [
        (5, "/out/t.csv"),
        (6, "/out/log.parquet"),
        (7, ".towpath-note"),
        (8, "/parts/log/part-"),
        (9, "/parts/log/_manifest.json"),
    ] {
        for fault in [S3Fault::Lost, S3Fault::ErrorAfter] {
            proxy.choose("PUT", part, fault, 1);
        }
        project.write_load("p/data", ROWS, load);
        project.ok("p", &["run"]);
        assert_holds(&project, &server, load);
        proxy.choose_none();
    }
    assert_nothing_is_left(&project, &server, 9);
}

/// Starts a run that nobody waits for.
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

#[test]
fn a_run_that_is_killed_at_any_request_leaves_nothing_half_done() {
    let server = S3Server::start(BUCKET).unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    project.write_load("p/data", ROWS, 1);
    project.ok("p", &["run"]);
    project.write_load("p/data", ROWS, 2);
    let before = proxy.requests();
    project.ok("p", &["run"]);
    let requests = proxy.requests() - before;
    let kills = 12;
    for load in 3..3 + kills {
        project.write_load("p/data", ROWS, load);
        // The first requests of a run find out about the service.
        proxy.hold(1 + requests * (load as u64 - 3) / kills as u64);
        let mut killed = start(&project);
        while !proxy.holds() && killed.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = killed.kill();
        killed.wait().unwrap();
        if load % 2 == 0 {
            // What it had sent is carried out after it is gone.
            proxy.let_go();
            project.ok("p", &["run"]);
        } else {
            // The same while the next run is on its way.
            let mut next = start(&project);
            std::thread::sleep(Duration::from_millis(300));
            proxy.let_go();
            next.wait().unwrap();
            project.ok("p", &["run"]);
        }
        assert_holds(&project, &server, load);
    }
    assert_nothing_is_left(&project, &server, 2 + kills);
}

#[test]
fn puts_that_are_carried_out_after_they_were_given_up_count_once() {
    let server = S3Server::start(BUCKET).unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    project.write_load("p/data", ROWS, 1);
    project.ok("p", &["run"]);
    for (at, part) in ["/out/log.jsonl", "/out/t.csv", "/parts/log/_manifest.json"]
        .into_iter()
        .enumerate()
    {
        let load = 2 + 2 * at;
        project.write_load("p/data", ROWS, load);
        proxy.choose("PUT", part, S3Fault::Late, 1_000);
        has(&project.exits(1, "p", &["run"]), &["R0152"]);
        proxy.choose_none();
        let landed = proxy.land();
        let done = landed.iter().filter(|status| **status == 200);
        assert_eq!(done.count(), 1, "{part}: {landed:?}");
        project.ok("p", &["run"]);
        assert_holds(&project, &server, load);

        let load = load + 1;
        project.write_load("p/data", ROWS, load);
        proxy.choose("PUT", part, S3Fault::Late, 1_000);
        project.exits(1, "p", &["run"]);
        proxy.choose_none();
        project.ok("p", &["run"]);
        let landed = proxy.land();
        assert!(
            landed.iter().all(|status| *status == 412),
            "{part}: {landed:?}"
        );
        assert_holds(&project, &server, load);
    }
}

#[test]
fn two_processes_write_one_file_and_no_row_is_lost() {
    let server = S3Server::start(BUCKET).unwrap();
    let projects = [project(&server.endpoint()), project(&server.endpoint())];
    let other = PROJECT.replace("000000000051", "000000000052");
    projects[1].write("p/towpath.yml", &other);
    let only = "steps:
  extract:
    load: data
    into: raw
    tables: { log: { from: 'log-*.csv', write: append, mode: incremental } }
  files: { publish: raw, into: out, tables: { log.jsonl: { from: log, write: append } } }
  folders: { publish: raw, into: parts, tables: { log/: { from: log, write: append } } }
";
    for load in 1..=4 {
        let mut both: Vec<Child> = projects
            .iter()
            .map(|project| {
                project.write("p/pipelines/p.yml", only);
                let log = format!("id,line\n{load},line {load}\n");
                project.write(&format!("p/data/log-{load}.csv"), &log);
                start(project)
            })
            .collect();
        for run in &mut both {
            run.wait().unwrap();
        }
        for project in &projects {
            // Who was overtaken tries again; whoever is done has nothing to do.
            project.ok("p", &["run"]);
        }
        let wanted = (2 * load, load * (load + 1));
        assert_eq!(projects[0].sums("s3://lake/out/log.jsonl"), wanted);
        assert_eq!(projects[0].sums("s3://lake/parts/log/*.parquet"), wanted);
    }
}

/// Text that does not compress.
fn noise(rows: usize) -> String {
    let mut state = 1_u64;
    let mut text = String::from("id,v\n");
    for id in 0..rows {
        write!(text, "{id},").unwrap();
        for _ in 0..12 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            write!(text, "{:012x}", state >> 16).unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn large_files_are_put_in_parts_and_are_whole_or_not_there() {
    let server = S3Server::start(BUCKET).unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    let rows = 120_000;
    project.write("big.csv", &noise(rows));
    let wanted = (rows, rows * (rows - 1) / 2);
    for to in ["big.csv", "big.parquet"] {
        let target = format!("s3://lake/{to}");
        for fault in [S3Fault::Lost, S3Fault::ErrorAfter, S3Fault::Error] {
            proxy.choose("PUT", "partNumber=2", S3Fault::ErrorAfter, 1);
            proxy.choose(
                "POST",
                if to == "big.csv" {
                    "big.csv?uploadId="
                } else {
                    "big.parquet?uploadId="
                },
                fault,
                1,
            );
            project.ok(".", &["copy", "big.csv", &target]);
            assert!(proxy.chosen_all(), "the file was put in parts");
            assert_eq!(project.sums(&target), wanted, "{to}");
            proxy.choose_none();
        }
    }
    // An upload that is ended after another file came is refused.
    proxy.choose("POST", "big.csv?uploadId=", S3Fault::Late, 1);
    project.exits(1, ".", &["copy", "big.csv", "s3://lake/big.csv"]);
    project.write("small.csv", "id,v\n7,x\n");
    project.ok(".", &["copy", "small.csv", "s3://lake/big.csv"]);
    let landed = proxy.land();
    assert!(landed.iter().all(|status| *status >= 400), "{landed:?}");
    assert_eq!(project.sums("s3://lake/big.csv"), (1, 7));
}

#[test]
fn what_cannot_be_written_is_said_with_a_way_out() {
    let server = S3Server::start(BUCKET).unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let mut project = project(&proxy.endpoint());
    project.write("a.csv", "id\n1\n");
    let to = |project: &TestProject, code: i32, target: &str| {
        project.exits(code, ".", &["copy", "a.csv", target])
    };
    proxy.choose("PUT", "/_towpath/probe/", S3Fault::Unknown, 1_000);
    let said = to(&project, 2, "s3://lake/a.csv");
    has(&said, &["R0180", "conditional puts"]);
    proxy.choose_none();
    let said = to(&project, 2, "s3://no-such-bucket/a.csv");
    has(&said, &["R0152", "no-such-bucket"]);
    has(&to(&project, 2, "s3://lake/a.xlsx"), &["R0120"]);
    has(&to(&project, 2, "s3://lake/.a.csv"), &["R0120"]);
    assert!(
        server
            .names(BUCKET, "")
            .unwrap()
            .iter()
            .all(|name| name == "_towpath/")
    );
    project.write_load("p/data", ROWS, 1);
    project.write(
        "p/towpath.yml",
        &PROJECT.replace("path: 's3://lake/out'", "path: 's3://lake/out.csv'"),
    );
    has(&project.exits(1, "p", &["run"]), &["R0120", "names a file"]);
    project.set("AWS_SECRET_ACCESS_KEY", "another-secret");
    let said = to(&project, 2, "s3://lake/a.csv");
    has(&said, &["R0152", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!said.contains("another-secret"), "{said}");
}
