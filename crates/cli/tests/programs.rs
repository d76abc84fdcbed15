//! Programs of command steps as a user runs them: their folders, the files that they may write, their logs;
//! and a run with `--limit` publishes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use towpath_testkit::http::{HttpAnswer, HttpServer};

use crate::test_project::{TestProject, has};

/// One program that leaves rows of its environment, one that tells somebody.
fn envs() -> TestProject {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 1\nenvironments:\n  dev: { lakehouse: ./dev }\n  prod: { lakehouse: ./prod }\n",
    );
    desk.write(
        "pipelines/p.yml",
        "steps:\n  make: { command: [sh, make.sh], writes: { raw.t: {} } }\n  notify: { command: [sh, notify.sh], after: [make] }\n",
    );
    desk.write(
        "make.sh",
        "out=$(sed -n 's/.*\"raw.t\":\"\\([^\"]*\\)\".*/\\1/p' \"$TOWPATH_STEP\")\n\
         printf 'n\\n%s\\n' \"$ROWS\" > \"$out/x.csv\"\n",
    );
    desk.write("notify.sh", "echo \"$TOWPATH_IDEMPOTENCY_KEY\" >> told\n");
    desk
}

#[test]
fn programs_of_two_environments_and_two_state_stores_share_nothing() {
    let mut desk = envs();
    let row = |desk: &TestProject, env| {
        let rows = desk.json(
            ".",
            &[
                "query",
                "--env",
                env,
                "--format",
                "json",
                "select n from raw.t",
            ],
        );
        rows[0]["n"].clone()
    };
    for (env, rows) in [("dev", "1"), ("prod", "2")] {
        desk.set("ROWS", rows);
        desk.ok(".", &["run", "--env", env]);
    }
    assert_eq!(
        (row(&desk, "dev"), row(&desk, "prod")),
        (1.into(), 2.into())
    );
    std::fs::remove_file(desk.path(".towpath/dev.db")).unwrap();
    desk.set("ROWS", "3");
    desk.ok(".", &["run", "--env", "dev"]);
    assert_eq!(row(&desk, "dev"), 3);
    let told = desk.read("told");
    let mut keys: Vec<&str> = told.lines().collect();
    assert_eq!(keys.len(), 3, "{told}");
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3, "{told}");
}

#[test]
fn a_run_that_ended_well_keeps_only_what_its_programs_printed() {
    let mut desk = envs();
    desk.set("ROWS", "1");
    desk.write("notify.sh", "echo told somebody\n");
    desk.ok(".", &["run"]);
    let left = desk.everything(".towpath/steps");
    assert_eq!(left, "told somebody\n");
    has(&desk.ok(".", &["logs", "p#1.notify"]), &["told somebody"]);
}

#[test]
fn a_part_of_the_sources_is_never_sent_out() {
    let desk = TestProject::with_pipeline(
        "steps:\n  pull: { load: data, into: raw, tables: { t: { from: t.csv } } }\n  \
         send: { publish: raw, into: out, tables: { t.csv: { from: t } } }\n  \
         tell: { command: [sh, -c, 'echo told >> told'], after: [send] }\n",
    );
    desk.write("data/t.csv", "id\n1\n2\n3\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t.csv"), "id\n1\n2\n3\n");
    let said = desk.ok(".", &["run", "--limit", "1"]);
    has(
        &said,
        &[
            "partial: at most about 1 row per load",
            "was skipped: with `--limit 1` nothing is published",
            "tell was skipped: with `--limit 1` no command runs",
        ],
    );
    assert_eq!(desk.count(".", "raw.t"), 3);
    assert_eq!(desk.read("out/t.csv"), "id\n1\n2\n3\n");
    assert_eq!(desk.read("told"), "told\n");
    let report = desk.json(".", &["run", "--limit", "2", "--format", "json"]);
    assert_eq!(report["limit"], 2);
    // A whole run sends again what is there then.
    desk.write("data/t.csv", "id\n1\n2\n3\n4\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t.csv"), "id\n1\n2\n3\n4\n");
    assert_eq!(desk.read("told"), "told\ntold\n");
}

#[test]
fn every_file_a_program_leaves_is_taken_or_named() {
    let desk = TestProject::new();
    desk.write("towpath.yml", "towpath: 1\nname: p\nid: 1\n");
    desk.write(
        "pipelines/p.yml",
        "steps:\n  make: { command: [sh, make.sh], writes: { raw.t: {} }, retries: 0 }\n",
    );
    let leaves = |lines: &str| {
        let find = "out=$(sed -n 's/.*\"raw.t\":\"\\([^\"]*\\)\".*/\\1/p' \"$TOWPATH_STEP\")\n";
        desk.write(
            "make.sh",
            &format!("{find}cd \"$out\"\nmkdir -p a/b\n{lines}"),
        );
    };
    leaves("printf 'n\\n1\\n' > data.v1.csv\nprintf 'n\\n2\\n' > a/b/data.v2.csv\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 2);
    leaves("printf 'n\\n1\\n' > x.csv\nprintf 'n\\n2\\n' > a/part\n");
    has(&desk.exits(3, ".", &["run"]), &["error[R0957]", "`a/part`"]);
    assert_eq!(desk.count(".", "raw.t"), 2);
    // What Spark and others leave beside their data.
    leaves(
        "printf 'n\\n1\\n' > x.csv\ntouch _SUCCESS .x.csv.crc a/_started\nmkdir _tmp ._tmp\n\
         touch _tmp/y.log\nprintf 'n\\n5\\n' > a/b/z.csv\n",
    );
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 2);
    leaves(
        "printf 'n\\n1\\n' > x.csv\nmkdir _r\nprintf 'n\\n2\\n' > _r/y.csv\n\
         printf 'n\\n3\\n' > _z.csv\n",
    );
    has(
        &desk.exits(3, ".", &["run"]),
        &["error[R0957]", "`_r/y.csv`, `_z.csv`", "rename it"],
    );
    assert_eq!(desk.count(".", "raw.t"), 2);
    leaves("touch _SUCCESS\n");
    has(
        &desk.exits(3, ".", &["run"]),
        &["error[R0953]", "begin with `_` or `.`: `_SUCCESS`"],
    );
}

#[test]
fn each_attempt_has_a_log_and_a_timeout_names_it() {
    let desk = TestProject::new();
    desk.write("towpath.yml", "towpath: 1\nname: p\nid: 1\n");
    desk.write(
        "pipelines/p.yml",
        "steps:\n  slow: { command: [sh, slow.sh], retries: 1, timeout: 1s }\n",
    );
    desk.write(
        "slow.sh",
        "echo x >> begun\necho attempt $(wc -l < begun)\nexec sleep 600\n",
    );
    let said = desk.exits(1, ".", &["run"]);
    has(&said, &["error[R0707]", "its output: ", "output-2.log"]);
    has(
        &desk.ok(".", &["logs", "p#1.slow"]),
        &["slow │ attempt 1", "slow │ attempt 2"],
    );
}

/// SQL before a load, a load, and SQL and a request behind it.
fn surrounded(writable: bool, url: &str) -> TestProject {
    let mut desk = TestProject::new();
    desk.set("TOKEN", "t0ps3cret");
    desk.set("HOOK", url);
    desk.write(
        "towpath.yml",
        &format!("towpath: 1\nname: p\nid: 1\nconnections:\n  store: {{ type: sqlite, path: store.db, writable: {writable} }}\n  data: {{ type: files, path: data }}\n"),
    );
    desk.write(
        "pipelines/p.yml",
        "params: { who: { type: text, default: \"it's\" } }
steps:
  before:
    sql:
      - create table if not exists log (run text, who text)
      - insert into log values (${run:id}, ${param:who})
    connection: store
  extract: { load: store, into: raw, tables: { log: {} }, after: [before] }
  tell:
    http:
      url: ${env:HOOK}/loaded
      headers: { Authorization: \"Bearer ${secret:TOKEN}\" }
      json: { run: \"${run:id}\", rows: 1, by: [\"${param:who}\"] }
    reads: [raw.log]
    retries: 1
    backoff: 1ms
  failed:
    sql: insert into log values ('failed', '')
    connection: store
    after: [extract]
    run_if: one_failed
",
    );
    desk
}

#[test]
fn sql_runs_before_a_load_and_a_request_is_sent_behind_it() {
    let server = HttpServer::start(|_| HttpAnswer::new(204, "")).unwrap();
    let desk = surrounded(true, &server.url());
    has(
        &desk.ok(".", &["plan"]),
        &[
            "run in store: create table if not exists log (run text, who text); and 1 more",
            "send POST ${env:HOOK}/loaded",
        ],
    );
    let said = desk.ok(".", &["run"]);
    has(
        &said,
        &["before", "store", "1 SQL step", "tell", "1 request"],
    );
    let rows = desk.json(
        ".",
        &["query", "--format", "json", "select run, who from raw.log"],
    );
    assert_eq!(rows[0]["run"], "p#1");
    assert_eq!(rows[0]["who"], "it's");
    let [sent] = server.requests().try_into().unwrap();
    assert_eq!(
        (sent.method.as_str(), sent.target.as_str()),
        ("POST", "/loaded")
    );
    let body: serde_json::Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({ "run": "p#1", "rows": 1, "by": ["it's"] })
    );
    assert_eq!(sent.header("authorization"), Some("Bearer t0ps3cret"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert!(sent.header("idempotency-key").unwrap().contains("p#1"));
    // A run with a part of the rows touches nothing outside.
    has(
        &desk.ok(".", &["run", "--limit", "1"]),
        &["no SQL runs in other systems", "no request is sent"],
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_step_before_a_load_that_fails_keeps_it_from_running() {
    let server = HttpServer::start(|_| HttpAnswer::new(204, "")).unwrap();
    let desk = surrounded(true, &server.url());
    let pipeline = desk.read("pipelines/p.yml");
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("(run text, who text)", "(run text,"),
    );
    let said = desk.exits(3, ".", &["run"]);
    has(&said, &["R0314", "running statement 1", "store.db"]);
    assert!(server.requests().is_empty());
    // All statements of a step are one transaction, unless it says otherwise.
    let wrong = pipeline.replace("(${run:id}, ${param:who})", "(1, 2, 3)");
    desk.write("pipelines/p.yml", &wrong);
    desk.exits(3, ".", &["run"]);
    let tables = || {
        let store = Connection::open(desk.path("store.db")).unwrap();
        let count = "select count(*) from sqlite_master where name = 'log'";
        store
            .query_row(count, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(tables(), 0);
    let alone = wrong.replace(
        "    connection: store\n  extract",
        "    connection: store\n    transaction: false\n  extract",
    );
    desk.write("pipelines/p.yml", &alone);
    desk.exits(3, ".", &["run"]);
    assert_eq!(tables(), 1);
}

#[test]
fn a_request_that_fails_is_sent_again_with_the_same_key_and_says_no_secret() {
    let server = HttpServer::start(|_| HttpAnswer::new(503, "t0ps3cret is busy")).unwrap();
    let desk = surrounded(true, &server.url());
    let said = desk.exits(1, ".", &["run"]);
    has(&said, &["R0347", "status 503: *** is busy"]);
    assert!(!said.contains("t0ps3cret"), "{said}");
    // What was committed before stays.
    assert_eq!(desk.count(".", "raw.log"), 1);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let key = |at: usize| requests[at].header("idempotency-key").unwrap();
    assert_eq!(key(0), key(1));
}

#[test]
fn sql_in_a_read_only_connection_is_skipped() {
    let server = HttpServer::start(|_| HttpAnswer::new(204, "")).unwrap();
    let desk = surrounded(false, &server.url());
    let store = Connection::open(desk.path("store.db")).unwrap();
    store
        .execute_batch("create table log (run text, who text)")
        .unwrap();
    has(&desk.ok(".", &["plan"]), &["skip: store is read-only"]);
    let said = desk.ok(".", &["run"]);
    has(
        &said,
        &["`store` is read-only; to run SQL in it, set `writable: true`"],
    );
    assert_eq!(desk.count(".", "raw.log"), 0);
}

/// A program that prints what `rows` in the project has, and notes how it was called.
fn printing(connection: &str, table: &str) -> TestProject {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!("towpath: 1\nname: p\nid: 1\nconnections:\n  crm: {{ type: program, command: [sh, print.sh, \"{{{{ table }}}}\", \"--since={{{{ cursor }}}}\"], {connection} }}\n"),
    );
    desk.write(
        "print.sh",
        "echo \"$* $TOWPATH_TABLE $TOWPATH_CURSOR\" >> called\ncat rows\n",
    );
    desk.write(
        "pipelines/p.yml",
        &format!(
            "steps: {{ extract: {{ load: crm, into: raw, tables: {{ t: {{ {table} }} }} }} }}\n"
        ),
    );
    desk
}

fn shown(desk: &TestProject) -> serde_json::Value {
    desk.json(
        ".",
        &[
            "query",
            "--format",
            "json",
            "select id, name from raw.t order by id",
        ],
    )
}

#[test]
fn rows_of_a_program_are_loaded_in_each_format() {
    for (format, rows) in [
        (
            "jsonl",
            "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":null}",
        ),
        ("csv", "id,name\n1,Ada\n2,\n"),
    ] {
        let desk = printing(&format!("format: {format}"), "key: id");
        desk.write("rows", rows);
        desk.ok(".", &["run"]);
        let wanted = serde_json::json!([{"id": 1, "name": "Ada"}, {"id": 2, "name": null}]);
        assert_eq!(shown(&desk), wanted, "{format}");
        assert_eq!(desk.read("called"), "t t \n", "{format}");
        assert_eq!(
            std::fs::read_dir(desk.path(".towpath/programs"))
                .unwrap()
                .count(),
            0
        );
    }
    let desk = printing("format: arrow", "fail_above: 100%");
    let stream = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../connectors/tests/fixtures/arrow/types.arrows");
    let whole = std::fs::read(stream).unwrap();
    // A stream that is cut short is no stream, whatever the program says of its end.
    for cut in [whole.len() / 2, whole.len() - 20] {
        std::fs::write(desk.path("rows"), &whole[..cut]).unwrap();
        has(&desk.exits(1, ".", &["run"]), &["R1422", "`sh` is cut off"]);
    }
    std::fs::write(desk.path("rows"), &whole).unwrap();
    desk.ok(".", &["run"]);
    assert_ne!(desk.count(".", "raw.t"), 0);
}

#[test]
fn what_a_program_printed_that_failed_is_never_loaded() {
    let mut desk = printing(
        "env: { TOKEN: \"Bearer ${secret:CRM_TOKEN}\", OTHER: \"${env:CRM_OTHER}\" }, timeout_s: 1",
        "key: id",
    );
    desk.set("CRM_OTHER", "0therv4lue");
    desk.set("SHOP_PASSWORD", "inh3rited");
    desk.set("CRM_TOKEN", "t0ps3cret");
    desk.write("rows", "{\"id\":1,\"name\":\"Ada\"}\n");
    desk.ok(".", &["run"]);
    for (script, code, said) in [
        (
            "cat rows rows; echo no \"${TOKEN#Bearer }\" \"$OTHER\" \"$SHOP_PASSWORD\" >&2; exit 3",
            "R1420",
            "ended with exit code 3",
        ),
        ("cat rows; kill -9 $$", "R1420", "was killed by signal 9"),
        // A worker of its own still prints when the program has ended.
        (
            "cat rows; (sleep 30; cat rows) & exit 0",
            "R1420",
            "still had its standard output",
        ),
        (
            "(while :; do echo x >&2; cat rows; done) & exit 0",
            "R1420",
            "still had its standard output",
        ),
        ("cat rows; sleep 600", "R1421", "printed nothing for 1 s"),
        (
            "cat rows; printf '{\"id\":2,\"na'",
            "R1422",
            "ends in the middle of a line",
        ),
    ] {
        desk.write("print.sh", script);
        desk.write("rows", "{\"id\":9,\"name\":\"Eve\"}\n");
        let output = desk.exits(1, ".", &["run"]);
        has(&output, &[code, said]);
        for secret in ["t0ps3cret", "0therv4lue", "inh3rited"] {
            assert!(!output.contains(secret), "{output}");
        }
        assert_eq!(
            shown(&desk),
            serde_json::json!([{"id": 1, "name": "Ada"}]),
            "{script}"
        );
        assert_eq!(
            std::fs::read_dir(desk.path(".towpath/programs"))
                .unwrap()
                .count(),
            0
        );
        if code == "R1420" && script.contains("TOKEN") {
            has(&output, &["no *** *** ***"]);
        }
    }
    desk.write(
        "towpath.yml",
        &desk
            .read("towpath.yml")
            .replace("[sh,", "[no-such-program,"),
    );
    has(&desk.exits(1, ".", &["run"]), &["R1419", "no-such-program"]);
}

#[test]
fn a_program_gets_the_cursor_of_the_rows_before() {
    let desk = printing(
        "format: csv",
        "cursor: at, key: id, mode: incremental, write: merge",
    );
    for (rows, cursor) in [
        (
            "id,name,at\n1,Ada,2026-01-02T03:04:05Z\n2,Bob,2026-01-01T00:00:00Z\n",
            "",
        ),
        (
            "id,name,at\n2,Bea,2026-01-01T09:00:00Z\n",
            "2026-01-02T03:04:05Z",
        ),
        // Older rows do not take it back, and no rows leave it.
        ("id,name,at\n", "2026-01-02T03:04:05Z"),
        (
            "id,name,at\n3,Cid,2026-02-01T00:00:00Z\n",
            "2026-01-02T03:04:05Z",
        ),
        ("id,name,at\n", "2026-02-01T00:00:00Z"),
    ] {
        desk.write("rows", rows);
        desk.write("called", "");
        desk.ok(".", &["run"]);
        let called = match cursor {
            "" => "t t \n".to_owned(),
            cursor => format!("t --since={cursor} t {cursor}\n"),
        };
        assert_eq!(desk.read("called"), called);
    }
    let wanted = serde_json::json!([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bea"}, {"id": 3, "name": "Cid"}]);
    assert_eq!(shown(&desk), wanted);
    desk.write("called", "");
    desk.write("rows", "id,name,at\n7,Gil,2025-01-01T00:00:00Z\n");
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(desk.read("called"), "t t \n");
    assert_eq!(desk.count(".", "raw.t"), 1);
}

#[test]
fn rejected_records_of_a_program_are_replayed_without_it() {
    for (format, first, bad) in [
        (
            "jsonl",
            "{\"id\":1,\"name\":\"Ada\"}\n",
            "{\"id\":2,\"name\":\"x\"}\n{\"id\":\"two\",\"name\":\"Bob\"}\n",
        ),
        ("csv", "name;id\nAda;1\n", "name;id\nx;2\nBob;two\n"),
    ] {
        let desk = printing(
            &format!("format: {format}"),
            "key: id, mode: incremental, cursor: id, write: merge, fail_above: 100%, columns: { name: { length: { min: 2 } } }",
        );
        desk.write("rows", first);
        desk.ok(".", &["run"]);
        desk.write("rows", bad);
        has(&desk.ok(".", &["run"]), &["2 rows rejected"]);
        // The same records again are the same records.
        desk.ok(".", &["run"]);
        has(&desk.ok(".", &["quarantine", "show", "raw.t"]), &["crm/t"]);
        let pipeline = desk.read("pipelines/p.yml");
        desk.write("pipelines/p.yml", &pipeline.replace("min: 2", "min: 1"));
        desk.write("called", "");
        has(
            &desk.ok(".", &["quarantine", "replay", "raw.t"]),
            &["1 row replayed, 1 still in the quarantine"],
        );
        assert_eq!(desk.read("called"), "");
        let wanted = serde_json::json!([{"id": 1, "name": "Ada"}, {"id": 2, "name": "x"}]);
        assert_eq!(shown(&desk), wanted, "{format}");
    }
}

/// The process with the id in a file, while it runs.
fn running(file: &Path) -> Option<String> {
    let id = std::fs::read_to_string(file).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).ok()?;
    // Nobody may ask about a process that has ended.
    let (_, state) = stat.rsplit_once(") ")?;
    (!state.starts_with('Z')).then(|| id.trim().to_owned())
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_and_what_it_started_end_with_the_run() {
    for signal in ["KILL", "INT"] {
        let desk = printing("timeout_s: 600", "key: id");
        desk.write("rows", "{\"id\":1,\"name\":\"Ada\"}\n");
        desk.write(
            "print.sh",
            "cat rows\necho $$ > own\nsh -c 'echo $$ > other; sleep 600'\nsleep 600\n",
        );
        let mut run = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .arg("run")
            .current_dir(desk.path("."))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let files = [desk.path("own"), desk.path("other")];
        until("the programs run", || {
            files.iter().all(|file| running(file).is_some())
        });
        let sent = Command::new("kill")
            .args([format!("-{signal}"), run.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        run.wait().unwrap();
        until("the programs have ended", || {
            files.iter().all(|file| running(file).is_none())
        });
        // What it had printed is nowhere, and nothing is in the way of the next run.
        desk.write("print.sh", "cat rows\n");
        desk.ok(".", &["run"]);
        assert_eq!(desk.count(".", "raw.t"), 1);
        let left = std::fs::read_dir(desk.path(".towpath/programs")).unwrap();
        assert_eq!(left.count(), 0, "{signal}");
    }
}

#[test]
fn csv_that_is_cut_is_not_loaded_and_no_cursor_is_inherited() {
    let mut desk = printing("format: csv", "key: id, cursor: id");
    desk.set("TOWPATH_CURSOR", "99");
    desk.write("rows", "id,name\n1,Ada\n7,12");
    has(&desk.exits(1, ".", &["run"]), &["R1422"]);
    desk.write("called", "");
    desk.write("rows", "id,name\n1,Ada\n7,1250\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("called"), "t t \n");
    assert_eq!(desk.count(".", "raw.t"), 2);
    desk.ok(".", &["check", "--connect"]);
}
