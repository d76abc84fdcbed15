//! Change feeds with `where`, `set`, masks, rules, dedup and checks: the destination has the result of all
//! changes, also if every step fails once.

use std::collections::BTreeMap;

use towpath_flow::quarantine_table;
use towpath_testkit::{
    Change, ChangeFeed, Edge, LiveEvent, MemoryDestination, endless_events, id_value_schema,
};
use towpath_vocab::{
    Check, CheckKind, ColumnPlan, Dedup, Mask, Position, RuleKind, SecretTemplate, Severity,
    TableName, TablePlan, Threshold, Tolerance, WriteMode,
};

use super::support::{batch, plan, rule, spec, table, transfer, until_done};

const EDGES: [Edge; 5] = [
    Edge::Begin,
    Edge::Write,
    Edge::Prepare,
    Edge::BeforeCommit,
    Edge::AfterCommit,
];

fn check(name: &str, kind: CheckKind) -> Check {
    Check {
        name: name.to_owned(),
        kind,
        severity: Severity::Error,
        filter: None,
        tolerance: Tolerance::default(),
        span: None,
    }
}

/// A plan with every operator on. None of them may look at a delete: its `value` is null.
fn every_operator(table: &TableName) -> TablePlan {
    let mut plan = plan(table, WriteMode::Merge);
    plan.filter = Some("value not like '%5'".to_owned());
    plan.columns = vec![ColumnPlan {
        name: "hidden".to_owned(),
        set: Some("value".to_owned()),
        mask: Some(Mask::Hash(SecretTemplate::new("${secret:key}"))),
        ..ColumnPlan::default()
    }];
    plan.rules = vec![
        rule("value", RuleKind::Required),
        rule("value", RuleKind::Pattern("[0-8]$".to_owned())),
    ];
    plan.dedup = Some(Dedup {
        by: "value".to_owned(),
        keep_last: true,
    });
    plan.checks = vec![
        check(
            "one row per id",
            CheckKind::Unique {
                columns: vec!["id".to_owned()],
            },
        ),
        check(
            "value is there",
            CheckKind::NotNull {
                column: "value".to_owned(),
            },
        ),
    ];
    plan.fail_above = Threshold {
        rows: None,
        percent: Some(100.0),
    };
    plan
}

/// What the changes of a table lead to, and how many of them are rejected.
fn expected<'a>(changes: impl Iterator<Item = &'a Change>) -> (BTreeMap<i64, String>, usize) {
    let (mut rows, mut rejected) = (BTreeMap::new(), 0);
    for change in changes {
        match &change.value {
            // Gone, or not wanted any more.
            None => {
                rows.remove(&change.id);
            }
            Some(value) if value.ends_with('5') => {
                rows.remove(&change.id);
            }
            // Rejected: what was there before stays.
            Some(value) if value.ends_with('9') => rejected += 1,
            Some(value) => {
                rows.insert(change.id, value.clone());
            }
        }
    }
    (rows, rejected)
}

fn held(lake: &MemoryDestination, table: &TableName) -> BTreeMap<i64, String> {
    let rows = lake.rows(table).into_iter().map(|row| {
        let row: serde_json::Value = serde_json::from_str(&row).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        assert_eq!(text("hidden").len(), 64, "{row}");
        (text("id").parse().unwrap(), text("value"))
    });
    rows.collect()
}

#[tokio::test]
async fn every_operator_knows_deletes_whatever_edge_fails() {
    for (seed, edge) in (1..25_u64).flat_map(|seed| EDGES.map(|edge| (seed, edge))) {
        let lake = MemoryDestination::default();
        lake.fail_at(edge, 1 + (seed % 7) as u32);
        let tables = [table("a"), table("b")];
        let feed = ChangeFeed::random(tables.to_vec(), 60, seed * 7919);
        let plans = tables.each_ref().map(every_operator);
        until_done(&feed.source(), &plans, &lake, 9).await;
        for table in &tables {
            let changes = feed.changes().filter(|change| change.table == *table);
            let (rows, rejected) = expected(changes);
            assert_eq!(held(&lake, table), rows, "seed {seed}, {edge:?}, {table}");
            let waiting = lake.rows(&quarantine_table(table)).len();
            assert_eq!(waiting, rejected, "seed {seed}, {edge:?}, {table}");
        }
    }
}

#[tokio::test]
async fn the_counts_of_a_feed_balance() {
    let lake = MemoryDestination::default();
    let t = table("a");
    let feed = ChangeFeed::random(vec![t.clone()], 200, 7);
    let outputs = vec![spec(every_operator(&t), &lake, 1, Position::default())];
    let summary = transfer(&feed.source(), Position::default(), outputs, 9)
        .await
        .unwrap();
    let out = &summary.outputs[0];
    let changes: Vec<&Change> = feed.changes().collect();
    assert!(out.balances(), "{out:?}");
    assert_eq!(out.rows_read, changes.len() as u64);
    let ends_in =
        |change: &&&Change, digit: char| change.value.as_ref().is_some_and(|v| v.ends_with(digit));
    let rejected = changes.iter().filter(|c| ends_in(c, '9')).count();
    assert_eq!(out.rows_rejected, rejected as u64);
    let new = changes.iter().filter(|c| c.op == 0);
    let filtered = new.filter(|c| ends_in(c, '5')).count();
    assert_eq!(out.rows_filtered, filtered as u64);
    let broken: u64 = out.rules.iter().map(|rule| rule.rows).sum();
    assert_eq!(broken, rejected as u64);
    assert!(out.rows_deduplicated > 0);
}

#[tokio::test]
async fn changes_go_only_where_they_can_be_applied() {
    for mode in [
        WriteMode::Append,
        WriteMode::Replace,
        WriteMode::DeleteInsert,
    ] {
        let lake = MemoryDestination::default();
        let t = table("a");
        let feed = ChangeFeed::random(vec![t.clone()], 20, 11);
        let outputs = vec![spec(plan(&t, mode), &lake, 1, Position::default())];
        let failure = transfer(&feed.source(), Position::default(), outputs, 1_000)
            .await
            .unwrap_err();
        assert_eq!(failure.code, "R0720", "{mode:?}");
        assert!(lake.rows(&t).is_empty());
    }
}

/// A feed with a truncate in the middle of a transaction, as one bounded list of events.
fn with_truncate(t: &TableName) -> Vec<LiveEvent> {
    let rows = |ids: &[i64], values: &[Option<&str>], ops: &[u8]| {
        let ids: Vec<Option<i64>> = ids.iter().copied().map(Some).collect();
        LiveEvent::Rows(t.clone(), batch(&ids, values), Some(ops.to_vec()))
    };
    vec![
        rows(&[1, 2], &[Some("a1"), Some("a2")], &[0, 0]),
        LiveEvent::Boundary(1),
        rows(&[3, 1], &[Some("a3"), None], &[0, 2]),
        LiveEvent::Truncate(t.clone()),
        rows(
            &[4, 5, 6],
            &[Some("a4"), Some("a5"), Some("a9")],
            &[0, 0, 0],
        ),
        rows(&[4, 2, 7], &[Some("a6"), None, Some("a7")], &[1, 2, 0]),
        rows(&[7], &[None], &[2]),
        LiveEvent::Boundary(2),
        rows(&[8], &[Some("a8")], &[0]),
        LiveEvent::Boundary(3),
    ]
}

#[tokio::test]
async fn a_table_that_was_emptied_holds_what_came_behind() {
    let t = table("a");
    // Together with what came before, or behind a commit of it.
    for rows in [1, 1_000] {
        for edge in EDGES {
            for nth in 1..4 {
                let lake = MemoryDestination::default();
                lake.fail_at(edge, nth);
                let source = endless_events(t.clone(), id_value_schema(), with_truncate(&t));
                until_done(&source, &[every_operator(&t)], &lake, rows).await;
                let rows = held(&lake, &t);
                let expected = BTreeMap::from([(4, "a6".to_owned()), (8, "a8".to_owned())]);
                assert_eq!(rows, expected, "{edge:?} {nth}");
                assert_eq!(lake.rows(&quarantine_table(&t)).len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn a_table_that_only_grows_refuses_to_be_emptied() {
    let t = table("a");
    let lake = MemoryDestination::default();
    let events = vec![LiveEvent::Truncate(t.clone()), LiveEvent::Boundary(1)];
    let source = endless_events(t.clone(), id_value_schema(), events);
    let outputs = vec![spec(
        plan(&t, WriteMode::Append),
        &lake,
        1,
        Position::default(),
    )];
    let failure = transfer(&source, Position::default(), outputs, 1).await;
    assert_eq!(failure.unwrap_err().code, "R0609");
}
