//! The state file against real files: damage, full disks, other formats, processes that are killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use towpath_ports::{
    CompiledGraph, FeedPosition, GraphTask, NewRun, Opened, RunEvent, RunEventKind, RunFilter,
    RunKind, RunRecord, RunState, StateStore, TaskOutcome, TaskState, Transition,
};
use towpath_vocab::{Environment, Failure, Remedy, RunName};

use super::schema;
use super::writer::Writer;
use crate::clock::StoreClock;
use crate::error::Place;
use crate::sqlite::SqliteFile;
use crate::store::Store;
use crate::tx::Operation;
use crate::tx::{Tx, TxFuture, cells};

fn opened(path: &Path) -> Result<Store, Failure> {
    SqliteFile::open(path, StoreClock::Own)
        .map(Store::Sqlite)
        .map_err(|error| error.into_failure(&Place::File(path.to_owned())))
}

fn open_at(path: &Path) -> Store {
    opened(path).unwrap()
}

struct TestFolder {
    folder: tempfile::TempDir,
}

impl TestFolder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("dev.db")
    }

    fn open(&self) -> Store {
        open_at(&self.file())
    }

    fn writer(&self, connection: Connection) -> Writer {
        Writer::start(
            connection,
            Arc::new(Place::File(self.file())),
            StoreClock::Own,
        )
        .unwrap()
    }
}

fn insert(key: String, value: String) -> impl Operation<u64> {
    fn named<F: for<'a> Fn(&'a Tx<'a>) -> TxFuture<'a, u64>>(operation: F) -> F {
        operation
    }
    named(move |tx| {
        let (key, value) = (key.clone(), value.clone());
        Box::pin(async move {
            tx.execute("INSERT INTO meta VALUES (?1, ?2)", cells![key, value])
                .await
        })
    })
}

fn new_run(worker: &str, hash: &str) -> NewRun {
    let tasks = ["extract/orders", "build/sales", "score"];
    NewRun {
        pipeline: "shop".into(),
        environment: "dev".into(),
        kind: RunKind::Run,
        interval: None,
        scheduled: false,
        backfill: None,
        deadline_ms: None,
        params: Default::default(),
        graph: CompiledGraph {
            hash: hash.to_owned(),
            body: json!({ "tasks": tasks }),
            tasks: tasks
                .map(|id| GraphTask {
                    id: id.into(),
                    pool: None,
                })
                .to_vec(),
            parallel: 4,
        },
        request: json!({ "select": "all" }),
        worker: worker.to_owned(),
        lease_us: 15_000_000,
    }
}

fn opened_new(opened: Opened) -> RunRecord {
    match opened {
        Opened::New(run) => run,
        other => panic!("expected a new run, found {other:?}"),
    }
}

fn opened_resumed(opened: Opened) -> RunRecord {
    match opened {
        Opened::Resumed(run) => run,
        other => panic!("expected a resumed run, found {other:?}"),
    }
}

async fn end_first(store: &Store, run: &RunRecord) {
    let step = |from, to, fence| Transition {
        run: run.name.clone(),
        environment: run.environment.clone(),
        task: run.tasks[0].id.clone(),
        from,
        fence,
        to,
        now_us: 77,
        due_us: None,
        end: None,
    };
    let start = step(TaskState::Waiting, TaskState::Running, 0);
    let end = step(TaskState::Running, TaskState::Succeeded, 1);
    assert!(store.transition_all(vec![start, end]).await.unwrap());
}

#[tokio::test]
async fn a_process_that_ended_is_known_to_be_dead_before_its_lease_runs_out() {
    let place = TestFolder::new();
    let first = place.open();
    let run = opened_new(first.open_run(new_run("w 1/ä", "h")).await.unwrap());
    drop(first);
    let second = place.open();
    let resumed = opened_resumed(second.open_run(new_run("w2", "h")).await.unwrap());
    assert_eq!(resumed.name, run.name);
    second
        .close_run(&run.name, &run.environment, RunState::Succeeded, "w2", 2)
        .await
        .unwrap();
    drop(second);
    let left: Vec<_> = std::fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("-worker-"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

const VICTIM: &str = "TOWPATH_TEST_VICTIM";

/// Does nothing by itself: the test below starts it as a process of its own, to be killed.

#[tokio::test]
async fn victim() {
    if let Ok(folder) = std::env::var(VICTIM) {
        let folder = std::path::Path::new(&folder);
        let store = open_at(&folder.join("dev.db"));
        let run = opened_new(store.open_run(new_run("victim", "h")).await.unwrap());
        end_first(&store, &run).await;
        std::fs::write(folder.join("ready"), "").unwrap();
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_killed_process_is_succeeded_at_once_and_a_living_one_never() {
    let place = TestFolder::new();
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::tests::victim"])
        .env(VICTIM, place.folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !place.folder.path().join("ready").exists() {
        assert!(
            victim.try_wait().unwrap().is_none(),
            "the victim died by itself"
        );
        std::thread::yield_now();
    }
    let store = place.open();
    let living = store.open_run(new_run("next", "h")).await.unwrap();
    assert!(matches!(living, Opened::Busy(ref run) if run.worker == "victim"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    let resumed = opened_resumed(store.open_run(new_run("next", "h")).await.unwrap());
    assert_eq!(resumed.tasks[0].state, TaskState::Succeeded);
}

#[tokio::test]
async fn deleting_the_file_costs_history_only() {
    let place = TestFolder::new();
    let store = place.open();
    opened_new(store.open_run(new_run("w1", "h")).await.unwrap());
    drop(store);
    for entry in std::fs::read_dir(place.folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let run = opened_new(place.open().open_run(new_run("w2", "h")).await.unwrap());
    assert_eq!(run.name.number, 1);
}

#[tokio::test]
async fn a_newer_file_is_refused_untouched() {
    let place = TestFolder::new();
    drop(place.open());
    let raw = rusqlite::Connection::open(place.file()).unwrap();
    raw.pragma_update(None, "user_version", schema::FORMAT + 1)
        .unwrap();
    raw.pragma_update(None, "journal_mode", "delete").unwrap();
    drop(raw);
    let before = std::fs::read(place.file()).unwrap();
    let failure = opened(&place.file()).err().unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0801", Remedy::Refused)
    );
    assert!(
        failure.help[0].contains("newer version of Towpath"),
        "{failure:?}"
    );
    assert_eq!(std::fs::read(place.file()).unwrap(), before);
}

#[test]
fn older_formats_are_migrated_in_one_transaction() {
    let place = TestFolder::new();
    let mut connection = rusqlite::Connection::open(place.file()).unwrap();
    schema::migrate(&mut connection, schema::MIGRATIONS).unwrap();
    let with = |more: &'static str| [schema::MIGRATIONS, &[more]].concat();
    let next = with("ALTER TABLE run ADD COLUMN note TEXT; CREATE TABLE extra (a INTEGER);");
    let broken = with("ALTER TABLE run ADD COLUMN note TEXT; CREATE TABLE run (a INTEGER);");
    let format = |connection: &rusqlite::Connection| -> (u32, String) {
        let stored = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        let meta = connection.query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| {
            row.get(0)
        });
        (stored, meta.unwrap())
    };
    assert!(schema::migrate(&mut connection, &broken).is_err());
    let of = |format: u32| (format, format.to_string());
    assert_eq!(format(&connection), of(schema::FORMAT));
    schema::migrate(&mut connection, &next).unwrap();
    assert_eq!(format(&connection), of(schema::FORMAT + 1));
    connection
        .execute("INSERT INTO extra VALUES (1)", [])
        .unwrap();
    schema::migrate(&mut connection, &next).unwrap();
}

#[tokio::test]
async fn a_file_of_format_1_keeps_its_runs_and_learns_which_notes_were_reported() {
    let place = TestFolder::new();
    let mut connection = rusqlite::Connection::open(place.file()).unwrap();
    schema::migrate(&mut connection, &schema::MIGRATIONS[..1]).unwrap();
    connection
        .execute(
            "INSERT INTO run VALUES (1, 'shop', 'dev', 7, 'failed', 'h', 0, 1, 'w', \
             '{\"v\":1,\"d\":null}', 0)",
            [],
        )
        .unwrap();
    drop(connection);
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h")).await.unwrap());
    assert_eq!(run.name.number, 8);
    let digests = |some: &[&str]| some.iter().map(|one| (*one).to_owned()).collect();
    let (dev, prod) = (Environment::new("dev"), Environment::new("prod"));
    store
        .put_reported_notes(&dev, "a", &digests(&["1"]))
        .await
        .unwrap();
    store
        .put_reported_notes(&dev, "a", &digests(&["1", "2"]))
        .await
        .unwrap();
    store
        .put_reported_notes(&dev, "b", &digests(&[]))
        .await
        .unwrap();
    let found = [
        ("a".to_owned(), digests(&["1", "2"])),
        ("b".to_owned(), digests(&[])),
    ];
    assert_eq!(place.open().reported_notes(&dev).await.unwrap(), found);
    assert_eq!(store.reported_notes(&prod).await.unwrap(), []);
}

#[test]
fn files_that_are_not_a_state_store_are_named_and_left_alone() {
    let place = TestFolder::new();
    let code = |path: &std::path::Path| opened(path).err().map(|failure| failure.code);

    std::fs::write(place.file(), vec![b'x'; 8192]).unwrap();
    assert_eq!(code(&place.file()).as_deref(), Some("R0803"));
    assert_eq!(std::fs::read(place.file()).unwrap(), vec![b'x'; 8192]);

    let other = place.folder.path().join("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (a INTEGER)")
        .unwrap();
    let before = std::fs::read(&other).unwrap();
    assert_eq!(code(&other).as_deref(), Some("R0802"));
    assert_eq!(std::fs::read(&other).unwrap(), before);

    assert_eq!(
        code(&place.folder.path().join("no/such/dev.db")).as_deref(),
        Some("R0804")
    );
    assert_eq!(code(place.folder.path()).as_deref(), Some("R0805"));
    // An empty file is a state store that was never written.
    let empty = place.folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    assert_eq!(code(&empty), None);
}

#[tokio::test]
async fn damage_inside_is_reported_with_a_way_out() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h")).await.unwrap());
    for at_us in 0..500 {
        let event = RunEvent {
            seq: 0,
            at_us,
            task: None,
            kind: RunEventKind::Note,
            body: json!("x".repeat(200)),
        };
        store
            .append_event(&run.name, &run.environment, event)
            .await
            .unwrap();
    }
    drop(store);
    let mut bytes = std::fs::read(place.file()).unwrap();
    for page in bytes.chunks_mut(4096).skip(2) {
        page.fill(0xff);
    }
    std::fs::write(place.file(), bytes).unwrap();
    let failure = match opened(&place.file()) {
        Ok(store) => store.runs(RunFilter::default()).await.unwrap_err(),
        Err(failure) => failure,
    };
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0803", Remedy::FixConfig)
    );
    assert!(
        failure
            .help
            .iter()
            .any(|help| help.contains("no row of data is lost")),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_full_disk_fails_the_change_and_keeps_the_rest() {
    let place = TestFolder::new();
    let mut connection = schema::open_writer(&place.file()).unwrap();
    schema::migrate(&mut connection, schema::MIGRATIONS).unwrap();
    // SQLite answers a file at its page limit exactly like a full disk.
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    connection
        .pragma_update(None, "max_page_count", pages + 8)
        .unwrap();
    let writer = place.writer(connection);
    let put = |key: String, size: usize| writer.write(insert(key, "x".repeat(size)));
    put("small".to_owned(), 10).await.unwrap();
    let (big, small) = tokio::join!(
        put("big".to_owned(), 1_000_000),
        put("beside".to_owned(), 10)
    );
    assert_eq!(big.unwrap_err().code, "R0806");
    let after = put("after".to_owned(), 10).await;
    after.unwrap();
    drop(writer);
    let reader = schema::open_reader(&place.file()).unwrap();
    let kept = |key: &str| -> i64 {
        reader
            .query_row("SELECT count(*) FROM meta WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .unwrap()
    };
    assert_eq!((kept("small"), kept("big"), kept("after")), (1, 0, 1));
    assert_eq!(
        kept("beside") == 1,
        small.is_ok(),
        "what was acknowledged is there, what failed is not"
    );
}

#[tokio::test]
async fn a_state_store_that_cannot_be_written_says_so() {
    let place = TestFolder::new();
    drop(place.open());
    let connection = schema::open_writer(&place.file()).unwrap();
    connection.pragma_update(None, "query_only", true).unwrap();
    let writer = place.writer(connection);
    let failure = writer
        .write(insert("a".to_owned(), "b".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0805", Remedy::FixConfig)
    );
}

#[tokio::test]
async fn json_of_a_later_version_is_refused_not_misread() {
    let place = TestFolder::new();
    let store = place.open();
    opened_new(store.open_run(new_run("w1", "h")).await.unwrap());
    let raw = rusqlite::Connection::open(place.file()).unwrap();
    raw.execute("UPDATE run SET request = '{\"v\":2,\"d\":{}}'", [])
        .unwrap();
    let failure = store.runs(RunFilter::default()).await.unwrap_err();
    assert_eq!(failure.code, "R0801");
    assert!(failure.message.contains("`request`"), "{}", failure.message);
}

/// The statements of a file as format 2 wrote it: a run that was interrupted, a lock that was, and runs
/// that ended, with everything that was known.
const OF_FORMAT_2: &str = include_str!("format_2.sql");

#[tokio::test]
async fn a_file_of_format_2_goes_on_where_it_was() {
    let place = TestFolder::new();
    let mut connection = Connection::open(place.file()).unwrap();
    schema::migrate(&mut connection, &schema::MIGRATIONS[..2]).unwrap();
    connection.execute_batch(OF_FORMAT_2).unwrap();
    drop(connection);
    let store = place.open();
    let (dev, shop) = (Environment::new("dev"), "shop#3".parse().unwrap());
    let runs = store.runs(RunFilter::default()).await.unwrap();
    let found: Vec<(String, RunKind, RunState)> = runs
        .iter()
        .map(|run| (run.name.to_string(), run.kind, run.state))
        .collect();
    let line = |name: &str, kind, state| (name.to_owned(), kind, state);
    assert_eq!(
        found,
        [
            line("shop#3", RunKind::Run, RunState::Running),
            line("shop#2", RunKind::Replay, RunState::Failed),
            line("shop#1", RunKind::Run, RunState::Succeeded),
            line("other#1", RunKind::Lock, RunState::Running),
        ]
    );
    assert!(
        runs[1].request.get("what").is_none(),
        "{:?}",
        runs[1].request
    );
    assert_eq!(runs[2].request["target"], "shop.extract");
    assert_eq!(runs[0].tasks[1].worker.as_deref(), Some("old"));
    assert_eq!(runs[2].tasks[1].outcome, TaskOutcome::View { version: 3 });
    assert_eq!(runs[2].tasks[2].outcome, TaskOutcome::Nothing);
    let (name, success) = store
        .last_success(&dev, &"shop".into(), &"extract/orders".into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (name.number, success.fingerprint.as_deref()),
        (3, Some("f2"))
    );
    // The run of the old process goes on in this one; what ran is done again with another fence.
    let resumed = opened_resumed(store.open_run(new_run("new", "h")).await.unwrap());
    assert_eq!(resumed.name, shop);
    assert_eq!(
        (resumed.tasks[1].state, resumed.tasks[1].fence),
        (TaskState::Ready, 2)
    );
    assert_eq!(resumed.tasks[0].state, TaskState::Succeeded);
    assert_eq!(
        store.graph("h").await.unwrap().unwrap()["tasks"][2],
        "score"
    );
    assert_eq!(store.reported_notes(&dev).await.unwrap().len(), 1);
    assert_eq!(store.facts(&dev).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_keeps_no_other_one() {
    let place = TestFolder::new();
    let store = place.open();
    let raw = Connection::open(place.file()).unwrap();
    let plan = r#"{"recurrence":{"every_ms":60000},"timezone":"UTC","catchup":"all","overlap":"queue","dst_gap":"shift","dst_overlap":"first"}"#;
    let plan = &format!(r#"{{"v":1,"d":{plan}}}"#);
    let later = plan.replace("every_ms", "moon");
    for (name, body) in [("a", plan), ("b", &later), ("c", plan), ("d", plan)] {
        let sql = "INSERT INTO schedule (environment, pipeline, body, decided_us, fence)
                   VALUES ('dev', ?1, ?2, 5, 1)";
        raw.execute(sql, (name, body)).unwrap();
        let state = if name == "c" { "running" } else { "waiting" };
        let reason = (name == "c").then_some("new reason");
        let sql = "INSERT INTO scheduled_interval VALUES ('dev', ?1, 1, 5, ?2, ?3, 1, NULL, 5)";
        raw.execute(sql, (name, state, reason)).unwrap();
    }
    let found = store.schedules(&Environment::new("dev")).await.unwrap();
    let names: Vec<_> = found
        .schedules
        .iter()
        .map(|one| one.pipeline.as_str())
        .collect();
    assert_eq!(names, ["a", "d"]);
    let codes = found.unreadable.iter();
    let codes: Vec<_> = codes
        .map(|(name, why)| (name.as_str(), why.code.as_str()))
        .collect();
    assert_eq!(codes, [("b", "R0810"), ("c", "R0810")]);
}

#[tokio::test]
async fn a_file_of_format_6_keeps_its_schedules_and_can_pause_them() {
    let place = TestFolder::new();
    let mut connection = Connection::open(place.file()).unwrap();
    schema::migrate(&mut connection, &schema::MIGRATIONS[..6]).unwrap();
    let plan = r#"{"v":1,"d":{"recurrence":{"every_ms":60000},"timezone":"UTC","catchup":"all","overlap":"queue","dst_gap":"shift","dst_overlap":"first"}}"#;
    let sql = "INSERT INTO schedule VALUES ('dev', 'shop', ?1, 5, 3, 1, 2, NULL)";
    connection.execute(sql, [plan]).unwrap();
    let sql =
        "INSERT INTO scheduled_interval VALUES ('dev', 'shop', 1, 5, 'waiting', NULL, 1, NULL, 5)";
    connection.execute(sql, []).unwrap();
    drop(connection);
    let store = place.open();
    let found = store.schedules(&Environment::new("dev")).await.unwrap();
    let one = &found.schedules[0];
    assert_eq!((one.decided_us, one.fence, one.open.len()), (5, 3, 1));
    assert_eq!((one.since_us, one.queued_us), (Some(1), Some(2)));
    assert_eq!(one.paused, None);
}

#[tokio::test]
async fn a_file_of_format_9_keeps_its_events_and_begins_a_feed() {
    let place = TestFolder::new();
    let mut connection = Connection::open(place.file()).unwrap();
    schema::migrate(&mut connection, &schema::MIGRATIONS[..9]).unwrap();
    let sql = "INSERT INTO run (id, pipeline, environment, number, state, graph_hash, started_us, worker, request, last_seq)
               VALUES (1, 'shop', 'dev', 1, 'running', 'h', 1, 'w', '{\"v\":1,\"d\":null}', 1)";
    connection.execute(sql, []).unwrap();
    let sql = "INSERT INTO event VALUES (1, 1, 1, NULL, 'run_started', '{\"v\":1,\"d\":null}')";
    connection.execute(sql, []).unwrap();
    drop(connection);
    let (store, dev) = (place.open(), Environment::new("dev"));
    let run: RunName = "shop#1".parse().unwrap();
    assert_eq!(store.events(&run, &dev, 0).await.unwrap().len(), 1);
    let begin = FeedPosition::default();
    let feed = store.api().feed(&dev, begin, 9).await.unwrap();
    assert!(feed.events.is_empty());
    let closed = store.close_run(&run, &dev, RunState::Failed, "w", 2);
    closed.await.unwrap();
    let feed = store.api().feed(&dev, begin, 9).await.unwrap().events;
    assert_eq!(feed.len(), 1);
    assert_eq!((&feed[0].run, feed[0].event.seq), (&run, 2));
}

#[test]
fn many_that_open_a_new_file_at_once_all_open_it() {
    for _ in 0..20 {
        let place = TestFolder::new();
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    schema::open_writer(&place.file()).unwrap();
                });
            }
        });
    }
}

/// The steps by which SQLite answers a statement, in an empty file without statistics, as those of users are.
fn steps(connection: &Connection, statement: &str, values: usize) -> Vec<String> {
    let sql = format!("EXPLAIN QUERY PLAN {statement}");
    let mut prepared = connection.prepare(&sql).unwrap();
    let values = rusqlite::params_from_iter((0..values).map(|_| 1));
    let rows = prepared.query_map(values, |row| row.get(3)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn lists_of_the_api_read_no_more_than_they_show() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection, schema::MIGRATIONS).unwrap();
    let mut statements = vec![
        (crate::feed::statement(crate::feed::FROM_FILE), 6),
        (crate::findings::CHECKS_OF_TABLE.to_owned(), 4),
        (crate::findings::CHECKS_IN_FILE.to_owned(), 3),
        (crate::run_history::NEWEST.to_owned(), 4),
    ];
    for pipeline in [false, true] {
        for state in [false, true] {
            for after in [false, true] {
                let asked = (pipeline, state, after);
                let values =
                    2 + usize::from(pipeline) + usize::from(state) + 2 * usize::from(after);
                statements.push((crate::run_history::page_statement(asked, true), values));
            }
        }
    }
    for (statement, values) in statements {
        for step in steps(&connection, &statement, values) {
            let is_bad = step.starts_with("SCAN") || step.contains("TEMP B-TREE");
            assert!(!is_bad, "{step}: {statement}");
        }
    }
    // Only the few runs that go on are looked at.
    let unfinished = crate::submissions::unfinished_statement(crate::submissions::FROM_FILE);
    let first = &steps(&connection, &unfinished, 1)[0];
    assert!(first.contains("USING INDEX run_live"), "{first}");
}
