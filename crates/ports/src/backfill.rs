//! What the state store keeps about backfills: past intervals of a pipeline that a user wants to have run.
//!
//! Promise: values only. An interval waits in one backfill at a time, so it is run once, however many users
//! ask for it. It does not know which intervals are run: see `app/src/backfill.rs`. Read next: `schedule.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towpath_vocab::{Environment, Interval, PipelineName, RunName};

use crate::{IntervalState, RunState};

/// Which of the intervals comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillOrder {
    /// The oldest one.
    #[default]
    Oldest,
    /// The newest one.
    Newest,
}

/// What happens to an interval that has had a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// It is skipped.
    #[default]
    Skip,
    /// It is run again.
    Rerun,
    /// It is run again if no run of it ended well.
    RerunFailed,
}

/// A run about an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalRun {
    /// The interval.
    pub interval: Interval,
    /// The run.
    pub run: RunName,
    /// Its state.
    pub state: RunState,
    /// Whether its process is alive. A run whose process has died keeps no interval: another one resumes it.
    pub is_live: bool,
}

/// What the runs of a pipeline have done, by their intervals.
#[derive(Clone, Debug, Default)]
pub struct PastRuns {
    runs: BTreeMap<Interval, Vec<IntervalRun>>,
    /// What has run well, and what has run at all, without gaps between neighbours.
    well: Vec<Interval>,
    ended: Vec<Interval>,
}

impl PastRuns {
    /// From runs, oldest first.
    pub fn new(all: Vec<IntervalRun>) -> Self {
        let of = |states: &[RunState]| {
            let runs = all.iter().filter(|one| states.contains(&one.state));
            joined(runs.map(|one| one.interval).collect())
        };
        let (well, ended) = (
            of(&[RunState::Succeeded]),
            of(&[RunState::Succeeded, RunState::Failed]),
        );
        let mut runs: BTreeMap<Interval, Vec<IntervalRun>> = BTreeMap::new();
        for one in all {
            runs.entry(one.interval).or_default().push(one);
        }
        Self { runs, well, ended }
    }

    /// The last run of an interval itself.
    pub fn last(&self, interval: Interval) -> Option<&RunName> {
        Some(&self.runs.get(&interval)?.last()?.run)
    }

    /// Why an interval is skipped, if it is. Runs of other intervals, from before an edit of the schedule,
    /// count where they cover all of it. A run that goes on decides when it has ended; nothing is run again
    /// beside it.
    pub fn skip(&self, on_existing: OnExisting, interval: Interval) -> Option<BackfillSkip> {
        let mut own = self.runs.get(&interval).into_iter().flatten();
        let goes_on = own.any(|one| one.state == RunState::Running && one.is_live);
        match on_existing {
            OnExisting::Rerun => goes_on.then_some(BackfillSkip::Running),
            _ if covers(&self.well, interval) => Some(BackfillSkip::Succeeded),
            OnExisting::Skip if covers(&self.ended, interval) => Some(BackfillSkip::Failed),
            OnExisting::Skip | OnExisting::RerunFailed => None,
        }
    }
}

/// Intervals in the order of time; those that touch or overlap are one.
fn joined(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable_by_key(|one| (one.start_us, one.end_us));
    let mut found: Vec<Interval> = Vec::new();
    for one in intervals {
        match found.last_mut() {
            Some(last) if one.start_us <= last.end_us => last.end_us = last.end_us.max(one.end_us),
            _ => found.push(one),
        }
    }
    found
}

fn covers(joined: &[Interval], interval: Interval) -> bool {
    let after = joined.partition_point(|one| one.start_us <= interval.start_us);
    let last = after.checked_sub(1).and_then(|last| joined.get(last));
    last.is_some_and(|one| one.end_us >= interval.end_us)
}

/// Why an interval of a backfill gets no run from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillSkip {
    /// It has had a run that ended well.
    Succeeded,
    /// It has had a run that failed.
    Failed,
    /// A run of it goes on.
    Running,
    /// The schedule runs it, or has not decided about it yet.
    Scheduled,
    /// Another backfill runs it.
    OtherBackfill,
    /// Its end has not come.
    NotDue,
    /// The backfill was cancelled before its turn.
    Cancelled,
    /// A user cancelled its run.
    RunCancelled,
}

/// What a user asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillPlan {
    /// No interval begins before this moment or ends after the other one.
    pub range: Interval,
    /// The time zone of the schedule, for people.
    pub timezone: String,
    /// The length of the intervals, if they are not those of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// Which interval comes first.
    pub order: BackfillOrder,
    /// What happens to intervals that have had a run.
    pub on_existing: OnExisting,
}

/// A backfill to be created.
#[derive(Clone, Debug)]
pub struct NewBackfill {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The environment.
    pub environment: Environment,
    /// What was asked for.
    pub plan: BackfillPlan,
    /// The user.
    pub by: String,
    /// Its intervals, in the order in which they are run; those with a reason get no run.
    pub intervals: Vec<(Interval, Option<BackfillSkip>)>,
}

/// What a user did to a backfill. It has ended when nothing of it waits or runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// Its intervals are run.
    Active,
    /// No run of it begins.
    Paused,
    /// What waited is skipped.
    Cancelled,
}

/// A backfill, with the numbers of its intervals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackfillRecord {
    /// Its number in the environment.
    pub number: u64,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// What was asked for.
    #[serde(flatten)]
    pub plan: BackfillPlan,
    /// What a user did to it last.
    pub state: BackfillState,
    /// When it was created, in microseconds since 1970 UTC.
    pub created_us: i64,
    /// How many intervals wait.
    pub waiting: u64,
    /// How many have a run that goes on, or whose process has ended.
    pub running: u64,
    /// How many have a run that ended well.
    pub succeeded: u64,
    /// How many have a run that failed.
    pub failed: u64,
    /// How many get no run from it.
    pub skipped: u64,
}

impl BackfillRecord {
    /// True when nothing of it is left to do.
    pub fn has_ended(&self) -> bool {
        self.waiting == 0 && self.running == 0
    }
}

/// An interval of a backfill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackfillInterval {
    /// From where to where.
    #[serde(flatten)]
    pub interval: Interval,
    /// What became of it.
    pub state: IntervalState,
    /// Why it gets no run, if it gets none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<BackfillSkip>,
    /// Its last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunName>,
}

/// A change of a backfill by a user.
#[derive(Clone, Debug)]
pub struct BackfillChange {
    /// The environment.
    pub environment: Environment,
    /// Its number.
    pub number: u64,
    /// The state that it gets. One that was cancelled stays so.
    pub state: BackfillState,
    /// The user.
    pub by: String,
    /// What the user gave as the reason.
    pub reason: Option<String>,
}
