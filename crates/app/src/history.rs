//! What happened: runs, checks over time, and why a task is where it is.
//!
//! It only reads. A run's lines are in `logs.rs`.

use serde::Serialize;
use towpath_ports::{RunFilter, RunRecord, StateStore, TaskRecord, TaskState};
use towpath_vocab::{CheckResult, Environment, Failure, PipelineName, Plan, Remedy, TableName};

use crate::Result;
use crate::house::House;

/// Runs, newest first.
pub async fn runs(
    house: &House,
    environment: &Environment,
    pipeline: Option<&str>,
    limit: u64,
) -> Result<Vec<RunRecord>> {
    let filter = RunFilter {
        pipeline: pipeline.map(PipelineName::new),
        environment: Some(environment.clone()),
        limit: Some(limit),
    };
    house.book.runs(filter).await
}

/// One check result with its run and time.
#[derive(Clone, Debug, Serialize)]
pub struct QualityLine {
    /// The run.
    pub run: String,
    /// When, in microseconds since 1970 UTC.
    pub at_us: i64,
    /// The result.
    #[serde(flatten)]
    pub result: CheckResult,
}

/// The last results of each check, by table and name.
///
/// # Errors
/// `FixConfig` when the table is no table's name.
pub async fn quality(
    house: &House,
    environment: &Environment,
    table: Option<&str>,
    last: u64,
) -> Result<Vec<QualityLine>> {
    let table: Option<TableName> = match table {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|error| Failure::new("R0982", Remedy::FixConfig, format!("{error}")))?,
        ),
    };
    let newest_first = house
        .book
        .checks(environment, table.as_ref(), u64::from(u32::MAX))
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
    Ok(kept)
}

/// Why a task is where it is.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    /// The task.
    pub task: String,
    /// Where it stands, in its newest run.
    pub state: Option<TaskState>,
    /// That run.
    pub run: Option<String>,
    /// Because of what.
    pub because: Vec<String>,
    /// What waits behind it.
    pub behind: Vec<String>,
    /// What a person can do, each a command.
    pub you_can: Vec<String>,
}

/// Explains a task or the task that writes a table.
///
/// # Errors
/// `FixConfig` when nothing has that name.
pub async fn why(house: &House, plan: &Plan, subject: &str) -> Result<Why> {
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
            format!("no task and no table is called `{subject}`"),
        )
        .help("look: towpath plan"));
    };
    let newest = runs(house, &plan.environment, Some(pipeline.name.as_str()), 1)
        .await?
        .into_iter()
        .next();
    let record = newest
        .as_ref()
        .and_then(|run| run.tasks.iter().find(|record| record.id == task.id));
    let children = pipeline
        .tasks
        .iter()
        .filter(|other| other.after.contains(&task.id));
    Ok(Why {
        task: task.id.to_string(),
        state: record.map(|record| record.state),
        run: newest.as_ref().map(|run| run.name.to_string()),
        because: because(record, newest.as_ref(), &task.after),
        behind: children.map(|child| child.id.to_string()).collect(),
        you_can: you_can(record, pipeline.name.as_str(), newest.as_ref()),
    })
}

fn because(
    record: Option<&TaskRecord>,
    run: Option<&RunRecord>,
    parents: &[towpath_vocab::TaskId],
) -> Vec<String> {
    let Some(record) = record else {
        return vec!["it has not run yet".to_owned()];
    };
    match record.state {
        TaskState::Succeeded => vec!["it ended well".to_owned()],
        TaskState::Unchanged => vec![
            "its definition and its inputs are as they were when it last ended well".to_owned(),
        ],
        TaskState::Failed => record
            .failure
            .iter()
            .map(|f| format!("{}: {}", f.code, f.message))
            .collect(),
        TaskState::Cancelled => vec!["it was stopped by the user".to_owned()],
        TaskState::Ready | TaskState::Running => vec!["it is on its way".to_owned()],
        TaskState::Retrying => {
            let failure = record
                .failure
                .iter()
                .map(|f| format!("its last attempt failed, {}: {}", f.code, f.message));
            failure
                .chain(["it waits for its next attempt".to_owned()])
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
        can.push(format!("read its lines: towpath logs {}", run.name));
    }
    can.push(match record.map(|record| record.state) {
        Some(TaskState::Unchanged | TaskState::Succeeded) => {
            format!("do it anyway: towpath run {pipeline} --full-refresh")
        }
        _ => format!("go on: towpath run {pipeline}"),
    });
    can
}
