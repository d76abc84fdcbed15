//! Checks have the same results whether they are measured while rows are written (`replace`) or with a
//! query on the candidate (`merge`), and checks that share one query are judged separately.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

/// What a table may be written by: watched on the way, asked of the candidate.
const WRITES: [&str; 2] = ["replace", "merge"];

fn desk(write: &str, checks: &str) -> TestProject {
    let table = format!("t: {{ from: t.csv, key: id, write: {write}, checks: [{checks}] }}");
    let known = "kinds: { from: kinds.csv }";
    let pipeline = format!(
        "steps:\n  known:\n    load: data\n    into: raw\n    tables:\n      {known}\n  \
         extract:\n    load: data\n    into: raw\n    after: known\n    tables:\n      {table}\n"
    );
    let desk = TestProject::with_pipeline(&pipeline);
    desk.write(
        "data/t.csv",
        "id,kind,n\n1,a,5\n2,a,\n3,b,50\n4,,7\n5,c,7\n6,c,8\n",
    );
    desk.write("data/kinds.csv", "code,id\na,1\nb,3\n,9\n");
    desk
}

/// Name, outcome and value of each check of `raw.t`.
fn judged(desk: &TestProject) -> Vec<(String, String, f64)> {
    let found = desk.json(".", &["quality", "raw.t", "--format", "json"]);
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap().to_owned();
    let checks = found["checks"].as_array().unwrap().iter();
    checks
        .map(|c| {
            (
                text(c, "name"),
                text(c, "outcome"),
                c["value"].as_f64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn each_counts_its_own_rows_where_its_filter_holds() {
    for write in WRITES {
        let desk = desk(
            write,
            r#"{ not_null: [n], where: kind = 'a', severity: warn, name: n_of_a },
             { not_null: [n], where: kind = 'b', severity: warn, name: n_of_b },
             { not_null: [kind], severity: warn, name: kind },
             { range: { n: { max: 10 } }, severity: warn, name: small },
             { range: { n: { max: 10 } }, where: kind = 'a', severity: warn, name: small_of_a },
             { range: { n: { min: 6, max: 10 } }, severity: warn, name: middle },
             { accepted_values: { kind: [a, b] }, severity: warn, name: kinds },
             { pattern: { kind: '^[ab]$' }, severity: warn, name: a_or_b },
             { pattern: { kind: '^[ab]$' }, where: n > 7, severity: warn, name: large_a_or_b },
             { row_count: { min: 2, max: 2 }, where: kind = 'a', severity: warn, name: two_of_a },
             { unique: [kind], severity: warn, name: kind_once },
             { unique: [kind], where: n > 7, severity: warn, name: large_once },
             { unique: [n], where: "kind in (select code from raw.kinds)", severity: warn, name: known_once },
             { not_null: [n], where: "id in (select id from raw.kinds)", severity: warn, name: n_of_known },
             { distinct_count: { kind: { max: 2 } }, severity: warn, name: few_kinds },
             { distinct_count: { kind: { min: 3, max: 3 }, n: { min: 4, max: 4 } }, severity: warn, name: exactly },
             { distinct_count: { kind: { min: 2 } }, where: n > 7, severity: warn, name: large_kinds },
             { distinct_count: { n: { max: 0 } }, where: n > 100, severity: warn, name: none_above },
             { distinct_count: { n: { min: 3 } }, where: "id in (select id from raw.kinds)", severity: warn, name: n_of_some },
             { relationships: { kind: raw.kinds.code }, severity: warn, name: kind_known },
             { relationships: { id: raw.kinds.id }, severity: warn, name: id_known },
             { relationships: { id: raw.kinds.id }, where: kind = 'a', severity: warn, name: a_known },
             { expression: n < 40, severity: warn, name: below }"#,
        );
        let said = desk.ok(".", &["run"]);
        has(
            &said,
            &[
                "1 row with `n` out of range: 50",
                "2 keys (kind) occur more than once: a c",
                "2 rows with a `kind` that is not in `raw.kinds`: c",
                "4 rows with a `id` that is not in `raw.kinds`: 2 4 5 6",
                "`kind` has 3 distinct values",
            ],
        );
        let values = judged(&desk);
        for (name, outcome, value) in [
            ("n_of_a", "warn", 1.0),
            ("n_of_b", "pass", 0.0),
            ("kind", "warn", 1.0),
            ("small", "warn", 1.0),
            ("small_of_a", "pass", 0.0),
            ("middle", "warn", 2.0),
            ("kinds", "warn", 2.0),
            ("a_or_b", "warn", 2.0),
            ("large_a_or_b", "warn", 1.0),
            ("two_of_a", "pass", 2.0),
            ("kind_once", "warn", 2.0),
            ("large_once", "pass", 0.0),
            ("known_once", "pass", 0.0),
            ("n_of_known", "pass", 0.0),
            ("few_kinds", "warn", 3.0),
            ("exactly_kind", "pass", 3.0),
            ("exactly_n", "pass", 4.0),
            ("large_kinds", "pass", 2.0),
            ("none_above", "pass", 0.0),
            ("n_of_some", "warn", 2.0),
            ("kind_known", "warn", 2.0),
            ("id_known", "warn", 4.0),
            ("a_known", "warn", 1.0),
            ("below", "warn", 1.0),
            ("unique_t_id", "pass", 0.0),
        ] {
            let wanted = (name.to_owned(), outcome.to_owned(), value);
            assert!(
                values.contains(&wanted),
                "{write}: {wanted:?} in {values:?}"
            );
        }
    }
}

#[test]
fn one_that_cannot_be_answered_stops_the_table_and_nothing_else_is_blamed() {
    for write in WRITES {
        let desk = desk(
            write,
            "{ not_null: [id], severity: warn },
             { expression: 1 / (n - 5) < 2, name: divides },
             { range: { n: { max: 100 } }, name: small }",
        );
        let said = desk.exits(3, ".", &["run"]);
        let expected = "error[R0508]: check `divides`: the query divides by zero";
        has(&said, &[expected]);
        assert!(!desk.path("lake/raw/t/_delta_log").exists());
    }
}

/// Values of every type, too many of them to count while they are written, and both zeros.
#[test]
fn distinct_values_are_counted_exactly_however_many_they_are_and_of_every_type() {
    for write in WRITES {
        let pipeline = format!(
            "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      t:\n        from: t.csv\n        key: id\n        write: {write}\n        columns: {{ day: date, at: timestamp, amount: 'decimal(9,2)', ratio: double, done: boolean }}\n        checks:\n          - distinct_count:\n              {{ id: {{ min: 3000, max: 3000 }}, name: {{ min: 1500, max: 1500 }}, day: {{ min: 3, max: 3 }}, at: {{ min: 2, max: 2 }}, amount: {{ min: 2, max: 2 }}, ratio: {{ min: 2, max: 2 }}, done: {{ min: 2, max: 2 }} }}\n            name: exactly\n"
        );
        let desk = TestProject::with_pipeline(&pipeline);
        let rows = (0..3_000).map(|n: usize| {
            let (name, day, hour) = (n % 1_500, 1 + n % 3, n % 2);
            let amount = ["1.5", "1.50", "2"][n % 3];
            let ratio = ["0.0", "-0.0", "0.5", ""][n % 4];
            let done = ["true", "false", ""][n % 3];
            format!("{n},n{name},2026-01-0{day},2026-01-01 0{hour}:00:00,{amount},{ratio},{done}")
        });
        let head = std::iter::once("id,name,day,at,amount,ratio,done".to_owned());
        let lines: Vec<String> = head.chain(rows).collect();
        desk.write("data/t.csv", &format!("{}\n", lines.join("\n")));
        desk.ok(".", &["run"]);
        let values = judged(&desk);
        for (column, value) in [
            ("id", 3000.0),
            ("name", 1500.0),
            ("day", 3.0),
            ("at", 2.0),
            ("amount", 2.0),
            ("ratio", 2.0),
            ("done", 2.0),
        ] {
            let wanted = (format!("exactly_{column}"), "pass".to_owned(), value);
            assert!(
                values.contains(&wanted),
                "{write}: {wanted:?} in {values:?}"
            );
        }
    }
}

#[test]
fn a_column_with_too_few_values_stops_the_table() {
    for write in WRITES {
        let desk = desk(write, "{ distinct_count: { kind: { min: 4 } } }");
        let said = desk.exits(3, ".", &["run"]);
        has(
            &said,
            &[
                "`raw.t` was not committed: `kind` has 3 distinct values",
                "check `distinct_count_t_kind` found 3, its limit: at least 4 distinct values",
            ],
        );
        assert!(!desk.path("lake/raw/t/_delta_log").exists());
    }
}
