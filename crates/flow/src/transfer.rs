//! The loop: takes events from a reader, gives them to their tables, commits at boundaries.
//!
//! Promise: bounded and endless reads use this loop. A bounded read commits once, at its end. An endless
//! read commits when its cadence is due and every split is at a boundary. The loop wakes for data, for the
//! commit interval (so a quiet stream commits its last rows), for a revoked split (its uncommitted rows are
//! dropped), and for a cancel (complete rows are committed). It does not know how a table is written. Read
//! next: `split_merger.rs`, `tables.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towpath_ports::{Event, Reader, Result};
use towpath_vocab::{Failure, Position, Remedy, SplitId, TableName};

use crate::chain::FlushReason;
use crate::commit_observer::CommitObserver;
use crate::output_spec::OutputSpec;
use crate::services::TransferServices;
use crate::split_merger::{NextEvent, SplitMerger};
use crate::summary::TransferSummary;
use crate::tables::{TableInput, Tables};
use crate::watermarks::Watermarks;

/// How long a cancelled endless read waits for its splits to reach a boundary.
const GRACE_US: u64 = 5_000_000;

/// How often an endless read commits: when one of these limits is reached and there is something to commit.
#[derive(Clone, Copy, Debug)]
pub struct CommitCadence {
    /// Rows since the last commit.
    pub rows: u64,
    /// Microseconds since the first event that is not committed.
    pub interval_us: u64,
}

impl Default for CommitCadence {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            interval_us: 30_000_000,
        }
    }
}

/// One read, and the tables that it writes.
pub struct Transfer {
    /// The open reader.
    pub reader: Box<dyn Reader>,
    /// The position at which it was opened.
    pub opened_at: Position,
    /// The tables that it writes.
    pub outputs: Vec<OutputSpec>,
    /// The run, for the history of tables: `shop#212`.
    pub run: String,
    /// For endless reads.
    pub cadence: CommitCadence,
    /// Is called for every commit when it happens.
    pub commits: Option<Arc<dyn CommitObserver>>,
    /// Stops the read: a bounded one leaves nothing, an endless one commits what is complete.
    pub cancel: CancellationToken,
}

/// Moves rows until the reader ends, the user stops it, or data stops a table.
///
/// # Errors
/// Those of all ports; then nothing since the last commit is visible. If data stops a table, that is not an
/// error but is in the summary of the table.
pub async fn run_transfer(
    transfer: Transfer,
    services: &TransferServices,
) -> Result<TransferSummary> {
    let Transfer {
        mut reader,
        opened_at,
        outputs,
        run,
        cadence,
        commits,
        cancel,
    } = transfer;
    let intake = SplitMerger::new(reader.splits());
    let tables = Tables::new(
        &outputs,
        (&run, &cancel),
        services,
        commits,
        reader.as_ref(),
    );
    let mut running = Running {
        bounded: reader.bounded(),
        services,
        cadence,
        reader: reader.as_mut(),
        intake,
        tables,
        watermarks: Watermarks::default(),
        committed: opened_at.clone(),
        reached: opened_at,
        waiting: None,
        stops_at_us: None,
    };
    let result = running.run(&cancel).await;
    if result.is_err() {
        running.tables.abandon().await;
    }
    let Running { tables, intake, .. } = running;
    drop(intake);
    result.map(|()| tables.finish(reader.notes()))
}

struct Running<'a, 'r> {
    bounded: bool,
    services: &'a TransferServices,
    cadence: CommitCadence,
    reader: &'r mut dyn Reader,
    intake: SplitMerger,
    tables: Tables<'a>,
    watermarks: Watermarks,
    /// The last boundary of each split.
    reached: Position,
    /// The position of each split at the last commit.
    committed: Position,
    /// Events that are not committed yet, if there are any.
    waiting: Option<Waiting>,
    /// When a cancelled read ends, whether or not its splits have reached a boundary.
    stops_at_us: Option<u64>,
}

/// Events that are not committed yet.
#[derive(Clone, Copy)]
struct Waiting {
    rows: u64,
    /// The time of the first one.
    since_us: u64,
}

/// Why the loop woke.
#[expect(clippy::large_enum_variant, reason = "one at a time, moved once")]
enum WakeReason {
    NextEvent(NextEvent),
    Cancelled,
    Timer,
}

impl Running<'_, '_> {
    async fn run(&mut self, cancel: &CancellationToken) -> Result<()> {
        loop {
            if self.is_due() {
                self.intake.align();
            }
            let goes_on = match self.woken(cancel).await? {
                WakeReason::NextEvent(taken) => self.taken(taken).await?,
                WakeReason::Cancelled => self.cancelled()?,
                WakeReason::Timer => !self.is_late().await,
            };
            if !goes_on || self.tables.is_stopped() {
                return Ok(());
            }
        }
    }

    async fn woken(&mut self, cancel: &CancellationToken) -> Result<WakeReason> {
        let timer = self.timer();
        let clock = Arc::clone(&self.services.clock);
        let sleep = async {
            match timer {
                Some(duration) => clock.sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        let is_running = self.stops_at_us.is_none();
        tokio::select! {
            biased;
            () = cancel.cancelled(), if is_running => Ok(WakeReason::Cancelled),
            taken = self.intake.take() => taken.map(WakeReason::NextEvent),
            () = sleep => Ok(WakeReason::Timer),
        }
    }

    /// How long until the loop must check the clock; `None` if only events matter.
    fn timer(&self) -> Option<Duration> {
        let now_us = self.services.clock.monotonic_us();
        let due_us = match (self.stops_at_us, self.waiting) {
            (Some(stops_at_us), _) => stops_at_us,
            // Splits that are aligning commit when they have reached their boundary.
            (None, Some(waiting)) if !self.bounded && !self.intake.is_aligning() => {
                waiting.since_us.saturating_add(self.cadence.interval_us)
            }
            _ => return None,
        };
        Some(Duration::from_micros(due_us.saturating_sub(now_us)))
    }

    fn is_due(&self) -> bool {
        let Some(waiting) = self.waiting.filter(|_| !self.bounded) else {
            return false;
        };
        let now_us = self.services.clock.monotonic_us();
        waiting.rows >= self.cadence.rows
            || now_us.saturating_sub(waiting.since_us) >= self.cadence.interval_us
    }

    /// True if a cancelled read has waited long enough; what is not committed is read again next time.
    async fn is_late(&mut self) -> bool {
        let now_us = self.services.clock.monotonic_us();
        if self
            .stops_at_us
            .is_none_or(|stops_at_us| now_us < stops_at_us)
        {
            return false;
        }
        tracing::info!(
            "stopped between two boundaries: rows that are not committed are read again"
        );
        self.tables.abandon().await;
        true
    }

    /// False if the transfer ends.
    async fn taken(&mut self, taken: NextEvent) -> Result<bool> {
        match taken {
            NextEvent::Event(split, event) => self.event(&split, event).await?,
            NextEvent::Aligned => {
                self.commit(FlushReason::Commit).await?;
                self.intake.release();
                return Ok(self.stops_at_us.is_none());
            }
            NextEvent::Revoked { split, at_boundary } => {
                self.revoked(&split, at_boundary).await?;
                return Ok(self.stops_at_us.is_none() || self.waiting.is_some());
            }
            NextEvent::Done(closing) => {
                self.reached.merge(closing);
                self.commit(FlushReason::End).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn event(&mut self, split: &SplitId, event: Event) -> Result<()> {
        match event {
            Event::Rows(rows) => {
                fail::fail_point!("flow::rows");
                let bytes = rows.batch.get_array_memory_size() as u64;
                let count = rows.len() as u64;
                self.services.progress.read(count, bytes);
                let table = rows.table.clone();
                self.hand_over(split, &table, count, TableInput::Rows(rows))
                    .await
            }
            Event::Rejects(rejects) => {
                let Some(first) = rejects.first() else {
                    return Ok(());
                };
                let (table, count) = (first.table.clone(), rejects.len() as u64);
                self.hand_over(split, &table, count, TableInput::Rejects(rejects))
                    .await
            }
            Event::Truncate(table) => self.hand_over(split, &table, 1, TableInput::Truncate).await,
            Event::Watermark {
                table,
                event_time_us,
            } => {
                let live = self.intake.splits();
                let moved = self.watermarks.advance(&table, split, event_time_us, live);
                let Some(event_time_us) = moved else {
                    return Ok(());
                };
                let handed = TableInput::Watermark(event_time_us);
                let reached = &self.reached;
                self.tables.hand_over(split, &table, handed, reached).await
            }
            Event::Schema(new) => {
                let at_boundary = self.intake.at_boundary(split);
                if self.tables.new_schema(new, at_boundary)? {
                    self.intake.align();
                }
                Ok(())
            }
            Event::Boundary(position) => {
                self.reached.advance(split, position);
                Ok(())
            }
            Event::End => Ok(()),
        }
    }

    async fn hand_over(
        &mut self,
        split: &SplitId,
        table: &TableName,
        rows: u64,
        handed: TableInput,
    ) -> Result<()> {
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            rows: 0,
            since_us: self.services.clock.monotonic_us(),
        });
        waiting.rows += rows;
        let reached = &self.reached;
        self.tables.hand_over(split, table, handed, reached).await
    }

    async fn commit(&mut self, why: FlushReason) -> Result<()> {
        let is_moved = is_moved(&self.committed, &self.reached);
        let is_committed = self.tables.commit_all(&self.reached, is_moved, why).await?;
        if !is_committed || self.tables.any_stopped() {
            // Rows that a stopped table did not commit must stay at the source, and no position is
            // confirmed that is not stored anywhere.
            return Ok(());
        }
        self.reader.committed(&self.reached).await?;
        self.committed = self.reached.clone();
        self.waiting = None;
        Ok(())
    }

    /// A split was assigned to another reader. Its rows since the last commit are in the open writes
    /// together with rows of other splits, so these writes are dropped, and the other splits are read again
    /// from the last commit.
    async fn revoked(&mut self, split: &SplitId, at_boundary: bool) -> Result<()> {
        let is_committed = self.reached.get(split) == self.committed.get(split);
        if self.waiting.is_none() || (at_boundary && is_committed) {
            return Ok(());
        }
        if self.bounded {
            return Err(taken_over(split));
        }
        self.tables.abandon().await;
        self.watermarks.reset();
        self.reached = self.committed.clone();
        self.waiting = None;
        match self.reader.rewind(&self.committed).await? {
            Some(assignments) => {
                self.intake.restart(assignments);
                Ok(())
            }
            None => Err(taken_over(split)),
        }
    }

    /// False if the transfer ends at once.
    fn cancelled(&mut self) -> Result<bool> {
        if self.bounded {
            return Err(
                Failure::new("R0607", Remedy::Cancelled, "stopped by the user")
                    .help("nothing of this load is visible; run again to continue"),
            );
        }
        let now_us = self.services.clock.monotonic_us();
        self.stops_at_us = Some(now_us.saturating_add(GRACE_US));
        self.intake.align();
        Ok(self.waiting.is_some())
    }
}

/// True if a read from `now` would differ from a read from `before`. Each read numbers its positions again,
/// so only `resume` is compared.
fn is_moved(before: &Position, now: &Position) -> bool {
    now.splits().any(|(split, position)| {
        let present = before.get(split);
        present.is_none_or(|present| present.resume != position.resume)
    })
}

fn taken_over(split: &SplitId) -> Failure {
    Failure::new(
        "R0608",
        Remedy::Retry,
        format!("split `{}` was taken over by another process", split.0),
    )
    .help("the read continues from the last commit")
}
