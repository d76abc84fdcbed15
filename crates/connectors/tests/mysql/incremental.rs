//! Reads by a cursor: nothing twice, nothing lost, and said where a row cannot be found.

use towpath_ports::ReadSpec;
use towpath_vocab::{CursorPlan, Position};

use crate::support::{Database, Read, by_cursor, read, try_read};

fn stored(read: &Read) -> Position {
    serde_json::from_str(&serde_json::to_string(&read.position).unwrap()).unwrap()
}

fn back(name: &str, column: &str, lookback: u64) -> ReadSpec {
    ReadSpec {
        cursor: Some(CursorPlan {
            column: column.into(),
            lookback,
        }),
        may_repeat: true,
        ..by_cursor(name, column)
    }
}

/// Reads `t` by `c`, adds rows, and reads again: only they come, also those at the last value.
async fn follows(column_type: &str, first: &[&str], then: &[&str], expected: &[i64]) {
    let database = Database::with(&format!(
        "SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, c {column_type})"
    ));
    let add = |from: usize, values: &[&str]| {
        for (at, value) in values.iter().enumerate() {
            database.sql(&format!("INSERT INTO t VALUES ({}, {value})", from + at));
        }
    };
    add(1, first);
    let spec = by_cursor("t", "c");
    let before = read(database.source().as_ref(), &spec, None).await;
    assert_eq!(before.len(), first.len(), "{column_type}");
    add(first.len() + 1, then);
    let after = read(database.source().as_ref(), &spec, Some(&stored(&before))).await;
    assert_eq!(after.numbers("id"), expected, "{column_type}");
    let last = read(database.source().as_ref(), &spec, Some(&stored(&after))).await;
    assert_eq!(last.len(), 0, "{column_type}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_every_type_find_each_new_row_once() {
    follows(
        "bigint unsigned",
        &["18446744073709551613"],
        &["18446744073709551614", "18446744073709551613", "3"],
        &[2, 3],
    )
    .await;
    follows(
        "bigint",
        &["-5", "9007199254740992"],
        &["9007199254740993", "9007199254740992"],
        &[3, 4],
    )
    .await;
    follows(
        "decimal(30,10)",
        &["1.5"],
        &["1.5000000001", "1.5", "1.4999999999"],
        &[2, 3],
    )
    .await;
    follows(
        "date",
        &["'2024-01-01'"],
        &["'2024-01-02'", "'2024-01-01'", "'2023-01-01'"],
        &[2, 3],
    )
    .await;
    follows(
        "datetime(6)",
        &["'2024-01-01 00:00:00.000001'"],
        &[
            "'2024-01-01 00:00:00.000002'",
            "'2024-01-01 00:00:00.000001'",
            "'2024-01-01'",
        ],
        &[2, 3],
    )
    .await;
    follows(
        "timestamp(6) NULL",
        &["'2024-01-01 00:00:00.5'"],
        &["'2024-01-01 00:00:00.500001'", "'2024-01-01 00:00:00.5'"],
        &[2, 3],
    )
    .await;
    follows(
        "varchar(20) CHARACTER SET latin1",
        &["'ä'"],
        &["'b'", "'ä'", "'Ä'", "'ö'"],
        &[3, 4, 5],
    )
    .await;
    follows(
        "varchar(20) CHARACTER SET utf8mb4",
        &["''"],
        &["'😀'", "''"],
        &[2, 3],
    )
    .await;
    follows("year", &["2024"], &["2025", "2024", "2023"], &[2, 3]).await;
    follows("int", &["1"], &["NULL", "2"], &[3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookback_reads_again_from_that_far_back() {
    let database = Database::with(
        "CREATE TABLE t (id int PRIMARY KEY, c datetime, n int unsigned);
         INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (2, '2024-01-01 00:01:00', 5), (3, '2024-01-01 00:02:00', 10)",
    );
    for (column, lookback, expected) in [
        ("c", 60, vec![2, 3]),
        ("c", 61, vec![2, 3]),
        ("c", u64::MAX, vec![1, 2, 3]),
        ("n", 5, vec![2, 3]),
        ("n", 4, vec![3]),
        ("n", u64::MAX, vec![1, 2, 3]),
    ] {
        let spec = back("t", column, lookback);
        let first = read(database.source().as_ref(), &spec, None).await;
        let again = read(database.source().as_ref(), &spec, Some(&stored(&first))).await;
        assert_eq!(again.numbers("id"), expected, "{column} {lookback}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_by_a_cursor_is_refused() {
    let database = Database::with(
        "CREATE TABLE t (id int PRIMARY KEY, e enum('b','a'), f double, b blob, d time, v varchar(9));
         CREATE TABLE old (id int PRIMARY KEY) ENGINE = MyISAM; INSERT INTO old VALUES (1)",
    );
    for column in ["e", "f", "b", "d"] {
        let refused = try_read(database.source().as_ref(), &by_cursor("t", column), None).await;
        assert_eq!(refused.unwrap_err().code, "R1014", "{column}");
    }
    let refused = try_read(database.source().as_ref(), &back("t", "v", 1), None).await;
    assert_eq!(refused.unwrap_err().code, "R1014");
    let refused = try_read(database.source().as_ref(), &by_cursor("t", "idd"), None).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, "R1011");
    assert!(format!("{refused:?}").contains("`id`"));
    // An engine without snapshots shows what is written meanwhile.
    let refused = try_read(database.source().as_ref(), &by_cursor("old", "id"), None).await;
    assert_eq!(refused.unwrap_err().code, "R1017");
    let read = read(database.source().as_ref(), &back("old", "id", 1), None).await;
    assert_eq!(read.len(), 1);
    assert!(read.notes.iter().any(|note| note.contains("no snapshots")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_with_values_in_old_rows_is_noticed() {
    let database =
        Database::with("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let spec = by_cursor("t", "id");
    let first = read(database.source().as_ref(), &spec, None).await;
    database.sql("ALTER TABLE t ADD COLUMN x int DEFAULT 5; INSERT INTO t VALUES (3, 6)");
    let next = read(database.source().as_ref(), &spec, Some(&stored(&first))).await;
    assert_eq!(next.numbers("id"), [3]);
    assert!(
        next.notes.iter().any(|note| note.contains("`x`")),
        "{:?}",
        next.notes
    );
    let again = ReadSpec {
        may_repeat: true,
        ..by_cursor("t", "id")
    };
    let all = read(database.source().as_ref(), &again, Some(&stored(&first))).await;
    assert_eq!(all.numbers("id"), [1, 2, 3]);
}
