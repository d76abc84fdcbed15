//! Separates deletes from the other rows of a batch in a change feed.
//!
//! Promise: no expression or rule sees a deleted row, because its columns outside the key may be NULL or
//! anything. The results for the other rows are put back at their positions in the batch. It does not know
//! what is evaluated. Read next: `projection.rs`, `validator.rs`.

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take;
use towpath_ports::{Op, OpColumn, Result, Rows};

use crate::predicate::kernel;

const DELETE: u8 = Op::Delete as u8;

/// The rows of a batch that are not deletes.
pub(crate) struct NonDeletedRows {
    bits: BooleanBuffer,
}

impl NonDeletedRows {
    /// `None` if no row is a delete.
    pub(crate) fn of(rows: &Rows) -> Option<Self> {
        let ops = rows.ops.as_ref()?;
        if !ops.values().contains(&DELETE) {
            return None;
        }
        let bits = ops.values().iter().map(|op| *op != DELETE).collect();
        Some(Self { bits })
    }

    /// One bit per row; it is set if the row is not a delete.
    pub(crate) fn bits(&self) -> &BooleanBuffer {
        &self.bits
    }

    /// A batch of the same rows without the deletes.
    pub(crate) fn only(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let keep = BooleanArray::new(self.bits.clone(), None);
        filter_record_batch(batch, &keep).map_err(kernel)
    }

    /// Bits for the rows of `only`, moved to their positions in the whole batch; unset for deletes.
    pub(crate) fn spread_bits(&self, only: &BooleanBuffer) -> BooleanBuffer {
        let mut all = BooleanBufferBuilder::new(self.bits.len());
        all.append_n(self.bits.len(), false);
        for (at, row) in self.bits.set_indices().enumerate() {
            if only.value(at) {
                all.set_bit(row, true);
            }
        }
        all.finish()
    }

    /// A column for the rows of `only`, moved to their positions in the whole batch; NULL for deletes.
    pub(crate) fn spread_column(&self, only: &ArrayRef) -> Result<ArrayRef> {
        let mut next = 0;
        let places = self.bits.iter().map(|is_present| {
            let place = is_present.then_some(next);
            next += u64::from(is_present);
            place
        });
        let places: UInt64Array = places.collect();
        take(only.as_ref(), &places, None).map_err(kernel)
    }
}

/// True if a column of ops contains more than inserts.
pub(crate) fn changes_rows(ops: &OpColumn) -> bool {
    ops.values().iter().any(|op| *op != Op::Insert as u8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_schema::{DataType, Field, Schema};
    use towpath_vocab::TableName;

    use super::*;

    #[test]
    fn answers_come_back_to_their_rows() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let batch = RecordBatch::try_new(schema, vec![numbers]).unwrap();
        let rows = Rows::of_batch(TableName::new("raw", "t"), "t", batch, 0);
        assert!(NonDeletedRows::of(&rows).is_none());
        let rows = Rows {
            ops: Some(OpColumn::from(vec![2, 0, 2, 1])),
            ..rows
        };
        let present = NonDeletedRows::of(&rows).unwrap();
        let only = present.only(&rows.batch).unwrap();
        assert_eq!(only.num_rows(), 2);
        let bits = present.spread_bits(&BooleanBuffer::from(vec![false, true]));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [false, false, false, true]);
        let spread = present.spread_column(only.column(0)).unwrap();
        let spread: Vec<_> = spread.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(spread, [None, Some(2), None, Some(4)]);
    }
}
