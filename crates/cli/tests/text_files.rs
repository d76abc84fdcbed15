//! Text files between two runs: types stay, rows do not disappear, columns are found in either spelling.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

const PIPELINE: &str = "steps:
  extract: { load: data, into: raw, tables: { people: { from: people.csv } } }
";

/// A header and twelve people, each born on this day.
fn people(day: impl Fn(usize) -> String) -> String {
    let rows: String = (1..=12)
        .map(|n| format!("{n},{},{n}.5,x\n", day(n)))
        .collect();
    format!("id,born,score,name\n{rows}")
}

fn good(n: usize) -> String {
    format!("2026-01-{n:02}")
}

fn types(desk: &TestProject) -> String {
    let said = desk.ok(".", &["lake", "describe", "raw.people"]);
    let of = |column: &str| {
        let line = said
            .lines()
            .find(|line| line.trim_start().starts_with(column));
        let line = line.unwrap_or_else(|| panic!("no {column}\n{said}"));
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    ["id", "born", "score", "name"].map(of).join(" ")
}

#[test]
fn a_bad_value_changes_no_type_and_is_replayed() {
    let desk = TestProject::with_pipeline(PIPELINE);
    desk.write("data/people.csv", &people(good));
    desk.ok(".", &["run"]);
    assert_eq!(types(&desk), "bigint date double text");
    let one_bad = |n: usize| {
        if n == 5 {
            "2026-01-5x".to_owned()
        } else {
            good(n)
        }
    };
    desk.write("data/people.csv", &people(one_bad));
    let said = desk.ok(".", &["run"]);
    has(
        &said,
        &["is not a valid `date`, the type of this column so far"],
    );
    assert_eq!(types(&desk), "bigint date double text");
    assert_eq!(desk.count(".", "raw.people"), 11);
    // The state store may be lost: the table itself says its types.
    std::fs::remove_dir_all(desk.path(".towpath")).unwrap();
    desk.write(
        "data/people.csv",
        &(people(one_bad) + "13,2026-02-01,1,y\n"),
    );
    desk.ok(".", &["run"]);
    assert_eq!(types(&desk), "bigint date double text");
    assert_eq!(desk.count(".", "raw.people"), 12);
    // Nothing has changed, so what is held is held again, and that is no failure.
    desk.ok(".", &["quarantine", "replay", "raw.people"]);
    assert_eq!(desk.count(".", "raw.people"), 12);
    // A declared type takes the value.
    let declared = PIPELINE.replace(
        "from: people.csv",
        "from: people.csv, columns: { born: text }",
    );
    desk.write("pipelines/p.yml", &declared);
    desk.ok(".", &["run"]);
    assert_eq!(types(&desk), "bigint text double text");
    assert_eq!(desk.count(".", "raw.people"), 13);
}

/// Names as a person writes them; each key says one column in the source's spelling or in the table's.
const EITHER: &str = r#"steps:
  extract:
    load: data
    into: raw
    tables:
      people:
        from: people.csv
        where: '"Größe (cm)" > 0 and sku is not null'
        key: SKU
        drop: [internal_note]
        columns:
          SKU: { required: true, pattern: '^[A-Z]' }
          grosse_cm: { max: 300 }
          "Preis €": { type: "decimal(9,2)", expression: '"Preis €" >= 0 and preis < 1000' }
          total: { set: '"Preis €" * 2 + "Größe (cm)" - grosse_cm' }
          label: { from: "Full Name" }
        checks:
          - not_null: [SKU, "Größe (cm)"]
"#;

#[test]
fn either_spelling_of_a_column_is_found_by_check_and_run() {
    let desk = TestProject::with_pipeline(EITHER);
    let header = "SKU,Größe (cm),Preis €,Full Name,Internal Note";
    let rows = "A1,180,1.50,Ada,x\nB2,170,2.25,Bob,y\nC3,0,1.00,Cy,z\n";
    desk.write("data/people.csv", &format!("{header}\n{rows}"));
    // Without anything known, by what the run observed, and by `schemas/`.
    desk.ok(".", &["check"]);
    desk.ok(".", &["run"]);
    desk.ok(".", &["check"]);
    desk.ok(".", &["connection", "discover", "data", "--write"]);
    desk.ok(".", &["check"]);
    desk.ok(".", &["run", "--full-refresh"]);
    let sql = "select sku, grosse_cm, preis, label, total from raw.people order by sku";
    let said = desk.ok(".", &["query", "--format", "csv", sql]);
    has(&said, &["A1,180,1.50,Ada,3.00", "B2,170,2.25,Bob,4.50"]);
    assert_eq!(desk.count(".", "raw.people"), 2);
}

#[test]
fn a_file_without_rows_stops_and_can_be_accepted() {
    let desk = TestProject::with_pipeline(PIPELINE);
    desk.write("data/people.csv", &people(good));
    desk.ok(".", &["run"]);
    desk.write("data/people.csv", "id,born,score,name\n");
    let said = desk.exits(3, ".", &["run"]);
    has(
        &said,
        &[
            "R0660",
            "its source has no rows, and the table has 12",
            "--fail-above raw.people=100%",
        ],
    );
    assert_eq!(desk.count(".", "raw.people"), 12);
    let said = desk.ok(".", &["run", "--fail-above", "raw.people=100%"]);
    has(&said, &["the 12 rows of the table were removed"]);
    assert_eq!(desk.count(".", "raw.people"), 0);
    assert_eq!(types(&desk), "bigint date double text");
    desk.write("data/people.csv", &people(good));
    desk.ok(".", &["run"]);
    assert_eq!(types(&desk), "bigint date double text");
}

#[test]
fn a_column_without_values_has_no_type_yet() {
    let desk = TestProject::with_pipeline(PIPELINE);
    desk.write("data/people.csv", "id,born,score,name\n1,,,x\n");
    desk.ok(".", &["run"]);
    assert_eq!(types(&desk), "bigint text text text");
    desk.write("data/people.csv", &people(good));
    desk.ok(".", &["run"]);
    assert_eq!(types(&desk), "bigint date double text");
}

#[test]
fn other_options_or_a_full_refresh_look_at_text_anew() {
    let desk = TestProject::with_pipeline(PIPELINE);
    let american = |n: usize| format!("01/{n:02}/2026");
    desk.write("data/people.csv", &people(american));
    let said = desk.ok(".", &["run"]);
    has(&said, &["`born` is read as text", "day/month or month/day"]);
    let with = PIPELINE.replace(
        "from: people.csv",
        "from: people.csv, date_format: '%m/%d/%Y'",
    );
    desk.write("pipelines/p.yml", &with);
    desk.ok(".", &["run"]);
    assert_eq!(types(&desk), "bigint date double text");
    desk.write("pipelines/p.yml", PIPELINE);
    desk.write("data/people.csv", &people(|_| "unknown".to_owned()));
    has(&desk.exits(3, ".", &["run"]), &["R0623"]);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(types(&desk), "bigint text double text");
}

/// Nested JSON with declared types, and the ways out of the lakehouse.
const NESTED: &str = r#"steps:
  extract:
    load: data
    into: raw
    tables:
      orders:
        from: orders.json
        columns:
          customer: { type: "struct(name text, Address struct(city text, zip text))" }
          lines: { type: "list(struct(sku text, price decimal(9,2)))" }
          Tags: list(text)
  send:
    publish: raw
    into: store
    tables: { orders: {} }
"#;

#[test]
fn nested_json_of_a_declared_type_is_opened_by_queries() {
    let project = TestProject::with_pipeline(NESTED);
    let root = project.read("towpath.yml");
    let store = "  store: { type: sqlite, path: store.db, writable: true }\n";
    project.write("towpath.yml", &(root + store));
    let good = r#"{"id": 1, "customer": {"name": "Ada", "Address": {"city": "Köln", "zip": "05"}}, "lines": [{"sku": "a", "price": 1.50}, {"sku": "b", "price": 2}], "Tags": ["x", null]},
  {"id": 2, "customer": null, "lines": [], "Tags": null}"#;
    let bad = r#"{"id": 3, "customer": {"name": "Bob", "age": 7}, "lines": [], "Tags": []},
  {"id": 4, "customer": {}, "lines": [{"price": "much"}], "Tags": []}"#;
    project.write("data/orders.json", &format!("[{good},\n  {bad}]\n"));
    project.ok(".", &["check"]);
    let said = project.ok(".", &["run", "--fail-above", "raw.orders=60%"]);
    has(
        &said,
        &[
            "customer: `{",
            "has a member `age`, which its type does not have",
        ],
    );
    let ask = |sql: &str| project.ok(".", &["query", "--format", "csv", sql]);
    let opened = ask(
        "select id, customer.name, customer['Address']['zip'] z, lines[1]['price'] p, cardinality(tags) n from raw.orders order by id",
    );
    has(&opened, &["1,Ada,05,1.50,2", "2,,,,"]);
    // A database without such types gets JSON text.
    let database = rusqlite::Connection::open(project.path("store.db")).unwrap();
    let text = |column: &str| -> Option<String> {
        let sql = format!("select {column} from orders where id = 1");
        database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(
        text("lines").unwrap(),
        r#"[{"sku":"a","price":"1.50"},{"sku":"b","price":"2.00"}]"#
    );
    assert_eq!(text("tags").unwrap(), r#"["x",null]"#);
    let city = text("json_extract(customer, '$.Address.city')");
    assert_eq!(city.as_deref(), Some("Köln"));
    let none: Option<String> = database
        .query_row("select customer from orders where id = 2", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(none, None);
    // What was rejected is read again once its type has what it needs.
    let wider = NESTED.replace("struct(name text, A", "struct(name text, age int, A");
    project.write("pipelines/p.yml", &wider);
    project.ok(
        ".",
        &["run", "--full-refresh", "--fail-above", "raw.orders=60%"],
    );
    assert_eq!(project.count(".", "raw.orders"), 3);
    has(
        &ask("select customer.age from raw.orders where id = 3"),
        &["7"],
    );
    has(
        &ask("select unnest(tags) tag from raw.orders where id = 1"),
        &["x"],
    );
}

/// Nested JSON without declared types, with what else a table may have.
const INFERRED: &str = r#"steps:
  extract:
    load: data
    into: raw
    tables:
      orders:
        from: orders.jsonl
        nested: types
        key: id
        write: merge
        where: customer.name <> 'skip'
        dedup: { by: at, keep: last }
        fail_above: 90%
        columns:
          zip: { set: "customer.address.zip" }
          tags: { required: true }
          old: { type: text }
        checks:
          - { not_null: [customer, lines] }
          - { row_count: { min: 1 } }
          - { sql: "select * from {table} where lines[1]['qty'] < 0" }
  send:
    publish: raw
    into: store
    tables: { orders: { key: id } }
"#;

#[test]
fn nested_json_gets_types_and_keeps_every_value() {
    let project = TestProject::with_pipeline(INFERRED);
    let root = project.read("towpath.yml");
    let store = "  store: { type: sqlite, path: store.db, writable: true }\n";
    project.write("towpath.yml", &(root + store));
    let first = r#"{"id": 1, "at": 1, "customer": {"name": "Ada", "address": {"zip": "05", "n": 9007199254740993}}, "lines": [{"sku": "a", "qty": 1}, {"sku": "ü", "qty": 2}], "tags": ["x", null], "old": {"k":  1.50}}
{"id": 2, "at": 1, "customer": {"name": "skip"}, "lines": [], "tags": []}
{"id": 3, "at": 1, "customer": {"name": "Bo"}, "lines": [{"sku": "b", "qty": 3}], "tags": []}
{"id": 3, "at": 2, "customer": {"name": "Bob"}, "lines": [{"sku": "b", "qty": 4}], "tags": []}
{"id": 4, "at": 1, "customer": {"name": "Cy"}, "lines": []}
"#;
    project.write("data/orders.jsonl", first);
    project.ok(".", &["check"]);
    let said = project.ok(".", &["run"]);
    has(&said, &["1 row rejected"]);
    let ask = |sql: &str| project.ok(".", &["query", "--format", "csv", sql]);
    let opened = "select id, customer.name, customer.address.n, zip, lines[1]['qty'] q, tags[1] t, old from raw.orders order by id";
    has(
        &ask(opened),
        &[
            "1,Ada,9007199254740993,05,1,x,\"{\"\"k\"\":  1.50}\"",
            "3,Bob,,,4,,",
        ],
    );
    // A later file has a new member and a wider number: old rows have NULL there.
    let second = r#"{"id": 5, "at": 1, "customer": {"name": "Di", "vip": true}, "lines": [{"sku": "c", "qty": 0.5}], "tags": ["y"]}
{"id": 6, "at": 1, "customer": {"name": ["Ed"]}, "lines": [{"sku": 7}], "tags": ["z"]}
{"id": 7, "at": 1, "customer": "Flo", "lines": [], "tags": []}
"#;
    project.write("data/orders.jsonl", second);
    let said = project.ok(".", &["run"]);
    has(
        &said,
        &["new members, NULL in rows that are not read again: `customer.vip`"],
    );
    let opened = "select id, customer.vip, customer.name, lines[1]['sku'] s, lines[1]['qty'] q from raw.orders order by id";
    let rows = ask(opened);
    has(
        &rows,
        &[
            "1,,Ada,a,1",
            "3,,Bob,b,4",
            "5,true,Di,c,0.5",
            "6,,\"[\"\"Ed\"\"]\",7,",
        ],
    );
    assert_eq!(project.count(".", "raw.orders"), 4);
    let shown = project.ok(".", &["quarantine", "show", "raw.orders"]);
    has(&shown, &["customer  Flo    is not a valid `struct("]);
    // The database has the same values, also of the rows that came first.
    let database = rusqlite::Connection::open(project.path("store.db")).unwrap();
    let text = |id: i64, path: &str| -> Option<String> {
        let sql = format!(
            "select cast(json_extract(customer, '{path}') as text) from orders where id = {id}"
        );
        database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(text(1, "$.address.n").as_deref(), Some("9007199254740993"));
    assert_eq!(
        (text(1, "$.vip"), text(5, "$.vip").as_deref()),
        (None, Some("1"))
    );
    // A rejected record is replayed once it fits: here the one without tags.
    project.write(
        "pipelines/p.yml",
        &INFERRED.replace("tags: { required: true }", "tags: {}"),
    );
    project.ok(".", &["quarantine", "replay", "raw.orders"]);
    assert_eq!(project.count(".", "raw.orders"), 5);
    has(
        &ask("select customer.name from raw.orders where id = 4"),
        &["Cy"],
    );
    let lineage = project.ok(".", &["lineage", "raw.orders.zip"]);
    has(&lineage, &["customer"]);
}

#[test]
fn a_table_that_has_nested_json_as_text_keeps_it() {
    let text = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.jsonl, write: append, nested: text } } }
";
    let project = TestProject::with_pipeline(text);
    project.write("data/t.jsonl", "{\"a\": {\"b\":  1}}\n");
    project.ok(".", &["run"]);
    // As an earlier version left it: nothing says how nested values are read.
    project.write("pipelines/p.yml", &text.replace(", nested: text", ""));
    std::fs::remove_dir_all(project.path(".towpath")).unwrap();
    project.write("data/t.jsonl", "{\"a\": {\"b\":  2}}\n");
    project.ok(".", &["run"]);
    let rows = project.ok(
        ".",
        &["query", "--format", "csv", "select a from raw.t order by a"],
    );
    has(&rows, &["{\"\"b\"\":  1}", "{\"\"b\"\":  2}"]);
    // The option is obeyed, or the table refuses.
    let project = TestProject::with_pipeline(&text.replace("nested: text", "nested: types"));
    project.write("data/t.jsonl", "{\"a\": {\"b\": 1}}\n");
    project.ok(".", &["run"]);
    project.write("pipelines/p.yml", text);
    project.write("data/t.jsonl", "{\"a\": {\"b\": 2}}\n");
    let said = project.exits(1, ".", &["run"]);
    has(&said, &["`a`", "struct(b bigint)"]);
    let said = project.ok(".", &["run", "--full-refresh"]);
    assert!(!said.contains('✗'), "{said}");
}
