//! What every state store promises to the HTTP API: tokens, submitted runs, pages, and the feed of events.
//!
//! Each function is one test on an empty store. Read next: `suite.rs`, `../store.rs` (who runs these).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use towpath_ports::{
    FeedPosition, MOST_LOST_PROCESSES, NewApiToken, NewRun, Opened, RunPage, RunRecord, RunState,
    StateStore, Submission, SubmittedRun, TokenScope,
};
use towpath_vocab::{Environment, RunName};

use crate::place::{LEASE_US, TestPlace, opened_new};

/// How long anything may take.
const LONG: std::time::Duration = std::time::Duration::from_secs(60);

fn dev() -> Environment {
    "dev".into()
}

fn token(id: &str, name: &str) -> NewApiToken {
    NewApiToken {
        environment: dev(),
        id: id.to_owned(),
        name: name.to_owned(),
        scope: TokenScope::Operate,
        hash: format!("hash of {id}"),
        by: "ann".to_owned(),
    }
}

pub(crate) async fn a_token_has_its_name_until_it_is_revoked(place: &TestPlace) {
    let store = place.open();
    let api = store.api();
    let created = api.create_token(token("a", "ci")).await.unwrap().unwrap();
    assert_eq!(
        (created.name.as_str(), created.scope),
        ("ci", TokenScope::Operate)
    );
    assert!(api.create_token(token("b", "ci")).await.unwrap().is_none());
    let (found, hash) = api.token(&dev(), "a").await.unwrap().unwrap();
    assert_eq!((found, hash.as_str()), (created, "hash of a"));
    assert!(api.token(&"prod".into(), "a").await.unwrap().is_none());

    assert!(
        api.revoke_token(&dev(), "cd", "bob")
            .await
            .unwrap()
            .is_none()
    );
    let revoked = api
        .revoke_token(&dev(), "ci", "bob")
        .await
        .unwrap()
        .unwrap();
    assert!(revoked.revoked_us.is_some());
    assert_eq!(revoked.revoked_by.as_deref(), Some("bob"));
    assert!(
        api.revoke_token(&dev(), "ci", "bob")
            .await
            .unwrap()
            .is_none()
    );
    assert!(api.create_token(token("b", "ci")).await.unwrap().is_some());
    let ids = api
        .tokens(&dev())
        .await
        .unwrap()
        .into_iter()
        .map(|token| token.id);
    assert_eq!(
        ids.collect::<BTreeSet<_>>(),
        BTreeSet::from(["a".to_owned(), "b".to_owned()])
    );
}

fn submission(key: &str) -> Submission {
    Submission {
        environment: dev(),
        token: "t1".to_owned(),
        key: key.to_owned(),
        request: json!({ "pipeline": "shop", "params": { "day": "2026-01-01" } }),
        by: "token ci".to_owned(),
    }
}

async fn submit(store: &Arc<dyn StateStore>, run: NewRun, key: &str) -> SubmittedRun {
    store
        .api()
        .open_submitted(run, submission(key))
        .await
        .unwrap()
}

async fn end(store: &Arc<dyn StateStore>, run: &RunRecord) {
    let environment = dev();
    let closed = store.close_run(&run.name, &environment, RunState::Failed, &run.worker, 1);
    closed.await.unwrap();
}

fn opened(submitted: SubmittedRun) -> Opened {
    match submitted {
        SubmittedRun::Opened(opened) => opened,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_key_has_one_run(place: &TestPlace) {
    let store = place.open();
    let first = submit(&store, place.new_run("w1", "h", 0), "k").await;
    let first = opened_new(opened(first));
    let again = submit(&store, place.new_run("w2", "h", 1), "k").await;
    assert!(matches!(again, SubmittedRun::Known(ref known) if known.name == first.name));
    // Another key finds the pipeline busy, and is free for another try.
    let busy = opened(submit(&store, place.new_run("w3", "h", 2), "k2").await);
    assert!(matches!(busy, Opened::Busy(_)), "{busy:?}");
    assert!(
        store
            .api()
            .submitted(&dev(), "t1", "k2")
            .await
            .unwrap()
            .is_none()
    );

    end(&store, &first).await;
    drop(store);
    let store = place.open();
    let ended = submit(&store, place.new_run("w4", "h", 3), "k").await;
    assert!(matches!(ended, SubmittedRun::Known(ref known)
        if known.name == first.name && known.state == RunState::Failed));
    let (kept, run) = store
        .api()
        .submitted(&dev(), "t1", "k")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((kept, run.name), (submission("k"), first.name));
    assert!(
        store
            .api()
            .submitted(&"prod".into(), "t1", "k")
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn a_key_of_another_request_is_refused(place: &TestPlace) {
    let store = place.open();
    opened_new(opened(
        submit(&store, place.new_run("w1", "h", 0), "k").await,
    ));
    let other = Submission {
        request: json!({ "pipeline": "shop", "params": {} }),
        ..submission("k")
    };
    let refused = store
        .api()
        .open_submitted(place.new_run("w2", "h", 1), other);
    assert!(matches!(refused.await.unwrap(), SubmittedRun::OtherRequest));
}

pub(crate) async fn a_submitted_run_whose_process_died_goes_on(place: &TestPlace) {
    let store = place.open();
    let first = submit(&store, place.new_run("w1", "h", 0), "k").await;
    let first = opened_new(opened(first));
    let waiting = store.api().unfinished_submissions(&dev()).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (&waiting[0].0, &waiting[0].1.name),
        (&submission("k"), &first.name)
    );
    // The lock of the dead process is free in another store of this machine.
    drop(store);
    let store = place.open();
    let resumed = opened(submit(&store, place.new_run("w2", "h", LEASE_US + 1), "k").await);
    assert!(
        matches!(resumed, Opened::Resumed(ref run) if run.name == first.name),
        "{resumed:?}"
    );

    // With another graph a new run takes its place, also for the key.
    drop(store);
    let store = place.open();
    let other = place.new_run("w3", "other", 2 * LEASE_US + 2);
    let second = opened_new(opened(submit(&store, other, "k").await));
    assert_ne!(second.name, first.name);
    let (_, run) = store
        .api()
        .submitted(&dev(), "t1", "k")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(run.name, second.name);
    end(&store, &second).await;
    assert!(
        store
            .api()
            .unfinished_submissions(&dev())
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn a_submitted_run_that_kills_its_processes_is_given_up(place: &TestPlace) {
    let tries = i64::try_from(MOST_LOST_PROCESSES).unwrap();
    for lost in 0..tries {
        let store = place.open();
        let worker = format!("w{lost}");
        let run = place.new_run(&worker, "h", lost * (LEASE_US + 1));
        let opened = opened(submit(&store, run, "k").await);
        assert!(
            matches!(opened, Opened::New(_) | Opened::Resumed(_)),
            "{opened:?}"
        );
    }
    let store = place.open();
    let last = submit(
        &store,
        place.new_run("last", "h", tries * (LEASE_US + 1)),
        "k",
    )
    .await;
    let Opened::GivenUp(run) = opened(last) else {
        panic!("it is begun once more");
    };
    assert_eq!(run.state, RunState::Failed);
    let again = submit(
        &store,
        place.new_run("again", "h", tries * (LEASE_US + 1)),
        "k",
    )
    .await;
    assert!(matches!(again, SubmittedRun::Known(_)), "{again:?}");
}

pub(crate) async fn servers_that_get_one_key_at_once_begin_one_run(place: &TestPlace) {
    let stores: Vec<_> = (0..4).map(|_| place.open()).collect();
    let tries = stores.iter().enumerate().map(|(number, store)| {
        let run = place.new_run(&format!("w{number}"), "h", 0);
        submit(store, run, "k")
    });
    let ended = futures::future::join_all(tries).await;
    let mut names = BTreeSet::new();
    let mut begun = 0;
    for submitted in ended {
        let name = match submitted {
            SubmittedRun::Opened(Opened::New(run)) => {
                begun += 1;
                run.name
            }
            SubmittedRun::Known(run) => run.name,
            other => panic!("{other:?}"),
        };
        names.insert(name.to_string());
    }
    assert_eq!((begun, names.len()), (1, 1), "{names:?}");
}

/// So many ended runs.
async fn some_runs(place: &TestPlace, store: &Arc<dyn StateStore>, count: i64) -> Vec<RunName> {
    let mut names = Vec::new();
    for number in 0..count {
        // Two began at the same moment.
        let run = place.new_run(
            &format!("w{number}"),
            &format!("h{number}"),
            number / 2 * 10,
        );
        let run = opened_new(store.open_run(run).await.unwrap());
        end(store, &run).await;
        names.insert(0, run.name);
    }
    names
}

pub(crate) async fn pages_of_runs_have_each_run_once(place: &TestPlace) {
    let store = place.open();
    let names = some_runs(place, &store, 7).await;
    let page = |after: Option<RunName>, state| RunPage {
        environment: dev(),
        pipeline: Some("shop".into()),
        state,
        after,
        limit: 3,
    };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let runs = store.api().runs_page(page(after, None)).await.unwrap();
        found.extend(runs.iter().map(|run| run.name.clone()));
        // A run that begins meanwhile does not move the pages.
        let more = place.new_run("more", &format!("more{}", found.len()), 1000);
        let more = opened_new(store.open_run(more).await.unwrap());
        end(&store, &more).await;
        match runs.last() {
            Some(last) => after = Some(last.name.clone()),
            None => break,
        }
    }
    assert_eq!(found, names);
    let failed = store.api().runs_page(page(None, Some(RunState::Failed)));
    assert_eq!(failed.await.unwrap().len(), 3);
    let running = store.api().runs_page(page(None, Some(RunState::Running)));
    assert!(running.await.unwrap().is_empty());
    let unknown = RunName {
        pipeline: "shop".into(),
        number: 999,
    };
    let refused = store.api().runs_page(page(Some(unknown), None)).await;
    assert_eq!(refused.unwrap_err().code, "R0808");
}

pub(crate) async fn the_feed_has_each_event_once_and_goes_on_behind_any_of_them(place: &TestPlace) {
    let store = place.open();
    let begin = FeedPosition::default();
    assert!(
        store
            .api()
            .feed(&dev(), begin, 10)
            .await
            .unwrap()
            .events
            .is_empty()
    );
    let names = some_runs(place, &store, 3).await;
    let mut written = 0;
    for name in &names {
        written += store.events(name, &dev(), 0).await.unwrap().len();
    }
    let mut all = Vec::new();
    // Open transactions of other tests on the same server hold events back.
    let began = std::time::Instant::now();
    while all.len() < written {
        assert!(began.elapsed() < LONG, "{all:?}");
        all = store.api().feed(&dev(), begin, 1000).await.unwrap().events;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut said: BTreeSet<(String, u64)> = BTreeSet::new();
    for one in &all {
        assert!(said.insert((one.run.to_string(), one.event.seq)));
    }
    for name in &names {
        let events = store.events(name, &dev(), 0).await.unwrap();
        assert!(events.len() >= 2);
        for event in events {
            assert!(
                said.remove(&(name.to_string(), event.seq)),
                "{name} {}",
                event.seq
            );
        }
    }
    assert!(said.is_empty(), "{said:?}");
    for (number, one) in all.iter().enumerate() {
        let rest = store.api().feed(&dev(), one.position, 2).await.unwrap();
        let rest = rest.events;
        let wanted = all.iter().skip(number + 1).take(2).map(|one| one.position);
        assert_eq!(
            rest.iter().map(|one| one.position).collect::<Vec<_>>(),
            wanted.collect::<Vec<_>>()
        );
    }
    let mut end = begin;
    while all.iter().any(|one| one.position > end) {
        assert!(began.elapsed() < LONG, "{end}");
        end = store.api().feed_end().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let nothing = store.api().feed(&dev(), end, 10).await.unwrap();
    assert!(nothing.events.is_empty());
    some_runs(place, &store, 1).await;
    let is_quiet = async || {
        let found = store.api().feed(&dev(), end, 10).await.unwrap();
        found.events.is_empty()
    };
    while is_quiet().await {
        assert!(began.elapsed() < LONG, "the feed gives nothing new");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(
        store
            .api()
            .feed(&"prod".into(), begin, 10)
            .await
            .unwrap()
            .events
            .is_empty()
    );
}

pub(crate) async fn a_feed_that_is_read_meanwhile_misses_nothing(place: &TestPlace) {
    const RUNS: usize = 12;
    let stores: Vec<_> = (0..3).map(|_| place.open()).collect();
    let writers = stores.iter().enumerate().map(|(number, store)| async move {
        for round in 0..RUNS {
            let run = NewRun {
                pipeline: format!("p{number}").as_str().into(),
                ..place.new_run(&format!("w{number}-{round}"), &format!("h{round}"), 0)
            };
            let run = opened_new(store.open_run(run).await.unwrap());
            end(store, &run).await;
        }
    });
    let reader = async {
        let (store, mut position) = (place.open(), FeedPosition::default());
        let mut found = BTreeSet::new();
        // Every run is started and ends.
        while found.len() < 3 * RUNS * 2 {
            let piece = store.api().feed(&dev(), position, 7).await.unwrap();
            for one in piece.events {
                assert!(one.position > position && one.position <= piece.position);
                assert!(found.insert((one.run.to_string(), one.event.seq)));
            }
            position = piece.position;
        }
    };
    let both = futures::future::join(futures::future::join_all(writers), reader);
    let time = std::time::Duration::from_secs(60);
    tokio::time::timeout(time, both)
        .await
        .expect("the feed misses an event");
}
