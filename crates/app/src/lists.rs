//! What commands print with `--format json` as lists, and the HTTP API answers: one form for both.
//!
//! Promise: each has the version of its form. It only puts together what other use cases return. Read next:
//! `run_history.rs`, `schedule.rs`, `lake.rs`, `quarantine/mod.rs`.

use serde::Serialize;
use towpath_engine::lake::TableHistoryEntry;
use towpath_ports::{BackfillRecord, RunEvent, RunPage, RunRecord, RunState};
use towpath_vocab::{PipelineName, Plan, PlannedPipeline, RunName, StepName, TableName, TaskId};

use crate::Result;
use crate::backfill::backfills;
use crate::lake::{lake_describe, lake_history};
use crate::logs::{LogPiece, LogsRequest, ProgramOutput, logs};
use crate::names::{known_table, pipeline_called};
use crate::pause::PauseLine;
use crate::quarantine::{QuarantineLine, RejectedRecord, quarantine_list, quarantine_show};
use crate::rerun::parse;
use crate::run_history::{RunLine, line, runs};
use crate::schedule::{
    ScheduleLine, WaitingInterval, schedule_words, schedules, waiting_intervals,
};
use crate::services::ProjectServices;

/// Runs, and what waits for a run.
#[derive(Debug, Serialize)]
pub struct RunsReport {
    /// Version of this form; 1.
    pub version: u32,
    /// Runs, newest first.
    pub runs: Vec<RunLine>,
    /// The intervals that wait for their run.
    pub waiting: Vec<WaitingInterval>,
    /// The cursor of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `towpath runs`.
///
/// # Errors
/// R0920 if there is no such pipeline and never was one.
pub async fn runs_report(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: Option<&str>,
    limit: u64,
) -> Result<RunsReport> {
    Ok(RunsReport {
        version: 1,
        runs: runs(services, plan, pipeline, limit).await?,
        waiting: waiting_intervals(services, plan, pipeline).await?,
        next: None,
    })
}

/// Selects a page of runs.
#[derive(Clone, Debug)]
pub struct RunsPageRequest {
    /// Of this pipeline.
    pub pipeline: Option<String>,
    /// In this state.
    pub state: Option<RunState>,
    /// The cursor of the page.
    pub cursor: Option<String>,
    /// The most runs.
    pub limit: u64,
}

/// A page of runs. The first page has what waits, too.
///
/// # Errors
/// R0920 if there is no such pipeline and never was one, R0980 and R0808 if the cursor is none.
pub async fn runs_page(
    services: &ProjectServices,
    plan: &Plan,
    request: &RunsPageRequest,
) -> Result<RunsReport> {
    let pipeline = request.pipeline.as_deref();
    let page = RunPage {
        environment: plan.environment.clone(),
        pipeline: pipeline.map(PipelineName::new),
        state: request.state,
        after: request.cursor.as_deref().map(parse).transpose()?,
        // One more shows whether there is another page.
        limit: request.limit.saturating_add(1),
    };
    let mut records = services.store.api().runs_page(page).await?;
    let most = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let has_more = records.len() > most;
    records.truncate(most);
    let next = records.last().filter(|_| has_more);
    let next = next.map(|last| last.name.to_string());
    if let (Some(pipeline), true, None) = (pipeline, records.is_empty(), &request.cursor)
        && request.state.is_none()
    {
        pipeline_called(plan, pipeline)?;
    }
    let mut found = Vec::with_capacity(records.len());
    for record in records {
        found.push(line(services, record).await?);
    }
    let waiting = match request.cursor {
        None => waiting_intervals(services, plan, pipeline).await?,
        Some(_) => Vec::new(),
    };
    Ok(RunsReport {
        version: 1,
        runs: found,
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
}

/// One run with its tasks.
///
/// # Errors
/// R0980 and R0981 if there is no such run.
pub async fn run_details(services: &ProjectServices, plan: &Plan, run: &str) -> Result<RunDetails> {
    let name = parse(run)?;
    let found = services.store.run(&name, &plan.environment).await?;
    let record = found.ok_or_else(|| crate::logs::unknown(&plan.environment, Some(&name)))?;
    Ok(RunDetails {
        version: 1,
        run: line(services, record).await?,
    })
}

/// The lines of a run.
#[derive(Debug, Serialize)]
pub struct LogsReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The run in its present state.
    pub run: RunRecord,
    /// Its events.
    pub events: Vec<RunEvent>,
    /// What its programs printed.
    pub printed: Vec<ProgramOutput>,
}

impl From<LogPiece> for LogsReport {
    fn from(piece: LogPiece) -> Self {
        Self {
            version: 1,
            run: piece.run,
            events: piece.events,
            printed: piece.printed,
        }
    }
}

/// The lines of a run, or of one of its tasks.
///
/// # Errors
/// Those of `logs`.
pub async fn logs_report(
    services: &ProjectServices,
    plan: &Plan,
    run: &str,
    task: Option<&str>,
) -> Result<LogsReport> {
    let request = LogsRequest {
        run: Some(run.to_owned()),
        task: task.map(str::to_owned),
    };
    Ok(logs(services, &plan.environment, &request).await?.into())
}

/// All schedules.
#[derive(Debug, Serialize)]
pub struct SchedulesReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The schedules, by pipeline.
    pub schedules: Vec<ScheduleLine>,
}

/// `towpath schedule ls`.
///
/// # Errors
/// Those of the state store.
pub async fn schedules_report(services: &ProjectServices, plan: &Plan) -> Result<SchedulesReport> {
    Ok(SchedulesReport {
        version: 1,
        schedules: schedules(services, plan).await?,
    })
}

/// All backfills.
#[derive(Debug, Serialize)]
pub struct BackfillsReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The backfills, newest first.
    pub backfills: Vec<BackfillRecord>,
}

/// `towpath backfill ls`.
///
/// # Errors
/// Those of the state store.
pub async fn backfills_report(services: &ProjectServices, plan: &Plan) -> Result<BackfillsReport> {
    Ok(BackfillsReport {
        version: 1,
        backfills: backfills(services, plan).await?,
    })
}

/// The tables with rejected rows.
#[derive(Debug, Serialize)]
pub struct QuarantineReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The tables.
    pub tables: Vec<QuarantineLine>,
}

/// `towpath quarantine ls`.
///
/// # Errors
/// Those of the lakehouse.
pub async fn quarantine_report(
    services: &ProjectServices,
    plan: &Plan,
) -> Result<QuarantineReport> {
    Ok(QuarantineReport {
        version: 1,
        tables: quarantine_list(services, plan).await?,
    })
}

/// The rejected rows of a table.
#[derive(Debug, Serialize)]
pub struct RejectedRows {
    /// Version of this form; 1.
    pub version: u32,
    /// The table.
    pub table: TableName,
    /// The rows, newest first.
    pub rows: Vec<RejectedRecord>,
    /// How many rows of it are in the quarantine, in any state; nothing when none was ever rejected.
    #[serde(skip_serializing)]
    pub all: Option<u64>,
}

/// `towpath quarantine show`.
///
/// # Errors
/// R0982 and R0927 if there is no such table, and those of the lakehouse.
pub async fn rejected_rows(
    services: &ProjectServices,
    plan: &Plan,
    table: &str,
    limit: u64,
) -> Result<RejectedRows> {
    let table = known_table(services, plan, table).await?;
    let known = quarantine_list(services, plan).await?;
    let line = known.iter().find(|line| line.table == table.to_string());
    let rows = match line {
        Some(_) => quarantine_show(services, plan, &table, limit).await?,
        None => Vec::new(),
    };
    Ok(RejectedRows {
        version: 1,
        table,
        rows,
        all: line.map(|line| line.held + line.replayed + line.discarded + line.outdated),
    })
}

/// The versions of a table.
#[derive(Debug, Serialize)]
pub struct TableVersions {
    /// Version of this form; 1.
    pub version: u32,
    /// The table.
    pub table: String,
    /// The versions, newest first.
    pub history: Vec<TableHistoryEntry>,
}

/// `towpath lake history`.
///
/// # Errors
/// R0928 when there is no such table.
pub async fn table_versions(
    services: &ProjectServices,
    table: &str,
    limit: usize,
) -> Result<TableVersions> {
    Ok(TableVersions {
        version: 1,
        table: table.to_owned(),
        history: lake_history(services, table, limit).await?,
    })
}

/// The tables of the lakehouse.
#[derive(Debug, Serialize)]
pub struct LakeTables {
    /// Version of this form; 1.
    pub version: u32,
    /// The tables, by name.
    pub tables: Vec<LakeTableLine>,
}

/// A table or a view of the lakehouse.
#[derive(Debug, Serialize)]
pub struct LakeTableLine {
    /// Its name.
    pub table: String,
    /// True for a view, which has no rows of its own.
    pub is_view: bool,
    /// The version that readers see.
    pub table_version: u64,
    /// The number of rows, if the files have it.
    pub rows: Option<u64>,
    /// Files.
    pub files: Option<u64>,
    /// Their size.
    pub bytes: Option<u64>,
}

/// All tables and views of the lakehouse.
///
/// # Errors
/// Those of the lakehouse.
pub async fn lake_tables(services: &ProjectServices) -> Result<LakeTables> {
    let mut tables = Vec::new();
    for name in services.lake.tables().await? {
        if services.lake.version(&name).await?.is_some() {
            let found = lake_describe(services, &name.to_string()).await?;
            tables.push(LakeTableLine {
                table: found.table,
                is_view: false,
                table_version: found.table_version,
                rows: found.rows,
                files: Some(found.files),
                bytes: Some(found.bytes),
            });
        } else if let Some(view) = services.lake.view(&name).await? {
            tables.push(LakeTableLine {
                table: name.to_string(),
                is_view: true,
                table_version: view.version,
                rows: None,
                files: None,
                bytes: None,
            });
        }
    }
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(LakeTables { version: 1, tables })
}

/// The pipelines of a project.
#[derive(Debug, Serialize)]
pub struct PipelinesReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The pipelines, by name.
    pub pipelines: Vec<PipelineLine>,
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
    pub last: Option<NewestRun>,
}

/// The newest run of a pipeline, without its tasks.
#[derive(Debug, Serialize)]
pub struct NewestRun {
    /// Its name.
    pub name: RunName,
    /// Its state.
    pub state: RunState,
    /// True if its process died before the run ended.
    pub interrupted: bool,
    /// When it began, in microseconds since 1970 UTC.
    pub started_us: i64,
    /// When it ended.
    pub ended_us: Option<i64>,
}

/// All pipelines.
///
/// # Errors
/// Those of the state store.
pub async fn pipelines_report(services: &ProjectServices, plan: &Plan) -> Result<PipelinesReport> {
    let schedules = schedules(services, plan).await?;
    let mut pipelines = Vec::with_capacity(plan.pipelines.len());
    for one in &plan.pipelines {
        pipelines.push(pipeline_line(services, plan, one, &schedules).await?);
    }
    Ok(PipelinesReport {
        version: 1,
        pipelines,
    })
}

async fn pipeline_line(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: &PlannedPipeline,
    schedules: &[ScheduleLine],
) -> Result<PipelineLine> {
    let name = pipeline.name.as_str();
    let newest = runs(services, plan, Some(name), 1)
        .await?
        .into_iter()
        .next();
    let mut found = schedules.iter();
    let found = found.find(|line| line.pipeline == name);
    Ok(PipelineLine {
        pipeline: pipeline.name.clone(),
        steps: pipeline.steps.clone(),
        tasks: pipeline.tasks.len(),
        schedule: pipeline.schedule.as_ref().map(schedule_words),
        next: found.and_then(|line| line.next.clone()),
        paused: found.and_then(|line| line.paused.clone()),
        last: newest.map(|line| NewestRun {
            name: line.record.name,
            state: line.record.state,
            interrupted: line.interrupted,
            started_us: line.record.started_us,
            ended_us: line.record.ended_us,
        }),
    })
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
    pipeline_called(plan, name)?;
    let schedules = schedules(services, plan).await?;
    let mut found = plan.pipelines.iter();
    let found = found.find(|one| one.name.as_str() == name);
    let found = found.ok_or_else(|| crate::names::no_pipeline(plan, name))?;
    let nodes = found.tasks.iter().map(|task| GraphNode {
        id: task.id.clone(),
        step: task.step.clone(),
        after: task.after.clone(),
    });
    Ok(PipelineDetails {
        version: 1,
        line: pipeline_line(services, plan, found, &schedules).await?,
        graph: nodes.collect(),
    })
}
