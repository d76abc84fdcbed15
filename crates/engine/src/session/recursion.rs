//! A recursive query ends after a number of rounds, instead of running until its time limit.
//!
//! Promise: a query whose recursive part still gives rows after `MOST_ROUNDS` rounds fails (R0525); one that
//! gives more rows in each round fails by its memory before. Queries of views count like others. It knows no
//! statement. Read next: `settings.rs`, which installs the rule.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use towpath_vocab::{Failure, Remedy};

use super::statement::carried;

/// The most rounds of a recursive query. Those of a test build take long.
const MOST_ROUNDS: u64 = if cfg!(test) { 10_000 } else { 1_000_000 };

/// Counts the rounds of every recursive query in a plan.
#[derive(Debug)]
pub(crate) struct BoundedRecursion;

impl PhysicalOptimizerRule for BoundedRecursion {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(query) = node.downcast_ref::<RecursiveQueryExec>() else {
                return Ok(Transformed::no(node));
            };
            let first = Arc::clone(query.static_term());
            let counted: Arc<dyn ExecutionPlan> = Arc::new(CountedRounds {
                name: query.name().to_owned(),
                round: Arc::clone(query.recursive_term()),
                begun: Arc::default(),
            });
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(vec![first, counted], options)
                .map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &str {
        "BoundedRecursion"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The recursive part of a query, which is executed once for each round.
#[derive(Debug)]
struct CountedRounds {
    name: String,
    round: Arc<dyn ExecutionPlan>,
    /// The rounds that have begun.
    begun: Arc<AtomicU64>,
}

impl DisplayAs for CountedRounds {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountedRounds: most={MOST_ROUNDS}")
    }
}

impl ExecutionPlan for CountedRounds {
    fn name(&self) -> &'static str {
        "CountedRounds"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.round.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.round]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// Each round resets the plan: the count goes on.
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([round]) => Ok(Arc::new(Self {
                name: self.name.clone(),
                round,
                begun: Arc::clone(&self.begun),
            })),
            Err(_) => Err(DataFusionError::Internal(
                "the rounds of a query have one plan".to_owned(),
            )),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if self.begun.fetch_add(1, Ordering::Relaxed) >= MOST_ROUNDS {
            return Err(carried(endless(&self.name)));
        }
        self.round.execute(partition, context)
    }
}

fn endless(name: &str) -> Failure {
    Failure::new(
        "R0525",
        Remedy::FixConfig,
        format!("the recursive query `{name}` still finds rows after {MOST_ROUNDS} rounds"),
    )
    .help("give its recursive part a condition under which it ends: `where n < 100`")
    .help("with `union` in place of `union all`, rows that were found before end it")
}
