//! Which tasks of a pipeline a run takes: a step, or all. dbt's grammar comes with dbt's verbs.

use towpath_vocab::{Failure, Plan, PlannedPipeline, PlannedTask, Remedy, StepName};

use crate::Result;

/// The pipeline a run is about.
///
/// # Errors
/// `FixConfig` when the name is unknown, or none was given and there are several.
pub(crate) fn pipeline<'a>(plan: &'a Plan, name: Option<&str>) -> Result<&'a PlannedPipeline> {
    let names: Vec<&str> = plan.pipelines.iter().map(|p| p.name.as_str()).collect();
    let found = match name {
        Some(name) => plan.pipelines.iter().find(|p| p.name.as_str() == name),
        None if plan.pipelines.len() == 1 => plan.pipelines.first(),
        None => None,
    };
    found.ok_or_else(|| {
        let message = match name {
            Some(name) => format!("there is no pipeline `{name}`"),
            None if names.is_empty() => "the project has no pipeline".to_owned(),
            None => "which pipeline?".to_owned(),
        };
        let help = match names.is_empty() {
            true => "write one: pipelines/NAME.yml".to_owned(),
            false => format!("there are: {}", names.join(", ")),
        };
        Failure::new("R0920", Remedy::FixConfig, message).help(help)
    })
}

/// The tasks of one step only; edges to other steps fall away.
pub(crate) fn only_step(pipeline: &PlannedPipeline, step: &str) -> Result<PlannedPipeline> {
    let wanted = StepName::new(step);
    if !pipeline.steps.contains(&wanted) {
        let names: Vec<&str> = pipeline.steps.iter().map(StepName::as_str).collect();
        return Err(Failure::new(
            "R0921",
            Remedy::FixConfig,
            format!("`{}` has no step `{step}`", pipeline.name),
        )
        .help(format!("it has: {}", names.join(", "))));
    }
    let mut tasks: Vec<PlannedTask> = pipeline
        .tasks
        .iter()
        .filter(|t| t.step == wanted)
        .cloned()
        .collect();
    let kept: Vec<_> = tasks.iter().map(|task| task.id.clone()).collect();
    for task in &mut tasks {
        task.after.retain(|parent| kept.contains(parent));
    }
    Ok(PlannedPipeline {
        tasks,
        steps: vec![wanted],
        ..pipeline.clone()
    })
}
