//! `run --select`, `run --wait`, `rerun`, `logs --follow`, Ctrl-C and TERM as a user types them, with the
//! real binary. Programs keep a run active with named pipes, so no test waits for a fixed time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::io::{BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use towpath_testkit::postgres::PostgresServer;

use crate::test_project::{TestProject, has, text};

const ROOT: &str = "\
towpath: 1
name: ops
id: 5f0c2a1e
connections:
  data: { type: files, path: data }
environments:
  prod: { lakehouse: ./prod }
";

const PIPELINE: &str = r#"
params: { least: { type: int, default: 0 } }
steps:
  extract:
    load: data
    into: raw
    tables:
      a: { from: a.csv, where: "n >= ${param:least}" }
      log: { from: log.csv, write: append }
  build: { models: all }
  score:
    command: [sh, score.sh]
    reads: [marts.total]
    writes: { marts.scores: { write: append } }
    retries: 0
"#;

/// Leaves one row, unless it is made to fail.
const SCORE: &str = r#"
[ -e fail ] && exit 3
out=$(sed -n 's/.*"marts.scores":"\([^"]*\)".*/\1/p' "$TOWPATH_STEP")
printf 'n\n1\n' > "$out/s.csv"
"#;

fn ops() -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", ROOT);
    desk.write("pipelines/ops.yml", PIPELINE);
    desk.write(
        "models/marts/total.sql",
        "{{ config(materialized='table') }}\nselect count(*) n from {{ source('raw', 'a') }}\n",
    );
    desk.write("score.sh", SCORE);
    desk.write("data/a.csv", "n\n1\n2\n3\n");
    desk.write("data/log.csv", "t\nx\ny\n");
    desk
}

/// Ids of the tasks of a run, as the state store has them.
fn tasks(desk: &TestProject, run: &str) -> Vec<String> {
    let runs = desk.json(".", &["runs", "--last", "50", "--format", "json"]);
    let runs = runs["runs"].as_array().unwrap().clone();
    let found = runs
        .iter()
        .find(|record| {
            let name = &record["name"];
            format!("{}#{}", name["pipeline"].as_str().unwrap(), name["number"]) == run
        })
        .unwrap_or_else(|| panic!("no run {run}"));
    let tasks = found["tasks"].as_array().unwrap();
    tasks
        .iter()
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect()
}

fn versions(desk: &TestProject, table: &str) -> usize {
    let history = desk.json(".", &["lake", "history", table, "--format", "json"]);
    history["history"].as_array().unwrap().len()
}

#[test]
fn a_rerun_makes_again_what_can_be_made_twice_and_appends_nothing_twice() {
    let desk = ops();
    desk.ok(".", &["run"]);
    let said = desk.ok(".", &["rerun"]);
    has(
        &said,
        &[
            "ops#2",
            "ops#1 again",
            "it has already appended to `marts.scores`",
        ],
    );
    assert_eq!(tasks(&desk, "ops#2"), tasks(&desk, "ops#1"));
    assert_eq!(versions(&desk, "raw.a"), 2);
    assert_eq!(versions(&desk, "marts.total"), 2);
    assert_eq!(desk.count(".", "raw.a"), 3);
    assert_eq!(desk.count(".", "raw.log"), 2);
    assert_eq!(desk.count(".", "marts.scores"), 1);
    has(
        &desk.ok(".", &["rerun", "ops#1"]),
        &["ops#3", "ops#1 again"],
    );
    assert_eq!(desk.count(".", "raw.log"), 2);
    assert_eq!(desk.count(".", "marts.scores"), 1);

    // A source that grew is another one: what a run would do, a rerun does.
    desk.write("data/a.csv", "n\n1\n2\n3\n4\n");
    let report = desk.json(".", &["rerun", "ops#1", "--format", "json"]);
    assert_eq!(report["rerun_of"], "ops#1");
    assert_eq!(desk.count(".", "raw.a"), 4);
}

#[test]
fn a_rerun_takes_what_failed_or_what_comes_after_a_step() {
    let desk = ops();
    desk.write("fail", "");
    desk.exits(1, ".", &["run"]);
    std::fs::remove_file(desk.path("fail")).unwrap();
    desk.ok(".", &["rerun", "--failed"]);
    assert_eq!(tasks(&desk, "ops#2"), ["score"]);
    assert_eq!(desk.count(".", "marts.scores"), 1);
    assert_eq!(versions(&desk, "raw.a"), 1);
    has(
        &desk.ok(".", &["rerun", "--failed"]),
        &["ops#2 has no failed task", "towpath rerun ops#2"],
    );
    desk.ok(".", &["rerun", "ops#1", "--from", "build"]);
    assert_eq!(tasks(&desk, "ops#3"), ["build/marts.total", "score"]);
    assert_eq!(desk.count(".", "marts.scores"), 1);
    let unknown = desk.exits(2, ".", &["rerun", "--from", "biuld"]);
    has(&unknown, &["error[R0921]", "extract, build, score"]);
    desk.exits(2, ".", &["rerun", "--failed", "--from", "build"]);

    // A task that left the project is named, not forgotten.
    desk.write(
        "pipelines/ops.yml",
        &PIPELINE.replace("      log: { from: log.csv, write: append }\n", ""),
    );
    has(
        &desk.ok(".", &["rerun", "ops#1"]),
        &["not run again, because no longer in the project: extract/raw.log"],
    );
    desk.write(
        "pipelines/ops.yml",
        "steps: { other: { load: data, into: raw, tables: { b: { from: a.csv } } } }\n",
    );
    std::fs::remove_file(desk.path("models/marts/total.sql")).unwrap();
    has(
        &desk.exits(2, ".", &["rerun", "ops#1"]),
        &["error[R0967]", "extract/raw.a"],
    );
}

#[test]
fn a_rerun_keeps_parameters_and_selection_and_knows_its_environment() {
    let desk = ops();
    let unknown = desk.exits(2, ".", &["rerun"]);
    has(
        &unknown,
        &["error[R0981]", "nothing has run yet", "towpath run"],
    );
    desk.ok(".", &["run", "--param", "least=2", "--select", "raw.a"]);
    assert_eq!(desk.count(".", "raw.a"), 2);
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.a"), 3);
    desk.ok(".", &["rerun", "ops#1"]);
    assert_eq!(desk.count(".", "raw.a"), 2);
    assert_eq!(tasks(&desk, "ops#3"), ["extract/raw.a"]);
    // A rerun of a rerun does what that one did.
    desk.ok(".", &["rerun"]);
    assert_eq!(desk.count(".", "raw.a"), 2);

    let unknown = desk.exits(2, ".", &["rerun", "ops#77"]);
    has(
        &unknown,
        &["error[R0981]", "no run `ops#77` in `dev`", "towpath runs"],
    );
    has(
        &desk.exits(2, ".", &["rerun", "ops"]),
        &["error[R0980]", "shop#212"],
    );
    desk.ok(".", &["run", "--env", "prod"]);
    let elsewhere = desk.exits(2, ".", &["rerun", "ops#3", "--env", "prod"]);
    has(&elsewhere, &["error[R0981]", "`dev` has one: --env dev"]);
    let prod = desk.json(".", &["rerun", "--env", "prod", "--format", "json"]);
    assert_eq!(
        (prod["environment"].as_str(), prod["run"].as_str()),
        (Some("prod"), Some("ops#2"))
    );
}

#[test]
fn all_of_a_database_is_not_appended_again_by_a_rerun() {
    let desk = TestProject::new();
    let database = rusqlite::Connection::open(desk.path("shop.db")).unwrap();
    database
        .execute_batch("create table t (n integer); insert into t values (1), (2)")
        .unwrap();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: ops\nid: 1\nconnections: { db: { type: sqlite, path: shop.db } }\n",
    );
    desk.write(
        "pipelines/ops.yml",
        "steps: { pull: { load: db, into: raw, tables: { t: { write: append } } } }\n",
    );
    desk.ok(".", &["run"]);
    desk.ok(".", &["rerun"]);
    assert_eq!(desk.count(".", "raw.t"), 2);
    // A run reads and appends it all, that is what the file says; the first run stays done.
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 4);
    desk.ok(".", &["rerun", "ops#1"]);
    assert_eq!(desk.count(".", "raw.t"), 4);
}

#[test]
fn a_read_that_finds_nothing_new_leaves_its_models_alone() {
    let desk = TestProject::new();
    let database = rusqlite::Connection::open(desk.path("shop.db")).unwrap();
    database
        .execute_batch("create table t (n integer); insert into t values (1), (2)")
        .unwrap();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: ops\nid: 1\nconnections: { db: { type: sqlite, path: shop.db } }\n",
    );
    desk.write(
        "pipelines/ops.yml",
        "steps:\n  pull: { load: db, into: raw, tables: { t: { mode: incremental, cursor: n, write: append } } }\n  \
         build: { models: marts, after: pull }\n",
    );
    desk.write(
        "models/marts/total.sql",
        "{{ config(materialized='table') }} select sum(n) as n from {{ source('raw', 't') }}",
    );
    let built =
        |desk: &TestProject| desk.json(".", &["run", "--format", "json"])["tables"].to_string();
    assert!(built(&desk).contains("build/marts.total"));
    for _ in 0..2 {
        let again = built(&desk);
        assert!(!again.contains("pull/raw.t"), "{again}");
        assert!(!again.contains("build/marts.total"), "{again}");
    }
    database.execute_batch("insert into t values (3)").unwrap();
    assert!(built(&desk).contains("build/marts.total"));
    let total = desk.json(
        ".",
        &["query", "--format", "json", "select n from marts.total"],
    );
    assert!(total.to_string().contains('6'), "{total}");
}

#[test]
fn a_selection_runs_what_it_means_and_refuses_what_means_nothing() {
    let desk = ops();
    desk.ok(".", &["run", "--select", "raw.a+", "--exclude", "score"]);
    assert_eq!(
        tasks(&desk, "ops#1"),
        ["extract/raw.a", "build/marts.total"]
    );
    desk.ok(".", &["run", "ops.extract", "-s", "+marts.total"]);
    assert_eq!(tasks(&desk, "ops#2"), ["extract/raw.a"]);
    let near = desk.exits(2, ".", &["run", "--select", "marts.totl"]);
    has(
        &near,
        &[
            "error[R0963]",
            "`marts.totl` selects nothing",
            "did you mean `marts.total`?",
        ],
    );
    let empty = desk.exits(2, ".", &["run", "--select", "raw.a,step:build"]);
    has(&empty, &["error[R0963]", "the selection is empty"]);
    has(
        &desk.exits(2, ".", &["run", "--select", "a++"]),
        &["error[R0963]", "examples"],
    );

    let plan = desk.ok(".", &["plan", "--select", "raw.a+1"]);
    has(
        &plan,
        &[
            "extract/raw.a",
            "build/marts.total",
            "towpath run ops --select 'raw.a+1'",
        ],
    );
    assert!(!plan.contains("raw.log"), "{plan}");
    let plan = desk.json(
        ".",
        &["plan", "--exclude", "step:extract", "--format", "json"],
    );
    assert_eq!(plan["pipelines"][0]["tasks"].as_array().unwrap().len(), 2);
    desk.exits(2, ".", &["plan", "opps"]);

    // With several pipelines the selection says which one, or is asked.
    desk.write(
        "pipelines/side.yml",
        "steps: { pull: { load: data, into: side, tables: { b: { from: a.csv } } } }\n",
    );
    desk.ok(".", &["run", "--select", "side.b"]);
    assert_eq!(tasks(&desk, "side#1"), ["pull/side.b"]);
    let which = desk.exits(2, ".", &["run", "--select", "source:data"]);
    has(&which, &["error[R0920]", "ops and side"]);
}

/// A project whose one program says that it began and waits until it may end, through named pipes.
fn gate() -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", "towpath: 1\nname: gate\nid: 1\n");
    desk.write(
        "pipelines/gate.yml",
        "steps:\n  hold: { command: [sh, hold.sh], retries: 0 }\n  next: { command: [sh, -c, 'echo at the end'], after: [hold] }\n",
    );
    desk.write(
        "hold.sh",
        "echo first words\necho $$ > began\nread word < go\necho $word\n",
    );
    for pipe in ["began", "go"] {
        let made = Command::new("mkfifo")
            .arg(desk.path(pipe))
            .status()
            .unwrap();
        assert!(made.success());
    }
    desk
}

/// Waits until the program began; gives its process.
fn began(desk: &TestProject) -> String {
    std::fs::read_to_string(desk.path("began")).unwrap()
}

fn go(desk: &TestProject) {
    std::fs::write(desk.path("go"), "go\n").unwrap();
}

fn start(desk: &TestProject, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(arguments)
        .current_dir(desk.path("."))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads standard error until a line has `wanted`.
fn until(errors: &mut impl std::io::BufRead, wanted: &str) {
    let mut heard = String::new();
    while !heard.contains(wanted) {
        assert_ne!(
            errors.read_line(&mut heard).unwrap(),
            0,
            "never said `{wanted}`: {heard}"
        );
    }
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    (output.status.code(), said)
}

#[test]
fn a_run_waits_for_the_one_that_goes_on_or_is_refused() {
    let desk = gate();
    let first = start(&desk, &["run"]);
    began(&desk);
    has(
        &desk.exits(4, ".", &["run"]),
        &["error[R0960]", "gate#1", "towpath run gate --wait"],
    );
    has(
        &desk.exits(4, ".", &["run", "--wait=0s"]),
        &["error[R0965]", "gate#1 is still running"],
    );
    let mut second = start(&desk, &["run", "--wait"]);
    let mut errors = BufReader::new(second.stderr.take().unwrap());
    until(&mut errors, "Waiting for gate#1");
    go(&desk);
    let (code, said) = ended(first);
    assert_eq!(code, Some(0), "{said}");
    began(&desk);
    go(&desk);
    let (code, said) = ended(second);
    assert_eq!(code, Some(0), "{said}");
    has(&said, &["gate#2"]);

    // Whoever waits can be stopped, and has begun nothing.
    let first = start(&desk, &["run"]);
    began(&desk);
    let mut second = start(&desk, &["run", "--wait"]);
    let mut errors = BufReader::new(second.stderr.take().unwrap());
    until(&mut errors, "Waiting for gate#3");
    signal(&second, "INT");
    assert_eq!(second.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    has(&rest, &["error[R0966]", "nothing was started"]);
    go(&desk);
    assert_eq!(ended(first).0, Some(0));
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn logs_are_followed_from_before_the_first_line_to_the_last() {
    let desk = gate();
    let nothing = desk.exits(2, ".", &["logs"]);
    has(&nothing, &["error[R0981]", "nothing has run yet"]);
    let far = desk.exits(2, ".", &["logs", "gate#7", "--follow"]);
    has(&far, &["error[R0981]", "no run `gate#7`"]);
    let mut early = start(&desk, &["logs", "--follow"]);
    let mut errors = BufReader::new(early.stderr.take().unwrap());
    until(&mut errors, "Waiting for the first run to start");
    let run = start(&desk, &["run"]);
    began(&desk);
    let mut one = start(&desk, &["logs", "gate#1.hold", "-f", "--format", "json"]);
    let mut lines = BufReader::new(one.stdout.take().unwrap());
    // What was printed comes while the program still runs.
    until(&mut lines, "first words");
    go(&desk);
    assert_eq!(ended(run).0, Some(0));
    let (code, said) = ended(early);
    assert_eq!(code, Some(0), "{said}");
    has(
        &said,
        &[
            "run_started",
            "task_running",
            "hold │ first words",
            "next │ at the end",
            "run_succeeded",
        ],
    );
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(one.wait().unwrap().code(), Some(0));
    has(&rest, &["task_succeeded", "go\\n"]);
    assert!(!rest.contains("\"next\""), "{rest}");
    for line in rest.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
    }

    // One that has ended is shown and left.
    let said = desk.ok(".", &["logs", "--follow"]);
    assert_eq!(said.matches("run_succeeded").count(), 1, "{said}");
    has(
        &desk.ok(".", &["logs", "gate#1.next"]),
        &["next │ at the end"],
    );
    has(
        &desk.exits(2, ".", &["logs", "gate#1.nxt"]),
        &["error[R0984]", "hold, next"],
    );
    // The next one is waited for; its process dies without a word.
    let mut early = start(&desk, &["logs", "gate#2", "--follow"]);
    let mut errors = BufReader::new(early.stderr.take().unwrap());
    until(&mut errors, "Waiting for gate#2");
    let run = start(&desk, &["run"]);
    began(&desk);
    signal(&run, "KILL");
    ended(run);
    assert_eq!(early.wait().unwrap().code(), Some(0));
    until(&mut errors, "The process of gate#2 has ended");
}

/// True while a process is there and no zombie.
fn lives(process: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}

#[test]
fn a_signal_stops_a_run_with_every_process_of_its_programs() {
    for (name, twice) in [("INT", false), ("TERM", false), ("TERM", true)] {
        let desk = gate();
        // A child that does not hear TERM is killed with its tree.
        let deaf = "trap '' TERM\n";
        let body = "sh -c 'echo $$ > began; read word < go'\nread word < go\n";
        let hold = if twice {
            format!("{deaf}{body}")
        } else {
            body.to_owned()
        };
        desk.write("hold.sh", &hold);
        let run = start(&desk, &["run"]);
        let inner = began(&desk).trim().to_owned();
        assert!(lives(&inner));
        signal(&run, name);
        let mut run = run;
        let mut errors = BufReader::new(run.stderr.take().unwrap());
        until(&mut errors, "Stopping");
        if twice {
            signal(&run, name);
        }
        assert_eq!(run.wait().unwrap().code(), Some(130), "{name}");
        // The kernel takes the last of a killed tree away on its own time.
        while lives(&inner) {
            std::thread::yield_now();
        }
        desk.write("hold.sh", "echo done\n");
        let said = desk.ok(".", &["run"]);
        has(&said, &["gate#1", "resumed"]);
    }
}

#[test]
fn a_signal_stops_a_copy_and_leaves_nothing() {
    let server = PostgresServer::shared().unwrap();
    let database = server.new_database().unwrap();
    server
        .psql(
            &database,
            "create table gate (n int); \
             create view slow as select i, (select count(*) from pg_sleep(case when i > 10 then 600 else 0 end)) as w \
             from generate_series(1, 100000) i",
        )
        .unwrap();
    let url = server.url(&database);
    for name in ["INT", "TERM"] {
        let desk = TestProject::new();
        let mut copy = start(&desk, &["copy", &url, "--table", "public.slow", "out.csv"]);
        loop {
            let found = server
                .psql(
                    &database,
                    "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
                )
                .unwrap();
            if found.contains('1') {
                break;
            }
            assert!(copy.try_wait().unwrap().is_none(), "{:?}", ended(copy));
        }
        signal(&copy, name);
        let (code, said) = ended(copy);
        assert_eq!(code, Some(130), "{said}");
        has(
            &said,
            &[
                "Stopping",
                "error[R0939]",
                "the same command to start again",
            ],
        );
        let left: Vec<_> = std::fs::read_dir(desk.path(".")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        server
            .psql(
                &database,
                "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
            )
            .unwrap();
    }
}

/// A project whose program leaves two tables, numbered by how often it ran.
fn pair(write: &str) -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", "towpath: 1\nname: pair\nid: 1\n");
    desk.write(
        "pipelines/pair.yml",
        &format!(
            "steps:\n  both:\n    command: [sh, both.sh]\n    writes: {{ raw.a: {{ write: {write} }}, raw.b: {{ write: {write} }} }}\n"
        ),
    );
    desk.write(
        "both.sh",
        r#"echo ran >> ran
n=$(wc -l < ran)
for table in raw.a raw.b; do
  out=$(sed -n 's/.*"'$table'":"\([^"]*\)".*/\1/p' "$TOWPATH_STEP")
  printf 'n\n%s\n' $n > "$out/x.csv"
done
"#,
    );
    desk
}

#[test]
fn all_tables_of_a_program_come_from_one_attempt_of_it() {
    for write in ["replace", "append"] {
        for (edge, ran) in [
            ("command::settled", 2),
            ("command::finished", 1),
            ("lake::after_commit", 1),
            ("lake::before_commit@2", 1),
            ("lake::after_commit@2", 1),
        ] {
            let mut desk = pair(write);
            desk.set("TOWPATH_FAILPOINT", edge);
            let killed = desk.towpath(".", &["run"]);
            assert_eq!(killed.status.code(), None, "{write} {edge}: {killed:?}");
            desk.set("TOWPATH_FAILPOINT", "");
            desk.ok(".", &["run"]);
            let rows = desk.json(
                ".",
                &[
                    "query",
                    "--format",
                    "json",
                    "select (select count(*) from raw.a) a, (select count(*) from raw.b) b, \
                     (select max(n) from raw.a) m, (select max(n) from raw.b) n",
                ],
            );
            let row = &rows[0];
            assert_eq!(
                (&row["a"], &row["b"]),
                (&1.into(), &1.into()),
                "{write} {edge}"
            );
            assert_eq!(
                (&row["m"], &row["n"]),
                (&ran.into(), &ran.into()),
                "{write} {edge}"
            );
            assert_eq!(desk.read("ran").lines().count(), ran, "{write} {edge}");
        }
    }
}

#[test]
fn a_resumed_run_makes_again_what_was_made_from_other_inputs() {
    for changes in [false, true] {
        let desk = gate();
        desk.write(
            "towpath.yml",
            "towpath: 1\nname: gate\nid: 1\nconnections: { data: { type: files, path: data } }\n",
        );
        desk.write("data/a.csv", "n\n1\n");
        desk.write("data/b.csv", "n\n1\n");
        desk.write(
            "pipelines/gate.yml",
            "steps:\n  extract: { load: data, into: raw, tables: { a: { from: a.csv }, b: { from: b.csv } } }\n  build: { models: all }\n  hold: { command: [sh, hold.sh], after: [build], retries: 0 }\n",
        );
        desk.write(
            "models/marts/m.sql",
            "{{ config(materialized='table') }}\nselect count(*) n from {{ source('raw', 'a') }}\n",
        );
        let run = start(&desk, &["run"]);
        began(&desk);
        signal(&run, "KILL");
        ended(run);
        if changes {
            desk.write("data/a.csv", "n\n1\n2\n");
        }
        desk.write("hold.sh", "true\n");
        has(&desk.ok(".", &["run"]), &["gate#1", "resumed"]);
        let expected = if changes { (2, 2, 1) } else { (1, 1, 1) };
        let found = (
            versions(&desk, "raw.a"),
            versions(&desk, "marts.m"),
            versions(&desk, "raw.b"),
        );
        assert_eq!(found, expected, "changes: {changes}");
        let rows = desk.json(".", &["query", "--format", "json", "select n from marts.m"]);
        assert_eq!(rows[0]["n"], if changes { 2 } else { 1 });
    }
}

#[test]
fn a_model_that_asks_the_clock_is_never_unchanged() {
    let desk = ops();
    desk.write(
        "models/marts/total.sql",
        "{{ config(materialized='table') }}\nselect count(*) n, now() as made_at from {{ source('raw', 'a') }}\n",
    );
    desk.write(
        "models/marts/today.sql",
        "select current_date as d, n from {{ source('raw', 'a') }}\n",
    );
    desk.write(
        "models/marts/through.sql",
        "{{ config(materialized='table') }}\nselect count(*) n from {{ ref('today') }}\n",
    );
    desk.write(
        "models/marts/still.sql",
        "{{ config(materialized='table') }}\n-- now() is only a word here\nselect 'now()' as t, count(*) n from {{ source('raw', 'a') }}\n",
    );
    let choice = ["run", "--select", "step:extract", "step:build"];
    desk.ok(".", &choice);
    let again = desk.ok(".", &choice);
    assert!(!again.contains("Nothing to do"), "{again}");
    for (table, expected) in [
        ("marts.total", 2),
        ("marts.through", 2),
        ("marts.still", 1),
        ("raw.a", 1),
    ] {
        assert_eq!(versions(&desk, table), expected, "{table}");
    }
}

#[test]
fn the_where_of_an_sql_check_narrows_its_table() {
    let desk = ops();
    let checks = |text: &str| {
        PIPELINE.replace(
            "a: { from: a.csv, where: \"n >= ${param:least}\" }",
            &format!("a:\n        from: a.csv\n        checks:\n          - {text}\n"),
        )
    };
    let small = "{ sql: 'select * from {table} as t where t.n > 1', where: n < 2 }";
    desk.write("pipelines/ops.yml", &checks(small));
    desk.ok(".", &["run", "--select", "raw.a"]);
    let large = "{ sql: 'select * from {table} as t where t.n > 1', where: n < 3 }";
    desk.write("pipelines/ops.yml", &checks(large));
    has(
        &desk.exits(3, ".", &["run", "--select", "raw.a"]),
        &["the query gives 1 row"],
    );
    for wrong in [
        "{ sql: 'select * from raw.a where n > 1', where: n < 3 }",
        "{ sql: 'select {table}.n from {table} where n > 1', where: n < 3 }",
    ] {
        desk.write("pipelines/ops.yml", &checks(wrong));
        has(
            &desk.exits(2, ".", &["check"]),
            &["error[K0605]", "pipelines/ops.yml"],
        );
    }
}
