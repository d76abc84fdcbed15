//! Writes are read back through our own source, and looked at from outside between their steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod appends;
mod commits;
mod formats;
#[cfg(unix)]
mod links;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use futures::StreamExt as _;
use serde_json::{Value, json};
use towpath_ports::{
    Assignment, CandidateRows, Commit, Connector as _, ConnectorContext, Destination, Event,
    Memory, Prepared, ReadSpec, Receipt, ReservedMemory, Result, Secrets, Source, StateBeforeWrite,
    WriteRequest, Writer,
};
use towpath_vocab::{
    ConnectionPlan, Failure, Generation, OptionValue, Position, ReadMode, SchemaChange,
    SecretTemplate, Selection, SplitPosition, TableName, TaskKey, TaskKind, WriteMode, WritePlan,
};

use crate::files::FilesConnector;

struct Ample;

#[async_trait]
impl Memory for Ample {
    fn limit_bytes(&self) -> u64 {
        64 << 20
    }

    async fn hold(&self, _: u64) -> ReservedMemory {
        Box::new(())
    }
}

struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn resolve(&self, _: &SecretTemplate) -> Result<String> {
        panic!("files have no secrets")
    }
}

/// A project folder whose connection `out` writes into `out/`.
struct TestProject {
    dir: tempfile::TempDir,
    connection: ConnectionPlan,
}

/// What one write says beside its rows.
#[derive(Clone)]
struct How {
    object: &'static str,
    mode: WriteMode,
    options: Vec<(&'static str, Value)>,
    generation: i64,
    step: &'static str,
    change: SchemaChange,
}

fn replace(object: &'static str, generation: i64) -> How {
    How {
        object,
        mode: WriteMode::Replace,
        options: Vec::new(),
        generation,
        step: "publish",
        change: SchemaChange::Evolve,
    }
}

fn append(object: &'static str, generation: i64) -> How {
    How {
        mode: WriteMode::Append,
        ..replace(object, generation)
    }
}

impl How {
    fn with(mut self, option: &'static str, value: Value) -> Self {
        self.options.push((option, value));
        self
    }

    fn table(&self) -> TableName {
        TableName::new("out", self.object)
    }

    fn task(&self) -> TaskKey {
        TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "shop".into(),
            step: self.step.into(),
            kind: TaskKind::Step,
            table: self.table(),
        }
    }

    fn intent(&self, schema: SchemaRef) -> WriteRequest {
        WriteRequest {
            after: None,
            table: self.table(),
            schema,
            write: WritePlan {
                mode: self.mode,
                key: Vec::new(),
                schema_change: self.change,
                options: self
                    .options
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), value.clone()))
                    .collect(),
            },
            task: self.task(),
            generation: Generation(self.generation),
            run: format!("shop#{}", self.generation),
        }
    }
}

fn position(generation: i64) -> Position {
    Position::single(
        "s",
        SplitPosition::at(u64::try_from(generation).unwrap() * 100),
    )
}

impl TestProject {
    fn new() -> Self {
        let options = BTreeMap::from([("path".to_owned(), OptionValue::Plain(json!("out")))]);
        let connection = ConnectionPlan {
            name: "out".to_owned(),
            kind: "files".to_owned(),
            writable: true,
            options,
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            connection,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// All names in the folder, sorted.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn context(&self) -> ConnectorContext {
        ConnectorContext {
            project_dir: self.dir.path().to_path_buf(),
            secrets: Arc::new(NoSecrets),
            memory: Arc::new(Ample),
        }
    }

    fn destination(&self) -> Arc<dyn Destination> {
        FilesConnector
            .destination(&self.connection, &self.context())
            .unwrap()
    }

    fn source(&self) -> Arc<dyn Source> {
        FilesConnector
            .source(&self.connection, &self.context())
            .unwrap()
    }

    async fn begin(&self, how: &How, schema: SchemaRef) -> Result<Box<dyn Writer>, Failure> {
        self.destination().begin(how.intent(schema)).await
    }

    async fn prepare(&self, how: &How, batch: &RecordBatch) -> Result<Box<dyn Prepared>, Failure> {
        let mut writer = self.begin(how, batch.schema()).await?;
        writer.write(batch.clone(), None).await?;
        writer.prepare().await
    }

    async fn write(&self, how: &How, batch: &RecordBatch) -> Result<Receipt, Failure> {
        let prepared = self.prepare(how, batch).await?;
        prepared
            .commit(Commit {
                audited: false,
                position: position(how.generation),
                ..Commit::default()
            })
            .await
    }

    async fn last(&self, how: &How) -> Option<i64> {
        let last = self
            .destination()
            .last(&how.task(), &how.table())
            .await
            .unwrap();
        let last = last?;
        assert_eq!(last.token.position, position(last.token.generation.0));
        assert_eq!(last.token.task, how.task());
        Some(last.token.generation.0)
    }

    /// Reads a selection as our own source does, with these types known.
    async fn read(&self, how: &How, selection: &str, schema: &SchemaRef) -> RecordBatch {
        drain(
            self.source().as_ref(),
            &read_spec(selection, how, Some(schema)),
        )
        .await
    }
}

fn is_columnar(name: &str) -> bool {
    let ends = [".parquet", ".avro", ".arrow", ".arrows", ".feather"];
    ends.iter().any(|end| name.ends_with(end))
}

fn read_spec(selection: &str, how: &How, known: Option<&SchemaRef>) -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", "t"),
        selection: Selection::Object(selection.to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: known.cloned(),
        observed: None,
        projection: None,
        limit: None,
        options: how
            .options
            .iter()
            // A file of columns that is read says itself how it is compressed.
            .filter(|(key, _)| *key != "compression" || !is_columnar(selection))
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
        parallel: 2,
        batch_rows: 8192,
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}

/// All rows of a read; a reject fails the test.
async fn drain(source: &dyn Source, spec: &ReadSpec) -> RecordBatch {
    let mut reader = source.open(spec, None).await.unwrap();
    let schema = reader.tables().remove(0).schema;
    let mut batches = Vec::new();
    let mut splits = reader.splits();
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment.unwrap() else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            match event.unwrap() {
                Event::Rows(rows) => batches.push(rows.batch),
                Event::Rejects(rejects) => panic!("{rejects:?}"),
                _ => {}
            }
        }
    }
    concat_batches(&schema, &batches).unwrap()
}

async fn candidate(prepared: &dyn Prepared, scope: CandidateRows) -> RecordBatch {
    let candidate = prepared.candidate(scope).await.unwrap();
    let batch = drain(
        candidate.source.as_ref(),
        &read_spec("", &replace("", 0), None),
    )
    .await;
    assert_eq!(batch.schema(), candidate.schema);
    batch
}

/// Rows with a number and a text.
fn rows(range: std::ops::Range<i64>) -> RecordBatch {
    let texts: StringArray = range.clone().map(|at| Some(format!("row {at}"))).collect();
    let numbers: Int64Array = range.map(Some).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![("n", Arc::new(numbers)), ("t", Arc::new(texts))];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// A budget of which nothing is left.
struct Spent;

#[async_trait]
impl Memory for Spent {
    fn limit_bytes(&self) -> u64 {
        1 << 20
    }

    async fn hold(&self, _: u64) -> ReservedMemory {
        std::future::pending().await
    }
}

#[test]
fn a_writer_waits_for_no_memory_that_rows_on_their_way_hold() {
    let project = TestProject::new();
    let context = ConnectorContext {
        memory: Arc::new(Spent),
        ..project.context()
    };
    let destination = FilesConnector
        .destination(&project.connection, &context)
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for object in ["t.jsonl", "t.csv", "t.parquet", "t.avro", "t.arrow"] {
        let schema = Arc::new(arrow_schema::Schema::new(vec![arrow_schema::Field::new(
            "a",
            arrow_schema::DataType::Int64,
            true,
        )]));
        let begun = runtime.block_on(async {
            let begun = destination.begin(replace(object, 1).intent(schema));
            tokio::time::timeout(std::time::Duration::from_mins(1), begun).await
        });
        assert!(begun.unwrap().is_ok(), "{object}");
    }
}
