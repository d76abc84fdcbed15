//! Row versions come once, whoever froze, locked, prepared or restored them.

use std::process::Command;
use std::sync::Arc;

use towpath_testkit::postgres::PostgresServer;

use crate::support::{Database, by_cursor, read, try_read};

const TABLE: &str =
    "CREATE TABLE t (id int PRIMARY KEY, at int); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)";

/// A server that can prepare transactions.
fn prepares() -> Database {
    let settings = [("max_prepared_transactions", "10")];
    let server = Arc::new(PostgresServer::start_with(&settings).unwrap());
    let name = "postgres".into();
    let database = Database { server, name };
    database.sql(TABLE);
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_frozen_before_they_are_read_come_once() {
    let database = Database::with(TABLE);
    let (source, spec) = (database.source(), by_cursor("t", "at"));
    let one = read(source.as_ref(), &spec, None).await;
    let late = database.client().await;
    late.batch_execute("BEGIN; INSERT INTO t VALUES (4, 1)")
        .await
        .unwrap();
    database.sql("INSERT INTO t VALUES (5, 5)");
    database.sql("VACUUM (FREEZE) t");
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [5]);
    late.batch_execute("COMMIT").await.unwrap();
    database.sql("VACUUM (FREEZE) t");
    let three = read(source.as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.numbers("id"), [4]);
    let four = read(source.as_ref(), &spec, Some(&three.position)).await;
    assert_eq!(four.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_and_savepoints_come_when_they_are_committed() {
    let database = prepares();
    let (source, spec) = (database.source(), by_cursor("t", "at"));
    let one = read(source.as_ref(), &spec, None).await;
    database.sql(
        "BEGIN; INSERT INTO t VALUES (4, 1); SAVEPOINT a; INSERT INTO t VALUES (5, 1); RELEASE a; SAVEPOINT b; \
         INSERT INTO t VALUES (6, 1); ROLLBACK TO b; INSERT INTO t VALUES (7, 1); PREPARE TRANSACTION 'x'",
    );
    database.sql("INSERT INTO t VALUES (8, 8)");
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [8]);
    // A prepared transaction outlives its server.
    database.server.kill();
    database.server.resume().unwrap();
    let still = read(source.as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(still.len(), 0);
    database.sql("COMMIT PREPARED 'x'");
    database.sql("VACUUM (FREEZE) t");
    let three = read(source.as_ref(), &spec, Some(&still.position)).await;
    assert_eq!(three.numbers("id"), [4, 5, 7]);
    let four = read(source.as_ref(), &spec, Some(&three.position)).await;
    assert_eq!(four.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_only_locked_are_not_new() {
    let database = Database::with(TABLE);
    let (source, spec) = (database.source(), by_cursor("t", "at"));
    let one = read(source.as_ref(), &spec, None).await;
    let (first, second) = (database.client().await, database.client().await);
    for (client, lock) in [(&first, "SHARE"), (&second, "KEY SHARE")] {
        let sql = format!("BEGIN; SELECT FROM t FOR {lock}");
        client.batch_execute(&sql).await.unwrap();
    }
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.len(), 0);
    // A lock of several, one of which changes the row.
    first.batch_execute("COMMIT").await.unwrap();
    database.sql("UPDATE t SET at = 0 WHERE id = 2");
    second.batch_execute("ROLLBACK").await.unwrap();
    let three = read(source.as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.numbers("id"), [2]);
    database.sql("VACUUM (FREEZE) t");
    let four = read(source.as_ref(), &spec, Some(&three.position)).await;
    assert_eq!(four.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_restored_from_a_dump_doubles_no_row() {
    let database = Database::with(TABLE);
    let (source, mut spec) = (database.source(), by_cursor("t", "at"));
    let one = read(source.as_ref(), &spec, None).await;
    database.sql("INSERT INTO t VALUES (4, 1)");
    let dump = |more: &[&str]| {
        let output = Command::new(database.server.programs().join("pg_dump"))
            .args(["-t", "t", "-d", &database.url()])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = |dump: String| -> String {
        let lines = dump.lines().filter(|line| !line.starts_with('\\'));
        lines.collect::<Vec<_>>().join("\n")
    };
    let (whole, rows) = (dump(&["--clean", "--inserts"]), dump(&["-a", "--inserts"]));
    for restore in [whole, format!("TRUNCATE t;\n{rows}")] {
        database.sql(&plain(restore));
        assert_eq!(database.sql("SELECT count(*) FROM public.t"), "4");
        spec.may_repeat = false;
        let failure = try_read(source.as_ref(), &spec, Some(&one.position)).await;
        assert_eq!(failure.unwrap_err().code, "R0236");
        spec.may_repeat = true;
        let again = read(source.as_ref(), &spec, Some(&one.position)).await;
        assert_eq!(again.numbers("id"), [1, 2, 3, 4]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_became_the_primary_doubles_no_row_and_loses_none_of_a_key() {
    let database = Database::alone(TABLE);
    let standby = database.server.standby().unwrap();
    let replica = Database {
        server: Arc::new(standby),
        name: database.name.clone(),
    };
    let spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    // It comes late, below the last value.
    database.sql("INSERT INTO t VALUES (0, 0)");
    let caught_up = async || {
        for _ in 0..200 {
            if replica.sql("SELECT count(*) FROM t") == "4" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the replica does not follow");
    };
    caught_up().await;
    database.server.kill();
    replica.sql("SELECT pg_promote()");
    let source = replica.source();
    let mut by_key = spec.clone();
    by_key.may_repeat = true;
    let again = read(source.as_ref(), &by_key, Some(&one.position)).await;
    assert_eq!(again.numbers("id"), [0, 1, 2, 3]);
    let nothing = read(source.as_ref(), &by_key, Some(&again.position)).await;
    assert_eq!(nothing.len(), 0);
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.len(), 0);
    assert!(
        two.notes
            .iter()
            .any(|note| note.contains("different server"))
    );
    replica.sql("INSERT INTO t VALUES (4, 1), (5, 5)");
    let three = read(source.as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.numbers("id"), [4, 5]);
}
