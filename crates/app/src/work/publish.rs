//! A publish: sends a lakehouse table out; merged by key, only what changed since the last time.
//!
//! Promise: when the destination holds these very rows, nothing is committed there, whether or not the
//! lakehouse made a new version. `changes.rs` finds out what differs; this file decides and sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_orchestrator::AttemptOutcome;
use towpath_ports::{ReadSpec, Reader, TaskOutcome};
use towpath_vocab::{
    ColumnEdge, ColumnRef, Failure, Generation, Influence, PlannedTask, PublishPlan, ReadMode,
    Remedy, Selection, TableLineage, TablePlan, WriteMode,
};

use super::changes::{Comparison, Extent, Noted, Pinned, Sending, overtaken, sent_columns};
use super::fingerprint::fingerprint;
use super::generation::GenerationClaim;
use super::scope::{TaskDone, Work};
use super::write_table::TableWrite;
use crate::Result;
use crate::services::parallelism;

pub(super) async fn publish(
    work: &Work,
    task: &PlannedTask,
    publish: &PublishPlan,
    cancel: CancellationToken,
) -> Result<AttemptOutcome> {
    if !publish.connection.writable {
        let why = format!(
            "`{}` is read-only; to publish tables to it, set `writable: true`",
            publish.connection.name
        );
        work.record(&task.id, TaskDone::Skipped(why));
        return Ok(unchanged(None, TaskOutcome::Nothing));
    }
    let destination = work.services.destination(&publish.connection)?;
    let now = Pinned::now(&work.services.lake, &publish.from).await?;
    let now = now.ok_or_else(|| nothing_to_send(publish))?;
    let print = fingerprint(task, &[now.input()])?;
    let target = publish.table.target.clone();
    let claim = work
        .claim(task, destination.as_ref(), &target, Some(&print))
        .await?;
    if claim.is_done {
        let lineage = lineage(publish, &now);
        let store = work.services.store.as_ref();
        store
            .put_lineage(&work.environment, &target, &lineage)
            .await?;
        return work.adopted(task, &target, claim, Some(print));
    }
    let outgoing = Outgoing {
        work,
        publish,
        now: &now,
        identity: fingerprint(task, &[])?,
        same: Same::remembered(work, task, &claim).await?,
        // A merge into a table that was dropped must send everything again.
        can_compare: publish.table.write.mode == WriteMode::Merge
            && destination.schema(&target).await?.is_some(),
    };
    if outgoing.is_held(task, &print, &claim).await? {
        let same = outgoing
            .same
            .map_or(TaskOutcome::Nothing, |same| same.outcome());
        return Ok(unchanged(Some(print), same));
    }
    let mut plan = publish.table.clone();
    plan.lineage = lineage(publish, &now);
    let Some(reader) = outgoing.reader(&claim, &mut plan).await? else {
        let store = work.services.store.as_ref();
        store
            .put_lineage(&work.environment, &target, &plan.lineage)
            .await?;
        let same = Same::of(&claim, now.version);
        let same = same.map_or(TaskOutcome::Nothing, |same| same.outcome());
        return Ok(unchanged(Some(print), same));
    };
    work.write_table(TableWrite {
        task,
        plan,
        source_table: target,
        destination: Arc::clone(&destination),
        claim,
        reader,
        opened_at: now.position(&outgoing.identity),
        fingerprint: Some(print),
        rows_before: None,
        cancel,
    })
    .await
}

/// One publish, before it is known what is sent.
struct Outgoing<'a> {
    work: &'a Work,
    publish: &'a PublishPlan,
    now: &'a Pinned,
    /// The task without its inputs: another one has not sent what this one would have.
    identity: String,
    same: Option<Same>,
    /// True when rows can be told apart by key, and the destination has the table.
    can_compare: bool,
}

impl Outgoing<'_> {
    /// True when the destination holds this version, or one that an earlier run found to be the same.
    async fn is_held(
        &self,
        task: &PlannedTask,
        print: &str,
        claim: &GenerationClaim,
    ) -> Result<bool> {
        let mode = self.publish.table.write.mode;
        if mode == WriteMode::Merge && !self.can_compare {
            return Ok(false);
        }
        let is_known_same = !self.work.options.full_refresh
            && self
                .same
                .as_ref()
                .is_some_and(|same| same.fingerprint.as_deref() == Some(print));
        Ok(is_known_same || self.work.is_held(task, print, claim, mode).await?)
    }

    /// What is sent, with what that changes in the plan; `None` when there is nothing to send.
    async fn reader(
        &self,
        claim: &GenerationClaim,
        plan: &mut TablePlan,
    ) -> Result<Option<Box<dyn Reader>>> {
        let sending = match self.can_compare {
            true => self.compare(claim).await?,
            false => None,
        };
        Ok(match sending {
            Some(Sending::Nothing) => None,
            Some(Sending::Changes(reader)) => {
                // Already applied, to both versions; a deleted row need not fulfil it.
                plan.filter = None;
                Some(reader)
            }
            Some(Sending::Everything(note)) => {
                let reader = self.everything().await?;
                Some(Box::new(Noted { reader, note }))
            }
            None => Some(self.everything().await?),
        })
    }

    /// What differs from what the destination holds; `None` when that is unknown.
    async fn compare(&self, claim: &GenerationClaim) -> Result<Option<Sending>> {
        let Some(sent) = self.now.sent_before(claim, &self.identity) else {
            return Ok(None);
        };
        // A later version with the same rows is compared with instead: it may outlive the other.
        let before = self.same.as_ref().map_or(sent, |same| same.version);
        let comparison = Comparison {
            services: &self.work.services,
            publish: self.publish,
            now: self.now,
            before,
            extent: match self.work.options.full_refresh {
                true => Extent::All,
                false => Extent::Changed,
            },
        };
        tracing::debug!(table = %self.publish.from, before, "compare");
        comparison.compare().await.map(Some)
    }

    /// Every row of the version.
    async fn everything(&self) -> Result<Box<dyn Reader>> {
        let from = &self.publish.from;
        let spec = ReadSpec {
            table: self.publish.table.target.clone(),
            selection: Selection::Object(from.to_string()),
            mode: ReadMode::Full,
            cursor: None,
            declared: Vec::new(),
            known: None,
            observed: None,
            projection: None,
            limit: None,
            options: BTreeMap::new(),
            parallel: parallelism(),
            batch_rows: 32 * 1024,
            batch_bytes: 8 << 20,
            may_repeat: false,
        };
        let lake = &self.work.services.lake;
        let reader = lake.source(from)?.open(&spec, None).await?;
        match lake.version(from).await? == Some(self.now.version) {
            true => Ok(reader),
            false => Err(overtaken(from)),
        }
    }
}

/// What the state store remembers: as of the destination's commit, a later version held the same rows.
struct Same {
    generation: Generation,
    version: u64,
    fingerprint: Option<String>,
}

impl Same {
    fn of(claim: &GenerationClaim, version: u64) -> Option<Self> {
        Some(Self {
            generation: claim.last.as_ref()?.token.generation,
            version,
            fingerprint: None,
        })
    }

    async fn remembered(
        work: &Work,
        task: &PlannedTask,
        claim: &GenerationClaim,
    ) -> Result<Option<Self>> {
        let store = work.services.store.as_ref();
        let last = store
            .last_success(&work.environment, &work.pipeline, &task.id)
            .await?;
        let Some((_, record)) = last else {
            return Ok(None);
        };
        let TaskOutcome::Same {
            generation,
            version,
        } = record.outcome
        else {
            return Ok(None);
        };
        let holds = claim.last.as_ref().map(|last| last.token.generation);
        Ok((holds == Some(generation)).then_some(Self {
            generation,
            version,
            fingerprint: record.fingerprint,
        }))
    }

    fn outcome(&self) -> TaskOutcome {
        TaskOutcome::Same {
            generation: self.generation,
            version: self.version,
        }
    }
}

fn unchanged(fingerprint: Option<String>, outcome: TaskOutcome) -> AttemptOutcome {
    AttemptOutcome {
        unchanged: true,
        outcome,
        fingerprint,
    }
}

fn nothing_to_send(publish: &PublishPlan) -> Failure {
    Failure::new(
        "R0940",
        Remedy::FixConfig,
        format!("there is no table `{}` to publish", publish.from),
    )
    .help("build it first: towpath run; a view stores no rows: make it `materialized: table`")
}

/// Each column that is sent, under its own name.
fn lineage(publish: &PublishPlan, now: &Pinned) -> TableLineage {
    let (from, to) = (publish.from.to_string(), publish.table.target.to_string());
    let column = |table: &str, column: &str| ColumnRef {
        table: table.to_owned(),
        column: column.to_owned(),
    };
    let columns = sent_columns(publish, &now.table.schema);
    let edges = columns.fields().iter().map(|field| ColumnEdge {
        from: column(&from, field.name()),
        to: column(&to, field.name()),
        influence: Influence::Identity,
    });
    TableLineage {
        edges: edges.collect(),
        inputs: vec![from.clone()],
        partial: publish.table.filter.is_some(),
    }
}
