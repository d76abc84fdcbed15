//! Replaces the calls of the clock in an expression by their values at one moment.
//!
//! Promise: the rest of the text keeps each of its bytes, comments too, so nothing in it gets another
//! meaning. The result calls no clock, and parses to the same expression with values in place of the calls;
//! otherwise there is an error. It does not know which other functions change: see `changing.rs`.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, VisitMut as _, VisitorMut,
};
use datafusion_sql::sqlparser::ast::{ObjectNamePart, Spanned as _};
use datafusion_sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

use crate::changing::changing_in_expression;
use crate::dialect::SQL_DIALECT;
use crate::names::fold;
use crate::problem::SqlProblem;
use crate::{place, statement};

/// Whether a function that changes asks the clock, and nothing else: `at_moment` knows its value.
pub fn asks_clock(function: &str) -> bool {
    value_at(function, DateTime::UNIX_EPOCH).is_some()
}

/// An expression with values of one moment, in microseconds since 1970, in place of the calls of the clock.
///
/// # Errors
/// M0305 for text that is not an expression, M0313 for one that nests too deeply, M0310 for a call of the
/// clock that has no value at a moment.
pub fn at_moment(text: &str, moment_us: i64) -> Result<String, SqlProblem> {
    let Some(moment) = DateTime::from_timestamp_micros(moment_us) else {
        let message = format!("there is no date {moment_us} microseconds after 1970");
        return Err(SqlProblem::new("M0310", message));
    };
    let mut expected = statement::written(text)?;
    let mut calls = ClockCalls {
        text,
        moment,
        found: Vec::new(),
    };
    if let ControlFlow::Break(problem) = expected.visit(&mut calls) {
        return Err(problem);
    }
    let fixed = with_values(text, calls.found);
    let asks = |text: &str| {
        changing_in_expression(text)
            .iter()
            .any(|name| asks_clock(name))
    };
    match statement::written(&fixed) {
        Ok(found) if found == expected && !asks(&fixed) => Ok(fixed),
        _ => Err(no_value("the clock is called in a way that is not known")),
    }
}

fn no_value(message: impl Into<String>) -> SqlProblem {
    SqlProblem::new("M0310", message).help(
        "write `now()`, `current_timestamp`, `current_date` or `current_time`, without arguments",
    )
}

/// Finds the calls of the clock, and replaces them in the parsed expression.
struct ClockCalls<'a> {
    text: &'a str,
    moment: DateTime<Utc>,
    /// The bytes of each call, and its value.
    found: Vec<((usize, usize), String)>,
}

impl VisitorMut for ClockCalls<'_> {
    type Break = SqlProblem;

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<SqlProblem> {
        let Expr::Function(function) = &*expression else {
            return ControlFlow::Continue(());
        };
        let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let name = fold(name);
        let Some(value) = value_at(&name, self.moment) else {
            return ControlFlow::Continue(());
        };
        let at = match is_bare(function) {
            true => call_at(self.text, function),
            false => None,
        };
        let Some(at) = at else {
            return ControlFlow::Break(no_value(format!("`{name}` takes no arguments")));
        };
        match statement::written(&value) {
            Ok(parsed) => {
                self.found.push((at, value));
                *expression = parsed;
                ControlFlow::Continue(())
            }
            Err(problem) => ControlFlow::Break(problem),
        }
    }
}

/// A call with nothing but its name, and perhaps `()`.
fn is_bare(function: &Function) -> bool {
    let without = Function {
        name: function.name.clone(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: function.args.clone(),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    };
    let has_none = match &function.args {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => {
            list.args.is_empty() && list.clauses.is_empty() && list.duplicate_treatment.is_none()
        }
        FunctionArguments::Subquery(_) => false,
    };
    has_none && without == *function
}

/// The bytes of a call: its name, and the parentheses if it has them.
fn call_at(text: &str, function: &Function) -> Option<(usize, usize)> {
    let (start, end) = place::of_parse(text, function.name.span())?;
    if matches!(function.args, FunctionArguments::None) {
        return Some((start, end));
    }
    let rest = text.get(end..)?;
    let tokens = Tokenizer::new(&SQL_DIALECT, rest).tokenize_with_location();
    let mut tokens = tokens.ok()?.into_iter();
    let mut next = || tokens.find(|token| !matches!(token.token, Token::Whitespace(_)));
    let is = |token: Option<TokenWithSpan>, expected: &Token| -> Option<Span> {
        token
            .filter(|token| token.token == *expected)
            .map(|token| token.span)
    };
    is(next(), &Token::LParen)?;
    let close = is(next(), &Token::RParen)?;
    let (_, length) = place::of_parse(rest, close)?;
    Some((start, end + length))
}

/// The text with each value in place of its bytes.
fn with_values(text: &str, mut calls: Vec<((usize, usize), String)>) -> String {
    calls.sort();
    let (mut fixed, mut done) = (String::with_capacity(text.len()), 0);
    for ((start, end), value) in calls {
        fixed.push_str(text.get(done..start).unwrap_or_default());
        // A quoted name may follow a word directly.
        if fixed.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            fixed.push(' ');
        }
        fixed.push_str(&value);
        done = end;
    }
    fixed.push_str(text.get(done..).unwrap_or_default());
    fixed
}

/// What a function of the clock gives at a moment, in its own type.
fn value_at(function: &str, moment: DateTime<Utc>) -> Option<String> {
    Some(match function {
        "now" | "current_timestamp" => {
            let text = moment.format("%Y-%m-%d %H:%M:%S%.6f+00:00");
            format!("cast('{text}' as timestamp with time zone)")
        }
        "current_date" | "today" => format!("cast('{}' as date)", moment.format("%Y-%m-%d")),
        "current_time" => format!("cast('{}' as time)", moment.format("%H:%M:%S%.6f")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// Monday, 2026-11-30, a microsecond after noon.
    const NOON: i64 = 1_796_040_000_000_001;
    const NOW: &str = "cast('2026-11-30 12:00:00.000001+00:00' as timestamp with time zone)";
    const TODAY: &str = "cast('2026-11-30' as date)";
    const TIME: &str = "cast('12:00:00.000001' as time)";

    fn fixed(text: &str) -> String {
        at_moment(text, NOON).unwrap_or_else(|problem| format!("{problem:?}"))
    }

    #[test]
    fn an_expression_at_a_moment_asks_no_clock_and_is_otherwise_unchanged() {
        for (text, then) in [
            (
                "d > now() - interval '1 day'",
                "d > {now} - interval '1 day'",
            ),
            (
                "date_trunc('day', d) = Current_Date -- today()",
                "date_trunc('day', d) = {today} -- today()",
            ),
            (
                "name = 'now()' and \"now\" > 1",
                "name = 'now()' and \"now\" > 1",
            ),
            ("d>\"now\" /* ) */ ( -- (\n ) or x", "d>{now} or x"),
            ("not\"now\"()is null", "not {now}is null"),
            (
                "- -0 < - - x and d < today()",
                "- -0 < - - x and d < {today}",
            ),
            (
                "a - -1 = -(-b) and 'ü' < current_time",
                "a - -1 = -(-b) and 'ü' < {time}",
            ),
            (
                "now()::date = current_date::date",
                "{now}::date = {today}::date",
            ),
            (
                "(select max(now()) from t)\n> d",
                "(select max({now}) from t)\n> d",
            ),
        ] {
            let then = then.replace("{now}", NOW);
            let then = then.replace("{today}", TODAY).replace("{time}", TIME);
            assert_eq!(fixed(text), then);
            assert!(changing_in_expression(&then).is_empty(), "{then}");
        }
        assert!(asks_clock("current_timestamp"));
        assert!(!asks_clock("random"));
    }

    #[test]
    fn a_call_of_the_clock_that_has_no_value_is_an_error() {
        for text in [
            "d > now(3)",
            "d > current_timestamp(3)",
            "d > now() over ()",
            "d > now() filter (where true)",
            "d > {fn now()}",
            "d > now(distinct)",
            "d > now(",
            "d > now()) or (e",
        ] {
            let problem = at_moment(text, NOON).unwrap_err();
            assert!(
                ["M0310", "M0305"].contains(&problem.code),
                "{text}: {problem:?}"
            );
        }
        assert_eq!(at_moment("now()", i64::MAX).unwrap_err().code, "M0310");
    }

    /// Expressions in which `{0}`, `{1}` and so on are calls of the clock.
    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "{0}",
            "{1}",
            "{2}",
            "{3}",
            "{4}",
            "{5}",
            "{6}",
            "{7}",
            "d",
            "\"now\"",
            "\"a \"\"now()\"",
            "-0",
            "- -0",
            "1.50",
            "1e-3",
            "'now()'",
            "'it''s'",
            "e'a\\'now()'",
            "interval '1 day'",
            "timestamp '2026-01-01'",
            "null",
            "'ü--'",
            "x'00'",
            "'\n'",
        ]);
        let space = || {
            prop::sample::select(vec![
                " ",
                "\n",
                "\t",
                " /* now() */ ",
                " -- now()\n",
                " /*/* */ now() */ ",
            ])
        };
        leaf.prop_map(str::to_owned)
            .prop_recursive(4, 24, 3, move |inner| {
                let operators = prop::sample::select(vec![
                    "+",
                    "-",
                    "- -",
                    "and",
                    "=",
                    "<",
                    "||",
                    "is distinct from",
                ]);
                prop_oneof![
                    (inner.clone(), space(), operators, space(), inner.clone())
                        .prop_map(|(a, s, o, t, b)| format!("{a}{s}{o}{t}{b}")),
                    (space(), inner.clone()).prop_map(|(s, a)| format!("-{s}{a}")),
                    (space(), inner.clone()).prop_map(|(s, a)| format!("({s}{a}{s})")),
                    inner.clone().prop_map(|a| format!("not {a}")),
                    inner.clone().prop_map(|a| format!("({a})::varchar(3)")),
                    inner
                        .clone()
                        .prop_map(|a| format!("cast({a} as timestamp)")),
                    inner
                        .clone()
                        .prop_map(|a| format!("date_trunc('day', {a})")),
                    (inner.clone(), inner.clone())
                        .prop_map(|(a, b)| format!("case when {a} then {b} end")),
                    (inner.clone(), inner.clone())
                        .prop_map(|(a, b)| format!("({a}) in ({b}, 'now()')")),
                    (inner.clone(), inner)
                        .prop_map(|(a, b)| format!("(select {a} from t where {b})")),
                ]
            })
    }

    proptest! {
        #[test]
        fn only_the_calls_of_the_clock_are_replaced(template in expression()) {
            let calls = [
                ("now()", NOW), ("NOW ( )", NOW), ("\"now\"()", NOW), ("Current_Timestamp", NOW),
                ("current_date", TODAY), ("today(/* ) */)", TODAY), ("current_time", TIME), ("\"current_date\" ()", TODAY),
            ];
            let (mut text, mut then) = (template.clone(), template);
            for (at, (call, value)) in calls.into_iter().enumerate() {
                text = text.replace(&format!("{{{at}}}"), call);
                then = then.replace(&format!("{{{at}}}"), value);
            }
            match statement::written(&text) {
                Ok(_) => prop_assert_eq!(fixed(&text), then),
                Err(_) => prop_assert!(at_moment(&text, NOON).is_err()),
            }
        }
    }
}
