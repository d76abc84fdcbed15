//! `models:` of a step: which models it builds, and which seeds it loads.
//!
//! Promise: a selector that selects nothing is an error. It knows `all`, names, schemas, tables, paths and
//! patterns; dbt's full grammar is for the command line (`project/src/select/mod.rs`).

use std::collections::BTreeSet;

use super::draft::{Model, Models};
use crate::load::matches;
use crate::report::Report;
use crate::step::{Node as Task, StepFrame};
use crate::yaml::Node;

/// The tasks of a `models` step. Adds the models that it builds, and those that it excludes, to `named`.
pub(crate) fn select(
    frame: &StepFrame<'_>,
    models: &Models,
    named: &mut BTreeSet<usize>,
    report: &mut Report,
) -> Vec<Task> {
    let Some(verb) = frame.node.get("models") else {
        return Vec::new();
    };
    let mut chosen = pick(verb, models, report);
    named.extend(&chosen);
    if let Some(exclude) = frame.node.get("exclude") {
        let left_out = pick(exclude, models, report);
        named.extend(&left_out);
        chosen.retain(|index| !left_out.contains(index));
    }
    if models.list.is_empty() && !report.failed() {
        report
            .note(
                "M0337",
                verb.at,
                "there are no models yet: the step has nothing to do",
            )
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

/// Reports models and seeds that no step selects.
pub(crate) fn unused(models: &Models, named: &BTreeSet<usize>, report: &mut Report) {
    let mut rest = models
        .list
        .iter()
        .enumerate()
        .filter(|(index, _)| !named.contains(index))
        .map(|(_, model)| model);
    let Some(first) = rest.next() else { return };
    let names: Vec<String> = std::iter::once(first)
        .chain(rest)
        .map(|model| model.table.to_string())
        .collect();
    let message = match names.as_slice() {
        [one] => format!("no step builds `{one}`"),
        many => format!("no step builds {} of the models and seeds", many.len()),
    };
    let listed: Vec<&str> = names.iter().map(String::as_str).collect();
    let said = report
        .warning("M0341", first.at, message)
        .help("add a step to a pipeline: build: { models: all }");
    if listed.len() > 1 {
        said.help(format!("they are: {}", crate::suggest::listing(&listed)));
    }
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
                .map(|model| model.name.as_str())
                .collect();
            names.extend(models.list.iter().map(|model| model.table.schema()));
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
    let table = &model.table;
    let path = word
        .strip_prefix("path:")
        .unwrap_or(word)
        .trim_end_matches('/');
    let below = |path: &str| {
        model.file == path
            || model
                .file
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    word == "all"
        || word == table.schema()
        || matches(word, &model.name)
        || matches(word, &table.to_string())
        || below(path)
        || below(&format!("models/{path}"))
}

fn task(model: &Model, frame: &StepFrame<'_>) -> Task {
    let target = &model.table;
    let mut task = frame.task(Some(target), model.at);
    task.reads.clone_from(&model.reads);
    task.writes = vec![target.clone()];
    task.references.clone_from(&model.references);
    task.action = Some(model.action.clone());
    task
}
