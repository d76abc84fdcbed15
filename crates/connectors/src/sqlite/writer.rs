//! One write: rows into a temporary stage, applied in one transaction, visible with its token or not.
//!
//! Promise: others are kept waiting only from `prepare` to the commit; `prepare` has done everything but
//! COMMIT, so the candidate is the table as this transaction sees it. A second attempt of the same
//! generation waits for the first and adopts its commit. Whatever dies leaves nothing behind.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use rusqlite::Connection;
use towpath_ports::{
    Candidate, Commit, Committed, Intent, Memory, OpColumn, Prepared, PreparedStats, Receipt,
    Scope, StagedFile, Writer,
};
use towpath_vocab::{Failure, Position, WriteMode};

use super::align::{Alignment, align};
use super::apply::Apply;
use super::candidate::{CandidateSession, View};
use super::commits;
use super::error::{Doing as _, Result, SqliteError};
use super::session::Session;
use super::stage::{self, OP, STAGE};

/// What is written where.
pub(super) struct Job {
    pub(super) table: String,
    pub(super) intent: Intent,
    pub(super) memory: Arc<dyn Memory>,
}

/// Rows on their way into the stage.
pub(super) struct SqliteWriter {
    session: Session,
    job: Arc<Job>,
    rows: u64,
    bytes: u64,
    /// Rows come as changes: of one key the last counts.
    changes: bool,
}

impl SqliteWriter {
    pub(super) fn new(session: Session, job: Job) -> Self {
        Self {
            session,
            job: Arc::new(job),
            rows: 0,
            bytes: 0,
            changes: false,
        }
    }

    async fn write_rows(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        self.changes |= ops.is_some();
        let ops = match (self.job.intent.write.mode == WriteMode::Merge, ops) {
            (false, Some(_)) => {
                return Err(SqliteError::Misused {
                    reason: "takes operations only in a merge",
                });
            }
            (false, None) => None,
            (true, ops) => Some(ops.unwrap_or_else(|| UInt8Array::from_value(0, batch.num_rows()))),
        };
        let (rows, shown) = (batch.num_rows() as u64, self.session.shown.clone());
        self.bytes += self
            .session
            .run(move |connection| stage::insert(connection, &batch, ops.as_ref(), &shown))
            .await?;
        self.rows += rows;
        Ok(())
    }
}

/// What `prepare` came to.
enum Outcome {
    New {
        alignment: Alignment,
        stats: PreparedStats,
    },
    Adopted(Box<Committed>),
}

/// This generation's commit, if it was made. The lock is held until the end of the transaction: nobody
/// can commit in between.
fn held(connection: &Connection, job: &Job, shown: &str) -> Result<Option<Committed>> {
    let last = commits::last(connection, &job.intent.task, shown)?;
    let held = last.as_ref().map_or(0, |last| last.token.generation.0);
    let (table, generation) = (job.table.clone(), job.intent.generation.0);
    match job.intent.after {
        _ if held > generation => Err(SqliteError::Stale {
            table,
            last: held,
            generation,
        }),
        _ if last.is_some() && held == generation => Ok(last),
        Some(after) if after.0 != held => Err(SqliteError::Overtaken {
            table,
            held,
            after: after.0,
        }),
        _ => Ok(None),
    }
}

/// Everything but COMMIT.
fn apply(
    connection: &Connection,
    job: &Job,
    (rows, changes): (u64, bool),
    bytes: u64,
    shown: &str,
) -> Result<Outcome> {
    let intent = &job.intent;
    connection
        .execute_batch("COMMIT; BEGIN IMMEDIATE")
        .doing(shown, format!("writing `{}`", job.table))?;
    if let Some(committed) = held(connection, job, shown)? {
        return Ok(Outcome::Adopted(Box::new(committed)));
    }
    let mode = intent.write.mode;
    let unique = matches!(mode, WriteMode::Merge | WriteMode::InsertOnly);
    let primary = if unique {
        intent.write.key.as_slice()
    } else {
        &[]
    };
    let alignment = align(
        connection,
        &job.table,
        &intent.schema,
        intent.write.schema_change,
        primary,
        shown,
    )?;
    for statement in &alignment.statements {
        connection
            .execute_batch(statement)
            .doing(shown, format!("fitting `{}` to the rows", job.table))?;
    }
    let apply = Apply {
        connection,
        table: &job.table,
        alignment: &alignment,
        key: &intent.write.key,
        mode,
        changes,
        rows,
        shown,
    };
    apply.check_keys()?;
    let stats = PreparedStats {
        bytes,
        ..apply.run()?
    };
    Ok(Outcome::New { alignment, stats })
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn write(
        &mut self,
        batch: RecordBatch,
        ops: Option<OpColumn>,
    ) -> std::result::Result<(), Failure> {
        fail::fail_point!("sqlite::write");
        Ok(self.write_rows(batch, ops).await?)
    }

    async fn adopt(&mut self, _: Vec<StagedFile>) -> std::result::Result<(), Failure> {
        Err(SqliteError::Misused {
            reason: "cannot take files",
        }
        .into())
    }

    async fn prepare(self: Box<Self>) -> std::result::Result<Box<dyn Prepared>, Failure> {
        let (job, shown) = (Arc::clone(&self.job), self.session.shown.clone());
        let (rows, bytes) = ((self.rows, self.changes), self.bytes);
        let outcome = self
            .session
            .run(move |connection| apply(connection, &job, rows, bytes, &shown))
            .await?;
        fail::fail_point!("sqlite::prepared");
        Ok(Box::new(SqlitePrepared {
            session: self.session,
            job: self.job,
            outcome,
        }))
    }

    async fn abort(self: Box<Self>) -> std::result::Result<(), Failure> {
        Ok(())
    }
}

/// A write that lacks only its COMMIT. Dropping it rolls back.
struct SqlitePrepared {
    session: Session,
    job: Arc<Job>,
    outcome: Outcome,
}

impl SqlitePrepared {
    fn view(&self, scope: Scope) -> View {
        let Outcome::New { alignment, .. } = &self.outcome else {
            return View::Table(self.job.table.clone());
        };
        if scope == Scope::Table {
            return View::Table(self.job.table.clone());
        }
        let list: Vec<String> = alignment
            .columns
            .iter()
            .map(|column| format!("{} AS {}", column.value, column.target))
            .collect();
        let filter = if self.job.intent.write.mode == WriteMode::Merge {
            format!(" WHERE s.{OP} <> 2")
        } else {
            String::new()
        };
        View::Stage {
            sql: format!("SELECT {} FROM {STAGE} s{filter}", list.join(", ")),
            schema: Arc::clone(&self.job.intent.schema),
        }
    }
}

fn commit(
    connection: &Connection,
    job: &Job,
    position: Position,
    stats: PreparedStats,
    shown: &str,
) -> Result<Committed> {
    commits::store(connection, &job.intent, &position, &stats, shown)?;
    fail::fail_point!("sqlite::before_commit");
    connection
        .execute_batch("COMMIT")
        .doing(shown, format!("committing `{}`", job.table))?;
    fail::fail_point!("sqlite::after_commit");
    Ok(commits::committed(
        &job.intent.task,
        job.intent.generation,
        position,
        stats,
    ))
}

#[async_trait]
impl Prepared for SqlitePrepared {
    fn stats(&self) -> PreparedStats {
        match &self.outcome {
            Outcome::New { stats, .. } => *stats,
            Outcome::Adopted(committed) => committed.stats,
        }
    }

    async fn candidate(&self, scope: Scope) -> std::result::Result<Candidate, Failure> {
        let held = CandidateSession {
            session: self.session.clone(),
            view: self.view(scope),
            object: self.job.table.clone(),
            memory: Arc::clone(&self.job.memory),
        };
        let schema = held.schema().await?;
        Ok(Candidate {
            schema,
            source: Arc::new(held),
            native: Arc::new(()),
        })
    }

    async fn commit(self: Box<Self>, how: Commit) -> std::result::Result<Receipt, Failure> {
        let this = *self;
        let stats = match this.outcome {
            Outcome::Adopted(committed) => {
                return Ok(Receipt {
                    committed: *committed,
                    adopted: true,
                });
            }
            Outcome::New { stats, .. } => stats,
        };
        let (job, shown) = (this.job, this.session.shown.clone());
        let committed = this
            .session
            .run(move |connection| commit(connection, &job, how.position, stats, &shown))
            .await?;
        Ok(Receipt {
            committed,
            adopted: false,
        })
    }

    async fn discard(self: Box<Self>) -> std::result::Result<(), Failure> {
        Ok(())
    }
}
