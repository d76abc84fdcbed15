//! Finds the neighbours of tasks, and makes a pipeline of some of its tasks.
//!
//! Promise: the order of the selected tasks is kept: if `a -> b -> c` loses `b`, `c` still waits for `a`.
//! It does not know why tasks were selected.

use std::collections::{BTreeSet, HashMap, VecDeque};

use towpath_vocab::{PlannedPipeline, TaskId};

use super::grammar::Depth;

/// The edges between tasks, by position.
pub(super) struct Edges {
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
}

impl Edges {
    pub(super) fn of(pipeline: &PlannedPipeline) -> Self {
        let positions: HashMap<&TaskId, usize> = pipeline
            .tasks
            .iter()
            .enumerate()
            .map(|(position, task)| (&task.id, position))
            .collect();
        let mut children = vec![Vec::new(); pipeline.tasks.len()];
        let mut parents = Vec::with_capacity(pipeline.tasks.len());
        for (position, task) in pipeline.tasks.iter().enumerate() {
            let before: Vec<usize> = task
                .after
                .iter()
                .filter_map(|id| positions.get(id).copied())
                .collect();
            for parent in &before {
                if let Some(of) = children.get_mut(*parent) {
                    of.push(position);
                }
            }
            parents.push(before);
        }
        Self { parents, children }
    }

    /// These tasks, and this many generations of their parents.
    pub(super) fn upwards(&self, from: &BTreeSet<usize>, depth: Depth) -> BTreeSet<usize> {
        reach(&self.parents, from, depth)
    }

    /// These tasks, and this many generations of their children.
    pub(super) fn downwards(&self, from: &BTreeSet<usize>, depth: Depth) -> BTreeSet<usize> {
        reach(&self.children, from, depth)
    }
}

fn reach(edges: &[Vec<usize>], from: &BTreeSet<usize>, depth: Depth) -> BTreeSet<usize> {
    let mut found = from.clone();
    let mut open: VecDeque<(usize, usize)> = from.iter().map(|task| (*task, 0)).collect();
    while let Some((task, generation)) = open.pop_front() {
        if matches!(depth, Depth::Generations(most) if generation >= most) {
            continue;
        }
        for next in edges.get(task).into_iter().flatten() {
            if found.insert(*next) {
                open.push_back((*next, generation + 1));
            }
        }
    }
    found
}

/// These tasks, and everything that depends on them.
pub fn after(pipeline: &PlannedPipeline, tasks: &BTreeSet<TaskId>) -> BTreeSet<TaskId> {
    let from = positions(pipeline, |id| tasks.contains(id));
    let found = Edges::of(pipeline).downwards(&from, Depth::All);
    ids(pipeline, &found)
}

pub(super) fn positions(
    pipeline: &PlannedPipeline,
    fits: impl Fn(&TaskId) -> bool,
) -> BTreeSet<usize> {
    let tasks = pipeline.tasks.iter().enumerate();
    tasks
        .filter(|(_, task)| fits(&task.id))
        .map(|(position, _)| position)
        .collect()
}

pub(super) fn ids(pipeline: &PlannedPipeline, found: &BTreeSet<usize>) -> BTreeSet<TaskId> {
    let tasks = found.iter().filter_map(|task| pipeline.tasks.get(*task));
    tasks.map(|task| task.id.clone()).collect()
}

/// The pipeline with these tasks only. A task that waited for a removed one waits for the parents of that
/// one.
pub fn keep(pipeline: &PlannedPipeline, kept: &BTreeSet<TaskId>) -> PlannedPipeline {
    let mut stands_for: HashMap<&TaskId, BTreeSet<&TaskId>> = HashMap::new();
    let mut tasks = Vec::with_capacity(kept.len());
    for task in &pipeline.tasks {
        let waits: BTreeSet<&TaskId> = task
            .after
            .iter()
            .flat_map(|parent| stands_for.get(parent).into_iter().flatten().copied())
            .collect();
        if kept.contains(&task.id) {
            let mut task_kept = task.clone();
            task_kept.after = waits.into_iter().cloned().collect();
            tasks.push(task_kept);
            stands_for.insert(&task.id, BTreeSet::from([&task.id]));
        } else {
            stands_for.insert(&task.id, waits);
        }
    }
    let steps = pipeline.steps.iter();
    PlannedPipeline {
        name: pipeline.name.clone(),
        steps: steps
            .filter(|step| tasks.iter().any(|task| task.step == **step))
            .cloned()
            .collect(),
        tasks,
        parallel: pipeline.parallel,
        schedule: pipeline.schedule.clone(),
        alerts: pipeline.alerts.clone(),
    }
}
