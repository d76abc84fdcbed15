//! What the numbers of a column have shown so far, in one way of writing them.
//!
//! Promise: the type that comes of it keeps every number in value, and its text too where all numbers
//! have the same digits behind the point (`1.10`). It does not know how separators are read: see
//! `exact/local.rs`; which way of writing a column has is decided in `infer.rs`.

use arrow_schema::DataType;

use super::value;

/// A whole number of up to 64 bits.
const INTEGER: u32 = 1;
/// A whole number beyond 64 bits.
const WIDE: u32 = 1 << 1;
/// A number with a point or an exponent that a double holds exactly (as the shortest text that leads
/// to it).
const DOUBLE: u32 = 1 << 2;
/// A number that no double holds.
const PRECISE: u32 = 1 << 3;
/// A whole number that a double does not hold, or with more digits than it shows.
const LONG: u32 = 1 << 4;
/// A number with an exponent: its digits say nothing of a decimal's scale.
const EXPONENT: u32 = 1 << 5;
/// Digits with leading zeros or a plus.
pub(super) const CODE: u32 = 1 << 6;
/// A fraction that ends with a zero, which a double does not keep.
const ENDS_IN_ZERO: u32 = 1 << 7;
/// NaN or infinity.
pub(super) const SPECIAL: u32 = 1 << 8;

/// Digits of a decimal whose numbers all have the same fraction: room for others of its kind.
const USUAL_PRECISION: u32 = 18;

/// What was seen, one bit each, and how many digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    kinds: u32,
    /// Most digits before the point.
    whole: u32,
    /// Most digits behind the point.
    fraction: u32,
    /// Fewest digits behind the point of numbers that have one.
    least: Option<u32>,
}

impl Numbers {
    pub(super) fn merge(&mut self, other: Numbers) {
        self.kinds |= other.kinds;
        self.whole = self.whole.max(other.whole);
        self.fraction = self.fraction.max(other.fraction);
        self.least = match (self.least, other.least) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    pub(super) fn has(&self, kinds: u32) -> bool {
        self.kinds & kinds != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds == 0
    }

    /// Whether a number has a fraction, or more digits than one group after another.
    pub(super) fn has_large_or_fraction(&self) -> bool {
        self.fraction > 0 || self.whole > 6
    }

    /// Notes something that is no number of its own.
    pub(super) fn note(&mut self, kinds: u32) {
        self.kinds |= kinds;
    }

    /// Takes a number in its plain form; false when it is none.
    #[inline]
    pub(super) fn take(&mut self, text: &[u8]) -> bool {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = leading_digits(digits);
        match whole == digits.len() {
            true => self.take_whole(text, digits),
            false => self.take_behind(text, digits, whole),
        }
    }

    /// Takes a number that goes on behind its first `whole` digits; `digits` is the text without its
    /// minus. False when there is none.
    #[inline]
    pub(super) fn take_behind(&mut self, text: &[u8], digits: &[u8], whole: usize) -> bool {
        let leading_zero = whole > 1 && digits.first() == Some(&b'0');
        let Some(rest) = digits.get(whole..) else {
            return false;
        };
        let fraction = match rest {
            [b'.', rest @ ..] => leading_digits(rest),
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
        let mut kinds = match (exponent.is_empty(), text.last()) {
            (false, _) => EXPONENT,
            (true, Some(b'0')) => ENDS_IN_ZERO,
            (true, _) => 0,
        };
        let short = whole + fraction <= 15 && exponent.is_empty();
        kinds |= if short || survives_as_double(text) {
            DOUBLE
        } else {
            PRECISE
        };
        self.kinds |= kinds;
        self.digits(whole, fraction);
        let fraction = u32::try_from(fraction).unwrap_or(u32::MAX);
        self.least = Some(self.least.map_or(fraction, |least| least.min(fraction)));
        true
    }

    /// Takes a number whose `digits`, the text without its minus, are digits only; false when there is none.
    #[inline]
    pub(super) fn take_whole(&mut self, text: &[u8], digits: &[u8]) -> bool {
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

    /// The type that keeps every number; `None` when there is none. With `fixed`, numbers with the same
    /// two or more digits behind the point are decimals where a double would drop zeros.
    pub(super) fn data_type(&self, fixed: bool) -> Option<DataType> {
        let only = |allowed: u32| self.kinds & !allowed == 0;
        if self.kinds == 0 {
            return None;
        }
        if only(INTEGER | LONG) {
            return Some(DataType::Int64);
        }
        let scale = self.fraction;
        let same = self.least == Some(scale) && scale >= 2;
        if fixed && same && self.has(ENDS_IN_ZERO) && only(DOUBLE | PRECISE | ENDS_IN_ZERO) {
            let precision = self.whole.saturating_add(scale).max(USUAL_PRECISION);
            return decimal(precision, scale);
        }
        let double = INTEGER | DOUBLE | EXPONENT | SPECIAL | ENDS_IN_ZERO;
        if only(double) && self.has(INTEGER | DOUBLE) {
            return Some(DataType::Float64);
        }
        let precision = self.whole.saturating_add(scale).max(1);
        if self.has(EXPONENT | SPECIAL | CODE) || precision > 38 {
            return None;
        }
        match scale {
            0 => decimal(38, 0),
            _ => decimal(precision, scale),
        }
    }

    /// The decimal that has room for these numbers and for those of another one.
    pub(super) fn widened(self, precision: u8, scale: i8) -> Option<DataType> {
        let (precision, scale) = (u32::from(precision), u32::try_from(scale).ok()?);
        if self.kinds == 0 || self.has(EXPONENT | SPECIAL | CODE) {
            return None;
        }
        let whole = self.whole.max(precision.checked_sub(scale)?);
        let scale = self.fraction.max(scale);
        decimal(whole + scale, scale)
    }
}

fn decimal(precision: u32, scale: u32) -> Option<DataType> {
    let precision = u8::try_from(precision)
        .ok()
        .filter(|digits| *digits <= 38)?;
    Some(DataType::Decimal128(precision, i8::try_from(scale).ok()?))
}

/// How many digits a text starts with.
#[inline]
pub(super) fn leading_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
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
