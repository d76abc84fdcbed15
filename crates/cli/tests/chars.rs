//! Keys of `char(n)` from PostgreSQL, in projects that an earlier version loaded with the blanks of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::sync::Arc;

use towpath_testkit::postgres::PostgresServer;

use crate::test_project::{TestProject, has, text};

const PIPELINE: &str = "steps:
  extract: { load: shop, into: raw, tables: { t: { write: merge, key: k } } }
  build: { models: all }
  send: { publish: marts, into: out, tables: { m: { key: k }, n: { from: m, key: k } } }
";

struct Shop {
    desk: TestProject,
    server: Arc<PostgresServer>,
    database: String,
}

impl Shop {
    /// Loaded by an earlier version: its text has the blanks that it kept, and the column is `char(4)` since.
    fn loaded_with_blanks() -> Self {
        let server = PostgresServer::shared().unwrap();
        let database = server.new_database().unwrap();
        let url = server.url(&database);
        let desk = TestProject::new();
        desk.write(
            "towpath.yml",
            &format!(
                "towpath: 1\nname: p\nid: 6f1e0000-0000-4000-8000-000000000007\nlakehouse: ./lake\nconnections:\n  \
                 shop: {{ type: postgres, url: '{url}' }}\n  out: {{ type: postgres, url: '{url}', schema: out, writable: true }}\n"
            ),
        );
        desk.write("pipelines/p.yml", PIPELINE);
        desk.write(
            "models/marts/m.sql",
            "{{ config(materialized='incremental', unique_key='k') }}\nselect k, v from {{ source('raw', 't') }}\n",
        );
        let shop = Self {
            desk,
            server,
            database,
        };
        shop.sql(
            "CREATE SCHEMA out; CREATE TABLE out.n (k char(4) PRIMARY KEY, v int); CREATE TABLE t (k text, v int); \
             INSERT INTO t VALUES ('a   ', 1), ('b   ', 2), ('full', 3)",
        );
        shop.desk.ok(".", &["run"]);
        shop.sql("ALTER TABLE t ALTER k TYPE char(4)");
        shop.sql("UPDATE t SET v = v + 10");
        shop
    }

    fn sql(&self, sql: &str) -> String {
        let said = self.server.psql(&self.database, sql).unwrap();
        said.trim().to_owned()
    }

    fn count(&self, table: &str) -> i64 {
        self.desk.count(".", table).as_i64().unwrap()
    }

    fn refused(&self, arguments: &[&str], code: &str) -> String {
        let refused = self.desk.towpath(".", arguments);
        assert!(!refused.status.success());
        let said = format!("{}{}", text(&refused.stdout), text(&refused.stderr));
        has(&said, &[code]);
        said
    }
}

#[test]
fn a_merge_is_refused_until_the_table_is_read_again() {
    let shop = Shop::loaded_with_blanks();
    let said = shop.refused(&["run"], "R0435");
    has(&said, &["`k`", "--full-refresh", "rpad(k, 4)"]);
    assert_eq!(shop.count("raw.t"), 3);
    // The load alone: the model still holds blanks, and says so.
    shop.desk
        .ok(".", &["run", "--select", "step:extract", "--full-refresh"]);
    assert_eq!(shop.count("raw.t"), 3);
    shop.refused(&["run"], "R0435");
    assert_eq!(shop.count("marts.m"), 3);
    shop.desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!((shop.count("raw.t"), shop.count("marts.m")), (3, 3));
    let keys = |table: &str| {
        shop.sql(&format!(
            "SELECT string_agg(k || '=' || v, ',' ORDER BY v) FROM out.{table}"
        ))
    };
    for table in ["m", "n"] {
        assert_eq!(keys(table), "a=11,b=12,full=13", "{table}");
    }
    shop.sql("UPDATE t SET v = 20 WHERE k = 'a'");
    shop.desk.ok(".", &["run"]);
    assert_eq!((shop.count("raw.t"), shop.count("marts.m")), (3, 3));
    for table in ["m", "n"] {
        assert_eq!(keys(table), "b=12,full=13,a=20", "{table}");
    }
}

#[test]
fn blanks_can_be_kept() {
    let shop = Shop::loaded_with_blanks();
    shop.refused(&["run"], "R0435");
    let kept = "key: k, columns: { k: { set: \"rpad(k, 4)\" } }";
    shop.desk
        .write("pipelines/p.yml", &PIPELINE.replacen("key: k", kept, 1));
    shop.sql("DELETE FROM t WHERE v = 12");
    shop.desk.ok(".", &["run"]);
    // A row that the source no longer has stays.
    assert_eq!((shop.count("raw.t"), shop.count("marts.m")), (3, 3));
    let values = "SELECT string_agg(v::text, ',' ORDER BY v) FROM out.m";
    assert_eq!(shop.sql(values), "2,11,13");
}
