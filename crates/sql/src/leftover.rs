//! Finds subqueries in expressions that cannot be turned into joins, before anything runs.
//!
//! Only a plan with such subqueries is optimised here, as it would be for execution; a subquery that is
//! still in an expression afterwards cannot be computed. It returns the problem, not the plan.

use datafusion_common::DataFusionError;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan, Operator};
use datafusion_optimizer::{Optimizer, OptimizerContext};
use datafusion_sql::parser::Statement;
use datafusion_sql::sqlparser::ast::{
    Expr as SqlExpr, Query, Spanned, TableFactor, Visit, Visitor,
};
use datafusion_sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

use crate::place;
use crate::problem::SqlProblem;
use crate::wording;

/// A kind of subquery that cannot be computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    In,
    /// `IN` as a condition of its own that reads outer columns.
    InAround,
    Exists,
    ExistsAround,
    Scalar,
    Lateral,
}

/// The first subquery of a plan that cannot be computed, as a problem.
pub(crate) fn problem(sql: &str, parsed: &Statement, plan: &LogicalPlan) -> Option<SqlProblem> {
    found(plan, |_| true)?;
    let optimized = Optimizer::new().optimize(plan.clone(), &OptimizerContext::new(), |_, _| {});
    let (left, why) = match optimized {
        Ok(plan) => (found(&plan, |outer| outer)?, None),
        Err(error) => match error.find_root() {
            DataFusionError::Plan(text) if text.to_lowercase().contains("subquery") => {
                let message = wording::reword(text).message;
                (
                    found(plan, |outer| outer).or_else(|| found(plan, |_| true))?,
                    Some(message),
                )
            }
            DataFusionError::Plan(_) | DataFusionError::SchemaError(..) if in_queries(&error) => {
                (found(plan, |outer| outer)?, None)
            }
            _ => return None,
        },
    };
    let (what, out) = match left {
        Left::In => (
            "`IN (SELECT …)` is in a place where it does not filter rows",
            "make it a condition of WHERE, or join the query and test whether its column is NULL",
        ),
        Left::Exists => (
            "`EXISTS (SELECT …)` is in a place where it does not filter rows",
            "make it a condition of WHERE, or join the query and test whether its column is NULL",
        ),
        Left::InAround => (
            "this `IN (SELECT …)` depends on the row around it in a way that cannot be turned into a join",
            "write `exists (select 1 from … where … = …)` or `not exists` for each query of it, or join it",
        ),
        Left::ExistsAround => (
            "this `EXISTS (SELECT …)` depends on the row around it in a way that cannot be turned into a join",
            "write an equality in its WHERE, in an `exists` for each query of it, or join it",
        ),
        Left::Scalar => (
            "this query inside depends on the row around it in a way that cannot be turned into a join",
            "join it: group its rows by what they are compared with, then `left join`",
        ),
        Left::Lateral => (
            "this LATERAL query depends on the other row of the join in a way that cannot be turned into a join",
            match place::of_word(sql, "limit") {
                Some(_) => {
                    "number its rows instead of LIMIT: `qualify row_number() over (partition by … order by …) = 1`, then join"
                }
                None => {
                    "write what it computes in the select list: `select t.id, t.x * 2 as y`, `select t.id, unnest(t.items)`, `json_array_elements_text(t.js)`"
                }
            },
        ),
    };
    let problem = SqlProblem::new("M0311", format!("not supported: {what}"))
        .at(written(parsed, left).and_then(|span| place::of_parse(sql, span)))
        .help(out);
    Some(match why {
        Some(why) => problem.help(why),
        None => problem,
    })
}

/// The first subquery for which `wanted` is true; its argument says whether the subquery reads outer
/// columns. Values that are computed once, and conditions that a filter can use, do not count.
fn found(plan: &LogicalPlan, wanted: impl Fn(bool) -> bool + Copy) -> Option<Left> {
    let mut left = None;
    let step = |left: &Option<Left>| match left {
        Some(_) => TreeNodeRecursion::Stop,
        None => TreeNodeRecursion::Continue,
    };
    // The closures never fail.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Subquery(lateral) = node
            && wanted(!lateral.outer_ref_columns.is_empty())
        {
            left = Some(Left::Lateral);
        }
        if let LogicalPlan::Filter(filter) = node {
            left = left.or(around(&filter.predicate));
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                let here = match part {
                    Expr::InSubquery(_) => Some(Left::In),
                    Expr::Exists(_) => Some(Left::Exists),
                    Expr::ScalarSubquery(query) if wanted(!query.outer_ref_columns.is_empty()) => {
                        Some(Left::Scalar)
                    }
                    _ => None,
                };
                left = left.or(here);
                Ok(step(&left))
            })
        })?;
        Ok(step(&left))
    });
    left
}

/// The first subquery that is a condition of its own and reads outer columns.
fn around(condition: &Expr) -> Option<Left> {
    match condition {
        Expr::InSubquery(test) if !test.subquery.outer_ref_columns.is_empty() => {
            Some(Left::InAround)
        }
        Expr::Exists(test) if !test.subquery.outer_ref_columns.is_empty() => {
            Some(Left::ExistsAround)
        }
        Expr::BinaryExpr(both) if matches!(both.op, Operator::And | Operator::Or) => {
            around(&both.left).or_else(|| around(&both.right))
        }
        Expr::Not(inner) | Expr::IsNotTrue(inner) => around(inner),
        _ => None,
    }
}

/// True for an error of a rule that turns subqueries into joins; its message has names that the user did
/// not write.
fn in_queries(error: &DataFusionError) -> bool {
    matches!(error, DataFusionError::Context(rule, _) if rule.contains("subquery"))
}

/// The position of the first subquery of a kind.
fn written(parsed: &Statement, left: Left) -> Option<Span> {
    struct Find(Left);
    impl Visitor for Find {
        type Break = Span;
        fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<Span> {
            match (expr, self.0) {
                (SqlExpr::InSubquery { expr, .. }, Left::In | Left::InAround) => {
                    ControlFlow::Break(expr.span())
                }
                (SqlExpr::Exists { subquery, .. }, Left::Exists | Left::ExistsAround)
                | (SqlExpr::Subquery(subquery), Left::Scalar) => {
                    ControlFlow::Break(first_word(subquery))
                }
                _ => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Span> {
            match (factor, self.0) {
                (
                    TableFactor::Derived {
                        lateral: true,
                        subquery,
                        ..
                    },
                    Left::Lateral,
                ) => ControlFlow::Break(first_word(subquery)),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let Statement::Statement(statement) = parsed else {
        return None;
    };
    match statement.visit(&mut Find(left)) {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    }
}

fn first_word(query: &Query) -> Span {
    query.span()
}
