//! Seeded servers at once on one state store, on both databases: they decide, drive runs and die at any moment, their
//! store breaks before or after a change, the next interval stops the run before it, a user cancels runs, and runs
//! miss their deadlines. Whatever happens, each interval has one good run or a recorded reason, a run that was asked
//! to stop begins nothing and is not resumed, and no run outlives its deadline or the next interval.
//! `TOWPATH_SEEDS` asks for more seeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    Clock, Interval, IntervalState, NewRun, Opened, Result, RunEvent, RunEventKind, RunFilter,
    RunRecord, RunState, RunStop, SkipReason, StateStore, StopReason, System, TaskRecord,
    TaskState,
};
use towpath_schedule::Timetable;
use towpath_testkit::SimulatedSystem;
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{
    Catchup, DstGap, DstOverlap, Failure, Overlap, PlannedPipeline, PlannedTask, Recurrence,
    Remedy, SchedulePlan, TaskId,
};

use crate::fixture::{LEASE_US, SimulatedStateStore, new_run, retry};
use crate::run_tests::chain;
use crate::{AttemptSuccess, RunSetup, ScheduledPipeline, Scheduler, TaskExecutor, drive};

const INTERVALS: i64 = 10;
const EVERY_US: i64 = 60_000_000;
const DEADLINE_MS: u64 = 45_000;
const GRACE: Duration = Duration::from_secs(5);
/// How late a run may end after something that ends it: a look at the schedules, at the request, the grace period.
const SLACK_US: i64 = 30_000_000;

fn seeds() -> u64 {
    let asked = std::env::var("TOWPATH_SEEDS").ok();
    asked.map_or(30, |text| text.parse::<u64>().unwrap() / 5)
}

/// How often something happened, so that the simulation itself does not go soft.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    deaths: u64,
    broken: u64,
    by_user: u64,
    replaced: u64,
    late: u64,
    well: u64,
}

/// Tasks that take up to a minute; half of them do not stop when they are asked.
struct TestExecutor {
    system: SimulatedSystem,
    alive: Arc<Mutex<HashMap<TaskId, u64>>>,
}

struct Alive(Arc<Mutex<HashMap<TaskId, u64>>>, TaskId);

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.lock().unwrap().get_mut(&self.1).unwrap() -= 1;
    }
}

#[async_trait]
impl TaskExecutor for TestExecutor {
    async fn execute(
        &self,
        task: &PlannedTask,
        _attempt: u32,
        cancel: CancellationToken,
    ) -> Result<AttemptSuccess> {
        let count = {
            let mut alive = self.alive.lock().unwrap();
            let count = alive.entry(task.id.clone()).or_default();
            *count += 1;
            *count
        };
        let _alive = Alive(Arc::clone(&self.alive), task.id.clone());
        assert_eq!(count, 1, "{} runs twice at once", task.id);
        let takes = Duration::from_millis(self.system.random() % 60_000);
        if self.system.random().is_multiple_of(2) {
            self.system.sleep(takes).await;
            return Ok(AttemptSuccess::default());
        }
        tokio::select! {
            () = self.system.sleep(takes) => Ok(AttemptSuccess::default()),
            () = cancel.cancelled() => Err(Failure::new("X", Remedy::Cancelled, "stopped")),
        }
    }
}

struct Simulation {
    seed: u64,
    at: PathBuf,
    system: SimulatedSystem,
    graph: PlannedPipeline,
    scheduled: ScheduledPipeline,
    executor: Arc<TestExecutor>,
    deaths: AtomicU64,
    broken: AtomicU64,
}

impl Simulation {
    fn new(seed: u64, at: &Path) -> Self {
        let system = SimulatedSystem::new(seed);
        let mut graph = chain(2, retry(1));
        graph.name = format!("p{seed}").as_str().into();
        let start_us = system.now_us();
        let policies = [
            Overlap::CancelRunning,
            Overlap::TerminateRunning,
            Overlap::KeepLatest,
        ];
        let plan = SchedulePlan {
            recurrence: Recurrence::EveryMs(EVERY_US.unsigned_abs() / 1000),
            timezone: "UTC".to_owned(),
            start_us: Some(start_us),
            end_us: Some(start_us + INTERVALS * EVERY_US),
            catchup: Catchup::Latest,
            overlap: policies[usize::try_from(seed % 3).unwrap()],
            deadline_ms: seed.is_multiple_of(2).then_some(DEADLINE_MS),
            dst_gap: DstGap::Shift,
            dst_overlap: DstOverlap::First,
        };
        let scheduled = ScheduledPipeline {
            pipeline: graph.name.clone(),
            environment: "dev".into(),
            table: Timetable::new(&plan).unwrap(),
            plan,
        };
        let executor = TestExecutor {
            system: system.clone(),
            alive: Arc::default(),
        };
        Self {
            seed,
            at: at.to_owned(),
            system,
            graph,
            scheduled,
            executor: Arc::new(executor),
            deaths: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        }
    }

    fn chance(&self, of: u64) -> bool {
        self.system.random().is_multiple_of(of)
    }

    async fn sleep(&self, most_s: u64) {
        let length = Duration::from_millis(self.system.random() % (most_s * 1000) + 1);
        self.system.sleep(length).await;
    }

    /// One server after another, until all intervals have ended.
    async fn servers(&self, slot: u32) {
        for process in 0.. {
            assert!(process < 200, "seed {}: no end in sight", self.seed);
            let worker = format!("s{}.{slot}.{process}", self.seed);
            let breaks = match process < 6 && self.chance(3) {
                true => (self.system.random() % 20).cast_signed(),
                false => -1,
            };
            let kept = self.chance(2);
            let store = SimulatedStateStore::breaking(&self.at, &self.system, breaks, kept);
            let life = Duration::from_secs(self.system.random() % 300);
            let served = tokio::select! {
                served = self.serve(&store, &worker) => served,
                () = self.system.sleep(life), if process < 6 => {
                    self.deaths.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            };
            match served {
                Ok(()) => return,
                // Its store broke, or it was too slow for its lease.
                Err(failure) if ["R0899", "R0706"].contains(&failure.code.as_str()) => {
                    self.broken.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure) => panic!("seed {}: {failure:?}", self.seed),
            }
        }
    }

    async fn serve(&self, store: &Arc<SimulatedStateStore>, worker: &str) -> Result<()> {
        let mut scheduler = Scheduler::new(
            Arc::clone(store) as _,
            "dev".into(),
            vec![self.scheduled.clone()],
        );
        loop {
            let tick = scheduler.tick().await?;
            if let Some(failure) = tick.failures.into_iter().next() {
                return Err(failure);
            }
            let mut ours = tick.next.into_iter();
            let ours = ours.find(|one| one.pipeline == self.graph.name);
            let Some(next) = ours else {
                if self.is_done(store).await {
                    return Ok(());
                }
                self.sleep(5).await;
                continue;
            };
            let new = NewRun {
                interval: Some(next.interval),
                scheduled: true,
                deadline_ms: self.scheduled.plan.deadline_ms,
                ..new_run(&self.graph, worker)
            };
            match store.open_run(new).await? {
                Opened::New(record) | Opened::Resumed(record) => {
                    // A server decides while its runs go on.
                    let decides = async {
                        loop {
                            self.sleep(5).await;
                            if let Err(failure) = scheduler.tick().await {
                                return failure;
                            }
                        }
                    };
                    // Reading what it needs takes a run a while.
                    if self.chance(2) {
                        self.sleep(3).await;
                    }
                    let name = record.name.clone();
                    let record = match self.chance(2) {
                        true => store.run(&name, &record.environment).await?.unwrap(),
                        false => record,
                    };
                    tokio::select! {
                        ended = self.drive(store, record, worker) => ended?,
                        failure = decides => return Err(failure),
                    }
                }
                Opened::Busy(_) => self.sleep(5).await,
                Opened::Decided | Opened::GivenUp(_) => {}
            }
        }
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
            grace: GRACE,
            observer: Arc::new(observer),
        };
        drive(setup).await.map(|_| ())
    }

    async fn runs(&self, store: &Arc<SimulatedStateStore>) -> Vec<RunRecord> {
        let filter = RunFilter {
            pipeline: Some(self.graph.name.clone()),
            ..RunFilter::default()
        };
        store.runs(filter).await.unwrap()
    }

    /// A user who cancels what runs, now and then, whether its process lives or not.
    async fn user(&self) {
        for _ in 0..3 {
            self.sleep(200).await;
            let breaks = if self.chance(3) { 0 } else { -1 };
            let kept = self.chance(2);
            let store = SimulatedStateStore::breaking(&self.at, &self.system, breaks, kept);
            let newest = self.runs(&store).await.into_iter().next();
            let Some(run) = newest.filter(|run| run.state == RunState::Running) else {
                continue;
            };
            let stop = RunStop {
                why: StopReason::User,
                at_once: self.chance(2),
                by: Some("ann".to_owned()),
            };
            // If the store breaks, it may have kept the request.
            let _ = store.request_stop(&run.name, &run.environment, &stop).await;
        }
    }

    async fn is_done(&self, store: &Arc<SimulatedStateStore>) -> bool {
        let found = store.schedules(&"dev".into()).await.unwrap();
        let mut ours = found.schedules.into_iter();
        let ours = ours.find(|one| one.pipeline == self.graph.name);
        ours.is_some_and(|one| {
            Some(one.decided_us) == self.scheduled.plan.end_us && one.open.is_empty()
        })
    }

    async fn check(&self) -> Tally {
        let store = SimulatedStateStore::open(&self.at, &self.system);
        let runs = self.runs(&store).await;
        let mut tally = Tally {
            deaths: self.deaths.load(Ordering::Relaxed),
            broken: self.broken.load(Ordering::Relaxed),
            ..Tally::default()
        };
        for run in &runs {
            let events = store.events(&run.name, &run.environment, 0).await.unwrap();
            self.check_run(run, &events);
            tally.late += u64::from(self.is_late(run));
            tally.well += u64::from(run.state == RunState::Succeeded);
        }
        let name = Some(&self.graph.name);
        let found = store.scheduled_intervals(&"dev".into(), name, 1000).await;
        let mut found = found.unwrap();
        found.reverse();
        let mut end_us = self.scheduled.plan.start_us.unwrap();
        for one in &found {
            assert_eq!(one.interval.start_us, end_us, "seed {}: a hole", self.seed);
            end_us = one.interval.end_us;
            let run = runs.iter().find(|run| Some(&run.name) == one.run.as_ref());
            let state = run.map(|run| run.state);
            match (one.state, one.reason) {
                (IntervalState::Succeeded, None) => assert_eq!(state, Some(RunState::Succeeded)),
                (IntervalState::Failed, None) => assert_eq!(state, Some(RunState::Failed)),
                (IntervalState::Skipped, Some(SkipReason::Cancelled)) => {
                    assert_eq!(state, Some(RunState::Cancelled));
                    tally.by_user += 1;
                }
                (IntervalState::Skipped, Some(SkipReason::Replaced)) => {
                    assert_eq!(state, Some(RunState::Cancelled));
                    assert_ne!(self.scheduled.plan.overlap, Overlap::KeepLatest);
                    assert!(Some(end_us) < self.scheduled.plan.end_us);
                    tally.replaced += 1;
                }
                (IntervalState::Skipped, Some(SkipReason::Newer | SkipReason::Missed)) => {
                    assert_eq!(state, None);
                }
                other => panic!("seed {}: {other:?} {one:?}", self.seed),
            }
        }
        assert_eq!(Some(end_us), self.scheduled.plan.end_us);
        let mut well: HashMap<Interval, u64> = HashMap::new();
        for run in runs.iter().filter(|run| run.state == RunState::Succeeded) {
            *well.entry(run.interval.unwrap()).or_default() += 1;
        }
        assert!(well.values().all(|count| *count == 1), "seed {}", self.seed);
        tally
    }

    fn is_late(&self, run: &RunRecord) -> bool {
        let late = |task: &TaskRecord| {
            let failure = task.failure.as_ref();
            failure.is_some_and(|failure| failure.code == "R0716")
        };
        run.tasks.iter().any(late)
    }

    fn check_run(&self, run: &RunRecord, events: &[RunEvent]) {
        let seed = self.seed;
        assert_ne!(run.state, RunState::Running, "seed {seed}: {run:?}");
        let lost = |task: &TaskRecord| {
            let failure = task.failure.as_ref();
            failure.is_some_and(|failure| failure.code == "R0814")
        };
        let why = self.is_late(run) || run.tasks.iter().any(lost);
        // One that was late and whose process died while it stopped may end by a request.
        let by_request = why && run.stop.is_some() && run.state == RunState::Cancelled;
        let as_it_should = by_request || (run.state == RunState::Failed) == why;
        assert!(as_it_should, "seed {seed}: {run:?}");
        let asked = events
            .iter()
            .position(|one| one.kind == RunEventKind::StopRequested);
        assert_eq!(asked.is_some(), run.stop.is_some(), "seed {seed}");
        for event in events.iter().skip(asked.unwrap_or(events.len())) {
            let begins = [
                RunEventKind::RunResumed,
                RunEventKind::Task(TaskState::Running),
            ];
            assert!(!begins.contains(&event.kind), "seed {seed}: {event:?}");
        }
        let ended_us = run.ended_us.unwrap();
        let is_resumed = events
            .iter()
            .any(|one| one.kind == RunEventKind::RunResumed);
        if is_resumed {
            return;
        }
        if let Some(at_us) = run.deadline_us {
            assert!(ended_us <= at_us + SLACK_US, "seed {seed}: {run:?}");
        }
        // The process of a run that nobody went on with may have been dead for a while.
        if self.scheduled.plan.overlap != Overlap::KeepLatest && run.stop.is_none() {
            // After the last interval nothing stops it.
            let next_us = self.scheduled.table.next(run.started_us);
            let in_time = next_us.is_none_or(|next| ended_us <= next + SLACK_US);
            assert!(in_time, "seed {seed}: {run:?}");
        }
    }
}

async fn play(seeds: u64, at: impl Fn(u64) -> PathBuf) {
    let mut all = Tally::default();
    for seed in 0..seeds {
        let simulation = Simulation::new(seed, &at(seed));
        let both = async {
            tokio::join!(
                simulation.servers(0),
                simulation.servers(1),
                simulation.user()
            )
        };
        Box::pin(simulation.system.run(both)).await;
        let one = simulation.check().await;
        all.deaths += one.deaths;
        all.broken += one.broken;
        all.by_user += one.by_user;
        all.replaced += one.replaced;
        all.late += one.late;
        all.well += one.well;
    }
    let soft = all.deaths < seeds
        || all.broken < seeds / 3
        || all.by_user < seeds / 3
        || all.replaced < seeds / 3
        || all.late < seeds / 3
        || all.well < seeds;
    assert!(!soft, "the simulation is too easy: {all:?}");
}

#[tokio::test]
async fn runs_that_are_to_stop_do_so_on_sqlite() {
    // Nothing here is to outlive a power cut: memory answers faster than a disk.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let at = |seed| folder.path().join(format!("{seed}.db"));
    Box::pin(play(seeds(), at)).await;
}

#[tokio::test]
async fn runs_that_are_to_stop_do_so_on_postgres() {
    let quick = [("fsync", "off"), ("synchronous_commit", "off")];
    let server = PostgresServer::start_with(&quick).unwrap();
    let url = PathBuf::from(server.url("postgres"));
    Box::pin(play(seeds() / 5, |_| url.clone())).await;
}
