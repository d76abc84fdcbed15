//! A small lakehouse in a temporary folder, for tests of the SQL half of this crate.
//!
//! Promise: its tables are written by the lake half, as in a load. Read next: `tests.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use towpath_ports::{
    Candidate, CandidateRows, Commit, Destination, Prepared, Query, QueryResult, Result,
    WriteRequest,
};
use towpath_vocab::{
    Generation, Position, SchemaChange, TableName, TaskKey, TaskKind, WriteMode, WritePlan,
};

use super::{Engine, EngineLimits, EngineOptions};
use crate::lake::Lake;

/// A lakehouse that is deleted when it is dropped.
pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

/// Columns by name.
pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

pub(crate) fn ints(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

pub(crate) fn floats(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

pub(crate) fn texts(values: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

pub(crate) fn dates(values: Vec<Option<i32>>) -> ArrayRef {
    Arc::new(Date32Array::from(values))
}

pub(crate) fn instants(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

pub(crate) fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(
        Decimal128Array::from(values)
            .with_precision_and_scale(precision, scale)
            .unwrap(),
    )
}

impl Fixture {
    /// An empty lakehouse with plenty of memory.
    pub(crate) fn new() -> Self {
        Self::with_memory(256 << 20)
    }

    pub(crate) fn with_memory(memory_bytes: usize) -> Self {
        Self::with_limits(memory_bytes, 1 << 30)
    }

    pub(crate) fn with_limits(memory_bytes: usize, spill_bytes: u64) -> Self {
        Self::opened(memory_bytes, spill_bytes, Duration::from_secs(120))
    }

    /// With a time limit for statements.
    pub(crate) fn with_timeout(timeout: Duration) -> Self {
        Self::opened(256 << 20, 1 << 30, timeout)
    }

    fn opened(memory_bytes: usize, spill_bytes: u64, timeout: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().join("lake").to_str().unwrap(), 64 << 20).unwrap();
        let limits = EngineLimits {
            memory_bytes,
            spill_folder: folder.path().join("spill"),
            spill_bytes,
            partitions: 2,
            statement_timeout: Some(timeout),
        };
        let variables = BTreeMap::from([("REGION".to_owned(), "north".to_owned())]);
        let engine = Engine::open(EngineOptions {
            lake,
            limits,
            files: None,
            variables,
            environment: "dev".into(),
        })
        .unwrap();
        Self { engine, folder }
    }

    /// Writes a batch that no reader sees yet.
    pub(crate) async fn prepare(&self, table: &str, batch: RecordBatch) -> Box<dyn Prepared> {
        let table = name(table);
        let generation = self
            .engine
            .lake()
            .version(&table)
            .await
            .unwrap()
            .map_or(1, |version| version as i64 + 2);
        let task = TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "t".into(),
            step: "load".into(),
            kind: TaskKind::Step,
            table: table.clone(),
        };
        let write = WritePlan {
            mode: WriteMode::Replace,
            key: Vec::new(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        };
        let intent = WriteRequest {
            after: None,
            table,
            schema: batch.schema(),
            write,
            task,
            generation: Generation(generation),
            run: "t#1".to_owned(),
        };
        let mut writer = self.engine.lake().begin(intent).await.unwrap();
        writer.write(batch, None).await.unwrap();
        writer.prepare().await.unwrap()
    }

    /// Replaces a table.
    pub(crate) async fn put(&self, table: &str, batch: RecordBatch) {
        let prepared = self.prepare(table, batch).await;
        prepared
            .commit(Commit {
                audited: false,
                position: Position::default(),
                ..Commit::default()
            })
            .await
            .unwrap();
    }

    /// The candidate of a write that is not committed.
    pub(crate) async fn candidate(
        &self,
        table: &str,
        batch: RecordBatch,
    ) -> (Box<dyn Prepared>, Candidate) {
        let prepared = self.prepare(table, batch).await;
        let candidate = prepared
            .candidate(CandidateRows::AfterCommit)
            .await
            .unwrap();
        (prepared, candidate)
    }

    pub(crate) async fn query(&self, sql: &str) -> Result<QueryResult> {
        self.engine.query(sql, &BTreeMap::new()).await
    }

    /// A query's rows as text, cells joined by `|`.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        Ok(text_rows(
            &self
                .query(sql)
                .await?
                .batches
                .try_collect::<Vec<_>>()
                .await?,
        ))
    }
}

/// Rows as text, cells joined by `|`, NULL as `-`.
pub(crate) fn text_rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let mut rows = Vec::new();
    for batch in batches {
        let cells: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(
                cells
                    .iter()
                    .map(|cell| cell.value(row).to_string())
                    .collect::<Vec<_>>()
                    .join("|"),
            );
        }
    }
    rows
}
