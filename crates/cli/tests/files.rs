//! Files as users have them: names, formats and quoting of the load, and names of published files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

const PIPELINE: &str = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  send: { publish: raw, into: out, tables: { t: { format: jsonl } } }
";

#[test]
fn a_file_whose_name_tells_no_format_takes_the_tables_own() {
    let desk = TestProject::with_pipeline(PIPELINE);
    desk.write("data/t.csv", "id,v\n1,x\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t"), "{\"id\":1,\"v\":\"x\"}\n");
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("data/t.csv", "id,v\n1,x\n2,y\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t").lines().count(), 2);
}

const AS_THEY_COME: &str = "steps:
  extract: { load: data, into: raw, tables: { events: { from: 'events_*.csv', mode: incremental } } }
";

#[test]
fn files_are_read_as_they_come_and_each_once() {
    let desk = TestProject::with_pipeline(AS_THEY_COME);
    desk.write("data/events_1.csv", "id,v\n1,x\n2,y\n");
    has(
        &desk.ok(".", &["plan"]),
        &["read what is new in data:events_*.csv, append to raw.events"],
    );
    desk.ok(".", &["run"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("data/events_2.csv", "id,v\n3,z\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.events"), 3);
    // The state store may be lost: what was read stands with the table.
    std::fs::remove_dir_all(desk.path(".towpath")).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.events"), 3);
    // A file that is gone takes nothing with it; one that grew is read on; one that changed comes whole, and
    // that is said.
    std::fs::remove_file(desk.path("data/events_1.csv")).unwrap();
    desk.write("data/events_2.csv", "id,v\n3,z\n4,w\n");
    has(&desk.ok(".", &["run"]), &["1 row"]);
    assert_eq!(desk.count(".", "raw.events"), 4);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("data/events_2.csv", "id,v\n3,z\n");
    has(
        &desk.ok(".", &["run"]),
        &["events_2.csv` has changed since it was read", "1 row"],
    );
    assert_eq!(desk.count(".", "raw.events"), 5);
    desk.write("data/events_2.csv", "id,v\n3,z\n4,w\n");
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(desk.count(".", "raw.events"), 2);
    desk.write("data/events_3.csv", "id,v\n5,q\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.events"), 3);
}

/// A run by cursor that finds nothing new leaves the table as it is: no version, nothing to build behind it.
#[test]
fn a_cursor_that_finds_nothing_makes_no_version() {
    let desk = TestProject::with_pipeline(
        "steps:
  extract: { load: shop, into: raw, tables: { items: { cursor: at } } }
  build: { models: all }
",
    );
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nconnections:\n  shop: { type: sqlite, path: shop.db }\n",
    );
    desk.write(
        "models/marts/by_kind.sql",
        "{{ config(materialized='table') }} select kind, count(*) n from {{ source('raw', 'items') }} group by kind",
    );
    let sql = |statements: &str| {
        let shop = rusqlite::Connection::open(desk.path("shop.db")).unwrap();
        shop.execute_batch(statements).unwrap();
    };
    sql("create table items (at integer, kind text); insert into items values (1, 'a'), (2, 'b')");
    desk.ok(".", &["run"]);
    let versions = || desk.ok(".", &["lake", "history", "raw.items"]);
    let before = versions();
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    assert_eq!(versions(), before);
    sql("insert into items values (2, 'c'), (3, 'a')");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.items"), 4);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    assert_ne!(versions(), before);
    // Another definition is applied also when no row comes, once.
    desk.write(
        "pipelines/p.yml",
        "steps:
  extract: { load: shop, into: raw, tables: { items: { cursor: at, columns: { shop: { set: \"'ours'\" } } } } }
",
    );
    desk.ok(".", &["run"]);
    let sql = "select count(*) n, count(shop) s from raw.items";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    assert_eq!((&rows[0]["n"], &rows[0]["s"]), (&4.into(), &0.into()));
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
}

#[test]
fn with_a_key_a_changed_file_replaces_its_rows() {
    let desk = TestProject::with_pipeline(
        "steps:
  extract: { load: data, into: raw, tables: { t: { from: 't_*.csv', mode: incremental, key: id } } }
",
    );
    desk.write("data/t_1.csv", "id,v\n1,x\n2,y\n");
    desk.ok(".", &["run"]);
    desk.write("data/t_1.csv", "id,v\n1,new\n2,y\n3,z\n");
    has(
        &desk.ok(".", &["run"]),
        &["all of it is read again, and written by key"],
    );
    let sql = "select string_agg(v, ' ' order by id) v from raw.t";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    assert_eq!(rows[0]["v"], "new y z");
}

#[test]
fn avro_and_arrow_files_are_published_and_replaced() {
    let desk = TestProject::with_pipeline(
        "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv, key: id } } }
  send:
    publish: raw
    into: out
    tables:
      t.avro: { from: t, compression: zstd }
      t.arrows: { from: t }
      parts/: { from: t, format: arrow }
",
    );
    desk.write(
        "data/t.csv",
        "id,price,at\n1,1.50,2026-01-02T03:04:05Z\n2,,\n",
    );
    desk.ok(".", &["run"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write(
        "data/t.csv",
        "id,price,at\n1,1.50,2026-01-02T03:04:05Z\n2,,\n3,7.25,\n",
    );
    desk.ok(".", &["run"]);
    for file in ["out/t.avro", "out/t.arrows", "out/parts/*.arrow"] {
        let sql = format!("select count(*) n, sum(price) s, min(at) a from '{file}'");
        let rows = desk.json(".", &["query", "--format", "json", &sql]);
        assert_eq!(
            (&rows[0]["n"], &rows[0]["s"]),
            (&3.into(), &"8.75".into()),
            "{file}"
        );
        assert!(
            rows[0]["a"].as_str().unwrap().starts_with("2026-01-02"),
            "{file}"
        );
    }
    let refused = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv, key: id } } }
  send: { publish: raw, into: out, tables: { t.arrow: { from: t, compression: gzip } } }
";
    desk.write("pipelines/p.yml", refused);
    has(
        &desk.exits(1, ".", &["run"]),
        &["R0120", "Arrow has no gzip"],
    );
}

/// Run after run, also when the state store is lost: the log is known by its contents.
#[test]
fn a_rotated_log_is_loaded_once() {
    let desk = TestProject::with_pipeline(
        "steps:
  extract: { load: data, into: raw, tables: { t: { from: 'app.log*', format: regex, pattern: 'row (?<n>[0-9]+)', mode: incremental } } }
",
    );
    let rotate =
        || std::fs::rename(desk.path("data/app.log"), desk.path("data/app.log.1")).unwrap();
    desk.write("data/app.log", "row 1\nrow 2\nro");
    let said = desk.ok(".", &["run"]);
    has(&said, &["app.log` has no line end yet", "2 rows"]);
    desk.write("data/app.log", "row 1\nrow 2\nrow 3\n");
    rotate();
    desk.write("data/app.log", "row 4\n");
    std::fs::remove_dir_all(desk.path(".towpath")).unwrap();
    has(
        &desk.ok(".", &["run"]),
        &["begins with all that was read of `data/app.log`"],
    );
    desk.write("data/app.log", "row 4\nrow 5\n");
    std::fs::remove_file(desk.path("data/app.log.1")).unwrap();
    rotate();
    has(&desk.ok(".", &["run"]), &["1 row"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    let sql = "select string_agg(n::text, ' ' order by n) n from raw.t";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    assert_eq!(rows[0]["n"], "1 2 3 4 5");
}

#[test]
fn files_take_no_cursor() {
    let desk = TestProject::with_pipeline(
        "steps:\n  extract: { load: data, into: raw, tables: { t: { from: t.csv, cursor: id } } }\n",
    );
    has(
        &desk.exits(2, ".", &["check"]),
        &["error[C0507]", "takes no `cursor`", "mode: incremental"],
    );
}

#[test]
fn links_are_read_inside_the_folder_only() {
    use std::os::unix::fs::symlink;
    let project = TestProject::with_pipeline(
        "steps:
  extract: { load: data, into: raw, tables: { t: { from: 't*.csv' } } }
",
    );
    project.write("data/t1.csv", "id\n1\n");
    project.write("data/inner/x.csv", "id\n2\n");
    project.write("elsewhere/y.csv", "id\n3\n");
    symlink("inner/x.csv", project.path("data/t2.csv")).unwrap();
    project.ok(".", &["run"]);
    assert_eq!(project.count(".", "raw.t"), 2);
    symlink("../elsewhere/y.csv", project.path("data/t3.csv")).unwrap();
    let out = ["R0144", "data/t3.csv", "leads out of `data`"];
    has(&project.exits(1, ".", &["run"]), &out);
    assert_eq!(project.count(".", "raw.t"), 2);
    // A copy is asked for the link itself; a glob is not.
    has(
        &project.ok(".", &["copy", "data/t3.csv", "one.csv"]),
        &["1 row"],
    );
    has(
        &project.exits(2, ".", &["copy", "data/t*.csv", "all.csv"]),
        &out[..1],
    );
    // A query may read all that is in the project, and nothing else.
    let query = |sql: &str| project.towpath(".", &["query", "--format", "csv", sql]);
    let all = query("select count(*) n from 'data/t*.csv'");
    assert_eq!(crate::test_project::text(&all.stdout), "n\n3\n", "{all:?}");
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("z.csv"), "id\n4\n").unwrap();
    symlink(outside.path().join("z.csv"), project.path("data/u4.csv")).unwrap();
    for sql in ["select * from 'data/u*.csv'", "select * from 'data/u4.csv'"] {
        let said = query(sql);
        let said = crate::test_project::text(&said.stderr);
        assert!(said.contains("R0143") || said.contains("R0144"), "{said}");
    }
    // `init` says which files it leaves out, and why.
    let said = project.ok(".", &["init", "new", "--from", "data"]);
    has(
        &said,
        &["t3.csv is left out", "leads out of", "u4.csv is left out"],
    );
}

#[test]
fn a_number_with_leading_zeros_is_not_changed_to_fit_a_known_type() {
    let pipeline = "steps: { extract: { load: data, into: raw, tables: { t: { from: 't_*.csv', mode: incremental, fail_above: 100% } } } }\n";
    let desk = TestProject::with_pipeline(pipeline);
    desk.write("data/t_1.csv", "id,plz,price\n1,10115,1.5\n");
    desk.ok("", &["run"]);
    desk.write(
        "data/t_2.csv",
        "id,plz,price\n2,01067,2.5\n3,+5,2.5\n4,1.0,2.5\n5,1e3,2.5\n6,99999999999999999999,2.5\n7,7,02.5\n8,80331,2.5\n",
    );
    desk.ok("", &["run"]);
    assert_eq!(desk.count("", "raw.t"), 2);
    let said = desk.ok("", &["quarantine", "show", "raw.t"]);
    has(
        &said,
        &[
            "leading zeros",
            "type: text",
            "a plus sign",
            "not written as a whole number",
        ],
    );
    assert_eq!(said.matches("out of range").count(), 1, "{said}");
    // The way out that the reason names.
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("mode:", "columns: { plz: { type: text } }, mode:"),
    );
    desk.ok("", &["run", "--full-refresh"]);
    let zip = desk.json(
        "",
        &[
            "query",
            "--format",
            "json",
            "select plz from raw.t where id = 2",
        ],
    );
    assert_eq!(zip[0]["plz"], "01067");
}

#[test]
fn what_is_wrong_with_a_file_is_said_as_it_is() {
    let pipeline = "steps: { extract: { load: data, into: raw, tables: { t: { from: x.csv, skip_lines: 9 } } } }\n";
    let desk = TestProject::with_pipeline(pipeline);
    desk.write("data/x.csv", "id\n1\n");
    has(
        &desk.exits(3, "", &["run"]),
        &["R0109", "`skip_lines: 9` skips all of its lines"],
    );
    std::fs::remove_file(desk.path("data/x.csv")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(desk.path("data/x.csv"))
        .status()
        .unwrap();
    assert!(made.success());
    has(
        &desk.exits(1, "", &["run"]),
        &["R0107", "a pipe, a socket or a device"],
    );
}

const PARTITIONED: &str = "steps:
  extract: { load: data, into: raw, tables: { sales: { from: 'sales/**/*.csv', mode: incremental, hive_partitioning: true, file_column: _file, columns: { id: { max: 5 } }, fail_above: 100% } } }
";

#[test]
fn folders_of_paths_are_columns_of_a_load_a_copy_and_a_query() {
    let desk = TestProject::with_pipeline(PARTITIONED);
    desk.write("data/sales/year=2025/1.csv", "id,v\n1,x\n10,y\n");
    desk.ok(".", &["run"]);
    desk.write("data/sales/year=2026/1.csv", "id,v\n2,z\n20,w\n");
    has(&desk.ok(".", &["run"]), &["1 row rejected"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    let query = |sql: &str| desk.json(".", &["query", "--format", "json", sql]);
    let row = |id: u16, v: &str, year: u16| {
        let file = format!("sales/year={year}/1.csv");
        serde_json::json!({"id": id, "v": v, "year": year, "_file": file})
    };
    let sql = "select id, v, year, _file from raw.sales order by id";
    let loaded = vec![row(1, "x", 2025), row(2, "z", 2026)];
    assert_eq!(query(sql), serde_json::Value::from(loaded.clone()));
    // A record that comes back has the folder that it was in.
    let pipeline = desk.read("pipelines/p.yml");
    desk.write("pipelines/p.yml", &pipeline.replace("max: 5 ", "max: 50 "));
    desk.ok(".", &["quarantine", "replay", "raw.sales"]);
    let replayed = [loaded, vec![row(10, "y", 2025), row(20, "w", 2026)]].concat();
    assert_eq!(query(sql), serde_json::Value::from(replayed));
    for from in ["data/sales/*/1.csv", "data/**/1.csv"] {
        desk.ok(
            ".",
            &[
                "copy",
                from,
                "all.jsonl",
                "--option",
                "hive_partitioning=true",
            ],
        );
        let copied = desk.read("all.jsonl");
        assert_eq!(
            copied.lines().min(),
            Some("{\"id\":1,\"v\":\"x\",\"year\":2025}")
        );
        let asked = query(&format!("select * from '{from}' order by id desc"));
        let last = serde_json::json!({"id": 20, "v": "w", "year": 2026});
        assert_eq!(asked[0], last);
    }
    let said = desk.exits(
        2,
        ".",
        &[
            "copy",
            "data/sales/*/1.csv",
            "b.csv",
            "--option",
            "file_column=v",
        ],
    );
    has(&said, &["error[R0133]", "give `file_column` another name"]);
}

const CATALOG: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      book:
        from: 'in/*/books*.xml*'
        record: /catalog/book
        mode: incremental
        hive_partitioning: true
        file_column: _file
        columns: { price: 'decimal(10,2)' }
        fail_above: 100%
";

#[test]
fn elements_of_xml_are_rows_of_a_load_a_copy_and_a_query() {
    let desk = TestProject::with_pipeline(CATALOG);
    desk.write(
        "data/in/year=2025/books1.xml",
        "<?xml version='1.0'?>\n<catalog>\n<book id='1'><title>A &amp; B</title><price>1.50</price></book>\n\
         <book id='2'><title>C</title>\n<price>free</price></book></catalog>\n",
    );
    has(&desk.ok(".", &["run"]), &["1 row rejected"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    let shown = desk.ok(".", &["quarantine", "show", "raw.book"]);
    has(&shown, &["books1.xml:4", "<price>free</price>"]);
    desk.write(
        "data/in/year=2026/books2.xml",
        "<catalog><book id='3'><title>D</title><price>2</price></book></catalog>",
    );
    desk.ok(".", &["run"]);
    let query = |sql: &str| desk.json(".", &["query", "--format", "json", sql]);
    let rows = query("select id, title, price, year from raw.book order by id");
    let row = |id: u8, title: &str, price: &str, year: u16| serde_json::json!({"id": id, "title": title, "price": price, "year": year});
    let expected = [row(1, "A & B", "1.50", 2025), row(3, "D", "2.00", 2026)];
    assert_eq!(rows, serde_json::Value::from(expected.to_vec()));
    // The quarantine has the text of the element, and a replay reads it by the columns of today.
    let pipeline = desk
        .read("pipelines/p.yml")
        .replace("'decimal(10,2)'", "text");
    desk.write("pipelines/p.yml", &pipeline);
    desk.write(
        "data/in/year=2026/books3.xml",
        "<catalog><book id='4'><price>5</book></catalog>",
    );
    let said = desk.exits(3, ".", &["run"]);
    has(
        &said,
        &[
            "error[R0176]",
            "line 1, column 31",
            "`</book>` closes `<price>`",
        ],
    );
    // Nothing of a damaged file is loaded, and nothing is lost once it is whole.
    assert_eq!(desk.count(".", "raw.book"), 2);
    let copied = desk.ok(
        ".",
        &[
            "copy",
            "data/in/year=2025/books1.xml",
            "books.jsonl",
            "--verify",
        ],
    );
    has(&copied, &["2 rows copied", "Verified"]);
    has(
        &desk.read("books.jsonl"),
        &["{\"@id\":1,\"title\":\"A & B\",\"price\":\"1.50\"}"],
    );
    let found =
        query("select \"@id\" as id, price from 'data/in/year=2025/books1.xml' order by 1 desc");
    assert_eq!(found[0], serde_json::json!({"id": 2, "price": "free"}));
    has(
        &desk.exits(2, ".", &["copy", "books.jsonl", "books.xml"]),
        &["XML files are only read"],
    );
    let one = desk.exits(
        2,
        ".",
        &[
            "copy",
            "data/in/year=2026/books2.xml",
            "b.csv",
            "--option",
            "record=chapter",
        ],
    );
    has(&one, &["error[R0178]", "no element `chapter`"]);
    std::fs::create_dir(desk.path("from")).unwrap();
    std::fs::copy(
        desk.path("data/in/year=2025/books1.xml"),
        desk.path("from/books.xml"),
    )
    .unwrap();
    desk.ok(".", &["init", "made", "--from", "from"]);
    desk.ok("made", &["run"]);
    assert_eq!(desk.count("made", "raw.books"), 2);
}

const LOGS: &str = "steps:
  extract: { load: data, into: raw, tables: { log: { from: 'app.log*', format: regex, pattern: '(?<at>[^ ]+) (?<message>.*)', fail_above: 100% } } }
";

#[test]
fn lines_of_a_log_that_match_nothing_wait_for_another_pattern() {
    let desk = TestProject::with_pipeline(LOGS);
    desk.write(
        "data/app.log",
        "2025-01-01T00:00:00Z started\nTraceback:\n2025-01-01T00:00:01Z ended\n",
    );
    has(
        &desk.ok(".", &["run"]),
        &["1 row rejected", "does not match `pattern`"],
    );
    let shown = desk.ok(".", &["quarantine", "show", "raw.log"]);
    has(&shown, &["Traceback:", "app.log:2"]);
    let pipeline = desk
        .read("pipelines/p.yml")
        .replace("(?<at>[^ ]+) ", "(?:(?<at>[^ ]+) )?");
    desk.write("pipelines/p.yml", &pipeline);
    desk.ok(".", &["quarantine", "replay", "raw.log"]);
    let sql = "select at, message from raw.log where at is null";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    assert_eq!(
        rows,
        serde_json::json!([{"at": null, "message": "Traceback:"}])
    );
    // A pattern that cannot be one is refused before anything is read.
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("(?<message>.*)", "(?<message>"),
    );
    has(
        &desk.exits(1, ".", &["run"]),
        &["error[R0103]", "`pattern`"],
    );
}

#[test]
fn rejected_rows_with_different_reasons_are_not_said_to_have_one() {
    let pipeline = "steps: { extract: { load: data, into: raw, tables: { t: { from: t.csv, fail_above: 100%, columns: { id: bigint, e: { in: [x] } } } } } }\n";
    let desk = TestProject::with_pipeline(pipeline);
    desk.write("data/t.csv", "id,e,n\n1,bad,NULL\na,x,\"\"\nb,x,\n4,x,1\n");
    has(
        &desk.ok("", &["run"]),
        &["3 rows rejected, the first because: "],
    );
    let said = desk.ok("", &["quarantine", "show", "raw.t"]);
    has(&said, &["n   \"NULL\"", "n   \"\"", "n   NULL"]);
    desk.write("data/t.csv", "id,e,n\n1,x,\na,x,\nb,x,\n4,x,1\n");
    has(&desk.ok("", &["run"]), &["2 rows rejected: "]);
}
