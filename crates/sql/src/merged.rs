//! The merged column of `RIGHT` and `FULL JOIN … USING` and `NATURAL`: its value comes from the side with a
//! row.
//!
//! Promise: the merged column has the value of the side that has a row. The planner takes the column of one
//! side, which is NULL where that side has no row. Here a projection above such a join replaces the keys of
//! both sides by the value of either side. After that the key of one side cannot be read, so a query that
//! names it (`a.k`) is refused, with an alternative. Read next: `spelling.rs`.

use std::ops::ControlFlow;

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion_common::{Column, JoinConstraint, JoinType, Result};
use datafusion_expr::logical_plan::{Join, Projection};
use datafusion_expr::{Cast, Expr, LogicalPlan};
use datafusion_optimizer::AnalyzerRule;
use datafusion_sql::sqlparser::ast::{
    Expr as SqlExpr, JoinConstraint as Written, JoinOperator, ObjectName, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned, TableFactor, TableWithJoins,
    Visit, Visitor,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use crate::names::fold;
use crate::place;
use crate::problem::SqlProblem;

/// Computes merged columns from both sides.
#[derive(Debug)]
pub struct MergedKeys;

impl AnalyzerRule for MergedKeys {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut found = false;
        plan.apply_with_subqueries(|node| {
            found |= matches!(node, LogicalPlan::Join(join) if merges(join));
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        if !found {
            return Ok(plan);
        }
        plan.transform_up_with_subqueries(|node| {
            // The schema of nodes above may have changed, because keys no longer allow NULL.
            let node = node.recompute_schema()?;
            match node {
                LogicalPlan::Join(join) if merges(&join) => merged(join).map(Transformed::yes),
                other => Ok(Transformed::yes(other)),
            }
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "MergedKeys"
    }
}

fn merges(join: &Join) -> bool {
    join.join_constraint == JoinConstraint::Using
        && matches!(join.join_type, JoinType::Right | JoinType::Full)
}

fn merged(join: Join) -> Result<LogicalPlan> {
    let pairs: Vec<(Column, Column)> = join
        .on
        .iter()
        .filter_map(|(left, right)| Some((column(left)?.clone(), column(right)?.clone())))
        .collect();
    let schema = std::sync::Arc::clone(&join.schema);
    let exprs = schema.iter().map(|(qualifier, field)| {
        let own = Column::new(qualifier.cloned(), field.name());
        let pair = pairs
            .iter()
            .find(|(left, right)| *left == own || *right == own);
        let Some((left, right)) = pair else {
            return Expr::Column(own);
        };
        let either = [left, right].map(|side| {
            let side = Expr::Column(side.clone());
            let same = schema
                .maybe_index_of_column(match &side {
                    Expr::Column(column) => column,
                    _ => &own,
                })
                .is_some_and(|at| schema.field(at).data_type() == field.data_type());
            match same {
                true => side,
                false => Expr::Cast(Cast::new(Box::new(side), field.data_type().clone())),
            }
        });
        datafusion_functions::core::expr_fn::coalesce(either.into())
            .alias_qualified(qualifier.cloned(), field.name())
    });
    let exprs = exprs.collect();
    let input = std::sync::Arc::new(LogicalPlan::Join(join));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
}

/// The column of a key, also inside a cast of type coercion.
fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column(&cast.expr),
        _ => None,
    }
}

/// Refuses queries that name the key of one side of a join with merged keys.
pub(crate) fn refuse_sides(sql: &str, query: &Query) -> std::result::Result<(), SqlProblem> {
    match query.visit(&mut Queries(sql)) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Queries<'a>(&'a str);

impl Queries<'_> {
    fn refused(&self, (name, span): (String, Span)) -> ControlFlow<SqlProblem> {
        let key = match name.rsplit_once('.') {
            Some((_, "*")) | None => "the key".to_owned(),
            Some((_, key)) => format!("`{key}`"),
        };
        ControlFlow::Break(
            SqlProblem::new(
                "M0311",
                format!("not supported: `{name}` in a query with a RIGHT or FULL JOIN that merges its columns (USING, NATURAL)"),
            )
            .at(place::of_parse(self.0, span))
            .help(format!("name {key} without its table: it is what either side has"))
            .help("in WHERE, where no table is merged yet: `select … from (select * from a full join b using (k)) as j where k …`")
            .help("to see each side's own, write `on a.k = b.k` and `coalesce(a.k, b.k) as k`"),
        )
    }
}

impl Visitor for Queries<'_> {
    type Break = SqlProblem;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlProblem> {
        let sides = Sides::of(select);
        if !sides.merges {
            return ControlFlow::Continue(());
        }
        if let Some(found) = sides.wildcard(select) {
            return self.refused(found);
        }
        match select.visit(&mut Named::of(&sides)) {
            ControlFlow::Break(found) => self.refused(found),
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    }

    /// Checks ORDER BY, which is outside the select but names its tables.
    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlProblem> {
        let SetExpr::Select(select) = query.body.as_ref() else {
            return ControlFlow::Continue(());
        };
        let sides = Sides::of(select);
        if !sides.merges {
            return ControlFlow::Continue(());
        }
        match query.order_by.visit(&mut Named::of(&sides)) {
            ControlFlow::Break(found) => self.refused(found),
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    }
}

/// The selects of a body, including those of set operations.
fn selects(body: &SetExpr) -> impl Iterator<Item = &Select> {
    let mut open = vec![body];
    std::iter::from_fn(move || {
        loop {
            match open.pop()? {
                SetExpr::Select(select) => return Some(select.as_ref()),
                SetExpr::SetOperation { left, right, .. } => {
                    open.extend([left.as_ref(), right.as_ref()]);
                }
                _ => {}
            }
        }
    })
}

/// The names that are not allowed: keys of tables in a FROM with a join that merges them.
#[derive(Default)]
struct Sides {
    merges: bool,
    /// True if any column may be a key.
    natural: bool,
    keys: Vec<String>,
    tables: Vec<String>,
}

impl Sides {
    fn of(select: &Select) -> Self {
        let mut sides = Self::default();
        for from in &select.from {
            let mut here = Self::default();
            here.walk(from);
            if here.merges {
                sides.merges = true;
                sides.natural |= here.natural;
                sides.keys.extend(here.keys);
                sides.tables.extend(here.tables);
            }
        }
        sides
    }

    fn walk(&mut self, from: &TableWithJoins) {
        self.table(&from.relation);
        for join in &from.joins {
            self.table(&join.relation);
            let (JoinOperator::Right(on)
            | JoinOperator::RightOuter(on)
            | JoinOperator::FullOuter(on)) = &join.join_operator
            else {
                continue;
            };
            match on {
                Written::Using(columns) => {
                    self.merges = true;
                    self.keys.extend(columns.iter().filter_map(last));
                }
                Written::Natural => (self.merges, self.natural) = (true, true),
                Written::On(_) | Written::None => {}
            }
        }
    }

    fn table(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.walk(table_with_joins),
            TableFactor::Table { name, alias, .. } => {
                let alias = alias.as_ref().map(|alias| fold(&alias.name));
                self.tables.extend(alias.or_else(|| last(name)));
            }
            TableFactor::Derived {
                alias: Some(alias), ..
            } => self.tables.push(fold(&alias.name)),
            _ => {}
        }
    }

    fn wildcard(&self, select: &Select) -> Option<(String, Span)> {
        select.projection.iter().find_map(|item| match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let table = last(name)?;
                let named = self.tables.contains(&table);
                named.then(|| (format!("{table}.*"), name.span()))
            }
            _ => None,
        })
    }
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last()?.as_ident().map(fold)
}

/// Finds such keys where the tables of a select can be named: not in queries of its FROM, and not in
/// subqueries with a table of the same name.
struct Named<'a> {
    sides: &'a Sides,
    /// The number of open queries in a FROM.
    apart: usize,
    /// The tables of the open subqueries.
    nearer: Vec<Vec<String>>,
}

impl<'a> Named<'a> {
    fn of(sides: &'a Sides) -> Self {
        Self {
            sides,
            apart: 0,
            nearer: Vec::new(),
        }
    }
}

/// True for a query in a FROM that cannot read the other tables there.
fn stands_apart(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Derived { lateral: false, .. })
}

impl Visitor for Named<'_> {
    type Break = (String, Span);

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<(String, Span)> {
        self.apart += usize::from(stands_apart(factor));
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<(String, Span)> {
        self.apart -= usize::from(stands_apart(factor));
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<(String, Span)> {
        let mut own = Sides::default();
        selects(&query.body)
            .flat_map(|select| &select.from)
            .for_each(|from| own.walk(from));
        self.nearer.push(own.tables);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<(String, Span)> {
        self.nearer.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<(String, Span)> {
        if self.apart == 0
            && let SqlExpr::CompoundIdentifier(parts) = expr
            && let [.., table, column] = parts.as_slice()
        {
            let (table, name) = (fold(table), fold(column));
            let is_key = self.sides.natural || self.sides.keys.contains(&name);
            let is_own = !self.nearer.iter().any(|tables| tables.contains(&table));
            if is_key && is_own && self.sides.tables.contains(&table) {
                return ControlFlow::Break((format!("{table}.{name}"), expr.span()));
            }
        }
        ControlFlow::Continue(())
    }
}
