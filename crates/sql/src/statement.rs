//! Parses text to one query statement in our dialect.
//!
//! Promise: the dialect has PostgreSQL's rules for names, precedences (`dialect.rs`), NULL order and division,
//! and some syntax of dbt projects (`* EXCEPT`, `QUALIFY`, `GROUP BY ALL`, backticks). Before planning,
//! unquoted units of `dateadd` and similar functions become text without moving positions, and syntax with
//! another meaning to the planner is rewritten or refused (`spelling.rs`, `membership.rs`, `merged.rs`,
//! `unread.rs`, `windows.rs`). It does not know tables or types. Read next: `analyze.rs`.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use datafusion_sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion_sql::planner::ParserOptions;
use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, SetExpr,
    Statement as SqlStatement, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

use crate::balance::balance;
use crate::dialect::SQL_DIALECT;
use crate::functions::UNIT_FUNCTIONS;
use crate::headings::UnnamedColumn;
use crate::problem::{self, SqlProblem};
use crate::{depth, headings, membership, merged, result_names, spelling, unread, windows};

/// The name of the dialect that ours extends, as DataFusion's option `datafusion.sql_parser.dialect` takes it.
pub const DIALECT: &str = "generic";

/// Options that must be set to run a statement, so that it means what `analyze` found.
pub const SETTINGS: &[(&str, &str)] = &[
    ("datafusion.sql_parser.dialect", DIALECT),
    ("datafusion.sql_parser.enable_ident_normalization", "true"),
    ("datafusion.sql_parser.parse_float_as_decimal", "false"),
    ("datafusion.sql_parser.support_varchar_with_length", "true"),
    (
        "datafusion.sql_parser.map_string_types_to_utf8view",
        "false",
    ),
    ("datafusion.sql_parser.collect_spans", "true"),
    ("datafusion.execution.time_zone", TIME_ZONE),
];

/// The zone in which an instant is shown, and in which a time without a zone is read.
pub(crate) const TIME_ZONE: &str = "UTC";

/// The largest depth of nested expressions.
const RECURSION_LIMIT: usize = 100;

/// The planner's options; `SETTINGS` has the same for a session.
pub(crate) fn options() -> ParserOptions {
    ParserOptions::new()
        .with_parse_float_as_decimal(false)
        .with_enable_ident_normalization(true)
        .with_support_varchar_with_length(true)
        .with_map_string_types_to_utf8view(false)
        .with_collect_spans(true)
}

/// Parses exactly one query, with or without a trailing semicolon, for the planner.
///
/// # Errors
/// M0305 for text that is not SQL, M0306 for anything but one query, M0313 for one that nests too deeply.
pub fn query(sql: &str) -> Result<Statement, SqlProblem> {
    let (statement, ()) = prepared(sql, headings::name_columns::<Query>)?;
    Ok(statement)
}

/// A parsed query, with what its text says of its columns.
pub(crate) struct NamedQuery {
    pub(crate) statement: Statement,
    /// Columns of its result that have no name of their own.
    pub(crate) unnamed: Vec<UnnamedColumn>,
    /// The names of its columns, in order; `None` if they depend on the columns of a table.
    pub(crate) columns: Option<Vec<String>>,
}

/// As `query`, with what the text says of the columns.
pub(crate) fn named_query(sql: &str) -> Result<NamedQuery, SqlProblem> {
    let named = prepared(sql, |query| {
        let unnamed = headings::name_result(sql, query);
        (unnamed, result_names::of_named(query))
    });
    named.map(|(statement, (unnamed, columns))| NamedQuery {
        statement,
        unnamed,
        columns,
    })
}

/// Parses one query; `name` names its columns before it is rewritten for the planner.
fn prepared<T>(
    sql: &str,
    name: impl FnOnce(&mut Query) -> T,
) -> Result<(Statement, T), SqlProblem> {
    depth::check_text(sql)?;
    let mut statements = parse(sql)?;
    let first = statements.pop_front();
    if !statements.is_empty() {
        return Err(SqlProblem::new(
            "M0306",
            format!(
                "one query is expected, and there are {}",
                statements.len() + 1
            ),
        )
        .help("split them, or join them with `UNION ALL`"));
    }
    match first {
        None => Err(SqlProblem::new(
            "M0306",
            "there is no query here: the text is empty or only comments",
        )),
        Some(Statement::Statement(inner)) => match *inner {
            SqlStatement::Query(mut query) => {
                balance(query.as_mut())?;
                let named = name(query.as_mut());
                reads_only(&query)?;
                unread::refuse(sql, &query)?;
                windows::resolve(sql, query.as_mut())?;
                spelling::refuse_counted_sets(sql, &query)?;
                merged::refuse_sides(sql, &query)?;
                quote_units(&mut query);
                spelling::mend(sql, query.as_mut())?;
                membership::mend(sql, &mut query)?;
                let query = SqlStatement::Query(query);
                depth::depth(&query)?;
                Ok((Statement::Statement(Box::new(query)), named))
            }
            other => Err(not_a_query(&other.to_string())),
        },
        Some(other) => Err(not_a_query(&other.to_string())),
    }
}

/// One query as it is written: what the planner would take for something else is still there.
pub(crate) fn parsed_query(sql: &str) -> Option<Box<Query>> {
    depth::check_text(sql).ok()?;
    let mut statements = parse(sql).ok()?;
    match (statements.pop_front(), statements.len()) {
        (Some(Statement::Statement(inner)), 0) => match *inner {
            SqlStatement::Query(query) => Some(query),
            _ => None,
        },
        _ => None,
    }
}

fn parse(sql: &str) -> Result<VecDeque<Statement>, SqlProblem> {
    parser(sql)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| problem::from_parser(sql, &error))
}

fn parser(sql: &str) -> Result<DFParser<'_>, datafusion_common::DataFusionError> {
    DFParserBuilder::new(sql)
        .with_dialect(&SQL_DIALECT)
        .with_recursion_limit(RECURSION_LIMIT)
        .build()
}

/// Parses one expression; nothing may follow it.
pub(crate) fn expression(text: &str) -> Result<Expr, SqlProblem> {
    let mut found = written(text)?;
    balance(&mut found)?;
    unread::refuse(text, &found)?;
    quote_units(&mut found);
    spelling::mend(text, &mut found)?;
    Ok(found)
}

/// One expression as it is written: what the planner would take for something else is still there.
pub(crate) fn written(text: &str) -> Result<Expr, SqlProblem> {
    depth::check_text(text)?;
    let parsed = parser(text).and_then(|mut parser| {
        let found = parser.parse_into_expr()?;
        Ok((found, parser.parser.peek_token()))
    });
    let (found, rest) = parsed.map_err(|error| problem::from_parser(text, &error))?;
    if rest.token != datafusion_sql::sqlparser::tokenizer::Token::EOF || found.alias.is_some() {
        let place = crate::place::of_parse(text, rest.span);
        return Err(SqlProblem::new(
            "M0305",
            "syntax: one expression is expected, and nothing after it",
        )
        .at(place));
    }
    Ok(found.expr)
}

fn not_a_query(text: &str) -> SqlProblem {
    let word = text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_uppercase();
    SqlProblem::new(
        "M0306",
        format!("a query is expected, and this statement starts with `{word}`"),
    )
    .help("write only the SELECT; the pipeline or the model's config sets the target of its rows")
}

/// Refuses a change in any query inside it: `WITH … DELETE`, `SELECT INTO`.
fn reads_only(query: &Query) -> Result<(), SqlProblem> {
    struct Reads;
    impl Visitor for Reads {
        type Break = SqlProblem;
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlProblem> {
            match change(&query.body) {
                Some(problem) => ControlFlow::Break(problem),
                None => ControlFlow::Continue(()),
            }
        }
    }
    match query.visit(&mut Reads) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The change in a query's body, if there is one.
fn change(body: &SetExpr) -> Option<SqlProblem> {
    let mut rest = body;
    // Long unions lean to the left.
    while let SetExpr::SetOperation { left, right, .. } = rest {
        if let Some(problem) = change(right) {
            return Some(problem);
        }
        rest = left;
    }
    match rest {
        SetExpr::Select(select) => select.into.as_ref().map(|_| not_a_query("SELECT-INTO")),
        SetExpr::Insert(other)
        | SetExpr::Update(other)
        | SetExpr::Delete(other)
        | SetExpr::Merge(other) => Some(not_a_query(&other.to_string())),
        SetExpr::Query(_)
        | SetExpr::Values(_)
        | SetExpr::Table(_)
        | SetExpr::SetOperation { .. } => None,
    }
}

/// `dateadd(day, 1, x)` -> `dateadd('day', 1, x)`.
fn quote_units<V: VisitMut>(tree: &mut V) {
    struct Units;
    impl VisitorMut for Units {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && UNIT_FUNCTIONS.contains(&function.name.to_string().to_lowercase().as_str())
                && let FunctionArguments::List(list) = &mut function.args
                && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) =
                    list.args.first_mut()
                && let Expr::Identifier(unit) = first
            {
                let text = unit.value.to_lowercase();
                *first = Expr::Value(ValueWithSpan {
                    value: Value::SingleQuotedString(text),
                    span: unit.span,
                });
            }
            ControlFlow::Continue(())
        }
    }
    // The visitor never breaks.
    let _ = tree.visit(&mut Units);
}
