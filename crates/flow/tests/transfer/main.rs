//! The loop with fake sources and a destination that fails at every step: in the end the destination has
//! exactly the rows of the source, and every record is counted.
//!
//! `feed.rs` has change feeds with every operator; `endless.rs` has time, revoked splits, cancel, and
//! operators with state.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod endless;
mod feed;
mod schema;
mod support;

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_flow::{SkipCommit, TransferSummary, quarantine_table};
use towpath_ports::{Destination, Event, Rows, TableSchema};
use towpath_testkit::{
    ChangeFeed, Edge, MemoryDestination, ScriptedSource, bad_record, endless, endless_of,
    id_value_schema,
};
use towpath_vocab::{
    BadRows, Check, CheckKind, CheckOutcome, ColumnPlan, Generation, Mask, Position, RuleKind,
    Severity, SplitPosition, TablePlan, Threshold, Tolerance, WriteMode,
};

use self::support::{batch, key, plan, rule, spec, table, transfer, until_done};

#[tokio::test]
async fn an_endless_source_survives_a_failure_at_every_edge() {
    let edges = [
        Edge::Begin,
        Edge::Write,
        Edge::Prepare,
        Edge::BeforeCommit,
        Edge::AfterCommit,
    ];
    for edge in edges {
        for nth in 1..4 {
            let lake = MemoryDestination::default();
            lake.fail_at(edge, nth);
            let stream = table("stream");
            let source = endless(stream.clone(), 3, 7, 50);
            let attempts =
                until_done(&source, &[plan(&stream, WriteMode::Append)], &lake, 20).await;
            assert_eq!(attempts, 2, "{edge:?} {nth}");
            let rows = lake.rows(&stream);
            assert_eq!(rows.len(), 150, "{edge:?} {nth}");
            let distinct: std::collections::BTreeSet<_> = rows.iter().collect();
            assert_eq!(distinct.len(), 150, "{edge:?} {nth}: a row came twice");
            assert!(
                !source.committed().is_empty(),
                "the source was never told what is committed"
            );
        }
    }
}

#[tokio::test]
async fn a_change_feed_over_two_tables_survives_a_failure_at_every_edge() {
    let edges = [
        Edge::Begin,
        Edge::Write,
        Edge::Prepare,
        Edge::BeforeCommit,
        Edge::AfterCommit,
    ];
    for (seed, edge) in (1..40_u64).flat_map(|seed| edges.map(|edge| (seed, edge))) {
        let lake = MemoryDestination::default();
        lake.fail_at(edge, 1 + (seed % 7) as u32);
        let (a, b) = (table("a"), table("b"));
        let feed = ChangeFeed::random(vec![a.clone(), b.clone()], 30, seed * 7919);
        let plans = [plan(&a, WriteMode::Merge), plan(&b, WriteMode::Merge)];
        until_done(&feed.source(), &plans, &lake, 6).await;
        for table in [a, b] {
            let expected: Vec<String> = {
                let rows = feed.expected(&table).into_iter();
                let mut rows: Vec<_> = rows
                    .map(|(id, v)| format!(r#"{{"id":"{id}","value":"{v}"}}"#))
                    .collect();
                rows.sort();
                rows
            };
            assert_eq!(
                lake.rows(&table),
                expected,
                "seed {seed}, {edge:?}, {table}"
            );
        }
    }
}

#[tokio::test]
async fn bad_rows_are_rejected_with_every_reason_and_the_rows_balance() {
    let t = table("t");
    let ids = [Some(1), None, Some(300), Some(4)];
    let rows = batch(&ids, &[Some("a"), Some("b"), Some("toolong"), Some("d")]);
    let source = ScriptedSource::of_events(t.clone(), id_value_schema(), move || {
        let t = table("t");
        vec![
            Ok(Event::Rows(Rows::of_batch(
                t.clone(),
                "file",
                rows.clone(),
                0,
            ))),
            Ok(Event::Rejects(vec![bad_record(t, 9)])),
            Ok(Event::Boundary(SplitPosition::at(1))),
            Ok(Event::End),
        ]
    });
    let mut plan = plan(&t, WriteMode::Replace);
    plan.rules = vec![
        rule("id", RuleKind::Required),
        rule("id", RuleKind::Max("200".into())),
        rule(
            "value",
            RuleKind::Length {
                min: None,
                max: Some(3),
            },
        ),
    ];
    plan.fail_above = Threshold {
        rows: None,
        percent: Some(100.0),
    };
    let lake = MemoryDestination::default();
    let summary = transfer(
        &source,
        Position::default(),
        vec![spec(plan, &lake, 1, Position::default())],
        0,
    )
    .await
    .unwrap();
    let out = &summary.outputs[0];
    assert!(out.balances(), "{out:?}");
    assert_eq!(
        (out.rows_read, out.rows_loaded, out.rows_rejected),
        (5, 2, 3)
    );
    assert_eq!(lake.rows(&t).len(), 2);
    let held = lake.rows(&quarantine_table(&t));
    assert_eq!(held.len(), 3);
    let both = held.iter().find(|row| row.contains("300")).unwrap();
    assert!(
        both.contains("at most 200") && both.contains("at most 3 characters"),
        "{both}"
    );
    assert!(held.iter().any(|row| row.contains("bad 9")));
}

#[tokio::test]
async fn too_many_bad_rows_stop_the_load_and_keep_the_evidence() {
    let t = table("t");
    let lake = MemoryDestination::default();
    let good = ScriptedSource::of_batches(
        t.clone(),
        id_value_schema(),
        vec![batch(&[Some(1)], &[Some("old")])],
    );
    transfer(
        &good,
        Position::default(),
        vec![spec(
            plan(&t, WriteMode::Replace),
            &lake,
            1,
            Position::default(),
        )],
        0,
    )
    .await
    .unwrap();
    let bad = ScriptedSource::of_batches(
        t.clone(),
        id_value_schema(),
        vec![batch(&[None, Some(2)], &[Some("x"), Some("y")])],
    );
    let mut strict = plan(&t, WriteMode::Replace);
    strict.rules = vec![rule("id", RuleKind::Required)];
    let summary = transfer(
        &bad,
        Position::default(),
        vec![spec(strict, &lake, 2, Position::default())],
        0,
    )
    .await
    .unwrap();
    assert_eq!(summary.outputs[0].stopped.as_ref().unwrap().code, "R0623");
    assert_eq!(
        lake.rows(&t),
        [r#"{"id":"1","value":"old"}"#],
        "the previous version is what everybody sees"
    );
    assert_eq!(lake.rows(&quarantine_table(&t)).len(), 1);
}

#[tokio::test]
async fn a_failed_check_stops_the_commit_and_a_warning_does_not() {
    let t = table("t");
    let source = ScriptedSource::of_batches(
        t.clone(),
        id_value_schema(),
        vec![batch(&[Some(1), Some(9)], &[Some("x"), None])],
    );
    for (severity, outcome, rows) in [
        (Severity::Error, CheckOutcome::Fail, 0),
        (Severity::Warn, CheckOutcome::Warn, 2),
    ] {
        let lake = MemoryDestination::default();
        let mut plan = plan(&t, WriteMode::Replace);
        plan.checks = vec![Check {
            name: "value is there".to_owned(),
            kind: CheckKind::NotNull {
                column: "value".to_owned(),
            },
            severity,
            filter: None,
            tolerance: Tolerance::default(),
            span: None,
        }];
        let summary = transfer(
            &source,
            Position::default(),
            vec![spec(plan, &lake, 1, Position::default())],
            0,
        )
        .await
        .unwrap();
        assert_eq!(summary.outputs[0].checks[0].outcome, outcome);
        assert_eq!(summary.outputs[0].checks[0].value, 1.0);
        assert_eq!(lake.rows(&t).len(), rows);
    }
}

#[tokio::test]
async fn the_first_commit_of_a_generation_wins() {
    let t = table("t");
    let lake = MemoryDestination::default();
    let source = ScriptedSource::of_batches(
        t.clone(),
        id_value_schema(),
        vec![batch(&[Some(1)], &[Some("x")])],
    );
    for adopted in [false, true] {
        let outputs = vec![spec(
            plan(&t, WriteMode::Append),
            &lake,
            1,
            Position::default(),
        )];
        let summary = transfer(&source, Position::default(), outputs, 0)
            .await
            .unwrap();
        assert_eq!(
            summary.outputs[0].receipt.as_ref().unwrap().adopted,
            adopted
        );
    }
    assert_eq!(lake.rows(&t).len(), 1);
}

#[tokio::test]
async fn two_reads_from_one_position_never_both_commit() {
    let t = table("t");
    let lake = MemoryDestination::default();
    let source = ScriptedSource::of_batches(
        t.clone(),
        id_value_schema(),
        vec![batch(&[Some(1)], &[Some("x")])],
    );
    for (generation, is_refused) in [(5, false), (8, true), (4, true)] {
        let mut output = spec(
            plan(&t, WriteMode::Append),
            &lake,
            generation,
            Position::default(),
        );
        output.after = Some(Generation(0));
        let result = transfer(&source, Position::default(), vec![output], 0).await;
        assert_eq!(result.is_err(), is_refused, "generation {generation}");
    }
    assert_eq!(lake.rows(&t).len(), 1);
}

#[tokio::test]
async fn a_second_attempt_keeps_its_own_bad_records() {
    let t = table("t");
    let lake = MemoryDestination::default();
    for (id, fails) in [(-1, true), (-2, false)] {
        if fails {
            // The quarantine commits first, then the table fails.
            lake.fail_at(Edge::BeforeCommit, 2);
        }
        let rows = vec![batch(&[Some(id), Some(7)], &[Some("x"), Some("y")])];
        let source = ScriptedSource::of_batches(t.clone(), id_value_schema(), rows);
        let mut strict = plan(&t, WriteMode::Replace);
        strict.rules = vec![rule("id", RuleKind::Min("0".into()))];
        strict.fail_above = Threshold {
            rows: None,
            percent: Some(100.0),
        };
        let output = spec(strict, &lake, 1, Position::default());
        let result = transfer(&source, Position::default(), vec![output], 0).await;
        assert_eq!(result.is_err(), fails);
    }
    let held = lake.rows(&quarantine_table(&t));
    assert_eq!(held.len(), 2, "{held:?}");
}

#[tokio::test]
async fn an_empty_source_makes_an_empty_table() {
    let t = table("t");
    let lake = MemoryDestination::default();
    let source = ScriptedSource::of_batches(t.clone(), id_value_schema(), Vec::new());
    transfer(
        &source,
        Position::default(),
        vec![spec(
            plan(&t, WriteMode::Replace),
            &lake,
            1,
            Position::default(),
        )],
        0,
    )
    .await
    .unwrap();
    assert_eq!(lake.schema(&t).await.unwrap(), Some(id_value_schema()));
}

#[tokio::test]
async fn a_read_that_finds_nothing_commits_nothing() {
    let t = table("t");
    let lake = MemoryDestination::default();
    let rows = vec![batch(&[Some(1)], &[Some("x")])];
    for (generation, rows, is_committed) in [
        (1, Vec::new(), true),
        (2, rows, true),
        (3, Vec::new(), false),
        (4, vec![batch(&[Some(-1)], &[Some("y")])], true),
    ] {
        let source = ScriptedSource::of_batches(t.clone(), id_value_schema(), rows);
        let mut strict = plan(&t, WriteMode::Append);
        strict.rules = vec![rule("id", RuleKind::Min("0".into()))];
        strict.fail_above = Threshold {
            rows: None,
            percent: Some(100.0),
        };
        let last = lake.last(&key(&t), &t).await.unwrap();
        let from = last
            .as_ref()
            .map_or_else(Position::default, |last| last.token.position.clone());
        let mut output = spec(strict, &lake, generation, from.clone());
        output.after = Some(last.map_or(Generation(0), |last| last.token.generation));
        if generation > 1 {
            output.skip = SkipCommit::NothingRead;
        }
        let summary = transfer(&source, from, vec![output], 0).await.unwrap();
        assert_eq!(
            summary.outputs[0].receipt.is_some(),
            is_committed,
            "generation {generation}"
        );
    }
    assert_eq!(lake.rows(&t).len(), 1);
}

fn wider_schema() -> SchemaRef {
    let mut fields: Vec<Field> = id_value_schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    fields.push(Field::new("extra", DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

/// Rows of one id each, a boundary behind every `per`, columns that change at `wider`.
fn evolving(first: i64, from: u64, per: u64, wider: u64) -> Vec<Event> {
    let t = table("t");
    let mut events = Vec::new();
    for n in from..wider + per {
        let id = first + i64::try_from(n).unwrap();
        let mut rows = batch(&[Some(id)], &[Some("x")]);
        if n == wider {
            events.push(Event::Schema(TableSchema {
                table: t.clone(),
                schema: wider_schema(),
            }));
        }
        if n >= wider {
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(StringArray::from(vec!["y"])));
            rows = RecordBatch::try_new(wider_schema(), columns).unwrap();
        }
        events.push(Event::Rows(Rows::of_batch(t.clone(), "part", rows, n)));
        if (n + 1) % per == 0 {
            events.push(Event::Boundary(SplitPosition::at(n + 1)));
        }
    }
    events.push(Event::End);
    events
}

#[tokio::test]
async fn new_columns_of_one_split_wait_until_the_others_stand() {
    for nth in 1..4 {
        let t = table("t");
        let lake = MemoryDestination::default();
        lake.fail_at(Edge::BeforeCommit, nth);
        let source = endless_of(
            t.clone(),
            id_value_schema(),
            vec![
                ("short", |from| evolving(0, from, 1, 4)),
                ("long", |from| evolving(1000, from, 20, 20)),
            ],
        );
        until_done(&source, &[plan(&t, WriteMode::Append)], &lake, 1000).await;
        let rows = lake.rows(&t);
        let distinct: std::collections::BTreeSet<_> = rows.iter().collect();
        assert_eq!((rows.len(), distinct.len()), (5 + 40, 5 + 40), "{nth}");
    }
}

async fn load(
    source: &ScriptedSource,
    plan: TablePlan,
    lake: &MemoryDestination,
) -> TransferSummary {
    let last = lake.last(&key(&plan.target), &plan.target).await.unwrap();
    let generation = last.map_or(1, |last| last.token.generation.0 + 1);
    let outputs = vec![spec(plan, lake, generation, Position::default())];
    transfer(source, Position::default(), outputs, 0)
        .await
        .unwrap()
}

#[tokio::test]
async fn text_that_a_declared_type_would_round_is_rejected() {
    let t = table("t");
    let values = [Some("1.239"), Some("1.23"), Some("7")];
    let rows = batch(&[Some(1), Some(2), Some(3)], &values);
    let source = ScriptedSource::of_batches(t.clone(), id_value_schema(), vec![rows]);
    let mut plan = plan(&t, WriteMode::Replace);
    plan.columns = vec![ColumnPlan {
        name: "value".to_owned(),
        data_type: Some("decimal(10,2)".to_owned()),
        ..ColumnPlan::default()
    }];
    plan.fail_above.percent = Some(100.0);
    let lake = MemoryDestination::default();
    let summary = load(&source, plan, &lake).await;
    let out = &summary.outputs[0];
    assert_eq!((out.rows_loaded, out.rows_rejected), (2, 1), "{out:?}");
    assert!(lake.rows(&quarantine_table(&t))[0].contains("1.239"));
}

#[tokio::test]
async fn a_masked_value_is_not_told_when_the_first_bad_row_stops_a_load() {
    let source = ScriptedSource::of_events(table("t"), id_value_schema(), || {
        let mut reject = bad_record(table("t"), 9);
        reject.reasons[0].column = Some("value".to_owned());
        reject.reasons[0].value = Some("4111-1111".to_owned());
        vec![
            Ok(Event::Rejects(vec![reject])),
            Ok(Event::Boundary(SplitPosition::at(1))),
            Ok(Event::End),
        ]
    });
    let t = table("t");
    let mut plan = plan(&t, WriteMode::Replace);
    plan.bad_rows = BadRows::Fail;
    plan.columns = vec![ColumnPlan {
        name: "value".to_owned(),
        mask: Some(Mask::Null),
        ..ColumnPlan::default()
    }];
    let summary = load(&source, plan, &MemoryDestination::default()).await;
    let stopped = summary.outputs[0].stopped.as_ref().unwrap();
    assert_eq!(stopped.code, "R0622");
    let summary_json = serde_json::to_string(&summary.outputs[0]).unwrap();
    assert!(
        !summary_json.contains("4111") && !stopped.to_string().contains("4111"),
        "{summary_json}"
    );
}

#[tokio::test]
async fn a_record_that_comes_again_is_one_however_many_came_between() {
    let source = ScriptedSource::of_events(table("t"), id_value_schema(), || {
        let some = |lines: std::ops::Range<u64>| {
            let rejects = lines.map(|line| bad_record(table("t"), line));
            Ok(Event::Rejects(rejects.collect()))
        };
        vec![
            some(0..3000),
            some(0..10),
            Ok(Event::Boundary(SplitPosition::at(1))),
            Ok(Event::End),
        ]
    });
    let t = table("t");
    let mut plan = plan(&t, WriteMode::Replace);
    plan.fail_above.percent = Some(100.0);
    let lake = MemoryDestination::default();
    load(&source, plan, &lake).await;
    assert_eq!(lake.rows(&quarantine_table(&t)).len(), 3000);
}

#[tokio::test]
async fn a_replacement_tells_which_columns_it_changes() {
    let t = table("t");
    let lake = MemoryDestination::default();
    let rows = batch(&[Some(1)], &[Some("a")]);
    let source = ScriptedSource::of_batches(t.clone(), id_value_schema(), vec![rows]);
    let first = load(&source, plan(&t, WriteMode::Replace), &lake).await;
    assert!(first.outputs[0].notes.is_empty());
    let same = load(&source, plan(&t, WriteMode::Replace), &lake).await;
    assert!(same.outputs[0].notes.is_empty());
    let other: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    let rows = RecordBatch::try_new(
        Arc::clone(&other),
        vec![Arc::new(StringArray::from(vec!["one"]))],
    )
    .unwrap();
    let source = ScriptedSource::of_batches(t.clone(), other, vec![rows]);
    let changed = load(&source, plan(&t, WriteMode::Replace), &lake).await;
    assert_eq!(
        changed.outputs[0].notes,
        ["its columns changed: `id` was bigint and is text, `value` is gone"]
    );
}
