//! `runs`, `quality` and `why`: past runs, results of checks over time, and the reason for a task's state.
//!
//! Promise: it only reads the state store, and returns values that `cli` prints. The log lines of a run are
//! read in `logs.rs`.

use serde::Serialize;
use towpath_ports::{Clock as _, RunFilter, RunRecord, RunState, TaskRecord, TaskState};
use towpath_vocab::{Action, CheckResult, Failure, PipelineName, Plan, Remedy, TableName};

use crate::Result;
use crate::names::{known_table, pipeline_called};
use crate::services::ProjectServices;
use crate::tasks::is_lost;

/// A run in its present state.
#[derive(Clone, Debug, Serialize)]
pub struct RunLine {
    /// The run.
    #[serde(flatten)]
    pub record: RunRecord,
    /// True if its process died before the run ended: the next run resumes it.
    pub interrupted: bool,
    /// How long it took, or has taken until now, in microseconds.
    pub duration_us: u64,
    /// The rows of all its tasks.
    pub counts: RowCounts,
}

/// Rows of a run: sums over the tasks that have stored how many they had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Rows that were read.
    pub rows_in: u64,
    /// Rows that were loaded.
    pub rows_loaded: u64,
    /// Rows that were rejected.
    pub rows_rejected: u64,
}

impl RowCounts {
    pub(crate) fn of(record: &RunRecord) -> Self {
        let mut sum = Self::default();
        for summary in record
            .tasks
            .iter()
            .filter_map(|task| task.outcome.summary())
        {
            let rows = |name: &str| summary[name].as_u64().unwrap_or(0);
            sum.rows_in += rows("rows_read");
            sum.rows_rejected += rows("rows_rejected");
            if summary["stopped"].is_null() {
                sum.rows_loaded += rows("rows_loaded");
            }
        }
        sum
    }
}

/// Runs, newest first.
///
/// # Errors
/// R0920 if there is no such pipeline and never was one.
pub(crate) async fn runs(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: Option<&str>,
    limit: u64,
) -> Result<Vec<RunLine>> {
    let filter = RunFilter {
        pipeline: pipeline.map(PipelineName::new),
        environment: Some(plan.environment.clone()),
        limit: Some(limit),
    };
    let records = services.store.runs(filter).await?;
    if let (Some(pipeline), true) = (pipeline, records.is_empty()) {
        pipeline_called(plan, pipeline)?;
    }
    let mut lines = Vec::with_capacity(records.len());
    for record in records {
        lines.push(line(services, record).await?);
    }
    Ok(lines)
}

/// A run, and whether its process lives.
pub(crate) async fn line(services: &ProjectServices, record: RunRecord) -> Result<RunLine> {
    let interrupted = record.state == RunState::Running && !services.store.is_live(&record).await?;
    let ended_us = record.ended_us.unwrap_or_else(|| services.system.now_us());
    Ok(RunLine {
        interrupted,
        duration_us: u64::try_from(ended_us.saturating_sub(record.started_us)).unwrap_or(0),
        counts: RowCounts::of(&record),
        record,
    })
}

/// The result of a check, with its run and time.
#[derive(Clone, Debug, Serialize)]
pub struct QualityLine {
    /// The run.
    pub run: String,
    /// The time in microseconds since 1970 UTC.
    pub at_us: i64,
    /// The result.
    #[serde(flatten)]
    pub result: CheckResult,
}

/// The results of checks.
#[derive(Clone, Debug, Serialize)]
pub struct QualityReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The last results of each check, by table and name.
    pub checks: Vec<QualityLine>,
    /// Tables whose checks ran in a process that died before it could store their results.
    pub lost: Vec<LostCheckResults>,
}

/// A table whose check results were lost.
#[derive(Clone, Debug, Serialize)]
pub struct LostCheckResults {
    /// The table.
    pub table: TableName,
    /// The run. It committed the table, so no check had failed.
    pub run: String,
}

/// The last results of each check.
///
/// # Errors
/// `FixConfig` when no table has that name.
pub async fn quality(
    services: &ProjectServices,
    plan: &Plan,
    table: Option<&str>,
    last: u64,
) -> Result<QualityReport> {
    let table = match table {
        None => None,
        Some(text) => Some(known_table(services, plan, text).await?),
    };
    let newest_first = services
        .store
        .checks(&plan.environment, table.as_ref(), u64::from(u32::MAX))
        .await?;
    let mut kept: Vec<QualityLine> = Vec::new();
    for (run, at_us, result) in newest_first {
        let same = |line: &&QualityLine| {
            line.result.table == result.table && line.result.name == result.name
        };
        if (kept.iter().filter(same).count() as u64) < last {
            kept.push(QualityLine {
                run: run.to_string(),
                at_us,
                result,
            });
        }
    }
    kept.sort_by(|a, b| {
        let key = |line: &QualityLine| (line.result.table.clone(), line.result.name.clone());
        key(a).cmp(&key(b)).then(b.at_us.cmp(&a.at_us))
    });
    Ok(QualityReport {
        version: 1,
        checks: kept,
        lost: lost(services, plan, table.as_ref()).await?,
    })
}

/// Tables whose newest commit was made by a process that died before it could store the results of its
/// checks.
async fn lost(
    services: &ProjectServices,
    plan: &Plan,
    only: Option<&TableName>,
) -> Result<Vec<LostCheckResults>> {
    let mut lost = Vec::new();
    for pipeline in &plan.pipelines {
        for task in &pipeline.tasks {
            let Some(table) = checked_table(&task.action) else {
                continue;
            };
            if only.is_some_and(|only| only != table) {
                continue;
            }
            let last = services
                .store
                .last_success(&plan.environment, &pipeline.name, &task.id)
                .await?;
            if let Some((run, record)) = last
                && is_lost(&record.outcome)
            {
                lost.push(LostCheckResults {
                    table: table.clone(),
                    run: run.to_string(),
                });
            }
        }
    }
    Ok(lost)
}

fn checked_table(action: &Action) -> Option<&TableName> {
    let plan = match action {
        Action::Load(load) => &load.table,
        Action::Model(model) => &model.table,
        Action::Publish(publish) => &publish.table,
        Action::Command(_) | Action::Sql(_) | Action::Http(_) => return None,
    };
    (!plan.checks.is_empty()).then_some(&plan.target)
}

/// Why a task is in its state.
#[derive(Clone, Debug, Serialize)]
pub struct TaskExplanation {
    /// The task.
    pub task: String,
    /// Its state in its newest run.
    pub state: Option<TaskState>,
    /// That run.
    pub run: Option<String>,
    /// True if the process of the run died before the run ended.
    pub interrupted: bool,
    /// The reasons.
    pub because: Vec<String>,
    /// The tasks that wait for it.
    pub behind: Vec<String>,
    /// What the user can do, each as a command.
    pub you_can: Vec<String>,
}

/// Explains the state of a task, or of the task that writes a table.
///
/// # Errors
/// `FixConfig` if nothing has that name.
pub async fn why(
    services: &ProjectServices,
    plan: &Plan,
    subject: &str,
) -> Result<TaskExplanation> {
    let found = plan.pipelines.iter().find_map(|pipeline| {
        let task = pipeline.tasks.iter().find(|task| {
            task.id.as_str() == subject
                || task
                    .id
                    .as_str()
                    .split_once('/')
                    .is_some_and(|(_, table)| table == subject)
        })?;
        Some((pipeline, task))
    });
    let Some((pipeline, task)) = found else {
        return Err(Failure::new(
            "R0983",
            Remedy::FixConfig,
            format!("there is no task or table `{subject}`"),
        )
        .help("look: towpath plan"));
    };
    let newest = runs(services, plan, Some(pipeline.name.as_str()), 1)
        .await?
        .into_iter()
        .next();
    let interrupted = newest.as_ref().is_some_and(|line| line.interrupted);
    let newest = newest.map(|line| line.record);
    let record = newest
        .as_ref()
        .and_then(|run| run.tasks.iter().find(|record| record.id == task.id));
    let children = pipeline
        .tasks
        .iter()
        .filter(|other| other.after.contains(&task.id));
    Ok(TaskExplanation {
        task: task.id.to_string(),
        state: record.map(|record| record.state),
        run: newest.as_ref().map(|run| run.name.to_string()),
        interrupted,
        because: because(record, newest.as_ref(), interrupted, &task.after),
        behind: children.map(|child| child.id.to_string()).collect(),
        you_can: you_can(record, pipeline.name.as_str(), newest.as_ref()),
    })
}

pub(crate) fn because(
    record: Option<&TaskRecord>,
    run: Option<&RunRecord>,
    interrupted: bool,
    parents: &[towpath_vocab::TaskId],
) -> Vec<String> {
    let Some(record) = record else {
        return vec!["it has not run yet".to_owned()];
    };
    if interrupted && !record.state.is_final() {
        let why = "the process of its run has ended; no partial result is visible";
        return vec![why.to_owned()];
    }
    match record.state {
        TaskState::Succeeded => vec!["it succeeded".to_owned()],
        TaskState::Unchanged => vec![
            "its definition and its inputs have not changed since it last succeeded".to_owned(),
        ],
        TaskState::Failed => record
            .failure
            .iter()
            .map(|f| format!("{}: {}", f.code, f.message))
            .collect(),
        TaskState::Cancelled => vec!["it was stopped by the user".to_owned()],
        TaskState::Ready | TaskState::Running => vec!["it is running".to_owned()],
        TaskState::Retrying => {
            let failure = record
                .failure
                .iter()
                .map(|f| format!("its last attempt failed, {}: {}", f.code, f.message));
            failure
                .chain(["it is waiting for its next attempt".to_owned()])
                .collect()
        }
        TaskState::Skipped | TaskState::Waiting => parents
            .iter()
            .filter_map(|parent| {
                let state = run?.tasks.iter().find(|task| task.id == *parent)?.state;
                (!matches!(state, TaskState::Succeeded | TaskState::Unchanged))
                    .then(|| format!("{parent} is {state:?}").to_lowercase())
            })
            .collect(),
    }
}

fn you_can(record: Option<&TaskRecord>, pipeline: &str, run: Option<&RunRecord>) -> Vec<String> {
    let mut can = Vec::new();
    if let Some(failure) = record.and_then(|record| record.failure.as_ref()) {
        can.extend(failure.help.iter().cloned());
    }
    if let Some(run) = run {
        can.push(format!("to read its log: towpath logs {}", run.name));
    }
    can.push(match record.map(|record| record.state) {
        Some(TaskState::Unchanged | TaskState::Succeeded) => {
            format!("run it anyway: towpath run {pipeline} --full-refresh")
        }
        _ => format!("to continue: towpath run {pipeline}"),
    });
    can
}
