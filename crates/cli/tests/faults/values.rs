//! Faults in the contents of files. Each file is loaded over a good version with thirty rows.

use crate::fault_project::FaultProject;

/// Good rows of `a,b`.
const GOOD: u64 = 30;

fn good() -> String {
    let rows: String = (0..GOOD).map(|n| format!("{n},word {n}\n")).collect();
    format!("a,b\n{rows}")
}

/// A ground whose table holds the good version.
fn loaded(table: &str) -> FaultProject {
    let ground = FaultProject::new("data", table);
    ground.put("data/t.csv", good());
    ground.run().is(0, &["30 loaded"]);
    ground
}

/// What became of a fault.
enum Then {
    /// The load was stopped: the good version still stands.
    Stopped,
    /// So many rows were loaded, and so many rejected.
    Loaded(u64, u64),
}

/// Loads a faulty file over the good version.
#[track_caller]
fn fault(table: &str, bytes: &[u8], code: i32, words: &[&str], then: Then) -> FaultProject {
    let ground = loaded(table);
    ground.put("data/t.csv", bytes);
    ground.run().is(code, words);
    let held = match ground
        .towpath(&["quarantine", "ls", "--format", "json"])
        .text
        .contains("raw.t")
    {
        true => ground.number("select count(*) from _quarantine.\"raw.t\""),
        false => 0,
    };
    match then {
        Then::Stopped => assert_eq!(ground.rows(), GOOD),
        Then::Loaded(rows, bad) => {
            assert_eq!((ground.rows(), held), (rows, bad));
            ground.run().is(0, &["Nothing to do"]);
        }
    }
    ground
}

fn good_and(more: &[u8]) -> Vec<u8> {
    [good().as_bytes(), more].concat()
}

#[test]
fn a_missing_file() {
    let ground = loaded("from: t.csv");
    std::fs::remove_file(ground.dir().join("data/t.csv")).unwrap();
    ground.run().is(1, &["R0101", "data/t.csv"]);
    assert_eq!(ground.rows(), GOOD);
    ground.put("data/t.csv", good());
    ground
        .run()
        .is(0, &["Nothing to do", "1 table is unchanged"]);
}

#[test]
fn an_empty_file() {
    fault(
        "from: t.csv",
        b"",
        3,
        &["R0108", "data/t.csv", "write its header line"],
        Then::Stopped,
    );
}

#[test]
fn a_header_without_rows() {
    let words = [
        "R0660",
        "no rows",
        "the table has 30",
        "--fail-above raw.t=100%",
    ];
    fault("from: t.csv", b"a,b\n", 3, &words, Then::Stopped);
    let accepted = "from: t.csv, fail_above: 100%";
    fault(
        accepted,
        b"a,b\n",
        0,
        &["the 30 rows of the table were removed"],
        Then::Loaded(0, 0),
    );
    let check = "from: t.csv, fail_above: 100%, checks: [{ row_count: { min: 1 } }]";
    fault(
        check,
        b"a,b\n",
        3,
        &[
            "raw.t",
            "the table would hold 0 rows",
            "the previous version",
            "towpath quality raw.t",
        ],
        Then::Stopped,
    );
}

#[test]
fn a_ragged_row() {
    let words = [
        "1 row rejected",
        "the record has 3 fields, the header has 2",
        "data/t.csv:32",
        "quarantine show raw.t",
    ];
    fault(
        "from: t.csv",
        &good_and(b"1,2,3\n"),
        0,
        &words,
        Then::Loaded(30, 1),
    );
    let words = [
        "R0623",
        "the limit is 10 %",
        "data/t.csv:3",
        "towpath run --fail-above raw.t=",
    ];
    fault(
        "from: t.csv",
        b"a,b\n1,2\n3\n4,5\n",
        3,
        &words,
        Then::Stopped,
    );
    let words = [
        "R0622",
        "first bad row",
        "data/t.csv:32",
        "bad_rows: quarantine",
    ];
    fault(
        "from: t.csv, bad_rows: fail",
        &good_and(b"1,2,3\n"),
        3,
        &words,
        Then::Stopped,
    );
}

#[test]
fn a_quote_that_is_never_closed() {
    let words = ["never properly closed", "data/t.csv:32"];
    fault(
        "from: t.csv",
        &good_and(b"30,\"open\n31,x\n32,y\n"),
        0,
        &words,
        Then::Loaded(32, 1),
    );
}

#[test]
fn bytes_that_are_no_utf_8() {
    let words = [
        "data/t.csv:32",
        "not valid in this encoding",
        "`encoding` sets a different one",
    ];
    fault(
        "from: t.csv",
        &good_and(b"30,\xff\xfe\n31,x\n"),
        0,
        &words,
        Then::Loaded(31, 1),
    );
}

#[test]
fn fifty_megabytes_in_one_cell() {
    let mut bytes = good_and(b"30,\"");
    bytes.extend(std::iter::repeat_n(b'y', 50_000_000));
    bytes.extend(b"\"\n31,x\n");
    let ground = fault(
        "from: t.csv",
        &bytes,
        0,
        &["No row was lost"],
        Then::Loaded(32, 0),
    );
    assert_eq!(
        ground.number("select max(length(b)) from raw.t"),
        50_000_000
    );
    let words = [
        "longer than 1000000 bytes",
        "data/t.csv:32",
        "max_record_bytes",
    ];
    fault(
        "from: t.csv, max_record_bytes: 1000000",
        &bytes,
        0,
        &words,
        Then::Loaded(31, 1),
    );
}

#[test]
fn column_names_twice() {
    let words = ["columns of `data/t.csv` with a repeated name are named `a_1`"];
    fault("from: t.csv", b"a,a\n1,2\n", 0, &words, Then::Loaded(1, 0));
    let words = [
        "R0618",
        "`Order Id` and `order_id` both become `order_id`",
        "names: exact",
    ];
    fault(
        "from: t.csv",
        b"Order Id,order_id\n1,2\n",
        1,
        &words,
        Then::Stopped,
    );
}

#[test]
fn names_with_spaces_and_umlauts() {
    let ground = FaultProject::new("data", "from: \"größe der straße.csv\"");
    ground.put(
        "data/größe der straße.csv",
        "Straße Nr,\"Größe, in cm\"\n1,2\n",
    );
    ground.run().is(0, &["1 loaded"]);
    assert_eq!(
        ground.number("select strasse_nr + grosse_in_cm from raw.t"),
        3
    );
    let ground = FaultProject::new("data", "from: t.csv, rename_all: exact");
    ground.put("data/t.csv", "Straße Nr,\"Größe \"\"in\"\" cm\"\n1,2\n");
    ground.run().is(0, &["1 loaded"]);
    assert_eq!(
        ground.number("select \"Straße Nr\" + \"Größe \"\"in\"\" cm\" from raw.t"),
        3
    );
}

#[test]
fn nan_and_infinity() {
    let table = "from: t.csv, columns: { b: { type: double } }";
    let ground = FaultProject::new("data", table);
    ground.put(
        "data/t.csv",
        "a,b\n1,1.5\n2,NaN\n3,inf\n4,-Infinity\n5,-0.0\n",
    );
    ground.run().is(0, &["5 read = 5 loaded"]);
    let said = ground.towpath(&[
        "query",
        "--format",
        "json",
        "select b from raw.t order by a",
    ]);
    said.is(0, &["1.5", "\"NaN\"", "\"inf\"", "\"-inf\"", "-0.0"]);
    let ground = FaultProject::new(
        "data",
        "from: t.csv, columns: { b: { type: \"decimal(10,2)\" } }",
    );
    let rows: String = (0..GOOD).map(|n| format!("{n},1.5\n")).collect();
    ground.put("data/t.csv", format!("a,b\n{rows}30,NaN\n"));
    ground.run().is(0, &["data/t.csv:32", "NaN"]);
    assert_eq!(ground.rows(), GOOD);
}

#[test]
fn dates_out_of_range() {
    let rows: String = (0..GOOD).map(|n| format!("{n},2024-01-01\n")).collect();
    let ground = FaultProject::new("data", "from: t.csv, columns: { b: { type: date } }");
    ground.put(
        "data/t.csv",
        format!("a,b\n{rows}30,0001-01-01\n31,9999-12-31\n32,10000-01-01\n33,2023-02-29\n"),
    );
    ground.run().is(
        0,
        &[
            "2 rows rejected",
            "data/t.csv:34",
            "10000-01-01",
            "34 read = 32 loaded + 2 rejected",
        ],
    );
    assert_eq!(
        ground
            .number("select count(*) from raw.t where b in (date '0001-01-01', date '9999-12-31')"),
        2
    );
}

#[test]
fn numerics_beyond_38_digits() {
    let long = "123456789012345678901234567890123456789.5";
    let rows: String = (0..GOOD).map(|n| format!("{n},1.5\n")).collect();
    let bytes = format!("a,b\n{rows}30,{long}\n");
    let ground = FaultProject::new("data", "from: t.csv");
    ground.put("data/t.csv", &bytes);
    let said = ground.run();
    said.is(
        0,
        &["`b` is read as text: no number type can store all its digits"],
    );
    assert_eq!(
        said.text.matches("is read as text").count(),
        1,
        "{}",
        said.text
    );
    assert_eq!(
        ground.number(&format!("select count(*) from raw.t where b = '{long}'")),
        1
    );
    let ground = FaultProject::new(
        "data",
        "from: t.csv, columns: { b: { type: \"decimal(38,2)\" } }",
    );
    ground.put("data/t.csv", &bytes);
    ground.run().is(
        0,
        &["data/t.csv:32", "does not fit `decimal(38,2)` exactly"],
    );
    assert_eq!(ground.rows(), GOOD);
    let ground = FaultProject::new(
        "data",
        "from: t.csv, columns: { b: { type: \"decimal(40,2)\" } }",
    );
    ground.run().is(
        2,
        &[
            "T0401",
            "pipelines/p.yml:6",
            "`decimal(40,2)` is not a type",
        ],
    );
}

#[test]
fn a_column_that_changes_its_type_between_files() {
    let ground = FaultProject::new("data", "from: '*.csv'");
    ground.put("data/1.csv", "a,b\n1,2\n");
    ground.put("data/2.csv", "a,b\n3,x\n");
    ground.run().is(0, &["2 read = 2 loaded"]);
    assert_eq!(
        ground.number("select count(*) from raw.t where b in ('2', 'x')"),
        2
    );
}

#[test]
fn a_column_that_changes_its_type_between_runs() {
    let ground = FaultProject::new("data", "from: t.csv, write: append");
    ground.put("data/t.csv", "a,b\n1,2\n");
    ground.run().is(0, &["1 loaded"]);
    ground.put("data/t.csv", "a,b\n3,x\n");
    ground.run().is(
        3,
        &[
            "R0623",
            "is not a valid `bigint`, the type of this column so far",
            "declare a different one",
        ],
    );
    assert_eq!(ground.number("select sum(b) from raw.t"), 2);
    // One way out keeps all rows.
    ground.put(
        "pipelines/p.yml",
        "steps:\n  extract:\n    load: data\n    into: raw\n    tables:\n      t: { from: t.csv, write: append, columns: { b: { type: text } } }\n",
    );
    ground.run().is(0, &["1 loaded"]);
    let both = "select count(*) from raw.t where b in ('2', 'x')";
    assert_eq!(ground.number(both), 2);
    // The other one says what is gone.
    ground.towpath(&["run", "--full-refresh"]).is(
        0,
        &[
            "1 loaded",
            "rows before: 2, now: 1; `--full-refresh` replaced the table",
            "towpath lake restore raw.t --to",
        ],
    );
    assert_eq!(ground.number("select count(*) from raw.t where b = 'x'"), 1);
}

#[test]
fn a_wider_type_keeps_all_rows() {
    let ground = FaultProject::new("data", "from: t.csv, write: append");
    ground.put("data/t.csv", "a,b\n1,2\n");
    ground.run().is(0, &["1 loaded"]);
    ground.put("data/t.csv", "a,b\n3,2.5\n");
    ground.run().is(0, &["1 loaded"]);
    assert_eq!(
        ground.number("select count(*) from raw.t where b in (2, 2.5)"),
        2
    );
    ground.put("data/t.csv", "a,c\n4,x\n");
    ground.run().is(
        0,
        &[
            "new columns, NULL in rows that are not read again: `c`",
            "columns that no longer come are NULL in the rows that are read now: `b`",
        ],
    );
    assert_eq!(
        ground.number("select count(*) from raw.t where b is null and c = 'x'"),
        1
    );
}
