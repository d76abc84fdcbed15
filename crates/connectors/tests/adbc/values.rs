//! Values that drivers give in other types than they have, or as other values: each arrives exactly, or its row is
//! rejected with its text.

use serde_json::json;
use towpath_testkit::adbc::AdbcDriver;
use towpath_testkit::conformance::read_spec;
use towpath_vocab::{ColumnPlan, RawRecord};

use crate::support::{Database, query};

#[tokio::test(flavor = "multi_thread")]
async fn postgres_gives_every_type_exactly() {
    let database = Database::new(AdbcDriver::Postgres);
    let cases = [
        ("i2", "smallint", "-32768", "smallint", "-32768"),
        (
            "i8",
            "bigint",
            "9223372036854775807",
            "bigint",
            "9223372036854775807",
        ),
        ("n", "numeric", "123.4560", "text", "123.4560"),
        ("n2", "numeric(10,2)", "-1.5", "decimal(10,2)", "-1.50"),
        ("nan", "numeric", "'NaN'", "text", "NaN"),
        ("inf", "numeric", "'-Infinity'", "text", "-Infinity"),
        ("ch", "char(5)", "'x'", "text", "x"),
        ("by", "bytea", "'\\xAA00'", "binary", "aa00"),
        ("d", "date", "'0044-03-15 BC'", "date", "-0043-03-15"),
        ("ttz", "timetz", "'12:00+01'", "text", "12:00:00+01"),
        (
            "ts",
            "timestamp",
            "'2024-01-01 00:00:00.123456'",
            "timestamp",
            "2024-01-01T00:00:00.123456",
        ),
        (
            "tz",
            "timestamptz",
            "'2024-01-01 02:00:00+02'",
            "timestamptz",
            "2024-01-01T00:00:00Z",
        ),
        (
            "iv",
            "interval",
            "'1 mon 2 days 00:00:03'",
            "text",
            "1 mon 2 days 00:00:03",
        ),
        (
            "u",
            "uuid",
            "'3f2504e0-4f89-11d3-9a0c-0305e82c3301'",
            "text",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        ),
        ("jb", "jsonb", "'{\"a\": 1}'", "text", "{\"a\": 1}"),
        ("ine", "inet", "'1.2.3.4'", "text", "1.2.3.4/32"),
        ("m", "mood", "'b'", "text", "b"),
        (
            "a2",
            "int[]",
            "'{{1,2},{3,NULL}}'",
            "text",
            "{{1,2},{3,NULL}}",
        ),
        ("r", "int4range", "'[1,2)'", "text", "[1,2)"),
        ("mo", "money", "'-1.50'", "text", "-1.50"),
        ("o", "oid", "4294967295", "bigint", "4294967295"),
        ("bits", "bit(3)", "'101'", "text", "101"),
    ];
    let list = |of: fn(&(&str, &str, &str, &str, &str)) -> String| {
        cases.iter().map(of).collect::<Vec<_>>().join(", ")
    };
    let columns = list(|(name, own, ..)| format!("{name} {own}"));
    let values = list(|(_, _, value, ..)| (*value).to_owned());
    database.sql(&format!(
        "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t ({columns}); INSERT INTO t VALUES ({values}); INSERT INTO t DEFAULT VALUES"
    ));
    let taken = database.read(&read_spec("t"), None).await.unwrap();
    assert_eq!(taken.rejects, []);
    let (types, rows) = (taken.types(), taken.rows());
    assert_eq!(rows.len(), 2);
    for (name, own, _, data_type, expected) in cases {
        assert_eq!(types[name], data_type, "{own}");
        let text = rows[0][name]
            .as_str()
            .unwrap_or_else(|| panic!("{own}: {}", rows[0][name]));
        assert_eq!(text, expected, "{own}");
        assert_eq!(rows[1][name], json!(null), "{own}");
    }
    let said = taken.notes.join("\n");
    for name in [
        "`n` (numeric)",
        "`a2` (an array of int4)",
        "`mo` (money)",
        "`r` has no Arrow type",
    ] {
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_that_the_driver_of_postgres_cannot_say_are_rejected() {
    let database = Database::new(AdbcDriver::Postgres);
    database.sql(
        "CREATE TABLE t (id int, ts timestamp, d date); INSERT INTO t VALUES
         (1, 'infinity', '2024-01-01'), (2, '-infinity', '2024-01-01'), (3, '2024-01-01', 'infinity'),
         (4, '294276-12-31', '2024-01-01'), (5, '4713-01-01 BC', '4713-02-01 BC'), (6, '2024-01-01', '2024-01-01')",
    );
    let taken = database.read(&read_spec("t"), None).await.unwrap();
    assert_eq!(taken.column("id"), [json!("5"), json!("6")]);
    let rejected = taken.rejects.iter().map(|reject| match &reject.raw {
        RawRecord::Row(row) => {
            serde_json::from_str::<serde_json::Value>(row).unwrap()["id"].clone()
        }
        RawRecord::Text(text) => panic!("{text}"),
    });
    assert_eq!(rejected.collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    let reason = &taken.rejects[2].reasons[0];
    assert_eq!(reason.column.as_deref(), Some("d"));
    assert_eq!(taken.rejects[3].place.ordinal, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_gives_every_type_exactly() {
    let database = Database::new(AdbcDriver::DuckDb);
    let cases = [
        ("b", "BOOLEAN", "true", "bool", "true"),
        (
            "u8",
            "UBIGINT",
            "18446744073709551615",
            "ubigint",
            "18446744073709551615",
        ),
        (
            "h",
            "HUGEINT",
            "-99999999999999999999999999999999999999",
            "decimal(38,0)",
            "-99999999999999999999999999999999999999",
        ),
        (
            "uh",
            "UHUGEINT",
            "340282366920938463463374607431768211455",
            "text",
            "340282366920938463463374607431768211455",
        ),
        ("d", "DECIMAL(18,3)", "1.5", "decimal(18,3)", "1.500"),
        (
            "ts",
            "TIMESTAMP",
            "'2024-01-01 00:00:00.123456'",
            "timestamp",
            "2024-01-01T00:00:00.123456",
        ),
        (
            "tns",
            "TIMESTAMP_NS",
            "'2024-01-01 00:00:00.123456'",
            "timestamp",
            "2024-01-01T00:00:00.123456",
        ),
        (
            "tss",
            "TIMESTAMP_S",
            "'2024-01-01'",
            "timestamp",
            "2024-01-01T00:00:00",
        ),
        (
            "tz",
            "TIMESTAMPTZ",
            "'2024-01-01 02:00:00+02'",
            "timestamptz",
            "2024-01-01T00:00:00Z",
        ),
        ("ttz", "TIMETZ", "'12:00:00+01'", "text", "12:00:00+01"),
        (
            "iv",
            "INTERVAL",
            "INTERVAL '1 month 2 days'",
            "text",
            "1 month 2 days",
        ),
        ("bl", "BLOB", "'\\xAA\\x00'::BLOB", "binary", "aa00"),
        ("e", "ENUM('a', 'b')", "'b'", "text", "b"),
        (
            "u",
            "UUID",
            "'3f2504e0-4f89-11d3-9a0c-0305e82c3301'",
            "text",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        ),
        ("bi", "BIT", "'0101'", "text", "0101"),
        ("j", "JSON", "'{\"a\":1}'", "text", "{\"a\":1}"),
        ("un", "UNION(n INT, s VARCHAR)", "1", "text", "1"),
    ];
    let list = |of: fn(&(&str, &str, &str, &str, &str)) -> String| {
        cases.iter().map(of).collect::<Vec<_>>().join(", ")
    };
    let columns = list(|(name, own, ..)| format!("{name} {own}"));
    let values = list(|(_, _, value, ..)| (*value).to_owned());
    let nulls = list(|_| "NULL".to_owned());
    database.sql(&format!("CREATE TABLE t ({columns})"));
    database.sql(&format!("INSERT INTO t VALUES ({values}), ({nulls})"));
    let taken = database.read(&read_spec("t"), None).await.unwrap();
    assert_eq!(taken.rejects, []);
    let (types, rows) = (taken.types(), taken.rows());
    assert_eq!(rows.len(), 2);
    for (name, own, _, data_type, expected) in cases {
        assert_eq!(types[name], data_type, "{own}");
        let text = rows[0][name]
            .as_str()
            .unwrap_or_else(|| panic!("{own}: {}", rows[0][name]));
        assert_eq!(text, expected, "{own}");
        assert_eq!(rows[1][name], json!(null), "{own}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_values_of_duckdb_keep_their_shape() {
    let database = Database::new(AdbcDriver::DuckDb);
    database.sql("CREATE TABLE t AS SELECT [1, NULL, 3] AS l, {'a': 1, 'b': 'y'} AS s, MAP {'k': 1} AS m, [1, 2]::INT[2] AS f, [340282366920938463463374607431768211455::UHUGEINT] AS u");
    let taken = database.read(&read_spec("t"), None).await.unwrap();
    let row = &taken.rows()[0];
    assert_eq!(row["l"].to_string(), "[1,null,3]");
    assert_eq!(row["s"].to_string(), r#"{"a":1,"b":"y"}"#);
    assert_eq!(row["f"].to_string(), "[1,2]");
    assert_eq!(row["u"], json!("[340282366920938463463374607431768211455]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_duckdb_that_fit_no_type_are_rejected_with_their_text() {
    let database = Database::new(AdbcDriver::DuckDb);
    database.sql(
        "CREATE TABLE t AS FROM (VALUES
         (1, 'infinity'::TIMESTAMP, 1::HUGEINT, '2024-01-01'::TIMESTAMP_NS, [DATE '2024-01-01']),
         (2, '2024-01-01'::TIMESTAMP, 170141183460469231731687303715884105727::HUGEINT, '2024-01-01'::TIMESTAMP_NS, NULL),
         (3, '2024-01-01'::TIMESTAMP, 1::HUGEINT, '2024-01-01 00:00:00.123456789'::TIMESTAMP_NS, NULL),
         (4, '2024-01-01'::TIMESTAMP, 1::HUGEINT, '2024-01-01'::TIMESTAMP_NS, ['-infinity'::DATE]),
         (5, '2024-01-01'::TIMESTAMP, 1::HUGEINT, '2024-01-01'::TIMESTAMP_NS, NULL)) t(id, ts, h, ns, l)",
    );
    let taken = database.read(&read_spec("t"), None).await.unwrap();
    assert_eq!(taken.column("id"), [json!("5")]);
    let columns = taken
        .rejects
        .iter()
        .map(|reject| reject.reasons[0].column.clone().unwrap());
    assert_eq!(columns.collect::<Vec<_>>(), ["ts", "h", "ns", "l"]);
    let RawRecord::Row(row) = &taken.rejects[2].raw else {
        panic!("{:?}", taken.rejects[2].raw);
    };
    assert!(row.contains("2024-01-01T00:00:00.123456789"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_mixes_types_and_no_digit_is_lost() {
    let database = Database::new(AdbcDriver::Sqlite);
    database.sql(
        "CREATE TABLE t (id INTEGER, late, mixed, large, small, none REAL, word);
         WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 3000)
         INSERT INTO t (id, late) SELECT i, CASE WHEN i > 2500 THEN 'x' || i END FROM r;
         UPDATE t SET mixed = 'a', large = 9007199254740993, small = 1, word = 'w' WHERE id = 1;
         UPDATE t SET mixed = 2, large = 1.5, small = 0.1 WHERE id = 2",
    );
    let taken = database.read(&read_spec("t"), None).await.unwrap();
    let types = taken.types();
    let of = |name: &str| types[name].as_str();
    assert_eq!(
        [
            of("id"),
            of("late"),
            of("mixed"),
            of("large"),
            of("small"),
            of("none")
        ],
        ["bigint", "text", "text", "text", "double", "double"]
    );
    let rows = taken.rows();
    assert_eq!(rows.len(), 3_000);
    assert_eq!(rows[2_999]["late"], json!("x3000"));
    assert_eq!(rows[0]["large"], json!("9007199254740993"));
    assert_eq!(rows[1]["large"], json!("1.5"));
    assert_eq!(rows[1]["small"], json!("0.1"));
    assert_eq!(rows[1]["mixed"], json!("2"));
    let blobs = database
        .read(&query("SELECT x'00' AS b UNION ALL SELECT 'a'"), None)
        .await;
    let failure = blobs.err().unwrap();
    assert_eq!(failure.code, "R1408");
    assert!(failure.message.contains("`b`"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_type_is_read_exactly_or_rejected() {
    let database = Database::new(AdbcDriver::DuckDb);
    database.sql("CREATE TABLE t AS FROM (VALUES ('1.50'), ('x'), (NULL)) t(price)");
    let mut spec = read_spec("t");
    spec.declared = vec![ColumnPlan {
        name: "price".to_owned(),
        data_type: Some("decimal(10,2)".to_owned()),
        ..ColumnPlan::default()
    }];
    let taken = database.read(&spec, None).await.unwrap();
    assert_eq!(taken.types()["price"], "decimal(10,2)");
    assert_eq!(taken.column("price"), [json!("1.50"), json!(null)]);
    assert_eq!(taken.rejects.len(), 1);
}
