//! MariaDB through the `mysql` connector, looked at through `mariadb`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use towpath_ports::{ReadSpec, Source};
use towpath_testkit::conformance::{Ample, SourceUnderTest, read_spec};
use towpath_testkit::mariadb::MariadbServer;
use towpath_testkit::source_conformance;
use towpath_vocab::{ConnectionPlan, CursorPlan, OptionValue, ReadMode, SecretTemplate};

use super::{MORE, ROWS, connector, insert, lines};

/// A database of its own on the shared server.
struct Database {
    server: Arc<MariadbServer>,
    name: String,
    /// Rows in the table to read.
    rows: AtomicI64,
}

fn with_rows() -> Database {
    let server = MariadbServer::shared().unwrap();
    let database = Database {
        name: server.new_database().unwrap(),
        server,
        rows: AtomicI64::new(0),
    };
    let sql = "CREATE TABLE t (id bigint, v text, c bigint)";
    database.server.sql(&database.name, sql).unwrap();
    database.add(ROWS);
    database
}

impl Database {
    fn add(&self, count: i64) -> Vec<String> {
        let first = self.rows.fetch_add(count, Ordering::SeqCst);
        let sql = insert(first..first + count);
        self.server.sql(&self.name, &sql).unwrap();
        lines(first..first + count)
    }
}

#[async_trait]
impl SourceUnderTest for Database {
    fn reads(&self) -> Vec<ReadMode> {
        connector("mysql").spec().reads
    }

    fn source(&self) -> Arc<dyn Source> {
        let url = SecretTemplate::new(self.server.url(&self.name));
        let plan = ConnectionPlan {
            name: "db".to_owned(),
            kind: "mysql".to_owned(),
            writable: false,
            options: BTreeMap::from([("url".to_owned(), OptionValue::Secret(url))]),
        };
        let context = Ample::context(".");
        connector("mysql").source(&plan, &context).unwrap()
    }

    fn spec(&self, mode: ReadMode) -> ReadSpec {
        ReadSpec {
            mode,
            batch_rows: 100,
            cursor: (mode == ReadMode::Incremental).then(|| CursorPlan {
                column: "c".to_owned(),
                lookback: 0,
            }),
            ..read_spec("t")
        }
    }

    fn expected(&self) -> Vec<String> {
        lines(0..self.rows.load(Ordering::SeqCst))
    }

    /// Rows without a cursor are read by the first load only.
    fn is_found_later(&self, line: &str) -> bool {
        line.starts_with("c=")
    }

    async fn grow(&self) -> Option<Vec<String>> {
        Some(self.add(MORE))
    }
}

source_conformance!(as_source, with_rows());
