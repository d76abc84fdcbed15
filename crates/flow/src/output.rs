//! One table on its way: shaped, judged, measured, written; then audited and committed alone.
//!
//! Every record that comes in ends in exactly one counter. It does not know the other tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{Commit, Destination, Intent, Operator, Prepared, Result, Rows, Scope};
use towpath_vocab::{
    BadRows, Failure, Generation, Mask, Position, RawRecord, Reject, Remedy, TableName, TablePlan,
    TaskKey, WriteMode, types,
};

use crate::ask::Asking;
use crate::audit::{audit, stopped};
use crate::dedup::Deduplicate;
use crate::mask::Masking;
use crate::metrics::Metrics;
use crate::projection::Projection;
use crate::quarantine::Quarantine;
use crate::summary::OutputSummary;
use crate::transfer::Services;
use crate::validator::RuleValidator;
use crate::writing::Writing;

/// Rejects kept for the report.
const SAMPLES: usize = 10;
/// Rows per batch when held rows are released.
const RELEASE_ROWS: usize = 16 * 1024;

/// One table that a transfer writes.
pub struct OutputSpec {
    /// The name its rows travel under.
    pub source_table: TableName,
    /// What happens to them.
    pub plan: TablePlan,
    /// Who writes.
    pub task: TaskKey,
    /// The generation of the first commit; endless reads count up from it.
    pub generation: Generation,
    /// The commit of this task that the read builds on; the first commit is refused when the
    /// destination holds another by then.
    pub after: Option<Generation>,
    /// Where to.
    pub destination: Arc<dyn Destination>,
    /// Where bad rows go.
    pub quarantine: Arc<dyn Destination>,
    /// What the destination already holds; rows before it are skipped.
    pub committed: Position,
    /// Leaves rows out right before they are written.
    pub row_filter: Option<Arc<dyn RowFilter>>,
}

/// Looks at rows that are about to be written.
#[async_trait]
pub trait RowFilter: Send + Sync {
    /// The rows that are to be written; the others count as left out.
    async fn filter(&self, rows: Rows) -> Result<Rows>;
}

/// An open table.
pub(crate) struct Output {
    shape: Projection,
    guard: RuleValidator,
    dedup: Option<Deduplicate>,
    metrics: Metrics,
    writing: Writing,
    quarantine: Option<Quarantine>,
    /// What a replacement replaces, to tell which columns it changes.
    before: Option<SchemaRef>,
    summary: OutputSummary,
}

impl Output {
    pub(crate) async fn open(
        spec: &OutputSpec,
        generation: Generation,
        source: &SchemaRef,
        run: &str,
        services: &Services,
    ) -> Result<Self> {
        let masks = resolve_masks(&spec.plan, services).await?;
        let expressions = services.expressions.as_ref();
        let mask = |column: &str| {
            masks
                .iter()
                .find(|(name, _)| name == column)
                .map(|(_, m)| m.clone())
        };
        let shape = Projection::compile(&spec.plan, source, expressions, &mask)?;
        let schema = shape.schema();
        let guard = RuleValidator::compile(&spec.plan.rules, Arc::clone(&schema), expressions)?;
        let held_bytes = held_bytes(services);
        let dedup = match &spec.plan.dedup {
            None => None,
            Some(dedup) => Some(Deduplicate::new(
                dedup,
                &spec.plan.write.key,
                &schema,
                held_bytes,
            )?),
        };
        let covers = spec.plan.write.mode == WriteMode::Replace;
        let metrics = Metrics::new(&spec.plan.checks, covers, &schema, expressions, held_bytes)?;
        let intent = Intent {
            table: spec.plan.target.clone(),
            schema,
            write: spec.plan.write.clone(),
            task: spec.task.clone(),
            generation,
            after: match generation == spec.generation {
                true => spec.after,
                false => Some(Generation(generation.0 - 1)),
            },
            run: run.to_owned(),
        };
        let before = match covers {
            // What is replaced need not be readable: only what changed cannot be told then.
            true => match spec.destination.schema(&spec.plan.target).await {
                Ok(schema) => schema,
                Err(failure) => {
                    tracing::debug!(code = failure.code, "columns before: {failure}");
                    None
                }
            },
            false => None,
        };
        let writing = Writing::start(spec.destination.begin(intent).await?);
        let summary = OutputSummary::of(spec.plan.target.clone());
        Ok(Self {
            shape,
            guard,
            dedup,
            metrics,
            writing,
            quarantine: None,
            before,
            summary,
        })
    }

    /// Takes a batch. `Err` with remedy `FixData` means the load is stopped by its rows.
    pub(crate) async fn rows(&mut self, rows: Rows, context: &Context<'_>) -> Result<()> {
        self.summary.rows_read += rows.len() as u64;
        let before = self.shape.filtered_rows();
        let shaped = self.shape.process(rows).await?;
        self.summary.rows_filtered += self.shape.filtered_rows() - before;
        self.set_aside(shaped.rejects, context).await?;
        for rows in shaped.rows {
            let judged = self.guard.process(rows).await?;
            self.set_aside(judged.rejects, context).await?;
            for rows in judged.rows {
                self.pass(rows, context).await?;
            }
        }
        Ok(())
    }

    /// Takes records that could not become a row.
    pub(crate) async fn rejects(
        &mut self,
        rejects: Vec<Reject>,
        context: &Context<'_>,
    ) -> Result<()> {
        self.summary.rows_read += rejects.len() as u64;
        self.set_aside(rejects, context).await
    }

    async fn pass(&mut self, rows: Rows, context: &Context<'_>) -> Result<()> {
        match &mut self.dedup {
            None => self.write(rows, context).await,
            Some(dedup) => {
                let before = dedup.dropped_rows();
                dedup.hold(rows)?;
                self.summary.rows_deduplicated += dedup.dropped_rows() - before;
                Ok(())
            }
        }
    }

    async fn write(&mut self, mut rows: Rows, context: &Context<'_>) -> Result<()> {
        if let Some(row_filter) = &context.spec.row_filter {
            let before = rows.len();
            rows = row_filter.filter(rows).await?;
            self.summary.rows_filtered += (before - rows.len()) as u64;
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.metrics.observe(&rows.batch)?;
        let count = rows.len() as u64;
        fail::fail_point!("flow::write");
        self.writing.write(rows.batch, rows.ops).await?;
        self.summary.rows_loaded += count;
        context.services.progress.written(count);
        Ok(())
    }

    async fn set_aside(&mut self, rejects: Vec<Reject>, context: &Context<'_>) -> Result<()> {
        let Some(first) = rejects.first() else {
            return Ok(());
        };
        let plan = &context.spec.plan;
        let count = rejects.len() as u64;
        if plan.bad_rows == BadRows::Fail {
            return Err(first_bad_row(&plan.target, &shown(plan, first)));
        }
        let room = SAMPLES.saturating_sub(self.summary.samples.len());
        let shown = rejects.iter().take(room).map(|reject| shown(plan, reject));
        self.summary.samples.extend(shown);
        if plan.bad_rows == BadRows::Drop {
            self.summary.rows_dropped += count;
        } else {
            self.summary.rows_rejected += count;
            self.quarantined(rejects, context).await?;
        }
        let bad = self.summary.rows_rejected + self.summary.rows_dropped;
        match (plan.fail_above.rows, plan.fail_above.percent) {
            (Some(most), None) if bad > most => {
                Err(too_many(&self.summary, &plan.target, most, "rows"))
            }
            _ => Ok(()),
        }
    }

    async fn quarantined(&mut self, rejects: Vec<Reject>, context: &Context<'_>) -> Result<()> {
        if self.quarantine.is_none() {
            let Context {
                spec,
                generation,
                run,
                services,
            } = context;
            let now_us = services.clock.now_us();
            let opened = Quarantine::open(
                spec.quarantine.as_ref(),
                &spec.task,
                *generation,
                run,
                now_us,
            );
            self.quarantine = Some(opened.await?);
        }
        match &mut self.quarantine {
            Some(quarantine) => quarantine.add(rejects).await,
            None => Ok(()),
        }
    }

    /// Prepares, audits, and commits; or commits only the quarantine and says why in `stopped`.
    pub(crate) async fn commit(
        mut self,
        position: &Position,
        context: &Context<'_>,
    ) -> Result<OutputSummary> {
        fail::fail_point!("flow::prepare");
        if let Some(dedup) = &mut self.dedup {
            for rows in dedup.release(RELEASE_ROWS)? {
                self.write(rows, context).await?;
            }
        }
        self.summary.rules = self.guard.counts();
        if let Some(failure) = over_share(&self.summary, &context.spec.plan) {
            return self.stop(failure).await;
        }
        let prepared = match self.writing.prepare().await {
            Ok(prepared) => prepared,
            Err(failure) if failure.remedy == Remedy::FixData => {
                return keep_quarantine(self.quarantine, self.summary, failure).await;
            }
            Err(failure) => {
                drop_quarantine(self.quarantine).await;
                return Err(failure);
            }
        };
        fail::fail_point!("flow::audit");
        let plan = &context.spec.plan;
        self.summary.checks =
            match judge(plan, self.metrics, prepared.as_ref(), context.services).await {
                Ok(results) => results,
                Err(failure) => {
                    discard(prepared).await;
                    drop_quarantine(self.quarantine).await;
                    return Err(failure);
                }
            };
        if let Some(quarantine) = self.quarantine.take() {
            quarantine.commit().await?;
        }
        fail::fail_point!("flow::between_quarantine_and_table");
        if let Some(failure) = stopped(&plan.target, &self.summary.checks) {
            discard(prepared).await;
            self.summary.stopped = Some(failure);
            return Ok(self.summary);
        }
        let receipt = prepared
            .commit(Commit {
                audited: !plan.checks.is_empty(),
                position: position.clone(),
            })
            .await?;
        fail::fail_point!("flow::after_commit");
        self.summary.receipt = Some(receipt);
        if let Some(before) = &self.before {
            // The commit stands; that nobody can say what it changed is no reason to fail.
            let after = context.spec.destination.schema(&plan.target).await;
            let after = after.ok().flatten();
            self.summary
                .notes
                .extend(after.and_then(|after| columns_changed(before, &after)));
        }
        Ok(self.summary)
    }

    /// Nothing of the table becomes visible; what was set aside does.
    pub(crate) async fn stop(mut self, failure: Failure) -> Result<OutputSummary> {
        if let Err(second) = self.writing.abandon().await {
            tracing::warn!(
                code = second.code,
                "cleaning up after a stopped load: {second}"
            );
        }
        self.summary.rules = self.guard.counts();
        keep_quarantine(self.quarantine, self.summary, failure).await
    }

    /// Nothing becomes visible, nothing is kept.
    pub(crate) async fn abandon(self) -> Result<()> {
        if let Some(quarantine) = self.quarantine {
            quarantine.abandon().await?;
        }
        self.writing.abandon().await
    }
}

/// What a replacement did to columns that were there: a program that reads them may not expect it.
fn columns_changed(before: &SchemaRef, after: &SchemaRef) -> Option<String> {
    let told = before.fields().iter().filter_map(|old| {
        let Ok(new) = after.field_with_name(old.name()) else {
            return Some(format!("`{}` is gone", old.name()));
        };
        let (was, is) = (types::name(old.data_type()), types::name(new.data_type()));
        (was != is).then(|| format!("`{}` was {was} and is {is}", old.name()))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("its columns changed: {}", told.join(", ")))
}

/// What an output needs at each step.
pub(crate) struct Context<'a> {
    pub(crate) spec: &'a OutputSpec,
    pub(crate) generation: Generation,
    pub(crate) run: &'a str,
    pub(crate) services: &'a Services,
}

/// A stopped table: nothing of it becomes visible, but what was set aside is kept.
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

/// The failure that led here is the one to tell; cleaning up may only add a log line.
async fn discard(prepared: Box<dyn Prepared>) {
    if let Err(second) = prepared.discard().await {
        tracing::warn!(code = second.code, "dropping a candidate: {second}");
    }
}

async fn drop_quarantine(quarantine: Option<Quarantine>) {
    if let Some(quarantine) = quarantine
        && let Err(second) = quarantine.abandon().await
    {
        tracing::warn!(code = second.code, "dropping records set aside: {second}");
    }
}

/// A reject as reports and the state store may hold it: without the record itself, and without values of
/// masked columns.
fn shown(plan: &TablePlan, reject: &Reject) -> Reject {
    let is_masked = |column: &String| {
        let masked = plan.columns.iter().filter(|c| c.mask.is_some());
        masked
            .clone()
            .any(|c| c.name == *column || c.from.as_ref() == Some(column))
    };
    let reasons = reject.reasons.iter().cloned().map(|mut reason| {
        if reason.column.as_ref().is_some_and(is_masked) {
            reason.value = None;
        }
        reason
    });
    Reject {
        raw: RawRecord::Text(String::new()),
        reasons: reasons.collect(),
        ..reject.clone()
    }
}

/// What `dedup` and unique checks may hold.
fn held_bytes(services: &Services) -> u64 {
    services.memory.limit_bytes() / 4
}

async fn judge(
    plan: &TablePlan,
    metrics: Metrics,
    prepared: &dyn Prepared,
    services: &Services,
) -> Result<Vec<towpath_vocab::CheckResult>> {
    if plan.checks.is_empty() {
        return Ok(Vec::new());
    }
    let candidate = prepared.candidate(Scope::Table).await?;
    let asking = Asking {
        table: &plan.target,
        candidates: &BTreeMap::from([(plan.target.clone(), candidate)]),
        query: services.query.as_ref(),
        clock: services.clock.as_ref(),
        most_bytes: held_bytes(services),
    };
    audit(&plan.checks, metrics.finish(), &asking).await
}

async fn resolve_masks(plan: &TablePlan, services: &Services) -> Result<Vec<(String, Masking)>> {
    let mut masks = Vec::new();
    for column in &plan.columns {
        let masking = match &column.mask {
            None => continue,
            Some(Mask::Null) => Masking::Null,
            Some(Mask::Hash(key)) => {
                let key = services.secrets.resolve(key).await?;
                if key.is_empty() {
                    return Err(no_key(&column.name));
                }
                Masking::Hash(key.into_bytes())
            }
        };
        masks.push((column.name.clone(), masking));
    }
    Ok(masks)
}

fn no_key(column: &str) -> Failure {
    let message = format!("`{column}` is to be hashed, but the key is empty");
    Failure::new("R0627", Remedy::FixConfig, message)
        .help("a hash without a key can be undone by trying: set the secret that `mask_key` names")
}

fn first_bad_row(table: &TableName, reject: &Reject) -> Failure {
    let why: Vec<String> = reject
        .reasons
        .iter()
        .map(|reason| match (&reason.column, &reason.value) {
            (Some(column), Some(value)) => format!("`{column}` is {value}, {}", reason.message),
            (Some(column), None) => format!("`{column}`: {}", reason.message),
            _ => reason.message.clone(),
        })
        .collect();
    Failure::new(
        "R0622",
        Remedy::FixData,
        format!(
            "`{table}` was stopped by its first bad row: {}",
            why.join("; ")
        ),
    )
    .at(reject.place.clone())
    .help("set such rows aside instead: `bad_rows: quarantine`")
}

fn too_many(summary: &OutputSummary, table: &TableName, most: u64, unit: &str) -> Failure {
    let bad = summary.rows_rejected + summary.rows_dropped;
    stop_line(
        table,
        format!(
            "{bad} of {} rows are bad, the limit is {most} {unit}",
            summary.rows_read
        ),
    )
}

/// The limits that are judged at the end of the table.
fn over_share(summary: &OutputSummary, plan: &TablePlan) -> Option<Failure> {
    let percent = plan.fail_above.percent?;
    let bad = summary.rows_rejected + summary.rows_dropped;
    let share = if summary.rows_read == 0 {
        0.0
    } else {
        bad as f64 * 100.0 / summary.rows_read as f64
    };
    if share <= percent || plan.fail_above.rows.is_some_and(|rows| bad <= rows) {
        return None;
    }
    let line = format!(
        "{bad} of {} rows are bad ({share:.1} %), the limit is {percent} %",
        summary.rows_read
    );
    Some(stop_line(&plan.target, line))
}

fn stop_line(table: &TableName, line: String) -> Failure {
    Failure::new(
        "R0623",
        Remedy::FixData,
        format!("`{table}` was stopped: {line}"),
    )
    .help("nothing of this load is visible; the version before still is")
    .help(format!("look: towpath quarantine show {table}"))
    .help(format!("accept: towpath run --fail-above {table}=…%"))
}
