//! One table of a transfer: its rows pass the operators and are written, then checked and committed.
//!
//! Promise: every record that comes in is counted exactly once, and no row is visible before its checks
//! have passed. It knows neither the other tables nor what an operator does. Read next: `chain.rs` (the
//! operators), `tables.rs` (all tables of a transfer), `audit.rs` (the checks).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    CandidateRows, Checkpoint, Commit, Operator, OperatorOutput, Prepared, Result, Rows,
    WriteRequest,
};
use towpath_vocab::{
    Check, CheckOutcome, CheckResult, Failure, Generation, Position, Reject, Remedy, TableName,
    WriteMode, written_columns,
};

use crate::audit::{audit, in_own_names, stopped};
use crate::audit_columns::AuditStamp;
use crate::chain::{Chain, FlushReason};
use crate::check_query::CheckRunner;
use crate::date_bounds::DateBounds;
use crate::dedup::{Deduplicate, KeptRow};
use crate::limits::{no_rows_left, over_share, too_many_gone};
use crate::mask::resolve_masks;
use crate::metrics::{Measure, Metrics, SharedMetrics};
use crate::ops::changes_rows;
use crate::output_spec::{OutputSpec, SkipCommit};
use crate::projection::Projection;
use crate::quarantine::Quarantine;
use crate::refusals::{Refusals, reject};
use crate::row_history;
use crate::schema_policy::{self, ColumnReport, columns_changed};
use crate::services::TransferServices;
use crate::summary::OutputSummary;
use crate::validator::{RuleCounts, RuleValidator};
use crate::writing::Writing;

/// An open table.
pub(crate) struct TableOutput {
    chain: Chain,
    rules: RuleCounts,
    metrics: SharedMetrics,
    /// The checks of the plan, with the column names of the table.
    checks: Vec<Check>,
    mode: WriteMode,
    /// The columns of its rows.
    columns: SchemaRef,
    writing: Writing,
    quarantine: Option<Quarantine>,
    /// The columns before a replacement, to find those that it changes.
    before: Option<SchemaRef>,
    /// What `schema_change` did.
    changes: ColumnReport,
    summary: OutputSummary,
}

/// The operators of a table, and what they share with it.
struct Compiled {
    chain: Chain,
    changes: ColumnReport,
    rules: RuleCounts,
    metrics: SharedMetrics,
    schema: SchemaRef,
    checks: Vec<Check>,
}

impl TableOutput {
    /// Opens a table whose source has these columns. `emptied` means that the source was emptied, so the
    /// table will have only the rows that follow.
    pub(crate) async fn open(
        context: &Context<'_>,
        source: &SchemaRef,
        checkpoint: &Checkpoint,
        emptied: bool,
    ) -> Result<Self> {
        let spec = context.spec;
        let mode = row_history::mode(&spec.plan.write, emptied);
        // What is dated has one time in all its columns.
        let now_us = context.services.clock.now_us();
        let Compiled {
            mut chain,
            changes,
            rules,
            metrics,
            schema,
            checks,
        } = compile(context, source, (mode, now_us), emptied).await?;
        if !emptied {
            chain.restore(checkpoint)?;
        }
        let before = match mode == WriteMode::Replace && !emptied {
            // A table that cannot be read is replaced all the same, without a note about its columns.
            true => match spec.destination.schema(&spec.plan.target).await {
                Ok(schema) => schema,
                Err(failure) => {
                    tracing::debug!(code = failure.code, "columns before: {failure}");
                    None
                }
            },
            false => None,
        };
        let columns = Arc::clone(&schema);
        let mut intent = intent(context, schema, mode);
        row_history::begin(&mut intent.write, now_us, emptied);
        Ok(Self {
            chain,
            rules,
            metrics,
            checks,
            mode,
            columns,
            writing: Writing::start(spec.destination.begin(intent).await?),
            quarantine: None,
            before,
            changes,
            summary: OutputSummary::of(spec.plan.target.clone()),
        })
    }

    /// The source was emptied: drops what was written since the last commit, and replaces the table by the
    /// rows that follow. Rejected records and all counts stay.
    pub(crate) async fn empty(self, context: &Context<'_>, source: &SchemaRef) -> Result<Self> {
        let Self {
            writing,
            quarantine,
            mut summary,
            rules,
            changes,
            ..
        } = self;
        writing.abandon().await?;
        summary.add_rules(rules.broken());
        summary.notes.extend(changes.notes());
        let emptied = Self::open(context, source, &Checkpoint::default(), true).await?;
        Ok(Self {
            quarantine,
            summary,
            ..emptied
        })
    }

    /// Adds a batch. An error with remedy `FixData` means that its rows stop the load.
    pub(crate) async fn rows(&mut self, rows: Rows, context: &Context<'_>) -> Result<()> {
        self.summary.rows_read += rows.len() as u64;
        let given = self.chain.process(rows).await?;
        self.take(given, context).await
    }

    /// No row with an earlier event time will come.
    pub(crate) async fn watermark(
        &mut self,
        event_time_us: i64,
        context: &Context<'_>,
    ) -> Result<()> {
        let given = self.chain.watermark(event_time_us).await?;
        self.take(given, context).await
    }

    /// Adds records that could not become a row.
    pub(crate) async fn rejects(
        &mut self,
        rejects: Vec<Reject>,
        context: &Context<'_>,
    ) -> Result<()> {
        self.summary.rows_read += rejects.len() as u64;
        self.reject(rejects, context).await
    }

    /// Counts and writes the output of the operators.
    async fn take(&mut self, given: OperatorOutput, context: &Context<'_>) -> Result<()> {
        self.summary.rows_filtered += given.filtered_rows;
        self.summary.rows_deduplicated += given.repeated_rows;
        self.reject(given.rejects, context).await?;
        for rows in given.rows {
            self.write(rows, context).await?;
        }
        Ok(())
    }

    async fn write(&mut self, rows: Rows, context: &Context<'_>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let ops = match (self.mode, rows.ops) {
            (WriteMode::Merge | WriteMode::Scd2, ops) => ops,
            (_, Some(ops)) if changes_rows(&ops) => return Err(not_applicable(context.spec)),
            _ => None,
        };
        let count = rows.batch.num_rows() as u64;
        fail::fail_point!("flow::write");
        self.writing.write(rows.batch, ops).await?;
        self.summary.rows_loaded += count;
        context.services.progress.written(count);
        Ok(())
    }

    async fn reject(&mut self, rejects: Vec<Reject>, context: &Context<'_>) -> Result<()> {
        reject(&mut self.summary, &mut self.quarantine, rejects, context).await
    }

    /// Prepares, audits and commits, or commits only the quarantine and says why in `stopped`. Returns the
    /// state of the operators too.
    pub(crate) async fn commit(
        mut self,
        position: &Position,
        why: FlushReason,
        context: &Context<'_>,
    ) -> Result<(OutputSummary, Checkpoint)> {
        fail::fail_point!("flow::prepare");
        match self.empty_operators(why, context).await {
            Err(failure) if failure.remedy == Remedy::FixData => {
                return self.stop(failure).await.map(without_state);
            }
            emptied => emptied?,
        }
        let checkpoint = self.chain.freeze()?;
        self.summary.add_rules(self.rules.broken());
        let changes = std::mem::take(&mut self.changes);
        self.summary.notes.extend(changes.notes());
        if let Some(failure) = over_share(&self.summary, &context.spec.plan) {
            return self.stop(failure).await.map(without_state);
        }
        let is_whole = self.summary.rows_rejected + self.summary.rows_dropped == 0;
        self.summary
            .notes
            .extend(row_history::note(&context.spec.plan.write, is_whole));
        let prepared = match self.writing.prepare(is_whole).await {
            Ok(prepared) => prepared,
            Err(failure) if failure.remedy == Remedy::FixData => {
                let kept = keep_quarantine(self.quarantine, self.summary, failure).await;
                return kept.map(without_state);
            }
            Err(failure) => {
                drop_quarantine(self.quarantine).await;
                return Err(failure);
            }
        };
        let notes = prepared.notes();
        let judged = PreparedOutput {
            prepared,
            metrics: self.metrics,
            checks: self.checks,
            quarantine: self.quarantine,
            columns: self.columns,
            before: self.before,
            summary: self.summary,
        };
        let mut summary = judged.commit(position, &checkpoint, context).await?;
        if summary.receipt.is_some() {
            summary.notes.extend(notes);
        }
        Ok((summary, checkpoint))
    }

    /// Writes the rows that the operators keep.
    async fn empty_operators(&mut self, why: FlushReason, context: &Context<'_>) -> Result<()> {
        let reasons: &[FlushReason] = match why {
            FlushReason::Commit => &[FlushReason::Commit],
            FlushReason::End => &[FlushReason::Commit, FlushReason::End],
        };
        for why in reasons {
            while let Some(given) = self.chain.empty(*why).await? {
                self.take(given, context).await?;
            }
        }
        Ok(())
    }

    /// No row of the table becomes visible, but its rejected records do.
    pub(crate) async fn stop(mut self, failure: Failure) -> Result<OutputSummary> {
        if let Err(second) = self.writing.abandon().await {
            tracing::warn!(
                code = second.code,
                "cleaning up after a stopped load: {second}"
            );
        }
        self.summary.add_rules(self.rules.broken());
        self.summary.notes.extend(self.changes.notes());
        keep_quarantine(self.quarantine, self.summary, failure).await
    }

    /// Nothing becomes visible.
    pub(crate) async fn abandon(self) -> Result<()> {
        if let Some(quarantine) = self.quarantine {
            quarantine.abandon().await?;
        }
        self.writing.abandon().await
    }
}

/// A candidate, with its measured checks and its rejected records.
struct PreparedOutput {
    prepared: Box<dyn Prepared>,
    metrics: SharedMetrics,
    checks: Vec<Check>,
    quarantine: Option<Quarantine>,
    columns: SchemaRef,
    before: Option<SchemaRef>,
    summary: OutputSummary,
}

impl PreparedOutput {
    /// True if a commit would make a version that is equal to the one before.
    async fn changes_nothing(&self, checkpoint: &Checkpoint, spec: &OutputSpec) -> Result<bool> {
        let complains = |result: &CheckResult| result.outcome != CheckOutcome::Pass;
        if spec.skip != SkipCommit::NoRows
            || self.summary.rows_loaded > 0
            || !checkpoint.is_empty()
            || self.summary.checks.iter().any(complains)
        {
            return Ok(false);
        }
        let known = spec.destination.schema(&spec.plan.target).await?;
        Ok(known.is_some_and(|known| {
            let mut columns = self.columns.fields().iter();
            columns.all(|column| known.field_with_name(column.name()).is_ok())
        }))
    }

    /// Sends the rows, where the system does not show them all at once.
    async fn deliver(&mut self, commit: &Commit, context: &Context<'_>) -> Result<()> {
        let mut refused = Refusals {
            again: 0,
            summary: &mut self.summary,
            quarantine: &mut self.quarantine,
            context,
        };
        tokio::select! {
            biased;
            delivered = self.prepared.deliver(commit, &mut refused) => delivered,
            () = context.cancel.cancelled() => Err(
                Failure::new("R0607", Remedy::Cancelled, "stopped by the user")
                    .help("rows that were taken before stay taken; the next run sends the others"),
            ),
        }
    }

    /// Ends a delivery that stopped in the middle: rows that were refused are stored, because those before
    /// them are taken.
    async fn undelivered(self, failure: Failure) -> Result<OutputSummary> {
        discard(self.prepared).await;
        if failure.remedy == Remedy::FixData {
            return keep_quarantine(self.quarantine, self.summary, failure).await;
        }
        if let Some(quarantine) = self.quarantine
            && let Err(second) = quarantine.commit().await
        {
            tracing::warn!(code = second.code, "storing refused rows: {second}");
        }
        Err(failure)
    }

    async fn commit(
        mut self,
        position: &Position,
        checkpoint: &Checkpoint,
        context: &Context<'_>,
    ) -> Result<OutputSummary> {
        fail::fail_point!("flow::audit");
        let plan = &context.spec.plan;
        match judge(
            &plan.target,
            (&self.checks, &self.metrics),
            self.prepared.as_ref(),
            context.services,
        )
        .await
        {
            Ok(results) => self.summary.checks = results,
            Err(failure) => {
                discard(self.prepared).await;
                drop_quarantine(self.quarantine).await;
                return Err(failure);
            }
        }
        let commit = Commit {
            audited: !plan.checks.is_empty(),
            position: position.clone(),
            fingerprint: context.spec.fingerprint.clone(),
            annotations: context.spec.annotations.clone(),
        };
        if let Err(failure) = self.deliver(&commit, context).await {
            return self.undelivered(failure).await;
        }
        if let Some(quarantine) = self.quarantine.take() {
            quarantine.commit().await?;
        }
        fail::fail_point!("flow::between_quarantine_and_table");
        let failure = stopped(plan, &self.checks, &self.summary.checks);
        let failure = failure
            .or_else(|| no_rows_left(&mut self.summary, context.spec))
            .or_else(|| too_many_gone(&self.summary, plan, self.prepared.stats()));
        if let Some(failure) = failure {
            discard(self.prepared).await;
            self.summary.stopped = Some(failure);
            return Ok(self.summary);
        }
        if self.changes_nothing(checkpoint, context.spec).await? {
            discard(self.prepared).await;
            return Ok(self.summary);
        }
        if !checkpoint.is_empty() {
            self.prepared.keep(checkpoint).await?;
        }
        let receipt = self.prepared.commit(commit).await?;
        fail::fail_point!("flow::after_commit");
        self.summary.receipt = Some(receipt);
        if let Some(before) = &self.before {
            // The commit is made; it must not fail because the changed columns are not known.
            let after = context.spec.destination.schema(&plan.target).await;
            let after = after.ok().flatten();
            self.summary
                .notes
                .extend(after.and_then(|after| columns_changed(before, &after)));
        }
        Ok(self.summary)
    }
}

fn without_state(summary: OutputSummary) -> (OutputSummary, Checkpoint) {
    (summary, Checkpoint::default())
}

/// What the destination will write.
fn intent(context: &Context<'_>, schema: SchemaRef, mode: WriteMode) -> WriteRequest {
    let Context {
        spec,
        generation,
        run,
        ..
    } = context;
    let mut write = spec.plan.write.clone();
    write.mode = mode;
    WriteRequest {
        table: spec.plan.target.clone(),
        schema,
        write,
        task: spec.task.clone(),
        generation: *generation,
        after: match *generation == spec.generation {
            true => spec.after,
            false => Some(Generation(generation.0 - 1)),
        },
        run: (*run).to_owned(),
    }
}

/// The operators of a plan: projection, rules, dedup, those of the caller, metrics.
async fn compile(
    context: &Context<'_>,
    source: &SchemaRef,
    (mode, now_us): (WriteMode, i64),
    emptied: bool,
) -> Result<Compiled> {
    let (spec, services) = (context.spec, context.services);
    let plan = &spec.plan;
    let masks = resolve_masks(plan, services).await?;
    let expressions = services.expressions.as_ref();
    let mask = |column: &str| {
        let found = masks.iter().find(|(name, _)| name == column);
        found.map(|(_, mask)| mask.clone())
    };
    let projection = Projection::compile(plan, source, expressions, &mask)?;
    let mut schema = projection.schema();
    let mut operators: Vec<Box<dyn Operator>> = vec![Box::new(projection)];
    let destination = spec.destination.as_ref();
    let mut judged = schema_policy::judge(plan, mode, destination, &schema).await?;
    schema = judged.guard(schema, &mut operators);
    let validator = RuleValidator::compile(&plan.rules, Arc::clone(&schema), expressions)?;
    let rules = validator.counts();
    if let Some(bounds) = DateBounds::of(spec.destination.days(), &schema) {
        operators.push(Box::new(bounds));
    }
    operators.push(Box::new(validator));
    let stays = match &plan.dedup {
        // A table that was emptied is replaced, so only the last event of each key is written.
        _ if emptied && !plan.write.key.is_empty() => Some(KeptRow::LastPresent),
        Some(dedup) => Some(KeptRow::of(dedup, &schema)?),
        None => None,
    };
    if let Some(stays) = stays {
        let dedup = Deduplicate::new(stays, &plan.write.key, &schema, services.share())?;
        operators.push(Box::new(dedup));
    }
    schema = judged.omit(schema, &mut operators)?;
    if let Some(stamp) = AuditStamp::of(&plan.write, &schema, context.run, now_us)? {
        schema = stamp.schema();
        operators.push(Box::new(stamp));
    }
    for make in &spec.operators {
        let operator = make(&schema)?;
        schema = operator.schema();
        operators.push(operator);
    }
    let covers = mode == WriteMode::Replace;
    let written = written_columns(mode, &schema);
    let checks = in_own_names(&plan.checks, &written, expressions)?;
    let metrics = Metrics::new(&checks, covers, &schema, expressions, services.share())?;
    let (measure, metrics) = Measure::new(Arc::clone(&schema), metrics);
    operators.push(Box::new(measure));
    Ok(Compiled {
        chain: Chain::new(operators),
        changes: judged.report,
        rules,
        metrics,
        schema,
        checks,
    })
}

/// What a `TableOutput` needs at each step.
pub(crate) struct Context<'a> {
    pub(crate) spec: &'a OutputSpec,
    pub(crate) generation: Generation,
    pub(crate) run: &'a str,
    /// Stops a delivery: what was taken by then stays taken.
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) services: &'a TransferServices,
}

/// Ends a stopped table: no row becomes visible, but its rejected records are stored.
async fn keep_quarantine(
    quarantine: Option<Quarantine>,
    mut summary: OutputSummary,
    failure: Failure,
) -> Result<OutputSummary> {
    if let Some(quarantine) = quarantine {
        quarantine.commit().await?;
    }
    summary.stopped = Some(failure);
    Ok(summary)
}

/// The failure that led here is the one to report; a failure of the cleanup is only logged.
async fn discard(prepared: Box<dyn Prepared>) {
    if let Err(second) = prepared.discard().await {
        tracing::warn!(code = second.code, "dropping a candidate: {second}");
    }
}

async fn drop_quarantine(quarantine: Option<Quarantine>) {
    if let Some(quarantine) = quarantine
        && let Err(second) = quarantine.abandon().await
    {
        tracing::warn!(code = second.code, "dropping rejected records: {second}");
    }
}

async fn judge(
    table: &TableName,
    (checks, metrics): (&[Check], &SharedMetrics),
    prepared: &dyn Prepared,
    services: &TransferServices,
) -> Result<Vec<CheckResult>> {
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let candidate = prepared.candidate(CandidateRows::AfterCommit).await?;
    let asking = CheckRunner {
        table,
        candidates: &BTreeMap::from([(table.clone(), candidate)]),
        query: services.query.as_ref(),
        clock: services.clock.as_ref(),
        share: services.share(),
    };
    audit(checks, metrics.finish()?, &asking).await
}

/// The failure for a change feed whose table is not written by key.
fn not_applicable(spec: &OutputSpec) -> Failure {
    let message = format!(
        "rows of `{}` were changed or deleted at the source, which only `write: merge` and `write: scd2` can apply",
        spec.plan.target
    );
    Failure::new("R0720", Remedy::FixConfig, message)
        .help("write the table by its key: `write: merge` and `key:`")
}
