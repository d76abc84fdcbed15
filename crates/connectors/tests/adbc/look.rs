//! Looking around: tables, types, keys, and names that are not there.

use std::sync::Arc;

use towpath_ports::Discover;
use towpath_testkit::adbc::AdbcDriver;
use towpath_testkit::conformance::read_spec;

use crate::support::{Database, connector, query};

fn discover(database: &Database) -> Arc<dyn Discover> {
    connector()
        .discover(&database.plan(), &database.context())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_listed_with_their_keys_and_a_cursor() {
    for driver in [AdbcDriver::DuckDb, AdbcDriver::Postgres, AdbcDriver::Sqlite] {
        let database = Database::new(driver);
        let moment = match driver {
            AdbcDriver::Sqlite => "text",
            _ => "timestamp",
        };
        database.sql(&format!(
            "CREATE TABLE orders (a int, b int, updated_at {moment}, v text, PRIMARY KEY (b, a))"
        ));
        database.sql("CREATE TABLE \"odd \"\" name\" (x int)");
        database.sql("CREATE VIEW recent AS SELECT * FROM orders");
        let looking = discover(&database);
        let names = looking.tables("*").await.unwrap();
        assert_eq!(names, ["odd \" name", "orders", "recent"], "{driver:?}");
        assert_eq!(looking.tables("ord*").await.unwrap(), ["orders"]);
        let found = looking.describe("orders").await.unwrap();
        assert_eq!(found.key, ["b", "a"], "{driver:?}");
        let columns: Vec<_> = found
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        assert_eq!(columns, ["a", "b", "updated_at", "v"]);
        if driver != AdbcDriver::Sqlite {
            assert_eq!(found.cursor.as_deref(), Some("updated_at"), "{driver:?}");
        }
        let view = looking.describe("recent").await.unwrap();
        assert!(
            view.notes.iter().any(|note| note.contains("view")),
            "{:?}",
            view.notes
        );
        let odd = database
            .read(&read_spec("odd \" name"), None)
            .await
            .unwrap();
        assert!(odd.rejects.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_there_get_the_nearest() {
    for driver in [AdbcDriver::DuckDb, AdbcDriver::Postgres, AdbcDriver::Sqlite] {
        let database = Database::new(driver);
        database.sql("CREATE TABLE orders (id int, total int)");
        let missing = database
            .read(&read_spec("ordres"), None)
            .await
            .err()
            .unwrap();
        assert_eq!(missing.code, "R1405", "{driver:?} {}", missing.message);
        assert!(
            format!("{missing:?}").contains("did you mean `orders`?"),
            "{missing:?}"
        );
        let mut spec = read_spec("orders");
        spec.projection = Some(vec!["totl".to_owned()]);
        let missing = database.read(&spec, None).await.err().unwrap();
        assert_eq!(missing.code, "R1406", "{driver:?} {}", missing.message);
        let wrong = database.read(&query("SELEC 1"), None).await.err().unwrap();
        assert_eq!(wrong.code, "R1407", "{driver:?} {}", wrong.message);
        let twice = database
            .read(&query("SELECT id, total AS id FROM orders"), None)
            .await;
        // SQLite and DuckDB name the second one otherwise in a subquery.
        if driver == AdbcDriver::Postgres {
            assert_eq!(twice.err().unwrap().code, "R1406");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_schema_is_named_by_it() {
    for driver in [AdbcDriver::DuckDb, AdbcDriver::Postgres] {
        let database = Database::new(driver);
        database.sql("CREATE TABLE t (own int)");
        database.sql("CREATE SCHEMA other");
        database.sql("CREATE TABLE other.t (theirs int)");
        database.sql("CREATE TABLE other.only (x int)");
        let columns = async |name: &str| {
            let found = discover(&database).describe(name).await.unwrap();
            found.schema.field(0).name().clone()
        };
        assert_eq!(columns("t").await, "own", "{driver:?}");
        assert_eq!(columns("other.t").await, "theirs", "{driver:?}");
        assert_eq!(columns("only").await, "x", "{driver:?}");
        let mut names = discover(&database).tables("*.*").await.unwrap();
        names.sort();
        assert_eq!(names, ["other.only", "other.t", "t"], "{driver:?}");
    }
}
