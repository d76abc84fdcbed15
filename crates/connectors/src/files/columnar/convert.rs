//! Arrays of the library as arrays of a form, with the rows that hold what the form's type cannot.
//!
//! Promise: such a row is named with its flaw and keeps some value in the array, so that no array
//! loses its shape; the caller drops the row. It knows no file and no declared type.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Int64Type,
    IntervalMonthDayNano,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Date32Array, FixedSizeBinaryArray,
    IntervalMonthDayNanoArray, ListArray, MapArray, PrimitiveArray, StructArray,
    TimestampMicrosecondArray, UInt64Array, UnionArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_cast::cast::cast;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use arrow_select::take::take;
use towpath_ports::exact_moment;
use towpath_vocab::types;

use super::form::{Form, How, per_second};

const DAY_NS: i128 = 86_400_000_000_000;
const DAY_MS: i64 = 86_400_000;
/// The day 1970-01-01, counted from noon of the day -4713-11-24.
const EPOCH_JULIAN: i128 = 2_440_588;

/// Why a value does not fit the type of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConvertError {
    Fine,
    Range,
    TimeOfDay,
    PartOfDay,
    Digits,
    Span,
}

impl ConvertError {
    /// Why, for a value of a column that is read as this type.
    pub(super) fn message(self, to: &DataType) -> String {
        let word = types::name(to);
        let way_out = match to.is_nested() {
            true => "",
            false => "; declare `text` to keep it",
        };
        match self {
            Self::Fine => {
                format!("does not fit `{word}`: it has digits below a microsecond{way_out}")
            }
            Self::Range => format!("is out of range for `{word}`{way_out}"),
            Self::TimeOfDay => "is not a time of day".to_owned(),
            Self::PartOfDay => "is not a whole day".to_owned(),
            Self::Digits => "has more digits than its column may have".to_owned(),
            Self::Span => "is out of range for an interval".to_owned(),
        }
    }
}

/// Values of a form, and the rows that do not fit it.
pub(super) struct Converted {
    pub(super) array: ArrayRef,
    pub(super) bad: Vec<(usize, ConvertError)>,
}

fn fitting(array: ArrayRef) -> Converted {
    Converted {
        array,
        bad: Vec::new(),
    }
}

/// Brings an array into a form.
pub(super) fn convert(array: &ArrayRef, form: &Form) -> Result<Converted, ArrowError> {
    Ok(match &form.how {
        How::Same => fitting(cast(array, &form.to)?),
        How::Int96 => int96(&fixed(array)?),
        How::Interval { signed } => intervals(&fixed(array)?, *signed),
        How::Uuid => fitting(uuids(&fixed(array)?)),
        How::Moment(unit) => moments(&flat(array)?, *unit, &form.to)?,
        How::Days => days(&flat(array)?)?,
        How::Time(day) => {
            let array = flat(array)?;
            let of_day = cast(&array, &DataType::Int64)?;
            let beyond = |value: i64| !(0..*day).contains(&value);
            let bad = rows_where(of_day.as_primitive::<Int64Type>(), beyond);
            Converted {
                bad: marked(bad, ConvertError::TimeOfDay),
                array,
            }
        }
        How::Digits(precision) => {
            let array = flat(array)?;
            let bad = match array.data_type() {
                DataType::Decimal32(..) => too_long::<Decimal32Type>(&array, *precision),
                DataType::Decimal64(..) => too_long::<Decimal64Type>(&array, *precision),
                DataType::Decimal128(..) => too_long::<Decimal128Type>(&array, *precision),
                DataType::Decimal256(..) => too_long::<Decimal256Type>(&array, *precision),
                _ => Vec::new(),
            };
            Converted {
                bad: marked(bad, ConvertError::Digits),
                array: cast(&array, &form.to)?,
            }
        }
        How::List(item) => list(array, item, &form.to)?,
        How::Struct(members) => structs(&flat(array)?, members, &form.to)?,
        How::Map(pair) => map(&flat(array)?, pair, &form.to)?,
        How::Union(branches) => unions(&flat(array)?, branches, &form.to)?,
    })
}

/// The values of a column with nothing lost, whatever its type can hold: moments as text, and what
/// does not fit its form as it is stored.
pub(crate) fn exact_values(array: &ArrayRef, form: &Form) -> ArrayRef {
    let exact = match form.is_moment() {
        true => moment_text(array, form),
        false => convert(array, form).and_then(|converted| match converted.bad.is_empty() {
            true => Ok(converted.array),
            false => as_stored(array, form),
        }),
    };
    exact.unwrap_or_else(|_| Arc::clone(array))
}

fn as_stored(array: &ArrayRef, form: &Form) -> Result<ArrayRef, ArrowError> {
    match form.how {
        How::Time(_) => cast(&flat(array)?, &DataType::Int64),
        _ => Ok(Arc::clone(array)),
    }
}

/// Timestamps of any unit as text with all their digits.
pub(super) fn moment_text(array: &ArrayRef, form: &Form) -> Result<ArrayRef, ArrowError> {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 30);
    let mut text = Vec::with_capacity(40);
    let zoned = matches!(form.to, DataType::Timestamp(_, Some(_)));
    let mut add = |nanos: Option<i128>| {
        text.clear();
        match nanos {
            None => out.append_null(),
            Some(nanos) => {
                exact_moment(nanos, 9, zoned, &mut text);
                out.append_value(String::from_utf8_lossy(&text));
            }
        }
    };
    match &form.how {
        How::Int96 => fixed(array)?
            .iter()
            .for_each(|value| add(value.map(int96_nanos))),
        _ => {
            let factor = match form.how {
                How::Moment(unit) => 1_000_000_000 / i128::from(per_second(unit)),
                _ => 1,
            };
            let ticks = cast(&flat(array)?, &DataType::Int64)?;
            let ticks = ticks.as_primitive::<Int64Type>();
            ticks
                .iter()
                .for_each(|value| add(value.map(|value| i128::from(value) * factor)));
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Without a dictionary, and without runs.
fn flat(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, values) => flat(&cast(array, values)?),
        DataType::RunEndEncoded(_, values) => flat(&cast(array, values.data_type())?),
        _ => Ok(Arc::clone(array)),
    }
}

fn fixed(array: &ArrayRef) -> Result<FixedSizeBinaryArray, ArrowError> {
    let array = flat(array)?;
    let fixed = array.as_fixed_size_binary_opt().cloned();
    fixed
        .ok_or_else(|| ArrowError::CastError(format!("{} is not of fixed size", array.data_type())))
}

fn marked(rows: Vec<usize>, flaw: ConvertError) -> Vec<(usize, ConvertError)> {
    rows.into_iter().map(|row| (row, flaw)).collect()
}

fn rows_where(values: &PrimitiveArray<Int64Type>, wrong: impl Fn(i64) -> bool) -> Vec<usize> {
    let rows = values.iter().enumerate();
    rows.filter(|(_, value)| value.is_some_and(&wrong))
        .map(|(row, _)| row)
        .collect()
}

fn too_long<T: ArrowPrimitiveType + DecimalType>(array: &ArrayRef, precision: u8) -> Vec<usize> {
    let values = array.as_primitive::<T>();
    if values.validate_decimal_precision(precision).is_ok() {
        return Vec::new();
    }
    let wrong =
        |value: T::Native| T::validate_decimal_precision(value, precision, values.scale()).is_err();
    let rows = values.iter().enumerate();
    rows.filter(|(_, value)| value.is_some_and(wrong))
        .map(|(row, _)| row)
        .collect()
}

fn int96_nanos(bytes: &[u8]) -> i128 {
    let (of_day, day) = bytes.split_at_checked(8).unwrap_or_default();
    let of_day = of_day.try_into().map_or(0, i64::from_le_bytes);
    let day = day.try_into().map_or(0, i32::from_le_bytes);
    (i128::from(day) - EPOCH_JULIAN) * DAY_NS + i128::from(of_day)
}

fn int96(values: &FixedSizeBinaryArray) -> Converted {
    let nanos = (0..values.len()).map(|row| (values.is_valid(row), int96_nanos(values.value(row))));
    micros(nanos, values.nulls().cloned(), 1_000, None)
}

/// Timestamps in microseconds from values of which `per_micro` make one.
fn micros(
    values: impl Iterator<Item = (bool, i128)>,
    nulls: Option<NullBuffer>,
    per_micro: i128,
    zone: Option<Arc<str>>,
) -> Converted {
    let mut bad = Vec::new();
    let whole: Vec<i64> = values
        .enumerate()
        .map(|(row, (valid, value))| {
            if !valid {
                return 0;
            }
            if value.rem_euclid(per_micro) != 0 {
                bad.push((row, ConvertError::Fine));
            }
            i64::try_from(value.div_euclid(per_micro)).unwrap_or_else(|_| {
                bad.push((row, ConvertError::Range));
                0
            })
        })
        .collect();
    let array = TimestampMicrosecondArray::new(whole.into(), nulls).with_timezone_opt(zone);
    Converted {
        array: Arc::new(array),
        bad,
    }
}

fn moments(array: &ArrayRef, unit: TimeUnit, to: &DataType) -> Result<Converted, ArrowError> {
    if array.data_type() == to {
        return Ok(fitting(Arc::clone(array)));
    }
    let DataType::Timestamp(_, zone) = to else {
        return Ok(fitting(cast(array, to)?));
    };
    let ticks = cast(array, &DataType::Int64)?;
    let ticks = ticks.as_primitive::<Int64Type>();
    let (factor, per_micro) = match unit {
        TimeUnit::Nanosecond => (1, 1_000),
        coarser => (1_000_000 / i128::from(per_second(coarser)), 1),
    };
    let values = (0..ticks.len()).map(|row| {
        let value = i128::from(ticks.value(row)) * factor;
        (ticks.is_valid(row), value)
    });
    Ok(micros(
        values,
        ticks.nulls().cloned(),
        per_micro,
        zone.clone(),
    ))
}

fn days(array: &ArrayRef) -> Result<Converted, ArrowError> {
    let millis = cast(array, &DataType::Int64)?;
    let millis = millis.as_primitive::<Int64Type>();
    let mut bad = marked(
        rows_where(millis, |value| value.rem_euclid(DAY_MS) != 0),
        ConvertError::PartOfDay,
    );
    let days: Vec<i32> = (0..millis.len())
        .map(|row| {
            let day = i32::try_from(millis.value(row).div_euclid(DAY_MS));
            day.unwrap_or_else(|_| {
                if millis.is_valid(row) {
                    bad.push((row, ConvertError::Range));
                }
                0
            })
        })
        .collect();
    Ok(Converted {
        array: Arc::new(Date32Array::new(days.into(), millis.nulls().cloned())),
        bad,
    })
}

fn uuids(values: &FixedSizeBinaryArray) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 36);
    for value in values.iter() {
        let Some(bytes) = value else {
            out.append_null();
            continue;
        };
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        out.append_value(text);
    }
    Arc::new(out.finish())
}

fn intervals(values: &FixedSizeBinaryArray, signed: bool) -> Converted {
    let mut bad = Vec::new();
    let spans: Vec<IntervalMonthDayNano> = (0..values.len())
        .map(|row| {
            let parts = values.value(row).chunks_exact(4);
            let mut parts = parts.map(|part| part.try_into().map_or(0, i32::from_le_bytes));
            let mut next = || {
                let part = parts.next().unwrap_or(0);
                match signed {
                    true => i64::from(part),
                    false => i64::from(part.cast_unsigned()),
                }
            };
            let (months, days, millis) = (next(), next(), next());
            let mut fitting = |part: i64| {
                i32::try_from(part).unwrap_or_else(|_| {
                    if values.is_valid(row) {
                        bad.push((row, ConvertError::Span));
                    }
                    0
                })
            };
            IntervalMonthDayNano::new(fitting(months), fitting(days), millis * 1_000_000)
        })
        .collect();
    Converted {
        array: Arc::new(IntervalMonthDayNanoArray::new(
            spans.into(),
            values.nulls().cloned(),
        )),
        bad,
    }
}

/// The rows that flaws of items are in.
fn lifted(
    bad: Vec<(usize, ConvertError)>,
    offsets: &OffsetBuffer<i32>,
    is_null: impl Fn(usize) -> bool,
) -> Vec<(usize, ConvertError)> {
    let row_of = |item: usize| {
        let ends =
            offsets.partition_point(|offset| usize::try_from(*offset).is_ok_and(|at| at <= item));
        let row = ends.checked_sub(1)?;
        (row + 1 < offsets.len() && !is_null(row)).then_some(row)
    };
    bad.into_iter()
        .filter_map(|(item, flaw)| Some((row_of(item)?, flaw)))
        .collect()
}

/// Where the items of some rows begin among those of a whole part, and the rows' places counted from there.
fn rebased(offsets: &OffsetBuffer<i32>) -> (usize, OffsetBuffer<i32>) {
    let first = offsets.first().copied().unwrap_or(0);
    match usize::try_from(first) {
        Ok(start) if start > 0 => {
            let places: Vec<i32> = offsets.iter().map(|at| at - first).collect();
            (start, OffsetBuffer::new(places.into()))
        }
        _ => (0, offsets.clone()),
    }
}

/// The items that the rows of these places have.
fn own(items: &ArrayRef, start: usize, offsets: &OffsetBuffer<i32>) -> ArrayRef {
    let count = offsets.last().map(|last| usize::try_from(*last));
    items.slice(start, count.and_then(Result::ok).unwrap_or(0))
}

fn list(array: &ArrayRef, item: &Form, to: &DataType) -> Result<Converted, ArrowError> {
    let array = flat(array)?;
    let plain = match array.data_type() {
        DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => cast(&array, &DataType::List(Arc::clone(field)))?,
        _ => array,
    };
    let DataType::List(field) = to else {
        return Ok(fitting(plain));
    };
    let lists = plain.as_list::<i32>();
    let (start, offsets) = rebased(lists.offsets());
    let items = convert(&own(lists.values(), start, &offsets), item)?;
    let bad = lifted(items.bad, &offsets, |row| lists.is_null(row));
    let made = ListArray::try_new(
        Arc::clone(field),
        offsets,
        items.array,
        lists.nulls().cloned(),
    )?;
    Ok(Converted {
        bad,
        array: Arc::new(made),
    })
}

fn structs(array: &ArrayRef, members: &[Form], to: &DataType) -> Result<Converted, ArrowError> {
    let DataType::Struct(fields) = to else {
        return Ok(fitting(Arc::clone(array)));
    };
    let given = array.as_struct();
    let (mut bad, mut columns) = (Vec::new(), Vec::with_capacity(members.len()));
    for (column, form) in given.columns().iter().zip(members) {
        let member = convert(column, form)?;
        bad.extend(member.bad);
        columns.push(member.array);
    }
    bad.retain(|(row, _)| given.is_valid(*row));
    let made = StructArray::try_new_with_length(
        fields.clone(),
        columns,
        given.nulls().cloned(),
        given.len(),
    )?;
    Ok(Converted {
        array: Arc::new(made),
        bad,
    })
}

/// Each value is the member of its branch; all other members are NULL.
fn unions(array: &ArrayRef, branches: &[Form], to: &DataType) -> Result<Converted, ArrowError> {
    let (Some(given), DataType::Union(fields, _), DataType::Struct(members)) = (
        array.as_any().downcast_ref::<UnionArray>(),
        array.data_type(),
        to,
    ) else {
        return Ok(fitting(Arc::clone(array)));
    };
    let mut valid = vec![false; given.len()];
    let (mut bad, mut columns) = (Vec::new(), Vec::with_capacity(members.len()));
    for ((id, _), form) in fields.iter().zip(branches) {
        if form.to == DataType::Null {
            continue;
        }
        let rows = given.type_ids().iter().enumerate();
        let places: UInt64Array = rows
            .map(|(row, branch)| (*branch == id).then(|| given.value_offset(row) as u64))
            .collect();
        for (row, valid) in valid.iter_mut().enumerate() {
            *valid |= places.is_valid(row);
        }
        let member = convert(&take(given.child(id), &places, None)?, form)?;
        bad.extend(member.bad);
        columns.push(member.array);
    }
    bad.retain(|(row, _)| valid.get(*row) == Some(&true));
    let made = StructArray::try_new_with_length(
        members.clone(),
        columns,
        Some(NullBuffer::from(valid)),
        given.len(),
    )?;
    Ok(Converted {
        array: Arc::new(made),
        bad,
    })
}

fn map(array: &ArrayRef, pair: &[Form; 2], to: &DataType) -> Result<Converted, ArrowError> {
    let given = array.as_map();
    let (DataType::Map(entries, sorted), [key, value]) = (to, pair) else {
        return Ok(fitting(Arc::clone(array)));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Ok(fitting(Arc::clone(array)));
    };
    let (start, offsets) = rebased(given.offsets());
    let keys = convert(&own(given.keys(), start, &offsets), key)?;
    let values = convert(&own(given.values(), start, &offsets), value)?;
    let bad = keys.bad.into_iter().chain(values.bad).collect();
    let bad = lifted(bad, &offsets, |row| given.is_null(row));
    let made = StructArray::try_new(fields.clone(), vec![keys.array, values.array], None)?;
    let made = MapArray::try_new(
        Arc::clone(entries),
        offsets,
        made,
        given.nulls().cloned(),
        *sorted,
    )?;
    Ok(Converted {
        bad,
        array: Arc::new(made),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_array::builder::{Int64Builder, LargeStringBuilder, ListBuilder, MapBuilder};
    use arrow_schema::Field;

    use super::*;

    fn converted(array: &ArrayRef) -> Converted {
        let field = Field::new("c", array.data_type().clone(), true);
        convert(array, &Form::of_field(&field)).unwrap()
    }

    #[test]
    fn rows_of_a_part_convert_only_their_own_items() {
        let mut lists = ListBuilder::new(LargeStringBuilder::new());
        let mut maps = MapBuilder::new(None, LargeStringBuilder::new(), Int64Builder::new());
        for row in 0..10_i64 {
            for item in 0..row {
                lists.values().append_value(format!("{row}.{item}"));
                maps.keys().append_value(format!("{row}.{item}"));
                maps.values().append_value(row * 10 + item);
            }
            lists.append(row != 5);
            maps.append(row != 5).unwrap();
        }
        let (lists, maps): (ArrayRef, ArrayRef) =
            (Arc::new(lists.finish()), Arc::new(maps.finish()));
        let (all_lists, all_maps) = (converted(&lists).array, converted(&maps).array);
        for (start, count) in [(0, 3), (3, 4), (5, 1), (8, 2), (10, 0)] {
            let items = (start..start + count).sum::<usize>();
            let some = converted(&lists.slice(start, count)).array;
            assert_eq!(&some, &all_lists.slice(start, count));
            assert_eq!(some.as_list::<i32>().values().len(), items);
            let some = converted(&maps.slice(start, count)).array;
            assert_eq!(&some, &all_maps.slice(start, count));
            assert_eq!(some.as_map().keys().len(), items);
        }
    }

    #[test]
    fn an_item_that_does_not_fit_is_in_its_row_of_a_slice() {
        let mut lists = ListBuilder::new(arrow_array::builder::Date64Builder::new());
        for row in 0..4 {
            lists.values().append_value(0);
            lists.values().append_value(i64::from(row == 2));
            lists.append(true);
        }
        let lists: ArrayRef = Arc::new(lists.finish());
        let bad = [(1, ConvertError::PartOfDay)];
        assert_eq!(converted(&lists.slice(1, 2)).bad, bad);
        assert!(converted(&lists.slice(3, 1)).bad.is_empty());
    }
}
