//! `models:` of a step: which models it builds.
//!
//! Promise: a word that selects nothing is an error. It knows `all`, names, schemas, tables, paths
//! and patterns; dbt's full selection grammar belongs to the command line.

use towpath_vocab::Action;

use super::draft::{Model, Models};
use crate::load::matches;
use crate::report::Report;
use crate::step::{Node as Task, StepFrame};
use crate::yaml::Node;

/// Tasks of a `models` step.
pub(crate) fn select(frame: &StepFrame<'_>, models: &Models, report: &mut Report) -> Vec<Task> {
    let Some(verb) = frame.node.get("models") else {
        return Vec::new();
    };
    let mut chosen = pick(verb, models, report);
    if let Some(exclude) = frame.node.get("exclude") {
        let left_out = pick(exclude, models, report);
        chosen.retain(|index| !left_out.contains(index));
    }
    if models.list.is_empty() && !report.failed() {
        report
            .error("M0337", verb.at, "there are no models")
            .help("a model is a query in a file: models/marts/orders.sql");
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
        .into_iter()
        .filter_map(|index| models.list.get(index))
        .map(|model| task(model, frame))
        .collect()
}

fn pick(node: &Node, models: &Models, report: &mut Report) -> Vec<usize> {
    let mut chosen = Vec::new();
    for item in node.items() {
        let Some(word) = item.text() else { continue };
        let found: Vec<usize> = (0..models.list.len())
            .filter(|index| {
                models
                    .list
                    .get(*index)
                    .is_some_and(|model| fits(word, model))
            })
            .collect();
        if found.is_empty() && !models.list.is_empty() {
            let mut names: Vec<&str> = models
                .list
                .iter()
                .map(|model| model.plan.name.as_str())
                .collect();
            names.extend(
                models
                    .list
                    .iter()
                    .map(|model| model.plan.table.target.schema()),
            );
            names.sort_unstable();
            names.dedup();
            report
                .error("M0337", item.at, format!("`{word}` selects no model"))
                .suggest(word, names.into_iter().chain(["all"]), "models and schemas");
        }
        chosen.extend(found);
    }
    chosen
}

fn fits(word: &str, model: &Model) -> bool {
    let table = &model.plan.table.target;
    let path = word
        .strip_prefix("path:")
        .unwrap_or(word)
        .trim_end_matches('/');
    let below = |path: &str| {
        model.plan.file == path
            || model
                .plan
                .file
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    word == "all"
        || word == table.schema()
        || matches(word, &model.plan.name)
        || matches(word, &table.to_string())
        || below(path)
        || below(&format!("models/{path}"))
}

fn task(model: &Model, frame: &StepFrame<'_>) -> Task {
    let target = &model.plan.table.target;
    let mut task = frame.task(Some(target), model.at);
    task.reads.clone_from(&model.reads);
    task.writes = vec![target.clone()];
    task.references.clone_from(&model.references);
    task.action = Some(Action::Model(Box::new(model.plan.clone())));
    task
}
