//! One write: rows into a stage, applied in the same transaction, visible with its token or not at all.
//!
//! Promise: `prepare` has done everything but COMMIT, so the candidate is the table itself as this
//! transaction sees it; a second attempt of the same generation waits for the first and adopts its
//! commit; a COMMIT without an answer is settled by asking the table of tokens. One session can read
//! one candidate at a time: streams of two candidates must not wait for each other.

use std::pin::Pin;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::SinkExt as _;
use tokio::sync::Mutex;
use tokio_postgres::CopyInSink;
use towpath_ports::{
    Candidate, Commit, Committed, Intent, Look, Memory, OpColumn, Prepared, PreparedStats, Receipt,
    Scope, StagedFile, Writer,
};
use towpath_vocab::{Failure, Remedy, WriteMode};

use super::align::align;
use super::apply::{check_values, lock_table, own_rows, refuse_cascades, truncate_and_insert};
use super::candidate::PostgresCandidate;
use super::catalog::look_up;
use super::commits;
use super::definition;
use super::encode::{Encoded, write_header, write_trailer};
use super::error::{Doing as _, PgError, Result};
use super::names::Relation;
use super::session::Session;
use super::settings::Settings;
use super::sql::{PostgresDialect, STAGE, Writing};
use super::states;
use crate::relational;
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::candidate::{View, candidate};
use crate::relational::fault::Fault;
use crate::relational::modes::{deletes_absent, primary_key};
use crate::relational::statements::Statements;

/// Copy data is sent in pieces of about this size.
const PIECE_BYTES: usize = 128 << 10;

/// What is written where.
pub(super) struct Job {
    pub(super) intent: Intent,
    /// How the table looked when it was decided what to write.
    pub(super) look: Option<Look>,
    pub(super) relation: Relation,
    pub(super) commits: Relation,
    pub(super) truncate: bool,
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl Job {
    fn doing(&self) -> String {
        format!("writing `{}`", self.relation)
    }
}

/// Rows on their way into the stage.
pub(super) struct PostgresWriter {
    session: Session,
    job: Job,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    buffer: BytesMut,
    rows: u64,
    bytes: u64,
    /// Rows came with operations; some of them delete.
    operations: bool,
    deletes: bool,
}

impl PostgresWriter {
    pub(super) fn new(session: Session, job: Job) -> Self {
        // Dropping the writer cuts the connection: the server forgets everything.
        session.set_copying(true);
        Self {
            session,
            copy: None,
            buffer: BytesMut::new(),
            rows: 0,
            bytes: 0,
            operations: false,
            deletes: deletes_absent(&job.intent.write),
            job,
        }
    }

    async fn send(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let doing = self.job.doing();
        if self.copy.is_none() {
            let sql = format!("COPY {STAGE} FROM STDIN (FORMAT binary)");
            let copy = self.session.client().copy_in(&sql).await.doing(&doing)?;
            self.copy = Some(Box::pin(copy));
        }
        let Some(copy) = self.copy.as_mut() else {
            return Ok(());
        };
        let piece = self.buffer.split().freeze();
        self.bytes += piece.len() as u64;
        if copy.send(piece).await.is_err() {
            // The server has given up; its reason comes with the end of the copy.
            let answer = copy.as_mut().finish().await.doing(&doing);
            return answer.and(Err(PgError::Lost { doing }));
        }
        Ok(())
    }

    async fn write_rows(&mut self, batch: &RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        let merges = self.job.intent.write.mode == WriteMode::Merge;
        let ops = match (merges, ops) {
            (false, Some(_)) => {
                return Err(PgError::Misused {
                    reason: "takes operations only in a merge",
                });
            }
            (false, None) => None,
            (true, Some(ops)) => {
                self.operations = true;
                self.deletes |= ops.values().contains(&2);
                Some(ops)
            }
            (true, None) => Some(UInt8Array::from_value(0, batch.num_rows())),
        };
        if self.rows == 0 && self.copy.is_none() && self.buffer.is_empty() {
            write_header(&mut self.buffer);
        }
        let encoded = Encoded::of(batch, ops, self.rows)?;
        for row in 0..encoded.rows() {
            encoded.write_row(row, &mut self.buffer)?;
            if self.buffer.len() >= PIECE_BYTES {
                self.send().await?;
            }
        }
        self.rows += encoded.rows() as u64;
        Ok(())
    }

    /// Ends the copy.
    async fn finish(&mut self) -> Result<()> {
        if self.rows == 0 && self.copy.is_none() {
            return Ok(());
        }
        write_trailer(&mut self.buffer);
        self.send().await?;
        if let Some(mut copy) = self.copy.take() {
            copy.as_mut().finish().await.doing(&self.job.doing())?;
        }
        Ok(())
    }

    /// Everything but COMMIT.
    async fn apply(&mut self) -> Result<Outcome> {
        self.finish().await?;
        let (client, job) = (self.session.client(), &self.job);
        let intent = &job.intent;
        commits::lock(client, &intent.task.app_id()).await?;
        let last = commits::last(&writing(&self.session, job), &intent.task).await?;
        let shown = job.relation.to_string();
        if let Some(committed) = relational::commits::compare(last, intent, &shown)? {
            return Ok(Outcome::Adopted(Box::new(committed)));
        }
        client
            .batch_execute(&format!("ANALYZE {STAGE}"))
            .await
            .doing("looking at the stage")?;
        self.check_look().await?;
        let alignment = self.fit_table().await?;
        let is_new = |look: &Look| look.must_hold && look.table.is_none();
        if !alignment.created && job.look.as_ref().is_some_and(is_new) {
            // Others made it behind the look.
            return Err(Fault::Moved { table: shown }.into());
        }
        let locked = lock_table(client, &job.relation).await?;
        check_values(client, &job.relation, &alignment).await?;
        let table = TableSql::of(job, &alignment);
        let writing = writing(&self.session, job);
        let mut apply = table.apply(&writing, job, &alignment, self.rows);
        apply.changes = self.operations;
        apply.check_keys().await?;
        let mut stats = if job.truncate && !alignment.created {
            PreparedStats {
                rows_in: self.rows,
                inserted: self.rows,
                rows_after: Some(self.rows),
                ..PreparedStats::default()
            }
        } else {
            apply.run().await?
        };
        stats.bytes = self.bytes;
        Ok(Outcome::New {
            alignment,
            stats,
            locked,
        })
    }

    /// Keeps others out of a table whose rows are deleted because of a look at it, and compares.
    async fn check_look(&self) -> Result<()> {
        let (client, job) = (self.session.client(), &self.job);
        let Some(look) = job.look.as_ref().filter(|look| look.must_hold) else {
            return Ok(());
        };
        let table = job.relation.to_string();
        if !lock_table(client, &job.relation).await? && look.table.is_some() {
            return Err(match look_up(client, &job.relation).await? {
                None => Fault::Moved { table }.into(),
                Some(_) => PgError::Unlocked { table },
            });
        }
        let left = commits::state_left(&writing(&self.session, job), &job.intent.task).await?;
        let now = states::state(client, &job.relation, left.as_ref()).await?;
        Ok(relational::commits::check_look(look, now.as_ref(), &table)?)
    }

    /// Creates or evolves the table.
    async fn fit_table(&self) -> Result<Alignment> {
        let alignment = self.align().await?;
        if alignment.statements.is_empty() {
            return Ok(alignment);
        }
        let (client, relation) = (self.session.client(), &self.job.relation);
        // Several tasks may meet a table or a schema that is not there yet: one of them makes it, the
        // others wait for that one's end and look again.
        definition::lock(client, &relation.to_string()).await?;
        let alignment = self.align().await?;
        if alignment.created {
            definition::ensure_schema(client, &relation.schema).await?;
        }
        for statement in &alignment.statements {
            client
                .batch_execute(statement)
                .await
                .doing(&format!("fitting `{relation}` to the rows"))?;
        }
        Ok(alignment)
    }

    /// Looks at the table as it is now.
    async fn align(&self) -> Result<Alignment> {
        let (client, job) = (self.session.client(), &self.job);
        let found = look_up(client, &job.relation).await?;
        let write = &job.intent.write;
        if let Some(found) = found.as_ref().filter(|_| self.deletes) {
            refuse_cascades(client, found, write.mode, true).await?;
        }
        align(
            client,
            &job.relation,
            found.as_ref(),
            &job.intent.schema,
            write.schema_change,
            primary_key(&job.intent),
        )
        .await
    }
}

fn writing<'a>(session: &'a Session, job: &'a Job) -> Writing<'a> {
    Writing {
        client: session.client(),
        relation: &job.relation,
        commits: &job.commits,
    }
}

/// A table's names in SQL.
struct TableSql {
    table: String,
    rows: String,
    shown: String,
}

impl TableSql {
    fn of(job: &Job, alignment: &Alignment) -> Self {
        Self {
            table: job.relation.sql(),
            rows: own_rows(&job.relation, alignment),
            shown: job.relation.to_string(),
        }
    }

    fn apply<'a>(
        &'a self,
        session: &'a Writing<'a>,
        job: &'a Job,
        alignment: &'a Alignment,
        rows: u64,
    ) -> Apply<'a, Writing<'a>> {
        Apply {
            session,
            statements: Statements {
                dialect: &PostgresDialect,
                table: &self.table,
                rows: &self.rows,
                shown: &self.shown,
                alignment,
                key: &job.intent.write.key,
                mode: job.intent.write.mode,
                deletes_absent: deletes_absent(&job.intent.write),
            },
            rows,
            changes: false,
        }
    }
}

/// What `prepare` came to.
enum Outcome {
    New {
        alignment: Alignment,
        stats: PreparedStats,
        /// No other session can write the table.
        locked: bool,
    },
    Adopted(Box<Committed>),
}

#[async_trait]
impl Writer for PostgresWriter {
    async fn write(
        &mut self,
        batch: RecordBatch,
        ops: Option<OpColumn>,
    ) -> std::result::Result<(), Failure> {
        fail::fail_point!("postgres::write");
        Ok(self.write_rows(&batch, ops).await?)
    }

    async fn add_files(&mut self, _files: Vec<StagedFile>) -> std::result::Result<(), Failure> {
        Err(PgError::Misused {
            reason: "cannot take files",
        }
        .into())
    }

    async fn prepare(mut self: Box<Self>) -> std::result::Result<Box<dyn Prepared>, Failure> {
        let outcome = Box::pin(self.apply()).await?;
        fail::fail_point!("postgres::prepared");
        Ok(Box::new(PostgresPrepared {
            session: Arc::new(Mutex::new(self.session)),
            job: self.job,
            outcome,
        }))
    }

    async fn abort(self: Box<Self>) -> std::result::Result<(), Failure> {
        Ok(())
    }
}

/// A write that lacks only its COMMIT.
struct PostgresPrepared {
    session: Arc<Mutex<Session>>,
    job: Job,
    outcome: Outcome,
}

impl PostgresPrepared {
    fn view(&self, scope: Scope) -> View {
        let Outcome::New { alignment, .. } = &self.outcome else {
            return View::Table;
        };
        let waits = self.job.truncate && !alignment.created;
        match scope {
            Scope::Table if !waits => View::Table,
            _ => View::of_stage(&PostgresDialect, alignment, self.job.intent.write.mode),
        }
    }

    async fn finish(self: Box<Self>, commit: Commit) -> std::result::Result<Receipt, Failure> {
        let this = *self;
        let (alignment, stats, locked) = match this.outcome {
            Outcome::Adopted(committed) => {
                return Ok(Receipt {
                    committed: *committed,
                    adopted: true,
                });
            }
            Outcome::New {
                alignment,
                stats,
                locked,
            } => (alignment, stats, locked),
        };
        let session = this.session.lock().await;
        let (client, job) = (session.client(), &this.job);
        // The audit read inside this transaction, which has kept other writers out of the table
        // since before the first row was applied: what was judged is what readers will see. Only
        // where this user may not lock the table can others have written it meanwhile.
        if commit.audited && !locked {
            return Err(PgError::Unlocked {
                table: job.relation.to_string(),
            }
            .into());
        }
        if job.truncate && !alignment.created {
            let table = TableSql::of(job, &alignment);
            let writing = writing(&session, job);
            let apply = table.apply(&writing, job, &alignment, stats.rows_in);
            truncate_and_insert(&apply).await?;
        }
        let exists = commits::exists(client, &job.commits).await?;
        let left = match &job.look {
            Some(look) => {
                let how = (job.intent.write.mode, &stats);
                states::leaves(&writing(&session, job), look, how).await?
            }
            None => None,
        };
        relational::commits::store(
            &writing(&session, job),
            (&job.commits.sql(), exists),
            &job.intent,
            &commit,
            (&stats, left),
        )
        .await?;
        fail::fail_point!("postgres::before_commit");
        let ended = client
            .batch_execute("COMMIT")
            .await
            .doing(&format!("committing `{}`", job.relation));
        fail::fail_point!("postgres::after_commit");
        session.set_copying(false);
        drop(session);
        let token = commit.into_token(job.intent.task.clone(), job.intent.generation);
        let committed = relational::commits::committed(token, stats);
        match ended {
            Ok(()) => Ok(Receipt {
                committed,
                adopted: false,
            }),
            Err(lost @ (PgError::Lost { .. } | PgError::Passing { .. })) => {
                settle(job, lost.into()).await
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// A COMMIT was sent and not answered: the lock waits for its end, the table of tokens knows.
async fn settle(job: &Job, lost: Failure) -> std::result::Result<Receipt, Failure> {
    let Ok(session) = Session::open(&job.settings).await else {
        return Err(lost);
    };
    session.begin_write(&job.relation.schema).await?;
    commits::lock(session.client(), &job.intent.task.app_id()).await?;
    match commits::last(&writing(&session, job), &job.intent.task).await? {
        Some(committed) if committed.token.generation == job.intent.generation => Ok(Receipt {
            committed,
            adopted: false,
        }),
        _ => Err(Failure {
            remedy: Remedy::Retry,
            ..lost
        }),
    }
}

#[async_trait]
impl Prepared for PostgresPrepared {
    fn stats(&self) -> PreparedStats {
        match &self.outcome {
            Outcome::New { stats, .. } => *stats,
            Outcome::Adopted(committed) => committed.stats,
        }
    }

    async fn candidate(&self, scope: Scope) -> std::result::Result<Candidate, Failure> {
        let session = PostgresCandidate {
            session: Arc::clone(&self.session),
            relation: self.job.relation.clone(),
            memory: Arc::clone(&self.job.memory),
        };
        Ok(candidate(session, self.view(scope)).await?)
    }

    async fn commit(self: Box<Self>, commit: Commit) -> std::result::Result<Receipt, Failure> {
        Box::pin(self.finish(commit)).await
    }

    async fn discard(self: Box<Self>) -> std::result::Result<(), Failure> {
        Ok(())
    }
}
