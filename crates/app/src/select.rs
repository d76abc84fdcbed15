//! Selects the tasks of a command: `PIPELINE[.STEP]`, `--select`, `--exclude`.
//!
//! Promise: the result is one pipeline to run, in which the selected tasks keep their order. The grammar of
//! selectors is in `project/src/select/mod.rs`.

use std::collections::BTreeSet;

use towpath_project::{SelectError, TaskSelection, choose, keep};
use towpath_vocab::{Action, Failure, Plan, PlannedPipeline, Remedy, StepName, TableName, TaskId};

use crate::Result;

/// The selected part of a plan; pipelines without a selected task are left out.
///
/// # Errors
/// `FixConfig` if a name or a selector matches nothing, or nothing is left.
pub fn selected_plan(
    plan: &Plan,
    pipeline_or_step: Option<&str>,
    choice: &TaskSelection,
) -> Result<Plan> {
    let pipelines = match pipeline_or_step {
        Some(_) => vec![chosen(plan, pipeline_or_step, choice)?],
        None if choice.is_all() => return Ok(plan.clone()),
        None => {
            let sets = choose(plan, choice).map_err(|error| unselectable(&error))?;
            let chosen = plan.pipelines.iter().zip(&sets);
            chosen
                .filter(|(_, tasks)| !tasks.is_empty())
                .map(|(pipeline, tasks)| keep(pipeline, tasks))
                .collect()
        }
    };
    if pipelines.is_empty() {
        return Err(unselectable(&SelectError::Empty));
    }
    Ok(Plan {
        pipelines,
        ..plan.clone()
    })
}

/// The pipeline of a run, with the selected tasks.
///
/// # Errors
/// `FixConfig` if a name or a selector matches nothing, if nothing is left, or if tasks of several
/// pipelines are selected.
pub(crate) fn chosen(
    plan: &Plan,
    pipeline_or_step: Option<&str>,
    choice: &TaskSelection,
) -> Result<PlannedPipeline> {
    let (name, step) = match pipeline_or_step.and_then(|named| named.split_once('.')) {
        Some((name, step)) => (Some(name), Some(step)),
        None => (pipeline_or_step, None),
    };
    let sets = choose(plan, choice).map_err(|error| unselectable(&error))?;
    let pipeline = match name {
        None if !choice.select.is_empty() => only_selected(plan, &sets)?,
        name => pipeline(plan, name)?,
    };
    let mut tasks: BTreeSet<TaskId> = plan
        .pipelines
        .iter()
        .zip(sets)
        .find(|(of, _)| of.name == pipeline.name)
        .map(|(_, set)| set)
        .unwrap_or_default();
    if let Some(step) = step {
        let wanted = of_step(pipeline, step)?;
        tasks.retain(|task| wanted.contains(task));
    }
    if tasks.is_empty() && !choice.is_all() {
        return Err(unselectable(&SelectError::Empty));
    }
    Ok(keep(pipeline, &tasks))
}

/// The pipeline of a run.
///
/// # Errors
/// `FixConfig` if the name is unknown, or if there is none and the project has several.
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
            None => format!("which of the {} pipelines should run?", names.len()),
        };
        let failure = Failure::new("R0920", Remedy::FixConfig, message);
        let near = name.and_then(|name| towpath_project::nearest(name, names.iter().copied()));
        match (near, names.first()) {
            (_, None) => failure.help("write one: pipelines/NAME.yml"),
            (Some(near), _) => failure.help(format!("did you mean `{near}`?")),
            (None, Some(first)) => {
                let failure = failure.help(format!("there are: {}", names.join(", ")));
                match name {
                    Some(_) => failure,
                    None => failure
                        .help(format!("one of them: towpath run {first}"))
                        .help("all of them, in the order of their dependencies: towpath run --all"),
                }
            }
        }
    })
}

/// The names of all pipelines, each after those that write what it reads.
///
/// # Errors
/// R0920 if there is none.
pub fn pipelines_in_order(plan: &Plan) -> Result<Vec<String>> {
    if plan.pipelines.is_empty() {
        pipeline(plan, None)?;
    }
    let all: Vec<(&str, Traffic<'_>)> = plan
        .pipelines
        .iter()
        .map(|pipeline| (pipeline.name.as_str(), Traffic::of(pipeline)))
        .collect();
    let mut open: Vec<usize> = (0..all.len()).collect();
    let mut names = Vec::with_capacity(all.len());
    while !open.is_empty() {
        let waits = |one: usize| {
            let mut others = open.iter().copied().filter(|other| *other != one);
            others.any(|other| all[one].1.needs(&all[other].1))
        };
        // Pipelines that read from each other have no order, so the first by name comes first.
        let next = open.iter().position(|one| !waits(*one)).unwrap_or(0);
        let (name, _) = &all[open.remove(next)];
        names.push((*name).to_owned());
    }
    Ok(names)
}

/// The tables a pipeline reads and writes.
struct Traffic<'a> {
    reads: BTreeSet<&'a TableName>,
    writes: BTreeSet<&'a TableName>,
}

impl<'a> Traffic<'a> {
    fn of(pipeline: &'a PlannedPipeline) -> Self {
        let (mut reads, mut writes) = (BTreeSet::new(), BTreeSet::new());
        for task in &pipeline.tasks {
            match &task.action {
                Action::Load(load) => {
                    writes.insert(&load.table.target);
                }
                Action::Model(model) => {
                    reads.extend(&model.reads);
                    writes.insert(&model.table.target);
                }
                Action::Command(command) => {
                    reads.extend(&command.reads);
                    writes.extend(command.writes.iter().map(|table| &table.target));
                }
                Action::Sql(sql) => reads.extend(&sql.reads),
                Action::Http(http) => reads.extend(&http.reads),
                Action::Publish(publish) => {
                    reads.insert(&publish.from);
                }
            }
        }
        Self { reads, writes }
    }

    fn needs(&self, other: &Self) -> bool {
        !self.reads.is_disjoint(&other.writes)
    }
}

/// The only pipeline with selected tasks.
fn only_selected<'a>(plan: &'a Plan, sets: &[BTreeSet<TaskId>]) -> Result<&'a PlannedPipeline> {
    let mut meant = plan
        .pipelines
        .iter()
        .zip(sets)
        .filter(|(_, tasks)| !tasks.is_empty())
        .map(|(pipeline, _)| pipeline);
    let first = meant
        .next()
        .ok_or_else(|| unselectable(&SelectError::Empty))?;
    let others: Vec<&str> = meant.map(|pipeline| pipeline.name.as_str()).collect();
    match others.is_empty() {
        true => Ok(first),
        false => Err(Failure::new(
            "R0920",
            Remedy::FixConfig,
            format!(
                "which pipeline? the selected tasks are in {} and {}",
                first.name,
                others.join(", ")
            ),
        )
        .help(format!("name it: towpath run {} --select …", first.name))),
    }
}

/// The tasks of one step.
fn of_step(pipeline: &PlannedPipeline, step: &str) -> Result<BTreeSet<TaskId>> {
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
    let tasks = pipeline.tasks.iter().filter(|task| task.step == wanted);
    Ok(tasks.map(|task| task.id.clone()).collect())
}

/// The tasks of one step, and everything that depends on them.
pub(crate) fn from_step(pipeline: &PlannedPipeline, step: &str) -> Result<BTreeSet<TaskId>> {
    let tasks = of_step(pipeline, step)?;
    Ok(towpath_project::after(pipeline, &tasks))
}

fn unselectable(error: &SelectError) -> Failure {
    Failure::new("R0963", Remedy::FixConfig, error.to_string()).help(error.help())
}
