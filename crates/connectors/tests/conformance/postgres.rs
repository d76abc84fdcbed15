//! PostgreSQL, looked at through `psql`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{Destination, ReadSpec, Source};
use towpath_testkit::conformance::{
    Ample, DestinationUnderTest, Limits, SourceUnderTest, line_of_json, read_spec,
};
use towpath_testkit::postgres::PostgresServer;
use towpath_testkit::{destination_conformance, source_conformance};
use towpath_vocab::{
    ConnectionPlan, CursorPlan, OptionValue, ReadMode, SecretTemplate, TableName, WriteMode,
};

use super::{MORE, ROWS, connector, insert, lines};

/// A database of its own on the shared server.
struct Database {
    server: Arc<PostgresServer>,
    name: String,
    /// Rows in the table to read.
    rows: AtomicI64,
}

fn database() -> Database {
    let server = PostgresServer::shared().unwrap();
    Database {
        name: server.new_database().unwrap(),
        server,
        rows: AtomicI64::new(0),
    }
}

fn with_rows() -> Database {
    let database = database();
    database.psql("CREATE TABLE t (id bigint, v text, c bigint)");
    database.add(ROWS);
    database
}

impl Database {
    fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql).unwrap()
    }

    fn add(&self, count: i64) -> Vec<String> {
        let first = self.rows.fetch_add(count, Ordering::SeqCst);
        self.psql(&insert(first..first + count));
        lines(first..first + count)
    }

    fn plan(&self) -> ConnectionPlan {
        let url = SecretTemplate::new(self.server.url(&self.name));
        ConnectionPlan {
            name: "db".to_owned(),
            kind: "postgres".to_owned(),
            writable: true,
            options: BTreeMap::from([("url".to_owned(), OptionValue::Secret(url))]),
        }
    }

    fn open(&self) -> Arc<dyn Source> {
        let context = Ample::context(".");
        connector("postgres")
            .source(&self.plan(), &context)
            .unwrap()
    }
}

#[async_trait]
impl DestinationUnderTest for Database {
    fn modes(&self) -> Vec<WriteMode> {
        connector("postgres").spec().writes
    }

    fn limits(&self) -> Limits {
        Limits {
            nul: false,
            ..Limits::default()
        }
    }

    fn destination(&self) -> Arc<dyn Destination> {
        let context = Ample::context(".");
        connector("postgres")
            .destination(&self.plan(), &context)
            .unwrap()
    }

    fn table(&self, name: &str) -> TableName {
        TableName::new("db", name)
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        let name = format!("public.\"{}\"", table.table().replace('"', "\"\""));
        let there = format!("SELECT to_regclass('{}') IS NULL", name.replace('\'', "''"));
        if self.psql(&there) == "t" {
            return None;
        }
        let rows = self.psql(&format!("SELECT row_to_json(t) FROM {name} t"));
        Some(rows.lines().map(line_of_json).collect())
    }

    fn reading(&self, table: &TableName, _: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        (self.open(), read_spec(table.table()))
    }
}

#[async_trait]
impl SourceUnderTest for Database {
    fn reads(&self) -> Vec<ReadMode> {
        connector("postgres").spec().reads
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

    async fn grow(&self) -> Option<Vec<String>> {
        Some(self.add(MORE))
    }
}

destination_conformance!(as_destination, database());
source_conformance!(as_source, with_rows());
