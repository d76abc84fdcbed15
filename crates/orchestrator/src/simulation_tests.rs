//! Seeded runs on a real state store whose process dies again and again: the driver is dropped at a random
//! moment, or the state store breaks before or after a change. Whatever happens, the run ends where the graph
//! says, finished work is not redone, fences rise, the history has no gap.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{HashMap, HashSet};
use std::path::Path;
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
use towpath_vocab::{Failure, PlannedPipeline, PlannedTask, Remedy, TaskId, TriggerRule};

use crate::fixture::{LEASE_US, SimulatedStateStore, open_run, pipeline, retry, task};
use crate::{AttemptSuccess, RunSetup, TaskExecutor, drive};

const SEEDS: u64 = 60;

/// What the tasks of one simulation did.
#[derive(Default)]
struct Ledger {
    alive: HashSet<TaskId>,
    most_alive: usize,
    failed: HashMap<TaskId, u32>,
    done: HashSet<TaskId>,
    attempts: u32,
}

/// Fails `bad` tasks for good and every other task `flaky` times before it goes well.
struct TestExecutor {
    system: SimulatedSystem,
    ledger: Arc<Mutex<Ledger>>,
    bad: HashSet<TaskId>,
    flaky: u32,
}

struct Alive(Arc<Mutex<Ledger>>, TaskId);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().unwrap().alive.remove(&self.1);
    }
}

#[async_trait]
impl TaskExecutor for TestExecutor {
    async fn execute(
        &self,
        task: &PlannedTask,
        _attempt: u32,
        _cancel: CancellationToken,
    ) -> Result<AttemptSuccess> {
        let fails = {
            let mut ledger = self.ledger.lock().unwrap();
            assert!(
                !ledger.done.contains(&task.id),
                "{} was done and is done again",
                task.id
            );
            assert!(
                ledger.alive.insert(task.id.clone()),
                "{} runs twice at once",
                task.id
            );
            ledger.most_alive = ledger.most_alive.max(ledger.alive.len());
            ledger.attempts += 1;
            ledger.failed.get(&task.id).copied().unwrap_or(0) < self.flaky
        };
        let _alive = Alive(Arc::clone(&self.ledger), task.id.clone());
        self.system
            .sleep(Duration::from_millis(self.system.random() % 5_000))
            .await;
        if self.bad.contains(&task.id) {
            return Err(Failure::new("X", Remedy::FixData, "bad data"));
        }
        if fails {
            *self
                .ledger
                .lock()
                .unwrap()
                .failed
                .entry(task.id.clone())
                .or_insert(0) += 1;
            return Err(Failure::new("X", Remedy::Retry, "try again"));
        }
        Ok(AttemptSuccess {
            unchanged: self.system.random().is_multiple_of(3),
            ..AttemptSuccess::default()
        })
    }
}

struct Simulation {
    seed: u64,
    system: SimulatedSystem,
    graph: PlannedPipeline,
    ledger: Arc<Mutex<Ledger>>,
    executor: Arc<TestExecutor>,
    fences: HashMap<TaskId, u64>,
    crashes: u32,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let system = SimulatedSystem::new(seed);
        let count = 1 + (system.random() % 6) as usize;
        let tasks: Vec<PlannedTask> = (0..count)
            .map(|n| {
                let parents: Vec<usize> = (0..n)
                    .filter(|_| system.random().is_multiple_of(2))
                    .collect();
                let rules = [
                    TriggerRule::AllSuccess,
                    TriggerRule::AllSuccess,
                    TriggerRule::AllDone,
                ];
                task(n, &parents, rules[(system.random() % 3) as usize], retry(2))
            })
            .collect();
        let bad = tasks
            .iter()
            .filter(|_| system.random().is_multiple_of(8))
            .map(|task| task.id.clone())
            .collect();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let executor = TestExecutor {
            system: system.clone(),
            ledger: Arc::clone(&ledger),
            bad,
            flaky: (system.random() % 3) as u32,
        };
        let graph = pipeline(tasks, 1 + (system.random() % 3) as usize);
        Self {
            seed,
            system,
            graph,
            ledger,
            executor: Arc::new(executor),
            fences: HashMap::new(),
            crashes: 0,
        }
    }

    /// One process after another until the run has ended.
    async fn play(&mut self, file: &Path) {
        for process in 0.. {
            assert!(process < 100, "seed {}: no end in sight", self.seed);
            let dies = process < 8 && !self.system.random().is_multiple_of(4);
            let by_store = dies && self.system.random().is_multiple_of(2);
            let changes = if by_store {
                (self.system.random() % 6).cast_signed()
            } else {
                -1
            };
            let keep_last = self.system.random().is_multiple_of(2);
            let store = SimulatedStateStore::breaking(file, &self.system, changes, keep_last);
            let record = self.opened(&store, process).await;
            let until = dies.then(|| Duration::from_millis(self.system.random() % 8_000));
            let ended = self
                .process(&store, record, process, until.filter(|_| !by_store))
                .await;
            tokio::task::yield_now().await;
            assert!(
                self.ledger.lock().unwrap().alive.is_empty(),
                "seed {}: attempts outlived it",
                self.seed
            );
            if ended {
                return;
            }
            self.crashes += 1;
            // Half of the time the next process finds the lease run out, else the dead process's lock.
            if self.system.random().is_multiple_of(2) {
                self.system.advance(Duration::from_secs(60));
            }
        }
    }

    async fn opened(&mut self, store: &Arc<SimulatedStateStore>, process: u32) -> RunRecord {
        let worker = format!("w{process}");
        let record = match open_run(&**store, &self.graph, &worker).await {
            Opened::New(record) if process == 0 => record,
            Opened::Resumed(record) if process > 0 => record,
            other => panic!("seed {}, process {process}: {other:?}", self.seed),
        };
        assert_eq!(record.name.number, 1);
        let mut ledger = self.ledger.lock().unwrap();
        for task in &record.tasks {
            assert_ne!(task.state, TaskState::Running);
            if task.state.is_final() {
                ledger.done.insert(task.id.clone());
            } else if process > 0 {
                let before = self.fences.get(&task.id).copied().unwrap_or(0);
                assert!(
                    task.fence > before,
                    "seed {}: {} kept its fence",
                    self.seed,
                    task.id
                );
            }
            self.fences.insert(task.id.clone(), task.fence);
        }
        drop(ledger);
        record
    }

    /// True when the run has ended, false when this process died.
    async fn process(
        &self,
        store: &Arc<SimulatedStateStore>,
        record: RunRecord,
        process: u32,
        dies_after: Option<Duration>,
    ) -> bool {
        let (observer, _notifications) = unbounded_channel();
        let setup = RunSetup {
            pipeline: &self.graph,
            record,
            store: Arc::clone(store) as _,
            system: Arc::new(self.system.clone()),
            executor: Arc::clone(&self.executor) as _,
            cancel: CancellationToken::new(),
            worker: format!("w{process}"),
            lease_us: LEASE_US,
            grace: Duration::from_secs(5),
            observer: Arc::new(observer),
        };
        let driven = async {
            match dies_after {
                Some(after) => tokio::select! {
                    summary = drive(setup) => Some(summary),
                    () = self.system.sleep(after) => None,
                },
                None => Some(drive(setup).await),
            }
        };
        match self.system.run(driven).await {
            Some(Ok(_)) => true,
            Some(Err(failure)) => {
                assert_eq!(failure.code, "R0899", "seed {}: {failure:?}", self.seed);
                false
            }
            None => false,
        }
    }

    async fn check(&self, file: &Path) {
        let store = SimulatedStateStore::open(file, &self.system);
        let run = store.runs(RunFilter::default()).await.unwrap().remove(0);
        let expected = self.expected();
        for task in &run.tasks {
            let good = matches!(task.state, TaskState::Succeeded | TaskState::Unchanged);
            match expected[&task.id] {
                TaskState::Succeeded => {
                    assert!(good, "seed {}: {} is {:?}", self.seed, task.id, task.state)
                }
                state => assert_eq!(task.state, state, "seed {}: {}", self.seed, task.id),
            }
        }
        let failed = expected.values().any(|state| *state == TaskState::Failed);
        assert_eq!(
            run.state,
            if failed {
                RunState::Failed
            } else {
                RunState::Succeeded
            },
            "seed {}",
            self.seed
        );
        assert!(self.ledger.lock().unwrap().most_alive <= self.graph.parallel);
        self.check_history(&store, &run).await;
    }

    /// Where each task must end: the graph has only `AllSuccess` and `AllDone`.
    fn expected(&self) -> HashMap<TaskId, TaskState> {
        let mut ends = HashMap::new();
        for task in &self.graph.tasks {
            let well = task
                .after
                .iter()
                .all(|parent| ends[parent] == TaskState::Succeeded);
            let state = if task.when == TriggerRule::AllSuccess && !well {
                TaskState::Skipped
            } else if self.executor.bad.contains(&task.id) {
                TaskState::Failed
            } else {
                TaskState::Succeeded
            };
            ends.insert(task.id.clone(), state);
        }
        ends
    }

    async fn check_history(&self, store: &SimulatedStateStore, run: &RunRecord) {
        let events = store.events(&run.name, &run.environment, 0).await.unwrap();
        let mut ended = HashSet::new();
        for (event, seq) in events.iter().zip(1_u64..) {
            assert_eq!(event.seq, seq, "seed {}: a gap", self.seed);
            let Some(id) = &event.task else { continue };
            // What failed, and what was skipped because of it, is tried again by the next process.
            if event.kind == RunEventKind::Task(TaskState::Waiting)
                && event.body["because"] == "resumed"
            {
                ended.remove(id);
                continue;
            }
            assert!(
                !ended.contains(id),
                "seed {}: {id} changed after its end: {}",
                self.seed,
                event.kind
            );
            if event.kind == RunEventKind::Task(TaskState::Running) {
                let task = self.graph.tasks.iter().find(|task| task.id == *id).unwrap();
                assert!(
                    task.after.iter().all(|parent| ended.contains(parent)),
                    "seed {}: {id}",
                    self.seed
                );
            }
            if matches!(event.kind, RunEventKind::Task(state) if state.is_final() && state != TaskState::Cancelled)
            {
                ended.insert(id.clone());
            }
        }
        let resumed = events
            .iter()
            .filter(|event| event.kind == RunEventKind::RunResumed)
            .count();
        assert_eq!(resumed as u32, self.crashes, "seed {}", self.seed);
    }
}

#[tokio::test]
async fn runs_survive_the_death_of_their_process() {
    let (mut crashes, mut attempts) = (0, 0);
    for seed in 0..SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dev.db");
        let mut simulation = Simulation::new(seed);
        simulation.play(&file).await;
        simulation.check(&file).await;
        crashes += simulation.crashes;
        attempts += simulation.ledger.lock().unwrap().attempts;
    }
    // The simulation itself must not go soft.
    assert!(
        crashes >= 60 && attempts >= 200,
        "{crashes} crashes, {attempts} attempts"
    );
}
