//! Text of a fixed length: its value is what PostgreSQL compares, there and back.

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
