//! The Singer connector against a tap that does everything taps do: `tap.py`, whose code each test writes.
//!
//! `values.rs` reads values of all types, `states.rs` states and versions, `faults.rs` what goes wrong,
//! `process.rs` what happens to the program and its files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod faults;
mod process;
mod states;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use serde_json::{Value, json};
use towpath_connectors::connectors;
use towpath_ports::{
    Assignment, Connector, ConnectorContext, Discover, Event, ReadSpec, Result, Source, row_as_json,
};
use towpath_testkit::conformance::Ample;
use towpath_vocab::{
    ColumnPlan, ConnectionPlan, Failure, OptionValue, Position, ReadMode, Reject, SecretTemplate,
    Selection, TableName, types,
};

const TAP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/singer/tap.py");

/// A tap and the connection that a project would have to it.
struct FakeTap {
    options: BTreeMap<String, OptionValue>,
    config: Value,
    context: ConnectorContext,
    folder: tempfile::TempDir,
}

/// What a read gave.
#[derive(Debug, Default)]
struct Read {
    /// `name type` of each column.
    columns: Vec<String>,
    rows: Vec<String>,
    rejects: Vec<Reject>,
    /// How many rows were there when the table was emptied.
    emptied_at: Vec<usize>,
    position: Position,
    notes: Vec<String>,
}

fn singer() -> Arc<dyn Connector> {
    let mut all = connectors().into_iter();
    all.find(|connector| connector.spec().kind == "singer")
        .unwrap()
}

/// A catalog with one stream `items` of these properties.
fn catalog(properties: Value) -> Value {
    json!({ "streams": [{
        "tap_stream_id": "items",
        "stream": "items",
        "key_properties": ["id"],
        "schema": { "properties": properties },
        "metadata": [{ "breadcrumb": [], "metadata": { "inclusion": "available" } }],
    }] })
}

impl FakeTap {
    /// A tap that does this, in Python.
    fn new(run: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(json!({ "id": { "type": "integer" } }));
        let mut tap = Self {
            options: BTreeMap::new(),
            config: json!({ "run": run, "catalog": catalog }),
            context: Ample::context(folder.path().to_str().unwrap()),
            folder,
        };
        tap.set("command", json!(["python3", TAP]));
        tap
    }

    fn set(&mut self, name: &str, value: Value) {
        self.options.insert(name.into(), OptionValue::Plain(value));
    }

    fn option(mut self, name: &str, value: Value) -> Self {
        self.set(name, value);
        self
    }

    fn config(mut self, name: &str, value: Value) -> Self {
        self.config[name] = value;
        self
    }

    fn plan(&self) -> ConnectionPlan {
        let mut options = self.options.clone();
        let config = SecretTemplate::new(self.config.to_string());
        options.insert("config".into(), OptionValue::Secret(config));
        ConnectionPlan {
            name: "shop".into(),
            kind: "singer".into(),
            writable: false,
            options,
        }
    }

    fn source(&self) -> Result<Arc<dyn Source>> {
        singer().source(&self.plan(), &self.context)
    }

    fn discover(&self) -> Arc<dyn Discover> {
        singer().discover(&self.plan(), &self.context).unwrap()
    }

    async fn read(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Read> {
        let mut reader = self.source()?.open(spec, from).await?;
        let mut read = Read::default();
        for table in reader.tables() {
            let fields = table.schema.fields().iter();
            let fields = fields.map(|f| format!("{} {}", f.name(), types::name(f.data_type())));
            read.columns = fields.collect();
        }
        let mut splits = reader.splits();
        while let Some(assignment) = splits.next().await {
            match assignment? {
                Assignment::Assigned(mut split) => {
                    while let Some(event) = split.events.next().await {
                        match event? {
                            Event::Rows(rows) => {
                                let lines =
                                    (0..rows.len()).map(|row| row_as_json(&rows.batch, row));
                                read.rows.extend(lines);
                            }
                            Event::Rejects(rejects) => read.rejects.extend(rejects),
                            Event::Truncate(_) => read.emptied_at.push(read.rows.len()),
                            Event::Boundary(at) => read.position.advance(&split.id, at),
                            _ => {}
                        }
                    }
                }
                Assignment::Complete(position) => read.position.merge(position),
                Assignment::Revoked(split) => panic!("{split:?}"),
            }
        }
        drop(splits);
        read.notes = reader.notes();
        Ok(read)
    }

    async fn all(&self) -> Read {
        self.read(&table(), None).await.unwrap()
    }

    async fn failure(&self) -> Failure {
        self.read(&table(), None).await.unwrap_err()
    }

    /// What is in `.towpath/singer`: nothing, when no program runs.
    fn left(&self) -> Vec<String> {
        let folder = self.folder.path().join(".towpath/singer");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

fn table() -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", "items"),
        selection: Selection::Object("items".into()),
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

/// An incremental read of a table that is written by its key.
fn incremental() -> ReadSpec {
    ReadSpec {
        mode: ReadMode::Incremental,
        may_repeat: true,
        ..table()
    }
}

fn declared(columns: &[(&str, &str)]) -> ReadSpec {
    let columns = columns.iter().map(|(name, word)| ColumnPlan {
        name: (*name).to_owned(),
        data_type: Some((*word).to_owned()),
        ..ColumnPlan::default()
    });
    ReadSpec {
        declared: columns.collect(),
        ..table()
    }
}

/// The rows of these ids.
fn rows(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let row = |id: u64| format!("{{\"id\":\"{id}\"}}");
    numbers.into_iter().map(row).collect()
}
