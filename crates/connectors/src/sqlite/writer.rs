//! One write: rows into a temporary stage, applied in one transaction, visible with its token or not.
//!
//! Promise: others are kept waiting only from `prepare` to the commit; `prepare` has done everything but
//! COMMIT, so the candidate is the table as this transaction sees it. A second attempt of the same
//! generation waits for the first and adopts its commit. Whatever dies leaves nothing behind.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use towpath_ports::{
    Candidate, Commit, Committed, Intent, Look, Memory, OpColumn, Prepared, PreparedStats, Receipt,
    Scope, StagedFile, TableState, Writer,
};
use towpath_vocab::{Failure, TaskKey, WriteMode};

use super::align::align;
use super::candidate::SqliteCandidate;
use super::error::{Doing as _, Result, SqliteError};
use super::names::quoted;
use super::session::Session;
use super::sql::{SqliteDialect, Writing};
use super::stage;
use crate::relational::align::Alignment;
use crate::relational::apply::Apply;
use crate::relational::candidate::{View, candidate};
use crate::relational::commits;
use crate::relational::modes::{deletes_absent, primary_key};
use crate::relational::session::{Session as _, Value, count};
use crate::relational::statements::Statements;

/// What is written where.
pub(super) struct Job {
    pub(super) table: String,
    pub(super) intent: Intent,
    /// How the table looked when it was decided what to write.
    pub(super) look: Option<Look>,
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

/// The newest commit of a task, in an open transaction.
pub(super) async fn last(writing: &Writing, task: &TaskKey) -> Result<Option<Committed>> {
    if !has_commits(writing).await? {
        return Ok(None);
    }
    commits::last(writing, commits::TABLE, task).await
}

/// The table as the newest commit of a task left it.
pub(super) async fn state_left(writing: &Writing, task: &TaskKey) -> Result<Option<TableState>> {
    if !has_commits(writing).await? {
        return Ok(None);
    }
    commits::state(writing, commits::TABLE, task).await
}

/// The table as it is now; `None` when there is none. One that was made again has another first page or
/// another definition; else its rows tell.
pub(super) async fn state(writing: &Writing) -> Result<Option<TableState>> {
    let Some((name, identity)) = identity(writing).await? else {
        return Ok(None);
    };
    let rows = rows_of(writing, &name).await?;
    Ok(Some(TableState {
        identity,
        rows,
        ..TableState::default()
    }))
}

/// The table's own spelling of its name, and what tells it from one that was made again.
async fn identity(writing: &Writing) -> Result<Option<(String, String)>> {
    let sql = "SELECT name, coalesce(rootpage, 0), coalesce(sql, '') FROM main.sqlite_master \
               WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
    let params = [Value::Text(writing.table.clone())];
    let found = writing.rows(sql, &params, "looking at the table").await?;
    let Some([name, page, definition]) = found.first().map(Vec::as_slice) else {
        return Ok(None);
    };
    let identity = format!("{} {}", page.int(), definition.text());
    Ok(Some((name.text().to_owned(), identity)))
}

async fn rows_of(writing: &Writing, name: &str) -> Result<Option<u64>> {
    let sql = format!("SELECT count(*) FROM {}", quoted(name));
    let rows = count(writing, &sql, "counting rows").await?;
    Ok(Some(rows.unsigned_abs()))
}

/// What a commit leaves, when it was planned after a look at the table: worked out, not counted, unless
/// triggers decide row by row.
async fn leaves(writing: &Writing, job: &Job, stats: &PreparedStats) -> Result<Option<TableState>> {
    let Some(look) = &job.look else {
        return Ok(None);
    };
    let Some((name, identity)) = identity(writing).await? else {
        return Ok(None);
    };
    let rows = match writing.interferes().await? {
        true => rows_of(writing, &name).await?,
        false => look.rows_after(job.intent.write.mode, stats),
    };
    Ok(Some(TableState {
        identity,
        rows,
        ..TableState::default()
    }))
}

async fn has_commits(writing: &Writing) -> Result<bool> {
    let sql = format!(
        "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = '{}'",
        commits::TABLE
    );
    Ok(count(writing, &sql, "asking for the last commit").await? > 0)
}

/// Everything but COMMIT.
async fn apply(
    writing: &Writing,
    job: &Job,
    (rows, changes): (u64, bool),
    bytes: u64,
) -> Result<Outcome> {
    let (intent, session) = (&job.intent, &writing.session);
    batch(
        session,
        "COMMIT; BEGIN IMMEDIATE",
        format!("writing `{}`", job.table),
    )
    .await?;
    // The lock is held until the end of the transaction: nobody can commit in between.
    let held = last(writing, &intent.task).await?;
    if let Some(committed) = commits::compare(held, intent, &job.table)? {
        return Ok(Outcome::Adopted(Box::new(committed)));
    }
    if let Some(look) = job.look.as_ref().filter(|look| look.must_hold) {
        let now = state(writing).await?;
        commits::check_look(look, now.as_ref(), &job.table)?;
    }
    let (change, primary) = (intent.write.schema_change, primary_key(intent));
    let alignment = align(session, &job.table, &intent.schema, change, primary).await?;
    for statement in &alignment.statements {
        batch(
            session,
            statement,
            format!("fitting `{}` to the rows", job.table),
        )
        .await?;
    }
    let table = quoted(&job.table);
    let apply = Apply {
        session: writing,
        statements: Statements {
            dialect: &SqliteDialect,
            table: &table,
            rows: &table,
            shown: &job.table,
            alignment: &alignment,
            key: &intent.write.key,
            mode: intent.write.mode,
            deletes_absent: deletes_absent(&intent.write),
        },
        changes,
        rows,
    };
    apply.check_keys().await?;
    let stats = PreparedStats {
        bytes,
        ..apply.run().await?
    };
    Ok(Outcome::New { alignment, stats })
}

async fn batch(session: &Session, sql: &str, doing: String) -> Result<()> {
    let (sql, shown) = (sql.to_owned(), session.shown.clone());
    session
        .run(move |connection| connection.execute_batch(&sql).doing(&shown, doing))
        .await
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

    async fn add_files(&mut self, _: Vec<StagedFile>) -> std::result::Result<(), Failure> {
        Err(SqliteError::Misused {
            reason: "cannot take files",
        }
        .into())
    }

    async fn prepare(self: Box<Self>) -> std::result::Result<Box<dyn Prepared>, Failure> {
        let writing = writing(&self.session, &self.job);
        let rows = (self.rows, self.changes);
        let outcome = apply(&writing, &self.job, rows, self.bytes).await?;
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
        match (&self.outcome, scope) {
            (Outcome::New { alignment, .. }, Scope::Incoming) => {
                View::of_stage(&SqliteDialect, alignment, self.job.intent.write.mode)
            }
            _ => View::Table,
        }
    }
}

fn writing(session: &Session, job: &Job) -> Writing {
    Writing {
        session: session.clone(),
        table: job.table.clone(),
    }
}

async fn commit(
    writing: &Writing,
    job: &Job,
    how: Commit,
    stats: PreparedStats,
) -> Result<Committed> {
    let exists = has_commits(writing).await?;
    let table = (commits::TABLE, exists);
    let left = leaves(writing, job, &stats).await?;
    commits::store(writing, table, &job.intent, &how, (&stats, left)).await?;
    let (shown, doing) = (
        writing.session.shown.clone(),
        format!("committing `{}`", job.table),
    );
    writing
        .session
        .run(move |connection| {
            fail::fail_point!("sqlite::before_commit");
            connection.execute_batch("COMMIT").doing(&shown, doing)?;
            fail::fail_point!("sqlite::after_commit");
            Ok(())
        })
        .await?;
    let token = how.into_token(job.intent.task.clone(), job.intent.generation);
    Ok(commits::committed(token, stats))
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
        let session = SqliteCandidate {
            session: self.session.clone(),
            table: self.job.table.clone(),
            schema: Arc::clone(&self.job.intent.schema),
            memory: Arc::clone(&self.job.memory),
        };
        Ok(candidate(session, self.view(scope)).await?)
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
        let writing = writing(&this.session, &this.job);
        let committed = commit(&writing, &this.job, how, stats).await?;
        Ok(Receipt {
            committed,
            adopted: false,
        })
    }

    async fn discard(self: Box<Self>) -> std::result::Result<(), Failure> {
        Ok(())
    }
}
