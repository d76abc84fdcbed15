//! Arithmetic that overflows is an error that names the expression, never a wrong number.
//!
//! Promise: these operators never wrap around. In DataFusion, `+`, `-`, `*` and unary minus of integers wrap
//! around, and decimals may get more digits than their type has. PostgreSQL does neither, nor does Towpath.
//! Here these operators become functions that fail. This happens before the optimiser runs, so it holds for
//! constants, windows, joins, sorts and keys too. Additions inside `sum` are in `sum.rs`. Shifts (`<<`) drop
//! bits, as in other systems. Read next: `sum.rs`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray as _, Datum};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type,
    Field, FieldRef, Float64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable as _, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;
use towpath_sql::quotients;
use towpath_vocab::types;

type Result<T> = std::result::Result<T, DataFusionError>;

/// The longest part of an expression in a message.
const SPOKEN_CHARS: usize = 120;

/// Makes arithmetic in plans fail instead of giving wrong numbers.
#[derive(Debug)]
pub(crate) struct ExactArithmetic;

impl AnalyzerRule for ExactArithmetic {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(node).data()
    }

    fn name(&self) -> &'static str {
        "ExactArithmetic"
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let changed = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        Ok(exact_parts(expression, &schema)?.update_data(|exact| name.restore(exact)))
    })?;
    if !changed.transformed {
        return Ok(changed);
    }
    changed.map_data(LogicalPlan::recompute_schema)
}

/// A type-checked expression whose arithmetic fails instead of giving wrong numbers.
pub(crate) fn exact(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    exact_parts(expression, schema).data()
}

fn exact_parts(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expression.transform_up(|part| {
        let (sum, arguments) = match &part {
            Expr::BinaryExpr(binary) => {
                let Some(sum) = Sum::of(binary.op) else {
                    return Ok(Transformed::no(part));
                };
                let (left, right) = (binary.left.as_ref(), binary.right.as_ref());
                let (held, other) = (left.get_type(schema)?, right.get_type(schema)?);
                if !sum.can_leave(&held) || !sum.can_leave(&other) {
                    return Ok(Transformed::no(part));
                }
                (sum, vec![left.clone(), right.clone()])
            }
            Expr::Negative(inner) if inner.get_type(schema)?.is_integer() => {
                (Sum::Negate, vec![inner.as_ref().clone()])
            }
            _ => return Ok(Transformed::no(part)),
        };
        let spoken = part.human_display().to_string();
        let function = Arc::new(ScalarUDF::new_from_impl(Exact::new(sum, &spoken)));
        let call = ScalarFunction::new_udf(function, arguments);
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    })
}

/// The operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sum {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
}

impl Sum {
    fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Plus => Self::Add,
            Operator::Minus => Self::Subtract,
            Operator::Multiply => Self::Multiply,
            Operator::Divide => Self::Divide,
            Operator::Modulo => Self::Remainder,
            _ => return None,
        })
    }

    /// Whether a result can overflow its type. Division of integers fails by itself; that of decimals may
    /// give too many digits, and that of floating point numbers infinity.
    fn can_leave(self, data_type: &DataType) -> bool {
        let divides = matches!(self, Self::Divide | Self::Remainder);
        let floats = data_type.is_floating() && self != Self::Remainder;
        data_type.is_decimal() || floats || (!divides && data_type.is_integer())
    }

    /// An error if a floating point result is infinite or underflows to zero, although its operands are not.
    fn leaves_floats(self, a: f64, b: f64, result: f64) -> std::result::Result<(), &'static str> {
        if self == Self::Divide && b == 0.0 && !a.is_nan() {
            return Err("");
        }
        if result.is_infinite() && a.is_finite() && b.is_finite() {
            return Err("is too large");
        }
        let vanishes = match self {
            Self::Multiply => a != 0.0 && b != 0.0,
            Self::Divide => a != 0.0 && !b.is_infinite(),
            _ => false,
        };
        if result == 0.0 && vanishes {
            return Err("is too small");
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Add => "exact_add",
            Self::Subtract => "exact_subtract",
            Self::Multiply => "exact_multiply",
            Self::Divide => "exact_divide",
            Self::Remainder => "exact_remainder",
            Self::Negate => "exact_negate",
        }
    }

    fn operator(self) -> Operator {
        match self {
            Self::Add => Operator::Plus,
            Self::Subtract | Self::Negate => Operator::Minus,
            Self::Multiply => Operator::Multiply,
            Self::Divide => Operator::Divide,
            Self::Remainder => Operator::Modulo,
        }
    }

    fn kernel(self) -> fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        match self {
            Self::Add => numeric::add,
            Self::Subtract | Self::Negate => numeric::sub,
            Self::Multiply => numeric::mul,
            Self::Divide => numeric::div,
            Self::Remainder => numeric::rem,
        }
    }
}

/// An arithmetic operation as a function.
#[derive(Debug)]
struct Exact {
    sum: Sum,
    spoken: String,
    signature: Signature,
}

impl Exact {
    fn new(sum: Sum, spoken: &str) -> Self {
        let arguments = if sum == Sum::Negate { 1 } else { 2 };
        let more = spoken.chars().nth(SPOKEN_CHARS).map_or("", |_| "...");
        let short: String = spoken.chars().take(SPOKEN_CHARS).collect();
        Self {
            sum,
            spoken: format!("{short}{more}"),
            signature: Signature::any(arguments, Volatility::Immutable),
        }
    }

    fn left(&self, held: &DataType) -> ArrowError {
        ArrowError::ArithmeticOverflow(format!(
            "`{}` does not fit `{}`",
            self.spoken,
            types::name(held)
        ))
    }

    fn floats(
        &self,
        left: &dyn Datum,
        right: &dyn Datum,
        computed: &ArrayRef,
    ) -> std::result::Result<(), ArrowError> {
        if !computed.data_type().is_floating() {
            return Ok(());
        }
        let odd = |value: f64| !value.is_finite() || value == 0.0;
        let results = cast(computed, &DataType::Float64)?;
        let results = results.as_primitive::<Float64Type>();
        if !results.iter().flatten().any(odd) {
            return Ok(());
        }
        let sides = [left.get(), right.get()];
        let doubles = |(array, scalar): (&dyn Array, bool)| -> std::result::Result<_, ArrowError> {
            Ok((cast(array, &DataType::Float64)?, scalar))
        };
        let [a, b] = [doubles(sides[0])?, doubles(sides[1])?];
        let value = |(array, scalar): &(ArrayRef, bool), row: usize| {
            array
                .as_primitive::<Float64Type>()
                .value(if *scalar { 0 } else { row })
        };
        for (row, result) in results.iter().enumerate() {
            let Some(result) = result.filter(|result| odd(*result)) else {
                continue;
            };
            match self
                .sum
                .leaves_floats(value(&a, row), value(&b, row), result)
            {
                Ok(()) => {}
                Err("") => return Err(ArrowError::DivideByZero),
                Err(how) => {
                    return Err(ArrowError::ArithmeticOverflow(format!(
                        "`{}` {how} for floating point",
                        self.spoken
                    )));
                }
            }
        }
        Ok(())
    }

    fn checked(
        &self,
        computed: std::result::Result<ArrayRef, ArrowError>,
        held: &DataType,
    ) -> std::result::Result<ArrayRef, ArrowError> {
        let array = match computed {
            Err(ArrowError::ArithmeticOverflow(_)) => return Err(self.left(held)),
            other => other?,
        };
        let fits = match array.data_type() {
            DataType::Decimal128(DECIMAL128_MAX_PRECISION, _) => array
                .as_primitive::<Decimal128Type>()
                .validate_decimal_precision(DECIMAL128_MAX_PRECISION),
            DataType::Decimal256(DECIMAL256_MAX_PRECISION, _) => array
                .as_primitive::<Decimal256Type>()
                .validate_decimal_precision(DECIMAL256_MAX_PRECISION),
            _ => Ok(()),
        };
        match fits {
            Ok(()) => Ok(array),
            Err(_) => Err(self.left(array.data_type())),
        }
    }
}

/// The text for messages is not a part of its identity.
impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.sum == other.sum
    }
}

impl Eq for Exact {}

impl Hash for Exact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sum.hash(state);
    }
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &str {
        self.sum.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [only] => Ok(only.clone()),
            [left, right] => {
                BinaryTypeCoercer::new(left, &self.sum.operator(), right).get_result_type()
            }
            _ => Err(DataFusionError::Internal(format!(
                "{} has no such arguments",
                self.name()
            ))),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let held: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let data_type = self.return_type(&held)?;
        Ok(Arc::new(Field::new(self.name(), data_type, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let held = args.return_field.data_type();
        let (left, right) = match args.args.as_slice() {
            [only] => (
                ColumnarValue::Scalar(ScalarValue::new_zero(held)?),
                only.clone(),
            ),
            [left, right] => (left.clone(), right.clone()),
            _ => {
                return Err(DataFusionError::Internal(format!(
                    "{} has no such arguments",
                    self.name()
                )));
            }
        };
        if self.sum == Sum::Divide && held.is_decimal() {
            let sides = ColumnarValue::values_to_arrays(&[left, right])?;
            return match sides.as_slice() {
                [left, right] => quotients(left, right, held).map(ColumnarValue::Array),
                _ => Err(DataFusionError::Internal(
                    "a quotient has two sides".to_owned(),
                )),
            };
        }
        let kernel = self.sum.kernel();
        apply(&left, &right, |left, right| {
            let computed = self.checked(kernel(left, right), held)?;
            self.floats(left, right, &computed)?;
            Ok(computed)
        })
    }
}
