//! An entry in a crate's table of codes: what a code means and what to do.
//!
//! Promise: each crate with codes has one table, `CODES` in its `codes.rs`. A code is in one table only,
//! and has one meaning. The reference, `towpath check --explain` and `cargo xtask tidy` read the tables. It
//! knows no code itself. Read next: `failure.rs`, `diagnostic.rs`.

use crate::Remedy;

/// A code with its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeEntry {
    /// A letter and four digits: `R0701`.
    pub code: &'static str,
    /// Who must do what, in most cases; `None` for a mistake or note of `check`.
    pub remedy: Option<Remedy>,
    /// One sentence: what happened.
    pub summary: &'static str,
    /// What to do about it. Lines that begin with two blanks are examples. It may be empty if the summary
    /// is sufficient.
    pub explanation: &'static str,
}

impl CodeEntry {
    /// A code of something that ran and failed.
    pub const fn run(
        code: &'static str,
        remedy: Remedy,
        summary: &'static str,
        explanation: &'static str,
    ) -> Self {
        Self {
            code,
            remedy: Some(remedy),
            summary,
            explanation,
        }
    }

    /// A code of what `check` finds in a project.
    pub const fn check(
        code: &'static str,
        summary: &'static str,
        explanation: &'static str,
    ) -> Self {
        Self {
            code,
            remedy: None,
            summary,
            explanation,
        }
    }

    /// Summary and explanation as one text.
    pub fn text(&self) -> String {
        match self.explanation.is_empty() {
            true => self.summary.to_owned(),
            false => format!("{}\n\n{}", self.summary, self.explanation),
        }
    }
}

impl Remedy {
    /// The remedy in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Retry => "The error may pass: a run tries again.",
            Self::Unreachable => "The system may come back: a run tries again for a while.",
            Self::FixConfig => "Change the project, a connection or the permissions of a user.",
            Self::FixData => "Change the data, or the rules about them.",
            Self::Refused => "Towpath refuses on purpose.",
            Self::Cancelled => "The user asked to stop.",
            Self::Bug => "A fault in Towpath.",
        }
    }
}
