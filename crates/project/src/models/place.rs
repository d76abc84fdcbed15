//! Converts byte ranges of a model file to positions, and reports mistakes of templates there.
//!
//! Promise: a mistake inside a macro is shown in the macro's file. It does not write the messages itself.

use towpath_template::{Mistake, TemplateProblem};
use towpath_vocab::{Diagnostic, Level};

use super::draft::ModelContext;
use crate::parsed::TextFile;
use crate::report::{FileRange, Report};

/// The position of a byte range.
pub(super) fn at(file: &TextFile<'_>, range: (usize, usize)) -> FileRange {
    let start = range.0.min(file.text.len());
    let before = file.text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    FileRange {
        file: file.file,
        start,
        end: range.1.clamp(start, file.text.len()),
        line: before.matches('\n').count() + 1,
        column: before
            .get(line_start..)
            .map_or(0, |line| line.chars().count())
            + 1,
    }
}

/// The first character of a file.
pub(super) fn head(file: &TextFile<'_>) -> FileRange {
    FileRange {
        file: file.file,
        start: 0,
        end: 0,
        line: 1,
        column: 1,
    }
}

/// The position of a setting's value in a model's `config(…)`: `key='value'`, `'key': "value"`.
pub(super) fn setting(file: &TextFile<'_>, key: &str, value: &str) -> Option<FileRange> {
    let quoted = |c: char| c == '\'' || c == '"' || c == '[' || c.is_whitespace();
    file.text.match_indices(key).find_map(|(start, _)| {
        let behind = start + key.len();
        let rest = file.text.get(behind..)?;
        let sign = rest.trim_start_matches(quoted).strip_prefix(['=', ':'])?;
        let words = sign.trim_start_matches(quoted);
        let from = file.text.len() - words.len();
        let ends = words.strip_prefix(value)?.chars().next();
        let is_whole = ends.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        is_whole.then(|| at(file, (from, from + value.len())))
    })
}

/// The position of a key in a model's `config(…)`.
pub(super) fn key(file: &TextFile<'_>, key: &str) -> Option<FileRange> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    file.text.match_indices(key).find_map(|(start, _)| {
        let before = file.text.get(..start)?.chars().next_back();
        let rest = file.text.get(start + key.len()..)?;
        let sign = rest.trim_start_matches(['\'', '"']).trim_start();
        let is_key = sign.starts_with(['=', ':']) && !before.is_some_and(word);
        is_key.then(|| at(file, (start, start + key.len())))
    })
}

/// Reports a mistake in a template. True if something was reported.
pub(super) fn say(
    problem: &TemplateProblem,
    file: &TextFile<'_>,
    context: &ModelContext<'_>,
    report: &mut Report,
) -> bool {
    let TemplateProblem::Wrong(mistake) = problem else {
        return false;
    };
    let Mistake {
        code,
        message,
        offset,
        label,
        help,
        ..
    } = mistake.as_ref();
    let own = context
        .macro_files
        .iter()
        .find(|other| other.path == mistake.file);
    let place = match (own, offset) {
        (Some(other), Some(range)) => at(other, *range),
        (None, Some(range)) if mistake.file == file.path => at(file, *range),
        (Some(other), None) => head(other),
        _ => head(file),
    };
    report.say(Diagnostic {
        code: (*code).to_owned(),
        level: Level::Error,
        message: message.clone(),
        span: Some(report.span(place)),
        label: label.clone(),
        help: help.clone(),
    });
    true
}
