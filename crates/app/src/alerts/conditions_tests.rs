//! Tests of which alert the end of a run is worth, and of what it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use towpath_ports::{
    Alert, OutboxEvent, RunEvent, RunEventKind, RunKind, RunRecord, RunState, TaskOutcome,
    TaskRecord, TaskState,
};
use towpath_vocab::{AlertCondition, Environment, Failure, PipelineName, Remedy, RunName, TaskId};

use super::conditions::{EndedRun, alert};

use AlertCondition::{Failed, Late, Quality, Recovered};

fn task(id: &str, state: TaskState, failure: Option<Failure>, summary: Value) -> TaskRecord {
    TaskRecord {
        id: TaskId::new(id),
        state,
        attempt: 1,
        fence: 1,
        worker: None,
        due_us: None,
        started_us: None,
        ended_us: None,
        failure,
        outcome: TaskOutcome::Table {
            summary,
            recovered: false,
        },
        fingerprint: None,
    }
}

/// A summary with checks (name, outcome) and rejected rows.
fn summary(checks: &[(&str, &str)], rejected: u64) -> Value {
    let checks = checks.iter().map(|(name, outcome)| {
        json!({
            "table": "raw.orders", "name": name, "kind": "K", "outcome": outcome, "value": 3.0,
            "threshold": "at most 0 rows", "message": format!("{name}: 3 rows"), "samples": ["secret@mail"],
            "elapsed_ms": 1,
        })
    });
    json!({
        "table": "raw.orders", "rows_read": 10, "rows_filtered": 0, "rows_deduplicated": 0,
        "rows_rejected": rejected, "rows_dropped": 0, "rows_loaded": 10 - rejected, "receipt": null,
        "checks": checks.collect::<Vec<_>>(), "rules": [], "samples": [], "notes": [], "stopped": null,
    })
}

fn run(tasks: Vec<TaskRecord>) -> RunRecord {
    RunRecord {
        name: RunName {
            pipeline: PipelineName::new("shop"),
            number: 7,
        },
        environment: Environment::new("prod"),
        kind: RunKind::Run,
        interval: None,
        params: Default::default(),
        state: RunState::Running,
        graph_hash: String::new(),
        started_us: 0,
        ended_us: None,
        deadline_us: None,
        left_us: None,
        stop: None,
        worker: String::new(),
        request: Value::Null,
        seq: 9,
        tasks,
    }
}

fn told(
    run: &RunRecord,
    state: RunState,
    before: Option<RunState>,
    wanted: &[AlertCondition],
) -> Option<Alert> {
    let event = OutboxEvent {
        id: 1,
        run: run.name.clone(),
        environment: run.environment.clone(),
        event: RunEvent {
            seq: 9,
            at_us: 5,
            task: None,
            kind: RunEventKind::RunEnded(state),
            body: Value::Null,
        },
    };
    let ended = EndedRun {
        project: "demo",
        event: &event,
        run,
        before,
    };
    alert(&ended, &|condition| wanted.contains(&condition))
}

fn failed(code: &str) -> RunRecord {
    let failure = Failure::new(code, Remedy::FixConfig, "it is wrong");
    run(vec![
        task(
            "extract/raw.orders",
            TaskState::Failed,
            Some(failure),
            Value::Null,
        ),
        task("extract/raw.b", TaskState::Skipped, None, Value::Null),
    ])
}

#[test]
fn a_failed_run_is_told_with_its_failures() {
    let alert = told(
        &failed("R0403"),
        RunState::Failed,
        None,
        &[Failed, Late, Quality],
    )
    .unwrap();
    assert_eq!(alert.conditions, [Failed]);
    assert_eq!(alert.title, "shop#7 failed");
    assert_eq!(alert.details, ["extract/raw.orders: R0403 it is wrong"]);
    assert_eq!(alert.command, "towpath logs shop#7 --env prod");
    assert!(
        told(
            &failed("R0403"),
            RunState::Failed,
            None,
            &[Late, Quality, Recovered]
        )
        .is_none()
    );
}

#[test]
fn a_missed_deadline_is_late_and_failed() {
    let both = told(&failed("R0716"), RunState::Failed, None, &[Failed, Late]).unwrap();
    assert_eq!(both.conditions, [Late, Failed]);
    assert_eq!(both.title, "shop#7 did not end before its deadline");
    let only = told(&failed("R0716"), RunState::Failed, None, &[Failed]).unwrap();
    assert_eq!((only.title.as_str(), &only.id), ("shop#7 failed", &both.id));
}

#[test]
fn a_run_recovers_only_after_a_failure() {
    let run = run(vec![task("a", TaskState::Succeeded, None, summary(&[], 0))]);
    let of = |before| {
        told(
            &run,
            RunState::Succeeded,
            before,
            &[Failed, Recovered, Quality],
        )
    };
    assert!(of(None).is_none());
    assert!(of(Some(RunState::Succeeded)).is_none());
    let alert = of(Some(RunState::Failed)).unwrap();
    assert_eq!(alert.conditions, [Recovered]);
    assert!(alert.resolves());
    assert_eq!(
        alert.title,
        "shop#7 succeeded; the run before it had failed"
    );
}

#[test]
fn findings_are_counted_and_told_without_samples() {
    let checks = [
        ("unique id", "warn"),
        ("row count", "pass"),
        ("fresh", "warn"),
    ];
    let found = run(vec![
        task("a", TaskState::Succeeded, None, summary(&checks, 4)),
        task(
            "b",
            TaskState::Unchanged,
            None,
            summary(&[("old", "warn")], 3),
        ),
    ]);
    let alert = told(&found, RunState::Succeeded, None, &[Quality]).unwrap();
    assert_eq!(alert.title, "shop#7: 2 warnings, 4 records rejected");
    let expected = [
        "raw.orders: unique id: 3 rows",
        "raw.orders: fresh: 3 rows",
        "raw.orders: 4 records rejected",
    ];
    assert_eq!(alert.details, expected);
    assert!(!format!("{alert:?}").contains("secret@mail"));
    let both = told(
        &found,
        RunState::Succeeded,
        Some(RunState::Failed),
        &[Quality, Recovered],
    );
    let both = both.unwrap();
    assert_eq!(both.conditions, [Quality, Recovered]);
}

#[test]
fn long_and_many_details_are_cut() {
    let long = "ö".repeat(400);
    let tasks = (0..9).map(|n| {
        let failure = Failure::new("R0403", Remedy::FixConfig, long.clone());
        task(
            &format!("t{n}"),
            TaskState::Failed,
            Some(failure),
            Value::Null,
        )
    });
    let alert = told(&run(tasks.collect()), RunState::Failed, None, &[Failed]).unwrap();
    assert_eq!(alert.details.len(), 6);
    assert_eq!(alert.details[0].chars().count(), 300);
    assert_eq!(alert.details[5], "and 4 other tasks failed");
}

#[test]
fn other_ends_tell_nothing() {
    let every = AlertCondition::ALL;
    for state in [RunState::Cancelled, RunState::Superseded] {
        assert!(told(&failed("R0403"), state, Some(RunState::Failed), &every).is_none());
    }
}
