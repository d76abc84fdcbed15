//! The state store against real files: openings, takeovers, stale reports, damage, and two processes at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use towpath_ports::{
    AttemptEnd, NewRun, Opened, RunEvent, RunFilter, RunRecord, RunState, StateStore, TaskState,
    Transition,
};
use towpath_vocab::{
    CheckResult, Environment, FactSource, Failure, Generation, Outcome, Remedy, RunName, TableFact,
    TableLineage, TableName, TaskId, TaskKey,
};

use crate::{SqliteStateStore, schema};

const LEASE_US: i64 = 15_000_000;

fn new_run(worker: &str, hash: &str, now_us: i64) -> NewRun {
    NewRun {
        pipeline: "shop".into(),
        environment: "dev".into(),
        graph_hash: hash.to_owned(),
        tasks: ["extract/orders", "build/sales", "score"]
            .map(TaskId::from)
            .to_vec(),
        request: json!({ "select": "all", "big": 12_345_678_901_234_567_890_u64 }),
        worker: worker.to_owned(),
        now_us,
        lease_us: LEASE_US,
    }
}

fn move_of(run: &RunRecord, task: usize, from: TaskState, to: TaskState, fence: u64) -> Transition {
    Transition {
        run: run.name.clone(),
        environment: run.environment.clone(),
        task: run.tasks[task].id.clone(),
        from,
        fence,
        to,
        now_us: 77,
        end: None,
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

struct TestFolder {
    folder: tempfile::TempDir,
}

impl TestFolder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("dev.db")
    }

    fn open(&self) -> SqliteStateStore {
        SqliteStateStore::open(self.file()).unwrap()
    }
}

async fn start_and_end(
    store: &SqliteStateStore,
    run: &RunRecord,
    task: usize,
    end: TaskState,
    fence: u64,
) {
    assert!(
        store
            .transition(move_of(
                run,
                task,
                TaskState::Waiting,
                TaskState::Running,
                fence
            ))
            .await
            .unwrap()
    );
    let mut done = move_of(run, task, TaskState::Running, end, fence + 1);
    done.end = Some(AttemptEnd {
        failure: None,
        outcome: json!({ "rows": 7 }),
        fingerprint: Some(format!("print of {}", run.name)),
    });
    assert!(store.transition(done).await.unwrap());
}

async fn assert_gapless(store: &SqliteStateStore, run: &RunRecord) -> Vec<RunEvent> {
    let events = store.events(&run.name, &run.environment, 0).await.unwrap();
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    events
}

#[tokio::test]
async fn a_run_is_written_and_read_back() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h", 10)).await.unwrap());
    assert_eq!(run.name.to_string(), "shop#1");
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;

    let mut failed = move_of(&run, 1, TaskState::Running, TaskState::Failed, 1);
    assert!(
        store
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    let failure = Failure::new("R0299", Remedy::FixData, "`x` is no number").help("fix `x`");
    failed.end = Some(AttemptEnd {
        failure: Some(failure.clone()),
        outcome: Value::Null,
        fingerprint: None,
    });
    assert!(store.transition(failed).await.unwrap());
    store
        .close_run(&run.name, &run.environment, RunState::Failed, 99)
        .await
        .unwrap();
    drop(store);

    let store = place.open();
    let runs = store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    let found = &runs[0];
    assert_eq!(
        (found.state, found.started_us, found.ended_us),
        (RunState::Failed, 10, Some(99))
    );
    assert_eq!(found.request, new_run("w1", "h", 10).request);
    assert_eq!(found.tasks[0].outcome, json!({ "rows": 7 }));
    assert_eq!((found.tasks[0].attempt, found.tasks[0].fence), (1, 1));
    assert_eq!(found.tasks[1].failure, Some(failure));
    assert_eq!(found.tasks[2].state, TaskState::Waiting);
    let kinds: Vec<String> = assert_gapless(&store, &run)
        .await
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "run_started",
            "task_running",
            "task_succeeded",
            "task_running",
            "task_failed",
            "run_failed"
        ]
    );
    assert_eq!(
        store
            .events(&run.name, &run.environment, 4)
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_stale_report_changes_nothing() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h", 10)).await.unwrap());
    let before = assert_gapless(&store, &run).await.len();
    assert!(
        !store
            .transition(move_of(&run, 0, TaskState::Ready, TaskState::Running, 0))
            .await
            .unwrap()
    );
    assert!(
        !store
            .transition(move_of(&run, 0, TaskState::Waiting, TaskState::Running, 1))
            .await
            .unwrap()
    );
    // All or nothing: the first of these two alone would have been fine.
    let pair = vec![
        move_of(&run, 0, TaskState::Waiting, TaskState::Ready, 0),
        move_of(&run, 1, TaskState::Ready, TaskState::Running, 0),
    ];
    assert!(!store.transition_all(pair).await.unwrap());
    assert_eq!(assert_gapless(&store, &run).await.len(), before);
    // One task may take two steps in one go.
    let steps = vec![
        move_of(&run, 0, TaskState::Waiting, TaskState::Ready, 0),
        move_of(&run, 0, TaskState::Ready, TaskState::Running, 0),
    ];
    assert!(store.transition_all(steps).await.unwrap());
    assert_eq!(assert_gapless(&store, &run).await.len(), before + 2);
}

#[tokio::test]
async fn a_live_run_is_busy_and_a_dead_one_is_resumed() {
    let place = TestFolder::new();
    let (first, second) = (place.open(), place.open());
    let run = opened_new(first.open_run(new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&first, &run, 0, TaskState::Succeeded, 0).await;
    assert!(
        first
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );

    let busy = second
        .open_run(new_run("w2", "h", LEASE_US - 1))
        .await
        .unwrap();
    assert!(
        matches!(busy, Opened::Busy(ref found) if found.name == run.name && found.worker == "w1")
    );

    assert!(first.renew("w1", 5_000_000).await.unwrap());
    assert!(matches!(
        second
            .open_run(new_run("w2", "h", LEASE_US + 1))
            .await
            .unwrap(),
        Opened::Busy(_)
    ));

    let resumed = opened_resumed(
        second
            .open_run(new_run("w2", "h", LEASE_US + 5_000_000))
            .await
            .unwrap(),
    );
    assert_eq!(
        (resumed.name.clone(), resumed.worker.as_str()),
        (run.name.clone(), "w2")
    );
    let states: Vec<TaskState> = resumed.tasks.iter().map(|task| task.state).collect();
    assert_eq!(
        states,
        [TaskState::Succeeded, TaskState::Ready, TaskState::Waiting]
    );
    let fences: Vec<u64> = resumed.tasks.iter().map(|task| task.fence).collect();
    assert_eq!(fences, [1, 2, 1], "every unfinished task's fence rose");

    // The old process can do nothing any more.
    assert!(!first.renew("w1", LEASE_US + 5_000_001).await.unwrap());
    assert!(
        !first
            .transition(move_of(
                &run,
                1,
                TaskState::Running,
                TaskState::Succeeded,
                1
            ))
            .await
            .unwrap()
    );
    assert!(
        !first
            .transition(move_of(&run, 2, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    let refused = first
        .close_run(
            &run.name,
            &run.environment,
            RunState::Failed,
            LEASE_US + 6_000_000,
        )
        .await;
    assert_eq!(refused.unwrap_err().code, "R0809");

    start_and_end(&second, &resumed, 2, TaskState::Unchanged, 1).await;
    assert_gapless(&second, &run).await;
}

#[tokio::test]
async fn a_process_that_ended_is_known_to_be_dead_before_its_lease_runs_out() {
    let place = TestFolder::new();
    let first = place.open();
    let run = opened_new(first.open_run(new_run("w 1/ä", "h", 0)).await.unwrap());
    drop(first);
    let second = place.open();
    let resumed = opened_resumed(second.open_run(new_run("w2", "h", 1)).await.unwrap());
    assert_eq!(resumed.name, run.name);
    second
        .close_run(&run.name, &run.environment, RunState::Succeeded, 2)
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
        let store = SqliteStateStore::open(folder.join("dev.db")).unwrap();
        let run = opened_new(store.open_run(new_run("victim", "h", 0)).await.unwrap());
        start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;
        std::fs::write(folder.join("ready"), "").unwrap();
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_killed_process_is_succeeded_at_once_and_a_living_one_never() {
    let place = TestFolder::new();
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::victim"])
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
    let living = store.open_run(new_run("next", "h", 1)).await.unwrap();
    assert!(matches!(living, Opened::Busy(ref run) if run.worker == "victim"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    let resumed = opened_resumed(store.open_run(new_run("next", "h", 2)).await.unwrap());
    assert_eq!(resumed.tasks[0].state, TaskState::Succeeded);
}

#[tokio::test]
async fn another_graph_supersedes_the_dead_run() {
    let place = TestFolder::new();
    let store = place.open();
    let old = opened_new(store.open_run(new_run("w1", "h1", 0)).await.unwrap());
    start_and_end(&store, &old, 0, TaskState::Succeeded, 0).await;
    assert!(
        store
            .transition(move_of(&old, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    let run = opened_new(store.open_run(new_run("w2", "h2", LEASE_US)).await.unwrap());
    assert_eq!(run.name.number, 2);
    let runs = store
        .runs(RunFilter {
            limit: Some(5),
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(
        runs.iter().map(|run| run.state).collect::<Vec<_>>(),
        [RunState::Running, RunState::Superseded]
    );
    assert!(runs[1].tasks.iter().all(|task| task.state.is_final()));
    assert!(
        !store
            .transition(move_of(
                &old,
                1,
                TaskState::Running,
                TaskState::Succeeded,
                1
            ))
            .await
            .unwrap()
    );
    // What the superseded run finished is still known.
    let (name, task) = store
        .last_success(&old.environment, &old.name.pipeline, &old.tasks[0].id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (name, task.fingerprint.as_deref()),
        (old.name.clone(), Some("print of shop#1"))
    );
}

#[tokio::test]
async fn a_cancelled_run_goes_on_unless_a_newer_one_ended() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;
    for task in [1, 2] {
        assert!(
            store
                .transition(move_of(
                    &run,
                    task,
                    TaskState::Waiting,
                    TaskState::Cancelled,
                    0
                ))
                .await
                .unwrap()
        );
    }
    store
        .close_run(&run.name, &run.environment, RunState::Cancelled, 3)
        .await
        .unwrap();
    store
        .close_run(&run.name, &run.environment, RunState::Cancelled, 3)
        .await
        .unwrap();

    let resumed = opened_resumed(store.open_run(new_run("w2", "h", 4)).await.unwrap());
    assert_eq!(resumed.name, run.name);
    let states: Vec<TaskState> = resumed.tasks.iter().map(|task| task.state).collect();
    assert_eq!(
        states,
        [TaskState::Succeeded, TaskState::Waiting, TaskState::Waiting]
    );
    store
        .close_run(&run.name, &run.environment, RunState::Cancelled, 5)
        .await
        .unwrap();

    let other = opened_new(store.open_run(new_run("w3", "h2", 6)).await.unwrap());
    store
        .close_run(&other.name, &other.environment, RunState::Succeeded, 7)
        .await
        .unwrap();
    assert_eq!(
        opened_new(store.open_run(new_run("w4", "h", 8)).await.unwrap())
            .name
            .number,
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_open_at_once_make_one_run() {
    for _ in 0..20 {
        let place = TestFolder::new();
        let stores = [Arc::new(place.open()), Arc::new(place.open())];
        let opening = ["a", "b"].map(|worker| {
            let store = Arc::clone(&stores[usize::from(worker == "b")]);
            tokio::spawn(async move { store.open_run(new_run(worker, "h", 0)).await.unwrap() })
        });
        let [a, b] = opening;
        let found = [a.await.unwrap(), b.await.unwrap()];
        assert_eq!(
            found
                .iter()
                .filter(|opened| matches!(opened, Opened::New(_)))
                .count(),
            1
        );
        assert_eq!(
            found
                .iter()
                .filter(|opened| matches!(opened, Opened::Busy(_)))
                .count(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_handed_in_together_are_all_kept_in_order() {
    let place = TestFolder::new();
    let store = Arc::new(place.open());
    let run = opened_new(store.open_run(new_run("w", "h", 0)).await.unwrap());
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let (store, run) = (Arc::clone(&store), run.clone());
            tokio::spawn(async move {
                let event = RunEvent {
                    seq: 0,
                    at_us: n,
                    task: None,
                    kind: "note".to_owned(),
                    body: json!({ "n": n }),
                };
                store
                    .append_event(&run.name, &run.environment, event)
                    .await
                    .unwrap();
                // A failing change beside them disturbs nobody.
                let nobody = RunName {
                    pipeline: "nobody".into(),
                    number: 1,
                };
                let event = RunEvent {
                    seq: 0,
                    at_us: n,
                    task: None,
                    kind: "note".to_owned(),
                    body: Value::Null,
                };
                assert_eq!(
                    store
                        .append_event(&nobody, &run.environment, event)
                        .await
                        .unwrap_err()
                        .code,
                    "R0808"
                );
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(assert_gapless(&store, &run).await.len(), 301);
}

#[tokio::test]
async fn generations_and_facts_read_back() {
    let place = TestFolder::new();
    let store = place.open();
    let environment = Environment::from("dev");
    let run = RunName {
        pipeline: "shop".into(),
        number: 4,
    };
    let key = TaskKey {
        project: "p".into(),
        environment: environment.clone(),
        pipeline: "shop".into(),
        step: "extract".into(),
        table: TableName::new("raw", "orders"),
    };
    assert_eq!(store.generation(&key).await.unwrap(), None);
    store
        .reserve_generation(&key, &run, Generation(3))
        .await
        .unwrap();
    let older = RunName {
        pipeline: "shop".into(),
        number: 1,
    };
    store
        .reserve_generation(&key, &older, Generation(2))
        .await
        .unwrap();
    assert_eq!(
        store.generation(&key).await.unwrap(),
        Some((run.clone(), Generation(3)))
    );

    let fact = TableFact {
        schema: Arc::new(Schema::new(vec![Field::new(
            "id",
            DataType::Decimal128(20, 2),
            false,
        )])),
        key: vec!["id".to_owned()],
        source: FactSource::Observed,
        seen_at: "2026-11-20T00:00:00Z".to_owned(),
    };
    store
        .put_fact(&environment, "shop_db:orders", &fact)
        .await
        .unwrap();
    store
        .put_fact(&environment, "shop_db:orders", &fact)
        .await
        .unwrap();
    assert_eq!(
        store.facts(&environment).await.unwrap(),
        [("shop_db:orders".to_owned(), fact)]
    );
    assert!(
        store
            .facts(&Environment::from("prod"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn check_results_and_lineage_read_back() {
    let place = TestFolder::new();
    let store = place.open();
    let environment = Environment::from("dev");
    let run = RunName {
        pipeline: "shop".into(),
        number: 4,
    };
    let table = TableName::new("raw", "orders");
    let result = |name: &str, value: f64| CheckResult {
        table: table.clone(),
        name: name.to_owned(),
        kind: "range".to_owned(),
        outcome: Outcome::Warn,
        value,
        threshold: "at most 0 rows".to_owned(),
        message: String::new(),
        samples: vec!["ü".to_owned()],
        elapsed_ms: 3,
    };
    let results = [
        result("a", 0.1),
        result("b", f64::INFINITY),
        result("c", f64::NAN),
    ];
    store
        .put_checks(&run, &environment, 9, &results)
        .await
        .unwrap();
    let found = store.checks(&environment, Some(&table), 10).await.unwrap();
    assert_eq!(
        found
            .iter()
            .map(|(_, _, check)| check.name.as_str())
            .collect::<Vec<_>>(),
        ["c", "b", "a"]
    );
    assert!(found[0].2.value.is_nan());
    assert_eq!(found[1].2.value, f64::INFINITY);
    assert_eq!(found[2], (run, 9, results[0].clone()));
    assert!(
        store
            .checks(&environment, Some(&TableName::new("raw", "x")), 10)
            .await
            .unwrap()
            .is_empty()
    );

    let lineage = TableLineage {
        inputs: vec!["shop_db:orders".to_owned()],
        edges: Vec::new(),
        partial: true,
    };
    store
        .put_lineage(&environment, &table, &lineage)
        .await
        .unwrap();
    assert_eq!(
        store.lineage(&environment).await.unwrap(),
        [(table, lineage)]
    );
}

#[tokio::test]
async fn deleting_the_file_costs_history_only() {
    let place = TestFolder::new();
    let store = place.open();
    opened_new(store.open_run(new_run("w1", "h", 0)).await.unwrap());
    drop(store);
    for entry in std::fs::read_dir(place.folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let run = opened_new(place.open().open_run(new_run("w2", "h", 1)).await.unwrap());
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
    let failure = SqliteStateStore::open(place.file()).err().unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0801", Remedy::Refused)
    );
    assert!(failure.help[0].contains("newer Towpath"), "{failure:?}");
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
async fn a_book_of_format_1_keeps_its_runs_and_learns_what_was_told() {
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
    let run = opened_new(store.open_run(new_run("w1", "h", 2)).await.unwrap());
    assert_eq!(run.name.number, 8);
    let digests = |some: &[&str]| some.iter().map(|one| (*one).to_owned()).collect();
    let (dev, prod) = (Environment::new("dev"), Environment::new("prod"));
    store.put_told(&dev, "a", &digests(&["1"])).await.unwrap();
    store
        .put_told(&dev, "a", &digests(&["1", "2"]))
        .await
        .unwrap();
    store.put_told(&dev, "b", &digests(&[])).await.unwrap();
    let told = [
        ("a".to_owned(), digests(&["1", "2"])),
        ("b".to_owned(), digests(&[])),
    ];
    assert_eq!(place.open().told(&dev).await.unwrap(), told);
    assert_eq!(store.told(&prod).await.unwrap(), []);
}

#[test]
fn files_that_are_not_a_state_store_are_named_and_left_alone() {
    let place = TestFolder::new();
    let code = |path: &std::path::Path| {
        SqliteStateStore::open(path)
            .err()
            .map(|failure| failure.code)
    };

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
    let run = opened_new(store.open_run(new_run("w1", "h", 0)).await.unwrap());
    for at_us in 0..500 {
        let event = RunEvent {
            seq: 0,
            at_us,
            task: None,
            kind: "note".to_owned(),
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
    let failure = match SqliteStateStore::open(place.file()) {
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
    let writer = crate::writer::Writer::start(connection, &place.file()).unwrap();
    let put = |key: String, size: usize| {
        writer.write(move |c| {
            Ok(c.execute("INSERT INTO meta VALUES (?1, ?2)", (key, "x".repeat(size)))?)
        })
    };
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
    let writer = crate::writer::Writer::start(connection, &place.file()).unwrap();
    let failure = writer
        .write(|c| Ok(c.execute("INSERT INTO meta VALUES ('a', 'b')", [])?))
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
    opened_new(store.open_run(new_run("w1", "h", 0)).await.unwrap());
    let raw = rusqlite::Connection::open(place.file()).unwrap();
    raw.execute("UPDATE run SET request = '{\"v\":2,\"d\":{}}'", [])
        .unwrap();
    let failure = store.runs(RunFilter::default()).await.unwrap_err();
    assert_eq!(failure.code, "R0801");
    assert!(failure.message.contains("`request`"), "{}", failure.message);
}

#[tokio::test]
async fn tasks_of_a_resumed_run_are_opened_again() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "hash", 1)).await.unwrap());
    let (name, dev) = (&run.name, &run.environment);
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;
    let found = store.run(name, dev).await.unwrap().unwrap();
    assert_eq!(found.tasks[0].state, TaskState::Succeeded);
    let strange: RunName = "shop#9".parse().unwrap();
    assert!(store.run(&strange, dev).await.unwrap().is_none());
    assert!(store.run(name, &"prod".into()).await.unwrap().is_none());
    assert!(store.is_live(&found, 2).await.unwrap());
    assert!(!store.is_live(&found, 1 + LEASE_US).await.unwrap());

    let tasks = [run.tasks[0].id.clone()];
    let again = store.reopen(name, dev, &tasks, 9).await.unwrap();
    let task = &again.tasks[0];
    assert_eq!((task.state, &task.fingerprint), (TaskState::Waiting, &None));
    let success = store.last_success(dev, &name.pipeline, &tasks[0]).await;
    assert!(success.unwrap().is_none());
    // A report from before it was opened again changes nothing.
    let move_with = |fence| move_of(&run, 0, TaskState::Waiting, TaskState::Running, fence);
    assert!(!store.transition(move_with(1)).await.unwrap());
    assert!(store.transition(move_with(task.fence)).await.unwrap());
    let events = assert_gapless(&store, &run).await;
    assert!(events.iter().any(|event| event.kind == "task_waiting"));

    store
        .close_run(name, dev, RunState::Cancelled, 10)
        .await
        .unwrap();
    let closed = store.run(name, dev).await.unwrap().unwrap();
    assert!(!store.is_live(&closed, 11).await.unwrap());
    let refused = store.reopen(name, dev, &tasks, 12).await.unwrap_err();
    assert_eq!(refused.code, "R0809");
}

fn new_hold(worker: &str, what: &str, now_us: i64) -> NewRun {
    NewRun {
        graph_hash: what.to_owned(),
        tasks: vec![TaskId::new(what)],
        request: json!({ "what": what }),
        ..new_run(worker, "", now_us)
    }
}

#[tokio::test]
async fn a_hold_never_takes_the_place_of_an_interrupted_run() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;
    assert!(
        store
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    assert!(matches!(
        store.open_run(new_hold("w2", "replay", 1)).await.unwrap(),
        Opened::Busy(_)
    ));

    // The run's process is dead. The hold dies too, and is taken up by the same one only.
    let hold = opened_new(
        store
            .open_run(new_hold("w2", "replay", LEASE_US))
            .await
            .unwrap(),
    );
    assert_eq!(hold.name.number, 2);
    let later = 2 * LEASE_US;
    let again = opened_resumed(
        store
            .open_run(new_hold("w3", "replay", later))
            .await
            .unwrap(),
    );
    assert_eq!(again.name, hold.name);
    let end = |now_us| store.close_run(&hold.name, &hold.environment, RunState::Succeeded, now_us);
    end(later + 1).await.unwrap();

    let resumed = opened_resumed(store.open_run(new_run("w4", "h", later + 2)).await.unwrap());
    assert_eq!(resumed.name, run.name);
    assert_eq!(
        resumed
            .tasks
            .iter()
            .map(|task| task.state)
            .collect::<Vec<_>>(),
        [TaskState::Succeeded, TaskState::Waiting, TaskState::Waiting]
    );
    assert!(
        !store
            .transition(move_of(
                &run,
                1,
                TaskState::Running,
                TaskState::Succeeded,
                1
            ))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_run_goes_on_past_a_hold_that_died() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h", 0)).await.unwrap());
    opened_new(
        store
            .open_run(new_hold("w2", "replay", LEASE_US))
            .await
            .unwrap(),
    );
    let resumed = opened_resumed(
        store
            .open_run(new_run("w3", "h", 2 * LEASE_US))
            .await
            .unwrap(),
    );
    assert_eq!(resumed.name, run.name);
    let runs = store.runs(RunFilter::default()).await.unwrap();
    let states: Vec<_> = runs.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Superseded, RunState::Running]);
}

#[tokio::test]
async fn a_resumed_run_tries_again_what_had_failed() {
    let place = TestFolder::new();
    let store = place.open();
    let run = opened_new(store.open_run(new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&store, &run, 0, TaskState::Failed, 0).await;
    assert!(
        store
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Skipped, 0))
            .await
            .unwrap()
    );
    let resumed = opened_resumed(store.open_run(new_run("w2", "h", LEASE_US)).await.unwrap());
    assert!(
        resumed
            .tasks
            .iter()
            .all(|task| task.state == TaskState::Waiting && task.failure.is_none())
    );
    assert_gapless(&store, &run).await;
}
