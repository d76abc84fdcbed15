//! Ranges of keys: where they can be cut in two, and what is true of the rows in one.
//!
//! Promise: two ranges beside each other are told apart by one comparison with one value (`< v`, `>= v`). That the
//! values are in the order of the server is not known here: `pieces.rs` asks for it. It asks no server itself.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use super::literal::{quoted, text};
use super::types::{Definition, Wire};
use crate::exact::read;

/// Longer values are no places to cut at.
const LONGEST: usize = 256;
/// Bytes of a value that are compared as one number.
const WINDOW: usize = 16;

/// How a value between two others is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Digits, so many of them behind the point.
    Number {
        scale: u8,
    },
    Date,
    Moment,
    /// Text, in the order of its column.
    Text,
    Bytes,
}

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyColumn {
    /// As SQL has it.
    pub(super) sql: String,
    pub(super) class: Class,
}

impl KeyColumn {
    /// `None` for a type whose values are not compared in the order of an index.
    pub(super) fn of(definition: &Definition) -> Option<Self> {
        let class = match definition.wire {
            Wire::Tiny | Wire::Short | Wire::Long | Wire::LongLong => Class::Number { scale: 0 },
            Wire::Decimal => {
                let (precision, scale) = definition.digits();
                let scale = u8::try_from(scale).ok().filter(|_| precision <= 38)?;
                Class::Number { scale }
            }
            Wire::Date => Class::Date,
            Wire::DateTime | Wire::Timestamp => Class::Moment,
            Wire::Bytes if definition.binary => Class::Bytes,
            Wire::Bytes => Class::Text,
            _ => return None,
        };
        Some(Self {
            sql: quoted(&definition.name),
            class,
        })
    }

    /// What is selected to get a value as text: bytes come as hexadecimal digits.
    pub(super) fn value(&self, sql: &str) -> String {
        match self.class {
            Class::Bytes => format!("hex({sql})"),
            _ => sql.to_owned(),
        }
    }

    /// A value of the column in SQL.
    pub(super) fn literal(&self, value: &str) -> Option<String> {
        let is_plain = |more: &str| {
            let mut letters = value.chars();
            !value.is_empty() && letters.all(|c| c.is_ascii_digit() || more.contains(c))
        };
        match self.class {
            Class::Number { .. } => is_plain("-.").then(|| value.to_owned()),
            Class::Date | Class::Moment => is_plain("-.: ").then(|| format!("'{value}'")),
            Class::Text => (value.len() <= LONGEST).then(|| text(value)),
            Class::Bytes if value.is_empty() => Some("_binary''".to_owned()),
            Class::Bytes => (value.len() <= LONGEST
                && value.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .then(|| format!("_binary 0x{value}")),
        }
    }

    /// Values above one and not above the other, if there is any. Of a text there are many that may be: its order
    /// is the server's.
    pub(super) fn between(&self, low: &str, high: &str) -> Vec<String> {
        match self.class {
            Class::Number { scale } => number_between(low, high, scale).into_iter().collect(),
            Class::Date => date_between(low, high).into_iter().collect(),
            Class::Moment => moment_between(low, high).into_iter().collect(),
            Class::Bytes => bytes_between(low, high).into_iter().collect(),
            Class::Text => texts_between(low, high),
        }
    }
}

/// The number in the middle, rounded up: above `low`, and not above `high`.
fn middle(low: i128, high: i128) -> Option<i128> {
    let span = high.checked_sub(low).filter(|span| *span > 0)?;
    Some(low + span / 2 + span % 2)
}

fn number_between(low: &str, high: &str, scale: u8) -> Option<String> {
    let number = |text: &str| read::decimal(text.as_bytes(), 38, scale.cast_signed());
    let middle = middle(number(low)?, number(high)?)?;
    let digits = format!(
        "{:0>width$}",
        middle.unsigned_abs(),
        width = usize::from(scale) + 1
    );
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if middle < 0 { "-" } else { "" };
    Some(match scale {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction}"),
    })
}

/// The date, or one near it where the calendar does not have it (`2015-08-00`, `0000-00-00`).
fn day(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let year: i32 = parts.next()?.parse().ok()?;
    let month: u32 = parts.next()?.parse().ok()?;
    let day: u32 = parts.next()?.parse().ok()?;
    let (year, month) = (year.max(1), month.clamp(1, 12));
    NaiveDate::from_ymd_opt(year, month, day)
        .or_else(|| NaiveDate::from_ymd_opt(year, month, day.clamp(1, 28)))
}

/// The same with a time.
fn moment(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.split_once(' ')?;
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S%.f").ok()?;
    Some(day(date)?.and_time(time))
}

fn date_between(low: &str, high: &str) -> Option<String> {
    let (low, high) = (day(low)?, day(high)?);
    let days = middle(0, high.signed_duration_since(low).num_days().into())?;
    let date = low.checked_add_signed(TimeDelta::try_days(i64::try_from(days).ok()?)?)?;
    Some(date.format("%Y-%m-%d").to_string())
}

fn moment_between(low: &str, high: &str) -> Option<String> {
    let (low, high) = (moment(low)?, moment(high)?);
    let span = high.signed_duration_since(low).num_microseconds()?;
    let micros = i64::try_from(middle(0, span.into())?).ok()?;
    let moment = low.checked_add_signed(TimeDelta::microseconds(micros))?;
    Some(moment.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}

/// Hexadecimal digits of bytes in the middle: 16 of them behind what both have in common.
fn bytes_between(low: &str, high: &str) -> Option<String> {
    let (low, high) = (bytes(low)?, bytes(high)?);
    let same = low
        .iter()
        .zip(&high)
        .take_while(|(one, other)| one == other);
    let same = same.count();
    let window = |bytes: &[u8]| {
        let mut window = [0; WINDOW];
        for (to, from) in window.iter_mut().zip(bytes.iter().skip(same)) {
            *to = *from;
        }
        u128::from_be_bytes(window)
    };
    let (least, most) = (window(&low), window(&high));
    let span = most.checked_sub(least).filter(|span| *span > 0)?;
    let middle = (least + span / 2 + span % 2).to_be_bytes();
    // A zero at the end would make it longer than `high`, and so above it.
    let end = middle.iter().rposition(|byte| *byte != 0)? + 1;
    let all = low.iter().take(same).chain(middle.iter().take(end));
    Some(all.map(|byte| format!("{byte:02X}")).collect())
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

/// What both have in common, followed by each of the usual letters and by letters of other scripts between those
/// that follow it in the two.
fn texts_between(low: &str, high: &str) -> Vec<String> {
    let same = low
        .chars()
        .zip(high.chars())
        .take_while(|(one, other)| one == other);
    let same: String = same.map(|(one, _)| one).collect();
    let next = |text: &str| text.get(same.len()..).and_then(|rest| rest.chars().next());
    let (from, to) = (
        next(low).map_or(0, u32::from),
        next(high).map_or(0, u32::from),
    );
    let usual = ('0'..='9').chain('A'..='Z').chain('a'..='z');
    let span = u64::from(to.saturating_sub(from));
    let others = (1..=16_u64)
        .filter(|_| to > 0x7F)
        .filter_map(|part| u32::try_from(u64::from(from) + span * part / 16).ok())
        .filter_map(char::from_u32);
    let mut all: Vec<String> = usual.chain(others).map(|c| format!("{same}{c}")).collect();
    all.dedup();
    all
}

/// Rows of a table between two values of one column of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// What is true of the columns of the key before this one.
    pub(super) within: Vec<String>,
    /// The place of the column in the key.
    pub(super) column: usize,
    /// In SQL: not below this, and below that.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// The least and the largest value there is; `None` where it is not to be cut any further.
    pub(super) values: Option<(String, String)>,
    /// About so many rows.
    pub(super) rows: u64,
}

impl Range {
    /// All rows.
    pub(super) fn whole(rows: u64) -> Self {
        Self {
            within: Vec::new(),
            column: 0,
            from: None,
            to: None,
            values: None,
            rows,
        }
    }

    /// What is true of its rows and of no others; empty for all rows.
    pub(super) fn condition(&self, key: &[KeyColumn]) -> String {
        let name = key.get(self.column).map_or("", |column| &column.sql);
        let from = self.from.iter().map(|value| format!("{name} >= {value}"));
        let to = self.to.iter().map(|value| format!("{name} < {value}"));
        let all = self.within.iter().cloned().chain(from).chain(to);
        all.collect::<Vec<_>>().join(" AND ")
    }

    /// The same without its bounds: what is above or below a value in it is asked for by that value alone, which
    /// an index answers at once.
    pub(super) fn around(&self, condition: String) -> String {
        let all = self.within.iter().cloned().chain([condition]);
        all.collect::<Vec<_>>().join(" AND ")
    }

    /// Both as one, if they are beside each other.
    fn and(&self, next: &Self) -> Option<Self> {
        let adjoin = self.within == next.within
            && self.column == next.column
            && self.to.is_some()
            && self.to == next.from;
        adjoin.then(|| Self {
            to: next.to.clone(),
            rows: self.rows.saturating_add(next.rows),
            values: None,
            ..self.clone()
        })
    }
}

/// Joins neighbours that have few rows together.
pub(super) fn joined(ranges: Vec<Range>, most: u64) -> Vec<Range> {
    let mut all: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let both = all.last().and_then(|last| last.and(&range));
        match (both.filter(|both| both.rows <= most), all.last_mut()) {
            (Some(both), Some(last)) => *last = both,
            _ => all.push(range),
        }
    }
    all
}

#[cfg(test)]
#[path = "ranges_tests.rs"]
mod tests;
