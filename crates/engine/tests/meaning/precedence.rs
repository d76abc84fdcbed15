//! Random expressions without parentheses, over all operators: both systems must group them alike.
//!
//! Promise: the parse of Towpath's dialect, written with all parentheses, means the same to PostgreSQL as the
//! expression without them. What PostgreSQL's grammar refuses is refused. It does not know the engine's
//! functions: `main.rs` runs the same texts there.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Value, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// Operators between two integers, and between two texts.
const OF_INTEGERS: &[&str] = &["+", "-", "*", "/", "%", "^", "&", "|", "<<", ">>", "+", "*"];
const OF_TEXTS: &[&str] = &["||", "||", "->>", "->"];
/// Tests of two texts.
const PATTERNS: &[&str] = &[
    "~",
    "~*",
    "!~",
    "!~*",
    "~~",
    "!~~",
    "^@",
    "like",
    "not like",
    "ilike",
    "similar to",
];
const COMPARISONS: &[&str] = &[
    "=",
    "<>",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "is distinct from",
    "is not distinct from",
];
const TESTS: &[&str] = &[
    "is null",
    "is not null",
    "is true",
    "is not true",
    "is false",
    "is unknown",
    "in (true)",
];

/// The row in which each expression is computed.
pub(crate) const ROW: &str =
    "(values (5, true, false, '{\"a\": {\"b\": 1}, \"b\": [1, 2]}'::json, 'a')) v(i, t, f, j, s)";

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one(&mut self, of: &'static [&'static str]) -> &'static str {
        of[self.below(of.len())]
    }

    fn integer(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one(&["1", "2", "3", "7", "i", "'4'::int"]).to_owned();
        }
        match self.below(6) {
            0 => format!("{} {}", self.one(&["-", "~", "+"]), self.integer(depth - 1)),
            1 => format!("{}::int", self.integer(depth - 1)),
            _ => {
                let (left, right) = (self.integer(depth - 1), self.integer(depth - 1));
                format!("{left} {} {right}", self.one(OF_INTEGERS))
            }
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one(&["'a'", "'b'", "'1'", "s", "j ->> 'c'", "'z'"])
                .to_owned();
        }
        match self.below(6) {
            0 => format!("{}::text", self.integer(depth - 1)),
            1 => format!("{} || {}", self.integer(depth - 1), self.text(depth - 1)),
            2 => format!("{} || {}", self.text(depth - 1), self.integer(depth - 1)),
            3 => format!("j -> 'a' ->> {}", self.text(depth - 1)),
            _ => {
                let (left, right) = (self.text(depth - 1), self.text(depth - 1));
                format!("{left} {} {right}", self.one(OF_TEXTS))
            }
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one(&["true", "false", "null", "t", "f"]).to_owned();
        }
        let next = depth - 1;
        match self.below(11) {
            0 => format!("not {}", self.condition(next)),
            1 => format!("{} {}", self.condition(next), self.one(TESTS)),
            2 | 3 => {
                let (left, right) = (self.condition(next), self.condition(next));
                format!(
                    "{left} {} {right}",
                    self.one(&["and", "or", "and", "or", "=", "<>"])
                )
            }
            4 => {
                let (left, right) = (self.condition(next), self.condition(next));
                format!("{left} {} {right}", self.one(COMPARISONS))
            }
            5 | 6 => {
                let (left, right) = (self.integer(next), self.integer(next));
                format!("{left} {} {right}", self.one(COMPARISONS))
            }
            7 => {
                let (left, right) = (self.text(next), self.text(next));
                format!("{left} {} {right}", self.one(COMPARISONS))
            }
            8 => {
                let (left, right) = (self.text(next), self.text(next));
                format!("{left} {} {right}", self.one(PATTERNS))
            }
            9 => format!(
                "{} {}",
                self.integer(next),
                self.one(&["in (1, 2)", "not in (3)", "is null"])
            ),
            _ => {
                let (value, low, high) = (self.integer(next), self.integer(0), self.integer(next));
                format!(
                    "{value} {} {low} and {high}",
                    self.one(&["between", "not between"])
                )
            }
        }
    }
}

/// Expressions with up to about eight operators.
pub(crate) fn expressions() -> Vec<String> {
    let mut random = Random(7);
    (0..2_000)
        .map(|at| {
            let depth = 1 + random.below(3);
            match at % 6 {
                0 => random.integer(depth),
                1 => random.text(depth),
                _ => random.condition(depth),
            }
        })
        .collect()
}

/// The expression as Towpath reads it, with parentheses around each operation; `None` if it refuses it.
pub(crate) fn grouped(text: &str) -> Option<String> {
    struct Group;
    impl VisitorMut for Group {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if !matches!(expr, Expr::Value(_) | Expr::Identifier(_) | Expr::Nested(_)) {
                let inner = std::mem::replace(expr, Expr::Value(Value::Null.with_empty_span()));
                *expr = Expr::Nested(Box::new(inner));
            }
            ControlFlow::Continue(())
        }
    }
    let mut parser = Parser::new(&towpath_sql::SQL_DIALECT)
        .try_with_sql(text)
        .ok()?;
    let mut expr = parser.parse_expr().ok()?;
    if parser.peek_token_ref().token != Token::EOF {
        return None;
    }
    let _ = expr.visit(&mut Group);
    Some(expr.to_string())
}
