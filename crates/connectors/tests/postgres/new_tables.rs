//! Tables that a write makes: rows are copied into them directly, and nothing of it is seen before COMMIT.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_ports::{CandidateRows, Commit, WriteRequest};
use towpath_vocab::{TableName, WriteMode};

use crate::support::{Database, candidate, intent, prepare, write};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("v \"x\"", DataType::Utf8, true),
    ]))
}

fn batch(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|(id, _)| Some(*id)).collect();
    let values: StringArray = rows.iter().map(|(_, v)| *v).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(values)]).unwrap()
}

fn target() -> TableName {
    TableName::new("out", "t")
}

fn append(generation: i64) -> WriteRequest {
    intent(&target(), schema(), WriteMode::Append, &[], generation)
}

/// A write of another task.
fn other(mut intent: WriteRequest) -> WriteRequest {
    intent.task.step = "other".into();
    intent
}

/// Tables and views of any name that this module may make.
fn relations(database: &Database) -> String {
    database.sql(
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
         WHERE relname LIKE '%towpath_new%' OR relname LIKE '%towpath_stage%' OR relname = 't'",
    )
}

fn contents(database: &Database) -> String {
    database.sql(
        "SELECT string_agg(id || '=' || coalesce(\"v \"\"x\"\"\", '-'), ' ' ORDER BY id) FROM out.t",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_new_table_are_copied_once_and_seen_after_the_commit() {
    let database = Database::with("CREATE SCHEMA out");
    let destination = database.destination();
    for mode in [WriteMode::Append, WriteMode::Replace] {
        database.sql("DROP TABLE IF EXISTS out.t, out._towpath_commits");
        let intent = intent(&target(), schema(), mode, &[], 1);
        let rows = batch(&[(1, Some("a")), (2, None)]);
        let prepared = prepare(destination.as_ref(), intent, &[rows])
            .await
            .unwrap();
        let stats = prepared.stats();
        assert_eq!((stats.inserted, stats.rows_after), (2, Some(2)));
        for scope in [CandidateRows::AfterCommit, CandidateRows::OfThisWrite] {
            let seen = candidate(prepared.as_ref(), scope).await;
            assert_eq!(seen.len(), 2, "{scope:?}");
            assert_eq!(seen.column("v \"x\""), [Some("a".to_owned()), None]);
        }
        assert_eq!(relations(&database), "");
        prepared.commit(Commit::default()).await.unwrap();
        assert_eq!(relations(&database), "t");
        assert_eq!(contents(&database), "1=a 2=-");
        assert_eq!(
            database.sql("SELECT reltuples::bigint FROM pg_class WHERE relname = 't'"),
            "2"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_others_made_meanwhile_gets_the_rows() {
    let database = Database::with("CREATE SCHEMA out");
    let destination = database.destination();
    let mut slow = destination.begin(other(append(1))).await.unwrap();
    slow.write(batch(&[(3, Some("c"))]), None).await.unwrap();
    write(destination.as_ref(), append(1), &[batch(&[(1, Some("a"))])])
        .await
        .unwrap();
    let prepared = slow.prepare().await.unwrap();
    assert_eq!(
        candidate(prepared.as_ref(), CandidateRows::AfterCommit)
            .await
            .len(),
        2
    );
    assert_eq!(
        candidate(prepared.as_ref(), CandidateRows::OfThisWrite)
            .await
            .len(),
        1
    );
    prepared.commit(Commit::default()).await.unwrap();
    assert_eq!(contents(&database), "1=a 3=c");
    assert_eq!(relations(&database), "t");

    // An attempt whose generation another one committed leaves its own rows.
    database.sql("DROP TABLE out.t, out._towpath_commits");
    let mut late = destination.begin(append(1)).await.unwrap();
    late.write(batch(&[(9, None)]), None).await.unwrap();
    write(destination.as_ref(), append(1), &[batch(&[(1, Some("a"))])])
        .await
        .unwrap();
    let prepared = late.prepare().await.unwrap();
    assert!(prepared.commit(Commit::default()).await.unwrap().adopted);
    assert_eq!(contents(&database), "1=a");
    assert_eq!(relations(&database), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_table_that_is_given_up_leaves_nothing() {
    let database = Database::with("CREATE SCHEMA out");
    let destination = database.destination();
    let mut dropped = destination.begin(append(1)).await.unwrap();
    dropped.write(batch(&[(1, None)]), None).await.unwrap();
    drop(dropped);
    let prepared = prepare(destination.as_ref(), append(1), &[batch(&[(1, None)])])
        .await
        .unwrap();
    prepared.discard().await.unwrap();
    let prepared = prepare(destination.as_ref(), append(1), &[batch(&[(1, None)])])
        .await
        .unwrap();
    drop(prepared);
    assert_eq!(relations(&database), "");
    // Nobody waits for what they held.
    write(destination.as_ref(), append(1), &[batch(&[(5, Some("e"))])])
        .await
        .unwrap();
    assert_eq!(contents(&database), "5=e");
    // No row at all is a table too.
    database.sql("DROP TABLE out.t, out._towpath_commits");
    write(destination.as_ref(), append(1), &[batch(&[])])
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_every_new_table_gets_sees_its_name_and_may_not_swallow_rows() {
    let database = Database::with(
        "CREATE SCHEMA out;
         CREATE TABLE public.made (name text);
         CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END';
         CREATE FUNCTION public.attach() RETURNS event_trigger LANGUAGE plpgsql AS $$
             DECLARE made record;
             BEGIN
                 FOR made IN SELECT c.oid::regclass AS name, c.relname
                     FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid
                     WHERE d.schema_name = 'out' AND c.relkind = 'r' AND c.relname <> '_towpath_commits' LOOP
                     INSERT INTO public.made VALUES (made.relname);
                     EXECUTE format('CREATE TRIGGER s BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION public.swallow()', made.name);
                 END LOOP;
             END $$;
         CREATE EVENT TRIGGER attach ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.attach()",
    );
    let destination = database.destination();
    let rows = batch(&[(1, Some("a")), (2, None)]);
    let swallowed = prepare(destination.as_ref(), append(1), &[rows]).await;
    let failure = swallowed.err().unwrap();
    assert!(failure.message.contains("1 of 2"), "{failure}");
    assert_eq!(relations(&database), "");
    let kept = batch(&[(1, Some("a"))]);
    write(destination.as_ref(), append(1), &[kept])
        .await
        .unwrap();
    assert_eq!(contents(&database), "1=a");
    assert_eq!(
        database.sql("SELECT string_agg(name, ' ') FROM public.made"),
        "t"
    );
}
