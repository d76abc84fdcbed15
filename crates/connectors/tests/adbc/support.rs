//! A database, a connection to it, and its rows as text.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::StreamExt as _;
use serde_json::json;
use towpath_connectors::connectors;
use towpath_ports::{
    Assignment, Connector, ConnectorContext, Event, ReadSpec, Reader, Result, row_as_json,
};
use towpath_testkit::adbc::AdbcDriver;
use towpath_testkit::conformance::{Ample, read_spec};
use towpath_testkit::postgres::PostgresServer;
use towpath_vocab::{ConnectionPlan, OptionValue, Position, Reject, SecretTemplate, Selection};

use crate::outside;

pub(crate) fn connector() -> Arc<dyn Connector> {
    let mut all = connectors().into_iter();
    all.find(|connector| connector.spec().kind == "adbc")
        .unwrap()
}

/// A database of its own.
pub(crate) struct Database {
    pub(crate) driver: AdbcDriver,
    pub(crate) dir: tempfile::TempDir,
    server: Option<(Arc<PostgresServer>, String)>,
}

/// What a read gave.
pub(crate) struct Taken {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) notes: Vec<String>,
    pub(crate) position: Position,
}

impl Taken {
    /// The rows, as JSON of exact text.
    pub(crate) fn rows(&self) -> Vec<serde_json::Value> {
        let rows = self
            .batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| row_as_json(batch, row)));
        rows.map(|row| serde_json::from_str(&row).unwrap())
            .collect()
    }

    /// The values of a column.
    pub(crate) fn column(&self, name: &str) -> Vec<serde_json::Value> {
        self.rows().iter().map(|row| row[name].clone()).collect()
    }

    /// The types of the columns.
    pub(crate) fn types(&self) -> BTreeMap<String, String> {
        let schema = self.batches[0].schema();
        let fields = schema.fields().iter();
        fields
            .map(|field| {
                let name = towpath_vocab::types::name(field.data_type());
                (field.name().clone(), name)
            })
            .collect()
    }
}

impl Database {
    pub(crate) fn new(driver: AdbcDriver) -> Self {
        let server = (driver == AdbcDriver::Postgres).then(|| {
            let server = PostgresServer::shared().unwrap();
            let name = server.new_database().unwrap();
            (server, name)
        });
        Self {
            driver,
            dir: tempfile::tempdir().unwrap(),
            server,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("data.db")
    }

    /// By a program of somebody else.
    pub(crate) fn sql(&self, sql: &str) {
        match (self.driver, &self.server) {
            (AdbcDriver::Postgres, Some((server, name))) => {
                server.psql(name, sql).unwrap();
            }
            (AdbcDriver::Sqlite, _) => {
                let own = rusqlite::Connection::open(self.file()).unwrap();
                own.execute_batch(sql).unwrap();
            }
            _ => {
                outside::duckdb(&self.file(), sql).unwrap();
            }
        }
    }

    pub(crate) fn plan(&self) -> ConnectionPlan {
        let library = self.driver.library().unwrap();
        let mut options = BTreeMap::from([("driver".to_owned(), plain(library.to_str().unwrap()))]);
        if let Some(entrypoint) = self.driver.entrypoint() {
            options.insert("entrypoint".to_owned(), plain(entrypoint));
        }
        match &self.server {
            Some((server, name)) => {
                options.insert("uri".to_owned(), secret(&server.url(name)));
            }
            None => {
                options.insert("path".to_owned(), plain("data.db"));
            }
        }
        ConnectionPlan {
            name: "db".to_owned(),
            kind: "adbc".to_owned(),
            writable: true,
            options,
        }
    }

    pub(crate) fn context(&self) -> ConnectorContext {
        Ample::context(self.dir.path())
    }

    pub(crate) async fn reader(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> Result<Box<dyn Reader>> {
        let source = connector().source(&self.plan(), &self.context())?;
        source.open(spec, from).await
    }

    pub(crate) async fn read(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Taken> {
        taken(self.reader(spec, from).await?).await
    }
}

/// Reads to the end.
pub(crate) async fn taken(mut reader: Box<dyn Reader>) -> Result<Taken> {
    let mut taken = Taken {
        batches: Vec::new(),
        rejects: Vec::new(),
        notes: reader.notes(),
        position: Position::default(),
    };
    let mut splits = reader.splits();
    while let Some(assignment) = splits.next().await {
        match assignment? {
            Assignment::Revoked(split) => panic!("{split:?} is taken back"),
            Assignment::Complete(position) => taken.position = position,
            Assignment::Assigned(mut split) => {
                while let Some(event) = split.events.next().await {
                    match event? {
                        Event::Rows(rows) => taken.batches.push(rows.batch),
                        Event::Rejects(rejects) => taken.rejects.extend(rejects),
                        _ => {}
                    }
                }
            }
        }
    }
    Ok(taken)
}

pub(crate) fn query(sql: &str) -> ReadSpec {
    ReadSpec {
        selection: Selection::Query(sql.to_owned()),
        ..read_spec("q")
    }
}

pub(crate) fn plain(text: &str) -> OptionValue {
    OptionValue::Plain(json!(text))
}

pub(crate) fn secret(text: &str) -> OptionValue {
    OptionValue::Secret(SecretTemplate::new(text.to_owned()))
}
