//! A broken repository rule: which rule, where, and what to do.
//!
//! It does not know how a rule finds it. Read next: `tidy.rs`.

use std::fmt;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The rule's name, as listed in `tidy.rs`.
    pub(crate) rule: &'static str,
    /// A file, a file and line, or a crate.
    pub(crate) place: String,
    /// What is wrong and the way out.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(
        rule: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            place: place.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tidy[{}] {}: {}", self.rule, self.place, self.message)
    }
}
