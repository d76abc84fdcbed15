//! Parses text to values: with the exact parsers of `vocab::text`, and dates and timestamps by a pattern.
//!
//! Promise: a value is exact or refused, also with a pattern. It knows no column and no NULL: see
//! `files/column.rs`; the type of a column without a declared type is inferred in `files/infer.rs`.

use super::local::DateOrder;

pub(crate) use towpath_vocab::text::{
    Moment, beyond_doubles, boolean, date, decimal, double, exact_double, exact_single, integer,
    single, timestamp, unsigned,
};

/// The formats of dates and timestamps that are not in ISO 8601 (patterns of `chrono`).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TimeFormats {
    pub(crate) date: Option<String>,
    pub(crate) timestamp: Option<String>,
    /// True if the pattern has an offset.
    pub(crate) offset: bool,
    /// Without a pattern: the order of day and month in dates that are not in ISO 8601.
    pub(crate) order: DateOrder,
}

impl TimeFormats {
    /// Formats by option.
    pub(crate) fn read(date: Option<String>, timestamp: Option<String>) -> Self {
        let offset = timestamp
            .as_deref()
            .is_some_and(|pattern| pattern.contains("%z") || pattern.contains("%:z"));
        Self {
            date,
            timestamp,
            offset,
            order: DateOrder::Dots,
        }
    }

    /// Days since 1970.
    #[inline]
    pub(crate) fn date(&self, text: &[u8]) -> Option<i32> {
        match &self.date {
            None => date(text).or_else(|| self.order.date(text)),
            Some(pattern) => {
                let date =
                    chrono::NaiveDate::parse_from_str(std::str::from_utf8(text).ok()?, pattern)
                        .ok()?;
                i32::try_from(
                    date.signed_duration_since(chrono::NaiveDate::default())
                        .num_days(),
                )
                .ok()
            }
        }
    }

    /// A point in time, by the user's pattern or in ISO 8601.
    #[inline]
    pub(crate) fn timestamp(&self, text: &[u8]) -> Option<Moment> {
        let Some(pattern) = &self.timestamp else {
            return timestamp(text).or_else(|| self.order.timestamp(text));
        };
        let text = std::str::from_utf8(text).ok()?;
        if self.offset {
            let moment = chrono::DateTime::parse_from_str(text, pattern).ok()?;
            whole_micros(moment.timestamp_subsec_nanos())?;
            return Some(Moment {
                micros: moment.timestamp_micros(),
                zoned: true,
            });
        }
        let moment = chrono::NaiveDateTime::parse_from_str(text, pattern)
            .ok()?
            .and_utc();
        whole_micros(moment.timestamp_subsec_nanos())?;
        Some(Moment {
            micros: moment.timestamp_micros(),
            zoned: false,
        })
    }
}

/// Parses a date of any year, as `towpath_ports::ExactValues` writes it: a year outside 0 to 9999 has a
/// sign.
pub(crate) fn far_date(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let mut parts = digits.split('-');
    let mut next = || parts.next()?.parse::<i64>().ok().filter(|part| *part >= 0);
    let (year, month, day) = (next()?, next()?, next()?);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && year < 10_000_000;
    if parts.next().is_some() || !fits {
        return None;
    }
    let year = if negative { -year } else { year } - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Parses a timestamp of any year, in microseconds since 1970.
pub(crate) fn far_moment(text: &str) -> Option<Moment> {
    let (day, clock) = text.split_once('T')?;
    // The time of day is parsed with a date whose year has four digits.
    let clock = timestamp(format!("1970-01-01T{clock}").as_bytes())?;
    let midnight = i128::from(far_date(day)?) * 86_400_000_000;
    Some(Moment {
        micros: i64::try_from(midnight + i128::from(clock.micros)).ok()?,
        zoned: clock.zoned,
    })
}

/// Seconds and nanoseconds of a time of day or a span: digits, with a fraction of up to nine.
pub(crate) fn seconds(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some((whole.parse().ok()?, nanos))
}

fn whole_micros(nanos: u32) -> Option<()> {
    nanos.is_multiple_of(1_000).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_any_year() {
        let all = [
            ("1970-01-01", 0),
            ("+010000-01-01", 2_932_897),
            ("0000-12-31", -719_163),
            ("+5881580-07-11", i64::from(i32::MAX)),
            ("-5877641-06-23", i64::from(i32::MIN)),
        ];
        for (text, days) in all {
            assert_eq!(far_date(text), Some(days), "{text}");
        }
        assert_eq!(far_date("-0044-03-15"), Some(-735_525));
        let moment = far_moment("+010000-01-01T00:00:00.000001Z");
        assert_eq!(moment.map(|at| at.micros), Some(253_402_300_800_000_001));
    }

    #[test]
    fn patterns_of_the_user() {
        let formats = TimeFormats::read(Some("%d/%m/%Y".into()), Some("%d.%m.%Y %H:%M".into()));
        assert_eq!(formats.date(b"03/02/2013"), date(b"2013-02-03"));
        assert_eq!(formats.date(b"2013-02-03"), None);
        assert_eq!(
            formats.timestamp(b"03.02.2013 07:30"),
            timestamp(b"2013-02-03T07:30:00")
        );
    }
}
