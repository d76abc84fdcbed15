//! PostgreSQL's numeric on the wire: groups of four decimal digits, to `i128`, to text and back.
//!
//! Promise: exact or refused. A value that does not fit the decimal it is meant for is never rounded
//! or clamped. The text is what the server itself would print. Wire form (`numeric_send`): counts of
//! groups, weight of the first group, sign, digits shown after the point, then the groups.

use std::fmt::Write as _;

use bytes::BufMut;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Powers of ten up to what an `i128` holds.
pub(super) const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// A numeric as it came.
#[derive(Clone, Copy)]
pub(super) struct Numeric<'a> {
    weight: i32,
    sign: u16,
    shown: u16,
    groups: &'a [u8],
}

/// Why a numeric is no decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    NotFinite,
    TooLarge,
    TooFine,
}

impl<'a> Numeric<'a> {
    /// Takes the wire form apart; `None` when it is cut short.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, groups) = bytes.split_at_checked(8)?;
        let count = usize::from(u16::from_be_bytes([header[0], header[1]]));
        (groups.len() == count * 2).then_some(Self {
            weight: i32::from(i16::from_be_bytes([header[2], header[3]])),
            sign: u16::from_be_bytes([header[4], header[5]]),
            shown: u16::from_be_bytes([header[6], header[7]]),
            groups,
        })
    }

    fn group(&self, position: i32) -> u16 {
        usize::try_from(self.weight - position)
            .ok()
            .and_then(|index| self.groups.get(index * 2..index * 2 + 2))
            .map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// The value times ten to the `scale`, when it has at most `precision` digits.
    pub(super) fn to_i128(self, precision: u8, scale: i8) -> Result<i128, Unfit> {
        if self.sign & 0xC000 == 0xC000 {
            return Err(Unfit::NotFinite);
        }
        let mut value: i128 = 0;
        let mut exponent = self.weight * 4 + i32::from(scale);
        for pair in self.groups.chunks_exact(2) {
            let digits = i128::from(u16::from_be_bytes([pair[0], pair[1]]));
            let (factor, part) = match exponent {
                0.. => (10_000, digits),
                -3..=-1 => {
                    let cut = POWERS[exponent.unsigned_abs() as usize];
                    if digits % cut != 0 {
                        return Err(Unfit::TooFine);
                    }
                    (10_000 / cut, digits / cut)
                }
                _ if digits == 0 => (1, 0),
                _ => return Err(Unfit::TooFine),
            };
            value = value
                .checked_mul(factor)
                .and_then(|v| v.checked_add(part))
                .ok_or(Unfit::TooLarge)?;
            exponent -= 4;
        }
        // The last group stood at `exponent + 4`; zeros behind it are not sent.
        let zeros = exponent + 4;
        if zeros > 0 && value != 0 {
            let factor = POWERS
                .get(zeros.unsigned_abs() as usize)
                .ok_or(Unfit::TooLarge)?;
            value = value.checked_mul(*factor).ok_or(Unfit::TooLarge)?;
        }
        let limit = POWERS.get(usize::from(precision)).ok_or(Unfit::TooLarge)?;
        if value >= *limit {
            return Err(Unfit::TooLarge);
        }
        Ok(if self.sign == NEGATIVE { -value } else { value })
    }

    /// Appends the value as the server prints it.
    pub(super) fn write_text(self, out: &mut Vec<u8>) {
        match self.sign {
            NAN => return out.extend_from_slice(b"NaN"),
            INFINITY => return out.extend_from_slice(b"Infinity"),
            NEGATIVE_INFINITY => return out.extend_from_slice(b"-Infinity"),
            NEGATIVE => out.push(b'-'),
            _ => {}
        }
        let mut started = false;
        for position in (0..=self.weight.max(0)).rev() {
            let digits = four(self.group(position));
            let skip = if started {
                0
            } else {
                digits.iter().take(3).take_while(|d| **d == b'0').count()
            };
            if started || digits != *b"0000" {
                out.extend_from_slice(&digits[skip..]);
                started = true;
            }
        }
        if !started {
            out.push(b'0');
        }
        if self.shown > 0 {
            out.push(b'.');
            let mut left = usize::from(self.shown);
            let mut position = -1;
            while left > 0 {
                let digits = four(self.group(position));
                let take = left.min(4);
                out.extend_from_slice(&digits[..take]);
                left -= take;
                position -= 1;
            }
        }
    }

    /// The value as the server prints it.
    pub(super) fn text(self) -> String {
        let mut out = Vec::with_capacity(24);
        self.write_text(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn four(group: u16) -> [u8; 4] {
    let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
    [
        digit(group / 1000),
        digit(group / 100),
        digit(group / 10),
        digit(group),
    ]
}

/// Appends the wire form (with its length) of `value` divided by ten to the `scale`.
pub(super) fn write_i128(out: &mut impl BufMut, value: i128, scale: i8) {
    let negative = value < 0;
    let mut rest = value.unsigned_abs();
    // A group border must stand at the point: fill up the last group with zeros.
    let scale = i32::from(scale);
    let padding = (4 - scale.rem_euclid(4)) % 4;
    let mut weight = -((scale + padding) / 4);
    let mut groups = [0_u16; 12];
    let mut count = 0;
    if padding > 0 && rest > 0 {
        let cut = 10_u128.pow(4 - padding.unsigned_abs());
        let last = (rest % cut) * 10_u128.pow(padding.unsigned_abs());
        groups[count] = u16::try_from(last).unwrap_or(0);
        count += 1;
        rest /= cut;
    }
    while rest > 0 {
        groups[count] = u16::try_from(rest % 10_000).unwrap_or(0);
        count += 1;
        rest /= 10_000;
    }
    let trailing = groups[..count]
        .iter()
        .take_while(|group| **group == 0)
        .count();
    weight += i32::try_from(count).unwrap_or(0) - 1;
    let sent = &groups[trailing..count];
    write_groups(
        out,
        sent.iter().rev().copied(),
        sent.len(),
        if sent.is_empty() { 0 } else { weight },
        negative,
        scale.max(0),
    );
}

/// Appends the wire form (with its length) of decimal text as Arrow prints it: `-12.50`.
pub(super) fn write_text_form(out: &mut impl BufMut, text: &str) {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut padded = String::new();
    let _ = write!(
        padded,
        "{}{whole}{fraction}",
        "0".repeat((4 - whole.len() % 4) % 4)
    );
    padded.push_str(&"0".repeat((4 - fraction.len() % 4) % 4));
    let groups: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|g| g.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
        .collect();
    let first = groups.iter().take_while(|group| **group == 0).count();
    let last = groups
        .iter()
        .rposition(|group| *group != 0)
        .map_or(first, |at| at + 1);
    let weight =
        i32::try_from(whole.len().div_ceil(4)).unwrap_or(0) - 1 - i32::try_from(first).unwrap_or(0);
    let sent = groups.get(first..last).unwrap_or_default();
    let shown = i32::try_from(fraction.len()).unwrap_or(0);
    write_groups(
        out,
        sent.iter().copied(),
        sent.len(),
        if sent.is_empty() { 0 } else { weight },
        negative,
        shown,
    );
}

fn write_groups(
    out: &mut impl BufMut,
    groups: impl Iterator<Item = u16>,
    count: usize,
    weight: i32,
    negative: bool,
    shown: i32,
) {
    out.put_i32(8 + 2 * i32::try_from(count).unwrap_or(0));
    out.put_u16(u16::try_from(count).unwrap_or(0));
    out.put_i16(i16::try_from(weight).unwrap_or(0));
    out.put_u16(if negative && count > 0 { NEGATIVE } else { 0 });
    out.put_u16(u16::try_from(shown).unwrap_or(0));
    for group in groups {
        out.put_u16(group);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn wire(value: i128, scale: i8) -> Vec<u8> {
        let mut out = Vec::new();
        write_i128(&mut out, value, scale);
        out.split_off(4)
    }

    fn printed(value: i128, scale: usize) -> String {
        let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if value < 0 { "-" } else { "" };
        if scale == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }

    proptest! {
        #[test]
        fn decimals_survive_the_wire(value in -POWERS[38] + 1..POWERS[38], scale in 0_i8..=38) {
            let bytes = wire(value, scale);
            let numeric = Numeric::read(&bytes).unwrap();
            prop_assert_eq!(numeric.to_i128(38, scale), Ok(value));
            prop_assert_eq!(numeric.text(), printed(value, usize::from(scale.unsigned_abs())));
            let mut other = Vec::new();
            write_text_form(&mut other, &printed(value, usize::from(scale.unsigned_abs())));
            prop_assert_eq!(&other[4..], &bytes[..]);
        }

        #[test]
        fn small_decimals_too(value in -20_000_i128..20_000, scale in 0_i8..=12) {
            let bytes = wire(value, scale);
            prop_assert_eq!(Numeric::read(&bytes).unwrap().to_i128(38, scale), Ok(value));
            prop_assert_eq!(Numeric::read(&bytes).unwrap().text(), printed(value, usize::from(scale.unsigned_abs())));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let bytes = wire(12_345, 3);
        let numeric = Numeric::read(&bytes).unwrap();
        assert_eq!(numeric.to_i128(38, 2), Err(Unfit::TooFine));
        assert_eq!(numeric.to_i128(4, 3), Err(Unfit::TooLarge));
        let nan = [0, 0, 0, 0, 0xC0, 0, 0, 0];
        assert_eq!(
            Numeric::read(&nan).unwrap().to_i128(38, 2),
            Err(Unfit::NotFinite)
        );
        assert_eq!(Numeric::read(&nan).unwrap().text(), "NaN");
    }
}
