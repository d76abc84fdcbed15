//! The events in the history of a run.
//!
//! Promise: the kind of an event is one of a closed list, and each kind has one stable word, which the store,
//! `towpath logs` and JSON output use. It does not know who stores or reads events.
//! Read next: `state.rs`, whose operations add an event with every change.

use std::fmt;

use serde::{Deserialize, Serialize};
use towpath_vocab::{Environment, RunName, TaskId};

use crate::run_states::{RunState, TaskState};

/// What an event of a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum RunEventKind {
    /// The run was opened for the first time.
    RunStarted,
    /// The run was interrupted and goes on.
    RunResumed,
    /// The run was asked to stop.
    StopRequested,
    /// The run ended in this state.
    RunEnded(RunState),
    /// A task came into this state.
    Task(TaskState),
    /// Something worth a line that changes no state.
    Note,
}

impl RunEventKind {
    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunStarted | Self::RunEnded(RunState::Running) => "run_started",
            Self::RunResumed => "run_resumed",
            Self::StopRequested => "stop_requested",
            Self::RunEnded(RunState::Succeeded) => "run_succeeded",
            Self::RunEnded(RunState::Failed) => "run_failed",
            Self::RunEnded(RunState::Cancelled) => "run_cancelled",
            Self::RunEnded(RunState::Superseded) => "run_superseded",
            Self::Task(TaskState::Waiting) => "task_waiting",
            Self::Task(TaskState::Ready) => "task_ready",
            Self::Task(TaskState::Running) => "task_running",
            Self::Task(TaskState::Retrying) => "retry_scheduled",
            Self::Task(TaskState::Succeeded) => "task_succeeded",
            Self::Task(TaskState::Unchanged) => "task_unchanged",
            Self::Task(TaskState::Failed) => "task_failed",
            Self::Task(TaskState::Skipped) => "task_skipped",
            Self::Task(TaskState::Cancelled) => "task_cancelled",
            Self::Note => "note",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

const ALL: [RunEventKind; 17] = [
    RunEventKind::RunStarted,
    RunEventKind::RunResumed,
    RunEventKind::StopRequested,
    RunEventKind::RunEnded(RunState::Succeeded),
    RunEventKind::RunEnded(RunState::Failed),
    RunEventKind::RunEnded(RunState::Cancelled),
    RunEventKind::RunEnded(RunState::Superseded),
    RunEventKind::Task(TaskState::Waiting),
    RunEventKind::Task(TaskState::Ready),
    RunEventKind::Task(TaskState::Running),
    RunEventKind::Task(TaskState::Retrying),
    RunEventKind::Task(TaskState::Succeeded),
    RunEventKind::Task(TaskState::Unchanged),
    RunEventKind::Task(TaskState::Failed),
    RunEventKind::Task(TaskState::Skipped),
    RunEventKind::Task(TaskState::Cancelled),
    RunEventKind::Note,
];

impl fmt::Display for RunEventKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl From<RunEventKind> for &'static str {
    fn from(kind: RunEventKind) -> Self {
        kind.as_str()
    }
}

impl TryFrom<String> for RunEventKind {
    type Error = String;

    fn try_from(word: String) -> std::result::Result<Self, String> {
        Self::from_word(&word).ok_or_else(|| format!("`{word}` is no kind of event"))
    }
}

/// An event in the history of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunEvent {
    /// Its number in the run; numbers have no gap.
    pub seq: u64,
    /// Its time in microseconds since 1970 UTC.
    pub at_us: i64,
    /// The task, if the event is about one.
    pub task: Option<TaskId>,
    /// What it says.
    pub kind: RunEventKind,
    /// Details.
    pub body: serde_json::Value,
}

/// What a subscriber gets.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The subscriber.
    pub name: String,
    /// Events of this environment only.
    pub environment: Option<Environment>,
    /// Events of these kinds only; of all kinds if there are none.
    pub kinds: Vec<RunEventKind>,
}

/// An event that waits to be sent to a subscriber.
#[derive(Clone, Debug)]
pub struct OutboxEvent {
    /// Its number in the outbox.
    pub id: u64,
    /// Its run.
    pub run: RunName,
    /// The environment.
    pub environment: Environment,
    /// What happened.
    pub event: RunEvent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in ALL {
            assert_eq!(RunEventKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(RunEventKind::from_word("task_retrying"), None);
    }
}
