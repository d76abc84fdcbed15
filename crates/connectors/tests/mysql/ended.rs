//! Checks that leave, or are slow, while the transaction of their write is still to be committed.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use futures::StreamExt as _;
use towpath_ports::{Assignment, BoxStream, Candidate, CandidateRows, Commit, Event};
use towpath_vocab::{Remedy, WriteMode};

use crate::proxy::{Fault, Proxy};
use crate::support::{Database, destination_at, intent, prepare, table};

fn ids(ids: std::ops::Range<i64>) -> RecordBatch {
    let ids = Int64Array::from_iter_values(ids);
    RecordBatch::try_from_iter_with_nullable([("id", Arc::new(ids) as _, true)]).unwrap()
}

/// The rows of a candidate, one in a batch.
async fn events(candidate: &Candidate) -> BoxStream<towpath_ports::Result<Event>> {
    let mut asked = table("candidate");
    asked.batch_rows = 1;
    let mut reader = candidate.source.open(&asked, None).await.unwrap();
    let mut splits = reader.splits();
    let Some(Ok(Assignment::Assigned(split))) = splits.next().await else {
        panic!("there is a split");
    };
    split.events
}

/// A check that has left does not hear that the server rolled its write back because of a deadlock: the commit
/// must not store a token without rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_a_deadlock_ended_is_not_committed() {
    let database = Database::with(
        "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_100_to_1100",
    );
    let rows = ids(5..6);
    let wanted = intent(rows.schema(), WriteMode::Append, &[], 1);
    let prepared = prepare(database.destination().as_ref(), wanted, &rows).await;
    let prepared = prepared.unwrap();
    let (server, name) = (Arc::clone(&database.server), database.name.clone());
    // They have changed more, so theirs is the transaction that goes on.
    let others = std::thread::spawn(move || {
        let sql = "BEGIN; UPDATE t SET id = id + 10000 WHERE id >= 100; DO SLEEP(5); \
                   DELETE FROM t WHERE id = 5; COMMIT";
        server.sql(&name, sql).unwrap();
    });
    let sleeping = "SELECT count(*) FROM information_schema.processlist \
                    WHERE db = database() AND info LIKE 'DO SLEEP%'";
    while database.sql(sleeping) == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let candidate = prepared
        .candidate(CandidateRows::AfterCommit)
        .await
        .unwrap();
    let mut events = events(&candidate).await;
    let first = async { while events.next().await.is_some() {} };
    let waited = tokio::time::timeout(Duration::from_secs(1), first).await;
    assert!(waited.is_err(), "it waits for rows of others");
    drop(events);
    others.join().unwrap();
    let failure = prepared.commit(Commit::default()).await.unwrap_err();
    assert!(
        matches!(failure.remedy, Remedy::Retry | Remedy::Unreachable),
        "{failure:?}"
    );
    let found = "SELECT concat(count(*), ' ', min(id), ' ', (SELECT count(*) FROM _towpath_commits)) FROM t";
    assert_eq!(database.sql(found), "1001 10100 0");
}

/// However slow a check takes the rows that it reads, the server does not take its session for dead. (For this
/// test it waits ten seconds instead of a minute.)
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_check_does_not_end_its_write() {
    let database = Database::with("CREATE TABLE t (id bigint)");
    let shorter: (&[u8], &[u8]) = (b"wait_timeout = 60,", b"wait_timeout = 10,");
    let proxy = Proxy::start(database.server.port(), Fault::None, Some(shorter)).await;
    let (own, other) = (database.server.port(), proxy.port);
    let url = database
        .url()
        .replace(&format!(":{own}/"), &format!(":{other}/"));
    let destination = destination_at(&format!("{url}?sslmode=disable"));
    let rows = ids(0..50);
    let wanted = intent(rows.schema(), WriteMode::Append, &[], 1);
    let prepared = prepare(destination.as_ref(), wanted, &rows).await.unwrap();
    let candidate = prepared
        .candidate(CandidateRows::AfterCommit)
        .await
        .unwrap();
    let mut events = events(&candidate).await;
    let mut seen = 0;
    while let Some(event) = events.next().await {
        let Event::Rows(batch) = event.unwrap() else {
            continue;
        };
        if seen == 0 {
            tokio::time::sleep(Duration::from_secs(13)).await;
        }
        seen += batch.len();
    }
    assert_eq!(seen, 50);
    drop((events, candidate));
    prepared.commit(Commit::default()).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM t"), "50");
}
