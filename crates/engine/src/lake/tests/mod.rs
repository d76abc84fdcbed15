//! The lakehouse as its users see it: what is visible when, what a value becomes, who wins a race.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "tests"
)]

mod absent;
mod blanks;
mod checkpoints;
mod checksums;
mod commits;
mod damage;
mod faults;
mod kills;
mod late;
mod maintenance;
mod masks;
mod modes;
mod previous;
mod scd2;
mod schemas;
mod values;
mod views;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::{StreamExt as _, TryStreamExt as _};
use towpath_ports::{
    Assignment, Commit, Destination as _, Event, OpColumn, Prepared, PreparedStats, ReadSpec,
    Receipt, Source, WriteRequest,
};
use towpath_vocab::{
    Failure, Generation, Position, ReadMode, RowHistoryPlan, SchemaChange, Selection,
    SplitPosition, TableName, TaskKey, TaskKind, WriteMode, WritePlan,
};

use super::Lake;

pub(crate) const MEMORY: u64 = 64 << 20;

pub(crate) struct Fixture {
    _folder: tempfile::TempDir,
    pub(crate) lake: Lake,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().join("lake").to_str().unwrap(), MEMORY).unwrap();
        Self {
            _folder: folder,
            lake,
        }
    }

    /// The same lakehouse as another process would see it.
    pub(crate) fn reopened(&self) -> Lake {
        Lake::open(root(&self.lake).to_str().unwrap(), MEMORY).unwrap()
    }
}

/// The folder of a lakehouse.
pub(crate) fn root(lake: &Lake) -> PathBuf {
    lake.address().into()
}

/// Held by tests that stand in the way of links: failpoints are one per process.
pub(crate) static LINKS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// An entry of the log that stands, while neither the answer came back nor the log can be asked.
pub(crate) struct Silent {
    saved: PathBuf,
    entry: PathBuf,
}

impl Silent {
    /// From now on, for the next entry of the table.
    pub(crate) fn at(lake: &Lake, version: u64) -> Self {
        let log = root(lake).join("raw/things/_delta_log");
        let silent = Self {
            saved: log.join("saved"),
            entry: log.join(format!("{version:020}.json")),
        };
        let (saved, entry) = (silent.saved.clone(), silent.entry.clone());
        fail::cfg_callback("lake::before_link", move || {
            for file in std::fs::read_dir(&log).into_iter().flatten().flatten() {
                if file.file_name().to_string_lossy().ends_with(".tmp")
                    && std::fs::hard_link(file.path(), &saved).is_ok()
                {
                    std::fs::write(&entry, "no answer").unwrap();
                }
            }
        })
        .unwrap();
        silent
    }

    /// The log answers again, and has the entry.
    pub(crate) fn over(self) {
        fail::remove("lake::before_link");
        std::fs::rename(self.saved, self.entry).unwrap();
    }
}

pub(crate) fn table() -> TableName {
    TableName::new("raw", "things")
}

pub(crate) fn task(step: &str) -> TaskKey {
    TaskKey {
        project: "p".into(),
        environment: "dev".into(),
        pipeline: "shop".into(),
        step: step.into(),
        kind: TaskKind::Step,
        table: table(),
    }
}

pub(crate) fn intent(mode: WriteMode, schema: SchemaRef, generation: i64) -> WriteRequest {
    let mut write = WritePlan {
        mode,
        key: vec!["id".to_owned()],
        schema_change: SchemaChange::Evolve,
        options: BTreeMap::new(),
    };
    if mode == WriteMode::Scd2 {
        // Each attempt begins later than the one before.
        static ATTEMPTS: AtomicI64 = AtomicI64::new(0);
        let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let at_us = Some(generation * 1_000_000_000 + attempt);
        let history = RowHistoryPlan::default();
        RowHistoryPlan { at_us, ..history }.put(&mut write);
    }
    WriteRequest {
        after: None,
        table: table(),
        schema,
        write,
        task: task("extract"),
        generation: Generation(generation),
        run: format!("shop#{generation}"),
    }
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

pub(crate) fn rows(pairs: &[(i64, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(
        pairs.iter().map(|(id, _)| *id),
    ));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        pairs.iter().map(|(_, name)| *name),
    ));
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

pub(crate) fn position(at: u64) -> Commit {
    Commit {
        audited: false,
        position: Position::single("file", SplitPosition::at(at)),
        ..Commit::default()
    }
}

pub(crate) async fn prepare(
    lake: &Lake,
    intent: WriteRequest,
    batches: Vec<(RecordBatch, Option<OpColumn>)>,
) -> Result<Box<dyn Prepared>, Failure> {
    let mut writer = lake.begin(intent).await?;
    for (batch, ops) in batches {
        writer.write(batch, ops).await?;
    }
    writer.prepare().await
}

pub(crate) async fn load(
    lake: &Lake,
    intent: WriteRequest,
    batch: RecordBatch,
) -> Result<Receipt, Failure> {
    let at = intent.generation.0 as u64;
    prepare(lake, intent, vec![(batch, None)])
        .await?
        .commit(position(at))
        .await
}

pub(crate) fn read_spec() -> ReadSpec {
    ReadSpec {
        table: table(),
        selection: Selection::Object("raw.things".to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 3,
        batch_rows: 100,
        batch_bytes: 1 << 20,
        may_repeat: false,
    }
}

pub(crate) async fn read_all(source: &dyn Source) -> Vec<RecordBatch> {
    let spec = read_spec();
    let mut reader = source.open(&spec, None).await.unwrap();
    let mut splits = reader.splits();
    let mut batches = Vec::new();
    let mut complete = false;
    while let Some(assignment) = splits.next().await {
        match assignment.unwrap() {
            Assignment::Assigned(split) => {
                let events: Vec<Event> = split.events.try_collect().await.unwrap();
                assert!(matches!(events.last(), Some(Event::End)));
                batches.extend(events.into_iter().filter_map(|event| match event {
                    Event::Rows(rows) => Some(rows.batch),
                    _ => None,
                }));
            }
            Assignment::Complete(_) => complete = true,
            Assignment::Revoked(_) => panic!("a file is never revoked"),
        }
    }
    assert!(complete);
    batches
}

pub(crate) fn pairs(batches: &[RecordBatch]) -> Vec<(i64, String)> {
    let mut pairs = Vec::new();
    for batch in batches {
        let ids = batch
            .column_by_name("id")
            .unwrap()
            .as_primitive::<Int64Type>();
        let names = batch.column_by_name("name").unwrap().as_string::<i32>();
        pairs.extend(
            ids.values()
                .iter()
                .copied()
                .zip(names.iter().map(|name| name.unwrap_or("NULL").to_owned())),
        );
    }
    pairs.sort();
    pairs
}

pub(crate) async fn held(lake: &Lake) -> Vec<(i64, String)> {
    pairs(&read_all(lake.source(&table()).unwrap().as_ref()).await)
}

pub(crate) fn owned(pairs: &[(i64, &str)]) -> Vec<(i64, String)> {
    pairs
        .iter()
        .map(|(id, name)| (*id, (*name).to_owned()))
        .collect()
}

/// Parquet files in the table's folder.
pub(crate) fn data_files(lake: &Lake) -> usize {
    let folder = root(lake).join("raw/things");
    std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter(|entry| {
                    entry
                        .as_ref()
                        .unwrap()
                        .file_name()
                        .to_string_lossy()
                        .contains(".parquet")
                })
                .count()
        })
        .unwrap_or(0)
}

/// An entry of a log without the checksum of itself, as another program writes it.
pub(crate) fn unsealed(text: &str) -> String {
    let at = text.find("\"crc32\":\"").unwrap();
    let end = at + "\"crc32\":\"01234567\",".len();
    format!("{}{}", &text[..at], &text[end..])
}
