//! Finds the tasks that a parsed selector means, and suggests names if there are none.
//!
//! Promise: names are compared without regard to case. A word without a method means a table, a schema, a
//! model, a task or, if it contains a slash, a file. Every word must match something in the plan. Read
//! next: `graph.rs`.

use std::collections::BTreeSet;

use towpath_vocab::{
    Action, Materialized, Plan, PlannedPipeline, PlannedTask, Selection, TableName, TaskId,
};

use super::error::SelectError;
use super::grammar::{Depth, Union, Word, read};
use super::graph::{Edges, ids};
use crate::load::matches;
use crate::suggest::{listing, nearest};

/// The arguments of `--select` and `--exclude`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSelection {
    /// Arguments of `--select`; an empty list means everything.
    pub select: Vec<String>,
    /// Arguments of `--exclude`.
    pub exclude: Vec<String>,
}

impl TaskSelection {
    /// True if there are no arguments.
    pub fn is_all(&self) -> bool {
        self.select.is_empty() && self.exclude.is_empty()
    }
}

/// The known methods.
const METHODS: &[&str] = &[
    "name",
    "fqn",
    "path",
    "file",
    "source",
    "pipeline",
    "step",
    "connection",
    "resource_type",
    "config.materialized",
];

/// The selected tasks of each pipeline, in the order of the plan; pipelines without any have an empty set.
///
/// # Errors
/// A word that cannot be parsed or matches nothing. An empty result is not an error here: a caller may
/// intersect further, and then returns `SelectError::Empty`.
pub fn choose(plan: &Plan, choice: &TaskSelection) -> Result<Vec<BTreeSet<TaskId>>, SelectError> {
    let (select, exclude) = (read(&choice.select)?, read(&choice.exclude)?);
    for word in select.iter().chain(&exclude).flatten() {
        known(plan, word)?;
    }
    let chosen = plan.pipelines.iter().map(|pipeline| {
        let edges = Edges::of(pipeline);
        let mut found = match choice.select.is_empty() {
            true => (0..pipeline.tasks.len()).collect(),
            false => union(pipeline, &edges, &select),
        };
        let left_out = union(pipeline, &edges, &exclude);
        found.retain(|task| !left_out.contains(task));
        ids(pipeline, &found)
    });
    Ok(chosen.collect())
}

fn union(pipeline: &PlannedPipeline, edges: &Edges, union: &Union) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for all in union {
        let mut sets = all.iter().map(|word| tasks_of(pipeline, edges, word));
        let first = sets.next().unwrap_or_default();
        found.extend(sets.fold(first, |left, right| &left & &right));
    }
    found
}

fn tasks_of(pipeline: &PlannedPipeline, edges: &Edges, word: &Word) -> BTreeSet<usize> {
    let tasks = pipeline.tasks.iter().enumerate();
    let found: BTreeSet<usize> = tasks
        .filter(|(_, task)| fits(pipeline, task, word))
        .map(|(position, _)| position)
        .collect();
    if word.whole {
        return edges.upwards(&edges.downwards(&found, Depth::All), Depth::All);
    }
    let above = edges.upwards(&found, word.parents);
    let below = edges.downwards(&found, word.children);
    &above | &below
}

fn fits(pipeline: &PlannedPipeline, task: &PlannedTask, word: &Word) -> bool {
    let value = word.value.to_lowercase();
    let is = |text: &str| matches(&value, &text.to_lowercase());
    match word.method.as_deref() {
        None | Some("name" | "fqn") => {
            names(task).iter().any(|name| is(name))
                || word.method.is_none() && value.contains('/') && below(&value, task)
        }
        Some("path" | "file") => below(&value, task),
        Some("source") => sources(task).iter().any(|name| is(name)),
        Some("pipeline") => is(pipeline.name.as_str()),
        Some("step") => is(task.step.as_str()),
        Some("connection") => connection(task).is_some_and(is),
        Some("resource_type") => kinds(task).iter().any(|kind| is(kind)),
        Some("config.materialized") => materialized(task).is_some_and(is),
        Some(_) => false,
    }
}

/// All names of this task.
fn names(task: &PlannedTask) -> Vec<String> {
    let mut names = vec![task.id.to_string()];
    if let Action::Model(model) = &task.action {
        names.push(model.name.clone());
    }
    for table in writes(&task.action) {
        names.push(table.to_string());
        names.push(table.table().to_owned());
        names.push(table.schema().to_owned());
    }
    names
}

fn writes(action: &Action) -> Vec<&TableName> {
    match action {
        Action::Load(load) => vec![&load.table.target],
        Action::Model(model) => vec![&model.table.target],
        Action::Command(command) => command.writes.iter().map(|table| &table.target).collect(),
        Action::Publish(publish) => vec![&publish.table.target],
        Action::Sql(_) | Action::Http(_) => Vec::new(),
    }
}

/// The names of a load as a source: its table, its schema, its connection, and its object.
fn sources(task: &PlannedTask) -> Vec<String> {
    let Action::Load(load) = &task.action else {
        return Vec::new();
    };
    let target = &load.table.target;
    let connection = &load.connection.name;
    let mut names = vec![
        target.to_string(),
        target.schema().to_owned(),
        connection.clone(),
    ];
    if let Selection::Object(object) = &load.selection {
        names.push(format!("{connection}.{object}"));
    }
    names
}

fn connection(task: &PlannedTask) -> Option<&str> {
    match &task.action {
        Action::Load(load) => Some(&load.connection.name),
        Action::Publish(publish) => Some(&publish.connection.name),
        Action::Sql(sql) => Some(&sql.connection.name),
        Action::Model(_) | Action::Command(_) | Action::Http(_) => None,
    }
}

/// The words for the kind of a task: Towpath's own first, then dbt's.
fn kinds(task: &PlannedTask) -> &'static [&'static str] {
    match &task.action {
        Action::Load(_) => &["load", "source"],
        Action::Model(_) => &["model"],
        Action::Command(_) => &["command"],
        Action::Sql(_) => &["sql"],
        Action::Http(_) => &["http"],
        Action::Publish(_) => &["publish", "exposure"],
    }
}

fn materialized(task: &PlannedTask) -> Option<&'static str> {
    let Action::Model(model) = &task.action else {
        return None;
    };
    Some(match model.materialized {
        Materialized::Table => "table",
        Materialized::View => "view",
        Materialized::Incremental => "incremental",
        Materialized::Ephemeral => "ephemeral",
    })
}

/// True if a path is the file of the task, a folder above it, or a pattern for one of them.
fn below(path: &str, task: &PlannedTask) -> bool {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let file = match (&task.action, &task.span) {
        (Action::Model(model), _) => model.file.to_lowercase(),
        (_, Some(span)) => span.file.to_lowercase(),
        (_, None) => return false,
    };
    let inside = file.strip_prefix(path);
    matches(path, &file) || inside.is_some_and(|rest| rest.starts_with('/'))
}

/// Checks that a word matches something in the whole plan.
fn known(plan: &Plan, word: &Word) -> Result<(), SelectError> {
    if let Some(method) = &word.method
        && !METHODS.contains(&method.as_str())
    {
        return Err(unknown_method(method));
    }
    let all = |pipeline: &&PlannedPipeline| {
        let mut tasks = pipeline.tasks.iter();
        tasks.any(|task| fits(pipeline, task, word))
    };
    match plan.pipelines.iter().find(all) {
        Some(_) => Ok(()),
        None => Err(SelectError::Nothing {
            word: word.text.clone(),
            help: meant(plan, word),
        }),
    }
}

fn unknown_method(method: &str) -> SelectError {
    let help = match (method, nearest(method, METHODS.iter().copied())) {
        ("tag", _) => {
            "models have no tags in this version; select by `path:`, `step:` or names".to_owned()
        }
        (_, Some(near)) => format!("did you mean `{near}:`?"),
        (_, None) => format!("there are: {}", listing(METHODS)),
    };
    SelectError::Method {
        method: method.to_owned(),
        help,
    }
}

/// A help line: the nearest name, or otherwise all names. For the name of a step, pipeline or connection
/// without a method, it names the method.
fn meant(plan: &Plan, word: &Word) -> String {
    let value = word.value.as_str();
    if word.method.is_none() {
        let with_method = ["step", "pipeline", "connection"]
            .into_iter()
            .find(|method| candidates(plan, Some(method)).contains(value));
        if let Some(method) = with_method {
            return format!("did you mean `{method}:{value}`?");
        }
    }
    let there = candidates(plan, word.method.as_deref());
    let near = nearest(value, there.iter().map(String::as_str));
    match (near, there.is_empty()) {
        (Some(near), _) => {
            let method = word
                .method
                .as_ref()
                .map_or_else(String::new, |m| format!("{m}:"));
            format!("did you mean `{method}{near}`?")
        }
        (None, true) => {
            "the project has nothing of that kind; to list its tasks: towpath plan".to_owned()
        }
        (None, false) => {
            let there: Vec<&str> = there.iter().map(String::as_str).collect();
            format!("there are: {}", listing(&there))
        }
    }
}

/// The names that a method can match.
fn candidates(plan: &Plan, method: Option<&str>) -> BTreeSet<String> {
    let mut there = BTreeSet::new();
    for pipeline in &plan.pipelines {
        for task in &pipeline.tasks {
            match method {
                None | Some("name" | "fqn") => there.extend(
                    writes(&task.action)
                        .iter()
                        .flat_map(|table| [table.to_string(), table.table().to_owned()]),
                ),
                Some("path" | "file") => there.extend(match &task.action {
                    Action::Model(model) => Some(model.file.clone()),
                    _ => task.span.as_ref().map(|span| span.file.clone()),
                }),
                Some("source") => there.extend(sources(task)),
                Some("pipeline") => there.extend([pipeline.name.to_string()]),
                Some("step") => there.extend([task.step.to_string()]),
                Some("connection") => there.extend(connection(task).map(str::to_owned)),
                Some("resource_type") => there.extend(kinds(task).first().map(|k| (*k).to_owned())),
                Some(_) => there.extend(materialized(task).map(str::to_owned)),
            }
        }
    }
    there
}
