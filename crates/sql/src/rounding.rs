//! Rewrites casts so that they lose nothing that PostgreSQL keeps.
//!
//! A cast to an integer rounds, as in PostgreSQL and DuckDB, where the planner would truncate: decimals
//! round half away from zero, floating point numbers half to even. Text is not rounded: `'2.7'` is not an
//! integer. Timestamps are compared in microseconds, because the planner's nanoseconds only reach from 1677
//! to 2262. It knows no table. It must run after type coercion.

use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{ArrayRef, cast::AsArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TryCast, Volatility,
};
use datafusion_optimizer::AnalyzerRule;

/// Makes casts to integers round.
#[derive(Debug)]
pub struct RoundedCasts;

impl AnalyzerRule for RoundedCasts {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                Ok(rounded(expression, &schema)?.update_data(|done| name.restore(done)))
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "RoundedCasts"
    }
}

/// Rewrites an expression so that its casts to integers round.
pub(crate) fn rounded(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expression.transform_up(|part| {
        Ok(match part {
            Expr::Cast(cast) if cast.field.data_type().is_integer() => whole(*cast.expr, schema)?
                .update_data(|expr| {
                    Expr::Cast(Cast::new_from_field(
                        Box::new(expr),
                        Arc::clone(&cast.field),
                    ))
                }),
            Expr::TryCast(cast) if cast.field.data_type().is_integer() => {
                whole(*cast.expr, schema)?.update_data(|expr| {
                    Expr::TryCast(TryCast {
                        expr: Box::new(expr),
                        field: Arc::clone(&cast.field),
                    })
                })
            }
            Expr::BinaryExpr(mut compared) if compares(compared.op) => {
                let done = in_microseconds([&mut compared.left, &mut compared.right], schema)?;
                Transformed::new_transformed(Expr::BinaryExpr(compared), done)
            }
            Expr::Between(mut compared) => {
                let sides = [&mut compared.expr, &mut compared.low, &mut compared.high];
                let done = in_microseconds(sides, schema)?;
                Transformed::new_transformed(Expr::Between(compared), done)
            }
            other => Transformed::no(other),
        })
    })
}

/// Operators that compare two values of one type.
pub(crate) fn compares(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Casts compared timestamps to microseconds, if none of them is more precise. True if something changed.
fn in_microseconds<const N: usize>(sides: [&mut Box<Expr>; N], schema: &DFSchema) -> Result<bool> {
    for side in &sides {
        let Expr::Cast(cast) = side.as_ref() else {
            return Ok(false);
        };
        let DataType::Timestamp(TimeUnit::Nanosecond, _) = cast.field.data_type() else {
            return Ok(false);
        };
        if let DataType::Timestamp(TimeUnit::Nanosecond, _) = cast.expr.get_type(schema)? {
            return Ok(false);
        }
    }
    for side in sides {
        if let Expr::Cast(cast) = side.as_mut()
            && let DataType::Timestamp(_, zone) = cast.field.data_type()
        {
            let shorter = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            *cast = Cast::new(cast.expr.clone(), shorter);
        }
    }
    Ok(true)
}

/// The value without a fraction.
fn whole(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let decimal = |expr: Expr, data_type: DataType| {
        Transformed::yes(Expr::Cast(Cast::new(Box::new(expr), data_type)))
    };
    if matches!(&expr, Expr::ScalarFunction(call) if call.func.name() == NAME) {
        return Ok(Transformed::no(expr));
    }
    Ok(match expr.get_type(schema)? {
        DataType::Float32 | DataType::Float64 => {
            let call = ScalarFunction::new_udf(nearest_whole(), vec![expr]);
            Transformed::yes(Expr::ScalarFunction(call))
        }
        // One place less may need one digit more: 9.9 is 10.
        DataType::Decimal128(digits, 1..) => decimal(expr, DataType::Decimal128(digits, 0)),
        DataType::Decimal256(digits, 1..) => decimal(expr, DataType::Decimal256(digits, 0)),
        _ => Transformed::no(expr),
    })
}

const NAME: &str = "nearest_whole";

/// The function that rounds floating point to an integer, halves to even.
pub(crate) fn nearest_whole() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(NearestWhole::new()))
}

/// Rounds a floating point number to the nearest integer, and half to even.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NearestWhole {
    signature: Signature,
}

impl NearestWhole {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for NearestWhole {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] => Ok(only.clone()),
            _ => plan_err!("`{NAME}` takes 1 argument, here are {}", types.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return plan_err!("`{NAME}` takes 1 argument");
        };
        let values = value.to_array(args.number_rows)?;
        let out: ArrayRef = match values.data_type() {
            DataType::Float32 => Arc::new(
                values
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(f32::round_ties_even),
            ),
            DataType::Float64 => Arc::new(
                values
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(f64::round_ties_even),
            ),
            other => return plan_err!("`{NAME}` takes a floating point number, here is {other}"),
        };
        Ok(ColumnarValue::Array(out))
    }
}
