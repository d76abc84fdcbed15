//! What every state store promises about schedules: one decision and one run for each interval.
//!
//! Each function is one test on an empty store. Read next: `suite.rs`, `../store.rs` (who runs these).

use towpath_ports::{
    BackfillOrder, BackfillPlan, Interval, IntervalDecision, IntervalState, NewBackfill, NewRun,
    OnExisting, Opened, RunState, ScheduleEventDetails, ScheduleEventKind, SchedulePause,
    ScheduleUpdate, ScheduledInterval, SkipReason, StateStore,
};
use towpath_vocab::{Catchup, DstGap, DstOverlap, Overlap, PipelineName, Recurrence, SchedulePlan};

use crate::place::{LEASE_US, TestPlace, opened_new, opened_resumed};

fn plan() -> SchedulePlan {
    SchedulePlan {
        recurrence: Recurrence::Cron("0 2 * * *".to_owned()),
        timezone: "Europe/Berlin".to_owned(),
        start_us: Some(-3),
        end_us: None,
        catchup: Catchup::All,
        overlap: Overlap::Queue,
        deadline_ms: Some(7),
        dst_gap: DstGap::Skip,
        dst_overlap: DstOverlap::Both,
    }
}

fn interval(number: i64) -> Interval {
    Interval {
        start_us: number * 10,
        end_us: number * 10 + 10,
    }
}

pub(crate) fn update(
    fence: Option<u64>,
    decided_us: i64,
    due: &[(i64, Option<SkipReason>)],
) -> ScheduleUpdate {
    let due = due.iter().map(|(number, skip)| IntervalDecision {
        interval: interval(*number),
        skip: *skip,
        intervals: 1,
    });
    ScheduleUpdate {
        pipeline: "shop".into(),
        environment: "dev".into(),
        fence,
        plan: plan(),
        decided_us,
        since_us: Some(decided_us - 5),
        queued_us: (decided_us > 0).then_some(decided_us + 5),
        removed_us: None,
        paused: None,
        event: None,
        due: due.collect(),
        stop: None,
        skipped: Vec::new(),
    }
}

/// A run that a scheduler begins after so many leases.
pub(crate) fn scheduled(
    place: &TestPlace,
    worker: &str,
    hash: &str,
    number: i64,
    leases: i64,
) -> NewRun {
    NewRun {
        interval: Some(interval(number)),
        scheduled: true,
        ..place.new_run(worker, hash, leases * (LEASE_US + 1))
    }
}

/// States and runs of all intervals, in the order of time.
pub(crate) async fn states(store: &dyn StateStore) -> Vec<(IntervalState, Option<u64>)> {
    let mut all = store
        .scheduled_intervals(&"dev".into(), Some(&"shop".into()), 100)
        .await
        .unwrap();
    all.reverse();
    let run = |one: &ScheduledInterval| one.run.as_ref().map(|run| run.number);
    all.iter().map(|one| (one.state, run(one))).collect()
}

pub(crate) async fn a_decision_is_taken_once(place: &TestPlace) {
    let store = place.open();
    let other = place.open();
    assert!(store.update_schedule(update(None, 0, &[])).await.unwrap());
    assert!(!other.update_schedule(update(None, 0, &[])).await.unwrap());
    let missed = Some(SkipReason::Missed);
    let first = update(Some(1), 20, &[(0, missed), (1, None)]);
    assert!(store.update_schedule(first.clone()).await.unwrap());
    assert!(!other.update_schedule(first).await.unwrap());
    // It is never decided less far, whatever a clock says.
    assert!(
        !store
            .update_schedule(update(Some(2), 10, &[]))
            .await
            .unwrap()
    );
    let found = other.schedules(&"dev".into()).await.unwrap();
    let found = &found.schedules[0];
    assert_eq!(
        (found.decided_us, found.fence, &found.plan),
        (20, 2, &plan())
    );
    assert_eq!((found.since_us, found.queued_us), (Some(15), Some(25)));
    assert_eq!(found.open.len(), 1);
    assert_eq!(found.open[0].interval, interval(1));
    let mut newer = update(Some(2), 30, &[(2, None)]);
    newer.skipped = vec![(20, SkipReason::Newer)];
    assert!(store.update_schedule(newer).await.unwrap());
    let all = other
        .scheduled_intervals(&"dev".into(), None, 2)
        .await
        .unwrap();
    let reasons: Vec<_> = all.iter().map(|one| (one.interval, one.reason)).collect();
    assert_eq!(
        reasons,
        [(interval(2), None), (interval(1), Some(SkipReason::Newer))]
    );
    assert!(
        store
            .schedules(&"prod".into())
            .await
            .unwrap()
            .schedules
            .is_empty()
    );
}

pub(crate) async fn schedulers_at_once_take_one_decision(place: &TestPlace) {
    let store = place.open();
    assert!(store.update_schedule(update(None, 0, &[])).await.unwrap());
    for fence in 1..6_u64 {
        let number = fence.cast_signed() - 1;
        let decisions = (0..6).map(|_| {
            let store = store.clone();
            let one = update(Some(fence), number * 10 + 10, &[(number, None)]);
            tokio::spawn(async move { store.update_schedule(one).await.unwrap() })
        });
        let mut taken = 0;
        for decision in decisions.collect::<Vec<_>>() {
            taken += usize::from(decision.await.unwrap());
        }
        assert_eq!(taken, 1);
    }
    assert_eq!(states(&*store).await, [(IntervalState::Waiting, None); 5]);
}

pub(crate) async fn an_interval_has_one_run(place: &TestPlace) {
    use IntervalState::{Failed, Running, Succeeded, Waiting};
    let store = place.open();
    let decided = update(None, 20, &[(0, None), (1, None)]);
    assert!(store.update_schedule(decided).await.unwrap());
    let open = |number| scheduled(place, "w1", "h", number, 0);
    let run = opened_new(store.open_run(open(0)).await.unwrap());
    assert_eq!(run.interval, Some(interval(0)));
    assert_eq!(states(&*store).await, [(Running, Some(1)), (Waiting, None)]);
    let (name, dev) = (&run.name, &run.environment);
    let close = |state| store.close_run(name, dev, state, "w1", 1);
    close(RunState::Failed).await.unwrap();
    // It had its run; the same for one that was never due.
    for number in [0, 7] {
        let again = store.open_run(open(number)).await.unwrap();
        assert!(matches!(again, Opened::Decided), "{again:?}");
    }
    assert_eq!(states(&*store).await, [(Failed, Some(1)), (Waiting, None)]);
    // Done again by a user, it ends well after all.
    let again = NewRun {
        scheduled: false,
        ..open(0)
    };
    let run = opened_new(store.open_run(again).await.unwrap());
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Succeeded, "w1", 1)
        .await
        .unwrap();
    assert_eq!(
        states(&*store).await,
        [(Succeeded, Some(2)), (Waiting, None)]
    );
}

pub(crate) async fn a_run_ends_the_interval_that_it_covers(place: &TestPlace) {
    let store = place.open();
    let close = async |run: &towpath_ports::RunRecord, state| {
        let closed = store.close_run(&run.name, &run.environment, state, "w1", 1);
        closed.await.unwrap();
    };
    assert!(store.update_schedule(update(None, 0, &[])).await.unwrap());
    let due = update(Some(1), 20, &[(1, None)]);
    assert!(store.update_schedule(due).await.unwrap());
    let run = store.open_run(scheduled(place, "w1", "h", 1, 0)).await;
    close(&opened_new(run.unwrap()), RunState::Failed).await;
    // The last hour of the failed day, done by a backfill.
    let hour = Interval {
        start_us: 15,
        end_us: 20,
    };
    let number = store
        .create_backfill(NewBackfill {
            pipeline: "shop".into(),
            environment: "dev".into(),
            plan: BackfillPlan {
                range: interval(1),
                timezone: "UTC".to_owned(),
                every_ms: None,
                order: BackfillOrder::Newest,
                on_existing: OnExisting::Rerun,
            },
            by: "ann".to_owned(),
            intervals: vec![(hour, None)],
        })
        .await
        .unwrap();
    let of_hour = NewRun {
        interval: Some(hour),
        backfill: Some(number),
        ..scheduled(place, "w1", "h", 1, 0)
    };
    close(
        &opened_new(store.open_run(of_hour).await.unwrap()),
        RunState::Succeeded,
    )
    .await;
    assert_eq!(states(&*store).await, [(IntervalState::Failed, Some(1))]);
}

pub(crate) async fn an_interrupted_interval_goes_on(place: &TestPlace) {
    use IntervalState::{Running, Succeeded, Waiting};
    let store = place.open();
    let decided = update(None, 20, &[(0, None), (1, None)]);
    assert!(store.update_schedule(decided).await.unwrap());
    let run = opened_new(
        store
            .open_run(scheduled(place, "w1", "h", 0, 0))
            .await
            .unwrap(),
    );
    // A user stops it: the same run goes on later.
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Cancelled, "w1", 1)
        .await
        .unwrap();
    assert_eq!(states(&*store).await, [(Waiting, Some(1)), (Waiting, None)]);
    // A scheduler that had read it before its run began does not skip it.
    let mut late = update(Some(1), 20, &[]);
    late.skipped = vec![(10, SkipReason::Newer)];
    assert!(store.update_schedule(late).await.unwrap());
    assert_eq!(states(&*store).await, [(Waiting, Some(1)), (Waiting, None)]);
    // The store says since when a schedule is removed; nothing of it waits then.
    let removed = ScheduleUpdate {
        removed_us: Some(20),
        pipeline: "other".into(),
        ..update(None, 20, &[(0, None)])
    };
    assert!(store.update_schedule(removed.clone()).await.unwrap());
    let removed = ScheduleUpdate {
        fence: Some(1),
        due: Vec::new(),
        skipped: vec![(10, SkipReason::Removed)],
        ..removed
    };
    assert!(store.update_schedule(removed).await.unwrap());
    let found = store.schedules(&"dev".into()).await.unwrap().schedules;
    assert_eq!((found[0].removed_us, found[0].open.len()), (Some(20), 0));
    let open = scheduled(place, "w2", "h", 0, 0);
    let run = opened_resumed(store.open_run(open).await.unwrap());
    assert_eq!((run.name.number, run.interval), (1, Some(interval(0))));
    assert_eq!(states(&*store).await, [(Running, Some(1)), (Waiting, None)]);
    // Its process dies and the pipeline has changed: another run has the interval.
    drop(store);
    let store = place.open();
    let open = scheduled(place, "w3", "other", 0, 1);
    let run = opened_new(store.open_run(open).await.unwrap());
    assert_eq!(run.name.number, 2);
    assert_eq!(states(&*store).await, [(Running, Some(2)), (Waiting, None)]);
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Succeeded, "w3", 1)
        .await
        .unwrap();
    assert_eq!(
        states(&*store).await,
        [(Succeeded, Some(2)), (Waiting, None)]
    );
    // A manual run that was interrupted is not taken for the next interval.
    let manual = place.new_run("w4", "h", LEASE_US + 2);
    let run = opened_new(store.open_run(manual).await.unwrap());
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Cancelled, "w4", 1)
        .await
        .unwrap();
    let open = scheduled(place, "w5", "h", 1, 1);
    let run = opened_new(store.open_run(open).await.unwrap());
    assert_eq!((run.name.number, run.interval), (4, Some(interval(1))));
}

pub(crate) async fn a_pause_is_obeyed_and_kept_with_its_events(place: &TestPlace) {
    use IntervalState::{Running, Waiting};
    let store = place.open();
    let decided = update(None, 20, &[(0, None), (1, None)]);
    assert!(store.update_schedule(decided).await.unwrap());
    let pause = SchedulePause {
        since_us: 7,
        until_us: Some(90),
        reason: Some("moves".to_owned()),
        by: "ann".to_owned(),
        ended_by: None,
    };
    let details = ScheduleEventDetails {
        by: Some("ann".to_owned()),
        reason: Some("moves".to_owned()),
        until_us: Some(90),
    };
    place.at(7);
    let paused = ScheduleUpdate {
        paused: Some(pause.clone()),
        event: Some((ScheduleEventKind::Paused, details.clone())),
        ..update(Some(1), 20, &[])
    };
    assert!(store.update_schedule(paused.clone()).await.unwrap());
    // With a stale fence neither the pause nor its event is written.
    assert!(!store.update_schedule(paused).await.unwrap());
    let found = place.open().schedules(&"dev".into()).await.unwrap();
    let record = &found.schedules[0];
    assert_eq!(record.paused, Some(pause));
    assert!(record.paused_at(89).is_some() && record.paused_at(90).is_none());
    let open = |number| scheduled(place, "w1", "h", number, 0);
    let opened = store.open_run(open(0)).await.unwrap();
    assert!(matches!(opened, Opened::Decided), "{opened:?}");
    assert_eq!(states(&*store).await, [(Waiting, None), (Waiting, None)]);
    // A run by hand is no run of the schedule.
    let run = opened_new(store.open_run(place.new_run("w1", "h", 8)).await.unwrap());
    let (name, dev) = (&run.name, &run.environment);
    let close = store.close_run(name, dev, RunState::Succeeded, "w1", 9);
    close.await.unwrap();
    place.at(11);
    let resumed = ScheduleUpdate {
        event: Some((ScheduleEventKind::Resumed, ScheduleEventDetails::default())),
        ..update(Some(2), 20, &[])
    };
    assert!(store.update_schedule(resumed).await.unwrap());
    opened_new(store.open_run(open(0)).await.unwrap());
    assert_eq!(states(&*store).await, [(Running, Some(2)), (Waiting, None)]);
    let shop = PipelineName::new("shop");
    let events = store.schedule_events(dev, &shop).await.unwrap();
    let lines = events
        .iter()
        .map(|one| (one.seq, one.at_us, one.kind.as_str()));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [(1, 7, "paused"), (2, 11, "resumed")]
    );
    assert_eq!(events[0].details, details);
    let other = store.schedule_events(&"prod".into(), &shop).await;
    assert_eq!(other.unwrap(), []);
}
