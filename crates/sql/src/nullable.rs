//! A query that is used as a value is NULL if it has no row, also where its column is never NULL.
//!
//! The planner takes the column's nullability for that of the value. So a query that may have no row gets
//! `or_null` around its column, whose result may be NULL. Aggregates without groups always have a row and
//! stay as they are. It knows no table. It must run before type coercion.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, Result};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::Subquery;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::functions::OR_NULL;
use crate::operators::call;

/// Makes the values of queries nullable.
pub(crate) fn nullable_values(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_rigid(&plan)? {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|plan| {
        let plan = plan.recompute_schema()?;
        let names = NamePreserver::new(&plan);
        let changed = plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let changed = expression.transform_up(|part| match part {
                Expr::ScalarSubquery(query) if is_rigid(&query) => {
                    Ok(Transformed::yes(Expr::ScalarSubquery(softened(query)?)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(changed.update_data(|done| name.restore(done)))
        })?;
        match changed.transformed {
            true => changed.map_data(LogicalPlan::recompute_schema),
            false => Ok(changed),
        }
    })
    .data()
}

fn has_rigid(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| {
                Ok(matches!(part, Expr::ScalarSubquery(query) if is_rigid(query)))
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// True for a query that may have no row, with a column that is never NULL.
fn is_rigid(query: &Subquery) -> bool {
    let fields = query.subquery.schema().fields();
    fields.first().is_some_and(|field| !field.is_nullable()) && !has_a_row(&query.subquery)
}

fn has_a_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(node) => has_a_row(&node.input),
        LogicalPlan::SubqueryAlias(node) => has_a_row(&node.input),
        LogicalPlan::Sort(node) => node.fetch.is_none() && has_a_row(&node.input),
        LogicalPlan::Aggregate(node) => node.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(node) => node.produce_one_row,
        _ => false,
    }
}

fn softened(query: Subquery) -> Result<Subquery> {
    let first = Column::from(query.subquery.schema().qualified_field(0));
    let name = first.name.clone();
    let Some(value) = call(OR_NULL, vec![Expr::Column(first)]) else {
        return Ok(query);
    };
    let plan = LogicalPlanBuilder::from(query.subquery.as_ref().clone())
        .project(vec![value.alias(name)])?
        .build()?;
    Ok(Subquery {
        subquery: Arc::new(plan),
        ..query
    })
}
