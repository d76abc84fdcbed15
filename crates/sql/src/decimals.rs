//! Literal fractions are computed as decimals: `3 * 0.1` is 0.3, as in PostgreSQL, where they are numeric.
//!
//! Promise: a fraction next to integers, decimals and other fractions is the decimal that was written, and so
//! is every sum, product, quotient, comparison, choice and average made of it, through subqueries and
//! aggregates. Next to floating point, and as an argument of a function that computes in floating point, it
//! is floating point. The columns of the result keep the types that they have in floating point: a column
//! without any other decimal in it is a double, the one nearest to the exact value. So no table changes its
//! types. A fraction that stands alone, one of more than sixteen digits after the point or beyond 38 digits, and
//! those of a statement with a recursive query, whose columns are fixed when it is planned, are floating
//! point. It knows no table. It must run before type coercion. Read next: `fractions.rs` (the digits of literals), `mixed.rs`.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::Values;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator,
    WindowFunctionDefinition,
};

use crate::combined::{one_type, with_types};
use crate::fractions::written;
use crate::rounding::compares;

/// Functions whose result has the type of their arguments, from the one at this place on.
const FOLLOWING: &[(&str, usize)] = &[
    ("abs", 0),
    ("ceil", 0),
    ("coalesce", 0),
    ("floor", 0),
    ("greatest", 0),
    ("ifnull", 0),
    ("iff", 1),
    ("least", 0),
    ("nullif", 0),
    ("nvl", 0),
    ("nvl2", 1),
    ("round", 0),
    ("trunc", 0),
    ("zeroifnull", 0),
];

/// Functions that take the text of their arguments.
const WRITING: &[&str] = &["concat", "concat_ws"];

/// Aggregates whose result has the type of their argument.
const AGGREGATING: &[&str] = &["avg", "max", "mean", "min", "sum"];

/// Aggregates that are numeric for integers.
const AVERAGING: &[&str] = &["avg", "mean"];

/// Next to which values a fraction is exact.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    /// At least one decimal. These columns are decimals in the result too.
    Decimals,
    /// Integers, decimals, NULL and other fractions.
    Numbers,
}

/// Rewrites a plan before type coercion: literal fractions are computed as decimals.
///
/// # Errors
/// Those of rebuilding a node.
pub(crate) fn exact_fractions(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_fractions(&plan)? {
        return Ok(plan);
    }
    let plan = rewritten(plan, Beside::Decimals)?;
    let fields = plan.schema().fields().iter();
    let given: Vec<DataType> = fields.map(|field| field.data_type().clone()).collect();
    let plan = map_nodes(plan, |expr, schema| {
        expr.transform_up(|part| in_floating_point(part, schema))
    })?;
    let plan = rewritten(plan, Beside::Numbers)?;
    let becomes = |at: usize, now: &DataType| {
        let given = given.get(at)?;
        (given.is_floating() && now.is_decimal()).then(|| given.clone())
    };
    let types: Vec<Option<DataType>> = plan
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| becomes(at, field.data_type()))
        .collect();
    if types.iter().all(Option::is_none) {
        return Ok(plan);
    }
    with_types(Arc::new(plan), |at| types.get(at).cloned().flatten())
}

fn rewritten(plan: LogicalPlan, next_to: Beside) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let mut plan = plan.recompute_schema()?;
        if next_to == Beside::Numbers {
            plan = around_queries(values(plan)?)?;
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let changed = plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let changed = in_decimals(expression, &schema, next_to)?;
            Ok(changed.update_data(|done| name.restore(done)))
        })?;
        let changed = changed.transform_data(one_type)?;
        changed.map_data(LogicalPlan::recompute_schema)
    })
    .data()
}

/// The same for one expression.
pub(crate) fn exact(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    let expression = in_decimals(expression, schema, Beside::Decimals)?.data;
    let given = expression.get_type(schema);
    let expression = expression
        .transform_up(|part| in_floating_point(part, schema))
        .data()?;
    let exact = in_decimals(expression, schema, Beside::Numbers)?.data;
    Ok(match (given, exact.get_type(schema)) {
        (Ok(given), Ok(now)) if given.is_floating() && now.is_decimal() => cast(exact, given),
        _ => exact,
    })
}

fn cast(value: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(value), to))
}

/// Whether a plan has fractions or averages to rewrite. False if one is recursive.
fn has_fractions(plan: &LogicalPlan) -> Result<bool> {
    let (mut found, mut settled) = (false, false);
    plan.apply_with_subqueries(|node| {
        settled |= matches!(node, LogicalPlan::RecursiveQuery(_));
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| {
                Ok(match part {
                    Expr::Literal(ScalarValue::Float64(Some(_)), _) => true,
                    Expr::AggregateFunction(call) => AVERAGING.contains(&call.func.name()),
                    Expr::WindowFunction(call) => AVERAGING.contains(&call.fun.name()),
                    _ => false,
                })
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found && !settled)
}

/// Rewrites each expression of each node; names and types stay the same.
fn map_nodes(
    plan: LogicalPlan,
    rewrite: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            Ok(rewrite(expression, &schema)?.update_data(|done| name.restore(done)))
        })
    })
    .data()
}

/// Keeps the arguments of functions that compute in floating point as they are.
fn in_floating_point(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let follows =
        |name: &str| WRITING.contains(&name) || FOLLOWING.iter().any(|(known, _)| *known == name);
    let kept = |arg: &mut Expr| {
        let given = match arg.get_type(schema) {
            Ok(given) if given.is_floating() && !is_literal(arg) => given,
            _ => return false,
        };
        *arg = cast(std::mem::take(arg), given);
        true
    };
    let each = |args: &mut Vec<Expr>| args.iter_mut().map(kept).fold(false, |a, b| a | b);
    Ok(match part {
        Expr::ScalarFunction(mut call) if !follows(call.func.name()) => {
            let done = each(&mut call.args);
            Transformed::new_transformed(Expr::ScalarFunction(call), done)
        }
        Expr::AggregateFunction(mut call) if !AGGREGATING.contains(&call.func.name()) => {
            let done = each(&mut call.params.args);
            Transformed::new_transformed(Expr::AggregateFunction(call), done)
        }
        Expr::WindowFunction(mut call) => {
            let follows = match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    AGGREGATING.contains(&function.name())
                }
                WindowFunctionDefinition::WindowUDF(_) => false,
            };
            let done = !follows && each(&mut call.params.args);
            Transformed::new_transformed(Expr::WindowFunction(call), done)
        }
        other => Transformed::no(other),
    })
}

/// True for a literal, also below a sign.
fn is_literal(value: &Expr) -> bool {
    match value {
        Expr::Literal(..) => true,
        Expr::Negative(inner) => is_literal(inner),
        _ => false,
    }
}

/// The columns of the row around a query may be decimals now.
fn around_queries(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = merge_schema(&plan.inputs());
    let plan = plan
        .map_subqueries(|query| read_around(query, &schema))
        .data()?;
    let LogicalPlan::Join(mut join) = plan else {
        return Ok(plan);
    };
    if !is_lateral(&join.right) {
        return Ok(LogicalPlan::Join(join));
    }
    let right = read_around(join.right.as_ref().clone(), join.left.schema())?;
    join.right = Arc::new(right.data);
    LogicalPlan::Join(join).recompute_schema()
}

fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(query) => !query.outer_ref_columns.is_empty(),
        LogicalPlan::SubqueryAlias(alias) => is_lateral(&alias.input),
        _ => false,
    }
}

fn read_around(query: LogicalPlan, around: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    let outer = |part: Expr| {
        let Expr::OuterReferenceColumn(field, column) = part else {
            return Ok(Transformed::no(part));
        };
        let now = around
            .maybe_index_of_column(&column)
            .map(|at| Arc::clone(around.field(at)))
            .filter(|now| now.data_type() != field.data_type());
        Ok(match now {
            Some(now) => Transformed::yes(Expr::OuterReferenceColumn(now, column)),
            None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
        })
    };
    query.transform_up_with_subqueries(|mut node| {
        if let LogicalPlan::Subquery(query) = &mut node {
            for column in &mut query.outer_ref_columns {
                *column = std::mem::take(column).transform_up(outer).data()?;
            }
        }
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expression| {
            let name = names.save(&expression);
            let changed = expression.transform_up(outer)?;
            Ok(changed.update_data(|done| name.restore(done)))
        })?;
        changed.map_data(LogicalPlan::recompute_schema)
    })
}

fn in_decimals(expression: Expr, schema: &DFSchema, next_to: Beside) -> Result<Transformed<Expr>> {
    expression.transform_up(|part| {
        Ok(match part {
            Expr::Cast(mut cast) if cast.field.data_type().is_decimal() => {
                let done = take_exactly(&mut cast.expr);
                Transformed::new_transformed(Expr::Cast(cast), done)
            }
            Expr::TryCast(mut cast) if cast.field.data_type().is_decimal() => {
                let done = take_exactly(&mut cast.expr);
                Transformed::new_transformed(Expr::TryCast(cast), done)
            }
            Expr::BinaryExpr(sum) if computes(sum.op) => {
                let mut exact = sum.clone();
                let sides = [&mut *exact.left, &mut *exact.right];
                let done = beside(sides, schema, next_to) && has_room(&exact, schema);
                let chosen = if done { exact } else { sum };
                Transformed::new_transformed(Expr::BinaryExpr(chosen), done)
            }
            Expr::Between(mut test) => {
                let sides = [&mut *test.expr, &mut *test.low, &mut *test.high];
                let done = beside(sides, schema, next_to);
                Transformed::new_transformed(Expr::Between(test), done)
            }
            Expr::InList(mut test) => {
                let all = std::iter::once(&mut *test.expr).chain(&mut test.list);
                let done = beside(all, schema, next_to);
                Transformed::new_transformed(Expr::InList(test), done)
            }
            Expr::Case(mut case) => {
                let then = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
                let then = then.chain(case.else_expr.as_deref_mut());
                let mut done = beside(then, schema, next_to);
                if let Some(subject) = case.expr.as_deref_mut() {
                    let when = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
                    done |= beside(std::iter::once(subject).chain(when), schema, next_to);
                }
                Transformed::new_transformed(Expr::Case(case), done)
            }
            Expr::AggregateFunction(mut call) if AVERAGING.contains(&call.func.name()) => {
                let done = next_to == Beside::Numbers && of_integers(&mut call.params.args, schema);
                Transformed::new_transformed(Expr::AggregateFunction(call), done)
            }
            Expr::WindowFunction(mut call) if AVERAGING.contains(&call.fun.name()) => {
                let done = next_to == Beside::Numbers && of_integers(&mut call.params.args, schema);
                Transformed::new_transformed(Expr::WindowFunction(call), done)
            }
            Expr::ScalarFunction(mut call) => {
                let named = |(name, _): &&(&str, usize)| *name == call.func.name();
                let done = match FOLLOWING.iter().find(named) {
                    Some((_, from)) => beside(call.args.iter_mut().skip(*from), schema, next_to),
                    None => false,
                };
                Transformed::new_transformed(Expr::ScalarFunction(call), done)
            }
            other => Transformed::no(other),
        })
    })
}

/// The average of integers is that of decimals.
fn of_integers(args: &mut [Expr], schema: &DFSchema) -> bool {
    let Some(arg) = args.first_mut() else {
        return false;
    };
    let digits = match arg.get_type(schema) {
        Ok(DataType::Int8 | DataType::UInt8) => 3,
        Ok(DataType::Int16 | DataType::UInt16) => 5,
        Ok(DataType::Int32 | DataType::UInt32) => 10,
        Ok(DataType::Int64) => 19,
        Ok(DataType::UInt64) => 20,
        _ => return false,
    };
    *arg = cast(std::mem::take(arg), DataType::Decimal128(digits, 0));
    true
}

fn computes(operator: Operator) -> bool {
    let divides = matches!(operator, Operator::Divide | Operator::Modulo);
    divides || adds_up(operator) || compares(operator)
}

fn adds_up(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Plus | Operator::Minus | Operator::Multiply
    )
}

/// False for a product with more places than a decimal has: it stays floating point.
fn has_room(operation: &BinaryExpr, schema: &DFSchema) -> bool {
    operation.op != Operator::Multiply
        || Expr::BinaryExpr(operation.clone()).get_type(schema).is_ok()
}

/// Makes literal fractions among values exact, if the others are of the right kind.
fn beside<'e>(
    values: impl IntoIterator<Item = &'e mut Expr>,
    schema: &DFSchema,
    next_to: Beside,
) -> bool {
    let mut fractions = Vec::new();
    let mut decimal = false;
    for value in values {
        if let Some(exact) = as_decimal(value).filter(|_| holds_fraction(value)) {
            fractions.push((value, exact));
            continue;
        }
        match value.get_type(schema) {
            Ok(given) if given.is_decimal() => decimal = true,
            Ok(given) if given.is_integer() || given.is_null() => {}
            Ok(given) if next_to == Beside::Decimals && !given.is_floating() => {}
            _ => return false,
        }
    }
    if fractions.is_empty() || (next_to == Beside::Decimals && !decimal) {
        return false;
    }
    for (value, exact) in fractions {
        *value = exact;
    }
    true
}

fn take_exactly(value: &mut Expr) -> bool {
    match as_decimal(value).filter(|_| holds_fraction(value)) {
        Some(exact) => {
            *value = exact;
            true
        }
        None => false,
    }
}

fn holds_fraction(value: &Expr) -> bool {
    match value {
        Expr::Literal(ScalarValue::Float64(Some(_)), _) => true,
        Expr::Negative(inner) => holds_fraction(inner),
        Expr::BinaryExpr(sum) => holds_fraction(&sum.left) || holds_fraction(&sum.right),
        _ => false,
    }
}

/// A literal number, or a sum or product of literals, as a decimal.
fn as_decimal(value: &Expr) -> Option<Expr> {
    Some(match value {
        Expr::Literal(ScalarValue::Float64(Some(number)), metadata) => {
            Expr::Literal(written(*number)?, metadata.clone())
        }
        Expr::Literal(ScalarValue::Int64(Some(_)), _) => value.clone(),
        Expr::Negative(inner) => Expr::Negative(Box::new(as_decimal(inner)?)),
        Expr::BinaryExpr(sum) if adds_up(sum.op) => {
            let (left, right) = (as_decimal(&sum.left)?, as_decimal(&sum.right)?);
            let exact = BinaryExpr::new(Box::new(left), sum.op, Box::new(right));
            if !has_room(&exact, &DFSchema::empty()) {
                return None;
            }
            Expr::BinaryExpr(exact)
        }
        _ => return None,
    })
}

/// Makes the columns of a list of values exact that have only fractions and NULL in them.
fn values(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Values(Values { schema, values }) = plan else {
        return Ok(plan);
    };
    let mut rows = values.clone();
    let mut done = false;
    for at in 0..schema.fields().len() {
        let cells = || values.iter().filter_map(move |row| row.get(at));
        let fits = |cell: &Expr| match cell {
            Expr::Literal(value, _) if value.is_null() => true,
            other => holds_fraction(other) && as_decimal(other).is_some(),
        };
        if !cells().all(fits) || !cells().any(holds_fraction) {
            continue;
        }
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(at)) {
            *cell = as_decimal(cell).unwrap_or(Expr::Literal(ScalarValue::Null, None));
        }
        done = true;
    }
    match done {
        true => LogicalPlanBuilder::values(rows)?.build(),
        false => Ok(LogicalPlan::Values(Values { schema, values })),
    }
}
