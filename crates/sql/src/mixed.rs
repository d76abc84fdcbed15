//! Compares decimals with floating point numbers as floating point, and dates with timestamps as
//! timestamps, as PostgreSQL does.
//!
//! The planner would compare numbers as decimals, which cannot hold every floating point number, and moments
//! in nanoseconds, which end in 2262. This runs before type coercion, and after literal fractions became
//! decimals (`fractions.rs`). Quotients whose sides became decimals there are planned again
//! (`functions/quotient.rs`). Read next: `combined.rs` (the types, set operations and joins).

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Cast, Expr, ExprSchemable, LogicalPlan, when};

use crate::combined;
use crate::functions::{AS_NUMERIC, quotient};
use crate::operators::call;
use crate::rounding::compares;

/// Functions that return one of their arguments.
const CHOOSING: &[&str] = &["coalesce", "greatest", "ifnull", "least", "nullif", "nvl"];

/// Functions that return one of their arguments but the first, or a list of all of them.
const CHOOSING_LATER: &[(&str, usize)] = &[("iff", 1), ("make_array", 0)];

/// Rewrites a plan so that decimals next to floating point are floating point, and dates next to timestamps
/// are timestamps.
pub(crate) fn one_kind_of_number(plan: LogicalPlan) -> Result<LogicalPlan> {
    // The columns of a recursive query are fixed: there, only comparisons change.
    let settled = is_recursive(&plan)?;
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
            let changed = match settled {
                true => expression.transform_up(|part| compared(part, &schema))?,
                false => one_kind(expression, &schema)?,
            };
            Ok(changed.update_data(|done| name.restore(done)))
        })?;
        if settled {
            return Ok(changed);
        }
        let changed = changed.transform_data(combined::one_type)?;
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
        let part = compared(part, schema)?;
        if part.transformed {
            return Ok(part);
        }
        Ok(match part.data {
            Expr::BinaryExpr(operation) => match quotient::of_operation(&operation, schema) {
                Some(Expr::ScalarFunction(mut planned)) => {
                    quotient::shorten(&mut planned);
                    Transformed::yes(Expr::ScalarFunction(planned))
                }
                _ => Transformed::no(Expr::BinaryExpr(operation)),
            },
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
            Expr::ScalarFunction(call) if keeps_its_moment(&call, schema) => {
                match <[Expr; 2]>::try_from(call.args) {
                    Ok([value, mut other]) => {
                        let mut left = value.clone();
                        together([&mut left, &mut other], schema);
                        let nothing = ScalarValue::try_from(value.get_type(schema)?)?;
                        let nothing = Expr::Literal(nothing, None);
                        Transformed::yes(when(left.eq(other), nothing).otherwise(value)?)
                    }
                    Err(_) => return plan_err!("`nullif` takes 2 arguments"),
                }
            }
            Expr::ScalarFunction(mut call) if CHOOSING.contains(&call.func.name()) => {
                let name = call.func.name().to_owned();
                let done = alternatives(&name, &mut call.args, schema)?;
                Transformed::new_transformed(Expr::ScalarFunction(call), done)
            }
            Expr::ScalarFunction(mut call) => {
                let done = called(&mut call, schema);
                Transformed::new_transformed(Expr::ScalarFunction(call), done)
            }
            Expr::InSubquery(mut test) => {
                let done = combined::with_query(&mut test.expr, &mut test.subquery, schema)?;
                Transformed::new_transformed(Expr::InSubquery(test), done)
            }
            Expr::SetComparison(mut test) => {
                let done = combined::with_query(&mut test.expr, &mut test.subquery, schema)?;
                Transformed::new_transformed(Expr::SetComparison(test), done)
            }
            other => Transformed::no(other),
        })
    })
}

/// The sides of a comparison with one type.
fn compared(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match part {
        Expr::BinaryExpr(mut test) if compares(test.op) => {
            let done = together([&mut *test.left, &mut *test.right], schema);
            Transformed::new_transformed(Expr::BinaryExpr(test), done)
        }
        Expr::Between(mut test) => {
            let done = together([&mut *test.expr, &mut *test.low, &mut *test.high], schema);
            Transformed::new_transformed(Expr::Between(test), done)
        }
        Expr::InList(mut test) => {
            let all = std::iter::once(&mut *test.expr).chain(&mut test.list);
            let done = together(all, schema);
            Transformed::new_transformed(Expr::InList(test), done)
        }
        other => Transformed::no(other),
    })
}

/// The arguments of a function with one type. True if something changed.
fn called(call: &mut ScalarFunction, schema: &DFSchema) -> bool {
    let mut known = CHOOSING_LATER.iter();
    let done = match known.find(|(name, _)| *name == call.func.name()) {
        Some((_, from)) => together(call.args.iter_mut().skip(*from), schema),
        None => combined::of_lists(call, schema),
    };
    quotient::shorten(call) || done
}

/// True for `nullif` of a date and a timestamp, whose result has the type of its first argument.
fn keeps_its_moment(call: &ScalarFunction, schema: &DFSchema) -> bool {
    let types = call.args.iter().map(|value| value.get_type(schema));
    call.func.name() == "nullif"
        && call.args.len() == 2
        && types.collect::<Result<Vec<DataType>>>().is_ok_and(|types| {
            combined::together(&types).is_some_and(|both| combined::is_timestamp(&both))
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
        .or_else(|| types.iter().find(|given| is_simple(given)))
        .cloned();
    let mut done = false;
    if let Some(other) = other.filter(is_simple) {
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

/// True for a type of one value that is not text.
pub(crate) fn is_simple(given: &DataType) -> bool {
    let is_text = given.is_string() || matches!(given, DataType::Dictionary(..));
    !given.is_null() && !is_text && !given.is_nested()
}

/// PostgreSQL reads a literal even where its branch is never taken.
pub(crate) fn readable(text: &Expr, to: &DataType) -> Result<()> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = text else {
        return Ok(());
    };
    // A decimal has room for what is written; see `numeric`.
    let form = match to {
        DataType::Decimal128(..) => &DataType::Decimal128(38, 10),
        other => other,
    };
    let read = ScalarValue::Utf8(Some(text.trim().to_owned())).cast_to(form);
    match read {
        Ok(read) if !read.is_null() => Ok(()),
        _ => plan_err!("`{text}` is not a value of type {to}"),
    }
}

/// Makes decimals floating point if one of the other values is, and dates timestamps. A text literal next to
/// a timestamp is read as one. True if something changed.
fn together<'e>(values: impl IntoIterator<Item = &'e mut Expr>, schema: &DFSchema) -> bool {
    let values: Vec<&mut Expr> = values.into_iter().collect();
    let types = values.iter().map(|value| value.get_type(schema));
    let Ok(types) = types.collect::<Result<Vec<DataType>>>() else {
        return false;
    };
    let both = combined::together(&types);
    let is_short = |given: &&DataType| matches!(given, DataType::Timestamp(unit, _) if *unit != TimeUnit::Nanosecond);
    let of_texts = both
        .clone()
        .filter(combined::is_timestamp)
        .or_else(|| types.iter().find(is_short).cloned());
    let mut found = false;
    for (value, given) in values.into_iter().zip(&types) {
        let to = match value {
            Expr::Literal(ScalarValue::Utf8(Some(_)), _) => of_texts.as_ref(),
            _ => both.as_ref().filter(|both| combined::changes(given, both)),
        };
        if let Some(to) = to {
            let inner = std::mem::take(value);
            *value = Expr::Cast(Cast::new(Box::new(inner), to.clone()));
            found = true;
        }
    }
    found
}
