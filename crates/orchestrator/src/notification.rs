//! Events of a run for a terminal or a live page.
//!
//! Promise: an event is sent only after the state store has it, in the order of the state store. An observer
//! that is gone stops nothing. Read next: `driver.rs`, which sends the events.

use tokio::sync::mpsc::UnboundedSender;
use towpath_ports::{RunState, TaskOutcome, TaskState};
use towpath_vocab::{Failure, TaskId};

/// An event of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunNotification {
    /// The run begins or is resumed; `done` of `tasks` had ended before.
    Opened {
        /// All tasks.
        tasks: usize,
        /// Those that had ended before.
        done: usize,
    },
    /// An attempt began.
    Started {
        /// The task.
        task: TaskId,
        /// From 1.
        attempt: u32,
    },
    /// An attempt failed, and there will be another one.
    Retrying {
        /// The task.
        task: TaskId,
        /// The time of the next attempt, in microseconds since 1970 UTC.
        at_us: i64,
        /// Why it failed.
        failure: Option<Failure>,
    },
    /// A task cannot reach a system, and tries again after a pause.
    Waiting {
        /// The task.
        task: TaskId,
        /// Why.
        failure: Failure,
        /// The pause, in microseconds.
        pause_us: u64,
        /// How long it will try at most, in microseconds.
        left_us: u64,
    },
    /// A task ended.
    Ended {
        /// The task.
        task: TaskId,
        /// How.
        state: TaskState,
        /// What it did.
        outcome: TaskOutcome,
        /// Why it failed.
        failure: Option<Failure>,
        /// The duration of its last attempt in microseconds; 0 if there was none.
        elapsed_us: u64,
    },
    /// The user asked to stop; running attempts are being stopped.
    Stopping {
        /// The number of running attempts.
        running: usize,
    },
    /// The run ended.
    Closed(RunState),
}

/// Gets the events of a run.
pub trait DriveObserver: Send + Sync {
    /// Gets one event; it must not block.
    fn notify(&self, notification: RunNotification);
}

impl DriveObserver for UnboundedSender<RunNotification> {
    fn notify(&self, notification: RunNotification) {
        // An observer that is gone stops nothing.
        let _ = self.send(notification);
    }
}
