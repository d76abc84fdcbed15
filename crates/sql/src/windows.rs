//! Puts named windows in place of their names: `sum(x) OVER w`, `OVER (w ROWS 1 PRECEDING)`, `WINDOW w AS (…)`.
//!
//! Promise: a name means the same in the select list, QUALIFY and ORDER BY, and a window that extends another
//! has its partitions and its order, by PostgreSQL's rules. The planner resolves names in the select list only,
//! and forgets what a window extends. It knows no table and no type. Read next: `statement.rs`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query, Select, SetExpr,
    VisitMut, VisitorMut, WindowSpec, WindowType,
};

use crate::names::fold;
use crate::place;
use crate::problem::SqlProblem;

/// Resolves the named windows of each query. `sql` is the text of its positions.
pub(crate) fn resolve<V: VisitMut>(sql: &str, tree: &mut V) -> Result<(), SqlProblem> {
    match tree.visit(&mut Queries(sql)) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Queries<'a>(&'a str);

impl VisitorMut for Queries<'_> {
    type Break = SqlProblem;

    // A query inside has been visited before, and keeps its own names.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlProblem> {
        let SetExpr::Select(select) = query.body.as_mut() else {
            return ControlFlow::Continue(());
        };
        let mut uses = Uses {
            sql: self.0,
            known: Vec::new(),
        };
        if let Err(problem) = uses.define(select) {
            return ControlFlow::Break(problem);
        }
        for item in &mut select.projection {
            item.visit(&mut uses)?;
        }
        if let Some(qualify) = &mut select.qualify {
            qualify.visit(&mut uses)?;
        }
        if let Some(order) = &mut query.order_by
            && let OrderByKind::Expressions(items) = &mut order.kind
        {
            for item in items {
                item.visit(&mut uses)?;
            }
        }
        ControlFlow::Continue(())
    }
}

struct Uses<'a> {
    sql: &'a str,
    known: Vec<(String, WindowSpec)>,
}

impl Uses<'_> {
    /// Reads the definitions; each may use those before it.
    fn define(&mut self, select: &mut Select) -> Result<(), SqlProblem> {
        for NamedWindowDefinition(name, window) in &mut select.named_window {
            let spec = match window {
                NamedWindowExpr::NamedWindow(other) => self.named(other)?.clone(),
                NamedWindowExpr::WindowSpec(spec) => self.extended(spec.clone())?,
            };
            *window = NamedWindowExpr::WindowSpec(spec.clone());
            self.known.push((fold(name), spec));
        }
        Ok(())
    }

    fn named(&self, name: &Ident) -> Result<&WindowSpec, SqlProblem> {
        let folded = fold(name);
        let mut known = self.known.iter();
        let found = known.find(|(known, _)| *known == folded);
        found.map(|(_, spec)| spec).ok_or_else(|| {
            SqlProblem::new(
                "M0310",
                format!("the window `{}` is not defined", name.value),
            )
            .at(place::of_parse(self.sql, name.span))
            .help(format!("define it: `WINDOW {name} AS (…)`"))
        })
    }

    /// A window with what it has from the one that it names.
    fn extended(&self, mut spec: WindowSpec) -> Result<WindowSpec, SqlProblem> {
        let Some(name) = spec.window_name.take() else {
            return Ok(spec);
        };
        let base = self.named(&name)?;
        let wrong = if !spec.partition_by.is_empty() {
            "has a PARTITION BY of its own"
        } else if !spec.order_by.is_empty() && !base.order_by.is_empty() {
            "has another ORDER BY"
        } else if base.window_frame.is_some() {
            "extends one with a frame"
        } else {
            spec.partition_by.clone_from(&base.partition_by);
            if spec.order_by.is_empty() {
                spec.order_by.clone_from(&base.order_by);
            }
            return Ok(spec);
        };
        let message = format!("a window that extends `{}` {wrong}", name.value);
        Err(SqlProblem::new("M0310", message)
            .at(place::of_parse(self.sql, name.span))
            .help("write the whole window: `OVER (PARTITION BY … ORDER BY …)`"))
    }
}

impl VisitorMut for Uses<'_> {
    type Break = SqlProblem;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlProblem> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let resolved = match &function.over {
            Some(WindowType::NamedWindow(name)) => self.named(name).cloned(),
            Some(WindowType::WindowSpec(spec)) if spec.window_name.is_some() => {
                self.extended(spec.clone())
            }
            _ => return ControlFlow::Continue(()),
        };
        match resolved {
            Ok(spec) => {
                function.over = Some(WindowType::WindowSpec(spec));
                ControlFlow::Continue(())
            }
            Err(problem) => ControlFlow::Break(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    fn resolved(sql: &str) -> String {
        match crate::query(sql) {
            Ok(statement) => statement.to_string(),
            Err(problem) => format!("{}: {}", problem.code, problem.message),
        }
    }

    #[test]
    fn named_windows_mean_the_same_everywhere() {
        let order = resolved("select x from raw.a window w as (order by y) order by sum(x) over w");
        assert!(
            order.contains("ORDER BY sum(x) OVER (ORDER BY y)"),
            "{order}"
        );
        let qualify =
            resolved("select x from raw.a qualify sum(x) over w > 3 window w as (order by y)");
        assert!(
            qualify.contains("QUALIFY sum(x) OVER (ORDER BY y) > 3"),
            "{qualify}"
        );
        let extended = resolved(
            "select sum(x) over (v rows 1 preceding) as s from raw.a window w as (partition by z), v as (w order by y)",
        );
        assert!(
            extended.contains("OVER (PARTITION BY z ORDER BY y ROWS 1 PRECEDING)"),
            "{extended}"
        );
    }

    #[test]
    fn windows_that_cannot_be_extended_are_refused() {
        for (sql, said) in [
            ("select sum(x) over w as s from raw.a", "`w` is not defined"),
            (
                "select x from raw.a order by sum(x) over w",
                "`w` is not defined",
            ),
            (
                "select sum(x) over (w partition by y) as s from raw.a window w as (order by x)",
                "PARTITION BY of its own",
            ),
            (
                "select sum(x) over (w order by y) as s from raw.a window w as (order by x)",
                "another ORDER BY",
            ),
            (
                "select sum(x) over (w order by y) as s from raw.a window w as (rows 1 preceding)",
                "one with a frame",
            ),
        ] {
            let message = resolved(sql);
            assert!(message.contains(said), "{sql}: {message}");
        }
    }
}
