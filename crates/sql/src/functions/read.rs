//! Parses text to a date, a time, a timestamp, a boolean or a number, as PostgreSQL does.
//!
//! Promise: surrounding blanks are ignored. A time may have no seconds; `24:00` is the next day; digits after
//! the microsecond are rounded. A zone is used only for timestamps with a zone. A month may be a word next to
//! a year of four digits. `infinity`, `now` and years before Christ are refused, not guessed. It does not
//! know columns. Read next: `text.rs`.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, StringArray, Time64NanosecondArray,
    TimestampMicrosecondArray,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use chrono::{NaiveDate, NaiveTime, Offset, TimeZone};
use datafusion_common::cast::as_string_array;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::span::DAY;

/// Parses text as a type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReadText {
    to: DataType,
    /// True if a text that does not parse is NULL.
    lenient: bool,
    signature: Signature,
}

/// True for types that Arrow parses differently.
pub(crate) fn is_read_otherwise(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32
            | DataType::Timestamp(..)
            | DataType::Boolean
            | DataType::Time64(TimeUnit::Nanosecond)
    ) || data_type.is_numeric()
}

/// The function that parses text as this type.
pub(crate) fn reader(to: &DataType, lenient: bool) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(ReadText {
        to: to.clone(),
        lenient,
        signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable),
    }))
}

impl ScalarUDFImpl for ReadText {
    fn name(&self) -> &str {
        "read_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        let texts = match args.args.first() {
            Some(value) => value.to_array(if scalar { 1 } else { args.number_rows })?,
            None => return datafusion_common::plan_err!("a text is missing"),
        };
        let values = self.read(as_string_array(&texts)?)?;
        match scalar {
            true => Ok(ColumnarValue::Scalar(
                datafusion_common::ScalarValue::try_from_array(&values, 0)?,
            )),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
}

impl ReadText {
    fn read(&self, texts: &StringArray) -> Result<ArrayRef> {
        Ok(match &self.to {
            DataType::Boolean => Arc::new(self.all::<bool, BooleanArray>(texts, truth)?),
            DataType::Date32 => Arc::new(self.all::<i32, Date32Array>(texts, |text| {
                // 24:00 is still that day.
                moment(text)?;
                let (day, _) = date(text.trim_matches(is_blank))?;
                let days = day.signed_duration_since(NaiveDate::default()).num_days();
                i32::try_from(days).ok()
            })?),
            DataType::Time64(TimeUnit::Nanosecond) => {
                Arc::new(self.all::<i64, Time64NanosecondArray>(texts, time_alone)?)
            }
            DataType::Timestamp(unit, zone) => {
                let with_zone = zone.is_some();
                let micros: TimestampMicrosecondArray = self.all(texts, |text| {
                    let moment = moment(text)?;
                    match with_zone {
                        true => moment.instant(),
                        false => Some(moment.wall),
                    }
                })?;
                let micros = match zone {
                    Some(zone) => micros.with_timezone(Arc::clone(zone)),
                    None => micros,
                };
                match unit {
                    TimeUnit::Microsecond => Arc::new(micros),
                    _ => self.converted(&(Arc::new(micros) as ArrayRef))?,
                }
            }
            to if to.is_integer() => self.numbers(texts, |text| whole(text).map(str::to_owned))?,
            to if to.is_floating() => self.numbers(texts, fraction)?,
            _ => self.numbers(texts, digits_of_number)?,
        })
    }

    fn all<T, A: FromIterator<Option<T>>>(
        &self,
        texts: &StringArray,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<A> {
        texts
            .iter()
            .map(|text| match text {
                None => Ok(None),
                Some(text) => match read(text) {
                    None if !self.lenient => Err(self.wrong(text)),
                    value => Ok(value),
                },
            })
            .collect()
    }

    fn wrong(&self, text: &str) -> DataFusionError {
        let name = towpath_vocab::types::name(&self.to);
        let why = match (text.trim_matches(is_blank), &self.to) {
            ("infinity" | "-infinity", DataType::Date32 | DataType::Timestamp(..)) => {
                "; no date is infinite here, the last one is 9999-12-31"
            }
            _ => "",
        };
        DataFusionError::ArrowError(
            Box::new(arrow_schema::ArrowError::CastError(format!(
                "`{text}` is not a valid {name}{why}"
            ))),
            None,
        )
    }

    /// Parses numbers with Arrow, after checking that PostgreSQL allows their form.
    fn numbers(
        &self,
        texts: &StringArray,
        form: impl Fn(&str) -> Option<String>,
    ) -> Result<ArrayRef> {
        let clean: StringArray = self.all(texts, form)?;
        self.converted(&(Arc::new(clean) as ArrayRef))
    }

    fn converted(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let options = CastOptions {
            safe: self.lenient,
            ..CastOptions::default()
        };
        Ok(cast_with_options(values, &self.to, &options)?)
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

fn truth(text: &str) -> Option<bool> {
    let word = text.trim_matches(is_blank).to_ascii_lowercase();
    let starts = |whole: &str| !word.is_empty() && whole.starts_with(&word);
    match word.as_str() {
        "1" | "on" => Some(true),
        "0" | "off" | "of" => Some(false),
        _ if starts("true") || starts("yes") => Some(true),
        _ if starts("false") || starts("no") => Some(false),
        _ => None,
    }
}

/// Parses digits with a sign.
fn whole(text: &str) -> Option<&str> {
    let text = text.trim_matches(is_blank);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.strip_prefix('+').unwrap_or(text))
}

/// The digits of a number with blanks around it and perhaps an exponent.
pub(super) fn digits_of_number(text: &str) -> Option<String> {
    let digits = text.trim_matches(is_blank);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    is_number.then(|| plain(digits)).flatten()
}

/// Writes a number without an exponent: `1.5e3` as `1500`.
fn plain(text: &str) -> Option<String> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return Some(text.to_owned());
    };
    let exponent: i32 = exponent
        .parse()
        .ok()
        .filter(|size: &i32| size.abs() <= 100)?;
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let length = i32::try_from(digits.len()).ok()?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    Some(if point <= 0 {
        format!("{sign}0.{}{digits}", zeros(-point))
    } else if point >= length {
        format!("{sign}{digits}{}", zeros(point - length))
    } else {
        let (whole, part) = digits.split_at(usize::try_from(point).ok()?);
        format!("{sign}{whole}.{part}")
    })
}

fn fraction(text: &str) -> Option<String> {
    let text = text.trim_matches(is_blank);
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let word = match rest.to_ascii_lowercase().as_str() {
        "nan" if text == rest => "NaN",
        "inf" | "infinity" => "inf",
        _ if rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') => rest,
        _ => return None,
    };
    Some(format!("{sign}{word}"))
}

/// A parsed timestamp: its local time, and its offset from UTC.
struct Written {
    /// The local time in microseconds since 1970.
    wall: i64,
    zone: Zone,
}

enum Zone {
    Missing,
    Offset(i64),
    Named(chrono_tz::Tz),
}

impl Written {
    fn instant(&self) -> Option<i64> {
        match self.zone {
            Zone::Missing => Some(self.wall),
            Zone::Offset(micros) => self.wall.checked_sub(micros),
            Zone::Named(zone) => {
                let wall = super::span::at(self.wall)?;
                let offset = zone.offset_from_local_datetime(&wall).earliest()?.fix();
                let micros = i64::from(offset.local_minus_utc()) * 1_000_000;
                self.wall.checked_sub(micros)
            }
        }
    }
}

fn moment(text: &str) -> Option<Written> {
    let text = text.trim_matches(is_blank);
    let (date, rest) = date(text)?;
    let midnight = date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    let rest = match rest.strip_prefix(['T', 't']) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        Some(_) => return None,
        None => match rest.strip_prefix(is_blank) {
            Some(rest) => rest.trim_start_matches(is_blank),
            None if rest.is_empty() => {
                return Some(Written {
                    wall: midnight,
                    zone: Zone::Missing,
                });
            }
            None => return None,
        },
    };
    let (time, rest) = time(rest)?;
    Some(Written {
        wall: midnight.checked_add(time)?,
        zone: zone(rest)?,
    })
}

/// `2024-2-3`, `2024/02/03`, `20240203` or a date with the name of its month, and what follows.
fn date(text: &str) -> Option<(NaiveDate, &str)> {
    named_date(text).or_else(|| numbered_date(text))
}

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn month(word: &str) -> Option<u32> {
    let word = word.to_ascii_lowercase();
    let is_named = |name: &str| word == name || name.get(..3) == Some(word.as_str());
    let at = match word.as_str() {
        "sept" => 8,
        _ => MONTHS.iter().position(|name| is_named(name))?,
    };
    u32::try_from(at + 1).ok()
}

/// `8 Jan 1999`, `January 8, 1999` or `1999-Jan-08`, and what follows.
fn named_date(text: &str) -> Option<(NaiveDate, &str)> {
    let mut rest = text;
    let mut parts = [""; 3];
    for (at, part) in parts.iter_mut().enumerate() {
        if at > 0 {
            let between = rest.trim_start_matches(|c: char| is_blank(c) || "-/,.".contains(c));
            // Words and numbers may also stand together: `8Jan1999`.
            rest = between;
        }
        let is_word = rest.starts_with(|c: char| c.is_ascii_alphabetic());
        let same = |c: char| c.is_ascii_alphabetic() == is_word && c.is_ascii_alphanumeric();
        let end = rest.find(|c: char| !same(c)).unwrap_or(rest.len());
        (*part, rest) = rest.split_at_checked(end)?;
    }
    let (year, name, day) = match parts {
        [day, name, year] if month(name).is_some() && year.len() == 4 => (year, name, day),
        [year, name, day] if month(name).is_some() && year.len() == 4 => (year, name, day),
        [name, day, year] if month(name).is_some() && year.len() == 4 => (year, name, day),
        _ => return None,
    };
    if day.len() > 2 {
        return None;
    }
    let (year, day): (i32, u32) = (year.parse().ok()?, day.parse().ok()?);
    let date = NaiveDate::from_ymd_opt(year, month(name)?, day)?;
    (year > 0).then_some((date, rest))
}

fn numbered_date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = digits(text)?;
    if year.len() == 8 {
        let date = NaiveDate::from_ymd_opt(
            year.get(..4)?.parse().ok()?,
            year.get(4..6)?.parse().ok()?,
            year.get(6..)?.parse().ok()?,
        )?;
        return Some((date, rest));
    }
    if year.len() < 4 {
        return None;
    }
    let between = rest.chars().next().filter(|c| matches!(c, '-' | '/'))?;
    let (month, rest) = digits(rest.strip_prefix(between)?)?;
    let (day, rest) = digits(rest.strip_prefix(between)?)?;
    if month.len() > 2 || day.len() > 2 {
        return None;
    }
    let year: i32 = year.parse().ok()?;
    if year < 1 {
        return None;
    }
    Some((
        NaiveDate::from_ymd_opt(year, month.parse().ok()?, day.parse().ok()?)?,
        rest,
    ))
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    if end == 0 {
        None
    } else {
        text.split_at_checked(end)
    }
}

/// Microseconds of `10:15[:30[.5]]`, and what follows.
fn time(text: &str) -> Option<(i64, &str)> {
    let number = |text: &str| -> Option<i64> {
        if text.len() > 2 {
            None
        } else {
            text.parse().ok()
        }
    };
    let (hour, rest) = digits(text)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?)?;
    let (hour, minute) = (number(hour)?, number(minute)?);
    let (second, part, rest) = match rest.strip_prefix(':') {
        None => (0, 0, rest),
        Some(rest) => {
            let (second, rest) = digits(rest)?;
            match rest.strip_prefix('.') {
                None => (number(second)?, 0, rest),
                Some(rest) => {
                    let (part, rest) = digits(rest).unwrap_or(("", rest));
                    (number(second)?, micros(part)?, rest)
                }
            }
        }
    };
    let total = ((hour * 60 + minute) * 60 + second) * 1_000_000 + part;
    let fits = minute < 60 && second <= 60 && total <= DAY;
    fits.then_some((total, rest))
}

/// Parses the digits after the point, rounded to microseconds.
fn micros(part: &str) -> Option<i64> {
    let value: f64 = format!("0.{part}0").parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and a million")]
    let micros = (value * 1_000_000.0).round_ties_even() as i64;
    Some(micros)
}

/// Parses what may follow a time.
fn zone(text: &str) -> Option<Zone> {
    let text = text.trim_matches(is_blank);
    if text.is_empty() {
        return Some(Zone::Missing);
    }
    if text.eq_ignore_ascii_case("z")
        || text.eq_ignore_ascii_case("utc")
        || text.eq_ignore_ascii_case("gmt")
    {
        return Some(Zone::Offset(0));
    }
    if let Some(rest) = text.strip_prefix(['+', '-']) {
        let (hours, rest) = digits(rest)?;
        let (hours, minutes) = match (hours.len(), rest.strip_prefix(':')) {
            (1 | 2, None) if rest.is_empty() => (hours, "0"),
            (4, None) if rest.is_empty() => hours.split_at_checked(2)?,
            (1 | 2, Some(minutes)) => (hours, minutes),
            _ => return None,
        };
        let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
        let size = (hours * 60 + minutes) * 60_000_000;
        let valid = hours < 16 && minutes < 60;
        let sign = if text.starts_with('-') { -1 } else { 1 };
        return valid.then_some(Zone::Offset(size * sign));
    }
    text.parse().ok().map(Zone::Named)
}

/// A time of day in nanoseconds; a date before it is ignored.
fn time_alone(text: &str) -> Option<i64> {
    let text = text.trim_matches(is_blank);
    let rest = match numbered_date(text) {
        Some((_, rest)) => rest.strip_prefix(is_blank)?.trim_start_matches(is_blank),
        None => text,
    };
    let (micros, rest) = time(rest)?;
    zone(rest)?;
    // This type cannot represent 24:00.
    (micros < DAY).then_some(micros * 1_000)
}

/// Parses a timestamp, for tests of other modules.
#[cfg(test)]
pub(super) fn reads(text: &str) -> Option<chrono::NaiveDateTime> {
    super::span::at(moment(text)?.wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_have_no_seconds() {
        for (text, wanted) in [
            ("2024-02-29 10:15", Some("2024-02-29T10:15:00")),
            ("2024-2-3T1:05:06.5Z", Some("2024-02-03T01:05:06.500")),
            ("2024-02-29 24:00", Some("2024-03-01T00:00:00")),
            ("20240229", Some("2024-02-29T00:00:00")),
            ("29 Feb 2024", Some("2024-02-29T00:00:00")),
            ("february 29, 2024 10:15", Some("2024-02-29T10:15:00")),
            ("2024-FEB-29", Some("2024-02-29T00:00:00")),
            ("Sept 3 2024", Some("2024-09-03T00:00:00")),
            ("29-Fev-2024", None),
            ("29 Feb 24", None),
            ("infinity", None),
            ("2024-02-30", None),
            ("2024-02-29 10", None),
            ("2024-02-29x", None),
            ("", None),
        ] {
            let wanted = wanted.and_then(|text| text.parse().ok());
            assert_eq!(reads(text), wanted, "{text}");
        }
    }
}
