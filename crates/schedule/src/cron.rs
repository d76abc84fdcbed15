//! A cron expression: which minutes, hours and days it names.
//!
//! Promise: five fields with the meaning of Vixie cron, and nothing of other dialects by accident: what is
//! not read is refused with its place. It knows no time zone. Read next: `timetable.rs`.

use jiff::civil::Date;

use crate::error::ScheduleError;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both the day of the month and the day of the week are restricted: one of them is enough.
    either_day: bool,
    /// The hours are listed, not `*` or a step: the clock's changes may skip or repeat one of them.
    pub(crate) fixed_hours: bool,
}

/// What a field takes.
struct Field {
    name: &'static str,
    low: u64,
    high: u64,
    names: &'static [&'static str],
}

impl Field {
    /// The last of its numbers that no other one means too: Sunday is 0 and 7.
    fn last(&self) -> u64 {
        self.high.saturating_sub(u64::from(self.high == 7))
    }
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        low: 0,
        high: 59,
        names: &[],
    },
    Field {
        name: "hour",
        low: 0,
        high: 23,
        names: &[],
    },
    Field {
        name: "day of the month",
        low: 1,
        high: 31,
        names: &[],
    },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of the week",
        low: 0,
        high: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// Names for whole expressions.
const SHORT: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// One field as it was written.
struct Read {
    bits: u64,
    /// It begins with `*`.
    star: bool,
}

impl Cron {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let written = text.trim();
        if written.starts_with('@') {
            let known = SHORT.iter().find(|(name, _)| *name == written);
            return match known {
                Some((_, long)) => Self::parse(long),
                None => {
                    let names: Vec<&str> = SHORT.iter().map(|(name, _)| *name).collect();
                    let help = format!("write one of {}, or five fields", names.join(", "));
                    let message = format!("`{written}` is not a valid name of a cron expression");
                    Err(wrong(text, written, message, help))
                }
            };
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            let message = format!(
                "a cron expression has five fields, this one has {}",
                parts.len()
            );
            let help = match parts.len() {
                6 | 7 => {
                    "seconds and years are not supported: for times within a minute write `every: 10s`"
                }
                _ => {
                    "minute, hour, day of the month, month, day of the week: `0 2 * * *` is 02:00 on every day"
                }
            };
            return Err(wrong(text, written, message, help.to_owned()));
        };
        let [minutes, hours, days, months, weekdays] = [
            field(text, minute, &FIELDS[0])?,
            field(text, hour, &FIELDS[1])?,
            field(text, day, &FIELDS[2])?,
            field(text, month, &FIELDS[3])?,
            field(text, weekday, &FIELDS[4])?,
        ];
        // Sunday is 0 and 7.
        let week = (weekdays.bits & 0b0111_1111) | (weekdays.bits >> 7 & 1);
        Ok(Self {
            minutes: minutes.bits,
            hours: hours.bits,
            days: days.bits,
            months: months.bits,
            weekdays: week,
            either_day: !days.star && !weekdays.star,
            fixed_hours: !hours.star && !hour.contains('/'),
        })
    }

    /// True when it has moments on this day.
    pub(crate) fn has_day(&self, date: Date) -> bool {
        if !has(self.months, date.month()) {
            return false;
        }
        let of_month = has(self.days, date.day());
        let of_week = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        match self.either_day {
            true => of_month || of_week,
            false => of_month && of_week,
        }
    }

    /// Hours and minutes of each day that it has.
    pub(crate) fn times(&self) -> impl Iterator<Item = (i8, i8)> + '_ {
        let hours = (0..24_i8).filter(|hour| has(self.hours, *hour));
        hours.flat_map(|hour| {
            let minutes = (0..60_i8).filter(|minute| has(self.minutes, *minute));
            minutes.map(move |minute| (hour, minute))
        })
    }
}

fn has(bits: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| bits >> number & 1 == 1)
}

/// A mistake in `part`, which is a piece of `text`.
fn wrong(text: &str, part: &str, message: String, help: String) -> ScheduleError {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    ScheduleError::Cron {
        start,
        end: start + part.len(),
        message,
        help,
    }
}

fn field(text: &str, written: &str, field: &Field) -> Result<Read, ScheduleError> {
    let mut bits = 0;
    for item in written.split(',') {
        bits |= item_bits(text, item, field)?;
    }
    Ok(Read {
        bits,
        star: written.starts_with('*'),
    })
}

/// `*`, `5`, `1-5`, each with `/step`.
fn item_bits(text: &str, item: &str, field: &Field) -> Result<u64, ScheduleError> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let number = |part: &str| number(text, part, field);
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (field.low, field.last()),
        Some((first, last)) => (number(first)?, number(last)?),
        None if step.is_some() => (number(range)?, field.last()),
        None => number(range).map(|only| (only, only))?,
    };
    if first > last {
        let message = format!("`{range}` ends before it begins");
        let (low, high) = (field.low, field.last());
        let help = format!("write two ranges: `{first}-{high},{low}-{last}`");
        return Err(wrong(text, item, message, help));
    }
    let step = match step {
        None => 1,
        Some(step) => match step.parse::<usize>() {
            Ok(step) if step > 0 => step,
            _ => {
                let message = format!("`{step}` is not a valid step");
                return Err(wrong(
                    text,
                    step,
                    message,
                    "write a number from 1: `*/15`".to_owned(),
                ));
            }
        },
    };
    Ok((first..=last)
        .step_by(step)
        .fold(0, |bits, at| bits | 1 << at))
}

fn number(text: &str, part: &str, field: &Field) -> Result<u64, ScheduleError> {
    let lower = part.to_ascii_lowercase();
    if let Some(at) = field.names.iter().position(|name| **name == lower) {
        return Ok(at as u64 + u64::from(field.low == 1));
    }
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match part.parse::<u64>() {
        Ok(number) if digits && (field.low..=field.high).contains(&number) => Ok(number),
        _ => {
            let message = format!("`{part}` is not a valid {}", field.name);
            let mut help = format!("write {} to {}", field.low, field.high);
            if let (Some(first), Some(last)) = (field.names.first(), field.names.last()) {
                help = format!("{help}, or {first} to {last}");
            }
            if part.contains(['L', 'W', '#', '?', 'H']) {
                help = format!("{help}; L, W, # and ? of other crons are not supported");
            }
            Err(wrong(text, part, message, help))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    fn times(text: &str) -> Vec<(i8, i8)> {
        Cron::parse(text).unwrap().times().collect()
    }

    fn days(text: &str, year: i16, month: i8) -> Vec<i8> {
        let cron = Cron::parse(text).unwrap();
        let first = jiff::civil::date(year, month, 1);
        let all = (1..=first.days_in_month()).map(|day| jiff::civil::date(year, month, day));
        all.filter(|date| cron.has_day(*date))
            .map(Date::day)
            .collect()
    }

    #[test]
    fn fields_are_read() {
        assert_eq!(times("30 2 * * *"), [(2, 30)]);
        assert_eq!(
            times("*/20 1,3 * * *"),
            [(1, 0), (1, 20), (1, 40), (3, 0), (3, 20), (3, 40)]
        );
        assert_eq!(times("10-20/5 0 * * *"), [(0, 10), (0, 15), (0, 20)]);
        assert_eq!(times("50/4 0 * * *"), [(0, 50), (0, 54), (0, 58)]);
        assert_eq!(times("@hourly").len(), 24);
        assert_eq!(days("0 0 * * MON", 2026, 11), [2, 9, 16, 23, 30]);
        assert_eq!(days("0 0 * * 7", 2026, 11), days("0 0 * * sun", 2026, 11));
        assert_eq!(
            days("0 0 * * 5-7", 2026, 11),
            days("0 0 * * 0,5,6", 2026, 11)
        );
        assert_eq!(days("0 0 * * 1-5", 2026, 2).len(), 20);
        assert_eq!(days("0 0 31 * *", 2026, 11), [0; 0]);
        assert_eq!(days("0 0 29 FEB *", 2028, 2), [29]);
    }

    #[test]
    fn one_of_two_days_is_enough_unless_one_is_a_star() {
        assert_eq!(days("0 0 13 * FRI", 2026, 11), [6, 13, 20, 27]);
        assert_eq!(days("0 0 13 * *", 2026, 11), [13]);
        assert_eq!(days("0 0 */2 * FRI", 2026, 11), [13, 27]);
    }

    #[test]
    fn hours_are_fixed_when_they_are_listed() {
        for (text, fixed) in [
            ("0 2 * * *", true),
            ("*/15 2 * * *", true),
            ("0 1-5 * * *", true),
            ("0 * * * *", false),
            ("0 */2 * * *", false),
            ("0 1-23/2 * * *", false),
        ] {
            assert_eq!(Cron::parse(text).unwrap().fixed_hours, fixed, "{text}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, place, message) in [
            ("0 25 * * *", "25", "`25` is not a valid hour"),
            ("61 2 * * *", "61", "`61` is not a valid minute"),
            ("0 2 L * *", "L", "`L` is not a valid day of the month"),
            (
                "0 2 * * FRI#2",
                "FRI#2",
                "`FRI#2` is not a valid day of the week",
            ),
            (
                "0 2 * * fri-mon",
                "fri-mon",
                "`fri-mon` ends before it begins",
            ),
            ("*/0 2 * * *", "0", "`0` is not a valid step"),
            (
                "0 2 * *",
                "0 2 * *",
                "a cron expression has five fields, this one has 4",
            ),
            (
                "0 0 2 * * *",
                "0 0 2 * * *",
                "a cron expression has five fields, this one has 6",
            ),
            (
                "@reboot",
                "@reboot",
                "`@reboot` is not a valid name of a cron expression",
            ),
            ("1,,2 2 * * *", "", "`` is not a valid minute"),
            ("+1 2 * * *", "+1", "`+1` is not a valid minute"),
        ] {
            let Err(ScheduleError::Cron {
                start,
                end,
                message: said,
                ..
            }) = Cron::parse(text)
            else {
                panic!("`{text}` is read");
            };
            assert_eq!(
                (&text[start..end], said.as_str()),
                (place, message),
                "{text}"
            );
        }
    }
}
