//! `dateadd(unit, n, x)`, `datediff(unit, a, b)` and `last_day(x)`, as dbt projects use them.
//!
//! Promise: `datediff` counts the boundaries of the unit between two moments, not elapsed time: from
//! 2025-12-31 to 2026-01-01 is one year. Weeks begin on Monday. `dateadd` stops at the last day of a shorter
//! month. Units may be written without quotes; `statement.rs` turns them into text. Times have no zone;
//! instants are used in UTC. Read next: `statement.rs`.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta};
use datafusion_common::cast::{
    as_date32_array, as_int64_array, as_string_array, as_timestamp_microsecond_array,
};
use datafusion_common::{DataFusionError, Result, exec_datafusion_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Functions whose first argument is a unit, which may be written without quotes.
pub(crate) const UNIT_FUNCTIONS: &[&str] = &[
    "dateadd",
    "datediff",
    "date_add_unit",
    "timestampadd",
    "timestampdiff",
];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(DateAdd::new())),
        Arc::new(ScalarUDF::from(DateDiff::new())),
        Arc::new(ScalarUDF::from(LastDay::new())),
    ]
}

/// A calendar unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
}

impl FromStr for Unit {
    type Err = DataFusionError;

    fn from_str(text: &str) -> Result<Self> {
        let lower = text.trim().to_lowercase();
        let singular = if lower.len() > 3 {
            lower.strip_suffix('s').unwrap_or(&lower)
        } else {
            &lower
        };
        Ok(match singular {
            "year" | "yy" | "yyyy" => Self::Year,
            "quarter" | "qq" | "qtr" => Self::Quarter,
            "month" | "mm" | "mon" => Self::Month,
            "week" | "wk" | "ww" => Self::Week,
            "day" | "dd" | "d" => Self::Day,
            "hour" | "hh" => Self::Hour,
            "minute" | "mi" | "min" => Self::Minute,
            "second" | "ss" | "sec" => Self::Second,
            "millisecond" | "ms" => Self::Millisecond,
            "microsecond" | "us" => Self::Microsecond,
            _ => {
                return Err(exec_datafusion_err!(
                    "`{text}` is not a unit of time; units are year, quarter, month, week, day, hour, minute, second, millisecond, microsecond"
                ));
            }
        })
    }
}

impl Unit {
    /// The length of a unit with a fixed number of microseconds.
    fn microseconds(self) -> Option<i64> {
        Some(match self {
            Self::Year | Self::Quarter | Self::Month => return None,
            Self::Week => 7 * 86_400_000_000,
            Self::Day => 86_400_000_000,
            Self::Hour => 3_600_000_000,
            Self::Minute => 60_000_000,
            Self::Second => 1_000_000,
            Self::Millisecond => 1_000,
            Self::Microsecond => 1,
        })
    }

    fn months(self) -> Option<i64> {
        match self {
            Self::Year => Some(12),
            Self::Quarter => Some(3),
            Self::Month => Some(1),
            _ => None,
        }
    }

    /// The number of the unit that contains a moment, counted from a fixed one.
    fn number(self, at: NaiveDateTime) -> i64 {
        let micros = at.and_utc().timestamp_micros();
        match (self, self.microseconds()) {
            // The epoch was a Thursday; three days on, weeks begin on Monday.
            (Self::Week, Some(length)) => (micros + 3 * 86_400_000_000).div_euclid(length),
            (_, Some(length)) => micros.div_euclid(length),
            (_, None) => (i64::from(at.year()) * 12 + i64::from(at.month0()))
                .div_euclid(self.months().unwrap_or(1)),
        }
    }

    fn add(self, at: NaiveDateTime, count: i64) -> Option<NaiveDateTime> {
        if let Some(length) = self.microseconds() {
            return at.checked_add_signed(TimeDelta::microseconds(length.checked_mul(count)?));
        }
        let months = count.checked_mul(self.months()?)?;
        let size = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        if months < 0 {
            at.checked_sub_months(size)
        } else {
            at.checked_add_months(size)
        }
    }
}

fn moment(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn array(args: &ScalarFunctionArgs, at: usize) -> Result<ArrayRef> {
    match args.args.get(at) {
        Some(value) => value.to_array(args.number_rows),
        None => plan_err!("argument {} is missing", at + 1),
    }
}

fn moments(args: &ScalarFunctionArgs, at: usize) -> Result<TimestampMicrosecondArray> {
    let values = cast(&array(args, at)?, &micros())?;
    Ok(as_timestamp_microsecond_array(&values)?.clone())
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
    )
}

/// The type of a date or time argument: its own, or a timestamp if it is text.
fn as_moment(name: &str, data_type: &DataType) -> Result<DataType> {
    match data_type {
        DataType::Date32 => Ok(DataType::Date32),
        DataType::Timestamp(_, zone) => {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        DataType::Date64
        | DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => Ok(micros()),
        other => plan_err!("`{name}` takes a date or a timestamp, here is {other}"),
    }
}

fn unit_of<'a>(units: &'a ArrayRef, row: usize) -> Result<Option<Unit>> {
    let units: &'a _ = as_string_array(units)?;
    if units.is_null(row) {
        Ok(None)
    } else {
        units.value(row).parse().map(Some)
    }
}

/// `dateadd(unit, count, moment)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DateAdd {
    signature: Signature,
    aliases: Vec<String>,
}

impl DateAdd {
    fn new() -> Self {
        let aliases = vec!["timestampadd".to_owned()];
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            aliases,
        }
    }
}

impl ScalarUDFImpl for DateAdd {
    fn name(&self) -> &str {
        "dateadd"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, count, moment] = types else {
            return plan_err!(
                "`dateadd` takes 3 arguments (unit, count, moment), here are {}",
                types.len()
            );
        };
        if !count.is_integer() && !count.is_null() {
            return plan_err!("`dateadd` takes a whole number of units, here is type {count}");
        }
        Ok(vec![
            DataType::Utf8,
            DataType::Int64,
            as_moment("dateadd", moment)?,
        ])
    }

    /// Always a timestamp, because the unit is a value and may be smaller than a day.
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.get(2) {
            Some(DataType::Timestamp(_, zone)) => {
                Ok(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
            }
            _ => Ok(micros()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (units, counts, values) = (array(&args, 0)?, array(&args, 1)?, moments(&args, 2)?);
        let counts = as_int64_array(&counts)?;
        let mut out: Vec<Option<i64>> = Vec::with_capacity(values.len());
        for row in 0..values.len() {
            let unit = unit_of(&units, row)?;
            out.push(match (unit, counts.is_valid(row) && values.is_valid(row)) {
                (Some(unit), true) => {
                    let moved =
                        moment(values.value(row)).and_then(|at| unit.add(at, counts.value(row)));
                    let moved = moved.ok_or_else(|| {
                        exec_datafusion_err!("`dateadd` gives a value outside the calendar")
                    })?;
                    Some(moved.and_utc().timestamp_micros())
                }
                _ => None,
            });
        }
        let moved: ArrayRef = Arc::new(TimestampMicrosecondArray::from(out));
        Ok(ColumnarValue::Array(cast(
            &moved,
            args.return_field.data_type(),
        )?))
    }
}

/// `datediff(unit, from, to)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DateDiff {
    signature: Signature,
    aliases: Vec<String>,
}

impl DateDiff {
    fn new() -> Self {
        let aliases = vec!["timestampdiff".to_owned()];
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            aliases,
        }
    }
}

impl ScalarUDFImpl for DateDiff {
    fn name(&self) -> &str {
        "datediff"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, from, to] = types else {
            return plan_err!(
                "`datediff` takes 3 arguments (unit, from, to), here are {}",
                types.len()
            );
        };
        Ok(vec![
            DataType::Utf8,
            as_moment("datediff", from)?,
            as_moment("datediff", to)?,
        ])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (units, from, to) = (array(&args, 0)?, moments(&args, 1)?, moments(&args, 2)?);
        let mut out: Vec<Option<i64>> = Vec::with_capacity(from.len());
        for row in 0..from.len() {
            let unit = unit_of(&units, row)?;
            let pair = (from.is_valid(row) && to.is_valid(row))
                .then(|| (moment(from.value(row)), moment(to.value(row))));
            out.push(match (unit, pair) {
                (Some(unit), Some((Some(from), Some(to)))) => {
                    Some(unit.number(to) - unit.number(from))
                }
                _ => None,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(out))))
    }
}

/// `last_day(date)`: the last day of its month.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LastDay {
    signature: Signature,
}

impl LastDay {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for LastDay {
    fn name(&self) -> &str {
        "last_day"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [only] if is_moment(only) || only.is_null() || only.is_string() => {
                Ok(vec![DataType::Date32])
            }
            [only] => plan_err!("`last_day` takes a date, here is {only}"),
            _ => plan_err!("`last_day` takes 1 argument, here are {}", types.len()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let days = array(&args, 0)?;
        let epoch = NaiveDate::default();
        let last = |day: i32| {
            let date = epoch.checked_add_signed(TimeDelta::days(i64::from(day)))?;
            let end = date
                .with_day(1)?
                .checked_add_months(Months::new(1))?
                .checked_sub_days(Days::new(1))?;
            i32::try_from(end.signed_duration_since(epoch).num_days()).ok()
        };
        let out: Date32Array = as_date32_array(&days)?
            .iter()
            .map(|day| day.and_then(last))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(out)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn boundaries_are_counted_not_elapsed_time() {
        let (old, new) = (at("2025-12-31T23:59:00"), at("2026-01-01T00:01:00"));
        for unit in ["year", "quarter", "month", "day", "hour"] {
            let unit: Unit = unit.parse().unwrap();
            assert_eq!(unit.number(new) - unit.number(old), 1, "{unit:?}");
        }
        let week: Unit = "weeks".parse().unwrap();
        assert_eq!(
            week.number(at("2026-01-05T00:00:00")) - week.number(at("2026-01-04T23:00:00")),
            1
        );
        assert_eq!(
            week.number(at("2026-01-04T00:00:00")) - week.number(at("2025-12-29T00:00:00")),
            0
        );
    }

    #[test]
    fn months_keep_to_their_end() {
        assert_eq!(
            Unit::Month.add(at("2024-01-31T00:00:00"), 1),
            Some(at("2024-02-29T00:00:00"))
        );
        assert_eq!(
            Unit::Quarter.add(at("2024-01-31T00:00:00"), -1),
            Some(at("2023-10-31T00:00:00"))
        );
        assert_eq!(
            Unit::Hour.add(at("2024-01-31T23:00:00"), 2),
            Some(at("2024-02-01T01:00:00"))
        );
        assert!("fortnight".parse::<Unit>().is_err());
    }
}
