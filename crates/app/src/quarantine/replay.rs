//! A replay: waiting records through transform, rules and audit again, each once.
//!
//! Those that pass are committed by key, or appended without one, but none over a newer row of its
//! key (`newer.rs`). The commit's annotations name the
//! records it took and those that failed again, so a replay that died before it could mark them is
//! finished, not repeated. The pipeline is held meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use towpath_flow::{
    Cadence, OutputSpec, OutputSummary, Progress, RecordSeal, Transfer, quarantine_table,
    run_transfer,
};
use towpath_ports::{Checkpoint, Destination, Reader, RunKind};
use towpath_vocab::{
    Annotations, BadRows, Failure, Generation, Plan, Position, RawRecord, Remedy, Selection,
    TableName, TaskKey, TaskKind, WriteMode,
};

use super::held_again::standing_replays;
use super::newer::{LetIn, Newer, SeenKeys};
use super::noting::{Failed, Noting, Taken, is_marked, marked, taken};
use super::reader::ReplayReader;
use super::records::{Change, Owner, Record, mark, need_quarantine, waiting_records, withheld};
use super::standing::OUTDATED;
use super::typed::TypedReader;
use crate::Result;
use crate::facts::outside_key;
use crate::pipeline_lock::lock_pipeline;
use crate::services::{ProjectServices, spec_of};
use crate::work::{load_spec, observed};

/// Records per commit.
const RECORDS: u64 = 50_000;

/// What a replay did.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayReport {
    /// The table.
    pub table: TableName,
    /// Records that passed and are in the table now.
    pub replayed: u64,
    /// Those that were rejected again.
    pub still_held: u64,
    /// Those of `still_held` whose text was not kept: they cannot be replayed.
    pub withheld: u64,
    /// Those that were left out for good: the table holds a newer row of their key.
    pub outdated: u64,
    /// The table's version now.
    pub now_at: Option<String>,
    /// Why the table was not committed, if it was not.
    pub stopped: Option<Failure>,
}

/// Replays the waiting rows of a table.
///
/// # Errors
/// `FixConfig` when no load of the project writes this table, `Refused` while its pipeline runs.
pub async fn quarantine_replay(
    services: &ProjectServices,
    plan: &Plan,
    table: &TableName,
) -> Result<ReplayReport> {
    need_quarantine(services, table).await?;
    let owner = Owner::of(plan, table)?;
    let held = lock_pipeline(
        services,
        &plan.environment,
        owner.pipeline,
        RunKind::Replay,
        &format!("replay {table}"),
    )
    .await?;
    let replay = Replay {
        services,
        owner,
        run: held.run.to_string(),
        seen: SeenKeys::default(),
    };
    let report = held.during(Box::pin(replay.begin())).await;
    let ended_well = report.as_ref().is_ok_and(|report| report.stopped.is_none());
    held.release(ended_well).await?;
    services.close_quarantine();
    report
}

struct Replay<'a> {
    services: &'a ProjectServices,
    owner: Owner<'a>,
    run: String,
    /// Keys that went in.
    seen: SeenKeys,
}

impl Replay<'_> {
    fn key(&self) -> TaskKey {
        self.owner.key(TaskKind::Replay)
    }

    async fn begin(&self) -> Result<ReplayReport> {
        if !self.owner.load.table.write.key.is_empty() {
            let of = self.owner.generation(self.services).await?.0;
            for earlier in standing_replays(self.services, &self.key()).await? {
                if earlier.of == of {
                    self.seen.remember(earlier.keys);
                }
            }
        }
        self.all().await
    }

    async fn all(&self) -> Result<ReplayReport> {
        let (replayed, outdated) = self.finish_earlier().await?;
        let withheld = withheld(self.services, &self.owner).await?;
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
                waiting_records(self.services, &self.owner, report.still_held, RECORDS).await?;
            if records.is_empty() {
                report.still_held += withheld;
                return Ok(report);
            }
            let count = records.len() as u64;
            let summary = self.write_table(records).await?;
            if summary.stopped.is_some() {
                report.stopped = summary.stopped;
                report.still_held += count + withheld;
                return Ok(report);
            }
            report.now_at = summary.receipt.map(|receipt| receipt.committed.version);
            let (passed, outdated) = self.finish_earlier().await?;
            report.replayed += passed;
            report.outdated += outdated;
            report.still_held += count - passed - outdated;
        }
    }

    /// Marks the records that the last committed replay took, unless that was done, or the load has
    /// replaced the table since and decided about them anew. How many passed, and were left out.
    async fn finish_earlier(&self) -> Result<(u64, u64)> {
        let Some(last) = self
            .services
            .lake
            .last(&self.key(), self.owner.table())
            .await?
        else {
            return Ok((0, 0));
        };
        let Some((generation, taken)) = taken(&last)? else {
            return Ok((0, 0));
        };
        let task = self.owner.key(TaskKind::ReplayMark);
        let quarantine = quarantine_table(self.owner.table());
        let marking = TaskKey {
            table: quarantine.clone(),
            ..task.clone()
        };
        let mark_held = self.services.lake.last(&marking, &quarantine).await?;
        if mark_held.is_some_and(|mark| is_marked(&mark, generation)) {
            return Ok((0, 0));
        }
        let replaces = self.owner.load.table.write.mode == WriteMode::Replace;
        if replaces && self.owner.generation(self.services).await?.0 != taken.of {
            return Ok((0, 0));
        }
        let passed = taken.passed();
        if !passed.is_empty() || !taken.outdated.is_empty() {
            let changes = vec![
                Change::of(&passed, "replayed"),
                Change::of(&taken.outdated, OUTDATED),
            ];
            mark(self.services, &task, changes, marked(generation)).await?;
        }
        Ok((passed.len() as u64, taken.outdated.len() as u64))
    }

    async fn write_table(&self, records: Vec<Record>) -> Result<OutputSummary> {
        let inner = self.reader(&records).await?;
        let table = self.owner.table();
        let last = self.services.lake.last(&self.key(), table).await?;
        let after = last.map_or(Generation(0), |last| last.token.generation);
        let mut plan = self.owner.load.table.clone();
        plan.write.mode = match plan.write.key.is_empty() {
            true => WriteMode::Append,
            false => WriteMode::Merge,
        };
        plan.bad_rows = BadRows::Quarantine;
        plan.fail_above.percent = Some(100.0);
        plan.fail_above.rows = None;
        let failed = Failed::of(self.ids_now(&records).await?);
        let taken = Taken {
            of: self.owner.generation(self.services).await?.0,
            ids: records.iter().map(|record| record.id.clone()).collect(),
            failed: BTreeSet::new(),
            outdated: BTreeSet::new(),
            keys: LetIn::default(),
            back_to: None,
        };
        let records = Arc::new(records);
        let newer = Newer::of(self.services, &self.owner, &records, &self.seen)
            .await?
            .map(Arc::new);
        let output = OutputSpec {
            source_table: table.clone(),
            task: self.key(),
            plan,
            generation: after.next(),
            after: Some(after),
            destination: Arc::new(Noting {
                inner: Arc::clone(&self.services.lake) as _,
                taken,
                failed: failed.clone(),
                newer: newer.clone(),
            }),
            quarantine: Arc::new(failed),
            committed: Position::default(),
            fingerprint: None,
            annotations: Annotations::default(),
            checkpoint: Checkpoint::default(),
            operators: newer.map(Newer::operator).into_iter().collect(),
            rows_before: None,
            skip_empty: false,
        };
        let transfer = Transfer {
            reader: Box::new(ReplayReader { inner, records }),
            opened_at: Position::default(),
            outputs: vec![output],
            run: self.run.clone(),
            cadence: Cadence::default(),
            commits: None,
            cancel: CancellationToken::new(),
        };
        let services = self
            .services
            .transfer_services(Arc::new(Progress::default()));
        let summary = run_transfer(transfer, &services).await?;
        summary
            .outputs
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new("R0972", Remedy::Bug, "the replay ended without a result"))
    }

    /// The id that each record would get now, with the one under which it waits.
    async fn ids_now(&self, records: &[Record]) -> Result<BTreeMap<String, String>> {
        let seal = RecordSeal::of(&self.owner.load.table, self.services.system.as_ref()).await?;
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

    /// Sources that keep text read it again by today's options; values are typed here.
    async fn reader(&self, records: &[Record]) -> Result<Box<dyn Reader>> {
        let load = self.owner.load;
        let spec = spec_of(&load.connection.kind);
        let keeps_text = spec.is_some_and(|spec| spec.keeps_text);
        if keeps_text
            || records
                .iter()
                .any(|record| matches!(record.raw, RawRecord::Text(_)))
        {
            let raw: Vec<RawRecord> = records.iter().map(|record| record.raw.clone()).collect();
            let source = self.services.source(&load.connection)?;
            let mut spec = load_spec(load);
            let environment = &self.owner.plan.environment;
            let facts = self.services.store.facts(environment).await?;
            spec.observed = observed(self.services.lake.as_ref(), &facts, load).await?;
            return source.replay(&spec, raw).await;
        }
        let Selection::Object(object) = &load.selection else {
            return Err(unknown_columns(self.owner.table()));
        };
        let key = outside_key(&load.connection.name, object);
        let facts = self
            .services
            .store
            .facts(&self.owner.plan.environment)
            .await?;
        let fact = facts
            .into_iter()
            .find(|(known, _)| *known == key)
            .map(|(_, fact)| fact);
        let schema = fact
            .ok_or_else(|| unknown_columns(self.owner.table()))?
            .schema;
        let table = self.owner.table().clone();
        Ok(Box::new(TypedReader::new(table, schema, records)?))
    }
}

fn unknown_columns(table: &TableName) -> Failure {
    let message = format!("the columns of the source of `{table}` are not known");
    Failure::new("R0958", Remedy::FixConfig, message).help("load the table once: towpath run")
}
