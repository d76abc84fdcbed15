//! Reports a commit whose process died before it could report it.
//!
//! Promise: only known facts are reported. The commit has the number of rows, the quarantine has the number
//! of rejected rows, and the state store has the results of checks if they were written in time. The
//! numbers of rows read and filtered are lost. Facts that later commands need (columns, lineage) are stored
//! again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt;
use towpath_flow::{OutputSummary, quarantine_table};
use towpath_orchestrator::AttemptSuccess;
use towpath_ports::{
    Destination, ModelEngine, ModelRequest, Query, RunRecord, TaskOutcome, TaskState,
};
use towpath_vocab::{
    Action, ModelPlan, PlannedPipeline, PlannedTask, TableLineage, TableName, TaskId,
};

use super::commit_recorder::observe;
use super::executor::{RunExecutor, TaskDone};
use super::write_table::stored;
use crate::Result;
/// The number of check results that are searched for those of this run.
const CHECKS: u64 = 1000;

impl RunExecutor {
    /// The outcome of a task; completed if its commit was made by a process that died.
    pub(super) async fn recovered(
        &self,
        task: &PlannedTask,
        mut outcome: AttemptSuccess,
    ) -> Result<AttemptSuccess> {
        let Some(TaskDone::Recovered(summary)) = self.done().remove(&task.id) else {
            return Ok(outcome);
        };
        let mut summary = *summary;
        summary.rows_rejected = self.rejected_rows(&summary).await?;
        summary.rows_read = summary.rows_loaded + summary.rows_rejected;
        summary.checks = self.judged(&summary.table).await?;
        let lost = summary.checks.is_empty() && has_checks(task, &summary.table);
        summary.notes = notes(lost);
        self.make_up(task, &summary.table).await?;
        outcome.outcome = stored(task, &summary, true)?;
        self.record(&task.id, TaskDone::Recovered(Box::new(summary)));
        Ok(outcome)
    }

    /// The number of rows that were rejected with the commit.
    async fn rejected_rows(&self, summary: &OutputSummary) -> Result<u64> {
        let quarantine = quarantine_table(&summary.table);
        let (Some(receipt), Some(_)) = (
            &summary.receipt,
            self.services.lake.version(&quarantine).await?,
        ) else {
            return Ok(0);
        };
        let sql = format!(
            "select count(*) from {} where generation = {} and run = {}",
            towpath_sql::quote_table(&quarantine),
            receipt.committed.token.generation,
            towpath_sql::literal(&self.run.to_string()),
        );
        let result = self.services.engine.query(&sql, &BTreeMap::new()).await?;
        let batches: Vec<_> = result.batches.try_collect().await?;
        let first = batches.iter().find(|batch| batch.num_rows() > 0);
        let count = first.map_or(0, |batch| {
            batch.column(0).as_primitive::<Int64Type>().value(0)
        });
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The check results of this run for a table, if they were stored before the process died.
    async fn judged(&self, table: &TableName) -> Result<Vec<towpath_vocab::CheckResult>> {
        let store = self.services.store.as_ref();
        let newest_first = store.checks(&self.environment, Some(table), CHECKS).await?;
        let mut ours: Vec<_> = newest_first
            .into_iter()
            .filter(|(run, _, _)| *run == self.run)
            .map(|(_, _, result)| result)
            .collect();
        ours.reverse();
        // An attempt before the one that committed may have results as well.
        let mut last: Vec<towpath_vocab::CheckResult> = Vec::new();
        for result in ours {
            last.retain(|earlier| earlier.name != result.name);
            last.push(result);
        }
        Ok(last)
    }

    /// Stores what is missing in the state store: the table's columns and its lineage.
    async fn make_up(&self, task: &PlannedTask, table: &TableName) -> Result<()> {
        let lineage = match &task.action {
            Action::Load(load) => load.table.lineage.clone(),
            Action::Model(model) => {
                let request = ModelRequest {
                    model: ModelPlan::clone(model),
                    full_refresh: false,
                    incremental: false,
                };
                let mut lineage = self.services.engine.run(request).await?.lineage;
                for edge in &mut lineage.edges {
                    edge.to.table = table.to_string();
                }
                lineage
            }
            Action::Command(_) | Action::Publish(_) | Action::Sql(_) | Action::Http(_) => {
                TableLineage::default()
            }
        };
        if !lineage.edges.is_empty() || !lineage.inputs.is_empty() {
            let store = self.services.store.as_ref();
            store
                .put_lineage(&self.environment, table, &lineage)
                .await?;
        }
        if matches!(task.action, Action::Publish(_)) {
            return Ok(());
        }
        let lake = Arc::clone(&self.services.lake) as Arc<dyn Destination>;
        observe(&self.services, &self.environment, table, lake.as_ref()).await
    }
}

fn has_checks(task: &PlannedTask, table: &TableName) -> bool {
    match &task.action {
        Action::Load(load) => !load.table.checks.is_empty(),
        Action::Model(model) => !model.table.checks.is_empty(),
        Action::Publish(publish) => !publish.table.checks.is_empty(),
        Action::Command(command) => command
            .writes
            .iter()
            .any(|plan| plan.target == *table && !plan.checks.is_empty()),
        Action::Sql(_) | Action::Http(_) => false,
    }
}

fn notes(lost: bool) -> Vec<String> {
    let note = "it was committed before its process died; the numbers of rows read and left out are not known";
    let checks =
        lost.then_some("its checks passed before it was committed; their results were lost");
    [Some(note), checks]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect()
}

/// True if a stored result says that its checks ran and their results were lost.
pub(crate) fn is_lost(outcome: &TaskOutcome) -> bool {
    match outcome {
        TaskOutcome::Table {
            summary,
            recovered: true,
        } => summary["checks"].as_array().is_none_or(Vec::is_empty),
        _ => false,
    }
}

/// What the tasks of a resumed run did, including those before it was interrupted.
pub(crate) fn all_done(
    pipeline: &PlannedPipeline,
    record: &RunRecord,
    mut done: BTreeMap<TaskId, TaskDone>,
) -> BTreeMap<TaskId, TaskDone> {
    for task in &record.tasks {
        if task.state != TaskState::Succeeded || done.contains_key(&task.id) {
            continue;
        }
        let planned = pipeline.tasks.iter().find(|planned| planned.id == task.id);
        if let Some(before) = planned.and_then(|planned| before(planned, &task.outcome)) {
            done.insert(task.id.clone(), before);
        }
    }
    done
}

/// Reads a stored result.
fn before(task: &PlannedTask, outcome: &TaskOutcome) -> Option<TaskDone> {
    match (outcome, &task.action) {
        (TaskOutcome::View { version }, Action::Model(model)) => Some(TaskDone::View {
            table: model.table.target.clone(),
            version: Some(*version),
            judged: None,
        }),
        (TaskOutcome::Nothing, Action::Command(_) | Action::Sql(_) | Action::Http(_)) => {
            Some(TaskDone::Command)
        }
        (TaskOutcome::Table { summary, recovered }, _) => {
            let summary: OutputSummary = serde_json::from_value(summary.clone()).ok()?;
            Some(match recovered {
                true => TaskDone::Recovered(Box::new(summary)),
                false => TaskDone::Table(Box::new(summary)),
            })
        }
        _ => None,
    }
}
