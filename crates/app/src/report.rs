//! The report of a run as a value: `RunReport`.
//!
//! Promise: the numbers of rows balance, and each table says what was loaded, rejected and checked. `cli`
//! prints the report or writes it as JSON; this file prints nothing and reads no storage. Read next:
//! `run.rs`, which builds it, and `cli/src/draw/report.rs`, which prints it.

use std::collections::BTreeMap;

use serde::Serialize;
use towpath_flow::OutputSummary;
use towpath_ports::{PreparedStats, RunRecord, RunState, RunStop, TaskState};
use towpath_vocab::{
    AbsentRows, Action, CheckOutcome, Failure, PlannedPipeline, PlannedTask, RunName, TaskId,
    WriteMode,
};

use crate::services::holds_files;
use crate::tasks::TaskDone;

/// The report of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Version of this form; 1.
    pub version: u32,
    /// `flights#1`.
    pub run: String,
    /// The project's name.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// How it ended.
    pub state: RunState,
    /// The request that it stops, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<RunStop>,
    /// True if an interrupted run was resumed.
    pub resumed: bool,
    /// The run that was rerun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<String>,
    /// If set, loads read approximately this many rows at most, so the tables are partial and nothing was
    /// published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Steps in the order of the file.
    pub steps: Vec<StepReport>,
    /// Tables that were written or checked, in the order of the graph.
    pub tables: Vec<TableReport>,
    /// Tasks that had nothing to do.
    pub unchanged: UpToDateTasks,
    /// Views that were stored, with their versions.
    pub views: Vec<(String, u64)>,
    /// Notes that are not about a table, such as a publish that was skipped.
    pub notes: Vec<String>,
    /// Failures, by task.
    pub failures: Vec<(TaskId, Failure)>,
    /// Tasks that were skipped because others failed.
    pub skipped: Vec<TaskId>,
    /// Loads whose process died after the commit and before the report. They are not in the numbers of rows
    /// below, because the number of rows that they read is not known.
    pub recovered: Vec<TaskId>,
    /// Records read by loads.
    pub rows_read: u64,
    /// Rows that loads wrote to the lakehouse.
    pub rows_loaded: u64,
    /// Rows of tables that their data stopped; none of them is visible.
    pub rows_not_committed: u64,
    /// Rows that `where` or `dedup` removed.
    pub rows_left_out: u64,
    /// Rows that were rejected: they are in the quarantine.
    pub rows_rejected: u64,
    /// Bad rows dropped.
    pub rows_dropped: u64,
    /// The duration.
    pub elapsed_us: u64,
    /// The largest resident size of this process so far.
    pub peak_rss_bytes: Option<u64>,
    /// The memory limit.
    pub budget_bytes: u64,
    /// The slowest task.
    pub slowest: Option<(TaskId, u64)>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// What it moved: `data → raw`.
    pub detail: String,
    /// The unit of its tasks: `tables`, `models`, `files`, `commands`.
    pub unit: &'static str,
    /// The number of its tasks.
    pub tasks: usize,
    /// Rows written.
    pub rows: u64,
    /// From the first start to the last end.
    pub elapsed_us: u64,
    /// True if every task ended well.
    pub ok: bool,
    /// Tasks that were planned and skipped; a note says why.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: usize,
}

/// One table.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// The task that wrote it.
    pub task: TaskId,
    /// What happened to it.
    #[serde(flatten)]
    pub summary: OutputSummary,
    /// True if its process died after the commit and before the report. The numbers of rows read and
    /// removed are not known, and the checks are those in the state store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// The present number of its rows, if known.
    pub rows_now: Option<u64>,
    /// For a publish by key, or a load into a history: its changes in the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<RowChanges>,
    /// Checks that passed.
    pub passed: usize,
    /// Checks and rules that warned.
    pub warned: usize,
    /// Checks that failed.
    pub failed: usize,
    /// `version 3`.
    pub now_at: Option<String>,
    /// True for a view, which has no rows of its own.
    pub view: bool,
    /// The notes that no earlier run has reported.
    pub new_notes: Vec<String>,
}

/// What a publish by key, or a load into a history or with `deletes`, changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowChanges {
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that were replaced; in a history, versions that follow another one.
    pub updated: u64,
    /// Rows that were deleted or marked; in a history, rows that ended.
    pub deleted: u64,
    /// Of a history: rows that made no version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<u64>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Tasks that had nothing to do, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpToDateTasks {
    /// Loads.
    pub loads: usize,
    /// Models.
    pub models: usize,
    /// Publishes.
    pub publishes: usize,
}

/// The input of a report.
pub(crate) struct EndedRun<'a> {
    pub(crate) project: &'a str,
    pub(crate) pipeline: &'a PlannedPipeline,
    pub(crate) record: &'a RunRecord,
    pub(crate) resumed: bool,
    pub(crate) rerun_of: Option<&'a RunName>,
    pub(crate) limit: Option<u64>,
    pub(crate) notes: &'a [String],
    pub(crate) done: &'a BTreeMap<TaskId, TaskDone>,
    pub(crate) elapsed_us: u64,
    pub(crate) budget_bytes: u64,
}

impl RunReport {
    /// True if every task was unchanged.
    pub fn nothing_to_do(&self) -> bool {
        let UpToDateTasks {
            loads,
            models,
            publishes,
        } = self.unchanged;
        let tasks: usize = self.steps.iter().map(|step| step.tasks).sum();
        self.state == RunState::Succeeded
            && self.limit.is_none()
            && tasks > 0
            && loads + models + publishes == tasks
    }

    /// Failures with the tasks that they stopped. A failure that stopped several tasks, such as a wrong
    /// password, is listed once.
    pub fn failures_apart(&self) -> Vec<(Vec<&TaskId>, &Failure)> {
        let mut apart: Vec<(Vec<&TaskId>, &Failure)> = Vec::new();
        for (task, failure) in &self.failures {
            let same = |(_, other): &&mut (Vec<&TaskId>, &Failure)| {
                other.code == failure.code
                    && other.message == failure.message
                    && other.help == failure.help
            };
            match apart.iter_mut().find(same) {
                Some((tasks, _)) => tasks.push(task),
                None => apart.push((vec![task], failure)),
            }
        }
        apart
    }

    /// The number of notes about tables that an earlier run has reported.
    pub fn known_notes(&self) -> usize {
        let known = |table: &TableReport| table.summary.notes.len() - table.new_notes.len();
        self.tables.iter().map(known).sum()
    }

    pub(crate) fn new(ended: &EndedRun<'_>) -> Self {
        let EndedRun {
            project,
            pipeline,
            record,
            resumed,
            rerun_of,
            limit,
            notes,
            done,
            elapsed_us,
            budget_bytes,
        } = *ended;
        let tables = tables(pipeline, done);
        let (recovered, known): (Vec<&TableReport>, Vec<_>) = tables
            .iter()
            .filter(|table| is_load(pipeline, &table.task))
            .partition(|table| table.recovered);
        let recovered = recovered.iter().map(|table| table.task.clone()).collect();
        let loads: Vec<&OutputSummary> = known.iter().map(|table| &table.summary).collect();
        let sum = |of: fn(&OutputSummary) -> u64| loads.iter().map(|summary| of(summary)).sum();
        Self {
            version: 1,
            run: record.name.to_string(),
            project: project.to_owned(),
            environment: record.environment.to_string(),
            state: record.state,
            stop: record.stop.clone(),
            resumed,
            rerun_of: rerun_of.map(ToString::to_string),
            limit,
            recovered,
            steps: pipeline
                .steps
                .iter()
                .map(|step| step_report(pipeline, step.as_str(), record, done))
                .filter(|step| step.tasks > 0)
                .collect(),
            views: done
                .values()
                .filter_map(|done| match done {
                    TaskDone::View { table, version, .. } => Some((table.to_string(), (*version)?)),
                    _ => None,
                })
                .collect(),
            notes: notes.iter().cloned().chain(skips(done)).collect(),
            unchanged: unchanged(pipeline, record),
            failures: record
                .tasks
                .iter()
                .filter_map(|task| Some((task.id.clone(), task.failure.clone()?)))
                .filter(|(id, _)| state_of(record, id) == Some(TaskState::Failed))
                .collect(),
            skipped: record
                .tasks
                .iter()
                .filter(|t| t.state == TaskState::Skipped)
                .map(|t| t.id.clone())
                .collect(),
            rows_read: sum(|s| s.rows_read),
            rows_loaded: sum(|s| {
                if s.stopped.is_none() {
                    s.rows_loaded
                } else {
                    0
                }
            }),
            rows_not_committed: sum(not_committed),
            rows_left_out: sum(|s| s.rows_filtered + s.rows_deduplicated),
            rows_rejected: sum(|s| s.rows_rejected),
            rows_dropped: sum(|s| s.rows_dropped),
            elapsed_us,
            peak_rss_bytes: crate::memory::peak_rss_bytes(),
            budget_bytes,
            slowest: slowest(record),
            tables,
        }
    }
}

fn skips(done: &BTreeMap<TaskId, TaskDone>) -> impl Iterator<Item = String> {
    done.iter().filter_map(|(task, done)| match done {
        TaskDone::Skipped(why) => Some(format!("{task} was skipped: {why}")),
        _ => None,
    })
}

/// The rows that a stopped table had read, without those that were rejected or removed.
fn not_committed(summary: &OutputSummary) -> u64 {
    let decided = summary.rows_rejected
        + summary.rows_dropped
        + summary.rows_filtered
        + summary.rows_deduplicated;
    match summary.stopped {
        Some(_) => summary.rows_read.saturating_sub(decided),
        None => 0,
    }
}

fn state_of(record: &RunRecord, id: &TaskId) -> Option<TaskState> {
    record
        .tasks
        .iter()
        .find(|task| task.id == *id)
        .map(|task| task.state)
}

fn is_load(pipeline: &PlannedPipeline, id: &TaskId) -> bool {
    pipeline
        .tasks
        .iter()
        .any(|task| task.id == *id && matches!(task.action, Action::Load(_)))
}

fn tables(pipeline: &PlannedPipeline, done: &BTreeMap<TaskId, TaskDone>) -> Vec<TableReport> {
    pipeline
        .tasks
        .iter()
        .filter_map(|task| match done.get(&task.id)? {
            TaskDone::Table(summary) => Some(table_report(task, summary)),
            TaskDone::Recovered(summary) => Some(TableReport {
                recovered: true,
                ..table_report(task, summary)
            }),
            TaskDone::View {
                version, judged, ..
            } => judged.as_ref().map(|judged| TableReport {
                view: true,
                now_at: version.map(|version| format!("view, version {version}")),
                ..table_report(task, judged)
            }),
            TaskDone::Command | TaskDone::Skipped(_) => None,
        })
        .collect()
}

fn table_report(task: &PlannedTask, summary: &OutputSummary) -> TableReport {
    let count = |outcome: CheckOutcome| {
        summary
            .checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    };
    let warned_rules = summary.rules.iter().filter(|rule| rule.warns).count();
    let committed = summary.receipt.as_ref().map(|receipt| &receipt.committed);
    TableReport {
        task: task.id.clone(),
        recovered: false,
        rows_now: committed.and_then(|committed| committed.stats.rows_after),
        passed: count(CheckOutcome::Pass),
        warned: count(CheckOutcome::Warn) + warned_rules,
        failed: count(CheckOutcome::Fail),
        changes: committed
            .filter(|_| sends_changes(task))
            .map(|committed| RowChanges {
                inserted: committed.stats.inserted,
                updated: committed.stats.updated,
                deleted: committed.stats.deleted,
                unchanged: keeps_history(task).then(|| without_version(&committed.stats)),
            }),
        now_at: committed.map(|committed| committed.version.clone()),
        view: false,
        new_notes: summary.notes.clone(),
        summary: summary.clone(),
    }
}

fn sends_changes(task: &PlannedTask) -> bool {
    match &task.action {
        Action::Publish(publish) => publish.table.write.mode == WriteMode::Merge,
        Action::Load(load) => keeps_history(task) || AbsentRows::of(&load.table.write).is_some(),
        _ => false,
    }
}

fn keeps_history(task: &PlannedTask) -> bool {
    matches!(&task.action, Action::Load(load) if load.table.write.mode == WriteMode::Scd2)
}

/// Rows that came and made no version.
fn without_version(stats: &PreparedStats) -> u64 {
    stats.rows_in.saturating_sub(stats.inserted + stats.updated)
}

fn step_report(
    pipeline: &PlannedPipeline,
    step: &str,
    record: &RunRecord,
    done: &BTreeMap<TaskId, TaskDone>,
) -> StepReport {
    let tasks: Vec<&PlannedTask> = pipeline
        .tasks
        .iter()
        .filter(|task| task.step.as_str() == step)
        .collect();
    let records: Vec<_> = record
        .tasks
        .iter()
        .filter(|r| tasks.iter().any(|t| t.id == r.id))
        .collect();
    let rows = tasks.iter().filter_map(|task| match done.get(&task.id)? {
        TaskDone::Table(summary) | TaskDone::Recovered(summary) if summary.stopped.is_none() => {
            Some(summary.rows_loaded)
        }
        _ => None,
    });
    let began = records.iter().filter_map(|r| r.started_us).min();
    let ended = records.iter().filter_map(|r| r.ended_us).max();
    let (unit, detail) = unit_and_route(&tasks);
    StepReport {
        name: step.to_owned(),
        detail,
        unit,
        tasks: tasks.len(),
        rows: rows.sum(),
        elapsed_us: match (began, ended) {
            (Some(began), Some(ended)) => u64::try_from(ended - began).unwrap_or(0),
            _ => 0,
        },
        ok: records
            .iter()
            .all(|r| matches!(r.state, TaskState::Succeeded | TaskState::Unchanged)),
        skipped: tasks
            .iter()
            .filter(|task| matches!(done.get(&task.id), Some(TaskDone::Skipped(_))))
            .count(),
    }
}

/// The unit of a step, and what it moves.
fn unit_and_route(tasks: &[&PlannedTask]) -> (&'static str, String) {
    let mut froms = std::collections::BTreeSet::new();
    let mut intos = std::collections::BTreeSet::new();
    let mut unit = "tasks";
    for task in tasks {
        match &task.action {
            Action::Load(load) => {
                unit = "tables";
                froms.insert(load.connection.name.clone());
                intos.insert(load.table.target.schema().to_owned());
            }
            Action::Model(model) => {
                unit = "models";
                intos.insert(model.table.target.schema().to_owned());
            }
            Action::Publish(publish) => {
                unit = if holds_files(&publish.connection.kind) {
                    "files"
                } else {
                    "tables"
                };
                froms.insert(publish.from.schema().to_owned());
                intos.insert(publish.connection.name.clone());
            }
            Action::Command(command) => {
                unit = "commands";
                intos.extend(command.argv.first().cloned());
            }
            Action::Sql(sql) => {
                unit = "SQL steps";
                intos.insert(sql.connection.name.clone());
            }
            Action::Http(http) => {
                unit = "requests";
                intos.insert(http.method.clone());
            }
        }
    }
    let list = |names: std::collections::BTreeSet<String>| {
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    let (from, into) = (list(froms), list(intos));
    (
        unit,
        if from.is_empty() {
            into
        } else {
            format!("{from} → {into}")
        },
    )
}

fn unchanged(pipeline: &PlannedPipeline, record: &RunRecord) -> UpToDateTasks {
    let mut count = UpToDateTasks::default();
    for task in &pipeline.tasks {
        if state_of(record, &task.id) != Some(TaskState::Unchanged) {
            continue;
        }
        match task.action {
            Action::Load(_) => count.loads += 1,
            Action::Model(_) => count.models += 1,
            Action::Publish(_) => count.publishes += 1,
            Action::Command(_) | Action::Sql(_) | Action::Http(_) => {}
        }
    }
    count
}

fn slowest(record: &RunRecord) -> Option<(TaskId, u64)> {
    record
        .tasks
        .iter()
        .filter_map(|task| {
            let took = task.ended_us? - task.started_us?;
            Some((task.id.clone(), u64::try_from(took).unwrap_or(0)))
        })
        .max_by_key(|(_, took)| *took)
}
