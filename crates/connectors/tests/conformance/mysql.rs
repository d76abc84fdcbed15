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
}

fn on(server: Arc<MariadbServer>) -> Database {
    Database {
        name: server.new_database().unwrap(),
        server,
        rows: AtomicI64::new(0),
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
