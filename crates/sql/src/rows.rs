//! Rewrites comparisons of rows, `(a, b) = (1, 2)`, as comparisons of their values.
//!
//! The planner compares rows as structs, for which NULL equals NULL. In PostgreSQL the result is NULL when a
//! NULL decides it. So `=`, `<>`, `<`, `IN`, `BETWEEN`, `CASE` and `IS NULL` of rows become AND and OR of
//! their values. Rows inside rows, and rows in arrays, are refused. It reads syntax only and knows no type;
//! a struct column is not a row here. Read next: `quantified.rs` (`ANY` and `ALL`).

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Spanned, UnaryOperator, Value,
};

use crate::forms::arguments;
use crate::names::fold;
use crate::place;
use crate::problem::SqlProblem;

/// Rewrites one expression whose parts are already rewritten.
pub(crate) fn rewrite(sql: &str, expr: &mut Expr) -> Result<(), SqlProblem> {
    let made = match expr {
        Expr::BinaryOp { left, op, right } => compared(sql, left, op, right)?,
        Expr::IsDistinctFrom(left, right) => distinct(sql, left, right)?,
        Expr::IsNotDistinctFrom(left, right) => distinct(sql, left, right)?.map(not),
        Expr::IsNull(inner) => row(inner).map(|row| {
            let each = row.into_iter().map(|value| Expr::IsNull(nested(value)));
            joined(&BinaryOperator::And, each.collect())
        }),
        Expr::IsNotNull(inner) => row(inner).map(|row| {
            let each = row.into_iter().map(|value| Expr::IsNotNull(nested(value)));
            joined(&BinaryOperator::And, each.collect())
        }),
        Expr::InList {
            expr: sought,
            list,
            negated,
        } => member(sql, sought, list)?.map(|found| if *negated { not(found) } else { found }),
        Expr::Between {
            expr: middle,
            negated,
            low,
            high,
        } => {
            let from = compared(sql, middle, &BinaryOperator::GtEq, low)?;
            let to = compared(sql, middle, &BinaryOperator::LtEq, high)?;
            from.zip(to).map(|(from, to)| {
                let inside = joined(&BinaryOperator::And, vec![from, to]);
                if *negated { not(inside) } else { inside }
            })
        }
        Expr::Case {
            operand,
            conditions,
            ..
        } => {
            searched(sql, operand, conditions)?;
            None
        }
        _ => None,
    };
    if let Some(made) = made {
        *expr = Expr::Nested(Box::new(made));
    }
    Ok(())
}

/// The values of a row: `(a, b)` or `row(a, b)`.
pub(crate) fn row(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Nested(inner) => row(inner),
        Expr::Tuple(values) => Some(values.clone()),
        Expr::Function(function) => {
            let [name] = function.name.0.as_slice() else {
                return None;
            };
            let is_row = fold(name.as_ident()?) == "row";
            is_row.then(|| arguments(function)).flatten()
        }
        _ => None,
    }
}

/// Both rows, value by value; `None` if one of the sides is not a row.
fn pairs(sql: &str, left: &Expr, right: &Expr) -> Result<Option<Vec<(Expr, Expr)>>, SqlProblem> {
    let (Some(ours), Some(theirs)) = (row(left), row(right)) else {
        return Ok(None);
    };
    if ours.len() != theirs.len() {
        let message = format!(
            "a row of {} values is compared with a row of {}",
            ours.len(),
            theirs.len()
        );
        return Err(SqlProblem::new("M0310", message).at(place::of_parse(sql, right.span())));
    }
    if ours.iter().chain(&theirs).any(|value| row(value).is_some()) {
        return Err(
            SqlProblem::new("M0311", "not supported: a comparison of rows inside rows")
                .at(place::of_parse(sql, left.span()))
                .help("write all values in one row: `(a, b, c) = (1, 2, 3)`"),
        );
    }
    Ok(Some(ours.into_iter().zip(theirs).collect()))
}

fn compared(
    sql: &str,
    left: &Expr,
    op: &BinaryOperator,
    right: &Expr,
) -> Result<Option<Expr>, SqlProblem> {
    let strict = match op {
        BinaryOperator::Eq | BinaryOperator::NotEq => op,
        BinaryOperator::Lt | BinaryOperator::LtEq => &BinaryOperator::Lt,
        BinaryOperator::Gt | BinaryOperator::GtEq => &BinaryOperator::Gt,
        _ => return Ok(None),
    };
    let Some(mut pairs) = pairs(sql, left, right)? else {
        return Ok(None);
    };
    let each = |op: &BinaryOperator, pairs: Vec<(Expr, Expr)>| -> Vec<Expr> {
        let one = |(left, right)| binary(left, op, right);
        pairs.into_iter().map(one).collect()
    };
    Ok(Some(match op {
        BinaryOperator::Eq => joined(&BinaryOperator::And, each(op, pairs)),
        BinaryOperator::NotEq => joined(&BinaryOperator::Or, each(op, pairs)),
        _ => {
            let last = pairs.pop();
            let last = last.map(|(left, right)| binary(left, op, right));
            let made = pairs.into_iter().rev().fold(last, |rest, (left, right)| {
                let same = binary(left.clone(), &BinaryOperator::Eq, right.clone());
                let rest = joined(&BinaryOperator::And, vec![same, rest?]);
                let first = binary(left, strict, right);
                Some(joined(&BinaryOperator::Or, vec![first, rest]))
            });
            made.unwrap_or_else(|| truth(false))
        }
    }))
}

fn distinct(sql: &str, left: &Expr, right: &Expr) -> Result<Option<Expr>, SqlProblem> {
    let each = |(left, right)| Expr::IsDistinctFrom(nested(left), nested(right));
    let pairs = pairs(sql, left, right)?;
    Ok(pairs.map(|pairs| {
        let each = pairs.into_iter().map(each).collect();
        joined(&BinaryOperator::Or, each)
    }))
}

fn member(sql: &str, sought: &Expr, list: &[Expr]) -> Result<Option<Expr>, SqlProblem> {
    if row(sought).is_none() {
        return Ok(None);
    }
    let one = |item: &Expr| {
        compared(sql, sought, &BinaryOperator::Eq, item)?.ok_or_else(|| {
            SqlProblem::new(
                "M0311",
                "not supported: a row next to a value that is not a row",
            )
            .at(place::of_parse(sql, item.span()))
            .help("write each of them as a row: `(a, b) in ((1, 2), (3, 4))`")
        })
    };
    let each = list.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(joined(&BinaryOperator::Or, each)))
}

/// `case (a, b) when (1, 2) then …` -> `case when a = 1 and b = 2 then …`.
fn searched(
    sql: &str,
    operand: &mut Option<Box<Expr>>,
    conditions: &mut [CaseWhen],
) -> Result<(), SqlProblem> {
    let Some(subject) = operand.as_deref().filter(|subject| row(subject).is_some()) else {
        return Ok(());
    };
    for when in conditions {
        let one = std::slice::from_ref(&when.condition);
        if let Some(made) = member(sql, subject, one)? {
            when.condition = made;
        }
    }
    *operand = None;
    Ok(())
}

fn binary(left: Expr, op: &BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: nested(left),
        op: op.clone(),
        right: nested(right),
    }
}

/// In parentheses, unless it is one word.
fn nested(expr: Expr) -> Box<Expr> {
    Box::new(match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Nested(_) => {
            expr
        }
        other => Expr::Nested(Box::new(other)),
    })
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp {
        op: UnaryOperator::Not,
        expr: nested(expr),
    }
}

fn truth(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).with_empty_span())
}

/// All of them with AND or OR, as a tree that is not deep.
fn joined(op: &BinaryOperator, mut parts: Vec<Expr>) -> Expr {
    match parts.len() {
        0 => truth(*op == BinaryOperator::And),
        1 => parts.pop().unwrap_or_else(|| truth(true)),
        count => {
            let rest = parts.split_off(count / 2);
            binary(joined(op, parts), op, joined(op, rest))
        }
    }
}
