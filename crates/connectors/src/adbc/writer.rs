//! What DuckDB does for one write (`relational/writer.rs`): rows into a temporary table, then the turn of this process's
//! writers, and the COMMIT.
//!
//! Promise: no other process has the file open, so the turn that writers of this process take is the lock of every task;
//! it is held from the end of the stage to the commit, or to the end of the session. Whatever dies leaves nothing
//! behind. Read next: `stage.rs`, `sql.rs`.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use towpath_ports::{Memory, PreparedStats, StateBeforeWrite, TableState, WriteRequest};

use super::align::align;
use super::candidate::AdbcCandidate;
use super::error::{AdbcError, Result};
use super::sql::Writing;
use super::stage;
use super::state::{leaves, state};
use super::vendor::Vendor;
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::modes::primary_key;
use crate::relational::writer::TableWrite;

/// A write on its way.
pub(super) struct AdbcWrite {
    pub(super) writing: Writing,
    pub(super) intent: WriteRequest,
    /// How the table looked when it was decided what to write.
    pub(super) before: Option<StateBeforeWrite>,
    pub(super) memory: Arc<dyn Memory>,
    pub(super) bytes: u64,
}

impl AdbcWrite {
    async fn statement(&self, sql: String, doing: String) -> Result<()> {
        let session = &self.writing.session;
        session
            .run(move |work| work.execute(&sql, &doing).map(drop))
            .await
    }
}

#[async_trait]
impl TableWrite for AdbcWrite {
    const PREPARED: &'static str = "adbc::prepared";
    const BEFORE_COMMIT: &'static str = "adbc::before_commit";
    const AFTER_COMMIT: &'static str = "adbc::after_commit";
    type Error = AdbcError;
    type Session = Writing;
    type Candidate = AdbcCandidate;

    fn session(&self) -> &Writing {
        &self.writing
    }

    fn intent(&self) -> &WriteRequest {
        &self.intent
    }

    fn state_before(&self) -> Option<&StateBeforeWrite> {
        self.before.as_ref()
    }

    fn table(&self) -> String {
        self.writing.target.sql()
    }

    fn shown(&self) -> String {
        self.writing.target.shown()
    }

    async fn stage(
        &mut self,
        batch: RecordBatch,
        ops: Option<UInt8Array>,
        before: u64,
    ) -> Result<()> {
        fail::fail_point!("adbc::write");
        let work = move |work: &mut super::session::Work<'_>| {
            let bytes = batch.get_array_memory_size() as u64;
            let rows = stage::rows(&batch, ops.as_ref(), before)?;
            stage::insert(work, rows)?;
            Ok(bytes)
        };
        self.bytes += self.writing.session.run(work).await?;
        Ok(())
    }

    async fn end_stage(&mut self, _rows: u64) -> Result<u64> {
        Ok(self.bytes)
    }

    /// What the transaction sees, it sees from here on.
    async fn lock_task(&self, session: &Writing) -> Result<()> {
        session.session.take_turn().await?;
        let doing = format!("writing `{}`", self.shown());
        self.statement("BEGIN TRANSACTION".to_owned(), doing).await
    }

    async fn locked_state(&self) -> Result<Option<TableState>> {
        state(&self.writing).await
    }

    async fn fit(&self) -> Result<Alignment> {
        let target = self.writing.target.clone();
        let doing = format!("fitting `{}` to the rows", target.shown());
        let look = target.clone();
        let present = self.writing.session.run(move |work| look.look(work));
        let present = present.await?;
        let primary = primary_key(&self.intent);
        let alignment = align(&target, present.as_ref(), &self.intent, primary).await?;
        if alignment.created {
            let schema = Vendor::DuckDb.quoted(&target.schema);
            let sql = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
            self.statement(sql, doing.clone()).await?;
        }
        for statement in &alignment.statements {
            self.statement(statement.clone(), doing.clone()).await?;
        }
        Ok(alignment)
    }

    /// The types of DuckDB change no value that `fit` lets through.
    async fn check_values(&mut self, _: &Alignment) -> Result<()> {
        Ok(())
    }

    /// Nobody else can have written since the turn was taken.
    async fn begin_commit(&self, _: bool, _: Option<&Apply<'_, Writing>>) -> Result<()> {
        Ok(())
    }

    async fn left(
        &self,
        before: &StateBeforeWrite,
        stats: &PreparedStats,
    ) -> Result<Option<TableState>> {
        leaves(&self.writing, before, self.intent.write.mode, stats).await
    }

    async fn end(&self) -> Result<()> {
        let doing = format!("committing `{}`", self.shown());
        let commit = self.writing.session.run(move |work| {
            work.execute("COMMIT", &doing)?;
            work.end_turn()
        });
        commit.await
    }

    fn candidate(&self) -> AdbcCandidate {
        AdbcCandidate {
            session: self.writing.session.clone(),
            target: self.writing.target.clone(),
            memory: Arc::clone(&self.memory),
        }
    }
}
