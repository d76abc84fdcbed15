//! The interface of a system that takes alerts.
//!
//! Promise: an alert holds no secret and is the same, with the same id, each time it is sent. It does not
//! know when one is due: that is `app/src/alerts/`.

use async_trait::async_trait;
use serde::Serialize;
use towpath_vocab::AlertCondition;

use crate::Result;

/// A message about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Its id: the same for every try to send it, and no other alert has it.
    pub id: String,
    /// What it is about, the main condition first; never empty.
    pub conditions: Vec<AlertCondition>,
    /// The project's name.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// The pipeline.
    pub pipeline: String,
    /// The run: `shop#212`.
    pub run: String,
    /// When it happened, in microseconds since 1970 UTC.
    pub at_us: i64,
    /// One line for people.
    pub title: String,
    /// Further lines, the most important first.
    pub details: Vec<String>,
    /// The command that shows more.
    pub command: String,
}

impl Alert {
    /// What the alerts of one pipeline have in common: a later one can end what an earlier one opened.
    pub fn subject(&self) -> String {
        let Self {
            project,
            environment,
            pipeline,
            ..
        } = self;
        format!("towpath/{project}/{environment}/{pipeline}")
    }

    /// True if it ends what an earlier one opened.
    pub fn resolves(&self) -> bool {
        self.conditions.contains(&AlertCondition::Recovered)
    }
}

/// A system that takes alerts.
#[async_trait]
pub trait AlertChannel: Send + Sync {
    /// Sends an alert; it has arrived when this returns. A caller that did not hear of the arrival sends it
    /// again, with the same id.
    async fn send(&self, alert: &Alert) -> Result<()>;
}
