//! Publishes a table of the lakehouse; by key, it sends only the rows that changed since the last time.
//!
//! Promise: if the destination has these rows already, nothing is committed there, whether or not the
//! lakehouse has a new version. Afterwards the target has the rows of the source, whatever was restored,
//! copied, vacuumed, emptied or redefined in between; rows of others are not deleted. `changes.rs` finds
//! the differences, `appended.rs` the new rows of an append, `sent_version.rs` knows what was sent; this file
//! decides and sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::FieldRef;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use towpath_orchestrator::AttemptSuccess;
use towpath_ports::{
    DELETE_ABSENT, Destination, ONLY_CHANGES, ReadSpec, Reader, StateBeforeWrite, TaskOutcome,
};
use towpath_vocab::{
    Action, BadRows, Failure, ObjectKind, PlannedTask, PublishPlan, ReadMode, Remedy, Selection,
    TablePlan, Threshold, WriteMode,
};

use super::appended::{Appended, cannot_tell};
use super::changes::{
    Comparison, Noted, Pinned, PublishScope, Sending, no_rows, overtaken, rows_to_send,
    rows_with_nulls, sent_columns,
};
use super::executor::{RunExecutor, TaskDone};
use super::fingerprint::{fingerprint, held_form};
use super::generation::GenerationClaim;
use super::interrupted_publish::Interrupted;
use super::load_lineage::published_lineage;
use super::nondeterministic::publish_at;
use super::sent_version::{Same, Sent, TargetComparison, is_in_history};
use super::write_table::TableWrite;
use crate::Result;
use crate::services::{parallelism, spec_of};

pub(super) async fn publish(
    executor: &RunExecutor,
    task: &PlannedTask,
    publish: &PublishPlan,
    cancel: CancellationToken,
) -> Result<AttemptSuccess> {
    if !publish.connection.writable {
        let why = format!(
            "`{}` is read-only; to publish tables to it, set `writable: true`",
            publish.connection.name
        );
        executor.record(&task.id, TaskDone::Skipped(why));
        return Ok(unchanged(None, TaskOutcome::Nothing));
    }
    let then = publish_at(publish, executor.moment_us)?;
    let (publish, depends_on_time) = (then.as_ref().unwrap_or(publish), then.is_some());
    let destination = executor.services.destination(&publish.connection)?;
    let now = Pinned::now(&executor.services.lake, &publish.from).await?;
    let now = now.ok_or_else(|| nothing_to_send(publish))?;
    let print = fingerprint(task, &[now.input()])?;
    let target = publish.table.target.clone();
    let interrupted = Interrupted {
        executor,
        task,
        publish,
        now: &now,
        destination: &destination,
    };
    let leftover = interrupted.finish(&cancel).await?;
    let claim = executor
        .claim(task, destination.as_ref(), &target, Some(&print))
        .await?;
    if claim.is_done {
        let lineage = published_lineage(publish, &now);
        let store = executor.services.store.as_ref();
        store
            .put_lineage(&executor.environment, &target, &lineage)
            .await?;
        return match leftover.finished {
            Some(finished) => Ok(finished),
            None => executor.adopted(task, &target, claim, Some(print)),
        };
    }
    let key = executor.key(&task.step, &target);
    let write = publish.table.write.mode;
    let print = held_form(task, (print, &[now.input()]), &claim, write)?;
    let outgoing = Outgoing {
        executor,
        publish,
        now: &now,
        destination: destination.as_ref(),
        identity: identity(task)?,
        sent: Sent::of(&claim),
        same: Same::remembered(executor, task, &claim).await?,
        target: TargetComparison::new(destination.states(&key, &target).await?, &claim),
        depends_on_time,
        refused: leftover.refused,
    };
    fail::fail_point!("publish::looked");
    match outgoing.send(&interrupted, claim, &print, cancel).await? {
        Ok(done) => {
            interrupted.outdate_refused().await?;
            Ok(done)
        }
        Err(same) => {
            // A process that died behind its commit has not done it.
            interrupted.outdate_refused().await?;
            Ok(leftover.finished.unwrap_or(unchanged(Some(print), same)))
        }
    }
}

/// A publish, before it is known what it sends.
struct Outgoing<'a> {
    executor: &'a RunExecutor,
    publish: &'a PublishPlan,
    now: &'a Pinned,
    destination: &'a dyn Destination,
    /// The identity of the task without its inputs; a task with another identity sends other rows.
    identity: String,
    /// What the destination has.
    sent: Option<Sent>,
    same: Option<Same>,
    target: TargetComparison,
    /// True if the `where` asks the clock: at another time, other rows of the same version are sent.
    depends_on_time: bool,
    /// Rows that the system refused, which are sent again.
    refused: u64,
}

impl Outgoing<'_> {
    /// Sends what the destination does not have; the error is the outcome where that is nothing.
    async fn send(
        &self,
        of: &Interrupted<'_>,
        claim: GenerationClaim,
        print: &str,
        cancel: CancellationToken,
    ) -> Result<std::result::Result<AttemptSuccess, TaskOutcome>> {
        let (task, executor) = (of.task, self.executor);
        if self.refused == 0 && self.is_up_to_date(task, print, &claim).await? {
            let same = self.same.as_ref();
            return Ok(Err(same.map_or(TaskOutcome::Nothing, Same::outcome)));
        }
        let target = self.publish.table.target.clone();
        let mut plan = self.publish.table.clone();
        plan.lineage = published_lineage(self.publish, self.now);
        let Some(reader) = self.reader(&mut plan).await? else {
            let store = executor.services.store.as_ref();
            store
                .put_lineage(&executor.environment, &target, &plan.lineage)
                .await?;
            let same = Same::of(&claim, self.now);
            return Ok(Err(same.map_or(TaskOutcome::Nothing, |same| same.outcome())));
        };
        self.state_before_write(&plan).put(&mut plan.write)?;
        let sent = self.sends(plan.write.mode).await?;
        let write = TableWrite {
            task,
            plan,
            source_table: target,
            destination: Arc::clone(of.destination),
            claim,
            reader,
            opened_at: sent.position(),
            fingerprint: Some(print.to_owned()),
            annotations: sent.annotations(),
            rows_before: None,
            cancel,
        };
        executor.write_table(write).await.map(Ok)
    }

    /// True if the destination has this version, or one that an earlier run found to be equal, and nobody
    /// has changed the target since.
    async fn is_up_to_date(
        &self,
        task: &PlannedTask,
        print: &str,
        claim: &GenerationClaim,
    ) -> Result<bool> {
        let mode = self.mode();
        if self.depends_on_time
            || self.is_changed()
            || mode == WriteMode::Merge && !self.target.exists()
        {
            return Ok(false);
        }
        let is_known_same = !self.executor.options.full_refresh
            && self
                .same
                .as_ref()
                .is_some_and(|same| same.fingerprint.as_deref() == Some(print));
        Ok(is_known_same
            || self
                .executor
                .is_up_to_date(task, print, claim, mode)
                .await?)
    }

    /// True if all rows must be sent because others have changed the target. Appended rows are not appended
    /// again while some of them are still there.
    fn is_changed(&self) -> bool {
        match self.mode() {
            WriteMode::Append => self.target.is_emptied(),
            _ => self.target.drift().is_some(),
        }
    }

    fn mode(&self) -> WriteMode {
        self.publish.table.write.mode
    }

    fn is_sole(&self) -> bool {
        self.target.is_sole()
    }

    /// A reader of the rows to send; adapts the plan. `None` if there is nothing to send.
    async fn reader(&self, plan: &mut TablePlan) -> Result<Option<Box<dyn Reader>>> {
        let mut notes = Vec::new();
        if let Some(drift) = self.target.drift().filter(|_| self.is_changed()) {
            let target = &plan.target;
            notes.push(format!("`{target}` is {drift}; all rows are sent again"));
        }
        let reader = match self.mode() {
            WriteMode::Replace => Some(self.everything().await?),
            WriteMode::Merge => self.by_key(plan, &mut notes).await?,
            WriteMode::Append if !self.executor.options.full_refresh => {
                self.added(plan, &mut notes).await?
            }
            mode => {
                if self.executor.options.full_refresh {
                    notes.extend(self.refreshed(mode, plan)?);
                }
                Some(self.everything().await?)
            }
        };
        let noted = |reader| Box::new(Noted { reader, notes }) as Box<dyn Reader>;
        Ok(reader.map(noted))
    }

    /// An append: the rows that came since the last publish, or all if the target has none of them.
    async fn added(
        &self,
        plan: &mut TablePlan,
        notes: &mut Vec<String>,
    ) -> Result<Option<Box<dyn Reader>>> {
        let target = &plan.target;
        let is_gone = !self.target.exists() && self.destination.schema(target).await?.is_none();
        let has_rows = !is_gone && !self.is_changed();
        let Some(sent) = self.sent.as_ref().filter(|_| has_rows) else {
            return self.everything().await.map(Some);
        };
        let Some(before) = self.known_version(sent, self.same.as_ref()).await? else {
            let why = self.is_unknown(sent).await?;
            return Err(cannot_tell(self.publish, &why));
        };
        let appended = Appended {
            services: &self.executor.services,
            publish: self.publish,
            now: self.now,
            before,
        };
        let rows = appended.rows(notes).await?;
        is_applied(plan);
        Ok(rows)
    }

    /// A version in the history of the table with the rows that were sent: `same`, a later one with the same
    /// rows, may exist longer.
    async fn known_version(&self, sent: &Sent, same: Option<&Same>) -> Result<Option<u64>> {
        let (from, lake) = (&self.publish.from, &self.executor.services.lake);
        let held = |same: &Same| (same.version, same.commit.clone());
        for (version, commit) in same
            .map(held)
            .into_iter()
            .chain([(sent.version, sent.commit.clone())])
        {
            let is_known = sent.table == self.now.id
                && is_in_history(lake, from, (version, commit.as_deref())).await?;
            if is_known {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// `--full-refresh` of an append: the target is replaced by the source, if that deletes no rows of
    /// others.
    fn refreshed(&self, mode: WriteMode, plan: &mut TablePlan) -> Result<Option<String>> {
        let target = &plan.target;
        if self.is_sole() {
            plan.write.mode = WriteMode::Replace;
            return Ok(None);
        }
        let others = format!("`{target}` also holds rows that this step did not send");
        match mode {
            WriteMode::Append => Err(Failure::new("R0949", Remedy::FixConfig, others).help(
                "`--full-refresh` would have to delete them: empty the table, then run again; or give the table a `key`",
            )),
            _ => Ok(Some(format!(
                "{others}: none was deleted, so rows that are no longer in `{}` may still be there",
                self.publish.from
            ))),
        }
    }

    /// A merge: sends what differs from the rows in the destination, or otherwise everything.
    async fn by_key(
        &self,
        plan: &mut TablePlan,
        notes: &mut Vec<String>,
    ) -> Result<Option<Box<dyn Reader>>> {
        let (from, target) = (&self.publish.from, &self.publish.table.target);
        if !self.target.exists() {
            return self.everything().await.map(Some);
        }
        let is_sole = self.is_sole();
        let is_same_key = self
            .sent
            .as_ref()
            .is_some_and(|sent| sent.key == plan.write.key);
        let is_refreshed = self.executor.options.full_refresh && is_sole && is_same_key;
        let dropped = self.dropped(notes).await?;
        let sending = match &self.sent {
            // This also deletes rows that an earlier version of the step, or of Towpath, left there.
            Some(sent) if is_refreshed && sent.task == self.identity => None,
            Some(sent) => Some(self.compare(sent, &dropped).await?),
            None => None,
        };
        match sending {
            Some(Sending::Nothing) if self.refused == 0 => return Ok(None),
            Some(Sending::Nothing) => {
                is_applied(plan);
                sends_changes(plan);
                return Ok(Some(no_rows(self.publish, self.now)));
            }
            Some(Sending::Changes(reader)) => {
                sends_changes(plan);
                // The filter applies to both versions; a deleted row does not have to match it.
                is_applied(plan);
                return Ok(Some(reader));
            }
            Some(Sending::Everything(why)) => {
                let rest = match is_sole {
                    true => format!("rows of `{target}` that are not in `{from}` were deleted"),
                    false => format!(
                        "`{target}` may also hold rows that this step did not send, so none was deleted: rows that are no longer in `{from}` may still be there"
                    ),
                };
                notes.push(format!(
                    "all rows were sent, not only the changes: {why}; {rest}"
                ));
            }
            None if !is_sole => notes.push(format!(
                "`{target}` held rows before its first publish by this step; those with other keys stay"
            )),
            None => {}
        }
        // In an empty target a write could only delete rows that others write meanwhile.
        if is_sole && !self.target.is_empty() {
            let options = &mut plan.write.options;
            options.insert(DELETE_ABSENT.to_owned(), Value::Bool(true));
        }
        if dropped.is_empty() {
            return self.everything().await.map(Some);
        }
        is_applied(plan);
        rows_with_nulls(&self.executor.services, self.publish, self.now, &dropped)
            .await
            .map(Some)
    }

    /// Compares with the version in the destination.
    async fn compare(&self, sent: &Sent, dropped: &[FieldRef]) -> Result<Sending> {
        let from = &self.publish.from;
        if sent.depends_on_time() {
            return Ok(Sending::Everything(
                "an earlier version of Towpath, or `write: replace`, sent them with a `where` that gives other rows at another time, without the moment".to_owned(),
            ));
        }
        // A later version with the same rows is compared instead, because it may exist longer. If the `where`
        // asks the clock, the two versions had the same rows at one moment only.
        let is_as_good = sent.task == self.identity && !self.depends_on_time;
        let same = self.same.as_ref().filter(|_| is_as_good);
        let before = self.known_version(sent, same).await?;
        let Some(before) = before else {
            return Ok(Sending::Everything(self.is_unknown(sent).await?));
        };
        if sent.key != self.publish.table.write.key {
            return Ok(Sending::Everything("the key is a different one".to_owned()));
        }
        let is_all =
            self.executor.options.full_refresh || sent.task != self.identity || self.is_changed();
        let comparison = Comparison {
            services: &self.executor.services,
            publish: self.publish,
            now: self.now,
            before,
            filter_before: sent.filter.as_deref(),
            dropped,
            extent: match is_all || !dropped.is_empty() {
                true => PublishScope::All,
                false => PublishScope::Changed,
            },
        };
        tracing::debug!(table = %from, before, "compare");
        comparison.compare().await
    }

    /// Why the version that was sent cannot be used for a comparison.
    async fn is_unknown(&self, sent: &Sent) -> Result<String> {
        let (from, version) = (&self.publish.from, sent.version);
        if sent.table != self.now.id {
            return Ok(format!(
                "`{from}` was recreated since its version {version} was sent"
            ));
        }
        if sent.commit.is_none() {
            return Ok(format!(
                "an earlier version of Towpath sent version {version} of `{from}` and did not store its commit"
            ));
        }
        let entry = self.executor.services.lake.commit_id(from, version).await?;
        Ok(match entry.is_none() && version <= self.now.version {
            true => format!(
                "the log of `{from}` does not have its version {version} any more, which was sent"
            ),
            false => format!(
                "the version {version} of `{from}` that was sent is not in its history as it is now (restored or copied)"
            ),
        })
    }

    /// Columns that were sent before, are no longer sent, and are still in the target: they become NULL,
    /// with the type with which they were sent. A column that does not allow NULL in the target keeps its
    /// values.
    async fn dropped(&self, notes: &mut Vec<String>) -> Result<Vec<FieldRef>> {
        let (from, target) = (&self.publish.from, &self.publish.table.target);
        let sends = sent_columns(self.publish, &self.now.table.schema);
        let Some(sent) = &self.sent else {
            return Ok(Vec::new());
        };
        let is_gone = |name: &&String| sends.field_with_name(name).is_err();
        let gone: Vec<String> = sent.columns.iter().filter(is_gone).cloned().collect();
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let Some(there) = self.destination.schema(target).await? else {
            return Ok(Vec::new());
        };
        // If it can no longer be read, the types of the target are used.
        let then = match sent.table == self.now.id {
            true => self
                .executor
                .services
                .lake
                .snapshot_at(from, sent.version)
                .await
                .ok(),
            false => None,
        };
        let then = then.map(|then| then.schema);
        let mut dropped = Vec::new();
        for name in &gone {
            let Ok(present) = there.field_with_name(name) else {
                continue;
            };
            if !present.is_nullable() {
                notes.push(format!(
                    "`{name}` is not sent any more; `{target}` allows no NULL in it, so it keeps its values"
                ));
                continue;
            }
            // Never with the present type of the source, which the target may not accept.
            let then = then
                .as_ref()
                .and_then(|then| then.field_with_name(name).ok());
            let field = then.unwrap_or(present).clone();
            dropped.push(Arc::new(field.with_nullable(true)));
        }
        Ok(dropped)
    }

    /// The state of the target. A write that deletes rows because all of them belong to this step is only
    /// correct for this state.
    fn state_before_write(&self, plan: &TablePlan) -> StateBeforeWrite {
        let write = &plan.write;
        let deletes = write.options.contains_key(DELETE_ABSENT) || write.mode != self.mode();
        StateBeforeWrite {
            table: self.target.now().cloned(),
            must_hold: deletes,
        }
    }

    /// What the next commit stores about the sent rows.
    async fn sends(&self, mode: WriteMode) -> Result<Sent> {
        let columns = sent_columns(self.publish, &self.now.table.schema);
        let rows = match mode {
            WriteMode::Merge => {
                rows_to_send(&self.executor.services, self.publish, self.now).await?
            }
            _ => None,
        };
        Ok(Sent {
            version: self.now.version,
            table: self.now.id.clone(),
            commit: self.now.commit.clone(),
            task: self.identity.clone(),
            filter: self.publish.table.filter.clone(),
            key: self.publish.table.write.key.clone(),
            columns: columns.fields().iter().map(|f| f.name().clone()).collect(),
            rows,
            sole: mode == WriteMode::Replace || self.is_sole(),
        })
    }

    /// All rows of the version.
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
        let lake = &self.executor.services.lake;
        let reader = lake.source(from)?.open(&spec, None).await?;
        match lake.version(from).await? == Some(self.now.version) {
            true => Ok(reader),
            false => Err(overtaken(from)),
        }
    }
}

/// The identity of a task without its inputs. How an API is asked, and how many rows it may refuse, does not
/// change which rows it has: of another host nothing is known, so it gets all of them anyway.
fn identity(task: &PlannedTask) -> Result<String> {
    let mut task = task.clone();
    if let Action::Publish(publish) = &mut task.action
        && spec_of(&publish.connection.kind)
            .is_some_and(|spec| spec.objects == ObjectKind::Endpoints)
    {
        publish.connection.options.clear();
        publish.table.write.options.clear();
        publish.table.bad_rows = BadRows::Fail;
        publish.table.fail_above = Threshold::default();
    }
    fingerprint(&task, &[])
}

/// Adapts the plan to rows that are already filtered and have only the columns to send.
pub(super) fn is_applied(plan: &mut TablePlan) {
    plan.filter = None;
    plan.keep.clear();
    plan.drop.clear();
}

/// Tells the destination that rows which do not come are as they were.
fn sends_changes(plan: &mut TablePlan) {
    let options = &mut plan.write.options;
    options.insert(ONLY_CHANGES.to_owned(), Value::Bool(true));
}

fn unchanged(fingerprint: Option<String>, outcome: TaskOutcome) -> AttemptSuccess {
    AttemptSuccess {
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
