//! The names of a query's columns, as far as its text alone says them.
//!
//! Promise: names are returned only if they are the same for every content of the tables: the SELECT lists
//! its columns, or takes all columns of a CTE or subquery that does. It knows no table and no type. Read
//! next: `headings.rs`, which names columns without an alias.

use datafusion_sql::sqlparser::ast::{
    Expr, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor, WildcardAdditionalOptions,
};

use crate::balance::balance;
use crate::headings;
use crate::names::fold;
use crate::statement;

/// More columns than any table has: `SELECT x.*, x.*` in a chain of CTEs doubles them each time.
const MOST_NAMES: usize = 100_000;

/// The CTEs that can be named here, the innermost last, with their columns; `None` if they depend on a table.
type Known = Vec<(String, Option<Vec<String>>)>;

/// The names of a query's columns, in order; `None` if they depend on the columns of a table.
#[must_use]
pub fn column_names(sql: &str) -> Option<Vec<String>> {
    let mut query = statement::parsed_query(sql)?;
    balance(query.as_mut()).ok()?;
    headings::name_columns(query.as_mut());
    of_named(&query)
}

/// As `column_names`, of a query whose computed columns have names.
pub(crate) fn of_named(query: &Query) -> Option<Vec<String>> {
    of_query(query, &mut Known::new())
}

fn of_query(query: &Query, known: &mut Known) -> Option<Vec<String>> {
    let around = known.len();
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        let name = fold(&cte.alias.name);
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        if recursive {
            // It may name itself, before its columns are known.
            known.push((name.clone(), None));
        }
        let columns = renamed(of_query(&cte.query, known), &cte.alias);
        known.push((name, columns));
    }
    let columns = of_body(&query.body, known);
    known.truncate(around);
    columns
}

/// The columns of a table with an alias: `AS t(a, b)` names the first ones.
fn renamed(columns: Option<Vec<String>>, alias: &TableAlias) -> Option<Vec<String>> {
    let mut columns = columns?;
    for (column, given) in columns.iter_mut().zip(&alias.columns) {
        *column = fold(&given.name);
    }
    Some(columns)
}

fn of_body(body: &SetExpr, known: &mut Known) -> Option<Vec<String>> {
    let mut rest = body;
    loop {
        rest = match rest {
            SetExpr::Select(select) => return of_select(select, known),
            SetExpr::Query(query) => return of_query(query, known),
            SetExpr::SetOperation {
                left,
                set_quantifier,
                ..
            } if !headings::by_name(*set_quantifier) => left,
            _ => return None,
        };
    }
}

fn of_select(select: &Select, known: &mut Known) -> Option<Vec<String>> {
    let mut names = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { expr, alias } if !makes_columns(expr) => {
                names.push(fold(alias));
            }
            SelectItem::UnnamedExpr(expr) => names.push(headings::uncast(expr)?),
            SelectItem::Wildcard(options) if is_plain(options) => {
                let [from] = select.from.as_slice() else {
                    return None;
                };
                // A join with USING gives one column for two.
                if !from.joins.is_empty() {
                    return None;
                }
                names.extend(of_relation(&from.relation, known)?);
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if is_plain(options) => {
                let [part] = name.0.as_slice() else {
                    return None;
                };
                let wanted = fold(part.as_ident()?);
                names.extend(of_relation(relation(select, &wanted)?, known)?);
            }
            _ => return None,
        }
        if names.len() > MOST_NAMES {
            return None;
        }
    }
    Some(names)
}

/// True for `unnest`, which makes several columns of a struct.
fn makes_columns(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => makes_columns(inner),
        Expr::Function(call) => call.name.to_string().to_lowercase().contains("unnest"),
        _ => false,
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    options.to_string().is_empty()
}

/// The relation of FROM with a name, if only one has it.
fn relation<'s>(select: &'s Select, wanted: &str) -> Option<&'s TableFactor> {
    let all = select.from.iter().flat_map(|from| {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation).chain(joined)
    });
    let mut named = all.filter(|factor| name_of(factor).is_some_and(|name| name == wanted));
    match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(fold(&alias.name)),
            None => name.0.last()?.as_ident().map(fold),
        },
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| fold(&alias.name)),
        _ => None,
    }
}

fn of_relation(factor: &TableFactor, known: &mut Known) -> Option<Vec<String>> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } => {
            let [part] = name.0.as_slice() else {
                return None;
            };
            let name = fold(part.as_ident()?);
            let (_, columns) = known.iter().rev().find(|(known, _)| *known == name)?;
            let columns = columns.clone();
            with_alias(columns, alias.as_ref())
        }
        TableFactor::Derived {
            subquery, alias, ..
        } => with_alias(of_query(subquery, known), alias.as_ref()),
        _ => None,
    }
}

fn with_alias(columns: Option<Vec<String>>, alias: Option<&TableAlias>) -> Option<Vec<String>> {
    match alias {
        Some(alias) => renamed(columns, alias),
        None => columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_where_the_text_says_them() {
        for (sql, right) in [
            (
                "select a, t.B, count(*), c::int as d from raw.t",
                "a b count(*) d",
            ),
            ("select * from raw.t", "-"),
            (
                "with x as (with y as (select 1 as a) select * from y) select * from y",
                "-",
            ),
            (
                "with y as (select 1 as b), x as (with y as (select 1 as a) select * from y) select x.*, y.* from x join y on true",
                "a b",
            ),
            ("select t.*, 1 as x from raw.t t", "-"),
            (
                "with x as (select a, b from raw.t), y as (select * from x) select y.*, 1 as z from y join raw.u on true",
                "a b z",
            ),
            (
                "with x as (select a, b from raw.t) select * from x join raw.u using (a)",
                "-",
            ),
            (
                "with x(p) as (select a, b from raw.t) select * from x",
                "p b",
            ),
            (
                "select * from (select a from raw.t union all select b from raw.u) s(q)",
                "q",
            ),
            ("select a from raw.t union select b from raw.u", "a"),
            (
                "with recursive r as (select 1 as n union all select n + 1 from r) select * from r",
                "n",
            ),
            ("with recursive r as (select * from r) select * from r", "-"),
            ("select unnest(s) as m from raw.t", "-"),
            (
                "with x as (select a, b from raw.t) select * exclude (a) from x",
                "-",
            ),
            ("select \"A b\" from raw.t", "A b"),
            ("not sql", "-"),
        ] {
            let found = column_names(sql).map_or("-".to_owned(), |names| names.join(" "));
            assert_eq!(found, right, "{sql}");
        }
    }
}
