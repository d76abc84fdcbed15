//! Why a template could not be rendered: a mistake with its position, or a question that only a live
//! warehouse can answer.
//!
//! Codes: M0320 syntax, M0321 a name or function that does not exist, M0322 `ref` or `source` to nothing,
//! M0323 arguments, M0324 `var` without value, M0325 `env_var` without value, M0326 macros, M0327 raised by
//! the template itself, M0328 anything else that failed while rendering, T0410 too many steps, T0411 too
//! much text or too many items. It does not know lines and columns; the code that shows a mistake has the
//! file's text.

use minijinja::{Error, ErrorKind};

use crate::bounds::too_many_steps;

/// A mistake in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Stable code, `M03xx`.
    pub code: &'static str,
    /// The file it is in: the template's or a macro's.
    pub file: String,
    /// One short line; names are in backticks.
    pub message: String,
    /// Byte range in that file, if it has a position.
    pub offset: Option<(usize, usize)>,
    /// Text under the caret.
    pub label: Option<String>,
    /// What to do: one line each.
    pub help: Vec<String>,
}

/// Why a template could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// It cannot work as it is written.
    #[error("{}: {}", .0.file, .0.message)]
    Wrong(Box<Mistake>),
    /// The answer needs a live warehouse; this is the question in words.
    #[error("the answer needs the warehouse: {0}")]
    NeedsWarehouse(String),
}

/// A mistake that one of our own functions found; the engine adds the position.
#[derive(Clone, Debug)]
pub(crate) struct Raised {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) label: Option<String>,
    pub(crate) help: Vec<String>,
}

impl Raised {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            label: None,
            help: Vec::new(),
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(crate) fn meant(mut self, name: Option<&str>) -> Self {
        self.label = name.map(|name| format!("did you mean `{name}`?"));
        self
    }
}

/// Converts an error of the template engine, without its position.
pub(crate) fn from_engine(error: &Error, names: &[&str]) -> Raised {
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::OutOfFuel => too_many_steps(),
        ErrorKind::SyntaxError | ErrorKind::BadEscape | ErrorKind::InvalidDelimiter => {
            Raised::new("M0320", format!("template syntax: {detail}"))
        }
        ErrorKind::UnknownFunction => {
            let name = detail.split_whitespace().next().unwrap_or(detail);
            Raised::new("M0321", format!("there is no function or macro `{name}`"))
                .meant(closest(name, names))
        }
        ErrorKind::UnknownFilter => Raised::new("M0321", format!("unknown filter: {detail}")),
        ErrorKind::UnknownTest => Raised::new("M0321", format!("unknown test: {detail}")),
        ErrorKind::UnknownMethod => Raised::new("M0321", format!("unknown method: {detail}")),
        ErrorKind::UndefinedError => {
            let what = if detail.is_empty() {
                "a name here has no value"
            } else {
                detail
            };
            Raised::new("M0321", format!("undefined: {what}"))
                .help("check the name; a macro's parameter without a default is undefined when it is left out")
        }
        ErrorKind::TooManyArguments | ErrorKind::MissingArgument | ErrorKind::CannotUnpack => {
            let what = if detail.is_empty() {
                error.kind().to_string()
            } else {
                detail.to_owned()
            };
            Raised::new("M0323", format!("arguments do not fit: {what}"))
        }
        _ if detail.is_empty() => {
            Raised::new("M0328", format!("rendering failed: {}", error.kind()))
        }
        _ => Raised::new("M0328", format!("rendering failed: {detail}")),
    }
}

/// The candidate that is nearest to `word`, if it was probably meant: at most one letter in three differs.
pub(crate) fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let near = candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate));
    let (changes, name) = near.min()?;
    (changes * 3 <= word.chars().count().max(3)).then_some(name)
}

/// The number of changes of one character, or swaps of two adjacent ones, between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (
        a.to_lowercase().chars().collect(),
        b.to_lowercase().chars().collect(),
    );
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        assert_eq!(
            closest("custmers", &["orders", "customers"]),
            Some("customers")
        );
        assert_eq!(closest("rfe", &["ref", "var"]), Some("ref"));
        assert_eq!(closest("weather", &["orders", "customers"]), None);
    }
}
