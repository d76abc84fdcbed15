//! The tables of one transfer: each is opened when its first rows come, and commits alone.
//!
//! Promise: if the destination has a later position for one table than for others of the same reader, that
//! table does not get the earlier rows again. If the data stops one table of a bounded read, the others
//! continue. Every commit is reported when it happens. It does not know where rows come from. Read next:
//! `output.rs`, `transfer.rs` (the loop).

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use tokio_util::sync::CancellationToken;
use towpath_ports::{Checkpoint, Reader, Result, Rows, TableSchema};
use towpath_vocab::{Failure, Generation, Position, Reject, Remedy, SplitId, TableName, WriteMode};

use crate::chain::FlushReason;
use crate::commit_observer::CommitObserver;
use crate::output::{Context, TableOutput};
use crate::output_spec::{OutputSpec, SkipCommit};
use crate::services::TransferServices;
use crate::summary::{OutputSummary, TransferSummary};

pub(crate) struct Tables<'a> {
    run: &'a str,
    /// Stops a delivery.
    cancel: &'a CancellationToken,
    services: &'a TransferServices,
    commits: Option<Arc<dyn CommitObserver>>,
    bounded: bool,
    tables: Vec<Table<'a>>,
    by_source: HashMap<&'a TableName, usize>,
}

/// One table between two commits.
struct Table<'a> {
    spec: &'a OutputSpec,
    /// The source's columns, if it has sent them.
    schema: Option<SchemaRef>,
    /// New columns, which are used after the next commit.
    coming: Option<SchemaRef>,
    open: Option<TableOutput>,
    /// The generation of the next commit.
    generation: Generation,
    /// The state of its operators at the last commit.
    checkpoint: Checkpoint,
    done: Option<OutputSummary>,
}

/// The input of a table.
#[expect(clippy::large_enum_variant, reason = "one at a time, moved once")]
pub(crate) enum TableInput {
    Rows(Rows),
    Rejects(Vec<Reject>),
    /// The source was emptied.
    Truncate,
    /// No row with an earlier event time will come.
    Watermark(i64),
}

impl<'a> Tables<'a> {
    pub(crate) fn new(
        specs: &'a [OutputSpec],
        (run, cancel): (&'a str, &'a CancellationToken),
        services: &'a TransferServices,
        commits: Option<Arc<dyn CommitObserver>>,
        reader: &dyn Reader,
    ) -> Self {
        let mut schemas: HashMap<TableName, SchemaRef> = reader
            .tables()
            .into_iter()
            .map(|t| (t.table, t.schema))
            .collect();
        let tables = specs.iter().map(|spec| Table {
            spec,
            schema: schemas.remove(&spec.source_table),
            coming: None,
            open: None,
            generation: spec.generation,
            checkpoint: spec.checkpoint.clone(),
            done: None,
        });
        let names = specs.iter().map(|spec| &spec.source_table);
        Self {
            run,
            cancel,
            services,
            commits,
            bounded: reader.bounded(),
            tables: tables.collect(),
            by_source: names.enumerate().map(|(at, name)| (name, at)).collect(),
        }
    }

    /// Passes an input from a split to its table. `reached` has the positions of the splits.
    pub(crate) async fn hand_over(
        &mut self,
        split: &SplitId,
        table: &TableName,
        handed: TableInput,
        reached: &Position,
    ) -> Result<()> {
        let index = self.index_of(table)?;
        let is_many = self.tables.len() > 1;
        let Some(table) = self.tables.get_mut(index) else {
            return Ok(());
        };
        let is_over = self.bounded && table.done.is_some();
        if is_over || table.holds_already(split, reached, is_many) {
            return Ok(());
        }
        let context = table.context((self.run, self.cancel), self.services);
        match table.take(handed, &context).await {
            Err(failure) if failure.remedy == Remedy::FixData => self.stop(index, failure).await,
            taken => taken,
        }
    }

    fn index_of(&self, table: &TableName) -> Result<usize> {
        self.by_source.get(table).copied().ok_or_else(|| {
            Failure::new(
                "R0605",
                Remedy::Bug,
                format!("the source gave rows for `{table}`, which was not requested"),
            )
        })
    }

    /// Sets new columns, which need a new write. True if all splits must reach a boundary first, so that
    /// the commit ends at the position of each split. Sources send new columns directly after a boundary.
    pub(crate) fn new_schema(&mut self, new: TableSchema, at_boundary: bool) -> Result<bool> {
        let TableSchema { table, schema } = new;
        let index = self.index_of(&table)?;
        let bounded = self.bounded;
        let Some(slot) = self.tables.get_mut(index) else {
            return Ok(false);
        };
        let known = slot.coming.as_ref().or(slot.schema.as_ref());
        if known.is_some_and(|known| *known == schema) {
            return Ok(false);
        }
        if bounded {
            let message = format!("the columns of `{table}` changed while it was read");
            return Err(Failure::new("R0625", Remedy::Retry, message));
        }
        if !at_boundary {
            let message = format!("new columns of `{table}` came in the middle of its rows");
            return Err(Failure::new("R0628", Remedy::Bug, message).help(
                "nothing since the last commit is visible; run again, and please report this",
            ));
        }
        slot.coming = Some(schema);
        Ok(true)
    }

    /// Commits every open table at this position, and reports each; false if the position is not stored, so
    /// that it must not be confirmed. `is_moved` means that it differs from that of the last commit.
    ///
    /// # Errors
    /// `Retry` if another attempt of an endless read has committed a table up to another position: this
    /// attempt would go on behind rows that nobody wrote. A bounded read ends here, and the next one begins
    /// at the position that is stored.
    pub(crate) async fn commit_all(
        &mut self,
        position: &Position,
        is_moved: bool,
        why: FlushReason,
    ) -> Result<bool> {
        let mut is_committed = !self.bounded;
        let mut is_stored = true;
        for index in 0..self.tables.len() {
            let (run, cancel, services) = (self.run, self.cancel, self.services);
            let Some(table) = self.tables.get_mut(index) else {
                continue;
            };
            let context = table.context((run, cancel), services);
            if self.bounded && !is_moved && table.found_nothing() {
                let summary = OutputSummary::of(table.spec.plan.target.clone());
                table.done = Some(summary);
                continue;
            }
            is_committed = true;
            if self.bounded && table.done.is_none() {
                // An empty table is a table too.
                table.ensure_open(&context).await?;
            }
            let Some(output) = table.open.take() else {
                continue;
            };
            let (summary, checkpoint) = output.commit(position, why, &context).await?;
            if is_elsewhere(&summary, position) {
                if !self.bounded {
                    return Err(overtaken(&summary.table));
                }
                is_stored = false;
            }
            if summary.stopped.is_none() {
                table.generation = table.generation.next();
                table.checkpoint = checkpoint;
            }
            self.record(index, summary).await?;
        }
        for table in &mut self.tables {
            if let Some(schema) = table.coming.take() {
                table.schema = Some(schema);
            }
        }
        Ok(is_committed && is_stored)
    }

    async fn stop(&mut self, index: usize, failure: Failure) -> Result<()> {
        let open = self
            .tables
            .get_mut(index)
            .and_then(|table| table.open.take());
        if let Some(output) = open {
            let summary = output.stop(failure).await?;
            self.record(index, summary).await?;
        }
        Ok(())
    }

    async fn record(&mut self, index: usize, summary: OutputSummary) -> Result<()> {
        if let Some(commits) = &self.commits {
            commits.table_committed(&summary).await?;
        }
        if let Some(table) = self.tables.get_mut(index) {
            table.done = Some(match table.done.take() {
                None => summary,
                Some(before) => before.then(summary),
            });
        }
        Ok(())
    }

    /// True if reading must end: every table of a bounded read was stopped by its data, or one of an
    /// endless read, whose next position would hide the rows that this table did not commit.
    pub(crate) fn is_stopped(&self) -> bool {
        match self.bounded {
            true => self.tables.iter().all(Table::is_stopped),
            false => self.any_stopped(),
        }
    }

    /// True if a table was stopped.
    pub(crate) fn any_stopped(&self) -> bool {
        self.tables.iter().any(Table::is_stopped)
    }

    /// Drops what is not committed.
    pub(crate) async fn abandon(&mut self) {
        for table in &mut self.tables {
            table.coming = None;
            let Some(output) = table.open.take() else {
                continue;
            };
            if let Err(failure) = output.abandon().await {
                tracing::warn!(
                    code = failure.code,
                    "cleaning up after a stopped load: {failure}"
                );
            }
        }
    }

    pub(crate) fn finish(self, notes: Vec<String>) -> TransferSummary {
        let done = self.tables.into_iter().filter_map(|table| table.done);
        let outputs = done.map(|mut summary| {
            summary.notes.extend(notes.iter().cloned());
            summary
        });
        TransferSummary {
            outputs: outputs.collect(),
        }
    }
}

impl<'a> Table<'a> {
    fn context(
        &self,
        (run, cancel): (&'a str, &'a CancellationToken),
        services: &'a TransferServices,
    ) -> Context<'a> {
        Context {
            spec: self.spec,
            generation: self.generation,
            run,
            cancel,
            services,
        }
    }

    /// True if no event came and the table may stay as it is.
    fn found_nothing(&self) -> bool {
        self.spec.skip == SkipCommit::NothingRead
            && self.open.is_none()
            && self.done.is_none()
            && self.checkpoint.is_empty()
    }

    fn is_stopped(&self) -> bool {
        self.done
            .as_ref()
            .is_some_and(|done| done.stopped.is_some())
    }

    /// True for rows that this table already has from an earlier commit: several tables of one reader
    /// commit one after the other, so after a crash some can be ahead of others.
    fn holds_already(&self, split: &SplitId, reached: &Position, is_many: bool) -> bool {
        match (self.spec.committed.get(split), reached.get(split)) {
            (Some(committed), Some(reached)) => reached.order < committed.order,
            (Some(_), None) => is_many,
            (None, _) => false,
        }
    }

    fn source_schema(&self) -> Result<&SchemaRef> {
        self.schema.as_ref().ok_or_else(|| {
            Failure::new(
                "R0606",
                Remedy::Bug,
                format!(
                    "the source did not say which columns `{}` has",
                    self.spec.source_table
                ),
            )
        })
    }

    async fn ensure_open(&mut self, context: &Context<'_>) -> Result<()> {
        if self.open.is_none() {
            let schema = self.source_schema()?;
            let opened = TableOutput::open(context, schema, &self.checkpoint, false).await?;
            self.open = Some(opened);
        }
        Ok(())
    }

    async fn take(&mut self, handed: TableInput, context: &Context<'_>) -> Result<()> {
        if matches!(handed, TableInput::Truncate) {
            return self.truncate(context).await;
        }
        if matches!(handed, TableInput::Watermark(_))
            && self.open.is_none()
            && self.checkpoint.is_empty()
        {
            // Nobody waits for the time.
            return Ok(());
        }
        self.ensure_open(context).await?;
        let Some(output) = &mut self.open else {
            return Ok(());
        };
        match handed {
            TableInput::Rows(rows) => output.rows(rows, context).await,
            TableInput::Rejects(rejects) => output.rejects(rejects, context).await,
            TableInput::Watermark(event_time_us) => output.watermark(event_time_us, context).await,
            TableInput::Truncate => Ok(()),
        }
    }

    async fn truncate(&mut self, context: &Context<'_>) -> Result<()> {
        match self.spec.plan.write.mode {
            WriteMode::Merge
            | WriteMode::Scd2
            | WriteMode::DeleteInsert
            | WriteMode::InsertOnly
            | WriteMode::Replace => {}
            _ => return Err(truncated(&self.spec.plan.target)),
        }
        let schema = SchemaRef::clone(self.source_schema()?);
        let emptied = match self.open.take() {
            Some(output) => output.empty(context, &schema).await?,
            None => TableOutput::open(context, &schema, &Checkpoint::default(), true).await?,
        };
        self.open = Some(emptied);
        Ok(())
    }
}

/// True if the commit was made by another attempt, which had read up to another position.
fn is_elsewhere(summary: &OutputSummary, position: &Position) -> bool {
    summary
        .receipt
        .as_ref()
        .is_some_and(|receipt| receipt.adopted && receipt.committed.token.position != *position)
}

fn overtaken(table: &TableName) -> Failure {
    let message = format!(
        "another attempt has committed `{table}` meanwhile, and had read up to another position"
    );
    Failure::new("R0629", Remedy::Retry, message)
        .help("nothing of this attempt is visible; the next one continues from that commit")
}

fn truncated(table: &TableName) -> Failure {
    Failure::new(
        "R0609",
        Remedy::Refused,
        format!("the source of `{table}` was truncated, and its write mode only adds rows"),
    )
    .help("write it by its key: `write: merge`, or load it again: towpath run --full-refresh")
}
