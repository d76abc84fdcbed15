//! SQL in a YAML value: analysed with `towpath_sql`, with mistakes at their position in the file.
//!
//! Promise: only proven mistakes are reported, at the right character if the value is in the file as it is
//! (not folded or escaped). `inside` says which quotes and comments are open at a position. It knows no
//! tables of its own.

use arrow_schema::{DataType, SchemaRef};
use towpath_sql::SqlProblem;
use towpath_vocab::{Diagnostic, Level};

use crate::report::{FileRange, Report};

/// The syntax in which a part of a SQL text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Plain SQL.
    Nothing,
    /// A string or a name in these quotes, which are doubled inside it.
    Quotes(char),
    /// A string with backslash escapes: `E'…'`.
    Escaped,
    /// A comment.
    Comment,
}

/// Which quotes or comment are open at the end of a SQL text.
pub(crate) fn inside(text: &str) -> Inside {
    let mut rest = text.chars().peekable();
    // The last character of a word that could be the `E` before a text, and the one before it.
    let mut before = [' ', ' '];
    while let Some(next) = rest.next() {
        let open = match (next, rest.peek()) {
            ('-', Some('-')) => match rest.by_ref().any(|c| c == '\n') {
                true => None,
                false => Some(Inside::Comment),
            },
            ('/', Some('*')) => {
                rest.next();
                (!comment_ends(&mut rest)).then_some(Inside::Comment)
            }
            ('\'', _) => {
                let [first, second] = before;
                let is_word = first.is_alphanumeric() || matches!(first, '_' | '$');
                let escapes = matches!(second, 'e' | 'E') && !is_word;
                (!quotes_end(&mut rest, '\'', escapes)).then_some(match escapes {
                    true => Inside::Escaped,
                    false => Inside::Quotes('\''),
                })
            }
            ('"' | '`', _) => (!quotes_end(&mut rest, next, false)).then_some(Inside::Quotes(next)),
            _ => None,
        };
        if let Some(open) = open {
            return open;
        }
        before = [before[1], next];
    }
    Inside::Nothing
}

/// True if the quotes are closed. Doubled quotes close and open again, which has the same result.
fn quotes_end(rest: &mut impl Iterator<Item = char>, quote: char, escapes: bool) -> bool {
    while let Some(next) = rest.next() {
        if escapes && next == '\\' {
            rest.next();
        } else if next == quote {
            return true;
        }
    }
    false
}

/// True if the comment is closed; comments may be nested.
fn comment_ends(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut open = 1;
    while let Some(next) = rest.next() {
        match (next, rest.peek()) {
            ('*', Some('/')) => open -= 1,
            ('/', Some('*')) => open += 1,
            _ => continue,
        }
        rest.next();
        if open == 0 {
            return true;
        }
    }
    false
}

/// Checks an expression over columns. `firm` is false if the columns may have changed.
pub(crate) fn expression(
    text: &str,
    at: FileRange,
    schema: &SchemaRef,
    firm: bool,
    report: &mut Report,
) {
    if let Err(problem) = judge(text, schema) {
        say(&problem, text, at, firm, report);
    }
}

/// Checks an expression that must be boolean.
pub(crate) fn condition(
    text: &str,
    at: FileRange,
    schema: &SchemaRef,
    firm: bool,
    report: &mut Report,
) {
    match judge(text, schema) {
        Err(problem) => say(&problem, text, at, firm, report),
        Ok(DataType::Boolean | DataType::Null) => {}
        Ok(other) => {
            report
                .error(
                    "T0405",
                    at,
                    format!(
                        "this must be true or false, it is {}",
                        towpath_vocab::types::name(&other)
                    ),
                )
                .help("compare it with something: `column > 0`");
        }
    }
}

/// Checks only the syntax, if no columns are known.
pub(crate) fn syntax(text: &str, at: FileRange, report: &mut Report) {
    let nothing = std::sync::Arc::new(arrow_schema::Schema::empty());
    if let Err(problem) = towpath_sql::expression(text, &nothing)
        && matches!(problem.code, "M0304" | "M0305")
    {
        say(&problem, text, at, true, report);
    }
}

/// Checks only the syntax and the names of columns and functions.
pub(crate) fn names(
    text: &str,
    at: FileRange,
    schema: &SchemaRef,
    firm: bool,
    report: &mut Report,
) {
    if let Err(problem) = towpath_sql::expression(text, schema)
        && matches!(problem.code, "M0301" | "M0304" | "M0305")
    {
        say(&problem, text, at, firm, report);
    }
}

/// Checks only the syntax of a query in which `{table}` is a table.
pub(crate) fn query(
    text: &str,
    at: FileRange,
    table: &towpath_vocab::TableName,
    report: &mut Report,
) {
    let whole = text.replace("{table}", &towpath_sql::quote_table(table));
    if let Err(problem) = towpath_sql::inputs(&whole) {
        let problem = SqlProblem {
            offset: None,
            ..problem
        };
        say(&problem, text, at, true, report);
    }
}

fn judge(text: &str, schema: &SchemaRef) -> Result<DataType, SqlProblem> {
    let vague = schema
        .fields()
        .iter()
        .any(|field| field.data_type() == &DataType::Null);
    match towpath_sql::expression(text, schema) {
        Ok(info) => Ok(info.data_type),
        // If a type is unknown, an error about types proves nothing.
        Err(problem) if vague && !matches!(problem.code, "M0301" | "M0304" | "M0305") => {
            Ok(DataType::Null)
        }
        Err(problem) => Err(problem),
    }
}

/// Reports a mistake in the SQL of a value.
pub(crate) fn say(
    problem: &SqlProblem,
    text: &str,
    at: FileRange,
    firm: bool,
    report: &mut Report,
) {
    let place = problem
        .offset
        .map_or(at, |(start, end)| at.inside(text, start, end));
    let level = if firm { Level::Error } else { Level::Warning };
    report.say(Diagnostic {
        code: problem.code.to_owned(),
        level,
        message: message(problem),
        span: Some(report.span(place)),
        label: problem.label.clone().or_else(|| {
            (problem.code == "M0305").then(|| "here the SQL cannot be read".to_owned())
        }),
        help: problem.help.clone(),
    });
}

/// The message of a problem in an expression, which has no tables of its own.
fn message(problem: &SqlProblem) -> String {
    match problem.message.rsplit('`').nth(1) {
        Some(column) if problem.code == "M0301" => format!("there is no column `{column}`"),
        _ => problem.message.clone(),
    }
}
