//! Numeric functions that the engine does not have, or has with another meaning.
//!
//! It does not know operators; `spelling.rs` replaces `mod` and `div` before planning.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type};
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use datafusion_common::{Result, plan_err};
use datafusion_expr::ScalarUDF;

use super::define::{argument, define};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![define("sign", number, |_| Ok(DataType::Float64), signs)]
}

fn number(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Null] => Ok(vec![DataType::Float64]),
        [DataType::Decimal128(..)] => Ok(types.to_vec()),
        [only] if only.is_numeric() => Ok(vec![DataType::Float64]),
        [only] => plan_err!("`sign` takes a number, here is {only}"),
        _ => plan_err!("`sign` takes 1 argument, here are {}", types.len()),
    }
}

fn signs(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let values = argument(args, 0)?;
    let sign = |value: f64| {
        if value == 0.0 || value.is_nan() {
            0.0
        } else {
            value.signum()
        }
    };
    let all: Float64Array = match values.data_type() {
        DataType::Decimal128(..) => values
            .as_primitive::<Decimal128Type>()
            .iter()
            .map(|value| {
                value.map(|value| {
                    if value == 0 {
                        0.0
                    } else {
                        f64::from(i8::from(value > 0)) * 2.0 - 1.0
                    }
                })
            })
            .collect(),
        _ => values
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| value.map(sign))
            .collect(),
    };
    Ok(Arc::new(all))
}
