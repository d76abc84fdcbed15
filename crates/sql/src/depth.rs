//! Measures how deep a statement nests, because planning and typing recurse as deep and the stack is
//! limited.
//!
//! Promise: the depth is the longest path from the result to a table. Each query, set operation, join and
//! CTE on it counts one. The deepest expression of each query is added, because the planner may move
//! expressions into the next query. A statement that passes fits in the stacks that `cli` gives its
//! threads. `balance.rs` has limited each single expression and set operation before.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, SetExpr, Statement as SqlStatement, Visit,
    Visitor,
};
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::dialect::SQL_DIALECT;
use crate::problem::SqlProblem;

/// The largest depth of a statement, with the views that it reads.
pub const DEEPEST: usize = 5_000;
/// The most set operations in one chain.
pub(crate) const MOST_SETS: usize = 2_000;
/// The largest depth of a single expression.
pub(crate) const DEEPEST_EXPRESSION: usize = 500;
/// The most words between two commas. Even the check of a longer chain would recurse too deep.
const LONGEST_RUN: usize = 100_000;

/// The problem of a statement that is too deep.
pub(crate) fn too_deep(what: &str, limit: usize) -> SqlProblem {
    let message = format!("{what}: at most {limit} are possible");
    SqlProblem::new("M0313", message).help(
        "split it: build a part of it as a table of its own (`materialized: table`), and read that",
    )
}

/// Refuses a text that is too deep to be parsed.
///
/// # Errors
/// M0313.
pub fn check_text(sql: &str) -> Result<(), SqlProblem> {
    if sql.len() <= LONGEST_RUN {
        return Ok(());
    }
    // What cannot be split into words is explained by the parser.
    let tokens = Tokenizer::new(&SQL_DIALECT, sql).tokenize();
    let (mut runs, mut run) = (Vec::new(), 0_usize);
    for token in tokens.unwrap_or_default() {
        match token {
            Token::Whitespace(_) => {}
            Token::LParen | Token::LBracket | Token::LBrace => {
                runs.push(std::mem::take(&mut run));
            }
            Token::RParen | Token::RBracket | Token::RBrace => run = runs.pop().unwrap_or(0) + 1,
            Token::Comma | Token::SemiColon => run = 0,
            _ => run += 1,
        }
        if run > LONGEST_RUN {
            return Err(too_deep("words without a comma between them", LONGEST_RUN));
        }
    }
    Ok(())
}

/// How many expressions the planner makes from one: a path into lists and structs is one for each step.
pub(crate) fn weight(expr: &Expr) -> usize {
    match expr {
        Expr::CompoundFieldAccess { access_chain, .. } => 1 + access_chain.len(),
        Expr::CompoundIdentifier(parts) => parts.len(),
        _ => 1,
    }
}

/// The longest chain of set operations in a query's body.
pub(crate) fn set_operations(body: &SetExpr) -> usize {
    let (mut open, mut deepest) = (vec![(body, 0)], 0);
    while let Some((node, depth)) = open.pop() {
        deepest = deepest.max(depth);
        if let SetExpr::SetOperation { left, right, .. } = node {
            open.push((left, depth + 1));
            open.push((right, depth + 1));
        }
    }
    deepest
}

/// The most tables that one SELECT of a query's body joins.
fn joins(body: &SetExpr) -> usize {
    let (mut open, mut most) = (vec![body], 0);
    while let Some(node) = open.pop() {
        match node {
            SetExpr::SetOperation { left, right, .. } => open.extend([left.as_ref(), right]),
            SetExpr::Select(select) => {
                let joined = select.from.iter().map(|from| from.joins.len() + 1);
                most = most.max(joined.sum());
            }
            _ => {}
        }
    }
    most
}

/// The depth of a statement.
///
/// # Errors
/// M0313 if it is deeper than `DEEPEST`.
pub fn depth(statement: &SqlStatement) -> Result<usize, SqlProblem> {
    let mut walk = Walk::default();
    let ended = statement.visit(&mut walk);
    let depth = walk
        .ended
        .max(walk.open.first().map_or(0, |query| query.deepest_part));
    match ended {
        ControlFlow::Continue(()) if depth <= DEEPEST => Ok(depth),
        _ => Err(too_deep(
            "queries, joins, set operations and expressions on one way to a table",
            DEEPEST,
        )),
    }
}

/// A query that is being visited.
struct Open {
    /// The number of expressions around it.
    outside: usize,
    deepest_expression: usize,
    /// The deepest query in it, or CTE that it reads.
    deepest_part: usize,
    /// The depths of its visited CTEs, by name.
    ctes: HashMap<String, usize>,
}

#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    expressions: usize,
    /// CTEs that are not visited yet, by the position of their query.
    names: HashMap<usize, String>,
    ended: usize,
}

/// A name as the planner compares it: a quoted name keeps its case, without the quotes.
fn normalized(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

/// The name by which the planner finds a CTE. A name with a schema keeps its dot, so it only matches a CTE
/// with a dot in its name.
fn relation_name(relation: &ObjectName) -> String {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(ident) => normalized(ident),
        ObjectNamePart::Function(function) => normalized(&function.name),
    };
    let parts: Vec<String> = relation.0.iter().map(part).collect();
    parts.join(".")
}

fn place(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Visitor for Walk {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = normalized(&cte.alias.name);
            self.names.insert(place(&cte.query), name);
        }
        self.open.push(Open {
            outside: self.expressions,
            deepest_expression: 0,
            deepest_part: 0,
            ctes: HashMap::new(),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(ended) = self.open.pop() else {
            return ControlFlow::Continue(());
        };
        let own = 1 + set_operations(&query.body) + joins(&query.body) + ended.deepest_expression;
        let depth = own + ended.deepest_part;
        match (self.names.remove(&place(query)), self.open.last_mut()) {
            (Some(name), Some(around)) => {
                let known = around.ctes.entry(name).or_default();
                *known = depth.max(*known);
            }
            (None, Some(around)) => around.deepest_part = around.deepest_part.max(depth),
            (_, None) => self.ended = self.ended.max(depth),
        }
        match depth > DEEPEST {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation_name(relation);
        let mut around = self.open.iter().rev();
        let depth = around.find_map(|query| query.ctes.get(&name).copied());
        if let (Some(depth), Some(query)) = (depth, self.open.last_mut()) {
            query.deepest_part = query.deepest_part.max(depth);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.expressions += weight(expr);
        if let Some(query) = self.open.last_mut() {
            let depth = self.expressions - query.outside;
            query.deepest_expression = query.deepest_expression.max(depth);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.expressions = self.expressions.saturating_sub(weight(expr));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::statement::{expression, query};

    fn depth_of(sql: &str) -> usize {
        let datafusion_sql::parser::Statement::Statement(statement) = query(sql).unwrap() else {
            panic!("{sql}");
        };
        depth(&statement).unwrap()
    }

    #[test]
    fn depth_is_the_longest_way_to_a_table() {
        for (sql, expected) in [
            ("select 1", 2),
            ("select a from r.t", 3),
            ("select 1 union all select 2 union all select 3", 4),
            ("select a from r.t join r.u using (b) join r.v using (c)", 5),
            ("select a from (select a from r.t) x", 6),
            ("with x as (select a from r.t) select a from x", 6),
            (
                "with x as (select 1 a), y as (select a from x), z as (select 1) select a from y",
                8,
            ),
            ("select (select max(a) from r.t) + 1", 7),
        ] {
            assert_eq!(depth_of(sql), expected, "{sql}");
        }
    }

    /// On a stack of its own: those of tests are small.
    fn deep(sql: impl Fn() -> String + Send + 'static) -> Option<&'static str> {
        let thread = std::thread::Builder::new().stack_size(256 << 20);
        let found = thread.spawn(move || query(&sql()).err().map(|problem| problem.code));
        found.unwrap().join().unwrap()
    }

    #[test]
    fn what_is_too_deep_is_refused_whatever_it_is_made_of() {
        let nested = |open: &str, core: &str, close: &str, times: usize| {
            let (open, close) = (open.repeat(times), close.repeat(times));
            format!("select {open}{core}{close}")
        };
        for (what, sql) in [
            ("parentheses", nested("(", "1", ")", 100_000)),
            ("case", nested("case when true then ", "1", " end", 100_000)),
            ("subqueries", nested("(select ", "1", ")", 100_000)),
            ("not", nested("not ", "true", "", 100_000)),
            ("minus", nested("- ", "1", "", 100_000)),
            ("functions", nested("abs(", "1", ")", 100_000)),
            ("lists", nested("[", "1", "]", 100_000)),
            ("plus", nested("", "1", "+1", 100_000)),
            ("casts", nested("", "1", "::int", 100_000)),
            ("is null", nested("", "1", " is null", 30_000)),
            ("subscripts", nested("", "a", "[1]", 30_000)),
            ("zones", nested("", "now()", " at time zone 'UTC'", 20_000)),
            ("unions", nested("", "1", " union all select 1", 30_000)),
            ("excepts", nested("", "1", " except select 1", 30_000)),
            ("chains", nested("", "1", "+1", 5_000_000)),
            ("in", nested("1 in (", "1", ")", 100_000)),
            ("exists", nested("exists (select ", "1", ")", 100_000)),
        ] {
            let found = deep(move || sql.clone());
            assert!(
                matches!(found, Some("M0313" | "M0305")),
                "{what}: {found:?}"
            );
        }
    }

    fn quoted_chain(length: usize, name: impl Fn(usize) -> String) -> String {
        let cte = |at: usize| {
            let (own, before) = (name(at), name(at - 1));
            format!(", {own} as (select a + 1 as a from {before})")
        };
        let ctes: String = (1..length).map(cte).collect();
        let (first, last) = (name(0), name(length - 1));
        format!("with {first} as (select 1 as a){ctes} select a from {last}")
    }

    #[test]
    fn a_cte_is_known_by_its_name_where_the_planner_knows_it() {
        let deep = "select a from (select a from (select 1 as a) v) w";
        for (sql, expected) in [
            (format!("with x as ({deep}) select a from X"), 11),
            (format!("with \"x\" as ({deep}) select a from x"), 11),
            (format!("with X as ({deep}) select a from \"x\""), 11),
            (format!("with \"X\" as ({deep}) select a from \"X\""), 11),
            (format!("with \"X\" as ({deep}) select a from x"), 3),
            (format!("with x as ({deep}) select a from r.x"), 3),
            (format!("with x as ({deep}) select a from \"r\".\"x\""), 3),
            (
                format!("with x as ({deep}), \"X\" as (select 1) select a from x"),
                11,
            ),
            (
                format!(
                    "with x as ({deep}) select a from (with x as (select 1 as a) select a from x) z, x"
                ),
                12,
            ),
            (
                format!("with z as (with x as ({deep}) select 1 from x) select a from x"),
                3,
            ),
        ] {
            let datafusion_sql::parser::Statement::Statement(parsed) = query(&sql).unwrap() else {
                panic!("{sql}");
            };
            assert_eq!(depth(&parsed).unwrap(), expected, "{sql}");
        }
    }

    #[test]
    fn long_chains_of_ctes_are_refused_and_long_lists_are_not() {
        let chain = |length: usize| {
            let ctes: Vec<String> = (1..length)
                .map(|at| format!("c{at} as (select a + 1 as a from c{})", at - 1))
                .collect();
            let ctes = ctes.join(", ");
            format!(
                "with c0 as (select 1 as a), {ctes} select a from c{}",
                length - 1
            )
        };
        assert_eq!(deep(move || chain(1_000)), None);
        assert_eq!(deep(move || chain(1_200)), None);
        assert_eq!(deep(move || chain(20_000)), Some("M0313"));
        let quoted = |length: usize| quoted_chain(length, |at| format!("\"C{at}\""));
        assert_eq!(deep(move || quoted(1_200)), None);
        assert_eq!(deep(move || quoted(20_000)), Some("M0313"));
        let dotted = |length: usize| {
            let ctes = quoted_chain(length, |at| format!("\"c.{at}\""));
            ctes.replace("from \"c.", "from c.\"")
        };
        assert_eq!(deep(move || dotted(20_000)), Some("M0313"));
        assert_eq!(
            deep(|| format!("values {}(1)", "(1), ".repeat(60_000))),
            None
        );
        let ors = |times: usize| format!("select 1 where {}true", "1 = 2 or ".repeat(times));
        assert_eq!(deep(move || ors(2_000)), None);
        let branches = |times: usize| format!("select 1{}", " union all select 1".repeat(times));
        assert_eq!(deep(move || branches(800)), None);
        assert!(expression(&format!("1{}", "::int".repeat(90_000))).is_err());
    }
}
