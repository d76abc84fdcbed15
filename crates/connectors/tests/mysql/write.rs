//! Every write mode against a naive model, and what a write leaves when it is refused, stopped or raced.

use std::sync::Arc;

use arrow_array::{Array as _, BinaryArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::{Strategy as _, any};
use towpath_ports::{CandidateRows, Commit, DELETE_ABSENT, StateBeforeWrite};
use towpath_testkit::mariadb::PASSWORD;
use towpath_vocab::{Failure, Remedy, WriteMode};

use crate::support::{Database, destination_at, intent, prepare, read, table, target, write};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("v", DataType::Utf8, true),
    ]))
}

fn batch(rows: &[(i64, &str)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|(id, _)| Some(*id)).collect();
    let values: StringArray = rows.iter().map(|(_, v)| Some(*v)).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(values)]).unwrap()
}

fn contents(database: &Database) -> String {
    let sql = "SELECT coalesce(group_concat(id, '=', v ORDER BY id, v SEPARATOR ' '), '') FROM t";
    database.sql(sql)
}

async fn put(
    database: &Database,
    (mode, generation): (WriteMode, i64),
    rows: &[(i64, &str)],
) -> Result<(u64, u64, u64), Failure> {
    let wanted = intent(schema(), mode, &["id"], generation);
    let receipt = write(database.destination().as_ref(), wanted, &batch(rows)).await?;
    let stats = receipt.committed.stats;
    Ok((stats.inserted, stats.updated, stats.deleted))
}

type Model = Vec<(i64, String)>;

fn model(mode: WriteMode, table: &mut Model, rows: &[(i64, String)], deleted: &[i64]) {
    let known: Vec<i64> = table.iter().map(|(id, _)| *id).collect();
    let coming: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    match mode {
        WriteMode::Replace => table.clear(),
        WriteMode::DeleteInsert => table.retain(|(id, _)| !coming.contains(id)),
        WriteMode::Merge => table.retain(|(id, _)| !coming.contains(id) && !deleted.contains(id)),
        _ => {}
    }
    let new = rows
        .iter()
        .filter(|(id, _)| mode != WriteMode::InsertOnly || !known.contains(id));
    table.extend(new.cloned());
    table.sort();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_does_what_a_naive_model_does() {
    let modes = [
        WriteMode::Replace,
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
    ];
    let rows = proptest::collection::btree_map(0_i64..12, "[a-z]{0,3}", 0..8);
    let gone = proptest::collection::btree_set(0_i64..14, 0..3);
    let step = (0..4_usize, rows, gone, any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let database = Database::with("SELECT 1");
    let destination = database.destination();
    let mut expected: Model = Vec::new();
    for generation in 1..=30 {
        let drawn = step.new_tree(&mut runner).unwrap();
        let (mode, rows, gone, deletes) = proptest::strategy::ValueTree::current(&drawn);
        let mode = modes[mode];
        let rows: Model = rows.into_iter().collect();
        let texts: Vec<(i64, &str)> = rows.iter().map(|(id, v)| (*id, v.as_str())).collect();
        let gone: Vec<i64> = gone
            .into_iter()
            .filter(|id| !texts.iter().any(|row| row.0 == *id))
            .collect();
        let gone = if mode == WriteMode::Merge && deletes {
            gone
        } else {
            Vec::new()
        };
        let wanted = intent(schema(), mode, &["id"], generation);
        let mut writer = destination.begin(wanted).await.unwrap();
        writer.write(batch(&texts), None).await.unwrap();
        if !gone.is_empty() {
            let deleted: Vec<(i64, &str)> = gone.iter().map(|id| (*id, "")).collect();
            let ops = UInt8Array::from_value(2, deleted.len());
            writer.write(batch(&deleted), Some(ops)).await.unwrap();
        }
        let prepared = writer.prepare().await.unwrap();
        let candidate = prepared
            .candidate(CandidateRows::AfterCommit)
            .await
            .unwrap();
        let seen = read(candidate.source.as_ref(), &table("candidate"), None).await;
        model(mode, &mut expected, &rows, &gone);
        assert_eq!(seen.len(), expected.len(), "{mode:?}");
        prepared.commit(Commit::default()).await.unwrap();
        let text: Vec<String> = expected.iter().map(|(id, v)| format!("{id}={v}")).collect();
        assert_eq!(contents(&database), text.join(" "), "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_changes_rows_in_place_and_deletes_what_is_absent() {
    let database = Database::with(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, mine varchar(9) DEFAULT 'own', \
         at timestamp(6) NOT NULL DEFAULT '2001-01-01' ON UPDATE CURRENT_TIMESTAMP(6)); \
         INSERT INTO t (id, v, mine) VALUES (1, 'a', 'kept'), (2, 'b', 'gone'), (3, 'c', 'same')",
    );
    let rows = [(1, "A"), (3, "c"), (4, "d")];
    let mut merge = intent(schema(), WriteMode::Merge, &["id"], 1);
    merge
        .write
        .options
        .insert(DELETE_ABSENT.to_owned(), true.into());
    let destination = database.destination();
    let receipt = write(destination.as_ref(), merge, &batch(&rows))
        .await
        .unwrap();
    let stats = receipt.committed.stats;
    assert_eq!((stats.inserted, stats.updated, stats.deleted), (1, 2, 1));
    let found = "SELECT group_concat(id, v, mine, year(at) = 2001 ORDER BY id) FROM t";
    assert_eq!(database.sql(found), "1Akept0,3csame1,4down1");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_load_data_rows_are_inserted_with_the_same_values() {
    let database = Database::alone(&["--local-infile=0", "--max-allowed-packet=1M"], "SELECT 1");
    let odd = ["", "NULL", "\\N", "a\tb\nc\\d'\"`", "\0\u{1A}", "\u{1F600}"];
    let texts: Vec<Option<String>> = (0..20_000)
        .map(|at: usize| (at % 7 != 6).then(|| format!("{}{}", odd[at % 6], "x".repeat(at % 200))))
        .collect();
    let bytes: Vec<Option<&[u8]>> = (0..20_000)
        .map(|at: usize| [Some(b"\\\0\xff".as_slice()), Some(b""), None][at % 3])
        .collect();
    let rows = RecordBatch::try_from_iter_with_nullable([
        (
            "id",
            Arc::new(Int64Array::from_iter_values(0..20_000)) as _,
            true,
        ),
        ("v", Arc::new(StringArray::from(texts.clone())) as _, true),
        ("b", Arc::new(BinaryArray::from(bytes.clone())) as _, true),
    ])
    .unwrap();
    let wanted = intent(rows.schema(), WriteMode::Replace, &[], 1);
    write(database.destination().as_ref(), wanted, &rows)
        .await
        .unwrap();
    let back = database.read("t").await;
    assert_eq!(back.len(), 20_000);
    assert_eq!(back.column("v"), texts);
    let found = back.batches.iter().flat_map(|batch| {
        let column = batch.column_by_name("b").unwrap();
        let column = column
            .as_any()
            .downcast_ref::<BinaryArray>()
            .unwrap()
            .clone();
        (0..column.len()).map(move |at| (!column.is_null(at)).then(|| column.value(at).to_vec()))
    });
    let sent = bytes.iter().map(|bytes| bytes.map(<[u8]>::to_vec));
    assert!(found.eq(sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_and_large_values_arrive() {
    let database = Database::with("SELECT 1");
    let large = "ä".repeat(1_500_000);
    let values: StringArray = (0..300_000)
        .map(|at| {
            Some(if at == 150_000 {
                large.clone()
            } else {
                format!("value {at}")
            })
        })
        .collect();
    let ids = Int64Array::from_iter_values(0..300_000);
    let rows = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(values)]).unwrap();
    let wanted = intent(schema(), WriteMode::Append, &[], 1);
    write(database.destination().as_ref(), wanted, &rows)
        .await
        .unwrap();
    let sql = "SELECT count(*), sum(id), max(length(v)), sum(v = concat('value ', id)) FROM t";
    assert_eq!(database.sql(sql), "300000\t44999850000\t3000000\t299999");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_in_a_transaction_is_refused() {
    let database = Database::with(
        "CREATE TABLE t (id bigint, v text) ENGINE = MyISAM; CREATE TABLE p (id bigint PRIMARY KEY)",
    );
    let failure = put(&database, (WriteMode::Append, 1), &[(1, "a")]).await;
    let failure = failure.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R1020", Remedy::FixConfig)
    );
    assert!(failure.message.contains("MyISAM"), "{failure:?}");
    database.sql("DROP TABLE t; CREATE VIEW t AS SELECT 1 AS id, 'a' AS v");
    let failure = put(&database, (WriteMode::Append, 1), &[(1, "a")]).await;
    assert_eq!(failure.unwrap_err().code, "R1020");
    database.sql(
        "DROP VIEW t; CREATE TABLE t (id bigint PRIMARY KEY, v text); \
         CREATE TABLE child (t bigint, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE); \
         INSERT INTO t VALUES (1, 'a'); INSERT INTO child VALUES (1)",
    );
    for mode in [WriteMode::Replace, WriteMode::DeleteInsert] {
        let failure = put(&database, (mode, 1), &[(1, "b")]).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R1024", Remedy::Refused)
        );
    }
    put(&database, (WriteMode::Merge, 1), &[(1, "c")])
        .await
        .unwrap();
    assert_eq!(
        database.sql("SELECT concat(v, (SELECT count(*) FROM child)) FROM t"),
        "c1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_gets_no_rows_is_not_left_behind() {
    let database = Database::with("SELECT 1");
    put(&database, (WriteMode::Append, 1), &[(1, "a")])
        .await
        .unwrap();
    let name = &database.name;
    // May create tables, and store tokens, but not insert into the new table.
    database.sql(&format!(
        "DROP TABLE t; CREATE USER w_{name} IDENTIFIED BY '{PASSWORD}'; \
         GRANT CREATE, DROP, SELECT, DELETE, LOCK TABLES, CREATE TEMPORARY TABLES ON {name}.* TO w_{name}; \
         GRANT INSERT ON {name}._towpath_commits TO w_{name}"
    ));
    let port = database.server.port();
    let url = format!("mysql://w_{name}:{PASSWORD}@127.0.0.1:{port}/{name}");
    let wanted = intent(schema(), WriteMode::Append, &[], 2);
    let failure = write(destination_at(&url).as_ref(), wanted, &batch(&[(2, "b")])).await;
    let failure = failure.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R1012", Remedy::FixConfig)
    );
    let sql = "SELECT group_concat(table_name) FROM information_schema.tables WHERE table_schema = database()";
    assert_eq!(database.sql(sql), "_towpath_commits");
    put(&database, (WriteMode::Append, 2), &[(2, "b")])
        .await
        .unwrap();
    assert_eq!(contents(&database), "2=b");
}

/// Nobody adds rows between a check of the whole table and its commit, and readers are not kept waiting.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_checked_is_what_readers_see() {
    let database = Database::with(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (9, 'z')",
    );
    let wanted = intent(schema(), WriteMode::Append, &[], 1);
    let destination = database.destination();
    let prepared = prepare(destination.as_ref(), wanted, &batch(&[(5, "e")]))
        .await
        .unwrap();
    let others = |sql: &str| {
        let sql = format!("SET innodb_lock_wait_timeout = 1; {sql}");
        database.server.sql(&database.name, &sql)
    };
    others("INSERT INTO t VALUES (2, 'others')").unwrap();
    let candidate = prepared
        .candidate(CandidateRows::AfterCommit)
        .await
        .unwrap();
    let seen = read(candidate.source.as_ref(), &table("candidate"), None).await;
    assert_eq!(
        seen.numbers("id"),
        [1, 2, 5, 9],
        "also what others have committed"
    );
    for sql in [
        "INSERT INTO t VALUES (3, 'x')",
        "UPDATE t SET v = 'x' WHERE id = 9",
        "DELETE FROM t WHERE id = 1",
    ] {
        let failure = others(sql).unwrap_err().to_string();
        assert!(failure.contains("Lock wait timeout"), "{failure}");
    }
    assert_eq!(contents(&database), "1=a 2=others 9=z");
    let commit = Commit {
        audited: true,
        ..Commit::default()
    };
    prepared.commit(commit).await.unwrap();
    assert_eq!(contents(&database), "1=a 2=others 5=e 9=z");
}

/// A candidate whose reader leaves early does not disturb the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_read_half_way_leaves_the_write_whole() {
    let database = Database::with("SELECT 1");
    let rows: Vec<(i64, &str)> = (0..60_000).map(|id| (id, "value")).collect();
    let wanted = intent(schema(), WriteMode::Replace, &[], 1);
    let prepared = prepare(database.destination().as_ref(), wanted, &batch(&rows))
        .await
        .unwrap();
    for _ in 0..3 {
        let candidate = prepared
            .candidate(CandidateRows::OfThisWrite)
            .await
            .unwrap();
        let mut asked = table("candidate");
        asked.batch_rows = 10;
        let mut reader = candidate.source.open(&asked, None).await.unwrap();
        let mut splits = reader.splits();
        use futures::StreamExt as _;
        let Some(Ok(towpath_ports::Assignment::Assigned(mut split))) = splits.next().await else {
            panic!("there is a split");
        };
        assert!(split.events.next().await.unwrap().is_ok());
    }
    prepared.commit(Commit::default()).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM t"), "60000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_planned_for_another_table_is_refused() {
    let database = Database::with("SELECT 1");
    put(&database, (WriteMode::Merge, 1), &[(1, "a"), (2, "b")])
        .await
        .unwrap();
    let destination = database.destination();
    let planned = |generation, table| {
        let mut merge = intent(schema(), WriteMode::Merge, &["id"], generation);
        merge
            .write
            .options
            .insert(DELETE_ABSENT.to_owned(), true.into());
        let before = StateBeforeWrite {
            table,
            must_hold: true,
        };
        before.put(&mut merge.write).unwrap();
        merge
    };
    let now = || async {
        let task = intent(schema(), WriteMode::Merge, &["id"], 1).task;
        destination.states(&task, &target()).await.unwrap()
    };
    let before = now().await.now;
    database.sql("INSERT INTO t VALUES (3, 'others')");
    let rows = batch(&[(1, "a")]);
    let failure = write(destination.as_ref(), planned(2, before), &rows)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0255", Remedy::Retry)
    );
    assert_eq!(contents(&database), "1=a 2=b 3=others");
    let before = now().await.now;
    write(destination.as_ref(), planned(2, before), &rows)
        .await
        .unwrap();
    assert_eq!(contents(&database), "1=a");
    let states = now().await;
    assert_eq!(states.committed, states.now);
}

/// The first writes of several tasks, each of which would create the table and the commit table.
#[tokio::test(flavor = "multi_thread")]
async fn first_writes_of_many_tasks_at_once_lose_nothing() {
    let database = Arc::new(Database::with("SELECT 1"));
    let tasks = (0..6_i64).map(|at| {
        let database = Arc::clone(&database);
        tokio::spawn(async move {
            let rows = batch(&[(at, "x")]);
            for _ in 0..20 {
                let mut wanted = intent(schema(), WriteMode::Append, &[], 1);
                wanted.task.step = format!("step {at}").as_str().into();
                match write(database.destination().as_ref(), wanted, &rows).await {
                    Ok(receipt) => return assert!(!receipt.adopted),
                    Err(failure) => assert_eq!(failure.remedy, Remedy::Retry, "{failure:?}"),
                }
            }
            panic!("it did not come through");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(contents(&database), "0=x 1=x 2=x 3=x 4=x 5=x");
    assert_eq!(database.sql("SELECT count(*) FROM _towpath_commits"), "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_and_a_server_that_dies_are_tried_again() {
    let database = Database::alone(
        &["--innodb-lock-wait-timeout=1"],
        "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')",
    );
    let (server, name) = (Arc::clone(&database.server), database.name.clone());
    let held = std::thread::spawn(move || {
        let sql = "BEGIN; UPDATE t SET v = 'b'; DO SLEEP(600); COMMIT";
        // It is killed.
        let _ = server.sql(&name, sql);
    });
    let sleeping = "SELECT coalesce(max(id), 0) FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'";
    let mut id = "0".to_owned();
    while id == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        id = database.sql(sleeping);
    }
    let written = put(&database, (WriteMode::Replace, 1), &[(2, "c")]).await;
    database.sql(&format!("KILL QUERY {id}"));
    held.join().unwrap();
    let failure = written.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R1006", Remedy::Retry)
    );
    let wanted = intent(schema(), WriteMode::Replace, &["id"], 1);
    let prepared = prepare(database.destination().as_ref(), wanted, &batch(&[(2, "c")])).await;
    database.server.kill();
    let failure = prepared
        .unwrap()
        .commit(Commit::default())
        .await
        .unwrap_err();
    assert!(
        matches!(failure.remedy, Remedy::Unreachable | Remedy::Retry),
        "{failure:?}"
    );
    database.server.resume().unwrap();
    assert_eq!(contents(&database), "1=b");
    put(&database, (WriteMode::Replace, 1), &[(2, "c")])
        .await
        .unwrap();
    assert_eq!(contents(&database), "2=c");
}
