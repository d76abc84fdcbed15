//! The request that a run stops, as the state store keeps it with the run.
//!
//! Promise: values only. A request stays with its run; a stronger one replaces a weaker one and never the other
//! way round. What a run does when it finds one is in `orchestrator/src/driver.rs`; what becomes of its interval
//! is in `state/src/schedules.rs`. Read next: `state.rs`.

use serde::{Deserialize, Serialize};

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A user cancelled it.
    User,
    /// The next interval is due: `overlap: cancel_running` or `terminate_running`.
    Overlap,
}

/// A request that a run stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStop {
    /// Why.
    pub why: StopReason,
    /// True when its tasks get no time to stop cleanly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
    /// The user who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl RunStop {
    /// True when this one asks for more than the one before.
    pub fn is_stronger(&self, before: Option<&RunStop>) -> bool {
        before.is_none_or(|before| self.at_once && !before.at_once)
    }
}

/// The answer to a `RunStop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopResult {
    /// The process of the run is asked, and stops it.
    Requested,
    /// No process of the run renews its lease: the run has ended now.
    Ended,
    /// There is no such run, or it has ended.
    NotRunning,
}
