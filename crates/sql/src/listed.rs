//! Text literals next to numbers in `VALUES`: read as numbers, as in PostgreSQL.
//!
//! Promise: a column of `VALUES` with number literals has numbers only; a text that is not one is a mistake.
//! The planner would make text of all of them. It reads syntax only and knows no type. Read next:
//! `spelling.rs`, which calls it.

use datafusion_sql::sqlparser::ast::{Expr, Spanned, UnaryOperator, Value, Values};

use crate::place;
use crate::problem::SqlProblem;

/// Rewrites the texts of a list of values. `sql` is the text of its positions.
pub(crate) fn rewrite(sql: &str, values: &mut Values) -> Result<(), SqlProblem> {
    let width = values.rows.first().map_or(0, |row| row.len());
    for at in 0..width {
        let cells = || values.rows.iter().filter_map(move |row| row.get(at));
        let numbers: Vec<&str> = cells().filter_map(number).collect();
        if numbers.is_empty() {
            continue;
        }
        let whole = numbers.iter().all(|number| is_whole(number));
        for row in &mut values.rows {
            let Some(cell) = row.get_mut(at) else {
                continue;
            };
            let Some(text) = text(cell).map(|text| text.trim().to_owned()) else {
                continue;
            };
            let digits = text.strip_prefix('-').unwrap_or(&text);
            if !(is_whole(digits) || (!whole && is_number(digits))) {
                let problem =
                    format!("`{text}` is next to numbers in VALUES, and is no such number");
                return Err(SqlProblem::new("M0308", problem)
                    .at(place::of_parse(sql, cell.span()))
                    .help("write the others as texts too, or cast them: `1::text`"));
            }
            let span = cell.span();
            let number = Expr::Value(Value::Number(digits.to_owned(), false).with_span(span));
            *cell = match text.starts_with('-') {
                true => Expr::UnaryOp {
                    op: UnaryOperator::Minus,
                    expr: Box::new(number),
                },
                false => number,
            };
        }
    }
    Ok(())
}

/// A literal number, also below a sign.
fn number(cell: &Expr) -> Option<&str> {
    match cell {
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => number(expr),
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn text(cell: &Expr) -> Option<&str> {
    match cell {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty())
}
