//! What only the HTTP API answers: lists in pages, and one run or pipeline with what a person wants to see of it.
//!
//! Promise: a list is given in pages that lead to each other, so that no answer grows with the history of a project.
//! It only puts together what other use cases return. Read next: `table_pages.rs` (tables, checks, rejected rows),
//! `lists.rs` (the forms that commands print, too), `run_history.rs`, `schedule.rs`.

use std::collections::BTreeMap;

use serde::Serialize;
use towpath_ports::{
    Interval, RunKind, RunPage, RunRecord, RunState, RunStop, RunSummary, TaskRecord, TaskState,
};
use towpath_vocab::{
    Action, Environment, Failure, PipelineName, Plan, PlannedPipeline, Remedy, RunName, StepName,
    TableName, TaskId,
};

use crate::Result;
use crate::lineage::tables_of;
use crate::lists::{BackfillsReport, SchedulesReport, backfills_report};
use crate::names::{no_pipeline, pipeline_called};
use crate::pause::PauseLine;
use crate::rerun::parse;
use crate::run_history::{RowCounts, RunLine, because, line};
use crate::schedule::{WaitingInterval, schedule_line, schedule_words, waiting_intervals};
use crate::services::ProjectServices;

/// The newest runs that a pipeline shows.
const RECENT: u64 = 20;

/// The most tasks of a run in a list.
const LISTED_TASKS: usize = 100;

/// Selects a page.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// The most entries.
    pub limit: u64,
}

impl PageRequest {
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// The page of a list, and the cursor of the next one. `is_after` says which entries come behind a cursor;
    /// they follow each other.
    pub(crate) fn of<T>(
        &self,
        all: Vec<T>,
        is_after: impl Fn(&T, &str) -> bool,
        cursor: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let mut rest = all.into_iter().skip_while(|one| {
            let text = self.cursor.as_deref();
            text.is_some_and(|text| !is_after(one, text))
        });
        let page: Vec<T> = rest.by_ref().take(self.most()).collect();
        let next = rest.next().is_some();
        let next = page.last().filter(|_| next).map(cursor);
        (page, next)
    }

    /// A cursor that is a number.
    pub(crate) fn number(&self) -> Result<Option<u64>> {
        let text = self.cursor.as_deref();
        text.map(|text| text.parse().map_err(|_| wrong_cursor(text)))
            .transpose()
    }
}

pub(crate) fn wrong_cursor(text: &str) -> Failure {
    let message = format!("`{}` is no cursor of this list", text.escape_debug());
    Failure::new("R1131", Remedy::FixConfig, message)
        .help("send the `next` of the page before as it came, or no cursor for the first page")
}

/// Selects a page of runs.
#[derive(Clone, Debug)]
pub struct RunsPageRequest {
    /// Of this pipeline.
    pub pipeline: Option<String>,
    /// In this state.
    pub state: Option<RunState>,
    /// Which page.
    pub page: PageRequest,
}

/// A page of runs.
#[derive(Debug, Serialize)]
pub struct RunsPage {
    /// Version of this form; 1.
    pub version: u32,
    /// Runs, newest first.
    pub runs: Vec<RunPageLine>,
    /// The intervals that wait for their run; on the first page.
    pub waiting: Vec<WaitingInterval>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A run in a list. `GET /runs/{id}` has all of it.
#[derive(Debug, Serialize)]
pub struct RunPageLine {
    name: RunName,
    environment: Environment,
    kind: RunKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<Interval>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, String>,
    state: RunState,
    interrupted: bool,
    started_us: i64,
    ended_us: Option<i64>,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<RunStop>,
    worker: String,
    counts: RowCounts,
    /// How many tasks are in each state.
    task_states: BTreeMap<TaskState, u64>,
    /// The first of its tasks: `task_states` counts all.
    tasks: Vec<TaskPageLine>,
}

/// A task of a run in a list.
#[derive(Debug, Serialize)]
pub struct TaskPageLine {
    id: TaskId,
    state: TaskState,
    attempt: u32,
    started_us: Option<i64>,
    ended_us: Option<i64>,
    /// The code of its failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Who must act then.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<Remedy>,
}

impl From<TaskRecord> for TaskPageLine {
    fn from(task: TaskRecord) -> Self {
        Self {
            id: task.id,
            state: task.state,
            attempt: task.attempt,
            started_us: task.started_us,
            ended_us: task.ended_us,
            remedy: task.failure.as_ref().map(|failure| failure.remedy),
            code: task.failure.map(|failure| failure.code),
        }
    }
}

impl From<RunLine> for RunPageLine {
    fn from(line: RunLine) -> Self {
        let record = line.record;
        let mut task_states = BTreeMap::new();
        for task in &record.tasks {
            *task_states.entry(task.state).or_insert(0) += 1;
        }
        let tasks = record.tasks.into_iter().take(LISTED_TASKS);
        Self {
            name: record.name,
            environment: record.environment,
            kind: record.kind,
            interval: record.interval,
            params: record.params,
            state: record.state,
            interrupted: line.interrupted,
            started_us: record.started_us,
            ended_us: record.ended_us,
            duration_us: line.duration_us,
            deadline_us: record.deadline_us,
            stop: record.stop,
            worker: record.worker,
            counts: line.counts,
            task_states,
            tasks: tasks.map(TaskPageLine::from).collect(),
        }
    }
}

/// A page of runs. The first page has what waits, too.
///
/// # Errors
/// R0920 if there is no such pipeline and never was one, R0980 and R0808 if the cursor is none.
pub async fn runs_page(
    services: &ProjectServices,
    plan: &Plan,
    request: &RunsPageRequest,
) -> Result<RunsPage> {
    let (pipeline, cursor) = (request.pipeline.as_deref(), &request.page.cursor);
    let page = RunPage {
        environment: plan.environment.clone(),
        pipeline: pipeline.map(PipelineName::new),
        state: request.state,
        after: cursor.as_deref().map(parse).transpose()?,
        // One more shows whether there is another page.
        limit: request.page.limit.saturating_add(1),
    };
    let mut records = services.store.api().runs_page(page).await?;
    let has_more = records.len() > request.page.most();
    records.truncate(request.page.most());
    let next = records.last().filter(|_| has_more);
    let next = next.map(|last| last.name.to_string());
    if let (Some(pipeline), true, None, None) =
        (pipeline, records.is_empty(), cursor, request.state)
    {
        pipeline_called(plan, pipeline)?;
    }
    let mut runs = Vec::with_capacity(records.len());
    for record in records {
        runs.push(line(services, record).await?.into());
    }
    let waiting = match cursor {
        None => waiting_intervals(services, plan, pipeline).await?,
        Some(_) => Vec::new(),
    };
    Ok(RunsPage {
        version: 1,
        runs,
        waiting,
        next,
    })
}

/// One run.
#[derive(Debug, Serialize)]
pub struct RunDetails {
    /// Version of this form; 1.
    pub version: u32,
    /// The run with its tasks.
    #[serde(flatten)]
    pub run: RunLine,
    /// The tasks that wait or were skipped, and why.
    pub waits: Vec<TaskWait>,
}

/// Why a task waits.
#[derive(Debug, Serialize)]
pub struct TaskWait {
    /// The task.
    pub task: TaskId,
    /// The reasons.
    pub because: Vec<String>,
}

/// One run with its tasks.
///
/// # Errors
/// R0980 and R0981 if there is no such run.
pub async fn run_details(services: &ProjectServices, plan: &Plan, run: &str) -> Result<RunDetails> {
    let name = parse(run)?;
    let found = services.store.run(&name, &plan.environment).await?;
    let record = found.ok_or_else(|| crate::logs::unknown(&plan.environment, Some(&name)))?;
    details(services, plan, record).await
}

pub(crate) async fn details(
    services: &ProjectServices,
    plan: &Plan,
    record: RunRecord,
) -> Result<RunDetails> {
    let line = line(services, record).await?;
    Ok(RunDetails {
        version: 1,
        waits: waits(plan, &line),
        run: line,
    })
}

/// The graph is that of the present plan: a task that it does not have has no known parents.
fn waits(plan: &Plan, line: &RunLine) -> Vec<TaskWait> {
    let run = &line.record;
    let mut pipelines = plan.pipelines.iter();
    let pipeline = pipelines.find(|one| one.name == run.name.pipeline);
    let waiting = run.tasks.iter().filter(|task| {
        matches!(
            task.state,
            TaskState::Waiting | TaskState::Ready | TaskState::Retrying | TaskState::Skipped
        )
    });
    let wait = |task: &TaskRecord| {
        let planned = pipeline.and_then(|one| one.tasks.iter().find(|known| known.id == task.id));
        let parents = planned.map_or(&[][..], |planned| &planned.after);
        let because = match task.state {
            TaskState::Ready if !line.interrupted => vec!["the run has no free slot".to_owned()],
            _ => because(Some(task), Some(run), line.interrupted, parents),
        };
        TaskWait {
            task: task.id.clone(),
            because,
        }
    };
    waiting.map(wait).collect()
}

/// The pipelines of a project.
#[derive(Debug, Serialize)]
pub struct PipelinesReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The pipelines, by name.
    pub pipelines: Vec<PipelineLine>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A pipeline in a list.
#[derive(Debug, Serialize)]
pub struct PipelineLine {
    /// Its name.
    pub pipeline: PipelineName,
    /// Its steps, in the order of the file.
    pub steps: Vec<StepName>,
    /// How many tasks it has.
    pub tasks: usize,
    /// Its schedule in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When it runs next by its schedule, in the zone of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Set while a user has paused its schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseLine>,
    /// Its newest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<RunSummary>,
    /// Its newest runs, newest first.
    pub recent: Vec<RunSummary>,
}

/// A page of the pipelines.
///
/// # Errors
/// Those of the state store.
pub async fn pipelines_page(
    services: &ProjectServices,
    plan: &Plan,
    page: &PageRequest,
) -> Result<PipelinesReport> {
    let all: Vec<&PlannedPipeline> = plan.pipelines.iter().collect();
    let (chosen, next) = page.of(
        all,
        |one, cursor| one.name.as_str() > cursor,
        |one| one.name.to_string(),
    );
    Ok(PipelinesReport {
        version: 1,
        pipelines: pipeline_lines(services, plan, &chosen).await?,
        next,
    })
}

async fn pipeline_lines(
    services: &ProjectServices,
    plan: &Plan,
    pipelines: &[&PlannedPipeline],
) -> Result<Vec<PipelineLine>> {
    let names: Vec<PipelineName> = pipelines.iter().map(|one| one.name.clone()).collect();
    let api = services.store.api();
    let runs = api.newest_runs(&plan.environment, &names, Some(RunKind::Run), RECENT);
    let runs = runs.await?;
    let stored = services.store.schedules(&plan.environment).await?;
    let mut lines = Vec::with_capacity(pipelines.len());
    for pipeline in pipelines {
        let recent = runs.iter().filter(|run| run.name.pipeline == pipeline.name);
        let recent: Vec<RunSummary> = recent.cloned().collect();
        let schedule = schedule_line(services, plan, &stored, pipeline).await?;
        lines.push(PipelineLine {
            pipeline: pipeline.name.clone(),
            steps: pipeline.steps.clone(),
            tasks: pipeline.tasks.len(),
            schedule: pipeline.schedule.as_ref().map(schedule_words),
            next: schedule.as_ref().and_then(|line| line.next.clone()),
            paused: schedule.and_then(|line| line.paused),
            last: recent.first().cloned(),
            recent,
        });
    }
    Ok(lines)
}

/// One pipeline.
#[derive(Debug, Serialize)]
pub struct PipelineDetails {
    /// Version of this form; 1.
    pub version: u32,
    /// What the list has of it.
    #[serde(flatten)]
    pub line: PipelineLine,
    /// Its tasks, parents before children.
    pub graph: Vec<GraphNode>,
}

/// A task in the graph of a pipeline.
#[derive(Debug, Serialize)]
pub struct GraphNode {
    /// Its id.
    pub id: TaskId,
    /// Its step.
    pub step: StepName,
    /// What it does: `load`, `model`, `command` or `publish`.
    pub kind: &'static str,
    /// The tables that it writes.
    pub tables: Vec<TableName>,
    /// The tasks that it waits for.
    pub after: Vec<TaskId>,
}

/// One pipeline with its graph.
///
/// # Errors
/// R0920 when there is no such pipeline.
pub async fn pipeline_details(
    services: &ProjectServices,
    plan: &Plan,
    name: &str,
) -> Result<PipelineDetails> {
    let mut found = plan.pipelines.iter();
    let found = found.find(|one| one.name.as_str() == name);
    let found = found.ok_or_else(|| no_pipeline(plan, name))?;
    let nodes = found.tasks.iter().map(|task| {
        let kind = match &task.action {
            Action::Load(_) => "load",
            Action::Model(_) => "model",
            Action::Publish(_) => "publish",
            Action::Command(_) => "command",
            Action::Sql(_) => "sql",
            Action::Http(_) => "http",
        };
        GraphNode {
            id: task.id.clone(),
            step: task.step.clone(),
            kind,
            tables: tables_of(&task.action)
                .iter()
                .map(|table| table.target.clone())
                .collect(),
            after: task.after.clone(),
        }
    });
    let mut lines = pipeline_lines(services, plan, &[found]).await?;
    let line = lines.pop().ok_or_else(|| no_pipeline(plan, name))?;
    Ok(PipelineDetails {
        version: 1,
        line,
        graph: nodes.collect(),
    })
}

/// A page of the schedules.
///
/// # Errors
/// Those of the state store.
pub async fn schedules_page(
    services: &ProjectServices,
    plan: &Plan,
    page: &PageRequest,
) -> Result<SchedulesReport> {
    let all = plan.pipelines.iter().filter(|one| one.schedule.is_some());
    let (chosen, next) = page.of(
        all.collect(),
        |one, cursor| one.name.as_str() > cursor,
        |one| one.name.to_string(),
    );
    let stored = services.store.schedules(&plan.environment).await?;
    let mut schedules = Vec::with_capacity(chosen.len());
    for pipeline in chosen {
        schedules.extend(schedule_line(services, plan, &stored, pipeline).await?);
    }
    Ok(SchedulesReport {
        version: 1,
        schedules,
        next,
    })
}

/// A page of the backfills, newest first.
///
/// # Errors
/// Those of the state store, R1131 for a wrong cursor.
pub async fn backfills_page(
    services: &ProjectServices,
    plan: &Plan,
    page: &PageRequest,
) -> Result<BackfillsReport> {
    let below = page.number()?.unwrap_or(u64::MAX);
    let all = backfills_report(services, plan).await?.backfills;
    let (backfills, next) = page.of(
        all,
        |one, _| one.number < below,
        |one| one.number.to_string(),
    );
    Ok(BackfillsReport {
        version: 1,
        backfills,
        next,
    })
}
