//! The stores under test: a SQLite file and a schema of a real PostgreSQL, both with a clock of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use towpath_ports::{
    AttemptEnd, Clock, CompiledGraph, GraphTask, NewRun, Opened, Result, RunEvent, RunKind,
    RunRecord, Secrets, StateStore, TaskOutcome, TaskState, Transition,
};
use towpath_state::{Location, open};
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::SecretTemplate;

pub(crate) const LEASE_US: i64 = 15_000_000;

static SCHEMAS: AtomicU64 = AtomicU64::new(0);

/// A clock that stands where a test sets it.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

#[async_trait]
impl Clock for TestClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.now_us().unsigned_abs()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Templates of tests are plain text.
struct PlainText;

#[async_trait]
impl Secrets for PlainText {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        Ok(template.template().to_owned())
    }
}

enum Where {
    File,
    Schema(Arc<PostgresServer>, String),
}

/// An empty store.
pub(crate) struct TestPlace {
    pub(crate) folder: tempfile::TempDir,
    place: Where,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) has_clock: bool,
}

impl TestPlace {
    pub(crate) fn sqlite() -> Self {
        Self::of(Where::File)
    }

    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::shared().unwrap();
        Self::of(Where::Schema(server, schema()))
    }

    fn of(place: Where) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            place,
            clock: Arc::default(),
            has_clock: true,
        }
    }

    /// Another empty store of this kind.
    pub(crate) fn another(&self) -> Self {
        Self::of(match &self.place {
            Where::File => Where::File,
            Where::Schema(server, _) => Where::Schema(Arc::clone(server), schema()),
        })
    }

    pub(crate) fn location(&self) -> Location {
        let url = match &self.place {
            Where::File => None,
            Where::Schema(server, schema) => {
                let url = server.url("postgres");
                Some(SecretTemplate::new(format!("{url}?schema={schema}")))
            }
        };
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        Location {
            project_dir: self.folder.path().to_owned(),
            environment: "dev".into(),
            project: Some("shop".to_owned()),
            url,
            secrets: Arc::new(PlainText),
            clock: self.has_clock.then_some(clock),
        }
    }

    pub(crate) fn open(&self) -> Arc<dyn StateStore> {
        open(self.location()).unwrap()
    }

    /// Sets the clock.
    pub(crate) fn at(&self, now_us: i64) -> &Self {
        self.clock.0.store(now_us, Ordering::SeqCst);
        self
    }

    /// What the clock says.
    pub(crate) fn at_us(&self) -> i64 {
        self.clock.now_us()
    }

    pub(crate) async fn renew(&self, store: &Arc<dyn StateStore>, worker: &str) -> Result<bool> {
        store.renew(worker).await
    }

    pub(crate) async fn is_live(
        &self,
        store: &Arc<dyn StateStore>,
        run: &RunRecord,
    ) -> Result<bool> {
        store.is_live(run).await
    }

    /// A run to begin at a time.
    pub(crate) fn new_run(&self, worker: &str, hash: &str, now_us: i64) -> NewRun {
        self.at(now_us);
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
            graph: graph(hash, &tasks),
            request: json!({ "select": "all", "big": 12_345_678_901_234_567_890_u64 }),
            worker: worker.to_owned(),
            lease_us: LEASE_US,
        }
    }

    /// A lock of the same pipeline.
    pub(crate) fn new_lock(&self, worker: &str, what: &str, now_us: i64) -> NewRun {
        NewRun {
            kind: RunKind::Replay,
            graph: graph(what, &[what]),
            request: json!(null),
            ..self.new_run(worker, "", now_us)
        }
    }
}

fn schema() -> String {
    format!("state_{}", SCHEMAS.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn graph(hash: &str, tasks: &[&str]) -> CompiledGraph {
    CompiledGraph {
        hash: hash.to_owned(),
        body: json!({ "tasks": tasks }),
        tasks: tasks
            .iter()
            .map(|id| GraphTask {
                id: (*id).into(),
                pool: None,
            })
            .collect(),
        parallel: 4,
    }
}

pub(crate) fn move_of(
    run: &RunRecord,
    task: usize,
    from: TaskState,
    to: TaskState,
    fence: u64,
) -> Transition {
    Transition {
        run: run.name.clone(),
        environment: run.environment.clone(),
        task: run.tasks[task].id.clone(),
        from,
        fence,
        to,
        now_us: 77,
        due_us: None,
        end: None,
    }
}

/// What a task that wrote seven rows did.
pub(crate) fn seven_rows() -> TaskOutcome {
    TaskOutcome::Table {
        summary: json!({ "rows": 7, "notes": ["one was late"] }),
        recovered: false,
    }
}

pub(crate) fn opened_new(opened: Opened) -> RunRecord {
    match opened {
        Opened::New(run) => run,
        other => panic!("expected a new run, found {other:?}"),
    }
}

pub(crate) fn opened_resumed(opened: Opened) -> RunRecord {
    match opened {
        Opened::Resumed(run) => run,
        other => panic!("expected a resumed run, found {other:?}"),
    }
}

pub(crate) async fn start_and_end(
    store: &Arc<dyn StateStore>,
    run: &RunRecord,
    task: usize,
    end: TaskState,
    fence: u64,
) {
    let start = move_of(run, task, TaskState::Waiting, TaskState::Running, fence);
    assert!(store.transition(start).await.unwrap());
    let mut done = move_of(run, task, TaskState::Running, end, fence + 1);
    done.end = Some(AttemptEnd {
        failure: None,
        outcome: seven_rows(),
        fingerprint: Some(format!("print of {}", run.name)),
    });
    assert!(store.transition(done).await.unwrap());
}

pub(crate) async fn assert_gapless(store: &Arc<dyn StateStore>, run: &RunRecord) -> Vec<RunEvent> {
    let events = store.events(&run.name, &run.environment, 0).await.unwrap();
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    events
}
