//! Normalised column names: a project may use the name in the source or the name in the table.
//!
//! For each kind of source and each spelling, `check` and `run` agree: without facts, with the facts of a
//! run, with `schemas/`, and with `schemas/` in the spelling of the table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod test_project;

use test_project::{TestProject, has};
use towpath_testkit::postgres::PostgresServer;

/// As the source writes a column, and as the table does.
const NAMES: [(&str, &str); 5] = [
    ("SKU", "sku"),
    ("Größe (cm)", "grosse_cm"),
    ("Preis €", "preis"),
    ("UpdatedAt", "updated_at"),
    ("Internal Note", "internal_note"),
];

/// `<name>` is a column in YAML and `[name]` one in SQL.
const TABLE: &str = r#"steps:
  extract:
    load: data
    into: raw
    tables:
      items:
        OBJECT
        where: '[grosse_cm] > 0 and [sku] is not null'
        key: <sku>
        drop: [<internal_note>]
        dedup: { by: <updated_at> }
        columns:
          <sku>: { required: true, pattern: '^[A-Z]' }
          <grosse_cm>: { max: 300 }
          <preis>: { type: "decimal(9,2)", expression: '[preis] >= 0' }
          total: { set: '[preis] * 2' }
          changed: { from: <updated_at>, required: true }
        checks:
          - not_null: [<sku>, <grosse_cm>]
          - unique: <sku>
          - expression: '[grosse_cm] > 0 and abs([preis]) < 100'
            where: '[sku] <> ''B2'''
          - accepted_values: { <sku>: [A1, B2] }
          - range: { <preis>: { min: 0 } }
"#;

const ROWS: &str = "
insert into items values ('A1', 180, 1.50, '2026-01-02 10:00:00', 'x');
insert into items values ('A1', 181, 1.50, '2026-01-01 10:00:00', 'older');
insert into items values ('B2', 170, 2.25, '2026-01-02 10:00:00', 'y');
insert into items values ('C3', 0, 1.00, '2026-01-02 10:00:00', 'z');
";

/// The pipeline in one of the two spellings.
fn pipeline(object: &str, by_source: bool) -> String {
    let mut text = TABLE.replace("OBJECT", object);
    for (source, own) in NAMES {
        let name = if by_source { source } else { own };
        text = text.replace(&format!("<{own}>"), &format!("\"{name}\""));
        let in_sql = if by_source {
            format!("\"{name}\"")
        } else {
            name.to_owned()
        };
        text = text.replace(&format!("[{own}]"), &in_sql);
    }
    text
}

/// `check` and `run` of one source in one spelling, by all that can be known of the source.
fn check_and_run(desk: &TestProject, object: &str, by_source: bool) {
    desk.write("pipelines/p.yml", &pipeline(object, by_source));
    let loaded = |arguments: &[&str]| {
        desk.ok(".", &["check"]);
        desk.ok(".", arguments);
        let sql = "select sku, grosse_cm, preis, total, changed is not null as has_change from raw.items order by sku";
        let said = desk.ok(".", &["query", "--format", "csv", sql]);
        has(&said, &["A1,180,1.50,3.00,true", "B2,170,2.25,4.50,true"]);
        assert_eq!(desk.count(".", "raw.items"), 2);
        let columns = desk.ok(".", &["lake", "describe", "raw.items"]);
        assert!(!columns.contains("internal_note"), "{columns}");
    };
    loaded(&["run"]);
    loaded(&["run", "--full-refresh"]);
    desk.ok(".", &["connection", "discover", "data", "--write"]);
    loaded(&["run", "--full-refresh"]);
    let mut schemas = desk.read("schemas/data.yml");
    for (source, own) in NAMES {
        schemas = schemas.replace(source, own);
    }
    desk.write("schemas/data.yml", &schemas);
    loaded(&["run", "--full-refresh"]);
}

fn project(connection: &str) -> String {
    format!(
        "towpath: 1\nname: p\nid: 6f1e0000-0000-4000-8000-000000000005\nconnections:\n  data: {connection}\n"
    )
}

#[test]
fn files_in_either_spelling() {
    for by_source in [true, false] {
        let desk = TestProject::new();
        desk.write("towpath.yml", &project("{ type: files, path: data }"));
        let header = "SKU,Größe (cm),Preis €,UpdatedAt,Internal Note";
        let rows = "A1,180,1.50,2026-01-02 10:00:00,x\nA1,181,1.50,2026-01-01 10:00:00,older\n\
                    B2,170,2.25,2026-01-02 10:00:00,y\nC3,0,1.00,2026-01-02 10:00:00,z\n";
        desk.write("data/items.csv", &format!("{header}\n{rows}"));
        check_and_run(&desk, "from: items.csv", by_source);
    }
}

#[test]
fn sqlite_in_either_spelling() {
    for by_source in [true, false] {
        let desk = TestProject::new();
        desk.write("towpath.yml", &project("{ type: sqlite, path: shop.db }"));
        let database = rusqlite::Connection::open(desk.path("shop.db")).unwrap();
        let table = r#"create table items ("SKU" text, "Größe (cm)" integer, "Preis €" real, "UpdatedAt" timestamp, "Internal Note" text);"#;
        database.execute_batch(&format!("{table}{ROWS}")).unwrap();
        let cursor = if by_source { "UpdatedAt" } else { "updated_at" };
        check_and_run(&desk, &format!("cursor: {cursor}"), by_source);
    }
}

#[test]
fn postgres_in_either_spelling() {
    let server = PostgresServer::shared().unwrap();
    for by_source in [true, false] {
        let desk = TestProject::new();
        let database = server.new_database().unwrap();
        let table = r#"create table items ("SKU" text, "Größe (cm)" int, "Preis €" numeric(9,2), "UpdatedAt" timestamptz, "Internal Note" text);"#;
        server.psql(&database, &format!("{table}{ROWS}")).unwrap();
        let url = server.url(&database);
        desk.write(
            "towpath.yml",
            &project(&format!("{{ type: postgres, url: \"{url}\" }}")),
        );
        let cursor = if by_source { "UpdatedAt" } else { "updated_at" };
        check_and_run(&desk, &format!("cursor: {cursor}"), by_source);
    }
}

#[test]
fn a_drafted_project_takes_either_spelling() {
    let desk = TestProject::new();
    desk.write("data/items.csv", "SKU,Größe (cm)\nA1,180\nB2,0\n");
    desk.write("data/notes.txt", "a,b\n1,2\n");
    desk.write("data/plan.ods", "PK");
    let said = desk.ok(".", &["init", "--from", "data"]);
    has(&said, &["notes.txt is not read", "plan.ods is not read"]);
    let file = std::fs::read_dir(desk.path("pipelines"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let path = format!("pipelines/{}", file.file_name().to_string_lossy());
    let drafted = desk.read(&path);
    for name in ["\"Größe (cm)\"", "grosse_cm"] {
        let settings = format!("{{ from: items.csv, where: '{name} > 0', key: SKU }}");
        let changed: Vec<String> = drafted
            .lines()
            .map(|line| match line.trim_start().starts_with("items:") {
                true => format!("{}{settings}", &line[..=line.find(':').unwrap()].to_owned()) + "",
                false => line.to_owned(),
            })
            .map(|line| line.replace("items:{", "items: {"))
            .collect();
        desk.write(&path, &(changed.join("\n") + "\n"));
        desk.ok(".", &["check"]);
        desk.ok(".", &["run", "--full-refresh"]);
        assert_eq!(desk.count(".", "raw.items"), 1);
    }
}
