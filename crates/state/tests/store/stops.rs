//! What every state store promises about requests that a run stops, and about deadlines.
//!
//! Each function is one test on an empty store. Read next: `schedules.rs`, `../store.rs` (who runs these).

use std::sync::Arc;

use towpath_ports::{
    IntervalState, NewRun, Opened, RunEventKind, RunRecord, RunState, RunStop, RunUpdate,
    RunUpdateResult, ScheduleUpdate, SkipReason, StateStore, StopReason, StopResult, TaskState,
};

use crate::place::{
    LEASE_US, TestPlace, assert_gapless, move_of, opened_new, opened_resumed, start_and_end,
};
use crate::schedules::{scheduled, states, update};

fn by_user(at_once: bool) -> RunStop {
    RunStop {
        why: StopReason::User,
        at_once,
        by: Some("ann".to_owned()),
    }
}

async fn asks(store: &Arc<dyn StateStore>, run: &RunRecord, stop: &RunStop) -> StopResult {
    let asked = store.request_stop(&run.name, &run.environment, stop);
    asked.await.unwrap()
}

async fn close(store: &Arc<dyn StateStore>, run: &RunRecord, state: RunState) {
    let closed = store.close_run(&run.name, &run.environment, state, &run.worker, 1);
    closed.await.unwrap();
}

async fn reasons(store: &Arc<dyn StateStore>) -> Vec<Option<SkipReason>> {
    let (dev, shop) = ("dev".into(), "shop".into());
    let all = store.scheduled_intervals(&dev, Some(&shop), 100).await;
    all.unwrap().iter().rev().map(|one| one.reason).collect()
}

/// A store in which the first two intervals wait.
async fn with_two(place: &TestPlace) -> Arc<dyn StateStore> {
    let store = place.open();
    let decided = update(None, 20, &[(0, None), (1, None)]);
    assert!(store.update_schedule(decided).await.unwrap());
    store
}

pub(crate) async fn a_run_that_is_to_stop_begins_no_task(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    assert_eq!((&run.stop, run.deadline_us), (&None, None));
    let ready = move_of(&run, 0, TaskState::Waiting, TaskState::Ready, 0);
    assert!(store.transition(ready).await.unwrap());
    assert_eq!(
        asks(&store, &run, &by_user(false)).await,
        StopResult::Requested
    );
    // The same again adds nothing; what asks for more does.
    assert_eq!(
        asks(&store, &run, &by_user(false)).await,
        StopResult::Requested
    );
    assert_eq!(
        asks(&store, &run, &by_user(true)).await,
        StopResult::Requested
    );
    assert_eq!(
        asks(&store, &run, &by_user(false)).await,
        StopResult::Requested
    );
    let found = store.stop_request(&run.name, &run.environment).await;
    assert_eq!(found.unwrap(), Some(by_user(true)));
    assert_eq!(store.claim_ready("w1", 9).await.unwrap(), []);
    let claim = RunUpdate {
        run: run.name.clone(),
        environment: run.environment.clone(),
        worker: "w1".to_owned(),
        after_seq: None,
        transitions: Vec::new(),
        claim: 3,
        now_us: 5,
    };
    match store.advance(claim).await.unwrap() {
        RunUpdateResult::Done { claims, .. } => assert_eq!(claims, []),
        other => panic!("{other:?}"),
    }
    let events = assert_gapless(&store, &run).await;
    let asked = events
        .iter()
        .filter(|event| event.kind == RunEventKind::StopRequested);
    let asked: Vec<_> = asked.map(|event| event.body["by"].as_str()).collect();
    assert_eq!(asked, [Some("ann"), Some("ann")]);
    close(&store, &run, RunState::Cancelled).await;
    assert_eq!(
        asks(&store, &run, &by_user(true)).await,
        StopResult::NotRunning
    );
    // Who waited for it gets a run of its own: the one that was stopped stays so.
    let next = opened_new(store.open_run(place.new_run("w2", "h", 0)).await.unwrap());
    assert_eq!((next.name.number, &next.stop), (run.name.number + 1, &None));
}

pub(crate) async fn a_cancelled_run_leaves_its_interval_skipped(place: &TestPlace) {
    use IntervalState::{Running, Skipped, Succeeded, Waiting};
    let store = with_two(place).await;
    let run = scheduled(place, "w1", "h", 0, 0);
    let run = opened_new(store.open_run(run).await.unwrap());
    asks(&store, &run, &by_user(false)).await;
    assert_eq!(states(&*store).await, [(Running, Some(1)), (Waiting, None)]);
    close(&store, &run, RunState::Cancelled).await;
    assert_eq!(states(&*store).await, [(Skipped, Some(1)), (Waiting, None)]);
    assert_eq!(reasons(&store).await, [Some(SkipReason::Cancelled), None]);
    let again = store.open_run(scheduled(place, "w1", "h", 0, 0)).await;
    assert!(matches!(again.unwrap(), Opened::Decided));
    // Done again by a user, it has its run after all.
    let again = NewRun {
        scheduled: false,
        ..scheduled(place, "w1", "h", 0, 0)
    };
    let again = opened_new(store.open_run(again).await.unwrap());
    close(&store, &again, RunState::Succeeded).await;
    assert_eq!(
        states(&*store).await,
        [(Succeeded, Some(2)), (Waiting, None)]
    );
    assert_eq!(reasons(&store).await, [None, None]);
}

pub(crate) async fn a_dead_run_that_is_to_stop_ends(place: &TestPlace) {
    use IntervalState::{Skipped, Waiting};
    let store = with_two(place).await;
    let run = scheduled(place, "w1", "h", 0, 0);
    let run = opened_new(store.open_run(run).await.unwrap());
    let start = move_of(&run, 0, TaskState::Waiting, TaskState::Running, 0);
    assert!(store.transition(start).await.unwrap());
    // Its process is dead when it is asked.
    place.at(LEASE_US + 1);
    assert_eq!(asks(&store, &run, &by_user(false)).await, StopResult::Ended);
    let ended = store.run(&run.name, &run.environment).await;
    let ended = ended.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Cancelled);
    let is_ended = |task: &towpath_ports::TaskRecord| task.state == TaskState::Cancelled;
    assert!(ended.tasks.iter().all(is_ended), "{:?}", ended.tasks);
    assert_eq!(states(&*store).await, [(Skipped, Some(1)), (Waiting, None)]);
    assert_gapless(&store, &run).await;
    // Its process dies after it was asked: who comes next ends it and does not resume it.
    let run = scheduled(place, "w2", "h", 1, 2);
    let run = opened_new(store.open_run(run).await.unwrap());
    asks(&store, &run, &by_user(false)).await;
    let next = store.open_run(scheduled(place, "w3", "h", 1, 5)).await;
    assert!(matches!(next.unwrap(), Opened::Decided));
    assert_eq!(
        states(&*store).await,
        [(Skipped, Some(1)), (Skipped, Some(2))]
    );
}

pub(crate) async fn a_dead_run_whose_tasks_had_ended_is_not_cancelled(place: &TestPlace) {
    for (end, state) in [
        (TaskState::Succeeded, RunState::Succeeded),
        (TaskState::Failed, RunState::Failed),
    ] {
        let place = place.another();
        let store = place.open();
        let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
        for task in 0..3 {
            start_and_end(&store, &run, task, end, 0).await;
        }
        place.at(LEASE_US + 1);
        assert_eq!(asks(&store, &run, &by_user(false)).await, StopResult::Ended);
        let ended = store.run(&run.name, &run.environment).await;
        assert_eq!(ended.unwrap().unwrap().state, state);
    }
}

pub(crate) async fn a_dead_run_that_is_to_stop_ends_by_itself(place: &TestPlace) {
    let store = place.open();
    let dev = "dev".into();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    asks(&store, &run, &by_user(false)).await;
    assert_eq!(store.end_cancelled_runs(&dev).await.unwrap(), 0);
    place.at(LEASE_US + 1);
    assert_eq!(store.end_cancelled_runs(&dev).await.unwrap(), 1);
    assert_eq!(store.end_cancelled_runs(&dev).await.unwrap(), 0);
    let ended = store.run(&run.name, &dev).await.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Cancelled);
}

pub(crate) async fn a_decision_stops_the_run_before_it(place: &TestPlace) {
    use IntervalState::{Running, Skipped, Waiting};
    let store = with_two(place).await;
    let run = scheduled(place, "w1", "h", 0, 0);
    let run = opened_new(store.open_run(run).await.unwrap());
    // A user stopped this one, so it would go on later.
    let overlap = |at_once| RunStop {
        why: StopReason::Overlap,
        at_once,
        by: None,
    };
    let next = |fence, number: i64, stop| ScheduleUpdate {
        stop: Some(stop),
        ..update(Some(fence), number * 10 + 10, &[(number, None)])
    };
    let mut second = next(1, 2, overlap(false));
    second.skipped = vec![(20, SkipReason::Newer)];
    // One that comes too late asks nothing.
    assert!(
        !store
            .update_schedule(next(9, 2, overlap(true)))
            .await
            .unwrap()
    );
    let asked = async || store.stop_request(&run.name, &run.environment).await;
    assert_eq!(asked().await.unwrap(), None);
    assert!(store.update_schedule(second).await.unwrap());
    assert_eq!(asked().await.unwrap(), Some(overlap(false)));
    assert!(
        store
            .update_schedule(next(2, 3, overlap(true)))
            .await
            .unwrap()
    );
    assert_eq!(asked().await.unwrap(), Some(overlap(true)));
    close(&store, &run, RunState::Cancelled).await;
    let replaced = Some(SkipReason::Replaced);
    let newer = Some(SkipReason::Newer);
    assert_eq!(reasons(&store).await, [replaced, newer, None, None]);
    // One that a user has stopped waits with its run, and gives way, too.
    let run = scheduled(place, "w1", "h", 2, 0);
    let run = opened_new(store.open_run(run).await.unwrap());
    close(&store, &run, RunState::Cancelled).await;
    let mut last = next(3, 4, overlap(false));
    last.skipped = vec![(30, SkipReason::Replaced)];
    assert!(store.update_schedule(last).await.unwrap());
    assert_eq!(
        states(&*store).await[2..],
        [(Skipped, Some(2)), (Waiting, None), (Waiting, None)]
    );
    let run = scheduled(place, "w1", "h", 3, 0);
    opened_new(store.open_run(run).await.unwrap());
    assert_eq!(states(&*store).await[3], (Running, Some(3)));
}

pub(crate) async fn a_run_that_a_user_goes_on_with_is_not_replaced(place: &TestPlace) {
    let store = with_two(place).await;
    let run = scheduled(place, "w1", "h", 0, 0);
    let run = opened_new(store.open_run(run).await.unwrap());
    close(&store, &run, RunState::Cancelled).await;
    let by_user = NewRun {
        interval: None,
        scheduled: false,
        ..scheduled(place, "w2", "h", 0, 0)
    };
    let again = opened_resumed(store.open_run(by_user).await.unwrap());
    assert_eq!(again.name, run.name);
    assert_eq!(states(&*store).await[0], (IntervalState::Running, Some(1)));
    let next = ScheduleUpdate {
        stop: Some(RunStop {
            why: StopReason::Overlap,
            at_once: true,
            by: None,
        }),
        ..update(Some(1), 30, &[(2, None)])
    };
    assert!(store.update_schedule(next).await.unwrap());
    let asked = store.stop_request(&run.name, &run.environment).await;
    assert_eq!(asked.unwrap(), None);
}

pub(crate) async fn a_deadline_begins_with_its_run(place: &TestPlace) {
    let store = place.open();
    let new = |worker: &str, at_us| NewRun {
        deadline_ms: Some(90_000),
        ..place.new_run(worker, "h", at_us)
    };
    let run = opened_new(store.open_run(new("w1", 1_000)).await.unwrap());
    assert_eq!(run.deadline_us, Some(90_001_000));
    // Its process dies: the time goes on.
    let later = 1_000 + LEASE_US + 1;
    let run = opened_resumed(store.open_run(new("w2", later)).await.unwrap());
    assert_eq!(run.deadline_us, Some(90_001_000));
    // What is left is said by the clock of the store.
    assert_eq!(run.left_us, Some(90_001_000 - later));
    // Its user stops it and goes on later: it has all of its time again.
    close(&store, &run, RunState::Cancelled).await;
    let run = opened_resumed(store.open_run(new("w3", 2 * later)).await.unwrap());
    assert_eq!(run.deadline_us, Some(90_000_000 + 2 * later));
    // Its process dies and a user goes on with it: the schedule says nothing about that.
    let by_user = place.new_run("w4", "h", 4 * later);
    let run = opened_resumed(store.open_run(by_user).await.unwrap());
    assert_eq!((run.deadline_us, run.left_us), (None, None));
}
