//! Tables that others rewrite, empty or make anew while a read begins: no row vanishes.

use towpath_ports::ReadSpec;
use towpath_vocab::Selection;

use crate::support::{Database, by_cursor, read, spec, table};

const TABLES: &str = "CREATE TABLE t (id int, at int); INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g; \
     CREATE VIEW v AS SELECT * FROM t; CREATE TABLE p (id int, at int) PARTITION BY RANGE (id); \
     CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10000); INSERT INTO p SELECT * FROM t";

/// The rows of a read that begins while another program is in the middle of `change`.
async fn read_during(change: &str, spec: ReadSpec) -> Vec<i64> {
    let database = Database::with(TABLES);
    let other = database.client().await;
    other
        .batch_execute(&format!("BEGIN; {change}"))
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let source = database.source();
        async move { read(source.as_ref(), &spec, None).await }
    });
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    for _ in 0..200 {
        if database.sql(waits) == "t" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    other.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().numbers("id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_for_a_rewritten_table_reads_its_rows() {
    let fill = "INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g";
    let remade = format!("DROP VIEW v; DROP TABLE t; CREATE TABLE t (id int, at int); {fill}");
    let query = spec(Selection::Query("SELECT id FROM t WHERE id > 0".into()));
    for (change, spec) in [
        (
            "DROP VIEW v; ALTER TABLE t ALTER COLUMN id SET DATA TYPE int USING id + 0".to_owned(),
            table("t"),
        ),
        (format!("TRUNCATE t; {fill}"), table("t")),
        (format!("TRUNCATE t; {fill}"), by_cursor("t", "at")),
        (format!("TRUNCATE t; {fill}"), table("v")),
        (format!("TRUNCATE t; {fill}"), query.clone()),
        (remade.clone(), table("t")),
        (remade, query),
        (
            "TRUNCATE p; INSERT INTO p SELECT * FROM t".to_owned(),
            table("p"),
        ),
        (
            "TRUNCATE p1; INSERT INTO p SELECT * FROM t".to_owned(),
            by_cursor("p", "at"),
        ),
    ] {
        let ids = read_during(&change, spec.clone()).await;
        let expected: Vec<i64> = (1..1001).collect();
        assert_eq!(ids.len(), 1000, "{change} {:?}", spec.selection);
        assert_eq!(ids, expected);
    }
}
