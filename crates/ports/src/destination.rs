//! The interface of a destination: begin a write, write, prepare, read the candidate, then commit or
//! discard.
//!
//! Promise: before `commit`, nothing that a writer does is visible to a reader, and the token becomes valid with
//! the rows, never before or after them. A system that shows each row when it takes it gets its rows in
//! `deliver`, after the checks. The first commit of a generation wins; a later one adopts it. It does not
//! know which system it writes to. Read next: `flow/src/output.rs`, which uses it.

use std::any::Any;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use towpath_vocab::{
    Annotations, Failure, Generation, Position, Reject, Remedy, TableName, TaskKey, Token,
    WritePlan,
};

use crate::{Checkpoint, OpColumn, Result, Source};

/// A system to which tables can be written.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The last commit of this task to this table, if there is one.
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>>;

    /// Begins a write. Creates nothing that a reader could see.
    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>>;

    /// The columns of a table as readers see it now; `None` if there is no such table.
    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>>;

    /// The state of the table after the last commit of this task, and its present state. A difference shows
    /// that others have changed, emptied or recreated the table. What a destination cannot know is left
    /// out. Only commits that were planned with a `StateBeforeWrite` store the state that they left.
    async fn states(&self, _task: &TaskKey, _table: &TableName) -> Result<TableStates> {
        Ok(TableStates::default())
    }

    /// The range of dates and timestamps that it can store, in days since 1970; `None` if it can store all.
    /// Rows outside this range are rejected before they are written.
    fn days(&self) -> Option<RangeInclusive<i32>> {
        None
    }

    /// What an earlier write of this task to this table has left to be sent: only of destinations whose
    /// writes `deliver`.
    async fn leftover(&self, _task: &TaskKey, _table: &TableName) -> Result<Leftover> {
        Ok(Leftover::default())
    }

    /// The state of operators that was stored with the last commit of this task to this table.
    async fn checkpoint(&self, _task: &TaskKey, _table: &TableName) -> Result<Option<Checkpoint>> {
        Ok(None)
    }
}

/// The write option with which a merge also deletes every row whose key is not among the written rows. A
/// caller sets it for one write if it writes all rows; it is not a key of project files.
pub const DELETE_ABSENT: &str = "towpath:delete_absent";

/// The write option with which a write sends the rest of an interrupted delivery, and gets no rows of its own.
pub const FINISH_DELIVERY: &str = "towpath:finish_delivery";

/// The write option of a merge whose rows are only the differences since the last commit: rows that the
/// system refused before and that are not among them are as they were, and are sent again.
pub const ONLY_CHANGES: &str = "towpath:only_changes";

/// What earlier writes of a task have left to be sent to a system that takes rows one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// The token of a delivery that began and did not end; a write with `FINISH_DELIVERY` ends it.
    pub unfinished: Option<Token>,
    /// Rows that the system refused.
    pub refused: u64,
}

/// Takes the rows that a system refuses while they are delivered.
#[async_trait]
pub trait RefusedRows: Send {
    /// The delivery has so many rows, with those that earlier writes of the task left.
    fn begins(&mut self, rows: u64);

    /// Keeps them; the delivery stops where this fails, because more are refused than the plan allows. `again`
    /// of them were refused by an earlier write and are as they were: these do not count.
    async fn refuse(&mut self, rows: Vec<Reject>, again: u64) -> Result<()>;
}

/// The state of a table, without its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Identifies the table; changes if the table is truncated, rewritten or recreated.
    pub identity: String,
    /// The number of its rows, if it can be counted.
    pub rows: Option<u64>,
    /// Distinguishes the rows that were visible from those that others write later, in a form of the
    /// destination: for a present state its own moment, for the state after a commit the moment on which
    /// that commit was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<String>,
    /// For a present state: the number of rows that others have written since the last commit, if that can
    /// be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<u64>,
}

/// The states of a table at two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStates {
    /// After the last commit of the task; `None` if it was not stored.
    pub committed: Option<TableState>,
    /// Now; `None` if there is no such table, or if its state cannot be known.
    pub now: Option<TableState>,
}

/// What a write will write.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The table.
    pub table: TableName,
    /// The columns of the rows to write.
    pub schema: SchemaRef,
    /// How it is written.
    pub write: WritePlan,
    /// Who writes.
    pub task: TaskKey,
    /// Which commit of that task.
    pub generation: Generation,
    /// The commit of that task from whose position the source was read (0: none yet). If the last commit in
    /// the destination is another one at the time of the commit, and not this generation, the commit is
    /// refused with `Remedy::Retry`, because another process has read the same rows. `None` disables this
    /// check.
    pub after: Option<Generation>,
    /// The run, for the history of the table: `shop#212`.
    pub run: String,
}

/// A write in progress.
#[async_trait]
pub trait Writer: Send {
    /// Writes a batch; the time that this takes is the back-pressure. `ops` is only allowed in merge
    /// and scd2 writes.
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()>;

    /// Adds files that an engine has already written to the staging area of this destination.
    async fn add_files(&mut self, files: Vec<StagedFile>) -> Result<()>;

    /// Some rows of the source do not come: a key that is absent may still exist there.
    fn rows_are_missing(&mut self) {}

    /// Ends the write and makes the candidate.
    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>>;

    /// Aborts the write; leaves nothing that a reader could see.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// A file that an engine wrote to the staging area of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Path or URL, in the form of the destination.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of it.
    pub bytes: u64,
}

/// The numbers of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedStats {
    /// Rows that were written to it.
    pub rows_in: u64,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Rows of the table after the commit, if known.
    pub rows_after: Option<u64>,
    /// Bytes written.
    pub bytes: u64,
}

/// Which rows of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateRows {
    /// What readers would see after the commit.
    AfterCommit,
    /// Only the rows of this write.
    OfThisWrite,
}

/// A candidate that can be read. With `native`, an engine recognises its own candidate and reads it faster.
#[derive(Clone)]
pub struct Candidate {
    /// Its columns.
    pub schema: SchemaRef,
    /// Reads it like any other source.
    pub source: Arc<dyn Source>,
    /// The candidate in the form of the crate that made it.
    pub native: Arc<dyn Any + Send + Sync>,
}

/// A write that is complete but not visible.
#[async_trait]
pub trait Prepared: Send + Sync {
    /// Its numbers.
    fn stats(&self) -> PreparedStats;

    /// What the commit changes in the table besides its rows, for the report: `n` gets another type.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Reads it before it is visible.
    async fn candidate(&self, scope: CandidateRows) -> Result<Candidate>;

    /// Sets the state of operators that the commit will store.
    ///
    /// # Errors
    /// `Refused` if the destination cannot store it.
    async fn keep(&mut self, _checkpoint: &Checkpoint) -> Result<()> {
        let message = "this destination cannot keep the state of operators";
        Err(Failure::new("R0726", Remedy::Refused, message)
            .help("write to the lakehouse first, and publish the table from there"))
    }

    /// Sends the rows to a system that cannot show them all at once: what it takes is visible there, before
    /// the commit stores the token. Called once, after the checks. Does nothing where `commit` makes the rows
    /// visible. Afterwards `stats` counts what was taken.
    ///
    /// # Errors
    /// Those of the system and of `refused`. What was taken by then is known to the next write of the task.
    async fn deliver(&mut self, _commit: &Commit, _refused: &mut dyn RefusedRows) -> Result<()> {
        Ok(())
    }

    /// Makes it visible together with its token. If this generation is already committed, returns that
    /// commit and drops this one.
    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt>;

    /// Drops it.
    async fn discard(self: Box<Self>) -> Result<()>;
}

/// What is stored with a commit.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// How far the source was read.
    pub position: Position,
    /// The fingerprint: a hash of what was read and of the task's definition.
    pub fingerprint: Option<String>,
    /// Annotations of the writer.
    pub annotations: Annotations,
    /// True if checks were run on the candidate. If others have changed the table since, the commit is
    /// refused with `Remedy::Retry`, because readers would see something else than what was checked.
    pub audited: bool,
}

impl Commit {
    /// The token that is stored with a commit of this task.
    pub fn into_token(self, task: TaskKey, generation: Generation) -> Token {
        Token {
            task,
            generation,
            position: self.position,
            fingerprint: self.fingerprint,
            annotations: self.annotations,
        }
    }
}

/// A commit in a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Its token.
    pub token: Token,
    /// The version of the table after it, in the form of the destination: `version 7`.
    pub version: String,
    /// The numbers of its rows.
    pub stats: PreparedStats,
}

/// The result of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The commit.
    pub committed: Committed,
    /// True if another attempt had already made it; its position may be another one.
    pub adopted: bool,
}
