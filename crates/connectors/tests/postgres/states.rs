//! What a destination says of a table before and after a write, and writes that hang on it.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use serde_json::Value;
use towpath_ports::{Committed, DELETE_ABSENT, Receipt, StateBeforeWrite, TableState, TableStates};
use towpath_vocab::{Failure, Remedy, TableName, WriteMode};

use crate::support::{Database, intent, task, write};

fn target() -> TableName {
    TableName::new("out", "t")
}

fn batch(ids: &[i64]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let ids = Int64Array::from(ids.to_vec());
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids)]).unwrap()
}

async fn states(database: &Database) -> TableStates {
    let destination = database.destination();
    destination
        .states(&task(&target()), &target())
        .await
        .unwrap()
}

/// A merge planned after a look; `deletes` those whose key does not come.
async fn merge(
    database: &Database,
    (generation, ids): (i64, &[i64]),
    table: Option<TableState>,
    deletes: bool,
) -> Result<Receipt, Failure> {
    let rows = batch(ids);
    let mut merge = intent(
        &target(),
        rows.schema(),
        WriteMode::Merge,
        &["id"],
        generation,
    );
    if deletes {
        let options = &mut merge.write.options;
        options.insert(DELETE_ABSENT.to_owned(), Value::Bool(true));
    }
    let look = StateBeforeWrite {
        table,
        must_hold: deletes,
    };
    look.put(&mut merge.write).unwrap();
    write(database.destination().as_ref(), merge, &[rows]).await
}

fn deleted(written: Result<Receipt, Failure>) -> u64 {
    let Committed { stats, .. } = written.unwrap().committed;
    stats.deleted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_deletes_is_refused_when_others_changed_the_table_since_the_look() {
    let database = Database::with("CREATE SCHEMA out");
    merge(&database, (1, &[1, 2, 3]), None, false)
        .await
        .unwrap();
    for change in [
        "INSERT INTO out.t VALUES (9)",
        "DELETE FROM out.t WHERE id = 1",
        "TRUNCATE out.t; INSERT INTO out.t VALUES (1), (2), (9)",
        "DROP TABLE out.t; CREATE TABLE out.t (id int8 PRIMARY KEY); INSERT INTO out.t VALUES (9)",
    ] {
        let looked = states(&database).await.now;
        let before = database.sql("SELECT count(*) FROM out._towpath_commits");
        database.sql(change);
        let refused = merge(&database, (2, &[2, 3]), looked, true).await;
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.remedy),
            ("R0255", Remedy::Retry)
        );
        let after = database.sql("SELECT count(*) FROM out._towpath_commits");
        assert_eq!(before, after, "{change}");
    }
    let looked = states(&database).await.now;
    assert_eq!(
        deleted(merge(&database, (2, &[2, 3]), looked, true).await),
        1
    );
    // A table that was not there when it was looked for is nobody's to empty.
    let refused = merge(&database, (3, &[2]), None, true).await;
    assert_eq!(refused.unwrap_err().code, "R0255");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_tells_what_it_leaves_not_what_others_added_meanwhile() {
    let database = Database::with("CREATE SCHEMA out");
    merge(&database, (1, &[1, 2, 3]), None, false)
        .await
        .unwrap();
    let looked = states(&database).await;
    let rows = |state: Option<TableState>| state.and_then(|state| state.rows);
    assert_eq!(rows(looked.committed), Some(3));
    database.sql("INSERT INTO out.t VALUES (9)");
    merge(&database, (2, &[3, 4]), looked.now, false)
        .await
        .unwrap();
    let TableStates { committed, now } = states(&database).await;
    assert_eq!((rows(committed), rows(now)), (Some(4), Some(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_tables_that_inherit_are_not_counted_those_of_partitions_are() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id int8); CREATE TABLE out.child () INHERITS (out.t); \
         INSERT INTO out.t VALUES (1); INSERT INTO out.child VALUES (2), (3)",
    );
    assert_eq!(states(&database).await.now.unwrap().rows, Some(1));
    database.sql(
        "DROP TABLE out.t CASCADE; CREATE TABLE out.t (id int8) PARTITION BY LIST (id); \
         CREATE TABLE out.one PARTITION OF out.t FOR VALUES IN (1); \
         CREATE TABLE out.others PARTITION OF out.t DEFAULT; INSERT INTO out.t VALUES (1), (2), (3)",
    );
    assert_eq!(states(&database).await.now.unwrap().rows, Some(3));
    database.sql("DROP TABLE out.t; CREATE VIEW out.t AS SELECT 1 AS id");
    assert_eq!(states(&database).await.now.unwrap().rows, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_wrote_are_told_from_those_that_were_there() {
    for partitions in ["", "PARTITION BY RANGE (id)"] {
        let database = Database::with(&format!(
            "CREATE SCHEMA out; CREATE TABLE out.t (id int8 PRIMARY KEY) {partitions}"
        ));
        if !partitions.is_empty() {
            database.sql(
                "CREATE TABLE out.low PARTITION OF out.t FOR VALUES FROM (0) TO (2); \
                 CREATE TABLE out.high PARTITION OF out.t DEFAULT",
            );
        }
        let looked = states(&database).await.now;
        merge(&database, (1, &[1, 2, 3]), looked, false)
            .await
            .unwrap();
        let now = || async { states(&database).await.now.unwrap() };
        let left = states(&database).await.committed.unwrap();
        let is = |state: &TableState| (state.rows.unwrap(), state.newer.unwrap());
        assert_eq!(
            (is(&now().await), now().await.identity),
            ((3, 0), left.identity.clone())
        );
        // A later commit of ours has rows of two transactions, both its own.
        let looked = Some(now().await);
        merge(&database, (2, &[3, 4]), looked, false).await.unwrap();
        let left = states(&database).await.committed.unwrap();
        assert_eq!(is(&now().await), (4, 0));
        database.sql("VACUUM FULL");
        assert_eq!(
            (is(&now().await), now().await.identity),
            ((4, 0), left.identity)
        );
        database.sql("DELETE FROM out.t WHERE id = 4");
        assert_eq!(is(&now().await), (3, 0));
        database.sql("INSERT INTO out.t VALUES (9)");
        assert_eq!(is(&now().await), (4, 1), "one deleted, another inserted");
        database.sql("UPDATE out.t SET id = id WHERE id = 1");
        assert_eq!(is(&now().await), (4, 2), "one changed");
        database.sql("TRUNCATE out.t; INSERT INTO out.t SELECT generate_series(1, 4)");
        assert_eq!(is(&now().await), (4, 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_began_before_a_commit_and_writes_after_it_is_seen() {
    let database = Database::with("CREATE SCHEMA out; CREATE TABLE out.elsewhere (n int)");
    merge(&database, (1, &[1, 2]), None, false).await.unwrap();
    let mut theirs = database.client().await;
    let transaction = theirs.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO out.elsewhere VALUES (1)", &[])
        .await
        .unwrap();
    let looked = states(&database).await.now;
    merge(&database, (2, &[3]), looked, false).await.unwrap();
    transaction
        .execute("DELETE FROM out.t WHERE id = 1", &[])
        .await
        .unwrap();
    transaction
        .execute("INSERT INTO out.t VALUES (9)", &[])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let now = states(&database).await.now.unwrap();
    assert_eq!((now.rows, now.newer), (Some(3), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_write_between_a_look_and_its_write_are_newer() {
    for (change, newer) in [
        ("INSERT INTO out.t VALUES (9)", 1),
        (
            "DELETE FROM out.t WHERE id = 1; INSERT INTO out.t VALUES (9)",
            1,
        ),
        ("UPDATE out.t SET id = id WHERE id = 1", 1),
        ("DELETE FROM out.t WHERE id = 1", 0),
    ] {
        let database = Database::with("CREATE SCHEMA out");
        merge(&database, (1, &[1, 2, 3]), None, false)
            .await
            .unwrap();
        let looked = states(&database).await.now;
        database.sql(change);
        merge(&database, (2, &[4]), looked, false).await.unwrap();
        let TableStates { committed, now } = states(&database).await;
        assert_eq!(committed.unwrap().rows, Some(4), "{change}");
        assert_eq!(now.unwrap().newer, Some(newer), "{change}");
    }
    // A table that others make where none was seen: none of what they wrote is the step's.
    let database = Database::with("CREATE SCHEMA out");
    database.sql("CREATE TABLE out.t (id int8 PRIMARY KEY); INSERT INTO out.t VALUES (1), (2)");
    merge(&database, (1, &[3]), None, false).await.unwrap();
    assert_eq!(states(&database).await.now.unwrap().newer, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_savepoints_are_seen_and_those_of_earlier_commits_are_not_mistaken_for_them() {
    let database = Database::with("CREATE SCHEMA out; CREATE TABLE out.elsewhere (n int)");
    merge(&database, (1, &[1, 2]), None, false).await.unwrap();
    let mut theirs = database.client().await;
    let mut transaction = theirs.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO out.elsewhere VALUES (1)", &[])
        .await
        .unwrap();
    let newer = || async { states(&database).await.now.unwrap().newer };
    // Commits of ours while others have been running since before them.
    for generation in 2..5 {
        let looked = states(&database).await.now;
        merge(&database, (generation, &[generation]), looked, false)
            .await
            .unwrap();
        assert_eq!(newer().await, Some(0));
    }
    let savepoint = transaction.transaction().await.unwrap();
    savepoint
        .execute("INSERT INTO out.t VALUES (9)", &[])
        .await
        .unwrap();
    savepoint.commit().await.unwrap();
    let looked = states(&database).await.now;
    transaction.commit().await.unwrap();
    merge(&database, (5, &[7]), looked, false).await.unwrap();
    assert_eq!(newer().await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_deletes_is_tried_again_when_the_table_is_gone() {
    let database = Database::with("CREATE SCHEMA out");
    merge(&database, (1, &[1, 2]), None, false).await.unwrap();
    let looked = states(&database).await.now;
    database.sql("DROP TABLE out.t");
    let refused = merge(&database, (2, &[2]), looked, true).await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.remedy),
        ("R0255", Remedy::Retry)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_read_its_target_appends_and_is_refused_by_name_where_it_must_read() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE out.t (id bigint); INSERT INTO out.t VALUES (1); CREATE SCHEMA tokens",
    );
    let user = format!("blind_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'w'; GRANT USAGE ON SCHEMA out TO {user}; \
         GRANT INSERT, UPDATE, DELETE ON out.t TO {user}; GRANT USAGE, CREATE ON SCHEMA tokens TO {user};"
    ));
    let mut plan = crate::support::plan(&format!(
        "postgres://{user}:w@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    ));
    let schema = towpath_vocab::OptionValue::Plain("tokens".into());
    plan.options.insert("commits_schema".into(), schema);
    let destination = crate::support::destination(&plan);
    for generation in 1..3 {
        let states = destination
            .states(&task(&target()), &target())
            .await
            .unwrap();
        let now = states.now.unwrap();
        assert_eq!((now.rows, now.newer), (None, None));
        let rows = batch(&[generation + 1]);
        let mut append = intent(&target(), rows.schema(), WriteMode::Append, &[], generation);
        let look = StateBeforeWrite {
            table: destination
                .states(&task(&target()), &target())
                .await
                .unwrap()
                .now,
            must_hold: false,
        };
        look.put(&mut append.write).unwrap();
        crate::support::write(destination.as_ref(), append, &[rows])
            .await
            .unwrap();
    }
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "3");
    let rows = batch(&[3, 4]);
    let merge = intent(&target(), rows.schema(), WriteMode::Merge, &["id"], 3);
    let refused = crate::support::write(destination.as_ref(), merge, &[rows])
        .await
        .unwrap_err();
    assert_eq!(refused.code, "R0212", "{refused:?}");
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "3");
}
