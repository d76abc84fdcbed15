//! Submitted runs beside other runs, stops and failures; and the lists of the HTTP API.
//!
//! Each function is one test on an empty store. Read next: `api.rs`, `../store.rs` (who runs these).

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use serde_json::json;
use towpath_ports::{
    FeedPosition, NewRun, Opened, RunEvent, RunKind, RunRecord, RunState, RunStop, StateStore,
    StopReason, StopResult, Submission, SubmittedRun, TaskState,
};
use towpath_vocab::{CheckOutcome, CheckResult, Environment, Failure, PipelineName, Remedy};

use crate::place::{LEASE_US, TestPlace, opened_new, opened_resumed};
use crate::schedules::{scheduled, update};

fn dev() -> &'static Environment {
    static DEV: LazyLock<Environment> = LazyLock::new(|| "dev".into());
    &DEV
}

fn submission(token: &str, key: &str) -> Submission {
    Submission {
        environment: "dev".into(),
        token: token.to_owned(),
        key: key.to_owned(),
        request: json!({ "pipeline": "shop" }),
        by: "token ci".to_owned(),
    }
}

async fn submit(store: &Arc<dyn StateStore>, run: NewRun, key: &str) -> SubmittedRun {
    let submitted = store.api().open_submitted(run, submission("t1", key));
    submitted.await.unwrap()
}

fn opened(submitted: SubmittedRun) -> Opened {
    match submitted {
        SubmittedRun::Opened(opened) => opened,
        other => panic!("{other:?}"),
    }
}

async fn end(store: &Arc<dyn StateStore>, run: &RunRecord, state: RunState) {
    let closed = store.close_run(&run.name, &run.environment, state, &run.worker, 1);
    closed.await.unwrap();
}

pub(crate) async fn a_key_of_another_token_is_another_key(place: &TestPlace) {
    let store = place.open();
    let first = opened_new(opened(
        submit(&store, place.new_run("w1", "h", 0), "k").await,
    ));
    end(&store, &first, RunState::Succeeded).await;
    let other = submission("t2", "k");
    let other = store
        .api()
        .open_submitted(place.new_run("w2", "h", 1), other);
    let second = opened_new(opened(other.await.unwrap()));
    assert_ne!(first.name, second.name);
    let of = async |token: &str| {
        let found = store.api().submitted(dev(), token, "k");
        found.await.unwrap().unwrap().1.name
    };
    assert_eq!((of("t1").await, of("t2").await), (first.name, second.name));
}

pub(crate) async fn a_key_has_one_run_that_may_end_at_once(place: &TestPlace) {
    let stores: Vec<_> = (0..6).map(|_| place.open()).collect();
    for round in 0..12 {
        let key = format!("k{round}");
        let tries = stores.iter().enumerate().map(|(number, store)| {
            let run = place.new_run(&format!("w{number}-{round}"), "h", 0);
            let key = key.clone();
            async move {
                match submit(store, run, &key).await {
                    SubmittedRun::Opened(Opened::New(run)) => {
                        end(store, &run, RunState::Succeeded).await;
                        run.name
                    }
                    SubmittedRun::Known(run) => run.name,
                    other => panic!("{other:?}"),
                }
            }
        });
        let names: BTreeSet<String> = futures::future::join_all(tries)
            .await
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
    let all = stores[0].runs(Default::default()).await.unwrap();
    assert_eq!(all.len(), 12);
}

pub(crate) async fn a_submission_takes_over_no_other_run(place: &TestPlace) {
    let store = place.open();
    // One that a terminal stopped, one that a terminal left when its process died.
    let stopped = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    end(&store, &stopped, RunState::Cancelled).await;
    let mine = opened_new(opened(
        submit(&store, place.new_run("w2", "h", 1), "k1").await,
    ));
    assert_ne!(mine.name, stopped.name);
    end(&store, &mine, RunState::Succeeded).await;
    let left = opened_new(store.open_run(place.new_run("w3", "h", 2)).await.unwrap());
    drop(store);
    let store = place.open();
    let later = LEASE_US + 3;
    let mine = opened_new(opened(
        submit(&store, place.new_run("w4", "h", later), "k2").await,
    ));
    assert_ne!(mine.name, left.name);
    let left = store.run(&left.name, dev()).await.unwrap().unwrap();
    assert_eq!(left.state, RunState::Superseded);
    // One that servers go on with.
    drop(store);
    let store = place.open();
    let later = 2 * LEASE_US + 4;
    let busy = opened(submit(&store, place.new_run("w5", "h", later), "k3").await);
    assert!(
        matches!(busy, Opened::Busy(ref run) if run.name == mine.name),
        "{busy:?}"
    );
    let kept = store.api().submitted(dev(), "t1", "k3");
    assert!(kept.await.unwrap().is_none());
}

pub(crate) async fn the_schedule_waits_for_a_submitted_run(place: &TestPlace) {
    let store = place.open();
    let due = update(None, 20, &[(0, None), (1, None)]);
    assert!(store.update_schedule(due).await.unwrap());
    let mine = opened_new(opened(
        submit(&store, place.new_run("w1", "h", 0), "k1").await,
    ));
    drop(store);
    let store = place.open();
    let next = store.open_run(scheduled(place, "w2", "h", 0, 1)).await;
    let next = next.unwrap();
    assert!(
        matches!(next, Opened::Busy(ref run) if run.name == mine.name),
        "{next:?}"
    );
    let run = place.new_run("w3", "h", 2 * LEASE_US);
    let mine = opened_resumed(opened(submit(&store, run, "k1").await));
    end(&store, &mine, RunState::Succeeded).await;
    let next = opened_new(
        store
            .open_run(scheduled(place, "w4", "h", 0, 3))
            .await
            .unwrap(),
    );
    // The other way round, a submitted run waits for one of the schedule.
    drop(store);
    let store = place.open();
    let busy = opened(submit(&store, place.new_run("w5", "h", 5 * LEASE_US), "k2").await);
    assert!(
        matches!(busy, Opened::Busy(ref run) if run.name == next.name),
        "{busy:?}"
    );
}

pub(crate) async fn a_terminal_goes_on_with_a_submitted_run(place: &TestPlace) {
    let store = place.open();
    let mine = opened_new(opened(
        submit(&store, place.new_run("w1", "h", 0), "k").await,
    ));
    drop(store);
    let store = place.open();
    let run = place.new_run("w2", "h", LEASE_US + 1);
    let resumed = opened_resumed(store.open_run(run).await.unwrap());
    assert_eq!(resumed.name, mine.name);
    let again = submit(&store, place.new_run("w3", "h", LEASE_US + 2), "k").await;
    assert!(matches!(again, SubmittedRun::Known(ref run) if run.name == mine.name));
}

pub(crate) async fn a_submitted_run_that_was_asked_to_stop_is_not_begun_again(place: &TestPlace) {
    let store = place.open();
    let mine = opened_new(opened(
        submit(&store, place.new_run("w1", "h", 0), "k").await,
    ));
    let stop = RunStop {
        why: StopReason::User,
        at_once: false,
        by: Some("token ops".to_owned()),
    };
    let asked = store.request_stop(&mine.name, &mine.environment, &stop);
    assert_eq!(asked.await.unwrap(), StopResult::Requested);
    let unfinished = store.api().unfinished_submissions(dev());
    assert!(unfinished.await.unwrap().is_empty());
    drop(store);
    let store = place.open();
    let again = submit(&store, place.new_run("w2", "h", LEASE_US + 1), "k").await;
    let SubmittedRun::Known(ended) = again else {
        panic!("it is begun again: {again:?}");
    };
    assert_eq!((ended.name, ended.state), (mine.name, RunState::Cancelled));
    assert_eq!(ended.stop, Some(stop));
}

pub(crate) async fn a_run_that_cannot_go_on_fails_with_its_reason(place: &TestPlace) {
    let store = place.open();
    let run = place.new_run("w1", "h", 0);
    let mine = opened_new(opened(submit(&store, run, "k").await));
    let failure = Failure::new("R1129", Remedy::FixConfig, "the project has mistakes");
    let failing = async |store: &Arc<dyn StateStore>| {
        let api = store.api();
        let failed = api.fail_run(&mine.name, &mine.environment, &failure).await;
        failed.unwrap()
    };
    assert!(!failing(&store).await, "its process lives");
    drop(store);
    let store = place.open();
    place.at(LEASE_US + 1);
    assert!(failing(&store).await);
    assert!(!failing(&store).await);
    let failed = store.run(&mine.name, dev()).await.unwrap().unwrap();
    assert_eq!(failed.state, RunState::Failed);
    assert_eq!(failed.tasks[0].state, TaskState::Failed);
    assert_eq!(failed.tasks[0].failure.as_ref(), Some(&failure));
    assert_eq!(failed.tasks[1].state, TaskState::Cancelled);
    let again = submit(&store, place.new_run("w3", "h", LEASE_US + 2), "k").await;
    assert!(matches!(again, SubmittedRun::Known(_)), "{again:?}");
}

pub(crate) async fn old_keys_are_forgotten_when_their_run_has_ended(place: &TestPlace) {
    const MONTH_US: i64 = 31 * 24 * 60 * 60 * 1_000_000;
    let store = place.open();
    let mine = opened_new(opened(
        submit(&store, place.new_run("w1", "h", 0), "old").await,
    ));
    end(&store, &mine, RunState::Succeeded).await;
    let new = opened_new(opened(
        submit(&store, place.new_run("w2", "h", MONTH_US), "new").await,
    ));
    let known = async |key: &str| {
        let found = store.api().submitted(dev(), "t1", key).await;
        found.unwrap().map(|(_, run)| run.name)
    };
    assert_eq!(
        (known("old").await, known("new").await),
        (None, Some(new.name))
    );
}

pub(crate) async fn lists_of_the_api_are_read_in_pieces(place: &TestPlace) {
    let store = place.open();
    let api = store.api();
    let mut names = Vec::new();
    for number in 0..4 {
        let run = place.new_run(&format!("w{number}"), "h", number);
        let run = opened_new(store.open_run(run).await.unwrap());
        let table = ["raw.a", "raw.b"][usize::try_from(number).unwrap() % 2];
        let checks: Vec<CheckResult> = ["rows", "keys"]
            .map(|name| CheckResult {
                table: table.parse().unwrap(),
                name: name.to_owned(),
                kind: "rows".to_owned(),
                outcome: CheckOutcome::Pass,
                value: 1.0,
                threshold: String::new(),
                message: String::new(),
                samples: Vec::new(),
                elapsed_ms: 1,
            })
            .into();
        let kept = store.put_checks(&run.name, &run.environment, number, &checks);
        kept.await.unwrap();
        end(&store, &run, RunState::Succeeded).await;
        names.insert(0, run.name);
    }
    let pipelines: [PipelineName; 2] = ["shop".into(), "none".into()];
    let newest = api.newest_runs(dev(), &pipelines, Some(RunKind::Run), 3);
    let newest: Vec<_> = newest.await.unwrap();
    assert_eq!(
        newest.iter().map(|run| &run.name).collect::<Vec<_>>(),
        [&names[0], &names[1], &names[2]]
    );
    assert!(
        newest
            .iter()
            .all(|run| !run.interrupted && run.ended_us == Some(1))
    );
    let all = store.events(&names[0], dev(), 0).await.unwrap();
    let first = api.events_page(&names[0], dev(), 0, 1).await.unwrap();
    let rest = api.events_page(&names[0], dev(), first[0].seq, 9);
    let seqs = |events: Vec<RunEvent>| events.iter().map(|one| one.seq).collect::<Vec<_>>();
    let pieces = [first, rest.await.unwrap()].concat();
    assert_eq!(seqs(pieces), seqs(all));
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let table = "raw.a".parse().unwrap();
        let piece = api
            .checks_page(dev(), Some(&table), before, 3)
            .await
            .unwrap();
        let Some(last) = piece.last() else { break };
        before = Some(last.id);
        found.extend(
            piece
                .iter()
                .map(|one| (one.run.number, one.result.name.clone())),
        );
    }
    let wanted = [(3, "keys"), (3, "rows"), (1, "keys"), (1, "rows")];
    assert_eq!(found, wanted.map(|(run, name)| (run, name.to_owned())));
}

pub(crate) async fn a_reader_of_the_feed_is_past_what_others_do(place: &TestPlace) {
    let store = place.open();
    let run = place.new_run("w1", "h", 0);
    let run = opened_new(store.open_run(run).await.unwrap());
    end(&store, &run, RunState::Succeeded).await;
    let begin = FeedPosition::default();
    let began = std::time::Instant::now();
    // On a server, open transactions of other tests hold the end back.
    loop {
        let piece = store.api().feed(&"prod".into(), begin, 10).await.unwrap();
        assert!(piece.events.is_empty());
        let rest = store.api().feed(dev(), piece.position, 10);
        if rest.await.unwrap().events.is_empty() && piece.position > begin {
            let all = store.api().feed(dev(), begin, 10).await.unwrap();
            let is_past = all.events.iter().all(|one| one.position < piece.position);
            if all.events.len() == 2 && is_past {
                break;
            }
        }
        assert!(began.elapsed().as_secs() < 30);
    }
}
