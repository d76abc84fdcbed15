//! Text of a fixed length: its value is what PostgreSQL compares, there and back.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use towpath_ports::{Commit, OpColumn};
use towpath_vocab::{TableName, WriteMode};

use crate::support::{Database, by_cursor, intent, read, read_table, write};

const TYPES: &str = "CREATE EXTENSION IF NOT EXISTS citext; CREATE DOMAIN code AS char(4); CREATE DOMAIN deeper AS code;";
const COLUMNS: &str = "id int, c char(6), b bpchar, d code, e deeper, one \"char\", n name, ci citext, v varchar(6), a char(4)[]";

fn strings(read: &crate::support::Read, column: &str) -> Vec<String> {
    read.column(column)
        .into_iter()
        .map(|v| v.unwrap_or_else(|| "NULL".into()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_without_padding() {
    let database = Database::with(&format!(
        "{TYPES} CREATE TABLE t ({COLUMNS}); INSERT INTO t VALUES \
         (1, 'ab', 'ab  ', 'ab', 'ab', 'x', 'ab', 'Ab ', 'ab ', '{{ab,NULL,\"\"}}'), \
         (2, '', '', '    ', ' a', '', '', '', '', '{{}}'), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    ));
    let read = read_table(&database, "t").await;
    for column in ["c", "b"] {
        assert_eq!(strings(&read, column), ["ab", "", "NULL"], "{column}");
    }
    assert_eq!(strings(&read, "d"), ["ab", "", "NULL"]);
    assert_eq!(strings(&read, "e"), ["ab", " a", "NULL"]);
    assert_eq!(strings(&read, "one"), ["x", "", "NULL"]);
    assert_eq!(strings(&read, "n"), ["ab", "", "NULL"]);
    // Blanks are part of these.
    assert_eq!(strings(&read, "ci"), ["Ab ", "", "NULL"]);
    assert_eq!(strings(&read, "v"), ["ab ", "", "NULL"]);
    assert!(
        read.rows()[0].contains(r#""a":["ab",null,""]"#),
        "{:?}",
        read.rows()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_there_and_back() {
    let database = Database::with(&format!(
        "{TYPES} CREATE SCHEMA out; CREATE TABLE t ({COLUMNS}); CREATE TABLE out.t ({COLUMNS}); \
         INSERT INTO t VALUES (1, 'ab', 'ab', 'ab', 'ab', 'x', 'ab', 'Ab ', 'ab ', '{{ab,NULL,\"\"}}'), \
         (2, 'abcdef', 'ü', 'ab', ' a', 'y', 'q', '', '', '{{}}')"
    ));
    let given = read_table(&database, "t").await;
    let target = TableName::new("out", "t");
    let replace = intent(
        &target,
        given.schema.clone().unwrap(),
        WriteMode::Replace,
        &[],
        1,
    );
    write(database.destination().as_ref(), replace, &given.batches)
        .await
        .unwrap();
    let same = "SELECT count(*) FROM t JOIN out.t o ON ROW(t.*)::text = ROW(o.*)::text";
    assert_eq!(
        database.sql(same),
        "2",
        "{}",
        database.sql("SELECT * FROM out.t")
    );
    assert_eq!(read_table(&database, "out.t").await.rows(), given.rows());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_char_are_compared_without_padding() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE t (k char(4), v char(3)); INSERT INTO t VALUES ('a', 'x'), ('b', 'y'); \
         CREATE TABLE out.t (k char(6) PRIMARY KEY, v char(5)); INSERT INTO out.t VALUES ('a', 'x'), ('c', 'z')",
    );
    let given = read_table(&database, "t").await;
    let target = TableName::new("out", "t");
    let schema = given.schema.clone().unwrap();
    let merge = intent(&target, schema.clone(), WriteMode::Merge, &["k"], 1);
    let receipt = write(database.destination().as_ref(), merge, &given.batches)
        .await
        .unwrap();
    let stats = receipt.committed.stats;
    assert_eq!((stats.inserted, stats.updated), (1, 1));
    assert_eq!(
        database.sql("SELECT string_agg(k || '=' || v, ',' ORDER BY k) FROM out.t"),
        "a=x,b=y,c=z"
    );
    // Padded text of an older version of this program means the same key.
    let padded =
        Database::with("CREATE TABLE p (k text, v text); INSERT INTO p VALUES ('a   ', 'w  ')");
    let given = read_table(&padded, "p").await;
    let merge = intent(
        &target,
        given.schema.clone().unwrap(),
        WriteMode::Merge,
        &["k"],
        2,
    );
    let receipt = write(database.destination().as_ref(), merge, &given.batches)
        .await
        .unwrap();
    assert_eq!(receipt.committed.stats.updated, 1);
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_char_goes_on() {
    let database = Database::with(
        "CREATE TABLE t (id int, k char(6)); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    );
    let source = database.source();
    let spec = by_cursor("t", "k");
    let one = read(source.as_ref(), &spec, None).await;
    database.sql("INSERT INTO t VALUES (3, 'b'), (4, 'c')");
    let two = read(source.as_ref(), &spec, Some(&one.position)).await;
    assert_eq!(
        (one.numbers("id"), two.numbers("id")),
        (vec![1, 2], vec![3, 4])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_written_beside_the_same_keys_with_blanks() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE t (k char(4), n int, v text); \
         INSERT INTO t VALUES ('a', 1, 'new'), ('b', 1, 'new'), ('full', 1, 'new')",
    );
    let given = read_table(&database, "t").await;
    let keyed = [
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
    ];
    for (at, mode) in keyed.into_iter().enumerate() {
        for (place, text) in ["text", "varchar(9)"].into_iter().enumerate() {
            let name = format!("t{at}{place}");
            database.sql(&format!(
                "CREATE TABLE out.{name} (k {text}, n int, v text, PRIMARY KEY (k, n)); \
                 INSERT INTO out.{name} VALUES ('a   ', 1, 'old'), ('b   ', 2, 'other n'), ('c   ', 1, 'not sent')"
            ));
            let target = TableName::new("out", &name);
            let schema = given.schema.clone().unwrap();
            let into = || intent(&target, schema.clone(), mode, &["k", "n"], 1);
            let destination = database.destination();
            let refused = write(destination.as_ref(), into(), &given.batches)
                .await
                .unwrap_err();
            assert_eq!(refused.code, "R0251", "{refused:?}");
            assert!(refused.message.starts_with("1 rows of"), "{refused:?}");
            let rows = || database.sql(&format!("SELECT count(*) FROM out.{name}"));
            assert_eq!(rows(), "3");
            // What the help says works.
            let update = refused.help[0].split('`').nth_back(1).unwrap();
            assert_eq!(update, format!("UPDATE out.{name} SET k = rtrim(k)"));
            database.sql(update);
            write(destination.as_ref(), into(), &given.batches)
                .await
                .unwrap();
            assert_eq!(rows(), "5");
        }
    }
}

/// A row's key lost its blanks: the comparison of two versions gives it and the deletion of the old key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_lost_its_blanks_is_not_deleted_where_both_are_one_key() {
    let database = Database::with(
        "CREATE EXTENSION IF NOT EXISTS citext; CREATE SCHEMA out; \
         CREATE TABLE out.t (k char(4) PRIMARY KEY, v text); INSERT INTO out.t VALUES ('a', 'old'), ('b', 'old'); \
         CREATE TABLE out.c (k citext PRIMARY KEY, v text); INSERT INTO out.c VALUES ('A', 'old'), ('b', 'old')",
    );
    for (name, old) in [("t", "a   "), ("c", "A")] {
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", old, "b"]));
        let values: ArrayRef = Arc::new(StringArray::from(vec!["new", "new", "old", "gone"]));
        let batch = RecordBatch::try_from_iter([("k", keys), ("v", values)]).unwrap();
        // Update, update, delete, delete: of what is one key also as it comes, the last change counts.
        let ops = OpColumn::from(vec![1, 1, 2, 2]);
        let target = TableName::new("out", name);
        let merge = intent(&target, batch.schema(), WriteMode::Merge, &["k"], 1);
        let destination = database.destination();
        let mut writer = destination.begin(merge).await.unwrap();
        writer.write(batch, Some(ops)).await.unwrap();
        let prepared = writer.prepare().await.unwrap();
        prepared.commit(Commit::default()).await.unwrap();
        let rows = format!("SELECT string_agg(k || '=' || v, ',') FROM out.{name}");
        assert_eq!(database.sql(&rows).to_lowercase(), "a=new", "{name}");
    }
}

/// The whole table is looked at for such keys only by the first write of a task.
#[tokio::test(flavor = "multi_thread")]
async fn keys_with_blanks_are_looked_for_once() {
    let database = Database::with(
        "CREATE SCHEMA out; CREATE TABLE t (k char(4), v text); INSERT INTO t VALUES ('a', 'new'), ('b', 'new'); \
         CREATE TABLE out.t (k text PRIMARY KEY, v text); INSERT INTO out.t VALUES ('a', 'old'), ('z', 'old'); \
         CREATE TABLE out.same (k char(4) PRIMARY KEY, v text); INSERT INTO out.same VALUES ('a', 'old')",
    );
    let given = read_table(&database, "t").await;
    let merge = async |name: &str, generation| {
        let target = TableName::new("out", name);
        let schema = given.schema.clone().unwrap();
        let how = intent(&target, schema, WriteMode::Merge, &["k"], generation);
        write(database.destination().as_ref(), how, &given.batches).await
    };
    merge("t", 1).await.unwrap();
    let found = "SELECT stats::json -> 'plain_keys' ->> 'columns' FROM out._towpath_commits WHERE table_name = 'out.t' ORDER BY generation DESC LIMIT 1";
    assert_eq!(database.sql(found), r#"["k"]"#);
    // What others write by hand is theirs.
    database.sql("DELETE FROM out.t WHERE k = 'b'; INSERT INTO out.t VALUES ('b   ', 'by hand')");
    merge("t", 2).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "4");
    // A table whose rows were put back is another one.
    database
        .sql("TRUNCATE out.t; INSERT INTO out.t VALUES ('a   ', 'restored'), ('c   ', 'restored')");
    assert_eq!(merge("t", 3).await.unwrap_err().code, "R0251");
    database.sql("UPDATE out.t SET k = rtrim(k)");
    merge("t", 3).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM out.t"), "3");
    // A column that compares without blanks needs no look at all.
    merge("same", 1).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM out.same"), "2");
    let found = found.replace("out.t'", "out.same'");
    assert_eq!(database.sql(&found), "");
}
