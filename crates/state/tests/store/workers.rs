//! The promises of every state store to several workers of one run: claims, pools, fences, lost leases.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;
use towpath_ports::{
    CompiledGraph, GraphTask, Interval, NewRun, RunEventKind, RunFilter, RunKind, RunRecord,
    RunState, RunUpdate, RunUpdateResult, StateStore, Subscription, TaskClaim, TaskState,
};

use crate::place::{LEASE_US, TestPlace, assert_gapless, move_of, opened_new};

fn wide(place: &TestPlace, tasks: usize, parallel: u32, pool: Option<&str>) -> NewRun {
    let tasks = (0..tasks).map(|n| GraphTask {
        id: format!("t{n:03}").as_str().into(),
        pool: pool.map(str::to_owned),
    });
    NewRun {
        graph: CompiledGraph {
            hash: "wide".to_owned(),
            body: json!({ "wide": true }),
            tasks: tasks.collect(),
            parallel,
        },
        ..place.new_run("owner", "", 0)
    }
}

/// A run all of whose tasks are ready.
async fn all_ready(store: &Arc<dyn StateStore>, new: NewRun) -> RunRecord {
    let run = opened_new(store.open_run(new).await.unwrap());
    let moves = (0..run.tasks.len())
        .map(|task| move_of(&run, task, TaskState::Waiting, TaskState::Ready, 0))
        .collect();
    assert!(store.transition_all(moves).await.unwrap());
    run
}

async fn end(store: &Arc<dyn StateStore>, run: &RunRecord, claim: &TaskClaim) -> bool {
    let task = run
        .tasks
        .iter()
        .position(|task| task.id == claim.task)
        .unwrap();
    let done = move_of(
        run,
        task,
        TaskState::Running,
        TaskState::Succeeded,
        claim.fence,
    );
    store.transition(done).await.unwrap()
}

fn ids(claims: &[TaskClaim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.task.as_str()).collect()
}

pub(crate) async fn a_graph_is_kept_once_and_a_run_tells_what_it_is(place: &TestPlace) {
    let store = place.open();
    let interval = Interval {
        start_us: -5,
        end_us: 5,
    };
    let new = NewRun {
        interval: Some(interval),
        params: BTreeMap::from([("day".to_owned(), "2026-01-01".to_owned())]),
        ..place.new_run("w1", "h", 0)
    };
    let run = opened_new(store.open_run(new).await.unwrap());
    assert_eq!((run.kind, run.interval), (RunKind::Run, Some(interval)));
    assert_eq!(run.params["day"], "2026-01-01");
    let body = store.graph("h").await.unwrap().unwrap();
    assert_eq!(body["tasks"][2], "score");
    assert_eq!(store.graph("no such").await.unwrap(), None);
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Succeeded, "w1", 1)
        .await
        .unwrap();
    let replay = opened_new(
        store
            .open_run(place.new_lock("w2", "replay a.b", 2))
            .await
            .unwrap(),
    );
    assert_eq!((replay.kind, replay.interval), (RunKind::Replay, None));
    let found = store.runs(RunFilter::default()).await.unwrap();
    let kinds: Vec<RunKind> = found.iter().map(|run| run.kind).collect();
    assert_eq!(kinds, [RunKind::Replay, RunKind::Run]);
    assert_eq!(found[1].params, run.params);
}

pub(crate) async fn a_claim_takes_what_the_run_has_room_for(place: &TestPlace) {
    let store = place.open();
    let run = all_ready(&store, wide(place, 5, 3, None)).await;
    assert_eq!(
        store.claim_ready("nobody", 9).await.unwrap(),
        [],
        "it has no lease"
    );
    assert!(store.register("helper", LEASE_US).await.unwrap());
    assert!(
        !store.register("helper", LEASE_US).await.unwrap(),
        "its name is taken"
    );
    let first = store.claim_ready("helper", 2).await.unwrap();
    assert_eq!(ids(&first), ["t000", "t001"]);
    assert_eq!(
        (
            first[0].attempt,
            first[0].fence,
            first[0].graph_hash.as_str()
        ),
        (1, 1, "wide")
    );
    let second = store.claim_ready("owner", 9).await.unwrap();
    assert_eq!(ids(&second), ["t002"], "three may run at once");
    assert!(end(&store, &run, &first[0]).await);
    assert!(
        !end(&store, &run, &first[0]).await,
        "an end is accepted once"
    );
    assert_eq!(ids(&store.claim_ready("owner", 9).await.unwrap()), ["t003"]);
    let record = store
        .run(&run.name, &run.environment)
        .await
        .unwrap()
        .unwrap();
    let workers: Vec<Option<&str>> = record
        .tasks
        .iter()
        .map(|task| task.worker.as_deref())
        .collect();
    assert_eq!(
        workers,
        [None, Some("helper"), Some("owner"), Some("owner"), None]
    );
    // A worker whose lease is over gets nothing.
    place.at(LEASE_US);
    assert!(end(&store, &run, &second[0]).await);
    assert_eq!(store.claim_ready("helper", 9).await.unwrap(), []);
    assert_gapless(&store, &run).await;
}

pub(crate) async fn a_full_pool_holds_up_nobody_else(place: &TestPlace) {
    let store = place.open();
    let mut new = wide(place, 4, 9, Some("db"));
    new.graph.tasks[3].pool = None;
    let missing = store.open_run(new.clone()).await.unwrap_err();
    assert_eq!(missing.code, "R0688", "{missing:?}");
    let pools = |slots| BTreeMap::from([("db".to_owned(), slots)]);
    store.put_pools(&pools(1)).await.unwrap();
    let run = all_ready(&store, new).await;
    let first = store.claim_ready("owner", 9).await.unwrap();
    assert_eq!(ids(&first), ["t000", "t003"]);
    assert_eq!(store.claim_ready("owner", 9).await.unwrap(), []);
    assert!(end(&store, &run, &first[0]).await);
    assert_eq!(ids(&store.claim_ready("owner", 9).await.unwrap()), ["t001"]);
    store.put_pools(&pools(2)).await.unwrap();
    assert_eq!(ids(&store.claim_ready("owner", 9).await.unwrap()), ["t002"]);
}

pub(crate) async fn what_a_lost_worker_had_is_given_to_another_with_a_new_fence(place: &TestPlace) {
    let store = place.open();
    let run = all_ready(&store, wide(place, 2, 9, None)).await;
    assert!(store.register("slow", LEASE_US / 3).await.unwrap());
    let slow = store.claim_ready("slow", 1).await.unwrap();
    assert_eq!(store.reap().await.unwrap(), 0, "it lives");
    place.at(LEASE_US / 3);
    assert_eq!(store.reap().await.unwrap(), 1);
    assert_eq!(store.reap().await.unwrap(), 0);
    assert!(!store.renew("slow").await.unwrap(), "it has lost its lease");
    let again = store.claim_ready("owner", 1).await.unwrap();
    assert_eq!(
        (ids(&again), again[0].fence),
        (ids(&slow), slow[0].fence + 2)
    );
    assert_eq!(again[0].attempt, 2);
    assert!(
        !end(&store, &run, &slow[0]).await,
        "a report of the lost attempt"
    );
    assert!(end(&store, &run, &again[0]).await);
    let events = assert_gapless(&store, &run).await;
    assert!(
        events
            .iter()
            .any(|event| event.kind == RunEventKind::Task(TaskState::Ready)
                && event.body["because"] == "lost")
    );
}

pub(crate) async fn a_run_whose_helper_lives_is_not_taken_over(place: &TestPlace) {
    let store = place.open();
    let run = all_ready(&store, wide(place, 2, 9, None)).await;
    assert!(store.register("helper", 3 * LEASE_US).await.unwrap());
    let claims = store.claim_ready("helper", 2).await.unwrap();
    let other = |at| NewRun {
        worker: "other".to_owned(),
        ..{
            let new = wide(place, 2, 9, None);
            place.at(at);
            new
        }
    };
    let busy = store.open_run(other(2 * LEASE_US)).await.unwrap();
    assert!(matches!(busy, towpath_ports::Opened::Busy(_)), "{busy:?}");
    assert!(store.is_live(&run).await.unwrap());
    for claim in &claims {
        assert!(end(&store, &run, claim).await);
    }
    // With every task at its end whoever ended the last one closes the run.
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Succeeded, "helper", 1)
        .await
        .unwrap();
}

pub(crate) async fn a_decision_on_old_news_is_refused_with_what_happened(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(
        store
            .open_run(place.new_run("owner", "h", 0))
            .await
            .unwrap(),
    );
    let advance = |after_seq, task, claim| RunUpdate {
        run: run.name.clone(),
        environment: run.environment.clone(),
        worker: "owner".to_owned(),
        after_seq: Some(after_seq),
        transitions: vec![move_of(&run, task, TaskState::Waiting, TaskState::Ready, 0)],
        claim,
        now_us: 5,
    };
    let RunUpdateResult::Done { seq, claims } =
        store.advance(advance(run.seq, 0, 1)).await.unwrap()
    else {
        panic!("it was not behind");
    };
    assert_eq!((seq, ids(&claims)), (run.seq + 2, vec!["extract/orders"]));
    let RunUpdateResult::Behind(events) = store.advance(advance(run.seq, 1, 1)).await.unwrap()
    else {
        panic!("it was behind");
    };
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["task_ready", "task_running"]);
    assert_eq!(events[1].body["worker"], "owner");
    assert!(matches!(
        store.advance(advance(seq, 0, 0)).await.unwrap(),
        RunUpdateResult::Refused
    ));
    let RunUpdateResult::Done { seq, .. } = store.advance(advance(seq, 1, 0)).await.unwrap() else {
        panic!("a refusal left something behind");
    };
    assert_eq!(assert_gapless(&store, &run).await.len() as u64, seq);
}

pub(crate) async fn a_subscriber_gets_each_event_until_it_says_so(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    let all = Subscription {
        name: "alerts".to_owned(),
        environment: None,
        kinds: Vec::new(),
    };
    store.subscribe(&all).await.unwrap();
    store.subscribe(&all).await.unwrap();
    let start = move_of(&run, 0, TaskState::Waiting, TaskState::Running, 0);
    assert!(store.transition(start.clone()).await.unwrap());
    assert!(
        !store.transition(start).await.unwrap(),
        "a refused change tells nobody"
    );
    let (name, dev) = (&run.name, &run.environment);
    store
        .close_run(name, dev, RunState::Failed, "w1", 9)
        .await
        .unwrap();
    let waiting = store.outbox("alerts", 9).await.unwrap();
    let kinds: Vec<&str> = waiting.iter().map(|one| one.event.kind.as_str()).collect();
    assert_eq!(kinds, ["task_running", "run_failed"]);
    assert_eq!((&waiting[0].run, waiting[0].event.seq), (name, run.seq + 1));
    assert_eq!(store.outbox("alerts", 1).await.unwrap().len(), 1);
    store.delivered("alerts", &[waiting[0].id]).await.unwrap();
    assert_eq!(
        store.outbox("alerts", 9).await.unwrap()[0].id,
        waiting[1].id
    );
    assert_eq!(store.outbox("others", 9).await.unwrap().len(), 0);
}

pub(crate) async fn workers_at_once_get_each_task_once(place: &TestPlace) {
    const TASKS: usize = 40;
    let store = place.open();
    store
        .put_pools(&BTreeMap::from([("db".to_owned(), 3)]))
        .await
        .unwrap();
    let run = all_ready(&store, wide(place, TASKS, 5, Some("db"))).await;
    let working: Vec<_> = (0..4)
        .map(|n| {
            let (store, run) = (place.open(), run.clone());
            tokio::spawn(async move {
                let name = format!("worker{n}");
                assert!(store.register(&name, LEASE_US).await.unwrap());
                let mut done = Vec::new();
                loop {
                    let claims = store.claim_ready(&name, 2).await.unwrap();
                    for claim in &claims {
                        tokio::task::yield_now().await;
                        assert!(end(&store, &run, claim).await);
                        done.push((claim.task.clone(), claim.fence));
                    }
                    let record = store
                        .run(&run.name, &run.environment)
                        .await
                        .unwrap()
                        .unwrap();
                    let running = record
                        .tasks
                        .iter()
                        .filter(|task| task.state == TaskState::Running);
                    assert!(running.count() <= 3, "the pool has three slots");
                    if record.tasks.iter().all(|task| task.state.is_final()) {
                        return done;
                    }
                }
            })
        })
        .collect();
    let mut seen = HashSet::new();
    let mut by_worker = HashMap::new();
    for (n, worker) in working.into_iter().enumerate() {
        for (task, fence) in worker.await.unwrap() {
            assert_eq!(fence, 1);
            assert!(seen.insert(task.clone()), "{task} was done twice");
            *by_worker.entry(n).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), TASKS, "{by_worker:?}");
    assert_gapless(&store, &run).await;
}
