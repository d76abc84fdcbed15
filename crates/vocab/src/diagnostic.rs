//! A user's mistake, with its position and what to do: one type for terminal, JSON and editor.
//!
//! Promise: diagnostics are collected, so all mistakes are shown at once. They are printed in
//! `cli/src/draw/diagnostics.rs`, not here. Read next: `failure.rs`, for what fails while it runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::passwords::without_passwords;

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Information; does not change the exit code.
    Note,
    /// Probably a mistake; does not change the exit code.
    Warning,
    /// The project cannot run.
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

/// The location of a record in external data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordLocation {
    /// The file, table or topic, by the name that users know.
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

/// A mistake in a project, or a note about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable code: a letter for the area (`P` project files, `M` models, `C` connections,
    /// `T` types, `K` contracts and checks) and four digits.
    pub code: String,
    /// Its severity.
    pub level: Level,
    /// One short line; names are in backticks.
    pub message: String,
    /// The position of the mistake, if it is in a file.
    pub span: Option<Span>,
    /// Text under the caret.
    pub label: Option<String>,
    /// What was expected, what was found, and what to do: one line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error without position, label or help.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::new(Level::Error, code, message)
    }

    /// A warning without position, label or help.
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, code, message)
    }

    /// A note without position, label or help.
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

    /// Adds the position.
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

    /// Removes passwords in URLs from its text.
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
