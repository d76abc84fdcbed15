//! Prints mistakes with their place, a caret and help lines; prints failures in the same form.
//!
//! Promise: text on standard error, JSON on standard output. It does not decide the exit code: see
//! `exit.rs`.

use std::collections::BTreeMap;

use annotate_snippets::{AnnotationKind, Group, Level as SnippetLevel, Renderer, Snippet};
use towpath_app::CheckReport;
use towpath_vocab::passwords::masked_source;
use towpath_vocab::{Diagnostic, Failure, Level};

use super::numbers::plural;
use crate::terminal;

/// Draws every diagnostic on standard error.
pub(crate) fn diagnostics(list: &[Diagnostic], files: &BTreeMap<String, String>) {
    let renderer = renderer();
    let shown = |d: &&Diagnostic| d.is_error() || !terminal::is_quiet();
    for diagnostic in list.iter().filter(shown) {
        errln!("{}", renderer.render(&[group(diagnostic, files)]));
    }
}

/// `check --format json`: an array on standard output.
pub(crate) fn diagnostics_json(list: &[Diagnostic]) {
    let values: Vec<serde_json::Value> = list
        .iter()
        .map(|d| {
            serde_json::json!({
                "code": d.code,
                "severity": d.level,
                "message": d.message,
                "file": d.span.as_ref().map(|s| &s.file),
                "line": d.span.as_ref().map(|s| s.line),
                "column": d.span.as_ref().map(|s| s.column),
                "help": d.help,
            })
        })
        .collect();
    outln!("{}", serde_json::Value::Array(values));
}

/// `3 errors in 2 files (38 ms).`, and the contacted connections.
pub(crate) fn check_summary(report: &CheckReport) {
    if terminal::is_quiet() {
        return;
    }
    let of = |level: Level| {
        report
            .diagnostics
            .iter()
            .filter(|d| d.level == level)
            .count() as u64
    };
    let (errors, warnings) = (of(Level::Error), of(Level::Warning));
    let found = match (errors, warnings) {
        (0, 0) => "No mistake".to_owned(),
        (errors, 0) => plural(errors, "error"),
        (0, warnings) => plural(warnings, "warning"),
        (errors, warnings) => format!(
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    };
    let files = plural(report.files.len() as u64, "file");
    let ms = report.elapsed_us / 1000;
    let contacted = match report.contacted.as_slice() {
        [] => {
            "No system was contacted; `--connect` also compares the project with the live systems."
                .to_owned()
        }
        names => format!("Contacted: {}.", names.join(", ")),
    };
    errln!("{found} in {files} ({ms} ms). {contacted}");
}

/// One failure on standard error.
pub(crate) fn failure(failure: &Failure) {
    let place = failure
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!("\n  --> {place}"));
    errln!("error[{}]: {}{place}", failure.code, failure.message);
    for help in &failure.help {
        errln!("  = {help}");
    }
    if terminal::is_verbose() {
        for cause in &failure.causes {
            errln!("  cause: {cause}");
        }
    }
}

fn renderer() -> Renderer {
    if terminal::has_colours() {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
}

fn group<'a>(diagnostic: &'a Diagnostic, files: &'a BTreeMap<String, String>) -> Group<'a> {
    let level = match diagnostic.level {
        Level::Error => SnippetLevel::ERROR,
        Level::Warning => SnippetLevel::WARNING,
        Level::Note => SnippetLevel::NOTE,
    };
    let title = level
        .clone()
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    if let Some(span) = &diagnostic.span
        && let Some(text) = files.get(&span.file)
    {
        let end = span.end.min(text.len());
        let start = span.start.min(end);
        let mark = AnnotationKind::Primary
            .span(start..end)
            .label(diagnostic.label.as_deref());
        group = group.element(
            Snippet::source(masked_source(text))
                .path(span.file.as_str())
                .annotation(mark),
        );
    }
    for help in &diagnostic.help {
        group = group.element(SnippetLevel::HELP.no_name().message(help.as_str()));
    }
    group
}
