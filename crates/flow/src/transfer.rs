//! The loop: takes events from a reader, hands rows to their tables, commits at boundaries.
//!
//! Bounded and endless reads are this loop; a bounded one commits once, at its end, an endless one
//! whenever its cadence says so and every split stands at a boundary. Read next: `intake.rs`,
//! `output.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    Clock, Event, ExpressionCompiler, Memory, Query, Reader, Result, Secrets, TableSchema,
};
use towpath_vocab::{Failure, Generation, Mark, Position, Remedy, SplitId, TableName};

use crate::intake::{Intake, Taken};
use crate::output::{Context, Output, OutputSpec};
use crate::summary::{OutputSummary, Progress, TransferSummary};

/// What the loop needs from its caller.
#[derive(Clone)]
pub struct Services {
    /// Compiles `where`, `set` and rules.
    pub expressions: Arc<dyn ExpressionCompiler>,
    /// Answers checks that need the candidate.
    pub query: Arc<dyn Query>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Resolves mask keys.
    pub secrets: Arc<dyn Secrets>,
    /// The memory budget.
    pub memory: Arc<dyn Memory>,
    /// Live counters.
    pub progress: Arc<Progress>,
}

/// How often an endless read commits: when either is reached and there is something to commit.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    /// Rows since the last commit.
    pub rows: u64,
    /// Microseconds since the last commit.
    pub interval_us: u64,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            interval_us: 30_000_000,
        }
    }
}

/// One read and the tables it fills.
pub struct Transfer {
    /// The opened read.
    pub reader: Box<dyn Reader>,
    /// Where it was opened.
    pub opened_at: Position,
    /// The tables, by the names rows travel under.
    pub outputs: Vec<OutputSpec>,
    /// For histories: `shop#212`.
    pub run: String,
    /// For endless reads.
    pub cadence: Cadence,
    /// Stops the read: a bounded one leaves nothing, an endless one commits what is complete.
    pub cancel: CancellationToken,
}

/// Carries rows until the reader ends, the user stops it, or a table is stopped by its data.
///
/// # Errors
/// Whatever a port raises; then nothing since the last commit is visible. Data that stops a table is
/// no error: it stands in that table's summary.
pub async fn run_transfer(transfer: Transfer, services: &Services) -> Result<TransferSummary> {
    let Transfer {
        mut reader,
        opened_at,
        outputs,
        run,
        cadence,
        cancel,
    } = transfer;
    let mut intake = Intake::new(reader.splits());
    let mut running = Running::new(&outputs, &run, services, reader.as_ref(), opened_at);
    let result = running
        .run(&mut intake, reader.as_mut(), cadence, &cancel)
        .await;
    drop(intake);
    match result {
        Ok(()) => Ok(running.finish(reader.notes())),
        Err(failure) => {
            running.abandon().await;
            Err(failure)
        }
    }
}

struct Running<'a> {
    specs: &'a [OutputSpec],
    run: &'a str,
    services: &'a Services,
    bounded: bool,
    schemas: HashMap<TableName, SchemaRef>,
    /// Columns that hold from the next commit on.
    coming: HashMap<TableName, SchemaRef>,
    /// Parallel to `specs`: open tables, their generations, what was committed of each.
    open: Vec<Option<Output>>,
    generations: Vec<Generation>,
    done: Vec<Option<OutputSummary>>,
    /// Where each split stands: its last boundary.
    reached: Position,
    rows_since: u64,
    committed_at_us: u64,
}

impl<'a> Running<'a> {
    fn new(
        specs: &'a [OutputSpec],
        run: &'a str,
        services: &'a Services,
        reader: &dyn Reader,
        opened_at: Position,
    ) -> Self {
        Self {
            specs,
            run,
            services,
            bounded: reader.bounded(),
            schemas: reader
                .tables()
                .into_iter()
                .map(|t| (t.table, t.schema))
                .collect(),
            coming: HashMap::new(),
            open: specs.iter().map(|_| None).collect(),
            generations: specs.iter().map(|spec| spec.generation).collect(),
            done: specs.iter().map(|_| None).collect(),
            reached: opened_at,
            rows_since: 0,
            committed_at_us: services.clock.monotonic_us(),
        }
    }

    async fn run(
        &mut self,
        intake: &mut Intake,
        reader: &mut dyn Reader,
        cadence: Cadence,
        cancel: &CancellationToken,
    ) -> Result<()> {
        loop {
            if self.is_due(cadence) {
                intake.align();
            }
            let taken = tokio::select! {
                biased;
                () = cancel.cancelled() => return self.cancelled(reader).await,
                taken = intake.take() => taken?,
            };
            match taken {
                Taken::Event(split, Event::Schema(new)) => {
                    if self.new_schema(&split, new, intake)? {
                        intake.align();
                    }
                }
                Taken::Event(split, event) => self.event(&split, event).await?,
                Taken::Aligned => {
                    self.commit_all(reader).await?;
                    self.schemas.extend(self.coming.drain());
                    intake.release();
                }
                Taken::Revoked(split) => return Err(revoked(&split)),
                Taken::Done(closing) => {
                    self.reached.merge(closing);
                    return self.commit_all(reader).await;
                }
            }
            if self.is_stopped() {
                return Ok(());
            }
        }
    }

    fn is_due(&self, cadence: Cadence) -> bool {
        if self.bounded || self.rows_since == 0 {
            return false;
        }
        let waited_us = self
            .services
            .clock
            .monotonic_us()
            .saturating_sub(self.committed_at_us);
        self.rows_since >= cadence.rows || waited_us >= cadence.interval_us
    }

    /// No use in reading on: every table of a bounded read was stopped by its data, or one of an
    /// endless read, whose next position would hide what that table did not take.
    fn is_stopped(&self) -> bool {
        let stopped =
            |done: &Option<OutputSummary>| done.as_ref().is_some_and(|s| s.stopped.is_some());
        match self.bounded {
            true => self.done.iter().all(stopped),
            false => self.done.iter().any(stopped),
        }
    }

    fn any_stopped(&self) -> bool {
        self.done
            .iter()
            .flatten()
            .any(|summary| summary.stopped.is_some())
    }

    async fn event(&mut self, split: &SplitId, event: Event) -> Result<()> {
        match event {
            Event::Rows(rows) => {
                fail::fail_point!("flow::rows");
                let bytes = rows.batch.get_array_memory_size() as u64;
                self.services.progress.read(rows.len() as u64, bytes);
                self.rows_since += rows.len() as u64;
                let table = rows.table.clone();
                self.hand_over(split, &table, Handed::Rows(rows)).await
            }
            Event::Rejects(rejects) => {
                let Some(first) = rejects.first() else {
                    return Ok(());
                };
                self.rows_since += rejects.len() as u64;
                let table = first.table.clone();
                self.hand_over(split, &table, Handed::Rejects(rejects))
                    .await
            }
            Event::Schema(_) | Event::Watermark { .. } | Event::End => Ok(()),
            Event::Truncate(table) => Err(truncated(&table)),
            Event::Boundary(mark) => {
                self.boundary(split, mark);
                Ok(())
            }
        }
    }

    fn boundary(&mut self, split: &SplitId, mark: Mark) {
        self.reached.advance(split, mark);
    }

    async fn hand_over(
        &mut self,
        split: &SplitId,
        table: &TableName,
        handed: Handed,
    ) -> Result<()> {
        let index = self.index_of(table)?;
        if self.is_held_already(index, split)
            || self
                .done
                .get(index)
                .is_some_and(|d| d.is_some() && self.bounded)
        {
            return Ok(());
        }
        self.ensure_open(index).await?;
        let (Some(spec), Some(Some(output)), Some(&generation)) = (
            self.specs.get(index),
            self.open.get_mut(index),
            self.generations.get(index),
        ) else {
            return Ok(());
        };
        let context = Context {
            spec,
            generation,
            run: self.run,
            services: self.services,
        };
        let handed = match handed {
            Handed::Rows(rows) => output.rows(rows, &context).await,
            Handed::Rejects(rejects) => output.rejects(rejects, &context).await,
        };
        match handed {
            Err(failure) if failure.remedy == Remedy::FixData => self.stop(index, failure).await,
            other => other,
        }
    }

    /// True for rows that this table's destination holds from an earlier commit: several tables of one
    /// reader commit one after the other, so a crash can leave some ahead of others.
    fn is_held_already(&self, index: usize, split: &SplitId) -> bool {
        let Some(spec) = self.specs.get(index) else {
            return false;
        };
        match (spec.committed.mark(split), self.reached.mark(split)) {
            (Some(committed), Some(reached)) => reached.order < committed.order,
            (Some(_), None) => self.specs.len() > 1,
            (None, _) => false,
        }
    }

    fn index_of(&self, table: &TableName) -> Result<usize> {
        self.specs
            .iter()
            .position(|spec| spec.source_table == *table)
            .ok_or_else(|| {
                Failure::new(
                    "R0605",
                    Remedy::Bug,
                    format!("the source gave rows for `{table}`, which nobody asked for"),
                )
            })
    }

    async fn ensure_open(&mut self, index: usize) -> Result<()> {
        let (Some(spec), Some(slot), Some(&generation)) = (
            self.specs.get(index),
            self.open.get_mut(index),
            self.generations.get(index),
        ) else {
            return Ok(());
        };
        if slot.is_none() {
            let schema = self.schemas.get(&spec.source_table).ok_or_else(|| {
                Failure::new(
                    "R0606",
                    Remedy::Bug,
                    format!("the source told no columns for `{}`", spec.source_table),
                )
            })?;
            *slot = Some(Output::open(spec, generation, schema, self.run, self.services).await?);
        }
        Ok(())
    }

    /// New columns begin a new write: true when all splits are to come to a boundary first, so that
    /// what is committed ends where each split stands. Sources tell them right behind a boundary.
    fn new_schema(&mut self, split: &SplitId, new: TableSchema, intake: &Intake) -> Result<bool> {
        let TableSchema { table, schema } = new;
        self.index_of(&table)?;
        let known = self.coming.get(&table).or_else(|| self.schemas.get(&table));
        if known.is_some_and(|known| *known == schema) {
            return Ok(false);
        }
        if self.bounded {
            let message = format!("the columns of `{table}` changed while it was read");
            return Err(Failure::new("R0625", Remedy::Retry, message));
        }
        if !intake.stands(split) {
            let message = format!("new columns of `{table}` came in the middle of its rows");
            return Err(Failure::new("R0628", Remedy::Bug, message).help(
                "nothing since the last commit is visible; run again, and please report this",
            ));
        }
        self.coming.insert(table, schema);
        Ok(true)
    }

    async fn stop(&mut self, index: usize, failure: Failure) -> Result<()> {
        if let Some(output) = self.open.get_mut(index).and_then(Option::take) {
            let summary = output.stop(failure).await?;
            self.record(index, summary);
        }
        Ok(())
    }

    async fn commit_all(&mut self, reader: &mut dyn Reader) -> Result<()> {
        for index in 0..self.specs.len() {
            if self.bounded && self.done.get(index).is_some_and(Option::is_none) {
                // An empty table is a table too.
                self.ensure_open(index).await?;
            }
            self.commit_one(index).await?;
        }
        if self.any_stopped() {
            // What a stopped table did not take must stay at the source.
            return Ok(());
        }
        reader.committed(&self.reached).await?;
        self.rows_since = 0;
        self.committed_at_us = self.services.clock.monotonic_us();
        Ok(())
    }

    async fn commit_one(&mut self, index: usize) -> Result<()> {
        let Some(output) = self.open.get_mut(index).and_then(Option::take) else {
            return Ok(());
        };
        let (Some(spec), Some(generation)) =
            (self.specs.get(index), self.generations.get_mut(index))
        else {
            return Ok(());
        };
        let context = Context {
            spec,
            generation: *generation,
            run: self.run,
            services: self.services,
        };
        let summary = output.commit(&self.reached, &context).await?;
        *generation = generation.next();
        self.record(index, summary);
        Ok(())
    }

    fn record(&mut self, index: usize, summary: OutputSummary) {
        if let Some(slot) = self.done.get_mut(index) {
            *slot = Some(match slot.take() {
                None => summary,
                Some(before) => before.then(summary),
            });
        }
    }

    async fn cancelled(&mut self, reader: &mut dyn Reader) -> Result<()> {
        if self.bounded {
            return Err(
                Failure::new("R0607", Remedy::Cancelled, "stopped by the user")
                    .help("nothing of this load is visible; run again to go on"),
            );
        }
        // What stands behind the last boundary is read again next time.
        let _ = reader;
        self.abandon().await;
        Ok(())
    }

    async fn abandon(&mut self) {
        for output in self.open.iter_mut().filter_map(Option::take) {
            if let Err(failure) = output.abandon().await {
                tracing::warn!(
                    code = failure.code,
                    "cleaning up after a stopped load: {failure}"
                );
            }
        }
    }

    fn finish(self, notes: Vec<String>) -> TransferSummary {
        let outputs = self.done.into_iter().flatten().map(|mut summary| {
            summary.notes.extend(notes.iter().cloned());
            summary
        });
        TransferSummary {
            outputs: outputs.collect(),
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "one at a time, moved once")]
enum Handed {
    Rows(towpath_ports::Rows),
    Rejects(Vec<towpath_vocab::Reject>),
}

fn revoked(split: &SplitId) -> Failure {
    Failure::new(
        "R0608",
        Remedy::Retry,
        format!("split `{}` was taken over by another reader", split.0),
    )
    .help("the read goes on from the last commit")
}

fn truncated(table: &TableName) -> Failure {
    Failure::new(
        "R0609",
        Remedy::Refused,
        format!("`{table}` was truncated at the source: not active in this version"),
    )
    .help("load it anew: towpath run --full-refresh")
}
