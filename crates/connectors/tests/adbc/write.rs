//! Writes into DuckDB files: tables that are there, types that do not fit, several writes at once, and databases that
//! are not written.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use towpath_ports::{Commit, Prepared, Result, WriteRequest};
use towpath_testkit::adbc::AdbcDriver;
use towpath_testkit::conformance::write_plan;
use towpath_vocab::{
    Failure, Generation, Remedy, SchemaChange, TableName, TaskKey, TaskKind, WriteMode,
};

use crate::outside;
use crate::support::{Database, connector};

fn rows(pairs: &[(i64, &str)]) -> RecordBatch {
    let ids: Int64Array = pairs.iter().map(|(id, _)| Some(*id)).collect();
    let values: StringArray = pairs.iter().map(|(_, v)| Some(*v)).collect();
    let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(ids)), ("v", Arc::new(values))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn intent(
    batch: &RecordBatch,
    table: &TableName,
    mode: WriteMode,
    generation: i64,
) -> WriteRequest {
    WriteRequest {
        table: table.clone(),
        schema: batch.schema(),
        write: write_plan(mode, &["id"]),
        task: TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "shop".into(),
            step: "publish".into(),
            kind: TaskKind::Step,
            table: table.clone(),
        },
        generation: Generation(generation),
        after: None,
        run: "shop#1".to_owned(),
    }
}

async fn prepare(
    database: &Database,
    intent: WriteRequest,
    batch: RecordBatch,
) -> Result<Box<dyn Prepared>> {
    let destination = connector().destination(&database.plan(), &database.context())?;
    let mut writer = destination.begin(intent).await?;
    writer.write(batch, None).await?;
    writer.prepare().await
}

async fn put(
    database: &Database,
    table: &TableName,
    (mode, generation): (WriteMode, i64),
    batch: RecordBatch,
) -> Result<(u64, u64, u64)> {
    let prepared = prepare(database, intent(&batch, table, mode, generation), batch).await?;
    let receipt = prepared.commit(Commit::default()).await?;
    let stats = receipt.committed.stats;
    Ok((stats.inserted, stats.updated, stats.deleted))
}

fn seen(database: &Database, sql: &str) -> Vec<String> {
    outside::duckdb(&database.file(), sql).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_sees_the_rows_and_the_token() {
    let database = Database::new(AdbcDriver::DuckDb);
    let table = TableName::new("db", "t");
    let first = put(
        &database,
        &table,
        (WriteMode::Merge, 1),
        rows(&[(1, "a"), (2, "b")]),
    )
    .await;
    assert_eq!(first.unwrap(), (2, 0, 0));
    let next = put(
        &database,
        &table,
        (WriteMode::Merge, 2),
        rows(&[(2, "c"), (3, "d")]),
    )
    .await;
    assert_eq!(next.unwrap(), (1, 1, 0));
    let lines = seen(&database, "SELECT id, v FROM t ORDER BY id");
    assert_eq!(lines, ["id=1 v=a", "id=2 v=c", "id=3 v=d"]);
    let tokens = seen(
        &database,
        "SELECT generation AS g FROM _towpath_commits ORDER BY g",
    );
    assert_eq!(tokens, ["g=1", "g=2"]);
    let key = "SELECT constraint_column_names[1] AS c FROM duckdb_constraints() WHERE table_name = 't' AND constraint_type = 'PRIMARY KEY'";
    assert_eq!(seen(&database, key), ["c=id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_made_and_used() {
    let database = Database::new(AdbcDriver::DuckDb);
    let table = TableName::new("Marts", "t");
    put(
        &database,
        &table,
        (WriteMode::Replace, 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    put(
        &database,
        &table,
        (WriteMode::Replace, 2),
        rows(&[(2, "b")]),
    )
    .await
    .unwrap();
    assert_eq!(seen(&database, "SELECT id FROM \"Marts\".t"), ["id=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_with_a_key_take_replaced_and_merged_rows() {
    let database = Database::new(AdbcDriver::DuckDb);
    database.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR NOT NULL, w INTEGER DEFAULT 7)");
    database.sql("INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)");
    let table = TableName::new("db", "t");
    put(
        &database,
        &table,
        (WriteMode::Merge, 1),
        rows(&[(2, "b"), (3, "c")]),
    )
    .await
    .unwrap();
    let lines = seen(&database, "SELECT * FROM t ORDER BY id");
    // A column that does not come stays, and has its default in new rows.
    assert_eq!(lines, ["id=1 v=x w=1", "id=2 v=b w=2", "id=3 v=c w=7"]);
    put(
        &database,
        &table,
        (WriteMode::DeleteInsert, 2),
        rows(&[(3, "d")]),
    )
    .await
    .unwrap();
    put(
        &database,
        &table,
        (WriteMode::Replace, 3),
        rows(&[(3, "e")]),
    )
    .await
    .unwrap();
    assert_eq!(seen(&database, "SELECT id, v FROM t"), ["id=3 v=e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let database = Database::new(AdbcDriver::DuckDb);
    let table = TableName::new("db", "t");
    let refused = async |sql: &str, mode: WriteMode| -> Failure {
        database.sql("DROP TABLE IF EXISTS t");
        database.sql(sql);
        let batch = rows(&[(1, "not a number")]);
        let failure = put(&database, &table, (mode, 1), batch).await.unwrap_err();
        assert_eq!(
            seen(&database, "SELECT count(*) AS n FROM t"),
            ["n=0"],
            "{sql}"
        );
        failure
    };
    let of = refused("CREATE TABLE t (id BIGINT, v INTEGER)", WriteMode::Append).await;
    assert_eq!(of.code, "R0245", "{}", of.message);
    // DuckDB gives no column of a key another type.
    let of = refused(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR)",
        WriteMode::Append,
    )
    .await;
    assert_eq!(of.code, "R1407", "{}", of.message);
    let of = refused(
        "CREATE TABLE t (id BIGINT, v VARCHAR COLLATE NOCASE)",
        WriteMode::Merge,
    )
    .await;
    assert_eq!(of.code, "R1417", "{}", of.message);
    let of = refused(
        "CREATE TABLE t (id BIGINT, v VARCHAR, CHECK (length(v) < 3))",
        WriteMode::Append,
    )
    .await;
    assert_eq!(
        (of.code.as_str(), of.remedy),
        ("R1412", Remedy::FixData),
        "{}",
        of.message
    );
    assert!(!format!("{of:?}").contains("not a number"), "{of:?}");
    database.sql("CREATE VIEW w AS SELECT 1 AS id, 'a' AS v");
    let view = TableName::new("db", "w");
    let of = put(&database, &view, (WriteMode::Append, 1), rows(&[(1, "a")]))
        .await
        .unwrap_err();
    assert_eq!(of.code, "R0246", "{}", of.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_may_not_be_added_is_refused() {
    let database = Database::new(AdbcDriver::DuckDb);
    database.sql("CREATE TABLE t (id BIGINT)");
    let table = TableName::new("db", "t");
    let batch = rows(&[(1, "a")]);
    let mut wanted = intent(&batch, &table, WriteMode::Append, 1);
    wanted.write.schema_change = SchemaChange::Fail;
    let failure = prepare(&database, wanted, batch.clone())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.code, "R0246", "{}", failure.message);
    put(&database, &table, (WriteMode::Append, 1), batch)
        .await
        .unwrap();
    assert_eq!(seen(&database, "SELECT * FROM t"), ["id=1 v=a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_file_take_turns_and_all_commit() {
    let database = Arc::new(Database::new(AdbcDriver::DuckDb));
    let mut tasks = Vec::new();
    for at in 0..6 {
        let database = Arc::clone(&database);
        tasks.push(tokio::spawn(async move {
            let table = TableName::new("db", format!("t{at}"));
            put(
                &database,
                &table,
                (WriteMode::Append, 1),
                rows(&[(at, "a")]),
            )
            .await
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), (1, 0, 0));
    }
    let count = "SELECT count(*) AS n FROM _towpath_commits";
    assert_eq!(seen(&database, count), ["n=6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_under_two_names_is_one_database() {
    let database = Database::new(AdbcDriver::DuckDb);
    let table = TableName::new("db", "t");
    put(&database, &table, (WriteMode::Append, 1), rows(&[(1, "a")]))
        .await
        .unwrap();
    // Prepared and not committed, while another connection writes by a detour.
    let batch = rows(&[(2, "b")]);
    let waiting = prepare(
        &database,
        intent(&batch, &table, WriteMode::Append, 2),
        batch,
    );
    let prepared = waiting.await.unwrap();
    std::fs::create_dir(database.dir.path().join("sub")).unwrap();
    let mut plan = database.plan();
    let detour = crate::support::plain("sub/../data.db");
    plan.options.insert("path".to_owned(), detour);
    let source = connector().source(&plan, &database.context()).unwrap();
    let spec = towpath_testkit::conformance::read_spec("t");
    let before = crate::support::taken(source.open(&spec, None).await.unwrap())
        .await
        .unwrap();
    assert_eq!(before.column("id").len(), 1);
    prepared.commit(Commit::default()).await.unwrap();
    let after = crate::support::taken(source.open(&spec, None).await.unwrap())
        .await
        .unwrap();
    assert_eq!(after.column("id").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_known_to_write_is_refused() {
    for driver in [AdbcDriver::Postgres, AdbcDriver::Sqlite] {
        let database = Database::new(driver);
        database.sql("CREATE TABLE t (id int, v text)");
        let table = TableName::new("db", "t");
        let failure = put(&database, &table, (WriteMode::Append, 1), rows(&[(1, "a")])).await;
        let failure = failure.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R1416", Remedy::Refused)
        );
        assert!(failure.message.contains("SQL"), "{}", failure.message);
    }
}
