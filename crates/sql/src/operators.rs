//! Replaces operators by functions, depending on the types of both sides: dates, timestamps, intervals,
//! JSON, quotients of decimals.
//!
//! Promise: if an operator of the engine would differ from PostgreSQL's, it is planned as one of our
//! functions before type coercion, so every type above it is right. All other operators are the engine's.
//! It does not know `BETWEEN`, `IN` and `CASE`; see `comparison.rs`.

use arrow_schema::DataType;
use datafusion_common::tree_node::TreeNode as _;
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr, RawWindowExpr,
};
use datafusion_expr::{
    Cast, Expr, ExprSchemable, GetFieldAccess, Operator, binary_expr, lit, when,
};
use datafusion_sql::sqlparser::ast::BinaryOperator;

use crate::functions::{json, nested, quotient, scalar, span};

/// Plans operators with the meaning of PostgreSQL.
#[derive(Debug)]
pub(crate) struct PostgresOperators;

impl ExprPlanner for PostgresOperators {
    fn plan_binary_op(
        &self,
        raw: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if let Some(planned) = json_step(&raw, schema) {
            return Ok(PlannerResult::Planned(planned));
        }
        let (Ok(left), Ok(right)) = (raw.left.get_type(schema), raw.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(raw));
        };
        if let Some(op) = digits_operator(&raw.op)
            && let Some(planned) = quotient::planned(op, &raw.left, &raw.right, (&left, &right))
        {
            return Ok(PlannerResult::Planned(planned));
        }
        Ok(
            match moments(&raw, &left, &right).or_else(|| spans(&raw, &left, &right)) {
                Some(planned) => PlannerResult::Planned(planned),
                None => PlannerResult::Original(raw),
            },
        )
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(match scalar(crate::functions::DATE_PART) {
            Some(function) => PlannerResult::Planned(Expr::ScalarFunction(
                ScalarFunction::new_udf(function, args),
            )),
            None => PlannerResult::Original(args),
        })
    }

    fn plan_aggregate(&self, mut raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        raw.args.iter_mut().for_each(tell_apart);
        raw.filter.iter_mut().for_each(|filter| tell_apart(filter));
        raw.order_by
            .iter_mut()
            .for_each(|sort| tell_apart(&mut sort.expr));
        Ok(PlannerResult::Original(raw))
    }

    fn plan_window(&self, mut raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        raw.args.iter_mut().for_each(tell_apart);
        raw.filter.iter_mut().for_each(|filter| tell_apart(filter));
        raw.partition_by.iter_mut().for_each(tell_apart);
        raw.order_by
            .iter_mut()
            .for_each(|sort| tell_apart(&mut sort.expr));
        Ok(PlannerResult::Original(raw))
    }

    fn plan_field_access(
        &self,
        mut raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let of_list = matches!(
            raw.expr.get_type(schema),
            Err(_) | Ok(DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
        );
        match &mut raw.field_access {
            GetFieldAccess::ListIndex { key } if of_list => {
                let counts_back = place(key, 0)? || **key == lit(0_i64);
                // The planner would count those of an aggregated list from its end.
                if counts_back && let Some(item) = element(&raw.expr, key) {
                    return Ok(PlannerResult::Planned(item));
                }
            }
            GetFieldAccess::ListRange { start, stop, .. } if of_list => {
                place(start, 1)?;
                place(stop, 0)?;
            }
            _ => {}
        }
        Ok(PlannerResult::Original(raw))
    }
}

/// Names a part of a call with its casts, which the planner's own names leave out: `max(id::text)` would be a
/// second column `max(id)`.
fn tell_apart(expr: &mut Expr) {
    let casts = expr.exists(|part| Ok(matches!(part, Expr::Cast(_) | Expr::TryCast(_))));
    if casts.unwrap_or(false) {
        let name = expr.to_string();
        *expr = std::mem::take(expr).alias(name);
    }
}

fn element(list: &Expr, key: &Expr) -> Option<Expr> {
    call("array_element", vec![list.clone(), key.clone()])
}

/// Limits a place in a list: the engine counts a negative one from the end, PostgreSQL has nothing there.
/// True if it may have been negative.
fn place(key: &mut Expr, least: i64) -> Result<bool> {
    if let Expr::Literal(ScalarValue::Int64(Some(place)), _) = key
        && *place >= least
    {
        return Ok(false);
    }
    let given = std::mem::take(key);
    *key = when(given.clone().lt(lit(least)), lit(least)).otherwise(given)?;
    Ok(true)
}

/// A call of one of our own functions.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Option<Expr> {
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(
        scalar(name)?,
        args,
    )))
}

fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

fn digits_operator(op: &BinaryOperator) -> Option<Operator> {
    match op {
        BinaryOperator::Divide => Some(Operator::Divide),
        BinaryOperator::Multiply => Some(Operator::Multiply),
        _ => None,
    }
}

fn is_timestamp(given: &DataType) -> bool {
    matches!(given, DataType::Timestamp(..))
}

fn is_interval(given: &DataType) -> bool {
    matches!(given, DataType::Interval(_) | DataType::Duration(_))
}

/// True for a text literal, which gets the type of the other side.
fn written(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, _)
    )
}

fn moments(raw: &RawBinaryExpr, left: &DataType, right: &DataType) -> Option<Expr> {
    let (a, b) = (raw.left.clone(), raw.right.clone());
    let dates = *left == DataType::Date32;
    match raw.op {
        BinaryOperator::Minus if dates && *right == DataType::Date32 => {
            call(span::DAYS_BETWEEN, vec![a, b])
        }
        BinaryOperator::Minus if dates && right.is_integer() => call(span::DAYS_MINUS, vec![a, b]),
        BinaryOperator::Plus if dates && right.is_integer() => call(span::DAYS_PLUS, vec![a, b]),
        BinaryOperator::Plus if left.is_integer() && *right == DataType::Date32 => {
            call(span::DAYS_PLUS, vec![b, a])
        }
        BinaryOperator::Minus
            if is_timestamp(left) && (is_timestamp(right) || *right == DataType::Date32) =>
        {
            call(span::MOMENT_MINUS, vec![a, b])
        }
        BinaryOperator::Minus if dates && is_timestamp(right) => {
            call(span::MOMENT_MINUS, vec![a, b])
        }
        BinaryOperator::Minus if is_timestamp(left) && written(&raw.right) => {
            call(span::MOMENT_MINUS, vec![a, cast(b, left.clone())])
        }
        BinaryOperator::Plus if (is_timestamp(left) || dates) && is_interval(right) => {
            call(span::MOMENT_PLUS, vec![a, b])
        }
        BinaryOperator::Minus if (is_timestamp(left) || dates) && is_interval(right) => {
            call(span::MOMENT_BACK, vec![a, b])
        }
        BinaryOperator::Plus
            if is_interval(left) && (is_timestamp(right) || *right == DataType::Date32) =>
        {
            call(span::MOMENT_PLUS, vec![b, a])
        }
        _ => None,
    }
}

fn spans(raw: &RawBinaryExpr, left: &DataType, right: &DataType) -> Option<Expr> {
    let (a, b) = (raw.left.clone(), raw.right.clone());
    let (ours, theirs) = (is_interval(left), is_interval(right));
    if !ours && !theirs {
        return truths(raw, left, right);
    }
    // A text literal next to an interval is an interval.
    let a = if written(&raw.left) {
        cast(a, span::span())
    } else {
        a
    };
    let b = if written(&raw.right) {
        cast(b, span::span())
    } else {
        b
    };
    let both = (ours || written(&raw.left)) && (theirs || written(&raw.right));
    match raw.op {
        BinaryOperator::Plus if both => call(span::INTERVAL_PLUS, vec![a, b]),
        BinaryOperator::Minus if both => call(span::INTERVAL_MINUS, vec![a, b]),
        BinaryOperator::Multiply if ours && right.is_numeric() => {
            call(span::INTERVAL_TIMES, vec![a, b])
        }
        BinaryOperator::Multiply if theirs && left.is_numeric() => {
            call(span::INTERVAL_TIMES, vec![b, a])
        }
        BinaryOperator::Divide if ours && right.is_numeric() => {
            call(span::INTERVAL_DIVIDE, vec![a, b])
        }
        _ if both => {
            let op = operator(&raw.op)?;
            Some(binary_expr(key(a)?, op, key(b)?))
        }
        _ => None,
    }
}

/// Plans a boolean that is compared with a text literal, and `^@`.
fn truths(raw: &RawBinaryExpr, left: &DataType, right: &DataType) -> Option<Expr> {
    let (a, b) = (raw.left.clone(), raw.right.clone());
    if raw.op == BinaryOperator::PGStartsWith {
        return call("starts_with", vec![a, b]);
    }
    let op = operator(&raw.op)?;
    let is_text = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), _));
    match (left, right) {
        (DataType::Boolean, _) if is_text(&raw.right) => {
            Some(binary_expr(a, op, cast(b, DataType::Boolean)))
        }
        (_, DataType::Boolean) if is_text(&raw.left) => {
            Some(binary_expr(cast(a, DataType::Boolean), op, b))
        }
        _ => None,
    }
}

/// The operator of a comparison.
pub(crate) fn operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        BinaryOperator::Spaceship => Operator::IsNotDistinctFrom,
        _ => return None,
    })
}

/// The number by which an interval is compared.
pub(crate) fn key(expr: Expr) -> Option<Expr> {
    call(span::INTERVAL_KEY, vec![expr])
}

/// Plans `->`, `->>`, `#>` and `#>>` on JSON text, structs and lists.
fn json_step(raw: &RawBinaryExpr, schema: &DFSchema) -> Option<Expr> {
    let as_text = match raw.op {
        BinaryOperator::Arrow => false,
        BinaryOperator::LongArrow => true,
        BinaryOperator::HashArrow => {
            return call(json::JSON_AT, vec![raw.left.clone(), raw.right.clone()]);
        }
        BinaryOperator::HashLongArrow => {
            return call(
                json::JSON_AT_TEXT,
                vec![raw.left.clone(), raw.right.clone()],
            );
        }
        _ => return None,
    };
    let (left, right) = (raw.left.clone(), raw.right.clone());
    match raw.left.get_type(schema) {
        Ok(given) if given.is_nested() => {
            let found = nested::step(&given, left, &raw.right)?;
            match as_text {
                true => call(nested::PLAIN_TEXT, vec![found]),
                false => Some(found),
            }
        }
        _ => call(
            if as_text {
                json::JSON_GET_TEXT
            } else {
                json::JSON_GET
            },
            vec![left, right],
        ),
    }
}
