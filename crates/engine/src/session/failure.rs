//! Converts errors of SQL to failures that tell the user what to do.
//!
//! Promise: every DataFusion error leaves this crate as one `Failure` with a code R05xx, a remedy, and the
//! name of what was run (`` model `marts.x` ``, `the query`). A `Failure` that passed through DataFusion
//! comes out unchanged. It knows no statement and no table; the callers give the subject. Codes: R0501
//! syntax, R0502 tables, R0503 columns, R0504 ambiguous names, R0505 not a query, R0506 more than one
//! statement, R0507 memory, R0508 data, R0509 unsupported SQL, R0510 planning, R0511 views that read
//! themselves, R0512 storage, R0513 templates, R0514 spill space, R0515 our mistake, R0517 records of a
//! queried file that would be rejected, R0524 statements that nest too deeply, R0527
//! recursion without an end.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, SchemaError};
use towpath_vocab::{Failure, Remedy};

use super::names;
use crate::lake;

/// True if the memory pool could not grant a request.
pub(crate) fn is_exhausted(error: &DataFusionError) -> bool {
    match innermost(error).0 {
        Innermost::DataFusion(DataFusionError::ResourcesExhausted(text)) => !is_about_disk(text),
        _ => false,
    }
}

/// True if the spill space is exhausted: DataFusion has one error for memory and spill space, but the help
/// differs.
fn is_about_disk(text: &str) -> bool {
    text.contains("disk space")
}

/// Turns a DataFusion error into a failure about `subject`.
pub(crate) fn failure(subject: &str, error: &DataFusionError) -> Failure {
    let (cause, line) = innermost(error);
    let at = line
        .map(|line| format!(" (line {line})"))
        .unwrap_or_default();
    let failure = match cause {
        Innermost::Ours(failure) => return failure.clone(),
        Innermost::Arrow(error) => arrow_failure(subject, error),
        Innermost::DataFusion(error) => datafusion_failure(subject, &at, error),
        Innermost::Foreign(text) => foreign(subject, &text),
    };
    failure.caused_by(error)
}

/// The failure for an error from below DataFusion without a type of its own.
fn foreign(subject: &str, text: &str) -> Failure {
    if is_about_disk(text) {
        return no_spill_space(subject, text);
    }
    Failure::new(
        "R0512",
        Remedy::Retry,
        format!("{subject}: {}", terse(text)),
    )
}

/// The failure for an error of an Arrow kernel, which is nearly always about a value.
pub(crate) fn arrow_failure(subject: &str, error: &ArrowError) -> Failure {
    let data = |text: String, help: &str| {
        Failure::new("R0508", Remedy::FixData, text).help(help.to_owned())
    };
    match error {
        ArrowError::DivideByZero => data(
            format!("{subject} divides by zero"),
            "write `x / nullif(y, 0)`: it gives NULL where `y` is 0",
        ),
        ArrowError::ArithmeticOverflow(text) => data(
            format!("{subject} computes a number that its type cannot hold: {text}"),
            "cast one side to a wider type first, for example `a::decimal(38,0) * b`",
        ),
        ArrowError::CastError(text) | ArrowError::ParseError(text) => data(
            format!("{subject} has a value that cannot be converted: {text}"),
            "`try_cast(x as TYPE)` gives NULL instead of stopping",
        ),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<Failure>() {
            Some(failure) => failure.clone(),
            None => foreign(subject, &inner.to_string()),
        },
        ArrowError::IoError(text, _) => foreign(subject, text),
        other => Failure::new("R0508", Remedy::FixData, format!("{subject}: {other}")),
    }
}

enum Innermost<'a> {
    Ours(&'a Failure),
    Arrow(&'a ArrowError),
    DataFusion(&'a DataFusionError),
    Foreign(String),
}

/// Unwraps the context of an error down to its cause, with the line of the statement.
fn innermost(error: &DataFusionError) -> (Innermost<'_>, Option<u64>) {
    let mut line = None;
    let mut error = error;
    loop {
        error = match error {
            DataFusionError::Context(_, inner) => inner,
            DataFusionError::Diagnostic(diagnostic, inner) => {
                line = line.or_else(|| diagnostic.span.map(|span| span.start.line));
                inner
            }
            DataFusionError::Shared(inner) => inner,
            DataFusionError::Collection(errors) => match errors.first() {
                Some(first) => first,
                None => return (Innermost::DataFusion(error), line),
            },
            DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
                ArrowError::ExternalError(foreign) => {
                    match foreign.downcast_ref::<DataFusionError>() {
                        Some(nested) => nested,
                        None => return (Innermost::Arrow(inner), line),
                    }
                }
                _ => return (Innermost::Arrow(inner), line),
            },
            DataFusionError::External(foreign) => {
                if let Some(nested) = foreign.downcast_ref::<DataFusionError>() {
                    nested
                } else if let Some(failure) = foreign.downcast_ref::<Failure>() {
                    return (Innermost::Ours(failure), line);
                } else if let Some(arrow) = foreign.downcast_ref::<ArrowError>() {
                    return (Innermost::Arrow(arrow), line);
                } else {
                    return (Innermost::Foreign(foreign.to_string()), line);
                }
            }
            _ => return (Innermost::DataFusion(error), line),
        }
    }
}

fn datafusion_failure(subject: &str, at: &str, error: &DataFusionError) -> Failure {
    let config = |code: &str, text: String| Failure::new(code, Remedy::FixConfig, text);
    match error {
        DataFusionError::SQL(error, _) => {
            let text = error.to_string();
            let text = text.trim_start_matches("sql parser error: ").to_owned();
            config("R0501", format!("{subject} is not valid SQL: {text}"))
        }
        DataFusionError::SchemaError(error, _) => schema_failure(subject, at, error),
        DataFusionError::ResourcesExhausted(text) => exhausted(subject, text),
        DataFusionError::NotImplemented(text)
            if text.starts_with("Physical plan does not support logical expression") =>
        {
            config(
                "R0509",
                format!(
                    "{subject} has a query inside an expression that cannot be turned into a join"
                ),
            )
            .help("make it a condition of WHERE, or join the query instead")
        }
        DataFusionError::NotImplemented(text) => config(
            "R0509",
            format!(
                "{subject} uses SQL that is not supported{at}: {}",
                terse(text)
            ),
        ),
        DataFusionError::Plan(text) => config("R0510", format!("{subject}{at}: {}", terse(text))),
        DataFusionError::Configuration(text) => {
            config("R0510", format!("{subject}: {}", terse(text)))
        }
        DataFusionError::Execution(text) => Failure::new(
            "R0508",
            Remedy::FixData,
            format!("{subject}: {}", terse(text)),
        ),
        DataFusionError::IoError(error) => storage(subject, &error.to_string()),
        DataFusionError::ObjectStore(error) => storage(subject, &error.to_string()),
        DataFusionError::ParquetError(error) => {
            let (text, cause) = (error.to_string(), error.as_ref());
            match (
                within::<Failure>(cause),
                within::<object_store::Error>(cause),
            ) {
                (Some(failure), _) => failure.clone(),
                (None, Some(_)) => storage(subject, &text),
                (None, None) => damaged(subject, &text),
            }
        }
        other => Failure::new(
            "R0515",
            Remedy::Bug,
            format!("{subject}: {}", terse(&other.to_string())),
        )
        .help("this should not happen; please report it with the statement"),
    }
}

/// Finds an error of this type among an error and its causes.
fn within<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn damaged(subject: &str, text: &str) -> Failure {
    if is_about_disk(text) {
        return no_spill_space(subject, text);
    }
    let message = format!(
        "{subject} reads a data file that is damaged: {}",
        terse(text)
    );
    Failure::new("R0523", Remedy::FixData, message)
        .help("`towpath lake describe TABLE` lists the files of a table")
        .help("restore the file from a backup, or build the table again: `towpath lake drop TABLE --yes`, then `towpath run`")
}

fn storage(subject: &str, text: &str) -> Failure {
    if is_about_disk(text) {
        return no_spill_space(subject, text);
    }
    Failure::new(
        "R0512",
        Remedy::Retry,
        format!("{subject} cannot read its input: {}", terse(text)),
    )
    .help("`towpath lake describe TABLE` lists the files of a table")
}

fn no_spill_space(subject: &str, text: &str) -> Failure {
    Failure::new(
        "R0514",
        Remedy::FixConfig,
        format!("{subject} needs more disk space to spill than it may use: {}", terse(text)),
    )
    .help("raise `memory:` so that less spills, or free disk space where the project's `.towpath` folder is")
}

fn exhausted(subject: &str, text: &str) -> Failure {
    if is_about_disk(text) {
        return no_spill_space(subject, text);
    }
    Failure::new(
        "R0507",
        Remedy::FixConfig,
        format!("{subject} needs more memory than it may use"),
    )
    .help("raise `memory:` in `towpath.yml`, or run fewer tasks at once with `parallel:`")
    .help("join on keys that match few rows, or aggregate before joining")
    .help(format!("the memory pool said: {}", terse(text)))
}

fn schema_failure(subject: &str, at: &str, error: &SchemaError) -> Failure {
    let config = |code: &str, text: String| Failure::new(code, Remedy::FixConfig, text);
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let failure = config(
                "R0503",
                format!(
                    "{subject} names a column `{}`{at} that does not exist",
                    plain(field)
                ),
            );
            column_help(failure, field, valid_fields)
        }
        SchemaError::AmbiguousReference { field } => config(
            "R0504",
            format!(
                "{subject}: more than one table has the column `{}`{at}",
                field.name
            ),
        )
        .help(format!("write `TABLE.{}`", field.name)),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => config(
            "R0521",
            format!("{subject} gives two columns the name `{name}`{at}"),
        )
        .help(format!("rename one of them: `... as other_{name}`")),
    }
}

fn column_help(failure: Failure, field: &Column, valid: &[Column]) -> Failure {
    if valid.is_empty() {
        return failure;
    }
    let by_case = valid
        .iter()
        .find(|column| column.name != field.name && column.name.eq_ignore_ascii_case(&field.name));
    if let Some(column) = by_case {
        return failure.help(format!(
            "there is `{0}`: names with capital letters need quotes, write \"{0}\"",
            column.name
        ));
    }
    let near = towpath_sql::closest(&field.name, valid.iter().map(|column| column.name.as_str()));
    let failure = match near {
        Some(name) => failure.help(format!("did you mean `{name}`?")),
        None => failure,
    };
    let listed: Vec<String> = valid.iter().map(plain).collect();
    failure.help(format!("there is: {}", names::listed(&listed)))
}

fn plain(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    }
}

/// The first line, without the text that DataFusion adds for its own developers.
fn terse(text: &str) -> String {
    lake::brief(&text.trim_start_matches("Error during planning: "))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_failure_inside_comes_out_unchanged() {
        let inner = Failure::new("R0999", Remedy::Retry, "mine");
        let wrapped = DataFusionError::Shared(Arc::new(
            DataFusionError::External(Box::new(inner.clone())).context("while reading"),
        ));
        assert_eq!(failure("the query", &wrapped), inner);
    }

    #[test]
    fn division_by_zero_is_about_data() {
        let error = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        let failure = failure("model `marts.x`", &error);
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0508", Remedy::FixData)
        );
        assert!(failure.message.contains("model `marts.x`"), "{failure}");
    }

    #[test]
    fn exhausted_memory_says_the_key_to_change() {
        let error =
            DataFusionError::ResourcesExhausted("Failed to allocate 12 bytes".into()).context("x");
        assert!(is_exhausted(&error));
        assert!(
            failure("the query", &error)
                .help
                .iter()
                .any(|line| line.contains("`memory:`"))
        );
    }
}
