//! MariaDB through the `mysql` connector, looked at through `mariadb`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{Destination, ReadSpec, Source};
use towpath_testkit::conformance::{
    Ample, DestinationUnderTest, Limits, SourceUnderTest, line_of_json, read_spec,
};
use towpath_testkit::mariadb::MariadbServer;
use towpath_testkit::{destination_conformance, source_conformance};
use towpath_vocab::{
    ConnectionPlan, CursorPlan, OptionValue, ReadMode, SecretTemplate, TableName, WriteMode,
};

use super::{MORE, ROWS, connector, insert, lines};

/// A database of its own on the shared server.
struct Database {
    server: Arc<MariadbServer>,
    name: String,
    /// Rows in the table to read.
    rows: AtomicI64,
    parallel: usize,
}

fn on(server: Arc<MariadbServer>) -> Database {
    Database {
        name: server.new_database().unwrap(),
        server,
        rows: AtomicI64::new(0),
        parallel: 1,
    }
}

fn database() -> Database {
    on(MariadbServer::shared().unwrap())
}

fn with_rows() -> Database {
    let database = database();
    let sql = "CREATE TABLE t (id bigint, v text, c bigint)";
    database.server.sql(&database.name, sql).unwrap();
    database.add(ROWS);
    database
}

/// A table so large that several connections read ranges of its key.
fn with_ranges() -> Database {
    let database = Database {
        parallel: 4,
        ..database()
    };
    let sql = "CREATE TABLE t (id bigint PRIMARY KEY, v text, c bigint)";
    database.server.sql(&database.name, sql).unwrap();
    for _ in 0..5 {
        database.add(5_000);
    }
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

impl Database {
    fn plan(&self) -> ConnectionPlan {
        let url = SecretTemplate::new(self.server.url(&self.name));
        ConnectionPlan {
            name: "db".to_owned(),
            kind: "mysql".to_owned(),
            writable: true,
            options: BTreeMap::from([("url".to_owned(), OptionValue::Secret(url))]),
        }
    }

    fn open(&self) -> Arc<dyn Source> {
        let context = Ample::context(".");
        connector("mysql").source(&self.plan(), &context).unwrap()
    }
}

#[async_trait]
impl DestinationUnderTest for Database {
    fn modes(&self) -> Vec<WriteMode> {
        connector("mysql").spec().writes
    }

    fn limits(&self) -> Limits {
        // MariaDB stores -0.0 as 0.
        Limits {
            negative_zero: false,
            not_finite: false,
            ..Limits::default()
        }
    }

    fn destination(&self) -> Arc<dyn Destination> {
        let context = Ample::context(".");
        connector("mysql")
            .destination(&self.plan(), &context)
            .unwrap()
    }

    fn table(&self, name: &str) -> TableName {
        TableName::new("db", name)
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        let sql = |sql: &str| self.server.sql(&self.name, sql).unwrap();
        let text = |value: &str| format!("'{}'", value.replace('\'', "''"));
        let name = table.table().replace('`', "``");
        let columns = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = database() \
             AND BINARY table_name = {} ORDER BY ordinal_position",
            text(table.table())
        );
        let columns = sql(&columns);
        if columns.is_empty() {
            return None;
        }
        let members = columns
            .lines()
            .map(|column| format!("{}, `{}`", text(column), column.replace('`', "``")));
        let members: Vec<String> = members.collect();
        let rows = format!("SELECT json_object({}) FROM `{name}`", members.join(", "));
        Some(sql(&rows).lines().map(line_of_json).collect())
    }

    fn reading(&self, table: &TableName, _: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        (self.open(), read_spec(table.table()))
    }
}

#[async_trait]
impl SourceUnderTest for Database {
    fn reads(&self) -> Vec<ReadMode> {
        connector("mysql").spec().reads
    }

    fn source(&self) -> Arc<dyn Source> {
        self.open()
    }

    fn spec(&self, mode: ReadMode) -> ReadSpec {
        ReadSpec {
            mode,
            batch_rows: 100,
            parallel: self.parallel,
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

destination_conformance!(as_destination, database());
source_conformance!(as_source, with_rows());
source_conformance!(as_source_in_ranges, with_ranges());

/// Without this, the cases above would say nothing about ranges.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_this_size_is_read_in_ranges() {
    let under = with_ranges();
    for mode in under.reads() {
        let mut reader = under.open().open(&under.spec(mode), None).await.unwrap();
        let pieces = futures::StreamExt::count(reader.splits()).await - 1;
        assert!(pieces > 1, "{mode:?}: {:?}", reader.notes());
    }
}
