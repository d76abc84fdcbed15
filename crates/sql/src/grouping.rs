//! Moves expressions in ROLLUP, CUBE and GROUPING SETS into a projection below the aggregate.
//!
//! The planner finds the items of such a list by name, and rewriting changes names. So each expression
//! becomes a column of a projection below the aggregate, and a projection above it restores the names of
//! the result. It knows no table. It must run before other rewrites.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, Result};
use datafusion_expr::logical_plan::{Aggregate, Projection};
use datafusion_expr::{Expr, GroupingSet, LogicalPlan};

/// Rewrites a plan so that its grouping sets contain only columns.
///
/// # Errors
/// Those of rebuilding a node.
pub(crate) fn sets_of_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(groups) if computes(&groups) => {
            computed_below(groups).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn computes(groups: &Aggregate) -> bool {
    match groups.group_expr.as_slice() {
        [Expr::GroupingSet(set)] => {
            let parts = set.distinct_expr();
            parts.iter().any(|part| !matches!(part, Expr::Column(_)))
        }
        _ => false,
    }
}

fn computed_below(groups: Aggregate) -> Result<LogicalPlan> {
    let mut below = Below::default();
    let sets = groups.group_expr.into_iter().map(|key| match key {
        Expr::GroupingSet(set) => Expr::GroupingSet(below.set(set)),
        other => other,
    });
    let sets = sets.collect();
    let sums = groups.aggr_expr.into_iter().map(|sum| below.named_in(sum));
    let sums = sums.collect::<Result<_>>()?;
    let rows = groups.input.schema().columns().into_iter();
    let made = below.made.into_iter();
    let columns = rows
        .map(Expr::Column)
        .chain(made.map(|(expr, name)| expr.alias(name)));
    let input = Projection::try_new(columns.collect(), groups.input)?;
    let input = Arc::new(LogicalPlan::Projection(input));
    let made = Aggregate::try_new(input, sets, sums)?;
    let names = groups.schema.iter().zip(made.schema.iter());
    let names = names.filter(|((_, old), _)| old.name() != Aggregate::INTERNAL_GROUPING_ID);
    let renamed = names.map(|((table, old), (new_table, new))| {
        let column = Column::new(new_table.cloned(), new.name());
        match (table, old.name()) == (new_table, new.name()) {
            true => Expr::Column(column),
            false => Expr::Column(column).alias_qualified(table.cloned(), old.name()),
        }
    });
    let renamed = renamed.collect();
    let made = Arc::new(LogicalPlan::Aggregate(made));
    Ok(LogicalPlan::Projection(Projection::try_new(renamed, made)?))
}

/// The expressions that are computed below the aggregate, each once, with its name there.
#[derive(Default)]
struct Below {
    made: Vec<(Expr, String)>,
}

impl Below {
    fn set(&mut self, set: GroupingSet) -> GroupingSet {
        let mut list = |keys: Vec<Expr>| keys.into_iter().map(|key| self.key(key)).collect();
        match set {
            GroupingSet::Rollup(keys) => GroupingSet::Rollup(list(keys)),
            GroupingSet::Cube(keys) => GroupingSet::Cube(list(keys)),
            GroupingSet::GroupingSets(sets) => {
                GroupingSet::GroupingSets(sets.into_iter().map(list).collect())
            }
        }
    }

    fn key(&mut self, key: Expr) -> Expr {
        if let Expr::Column(_) = key {
            return key;
        }
        if let Some(known) = self.known(&key) {
            return known;
        }
        let name = format!("__group_{}", self.made.len() + 1);
        self.made.push((key, name.clone()));
        Expr::Column(Column::new_unqualified(name))
    }

    fn known(&self, key: &Expr) -> Option<Expr> {
        let (_, name) = self.made.iter().find(|(made, _)| made == key)?;
        Some(Expr::Column(Column::new_unqualified(name)))
    }

    /// Rewrites `grouping(x)`, whose argument is an item of the list, even if it is computed.
    fn named_in(&self, sum: Expr) -> Result<Expr> {
        sum.transform_down(|part| match part {
            Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
                for arg in &mut call.params.args {
                    if let Some(known) = self.known(arg) {
                        *arg = known;
                    }
                }
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}
