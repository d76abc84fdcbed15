//! Names the computed columns of a query that have no alias.
//!
//! Promise: the name is the text of the expression (`count(*)`, `a + 1`), as in DuckDB; a cast column keeps
//! its name. No two named columns of one SELECT are equal, and the names do not depend on the planner. Only
//! queries whose columns someone can see are named, not those inside an expression. It knows no table: what
//! `*` stands for is not looked at. Why: `docs/decisions/0019-names-of-computed-columns.md`.

use std::collections::BTreeSet;
use std::mem;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, SetQuantifier, Spanned,
    TableFactor, Value, VisitMut, VisitorMut,
};

use crate::names::fold;
use crate::nodes::nothing;
use crate::place;

/// The most characters of a name.
const LONGEST: usize = 60;

/// Names the columns of every query in it whose columns can be seen.
pub(crate) fn name_columns<V: VisitMut>(tree: &mut V) {
    // The visitor never breaks.
    let _ = tree.visit(&mut Headings { inside: 0 });
}

/// A column of a query that has neither an alias nor a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnnamedColumn {
    /// The name that it gets; `None` if the text does not say it.
    pub name: Option<String>,
    /// Its position in the text, in bytes.
    pub offset: Option<(usize, usize)>,
}

/// Names the columns of a parsed query. Returns those of its result that had neither an alias nor a name of
/// their own.
pub(crate) fn name_result(sql: &str, query: &mut Query) -> Vec<UnnamedColumn> {
    let items = first_select(&mut query.body).map_or(&[][..], |select| &select.projection);
    let unnamed = items.iter().enumerate();
    // Each with its place in the list, whether it makes several columns, and its position in the text.
    let unnamed: Vec<_> = unnamed
        .filter_map(|(at, item)| match item {
            SelectItem::UnnamedExpr(expr) if uncast(expr).is_none() => {
                Some((at, is_unnest(expr), place::of_parse(sql, expr.span())))
            }
            _ => None,
        })
        .collect();
    name_columns(query);
    if unnamed.is_empty() {
        return Vec::new();
    }
    let named = first_select(&mut query.body).map_or(&[][..], |select| &select.projection);
    unnamed
        .into_iter()
        .map(|(at, unnests, offset)| {
            let name = match named.get(at) {
                Some(SelectItem::ExprWithAlias { alias, .. }) if !unnests => {
                    Some(alias.value.clone())
                }
                _ => None,
            };
            UnnamedColumn { name, offset }
        })
        .collect()
}

/// True for `unnest(…)`: of a struct it makes a column for each member, with names of the planner.
fn is_unnest(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_unnest(inner),
        Expr::Function(call) => call.name.to_string().eq_ignore_ascii_case("unnest"),
        _ => false,
    }
}

/// The SELECT that gives a query its names.
fn first_select(body: &mut SetExpr) -> Option<&mut Select> {
    let mut rest = body;
    loop {
        rest = match rest {
            SetExpr::Select(select) => return Some(select),
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(query) => &mut query.body,
            _ => return None,
        };
    }
}

struct Headings {
    /// The number of expressions around the visited node.
    inside: usize,
}

impl VisitorMut for Headings {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if self.inside == 0 && order_by_names(query) {
            name_body(&mut query.body);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }
}

/// Names the columns of the first SELECT of a body; of the others too where they are matched by name.
fn name_body(body: &mut SetExpr) {
    let mut rest = body;
    loop {
        rest = match rest {
            SetExpr::Select(select) => return name_items(select),
            SetExpr::SetOperation {
                left,
                right,
                set_quantifier,
                ..
            } => {
                if by_name(*set_quantifier) {
                    name_body(right);
                }
                left
            }
            // A query inside is visited by itself.
            _ => return,
        };
    }
}

/// Orders a SELECT DISTINCT by the names of its columns where ORDER BY repeats their expressions: the planner
/// does not see that `distinct a + 1` has what `order by a + 1` asks for once it has another name. False if
/// ORDER BY has an expression that is none of them, as far as the text says it.
fn order_by_names(query: &mut Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return true;
    };
    let Some(OrderByKind::Expressions(orders)) = query.order_by.as_mut().map(|by| &mut by.kind)
    else {
        return true;
    };
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return true;
    }
    let same = |order: &Expr| {
        let text = lower(&order.to_string());
        let place = select.projection.iter().position(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                lower(&expr.to_string()) == text
            }
            _ => false,
        });
        place.map(|place| (place + 1).to_string())
    };
    let has_wildcard = has_wildcard(&select.projection);
    for order in orders {
        if uncast(&order.expr).is_some() || matches!(order.expr, Expr::Value(_)) {
            continue;
        }
        match same(&order.expr).filter(|_| !has_wildcard) {
            Some(place) => order.expr = Expr::Value(Value::Number(place, false).with_empty_span()),
            None => return false,
        }
    }
    true
}

pub(crate) fn by_name(quantifier: SetQuantifier) -> bool {
    matches!(
        quantifier,
        SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName
    )
}

fn name_items(select: &mut Select) {
    let relations = relations(select);
    let items = &mut select.projection;
    let mut taken: BTreeSet<String> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(lower(&fold(alias))),
            SelectItem::UnnamedExpr(expr) if is_column(expr, &relations) => {
                uncast(expr).map(|name| lower(&name))
            }
            _ => None,
        })
        .collect();
    let has_wildcard = has_wildcard(items);
    for item in items {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        if is_column(expr, &relations) {
            continue;
        }
        let own = uncast(expr).filter(|own| !has_wildcard && !taken.contains(&lower(own)));
        let alias = match own {
            Some(own) => own,
            None => free(&text(expr), &taken),
        };
        taken.insert(lower(&alias));
        let expr = mem::replace(expr, nothing());
        let alias = Ident::with_quote_and_span('"', expr.span(), alias);
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
}

fn has_wildcard(items: &[SelectItem]) -> bool {
    items.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    })
}

fn lower(name: &str) -> String {
    name.to_lowercase()
}

/// The names that may stand before a column: aliases, tables, tables with their schema.
fn relations(select: &Select) -> BTreeSet<String> {
    let mut open: Vec<&TableFactor> = Vec::new();
    let mut found = BTreeSet::new();
    for from in &select.from {
        open.push(&from.relation);
        open.extend(from.joins.iter().map(|join| &join.relation));
    }
    while let Some(factor) = open.pop() {
        let alias = match factor {
            TableFactor::Table { name, alias, .. } => {
                let parts: Vec<String> = name
                    .0
                    .iter()
                    .filter_map(|part| part.as_ident())
                    .map(fold)
                    .collect();
                found.extend(parts.last().cloned());
                found.insert(parts.join("."));
                alias
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                open.push(&table_with_joins.relation);
                open.extend(table_with_joins.joins.iter().map(|join| &join.relation));
                alias
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::Pivot { alias, .. }
            | TableFactor::Unpivot { alias, .. } => alias,
            _ => continue,
        };
        found.extend(alias.as_ref().map(|alias| fold(&alias.name)));
    }
    found
}

/// True for a column, with or without parentheses. A member of a struct is computed: `address.city`.
fn is_column(expr: &Expr, relations: &BTreeSet<String>) -> bool {
    match expr {
        Expr::Identifier(_) => true,
        Expr::Nested(inner) => is_column(inner, relations),
        Expr::CompoundIdentifier(parts) => {
            let before = parts.split_last().map_or(&[][..], |(_, before)| before);
            let before: Vec<String> = before.iter().map(fold).collect();
            relations.contains(&before.join("."))
        }
        _ => false,
    }
}

/// The name of a column or member, also of one that is cast.
pub(crate) fn uncast(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(fold(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => uncast(expr),
        _ => None,
    }
}

/// The text of an expression, on one line.
fn text(expr: &Expr) -> String {
    let whole = expr.to_string().replace(char::is_control, " ");
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default().trim_end()),
        None => whole,
    }
}

/// The name, or with a number if it is taken.
fn free(name: &str, taken: &BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    while taken.contains(&lower(&free)) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::statement;

    fn unnamed(sql: &str) -> Vec<UnnamedColumn> {
        statement::named_query(sql).unwrap().unnamed
    }

    fn named(sql: &str) -> String {
        let mut query = statement::parsed_query(sql).unwrap();
        name_columns(query.as_mut());
        query.to_string()
    }

    #[test]
    fn computed_columns_have_the_text_of_their_expression() {
        for (sql, right) in [
            (
                "select count(*), t.a + 1, 'x', a from t",
                r#"SELECT count(*) AS "count(*)", t.a + 1 AS "t.a + 1", 'x' AS "'x'", a FROM t"#,
            ),
            (
                "select 1, 1, a, (a), COUNT(*) n, count(*) from t",
                r#"SELECT 1 AS "1", 1 AS "1_1", a, (a), COUNT(*) AS n, count(*) AS "count(*)" FROM t"#,
            ),
            (
                "select a::int, t.b::text, B::date from t",
                r#"SELECT a::INT AS "a", t.b::TEXT AS "b", B::DATE AS "B::DATE" FROM t"#,
            ),
            (
                "select *, a::int from t",
                r#"SELECT *, a::INT AS "a::INT" FROM t"#,
            ),
            (
                "with x as (select max(a) from t) select * from (select a + 1 from x) union all select 2",
                r#"WITH x AS (SELECT max(a) AS "max(a)" FROM t) SELECT * FROM (SELECT a + 1 AS "a + 1" FROM x) UNION ALL SELECT 2"#,
            ),
            (
                "select r.t.a, u.b, s.city, u.s.zip::int, t.s.city from r.t join (select 1) u on true",
                r#"SELECT r.t.a, u.b, s.city AS "city", u.s.zip::INT AS "zip", t.s.city AS "t.s.city" FROM r.t JOIN (SELECT 1 AS "1") u ON true"#,
            ),
            (
                "select a from t where b in (select max(c) from u)",
                "SELECT a FROM t WHERE b IN (SELECT max(c) FROM u)",
            ),
            (
                "select distinct a + 1, LOWER(b) as c from t order by a + 1 desc, c, lower(b)",
                r#"SELECT DISTINCT a + 1 AS "a + 1", LOWER(b) AS c FROM t ORDER BY 1 DESC, c, 2"#,
            ),
            (
                "select distinct t.a + 1 from t order by a + 1",
                "SELECT DISTINCT t.a + 1 FROM t ORDER BY a + 1",
            ),
            (
                "select 1 union by name select 1",
                r#"SELECT 1 AS "1" UNION BY NAME SELECT 1 AS "1""#,
            ),
        ] {
            assert_eq!(named(sql), right);
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = format!("concat({})", ["'0123456789'"; 9].join(", "));
        let found = unnamed(&format!("select {long}, {long} from t"));
        let names: Vec<&str> = found.iter().filter_map(|one| one.name.as_deref()).collect();
        assert!(names[0].ends_with('…') && names[0].chars().count() <= LONGEST + 1);
        assert_eq!(names[1], format!("{}_1", names[0]));
    }

    #[test]
    fn unnamed_columns_have_a_position() {
        let sql = "select a, b::int, lower(c) from t union select 1, 2, 'x'";
        let found = unnamed(sql);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name.as_deref(), Some("lower(c)"));
        let (start, end) = found[0].offset.unwrap();
        assert_eq!(&sql[start..end].to_lowercase()[..5], "lower");
        assert!(unnamed("select a as b from t").is_empty());
    }

    #[test]
    fn unnamed_columns_have_the_name_that_they_get_or_none() {
        for (sql, right) in [
            ("select distinct a + 1 from t order by a + 1", Some("a + 1")),
            ("select distinct t.a + 1 from t order by a + 1", None),
            ("select unnest(s) from t", None),
            ("(select a + 1 from t) union all select 2", Some("a + 1")),
        ] {
            let found = unnamed(sql);
            assert_eq!(found.len(), 1, "{sql}");
            assert_eq!(found[0].name.as_deref(), right, "{sql}");
            if let Some(name) = right {
                assert!(named(sql).contains(&format!("AS \"{name}\"")), "{sql}");
            }
        }
    }
}
