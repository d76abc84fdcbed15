//! One value of a cell as the text of a CSV field.
//!
//! Promise: a number, date, boolean or text is read back from it as the same value. Only texts are between
//! quotes, so that a text such as `1E5` is never taken for a number; an error of a formula is the text of
//! its name, such as `#N/A`. A text without a character is no value, as Excel shows it. It knows no rows:
//! see `stream.rs`.

use std::io::Write as _;

use calamine::{DataRef, ExcelDateTime};
use chrono::{Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _};

/// What ends a row. No cell of a workbook can have it outside quotes, and no text in XML at all.
pub(crate) const ROW_END: u8 = 0x1E;
/// What is between cells.
pub(super) const DELIMITER: u8 = b',';
const QUOTE: u8 = b'"';

/// From here on a number of days is no date of Excel: the first day of the year 10000.
const BEHIND_DAYS: f64 = 2_958_466.0;
/// So many days later does the calendar begin that old versions for the Macintosh wrote.
const LATER_DAYS: f64 = 1_462.0;
const DAY_MS: f64 = 86_400_000.0;
/// Behind this, doubles are no longer each whole number.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Which numbers of days are dates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calendar {
    pub(super) is_from_1904: bool,
}

impl Calendar {
    fn has(self, moment: &ExcelDateTime) -> bool {
        let later = if self.is_from_1904 { LATER_DAYS } else { 0.0 };
        moment.is_datetime() && (1.0..BEHIND_DAYS - later).contains(&moment.as_f64())
    }
}

/// Whether a cell has a value.
pub(super) fn is_filled(value: &DataRef<'_>) -> bool {
    match value {
        DataRef::Empty => false,
        DataRef::String(text) => !text.is_empty(),
        DataRef::SharedString(text) => !text.is_empty(),
        _ => true,
    }
}

/// Whether a number is so large that digits of it can be lost.
pub(super) fn is_rounded(value: &DataRef<'_>) -> bool {
    matches!(value, DataRef::Float(number) if number.abs() >= WHOLE)
}

/// Whether a cell is a date with a time of day.
pub(super) fn has_time(value: &DataRef<'_>, calendar: Calendar) -> bool {
    match value {
        DataRef::DateTime(moment) if calendar.has(moment) => {
            let (.., hour, minute, second, milli) = moment.to_ymd_hms_milli();
            (hour, minute, second, milli) != (0, 0, 0, 0)
        }
        DataRef::DateTimeIso(text) => iso(text).is_some_and(|at| at.time() != NaiveTime::MIN),
        _ => false,
    }
}

/// Writes a value; `with_time`: a date gets its time of day, as others in its column have one.
pub(super) fn write(value: &DataRef<'_>, calendar: Calendar, with_time: bool, out: &mut Vec<u8>) {
    match value {
        DataRef::Empty => {}
        DataRef::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        DataRef::Float(number) => out.extend_from_slice(float(*number).as_bytes()),
        DataRef::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        DataRef::DateTime(moment) => {
            out.extend_from_slice(date(moment, calendar, with_time).as_bytes());
        }
        DataRef::DateTimeIso(own) => match iso(own) {
            Some(at) if with_time => {
                out.extend_from_slice(at.format("%Y-%m-%d %H:%M:%S%.f").to_string().as_bytes());
            }
            Some(at) => out.extend_from_slice(at.format("%Y-%m-%d").to_string().as_bytes()),
            None => text(own, out),
        },
        DataRef::String(own) | DataRef::DurationIso(own) => text(own, out),
        DataRef::SharedString(shared) => text(shared, out),
        DataRef::Error(error) => text(&error.to_string(), out),
    }
}

/// The moment of a cell that has its date as text, such as `2026-01-28T13:45:00`; `None` for one with an
/// offset, or without a date.
fn iso(text: &str) -> Option<NaiveDateTime> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f");
    let at = at.ok().or_else(|| Some(day()?.and_time(NaiveTime::MIN)))?;
    // A leap second has no date of its own here.
    let is_plain = (1..=9999).contains(&at.year()) && at.nanosecond() < 1_000_000_000;
    is_plain.then_some(at)
}

/// A text, between quotes.
fn text(text: &str, out: &mut Vec<u8>) {
    out.push(QUOTE);
    for byte in text.bytes() {
        if byte == QUOTE {
            out.push(QUOTE);
        }
        out.push(byte);
    }
    out.push(QUOTE);
}

/// The shortest digits that are this number.
fn float(number: f64) -> String {
    match number == 0.0 {
        true => "0".to_owned(),
        false if (1e-5..WHOLE).contains(&number.abs()) => number.to_string(),
        false => format!("{number:e}"),
    }
}

fn date(moment: &ExcelDateTime, calendar: Calendar, with_time: bool) -> String {
    let days = moment.as_f64();
    let mut out = Vec::new();
    if !calendar.has(moment) {
        return match moment.is_duration() || (0.0..1.0).contains(&days) {
            true => clock(days),
            false => float(days),
        };
    }
    let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
    // Writing to a vector cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
    if with_time {
        let _ = write!(out, " {hour:02}:{minute:02}:{second:02}");
        if milli > 0 {
            let _ = write!(out, ".{milli:03}");
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A time of day or a length of time: hours, minutes, seconds.
fn clock(days: f64) -> String {
    let all = (days.abs() * DAY_MS).round();
    if all >= 9e15 {
        return float(days);
    }
    // Whole and below 2^53.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    let all = all as u64;
    let sign = if days < 0.0 { "-" } else { "" };
    let (seconds, milli) = (all / 1000, all % 1000);
    let (minutes, second) = (seconds / 60, seconds % 60);
    let (hour, minute) = (minutes / 60, minutes % 60);
    match milli {
        0 => format!("{sign}{hour:02}:{minute:02}:{second:02}"),
        _ => format!("{sign}{hour:02}:{minute:02}:{second:02}.{milli:03}"),
    }
}
