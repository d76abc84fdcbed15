//! Tests of the driver with a real state store in simulated time: cancel, timeouts, lost leases, panics,
//! events.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    Clock, Opened, Result, RunFilter, RunRecord, RunState, StateStore, TaskOutcome, TaskState,
};
use towpath_testkit::SimulatedSystem;
use towpath_vocab::{Failure, PlannedPipeline, PlannedTask, Remedy, RetryPlan, TriggerRule};

use crate::fixture::{LEASE_US, SimulatedStateStore, open_run, ours, pipeline, retry, task};
use crate::{AttemptSuccess, RunNotification, RunSetup, RunSummary, TaskExecutor, drive};

/// What an attempt of a task does.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    /// Ends well after this many seconds.
    Well(u64),
    /// As well, and stops with a `Cancelled` failure when asked to.
    Politely(u64),
    /// Has nothing to do.
    Nothing,
    /// Fails with this remedy after a second.
    Fails(Remedy),
    /// Cannot reach a system until this second of the clock, then ends well.
    ReachesAt(u64),
    /// Goes on for ever, whatever it is asked.
    Hangs,
    /// Panics.
    Panics,
}

pub(crate) struct TestExecutor {
    system: SimulatedSystem,
    does: HashMap<String, Vec<Does>>,
    made: Mutex<Vec<String>>,
    alive: Arc<Mutex<usize>>,
}

struct Alive(Arc<Mutex<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.lock().unwrap() -= 1;
    }
}

#[async_trait]
impl TaskExecutor for TestExecutor {
    async fn execute(
        &self,
        task: &PlannedTask,
        attempt: u32,
        cancel: CancellationToken,
    ) -> Result<AttemptSuccess> {
        *self.alive.lock().unwrap() += 1;
        let _alive = Alive(Arc::clone(&self.alive));
        self.made
            .lock()
            .unwrap()
            .push(format!("{} {attempt}", task.id));
        let script = &self.does[task.id.as_str()];
        let does = script
            .get(attempt as usize - 1)
            .or(script.last())
            .copied()
            .unwrap();
        let well = AttemptSuccess {
            unchanged: false,
            outcome: TaskOutcome::View {
                version: attempt.into(),
            },
            fingerprint: Some("f".to_owned()),
        };
        match does {
            Does::Well(seconds) => self.system.sleep(Duration::from_secs(seconds)).await,
            Does::Politely(seconds) => tokio::select! {
                () = self.system.sleep(Duration::from_secs(seconds)) => {}
                () = cancel.cancelled() => return Err(Failure::new("X", Remedy::Cancelled, "stopped")),
            },
            Does::Nothing => {
                return Ok(AttemptSuccess {
                    unchanged: true,
                    ..well
                });
            }
            Does::Fails(remedy) => {
                self.system.sleep(Duration::from_secs(1)).await;
                return Err(Failure::new("X", remedy, "it failed"));
            }
            Does::ReachesAt(second) if self.system.monotonic_us() < second * 1_000_000 => {
                return Err(Failure::new("X", Remedy::Unreachable, "refused"));
            }
            Does::ReachesAt(_) => {}
            Does::Hangs => std::future::pending().await,
            Does::Panics => panic!("on purpose"),
        }
        Ok(well)
    }
}

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub(crate) system: SimulatedSystem,
    executor: Arc<TestExecutor>,
    cancel: CancellationToken,
}

impl Stage {
    pub(crate) fn new(does: &[(&str, &[Does])]) -> Self {
        let system = SimulatedSystem::new(7);
        let executor = TestExecutor {
            system: system.clone(),
            does: does
                .iter()
                .map(|(id, script)| ((*id).to_owned(), script.to_vec()))
                .collect(),
            made: Mutex::default(),
            alive: Arc::default(),
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            system,
            executor: Arc::new(executor),
            cancel: CancellationToken::new(),
        }
    }

    pub(crate) fn store(&self) -> Arc<SimulatedStateStore> {
        SimulatedStateStore::open(&self.folder.path().join("dev.db"), &self.system)
    }

    async fn drive(
        &self,
        store: &Arc<SimulatedStateStore>,
        pipeline: &PlannedPipeline,
        worker: &str,
    ) -> (Result<RunSummary>, UnboundedReceiver<RunNotification>) {
        let record = ours(&**store, pipeline, worker).await;
        self.drive_record(store, pipeline, record).await
    }

    /// Drives a run that its worker has opened.
    pub(crate) async fn drive_record(
        &self,
        store: &Arc<SimulatedStateStore>,
        pipeline: &PlannedPipeline,
        record: RunRecord,
    ) -> (Result<RunSummary>, UnboundedReceiver<RunNotification>) {
        let worker = record.worker.clone();
        let (observer, notifications) = unbounded_channel();
        let setup = RunSetup {
            pipeline,
            record,
            store: Arc::clone(store) as _,
            system: Arc::new(self.system.clone()),
            executor: Arc::clone(&self.executor) as _,
            cancel: self.cancel.clone(),
            worker,
            lease_us: LEASE_US,
            grace: Duration::from_secs(5),
            observer: Arc::new(observer),
        };
        (drive(setup).await, notifications)
    }

    pub(crate) fn alive(&self) -> usize {
        *self.executor.alive.lock().unwrap()
    }

    pub(crate) fn made(&self) -> Vec<String> {
        self.executor.made.lock().unwrap().clone()
    }
}

pub(crate) fn states(summary: &RunSummary) -> Vec<TaskState> {
    summary.record.tasks.iter().map(|task| task.state).collect()
}

pub(crate) fn chain(length: usize, retry: RetryPlan) -> PlannedPipeline {
    let tasks = (0..length).map(|n| {
        let parents: Vec<usize> = n.checked_sub(1).into_iter().collect();
        task(n, &parents, TriggerRule::AllSuccess, retry)
    });
    pipeline(tasks.collect(), 4)
}

#[tokio::test]
async fn a_graph_runs_and_the_record_tells_it() {
    let stage = Stage::new(&[
        ("t0", &[Does::Well(2)]),
        ("t1", &[Does::Fails(Remedy::Retry), Does::Well(1)]),
        ("t2", &[Does::Nothing]),
        ("t3", &[Does::Fails(Remedy::FixData)]),
        ("t4", &[Does::Well(1)]),
        ("t5", &[Does::Well(1)]),
    ]);
    let store = stage.store();
    let graph = pipeline(
        vec![
            task(0, &[], TriggerRule::AllSuccess, retry(2)),
            task(1, &[0], TriggerRule::AllSuccess, retry(2)),
            task(2, &[0], TriggerRule::AllSuccess, retry(2)),
            task(3, &[1, 2], TriggerRule::AllSuccess, retry(2)),
            task(4, &[3], TriggerRule::AllSuccess, retry(2)),
            task(5, &[3, 4], TriggerRule::OneFailed, retry(2)),
        ],
        4,
    );
    let (summary, mut notifications) = stage.system.run(stage.drive(&store, &graph, "w1")).await;
    let summary = summary.unwrap();
    use TaskState::{Failed, Skipped, Succeeded, Unchanged};
    assert_eq!(
        states(&summary),
        [Succeeded, Succeeded, Unchanged, Failed, Skipped, Succeeded]
    );
    assert_eq!(summary.record.state, RunState::Failed);
    assert_eq!(
        stage.made(),
        ["t0 1", "t1 1", "t2 1", "t1 2", "t3 1", "t5 1"]
    );
    assert_eq!(
        summary.record.tasks[3].failure.as_ref().unwrap().message,
        "it failed"
    );

    // The state store holds exactly what the summary says.
    let stored = store.runs(RunFilter::default()).await.unwrap().remove(0);
    assert_eq!(
        serde_json::to_value(&stored).unwrap(),
        serde_json::to_value(&summary.record).unwrap()
    );

    let mut words = Vec::new();
    while let Some(notification) = notifications.recv().await {
        words.push(match notification {
            RunNotification::Opened { tasks, done } => format!("opened {done}/{tasks}"),
            RunNotification::Started { task, attempt } => format!("started {task} {attempt}"),
            RunNotification::Retrying { task, .. } => format!("retrying {task}"),
            RunNotification::Waiting { task, .. } => format!("waiting {task}"),
            RunNotification::Ended { task, state, .. } => format!("{task} {state:?}"),
            RunNotification::Stopping { running } => format!("stopping {running}"),
            RunNotification::Closed(state) => format!("closed {state:?}"),
        });
    }
    assert_eq!(words.first().map(String::as_str), Some("opened 0/6"));
    assert_eq!(words.last().map(String::as_str), Some("closed Failed"));
    assert!(words.contains(&"retrying t1".to_owned()) && words.contains(&"t4 Skipped".to_owned()));
}

#[tokio::test]
async fn a_stopped_run_is_clean_and_goes_on_later() {
    let stage = Stage::new(&[
        ("t0", &[Does::Well(1)]),
        ("t1", &[Does::Politely(3600), Does::Well(1)]),
        ("t2", &[Does::Hangs, Does::Well(1)]),
        ("t3", &[Does::Well(1)]),
    ]);
    let store = stage.store();
    let graph = pipeline(
        vec![
            task(0, &[], TriggerRule::AllSuccess, retry(0)),
            task(1, &[0], TriggerRule::AllSuccess, retry(0)),
            task(2, &[0], TriggerRule::AllSuccess, retry(0)),
            task(3, &[1, 2], TriggerRule::AllSuccess, retry(0)),
        ],
        4,
    );
    let stop = async {
        stage.system.sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.alive(), 2);
        stage.cancel.cancel();
    };
    let ((summary, _), ()) = stage
        .system
        .run(async { tokio::join!(stage.drive(&store, &graph, "w1"), stop) })
        .await;
    let summary = summary.unwrap();
    use TaskState::{Cancelled, Succeeded};
    assert_eq!(
        states(&summary),
        [Succeeded, Cancelled, Cancelled, Cancelled]
    );
    assert_eq!(summary.record.state, RunState::Cancelled);
    assert_eq!(stage.alive(), 0, "nothing is left running");
    assert_eq!(
        stage.system.monotonic_us(),
        65_000_000,
        "the one that hangs got its grace time, no more"
    );

    let stage = Stage {
        cancel: CancellationToken::new(),
        ..stage
    };
    let (summary, _) = stage.system.run(stage.drive(&store, &graph, "w2")).await;
    let summary = summary.unwrap();
    assert_eq!(
        (summary.record.state, summary.record.name.number),
        (RunState::Succeeded, 1)
    );
    assert_eq!(
        stage
            .made()
            .iter()
            .filter(|made| made.starts_with("t0"))
            .count(),
        1,
        "finished work stays"
    );
}

#[tokio::test]
async fn an_attempt_beyond_its_time_is_stopped_and_made_again() {
    let limited = RetryPlan {
        timeout_ms: Some(10_000),
        ..retry(1)
    };
    // Stopped twice: for good.
    let stage = Stage::new(&[("t0", &[Does::Hangs])]);
    let (summary, _) = stage
        .system
        .run(stage.drive(&stage.store(), &chain(1, limited), "w"))
        .await;
    let summary = summary.unwrap();
    let failure = summary.record.tasks[0].failure.clone().unwrap();
    assert_eq!(
        (failure.code.as_str(), summary.record.tasks[0].attempt),
        ("R0707", 2)
    );
    assert!(failure.message.contains("10 s"), "{}", failure.message);
    assert_eq!(stage.alive(), 0);

    // Late, but well, within its grace time: that counts.
    let stage = Stage::new(&[("t0", &[Does::Well(12)])]);
    let (summary, _) = stage
        .system
        .run(stage.drive(&stage.store(), &chain(1, limited), "w"))
        .await;
    assert_eq!(states(&summary.unwrap()), [TaskState::Succeeded]);
    assert_eq!(stage.made(), ["t0 1"]);
}

#[tokio::test]
async fn a_system_that_cannot_be_reached_is_tried_again_for_a_while() {
    // Back after eight seconds: nothing fails, no retry is used, and whoever watches is notices.
    let stage = Stage::new(&[("t0", &[Does::ReachesAt(8)])]);
    let (summary, mut notifications) = stage
        .system
        .run(stage.drive(&stage.store(), &chain(1, retry(0)), "w"))
        .await;
    let summary = summary.unwrap();
    assert_eq!(states(&summary), [TaskState::Succeeded]);
    assert_eq!(summary.record.tasks[0].attempt, 1);
    let mut notices = 0;
    while let Some(notification) = notifications.recv().await {
        notices += usize::from(matches!(notification, RunNotification::Waiting { .. }));
    }
    assert_eq!(notices, 5, "0.5 + 1 + 2 + 4 + 5 s");

    // Never back: a minute, then the retries that are left, without another minute.
    let stage = Stage::new(&[("t0", &[Does::ReachesAt(3600)])]);
    let (summary, _) = stage
        .system
        .run(stage.drive(&stage.store(), &chain(1, retry(1)), "w"))
        .await;
    let summary = summary.unwrap();
    assert_eq!(states(&summary), [TaskState::Failed]);
    assert_eq!(summary.record.tasks[0].attempt, 2);
    let seconds = stage.system.monotonic_us() / 1_000_000;
    assert!((60..=66).contains(&seconds), "{seconds} s");

    // Not at all when the project says so.
    let impatient = RetryPlan {
        reconnect_ms: 0,
        ..retry(0)
    };
    let stage = Stage::new(&[("t0", &[Does::ReachesAt(1)])]);
    let (summary, _) = stage
        .system
        .run(stage.drive(&stage.store(), &chain(1, impatient), "w"))
        .await;
    assert_eq!(states(&summary.unwrap()), [TaskState::Failed]);
    assert_eq!(stage.made().len(), 1);
}

#[tokio::test]
async fn waiting_for_a_system_ends_when_the_user_stops() {
    let stage = Stage::new(&[("t0", &[Does::ReachesAt(3600)])]);
    let store = stage.store();
    let graph = chain(1, retry(0));
    let stop = async {
        stage.system.sleep(Duration::from_secs(3)).await;
        stage.cancel.cancel();
    };
    let ((summary, _), ()) = stage
        .system
        .run(async { tokio::join!(stage.drive(&store, &graph, "w"), stop) })
        .await;
    assert_eq!(summary.unwrap().record.state, RunState::Cancelled);
    assert_eq!(stage.system.monotonic_us(), 3_000_000);
}

#[tokio::test]
async fn a_panic_fails_its_task_only() {
    let stage = Stage::new(&[("t0", &[Does::Panics]), ("t1", &[Does::Well(1)])]);
    let graph = pipeline(
        vec![
            task(0, &[], TriggerRule::AllSuccess, retry(3)),
            task(1, &[], TriggerRule::AllSuccess, retry(3)),
        ],
        1,
    );
    let (summary, _) = stage
        .system
        .run(stage.drive(&stage.store(), &graph, "w"))
        .await;
    let summary = summary.unwrap();
    assert_eq!(states(&summary), [TaskState::Failed, TaskState::Succeeded]);
    assert_eq!(
        summary.record.tasks[0].failure.as_ref().unwrap().code,
        "R0709"
    );
}

#[tokio::test]
async fn a_process_whose_run_was_taken_over_stops_everything() {
    let stage = Stage::new(&[("t0", &[Does::Politely(3600)])]);
    let (store, other) = (stage.store(), stage.store());
    let graph = chain(1, retry(0));
    let steal = async {
        stage.system.sleep(Duration::from_secs(7)).await;
        // As if this process had been suspended past its lease.
        stage.system.skew(2 * LEASE_US);
        assert!(matches!(
            open_run(&*other, &graph, "w2").await,
            Opened::Resumed(_)
        ));
    };
    let ((summary, _), ()) = stage
        .system
        .run(async { tokio::join!(stage.drive(&store, &graph, "w1"), steal) })
        .await;
    let failure = summary.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0706", Remedy::Refused)
    );
    assert!(
        failure.message.contains("`p#1`") && failure.message.contains("took it over"),
        "{}",
        failure.message
    );
    assert_eq!(stage.alive(), 0);
    assert_eq!(
        stage.system.monotonic_us(),
        10_000_000,
        "at the next renewal"
    );
    // Nothing it did touched the new owner's run.
    let stored = other.runs(RunFilter::default()).await.unwrap().remove(0);
    assert_eq!(
        (stored.state, stored.tasks[0].state),
        (RunState::Running, TaskState::Ready)
    );
}

#[tokio::test]
async fn a_stale_process_is_refused_by_its_first_change_too() {
    let stage = Stage::new(&[("t0", &[Does::Well(8)]), ("t1", &[Does::Well(1)])]);
    let (store, other) = (stage.store(), stage.store());
    let graph = chain(2, retry(0));
    let steal = async {
        stage.system.sleep(Duration::from_secs(7)).await;
        stage.system.skew(2 * LEASE_US);
        assert!(matches!(
            open_run(&*other, &graph, "w2").await,
            Opened::Resumed(_)
        ));
    };
    let ((summary, _), ()) = stage
        .system
        .run(async { tokio::join!(stage.drive(&store, &graph, "w1"), steal) })
        .await;
    assert_eq!(summary.unwrap_err().code, "R0706");
    assert_eq!(stage.made(), ["t0 1"], "its child was not started");
}

#[tokio::test]
async fn a_state_store_that_cannot_be_reached_stops_the_run_before_the_lease_ends() {
    let stage = Stage::new(&[("t0", &[Does::Hangs])]);
    let store = stage.store();
    let graph = chain(1, retry(0));
    let block = async {
        stage.system.sleep(Duration::from_secs(6)).await;
        // Another program holds the file's write lock and never lets go.
        let _lock = store.block().await;
        std::future::pending::<()>().await;
    };
    let summary = stage
        .system
        .run(async {
            tokio::select! {
                (summary, _) = stage.drive(&store, &graph, "w1") => summary,
                () = block => unreachable!(),
            }
        })
        .await;
    let failure = summary.unwrap_err();
    assert_eq!(failure.code, "R0706");
    assert_eq!(stage.alive(), 0);
    assert!(stage.system.monotonic_us() < 5_000_000 + u64::try_from(LEASE_US).unwrap());
}
