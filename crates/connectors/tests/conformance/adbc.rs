//! DuckDB, PostgreSQL and SQLite through ADBC. What is read was written without the connector; what is written is read
//! through another connection of this process, because no other one can open a file of DuckDB meanwhile.

#[path = "../adbc/outside.rs"]
mod outside;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt as _;
use rusqlite::Connection;
use serde_json::json;
use towpath_ports::{Assignment, Destination, Event, ReadSpec, Source};
use towpath_testkit::adbc::AdbcDriver;
use towpath_testkit::conformance::{
    Ample, DestinationUnderTest, SourceUnderTest, lines_of_batch, read_spec,
};
use towpath_testkit::postgres::PostgresServer;
use towpath_testkit::{destination_conformance, source_conformance};
use towpath_vocab::{
    ConnectionPlan, CursorPlan, OptionValue, ReadMode, SecretTemplate, TableName, WriteMode,
};

use super::{MORE, ROWS, connector, insert, lines};

/// A database, and who else can write it.
struct Database {
    driver: AdbcDriver,
    dir: tempfile::TempDir,
    server: Option<(Arc<PostgresServer>, String)>,
    /// Rows in the table to read.
    rows: AtomicI64,
}

fn database(driver: AdbcDriver) -> Database {
    let server = (driver == AdbcDriver::Postgres).then(|| {
        let server = PostgresServer::shared().unwrap();
        let name = server.new_database().unwrap();
        (server, name)
    });
    Database {
        driver,
        dir: tempfile::tempdir().unwrap(),
        server,
        rows: AtomicI64::new(0),
    }
}

fn with_rows(driver: AdbcDriver) -> Database {
    let database = database(driver);
    database.sql("CREATE TABLE t (id bigint, v text, c bigint)");
    database.add(ROWS);
    database
}

impl Database {
    fn file(&self) -> PathBuf {
        self.dir.path().join("data.db")
    }

    /// By a program of somebody else.
    fn sql(&self, sql: &str) {
        match (self.driver, &self.server) {
            (AdbcDriver::Postgres, Some((server, name))) => {
                server.psql(name, sql).unwrap();
            }
            (AdbcDriver::Sqlite, _) => {
                let own = Connection::open(self.file()).unwrap();
                own.execute_batch(sql).unwrap();
            }
            _ => {
                outside::duckdb(&self.file(), sql).unwrap();
            }
        }
    }

    fn add(&self, count: i64) -> Vec<String> {
        let first = self.rows.fetch_add(count, Ordering::SeqCst);
        self.sql(&insert(first..first + count));
        lines(first..first + count)
    }

    fn plan(&self) -> ConnectionPlan {
        let plain = |text: String| OptionValue::Plain(json!(text));
        let library = self.driver.library().unwrap();
        let mut options = BTreeMap::from([(
            "driver".to_owned(),
            plain(library.to_str().unwrap().to_owned()),
        )]);
        if let Some(entrypoint) = self.driver.entrypoint() {
            options.insert("entrypoint".to_owned(), plain(entrypoint.to_owned()));
        }
        match &self.server {
            Some((server, name)) => {
                let url = SecretTemplate::new(server.url(name));
                options.insert("uri".to_owned(), OptionValue::Secret(url));
            }
            None => {
                options.insert("path".to_owned(), plain("data.db".to_owned()));
            }
        }
        ConnectionPlan {
            name: "db".to_owned(),
            kind: "adbc".to_owned(),
            writable: true,
            options,
        }
    }

    fn open(&self) -> Arc<dyn Source> {
        let context = Ample::context(self.dir.path());
        connector("adbc").source(&self.plan(), &context).unwrap()
    }
}

#[async_trait]
impl DestinationUnderTest for Database {
    fn modes(&self) -> Vec<WriteMode> {
        connector("adbc").spec().writes
    }

    fn destination(&self) -> Arc<dyn Destination> {
        let context = Ample::context(self.dir.path());
        connector("adbc")
            .destination(&self.plan(), &context)
            .unwrap()
    }

    fn table(&self, name: &str) -> TableName {
        TableName::new("db", name)
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        let opened = self.open().open(&read_spec(table.table()), None).await;
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(failure) if failure.code == "R1405" => return None,
            Err(failure) => panic!("{failure:?}"),
        };
        let (mut splits, mut lines) = (reader.splits(), Vec::new());
        while let Some(assignment) = splits.next().await {
            if let Assignment::Assigned(mut split) = assignment.unwrap() {
                while let Some(event) = split.events.next().await {
                    if let Event::Rows(rows) = event.unwrap() {
                        lines.extend(lines_of_batch(&rows.batch));
                    }
                }
            }
        }
        Some(lines)
    }

    fn reading(&self, table: &TableName, _: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        (self.open(), read_spec(table.table()))
    }
}

#[async_trait]
impl SourceUnderTest for Database {
    fn reads(&self) -> Vec<ReadMode> {
        connector("adbc").spec().reads
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

destination_conformance!(duckdb_as_destination, database(AdbcDriver::DuckDb));
source_conformance!(duckdb_as_source, with_rows(AdbcDriver::DuckDb));
source_conformance!(postgres_as_source, with_rows(AdbcDriver::Postgres));
source_conformance!(sqlite_as_source, with_rows(AdbcDriver::Sqlite));
