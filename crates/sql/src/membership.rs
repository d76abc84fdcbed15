//! Rewrites `NOT IN (SELECT …)` with SQL's meaning: no row is "not in" a result that contains a NULL.
//!
//! Promise: rows are those of SQL's three-valued logic, or the query is refused. The planner's joins treat
//! NULL as no match, except where a column is the only condition with `NOT IN`. The rewritten conditions need
//! no third truth value: there is no match, the query has no NULL, and the value is not NULL unless the query
//! is empty. This is correct where a condition decides about rows, through AND, OR and NOT; deeper inside an
//! expression `NOT IN` is refused, with an alternative. The query is copied for each condition, so nesting is
//! limited. Read next: `merged.rs`.

use std::ops::ControlFlow;

use datafusion_sql::parser::{DFParserBuilder, Statement};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, Spanned,
    Statement as SqlStatement, TableFactor, UnaryOperator, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};

use crate::dialect::SQL_DIALECT;
use crate::functions::registry;
use crate::names::{Names, fold};
use crate::place;
use crate::problem::SqlProblem;

/// How deep such conditions may nest, because each level copies the ones inside.
const DEEPEST: usize = 5;

/// Rewrites every condition in the query. `sql` is the text of its positions.
pub(crate) fn mend(sql: &str, query: &mut Query) -> Result<(), SqlProblem> {
    if let ControlFlow::Break(problem) = Visit::visit(
        query,
        &mut Depth {
            sql,
            depth: 0,
            wanted: Vec::new(),
        },
    ) {
        return Err(problem);
    }
    match query.visit(&mut Conditions(sql)) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Conditions<'a>(&'a str);

impl VisitorMut for Conditions<'_> {
    type Break = SqlProblem;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlProblem> {
        if let Expr::InSubquery { subquery, .. } = expr
            && let Err(problem) = named(subquery)
        {
            return ControlFlow::Break(problem);
        }
        ControlFlow::Continue(())
    }

    /// Rewrites inner queries before outer ones, so that copies are already rewritten.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlProblem> {
        let conditions = [&mut select.selection, &mut select.having];
        for condition in conditions.into_iter().flatten() {
            if let Err(problem) = condition_in(self.0, condition, true) {
                return ControlFlow::Break(problem);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Refuses conditions that would be copied too often. `wanted` has the values for the enclosing
/// expressions, as in `condition_in`; where `condition_in` stops, too many is allowed, but none may be
/// missed.
struct Depth<'a> {
    sql: &'a str,
    depth: usize,
    wanted: Vec<bool>,
}

impl Depth<'_> {
    /// True for an expression that `condition_in` copies at this position.
    fn is_copied(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::InSubquery { negated, .. } if *negated == self.sense())
    }

    fn sense(&self) -> bool {
        self.wanted.last().copied().unwrap_or(true)
    }
}

impl Visitor for Depth<'_> {
    type Break = SqlProblem;

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<SqlProblem> {
        self.wanted.push(true);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<SqlProblem> {
        self.wanted.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlProblem> {
        self.depth += usize::from(self.is_copied(expr));
        let turned = matches!(
            expr,
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                ..
            }
        );
        self.wanted.push(self.sense() != turned);
        if self.depth <= DEEPEST {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(
            SqlProblem::new(
                "M0311",
                format!("not supported: `NOT IN (SELECT …)` nested more than {DEEPEST} deep"),
            )
            .at(place::of_parse(self.sql, expr.span()))
            .help("write the inner ones as `not exists (select 1 from … where … = …)`")
            .help("or make the inner query a model of its own"),
        )
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlProblem> {
        self.wanted.pop();
        self.depth -= usize::from(self.is_copied(expr));
        ControlFlow::Continue(())
    }
}

/// Gives the query's column a name that the planner can find: `(select max(x) …)` has none, and a union has
/// those of its parts.
fn named(query: &mut Query) -> Result<(), SqlProblem> {
    match query.body.as_mut() {
        SetExpr::Select(select) => {
            if let [item @ SelectItem::UnnamedExpr(_)] = select.projection.as_mut_slice()
                && let SelectItem::UnnamedExpr(expr) = item
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            {
                let expr = std::mem::replace(expr, Expr::Value(Value::Null.with_empty_span()));
                *item = SelectItem::ExprWithAlias {
                    expr,
                    alias: Ident::new(MEMBER),
                };
            }
            Ok(())
        }
        body => {
            let mut outer = match columns(body) {
                Some(1) => parsed(&format!(
                    "select {MEMBER} from (select 1) as {HIDDEN}({MEMBER})"
                ))?,
                // The planner reports that there are too many columns.
                Some(_) => return Ok(()),
                None => parsed(&format!("select * from (select 1) as {HIDDEN}"))?,
            };
            // The visitor stops after it has replaced the query.
            let _ = VisitMut::visit(&mut outer, &mut Fill(Some(query)));
            *query = outer;
            Ok(())
        }
    }
}

/// The number of a query's columns, if it can be read from the syntax.
fn columns(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        SetExpr::SetOperation { left, .. } => columns(left),
        SetExpr::Query(query) => columns(&query.body),
        SetExpr::Select(select) => {
            let is_one = |item: &SelectItem| {
                matches!(
                    item,
                    SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
                )
            };
            let known = select.projection.iter().all(is_one);
            known.then_some(select.projection.len())
        }
        _ => None,
    }
}

/// The name of a column without a name.
const MEMBER: &str = "__member";
/// The name of the table for a query.
const HIDDEN: &str = "__members";

fn parsed(text: &str) -> Result<Query, SqlProblem> {
    let statement = DFParserBuilder::new(text)
        .with_dialect(&SQL_DIALECT)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .ok()
        .and_then(|mut all| all.pop_front());
    if let Some(Statement::Statement(statement)) = statement
        && let SqlStatement::Query(query) = *statement
    {
        return Ok(*query);
    }
    Err(not_made())
}

fn not_made() -> SqlProblem {
    SqlProblem::new("M0311", "not supported: this `NOT IN (SELECT …)`")
}

/// Rewrites a condition. `wanted` says whether a row passes if the condition is true, or if it is false.
fn condition_in(sql: &str, expr: &mut Expr, wanted: bool) -> Result<(), SqlProblem> {
    match expr {
        Expr::Nested(inner) => condition_in(sql, inner, wanted),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: inner,
        } => condition_in(sql, inner, !wanted),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And | BinaryOperator::Or,
            right,
        } => {
            condition_in(sql, left, wanted)?;
            condition_in(sql, right, wanted)
        }
        Expr::InSubquery {
            expr: sought,
            subquery,
            negated,
        } => {
            if *negated == wanted {
                let place = place::of_parse(sql, sought.span());
                let none = absent(sought, subquery, place)?;
                *expr = match wanted {
                    true => none,
                    false => Expr::UnaryOp {
                        op: UnaryOperator::Not,
                        expr: Box::new(Expr::Nested(Box::new(none))),
                    },
                };
            }
            Ok(())
        }
        other => refuse_inside(sql, other),
    }
}

/// `(sought in (query)) is not true and HELD <= (1, or 0 when sought is NULL)`, where HELD is 0 for no row,
/// 1 for rows without a NULL, and 2 for others.
fn absent(sought: &Expr, query: &Query, place: Option<(usize, usize)>) -> Result<Expr, SqlProblem> {
    if matches!(sought, Expr::Tuple(_)) {
        return Err(SqlProblem::new(
            "M0311",
            "not supported: several values before `NOT IN (SELECT …)`",
        )
        .at(place)
        .help("write `not exists (select 1 from … where a = … and b = …)`"));
    }
    let is_in = Expr::InSubquery {
        expr: Box::new(sought.clone()),
        subquery: Box::new(query.clone()),
        negated: false,
    };
    let no_match = Expr::IsNotTrue(Box::new(Expr::Nested(Box::new(is_in))));
    let literal = matches!(sought, Expr::Value(value) if value.value != Value::Null);
    let plain = of_rows(query);
    let known = match plain {
        Some((value, rows)) if looks_around(query) => {
            let no_null = no_row(Counted::Nulls, query, value, rows);
            match literal {
                true => no_null,
                false => {
                    let given = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(sought.clone()))));
                    let either = Expr::BinaryOp {
                        left: Box::new(given),
                        op: BinaryOperator::Or,
                        right: Box::new(no_row(Counted::Rows, query, value, rows)),
                    };
                    and(no_null, Expr::Nested(Box::new(either)))
                }
            }
        }
        _ => held(sought, literal, query, plain)?,
    };
    Ok(Expr::Nested(Box::new(and(no_match, known))))
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    }
}

/// Which rows of the query are searched: any row, or one whose value is NULL.
#[derive(Clone, Copy)]
enum Counted {
    Rows,
    Nulls,
}

/// `coalesce((select HELD from …), 0) <= …`, with one copy of the query.
fn held(
    sought: &Expr,
    literal: bool,
    query: &Query,
    plain: Option<(&Expr, &Select)>,
) -> Result<Expr, SqlProblem> {
    let value = match plain {
        Some((value, _)) => value.to_string(),
        None => MEMBER.to_owned(),
    };
    let most = match literal {
        true => "1",
        false => "case when null then 0 else 1 end",
    };
    let mut outer = parsed(&format!(
        "select 1 where coalesce((select case when count(*) > count({value}) then 2 \
         when count(*) > 0 then 1 else 0 end from (select 1) as {HIDDEN}({MEMBER})), 0) <= {most}"
    ))?;
    let SetExpr::Select(select) = outer.body.as_mut() else {
        return Err(not_made());
    };
    let mut made = select.selection.take().ok_or_else(not_made)?;
    if let Expr::BinaryOp { right, .. } = &mut made
        && let Expr::Case { conditions, .. } = right.as_mut()
        && let [when] = conditions.as_mut_slice()
    {
        when.condition = Expr::IsNull(Box::new(Expr::Nested(Box::new(sought.clone()))));
    }
    // The visitor stops after it has replaced the query.
    let filled = match plain {
        Some((_, rows)) => VisitMut::visit(&mut made, &mut Rows(query, rows)),
        None => VisitMut::visit(&mut made, &mut Fill(Some(query))),
    };
    match filled {
        ControlFlow::Break(()) => Ok(made),
        ControlFlow::Continue(()) => Err(not_made()),
    }
}

/// The value and the select of a query whose rows are those of its FROM and WHERE. Only such a query may
/// read outer columns.
fn of_rows(query: &Query) -> Option<(&Expr, &Select)> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let (SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) =
        select.projection.first()?
    else {
        return None;
    };
    let bare = query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.projection.len() == 1
        && select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, more) if keys.is_empty() && more.is_empty());
    let mut names = Names::of_expression(value).calls.into_iter();
    let one_row = names.all(|call| !call.window && !registry().aggregate.contains_key(&call.name));
    (bare && one_row).then_some((value, select))
}

/// True if it names columns of tables that are not its own; then it could only be counted for equal keys.
fn looks_around(query: &Query) -> bool {
    #[derive(Default)]
    struct Named {
        tables: Vec<String>,
        of: Vec<String>,
    }
    impl Visitor for Named {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Table { name, alias, .. } => {
                    let own = name.0.last().and_then(|part| part.as_ident());
                    let own = alias.as_ref().map(|alias| &alias.name).or(own);
                    self.tables.extend(own.map(fold));
                }
                TableFactor::Derived { alias, .. } => {
                    self.tables.extend(alias.as_ref().map(|a| fold(&a.name)));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(parts) = expr
                && let [.., table, _] = parts.as_slice()
            {
                self.of.push(fold(table));
            }
            ControlFlow::Continue(())
        }
    }
    let mut named = Named::default();
    // The visitor never breaks.
    let _ = query.visit(&mut named);
    named.of.iter().any(|table| !named.tables.contains(table))
}

/// `not exists (select VALUE from … where … [and VALUE is null])`.
fn no_row(counted: Counted, query: &Query, value: &Expr, rows: &Select) -> Expr {
    let mut rows = rows.clone();
    if let Counted::Nulls = counted {
        let missing = Expr::IsNull(Box::new(Expr::Nested(Box::new(value.clone()))));
        rows.selection = Some(match rows.selection.take() {
            Some(condition) => and(Expr::Nested(Box::new(condition)), missing),
            None => missing,
        });
    }
    let mut query = query.clone();
    query.order_by = None;
    *query.body = SetExpr::Select(Box::new(rows));
    Expr::Exists {
        subquery: Box::new(query),
        negated: true,
    }
}

/// Appends FROM and WHERE of a query to its count.
struct Rows<'a>(&'a Query, &'a Select);

impl VisitorMut for Rows<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_mut() else {
            return ControlFlow::Continue(());
        };
        let counted = std::mem::take(&mut select.projection);
        *query = self.0.clone();
        query.order_by = None;
        let mut rows = self.1.clone();
        rows.projection = counted;
        *query.body = SetExpr::Select(Box::new(rows));
        ControlFlow::Break(())
    }
}

/// Appends a whole query to its count.
struct Fill<'a>(Option<&'a Query>);

impl VisitorMut for Fill<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match (factor, self.0.take()) {
            (TableFactor::Derived { subquery, .. }, Some(query)) => {
                **subquery = query.clone();
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Refuses a `NOT IN (SELECT …)` that is not a part of a condition.
fn refuse_inside(sql: &str, expr: &mut Expr) -> Result<(), SqlProblem> {
    struct Inside<'a> {
        sql: &'a str,
        depth: usize,
    }
    impl VisitorMut for Inside<'_> {
        type Break = SqlProblem;
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlProblem> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlProblem> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlProblem> {
            match expr {
                Expr::InSubquery { expr: sought, .. } if self.depth == 0 => ControlFlow::Break(
                    SqlProblem::new(
                        "M0311",
                        "not supported: `IN (SELECT …)` inside another expression",
                    )
                    .at(place::of_parse(self.sql, sought.span()))
                    .help("make it a condition of its own, joined with AND, OR and NOT only")
                    .help("or join the query and test whether its column is NULL"),
                ),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match expr.visit(&mut Inside { sql, depth: 0 }) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}
