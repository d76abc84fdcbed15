//! What a table of MySQL cannot hold as it is: refused with a code, never cut, padded, rounded or replaced.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use towpath_vocab::{Remedy, WriteMode};

use crate::support::{Database, intent, write};

fn batch(name: &str, array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, array, true)]).unwrap()
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn numbers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// The code with which rows for `t (v TYPE)` are refused; `None` if they were written.
async fn refused(column: &str, rows: ArrayRef) -> Option<String> {
    let database = Database::with(&format!("CREATE TABLE t (v {column})"));
    let rows = batch("v", rows);
    let wanted = intent(rows.schema(), WriteMode::Append, &[], 1);
    let failure = write(database.destination().as_ref(), wanted, &rows).await;
    let left = database.sql("SELECT count(*) FROM t");
    match failure {
        Ok(_) => {
            assert_eq!(left, rows.num_rows().to_string(), "{column}");
            None
        }
        Err(failure) => {
            assert_eq!(left, "0", "{column}: {failure:?}");
            assert!(failure.message.contains("`v`") || failure.message.contains("'v'"));
            assert!(matches!(
                failure.remedy,
                Remedy::FixData | Remedy::FixConfig
            ));
            Some(failure.code)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_goes_only_where_it_stays_what_it_is() {
    let fits: &[(&str, &[&str])] = &[
        ("varchar(3)", &["äöü", "", " a "]),
        ("char(3)", &["abc", "a"]),
        ("varchar(9) CHARACTER SET latin1", &["Größe"]),
        ("tinytext", &["a"]),
        (
            "text CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            &["A"],
        ),
    ];
    for (column, values) in fits {
        assert_eq!(refused(column, texts(values)).await, None, "{column}");
    }
    let long = "x".repeat(256);
    let blanks = format!("{}  ", "x".repeat(254));
    let wrong: &[(&str, &str, &str)] = &[
        ("varchar(3)", "abcd", "R1023"),
        // MySQL would cut these blanks with no more than a note.
        ("varchar(3)", "abc ", "R1023"),
        ("char(3)", "a ", "R1023"),
        ("varchar(9) CHARACTER SET latin1", "日本", "R1023"),
        ("varchar(9) CHARACTER SET utf8mb3", "\u{1F600}", "R1023"),
        ("tinytext", &long, "R1023"),
        ("tinytext", &blanks, "R1023"),
        ("enum('1', '2')", "3", "R0245"),
        ("set('a')", "a", "R0245"),
        ("int", "1", "R0245"),
    ];
    for (column, value, code) in wrong {
        let found = refused(column, texts(&[value])).await;
        assert_eq!(found.as_deref(), Some(*code), "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_goes_only_where_it_stays_what_it_is() {
    for column in ["bigint", "decimal(19,0)", "decimal(65,30)"] {
        let edges = numbers(&[Some(i64::MIN), Some(i64::MAX), None]);
        assert_eq!(refused(column, edges).await, None, "{column}");
    }
    for column in [
        "int",
        "bigint unsigned",
        "double",
        "decimal(18,0)",
        "float",
        "year",
        "bit(8)",
    ] {
        let found = refused(column, numbers(&[Some(1)])).await;
        assert_eq!(found.as_deref(), Some("R0245"), "{column}");
    }
    // 0 and NULL would become the next number.
    let column = "bigint NOT NULL AUTO_INCREMENT PRIMARY KEY";
    assert_eq!(refused(column, numbers(&[Some(0), Some(-1)])).await, None);
    let found = refused(column, numbers(&[None])).await;
    assert_eq!(found.as_deref(), Some("R1023"));
    let found = refused("bigint NOT NULL", numbers(&[None])).await;
    assert_eq!(found.as_deref(), Some("R1027"));
    let decimals = |precision, scale| {
        let array = Decimal128Array::from(vec![125]);
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    assert_eq!(refused("decimal(5,2)", decimals(5, 2)).await, None);
    assert_eq!(refused("bigint unsigned", decimals(20, 0)).await, None);
    for (column, of) in [
        ("decimal(5,1)", (5, 2)),
        ("decimal(5,2)", (6, 2)),
        ("double", (5, 2)),
    ] {
        let found = refused(column, decimals(of.0, of.1)).await;
        assert_eq!(found.as_deref(), Some("R0245"), "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_goes_only_where_it_stays_what_it_is() {
    let moments = |micros: Option<i64>, zone: Option<&str>| {
        let array = TimestampMicrosecondArray::from(vec![micros]);
        Arc::new(array.with_timezone_opt(zone)) as ArrayRef
    };
    let second = 1_000_000;
    for column in ["datetime(6)", "datetime"] {
        assert_eq!(refused(column, moments(Some(second), None)).await, None);
    }
    let found = refused("datetime(3)", moments(Some(1), None)).await;
    assert_eq!(found.as_deref(), Some("R1023"));
    let utc = Some("UTC");
    assert_eq!(
        refused("timestamp(6) NULL", moments(Some(second), utc)).await,
        None
    );
    let found = refused("timestamp(6) NULL", moments(Some(second), None)).await;
    assert_eq!(found.as_deref(), Some("R0245"), "no time zone is no moment");
    // NULL would become the present time.
    let column = "timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)";
    let found = refused(column, moments(None, utc)).await;
    assert_eq!(found.as_deref(), Some("R1023"));
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_500]));
    assert_eq!(
        refused("datetime(6)", nanos).await.as_deref(),
        Some("R1021")
    );
    let days: ArrayRef = Arc::new(Date32Array::from(vec![2_932_897]));
    assert_eq!(refused("date", days).await.as_deref(), Some("R1021"));
    let late = moments(Some(253_402_300_800 * second), None);
    assert_eq!(refused("datetime(6)", late).await.as_deref(), Some("R1021"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_after_those_of_a_timestamp_is_refused() {
    let database = Database::with("CREATE TABLE t (v timestamp(6) NULL)");
    let array = TimestampMicrosecondArray::from(vec![4_102_444_800_000_000]);
    let rows = batch("v", Arc::new(array.with_timezone("UTC")));
    let wanted = intent(rows.schema(), WriteMode::Append, &[], 1);
    let failure = write(database.destination().as_ref(), wanted, &rows).await;
    assert_eq!(failure.unwrap_err().remedy, Remedy::FixData);
    assert_eq!(database.sql("SELECT count(*) FROM t"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_new_table_are_compared_exactly_and_have_a_length() {
    let database = Database::with("SELECT 1");
    let keys = ["a", "A", "a ", "ä", "a\u{308}", ""];
    let rows = batch("v", texts(&keys));
    let merge = |generation| intent(rows.schema(), WriteMode::Merge, &["v"], generation);
    for generation in 1..=2 {
        let destination = database.destination();
        write(destination.as_ref(), merge(generation), &rows)
            .await
            .unwrap();
        assert_eq!(database.sql("SELECT count(*) FROM t"), "6");
    }
    let long = "é".repeat(768);
    let rows = batch("v", texts(&[&long]));
    let merge = intent(rows.schema(), WriteMode::Merge, &["v"], 3);
    write(database.destination().as_ref(), merge, &rows)
        .await
        .unwrap();
    let rows = batch("v", texts(&[&format!("{long}é")]));
    let merge = intent(rows.schema(), WriteMode::Merge, &["v"], 4);
    let failure = write(database.destination().as_ref(), merge, &rows).await;
    assert_eq!(failure.unwrap_err().code, "R1021");
    assert_eq!(database.sql("SELECT count(*) FROM t"), "7");
}

/// Two of its own keys that the table takes for one are one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_table_are_compared_as_it_compares_them() {
    let database = Database::with(
        "CREATE TABLE t (v varchar(20) CHARACTER SET latin1 PRIMARY KEY, c0 int); INSERT INTO t VALUES ('Anna', 1), ('Bert', 2)",
    );
    let rows = |keys: &[&str]| {
        let numbers: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![7; keys.len()]));
        RecordBatch::try_from_iter_with_nullable([("v", texts(keys), true), ("c0", numbers, true)])
            .unwrap()
    };
    let destination = database.destination();
    let both = rows(&["ANNA", "Carl"]);
    let merge = intent(both.schema(), WriteMode::Merge, &["v"], 1);
    let receipt = write(destination.as_ref(), merge, &both).await.unwrap();
    let stats = receipt.committed.stats;
    assert_eq!((stats.updated, stats.inserted), (1, 1));
    let found = database.sql("SELECT group_concat(v, '=', c0 ORDER BY v) FROM t");
    assert_eq!(found, "Anna=7,Bert=2,Carl=7");
    let twice = rows(&["dora", "Dora"]);
    let merge = intent(twice.schema(), WriteMode::Merge, &["v"], 2);
    let failure = write(destination.as_ref(), merge, &twice)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0242", Remedy::FixData)
    );
}
