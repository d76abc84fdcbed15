//! A pipeline's schedule as the project declares it, and the interval of time that a run is about.
//!
//! Promise: data only; every local time is resolved, so that all machines mean the same moments. It does
//! not know which moments a cron expression gives: see the crate `schedule`. Read next: `plan.rs`.

use serde::{Deserialize, Serialize};

/// What a run is about: from `start_us` to `end_us`, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// Microseconds since 1970 UTC.
    pub start_us: i64,
    /// Microseconds since 1970 UTC.
    pub end_us: i64,
}

/// When a pipeline runs by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulePlan {
    /// How its times repeat.
    pub recurrence: Recurrence,
    /// The name of the time zone, as the IANA database writes it.
    pub timezone: String,
    /// No interval begins before this moment, in microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_us: Option<i64>,
    /// No interval ends after this moment, in microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_us: Option<i64>,
    /// What happens to times that passed while no scheduler ran.
    pub catchup: Catchup,
    /// What happens when a time comes and an earlier run of the pipeline has not ended.
    pub overlap: Overlap,
    /// How long a run may take from its beginning, in milliseconds; then it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What happens to a time of day that the clock skips.
    pub dst_gap: DstGap,
    /// What happens to a time of day that the clock repeats.
    pub dst_overlap: DstOverlap,
}

impl SchedulePlan {
    /// True when both give the same moments, whatever they do with missed ones.
    pub fn same_times(&self, other: &Self) -> bool {
        let times = |plan: &Self| Self {
            catchup: Catchup::Latest,
            overlap: Overlap::Queue,
            deadline_ms: None,
            ..plan.clone()
        };
        times(self) == times(other)
    }
}

/// How times repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recurrence {
    /// A cron expression of five fields.
    Cron(String),
    /// A fixed time between two moments, in milliseconds.
    EveryMs(u64),
}

/// What happens to times that passed while no scheduler ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Catchup {
    /// They are skipped.
    None,
    /// The last of them runs.
    #[default]
    Latest,
    /// Each of them runs, in their order.
    All,
}

/// What happens when a time comes and an earlier run has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It waits, and so do all that come after it.
    #[default]
    Queue,
    /// It waits; of those that wait only the last one runs.
    KeepLatest,
    /// It is skipped.
    Skip,
    /// The earlier run is asked to stop, then it runs; of those that wait only the last one runs.
    CancelRunning,
    /// The same; the tasks of the earlier run get no time to stop cleanly.
    TerminateRunning,
}

/// What happens to a time of day that the clock skips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstGap {
    /// It becomes the first moment after the skipped ones.
    #[default]
    Shift,
    /// There is none on that day.
    Skip,
}

/// What happens to a time of day that the clock repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstOverlap {
    /// The first of the two moments.
    #[default]
    First,
    /// The second one.
    Last,
    /// Both.
    Both,
}
