//! How values lie in columns: JSON in a versioned envelope, states as their words, counters as i64.
//!
//! Promise: every JSON column is `{"v":1,"d":...}`, so that a later Towpath can read what an older
//! one wrote and an older one refuses, instead of misreading, what a later one wrote.
//! It knows no table.

use rusqlite::Row;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use towpath_ports::{RunState, TaskState};

use crate::error::StateError;

/// Version of the JSON forms this binary writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    d: T,
}

/// A value as it lies in a column.
pub(crate) fn to_column<T: Serialize>(what: &'static str, value: &T) -> Result<String, StateError> {
    serde_json::to_string(&Envelope {
        v: VERSION,
        d: value,
    })
    .map_err(|error| StateError::Stored {
        what,
        detail: error.to_string(),
    })
}

/// A value from a column.
pub(crate) fn from_column<T: DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<T, StateError> {
    match serde_json::from_str::<Envelope<T>>(text) {
        Ok(envelope) if envelope.v == VERSION => Ok(envelope.d),
        Ok(envelope) => Err(StateError::StoredNewer {
            what,
            found: envelope.v,
            known: VERSION,
        }),
        Err(error) => match serde_json::from_str::<Envelope<IgnoredAny>>(text) {
            Ok(envelope) if envelope.v > VERSION => Err(StateError::StoredNewer {
                what,
                found: envelope.v,
                known: VERSION,
            }),
            _ => Err(StateError::Stored {
                what,
                detail: error.to_string(),
            }),
        },
    }
}

/// A JSON column of a row.
pub(crate) fn json<T: DeserializeOwned>(
    what: &'static str,
    row: &Row<'_>,
    column: &str,
) -> Result<T, StateError> {
    from_column(
        what,
        row.get_ref(column)?
            .as_str()
            .map_err(rusqlite::Error::from)?,
    )
}

/// A JSON column of a row that may be NULL.
pub(crate) fn maybe_json<T: DeserializeOwned>(
    what: &'static str,
    row: &Row<'_>,
    column: &str,
) -> Result<Option<T>, StateError> {
    match row.get::<_, Option<String>>(column)? {
        Some(text) => from_column(what, &text).map(Some),
        None => Ok(None),
    }
}

/// The word of a run's state.
pub(crate) fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
        RunState::Superseded => "superseded",
    }
}

/// A run's state from its word.
pub(crate) fn parse_run_state(word: &str) -> Result<RunState, StateError> {
    let all = [
        RunState::Running,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Cancelled,
        RunState::Superseded,
    ];
    all.into_iter()
        .find(|state| run_state(*state) == word)
        .ok_or_else(|| StateError::Stored {
            what: "run state",
            detail: format!("`{word}` is none"),
        })
}

/// The word of a task's state.
pub(crate) fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Waiting => "waiting",
        TaskState::Ready => "ready",
        TaskState::Running => "running",
        TaskState::Retrying => "retrying",
        TaskState::Succeeded => "succeeded",
        TaskState::Unchanged => "unchanged",
        TaskState::Failed => "failed",
        TaskState::Skipped => "skipped",
        TaskState::Cancelled => "cancelled",
    }
}

/// A task's state from its word.
pub(crate) fn parse_task_state(word: &str) -> Result<TaskState, StateError> {
    let all = [
        TaskState::Waiting,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Retrying,
        TaskState::Succeeded,
        TaskState::Unchanged,
        TaskState::Failed,
        TaskState::Skipped,
        TaskState::Cancelled,
    ];
    all.into_iter()
        .find(|state| task_state(*state) == word)
        .ok_or_else(|| StateError::Stored {
            what: "task state",
            detail: format!("`{word}` is none"),
        })
}

/// A counter as SQLite keeps it. Counters never come near the end of i64.
pub(crate) fn signed(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// A counter from a column.
pub(crate) fn counter(row: &Row<'_>, column: &str) -> Result<u64, StateError> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| StateError::Stored {
        what: "counter",
        detail: format!("`{column}` is {value}"),
    })
}
