//! The promises of every state store, with any database.
//!
//! Opening, takeover, stale reports, claims, pools, lost workers, the outbox. Each function is one test
//! with an empty store. Read next: `place.rs` (the stores), `../store.rs` (which runs these).

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use towpath_ports::{
    AttemptEnd, Opened, RunEvent, RunEventKind, RunFilter, RunState, TaskOutcome, TaskState,
};
use towpath_vocab::{
    CheckOutcome, CheckResult, Environment, FactSource, Failure, Generation, Remedy, RunName,
    TableFact, TableLineage, TableName, TaskKey, TaskKind,
};

use crate::place::{
    LEASE_US, TestPlace, assert_gapless, move_of, opened_new, opened_resumed, seven_rows,
    start_and_end,
};

pub(crate) async fn a_run_is_written_and_read_back(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 10)).await.unwrap());
    assert_eq!(run.name.to_string(), "shop#1");
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;

    let mut failed = move_of(&run, 1, TaskState::Running, TaskState::Failed, 1);
    assert!(
        store
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    let failure = Failure::new("R0299", Remedy::FixData, "`x` is no number").help("fix `x`");
    failed.end = Some(AttemptEnd {
        failure: Some(failure.clone()),
        outcome: TaskOutcome::Nothing,
        fingerprint: None,
    });
    assert!(store.transition(failed).await.unwrap());
    store
        .close_run(&run.name, &run.environment, RunState::Failed, "w1", 99)
        .await
        .unwrap();
    drop(store);

    let store = place.open();
    let runs = store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    let found = &runs[0];
    assert_eq!(
        (found.state, found.started_us, found.ended_us),
        (RunState::Failed, 10, Some(99))
    );
    assert_eq!(found.request, place.new_run("w1", "h", 10).request);
    assert_eq!(found.tasks[0].outcome, seven_rows());
    assert_eq!((found.tasks[0].attempt, found.tasks[0].fence), (1, 1));
    assert_eq!(found.tasks[1].failure, Some(failure));
    assert_eq!(found.tasks[2].state, TaskState::Waiting);
    let kinds: Vec<&str> = assert_gapless(&store, &run)
        .await
        .into_iter()
        .map(|event| event.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "run_started",
            "task_running",
            "task_succeeded",
            "task_running",
            "task_failed",
            "run_failed"
        ]
    );
    let events = store.events(&run.name, &run.environment, 2).await.unwrap();
    assert_eq!(events[0].body["notes"], json!(["one was late"]));
    assert_eq!(
        store
            .events(&run.name, &run.environment, 4)
            .await
            .unwrap()
            .len(),
        2
    );
}

pub(crate) async fn a_stale_report_changes_nothing(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 10)).await.unwrap());
    let before = assert_gapless(&store, &run).await.len();
    assert!(
        !store
            .transition(move_of(&run, 0, TaskState::Ready, TaskState::Running, 0))
            .await
            .unwrap()
    );
    assert!(
        !store
            .transition(move_of(&run, 0, TaskState::Waiting, TaskState::Running, 1))
            .await
            .unwrap()
    );
    // All or nothing: the first of these two alone would have been fine.
    let pair = vec![
        move_of(&run, 0, TaskState::Waiting, TaskState::Ready, 0),
        move_of(&run, 1, TaskState::Ready, TaskState::Running, 0),
    ];
    assert!(!store.transition_all(pair).await.unwrap());
    assert_eq!(assert_gapless(&store, &run).await.len(), before);
    // One task may take two steps in one go.
    let steps = vec![
        move_of(&run, 0, TaskState::Waiting, TaskState::Ready, 0),
        move_of(&run, 0, TaskState::Ready, TaskState::Running, 0),
    ];
    assert!(store.transition_all(steps).await.unwrap());
    assert_eq!(assert_gapless(&store, &run).await.len(), before + 2);
}

pub(crate) async fn a_live_run_is_busy_and_a_dead_one_is_resumed(place: &TestPlace) {
    let (first, second) = (place.open(), place.open());
    let run = opened_new(first.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&first, &run, 0, TaskState::Succeeded, 0).await;
    assert!(
        first
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );

    let busy = second
        .open_run(place.new_run("w2", "h", LEASE_US - 1))
        .await
        .unwrap();
    assert!(
        matches!(busy, Opened::Busy(ref found) if found.name == run.name && found.worker == "w1")
    );

    assert!(place.at(5_000_000).renew(&first, "w1").await.unwrap());
    assert!(matches!(
        second
            .open_run(place.new_run("w2", "h", LEASE_US + 1))
            .await
            .unwrap(),
        Opened::Busy(_)
    ));

    let resumed = opened_resumed(
        second
            .open_run(place.new_run("w2", "h", LEASE_US + 5_000_000))
            .await
            .unwrap(),
    );
    assert_eq!(
        (resumed.name.clone(), resumed.worker.as_str()),
        (run.name.clone(), "w2")
    );
    let states: Vec<TaskState> = resumed.tasks.iter().map(|task| task.state).collect();
    assert_eq!(
        states,
        [TaskState::Succeeded, TaskState::Ready, TaskState::Waiting]
    );
    let fences: Vec<u64> = resumed.tasks.iter().map(|task| task.fence).collect();
    assert_eq!(fences, [1, 2, 1], "every unfinished task's fence rose");

    // The old process can do nothing any more.
    assert!(
        !place
            .at(LEASE_US + 5_000_001)
            .renew(&first, "w1")
            .await
            .unwrap()
    );
    assert!(
        !first
            .transition(move_of(
                &run,
                1,
                TaskState::Running,
                TaskState::Succeeded,
                1
            ))
            .await
            .unwrap()
    );
    assert!(
        !first
            .transition(move_of(&run, 2, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    let refused = first
        .close_run(
            &run.name,
            &run.environment,
            RunState::Failed,
            "w1",
            LEASE_US + 6_000_000,
        )
        .await;
    assert_eq!(refused.unwrap_err().code, "R0809");

    start_and_end(&second, &resumed, 2, TaskState::Unchanged, 1).await;
    assert_gapless(&second, &run).await;
}

pub(crate) async fn another_graph_supersedes_the_dead_run(place: &TestPlace) {
    let store = place.open();
    let old = opened_new(store.open_run(place.new_run("w1", "h1", 0)).await.unwrap());
    start_and_end(&store, &old, 0, TaskState::Succeeded, 0).await;
    assert!(
        store
            .transition(move_of(&old, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    let run = opened_new(
        store
            .open_run(place.new_run("w2", "h2", LEASE_US))
            .await
            .unwrap(),
    );
    assert_eq!(run.name.number, 2);
    let runs = store
        .runs(RunFilter {
            limit: Some(5),
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(
        runs.iter().map(|run| run.state).collect::<Vec<_>>(),
        [RunState::Running, RunState::Superseded]
    );
    assert!(runs[1].tasks.iter().all(|task| task.state.is_final()));
    assert!(
        !store
            .transition(move_of(
                &old,
                1,
                TaskState::Running,
                TaskState::Succeeded,
                1
            ))
            .await
            .unwrap()
    );
    // What the superseded run finished is still known.
    let (name, task) = store
        .last_success(&old.environment, &old.name.pipeline, &old.tasks[0].id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (name, task.fingerprint.as_deref()),
        (old.name.clone(), Some("print of shop#1"))
    );
}

pub(crate) async fn a_cancelled_run_goes_on_unless_a_newer_one_ended(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;
    for task in [1, 2] {
        assert!(
            store
                .transition(move_of(
                    &run,
                    task,
                    TaskState::Waiting,
                    TaskState::Cancelled,
                    0
                ))
                .await
                .unwrap()
        );
    }
    store
        .close_run(&run.name, &run.environment, RunState::Cancelled, "w1", 3)
        .await
        .unwrap();
    store
        .close_run(&run.name, &run.environment, RunState::Cancelled, "w1", 3)
        .await
        .unwrap();

    let resumed = opened_resumed(store.open_run(place.new_run("w2", "h", 4)).await.unwrap());
    assert_eq!(resumed.name, run.name);
    let states: Vec<TaskState> = resumed.tasks.iter().map(|task| task.state).collect();
    assert_eq!(
        states,
        [TaskState::Succeeded, TaskState::Waiting, TaskState::Waiting]
    );
    store
        .close_run(&run.name, &run.environment, RunState::Cancelled, "w2", 5)
        .await
        .unwrap();

    let other = opened_new(store.open_run(place.new_run("w3", "h2", 6)).await.unwrap());
    store
        .close_run(
            &other.name,
            &other.environment,
            RunState::Succeeded,
            "w3",
            7,
        )
        .await
        .unwrap();
    assert_eq!(
        opened_new(store.open_run(place.new_run("w4", "h", 8)).await.unwrap())
            .name
            .number,
        3
    );
}

pub(crate) async fn two_that_open_at_once_make_one_run(place: &TestPlace) {
    for _ in 0..20 {
        let place = place.another();
        let stores = [place.open(), place.open()];
        let opening = ["a", "b"].map(|worker| {
            let store = Arc::clone(&stores[usize::from(worker == "b")]);
            let run = place.new_run(worker, "h", 0);
            tokio::spawn(async move { store.open_run(run).await.unwrap() })
        });
        let [a, b] = opening;
        let found = [a.await.unwrap(), b.await.unwrap()];
        assert_eq!(
            found
                .iter()
                .filter(|opened| matches!(opened, Opened::New(_)))
                .count(),
            1
        );
        assert_eq!(
            found
                .iter()
                .filter(|opened| matches!(opened, Opened::Busy(_)))
                .count(),
            1
        );
    }
}

pub(crate) async fn changes_handed_in_together_are_all_kept_in_order(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w", "h", 0)).await.unwrap());
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let (store, run) = (Arc::clone(&store), run.clone());
            tokio::spawn(async move {
                let event = RunEvent {
                    seq: 0,
                    at_us: n,
                    task: None,
                    kind: RunEventKind::Note,
                    body: json!({ "n": n }),
                };
                store
                    .append_event(&run.name, &run.environment, event)
                    .await
                    .unwrap();
                // A failing change beside them disturbs nobody.
                let nobody = RunName {
                    pipeline: "nobody".into(),
                    number: 1,
                };
                let event = RunEvent {
                    seq: 0,
                    at_us: n,
                    task: None,
                    kind: RunEventKind::Note,
                    body: Value::Null,
                };
                assert_eq!(
                    store
                        .append_event(&nobody, &run.environment, event)
                        .await
                        .unwrap_err()
                        .code,
                    "R0808"
                );
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(assert_gapless(&store, &run).await.len(), 301);
}

pub(crate) async fn generations_and_facts_read_back(place: &TestPlace) {
    let store = place.open();
    let environment = Environment::from("dev");
    let run = RunName {
        pipeline: "shop".into(),
        number: 4,
    };
    let key = TaskKey {
        project: "p".into(),
        environment: environment.clone(),
        pipeline: "shop".into(),
        step: "extract".into(),
        kind: TaskKind::Step,
        table: TableName::new("raw", "orders"),
    };
    assert_eq!(store.generation(&key).await.unwrap(), None);
    store
        .reserve_generation(&key, &run, Generation(3))
        .await
        .unwrap();
    let older = RunName {
        pipeline: "shop".into(),
        number: 1,
    };
    store
        .reserve_generation(&key, &older, Generation(2))
        .await
        .unwrap();
    assert_eq!(
        store.generation(&key).await.unwrap(),
        Some((run.clone(), Generation(3)))
    );

    let fact = TableFact {
        schema: Arc::new(Schema::new(vec![Field::new(
            "id",
            DataType::Decimal128(20, 2),
            false,
        )])),
        key: vec!["id".to_owned()],
        source: FactSource::Observed,
        seen_at: "2026-11-20T00:00:00Z".to_owned(),
    };
    store
        .put_fact(&environment, "shop_db:orders", &fact)
        .await
        .unwrap();
    store
        .put_fact(&environment, "shop_db:orders", &fact)
        .await
        .unwrap();
    assert_eq!(
        store.facts(&environment).await.unwrap(),
        [("shop_db:orders".to_owned(), fact)]
    );
    assert!(
        store
            .facts(&Environment::from("prod"))
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn check_results_and_lineage_read_back(place: &TestPlace) {
    let store = place.open();
    let environment = Environment::from("dev");
    let run = RunName {
        pipeline: "shop".into(),
        number: 4,
    };
    let table = TableName::new("raw", "orders");
    let result = |name: &str, value: f64| CheckResult {
        table: table.clone(),
        name: name.to_owned(),
        kind: "range".to_owned(),
        outcome: CheckOutcome::Warn,
        value,
        threshold: "at most 0 rows".to_owned(),
        message: String::new(),
        samples: vec!["ü".to_owned()],
        elapsed_ms: 3,
    };
    let results = [
        result("a", 0.1),
        result("b", f64::INFINITY),
        result("c", f64::NAN),
    ];
    store
        .put_checks(&run, &environment, 9, &results)
        .await
        .unwrap();
    let found = store.checks(&environment, Some(&table), 10).await.unwrap();
    assert_eq!(
        found
            .iter()
            .map(|(_, _, check)| check.name.as_str())
            .collect::<Vec<_>>(),
        ["c", "b", "a"]
    );
    assert!(found[0].2.value.is_nan());
    assert_eq!(found[1].2.value, f64::INFINITY);
    assert_eq!(found[2], (run, 9, results[0].clone()));
    assert!(
        store
            .checks(&environment, Some(&TableName::new("raw", "x")), 10)
            .await
            .unwrap()
            .is_empty()
    );

    let lineage = TableLineage {
        inputs: vec!["shop_db:orders".to_owned()],
        edges: Vec::new(),
        partial: true,
    };
    store
        .put_lineage(&environment, &table, &lineage)
        .await
        .unwrap();
    assert_eq!(
        store.lineage(&environment).await.unwrap(),
        [(table, lineage)]
    );
}

pub(crate) async fn tasks_of_a_resumed_run_are_opened_again(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(
        store
            .open_run(place.new_run("w1", "hash", 1))
            .await
            .unwrap(),
    );
    let (name, dev) = (&run.name, &run.environment);
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;
    let found = store.run(name, dev).await.unwrap().unwrap();
    assert_eq!(found.tasks[0].state, TaskState::Succeeded);
    let strange: RunName = "shop#9".parse().unwrap();
    assert!(store.run(&strange, dev).await.unwrap().is_none());
    assert!(store.run(name, &"prod".into()).await.unwrap().is_none());
    assert!(place.at(2).is_live(&store, &found).await.unwrap());
    assert!(
        !place
            .at(1 + LEASE_US)
            .is_live(&store, &found)
            .await
            .unwrap()
    );

    let tasks = [run.tasks[0].id.clone()];
    let again = store.reopen(name, dev, &tasks, 9).await.unwrap();
    let task = &again.tasks[0];
    assert_eq!((task.state, &task.fingerprint), (TaskState::Waiting, &None));
    let success = store.last_success(dev, &name.pipeline, &tasks[0]).await;
    assert!(success.unwrap().is_none());
    // A report from before it was opened again changes nothing.
    let move_with = |fence| move_of(&run, 0, TaskState::Waiting, TaskState::Running, fence);
    assert!(!store.transition(move_with(1)).await.unwrap());
    assert!(store.transition(move_with(task.fence)).await.unwrap());
    let events = assert_gapless(&store, &run).await;
    assert!(
        events
            .iter()
            .any(|event| event.kind == RunEventKind::Task(TaskState::Waiting))
    );

    store
        .close_run(name, dev, RunState::Cancelled, "w1", 10)
        .await
        .unwrap();
    let closed = store.run(name, dev).await.unwrap().unwrap();
    assert!(!place.at(11).is_live(&store, &closed).await.unwrap());
    let refused = store.reopen(name, dev, &tasks, 12).await.unwrap_err();
    assert_eq!(refused.code, "R0809");
}

pub(crate) async fn a_hold_never_takes_the_place_of_an_interrupted_run(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&store, &run, 0, TaskState::Succeeded, 0).await;
    assert!(
        store
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Running, 0))
            .await
            .unwrap()
    );
    assert!(matches!(
        store
            .open_run(place.new_lock("w2", "replay", 1))
            .await
            .unwrap(),
        Opened::Busy(_)
    ));

    // The run's process is dead. The hold dies too, and is taken up by the same one only.
    let hold = opened_new(
        store
            .open_run(place.new_lock("w2", "replay", LEASE_US))
            .await
            .unwrap(),
    );
    assert_eq!(hold.name.number, 2);
    let later = 2 * LEASE_US;
    let again = opened_resumed(
        store
            .open_run(place.new_lock("w3", "replay", later))
            .await
            .unwrap(),
    );
    assert_eq!(again.name, hold.name);
    let end = |now_us| {
        store.close_run(
            &hold.name,
            &hold.environment,
            RunState::Succeeded,
            "w3",
            now_us,
        )
    };
    end(later + 1).await.unwrap();

    let resumed = opened_resumed(
        store
            .open_run(place.new_run("w4", "h", later + 2))
            .await
            .unwrap(),
    );
    assert_eq!(resumed.name, run.name);
    assert_eq!(
        resumed
            .tasks
            .iter()
            .map(|task| task.state)
            .collect::<Vec<_>>(),
        [TaskState::Succeeded, TaskState::Waiting, TaskState::Waiting]
    );
    assert!(
        !store
            .transition(move_of(
                &run,
                1,
                TaskState::Running,
                TaskState::Succeeded,
                1
            ))
            .await
            .unwrap()
    );
}

pub(crate) async fn a_run_goes_on_past_a_hold_that_died(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    opened_new(
        store
            .open_run(place.new_lock("w2", "replay", LEASE_US))
            .await
            .unwrap(),
    );
    let resumed = opened_resumed(
        store
            .open_run(place.new_run("w3", "h", 2 * LEASE_US))
            .await
            .unwrap(),
    );
    assert_eq!(resumed.name, run.name);
    let runs = store.runs(RunFilter::default()).await.unwrap();
    let states: Vec<_> = runs.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Superseded, RunState::Running]);
}

pub(crate) async fn a_resumed_run_tries_again_what_had_failed(place: &TestPlace) {
    let store = place.open();
    let run = opened_new(store.open_run(place.new_run("w1", "h", 0)).await.unwrap());
    start_and_end(&store, &run, 0, TaskState::Failed, 0).await;
    assert!(
        store
            .transition(move_of(&run, 1, TaskState::Waiting, TaskState::Skipped, 0))
            .await
            .unwrap()
    );
    let resumed = opened_resumed(
        store
            .open_run(place.new_run("w2", "h", LEASE_US))
            .await
            .unwrap(),
    );
    assert!(
        resumed
            .tasks
            .iter()
            .all(|task| task.state == TaskState::Waiting && task.failure.is_none())
    );
    assert_gapless(&store, &run).await;
}
