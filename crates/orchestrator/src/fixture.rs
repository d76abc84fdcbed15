//! Fixtures of the tests: small graphs and their runs.
//!
//! For tests only. Read next: `simulated_store.rs`, the state store of tests in simulated time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_ports::{
    CompiledGraph, GraphTask, NewRun, Opened, RunKind, RunRecord, RunState, StateStore,
    TaskOutcome, TaskRecord, TaskState,
};
use towpath_vocab::{
    Action, CommandPlan, PlannedPipeline, PlannedTask, RetryPlan, RunName, TaskId, TriggerRule,
};

pub(crate) use crate::simulated_store::SimulatedStateStore;

pub(crate) const LEASE_US: i64 = 15_000_000;

pub(crate) fn retry(retries: u32) -> RetryPlan {
    RetryPlan {
        retries,
        backoff_ms: 1_000,
        backoff_max_ms: 5_000,
        timeout_ms: None,
        reconnect_ms: 60_000,
    }
}

/// A task named `t` and its position, waiting for earlier positions.
pub(crate) fn task(
    position: usize,
    parents: &[usize],
    when: TriggerRule,
    retry: RetryPlan,
) -> PlannedTask {
    PlannedTask {
        id: TaskId::new(format!("t{position}")),
        step: "s".into(),
        action: Action::Command(Box::new(CommandPlan {
            argv: vec!["true".to_owned()],
            directory: String::new(),
            env: BTreeMap::new(),
            reads: Vec::new(),
            writes: Vec::new(),
        })),
        after: parents
            .iter()
            .map(|parent| TaskId::new(format!("t{parent}")))
            .collect(),
        when,
        retry,
        span: None,
    }
}

pub(crate) fn pipeline(tasks: Vec<PlannedTask>, parallel: usize) -> PlannedPipeline {
    PlannedPipeline {
        name: "p".into(),
        steps: vec!["s".into()],
        tasks,
        parallel,
        schedule: None,
        alerts: Default::default(),
    }
}

/// A record of a run in which no task has started.
pub(crate) fn fresh(pipeline: &PlannedPipeline) -> RunRecord {
    RunRecord {
        name: RunName {
            pipeline: pipeline.name.clone(),
            number: 1,
        },
        environment: "dev".into(),
        kind: RunKind::Run,
        interval: None,
        params: BTreeMap::new(),
        state: RunState::Running,
        graph_hash: "h".to_owned(),
        started_us: 0,
        ended_us: None,
        deadline_us: None,
        left_us: None,
        stop: None,
        worker: "w".to_owned(),
        request: serde_json::Value::Null,
        seq: 0,
        tasks: pipeline
            .tasks
            .iter()
            .map(|task| recorded(&task.id, TaskState::Waiting))
            .collect(),
    }
}

pub(crate) fn recorded(id: &TaskId, state: TaskState) -> TaskRecord {
    TaskRecord {
        id: id.clone(),
        state,
        attempt: 0,
        fence: 0,
        worker: None,
        due_us: None,
        started_us: None,
        ended_us: None,
        failure: None,
        outcome: TaskOutcome::Nothing,
        fingerprint: None,
    }
}

pub(crate) async fn open_run(
    store: &dyn StateStore,
    pipeline: &PlannedPipeline,
    worker: &str,
) -> Opened {
    store.open_run(new_run(pipeline, worker)).await.unwrap()
}

/// A run to begin.
pub(crate) fn new_run(pipeline: &PlannedPipeline, worker: &str) -> NewRun {
    let tasks = pipeline.tasks.iter().map(|task| GraphTask {
        id: task.id.clone(),
        pool: None,
    });
    NewRun {
        pipeline: pipeline.name.clone(),
        environment: "dev".into(),
        kind: RunKind::Run,
        interval: None,
        scheduled: false,
        backfill: None,
        deadline_ms: None,
        params: BTreeMap::new(),
        graph: CompiledGraph {
            hash: "h".to_owned(),
            body: serde_json::to_value(pipeline).unwrap(),
            tasks: tasks.collect(),
            parallel: u32::try_from(pipeline.parallel).unwrap(),
        },
        request: Value::Null,
        worker: worker.to_owned(),
        lease_us: LEASE_US,
    }
}

/// The record of a run that this worker may drive.
pub(crate) async fn ours(
    store: &dyn StateStore,
    pipeline: &PlannedPipeline,
    worker: &str,
) -> RunRecord {
    match open_run(store, pipeline, worker).await {
        Opened::New(record) | Opened::Resumed(record) => record,
        other => panic!("not ours: {other:?}"),
    }
}
