//! `sum` and `avg` of integers and decimals that never wrap around, and round half away from zero.
//!
//! Promise: a sum is exact or an error, an average is rounded once. DataFusion adds 64-bit numbers modulo
//! 2^64 and decimals modulo 2^128, and its averages drop digits. Here integers are added with 38 digits, and
//! decimals with 76 if a few rows could exceed 38 digits; an average has one digit more than its type. The
//! result is converted to the declared type, or is an error if it does not fit. Names and types are those
//! that `sql` has checked; other types are DataFusion's own. It knows no plan. Read next: `exact.rs`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs, utils::AggregateOrderSensitivity,
};

type Result<T> = std::result::Result<T, DataFusionError>;

/// The type in which 64-bit numbers are added; no realistic number of values overflows it.
const WIDE: DataType = DataType::Decimal128(38, 0);
/// The sum of decimals with at most this many digits has ten digits more, which no realistic number of rows
/// exceeds.
const ROOMY_DIGITS: u8 = 28;
/// The most digits of a decimal of 256 bits.
const WIDEST_DIGITS: u8 = 76;

/// The functions with an exact `sum` and `avg` in place of DataFusion's.
pub(crate) fn with_exact_sum(functions: &[Arc<AggregateUDF>]) -> Vec<Arc<AggregateUDF>> {
    let exact = |function: &Arc<AggregateUDF>| match function.name() {
        "sum" | "avg" => Arc::new(AggregateUDF::new_from_impl(ExactSum {
            inner: Arc::clone(function),
        })),
        _ => Arc::clone(function),
    };
    functions.iter().map(exact).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    inner: Arc<AggregateUDF>,
}

/// The types in which DataFusion's function computes here.
struct Wide {
    arguments: DataType,
    result: DataType,
}

impl ExactSum {
    /// The types in which these arguments are added, if DataFusion's function would wrap around or drop
    /// digits.
    fn wide(&self, arguments: &[FieldRef], result: &FieldRef) -> Option<Wide> {
        let given = arguments.first()?.data_type();
        let one = |data_type: DataType| Wide {
            arguments: data_type.clone(),
            result: data_type,
        };
        match (result.data_type(), given) {
            (DataType::Decimal128(_, scale), DataType::Decimal128(_, given)) if self.averages() => {
                Some(Wide {
                    arguments: DataType::Decimal256(WIDEST_DIGITS, *given),
                    // The first digit that is dropped shows which way to round.
                    result: DataType::Decimal256(WIDEST_DIGITS, scale + 1),
                })
            }
            _ if self.averages() => None,
            (DataType::Int64 | DataType::UInt64, _) => Some(one(WIDE)),
            (DataType::Decimal128(_, scale), DataType::Decimal128(digits, _))
                if *digits > ROOMY_DIGITS =>
            {
                Some(one(DataType::Decimal256(WIDEST_DIGITS, *scale)))
            }
            _ => None,
        }
    }

    fn averages(&self) -> bool {
        self.inner.name() == "avg"
    }

    /// The arguments of an average have the type in which it is computed; those of a sum keep theirs.
    fn arguments(&self, fields: &[FieldRef], wide: &Wide) -> Vec<FieldRef> {
        match self.averages() {
            true => fields
                .iter()
                .map(|field| widened(field, &wide.arguments))
                .collect(),
            false => fields.to_vec(),
        }
    }
}

fn widened(field: &FieldRef, to: &DataType) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(to.clone()))
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let exact = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, to, &exact)?)
}

fn widen(values: &[ArrayRef], to: &DataType) -> Result<Vec<ArrayRef>> {
    values.iter().map(|array| cast(array, to)).collect()
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(wide) = self.wide(args.expr_fields, &args.return_field) else {
            return self.inner.accumulator(args);
        };
        let result = args.return_field.data_type().clone();
        let arguments = self.arguments(args.expr_fields, &wide);
        let inner = self.inner.accumulator(AccumulatorArgs {
            return_field: widened(&args.return_field, &wide.result),
            expr_fields: &arguments,
            ..args
        })?;
        Ok(Box::new(Exact {
            inner,
            wide: wide.arguments,
            result,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let Some(wide) = self.wide(args.input_fields, &args.return_field) else {
            return self.inner.state_fields(args);
        };
        let arguments = self.arguments(args.input_fields, &wide);
        self.inner.state_fields(StateFieldsArgs {
            return_field: widened(&args.return_field, &wide.result),
            input_fields: &arguments,
            ..args
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(wide) = self.wide(args.expr_fields, &args.return_field) else {
            return self.inner.create_groups_accumulator(args);
        };
        let result = args.return_field.data_type().clone();
        let arguments = self.arguments(args.expr_fields, &wide);
        let inner = self.inner.create_groups_accumulator(AccumulatorArgs {
            return_field: widened(&args.return_field, &wide.result),
            expr_fields: &arguments,
            ..args
        })?;
        Ok(Box::new(ExactGroups {
            inner,
            wide: wide.arguments,
            result,
        }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(wide) = self.wide(args.expr_fields, &args.return_field) else {
            return self.inner.create_sliding_accumulator(args);
        };
        if args.is_distinct {
            // DataFusion's own would wrap around.
            return Err(DataFusionError::NotImplemented(format!(
                "{}(distinct ...) over a frame that moves",
                self.name()
            )));
        }
        let result = args.return_field.data_type().clone();
        let arguments = self.arguments(args.expr_fields, &wide);
        let inner = self.inner.create_sliding_accumulator(AccumulatorArgs {
            return_field: widened(&args.return_field, &wide.result),
            expr_fields: &arguments,
            ..args
        })?;
        Ok(Box::new(Exact {
            inner,
            wide: wide.arguments,
            result,
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.inner().value_from_stats(statistics)
    }
}

/// Computes in a wide type, and returns the declared type.
#[derive(Debug)]
struct Exact {
    inner: Box<dyn Accumulator>,
    wide: DataType,
    result: DataType,
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&widen(values, &self.wide)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let wide = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&cast(&wide, &self.result)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&widen(values, &self.wide)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// The same for many groups at once.
struct ExactGroups {
    inner: Box<dyn GroupsAccumulator>,
    wide: DataType,
    result: DataType,
}

impl GroupsAccumulator for ExactGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner
            .update_batch(&widen(values, &self.wide)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        cast(&self.inner.evaluate(emit)?, &self.result)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(states, groups, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner
            .convert_to_state(&widen(values, &self.wide)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
