//! Counts how often each value of a column occurs, while the number of different values is small.
//!
//! Promise: for a column that refers to another table, comparing these few values with that table replaces
//! a comparison of all rows. If there are too many values, or the type is unusual for a key, it stops
//! counting, and the audit measures the check with a query. Read next: `metrics.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, SchemaRef};
use hashbrown::HashMap;

/// The most different values that are counted.
const MOST: usize = 1_000;

/// The values of one column that are not NULL, each with its rows.
pub(crate) struct Values {
    column: usize,
    counts: Counts,
}

enum Counts {
    Texts(HashMap<Box<str>, u64>),
    Numbers(HashMap<i64, u64>),
}

impl Values {
    /// `None` for types that are not counted.
    pub(crate) fn new(column: usize, schema: &SchemaRef) -> Option<Self> {
        let counts = match schema.field(column).data_type() {
            DataType::Utf8 => Counts::Texts(HashMap::new()),
            DataType::Int32 | DataType::Int64 => Counts::Numbers(HashMap::new()),
            _ => return None,
        };
        Some(Self { column, counts })
    }

    /// Counts one batch, or only the rows of it that a filter keeps; false if there are too many values.
    pub(crate) fn observe(&mut self, batch: &RecordBatch, kept: Option<&BooleanBuffer>) -> bool {
        let column = Arc::clone(batch.column(self.column));
        let rows = counted(&column, kept);
        match &mut self.counts {
            Counts::Texts(counts) => {
                let texts = column.as_string::<i32>();
                each_run(
                    rows,
                    |row| texts.value(row),
                    |text, run| match counts.get_mut(text) {
                        Some(count) => *count += run,
                        None => {
                            counts.insert(text.into(), run);
                        }
                    },
                );
                counts.len() <= MOST
            }
            Counts::Numbers(counts) => {
                let add = |number: i64, run| *counts.entry(number).or_insert(0) += run;
                match column.data_type() {
                    DataType::Int32 => {
                        let numbers = column.as_primitive::<Int32Type>().values();
                        each_run(rows, |row| i64::from(*numbers.get(row).unwrap_or(&0)), add);
                    }
                    _ => {
                        let numbers = column.as_primitive::<Int64Type>().values();
                        each_run(rows, |row| *numbers.get(row).unwrap_or(&0), add);
                    }
                }
                counts.len() <= MOST
            }
        }
    }

    /// Each value as text, with its rows.
    pub(crate) fn counts(self) -> Vec<(String, u64)> {
        match self.counts {
            Counts::Texts(counts) => counts.into_iter().map(|(v, n)| (v.into(), n)).collect(),
            Counts::Numbers(counts) => counts
                .into_iter()
                .map(|(v, n)| (v.to_string(), n))
                .collect(),
        }
    }
}

/// The rows that are kept and not NULL.
fn counted(column: &ArrayRef, kept: Option<&BooleanBuffer>) -> BooleanBuffer {
    match (column.logical_nulls(), kept) {
        (None, None) => BooleanBuffer::new_set(column.len()),
        (None, Some(kept)) => kept.clone(),
        (Some(nulls), None) => nulls.inner().clone(),
        (Some(nulls), Some(kept)) => nulls.inner() & kept,
    }
}

/// Calls `add` with each sequence of equal adjacent values, once, with its length.
fn each_run<T: PartialEq + Copy>(
    rows: BooleanBuffer,
    value: impl Fn(usize) -> T,
    mut add: impl FnMut(T, u64),
) {
    let mut run: Option<(T, u64)> = None;
    for row in rows.set_indices() {
        let value = value(row);
        run = Some(match run {
            Some((same, count)) if same == value => (same, count + 1),
            Some((other, count)) => {
                add(other, count);
                (value, 1)
            }
            None => (value, 1),
        });
    }
    if let Some((last, count)) = run {
        add(last, count);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_array::{Int32Array, StringArray};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn counted(array: ArrayRef, kept: Option<Vec<bool>>) -> Vec<(String, u64)> {
        let field = Field::new("c", array.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap();
        let mut values = Values::new(0, &schema).unwrap();
        let kept = kept.map(BooleanBuffer::from);
        assert!(values.observe(&batch, kept.as_ref()));
        assert!(values.observe(&batch, kept.as_ref()));
        let mut counts = values.counts();
        counts.sort();
        counts
    }

    #[test]
    fn each_value_is_counted_and_null_is_not() {
        let texts = StringArray::from(vec![Some("a"), Some("a"), None, Some("b"), Some("a")]);
        let found = counted(Arc::new(texts), None);
        assert_eq!(found, [("a".to_owned(), 6), ("b".to_owned(), 2)]);
        let numbers = Int32Array::from(vec![Some(-7), None, Some(3), Some(3)]);
        let found = counted(Arc::new(numbers), Some(vec![true, true, false, true]));
        assert_eq!(found, [("-7".to_owned(), 2), ("3".to_owned(), 2)]);
    }

    #[test]
    fn too_many_values_are_not_counted() {
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..2_000));
        let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Int32, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![numbers]).unwrap();
        assert!(!Values::new(0, &schema).unwrap().observe(&batch, None));
    }
}
