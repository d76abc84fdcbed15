//! What every state store promises about backfills: one run for each interval, whoever asks for it.
//!
//! Each function is one test on an empty store. Read next: `schedules.rs`, `../store.rs` (who runs these).

use towpath_ports::{
    BackfillChange, BackfillOrder, BackfillPlan, BackfillSkip, BackfillState, Interval,
    IntervalState, NewBackfill, NewRun, OnExisting, Opened, RunRecord, RunState, StateStore,
};

use crate::place::{LEASE_US, TestPlace, opened_new, opened_resumed};

pub(crate) fn interval(number: i64) -> Interval {
    Interval {
        start_us: number * 10,
        end_us: number * 10 + 10,
    }
}

pub(crate) fn new(numbers: &[i64], on_existing: OnExisting) -> NewBackfill {
    NewBackfill {
        pipeline: "shop".into(),
        environment: "dev".into(),
        plan: BackfillPlan {
            range: Interval {
                start_us: 0,
                end_us: 1000,
            },
            timezone: "UTC".to_owned(),
            every_ms: None,
            order: BackfillOrder::Newest,
            on_existing,
        },
        by: "ann".to_owned(),
        intervals: numbers
            .iter()
            .map(|number| (interval(*number), None))
            .collect(),
    }
}

/// A run of a backfill that a scheduler begins after so many leases.
pub(crate) fn run_of(
    place: &TestPlace,
    worker: &str,
    backfill: u64,
    number: i64,
    leases: i64,
) -> NewRun {
    NewRun {
        interval: Some(interval(number)),
        scheduled: true,
        backfill: Some(backfill),
        ..place.new_run(worker, "h", leases * (LEASE_US + 1))
    }
}

pub(crate) async fn close(store: &dyn StateStore, run: &RunRecord, worker: &str, state: RunState) {
    let closed = store.close_run(&run.name, &run.environment, state, worker, 1);
    closed.await.unwrap();
}

/// Number, state, reason and run of each interval.
pub(crate) async fn states(
    store: &dyn StateStore,
    backfill: u64,
) -> Vec<(i64, IntervalState, Option<BackfillSkip>, Option<u64>)> {
    let found = store
        .backfill_intervals(&"dev".into(), backfill)
        .await
        .unwrap();
    let line = found.into_iter().map(|one| {
        let run = one.run.map(|run| run.number);
        (one.interval.start_us / 10, one.state, one.reason, run)
    });
    line.collect()
}

/// The interval that is next, its state and its backfill.
pub(crate) async fn next(store: &dyn StateStore) -> Option<(i64, IntervalState, Option<u64>)> {
    let found = store.next_backfills(&"dev".into()).await.unwrap();
    assert!(found.len() <= 1, "{found:?}");
    let first = found.first();
    first.map(|one| (one.interval.start_us / 10, one.state, one.backfill))
}

pub(crate) async fn change(store: &dyn StateStore, number: u64, state: BackfillState) -> bool {
    let change = BackfillChange {
        environment: "dev".into(),
        number,
        state,
        by: "ben".to_owned(),
        reason: Some("because".to_owned()),
    };
    store.change_backfill(change).await.unwrap()
}

pub(crate) async fn a_backfill_runs_each_interval_once(place: &TestPlace) {
    use IntervalState::{Failed, Running, Skipped, Succeeded, Waiting};
    let store = place.open();
    let number = store
        .create_backfill(new(&[3, 2, 1], OnExisting::Skip))
        .await
        .unwrap();
    assert_eq!(number, 1);
    assert_eq!(next(&*store).await, Some((3, Waiting, Some(1))));
    let run = opened_new(store.open_run(run_of(place, "w1", 1, 3, 0)).await.unwrap());
    assert_eq!(next(&*store).await, Some((3, Running, Some(1))));
    // Another one who asks for the same gets what is left, in order.
    let other = store
        .create_backfill(new(&[4, 3, 2], OnExisting::Rerun))
        .await
        .unwrap();
    let elsewhere = Some(BackfillSkip::OtherBackfill);
    assert_eq!(
        states(&*store, other).await,
        [
            (4, Waiting, None, None),
            (3, Skipped, elsewhere, None),
            (2, Skipped, elsewhere, None)
        ]
    );
    close(&*store, &run, "w1", RunState::Succeeded).await;
    let again = store.open_run(run_of(place, "w1", 1, 3, 0)).await.unwrap();
    assert!(matches!(again, Opened::Decided), "{again:?}");
    // One that is not of this backfill, or of none.
    for (backfill, interval) in [(1, 4), (1, 9), (7, 2)] {
        let wrong = store
            .open_run(run_of(place, "w1", backfill, interval, 0))
            .await
            .unwrap();
        assert!(matches!(wrong, Opened::Decided), "{wrong:?}");
    }
    let run = opened_new(store.open_run(run_of(place, "w1", 1, 2, 0)).await.unwrap());
    close(&*store, &run, "w1", RunState::Failed).await;
    assert_eq!(
        states(&*store, 1).await,
        [
            (3, Succeeded, None, Some(1)),
            (2, Failed, None, Some(2)),
            (1, Waiting, None, None)
        ]
    );
    // It does not want any more what others give up.
    assert!(change(&*store, other, BackfillState::Cancelled).await);
    // What has run keeps a new backfill from running it, as the user says.
    let (well, failed) = (Some(BackfillSkip::Succeeded), Some(BackfillSkip::Failed));
    for (on_existing, expected) in [
        (OnExisting::Skip, [well, failed]),
        (OnExisting::RerunFailed, [well, None]),
        (OnExisting::Rerun, [None, None]),
    ] {
        let number = store
            .create_backfill(new(&[3, 2], on_existing))
            .await
            .unwrap();
        let found = states(&*store, number).await;
        let reasons: Vec<_> = found.iter().map(|one| one.2).collect();
        assert_eq!(reasons, expected, "{on_existing:?}");
        // One that has ended cannot be cancelled.
        let has_ended = on_existing == OnExisting::Skip;
        assert_eq!(
            change(&*store, number, BackfillState::Cancelled).await,
            !has_ended
        );
    }
    // Done again by a user, it ends well after all.
    let again = NewRun {
        scheduled: false,
        backfill: None,
        ..run_of(place, "w1", 1, 2, 0)
    };
    let run = opened_new(store.open_run(again).await.unwrap());
    close(&*store, &run, "w1", RunState::Succeeded).await;
    assert_eq!(states(&*store, 1).await[1], (2, Succeeded, None, Some(3)));
    let record = store.backfill(&"dev".into(), 1).await.unwrap();
    assert_eq!(
        (record.succeeded, record.waiting, record.has_ended()),
        (2, 1, false)
    );
    assert_eq!(record.plan, new(&[], OnExisting::Skip).plan);
    let all = store.backfills(&"dev".into()).await.unwrap();
    assert_eq!(
        all.iter().map(|one| one.number).collect::<Vec<_>>(),
        [5, 4, 3, 2, 1]
    );
    let missing = store.backfill(&"dev".into(), 9).await.unwrap_err();
    assert_eq!(missing.code, "R0813");
}

pub(crate) async fn an_interrupted_backfill_goes_on(place: &TestPlace) {
    use IntervalState::{Running, Skipped, Succeeded, Waiting};
    let store = place.open();
    store
        .create_backfill(new(&[1, 2], OnExisting::Skip))
        .await
        .unwrap();
    let run = opened_new(store.open_run(run_of(place, "w1", 1, 1, 0)).await.unwrap());
    // Its process dies: the same run goes on.
    drop(store);
    let store = place.open();
    let run_again = opened_resumed(store.open_run(run_of(place, "w2", 1, 1, 1)).await.unwrap());
    assert_eq!(run.name, run_again.name);
    // A user stops it: it waits, and goes on later.
    close(&*store, &run_again, "w2", RunState::Cancelled).await;
    assert_eq!(states(&*store, 1).await[0], (1, Waiting, None, Some(1)));
    // Paused: nothing begins.
    assert!(change(&*store, 1, BackfillState::Paused).await);
    assert!(!change(&*store, 1, BackfillState::Paused).await);
    assert_eq!(next(&*store).await, None);
    let paused = store.open_run(run_of(place, "w2", 1, 1, 1)).await.unwrap();
    assert!(matches!(paused, Opened::Decided), "{paused:?}");
    assert!(change(&*store, 1, BackfillState::Active).await);
    let run = opened_resumed(store.open_run(run_of(place, "w3", 1, 1, 1)).await.unwrap());
    // Its process dies and another run takes the pipeline: the interval waits for a new run.
    drop(store);
    let store = place.open();
    let other = place.new_run("w4", "other", 2 * (LEASE_US + 1));
    let other = opened_new(store.open_run(other).await.unwrap());
    close(&*store, &other, "w4", RunState::Succeeded).await;
    assert_eq!(states(&*store, 1).await[0], (1, Waiting, None, Some(1)));
    let late = store.close_run(&run.name, &run.environment, RunState::Succeeded, "w3", 1);
    assert_eq!(late.await.unwrap_err().code, "R0809");
    let run = opened_new(store.open_run(run_of(place, "w5", 1, 1, 2)).await.unwrap());
    // Cancelled: the run that goes on ends, what waits is skipped.
    assert!(change(&*store, 1, BackfillState::Cancelled).await);
    assert!(!change(&*store, 1, BackfillState::Active).await);
    let cancelled = Some(BackfillSkip::Cancelled);
    assert_eq!(
        states(&*store, 1).await,
        [(1, Running, None, Some(3)), (2, Skipped, cancelled, None)]
    );
    close(&*store, &run, "w5", RunState::Succeeded).await;
    assert_eq!(states(&*store, 1).await[0], (1, Succeeded, None, Some(3)));
    let events = store.backfill_events(&"dev".into(), 1).await.unwrap();
    let kinds: Vec<_> = events
        .iter()
        .map(|one| (one.seq, one.kind.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            (1, "created"),
            (2, "paused"),
            (3, "resumed"),
            (4, "cancelled")
        ]
    );
    assert_eq!(events[3].details.by.as_deref(), Some("ben"));
    // A run of a cancelled backfill that is interrupted does not wait again.
    store
        .create_backfill(new(&[5], OnExisting::Skip))
        .await
        .unwrap();
    let run = opened_new(store.open_run(run_of(place, "w6", 2, 5, 2)).await.unwrap());
    assert!(change(&*store, 2, BackfillState::Cancelled).await);
    close(&*store, &run, "w6", RunState::Cancelled).await;
    assert_eq!(states(&*store, 2).await, [(5, Skipped, cancelled, Some(4))]);
}

pub(crate) async fn backfills_created_at_once_share_the_intervals(place: &TestPlace) {
    let store = place.open();
    let numbers: Vec<i64> = (0..30).collect();
    let created = (0..6).map(|one| {
        let (store, mut numbers) = (store.clone(), numbers.clone());
        if one % 2 == 1 {
            numbers.reverse();
        }
        tokio::spawn(async move {
            let new = new(&numbers, OnExisting::Rerun);
            store.create_backfill(new).await.unwrap()
        })
    });
    let mut found = Vec::new();
    for one in created.collect::<Vec<_>>() {
        found.push(one.await.unwrap());
    }
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5, 6]);
    let mut waiting = Vec::new();
    for number in found {
        let states = states(&*store, number).await;
        assert_eq!(states.len(), 30);
        let waits = states.iter().filter(|one| one.1 == IntervalState::Waiting);
        waiting.extend(waits.map(|one| one.0));
    }
    waiting.sort_unstable();
    assert_eq!(waiting, numbers);
}
