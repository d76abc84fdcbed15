//! `extract`, `date_part` and `date_trunc` of dates, timestamps and intervals, with PostgreSQL's results.
//!
//! Promise: seconds include their fraction. The parts of an interval are separate: the hour of 2 days 2 hours
//! is 2. Weeks and `isoyear` follow ISO 8601. A timestamp with a zone is used in UTC, unless `date_trunc`
//! names a zone. It does not know `AT TIME ZONE`. Read next: `zone.rs`.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{IntervalMonthDayNano, IntervalMonthDayNanoType};
use arrow_array::{
    Array, ArrayRef, Float64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion_common::cast::{as_string_array, as_timestamp_microsecond_array};
use datafusion_common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::define::{argument, count_is, define};
use super::span::{DAY, at, span, wall};

/// The function behind `extract`.
pub(crate) const DATE_PART: &str = "date_part";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(DatePart::new())),
        define("date_trunc", truncated_types, truncated_type, truncated),
    ]
}

/// A field of a moment or an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Epoch,
    Zone,
}

impl FromStr for Part {
    type Err = DataFusionError;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.trim().to_lowercase().as_str() {
            "millennium" | "millennia" => Self::Millennium,
            "century" | "centuries" => Self::Century,
            "decade" | "decades" => Self::Decade,
            "year" | "years" | "y" => Self::Year,
            "isoyear" => Self::IsoYear,
            "quarter" | "qtr" | "quarters" => Self::Quarter,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "week" | "weeks" | "w" => Self::Week,
            "day" | "days" | "d" => Self::Day,
            "dow" | "dayofweek" | "weekday" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" | "dayofyear" => Self::DayOfYear,
            "hour" | "hours" | "h" => Self::Hour,
            "minute" | "minutes" | "min" | "m" => Self::Minute,
            "second" | "seconds" | "sec" | "s" => Self::Second,
            "millisecond" | "milliseconds" | "ms" => Self::Millisecond,
            "microsecond" | "microseconds" | "us" => Self::Microsecond,
            "epoch" => Self::Epoch,
            "timezone" => Self::Zone,
            _ => {
                return Err(exec_datafusion_err!(
                    "`{text}` is not a part of a date or time that is known here"
                ));
            }
        })
    }
}

/// The number of a century or millennium, as PostgreSQL counts it: there is no year zero.
fn counted(year: i32, length: i32) -> i32 {
    if year > 0 {
        (year + length - 1) / length
    } else {
        -((length - 1 - (year - 1)) / length)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a calendar are exact to 2^53"
)]
fn micros_as(value: i64, unit: f64) -> f64 {
    value as f64 / unit
}

impl Part {
    /// True for parts whose value may have a fraction.
    fn is_fraction(self) -> bool {
        matches!(self, Self::Second | Self::Millisecond | Self::Epoch)
    }

    /// True for parts of the time of day, which a date does not have.
    fn is_of_time(self) -> bool {
        matches!(
            self,
            Self::Hour
                | Self::Minute
                | Self::Second
                | Self::Millisecond
                | Self::Microsecond
                | Self::Zone
        )
    }

    fn of_moment(self, micros: i64) -> Option<f64> {
        let at = at(micros)?;
        let of_minute = micros.rem_euclid(60_000_000);
        let year = at.year();
        Some(match self {
            Self::Millennium => f64::from(counted(year, 1000)),
            Self::Century => f64::from(counted(year, 100)),
            Self::Decade => f64::from(year.div_euclid(10)),
            Self::Year => f64::from(if year > 0 { year } else { year - 1 }),
            Self::IsoYear => f64::from(at.iso_week().year()),
            Self::Quarter => f64::from(at.month0() / 3 + 1),
            Self::Month => f64::from(at.month()),
            Self::Week => f64::from(at.iso_week().week()),
            Self::Day => f64::from(at.day()),
            Self::DayOfWeek => f64::from(at.weekday().num_days_from_sunday()),
            Self::IsoDayOfWeek => f64::from(at.weekday().number_from_monday()),
            Self::DayOfYear => f64::from(at.ordinal()),
            Self::Hour => f64::from(at.hour()),
            Self::Minute => f64::from(at.minute()),
            Self::Second => micros_as(of_minute, 1_000_000.0),
            Self::Millisecond => micros_as(of_minute, 1_000.0),
            Self::Microsecond => micros_as(of_minute, 1.0),
            Self::Epoch => micros_as(micros, 1_000_000.0),
            Self::Zone => 0.0,
        })
    }

    fn of_span(self, it: IntervalMonthDayNano) -> Option<f64> {
        let micros = it.nanoseconds / 1_000;
        let of_minute = micros % 60_000_000;
        let years = it.months / 12;
        Some(match self {
            Self::Millennium => f64::from(years / 1000),
            Self::Century => f64::from(years / 100),
            Self::Decade => f64::from(years / 10),
            Self::Year => f64::from(years),
            Self::Quarter => f64::from(it.months % 12 / 3 + 1),
            Self::Month => f64::from(it.months % 12),
            Self::Day => f64::from(it.days),
            Self::Hour => micros_as(micros / 3_600_000_000, 1.0),
            Self::Minute => micros_as(micros / 60_000_000 % 60, 1.0),
            Self::Second => micros_as(of_minute, 1_000_000.0),
            Self::Millisecond => micros_as(of_minute, 1_000.0),
            Self::Microsecond => micros_as(of_minute, 1.0),
            Self::Epoch => {
                let days = f64::from(years) * 365.25
                    + f64::from(it.months % 12) * 30.0
                    + f64::from(it.days);
                days * 86_400.0 + micros_as(micros, 1_000_000.0)
            }
            Self::IsoYear
            | Self::Week
            | Self::DayOfWeek
            | Self::IsoDayOfWeek
            | Self::DayOfYear
            | Self::Zone => return None,
        })
    }
}

/// `date_part(part, moment)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    signature: Signature,
    aliases: Vec<String>,
}

impl DatePart {
    fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            aliases: vec!["datepart".to_owned()],
        }
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        DATE_PART
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, moment] = types else {
            return Err(count_is("extract", "a part and a moment", types.len()));
        };
        Ok(vec![DataType::Utf8, moment_or_span("extract", moment)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let part = match args.scalar_arguments.first() {
            Some(Some(value)) => value
                .try_as_str()
                .flatten()
                .map(str::parse::<Part>)
                .transpose()?,
            _ => None,
        };
        let whole = part.is_some_and(|part| !part.is_fraction());
        if let (Some(part), Some(field)) = (part, args.arg_fields.get(1))
            && *field.data_type() == DataType::Date32
            && part.is_of_time()
        {
            return plan_err!("a date has no time of day: cast it to a timestamp first");
        }
        if let (Some(Part::Zone), Some(field)) = (part, args.arg_fields.get(1))
            && !matches!(field.data_type(), DataType::Timestamp(_, Some(_)))
        {
            return plan_err!("only a timestamp with a zone has a time zone");
        }
        let data_type = if whole {
            DataType::Int32
        } else {
            DataType::Float64
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let found = parts(argument(&arrays, 0)?, argument(&arrays, 1)?)?;
        let found = cast(&found, args.return_field.data_type())?;
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &found, 0,
            )?)),
            false => Ok(ColumnarValue::Array(found)),
        }
    }
}

fn moment_or_span(name: &str, given: &DataType) -> Result<DataType> {
    Ok(match given {
        DataType::Date32 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Interval(_) | DataType::Duration(_) => span(),
        DataType::Date64 | DataType::Null => wall(),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        text if text.is_string() => wall(),
        other => {
            return plan_err!("`{name}` takes a date, a timestamp or an interval, here is {other}");
        }
    })
}

fn parts(names: &ArrayRef, values: &ArrayRef) -> Result<ArrayRef> {
    let names = as_string_array(names)?;
    let spans = values.as_primitive_opt::<IntervalMonthDayNanoType>();
    let micros = match (spans, values.data_type()) {
        (Some(_), _) => None,
        (None, DataType::Time64(_)) => Some(cast(&cast(values, &DataType::Int64)?, &wall())?),
        (None, _) => Some(cast(values, &wall())?),
    };
    let micros = micros
        .as_ref()
        .map(|array| as_timestamp_microsecond_array(array))
        .transpose()?;
    let mut out = Vec::with_capacity(values.len());
    let mut known: Option<(&str, Part)> = None;
    for row in 0..values.len() {
        if names.is_null(row) || values.is_null(row) {
            out.push(None);
            continue;
        }
        let name = names.value(row);
        let part = match known {
            Some((last, part)) if last == name => part,
            _ => name.parse()?,
        };
        known = Some((name, part));
        let value = match (spans, micros) {
            (Some(spans), _) => part.of_span(spans.value(row)),
            (None, Some(micros)) => part.of_moment(micros.value(row)),
            (None, None) => None,
        };
        out.push(Some(value.ok_or_else(|| {
            exec_datafusion_err!("`{name}` cannot be taken from this value")
        })?));
    }
    Ok(Arc::new(Float64Array::from(out)))
}

fn truncated_types(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_, moment] => Ok(vec![DataType::Utf8, truncatable(moment)?]),
        [_, moment, _] => Ok(vec![DataType::Utf8, truncatable(moment)?, DataType::Utf8]),
        _ => Err(count_is("date_trunc", "a part and a moment", types.len())),
    }
}

fn truncatable(given: &DataType) -> Result<DataType> {
    Ok(match moment_or_span("date_trunc", given)? {
        DataType::Date32 => wall(),
        DataType::Time64(_) => {
            return plan_err!("`date_trunc` takes a date, a timestamp or an interval");
        }
        other => other,
    })
}

fn truncated_type(types: &[DataType]) -> Result<DataType> {
    types
        .get(1)
        .cloned()
        .ok_or_else(|| count_is("date_trunc", "a part and a moment", types.len()))
}

impl Part {
    fn start_of(self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
        let first = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1).map(midnight);
        // The first year of the century or millennium: 2001 begins both.
        let began = |length: i32| {
            let year = at.year();
            if year > 0 {
                (year - 1) / length * length + 1
            } else {
                -((length - 1 - year) / length * length) + 1
            }
        };
        match self {
            Self::Millennium => first(began(1000), 1),
            Self::Century => first(began(100), 1),
            Self::Decade => first(at.year().div_euclid(10) * 10, 1),
            Self::Year => first(at.year(), 1),
            Self::Quarter => first(at.year(), at.month0() / 3 * 3 + 1),
            Self::Month => first(at.year(), at.month()),
            Self::Week => at
                .date()
                .checked_sub_days(Days::new(u64::from(at.weekday().num_days_from_monday())))
                .map(midnight),
            Self::Day => Some(midnight(at.date())),
            _ => {
                let length = self.micros()?;
                let micros = at.and_utc().timestamp_micros();
                super::span::at(micros - micros.rem_euclid(length))
            }
        }
    }

    fn micros(self) -> Option<i64> {
        Some(match self {
            Self::Hour => DAY / 24,
            Self::Minute => DAY / 1440,
            Self::Second => 1_000_000,
            Self::Millisecond => 1_000,
            Self::Microsecond => 1,
            _ => return None,
        })
    }

    fn start_of_span(self, it: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
        let months =
            |length: i32| Some(IntervalMonthDayNano::new(it.months / length * length, 0, 0));
        match self {
            Self::Millennium => months(12_000),
            Self::Century => months(1_200),
            Self::Decade => months(120),
            Self::Year => months(12),
            Self::Quarter => months(3),
            Self::Month => months(1),
            Self::Day => Some(IntervalMonthDayNano::new(it.months, it.days, 0)),
            _ => {
                let length = self.micros()?.checked_mul(1_000)?;
                Some(IntervalMonthDayNano::new(
                    it.months,
                    it.days,
                    it.nanoseconds / length * length,
                ))
            }
        }
    }
}

fn truncated(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let names = as_string_array(argument(args, 0)?)?;
    let values = argument(args, 1)?;
    let zones = args
        .get(2)
        .map(|array| as_string_array(array))
        .transpose()?;
    let wrong = |name: &str| exec_datafusion_err!("`date_trunc` does not cut to `{name}`");
    let skipped = |row: usize| {
        names.is_null(row) || values.is_null(row) || zones.is_some_and(|zones| zones.is_null(row))
    };
    if let Some(spans) = values.as_primitive_opt::<IntervalMonthDayNanoType>() {
        let one = |row: usize| match skipped(row) {
            true => Ok(None),
            false => {
                let part: Part = names.value(row).parse()?;
                part.start_of_span(spans.value(row))
                    .map(Some)
                    .ok_or_else(|| wrong(names.value(row)))
            }
        };
        let all = (0..spans.len()).map(one).collect::<Result<Vec<_>>>()?;
        return Ok(Arc::new(IntervalMonthDayNanoArray::from(all)));
    }
    let micros = as_timestamp_microsecond_array(values)?;
    let one = |row: usize| -> Result<Option<i64>> {
        if skipped(row) {
            return Ok(None);
        }
        let part: Part = names.value(row).parse()?;
        let moved = |micros: i64| {
            at(micros)
                .and_then(|at| part.start_of(at))
                .map(|start| start.and_utc().timestamp_micros())
                .ok_or_else(|| wrong(names.value(row)))
        };
        match zones {
            None => moved(micros.value(row)).map(Some),
            Some(zones) => {
                let zone = super::zone::zone(zones.value(row))?;
                let there = super::zone::seen_there(
                    at(micros.value(row)).ok_or_else(|| wrong("a timestamp"))?,
                    zone,
                )?;
                let start = at(moved(there)?).ok_or_else(|| wrong("a timestamp"))?;
                super::zone::instant_of(start, zone).map(Some)
            }
        }
    };
    let all: TimestampMicrosecondArray = (0..micros.len()).map(one).collect::<Result<_>>()?;
    Ok(match to {
        DataType::Timestamp(_, Some(zone)) => Arc::new(all.with_timezone(Arc::clone(zone))),
        _ => Arc::new(all),
    })
}
