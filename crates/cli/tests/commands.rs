//! `init`, `connection`, `lake`, `schema` and `check --connect` as a user types them, with the real binary,
//! real files and a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::sync::Arc;

use towpath_testkit::postgres::{PASSWORD, PostgresServer};

use crate::test_project::{TestProject, has};

const SHOP: &str = r#"
create table customers (customer_id bigint primary key, email text, updated_at timestamptz not null default now());
create index on customers (updated_at);
create table "Order Lines" ("orderId" bigint, "lineNo" int, amount numeric(10,2), primary key ("orderId", "lineNo"));
create table loose (n numeric, took interval);
create schema sales;
create table sales.customers (id int primary key);
create view recent as select * from customers;
insert into customers values (1, 'a@x', '2026-01-01'), (2, 'b@x', '2026-01-02');
insert into "Order Lines" values (1, 1, 2.50), (1, 2, 3.50);
insert into loose values (1.5, '1 day 02:00');
insert into sales.customers values (7);
"#;

fn shop() -> (Arc<PostgresServer>, String, String) {
    let server = PostgresServer::shared().unwrap();
    let database = server.new_database().unwrap();
    server.psql(&database, SHOP).unwrap();
    let url = server.url(&database);
    (server, database, url)
}

#[test]
fn a_new_project_runs_at_once_and_is_never_overwritten() {
    let desk = TestProject::new();
    let said = desk.ok(".", &["init", "my shop"]);
    has(
        &said,
        &[
            "Project `my_shop`",
            "cd 'my shop'",
            "towpath plan",
            "towpath run",
        ],
    );
    let root = desk.read("my shop/towpath.yml");
    assert!(root.starts_with("# yaml-language-server: $schema=.towpath/schemas/towpath.json\n"));
    let pipeline = desk.read("my shop/pipelines/my_shop.yml");
    assert!(
        pipeline.starts_with("# yaml-language-server: $schema=../.towpath/schemas/pipeline.json\n")
    );
    assert!(
        desk.path("my shop/.towpath/schemas/pipeline.json")
            .is_file()
    );

    has(
        &desk.ok("my shop", &["run"]),
        &["1 row rejected: quantity is -1", "data/orders.csv:8"],
    );
    assert_eq!(desk.count("my shop", "marts.revenue_by_country"), 4);
    has(&desk.ok("my shop", &["run"]), &["Nothing to do"]);

    let refused = desk.exits(4, "my shop", &["init"]);
    has(&refused, &["already has towpath.yml", "towpath init DIR"]);
    desk.write("half/pipelines/half.yml", "steps: {}\n");
    let refused = desk.exits(4, ".", &["init", "half"]);
    has(&refused, &["already has pipelines/half.yml"]);
    assert_eq!(desk.read("half/pipelines/half.yml"), "steps: {}\n");
    assert!(!desk.path("half/towpath.yml").exists());

    desk.ok(".", &["init", "other"]);
    let id = |root: String| {
        root.lines()
            .find(|l| l.starts_with("id:"))
            .map(str::to_owned)
    };
    assert_ne!(id(desk.read("other/towpath.yml")), id(root));
}

#[test]
fn a_folder_of_files_becomes_a_project() {
    let desk = TestProject::new();
    desk.write("in/Größe & Co.csv", "Straße,Nr\nA,1\nB,2\n");
    desk.write("in/events.jsonl", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
    desk.write("in/events.csv", "id\n1\n");
    desk.write("in/notes.txt", "no data\n");
    let said = desk.ok(".", &["init", "work", "--from", "in"]);
    has(&said, &["3 tables will be loaded", "schemas/in.yml"]);
    has(&desk.read("work/towpath.yml"), &["path: \"../in\""]);
    desk.ok("work", &["run"]);
    assert_eq!(desk.count("work", "raw.grosse_co"), 2);
    assert_eq!(desk.count("work", "raw.events"), 1);
    assert_eq!(desk.count("work", "raw.events_jsonl"), 3);
    has(&desk.ok("work", &["run"]), &["Nothing to do"]);

    desk.write("twice/t.csv", "Order ID,order_id\n1,2\n");
    desk.ok(".", &["init", "exact", "--from", "twice"]);
    has(&desk.read("exact/towpath.yml"), &["names: exact"]);
    desk.ok("exact", &["run"]);

    let missing = desk.exits(2, ".", &["init", "never", "--from", "nowhere"]);
    has(&missing, &["nowhere cannot be read", "postgres://"]);
    assert!(!desk.path("never").exists());
    std::fs::create_dir(desk.path("empty")).unwrap();
    let nothing = desk.exits(2, ".", &["init", "never", "--from", "empty"]);
    has(&nothing, &["no table"]);
    assert!(!desk.path("never").exists());
    let scheme = desk.exits(2, ".", &["init", "never", "--from", "oracle://u:pw@h/d"]);
    has(&scheme, &["no connector for `oracle://`"]);
    assert!(!scheme.contains("pw"), "{scheme}");
}

#[test]
fn a_database_becomes_a_project_without_its_password() {
    let (server, database, url) = shop();
    let mut desk = TestProject::new();
    let said = desk.ok(".", &["init", "shop", "--from", &url]);
    let variable = format!("{}_DB_URL", database.to_uppercase());
    has(
        &said,
        &["5 tables will be loaded", &format!("export {variable}=")],
    );
    assert!(!said.contains(PASSWORD), "{said}");
    assert!(!desk.everything("shop").contains(PASSWORD));
    let pipeline = desk.read("shop/pipelines/shop.yml");
    has(
        &pipeline,
        &[
            "customers: { cursor: updated_at, key: customer_id }",
            "order_lines: { from: \"Order Lines\", key: [order_id, line_no] }",
            "sales_customers: { from: sales.customers, key: id }",
            "recent: {}",
        ],
    );

    let unset = desk.exits(1, "shop", &["run"]);
    has(&unset, &[&variable, "is not set"]);

    desk.set(&variable, &url);
    let first = desk.ok("shop", &["run"]);
    assert!(!first.contains(PASSWORD), "{first}");
    assert_eq!(desk.count("shop", "raw.customers"), 2);
    assert_eq!(desk.count("shop", "raw.order_lines"), 2);
    assert_eq!(desk.count("shop", "raw.sales_customers"), 1);
    server
        .psql(
            &database,
            "update customers set email = 'c@x', updated_at = '2026-02-01' where customer_id = 1; \
             insert into customers values (3, 'd@x', '2026-02-02')",
        )
        .unwrap();
    desk.ok("shop", &["run"]);
    assert_eq!(desk.count("shop", "raw.customers"), 3);
    assert_eq!(desk.count("shop", "raw.customers where email = 'c@x'"), 1);
    assert!(!desk.everything("shop").contains(PASSWORD));

    // A variable that holds the URL already is the one that is named.
    desk.set("MY_SHOP", &url);
    desk.variables.retain(|(name, _)| *name != variable);
    let said = desk.ok(".", &["init", "again", "--from", &url]);
    assert!(!said.contains("export"), "{said}");
    has(&desk.read("again/towpath.yml"), &["url: ${env:MY_SHOP}"]);
    desk.ok("again", &["run"]);
}

#[test]
fn connections_are_listed_tested_and_discovered() {
    let (server, database, url) = shop();
    let mut desk = TestProject::new();
    desk.ok(".", &["init", "shop", "--from", &url]);
    let name = format!("{database}_db");
    desk.set(&format!("{}_URL", name.to_uppercase()), &url);

    has(
        &desk.ok("shop", &["connection", "ls"]),
        &[&name, "postgres", "towpath.yml:"],
    );
    let listed = desk.json("shop", &["connection", "ls", "--format", "json"]);
    assert_eq!(listed["connections"][0]["known_tables"], 5);
    has(
        &desk.ok("shop", &["connection", "types"]),
        &["files", "postgres", "url"],
    );
    let types = desk.json("shop", &["connection", "types", "--format", "json"]);
    assert!(types["types"].as_array().unwrap().len() >= 2);

    has(
        &desk.ok("shop", &["connection", "test", &name]),
        &["✓", "PostgreSQL"],
    );
    let tested = desk.json("shop", &["connection", "test", &name, "--format", "json"]);
    assert!(tested["system"].as_str().unwrap().starts_with("PostgreSQL"));
    let unknown = desk.exits(2, "shop", &["connection", "test", "shop_dbb"]);
    has(&unknown, &["no connection `shop_dbb`", &name]);

    let found = desk.ok("shop", &["connection", "discover", &name]);
    has(
        &found,
        &[
            "customers  (3 columns",
            "key: customer_id   likely cursor: updated_at",
            "`public.recent` is a view",
            "--write",
        ],
    );
    let loose = desk.json(
        "shop",
        &["connection", "discover", &name, "loose", "--format", "json"],
    );
    let columns = &loose["tables"][0]["columns"];
    assert_eq!(columns[0]["source_type"], "numeric", "{loose}");
    assert_eq!(columns[1]["source_type"], "interval", "{loose}");

    // What is written is known to the next check.
    server
        .psql(&database, "alter table loose add column extra int")
        .unwrap();
    let written = desk.ok(
        "shop",
        &["connection", "discover", &name, "loose", "--write"],
    );
    has(&written, &["Wrote schemas/"]);
    let schemas = desk.read(&format!("shop/schemas/{name}.yml"));
    has(&schemas, &["extra: int", "customers:", "sales.customers"]);
    server.psql(&database, "drop view recent").unwrap();
    let all = desk.ok("shop", &["connection", "discover", &name, "--write"]);
    has(&all, &["no longer there"]);
    desk.write(
        "shop/models/marts/m.sql",
        "select nope from {{ source('raw', 'loose') }}\n",
    );
    let wrong = desk.exits(2, "shop", &["check"]);
    has(&wrong, &["nope", "extra"]);
    let none = desk.exits(2, "shop", &["connection", "discover", &name, "zzz*"]);
    has(&none, &["no table that matches `zzz*`"]);
}

#[test]
fn check_connect_tells_what_changed_outside_and_who_cannot_be_reached() {
    let (server, database, url) = shop();
    let mut desk = TestProject::new();
    desk.ok(".", &["init", "shop", "--from", &url]);
    let name = format!("{database}_db");
    let variable = format!("{}_URL", name.to_uppercase());
    desk.set(&variable, &url);
    let same = desk.ok("shop", &["check", "--connect"]);
    has(&same, &["No mistake", &format!("Contacted: {name}.")]);

    server
        .psql(
            &database,
            "drop view recent; alter table customers drop column email; \
             alter table \"Order Lines\" alter column amount type double precision; \
             alter table sales.customers add column vat text; \
             alter table sales.customers drop constraint customers_pkey; drop table loose;",
        )
        .unwrap();
    let changed = desk.exits(2, "shop", &["check", "--connect"]);
    let file = format!("schemas/{name}.yml:");
    has(
        &changed,
        &[
            "error[C0511]",
            "`loose`",
            "error[C0512]",
            "no longer has the column `email`",
            "error[C0513]",
            "`amount` is now double, before it was decimal(10,2)",
            "warning[C0514]",
            "new column `vat`",
            "warning[C0515]",
            &file,
            "discover",
        ],
    );
    // Without contact nothing of it is known.
    desk.ok("shop", &["check"]);
    let json = desk.json("shop", &["check", "--connect", "--format", "json"]);
    let email = json
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["code"] == "C0512")
        .unwrap();
    assert!(email["line"].as_u64().unwrap() > 1, "{email}");

    desk.set(&variable, &url.replace(PASSWORD, "wrong-pass-word"));
    let wrong = desk.exits(2, "shop", &["check", "--connect"]);
    has(&wrong, &["error[C0516]", &name, "towpath.yml:"]);
    assert!(!wrong.contains("wrong-pass-word"), "{wrong}");
    let wrong = desk.exits(2, "shop", &["connection", "test", &name]);
    assert!(!wrong.contains("wrong-pass-word"), "{wrong}");
    desk.set(&variable, "postgres://me:hidden-word@127.0.0.1:1/nothing");
    let refused = desk.exits(2, "shop", &["check", "--connect"]);
    has(&refused, &["error[C0516]", "127.0.0.1:1"]);
    assert!(!refused.contains("hidden-word"), "{refused}");
    desk.exits(1, "shop", &["connection", "test", &name]);
}

#[test]
fn the_lake_shows_versions_and_columns() {
    let desk = TestProject::new();
    desk.ok(".", &["init", "shop"]);
    let early = desk.exits(2, "shop", &["lake", "history", "raw.orders"]);
    has(&early, &["no table `raw.orders`", "towpath run"]);
    desk.ok("shop", &["run"]);
    desk.ok("shop", &["run", "--full-refresh"]);
    has(
        &desk.ok("shop", &["lake", "history", "raw.orders"]),
        &["shop#1", "shop#2", "replace"],
    );
    let history = desk.json(
        "shop",
        &[
            "lake",
            "history",
            "raw.orders",
            "--last",
            "1",
            "--format",
            "json",
        ],
    );
    assert_eq!(history["history"].as_array().unwrap().len(), 1);
    assert_eq!(history["history"][0]["run"], "shop#2");
    let described = desk.json(
        "shop",
        &["lake", "describe", "raw.orders", "--format", "json"],
    );
    assert_eq!(described["rows"], 11);
    assert_eq!(described["columns"][4]["type"], "decimal(10,2)");
    has(
        &desk.ok("shop", &["lake", "describe", "raw.orders"]),
        &["11 rows", "order_id", "bigint"],
    );
    let unknown = desk.exits(2, "shop", &["lake", "describe", "raw.order"]);
    has(&unknown, &["there are: ", "raw.orders"]);
    desk.exits(2, "shop", &["lake", "describe", "orders"]);
}

#[test]
fn every_command_has_an_example_in_its_help() {
    let desk = TestProject::new();
    let page = desk.ok(".", &["reference", "commands"]);
    let sections: Vec<&str> = page
        .split("\n## ")
        .flat_map(|s| s.split("\n### "))
        .skip(1)
        .collect();
    assert!(sections.len() > 20, "{}", sections.len());
    for section in sections {
        assert!(section.contains("Example:\n  towpath "), "{section}");
    }
    for kind in ["towpath", "pipeline", "connection", "schemas"] {
        let schema = desk.json(".", &["schema", kind]);
        assert!(
            schema["properties"].is_object() || schema["$ref"].is_string(),
            "{kind}"
        );
    }
}
