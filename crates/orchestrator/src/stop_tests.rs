//! Tests of runs that are asked to stop and of deadlines, with a real state store in simulated time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::Arc;
use std::time::Duration;

use towpath_ports::{
    Clock, NewRun, Opened, RunEventKind, RunRecord, RunState, RunStop, StateStore, StopReason,
    StopResult, TaskState,
};
use towpath_vocab::PlannedPipeline;

use crate::fixture::{SimulatedStateStore, new_run, retry};
use crate::run_tests::{Does, Stage, chain, states};

fn stop(why: StopReason, at_once: bool) -> RunStop {
    RunStop {
        why,
        at_once,
        by: None,
    }
}

async fn opened(
    store: &Arc<SimulatedStateStore>,
    graph: &PlannedPipeline,
    deadline_s: Option<u64>,
    worker: &str,
) -> RunRecord {
    let new = NewRun {
        deadline_ms: deadline_s.map(|seconds| seconds * 1000),
        ..new_run(graph, worker)
    };
    match store.open_run(new).await.unwrap() {
        Opened::New(record) | Opened::Resumed(record) => record,
        other => panic!("{other:?}"),
    }
}

/// A run of two tasks that is asked to stop after ten seconds, and when it has ended.
async fn stopped(does: Does, request: RunStop) -> (RunRecord, u64) {
    let stage = Stage::new(&[("t0", &[does]), ("t1", &[Does::Well(1)])]);
    let (store, graph) = (stage.store(), chain(2, retry(3)));
    let record = opened(&store, &graph, None, "w").await;
    let (name, dev) = (record.name.clone(), record.environment.clone());
    let asks = async {
        stage.system.sleep(Duration::from_secs(10)).await;
        let asked = store.request_stop(&name, &dev, &request).await.unwrap();
        assert_eq!(asked, StopResult::Requested);
    };
    let both = async { tokio::join!(stage.drive_record(&store, &graph, record), asks).0 };
    let (summary, _notifications) = stage.system.run(both).await;
    let summary = summary.unwrap();
    assert_eq!(stage.alive(), 0);
    assert_eq!(stage.made(), ["t0 1"]);
    assert_eq!(states(&summary)[1], TaskState::Cancelled);
    let stored = store.run(&name, &dev).await.unwrap().unwrap();
    assert_eq!(stored.state, summary.record.state);
    assert_eq!(stored.stop, Some(request));
    let at_s = stage.system.monotonic_us() / 1_000_000;
    (stored, at_s)
}

#[tokio::test]
async fn a_run_that_is_asked_stops_cleanly() {
    let (run, at_s) = stopped(Does::Politely(900), stop(StopReason::User, false)).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(run.tasks[0].failure.as_ref().unwrap().code, "R0708");
    assert!(at_s <= 14, "{at_s}");
    // What does not listen has its time.
    let (run, at_s) = stopped(Does::Hangs, stop(StopReason::User, false)).await;
    assert_eq!(run.tasks[0].failure.as_ref().unwrap().code, "R0708");
    assert!((15..=17).contains(&at_s), "{at_s}");
    // What ends well in it has ended well.
    let (run, _) = stopped(Does::Well(13), stop(StopReason::User, false)).await;
    assert_eq!(run.tasks[0].state, TaskState::Succeeded);
    assert_eq!(run.state, RunState::Cancelled);
}

#[tokio::test]
async fn a_run_that_is_to_stop_at_once_gets_no_time() {
    let (run, at_s) = stopped(Does::Hangs, stop(StopReason::Overlap, true)).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(run.tasks[0].failure.as_ref().unwrap().code, "R0717");
    // What hangs is dropped after two seconds; with the time to stop it would be sixteen.
    assert!(at_s < 16, "{at_s}");
}

/// A request that comes after a run was opened and before it is driven is in the record, or is not.
#[tokio::test]
async fn a_run_that_was_asked_before_it_is_driven_begins_nothing() {
    for (reads_again, at_once) in [(true, false), (true, true), (false, false)] {
        let stage = Stage::new(&[("t0", &[Does::Well(1)]), ("t1", &[Does::Well(1)])]);
        let (store, graph) = (stage.store(), chain(2, retry(0)));
        let mut record = opened(&store, &graph, None, "w").await;
        let (name, dev) = (record.name.clone(), record.environment.clone());
        let request = stop(StopReason::User, at_once);
        store.request_stop(&name, &dev, &request).await.unwrap();
        if reads_again {
            record = store.run(&name, &dev).await.unwrap().unwrap();
        }
        let driven = stage.drive_record(&store, &graph, record);
        let (summary, _notifications) = stage.system.run(driven).await;
        assert_eq!(summary.unwrap().record.state, RunState::Cancelled);
        assert!(stage.made().is_empty(), "{:?}", stage.made());
    }
}

#[tokio::test]
async fn a_stronger_request_ends_the_time_of_the_first_one() {
    let stage = Stage::new(&[("t0", &[Does::Hangs])]);
    let (store, graph) = (stage.store(), chain(1, retry(0)));
    let record = opened(&store, &graph, None, "w").await;
    let (name, dev) = (record.name.clone(), record.environment.clone());
    let asks = async {
        for (at_once, after_s) in [(false, 10), (true, 1)] {
            stage.system.sleep(Duration::from_secs(after_s)).await;
            let request = stop(StopReason::User, at_once);
            store.request_stop(&name, &dev, &request).await.unwrap();
        }
    };
    let both = async { tokio::join!(stage.drive_record(&store, &graph, record), asks).0 };
    let (summary, _notifications) = stage.system.run(both).await;
    assert_eq!(summary.unwrap().record.state, RunState::Cancelled);
    let at_s = stage.system.monotonic_us() / 1_000_000;
    // The time that the first one gives ends after the sixteenth second.
    assert!((11..16).contains(&at_s), "{at_s}");
}

/// A chain of two tasks with this deadline: how the run and its tasks ended, with the codes of those that failed.
async fn late(does: &[(&str, &[Does])], retries: u32) -> (RunState, Vec<(TaskState, String)>) {
    let stage = Stage::new(does);
    let (store, graph) = (stage.store(), chain(does.len(), retry(retries)));
    let record = opened(&store, &graph, Some(60), "w").await;
    let driven = stage.drive_record(&store, &graph, record);
    let (summary, _notifications) = stage.system.run(driven).await;
    let record = summary.unwrap().record;
    assert_eq!(stage.alive(), 0);
    let stored = store.run(&record.name, &record.environment).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!(stored.state, record.state);
    let at_s = stage.system.monotonic_us() / 1_000_000;
    assert!((60..=66).contains(&at_s), "{at_s}");
    let code = |task: &towpath_ports::TaskRecord| {
        let failure = task.failure.as_ref();
        failure.map_or_else(String::new, |failure| failure.code.clone())
    };
    let tasks = stored.tasks.iter().map(|task| (task.state, code(task)));
    (stored.state, tasks.collect())
}

#[tokio::test]
async fn a_run_fails_at_its_deadline_with_the_reason() {
    use TaskState::{Cancelled, Failed, Succeeded};
    let late_code = || "R0716".to_owned();
    for does in [Does::Politely(900), Does::Hangs] {
        let tasks: [(&str, &[Does]); 3] = [
            ("t0", &[does]),
            ("t1", &[Does::Nothing]),
            ("t2", &[Does::Nothing]),
        ];
        let (state, tasks) = late(&tasks, 3).await;
        assert_eq!(state, RunState::Failed);
        let cancelled = (Cancelled, String::new());
        let failed = || (Failed, late_code());
        assert_eq!(tasks, [failed(), failed(), cancelled]);
    }
    // The running one ends well in the time that it has; the one behind it never began.
    let (state, tasks) = late(&[("t0", &[Does::Well(62)]), ("t1", &[Does::Nothing])], 0).await;
    assert_eq!(state, RunState::Failed);
    assert_eq!(tasks, [(Succeeded, String::new()), (Failed, late_code())]);
    // It was the last one: the run is late, and good.
    let (state, tasks) = late(&[("t0", &[Does::Well(62)])], 0).await;
    assert_eq!(state, RunState::Succeeded);
    assert_eq!(tasks, [(Succeeded, String::new())]);
}

#[tokio::test]
async fn a_run_that_waits_for_its_next_attempt_fails_at_its_deadline() {
    let fails = [Does::Fails(towpath_vocab::Remedy::Retry)];
    let (state, tasks) = late(&[("t0", &fails)], 1_000).await;
    assert_eq!(state, RunState::Failed);
    assert_eq!(tasks, [(TaskState::Failed, "R0716".to_owned())]);
}

#[tokio::test]
async fn a_run_within_its_deadline_ends_well() {
    let stage = Stage::new(&[("t0", &[Does::Well(50)])]);
    let (store, graph) = (stage.store(), chain(1, retry(0)));
    let record = opened(&store, &graph, Some(60), "w").await;
    let jumps = async {
        // The clock of the machine jumps: the time that passes counts.
        stage.system.sleep(Duration::from_secs(5)).await;
        stage.system.skew(3_600_000_000);
    };
    let both = async { tokio::join!(stage.drive_record(&store, &graph, record), jumps).0 };
    let (summary, _notifications) = stage.system.run(both).await;
    let record = summary.unwrap().record;
    assert_eq!(record.state, RunState::Succeeded, "{record:?}");
}

#[tokio::test]
async fn a_run_whose_process_died_keeps_its_deadline() {
    let stage = Stage::new(&[("t0", &[Does::Politely(900)]), ("t1", &[Does::Nothing])]);
    let (store, graph) = (stage.store(), chain(2, retry(0)));
    let record = opened(&store, &graph, Some(60), "w1").await;
    let dies = async {
        tokio::select! {
            _ = stage.drive_record(&store, &graph, record) => panic!("it ended"),
            () = stage.system.sleep(Duration::from_secs(20)) => {}
        }
    };
    stage.system.run(dies).await;
    stage.system.advance(Duration::from_secs(20));
    let record = opened(&store, &graph, Some(60), "w2").await;
    let began_us = stage.system.monotonic_us();
    let driven = stage.drive_record(&store, &graph, record);
    let (summary, _notifications) = stage.system.run(driven).await;
    assert_eq!(summary.unwrap().record.state, RunState::Failed);
    let took_s = (stage.system.monotonic_us() - began_us) / 1_000_000;
    assert!((19..=22).contains(&took_s), "{took_s}");
    // Later than its deadline nothing of it begins.
    let made = stage.made().len();
    let graph = chain(2, retry(1));
    let record = opened(&store, &graph, Some(60), "w3").await;
    drop(record);
    stage.system.advance(Duration::from_secs(100));
    let record = opened(&store, &graph, Some(60), "w4").await;
    let name = record.name.clone();
    let driven = stage.drive_record(&store, &graph, record);
    let (summary, _notifications) = stage.system.run(driven).await;
    assert_eq!(summary.unwrap().record.state, RunState::Failed);
    assert_eq!(stage.made().len(), made);
    let events = store.events(&name, &"dev".into(), 0).await.unwrap();
    let running = RunEventKind::Task(TaskState::Running);
    assert!(events.iter().all(|event| event.kind != running));
}
