//! Checks that are asked together are judged apart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod desk;

use crate::desk::{Desk, has};

fn desk(checks: &str) -> Desk {
    let table = "t: { from: t.csv, key: id, write: merge, checks: [";
    let pipeline = format!(
        "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      {table}{checks}] }}\n"
    );
    let desk = Desk::with_pipeline(&pipeline);
    desk.write("data/t.csv", "id,kind,n\n1,a,5\n2,a,\n3,b,50\n4,,7\n");
    desk
}

#[test]
fn each_counts_its_own_rows_where_its_filter_holds() {
    let desk = desk(
        "{ not_null: [n], where: kind = 'a', severity: warn, name: n_of_a },
         { not_null: [n], where: kind = 'b', severity: warn, name: n_of_b },
         { not_null: [kind], severity: warn, name: kind },
         { range: { n: { max: 10 } }, severity: warn, name: small },
         { range: { n: { max: 10 } }, where: kind = 'a', severity: warn, name: small_of_a },
         { accepted_values: { kind: [a, b] }, severity: warn, name: kinds },
         { row_count: { min: 2, max: 2 }, where: kind = 'a', severity: warn, name: two_of_a },
         { unique: [kind], severity: warn, name: kind_once },
         { expression: n < 40, severity: warn, name: below }",
    );
    let said = desk.ok(".", &["run"]);
    has(
        &said,
        &[
            "1 row with `n` out of range: 50",
            "1 key (kind) occurs more than once: a",
        ],
    );
    let found = desk.json(".", &["quality", "--format", "json"]);
    let checks = found["checks"].as_array().unwrap();
    let values: Vec<(&str, &str, f64)> = checks
        .iter()
        .map(|check| {
            let outcome = check["outcome"].as_str().unwrap();
            (
                check["name"].as_str().unwrap(),
                outcome,
                check["value"].as_f64().unwrap(),
            )
        })
        .collect();
    for wanted in [
        ("n_of_a", "warn", 1.0),
        ("n_of_b", "pass", 0.0),
        ("kind", "warn", 1.0),
        ("small", "warn", 1.0),
        ("small_of_a", "pass", 0.0),
        ("kinds", "pass", 0.0),
        ("two_of_a", "pass", 2.0),
        ("kind_once", "warn", 1.0),
        ("below", "warn", 1.0),
        ("unique_t_id", "pass", 0.0),
    ] {
        assert!(values.contains(&wanted), "{wanted:?} in {values:?}");
    }
}

#[test]
fn one_that_cannot_be_answered_stops_the_table_and_nothing_else_is_blamed() {
    let desk = desk(
        "{ not_null: [kind], severity: warn },
         { expression: 1 / (n - 5) < 2, name: divides },
         { range: { n: { max: 100 } }, name: small }",
    );
    let said = desk.exits(3, ".", &["run"]);
    has(
        &said,
        &["error[R0508]: check `divides`: the query divides by zero"],
    );
    assert!(!desk.path("lake/raw/t/_delta_log").exists());
}
