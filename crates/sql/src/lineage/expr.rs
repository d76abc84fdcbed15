//! Lineage through expressions: a plain column is an identity, a computed value a transformation, and the
//! columns of a condition are indirect sources.
//!
//! Promise: subqueries in expressions are visited with the outer columns in scope, because the column list of
//! an expression does not include them. It does not know plan nodes. Read next: `plan.rs`.

use std::sync::Arc;

use datafusion_common::{Column, DFSchemaRef};
use datafusion_expr::expr::{AggregateFunctionParams, GroupingSet, WindowFunction};
use datafusion_expr::logical_plan::Subquery;
use datafusion_expr::{Case, Expr, LogicalPlan, WindowFunctionDefinition};
use towpath_vocab::EdgeKind;

use super::flow::{Flow, Sources, through};
use super::plan::{Scope, Walker};

/// Functions that choose between their arguments: how many of the first ones are tested, and how many of
/// the first ones are only tested and never returned.
fn choosing(name: &str, arguments: usize) -> Option<(usize, usize)> {
    match name {
        "coalesce" | "nvl" | "ifnull" => Some((arguments.saturating_sub(1), 0)),
        "greatest" | "least" => Some((arguments, 0)),
        "nullif" => Some((2, 0)),
        "nvl2" | "iff" => Some((1, 1)),
        _ => None,
    }
}

/// The columns that an expression can read.
#[derive(Clone, Copy)]
struct ExprInput<'a> {
    schema: &'a DFSchemaRef,
    input: &'a Flow,
}

impl Walker {
    /// The sources of `expr` over `input`, whose columns are those of `schema`.
    pub(super) fn expression(
        &mut self,
        expr: &Expr,
        schema: &DFSchemaRef,
        input: &Flow,
        role: EdgeKind,
    ) -> Sources {
        let mut out = Sources::default();
        self.walk(expr, ExprInput { schema, input }, role, &mut out);
        out
    }

    fn walk(&mut self, expr: &Expr, seen: ExprInput<'_>, role: EdgeKind, out: &mut Sources) {
        let computed = through(role, EdgeKind::Transformation);
        match expr {
            Expr::Alias(alias) => self.walk(&alias.expr, seen, role, out),
            Expr::Column(column) => self.column(column, seen, role, out),
            Expr::OuterReferenceColumn(_, column) => self.outer(column, role, out),
            Expr::ScalarVariable(..)
            | Expr::Literal(..)
            | Expr::Placeholder(_)
            | Expr::LambdaVariable(_) => {}
            Expr::BinaryExpr(_) => self.chain(expr, seen, computed, out),
            Expr::Like(like) | Expr::SimilarTo(like) => {
                self.walk_all([&*like.expr, &*like.pattern], seen, computed, out)
            }
            Expr::Not(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Negative(inner) => self.walk(inner, seen, computed, out),
            Expr::Between(between) => {
                self.walk_all(
                    [&*between.expr, &*between.low, &*between.high],
                    seen,
                    computed,
                    out,
                );
            }
            Expr::Case(case) => self.case(case, seen, role, out),
            Expr::Cast(cast) => self.walk(&cast.expr, seen, computed, out),
            Expr::TryCast(cast) => self.walk(&cast.expr, seen, computed, out),
            Expr::ScalarFunction(call) => self.call(call.func.name(), &call.args, seen, role, out),
            Expr::HigherOrderFunction(call) => self.walk_all(&call.args, seen, computed, out),
            Expr::Lambda(lambda) => self.walk(&lambda.body, seen, computed, out),
            Expr::AggregateFunction(call) => self.aggregate_call(&call.params, seen, role, out),
            Expr::WindowFunction(call) => self.window_call(call, seen, role, out),
            Expr::InList(list) => {
                self.walk(&list.expr, seen, computed, out);
                self.walk_all(&list.list, seen, computed, out);
            }
            Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::ScalarSubquery(_) => {
                self.query_inside(expr, seen, role, out);
            }
            Expr::GroupingSet(sets) => match sets {
                GroupingSet::Rollup(keys) | GroupingSet::Cube(keys) => {
                    self.walk_all(keys, seen, role, out)
                }
                GroupingSet::GroupingSets(sets) => {
                    self.walk_all(sets.iter().flatten(), seen, role, out)
                }
            },
            Expr::Unnest(unnest) => self.walk(&unnest.expr, seen, computed, out),
            #[expect(
                deprecated,
                reason = "the planner has expanded it; the match stays complete"
            )]
            Expr::Wildcard { .. } => {
                self.partial = true;
                out.extend(&seen.input.everything(role));
            }
        }
    }

    /// `a or b or c …`: long chains lean to the left, and are visited without recursion.
    fn chain(&mut self, expr: &Expr, seen: ExprInput<'_>, role: EdgeKind, out: &mut Sources) {
        let mut rest = expr;
        while let Expr::BinaryExpr(binary) = rest {
            self.walk(&binary.right, seen, role, out);
            rest = &binary.left;
        }
        self.walk(rest, seen, role, out);
    }

    /// Expressions with a subquery.
    fn query_inside(
        &mut self,
        expr: &Expr,
        seen: ExprInput<'_>,
        role: EdgeKind,
        out: &mut Sources,
    ) {
        let computed = through(role, EdgeKind::Transformation);
        match expr {
            Expr::Exists(exists) => {
                let inner = self.inside(&exists.subquery, seen);
                out.extend_as(&inner.presence(), through(EdgeKind::Conditional, role));
            }
            Expr::InSubquery(test) => {
                self.walk(&test.expr, seen, computed, out);
                self.membership(&test.subquery, seen, role, out);
            }
            Expr::SetComparison(test) => {
                self.walk(&test.expr, seen, computed, out);
                self.membership(&test.subquery, seen, role, out);
            }
            Expr::ScalarSubquery(subquery) => {
                let inner = self.inside(subquery, seen);
                for column in &inner.columns {
                    out.extend_as(column, computed);
                }
                out.extend_as(&inner.whole, role);
            }
            _ => self.partial = true,
        }
    }

    fn walk_all<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e Expr>,
        seen: ExprInput<'_>,
        role: EdgeKind,
        out: &mut Sources,
    ) {
        for expr in exprs {
            self.walk(expr, seen, role, out);
        }
    }

    fn column(&mut self, column: &Column, seen: ExprInput<'_>, role: EdgeKind, out: &mut Sources) {
        let found = seen
            .schema
            .maybe_index_of_column(column)
            .and_then(|at| seen.input.columns.get(at));
        match found {
            Some(sources) => out.extend_as(sources, role),
            None => self.outer(column, role, out),
        }
    }

    fn outer(&mut self, column: &Column, role: EdgeKind, out: &mut Sources) {
        let found = self.scopes.iter().rev().find_map(|scope| {
            let at = scope.schema.maybe_index_of_column(column)?;
            scope.flow.columns.get(at)
        });
        match found {
            Some(sources) => out.extend_as(sources, role),
            None => self.partial = true,
        }
    }

    fn case(&mut self, case: &Case, seen: ExprInput<'_>, role: EdgeKind, out: &mut Sources) {
        let tested = through(EdgeKind::Conditional, role);
        let given = through(role, EdgeKind::Transformation);
        if let Some(subject) = &case.expr {
            self.walk(subject, seen, tested, out);
        }
        for (when, then) in &case.when_then_expr {
            self.walk(when, seen, tested, out);
            self.walk(then, seen, given, out);
        }
        if let Some(otherwise) = &case.else_expr {
            self.walk(otherwise, seen, given, out);
        }
    }

    fn call(
        &mut self,
        name: &str,
        args: &[Expr],
        seen: ExprInput<'_>,
        role: EdgeKind,
        out: &mut Sources,
    ) {
        let given = through(role, EdgeKind::Transformation);
        let (tested, only_tested) = choosing(name, args.len()).unwrap_or((0, 0));
        for (at, arg) in args.iter().enumerate() {
            if at < tested {
                self.walk(arg, seen, through(EdgeKind::Conditional, role), out);
            }
            if at >= only_tested {
                self.walk(arg, seen, given, out);
            }
        }
    }

    fn aggregate_call(
        &mut self,
        params: &AggregateFunctionParams,
        seen: ExprInput<'_>,
        role: EdgeKind,
        out: &mut Sources,
    ) {
        let aggregated = through(role, EdgeKind::Aggregation);
        let mut values = Sources::default();
        self.walk_all(&params.args, seen, aggregated, &mut values);
        if values == Sources::default() {
            values.extend_as(&seen.input.presence(), aggregated);
        }
        out.extend(&values);
        if let Some(filter) = &params.filter {
            self.walk(filter, seen, through(EdgeKind::Filter, role), out);
        }
        for sort in &params.order_by {
            self.walk(&sort.expr, seen, through(EdgeKind::Sort, role), out);
        }
    }

    fn window_call(
        &mut self,
        call: &WindowFunction,
        seen: ExprInput<'_>,
        role: EdgeKind,
        out: &mut Sources,
    ) {
        let window = through(EdgeKind::Window, role);
        let params = &call.params;
        let value = match call.fun {
            WindowFunctionDefinition::AggregateUDF(_) => through(role, EdgeKind::Aggregation),
            WindowFunctionDefinition::WindowUDF(_) => through(role, EdgeKind::Transformation),
        };
        let mut values = Sources::default();
        self.walk_all(&params.args, seen, value, &mut values);
        if values == Sources::default() {
            values.extend_as(&seen.input.presence(), window);
        }
        out.extend(&values);
        self.walk_all(&params.partition_by, seen, window, out);
        for sort in &params.order_by {
            self.walk(&sort.expr, seen, window, out);
        }
        if let Some(filter) = &params.filter {
            self.walk(filter, seen, through(EdgeKind::Filter, role), out);
        }
    }

    /// `IN (SELECT …)`: the values of the query are indirect sources, and so is everything that decides
    /// about its rows.
    fn membership(
        &mut self,
        subquery: &Subquery,
        seen: ExprInput<'_>,
        role: EdgeKind,
        out: &mut Sources,
    ) {
        let inner = self.inside(subquery, seen);
        let decides = through(EdgeKind::Conditional, role);
        for column in &inner.columns {
            out.extend_as(column, decides);
        }
        out.extend_as(&inner.whole, decides);
    }

    fn inside(&mut self, subquery: &Subquery, seen: ExprInput<'_>) -> Flow {
        self.scopes.push(Scope {
            schema: Arc::clone(seen.schema),
            flow: seen.input.clone(),
        });
        let plan: &LogicalPlan = &subquery.subquery;
        let flow = self.node(plan);
        self.scopes.pop();
        flow
    }
}
