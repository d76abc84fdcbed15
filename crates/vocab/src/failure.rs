//! A failure of something that ran, in a form that can be stored, sent and shown.
//!
//! Promise: each crate has its own small error enum, and turns it into a `Failure` at a port. `remedy` says
//! who must do what before it can work. A failure never contains a secret: a password in a URL in its text
//! is removed here, whoever wrote the message. Read next: `code.rs`.

use serde::{Deserialize, Serialize};

use crate::RecordLocation;
use crate::passwords::without_passwords;

/// Who must do what before the same action can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Try again: the cause disappears by itself (deadlock, conflict).
    Retry,
    /// Try again for a while: an external system cannot be reached at the moment (a refused or lost
    /// connection, a server that starts or stops).
    Unreachable,
    /// Change the project, the connection or the external system's permissions.
    FixConfig,
    /// Change the data, or the rules about it.
    FixData,
    /// Refused on purpose: locked, unsafe, read-only.
    Refused,
    /// The user asked to stop.
    Cancelled,
    /// A fault in Towpath.
    Bug,
}

impl Remedy {
    /// True if the same action may work later without any change.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Retry | Self::Unreachable)
    }
}

/// A failure with a stable code, a message and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable code: `R` and four digits for things that run.
    pub code: String,
    /// Who must do what.
    pub remedy: Remedy,
    /// One line; names are in backticks; it contains no secret and no masked value.
    pub message: String,
    /// What the user can do, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// Its causes, outermost first, with the messages of libraries: for `-v` and logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The location of its record, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<RecordLocation>,
}

impl Failure {
    /// A failure without help or location.
    pub fn new(code: &str, remedy: Remedy, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            remedy,
            message: without_passwords(&message.into()).into_owned(),
            help: Vec::new(),
            causes: Vec::new(),
            place: None,
        }
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(without_passwords(&help.into()).into_owned());
        self
    }

    /// Adds an error and its causes, each without its back trace. It must not be used for errors that may
    /// quote row values or secrets.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            let text = text
                .split("\n\nbacktrace")
                .next()
                .unwrap_or_default()
                .trim();
            let text = without_passwords(text);
            let is_known = self.message == text || self.causes.iter().any(|known| *known == text);
            if !text.is_empty() && !is_known {
                self.causes.push(text.into_owned());
            }
            next = error.source();
        }
        self
    }

    /// Adds the location of its record.
    #[must_use]
    pub fn at(mut self, mut place: RecordLocation) -> Self {
        place.object = without_passwords(&place.object).into_owned();
        self.place = Some(place);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the inner one\n\nbacktrace: many lines")]
    struct Inner;

    #[test]
    fn no_password_is_kept() {
        let failure = Failure::new("R0001", Remedy::Bug, "there is no `host=h password=pw`")
            .help("there are: `password=pw`");
        assert_eq!(failure.message, "there is no `host=h password=***`");
        assert_eq!(failure.help, ["there are: `password=***`"]);
    }

    #[test]
    fn the_chain_of_causes_is_kept_without_back_traces() {
        let failure = Failure::new("R0001", Remedy::Bug, "the outer one").caused_by(&Outer(Inner));
        assert_eq!(failure.causes, ["the inner one"]);
        let failure = Failure::new("R0001", Remedy::Bug, "it failed").caused_by(&Outer(Inner));
        assert_eq!(failure.causes, ["the outer one", "the inner one"]);
    }
}
