//! Incremental reads: ties, NULL cursors, transactions that commit late.

use serde_json::json;
use towpath_vocab::{CursorPlan, OptionValue, Position, ReadMode, Remedy};

use crate::support::{Database, by_cursor, read, source, table, try_read};

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
async fn lookback_trusts_the_cursor_and_repeats_only_what_it_looks_back_over() {
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
    assert_eq!(two.numbers("id"), [0_i64; 0]);
    spec.cursor = Some(CursorPlan {
        column: "at".into(),
        lookback: 86_400,
    });
    let three = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(three.numbers("id"), [1, 2, 3]);
}

/// `late_rows` of the connection holds where the table does not say otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn late_rows_of_the_connection_is_obeyed() {
    let database = Database::with(TABLE);
    let mut plan = database.plan();
    let lookback = OptionValue::Plain(json!("lookback"));
    plan.options.insert("late_rows".into(), lookback);
    let source = source(&plan);
    let mut spec = by_cursor("t", "at");
    let by_cursor_alone = |notes: &[String]| {
        let mut notes = notes.iter();
        notes.any(|note| note.ends_with("they are read by the first load only"))
    };
    let one = read(source.as_ref(), &spec, None).await;
    assert!(by_cursor_alone(&one.notes), "{:?}", one.notes);
    spec.options.insert("late_rows".into(), json!("exact"));
    let other = read(source.as_ref(), &spec, None).await;
    assert!(!by_cursor_alone(&other.notes), "{:?}", other.notes);
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
                .any(|note| note.contains("have no transaction number")),
            "{:?}",
            one.notes
        );
        let two = read(
            source.as_ref(),
            &by_cursor("v", column),
            Some(&one.position),
        )
        .await;
        // Infinite dates and NaN sort last: they are given once, like the last finite value.
        assert_eq!(two.len() + two.rejects.len(), 0, "{column}");
        database.sql("BEGIN; INSERT INTO t VALUES (4, 'infinity', 'NaN', 'd', 'NaN'), (5, '2024-01-03', 3.5, 'c', 3), (6, '2025-01-01', 6, 'f', 6); COMMIT");
        let three = read(
            source.as_ref(),
            &by_cursor("v", column),
            Some(&two.position),
        )
        .await;
        assert_eq!(
            three.len() + three.rejects.len(),
            3,
            "{column}: the new ones, each once"
        );
        database.sql("DELETE FROM t WHERE id > 3");
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
    assert_eq!(
        moved.numbers("id"),
        [0_i64; 0],
        "rows at the last value are known by what they hold"
    );
    assert!(
        moved
            .notes
            .iter()
            .any(|note| note.contains("different server")),
        "{:?}",
        moved.notes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_of_a_view_are_counted_not_merged() {
    let database = Database::with(
        "CREATE TABLE t (id int, at date, x text); CREATE VIEW v AS SELECT * FROM t; \
         INSERT INTO t VALUES (1, '2024-01-01', 'a'), (1, '2024-01-01', 'a'), (2, '2024-01-01', 'b')",
    );
    let source = database.source();
    let spec = by_cursor("v", "at");
    let one = read(source.as_ref(), &spec, None).await;
    assert_eq!(one.numbers("id"), [1, 1, 2]);
    // A new column changes no row that was given.
    database.sql(
        "INSERT INTO t VALUES (1, '2024-01-01', 'a'), (3, '2024-01-01', 'c'); UPDATE t SET x = 'B' WHERE id = 2; \
         CREATE OR REPLACE VIEW v AS SELECT *, 1 AS more FROM t",
    );
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(
        two.numbers("id"),
        [1, 2, 3],
        "one more of the equal ones, a changed one, a new one"
    );
    let three = read(source.as_ref(), &spec, Some(&two.position)).await;
    assert_eq!(three.len(), 0);
    let query = spec_of_query("SELECT * FROM t", "at");
    let one = read(source.as_ref(), &query, None).await;
    let two = read(source.as_ref(), &query, Some(&one.position)).await;
    assert_eq!((one.len(), two.len()), (5, 0));
}

fn spec_of_query(sql: &str, column: &str) -> towpath_ports::ReadSpec {
    towpath_ports::ReadSpec {
        selection: towpath_vocab::Selection::Query(sql.into()),
        ..by_cursor("t", column)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_with_the_last_value_are_refused_not_repeated() {
    let database = Database::with(
        "CREATE TABLE t AS SELECT n AS id, date '2024-01-01' AS at FROM generate_series(1, 10001) n; CREATE VIEW v AS SELECT * FROM t",
    );
    let source = database.source();
    let mut spec = by_cursor("v", "at");
    let one = read(source.as_ref(), &spec, None).await;
    assert_eq!(one.len(), 10_001);
    let failure = try_read(source.as_ref(), &spec, Some(&one.position))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0217", Remedy::FixConfig)
    );
    assert!(failure.help[0].contains("`lookback`"), "{failure:?}");
    spec.cursor = Some(CursorPlan {
        column: "at".into(),
        lookback: 1,
    });
    let again = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(again.len(), 10_001, "who looks back asks for them again");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_transactions_behind_an_open_one_are_neither_lost_nor_repeated() {
    let database = Database::alone(&format!("{TABLE} CREATE TABLE other (n int)"));
    let (_, position) = first(&database).await;
    let open = database.client().await;
    open.batch_execute("BEGIN; INSERT INTO t VALUES (10, '2023-12-01')")
        .await
        .unwrap();
    database.sql("INSERT INTO t VALUES (11, '2024-03-01')");
    database.sql("INSERT INTO other VALUES (1)");
    database.sql("INSERT INTO t VALUES (12, '2024-03-01')");
    let (ids, position) = next(&database, &position).await;
    assert_eq!(ids, [11, 12]);
    let (ids, position) = next(&database, &position).await;
    assert_eq!(ids, [0_i64; 0], "ranges with a gap");
    // Each of these writes in a transaction of its own, every other one elsewhere.
    database.sql(
        "DO $$ BEGIN FOR n IN 1..20100 LOOP BEGIN \
         IF n % 2 = 0 THEN INSERT INTO t VALUES (100 + n, '2024-04-01'); ELSE INSERT INTO other VALUES (n); END IF; \
         EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$",
    );
    let held = read(
        database.source().as_ref(),
        &by_cursor("t", "at"),
        Some(&position),
    )
    .await;
    assert_eq!(held.len(), 0, "held back, because they cannot be kept");
    assert!(
        held.notes
            .iter()
            .any(|note| note.contains("are read after it ends")),
        "{:?}",
        held.notes
    );
    open.batch_execute("COMMIT").await.unwrap();
    let (ids, position) = next(&database, &held.position).await;
    assert_eq!(ids.len(), 10_051);
    assert_eq!(ids.first(), Some(&10));
    assert!(!ids.contains(&11) && !ids.contains(&12), "given before");
    assert_eq!(next(&database, &position).await.0, [0_i64; 0]);
}

/// The position as another server, or an earlier life of this one, would have left it.
fn moved(position: &Position, change: impl Fn(&mut serde_json::Value)) -> Position {
    let mut stored = serde_json::to_value(position).unwrap();
    let mut todo = vec![&mut stored];
    while let Some(value) = todo.pop() {
        if value.get("server").is_some() {
            change(value);
            continue;
        }
        match value {
            serde_json::Value::Object(fields) => todo.extend(fields.values_mut()),
            serde_json::Value::Array(items) => todo.extend(items.iter_mut()),
            _ => {}
        }
    }
    serde_json::from_value(stored).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_transactions_are_not_compared() {
    let database = Database::with(TABLE);
    let (_, position) = first(&database).await;
    database.sql("INSERT INTO t VALUES (5, '2024-01-02'), (6, '2024-01-03'), (7, '2020-01-01')");
    let restored = moved(&position, |seen| {
        let server = seen["server"].as_str().unwrap();
        let (server, timeline) = server.rsplit_once('/').unwrap();
        assert_eq!(timeline, "00000001");
        seen["server"] = format!("{server}/00000002").into();
    });
    let (ids, after) = next(&database, &restored).await;
    assert_eq!(
        ids,
        [5, 6],
        "by value: the tie that is new, and what is above"
    );
    assert_eq!(next(&database, &after).await.0, [0_i64; 0]);
    assert_eq!(next(&database, &position).await.0, [5, 6, 7]);
    // A position of the first form, which had neither timeline nor boundary.
    let old = moved(&position, |seen| {
        let server = seen["server"].as_str().unwrap().rsplit_once('/').unwrap().0;
        *seen = json!({"version": 1, "column": "at", "upper": seen["upper"], "horizon": seen["horizon"],
            "next": seen["next"], "seen": [], "server": server});
    });
    let (ids, _) = next(&database, &old).await;
    assert!([5, 6, 7].iter().all(|id| ids.contains(id)), "{ids:?}");
    let far = moved(&position, |seen| {
        seen["horizon"] = (seen["horizon"].as_i64().unwrap() - (1 << 31)).into();
    });
    let failure = try_read(
        database.source().as_ref(),
        &by_cursor("t", "at"),
        Some(&far),
    )
    .await
    .unwrap_err();
    assert_eq!(failure.code, "R0217");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_say_who_it_is_is_read_by_value_only_when_that_is_asked_for() {
    let database = Database::alone(TABLE);
    database.sql(
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public; CREATE ROLE plain LOGIN PASSWORD 'w'; GRANT SELECT ON t TO plain; CREATE VIEW v AS SELECT * FROM t; GRANT SELECT ON v TO plain",
    );
    let url = format!(
        "postgres://plain:w@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    );
    let source = crate::support::source(&crate::support::plan(&url));
    let mut spec = by_cursor("t", "at");
    // A position of a user who may ask holds no longer for one who may not.
    let known = read(database.source().as_ref(), &spec, None).await;
    for late in ["exact", "hold"] {
        spec.options.insert("late_rows".into(), json!(late));
        for from in [None, Some(&known.position)] {
            let failure = try_read(source.as_ref(), &spec, from).await.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.help.len()), ("R0237", 2));
            assert!(failure.help[0].contains("GRANT EXECUTE"), "{failure:?}");
            assert!(
                failure.help[1].contains("late_rows: lookback"),
                "{failure:?}"
            );
        }
    }
    spec.options.insert("late_rows".into(), json!("lookback"));
    let one = read(source.as_ref(), &spec, None).await;
    database.sql("INSERT INTO t VALUES (5, '2024-01-02')");
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [5]);
    // Rows of a view have no transaction, whoever reads it.
    read(source.as_ref(), &by_cursor("v", "at"), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn infinite_numbers_do_not_stop_a_cursor() {
    let database = Database::with(
        "CREATE TABLE t (id int, n numeric); CREATE VIEW v AS SELECT * FROM t; INSERT INTO t VALUES (1, 1), (2, 'Infinity'), (3, 'NaN')",
    );
    let source = database.source();
    let one = read(source.as_ref(), &by_cursor("v", "n"), None).await;
    assert_eq!(one.len() + one.rejects.len(), 3);
    database.sql("INSERT INTO t VALUES (4, 2)");
    let two = read(source.as_ref(), &by_cursor("v", "n"), Some(&one.position)).await;
    assert_eq!(two.numbers("id"), [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_may_not_be_read_are_named() {
    let database = Database::with(TABLE);
    let user = format!("some_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'w'; GRANT SELECT (id) ON t TO {user}"
    ));
    let url = format!(
        "postgres://{user}:w@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    );
    let source = crate::support::source(&crate::support::plan(&url));
    let one = read(source.as_ref(), &table("t"), None).await;
    assert_eq!(one.numbers("id"), [1, 2, 3, 4]);
    assert!(
        one.notes
            .contains(&"left out, because this user may not read them: `at`".to_owned()),
        "{:?}",
        one.notes
    );
    let whole = read(database.source().as_ref(), &table("t"), None).await;
    let mut known = table("t");
    known.known = whole.schema;
    for spec in [known, by_cursor("t", "at")] {
        let failure = try_read(source.as_ref(), &spec, None).await.unwrap_err();
        assert_eq!(failure.code, "R0212");
        assert!(failure.message.contains("column `at`"), "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_attached_is_read_whole_and_once() {
    let database = Database::with(
        "CREATE TABLE t (id int, at timestamptz) PARTITION BY RANGE (id); \
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); \
         CREATE TABLE t2 (id int, at timestamptz); \
         INSERT INTO t2 VALUES (11, '2020-01-01'), (12, '2030-01-01'), (13, NULL); \
         INSERT INTO t VALUES (1, '2024-01-01')",
    );
    let (ids, position) = first(&database).await;
    assert_eq!(ids, [1]);
    database.sql("ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)");
    let read = read(
        database.source().as_ref(),
        &by_cursor("t", "at"),
        Some(&position),
    )
    .await;
    assert_eq!(read.numbers("id"), [11, 12, 13]);
    assert!(
        read.notes.iter().any(|note| note.ends_with("read: `t2`")),
        "{:?}",
        read.notes
    );
    let (ids, position) = next(&database, &read.position).await;
    assert_eq!(ids, [0_i64; 0]);
    // Away for a read and back: what it held then cannot be told from what came since.
    database.sql("ALTER TABLE t DETACH PARTITION t2");
    let (ids, position) = next(&database, &position).await;
    assert_eq!(ids, [0_i64; 0]);
    database.sql("ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)");
    assert_unclear(&database, &position, "`t2` was replaced").await;
}

async fn assert_unclear(database: &Database, position: &Position, message: &str) {
    let spec = by_cursor("t", "at");
    let source = database.source();
    let failure = try_read(source.as_ref(), &spec, Some(position))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0236", Remedy::FixConfig)
    );
    assert!(failure.message.contains(message), "{failure:?}");
    assert!(failure.help[0].contains("--full-refresh"), "{failure:?}");
    let last = failure.help.last().unwrap();
    assert!(last.contains("late_rows: lookback"), "{failure:?}");
    assert!(last.contains("never read"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_filled_again_is_read_again_where_rows_are_written_by_key() {
    let database = Database::with(TABLE);
    let (_, position) = first(&database).await;
    let mut spec = by_cursor("t", "at");
    spec.may_repeat = true;
    let source = database.source();
    let again = |notes: &[String]| notes.iter().any(|note| note.ends_with("stay): `t`"));
    // Filled again: one row as it was, one changed below the last value, one new, one gone.
    database.sql(
        "BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, '2024-01-01'), (2, '2023-06-01'), (4, NULL), (5, '2024-03-01'); COMMIT",
    );
    assert_unclear(&database, &position, "`t` was replaced or rewritten").await;
    let all = read(source.as_ref(), &spec, Some(&position)).await;
    assert_eq!(all.numbers("id"), [1, 2, 4, 5]);
    assert!(again(&all.notes), "{:?}", all.notes);
    // Once, and then only what is new.
    database.sql("INSERT INTO t VALUES (6, '2023-01-01')");
    let more = read(source.as_ref(), &spec, Some(&all.position)).await;
    assert_eq!(more.numbers("id"), [6]);
    assert!(!again(&more.notes), "{:?}", more.notes);
    // Made anew from rows that older transactions wrote.
    database.sql("CREATE TABLE copy AS SELECT * FROM t WHERE id <> 6");
    let between = read(source.as_ref(), &spec, Some(&more.position)).await;
    database.sql("DROP TABLE t; ALTER TABLE copy RENAME TO t");
    let all = read(source.as_ref(), &spec, Some(&between.position)).await;
    assert_eq!(all.numbers("id"), [1, 2, 4, 5]);
    assert!(again(&all.notes), "{:?}", all.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_exchanged_gives_what_is_new_or_is_refused() {
    let database = Database::with(&format!(
        "{TABLE} CREATE TABLE other AS SELECT 20 AS id, timestamptz '2024-05-01' AS at"
    ));
    let (_, position) = first(&database).await;
    let swap = "ALTER TABLE t RENAME TO old; ALTER TABLE other RENAME TO t";
    database.sql(swap);
    let (ids, after) = next(&database, &position).await;
    assert_eq!(
        ids,
        [20],
        "above the last value, though written before it was read"
    );
    assert_eq!(next(&database, &after).await.0, [0_i64; 0]);
    // A copy holds rows that were given, and nothing tells them.
    database.sql(
        "DROP TABLE t; CREATE TABLE t AS SELECT * FROM old; INSERT INTO t VALUES (21, '2024-06-01')",
    );
    assert_unclear(&database, &position, "`t` was replaced").await;
    let mut spec = by_cursor("t", "at");
    spec.options.insert("late_rows".into(), json!("lookback"));
    let source = database.source();
    let on = read(source.as_ref(), &spec, Some(&position)).await;
    assert_eq!(on.numbers("id"), [21], "the last way out");
    assert_eq!(next(&database, &on.position).await.0, [0_i64; 0]);
    let mut spec = by_cursor("t", "at");
    spec.cursor = Some(CursorPlan {
        column: "at".into(),
        lookback: 60,
    });
    let all = read(source.as_ref(), &spec, Some(&position)).await;
    assert_eq!(all.numbers("id"), [1, 2, 3, 4, 21], "who looks back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_table_doubles_no_row() {
    let database = Database::with(TABLE);
    let (_, position) = first(&database).await;
    // These move rows and leave them their transactions.
    database.sql("VACUUM FULL t");
    database.sql("CLUSTER t USING t_pkey");
    database.sql("INSERT INTO t VALUES (5, '2020-01-01')");
    let (ids, position) = next(&database, &position).await;
    assert_eq!(ids, [5]);
    database.sql("ALTER TABLE t ALTER id TYPE int USING id + 0");
    assert_unclear(&database, &position, "`t` was replaced or rewritten").await;
    // Emptied and filled with later rows only: there is nothing to mistake.
    database.sql("TRUNCATE t; INSERT INTO t VALUES (6, '2024-07-01'), (7, '2024-07-02')");
    let (ids, position) = next(&database, &position).await;
    assert_eq!(ids, [6, 7]);
    assert_eq!(next(&database, &position).await.0, [0_i64; 0]);
}

/// `ADD COLUMN … DEFAULT` gives values to rows that were read before, and writes none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_that_old_rows_hold_is_read_or_named() {
    for lookback in [false, true] {
        let database = Database::with(
            "CREATE TABLE t (id int PRIMARY KEY, c int); INSERT INTO t VALUES (1, 1), (2, 2);
             CREATE VIEW v AS SELECT * FROM t",
        );
        let mut spec = by_cursor("t", "c");
        if lookback {
            spec.options.insert("late_rows".into(), "lookback".into());
        }
        let source = database.source();
        let first = read(source.as_ref(), &spec, None).await;
        assert_eq!(first.len(), 2);
        database.sql(
            "ALTER TABLE t ADD COLUMN region text DEFAULT 'eu', ADD COLUMN later text; INSERT INTO t VALUES (3, 3, 'us', 'x')",
        );
        let appended = read(source.as_ref(), &spec, Some(&first.position)).await;
        assert_eq!(appended.len(), 1);
        let notes = appended.notes.join("\n");
        assert!(
            notes.contains("`region`; rows in the table have NULL in them"),
            "{notes}"
        );
        assert!(!notes.contains("later"), "{notes}");
        spec.may_repeat = true;
        let keyed = read(source.as_ref(), &spec, Some(&first.position)).await;
        assert_eq!(
            keyed.rows()[0],
            r#"{"id":"1","c":"1","region":"eu","later":null}"#
        );
        assert_eq!(keyed.len(), 3);
        assert!(
            keyed
                .notes
                .join("\n")
                .contains("`region`; all rows are read again")
        );
        let next = read(source.as_ref(), &spec, Some(&keyed.position)).await;
        assert_eq!((next.len(), next.notes.len()), (0, 0), "{:?}", next.notes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_and_vanished_columns_are_named() {
    let database = Database::with(
        "CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t VALUES (1, 'x', 'y')",
    );
    let spec = by_cursor("t", "id");
    let source = database.source();
    let first = read(source.as_ref(), &spec, None).await;
    database
        .sql("ALTER TABLE t RENAME a TO z; ALTER TABLE t DROP b; INSERT INTO t VALUES (2, 'new')");
    let next = read(source.as_ref(), &spec, Some(&first.position)).await;
    assert_eq!(next.rows(), [r#"{"id":"2","z":"new"}"#]);
    let notes = next.notes.join("\n");
    for part in [
        "`a` of `public.t` is now named `z`",
        "columns: { a: { from: z } }",
        "`public.t` no longer has these columns: `b`",
        "read before: `z`",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}
