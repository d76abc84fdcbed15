//! The names in a statement, with their positions: tables, aliases, functions, columns.
//!
//! Promise: they are read from the syntax alone. It does not know whether any of them exists.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion_common::{Column, TableReference};
use datafusion_sql::parser::Statement;
use datafusion_sql::resolve::resolve_table_references;
use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArguments, Ident, JoinConstraint, JoinOperator, ObjectName, Select, Spanned,
    Statement as SqlStatement, TableFactor, Visit, Visitor,
};
use datafusion_sql::sqlparser::tokenizer::Span;
use towpath_vocab::TableName;

use crate::place;
use crate::problem::SqlProblem;

/// A call of a function.
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) span: Span,
    /// Called with `OVER`.
    pub(crate) window: bool,
}

/// Everything a statement names.
#[derive(Default)]
pub(crate) struct Names {
    /// Tables, without CTEs and table functions.
    pub(crate) tables: Vec<(TableReference, Option<Span>)>,
    pub(crate) calls: Vec<Call>,
    /// Functions that are called without parentheses: `current_date`.
    pub(crate) bare_calls: Vec<String>,
    /// The table of each alias; `None` if an alias means two things.
    aliases: BTreeMap<String, Option<String>>,
    columns: Vec<(Vec<String>, Span)>,
    seen: Vec<(String, Span)>,
    table_functions: BTreeSet<String>,
}

/// The name of an identifier: unquoted ones are folded to lower case.
pub(crate) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_ascii_lowercase()
    }
}

fn folded(name: &ObjectName) -> String {
    name.0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(fold)
        .collect::<Vec<_>>()
        .join(".")
}

impl Names {
    pub(crate) fn of(statement: &Statement) -> Result<Self, SqlProblem> {
        let mut names = Self::default();
        let Statement::Statement(inner) = statement else {
            return Ok(names);
        };
        names.walk(inner);
        let (tables, _) = resolve_table_references(statement, true)
            .map_err(|error| SqlProblem::new("M0303", error.find_root().strip_backtrace()))?;
        for table in tables {
            let text = parts(&table).join(".");
            if names.table_functions.contains(&text)
                && !names.seen.iter().any(|(name, _)| *name == text)
            {
                continue;
            }
            let span = names
                .seen
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, span)| *span);
            names.tables.push((table, span));
        }
        Ok(names)
    }

    pub(crate) fn of_expression(expr: &Expr) -> Self {
        let mut names = Self::default();
        // The visitor never breaks.
        let _ = expr.visit(&mut names);
        names
    }

    fn walk(&mut self, statement: &SqlStatement) {
        // The visitor never breaks.
        let _ = statement.visit(self);
    }

    /// Each table in the form `schema.table`.
    pub(crate) fn inputs(&self, sql: &str) -> Result<Vec<TableName>, SqlProblem> {
        let mut inputs: Vec<TableName> = self
            .tables
            .iter()
            .map(|(table, span)| table_name(sql, table, *span))
            .collect::<Result<_, _>>()?;
        inputs.sort();
        inputs.dedup();
        Ok(inputs)
    }

    /// The table of an alias, or the text itself.
    pub(crate) fn real_name<'a>(&'a self, alias: &'a str) -> &'a str {
        match self.aliases.get(alias) {
            Some(Some(table)) => table,
            Some(None) | None => alias,
        }
    }

    /// The first position of a column.
    pub(crate) fn column_place(&self, sql: &str, column: &Column) -> Option<(usize, usize)> {
        let (_, span) = self.columns.iter().find(|(parts, _)| {
            parts.last() == Some(&column.name)
                && match (&column.relation, parts.len()) {
                    (Some(relation), 2..) => {
                        parts.get(parts.len() - 2).map(String::as_str) == Some(relation.table())
                    }
                    (Some(_), _) => false,
                    (None, _) => true,
                }
        })?;
        place::of_parse(sql, *span)
    }

    /// The first position of a word: a function with this name, a column, or the word in the text.
    pub(crate) fn place_of(&self, sql: &str, word: &str) -> Option<(usize, usize)> {
        let call = self
            .calls
            .iter()
            .find(|call| call.name == word)
            .map(|call| call.span);
        let column = || {
            self.columns
                .iter()
                .find(|(parts, _)| parts.last().is_some_and(|part| part == word))
        };
        let span = call.or_else(|| column().map(|(_, span)| *span));
        span.and_then(|span| place::of_parse(sql, span))
            .or_else(|| place::of_word(sql, word))
    }
}

fn parts(table: &TableReference) -> Vec<&str> {
    match table {
        TableReference::Bare { table } => vec![table],
        TableReference::Partial { schema, table } => vec![schema, table],
        TableReference::Full {
            catalog,
            schema,
            table,
        } => vec![catalog, schema, table],
    }
}

/// A reference as `schema.table`, or the problem of its form.
pub(crate) fn table_name(
    sql: &str,
    table: &TableReference,
    span: Option<Span>,
) -> Result<TableName, SqlProblem> {
    let place = span.and_then(|span| place::of_parse(sql, span));
    match table {
        TableReference::Partial { schema, table } => {
            Ok(TableName::new(schema.as_ref(), table.as_ref()))
        }
        TableReference::Bare { table } => {
            Err(SqlProblem::new("M0303", format!("`{table}` has no schema"))
                .at(place)
                .help(format!("write `SCHEMA.{table}`")))
        }
        TableReference::Full { schema, table, .. } => Err(SqlProblem::new(
            "M0303",
            format!(
                "a table name is `schema.table`, and this one has three parts: `{}`",
                parts_text(table, schema)
            ),
        )
        .at(place)
        .help(format!("write `{schema}.{table}`"))),
    }
}

fn parts_text(table: &str, schema: &str) -> String {
    format!("….{schema}.{table}")
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name, alias, args, ..
        } = factor
        {
            let text = folded(name);
            if args.is_some() {
                self.table_functions.insert(text);
                return ControlFlow::Continue(());
            }
            self.seen.push((text.clone(), name.span()));
            if let Some(alias) = alias {
                self.aliases
                    .entry(fold(&alias.name))
                    .and_modify(|known| {
                        if known.as_deref() != Some(&text) {
                            *known = None;
                        }
                    })
                    .or_insert(Some(text));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for join in select.from.iter().flat_map(|from| &from.joins) {
            if let Some(JoinConstraint::Using(columns)) = constraint(&join.join_operator) {
                for ident in columns
                    .iter()
                    .filter_map(|column| column.0.last()?.as_ident())
                {
                    self.columns.push((vec![fold(ident)], ident.span));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if !matches!(function.args, FunctionArguments::None) => {
                self.calls.push(Call {
                    name: folded(&function.name),
                    span: function.name.span(),
                    window: function.over.is_some(),
                });
            }
            Expr::Function(function) => self.bare_calls.push(folded(&function.name)),
            Expr::Identifier(ident) => self.columns.push((vec![fold(ident)], ident.span)),
            Expr::CompoundIdentifier(idents) => {
                let span = idents.last().map_or_else(Span::empty, |last| last.span);
                self.columns.push((idents.iter().map(fold).collect(), span));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on)
        | JoinOperator::Semi(on)
        | JoinOperator::LeftSemi(on)
        | JoinOperator::RightSemi(on)
        | JoinOperator::Anti(on)
        | JoinOperator::LeftAnti(on)
        | JoinOperator::RightAnti(on) => Some(on),
        _ => None,
    }
}
