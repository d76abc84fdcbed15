//! A run as `decide` sees it: the graph, the state of each task, and counters.
//!
//! Promise: `apply` is the only way to change a view, and a view that is rebuilt from the record in the
//! state store equals the one that was changed step by step. With the counters, the cost of a decision
//! depends on what it changes, not on the size of the graph. It contains no fence, no outcome and no clock.

use std::collections::{BTreeSet, HashMap};

use towpath_ports::{RunRecord, RunState, TaskState};
use towpath_vocab::{Failure, PlannedPipeline, RetryPlan, TaskId, TriggerRule};

use crate::decide::DriverCommand;
use crate::error::RunError;
use crate::trigger::ParentCounts;

/// One task of a view.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskView {
    /// Its id.
    pub(crate) id: TaskId,
    /// Tasks that wait for it, by position.
    pub(crate) children: Vec<usize>,
    /// When it may start.
    pub(crate) when: TriggerRule,
    /// What happens after a failure.
    pub(crate) retry: RetryPlan,
    /// Its state.
    pub(crate) state: TaskState,
    /// Attempts that failed and were retried; lost ones do not count.
    pub(crate) retries_used: u32,
    /// The time of the next attempt.
    pub(crate) retry_at_us: Option<i64>,
    /// How many of its parents have ended, and how.
    pub(crate) counts: ParentCounts,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunView {
    tasks: Vec<TaskView>,
    parallel: usize,
    cancelling: bool,
    late: bool,
    closed: Option<RunState>,
    running: usize,
    open: usize,
    failed: usize,
    cancelled: usize,
    ready: BTreeSet<usize>,
    due: BTreeSet<(i64, usize)>,
}

impl RunView {
    /// The view of a run from its record. `retries_used` is the number of retries of each task.
    ///
    /// # Errors
    /// R0705 if the record does not belong to this graph, or a task waits for one that does not come before
    /// it.
    pub(crate) fn new(
        pipeline: &PlannedPipeline,
        record: &RunRecord,
        retries_used: &HashMap<TaskId, u32>,
    ) -> Result<Self, Failure> {
        let wrong = |detail: String| RunError::Graph {
            run: record.name.clone(),
            detail,
        };
        fits(pipeline, record).map_err(wrong)?;
        let mut tasks = waiting(pipeline).map_err(wrong)?;
        for task in &mut tasks {
            task.retries_used = retries_used.get(&task.id).copied().unwrap_or(0);
        }
        let mut view = Self::of(tasks, pipeline.parallel);
        for (task, recorded) in record.tasks.iter().enumerate() {
            view.set_state(task, recorded.state);
            if let (TaskState::Retrying, Some(at_us)) = (recorded.state, recorded.due_us)
                && let Some(found) = view.tasks.get_mut(task)
            {
                found.retry_at_us = Some(at_us);
                view.due.insert((at_us, task));
            }
        }
        Ok(view)
    }

    /// A view in which every task waits.
    fn of(tasks: Vec<TaskView>, parallel: usize) -> Self {
        Self {
            open: tasks.len(),
            tasks,
            parallel: parallel.max(1),
            cancelling: false,
            late: false,
            closed: None,
            running: 0,
            failed: 0,
            cancelled: 0,
            ready: BTreeSet::new(),
            due: BTreeSet::new(),
        }
    }

    /// All tasks, parents before children.
    pub(crate) fn tasks(&self) -> &[TaskView] {
        &self.tasks
    }

    /// The most tasks at once.
    pub(crate) fn parallel(&self) -> usize {
        self.parallel
    }

    /// The number of tasks with a running attempt.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// The number of tasks that will still change.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// True after the deadline: the run fails, unless all of its tasks end well.
    pub(crate) fn late(&self) -> bool {
        self.late
    }

    /// True when no task starts any more.
    pub(crate) fn cancelling(&self) -> bool {
        self.cancelling
    }

    /// How the run ended, if it has ended.
    pub(crate) fn closed(&self) -> Option<RunState> {
        self.closed
    }

    /// The time of the next retry.
    pub(crate) fn next_due_us(&self) -> Option<i64> {
        self.due.first().map(|(at_us, _)| *at_us)
    }

    /// Tasks that may start, in the order of the graph.
    pub(crate) fn ready(&self) -> &BTreeSet<usize> {
        &self.ready
    }

    /// Retries that are due.
    pub(crate) fn due(&self, now_us: i64) -> impl Iterator<Item = usize> {
        self.due
            .range(..=(now_us, usize::MAX))
            .map(|(_, task)| *task)
    }

    /// The final state of a run whose tasks have all ended, with the ends that are not in the view yet.
    pub(crate) fn end(&self, more_failed: usize, more_cancelled: usize, late: bool) -> RunState {
        let failed = self.failed + more_failed > 0;
        if failed && late {
            RunState::Failed
        } else if self.cancelled + more_cancelled > 0 {
            RunState::Cancelled
        } else if failed {
            RunState::Failed
        } else {
            RunState::Succeeded
        }
    }

    /// Applies a command of `decide`.
    pub(crate) fn apply(&mut self, command: &DriverCommand) {
        match command {
            DriverCommand::Move { task, to, .. } => self.set_state(*task, *to),
            DriverCommand::RetryAt { task, at_us } => {
                if let Some(found) = self.tasks.get_mut(*task) {
                    found.retries_used += 1;
                    found.retry_at_us = Some(*at_us);
                    self.due.insert((*at_us, *task));
                }
            }
            DriverCommand::StopAll { late } => (self.cancelling, self.late) = (true, *late),
            DriverCommand::Close(state) => self.closed = Some(*state),
        }
    }

    fn set_state(&mut self, position: usize, to: TaskState) {
        let Some(task) = self.tasks.get_mut(position) else {
            return;
        };
        let from = std::mem::replace(&mut task.state, to);
        if let Some(at_us) = task.retry_at_us.take() {
            self.due.remove(&(at_us, position));
        }
        let blocked = task.counts.any_failed();
        let children = if to.is_final() && !from.is_final() {
            task.children.clone()
        } else {
            Vec::new()
        };
        match from {
            TaskState::Running => self.running -= 1,
            TaskState::Ready => {
                self.ready.remove(&position);
            }
            _ => {}
        }
        match to {
            TaskState::Running => self.running += 1,
            TaskState::Ready => {
                self.ready.insert(position);
            }
            TaskState::Failed => self.failed += 1,
            TaskState::Cancelled => self.cancelled += 1,
            _ => {}
        }
        if to.is_final() && !from.is_final() {
            self.open -= 1;
        }
        for child in children {
            if let Some(child) = self.tasks.get_mut(child) {
                count(&mut child.counts, to, blocked);
            }
        }
    }
}

/// Compares a graph with the record of its run.
fn fits(pipeline: &PlannedPipeline, record: &RunRecord) -> Result<(), String> {
    let (planned, recorded) = (pipeline.tasks.len(), record.tasks.len());
    if planned != recorded {
        return Err(format!("{planned} tasks planned, {recorded} recorded"));
    }
    for (planned, recorded) in pipeline.tasks.iter().zip(&record.tasks) {
        if planned.id != recorded.id {
            return Err(format!(
                "`{}` is in the place of `{}`",
                recorded.id, planned.id
            ));
        }
        if recorded.state == TaskState::Running && recorded.worker.is_none() {
            return Err(format!(
                "`{}` was running before the run was opened",
                planned.id
            ));
        }
    }
    Ok(())
}

/// The tasks of a graph, all waiting, with their children.
fn waiting(pipeline: &PlannedPipeline) -> Result<Vec<TaskView>, String> {
    let mut positions: HashMap<&TaskId, usize> = HashMap::with_capacity(pipeline.tasks.len());
    let mut tasks: Vec<TaskView> = Vec::with_capacity(pipeline.tasks.len());
    for (position, planned) in pipeline.tasks.iter().enumerate() {
        let mut parents = BTreeSet::new();
        for parent in &planned.after {
            let known = positions.get(parent).ok_or_else(|| {
                format!(
                    "`{}` waits for `{parent}`, which does not come before it",
                    planned.id
                )
            })?;
            parents.insert(*known);
        }
        for parent in &parents {
            if let Some(parent) = tasks.get_mut(*parent) {
                parent.children.push(position);
            }
        }
        if positions.insert(&planned.id, position).is_some() {
            return Err(format!("`{}` is planned twice", planned.id));
        }
        tasks.push(TaskView {
            id: planned.id.clone(),
            children: Vec::new(),
            when: planned.when,
            retry: planned.retry,
            state: TaskState::Waiting,
            retries_used: 0,
            retry_at_us: None,
            counts: ParentCounts {
                total: parents.len(),
                ..ParentCounts::default()
            },
        });
    }
    Ok(tasks)
}

/// Counts one more parent that has ended. `blocked` means that a task above that parent failed.
pub(crate) fn count(counts: &mut ParentCounts, end: TaskState, blocked: bool) {
    match end {
        TaskState::Succeeded | TaskState::Unchanged => counts.succeeded += 1,
        TaskState::Failed => counts.failed += 1,
        TaskState::Skipped if blocked => counts.blocked += 1,
        TaskState::Skipped => counts.skipped += 1,
        TaskState::Cancelled => counts.cancelled += 1,
        TaskState::Waiting | TaskState::Ready | TaskState::Running | TaskState::Retrying => {}
    }
}
