//! What changes a fingerprint, and what does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::json;
use towpath_ports::Committed;
use towpath_vocab::{
    ColumnEdge, ColumnRef, EdgeKind, Generation, Materialized, ModelPlan, RetryPlan, Span,
    TableName, TaskKey, TaskKind, Token, TriggerRule,
};

use super::*;

fn model(vars: serde_json::Value) -> PlannedTask {
    let table = json!({
        "target": "marts.m",
        "write": { "mode": "replace", "key": [], "schema_change": "evolve" },
        "where": null, "columns": [], "keep": [], "drop": [], "dedup": null,
        "rules": [], "checks": [], "bad_rows": "quarantine",
        "fail_above": { "rows": null, "percent": 10.0 },
        "lineage": TableLineage::default(),
    });
    let plan = ModelPlan {
        name: "m".to_owned(),
        file: "models/marts/m.sql".to_owned(),
        template: "select 1 as one".to_owned(),
        sql: None,
        materialized: Materialized::Table,
        references: BTreeMap::new(),
        ephemerals: BTreeMap::new(),
        macros: String::new(),
        vars: serde_json::from_value(vars).unwrap(),
        env_vars: BTreeMap::new(),
        reads: Vec::new(),
        asks: false,
        full_refresh: None,
        deferred: false,
        table: serde_json::from_value(table).unwrap(),
    };
    PlannedTask {
        id: "build/marts.m".into(),
        step: "build".into(),
        action: Action::Model(Box::new(plan)),
        after: Vec::new(),
        when: TriggerRule::default(),
        retry: RetryPlan::default(),
        span: None,
    }
}

fn print(task: &PlannedTask) -> String {
    fingerprint(task, &["raw.a@1".to_owned()]).unwrap()
}

#[test]
fn a_users_own_words_count_whatever_they_are_called() {
    for key in ["span", "lineage", "seen_at", "deferred", "known"] {
        let (one, two) = (
            model(json!({ "v": { key: 1 } })),
            model(json!({ "v": { key: 2 } })),
        );
        assert_ne!(print(&one), print(&two), "{key}");
        let (one, two) = (model(json!({ key: 1 })), model(json!({ key: 2 })));
        assert_ne!(print(&one), print(&two), "{key}");
    }
}

#[test]
fn places_and_what_was_observed_do_not_count() {
    let plain = model(json!({}));
    let mut moved = plain.clone();
    moved.span = Some(Span {
        file: "models/marts/m.sql".to_owned(),
        start: 3,
        end: 4,
        line: 7,
        column: 1,
    });
    let Action::Model(plan) = &mut moved.action else {
        panic!("a model");
    };
    plan.deferred = true;
    let place = |table: &str| ColumnRef {
        table: table.to_owned(),
        column: "a".to_owned(),
    };
    plan.table.lineage.edges.push(ColumnEdge {
        from: place("raw.a"),
        to: place("marts.m"),
        influence: EdgeKind::Identity,
    });
    assert_eq!(print(&plain), print(&moved));
    let pipeline = |task: PlannedTask| PlannedPipeline {
        name: "p".into(),
        steps: vec!["build".into()],
        tasks: vec![task],
        parallel: 1,
        schedule: None,
        alerts: Default::default(),
    };
    assert_eq!(
        stable_parts(&pipeline(plain.clone())),
        stable_parts(&pipeline(moved.clone()))
    );
    let Action::Model(plan) = &mut moved.action else {
        panic!("a model");
    };
    plan.template.push(' ');
    assert_ne!(print(&plain), print(&moved));
}

#[test]
fn an_append_of_an_earlier_version_is_known_by_its_inputs_without_their_commits() {
    let task = model(json!({}));
    let older = fingerprint(&task, &["version 3 of id".to_owned()]).unwrap();
    let inputs = ["version 3 of id, commit Some(\"c\")".to_owned()];
    let now = fingerprint(&task, &inputs).unwrap();
    let held = |stored: Option<&str>, write| {
        let key = TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "l".into(),
            step: "build".into(),
            kind: TaskKind::Step,
            table: TableName::new("marts", "m"),
        };
        let token = Token {
            fingerprint: stored.map(str::to_owned),
            ..Token::of(key, Generation(1))
        };
        let claim = GenerationClaim {
            generation: Generation(2),
            last: Some(Committed {
                token,
                version: "commit 1".to_owned(),
                stats: Default::default(),
            }),
            is_done: false,
        };
        held_form(&task, (now.clone(), &inputs), &claim, write).unwrap()
    };
    assert_eq!(held(Some(&older), WriteMode::Append), older);
    assert_eq!(held(Some(&older), WriteMode::Merge), now);
    assert_eq!(held(Some(&now), WriteMode::Append), now);
    assert_eq!(held(None, WriteMode::Append), now);
}
