//! Plans that would give other rows than PostgreSQL, because the engine compares intervals and lists otherwise.
//!
//! Promise: each is refused with an alternative. It changes nothing. Read next: `comparison.rs`.

use arrow_schema::DataType;
use datafusion_common::{DFSchema, Result, not_impl_err};
use datafusion_expr::expr::Sort;
use datafusion_expr::{Distinct, ExprSchemable, LogicalPlan};

use crate::comparison::is_interval;

/// Refuses a node whose rows would differ.
pub(crate) fn refuse(plan: &LogicalPlan) -> Result<()> {
    refuse_equal_intervals(plan)?;
    refuse_sorted_lists(plan)
}

/// Refuses plans that need equal intervals, because the engine does not treat intervals of equal length as
/// equal.
fn refuse_equal_intervals(plan: &LogicalPlan) -> Result<()> {
    let holds = |schema: &DFSchema| {
        schema
            .fields()
            .iter()
            .any(|field| matches!(field.data_type(), DataType::Interval(_)))
    };
    let what = match plan {
        LogicalPlan::Distinct(Distinct::All(input)) if holds(input.schema()) => "DISTINCT",
        LogicalPlan::Distinct(Distinct::On(on))
            if on
                .on_expr
                .iter()
                .any(|expr| is_interval(expr, on.input.schema())) =>
        {
            "DISTINCT ON"
        }
        LogicalPlan::Join(node)
            if node
                .on
                .iter()
                .any(|(left, _)| is_interval(left, node.left.schema())) =>
        {
            "a join by the value"
        }
        LogicalPlan::Aggregate(node)
            if node
                .group_expr
                .iter()
                .any(|expr| is_interval(expr, node.input.schema())) =>
        {
            "GROUP BY"
        }
        _ => return Ok(()),
    };
    refused(what)
}

/// Refuses the order of lists, in which NULL would sort before other items.
fn refuse_sorted_lists(plan: &LogicalPlan) -> Result<()> {
    match plan {
        LogicalPlan::Sort(node) => refuse_lists(&node.expr, node.input.schema()),
        _ => Ok(()),
    }
}

pub(crate) fn refuse_lists(sorts: &[Sort], schema: &DFSchema) -> Result<()> {
    let is_list = |sort: &Sort| {
        let given = sort.expr.get_type(schema);
        given.is_ok_and(|given| matches!(given, DataType::List(_) | DataType::LargeList(_)))
    };
    match sorts.iter().any(is_list) {
        true => not_impl_err!(
            "ORDER BY of a list: NULL would sort before other items; sort by its items or by `array_to_string(x, ',')`"
        ),
        false => Ok(()),
    }
}

pub(crate) fn refused<T>(what: &str) -> Result<T> {
    not_impl_err!("{what} of an interval; write `extract(epoch from x)` for it")
}
