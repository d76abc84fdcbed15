//! Literal fractions next to decimals: `d + 0.01` with a decimal `d` is a decimal, exact to the last digit.
//!
//! Promise: a fraction alone is a floating point number. If it is cast to a decimal, or is added to,
//! multiplied or divided by, compared with or an alternative to one, it becomes the decimal that was written.
//! Fractions of more than fifteen digits, and integers beyond 64 bits, are always decimals; only a computation
//! on such numbers alone that needs more digits than a decimal has becomes floating point. It knows no table.
//! It must run before type coercion. Read next: `comparison.rs`.

use datafusion_common::arrow::datatypes::i256;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType as Written, ExactNumberInfo, Expr as SqlExpr, Spanned,
    UnaryOperator, Value, ValueWithSpan,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use crate::rounding::compares;

/// The number of digits that floating point always represents exactly.
const SURE_DIGITS: usize = 15;
/// The most digits of a decimal.
const MOST_DIGITS: usize = 38;

/// Functions that return one of their arguments.
const CHOOSING: &[&str] = &["coalesce", "greatest", "ifnull", "least", "nullif", "nvl"];

/// Rewrites a plan before type coercion: literal fractions next to decimals become exact decimals.
///
/// # Errors
/// Those of rebuilding a node.
pub(crate) fn exact_fractions(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_fractions(&plan)? {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|plan| {
        let plan = plan.recompute_schema()?;
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let changed = plan.map_expressions(|expression| {
            let name = names.save(&expression);
            Ok(exact(expression, &schema)?.update_data(|done| name.restore(done)))
        })?;
        match changed.transformed {
            true => changed.map_data(LogicalPlan::recompute_schema),
            false => Ok(changed),
        }
    })
    .data()
}

/// Whether a plan has fractions to rewrite. False for recursive queries, whose columns are fixed when they
/// are planned.
fn has_fractions(plan: &LogicalPlan) -> Result<bool> {
    let (mut found, mut settled) = (false, false);
    plan.apply_with_subqueries(|node| {
        settled |= matches!(node, LogicalPlan::RecursiveQuery(_));
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| {
                Ok(matches!(
                    part,
                    Expr::Literal(ScalarValue::Float64(Some(_)), _)
                ))
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found && !settled)
}

/// The same for one expression.
pub(crate) fn exact(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    beside_decimals(expression, schema)?.transform_data(folded)
}

fn beside_decimals(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expression.transform_up(|part| {
        Ok(match part {
            Expr::Cast(mut cast) if cast.field.data_type().is_decimal() => {
                let done = take_exactly(&mut cast.expr);
                Transformed::new_transformed(Expr::Cast(cast), done)
            }
            Expr::TryCast(mut cast) if cast.field.data_type().is_decimal() => {
                let done = take_exactly(&mut cast.expr);
                Transformed::new_transformed(Expr::TryCast(cast), done)
            }
            Expr::BinaryExpr(mut sum) if keeps_decimals(sum.op) => {
                let done = beside([&mut *sum.left, &mut *sum.right], schema);
                Transformed::new_transformed(Expr::BinaryExpr(sum), done)
            }
            Expr::Between(mut test) => {
                let done = beside([&mut *test.expr, &mut *test.low, &mut *test.high], schema);
                Transformed::new_transformed(Expr::Between(test), done)
            }
            Expr::InList(mut test) => {
                let all = std::iter::once(&mut *test.expr).chain(&mut test.list);
                let done = beside(all, schema);
                Transformed::new_transformed(Expr::InList(test), done)
            }
            Expr::Case(mut case) => {
                let then = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
                let done = beside(then.chain(case.else_expr.as_deref_mut()), schema);
                Transformed::new_transformed(Expr::Case(case), done)
            }
            Expr::ScalarFunction(mut call) if CHOOSING.contains(&call.func.name()) => {
                let done = beside(&mut call.args, schema);
                Transformed::new_transformed(Expr::ScalarFunction(call), done)
            }
            other => Transformed::no(other),
        })
    })
}

/// Computes sums and products of literal fractions exactly: `0.1 + 0.2` is 0.3, also as floating point.
fn folded(expression: Expr) -> Result<Transformed<Expr>> {
    expression.transform_down(|part| {
        let is_sum = matches!(&part, Expr::BinaryExpr(sum) if adds_up(sum.op));
        let exact = is_sum.then(|| literal(&part)).flatten();
        Ok(match exact.filter(|_| holds_fraction(&part)) {
            Some(value) => Transformed::yes(Expr::Literal(value, None)),
            None => Transformed::no(part),
        })
    })
}

/// The number nearest to the exact value of literals.
fn literal(value: &Expr) -> Option<ScalarValue> {
    let exact = total(value)?;
    let sign = if exact.value.is_negative() { "-" } else { "" };
    let number = format!("{sign}{}", exact.plain().0).parse::<f64>().ok()?;
    Some(ScalarValue::Float64(Some(number)))
}

fn total(value: &Expr) -> Option<Exact> {
    match value {
        Expr::Literal(ScalarValue::Float64(Some(number)), _) => match written(*number)? {
            ScalarValue::Decimal128(Some(value), _, places) => Some(Exact {
                value: i256::from_i128(value),
                places: u32::try_from(places).ok()?,
            }),
            _ => None,
        },
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some(Exact {
            value: i256::from_i128(i128::from(*value)),
            places: 0,
        }),
        Expr::Negative(inner) => {
            let Exact { value, places } = total(inner)?;
            let value = value.checked_neg()?;
            Some(Exact { value, places })
        }
        Expr::BinaryExpr(sum) => {
            let op = match sum.op {
                Operator::Plus => BinaryOperator::Plus,
                Operator::Minus => BinaryOperator::Minus,
                Operator::Multiply => BinaryOperator::Multiply,
                _ => return None,
            };
            let result = combined(total(&sum.left)?, &op, total(&sum.right)?, &mut true)?;
            // Integers alone may be beyond 64 bits, which is an error.
            let fits = result.places > 0
                || result
                    .value
                    .to_i128()
                    .is_some_and(|value| i64::try_from(value).is_ok());
            fits.then_some(result)
        }
        _ => None,
    }
}

fn keeps_decimals(operator: Operator) -> bool {
    adds_up(operator) || compares(operator) || operator == Operator::Divide
}

fn adds_up(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Plus | Operator::Minus | Operator::Multiply
    )
}

/// Makes literal fractions among values exact, if one of the others is a decimal and none is floating
/// point.
fn beside<'e>(values: impl IntoIterator<Item = &'e mut Expr>, schema: &DFSchema) -> bool {
    let mut fractions = Vec::new();
    let mut decimal = false;
    for value in values {
        if let Some(exact) = as_decimal(value).filter(|_| holds_fraction(value)) {
            fractions.push((value, exact));
            continue;
        }
        match value.get_type(schema) {
            Ok(data_type) if data_type.is_floating() => return false,
            Ok(data_type) => decimal |= data_type.is_decimal(),
            Err(_) => return false,
        }
    }
    if !decimal || fractions.is_empty() {
        return false;
    }
    for (value, exact) in fractions {
        *value = exact;
    }
    true
}

fn take_exactly(value: &mut Expr) -> bool {
    match as_decimal(value).filter(|_| holds_fraction(value)) {
        Some(exact) => {
            *value = exact;
            true
        }
        None => false,
    }
}

fn holds_fraction(value: &Expr) -> bool {
    match value {
        Expr::Literal(ScalarValue::Float64(Some(_)), _) => true,
        Expr::Negative(inner) => holds_fraction(inner),
        Expr::BinaryExpr(sum) => holds_fraction(&sum.left) || holds_fraction(&sum.right),
        _ => false,
    }
}

/// A literal number, or a sum or product of literals, as a decimal.
fn as_decimal(value: &Expr) -> Option<Expr> {
    Some(match value {
        Expr::Literal(ScalarValue::Float64(Some(number)), metadata) => {
            Expr::Literal(written(*number)?, metadata.clone())
        }
        Expr::Literal(ScalarValue::Int64(Some(_)), _) => value.clone(),
        Expr::Negative(inner) => Expr::Negative(Box::new(as_decimal(inner)?)),
        Expr::BinaryExpr(sum) if adds_up(sum.op) => Expr::BinaryExpr(BinaryExpr {
            left: Box::new(as_decimal(&sum.left)?),
            op: sum.op,
            right: Box::new(as_decimal(&sum.right)?),
        }),
        _ => return None,
    })
}

/// The shortest decimal that equals this number: the literal itself, up to fifteen digits.
fn written(number: f64) -> Option<ScalarValue> {
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
                }
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
