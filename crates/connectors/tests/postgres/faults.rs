//! Servers that go away, transactions that conflict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use towpath_ports::Commit;
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{Position, Remedy, TableName, WriteMode};

use crate::support::{
    Database, destination, intent, plan, prepare, source, table, task, try_read, write,
};

fn rows(count: i64) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    RecordBatch::try_new(
        schema,
        vec![Arc::new(Int64Array::from_iter_values(0..count))],
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_under_a_load_leaves_nothing_and_is_worth_a_retry() {
    let server = PostgresServer::start().unwrap();
    let plan = plan(&server.url("postgres"));
    let target = TableName::new("out", "t");
    let destination = destination(&plan);
    let batch = rows(50_000);
    let append = |generation| intent(&target, batch.schema(), WriteMode::Append, &[], generation);
    write(
        destination.as_ref(),
        append(1),
        std::slice::from_ref(&batch),
    )
    .await
    .unwrap();

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
    assert!(failure.remedy.may_pass(), "{failure:?}");
    let refused = destination.begin(append(2)).await.err().unwrap();
    assert_eq!(
        (refused.code.as_str(), refused.remedy),
        ("R0202", Remedy::Unreachable)
    );
    let failure = try_read(source(&plan).as_ref(), &table("t"), None)
        .await
        .unwrap_err();
    assert_eq!(failure.remedy, Remedy::Unreachable);
    server.resume().unwrap();
    assert_eq!(
        server
            .psql("postgres", "SELECT count(*) FROM out.t")
            .unwrap(),
        "50000"
    );

    // Dies between prepare and commit: nothing was committed, the retry does it once.
    let prepared = prepare(
        destination.as_ref(),
        append(2),
        std::slice::from_ref(&batch),
    )
    .await
    .unwrap();
    server.kill();
    let failure = prepared
        .commit(Commit {
            audited: false,
            position: Position::default(),
            ..Commit::default()
        })
        .await
        .unwrap_err();
    assert!(failure.remedy.may_pass(), "{failure:?}");
    server.resume().unwrap();
    assert_eq!(
        destination
            .last(&task(&target), &target)
            .await
            .unwrap()
            .unwrap()
            .token
            .generation
            .0,
        1
    );
    let receipt = write(
        destination.as_ref(),
        append(2),
        std::slice::from_ref(&batch),
    )
    .await
    .unwrap();
    assert!(!receipt.adopted);
    assert_eq!(
        server
            .psql("postgres", "SELECT count(*) FROM out.t")
            .unwrap(),
        "100000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cut_by_the_server_is_worth_a_retry() {
    let database = Database::with(
        "CREATE TABLE t AS SELECT n AS id, repeat('x', 1000) AS pad FROM generate_series(1, 200000) n",
    );
    let mut spec = table("t");
    spec.batch_bytes = 64 << 10;
    let mut reader = database.source().open(&spec, None).await.unwrap();
    let mut assignments = futures::StreamExt::collect::<Vec<_>>(reader.splits()).await;
    let Ok(towpath_ports::Assignment::Assigned(mut split)) = assignments.swap_remove(0) else {
        panic!("no split")
    };
    assert!(matches!(
        futures::StreamExt::next(&mut split.events).await,
        Some(Ok(towpath_ports::Event::Rows(_)))
    ));
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'towpath' AND datname = current_database()");
    let mut last = None;
    while let Some(event) = futures::StreamExt::next(&mut split.events).await {
        if let Err(failure) = event {
            last = Some(failure);
            break;
        }
    }
    assert_eq!(
        last.expect("the cut was noticed").remedy,
        Remedy::Unreachable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_dropped_frees_its_sessions() {
    let database = Database::with(
        "CREATE TABLE t AS SELECT n AS id, repeat('x', 1000) AS pad FROM generate_series(1, 100000) n",
    );
    let mut spec = table("t");
    spec.batch_bytes = 64 << 10;
    let mut reader = database.source().open(&spec, None).await.unwrap();
    let mut assignments = futures::StreamExt::collect::<Vec<_>>(reader.splits()).await;
    let Ok(towpath_ports::Assignment::Assigned(mut split)) = assignments.swap_remove(0) else {
        panic!("no split")
    };
    assert!(futures::StreamExt::next(&mut split.events).await.is_some());
    drop(split);
    drop(assignments);
    drop(reader);
    // DROP waits for every session that still reads the table.
    database.sql("SET lock_timeout = '20s'; DROP TABLE t");
}

/// A way to the server that breaks once, at the first COMMIT: after passing it on, or before.
async fn breaking_proxy(port: u16, passes_commit_on: bool) -> u16 {
    proxy_with(port, passes_commit_on, None).await
}

/// What happens between the first COMMIT and the moment when the client sees that the way is broken.
type Meanwhile = Arc<Mutex<Option<futures::future::BoxFuture<'static, ()>>>>;

async fn proxy_with(port: u16, passes_commit_on: bool, meanwhile: Option<Meanwhile>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let broken = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (broken, meanwhile) = (Arc::clone(&broken), meanwhile.clone());
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (mut from_client, to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                // The client sees that the way is broken when both are gone.
                let to_client = Arc::new(Mutex::new(to_client));
                let answers = Arc::clone(&to_client);
                let back = tokio::spawn(async move {
                    let mut to_client = answers.lock().await;
                    tokio::io::copy(&mut from_server, &mut *to_client).await
                });
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    let data = &buffer[..read];
                    let commits = data.windows(7).any(|word| word == b"COMMIT\0");
                    if commits && !broken.swap(true, Ordering::SeqCst) {
                        // No answer comes back, whatever the server does.
                        back.abort();
                        let _ = back.await;
                        if passes_commit_on {
                            to_server.write_all(data).await.unwrap();
                        }
                        drop(to_server);
                        if let Some(meanwhile) = meanwhile {
                            let work = meanwhile.lock().await.take();
                            work.unwrap().await;
                        }
                        return;
                    }
                    if to_server.write_all(data).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_settled_by_asking() {
    let database = Database::new();
    for (generation, passes_commit_on) in [(1, true), (2, false)] {
        let port = breaking_proxy(database.server.port(), passes_commit_on).await;
        let url = database.url().replace(
            &format!(":{}/", database.server.port()),
            &format!(":{port}/"),
        );
        let destination = destination(&plan(&format!("{url}?sslmode=disable")));
        let target = TableName::new("out", "t");
        let append = || {
            intent(
                &target,
                rows(10).schema(),
                WriteMode::Append,
                &[],
                generation,
            )
        };
        let outcome = write(destination.as_ref(), append(), &[rows(10)]).await;
        if passes_commit_on {
            assert!(
                !outcome.unwrap().adopted,
                "it was this attempt's own commit"
            );
        } else {
            assert!(outcome.unwrap_err().remedy.may_pass());
        }
        let again = write(destination.as_ref(), append(), &[rows(10)])
            .await
            .unwrap();
        assert_eq!(again.adopted, passes_commit_on);
        assert_eq!(
            database.sql("SELECT count(*) FROM out.t"),
            (generation * 10).to_string()
        );
    }
}

/// Others commit between a COMMIT without an answer and the question what became of it: their commits are not
/// taken for one's own, and do not hide one's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_told_from_those_of_others() {
    for (reaches, others) in [(true, 3), (false, 3), (false, 2)] {
        let database = Database::new();
        let target = TableName::new("out", "t");
        let append = move |generation, count| {
            let schema = rows(count).schema();
            intent(&target, schema, WriteMode::Append, &[], generation)
        };
        write(database.destination().as_ref(), append(1, 1), &[rows(1)])
            .await
            .unwrap();
        let (other, theirs) = (database.destination(), append(others, 10));
        let meanwhile = async move {
            write(other.as_ref(), theirs, &[rows(10)]).await.unwrap();
        };
        let meanwhile: futures::future::BoxFuture<'static, ()> = Box::pin(meanwhile);
        let meanwhile = Arc::new(Mutex::new(Some(meanwhile)));
        let own_port = database.server.port();
        let port = proxy_with(own_port, reaches, Some(meanwhile)).await;
        let url = database.url();
        let url = url.replace(&format!(":{own_port}/"), &format!(":{port}/"));
        let through = destination(&plan(&format!("{url}?sslmode=disable")));
        let outcome = write(through.as_ref(), append(2, 100), &[rows(100)]).await;
        let counted = database.sql("SELECT count(*) FROM out.t");
        match (reaches, others) {
            (true, _) => {
                let receipt = outcome.unwrap();
                assert!(!receipt.adopted, "it was its own commit");
                let committed = receipt.committed;
                assert_eq!(committed.token.generation.0, 2);
                assert_eq!(committed.stats.rows_in, 100);
                assert_eq!(counted, "111");
            }
            (false, 3) => {
                let failure = outcome.unwrap_err();
                assert_eq!(
                    (failure.code.as_str(), failure.remedy),
                    ("R0240", Remedy::Refused)
                );
                let help = failure.help.join(" ");
                assert!(help.contains("another run has committed since"), "{help}");
                assert_eq!(counted, "11");
            }
            _ => {
                let receipt = outcome.unwrap();
                assert!(receipt.adopted, "it was the commit of another attempt");
                assert_eq!(receipt.committed.stats.rows_in, 10);
                assert_eq!(counted, "11");
            }
        }
    }
}

/// A schema, a table and the table of tokens are made by whichever task comes first; the others wait.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_meet_a_schema_that_does_not_exist_all_write() {
    let database = Database::new();
    for round in 0..4 {
        let schema = format!("fresh{round}");
        let mut tasks = Vec::new();
        for at in 0..6 {
            let destination = database.destination();
            // The last two write one table.
            let target = TableName::new(&schema, format!("t{}", at.min(4)));
            let mut intent = intent(&target, rows(10).schema(), WriteMode::Append, &[], 1);
            intent.task.step = format!("step{at}").as_str().into();
            tasks.push(tokio::spawn(async move {
                write(destination.as_ref(), intent, &[rows(10)]).await
            }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        for (table, expected) in [("t0", "10"), ("t3", "10"), ("t4", "20")] {
            let sql = format!("SELECT count(*) FROM {schema}.{table}");
            assert_eq!(database.sql(&sql), expected);
        }
        let tokens = format!("SELECT count(*) FROM {schema}._towpath_commits");
        assert_eq!(database.sql(&tokens), "6");
    }
}

/// Other programs define things, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_defines_meanwhile_is_no_fault_of_the_data() {
    let database = Database::new();
    let other = database.client().await;
    other
        .batch_execute("BEGIN; CREATE SCHEMA out; CREATE TABLE out.t (id bigint)")
        .await
        .unwrap();
    let target = TableName::new("out", "t");
    let append = intent(&target, rows(10).schema(), WriteMode::Append, &[], 1);
    let waiting = tokio::spawn({
        let (destination, append) = (database.destination(), append.clone());
        async move { write(destination.as_ref(), append, &[rows(10)]).await }
    });
    until(&database, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").await;
    other.batch_execute("COMMIT").await.unwrap();
    let failure = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0207", Remedy::Retry),
        "{failure}"
    );
    write(database.destination().as_ref(), append, &[rows(10)])
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "10");
}

const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_while_a_write_waits_for_it_is_named() {
    for (then, modes) in [
        ("DROP TABLE out.t", [WriteMode::Append, WriteMode::Merge]),
        (
            "DROP TABLE out.t; CREATE TABLE out.t (other text, id bigint)",
            [WriteMode::Append, WriteMode::Replace],
        ),
    ] {
        for mode in modes {
            let database =
                Database::with("CREATE SCHEMA out; CREATE TABLE out.t (id bigint, v text)");
            let target = TableName::new("out", "t");
            let how = intent(&target, rows(10).schema(), mode, &["id"], 1);
            let other = database.client().await;
            let insert = "BEGIN; INSERT INTO out.t VALUES (77)";
            other.batch_execute(insert).await.unwrap();
            let waiting = tokio::spawn({
                let (destination, how) = (database.destination(), how.clone());
                async move { write(destination.as_ref(), how, &[rows(10)]).await }
            });
            until(&database, WAITS).await;
            let then = format!("{then}; COMMIT");
            other.batch_execute(&then).await.unwrap();
            let failure = waiting.await.unwrap().unwrap_err();
            assert_eq!(
                (failure.code.as_str(), failure.remedy),
                ("R0252", Remedy::Retry),
                "{failure}"
            );
            assert!(failure.message.contains("`out.t`"), "{failure}");
            write(database.destination().as_ref(), how, &[rows(10)])
                .await
                .unwrap();
            assert_eq!(database.sql("SELECT count(*) FROM out.t"), "10");
        }
    }
}

async fn until(database: &Database, condition: &str) {
    for _ in 0..600 {
        if database.sql(condition) == "t" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never true: {condition}");
}

/// A process that is killed leaves a session in the middle of a statement, with its locks.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_process_died_gives_its_locks_back() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id bigint);
         CREATE FUNCTION out.slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON out.t FOR EACH STATEMENT EXECUTE FUNCTION out.slow();",
    );
    let target = TableName::new("out", "t");
    let append = intent(&target, rows(10).schema(), WriteMode::Append, &[], 1);
    let killed = tokio::spawn({
        let (destination, append) = (database.destination(), append.clone());
        async move { write(destination.as_ref(), append, &[rows(10)]).await }
    });
    until(&database, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()").await;
    killed.abort();
    assert!(killed.await.is_err());
    let begun = std::time::Instant::now();
    let last = database.destination().last(&task(&target), &target).await;
    assert_eq!(last.unwrap(), None);
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    database.sql("SET lock_timeout = '20s'; DROP TRIGGER slow ON out.t");
    write(database.destination().as_ref(), append, &[rows(10)])
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "10");
}
