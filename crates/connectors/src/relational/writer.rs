//! One write into a table of a SQL database: rows into a stage, applied in one transaction, visible with its
//! token or not at all.
//!
//! Promise: `prepare` has done everything but COMMIT, so the candidate is the table as this transaction sees
//! it; a second attempt of the same generation waits for the first and adopts its commit; a table that others
//! changed since a look that must hold is refused; a COMMIT whose answer was not heard is settled by asking the
//! commit table, or the failure says that it is not known. The steps and their order are here and nowhere else
//! (`apply`, `finish`); how a database stages rows, locks and ends its transaction is its `TableWrite`:
//! `postgres/writer.rs`, `sqlite/writer.rs`. Read next: `apply.rs`.

use arrow_array::{RecordBatch, UInt8Array};
use async_trait::async_trait;
use towpath_ports::{
    Candidate, CandidateRows, Commit, Committed, OpColumn, Prepared, PreparedStats, Receipt,
    StagedFile, StateBeforeWrite, TableState, WriteRequest, Writer,
};
use towpath_vocab::{Failure, Remedy, WriteMode};

use super::align::Alignment;
use super::apply::Apply;
use super::candidate::{CandidateSession, View, candidate};
use super::commits::{self, AttemptId, PlainKeys, Settled, StoredStats};
use super::fault::{Fault, RelationalError};
use super::modes::{deletes_absent, is_keyed};
use super::session::Session;
use super::statements::Statements;

/// What is known of a write whose COMMIT was sent and not answered.
const NOT_KNOWN: &str = "COMMIT was sent and its answer was not heard: it is not known whether the rows were committed. The next attempt asks `_towpath_commits` first: if they were, it does not write them again";
const NOT_COMMITTED: &str = "COMMIT was sent and its answer was not heard; `_towpath_commits` shows that nothing was committed";
const OVERTAKEN: &str = "COMMIT was sent and its answer was not heard; `_towpath_commits` shows that this write was not committed, and that another run has committed since";

/// What a database does for one write. The methods are called in the order in which they are here.
#[async_trait]
pub(crate) trait TableWrite: Send + Sync + 'static {
    /// The name of the failpoint after `prepare`.
    const PREPARED: &'static str;
    /// The name of the failpoint before COMMIT.
    const BEFORE_COMMIT: &'static str;
    /// The name of the failpoint after COMMIT.
    const AFTER_COMMIT: &'static str;
    /// What fails.
    type Error: RelationalError;
    /// The session that writes.
    type Session: Session<Error = Self::Error>;
    /// The same session, read as a candidate.
    type Candidate: CandidateSession<Error = Self::Error>;

    /// The session.
    fn session(&self) -> &Self::Session;

    /// What is to be written.
    fn intent(&self) -> &WriteRequest;

    /// How the table looked when it was decided what to write.
    fn state_before(&self) -> Option<&StateBeforeWrite>;

    /// The table in SQL, to insert into.
    fn table(&self) -> String;

    /// The table in SQL that changes and counts its own rows.
    fn own_rows(&self, _alignment: &Alignment) -> String {
        self.table()
    }

    /// The table as a person names it.
    fn shown(&self) -> String;

    /// Adds rows to the stage, which holds `before` already. `ops` come in a merge.
    async fn stage(
        &mut self,
        batch: RecordBatch,
        ops: Option<UInt8Array>,
        before: u64,
    ) -> Result<(), Self::Error>;

    /// All rows came; how many bytes they were.
    async fn end_stage(&mut self, rows: u64) -> Result<u64, Self::Error>;

    /// From here to the end of the session's transaction nobody else commits for this task: waits for who is
    /// about to.
    async fn lock_task(&self, session: &Self::Session) -> Result<(), Self::Error>;

    /// The table as it is now. Nobody else changes it before the end of the transaction.
    async fn locked_state(&self) -> Result<Option<TableState>, Self::Error>;

    /// Creates or evolves the table.
    async fn fit(&self) -> Result<Alignment, Self::Error>;

    /// Keeps other writers of the table away where that is possible, and refuses values that the table's
    /// types would change.
    async fn check_values(&mut self, alignment: &Alignment) -> Result<(), Self::Error>;

    /// True when the rows are applied by the commit, not before: the candidate of the table is the stage.
    fn applies_late(&self, _alignment: &Alignment) -> bool {
        false
    }

    /// The commit begins: refuses what was judged and may have changed, and applies rows that waited.
    async fn begin_commit(
        &self,
        audited: bool,
        late: Option<&Apply<'_, Self::Session>>,
    ) -> Result<(), Self::Error>;

    /// The table as this write leaves it.
    async fn left(
        &self,
        before: &StateBeforeWrite,
        stats: &PreparedStats,
    ) -> Result<Option<TableState>, Self::Error>;

    /// Sends COMMIT and takes its answer. After an answer that was not heard (`RelationalError::is_unheard`)
    /// the session holds the lock of its task only as long as the server works on the COMMIT.
    async fn end(&self) -> Result<(), Self::Error>;

    /// Another session, to ask what became of a COMMIT without an answer; `None` where each has one.
    async fn another_session(&self) -> Result<Option<Self::Session>, Failure> {
        Ok(None)
    }

    /// The session, to read a candidate.
    fn candidate(&self) -> Self::Candidate;
}

/// Rows on their way into the stage.
pub(crate) struct TableWriter<W> {
    write: W,
    rows: u64,
    /// Rows come as changes: of several of one key the last counts.
    changes: bool,
}

/// What `prepare` came to.
enum Outcome {
    New {
        alignment: Alignment,
        stats: PreparedStats,
        attempt: AttemptId,
    },
    Adopted(Box<Committed>),
}

impl<W: TableWrite> TableWriter<W> {
    pub(crate) fn new(write: W) -> Self {
        Self {
            write,
            rows: 0,
            changes: false,
        }
    }

    async fn write_rows(
        &mut self,
        batch: RecordBatch,
        ops: Option<OpColumn>,
    ) -> Result<(), W::Error> {
        let rows = batch.num_rows();
        let merges = self.write.intent().write.mode == WriteMode::Merge;
        self.changes |= ops.is_some();
        let ops = match (merges, ops) {
            (false, Some(_)) => {
                return Err(W::Error::misused("takes operations only in a merge"));
            }
            (false, None) => None,
            (true, ops) => Some(ops.unwrap_or_else(|| UInt8Array::from_value(0, rows))),
        };
        self.write.stage(batch, ops, self.rows).await?;
        self.rows += rows as u64;
        Ok(())
    }

    /// Everything but COMMIT.
    async fn apply(&mut self) -> Result<Outcome, W::Error> {
        let (rows, write) = (self.rows, &mut self.write);
        let bytes = write.end_stage(rows).await?;
        write.lock_task(write.session()).await?;
        let shown = write.shown();
        let last = commits::last(write.session(), &write.intent().task).await?;
        if let Some(committed) = commits::compare(last, write.intent(), &shown)? {
            return Ok(Outcome::Adopted(Box::new(committed)));
        }
        if let Some(before) = write.state_before().filter(|before| before.must_hold) {
            let now = write.locked_state().await?;
            commits::check_state_before(before, now.as_ref(), &shown)?;
        }
        let alignment = write.fit().await?;
        let is_new = |before: &StateBeforeWrite| before.must_hold && before.table.is_none();
        if !alignment.created && write.state_before().is_some_and(is_new) {
            // Others made it behind the look.
            return Err(Fault::Moved { table: shown }.into());
        }
        write.check_values(&alignment).await?;
        let names = TableNames::of(write, &alignment);
        let mut apply = names.apply(write, &alignment, (rows, self.changes));
        apply.check_keys().await?;
        apply.plain_keys = known_plain_keys(write, &apply).await?;
        let stats = match write.applies_late(&alignment) {
            true => apply.expected().await?,
            false => apply.run().await?,
        };
        let stats = PreparedStats { bytes, ..stats };
        let attempt = AttemptId::new()
            .ok_or_else(|| W::Error::misused("gets no random numbers from this machine"))?;
        Ok(Outcome::New {
            alignment,
            stats,
            attempt,
        })
    }
}

#[async_trait]
impl<W: TableWrite> Writer for TableWriter<W> {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<(), Failure> {
        self.write_rows(batch, ops).await.map_err(Into::into)
    }

    async fn add_files(&mut self, _: Vec<StagedFile>) -> Result<(), Failure> {
        Err(W::Error::misused("cannot take files").into())
    }

    async fn prepare(mut self: Box<Self>) -> Result<Box<dyn Prepared>, Failure> {
        let outcome = Box::pin(self.apply()).await;
        let outcome = outcome.map_err(Into::<Failure>::into)?;
        fail::fail_point!(W::PREPARED);
        Ok(Box::new(PreparedWrite {
            write: self.write,
            outcome,
        }))
    }

    async fn abort(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

/// A table's names in SQL.
struct TableNames {
    table: String,
    rows: String,
    shown: String,
}

impl TableNames {
    fn of<W: TableWrite>(write: &W, alignment: &Alignment) -> Self {
        Self {
            table: write.table(),
            rows: write.own_rows(alignment),
            shown: write.shown(),
        }
    }

    fn apply<'a, W: TableWrite>(
        &'a self,
        write: &'a W,
        alignment: &'a Alignment,
        (rows, changes): (u64, bool),
    ) -> Apply<'a, W::Session> {
        let plan = &write.intent().write;
        Apply {
            session: write.session(),
            statements: Statements {
                dialect: write.session().dialect(),
                table: &self.table,
                rows: &self.rows,
                shown: &self.shown,
                alignment,
                key: &plan.key,
                mode: plan.mode,
                deletes_absent: deletes_absent(plan),
            },
            rows,
            changes,
            plain_keys: Vec::new(),
        }
    }
}

/// Key columns that need not be looked at again: an earlier write of this task found no blanks in them.
async fn known_plain_keys<W: TableWrite>(
    write: &W,
    apply: &Apply<'_, W::Session>,
) -> Result<Vec<String>, W::Error> {
    if !is_keyed(apply.statements.mode) || apply.statements.cut_columns()?.is_empty() {
        return Ok(Vec::new());
    }
    let known = commits::plain_keys(write.session(), &write.intent().task).await?;
    let storage = write.session().storage().await?;
    let known = known.filter(|known| Some(&known.storage) == storage.as_ref());
    Ok(known.map_or_else(Vec::new, |known| known.columns))
}

/// What this write found of the keys, to be stored with its commit.
async fn plain_keys<W: TableWrite>(
    write: &W,
    apply: &Apply<'_, W::Session>,
) -> Result<Option<PlainKeys>, W::Error> {
    if !is_keyed(apply.statements.mode) {
        return Ok(None);
    }
    let columns = apply.statements.cut_columns()?;
    if columns.is_empty() {
        return Ok(None);
    }
    let storage = write.session().storage().await?;
    Ok(storage.map(|storage| PlainKeys { columns, storage }))
}

/// A write that only needs its COMMIT. Dropping it rolls back.
struct PreparedWrite<W> {
    write: W,
    outcome: Outcome,
}

impl<W: TableWrite> PreparedWrite<W> {
    fn view(&self, scope: CandidateRows) -> View {
        let Outcome::New { alignment, .. } = &self.outcome else {
            return View::Table;
        };
        if scope == CandidateRows::AfterCommit && !self.write.applies_late(alignment) {
            return View::Table;
        }
        let mode = self.write.intent().write.mode;
        View::of_stage(self.write.session().dialect(), alignment, mode)
    }

    /// Everything before COMMIT.
    async fn store(
        &self,
        alignment: &Alignment,
        (stats, attempt): (&PreparedStats, &AttemptId),
        commit: &Commit,
    ) -> Result<(), W::Error> {
        let write = &self.write;
        let names = TableNames::of(write, alignment);
        let apply = names.apply(write, alignment, (stats.rows_in, false));
        let late = write.applies_late(alignment).then_some(&apply);
        write.begin_commit(commit.audited, late).await?;
        let left = match write.state_before() {
            Some(before) => write.left(before, stats).await?,
            None => None,
        };
        let plain_keys = plain_keys(write, &apply).await?;
        let (session, intent) = (write.session(), write.intent());
        let stored = StoredStats {
            stats: *stats,
            left,
            plain_keys,
            attempt: Some(attempt.clone()),
        };
        commits::store(session, intent, commit, &stored).await
    }

    /// COMMIT. Where its answer was not heard and the commit table has this generation nevertheless, that
    /// commit.
    async fn end(&self, attempt: &AttemptId) -> Result<Option<Receipt>, Failure> {
        fail::fail_point!(W::BEFORE_COMMIT);
        let ended = self.write.end().await;
        fail::fail_point!(W::AFTER_COMMIT);
        match ended {
            Ok(()) => Ok(None),
            Err(error) if error.is_unheard() => {
                let receipt = self.settle(error.into(), attempt).await?;
                Ok(Some(receipt))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A COMMIT was sent and no answer heard: the lock waits for its end, the commit table knows.
    async fn settle(&self, unheard: Failure, attempt: &AttemptId) -> Result<Receipt, Failure> {
        let (write, intent) = (&self.write, self.write.intent());
        let Ok(Some(asking)) = write.another_session().await else {
            return Err(unheard.help(NOT_KNOWN));
        };
        let asked = async {
            write.lock_task(&asking).await?;
            commits::settle(&asking, intent, attempt).await
        };
        let settled = asked.await;
        let settled = settled.map_err(|error| Into::<Failure>::into(error).help(NOT_KNOWN))?;
        let (committed, adopted) = match settled {
            Settled::Own(committed) => (committed, false),
            Settled::Another(committed) => (committed, true),
            Settled::Not => {
                let failure = Failure {
                    remedy: Remedy::Retry,
                    ..unheard
                };
                return Err(failure.help(NOT_COMMITTED));
            }
            Settled::Overtaken(last) => {
                let stale = Fault::Stale {
                    table: write.shown(),
                    generation: intent.generation.0,
                    last,
                };
                return Err(Failure::from(stale).help(OVERTAKEN));
            }
            Settled::Unknown => return Err(unheard.help(NOT_KNOWN)),
        };
        Ok(Receipt { committed, adopted })
    }

    async fn finish(&self, commit: Commit) -> Result<Receipt, Failure> {
        let (alignment, stats, attempt) = match &self.outcome {
            Outcome::New {
                alignment,
                stats,
                attempt,
            } => (alignment, *stats, attempt),
            Outcome::Adopted(committed) => {
                return Ok(Receipt {
                    committed: Committed::clone(committed),
                    adopted: true,
                });
            }
        };
        let stored = self.store(alignment, (&stats, attempt), &commit).await;
        stored.map_err(Into::<Failure>::into)?;
        if let Some(receipt) = self.end(attempt).await? {
            return Ok(receipt);
        }
        let intent = self.write.intent();
        let token = commit.into_token(intent.task.clone(), intent.generation);
        Ok(Receipt {
            committed: commits::committed(token, stats),
            adopted: false,
        })
    }
}

#[async_trait]
impl<W: TableWrite> Prepared for PreparedWrite<W> {
    fn stats(&self) -> PreparedStats {
        match &self.outcome {
            Outcome::New { stats, .. } => *stats,
            Outcome::Adopted(committed) => committed.stats,
        }
    }

    fn notes(&self) -> Vec<String> {
        match &self.outcome {
            Outcome::New { alignment, .. } => alignment.notes.clone(),
            Outcome::Adopted(_) => Vec::new(),
        }
    }

    async fn candidate(&self, scope: CandidateRows) -> Result<Candidate, Failure> {
        let candidate = candidate(self.write.candidate(), self.view(scope)).await;
        candidate.map_err(Into::into)
    }

    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt, Failure> {
        Box::pin(self.finish(commit)).await
    }

    async fn discard(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
