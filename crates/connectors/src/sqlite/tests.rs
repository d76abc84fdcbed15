//! Reads and writes of real database files, compared with what SQLite itself says and a naive model.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod commits;
mod crash;
mod plan;
mod read;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array as _, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::SchemaRef;
use futures::StreamExt as _;
use rusqlite::Connection;
use serde_json::{Value, json};
use towpath_ports::{
    Assignment, Commit, Connector as _, ConnectorContext, Destination, Event, OpColumn, Prepared,
    ReadSpec, Receipt, Result, Source, WriteRequest,
};
use towpath_testkit::conformance::Ample;
use towpath_vocab::{
    ConnectionPlan, CursorPlan, Failure, Generation, OptionValue, Position, ReadMode, Reject,
    Remedy, SchemaChange, Selection, TableName, TaskKey, TaskKind, WriteMode, WritePlan, types,
};

use super::Sqlite;

/// A project folder with a database `data.db`.
struct TestProject {
    dir: tempfile::TempDir,
    connection: ConnectionPlan,
}

/// All that a read gave.
#[derive(Debug, Default)]
struct Outcome {
    /// `name type`.
    columns: Vec<String>,
    /// Values joined by `|`, `∅` for NULL; sorted.
    rows: Vec<String>,
    rejects: Vec<Reject>,
    notes: Vec<String>,
    splits: usize,
    position: Position,
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let line = |row: usize| {
        columns
            .iter()
            .map(|column| column.value(row).to_string())
            .collect::<Vec<_>>()
            .join("|")
    };
    (0..batch.num_rows()).map(line).collect()
}

async fn drain(source: &dyn Source, spec: &ReadSpec, from: Option<&Position>) -> Result<Outcome> {
    let mut reader = source.open(spec, from).await?;
    let schema = reader.tables().remove(0).schema;
    let column = |field: &Arc<arrow_schema::Field>| {
        format!("{} {}", field.name(), types::name(field.data_type()))
    };
    let mut outcome = Outcome {
        columns: schema.fields().iter().map(column).collect(),
        notes: reader.notes(),
        ..Outcome::default()
    };
    let mut ordinals = std::collections::BTreeSet::new();
    let mut splits = reader.splits();
    while let Some(assignment) = splits.next().await {
        let mut split = match assignment? {
            Assignment::Assigned(split) => split,
            Assignment::Complete(position) => {
                outcome.position = position;
                continue;
            }
            Assignment::Revoked(_) => panic!("nothing is revoked"),
        };
        outcome.splits += 1;
        while let Some(event) = split.events.next().await {
            match event? {
                Event::Rows(rows) => {
                    assert_eq!(rows.batch.schema(), schema);
                    assert!(
                        rows.ordinals
                            .values()
                            .iter()
                            .all(|ordinal| ordinals.insert(*ordinal))
                    );
                    outcome.rows.extend(lines(&rows.batch));
                }
                Event::Rejects(rejects) => outcome.rejects.extend(rejects),
                Event::End => {}
                other => panic!("{other:?}"),
            }
        }
    }
    outcome.rows.sort();
    Ok(outcome)
}

fn spec(selection: Selection) -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", "t"),
        selection,
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 4,
        batch_rows: 1_000,
        batch_bytes: 1 << 20,
        may_repeat: false,
    }
}

fn table(name: &str) -> ReadSpec {
    spec(Selection::Object(name.to_owned()))
}

impl TestProject {
    fn new() -> Self {
        let options = [("path", json!("data.db")), ("busy_timeout_ms", json!(50))];
        let options =
            options.map(|(key, value): (&str, Value)| (key.to_owned(), OptionValue::Plain(value)));
        let connection = ConnectionPlan {
            name: "db".to_owned(),
            kind: "sqlite".to_owned(),
            writable: true,
            options: BTreeMap::from(options),
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            connection,
        }
    }

    fn with(sql: &str) -> Self {
        let project = Self::new();
        project.own().execute_batch(sql).unwrap();
        project
    }

    /// Somebody else's connection.
    fn own(&self) -> Connection {
        Connection::open(self.dir.path().join("data.db")).unwrap()
    }

    fn context(&self) -> ConnectorContext {
        Ample::context(self.dir.path())
    }

    fn source(&self) -> Arc<dyn Source> {
        Sqlite.source(&self.connection, &self.context()).unwrap()
    }

    fn destination(&self) -> Arc<dyn Destination> {
        Sqlite
            .destination(&self.connection, &self.context())
            .unwrap()
    }

    async fn read(&self, spec: &ReadSpec) -> Outcome {
        drain(self.source().as_ref(), spec, None).await.unwrap()
    }

    async fn fail(&self, spec: &ReadSpec) -> Failure {
        drain(self.source().as_ref(), spec, None).await.unwrap_err()
    }

    async fn prepare(
        &self,
        how: &How,
        batch: &RecordBatch,
        ops: Option<OpColumn>,
    ) -> Result<Box<dyn Prepared>> {
        let mut writer = self.destination().begin(how.intent(batch.schema())).await?;
        writer.write(batch.clone(), ops).await?;
        writer.prepare().await
    }

    async fn write(
        &self,
        how: &How,
        batch: &RecordBatch,
        ops: Option<OpColumn>,
    ) -> Result<Receipt> {
        self.prepare(how, batch, ops).await?.commit(commit()).await
    }

    async fn last(&self, how: &How) -> Option<i64> {
        let last = self
            .destination()
            .last(&how.task(), &how.table())
            .await
            .unwrap();
        last.map(|last| last.token.generation.0)
    }
}

/// What one write says beside its rows.
#[derive(Clone)]
struct How {
    object: &'static str,
    mode: WriteMode,
    key: Vec<&'static str>,
    generation: i64,
    change: SchemaChange,
}

fn how(object: &'static str, mode: WriteMode, generation: i64) -> How {
    let keyed = !matches!(mode, WriteMode::Append | WriteMode::Replace);
    How {
        object,
        mode,
        key: if keyed { vec!["k"] } else { Vec::new() },
        generation,
        change: SchemaChange::Evolve,
    }
}

impl How {
    fn table(&self) -> TableName {
        TableName::new("db", self.object)
    }

    fn task(&self) -> TaskKey {
        TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "shop".into(),
            step: "publish".into(),
            kind: TaskKind::Step,
            table: self.table(),
        }
    }

    fn intent(&self, schema: SchemaRef) -> WriteRequest {
        WriteRequest {
            table: self.table(),
            schema,
            write: WritePlan {
                mode: self.mode,
                key: self.key.iter().map(|name| (*name).to_owned()).collect(),
                schema_change: self.change,
                options: BTreeMap::new(),
            },
            task: self.task(),
            generation: Generation(self.generation),
            after: None,
            run: "shop#1".to_owned(),
        }
    }
}

fn commit() -> Commit {
    Commit {
        position: Position::default(),
        audited: false,
        ..Commit::default()
    }
}
