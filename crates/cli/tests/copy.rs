//! `copy` and `query` without a project, as a new user types them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::path::PathBuf;
use std::process::Command;

use towpath_testkit::mariadb::MariadbServer;
use towpath_testkit::postgres::PostgresServer;

use crate::test_project::{TestProject, has};

#[test]
fn a_copied_file_can_be_asked_without_a_project() {
    let desk = TestProject::new();
    desk.write("in/a.csv", "id,name\n1,Änne\n2,\n");
    let said = desk.ok(".", &["copy", "in/a.csv", "a.parquet"]);
    has(&said, &["2 rows copied"]);
    let rows = desk.json(
        ".",
        &["query", "--format", "json", "select * from 'a.parquet'"],
    );
    assert_eq!(
        rows,
        serde_json::json!([{"id": 1, "name": "Änne"}, {"id": 2, "name": null}])
    );
    let elsewhere = desk.path("in/a.csv").display().to_string();
    let sql = format!("select count(*) n from '../in/a.csv' join '{elsewhere}' b using (id)");
    desk.write("other/x", "");
    assert_eq!(
        desk.json("other", &["query", "--format", "json", &sql])[0]["n"],
        2
    );
    assert!(!desk.path(".towpath").exists() && !desk.path("lake").exists());
    let said = desk.exits(2, ".", &["query", "select * from nothing"]);
    has(&said, &["error[R0502]"]);
}

#[test]
fn a_query_reads_a_file_as_a_copy_does() {
    let desk = TestProject::new();
    desk.write("semi.csv", "id;price;day\n1;0.10;2024-02-29\n2;;\n");
    let query = |sql: &str| desk.json(".", &["query", "--format", "json", sql]);
    desk.ok(".", &["copy", "semi.csv", "semi.parquet"]);
    for sql in [
        "select * from '{}' order by id",
        "select sum(id) n from '{}'",
        "select count(*) n from '{}'",
        "select id from '{}' limit 1",
    ] {
        assert_eq!(
            query(&sql.replace("{}", "semi.csv")),
            query(&sql.replace("{}", "semi.parquet")),
            "{sql}"
        );
    }
    // A record that a copy would reject is not left out unseen.
    desk.write("bad.csv", "id,v\n1,2\n3\n");
    let said = desk.exits(3, ".", &["query", "select count(*) from 'bad.csv'"]);
    has(
        &said,
        &[
            "error[R0517]: bad.csv:3: the record has 1 field, the header has 2",
            "towpath copy",
        ],
    );
    // A damaged file is refused by both.
    let mut bytes = std::fs::read(desk.path("semi.parquet")).unwrap();
    bytes.truncate(bytes.len() - 20);
    std::fs::write(desk.path("cut.parquet"), bytes).unwrap();
    for arguments in [
        vec!["query", "select * from 'cut.parquet'"],
        vec!["copy", "cut.parquet", "x.csv"],
    ] {
        has(
            &desk.exits(3, ".", &arguments),
            &["error[R0112]", "cut.parquet"],
        );
    }
}

#[test]
fn a_copy_that_stops_shows_the_reasons_and_its_own_way_on() {
    let desk = TestProject::new();
    desk.write("a.csv", "id,v\n1,2,3\n4\n5,6\n");
    let said = desk.exits(3, ".", &["copy", "a.csv", "a.parquet"]);
    has(
        &said,
        &[
            "error[R0623]: `a.parquet` was stopped: 2 of 3 rows are bad",
            "a.csv:2: the record has 3 fields, the header has 2",
            "a.csv:3: the record has 1 field, the header has 2",
            "a.parquet.rejected.jsonl",
            "towpath copy --fail-above 100% …",
        ],
    );
    assert!(!said.contains("quarantine"), "{said}");
    assert!(!desk.path("a.parquet").exists());
    let said = desk.ok(".", &["copy", "--fail-above", "70%", "a.csv", "a.parquet"]);
    has(&said, &["1 row copied", "2 rows rejected"]);
    let said = desk.exits(
        2,
        ".",
        &["copy", "--fail-above", "much", "a.csv", "a.parquet"],
    );
    has(&said, &["error[R0992]"]);
}

#[test]
fn the_delimiter_is_told_by_the_header() {
    let desk = TestProject::new();
    desk.write("a.csv", "id;name\n1;\"x;y\"\n2;z\n");
    let said = desk.ok(".", &["copy", "a.csv", "a.jsonl"]);
    has(&said, &["has `;` between its fields"]);
    assert_eq!(
        desk.read("a.jsonl"),
        "{\"id\":1,\"name\":\"x;y\"}\n{\"id\":2,\"name\":\"z\"}\n"
    );
}

#[test]
fn a_sqlite_file_is_an_end_like_any_other() {
    let desk = TestProject::new();
    desk.write("a.csv", "id,name\n1,x\n2,y\n");
    desk.ok(".", &["copy", "a.csv", "store.db"]);
    let said = desk.exits(4, ".", &["copy", "a.csv", "sqlite:store.db", "--into", "a"]);
    has(&said, &["error[R0918]", "--write replace"]);
    desk.write("b.csv", "id,name\n2,new\n3,z\n");
    let merge = ["--into", "a", "--write", "merge", "--key", "id"];
    desk.ok(
        ".",
        &[&["copy", "b.csv", "sqlite:store.db"][..], &merge].concat(),
    );
    desk.ok(
        ".",
        &["copy", "sqlite://store.db", "--table", "a", "out.csv"],
    );
    let mut lines: Vec<String> = desk.read("out.csv").lines().map(str::to_owned).collect();
    lines[1..].sort();
    assert_eq!(lines, ["id,name", "1,x", "2,new", "3,z"]);
    let said = desk.exits(2, ".", &["copy", "store.db", "out.csv"]);
    has(&said, &["error[R0916]", "--table"]);
}

#[test]
fn a_mariadb_database_is_an_end_like_any_other() {
    let desk = TestProject::new();
    let server = MariadbServer::shared().unwrap();
    let database = server.new_database().unwrap();
    let url = server.url(&database);
    desk.write(
        "a.csv",
        "id,name,price,at\n1,x,0.10,2024-02-29 12:00:00.000001\n2,y,,\n",
    );
    let into = ["copy", "a.csv", &url, "--into", "a"];
    let said = desk.ok(".", &[&into[..], &["--write", "replace"]].concat());
    has(&said, &["2 rows copied"]);
    let said = desk.exits(4, ".", &into);
    has(&said, &["error[R0918]", "--write replace"]);
    desk.write("b.csv", "id,name\n2,new\n3,z\n");
    let merge = ["--into", "a", "--write", "merge", "--key", "id"];
    desk.ok(".", &[&["copy", "b.csv", &url][..], &merge].concat());
    desk.ok(
        ".",
        &[
            &["copy", "b.csv", &url][..],
            &["--into", "a", "--write", "append"],
        ]
        .concat(),
    );
    let rows = "SELECT group_concat(concat_ws('|', id, name, price, at) ORDER BY id, name SEPARATOR ';') FROM a";
    assert_eq!(
        server.sql(&database, rows).unwrap(),
        "1|x|0.10|2024-02-29 12:00:00.000001;2|new;2|new;3|z;3|z"
    );
    desk.ok(".", &["copy", &url, "--table", "a", "out.csv"]);
    assert_eq!(desk.read("out.csv").lines().count(), 6);
}

/// The same values in every system, whatever their types are there.
#[test]
fn a_copy_is_verified_from_end_to_end() {
    let desk = TestProject::new();
    let maria = MariadbServer::shared().unwrap();
    let maria = maria.url(&maria.new_database().unwrap());
    let postgres = PostgresServer::shared().unwrap();
    let postgres = postgres.url(&postgres.new_database().unwrap());
    desk.write(
        "t.csv",
        "id,name,flag,price,ratio,day,at,big\n\
         1,\"x, \"\"y\"\"\nz \",true,-0.10,0.1,2024-02-29,2024-02-29 12:00:00.000001,123456789012345678901234567890\n\
         2,,false,1000.00,1e300,0001-01-01,1970-01-01 00:00:00,-1\n\
         3,\"\",,,,,,\n4,Änne 😀,true,0.00,-2.5,9999-12-31,2024-02-29 12:00:00.5,0\n",
    );
    let says = |arguments: &[&str]| {
        let said = desk.ok(".", &[&["copy", "--verify"][..], arguments].concat());
        has(
            &said,
            &[
                "4 rows copied",
                "Verified: 4 rows and 8 columns are the same",
            ],
        );
    };
    let types = ["price=decimal(10,2)", "big=decimal(38,0)", "ratio=double"];
    let types: Vec<&str> = types.iter().flat_map(|one| ["--type", one]).collect();
    says(&[&["t.csv", "t.parquet"][..], &types].concat());
    says(&["t.parquet", "t.jsonl"]);
    says(&["t.parquet", "again.csv"]);
    says(&["t.parquet", "sqlite:t.db"]);
    says(&["sqlite:t.db", "--table", "t", &maria]);
    says(&[&maria, "--table", "t", &postgres]);
    says(&[&postgres, "--table", "t", &postgres, "--into", "u"]);
    says(&[&postgres, "--table", "u", &maria, "--into", "u"]);
    says(&[&maria, "--table", "u", "u.parquet"]);
    says(&["t.parquet", "sqlite:t.db", "--write", "replace"]);
}

/// Every type with its edge values: what is rejected on the way is no difference.
#[test]
fn rejected_rows_and_nested_values_do_not_disturb_a_verification() {
    let desk = TestProject::new();
    std::fs::write(desk.path("types.parquet"), TYPES).unwrap();
    for target in ["again.parquet", "again.jsonl", "again.csv"] {
        let copy = [
            "copy",
            "--verify",
            "types.parquet",
            target,
            "--fail-above",
            "100%",
        ];
        has(&desk.ok(".", &copy), &["Verified: "]);
    }
}

#[test]
fn values_that_a_target_changes_are_found() {
    let desk = TestProject::new();
    let server = MariadbServer::shared().unwrap();
    let database = server.new_database().unwrap();
    let url = server.url(&database);
    desk.write("t.csv", "id,v,w\n1,a,x\n2,b,y\n3,c,z\n");
    for (trigger, found, not_found) in [
        (
            "BEFORE INSERT ON t FOR EACH ROW SET NEW.v = upper(NEW.v)",
            vec!["column `v`: other values"],
            vec!["`id`", "`w`", "rows:"],
        ),
        // Every column keeps its values, and no row is lost.
        (
            "BEFORE INSERT ON t FOR EACH ROW SET NEW.v = elt(NEW.id, 'b', 'a', 'c')",
            vec!["some stand in other rows"],
            vec!["column `", "rows:"],
        ),
    ] {
        server
            .sql(&database, &format!("DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint, v text, w text); CREATE TRIGGER bend {trigger}"))
            .unwrap();
        let copy = ["copy", "t.csv", &url, "--write", "replace", "--verify"];
        let said = desk.exits(3, ".", &copy);
        has(&said, &["3 rows copied", "error[R0256]", "`t`"]);
        has(&said, &found);
        for other in not_found {
            assert!(!said.contains(other), "{other}: {said}");
        }
        // Without it, nobody notices.
        desk.ok(".", &copy[..5]);
    }
    desk.ok(".", &["copy", "t.csv", "sqlite:t.db"]);
    let trigger =
        "CREATE TRIGGER bend AFTER INSERT ON t BEGIN UPDATE t SET w = NULL WHERE id = 2; END";
    let store = rusqlite::Connection::open(desk.path("t.db")).unwrap();
    store.execute_batch(trigger).unwrap();
    let copy = [
        "copy",
        "t.csv",
        "sqlite:t.db",
        "--write",
        "replace",
        "--verify",
    ];
    let said = desk.exits(3, ".", &copy);
    has(&said, &["error[R0256]", "column `w`: other values"]);
}

#[test]
fn a_copy_that_adds_to_its_target_is_not_verified() {
    let desk = TestProject::new();
    desk.write("t.csv", "id\n1\n");
    desk.ok(".", &["copy", "t.csv", "sqlite:t.db"]);
    for write in [&["append"][..], &["merge", "--key", "id"]] {
        let copy = ["copy", "t.csv", "sqlite:t.db", "--verify", "--write"];
        let said = desk.exits(2, ".", &[&copy[..], write].concat());
        has(&said, &["error[R0257]", "--write replace"]);
    }
    desk.ok(
        ".",
        &["copy", "sqlite:t.db", "--table", "t", "out.csv", "--verify"],
    );
    assert_eq!(desk.read("out.csv"), "id\n1\n");
}

#[test]
fn lists_and_structs_are_json_in_json() {
    let desk = TestProject::new();
    let sql = "select make_array(1, null, 3) l, named_struct('a', 'x,y', 'b', make_array('q')) s";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    let wanted = serde_json::json!([{"l": [1, null, 3], "s": {"a": "x,y", "b": ["q"]}}]);
    assert_eq!(rows, wanted);
    let said = desk.ok(".", &["query", "--format", "csv", sql]);
    has(&said, &["\"[1,null,3]\""]);
}

#[test]
fn a_copy_with_little_memory_ends_and_with_too_little_is_refused() {
    let desk = TestProject::new();
    let cell = "x".repeat(3000);
    let bad = format!("7,{cell}\n").repeat(300);
    let big = "y\n".repeat(4 << 20);
    desk.write("a.csv", &format!("id,v\n1,2\n{bad}3,4\n"));
    desk.write("big.csv", &format!("id,v\n1,\"{big}\"\n2,z\n"));
    for memory in ["64KB", "4MB", "15MiB", "lots"] {
        let said = desk.exits(2, ".", &["copy", "a.csv", "t.jsonl", "--memory", memory]);
        has(&said, &["error[R0998]", "`--memory ", "16MB or more"]);
    }
    #[rustfmt::skip]
    let said = desk.ok(".", &[
        "copy", "a.csv", "t.jsonl", "--memory", "16MB", "--option", "max_record_bytes=1000",
        "--fail-above", "100%",
    ]);
    has(&said, &["2 rows copied", "300 rows rejected"]);
    let said = desk.ok(".", &["copy", "big.csv", "b.jsonl", "--memory", "16MiB"]);
    has(&said, &["2 rows copied"]);
}

/// Every type with its edge values, dates outside the years 1 to 9999 among them.
const TYPES: &[u8] = include_bytes!("../../connectors/tests/fixtures/parquet/types.parquet");

#[test]
fn dates_that_a_table_cannot_hold_are_kept_exactly_and_replayed() {
    let pipeline = |more: &str| {
        format!(
            "steps:\n  extract: {{ load: data, into: raw, fail_above: 100%, tables: {{ t: {{ from: types.parquet{more} }} }} }}\n"
        )
    };
    let desk = TestProject::with_pipeline(&pipeline(""));
    desk.write("data/x", "");
    std::fs::write(desk.path("data/types.parquet"), TYPES).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 1);
    let shown = desk.ok(".", &["quarantine", "show", "raw.t", "--format", "json"]);
    has(
        &shown,
        &["+010000-01-01", "+5881580-07-11", "9223372036854775807"],
    );
    assert!(!shown.contains("ERROR"), "{shown}");
    // Declared text, every value finds its place, lists and structs as they were.
    desk.write(
        "pipelines/p.yml",
        &pipeline(", columns: { far_date: { type: text } }"),
    );
    desk.ok(".", &["run", "--full-refresh"]);
    let sql = "select far_date, int64, list_of_lists from raw.t order by far_date nulls last";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    assert_eq!(rows.as_array().unwrap().len(), 5, "{rows}");
}

const AVRO: &[u8] = include_bytes!("../../connectors/tests/fixtures/avro/types_snappy.avro");
const ARROW: &[u8] = include_bytes!("../../connectors/tests/fixtures/arrow/types.arrows");

#[test]
fn avro_and_arrow_files_are_read_as_others_are() {
    let desk = TestProject::new();
    desk.write("in/x", "");
    std::fs::write(desk.path("in/events.avro"), AVRO).unwrap();
    std::fs::write(desk.path("in/points.arrows"), ARROW).unwrap();
    for (from, to) in [
        ("in/events.avro", "e.jsonl"),
        ("in/points.arrows", "p.jsonl"),
    ] {
        let said = desk.ok(".", &["copy", from, to]);
        has(&said, &["5 rows copied"]);
    }
    let texts = std::fs::read_to_string(desk.path("e.jsonl")).unwrap();
    has(
        &texts,
        &["9999999999999999999999999999.9999999999", "\"HEARTS\""],
    );
    let query = |sql: &str| desk.json(".", &["query", "--format", "json", sql]);
    let sql = "select required, enum from 'in/events.avro' where long = 9223372036854775807";
    assert_eq!(
        query(sql),
        serde_json::json!([{"required": 2, "enum": "SPADES"}])
    );
    let sql = "select count(*) n, max(int64) m from 'in/*.arrows'";
    assert_eq!(
        query(sql),
        serde_json::json!([{"n": 5, "m": "9223372036854775807"}])
    );
    // They are written, but for what they have no form for.
    let said = desk.exits(2, ".", &["copy", "in/events.avro", "again.avro"]);
    has(&said, &["error[R0120]", "Avro has no form for it"]);
    let sql = "select string_agg(required::text || enum, ' ' order by required) t from";
    let texts = query(&format!("{sql} 'e.jsonl'"));
    for to in ["e.avro", "e.arrow", "e.arrows"] {
        desk.ok(".", &["copy", "e.jsonl", to]);
        assert_eq!(query(&format!("{sql} '{to}'")), texts, "{to}");
    }
    // A cut one leaves nothing behind.
    let half = &AVRO[..AVRO.len() - 20];
    std::fs::write(desk.path("half.avro"), half).unwrap();
    let said = desk.exits(3, ".", &["copy", "half.avro", "half.csv"]);
    has(&said, &["error[R0140]", "half.avro", "block"]);
    assert!(!desk.path("half.csv").exists());
}

#[test]
fn a_folder_of_avro_files_is_loaded_file_by_file() {
    let desk = TestProject::with_pipeline(
        "steps:\n  extract: { load: data, into: raw, fail_above: 100%, tables: { t: { from: '*.avro', mode: incremental, columns: { far_date: { type: text } } } } }\n",
    );
    desk.write("data/x", "");
    std::fs::write(desk.path("data/1.avro"), AVRO).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 5);
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 5);
    std::fs::write(desk.path("data/2.avro"), AVRO).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 10);
    let sql =
        "select required, far_date, decimal_fixed, duration from raw.t order by required limit 1";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    has(&rows.to_string(), &["+010000-01-01"]);
    let desk = TestProject::new();
    desk.write("in/x", "");
    std::fs::write(desk.path("in/events.avro"), AVRO).unwrap();
    std::fs::write(desk.path("in/points.arrows"), ARROW).unwrap();
    let said = desk.ok(".", &["init", "work", "--from", "in"]);
    has(&said, &["2 tables will be loaded"]);
}

#[test]
fn settings_of_databases_are_refused_for_files() {
    let desk = TestProject::new();
    desk.write("a.csv", "id\n1\n");
    for (option, value) in [("--table", "t"), ("--into", "t"), ("--key", "id")] {
        let said = desk.exits(2, "", &["copy", "a.csv", "b.csv", option, value]);
        has(&said, &["R0919", option, "has no effect"]);
        assert!(!desk.path("b.csv").exists());
    }
}

#[test]
fn the_examples_of_its_help_work_as_they_are_printed() {
    let mut desk = TestProject::new();
    let server = PostgresServer::shared().unwrap();
    let database = server.new_database().unwrap();
    desk.set("URL", &server.url(&database));
    desk.write("data.csv", "id;zip\n1;01234\n2;99999\n");
    desk.write(
        "logs/a.jsonl",
        "{\"at\":1,\"level\":\"error\",\"message\":\"m\"}\n{\"at\":2,\"level\":\"info\",\"message\":\"n\"}\n",
    );
    desk.write("o.csv", "id,total\n1,99.5\n2,100.5\n3,250\n");
    let url = server.url(&database);
    desk.ok(".", &["copy", "o.csv", &url, "--into", "public.orders"]);
    let help = desk.ok(".", &["copy", "--help"]);
    let (_, examples) = help.split_once("Example:\n").unwrap();
    let examples: Vec<&str> = examples.lines().map(str::trim).collect();
    assert!(examples.len() >= 5, "{examples:?}");
    let folder = PathBuf::from(env!("CARGO_BIN_EXE_towpath"));
    let path = std::env::var("PATH").unwrap();
    desk.set(
        "PATH",
        &format!("{}:{path}", folder.parent().unwrap().display()),
    );
    for example in examples {
        let run = Command::new("sh")
            .args(["-c", example])
            .current_dir(desk.path("."))
            .envs(desk.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        assert!(run.status.success(), "{example}\n{run:?}");
    }
    let rows = |sql: &str| desk.json(".", &["query", "--format", "json", sql]);
    assert_eq!(
        rows("select id, zip from 'clean.csv' order by id"),
        serde_json::json!([{"id": 1, "zip": "01234"}, {"id": 2, "zip": "99999"}])
    );
    assert_eq!(
        rows("select * from 'errors.parquet'"),
        serde_json::json!([{"at": 1, "message": "m"}])
    );
    assert_eq!(rows("select count(*) n from 'orders.parquet'")[0]["n"], 3);
    let mut large: Vec<String> = desk.read("large.csv").lines().map(str::to_owned).collect();
    large[1..].sort();
    assert_eq!(large, ["id,total", "2,100.5", "3,250.0"]);
}

#[test]
fn a_copy_takes_a_part_of_its_source() {
    let desk = TestProject::new();
    desk.write(
        "a.csv",
        "id,name,at\n1,x,2024-01-01\n2,y,2024-01-02\n3,z,2024-01-03\n",
    );
    desk.ok(
        ".",
        &[
            "copy",
            "a.csv",
            "few.csv",
            "--limit",
            "2",
            "--columns",
            "name,id",
        ],
    );
    assert_eq!(desk.read("few.csv"), "id,name\n1,x\n2,y\n");
    desk.ok(
        ".",
        &[
            "copy",
            "a.csv",
            "some.csv",
            "--columns",
            "name",
            "--where",
            "id >= 2",
        ],
    );
    assert_eq!(desk.read("some.csv"), "name\ny\nz\n");
    let nothing = desk.exits(3, ".", &["copy", "a.csv", "x.csv", "--columns", "nam"]);
    has(&nothing, &["`nam`", "name"]);
    let both = [
        "copy", "a.csv", "x.csv", "--where", "id > 1", "--limit", "1",
    ];
    has(&desk.exits(2, ".", &both), &["error[R0919]", "--query"]);
    let of_a_file = ["copy", "a.csv", "x.csv", "--query", "select 1"];
    has(
        &desk.exits(2, ".", &of_a_file),
        &["error[R0919]", "--query"],
    );
    assert!(!desk.path("x.csv").exists());

    for part in [
        &["--columns", "name", "--where", "id > 1"][..],
        &["--columns", "name"],
        &["--limit", "1"],
    ] {
        let verified = ["copy", "a.csv", "verified.parquet", "--verify"];
        desk.ok(".", &[&verified[..], part].concat());
    }
    desk.ok(".", &["copy", "a.csv", "store.db"]);
    let query = [
        "copy",
        "store.db",
        "--query",
        "select max(id) as most from a",
    ];
    desk.ok(".", &[&query[..], &["most.csv"]].concat());
    assert_eq!(desk.read("most.csv"), "most\n3\n");
    let nameless = desk.exits(2, ".", &[&query[..], &["other.db"]].concat());
    has(&nameless, &["error[R0916]", "--into"]);
    desk.ok(".", &[&query[..], &["other.db", "--into", "top"]].concat());
    let added = [
        "copy",
        "a.csv",
        "store.db",
        "--into",
        "a",
        "--write",
        "insert_only",
        "--key",
        "id",
    ];
    desk.write("a.csv", "id,name,at\n1,new,2024-01-01\n9,n,2024-01-02\n");
    desk.ok(".", &added);
    desk.ok(
        ".",
        &[
            "copy",
            "store.db",
            "--table",
            "a",
            "a2.csv",
            "--where",
            "id in (1, 9)",
            "--columns",
            "id,name",
        ],
    );
    assert_eq!(desk.read("a2.csv"), "id,name\n1,x\n9,n\n");
}
