//! `sum`, `avg`, `min` and `max` of intervals, and the type of an average of decimals.
//!
//! Promise: months, days and time are added separately, as in PostgreSQL; the smallest and the greatest
//! interval are found by length, with months of 30 days. For other types the functions of the engine are
//! used. It does not know plans.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{IntervalMonthDayNano, IntervalMonthDayNanoType};
use arrow_array::{ArrayRef, Int64Array, IntervalMonthDayNanoArray};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::cast::as_int64_array;
use datafusion_common::{Result, ScalarValue, exec_datafusion_err, not_impl_err, plan_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Coercion, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs, TypeSignature, TypeSignatureClass, Volatility,
    utils::AggregateOrderSensitivity,
};

use super::define::argument;
use super::quotient::average;
use super::span::{divided, key, span, sum};

/// `sum` and `avg` that take intervals too.
pub(super) fn with_intervals(functions: Vec<Arc<AggregateUDF>>) -> Vec<Arc<AggregateUDF>> {
    let wider = |function: Arc<AggregateUDF>| {
        let kind = match function.name() {
            "sum" => Kind::Sum,
            "avg" => Kind::Mean,
            _ => return function,
        };
        let signatures = vec![
            function.signature().type_signature.clone(),
            // Text is not read as an interval here.
            TypeSignature::Coercible(vec![Coercion::new_exact(TypeSignatureClass::Interval)]),
        ];
        Arc::new(AggregateUDF::new_from_impl(Total {
            signature: Signature::one_of(signatures, Volatility::Immutable),
            inner: function,
            kind,
        }))
    };
    functions.into_iter().map(wider).collect()
}

/// The smallest or greatest interval by length, for `min` and `max`.
pub(crate) fn longest(name: &str) -> Option<Arc<AggregateUDF>> {
    static BOTH: LazyLock<[Arc<AggregateUDF>; 2]> = LazyLock::new(|| {
        let one = |least| {
            Arc::new(AggregateUDF::new_from_impl(Extreme {
                least,
                signature: Signature::exact(vec![span()], Volatility::Immutable),
            }))
        };
        [one(true), one(false)]
    });
    match name {
        "min" => Some(Arc::clone(&BOTH[0])),
        "max" => Some(Arc::clone(&BOTH[1])),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Mean,
}

/// `sum` or `avg`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    inner: Arc<AggregateUDF>,
    kind: Kind,
    signature: Signature,
}

fn of_interval(fields: &[FieldRef]) -> bool {
    fields
        .first()
        .is_some_and(|field| *field.data_type() == span())
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(only) if *only == span() => Ok(span()),
            Some(only) if self.kind == Kind::Mean && only.is_decimal() => {
                average(only).map_or_else(|| self.inner.return_type(types), Ok)
            }
            _ => self.inner.return_type(types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !of_interval(args.expr_fields) {
            return self.inner.accumulator(args);
        }
        if args.is_distinct {
            return not_impl_err!("`{}(distinct …)` of intervals", self.name());
        }
        Ok(Box::new(Totals {
            kind: self.kind,
            total: None,
            count: 0,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !of_interval(args.input_fields) {
            return self.inner.state_fields(args);
        }
        Ok(vec![
            Arc::new(Field::new(format!("{}[total]", args.name), span(), true)),
            Arc::new(Field::new(
                format!("{}[count]", args.name),
                DataType::Int64,
                true,
            )),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !of_interval(args.expr_fields) && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match of_interval(args.expr_fields) {
            true => self.accumulator(args),
            false => self.inner.create_sliding_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        match *data_type == span() {
            true => SetMonotonicity::NotMonotonic,
            false => self.inner.inner().set_monotonicity(data_type),
        }
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.inner().value_from_stats(statistics)
    }
}

/// The sum of intervals, and their number.
#[derive(Debug)]
struct Totals {
    kind: Kind,
    total: Option<IntervalMonthDayNano>,
    count: i64,
}

impl Totals {
    fn add(&mut self, value: IntervalMonthDayNano, sign: i64) -> Result<()> {
        let value = match sign {
            1 => Some(value),
            _ => Some(IntervalMonthDayNano::new(
                -value.months,
                -value.days,
                -value.nanoseconds,
            )),
        };
        let total = self.total.unwrap_or(IntervalMonthDayNano::ZERO);
        self.total = Some(
            value
                .and_then(|value| sum(total, value))
                .ok_or_else(|| exec_datafusion_err!("the sum of intervals is out of range"))?,
        );
        Ok(())
    }
}

impl Accumulator for Totals {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let spans = argument(values, 0)?.as_primitive::<IntervalMonthDayNanoType>();
        for value in spans.iter().flatten() {
            self.add(value, 1)?;
            self.count += 1;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = match (self.total.filter(|_| self.count > 0), self.kind) {
            (None, _) => None,
            (Some(total), Kind::Sum) => Some(total),
            (Some(total), Kind::Mean) => {
                #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
                let count = self.count as f64;
                Some(divided(total, count)?)
            }
        };
        Ok(ScalarValue::IntervalMonthDayNano(value))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::IntervalMonthDayNano(self.total),
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let totals = argument(states, 0)?.as_primitive::<IntervalMonthDayNanoType>();
        let counts: &Int64Array = as_int64_array(argument(states, 1)?)?;
        for (total, count) in totals.iter().zip(counts) {
            if let Some(total) = total {
                self.add(total, 1)?;
            }
            self.count += count.unwrap_or(0);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let spans = argument(values, 0)?.as_primitive::<IntervalMonthDayNanoType>();
        for value in spans.iter().flatten() {
            self.add(value, -1)?;
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

/// The smallest or greatest.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    least: bool,
    signature: Signature,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        if self.least { "min" } else { "max" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_] => Ok(span()),
            _ => plan_err!("`{}` takes one interval", self.name()),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Extremes {
            least: self.least,
            found: None,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}[found]", args.name),
            span(),
            true,
        ))])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct Extremes {
    least: bool,
    found: Option<IntervalMonthDayNano>,
}

impl Accumulator for Extremes {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let spans: &IntervalMonthDayNanoArray =
            argument(values, 0)?.as_primitive::<IntervalMonthDayNanoType>();
        for value in spans.iter().flatten() {
            let better = match self.found {
                None => true,
                Some(found) if self.least => key(value) < key(found),
                Some(found) => key(value) > key(found),
            };
            if better {
                self.found = Some(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::IntervalMonthDayNano(self.found))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}
