//! The durable state store: runs, tasks, facts, check results. Every change is one conditional update.
//!
//! A transition names the state and fence it expects; a stale one changes nothing and says so. The
//! same operations hold on SQLite and PostgreSQL.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use towpath_vocab::{
    CheckResult, Environment, Failure, Generation, PipelineName, RunName, TableFact, TableLineage,
    TableName, TaskId, TaskKey,
};

use crate::Result;

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
    /// Hash of the compiled graph: an interrupted run is resumed only if it is equal.
    pub graph_hash: String,
    /// Its tasks, parents before children.
    pub tasks: Vec<TaskId>,
    /// Parameters and selection, for the record. No secret. With `what` in it this is a hold: it keeps
    /// runs away and lays an interrupted one aside, which goes on after it.
    pub request: serde_json::Value,
    /// Identifies this process.
    pub worker: String,
    /// Now, in microseconds since 1970 UTC.
    pub now_us: i64,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its name.
    pub name: RunName,
    /// The environment.
    pub environment: Environment,
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
    /// Parameters and selection.
    pub request: serde_json::Value,
    /// Its tasks, in order.
    pub tasks: Vec<TaskRecord>,
}

/// A task as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// Attempts begun.
    pub attempt: u32,
    /// Rises with every claim; a report with another one is stale.
    pub fence: u64,
    /// When the last attempt began.
    pub started_us: Option<i64>,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What it did, as the use case reports it (rows, version, checks).
    pub outcome: serde_json::Value,
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
    /// Now.
    pub now_us: i64,
    /// For ends.
    pub end: Option<AttemptEnd>,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default)]
pub struct AttemptEnd {
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What it did.
    pub outcome: serde_json::Value,
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
    /// Begins a run, resumes the interrupted one, or says who is busy; all in one transaction.
    async fn open_run(&self, run: NewRun) -> Result<Opened>;

    /// Changes one task together with its event row. False when state or fence were not as expected.
    async fn transition(&self, transition: Transition) -> Result<bool>;

    /// Changes several tasks of one run in order, together with their event rows: all of them or, when
    /// one state or fence was not as expected, none (then false). A task may occur more than once.
    async fn transition_all(&self, transitions: Vec<Transition>) -> Result<bool>;

    /// Ends a run. Refused when another process took it over; done twice it changes nothing.
    async fn close_run(
        &self,
        run: &RunName,
        environment: &Environment,
        state: RunState,
        now_us: i64,
    ) -> Result<()>;

    /// Keeps a worker's runs alive; false when the lease was lost.
    async fn renew(&self, worker: &str, now_us: i64) -> Result<bool>;

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
}
