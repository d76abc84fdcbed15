//! Rows that are about 2^32 transactions old, and places that are kept while nothing comes.

use towpath_testkit::postgres::PostgresServer;

use crate::support::{Database, by_cursor, read, try_read};

const ROUND: u64 = 1 << 32;

/// A table of 1,000 rows, whose server has counted almost to the end of a round since.
fn old_rows() -> Database {
    let database = Database::alone(
        "CREATE TABLE t (id int, at int); INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g",
    );
    count_almost_a_round(&database);
    database
}

fn count_almost_a_round(database: &Database) {
    for step in [1_400_000_000, 2_800_000_000, 4_200_000_000, ROUND - 2000] {
        database.server.count_from(step).unwrap();
    }
}

/// Takes numbers until this one is next.
async fn advance_to(database: &Database, number: u64) {
    let client = database.client().await;
    loop {
        let sql = "SELECT txid_snapshot_xmax(txid_current_snapshot())";
        let next: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        let next = next.unsigned_abs();
        assert!(next <= number, "{next} is after {number}");
        if next == number {
            return;
        }
        client.simple_query("SELECT txid_current()").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_rows_do_not_look_new_when_their_numbers_come_again() {
    let database = old_rows();
    let spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    assert_eq!(one.len(), 1000);
    database.sql("INSERT INTO t VALUES (1001, 1001), (1002, 1002)");
    database.server.count_from(ROUND + 2000).unwrap();
    // One that comes late, below the last value.
    database.sql("INSERT INTO t VALUES (1003, 5)");
    let two = read(database.source().as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [1001, 1002, 1003]);
    let three = read(database.source().as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.len(), 0);
    // Rows that were deleted meanwhile make nothing unclear.
    database.sql("DELETE FROM t WHERE id < 5");
    let four = read(database.source().as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(four.len(), 0);
}

/// A row gets the number that old rows have.
fn take_the_same_number(database: &Database, sql: &str) -> bool {
    let old: u64 = database
        .sql("SELECT DISTINCT xmin FROM t WHERE id <= 1000")
        .parse()
        .unwrap();
    database.server.count_from(ROUND + old - 60).unwrap();
    for _ in 0..200 {
        let next: u64 = database
            .sql("SELECT txid_snapshot_xmax(txid_current_snapshot())")
            .parse()
            .unwrap();
        if next == ROUND + old {
            database.sql(sql);
            return true;
        }
        database.sql("SELECT txid_current()");
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_old_and_new_rows_share_is_refused_or_read_again() {
    let database = old_rows();
    let mut spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    // The new row is stored where an old one was.
    database.sql("DELETE FROM t WHERE id BETWEEN 100 AND 999");
    database.sql("VACUUM t");
    assert!(take_the_same_number(
        &database,
        "INSERT INTO t VALUES (1003, 5)"
    ));
    let source = database.source();
    let failure = try_read(source.as_ref(), &spec, Some(&one.position))
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0238", "{failure:?}");
    spec.may_repeat = true;
    let again = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert!(again.numbers("id").contains(&1003));
}

/// Tables of two rows, each of a transaction of its own, almost a round ago.
async fn old_tables(names: &[&str]) -> (Database, Vec<u64>) {
    let database = Database::alone("");
    let mut numbers = Vec::new();
    for name in names {
        database.sql(&format!("CREATE TABLE {name} (id int, at int)"));
        database.sql(&format!("INSERT INTO {name} VALUES (1, 1), (2, 2)"));
        let number = database.sql(&format!("SELECT DISTINCT xmin FROM {name}"));
        numbers.push(number.parse().unwrap());
        advance_to(&database, numbers.last().unwrap() + 40).await;
    }
    count_almost_a_round(&database);
    (database, numbers)
}

/// Opens a transaction whose row has the number that the table's old rows have, and commits another row
/// after it.
async fn open_with_number(
    database: &Database,
    name: &str,
    old: u64,
    is_nested: bool,
) -> tokio_postgres::Client {
    advance_to(database, ROUND + old - u64::from(is_nested)).await;
    let client = database.client().await;
    let begin = match is_nested {
        true => "BEGIN; SELECT txid_current(); SAVEPOINT s",
        false => "BEGIN",
    };
    client.batch_execute(begin).await.unwrap();
    let late = format!("INSERT INTO {name} VALUES (3, 1)");
    client.batch_execute(&late).await.unwrap();
    database.sql(&format!("INSERT INTO {name} VALUES (4, 4)"));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_with_the_number_of_old_rows_is_not_taken_for_seen() {
    let names = ["plain", "nested", "undone", "held"];
    let (database, numbers) = old_tables(&names).await;
    let source = database.source();
    let mut first = Vec::new();
    for name in names {
        let one = read(source.as_ref(), &by_cursor(name, "at"), None).await;
        assert_eq!(one.numbers("id"), [1, 2]);
        first.push(one.position);
    }
    database.server.count_from(ROUND + numbers[0] - 60).unwrap();
    for ((name, old), first) in names.into_iter().zip(numbers).zip(first) {
        let source = database.source();
        let mut spec = by_cursor(name, "at");
        if name == "held" {
            spec.options
                .insert("late_rows".into(), serde_json::json!("hold"));
        }
        let client = open_with_number(&database, name, old, name == "nested").await;
        let two = read(source.as_ref(), &spec, Some(&first)).await;
        let fresh = read(source.as_ref(), &spec, None).await;
        if name == "held" {
            assert_eq!(two.len(), 0);
            client.batch_execute("ROLLBACK").await.unwrap();
            for (read_before, ids) in [(two, vec![4]), (fresh, vec![1, 2, 4])] {
                let three = read(source.as_ref(), &spec, Some(&read_before.position)).await;
                assert_eq!(three.numbers("id"), ids);
            }
            continue;
        }
        assert_eq!(two.numbers("id"), [4], "{name}");
        assert_eq!(fresh.numbers("id"), [1, 2, 4], "{name}");
        let still = read(source.as_ref(), &spec, Some(&two.position)).await;
        assert_eq!(still.len(), 0, "{name}");
        if name == "undone" {
            client.batch_execute("ROLLBACK").await.unwrap();
            for read_before in [two, fresh, still] {
                let three = read(source.as_ref(), &spec, Some(&read_before.position)).await;
                assert_eq!(three.len(), 0);
            }
            continue;
        }
        client.batch_execute("COMMIT").await.unwrap();
        for read_before in [two, fresh, still] {
            spec.may_repeat = false;
            let failure = try_read(source.as_ref(), &spec, Some(&read_before.position))
                .await
                .unwrap_err();
            assert_eq!(failure.code, "R0238", "{name}: {failure:?}");
            spec.may_repeat = true;
            let again = read(source.as_ref(), &spec, Some(&read_before.position)).await;
            assert_eq!(again.numbers("id"), [1, 2, 3], "{name}");
        }
    }
}

/// A table of 20,000 rows, each of a transaction of its own, almost a round ago; and the first number.
fn one_transaction_per_row() -> (Database, u64) {
    // A subtransaction has a number of its own, as a transaction has.
    let database = Database::alone(
        "CREATE TABLE t (id int, at int); DO $$ BEGIN FOR i IN 1..20000 LOOP \
         BEGIN INSERT INTO t VALUES (i, i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$",
    );
    let text = database.sql("SELECT count(DISTINCT xmin::text), min(xmin::text::int8) FROM t");
    let (count, first) = text.split_once('|').unwrap();
    assert_eq!(count, "20000");
    count_almost_a_round(&database);
    (database, first.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_one_transaction_per_row_is_read_on_when_its_numbers_come_again() {
    let (database, first) = one_transaction_per_row();
    let mut spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    assert_eq!(one.len(), 20_000);
    let stored = serde_json::to_string(&one.position).unwrap();
    assert!(stored.len() < 600_000, "{}", stored.len());
    // Other tables use these numbers up, far beyond those that are kept one by one.
    database.server.count_from(ROUND + first + 9_000).unwrap();
    let source = database.source();
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.len(), 0);
    // So does a full refresh: the run after it does not stop.
    let fresh = read(source.as_ref(), &spec, None).await;
    assert_eq!(fresh.len(), 20_000);
    advance_to(&database, ROUND + first + 9_100).await;
    let mut last = read(source.as_ref(), &spec, Some(&fresh.position)).await;
    assert_eq!(last.len(), 0);
    // New rows have the numbers of old ones, late ones too. Each comes once.
    database.sql("INSERT INTO t VALUES (20001, 20001)");
    database.sql("INSERT INTO t VALUES (20002, 5)");
    for before in [&one, &two, &fresh, &last] {
        let new = read(source.as_ref(), &spec, Some(&before.position)).await;
        assert_eq!(new.numbers("id"), [20_001, 20_002]);
    }
    last = read(source.as_ref(), &spec, Some(&last.position)).await;
    for id in 20_003..20_008 {
        database.sql(&format!("INSERT INTO t VALUES ({id}, {})", id % 2 * id));
        last = read(source.as_ref(), &spec, Some(&last.position)).await;
        assert_eq!(last.numbers("id"), [id]);
    }
    // Rows that are stored among old ones cannot be told from these.
    database.sql("DELETE FROM t WHERE id <= 100");
    database.sql("VACUUM t");
    database.sql("INSERT INTO t SELECT 30000 + g, 6 FROM generate_series(1, 400) g");
    for before in [&one, &fresh, &last] {
        let failure = try_read(source.as_ref(), &spec, Some(&before.position)).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, "R0238", "{failure:?}");
        assert!(failure.help[0].contains("`key`"), "{:?}", failure.help);
        // What the help says works.
        let mut by_key = spec.clone();
        by_key.may_repeat = true;
        let again = read(source.as_ref(), &by_key, Some(&before.position)).await;
        assert!(again.numbers("id").contains(&30_400));
        assert!(again.len() < 600, "{}", again.len());
    }
    spec.options
        .insert("late_rows".into(), serde_json::json!("lookback"));
    let by_value = read(source.as_ref(), &spec, Some(&last.position)).await;
    assert_eq!(by_value.len(), 0);
    database.sql("INSERT INTO t VALUES (30401, 30401)");
    let next = read(source.as_ref(), &spec, Some(&by_value.position)).await;
    assert_eq!(next.numbers("id"), [30_401]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_stored_anew_are_not_taken_for_new_ones() {
    let (database, first) = one_transaction_per_row();
    let spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    database.server.count_from(ROUND + first + 9_000).unwrap();
    database.sql("INSERT INTO t SELECT 20000 + g, 20000 + g FROM generate_series(1, 5000) g");
    // The oldest rows are the last now.
    database.sql("CREATE INDEX turned ON t ((-id)); CLUSTER t USING turned");
    let failure = try_read(database.source().as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(failure.unwrap_err().code, "R0238");
    let mut by_key = spec.clone();
    by_key.may_repeat = true;
    let again = read(database.source().as_ref(), &by_key, Some(&one.position)).await;
    let ids = again.numbers("id");
    assert_eq!(ids.iter().filter(|id| **id > 20_000).count(), 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_kept_while_nothing_comes() {
    let server = PostgresServer::shared().unwrap();
    let database = Database::with(
        "CREATE TABLE t (id int, at int); CREATE TABLE other (id int); CREATE VIEW v AS SELECT * FROM t; \
         INSERT INTO t VALUES (1, 1), (2, 2), (3, NULL)",
    );
    assert!(std::sync::Arc::ptr_eq(&server, &database.server));
    let source = database.source();
    for name in ["t", "v"] {
        let spec = by_cursor(name, "at");
        let one = read(source.as_ref(), &spec, None).await;
        database.sql("INSERT INTO other VALUES (1)");
        let two = read(source.as_ref(), &spec, Some(&one.position)).await;
        assert_eq!((two.len(), &two.position), (0, &one.position), "{name}");
        database.sql("INSERT INTO t VALUES (4, 2)");
        let three = read(source.as_ref(), &spec, Some(&two.position)).await;
        assert_eq!(three.numbers("id"), [4], "{name}");
        assert_ne!(three.position, two.position);
        database.sql("DELETE FROM t WHERE id = 4");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_grows_old_is_renewed() {
    let database = Database::alone("CREATE TABLE t (id int, at int); INSERT INTO t VALUES (1, 1)");
    let spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    database.server.count_from(1 << 27).unwrap();
    let two = read(database.source().as_ref(), &spec, Some(&one.position)).await;
    assert_eq!((two.len(), &two.position), (0, &one.position));
    database.server.count_from(1 << 29).unwrap();
    let three = read(database.source().as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.len(), 0);
    assert_ne!(three.position, one.position);
    database.sql("INSERT INTO t VALUES (2, 1)");
    let four = read(database.source().as_ref(), &spec, Some(&three.position)).await;
    assert_eq!(four.numbers("id"), [2]);
}
