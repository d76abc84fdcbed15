//! Functions that choose or guard a value: `iff`, `zeroifnull`, `safe_divide`.
//!
//! Promise: each becomes plain SQL (`CASE`, `coalesce`) when a plan is simplified, so that only the chosen
//! branch is computed. Evaluated directly, they return the same values.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array};
use arrow_schema::DataType;
use arrow_select::zip::zip;
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::expr::Case;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::type_coercion::binary::type_union_coercion;
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(Iff::new())),
        Arc::new(ScalarUDF::from(ZeroIfNull::new())),
        Arc::new(ScalarUDF::from(SafeDivide::new())),
    ]
}

fn array(args: &ScalarFunctionArgs, at: usize) -> Result<ArrayRef> {
    match args.args.get(at) {
        Some(value) => value.to_array(args.number_rows),
        None => plan_err!("argument {} is missing", at + 1),
    }
}

/// `iff(condition, then, otherwise)`; a NULL condition gives `otherwise`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Iff {
    signature: Signature,
}

impl Iff {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Iff {
    fn name(&self) -> &str {
        "iff"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, then, otherwise] = types else {
            return plan_err!(
                "`iff` takes 3 arguments (condition, then, otherwise), here are {}",
                types.len()
            );
        };
        match type_union_coercion(then, otherwise) {
            Some(common) => Ok(vec![DataType::Boolean, common.clone(), common]),
            None => plan_err!("`iff` gives either {then} or {otherwise}: there is no common type"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_, then, _] => Ok(then.clone()),
            _ => plan_err!(
                "`iff` takes 3 arguments (condition, then, otherwise), here are {}",
                types.len()
            ),
        }
    }

    fn short_circuits(&self) -> bool {
        true
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match <[Expr; 3]>::try_from(args) {
            Ok([condition, then, otherwise]) => {
                ExprSimplifyResult::Simplified(when(condition, then, otherwise))
            }
            Err(args) => ExprSimplifyResult::Original(args),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let condition = array(&args, 0)?;
        let condition = datafusion_common::cast::as_boolean_array(&condition)?;
        // NULL is not true.
        let chosen: BooleanArray = condition
            .iter()
            .map(|value| Some(value == Some(true)))
            .collect();
        let (then, otherwise) = (array(&args, 1)?, array(&args, 2)?);
        Ok(ColumnarValue::Array(zip(&chosen, &then, &otherwise)?))
    }
}

fn when(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
    Expr::Case(Case {
        expr: None,
        when_then_expr: vec![(Box::new(condition), Box::new(then))],
        else_expr: Some(Box::new(otherwise)),
    })
}

/// `zeroifnull(x)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ZeroIfNull {
    signature: Signature,
}

impl ZeroIfNull {
    fn new() -> Self {
        Self {
            signature: Signature::numeric(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ZeroIfNull {
    fn name(&self) -> &str {
        "zeroifnull"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] => Ok(only.clone()),
            _ => plan_err!("`zeroifnull` takes 1 argument, here are {}", types.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = array(&args, 0)?;
        let zero = ScalarValue::new_zero(values.data_type())?.to_scalar()?;
        let present: BooleanArray = (0..values.len())
            .map(|row| Some(values.is_valid(row)))
            .collect();
        Ok(ColumnarValue::Array(zip(&present, &values, &zero)?))
    }
}

/// `safe_divide(a, b)`: a quotient, or NULL if `b` is zero.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SafeDivide {
    signature: Signature,
}

impl SafeDivide {
    fn new() -> Self {
        let doubles = vec![DataType::Float64, DataType::Float64];
        Self {
            signature: Signature::exact(doubles, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for SafeDivide {
    fn name(&self) -> &str {
        "safe_divide"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match <[Expr; 2]>::try_from(args) {
            Ok([above, below]) => {
                let zero = below.clone().eq(lit(0.0_f64));
                let nothing = Expr::Literal(ScalarValue::Float64(None), None);
                ExprSimplifyResult::Simplified(when(zero, nothing, above / below))
            }
            Err(args) => ExprSimplifyResult::Original(args),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (above, below) = (array(&args, 0)?, array(&args, 1)?);
        let above = datafusion_common::cast::as_float64_array(&above)?;
        let below = datafusion_common::cast::as_float64_array(&below)?;
        let divided: Float64Array = above
            .iter()
            .zip(below)
            .map(|(a, b)| Some(a? / b.filter(|below| *below != 0.0)?))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(divided)))
    }
}
