//! Rows that are about 2^32 transactions old, and places that are kept while nothing comes.

use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::Position;

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
async fn a_row_that_is_stored_where_an_old_one_with_its_number_was_is_new() {
    let database = old_rows();
    let spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    // As many rows with this number as before, all at the places of before.
    database.sql("DELETE FROM t WHERE id = 500");
    database.sql("VACUUM t");
    assert!(take_the_same_number(
        &database,
        "INSERT INTO t VALUES (1003, 5)"
    ));
    let places = database.sql("SELECT count(DISTINCT xmin::text), max(ctid) FROM t");
    assert!(places.starts_with("1|"), "{places}");
    let two = read(database.source().as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [1003]);
    let three = read(database.source().as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.len(), 0);
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
            let again = read(source.as_ref(), &spec, Some(&read_before.position)).await;
            assert_eq!(again.numbers("id"), [3], "{name}");
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
    // Rows that are stored among old ones are new, too.
    database.sql("DELETE FROM t WHERE id <= 100");
    database.sql("VACUUM t");
    database.sql("INSERT INTO t SELECT 30000 + g, 6 FROM generate_series(1, 400) g");
    for (before, since) in [(&one, 20_001), (&fresh, 20_001), (&last, 20_008)] {
        let new = read(source.as_ref(), &spec, Some(&before.position)).await;
        let expected: Vec<i64> = (since..20_008).chain(30_001..30_401).collect();
        assert_eq!(new.numbers("id"), expected);
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
async fn old_rows_that_were_deleted_or_updated_make_nothing_unclear() {
    let (database, first) = one_transaction_per_row();
    let spec = by_cursor("t", "at");
    let one = read(database.source().as_ref(), &spec, None).await;
    // Some of the first 8,000 rows, which are kept one by one, and some of those after them.
    database.sql("DELETE FROM t WHERE id BETWEEN 1000 AND 4000 OR id = 9000 OR id % 1000 = 77");
    database.sql("UPDATE t SET at = at WHERE id IN (500, 7999, 8100, 16000)");
    database.server.count_from(ROUND + first + 15_000).unwrap();
    let updated = [500, 7999, 8100, 16_000];
    let source = database.source();
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), updated);
    // New rows where old ones were.
    database.sql("VACUUM t");
    database.sql("INSERT INTO t SELECT 30000 + g, 6 FROM generate_series(1, 50) g");
    let inner = database.sql(
        "SELECT count(*) FROM t WHERE id > 30000 AND ctid < (SELECT ctid FROM t WHERE id = 20000)",
    );
    assert_eq!(inner, "50");
    let three = read(source.as_ref(), &spec, Some(&two.position)).await;
    let new: Vec<i64> = (30_001..30_051).collect();
    assert_eq!(three.numbers("id"), new);
    let all = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(all.numbers("id"), [updated.as_slice(), &new].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_old_transaction_may_lose_some_rows_and_a_read_stops_only_when_it_lost_many() {
    let database = Database::alone(
        "CREATE TABLE t (id int, at int); INSERT INTO t SELECT g, g FROM generate_series(1, 50000) g",
    );
    count_almost_a_round(&database);
    let mut spec = by_cursor("t", "at");
    let source = database.source();
    let one = read(source.as_ref(), &spec, None).await;
    assert_eq!(one.len(), 50_000);
    let stored = serde_json::to_string(&one.position).unwrap();
    assert!(stored.len() < 50_000, "{}", stored.len());
    database.sql("DELETE FROM t WHERE id = 700 OR id % 500 = 3");
    database.sql("UPDATE t SET at = 1 WHERE id = 40000");
    database.sql("VACUUM t");
    assert!(take_the_same_number(
        &database,
        "INSERT INTO t SELECT 50000 + g, 5 FROM generate_series(1, 60) g"
    ));
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    let new: Vec<i64> = std::iter::once(40_000).chain(50_001..50_061).collect();
    assert_eq!(two.numbers("id"), new);
    // Which of many were there, a sketch does not say.
    database.sql("DELETE FROM t WHERE id % 2 = 0");
    let failure = try_read(source.as_ref(), &spec, Some(&one.position)).await;
    let failure = failure.unwrap_err();
    assert_eq!(failure.code, "R0238", "{failure:?}");
    assert!(failure.help[0].contains("`key`"), "{:?}", failure.help);
    // What the help says works.
    let three = read(source.as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.len(), 0);
    spec.may_repeat = true;
    let again = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert!(again.numbers("id").contains(&50_059));
}

/// A position as an earlier version stored it, with this list of numbers that come again.
fn as_stored_before(
    position: &Position,
    version: u32,
    edit: impl Fn(&mut serde_json::Map<String, serde_json::Value>),
) -> Position {
    fn find(
        value: &mut serde_json::Value,
    ) -> Option<&mut serde_json::Map<String, serde_json::Value>> {
        let map = value.as_object_mut()?;
        if map.contains_key("recycled") {
            return Some(map);
        }
        map.values_mut().find_map(find)
    }
    let mut value = serde_json::to_value(position).unwrap();
    let progress = find(&mut value).unwrap();
    progress.insert("version".into(), version.into());
    let recycled = progress.get_mut("recycled").unwrap();
    let list = recycled.as_object_mut().unwrap();
    list.remove("listed").unwrap();
    list.remove("value_type").unwrap();
    edit(list);
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_of_earlier_versions_are_read_on() {
    let database = old_rows();
    let spec = by_cursor("t", "at");
    let source = database.source();
    let one = read(source.as_ref(), &spec, None).await;
    let held = |place: &str| {
        let sql = format!(
            "SELECT min(xmin::text), count(*), sum(('x' || left(md5({place}), 8))::bit(32)::int8) FROM t"
        );
        let text = database.sql(&sql);
        let numbers: Vec<u64> = text.split('|').map(|n| n.parse().unwrap()).collect();
        serde_json::json!([{ "number": ROUND + numbers[0], "rows": numbers[1], "digest": numbers[2] }])
    };
    let (by_place, numbered) = (
        held("tableoid::text || ctid::text"),
        held("tableoid::text || ctid::text || xmin::text"),
    );
    let two = as_stored_before(&one.position, 2, |list| {
        list.remove("ends").unwrap();
        list.insert("held".into(), by_place.clone());
    });
    let three = as_stored_before(&one.position, 3, |list| {
        list.insert("held".into(), numbered.clone());
    });
    database.sql("INSERT INTO t VALUES (1001, 1001)");
    database.server.count_from(ROUND + 2000).unwrap();
    database.sql("INSERT INTO t VALUES (1002, 5)");
    for before in [&two, &three] {
        let read_on = read(source.as_ref(), &spec, Some(before)).await;
        assert_eq!(read_on.numbers("id"), [1001, 1002]);
        let stored = serde_json::to_string(&read_on.position).unwrap();
        assert!(stored.contains("\"version\":4"), "{stored}");
        let nothing = read(source.as_ref(), &spec, Some(&read_on.position)).await;
        assert_eq!(nothing.len(), 0);
    }
    // These say nothing of single rows.
    database.sql("DELETE FROM t WHERE id = 500");
    for before in [&two, &three] {
        let failure = try_read(source.as_ref(), &spec, Some(before)).await;
        assert_eq!(failure.unwrap_err().code, "R0238");
    }
    // A list that ended before the present number.
    let short = as_stored_before(&one.position, 2, |list| {
        list.remove("ends").unwrap();
        list.insert("held".into(), serde_json::json!([]));
        list.insert("until".into(), ROUND.into());
    });
    let failure = try_read(source.as_ref(), &spec, Some(&short)).await;
    assert_eq!(failure.unwrap_err().code, "R0238");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_type_does_not_double_old_rows() {
    let database = Database::alone(
        "CREATE TABLE t (id int, at timestamp); \
         INSERT INTO t SELECT g, timestamp '2020-01-01' + g * interval '1 s' FROM generate_series(1, 1000) g",
    );
    count_almost_a_round(&database);
    let spec = by_cursor("t", "at");
    let source = database.source();
    let one = read(source.as_ref(), &spec, None).await;
    // The server does not write the rows again.
    database.sql("SET TimeZone = 'UTC'; ALTER TABLE t ALTER COLUMN at TYPE timestamptz");
    database.server.count_from(ROUND + 2000).unwrap();
    let failure = try_read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(failure.unwrap_err().code, "R0238");
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
