//! `run`: from a project folder to a report.
//!
//! It checks the project, opens the services, creates a run or resumes the interrupted one, starts the
//! driver, and builds the report. A second run of the same pipeline is refused, or waits for the first with
//! `--wait`. Read next: `opening.rs` (how a run begins), `tasks/` (what its tasks do), `rerun.rs` (a past
//! run again).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towpath_flow::Progress;
use towpath_orchestrator::{DriveObserver, RunSetup, drive};
use towpath_ports::{Clock, Interval, RunRecord, RunState, Submission, System};
use towpath_project::{TaskSelection, after};
use towpath_vocab::{Diagnostic, Plan, PlannedPipeline, RunName, TableName, TaskId, Threshold};

use crate::Result;
use crate::check::{CheckReport, CheckRequest, check};
use crate::discovery::{PATTERN_WITHOUT_FACTS, observe_all};
use crate::known_secrets::redaction;
use crate::limited_plan::limited_plan;
use crate::new_notes::sort_notes;
use crate::opening::{LEASE_US, open_run};
use crate::report::{EndedRun, RunReport};
use crate::select::chosen;
use crate::services::ProjectServices;
use crate::tasks::{
    IntervalTexts, RunExecutor, RunExecutorOptions, RunScope, all_done, changing_models,
    run_folder, run_id, tidy,
};

/// The note of a run with `--limit`.
const SAMPLE: &str = "this is a sample: the tables of the lakehouse have not changed. To query it: towpath query --sample \"select …\"";
/// The time that attempts have to stop after Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`.
    pub environment: Option<String>,
    /// `PIPELINE[.STEP]`.
    pub pipeline_or_step: Option<String>,
    /// `--select`, `--exclude`.
    pub choice: TaskSelection,
    /// `--full-refresh`.
    pub full_refresh: bool,
    /// `--limit`.
    pub limit: Option<u64>,
    /// `--param k=v`.
    pub params: BTreeMap<String, String>,
    /// `--fail-above T=6%`.
    pub fail_above: BTreeMap<TableName, Threshold>,
    /// `--delete-above T=100%`.
    pub delete_above: BTreeMap<TableName, Threshold>,
    /// `--wait`.
    pub wait: Wait,
    /// The interval that the run is about.
    pub interval: Option<Interval>,
    /// Whether a scheduler begins it: the interval must wait for its run.
    pub scheduled: bool,
    /// With `scheduled`: the backfill in which the interval must wait, instead of the schedule.
    pub backfill: Option<u64>,
    /// The memory budget, instead of the project's.
    pub memory_bytes: Option<u64>,
    /// The request of a client that it answers: its key has one run.
    pub submission: Option<Submission>,
}

/// What a run does while another run of its pipeline is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// It is refused.
    #[default]
    No,
    /// It waits until the other one ends.
    Yes,
    /// It waits, but not longer than this.
    AtMost(Duration),
}

/// The result of a run, or why there was none.
pub enum RunResult {
    /// It ran.
    Report(Box<RunReport>),
    /// The project has mistakes.
    InvalidProject(Box<CheckReport>),
    /// There was nothing to run, for this reason.
    NothingToRun(String),
}

/// Observes a run.
pub trait RunObserver: Send + Sync {
    /// A run waits for another one to end.
    fn waits(&self, running: &RunRecord);

    /// A run begins: its name, its graph, live counters.
    fn begins(&self, record: &RunRecord, pipeline: &PlannedPipeline, progress: Arc<Progress>);

    /// The observer of the events of the run.
    fn drive_observer(&self) -> Arc<dyn DriveObserver>;

    /// Notes and warnings of the check.
    fn notes(&self, diagnostics: &[Diagnostic], files: &BTreeMap<String, String>);
}

/// Runs a pipeline.
///
/// # Errors
/// What prevented the run from starting or from being stored. Tasks that failed are in the report.
pub async fn run(
    request: &RunRequest,
    observer: &dyn RunObserver,
    cancel: CancellationToken,
) -> Result<RunResult> {
    let mut checked = checked(request).await?;
    if (request.scheduled || request.submission.is_some()) && checked.plan.is_none() {
        checked = valid_part(request, checked).await?;
    }
    let Some(plan) = checked.plan.clone() else {
        return Ok(RunResult::InvalidProject(Box::new(checked)));
    };
    observer.notes(&checked.diagnostics, &checked.files);
    let pipeline = chosen(&plan, request.pipeline_or_step.as_deref(), &request.choice)?;
    let model_environment = plan.environment.clone();
    let (plan, notes) = match request.limit {
        Some(_) => (limited_plan(&plan), vec![SAMPLE.to_owned()]),
        None => (plan, Vec::new()),
    };
    let memory = request.memory_bytes.or(checked.memory_bytes);
    let services =
        ProjectServices::of_limited_plan(&request.dir, &plan, &model_environment, memory)?;
    let going = PendingRun {
        services: Arc::new(services),
        plan: &plan,
        pipeline: &pipeline,
        request,
        rerun_of: None,
        notes,
    };
    let report = going.execute(observer, cancel).await?;
    Ok(RunResult::Report(Box::new(report)))
}

/// A run before it is opened.
pub(crate) struct PendingRun<'a> {
    pub(crate) services: Arc<ProjectServices>,
    pub(crate) plan: &'a Plan,
    pub(crate) pipeline: &'a PlannedPipeline,
    pub(crate) request: &'a RunRequest,
    /// The run that is rerun.
    pub(crate) rerun_of: Option<RunName>,
    /// Notes that are not about a table.
    pub(crate) notes: Vec<String>,
}

impl PendingRun<'_> {
    /// Opens or resumes the run, drives it, and returns its report.
    pub(crate) async fn execute(
        self,
        observer: &dyn RunObserver,
        cancel: CancellationToken,
    ) -> Result<RunReport> {
        let services = &self.services;
        let worker = format!("{}-{:x}", std::process::id(), services.system.random());
        let (record, resumed) = open_run(&self, &worker, observer, &cancel).await?;
        let began_us = services.system.monotonic_us();
        let progress = Arc::new(Progress::default());
        observer.begins(&record, self.pipeline, Arc::clone(&progress));
        let executor = Arc::new(self.executor(&record, progress));
        let record = match resumed {
            true => self.refreshed(record, &executor).await?,
            false => record,
        };
        let summary = drive(RunSetup {
            pipeline: self.pipeline,
            record,
            store: Arc::clone(&services.store) as _,
            system: Arc::clone(&services.system) as _,
            executor: Arc::clone(&executor) as _,
            cancel,
            worker,
            lease_us: LEASE_US,
            grace: GRACE,
            observer: observer.drive_observer(),
        })
        .await?;
        if summary.record.state == RunState::Succeeded {
            tidy(
                &executor.folder,
                summary.record.tasks.iter().map(|task| &task.id),
            );
        }
        let done = match resumed {
            true => all_done(self.pipeline, &summary.record, executor.done()),
            false => executor.done(),
        };
        let ended = EndedRun {
            project: &self.plan.name,
            pipeline: self.pipeline,
            record: &summary.record,
            resumed,
            rerun_of: self.rerun_of.as_ref(),
            notes: &self.notes,
            limit: self.request.limit,
            done: &done,
            elapsed_us: services.system.monotonic_us().saturating_sub(began_us),
            budget_bytes: services.budget_bytes,
        };
        services.close_quarantine();
        let mut report = RunReport::new(&ended);
        let name = &self.pipeline.name;
        sort_notes(services, &self.plan.environment, name, &mut report).await;
        Ok(report)
    }

    /// A resumed run in which tasks whose inputs have changed since, and all tasks that depend on them,
    /// wait again.
    async fn refreshed(&self, record: RunRecord, executor: &RunExecutor) -> Result<RunRecord> {
        let outdated = executor.outdated(self.pipeline, &record).await;
        if outdated.is_empty() {
            return Ok(record);
        }
        let again: Vec<TaskId> = after(self.pipeline, &outdated).into_iter().collect();
        let now_us = self.services.system.now_us();
        let store = &self.services.store;
        store
            .reopen(&record.name, &record.environment, &again, now_us)
            .await
    }

    /// An interval as programs get it.
    fn interval(&self, interval: Interval) -> IntervalTexts {
        let schedule = self.pipeline.schedule.as_ref();
        IntervalTexts::new(interval, schedule.map(|plan| plan.timezone.as_str()))
    }

    fn executor(&self, record: &RunRecord, progress: Arc<Progress>) -> RunExecutor {
        let options = RunExecutorOptions {
            // A sample is rebuilt each time.
            full_refresh: self.request.full_refresh || self.request.limit.is_some(),
            limit: self.request.limit,
            fail_above: self.request.fail_above.clone(),
            delete_above: self.request.delete_above.clone(),
            rerun_of: self.rerun_of.clone(),
            changing: changing_models(self.plan),
            redaction: redaction(self.plan, &self.services.system),
        };
        let scope = RunScope {
            project: self.plan.project.clone(),
            environment: self.plan.environment.clone(),
            pipeline: self.pipeline.name.clone(),
            run: record.name.clone(),
            run_id: run_id(record),
            folder: run_folder(&self.services.dir, record),
            interval: record.interval.map(|interval| self.interval(interval)),
            moment_us: record.started_us,
        };
        RunExecutor::new(Arc::clone(&self.services), scope, options, progress)
    }
}

/// The project without the files of other pipelines that have mistakes, if the rest is valid then; else the
/// report with the mistakes. So a mistake in one pipeline does not stop the others of a server.
pub(crate) async fn valid_part(request: &RunRequest, report: CheckReport) -> Result<CheckReport> {
    let errors = report.diagnostics.iter().filter(|one| one.is_error());
    let files = errors.filter_map(|one| Some(one.span.as_ref()?.file.clone()));
    let broken: BTreeSet<String> = files
        .filter(|file| file.starts_with("pipelines/"))
        .collect();
    let pipeline = request.pipeline_or_step.as_deref();
    let is_own = |file: &String| {
        let name = Path::new(file).file_stem().and_then(|name| name.to_str());
        pipeline.is_some() && name == pipeline
    };
    if broken.is_empty() || broken.iter().any(is_own) {
        return Ok(report);
    }
    let valid = checked_without(request, broken).await?;
    Ok(match valid.plan.is_some() {
        true => valid,
        false => report,
    })
}

/// The checked project. If a table pattern needs the list of tables, the connections are read first.
pub(crate) async fn checked(request: &RunRequest) -> Result<CheckReport> {
    checked_without(request, BTreeSet::new()).await
}

async fn checked_without(request: &RunRequest, without: BTreeSet<String>) -> Result<CheckReport> {
    let asked = CheckRequest {
        dir: request.dir.clone(),
        environment: request.environment.clone(),
        params: request.params.clone(),
        without,
    };
    let first = check(&asked).await?;
    let needs = first
        .diagnostics
        .iter()
        .any(|d| d.code == PATTERN_WITHOUT_FACTS);
    match &first.plan {
        Some(plan) if needs => {
            let services = ProjectServices::of_plan(&request.dir, plan, first.memory_bytes)?;
            observe_all(&services, plan).await?;
        }
        _ => return Ok(first),
    }
    check(&asked).await
}
