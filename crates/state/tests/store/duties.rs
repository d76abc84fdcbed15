//! Subscribers of some kinds of events, and duties that one process has at a time.

use towpath_ports::{RunEventKind, RunState, Subscription, TaskState};
use towpath_vocab::Environment;

use crate::place::{TestPlace, move_of, opened_new};

const ENDS: [RunEventKind; 2] = [
    RunEventKind::RunEnded(RunState::Failed),
    RunEventKind::RunEnded(RunState::Succeeded),
];

pub(crate) async fn a_subscriber_gets_the_kinds_it_asked_for(place: &TestPlace) {
    let store = place.open();
    let subscribe = async |name: &str, environment: &str, kinds: &[RunEventKind]| {
        let subscription = Subscription {
            name: name.to_owned(),
            environment: Some(Environment::new(environment)),
            kinds: kinds.to_vec(),
        };
        store.subscribe(&subscription).await.unwrap();
    };
    subscribe("a/one", "dev", &ENDS).await;
    subscribe("a/two", "dev", &[]).await;
    subscribe("b/one", "dev", &ENDS[1..]).await;
    subscribe("c/one", "prod", &ENDS).await;
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
    assert_eq!(kinds("c/one").await, "", "of another environment");
    // Asking again keeps what waits.
    subscribe("a/one", "dev", &ENDS[1..]).await;
    assert_eq!(kinds("a/one").await, "run_failed");
    let counts = store.outbox_counts().await.unwrap();
    assert!(counts.contains(&("a/one".to_owned(), 1)), "{counts:?}");
    // What is in use is kept; what nobody has used for so long is removed.
    store.forget_subscribers("a/", 3_600_000_000).await.unwrap();
    assert_eq!(kinds("a/one").await, "run_failed");
    store.forget_subscribers("b/", -1).await.unwrap();
    assert_eq!(kinds("a/one").await, "run_failed");
    store.forget_subscribers("a/", -1).await.unwrap();
    assert_eq!(kinds("a/one").await + &kinds("a/two").await, "");
}

pub(crate) async fn the_run_before_is_known_by_its_end(place: &TestPlace) {
    let store = place.open();
    let mut last = None;
    for (worker, state) in [("w1", RunState::Failed), ("w2", RunState::Succeeded)] {
        let run = opened_new(store.open_run(place.new_run(worker, "h", 0)).await.unwrap());
        let (name, dev) = (&run.name, &run.environment);
        let before = store.ended_before(name, dev, u64::MAX >> 1).await.unwrap();
        assert_eq!(before, last, "{name}");
        store.close_run(name, dev, state, worker, 9).await.unwrap();
        let own = store.ended_before(name, dev, u64::MAX >> 1).await.unwrap();
        last = Some(state);
        assert_eq!(own, last, "{name}: its own end counts for what comes later");
        let succeeded = store.last_succeeded(&name.pipeline, dev).await.unwrap();
        assert_eq!(succeeded.is_some(), state == RunState::Succeeded);
    }
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
