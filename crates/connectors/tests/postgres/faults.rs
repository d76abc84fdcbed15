//! Servers that go away, transactions that conflict.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use towpath_ports::Commit;
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{Position, Remedy, TableName, WriteMode};

use crate::support::{Database, destination, intent, plan, prepare, source, table, task, try_read, write};

fn rows(count: i64) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(0..count))]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_under_a_load_leaves_nothing_and_is_worth_a_retry() {
    let server = PostgresServer::start().unwrap();
    let plan = plan(&server.url("postgres"));
    let target = TableName::new("out", "t");
    let destination = destination(&plan);
    let batch = rows(50_000);
    let append = |generation| intent(&target, batch.schema(), WriteMode::Append, &[], generation);
    write(destination.as_ref(), append(1), std::slice::from_ref(&batch)).await.unwrap();

    let mut writer = destination.begin(append(2)).await.unwrap();
    writer.write(batch.clone(), None).await.unwrap();
    server.kill();
    let mut outcome = Ok(());
    for _ in 0..50 {
        outcome = writer.write(batch.clone(), None).await;
        if outcome.is_err() {
            break;
        }
    }
    let failure = match outcome {
        Err(failure) => failure,
        Ok(()) => writer.prepare().await.err().unwrap(),
    };
    assert_eq!(failure.remedy, Remedy::Retry, "{failure:?}");
    let refused = destination.begin(append(2)).await.err().unwrap();
    assert_eq!((refused.code.as_str(), refused.remedy), ("R0202", Remedy::Retry));
    let failure = try_read(source(&plan).as_ref(), &table("t"), None).await.unwrap_err();
    assert_eq!(failure.remedy, Remedy::Retry);
    server.resume().unwrap();
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM out.t").unwrap(), "50000");

    // Dies between prepare and commit: nothing was committed, the retry does it once.
    let prepared = prepare(destination.as_ref(), append(2), std::slice::from_ref(&batch)).await.unwrap();
    server.kill();
    let failure = prepared.commit(Commit { position: Position::default() }).await.unwrap_err();
    assert_eq!(failure.remedy, Remedy::Retry, "{failure:?}");
    server.resume().unwrap();
    assert_eq!(destination.last(&task(&target), &target).await.unwrap().unwrap().token.generation.0, 1);
    let receipt = write(destination.as_ref(), append(2), std::slice::from_ref(&batch)).await.unwrap();
    assert!(!receipt.adopted);
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM out.t").unwrap(), "100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cut_by_the_server_is_worth_a_retry() {
    let database = Database::with("CREATE TABLE t AS SELECT n AS id, repeat('x', 1000) AS pad FROM generate_series(1, 200000) n");
    let mut spec = table("t");
    spec.batch_bytes = 64 << 10;
    let mut reader = database.source().open(&spec, None).await.unwrap();
    let mut assignments = futures::StreamExt::collect::<Vec<_>>(reader.splits()).await;
    let Ok(towpath_ports::Assignment::Assigned(mut split)) = assignments.swap_remove(0) else { panic!("no split") };
    assert!(matches!(futures::StreamExt::next(&mut split.events).await, Some(Ok(towpath_ports::Event::Rows(_)))));
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'towpath' AND datname = current_database()");
    let mut last = None;
    while let Some(event) = futures::StreamExt::next(&mut split.events).await {
        if let Err(failure) = event {
            last = Some(failure);
            break;
        }
    }
    assert_eq!(last.expect("the cut was noticed").remedy, Remedy::Retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_dropped_frees_its_sessions() {
    let database = Database::with("CREATE TABLE t AS SELECT n AS id, repeat('x', 1000) AS pad FROM generate_series(1, 100000) n");
    let mut spec = table("t");
    spec.batch_bytes = 64 << 10;
    let mut reader = database.source().open(&spec, None).await.unwrap();
    let mut assignments = futures::StreamExt::collect::<Vec<_>>(reader.splits()).await;
    let Ok(towpath_ports::Assignment::Assigned(mut split)) = assignments.swap_remove(0) else { panic!("no split") };
    assert!(futures::StreamExt::next(&mut split.events).await.is_some());
    drop(split);
    drop(assignments);
    drop(reader);
    // DROP waits for every session that still reads the table.
    database.sql("SET lock_timeout = '20s'; DROP TABLE t");
}
