//! Looking around: names, keys, cursors, and the versions of a server.

use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn tables_views_keys_and_cursors_are_found() {
    let database = Database::with(
        "CREATE TABLE orders (b int, a int, updated_at datetime, created_at datetime, PRIMARY KEY (a, b), KEY (updated_at));
         CREATE TABLE `Orders` (x int); CREATE VIEW recent AS SELECT * FROM orders;
         CREATE TABLE _towpath_commits (x int)",
    );
    let discover = database.discover();
    assert_eq!(
        discover.tables("*").await.unwrap(),
        ["Orders", "orders", "recent"]
    );
    assert_eq!(discover.tables("o*").await.unwrap(), ["orders"]);
    let found = discover.describe("orders").await.unwrap();
    assert_eq!(found.key, ["a", "b"]);
    assert_eq!(found.cursor.as_deref(), Some("updated_at"));
    assert_eq!(found.schema.fields().len(), 4);
    assert_eq!(
        discover
            .describe("Orders")
            .await
            .unwrap()
            .schema
            .fields()
            .len(),
        1
    );
    let full = format!("{}.RECENT", database.name);
    let view = discover.describe(&full).await.unwrap();
    assert!(view.notes.iter().any(|note| note.contains("is a view")));
    let missing = discover.describe("ordrs").await.unwrap_err();
    assert_eq!(missing.code, "R1010");
    assert!(format!("{missing:?}").contains("did you mean `Orders`?"));
    let report = discover.test().await.unwrap();
    let (system, writes) = match database.server.is_mysql() {
        false => ("MariaDB 1", "rows are written by `LOAD DATA LOCAL`"),
        true => ("MySQL 8", "rows are written by `INSERT`, which is slower"),
    };
    assert!(report.system.starts_with(system), "{}", report.system);
    assert!(report.notes[1].starts_with(writes), "{:?}", report.notes);
}
