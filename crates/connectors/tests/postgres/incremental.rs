//! Incremental reads: ties, NULL cursors, transactions that commit late.

use serde_json::json;
use towpath_vocab::{CursorPlan, Position, ReadMode, Remedy};

use crate::support::{Database, by_cursor, read, table, try_read};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at); \
    INSERT INTO t VALUES (1, '2024-01-01'), (2, '2024-01-02'), (3, '2024-01-02'), (4, NULL);";

async fn next(database: &Database, from: &Position) -> (Vec<i64>, Position) {
    let read = read(
        database.source().as_ref(),
        &by_cursor("t", "at"),
        Some(from),
    )
    .await;
    (read.numbers("id"), read.position)
}

async fn first(database: &Database) -> (Vec<i64>, Position) {
    next(database, &Position::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn new_rows_ties_and_null_cursors_are_read_once() {
    let database = Database::with(TABLE);
    let (ids, position) = first(&database).await;
    assert_eq!(ids, [1, 2, 3, 4]);
    let (ids, position) = next(&database, &position).await;
    assert_eq!(ids, [0_i64; 0], "nothing is new");
    database.sql("INSERT INTO t VALUES (5, '2024-01-02'), (6, '2024-01-03'), (7, NULL); UPDATE t SET at = '2024-02-01' WHERE id = 1;");
    let (ids, position) = next(&database, &position).await;
    assert_eq!(
        ids,
        [1, 5, 6, 7],
        "a tie, a new one, one without a cursor, a changed one"
    );
    // Positions survive being stored.
    let stored = serde_json::to_string(&position).unwrap();
    let (ids, _) = next(&database, &serde_json::from_str(&stored).unwrap()).await;
    assert_eq!(ids, [0_i64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_commits_late_is_never_lost() {
    let database = Database::with(TABLE);
    let late = database.client().await;
    late.batch_execute("BEGIN; INSERT INTO t VALUES (10, '2023-12-01'); SAVEPOINT s; INSERT INTO t VALUES (11, '2023-12-02'); RELEASE s")
        .await
        .unwrap();
    // Begun before the read, but it writes only after it.
    let later = database.client().await;
    later.batch_execute("BEGIN; SELECT now()").await.unwrap();
    database.sql("INSERT INTO t VALUES (12, '2024-03-01')");

    let (ids, position) = first(&database).await;
    assert_eq!(ids, [1, 2, 3, 4, 12]);
    late.batch_execute("COMMIT").await.unwrap();
    later
        .batch_execute("INSERT INTO t VALUES (13, '2023-11-01'); COMMIT")
        .await
        .unwrap();
    let (ids, position) = next(&database, &position).await;
    assert_eq!(ids, [10, 11, 13], "late rows came, and no other");
    let (ids, _) = next(&database, &position).await;
    assert_eq!(ids, [0_i64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn holding_back_reads_each_row_exactly_once() {
    let database = Database::alone(TABLE);
    let mut spec = by_cursor("t", "at");
    spec.options.insert("late_rows".into(), json!("hold"));
    let source = database.source();
    let open = database.client().await;
    open.batch_execute("BEGIN; INSERT INTO t VALUES (10, '2023-12-01')")
        .await
        .unwrap();
    database.sql("INSERT INTO t VALUES (11, '2024-03-01')");
    let one = read(source.as_ref(), &spec, None).await;
    assert_eq!(
        one.numbers("id"),
        [1, 2, 3, 4],
        "11 is newer than the open transaction"
    );
    open.batch_execute("COMMIT").await.unwrap();
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [10, 11]);
    let three = read(source.as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.numbers("id"), [0_i64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lookback_trusts_the_cursor_and_reads_ties_again() {
    let database = Database::with(TABLE);
    let mut spec = by_cursor("t", "at");
    spec.options.insert("late_rows".into(), json!("lookback"));
    let source = database.source();
    let one = read(source.as_ref(), &spec, None).await;
    assert_eq!(one.numbers("id"), [1, 2, 3, 4]);
    assert!(
        one.notes
            .iter()
            .any(|note| note == "1 rows have no `at`: they are read by the first load only"),
        "{:?}",
        one.notes
    );
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [2, 3]);
    spec.cursor = Some(CursorPlan {
        column: "at".into(),
        lookback: 86_400,
    });
    let three = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(three.numbers("id"), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_all_kinds_of_cursors() {
    let database = Database::with(
        "CREATE TABLE t (id int8, d date, n numeric(10,2), x text, f float8); \
         INSERT INTO t VALUES (1, '2024-01-01', 1.5, 'a', 1), (2, 'infinity', 'NaN', 'b', 'NaN'), (3, '2024-01-03', 3.5, 'c', 3); \
         CREATE VIEW v AS SELECT * FROM t;",
    );
    let source = database.source();
    for column in ["id", "d", "n", "x", "f"] {
        let one = read(source.as_ref(), &by_cursor("v", column), None).await;
        assert!(
            one.notes
                .iter()
                .any(|note| note.contains("carry no transaction")),
            "{:?}",
            one.notes
        );
        let two = read(
            source.as_ref(),
            &by_cursor("v", column),
            Some(&one.position),
        )
        .await;
        let expected: &[i64] = if column == "f" || column == "n" {
            &[2, 3]
        } else {
            &[3]
        };
        // Infinite dates and NaN sort last and are set aside or read again: never lost.
        let mut seen = two.numbers("id");
        seen.extend(two.rejects.iter().map(|_| 2));
        seen.sort_unstable();
        let expected = if column == "d" { &[2, 3][..] } else { expected };
        assert_eq!(seen, expected, "{column}");
    }
    let mut spec = by_cursor("t", "id");
    spec.cursor = Some(CursorPlan {
        column: "id".into(),
        lookback: 1,
    });
    let one = read(source.as_ref(), &spec, None).await;
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.len() + two.rejects.len(), 2, "two and three again");
    spec.cursor = Some(CursorPlan {
        column: "x".into(),
        lookback: 1,
    });
    assert_eq!(
        try_read(source.as_ref(), &spec, None)
            .await
            .unwrap_err()
            .code,
        "R0214"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_read_by_the_same_rule() {
    let database = Database::with(
        "CREATE TABLE t (id int, at timestamptz) PARTITION BY RANGE (id); \
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20); \
         INSERT INTO t VALUES (1, '2024-01-01'), (11, '2024-01-02');",
    );
    let (ids, position) = first(&database).await;
    assert_eq!(ids, [1, 11]);
    database.sql("INSERT INTO t VALUES (2, '2020-01-01'), (12, '2025-01-01')");
    assert_eq!(next(&database, &position).await.0, [2, 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_do_not_belong_are_refused_and_limits_keep_them() {
    let database = Database::with(TABLE);
    let (_, position) = first(&database).await;
    database.sql("ALTER TABLE t ADD COLUMN other timestamptz");
    let source = database.source();
    let failure = try_read(source.as_ref(), &by_cursor("t", "other"), Some(&position))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0216", Remedy::FixConfig)
    );
    assert!(
        failure
            .message
            .contains("it was read by `at`, now the cursor is `other`")
    );
    let mut limited = by_cursor("t", "at");
    limited.limit = Some(1);
    assert_eq!(
        read(source.as_ref(), &limited, Some(&position))
            .await
            .position,
        position
    );
    let full = table("t");
    assert_eq!(full.mode, ReadMode::Full);
    assert!(read(source.as_ref(), &full, None).await.position.is_empty());
    // Another database: its transactions mean nothing there, the cursor does.
    let other = Database::with(TABLE);
    let moved = read(
        other.source().as_ref(),
        &by_cursor("t", "at"),
        Some(&position),
    )
    .await;
    assert_eq!(moved.numbers("id"), [2, 3]);
    assert!(
        moved
            .notes
            .iter()
            .any(|note| note.contains("another server")),
        "{:?}",
        moved.notes
    );
}
