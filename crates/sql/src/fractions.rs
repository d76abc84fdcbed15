//! The digits of literal numbers with a point.
//!
//! Promise: fractions of more than fifteen digits, and integers beyond 64 bits, are always decimals; only a
//! computation on such numbers alone that needs more digits than a decimal has becomes floating point. Where
//! numbers become text, each written digit counts: `(1.10 * 1.10)::text` is `1.2100`. It reads syntax and
//! single numbers, and knows no plan. Read next: `decimals.rs` (fractions in plans).

use arrow_schema::DataType;
use datafusion_common::ScalarValue;
use datafusion_common::arrow::datatypes::i256;
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType as Written, ExactNumberInfo, Expr as SqlExpr, Spanned,
    UnaryOperator, Value, ValueWithSpan,
};
use datafusion_sql::sqlparser::tokenizer::Span;

/// The number of digits that floating point always represents exactly.
const SURE_DIGITS: usize = 15;
/// The most digits of a decimal.
const MOST_DIGITS: usize = 38;

/// The decimal type of a literal fraction.
pub(crate) fn exact_type(fraction: &ScalarValue) -> Option<DataType> {
    match fraction {
        ScalarValue::Float64(Some(number)) => written(*number).map(|exact| exact.data_type()),
        _ => None,
    }
}

/// The shortest decimal that equals this number: the literal itself, up to fifteen digits.
pub(crate) fn written(number: f64) -> Option<ScalarValue> {
    let text = number.to_string();
    let (whole, places) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{whole}{places}");
    let value: i128 = digits.parse().ok()?;
    let count = digits
        .trim_start_matches(['-', '0'])
        .len()
        .max(places.len());
    if count > SURE_DIGITS + 1 {
        return None;
    }
    let precision = u8::try_from(count.max(1)).ok()?;
    let scale = i8::try_from(places.len()).ok()?;
    Some(ScalarValue::Decimal128(Some(value), precision, scale))
}

/// Makes literals floating point if an expression of literals has a result that no decimal can represent.
/// If only an intermediate result is too large, the expression becomes one decimal.
pub(crate) fn beyond_decimals(expr: &mut SqlExpr) {
    let is_computed = matches!(
        expr,
        SqlExpr::Nested(_) | SqlExpr::UnaryOp { .. } | SqlExpr::BinaryOp { .. }
    );
    let wide = is_computed && width(expr).is_some_and(|(most, places)| most + places > MOST_DIGITS);
    if !wide || !has_long(expr) {
        return;
    }
    let mut fits = true;
    match computed(expr, &mut fits).and_then(Exact::within_decimals) {
        Some(_) if fits => {}
        Some(result) => *expr = result.decimal(expr.span()),
        None => as_doubles(expr),
    }
}

/// The text of a literal with a point, as PostgreSQL keeps it: `1.50`.
fn point(expr: &SqlExpr) -> Option<String> {
    match expr {
        SqlExpr::Nested(inner) => point(inner),
        SqlExpr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: inner,
        } => point(inner).map(
            |text| match text.contains(|c: char| ('1'..='9').contains(&c)) {
                true => format!("-{text}"),
                false => text,
            },
        ),
        SqlExpr::Value(value) => match &value.value {
            Value::Number(text, _) if text.contains('.') => {
                digits(text)?;
                let exact = Exact::read(text)?;
                Some(exact.plain().0)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Keeps the digits of a literal that becomes a text: `1.50::text`, `1.0 || ''`.
pub(crate) fn written_digits(expr: &mut SqlExpr) {
    match expr {
        SqlExpr::Cast {
            expr: inner,
            data_type: Written::Text | Written::Varchar(_) | Written::String(_),
            ..
        } => {
            if let Some(text) = point(inner) {
                let span = inner.span();
                **inner = SqlExpr::Value(Value::SingleQuotedString(text).with_span(span));
            } else {
                keep_digits(inner);
            }
        }
        SqlExpr::BinaryOp {
            left,
            op: BinaryOperator::StringConcat,
            right,
        } => {
            // To an array, a number is appended.
            if matches!(left.as_ref(), SqlExpr::Array(_)) {
                return;
            }
            for side in [left, right] {
                if let Some(text) = point(side)
                    && let Some(exact) = Exact::read(text.trim_start_matches('-'))
                    && exact.count() <= SURE_DIGITS
                {
                    let places = usize::try_from(exact.places).unwrap_or_default();
                    let count = exact.count().max(places + 1);
                    **side = as_cast(text, count, places, side.span());
                } else {
                    keep_digits(side);
                }
            }
        }
        _ => {}
    }
}

/// Makes the fractions in arithmetic decimals with the digits that are written.
fn keep_digits(expr: &mut SqlExpr) {
    match expr {
        SqlExpr::Nested(inner) => keep_digits(inner),
        SqlExpr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr: inner,
        } => keep_digits(inner),
        SqlExpr::BinaryOp {
            left,
            op:
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo,
            right,
        } => {
            keep_digits(left);
            keep_digits(right);
        }
        SqlExpr::Value(_) => {
            if let Some(text) = point(expr)
                && let Some(exact) = Exact::read(&text)
                && exact.count() <= SURE_DIGITS
            {
                *expr = exact.decimal(expr.span());
            }
        }
        _ => {}
    }
}

/// The digits before and after the point that are sufficient for an expression of literals; `None` for any
/// other expression.
fn width(expr: &SqlExpr) -> Option<(usize, usize)> {
    match expr {
        SqlExpr::Nested(inner)
        | SqlExpr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr: inner,
        } => width(inner),
        SqlExpr::Value(value) => match &value.value {
            Value::Number(text, _) => digits(text).map(|(whole, places)| (whole.len(), places)),
            _ => None,
        },
        SqlExpr::BinaryOp { left, op, right } => {
            let ((a, b), (c, d)) = (width(left)?, width(right)?);
            match op {
                BinaryOperator::Multiply => Some((a + c, b + d)),
                BinaryOperator::Plus | BinaryOperator::Minus => Some((a.max(c) + 1, b.max(d))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// True if one of the numbers does not fit in floating point or 64 bits.
fn has_long(expr: &SqlExpr) -> bool {
    match expr {
        SqlExpr::Nested(inner) | SqlExpr::UnaryOp { expr: inner, .. } => has_long(inner),
        SqlExpr::BinaryOp { left, right, .. } => has_long(left) || has_long(right),
        SqlExpr::Value(value) => match &value.value {
            Value::Number(text, _) => {
                digits(text).is_some_and(|(whole, places)| is_long(whole, places))
            }
            _ => false,
        },
        _ => false,
    }
}

/// An exact number: `value` with this many `places` after the point.
#[derive(Clone, Copy)]
struct Exact {
    value: i256,
    places: u32,
}

impl Exact {
    fn read(text: &str) -> Option<Self> {
        let (_, places) = digits(text)?;
        Some(Self {
            value: i256::from_string(&text.replacen('.', "", 1))?,
            places: u32::try_from(places).ok()?,
        })
    }

    fn moved(self, places: u32) -> Option<i256> {
        let by = i256::from_i128(10).checked_pow(places.checked_sub(self.places)?)?;
        self.value.checked_mul(by)
    }

    fn count(self) -> usize {
        let text = self.value.to_string();
        let places = usize::try_from(self.places).unwrap_or(usize::MAX);
        text.trim_start_matches(['-', '0']).len().max(places)
    }

    /// Removes trailing zeros that are too many; `None` if the number has more digits than a decimal.
    fn within_decimals(mut self) -> Option<Self> {
        let ten = i256::from_i128(10);
        while self.count() > MOST_DIGITS {
            let is_round = self.value.checked_rem(ten)? == i256::ZERO;
            if self.places == 0 || !is_round {
                return None;
            }
            self.value = self.value.checked_div(ten)?;
            self.places -= 1;
        }
        Some(self)
    }

    /// The digits without the sign, and the number of those after the point.
    fn plain(self) -> (String, usize) {
        let places = usize::try_from(self.places).unwrap_or_default();
        let digits = self.value.to_string();
        let digits = format!("{:0>1$}", digits.trim_start_matches('-'), places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        let dot = if part.is_empty() { "" } else { "." };
        (format!("{whole}{dot}{part}"), places)
    }

    fn decimal(self, span: Span) -> SqlExpr {
        let count = self.count().max(1);
        let sign = if self.value.is_negative() { "-" } else { "" };
        let (text, places) = self.plain();
        as_cast(format!("{sign}{text}"), count, places, span)
    }
}

/// The value of an expression of literals; `None` beyond 256 bits. `fits` stays true if decimals can
/// represent each step.
fn computed(expr: &SqlExpr, fits: &mut bool) -> Option<Exact> {
    let result = match expr {
        SqlExpr::Nested(inner) => return computed(inner, fits),
        SqlExpr::UnaryOp { op, expr: inner } => {
            let Exact { value, places } = computed(inner, fits)?;
            let value = match op {
                UnaryOperator::Minus => value.checked_neg()?,
                _ => value,
            };
            return Some(Exact { value, places });
        }
        SqlExpr::Value(value) => match &value.value {
            Value::Number(text, _) => Exact::read(text)?,
            _ => return None,
        },
        SqlExpr::BinaryOp { left, op, right } => {
            combined(computed(left, fits)?, op, computed(right, fits)?, fits)?
        }
        _ => return None,
    };
    *fits &= result.count() <= MOST_DIGITS;
    Some(result)
}

/// A sum, difference or product.
fn combined(left: Exact, op: &BinaryOperator, right: Exact, fits: &mut bool) -> Option<Exact> {
    if *op == BinaryOperator::Multiply {
        return Some(Exact {
            value: left.value.checked_mul(right.value)?,
            places: left.places.checked_add(right.places)?,
        });
    }
    let places = left.places.max(right.places);
    let (left, right) = (left.moved(places)?, right.moved(places)?);
    for value in [left, right] {
        *fits &= Exact { value, places }.count() <= MOST_DIGITS;
    }
    let value = match op {
        BinaryOperator::Plus => left.checked_add(right)?,
        BinaryOperator::Minus => left.checked_sub(right)?,
        _ => return None,
    };
    Some(Exact { value, places })
}

/// Makes literals floating point, by adding an exponent.
fn as_doubles(expr: &mut SqlExpr) {
    match expr {
        SqlExpr::Nested(inner) | SqlExpr::UnaryOp { expr: inner, .. } => as_doubles(inner),
        SqlExpr::BinaryOp { left, right, .. } => {
            as_doubles(left);
            as_doubles(right);
        }
        SqlExpr::Value(value) => {
            if long_number(value).is_some()
                && let Value::Number(text, _) = &mut value.value
            {
                text.push_str("e0");
            }
        }
        _ => {}
    }
}

/// The digits before the point without leading zeros, and the number of digits after it; `None` for a
/// number with an exponent.
fn digits(text: &str) -> Option<(&str, usize)> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = [whole, places]
        .iter()
        .all(|part| part.chars().all(|c| c.is_ascii_digit()));
    is_plain.then(|| (whole.trim_start_matches('0'), places.len()))
}

/// A literal that floating point cannot represent, as a decimal; `None` for any other.
pub(crate) fn long_number(value: &ValueWithSpan) -> Option<SqlExpr> {
    let Value::Number(text, _) = &value.value else {
        return None;
    };
    let (whole, places) = digits(text)?;
    let count = whole.len() + places;
    if !is_long(whole, places) || count > MOST_DIGITS {
        return None;
    }
    Some(as_cast(text.clone(), count, places, value.span))
}

fn is_long(whole: &str, places: usize) -> bool {
    match places {
        0 => whole.parse::<u64>().is_err() && !whole.is_empty(),
        _ => whole.len() + places > SURE_DIGITS,
    }
}

/// A cast to a decimal with this many digits in total and after the point.
fn as_cast(text: String, count: usize, places: usize, span: Span) -> SqlExpr {
    // Neither is more than 38.
    let precision = u64::try_from(count).unwrap_or_default();
    let scale = i64::try_from(places).unwrap_or_default();
    let info = ExactNumberInfo::PrecisionAndScale(precision, scale);
    SqlExpr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(SqlExpr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            span,
        })),
        data_type: Written::Decimal(info),
        array: false,
        format: None,
    }
}
