//! Every write mode against a naive model; types, evolution, candidates, tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::{Strategy as _, any};
use towpath_ports::{CandidateRows, Commit};
use towpath_vocab::types::SOURCE_TYPE;
use towpath_vocab::{
    OptionValue, Position, Remedy, SchemaChange, SplitPosition, TableName, WriteMode,
};

use crate::support::{Database, candidate, destination, intent, prepare, read_table, task, write};

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

fn target() -> TableName {
    TableName::new("out", "t")
}

fn contents(database: &Database) -> String {
    database.sql("SELECT string_agg(id || '=' || coalesce(v, '-'), ' ' ORDER BY id, v) FROM out.t")
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
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_does_what_a_naive_model_does() {
    let modes = [
        WriteMode::Replace,
        WriteMode::Append,
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
    ];
    let rows = proptest::collection::btree_map(0_i64..12, "[a-z]{0,3}", 0..8);
    let step = (
        0..5_usize,
        rows,
        proptest::collection::btree_set(12_i64..14, 0..2),
        any::<bool>(),
    );
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..3 {
        let database = Database::new();
        let destination = database.destination();
        let mut expected: Model = Vec::new();
        for generation in 1..=10 {
            let (mode, rows, deleted, twice) =
                proptest::strategy::ValueTree::current(&step.new_tree(&mut runner).unwrap());
            // The first write makes the table without a primary key, so that append may repeat keys.
            let mode = if generation == 1 {
                WriteMode::Append
            } else {
                modes[mode]
            };
            let mut rows: Vec<(i64, String)> = rows.into_iter().collect();
            if twice
                && matches!(
                    mode,
                    WriteMode::Append | WriteMode::DeleteInsert | WriteMode::Replace
                )
            {
                rows.extend(rows.clone());
            }
            let keyed = !matches!(mode, WriteMode::Append | WriteMode::Replace);
            let key: &[&str] = if keyed { &["id"] } else { &[] };
            if mode == WriteMode::Merge {
                // A merge needs one row per key in the table, too.
                let unique: BTreeMap<i64, String> = expected.drain(..).collect();
                expected = unique.into_iter().collect();
                let list: Vec<String> = expected
                    .iter()
                    .map(|(id, v)| format!("({id},'{v}')"))
                    .collect();
                database.sql("DELETE FROM out.t");
                if !list.is_empty() {
                    database.sql(&format!("INSERT INTO out.t VALUES {}", list.join(",")));
                }
            }
            let mut writer = destination
                .begin(intent(&target(), schema(), mode, key, generation))
                .await
                .unwrap();
            let texts: Vec<(i64, &str)> = rows.iter().map(|(id, v)| (*id, v.as_str())).collect();
            writer.write(batch(&texts), None).await.unwrap();
            let gone: Vec<i64> = deleted.into_iter().collect();
            if mode == WriteMode::Merge && !gone.is_empty() {
                let gone: Vec<(i64, &str)> = gone.iter().map(|id| (*id, "")).collect();
                let ops = UInt8Array::from_value(2, gone.len());
                writer.write(batch(&gone), Some(ops)).await.unwrap();
            }
            let before = contents(&database_or_empty(&database, generation));
            let prepared = writer.prepare().await.unwrap();
            model(mode, &mut expected, &rows, &gone);
            let seen = candidate(prepared.as_ref(), CandidateRows::AfterCommit).await;
            assert_eq!(
                seen.len(),
                expected.len(),
                "the candidate is the table after the commit ({mode:?})"
            );
            if generation > 1 {
                assert_eq!(
                    contents(&database),
                    before,
                    "nothing is visible before the commit"
                );
            }
            prepared
                .commit(Commit {
                    audited: false,
                    position: Position::default(),
                    ..Commit::default()
                })
                .await
                .unwrap();
            expected.sort();
            let text: Vec<String> = expected.iter().map(|(id, v)| format!("{id}={v}")).collect();
            assert_eq!(contents(&database), text.join(" "), "{mode:?}");
        }
    }
}

/// The first generation has no table to look at yet.
fn database_or_empty(database: &Database, generation: i64) -> Database {
    if generation == 1 {
        database.sql(
            "CREATE SCHEMA IF NOT EXISTS out; CREATE TABLE IF NOT EXISTS out.t (id bigint, v text)",
        );
    }
    Database {
        server: Arc::clone(&database.server),
        name: database.name.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_count_what_they_did_and_keep_other_columns() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text, mine text DEFAULT 'own'); INSERT INTO out.t VALUES (1, 'a', 'kept'), (2, 'b', 'gone');",
    );
    let destination = database.destination();
    let mut writer = destination
        .begin(intent(&target(), schema(), WriteMode::Merge, &["id"], 1))
        .await
        .unwrap();
    let ops = UInt8Array::from(vec![1, 2, 0, 2]);
    writer
        .write(batch(&[(1, "A"), (2, ""), (3, "c"), (9, "")]), Some(ops))
        .await
        .unwrap();
    let prepared = writer.prepare().await.unwrap();
    let stats = prepared.stats();
    assert_eq!(
        (stats.rows_in, stats.inserted, stats.updated, stats.deleted),
        (4, 1, 1, 1)
    );
    assert_eq!(
        candidate(prepared.as_ref(), CandidateRows::OfThisWrite)
            .await
            .numbers("id"),
        [1, 3]
    );
    prepared
        .commit(Commit {
            audited: false,
            position: Position::default(),
            ..Commit::default()
        })
        .await
        .unwrap();
    assert_eq!(
        database.sql("SELECT id || v || mine FROM out.t ORDER BY id"),
        "1Akept\n3cown"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_commit_of_a_generation_wins_and_a_retry_adopts_it() {
    let database = Database::new();
    let destination = database.destination();
    let key = task(&target());
    assert_eq!(destination.last(&key, &target()).await.unwrap(), None);
    let rows = [batch(&[(1, "a")])];
    let first = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 1),
        &rows,
    )
    .await
    .unwrap();
    assert!(!first.adopted);
    assert_eq!(
        destination.last(&key, &target()).await.unwrap().as_ref(),
        Some(&first.committed)
    );
    let again = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 1),
        &rows,
    )
    .await
    .unwrap();
    assert!(again.adopted);
    assert_eq!(again.committed, first.committed);
    assert_eq!(contents(&database), "1=a");
    let third = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 3),
        &rows,
    )
    .await
    .unwrap();
    assert_eq!(
        third.committed.token.position.splits().next().unwrap().1,
        &SplitPosition::at(3)
    );
    let late = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 2),
        &rows,
    )
    .await
    .unwrap_err();
    assert_eq!(
        (late.code.as_str(), late.remedy),
        ("R0240", Remedy::Refused)
    );
    // Two attempts of one generation at once: one writes, the other adopts.
    let one = prepare(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 4),
        &rows,
    )
    .await
    .unwrap();
    let other = tokio::spawn({
        let destination = Arc::clone(&destination);
        async move {
            write(
                destination.as_ref(),
                intent(&target(), schema(), WriteMode::Append, &[], 4),
                &[batch(&[(1, "a")])],
            )
            .await
        }
    });
    one.commit(Commit {
        audited: false,
        position: Position::default(),
        ..Commit::default()
    })
    .await
    .unwrap();
    assert!(other.await.unwrap().unwrap().adopted);
    assert_eq!(contents(&database), "1=a 1=a 1=a");
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_and_abandoned_writes_leave_nothing() {
    let database = Database::new();
    let destination = database.destination();
    let rows = [batch(&[(1, "a")])];
    prepare(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Replace, &[], 1),
        &rows,
    )
    .await
    .unwrap()
    .discard()
    .await
    .unwrap();
    let mut writer = destination
        .begin(intent(&target(), schema(), WriteMode::Replace, &[], 1))
        .await
        .unwrap();
    writer.write(rows[0].clone(), None).await.unwrap();
    writer.abort().await.unwrap();
    assert_eq!(destination.schema(&target()).await.unwrap(), None);
    assert_eq!(
        database.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'out'"),
        "0"
    );
    let receipt = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Replace, &[], 1),
        &[],
    )
    .await
    .unwrap();
    assert_eq!(
        receipt.committed.stats.rows_after,
        Some(0),
        "no rows are a table, too"
    );
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_make_a_merge_depend_on_chance_are_refused() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); INSERT INTO out.t VALUES (1, 'a')",
    );
    let destination = database.destination();
    let merge = |generation| intent(&target(), schema(), WriteMode::Merge, &["id"], generation);
    let twice = write(
        destination.as_ref(),
        merge(1),
        &[batch(&[(1, "x"), (1, "y"), (2, "z")])],
    )
    .await
    .unwrap_err();
    assert_eq!(
        (twice.code.as_str(), twice.message.as_str()),
        (
            "R0242",
            "1 keys (id) occur more than once in the rows for `out.t`"
        )
    );
    let missing = RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from(vec![None])),
            Arc::new(StringArray::from(vec!["x"])),
        ],
    )
    .unwrap();
    assert_eq!(
        write(destination.as_ref(), merge(1), &[missing])
            .await
            .unwrap_err()
            .code,
        "R0243"
    );
    let keyless = intent(&target(), schema(), WriteMode::Merge, &[], 1);
    assert_eq!(
        write(destination.as_ref(), keyless, &[])
            .await
            .unwrap_err()
            .code,
        "R0244"
    );
    assert_eq!(contents(&database), "1=a");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_connections_and_missing_rights_are_refused() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); CREATE SCHEMA tokens;",
    );
    let mut plan = database.plan();
    plan.writable = false;
    let failure = write(
        destination(&plan).as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 1),
        &[],
    )
    .await
    .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0249", Remedy::Refused)
    );
    assert_eq!(
        failure.help,
        ["to allow writes, set `writable: true` on connection `db`"]
    );

    let user = format!("writer_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'w'; GRANT USAGE ON SCHEMA out TO {user}; GRANT ALL ON out.t TO {user}; \
         GRANT USAGE, CREATE ON SCHEMA tokens TO {user};"
    ));
    let mut plan = crate::support::plan(&format!(
        "postgres://{user}:w@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    ));
    let append = || intent(&target(), schema(), WriteMode::Append, &[], 1);
    let failure = write(destination(&plan).as_ref(), append(), &[])
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0221");
    assert!(failure.help[0].contains("commits_schema:"));
    plan.options
        .insert("commits_schema".into(), OptionValue::Plain("tokens".into()));
    write(destination(&plan).as_ref(), append(), &[batch(&[(1, "a")])])
        .await
        .unwrap();
    assert_eq!(
        database.sql("SELECT generation FROM tokens._towpath_commits"),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_evolve_or_are_refused_by_name() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int4, v varchar(3), kept text); INSERT INTO out.t VALUES (1, 'a', 'k')",
    );
    let destination = database.destination();
    let wider = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("v", DataType::Utf8, true),
        Field::new("new ä\"", DataType::Float64, true),
    ]));
    let rows = RecordBatch::try_new(
        Arc::clone(&wider),
        vec![
            Arc::new(Int64Array::from(vec![1 << 40])),
            Arc::new(StringArray::from(vec!["abc"])),
            Arc::new(arrow_array::Float64Array::from(vec![0.5])),
        ],
    )
    .unwrap();
    for (change, expected) in [
        (SchemaChange::Fail, "R0246"),
        (SchemaChange::Ignore, "R0245"),
    ] {
        let mut strict = intent(&target(), Arc::clone(&wider), WriteMode::Append, &[], 1);
        strict.write.schema_change = change;
        assert_eq!(
            write(destination.as_ref(), strict, std::slice::from_ref(&rows))
                .await
                .unwrap_err()
                .code,
            expected
        );
    }
    write(
        destination.as_ref(),
        intent(&target(), Arc::clone(&wider), WriteMode::Append, &[], 1),
        &[rows],
    )
    .await
    .unwrap();
    assert_eq!(
        database.sql("SELECT id, v, kept, \"new ä\"\"\" FROM out.t ORDER BY id"),
        "1|a|k|\n1099511627776|abc||0.5"
    );
    let long = batch(&[(1, "abcd")]);
    let failure = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 2),
        &[long],
    )
    .await
    .unwrap_err();
    assert_eq!(
        failure.remedy,
        Remedy::FixData,
        "a text that is too long is not cut: {failure:?}"
    );
    let other = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    let failure = write(
        destination.as_ref(),
        intent(&target(), other, WriteMode::Append, &[], 2),
        &[],
    )
    .await
    .unwrap_err();
    assert_eq!(
        failure.message,
        "column `id` of `out.t` is `bigint`, but the rows have `text`"
    );
}

fn numbers(rows: &[(i64, i128, f64)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|(id, ..)| Some(*id)).collect();
    let amounts: arrow_array::Decimal128Array = rows.iter().map(|row| Some(row.1)).collect();
    let amounts = amounts.with_precision_and_scale(19, 3).unwrap();
    let rates: arrow_array::Float64Array = rows.iter().map(|row| Some(row.2)).collect();
    let fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("n", DataType::Decimal128(19, 3), true),
        Field::new("f", DataType::Float64, true),
    ];
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(ids), Arc::new(amounts), Arc::new(rates)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

const TYPES: &str = "SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum) \
    FROM pg_attribute WHERE attnum > 0 AND attrelid = 'out.t'::regclass";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_keeps_its_types_while_every_value_fits() {
    let modes = [
        WriteMode::Replace,
        WriteMode::Append,
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
    ];
    for (mode, change) in modes
        .into_iter()
        .flat_map(|mode| [(mode, SchemaChange::Evolve), (mode, SchemaChange::Fail)])
    {
        let database = Database::with(
            "CREATE SCHEMA out; CREATE TABLE out.t (id int, n numeric(5,2), f real, g int GENERATED ALWAYS AS (id / 2) STORED)",
        );
        let keyed = !matches!(mode, WriteMode::Append | WriteMode::Replace);
        let key: &[&str] = if keyed { &["id"] } else { &[] };
        let rows = numbers(&[(1, 1_500, 0.5), (-2_147_483_648, -999_990, f64::NAN)]);
        let mut fitting = intent(&target(), rows.schema(), mode, key, 1);
        fitting.write.schema_change = change;
        let destination = database.destination();
        let mut writer = destination.begin(fitting).await.unwrap();
        writer.write(rows.clone(), None).await.unwrap();
        let prepared = writer.prepare().await.unwrap();
        assert_eq!(prepared.notes(), [""; 0], "{mode:?}");
        prepared.commit(Commit::default()).await.unwrap();
        assert_eq!(database.sql(TYPES), "integer numeric(5,2) real integer");
        assert_eq!(
            database.sql("SELECT id, n, f, g FROM out.t WHERE id > 0"),
            "1|1.50|0.5|0",
            "{mode:?}"
        );
        assert_eq!(database.sql("SELECT count(*) FROM out.t"), "2", "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_takes_numbers_that_fit_its_key() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
         CREATE TABLE out.p1 PARTITION OF out.t FOR VALUES FROM (0) TO (1000)",
    );
    let destination = database.destination();
    for (generation, mode, key) in [
        (1, WriteMode::Merge, ["id"].as_slice()),
        (2, WriteMode::Replace, &[]),
    ] {
        let wanted = intent(&target(), schema(), mode, key, generation);
        let rows = [batch(&[(1, "a"), (2, "b")])];
        write(destination.as_ref(), wanted, &rows).await.unwrap();
        assert_eq!(contents(&database), "1=a 2=b", "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_column_whose_values_do_not_fit_gets_another_type_and_the_report_says_so() {
    for (value, types, note) in [
        (
            (3_000_000_000, 1_000, 0.5),
            "bigint numeric(5,2) real",
            "`id` was `integer` and is `bigint`",
        ),
        (
            (1, 1_505, 0.5),
            "integer numeric(19,3) real",
            "`n` was `numeric(5,2)` and is `numeric(19,3)`",
        ),
        (
            (1, 1_000_000, 0.5),
            "integer numeric(19,3) real",
            "`n` was `numeric(5,2)`",
        ),
        (
            (1, 1_000, 0.1),
            "integer numeric(5,2) double precision",
            "`f` was `real` and is `double precision`",
        ),
        (
            (1, 1_000, 1e300),
            "integer numeric(5,2) double precision",
            "`f` was `real`",
        ),
    ] {
        let database = Database::with(
            "CREATE SCHEMA out; CREATE TABLE out.t (id int, n numeric(5,2), f real); INSERT INTO out.t VALUES (7, 1, 1)",
        );
        let destination = database.destination();
        let rows = numbers(&[value]);
        let mut strict = intent(&target(), rows.schema(), WriteMode::Append, &[], 1);
        strict.write.schema_change = SchemaChange::Fail;
        let refused = write(
            destination.as_ref(),
            strict.clone(),
            std::slice::from_ref(&rows),
        );
        let failure = refused.await.unwrap_err();
        assert_eq!(failure.code, "R0246", "{failure:?}");
        assert_eq!(database.sql("SELECT count(*) FROM out.t"), "1");
        strict.write.schema_change = SchemaChange::Evolve;
        let mut writer = destination.begin(strict).await.unwrap();
        writer.write(rows, None).await.unwrap();
        let prepared = writer.prepare().await.unwrap();
        let notes = prepared.notes();
        assert!(notes.len() == 1 && notes[0].contains(note), "{notes:?}");
        prepared.commit(Commit::default()).await.unwrap();
        assert_eq!(database.sql(TYPES), types);
        assert_eq!(database.sql("SELECT count(*) FROM out.t"), "2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_keeps_grants_views_and_old_readers() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8, v text); INSERT INTO out.t VALUES (1, 'old'); CREATE VIEW out.w AS SELECT * FROM out.t;",
    );
    let destination = database.destination();
    let reader = database.client().await;
    reader
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    let old: i64 = reader
        .query_one("SELECT id FROM out.t", &[])
        .await
        .unwrap()
        .get(0);
    let prepared = prepare(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Replace, &[], 1),
        &[batch(&[(2, "new")])],
    )
    .await
    .unwrap();
    assert_eq!(
        database.sql("SELECT v FROM out.w"),
        "old",
        "readers are not blocked while checks run"
    );
    prepared
        .commit(Commit {
            audited: false,
            position: Position::default(),
            ..Commit::default()
        })
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT v FROM out.w"), "new");
    assert_eq!(
        reader
            .query_one("SELECT id FROM out.t", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        old,
        "an open transaction keeps its view"
    );
    reader.batch_execute("COMMIT").await.unwrap();
    let mut fast = intent(&target(), schema(), WriteMode::Replace, &[], 2);
    fast.write
        .options
        .insert("replace".into(), "truncate".into());
    let prepared = prepare(destination.as_ref(), fast, &[batch(&[(3, "fast")])])
        .await
        .unwrap();
    assert_eq!(
        candidate(prepared.as_ref(), CandidateRows::AfterCommit)
            .await
            .column("v"),
        [Some("fast".to_owned())]
    );
    assert_eq!(database.sql("SELECT v FROM out.w"), "new");
    prepared
        .commit(Commit {
            audited: false,
            position: Position::default(),
            ..Commit::default()
        })
        .await
        .unwrap();
    assert_eq!(database.sql("SELECT v FROM out.w"), "fast");
    database.sql("ALTER TABLE out.t ADD PRIMARY KEY (id); CREATE TABLE out.child (id int8 REFERENCES out.t ON DELETE CASCADE); INSERT INTO out.child VALUES (3)");
    let failure = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Replace, &[], 3),
        &[],
    )
    .await
    .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0231", Remedy::Refused)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_another_table_would_follow_are_refused() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8 PRIMARY KEY, v text UNIQUE); INSERT INTO out.t VALUES (1, 'a'); \
         CREATE TABLE out.child (v text REFERENCES out.t (v) ON UPDATE CASCADE); INSERT INTO out.child VALUES ('a')",
    );
    let destination = database.destination();
    let by = |mode, generation| intent(&target(), schema(), mode, &["id"], generation);
    let merge = by(WriteMode::Merge, 1);
    let failure = write(destination.as_ref(), merge, &[batch(&[(1, "b")])]).await;
    let failure = failure.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0231", Remedy::Refused)
    );
    assert_eq!(database.sql("SELECT v FROM out.child"), "a");
    let new = by(WriteMode::InsertOnly, 1);
    let rows = batch(&[(1, "b"), (2, "c")]);
    write(destination.as_ref(), new, &[rows]).await.unwrap();
    assert_eq!(database.sql("SELECT v FROM out.t ORDER BY id"), "a\nc");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_out_and_comes_back() {
    let database = Database::with(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE src (id int8, a bool, b int2, c int4, d float4, e float8, f numeric(38,10), g numeric, h numeric(60,30), i text, j bytea,
           k date, l time, m timetz, n timestamp, o timestamptz, p interval, q uuid, r json, s jsonb, t inet, u int4range, v int4[], w text[],
           x uuid[], y money, z mood, aa numeric(10,2)[], ab macaddr);
         INSERT INTO src VALUES (1, true, -2, 3, 1.5, 'NaN', '1234567890123456789012345678.0123456789', '-0.00010', '1.000000000000000000000000000001',
           'Größe', '\\x00ff', '0044-03-15', '24:00', '04:05:06.7+05:30', '2024-02-29 12:00:00.000001', '2024-02-29 12:00:00+02', '1 year -3 days',
           '8a6e0804-2bd0-4672-b79d-d97027f9071a', '{\"a\": 1.10}', '{\"b\": [1]}', '::1', '[1,5)', '{1,NULL,3}', '{\"a,b\",NULL,\"\"}',
           '{8a6e0804-2bd0-4672-b79d-d97027f9071a}', '-12.34', 'ok', '{1.5,NULL}', '08:00:2b:01:02:03'); INSERT INTO src (id) VALUES (2);",
    );
    let read = read_table(&database, "src").await;
    let schema = read.schema.clone().unwrap();
    let target = TableName::new("out", "copy");
    let destination = database.destination();
    for (generation, mode, key) in [
        (1, WriteMode::Replace, &[][..]),
        (2, WriteMode::Merge, &["id"][..]),
    ] {
        write(
            destination.as_ref(),
            intent(&target, Arc::clone(&schema), mode, key, generation),
            &read.batches,
        )
        .await
        .unwrap();
        assert_eq!(
            database.sql("SELECT copy::text FROM out.copy ORDER BY id"),
            database.sql("SELECT src::text FROM src ORDER BY id")
        );
        assert_eq!(database.sql("SELECT count(*) FROM out.copy"), "2");
    }
    let types = "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 AND attrelid = ";
    assert_eq!(
        database.sql(&format!("{types}'out.copy'::regclass")),
        database.sql(&format!("{types}'src'::regclass"))
    );
    assert_eq!(
        destination
            .schema(&target)
            .await
            .unwrap()
            .unwrap()
            .field(17)
            .metadata()[SOURCE_TYPE],
        "uuid"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_cannot_hold_is_refused_by_column() {
    let database = Database::new();
    let destination = database.destination();
    let (fine, zero) = (
        batch(&[(1, "a"), (2, "b")]),
        batch(&[(3, "a"), (4, "a\0b")]),
    );
    let failure = write(
        destination.as_ref(),
        intent(&target(), schema(), WriteMode::Append, &[], 1),
        &[fine, zero],
    )
    .await
    .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0227", Remedy::FixData)
    );
    assert!(
        failure
            .message
            .contains("column `v` in row 4 of those written")
            && failure.message.contains("zero byte"),
        "{}",
        failure.message
    );
    assert!(failure.help[0].contains("`pattern: '^[^\\x00]*$'` on `v`"));
    let nanos = vec![Some(1000), None, Some(1)];
    let nanos = Arc::new(arrow_array::TimestampNanosecondArray::from(nanos));
    let one = Arc::new(Schema::new(vec![Field::new("at", nanos_type(), true)]));
    let rows = RecordBatch::try_new(Arc::clone(&one), vec![nanos]).unwrap();
    let failure = write(
        destination.as_ref(),
        intent(&target(), one, WriteMode::Append, &[], 1),
        &[rows],
    )
    .await
    .unwrap_err();
    assert!(
        failure.message.contains("nanoseconds") && failure.message.contains("`at` in row 3"),
        "{}",
        failure.message
    );
    assert!(failure.help[0].contains("type text"), "{failure:?}");
    let span = DataType::Duration(arrow_schema::TimeUnit::Second);
    let unknown = Arc::new(Schema::new(vec![Field::new("s", span, true)]));
    let failure = write(
        destination.as_ref(),
        intent(&target(), unknown, WriteMode::Append, &[], 1),
        &[],
    )
    .await
    .unwrap_err();
    assert_eq!(failure.code, "R0224");
    assert_eq!(
        database.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'out'"),
        "0"
    );
}

fn nanos_type() -> DataType {
    DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_names_the_object_by_its_connection() {
    let database = Database::with("CREATE SCHEMA \"My S\"");
    let destination = database.destination();
    for (name, check) in [
        ("plain", "public.plain"),
        ("\"My S\".\"a.b\"", "\"My S\".\"a.b\""),
    ] {
        let target = TableName::new("db", name);
        write(
            destination.as_ref(),
            intent(&target, schema(), WriteMode::Replace, &[], 1),
            &[batch(&[(1, "a")])],
        )
        .await
        .unwrap();
        assert_eq!(database.sql(&format!("SELECT v FROM {check}")), "a");
        assert!(
            destination
                .last(&task(&target), &target)
                .await
                .unwrap()
                .is_some()
        );
    }
}
