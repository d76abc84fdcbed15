//! A replay: the waiting records pass transformation, rules and checks again, each once.
//!
//! Promise: records that pass are committed by key (as new versions in a table with history), or appended
//! if the table has no key, but none over a newer row with its key (`newer_rows.rs`). The annotations of the commit name the records that were loaded and
//! those that were rejected again, so if a replay dies before it could set the status
//! of its records, the next one only sets it. A replay in which no record passes makes no version of the
//! table. The caller has locked the pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use towpath_flow::{
    CommitCadence, OutputSpec, OutputSummary, RecordSeal, SkipCommit, Transfer, TransferServices,
    quarantine_table, run_transfer,
};
use towpath_ports::{Checkpoint, Reader, Result};
use towpath_vocab::{
    AbsentRows, Annotations, BadRows, Failure, Generation, Position, Remedy, RowHistoryPlan,
    SchemaPolicy, TableName, TablePlan, TaskKey, TaskKind, WriteMode,
};

use crate::QuarantinePorts;
use crate::admission::{LetIn, SeenKeys};
use crate::after_restore::standing_replays;
use crate::decide::{ReplayedRecords, statuses_due};
use crate::newer_rows::OlderRowFilter;
use crate::reader::ReplayReader;
use crate::records::{Change, Owner, Record, set_statuses, waiting_records, withheld};
use crate::replay_note::{
    RecordingDestination, RejectCollector, replay_position, replay_with_statuses, taken,
};
use crate::waiting::OUTDATED;

/// Records per commit.
const RECORDS: u64 = 50_000;

/// The report of a replay.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayReport {
    /// The table.
    pub table: TableName,
    /// Records that passed and are in the table now.
    pub replayed: u64,
    /// Those that were rejected again.
    pub still_held: u64,
    /// Those of `still_held` whose text was not stored, so they cannot be replayed.
    pub withheld: u64,
    /// Those that were left out permanently: the table has a newer row with their key.
    pub outdated: u64,
    /// The present version of the table.
    pub now_at: Option<String>,
    /// Why the table was not committed, if it was not.
    pub stopped: Option<Failure>,
}

/// Reads records again with their source; the ordinals of rows and rejects are positions in the list.
pub type ReadAgain<'a> =
    dyn Fn(Arc<Vec<Record>>) -> BoxFuture<'a, Result<Box<dyn Reader>>> + Send + Sync + 'a;

/// A replay of one load's records. The caller has locked the pipeline.
pub struct Replay<'a> {
    ports: &'a QuarantinePorts,
    services: TransferServices,
    owner: &'a Owner<'a>,
    run: String,
    read_again: Box<ReadAgain<'a>>,
    /// Keys of loaded records.
    seen: SeenKeys,
}

impl<'a> Replay<'a> {
    /// A replay in this run; `services` are those of its transfers.
    pub fn new(
        ports: &'a QuarantinePorts,
        services: TransferServices,
        owner: &'a Owner<'a>,
        run: String,
        read_again: Box<ReadAgain<'a>>,
    ) -> Self {
        Self {
            ports,
            services,
            owner,
            run,
            read_again,
            seen: SeenKeys::default(),
        }
    }
}

/// A snapshot is one whole read.
fn no_part_of_a_snapshot(table: &TableName) -> Failure {
    let message = format!("`{table}` keeps whole snapshots, and a replayed record belongs to none");
    Failure::new("R0449", Remedy::Refused, message)
        .help("run again: the next snapshot reads the record anew")
        .help(format!("or give it up: towpath quarantine discard {table}"))
}

impl Replay<'_> {
    fn key(&self) -> TaskKey {
        self.owner.key(TaskKind::Replay)
    }

    /// Replays all waiting records.
    ///
    /// # Errors
    /// Those of the lakehouse and the source.
    pub async fn all(&self) -> Result<ReplayReport> {
        if self.owner.load.table.write.mode == WriteMode::Snapshot {
            return Err(no_part_of_a_snapshot(self.owner.table()));
        }
        if !self.owner.load.table.write.key.is_empty() {
            let of = self.owner.generation(self.ports).await?.0;
            for earlier in standing_replays(self.ports, &self.key()).await? {
                if earlier.of == of {
                    self.seen.remember(earlier.keys);
                }
            }
        }
        Box::pin(self.by_batch()).await
    }

    async fn by_batch(&self) -> Result<ReplayReport> {
        let (replayed, outdated) = self.finish_earlier().await?;
        let withheld = withheld(self.ports, self.owner).await?;
        let mut report = ReplayReport {
            withheld,
            table: self.owner.table().clone(),
            replayed,
            outdated,
            still_held: 0,
            now_at: None,
            stopped: None,
        };
        loop {
            let records =
                waiting_records(self.ports, self.owner, report.still_held, RECORDS).await?;
            if records.is_empty() {
                report.still_held += withheld;
                return Ok(report);
            }
            let count = records.len() as u64;
            let (summary, left_out) = self.write_table(records).await?;
            if summary.stopped.is_some() {
                report.stopped = summary.stopped;
                report.still_held += count + withheld;
                return Ok(report);
            }
            let (passed, outdated) = match summary.receipt {
                Some(receipt) => {
                    report.now_at = Some(receipt.committed.version);
                    self.finish_earlier().await?
                }
                // No row passed: the table stays at its version.
                None => (0, self.give_up(&left_out).await?),
            };
            report.replayed += passed;
            report.outdated += outdated;
            report.still_held += count - passed - outdated;
        }
    }

    /// Sets the status of the records of the last committed replay, unless that was done, or the load has replaced the
    /// table since and decided about them again. Returns how many passed, and how many were left out.
    async fn finish_earlier(&self) -> Result<(u64, u64)> {
        let Some(last) = self
            .ports
            .lake
            .last(&self.key(), self.owner.table())
            .await?
        else {
            return Ok((0, 0));
        };
        let Some((generation, taken)) = taken(&last)? else {
            return Ok((0, 0));
        };
        let task = self.owner.key(TaskKind::ReplayStatus);
        let quarantine = quarantine_table(self.owner.table());
        let status_task = TaskKey {
            table: quarantine.clone(),
            ..task.clone()
        };
        let last_with_statuses = self.ports.lake.last(&status_task, &quarantine).await?;
        let decided_anew = match self.owner.load.table.write.mode {
            WriteMode::Replace => self.owner.generation(self.ports).await?.0 != taken.of,
            _ => false,
        };
        let last_with_statuses = last_with_statuses.as_ref().and_then(replay_with_statuses);
        let Some(due) = statuses_due(generation, &taken, last_with_statuses, decided_anew) else {
            return Ok((0, 0));
        };
        let counts = (due.replayed.len() as u64, due.outdated.len() as u64);
        if counts != (0, 0) {
            let changes = vec![
                Change::of(&due.replayed, "replayed"),
                Change::of(&due.outdated, OUTDATED),
            ];
            set_statuses(self.ports, &task, changes, replay_position(generation)).await?;
        }
        Ok(counts)
    }

    /// Sets the status of records that no commit of a replay names, because none of its records became a
    /// row: those that are older than the row with their key. A replay that dies before this decides again.
    async fn give_up(&self, outdated: &BTreeSet<String>) -> Result<u64> {
        if outdated.is_empty() {
            return Ok(0);
        }
        let quarantine = quarantine_table(self.owner.table());
        let task = self.owner.key(TaskKind::ReplayStatus);
        let status_task = TaskKey {
            table: quarantine.clone(),
            ..task.clone()
        };
        let last = self.ports.lake.last(&status_task, &quarantine).await?;
        // It stays the position of the last replay with a commit.
        let position = last.map_or_else(Position::default, |last| last.token.position);
        let changes = vec![Change::of(outdated, OUTDATED)];
        set_statuses(self.ports, &task, changes, position).await?;
        Ok(outdated.len() as u64)
    }

    /// Writes the records that pass. Returns the ids of those that were left out, too.
    async fn write_table(&self, records: Vec<Record>) -> Result<(OutputSummary, BTreeSet<String>)> {
        let table = self.owner.table();
        let last = self.ports.lake.last(&self.key(), table).await?;
        let after = last.map_or(Generation(0), |last| last.token.generation);
        let plan = self.plan();
        let failed = RejectCollector::of(self.ids_now(&records).await?);
        let taken = ReplayedRecords {
            of: self.owner.generation(self.ports).await?.0,
            ids: records.iter().map(|record| record.id.clone()).collect(),
            failed: BTreeSet::new(),
            outdated: BTreeSet::new(),
            keys: LetIn::default(),
            back_to: None,
        };
        let records = Arc::new(records);
        let inner = (self.read_again)(Arc::clone(&records)).await?;
        let newer = OlderRowFilter::of(self.ports, self.owner, &records, &self.seen)
            .await?
            .map(Arc::new);
        let output = OutputSpec {
            source_table: table.clone(),
            task: self.key(),
            plan,
            generation: after.next(),
            after: Some(after),
            destination: Arc::new(RecordingDestination {
                inner: Arc::clone(&self.ports.lake) as _,
                taken,
                failed: failed.clone(),
                newer: newer.clone(),
            }),
            quarantine: Arc::new(failed),
            committed: Position::default(),
            fingerprint: None,
            annotations: Annotations::default(),
            checkpoint: Checkpoint::default(),
            operators: newer
                .clone()
                .map(OlderRowFilter::operator)
                .into_iter()
                .collect(),
            rows_before: None,
            skip: SkipCommit::NoRows,
        };
        let transfer = Transfer {
            reader: Box::new(ReplayReader { inner, records }),
            opened_at: Position::default(),
            outputs: vec![output],
            run: self.run.clone(),
            cadence: CommitCadence::default(),
            commits: None,
            cancel: CancellationToken::new(),
        };
        let summary = run_transfer(transfer, &self.services).await?;
        let left_out = newer.map(|newer| newer.admitted().left_out);
        let written = summary.outputs.into_iter().next();
        written
            .map(|written| (written, left_out.unwrap_or_default()))
            .ok_or_else(|| Failure::new("R0972", Remedy::Bug, "the replay ended without a result"))
    }

    /// How the records are written.
    fn plan(&self) -> TablePlan {
        let mut plan = self.owner.load.table.clone();
        plan.write.mode = match (plan.write.key.is_empty(), plan.write.mode) {
            (true, _) => WriteMode::Append,
            (false, WriteMode::Scd2) => WriteMode::Scd2,
            (false, _) => WriteMode::Merge,
        };
        // The records are some of the source's rows: nothing is gone because it is not among them.
        RowHistoryPlan::change(&mut plan.write, |history| history.closes_absent = false);
        AbsentRows::clear(&mut plan.write);
        SchemaPolicy::allow_absent(&mut plan.write);
        plan.bad_rows = BadRows::Quarantine;
        plan.fail_above.percent = Some(100.0);
        plan.fail_above.rows = None;
        plan
    }

    /// The id that each record would get now, with the id under which it waits.
    async fn ids_now(&self, records: &[Record]) -> Result<BTreeMap<String, String>> {
        let seal = RecordSeal::of(&self.owner.load.table, self.ports.secrets.as_ref()).await?;
        let task = TaskKey {
            table: quarantine_table(self.owner.table()),
            ..self.key()
        };
        let ids = records.iter().map(|record| {
            let now = seal.id(&task, &record.place, &record.raw)?;
            Ok((now, record.id.clone()))
        });
        ids.collect()
    }
}
