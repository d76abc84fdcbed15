//! `plan`: what a run would do with each task, and why.
//!
//! Promise: nothing is changed and no external system is contacted. `tasks/forecast.rs` finds out what each
//! task would do; `cli/src/draw/plan.rs` prints the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_flow::Progress;
use towpath_ports::Clock as _;
use towpath_vocab::{PipelineName, Plan, PlannedPipeline, RunName, TaskId};

use crate::Result;
use crate::check::{CheckReport, state_location};
use crate::services::ProjectServices;
use crate::tasks::{Forecast, RunExecutor, RunExecutorOptions, RunScope, changing_models};

/// What a run of each pipeline of `chosen` would do with each task. `plan` is the whole project.
///
/// # Errors
/// If the state store or the lakehouse cannot be read.
pub async fn forecast(
    dir: &Path,
    report: &CheckReport,
    plan: &Plan,
    chosen: &Plan,
) -> Result<BTreeMap<PipelineName, BTreeMap<TaskId, Forecast>>> {
    let location = state_location(dir, &report.files, &plan.environment);
    let services = match towpath_state::exists(&location)? {
        true => Some(Arc::new(ProjectServices::of_plan(
            dir,
            plan,
            report.memory_bytes,
        )?)),
        // Opening the services would create folders.
        false => None,
    };
    let mut forecasts = BTreeMap::new();
    for pipeline in &chosen.pipelines {
        let of = match &services {
            Some(services) => {
                executor(services, plan, pipeline)
                    .forecast(pipeline)
                    .await?
            }
            None => {
                let tasks = pipeline.tasks.iter();
                tasks
                    .map(|task| (task.id.clone(), Forecast::does("nothing has run yet")))
                    .collect()
            }
        };
        forecasts.insert(pipeline.name.clone(), of);
    }
    Ok(forecasts)
}

fn executor(
    services: &Arc<ProjectServices>,
    plan: &Plan,
    pipeline: &PlannedPipeline,
) -> RunExecutor {
    let scope = RunScope {
        project: plan.project.clone(),
        environment: plan.environment.clone(),
        pipeline: pipeline.name.clone(),
        run: RunName {
            pipeline: pipeline.name.clone(),
            number: 0,
        },
        run_id: String::new(),
        folder: PathBuf::new(),
        interval: None,
        moment_us: services.system.now_us(),
    };
    let options = RunExecutorOptions {
        changing: changing_models(plan),
        ..RunExecutorOptions::default()
    };
    RunExecutor::new(
        Arc::clone(services),
        scope,
        options,
        Arc::new(Progress::default()),
    )
}
