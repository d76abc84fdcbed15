//! The highest value of a cursor, and where the next read begins.
//!
//! Promise: values of one kind are compared as what they are: numbers, times, or texts of one length.
//! Anything else is an error, because the highest of them would be a guess. The next read begins at a
//! value that was there before the second page was asked for, so that a record that changes while pages
//! are read is read again, and never in the future. Read next: `source.rs`, which stores it.

use chrono::{
    DateTime, FixedOffset, NaiveDate, NaiveDateTime, SecondsFormat, SubsecRound as _, TimeDelta,
    Utc,
};

use super::raw::Raw;

/// What the numbers of a cursor count since 1970, where the project says that they are times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    Seconds,
    Milliseconds,
}

/// Seconds of today do not reach this number, and milliseconds of today are above it.
const BETWEEN: f64 = 1e11;

impl Epoch {
    const fn per_second(self) -> u32 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
        }
    }

    /// The number of a moment.
    fn number(self, moment: DateTime<Utc>) -> i64 {
        match self {
            Self::Seconds => moment.timestamp(),
            Self::Milliseconds => moment.timestamp_millis(),
        }
    }

    /// True where a number is of a later time.
    fn is_later(self, value: &Value<'_>, than: DateTime<Utc>) -> bool {
        let than = Value::Whole(self.number(than).into());
        value.is_number() && value.is_higher(&than) == Some(true)
    }

    /// True for a number that can be such a time.
    pub(super) fn fits(self, text: &str) -> bool {
        #[allow(clippy::cast_precision_loss, reason = "the order of magnitude counts")]
        let number = match Value::read(text) {
            Value::Whole(whole) => whole as f64,
            Value::Fraction(fraction) => fraction,
            _ => return false,
        };
        match self {
            Self::Seconds => number < BETWEEN,
            Self::Milliseconds => number > BETWEEN || number <= 0.0,
        }
    }
}

/// A value of a cursor, as it compares.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Value<'t> {
    Whole(i128),
    Fraction(f64),
    Moment(DateTime<FixedOffset>),
    Time(NaiveDateTime),
    Date(NaiveDate),
    Text(&'t str),
}

impl<'t> Value<'t> {
    fn read(text: &'t str) -> Self {
        if let Ok(whole) = text.parse() {
            return Self::Whole(whole);
        }
        if let Some(fraction) = text.parse().ok().filter(|number: &f64| number.is_finite()) {
            return Self::Fraction(fraction);
        }
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Self::Moment(moment);
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
            if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
                return Self::Time(time);
            }
        }
        match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(date) => Self::Date(date),
            Err(_) => Self::Text(text),
        }
    }

    const fn is_number(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::Fraction(_))
    }

    fn is_higher(&self, other: &Self) -> Option<bool> {
        #[allow(clippy::cast_precision_loss, reason = "only beside a fraction")]
        match (self, other) {
            (Self::Whole(a), Self::Fraction(b)) => Some(*a as f64 > *b),
            (Self::Fraction(a), Self::Whole(b)) => Some(*a > *b as f64),
            (Self::Text(a), Self::Text(b)) => (a.len() == b.len()).then(|| a > b),
            (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => Some(a > b),
            _ => None,
        }
    }
}

/// The highest value of the records so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Highest {
    pub(super) text: Option<String>,
    /// Records without a value.
    pub(super) missing: u64,
    /// Two values could not be compared.
    pub(super) is_mixed: bool,
}

impl Highest {
    /// Takes the value of a record.
    pub(super) fn take(&mut self, value: Option<Raw<'_>>) {
        match value.and_then(Raw::scalar) {
            Some(text) => self.take_text(text),
            None => self.missing += 1,
        }
    }

    /// Takes a value where there is one.
    pub(super) fn extend(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.take_text(text.to_owned());
        }
    }

    /// Takes a value.
    fn take_text(&mut self, text: String) {
        let is_higher = match &self.text {
            None => Some(true),
            Some(highest) => Value::read(&text).is_higher(&Value::read(highest)),
        };
        match is_higher {
            Some(true) => self.text = Some(text),
            Some(false) => {}
            None => self.is_mixed = true,
        }
    }
}

/// The values of the records of a read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The time of this machine before the first request.
    started: DateTime<Utc>,
    /// What numbers are.
    epoch: Option<Epoch>,
    /// Of all pages.
    pub(super) all: Highest,
    /// Of the first page.
    first: Highest,
}

impl Seen {
    pub(super) fn new(started: DateTime<Utc>, epoch: Option<Epoch>) -> Self {
        Self {
            started: started.trunc_subsecs(0),
            epoch,
            all: Highest::default(),
            first: Highest::default(),
        }
    }

    /// Nothing seen yet, of the same read.
    pub(super) fn apart(&self) -> Self {
        Self::new(self.started, self.epoch)
    }

    /// Takes the value of a record.
    pub(super) fn take(&mut self, value: Option<Raw<'_>>, is_first_page: bool) {
        if is_first_page {
            self.first.take(value);
        }
        self.all.take(value);
    }

    /// Takes the values that another part of the read has seen.
    pub(super) fn extend(&mut self, other: &Self) {
        for (own, other) in [(&mut self.all, &other.all), (&mut self.first, &other.first)] {
            own.extend(other.text.as_deref());
            own.missing += other.missing;
            own.is_mixed |= other.is_mixed;
        }
    }

    /// The highest value before which nothing can change unseen. `begun` is the server's time when the
    /// first page was asked for: what changes later gets a later time. Of numbered pages (`shifts`) the
    /// first one counts only: a record that changes moves others to pages that were read before.
    pub(super) fn safe(&self, begun: Option<DateTime<Utc>>, shifts: bool) -> Option<String> {
        let first = self.first.text.as_deref();
        let highest = self.all.text.as_deref()?;
        let is_moment = match Value::read(highest) {
            Value::Moment(_) => true,
            value => value.is_number() && self.epoch.is_some(),
        };
        let text = match is_moment && !shifts && begun.is_some() {
            true => highest,
            false => first?,
        };
        Some(self.capped(text, begun))
    }

    /// A value, or the time when the read began where the value is later: no value of the future leads
    /// the next read past what will change until then. The server's time counts, and this machine's where
    /// the server does not say it.
    pub(super) fn capped(&self, text: &str, begun: Option<DateTime<Utc>>) -> String {
        let cap = begun.unwrap_or(self.started);
        let (earliest, latest) = (in_zone(cap, WEST), in_zone(cap, EAST));
        let value = Value::read(text);
        if let Some(epoch) = self.epoch.filter(|epoch| epoch.is_later(&value, cap)) {
            return epoch.number(cap).to_string();
        }
        match value {
            Value::Moment(moment) if moment > cap => {
                written(cap.with_timezone(moment.offset()), text)
            }
            // A value without a zone is later where it is so in every zone. Its own zone is not known.
            Value::Time(time) if time > latest => written_time(earliest, text),
            Value::Date(date) if date > latest.date() => earliest.date().to_string(),
            _ => text.to_owned(),
        }
    }
}

/// The zones that are the farthest from UTC, in hours.
const WEST: i64 = -12;
const EAST: i64 = 14;

/// The time that clocks show in a zone.
fn in_zone(moment: DateTime<Utc>, hours: i64) -> NaiveDateTime {
    let time = moment.naive_utc();
    let shown = TimeDelta::try_hours(hours).and_then(|by| time.checked_add_signed(by));
    shown.unwrap_or(time)
}

/// True for a time more than a day after another: the clocks of two machines do not explain it.
pub(super) fn is_ahead(text: &str, now: DateTime<Utc>, epoch: Option<Epoch>) -> bool {
    let tomorrow = in_zone(now, 24);
    match Value::read(text) {
        Value::Moment(moment) => moment.naive_utc() > tomorrow,
        Value::Time(time) => time > tomorrow,
        Value::Date(date) => date > tomorrow.date(),
        value => epoch.is_some_and(|epoch| epoch.is_later(&value, tomorrow.and_utc())),
    }
}

/// True for a value of a clock, which all records share.
pub(super) fn is_time(text: &str, epoch: Option<Epoch>) -> bool {
    match Value::read(text) {
        Value::Moment(_) | Value::Time(_) | Value::Date(_) => true,
        Value::Whole(_) | Value::Fraction(_) => epoch.is_some(),
        Value::Text(_) => false,
    }
}

/// A moment in the form of another.
fn written(moment: DateTime<FixedOffset>, like: &str) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, like.ends_with(['Z', 'z']))
}

/// A time without a zone in the form of another.
fn written_time(time: NaiveDateTime, like: &str) -> String {
    let format = match like.contains('T') {
        true => "%Y-%m-%dT%H:%M:%S%.f",
        false => "%Y-%m-%d %H:%M:%S%.f",
    };
    time.format(format).to_string()
}

/// A value so much before another: seconds of times, units of other numbers. `None` where that is not
/// known.
pub(super) fn before(text: &str, lookback: u64, epoch: Option<Epoch>) -> Option<String> {
    if lookback == 0 {
        return Some(text.to_owned());
    }
    let seconds = TimeDelta::try_seconds(i64::try_from(lookback).ok()?)?;
    let units = lookback.checked_mul(epoch.map_or(1, Epoch::per_second).into())?;
    Some(match Value::read(text) {
        Value::Whole(whole) => whole.checked_sub(i128::from(units))?.to_string(),
        #[allow(clippy::cast_precision_loss, reason = "a fraction is not exact either")]
        Value::Fraction(fraction) => (fraction - units as f64).to_string(),
        Value::Moment(moment) => written(moment.checked_sub_signed(seconds)?, text),
        Value::Time(time) => written_time(time.checked_sub_signed(seconds)?, text),
        Value::Date(date) => {
            let days = TimeDelta::try_days(
                seconds.num_days() + i64::from(!lookback.is_multiple_of(86_400)),
            )?;
            date.checked_sub_signed(days)?.to_string()
        }
        Value::Text(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn highest(values: &[&str]) -> Highest {
        let mut highest = Highest::default();
        for value in values {
            highest.take(Some(Raw::read(value).unwrap()));
        }
        highest
    }

    #[test]
    fn values_compare_as_what_they_are() {
        let top = |values: &[&str]| highest(values).text.unwrap();
        assert_eq!(top(&["9", "10", "2"]), "10");
        assert_eq!(top(&["1.5", "2"]), "2");
        let east = "\"2026-01-01T10:00:00+02:00\"";
        assert_eq!(
            top(&[east, "\"2026-01-01T09:00:00Z\""]),
            "2026-01-01T09:00:00Z"
        );
        assert_eq!(top(&["\"2026-01-02\"", "\"2026-01-10\""]), "2026-01-10");
        assert_eq!(top(&["\"01H9\"", "\"01HA\""]), "01HA");
        assert!(highest(&["1", "\"2026-01-01\""]).is_mixed);
        assert!(highest(&["\"a\"", "\"ab\""]).is_mixed);
        assert_eq!(highest(&["null", "1"]).missing, 1);
    }

    #[test]
    fn the_next_read_begins_where_nothing_changed_unseen() {
        let seen = |first: &[&str], later: &[&str]| {
            let mut seen = Seen::new("2026-01-01T13:00:00.5Z".parse().unwrap(), None);
            for (values, is_first) in [(first, true), (later, false)] {
                for value in values {
                    seen.take(Some(Raw::read(value).unwrap()), is_first);
                }
            }
            seen
        };
        let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
        let noon = || at("2026-01-01T12:00:00Z");
        let safe = |first: &[&str], later: &[&str], begun| seen(first, later).safe(begun, false);
        // Of numbers nothing is known but that the first page had them.
        assert_eq!(safe(&["1", "5"], &["9"], noon()).as_deref(), Some("5"));
        assert_eq!(safe(&[], &["9"], noon()), None);
        assert_eq!(safe(&[], &[], noon()), None);
        // What is older than the read cannot change behind it.
        let (old, new) = ("\"2026-01-01T11:00:00Z\"", "\"2026-01-01T14:00:07+02:00\"");
        let late = "\"2026-01-01T12:00:03Z\"";
        assert_eq!(
            safe(&[], &[old], noon()).as_deref(),
            Some("2026-01-01T11:00:00Z")
        );
        assert_eq!(
            safe(&[old], &[new], noon()).as_deref(),
            Some("2026-01-01T14:00:00+02:00")
        );
        assert_eq!(
            safe(&[late], &[new], noon()).as_deref(),
            Some("2026-01-01T14:00:00+02:00")
        );
        // A record dated in the future is loaded, and no later read begins behind it.
        assert_eq!(
            safe(&["\"2099-01-01T00:00:00Z\""], &[old], noon()).as_deref(),
            Some("2026-01-01T12:00:00Z")
        );
        // On numbered pages a record that changes moves another one to a page that was read.
        let shifting = |first: &[&str], later: &[&str]| seen(first, later).safe(noon(), true);
        let older = "\"2026-01-01T09:00:00Z\"";
        assert_eq!(
            shifting(&[older], &[old]).as_deref(),
            Some("2026-01-01T09:00:00Z")
        );
        assert_eq!(
            shifting(&[late], &[old]).as_deref(),
            Some("2026-01-01T12:00:00Z")
        );
        assert_eq!(shifting(&[], &[old]), None);
        assert_eq!(
            safe(&[old], &[new], None).as_deref(),
            Some("2026-01-01T11:00:00Z")
        );
    }

    #[test]
    fn no_read_begins_in_the_future() {
        let started = "2026-01-01T13:00:00.5Z".parse().unwrap();
        let seen = Seen::new(started, None);
        let now: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().unwrap();
        let noon = Some(now);
        for (value, begun, capped) in [
            ("2099-01-01T00:00:00Z", noon, "2026-01-01T12:00:00Z"),
            ("2099-01-01T00:00:00Z", None, "2026-01-01T13:00:00Z"),
            (
                "2099-01-01T00:00:00.25+02:00",
                None,
                "2026-01-01T15:00:00+02:00",
            ),
            ("2026-01-01T12:30:00Z", None, "2026-01-01T12:30:00Z"),
            ("2099-01-01T00:00:00", noon, "2026-01-01T00:00:00"),
            ("2099-01-01 00:00:00.5", None, "2026-01-01 01:00:00"),
            // In some zone it is that time already.
            ("2026-01-02T01:59:00", noon, "2026-01-02T01:59:00"),
            ("2026-01-02T02:01:00", noon, "2026-01-01T00:00:00"),
            ("2099-01-01", None, "2026-01-01"),
            ("2026-01-03", noon, "2026-01-01"),
            ("2026-01-02", noon, "2026-01-02"),
            // What numbers and texts mean is not known.
            ("4102444800", None, "4102444800"),
            ("zz", None, "zz"),
        ] {
            assert_eq!(seen.capped(value, begun), capped, "{value}");
        }
        for value in ["2026-01-02T12:01:00Z", "2026-01-02 12:01:00", "2026-01-03"] {
            assert!(is_ahead(value, now, None), "{value}");
        }
        for value in ["2026-01-02T11:59:00Z", "2026-01-02", "9999", "zz"] {
            assert!(!is_ahead(value, now, None), "{value}");
        }
    }

    #[test]
    fn lookback_keeps_the_form() {
        let back = |text: &str, by| before(text, by, None).unwrap();
        assert_eq!(back("100", 7), "93");
        assert_eq!(back("2026-01-01T00:00:10Z", 20), "2025-12-31T23:59:50Z");
        assert_eq!(back("2026-01-01 00:00:10", 20), "2025-12-31 23:59:50");
        assert_eq!(back("2026-01-02", 3_600), "2026-01-01");
        assert_eq!(back("x", 0), "x");
        assert_eq!(before("x", 1, None), None);
    }

    #[test]
    fn numbers_are_times_where_the_project_says_so() {
        let started = "2026-01-01T13:00:00Z".parse().unwrap();
        let now: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().unwrap();
        for (epoch, factor) in [(Epoch::Seconds, 1), (Epoch::Milliseconds, 1_000)] {
            let text = |seconds: i64| (seconds * factor).to_string();
            let noon = now.timestamp();
            let epoch = Some(epoch);
            let mut seen = Seen::new(started, epoch);
            let capped = |value: i64, begun| seen.capped(&text(value), begun);
            assert_eq!(capped(4_102_444_800, Some(now)), text(noon));
            assert_eq!(capped(4_102_444_800, None), text(noon + 3_600));
            assert_eq!(capped(noon - 1, Some(now)), text(noon - 1));
            assert!(is_ahead(&text(noon + 90_000), now, epoch));
            assert!(!is_ahead(&text(noon + 80_000), now, epoch));
            assert_eq!(before(&text(noon), 60, epoch), Some(text(noon - 60)));
            assert!(is_time(&text(noon), epoch) && !is_time(&text(noon), None));
            // What is older than the read cannot change behind it.
            let (first, later) = (text(noon - 50), text(noon - 10));
            seen.take(Some(Raw::read(&first).unwrap()), true);
            seen.take(Some(Raw::read(&later).unwrap()), false);
            assert_eq!(seen.safe(Some(now), false), Some(later));
            assert_eq!(seen.safe(Some(now), true), Some(first.clone()));
            assert_eq!(seen.safe(None, false), Some(first));
        }
        let fraction = Seen::new(started, Some(Epoch::Seconds));
        let noon = now.timestamp().to_string();
        assert_eq!(fraction.capped("4102444800.5", Some(now)), noon);
        for (epoch, text, fits) in [
            (Epoch::Seconds, "1767268800", true),
            (Epoch::Seconds, "1767268800000", false),
            (Epoch::Seconds, "2026-01-01", false),
            (Epoch::Milliseconds, "1767268800000", true),
            (Epoch::Milliseconds, "1767268800", false),
            (Epoch::Milliseconds, "0", true),
        ] {
            assert_eq!(epoch.fits(text), fits, "{text}");
        }
    }
}
