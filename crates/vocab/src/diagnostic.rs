//! A user's mistake, with its position and what to do: one type for terminal, JSON and editor.
//!
//! Promise: diagnostics are collected, so all mistakes are shown at once. They are printed in
//! `cli/src/draw/diagnostics.rs`, not here. Read next: `failure.rs`, for what fails while it runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::passwords::without_passwords;

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing; changes no exit code.
    Note,
    /// Likely a mistake; changes no exit code.
    Warning,
    /// The project cannot run as it stands.
    Error,
}

/// A range of bytes in a project file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Path relative to the project folder, with `/`.
    pub file: String,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
    /// Line of `start`, from 1.
    pub line: usize,
    /// Column of `start` in characters, from 1.
    pub column: usize,
}

/// Where a record of outside data stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordLocation {
    /// The file, table or topic, as a person would name it.
    pub object: String,
    /// Line in a text file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Byte offset of the record in the (uncompressed) file, or row number in a table.
    pub ordinal: u64,
}

impl fmt::Display for RecordLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.object),
            None => write!(f, "{} row {}", self.object, self.ordinal),
        }
    }
}

/// One mistake or note about the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable code: a letter for the area (`P` project files, `M` models, `C` connections,
    /// `T` types, `K` contracts and checks) and four digits.
    pub code: String,
    /// How bad it is.
    pub level: Level,
    /// One terse line; things are named in backticks.
    pub message: String,
    /// Where the mistake is, if it has a place in a file.
    pub span: Option<Span>,
    /// Text under the caret.
    pub label: Option<String>,
    /// What was expected, what there is, the way out: one line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error without place, label or help.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::new(Level::Error, code, message)
    }

    /// A warning without place, label or help.
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, code, message)
    }

    /// A note without place, label or help.
    pub fn note(code: &str, message: impl Into<String>) -> Self {
        Self::new(Level::Note, code, message)
    }

    fn new(level: Level, code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            level,
            message: message.into(),
            span: None,
            label: None,
            help: Vec::new(),
        }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds the text under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds one line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Takes passwords of addresses out of its text.
    #[must_use]
    pub fn without_passwords(mut self) -> Self {
        let clean = |text: &String| without_passwords(text).into_owned();
        self.message = without_passwords(&self.message).into_owned();
        self.label = self.label.as_ref().map(clean);
        self.help = self.help.iter().map(clean).collect();
        self
    }

    /// True for errors.
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }
}
