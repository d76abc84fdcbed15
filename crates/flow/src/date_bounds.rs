//! An operator that rejects rows with a date or timestamp that the destination cannot store.
//!
//! Promise: such a row is rejected with its exact value, and the others continue; without this operator,
//! the destination would refuse the whole table. It checks columns, not members of lists and structs. It
//! does not know the destination: `ports::Destination::days` gives the range.

use std::ops::RangeInclusive;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use async_trait::async_trait;
use towpath_ports::{Operator, OperatorOutput, Result, Rows};
use towpath_vocab::{Reason, types};

use crate::projection::{keep_rows, reject, value_text};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The operator that checks dates.
pub(crate) struct DateBounds {
    schema: SchemaRef,
    columns: Vec<usize>,
    days: RangeInclusive<i32>,
}

impl DateBounds {
    /// For these columns and a destination that can store these days; `None` if no column needs a check.
    pub(crate) fn of(days: Option<RangeInclusive<i32>>, schema: &SchemaRef) -> Option<Self> {
        let days = days?;
        let fields = schema.fields().iter().enumerate();
        let columns: Vec<usize> = fields
            .filter(|(_, field)| is_judged(field.data_type()))
            .map(|(at, _)| at)
            .collect();
        (!columns.is_empty()).then(|| Self {
            schema: SchemaRef::clone(schema),
            columns,
            days,
        })
    }

    /// The rows of a column with a value outside the range.
    fn outside(&self, array: &ArrayRef) -> Option<BooleanBuffer> {
        let (first, last) = (i64::from(*self.days.start()), i64::from(*self.days.end()));
        let moments = |per_second: i64| {
            let day = DAY * per_second;
            let first = first.saturating_mul(day);
            (
                first,
                last.saturating_add(1).saturating_mul(day).saturating_sub(1),
            )
        };
        match array.data_type() {
            DataType::Date32 => outside::<Date32Type>(array, *self.days.start(), *self.days.end()),
            DataType::Timestamp(TimeUnit::Second, _) => {
                let (first, last) = moments(1);
                outside::<TimestampSecondType>(array, first, last)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                let (first, last) = moments(1_000);
                outside::<TimestampMillisecondType>(array, first, last)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let (first, last) = moments(1_000_000);
                outside::<TimestampMicrosecondType>(array, first, last)
            }
            _ => None,
        }
    }
}

/// Timestamps in nanoseconds need no check: they end in the year 2262.
fn is_judged(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
        && !matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _))
}

/// The rows outside this range; `None` if there are none.
fn outside<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    first: T::Native,
    last: T::Native,
) -> Option<BooleanBuffer>
where
    T::Native: PartialOrd,
{
    let values = array.as_primitive::<T>();
    let is_outside = |value: &T::Native| *value < first || *value > last;
    if !values.values().iter().any(is_outside) {
        return None;
    }
    let all = values.values();
    let bits = BooleanBuffer::collect_bool(values.len(), |row| {
        values.is_valid(row) && all.get(row).is_some_and(is_outside)
    });
    (bits.count_set_bits() > 0).then_some(bits)
}

#[async_trait]
impl Operator for DateBounds {
    fn name(&self) -> &'static str {
        "date_bounds"
    }

    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let judged = self.columns.iter().filter_map(|at| {
            let bits = self.outside(rows.batch.columns().get(*at)?)?;
            Some((*at, bits))
        });
        let judged: Vec<(usize, BooleanBuffer)> = judged.collect();
        if judged.is_empty() {
            return Ok(OperatorOutput::of(rows));
        }
        let none = BooleanBuffer::new_unset(rows.len());
        let any = judged.iter().fold(none, |any, (_, bits)| &any | bits);
        let reasons = |row: usize| {
            let broken = judged.iter().filter(|(_, bits)| bits.value(row));
            broken
                .map(|(at, _)| {
                    let (field, array) = (self.schema.field(*at), rows.batch.column(*at));
                    Reason {
                        code: "date".to_owned(),
                        column: Some(field.name().clone()),
                        value: Some(value_text(array, row)),
                        message: format!(
                            "the destination cannot store such a {}; declare `text` to keep it",
                            types::name(field.data_type())
                        ),
                    }
                })
                .collect()
        };
        let rejects = any
            .set_indices()
            .map(|row| reject(&rows, row, reasons(row)))
            .collect();
        let keep = BooleanArray::new(!&any, None);
        Ok(OperatorOutput {
            rejects,
            ..OperatorOutput::of(keep_rows(rows, &keep)?)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{Date32Array, RecordBatch, TimestampMicrosecondArray};
    use towpath_vocab::{RawRecord, TableName};

    use super::*;

    const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

    #[test]
    fn rows_outside_are_rejected_with_their_exact_value_and_the_others_go_on() {
        let days = Date32Array::from(vec![Some(0), Some(2_932_897), None, Some(i32::MIN)]);
        let last = 253_402_300_799_999_999;
        let at = TimestampMicrosecondArray::from(vec![last, last + 1, i64::MIN, 0]);
        let columns: Vec<(&str, ArrayRef)> = vec![("d", Arc::new(days)), ("t", Arc::new(at))];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let mut bounds = DateBounds::of(Some(DAYS), &batch.schema()).unwrap();
        let rows = Rows::of_batch(TableName::new("raw", "t"), "t", batch, 0);
        let given = futures::executor::block_on(bounds.process(rows)).unwrap();
        assert_eq!(given.rows.iter().map(Rows::len).sum::<usize>(), 1);
        let reasons: Vec<Vec<(String, String)>> = given
            .rejects
            .iter()
            .map(|reject| {
                let reasons = reject.reasons.iter();
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                reasons
                    .map(|reason| (text(&reason.column), text(&reason.value)))
                    .collect()
            })
            .collect();
        let of = |column: &str, value: &str| (column.to_owned(), value.to_owned());
        assert_eq!(
            reasons,
            [
                vec![of("d", "+010000-01-01"), of("t", "+010000-01-01T00:00:00")],
                vec![of("t", "-290308-12-21T19:59:05.224192")],
                vec![of("d", "-5877641-06-23")],
            ]
        );
        let RawRecord::Row(raw) = &given.rejects[0].raw else {
            unreachable!("a row");
        };
        assert_eq!(raw, r#"{"d":"+010000-01-01","t":"+010000-01-01T00:00:00"}"#);
        assert!(DateBounds::of(None, &bounds.schema).is_none());
    }
}
