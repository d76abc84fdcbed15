//! Subscribers of some kinds of events, and duties that one process has at a time.

use towpath_ports::{RunEventKind, RunState, StateStore as _, TaskState};

use crate::place::{TestPlace, move_of, opened_new};

pub(crate) async fn a_subscriber_gets_the_kinds_it_asked_for(place: &TestPlace) {
    let store = place.open();
    let ends = [
        RunEventKind::RunEnded(RunState::Failed),
        RunEventKind::RunEnded(RunState::Succeeded),
    ];
    store.subscribe("a/one", &ends).await.unwrap();
    store.subscribe("a/two", &[]).await.unwrap();
    store.subscribe("b/one", &ends[1..]).await.unwrap();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    let start = move_of(&run, 0, TaskState::Waiting, TaskState::Running, 0);
    assert!(store.transition(start).await.unwrap());
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Failed, "w1", 9)
        .await
        .unwrap();
    let kinds = async |subscriber: &str| {
        let waiting = store.outbox(subscriber, 9).await.unwrap();
        let words = waiting.iter().map(|one| one.event.kind.as_str());
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds("a/one").await, "run_failed");
    assert_eq!(kinds("b/one").await, "");
    assert!(kinds("a/two").await.ends_with("task_running run_failed"));
    // Asking again keeps what waits.
    store.subscribe("a/one", &ends[1..]).await.unwrap();
    assert_eq!(kinds("a/one").await, "run_failed");
    store
        .retain_subscribers("a/", &["a/one".to_owned()])
        .await
        .unwrap();
    assert_eq!(kinds("a/one").await, "run_failed");
    assert_eq!(kinds("a/two").await, "");
    store.retain_subscribers("a/", &[]).await.unwrap();
    assert_eq!(kinds("a/one").await, "");
}

pub(crate) async fn a_duty_has_one_holder_until_its_time_is_over(place: &TestPlace) {
    let store = place.open();
    let hour = 3_600_000_000;
    assert!(store.take_duty("alerts", "a", hour).await.unwrap());
    assert!(!store.take_duty("alerts", "b", hour).await.unwrap());
    assert!(store.take_duty("others", "b", hour).await.unwrap());
    assert!(store.take_duty("alerts", "a", 0).await.unwrap());
    assert!(store.take_duty("alerts", "b", hour).await.unwrap());
    assert!(!store.take_duty("alerts", "a", hour).await.unwrap());
    // Who has lost a duty cannot give it away.
    store.leave_duty("alerts", "a").await.unwrap();
    assert!(!store.take_duty("alerts", "a", hour).await.unwrap());
    store.leave_duty("alerts", "b").await.unwrap();
    assert!(store.take_duty("alerts", "a", hour).await.unwrap());
}
