//! Positions in project files, and the list that collects diagnostics.
//!
//! Promise: a position is small and can be copied; it becomes a `vocab::Span` only in a diagnostic. It does
//! not know what is wrong with a file. Read next: `yaml/mod.rs`.

use std::collections::HashSet;

use towpath_vocab::{Diagnostic, Span};

/// A range in one of the files of a `Report`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileRange {
    pub(crate) file: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl FileRange {
    /// The first byte only, because a caret under a whole map is not useful.
    pub(crate) fn head(self) -> FileRange {
        FileRange {
            end: (self.start + 1).min(self.end.max(self.start)),
            ..self
        }
    }

    /// The range of a part of the scalar `text` at this range; the whole range if the scalar was folded or
    /// escaped, because then its bytes differ from those of the file.
    pub(crate) fn inside(self, text: &str, start: usize, end: usize) -> FileRange {
        let quote = match (self.end - self.start).checked_sub(text.len()) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self,
        };
        if text.contains('\n') {
            return self;
        }
        let column = text.get(..start).map_or(0, |before| before.chars().count());
        FileRange {
            start: self.start + quote + start,
            end: self.start + quote + end.max(start),
            column: self.column + quote + column,
            ..self
        }
    }
}

/// Collects diagnostics about files.
#[derive(Debug, Default)]
pub(crate) struct Report {
    files: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Adds a file and returns its number.
    pub(crate) fn file(&mut self, path: &str) -> u32 {
        if let Some(index) = self.files.iter().rposition(|known| known == path) {
            return u32::try_from(index).unwrap_or(u32::MAX);
        }
        self.files.push(path.to_owned());
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The path of a file.
    pub(crate) fn path(&self, at: FileRange) -> &str {
        self.files.get(at.file as usize).map_or("", String::as_str)
    }

    /// A range in the form that other crates use.
    pub(crate) fn span(&self, at: FileRange) -> Span {
        Span {
            file: self.path(at).to_owned(),
            start: at.start,
            end: at.end,
            line: at.line,
            column: at.column,
        }
    }

    /// `file:line` for people.
    pub(crate) fn place(&self, at: FileRange) -> String {
        format!("{}:{}", self.path(at), at.line)
    }

    /// Adds an error at a range.
    pub(crate) fn error(
        &mut self,
        code: &str,
        at: FileRange,
        message: impl Into<String>,
    ) -> DiagnosticBuilder<'_> {
        self.say(Diagnostic::error(code, message).at(self.span(at)))
    }

    /// Adds a warning at a range.
    pub(crate) fn warning(
        &mut self,
        code: &str,
        at: FileRange,
        message: impl Into<String>,
    ) -> DiagnosticBuilder<'_> {
        self.say(Diagnostic::warning(code, message).at(self.span(at)))
    }

    /// Adds a note at a range.
    pub(crate) fn note(
        &mut self,
        code: &str,
        at: FileRange,
        message: impl Into<String>,
    ) -> DiagnosticBuilder<'_> {
        self.say(Diagnostic::note(code, message).at(self.span(at)))
    }

    /// Adds a diagnostic as it is.
    pub(crate) fn say(&mut self, diagnostic: Diagnostic) -> DiagnosticBuilder<'_> {
        let index = self.diagnostics.len();
        self.diagnostics.push(diagnostic);
        DiagnosticBuilder(&mut self.diagnostics[index])
    }

    /// True if there is an error.
    pub(crate) fn failed(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// All diagnostics, by file and position, each once.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut seen = HashSet::new();
        let all = self.diagnostics.into_iter();
        let mut all: Vec<Diagnostic> = all.map(Diagnostic::without_passwords).collect();
        all.retain(|d| {
            let place = d.span.as_ref().map(|s| (s.file.clone(), s.start));
            seen.insert((d.code.clone(), d.message.clone(), place))
        });
        // Every mistake has a help line, at least one that names the explanation of its code.
        for diagnostic in all.iter_mut().filter(|d| d.is_error() && d.help.is_empty()) {
            let help = format!("what it means: towpath check --explain {}", diagnostic.code);
            diagnostic.help.push(help);
        }
        all.sort_by(|a, b| {
            let key = |d: &Diagnostic| {
                let span = d.span.as_ref();
                (
                    span.map(|s| (s.file.clone(), s.start)),
                    std::cmp::Reverse(d.level),
                )
            };
            key(a).cmp(&key(b)).then_with(|| a.code.cmp(&b.code))
        });
        all
    }
}

/// A diagnostic that was just added, to which a label and help can be added.
pub(crate) struct DiagnosticBuilder<'a>(&'a mut Diagnostic);

impl DiagnosticBuilder<'_> {
    /// Sets the text under the caret.
    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        self.0.label = Some(label.into());
        self
    }

    /// Adds a line of help.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.0.help.push(help.into());
        self
    }

    /// Sets `did you mean` as the label if a known word is similar; otherwise lists the known words as
    /// help.
    pub(crate) fn suggest<'b>(
        self,
        word: &str,
        known: impl IntoIterator<Item = &'b str>,
        there: &str,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        match crate::suggest::nearest(word, known.iter().copied()) {
            Some(near) => self.label(format!("did you mean `{near}`?")),
            None if known.is_empty() => self,
            None => self.help(format!("{there}: {}", crate::suggest::listing(&known))),
        }
    }
}
