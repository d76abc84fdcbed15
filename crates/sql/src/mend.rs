//! Finds further mistakes after the first one: repairs a copy of the statement and plans it again.
//!
//! The planner stops at the first unknown column. Here this column becomes NULL under its own name, and
//! planning continues. Only more unknown or ambiguous columns are reported, because other errors could be
//! consequences of the repair. The verdict never changes, only the number of mistakes in one report.

use std::ops::ControlFlow;

use datafusion_sql::parser::Statement;
use datafusion_sql::sqlparser::ast::{
    Expr, Ident, SelectItem, Spanned, Statement as SqlStatement, Value, VisitMut, VisitorMut,
};

use crate::analyze::plan;
use crate::catalog::Catalog;
use crate::names::Names;
use crate::place;
use crate::problem::{Judged, SqlProblem, from_planner};

/// The most problems in one report.
const MOST: usize = 20;

/// The first problem, and those that appear after it is repaired.
pub(crate) fn all_problems(
    sql: &str,
    parsed: &Statement,
    names: &Names,
    first: SqlProblem,
    catalog: &Catalog,
) -> Vec<SqlProblem> {
    let mut problems = vec![first];
    let mut mended = match parsed {
        Statement::Statement(inner) => inner.as_ref().clone(),
        _ => return problems,
    };
    while problems.len() < MOST {
        let Some(place) = problems
            .last()
            .filter(|problem| is_column(problem))
            .and_then(|problem| problem.offset)
        else {
            break;
        };
        if !mend(sql, &mut mended, place) {
            break;
        }
        let next = match plan(&Statement::Statement(Box::new(mended.clone())), catalog) {
            Ok(_) => break,
            Err(error) => from_planner(sql, names, &error),
        };
        match next {
            Judged::Mistake(problem) if is_column(&problem) && !problems.contains(&problem) => {
                problems.push(problem)
            }
            Judged::Mistake(_) | Judged::CannotTell(_) => break,
        }
    }
    problems.sort_by_key(|problem| problem.offset);
    problems
}

fn is_column(problem: &SqlProblem) -> bool {
    matches!(problem.code, "M0301" | "M0307")
}

/// Replaces the column at `place`; false if there is none.
fn mend(sql: &str, statement: &mut SqlStatement, place: (usize, usize)) -> bool {
    let mut mender = StatementRewriter {
        sql,
        place,
        done: false,
    };
    // The visitor stops when it has found the position.
    let _ = statement.visit(&mut mender);
    mender.done
}

struct StatementRewriter<'a> {
    sql: &'a str,
    place: (usize, usize),
    done: bool,
}

impl StatementRewriter<'_> {
    /// The name of the column, if `expr` is the column at the position.
    fn column(&self, expr: &Expr) -> Option<Ident> {
        let last = match expr {
            Expr::Identifier(ident) => ident,
            Expr::CompoundIdentifier(idents) => idents.last()?,
            _ => return None,
        };
        let (start, end) = place::of_parse(self.sql, expr.span())?;
        let (from, to) = self.place;
        (start <= from && to <= end).then(|| last.clone())
    }
}

fn null(expr: &Expr) -> Expr {
    let span = expr.span();
    Expr::Value(datafusion_sql::sqlparser::ast::ValueWithSpan {
        value: Value::Null,
        span,
    })
}

impl VisitorMut for StatementRewriter<'_> {
    type Break = ();

    fn pre_visit_select(
        &mut self,
        select: &mut datafusion_sql::sqlparser::ast::Select,
    ) -> ControlFlow<()> {
        for item in &mut select.projection {
            let alias = match item {
                SelectItem::UnnamedExpr(expr) => self.column(expr),
                _ => None,
            };
            if let (Some(alias), SelectItem::UnnamedExpr(expr)) = (alias, &mut *item) {
                let expr = null(expr);
                *item = SelectItem::ExprWithAlias { expr, alias };
                self.done = true;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.column(expr).is_some() {
            *expr = null(expr);
            self.done = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
