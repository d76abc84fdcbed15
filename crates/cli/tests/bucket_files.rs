//! Files in a bucket, on a real server of the S3 protocol: by name and by glob, in every format, only what is new,
//! while the service fails, while objects are replaced, and what is said when they cannot be read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use towpath_testkit::s3::{ACCESS_KEY, FaultyS3, S3Fault, S3Server, SECRET_KEY};

use crate::test_project::{TestProject, has};

const BUCKET: &str = "lake";

const PROJECT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000041
lakehouse: ./lake
connections:
  data: { type: files, path: 's3://lake/data/' }
";

const PIPELINE: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      t: { from: 'in/*.csv', write: append, mode: incremental }
";

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

fn put(server: &S3Server, key: &str, text: &str) {
    server.put(BUCKET, key, text.as_bytes()).unwrap();
}

/// `count(*)` and `sum(id)` of files.
fn sums(project: &TestProject, files: &str) -> (i64, i64) {
    let sql = format!(
        "select count(*) n, sum(id) s from '{}'",
        files.replace('\'', "''")
    );
    let rows = project.json(".", &["query", "--format", "json", &sql]);
    let number = |name: &str| rows[0][name].to_string().trim_matches('"').parse().unwrap();
    (number("n"), number("s"))
}

fn rows(ids: std::ops::Range<u64>) -> String {
    let mut text = String::from("id,v\n");
    for id in ids {
        writeln!(text, "{id},value {id} of the test").unwrap();
    }
    text
}

#[test]
fn files_are_read_by_name_and_by_glob_in_every_format() {
    let server = S3Server::start(BUCKET).unwrap();
    let project = project(&server.endpoint());
    project.write("local/a.csv", &rows(0..50_000));
    let objects: Vec<String> = (0..50_000).map(|id| format!("{{\"id\": {id}}}")).collect();
    project.write("local/a.json", &format!("[{}]", objects.join(",\n")));
    let elements: String = (0..50_000)
        .map(|id| format!("<i><id>{id}</id></i>\n"))
        .collect();
    project.write("local/a.xml", &format!("<r>{elements}</r>"));
    for to in ["a.parquet", "a.jsonl.gz", "a.csv.zst", "a.json", "a.xml"] {
        if !matches!(to, "a.json" | "a.xml") {
            project.ok(".", &["copy", "local/a.csv", &format!("local/{to}")]);
        }
        let bytes = std::fs::read(project.path(&format!("local/{to}"))).unwrap();
        server.put(BUCKET, &format!("data/{to}"), &bytes).unwrap();
        let wanted = (50_000, 49_999 * 25_000);
        assert_eq!(
            sums(&project, &format!("s3://lake/data/{to}")),
            wanted,
            "{to}"
        );
    }
    for (key, ids) in [
        ("x/1.csv", 0..10),
        ("x/2.csv", 10..20),
        ("y/1.csv", 20..30),
        ("y/z/1.csv", 30..40),
    ] {
        put(&server, key, &rows(ids));
    }
    put(&server, "empty/", "");
    put(&server, "x.csv/", "");
    for (glob, count) in [
        ("x/*.csv", 20),
        ("x/1*", 10),
        ("*/*.csv", 30),
        ("*/1.csv", 20),
        ("y/**/*.csv", 20),
        ("[xy]/?.csv", 30),
    ] {
        assert_eq!(
            sums(&project, &format!("s3://lake/{glob}")).0,
            count,
            "{glob}"
        );
    }
    project.ok(".", &["copy", "s3://lake/x/*.csv", "out.csv"]);
    assert_eq!(project.read("out.csv").lines().count(), 21);
    let found = project.ok("p", &["connection", "discover", "data"]);
    has(&found, &["a.parquet", "a.csv.zst"]);
    has(
        &project.ok("p", &["connection", "test", "data"]),
        &["s3://lake/data"],
    );
    project.ok(".", &["init", "new", "--from", "s3://lake/x"]);
    has(&project.read("new/towpath.yml"), &["s3://lake/x"]);
    project.ok("new", &["run"]);
    let everything = project.everything(".");
    assert!(!everything.contains(SECRET_KEY) && !everything.contains(ACCESS_KEY));
}

#[test]
fn keys_may_have_any_characters() {
    let server = S3Server::start(BUCKET).unwrap();
    let project = project(&server.endpoint());
    let keys = [
        "a b.csv",
        "100%.csv",
        "%20.csv",
        "a+b.csv",
        "\u{fc}.csv",
        "a#b?c.csv",
        "a&b=c.csv",
        "'quoted'.csv",
        "~x!@$.csv",
        "\u{65e5}\u{672c}.csv",
        "a;b,c.csv",
    ];
    for (at, key) in (0..).zip(keys) {
        put(&server, &format!("odd keys/{key}"), &rows(at..at + 1));
        let one = sums(&project, &format!("s3://lake/odd keys/{key}"));
        assert_eq!(one, (1, i64::try_from(at).unwrap()), "{key}");
    }
    let all = sums(&project, "s3://lake/odd keys/*.csv");
    assert_eq!(all, (11, 55));
    assert_eq!(sums(&project, "s3://lake/odd*/*"), (11, 55));
}

#[test]
fn only_objects_that_are_new_or_changed_are_read_again() {
    let server = S3Server::start(BUCKET).unwrap();
    let project = project(&server.endpoint());
    put(&server, "data/in/1.csv", &rows(0..10));
    project.ok("p", &["run"]);
    assert_eq!(project.count("p", "raw.t"), 10);
    has(&project.ok("p", &["run"]), &["Nothing to do"]);
    put(&server, "data/in/2.csv", &rows(10..15));
    project.ok("p", &["run"]);
    assert_eq!(project.count("p", "raw.t"), 15);
    // Another object of the same size, a moment later.
    put(&server, "data/in/2.csv", &rows(20..25));
    has(
        &project.ok("p", &["run"]),
        &["has changed since it was read"],
    );
    assert_eq!(project.count("p", "raw.t"), 20);
    // The same contents, put again: nothing that could be read differently.
    put(&server, "data/in/1.csv", &rows(0..10));
    project.ok("p", &["run"]);
    assert_eq!(project.count("p", "raw.t"), 20);
}

#[test]
fn a_prefix_of_ten_thousand_keys_is_listed_to_its_end_or_not_at_all() {
    let server = S3Server::start(BUCKET).unwrap();
    std::thread::scope(|scope| {
        for part in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for at in (0..10_000).filter(|at| at % 8 == part) {
                    let ending = if at % 100 == 0 { "csv" } else { "log" };
                    let key = format!("many/{at:05}.{ending}");
                    put(server, &key, &format!("id\n{at}\n"));
                }
            });
        }
    });
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    let wanted = (100, (0..100).map(|at| at * 100).sum());
    assert_eq!(sums(&project, "s3://lake/many/*.csv"), wanted);
    for fault in [
        S3Fault::CutBody,
        S3Fault::Error,
        S3Fault::Lost,
        S3Fault::Slow,
    ] {
        proxy.choose("GET", "continuation-token", fault, 1);
        assert_eq!(sums(&project, "s3://lake/many/*.csv"), wanted, "{fault:?}");
        assert!(proxy.chosen_all());
    }
    let sql = "select count(*) from 's3://lake/many/*.csv'";
    for fault in [S3Fault::NoToken, S3Fault::FirstPage] {
        proxy.choose("GET", "continuation-token", fault, 1_000);
        let output = project.towpath(".", &["query", sql]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{fault:?}: {said}"
        );
        has(&said, &["R0152", "cannot be trusted"]);
        proxy.choose_none();
    }
}

#[test]
fn a_service_that_fails_and_slows_down_gives_every_row_once() {
    let server = S3Server::start(BUCKET).unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    project.write("local/a.csv", &rows(0..200_000));
    project.ok(".", &["copy", "local/a.csv", "local/a.parquet"]);
    for name in ["a.csv", "a.parquet"] {
        let bytes = std::fs::read(project.path(&format!("local/{name}"))).unwrap();
        server.put(BUCKET, name, &bytes).unwrap();
    }
    let wanted = (200_000, 199_999 * 100_000);
    for every in [5, 3] {
        proxy.every(every);
        for name in ["a.csv", "a.parquet"] {
            assert_eq!(
                sums(&project, &format!("s3://lake/{name}")),
                wanted,
                "{name}"
            );
        }
        proxy.every(0);
    }
    for name in ["a.csv", "a.parquet"] {
        for fault in [S3Fault::CutBody, S3Fault::Slow] {
            proxy.choose("GET", "a.", fault, 3);
            assert_eq!(
                sums(&project, &format!("s3://lake/{name}")),
                wanted,
                "{name}"
            );
            assert!(proxy.chosen_all(), "{name} {fault:?}");
        }
    }
}

/// Reads while an object is replaced at a request, and gives what came of it: the exit code, and what was said.
fn replaced(
    project: &TestProject,
    name: &str,
    at: u64,
    with: &[u8],
    ends: (&S3Server, &FaultyS3),
) -> (bool, String) {
    let (server, proxy) = ends;
    proxy.hold(at);
    let sql = format!("select count(*) n, sum(id) s from 's3://lake/{name}'");
    let mut query = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["query", "--format", "csv", &sql])
        .current_dir(project.path("."))
        .envs(project.variables.clone())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !proxy.holds() && query.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    server.put(BUCKET, name, with).unwrap();
    proxy.let_go();
    let output = query.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_never_mixed() {
    let server = S3Server::start(BUCKET).unwrap();
    let proxy = FaultyS3::before(&server).unwrap();
    let project = project(&proxy.endpoint());
    for (which, ids) in [("old", 0..200_000), ("new", 300_000..500_000)] {
        project.write(&format!("{which}.csv"), &rows(ids));
        let (from, to) = (format!("{which}.csv"), format!("{which}.parquet"));
        project.ok(".", &["copy", &from, &to]);
    }
    for ending in ["csv", "parquet"] {
        let read = |which: &str| std::fs::read(project.path(&format!("{which}.{ending}"))).unwrap();
        let (old, new) = (read("old"), read("new"));
        let name = format!("t.{ending}");
        let mut stopped = 0;
        for at in [1, 2, 3, 5, 8, 1_000] {
            server.put(BUCKET, &name, &old).unwrap();
            let (ok, said) = replaced(&project, &name, at, &new, (&server, &proxy));
            match ok {
                true => {
                    let first: u64 = (0..200_000_u64).sum();
                    let second: u64 = (300_000..500_000_u64).sum();
                    let is_one = [first, second]
                        .iter()
                        .any(|sum| said.contains(&format!("200000,{sum}")));
                    assert!(is_one, "{ending} {at}: {said}");
                }
                false => {
                    has(&said, &["R0116", &name]);
                    stopped += 1;
                }
            }
        }
        assert!(stopped >= 2, "{ending}: {stopped}");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_a_way_out() {
    let server = S3Server::start(BUCKET).unwrap();
    let mut project = project(&server.endpoint());
    put(&server, "data/orders.csv", &rows(0..1));
    put(&server, "data/more/x.csv", &rows(0..1));
    let fails = |project: &TestProject, files: &str| {
        let sql = format!("select * from '{files}'");
        project.exits(2, ".", &["query", &sql])
    };
    has(
        &fails(&project, "s3://lake/data/order.csv"),
        &["R0101", "orders.csv"],
    );
    has(
        &fails(&project, "s3://lake/data/q*.csv"),
        &["R0101", "orders.csv"],
    );
    has(
        &fails(&project, "s3://no-such-bucket/a.csv"),
        &["no-such-bucket"],
    );
    has(
        &fails(&project, "s3://no-such-bucket/*.csv"),
        &["create the bucket"],
    );
    let said = fails(&project, "s3://KEY:hidden@lake/a.csv");
    assert!(said.contains("R0150") && !said.contains("hidden"), "{said}");
    has(
        &project.exits(2, ".", &["copy", "s3://lake/data/", "out.csv"]),
        &["R0917"],
    );
    project.write(
        "p/pipelines/p.yml",
        "steps:\n  e: { load: data, into: raw, tables: { t: { from: none.csv } } }\n",
    );
    has(&project.exits(1, "p", &["run"]), &["R0101", "orders.csv"]);
    project.set("AWS_SECRET_ACCESS_KEY", "another-secret");
    let said = fails(&project, "s3://lake/data/*.csv");
    has(&said, &["R0152", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!said.contains("another-secret"), "{said}");
    project.set("AWS_ENDPOINT_URL", "http://storage.example.com");
    has(&fails(&project, "s3://lake/data/*.csv"), &["R0151", "TLS"]);
    project.set("AWS_TIMEOUT", "1h");
    has(
        &fails(&project, "s3://lake/data/*.csv"),
        &["R0151", "AWS_TIMEOUT"],
    );
}
