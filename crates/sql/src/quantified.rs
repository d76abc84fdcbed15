//! Rewrites `x = ANY (array)` and `x > ALL (array)`, which the planner computes without NULL.
//!
//! `= ANY` and `<> ALL` of a written array become `IN` and `NOT IN`, which the engine computes fastest; the
//! others become functions that compare the value with each item. `ANY (SELECT …)` is the planner's. It
//! reads syntax only; for the values see `functions/each.rs`.

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Spanned, Value};

use crate::functions::{ALL_ITEMS, ANY_ITEM};
use crate::nodes::{call, nothing};
use crate::operators::operator;
use crate::place;
use crate::problem::SqlProblem;
use crate::rows::row;

/// Rewrites one expression whose parts are already rewritten.
pub(crate) fn rewrite(sql: &str, expr: &mut Expr) -> Result<(), SqlProblem> {
    let (left, op, right, all) = match expr {
        Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } => (left, compare_op, right, false),
        Expr::AllOp {
            left,
            compare_op,
            right,
        } => (left, compare_op, right, true),
        _ => return Ok(()),
    };
    let is_query = matches!(right.as_ref(), Expr::Subquery(_));
    if is_query || operator(op).is_none() || *op == BinaryOperator::Spaceship {
        return Ok(());
    }
    if row(left).is_some() || items(right).is_some_and(|items| items.iter().any(is_row)) {
        return Err(
            SqlProblem::new("M0311", "not supported: `ANY` and `ALL` of rows")
                .at(place::of_parse(sql, left.span()))
                .help("write `(a, b) in ((1, 2), (3, 4))`"),
        );
    }
    let by_list = match all {
        false => *op == BinaryOperator::Eq,
        true => *op == BinaryOperator::NotEq,
    };
    *expr = match items(right).filter(|items| by_list && !items.is_empty()) {
        Some(list) => Expr::Nested(Box::new(Expr::InList {
            list: list.to_vec(),
            expr: Box::new(std::mem::replace(left.as_mut(), nothing())),
            negated: all,
        })),
        None => {
            let span = left.span();
            let symbol = Expr::Value(Value::SingleQuotedString(op.to_string()).with_span(span));
            let value = std::mem::replace(left.as_mut(), nothing());
            let array = std::mem::replace(right.as_mut(), nothing());
            let name = if all { ALL_ITEMS } else { ANY_ITEM };
            call(name, vec![value, array, symbol], span)
        }
    };
    Ok(())
}

fn is_row(expr: &Expr) -> bool {
    row(expr).is_some()
}

/// The items of a written array.
fn items(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Nested(inner) => items(inner),
        Expr::Array(array) => Some(&array.elem),
        _ => None,
    }
}
