//! `write_table`: the last step of every task that writes a table.
//!
//! Promise: it moves rows from one `Reader` into one table of a `Destination`. Each commit is recorded in
//! the state store. A result that is already in the destination is adopted, not written again. It does not
//! know where the reader comes from: see `load.rs`, `model.rs` and `publish.rs`. Read next:
//! `flow/src/transfer.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use tokio_util::sync::CancellationToken;
use towpath_flow::{CommitCadence, OutputSpec, OutputSummary, SkipCommit, Transfer, run_transfer};
use towpath_orchestrator::AttemptSuccess;
use towpath_ports::{
    Checkpoint, Destination, FINISH_DELIVERY, ModelEngine, Reader, Receipt, TaskOutcome, TaskRecord,
};
use towpath_quarantine::outdate_uncommitted;
use towpath_vocab::{
    Action, Annotations, BadRows, Failure, PlannedTask, Position, ReadMode, Remedy, RunName,
    TableName, TablePlan, TaskKey, Token, WriteMode, delete_limit, put_delete_limit,
};

use super::columns::ColumnRecorder;
use super::commit_recorder::{CommitRecorder, RecordedTable, observed};
use super::executor::{RunExecutor, TaskDone};
use super::generation::{GenerationClaim, claim_generation};
use super::overwritten::is_overwritten;
use crate::Result;
use crate::facts::external_key;

/// A write of rows to one table.
pub(crate) struct TableWrite<'a> {
    pub(crate) task: &'a PlannedTask,
    pub(crate) plan: TablePlan,
    pub(crate) source_table: TableName,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) claim: GenerationClaim,
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) opened_at: Position,
    pub(crate) fingerprint: Option<String>,
    /// Annotations of each commit.
    pub(crate) annotations: Annotations,
    /// As in `OutputSpec`.
    pub(crate) rows_before: Option<u64>,
    pub(crate) cancel: CancellationToken,
}

impl RunExecutor {
    /// Claims a generation for a task's attempt.
    pub(crate) async fn claim(
        &self,
        task: &PlannedTask,
        destination: &dyn Destination,
        table: &TableName,
        fingerprint: Option<&str>,
    ) -> Result<GenerationClaim> {
        let key = self.key(&task.step, table);
        let store = self.services.store.as_ref();
        claim_generation(store, destination, &key, &self.run, fingerprint).await
    }

    /// True if the state store and the commit both say that the destination has the result for the same
    /// inputs and the same definition. Without a state store, the commit alone prevents that rows are
    /// appended twice; any other write is repeated, so that the state store is complete again.
    pub(crate) async fn is_up_to_date(
        &self,
        task: &PlannedTask,
        fingerprint: &str,
        claim: &GenerationClaim,
        write: WriteMode,
    ) -> Result<bool> {
        if self.options.rerun_of.is_some() && write != WriteMode::Append {
            return Ok(false);
        }
        let committed = claim.committed_fingerprint();
        if committed.is_some_and(|committed| committed != fingerprint) {
            return Ok(false);
        }
        if committed.is_some() && write == WriteMode::Append {
            return Ok(!self.options.full_refresh);
        }
        if let (Some(last), false) = (&claim.last, matches!(task.action, Action::Publish(_)))
            && is_overwritten(&self.services.lake, &last.token.task).await?
        {
            return Ok(false);
        }
        self.is_unchanged(task, fingerprint, claim.last.is_some())
            .await
    }

    /// True if the run that is rerun, or a later one, has already appended to this table. It must be called
    /// before a generation is claimed, because the claim replaces that of the earlier run in the state store.
    pub(crate) async fn is_appended(
        &self,
        task: &PlannedTask,
        destination: &dyn Destination,
        table: &TablePlan,
    ) -> Result<bool> {
        let Some(past) = self.options.rerun_of.as_ref() else {
            return Ok(false);
        };
        if self.options.full_refresh || table.write.mode != WriteMode::Append {
            return Ok(false);
        }
        let key = self.key(&task.step, &table.target);
        let Some(last) = destination.last(&key, &table.target).await? else {
            return Ok(false);
        };
        let store = self.services.store.as_ref();
        let since = |run: &RunName| run.number >= past.number && *run != self.run;
        let given = store.generation(&key).await?;
        if given.is_some_and(|(run, given)| since(&run) && last.token.generation >= given) {
            return Ok(true);
        }
        let last = store
            .last_success(&self.environment, &self.pipeline, &task.id)
            .await?;
        let did = |record: &TaskRecord| !matches!(record.outcome, TaskOutcome::Skipped { .. });
        Ok(last.is_some_and(|(run, record)| since(&run) && did(&record)))
    }

    /// True if the last success had this fingerprint and the destination still has its commit.
    pub(crate) async fn is_unchanged(
        &self,
        task: &PlannedTask,
        fingerprint: &str,
        holds: bool,
    ) -> Result<bool> {
        if self.options.full_refresh || !holds {
            return Ok(false);
        }
        let last = self
            .services
            .store
            .last_success(&self.environment, &self.pipeline, &task.id)
            .await?;
        Ok(last.is_some_and(|(_, record)| record.fingerprint.as_deref() == Some(fingerprint)))
    }

    /// The version of a view, if this task has stored it: another environment or pipeline may have replaced
    /// its text.
    pub(crate) async fn stored_view_version(
        &self,
        task: &PlannedTask,
        view: &TableName,
    ) -> Result<Option<u64>> {
        let store = self.services.store.as_ref();
        let last = store
            .last_success(&self.environment, &self.pipeline, &task.id)
            .await?;
        let stored = last.and_then(|(_, record)| match record.outcome {
            TaskOutcome::View { version } => Some(version),
            _ => None,
        });
        let now = self
            .services
            .lake
            .view(view)
            .await?
            .map(|view| view.version);
        Ok(now.filter(|_| now == stored))
    }

    /// Moves the rows; every commit is written to the state store when it happens.
    pub(crate) async fn write_table(&self, write: TableWrite<'_>) -> Result<AttemptSuccess> {
        // Too large to be a part of what calls it.
        Box::pin(self.transfer(write)).await
    }

    async fn transfer(&self, write: TableWrite<'_>) -> Result<AttemptSuccess> {
        let TableWrite {
            task,
            mut plan,
            source_table,
            destination,
            claim,
            reader,
            opened_at,
            fingerprint,
            annotations,
            rows_before,
            cancel,
        } = write;
        if let Some(limit) = self.options.fail_above.get(&plan.target) {
            plan.fail_above = *limit;
            if plan.write.options.contains_key(FINISH_DELIVERY) {
                // Rows of an interrupted delivery cannot be corrected: who allows some lets it end.
                plan.bad_rows = BadRows::Quarantine;
            }
        }
        if let Some(limit) = self.options.delete_above.get(&plan.target)
            && delete_limit(&plan.write).is_some()
        {
            put_delete_limit(*limit, &mut plan.write);
        }
        let key = self.key(&task.step, &plan.target);
        let checkpoint = checkpoint(destination.as_ref(), &key, &opened_at).await?;
        let is_publish = matches!(task.action, Action::Publish(_));
        let watched =
            (!is_publish).then(|| Arc::new(ColumnRecorder::new(Arc::clone(&destination), &plan)));
        let replaced = self.replaced_rows(task, &plan.target).await?;
        let definition = definition(task)?;
        let skip = self.skip(task, plan.write.mode, &claim, &definition);
        let annotations = match task.action {
            Action::Load(_) | Action::Model(_) => {
                annotations.and(Annotations::single(DEFINITION, definition.into()))
            }
            _ => annotations,
        };
        let output = OutputSpec {
            source_table,
            task: key,
            plan,
            generation: claim.generation,
            after: Some(claim.after()),
            destination: match &watched {
                Some(watched) => Arc::clone(watched) as _,
                None => Arc::clone(&destination),
            },
            quarantine: Arc::clone(&self.services.lake) as _,
            committed: opened_at.clone(),
            fingerprint: fingerprint.clone(),
            annotations,
            checkpoint,
            operators: Vec::new(),
            rows_before,
            skip,
        };
        let ports = self.services.quarantine_ports();
        outdate_uncommitted(&ports, &output.task, claim.after()).await?;
        let services = self.services.transfer_services(Arc::clone(&self.progress));
        let run = self.run.to_string();
        let target = output.plan.target.clone();
        let recorder = self.recorder(&output.plan, (!is_publish).then_some(destination));
        let transfer = Transfer {
            reader,
            opened_at,
            outputs: vec![output],
            run,
            cadence: CommitCadence::default(),
            commits: Some(Arc::new(recorder)),
            cancel,
        };
        let summary = run_transfer(transfer, &services).await?;
        let Some(mut table) = summary.outputs.into_iter().next() else {
            return Err(Failure::new(
                "R0931",
                Remedy::Bug,
                format!("`{target}` was written without a result"),
            ));
        };
        if skip != SkipCommit::Never && table.receipt.is_none() && table.stopped.is_none() {
            return Ok(AttemptSuccess {
                unchanged: true,
                outcome: self.found_nothing(task, &target).await?,
                fingerprint,
            });
        }
        let notes = watched.map(|watched| watched.notes());
        table.notes.extend(notes.unwrap_or_default());
        table
            .notes
            .extend(replaced.and_then(|before| before.note(&table)));
        self.outcome(task, table, fingerprint)
    }

    /// When the write makes no commit.
    fn skip(
        &self,
        task: &PlannedTask,
        write: WriteMode,
        claim: &GenerationClaim,
        definition: &str,
    ) -> SkipCommit {
        match &task.action {
            Action::Load(_) if self.goes_on(task) && is_defined_as(claim, definition) => {
                SkipCommit::NothingRead
            }
            Action::Model(_)
                if write != WriteMode::Replace && was_defined_as(claim, definition) =>
            {
                SkipCommit::NoRows
            }
            _ => SkipCommit::Never,
        }
    }

    /// The outcome of a task that added no rows. That of a model names the version of its table, so that
    /// the next run need not ask again while nothing has changed.
    async fn found_nothing(&self, task: &PlannedTask, table: &TableName) -> Result<TaskOutcome> {
        if !matches!(task.action, Action::Model(_)) {
            return Ok(TaskOutcome::Nothing);
        }
        let at = self.version_with_commit(table).await?;
        Ok(at.map_or(TaskOutcome::Nothing, |at| TaskOutcome::NoNewRows { at }))
    }

    async fn version_with_commit(&self, table: &TableName) -> Result<Option<String>> {
        let tables = std::slice::from_ref(table);
        Ok(self.services.engine.versions(tables).await?.remove(table))
    }

    /// The outcome of the last run, if it found no rows for the same inputs and the same definition, and
    /// the table is still the one that it found.
    pub(crate) async fn still_without_new_rows(
        &self,
        task: &PlannedTask,
        table: &TableName,
        fingerprint: &str,
    ) -> Result<Option<TaskOutcome>> {
        if self.options.full_refresh || self.options.rerun_of.is_some() {
            return Ok(None);
        }
        let store = self.services.store.as_ref();
        let last = store
            .last_success(&self.environment, &self.pipeline, &task.id)
            .await?;
        let same = last.filter(|(_, record)| record.fingerprint.as_deref() == Some(fingerprint));
        let Some(TaskOutcome::NoNewRows { at }) = same.map(|(_, record)| record.outcome) else {
            return Ok(None);
        };
        let now = self.version_with_commit(table).await?;
        Ok((now.as_ref() == Some(&at)).then_some(TaskOutcome::NoNewRows { at }))
    }

    /// True if a task adds new rows to those in its table.
    fn goes_on(&self, task: &PlannedTask) -> bool {
        let Action::Load(load) = &task.action else {
            return false;
        };
        load.read != ReadMode::Full
            && load.table.write.mode != WriteMode::Replace
            && self.options.limit.is_none()
            && !self.options.full_refresh
    }

    /// The observer that writes the state store after each commit of this table; `lake` for tables whose
    /// columns are stored.
    fn recorder(&self, plan: &TablePlan, lake: Option<Arc<dyn Destination>>) -> CommitRecorder {
        let lineage = plan.lineage.clone();
        CommitRecorder {
            services: Arc::clone(&self.services),
            environment: self.environment.clone(),
            run: self.run.clone(),
            tables: BTreeMap::from([(plan.target.clone(), RecordedTable { lineage, lake })]),
        }
    }

    /// The rows that `--full-refresh` replaces in a table to which earlier runs have added rows.
    async fn replaced_rows(
        &self,
        task: &PlannedTask,
        table: &TableName,
    ) -> Result<Option<ReplacedRows>> {
        let adds = match &task.action {
            Action::Load(load) => load.table.write.mode != WriteMode::Replace,
            _ => false,
        };
        if !self.options.full_refresh || !adds {
            return Ok(None);
        }
        let lake = &self.services.lake;
        if lake.schema(table).await?.is_none() {
            return Ok(None);
        }
        let described = lake.describe(table).await?;
        let rows = described.rows;
        Ok(rows.map(|rows| ReplacedRows {
            rows,
            version: described.version,
        }))
    }

    /// The success of an attempt whose commit already exists: it is reported again, not made again.
    /// `recovered.rs` adds what else is known.
    pub(crate) fn adopted(
        &self,
        task: &PlannedTask,
        table: &TableName,
        claim: GenerationClaim,
        fingerprint: Option<String>,
    ) -> Result<AttemptSuccess> {
        let mut summary = OutputSummary::of(table.clone());
        if let Some(committed) = claim.last {
            summary.rows_read = committed.stats.rows_in;
            summary.rows_loaded = committed.stats.rows_in;
            summary.receipt = Some(Receipt {
                committed,
                adopted: true,
            });
        }
        let outcome = stored(task, &summary, false)?;
        self.record(&task.id, TaskDone::Recovered(Box::new(summary)));
        Ok(AttemptSuccess {
            unchanged: false,
            outcome,
            fingerprint,
        })
    }

    fn outcome(
        &self,
        task: &PlannedTask,
        table: OutputSummary,
        fingerprint: Option<String>,
    ) -> Result<AttemptSuccess> {
        let stopped = table.stopped.clone();
        let outcome = stored(task, &table, false)?;
        self.record(&task.id, TaskDone::Table(Box::new(table)));
        match stopped {
            Some(failure) => Err(failure),
            None => Ok(AttemptSuccess {
                unchanged: false,
                outcome,
                fingerprint,
            }),
        }
    }

    /// Stores the columns of an external table.
    pub(crate) async fn observe_external(
        &self,
        connection: &str,
        object: &str,
        schema: SchemaRef,
    ) -> Result<()> {
        let key = external_key(connection, object);
        self.services
            .store
            .put_fact(&self.environment, &key, &observed(&self.services, schema))
            .await
    }
}

/// The annotation of the commit of a load or model with its definition.
const DEFINITION: &str = "definition";

/// The definition of a task, without what it reads.
fn definition(task: &PlannedTask) -> Result<String> {
    super::fingerprint::fingerprint(task, &[])
}

/// True if the last commit was made with this definition: a new definition is applied even if there are no
/// new rows. Earlier versions did not store it.
fn is_defined_as(claim: &GenerationClaim, definition: &str) -> bool {
    let Some(last) = &claim.last else {
        return false;
    };
    let noted = last.token.annotations.read::<String>(DEFINITION);
    noted.ok().flatten().is_none_or(|noted| noted == definition)
}

/// True if a commit is known to have been made with the definition of a task.
pub(super) fn has_definition(token: &Token, task: &PlannedTask) -> bool {
    let noted = token.annotations.read::<String>(DEFINITION);
    match (noted, definition(task)) {
        (Ok(Some(noted)), Ok(definition)) => noted == definition,
        _ => false,
    }
}

/// True if the last commit is known to have been made with this definition.
fn was_defined_as(claim: &GenerationClaim, definition: &str) -> bool {
    let last = claim.last.as_ref();
    let noted = last.map(|last| last.token.annotations.read::<String>(DEFINITION));
    noted.is_some_and(|noted| noted.is_ok_and(|noted| noted.as_deref() == Some(definition)))
}

/// The state of operators with which a read continues; a read from the start has none.
async fn checkpoint(
    destination: &dyn Destination,
    task: &TaskKey,
    opened_at: &Position,
) -> Result<Checkpoint> {
    let found = match opened_at.is_empty() {
        true => None,
        false => destination.checkpoint(task, &task.table).await?,
    };
    Ok(found.unwrap_or_default())
}

/// The rows of a table before it was replaced.
struct ReplacedRows {
    rows: u64,
    version: u64,
}

impl ReplacedRows {
    /// A note that rows are gone, because the source no longer has rows that earlier runs had loaded.
    fn note(&self, table: &OutputSummary) -> Option<String> {
        let now = table.receipt.as_ref()?.committed.stats.rows_after?;
        let Self { rows, version } = self;
        (now < *rows).then(|| format!(
            "rows before: {rows}, now: {now}; `--full-refresh` replaced the table with the rows of the source; to get the other rows back: `towpath lake restore {} --to {version}`",
            table.table
        ))
    }
}

/// A result in its stored form.
pub(super) fn stored(
    task: &PlannedTask,
    table: &OutputSummary,
    recovered: bool,
) -> Result<TaskOutcome> {
    let summary = serde_json::to_value(table).map_err(|error| {
        Failure::new(
            "R0932",
            Remedy::Bug,
            format!("the result of `{}` cannot be stored: {error}", task.id),
        )
    })?;
    Ok(TaskOutcome::Table { summary, recovered })
}
