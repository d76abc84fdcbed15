//! Decimals as floating point numbers.
//!
//! Promise: the result is the floating point number nearest to the decimal, as if its text were read. The
//! library rounds the digits before it divides them, so that 118.0700000000000000000 would be
//! 118.07000000000001. It does not know where a cast stands; see `comparison.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type};
use arrow_array::{Array, ArrayRef, Float32Array, Float64Array};
use arrow_cast::cast;
use arrow_schema::DataType;
use datafusion_common::{Result, plan_err};
use datafusion_expr::ScalarUDF;

use super::define::{argument, define};

const NEAREST_DOUBLE: &str = "nearest_double";
const NEAREST_REAL: &str = "nearest_real";
const MOST_DIGITS: u8 = 38;

/// The powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Whole numbers up to this one are exact as a double.
const MOST_EXACT: u128 = 1 << 53;

/// The function that makes a decimal a number of this floating point type.
pub(crate) fn nearest_to(to: &DataType) -> &'static str {
    match to {
        DataType::Float64 => NEAREST_DOUBLE,
        _ => NEAREST_REAL,
    }
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(NEAREST_DOUBLE, decimal, |_| Ok(DataType::Float64), doubles),
        define(NEAREST_REAL, decimal, |_| Ok(DataType::Float32), reals),
    ]
}

fn decimal(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [only] if only.is_decimal() => Ok(types.to_vec()),
        _ => plan_err!("here must be one decimal"),
    }
}

fn doubles(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let values = argument(args, 0)?;
    Ok(match values.data_type() {
        DataType::Decimal32(_, places) | DataType::Decimal64(_, places) => {
            let wider = cast(values, &DataType::Decimal128(MOST_DIGITS, *places))?;
            Arc::new(of_digits(&wider, *places))
        }
        DataType::Decimal128(_, places) => Arc::new(of_digits(values, *places)),
        _ => {
            let values = values.as_primitive::<Decimal256Type>();
            let text = |at: usize| values.is_valid(at).then(|| values.value_as_string(at));
            let all = (0..values.len()).map(|at| text(at)?.parse().ok());
            Arc::new(all.collect::<Float64Array>())
        }
    })
}

fn of_digits(values: &ArrayRef, places: i8) -> Float64Array {
    let digits = values.as_primitive::<Decimal128Type>();
    digits.unary(|value| nearest(value, places))
}

/// The double nearest to `value / 10^places`.
fn nearest(value: i128, places: i8) -> f64 {
    let power = usize::try_from(places).ok();
    let power = power.and_then(|places| EXACT_POWERS.get(places));
    match power {
        // A quotient of two exact numbers is rounded once.
        Some(power) if value.unsigned_abs() <= MOST_EXACT => value as f64 / power,
        _ => format!("{value}e{}", -i16::from(places))
            .parse()
            .unwrap_or(f64::NAN),
    }
}

fn reals(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let values = argument(args, 0)?;
    let texts = cast(values, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>().iter();
    let all = texts.map(|text| text?.parse().ok());
    Ok(Arc::new(all.collect::<Float32Array>()))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_decimal_is_the_nearest_double() {
        assert_eq!(nearest(11_807, 2), 118.07);
        assert_eq!(nearest(1_180_700_000_000_000_000_000, 19), 118.07);
        assert_eq!(nearest(2_365_000_000_000_000_000_000, 19), 236.5);
        assert_eq!(
            nearest(-33_333_333_333_333_333_333, 20),
            -0.333_333_333_333_333_3
        );
        assert_eq!(nearest(5, -2), 500.0);
        assert_eq!(nearest(i128::MAX, 38), 1.701_411_834_604_692_3);
    }

    #[test]
    fn every_way_rounds_as_the_text_is_read() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let value = i128::from(state >> (state % 60)) * i128::from(state % 1_000 + 1);
            let places = (state % 30) as i8;
            let text: f64 = format!("{value}e-{places}").parse().unwrap_or(f64::NAN);
            assert_eq!(nearest(value, places), text, "{value}e-{places}");
        }
    }
}
