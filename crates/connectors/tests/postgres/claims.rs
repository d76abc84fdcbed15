//! Who may commit, after what, and what nobody may do meanwhile.

use std::sync::Arc;

use arrow_array::{Date64Array, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_ports::{Commit, WriteRequest};
use towpath_vocab::{ColumnPlan, Generation, OptionValue, Position, Remedy, TableName, WriteMode};

use crate::support::{Database, destination, intent, plan, prepare, read, table, task, write};

fn target() -> TableName {
    TableName::new("out", "t")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("v", DataType::Utf8, true),
    ]))
}

fn batch(rows: &[(i64, &str)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id));
    let texts = StringArray::from_iter_values(rows.iter().map(|(_, v)| *v));
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(texts)]).unwrap()
}

fn commit(audited: bool) -> Commit {
    Commit {
        position: Position::default(),
        audited,
        ..Commit::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_last_commit_waits_for_one_that_is_on_its_way() {
    let database = Database::new();
    let destination = database.destination();
    let append = intent(&target(), schema(), WriteMode::Append, &[], 1);
    let prepared = prepare(destination.as_ref(), append, &[batch(&[(1, "a")])])
        .await
        .unwrap();
    let asking = tokio::spawn({
        let destination = Arc::clone(&destination);
        async move { destination.last(&task(&target()), &target()).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while database.sql(waiting) == "0" {
        assert!(!asking.is_finished(), "it did not wait");
        tokio::task::yield_now().await;
    }
    prepared.commit(commit(false)).await.unwrap();
    let last = asking.await.unwrap().unwrap().unwrap();
    assert_eq!(last.token.generation, Generation(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_read_after_another_commit_is_refused_and_worth_a_retry() {
    let database = Database::new();
    let destination = database.destination();
    let append = |generation, after| {
        let mut append = intent(&target(), schema(), WriteMode::Append, &[], generation);
        append.after = Some(Generation(after));
        append
    };
    let rows = [batch(&[(1, "a")])];
    let first = write(destination.as_ref(), append(1, 0), &rows)
        .await
        .unwrap();
    assert!(!first.adopted);
    let again = write(destination.as_ref(), append(1, 0), &rows)
        .await
        .unwrap();
    assert!(
        again.adopted,
        "our own generation is adopted, whatever it was read after"
    );
    let overtaken = write(destination.as_ref(), append(2, 0), &rows)
        .await
        .unwrap_err();
    assert_eq!(
        (overtaken.code.as_str(), overtaken.remedy),
        ("R0241", Remedy::Retry)
    );
    let ahead = write(destination.as_ref(), append(5, 4), &rows)
        .await
        .unwrap_err();
    assert_eq!(ahead.code, "R0241");
    write(destination.as_ref(), append(2, 1), &rows)
        .await
        .unwrap();
    let late = write(destination.as_ref(), append(1, 0), &rows)
        .await
        .unwrap_err();
    assert_eq!(late.code, "R0240", "a later generation is never adopted");
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_a_table_between_its_checks_and_its_commit() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); INSERT INTO out.t VALUES (1, 'a')",
    );
    let replace = intent(&target(), schema(), WriteMode::Replace, &[], 1);
    let prepared = prepare(
        database.destination().as_ref(),
        replace,
        &[batch(&[(2, "b")])],
    )
    .await
    .unwrap();
    let other = database.client().await;
    other
        .batch_execute("SET lock_timeout = '50ms'")
        .await
        .unwrap();
    let refused = other
        .batch_execute("INSERT INTO out.t VALUES (3, 'c')")
        .await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "55P03");
    prepared.commit(commit(true)).await.unwrap();
    assert_eq!(database.sql("SELECT id FROM out.t"), "2");

    // Who may only insert cannot lock the table: fine, unless checks were judged.
    let user = format!("inserter_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'w'; GRANT USAGE ON SCHEMA out TO {user}; GRANT SELECT, INSERT ON out.t TO {user}; \
         GRANT SELECT, INSERT, DELETE ON out._towpath_commits TO {user};"
    ));
    let url = format!(
        "postgres://{user}:w@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    );
    let destination = destination(&plan(&url));
    for (generation, audited) in [(2, true), (2, false)] {
        let append = intent(&target(), schema(), WriteMode::Append, &[], generation);
        let prepared = prepare(destination.as_ref(), append, &[batch(&[(4, "d")])])
            .await
            .unwrap();
        match prepared.commit(commit(audited)).await {
            Ok(_) => assert!(!audited),
            Err(failure) => assert_eq!((failure.code.as_str(), audited), ("R0234", true)),
        }
    }
    assert_eq!(database.sql("SELECT id FROM out.t ORDER BY id"), "2\n4");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_operations_of_one_key_the_last_one_counts() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); INSERT INTO out.t VALUES (1, 'a'), (2, 'b')",
    );
    let destination = database.destination();
    let merge = intent(&target(), schema(), WriteMode::Merge, &["id"], 1);
    let mut writer = destination.begin(merge).await.unwrap();
    let long = "x".repeat(3000);
    let one = batch(&[(1, &long), (2, ""), (3, "c"), (4, "d")]);
    let two = batch(&[(1, "last"), (2, "back"), (3, ""), (1, "very last")]);
    writer
        .write(one, Some(UInt8Array::from(vec![1, 2, 0, 0])))
        .await
        .unwrap();
    writer
        .write(two, Some(UInt8Array::from(vec![1, 0, 2, 1])))
        .await
        .unwrap();
    let prepared = writer.prepare().await.unwrap();
    assert_eq!(prepared.stats().rows_in, 8);
    prepared.commit(commit(false)).await.unwrap();
    assert_eq!(
        database.sql("SELECT id, v FROM out.t ORDER BY id"),
        "1|very last\n2|back\n4|d"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_deletes_does_not_reach_into_other_tables() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8 PRIMARY KEY, v text); INSERT INTO out.t VALUES (1, 'a'); \
         CREATE TABLE out.child (id int8 REFERENCES out.t ON DELETE CASCADE); INSERT INTO out.child VALUES (1)",
    );
    let destination = database.destination();
    let merge = || intent(&target(), schema(), WriteMode::Merge, &["id"], 1);
    let mut writer = destination.begin(merge()).await.unwrap();
    writer
        .write(batch(&[(1, "")]), Some(UInt8Array::from(vec![2])))
        .await
        .unwrap();
    let failure = writer.prepare().await.err().unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0231", Remedy::Refused)
    );
    write(destination.as_ref(), merge(), &[batch(&[(1, "b")])])
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT v FROM out.t"), "b");
    assert_eq!(database.sql("SELECT count(*) FROM out.child"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_becomes_another_type_only_when_nothing_is_lost() {
    let database = Database::with("CREATE SCHEMA out; CREATE DOMAIN short_code AS char(3)");
    let destination = database.destination();
    let one = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8, true)]));
    let long = "n".repeat(64);
    let cases = [
        ("date", "2024-01-02", true),
        ("date", "2024-01-02 10:00", false),
        ("date", "now", false),
        ("time", "10:00:00.5", true),
        ("time", "10:00:00.0000001", false),
        ("interval", "90 minutes", false),
        ("interval", "1 year 3 days 04:00:00", true),
        ("interval(0)", "00:00:00.6", false),
        ("bit varying(2)", "10", true),
        ("bit varying(2)", "101", false),
        ("name", "short", true),
        ("name", long.as_str(), false),
        ("varchar(3)", "abc", true),
        ("varchar(3)", "abc  ", false),
        ("char(3)", "ab", true),
        ("char(3)", "ab   ", true),
        ("char(3)", "abc  ", true),
        ("char(3)", "abcd", false),
        ("char(3)", " ab", true),
        ("bpchar", "abcd  ", true),
        ("short_code", "ab", true),
        ("short_code", "abcd", false),
        ("\"char\"", "a", true),
        ("\"char\"", "ab", false),
        ("uuid", "8A6E0804-2BD0-4672-B79D-D97027F9071A", true),
        ("jsonb", r#"{"b":  1, "a": [{"c": 1}]}"#, true),
        ("jsonb", r#"{"b":  1, "a": [{"c": 1, "c": 2}]}"#, false),
        ("numeric", "1e5", true),
        ("inet", "::0001", true),
    ];
    for (index, (data_type, text, fits)) in cases.into_iter().enumerate() {
        let name = format!("t{index}");
        database.sql(&format!("CREATE TABLE out.{name} (v {data_type})"));
        let rows = RecordBatch::try_new(
            Arc::clone(&one),
            vec![Arc::new(StringArray::from(vec![Some(text), None]))],
        )
        .unwrap();
        let target = TableName::new("out", name);
        let append = intent(&target, Arc::clone(&one), WriteMode::Append, &[], 1);
        match write(destination.as_ref(), append, &[rows]).await {
            Ok(_) => assert!(fits, "{data_type} {text}"),
            Err(failure) => {
                assert!(!fits, "{data_type} {text}: {failure:?}");
                assert_eq!(
                    (failure.code.as_str(), failure.remedy),
                    ("R0233", Remedy::FixData),
                    "{data_type} {text}: {failure:?}"
                );
                assert!(!failure.message.contains(text));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_with_a_time_and_names_that_are_too_long_are_refused() {
    let database = Database::with("CREATE SCHEMA out");
    let destination = database.destination();
    let one = Arc::new(Schema::new(vec![Field::new("d", DataType::Date64, true)]));
    for (millis, fits) in [(86_400_000, true), (86_400_001, false)] {
        let dates = Arc::new(Date64Array::from(vec![Some(millis), None]));
        let rows = RecordBatch::try_new(Arc::clone(&one), vec![dates]).unwrap();
        let append = intent(&target(), Arc::clone(&one), WriteMode::Append, &[], 1);
        let outcome = write(destination.as_ref(), append, &[rows]).await;
        assert_eq!(outcome.is_ok(), fits);
    }
    let target = TableName::new("out", "t".repeat(64));
    let append = intent(&target, schema(), WriteMode::Append, &[], 1);
    let failure = write(destination.as_ref(), append, &[]).await.unwrap_err();
    assert_eq!(failure.code, "R0235");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_knows_the_columns_its_user_may_not_read() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); CREATE TABLE out.padded (c char(4)); INSERT INTO out.padded VALUES ('a')",
    );
    let user = format!("half_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'w'; GRANT USAGE, CREATE ON SCHEMA out TO {user}; \
         GRANT SELECT (id), INSERT, DELETE ON out.t TO {user};"
    ));
    let url = format!(
        "postgres://{user}:w@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    );
    let destination = destination(&plan(&url));
    let columns = destination.schema(&target()).await.unwrap().unwrap();
    assert_eq!(columns.fields().len(), 2);
    let mut append = intent(&target(), schema(), WriteMode::Append, &[], 1);
    append.write.schema_change = towpath_vocab::SchemaChange::Fail;
    write(destination.as_ref(), append, &[batch(&[(1, "a")])])
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT v FROM out.t"), "a");
    let mut padded = table("out.padded");
    for data_type in [None, Some("text".to_owned())] {
        padded.declared = vec![ColumnPlan {
            name: "c".into(),
            data_type,
            ..ColumnPlan::default()
        }];
        let read = read(database.source().as_ref(), &padded, None).await;
        assert_eq!(read.column("c"), [Some("a".to_owned())]);
    }
}

const SWALLOW: &str = "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF coalesce(NEW.id, OLD.id) = 2 THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD); END $$;";

#[tokio::test(flavor = "multi_thread")]
async fn rows_the_server_swallows_are_never_told_as_written() {
    let begin = "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); INSERT INTO out.t VALUES (1, 'a'), (2, 'a');";
    let trigger = |event: &str| {
        format!(
            "{begin} {SWALLOW} CREATE TRIGGER s BEFORE {event} ON out.t FOR EACH ROW EXECUTE FUNCTION swallow()"
        )
    };
    let rule =
        format!("{begin} CREATE RULE r AS ON INSERT TO out.t WHERE NEW.id = 2 DO INSTEAD NOTHING");
    let new = [(1, "b"), (2, "b"), (3, "b")];
    for (sql, mode, asked, doing) in [
        (trigger("INSERT"), WriteMode::Append, "2 of 3", "insert"),
        (trigger("INSERT"), WriteMode::Replace, "2 of 3", "insert"),
        (rule, WriteMode::Append, "2 of 3", "insert"),
        (trigger("DELETE"), WriteMode::Replace, "1 of 2", "delete"),
        (
            trigger("DELETE"),
            WriteMode::DeleteInsert,
            "1 of 2",
            "delete",
        ),
        (trigger("UPDATE"), WriteMode::Merge, "1 of 2", "update"),
    ] {
        let database = Database::with(&sql);
        let keyed = matches!(mode, WriteMode::DeleteInsert | WriteMode::Merge);
        let key: &[&str] = if keyed { &["id"] } else { &[] };
        let written = write(
            database.destination().as_ref(),
            intent(&target(), schema(), mode, key, 1),
            &[batch(&new)],
        )
        .await;
        let failure = written.unwrap_err();
        assert_eq!(failure.code, "R0247", "{sql}");
        let expected = format!("`out.t` took {asked} rows to {doing}");
        assert!(failure.message.contains(&expected), "{mode:?} {failure:?}");
        assert_eq!(
            database.sql("SELECT count(*) FROM out.t WHERE v = 'a'"),
            "2"
        );
    }
    let database = Database::with(&trigger("INSERT"));
    let mut job = intent(&target(), schema(), WriteMode::Replace, &[], 1);
    job.write
        .options
        .insert("replace".into(), "truncate".into());
    let failure = write(database.destination().as_ref(), job.clone(), &[batch(&new)])
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0247");
    // The connection says it where the table does not.
    job.write.options.clear();
    let mut plan = database.plan();
    let truncate = OptionValue::Plain("truncate".into());
    plan.options.insert("replace".into(), truncate);
    let failure = write(destination(&plan).as_ref(), job, &[batch(&new)])
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0247");
    let only_new = [(2, "b")];
    let database = Database::with(&format!("{} ; DELETE FROM out.t", trigger("INSERT")));
    for mode in [WriteMode::Merge, WriteMode::InsertOnly] {
        let failure = write(
            database.destination().as_ref(),
            intent(&target(), schema(), mode, &["id"], 1),
            &[batch(&only_new)],
        )
        .await
        .unwrap_err();
        assert_eq!(failure.code, "R0247");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_passes_over_equal_rows_swallows_nothing() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); INSERT INTO out.t VALUES (1, 'a'), (2, 'a'); \
         CREATE TRIGGER s BEFORE UPDATE ON out.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    );
    let written = write(
        database.destination().as_ref(),
        intent(&target(), schema(), WriteMode::Merge, &["id"], 1),
        &[batch(&[(1, "a"), (2, "b"), (3, "b")])],
    )
    .await
    .unwrap();
    let stats = written.committed.stats;
    assert_eq!((stats.updated, stats.inserted), (1, 1));
}

/// Each way of writing, and a replace that truncates.
fn modes_and_truncate(modes: &[WriteMode]) -> impl Iterator<Item = (WriteMode, bool)> {
    modes
        .iter()
        .map(|mode| (*mode, false))
        .chain([(WriteMode::Replace, true)])
}

/// A write of `out.t`, by `id` where it has a key.
fn job_of(mode: WriteMode, truncate: bool) -> WriteRequest {
    let keyed = mode != WriteMode::Replace;
    let key: &[&str] = if keyed { &["id"] } else { &[] };
    let mut job = intent(&target(), schema(), mode, key, 1);
    if truncate {
        job.write
            .options
            .insert("replace".into(), "truncate".into());
    }
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_rule_leads_into_an_inheriting_table_are_never_doubled() {
    let modes = [
        WriteMode::Replace,
        WriteMode::DeleteInsert,
        WriteMode::Merge,
        WriteMode::InsertOnly,
    ];
    for (mode, truncate) in modes_and_truncate(&modes) {
        let database = Database::with(
            "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); CREATE TABLE out.child () INHERITS (out.t); \
             CREATE RULE away AS ON INSERT TO out.t DO INSTEAD INSERT INTO out.child VALUES (new.id, new.v)",
        );
        let job = job_of(mode, truncate);
        let rows = [batch(&[(1, "b"), (9, "b")])];
        let refused = write(database.destination().as_ref(), job, &rows).await;
        assert_eq!(refused.unwrap_err().code, "R0247", "{mode:?}");
        assert_eq!(database.sql("SELECT count(*) FROM out.t"), "0", "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_tables_that_inherit_are_left_alone() {
    let modes = [
        WriteMode::Replace,
        WriteMode::DeleteInsert,
        WriteMode::Merge,
    ];
    for (mode, truncate) in modes_and_truncate(&modes) {
        let database = Database::with(
            "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); CREATE TABLE out.child () INHERITS (out.t); \
             INSERT INTO out.t VALUES (1, 'a'); INSERT INTO out.child VALUES (1, 'c'), (9, 'c')",
        );
        let job = job_of(mode, truncate);
        let rows = [batch(&[(1, "b"), (9, "b")])];
        write(database.destination().as_ref(), job, &rows)
            .await
            .unwrap();
        let rows = "SELECT string_agg(id || v, ' ' ORDER BY id, v) FROM ";
        assert_eq!(
            database.sql(&format!("{rows} out.child")),
            "1c 9c",
            "{mode:?}"
        );
        assert_eq!(
            database.sql(&format!("{rows} ONLY out.t")),
            "1b 9b",
            "{mode:?}"
        );
    }
    // Partitions are the table's own.
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text) PARTITION BY RANGE (id); \
         CREATE TABLE out.p PARTITION OF out.t FOR VALUES FROM (0) TO (10); INSERT INTO out.t VALUES (1, 'a'), (2, 'a')",
    );
    let job = intent(&target(), schema(), WriteMode::Replace, &[], 1);
    write(database.destination().as_ref(), job, &[batch(&[(3, "b")])])
        .await
        .unwrap();
    assert_eq!(
        database.sql("SELECT string_agg(id || v, ' ') FROM out.t"),
        "3b"
    );
}
