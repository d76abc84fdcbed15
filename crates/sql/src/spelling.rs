//! Syntax that means something else to the planner than to PostgreSQL: rewritten or refused.
//!
//! Promise: `^` is a power, `AT TIME ZONE` converts in both directions, a timestamp without a precision has
//! microseconds. `EXCEPT ALL` and `INTERSECT ALL`, which the planner counts incorrectly, and formats in
//! PostgreSQL's letters, which it would print unchanged, are refused with an alternative. It reads syntax
//! only and knows no table and no type. Read next: `statement.rs`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor,
    TimezoneInfo, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use towpath_vocab::strftime;

use crate::forms;
use crate::fractions::{beyond_decimals, long_number, written_digits};
use crate::functions::AT_TIME_ZONE;
use crate::names::fold;
use crate::nodes::{call, nothing};
use crate::place;
use crate::problem::SqlProblem;
use crate::unread_calls::is_binary;
use crate::{listed, quantified, rows};

/// Functions with a format text.
const BY_FORMAT: &[&str] = &[
    "date_format",
    "to_char",
    "to_date",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
];

/// Rewrites every expression in the tree. `sql` is the text of its positions.
pub(crate) fn mend<V: VisitMut>(sql: &str, tree: &mut V) -> Result<(), SqlProblem> {
    match tree.visit(&mut Mend(sql)) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses set operations whose rows the planner would count incorrectly.
pub(crate) fn refuse_counted_sets(sql: &str, query: &Query) -> Result<(), SqlProblem> {
    match query.visit(&mut Sets(sql)) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Mend<'a>(&'a str);

impl VisitorMut for Mend<'_> {
    type Break = SqlProblem;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlProblem> {
        if let Expr::Collate {
            expr: text,
            collation,
        } = expr
            && is_binary(collation)
        {
            *expr = Expr::Nested(Box::new(take(text)));
        }
        beyond_decimals(expr);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlProblem> {
        let mut body = query.body.as_mut();
        // Long unions lean to the left.
        while let SetExpr::SetOperation { left, right, .. } = body {
            if let SetExpr::Values(values) = right.as_mut()
                && let Err(problem) = listed::rewrite(self.0, values)
            {
                return ControlFlow::Break(problem);
            }
            body = left.as_mut();
        }
        match body {
            SetExpr::Values(values) => match listed::rewrite(self.0, values) {
                Ok(()) => ControlFlow::Continue(()),
                Err(problem) => ControlFlow::Break(problem),
            },
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlProblem> {
        forms::keep_names(&mut select.projection);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlProblem> {
        forms::rows_of_json(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlProblem> {
        forms::series_in_from(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlProblem> {
        written_digits(expr);
        forms::rewrite(expr);
        let rewritten =
            quantified::rewrite(self.0, expr).and_then(|()| rows::rewrite(self.0, expr));
        if let Err(problem) = rewritten {
            return ControlFlow::Break(problem);
        }
        match expr {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::BitwiseXor,
                right,
            } => {
                let span = left.span().union(&right.span());
                let args = vec![as_double(take(left)), as_double(take(right))];
                *expr = call("power", args, span);
            }
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => {
                let span = time_zone.span();
                *expr = call(AT_TIME_ZONE, vec![take(timestamp), take(time_zone)], span);
            }
            Expr::Value(value) => {
                if let Some(decimal) = long_number(value) {
                    *expr = decimal;
                }
            }
            Expr::Cast { data_type, .. } => microseconds(data_type),
            Expr::TypedString(typed) => microseconds(&mut typed.data_type),
            Expr::Function(function) => {
                if let Some(problem) = foreign_format(self.0, function) {
                    return ControlFlow::Break(problem);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn take(expr: &mut Box<Expr>) -> Expr {
    std::mem::replace(expr.as_mut(), nothing())
}

fn as_double(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::DoublePrecision,
        array: false,
        format: None,
    }
}

fn microseconds(data_type: &mut DataType) {
    if let DataType::Timestamp(precision @ None, zone) = data_type {
        let _: &TimezoneInfo = zone;
        *precision = Some(6);
    }
}

/// The problem of a format without any `%`, which would be printed unchanged.
fn foreign_format(sql: &str, function: &Function) -> Option<SqlProblem> {
    let name = fold(function.name.0.last()?.as_ident()?);
    if !BY_FORMAT.contains(&name.as_str()) {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    list.args.iter().skip(1).find_map(|arg| {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = arg else {
            return None;
        };
        let Value::SingleQuotedString(format) = &value.value else {
            return None;
        };
        if format.is_empty() || format.contains('%') {
            return None;
        }
        let problem = SqlProblem::new(
            "M0311",
            format!("`{format}` is not a valid format: `{name}` takes those of strftime, with `%`"),
        )
        .at(place::of_parse(sql, value.span))
        .help("for example %Y year, %m month, %d day, %H hour, %M minute, %S second");
        Some(match strftime::meant(format) {
            None => problem,
            Some(ours) => problem.label(format!("did you mean `{ours}`?")),
        })
    })
}

struct Sets<'a>(&'a str);

impl Visitor for Sets<'_> {
    type Break = SqlProblem;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlProblem> {
        let mut open = vec![query.body.as_ref()];
        while let Some(body) = open.pop() {
            let SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } = body
            else {
                continue;
            };
            let counted = match op {
                SetOperator::Except | SetOperator::Minus => "EXCEPT",
                SetOperator::Intersect => "INTERSECT",
                SetOperator::Union => "",
            };
            let all = matches!(
                set_quantifier,
                SetQuantifier::All | SetQuantifier::AllByName
            );
            if all && !counted.is_empty() {
                return ControlFlow::Break(
                    SqlProblem::new("M0311", format!("not supported: {counted} ALL"))
                        .at(place::of_word(self.0, counted))
                        .help(format!("{counted} without ALL gives each row once"))
                        .help("to count equal rows, number them on both sides: `row_number() over (partition by EVERY COLUMN order by 1)`"),
                );
            }
            open.extend([left.as_ref(), right.as_ref()]);
        }
        ControlFlow::Continue(())
    }
}
