//! Compares decimals with floating point numbers as floating point, as PostgreSQL does.
//!
//! The planner would compare both as decimals, which cannot hold every floating point number. This runs
//! before type coercion, and after literal fractions became decimals (`fractions.rs`). Quotients whose sides
//! became decimals there are planned again (`functions/quotient.rs`).

use arrow_schema::DataType;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Cast, Expr, ExprSchemable, LogicalPlan};

use crate::functions::{AS_NUMERIC, quotient};
use crate::operators::call;
use crate::rounding::compares;

/// Functions that return one of their arguments.
const CHOOSING: &[&str] = &["coalesce", "greatest", "ifnull", "least", "nullif", "nvl"];

/// Rewrites a plan so that decimals next to floating point are floating point.
pub(crate) fn one_kind_of_number(plan: LogicalPlan) -> Result<LogicalPlan> {
    if is_recursive(&plan)? {
        return Ok(plan);
    }
    let mut below = false;
    plan.transform_up_with_subqueries(|plan| {
        // If a type changed below, the schema of this node changes too.
        let plan = if below {
            plan.recompute_schema()?
        } else {
            plan
        };
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let changed = plan.map_expressions(|expression| {
            let name = names.save(&expression);
            Ok(one_kind(expression, &schema)?.update_data(|done| name.restore(done)))
        })?;
        below |= changed.transformed;
        match changed.transformed {
            true => changed.map_data(LogicalPlan::recompute_schema),
            false => Ok(changed),
        }
    })
    .data()
}

/// True for a recursive query, whose columns are fixed when it is planned.
fn is_recursive(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::RecursiveQuery(_));
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// The same for one expression.
pub(crate) fn one_kind(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expression.transform_up(|part| {
        Ok(match part {
            Expr::BinaryExpr(mut test) if compares(test.op) => {
                let done = together([&mut *test.left, &mut *test.right], schema);
                Transformed::new_transformed(Expr::BinaryExpr(test), done)
            }
            Expr::BinaryExpr(operation) => match quotient::of_operation(&operation, schema) {
                Some(planned) => Transformed::yes(planned),
                None => Transformed::no(Expr::BinaryExpr(operation)),
            },
            Expr::Between(mut test) => {
                let done = together([&mut *test.expr, &mut *test.low, &mut *test.high], schema);
                Transformed::new_transformed(Expr::Between(test), done)
            }
            Expr::InList(mut test) => {
                let all = std::iter::once(&mut *test.expr).chain(&mut test.list);
                let done = together(all, schema);
                Transformed::new_transformed(Expr::InList(test), done)
            }
            Expr::Case(mut case) => {
                let then = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
                let mut done =
                    alternatives("CASE", then.chain(case.else_expr.as_deref_mut()), schema)?;
                if let Some(subject) = case.expr.as_deref_mut() {
                    let when = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
                    done |= alternatives("CASE", std::iter::once(subject).chain(when), schema)?;
                }
                Transformed::new_transformed(Expr::Case(case), done)
            }
            Expr::ScalarFunction(mut call) if CHOOSING.contains(&call.func.name()) => {
                let name = call.func.name().to_owned();
                let done = alternatives(&name, &mut call.args, schema)?;
                Transformed::new_transformed(Expr::ScalarFunction(call), done)
            }
            other => Transformed::no(other),
        })
    })
}

/// Makes values of one kind out of those of which one is returned: a text literal has the type of the
/// others, and a text next to a number or a date is an error, as in PostgreSQL.
fn alternatives<'e>(
    what: &str,
    values: impl IntoIterator<Item = &'e mut Expr>,
    schema: &DFSchema,
) -> Result<bool> {
    let mut values: Vec<&mut Expr> = values.into_iter().collect();
    let mut types = Vec::with_capacity(values.len());
    for value in &values {
        match value.get_type(schema) {
            Ok(given) => types.push(given),
            Err(_) => return Ok(false),
        }
    }
    let simple = |given: &&DataType| {
        let is_text = given.is_string() || matches!(given, DataType::Dictionary(..));
        !given.is_null() && !is_text && !given.is_nested()
    };
    // The type that can hold the others.
    let widest: [fn(&DataType) -> bool; 4] = [
        |given| given.is_floating(),
        |given| given.is_decimal(),
        |given| *given == DataType::Int64,
        |given| matches!(given, DataType::Timestamp(..)),
    ];
    let other = widest
        .iter()
        .find_map(|is| types.iter().find(|given| is(given)))
        .or_else(|| types.iter().find(simple))
        .cloned();
    let mut done = false;
    if let Some(other) = other.filter(|other| simple(&other)) {
        for (value, given) in values.iter_mut().zip(&types) {
            if !given.is_string() {
                continue;
            }
            if !matches!(value, Expr::Literal(ScalarValue::Utf8(Some(_)), _)) {
                return plan_err!(
                    "{what} types text and {other} cannot be matched; cast one of them"
                );
            }
            let text = std::mem::take(*value);
            readable(&text, &other)?;
            **value = match (other.is_decimal(), call(AS_NUMERIC, vec![text.clone()])) {
                (true, Some(number)) => number,
                _ => Expr::Cast(Cast::new(Box::new(text), other.clone())),
            };
            done = true;
        }
    }
    Ok(together(values, schema) || done)
}

/// PostgreSQL reads a literal even where its branch is never taken.
fn readable(text: &Expr, to: &DataType) -> Result<()> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = text else {
        return Ok(());
    };
    let read = ScalarValue::Utf8(Some(text.trim().to_owned())).cast_to(to);
    match read {
        Ok(read) if !read.is_null() => Ok(()),
        _ => plan_err!("`{text}` is not a value of type {to}"),
    }
}

/// Makes decimals floating point if one of the other values is. True if something changed.
fn together<'e>(values: impl IntoIterator<Item = &'e mut Expr>, schema: &DFSchema) -> bool {
    let mut decimals = Vec::new();
    let mut floats = false;
    for value in values {
        match value.get_type(schema) {
            Ok(given) if given.is_decimal() => decimals.push(value),
            Ok(given) => floats |= given.is_floating(),
            Err(_) => return false,
        }
    }
    if !floats {
        return false;
    }
    let found = !decimals.is_empty();
    for value in decimals {
        let inner = std::mem::take(value);
        *value = Expr::Cast(Cast::new(Box::new(inner), DataType::Float64));
    }
    found
}
