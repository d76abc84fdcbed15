//! The interface of a destination: begin a write, write, prepare, read the candidate, then commit or
//! discard.
//!
//! Promise: before `commit`, nothing that a writer does is visible to a reader. The token is stored in the
//! same transaction as the rows. The first commit of a generation wins; a later one adopts it. It does not
//! know which system it writes to. Read next: `flow/src/output.rs`, which uses it.

use std::any::Any;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use towpath_vocab::{
    Annotations, Failure, Generation, Position, Remedy, TableName, TaskKey, Token, WritePlan,
};

use crate::{Checkpoint, OpColumn, Result, Source};

/// A place tables can be written to.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The last commit of this task to this table, if the destination holds one.
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>>;

    /// Prepares a write. Creates nothing a reader could see.
    async fn begin(&self, intent: Intent) -> Result<Box<dyn Writer>>;

    /// The columns of a table as readers see it now; `None` when there is no such table.
    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>>;

    /// The table as the last commit of this task left it, and as it is now. What a destination cannot tell
    /// is left out, which is how others that empty a table or make it again are noticed. Only commits that
    /// were planned after such a look (`Look`) say what they left.
    async fn states(&self, _task: &TaskKey, _table: &TableName) -> Result<TableStates> {
        Ok(TableStates::default())
    }

    /// The days since 1970 that a date or timestamp may lie in; `None` for all that their types can say.
    /// Rows outside are rejected before they are written.
    fn days(&self) -> Option<RangeInclusive<i32>> {
        None
    }

    /// The state of operators that was kept with the last commit of this task to this table.
    async fn checkpoint(&self, _task: &TaskKey, _table: &TableName) -> Result<Option<Checkpoint>> {
        Ok(None)
    }
}

/// The write option that makes a merge delete every row whose key does not come. Set for one write by
/// whoever knows that all rows come; no key of a project.
pub const DELETE_ABSENT: &str = "towpath:delete_absent";

/// A table seen from outside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Another one after the table was truncated, rewritten or made again.
    pub identity: String,
    /// How many rows it has, where that may be counted.
    pub rows: Option<u64>,
    /// What tells rows that were seen from those that others write later, in the destination's words: of
    /// a look its own moment, of a table that a commit left the moment of the look it was planned after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<String>,
    /// Of a table as it is now: rows that others have written since that commit, where that can be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<u64>,
}

/// A table at two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStates {
    /// As the last commit of the task left it; `None` when that was not stored.
    pub committed: Option<TableState>,
    /// As it is now; `None` when there is no such table, or when nothing tells.
    pub now: Option<TableState>,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The table.
    pub table: TableName,
    /// The columns of the rows that will come.
    pub schema: SchemaRef,
    /// How.
    pub write: WritePlan,
    /// Who writes.
    pub task: TaskKey,
    /// Which commit of that task.
    pub generation: Generation,
    /// The commit of that task the source was read from (0: none yet). When the destination holds
    /// another one by the time of the commit, and not this generation, the commit is refused with
    /// `Remedy::Retry`: somebody else has read the same rows. `None` asks for no such check.
    pub after: Option<Generation>,
    /// The run, for histories: `shop#212`.
    pub run: String,
}

/// A write on its way.
#[async_trait]
pub trait Writer: Send {
    /// Takes a batch; back-pressure is the time this takes. `ops` only for merge writes.
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()>;

    /// Takes files that are already in place (written by an engine into this destination's staging).
    async fn add_files(&mut self, files: Vec<StagedFile>) -> Result<()>;

    /// Everything has been written: make the candidate.
    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>>;

    /// Gives up; leaves nothing behind that a reader could see.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// A file an engine wrote into a destination's staging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Path or URL, as the destination that adopts it understands it.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of it.
    pub bytes: u64,
}

/// How much a candidate holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedStats {
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Rows the table would hold after the commit, if known.
    pub rows_after: Option<u64>,
    /// Bytes written.
    pub bytes: u64,
}

/// Which rows of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What readers would see after the commit.
    Table,
    /// Only the rows of this write.
    Incoming,
}

/// A readable candidate. `native` lets an engine recognise its own candidate and read it faster.
#[derive(Clone)]
pub struct Candidate {
    /// Its columns.
    pub schema: SchemaRef,
    /// Reads it like any source.
    pub source: Arc<dyn Source>,
    /// The maker's own form of it.
    pub native: Arc<dyn Any + Send + Sync>,
}

/// A finished, invisible write.
#[async_trait]
pub trait Prepared: Send + Sync {
    /// How much it holds.
    fn stats(&self) -> PreparedStats;

    /// Reads it before it is visible.
    async fn candidate(&self, scope: Scope) -> Result<Candidate>;

    /// Takes the state of operators, to be stored with the commit that follows.
    ///
    /// # Errors
    /// `Refused` where a destination has no place for it.
    async fn keep(&mut self, _checkpoint: &Checkpoint) -> Result<()> {
        let message = "this destination cannot keep the state of operators";
        Err(Failure::new("R0726", Remedy::Refused, message)
            .help("write to the lakehouse first, and publish the table from there"))
    }

    /// Makes it visible together with its token. When this generation was already committed, gives
    /// back that commit and drops this one.
    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt>;

    /// Drops it.
    async fn discard(self: Box<Self>) -> Result<()>;
}

/// What is stored with a commit.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// How far the source had been read.
    pub position: Position,
    /// What was read, and by which definition.
    pub fingerprint: Option<String>,
    /// What the writer notes.
    pub annotations: Annotations,
    /// True when checks were judged on the candidate. Then a table that others have changed since is
    /// refused with `Remedy::Retry`: what was judged is no longer what readers would see.
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

/// A commit a destination holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Its token.
    pub token: Token,
    /// The table's version after it, in the destination's words: `version 7`.
    pub version: String,
    /// How much it changed.
    pub stats: PreparedStats,
}

/// Proof of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The commit.
    pub committed: Committed,
    /// True when an earlier attempt had already made it.
    pub adopted: bool,
}
