//! Batches of a driver as rows of the read; rows that do not fit become rejects.
//!
//! Promise: a value arrives as it is, or its row is rejected with its exact values and a reason: too many digits, a
//! fraction below a microsecond, a moment that stands for infinity. Small batches are joined and large ones cut, to the
//! number of rows and bytes that was asked for. Every row has a number. It asks no driver. Read next: `pump.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_cast::cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use towpath_ports::{Event, Origin, Rows, row_as_json};
use towpath_vocab::{RawRecord, Reason, RecordLocation, Reject};

use super::types::Column;
use crate::files::{exact_values, read_as};
use crate::relational::reader::ReadLayout;

/// Rejects are handed over in groups.
const REJECTS: usize = 1_000;
/// The day -4712-01-01, the first of PostgreSQL's: what lies before it is a moment that a driver could not say.
const FIRST_DAY: i64 = -2_440_588;
const DAY_S: i64 = 86_400;

/// Rows between the driver and the reader.
pub(super) struct Gather {
    layout: ReadLayout,
    columns: Arc<[Column]>,
    /// Rows that fit, and their numbers.
    parts: Vec<RecordBatch>,
    numbers: Vec<u64>,
    bytes: usize,
    rejects: Vec<Reject>,
    /// The next row's.
    number: u64,
}

/// Where rows come from: their values are those that were read.
#[derive(Debug)]
struct RowOrigin {
    object: String,
    batch: RecordBatch,
    numbers: Vec<u64>,
}

impl Origin for RowOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        place(&self.object, ordinal)
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        let row = self.numbers.binary_search(&ordinal);
        RawRecord::Row(row_as_json(&self.batch, row.unwrap_or(usize::MAX)))
    }
}

fn place(object: &str, ordinal: u64) -> RecordLocation {
    RecordLocation {
        object: object.to_owned(),
        line: None,
        ordinal: ordinal + 1,
    }
}

impl Gather {
    /// For these columns of the read.
    pub(super) fn new(layout: &ReadLayout, columns: Arc<[Column]>) -> Self {
        Self {
            layout: layout.clone(),
            columns,
            parts: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
            rejects: Vec::new(),
            number: 0,
        }
    }

    /// The rows that follow are counted from `first`, if that is further on.
    pub(super) fn start_at(&mut self, first: u64) {
        self.number = self.number.max(first);
    }

    /// Takes rows of the driver, which may have more columns than are read; gives what became complete.
    pub(super) fn take(
        &mut self,
        raw: &RecordBatch,
        out: &mut Vec<Event>,
    ) -> Result<(), ArrowError> {
        let rows = raw.num_rows();
        let row_bytes = raw.get_array_memory_size() / rows.max(1) + 1;
        let mut start = 0;
        while start < rows {
            let count = self.room(row_bytes).min(rows - start);
            self.convert(&raw.slice(start, count))?;
            self.bytes += count * row_bytes;
            start += count;
            if self.numbers.len() >= self.layout.batch_rows || self.bytes >= self.layout.batch_bytes
            {
                self.cut(out)?;
            }
        }
        if self.rejects.len() >= REJECTS {
            out.push(Event::Rejects(std::mem::take(&mut self.rejects)));
        }
        Ok(())
    }

    /// What is still held.
    pub(super) fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), ArrowError> {
        self.cut(out)?;
        if !self.rejects.is_empty() {
            out.push(Event::Rejects(std::mem::take(&mut self.rejects)));
        }
        Ok(())
    }

    /// How many rows of this size the batch at hand can take.
    fn room(&self, row_bytes: usize) -> usize {
        let of_bytes = self.layout.batch_bytes.saturating_sub(self.bytes) / row_bytes;
        let left = self.layout.batch_rows.saturating_sub(self.numbers.len());
        left.min(of_bytes).max(1)
    }

    fn convert(&mut self, raw: &RecordBatch) -> Result<(), ArrowError> {
        let rows = raw.num_rows();
        let columns = Arc::clone(&self.columns);
        let mut arrays = Vec::with_capacity(columns.len());
        let mut misfits: Vec<(usize, usize, String)> = Vec::new();
        for (at, (column, array)) in columns.iter().zip(raw.columns()).enumerate() {
            let (values, bad) = values(array, column)?;
            misfits.extend(bad.into_iter().map(|(row, why)| (row, at, why)));
            arrays.push(values);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.layout.schema);
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)?;
        let first = self.number;
        self.number += rows as u64;
        let mut keep = vec![true; rows];
        for (row, ..) in &misfits {
            if let Some(keep) = keep.get_mut(*row) {
                *keep = false;
            }
        }
        let numbered = (first..).zip(&keep).filter(|(_, keep)| **keep);
        self.numbers.extend(numbered.map(|(number, _)| number));
        let kept = match misfits.is_empty() {
            true => batch,
            false => {
                self.reject(raw, first, misfits);
                filter_record_batch(&batch, &BooleanArray::from(keep))?
            }
        };
        self.parts.push(kept);
        Ok(())
    }

    fn reject(&mut self, raw: &RecordBatch, first: u64, mut misfits: Vec<(usize, usize, String)>) {
        misfits.sort();
        let mut last = None;
        for (row, column, message) in misfits {
            let reason = Reason {
                code: "type".to_owned(),
                column: Some(self.layout.schema.field(column).name().clone()),
                value: None,
                message,
            };
            let rejects = self.rejects.last_mut().filter(|_| last == Some(row));
            match rejects {
                Some(reject) => reject.reasons.push(reason),
                None => self.rejects.push(Reject {
                    table: self.layout.table.clone(),
                    place: place(&self.layout.object, first + row as u64),
                    raw: RawRecord::Row(exact_row(&self.columns, raw, row)),
                    reasons: vec![reason],
                }),
            }
            last = Some(row);
        }
    }

    /// Ends the batch at hand.
    fn cut(&mut self, out: &mut Vec<Event>) -> Result<(), ArrowError> {
        let (parts, numbers) = (
            std::mem::take(&mut self.parts),
            std::mem::take(&mut self.numbers),
        );
        self.bytes = 0;
        if numbers.is_empty() {
            return Ok(());
        }
        let batch = match parts.as_slice() {
            [one] => one.clone(),
            parts => concat_batches(&self.layout.schema, parts)?,
        };
        out.push(Event::Rows(Rows {
            table: self.layout.table.clone(),
            ordinals: UInt64Array::from(numbers.clone()),
            ops: None,
            origin: Arc::new(RowOrigin {
                object: self.layout.object.clone(),
                batch: batch.clone(),
                numbers,
            }),
            batch,
        }));
        Ok(())
    }
}

/// The values of a column, and the rows that do not fit, each with why.
fn values(
    array: &ArrayRef,
    column: &Column,
) -> Result<(ArrayRef, Vec<(usize, String)>), ArrowError> {
    let (values, mut bad) = read_as(array, &column.form, column.field.data_type())?;
    if holds_moments(array.data_type()) {
        let rows = no_moments(array)?.into_iter();
        let why = "holds a moment that the driver gives for infinity, or cannot say";
        bad.extend(rows.map(|row| (row, why.to_owned())));
    }
    Ok((values, bad))
}

/// The exact values of a row of the driver.
fn exact_row(columns: &[Column], batch: &RecordBatch, row: usize) -> String {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (column, array) in columns.iter().zip(batch.columns()) {
        let array = array.slice(row, 1);
        let value = match is_no_moment(&array) {
            // Its digits stand for something else.
            true => cast(&array, &DataType::Int64).unwrap_or(array),
            false => exact_values(&array, &column.form),
        };
        fields.push(Field::new(&column.name, value.data_type().clone(), true));
        arrays.push(value);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    match RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options) {
        Ok(exact) => row_as_json(&exact, 0),
        Err(_) => row_as_json(batch, row),
    }
}

fn holds_moments(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Date32 | T::Date64 | T::Timestamp(..) => true,
        T::Dictionary(_, values) => holds_moments(values),
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item)
        | T::Map(item, _) => holds_moments(item.data_type()),
        T::RunEndEncoded(_, values) => holds_moments(values.data_type()),
        T::Struct(members) => members
            .iter()
            .any(|member| holds_moments(member.data_type())),
        T::Union(branches, _) => branches
            .iter()
            .any(|(_, branch)| holds_moments(branch.data_type())),
        _ => false,
    }
}

/// The rows whose value, or a part of it, is a date or timestamp that stands for something else: the largest or
/// smallest number, or one before the first day.
fn no_moments(array: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
    use DataType as T;
    let per_day = match array.data_type() {
        T::Date32 => 1,
        T::Date64 => DAY_S * 1_000,
        T::Timestamp(unit, _) => DAY_S.saturating_mul(per_second(*unit)),
        _ => {
            let rows = (0..array.len()).filter(|row| array.is_valid(*row));
            return Ok(rows
                .filter(|row| is_no_moment(&array.slice(*row, 1)))
                .collect());
        }
    };
    let largest = match array.data_type() {
        T::Date32 => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    let first = FIRST_DAY.saturating_mul(per_day).max(-largest + 1);
    let ticks = cast(array, &T::Int64)?;
    let ticks = ticks.as_primitive::<Int64Type>();
    let rows = ticks.iter().enumerate();
    let is_none = |tick: i64| tick == largest || tick < first;
    Ok(rows
        .filter(|(_, tick)| tick.is_some_and(is_none))
        .map(|(row, _)| row)
        .collect())
}

/// Whether the one value of an array is, or holds, no moment.
fn is_no_moment(array: &ArrayRef) -> bool {
    use DataType as T;
    if array.is_null(0) || !holds_moments(array.data_type()) {
        return false;
    }
    match array.data_type() {
        T::Date32 | T::Date64 | T::Timestamp(..) => {
            no_moments(array).is_ok_and(|rows| !rows.is_empty())
        }
        T::List(_) => any_of(&array.as_list::<i32>().value(0)),
        T::LargeList(_) => any_of(&array.as_list::<i64>().value(0)),
        T::FixedSizeList(..) => any_of(&array.as_fixed_size_list().value(0)),
        T::Map(..) => {
            let entries: ArrayRef = Arc::new(array.as_map().value(0));
            any_of(&entries)
        }
        T::Struct(_) => array.as_struct().columns().iter().any(is_no_moment),
        T::Dictionary(_, values) => {
            let plain = cast(array, values);
            plain.is_ok_and(|plain| is_no_moment(&plain))
        }
        _ => false,
    }
}

fn any_of(items: &ArrayRef) -> bool {
    no_moments(items).is_ok_and(|rows| !rows.is_empty())
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_array::types::Date32Type;
    use arrow_array::{
        Date32Array, ListArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    };

    use super::*;

    fn rows(array: impl Array + 'static) -> Vec<usize> {
        let array: ArrayRef = Arc::new(array);
        no_moments(&array).unwrap()
    }

    #[test]
    fn what_drivers_give_for_infinity_is_no_moment() {
        // DuckDB gives the largest number; PostgreSQL's driver adds 30 years to it and comes out at the other end.
        let thirty_years = 946_684_800_000_000_i64;
        let micros = vec![
            Some(i64::MAX),
            Some(-i64::MAX),
            Some(i64::MAX.wrapping_add(thirty_years)),
            Some(i64::MIN.wrapping_add(thirty_years)),
            Some(0),
            None,
            Some(253_402_300_799_999_999),
            Some(-62_135_596_800_000_000),
        ];
        assert_eq!(rows(TimestampMicrosecondArray::from(micros)), [0, 1, 2, 3]);
        let nanos = vec![Some(i64::MAX), Some(-i64::MAX), Some(i64::MIN + 2)];
        assert_eq!(rows(TimestampNanosecondArray::from(nanos)), [0, 1]);
        let days = [
            i32::MAX,
            -i32::MAX,
            i32::MAX.wrapping_add(10_957),
            i32::MIN.wrapping_add(10_957),
            0,
            2_932_896,
        ];
        assert_eq!(rows(Date32Array::from(days.to_vec())), [0, 1, 2, 3]);
        let lists = ListArray::from_iter_primitive::<Date32Type, _, _>([
            Some(vec![Some(1), Some(i32::MAX)]),
            None,
            Some(vec![None, Some(1)]),
        ]);
        assert_eq!(rows(lists), [0]);
    }
}
