//! Rewrites a plan after type coercion: comparisons and order of intervals, casts between values and text.
//!
//! Promise: no type in the plan changes. Intervals are compared by their length, with months of 30 days;
//! where that is not possible (`GROUP BY`, `DISTINCT`, set operations), the plan is refused. It does not
//! know names; see `operators.rs` for the rewrites before type coercion.

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, Result, ScalarValue, not_impl_err};
use datafusion_expr::expr::{AggregateFunction, ScalarFunction, Sort, WindowFunction};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast,
    WindowFunctionDefinition, binary_expr, lit, when,
};
use datafusion_optimizer::AnalyzerRule;

use crate::functions::{
    LONGEST_FIRST, TRUTH_LETTER, checked, is_read_otherwise, is_written_otherwise, longest, reader,
};
use crate::operators::{call, key};
use crate::refusals::{refuse, refuse_lists, refused};
use crate::rounding::compares;

/// Gives comparisons and casts the meaning of PostgreSQL.
#[derive(Debug)]
pub struct PostgresSemantics;

impl AnalyzerRule for PostgresSemantics {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            refuse(&plan)?;
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            let sorts = matches!(plan, LogicalPlan::Sort(_));
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let changed = meant(expression, &schema)?;
                let changed = match sorts {
                    true => changed.transform_data(|expr| by_key(expr, &schema))?,
                    false => changed,
                };
                Ok(changed.update_data(|done| name.restore(done)))
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "PostgresSemantics"
    }
}

/// Rewrites an expression; its type stays the same.
pub(crate) fn meant(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expression.transform_up(|part| one(part, schema))
}

pub(crate) fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema)
        .is_ok_and(|given| matches!(given, DataType::Interval(_)))
}

/// Replaces an interval by the number by which it is compared.
fn by_key(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if !is_interval(&expr, schema) {
        return Ok(Transformed::no(expr));
    }
    Ok(match key(expr.clone()) {
        Some(keyed) => Transformed::yes(keyed),
        None => Transformed::no(expr),
    })
}

fn key_in_place(expr: &mut Box<Expr>, schema: &DFSchema) -> Result<bool> {
    let done = by_key(std::mem::take(expr.as_mut()), schema)?;
    **expr = done.data;
    Ok(done.transformed)
}

pub(crate) fn sorted(sorts: &mut [Sort], schema: &DFSchema) -> Result<bool> {
    let mut changed = false;
    for sort in sorts {
        let done = by_key(std::mem::take(&mut sort.expr), schema)?;
        changed |= done.transformed;
        sort.expr = done.data;
    }
    Ok(changed)
}

fn one(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match part {
        Expr::Cast(cast) => casted(cast, schema)?,
        Expr::TryCast(cast) => try_casted(cast, schema)?,
        Expr::BinaryExpr(test) => compared(test, schema)?,
        Expr::Between(mut test) if is_interval(&test.expr, schema) => {
            for side in [&mut test.expr, &mut test.low, &mut test.high] {
                key_in_place(side, schema)?;
            }
            Transformed::yes(Expr::Between(test))
        }
        Expr::InList(mut test) if is_interval(&test.expr, schema) => {
            key_in_place(&mut test.expr, schema)?;
            for item in &mut test.list {
                *item = by_key(std::mem::take(item), schema)?.data;
            }
            Transformed::yes(Expr::InList(test))
        }
        Expr::Case(mut case) => match &mut case.expr {
            Some(subject) if is_interval(subject, schema) => {
                key_in_place(subject, schema)?;
                for (when, _) in &mut case.when_then_expr {
                    key_in_place(when, schema)?;
                }
                Transformed::yes(Expr::Case(case))
            }
            _ => Transformed::no(Expr::Case(case)),
        },
        Expr::ScalarFunction(call) => called(call, schema)?,
        Expr::AggregateFunction(call) => aggregated(call, schema)?,
        Expr::WindowFunction(call) => windowed(call, schema)?,
        other => Transformed::no(other),
    })
}

fn compared(mut test: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut changed = false;
    if compares(test.op) {
        let (left, right) = (
            is_interval(&test.left, schema),
            is_interval(&test.right, schema),
        );
        if left && right {
            changed |= key_in_place(&mut test.left, schema)?;
            changed |= key_in_place(&mut test.right, schema)?;
        }
        let orders = matches!(
            test.op,
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
        );
        let is_list = |side: &Expr| {
            side.get_type(schema)
                .is_ok_and(|given| matches!(given, DataType::List(_) | DataType::LargeList(_)))
        };
        if orders && is_list(&test.left) && is_list(&test.right) {
            return not_impl_err!("the order of two lists: NULL would sort before other items");
        }
    } else if matches!(
        test.op,
        Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
    ) {
        changed = dots_take_all(&mut test.right, schema);
    } else if test.op == Operator::Minus
        && test
            .left
            .get_type(schema)
            .is_ok_and(|given| matches!(given, DataType::Timestamp(..)))
        && test
            .right
            .get_type(schema)
            .is_ok_and(|given| matches!(given, DataType::Timestamp(..)))
    {
        // An expression whose types the planner did not see.
        return not_impl_err!(
            "the difference of two timestamps in this place; compute it in a query inside"
        );
    }
    let expr = Expr::BinaryExpr(test);
    Ok(if changed {
        Transformed::yes(expr)
    } else {
        Transformed::no(expr)
    })
}

/// Rewrites a function that must be wrapped, needs another pattern, or compares.
fn called(mut given: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match (given.func.name(), given.args.as_slice()) {
        ("generate_series" | "range" | "array_repeat" | "array_resize", _) => {
            bounded(given, schema)
        }
        // In PostgreSQL these functions change all equal items.
        // A list without items has no dimension, so no length of one.
        ("array_length", [_, _]) => {
            let nothing = Expr::Literal(ScalarValue::UInt64(Some(0)), None);
            wrapped("nullif", vec![Expr::ScalarFunction(given), nothing])
        }
        ("array_ndims", [_]) => dimensions(given),
        ("array_remove", _) => renamed("array_remove_all", given),
        ("array_replace", _) => renamed("array_replace_all", given),
        ("concat" | "concat_ws", _) => {
            let mut changed = false;
            for arg in &mut given.args {
                changed |= truth_as_letter(arg, schema);
            }
            let expr = Expr::ScalarFunction(given);
            Ok(if changed {
                Transformed::yes(expr)
            } else {
                Transformed::no(expr)
            })
        }
        (name, _) if name.starts_with("regexp_") => searched(given, schema),
        ("log", [_, _]) => numeric(given, schema),
        (name, _) if checked::DEFINED_IN_PARTS.contains(&name) => numeric(given, schema),
        (name, _) if checked::INFINITE_IN_PARTS.contains(&name) => numeric(given, schema),
        ("to_timestamp", _) => numeric(given, schema),
        _ => chosen(given, schema),
    }
}

/// A list without items has no dimensions, not one.
fn dimensions(given: ScalarFunction) -> Result<Transformed<Expr>> {
    let list = given.args.first().cloned();
    let length = list.and_then(|list| call("array_length", vec![list, lit(1_i64)]));
    let Some(length) = length else {
        return not_impl_err!("`array_ndims` of this value");
    };
    let no_items = binary_expr(length, Operator::Eq, lit(0_u64));
    let nothing = Expr::Literal(ScalarValue::UInt64(None), None);
    when(no_items, nothing)
        .otherwise(Expr::ScalarFunction(given))
        .map(Transformed::yes)
}

/// Limits functions that make a list with a given number of items.
fn bounded(mut given: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_whole = |arg: &Expr| arg.get_type(schema).is_ok_and(|given| given.is_integer());
    let bound = match (given.func.name(), given.args.as_slice()) {
        ("generate_series" | "range", [start, stop, ..]) if is_whole(start) && is_whole(stop) => {
            call(checked::SERIES_STOP, given.args.clone())
        }
        ("array_repeat", [value, length]) => {
            call(checked::AT_MOST, vec![length.clone(), value.clone()])
        }
        ("array_resize", [_, length, ..]) => call(checked::AT_MOST, vec![length.clone()]),
        _ => return Ok(Transformed::no(Expr::ScalarFunction(given))),
    };
    let (Some(bound), Some(place)) = (bound, given.args.get_mut(1)) else {
        return not_impl_err!("a list of this length");
    };
    *place = bound;
    Ok(Transformed::yes(Expr::ScalarFunction(given)))
}

/// Guards functions that are not defined for all of their inputs.
fn numeric(mut given: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_double = |arg: &Expr| arg.get_type(schema).is_ok_and(|given| given.is_floating());
    match (given.func.name(), given.args.as_slice()) {
        ("to_timestamp", [first]) if is_double(first) => {
            let Some(number) = call(checked::A_NUMBER, vec![first.clone()]) else {
                return not_impl_err!("`to_timestamp` of a double");
            };
            given.args = vec![number];
            Ok(Transformed::yes(Expr::ScalarFunction(given)))
        }
        ("log", [base, value]) => {
            let (base, value) = (base.clone(), value.clone());
            let args = [base, value]
                .into_iter()
                .map(|arg| call(checked::POSITIVE, vec![arg]));
            if let Some(args) = args.collect::<Option<Vec<_>>>() {
                given.args = args;
            }
            guarded(checked::IN_RANGE, given)
        }
        (name, _) if checked::DEFINED_IN_PARTS.contains(&name) => guarded(checked::IN_RANGE, given),
        (name, _) if checked::INFINITE_IN_PARTS.contains(&name) => guarded("not_nan", given),
        _ => Ok(Transformed::no(Expr::ScalarFunction(given))),
    }
}

/// Rewrites functions with a regular expression.
fn searched(mut given: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = given
        .args
        .get_mut(1)
        .is_some_and(|arg| longest_branches(arg, schema) | dots_take_all(arg, schema));
    let expr = Expr::ScalarFunction(given);
    Ok(if changed {
        Transformed::yes(expr)
    } else {
        Transformed::no(expr)
    })
}

/// The same call with another function.
fn renamed(name: &str, given: ScalarFunction) -> Result<Transformed<Expr>> {
    wrapped(name, given.args)
}

fn wrapped(name: &str, args: Vec<Expr>) -> Result<Transformed<Expr>> {
    match call(name, args) {
        Some(planned) => Ok(Transformed::yes(planned)),
        None => not_impl_err!("`{name}`"),
    }
}

/// A call that fails if its result is not a number although its inputs are.
fn guarded(name: &str, given: ScalarFunction) -> Result<Transformed<Expr>> {
    let mut args = given.args.clone();
    args.insert(0, Expr::ScalarFunction(given));
    wrapped(name, args)
}

/// Puts the longest branch of an alternation first. True if the pattern may have changed.
fn longest_branches(pattern: &mut Expr, schema: &DFSchema) -> bool {
    let literal = match &*pattern {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        other
            if other
                .get_type(schema)
                .is_ok_and(|given| given == DataType::Utf8) =>
        {
            None
        }
        _ => return false,
    };
    let changes = literal.is_none_or(|text| text.contains('|'));
    match call(LONGEST_FIRST, vec![pattern.clone()]).filter(|_| changes) {
        Some(sorted) => {
            *pattern = sorted;
            true
        }
        None => false,
    }
}

/// Makes `.` match a line break too, as in PostgreSQL. True if the pattern was changed.
fn dots_take_all(pattern: &mut Expr, schema: &DFSchema) -> bool {
    const ALL: &str = "(?s)";
    match pattern {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            let changes = text.contains('.') && !text.starts_with(ALL);
            if changes {
                *text = format!("{ALL}{text}");
            }
            changes
        }
        Expr::Literal(..) => false,
        Expr::Cast(cast) if matches!(cast.expr.as_ref(), Expr::Literal(..)) => {
            dots_take_all(&mut cast.expr, schema)
        }
        other => {
            let Ok(given) = other.get_type(schema) else {
                return false;
            };
            let cast = |expr: Expr, to: DataType| Expr::Cast(Cast::new(Box::new(expr), to));
            let inner = std::mem::take(other);
            let text = match given {
                DataType::Utf8 => inner,
                _ => cast(inner, DataType::Utf8),
            };
            let all = binary_expr(lit(ALL), Operator::StringConcat, text);
            *other = match given {
                DataType::Utf8 => all,
                other => cast(all, other),
            };
            true
        }
    }
}

fn truth_as_letter(arg: &mut Expr, schema: &DFSchema) -> bool {
    let Expr::Cast(cast) = arg else { return false };
    if !cast
        .expr
        .get_type(schema)
        .is_ok_and(|given| given == DataType::Boolean)
    {
        return false;
    }
    match call(TRUTH_LETTER, vec![cast.expr.as_ref().clone()]) {
        Some(letter) => {
            *arg = letter;
            true
        }
        None => false,
    }
}

/// Rewrites `greatest`, `least` and `nullif`, which compare too.
fn chosen(mut given: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let name = given.func.name();
    let compares = matches!(name, "greatest" | "least" | "nullif");
    if !compares || !given.args.iter().any(|arg| is_interval(arg, schema)) {
        return Ok(Transformed::no(Expr::ScalarFunction(given)));
    }
    let args = std::mem::take(&mut given.args);
    if name == "nullif" {
        if let [value, other] = args.as_slice()
            && let (Some(left), Some(right)) = (key(value.clone()), key(other.clone()))
        {
            let same = Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                Operator::Eq,
                Box::new(right),
            ));
            let nothing = Expr::Literal(ScalarValue::try_from(&value.get_type(schema)?)?, None);
            return Ok(Transformed::yes(Expr::Case(datafusion_expr::Case {
                expr: None,
                when_then_expr: vec![(Box::new(same), Box::new(nothing))],
                else_expr: Some(Box::new(value.clone())),
            })));
        }
        return not_impl_err!("`nullif` of intervals with these arguments");
    }
    let ours = if name == "greatest" {
        "greatest_interval"
    } else {
        "least_interval"
    };
    match call(ours, args) {
        Some(planned) => Ok(Transformed::yes(planned)),
        None => not_impl_err!("`{ours}`"),
    }
}

fn aggregated(mut given: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    refuse_lists(&given.params.order_by, schema)?;
    let mut changed = sorted(&mut given.params.order_by, schema)?;
    let of_interval = given
        .params
        .args
        .first()
        .is_some_and(|arg| is_interval(arg, schema));
    if of_interval {
        if given.params.distinct {
            return not_impl_err!(
                "`{}(distinct …)` of an interval; write `extract(epoch from x)` for it",
                given.func.name()
            );
        }
        if let Some(function) = longest(given.func.name()) {
            given.func = function;
            changed = true;
        }
    }
    let expr = Expr::AggregateFunction(given);
    Ok(if changed {
        Transformed::yes(expr)
    } else {
        Transformed::no(expr)
    })
}

fn windowed(mut given: Box<WindowFunction>, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if given
        .params
        .partition_by
        .iter()
        .any(|expr| is_interval(expr, schema))
    {
        return refused("PARTITION BY");
    }
    refuse_lists(&given.params.order_by, schema)?;
    let mut changed = sorted(&mut given.params.order_by, schema)?;
    let of_interval = given
        .params
        .args
        .first()
        .is_some_and(|arg| is_interval(arg, schema));
    if of_interval
        && let WindowFunctionDefinition::AggregateUDF(function) = &given.fun
        && let Some(function) = longest(function.name())
    {
        given.fun = WindowFunctionDefinition::AggregateUDF(function);
        changed = true;
    }
    let expr = Expr::WindowFunction(given);
    Ok(if changed {
        Transformed::yes(expr)
    } else {
        Transformed::no(expr)
    })
}

fn casted(cast: Cast, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let to = cast.field.data_type().clone();
    let Ok(given) = cast.expr.get_type(schema) else {
        return Ok(Transformed::no(Expr::Cast(cast)));
    };
    if given == DataType::Float64 && to == DataType::Float32 {
        let value = cast.expr.as_ref().clone();
        return wrapped(checked::IN_RANGE, vec![Expr::Cast(cast), value]);
    }
    Ok(match converted(&cast.expr, &given, &to, false)? {
        Some(expr) => Transformed::yes(expr),
        None => Transformed::no(Expr::Cast(cast)),
    })
}

fn try_casted(cast: TryCast, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let to = cast.field.data_type().clone();
    let Ok(given) = cast.expr.get_type(schema) else {
        return Ok(Transformed::no(Expr::TryCast(cast)));
    };
    Ok(match converted(&cast.expr, &given, &to, true)? {
        Some(expr) => Transformed::yes(expr),
        None => Transformed::no(Expr::TryCast(cast)),
    })
}

/// Rewrites a cast that Arrow would do differently.
fn converted(expr: &Expr, given: &DataType, to: &DataType, lenient: bool) -> Result<Option<Expr>> {
    if to.is_string() && is_written_otherwise(given) {
        let text = call(crate::functions::TEXT_OF, vec![expr.clone()]);
        return Ok(match to {
            DataType::Utf8 => text,
            other => text.map(|text| Expr::Cast(Cast::new(Box::new(text), other.clone()))),
        });
    }
    if let (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Timestamp(unit, _)) =
        (given, to)
        && matches!(unit, TimeUnit::Second | TimeUnit::Millisecond)
    {
        // The type of the second argument gives the unit.
        let whole = match unit {
            TimeUnit::Second => ScalarValue::Int32(Some(0)),
            _ => ScalarValue::Int64(Some(0)),
        };
        let rounded = call(
            checked::ROUND_MOMENT,
            vec![expr.clone(), Expr::Literal(whole, None)],
        );
        return Ok(rounded.map(|rounded| Expr::Cast(Cast::new(Box::new(rounded), to.clone()))));
    }
    if given.is_decimal() && to.is_floating() {
        return Ok(call(crate::functions::nearest_to(to), vec![expr.clone()]));
    }
    if given.is_string() && is_read_otherwise(to) {
        let text = match given {
            DataType::Utf8 => expr.clone(),
            _ => Expr::Cast(Cast::new(Box::new(expr.clone()), DataType::Utf8)),
        };
        let read = ScalarFunction::new_udf(reader(to, lenient), vec![text]);
        return Ok(Some(Expr::ScalarFunction(read)));
    }
    Ok(None)
}
