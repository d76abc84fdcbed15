//! Discovering tables and testing a connection.

use towpath_vocab::types;

use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn tables_columns_keys_and_cursors_are_found() {
    let database = Database::with(
        "CREATE TABLE orders (id int8, line int2, total numeric(10,2), note json, created_at timestamptz, updated_at timestamptz, \
         PRIMARY KEY (line, id)); CREATE INDEX ON orders (updated_at); INSERT INTO orders SELECT n, 1 FROM generate_series(1, 50) n; \
         ANALYZE orders; CREATE VIEW order_view AS SELECT 1 AS one; CREATE SCHEMA sales; CREATE TABLE sales.deals (id int); \
         CREATE TABLE parted (id int) PARTITION BY LIST (id); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);",
    );
    let discover = database.discover();
    assert_eq!(
        discover.tables("*").await.unwrap(),
        ["order_view", "orders", "parted"]
    );
    assert_eq!(
        discover.tables("order*").await.unwrap(),
        ["order_view", "orders"]
    );
    assert_eq!(discover.tables("sales.*").await.unwrap(), ["sales.deals"]);
    let orders = discover.describe("orders").await.unwrap();
    assert_eq!(orders.key, ["line", "id"]);
    assert_eq!(orders.cursor.as_deref(), Some("updated_at"));
    assert_eq!(orders.rows, Some(50));
    let words: Vec<String> = orders
        .schema
        .fields()
        .iter()
        .map(|field| types::name(field.data_type()))
        .collect();
    assert_eq!(
        words,
        [
            "bigint",
            "smallint",
            "decimal(10,2)",
            "text",
            "timestamptz",
            "timestamptz"
        ]
    );
    assert_eq!(
        orders.schema.field(3).metadata()[types::SOURCE_TYPE],
        "json"
    );
    assert!(!orders.schema.field(0).is_nullable());
    assert_eq!(
        discover.describe("order").await.unwrap_err().help,
        ["did you mean `orders`?"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_names_the_version() {
    let database = Database::new();
    let report = database.discover().test().await.unwrap();
    let version = database.sql("SHOW server_version");
    assert_eq!(
        report.system,
        format!("PostgreSQL {}", version.split(' ').next().unwrap())
    );
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    let mut plan = database.plan();
    plan.options.insert(
        "schema".into(),
        towpath_vocab::OptionValue::Plain("nowhere".into()),
    );
    let report = crate::support::postgres()
        .discover(&plan, &crate::support::context())
        .unwrap()
        .test()
        .await
        .unwrap();
    assert_eq!(report.notes, ["there is no schema `nowhere`"]);
}
