//! The state store of tests in simulated time.
//!
//! Promise: it is a real store, and a seed gives the same run again; it can fail or stall at a chosen change.
//! For tests only. Read next: `simulation_tests.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use towpath_ports::{
    ApiStore, BackfillChange, BackfillInterval, BackfillRecord, Clock, IntervalRun, NewBackfill,
    NewRun, Opened, OutboxEvent, Result, RunEvent, RunFilter, RunRecord, RunState, RunStop,
    RunUpdate, RunUpdateResult, ScheduleEvent, ScheduleRecords, ScheduleUpdate, ScheduledInterval,
    Secrets, StateStore, StopResult, Subscription, TaskClaim, TaskRecord,
};
use towpath_state::Location;
use towpath_testkit::SimulatedSystem;
use towpath_vocab::{
    CheckResult, Environment, Failure, Generation, Interval, PipelineName, Remedy, RunName,
    SecretTemplate, TableFact, TableLineage, TableName, TaskId, TaskKey,
};

/// Templates of tests are plain text.
struct PlainText;

#[async_trait]
impl Secrets for PlainText {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        Ok(template.template().to_owned())
    }
}

/// A real state store; the simulated clock is stopped while it works. It can fail at a chosen change.
pub(crate) struct SimulatedStateStore {
    pub(crate) store: Arc<dyn StateStore>,
    system: SimulatedSystem,
    /// One call at a time, in the order they were made, so that a seed gives the same run again.
    order: tokio::sync::Mutex<()>,
    /// Changes until the state store breaks; negative once it has, and while it never will.
    until_break: AtomicI64,
    /// Whether the change at which it breaks is kept.
    keep_last: bool,
    /// Calls between these moments of the monotonic clock reach the store only at the second one.
    stalled: Stretch,
}

/// An interval that can be changed while others read it.
type Stretch = std::sync::Mutex<(u64, u64)>;

impl SimulatedStateStore {
    pub(crate) fn open(path: &Path, system: &SimulatedSystem) -> Arc<Self> {
        Self::breaking(path, system, -1, false)
    }

    pub(crate) fn breaking(
        path: &Path,
        system: &SimulatedSystem,
        changes: i64,
        keep_last: bool,
    ) -> Arc<Self> {
        let location = Location {
            project_dir: "/".into(),
            environment: "dev".into(),
            project: None,
            url: Some(SecretTemplate::new(path.display().to_string())),
            secrets: Arc::new(PlainText),
            clock: Some(Arc::new(system.clone())),
        };
        Arc::new(Self {
            store: towpath_state::open(location).unwrap(),
            system: system.clone(),
            order: tokio::sync::Mutex::default(),
            until_break: AtomicI64::new(changes),
            keep_last,
            stalled: std::sync::Mutex::new((0, 0)),
        })
    }

    /// From `from` on, for so long, nothing that is asked reaches the store.
    pub(crate) fn stall(&self, from: Duration, length: Duration) {
        let from_us = self.system.monotonic_us() + from.as_micros() as u64;
        *self.stalled.lock().unwrap() = (from_us, from_us + length.as_micros() as u64);
    }

    async fn answer(&self) {
        let (from_us, to_us) = *self.stalled.lock().unwrap();
        let now_us = self.system.monotonic_us();
        if (from_us..to_us).contains(&now_us) {
            let left = Duration::from_micros(to_us - now_us);
            self.system.sleep(left).await;
        }
    }

    /// Blocks all answers while the guard lives; the clock continues.
    pub(crate) async fn block(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.order.lock().await
    }

    /// True at the change at which the store breaks.
    fn breaks(&self) -> bool {
        self.until_break.fetch_sub(1, Ordering::SeqCst) == 0
    }

    fn broken() -> Failure {
        Failure::new("R0899", Remedy::Retry, "the state store broke")
    }
}

/// Forwards a call while the clock is stopped.
macro_rules! forward {
    ($self:ident, $call:ident($($argument:expr),*)) => {{
        $self.answer().await;
        let _order = $self.order.lock().await;
        let _hold = $self.system.hold();
        $self.store.$call($($argument),*).await
    }};
}

#[async_trait]
impl StateStore for SimulatedStateStore {
    fn api(&self) -> &dyn ApiStore {
        self.store.api()
    }

    async fn open_run(&self, run: NewRun) -> Result<Opened> {
        forward!(self, open_run(run))
    }

    async fn graph(&self, hash: &str) -> Result<Option<Value>> {
        forward!(self, graph(hash))
    }

    async fn advance(&self, advance: RunUpdate) -> Result<RunUpdateResult> {
        let breaks = self.breaks();
        if breaks && !self.keep_last {
            return Err(Self::broken());
        }
        let done = forward!(self, advance(advance));
        if breaks { Err(Self::broken()) } else { done }
    }

    async fn register(&self, worker: &str, lease_us: i64) -> Result<bool> {
        forward!(self, register(worker, lease_us))
    }

    async fn claim_ready(&self, worker: &str, limit: u32) -> Result<Vec<TaskClaim>> {
        forward!(self, claim_ready(worker, limit))
    }

    async fn renew(&self, worker: &str) -> Result<bool> {
        forward!(self, renew(worker))
    }

    async fn reap(&self) -> Result<u64> {
        forward!(self, reap())
    }

    async fn put_pools(&self, pools: &BTreeMap<String, u32>) -> Result<()> {
        forward!(self, put_pools(pools))
    }

    async fn close_run(
        &self,
        run: &RunName,
        environment: &Environment,
        state: RunState,
        worker: &str,
        now_us: i64,
    ) -> Result<()> {
        forward!(self, close_run(run, environment, state, worker, now_us))
    }

    async fn request_stop(
        &self,
        run: &RunName,
        environment: &Environment,
        stop: &RunStop,
    ) -> Result<StopResult> {
        let breaks = self.breaks();
        if breaks && !self.keep_last {
            return Err(Self::broken());
        }
        let done = forward!(self, request_stop(run, environment, stop));
        if breaks { Err(Self::broken()) } else { done }
    }

    async fn stop_request(
        &self,
        run: &RunName,
        environment: &Environment,
    ) -> Result<Option<RunStop>> {
        forward!(self, stop_request(run, environment))
    }

    async fn reopen(
        &self,
        run: &RunName,
        environment: &Environment,
        tasks: &[TaskId],
        now_us: i64,
    ) -> Result<RunRecord> {
        forward!(self, reopen(run, environment, tasks, now_us))
    }

    async fn run(&self, run: &RunName, environment: &Environment) -> Result<Option<RunRecord>> {
        forward!(self, run(run, environment))
    }

    async fn is_live(&self, run: &RunRecord) -> Result<bool> {
        forward!(self, is_live(run))
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<()> {
        forward!(self, subscribe(subscription))
    }

    async fn forget_subscribers(&self, begin: &str, unused_us: i64) -> Result<()> {
        forward!(self, forget_subscribers(begin, unused_us))
    }

    async fn outbox_counts(&self) -> Result<Vec<(String, u64)>> {
        forward!(self, outbox_counts())
    }

    async fn ended_before(
        &self,
        run: &RunName,
        environment: &Environment,
        seq: u64,
    ) -> Result<Option<RunState>> {
        forward!(self, ended_before(run, environment, seq))
    }

    async fn last_succeeded(
        &self,
        pipeline: &PipelineName,
        environment: &Environment,
    ) -> Result<Option<i64>> {
        forward!(self, last_succeeded(pipeline, environment))
    }

    async fn take_duty(&self, name: &str, holder: &str, for_us: i64) -> Result<bool> {
        forward!(self, take_duty(name, holder, for_us))
    }

    async fn leave_duty(&self, name: &str, holder: &str) -> Result<()> {
        forward!(self, leave_duty(name, holder))
    }

    async fn outbox(&self, subscriber: &str, limit: u64) -> Result<Vec<OutboxEvent>> {
        forward!(self, outbox(subscriber, limit))
    }

    async fn delivered(&self, subscriber: &str, ids: &[u64]) -> Result<()> {
        forward!(self, delivered(subscriber, ids))
    }

    async fn append_event(
        &self,
        run: &RunName,
        environment: &Environment,
        event: RunEvent,
    ) -> Result<()> {
        forward!(self, append_event(run, environment, event))
    }

    async fn schedules(&self, environment: &Environment) -> Result<ScheduleRecords> {
        forward!(self, schedules(environment))
    }

    async fn update_schedule(&self, update: ScheduleUpdate) -> Result<bool> {
        let breaks = self.breaks();
        if breaks && !self.keep_last {
            return Err(Self::broken());
        }
        let done = forward!(self, update_schedule(update));
        if breaks { Err(Self::broken()) } else { done }
    }

    async fn schedule_events(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
    ) -> Result<Vec<ScheduleEvent>> {
        forward!(self, schedule_events(environment, pipeline))
    }

    async fn scheduled_intervals(
        &self,
        environment: &Environment,
        pipeline: Option<&PipelineName>,
        limit: u64,
    ) -> Result<Vec<ScheduledInterval>> {
        forward!(self, scheduled_intervals(environment, pipeline, limit))
    }

    async fn interval_runs(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        range: Interval,
    ) -> Result<Vec<IntervalRun>> {
        forward!(self, interval_runs(environment, pipeline, range))
    }

    async fn lost_processes(&self, run: &RunName, environment: &Environment) -> Result<u64> {
        forward!(self, lost_processes(run, environment))
    }

    async fn end_cancelled_runs(&self, environment: &Environment) -> Result<u64> {
        forward!(self, end_cancelled_runs(environment))
    }

    async fn create_backfill(&self, backfill: NewBackfill) -> Result<u64> {
        let breaks = self.breaks();
        if breaks && !self.keep_last {
            return Err(Self::broken());
        }
        let done = forward!(self, create_backfill(backfill));
        if breaks { Err(Self::broken()) } else { done }
    }

    async fn change_backfill(&self, change: BackfillChange) -> Result<bool> {
        let breaks = self.breaks();
        if breaks && !self.keep_last {
            return Err(Self::broken());
        }
        let done = forward!(self, change_backfill(change));
        if breaks { Err(Self::broken()) } else { done }
    }

    async fn backfills(&self, environment: &Environment) -> Result<Vec<BackfillRecord>> {
        forward!(self, backfills(environment))
    }

    async fn backfill(&self, environment: &Environment, number: u64) -> Result<BackfillRecord> {
        forward!(self, backfill(environment, number))
    }

    async fn backfill_intervals(
        &self,
        environment: &Environment,
        number: u64,
    ) -> Result<Vec<BackfillInterval>> {
        forward!(self, backfill_intervals(environment, number))
    }

    async fn backfill_events(
        &self,
        environment: &Environment,
        number: u64,
    ) -> Result<Vec<ScheduleEvent>> {
        forward!(self, backfill_events(environment, number))
    }

    async fn next_backfills(&self, environment: &Environment) -> Result<Vec<ScheduledInterval>> {
        forward!(self, next_backfills(environment))
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>> {
        forward!(self, runs(filter))
    }

    async fn events(
        &self,
        run: &RunName,
        environment: &Environment,
        after_seq: u64,
    ) -> Result<Vec<RunEvent>> {
        forward!(self, events(run, environment, after_seq))
    }

    async fn last_success(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        task: &TaskId,
    ) -> Result<Option<(RunName, TaskRecord)>> {
        forward!(self, last_success(environment, pipeline, task))
    }

    async fn generation(&self, task: &TaskKey) -> Result<Option<(RunName, Generation)>> {
        forward!(self, generation(task))
    }

    async fn reserve_generation(
        &self,
        task: &TaskKey,
        run: &RunName,
        generation: Generation,
    ) -> Result<()> {
        forward!(self, reserve_generation(task, run, generation))
    }

    async fn put_fact(
        &self,
        environment: &Environment,
        table: &str,
        fact: &TableFact,
    ) -> Result<()> {
        forward!(self, put_fact(environment, table, fact))
    }

    async fn facts(&self, environment: &Environment) -> Result<Vec<(String, TableFact)>> {
        forward!(self, facts(environment))
    }

    async fn put_checks(
        &self,
        run: &RunName,
        environment: &Environment,
        now_us: i64,
        results: &[CheckResult],
    ) -> Result<()> {
        forward!(self, put_checks(run, environment, now_us, results))
    }

    async fn checks(
        &self,
        environment: &Environment,
        table: Option<&TableName>,
        limit: u64,
    ) -> Result<Vec<(RunName, i64, CheckResult)>> {
        forward!(self, checks(environment, table, limit))
    }

    async fn put_lineage(
        &self,
        environment: &Environment,
        table: &TableName,
        lineage: &TableLineage,
    ) -> Result<()> {
        forward!(self, put_lineage(environment, table, lineage))
    }

    async fn lineage(&self, environment: &Environment) -> Result<Vec<(TableName, TableLineage)>> {
        forward!(self, lineage(environment))
    }

    async fn put_reported_notes(
        &self,
        environment: &Environment,
        about: &str,
        digests: &BTreeSet<String>,
    ) -> Result<()> {
        forward!(self, put_reported_notes(environment, about, digests))
    }

    async fn reported_notes(
        &self,
        environment: &Environment,
    ) -> Result<Vec<(String, BTreeSet<String>)>> {
        forward!(self, reported_notes(environment))
    }
}
