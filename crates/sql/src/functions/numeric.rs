//! `numeric` without precision and scale, which keeps every digit in PostgreSQL.
//!
//! Promise: a decimal stays what it is; a text and an integer have 10 digits after the point, a floating
//! point number 20, of its 15 significant ones as in PostgreSQL: below 0.00001 some of them are rounded away,
//! and a number of which fewer than `LEFT_DIGITS` would be left is an error. A text with more digits after the
//! point is an error that names the type to write, never a rounded value; `try_cast`, and a cast inside
//! `round` and `trunc`, round it.
//! It reads no syntax; see `forms.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType};
use datafusion_common::cast::as_string_array;
use datafusion_common::{DataFusionError, Result, plan_err};
use datafusion_expr::ScalarUDF;

use super::define::{argument, define};
use super::read::digits_of_number;

/// A cast to `numeric`.
pub(crate) const AS_NUMERIC: &str = "as_numeric";
/// The same, with NULL for a value that cannot be converted.
pub(crate) const TRY_NUMERIC: &str = "try_numeric";
/// The same below a function that rounds.
pub(crate) const NUMERIC_TO_ROUND: &str = "numeric_to_round";

/// The digits after the point of text and integers.
pub(crate) const TEXT_PLACES: u8 = 10;
/// Those of floating point numbers.
const FLOAT_PLACES: u8 = 20;
const MOST_DIGITS: u8 = 38;
/// The significant digits that a floating point number must keep.
const LEFT_DIGITS: usize = 10;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(AS_NUMERIC, takes, gives, |args, to| {
            numbers(argument(args, 0)?, to, Beyond::Fails)
        }),
        define(TRY_NUMERIC, takes, gives, |args, to| {
            numbers(argument(args, 0)?, to, Beyond::Null)
        }),
        define(NUMERIC_TO_ROUND, takes, gives, |args, to| {
            numbers(argument(args, 0)?, to, Beyond::Rounds)
        }),
    ]
}

/// What becomes of a value with too many digits after the point, and (`Null`) of a text that is no number.
/// A tried cast rounds: NULL says that there is no number.
#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    Fails,
    Null,
    Rounds,
}

fn scaled(places: u8) -> Result<DataType> {
    match i8::try_from(places) {
        Ok(places) => Ok(DataType::Decimal128(MOST_DIGITS, places)),
        Err(_) => plan_err!("a decimal has at most {MOST_DIGITS} digits"),
    }
}

fn takes(types: &[DataType]) -> Result<Vec<DataType>> {
    let [given] = types else {
        return plan_err!(
            "a cast to `numeric` takes 1 value, here are {}",
            types.len()
        );
    };
    Ok(vec![match given {
        given if given.is_decimal() || given.is_floating() => given.clone(),
        given if given.is_integer() => scaled(TEXT_PLACES)?,
        DataType::Dictionary(_, inner) if inner.is_string() => DataType::Utf8,
        DataType::Null => DataType::Utf8,
        given if given.is_string() => DataType::Utf8,
        other => return plan_err!("Unsupported CAST from {other} to numeric"),
    }])
}

fn gives(types: &[DataType]) -> Result<DataType> {
    match types {
        [given] if given.is_decimal() => Ok(given.clone()),
        [given] if given.is_floating() => scaled(FLOAT_PLACES),
        _ => scaled(TEXT_PLACES),
    }
}

fn failed(text: String) -> DataFusionError {
    DataFusionError::ArrowError(Box::new(ArrowError::CastError(text)), None)
}

fn numbers(values: &ArrayRef, to: &DataType, beyond: Beyond) -> Result<ArrayRef> {
    let texts: StringArray = match values.data_type() {
        given if given.is_decimal() => return Ok(Arc::clone(values)),
        DataType::Float64 => {
            let all = values.as_primitive::<Float64Type>().iter();
            all.map(|value| value.map(|value| format!("{value:.14e}")))
                .collect()
        }
        DataType::Float32 => {
            let all = values.as_primitive::<Float32Type>().iter();
            all.map(|value| value.map(|value| format!("{value:.5e}")))
                .collect()
        }
        _ => as_string_array(values)?.clone(),
    };
    let DataType::Decimal128(_, places) = to else {
        return plan_err!("`numeric` is a decimal");
    };
    let most = usize::try_from(*places).unwrap_or_default();
    let is_floating = values.data_type().is_floating();
    let clean: Vec<Option<String>> = texts
        .iter()
        .map(|text| text.map_or(Ok(None), |text| kept(text, most, beyond, is_floating)))
        .collect::<Result<_>>()?;
    let clean: ArrayRef = Arc::new(StringArray::from(clean));
    let options = CastOptions {
        safe: beyond == Beyond::Null,
        ..CastOptions::default()
    };
    Ok(cast_with_options(&clean, to, &options)?)
}

/// The digits of a number, if they fit.
fn kept(text: &str, most: usize, beyond: Beyond, is_floating: bool) -> Result<Option<String>> {
    let Some(digits) = digits_of_number(text) else {
        return match beyond {
            Beyond::Null => Ok(None),
            _ => Err(failed(format!("`{text}` is not a valid numeric"))),
        };
    };
    let part = digits.split_once('.').map_or("", |(_, part)| part);
    let places = part.trim_end_matches('0').len();
    if places <= most || beyond != Beyond::Fails || (is_floating && keeps_enough(&digits, most)) {
        return Ok(Some(digits));
    }
    Err(failed(format!(
        "`{text}` has {places} digits after the point, and `numeric` has {most} here; write `numeric({MOST_DIGITS}, {})`",
        places.min(usize::from(MOST_DIGITS))
    )))
}

/// Whether enough significant digits of a number stand before the last place that is kept.
fn keeps_enough(digits: &str, most: usize) -> bool {
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let zeros = part.len() - part.trim_start_matches('0').len();
    whole.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) || zeros + LEFT_DIGITS <= most
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_tried_cast_rounds_a_number_and_is_null_for_other_texts() {
        let long = "0.30000000000000004";
        assert!(kept(long, 10, Beyond::Fails, false).is_err());
        assert_eq!(
            kept(long, 10, Beyond::Null, false).unwrap().as_deref(),
            Some(long)
        );
        assert_eq!(kept("x", 10, Beyond::Null, false).unwrap(), None);
    }

    #[test]
    fn a_small_floating_point_number_keeps_ten_digits_or_fails() {
        let kept = |text| kept(text, 20, Beyond::Fails, true);
        assert!(kept("3.33333333333333e-07").unwrap().is_some());
        assert!(kept("3.33333333333333e-12").is_err());
        assert!(kept("1.00000000000000e-20").unwrap().is_some());
        assert!(kept("1.00000000000000e-25").is_err());
        assert!(kept("0.00000000000000e0").unwrap().is_some());
    }
}
