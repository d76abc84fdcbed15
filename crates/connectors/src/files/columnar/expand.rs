//! What the texts of a batch take once they are plain, also where they are stored in fewer bytes.
//!
//! Promise: dictionaries, runs and views are counted as the text or bytes they are read as, so that a batch can be cut
//! before it is converted. Values inside lists, maps and unions are not counted. It converts
//! nothing: see `convert.rs`.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int16Type, Int32Type, Int64Type, RunEndIndexType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// The most bytes that the texts of a column may have in one batch: their places are 32 bits wide.
pub(super) const MOST: u64 = i32::MAX as u64;

/// The largest of the columns, in the bytes its values have.
pub(super) fn widest(batch: &RecordBatch) -> u64 {
    let columns = batch.columns().iter();
    columns
        .map(|column| expanded(column.as_ref()))
        .max()
        .unwrap_or(0)
}

fn expanded(array: &dyn Array) -> u64 {
    if let Some(members) = array.as_struct_opt() {
        let members = members.columns().iter();
        return members
            .map(|member| expanded(member.as_ref()))
            .max()
            .unwrap_or(0);
    }
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let values: &dyn Array = dictionary.values().as_ref();
        if values.is_empty() {
            return 0;
        }
        let places = dictionary.normalized_keys().into_iter();
        return sum(places.map(|at| bytes_at(values, at)));
    }
    let runs = run_bytes::<Int16Type>(array)
        .or_else(|| run_bytes::<Int32Type>(array))
        .or_else(|| run_bytes::<Int64Type>(array));
    runs.unwrap_or_else(|| sum((0..array.len()).map(|at| bytes_at(array, at))))
}

fn run_bytes<R: RunEndIndexType>(array: &dyn Array) -> Option<u64> {
    let runs = array.as_run_opt::<R>()?;
    let values: &dyn Array = runs.values().as_ref();
    let places = (0..runs.len()).map(|row| runs.get_physical_index(row));
    Some(sum(places.map(|at| bytes_at(values, at))))
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

/// The bytes of a text or of bytes; nothing of other values.
fn bytes_at(values: &dyn Array, at: usize) -> u64 {
    use DataType as T;
    let signed = |length: i64| u64::try_from(length).unwrap_or(0);
    // The low half of a view is its length.
    let viewed = |view: Option<&u128>| view.map_or(0, |view| (*view & 0xFFFF_FFFF) as u64);
    match values.data_type() {
        T::Utf8 => signed(values.as_string::<i32>().value_length(at).into()),
        T::LargeUtf8 => signed(values.as_string::<i64>().value_length(at)),
        T::Binary => signed(values.as_binary::<i32>().value_length(at).into()),
        T::LargeBinary => signed(values.as_binary::<i64>().value_length(at)),
        T::Utf8View => viewed(values.as_string_view().views().get(at)),
        T::BinaryView => viewed(values.as_binary_view().views().get(at)),
        T::FixedSizeBinary(size) => signed(i64::from(*size)),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{ArrayRef, DictionaryArray, Int32Array, RunArray, StringArray};
    use arrow_array::{LargeStringArray, StringViewArray};

    use super::*;

    #[test]
    fn values_are_counted_as_often_as_they_are_used() {
        let words: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(100), "b".to_owned()]));
        let keys = Int32Array::from(vec![0, 0, 1, 0]);
        let dictionary = DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(&words)).unwrap();
        let runs = RunArray::try_new(&Int32Array::from(vec![3, 4]), words.as_ref()).unwrap();
        let columns: [(ArrayRef, u64, u64); 4] = [
            (Arc::new(dictionary), 301, 101),
            (Arc::new(runs), 301, 101),
            (
                Arc::new(StringViewArray::from_iter_values([
                    "x".repeat(40),
                    "yy".into(),
                ])),
                42,
                2,
            ),
            (Arc::new(LargeStringArray::from(vec!["abc", "de"])), 5, 2),
        ];
        for (column, all, last) in columns {
            let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
            let rows = batch.num_rows();
            assert_eq!(widest(&batch), all);
            assert_eq!(widest(&batch.slice(rows / 2, rows - rows / 2)), last);
        }
    }
}
