//! What MySQL does for one write (`relational/writer.rs`): rows into a temporary table, a lock that outlives a
//! commit, one transaction, and the COMMIT.
//!
//! Promise: MySQL commits by itself before it creates or alters a table, so that happens before the transaction.
//! A new table is created by the commit, directly before its rows come; if they do not, it is dropped again. A
//! second attempt waits for the first; a COMMIT without an answer is settled by asking the commit table. Read
//! next: `sql.rs`, `stage.rs`, `state.rs`.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use towpath_ports::{Committed, Intent, Memory, PreparedStats, StateBeforeWrite, TableState};
use towpath_vocab::{Failure, Remedy, TaskKey};

use super::align::align;
use super::candidate::MysqlCandidate;
use super::destination::refuse_cascades;
use super::error::{MysqlError, Result};
use super::session;
use super::settings::{Settings, ZeroDates};
use super::sql::{STAGE, Writing};
use super::stage::Filling;
use super::state::{identity, leaves, state};
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::commits;
use crate::relational::fault::Fault;
use crate::relational::modes::primary_key;
use crate::relational::session::{Session as _, Value, count};
use crate::relational::writer::TableWrite;

/// How long one attempt waits for another one of the same task, in seconds.
const WAIT_SECONDS: u32 = 600;

/// What is to be written.
pub(super) struct Job {
    pub(super) intent: Intent,
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
}

/// The name of a task's lock: at most 64 characters, and of the whole server.
fn lock_name(writing: &Writing, task: &TaskKey) -> String {
    let mut hash = Sha256::new();
    hash.update(writing.target.database.as_bytes());
    hash.update([0]);
    hash.update(task.app_id().as_bytes());
    let digest = hash.finalize();
    let digits = digest.iter().take(20).map(|byte| format!("{byte:02x}"));
    format!("towpath:{}", digits.collect::<String>())
}

/// Waits until no other session is in the middle of a commit of this task. The lock outlives a commit.
pub(super) async fn lock(writing: &Writing, task: &TaskKey) -> Result<()> {
    let doing = "waiting for another attempt of this task";
    let params = [Value::Text(lock_name(writing, task))];
    let sql = format!("SELECT GET_LOCK(?, {WAIT_SECONDS})");
    let rows = writing.rows(&sql, &params, doing).await?;
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Int(1)) => Ok(()),
        _ => Err(MysqlError::Passing {
            doing: doing.to_owned(),
            reason: format!("it did not end within {WAIT_SECONDS} seconds"),
        }),
    }
}

impl MysqlWrite {
    pub(super) fn new(writing: Writing, job: Job) -> Self {
        Self {
            filling: Filling::new(&job.intent, &writing.facts),
            deletes: false,
            writing,
            job,
        }
    }

    fn doing(&self) -> String {
        format!("writing `{}`", self.shown())
    }

    /// Looks at the table as it is now.
    async fn align(&self) -> Result<Alignment> {
        let Writing { target, facts, .. } = &self.writing;
        let (intent, primary) = (&self.job.intent, primary_key(&self.job.intent));
        let mut session = self.writing.session.lock().await;
        let aligned = align(&mut session, (target, facts), intent, primary).await?;
        let (alignment, found) = aligned;
        if let Some(found) = found.filter(|_| self.deletes) {
            refuse_cascades(&mut session, &found).await?;
        }
        Ok(alignment)
    }

    /// Adds the columns that a table does not have yet. True if there were any.
    async fn evolve(&self) -> Result<bool> {
        let alignment = self.align().await?;
        if alignment.created || alignment.statements.is_empty() {
            return Ok(false);
        }
        let doing = format!("fitting `{}` to the rows", self.shown());
        for statement in &alignment.statements {
            match self.writing.define(statement, &doing).await {
                // Another task has added the same column: what it is, is looked at again.
                Err(MysqlError::Query { .. })
                    if !self.align().await?.statements.contains(statement) => {}
                done => done?,
            }
        }
        Ok(true)
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
        let lock = format!("LOCK TABLES {table} WRITE");
        self.writing.define(&lock, &doing).await?;
        let rows = count(
            &self.writing,
            &format!("SELECT count(*) FROM {table}"),
            &doing,
        )
        .await?;
        if rows == 0 {
            let drop = format!("DROP TABLE {table}");
            self.writing.define(&drop, &doing).await?;
        }
        self.writing.define("UNLOCK TABLES", &doing).await
    }

    /// A COMMIT was sent and not answered: the lock waits for its end, the commit table knows.
    async fn settle(&self, lost: Failure) -> std::result::Result<Committed, Failure> {
        let Ok(session) = session::Session::open_to_write(&self.job.settings).await else {
            return Err(lost);
        };
        let Writing { target, facts, .. } = &self.writing;
        let asking = Writing::new(session, target.clone(), facts.clone());
        let intent = &self.job.intent;
        lock(&asking, &intent.task).await?;
        match commits::last(&asking, &intent.task).await? {
            Some(committed) if committed.token.generation == intent.generation => Ok(committed),
            _ => Err(Failure {
                remedy: Remedy::Retry,
                ..lost
            }),
        }
    }
}

#[async_trait]
impl TableWrite for MysqlWrite {
    const PREPARED: &'static str = "mysql::prepared";
    type Error = MysqlError;
    type Session = Writing;
    type Candidate = MysqlCandidate;

    fn session(&self) -> &Writing {
        &self.writing
    }

    fn intent(&self) -> &Intent {
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

    async fn lock_task(&self) -> Result<()> {
        lock(&self.writing, &self.job.intent.task).await
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
            None => Ok(()),
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

    async fn commit(&self) -> std::result::Result<Option<Committed>, Failure> {
        fail::fail_point!("mysql::before_commit");
        let doing = format!("committing `{}`", self.shown());
        let ended = self.writing.end("COMMIT", &doing).await;
        fail::fail_point!("mysql::after_commit");
        match ended {
            Ok(()) => {
                let params = [Value::Text(lock_name(&self.writing, &self.job.intent.task))];
                let sql = "SELECT RELEASE_LOCK(?)";
                // It is committed; the lock ends with the session, if not here.
                let _ = self.writing.rows(sql, &params, "releasing a lock").await;
                Ok(None)
            }
            Err(
                lost @ (MysqlError::Lost { .. }
                | MysqlError::Passing { .. }
                | MysqlError::Protocol { .. }),
            ) => self.settle(lost.into()).await.map(Some),
            Err(other) => Err(other.into()),
        }
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
