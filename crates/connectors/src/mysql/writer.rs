//! What MySQL does for one write (`relational/writer.rs`): rows into a temporary table, a lock that outlives a
//! commit, one transaction, and the COMMIT.
//!
//! Promise: MySQL commits by itself before it creates or alters a table, so that happens before the transaction.
//! A new table is created by the commit, directly before its rows come; if they do not, it is dropped again. A
//! table that exists is altered before that (`evolve.rs`). A transaction that the server has ended by itself is not
//! committed. Read next: `sql.rs`, `stage.rs`, `evolve.rs`, `task_lock.rs`, `foreign.rs`, `state.rs`.

use std::sync::{Arc, OnceLock};

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use towpath_ports::{Memory, PreparedStats, StateBeforeWrite, TableState, WriteRequest};
use towpath_vocab::Failure;

use super::candidate::MysqlCandidate;
use super::catalog::CatalogTable;
use super::error::{MysqlError, Result};
use super::evolve;
use super::foreign::refuse_cascades;
use super::session;
use super::settings::{Settings, ZeroDates};
use super::sql::{STAGE, Writing};
use super::stage::Filling;
use super::state::{identity, leaves, state};
use super::task_lock::{self, Awake};
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::effects::Effects;
use crate::relational::fault::Fault;
use crate::relational::session::{Session as _, Value, count};
use crate::relational::writer::TableWrite;

/// What is to be written.
pub(super) struct Job {
    pub(super) intent: WriteRequest,
    /// The state of the table on which the write was planned.
    pub(super) before: Option<StateBeforeWrite>,
    pub(super) settings: Settings,
    pub(super) zero_dates: ZeroDates,
    pub(super) memory: Arc<dyn Memory>,
}

/// A write on its way.
pub(super) struct MysqlWrite {
    writing: Writing,
    job: Job,
    filling: Filling,
    /// Some rows delete others.
    deletes: bool,
    /// Holds the session, and with it the lock of the task.
    awake: OnceLock<Awake>,
}

impl MysqlWrite {
    pub(super) fn new(writing: Writing, job: Job) -> Self {
        Self {
            filling: Filling::new(&job.intent, &writing.facts),
            deletes: false,
            awake: OnceLock::new(),
            writing,
            job,
        }
    }

    fn doing(&self) -> String {
        format!("writing `{}`", self.shown())
    }

    /// Looks at the table as it is now.
    async fn align(&self) -> Result<Alignment> {
        Ok(self.look().await?.0)
    }

    async fn look(&self) -> Result<(Alignment, Option<CatalogTable>)> {
        evolve::look(&self.writing, &self.job.intent).await
    }

    async fn evolve(&self) -> Result<bool> {
        evolve::evolve(&self.writing, &self.job.settings, &self.job.intent).await
    }

    /// Refuses a write that other tables would follow by their foreign keys.
    async fn refuse_cascades(&self) -> Result<()> {
        let (alignment, found) = self.look().await?;
        let Some(found) = found else {
            return Ok(());
        };
        let effects = Effects::of(&self.job.intent, &alignment, self.deletes);
        let mut session = self.writing.session.lock().await;
        refuse_cascades(&mut session, &found, &effects).await
    }

    /// Fills a table that this write creates.
    async fn create_and_fill(&self, apply: &Apply<'_, Writing>) -> Result<()> {
        let doing = format!("creating `{}`", self.shown());
        self.writing.end("COMMIT", &doing).await?;
        for statement in &apply.statements.alignment.statements {
            match self.writing.define(statement, &doing).await {
                Err(MysqlError::Server { code: 1050, .. }) => {
                    let table = self.shown();
                    return Err(Fault::Dropped { table }.into());
                }
                done => done?,
            }
        }
        fail::fail_point!("mysql::table_created");
        let filled = self.fill(apply).await;
        if filled.is_err() {
            // What cannot be cleared up is an empty table, which the next attempt fills.
            let _ = self.drop_empty().await;
        }
        filled
    }

    async fn fill(&self, apply: &Apply<'_, Writing>) -> Result<()> {
        self.writing.begin().await?;
        apply.run().await?;
        Ok(())
    }

    /// Drops the table that this write created, unless others have put rows there.
    async fn drop_empty(&self) -> Result<()> {
        let (table, doing) = (self.table(), format!("dropping `{}`", self.shown()));
        self.writing.end("ROLLBACK", &doing).await?;
        let definer = evolve::definer(&self.writing, &self.job.settings).await?;
        let lock = format!("LOCK TABLES {table} WRITE");
        definer.define(&lock, &doing).await?;
        let rows = count(&definer, &format!("SELECT count(*) FROM {table}"), &doing).await?;
        if rows == 0 {
            let drop = format!("DROP TABLE {table}");
            definer.define(&drop, &doing).await?;
        }
        // That frees the table.
        definer.close().await;
        Ok(())
    }
}

#[async_trait]
impl TableWrite for MysqlWrite {
    const PREPARED: &'static str = "mysql::prepared";
    const BEFORE_COMMIT: &'static str = "mysql::before_commit";
    const AFTER_COMMIT: &'static str = "mysql::after_commit";
    type Error = MysqlError;
    type Session = Writing;
    type Candidate = MysqlCandidate;

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
        self.writing.target.sql()
    }

    fn shown(&self) -> String {
        self.writing.target.shown(&self.writing.facts.own)
    }

    async fn stage(
        &mut self,
        batch: RecordBatch,
        ops: Option<UInt8Array>,
        before: u64,
    ) -> Result<()> {
        fail::fail_point!("mysql::write");
        self.deletes |= ops.as_ref().is_some_and(|ops| ops.values().contains(&2));
        let session = Arc::clone(&self.writing.session);
        self.filling.add(&session, (batch, ops, before)).await
    }

    async fn end_stage(&mut self, _: u64) -> Result<u64> {
        let session = Arc::clone(&self.writing.session);
        self.filling.finish(&session).await
    }

    async fn lock_task(&self, session: &Writing) -> Result<()> {
        task_lock::lock(session, &self.job.intent.task).await?;
        let own = &self.writing.session;
        self.awake.get_or_init(|| Awake::keep(own));
        Ok(())
    }

    async fn locked_state(&self) -> Result<Option<TableState>> {
        let before = identity(&self.writing).await?;
        let evolved = self.evolve().await?;
        self.writing.begin().await?;
        let locked = state(&self.writing, true).await?;
        Ok(match (before, locked) {
            // Only this write has altered it.
            (Some(identity), Some(locked)) if evolved => Some(TableState { identity, ..locked }),
            (_, locked) => locked,
        })
    }

    async fn fit(&self) -> Result<Alignment> {
        // A state that must hold was read after that, and locked the table.
        let is_locked = self.state_before().is_some_and(|before| before.must_hold);
        if !is_locked {
            self.evolve().await?;
        }
        let alignment = self.align().await?;
        if alignment.created {
            return Ok(alignment);
        }
        self.refuse_cascades().await?;
        self.writing.begin().await?;
        // From here to the end of the transaction nobody alters it.
        let sql = format!("SELECT 1 FROM {} LIMIT 0", self.table());
        self.writing.rows(&sql, &[], &self.doing()).await?;
        let now = self.align().await?;
        match now.created || !now.statements.is_empty() {
            false => Ok(now),
            true => Err(Fault::Dropped {
                table: self.shown(),
            }
            .into()),
        }
    }

    async fn check_values(&mut self, alignment: &Alignment) -> Result<()> {
        let columns = alignment.columns.iter();
        let checked: Vec<_> = columns
            .filter_map(|column| Some((column, column.changed.as_ref()?)))
            .collect();
        if checked.is_empty() {
            return Ok(());
        }
        let counts: Vec<String> = checked
            .iter()
            .map(|(_, (changed, _))| format!("count(CASE WHEN {changed} THEN 1 END)"))
            .collect();
        let sql = format!("SELECT {} FROM {STAGE} AS s", counts.join(", "));
        let doing = format!("checking values for `{}`", self.shown());
        let rows = self.writing.rows(&sql, &[], &doing).await?;
        let counted = rows.into_iter().next().unwrap_or_default();
        for ((column, (_, present)), rows) in checked.into_iter().zip(counted) {
            if rows != Value::Int(0) {
                return Err(MysqlError::Inexact {
                    table: self.shown(),
                    column: column.incoming.clone(),
                    present: present.clone(),
                    rows: rows.int(),
                });
            }
        }
        Ok(())
    }

    /// A table cannot be created in a transaction.
    fn applies_late(&self, alignment: &Alignment) -> bool {
        alignment.created
    }

    /// What a check has read of the table is locked (`candidate.rs`).
    async fn begin_commit(&self, _: bool, late: Option<&Apply<'_, Writing>>) -> Result<()> {
        match late {
            Some(apply) => self.create_and_fill(apply).await,
            // MariaDB lets others define a foreign key in the middle of this transaction.
            None => {
                self.refuse_cascades().await?;
                let doing = format!("committing `{}`", self.shown());
                self.writing.must_transact(&doing).await
            }
        }
    }

    async fn left(
        &self,
        before: &StateBeforeWrite,
        stats: &PreparedStats,
    ) -> Result<Option<TableState>> {
        let how = (self.job.intent.write.mode, stats);
        leaves(&self.writing, before, how).await
    }

    async fn end(&self) -> Result<()> {
        let doing = format!("committing `{}`", self.shown());
        let ended = self.writing.commit(&doing).await;
        match &ended {
            Ok(()) => task_lock::release(&self.writing, &self.job.intent.task).await,
            // Also an answer that is an error leaves the lock with this session.
            Err(_) => self.writing.close().await,
        }
        ended
    }

    async fn another_session(&self) -> std::result::Result<Option<Writing>, Failure> {
        let session = session::Session::open_to_write(&self.job.settings).await?;
        let Writing { target, facts, .. } = &self.writing;
        Ok(Some(Writing::new(session, target.clone(), facts.clone())))
    }

    fn candidate(&self) -> MysqlCandidate {
        MysqlCandidate {
            session: Arc::clone(&self.writing.session),
            target: self.writing.target.clone(),
            facts: self.writing.facts.clone(),
            shown: self.shown(),
            zero_dates: self.job.zero_dates,
            memory: Arc::clone(&self.job.memory),
        }
    }
}
