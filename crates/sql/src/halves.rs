//! Rounds halves as PostgreSQL does: a `double precision` to even, a `numeric` away from zero.
//!
//! A written fraction, an average of integers and a quotient like `100.0 * a / b` are numeric in PostgreSQL
//! and floating point here. So `round` and casts to integers ask where a number comes from: through
//! operators, columns of inner queries and aggregates. A stored floating point column is a double. No type
//! changes. It must run before type coercion, which adds casts that nobody wrote. Read next: `rounding.rs`.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, Result};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    Distinct, Expr, ExprSchemable, LogicalPlan, Operator, WindowFunctionDefinition,
};

use crate::operators::call;
use crate::rounding::nearest_whole;

/// Rewrites `round` and casts to integers in a plan.
pub(crate) fn halves(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !rounds_somewhere(&plan)? {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let done = rounded(expression, &schema, &inputs)?;
            Ok(done.update_data(|done| name.restore(done)))
        })
    })
    .data()
}

/// The same for one expression over columns of a table.
pub(crate) fn of_one(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    rounded(expression, schema, &[])
}

fn rounds(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.name() == "round" && call.args.len() == 1,
        Expr::Cast(cast) => cast.field.data_type().is_integer(),
        Expr::TryCast(cast) => cast.field.data_type().is_integer(),
        _ => false,
    }
}

fn rounds_somewhere(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| Ok(rounds(part)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn rounded(
    expression: Expr,
    schema: &DFSchema,
    inputs: &[LogicalPlan],
) -> Result<Transformed<Expr>> {
    let origin = Origin { schema, inputs };
    expression.transform_up(|part| {
        Ok(match part {
            Expr::ScalarFunction(call) if call.func.name() == "round" => {
                match call.args.as_slice() {
                    [value] if origin.is_double(value) => {
                        let args = vec![value.clone()];
                        let even = ScalarFunction::new_udf(nearest_whole(), args);
                        Transformed::yes(Expr::ScalarFunction(even))
                    }
                    _ => Transformed::no(Expr::ScalarFunction(call)),
                }
            }
            Expr::Cast(mut cast) if cast.field.data_type().is_integer() => {
                let done = origin.away_from_zero(&mut cast.expr);
                Transformed::new_transformed(Expr::Cast(cast), done)
            }
            Expr::TryCast(mut cast) if cast.field.data_type().is_integer() => {
                let done = origin.away_from_zero(&mut cast.expr);
                Transformed::new_transformed(Expr::TryCast(cast), done)
            }
            other => Transformed::no(other),
        })
    })
}

/// Functions whose result has the type of their arguments.
const KEEPING: &[&str] = &[
    "abs",
    "ceil",
    "coalesce",
    "floor",
    "greatest",
    "ifnull",
    "iff",
    "least",
    "nullif",
    "nvl",
    "nvl2",
    "round",
    "sign",
    "trunc",
    "zeroifnull",
];

/// Aggregates that are numeric for integers and for numeric.
const AVERAGING: &[&str] = &[
    "avg",
    "max",
    "mean",
    "min",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var",
    "var_pop",
    "var_samp",
    "variance",
];

/// Where the columns of an expression come from.
struct Origin<'a> {
    schema: &'a DFSchema,
    inputs: &'a [LogicalPlan],
}

impl Origin<'_> {
    /// Makes a cast round halves away from zero, if its value is floating point here only.
    fn away_from_zero(&self, value: &mut Box<Expr>) -> bool {
        let floats = value
            .get_type(self.schema)
            .is_ok_and(|given| given.is_floating());
        if !floats || self.is_double(value) {
            return false;
        }
        match call("round", vec![value.as_ref().clone()]) {
            Some(round) => {
                **value = round;
                true
            }
            None => false,
        }
    }

    /// True if the value is `double precision` in PostgreSQL too.
    fn is_double(&self, expr: &Expr) -> bool {
        let floats = expr
            .get_type(self.schema)
            .is_ok_and(|given| given.is_floating());
        floats && self.any_double(expr)
    }

    fn any_double(&self, expr: &Expr) -> bool {
        let one_of = |values: &[Expr]| values.iter().any(|value| self.is_double(value));
        match expr {
            Expr::Literal(..) => false,
            Expr::Negative(inner) => self.is_double(inner),
            Expr::Alias(alias) => self.is_double(&alias.expr),
            Expr::BinaryExpr(sum) => match sum.op {
                Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo => self.is_double(&sum.left) || self.is_double(&sum.right),
                _ => true,
            },
            Expr::Case(case) => {
                let mut then = case.when_then_expr.iter().map(|(_, then)| then);
                then.any(|then| self.is_double(then))
                    || case
                        .else_expr
                        .as_ref()
                        .is_some_and(|other| self.is_double(other))
            }
            Expr::ScalarFunction(call) => match call.func.name() {
                name if KEEPING.contains(&name) => one_of(&call.args),
                // `extract` is numeric.
                name => name != crate::functions::DATE_PART,
            },
            Expr::AggregateFunction(call) => {
                !AVERAGING.contains(&call.func.name()) || one_of(&call.params.args)
            }
            Expr::WindowFunction(window) => match &window.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    !AVERAGING.contains(&function.name()) || one_of(&window.params.args)
                }
                WindowFunctionDefinition::WindowUDF(_) => true,
            },
            Expr::ScalarSubquery(query) => from_plan(&query.subquery, 0),
            Expr::Column(column) => self.is_exact_column(column),
            _ => true,
        }
    }

    fn is_exact_column(&self, column: &Column) -> bool {
        let found = self.inputs.iter().find_map(|input| {
            let at = input.schema().maybe_index_of_column(column)?;
            Some(from_plan(input, at))
        });
        found.unwrap_or(true)
    }
}

/// True if this column of a plan is `double precision` in PostgreSQL too.
fn from_plan(plan: &LogicalPlan, at: usize) -> bool {
    let inside = |expr: Option<&Expr>, input: &Arc<LogicalPlan>| {
        let inputs = [input.as_ref().clone()];
        let origin = Origin {
            schema: input.schema().as_ref(),
            inputs: &inputs,
        };
        expr.is_none_or(|expr| origin.is_double(expr))
    };
    match plan {
        LogicalPlan::Projection(node) => inside(node.expr.get(at), &node.input),
        LogicalPlan::Aggregate(node)
            if matches!(node.group_expr.first(), Some(Expr::GroupingSet(_))) =>
        {
            true
        }
        LogicalPlan::Aggregate(node) => {
            let mut exprs = node.group_expr.iter().chain(&node.aggr_expr);
            inside(exprs.nth(at), &node.input)
        }
        LogicalPlan::Window(node) => match at.checked_sub(node.input.schema().fields().len()) {
            Some(own) => inside(node.window_expr.get(own), &node.input),
            None => from_plan(&node.input, at),
        },
        LogicalPlan::Values(node) => {
            let origin = Origin {
                schema: node.schema.as_ref(),
                inputs: &[],
            };
            let mut column = node.values.iter().filter_map(|row| row.get(at));
            column.any(|value| origin.is_double(value))
        }
        LogicalPlan::SubqueryAlias(node) => from_plan(&node.input, at),
        LogicalPlan::Filter(node) => from_plan(&node.input, at),
        LogicalPlan::Sort(node) => from_plan(&node.input, at),
        LogicalPlan::Limit(node) => from_plan(&node.input, at),
        LogicalPlan::Distinct(Distinct::All(input)) => from_plan(input, at),
        LogicalPlan::Union(node) => node.inputs.iter().any(|input| from_plan(input, at)),
        LogicalPlan::Join(node) => match at.checked_sub(node.left.schema().fields().len()) {
            Some(own) => from_plan(&node.right, own),
            None => from_plan(&node.left, at),
        },
        _ => true,
    }
}
