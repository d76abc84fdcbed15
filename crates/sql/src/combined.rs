//! One type for values that are compared, chosen from, or put together by a set operation or a join.
//!
//! Promise: a date next to a timestamp is a timestamp of microseconds, which holds every date up to the
//! year 9999; the planner's nanoseconds end in 2262. A decimal next to floating point is floating point. The
//! column that `USING` merges has one type on both sides. A set operation of a text and another type is
//! refused, unless the text is a literal that the other type can hold. It must run before type coercion. It
//! knows no expression; see `mixed.rs`, which asks for the type.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{
    Column, DFSchema, JoinConstraint, JoinType, NullEquality, Result, ScalarValue, plan_err,
};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::logical_plan::{Join, Projection, Subquery, Union, Values};
use datafusion_expr::type_coercion::binary::{comparison_coercion, type_union_coercion};
use datafusion_expr::{Cast, Expr, ExprSchemable, LogicalPlan};

use crate::fractions::exact_type;
use crate::mixed::{is_simple, readable};

/// The type that values of these types have together, where the planner would choose another one.
pub(crate) fn together(types: &[DataType]) -> Option<DataType> {
    moments(types).or_else(|| {
        let floats = types.iter().any(DataType::is_floating);
        let decimals = types.iter().any(DataType::is_decimal);
        (floats && decimals).then_some(DataType::Float64)
    })
}

/// A timestamp of microseconds, if there are dates or shorter units next to a timestamp.
fn moments(types: &[DataType]) -> Option<DataType> {
    let timestamps = || types.iter().filter(|given| is_timestamp(given));
    let zone = timestamps().find_map(|given| match given {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    });
    let is_long = |given: &DataType| matches!(given, DataType::Timestamp(TimeUnit::Nanosecond, _));
    timestamps().next()?;
    let dates = types.contains(&DataType::Date32);
    let mixed = timestamps().any(is_long) && !timestamps().all(is_long);
    (dates || mixed).then_some(DataType::Timestamp(TimeUnit::Microsecond, zone))
}

pub(crate) fn is_timestamp(given: &DataType) -> bool {
    matches!(given, DataType::Timestamp(..))
}

/// True for a type whose values change their form when they become `both`.
pub(crate) fn changes(given: &DataType, both: &DataType) -> bool {
    match both {
        DataType::Timestamp(..) => {
            given != both && (is_timestamp(given) || *given == DataType::Date32)
        }
        _ => given.is_decimal(),
    }
}

fn cast(value: Expr, to: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(value), to.clone()))
}

/// Functions of lists with items of one type, and values of that type.
const OF_ITEMS: &[&str] = &[
    "array_append",
    "array_concat",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_replace",
    "array_union",
    "arrays_overlap",
];

/// Gives the items of lists, and values next to them, one type. True if something changed.
pub(crate) fn of_lists(call: &mut ScalarFunction, schema: &DFSchema) -> bool {
    if !OF_ITEMS.contains(&call.func.name()) {
        return false;
    }
    let types = call.args.iter().map(|arg| arg.get_type(schema));
    let Ok(types) = types.collect::<Result<Vec<DataType>>>() else {
        return false;
    };
    let item = |given: &DataType| match given {
        DataType::List(item) => item.data_type().clone(),
        other => other.clone(),
    };
    let items: Vec<DataType> = types.iter().map(item).collect();
    let Some(both) = together(&items) else {
        return false;
    };
    for ((arg, given), item) in call.args.iter_mut().zip(&types).zip(&items) {
        let to = match given {
            _ if !changes(item, &both) => continue,
            DataType::List(field) => {
                let field = field.as_ref().clone().with_data_type(both.clone());
                DataType::List(Arc::new(field))
            }
            _ => both.clone(),
        };
        *arg = cast(std::mem::take(arg), &to);
    }
    true
}

/// Gives the two sides of a comparison with the rows of a query one type. True if something changed.
pub(crate) fn with_query(
    value: &mut Expr,
    query: &mut Subquery,
    schema: &DFSchema,
) -> Result<bool> {
    let fields = query.subquery.schema().fields();
    let (Ok(left), Some(field)) = (value.get_type(schema), fields.first()) else {
        return Ok(false);
    };
    let right = field.data_type().clone();
    let Some(both) = together(&[left.clone(), right.clone()]) else {
        return Ok(false);
    };
    if changes(&left, &both) {
        *value = cast(std::mem::take(value), &both);
    }
    if changes(&right, &both) {
        let wanted = |at: usize| (at == 0).then(|| both.clone());
        query.subquery = Arc::new(with_types(Arc::clone(&query.subquery), wanted)?);
    }
    Ok(true)
}

/// Gives the columns that a node puts together one type.
pub(crate) fn one_type(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Union(union) => united(union),
        LogicalPlan::Join(join) => joined(join),
        LogicalPlan::Values(values) => listed(values),
        other => Ok(Transformed::no(other)),
    }
}

/// A plan whose columns have these types; `None` for those that keep theirs.
pub(crate) fn with_types(
    plan: Arc<LogicalPlan>,
    wanted: impl Fn(usize) -> Option<DataType>,
) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let columns = schema.iter().enumerate().map(|(at, (qualifier, field))| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match wanted(at).filter(|wanted| wanted != field.data_type()) {
            Some(wanted) => cast(column, &wanted).alias_qualified(qualifier.cloned(), field.name()),
            None => column,
        }
    });
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, plan)?))
}

fn united(union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    let same_width = |input: &Arc<LogicalPlan>| input.schema().fields().len() == width;
    if !union.inputs.iter().all(same_width) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    // `UNION BY NAME` gives its inputs the types of the first one.
    let inputs = union.inputs.iter().map(|input| match input.as_ref() {
        LogicalPlan::Projection(node) => {
            let node = Projection::try_new(node.expr.clone(), Arc::clone(&node.input))?;
            Ok(Arc::new(LogicalPlan::Projection(node)))
        }
        _ => Ok(Arc::clone(input)),
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let mut wanted: Vec<Option<DataType>> = Vec::with_capacity(width);
    for at in 0..width {
        wanted.push(united_column(&inputs, at)?);
    }
    let is_stale = inputs
        .first()
        .is_some_and(|first| types(first.schema()).ne(types(&union.schema)));
    if wanted.iter().all(Option::is_none) && !is_stale {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = inputs.into_iter().map(|input| {
        let differs = types(input.schema())
            .zip(&wanted)
            .any(|(given, wanted)| wanted.as_ref().is_some_and(|wanted| wanted != given));
        match differs {
            true => with_types(input, |at| wanted.get(at).cloned().flatten()).map(Arc::new),
            false => Ok(input),
        }
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let union = Union::try_new_with_loose_types(inputs)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

fn types(schema: &DFSchema) -> impl Iterator<Item = &DataType> {
    schema.fields().iter().map(|field| field.data_type())
}

/// The type of one column of a union, if the inputs have to be cast to it.
fn united_column(inputs: &[Arc<LogicalPlan>], at: usize) -> Result<Option<DataType>> {
    let plain = |input: &Arc<LogicalPlan>| types(input.schema()).nth(at).cloned();
    let plain: Vec<DataType> = inputs.iter().filter_map(plain).collect();
    let Some(other) = plain.iter().find(|given| is_simple(given)) else {
        return Ok(None);
    };
    if !plain.iter().any(DataType::is_string) {
        return Ok(of_numbers(inputs, at, &plain));
    }
    let Some(both) = together(&plain).or_else(|| widest(&plain)) else {
        return Ok(None);
    };
    for (input, given) in inputs.iter().zip(&plain) {
        match literal(input, at) {
            _ if !given.is_string() => {}
            Some(text @ ScalarValue::Utf8(Some(_))) => {
                readable(&Expr::Literal(text, None), &both)?;
            }
            _ => {
                return plan_err!(
                    "UNION types text and {other} cannot be matched; cast one of them"
                );
            }
        }
    }
    Ok(Some(both))
}

/// The type of a column without text. A literal fraction next to a decimal is a decimal.
fn of_numbers(inputs: &[Arc<LogicalPlan>], at: usize, plain: &[DataType]) -> Option<DataType> {
    let mut given = plain.to_vec();
    if plain.iter().any(DataType::is_decimal) {
        for (input, given) in inputs.iter().zip(&mut given) {
            let exact = literal(input, at).and_then(|value| exact_type(&value));
            *given = exact.unwrap_or_else(|| given.clone());
        }
    }
    let numbers = given
        .iter()
        .all(|given| given.is_numeric() || given.is_null());
    let differ = plain.windows(2).any(|pair| pair[0] != pair[1]);
    together(&given).or_else(|| widest(&given).filter(|_| numbers && differ))
}

/// The type that holds the values of all types but text.
fn widest(types: &[DataType]) -> Option<DataType> {
    let mut simple = types.iter().filter(|given| is_simple(given));
    let first = simple.next()?.clone();
    simple.try_fold(first, |one, next| type_union_coercion(&one, next))
}

/// The literal that is a column of a query.
fn literal(plan: &LogicalPlan, at: usize) -> Option<ScalarValue> {
    match plan {
        LogicalPlan::Projection(node) => {
            let mut expr = node.expr.get(at)?;
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            match expr {
                Expr::Literal(value, _) => Some(value.clone()),
                Expr::Column(column) => literal(&node.input, place(node.input.schema(), column)?),
                _ => None,
            }
        }
        LogicalPlan::Distinct(node) => literal(node.input(), at),
        LogicalPlan::Sort(node) => literal(&node.input, at),
        LogicalPlan::Limit(node) => literal(&node.input, at),
        LogicalPlan::SubqueryAlias(node) => literal(&node.input, at),
        _ => None,
    }
}

fn joined(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let merges = join.join_constraint == JoinConstraint::Using || is_set_operation(&join);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut changed = false;
    for (one, other) in &mut join.on {
        let (Ok(given), Ok(wanted)) = (
            one.get_type(join.left.schema()),
            other.get_type(join.right.schema()),
        ) else {
            continue;
        };
        if given == wanted {
            continue;
        }
        let numbers = given.is_numeric() && wanted.is_numeric() && merges;
        let widest = || comparison_coercion(&given, &wanted).filter(|_| numbers);
        let Some(both) = together(&[given.clone(), wanted.clone()]).or_else(widest) else {
            continue;
        };
        if let (true, Expr::Column(key), Expr::Column(other)) = (merges, &*one, &*other) {
            left.extend(place(join.left.schema(), key).map(|at| (at, both.clone())));
            right.extend(place(join.right.schema(), other).map(|at| (at, both.clone())));
            continue;
        }
        for (side, given) in [(one, given), (other, wanted)] {
            if changes(&given, &both) {
                *side = cast(std::mem::take(side), &both);
                changed = true;
            }
        }
    }
    if left.is_empty() && right.is_empty() {
        return Ok(Transformed::new_transformed(
            LogicalPlan::Join(join),
            changed,
        ));
    }
    let of = |keys: Vec<(usize, DataType)>| {
        move |at: usize| {
            let mut keys = keys.iter();
            keys.find(|(key, _)| *key == at).map(|(_, to)| to.clone())
        }
    };
    join.left = Arc::new(with_types(join.left, of(left))?);
    join.right = Arc::new(with_types(join.right, of(right))?);
    let join = LogicalPlan::Join(join).recompute_schema()?;
    Ok(Transformed::yes(join))
}

/// True for the join that the planner makes of INTERSECT or EXCEPT.
fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
}

fn place(schema: &DFSchema, column: &Column) -> Option<usize> {
    schema.maybe_index_of_column(column)
}

/// The planner has given the values of a column one type: timestamps of nanoseconds become shorter.
fn listed(mut values: Values) -> Result<Transformed<LogicalPlan>> {
    let mut short = vec![None; values.schema.fields().len()];
    for (at, field) in values.schema.fields().iter().enumerate() {
        let DataType::Timestamp(TimeUnit::Nanosecond, zone) = field.data_type() else {
            continue;
        };
        let mut column = values.values.iter().filter_map(|row| row.get(at));
        if column.all(|value| is_lengthened(value, &values.schema)) {
            short[at] = Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()));
        }
    }
    if short.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Values(values)));
    }
    for row in &mut values.values {
        for (value, to) in row.iter_mut().zip(&short) {
            let Some(to) = to else { continue };
            *value = match std::mem::take(value) {
                Expr::Cast(made) => cast(*made.expr, to),
                Expr::Literal(_, metadata) => Expr::Literal(ScalarValue::try_from(to)?, metadata),
                other => other,
            };
        }
    }
    let fields = values
        .schema
        .iter()
        .zip(&short)
        .map(|((qualifier, field), to)| {
            let field = match to {
                Some(to) => Arc::new(field.as_ref().clone().with_data_type(to.clone())),
                None => Arc::clone(field),
            };
            (qualifier.cloned(), field)
        });
    let metadata = values.schema.metadata().clone();
    let schema = DFSchema::new_with_metadata(fields.collect(), metadata)?;
    values.schema = Arc::new(schema);
    Ok(Transformed::yes(LogicalPlan::Values(values)))
}

/// True for NULL, and for a date or a shorter timestamp that the planner has cast.
fn is_lengthened(value: &Expr, schema: &DFSchema) -> bool {
    match value {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => cast.expr.get_type(schema).is_ok_and(|given| {
            given.is_null()
                || given == DataType::Date32
                || matches!(given, DataType::Timestamp(unit, _) if unit != TimeUnit::Nanosecond)
        }),
        _ => false,
    }
}
