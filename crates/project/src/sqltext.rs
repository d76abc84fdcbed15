//! SQL that stands in a YAML value: judged with `towpath_sql`, its mistakes placed in the file.
//!
//! Promise: only what is proven wrong is said, and at the right character where the value stands in
//! the file as it is. It knows no tables of its own.

use arrow_schema::{DataType, SchemaRef};
use towpath_sql::SqlProblem;
use towpath_vocab::{Diagnostic, Level};

use crate::report::{At, Report};

/// Judges an expression over columns. `firm` is false when the columns may have changed.
pub(crate) fn expression(text: &str, at: At, schema: &SchemaRef, firm: bool, report: &mut Report) {
    if let Err(problem) = judge(text, schema) {
        say(&problem, text, at, firm, report);
    }
}

/// Judges an expression that must be true or false.
pub(crate) fn condition(text: &str, at: At, schema: &SchemaRef, firm: bool, report: &mut Report) {
    match judge(text, schema) {
        Err(problem) => say(&problem, text, at, firm, report),
        Ok(DataType::Boolean | DataType::Null) => {}
        Ok(other) => {
            report
                .error("T0405", at, format!("this must be true or false, it is {}", towpath_vocab::types::name(&other)))
                .help("compare it with something: `column > 0`");
        }
    }
}

/// Only the syntax, when no columns are known.
pub(crate) fn syntax(text: &str, at: At, report: &mut Report) {
    let nothing = std::sync::Arc::new(arrow_schema::Schema::empty());
    if let Err(problem) = towpath_sql::expression(text, &nothing)
        && matches!(problem.code, "M0304" | "M0305")
    {
        say(&problem, text, at, true, report);
    }
}

fn judge(text: &str, schema: &SchemaRef) -> Result<DataType, SqlProblem> {
    let vague = schema.fields().iter().any(|field| field.data_type() == &DataType::Null);
    match towpath_sql::expression(text, schema) {
        Ok(info) => Ok(info.data_type),
        // With a type that is not known, types prove nothing.
        Err(problem) if vague && !matches!(problem.code, "M0301" | "M0304" | "M0305") => Ok(DataType::Null),
        Err(problem) => Err(problem),
    }
}

/// Says what is wrong with SQL inside a value.
pub(crate) fn say(problem: &SqlProblem, text: &str, at: At, firm: bool, report: &mut Report) {
    let place = problem.offset.map_or(at, |(start, end)| inside(text, at, start, end));
    let level = if firm { Level::Error } else { Level::Warning };
    report.say(Diagnostic {
        code: problem.code.to_owned(),
        level,
        message: problem.message.clone(),
        span: Some(report.span(place)),
        label: problem.label.clone(),
        help: problem.help.clone(),
    });
}

/// The place of a part of a value; the whole value when it was folded or escaped.
fn inside(text: &str, at: At, start: usize, end: usize) -> At {
    let written = at.end.saturating_sub(at.start);
    let quote = match written.checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return at,
    };
    if text.contains('\n') {
        return at;
    }
    let column = text.get(..start).map_or(0, |before| before.chars().count());
    At {
        start: at.start + quote + start,
        end: at.start + quote + end.max(start),
        column: at.column + quote + column,
        ..at
    }
}
