//! The connector from outside: folders of files in, rows and rejects out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod arrow;
mod avro;
mod bounds;
mod bucket;
mod cases;
mod columnar;
mod formats;
mod grown;
mod http;
mod inferred;
mod lines;
mod named;
mod nested;
mod paths;
mod properties;
mod real;
mod replay;
mod workbooks;
mod xml;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use towpath_ports::{
    Assignment, Connector, ConnectorContext, Discover, Event, Memory, Origin, ReadSpec, Reader,
    RejectedRecord, ReservedMemory, Result, Secrets, Source,
};
use towpath_vocab::{
    ColumnPlan, ConnectionPlan, Failure, OptionValue, RawRecord, ReadMode, RecordLocation, Reject,
    SecretTemplate, Selection, TableName, types,
};

use super::FilesConnector;

/// A budget that never waits and remembers the most that was held.
#[derive(Default)]
struct Ample {
    held: Arc<AtomicU64>,
    most: AtomicU64,
}

struct MemoryHold(Arc<AtomicU64>, u64);

impl Drop for MemoryHold {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Memory for Ample {
    fn limit_bytes(&self) -> u64 {
        1 << 40
    }

    async fn hold(&self, bytes: u64) -> ReservedMemory {
        let held = self.held.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(held, Ordering::SeqCst);
        Box::new(MemoryHold(Arc::clone(&self.held), bytes))
    }
}

struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    /// A text without a placeholder is its own value.
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        Ok(template.template().to_owned())
    }
}

/// A project folder with a `data` folder in it.
struct Project {
    dir: tempfile::TempDir,
    options: BTreeMap<String, OptionValue>,
    memory: Arc<dyn Memory>,
}

/// All that a read gave.
#[derive(Debug, Default)]
struct Outcome {
    /// `name type`, column by column.
    columns: Vec<String>,
    /// One line per row: values joined by `|`, `∅` for NULL.
    rows: Vec<String>,
    batches: Vec<RecordBatch>,
    schema: Option<SchemaRef>,
    origins: Vec<Arc<dyn Origin>>,
    ordinals: Vec<u64>,
    rejects: Vec<Reject>,
    notes: Vec<String>,
    boundaries: Vec<u64>,
    ends: usize,
}

impl Outcome {
    fn place(&self, row: usize) -> RecordLocation {
        self.origins[row].place(self.ordinals[row])
    }

    fn raw(&self, row: usize) -> RawRecord {
        self.origins[row].raw(self.ordinals[row])
    }

    fn raws(&self) -> Vec<RawRecord> {
        (0..self.rows.len()).map(|row| self.raw(row)).collect()
    }

    /// `line: code message` for each reason.
    fn reasons(&self) -> Vec<String> {
        self.rejects
            .iter()
            .flat_map(|reject| {
                reject.reasons.iter().map(|reason| {
                    let column = reason
                        .column
                        .as_ref()
                        .map(|column| format!(" {column}"))
                        .unwrap_or_default();
                    format!(
                        "{}: {}{column}",
                        reject.place.line.unwrap_or(0),
                        reason.code
                    )
                })
            })
            .collect()
    }

    fn raw_rejects(&self) -> Vec<String> {
        self.rejects
            .iter()
            .map(|reject| text(&reject.raw))
            .collect()
    }
}

/// Records as the quarantine gives them to a replay, from this file.
fn rejected_in(object: &str, records: Vec<RawRecord>) -> Vec<RejectedRecord> {
    let rejected = |raw| RejectedRecord {
        place: RecordLocation {
            object: object.to_owned(),
            line: None,
            ordinal: 0,
        },
        raw,
    };
    records.into_iter().map(rejected).collect()
}

fn text(raw: &RawRecord) -> String {
    match raw {
        RawRecord::Text(text) | RawRecord::Row(text) => text.clone(),
    }
}

fn spec(selection: &str) -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", "t"),
        selection: Selection::Object(selection.to_owned()),
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
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}

fn declared(columns: &[(&str, &str)]) -> Vec<ColumnPlan> {
    let plan = |(name, word): &(&str, &str)| ColumnPlan {
        name: (*name).to_owned(),
        data_type: Some((*word).to_owned()),
        ..ColumnPlan::default()
    };
    columns.iter().map(plan).collect()
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let options = BTreeMap::from([("path".to_owned(), OptionValue::Plain(json!("data")))]);
        Self {
            dir,
            options,
            memory: Arc::new(Ample::default()),
        }
    }

    fn with(mut self, option: &str, value: Value) -> Self {
        self.options
            .insert(option.to_owned(), OptionValue::Plain(value));
        self
    }

    fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.put(name, bytes);
        self
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.data().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn context(&self) -> ConnectorContext {
        ConnectorContext {
            project_dir: self.dir.path().to_path_buf(),
            secrets: Arc::new(NoSecrets),
            memory: Arc::clone(&self.memory),
        }
    }

    fn connection(&self) -> ConnectionPlan {
        ConnectionPlan {
            name: "files".to_owned(),
            kind: "files".to_owned(),
            writable: false,
            options: self.options.clone(),
        }
    }

    fn source(&self) -> Arc<dyn Source> {
        FilesConnector
            .source(&self.connection(), &self.context())
            .unwrap()
    }

    fn options_fail(&self) -> String {
        let opened = FilesConnector.source(&self.connection(), &self.context());
        opened
            .err()
            .map_or_else(String::new, |failure| failure.message)
    }

    fn discover(&self) -> Arc<dyn Discover> {
        FilesConnector
            .discover(&self.connection(), &self.context())
            .unwrap()
    }

    fn try_read(&self, spec: &ReadSpec) -> Result<Outcome, Failure> {
        run(async { drain(self.source().open(spec, None).await?).await })
    }

    fn read_as(&self, spec: &ReadSpec) -> Outcome {
        self.try_read(spec).unwrap()
    }

    fn read(&self, selection: &str) -> Outcome {
        self.read_as(&spec(selection))
    }

    fn fail(&self, selection: &str) -> Failure {
        self.try_read(&spec(selection)).unwrap_err()
    }
}

/// One CSV file read with default options.
fn csv(text: impl AsRef<[u8]>) -> Outcome {
    Project::new().file("t.csv", text).read("t.csv")
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// The number of rows; keeps nothing of them, not even where they came from.
async fn count(mut reader: Box<dyn Reader>) -> usize {
    let mut rows = 0;
    let mut splits = reader.splits();
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment.unwrap() else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            if let Event::Rows(batch) = event.unwrap() {
                rows += batch.len();
            }
        }
    }
    rows
}

async fn drain(mut reader: Box<dyn Reader>) -> Result<Outcome, Failure> {
    let mut outcome = Outcome {
        notes: reader.notes(),
        ..Outcome::default()
    };
    let tables = reader.tables();
    let schema = Arc::clone(&tables[0].schema);
    outcome.columns = schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), types::name(field.data_type())))
        .collect();
    outcome.schema = Some(Arc::clone(&schema));
    assert!(reader.bounded());
    let mut splits = reader.splits();
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment? else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            match event? {
                Event::Rows(rows) => {
                    assert_eq!(rows.batch.schema(), schema);
                    assert_eq!(rows.batch.num_rows(), rows.ordinals.len());
                    assert!(!rows.is_empty());
                    for ordinal in rows.ordinals.values() {
                        outcome.origins.push(Arc::clone(&rows.origin));
                        outcome.ordinals.push(*ordinal);
                    }
                    outcome.rows.extend(lines(&rows.batch));
                    outcome.batches.push(rows.batch);
                }
                Event::Rejects(rejects) => outcome.rejects.extend(rejects),
                Event::Boundary(position) => outcome.boundaries.push(position.order),
                Event::End => outcome.ends += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    Ok(outcome)
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn nycflights() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/nycflights")
}
