//! Seeded schedulers at once on one state store, on both databases: they die at any moment, their store
//! breaks before or after a change, its clock jumps in both directions, a user pauses the schedule now and then,
//! and others ask for intervals of the past and of the schedule, pause that and cancel it. Whatever happens, no
//! interval is run twice to its good end, none is left out, none is left running, and no run begins in a pause
//! or after a cancel. `TOWPATH_SEEDS` asks for more seeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use towpath_ports::{
    BackfillChange, BackfillOrder, BackfillPlan, BackfillState, Clock, Interval, IntervalState,
    NewBackfill, NewRun, OnExisting, Opened, Result, RunFilter, RunRecord, RunState, SchedulePause,
    ScheduleRecord, ScheduledInterval, StateStore, System, TaskRecord,
};
use towpath_schedule::Timetable;
use towpath_testkit::SimulatedSystem;
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{
    Catchup, DstGap, DstOverlap, Overlap, PlannedPipeline, Recurrence, SchedulePlan, TriggerRule,
};

use crate::fixture::{SimulatedStateStore, new_run, pipeline, retry, task};
use crate::{ScheduledPipeline, Scheduler, pause, resume};

const INTERVALS: i64 = 12;
const EVERY_US: i64 = 1_800_000_000;
/// Intervals before those of the schedule that backfills want.
const PAST: i64 = 3;
/// Intervals of the schedule that backfills want, too.
const SHARED: i64 = 5;
/// How many users ask for backfills.
const USERS: u64 = 2;

fn seeds() -> u64 {
    let asked = std::env::var("TOWPATH_SEEDS").ok();
    asked.map_or(20, |text| text.parse::<u64>().unwrap() / 5)
}

struct Simulation {
    seed: u64,
    at: PathBuf,
    system: SimulatedSystem,
    graph: PlannedPipeline,
    scheduled: ScheduledPipeline,
    resumed: AtomicU64,
    broken: AtomicU64,
    deaths: AtomicU64,
    /// Odd while a user knows that the schedule is paused.
    paused: AtomicU64,
    /// The same of each backfill; one that its user has cancelled stays odd.
    held: Mutex<BTreeMap<u64, u64>>,
    /// How many users of backfills do nothing more.
    asked: AtomicU64,
    cancelled: AtomicU64,
    given_up: AtomicU64,
}

impl Simulation {
    fn new(seed: u64, at: &Path) -> Self {
        let system = SimulatedSystem::new(seed);
        let task = task(0, &[], TriggerRule::AllSuccess, retry(0));
        let mut graph = pipeline(vec![task], 1);
        graph.name = format!("p{seed}").as_str().into();
        let start_us = system.now_us();
        let plan = SchedulePlan {
            recurrence: Recurrence::EveryMs(EVERY_US.unsigned_abs() / 1000),
            timezone: "UTC".to_owned(),
            start_us: Some(start_us),
            end_us: Some(start_us + INTERVALS * EVERY_US),
            catchup: Catchup::All,
            overlap: Overlap::Queue,
            deadline_ms: None,
            dst_gap: DstGap::Shift,
            dst_overlap: DstOverlap::First,
        };
        let scheduled = ScheduledPipeline {
            pipeline: graph.name.clone(),
            environment: "dev".into(),
            table: Timetable::new(&plan).unwrap(),
            plan,
        };
        Self {
            seed,
            at: at.to_owned(),
            system,
            graph,
            scheduled,
            resumed: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            deaths: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            held: Mutex::default(),
            asked: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        }
    }

    fn chance(&self, of: u64) -> bool {
        self.system.random().is_multiple_of(of)
    }

    async fn sleep(&self, most_s: u64) {
        let length = Duration::from_millis(self.system.random() % (most_s * 1000) + 1);
        self.system.sleep(length).await;
    }

    /// One scheduler after another, until all intervals have ended.
    async fn schedulers(&self, slot: u32) {
        for process in 0.. {
            assert!(process < 100, "seed {}: no end in sight", self.seed);
            let worker = format!("s{}.{slot}.{process}", self.seed);
            let breaks = match process < 8 && self.chance(2) {
                true => (self.system.random() % 6).cast_signed(),
                false => -1,
            };
            let kept = self.chance(2);
            let store = SimulatedStateStore::breaking(&self.at, &self.system, breaks, kept);
            let life = Duration::from_secs(self.system.random() % 4000);
            let served = tokio::select! {
                served = self.serve(&store, &worker) => served,
                () = self.system.sleep(life), if process < 8 => {
                    self.deaths.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            };
            match served {
                Ok(()) => return,
                Err(failure) if failure.code == "R0899" => {
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
            if self.chance(25) {
                let by_s = (self.system.random() % 2400).cast_signed() - 1200;
                self.system.skew(by_s * 1_000_000);
            }
            let mut tick = scheduler.tick().await?;
            if let Some(failure) = tick.failures.pop() {
                if self.chance(2) {
                    return Err(failure);
                }
                self.broken.fetch_add(1, Ordering::Relaxed);
            }
            let ours = |one: &ScheduledInterval| one.pipeline == self.graph.name;
            let mut next: Vec<_> = tick.next.into_iter().filter(ours).collect();
            let Some(next) = (!next.is_empty()).then(|| {
                let which = self.system.random() % next.len() as u64;
                next.remove(usize::try_from(which).unwrap())
            }) else {
                if self.is_done(store).await {
                    return Ok(());
                }
                self.sleep(400).await;
                continue;
            };
            let new = NewRun {
                interval: Some(next.interval),
                scheduled: true,
                backfill: next.backfill,
                ..new_run(&self.graph, worker)
            };
            let pauses = || match next.backfill {
                None => self.paused.load(Ordering::SeqCst),
                Some(number) => *self.held.lock().unwrap().entry(number).or_default(),
            };
            let paused = pauses();
            let opened = store.open_run(new).await?;
            if matches!(opened, Opened::New(_) | Opened::Resumed(_)) {
                let still = pauses() == paused;
                assert!(
                    !(still && paused % 2 == 1),
                    "seed {}: in a pause",
                    self.seed
                );
            }
            match opened {
                Opened::New(record) => self.work(store, record, worker).await?,
                Opened::Resumed(record) => {
                    assert_eq!(record.interval, Some(next.interval));
                    self.resumed.fetch_add(1, Ordering::Relaxed);
                    self.work(store, record, worker).await?;
                }
                Opened::Busy(_) => self.sleep(60).await,
                Opened::Decided => {}
                Opened::GivenUp(record) => {
                    assert_eq!(record.state, RunState::Failed);
                    self.given_up.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// A user who pauses the schedule now and then, and lets it go on.
    async fn user(&self) {
        for _ in 0..self.system.random() % 4 {
            self.sleep(7200).await;
            let breaks = if self.chance(2) { 0 } else { -1 };
            let kept = self.chance(2);
            let store = SimulatedStateStore::breaking(&self.at, &self.system, breaks, kept);
            let minutes = (self.system.random() % 60).cast_signed();
            let until = self.chance(3).then_some(minutes * 60_000_000 + 1);
            if self.pauses(&store, until).await && until.is_none() {
                self.paused.fetch_add(1, Ordering::SeqCst);
            }
            self.sleep(3600).await;
            let paused = self.paused.load(Ordering::SeqCst);
            self.paused.store(paused + paused % 2, Ordering::SeqCst);
            let store = SimulatedStateStore::open(&self.at, &self.system);
            while !self.resumes(&store).await {}
        }
    }

    /// The intervals of the backfills, of which the last ones are those of the schedule.
    fn wanted(&self) -> Vec<Interval> {
        let start_us = self.scheduled.plan.start_us.unwrap();
        let wanted = (-PAST..SHARED).map(|number| Interval {
            start_us: start_us + number * EVERY_US,
            end_us: start_us + (number + 1) * EVERY_US,
        });
        wanted.collect()
    }

    /// A user who asks for all of these intervals twice, and cancels what he asked for first: what that gives up,
    /// the other one has.
    async fn asks_twice(&self) {
        self.sleep(3000).await;
        let first = self.creates(self.wanted()).await;
        let second = self.creates(self.wanted()).await;
        self.sleep(900).await;
        self.changes(first, BackfillState::Cancelled).await;
        self.cancelled.fetch_add(1, Ordering::Relaxed);
        self.pauses_backfill(second).await;
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// A user who asks for some of these intervals until the store says that it has them, pauses that, cancels
    /// it or lets it go on, and asks again.
    async fn asks(&self) {
        self.sleep(9000).await;
        for _ in 0..2 {
            let mut intervals = self.wanted();
            let first = self.system.random() % intervals.len() as u64;
            intervals.drain(..usize::try_from(first).unwrap());
            let number = self.creates(intervals).await;
            for _ in 0..2 {
                self.sleep(1500).await;
                if self.chance(3) {
                    self.changes(number, BackfillState::Cancelled).await;
                    self.cancelled.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                self.pauses_backfill(number).await;
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    async fn pauses_backfill(&self, number: u64) {
        self.changes(number, BackfillState::Paused).await;
        self.sleep(1500).await;
        self.changes(number, BackfillState::Active).await;
    }

    async fn creates(&self, intervals: Vec<Interval>) -> u64 {
        loop {
            let breaks = if self.chance(2) { 0 } else { -1 };
            let kept = self.chance(2);
            let store = SimulatedStateStore::breaking(&self.at, &self.system, breaks, kept);
            let new = NewBackfill {
                pipeline: self.graph.name.clone(),
                environment: "dev".into(),
                plan: BackfillPlan {
                    range: Interval {
                        start_us: intervals[0].start_us,
                        end_us: intervals[intervals.len() - 1].end_us,
                    },
                    timezone: "UTC".to_owned(),
                    every_ms: None,
                    order: BackfillOrder::Oldest,
                    on_existing: OnExisting::RerunFailed,
                },
                by: "user".to_owned(),
                intervals: intervals.iter().map(|one| (*one, None)).collect(),
            };
            if let Ok(number) = store.create_backfill(new).await {
                return number;
            }
            self.sleep(600).await;
        }
    }

    /// A user changes a backfill and knows that it is changed.
    async fn changes(&self, number: u64, state: BackfillState) {
        let hold = |odd: bool| {
            let mut held = self.held.lock().unwrap();
            let count = held.entry(number).or_default();
            if (*count % 2 == 1) != odd {
                *count += 1;
            }
        };
        if state == BackfillState::Active {
            hold(false);
        }
        let store = SimulatedStateStore::open(&self.at, &self.system);
        let change = BackfillChange {
            environment: "dev".into(),
            number,
            state,
            by: "user".to_owned(),
            reason: None,
        };
        // One that has ended is not changed, and has nothing that could begin, unless it is given something.
        let changed = store.change_backfill(change).await.unwrap();
        if changed && state != BackfillState::Active {
            hold(true);
        }
    }

    async fn record(&self, store: &Arc<SimulatedStateStore>) -> (Option<ScheduleRecord>, i64) {
        let found = store.schedules(&"dev".into()).await.unwrap();
        let mut ours = found.schedules.into_iter();
        let ours = ours.find(|one| one.pipeline == self.graph.name);
        (ours, found.now_us)
    }

    /// True when the user knows that it is paused.
    async fn pauses(&self, store: &Arc<SimulatedStateStore>, length_us: Option<i64>) -> bool {
        let (record, now_us) = self.record(store).await;
        let wanted = SchedulePause {
            since_us: now_us,
            until_us: length_us.map(|length| now_us + length),
            reason: None,
            by: "user".to_owned(),
            ended_by: None,
        };
        match pause(&self.scheduled, record.as_ref(), &wanted, now_us) {
            Some(update) => matches!(store.update_schedule(update).await, Ok(true)),
            None => false,
        }
    }

    async fn resumes(&self, store: &Arc<SimulatedStateStore>) -> bool {
        let (record, now_us) = self.record(store).await;
        match record.and_then(|record| resume(&record, now_us, Some("user"))) {
            Some(update) => matches!(store.update_schedule(update).await, Ok(true)),
            None => true,
        }
    }

    async fn is_done(&self, store: &Arc<SimulatedStateStore>) -> bool {
        if self.asked.load(Ordering::SeqCst) < USERS {
            return false;
        }
        let (ours, _) = self.record(store).await;
        let decided = ours.is_some_and(|one| {
            Some(one.decided_us) == self.scheduled.plan.end_us && one.open.is_empty()
        });
        if !decided {
            return false;
        }
        let backfills = store.backfills(&"dev".into()).await.unwrap();
        let mut backfills = backfills.iter();
        !backfills.any(|one| one.pipeline == self.graph.name && !one.has_ended())
    }

    /// A run that takes a while; the lease may be lost meanwhile.
    async fn work(
        &self,
        store: &Arc<SimulatedStateStore>,
        record: RunRecord,
        worker: &str,
    ) -> Result<()> {
        for _ in 0..self.system.random() % 60 {
            self.system.sleep(Duration::from_secs(10)).await;
            if !store.renew(worker).await? {
                return Ok(());
            }
        }
        let now_us = self.system.now_us();
        let closed = store
            .close_run(
                &record.name,
                &record.environment,
                RunState::Succeeded,
                worker,
                now_us,
            )
            .await;
        match closed {
            Err(failure) if failure.code == "R0809" => Ok(()),
            closed => closed,
        }
    }

    /// All runs of this simulation, oldest first.
    async fn runs(&self, store: &Arc<SimulatedStateStore>) -> Vec<RunRecord> {
        let filter = RunFilter {
            pipeline: Some(self.graph.name.clone()),
            ..RunFilter::default()
        };
        let mut runs = store.runs(filter).await.unwrap();
        runs.reverse();
        for run in &runs {
            assert_ne!(run.state, RunState::Running, "seed {}: {run:?}", self.seed);
            let lost = |task: &TaskRecord| {
                let failure = task.failure.as_ref();
                failure.is_some_and(|failure| failure.code == "R0814")
            };
            let is_lost = run.tasks.iter().any(lost);
            assert_eq!(run.state == RunState::Failed, is_lost, "seed {}", self.seed);
        }
        runs
    }

    async fn check(&self) {
        let store = SimulatedStateStore::open(&self.at, &self.system);
        let name = Some(&self.graph.name);
        let found = store.scheduled_intervals(&"dev".into(), name, 1000).await;
        let mut found = found.unwrap();
        found.reverse();
        let expected: Vec<_> = self.scheduled.table.intervals(i64::MIN).collect();
        let intervals: Vec<_> = found.iter().map(|one| one.interval).collect();
        assert_eq!(intervals, expected, "seed {}", self.seed);
        let runs = self.runs(&store).await;
        let mut well: BTreeMap<Interval, Vec<&RunRecord>> = BTreeMap::new();
        for run in runs.iter().filter(|run| run.state == RunState::Succeeded) {
            well.entry(run.interval.unwrap()).or_default().push(run);
        }
        for (interval, runs) in &well {
            assert_eq!(runs.len(), 1, "seed {}: {interval:?} {runs:?}", self.seed);
        }
        let lost = |interval: Interval| {
            let mut runs = runs.iter();
            runs.any(|run| run.interval == Some(interval) && run.state == RunState::Failed)
        };
        // The schedule wants all of its own, the second backfill of the first user all of the others.
        for one in &found {
            let state = match well.contains_key(&one.interval) {
                true => IntervalState::Succeeded,
                false => IntervalState::Failed,
            };
            assert_eq!(one.state, state, "seed {}: {one:?}", self.seed);
            assert!(state == IntervalState::Succeeded || lost(one.interval));
            let run = runs.iter().find(|run| Some(&run.name) == one.run.as_ref());
            assert_eq!(run.unwrap().interval, Some(one.interval));
        }
        for interval in self.wanted() {
            let has = well.contains_key(&interval) || lost(interval);
            assert!(has, "seed {}: {interval:?} was left out", self.seed);
        }
        for backfill in store.backfills(&"dev".into()).await.unwrap() {
            if backfill.pipeline != self.graph.name {
                continue;
            }
            let dev = "dev".into();
            let rows = store.backfill_intervals(&dev, backfill.number).await;
            for row in rows.unwrap() {
                let run = runs.iter().find(|run| Some(&run.name) == row.run.as_ref());
                let run = run.map(|run| (run.interval.unwrap(), run.state));
                match row.state {
                    IntervalState::Succeeded => {
                        assert_eq!(run, Some((row.interval, RunState::Succeeded)));
                    }
                    IntervalState::Failed => {
                        assert_eq!(run, Some((row.interval, RunState::Failed)));
                    }
                    state => assert_eq!(state, IntervalState::Skipped, "seed {}", self.seed),
                }
            }
        }
    }
}

async fn play(seeds: u64, at: impl Fn(u64) -> PathBuf) {
    let mut counts = [0; 5];
    for seed in 0..seeds {
        let simulation = Simulation::new(seed, &at(seed));
        let all = async {
            tokio::join!(
                simulation.schedulers(0),
                simulation.schedulers(1),
                simulation.schedulers(2),
                simulation.user(),
                simulation.asks_twice(),
                simulation.asks()
            )
        };
        simulation.system.run(all).await;
        simulation.check().await;
        let of_seed = [
            simulation.resumed.into_inner(),
            simulation.broken.into_inner(),
            simulation.deaths.into_inner(),
            simulation.paused.into_inner() / 2,
            simulation.cancelled.into_inner(),
        ];
        let sums = counts.iter_mut().zip(of_seed);
        sums.for_each(|(sum, one)| *sum += one);
    }
    let least = [seeds / 4, seeds / 4, seeds, seeds / 4, seeds / 4];
    let soft = counts
        .iter()
        .zip(least)
        .any(|(count, least)| *count < least);
    assert!(!soft, "the simulation is too easy: {counts:?}");
}

#[tokio::test]
async fn schedulers_give_each_interval_one_run_on_sqlite() {
    // Nothing here is to outlive a power cut: memory answers faster than a disk.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    play(seeds(), |seed| folder.path().join(format!("{seed}.db"))).await;
}

#[tokio::test]
async fn schedulers_give_each_interval_one_run_on_postgres() {
    let quick = [("fsync", "off"), ("synchronous_commit", "off")];
    let server = PostgresServer::start_with(&quick).unwrap();
    let url = PathBuf::from(server.url("postgres"));
    play(seeds() / 5, |_| url.clone()).await;
}

/// A pipeline that runs so often.
fn every(minutes: u64) -> ScheduledPipeline {
    let plan = SchedulePlan {
        recurrence: Recurrence::EveryMs(minutes * 60_000),
        start_us: None,
        end_us: None,
        ..Simulation::new(1, Path::new("")).scheduled.plan
    };
    ScheduledPipeline {
        pipeline: "p".into(),
        environment: "dev".into(),
        table: Timetable::new(&plan).unwrap(),
        plan,
    }
}

#[tokio::test]
async fn of_two_copies_of_a_schedule_the_later_one_decides() {
    let folder = tempfile::tempdir().unwrap();
    let system = SimulatedSystem::new(7);
    let store = SimulatedStateStore::open(&folder.path().join("s.db"), &system);
    let scheduler = |scheduled: ScheduledPipeline| {
        Scheduler::new(Arc::clone(&store) as _, "dev".into(), vec![scheduled])
    };
    let (half_hours, fives) = (every(30), every(5));
    let mut older = scheduler(half_hours.clone());
    older.tick().await.unwrap();
    older.tick().await.unwrap();
    let mut newer = scheduler(fives.clone());
    let mut failures = Vec::new();
    for _ in 0..60 {
        system.skew(90_000_000);
        newer.tick().await.unwrap();
        failures.extend(older.tick().await.unwrap().failures);
    }
    let codes: Vec<_> = failures.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, ["R0714"], "{failures:?}");
    let found = store.schedules(&"dev".into()).await.unwrap().schedules;
    assert_eq!(found[0].plan, fives.plan);
    let mut all = store
        .scheduled_intervals(&"dev".into(), None, 100)
        .await
        .unwrap();
    all.reverse();
    assert!(all.len() >= 17, "{all:?}");
    assert!(
        all.iter().all(|one| one.state == IntervalState::Waiting),
        "{all:?}"
    );
    for pair in all.windows(2) {
        assert_eq!(pair[0].interval.end_us, pair[1].interval.start_us);
    }
    // The older project starts again: now it came later.
    let mut again = scheduler(half_hours.clone());
    again.tick().await.unwrap();
    // It may be the same change of one folder that the other one reads a moment later.
    assert_eq!(newer.tick().await.unwrap().failures, []);
    system.skew(31_000_000);
    let failure = newer.tick().await.unwrap().failures.remove(0);
    assert!(failure.message.contains("`p`"), "{failure:?}");
    // What was the newer one gets the same project, and both agree.
    assert_eq!(older.tick().await.unwrap().failures, []);
    assert_eq!(again.tick().await.unwrap().failures, []);
}

#[tokio::test]
async fn a_schedule_comes_before_a_backfill_whose_run_has_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let system = SimulatedSystem::new(7);
    let store = SimulatedStateStore::open(&folder.path().join("s.db"), &system);
    let mut scheduler = Scheduler::new(Arc::clone(&store) as _, "dev".into(), vec![every(5)]);
    scheduler.tick().await.unwrap();
    let past = Interval {
        start_us: 0,
        end_us: EVERY_US,
    };
    let new = NewBackfill {
        pipeline: "p".into(),
        environment: "dev".into(),
        plan: BackfillPlan {
            range: past,
            timezone: "UTC".to_owned(),
            every_ms: None,
            order: BackfillOrder::Oldest,
            on_existing: OnExisting::Skip,
        },
        by: "user".to_owned(),
        intervals: vec![(past, None)],
    };
    let number = store.create_backfill(new).await.unwrap();
    // Nothing of the schedule is due.
    let next = scheduler.tick().await.unwrap().next;
    assert_eq!((next.len(), next[0].backfill), (1, Some(number)));
    system.skew(400_000_000);
    let next = scheduler.tick().await.unwrap().next;
    let backfills: Vec<_> = next.iter().map(|one| one.backfill).collect();
    assert_eq!(backfills, [None, Some(number)]);
    // A run that has begun goes on first: else its work would be done again.
    let task = task(0, &[], TriggerRule::AllSuccess, retry(0));
    let run = NewRun {
        interval: Some(past),
        scheduled: true,
        backfill: Some(number),
        ..new_run(&pipeline(vec![task], 1), "w")
    };
    assert!(matches!(store.open_run(run).await.unwrap(), Opened::New(_)));
    let next = scheduler.tick().await.unwrap().next;
    assert_eq!((next.len(), next[0].backfill), (1, Some(number)));
    assert_eq!(next[0].state, IntervalState::Running);
}

#[tokio::test]
async fn a_removed_schedule_leaves_nothing_waiting_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let system = SimulatedSystem::new(7);
    let store = SimulatedStateStore::open(&folder.path().join("s.db"), &system);
    let (fives, named) = (every(5), |name: &str, of: &ScheduledPipeline| {
        ScheduledPipeline {
            pipeline: name.into(),
            ..of.clone()
        }
    });
    let both = vec![named("a", &fives), named("b", &fives)];
    let mut scheduler = Scheduler::new(Arc::clone(&store) as _, "dev".into(), both.clone());
    scheduler.tick().await.unwrap();
    system.skew(900_000_000);
    assert_eq!(scheduler.tick().await.unwrap().next.len(), 2);
    let open = async || {
        let found = store.schedules(&"dev".into()).await.unwrap().schedules;
        found.iter().map(|one| one.open.len()).collect::<Vec<_>>()
    };
    // Its file cannot be read: it stays. It is gone: nothing of it waits.
    scheduler.replace(vec![both[0].clone()], BTreeSet::from(["b".into()]));
    scheduler.tick().await.unwrap();
    assert_eq!(open().await, [3, 3]);
    scheduler.replace(vec![both[0].clone()], BTreeSet::new());
    assert_eq!(scheduler.tick().await.unwrap().next.len(), 1);
    assert_eq!(open().await, [3, 0]);
    // A server that had it says that it is not in force any more; a later one brings it back.
    system.skew(3_600_000_000);
    scheduler.replace(both, BTreeSet::new());
    scheduler.tick().await.unwrap();
    system.skew(300_000_000);
    scheduler.tick().await.unwrap();
    assert_eq!(open().await, [16, 1]);
}
