//! `run`: from a project folder to a report.
//!
//! Check, open the house, take up the interrupted run or begin a new one, drive it, tell. The second
//! run of the same pipeline at the same time is refused with the running one's name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use towpath_flow::Progress;
use towpath_orchestrator::{RunSetup, RunSink, drive};
use towpath_ports::{Clock, NewRun, Opened, RunRecord, StateStore, System};
use towpath_vocab::{Diagnostic, Failure, Plan, PlannedPipeline, Remedy, TableName, Threshold};

use crate::Result;
use crate::check::{CheckReport, CheckRequest, check};
use crate::discovery::{PATTERN_WITHOUT_FACTS, observe_all};
use crate::house::House;
use crate::report::{Ended, RunReport};
use crate::select::{only_step, pipeline};
use crate::work::{Scope, Work, WorkOptions, essence};

/// A worker that has not renewed for this long is dead.
const LEASE_US: i64 = 20_000_000;

/// How long attempts may take to stop after Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);

/// What is to be run.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`.
    pub environment: Option<String>,
    /// `PIPELINE[.STEP]`.
    pub target: Option<String>,
    /// `--full-refresh`.
    pub full_refresh: bool,
    /// `--limit`.
    pub limit: Option<u64>,
    /// `--param k=v`.
    pub params: BTreeMap<String, String>,
    /// `--fail-above T=6%`.
    pub fail_above: BTreeMap<TableName, Threshold>,
}

/// How a run came out, or why there was none.
pub enum Ran {
    /// It ran.
    Report(Box<RunReport>),
    /// The project has mistakes.
    Wrong(Box<CheckReport>),
}

/// Who watches a run.
pub trait Watch: Send + Sync {
    /// A run begins: its name, its graph, live counters.
    fn begins(&self, record: &RunRecord, pipeline: &PlannedPipeline, progress: Arc<Progress>);

    /// Where task changes go.
    fn sink(&self) -> Arc<dyn RunSink>;

    /// Notes and warnings of the check.
    fn notes(&self, diagnostics: &[Diagnostic], files: &BTreeMap<String, String>);
}

/// Runs a pipeline.
///
/// # Errors
/// What kept a run from beginning or from being recorded. Tasks that failed stand in the report.
pub async fn run(
    request: &RunRequest,
    watch: &dyn Watch,
    cancel: CancellationToken,
) -> Result<Ran> {
    let checked = checked(request).await?;
    let Some(plan) = checked.plan.clone() else {
        return Ok(Ran::Wrong(Box::new(checked)));
    };
    watch.notes(&checked.diagnostics, &checked.files);
    let pipeline = selected(&plan, request.target.as_deref())?;
    let house = Arc::new(House::of_plan(&request.dir, &plan, checked.memory_bytes)?);
    let began_us = house.system.monotonic_us();
    let worker = format!("{}-{:x}", std::process::id(), house.system.random());
    let (record, resumed) = open_run(&house, &plan, &pipeline, request, &worker).await?;
    let progress = Arc::new(Progress::default());
    watch.begins(&record, &pipeline, Arc::clone(&progress));
    let options = WorkOptions {
        full_refresh: request.full_refresh,
        limit: request.limit,
        fail_above: request.fail_above.clone(),
    };
    let scope = Scope {
        project: plan.project.clone(),
        environment: plan.environment.clone(),
        pipeline: pipeline.name.clone(),
        run: record.name.clone(),
    };
    let work = Arc::new(Work::new(Arc::clone(&house), scope, options, progress));
    let summary = drive(RunSetup {
        pipeline: &pipeline,
        record,
        store: Arc::clone(&house.book) as _,
        system: Arc::clone(&house.system) as _,
        work: Arc::clone(&work) as _,
        cancel,
        worker,
        lease_us: LEASE_US,
        grace: GRACE,
        sink: watch.sink(),
    })
    .await?;
    let ended = Ended {
        project: &plan.name,
        pipeline: &pipeline,
        record: &summary.record,
        resumed,
        done: &work.done(),
        elapsed_us: house.system.monotonic_us().saturating_sub(began_us),
        budget_bytes: house.budget_bytes,
    };
    Ok(Ran::Report(Box::new(RunReport::new(&ended))))
}

/// The checked project. When a table pattern needs to know what there is, connections are looked at
/// first.
async fn checked(request: &RunRequest) -> Result<CheckReport> {
    let asked = CheckRequest {
        dir: request.dir.clone(),
        environment: request.environment.clone(),
        params: request.params.clone(),
    };
    let first = check(&asked).await?;
    let needs = first
        .diagnostics
        .iter()
        .any(|d| d.code == PATTERN_WITHOUT_FACTS);
    match &first.plan {
        Some(plan) if needs => {
            let house = House::of_plan(&request.dir, plan, first.memory_bytes)?;
            observe_all(&house, plan).await?;
        }
        _ => return Ok(first),
    }
    check(&asked).await
}

fn selected(plan: &Plan, target: Option<&str>) -> Result<PlannedPipeline> {
    let (name, step) = match target.and_then(|target| target.split_once('.')) {
        Some((name, step)) => (Some(name), Some(step)),
        None => (target, None),
    };
    let whole = pipeline(plan, name)?;
    match step {
        Some(step) => only_step(whole, step),
        None => Ok(whole.clone()),
    }
}

async fn open_run(
    house: &House,
    plan: &Plan,
    pipeline: &PlannedPipeline,
    request: &RunRequest,
    worker: &str,
) -> Result<(RunRecord, bool)> {
    let new = NewRun {
        pipeline: pipeline.name.clone(),
        environment: plan.environment.clone(),
        graph_hash: graph_hash(plan, pipeline, request)?,
        tasks: pipeline.tasks.iter().map(|task| task.id.clone()).collect(),
        request: serde_json::json!({
            "target": request.target,
            "full_refresh": request.full_refresh,
            "limit": request.limit,
            "params": request.params,
        }),
        worker: worker.to_owned(),
        now_us: house.system.now_us(),
        lease_us: LEASE_US,
    };
    match house.book.open_run(new).await? {
        Opened::New(record) => Ok((record, false)),
        Opened::Resumed(record) => Ok((record, true)),
        Opened::Busy(record) => Err(Failure::new(
            "R0960",
            Remedy::Refused,
            format!("`{}` is running already: {}", pipeline.name, record.name),
        )
        .help(format!("look: towpath logs {}", record.name))
        .help("a second run of the same pipeline would only get in its way")),
    }
}

/// An interrupted run is taken up only when the graph and what was asked are the same.
fn graph_hash(plan: &Plan, pipeline: &PlannedPipeline, request: &RunRequest) -> Result<String> {
    let asked = (request.full_refresh, request.limit);
    let mut graph = serde_json::to_value((pipeline, &plan.lakehouse, asked)).map_err(|error| {
        Failure::new(
            "R0961",
            Remedy::Bug,
            format!("the graph cannot be hashed: {error}"),
        )
    })?;
    essence(&mut graph);
    Ok(Sha256::digest(graph.to_string())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
