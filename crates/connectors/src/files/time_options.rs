//! The options `date_format` and `timestamp_format`: refused unless they read what they write.
//!
//! Promise: a format that passes reads dates, or timestamps. What a text is by it, `exact/read.rs` says.

use std::fmt::Write as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};
use towpath_vocab::strftime;

use super::error::FilesError;
use super::given_options::GivenOptions;
use super::value::TimeFormats;

/// Reads both options.
pub(super) fn times(given: &GivenOptions<'_>) -> Result<TimeFormats, FilesError> {
    let (date, timestamp) = (given.text("date_format")?, given.text("timestamp_format")?);
    let times = TimeFormats::read(date.clone(), timestamp.clone());
    let moment = moment();
    if let Some(format) = date {
        let reads = || times.date(written(moment.format(&format))?.as_bytes());
        check("date_format", &format, "date", || reads().is_some())?;
    }
    if let Some(format) = timestamp {
        let text = || match FixedOffset::east_opt(3600).filter(|_| times.offset) {
            Some(zone) => written(zone.from_utc_datetime(&moment).format(&format)),
            None => written(moment.format(&format)),
        };
        let reads = || times.timestamp(text()?.as_bytes());
        let is_read = || reads().is_some();
        check("timestamp_format", &format, "date with a time", is_read)?;
    }
    Ok(times)
}

/// The fifth of April 2003, in the evening.
fn moment() -> NaiveDateTime {
    let day = NaiveDate::from_ymd_opt(2003, 4, 5).unwrap_or_default();
    let time = NaiveTime::from_hms_opt(18, 7, 9).unwrap_or_default();
    NaiveDateTime::new(day, time)
}

/// A moment by a format; `None` if the format asks for what the moment does not have.
fn written(formatted: impl std::fmt::Display) -> Option<String> {
    let mut text = String::new();
    write!(text, "{formatted}").ok()?;
    Some(text)
}

fn check(
    option: &'static str,
    format: &str,
    what: &str,
    reads: impl FnOnce() -> bool,
) -> Result<(), FilesError> {
    let is_format = !StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
    if is_format && format.contains('%') && reads() {
        return Ok(());
    }
    let expected = match strftime::meant(format) {
        Some(meant) => {
            format!("the format of a {what}, as strftime has them: did you mean `{meant}`?")
        }
        None => format!(
            "the format of a {what}, as strftime has them: %Y year, %m month, %d day, %H hour, %M minute, %S second"
        ),
    };
    Err(FilesError::Option {
        option,
        value: format.to_owned(),
        expected,
    })
}
