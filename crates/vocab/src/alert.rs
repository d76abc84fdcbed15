//! When the alerts of a pipeline are sent, and to which connections.
//!
//! Promise: data only. What a condition means for a run is decided in `app/src/alerts/conditions.rs`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What an alert is about. The first of several is its main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCondition {
    /// A run has not ended before its deadline.
    Late,
    /// A run has failed.
    Failed,
    /// Checks or rules of a run have failed or warned, or records were rejected.
    Quality,
    /// A run has succeeded after the one before it failed.
    Recovered,
}

impl AlertCondition {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Late, Self::Failed, Self::Quality, Self::Recovered];

    /// Its word in the project's files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Quality => "quality",
            Self::Recovered => "recovered",
        }
    }
}

impl fmt::Display for AlertCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The connections that get alerts, by condition.
pub type AlertsPlan = BTreeMap<AlertCondition, Vec<String>>;
