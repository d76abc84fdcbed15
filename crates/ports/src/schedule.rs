//! What the state store keeps about schedules: how far each is decided, and what became of its intervals.
//!
//! Promise: values only. How far a schedule is decided moves with a fence, so that of several schedulers
//! one decides about an interval. It does not know when an interval is due: see the crates `schedule` and
//! `orchestrator`. Read next: `state.rs`.

use serde::{Deserialize, Serialize};
use towpath_vocab::{Environment, Failure, Interval, PipelineName, RunName, SchedulePlan};

use crate::RunStop;

/// What became of an interval that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalState {
    /// It waits for its run.
    Waiting,
    /// Its run has begun.
    Running,
    /// Its run ended well.
    Succeeded,
    /// Its run failed.
    Failed,
    /// It gets no run.
    Skipped,
}

/// Why an interval gets no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// No scheduler ran when it was due.
    Missed,
    /// A later interval waits.
    Newer,
    /// An earlier run had not ended.
    Overlap,
    /// A user cancelled its run.
    Cancelled,
    /// Its run was stopped, because the next interval was due.
    Replaced,
    /// The pipeline has no schedule any more.
    Removed,
    /// The schedule was paused when it was due.
    Paused,
    /// The schedule was changed: earlier versions of Towpath did not run such an interval.
    Changed,
}

/// An interval that was due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduledInterval {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// From where to where; of several that were skipped together, from the first to the last.
    #[serde(flatten)]
    pub interval: Interval,
    /// What became of it.
    pub state: IntervalState,
    /// Why it was skipped, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<SkipReason>,
    /// How many intervals these are: more than one only where some were skipped together.
    pub intervals: u64,
    /// Its last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunName>,
    /// The number of the backfill that runs it; none where the schedule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<u64>,
}

/// A schedule that a user has paused: nothing of it is decided, and none of its runs begins or is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulePause {
    /// Since when, in microseconds since 1970 UTC.
    pub since_us: i64,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<i64>,
    /// What the user gave as the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The user.
    pub by: String,
    /// The user who ended it at `until_us`; the next server that serves the schedule decides what was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

/// What an event of a schedule or of a backfill says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleEventKind {
    /// A user created the backfill.
    Created,
    /// A user paused it.
    Paused,
    /// It goes on: a user resumed it, or the time of its pause is over.
    Resumed,
    /// A user cancelled the backfill.
    Cancelled,
}

impl ScheduleEventKind {
    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a user did to a schedule, or what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleEvent {
    /// Its number among the events of this schedule; numbers have no gap.
    pub seq: u64,
    /// When, by the clock of the store.
    pub at_us: i64,
    /// What happened.
    pub kind: ScheduleEventKind,
    /// Details.
    #[serde(flatten)]
    pub details: ScheduleEventDetails,
}

/// The details of an event of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEventDetails {
    /// The user; nobody when it happened by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What the user gave as the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When a pause ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<i64>,
}

/// A schedule as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleRecord {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The environment.
    pub environment: Environment,
    /// The schedule by which it was decided last.
    pub plan: SchedulePlan,
    /// All that was due until this moment is decided, in microseconds since 1970 UTC.
    pub decided_us: i64,
    /// Since when the schedule is this one, if it was another one before: no interval ends between
    /// `decided_us` and this moment, and the next one begins at `decided_us`.
    pub since_us: Option<i64>,
    /// What was due until this moment and is not decided waits for room: it was not missed.
    pub queued_us: Option<i64>,
    /// Since when the project does not have it any more.
    pub removed_us: Option<i64>,
    /// Set while a user has paused it.
    pub paused: Option<SchedulePause>,
    /// Rises with every change; a decision with another one is stale.
    pub fence: u64,
    /// What waits or runs, in the order of time.
    pub open: Vec<ScheduledInterval>,
}

impl ScheduleRecord {
    /// The pause, unless it has ended by itself.
    pub fn paused_at(&self, now_us: i64) -> Option<&SchedulePause> {
        let paused = self.paused.as_ref();
        paused.filter(|pause| pause.until_us.is_none_or(|until| until > now_us))
    }
}

/// All schedules of an environment at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleRecords {
    /// The store's clock: what is due is judged by it, so that all schedulers agree.
    pub now_us: i64,
    /// The schedules, by pipeline.
    pub schedules: Vec<ScheduleRecord>,
    /// Those that cannot be read, each with the reason. They do not keep the others from being decided.
    pub unreadable: Vec<(PipelineName, Failure)>,
}

/// A decision about one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalDecision {
    /// The interval.
    pub interval: Interval,
    /// Why it gets no run; without a reason it waits for its run.
    pub skip: Option<SkipReason>,
    /// How many intervals these are.
    pub intervals: u64,
}

/// What a scheduler decides about one schedule, in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleUpdate {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The environment.
    pub environment: Environment,
    /// The fence that the schedule must have; `None` when the store must not have it yet.
    pub fence: Option<u64>,
    /// The schedule.
    pub plan: SchedulePlan,
    /// How far it is decided then. Never goes back.
    pub decided_us: i64,
    /// Since when the schedule is this one, if it was another one before.
    pub since_us: Option<i64>,
    /// What was due until this moment and is not decided waits for room.
    pub queued_us: Option<i64>,
    /// Since when the project does not have it any more.
    pub removed_us: Option<i64>,
    /// The pause of a user.
    pub paused: Option<SchedulePause>,
    /// What is added to the events of the schedule: a kind, and its details.
    pub event: Option<(ScheduleEventKind, ScheduleEventDetails)>,
    /// Intervals that were due, in the order of time.
    pub due: Vec<IntervalDecision>,
    /// The runs of its intervals that have not ended are asked to stop.
    pub stop: Option<RunStop>,
    /// Ends of intervals that wait and now get no run. One whose run began meanwhile keeps its run, also when
    /// that was stopped, unless the schedule was removed or a later interval takes its place.
    pub skipped: Vec<(i64, SkipReason)>,
}
