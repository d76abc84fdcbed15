//! Foreign keys, triggers and readers of a table that is written: what others have is not changed behind their
//! backs, not shown, and not kept waiting.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use towpath_ports::Commit;
use towpath_testkit::mariadb::PASSWORD;
use towpath_vocab::{Failure, Remedy, WriteMode};

use crate::support::{Database, destination_at, intent, prepare, write};

fn rows(columns: &[(&str, &[i64])]) -> RecordBatch {
    let columns = columns.iter().map(|(name, values)| {
        let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        (*name, values, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

async fn put(url: &str, mode: WriteMode, rows: &RecordBatch) -> Result<(), Failure> {
    let wanted = intent(rows.schema(), mode, &["id"], 1);
    write(destination_at(url).as_ref(), wanted, rows)
        .await
        .map(|_| ())
}

fn refused(failure: Failure) {
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R1024", Remedy::Refused),
        "{failure:?}"
    );
}

/// Of a table that the user cannot see, a user with PROCESS is told.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_of_tables_that_are_not_visible_are_noticed() {
    let database = Database::with(
        "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE `t ü` (id bigint PRIMARY KEY)",
    );
    let (name, port) = (&database.name, database.server.port());
    let other = format!("`{name}-others`");
    database.sql(&format!(
        "CREATE DATABASE {other}; \
         CREATE TABLE {other}.child (t bigint, FOREIGN KEY (t) REFERENCES {name}.t (id) ON DELETE CASCADE); \
         INSERT INTO {other}.child VALUES (1); \
         CREATE USER `p_{name}` IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON {name}.* TO `p_{name}`; \
         GRANT PROCESS ON *.* TO `p_{name}`"
    ));
    let url = format!("mysql://p_{name}:{PASSWORD}@127.0.0.1:{port}/{name}");
    let incoming = rows(&[("id", &[2])]);
    let failure = put(&url, WriteMode::Replace, &incoming).await.unwrap_err();
    assert!(failure.message.contains("-others.child"), "{failure:?}");
    refused(failure);
    let left = database.sql(&format!("SELECT count(*) FROM {other}.child"));
    assert_eq!(left, "1");
    put(&url, WriteMode::Append, &incoming).await.unwrap();
    database.sql(&format!("DROP DATABASE {other}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_another_table_would_follow_are_refused() {
    let database = Database::with(
        "CREATE TABLE t (id bigint PRIMARY KEY, code bigint UNIQUE, v bigint); INSERT INTO t VALUES (1, 10, 0); \
         CREATE TABLE child (code bigint, FOREIGN KEY (code) REFERENCES t (code) ON UPDATE CASCADE); \
         INSERT INTO child VALUES (10)",
    );
    let url = database.url();
    let all = rows(&[("id", &[1]), ("code", &[11]), ("v", &[5])]);
    let failure = put(&url, WriteMode::Merge, &all).await.unwrap_err();
    assert!(failure.help.join(" ").contains("ON UPDATE"), "{failure:?}");
    refused(failure);
    assert_eq!(database.sql("SELECT code FROM child"), "10");
    // Nothing follows the other column, and an insertion changes no row.
    let some = rows(&[("id", &[1]), ("v", &[5])]);
    put(&url, WriteMode::Merge, &some).await.unwrap();
    let new = rows(&[("id", &[2]), ("code", &[20]), ("v", &[0])]);
    let wanted = intent(new.schema(), WriteMode::InsertOnly, &["id"], 2);
    write(database.destination().as_ref(), wanted, &new)
        .await
        .unwrap();
    assert_eq!(
        database.sql("SELECT group_concat(id, '=', v ORDER BY id) FROM t"),
        "1=5,2=0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_that_is_made_during_a_load_is_noticed() {
    let database =
        Database::with("CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let child =
        "CREATE TABLE child (t bigint, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)";
    let incoming = rows(&[("id", &[2])]);
    let wanted = intent(incoming.schema(), WriteMode::Replace, &["id"], 1);
    let destination = database.destination();
    // Before the rows are applied, and after that.
    let mut writer = destination.begin(wanted.clone()).await.unwrap();
    writer.write(incoming.clone(), None).await.unwrap();
    database.sql(&format!("{child}; INSERT INTO child VALUES (1)"));
    let failure = writer.prepare().await.err().unwrap();
    refused(failure);
    database.sql("DROP TABLE child");
    if database.server.is_mysql() {
        // It lets nobody define the key before the transaction ends.
        return;
    }
    let prepared = prepare(destination.as_ref(), wanted, &incoming).await;
    database.sql(child);
    let failure = prepared.unwrap().commit(Commit::default()).await;
    refused(failure.unwrap_err());
    assert_eq!(database.sql("SELECT group_concat(id) FROM t"), "1,2");
}

/// A new column waits for an open read, and lets other reads through meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn readers_do_not_wait_for_a_new_column() {
    let database = Database::with("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)");
    let (server, name) = (Arc::clone(&database.server), database.name.clone());
    let reading = std::thread::spawn(move || {
        // It is killed.
        let _ = server.sql(&name, "BEGIN; SELECT * FROM t; DO SLEEP(600)");
    });
    let process = |condition: &str| {
        let sql = format!(
            "SELECT coalesce(max(id), 0) FROM information_schema.processlist WHERE db = database() AND {condition}"
        );
        database.sql(&sql)
    };
    let until = async |condition: &str| loop {
        match process(condition) {
            id if id == "0" => tokio::time::sleep(Duration::from_millis(20)).await,
            id => return id,
        }
    };
    let reader = until("info LIKE 'DO SLEEP%'").await;
    let url = database.url();
    let writing = tokio::spawn(async move {
        let wider = rows(&[("id", &[2]), ("more", &[3])]);
        put(&url, WriteMode::Append, &wider).await
    });
    for _ in 0..3 {
        until("info LIKE 'ALTER TABLE%'").await;
        let read = "SET lock_wait_timeout = 30; SELECT count(*) FROM t";
        assert_eq!(database.sql(read), "1");
    }
    database.sql(&format!("KILL {reader}"));
    reading.join().unwrap();
    writing.await.unwrap().unwrap();
    assert_eq!(database.sql("SELECT sum(more) FROM t"), "3");
}

/// What a trigger says, or the value that no partition takes, is the data of others.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_triggers_and_partitions_show_no_values() {
    let trigger = "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SIGNAL SQLSTATE '45000' SET ";
    for (table, code) in [
        (
            format!(
                "CREATE TABLE t (id bigint); {trigger} MESSAGE_TEXT = 'no 424242 here', MYSQL_ERRNO = 1054"
            ),
            "R1027",
        ),
        (
            format!("CREATE TABLE t (id bigint); {trigger} MESSAGE_TEXT = '424242'"),
            "R1027",
        ),
        (
            "CREATE TABLE t (id bigint) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10))"
                .to_owned(),
            "R1027",
        ),
    ] {
        let database = Database::with(&table);
        let incoming = rows(&[("id", &[424_242])]);
        let failure = put(&database.url(), WriteMode::Append, &incoming).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(!format!("{failure:?}").contains("424242"), "{failure:?}");
        assert_eq!(database.sql("SELECT count(*) FROM t"), "0");
    }
}

/// Without LOAD DATA, a row that has no room in a packet is refused before it is sent; one that has room goes alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_too_long_for_a_packet_is_refused_by_its_size() {
    let server = ["--local-infile=0", "--max-allowed-packet=1M"];
    let database = Database::alone(&server, "CREATE TABLE t (v longtext)");
    let texts = |lengths: &[usize]| {
        let values = lengths.iter().map(|length| "x".repeat(*length));
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(values));
        RecordBatch::try_from_iter_with_nullable([("v", values, true)]).unwrap()
    };
    let fits = texts(&[200_000, 500_000, 10, 520_000, 1]);
    let wanted = intent(fits.schema(), WriteMode::Append, &[], 1);
    write(database.destination().as_ref(), wanted, &fits)
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT sum(length(v)) FROM t"), "1220011");
    for length in [524_288, 3_000_000] {
        let long = texts(&[1, length, 1]);
        let wanted = intent(long.schema(), WriteMode::Append, &[], 2);
        let failure = write(database.destination().as_ref(), wanted, &long).await;
        let failure = failure.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R1018", Remedy::FixConfig)
        );
    }
    assert_eq!(database.sql("SELECT count(*) FROM t"), "5");
}
