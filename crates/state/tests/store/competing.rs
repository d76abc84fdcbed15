//! What every state store promises where backfills, schedules and users want the same intervals: each is run
//! once to its good end, and none is left running by a process that has died.
//!
//! Each function is one test on an empty store. Read next: `backfills.rs`, `../store.rs` (who runs these).

use towpath_ports::{
    BackfillSkip, BackfillState, Interval, IntervalState, MOST_LOST_PROCESSES, NewBackfill, NewRun,
    OnExisting, Opened, RunState, TaskState,
};

use crate::backfills::{change, close, interval, new, next, run_of, states};
use crate::place::{LEASE_US, TestPlace, opened_new, opened_resumed, start_and_end};

/// A user runs an interval by hand, after so many leases.
fn by_hand(place: &TestPlace, worker: &str, number: i64, leases: i64) -> NewRun {
    NewRun {
        scheduled: false,
        backfill: None,
        ..run_of(place, worker, 1, number, leases)
    }
}

pub(crate) async fn a_cancelled_backfill_leaves_nothing_running(place: &TestPlace) {
    use IntervalState::{Skipped, Waiting};
    let cancelled = Some(BackfillSkip::Cancelled);
    let store = place.open();
    store
        .create_backfill(new(&[1, 2], OnExisting::Skip))
        .await
        .unwrap();
    opened_new(store.open_run(run_of(place, "w1", 1, 1, 0)).await.unwrap());
    // Its process dies, then a user cancels the backfill.
    drop(store);
    let store = place.open();
    place.at(LEASE_US + 1);
    assert!(change(&*store, 1, BackfillState::Cancelled).await);
    assert_eq!(
        states(&*store, 1).await,
        [
            (1, Skipped, cancelled, Some(1)),
            (2, Skipped, cancelled, None)
        ]
    );
    let run = store.runs(Default::default()).await.unwrap().remove(0);
    assert_eq!(run.state, RunState::Cancelled);
    // Another backfill has the interval now.
    let number = store
        .create_backfill(new(&[1], OnExisting::Skip))
        .await
        .unwrap();
    assert_eq!(states(&*store, number).await, [(1, Waiting, None, None)]);
    assert_eq!(next(&*store).await, Some((1, Waiting, Some(2))));
}

pub(crate) async fn a_run_that_dies_after_the_cancel_ends(place: &TestPlace) {
    use IntervalState::{Running, Skipped, Waiting};
    let cancelled = Some(BackfillSkip::Cancelled);
    let store = place.open();
    store
        .create_backfill(new(&[1], OnExisting::Skip))
        .await
        .unwrap();
    opened_new(store.open_run(run_of(place, "w1", 1, 1, 0)).await.unwrap());
    assert!(change(&*store, 1, BackfillState::Cancelled).await);
    // While it goes on, nothing ends it.
    assert_eq!(store.end_cancelled_runs(&"dev".into()).await.unwrap(), 0);
    assert_eq!(states(&*store, 1).await, [(1, Running, None, Some(1))]);
    drop(store);
    let store = place.open();
    place.at(LEASE_US + 1);
    assert_eq!(store.end_cancelled_runs(&"prod".into()).await.unwrap(), 0);
    assert_eq!(store.end_cancelled_runs(&"dev".into()).await.unwrap(), 1);
    assert_eq!(store.end_cancelled_runs(&"dev".into()).await.unwrap(), 0);
    assert_eq!(states(&*store, 1).await, [(1, Skipped, cancelled, Some(1))]);
    // Without a scheduler, a new backfill of it finds out by itself.
    let number = store
        .create_backfill(new(&[1], OnExisting::Skip))
        .await
        .unwrap();
    let again = store.open_run(run_of(place, "w2", number, 1, 1)).await;
    opened_resumed(again.unwrap());
    assert!(change(&*store, number, BackfillState::Cancelled).await);
    drop(store);
    let store = place.open();
    place.at(3 * LEASE_US);
    let number = store
        .create_backfill(new(&[1], OnExisting::Skip))
        .await
        .unwrap();
    assert_eq!(states(&*store, number).await, [(1, Waiting, None, None)]);
}

pub(crate) async fn a_dead_run_keeps_no_interval_from_a_backfill(place: &TestPlace) {
    use IntervalState::{Skipped, Succeeded, Waiting};
    let store = place.open();
    let hand = opened_new(store.open_run(by_hand(place, "w1", 1, 0)).await.unwrap());
    // It goes on: nothing is run again beside it.
    let rerun = new(&[1], OnExisting::Rerun);
    let number = store.create_backfill(rerun).await.unwrap();
    let running = Some(BackfillSkip::Running);
    assert_eq!(states(&*store, number).await, [(1, Skipped, running, None)]);
    // Its process dies: the backfill lets the same run go on.
    drop(store);
    let store = place.open();
    place.at(LEASE_US + 1);
    let number = store
        .create_backfill(new(&[1], OnExisting::Skip))
        .await
        .unwrap();
    assert_eq!(states(&*store, number).await, [(1, Waiting, None, None)]);
    let again = store.open_run(run_of(place, "w2", number, 1, 1)).await;
    let again = opened_resumed(again.unwrap());
    assert_eq!(again.name, hand.name);
    close(&*store, &again, "w2", RunState::Succeeded).await;
    assert_eq!(
        states(&*store, number).await,
        [(1, Succeeded, None, Some(1))]
    );
}

pub(crate) async fn a_run_that_goes_on_decides_when_it_has_ended(place: &TestPlace) {
    use IntervalState::{Skipped, Waiting};
    let (well, failed) = (Some(BackfillSkip::Succeeded), Some(BackfillSkip::Failed));
    for (state, reason) in [(RunState::Succeeded, well), (RunState::Failed, failed)] {
        let place = place.another();
        let store = place.open();
        let hand = opened_new(store.open_run(by_hand(&place, "w1", 1, 0)).await.unwrap());
        let asked = new(&[1], OnExisting::Skip);
        let number = store.create_backfill(asked).await.unwrap();
        assert_eq!(states(&*store, number).await, [(1, Waiting, None, None)]);
        let busy = store.open_run(run_of(&place, "w2", number, 1, 0)).await;
        assert!(matches!(busy.unwrap(), Opened::Busy(_)));
        close(&*store, &hand, "w1", state).await;
        let ended = store.open_run(run_of(&place, "w2", number, 1, 0)).await;
        assert!(matches!(ended.unwrap(), Opened::Decided));
        assert_eq!(states(&*store, number).await, [(1, Skipped, reason, None)]);
    }
}

pub(crate) async fn what_another_backfill_gives_up_is_taken_over(place: &TestPlace) {
    use IntervalState::{Running, Skipped, Succeeded, Waiting};
    let (elsewhere, cancelled) = (
        Some(BackfillSkip::OtherBackfill),
        Some(BackfillSkip::Cancelled),
    );
    let store = place.open();
    for numbers in [&[1, 2, 3][..], &[3, 2, 4], &[2, 3]] {
        let new = new(numbers, OnExisting::Skip);
        store.create_backfill(new).await.unwrap();
    }
    let run = opened_new(store.open_run(run_of(place, "w1", 1, 1, 0)).await.unwrap());
    close(&*store, &run, "w1", RunState::Succeeded).await;
    let run = opened_new(store.open_run(run_of(place, "w1", 1, 2, 0)).await.unwrap());
    // Of the others the one that asked first gets what waited.
    assert!(change(&*store, 1, BackfillState::Cancelled).await);
    assert_eq!(
        states(&*store, 1).await,
        [
            (1, Succeeded, None, Some(1)),
            (2, Running, None, Some(2)),
            (3, Skipped, cancelled, None)
        ]
    );
    assert_eq!(
        states(&*store, 2).await,
        [
            (3, Waiting, None, None),
            (2, Skipped, elsewhere, None),
            (4, Waiting, None, None)
        ]
    );
    assert_eq!(
        states(&*store, 3).await,
        [(2, Skipped, elsewhere, None), (3, Skipped, elsewhere, None)]
    );
    // And the interval of the run that is stopped now.
    close(&*store, &run, "w1", RunState::Cancelled).await;
    assert_eq!(states(&*store, 2).await[1], (2, Waiting, None, None));
    // A cancelled backfill gets nothing.
    assert!(change(&*store, 3, BackfillState::Cancelled).await);
    assert!(change(&*store, 2, BackfillState::Cancelled).await);
    assert_eq!(next(&*store).await, None);
}

pub(crate) async fn what_has_run_meanwhile_is_not_run_again(place: &TestPlace) {
    use IntervalState::{Skipped, Waiting};
    let (well, failed) = (Some(BackfillSkip::Succeeded), Some(BackfillSkip::Failed));
    for (on_existing, state, reason) in [
        (OnExisting::Skip, RunState::Succeeded, well),
        (OnExisting::Skip, RunState::Failed, failed),
        (OnExisting::RerunFailed, RunState::Succeeded, well),
        (OnExisting::RerunFailed, RunState::Failed, None),
        (OnExisting::Rerun, RunState::Succeeded, None),
        (OnExisting::Skip, RunState::Cancelled, None),
    ] {
        let place = place.another();
        let store = place.open();
        store
            .create_backfill(new(&[1, 2], on_existing))
            .await
            .unwrap();
        let hand = opened_new(store.open_run(by_hand(&place, "w1", 1, 0)).await.unwrap());
        close(&*store, &hand, "w1", state).await;
        let opened = store.open_run(run_of(&place, "w1", 1, 1, 0)).await.unwrap();
        let begins = matches!(opened, Opened::New(_) | Opened::Resumed(_));
        assert_eq!(begins, reason.is_none(), "{on_existing:?} {state:?}");
        if reason.is_some() {
            assert!(matches!(opened, Opened::Decided));
            let found = states(&*store, 1).await;
            assert_eq!((found[0].1, found[0].2), (Skipped, reason));
            assert_eq!(next(&*store).await, Some((2, Waiting, Some(1))));
        }
    }
}

pub(crate) async fn a_run_of_other_intervals_covers_what_it_covers(place: &TestPlace) {
    let well = Some(BackfillSkip::Succeeded);
    let store = place.open();
    // Before an edit of the schedule, its intervals were others: 5 to 15, 15 to 25, 25 to 28.
    for (start_us, end_us) in [(5, 15), (15, 25), (25, 28)] {
        let run = NewRun {
            interval: Some(Interval { start_us, end_us }),
            ..by_hand(place, "w1", 1, 0)
        };
        let run = opened_new(store.open_run(run).await.unwrap());
        close(&*store, &run, "w1", RunState::Succeeded).await;
    }
    let asked = new(&[0, 1, 2, 3], OnExisting::Skip);
    let number = store.create_backfill(asked).await.unwrap();
    let found = states(&*store, number).await;
    let reasons: Vec<_> = found.iter().map(|one| one.2).collect();
    // All of 10 to 20 has run, but only a part of its neighbours.
    assert_eq!(reasons, [None, well, None, None]);
}

pub(crate) async fn a_backfill_of_many_intervals_is_created_with_few_statements(place: &TestPlace) {
    let store = place.open();
    let taken: Vec<i64> = (0..1500).step_by(3).collect();
    store
        .create_backfill(new(&taken, OnExisting::Skip))
        .await
        .unwrap();
    let all: Vec<i64> = (0..1500).collect();
    let number = store
        .create_backfill(NewBackfill {
            intervals: all
                .iter()
                .map(|one| {
                    let skip = (one % 3 == 1).then_some(BackfillSkip::NotDue);
                    (interval(*one), skip)
                })
                .collect(),
            ..new(&[], OnExisting::Skip)
        })
        .await
        .unwrap();
    let found = states(&*store, number).await;
    assert_eq!(found.len(), all.len());
    for (number, _, reason, _) in found {
        let expected = [
            Some(BackfillSkip::OtherBackfill),
            Some(BackfillSkip::NotDue),
            None,
        ][(number % 3) as usize];
        assert_eq!(reason, expected, "{number}");
    }
}

/// Begins a scheduled interval again and again with processes that die, and returns the last answer.
async fn dies(place: &TestPlace, run: impl Fn(&str, i64) -> NewRun, times: i64) -> Opened {
    for time in 0.. {
        let store = place.open();
        let worker = format!("dies{}.{time}", place.at_us());
        let opened = store.open_run(run(&worker, time)).await.unwrap();
        if time == times {
            return opened;
        }
        assert!(
            matches!(opened, Opened::New(_) | Opened::Resumed(_)),
            "{time}: {opened:?}"
        );
    }
    unreachable!()
}

pub(crate) async fn a_run_that_kills_its_processes_is_given_up(place: &TestPlace) {
    use IntervalState::{Failed, Waiting};
    let store = place.open();
    store
        .create_backfill(new(&[1, 2], OnExisting::Skip))
        .await
        .unwrap();
    drop(store);
    let one = |worker: &str, time: i64| run_of(place, worker, 1, 1, time);
    let name = match dies(place, one, 4).await {
        Opened::Resumed(run) => run.name,
        other => panic!("{other:?}"),
    };
    let store = place.open();
    place.at(5 * (LEASE_US + 1));
    let lost = |store: std::sync::Arc<dyn towpath_ports::StateStore>| {
        let name = name.clone();
        async move { store.lost_processes(&name, &"dev".into()).await.unwrap() }
    };
    assert_eq!(lost(store.clone()).await, MOST_LOST_PROCESSES);
    // It fails, with the reason, and what comes next begins.
    let last = store.open_run(run_of(place, "w9", 1, 1, 5)).await.unwrap();
    let Opened::GivenUp(run) = last else {
        panic!("{last:?}");
    };
    assert_eq!((&run.name, run.state), (&name, RunState::Failed));
    let failures = run.tasks.iter().filter_map(|task| task.failure.as_ref());
    let codes: Vec<_> = failures.map(|failure| failure.code.as_str()).collect();
    assert_eq!(codes, ["R0814"]);
    assert!(run.tasks.iter().all(|task| task.state.is_final()));
    let events = crate::place::assert_gapless(&store, &run).await;
    let end = events.last().unwrap();
    assert_eq!(
        (end.kind.as_str(), &end.body["processes"]),
        ("run_failed", &5.into())
    );
    assert_eq!(lost(store.clone()).await, 0);
    assert_eq!(
        states(&*store, 1).await,
        [(1, Failed, None, Some(1)), (2, Waiting, None, None)]
    );
    let run = store.open_run(run_of(place, "w9", 1, 2, 5)).await.unwrap();
    opened_new(run);
}

pub(crate) async fn a_run_that_gets_on_is_not_given_up(place: &TestPlace) {
    let store = place.open();
    store
        .create_backfill(new(&[1], OnExisting::Skip))
        .await
        .unwrap();
    drop(store);
    let one = |worker: &str, time: i64| run_of(place, worker, 1, 1, time);
    let Opened::Resumed(run) = dies(place, one, 4).await else {
        panic!("not resumed");
    };
    // A task ends well before the fifth one dies.
    let store = place.open();
    let fence = run.tasks[0].fence;
    start_and_end(&store, &run, 0, TaskState::Succeeded, fence).await;
    place.at(5 * (LEASE_US + 1));
    let lost = store.lost_processes(&run.name, &run.environment).await;
    assert_eq!(lost.unwrap(), 1);
    drop(store);
    let later = |worker: &str, time: i64| run_of(place, worker, 1, 1, time + 5);
    let opened = dies(place, later, 3).await;
    assert!(matches!(opened, Opened::Resumed(_)), "{opened:?}");
    // A user may begin what the servers do not begin any more.
    let store = place.open();
    place.at(20 * LEASE_US);
    let hand = store.open_run(by_hand(place, "hand", 1, 20)).await.unwrap();
    opened_resumed(hand);
}
