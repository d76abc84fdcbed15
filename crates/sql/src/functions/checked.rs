//! Functions of the engine with the errors and special cases of PostgreSQL.
//!
//! Promise: `ln(0)` and `power(-1, 0.5)` are errors, not infinity and NaN; `lpad` to a negative length is
//! empty. It does not know plans: `comparison.rs` wraps the functions that need it in `in_range`. Read next:
//! `comparison.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{
    Array, ArrayRef, Date32Array, Float64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_cast::cast;
use arrow_schema::DataType;
use chrono::NaiveDate;
use datafusion_common::cast::{
    as_int32_array, as_int64_array, as_string_array, as_timestamp_microsecond_array,
};
use datafusion_common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion_expr::ScalarUDF;

use super::define::{argument, count_is, define, kept};
use super::span::wall;

/// Wraps a computed number: fails if it is not a number although its inputs are.
pub(crate) const IN_RANGE: &str = "in_range";
/// Wraps a value that must be a number (not NaN).
pub(crate) const A_NUMBER: &str = "a_number";
/// Wraps the base of a logarithm.
pub(crate) const POSITIVE: &str = "positive";
/// Wraps a value that may turn out to be NULL: its own value, of a nullable type.
pub(crate) const OR_NULL: &str = "or_null";
/// Rounds a timestamp to seconds or milliseconds.
pub(crate) const ROUND_MOMENT: &str = "round_moment";

/// Functions of doubles that fail outside their domain.
pub(crate) const DEFINED_IN_PARTS: &[&str] = &[
    "sqrt", "ln", "log", "log2", "log10", "power", "exp", "asin", "acos", "acosh",
];
/// The same, for functions with infinity as a value.
pub(crate) const INFINITE_IN_PARTS: &[&str] = &["atanh"];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(IN_RANGE, same, first, |args, _| in_range(args, true)),
        define("not_nan", same, first, |args, _| in_range(args, false)),
        define(POSITIVE, same, first, |args, _| {
            positive(argument(args, 0)?)
        }),
        define(A_NUMBER, same, first, |args, _| {
            a_number(argument(args, 0)?)
        }),
        kept(OR_NULL, same, first, |args, _| {
            Ok(Arc::clone(argument(args, 0)?))
        }),
        define(
            ROUND_MOMENT,
            |types| Ok(types.to_vec()),
            first,
            round_moment,
        ),
        define(
            "lpad",
            padded,
            |_| Ok(DataType::Utf8),
            |args, _| pad(args, true),
        ),
        define(
            "rpad",
            padded,
            |_| Ok(DataType::Utf8),
            |args, _| pad(args, false),
        ),
        define(
            "repeat",
            |types| match types.len() {
                2 => Ok(vec![DataType::Utf8, DataType::Int64]),
                count => Err(count_is("repeat", "a text and a count", count)),
            },
            |_| Ok(DataType::Utf8),
            |args, _| repeated(args),
        ),
        define(AT_MOST, same, first, |args, _| at_most(args)),
        define(
            SERIES_STOP,
            |types| Ok(vec![DataType::Int64; types.len()]),
            |_| Ok(DataType::Int64),
            |args, _| series_stop(args),
        ),
        define(
            "chr",
            |types| numbers("chr", 1, types),
            |_| Ok(DataType::Utf8),
            |args, _| characters(args),
        ),
        define(
            "make_date",
            |types| numbers("make_date", 3, types),
            |_| Ok(DataType::Date32),
            |args, _| dates(args),
        ),
        define(
            "to_hex",
            whole,
            |_| Ok(DataType::Utf8),
            |args, _| hexes(args),
        ),
    ]
}

fn same(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(types.to_vec())
}

fn first(types: &[DataType]) -> Result<DataType> {
    types
        .first()
        .cloned()
        .ok_or_else(|| count_is("this function", "an argument", 0))
}

fn numbers(name: &str, count: usize, types: &[DataType]) -> Result<Vec<DataType>> {
    match types.len() == count
        && types
            .iter()
            .all(|given| given.is_numeric() || given.is_null())
    {
        true => Ok(vec![DataType::Int64; count]),
        false => plan_err!("`{name}` takes {count} whole numbers"),
    }
}

fn whole(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [only] if *only == DataType::Int64 || only.is_null() => Ok(vec![DataType::Int64]),
        [only] if only.is_integer() => Ok(vec![if only.primitive_width() > Some(4) {
            DataType::Int64
        } else {
            DataType::Int32
        }]),
        _ => plan_err!("`to_hex` takes a whole number"),
    }
}

fn padded(types: &[DataType]) -> Result<Vec<DataType>> {
    match types.len() {
        2 => Ok(vec![DataType::Utf8, DataType::Int64]),
        3 => Ok(vec![DataType::Utf8, DataType::Int64, DataType::Utf8]),
        count => Err(count_is("lpad", "a text, a length and a filling", count)),
    }
}

fn doubles(array: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(array, &DataType::Float64)?
        .as_primitive::<Float64Type>()
        .clone())
}

/// Checks the first argument, which was computed from the others.
fn in_range(args: &[ArrayRef], finite: bool) -> Result<ArrayRef> {
    let computed = argument(args, 0)?;
    let results = doubles(computed)?;
    let odd = |value: f64| value.is_nan() || (finite && value.is_infinite());
    if !results.iter().flatten().any(odd) {
        return Ok(Arc::clone(computed));
    }
    let given = args
        .iter()
        .skip(1)
        .map(doubles)
        .collect::<Result<Vec<_>>>()?;
    for (row, result) in results.iter().enumerate() {
        let Some(result) = result.filter(|result| odd(*result)) else {
            continue;
        };
        let explained = given.iter().any(|array| {
            let value = array.value(row);
            array.is_null(row) || value.is_nan() || (result.is_infinite() && value.is_infinite())
        });
        if !explained {
            return match result.is_nan() {
                true => exec_err!("an argument is outside the range of the function"),
                false => exec_err!("the result is out of range, or not defined for this argument"),
            };
        }
    }
    Ok(Arc::clone(computed))
}

fn positive(values: &ArrayRef) -> Result<ArrayRef> {
    if doubles(values)?.iter().flatten().any(|value| value <= 0.0) {
        return exec_err!("a logarithm of zero or less");
    }
    Ok(Arc::clone(values))
}

fn a_number(values: &ArrayRef) -> Result<ArrayRef> {
    if doubles(values)?
        .iter()
        .flatten()
        .any(|value| !value.is_finite())
    {
        return exec_err!("NaN and infinity are not valid timestamps");
    }
    Ok(Arc::clone(values))
}

/// Rounds to seconds or milliseconds, by the type of the second argument.
fn round_moment(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let unit: i64 = match argument(args, 1)?.data_type() {
        DataType::Int32 => 1_000_000,
        _ => 1_000,
    };
    let micros = cast(argument(args, 0)?, &wall())?;
    let micros = as_timestamp_microsecond_array(&micros)?;
    let rounded: TimestampMicrosecondArray = micros
        .iter()
        .map(|value| value.map(|value| (value + unit / 2).div_euclid(unit) * unit))
        .collect();
    Ok(cast(&rounded, to)?)
}

/// Wraps the length of a list.
pub(crate) const AT_MOST: &str = "at_most";
/// Wraps the end of a series of integers.
pub(crate) const SERIES_STOP: &str = "series_stop";
/// The most items of a list.
const MOST_ITEMS: i64 = 10_000_000;
/// The most bytes of repeated texts in one batch.
pub(super) const MOST_BYTES: usize = 512 << 20;

/// Checks the length of a list, and the size of the repeated value in the second argument.
fn at_most(args: &[ArrayRef]) -> Result<ArrayRef> {
    let values = argument(args, 0)?;
    let lengths = cast(values, &DataType::Int64)?;
    let lengths = as_int64_array(&lengths)?;
    match lengths.iter().flatten().max() {
        Some(length) if length > MOST_ITEMS => {
            return exec_err!(
                "a list of {length} items is too long, the most is {MOST_ITEMS}: use the table function `generate_series` or a join"
            );
        }
        _ => {}
    }
    let Some(sizes) = args.get(1).map(sizes).transpose()?.flatten() else {
        return Ok(Arc::clone(values));
    };
    let mut total = 0_usize;
    for (length, size) in lengths.iter().zip(sizes) {
        let length = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
        total = total.saturating_add(length.saturating_mul(size));
    }
    match total > MOST_BYTES {
        true => exec_err!("a list of {total} bytes is too long, the most is {MOST_BYTES}"),
        false => Ok(Arc::clone(values)),
    }
}

/// The bytes of each text or list, as far as they are known; `None` for values of a fixed size.
fn sizes(values: &ArrayRef) -> Result<Option<Vec<usize>>> {
    if values.data_type().is_string() {
        let texts = cast(values, &DataType::Utf8)?;
        let texts = as_string_array(&texts)?;
        return Ok(Some(
            texts.iter().map(|text| text.map_or(0, str::len)).collect(),
        ));
    }
    let DataType::List(_) = values.data_type() else {
        return Ok(None);
    };
    let lists = values.as_list::<i32>();
    let bytes = |row| usize::try_from(lists.value_length(row)).map_or(0, |items| items * 8);
    Ok(Some((0..lists.len()).map(bytes).collect()))
}

/// Checks that the end of a series is not too far from its start.
fn series_stop(args: &[ArrayRef]) -> Result<ArrayRef> {
    let stops = argument(args, 1)?;
    let numbers = args
        .iter()
        .map(|array| as_int64_array(array))
        .collect::<Result<Vec<_>>>()?;
    for row in 0..stops.len() {
        let number = |at: usize| {
            numbers
                .get(at)
                .filter(|array| array.is_valid(row))
                .map(|array| i128::from(array.value(row)))
        };
        let (Some(start), Some(stop)) = (number(0), number(1)) else {
            continue;
        };
        let step = number(2).filter(|step| *step != 0).unwrap_or(1);
        if (stop - start) / step > i128::from(MOST_ITEMS) {
            return exec_err!(
                "a series from {start} to {stop} is too long for a list; at most {MOST_ITEMS} items are made: use the table function `generate_series`"
            );
        }
    }
    Ok(Arc::clone(stops))
}

fn repeated(args: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let counts = as_int64_array(argument(args, 1)?)?;
    let mut total = 0_usize;
    let one = |(text, count): (Option<&str>, Option<i64>)| -> Result<Option<String>> {
        let (Some(text), Some(count)) = (text, count) else {
            return Ok(None);
        };
        let count = usize::try_from(count).unwrap_or(0);
        let bytes = text.len().saturating_mul(count);
        total = total.saturating_add(bytes);
        if i64::try_from(bytes).map_or(true, |bytes| bytes > LONGEST) || total > MOST_BYTES {
            return exec_err!(
                "`repeat` makes a text of {bytes} bytes, which is too long; at most {LONGEST} are made"
            );
        }
        Ok(Some(text.repeat(count)))
    };
    Ok(Arc::new(
        texts
            .iter()
            .zip(counts)
            .map(one)
            .collect::<Result<StringArray>>()?,
    ))
}

/// The most characters of a padded text.
pub(super) const LONGEST: i64 = 16 << 20;

fn pad(args: &[ArrayRef], left: bool) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let lengths = as_int64_array(argument(args, 1)?)?;
    let fillings = args
        .get(2)
        .map(|array| as_string_array(array))
        .transpose()?;
    let mut total = 0_usize;
    let one = |row: usize| -> Result<Option<String>> {
        let missing = texts.is_null(row)
            || lengths.is_null(row)
            || fillings.is_some_and(|fillings| fillings.is_null(row));
        if missing {
            return Ok(None);
        }
        let length = lengths.value(row).max(0);
        if length > LONGEST {
            return exec_err!(
                "a text of {length} characters is too long; at most {LONGEST} are made"
            );
        }
        let length = usize::try_from(length).unwrap_or(0);
        total = total.saturating_add(length);
        if total > MOST_BYTES {
            return exec_err!(
                "the texts of `lpad` and `rpad` are too long: more than {MOST_BYTES} characters at once"
            );
        }
        let text = texts.value(row);
        let count = text.chars().count();
        if count >= length {
            return Ok(Some(text.chars().take(length).collect()));
        }
        let filling = fillings.map_or(" ", |fillings| fillings.value(row));
        if filling.is_empty() {
            return Ok(Some(text.to_owned()));
        }
        let more: String = filling.chars().cycle().take(length - count).collect();
        Ok(Some(if left {
            format!("{more}{text}")
        } else {
            format!("{text}{more}")
        }))
    };
    Ok(Arc::new(
        (0..texts.len()).map(one).collect::<Result<StringArray>>()?,
    ))
}

fn characters(args: &[ArrayRef]) -> Result<ArrayRef> {
    let codes = as_int64_array(argument(args, 0)?)?;
    let one = |code: Option<i64>| match code {
        None => Ok(None),
        Some(code) => u32::try_from(code)
            .ok()
            .filter(|code| *code > 0)
            .and_then(char::from_u32)
            .map(|c| Some(c.to_string()))
            .ok_or_else(|| exec_datafusion_err!("there is no character {code}")),
    };
    Ok(Arc::new(
        codes.iter().map(one).collect::<Result<StringArray>>()?,
    ))
}

fn dates(args: &[ArrayRef]) -> Result<ArrayRef> {
    let parts = args
        .iter()
        .map(|array| as_int64_array(array))
        .collect::<Result<Vec<_>>>()?;
    let rows = parts.first().map_or(0, |array| array.len());
    let one = |row: usize| -> Result<Option<i32>> {
        if parts.iter().any(|part| part.is_null(row)) {
            return Ok(None);
        }
        let number = |at: usize| {
            parts
                .get(at)
                .map(|part| part.value(row))
                .unwrap_or_default()
        };
        let (year, month, day) = (number(0), number(1), number(2));
        let date = i32::try_from(year)
            .ok()
            .filter(|year| *year > 0)
            .zip(u32::try_from(month).ok().zip(u32::try_from(day).ok()))
            .and_then(|(year, (month, day))| NaiveDate::from_ymd_opt(year, month, day));
        date.map(|date| date.signed_duration_since(NaiveDate::default()).num_days())
            .and_then(|days| i32::try_from(days).ok())
            .map(Some)
            .ok_or_else(|| exec_datafusion_err!("there is no date {year}-{month}-{day}"))
    };
    Ok(Arc::new(
        (0..rows).map(one).collect::<Result<Date32Array>>()?,
    ))
}

fn hexes(args: &[ArrayRef]) -> Result<ArrayRef> {
    let values = argument(args, 0)?;
    let all: StringArray = match values.data_type() {
        DataType::Int32 => as_int32_array(values)?
            .iter()
            .map(|value| value.map(|value| format!("{value:x}")))
            .collect(),
        _ => as_int64_array(values)?
            .iter()
            .map(|value| value.map(|value| format!("{value:x}")))
            .collect(),
    };
    Ok(Arc::new(all))
}
