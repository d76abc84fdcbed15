//! A step: exactly one action, and the settings that its tasks share.
//!
//! Promise: a step with several actions, or without one, is an error that names them; an action of a later
//! version is reported as not supported. It does not plan an action: see the file with its name.

use arrow_schema::SchemaRef;
use towpath_vocab::{Action, PlannedTask, RetryPlan, StepName, TableName, TaskId, TriggerRule};

use crate::checks::Reference;
use crate::context;
use crate::keys::{self, VERBS};
use crate::report::{FileRange, Report};
use crate::yaml::{Entry, Node as Tree};

/// The settings that all tasks of a step share.
pub(crate) struct StepFrame<'a> {
    pub(crate) name: &'a str,
    pub(crate) node: &'a Tree,
    /// The position of its name.
    pub(crate) at: FileRange,
    /// `defaults.load` of the pipeline.
    pub(crate) pipeline_load: Option<&'a Tree>,
    pub(crate) retry: RetryPlan,
}

/// A task before the graph is known.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: TaskId,
    pub(crate) step: StepName,
    pub(crate) at: FileRange,
    pub(crate) reads: Vec<TableName>,
    pub(crate) writes: Vec<TableName>,
    /// Tables of relationship checks.
    pub(crate) references: Vec<Reference>,
    /// The columns of its table, if they are known and it writes one table.
    pub(crate) schema: Option<SchemaRef>,
    /// False if these columns were only observed in the last run.
    pub(crate) firm: bool,
    pub(crate) when: TriggerRule,
    pub(crate) retry: RetryPlan,
    /// The action; `None` until the planner of the step's kind has set it.
    pub(crate) action: Option<Action>,
}

impl StepFrame<'_> {
    /// A task of this step, for a table or for the step itself.
    pub(crate) fn task(&self, table: Option<&TableName>, at: FileRange) -> Node {
        let id = match table {
            Some(table) => format!("{}/{table}", self.name),
            None => self.name.to_owned(),
        };
        Node {
            id: TaskId::new(id),
            step: StepName::new(self.name),
            at,
            reads: Vec::new(),
            writes: Vec::new(),
            references: Vec::new(),
            schema: None,
            firm: true,
            when: trigger(self.node),
            retry: self.retry,
            action: None,
        }
    }
}

impl Node {
    /// The task of the plan.
    pub(crate) fn planned(self, after: Vec<TaskId>, report: &Report) -> Option<PlannedTask> {
        Some(PlannedTask {
            id: self.id,
            step: self.step,
            action: self.action?,
            after,
            when: self.when,
            retry: self.retry,
            span: Some(report.span(self.at)),
        })
    }
}

fn trigger(node: &Tree) -> TriggerRule {
    match node.get_text("run_if") {
        Some("all_done") => TriggerRule::AllDone,
        Some("one_failed") => TriggerRule::OneFailed,
        Some("one_success") => TriggerRule::OneSuccess,
        Some("none_failed") => TriggerRule::NoneFailed,
        _ => TriggerRule::AllSuccess,
    }
}

/// The frame of a step.
pub(crate) fn frame<'a>(
    name: &'a str,
    entry: &'a Entry,
    pipeline: &'a Tree,
    project_retry: RetryPlan,
) -> StepFrame<'a> {
    let defaults = pipeline.get("defaults");
    let retry = context::retry(Some(&entry.value), context::retry(defaults, project_retry));
    StepFrame {
        name,
        node: &entry.value,
        at: entry.key_at,
        pipeline_load: defaults.and_then(|node| node.get("load")),
        retry,
    }
}

/// The action of a step; reports a missing or a second one.
pub(crate) fn verb(frame: &StepFrame<'_>, report: &mut Report) -> Option<&'static str> {
    let found: Vec<&'static str> = VERBS
        .iter()
        .copied()
        .filter(|verb| frame.node.get(verb).is_some())
        .collect();
    match found.as_slice() {
        [one] => {
            strange_keys(frame, one, report);
            Some(one)
        }
        [] => {
            report
                .error(
                    "P0112",
                    frame.at,
                    format!("step `{}` does nothing: it has no action", frame.name),
                )
                .help(format!("exactly one of {}", VERBS.join(", ")));
            None
        }
        [_, second, ..] => {
            let at = frame.node.get(second).map_or(frame.at, |node| node.at);
            report
                .error(
                    "P0112",
                    at,
                    format!(
                        "step `{}` has {} actions: {}",
                        frame.name,
                        found.len(),
                        found.join(", ")
                    ),
                )
                .label("make this a step of its own")
                .help("exactly one action per step");
            None
        }
    }
}

/// Reports keys that have no meaning for this action, so that no key is silently ignored.
fn strange_keys(frame: &StepFrame<'_>, verb: &str, report: &mut Report) {
    for (key, entry) in frame.node.entries() {
        let verbs = keys::verbs_of(key);
        if !verbs.is_empty() && !verbs.contains(&verb) {
            report
                .error(
                    "P0134",
                    entry.key_at,
                    format!("`{key}` has no meaning in a `{verb}` step"),
                )
                .help(format!("it belongs to: {}", verbs.join(", ")));
        }
    }
}
