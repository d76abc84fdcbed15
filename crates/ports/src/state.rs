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
    CheckResult, Environment, Failure, Generation, Interval, PipelineName, RunName, TableFact,
    TableLineage, TableName, TaskId, TaskKey,
};

use crate::{
    ApiStore, BackfillChange, BackfillInterval, BackfillRecord, IntervalRun, NewBackfill, NewRun,
    Opened, OutboxEvent, Result, RunEvent, RunState, RunStop, ScheduleEvent, ScheduleRecords,
    ScheduleUpdate, ScheduledInterval, StopResult, Subscription, TaskOutcome, TaskState,
};

/// What a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The tasks of a pipeline.
    #[default]
    Run,
    /// A lock: something that writes the pipeline's tables alone and executes none of its tasks.
    Lock,
    /// A copy of rows without a pipeline.
    Copy,
    /// A replay of rejected records.
    Replay,
}

impl RunKind {
    /// True if its tasks are those of the pipeline: only such a run can be resumed, or rerun by its name.
    pub fn is_run(self) -> bool {
        self == RunKind::Run
    }
}

/// A compiled graph in its stored form, which is sufficient for any worker to execute it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompiledGraph {
    /// Hash of its content; an interrupted run is resumed only if it is equal.
    pub hash: String,
    /// The graph itself; it contains no secret.
    pub body: serde_json::Value,
    /// Its tasks, parents before children.
    pub tasks: Vec<GraphTask>,
    /// The most tasks at once.
    pub parallel: u32,
}

/// The part of a task that the store needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphTask {
    /// Its id.
    pub id: TaskId,
    /// The pool of which it takes a slot, if any.
    pub pool: Option<String>,
}

/// A run in its present state.
#[derive(Clone, Debug, Serialize)]
pub struct RunRecord {
    /// Its name.
    pub name: RunName,
    /// The environment.
    pub environment: Environment,
    /// Its kind.
    pub kind: RunKind,
    /// Its interval, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Values of the pipeline's parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Its state.
    pub state: RunState,
    /// Hash of its graph.
    pub graph_hash: String,
    /// When it began, in microseconds since 1970 UTC.
    pub started_us: i64,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// When it fails, if it has not ended by then, in microseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_us: Option<i64>,
    /// How long that was from the moment at which this was read, by the clock of the store.
    #[serde(skip_serializing)]
    pub left_us: Option<i64>,
    /// The request that it stops, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<RunStop>,
    /// The worker that runs it.
    pub worker: String,
    /// The request of the user.
    pub request: serde_json::Value,
    /// The number of its last event; this record has the changes up to that event.
    #[serde(skip_serializing)]
    pub seq: u64,
    /// Its tasks, in order.
    pub tasks: Vec<TaskRecord>,
}

/// A task in its present state.
#[derive(Clone, Debug, Serialize)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Attempts begun.
    pub attempt: u32,
    /// Increases with every claim; a report with another fence is stale.
    pub fence: u64,
    /// The worker that executes it, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The time of the next attempt, while it waits for it.
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
    /// Its fingerprint, by which a later run finds it `unchanged`.
    pub fingerprint: Option<String>,
}

/// A change of one task.
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
    /// The new state. `Running` raises the fence and counts an attempt.
    pub to: TaskState,
    /// When it happened.
    pub now_us: i64,
    /// For `Retrying`: the time of the next attempt.
    pub due_us: Option<i64>,
    /// For changes that end an attempt.
    pub end: Option<AttemptEnd>,
}

/// The changes of one worker to one run, in one transaction.
#[derive(Clone, Debug)]
pub struct RunUpdate {
    /// The run.
    pub run: RunName,
    /// The environment.
    pub environment: Environment,
    /// The worker.
    pub worker: String,
    /// The last event that the caller knows. If others have added events since, nothing is changed, because
    /// their changes may need another decision. `None` disables the comparison.
    pub after_seq: Option<u64>,
    /// Changes of tasks, in order: all of them are made or none.
    pub transitions: Vec<Transition>,
    /// The number of ready tasks of the run to claim afterwards, at most.
    pub claim: u32,
    /// When it happens.
    pub now_us: i64,
}

/// The result of a `RunUpdate`.
#[derive(Clone, Debug)]
pub enum RunUpdateResult {
    /// It was stored.
    Done {
        /// The number of the last event.
        seq: u64,
        /// Tasks that this worker must execute now.
        claims: Vec<TaskClaim>,
    },
    /// Other workers were faster: these are their events. Nothing was changed.
    Behind(Vec<RunEvent>),
    /// The run or a task was not as expected. Nothing was changed.
    Refused,
}

/// A task that a worker must execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskClaim {
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
    /// The fence that a report about the attempt must have.
    pub fence: u64,
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

/// Selects runs.
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
    /// What only the HTTP API uses.
    fn api(&self) -> &dyn ApiStore;

    /// Creates a run, resumes the interrupted one, or returns the run that is active; all in one
    /// transaction. It also registers the worker.
    async fn open_run(&self, run: NewRun) -> Result<Opened>;

    /// A stored graph, by its hash.
    async fn graph(&self, hash: &str) -> Result<Option<serde_json::Value>>;

    /// Changes tasks of one run and claims ready tasks, in one transaction with all events.
    async fn advance(&self, advance: RunUpdate) -> Result<RunUpdateResult>;

    /// Changes one task, together with its event. False if its state or fence was not as expected.
    async fn transition(&self, transition: Transition) -> Result<bool> {
        self.transition_all(vec![transition]).await
    }

    /// Changes several tasks of one run, in order, together with their events. If one state or fence is not
    /// as expected, it changes none and returns false. A task may occur more than once.
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

    /// Registers a worker that opens no run itself. False if a live worker has that name.
    async fn register(&self, worker: &str, lease_us: i64) -> Result<bool>;

    /// Claims at most `limit` ready tasks of any run, oldest first: not more than the free slots of their
    /// pools, and not more of a run than may run at once. A worker whose lease has expired gets none.
    async fn claim_ready(&self, worker: &str, limit: u32) -> Result<Vec<TaskClaim>>;

    /// Renews the lease of a worker; false if the lease was lost.
    async fn renew(&self, worker: &str) -> Result<bool>;

    /// Makes the tasks of workers whose lease has expired ready again, with new fences, and returns their
    /// number.
    async fn reap(&self) -> Result<u64>;

    /// Sets the number of slots of pools. If the number gets smaller, running tasks are not stopped.
    async fn put_pools(&self, pools: &BTreeMap<String, u32>) -> Result<()>;

    /// Ends a run, for the worker that opened it, or if the run has no unfinished task. Refused if another
    /// process has taken it over; a second call changes nothing.
    async fn close_run(
        &self,
        run: &RunName,
        environment: &Environment,
        state: RunState,
        worker: &str,
        now_us: i64,
    ) -> Result<()>;

    /// Asks the process of a run to stop it; if that process is dead, ends the run. No task of the run starts
    /// afterwards, and nobody resumes it by itself.
    async fn request_stop(
        &self,
        run: &RunName,
        environment: &Environment,
        stop: &RunStop,
    ) -> Result<StopResult>;

    /// The request that a run stops, if there was one.
    async fn stop_request(
        &self,
        run: &RunName,
        environment: &Environment,
    ) -> Result<Option<RunStop>>;

    /// Makes tasks of a resumed run wait again, because their inputs changed, and returns the run.
    async fn reopen(
        &self,
        run: &RunName,
        environment: &Environment,
        tasks: &[TaskId],
        now_us: i64,
    ) -> Result<RunRecord>;

    /// The run with this name, if there is one.
    async fn run(&self, run: &RunName, environment: &Environment) -> Result<Option<RunRecord>>;

    /// Whether the process of a run is alive, as far as this can be known.
    async fn is_live(&self, run: &RunRecord) -> Result<bool>;

    /// Creates the outbox of a subscriber, which gets the later events that it asks for. One that exists keeps
    /// what waits, and is in use from now on.
    async fn subscribe(&self, subscription: &Subscription) -> Result<()>;

    /// Removes the subscribers whose names begin so and that nobody has used for so long, with what waits for
    /// them.
    async fn forget_subscribers(&self, begin: &str, unused_us: i64) -> Result<()>;

    /// How many events wait for each subscriber that has some.
    async fn outbox_counts(&self) -> Result<Vec<(String, u64)>>;

    /// How a run ended before this event of it, `Succeeded` or `Failed`: itself, before it was resumed, or else
    /// the last pipeline run before it.
    async fn ended_before(
        &self,
        run: &RunName,
        environment: &Environment,
        seq: u64,
    ) -> Result<Option<RunState>>;

    /// When the last run of a pipeline that succeeded ended, in microseconds since 1970 UTC.
    async fn last_succeeded(
        &self,
        pipeline: &PipelineName,
        environment: &Environment,
    ) -> Result<Option<i64>>;

    /// Takes a duty that one process has at a time, or renews it, for so long by the clock of the store.
    /// False while another holder has it.
    async fn take_duty(&self, name: &str, holder: &str, for_us: i64) -> Result<bool>;

    /// Gives a duty back.
    async fn leave_duty(&self, name: &str, holder: &str) -> Result<()>;

    /// The events that wait for a subscriber, oldest first. They stay until `delivered`, so a subscriber
    /// may get an event more than once, and recognises it by its run and `seq`.
    async fn outbox(&self, subscriber: &str, limit: u64) -> Result<Vec<OutboxEvent>>;

    /// Removes delivered events from the outbox of a subscriber, by their numbers there.
    async fn delivered(&self, subscriber: &str, ids: &[u64]) -> Result<()>;

    /// Adds an event to the history of a run. The store sets `seq`; the value in `event` is ignored.
    async fn append_event(
        &self,
        run: &RunName,
        environment: &Environment,
        event: RunEvent,
    ) -> Result<()>;

    /// All schedules of an environment, with the intervals that wait or run.
    async fn schedules(&self, environment: &Environment) -> Result<ScheduleRecords>;

    /// Writes down what a scheduler decided. False when the schedule has another fence, or was decided
    /// further: another scheduler was quicker, and nothing was changed.
    async fn update_schedule(&self, update: ScheduleUpdate) -> Result<bool>;

    /// The events of a schedule, in their order.
    async fn schedule_events(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
    ) -> Result<Vec<ScheduleEvent>>;

    /// The last intervals that were due, newest first.
    async fn scheduled_intervals(
        &self,
        environment: &Environment,
        pipeline: Option<&PipelineName>,
        limit: u64,
    ) -> Result<Vec<ScheduledInterval>>;

    /// The runs of a pipeline about intervals that overlap a range, oldest first.
    async fn interval_runs(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        range: Interval,
    ) -> Result<Vec<IntervalRun>>;

    /// How many processes in a row have died while they had this run, without a task having ended well in
    /// between; 0 while its process lives, or when it is not running.
    async fn lost_processes(&self, run: &RunName, environment: &Environment) -> Result<u64>;

    /// Creates a backfill and returns its number. An interval that waits or runs in another backfill, or has
    /// had a run that keeps it from being run, is skipped.
    async fn create_backfill(&self, backfill: NewBackfill) -> Result<u64>;

    /// Changes a backfill; false when it has this state already, was cancelled, or has ended.
    async fn change_backfill(&self, change: BackfillChange) -> Result<bool>;

    /// Ends the runs whose process has died and which nobody is to resume: those of cancelled backfills, and
    /// those that were asked to stop. Returns their number.
    async fn end_cancelled_runs(&self, environment: &Environment) -> Result<u64>;

    /// All backfills of an environment, newest first.
    async fn backfills(&self, environment: &Environment) -> Result<Vec<BackfillRecord>>;

    /// One backfill.
    async fn backfill(&self, environment: &Environment, number: u64) -> Result<BackfillRecord>;

    /// The intervals of a backfill, in the order in which they are run.
    async fn backfill_intervals(
        &self,
        environment: &Environment,
        number: u64,
    ) -> Result<Vec<BackfillInterval>>;

    /// What users did to a backfill, in order.
    async fn backfill_events(
        &self,
        environment: &Environment,
        number: u64,
    ) -> Result<Vec<ScheduleEvent>>;

    /// Of each pipeline with an active backfill the interval that is next: one whose run has begun, else the
    /// first one that waits.
    async fn next_backfills(&self, environment: &Environment) -> Result<Vec<ScheduledInterval>>;

    /// Runs, newest first, with their tasks.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>>;

    /// The events of a run after `seq`.
    async fn events(
        &self,
        run: &RunName,
        environment: &Environment,
        after_seq: u64,
    ) -> Result<Vec<RunEvent>>;

    /// The last record of this task that succeeded or was unchanged, with its run.
    async fn last_success(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        task: &TaskId,
    ) -> Result<Option<(RunName, TaskRecord)>>;

    /// The highest generation of this task, and the run that got it.
    async fn generation(&self, task: &TaskKey) -> Result<Option<(RunName, Generation)>>;

    /// Records that a run got a generation, before any byte is written. A later attempt of the same run
    /// finds and reuses it, so a commit whose acknowledgement was lost is recognised.
    async fn reserve_generation(
        &self,
        task: &TaskKey,
        run: &RunName,
        generation: Generation,
    ) -> Result<()>;

    /// Stores the observed columns of a table.
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

    /// Stores the digests of the notes that a run reported about a table, and replaces the earlier ones.
    async fn put_reported_notes(
        &self,
        environment: &Environment,
        about: &str,
        digests: &BTreeSet<String>,
    ) -> Result<()>;

    /// The digests of the notes that were reported last, by what they are about.
    async fn reported_notes(
        &self,
        environment: &Environment,
    ) -> Result<Vec<(String, BTreeSet<String>)>>;
}
