//! Settings of a project and of the command line have an effect or are refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod test_project;

use std::time::{Duration, Instant};

use test_project::{TestProject, has};

const BUILD: &str = "steps: { build: { models: all } }\n";
const ORDERS: &str = "steps: { extract: { load: data, into: raw, tables: { orders: { from: orders.csv } } }, build: { models: all } }\n";

fn rows(desk: &TestProject, sql: &str) -> serde_json::Value {
    desk.json("", &["query", "--format", "json", sql])
}

#[test]
fn seeds_are_tables_that_models_read() {
    let desk = TestProject::with_pipeline(BUILD);
    desk.write(
        "seeds/countries.csv",
        "Code;Name;Area;Zip\nDE;\"Deutsch;land\";1.5;00123\nUS;null;2;\nNL;;3;7\n",
    );
    desk.write(
        "seeds/_seeds.yml",
        "seeds:\n  - name: countries\n    config: { delimiter: ';', column_types: { zip: varchar(5), area: 'decimal(4,2)' } }\n    columns: [ { name: code, data_tests: [unique, not_null] } ]\n",
    );
    desk.write(
        "models/marts/areas.sql",
        "{{ config(materialized='table') }} select code, name, area, zip from {{ ref('countries') }}",
    );
    let said = desk.ok("", &["run"]);
    has(&said, &["seeds.countries", "2 ok", "marts.areas"]);
    let all = rows(&desk, "select * from marts.areas order by code");
    let expected = serde_json::json!([
        { "code": "DE", "name": "Deutsch;land", "area": "1.50", "zip": "00123" },
        { "code": "NL", "name": null, "area": "3.00", "zip": "7" },
        { "code": "US", "name": null, "area": "2.00", "zip": null },
    ]);
    assert_eq!(all, expected);
    has(&desk.ok("", &["run"]), &["Nothing to do"]);
    has(&desk.ok("", &["check"]), &["No mistake"]);

    desk.write(
        "seeds/countries.csv",
        "Code;Name;Area;Zip\nDE;x;1;00123456\n",
    );
    has(&desk.exits(3, "", &["run"]), &["zip"]);
    assert_eq!(desk.count("", "seeds.countries"), 3);
}

#[test]
fn a_sample_touches_no_table() {
    let desk = TestProject::with_pipeline(ORDERS);
    let many: String = (1..=50).map(|id| format!("{id},x\n")).collect();
    desk.write("data/orders.csv", &format!("id,name\n{many}"));
    desk.write(
        "models/marts/m.sql",
        "{{ config(materialized='table') }} select id, '{{ target.name }}' as target from {{ source('raw', 'orders') }}",
    );
    desk.ok("", &["run"]);
    let before = desk.ok("", &["lake", "history", "raw.orders"]);
    let said = desk.ok("", &["run", "--limit", "3"]);
    has(
        &said,
        &[
            "at most about 3 rows",
            "the tables of the lakehouse have not changed",
        ],
    );
    assert_eq!(desk.count("", "raw.orders"), 50);
    assert_eq!(desk.count("", "marts.m"), 50);
    assert_eq!(desk.ok("", &["lake", "history", "raw.orders"]), before);
    has(&desk.ok("", &["run"]), &["Nothing to do"]);
    let sample = [
        "query",
        "--sample",
        "--format",
        "json",
        "select target, count(*) as n from marts.m group by 1",
    ];
    let sample = desk.json("", &sample);
    assert_eq!(sample[0]["target"], "dev");
    let count = sample[0]["n"].as_u64().unwrap();
    assert!((1..50).contains(&count), "{count}");
}

#[test]
fn a_sample_of_an_incremental_load_is_read_from_the_start_each_time() {
    let pipeline = "steps: { extract: { load: data, into: raw, tables: { orders: { from: 'orders*.csv', mode: incremental, key: id } } } }\n";
    let desk = TestProject::with_pipeline(pipeline);
    desk.write("data/orders.csv", "id,name\n1,a\n2,b\n");
    desk.ok("", &["run", "--limit", "1"]);
    desk.ok("", &["run", "--limit", "1"]);
    desk.exits(2, "", &["query", "select * from raw.orders"]);
    desk.ok("", &["run"]);
    assert_eq!(desk.count("", "raw.orders"), 2);
}

#[test]
fn a_view_whose_test_failed_is_not_said_to_show_the_version_before() {
    let desk = TestProject::with_pipeline(ORDERS);
    desk.write("data/orders.csv", "id,name\n1,a\n");
    desk.write(
        "models/marts/v.sql",
        "select id, name from {{ source('raw', 'orders') }}",
    );
    desk.write(
        "models/marts/v.yml",
        "models: [ { name: v, columns: [ { name: id, data_tests: [unique] } ] } ]",
    );
    desk.ok("", &["run"]);
    desk.write("data/orders.csv", "id,name\n1,a\n1,b\n");
    let said = desk.exits(3, "", &["run"]);
    has(
        &said,
        &[
            "`marts.v` was not stored",
            "the view shows these rows",
            "materialized='table'",
        ],
    );
    assert!(!said.contains("still see the previous version"), "{said}");
    assert_eq!(desk.count("", "marts.v"), 2);
}

#[test]
fn a_model_keeps_its_rows_where_its_config_says_so() {
    let desk = TestProject::with_pipeline(ORDERS);
    desk.write("data/orders.csv", "id,name\n1,a\n");
    let model = "{{ config(materialized='incremental', unique_key='id', full_refresh=false, on_schema_change='ignore') }} select id, name from {{ source('raw', 'orders') }}";
    desk.write("models/marts/m.sql", model);
    desk.ok("", &["run"]);
    desk.write("data/orders.csv", "id,name\n2,b\n");
    desk.ok("", &["run", "--full-refresh"]);
    assert_eq!(desk.count("", "raw.orders"), 1);
    assert_eq!(desk.count("", "marts.m"), 2);
    let wider = model.replace("id, name from", "id, name, 1 as extra from");
    desk.write("models/marts/m.sql", &wider);
    desk.ok("", &["run"]);
    assert!(
        rows(&desk, "select * from marts.m")[0]
            .get("extra")
            .is_none()
    );
}

#[test]
fn every_command_knows_a_dbt_folder() {
    let desk = TestProject::new();
    desk.write("dbt_project.yml", "name: shop\nprofile: shop\n");
    desk.write("models/marts/m.sql", "select 1 as x");
    desk.write("seeds/s.csv", "a\n1\n");
    let before = desk.everything("");
    let commands: [&[&str]; 10] = [
        &["check"],
        &["plan"],
        &["run"],
        &["runs"],
        &["quality"],
        &["lineage", "marts.m"],
        &["lake", "history", "marts.m"],
        &["quarantine", "ls"],
        &["connection", "ls"],
        &["logs"],
    ];
    for command in commands {
        let said = desk.exits(2, "", command);
        has(
            &said,
            &[
                "R0906",
                "is a dbt project",
                "read then: models",
                "not read yet",
                "init --from .",
            ],
        );
    }
    has(
        &desk.exits(4, "", &["init"]),
        &["R0934", "nothing was written"],
    );
    assert_eq!(desk.everything(""), before);

    desk.ok("", &["init", "--from", "."]);
    has(&desk.ok("", &["run"]), &["marts", "seeds.s"]);
    assert_eq!(rows(&desk, "select x from marts.m")[0]["x"], 1);
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_files_stops_no_command() {
    for name in [
        "models/marts/m.sql",
        "pipelines/q.yml",
        "seeds/s.csv",
        "towpath.yaml",
    ] {
        let desk = TestProject::with_pipeline(BUILD);
        let path = desk.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let began = Instant::now();
        has(
            &desk.exits(2, "", &["check"]),
            &["R0907", "is not a regular file"],
        );
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    let desk = TestProject::with_pipeline(BUILD);
    desk.write("models/marts/m.sql", "select 1 as x");
    std::os::unix::fs::symlink("..", desk.path("models/marts/loop")).unwrap();
    has(&desk.exits(2, "", &["check"]), &["R0908", "leads back"]);
}

#[test]
fn no_link_of_a_project_leads_out_of_it() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("m.sql"), "select 1 as x").unwrap();
    std::fs::write(outside.path().join("s.csv"), "id\n1\n").unwrap();
    for (to, link) in [
        (outside.path().join("m.sql"), "models/m.sql"),
        (outside.path().to_path_buf(), "models/marts"),
        (outside.path().to_path_buf(), "macros"),
        (outside.path().join("s.csv"), "seeds/s.csv"),
        ("../data/s.csv".into(), "seeds/s.csv"),
    ] {
        let project = TestProject::with_pipeline(BUILD);
        project.write("data/s.csv", "id\n1\n");
        let link = project.path(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&to, link).unwrap();
        for command in ["check", "run"] {
            let said = project.exits(2, "", &[command]);
            has(&said, &["R0909", "leads out of", "copy what it leads to"]);
        }
    }
    // A link that stays inside is followed.
    let project = TestProject::with_pipeline(BUILD);
    project.write("models/marts/m.sql", "select 1 as x");
    symlink("m.sql", project.path("models/marts/n.sql")).unwrap();
    project.ok("", &["check"]);
    has(&project.ok("", &["plan"]), &["marts.m", "marts.n"]);
}

#[test]
fn init_writes_through_no_link_that_leads_out() {
    use std::os::unix::fs::symlink;
    for link in ["pipelines", ".towpath", "data"] {
        let project = TestProject::new();
        let outside = tempfile::tempdir().unwrap();
        project.write("new/x", "");
        symlink(outside.path(), project.path("new").join(link)).unwrap();
        let said = project.exits(2, "new", &["init"]);
        has(&said, &["R0909", "leads out of"]);
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(!project.path("new/towpath.yml").exists());
    }
}

#[test]
fn all_pipelines_run_in_the_order_of_what_they_read() {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 6f1e0000-0000-4000-8000-000000000009\nconnections: { data: { type: files, path: data } }\n",
    );
    desk.write("data/orders.csv", "id\n1\n");
    desk.write("pipelines/a_build.yml", BUILD);
    desk.write(
        "pipelines/b_load.yml",
        "steps: { extract: { load: data, into: raw, tables: { orders: { from: orders.csv } } } }\n",
    );
    desk.write(
        "models/marts/m.sql",
        "{{ config(materialized='table') }} select * from {{ source('raw', 'orders') }}",
    );
    let said = desk.exits(2, "", &["run"]);
    has(
        &said,
        &[
            "which of the 2 pipelines",
            "a_build, b_load",
            "towpath run --all",
        ],
    );
    let said = desk.ok("", &["run", "--all"]);
    assert!(said.find("b_load#1") < said.find("a_build#1"), "{said}");
    assert_eq!(desk.count("", "marts.m"), 1);
    has(
        &desk.exits(2, "", &["run", "b_laod"]),
        &["did you mean `b_load`?"],
    );
}

#[test]
fn an_option_that_the_source_does_not_have_is_refused() {
    let desk = TestProject::new();
    desk.write("a.csv", "x;y\n1;2\n");
    let said = desk.exits(
        2,
        "",
        &["copy", "a.csv", "b.csv", "--option", "delimeter=;"],
    );
    has(
        &said,
        &[
            "R0919",
            "no option `delimeter`",
            "did you mean `delimiter`?",
        ],
    );
    assert!(!desk.path("b.csv").exists());
    has(
        &desk.exits(
            2,
            "",
            &["copy", "a.csv", "b.csv", "--option", "header=perhaps"],
        ),
        &["true or false"],
    );
    desk.ok("", &["copy", "a.csv", "b.csv", "--option", "delimiter=;"]);
    assert_eq!(desk.read("b.csv"), "x,y\n1,2\n");
}

#[test]
fn what_init_writes_gives_no_false_alarm() {
    let desk = TestProject::new();
    desk.ok("", &["init", "demo"]);
    desk.ok("demo", &["run"]);
    let said = desk.ok("demo", &["check", "--connect"]);
    assert!(!said.contains("C0513"), "{said}");
    desk.ok("demo", &["connection", "discover", "data", "--write"]);
    let said = desk.ok("demo", &["check", "--connect"]);
    assert!(!said.contains("C0513"), "{said}");

    desk.write("files/orders_2024.csv", "id\n1\n");
    desk.ok("", &["init", "shop", "--from", "files"]);
    let pipeline = desk.read("shop/pipelines/shop.yml");
    has(&pipeline, &["models: all"]);
    desk.write(
        "shop/pipelines/shop.yml",
        &pipeline.replace("orders_2024.csv", "orders_*.csv"),
    );
    let said = desk.ok("shop", &["check"]);
    assert!(!said.contains("C0510"), "{said}");
    desk.ok("shop", &["run"]);
    desk.write(
        "shop/models/marts/m.sql",
        "select id from {{ source('raw', 'orders_2024') }}",
    );
    desk.ok("shop", &["run"]);
    assert_eq!(desk.count("shop", "marts.m"), 1);
}

#[test]
fn a_publish_that_is_skipped_or_sends_changes_says_so() {
    let pipeline = "steps:
  extract: { load: data, into: raw, tables: { orders: { from: orders.csv } } }
  out: { publish: raw, into: db, tables: { orders: { key: id } } }
";
    let desk = TestProject::with_pipeline(pipeline);
    let root = desk.read("towpath.yml");
    let db = "  db: { type: sqlite, path: out.db }\n";
    desk.write("towpath.yml", &format!("{root}{db}"));
    desk.write("data/orders.csv", "id,name\n1,a\n2,b\n3,c\n");
    has(&desk.ok("", &["run"]), &[" – out ", "read-only"]);
    desk.write(
        "towpath.yml",
        &format!("{root}{}", db.replace("out.db", "out.db, writable: true")),
    );
    has(&desk.ok("", &["run"]), &[" ✓ out ", "+3 ~0 -0"]);
    desk.write("data/orders.csv", "id,name\n1,x\n2,b\n4,d\n");
    has(&desk.ok("", &["run"]), &["+1 ~1 -1"]);
}

#[test]
fn types_that_were_seen_with_other_options_are_said_and_seen_anew() {
    let desk = TestProject::with_pipeline(ORDERS.replace(", build: { models: all }", "").as_str());
    desk.write("data/orders.csv", "id,area\n1,1.5\n2,NA\n");
    desk.ok("", &["connection", "discover", "data", "--write"]);
    has(&desk.read("schemas/data.yml"), &["area: text"]);
    let with = desk
        .read("pipelines/p.yml")
        .replace("from: orders.csv", "from: orders.csv, null_values: [NA]");
    desk.write("pipelines/p.yml", &with);
    has(
        &desk.ok("", &["check"]),
        &["C0517", "null_values", "discover data --write"],
    );
    desk.ok("", &["connection", "discover", "data", "--write"]);
    let schemas = desk.read("schemas/data.yml");
    assert!(!schemas.contains("area: text"), "{schemas}");
    has(&desk.ok("", &["check"]), &["No mistake"]);
    desk.ok("", &["run"]);
    let sum = rows(&desk, "select sum(area) as s from raw.orders");
    assert_eq!(sum[0]["s"].to_string().trim_matches('"'), "1.5");
}

#[test]
fn the_lineage_of_a_first_load_names_what_set_reads() {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nconnections:\n  data: { type: files, path: data }\n",
    );
    desk.write("data/o.csv", "id,Amt,c,d\n1,5,a,b\n");
    desk.write(
        "pipelines/p.yml",
        "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      t:\n        from: o.csv\n        \
         drop: [d]\n        columns: { dbl: { set: \"amt * 2\" }, key: { from: id } }\n",
    );
    desk.ok("", &["run"]);
    let report = desk.ok("", &["lineage", "raw.t", "--up", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let right = serde_json::json!({
        "amt": ["data:o.csv.Amt"],
        "c": ["data:o.csv.c"],
        "dbl": ["data:o.csv.Amt"],
        "key": ["data:o.csv.id"],
    });
    assert_eq!(report["origins"], right, "{report}");
}

/// A project with one table of one CSV file, and these settings of it.
fn with_settings(settings: &str) -> TestProject {
    let desk = TestProject::with_pipeline(&format!(
        "steps: {{ extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.csv, {settings} }} }} }} }}\n"
    ));
    desk.write("data/t.csv", "id,name,email\n1,a,a@b.c\n2,b,b@b.c\n");
    desk
}

#[test]
fn one_source_column_becomes_every_column_that_names_it() {
    let cases = [
        (
            "x: { from: id }, y: { from: ID }",
            vec!["name", "email", "x", "y"],
        ),
        (
            "id: { min: 1 }, x: { from: id }",
            vec!["id", "name", "email", "x"],
        ),
        (
            "id: { from: name }, name: { from: id }",
            vec!["id", "name", "email"],
        ),
    ];
    for (columns, expected) in cases {
        let desk = with_settings(&format!("columns: {{ {columns} }}"));
        for _ in 0..2 {
            desk.ok("", &["check"]);
            desk.ok("", &["run", "--full-refresh"]);
            let first = &rows(&desk, "select * from raw.t order by email")[0];
            let names: Vec<&str> = first
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            for name in &expected {
                assert!(names.contains(name), "{columns}: {names:?}");
                assert!(!first[*name].is_null(), "{columns}: {first}");
            }
            assert_eq!(names.len(), expected.len(), "{columns}: {names:?}");
        }
    }
    let desk = with_settings("columns: { id: { from: name } }");
    has(&desk.exits(1, "", &["run"]), &["R0618"]);
}

#[test]
fn a_listed_column_that_the_source_does_not_have_stops_the_run_before_it_writes() {
    for settings in [
        "drop: emial",
        "keep: [id, nmae]",
        "keep: id, drop: mail_address",
    ] {
        let desk = with_settings(settings);
        has(&desk.exits(1, "", &["run"]), &["R0610", "email"]);
        desk.exits(2, "", &["query", "select * from raw.t"]);
    }
    // A JSON object may do without a member; a spelling mistake is one all the same.
    let desk = with_settings("");
    let pipeline = |drop: &str| {
        let text = format!(
            "steps: {{ extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.jsonl, drop: [{drop}] }} }} }} }}\n"
        );
        desk.write("pipelines/p.yml", &text);
    };
    desk.write("data/t.jsonl", "{\"id\":1,\"email\":\"a@b.c\"}\n");
    pipeline("emial");
    has(&desk.exits(1, "", &["run"]), &["R0610"]);
    pipeline("email, debug_output");
    desk.ok("", &["run"]);
    let first = &rows(&desk, "select * from raw.t")[0];
    assert_eq!(*first, serde_json::json!({ "id": 1 }));
}

#[test]
fn an_option_of_another_format_is_refused() {
    for option in ["records: x", "sheet: x"] {
        has(&with_settings(option).exits(1, "", &["run"]), &["R0103"]);
    }
}

#[test]
fn a_computed_column_may_have_the_name_of_the_source_column() {
    let columns = "columns: { \"Order ID\": { set: \"order_id * 2\" }, SKU: { set: \"upper(sku)\", in: [A, B] } }";
    let desk = with_settings(&format!("key: \"Order ID\", {columns}"));
    desk.write("data/t.csv", "Order ID,SKU\n1,a\n2,b\n");
    for _ in 0..2 {
        desk.ok("", &["check"]);
        desk.ok("", &["run", "--full-refresh"]);
        let all = rows(&desk, "select * from raw.t order by 1");
        let expected = serde_json::json!([
            { "order_id": 2, "sku": "A" },
            { "order_id": 4, "sku": "B" },
        ]);
        assert_eq!(all, expected);
    }
}
