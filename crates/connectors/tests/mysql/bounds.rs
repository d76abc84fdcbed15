//! What a table of MySQL cannot hold as it is: refused with a code, never cut, padded, rounded or replaced.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use towpath_ports::{Commit, DELETE_ABSENT};
use towpath_vocab::{Remedy, SchemaChange, WriteMode};

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
        (
            "enum('1', 'it''s', 'a\\\\b', '')",
            &["it's", "1", "", "a\\b"],
        ),
        ("enum('Größe') CHARACTER SET latin1", &["Größe"]),
        ("set('a', 'b c', 'ü')", &["", "b c", "a,ü", "a,b c,ü"]),
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
        // MySQL would take it for the number of a member, or for another spelling of one.
        ("enum('b', 'a')", "1", "R1023"),
        ("enum('b', 'a')", "A", "R1023"),
        ("enum('b', 'a')", "a ", "R1023"),
        // A set has its members in their order, each once.
        ("set('a', 'b')", "b,a", "R1023"),
        ("set('a', 'b')", "a,a", "R1023"),
        ("set('a', 'b')", "a,c", "R1023"),
        ("set('a', 'b')", "A", "R1023"),
        ("set('a', 'b')", "a,", "R1023"),
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
    let years = numbers(&[Some(1901), Some(2155), Some(0), None]);
    assert_eq!(refused("year", years).await, None);
    // MySQL would make 2024 of 24.
    for year in [24, 1900, 2156, -1] {
        let found = refused("year", numbers(&[Some(year)])).await;
        assert_eq!(found.as_deref(), Some("R1023"), "{year}");
    }
    for column in [
        "bigint unsigned",
        "double",
        "float",
        "bit(8)",
        "int zerofill",
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
    for column in ["double", "int", "decimal(60,0)"] {
        let found = refused(column, decimals(38, 10)).await;
        assert_eq!(found.as_deref(), Some("R0245"), "{column}");
    }
}

/// A number's column gets a wider type, and keeps whatever else its definition says.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_numbers_is_widened_as_it_is_defined() {
    let wide = |rows: ArrayRef| batch("v", rows);
    let decimals = Decimal128Array::from(vec![125]).with_precision_and_scale(12, 4);
    let cases: [(&str, ArrayRef, &str); 6] = [
        (
            "smallint(5) unsigned NOT NULL DEFAULT 7 COMMENT 'no, it''s'",
            numbers(&[Some(-70_000)]),
            "bigint(20) NOT NULL DEFAULT 7 COMMENT 'no, it''s'",
        ),
        (
            "mediumint NOT NULL AUTO_INCREMENT PRIMARY KEY",
            numbers(&[Some(i64::MAX)]),
            "bigint(20) NOT NULL AUTO_INCREMENT",
        ),
        (
            "tinyint CHECK (`v` < 100)",
            Arc::new(arrow_array::UInt16Array::from(vec![99])),
            "mediumint(9) DEFAULT NULL CHECK (`v` < 100)",
        ),
        (
            "tinyint(3) unsigned",
            Arc::new(arrow_array::UInt64Array::from(vec![u64::MAX])),
            "bigint(20) unsigned DEFAULT NULL",
        ),
        (
            "float NOT NULL DEFAULT 1.5",
            Arc::new(arrow_array::Float64Array::from(vec![0.1])),
            "double NOT NULL DEFAULT 1.5",
        ),
        (
            "decimal(10,2) NOT NULL",
            Arc::new(decimals.unwrap()),
            "decimal(12,4) NOT NULL",
        ),
    ];
    for (before, rows, after) in cases {
        let database = Database::with(&format!("CREATE TABLE t (v {before})"));
        let rows = wide(rows);
        let mut strict = intent(rows.schema(), WriteMode::Append, &[], 1);
        strict.write.schema_change = SchemaChange::Fail;
        let failure = write(database.destination().as_ref(), strict.clone(), &rows).await;
        assert_eq!(failure.unwrap_err().code, "R0246", "{before}");
        let evolving = intent(rows.schema(), WriteMode::Append, &[], 1);
        write(database.destination().as_ref(), evolving, &rows)
            .await
            .unwrap();
        let mut after = after.to_owned();
        if database.server.is_mysql() {
            // It quotes numbers, and has no checks before 8.0.16.
            for (plain, quoted) in [
                ("DEFAULT 7", "DEFAULT '7'"),
                ("DEFAULT 1.5", "DEFAULT '1.5'"),
            ] {
                after = after.replace(plain, quoted);
            }
            after = after.replace(" CHECK (`v` < 100)", "");
        }
        let found = database.sql("SHOW CREATE TABLE t");
        assert!(found.contains(&format!("`v` {after}")), "{after}: {found}");
        let back = database.read("t").await;
        assert_eq!(back.len(), 1);
    }
}

/// In MariaDB `json` is a text that must be JSON; MySQL keeps what a document says, and not all numbers and names.
#[tokio::test(flavor = "multi_thread")]
async fn json_goes_into_json() {
    let documents = [
        "{\"a\":1.10}",
        "[]",
        "null",
        "{\"b\" : \"\\u00e9 \\\": 12345678901234567890.5\", \"a\":{\"b\":[1,-0.5e3,123456789012345678]}}",
    ];
    assert_eq!(refused("json", texts(&documents)).await, None);
    let database = Database::with("CREATE TABLE t (v json)");
    let lost = [
        "{\"a\":1,\"a\":2}",
        "[12345678901234567890123]",
        "[0.12345678901234567891]",
        "[1234567890123456e5]",
    ];
    for document in lost {
        let code = database.server.is_mysql().then(|| "R1023".to_owned());
        assert_eq!(
            refused("json", texts(&[document])).await,
            code,
            "{document}"
        );
    }
    let rows = batch("v", texts(&["{"]));
    let wanted = intent(rows.schema(), WriteMode::Append, &[], 1);
    let failure = write(database.destination().as_ref(), wanted, &rows).await;
    let code = match database.server.is_mysql() {
        false => "R1027",
        true => "R1023",
    };
    assert_eq!(failure.unwrap_err().code, code);
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
    let mut keys = vec!["a", "A", "ä", "a\u{308}", ""];
    // MySQL before 8.0.17 has no collation for it: there it is refused (R0242).
    if !database.server.is_mysql() {
        keys.push("a ");
    }
    let rows = batch("v", texts(&keys));
    let merge = |generation| intent(rows.schema(), WriteMode::Merge, &["v"], generation);
    for generation in 1..=2 {
        let destination = database.destination();
        write(destination.as_ref(), merge(generation), &rows)
            .await
            .unwrap();
        assert_eq!(
            database.sql("SELECT count(*) FROM t"),
            keys.len().to_string()
        );
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
    let count = (keys.len() + 1).to_string();
    assert_eq!(database.sql("SELECT count(*) FROM t"), count);
}

fn keyed(keys: &[&str]) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![7; keys.len()]));
    RecordBatch::try_from_iter_with_nullable([("v", texts(keys), true), ("c0", numbers, true)])
        .unwrap()
}

/// Where a table takes two keys for one that differ, one of two rows would be lost.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_table_takes_for_one_are_refused() {
    let collations = [
        ("CHARACTER SET latin1", "Anna", "ANNA"),
        ("COLLATE utf8mb4_general_ci", "cafe", "café"),
        ("COLLATE utf8mb4_bin", "a", "a "),
    ];
    for (collation, one, other) in collations {
        let database = Database::with(&format!(
            "CREATE TABLE t (v varchar(20) {collation} PRIMARY KEY, c0 int) DEFAULT CHARACTER SET utf8mb4; \
             INSERT INTO t VALUES ('{one}', 1), ('Bert', 2)"
        ));
        let destination = database.destination();
        let write_keys = |mode, keys: &[&str], generation| {
            let rows = keyed(keys);
            let wanted = intent(rows.schema(), mode, &["v"], generation);
            let destination = Arc::clone(&destination);
            async move { write(destination.as_ref(), wanted, &rows).await }
        };
        for mode in [
            WriteMode::Merge,
            WriteMode::InsertOnly,
            WriteMode::DeleteInsert,
        ] {
            let failure = write_keys(mode, &[other, "Carl"], 1).await.unwrap_err();
            assert_eq!(
                (failure.code.as_str(), failure.remedy),
                ("R0253", Remedy::FixData),
                "{collation} {mode:?}"
            );
        }
        let found = "SELECT group_concat(v, '=', c0 ORDER BY c0) FROM t";
        assert_eq!(database.sql(found), format!("{one}=1,Bert=2"));
        let receipt = write_keys(WriteMode::Merge, &[one, "Carl"], 1).await;
        let stats = receipt.unwrap().committed.stats;
        assert_eq!((stats.updated, stats.inserted), (1, 1));
        let failure = write_keys(WriteMode::Merge, &[one, other], 2).await;
        assert_eq!(failure.unwrap_err().code, "R0242");
        // A write of all rows says that the other spelling is gone.
        let rows = keyed(&[other, "Bert"]);
        let mut whole = intent(rows.schema(), WriteMode::Merge, &["v"], 2);
        whole
            .write
            .options
            .insert(DELETE_ABSENT.to_owned(), true.into());
        write(destination.as_ref(), whole, &rows).await.unwrap();
        let spelled = "SELECT concat(count(*), sum(CAST(CONVERT(v USING utf8mb4) AS BINARY)";
        let found = format!("{spelled} = CAST('{other}' AS BINARY))) FROM t");
        assert_eq!(database.sql(&found), "21", "{collation}");
    }
}

/// Of changes, a new spelling comes as a deletion and an insertion.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_its_spelling_is_not_two() {
    let database = Database::with(
        "CREATE TABLE t (v varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY, c0 int); INSERT INTO t VALUES ('Anna', 1)",
    );
    let change = |rows: Vec<(&'static str, u8)>, generation| {
        let destination = database.destination();
        async move {
            let keys: Vec<&str> = rows.iter().map(|(key, _)| *key).collect();
            let ops: Vec<u8> = rows.iter().map(|(_, op)| *op).collect();
            let batch = keyed(&keys);
            let wanted = intent(batch.schema(), WriteMode::Merge, &["v"], generation);
            let mut writer = destination.begin(wanted).await?;
            let ops = arrow_array::UInt8Array::from(ops);
            writer.write(batch, Some(ops)).await?;
            writer.prepare().await?.commit(Commit::default()).await
        }
    };
    change(vec![("Anna", 2), ("ANNA", 0)], 1).await.unwrap();
    let found = "SELECT group_concat(v, '=', c0 ORDER BY v) FROM t";
    assert_eq!(database.sql(found), "ANNA=7");
    for rows in [vec![("anna", 0)], vec![("Bert", 0), ("BERT", 1)]] {
        let failure = change(rows, 2).await.unwrap_err();
        assert_eq!(failure.code, "R0253");
    }
    assert_eq!(database.sql(found), "ANNA=7");
}
