//! Seeded runs that two workers drive at once, on both databases: workers die, lose their lease while a
//! report is on its way, and come back under another name. Whatever happens, the run ends well, the end of
//! each task is accepted once, no worker starts what another has, and the history has no gap.
//! `TOWPATH_SEEDS` asks for more than 200 seeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    Clock, Opened, Result, RunEventKind, RunFilter, RunRecord, RunState, StateStore, System,
    TaskState,
};
use towpath_testkit::SimulatedSystem;
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{Failure, PlannedPipeline, PlannedTask, Remedy, TaskId, TriggerRule};

use crate::fixture::{LEASE_US, SimulatedStateStore, open_run, pipeline, retry, task};
use crate::{AttemptSuccess, RunSetup, TaskExecutor, drive};

fn seeds() -> u64 {
    let asked = std::env::var("TOWPATH_SEEDS").ok();
    asked.map_or(200, |text| text.parse().unwrap())
}

/// Every task fails as often as `flaky` says before it ends well.
struct TestExecutor {
    system: SimulatedSystem,
    failed: Mutex<HashMap<TaskId, u64>>,
    flaky: u64,
}

#[async_trait]
impl TaskExecutor for TestExecutor {
    async fn execute(
        &self,
        task: &PlannedTask,
        _attempt: u32,
        _cancel: CancellationToken,
    ) -> Result<AttemptSuccess> {
        let takes = Duration::from_millis(self.system.random() % 9_000);
        self.system.sleep(takes).await;
        let mut failed = self.failed.lock().unwrap();
        let failed = failed.entry(task.id.clone()).or_insert(0);
        if *failed < self.flaky {
            *failed += 1;
            return Err(Failure::new("X", Remedy::Retry, "try again"));
        }
        Ok(AttemptSuccess::default())
    }
}

/// How often something happened, so that the simulation itself does not go soft.
#[derive(Debug, Default)]
struct Tally {
    deaths: u64,
    lost: u64,
    helped: u64,
    given_back: u64,
}

struct Simulation {
    seed: u64,
    at: PathBuf,
    system: SimulatedSystem,
    graph: PlannedPipeline,
    executor: Arc<TestExecutor>,
    tally: Mutex<Tally>,
}

impl Simulation {
    fn new(seed: u64, at: &Path) -> Self {
        let system = SimulatedSystem::new(seed);
        let count = 2 + (system.random() % 6) as usize;
        let tasks = (0..count).map(|n| {
            let parents: Vec<usize> = (0..n)
                .filter(|_| system.random().is_multiple_of(3))
                .collect();
            task(n, &parents, TriggerRule::AllSuccess, retry(9))
        });
        let mut graph = pipeline(tasks.collect(), 1 + (system.random() % 4) as usize);
        graph.name = format!("p{seed}").as_str().into();
        let executor = TestExecutor {
            system: system.clone(),
            failed: Mutex::default(),
            flaky: system.random() % 2,
        };
        Self {
            seed,
            at: at.to_owned(),
            system,
            graph,
            executor: Arc::new(executor),
            tally: Mutex::default(),
        }
    }

    fn chance(&self, of: u64) -> bool {
        self.system.random().is_multiple_of(of)
    }

    /// One worker after another, until the run has ended.
    async fn workers(&self, slot: u32) {
        for process in 0.. {
            assert!(process < 200, "seed {}: no end in sight", self.seed);
            let name = format!("s{}.w{slot}.{process}", self.seed);
            let store = SimulatedStateStore::open(&self.at, &self.system);
            let Some(record) = self.joined(&store, &name).await else {
                return;
            };
            if process < 6 && self.chance(2) {
                let from = Duration::from_millis(self.system.random() % 15_000);
                let length = Duration::from_millis(self.system.random() % 40_000);
                store.stall(from, length);
            }
            let dies = process < 6 && self.chance(3);
            let life = Duration::from_millis(self.system.random() % 20_000);
            let driven = self.drive(&store, record, &name);
            let ended = tokio::select! {
                ended = driven => Some(ended),
                () = self.system.sleep(life), if dies => None,
            };
            match ended {
                Some(Ok(())) => return,
                Some(Err(failure)) => {
                    assert_eq!(failure.code, "R0706", "seed {}: {failure:?}", self.seed);
                    self.tally.lock().unwrap().lost += 1;
                }
                None => self.tally.lock().unwrap().deaths += 1,
            }
        }
    }

    /// The run, opened by this worker or by another one that it helps; nothing when it has ended.
    async fn joined(&self, store: &Arc<SimulatedStateStore>, name: &str) -> Option<RunRecord> {
        let filter = RunFilter {
            pipeline: Some(self.graph.name.clone()),
            ..RunFilter::default()
        };
        let newest = store.runs(filter).await.unwrap().into_iter().next();
        if newest.is_some_and(|run| run.state != RunState::Running) {
            return None;
        }
        let record = match open_run(&**store, &self.graph, name).await {
            Opened::New(record) | Opened::Resumed(record) => record,
            Opened::Decided | Opened::GivenUp(_) => return None,
            Opened::Busy(busy) => {
                assert!(store.register(name, LEASE_US).await.unwrap());
                self.tally.lock().unwrap().helped += 1;
                store
                    .run(&busy.name, &busy.environment)
                    .await
                    .unwrap()
                    .unwrap()
            }
        };
        (record.name.number == 1 && record.state == RunState::Running).then_some(record)
    }

    async fn drive(
        &self,
        store: &Arc<SimulatedStateStore>,
        record: RunRecord,
        worker: &str,
    ) -> Result<()> {
        let (observer, _notifications) = unbounded_channel();
        let setup = RunSetup {
            pipeline: &self.graph,
            record,
            store: Arc::clone(store) as _,
            system: Arc::new(self.system.clone()),
            executor: Arc::clone(&self.executor) as _,
            cancel: CancellationToken::new(),
            worker: worker.to_owned(),
            lease_us: LEASE_US,
            grace: Duration::from_secs(5),
            observer: Arc::new(observer),
        };
        drive(setup).await.map(|_| ())
    }

    async fn check(&self) {
        let store = SimulatedStateStore::open(&self.at, &self.system);
        let filter = RunFilter {
            pipeline: Some(self.graph.name.clone()),
            ..RunFilter::default()
        };
        let run = store.runs(filter).await.unwrap().pop().unwrap();
        assert_eq!(run.state, RunState::Succeeded, "seed {}", self.seed);
        let events = store.events(&run.name, &run.environment, 0).await.unwrap();
        let mut held: HashMap<TaskId, bool> = HashMap::new();
        let mut ends: HashMap<TaskId, u64> = HashMap::new();
        let mut claims: HashMap<TaskId, u64> = HashMap::new();
        for (event, seq) in events.iter().zip(1_u64..) {
            assert_eq!(event.seq, seq, "seed {}: a gap", self.seed);
            let Some(id) = &event.task else { continue };
            let is_held = held.entry(id.clone()).or_insert(false);
            if event.kind == RunEventKind::Task(TaskState::Running) {
                assert!(!*is_held, "seed {}: {id} was claimed twice", self.seed);
                *claims.entry(id.clone()).or_insert(0) += 1;
                let planned = self.graph.tasks.iter().find(|task| task.id == *id).unwrap();
                for parent in &planned.after {
                    assert_eq!(ends.get(parent), Some(&1), "seed {}: {id}", self.seed);
                }
            }
            *is_held = event.kind == RunEventKind::Task(TaskState::Running);
            if event.kind == RunEventKind::Task(TaskState::Succeeded) {
                *ends.entry(id.clone()).or_insert(0) += 1;
            }
            if event.body["because"] == "lost" {
                self.tally.lock().unwrap().given_back += 1;
            }
        }
        for task in &run.tasks {
            assert_eq!(
                task.state,
                TaskState::Succeeded,
                "seed {}: {}",
                self.seed,
                task.id
            );
            assert_eq!(
                ends[&task.id], 1,
                "seed {}: {} ended twice",
                self.seed, task.id
            );
            assert_eq!(
                u64::from(task.attempt),
                claims[&task.id],
                "seed {}",
                self.seed
            );
            assert!(task.fence >= claims[&task.id], "seed {}", self.seed);
        }
    }
}

async fn play(at: impl Fn(u64) -> PathBuf) {
    let mut all = Tally::default();
    for seed in 0..seeds() {
        let simulation = Simulation::new(seed, &at(seed));
        let both = async { tokio::join!(simulation.workers(0), simulation.workers(1)) };
        simulation.system.run(both).await;
        simulation.check().await;
        let tally = simulation.tally.into_inner().unwrap();
        all.deaths += tally.deaths;
        all.lost += tally.lost;
        all.helped += tally.helped;
        all.given_back += tally.given_back;
    }
    let often = seeds() / 10;
    let soft =
        all.deaths < often || all.lost < often || all.helped < often || all.given_back < often;
    assert!(!soft, "the simulation has gone soft: {all:?}");
}

#[tokio::test]
async fn two_workers_accept_no_task_twice_on_sqlite() {
    // Nothing here is to outlive a power cut: memory answers faster than a disk.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    Box::pin(play(|seed| folder.path().join(format!("{seed}.db")))).await;
}

#[tokio::test]
async fn two_workers_accept_no_task_twice_on_postgres() {
    let quick = [("fsync", "off"), ("synchronous_commit", "off")];
    let server = PostgresServer::start_with(&quick).unwrap();
    let url = PathBuf::from(server.url("postgres"));
    Box::pin(play(|_| url.clone())).await;
}
