//! One expression about one row: its type, and the columns that it reads.
//!
//! Promise: it is used for `set`, `where`, rules and checks, and by the engine, which compiles the result
//! of `plan_expression`. Aggregates, windows and subqueries are refused, because they need more than one
//! row. It knows no table except the given columns. Read next: `own_names.rs`.

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion_sql::planner::{PlannerContext, SqlToRel};

use crate::catalog::Catalog;
use crate::names::Names;
use crate::own_names::give_own_names;
use crate::problem::{Judged, SqlProblem, from_planner};
use crate::{analyze, comparison, decimals, functions, halves, mixed, rounding, statement};

/// The result for an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionInfo {
    /// Its type.
    pub data_type: DataType,
    /// The columns it reads, sorted.
    pub columns: Vec<String>,
}

/// A resolved, type-coerced expression with its schema.
#[derive(Clone, Debug)]
pub struct PlannedExpression {
    /// The expression; its columns are unqualified.
    pub expr: Expr,
    /// The columns it may read.
    pub schema: Arc<DFSchema>,
}

/// The type and columns of an expression over `schema`.
///
/// # Errors
/// The mistakes in the text; positions are bytes of `text`.
pub fn expression(text: &str, schema: &SchemaRef) -> Result<ExpressionInfo, SqlProblem> {
    let planned = plan_expression(text, schema)?;
    let data_type = planned
        .expr
        .get_type(planned.schema.as_ref())
        .map_err(|error| problem(text, &error))?;
    let mut columns: Vec<String> = planned
        .expr
        .column_refs()
        .iter()
        .map(|column| column.name.clone())
        .collect();
    columns.sort();
    columns.dedup();
    Ok(ExpressionInfo {
        data_type: analyze::plain_type(&data_type),
        columns,
    })
}

/// Resolves an expression over `schema`, with type coercion.
///
/// # Errors
/// The mistakes in the text; positions are bytes of `text`.
pub fn plan_expression(text: &str, schema: &SchemaRef) -> Result<PlannedExpression, SqlProblem> {
    let mut parsed = statement::expression(text)?;
    let names = Names::of_expression(&parsed);
    give_own_names(&mut parsed, schema);
    if let Some(problem) = functions::unknown(text, &names.calls).into_iter().next() {
        return Err(problem);
    }
    let catalog = Catalog::new();
    let planned = DFSchema::try_from(Arc::clone(schema)).and_then(|schema| {
        let planner = SqlToRel::new_with_options(&catalog, statement::options());
        let expr = planner.sql_to_expr(parsed, &schema, &mut PlannerContext::new())?;
        Ok((expr, schema))
    });
    let (expr, schema) = planned.map_err(|error| in_context(text, &names, &error))?;
    about_one_row(&expr)?;
    let coerced = halves::of_one(expr, &schema)
        .and_then(|done| decimals::exact(done.data, &schema))
        .and_then(|expr| mixed::one_kind(expr, &schema))
        .and_then(|done| done.data.rewrite(&mut TypeCoercionRewriter::new(&schema)))
        .and_then(|done| rounding::rounded(done.data, &schema))
        .and_then(|done| comparison::meant(done.data, &schema))
        .map(|done| done.data);
    let expr = coerced.map_err(|error| in_context(text, &names, &error))?;
    Ok(PlannedExpression {
        expr,
        schema: Arc::new(schema),
    })
}

fn in_context(text: &str, names: &Names, error: &DataFusionError) -> SqlProblem {
    match from_planner(text, names, error) {
        Judged::Mistake(problem) => problem,
        Judged::CannotTell(why) => SqlProblem::new("M0310", why),
    }
}

fn problem(text: &str, error: &DataFusionError) -> SqlProblem {
    in_context(text, &Names::default(), error)
}

fn about_one_row(expr: &Expr) -> Result<(), SqlProblem> {
    let mut found = None;
    // The closure never fails.
    let _ = expr.apply(|part| {
        found = match part {
            Expr::AggregateFunction(call) => {
                Some(format!("`{}` needs many rows", call.func.name()))
            }
            Expr::WindowFunction(call) => Some(format!("`{}` needs many rows", call.fun.name())),
            Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_) => Some("a query inside reads other rows".to_owned()),
            Expr::Unnest(_) => Some("`unnest` makes many rows".to_owned()),
            _ => None,
        };
        Ok(if found.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    match found {
        Some(what) => Err(SqlProblem::new(
            "M0310",
            format!("an expression must use one row, but {what}"),
        )
        .help("use it in a model, which reads whole tables")),
        None => Ok(()),
    }
}
