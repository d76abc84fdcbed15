//! Seeded schedulers at once on one state store, on both databases: they die at any moment, their store
//! breaks before or after a change, its clock jumps in both directions, and a user pauses the schedule now
//! and then and asks for past intervals, also twice. Whatever happens, each interval has exactly one run, which ended well, no interval is left out,
//! and no run begins in a pause. `TOWPATH_SEEDS` asks for more seeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use towpath_ports::{
    BackfillChange, BackfillOrder, BackfillPlan, BackfillState, Clock, Interval, IntervalState,
    NewBackfill, NewRun, OnExisting, Opened, Result, RunFilter, RunRecord, RunState, SchedulePause,
    ScheduleRecord, StateStore, System,
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
/// The intervals of the backfill, before those of the schedule.
const PAST: i64 = 3;

fn seeds() -> u64 {
    let asked = std::env::var("TOWPATH_SEEDS").ok();
    asked.map_or(40, |text| text.parse::<u64>().unwrap() / 5)
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
    /// The same of the backfill.
    held: AtomicU64,
    /// The backfill was created, and its user does nothing more.
    asked: AtomicBool,
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
            held: AtomicU64::new(0),
            asked: AtomicBool::new(false),
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
            let mut next = tick.next.into_iter();
            let next = next.find(|one| one.pipeline == self.graph.name);
            let Some(next) = next else {
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
            let pauses = match next.backfill {
                None => &self.paused,
                Some(_) => &self.held,
            };
            let paused = pauses.load(Ordering::SeqCst);
            let opened = store.open_run(new).await?;
            if matches!(opened, Opened::New(_) | Opened::Resumed(_)) {
                let still = pauses.load(Ordering::SeqCst) == paused;
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

    /// The intervals of the backfill.
    fn past(&self) -> Vec<Interval> {
        let start_us = self.scheduled.plan.start_us.unwrap();
        let past = (-PAST..0).map(|number| Interval {
            start_us: start_us + number * EVERY_US,
            end_us: start_us + (number + 1) * EVERY_US,
        });
        past.collect()
    }

    /// A user who asks for past intervals until the store says that it has them, pauses that, and asks again.
    async fn asks(&self) {
        self.sleep(9000).await;
        for _ in 0..2 {
            loop {
                let breaks = if self.chance(2) { 0 } else { -1 };
                let kept = self.chance(2);
                let store = SimulatedStateStore::breaking(&self.at, &self.system, breaks, kept);
                let past = self.past();
                let new = NewBackfill {
                    pipeline: self.graph.name.clone(),
                    environment: "dev".into(),
                    plan: BackfillPlan {
                        range: Interval {
                            start_us: past[0].start_us,
                            end_us: past[past.len() - 1].end_us,
                        },
                        timezone: "UTC".to_owned(),
                        every_ms: None,
                        order: BackfillOrder::Oldest,
                        on_existing: OnExisting::RerunFailed,
                    },
                    by: "user".to_owned(),
                    intervals: past.into_iter().map(|one| (one, None)).collect(),
                };
                if store.create_backfill(new).await.is_ok() {
                    break;
                }
                self.sleep(600).await;
            }
            self.sleep(1500).await;
            if self.change(BackfillState::Paused).await {
                self.held.fetch_add(1, Ordering::SeqCst);
            }
            self.sleep(1500).await;
            let held = self.held.load(Ordering::SeqCst);
            self.held.store(held + held % 2, Ordering::SeqCst);
            self.change(BackfillState::Active).await;
        }
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Changes all backfills of this pipeline; true when one of them is changed.
    async fn change(&self, state: BackfillState) -> bool {
        let store = SimulatedStateStore::open(&self.at, &self.system);
        let mut changed = false;
        for one in store.backfills(&"dev".into()).await.unwrap() {
            if one.pipeline == self.graph.name {
                let change = BackfillChange {
                    environment: "dev".into(),
                    number: one.number,
                    state,
                    by: "user".to_owned(),
                    reason: None,
                };
                changed |= store.change_backfill(change).await.unwrap();
            }
        }
        changed
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
        if !self.asked.load(Ordering::SeqCst) {
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

    async fn check(&self) {
        let store = SimulatedStateStore::open(&self.at, &self.system);
        let name = Some(&self.graph.name);
        let found = store.scheduled_intervals(&"dev".into(), name, 1000).await;
        let mut found = found.unwrap();
        found.reverse();
        let expected: Vec<_> = self.scheduled.table.intervals(i64::MIN).collect();
        let intervals: Vec<_> = found.iter().map(|one| one.interval).collect();
        assert_eq!(intervals, expected, "seed {}", self.seed);
        for one in &found {
            assert_eq!(
                one.state,
                IntervalState::Succeeded,
                "seed {}: {one:?}",
                self.seed
            );
        }
        let filter = RunFilter {
            pipeline: name.cloned(),
            ..RunFilter::default()
        };
        let mut runs = store.runs(filter).await.unwrap();
        // What was interrupted in a pause gave way to another run.
        runs.retain(|run| run.state != RunState::Superseded);
        let past = self.past();
        let is_past = |run: &RunRecord| run.interval.is_some_and(|one| past.contains(&one));
        let (filled, runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_past);
        let well = filled.iter().filter(|run| run.state == RunState::Succeeded);
        let mut well: Vec<_> = well.filter_map(|run| run.interval).collect();
        well.sort_unstable();
        assert_eq!(well, past, "seed {}", self.seed);
        assert_eq!(filled.len(), past.len(), "seed {}", self.seed);
        let of_runs: BTreeSet<_> = runs.iter().filter_map(|run| run.interval).collect();
        assert_eq!(runs.len() as i64, INTERVALS, "seed {}", self.seed);
        assert_eq!(
            of_runs.into_iter().collect::<Vec<_>>(),
            expected,
            "seed {}",
            self.seed
        );
        for run in &runs {
            let ours = found.iter().find(|one| Some(one.interval) == run.interval);
            assert_eq!(
                ours.unwrap().run.as_ref(),
                Some(&run.name),
                "seed {}",
                self.seed
            );
            assert_eq!(run.state, RunState::Succeeded, "seed {}", self.seed);
        }
    }
}

async fn play(seeds: u64, at: impl Fn(u64) -> PathBuf) {
    let (mut resumed, mut broken, mut deaths, mut pauses) = (0, 0, 0, 0);
    for seed in 0..seeds {
        let simulation = Simulation::new(seed, &at(seed));
        let all = async {
            tokio::join!(
                simulation.schedulers(0),
                simulation.schedulers(1),
                simulation.schedulers(2),
                simulation.user(),
                simulation.asks()
            )
        };
        simulation.system.run(all).await;
        simulation.check().await;
        resumed += simulation.resumed.into_inner();
        broken += simulation.broken.into_inner();
        deaths += simulation.deaths.into_inner();
        pauses += simulation.paused.into_inner() / 2;
    }
    let soft = resumed < seeds / 4 || broken < seeds / 4 || deaths < seeds || pauses < seeds / 4;
    assert!(
        !soft,
        "the simulation is too easy: {resumed} {broken} {deaths} {pauses}"
    );
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
    assert_eq!((next.len(), next[0].backfill), (1, None));
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
