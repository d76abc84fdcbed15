//! What SQLite does for one write (`relational/writer.rs`): rows into a temporary table, then the file's
//! one lock, and the COMMIT.
//!
//! Promise: others are kept waiting only from the end of the stage to the commit; a second attempt waits for
//! the first. Whatever dies leaves nothing behind. What is known of a table without reading its rows is in
//! `state.rs`. Read next: `stage.rs`, `sql.rs`.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use towpath_ports::{Memory, PreparedStats, StateBeforeWrite, TableState, WriteRequest};

use super::align::align;
use super::candidate::SqliteCandidate;
use super::error::{ErrorContext as _, Result, SqliteError};
use super::foreign::refuse_cascades;
use super::names::quoted;
use super::sql::Writing;
use super::stage;
use super::state::{leaves, state};
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::effects::Effects;
use crate::relational::modes::primary_key;
use crate::relational::writer::TableWrite;

/// What is to be written.
pub(super) struct Job {
    pub(super) intent: WriteRequest,
    /// How the table looked when it was decided what to write.
    pub(super) before: Option<StateBeforeWrite>,
    pub(super) memory: Arc<dyn Memory>,
}

/// A write on its way.
pub(super) struct SqliteWrite {
    writing: Writing,
    job: Job,
    bytes: u64,
    /// Some rows delete others.
    deletes: bool,
}

impl SqliteWrite {
    pub(super) fn new(writing: Writing, job: Job) -> Self {
        Self {
            writing,
            job,
            bytes: 0,
            deletes: false,
        }
    }

    async fn batch(&self, sql: &str, doing: String) -> Result<()> {
        let (sql, shown) = (sql.to_owned(), self.writing.session.shown.clone());
        let work = move |connection: &rusqlite::Connection| {
            connection.execute_batch(&sql).doing(&shown, doing)
        };
        self.writing.session.run(work).await
    }
}

#[async_trait]
impl TableWrite for SqliteWrite {
    const PREPARED: &'static str = "sqlite::prepared";
    const BEFORE_COMMIT: &'static str = "sqlite::before_commit";
    const AFTER_COMMIT: &'static str = "sqlite::after_commit";
    type Error = SqliteError;
    type Session = Writing;
    type Candidate = SqliteCandidate;

    fn session(&self) -> &Writing {
        &self.writing
    }

    fn intent(&self) -> &WriteRequest {
        &self.job.intent
    }

    fn state_before(&self) -> Option<&StateBeforeWrite> {
        self.job.before.as_ref()
    }

    fn table(&self) -> String {
        quoted(&self.writing.table)
    }

    fn shown(&self) -> String {
        self.writing.table.clone()
    }

    async fn stage(
        &mut self,
        batch: RecordBatch,
        ops: Option<UInt8Array>,
        _before: u64,
    ) -> Result<()> {
        fail::fail_point!("sqlite::write");
        self.deletes |= ops.as_ref().is_some_and(|ops| ops.values().contains(&2));
        let shown = self.writing.session.shown.clone();
        let work = move |connection: &rusqlite::Connection| {
            stage::insert(connection, &batch, ops.as_ref(), &shown)
        };
        self.bytes += self.writing.session.run(work).await?;
        Ok(())
    }

    async fn end_stage(&mut self, _rows: u64) -> Result<u64> {
        Ok(self.bytes)
    }

    /// The lock of the file is held until the end of the transaction: nobody can commit in between.
    async fn lock_task(&self, _: &Writing) -> Result<()> {
        let doing = format!("writing `{}`", self.writing.table);
        self.batch("COMMIT; BEGIN IMMEDIATE", doing).await
    }

    async fn locked_state(&self) -> Result<Option<TableState>> {
        state(&self.writing).await
    }

    async fn fit(&self) -> Result<Alignment> {
        let (table, intent) = (&self.writing.table, &self.job.intent);
        let (change, primary) = (intent.write.schema_change, primary_key(intent));
        let session = &self.writing.session;
        let alignment = align(session, table, &intent.schema, change, primary).await?;
        let effects = Effects::of(intent, &alignment, self.deletes);
        let (name, shown) = (table.clone(), session.shown.clone());
        session
            .run(move |connection| refuse_cascades(connection, (&name, &effects), &shown))
            .await?;
        for statement in &alignment.statements {
            let doing = format!("fitting `{table}` to the rows");
            self.batch(statement, doing).await?;
        }
        Ok(alignment)
    }

    /// The types of SQLite change no value that `fit` lets through.
    async fn check_values(&mut self, _: &Alignment) -> Result<()> {
        Ok(())
    }

    /// Nobody else can have written since the lock was taken.
    async fn begin_commit(&self, _: bool, _: Option<&Apply<'_, Writing>>) -> Result<()> {
        Ok(())
    }

    async fn left(
        &self,
        before: &StateBeforeWrite,
        stats: &PreparedStats,
    ) -> Result<Option<TableState>> {
        leaves(&self.writing, before, self.job.intent.write.mode, stats).await
    }

    async fn end(&self) -> Result<()> {
        let doing = format!("committing `{}`", self.writing.table);
        self.batch("COMMIT", doing).await
    }

    fn candidate(&self) -> SqliteCandidate {
        SqliteCandidate {
            session: self.writing.session.clone(),
            table: self.writing.table.clone(),
            schema: Arc::clone(&self.job.intent.schema),
            memory: Arc::clone(&self.job.memory),
        }
    }
}
