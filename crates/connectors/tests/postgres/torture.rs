//! Values other tools change without a word, one by one.

use arrow_array::Array;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use arrow_schema::{DataType, TimeUnit};
use towpath_vocab::types::SOURCE_TYPE;
use towpath_vocab::{ColumnPlan, RawRecord};

use crate::support::{Database, Read, read, read_table, table};

/// Reads `SELECT value::type` through a table; gives the type and what came.
async fn one(type_name: &str, values: &[&str]) -> (Database, Read) {
    let rows: Vec<String> = values
        .iter()
        .map(|value| format!("({value}::{type_name})"))
        .collect();
    let database = Database::with(&format!(
        "CREATE TABLE t (v {type_name}); INSERT INTO t VALUES {}",
        rows.join(", ")
    ));
    let read = read_table(&database, "t").await;
    (database, read)
}

fn texts(read: &Read) -> Vec<String> {
    read.column("v")
        .into_iter()
        .map(|value| value.unwrap_or_else(|| "NULL".into()))
        .collect()
}

fn data_type(read: &Read) -> DataType {
    read.schema.as_ref().unwrap().field(0).data_type().clone()
}

fn stands_for(read: &Read) -> Option<String> {
    read.schema
        .as_ref()
        .unwrap()
        .field(0)
        .metadata()
        .get(SOURCE_TYPE)
        .cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn decimals_are_exact_or_text_or_set_aside() {
    let long = "123456789012345678901234567890.123456789012345678";
    let (_db, read) = one(
        "numeric",
        &[
            &format!("'{long}'"),
            "'NaN'",
            "'Infinity'",
            "'-0.00010'",
            "'1e20'",
            "0",
            "NULL",
        ],
    )
    .await;
    assert_eq!(data_type(&read), DataType::Utf8);
    assert_eq!(stands_for(&read).as_deref(), Some("numeric"));
    assert_eq!(
        texts(&read),
        [
            long,
            "NaN",
            "Infinity",
            "-0.00010",
            "100000000000000000000",
            "0",
            "NULL"
        ]
    );

    let (_db, read) = one(
        "numeric(38,10)",
        &[
            "'1234567890123456789012345678.0123456789'",
            "-1.5",
            "'NaN'",
            "NULL",
        ],
    )
    .await;
    assert_eq!(data_type(&read), DataType::Decimal128(38, 10));
    assert_eq!(
        texts(&read),
        [
            "1234567890123456789012345678.0123456789",
            "-1.5000000000",
            "NULL"
        ]
    );
    assert_eq!(read.rejects.len(), 1);
    assert_eq!(read.rejects[0].reasons[0].code, "type");
    assert_eq!(
        read.rejects[0].raw,
        RawRecord::Row("{\"v\":\"NaN\"}".into())
    );

    let wide = "123456789012345678901234567890.123456789012345678901234567890";
    let (_db, read) = one("numeric(60,30)", &[&format!("'{wide}'")]).await;
    assert_eq!(
        (texts(&read), stands_for(&read).as_deref()),
        (vec![wide.to_owned()], Some("numeric(60,30)"))
    );
    let (_db, read) = one("numeric(3,5)", &["0.00123"]).await;
    assert_eq!(
        (data_type(&read), texts(&read)),
        (DataType::Decimal128(5, 5), vec!["0.00123".to_owned()])
    );
    let (_db, read) = one("numeric(2,-3)", &["12345"]).await;
    assert_eq!(
        (data_type(&read), texts(&read)),
        (DataType::Decimal128(5, 0), vec!["12000".to_owned()])
    );
    let (_db, read) = one("money", &["'-1234.56'"]).await;
    assert_eq!(
        (texts(&read), stands_for(&read).as_deref()),
        (vec!["-1234.56".to_owned()], Some("money"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_keep_nan_infinity_and_the_last_bit() {
    let (_db, read) = one(
        "float8",
        &["'NaN'", "'-Infinity'", "0.1", "5e-324", "'-0'", "NULL"],
    )
    .await;
    let values = read.batches[0]
        .column(0)
        .as_primitive::<Float64Type>()
        .clone();
    assert!(values.value(0).is_nan());
    assert_eq!(values.value(1), f64::NEG_INFINITY);
    assert_eq!(values.value(2).to_bits(), 0.1_f64.to_bits());
    assert_eq!(values.value(3).to_bits(), 1);
    assert!(values.value(4).is_sign_negative());
    assert!(values.is_null(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn infinite_and_late_times_are_set_aside_by_name() {
    let (_db, read) = one(
        "date",
        &[
            "'infinity'",
            "'-infinity'",
            "'0044-03-15 BC'",
            "'9999-12-31'",
            "NULL",
        ],
    )
    .await;
    assert_eq!(texts(&read), ["9999-12-31", "NULL"]);
    let values: Vec<_> = read
        .rejects
        .iter()
        .map(|reject| reject.reasons[0].value.clone().unwrap())
        .collect();
    assert_eq!(values, ["infinity", "-infinity", "0044-03-15 BC"]);
    assert_eq!(read.rejects[0].place.to_string(), "public.t row 1");
    assert_eq!(read.ordinals, [3, 4], "kept rows keep their numbers");

    let (_db, read) = one(
        "timestamptz",
        &[
            "'2024-02-29 23:59:59.999999+02'",
            "'infinity'",
            "'294276-12-31 23:59:59.999999 UTC'",
        ],
    )
    .await;
    assert_eq!(
        data_type(&read),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    );
    assert_eq!(texts(&read), ["2024-02-29T21:59:59.999999Z"]);
    assert_eq!(
        read.rejects[1].reasons[0].value.as_deref(),
        Some("294276-12-31 23:59:59.999999+00")
    );
    assert_eq!(
        read.rejects[1].reasons[0].message,
        "the year is not between 1 and 9999"
    );

    let (_db, read) = one(
        "timestamp",
        &[
            "'0001-01-01 00:00:00'",
            "'4713-01-01 00:00 BC'",
            "'9999-12-31 23:59:59.999999'",
            "'10000-01-01'",
        ],
    )
    .await;
    let values = read.batches[0]
        .column(0)
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!(values.value(0), -62_135_596_800_000_000);
    assert_eq!(values.value(1), 253_402_300_799_999_999);
    let rejected: Vec<_> = read.rejects.iter().map(|reject| &reject.raw).collect();
    assert_eq!(
        rejected,
        [
            &RawRecord::Row(r#"{"v":"4713-01-01 00:00:00 BC"}"#.into()),
            &RawRecord::Row(r#"{"v":"10000-01-01 00:00:00"}"#.into()),
        ]
    );
}

/// A rejected record holds the whole array, so that it can be read again as another type.
#[tokio::test(flavor = "multi_thread")]
async fn an_array_that_fits_no_list_is_kept_as_the_server_prints_it() {
    for (type_name, arrays) in [
        (
            "int4[]",
            vec![
                "{{1,NULL},{3,4}}",
                "[0:1]={7,8}",
                "[-1:0][2:3]={{1,2},{3,4}}",
            ],
        ),
        (
            "text[]",
            vec![
                r#"{{a,NULL},{"NULL",""}}"#,
                r#"{{"a b","q\"\\"},{"{","x,y"}}"#,
            ],
        ),
        (
            "date[]",
            vec!["{2024-02-29,infinity}", r#"{"0044-03-15 BC",NULL}"#],
        ),
        ("timestamptz[]", vec![r#"{"10000-01-01 00:00:00+00"}"#]),
        ("float8[]", vec!["{{0.1,NaN},{Infinity,-0}}"]),
        ("numeric(10,2)[]", vec!["{{1.50,NaN}}"]),
        ("bytea[]", vec![r#"{{"\\x00ff"}}"#]),
        ("bool[]", vec!["{{t,f}}"]),
        ("uuid[]", vec!["{{8a6e0804-2bd0-4672-b79d-d97027f9071a}}"]),
    ] {
        let values: Vec<String> = arrays.iter().map(|array| format!("'{array}'")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let (database, read) = one(type_name, &values).await;
        let rejected: Vec<_> = read
            .rejects
            .iter()
            .map(|reject| match &reject.raw {
                RawRecord::Row(row) => {
                    let row: serde_json::Value = serde_json::from_str(row).unwrap();
                    row["v"].as_str().unwrap().to_owned()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let printed = database.sql("SELECT v::text FROM t");
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(rejected, printed, "{type_name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_arrow_type_is_the_servers_own_text() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("time", "'04:05:06.789'", "04:05:06.789", "time"),
        ("time", "'24:00'", "24:00:00", "time"),
        (
            "timetz",
            "'04:05:06.789+05:30'",
            "04:05:06.789+05:30",
            "timetz",
        ),
        (
            "interval",
            "'1 year 2 mons -3 days 04:05:06.7'",
            "1 year 2 mons -3 days +04:05:06.7",
            "interval",
        ),
        ("int4range", "'[1,5)'", "[1,5)", "int4range"),
        (
            "tsrange",
            "'[2024-01-01,)'",
            "[\"2024-01-01 00:00:00\",)",
            "tsrange",
        ),
        ("inet", "'::1'", "::1/128", "inet"),
        ("inet", "'10.0.0.1/8'", "10.0.0.1/8", "inet"),
        ("cidr", "'10.0.0.0/8'", "10.0.0.0/8", "cidr"),
        (
            "macaddr",
            "'08:00:2b:01:02:03'",
            "08:00:2b:01:02:03",
            "macaddr",
        ),
        (
            "uuid",
            "'8A6E0804-2BD0-4672-B79D-D97027F9071A'",
            "8a6e0804-2bd0-4672-b79d-d97027f9071a",
            "uuid",
        ),
        (
            "json",
            "'{\"a\": 1.10, \"a\":{} }'",
            "{\"a\": 1.10, \"a\":{} }",
            "json",
        ),
        ("jsonb", "'1.10'", "1.10", "jsonb"),
        ("jsonb", "'null'", "null", "jsonb"),
        ("jsonb", "'{}'", "{}", "jsonb"),
        ("bit(3)", "B'101'", "101", "bit"),
        ("point", "'(1,2)'", "(1,2)", "point"),
    ];
    for (type_name, value, expected, stands) in cases {
        let (_db, read) = one(type_name, &[value, "NULL"]).await;
        // `::text` of an inet shows a mask only where it says something.
        let expected = if *expected == "::1/128" {
            "::1/128"
        } else {
            expected
        };
        assert_eq!(
            texts(&read),
            [expected.to_owned(), "NULL".to_owned()],
            "{type_name}"
        );
        assert!(
            stands_for(&read).unwrap().starts_with(stands),
            "{type_name}"
        );
        assert_eq!(data_type(&read), DataType::Utf8, "{type_name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_bytes_are_what_they_were() {
    let (_db, read) = one(
        "text",
        &["''", "'NULL'", "'Größe 😀'", "E'a\\nb\\t\\\\'", "NULL"],
    )
    .await;
    assert_eq!(texts(&read), ["", "NULL", "Größe 😀", "a\nb\t\\", "NULL"]);
    let (_db, read) = one("bytea", &["''", "'\\x00ff'", "NULL"]).await;
    let bytes = read.batches[0].column(0).as_binary::<i32>().clone();
    assert_eq!(
        (bytes.value(0), bytes.value(1), bytes.is_null(2)),
        (&b""[..], &b"\x00\xff"[..], true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_enums_domains_and_composites() {
    let (_db, read) = one(
        "int4[]",
        &[
            "'{1,NULL,3}'",
            "'{}'",
            "'{{1,2},{3,4}}'",
            "'[0:1]={7,8}'",
            "NULL",
        ],
    )
    .await;
    assert_eq!(texts(&read), ["[1,null,3]", "[]", "NULL"]);
    assert_eq!(
        read.rejects.len(),
        2,
        "a list of lists and other bounds do not fit"
    );
    let (_db, read) = one("numeric(10,2)[]", &["'{1.5,-2}'"]).await;
    assert_eq!(texts(&read), [r#"["1.50","-2.00"]"#]);
    let (_db, read) = one("interval[]", &["'{1 day}'"]).await;
    assert_eq!(
        (texts(&read), stands_for(&read).as_deref()),
        (vec![r#"["1 day"]"#.to_owned()], Some("interval[]"))
    );

    let database = Database::with(
        "CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE TYPE pair AS (a int, b text); CREATE EXTENSION citext;
         CREATE DOMAIN price AS numeric(8,2) CHECK (VALUE >= 0); CREATE DOMAIN dear AS price;
         CREATE TABLE t (m mood, p pair, d dear, c citext, o oid, ms mood[]);
         INSERT INTO t VALUES ('so so', (1, 'x y'), 12.5, 'MiXed', 4294967295, '{sad}'), (NULL, NULL, NULL, NULL, NULL, NULL);",
    );
    let read = read_table(&database, "t").await;
    assert_eq!(
        read.rows()[0],
        r#"{"m":"so so","p":"(1,\"x y\")","d":"12.50","c":"MiXed","o":"4294967295","ms":["sad"]}"#
    );
    assert_eq!(
        read.rows()[1],
        r#"{"m":null,"p":null,"d":null,"c":null,"o":null,"ms":null}"#
    );
    assert!(
        read.notes.iter().any(|note| note.contains("`p` (pair)")),
        "{:?}",
        read.notes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_type_wins_where_it_stays_exact() {
    let database = Database::with(
        "CREATE TABLE t (n numeric, a int[]); INSERT INTO t VALUES (1.25, '{{1},{2}}'), (1.255, '{}')",
    );
    let declare = |name: &str, word: &str| ColumnPlan {
        name: name.into(),
        data_type: Some(word.into()),
        ..ColumnPlan::default()
    };
    let mut spec = table("t");
    spec.declared = vec![declare("n", "decimal(10,2)"), declare("a", "text")];
    let read = read(database.source().as_ref(), &spec, None).await;
    assert_eq!(read.rows(), [r#"{"n":"1.25","a":"{{1},{2}}"}"#]);
    assert_eq!(read.rejects[0].reasons[0].value.as_deref(), Some("1.255"));
    assert_eq!(
        read.rejects[0].raw,
        RawRecord::Row(r#"{"n":"1.255","a":"{}"}"#.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_columns_is_bounded_by_its_bytes() {
    let columns: Vec<String> = (0..1400).map(|at| format!("c{at} int")).collect();
    let nulls: Vec<String> = (0..100).map(|at| format!("n{at} numeric(30,2)")).collect();
    let values: Vec<String> = (0..1400).map(|at| format!("g + {at}")).collect();
    let database = Database::with(&format!(
        "CREATE TABLE wide ({}, {}); INSERT INTO wide SELECT {} FROM generate_series(1, 500) g",
        columns.join(", "),
        nulls.join(", "),
        values.join(", "),
    ));
    let mut spec = table("wide");
    spec.batch_bytes = 256 << 10;
    let read = read(database.source().as_ref(), &spec, None).await;
    assert_eq!(read.len(), 500);
    for batch in &read.batches {
        let bytes = batch.get_array_memory_size();
        assert!(
            bytes < 1 << 20,
            "{bytes} bytes in {} rows",
            batch.num_rows()
        );
    }
}
