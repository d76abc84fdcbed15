//! Time zones of the IANA database, which is part of the program, and what a local time means in one.
//!
//! Promise: a local time that the clock skips or repeats becomes the moments that the rules say, in their
//! order; all machines with this version agree. It reads no file. Read next: `timetable.rs`.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use towpath_vocab::{DstGap, DstOverlap};

use crate::error::ScheduleError;

/// A time zone by its name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let found = TimeZoneDatabase::bundled().get(name);
    found.map_err(|_| ScheduleError::Zone(name.to_owned()))
}

/// The names of all time zones.
pub fn zone_names() -> Vec<String> {
    let all = TimeZoneDatabase::bundled();
    all.available().map(|name| name.to_string()).collect()
}

/// A moment in a zone, with its distance from UTC: `2026-03-29 03:00 +02:00`. Seconds only where there are some.
pub fn local_text(us: i64, zone_name: &str) -> String {
    let (Ok(at), Ok(zone)) = (Timestamp::from_microsecond(us), zone(zone_name)) else {
        return us.to_string();
    };
    let local = zone.to_datetime(at);
    let offset = zone.to_offset(at).seconds();
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    let seconds = match (local.second(), local.subsec_nanosecond()) {
        (0, 0) => String::new(),
        (seconds, _) => format!(":{seconds:02}"),
    };
    format!(
        "{} {:02}:{:02}{seconds} {sign}{:02}:{:02}",
        local.date(),
        local.hour(),
        local.minute(),
        minutes / 60,
        minutes % 60
    )
}

/// The moment of `2026-01-01` (its first one) or `2026-01-01 06:30` in a zone; `None` when it is neither.
///
/// # Errors
/// When there is no such zone.
pub fn local_time_us(text: &str, zone_name: &str) -> Result<Option<i64>, ScheduleError> {
    let zone = zone(zone_name)?;
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let local = match date {
        Some(date) => Some(date.to_datetime(Time::midnight())),
        None => text.parse::<DateTime>().ok(),
    };
    Ok(local.and_then(|local| first_us(&zone, local)))
}

/// The last moment that belongs to a day in a zone, which is the first one of the next day; `None` when
/// the text is not a date.
///
/// # Errors
/// When there is no such zone.
pub fn local_date_us(text: &str, zone_name: &str) -> Result<Option<i64>, ScheduleError> {
    let zone = zone(zone_name)?;
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let next = date.and_then(|date| date.tomorrow().ok());
    Ok(next.and_then(|next| first_us(&zone, next.to_datetime(Time::midnight()))))
}

fn first_us(zone: &TimeZone, local: DateTime) -> Option<i64> {
    let [first, _] = moments(zone, local, DstGap::Shift, DstOverlap::First);
    first.map(Timestamp::as_microsecond)
}

/// The moments of a local time, the earlier one first.
pub(crate) fn moments(
    zone: &TimeZone,
    local: DateTime,
    gap: DstGap,
    overlap: DstOverlap,
) -> [Option<Timestamp>; 2] {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(local).ok(), None],
        AmbiguousOffset::Gap { before, after } => match gap {
            DstGap::Skip => [None, None],
            DstGap::Shift => {
                let (low, high) = (after.to_timestamp(local), before.to_timestamp(local));
                match (low, high) {
                    (Ok(low), Ok(high)) => [change(zone, low, high), None],
                    _ => [None, None],
                }
            }
        },
        AmbiguousOffset::Fold { before, after } => {
            let (first, last) = (
                before.to_timestamp(local).ok(),
                after.to_timestamp(local).ok(),
            );
            match overlap {
                DstOverlap::First => [first, None],
                DstOverlap::Last => [last, None],
                DstOverlap::Both => [first, last],
            }
        }
    }
}

/// The first moment after a change of the clock that lies behind `low` and not behind `high`.
fn change(zone: &TimeZone, low: Timestamp, high: Timestamp) -> Option<Timestamp> {
    let after = zone.to_offset(high);
    let (mut low, mut high) = (low.as_second(), high.as_second());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match zone.to_offset(Timestamp::from_second(middle).ok()?) == after {
            true => high = middle,
            false => low = middle,
        }
    }
    Timestamp::from_second(high).ok()
}
