//! The REST connector against a real server that does everything servers do.
//!
//! `pages.rs` reads all kinds of pagination, `complete.rs` what would end a read early, `faults.rs` what goes wrong, `access.rs` credentials and where
//! they may go, `bodies.rs` tables that are read by a POST, `incremental.rs` cursors, `dependent.rs` endpoints that depend on others, `resumed.rs` cursors of those, `tokens.rs` OAuth 2,
//! `responses.rs` answers that are not JSON, `jobs.rs` records that the API prepares, `sessions.rs` signed tokens, signed requests and logins, `aws.rs` those of AWS.
//! Each test writes the answers of its own server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod access;
mod aws;
mod bodies;
mod complete;
mod dependent;
mod faults;
mod graphql;
mod incremental;
mod jobs;
mod pages;
mod responses;
mod resumed;
mod sessions;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use serde_json::{Value, json};
use towpath_connectors::connectors;
use towpath_ports::{
    Assignment, Connector, ConnectorContext, Discover, Event, ReadSpec, Result, Source, row_as_json,
};
use towpath_testkit::conformance::Ample;
use towpath_testkit::http::{HttpAnswer, HttpRequest, HttpServer};
use towpath_vocab::{
    ConnectionPlan, CursorPlan, Failure, OptionValue, Position, ReadMode, SecretTemplate,
    Selection, TableName,
};

/// A server and the connection that a project would have to it.
struct Api {
    server: HttpServer,
    options: BTreeMap<String, OptionValue>,
    tables: Value,
    context: ConnectorContext,
    _folder: tempfile::TempDir,
}

/// What a read gave.
#[derive(Clone, Debug)]
struct Read {
    rows: Vec<String>,
    position: Position,
    notes: Vec<String>,
}

fn rest() -> Arc<dyn Connector> {
    let mut all = connectors().into_iter();
    all.find(|connector| connector.spec().kind == "rest")
        .unwrap()
}

impl Api {
    /// A server with one endpoint `items`, whose options are these.
    fn new(
        items: Value,
        answer: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = HttpServer::start(answer).unwrap();
        let url = format!("{}/v1", server.url());
        Self {
            options: BTreeMap::from([("url".into(), OptionValue::Plain(url.into()))]),
            tables: json!({ "items": items }),
            context: Ample::context(folder.path().to_str().unwrap()),
            server,
            _folder: folder,
        }
    }

    fn option(mut self, name: &str, value: Value) -> Self {
        self.options.insert(name.into(), OptionValue::Plain(value));
        self
    }

    fn secret(mut self, name: &str, value: &str) -> Self {
        let value = OptionValue::Secret(SecretTemplate::new(value));
        self.options.insert(name.into(), value);
        self
    }

    fn table(mut self, name: &str, options: Value) -> Self {
        self.tables[name] = options;
        self
    }

    fn plan(&self) -> ConnectionPlan {
        let mut options = self.options.clone();
        options.insert("tables".into(), OptionValue::Plain(self.tables.clone()));
        ConnectionPlan {
            name: "api".into(),
            kind: "rest".into(),
            writable: false,
            options,
        }
    }

    fn source(&self) -> Result<Arc<dyn Source>> {
        rest().source(&self.plan(), &self.context)
    }

    fn discover(&self) -> Arc<dyn Discover> {
        rest().discover(&self.plan(), &self.context).unwrap()
    }

    /// What was asked for under this path, so far.
    fn asked(&self, path: &str) -> Vec<HttpRequest> {
        let requests = self.server.requests().into_iter();
        requests.filter(|one| one.path() == path).collect()
    }

    async fn read(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Read> {
        let mut reader = self.source()?.open(spec, from).await?;
        let mut read = Read {
            rows: Vec::new(),
            position: Position::default(),
            notes: Vec::new(),
        };
        let mut splits = reader.splits();
        while let Some(assignment) = splits.next().await {
            match assignment? {
                Assignment::Assigned(mut split) => {
                    while let Some(event) = split.events.next().await {
                        match event? {
                            Event::Rows(rows) => {
                                let lines =
                                    (0..rows.len()).map(|row| row_as_json(&rows.batch, row));
                                read.rows.extend(lines.map(|line| line.to_string()));
                            }
                            Event::Rejects(rejects) => panic!("{rejects:?}"),
                            _ => {}
                        }
                    }
                }
                Assignment::Complete(position) => read.position = position,
                Assignment::Revoked(split) => panic!("{split:?}"),
            }
        }
        drop(splits);
        read.notes = reader.notes();
        Ok(read)
    }

    /// The rows of `items`, each as JSON.
    async fn rows(&self) -> Result<Vec<String>> {
        Ok(self.read(&table("items"), None).await?.rows)
    }

    async fn failure(&self) -> Failure {
        self.rows().await.unwrap_err()
    }
}

fn table(name: &str) -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", name),
        selection: Selection::Object(name.into()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 2,
        batch_rows: 8192,
        batch_bytes: 8 << 20,
        may_repeat: false,
    }
}

fn by_cursor(name: &str, column: &str, lookback: u64) -> ReadSpec {
    ReadSpec {
        mode: ReadMode::Incremental,
        cursor: Some(CursorPlan {
            column: column.into(),
            lookback,
        }),
        may_repeat: true,
        ..table(name)
    }
}

/// Records `{"id": N}` as a JSON array.
fn ids(numbers: impl IntoIterator<Item = u64>) -> String {
    let records: Vec<String> = numbers
        .into_iter()
        .map(|id| format!("{{\"id\":{id}}}"))
        .collect();
    format!("[{}]", records.join(","))
}

/// The rows of these records: `row_as_json` writes numbers as exact texts.
fn rows(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let row = |id: u64| format!("{{\"id\":\"{id}\"}}");
    numbers.into_iter().map(row).collect()
}

fn number(request: &HttpRequest, name: &str) -> u64 {
    request
        .parameter(name)
        .map_or(0, |text| text.parse().unwrap())
}
