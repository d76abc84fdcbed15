//! Decides what happens next in a run: a pure function of the view, an event, the time and a random number.
//!
//! Promise: equal input gives equal commands, in the order in which they must be executed. When they have
//! been applied (`RunView::apply`), nothing else is due. An event that does not fit the view, such as a
//! second report of one attempt, gives no command. It knows no state store and no clock. Read next:
//! `trigger.rs`, `view.rs`.

use std::collections::{BTreeMap, BTreeSet};

use towpath_ports::{RunState, TaskState};
use towpath_vocab::{Remedy, RetryPlan};

use crate::trigger::{ParentCounts, TriggerDecision, verdict};
use crate::view::{RunView, count};

/// The time and the random number of a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecisionContext {
    /// Microseconds since 1970 UTC.
    pub(crate) us: i64,
    /// A random number.
    pub(crate) random: u64,
}

/// An event. Tasks are identified by their position in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverEvent {
    /// The run was created or resumed.
    Opened,
    /// An attempt ended.
    Ended {
        /// The task.
        task: usize,
        /// How.
        end: EndKind,
    },
    /// Time has passed.
    Due,
    /// This worker joined the run of another one, or polled the state store: what the other workers left
    /// undecided is decided.
    Polled,
    /// The run is to stop.
    Cancel,
    /// The run has not ended by its deadline.
    Deadline,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// Well.
    Succeeded,
    /// Well, and there was nothing to do.
    Unchanged,
    /// With a failure of this remedy.
    Failed(Remedy),
}

/// A command for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverCommand {
    /// Store the change of state; a change to `Running` also starts an attempt.
    Move {
        /// The task.
        task: usize,
        /// The present state.
        from: TaskState,
        /// The new state.
        to: TaskState,
    },
    /// Send `DriverEvent::Due` at this time.
    RetryAt {
        /// The task.
        task: usize,
        /// Microseconds since 1970 UTC.
        at_us: i64,
    },
    /// Ask every running attempt to stop.
    StopAll {
        /// Because of the deadline: the run fails.
        late: bool,
    },
    /// The run has ended.
    Close(RunState),
}

/// Decides what to do about one event.
pub(crate) fn decide(
    view: &RunView,
    event: DriverEvent,
    now: DecisionContext,
) -> Vec<DriverCommand> {
    if view.closed().is_some() {
        return Vec::new();
    }
    let mut decision = Decision::about(view);
    match event {
        DriverEvent::Opened => decision.open(),
        DriverEvent::Ended { task, end } => decision.ended(task, end, now),
        DriverEvent::Due => decision.due(now),
        DriverEvent::Polled => {
            for task in 0..view.tasks().len() {
                decision.settle(task);
            }
            decision.due(now);
        }
        DriverEvent::Cancel => decision.stop(false),
        DriverEvent::Deadline => decision.stop(true),
    }
    decision.start();
    decision.close();
    decision.commands
}

/// The delay before a retry, in microseconds: a random part of a limit that doubles.
pub(crate) fn backoff_us(retry: &RetryPlan, retries_used: u32, random: u64) -> u64 {
    let doubled = retry
        .backoff_ms
        .saturating_mul(1_u64.checked_shl(retries_used).unwrap_or(u64::MAX));
    let bound_us = doubled.min(retry.backoff_max_ms).saturating_mul(1_000);
    match bound_us.checked_add(1) {
        Some(choices) => random % choices,
        None => random,
    }
}

/// The changes of a decision, on a view that is not changed itself.
struct Decision<'a> {
    view: &'a RunView,
    states: BTreeMap<usize, TaskState>,
    counts: BTreeMap<usize, ParentCounts>,
    ready: BTreeSet<usize>,
    running: usize,
    open: usize,
    failed: usize,
    cancelled: usize,
    cancelling: bool,
    late: bool,
    commands: Vec<DriverCommand>,
}

impl<'a> Decision<'a> {
    fn about(view: &'a RunView) -> Self {
        Self {
            view,
            states: BTreeMap::new(),
            counts: BTreeMap::new(),
            ready: BTreeSet::new(),
            running: view.running(),
            open: view.open(),
            failed: 0,
            cancelled: 0,
            cancelling: view.cancelling(),
            late: view.late(),
            commands: Vec::new(),
        }
    }

    fn state(&self, task: usize) -> Option<TaskState> {
        let changed = self.states.get(&task).copied();
        changed.or_else(|| self.view.tasks().get(task).map(|task| task.state))
    }

    fn counts(&self, task: usize) -> ParentCounts {
        let changed = self.counts.get(&task).copied();
        changed
            .or_else(|| self.view.tasks().get(task).map(|task| task.counts))
            .unwrap_or_default()
    }

    /// Decides at the beginning of a run: starts tasks without parents, and those that a resumed run left
    /// undone. A retry that was waiting when its process died is due.
    fn open(&mut self) {
        for task in 0..self.view.tasks().len() {
            match self.state(task) {
                Some(TaskState::Waiting) => self.settle(task),
                Some(TaskState::Retrying) => self.shift(task, TaskState::Ready),
                _ => {}
            }
        }
    }

    fn due(&mut self, now: DecisionContext) {
        for task in self.view.due(now.us) {
            self.shift(task, TaskState::Ready);
        }
    }

    fn ended(&mut self, task: usize, end: EndKind, now: DecisionContext) {
        if self.state(task) != Some(TaskState::Running) {
            return;
        }
        let Some(found) = self.view.tasks().get(task) else {
            return;
        };
        match end {
            EndKind::Succeeded => self.shift(task, TaskState::Succeeded),
            EndKind::Unchanged => self.shift(task, TaskState::Unchanged),
            EndKind::Failed(_) if self.cancelling && !self.late => {
                self.shift(task, TaskState::Cancelled);
            }
            EndKind::Failed(_) if self.late => self.shift(task, TaskState::Failed),
            EndKind::Failed(remedy)
                if remedy.may_pass() && found.retries_used < found.retry.retries =>
            {
                let delay_us = backoff_us(&found.retry, found.retries_used, now.random);
                let at_us = now
                    .us
                    .saturating_add(i64::try_from(delay_us).unwrap_or(i64::MAX));
                self.shift(task, TaskState::Retrying);
                self.commands.push(DriverCommand::RetryAt { task, at_us });
            }
            EndKind::Failed(_) => self.shift(task, TaskState::Failed),
        }
    }

    /// Stops the run. After its deadline, what runs and does not end well fails, and so does the first task that has
    /// not begun: the reason is in the run then, whatever becomes of the others.
    fn stop(&mut self, late: bool) {
        if self.cancelling {
            return;
        }
        self.cancelling = true;
        self.late = late;
        self.commands.push(DriverCommand::StopAll { late });
        let mut next = match late {
            true => TaskState::Failed,
            false => TaskState::Cancelled,
        };
        for task in 0..self.view.tasks().len() {
            let waits = matches!(
                self.state(task),
                Some(TaskState::Waiting | TaskState::Ready | TaskState::Retrying)
            );
            if waits {
                self.shift(task, next);
                next = TaskState::Cancelled;
            }
        }
    }

    /// Starts ready tasks while the limit of parallel tasks allows it.
    fn start(&mut self) {
        if self.cancelling {
            return;
        }
        let room = self.view.parallel().saturating_sub(self.running);
        let candidates: Vec<usize> = self
            .view
            .ready()
            .union(&self.ready)
            .copied()
            .take(room)
            .collect();
        for task in candidates {
            self.shift(task, TaskState::Running);
        }
    }

    fn close(&mut self) {
        if self.open == 0 {
            self.commands.push(DriverCommand::Close(self.view.end(
                self.failed,
                self.cancelled,
                self.late,
            )));
        }
    }

    /// Decides about a waiting task.
    fn settle(&mut self, task: usize) {
        let Some(found) = self.view.tasks().get(task) else {
            return;
        };
        if self.cancelling || self.state(task) != Some(TaskState::Waiting) {
            return;
        }
        match verdict(found.when, &self.counts(task)) {
            TriggerDecision::Wait => {}
            TriggerDecision::Run => self.shift(task, TaskState::Ready),
            TriggerDecision::Skip => self.shift(task, TaskState::Skipped),
        }
    }

    /// Changes the state of one task, and then of those that wait for it, if its end decides about them.
    fn shift(&mut self, task: usize, to: TaskState) {
        let mut moves = vec![(task, to)];
        while let Some((task, to)) = moves.pop() {
            let Some(from) = self.state(task) else {
                continue;
            };
            self.commands.push(DriverCommand::Move { task, from, to });
            self.states.insert(task, to);
            self.recount(task, from, to);
            if !to.is_final() {
                continue;
            }
            let blocked = self.counts(task).any_failed();
            let children = self
                .view
                .tasks()
                .get(task)
                .map_or(&[][..], |found| found.children.as_slice());
            for child in children {
                let mut counts = self.counts(*child);
                count(&mut counts, to, blocked);
                self.counts.insert(*child, counts);
                let waits = self.state(*child) == Some(TaskState::Waiting) && !self.cancelling;
                let when = self.view.tasks().get(*child).map(|child| child.when);
                match when.map(|when| verdict(when, &counts)) {
                    Some(TriggerDecision::Run) if waits => moves.push((*child, TaskState::Ready)),
                    Some(TriggerDecision::Skip) if waits => {
                        moves.push((*child, TaskState::Skipped))
                    }
                    _ => {}
                }
            }
        }
    }

    fn recount(&mut self, task: usize, from: TaskState, to: TaskState) {
        match from {
            TaskState::Running => self.running -= 1,
            TaskState::Ready => {
                self.ready.remove(&task);
            }
            _ => {}
        }
        match to {
            TaskState::Running => self.running += 1,
            TaskState::Ready => {
                self.ready.insert(task);
            }
            TaskState::Failed => self.failed += 1,
            TaskState::Cancelled => self.cancelled += 1,
            _ => {}
        }
        if to.is_final() {
            self.open -= 1;
        }
    }
}
