//! Incremental reads by cursors of every class, with lookback, and while others write.

use futures::StreamExt as _;
use serde_json::json;
use towpath_ports::{Assignment, Event, ReadSpec};
use towpath_testkit::adbc::AdbcDriver;
use towpath_testkit::conformance::read_spec;
use towpath_vocab::{CursorPlan, ReadMode};

use crate::support::{Database, taken};

fn by(column: &str, lookback: u64) -> ReadSpec {
    ReadSpec {
        mode: ReadMode::Incremental,
        cursor: Some(CursorPlan {
            column: column.to_owned(),
            lookback,
        }),
        ..read_spec("t")
    }
}

fn ids(rows: &[serde_json::Value]) -> Vec<i64> {
    let id = |row: &serde_json::Value| row["id"].as_str().unwrap().parse().unwrap();
    let mut ids: Vec<i64> = rows.iter().map(id).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn every_class_of_cursor_gives_each_row_once() {
    let typed = [
        ("int", ["1", "2", "3"]),
        ("numeric(20,4)", ["1.0001", "1.0002", "1.0003"]),
        ("date", ["'2024-01-01'", "'2024-01-02'", "'2024-01-03'"]),
        (
            "timestamp",
            [
                "'2024-01-01 00:00:00.000001'",
                "'2024-01-01 00:00:00.000002'",
                "'2024-01-01 00:00:00.000003'",
            ],
        ),
        (
            "timestamp with time zone",
            [
                "'2024-01-01 00:00:00.000001+00'",
                "'2024-01-01 02:00:00.000002+02'",
                "'2024-01-01 00:00:00.000003+00'",
            ],
        ),
        ("text", ["'a''\\'", "'b''\\'", "'c''\\'"]),
    ];
    for driver in [AdbcDriver::Postgres, AdbcDriver::DuckDb, AdbcDriver::Sqlite] {
        for (data_type, [a, b, c]) in typed {
            // SQLite has integers and texts.
            if driver == AdbcDriver::Sqlite && !matches!(data_type, "int" | "text") {
                continue;
            }
            let database = Database::new(driver);
            database.sql(&format!(
                "CREATE TABLE t (id int, c {data_type}); INSERT INTO t VALUES (1, {a}), (2, {b}), (3, {b}), (4, NULL)"
            ));
            let first = database.read(&by("c", 0), None).await.unwrap();
            assert_eq!(ids(&first.rows()), [1, 2, 3, 4], "{driver:?} {data_type}");
            database.sql(&format!("INSERT INTO t VALUES (5, {b}), (6, {c})"));
            let next = database
                .read(&by("c", 0), Some(&first.position))
                .await
                .unwrap();
            assert_eq!(ids(&next.rows()), [5, 6], "{driver:?} {data_type}");
            let last = database
                .read(&by("c", 0), Some(&next.position))
                .await
                .unwrap();
            assert_eq!(ids(&last.rows()), [0; 0], "{driver:?} {data_type}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookback_reads_again_what_is_within_it() {
    let database = Database::new(AdbcDriver::Postgres);
    database.sql("CREATE TABLE t (id int, at timestamp); INSERT INTO t VALUES (1, '2024-01-01 10:00'), (2, '2024-01-01 10:30'), (3, '2024-01-01 10:59')");
    let first = database.read(&by("at", 3600), None).await.unwrap();
    assert_eq!(first.rows().len(), 3);
    database.sql("INSERT INTO t VALUES (4, '2024-01-01 10:10'), (5, '2024-01-01 11:00'), (6, '2024-01-01 09:00')");
    let next = database
        .read(&by("at", 1800), Some(&first.position))
        .await
        .unwrap();
    assert_eq!(ids(&next.rows()), [2, 3, 5]);
    assert!(next.notes.join(" ").contains("lookback"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_while_a_read_goes_on_come_with_the_next_one() {
    let database = Database::new(AdbcDriver::Postgres);
    database.sql("CREATE TABLE t (id int, c int); INSERT INTO t SELECT i, i / 10 FROM generate_series(0, 999) i");
    let mut spec = by("c", 0);
    spec.batch_rows = 10;
    let mut reader = database.reader(&spec, None).await.unwrap();
    // After the read was opened: at its end, below it and above it.
    database.sql("INSERT INTO t VALUES (1000, 99), (1001, 99), (1002, 100)");
    let mut splits = reader.splits();
    let mut seen = Vec::new();
    let mut position = None;
    while let Some(assignment) = splits.next().await {
        match assignment.unwrap() {
            Assignment::Revoked(split) => panic!("{split:?} is taken back"),
            Assignment::Complete(at) => position = Some(at),
            Assignment::Assigned(mut split) => {
                while let Some(event) = split.events.next().await {
                    if let Event::Rows(rows) = event.unwrap() {
                        let batch = &rows.batch;
                        seen.extend((0..batch.num_rows()).map(|row| {
                            let row = towpath_ports::row_as_json(batch, row);
                            serde_json::from_str::<serde_json::Value>(&row).unwrap()
                        }));
                    }
                }
            }
        }
    }
    assert_eq!(ids(&seen), (0..1000).collect::<Vec<i64>>());
    let next = database.read(&spec, position.as_ref()).await.unwrap();
    assert_eq!(ids(&next.rows()), [1000, 1001, 1002]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_dropped_leaves_the_database_to_others() {
    let database = Database::new(AdbcDriver::DuckDb);
    database.sql("CREATE TABLE t AS SELECT range AS id FROM range(3000000)");
    let mut spec = read_spec("t");
    spec.batch_rows = 1_000;
    let mut reader = database.reader(&spec, None).await.unwrap();
    {
        let mut splits = reader.splits();
        let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await else {
            panic!("no split");
        };
        assert!(matches!(
            split.events.next().await,
            Some(Ok(Event::Rows(_)))
        ));
    }
    drop(reader);
    // Another process waits for the file, and gets it.
    database.sql("DELETE FROM t WHERE id > 2");
    let rest = taken(database.reader(&spec, None).await.unwrap())
        .await
        .unwrap();
    assert_eq!(rest.column("id"), [json!("0"), json!("1"), json!("2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_without_order_is_no_cursor() {
    let database = Database::new(AdbcDriver::DuckDb);
    database.sql("CREATE TABLE t AS SELECT 1 AS id, 1.5::DOUBLE AS d, INTERVAL '1 day' AS i");
    for column in ["d", "i"] {
        let failure = database.read(&by(column, 0), None).await.err().unwrap();
        assert_eq!(failure.code, "R1410", "{}", failure.message);
    }
}
