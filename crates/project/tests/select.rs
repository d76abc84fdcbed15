//! The meaning of `--select` in a project: neighbours, methods, patterns, unions, and words that match
//! nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use towpath_project::{SelectError, TaskSelection, after, choose, keep};
use towpath_vocab::{Plan, TaskId};

const FILES: &[(&str, &str)] = &[
    (
        "towpath.yml",
        "towpath: 1\nname: air\nid: abc\nconnections:\n  data: { type: files, path: data }\n  out: { type: files, path: out, writable: true }\n",
    ),
    (
        "pipelines/air.yml",
        "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      flights: { from: f.csv }\n      weather: { from: w.csv }\n  build: { models: all }\n  notify: { command: [true], after: [build] }\n  reports: { publish: marts, into: out, tables: { delay: { from: delay } } }\n",
    ),
    (
        "pipelines/side.yml",
        "steps:\n  pull: { load: data, into: side, tables: { notes: { from: n.csv } } }\n",
    ),
    (
        "models/staging/clean.sql",
        "select * from {{ source('raw', 'flights') }}\n",
    ),
    (
        "models/marts/delay.sql",
        "select * from {{ ref('clean') }}\n",
    ),
    (
        "models/marts/rain.sql",
        "{{ config(materialized='table') }}\nselect c.* from {{ ref('clean') }} c, {{ source('raw', 'weather') }} w\n",
    ),
];

fn plan() -> Plan {
    let files: BTreeMap<String, String> = FILES
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    let checked = support::run(&files, None);
    let said = support::draw(&checked.diagnostics, &files);
    checked.plan.unwrap_or_else(|| panic!("{said}"))
}

fn choice(select: &[&str], exclude: &[&str]) -> TaskSelection {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    TaskSelection {
        select: owned(select),
        exclude: owned(exclude),
    }
}

/// Short names of the tasks that are chosen, over all pipelines.
fn chosen(select: &[&str], exclude: &[&str]) -> Vec<String> {
    let plan = plan();
    let sets = choose(&plan, &choice(select, exclude)).unwrap();
    let short = |id: &TaskId| id.as_str().rsplit(['/', '.']).next().unwrap().to_owned();
    let mut names: Vec<String> = sets.iter().flatten().map(short).collect();
    names.sort();
    names
}

#[test]
fn words_mean_tables_models_schemas_tasks_and_files() {
    let one: &[(&[&str], &[&str])] = &[
        (&["raw.flights"], &["flights"]),
        (&["RAW.Flights"], &["flights"]),
        (&["flights"], &["flights"]),
        (&["extract/raw.flights"], &["flights"]),
        (&["clean"], &["clean"]),
        (&["notify"], &["notify"]),
        (&["raw"], &["flights", "weather"]),
        (&["raw.*"], &["flights", "weather"]),
        (&["*e*her"], &["weather"]),
        (&["models/marts"], &["delay", "rain"]),
        (&["path:models/staging/"], &["clean"]),
        (&["path:models/*/rain.sql"], &["rain"]),
        (&["path:pipelines/side.yml"], &["notes"]),
        (&["source:raw.flights"], &["flights"]),
        (&["source:data"], &["flights", "notes", "weather"]),
        (&["source:data.w.csv"], &["weather"]),
        (&["step:build"], &["clean", "delay", "rain"]),
        (&["pipeline:side"], &["notes"]),
        (&["connection:out"], &["delay"]),
        (&["resource_type:command"], &["notify"]),
        (&["config.materialized:table"], &["rain"]),
    ];
    for (select, expected) in one {
        assert_eq!(chosen(select, &[]), *expected, "{select:?}");
    }
}

#[test]
fn neighbours_unions_intersections_and_exclusions() {
    let all: &[(&[&str], &[&str], &[&str])] = &[
        (&["+marts.delay"], &[], &["clean", "delay", "flights"]),
        (&["1+marts.delay"], &[], &["clean", "delay"]),
        (&["0+marts.delay"], &[], &["delay"]),
        (
            &["clean+"],
            &[],
            &["clean", "delay", "delay", "notify", "rain"],
        ),
        (&["flights+1"], &[], &["clean", "flights"]),
        (
            &["1+clean+1"],
            &["notify"],
            &["clean", "delay", "flights", "rain"],
        ),
        (
            &["@flights"],
            &[],
            &[
                "clean", "delay", "delay", "flights", "notify", "rain", "weather",
            ],
        ),
        (&["flights weather"], &[], &["flights", "weather"]),
        (&["flights", "weather"], &[], &["flights", "weather"]),
        (&["step:build,clean+"], &[], &["clean", "delay", "rain"]),
        (&["step:build,clean+"], &["*.rain"], &["clean", "delay"]),
        (&["step:build,raw"], &[], &[]),
        (&[], &["step:build+"], &["flights", "notes", "weather"]),
    ];
    for (select, exclude, expected) in all {
        assert_eq!(
            chosen(select, exclude),
            *expected,
            "{select:?} -{exclude:?}"
        );
    }
}

#[test]
fn what_means_nothing_names_what_is_near() {
    let plan = plan();
    for (select, exclude, help) in [
        ("marts.delya", "", "did you mean `marts.delay`?"),
        ("extract", "", "did you mean `step:extract`?"),
        ("flights", "wether", "did you mean `weather`?"),
        ("step:biuld", "", "did you mean `step:build`?"),
        ("zzz:x", "", "there are: name"),
        ("stap:x", "", "did you mean `step:`?"),
        ("tag:nightly", "", "no tags"),
        ("connection:nowhere", "", "there are: data, out"),
        ("clean,wethar", "", "did you mean `weather`?"),
    ] {
        let exclude: Vec<&str> = exclude.split_whitespace().collect();
        let error = choose(&plan, &choice(&[select], &exclude)).unwrap_err();
        assert!(error.help().contains(help), "{select}: {}", error.help());
    }
    let error = choose(&plan, &choice(&["a++"], &[])).unwrap_err();
    assert!(matches!(error, SelectError::Unreadable { .. }));
}

#[test]
fn order_survives_what_is_left_out() {
    let plan = plan();
    let air = &plan.pipelines[0];
    let id = |end: &str| -> TaskId {
        let mut tasks = air.tasks.iter();
        tasks
            .find(|task| task.id.as_str().ends_with(end))
            .unwrap()
            .id
            .clone()
    };
    let kept = BTreeSet::from([id("raw.flights"), id("marts.delay"), id("notify")]);
    let small = keep(air, &kept);
    let waits: Vec<(&str, Vec<&str>)> = small
        .tasks
        .iter()
        .map(|task| {
            let after = task.after.iter().map(TaskId::as_str).collect();
            (task.id.as_str(), after)
        })
        .collect();
    assert_eq!(
        waits,
        [
            ("extract/raw.flights", vec![]),
            ("build/marts.delay", vec!["extract/raw.flights"]),
            ("notify", vec!["build/marts.delay", "extract/raw.flights"]),
        ]
    );
    let steps: Vec<&str> = small.steps.iter().map(|step| step.as_str()).collect();
    assert_eq!(steps, ["extract", "build", "notify"]);
    let below = after(air, &BTreeSet::from([id("marts.delay")]));
    assert!(below.contains(&id("notify")) && !below.contains(&id("marts.rain")));
}
