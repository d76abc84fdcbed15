//! Arithmetic with dates, timestamps and intervals, with PostgreSQL's results.
//!
//! Promise: an interval has months, days and a time, and each part is added separately. The difference of two
//! timestamps has days and a time, never months. For comparisons a month has 30 days and a day 24 hours. It does
//! not know how intervals are written. Read next: `text.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{IntervalMonthDayNano, IntervalMonthDayNanoType};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Int32Array, IntervalMonthDayNanoArray,
    TimestampMicrosecondArray,
};
use arrow_cast::cast;
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use chrono::{DateTime, Days, Months, NaiveDateTime, TimeDelta};
use datafusion_common::cast::{
    as_date32_array, as_float64_array, as_int64_array, as_timestamp_microsecond_array,
};
use datafusion_common::{DataFusionError, Result, exec_datafusion_err, plan_err};
use datafusion_expr::ScalarUDF;

use super::define::{also, argument, count_is, define, operator};

/// The names of functions in place of operators.
pub(crate) const MOMENT_MINUS: &str = "moment_minus";
pub(crate) const MOMENT_PLUS: &str = "moment_plus";
pub(crate) const MOMENT_BACK: &str = "moment_back";
pub(crate) const DAYS_PLUS: &str = "days_plus";
pub(crate) const DAYS_MINUS: &str = "days_minus";
pub(crate) const DAYS_BETWEEN: &str = "days_between";
pub(crate) const INTERVAL_PLUS: &str = "interval_plus";
pub(crate) const INTERVAL_MINUS: &str = "interval_minus";
pub(crate) const INTERVAL_TIMES: &str = "interval_times";
pub(crate) const INTERVAL_DIVIDE: &str = "interval_divide";
pub(crate) const INTERVAL_KEY: &str = "interval_key";

pub(crate) const DAY: i64 = 86_400_000_000;
/// The first day of PostgreSQL's calendar, in 4714 before Christ.
const EARLIEST: i64 = -210_866_803_200_000_000;

/// The type of every interval.
pub(crate) fn span() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

pub(super) fn wall() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut all = of_moments();
    all.extend(of_intervals());
    all.extend(by_name());
    all
}

/// The functions for `+` and `-` of dates and timestamps.
fn of_moments() -> Vec<Arc<ScalarUDF>> {
    vec![
        operator(
            MOMENT_MINUS,
            "-",
            |_| Ok(vec![wall(), wall()]),
            |_| Ok(span()),
            moment_minus,
        ),
        operator(
            MOMENT_PLUS,
            "+",
            moment_and_span,
            moment_type,
            |args, to| shifted(args, to, 1),
        ),
        operator(
            MOMENT_BACK,
            "-",
            moment_and_span,
            moment_type,
            |args, to| shifted(args, to, -1),
        ),
        operator(
            DAYS_PLUS,
            "+",
            day_and_count,
            |_| Ok(DataType::Date32),
            |args, _| days(args, 1),
        ),
        operator(
            DAYS_MINUS,
            "-",
            day_and_count,
            |_| Ok(DataType::Date32),
            |args, _| days(args, -1),
        ),
        operator(
            DAYS_BETWEEN,
            "-",
            |_| Ok(vec![DataType::Date32, DataType::Date32]),
            |_| Ok(DataType::Int32),
            between,
        ),
    ]
}

/// The functions for operators of intervals.
fn of_intervals() -> Vec<Arc<ScalarUDF>> {
    vec![
        operator(
            INTERVAL_PLUS,
            "+",
            |_| Ok(vec![span(), span()]),
            |_| Ok(span()),
            |args, _| summed(args, 1),
        ),
        operator(
            INTERVAL_MINUS,
            "-",
            |_| Ok(vec![span(), span()]),
            |_| Ok(span()),
            |args, _| summed(args, -1),
        ),
        operator(
            INTERVAL_TIMES,
            "*",
            |_| Ok(vec![span(), DataType::Float64]),
            |_| Ok(span()),
            |args, _| scaled(args, times),
        ),
        operator(
            INTERVAL_DIVIDE,
            "/",
            |_| Ok(vec![span(), DataType::Float64]),
            |_| Ok(span()),
            |args, _| scaled(args, divided),
        ),
        define(
            INTERVAL_KEY,
            |_| Ok(vec![span()]),
            |_| Ok(DataType::Decimal128(38, 0)),
            |args, _| keys(args),
        ),
    ]
}

/// The functions that users call by name.
fn by_name() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(
            "justify_hours",
            one_span,
            |_| Ok(span()),
            |args, _| each(args, justify_hours),
        ),
        define(
            "justify_days",
            one_span,
            |_| Ok(span()),
            |args, _| each(args, justify_days),
        ),
        define(
            "justify_interval",
            one_span,
            |_| Ok(span()),
            |args, _| each(args, justify_interval),
        ),
        also(
            "make_interval",
            &[],
            parts_of_span,
            |_| Ok(span()),
            |args, _| made(args),
        ),
        define("age", two_moments, |_| Ok(span()), |args, _| ages(args)),
    ]
}

fn one_span(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [only] if *only == span() || only.is_null() => Ok(vec![span()]),
        [only] => plan_err!("an interval is expected, here is {only}"),
        _ => Err(count_is("justify_…", "one interval", types.len())),
    }
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..)) || data_type.is_null()
}

fn two_moments(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [a, b] if is_moment(a) && is_moment(b) => Ok(vec![wall(), wall()]),
        [_, _] => plan_err!("`age` takes two timestamps"),
        _ => plan_err!("`age` takes two timestamps here; write `age(current_date, x)`"),
    }
}

fn moment_and_span(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![moment_type(types)?, span()])
}

/// The type of a moment: a date becomes a timestamp, a zone stays.
fn moment_type(types: &[DataType]) -> Result<DataType> {
    Ok(match types.first() {
        Some(DataType::Timestamp(_, zone)) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        _ => wall(),
    })
}

fn day_and_count(_: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Date32, DataType::Int64])
}

fn parts_of_span(types: &[DataType]) -> Result<Vec<DataType>> {
    if types.len() > 7 {
        return Err(count_is("make_interval", "up to 7 numbers", types.len()));
    }
    let mut wanted = vec![DataType::Int64; types.len()];
    if let Some(seconds) = wanted.get_mut(6) {
        *seconds = DataType::Float64;
    }
    Ok(wanted)
}

fn out_of_range(what: &str) -> DataFusionError {
    exec_datafusion_err!("{what} is out of range")
}

/// Days and microseconds, with the same sign.
fn days_and_time(micros: i64) -> Option<IntervalMonthDayNano> {
    let days = i32::try_from(micros / DAY).ok()?;
    Some(IntervalMonthDayNano::new(0, days, micros % DAY * 1_000))
}

fn moment_minus(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let left = as_timestamp_microsecond_array(argument(args, 0)?)?;
    let right = as_timestamp_microsecond_array(argument(args, 1)?)?;
    let all = left.iter().zip(right).map(|pair| match pair {
        (Some(a), Some(b)) => a
            .checked_sub(b)
            .and_then(days_and_time)
            .map(Some)
            .ok_or_else(|| out_of_range("the interval between two timestamps")),
        _ => Ok(None),
    });
    Ok(Arc::new(
        all.collect::<Result<IntervalMonthDayNanoArray>>()?,
    ))
}

pub(super) fn at(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

/// Moves a moment by months, days and microseconds; a day that a month does not have becomes its last day.
fn moved(micros: i64, by: IntervalMonthDayNano, sign: i32) -> Option<i64> {
    let (months, days) = (by.months.checked_mul(sign)?, by.days.checked_mul(sign)?);
    let time = (by.nanoseconds / 1_000).checked_mul(i64::from(sign))?;
    let mut moment = at(micros)?;
    let size = Months::new(months.unsigned_abs());
    moment = match months < 0 {
        true => moment.checked_sub_months(size)?,
        false => moment.checked_add_months(size)?,
    };
    let size = Days::new(u64::from(days.unsigned_abs()));
    moment = match days < 0 {
        true => moment.checked_sub_days(size)?,
        false => moment.checked_add_days(size)?,
    };
    moment = moment.checked_add_signed(TimeDelta::microseconds(time))?;
    Some(moment.and_utc().timestamp_micros()).filter(|micros| *micros >= EARLIEST)
}

fn shifted(args: &[ArrayRef], to: &DataType, sign: i32) -> Result<ArrayRef> {
    let moments = cast(argument(args, 0)?, &wall())?;
    let moments = as_timestamp_microsecond_array(&moments)?;
    let spans = argument(args, 1)?.as_primitive::<IntervalMonthDayNanoType>();
    let all = moments.iter().zip(spans).map(|pair| match pair {
        (Some(micros), Some(by)) => moved(micros, by, sign)
            .map(Some)
            .ok_or_else(|| out_of_range("the timestamp")),
        _ => Ok(None),
    });
    let all = all.collect::<Result<TimestampMicrosecondArray>>()?;
    Ok(match to {
        DataType::Timestamp(_, Some(zone)) => Arc::new(all.with_timezone(Arc::clone(zone))),
        _ => Arc::new(all),
    })
}

fn days(args: &[ArrayRef], sign: i64) -> Result<ArrayRef> {
    let dates = as_date32_array(argument(args, 0)?)?;
    let counts = as_int64_array(argument(args, 1)?)?;
    let all = dates.iter().zip(counts).map(|pair| match pair {
        (Some(date), Some(count)) => count
            .checked_mul(sign)
            .and_then(|count| count.checked_add(i64::from(date)))
            .and_then(|day| i32::try_from(day).ok())
            .filter(|day| (-2_440_588..=106_741_034).contains(day))
            .map(Some)
            .ok_or_else(|| out_of_range("the date")),
        _ => Ok(None),
    });
    Ok(Arc::new(all.collect::<Result<arrow_array::Date32Array>>()?))
}

fn between(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let (a, b) = (
        as_date32_array(argument(args, 0)?)?,
        as_date32_array(argument(args, 1)?)?,
    );
    let all = a.iter().zip(b).map(|pair| match pair {
        (Some(a), Some(b)) => a
            .checked_sub(b)
            .map(Some)
            .ok_or_else(|| out_of_range("the days between two dates")),
        _ => Ok(None),
    });
    Ok(Arc::new(all.collect::<Result<Int32Array>>()?))
}

fn spans(args: &[ArrayRef], place: usize) -> Result<&IntervalMonthDayNanoArray> {
    Ok(argument(args, place)?.as_primitive::<IntervalMonthDayNanoType>())
}

/// The sum of two intervals, part by part.
pub(super) fn sum(
    a: IntervalMonthDayNano,
    b: IntervalMonthDayNano,
) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(
        a.months.checked_add(b.months)?,
        a.days.checked_add(b.days)?,
        a.nanoseconds.checked_add(b.nanoseconds)?,
    ))
}

fn negated(it: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(
        it.months.checked_neg()?,
        it.days.checked_neg()?,
        it.nanoseconds.checked_neg()?,
    ))
}

fn summed(args: &[ArrayRef], sign: i32) -> Result<ArrayRef> {
    let all = spans(args, 0)?
        .iter()
        .zip(spans(args, 1)?)
        .map(|pair| match pair {
            (Some(a), Some(b)) => (if sign < 0 { negated(b) } else { Some(b) })
                .and_then(|b| sum(a, b))
                .map(Some)
                .ok_or_else(|| out_of_range("the interval")),
            _ => Ok(None),
        });
    Ok(Arc::new(
        all.collect::<Result<IntervalMonthDayNanoArray>>()?,
    ))
}

fn scaled(
    args: &[ArrayRef],
    by: fn(IntervalMonthDayNano, f64) -> Result<IntervalMonthDayNano>,
) -> Result<ArrayRef> {
    let factors = as_float64_array(argument(args, 1)?)?;
    let all = spans(args, 0)?.iter().zip(factors).map(|pair| match pair {
        (Some(it), Some(factor)) => by(it, factor).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(
        all.collect::<Result<IntervalMonthDayNanoArray>>()?,
    ))
}

/// Rounds to microseconds of a second or day.
fn to_micros(value: f64) -> f64 {
    (value * 1_000_000.0).round_ties_even() / 1_000_000.0
}

/// Carries fractions: a fraction of a month becomes days, and a fraction of a day becomes time.
fn spread(months: f64, days: f64, micros: f64) -> Result<IntervalMonthDayNano> {
    let wrong = || out_of_range("the interval");
    let whole = |value: f64| -> Result<i32> {
        let inside = value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX);
        // Inside, and without a fraction.
        #[expect(clippy::cast_possible_truncation, reason = "checked")]
        let number = value.trunc() as i32;
        if inside { Ok(number) } else { Err(wrong()) }
    };
    let (month, mut day) = (whole(months)?, whole(days)?);
    let month_days = to_micros((months - f64::from(month)) * 30.0);
    let mut seconds =
        to_micros((days - f64::from(day) + month_days - month_days.trunc()) * 86_400.0);
    if seconds.abs() >= 86_400.0 {
        let more = whole(seconds / 86_400.0)?;
        day = day.checked_add(more).ok_or_else(wrong)?;
        seconds -= f64::from(more) * 86_400.0;
    }
    day = day.checked_add(whole(month_days)?).ok_or_else(wrong)?;
    let time = (micros + seconds * 1_000_000.0).round_ties_even();
    if time.is_nan() || time.abs() >= 9.2e15 {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked")]
    let time = time as i64;
    Ok(IntervalMonthDayNano::new(month, day, time * 1_000))
}

fn parts(it: IntervalMonthDayNano) -> (f64, f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "as PostgreSQL does")]
    let micros = (it.nanoseconds / 1_000) as f64;
    (f64::from(it.months), f64::from(it.days), micros)
}

fn times(it: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    let (months, days, micros) = parts(it);
    spread(months * factor, days * factor, micros * factor)
}

pub(super) fn divided(it: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    if factor == 0.0 {
        return Err(DataFusionError::ArrowError(
            Box::new(arrow_schema::ArrowError::DivideByZero),
            None,
        ));
    }
    let (months, days, micros) = parts(it);
    spread(months / factor, days / factor, micros / factor)
}

/// The length in microseconds, with months of 30 days, by which intervals are compared.
pub(super) fn key(it: IntervalMonthDayNano) -> i128 {
    let days = i128::from(it.months) * 30 + i128::from(it.days);
    days * i128::from(DAY) + i128::from(it.nanoseconds / 1_000)
}

fn keys(args: &[ArrayRef]) -> Result<ArrayRef> {
    let all: Decimal128Array = spans(args, 0)?.iter().map(|it| it.map(key)).collect();
    Ok(Arc::new(all.with_precision_and_scale(38, 0)?))
}

fn each(
    args: &[ArrayRef],
    change: fn(IntervalMonthDayNano) -> Option<IntervalMonthDayNano>,
) -> Result<ArrayRef> {
    let all = spans(args, 0)?.iter().map(|it| match it {
        Some(it) => change(it)
            .map(Some)
            .ok_or_else(|| out_of_range("the interval")),
        None => Ok(None),
    });
    Ok(Arc::new(
        all.collect::<Result<IntervalMonthDayNanoArray>>()?,
    ))
}

fn justify_hours(it: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let micros = it.nanoseconds / 1_000;
    let mut days = it.days.checked_add(i32::try_from(micros / DAY).ok()?)?;
    let mut time = micros % DAY;
    if days > 0 && time < 0 {
        (days, time) = (days - 1, time + DAY);
    } else if days < 0 && time > 0 {
        (days, time) = (days + 1, time - DAY);
    }
    Some(IntervalMonthDayNano::new(it.months, days, time * 1_000))
}

fn justify_days(it: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let mut months = it.months.checked_add(it.days / 30)?;
    let mut days = it.days % 30;
    if months > 0 && days < 0 {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && days > 0 {
        (months, days) = (months + 1, days - 30);
    }
    Some(IntervalMonthDayNano::new(months, days, it.nanoseconds))
}

/// Gives all parts one sign, with months of 30 days and days of 24 hours.
fn justify_interval(it: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let it = IntervalMonthDayNano::new(it.months, it.days, it.nanoseconds / 1_000);
    let mut days = it
        .days
        .checked_add(i32::try_from(it.nanoseconds / DAY).ok()?)?;
    let mut time = it.nanoseconds % DAY;
    let mut months = it.months.checked_add(days / 30)?;
    days %= 30;
    if months > 0 && (days < 0 || (days == 0 && time < 0)) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days > 0 || (days == 0 && time > 0)) {
        (months, days) = (months + 1, days - 30);
    }
    if days > 0 && time < 0 {
        (days, time) = (days - 1, time + DAY);
    } else if days < 0 && time > 0 {
        (days, time) = (days + 1, time - DAY);
    }
    Some(IntervalMonthDayNano::new(months, days, time * 1_000))
}

/// `make_interval`: years, months, weeks, days, hours, minutes, seconds.
fn made(args: &[ArrayRef]) -> Result<ArrayRef> {
    let rows = args.first().map_or(1, |array| array.len());
    let one = |row: usize| -> Result<Option<IntervalMonthDayNano>> {
        let mut numbers = [0_i64; 6];
        for (place, number) in numbers.iter_mut().enumerate() {
            if let Some(array) = args.get(place) {
                if array.is_null(row) {
                    return Ok(None);
                }
                *number = as_int64_array(array)?.value(row);
            }
        }
        let seconds = match args.get(6) {
            Some(array) if array.is_null(row) => return Ok(None),
            Some(array) => as_float64_array(array)?.value(row),
            None => 0.0,
        };
        let [years, months, weeks, days, hours, minutes] = numbers;
        let whole = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
        let rest = spread(0.0, 0.0, seconds * 1_000_000.0)?;
        let time = hours
            .checked_mul(3_600_000_000_000)
            .zip(minutes.checked_mul(60_000_000_000))
            .and_then(|(hours, minutes)| hours.checked_add(minutes)?.checked_add(rest.nanoseconds));
        let months = whole(
            years
                .checked_mul(12)
                .and_then(|all| all.checked_add(months)),
        );
        let days = whole(weeks.checked_mul(7).and_then(|all| all.checked_add(days)));
        match (months, days, time) {
            (Some(months), Some(days), Some(time)) => {
                Ok(Some(IntervalMonthDayNano::new(months, days, time)))
            }
            _ => Err(out_of_range("the interval")),
        }
    };
    let all = (0..rows).map(one).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(IntervalMonthDayNanoArray::from(all)))
}

/// `age`: years and months between two moments, then days, then time, by the calendar.
fn age(a: i64, b: i64) -> Option<IntervalMonthDayNano> {
    use chrono::Datelike;
    let (later, earlier, sign) = if a < b {
        (at(b)?, at(a)?, -1)
    } else {
        (at(a)?, at(b)?, 1)
    };
    let mut months = (later.year() - earlier.year()) * 12 + i32::try_from(later.month()).ok()?
        - i32::try_from(earlier.month()).ok()?;
    let mut days = i32::try_from(later.day()).ok()? - i32::try_from(earlier.day()).ok()?;
    let of_day = |at: NaiveDateTime| at.and_utc().timestamp_micros().rem_euclid(DAY);
    let mut time = of_day(later) - of_day(earlier);
    if time < 0 {
        time += DAY;
        days -= 1;
    }
    while days < 0 {
        // The month that is broken into days is the earlier one.
        let first = earlier.date().with_day(1)?;
        let next = first.checked_add_months(Months::new(1))?;
        days += i32::try_from(next.signed_duration_since(first).num_days()).ok()?;
        months -= 1;
    }
    Some(IntervalMonthDayNano::new(
        months * sign,
        days * sign,
        time * i64::from(sign) * 1_000,
    ))
}

fn ages(args: &[ArrayRef]) -> Result<ArrayRef> {
    let a = as_timestamp_microsecond_array(argument(args, 0)?)?;
    let b = as_timestamp_microsecond_array(argument(args, 1)?)?;
    let all = a.iter().zip(b).map(|pair| match pair {
        (Some(a), Some(b)) => age(a, b)
            .map(Some)
            .ok_or_else(|| out_of_range("the interval")),
        _ => Ok(None),
    });
    Ok(Arc::new(
        all.collect::<Result<IntervalMonthDayNanoArray>>()?,
    ))
}
