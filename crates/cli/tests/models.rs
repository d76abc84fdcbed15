//! Models: views are checked before they are stored, keys from the first build on, and no model is
//! `unchanged` if its inputs have changed, in any spelling.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

const PIPELINE: &str = "steps:
  extract: { load: data, into: raw, tables: { a: { from: a.csv } } }
  build: { models: all, after: extract }
";

fn desk() -> TestProject {
    let desk = TestProject::with_pipeline(PIPELINE);
    desk.write("data/a.csv", "k,n\n1,10\n2,20\n");
    desk
}

/// Rows of a query as JSON text without spaces.
fn rows(desk: &TestProject, sql: &str) -> String {
    desk.json(".", &["query", "--format", "json", sql])
        .to_string()
}

#[test]
fn a_view_is_judged_before_it_is_stored() {
    let desk = desk();
    desk.write(
        "models/marts/v.sql",
        "select k, n from {{ source('raw', 'a') }}\n",
    );
    desk.write(
        "models/marts/_models.yml",
        "models:\n  - name: v\n    columns:\n      - name: k\n        tests: [unique, not_null]\n      \
         - name: n\n        tests: [{ dbt_utils.accepted_range: { min_value: 0, max_value: 15, config: { severity: warn } } }, dbt_utils.at_least_one]\n",
    );
    let said = desk.ok(".", &["run"]);
    has(
        &said,
        &[
            "marts.v",
            "3 ok, 1 warn",
            "view, version 1",
            "1 row with `n` out of range: 20",
        ],
    );
    let judged = desk.json(".", &["quality", "marts.v", "--format", "json"]);
    assert_eq!(judged["checks"].as_array().unwrap().len(), 4, "{judged}");

    // A view that breaks its checks does not take the place of the one before.
    desk.write(
        "models/marts/v.sql",
        "select 1 as k, n from {{ source('raw', 'a') }}\n",
    );
    let said = desk.exits(3, ".", &["run"]);
    has(
        &said,
        &[
            "error[R0620]",
            "`marts.v` was not stored",
            "1 key (k) occurs more than once: 1",
        ],
    );
    assert_eq!(
        rows(&desk, "select k from marts.v order by k"),
        r#"[{"k":1},{"k":2}]"#
    );

    // Rows that become bad are seen, although the view's own text is as it was.
    desk.write(
        "models/marts/v.sql",
        "select k, n from {{ source('raw', 'a') }}\n",
    );
    desk.ok(".", &["run"]);
    desk.write("data/a.csv", "k,n\n1,10\n1,20\n");
    has(&desk.exits(3, ".", &["run"]), &["error[R0620]"]);
}

#[test]
fn a_table_that_is_named_without_ref_is_an_input() {
    let desk = desk();
    desk.write(
        "models/marts/named.sql",
        "{{ config(materialized='table') }} select sum(n) as n from raw.a\n",
    );
    desk.write(
        "models/marts/asked.sql",
        "{{ config(materialized='table') }}\n{% set found = run_query('select sum(n) as n from raw.a') %}\n\
         select {{ found.rows[0][0] if execute else 0 }} as n\n",
    );
    desk.write(
        "models/marts/grown.sql",
        "{{ config(materialized='incremental') }}\nselect k, n from raw.a\n\
         {% if is_incremental() %} where k > (select max(k) from {{ this }}) {% endif %}\n",
    );
    desk.ok(".", &["run"]);
    desk.write("data/a.csv", "k,n\n1,10\n2,20\n3,30\n");
    desk.ok(".", &["run"]);
    assert_eq!(rows(&desk, "select n from marts.named"), r#"[{"n":60}]"#);
    assert_eq!(rows(&desk, "select n from marts.asked"), r#"[{"n":60}]"#);
    assert_eq!(
        rows(&desk, "select count(*) as n from marts.grown"),
        r#"[{"n":3}]"#
    );
    let again = desk.json(".", &["run", "--format", "json"]);
    assert_eq!(again["unchanged"]["models"], 2, "{again}");
}

#[test]
fn a_variable_of_an_incremental_model_is_an_input() {
    let mut desk = desk();
    desk.write(
        "models/marts/grown.sql",
        "{{ config(materialized='incremental', unique_key='k') }}\n\
         select k, n * {{ env_var('FACTOR', '1') }} as n from {{ source('raw', 'a') }}\n\
         {% if is_incremental() %} where true {% endif %}\n",
    );
    desk.set("FACTOR", "1");
    desk.ok(".", &["run"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.set("FACTOR", "5");
    desk.ok(".", &["run"]);
    assert_eq!(
        rows(&desk, "select sum(n) as n from marts.grown"),
        r#"[{"n":150}]"#
    );
}

#[test]
fn a_models_key_is_checked_from_its_first_build_on() {
    let desk = desk();
    desk.write("data/a.csv", "k,n\n1,10\n1,20\n");
    desk.write(
        "models/marts/grown.sql",
        "{{ config(materialized='incremental', unique_key='k') }}\nselect k, n from {{ source('raw', 'a') }}\n",
    );
    let said = desk.exits(3, ".", &["run"]);
    has(
        &said,
        &[
            "error[R0620]",
            "1 key (k) occurs more than once: 1",
            "qualify row_number() over (partition by k order by …) = 1",
        ],
    );
    assert!(!desk.path("lake/marts/grown/_delta_log").exists());
    desk.write(
        "models/marts/grown.sql",
        "{{ config(materialized='incremental', unique_key='k') }}\nselect k, n from {{ source('raw', 'a') }}\n\
         qualify row_number() over (partition by k order by n desc) = 1\n",
    );
    desk.ok(".", &["run"]);
    assert_eq!(rows(&desk, "select n from marts.grown"), r#"[{"n":20}]"#);
}

/// Statements as generators write them are built; one beyond all limits is refused at its place, and the
/// other models of the run are there all the same.
#[test]
fn deep_statements_are_built_or_refused_and_end_no_other_task() {
    let desk = desk();
    let branch = "select k, n from {{ source('raw', 'a') }}";
    desk.write(
        "models/marts/branches.sql",
        &format!("{}\n", [branch; 800].join("\nunion all\n")),
    );
    let mut chain = format!("with c0 as ({branch})");
    for at in 1..=100 {
        let before = at - 1;
        chain.push_str(&format!(
            ",\nc{at} as (select k, n + 1 as n from c{before})"
        ));
    }
    desk.write(
        "models/marts/chain.sql",
        &format!("{chain}\nselect k, n from c100\n"),
    );
    desk.write("models/marts/plain.sql", &format!("{branch}\n"));
    desk.ok(".", &["run"]);
    assert_eq!(
        rows(
            &desk,
            "select count(*) as rows, sum(n) as n from marts.branches"
        ),
        r#"[{"rows":1600,"n":24000}]"#
    );
    assert_eq!(
        rows(&desk, "select k, n from marts.chain order by k"),
        r#"[{"k":1,"n":110},{"k":2,"n":120}]"#
    );

    let mut deeper = branch.to_owned();
    for _ in 0..6_000 {
        deeper = format!("select k, n from ({deeper}) t");
    }
    desk.write("models/marts/chain.sql", &format!("{deeper}\n"));
    let said = desk.exits(2, ".", &["check"]);
    has(&said, &["M0305", "models/marts/chain.sql:1:1"]);
}

#[test]
fn a_model_without_a_folder_has_a_schema_and_columns_have_names() {
    let desk = desk();
    desk.write(
        "models/top.sql",
        "{{ config(materialized='table') }} select count(*), sum(n) + 1, min(k)::int from {{ source('raw', 'a') }}\n",
    );
    desk.write(
        "models/moved.sql",
        "{{ config(schema='marts', alias='other') }} select k::text, n from {{ ref('top') }} join {{ source('raw', 'a') }} on true\n",
    );
    let said = desk.ok(".", &["check"]);
    has(
        &said,
        &[
            "M0342",
            "this column has no name: it is called `count(*)`",
            "this column has no name: it is called `sum(n) + 1`",
        ],
    );
    desk.ok(".", &["run"]);
    // As values: whether text keeps the order of the columns is a feature of the library.
    let found = desk.json(
        ".",
        &["query", "--format", "json", "select * from models.top"],
    );
    let right = r#"[{"count(*)":2,"min(k)::INT":1,"sum(n) + 1":31}]"#;
    assert_eq!(
        found,
        serde_json::from_str::<serde_json::Value>(right).unwrap()
    );
    let found = rows(
        &desk,
        "select k, max(n), max(n) from marts.other group by k order by 1",
    );
    assert_eq!(
        found,
        r#"[{"k":"1","max(n)":10,"max(n)_1":10},{"k":"2","max(n)":20,"max(n)_1":20}]"#
    );
    desk.write(
        "models/2024-eu/named.sql",
        "{{ config(schema='_staging', alias='2024_orders') }} select k from {{ source('raw', 'a') }}\n",
    );
    desk.write(
        "models/eu.sql",
        "{{ config(alias='orders-eu', materialized='table') }} select max(k) as k from {{ ref('named') }}\n",
    );
    desk.ok(".", &["run"]);
    let found = rows(&desk, "select k from models.\"orders-eu\"");
    assert_eq!(found, r#"[{"k":2}]"#);
    let table = desk.ok(".", &["query", "select 1, count(*) from raw.a"]);
    has(&table, &["1  count(*)"]);
    let csv = desk.ok(
        ".",
        &[
            "query",
            "--format",
            "csv",
            "with x as (select n + 1 from raw.a) select max(\"n + 1\"), 'a,b' from x",
        ],
    );
    assert_eq!(csv, "\"max(\"\"n + 1\"\")\",\"'a,b'\"\n21,\"a,b\"\n");
}

#[test]
fn an_incremental_model_without_new_rows_makes_no_version() {
    let desk = desk();
    let model = |columns: &str| {
        let text = format!(
            "{{{{ config(materialized='incremental', unique_key='k') }}}}
select {columns} from {{{{ source('raw', 'a') }}}}
{{% if is_incremental() %}} where k > (select max(k) from {{{{ this }}}}) {{% endif %}}\n"
        );
        desk.write("models/marts/i.sql", &text);
    };
    model("k, n");
    let versions = || {
        let history = desk.json(".", &["lake", "history", "marts.i", "--format", "json"]);
        history["history"].as_array().unwrap().len()
    };
    desk.ok(".", &["run"]);
    assert_eq!(versions(), 1);
    // A row changes, and none is new.
    desk.write("data/a.csv", "k,n\n1,11\n2,20\n");
    desk.ok(".", &["run"]);
    assert_eq!(versions(), 1);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    // What is new comes in, also behind a run that found nothing.
    desk.write("data/a.csv", "k,n\n1,11\n2,20\n3,30\n");
    desk.ok(".", &["run"]);
    assert_eq!((versions(), desk.count(".", "marts.i")), (2, 3.into()));
    // A table that was set back is asked again.
    desk.write("data/a.csv", "k,n\n1,11\n2,20\n3,31\n");
    desk.ok(".", &["run"]);
    assert_eq!(versions(), 2);
    desk.ok(".", &["lake", "restore", "marts.i", "--to", "0"]);
    desk.ok(".", &["run"]);
    let found = rows(&desk, "select k, n from marts.i order by k");
    assert_eq!(found, r#"[{"k":1,"n":10},{"k":2,"n":20},{"k":3,"n":31}]"#);
    // A new column is in the table at once, although no row is new.
    model("k, n, 'x' as c");
    let before = versions();
    desk.ok(".", &["run"]);
    assert_eq!(versions(), before + 1);
    has(&desk.ok(".", &["lake", "describe", "marts.i"]), &["c"]);
}
