//! The values of columns: JSON with a version, states as words, counters as i64.
//!
//! Promise: every JSON column is `{"v":1,"d":...}`, so a later version of Towpath can read what an older
//! one wrote, and an older version refuses what a later one wrote instead of misreading it. Outcomes of
//! tasks have version 2 or 3; version 1 is read. It knows no table and no database. Read next: `run_history.rs`.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use towpath_ports::{
    BackfillSkip, BackfillState, IntervalState, RunEventKind, RunKind, RunState, ScheduleEventKind,
    SkipReason, TaskOutcome, TaskState,
};

use crate::error::StateError;
use crate::tx::Row;

/// The version of the JSON that this binary writes.
const VERSION: u32 = 1;
/// The version of stored task outcomes.
const OUTCOME: u32 = 2;
/// The version of outcomes that version 2 does not have.
const OUTCOME_3: u32 = 3;

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    d: T,
}

/// The column value of a value.
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

/// The column value of a task outcome; `Nothing` is NULL.
pub(crate) fn outcome_to_column(outcome: &TaskOutcome) -> Result<Option<String>, StateError> {
    if *outcome == TaskOutcome::Nothing {
        return Ok(None);
    }
    let envelope = Envelope {
        v: match outcome {
            TaskOutcome::NoNewRows { .. } => OUTCOME_3,
            _ => OUTCOME,
        },
        d: outcome,
    };
    let text = serde_json::to_string(&envelope);
    text.map(Some).map_err(|error| StateError::Stored {
        what: "outcome",
        detail: error.to_string(),
    })
}

/// A task outcome from a column.
pub(crate) fn outcome(row: &Row, column: usize) -> Result<TaskOutcome, StateError> {
    let Some(text) = row.maybe_text(column)? else {
        return Ok(TaskOutcome::Nothing);
    };
    let wrong = |error: serde_json::Error| StateError::Stored {
        what: "outcome",
        detail: error.to_string(),
    };
    let found: Envelope<serde_json::Value> = serde_json::from_str(text).map_err(wrong)?;
    match found.v {
        VERSION => Ok(TaskOutcome::from_version_1(found.d)),
        OUTCOME | OUTCOME_3 => serde_json::from_value(found.d).map_err(wrong),
        newer => Err(StateError::StoredNewer {
            what: "outcome",
            found: newer,
            known: OUTCOME_3,
        }),
    }
}

/// A JSON column of a row.
pub(crate) fn json<T: DeserializeOwned>(
    what: &'static str,
    row: &Row,
    column: usize,
) -> Result<T, StateError> {
    from_column(what, row.text(column)?)
}

/// A JSON column of a row that may be NULL.
pub(crate) fn maybe_json<T: DeserializeOwned>(
    what: &'static str,
    row: &Row,
    column: usize,
) -> Result<Option<T>, StateError> {
    row.maybe_text(column)?
        .map(|text| from_column(what, text))
        .transpose()
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
    one_of("run state", word, all, run_state)
}

/// The kind of an event from its word.
pub(crate) fn event_kind(word: &str) -> Result<RunEventKind, StateError> {
    RunEventKind::from_word(word).ok_or_else(|| StateError::Stored {
        what: "event",
        detail: format!("`{word}` is not known"),
    })
}

/// The kind of an event of a schedule or of a backfill from its word.
pub(crate) fn schedule_event_kind(word: &str) -> Result<ScheduleEventKind, StateError> {
    let all = [
        ScheduleEventKind::Created,
        ScheduleEventKind::Paused,
        ScheduleEventKind::Resumed,
        ScheduleEventKind::Cancelled,
    ];
    one_of("event of a schedule", word, all, ScheduleEventKind::as_str)
}

/// The word of a run's kind.
pub(crate) fn run_kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Run => "run",
        RunKind::Lock => "lock",
        RunKind::Copy => "copy",
        RunKind::Replay => "replay",
    }
}

/// A run's kind from its word.
pub(crate) fn parse_run_kind(word: &str) -> Result<RunKind, StateError> {
    let all = [RunKind::Run, RunKind::Lock, RunKind::Copy, RunKind::Replay];
    one_of("run kind", word, all, run_kind)
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
    one_of("task state", word, all, task_state)
}

/// The word of an interval's state.
pub(crate) fn interval_state(state: IntervalState) -> &'static str {
    match state {
        IntervalState::Waiting => "waiting",
        IntervalState::Running => "running",
        IntervalState::Succeeded => "succeeded",
        IntervalState::Failed => "failed",
        IntervalState::Skipped => "skipped",
    }
}

/// An interval's state from its word.
pub(crate) fn parse_interval_state(word: &str) -> Result<IntervalState, StateError> {
    let all = [
        IntervalState::Waiting,
        IntervalState::Running,
        IntervalState::Succeeded,
        IntervalState::Failed,
        IntervalState::Skipped,
    ];
    one_of("state of an interval", word, all, interval_state)
}

/// The word of a reason.
pub(crate) fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Missed => "missed",
        SkipReason::Newer => "newer",
        SkipReason::Overlap => "overlap",
        SkipReason::Cancelled => "cancelled",
        SkipReason::Replaced => "replaced",
        SkipReason::Removed => "removed",
        SkipReason::Paused => "paused",
        SkipReason::Changed => "changed",
    }
}

/// A reason from its word.
pub(crate) fn parse_skip_reason(word: &str) -> Result<SkipReason, StateError> {
    let all = [
        SkipReason::Missed,
        SkipReason::Newer,
        SkipReason::Overlap,
        SkipReason::Cancelled,
        SkipReason::Replaced,
        SkipReason::Removed,
        SkipReason::Paused,
        SkipReason::Changed,
    ];
    one_of("reason of a skip", word, all, skip_reason)
}

/// The word of a backfill's state.
pub(crate) fn backfill_state(state: BackfillState) -> &'static str {
    match state {
        BackfillState::Active => "active",
        BackfillState::Paused => "paused",
        BackfillState::Cancelled => "cancelled",
    }
}

/// A backfill's state from its word.
pub(crate) fn parse_backfill_state(word: &str) -> Result<BackfillState, StateError> {
    let all = [
        BackfillState::Active,
        BackfillState::Paused,
        BackfillState::Cancelled,
    ];
    one_of("state of a backfill", word, all, backfill_state)
}

/// The word of the reason for which a backfill skips an interval.
pub(crate) fn backfill_skip(reason: BackfillSkip) -> &'static str {
    match reason {
        BackfillSkip::Succeeded => "succeeded",
        BackfillSkip::Failed => "failed",
        BackfillSkip::Running => "running",
        BackfillSkip::Scheduled => "scheduled",
        BackfillSkip::OtherBackfill => "other_backfill",
        BackfillSkip::NotDue => "not_due",
        BackfillSkip::Cancelled => "cancelled",
        BackfillSkip::RunCancelled => "run_cancelled",
    }
}

/// The reason from its word.
pub(crate) fn parse_backfill_skip(word: &str) -> Result<BackfillSkip, StateError> {
    let all = [
        BackfillSkip::Succeeded,
        BackfillSkip::Failed,
        BackfillSkip::Running,
        BackfillSkip::Scheduled,
        BackfillSkip::OtherBackfill,
        BackfillSkip::NotDue,
        BackfillSkip::Cancelled,
        BackfillSkip::RunCancelled,
    ];
    one_of("reason of a backfill", word, all, backfill_skip)
}

fn one_of<T: Copy, const N: usize>(
    what: &'static str,
    word: &str,
    all: [T; N],
    word_of: fn(T) -> &'static str,
) -> Result<T, StateError> {
    all.into_iter()
        .find(|one| word_of(*one) == word)
        .ok_or_else(|| StateError::Stored {
            what,
            detail: format!("`{word}` is not known"),
        })
}
