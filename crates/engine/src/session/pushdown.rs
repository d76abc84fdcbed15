//! Keeps conditions from being pushed down to the wrong one of two columns that have the same name.
//!
//! Promise: a condition passes a plan with such columns only if each column of it has a name of its own there.
//! DataFusion finds the columns of a condition that it pushes down by their names, so that of `a.id` and
//! `b.id` below one join it would take the first. A condition that does not pass is tested above, where it
//! stood. It knows no statement. Read next: `settings.rs`, which installs the rules.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, FilterDescription, FilterPushdownPhase,
};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

type Result<T> = std::result::Result<T, DataFusionError>;
type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rules, with limits around those that push conditions down.
pub(crate) fn rules() -> Vec<Rule> {
    let rules = PhysicalOptimizer::new().rules;
    rules
        .into_iter()
        .map(|rule| match pushes_down(&rule) {
            true => Arc::new(ByUniqueName(rule)) as Rule,
            false => rule,
        })
        .collect()
}

fn pushes_down(rule: &Rule) -> bool {
    (rule.as_ref() as &dyn std::any::Any).is::<FilterPushdown>()
}

/// A rule that pushes conditions down, where their columns have names of their own.
#[derive(Debug)]
struct ByUniqueName(Rule);

impl PhysicalOptimizerRule for ByUniqueName {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !plan.exists(|plan| Ok(finds_by_name(plan)))? {
            return self.0.optimize(plan, config);
        }
        let gated = plan.transform_up(|plan| {
            Ok(match finds_by_name(&plan) {
                true => Transformed::yes(Arc::new(Gate(plan)) as Arc<dyn ExecutionPlan>),
                false => Transformed::no(plan),
            })
        });
        let pushed = self.0.optimize(gated.data()?, config)?;
        let opened = pushed.transform_up(|plan| {
            Ok(match plan.downcast_ref::<Gate>() {
                Some(gate) => Transformed::yes(Arc::clone(&gate.0)),
                None => Transformed::no(plan),
            })
        });
        opened.data()
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether a condition that enters this plan could be given to another column of the same name.
fn finds_by_name(plan: &Arc<dyn ExecutionPlan>) -> bool {
    // A hash join knows by position which of its columns comes from which side.
    let own = !plan.is::<HashJoinExec>() && repeats(&plan.schema());
    own || plan.children().iter().any(|child| repeats(&child.schema()))
}

fn repeats(schema: &Schema) -> bool {
    let mut seen = HashSet::new();
    !schema
        .fields()
        .iter()
        .all(|field| seen.insert(field.name()))
}

/// Stands above a plan while a rule runs, and lets only conditions pass whose columns have unique names.
#[derive(Debug)]
struct Gate(Arc<dyn ExecutionPlan>);

impl Gate {
    /// The columns whose names occur once in the plan and at most once in each of its inputs.
    fn passing(&self) -> HashSet<usize> {
        let schema = self.0.schema();
        let inputs = self.0.children();
        let count = |schema: &Schema, name: &str| {
            let fields = schema.fields().iter();
            fields.filter(|field| field.name() == name).count()
        };
        let fields = schema.fields().iter().enumerate();
        fields
            .filter(|(_, field)| {
                let name = field.name();
                let in_inputs = inputs.iter().all(|input| count(&input.schema(), name) <= 1);
                in_inputs && count(&schema, name) == 1
            })
            .map(|(at, _)| at)
            .collect()
    }
}

impl DisplayAs for Gate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate")
    }
}

impl ExecutionPlan for Gate {
    fn name(&self) -> &'static str {
        "Gate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
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
        Ok(Arc::new(Self(inner.unwrap_or_else(|| Arc::clone(&self.0)))))
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
        self.0.execute(partition, context)
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let passing = ChildFilterDescription::from_child_with_allowed_indices(
            &parent_filters,
            self.passing(),
            &self.0,
        )?;
        Ok(FilterDescription::new().with_child(passing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_that_pushes_conditions_down_is_limited() {
        let plain = PhysicalOptimizer::new().rules;
        let named = |rules: &[Rule]| {
            let names: Vec<String> = rules.iter().map(|rule| rule.name().to_owned()).collect();
            names
        };
        assert_eq!(named(&rules()), named(&plain));
        let limited: Vec<String> = rules()
            .iter()
            .filter(|rule| (rule.as_ref() as &dyn std::any::Any).is::<ByUniqueName>())
            .map(|rule| rule.name().to_owned())
            .collect();
        assert_eq!(limited, ["FilterPushdown", "FilterPushdown(Post)"]);
        let by_name = plain
            .iter()
            .filter(|rule| rule.name().contains("FilterPushdown"));
        assert_eq!(by_name.count(), limited.len());
    }
}
