//! Numbers and dates in local formats: decimal commas, thousands separators, day or month first.
//!
//! Promise: a text becomes the plain form that `read.rs` parses, or it is refused. Thousands must be in
//! groups of three, and the order of day and month is given, never guessed. It knows no column;
//! `files/infer.rs` decides which format a column has.

use super::read::{Moment, date, timestamp};

/// The longest number that is converted to its plain form.
const LONGEST: usize = 128;

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumberFormat {
    pub(crate) decimal: u8,
    /// The separator between groups of three digits.
    pub(crate) thousands: Option<u8>,
}

impl NumberFormat {
    /// `1234.56`.
    pub(crate) const PLAIN: Self = Self {
        decimal: b'.',
        thousands: None,
    };
    /// `1.234,56`.
    pub(crate) const COMMA: Self = Self {
        decimal: b',',
        thousands: Some(b'.'),
    };
    /// `1,234.56`.
    pub(crate) const GROUPED: Self = Self {
        decimal: b'.',
        thousands: Some(b','),
    };

    /// Calls `read` with the plain form of a number.
    #[inline]
    pub(crate) fn read<T>(self, text: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        if self == Self::PLAIN {
            return read(text);
        }
        self.read_local(text, read)
    }

    #[inline(never)]
    fn read_local<T>(self, text: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let mut plain = [0; LONGEST];
        read(self.plain(text, &mut plain)?)
    }

    /// Converts a number in this format to its plain form.
    fn plain<'b>(self, text: &[u8], to: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
        let mut length = 0;
        // Digits since the last separator, and whether there was one.
        let (mut digits, mut grouped, mut fraction) = (0, false, false);
        for &byte in text {
            let out = match byte {
                _ if byte == self.decimal && !fraction => {
                    if grouped && digits != 3 {
                        return None;
                    }
                    fraction = true;
                    b'.'
                }
                _ if Some(byte) == self.thousands && !fraction => {
                    let first = !grouped && (1..=3).contains(&digits);
                    if !first && digits != 3 {
                        return None;
                    }
                    (digits, grouped) = (0, true);
                    continue;
                }
                // A separator without a meaning in this format must not reach the parser of plain numbers.
                b'.' | b',' => return None,
                _ => byte,
            };
            digits += usize::from(byte.is_ascii_digit() && !fraction);
            *to.get_mut(length)? = out;
            length += 1;
        }
        if grouped && !fraction && digits != 3 {
            return None;
        }
        to.get(..length)
    }
}

/// The order of day and month in a date such as `03/04/2013`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DateOrder {
    /// Only dates with dots are read: day, month, year.
    #[default]
    Dots,
    DayFirst,
    MonthFirst,
}

/// The numbers of a date in their order, with the separator.
pub(crate) struct DateParts<'t> {
    first: &'t [u8],
    second: &'t [u8],
    year: &'t [u8],
    pub(crate) separator: u8,
    /// The text after the date.
    pub(crate) rest: &'t [u8],
}

/// Splits `3.4.2013`, `03/04/2013` or `03-04-2013`.
pub(crate) fn date_parts(text: &[u8]) -> Option<DateParts<'_>> {
    let (first, rest) = digits(text, 2)?;
    let (&separator, rest) = rest.split_first()?;
    let (second, rest) = digits(rest, 2)?;
    let rest = rest.strip_prefix(&[separator])?;
    let (year, rest) = digits(rest, 4)?;
    let known = matches!(separator, b'.' | b'/' | b'-');
    (known && matches!(year.len(), 2 | 4)).then_some(DateParts {
        first,
        second,
        year,
        separator,
        rest,
    })
}

fn digits(text: &[u8], most: usize) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take(most).take_while(|b| b.is_ascii_digit());
    let count = count.count();
    (count > 0).then(|| text.split_at(count))
}

impl DateParts<'_> {
    /// The date in ISO 8601; `None` for a year of two digits, whose century is not known.
    fn iso(&self, day_first: bool) -> Option<[u8; 10]> {
        let year: [u8; 4] = self.year.try_into().ok()?;
        let (day, month) = match day_first {
            true => (self.first, self.second),
            false => (self.second, self.first),
        };
        let two = |part: &[u8]| match part {
            [one] => Some([b'0', *one]),
            [ten, one] => Some([*ten, *one]),
            _ => None,
        };
        let ([a, b, c, d], [e, f], [g, h]) = (year, two(month)?, two(day)?);
        Some([a, b, c, d, b'-', e, f, b'-', g, h])
    }

    pub(crate) fn has_short_year(&self) -> bool {
        self.year.len() == 2
    }
}

impl DateOrder {
    fn iso(self, text: &[u8]) -> Option<([u8; 10], &[u8])> {
        let parts = date_parts(text)?;
        let day_first = match (self, parts.separator) {
            (_, b'.') | (Self::DayFirst, _) => true,
            (Self::MonthFirst, _) => false,
            (Self::Dots, _) => return None,
        };
        Some((parts.iso(day_first)?, parts.rest))
    }

    /// Days since 1970 of a date that is not in ISO 8601.
    pub(crate) fn date(self, text: &[u8]) -> Option<i32> {
        let (iso, rest) = self.iso(text)?;
        rest.is_empty().then(|| date(&iso)).flatten()
    }

    /// A point in time whose date is not in ISO 8601.
    pub(crate) fn timestamp(self, text: &[u8]) -> Option<Moment> {
        let (iso, rest) = self.iso(text)?;
        let rest = match rest.strip_prefix(b", ") {
            Some(rest) => rest,
            None => rest
                .get(1..)
                .filter(|_| matches!(rest.first(), Some(b' ' | b'T')))?,
        };
        let mut whole = [0; 48];
        let length = 11 + rest.len();
        whole.get_mut(..10)?.copy_from_slice(&iso);
        *whole.get_mut(10)? = b' ';
        whole.get_mut(11..length)?.copy_from_slice(rest);
        timestamp(whole.get(..length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::{decimal, double};
    use super::*;

    #[test]
    fn numbers_with_separators() {
        let comma = |text: &str| NumberFormat::COMMA.read(text.as_bytes(), double);
        assert_eq!(comma("1.234.567,5"), Some(1_234_567.5));
        assert_eq!(comma("-0,5"), Some(-0.5));
        assert_eq!(comma("1234"), Some(1234.0));
        assert_eq!(comma("1.234"), Some(1234.0));
        for wrong in [
            "1.5", "12.34,5", "1.2345", "1,2,3", "1,234.5", ".234", "1.234.", "1..234",
        ] {
            assert_eq!(comma(wrong), None, "{wrong}");
        }
        let grouped = |text: &str| NumberFormat::GROUPED.read(text.as_bytes(), double);
        assert_eq!(grouped("1,234.50"), Some(1234.5));
        assert_eq!(grouped("1234.5"), Some(1234.5));
        assert_eq!(grouped("12,34"), None);
        let swiss = NumberFormat {
            decimal: b'.',
            thousands: Some(b'\''),
        };
        let cents = |text: &[u8]| decimal(text, 18, 2);
        assert_eq!(swiss.read(b"1'234.50", cents), Some(123_450));
    }

    #[test]
    fn dates_with_dots_have_the_day_first() {
        let order = DateOrder::Dots;
        assert_eq!(order.date(b"28.01.2026"), date(b"2026-01-28"));
        assert_eq!(order.date(b"3.4.2013"), date(b"2013-04-03"));
        for wrong in [
            "28/01/2026",
            "28.13.2026",
            "28.01.26",
            "28.01-2026",
            "1.2.20265",
        ] {
            assert_eq!(order.date(wrong.as_bytes()), None, "{wrong}");
        }
        let at = timestamp(b"2026-01-28 14:30:00");
        assert_eq!(order.timestamp(b"28.01.2026 14:30"), at);
        assert_eq!(order.timestamp(b"28.01.2026, 14:30"), at);
        assert_eq!(
            DateOrder::MonthFirst.date(b"01/28/2026"),
            date(b"2026-01-28")
        );
        assert_eq!(DateOrder::DayFirst.date(b"28/01/2026"), date(b"2026-01-28"));
        assert_eq!(DateOrder::MonthFirst.date(b"28/01/2026"), None);
    }
}
