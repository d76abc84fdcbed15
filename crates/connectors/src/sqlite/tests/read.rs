//! Reads from real SQLite files: types, mixed storage, one snapshot, cursors.

use super::*;

#[tokio::test]
async fn values_that_do_not_fit_their_column_are_set_aside() {
    let project = TestProject::with(
        "CREATE TABLE t (i INTEGER, r REAL, s TEXT, d DECIMAL(6,2), b BOOLEAN, day DATE, at DATETIME, x BLOB);
         INSERT INTO t VALUES (1, 1.5, 'a', 12.25, 1, '2013-01-01', '2013-01-01 10:00:00', x'00ff');
         INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
         INSERT INTO t VALUES ('one', 2, 7, '3', 'false', '2012-02-29', '2013-01-01T10:00:00.5', x'');
         INSERT INTO t VALUES (2, 'x', x'ff', 1.234, 2, '01/02/2013', 1357000000, 'text');
         INSERT INTO t VALUES (9223372036854775807, 1e300, '', '-9999.99', 0, '0001-01-01', '2013-01-01', x'01');",
    );
    let outcome = project.read(&table("t")).await;
    assert_eq!(
        outcome.columns,
        [
            "i bigint",
            "r double",
            "s text",
            "d decimal(6,2)",
            "b bool",
            "day date",
            "at timestamp",
            "x binary"
        ]
    );
    assert_eq!(
        outcome.rows,
        [
            "1|1.5|a|12.25|true|2013-01-01|2013-01-01T10:00:00|00ff",
            "9223372036854775807|1e300||-9999.99|false|0001-01-01|2013-01-01T00:00:00|01",
            "∅|∅|∅|∅|∅|∅|∅|∅",
        ]
    );
    let reasons: Vec<Vec<&str>> = outcome
        .rejects
        .iter()
        .map(|reject| {
            reject
                .reasons
                .iter()
                .map(|reason| reason.column.as_deref().unwrap())
                .collect()
        })
        .collect();
    assert_eq!(
        reasons,
        [vec!["i"], vec!["r", "s", "d", "b", "day", "at", "x"]]
    );
    assert_eq!(outcome.rejects[0].place.ordinal, 3);
    let towpath_vocab::RawRecord::Row(raw) = &outcome.rejects[1].raw else {
        panic!()
    };
    assert!(
        raw.contains("\"x\":\"text\"") && raw.contains("\"s\":\"\\\\xff\""),
        "{raw}"
    );
}

#[tokio::test]
async fn views_queries_and_odd_names_are_read() {
    let project = TestProject::with(
        "CREATE TABLE \"Größe \"\"x\"\"\" (\"a b\" INTEGER, \"select\" TEXT, rowid TEXT);
         INSERT INTO \"Größe \"\"x\"\"\" VALUES (1, 'x', 'mine'), (2, NULL, 'yours');
         CREATE VIEW v AS SELECT \"a b\" + 0.5 AS half, \"select\" AS s FROM \"Größe \"\"x\"\"\";
         CREATE TABLE w (k TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
         INSERT INTO w VALUES ('b', 1), ('a', 2);",
    );
    let odd = project.read(&table("Größe \"x\"")).await;
    assert_eq!(odd.columns, ["a b bigint", "select text", "rowid text"]);
    assert_eq!(odd.rows, ["1|x|mine", "2|∅|yours"]);
    let view = project.read(&table("v")).await;
    assert_eq!(
        (view.columns, view.rows),
        (
            vec!["half double".to_owned(), "s text".to_owned()],
            vec!["1.5|x".to_owned(), "2.5|∅".to_owned()]
        )
    );
    assert_eq!(project.read(&table("w")).await.rows, ["a|2", "b|1"]);
    let query = project
        .read(&spec(Selection::Query(
            "SELECT n * 2 AS twice FROM w -- all\n;".to_owned(),
        )))
        .await;
    assert_eq!(query.rows, ["2", "4"]);
    let mut some = table("w");
    (some.projection, some.limit) = (Some(vec!["n".to_owned()]), Some(1));
    assert_eq!(project.read(&some).await.rows.len(), 1);

    let missing = project.fail(&table("ww")).await;
    assert_eq!(
        (missing.code.as_str(), missing.help.as_slice()),
        ("R0304", ["did you mean `w`?".to_owned()].as_slice())
    );
    assert_eq!(
        project
            .fail(&spec(Selection::Query("SELECT nope FROM w".to_owned())))
            .await
            .code,
        "R0306"
    );
    assert_eq!(
        project
            .fail(&spec(Selection::Query("DELETE FROM w".to_owned())))
            .await
            .code,
        "R0306"
    );
    some.projection = Some(vec!["m".to_owned()]);
    assert_eq!(project.fail(&some).await.code, "R0305");
    assert_eq!(TestProject::new().fail(&table("t")).await.code, "R0303");
    let text = TestProject::new();
    std::fs::write(
        text.dir.path().join("data.db"),
        "this is no database at all, but long enough to look at".repeat(20),
    )
    .unwrap();
    assert_eq!(text.fail(&table("t")).await.code, "R0303");
}

#[tokio::test]
async fn pieces_see_one_state_while_others_write() {
    let project = TestProject::with(
        "PRAGMA journal_mode = wal; CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER)",
    );
    let own = project.own();
    own.execute_batch(
        "WITH RECURSIVE n(k) AS (SELECT -100000 UNION ALL SELECT k + 1 FROM n WHERE k < 149999)
         INSERT INTO t SELECT k, 0 FROM n",
    )
    .unwrap();
    let mut reader = project.source().open(&table("t"), None).await.unwrap();
    own.execute_batch("UPDATE t SET v = 1; INSERT INTO t VALUES (150000, 1)")
        .unwrap();
    let mut splits = reader.splits();
    let (mut rows, mut pieces) = (0, 0);
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment.unwrap() else {
            continue;
        };
        pieces += 1;
        while let Some(event) = split.events.next().await {
            if let Event::Rows(batch) = event.unwrap() {
                let values = batch
                    .batch
                    .column(1)
                    .as_any()
                    .downcast_ref::<arrow_array::Int64Array>()
                    .unwrap();
                assert_eq!(values.null_count(), 0);
                assert!(values.values().iter().all(|value| *value == 0));
                rows += batch.len();
            }
        }
    }
    assert_eq!((rows, pieces), (250_000, 4));
    let outcome = project.read(&table("t")).await;
    assert_eq!((outcome.rows.len(), outcome.splits), (250_001, 4));
}

/// A read of `t` by a cursor.
fn by_cursor(column: &str, lookback: u64) -> ReadSpec {
    let mut spec = table("t");
    spec.mode = ReadMode::Incremental;
    spec.cursor = Some(CursorPlan {
        column: column.to_owned(),
        lookback,
    });
    spec
}

async fn go_on(project: &TestProject, spec: &ReadSpec, from: &Outcome) -> Outcome {
    let source = project.source();
    drain(source.as_ref(), spec, Some(&from.position))
        .await
        .unwrap()
}

#[tokio::test]
async fn incremental_reads_lose_no_tie_and_repeat_none() {
    let project = TestProject::with(
        "CREATE TABLE t (k INTEGER, at TEXT);
         INSERT INTO t VALUES (1, '2024-01-01 00:00:00'), (2, '2024-01-02 00:00:00'),
         (2, '2024-01-02 00:00:00'), (3, NULL);",
    );
    let mut spec = by_cursor("at", 0);
    let first = project.read(&spec).await;
    assert_eq!(first.rows.len(), 4);
    // One more like two that were given, another tie, and a later row.
    project
        .own()
        .execute_batch(
            "INSERT INTO t VALUES (2, '2024-01-02 00:00:00'), (4, '2024-01-02 00:00:00'),
             (5, '2024-01-03 00:00:00')",
        )
        .unwrap();
    let second = go_on(&project, &spec, &first).await;
    assert_eq!(
        second.rows,
        [
            "2|2024-01-02 00:00:00",
            "4|2024-01-02 00:00:00",
            "5|2024-01-03 00:00:00"
        ]
    );
    assert_eq!(second.notes.len(), 2, "{:?}", second.notes);
    let third = go_on(&project, &spec, &second).await;
    assert_eq!(third.rows, [""; 0]);
    assert_eq!(third.position.splits().next().unwrap().1.order, 3);
    // What is deleted does not take the position back: `4` is not new.
    project
        .own()
        .execute_batch("DELETE FROM t WHERE k = 5")
        .unwrap();
    let fourth = go_on(&project, &spec, &third).await;
    project
        .own()
        .execute_batch("INSERT INTO t VALUES (6, '2024-01-03 00:00:00')")
        .unwrap();
    let fifth = go_on(&project, &spec, &fourth).await;
    assert_eq!(
        (fourth.rows.len(), fifth.rows),
        (0, vec!["6|2024-01-03 00:00:00".to_owned()])
    );
    let back = go_on(&project, &by_cursor("at", 86_400), &second).await;
    assert_eq!(back.rows.len(), 5);
    spec.limit = Some(1);
    let cut = go_on(&project, &spec, &second).await;
    assert_eq!(cut.position, second.position);
    spec.cursor = by_cursor("k", 0).cursor;
    let other = drain(project.source().as_ref(), &spec, Some(&second.position))
        .await
        .unwrap_err();
    assert_eq!(other.code, "R0315");
    project
        .own()
        .execute_batch("INSERT INTO t VALUES ('x', NULL)")
        .unwrap();
    assert_eq!(project.fail(&spec).await.code, "R0316");
}

#[tokio::test]
async fn ties_are_told_apart_by_the_columns_that_were_read() {
    let project = TestProject::with(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, at INTEGER, v TEXT, r REAL, x BLOB);
         INSERT INTO t VALUES (1, 7, 'a', 1.5, x'00'), (2, 7, NULL, NULL, NULL);",
    );
    let mut spec = by_cursor("at", 0);
    spec.projection = Some(vec!["k".to_owned(), "v".to_owned()]);
    let first = project.read(&spec).await;
    assert_eq!(first.rows, ["1|a", "2|∅"]);
    project
        .own()
        .execute_batch(
            "ALTER TABLE t ADD COLUMN late TEXT; INSERT INTO t VALUES (3, 7, NULL, NULL, NULL, '')",
        )
        .unwrap();
    // Another column is read now; rows are told apart as they were then.
    spec.projection = Some(vec!["late".to_owned(), "k".to_owned()]);
    let second = go_on(&project, &spec, &first).await;
    assert_eq!(
        (second.columns.len(), second.rows),
        (2, vec!["|3".to_owned()])
    );
    project
        .own()
        .execute_batch("ALTER TABLE t DROP COLUMN v")
        .unwrap();
    let gone = drain(project.source().as_ref(), &spec, Some(&first.position))
        .await
        .unwrap_err();
    assert_eq!((gone.code.as_str(), gone.help.len()), ("R0320", 1));
    assert!(gone.message.contains("`v`"), "{}", gone.message);
}

#[tokio::test]
async fn a_row_that_comes_late_with_a_lower_value_is_told_of_and_found_by_looking_back() {
    let project =
        TestProject::with("CREATE TABLE t (k INTEGER, at INTEGER); INSERT INTO t VALUES (1, 7)");
    let first = project.read(&by_cursor("at", 0)).await;
    let told = |outcome: &Outcome| {
        let note =
            |note: &String| note.contains("`at` below the last one") && note.contains("`lookback`");
        outcome.notes.iter().any(note)
    };
    assert!(told(&first), "{:?}", first.notes);
    project
        .own()
        .execute_batch("INSERT INTO t VALUES (2, 5), (3, 8)")
        .unwrap();
    let second = go_on(&project, &by_cursor("at", 0), &first).await;
    assert_eq!(second.rows, ["3|8"]);
    assert!(told(&second), "{:?}", second.notes);
    let back = go_on(&project, &by_cursor("at", 2), &first).await;
    assert_eq!(back.rows.len(), 3);
}

#[tokio::test]
async fn too_many_ties_are_refused_not_repeated() {
    let project = TestProject::with(
        "CREATE TABLE t (k INTEGER, at INTEGER);
         WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 10001)
         INSERT INTO t SELECT k, 1 FROM n",
    );
    let spec = by_cursor("at", 0);
    let first = project.read(&spec).await;
    assert_eq!(first.rows.len(), 10_001);
    let refused = drain(project.source().as_ref(), &spec, Some(&first.position))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "R0320");
    assert!(refused.help[0].contains("lookback"), "{:?}", refused.help);
    // The way out.
    let again = go_on(&project, &by_cursor("at", 1), &first).await;
    assert_eq!(again.rows.len(), 10_001);
    project
        .own()
        .execute_batch("DELETE FROM t WHERE k = 1")
        .unwrap();
    let whole = project.read(&spec).await;
    assert_eq!(go_on(&project, &spec, &whole).await.rows.len(), 0);
}

#[tokio::test]
async fn rows_without_a_cursor_are_read_once() {
    let project =
        TestProject::with("CREATE TABLE t (k INTEGER, at INTEGER); INSERT INTO t VALUES (1, NULL)");
    let spec = by_cursor("at", 0);
    let first = project.read(&spec).await;
    assert_eq!(first.rows, ["1|∅"]);
    project
        .own()
        .execute_batch("INSERT INTO t VALUES (2, 5)")
        .unwrap();
    let second = go_on(&project, &spec, &first).await;
    assert_eq!(second.rows, ["2|5"]);
    assert_eq!(go_on(&project, &spec, &second).await.rows, [""; 0]);
}

#[tokio::test]
async fn a_position_of_the_first_form_is_read() {
    let project = TestProject::with(
        "CREATE TABLE t (k INTEGER, at INTEGER); INSERT INTO t VALUES (1, 4), (2, 5), (3, 5), (4, 6)",
    );
    let resume =
        json!({ "version": 1, "column": "at", "upper": { "class": "integer", "value": "5" } });
    let position = towpath_vocab::SplitPosition { order: 4, resume };
    let old = Outcome {
        position: Position::single("cursor", position),
        ..Outcome::default()
    };
    // It does not say which rows at its end were given.
    let next = go_on(&project, &by_cursor("at", 0), &old).await;
    assert_eq!(next.rows, ["2|5", "3|5", "4|6"]);
    assert_eq!(next.notes.len(), 2);
    assert_eq!(
        go_on(&project, &by_cursor("at", 0), &next).await.rows,
        [""; 0]
    );
}

#[tokio::test]
async fn a_long_table_is_read_on_in_pieces() {
    let project = TestProject::with(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, at INTEGER);
         WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 200000)
         INSERT INTO t SELECT k, k / 2 FROM n",
    );
    let spec = by_cursor("at", 0);
    let first = project.read(&spec).await;
    assert_eq!((first.rows.len(), first.splits), (200_000, 3));
    project
        .own()
        .execute_batch(
            "INSERT INTO t VALUES (0, 100000); INSERT INTO t SELECT k + 300000, k + 300000 FROM t WHERE k < 150000",
        )
        .unwrap();
    let second = go_on(&project, &spec, &first).await;
    assert_eq!((second.rows.len(), second.splits), (150_001, 4));
    assert!(second.rows.contains(&"0|100000".to_owned()));
}

#[tokio::test]
async fn looking_around() {
    let project = TestProject::with(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at TIMESTAMP, note TEXT);
         INSERT INTO orders VALUES (1, '2024-01-01T00:00:00Z', 'x'), (2, '2024-01-01T00:00:00Z', 'x');
         CREATE VIEW v AS SELECT * FROM orders; CREATE TABLE _towpath_commits (x);",
    );
    let discover = Sqlite
        .discover(&project.connection, &project.context())
        .unwrap();
    assert_eq!(discover.tables("*").await.unwrap(), ["orders", "v"]);
    assert_eq!(discover.tables("o*").await.unwrap(), ["orders"]);
    let found = discover.describe("ORDERS").await.unwrap();
    assert_eq!(
        (found.object.as_str(), found.rows, found.cursor.as_deref()),
        ("orders", Some(2), Some("updated_at"))
    );
    assert_eq!(found.key, ["id"]);
    assert_eq!(found.schema.field(1).data_type(), &types::instant());
    assert!(
        discover
            .test()
            .await
            .unwrap()
            .system
            .starts_with("SQLite 3.")
    );
}

#[tokio::test]
async fn a_new_column_that_old_rows_hold_is_read_or_named() {
    let project = TestProject::with(
        "CREATE TABLE t (k INTEGER, gone TEXT); INSERT INTO t VALUES (0, 'w'), (1, 'x')",
    );
    let mut spec = by_cursor("k", 0);
    let first = project.read(&spec).await;
    project
        .own()
        .execute_batch(
            "ALTER TABLE t DROP COLUMN gone; ALTER TABLE t ADD COLUMN region TEXT DEFAULT 'eu';
             ALTER TABLE t ADD COLUMN later TEXT; INSERT INTO t VALUES (2, 'us', 'y')",
        )
        .unwrap();
    // The rows at the end of the first read were told apart by a column that is gone.
    let source = project.source();
    let refused = drain(source.as_ref(), &spec, Some(&first.position)).await;
    assert_eq!(refused.unwrap_err().code, "R0320");
    spec.may_repeat = true;
    let keyed = go_on(&project, &spec, &first).await;
    assert_eq!(keyed.rows, ["0|eu|∅", "1|eu|∅", "2|us|y"]);
    let notes = keyed.notes.join("\n");
    for part in [
        "`region`; all rows are read again",
        "`t` no longer has these columns: `gone`",
        "rows at the last `k` are read again and written by key",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!notes.contains("later"), "{notes}");
    project
        .own()
        .execute_batch("ALTER TABLE t ADD COLUMN more INTEGER DEFAULT 3")
        .unwrap();
    spec.may_repeat = false;
    let appended = go_on(&project, &spec, &keyed).await;
    assert!(appended.rows.is_empty());
    let notes = appended.notes.join("\n");
    assert!(
        notes.contains("`more`; rows in the table have NULL in them"),
        "{notes}"
    );
}
