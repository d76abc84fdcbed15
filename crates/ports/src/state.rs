//! The interface of the state store: graphs, runs, tasks, workers, facts, check results.
//!
//! Promise: every change of a task is one conditional update on its state and fence, committed with its
//! event; a stale update changes nothing and says so. Leases are judged by the clock of the store, never by
//! a caller's. It does not know which database is used, or when a task may start: the caller decides that.
//! Read next: `orchestrator/src/driver.rs`, which uses these operations, and the crate `state`.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use towpath_vocab::{
    CheckResult, Environment, Failure, Generation, PipelineName, RunName, TableFact, TableLineage,
    TableName, TaskId, TaskKey,
};

use crate::{Result, TaskOutcome};

/// What a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The tasks of a pipeline.
    #[default]
    Run,
    /// Something that must be alone with the pipeline's tables, and carries out none of its tasks.
    Lock,
    /// Rows that are copied without a pipeline.
    Copy,
    /// Quarantined records that are read again.
    Replay,
}

impl RunKind {
    /// True when its tasks are those of the pipeline: only such a run is resumed or run again by name.
    pub fn is_run(self) -> bool {
        self == RunKind::Run
    }
}

/// What a run is about: from `start_us` to `end_us`, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Microseconds since 1970 UTC.
    pub start_us: i64,
    /// Microseconds since 1970 UTC.
    pub end_us: i64,
}

/// A compiled graph as the store keeps it: enough for any worker to carry it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompiledGraph {
    /// Hash of its content; an interrupted run is resumed only if it is equal.
    pub hash: String,
    /// The graph itself. No secret.
    pub body: serde_json::Value,
    /// Its tasks, parents before children.
    pub tasks: Vec<GraphTask>,
    /// Most tasks at once.
    pub parallel: u32,
}

/// A task of a graph, as far as the store has to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphTask {
    /// Its id.
    pub id: TaskId,
    /// The pool whose slots it takes, if any.
    pub pool: Option<String>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Tasks may run.
    Running,
    /// Every task ended well.
    Succeeded,
    /// A task failed.
    Failed,
    /// The user stopped it.
    Cancelled,
    /// Its process died and a run with another graph took its place.
    Superseded,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for its parents.
    Waiting,
    /// May start.
    Ready,
    /// An attempt is on its way.
    Running,
    /// Waits for its next attempt.
    Retrying,
    /// Ended well.
    Succeeded,
    /// Ended well without doing anything: its fingerprint is unchanged.
    Unchanged,
    /// Failed for good.
    Failed,
    /// Its trigger rule can no longer hold.
    Skipped,
    /// The user stopped it.
    Cancelled,
}

impl TaskState {
    /// True when it will not change again in this run.
    pub fn is_final(self) -> bool {
        !matches!(
            self,
            TaskState::Waiting | TaskState::Ready | TaskState::Running | TaskState::Retrying
        )
    }
}

/// A run to begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewRun {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The environment.
    pub environment: Environment,
    /// What it is. All but `Run` interrupt a run whose process is gone, which goes on after them.
    pub kind: RunKind,
    /// What it is about in time, if it is.
    pub interval: Option<Interval>,
    /// Values of the pipeline's parameters. No secret.
    pub params: BTreeMap<String, String>,
    /// Its graph.
    pub graph: CompiledGraph,
    /// What the user asked for, for the record. No secret.
    pub request: serde_json::Value,
    /// Identifies this process.
    pub worker: String,
    /// A worker that has not renewed for this long is dead.
    pub lease_us: i64,
}

/// What `open_run` found.
#[derive(Clone, Debug)]
pub enum Opened {
    /// A new run.
    New(RunRecord),
    /// The interrupted run with the same graph: its process died, or the user stopped it and it is the
    /// newest. Running tasks were set back to ready; cancelled, failed and skipped ones to waiting;
    /// fences raised.
    Resumed(RunRecord),
    /// Another process runs this pipeline in this environment.
    Busy(RunRecord),
}

/// A run as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct RunRecord {
    /// Its name.
    pub name: RunName,
    /// The environment.
    pub environment: Environment,
    /// What it is.
    pub kind: RunKind,
    /// What it is about in time, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Values of the pipeline's parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Where it stands.
    pub state: RunState,
    /// Hash of its graph.
    pub graph_hash: String,
    /// When it began, in microseconds since 1970 UTC.
    pub started_us: i64,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// Who runs it.
    pub worker: String,
    /// What the user asked for.
    pub request: serde_json::Value,
    /// The number of its last event; what is in this record is from before the next one.
    #[serde(skip_serializing)]
    pub seq: u64,
    /// Its tasks, in order.
    pub tasks: Vec<TaskRecord>,
}

/// A task as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// Attempts begun.
    pub attempt: u32,
    /// Rises with every claim; a report with another one is stale.
    pub fence: u64,
    /// Who carries it out, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When it is tried again, while it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_us: Option<i64>,
    /// When the last attempt began.
    pub started_us: Option<i64>,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What it did.
    #[serde(serialize_with = "crate::outcome::shown")]
    pub outcome: TaskOutcome,
    /// The fingerprint it had, for `unchanged` in a later run.
    pub fingerprint: Option<String>,
}

/// One change of one task.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The run.
    pub run: RunName,
    /// The environment.
    pub environment: Environment,
    /// The task.
    pub task: TaskId,
    /// The state it must be in.
    pub from: TaskState,
    /// The fence it must have.
    pub fence: u64,
    /// The state it gets. `Running` raises the fence and counts an attempt.
    pub to: TaskState,
    /// When it happened.
    pub now_us: i64,
    /// For `Retrying`: when it is tried again.
    pub due_us: Option<i64>,
    /// For ends.
    pub end: Option<AttemptEnd>,
}

/// What one worker changes in one run, in one transaction.
#[derive(Clone, Debug)]
pub struct RunUpdate {
    /// The run.
    pub run: RunName,
    /// The environment.
    pub environment: Environment,
    /// Who does it.
    pub worker: String,
    /// The last event the caller knows of. When others have added some since, nothing is changed:
    /// their changes may have made another decision the right one. `None` does not compare.
    pub after_seq: Option<u64>,
    /// Changes of tasks in their order: all of them or none.
    pub transitions: Vec<Transition>,
    /// Then at most so many ready tasks of the run are claimed.
    pub claim: u32,
    /// When it happens.
    pub now_us: i64,
}

/// What became of an `RunUpdate`.
#[derive(Clone, Debug)]
pub enum RunUpdateResult {
    /// It is written down.
    Done {
        /// The number of the last event now.
        seq: u64,
        /// Tasks that this worker has to carry out now.
        claims: Vec<Claim>,
    },
    /// Others were quicker: what they did. Nothing was changed.
    Behind(Vec<RunEvent>),
    /// The run or a task was not as expected. Nothing was changed.
    Refused,
}

/// A task that a worker has to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The run.
    pub run: RunName,
    /// The environment.
    pub environment: Environment,
    /// The run's graph, for `StateStore::graph`.
    pub graph_hash: String,
    /// The task.
    pub task: TaskId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// What a report about the attempt has to carry.
    pub fence: u64,
}

/// An event that waits to be sent to a subscriber.
#[derive(Clone, Debug)]
pub struct OutboxEvent {
    /// Its number in the outbox.
    pub id: u64,
    /// The run it is about.
    pub run: RunName,
    /// The environment.
    pub environment: Environment,
    /// What happened.
    pub event: RunEvent,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default)]
pub struct AttemptEnd {
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What it did.
    pub outcome: TaskOutcome,
    /// Its fingerprint.
    pub fingerprint: Option<String>,
}

/// One line of a run's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunEvent {
    /// Counts up per run without a gap.
    pub seq: u64,
    /// When.
    pub at_us: i64,
    /// The task, if it is about one.
    pub task: Option<TaskId>,
    /// A stable word: `run_started`, `task_running`, `task_failed`, `retry_scheduled`, `note`.
    pub kind: String,
    /// Details.
    pub body: serde_json::Value,
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this pipeline.
    pub pipeline: Option<PipelineName>,
    /// Of this environment.
    pub environment: Option<Environment>,
    /// At most this many, newest first.
    pub limit: Option<u64>,
}

/// The state store.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Begins a run, resumes the interrupted one, or says who is busy; all in one transaction. The
    /// worker is registered by it.
    async fn open_run(&self, run: NewRun) -> Result<Opened>;

    /// A stored graph.
    async fn graph(&self, hash: &str) -> Result<Option<serde_json::Value>>;

    /// Changes tasks of one run and claims what may start, in one transaction with all event rows.
    async fn advance(&self, advance: RunUpdate) -> Result<RunUpdateResult>;

    /// Changes one task together with its event row. False when state or fence were not as expected.
    async fn transition(&self, transition: Transition) -> Result<bool> {
        self.transition_all(vec![transition]).await
    }

    /// Changes several tasks of one run in order, together with their event rows: all of them or, when
    /// one state or fence was not as expected, none (then false). A task may occur more than once.
    async fn transition_all(&self, transitions: Vec<Transition>) -> Result<bool> {
        let Some(first) = transitions.first() else {
            return Ok(true);
        };
        let advance = RunUpdate {
            run: first.run.clone(),
            environment: first.environment.clone(),
            worker: String::new(),
            after_seq: None,
            now_us: first.now_us,
            transitions,
            claim: 0,
        };
        Ok(matches!(
            self.advance(advance).await?,
            RunUpdateResult::Done { .. }
        ))
    }

    /// Registers a worker that opens no run of its own. False when a living one has that name.
    async fn register(&self, worker: &str, lease_us: i64) -> Result<bool>;

    /// Claims at most `limit` ready tasks of any run, oldest first; of each pool no more than it has
    /// free slots, of each run no more than may run at once. A worker whose lease is over gets none.
    async fn claim_ready(&self, worker: &str, limit: u32) -> Result<Vec<Claim>>;

    /// Keeps a worker alive; false when its lease was lost.
    async fn renew(&self, worker: &str) -> Result<bool>;

    /// Sets the tasks of workers whose lease is over back to ready, with another fence; how many.
    async fn reap(&self) -> Result<u64>;

    /// Sets the slots of pools. A running task beyond a smaller number ends as it would have.
    async fn put_pools(&self, pools: &BTreeMap<String, u32>) -> Result<()>;

    /// Ends a run for a worker that opened it, or whose run has no open task. Refused when another
    /// process took it over; done twice it changes nothing.
    async fn close_run(
        &self,
        run: &RunName,
        environment: &Environment,
        state: RunState,
        worker: &str,
        now_us: i64,
    ) -> Result<()>;

    /// Sets tasks of a resumed run back to waiting, because their inputs changed; gives the run.
    async fn reopen(
        &self,
        run: &RunName,
        environment: &Environment,
        tasks: &[TaskId],
        now_us: i64,
    ) -> Result<RunRecord>;

    /// One run, if there is one of that name.
    async fn run(&self, run: &RunName, environment: &Environment) -> Result<Option<RunRecord>>;

    /// Whether a process goes on with a run, as far as can be told.
    async fn is_live(&self, run: &RunRecord) -> Result<bool>;

    /// Sends every event from now on to the outbox of a subscriber too.
    async fn subscribe(&self, subscriber: &str) -> Result<()>;

    /// What waits for a subscriber, oldest first. It stays until `delivered`: a subscriber may see an
    /// event more than once, and knows it by run and `seq`.
    async fn outbox(&self, subscriber: &str, limit: u64) -> Result<Vec<OutboxEvent>>;

    /// Removes from a subscriber's outbox what it has got, by its numbers there.
    async fn delivered(&self, subscriber: &str, ids: &[u64]) -> Result<()>;

    /// Adds a line to a run's history. The store gives `seq`; the one in `event` is not read.
    async fn append_event(
        &self,
        run: &RunName,
        environment: &Environment,
        event: RunEvent,
    ) -> Result<()>;

    /// Runs, newest first, with their tasks.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>>;

    /// A run's history after `seq`.
    async fn events(
        &self,
        run: &RunName,
        environment: &Environment,
        after_seq: u64,
    ) -> Result<Vec<RunEvent>>;

    /// The outcome and fingerprint of the last run of this task that succeeded or was unchanged.
    async fn last_success(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        task: &TaskId,
    ) -> Result<Option<(RunName, TaskRecord)>>;

    /// The highest generation this task was given, and the run it was given to.
    async fn generation(&self, task: &TaskKey) -> Result<Option<(RunName, Generation)>>;

    /// Records that a generation was given out to a run, before any byte is written. A later attempt
    /// of the same run finds it and reuses it; that is how a commit whose acknowledgement was lost is
    /// recognised.
    async fn reserve_generation(
        &self,
        task: &TaskKey,
        run: &RunName,
        generation: Generation,
    ) -> Result<()>;

    /// Stores what a table looked like.
    async fn put_fact(
        &self,
        environment: &Environment,
        table: &str,
        fact: &TableFact,
    ) -> Result<()>;

    /// All observed facts.
    async fn facts(&self, environment: &Environment) -> Result<Vec<(String, TableFact)>>;

    /// Stores check results of a run.
    async fn put_checks(
        &self,
        run: &RunName,
        environment: &Environment,
        now_us: i64,
        results: &[CheckResult],
    ) -> Result<()>;

    /// Check results, newest first: run, time, result.
    async fn checks(
        &self,
        environment: &Environment,
        table: Option<&TableName>,
        limit: u64,
    ) -> Result<Vec<(RunName, i64, CheckResult)>>;

    /// Stores a table's lineage.
    async fn put_lineage(
        &self,
        environment: &Environment,
        table: &TableName,
        lineage: &TableLineage,
    ) -> Result<()>;

    /// All lineage, by table.
    async fn lineage(&self, environment: &Environment) -> Result<Vec<(TableName, TableLineage)>>;

    /// Digests of what a run said last about something, over those of the time before.
    async fn put_reported_notes(
        &self,
        environment: &Environment,
        about: &str,
        digests: &BTreeSet<String>,
    ) -> Result<()>;

    /// Digests of what was said last, by what it was about.
    async fn told(&self, environment: &Environment) -> Result<Vec<(String, BTreeSet<String>)>>;
}
