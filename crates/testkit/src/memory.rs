//! A destination in memory that keeps every promise of `ports::Destination`, and can be configured to fail.
//!
//! Promise: it is the simple model with which other destinations are compared (`memory/model.rs` says what a
//! write does to the rows). Rows are stored one by one, so it is slow. Read next: `memory/model.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{
    Candidate, CandidateRows, Checkpoint, Commit, Committed, Destination, OpColumn, Prepared,
    PreparedStats, Receipt, Result, StagedFile, WriteRequest, Writer, row_as_json,
};
use towpath_vocab::{Failure, Generation, Remedy, TableName, TaskKey};

use crate::script::ScriptedSource;

mod model;

/// The steps of a write at which a `MemoryDestination` can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// `begin`.
    Begin,
    /// `write`.
    Write,
    /// `prepare`.
    Prepare,
    /// Before the commit is durable.
    BeforeCommit,
    /// After the commit is durable, and before it is acknowledged.
    AfterCommit,
}

#[derive(Clone, Debug, Default)]
struct Table {
    schema: Option<SchemaRef>,
    /// One row each.
    rows: Vec<RecordBatch>,
    commits: BTreeMap<String, Committed>,
    /// In their stored form, by task like `commits`.
    checkpoints: BTreeMap<String, Vec<u8>>,
    version: u64,
}

#[derive(Debug, Default)]
struct Inner {
    tables: BTreeMap<TableName, Table>,
    fail_at: Option<(Edge, u32)>,
}

/// Tables in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryDestination {
    inner: Arc<Mutex<Inner>>,
}

impl MemoryDestination {
    /// Fails once, when a step is reached for the `nth` time (from 1).
    pub fn fail_at(&self, edge: Edge, nth: u32) {
        self.lock().fail_at = Some((edge, nth));
    }

    /// A table's rows as JSON, sorted.
    pub fn rows(&self, table: &TableName) -> Vec<String> {
        let inner = self.lock();
        let rows = inner
            .tables
            .get(table)
            .map(|t| t.rows.as_slice())
            .unwrap_or_default();
        let mut texts: Vec<String> = rows.iter().map(|row| row_as_json(row, 0)).collect();
        texts.sort();
        texts
    }

    /// A table as a source.
    pub fn source(&self, table: &TableName) -> ScriptedSource {
        let held = self.lock().tables.get(table).cloned().unwrap_or_default();
        let schema = held.schema.unwrap_or_else(|| Arc::new(Schema::empty()));
        ScriptedSource::of_batches(table.clone(), schema, held.rows)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, edge: Edge) -> Result<()> {
        let mut inner = self.lock();
        match inner.fail_at {
            Some((at, 1)) if at == edge => {
                inner.fail_at = None;
                Err(Failure::new(
                    "T0001",
                    Remedy::Retry,
                    format!("made to fail at {edge:?}"),
                ))
            }
            Some((at, nth)) if at == edge => {
                inner.fail_at = Some((at, nth - 1));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Destination for MemoryDestination {
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>> {
        let inner = self.lock();
        Ok(inner
            .tables
            .get(table)
            .and_then(|t| t.commits.get(&task.app_id()))
            .cloned())
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        self.pass(Edge::Begin)?;
        model::check(&intent)?;
        Ok(Box::new(MemoryWriter {
            destination: self.clone(),
            intent,
            rows: Vec::new(),
        }))
    }

    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>> {
        Ok(self.lock().tables.get(table).and_then(|t| t.schema.clone()))
    }

    async fn checkpoint(&self, task: &TaskKey, table: &TableName) -> Result<Option<Checkpoint>> {
        let inner = self.lock();
        let table = inner.tables.get(table);
        let kept = table.and_then(|t| t.checkpoints.get(&task.app_id()));
        kept.map(|bytes| Checkpoint::from_bytes(bytes)).transpose()
    }
}

struct MemoryWriter {
    destination: MemoryDestination,
    intent: WriteRequest,
    /// One row each, with its op.
    rows: Vec<(RecordBatch, Option<u8>)>,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        self.destination.pass(Edge::Write)?;
        for row in 0..batch.num_rows() {
            let op = ops.as_ref().map(|ops| ops.value(row));
            self.rows.push((batch.slice(row, 1), op));
        }
        Ok(())
    }

    async fn add_files(&mut self, _files: Vec<StagedFile>) -> Result<()> {
        Err(Failure::new(
            "T0002",
            Remedy::Refused,
            "memory adopts no files",
        ))
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        self.destination.pass(Edge::Prepare)?;
        let before = self
            .destination
            .lock()
            .tables
            .get(&self.intent.table)
            .cloned()
            .unwrap_or_default();
        let rows_in = self.rows.len() as u64;
        let schema = model::columns(before.schema.as_ref(), &self.intent)?;
        let model::After {
            rows,
            incoming,
            mut stats,
        } = model::after(&before.rows, &self.intent, &schema, self.rows)?;
        stats.rows_in = rows_in;
        Ok(Box::new(MemoryPrepared {
            destination: self.destination,
            intent: self.intent,
            schema,
            version: before.version,
            after: rows,
            incoming,
            stats,
            checkpoint: None,
        }))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct MemoryPrepared {
    destination: MemoryDestination,
    intent: WriteRequest,
    schema: SchemaRef,
    /// The version of the table from which `after` was made.
    version: u64,
    after: Vec<RecordBatch>,
    incoming: Vec<RecordBatch>,
    stats: PreparedStats,
    checkpoint: Option<Vec<u8>>,
}

#[async_trait]
impl Prepared for MemoryPrepared {
    fn stats(&self) -> PreparedStats {
        self.stats
    }

    async fn candidate(&self, scope: CandidateRows) -> Result<Candidate> {
        let rows = match scope {
            CandidateRows::AfterCommit => &self.after,
            CandidateRows::OfThisWrite => &self.incoming,
        };
        let source = ScriptedSource::of_batches(
            self.intent.table.clone(),
            Arc::clone(&self.schema),
            rows.clone(),
        );
        Ok(Candidate {
            schema: Arc::clone(&self.schema),
            source: Arc::new(source),
            native: Arc::new(()),
        })
    }

    async fn keep(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.checkpoint = Some(checkpoint.to_bytes()?);
        Ok(())
    }

    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt> {
        self.destination.pass(Edge::BeforeCommit)?;
        let app_id = self.intent.task.app_id();
        let receipt = {
            let mut inner = self.destination.lock();
            let table = inner.tables.entry(self.intent.table.clone()).or_default();
            let held = table
                .commits
                .get(&app_id)
                .map_or(Generation(0), |c| c.token.generation);
            let moved = self.intent.after.is_some_and(|after| after != held)
                || table.version != self.version;
            if held > self.intent.generation || (moved && held != self.intent.generation) {
                return Err(Failure::new(
                    "T0004",
                    Remedy::Retry,
                    "somebody else has committed",
                ));
            }
            match table.commits.get(&app_id) {
                Some(held) if held.token.generation >= self.intent.generation => Receipt {
                    committed: held.clone(),
                    adopted: true,
                },
                _ => {
                    table.version += 1;
                    table.schema = Some(self.schema);
                    table.rows = self.after;
                    let token = commit.into_token(self.intent.task.clone(), self.intent.generation);
                    let version = format!("version {}", table.version);
                    let committed = Committed {
                        token,
                        version,
                        stats: self.stats,
                    };
                    match self.checkpoint {
                        Some(bytes) => table.checkpoints.insert(app_id.clone(), bytes),
                        None => table.checkpoints.remove(&app_id),
                    };
                    table.commits.insert(app_id, committed.clone());
                    Receipt {
                        committed,
                        adopted: false,
                    }
                }
            }
        };
        self.destination.pass(Edge::AfterCommit)?;
        Ok(receipt)
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
