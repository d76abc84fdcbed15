//! A proven mistake in a statement, in words for the user, and the conversion of planner errors to
//! mistakes.
//!
//! Promise: one code means one kind of mistake. Codes: M0301 column, M0302 table, M0303 form of a table name
//! or an unknown alias, M0304 function, M0305 syntax, M0306 not exactly one query, M0307 ambiguous column,
//! M0308 types, M0309 duplicate column, M0310 another rule of SQL, M0311 not supported, M0313 too deep.
//! Positions are bytes of the given text. It does not know project files: the caller that embeds the
//! statement moves the positions. Read next: `wording.rs`.

use std::collections::BTreeMap;

use datafusion_common::{Column, DataFusionError, SchemaError};
use datafusion_sql::sqlparser::parser::ParserError;

use crate::names::Names;
use crate::{place, suggest, wording};

/// One proven mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlProblem {
    /// Stable code, `M03xx`.
    pub code: &'static str,
    /// One short line; names are in backticks.
    pub message: String,
    /// Byte range in the given SQL, if it has a position.
    pub offset: Option<(usize, usize)>,
    /// Text under the caret.
    pub label: Option<String>,
    /// What was found, and what to do: one line each.
    pub help: Vec<String>,
}

impl SqlProblem {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            offset: None,
            label: None,
            help: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, offset: Option<(usize, usize)>) -> Self {
        self.offset = offset;
        self
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Sets the text under the caret for a similar name.
    pub(crate) fn meant(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.label(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// A planner's error for the user: a mistake, or unknown.
pub(crate) enum Judged {
    Mistake(SqlProblem),
    CannotTell(String),
}

/// Turns an error of the parser into a problem.
pub(crate) fn from_parser(sql: &str, error: &DataFusionError) -> SqlProblem {
    let root = error.find_root();
    let text = match root {
        DataFusionError::SQL(inner, _) => match inner.as_ref() {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => {
                return SqlProblem::new("M0305", "the statement is nested too deeply");
            }
        },
        other => other.strip_backtrace(),
    };
    let (what, at) = split_place(&text);
    let end = sql.trim_end().len();
    let start = at
        .and_then(|(line, column)| place::offset(sql, line, column))
        .unwrap_or(end);
    match what
        .strip_prefix("Expected: ")
        .and_then(|rest| rest.split_once(", found: "))
    {
        Some((expected, found)) => {
            let width = if sql.get(start..).is_some_and(|rest| rest.starts_with(found)) {
                found.len()
            } else {
                0
            };
            let found = if found == "EOF" {
                "the end of the statement".to_owned()
            } else {
                format!("`{found}`")
            };
            SqlProblem::new(
                "M0305",
                format!("syntax: expected {expected}, found {found}"),
            )
            .at(Some((start, start + width)))
            .label("here")
        }
        None => SqlProblem::new("M0305", format!("syntax: {}", wording::lower_first(what)))
            .at(Some((start, start))),
    }
}

/// Splits ` at Line: 1, Column: 8` off a parser's message.
fn split_place(text: &str) -> (&str, Option<(u64, u64)>) {
    let Some((what, place)) = text.rsplit_once(" at Line: ") else {
        return (text.trim_end_matches('.'), None);
    };
    let numbers = place.split_once(", Column: ").and_then(|(line, column)| {
        let digits = column.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((line.trim().parse().ok()?, digits.parse().ok()?))
    });
    (what, numbers)
}

/// Classifies an error of the planner or the analyzer.
pub(crate) fn from_planner(sql: &str, names: &Names, error: &DataFusionError) -> Judged {
    let place = error
        .diagnostic()
        .and_then(|d| d.span)
        .and_then(|span| place::of_plan(sql, span));
    let root = error.find_root();
    match root {
        DataFusionError::SchemaError(inner, _) => {
            Judged::Mistake(from_schema_error(sql, names, inner, place))
        }
        DataFusionError::NotImplemented(text) => {
            Judged::Mistake(not_supported(sql, names, text, place))
        }
        DataFusionError::Plan(text) => Judged::Mistake(from_plan_text(sql, names, text, place)),
        DataFusionError::SQL(..) => Judged::Mistake(from_parser(sql, root)),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => from_planner(sql, names, first),
            None => Judged::CannotTell("the planner gave no reason".to_owned()),
        },
        DataFusionError::ArrowError(inner, _) => Judged::Mistake(
            SqlProblem::new(
                "M0308",
                wording::lower_first(&wording::type_words(&inner.to_string())),
            )
            .at(place),
        ),
        // Calls with wrong arguments can be any of several kinds of errors.
        other
            if other
                .to_string()
                .contains("No function matches the given name") =>
        {
            Judged::Mistake(from_plan_text(sql, names, &other.strip_backtrace(), place))
        }
        other => Judged::CannotTell(wording::reword(&other.strip_backtrace()).message),
    }
}

fn not_supported(
    sql: &str,
    names: &Names,
    text: &str,
    place: Option<(usize, usize)>,
) -> SqlProblem {
    let sentence = wording::reword(text);
    let place = sentence
        .about
        .as_deref()
        .and_then(|word| names.place_of(sql, word))
        .or(place);
    if sentence.code == "M0308" {
        return SqlProblem {
            code: "M0308",
            message: sentence.message,
            offset: place,
            label: None,
            help: sentence.help,
        };
    }
    let what = sentence
        .message
        .strip_prefix("unsupported ast node ")
        .unwrap_or(&sentence.message);
    SqlProblem::new("M0311", format!("not supported: {what}")).at(place)
}

fn from_plan_text(
    sql: &str,
    names: &Names,
    text: &str,
    place: Option<(usize, usize)>,
) -> SqlProblem {
    let sentence = wording::reword(text);
    let about = sentence.about.as_deref();
    let place = about.and_then(|word| names.place_of(sql, word)).or(place);
    SqlProblem {
        code: sentence.code,
        message: sentence.message,
        offset: place,
        label: None,
        help: sentence.help,
    }
}

fn from_schema_error(
    sql: &str,
    names: &Names,
    error: &SchemaError,
    place: Option<(usize, usize)>,
) -> SqlProblem {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => unknown_column(sql, names, field, valid_fields, place),
        SchemaError::AmbiguousReference { field } => {
            let place = place.or_else(|| names.column_place(sql, field));
            SqlProblem::new(
                "M0307",
                format!("`{}` could be a column of more than one table", field.name),
            )
            .at(place)
            .help(format!("name the table: `TABLE.{}`", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlProblem::new("M0309", format!("the column `{name}` occurs twice"))
                .at(place)
                .help(format!(
                    "give one of them a different name: `{name} AS other_name`"
                ))
        }
    }
}

fn unknown_column(
    sql: &str,
    names: &Names,
    field: &Column,
    valid: &[Column],
    place: Option<(usize, usize)>,
) -> SqlProblem {
    let place = place
        .or_else(|| {
            field
                .spans
                .first()
                .and_then(|span| place::of_plan(sql, span))
        })
        .or_else(|| names.column_place(sql, field));
    let mut tables = by_table(valid);
    if let Some(relation) = &field.relation {
        let written = relation.to_string();
        match tables
            .iter()
            .find(|(table, _)| **table == written || table.rsplit('.').next() == Some(&written))
        {
            Some((table, columns)) => {
                let table = table.clone();
                let columns = columns.clone();
                tables = BTreeMap::from([(table, columns)]);
            }
            None => return unknown_alias(&written, &tables, place),
        }
    }
    let columns: Vec<&str> = tables.values().flatten().copied().collect();
    let meant = suggest::closest(&field.name, columns.iter().copied());
    let shown = meant.map(as_written);
    let message = match tables.keys().next() {
        Some(table) if tables.len() == 1 && !table.is_empty() => {
            format!(
                "`{}` has no column `{}`",
                names.real_name(table),
                field.name
            )
        }
        Some(_) => format!("no table of this query has a column `{}`", field.name),
        None => format!("no column `{}` here: the query reads no table", field.name),
    };
    let mut problem = SqlProblem::new("M0301", message)
        .at(place)
        .meant(shown.as_deref());
    for (table, columns) in &tables {
        let name = if table.is_empty() {
            "there is".to_owned()
        } else {
            format!("{} has", names.real_name(table))
        };
        problem = problem.help(format!("{name}: {}", listed(columns)));
    }
    problem
}

/// Columns by their table, each once.
fn by_table(columns: &[Column]) -> BTreeMap<String, Vec<&str>> {
    let mut tables: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for column in columns {
        let table = column.relation.as_ref().map(ToString::to_string);
        let names = tables.entry(table.unwrap_or_default()).or_default();
        if !names.contains(&column.name.as_str()) {
            names.push(&column.name);
        }
    }
    tables
}

/// A name as it must be written in a statement: quoted if it would otherwise be folded or split.
fn as_written(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        crate::quote(name)
    }
}

fn unknown_alias(
    written: &str,
    tables: &BTreeMap<String, Vec<&str>>,
    place: Option<(usize, usize)>,
) -> SqlProblem {
    let known: Vec<&str> = tables
        .keys()
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    let problem = SqlProblem::new(
        "M0303",
        format!("no table or alias `{written}` in this part of the query"),
    )
    .at(place)
    .meant(suggest::closest(written, known.iter().copied()));
    if known.is_empty() {
        problem
    } else {
        problem.help(format!("there is: {}", listed(&known)))
    }
}

/// A list of names, at most thirty.
pub(crate) fn listed(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(30).copied().collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
