//! `ports::StateStore` over either database.
//!
//! Promise: each operation is one transaction, written once for both. It holds no state of its own, and
//! knows no SQL: that is in `runs.rs`, `tasks.rs`, `workers.rs`, `findings.rs`, `run_history.rs` and
//! `outbox.rs`. Read next: `store.rs`, `tx.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::Value;
use towpath_ports::{
    ApiStore, BackfillChange, BackfillInterval, BackfillRecord, BackfillState, IntervalRun,
    NewBackfill, NewRun, Opened, OutboxEvent, Result, RunEvent, RunFilter, RunRecord, RunState,
    RunStop, RunUpdate, RunUpdateResult, ScheduleEvent, ScheduleRecords, ScheduleUpdate,
    ScheduledInterval, StateStore, StopResult, StoredCheck, Subscription, TaskClaim, TaskRecord,
};
use towpath_vocab::{
    CheckResult, Environment, Generation, Interval, PipelineName, RunName, TableFact, TableLineage,
    TableName, TaskId, TaskKey,
};

use crate::error::StateError;
use crate::findings::{self, FACTS, LINEAGE, REPORTED_NOTES};
use crate::interval_runs::interval_runs;
use crate::postgres::Redo;
use crate::runs::Resumes;
use crate::store::{Store, dead};
use crate::tx::operation;
use crate::{
    backfill_runs, backfills, lost_runs, outbox, run_history, run_stops, runs, schedules,
    stop_requests, tasks, workers,
};

#[async_trait]
impl StateStore for Store {
    fn api(&self) -> &dyn ApiStore {
        self
    }

    async fn open_run(&self, run: NewRun) -> Result<Opened> {
        let (worker, run) = (run.worker.clone(), Arc::new(run));
        let liveness = self.liveness();
        let opening = operation!(tx, [run, liveness] => async {
            runs::open(tx, &run, Resumes::Any, &|worker| dead(&liveness, worker)).await
        });
        self.opening(&worker, opening).await
    }

    async fn graph(&self, hash: &str) -> Result<Option<Value>> {
        let hash = hash.to_owned();
        self.read(operation!(tx, [hash] => run_history::graph(tx, &hash)))
            .await
    }

    async fn advance(&self, advance: RunUpdate) -> Result<RunUpdateResult> {
        // A repeated operation finds its own events and reports them.
        let redo = match advance.after_seq {
            Some(_) => Redo::Harmless,
            None => Redo::Never,
        };
        let (advance, stale) = (Arc::new(advance), Arc::new(AtomicBool::new(false)));
        let advancing = operation!(tx, [advance, stale] => async {
            let advanced = tasks::advance(tx, &advance).await;
            stale.store(matches!(advanced, Err(StateError::Stale)), Ordering::Relaxed);
            advanced
        });
        match self.write(redo, advancing).await {
            Err(_) if stale.load(Ordering::Relaxed) => Ok(RunUpdateResult::Refused),
            advanced => advanced,
        }
    }

    async fn register(&self, worker: &str, lease_us: i64) -> Result<bool> {
        let fresh = self.show(worker)?;
        let (liveness, name) = (self.liveness(), worker.to_owned());
        let registering = operation!(tx, [liveness, name] => async {
            workers::register(tx, &name, lease_us, &|worker| dead(&liveness, worker)).await
        });
        let registered = self.write(Redo::Never, registering).await;
        if fresh && !matches!(registered, Ok(true)) {
            self.hide(worker);
        }
        registered
    }

    async fn claim_ready(&self, worker: &str, limit: u32) -> Result<Vec<TaskClaim>> {
        let worker = worker.to_owned();
        let claiming = operation!(tx, [worker] => tasks::claim_ready(tx, &worker, limit));
        self.write(Redo::Never, claiming).await
    }

    async fn renew(&self, worker: &str) -> Result<bool> {
        let worker = worker.to_owned();
        let renewing = operation!(tx, [worker] => workers::renew(tx, &worker));
        self.write(Redo::Harmless, renewing).await
    }

    async fn reap(&self) -> Result<u64> {
        let liveness = self.liveness();
        let reaping = operation!(tx, [liveness] => async {
            tasks::reap(tx, &|worker| dead(&liveness, worker)).await
        });
        let (count, lost) = self.write(Redo::Harmless, reaping).await?;
        if let Some(liveness) = self.liveness() {
            for worker in lost.iter().filter(|worker| !liveness.holds(worker)) {
                liveness.forget(worker);
            }
        }
        Ok(count)
    }

    async fn put_pools(&self, pools: &BTreeMap<String, u32>) -> Result<()> {
        let pools = pools.clone();
        let putting = operation!(tx, [pools] => async { tasks::put_pools(tx, &pools).await });
        self.write(Redo::Harmless, putting).await
    }

    async fn close_run(
        &self,
        run: &RunName,
        environment: &Environment,
        state: RunState,
        worker: &str,
        now_us: i64,
    ) -> Result<()> {
        let (run, environment, worker) = (run.clone(), environment.clone(), worker.to_owned());
        let closing = operation!(tx, [run, environment, worker] => async {
            runs::close(tx, &run, &environment, state, &worker, now_us).await
        });
        if let Some(idle) = self.write(Redo::Harmless, closing).await? {
            self.hide(&idle);
        }
        Ok(())
    }

    async fn request_stop(
        &self,
        run: &RunName,
        environment: &Environment,
        stop: &RunStop,
    ) -> Result<StopResult> {
        let (run, environment, stop) = (run.clone(), environment.clone(), stop.clone());
        let liveness = self.liveness();
        let writing = operation!(tx, [run, environment, stop, liveness] => async {
            let is_dead = |worker: &str| dead(&liveness, worker);
            run_stops::request(tx, &run, &environment, &stop, &is_dead).await
        });
        let (result, lost) = self.write(Redo::Harmless, writing).await?;
        if let (Some(lost), Some(liveness)) = (lost, self.liveness()) {
            liveness.forget(&lost);
        }
        Ok(result)
    }

    async fn stop_request(
        &self,
        run: &RunName,
        environment: &Environment,
    ) -> Result<Option<RunStop>> {
        let (run, environment) = (run.clone(), environment.clone());
        let reading = operation!(tx, [run, environment] => async {
            stop_requests::of(tx, &run, &environment).await
        });
        self.read(reading).await
    }

    async fn reopen(
        &self,
        run: &RunName,
        environment: &Environment,
        tasks: &[TaskId],
        now_us: i64,
    ) -> Result<RunRecord> {
        let (run, environment, tasks) = (run.clone(), environment.clone(), tasks.to_vec());
        let reopening = operation!(tx, [run, environment, tasks] => async {
            runs::reopen(tx, &run, &environment, &tasks, now_us).await
        });
        self.write(Redo::Harmless, reopening).await
    }

    async fn run(&self, run: &RunName, environment: &Environment) -> Result<Option<RunRecord>> {
        let (run, environment) = (run.clone(), environment.clone());
        let reading = operation!(tx, [run, environment] => async {
            run_history::run_by_name(tx, &run, &environment).await
        });
        self.read(reading).await
    }

    async fn is_live(&self, run: &RunRecord) -> Result<bool> {
        let (run, liveness) = (Arc::new(run.clone()), self.liveness());
        let reading = operation!(tx, [run, liveness] => async {
            runs::is_live(tx, &run, &|worker| dead(&liveness, worker)).await
        });
        self.read(reading).await
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<()> {
        let subscription = subscription.clone();
        let writing = operation!(tx, [subscription] => async {
            outbox::subscribe(tx, &subscription).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn forget_subscribers(&self, begin: &str, unused_us: i64) -> Result<()> {
        let begin = begin.to_owned();
        let writing = operation!(tx, [begin] => async {
            outbox::forget(tx, &begin, unused_us).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn outbox_counts(&self) -> Result<Vec<(String, u64)>> {
        self.read(operation!(tx, [] => outbox::counts(tx))).await
    }

    async fn ended_before(
        &self,
        run: &RunName,
        environment: &Environment,
        seq: u64,
    ) -> Result<Option<RunState>> {
        let (run, environment) = (run.clone(), environment.clone());
        let reading = operation!(tx, [run, environment] => async {
            run_history::ended_before(tx, &run, &environment, seq).await
        });
        self.read(reading).await
    }

    async fn last_succeeded(
        &self,
        pipeline: &PipelineName,
        environment: &Environment,
    ) -> Result<Option<i64>> {
        let (pipeline, environment) = (pipeline.clone(), environment.clone());
        let reading = operation!(tx, [pipeline, environment] => async {
            run_history::last_succeeded(tx, &pipeline, &environment).await
        });
        self.read(reading).await
    }

    async fn take_duty(&self, name: &str, holder: &str, for_us: i64) -> Result<bool> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let writing = operation!(tx, [name, holder] => async {
            outbox::take_duty(tx, &name, &holder, for_us).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn leave_duty(&self, name: &str, holder: &str) -> Result<()> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let writing = operation!(tx, [name, holder] => async {
            outbox::leave_duty(tx, &name, &holder).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn outbox(&self, subscriber: &str, limit: u64) -> Result<Vec<OutboxEvent>> {
        let subscriber = subscriber.to_owned();
        let reading = operation!(tx, [subscriber] => async {
            outbox::waiting(tx, &subscriber, limit).await
        });
        self.read(reading).await
    }

    async fn delivered(&self, subscriber: &str, ids: &[u64]) -> Result<()> {
        let (subscriber, ids) = (subscriber.to_owned(), ids.to_vec());
        let writing = operation!(tx, [subscriber, ids] => async {
            outbox::delivered(tx, &subscriber, &ids).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn append_event(
        &self,
        run: &RunName,
        environment: &Environment,
        event: RunEvent,
    ) -> Result<()> {
        let (run, environment) = (run.clone(), environment.clone());
        let writing = operation!(tx, [run, environment, event] => async {
            runs::append_event(tx, &run, &environment, &event).await
        });
        self.write(Redo::Never, writing).await
    }

    async fn schedules(&self, environment: &Environment) -> Result<ScheduleRecords> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            schedules::list(tx, &environment).await
        });
        self.read(reading).await
    }

    async fn update_schedule(&self, update: ScheduleUpdate) -> Result<bool> {
        let update = Arc::new(update);
        let writing = operation!(tx, [update] => async { schedules::update(tx, &update).await });
        // Done again it finds its own fence and says that another one was quicker: nothing is lost.
        self.write(Redo::Harmless, writing).await
    }

    async fn schedule_events(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
    ) -> Result<Vec<ScheduleEvent>> {
        let (environment, pipeline) = (environment.clone(), pipeline.clone());
        let reading = operation!(tx, [environment, pipeline] => async {
            schedules::events(tx, &environment, &pipeline).await
        });
        self.read(reading).await
    }

    async fn scheduled_intervals(
        &self,
        environment: &Environment,
        pipeline: Option<&PipelineName>,
        limit: u64,
    ) -> Result<Vec<ScheduledInterval>> {
        let (environment, pipeline) = (environment.clone(), pipeline.cloned());
        let reading = operation!(tx, [environment, pipeline] => async {
            schedules::intervals(tx, &environment, pipeline.as_ref(), limit).await
        });
        self.read(reading).await
    }

    async fn interval_runs(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        range: Interval,
    ) -> Result<Vec<IntervalRun>> {
        let (environment, pipeline) = (environment.clone(), pipeline.clone());
        let liveness = self.liveness();
        let reading = operation!(tx, [environment, pipeline, liveness] => async {
            let is_dead = |worker: &str| dead(&liveness, worker);
            interval_runs(tx, &environment, &pipeline, range, &is_dead).await
        });
        self.read(reading).await
    }

    async fn lost_processes(&self, run: &RunName, environment: &Environment) -> Result<u64> {
        let (run, environment, liveness) = (run.clone(), environment.clone(), self.liveness());
        let reading = operation!(tx, [run, environment, liveness] => async {
            let is_dead = |worker: &str| dead(&liveness, worker);
            lost_runs::lost_processes_of(tx, &run, &environment, &is_dead).await
        });
        self.read(reading).await
    }

    async fn create_backfill(&self, backfill: NewBackfill) -> Result<u64> {
        // What nobody runs any more is free for this one.
        self.end_cancelled_runs(&backfill.environment).await?;
        let (backfill, liveness) = (Arc::new(backfill), self.liveness());
        let writing = operation!(tx, [backfill, liveness] => async {
            backfills::create(tx, &backfill, &|worker| dead(&liveness, worker)).await
        });
        // Done again after an unknown end, all that waits already is skipped.
        self.write(Redo::Never, writing).await
    }

    async fn change_backfill(&self, change: BackfillChange) -> Result<bool> {
        let change = Arc::new(change);
        let writing = operation!(tx, [change] => async { backfills::change(tx, &change).await });
        let changed = self.write(Redo::Harmless, writing).await?;
        if change.state == BackfillState::Cancelled {
            // In a transaction of its own: runs are locked before backfills.
            self.end_cancelled_runs(&change.environment).await?;
        }
        Ok(changed)
    }

    async fn end_cancelled_runs(&self, environment: &Environment) -> Result<u64> {
        let (environment, liveness) = (environment.clone(), self.liveness());
        let reading = operation!(tx, [environment, liveness] => async {
            lost_runs::not_resumed(tx, &environment, &|worker| dead(&liveness, worker)).await
        });
        // Almost always there is none, and nothing is to be written.
        if self.read(reading).await?.is_empty() {
            return Ok(0);
        }
        let writing = operation!(tx, [environment, liveness] => async {
            lost_runs::end_cancelled(tx, &environment, &|worker| dead(&liveness, worker)).await
        });
        let lost = self.write(Redo::Harmless, writing).await?;
        if let Some(liveness) = self.liveness() {
            lost.iter().for_each(|worker| liveness.forget(worker));
        }
        Ok(lost.len() as u64)
    }

    async fn backfills(&self, environment: &Environment) -> Result<Vec<BackfillRecord>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            backfills::list(tx, &environment, None).await
        });
        self.read(reading).await
    }

    async fn backfill(&self, environment: &Environment, number: u64) -> Result<BackfillRecord> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            backfills::one(tx, &environment, number).await
        });
        self.read(reading).await
    }

    async fn backfill_intervals(
        &self,
        environment: &Environment,
        number: u64,
    ) -> Result<Vec<BackfillInterval>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            backfills::intervals(tx, &environment, number).await
        });
        self.read(reading).await
    }

    async fn backfill_events(
        &self,
        environment: &Environment,
        number: u64,
    ) -> Result<Vec<ScheduleEvent>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            backfills::events(tx, &environment, number).await
        });
        self.read(reading).await
    }

    async fn next_backfills(&self, environment: &Environment) -> Result<Vec<ScheduledInterval>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            backfill_runs::next(tx, &environment).await
        });
        self.read(reading).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>> {
        let reading = operation!(tx, [filter] => async { run_history::runs(tx, &filter).await });
        self.read(reading).await
    }

    async fn events(
        &self,
        run: &RunName,
        environment: &Environment,
        after_seq: u64,
    ) -> Result<Vec<RunEvent>> {
        let (run, environment) = (run.clone(), environment.clone());
        let reading = operation!(tx, [run, environment] => async {
            run_history::events(tx, &run, &environment, after_seq, u64::MAX).await
        });
        self.read(reading).await
    }

    async fn last_success(
        &self,
        environment: &Environment,
        pipeline: &PipelineName,
        task: &TaskId,
    ) -> Result<Option<(RunName, TaskRecord)>> {
        let (environment, pipeline, task) = (environment.clone(), pipeline.clone(), task.clone());
        let reading = operation!(tx, [environment, pipeline, task] => async {
            run_history::last_success(tx, &environment, &pipeline, &task).await
        });
        self.read(reading).await
    }

    async fn generation(&self, task: &TaskKey) -> Result<Option<(RunName, Generation)>> {
        let task = task.clone();
        let reading = operation!(tx, [task] => async { findings::generation(tx, &task).await });
        self.read(reading).await
    }

    async fn reserve_generation(
        &self,
        task: &TaskKey,
        run: &RunName,
        generation: Generation,
    ) -> Result<()> {
        let (task, run) = (task.clone(), run.clone());
        let writing = operation!(tx, [task, run] => async {
            findings::reserve_generation(tx, &task, &run, generation).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn put_fact(
        &self,
        environment: &Environment,
        table: &str,
        fact: &TableFact,
    ) -> Result<()> {
        let (environment, table, fact) = (environment.clone(), table.to_owned(), fact.clone());
        let writing = operation!(tx, [environment, table, fact] => async {
            FACTS.put(tx, &environment, &table, &fact).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn facts(&self, environment: &Environment) -> Result<Vec<(String, TableFact)>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async { FACTS.list(tx, &environment).await });
        self.read(reading).await
    }

    async fn put_checks(
        &self,
        run: &RunName,
        environment: &Environment,
        now_us: i64,
        results: &[CheckResult],
    ) -> Result<()> {
        let (run, environment, results) = (run.clone(), environment.clone(), results.to_vec());
        let writing = operation!(tx, [run, environment, results] => async {
            findings::put_checks(tx, &run, &environment, now_us, &results).await
        });
        self.write(Redo::Never, writing).await
    }

    async fn checks(
        &self,
        environment: &Environment,
        table: Option<&TableName>,
        limit: u64,
    ) -> Result<Vec<(RunName, i64, CheckResult)>> {
        let (environment, table) = (environment.clone(), table.cloned());
        let reading = operation!(tx, [environment, table] => async {
            findings::checks(tx, &environment, table.as_ref(), (None, limit)).await
        });
        let found: Vec<StoredCheck> = self.read(reading).await?;
        let found = found.into_iter();
        Ok(found.map(|one| (one.run, one.at_us, one.result)).collect())
    }

    async fn put_lineage(
        &self,
        environment: &Environment,
        table: &TableName,
        lineage: &TableLineage,
    ) -> Result<()> {
        let (environment, table) = (environment.clone(), table.to_string());
        let lineage = lineage.clone();
        let writing = operation!(tx, [environment, table, lineage] => async {
            LINEAGE.put(tx, &environment, &table, &lineage).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn lineage(&self, environment: &Environment) -> Result<Vec<(TableName, TableLineage)>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            let all = LINEAGE.list::<TableLineage>(tx, &environment).await?;
            all.into_iter()
                .map(|(name, lineage)| Ok((findings::table_name(&name)?, lineage)))
                .collect()
        });
        self.read(reading).await
    }

    async fn put_reported_notes(
        &self,
        environment: &Environment,
        about: &str,
        digests: &BTreeSet<String>,
    ) -> Result<()> {
        let (environment, about) = (environment.clone(), about.to_owned());
        let digests = digests.clone();
        let writing = operation!(tx, [environment, about, digests] => async {
            REPORTED_NOTES.put(tx, &environment, &about, &digests).await
        });
        self.write(Redo::Harmless, writing).await
    }

    async fn reported_notes(
        &self,
        environment: &Environment,
    ) -> Result<Vec<(String, BTreeSet<String>)>> {
        let environment = environment.clone();
        let reading =
            operation!(tx, [environment] => async { REPORTED_NOTES.list(tx, &environment).await });
        self.read(reading).await
    }
}
