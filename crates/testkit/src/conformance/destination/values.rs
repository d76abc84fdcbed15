//! Conformance cases about values: what was written reads back exactly, or is refused.
//!
//! A system may store a number in a wider type, but it may not lose or change it. Read next: `types.rs`
//! beside this folder, the shared table of all types.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef};
use towpath_ports::CandidateRows;
use towpath_vocab::{Remedy, WriteMode};

use super::DestinationUnderTest;
use super::write::{Write, commit, rows, seen, sorted, write};
use crate::conformance::types::{batch, every_type, odd_texts};
use crate::conformance::{lines_of_batch, read};

/// Casts columns to the written types: a system may store a number in a wider type, but a number or a time
/// that comes back as text is lost.
fn as_written(batch: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let columns = schema.fields().iter().map(|field| {
        let column = batch
            .column_by_name(field.name())
            .unwrap_or_else(|| panic!("column `{}` is gone", field.name()));
        let is_text =
            |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8);
        assert_eq!(
            is_text(column.data_type()),
            is_text(field.data_type()),
            "column `{}` came back as {}",
            field.name(),
            column.data_type()
        );
        cast_with_options(column, field.data_type(), &options)
            .unwrap_or_else(|error| panic!("column `{}`: {error}", field.name()))
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
}

/// The sorted lines of rows that were read back or written, without the sign of a zero if the system does
/// not store it.
fn shown(write: &Write<'_>, batches: &[RecordBatch], schema: &SchemaRef) -> Vec<String> {
    let keeps_sign = write.under.limits().negative_zero;
    let kept = |line: String| match keeps_sign {
        true => line,
        false => line.replace("=-0.0 ", "=0.0 "),
    };
    let lines = batches
        .iter()
        .flat_map(|batch| lines_of_batch(&as_written(batch, schema)));
    sorted(lines.map(kept).collect())
}

async fn comes_back(write: &Write<'_>, batch: &RecordBatch) {
    let schema = batch.schema();
    let once = shown(write, std::slice::from_ref(batch), &schema);
    let prepared = write.prepare(batch).await.unwrap();
    for scope in [CandidateRows::AfterCommit, CandidateRows::OfThisWrite] {
        let candidate = prepared.candidate(scope).await.unwrap();
        let spec = read::read_spec("candidate");
        let batches = read::batches(candidate.source.as_ref(), &spec).await;
        assert_eq!(shown(write, &batches, &schema), once, "{scope:?}");
    }
    prepared.commit(commit(1)).await.unwrap();
    assert_eq!(shown(write, &write.back(&schema).await, &schema), once);
    // Once more, into the existing table.
    let next = write.generation(2).mode(WriteMode::Append);
    next.done(batch).await;
    let twice = shown(write, &[batch.clone(), batch.clone()], &schema);
    assert_eq!(shown(write, &write.back(&schema).await, &schema), twice);
}

/// Every type of the shared table, with its edge values.
pub async fn every_type_reads_back_exactly(under: &dyn DestinationUnderTest) {
    let (first, batch) = (write(under, WriteMode::Replace), every_type());
    if under.limits().not_finite {
        return comes_back(&first, &batch).await;
    }
    let failure = first.refused(&batch).await;
    assert_eq!(failure.remedy, Remedy::FixData, "{failure:?}");
    assert!(failure.message.contains("_odd`"), "{failure:?}");
    assert_eq!((first.look().await, first.last().await), (None, None));
    comes_back(&first, &finite(&batch)).await;
}

/// The same rows with NULL for NaN and infinite numbers.
fn finite(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(|column| -> ArrayRef {
        if let Some(values) = column.as_primitive_opt::<Float32Type>() {
            let values = values.iter().map(|value| value.filter(|v| v.is_finite()));
            return Arc::new(values.collect::<Float32Array>());
        }
        if let Some(values) = column.as_primitive_opt::<Float64Type>() {
            let values = values.iter().map(|value| value.filter(|v| v.is_finite()));
            return Arc::new(values.collect::<Float64Array>());
        }
        Arc::clone(column)
    });
    RecordBatch::try_new(batch.schema(), columns.collect()).unwrap()
}

fn texts(texts: Vec<Option<&str>>) -> RecordBatch {
    let ids: Int64Array = (0..texts.len() as i64).map(Some).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(ids)),
        ("v", Arc::new(StringArray::from(texts))),
    ];
    batch(columns)
}

/// Quotes, line ends, empty and NULL, words with a meaning elsewhere, all of Unicode.
pub async fn odd_texts_read_back_exactly(under: &dyn DestinationUnderTest) {
    comes_back(&write(under, WriteMode::Replace), &texts(odd_texts())).await;
}

/// U+0000 in a text is stored, or refused with a message that names it, and nothing changes.
pub async fn text_with_nul_is_kept_or_refused(under: &dyn DestinationUnderTest) {
    let nul = texts(vec![Some("a\0b"), Some("\0")]);
    let first = write(under, WriteMode::Replace);
    if under.limits().nul {
        return comes_back(&first, &nul).await;
    }
    first.done(&rows(&[(1, "a")])).await;
    let failure = first.generation(2).refused(&nul).await;
    assert_eq!(failure.remedy, Remedy::FixData, "{failure:?}");
    assert!(failure.message.contains("`v`"), "{failure:?}");
    assert_eq!(first.look().await, seen(&[(1, "a")]));
    assert_eq!(first.last_generation().await, Some(1));
}
