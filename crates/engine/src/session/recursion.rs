//! Ends recursive queries that do not end themselves.
//!
//! Promise: a recursive query may go `MOST_ROUNDS` rounds, however few rows each of them gives; then it
//! fails with R0527. A query inside the recursive part of another one counts its rounds anew each time. Rows that grow from round to round are limited by the memory pool, as everywhere. It
//! knows no statement. Read next: `../query.rs`, which asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use towpath_vocab::{Failure, Remedy};

use super::statement::carried;

type Result<T> = std::result::Result<T, DataFusionError>;

/// The most rounds of one recursive query; fewer in tests, where each takes longer.
const MOST_ROUNDS: u64 = if cfg!(test) { 500 } else { 10_000_000 };

/// A plan whose recursive queries end.
pub(crate) fn bounded(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|plan| {
        let Some(query) = plan.downcast_ref::<RecursiveQueryExec>() else {
            return Ok(Transformed::no(plan));
        };
        let rounds = Arc::default();
        let counted = |part, inner: &Arc<dyn ExecutionPlan>| {
            Arc::new(CountedRounds {
                part,
                name: query.name().to_owned(),
                inner: Arc::clone(inner),
                rounds: Arc::clone(&rounds),
            })
        };
        let counted = RecursiveQueryExec::try_new(
            query.name().to_owned(),
            plan.schema(),
            counted(Part::Start, query.static_term()),
            counted(Part::Round, query.recursive_term()),
            query.is_distinct(),
        )?;
        Ok(Transformed::yes(Arc::new(counted) as Arc<dyn ExecutionPlan>))
    })
    .data()
}

fn endless(name: &str) -> Failure {
    let message = format!("`{name}` has gone {MOST_ROUNDS} rounds without an end");
    Failure::new("R0527", Remedy::FixConfig, message)
        .help("give it a condition under which no row follows: `where depth < 100`")
        .help("`union` instead of `union all` ends a walk that comes back to rows that it has seen")
        .help("for a long series of numbers or days: `generate_series(first, last)`")
}

/// The parts of a recursive query.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// It is executed once, before the rounds.
    Start,
    /// It is executed once for each round.
    Round,
}

/// A part of a recursive query. Before each round DataFusion resets the recursive part with all queries in
/// it, so both parts keep one counter then, and only the start of a query sets it to zero.
#[derive(Debug)]
struct CountedRounds {
    part: Part,
    name: String,
    inner: Arc<dyn ExecutionPlan>,
    rounds: Arc<AtomicU64>,
}

impl DisplayAs for CountedRounds {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, part, .. } = self;
        write!(
            f,
            "CountedRounds: name={name}, part={part:?}, most={MOST_ROUNDS}"
        )
    }
}

impl ExecutionPlan for CountedRounds {
    fn name(&self) -> &'static str {
        "CountedRounds"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = children.into_iter().next();
        Ok(Arc::new(Self {
            part: self.part,
            name: self.name.clone(),
            inner: inner.unwrap_or_else(|| Arc::clone(&self.inner)),
            rounds: Arc::clone(&self.rounds),
        }))
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
        match self.part {
            Part::Start => self.rounds.store(0, Ordering::Relaxed),
            Part::Round if self.rounds.fetch_add(1, Ordering::Relaxed) >= MOST_ROUNDS => {
                return Err(carried(endless(&self.name)));
            }
            Part::Round => {}
        }
        self.inner.execute(partition, context)
    }
}
