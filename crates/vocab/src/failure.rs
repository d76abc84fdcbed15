//! Something that ran and failed, in a form that can be stored, sent and shown.
//!
//! Each crate raises its own small error enum and turns it into a `Failure` at a port. A failure
//! answers one question, `remedy`: who must do what before it can work. It never holds a secret.

use serde::{Deserialize, Serialize};

use crate::RecordLocation;

/// Who must do what before the same thing can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Try again: the cause passes by itself (refused connection, deadlock, conflict).
    Retry,
    /// Change the project, the connection or the outside system's rights.
    FixConfig,
    /// Change the data, or the rules about it.
    FixData,
    /// Refused on purpose: locked, unsafe, read-only.
    Refused,
    /// The user asked to stop.
    Cancelled,
    /// A mistake in Towpath.
    Bug,
}

/// A failure with a stable code, a message and a way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable code: `R` and four digits for things that run.
    pub code: String,
    /// Who must do what.
    pub remedy: Remedy,
    /// One line; things are named in backticks; no secret, no value that policy hides.
    pub message: String,
    /// Ways out, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// The record it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<RecordLocation>,
}

impl Failure {
    /// A failure without help or place.
    pub fn new(code: &str, remedy: Remedy, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            remedy,
            message: message.into(),
            help: Vec::new(),
            place: None,
        }
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds the record it is about.
    #[must_use]
    pub fn at(mut self, place: RecordLocation) -> Self {
        self.place = Some(place);
        self
    }
}
