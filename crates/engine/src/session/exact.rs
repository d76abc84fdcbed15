//! Whole-number arithmetic that leaves its type is an error, never a wrapped number.
//!
//! DataFusion lets `+`, `-` and `*` wrap around; PostgreSQL does not, and neither does this house.
//! The rule runs first, before expressions move into scans, and covers projections, filters, and keys
//! and arguments of aggregates; the adding inside `sum` is in `sum.rs`. What can still wrap around:
//! arithmetic of constants alone (`9223372036854775807 + 1`), which is folded before any plan stands,
//! also in `expression.rs`; unary minus of the smallest number; arithmetic inside a window's or a
//! join's own expressions.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, PhysicalGroupBy};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

type Result<T> = std::result::Result<T, DataFusionError>;

/// Makes arithmetic in plans fail instead of wrapping around.
#[derive(Debug)]
pub(crate) struct ExactArithmetic;

impl PhysicalOptimizerRule for ExactArithmetic {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(node).data()
    }

    fn name(&self) -> &'static str {
        "ExactArithmetic"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn node(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let changed: Arc<dyn ExecutionPlan> =
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            if !projection.expr().iter().any(|part| wraps(&part.expr)) {
                return Ok(Transformed::no(plan));
            }
            let expressions = projection
                .expr()
                .iter()
                .map(|part| {
                    Ok(ProjectionExpr {
                        expr: checked(Arc::clone(&part.expr))?,
                        alias: part.alias.clone(),
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            Arc::new(ProjectionExec::try_new(
                expressions,
                Arc::clone(projection.input()),
            )?)
        } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            if !wraps(filter.predicate()) {
                return Ok(Transformed::no(plan));
            }
            let predicate = checked(Arc::clone(filter.predicate()))?;
            Arc::new(
                FilterExecBuilder::from(filter)
                    .with_predicate(predicate)
                    .build()?,
            )
        } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
            match aggregation(aggregate)? {
                Some(changed) => changed,
                None => return Ok(Transformed::no(plan)),
            }
        } else {
            return Ok(Transformed::no(plan));
        };
    Ok(Transformed::yes(changed))
}

/// An aggregation whose keys and arguments fail instead of wrapping around; `None` when none could.
fn aggregation(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let keys = aggregate.group_expr();
    let keys_wrap = keys.groups().len() == 1 && keys.expr().iter().any(|(key, _)| wraps(key));
    if !keys_wrap
        && !aggregate
            .aggr_expr()
            .iter()
            .any(|function| function.expressions().iter().any(wraps))
    {
        return Ok(None);
    }
    let functions = aggregate
        .aggr_expr()
        .iter()
        .map(arguments)
        .collect::<Result<Vec<_>>>()?;
    if !keys_wrap {
        return Ok(Some(Arc::new(aggregate.with_new_aggr_exprs(functions))));
    }
    let keys = keys
        .expr()
        .iter()
        .map(|(key, name)| Ok((checked(Arc::clone(key))?, name.clone())));
    let changed = AggregateExec::try_new(
        *aggregate.mode(),
        PhysicalGroupBy::new_single(keys.collect::<Result<Vec<_>>>()?),
        functions,
        aggregate.filter_expr().to_vec(),
        Arc::clone(aggregate.input()),
        aggregate.input_schema(),
    )?;
    Ok(Some(Arc::new(
        changed.with_limit_options(aggregate.limit_options()),
    )))
}

/// An aggregate over arguments that fail instead of wrapping around.
fn arguments(function: &Arc<AggregateFunctionExpr>) -> Result<Arc<AggregateFunctionExpr>> {
    let arguments = function
        .expressions()
        .into_iter()
        .map(checked)
        .collect::<Result<Vec<_>>>()?;
    let order = function
        .order_bys()
        .iter()
        .map(|sort| Arc::clone(&sort.expr))
        .collect();
    Ok(match function.with_new_expressions(arguments, order) {
        Some(changed) => Arc::new(changed),
        None => Arc::clone(function),
    })
}

/// True when some part could wrap around.
fn wraps(expression: &Arc<dyn PhysicalExpr>) -> bool {
    // The closure never fails.
    expression
        .exists(|part| Ok(arithmetic(part).is_some()))
        .unwrap_or(true)
}

fn arithmetic(part: &Arc<dyn PhysicalExpr>) -> Option<&BinaryExpr> {
    let binary = part.downcast_ref::<BinaryExpr>()?;
    matches!(
        binary.op(),
        Operator::Plus | Operator::Minus | Operator::Multiply
    )
    .then_some(binary)
}

/// The expression with arithmetic that fails instead of wrapping around.
pub(crate) fn checked(expression: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    expression
        .transform_up(|part| {
            let Some(binary) = arithmetic(&part) else {
                return Ok(Transformed::no(part));
            };
            let failing: Arc<dyn PhysicalExpr> =
                Arc::new(binary.clone().with_fail_on_overflow(true));
            Ok(Transformed::yes(failing))
        })
        .data()
}
