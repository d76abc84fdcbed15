//! Quotients, long products and averages of decimals, rounded half away from zero as in PostgreSQL.
//!
//! Promise: a quotient and an average have 20 digits after the point, as PostgreSQL gives from 0.0001 on, or
//! at least 16 if the digits before the point need the room, and never fewer than their operands. So sums
//! have room for 18 digits before the point. A product keeps all its digits if 38 are enough, or else those
//! up to 24 after the point. A result that does not fit 38 digits is an error. PostgreSQL chooses the digits
//! after the point by the value (16 for numbers from 1 to 10000), a column here has one type. It knows no
//! plan; see `operators.rs` and `mixed.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, Decimal256Array};
use arrow_schema::{ArrowError, DataType};
use datafusion_common::arrow::datatypes::i256;
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF};

use super::define::{argument, operator};

const DIVIDE: &str = "decimal_divide";
const MULTIPLY: &str = "decimal_multiply";

/// The digits after the point of a quotient and an average.
const PLACES: i16 = 20;
/// The most of them in a product that does not fit otherwise.
const PRODUCT_PLACES: i16 = 24;
/// The fewest of them.
const FEWEST_PLACES: i16 = 16;
/// The most digits of a decimal.
const MOST_DIGITS: i16 = 38;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        operator(
            DIVIDE,
            "/",
            |types| decimals(DIVIDE, types),
            |types| result(types, of_quotient),
            |args, to| quotients(argument(args, 0)?, argument(args, 1)?, to),
        ),
        operator(
            MULTIPLY,
            "*",
            |types| decimals(MULTIPLY, types),
            |types| result(types, of_product),
            |args, to| products(argument(args, 0)?, argument(args, 1)?, to),
        ),
    ]
}

/// Digits in total, and those after the point.
#[derive(Clone, Copy)]
struct Digits {
    total: i16,
    places: i16,
}

impl Digits {
    /// Those of a decimal or an integer.
    fn of(data_type: &DataType) -> Option<Self> {
        let (total, places) = match data_type {
            DataType::Decimal128(total, places) if *places >= 0 => {
                (i16::from(*total), i16::from(*places))
            }
            DataType::Int8 | DataType::UInt8 => (3, 0),
            DataType::Int16 | DataType::UInt16 => (5, 0),
            DataType::Int32 | DataType::UInt32 => (10, 0),
            DataType::Int64 => (19, 0),
            DataType::UInt64 => (20, 0),
            _ => return None,
        };
        Some(Self { total, places })
    }

    fn data_type(self) -> Option<DataType> {
        let total = u8::try_from(self.total.min(MOST_DIGITS)).ok()?;
        Some(DataType::Decimal128(total, i8::try_from(self.places).ok()?))
    }
}

/// A result with this many digits before the point, and at least so many after it.
fn rounded(before: i16, least: i16) -> Digits {
    let room = (MOST_DIGITS - before).max(FEWEST_PLACES);
    let places = PLACES.min(room).max(least);
    Digits {
        total: before + places,
        places,
    }
}

fn of_quotient(left: Digits, right: Digits) -> Digits {
    let before = left.total - left.places + right.places;
    rounded(before, left.places.max(right.places))
}

/// True if a product has more digits than a decimal, and many of them after the point.
fn drops_places(left: Digits, right: Digits) -> bool {
    left.places + right.places > PRODUCT_PLACES && left.total + right.total > MOST_DIGITS
}

fn of_product(left: Digits, right: Digits) -> Digits {
    let most = left.places.max(right.places);
    let before = left.total - left.places + right.total - right.places;
    // Quotients and averages, of which nobody chose the places, leave room before the point.
    let least = if most <= PLACES { FEWEST_PLACES } else { most };
    let room = (MOST_DIGITS - before).max(least);
    let places = (left.places + right.places)
        .min(PRODUCT_PLACES.max(most))
        .min(room);
    Digits {
        total: before + places,
        places,
    }
}

/// The type of an average of decimals of this type.
pub(super) fn average(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Decimal128(..) => {
            let digits = Digits::of(given)?;
            rounded(digits.total - digits.places, digits.places).data_type()
        }
        _ => None,
    }
}

/// Plans a quotient, or a product of many digits after the point, if one side is a decimal and the other
/// one too or an integer.
pub(crate) fn planned(
    op: Operator,
    left: &Expr,
    right: &Expr,
    types: (&DataType, &DataType),
) -> Option<Expr> {
    if !types.0.is_decimal() && !types.1.is_decimal() {
        return None;
    }
    let (a, b) = (Digits::of(types.0)?, Digits::of(types.1)?);
    let name = match op {
        Operator::Divide => DIVIDE,
        Operator::Multiply if drops_places(a, b) => MULTIPLY,
        _ => return None,
    };
    let function = functions()
        .into_iter()
        .find(|function| function.name() == name)?;
    let sides = vec![left.clone(), right.clone()];
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(
        function, sides,
    )))
}

/// Gives literal integers in a quotient as many digits as they have, so that `1 / x` has the places of
/// `1.0 / x`. True if there are some.
pub(crate) fn shorten(call: &mut ScalarFunction) -> bool {
    if call.func.name() != DIVIDE {
        return false;
    }
    let mut done = false;
    for side in &mut call.args {
        if let Expr::Literal(ScalarValue::Int64(Some(value)), metadata) = side {
            let value = i128::from(*value);
            let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
            // They are at most 19.
            let digits = u8::try_from(digits).unwrap_or(19);
            let exact = ScalarValue::Decimal128(Some(value), digits, 0);
            *side = Expr::Literal(exact, metadata.take());
            done = true;
        }
    }
    done
}

/// The same for an operation whose sides changed their types after it was planned.
pub(crate) fn of_operation(operation: &BinaryExpr, schema: &DFSchema) -> Option<Expr> {
    if !matches!(operation.op, Operator::Divide | Operator::Multiply) {
        return None;
    }
    let left = operation.left.get_type(schema).ok()?;
    let right = operation.right.get_type(schema).ok()?;
    planned(
        operation.op,
        &operation.left,
        &operation.right,
        (&left, &right),
    )
}

fn decimals(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let all: Option<Vec<DataType>> = types
        .iter()
        .map(|given| Digits::of(given)?.data_type())
        .collect();
    match all {
        Some(all) if all.len() == 2 => Ok(all),
        _ => plan_err!("`{name}` takes two decimals"),
    }
}

fn result(types: &[DataType], rule: fn(Digits, Digits) -> Digits) -> Result<DataType> {
    let digits = |at: usize| types.get(at).and_then(Digits::of);
    let found = digits(0)
        .zip(digits(1))
        .and_then(|(left, right)| rule(left, right).data_type());
    match found {
        Some(found) => Ok(found),
        None => plan_err!("a quotient or product takes two decimals"),
    }
}

fn failed(error: ArrowError) -> DataFusionError {
    DataFusionError::ArrowError(Box::new(error), None)
}

fn places(data_type: &DataType) -> Result<i32> {
    match data_type {
        DataType::Decimal128(_, places) | DataType::Decimal256(_, places) => Ok(i32::from(*places)),
        other => plan_err!("a decimal is needed here, not {other}"),
    }
}

/// 10 to this power; `None` beyond 256 bits.
fn power(exponent: i32) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(exponent).ok()?)
}

/// A quotient, rounded half away from zero. The divisor is not zero.
fn nearest(value: i256, by: i256) -> Option<i256> {
    let whole = value.checked_div(by)?;
    let rest = value.checked_rem(by)?;
    let (rest, by_size) = (rest.checked_abs()?, by.checked_abs()?);
    if rest < by_size.checked_sub(rest)? {
        return Some(whole);
    }
    let away = i256::from_i128(if value.is_negative() == by.is_negative() {
        1
    } else {
        -1
    });
    whole.checked_add(away)
}

/// Quotients of decimals in this type.
///
/// # Errors
/// A division by zero; a quotient that does not fit the type.
pub fn quotients(left: &ArrayRef, right: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let shift = places(to)? - places(left.data_type())? + places(right.data_type())?;
    let (up, down) = (power(shift.max(0)), power((-shift).max(0)));
    each(left, right, to, |a, b| {
        if b == i256::ZERO {
            return Err(ArrowError::DivideByZero);
        }
        let found = up.and_then(|up| a.checked_mul(up)).zip(down).and_then(
            // The quotient has fewer digits after the point than its sides.
            |(a, down)| nearest(a, b.checked_mul(down)?),
        );
        found.ok_or_else(|| too_large("quotient", to))
    })
}

fn products(left: &ArrayRef, right: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let more = places(left.data_type())? + places(right.data_type())? - places(to)?;
    let by = power(more);
    each(left, right, to, |a, b| {
        let found = a
            .checked_mul(b)
            .zip(by)
            .and_then(|(value, by)| nearest(value, by));
        found.ok_or_else(|| too_large("product", to))
    })
}

fn too_large(what: &str, to: &DataType) -> ArrowError {
    ArrowError::ArithmeticOverflow(format!(
        "a {what} does not fit `{}`",
        towpath_vocab::types::name(to)
    ))
}

/// Computes a decimal for each pair; NULL if one is.
fn each(
    left: &ArrayRef,
    right: &ArrayRef,
    to: &DataType,
    compute: impl Fn(i256, i256) -> std::result::Result<i256, ArrowError>,
) -> Result<ArrayRef> {
    let (left, right) = (wide(left)?, wide(right)?);
    let all = left.iter().zip(&right).map(|pair| match pair {
        (Some(a), Some(b)) => compute(*a, *b).map(Some),
        _ => Ok(None),
    });
    let all: Vec<Option<i256>> = all.collect::<std::result::Result<_, _>>().map_err(failed)?;
    match to {
        DataType::Decimal128(digits, scale) => {
            let narrow = |value: i256| value.to_i128().ok_or_else(|| too_large("number", to));
            let all: Vec<Option<i128>> = all
                .into_iter()
                .map(|value| value.map(narrow).transpose())
                .collect::<std::result::Result<_, _>>()
                .map_err(failed)?;
            let array = Decimal128Array::from(all).with_precision_and_scale(*digits, *scale)?;
            match array.validate_decimal_precision(*digits) {
                Ok(()) => Ok(Arc::new(array)),
                Err(_) => Err(failed(too_large("number", to))),
            }
        }
        DataType::Decimal256(digits, scale) => {
            let array = Decimal256Array::from(all).with_precision_and_scale(*digits, *scale)?;
            match array.validate_decimal_precision(*digits) {
                Ok(()) => Ok(Arc::new(array)),
                Err(_) => Err(failed(too_large("number", to))),
            }
        }
        other => plan_err!("a decimal is computed here, not {other}"),
    }
}

fn wide(values: &ArrayRef) -> Result<Vec<Option<i256>>> {
    Ok(match values.data_type() {
        DataType::Decimal128(..) => values
            .as_primitive::<Decimal128Type>()
            .iter()
            .map(|value| value.map(i256::from_i128))
            .collect(),
        DataType::Decimal256(..) => values.as_primitive::<Decimal256Type>().iter().collect(),
        other => return plan_err!("a decimal is needed here, not {other}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn digits(total: u8, places: i8) -> Digits {
        Digits::of(&DataType::Decimal128(total, places)).unwrap()
    }

    #[test]
    fn a_quotient_has_room_before_the_point_and_at_least_sixteen_digits_after_it() {
        let cases = [
            ((10, 2), (19, 0), (28, 20)),
            ((4, 2), (19, 0), (22, 20)),
            ((21, 2), (19, 0), (38, 19)),
            ((38, 10), (19, 0), (38, 16)),
            ((38, 30), (19, 0), (38, 30)),
            ((34, 24), (34, 24), (38, 24)),
        ];
        for ((a, b), (c, d), (total, places)) in cases {
            let found = of_quotient(digits(a, b), digits(c, d)).data_type();
            assert_eq!(
                found,
                Some(DataType::Decimal128(total, places)),
                "{a},{b} / {c},{d}"
            );
        }
        let found = of_product(digits(34, 24), digits(34, 24)).data_type();
        assert_eq!(found, Some(DataType::Decimal128(38, 24)));
        assert!(!drops_places(digits(19, 18), digits(19, 18)));
        let found = of_product(digits(38, 19), digits(38, 19)).data_type();
        assert_eq!(found, Some(DataType::Decimal128(38, 16)));
        let found = of_product(digits(12, 2), digits(38, 24)).data_type();
        assert_eq!(found, Some(DataType::Decimal128(38, 24)));
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        let number = i256::from_i128;
        for (value, by, wanted) in [
            (5, 2, 3),
            (-5, 2, -3),
            (5, -2, -3),
            (4, 3, 1),
            (-5, 3, -2),
            (1, 3, 0),
            (0, 3, 0),
        ] {
            assert_eq!(
                nearest(number(value), number(by)),
                Some(number(wanted)),
                "{value} / {by}"
            );
        }
    }
}
