//! How a run learns that it is to stop, and what its tasks say then.
//!
//! Promise: a request is found within a second or so of the moment the state store has it. A state store that does
//! not answer is no reason to stop: the lease decides about that. A task that was stopped says what stopped it; one
//! that failed by itself keeps its failure, or says it beside the deadline. Which tasks stop is decided in `decide.rs`.

use std::sync::Arc;
use std::time::Duration;

use towpath_ports::{AttemptEnd, RunRecord, RunStop, StateStore, StopReason, System, TaskState};
use towpath_vocab::{Environment, Failure, Remedy, RunName, TaskId};

use crate::decide::DriverEvent;
use crate::driver::{Driver, ends};
use crate::error::{cancelled, late, replaced};

/// How often it is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long it may take until the end of a killed program is known.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// Waits for a request that is stronger than the one before.
async fn asked(
    store: Arc<dyn StateStore>,
    system: Arc<dyn System>,
    run: RunName,
    environment: Environment,
    before: Option<RunStop>,
) -> RunStop {
    loop {
        system.sleep(POLL_INTERVAL).await;
        match store.stop_request(&run, &environment).await {
            Ok(Some(stop)) if stop.is_stronger(before.as_ref()) => return stop,
            Ok(_) => {}
            Err(failure) => {
                tracing::debug!(%failure, "it could not be read whether the run is to stop")
            }
        }
    }
}

/// The deadline of a run on the monotonic clock. What is left of its time was told by the state store; a clock that
/// jumps while the run goes on changes nothing.
pub(crate) fn deadline(record: &RunRecord, system: &dyn System) -> Option<u64> {
    let left_us = u64::try_from(record.left_us?).unwrap_or(0);
    Some(system.monotonic_us().saturating_add(left_us))
}

impl Driver {
    /// Waits for a request that the run stops, or for a stronger one.
    pub(crate) fn watch(&mut self) {
        let (store, system) = (Arc::clone(&self.store), Arc::clone(&self.system));
        let (run, environment) = (self.record.name.clone(), self.record.environment.clone());
        let before = self.record.stop.clone();
        self.asked
            .spawn(asked(store, system, run, environment, before));
    }

    /// The run was asked to stop; false when it is stopping already.
    pub(crate) fn stops(&mut self, stop: RunStop) -> bool {
        let at_once = stop.at_once;
        self.record.stop = Some(stop);
        if at_once {
            self.no_more_time();
        } else {
            self.watch();
        }
        !self.view.cancelling()
    }

    /// What runs gets no time to stop: its programs are killed, and what does not end then is dropped.
    pub(crate) fn no_more_time(&mut self) {
        self.executor.kill();
        self.grace = self.grace.min(LAST_RESORT);
        let last_us = u64::try_from(self.grace.as_micros()).unwrap_or(u64::MAX);
        let last_us = self.system.monotonic_us().saturating_add(last_us);
        self.drop_at_us = self.drop_at_us.map(|at_us| at_us.min(last_us));
    }

    /// How an attempt ended, for a change that ends it; for a task that fails without an attempt: that the deadline
    /// came first.
    pub(crate) fn end_of(
        &self,
        event: DriverEvent,
        (task, from, to): (usize, TaskState, TaskState),
        end: &AttemptEnd,
    ) -> Option<AttemptEnd> {
        if ends(event, task, from) {
            return Some(end.clone());
        }
        let late = event == DriverEvent::Deadline && to == TaskState::Failed;
        let task = self.planned.get(task).filter(|_| late)?;
        Some(AttemptEnd {
            failure: Some(self.late(&task.id)),
            ..AttemptEnd::default()
        })
    }

    fn late(&self, task: &TaskId) -> Failure {
        late(task, &self.record.name)
    }

    /// The failure of an attempt; of one that was stopped, what stopped it.
    pub(crate) fn because(&self, task: usize, failure: Failure) -> Failure {
        let Some(task) = self.planned.get(task).map(|task| &task.id) else {
            return failure;
        };
        let why = self.record.stop.as_ref().map(|stop| stop.why);
        match (failure.remedy, why) {
            (Remedy::Cancelled, _) if self.view.late() => self.late(task),
            _ if self.view.late() => self.late(task).help(format!(
                "its attempt failed meanwhile: {} {}",
                failure.code, failure.message
            )),
            (Remedy::Cancelled, Some(StopReason::Overlap)) => replaced(task),
            (Remedy::Cancelled, Some(StopReason::User)) => cancelled(task, &self.record.name),
            _ => failure,
        }
    }
}
