//! `rerun`: executes a past run again, with its pipeline, tasks, parameters and environment, as a new run.
//!
//! Promise: what can be written twice without harm is written again (tables that are replaced or merged,
//! views, commands). An append continues from its position, and rows that this run or a later one has
//! already appended are not appended again. The project's files are the present ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_ports::{RunFilter, RunRecord, StateStore, Submission, TaskState};
use towpath_project::{after, environment_of, keep};
use towpath_vocab::{Environment, Failure, PlannedPipeline, Remedy, RunName, TaskId};

use crate::Result;
use crate::check::open_store;
use crate::folder::ProjectFolder;
use crate::opening::StoredRequest;
use crate::run::{PendingRun, RunObserver, RunResult, Wait, checked};
use crate::select::{from_step, pipeline};
use crate::services::ProjectServices;

/// What to run again.
#[derive(Clone, Debug, Default)]
pub struct RerunRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`: the environment of the run.
    pub environment: Option<String>,
    /// The run; `None` means the newest.
    pub run: Option<String>,
    /// Which of its tasks.
    pub part: RerunScope,
    /// `--wait`.
    pub wait: Wait,
    /// The memory budget, instead of the project's.
    pub memory_bytes: Option<u64>,
    /// The request of a client that it answers: its key has one run.
    pub submission: Option<Submission>,
}

/// Which tasks of a past run are run again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RerunScope {
    /// All.
    #[default]
    All,
    /// Those that did not end well, and what depends on them.
    Failed,
    /// Those of a step, and what depends on them.
    From(String),
}

/// Executes a past run again.
///
/// # Errors
/// R0980, R0981 if there is no such run, R0967 if none of its tasks is in the project any more, and those
/// of `run`.
pub async fn rerun(
    request: &RerunRequest,
    observer: &dyn RunObserver,
    cancel: CancellationToken,
) -> Result<RunResult> {
    let past = past(request).await?;
    let mut asked = StoredRequest::of(&past)?.again(&past, &request.dir);
    asked.wait = request.wait;
    asked.memory_bytes = request.memory_bytes;
    asked.submission.clone_from(&request.submission);
    let checked = checked(&asked).await?;
    let Some(plan) = checked.plan.clone() else {
        return Ok(RunResult::InvalidProject(Box::new(checked)));
    };
    observer.notes(&checked.diagnostics, &checked.files);
    let whole = pipeline(&plan, Some(past.name.pipeline.as_str()))?;
    let (did, gone) = still_there(whole, &past)?;
    let tasks = match &request.part {
        RerunScope::All => did,
        RerunScope::From(step) => {
            let behind = from_step(whole, step)?;
            did.intersection(&behind).cloned().collect()
        }
        RerunScope::Failed => {
            let behind = after(whole, &undone(&past));
            did.intersection(&behind).cloned().collect()
        }
    };
    if tasks.is_empty() {
        return Ok(RunResult::NothingToRun(nothing(&past, &request.part)));
    }
    let chosen = keep(whole, &tasks);
    let going = PendingRun {
        services: Arc::new(ProjectServices::of_plan(
            &request.dir,
            &plan,
            checked.memory_bytes,
        )?),
        plan: &plan,
        pipeline: &chosen,
        request: &asked,
        rerun_of: Some(past.name.clone()),
        notes: gone.into_iter().collect(),
    };
    let report = going.execute(observer, cancel).await?;
    Ok(RunResult::Report(Box::new(report)))
}

/// Tasks that did not end well: failed, stopped, skipped, not started, or lost with their process.
fn undone(past: &RunRecord) -> BTreeSet<TaskId> {
    let tasks = past.tasks.iter();
    tasks
        .filter(|task| !matches!(task.state, TaskState::Succeeded | TaskState::Unchanged))
        .map(|task| task.id.clone())
        .collect()
}

/// The run's tasks that are still in the project, and notes about the others.
fn still_there(
    pipeline: &PlannedPipeline,
    past: &RunRecord,
) -> Result<(BTreeSet<TaskId>, Option<String>)> {
    let there: BTreeSet<&TaskId> = pipeline.tasks.iter().map(|task| &task.id).collect();
    let (did, gone): (Vec<&TaskId>, Vec<&TaskId>) = past
        .tasks
        .iter()
        .map(|task| &task.id)
        .partition(|id| there.contains(id));
    let names: Vec<&str> = gone.iter().map(|id| id.as_str()).collect();
    if did.is_empty() && !gone.is_empty() {
        let message = format!(
            "none of the tasks of `{}` exist in the project any more",
            past.name
        );
        return Err(Failure::new("R0967", Remedy::FixConfig, message)
            .help(format!("it did: {}", names.join(", ")))
            .help(format!(
                "run the pipeline as it is now: towpath run {}",
                pipeline.name
            )));
    }
    let note = format!(
        "not run again, because no longer in the project: {}",
        names.join(", ")
    );
    let note = (!gone.is_empty()).then_some(note);
    Ok((did.into_iter().cloned().collect(), note))
}

fn nothing(past: &RunRecord, part: &RerunScope) -> String {
    let run = &past.name;
    match part {
        RerunScope::Failed => format!(
            "{run} has no failed task: nothing to run again. To run all of it again: towpath rerun {run}"
        ),
        RerunScope::From(step) => {
            format!("{run} ran no task in or after `{step}`: nothing to run again")
        }
        RerunScope::All => format!("{run} ran no task: nothing to run again"),
    }
}

/// The run of the request.
async fn past(request: &RerunRequest) -> Result<RunRecord> {
    let folder = ProjectFolder::read(&request.dir)?;
    let environment = environment_of(&folder.files, request.environment.as_deref());
    let store = open_store(&request.dir, &folder.files, &environment)?;
    let named = request.run.as_deref().map(parse).transpose()?;
    let found = match (&store, &named) {
        (None, _) => None,
        (Some(store), Some(name)) => store.run(name, &environment).await?,
        (Some(store), None) => newest(store, &environment).await?,
    };
    match (found, named) {
        (Some(record), _) => match record.kind.is_run() {
            true => Ok(record),
            false => {
                let what = record.tasks.first().map_or("", |task| task.id.as_str());
                let message = format!("`{}` is not a pipeline run: {what}", record.name);
                Err(Failure::new("R0968", Remedy::FixConfig, message).help("look: towpath runs"))
            }
        },
        (None, Some(name)) => Err(unknown(&request.dir, &folder, &name, &environment).await),
        (None, None) => Err(Failure::new(
            "R0981",
            Remedy::FixConfig,
            format!("nothing has run yet in `{environment}`"),
        )
        .help("to start: towpath run")),
    }
}

/// The newest run of kind `Run`.
async fn newest(
    store: &Arc<dyn StateStore>,
    environment: &Environment,
) -> Result<Option<RunRecord>> {
    let filter = RunFilter {
        pipeline: None,
        environment: Some(environment.clone()),
        limit: None,
    };
    let runs = store.runs(filter).await?;
    Ok(runs.into_iter().find(|record| record.kind.is_run()))
}

/// Parses the name of a run.
pub(crate) fn parse(text: &str) -> Result<RunName> {
    text.parse().map_err(|error| {
        Failure::new("R0980", Remedy::FixConfig, format!("{error}")).help("example: shop#212")
    })
}

/// The failure for an unknown run, which names another environment if the run is there.
async fn unknown(
    dir: &Path,
    folder: &ProjectFolder,
    name: &RunName,
    environment: &Environment,
) -> Failure {
    let message = format!("there is no run `{name}` in `{environment}`");
    let failure =
        Failure::new("R0981", Remedy::FixConfig, message).help("to list them: towpath runs");
    let others = towpath_state::local_environments(dir);
    for other in others.into_iter().filter(|other| other != environment) {
        let Ok(Some(store)) = open_store(dir, &folder.files, &other) else {
            continue;
        };
        if let Ok(Some(_)) = store.run(name, &other).await {
            return failure.help(format!("`{other}` has one: --env {other}"));
        }
    }
    failure
}
