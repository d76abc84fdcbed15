//! The type of a column nobody declared, from every value it has.
//!
//! Promise: a column is bigint, decimal, double, bool, date or timestamp only if every value survives
//! text -> type -> text unchanged in value; the order of values, files and chunks does not matter.
//! Leading zeros and `+` mean text. What stays ambiguous is text, and a note says so.

use arrow_schema::DataType;
use towpath_vocab::types;

use super::cells::Cells;
use super::value::{self, TimeFormats};

/// What was seen, one bit each.
mod kind {
    pub(super) const INTEGER: u32 = 1;
    /// A whole number beyond 64 bits.
    pub(super) const WIDE: u32 = 1 << 1;
    /// A number with a point or an exponent that a double holds exactly (as the shortest text that
    /// leads to it).
    pub(super) const DOUBLE: u32 = 1 << 2;
    /// A number that no double holds.
    pub(super) const PRECISE: u32 = 1 << 3;
    /// NaN or infinity.
    pub(super) const SPECIAL: u32 = 1 << 4;
    pub(super) const BOOL: u32 = 1 << 5;
    pub(super) const DATE: u32 = 1 << 6;
    pub(super) const TIMESTAMP: u32 = 1 << 7;
    pub(super) const INSTANT: u32 = 1 << 8;
    /// A whole number that a double does not hold, or with more digits than it shows.
    pub(super) const LONG: u32 = 1 << 9;
    /// A number with an exponent: its digits say nothing of a decimal's scale.
    pub(super) const EXPONENT: u32 = 1 << 10;
    /// Digits with leading zeros or a plus.
    pub(super) const CODE: u32 = 1 << 11;
    /// Looks like a date whose parts have no certain order.
    pub(super) const SLASHED: u32 = 1 << 12;
    /// An empty text between quotes.
    pub(super) const EMPTY: u32 = 1 << 13;
    pub(super) const TEXT: u32 = 1 << 14;
}
use kind::{
    BOOL, CODE, DATE, DOUBLE, EMPTY, EXPONENT, INSTANT, INTEGER, LONG, PRECISE, SLASHED, SPECIAL,
    TEXT, TIMESTAMP, WIDE,
};

const NUMBERS: u32 = INTEGER | WIDE | DOUBLE | PRECISE | LONG | EXPONENT;

/// What is known of one column so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess {
    kinds: u32,
    /// Most digits before the point.
    whole: u32,
    /// Most digits behind the point.
    fraction: u32,
}

/// A type with what a person should know about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) data_type: DataType,
    pub(crate) note: Option<String>,
}

impl Guess {
    /// Adds what another part of the input showed.
    pub(crate) fn merge(&mut self, other: Guess) {
        self.kinds |= other.kinds;
        self.whole = self.whole.max(other.whole);
        self.fraction = self.fraction.max(other.fraction);
    }

    /// Looks at the cells of a column. With `typed` quoted cells are texts, as in JSON.
    pub(crate) fn see(&mut self, cells: &Cells<'_>, times: &TimeFormats, typed: bool) {
        // Once it is certainly text, nothing changes the verdict.
        if self.kinds & TEXT != 0 {
            return;
        }
        let mut guess = *self;
        cells.each(|_, text, quoted| {
            if let Some(text) = text
                && guess.kinds & TEXT == 0
            {
                guess.value(text, quoted, times, typed);
            }
        });
        *self = guess;
    }

    #[inline]
    fn value(&mut self, text: &[u8], quoted: bool, times: &TimeFormats, typed: bool) {
        if typed && quoted {
            self.kinds |= moment(text, times).unwrap_or(TEXT);
            return;
        }
        match text.first() {
            None => self.kinds |= EMPTY,
            Some(b'0'..=b'9' | b'-' | b'.') => {
                if !self.number(text) {
                    self.kinds |= moment(text, times).unwrap_or_else(|| slashed(text));
                }
            }
            Some(_) => self.kinds |= word(text).or_else(|| moment(text, times)).unwrap_or(TEXT),
        }
    }

    /// Takes a number; false when it is none.
    #[inline]
    fn number(&mut self, text: &[u8]) -> bool {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if whole == digits.len() {
            return self.whole_number(text, digits);
        }
        let leading_zero = whole > 1 && digits.first() == Some(&b'0');
        let Some(rest) = digits.get(whole..) else {
            return false;
        };
        let fraction = match rest {
            [b'.', rest @ ..] => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
            _ => 0,
        };
        let point = usize::from(rest.first() == Some(&b'.'));
        let exponent = rest.get(point + fraction..).unwrap_or_default();
        if whole + fraction == 0 || !exponent.is_empty() && !is_exponent(exponent) {
            return false;
        }
        if leading_zero {
            self.kinds |= CODE;
            return true;
        }
        let mut kinds = if exponent.is_empty() { 0 } else { EXPONENT };
        let short = whole + fraction <= 15 && exponent.is_empty();
        kinds |= if short || survives_as_double(text) {
            DOUBLE
        } else {
            PRECISE
        };
        self.kinds |= kinds;
        self.digits(whole, fraction);
        true
    }

    fn whole_number(&mut self, text: &[u8], digits: &[u8]) -> bool {
        match digits {
            [] => return false,
            [b'0'] if text.len() == 2 => self.kinds |= DOUBLE,
            [b'0', _, ..] => self.kinds |= CODE,
            _ if digits.len() <= 15 => self.kinds |= INTEGER,
            _ => {
                self.kinds |= if value::integer(text).is_some() {
                    INTEGER
                } else {
                    WIDE
                };
                if !survives_as_double(text) {
                    self.kinds |= LONG;
                }
            }
        }
        self.digits(digits.len(), 0);
        true
    }

    fn digits(&mut self, whole: usize, fraction: usize) {
        self.whole = self.whole.max(u32::try_from(whole).unwrap_or(u32::MAX));
        self.fraction = self
            .fraction
            .max(u32::try_from(fraction).unwrap_or(u32::MAX));
    }

    /// The type that keeps every value.
    pub(crate) fn verdict(&self, column: &str) -> Verdict {
        let kinds = self.kinds;
        let only = |allowed: u32| kinds & !allowed == 0;
        let of = |data_type| Verdict {
            data_type,
            note: None,
        };
        if kinds == 0 {
            return of(DataType::Utf8);
        }
        if only(INTEGER | LONG) {
            return of(DataType::Int64);
        }
        if only(BOOL) {
            return of(DataType::Boolean);
        }
        if only(DATE) {
            return of(DataType::Date32);
        }
        if only(TIMESTAMP) {
            return of(DataType::Timestamp(
                arrow_schema::TimeUnit::Microsecond,
                None,
            ));
        }
        if only(INSTANT) {
            return of(types::instant());
        }
        if only(INTEGER | DOUBLE | EXPONENT | SPECIAL) && kinds & (INTEGER | DOUBLE) != 0 {
            return of(DataType::Float64);
        }
        let scale = self.fraction;
        let precision = self.whole.saturating_add(scale).max(1);
        if only(NUMBERS) && kinds & EXPONENT == 0 && precision <= 38 {
            let (precision, scale) = if scale == 0 {
                (38, 0)
            } else {
                (precision, scale)
            };
            if let (Ok(precision), Ok(scale)) = (u8::try_from(precision), i8::try_from(scale)) {
                return of(DataType::Decimal128(precision, scale));
            }
        }
        Verdict {
            data_type: DataType::Utf8,
            note: self.note(column),
        }
    }

    /// Why a column that looks like something else is text.
    fn note(&self, column: &str) -> Option<String> {
        let has = |some: u32| self.kinds & some != 0;
        let say = |why: &str| Some(format!("`{column}` is read as text: {why}"));
        if has(TEXT) {
            // Most text columns are just that.
            return None;
        }
        if has(SLASHED) {
            return say(
                "its dates may be day/month or month/day; declare `date` and say `date_format`",
            );
        }
        if has(EMPTY) && self.kinds != EMPTY {
            return say(
                "some values are quoted and empty; `null_values: [\"\"]` reads those as NULL",
            );
        }
        if has(CODE) && has(NUMBERS) {
            return say("some of its numbers have leading zeros or a plus");
        }
        if has(TIMESTAMP) && has(INSTANT) {
            return say("some of its timestamps have an offset and some have none");
        }
        if has(DATE) && has(TIMESTAMP | INSTANT) {
            return say("it mixes dates and timestamps");
        }
        if has(NUMBERS) && self.kinds & !(NUMBERS | SPECIAL) == 0 {
            return say("no number type holds all its digits");
        }
        None
    }
}

fn is_exponent(text: &[u8]) -> bool {
    match text {
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => {
            !digits.is_empty() && digits.len() <= 4 && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// Whether the shortest text of the nearest double has the same digits and size as this text.
fn survives_as_double(text: &[u8]) -> bool {
    value::exact_double(text).is_some_and(f64::is_finite)
}

fn word(text: &[u8]) -> Option<u32> {
    let is = |words: &[&str]| words.iter().any(|word| word.as_bytes() == text);
    if is(&["true", "false", "True", "False", "TRUE", "FALSE"]) {
        Some(BOOL)
    } else if is(&["NaN", "nan", "inf", "Inf", "Infinity", "infinity"]) {
        Some(SPECIAL)
    } else if matches!(text, [b'+', b'0'..=b'9', ..]) {
        Some(CODE)
    } else {
        None
    }
}

fn moment(text: &[u8], times: &TimeFormats) -> Option<u32> {
    if times.date(text).is_some() {
        return Some(DATE);
    }
    times
        .timestamp(text)
        .map(|moment| if moment.zoned { INSTANT } else { TIMESTAMP })
}

/// `3/4/2013`, `03.04.2013` and the like.
fn slashed(text: &[u8]) -> u32 {
    if matches!(text, b"-inf" | b"-Inf" | b"-Infinity" | b"-infinity") {
        return SPECIAL;
    }
    let parts: Vec<&[u8]> = text
        .split(|byte| matches!(byte, b'/' | b'.' | b'-'))
        .collect();
    let digits = |part: &[u8], length: std::ops::RangeInclusive<usize>| {
        length.contains(&part.len()) && part.iter().all(u8::is_ascii_digit)
    };
    match parts.as_slice() {
        [first, second, third]
            if digits(first, 1..=2)
                && digits(second, 1..=2)
                && (digits(third, 2..=2) || digits(third, 4..=4)) =>
        {
            SLASHED
        }
        _ => TEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(values: &[&str]) -> String {
        let mut guess = Guess::default();
        for value in values {
            guess.value(value.as_bytes(), false, &TimeFormats::default(), false);
        }
        let mut backwards = Guess::default();
        for value in values.iter().rev() {
            let mut one = Guess::default();
            one.value(value.as_bytes(), false, &TimeFormats::default(), false);
            backwards.merge(one);
        }
        let verdict = guess.verdict("c");
        assert_eq!(verdict, backwards.verdict("c"));
        let note = verdict.note.map_or("", |_| "!");
        format!("{}{note}", types::name(&verdict.data_type))
    }

    #[test]
    fn numbers() {
        assert_eq!(verdict(&[]), "text");
        assert_eq!(verdict(&["0", "-7", "9223372036854775807"]), "bigint");
        assert_eq!(verdict(&["1", "9223372036854775808"]), "decimal(38,0)");
        assert_eq!(verdict(&[&"9".repeat(39)]), "text!");
        assert_eq!(verdict(&["1", "2.50", "1e-7", ".5"]), "double");
        assert_eq!(verdict(&["10.357019999999999", "1"]), "double");
        assert_eq!(verdict(&["0.1234567890123456789", "12"]), "decimal(21,19)");
        assert_eq!(verdict(&["9007199254740993", "0.5"]), "decimal(17,1)");
        assert_eq!(verdict(&["9007199254740992", "0.5"]), "double");
        assert_eq!(verdict(&["9007199254740993", "1e-7"]), "text!");
        assert_eq!(verdict(&["1", "NaN", "-inf"]), "double");
        assert_eq!(verdict(&["NaN"]), "text");
        assert_eq!(verdict(&["0.1234567890123456789", "NaN"]), "text!");
        assert_eq!(verdict(&["-0", "1"]), "double");
        assert_eq!(verdict(&["007", "12"]), "text!");
        assert_eq!(verdict(&["+5", "12"]), "text!");
        assert_eq!(verdict(&["00.5"]), "text");
        assert_eq!(verdict(&["1", "x"]), "text");
        assert_eq!(verdict(&["1", "-"]), "text");
        assert_eq!(verdict(&["1e999"]), "text!");
        assert_eq!(verdict(&["1", ""]), "text!");
    }

    #[test]
    fn words_and_times() {
        assert_eq!(verdict(&["true", "False"]), "bool");
        assert_eq!(verdict(&["true", "1"]), "text");
        assert_eq!(verdict(&["yes", "no"]), "text");
        assert_eq!(verdict(&["2013-01-01", "2012-02-29"]), "date");
        assert_eq!(verdict(&["2013-02-29"]), "text");
        assert_eq!(
            verdict(&["2013-01-01T00:00:00", "2013-01-01 00:00"]),
            "timestamp"
        );
        assert_eq!(
            verdict(&["2013-01-01T00:00:00Z", "2013-01-01 00:00+02"]),
            "timestamptz"
        );
        assert_eq!(
            verdict(&["2013-01-01T00:00:00Z", "2013-01-01 00:00"]),
            "text!"
        );
        assert_eq!(verdict(&["2013-01-01T00:00:00", "2013-01-01"]), "text!");
        assert_eq!(verdict(&["2013-01-01T00:00:00.1234567"]), "text");
        assert_eq!(verdict(&["03/04/2013"]), "text!");
    }
}
