//! The states of a run and of a task.
//!
//! Promise: a final state does not change again in its run. It does not know which change is allowed: see the
//! crate `orchestrator`. Read next: `run_event.rs`, which has an event for each state.

use serde::{Deserialize, Serialize};

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Tasks may run.
    Running,
    /// Every task ended well.
    Succeeded,
    /// A task failed.
    Failed,
    /// The user stopped it.
    Cancelled,
    /// Its process died, and a run with another graph replaced it.
    Superseded,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for its parents.
    Waiting,
    /// May start.
    Ready,
    /// An attempt is running.
    Running,
    /// Waits for its next attempt.
    Retrying,
    /// Ended well.
    Succeeded,
    /// Ended well without doing anything: its fingerprint is unchanged.
    Unchanged,
    /// Failed, and is not retried.
    Failed,
    /// Its trigger rule can no longer be met.
    Skipped,
    /// The user stopped it.
    Cancelled,
}

impl TaskState {
    /// True if it does not change again in this run.
    pub fn is_final(self) -> bool {
        !matches!(
            self,
            TaskState::Waiting | TaskState::Ready | TaskState::Running | TaskState::Retrying
        )
    }
}
