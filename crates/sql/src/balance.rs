//! Turns long chains of `AND` and `OR` into balanced trees, so that a thousand conditions are ten levels
//! deep.
//!
//! Promise: the meaning stays the same, because both operators are associative. This is needed because
//! everything after the parser visits expressions by recursion. Other operators are not regrouped: a chain
//! of more than `LONGEST` of them is refused. An expression that is too deep for the stack is refused
//! before anything visits all of it. It knows nothing else of SQL.

use std::mem;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Query, Value, VisitMut, VisitorMut};

use crate::depth;
use crate::problem::SqlProblem;

/// Chains shorter than this are not changed.
const SHORT: usize = 16;

/// The most operators in one chain.
const LONGEST: usize = 128;

/// Balances all chains in the tree.
pub(crate) fn balance<V: VisitMut>(tree: &mut V) -> Result<(), SqlProblem> {
    match tree.visit(&mut Balance { depth: 0 }) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Balance {
    /// The number of expressions around the visited one.
    depth: usize,
}

impl VisitorMut for Balance {
    type Break = SqlProblem;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlProblem> {
        match depth::set_operations(&query.body) > depth::MOST_SETS {
            true => ControlFlow::Break(depth::too_deep(
                "set operations in one query",
                depth::MOST_SETS,
            )),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlProblem> {
        self.depth = self.depth.saturating_sub(depth::weight(expr));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlProblem> {
        self.depth += depth::weight(expr);
        if self.depth > depth::DEEPEST_EXPRESSION {
            let limit = depth::DEEPEST_EXPRESSION;
            return ControlFlow::Break(depth::too_deep("expressions inside each other", limit));
        }
        if length(expr) < SHORT {
            return ControlFlow::Continue(());
        }
        if let Expr::BinaryOp { op, .. } = expr
            && matches!(op, BinaryOperator::And | BinaryOperator::Or)
        {
            let op = op.clone();
            *expr = joined(operands(mem::replace(expr, nothing()), &op), &op);
        }
        if length(expr) > LONGEST {
            let message = format!("one expression chains more than {LONGEST} operators");
            return ControlFlow::Break(
                SqlProblem::new("M0305", message)
                    .help("put its parts into a CTE, or use a function of a list"),
            );
        }
        ControlFlow::Continue(())
    }
}

fn nothing() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

/// The length of a chain that leans to the left.
fn length(expr: &Expr) -> usize {
    let mut links = 0;
    let mut rest = expr;
    while let Expr::BinaryOp { left, .. } = rest {
        links += 1;
        rest = left;
    }
    links
}

/// The operands of a chain of one operator, from left to right.
fn operands(expr: Expr, chain: &BinaryOperator) -> Vec<Expr> {
    let mut found = Vec::new();
    let mut rest = expr;
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == *chain => {
                found.push(*right);
                rest = *left;
            }
            other => {
                found.push(other);
                found.reverse();
                return found;
            }
        }
    }
}

/// Joins adjacent operands in pairs, until one expression is left.
fn joined(mut level: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while level.len() > 1 {
        let mut above = Vec::with_capacity(level.len().div_ceil(2));
        let mut operands = level.into_iter();
        while let Some(left) = operands.next() {
            above.push(match operands.next() {
                Some(right) => Expr::BinaryOp {
                    left: Box::new(left),
                    op: op.clone(),
                    right: Box::new(right),
                },
                None => left,
            });
        }
        level = above;
    }
    level.pop().unwrap_or_else(nothing)
}
