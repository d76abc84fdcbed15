//! `ceil` and `floor`.
//!
//! Promise: the result of a decimal has no digit after the point, as in PostgreSQL, and room for the next
//! whole number, so that no value of any type overflows. It does not know `round` and `trunc`, which are the
//! engine's.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type};
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray};
use arrow_schema::DataType;
use datafusion_common::{Result, plan_err};
use datafusion_expr::ScalarUDF;

use super::define::{argument, define};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define("ceil", number, whole, |args, _| {
            to_whole(argument(args, 0)?, Side::Above)
        }),
        define("floor", number, whole, |args, _| {
            to_whole(argument(args, 0)?, Side::Below)
        }),
    ]
}

/// On which side of a value its whole number is.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Above,
    Below,
}

fn number(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Float32] => {
            Ok(types.to_vec())
        }
        [DataType::Null] => Ok(vec![DataType::Float64]),
        [only] if only.is_numeric() => Ok(vec![DataType::Float64]),
        [only] => plan_err!("`ceil` and `floor` take a number, here is {only}"),
        _ => plan_err!(
            "`ceil` and `floor` take 1 argument, here are {}",
            types.len()
        ),
    }
}

/// The digits before the point, and one more.
fn whole(types: &[DataType]) -> Result<DataType> {
    let digits = |precision: u8, scale: i8| {
        let part = u8::try_from(scale).unwrap_or_default();
        precision.saturating_sub(part).saturating_add(1)
    };
    match types {
        [DataType::Decimal128(precision, scale)] if *scale > 0 => {
            Ok(DataType::Decimal128(digits(*precision, *scale), 0))
        }
        [DataType::Decimal256(precision, scale)] if *scale > 0 => {
            Ok(DataType::Decimal256(digits(*precision, *scale), 0))
        }
        [only] => Ok(only.clone()),
        _ => plan_err!("`ceil` and `floor` take 1 argument"),
    }
}

fn to_whole(values: &ArrayRef, side: Side) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Decimal128(precision, scale) if *scale > 0 => {
            decimals::<Decimal128Type>(values, (*precision, *scale), side)?
        }
        DataType::Decimal256(precision, scale) if *scale > 0 => {
            decimals::<Decimal256Type>(values, (*precision, *scale), side)?
        }
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>();
            let made: PrimitiveArray<Float32Type> = match side {
                Side::Above => values.unary(f32::ceil),
                Side::Below => values.unary(f32::floor),
            };
            Arc::new(made)
        }
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            let made: PrimitiveArray<Float64Type> = match side {
                Side::Above => values.unary(f64::ceil),
                Side::Below => values.unary(f64::floor),
            };
            Arc::new(made)
        }
        // Whole numbers.
        _ => Arc::clone(values),
    })
}

fn decimals<T: DecimalType>(
    values: &ArrayRef,
    (precision, scale): (u8, i8),
    side: Side,
) -> Result<ArrayRef> {
    let part = u8::try_from(scale).unwrap_or_default();
    let zero = T::Native::ZERO;
    let ten = (0..10).try_fold(zero, |sum, _| sum.add_checked(T::Native::ONE))?;
    let one = ten.pow_checked(u32::from(part))?;
    let made: PrimitiveArray<T> = values.as_primitive::<T>().try_unary(|value| {
        let (towards_zero, rest) = (value.div_checked(one)?, value.mod_checked(one)?);
        match side {
            Side::Above if rest.is_gt(zero) => towards_zero.add_checked(T::Native::ONE),
            Side::Below if rest.is_lt(zero) => towards_zero.sub_checked(T::Native::ONE),
            Side::Above | Side::Below => Ok(towards_zero),
        }
    })?;
    let precision = precision.saturating_sub(part).saturating_add(1);
    Ok(Arc::new(made.with_precision_and_scale(precision, 0)?))
}
