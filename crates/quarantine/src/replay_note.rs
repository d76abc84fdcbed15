//! Stores with the commit of a replay which records it loaded and which were rejected again.
//!
//! Promise: `RejectCollector` is the destination of the rejects: it stores no row and collects the ids under which
//! their records wait (a mask or key that changed since gives a record another id). `RecordingDestination` wraps the
//! destination of the table, and writes both lists into the annotations of its commit. Read next:
//! `replay.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_flow::quarantine_columns;
use towpath_ports::{
    Candidate, CandidateRows, Commit, Committed, Destination, OpColumn, Prepared, PreparedStats,
    Receipt, Result, StagedFile, WriteRequest, Writer,
};
use towpath_vocab::{
    Annotations, Failure, Generation, Position, Remedy, SplitId, SplitPosition, TableName, TaskKey,
};

use crate::decide::ReplayedRecords;
use crate::newer_rows::OlderRowFilter;
use crate::records::texts;

/// The split in the position of a replay.
const SPLIT: &str = "replay";
/// The annotation with the records of a replay.
const NOTE: &str = "replay";

/// The records of the last replay, with its generation.
pub(crate) fn taken(last: &Committed) -> Result<Option<(Generation, ReplayedRecords)>> {
    let taken = taken_of(&last.token.annotations)?;
    Ok(taken.map(|taken| (last.token.generation, taken)))
}

/// The records of a replay, from its annotations.
pub(crate) fn taken_of(annotations: &Annotations) -> Result<Option<ReplayedRecords>> {
    annotations.read(NOTE).map_err(|error| {
        let message = format!("the position of the last replay cannot be read: {error}");
        Failure::new("R0971", Remedy::Bug, message)
    })
}

/// The annotations of a replay's task after its table was restored to its state after `then`.
///
/// # Errors
/// If the annotations cannot be read.
pub fn set_back(annotations: &Annotations, then: Generation) -> Result<Annotations> {
    noted(&ReplayedRecords {
        back_to: Some(then.0),
        ..taken_of(annotations)?.unwrap_or_default()
    })
}

fn noted(taken: &ReplayedRecords) -> Result<Annotations> {
    Annotations::of(NOTE, taken).map_err(|error| {
        let message = format!("the replay cannot be noted: {error}");
        Failure::new("R0979", Remedy::Bug, message)
    })
}

/// The position of a replay's commit, and of the one that sets the status of its records.
pub(crate) fn replay_position(generation: Generation) -> Position {
    Position::single(
        SPLIT,
        SplitPosition::at(u64::try_from(generation.0).unwrap_or(0)),
    )
}

/// The replay of the records whose status this commit has set.
pub(crate) fn replay_with_statuses(commit: &Committed) -> Option<u64> {
    let position = &commit.token.position;
    position
        .get(&SplitId(SPLIT.to_owned()))
        .map(|split| split.order)
}

/// A destination for rejects that collects the ids of records that were rejected again.
#[derive(Clone)]
pub(crate) struct RejectCollector {
    ids: Arc<Mutex<BTreeSet<String>>>,
    /// The id under which a record waits, by the id that it would get now.
    waiting: Arc<BTreeMap<String, String>>,
}

impl RejectCollector {
    /// For these waiting records.
    pub(crate) fn of(waiting: BTreeMap<String, String>) -> Self {
        Self {
            ids: Arc::default(),
            waiting: Arc::new(waiting),
        }
    }

    fn note(&self, now: Vec<String>) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.extend(
            now.into_iter()
                .map(|id| self.waiting.get(&id).cloned().unwrap_or(id)),
        );
    }

    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Destination for RejectCollector {
    async fn last(&self, _task: &TaskKey, _table: &TableName) -> Result<Option<Committed>> {
        Ok(None)
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        Ok(Box::new(FailedWriter {
            failed: self.clone(),
            intent,
        }))
    }

    async fn schema(&self, _table: &TableName) -> Result<Option<SchemaRef>> {
        Ok(Some(quarantine_columns()))
    }
}

struct FailedWriter {
    failed: RejectCollector,
    intent: WriteRequest,
}

#[async_trait]
impl Writer for FailedWriter {
    async fn write(&mut self, batch: RecordBatch, _ops: Option<OpColumn>) -> Result<()> {
        if let Some(ids) = batch.column_by_name("id") {
            self.failed.note(texts(ids).into_iter().flatten().collect());
        }
        Ok(())
    }

    async fn add_files(&mut self, _files: Vec<StagedFile>) -> Result<()> {
        Err(no_table())
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(FailedPrepared(self.intent)))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct FailedPrepared(WriteRequest);

#[async_trait]
impl Prepared for FailedPrepared {
    fn stats(&self) -> PreparedStats {
        PreparedStats::default()
    }

    async fn candidate(&self, _scope: CandidateRows) -> Result<Candidate> {
        Err(no_table())
    }

    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt> {
        let token = commit.into_token(self.0.task, self.0.generation);
        let stats = PreparedStats::default();
        let committed = Committed {
            token,
            version: "noted".to_owned(),
            stats,
        };
        Ok(Receipt {
            committed,
            adopted: false,
        })
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn no_table() -> Failure {
    Failure::new(
        "R0978",
        Remedy::Bug,
        "records that failed again are noted, not stored",
    )
}

/// A destination whose commits store the records of a replay.
pub(crate) struct RecordingDestination {
    pub(crate) inner: Arc<dyn Destination>,
    pub(crate) taken: ReplayedRecords,
    pub(crate) failed: RejectCollector,
    /// Finds the records that are left out.
    pub(crate) newer: Option<Arc<OlderRowFilter>>,
}

#[async_trait]
impl Destination for RecordingDestination {
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>> {
        self.inner.last(task, table).await
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        let note = Note {
            taken: self.taken.clone(),
            failed: self.failed.clone(),
            newer: self.newer.clone(),
            generation: intent.generation,
        };
        Ok(Box::new(NotingWriter {
            inner: self.inner.begin(intent).await?,
            note,
        }))
    }

    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>> {
        self.inner.schema(table).await
    }

    fn days(&self) -> Option<RangeInclusive<i32>> {
        self.inner.days()
    }
}

struct Note {
    taken: ReplayedRecords,
    failed: RejectCollector,
    newer: Option<Arc<OlderRowFilter>>,
    generation: Generation,
}

struct NotingWriter {
    inner: Box<dyn Writer>,
    note: Note,
}

#[async_trait]
impl Writer for NotingWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        self.inner.write(batch, ops).await
    }

    async fn add_files(&mut self, files: Vec<StagedFile>) -> Result<()> {
        self.inner.add_files(files).await
    }

    fn rows_are_missing(&mut self) {
        self.inner.rows_are_missing();
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        let inner = self.inner.prepare().await?;
        Ok(Box::new(NotingPrepared {
            inner,
            note: self.note,
        }))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

struct NotingPrepared {
    inner: Box<dyn Prepared>,
    note: Note,
}

#[async_trait]
impl Prepared for NotingPrepared {
    fn stats(&self) -> PreparedStats {
        self.inner.stats()
    }

    async fn candidate(&self, scope: CandidateRows) -> Result<Candidate> {
        self.inner.candidate(scope).await
    }

    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt> {
        let Note {
            mut taken,
            failed,
            newer,
            generation,
        } = self.note;
        taken.failed = failed.ids();
        if let Some(newer) = newer {
            let admitted = newer.admitted();
            taken.failed.extend(admitted.waiting);
            taken.outdated = admitted.left_out;
            taken.keys = admitted.let_in;
        }
        let commit = Commit {
            position: replay_position(generation),
            annotations: commit.annotations.and(noted(&taken)?),
            ..commit
        };
        self.inner.commit(commit).await
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        self.inner.discard().await
    }
}
