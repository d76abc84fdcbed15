//! Rows of `COPY … (FORMAT binary)` straight into Arrow columns.
//!
//! Promise: no row object and no allocation per row; a row is walked once for its length and once
//! for its cells. A cell that its Arrow type cannot hold is a `ValueError`: its row is taken out of the
//! batch and handed over with the exact text of the cell, never nulled, rounded or clamped. It does
//! not know where bytes come from (`pump.rs`) nor why a column has its kind (`types.rs`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray,
};
use arrow_buffer::{
    BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::Field;

use super::literal;
use super::numeric::{Numeric, Unfit};
use super::text;
use super::types::Kind;

/// Days and microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days of the years 1 to 9999, counted from 1970: what every destination and every reader of its
/// tables agrees on.
const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;
/// The same in microseconds.
const MICROS: RangeInclusive<i64> = -719_162 * 86_400_000_000..=2_932_897 * 86_400_000_000 - 1;

/// A cell its column cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueError {
    /// The exact value as text.
    pub(super) value: String,
    /// Why not, in words.
    pub(super) reason: &'static str,
    /// The reason's code.
    pub(super) code: &'static str,
}

impl ValueError {
    fn of(value: impl Into<String>, reason: &'static str) -> Box<Self> {
        Box::new(Self {
            value: value.into(),
            reason,
            code: "type",
        })
    }

    fn broken(bytes: &[u8]) -> Box<Self> {
        Self::of(
            text::escaped(bytes),
            "its binary form does not match its type",
        )
    }
}

type Cell = Result<(), Box<ValueError>>;

/// Collects one column.
pub(super) struct Decoder {
    kind: Kind,
    values: Values,
    nulls: NullBufferBuilder,
    rows: usize,
}

enum Values {
    Bool(BooleanBufferBuilder),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    Bytes { ends: Vec<i32>, data: Vec<u8> },
    List { ends: Vec<i32>, items: Box<Decoder> },
}

impl Decoder {
    pub(super) fn new(kind: &Kind, rows: usize) -> Self {
        let values = match kind {
            Kind::Bool => Values::Bool(BooleanBufferBuilder::new(rows)),
            Kind::Int2 => Values::I16(Vec::with_capacity(rows)),
            Kind::Int4 | Kind::Date => Values::I32(Vec::with_capacity(rows)),
            Kind::Int8 | Kind::Timestamp | Kind::Instant => Values::I64(Vec::with_capacity(rows)),
            Kind::Float4 => Values::F32(Vec::with_capacity(rows)),
            Kind::Float8 => Values::F64(Vec::with_capacity(rows)),
            Kind::Decimal { .. } => Values::I128(Vec::with_capacity(rows)),
            Kind::NumericText
            | Kind::Text
            | Kind::Bytes
            | Kind::Time
            | Kind::Uuid
            | Kind::Jsonb => Values::Bytes {
                ends: first_end(rows),
                data: Vec::new(),
            },
            Kind::List(item) => Values::List {
                ends: first_end(rows),
                items: Box::new(Self::new(item, rows)),
            },
        };
        Self {
            kind: kind.clone(),
            values,
            nulls: NullBufferBuilder::new(rows),
            rows: 0,
        }
    }

    /// Takes a cell; `None` is NULL. A flawed cell leaves a NULL, its row must be taken out.
    #[inline]
    pub(super) fn push(&mut self, cell: Option<&[u8]>) -> Cell {
        self.rows += 1;
        let Some(bytes) = cell else {
            self.push_null();
            return Ok(());
        };
        let outcome = self.push_value(bytes);
        match outcome {
            Ok(()) => self.nulls.append_non_null(),
            Err(_) => self.push_null(),
        }
        outcome
    }

    fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::I16(values) => values.push(0),
            Values::I32(values) => values.push(0),
            Values::I64(values) => values.push(0),
            Values::F32(values) => values.push(0.0),
            Values::F64(values) => values.push(0.0),
            Values::I128(values) => values.push(0),
            Values::Bytes { ends, data } => ends.push(end(data.len())),
            Values::List { ends, items } => ends.push(end(items.rows)),
        }
    }

    /// Adds one value, or nothing and says why.
    #[inline]
    fn push_value(&mut self, bytes: &[u8]) -> Cell {
        match (&mut self.values, &self.kind) {
            (Values::I32(values), Kind::Int4) => values.push(i32::from_be_bytes(fixed(bytes)?)),
            (Values::I64(values), Kind::Int8) => values.push(i64::from_be_bytes(fixed(bytes)?)),
            (Values::I16(values), _) => values.push(i16::from_be_bytes(fixed(bytes)?)),
            (Values::F64(values), _) => values.push(f64::from_be_bytes(fixed(bytes)?)),
            (Values::F32(values), _) => values.push(f32::from_be_bytes(fixed(bytes)?)),
            (Values::Bool(values), _) => values.append(fixed::<1>(bytes)?[0] != 0),
            (Values::I32(values), _) => values.push(date(i32::from_be_bytes(fixed(bytes)?))?),
            (Values::I64(values), kind) => {
                let zone = *kind == Kind::Instant;
                values.push(timestamp(i64::from_be_bytes(fixed(bytes)?), zone)?);
            }
            (Values::I128(values), Kind::Decimal { precision, scale }) => {
                let numeric = Numeric::read(bytes).ok_or_else(|| ValueError::broken(bytes))?;
                values.push(
                    numeric
                        .to_i128(*precision, *scale)
                        .map_err(|unfit| unfit_decimal(numeric, unfit))?,
                );
            }
            (Values::Bytes { ends, data }, kind) => {
                push_bytes(kind, bytes, data)?;
                ends.push(end(data.len()));
            }
            (Values::List { ends, items }, _) => {
                push_list(items, bytes)?;
                ends.push(end(items.rows));
            }
            (Values::I128(_), _) => return Err(ValueError::broken(bytes)),
        }
        Ok(())
    }

    /// The column, and rows whose text is not UTF-8 (they hold NULL in it).
    pub(super) fn finish(self) -> (ArrayRef, Vec<(usize, Box<ValueError>)>) {
        let mut nulls = self.nulls;
        let nulls = nulls.finish();
        let is_text = self.kind.data_type() == arrow_schema::DataType::Utf8;
        let array: ArrayRef = match self.values {
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::I16(values) => primitive::<Int16Type>(values, nulls),
            Values::I32(values) if self.kind == Kind::Date => {
                primitive::<Date32Type>(values, nulls)
            }
            Values::I32(values) => primitive::<Int32Type>(values, nulls),
            Values::I64(values) if self.kind == Kind::Int8 => primitive::<Int64Type>(values, nulls),
            Values::I64(values) => {
                let zone = (self.kind == Kind::Instant).then_some("UTC");
                Arc::new(
                    PrimitiveArray::<TimestampMicrosecondType>::new(values.into(), nulls)
                        .with_timezone_opt(zone),
                )
            }
            Values::F32(values) => primitive::<Float32Type>(values, nulls),
            Values::F64(values) => primitive::<Float64Type>(values, nulls),
            Values::I128(values) => {
                let array = PrimitiveArray::<Decimal128Type>::new(values.into(), nulls);
                Arc::new(array.with_data_type(self.kind.data_type()))
            }
            Values::Bytes { ends, data } if is_text => return finish_text(ends, data, nulls),
            Values::Bytes { ends, data } => Arc::new(BinaryArray::new(
                offsets(ends),
                Buffer::from_vec(data),
                nulls,
            )),
            Values::List { ends, items } => return finish_list(ends, *items, nulls),
        };
        (array, Vec::new())
    }
}

fn first_end(rows: usize) -> Vec<i32> {
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    ends
}

/// Batches are cut long before two gigabytes, and one cell holds at most one.
fn end(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Box<ValueError>> {
    bytes.try_into().map_err(|_| ValueError::broken(bytes))
}

const OUTSIDE: &str = "the year is not between 1 and 9999";

fn date(days: i32) -> Result<i32, Box<ValueError>> {
    match days {
        i32::MAX => Err(ValueError::of("infinity", "a date cannot be infinity")),
        i32::MIN => Err(ValueError::of("-infinity", "a date cannot be infinity")),
        days => days
            .checked_add(EPOCH_DAYS)
            .filter(|days| DAYS.contains(days))
            .ok_or_else(|| ValueError::of(text::date(i64::from(days)), OUTSIDE)),
    }
}

fn timestamp(micros: i64, zone: bool) -> Result<i64, Box<ValueError>> {
    match micros {
        i64::MAX => Err(ValueError::of("infinity", "a timestamp cannot be infinity")),
        i64::MIN => Err(ValueError::of(
            "-infinity",
            "a timestamp cannot be infinity",
        )),
        micros => micros
            .checked_add(EPOCH_MICROS)
            .filter(|micros| MICROS.contains(micros))
            .ok_or_else(|| ValueError::of(text::timestamp(micros, zone), OUTSIDE)),
    }
}

fn unfit_decimal(numeric: Numeric<'_>, unfit: Unfit) -> Box<ValueError> {
    ValueError::of(
        numeric.text(),
        match unfit {
            Unfit::NotFinite => "a decimal cannot be NaN or infinity",
            Unfit::TooLarge => "the number has more digits than the decimal",
            Unfit::TooFine => "the number has more digits after the point than the decimal",
        },
    )
}

#[inline]
pub(super) fn push_bytes(kind: &Kind, bytes: &[u8], data: &mut Vec<u8>) -> Cell {
    match kind {
        Kind::Text | Kind::Bytes => data.extend_from_slice(bytes),
        Kind::Jsonb => match bytes.split_first() {
            Some((1, json)) => data.extend_from_slice(json),
            _ => return Err(ValueError::broken(bytes)),
        },
        Kind::Uuid => text::push_uuid(&fixed(bytes)?, data),
        Kind::Time => text::push_time(i64::from_be_bytes(fixed(bytes)?), data),
        Kind::NumericText => Numeric::read(bytes)
            .ok_or_else(|| ValueError::broken(bytes))?
            .write_text(data),
        _ => return Err(ValueError::broken(bytes)),
    }
    Ok(())
}

/// Takes the elements of an array; a flaw holds the whole array as the server prints it.
fn push_list(items: &mut Decoder, bytes: &[u8]) -> Cell {
    push_elements(items, bytes).map_err(|mut flaw| {
        if let Some(whole) = literal::array(&items.kind, bytes) {
            flaw.value = whole;
        }
        flaw
    })
}

/// `array_send`: dimensions, null flag, element type, then per dimension length and lower bound,
/// then length-prefixed elements.
fn push_elements(items: &mut Decoder, bytes: &[u8]) -> Cell {
    let broken = || ValueError::broken(bytes);
    let number = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(i32::from_be_bytes)
    };
    match number(0).ok_or_else(broken)? {
        0 => return Ok(()),
        1 => {}
        _ => {
            return Err(ValueError::of(
                "",
                "a list cannot have more than one dimension",
            ));
        }
    }
    let count = number(12).ok_or_else(broken)?;
    if number(16) != Some(1) {
        return Err(ValueError::of(
            "",
            "a list starts at index 1, and this array does not",
        ));
    }
    let is_text = matches!(items.kind, Kind::Text | Kind::Jsonb);
    let mut rest = bytes.get(20..).ok_or_else(broken)?;
    for _ in 0..count {
        let (cell, after) = next_cell(rest).ok_or_else(broken)?;
        if is_text && cell.is_some_and(|cell| std::str::from_utf8(cell).is_err()) {
            return Err(Box::new(ValueError {
                code: "encoding",
                ..*ValueError::of("", "the text is not UTF-8")
            }));
        }
        items.push(cell)?;
        rest = after;
    }
    Ok(())
}

/// One length-prefixed cell and what follows it.
#[inline]
pub(super) fn next_cell(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        -1 => Some((None, rest)),
        length => {
            let (cell, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(cell), rest))
        }
    }
}

/// One check of the whole buffer; only a database that keeps no encoding can fail it.
fn finish_text(
    ends: Vec<i32>,
    data: Vec<u8>,
    nulls: Option<NullBuffer>,
) -> (ArrayRef, Vec<(usize, Box<ValueError>)>) {
    let ends = offsets(ends);
    let data = Buffer::from_vec(data);
    if let Ok(array) = StringArray::try_new(ends.clone(), data.clone(), nulls.clone()) {
        return (Arc::new(array), Vec::new());
    }
    let raw = BinaryArray::new(ends, data, nulls);
    let mut flaws = Vec::new();
    let array: StringArray = raw
        .iter()
        .enumerate()
        .map(|(row, cell)| {
            let cell = cell?;
            let valid = std::str::from_utf8(cell);
            if valid.is_err() {
                let (value, reason) = (text::escaped(cell), "the text is not UTF-8");
                flaws.push((
                    row,
                    Box::new(ValueError {
                        value,
                        reason,
                        code: "encoding",
                    }),
                ));
            }
            valid.ok()
        })
        .collect();
    (Arc::new(array), flaws)
}

fn finish_list(
    ends: Vec<i32>,
    items: Decoder,
    nulls: Option<NullBuffer>,
) -> (ArrayRef, Vec<(usize, Box<ValueError>)>) {
    let field = Arc::new(Field::new("item", items.kind.data_type(), true));
    let (values, flaws) = items.finish();
    let flaws = flaws
        .into_iter()
        .map(|(item, flaw)| {
            let row = ends.partition_point(|end| usize::try_from(*end).unwrap_or(0) <= item);
            (row.saturating_sub(1), flaw)
        })
        .collect();
    (
        Arc::new(ListArray::new(field, offsets(ends), values, nulls)),
        flaws,
    )
}
