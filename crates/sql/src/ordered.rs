//! Windows that are ordered by an interval; rewritten before type coercion.
//!
//! Promise: such a window is ordered by the length of the interval, which is a number, so its frame has a
//! supported type. It does not know sorts and comparisons; see `comparison.rs`.

use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::AnalyzerRule;

use crate::comparison::sorted;

/// Orders windows of intervals by their length.
#[derive(Debug)]
pub struct OrderedIntervals;

impl AnalyzerRule for OrderedIntervals {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            if !matches!(plan, LogicalPlan::Window(_)) {
                return Ok(Transformed::no(plan));
            }
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let changed = expression.transform_up(|part| match part {
                    Expr::WindowFunction(mut window) => {
                        let changed = sorted(&mut window.params.order_by, &schema)?;
                        let window = Expr::WindowFunction(window);
                        Ok(match changed {
                            true => Transformed::yes(window),
                            false => Transformed::no(window),
                        })
                    }
                    other => Ok(Transformed::no(other)),
                })?;
                Ok(changed.update_data(|done| name.restore(done)))
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "OrderedIntervals"
    }
}
