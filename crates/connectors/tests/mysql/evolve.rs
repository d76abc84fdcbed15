//! Wider types of columns that several tasks, or others, change at the same time.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Decimal128Array, RecordBatch};
use towpath_vocab::{Failure, Remedy, WriteMode};

use crate::support::{Database, destination_at, intent, write};

fn decimals(value: i128, precision: u8, scale: i8) -> RecordBatch {
    let array = Decimal128Array::from(vec![value]);
    let array: ArrayRef = Arc::new(array.with_precision_and_scale(precision, scale).unwrap());
    RecordBatch::try_from_iter_with_nullable([("v", array, true)]).unwrap()
}

/// Writes as a task of its own, again as often as it may be.
async fn put(url: String, step: &'static str, rows: RecordBatch) -> Result<(), Failure> {
    for _ in 0..20 {
        let mut wanted = intent(rows.schema(), WriteMode::Append, &[], 1);
        wanted.task.step = step.into();
        match write(destination_at(&url).as_ref(), wanted, &rows).await {
            Err(failure) if failure.remedy == Remedy::Retry => {}
            written => return written.map(|_| ()),
        }
    }
    panic!("it did not come through");
}

/// Starts a read that holds the table until it is killed; gives its number.
async fn hold(database: &Database) -> (String, std::thread::JoinHandle<()>) {
    let (server, name) = (Arc::clone(&database.server), database.name.clone());
    let held = std::thread::spawn(move || {
        // It is killed.
        let _ = server.sql(&name, "BEGIN; SELECT * FROM t; DO SLEEP(600)");
    });
    (
        until(database, "max(id)", "info LIKE 'DO SLEEP%'").await,
        held,
    )
}

/// Waits until there is an answer from the list of sessions.
async fn until(database: &Database, what: &str, condition: &str) -> String {
    let sql = format!(
        "SELECT coalesce({what}, '') FROM information_schema.processlist WHERE db = database() AND {condition}"
    );
    loop {
        match database.sql(&sql) {
            answer if answer.is_empty() => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => return answer,
        }
    }
}

/// What one needs before the point and the other behind it: the column gets both, and no digit is lost.
#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_that_widen_one_column_take_no_digits_from_each_other() {
    let database = Database::with(
        "CREATE TABLE t (v decimal(10,2) DEFAULT 7 COMMENT 'old'); INSERT INTO t VALUES (0.25)",
    );
    let (reader, held) = hold(&database).await;
    let precise = tokio::spawn(put(database.url(), "precise", decimals(12_345, 12, 4)));
    let large = tokio::spawn(put(
        database.url(),
        "large",
        decimals(12_345_678_901_234_567_890, 20, 2),
    ));
    // Both have looked at the column, and wait.
    let waiting = "info LIKE 'LOCK TABLES%' OR info LIKE 'ALTER TABLE%'";
    until(
        &database,
        "nullif(count(*) > 1, 0)",
        &format!("({waiting})"),
    )
    .await;
    database.sql(&format!("KILL {reader}"));
    held.join().unwrap();
    precise.await.unwrap().unwrap();
    large.await.unwrap().unwrap();
    let found = database.sql("SELECT group_concat(v ORDER BY v SEPARATOR ' ') FROM t");
    assert_eq!(found, "0.2500 1.2345 123456789012345678.9000");
    let found = database.sql("SHOW CREATE TABLE t");
    let default = match database.server.is_mysql() {
        false => "7.0000",
        true => "'7.0000'",
    };
    let wanted = format!("`v` decimal(22,4) DEFAULT {default} COMMENT 'old'");
    assert!(found.contains(&wanted), "{found}");
}

/// What others change while a write waits is what it begins from.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_others_change_meanwhile_is_not_taken_back() {
    let database = Database::with("CREATE TABLE t (v decimal(10,2))");
    let (reader, held) = hold(&database).await;
    let (server, name) = (Arc::clone(&database.server), database.name.clone());
    let others = std::thread::spawn(move || {
        let sql = "SET lock_wait_timeout = 600; ALTER TABLE t MODIFY v decimal(16,6) COMMENT 'of others'; \
                   INSERT INTO t VALUES (0.123456)";
        server.sql(&name, sql).unwrap();
    });
    until(&database, "max(id)", "info LIKE 'ALTER TABLE t %'").await;
    let large = tokio::spawn(put(database.url(), "large", decimals(7, 20, 2)));
    until(
        &database,
        "max(id)",
        "info LIKE 'LOCK TABLES%' OR info LIKE 'ALTER TABLE `%'",
    )
    .await;
    database.sql(&format!("KILL {reader}"));
    held.join().unwrap();
    others.join().unwrap();
    large.await.unwrap().unwrap();
    let found = database.sql("SELECT group_concat(v ORDER BY v SEPARATOR ' ') FROM t");
    assert_eq!(found, "0.070000 0.123456");
    let found = database.sql("SHOW CREATE TABLE t");
    assert!(
        found.contains("decimal(24,6) DEFAULT NULL COMMENT 'of others'"),
        "{found}"
    );
}
