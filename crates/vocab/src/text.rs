//! Parses text to values, directly from bytes: integers, decimals, doubles, booleans, dates, timestamps.
//!
//! Promise: a value is exact or refused; nothing is rounded, clamped or guessed (a double is the nearest
//! one). Text files and text columns with a declared type use these parsers, so both accept the same texts.
//! It knows no column, no NULL and no user's pattern. Read next: `text/shortest.rs`.

mod shortest;

use shortest::Plain;

/// A point in time, parsed from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970; if the text has no offset, as if it were UTC.
    pub micros: i64,
    /// The text has an offset.
    pub zoned: bool,
}

/// A whole number: digits with an optional sign.
#[inline]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 18 {
        let mut value: i64 = 0;
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Downwards, because i64 has one more negative number.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// A whole number without sign, up to 64 bits.
#[inline]
pub fn unsigned(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            None
        } else {
            value.checked_mul(10)?.checked_add(u64::from(digit))
        }
    })
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The nearest double; a number beyond all doubles is refused, and infinity must be written as a word.
///
/// Short plain numbers take a path that is exact by construction: both the digits and the power of ten are
/// doubles, so one division rounds once.
#[inline]
pub fn double(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.len() <= 16 && digits.first().is_some_and(u8::is_ascii_digit) {
        let mut mantissa: u64 = 0;
        let mut scale = 0_usize;
        let mut dot = false;
        let mut plain = true;
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                mantissa = mantissa * 10 + u64::from(digit);
                scale += usize::from(dot);
            } else if byte == b'.' && !dot {
                dot = true;
            } else {
                plain = false;
                break;
            }
        }
        if plain
            && mantissa < (1 << 53)
            && let Some(power) = POWERS.get(scale)
        {
            #[allow(
                clippy::cast_precision_loss,
                reason = "below 2^53 every whole number is a double"
            )]
            let value = mantissa as f64 / power;
            return Some(if negative { -value } else { value });
        }
    }
    let value: f64 = fast_float2::parse(text).ok()?;
    (value.is_finite() || is_word(text)).then_some(value)
}

/// The nearest 32-bit float, as for doubles.
#[inline]
pub fn single(text: &[u8]) -> Option<f32> {
    let value: f32 = fast_float2::parse(text).ok()?;
    (value.is_finite() || is_word(text)).then_some(value)
}

/// True for words such as `inf` and `NaN`.
#[inline]
fn is_word(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"-").or(text.strip_prefix(b"+"));
    rest.unwrap_or(text)
        .first()
        .is_some_and(u8::is_ascii_alphabetic)
}

/// Whether a text is a number that is too large for a double.
pub fn beyond_doubles(text: &[u8]) -> bool {
    double(text).is_none() && fast_float2::parse::<f64, _>(text).is_ok()
}

/// The double whose shortest text is the same number; none if digits would be lost.
#[inline]
pub fn exact_double(text: &[u8]) -> Option<f64> {
    let Some(plain) = Plain::read(text) else {
        let value = double(text)?;
        let is_exact = !value.is_finite() || is_short(text, 15) || prints_as(text, value);
        return is_exact.then_some(value);
    };
    let value = match plain.double() {
        Some(value) if text.first() == Some(&b'-') => -value,
        Some(value) => value,
        None => double(text)?,
    };
    let is_exact = plain.is_shortest(value);
    is_exact
        .unwrap_or_else(|| prints_as(text, value))
        .then_some(value)
}

/// Whether the shortest text of a double is the same number as this text.
#[inline(never)]
fn prints_as(text: &[u8], value: f64) -> bool {
    survives(text, &format!("{value:e}"))
}

/// The 32-bit float whose shortest text is the same number; none if digits would be lost.
#[inline]
pub fn exact_single(text: &[u8]) -> Option<f32> {
    let value = single(text)?;
    (!value.is_finite() || is_short(text, 6) || survives(text, &format!("{value:e}")))
        .then_some(value)
}

/// True if a number has so few digits that none can be lost.
#[inline]
fn is_short(text: &[u8], digits: usize) -> bool {
    text.len() <= digits && !text.iter().any(|byte| matches!(byte, b'e' | b'E'))
}

/// Whether two texts are the same number.
fn survives(text: &[u8], shortest: &str) -> bool {
    match (normal(text), normal(shortest.as_bytes())) {
        (Some(given), Some(kept)) => given == kept,
        _ => false,
    }
}

/// Sign, digits without zeros at either end, and the power of ten of the last one.
fn normal(text: &[u8]) -> Option<(bool, Vec<u8>, i64)> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let split = rest
        .iter()
        .position(|byte| matches!(byte, b'e' | b'E'))
        .unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(split);
    let mut power = match exponent.get(1..) {
        Some(exponent) if !exponent.is_empty() => integer(exponent)?,
        _ => 0,
    };
    let mut digits = Vec::with_capacity(mantissa.len());
    let mut dot = false;
    for byte in mantissa {
        if *byte == b'.' {
            dot = true;
        } else {
            power -= i64::from(dot);
            if !(digits.is_empty() && *byte == b'0') {
                digits.push(*byte);
            }
        }
    }
    while digits.last() == Some(&b'0') {
        digits.pop();
        power += 1;
    }
    let power = if digits.is_empty() { 0 } else { power };
    Some((negative, digits, power))
}

/// A decimal as digits of this scale, if it has at most this precision. Excess digits after the
/// point must be zeros.
#[inline]
pub fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let scale = i32::from(scale);
    let mut value: i128 = 0;
    let mut fraction: i32 = 0;
    let mut seen = false;
    let mut dot = false;
    let mut pending_zeros: i32 = 0;
    let mut exponent: i32 = 0;
    for (at, &byte) in rest.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                let digit = i128::from(byte - b'0');
                fraction += i32::from(dot);
                if digit == 0 {
                    pending_zeros = pending_zeros.checked_add(1)?;
                } else {
                    value = shifted(value, pending_zeros)?
                        .checked_mul(10)?
                        .checked_add(digit)?;
                    pending_zeros = 0;
                }
            }
            b'.' if !dot => dot = true,
            b'e' | b'E' if seen => {
                exponent = i32::try_from(integer(rest.get(at + 1..)?)?).ok()?;
                break;
            }
            _ => return None,
        }
    }
    if !seen {
        return None;
    }
    if value == 0 {
        return Some(0);
    }
    // The number is value * 10^(pending_zeros - fraction + exponent).
    let shift = pending_zeros
        .checked_sub(fraction)?
        .checked_add(exponent)?
        .checked_add(scale)?;
    let value = if shift >= 0 {
        shifted(value, shift)?
    } else {
        divided(value, shift.checked_neg()?)?
    };
    if value >= 10_i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

#[inline]
fn shifted(value: i128, by: i32) -> Option<i128> {
    if value == 0 || by == 0 {
        return Some(value);
    }
    value.checked_mul(10_i128.checked_pow(u32::try_from(by).ok()?)?)
}

#[inline]
fn divided(value: i128, by: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(u32::try_from(by).ok()?)?;
    (value % power == 0).then_some(value / power)
}

/// A boolean in the usual words; for declared columns only.
#[inline]
pub fn boolean(text: &[u8]) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word.as_bytes());
    if is("true") || is("t") || is("1") || is("yes") || is("y") {
        Some(true)
    } else if is("false") || is("f") || is("0") || is("no") || is("n") {
        Some(false)
    } else {
        None
    }
}

/// The number of two digits; beyond 99 where they are none.
#[inline]
fn two(high: u8, low: u8) -> u32 {
    let (high, low) = (high.wrapping_sub(b'0'), low.wrapping_sub(b'0'));
    match high <= 9 && low <= 9 {
        true => u32::from(high) * 10 + u32::from(low),
        false => u32::MAX,
    }
}

/// `YYYY-MM-DD` as days since 1970.
#[inline]
pub fn date(text: &[u8]) -> Option<i32> {
    text.try_into().ok().and_then(|text: &[u8; 10]| days(text))
}

#[inline]
fn days(text: &[u8; 10]) -> Option<i32> {
    let &[c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let (century, year) = (two(c1, c2), two(y1, y2));
    let (month, day) = (two(m1, m2), two(d1, d2));
    if century > 99 || year > 99 {
        return None;
    }
    let year = century * 100 + year;
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    Some(days_since_1970(year, month, day))
}

#[inline]
fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Days between 1970-01-01 and a date of the Gregorian calendar, years 1 to 9999: whole years
/// counted from March, so that the leap day is the last of its year.
#[inline]
fn days_since_1970(year: u32, month: u32, day: u32) -> i32 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leaps + (month * 153 + 2) / 5 + day;
    // 719,469 is what the line above gives for 1970-01-01. Both are below 2^22.
    i32::try_from(days).unwrap_or(i32::MAX) - 719_469
}

/// `YYYY-MM-DD`, then `T` or a blank, `HH:MM`, optional `:SS`, optional fraction, optional `Z`,
/// ` UTC` or offset. A fraction finer than microseconds is refused unless its rest is zeros.
#[inline]
pub fn timestamp(text: &[u8]) -> Option<Moment> {
    let (start, rest) = text.split_first_chunk::<16>()?;
    let (date, &[b'T' | b't' | b' ', h1, h2, b':', m1, m2]) = start.split_first_chunk::<10>()?
    else {
        return None;
    };
    let days = days(date)?;
    let (hour, minute) = (two(h1, h2), two(m1, m2));
    let (second, fraction, rest) = match rest {
        [b':', s1, s2, b'.', rest @ ..] => {
            let (fraction, rest) = micros(rest)?;
            (two(*s1, *s2), fraction, rest)
        }
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2), 0, rest),
        [b':', ..] => return None,
        rest => (0, 0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match rest {
        [] => None,
        [b'Z' | b'z'] | b" UTC" => Some(0),
        rest => Some(offset_minutes(rest)?),
    };
    let seconds =
        i64::from(hour * 3600 + minute * 60 + second) - i64::from(offset.unwrap_or(0)) * 60;
    let micros = (i64::from(days) * 86_400 + seconds) * 1_000_000 + i64::from(fraction);
    Some(Moment {
        micros,
        zoned: offset.is_some(),
    })
}

/// Microseconds of a fraction, and what stands behind it.
#[inline]
fn micros(text: &[u8]) -> Option<(u32, &[u8])> {
    let (mut value, mut digits) = (0, 0);
    let mut rest = text;
    while let [byte @ b'0'..=b'9', behind @ ..] = rest {
        if digits < 6 {
            value = value * 10 + u32::from(byte - b'0');
        } else if *byte != b'0' {
            return None;
        }
        digits += 1;
        rest = behind;
    }
    if digits == 0 {
        return None;
    }
    for _ in digits..6 {
        value *= 10;
    }
    Some((value, rest))
}

/// `+HH`, `+HHMM`, `+HH:MM`, or with a minus, possibly after a blank.
#[inline]
fn offset_minutes(text: &[u8]) -> Option<i32> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match *text {
        [_, h1, h2] => (two(h1, h2), 0),
        [_, h1, h2, m1, m2] | [_, h1, h2, b':', m1, m2] => (two(h1, h2), two(m1, m2)),
        _ => return None,
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    i32::try_from(hours * 60 + minutes)
        .ok()
        .map(|all| sign * all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_to_the_last_bit() {
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        for bad in [
            "",
            "-",
            "9223372036854775808",
            "1.0",
            "1 ",
            "0x1",
            "--1",
            "\u{661}",
        ] {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), None);
        assert_eq!(unsigned(b"-1"), None);
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(decimal(b"12.30", 5, 2), Some(1230));
        assert_eq!(decimal(b"-0.005", 5, 3), Some(-5));
        assert_eq!(decimal(b"12.3000", 5, 2), Some(1230));
        assert_eq!(decimal(b"12.301", 5, 2), None);
        assert_eq!(decimal(b"1000.00", 5, 2), None);
        assert_eq!(decimal(b"1.5e2", 5, 2), Some(15000));
        assert_eq!(decimal(b"15e-1", 5, 2), Some(150));
        assert_eq!(decimal(b".5", 5, 2), Some(50));
        assert_eq!(decimal(b"00012", 2, 0), Some(12));
        let widest = "9".repeat(38);
        assert_eq!(decimal(widest.as_bytes(), 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(decimal(format!("{widest}0").as_bytes(), 38, 0), None);
        for bad in ["", ".", "-", "1e", "e1", "1.2.3", "1,2", "NaN"] {
            assert_eq!(decimal(bad.as_bytes(), 38, 10), None, "{bad}");
        }
    }

    #[test]
    fn doubles_are_never_infinite_by_size() {
        for bad in ["1e999", "-1e999", "+1e400", ".1e999"] {
            assert_eq!(double(bad.as_bytes()), None, "{bad}");
            assert!(beyond_doubles(bad.as_bytes()), "{bad}");
        }
        assert_eq!(double("9".repeat(400).as_bytes()), None);
        assert_eq!((single(b"1e39"), single(b"-1e39")), (None, None));
        for word in ["inf", "-inf", "+inf", "Infinity", "-infinity"] {
            assert!(
                double(word.as_bytes()).is_some_and(f64::is_infinite),
                "{word}"
            );
            assert!(
                single(word.as_bytes()).is_some_and(f32::is_infinite),
                "{word}"
            );
        }
        assert!(double(b"NaN").is_some_and(f64::is_nan));
        assert!(!beyond_doubles(b"x") && !beyond_doubles(b"inf"));
    }

    #[test]
    fn exact_doubles_keep_their_digits() {
        for good in [
            "0.1",
            "-0.0",
            "1e22",
            "0.30000000000000004",
            "9007199254740992",
            "inf",
            "+7",
        ] {
            assert!(exact_double(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["9007199254740993", "0.1234567890123456789", "1e-999", "x"] {
            assert_eq!(exact_double(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(exact_single(b"0.1"), Some(0.1));
        assert_eq!(exact_single(b"16777217"), None);
    }

    #[test]
    fn moments_with_and_without_offset() {
        assert_eq!(
            timestamp(b"1970-01-01T00:00:00Z"),
            Some(Moment {
                micros: 0,
                zoned: true
            })
        );
        assert_eq!(
            timestamp(b"1970-01-01 01:00:00.25+01:00"),
            Some(Moment {
                micros: 250_000,
                zoned: true
            })
        );
        assert_eq!(
            timestamp(b"1970-01-01 00:00:00.25 UTC"),
            Some(Moment {
                micros: 250_000,
                zoned: true
            })
        );
        assert_eq!(
            timestamp(b"2013-01-01 05:15"),
            Some(Moment {
                micros: 1_357_017_300_000_000,
                zoned: false
            })
        );
        assert_eq!(
            timestamp(b"1969-12-31T23:59:59.999999"),
            Some(Moment {
                micros: -1,
                zoned: false
            })
        );
        assert_eq!(
            timestamp(b"2013-01-01T00:00:00.123456000Z").map(|m| m.micros % 1_000_000),
            Some(123_456)
        );
        for bad in [
            "2013-01-01",
            "2013-01-01T24:00:00",
            "2013-01-01T00:00:60",
            "2013-01-01T00:00:00.1234567",
            "2013-01-01T00:00:00.",
            "2013-01-01T00:00:00X",
        ] {
            assert_eq!(timestamp(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn dates_agree_with_chrono(year in 1..=9999_i32, month in 0..=13_u32, day in 0..=32_u32) {
            let text = format!("{year:04}-{month:02}-{day:02}");
            let expected = chrono::NaiveDate::from_ymd_opt(year, month, day)
                .map(|date| i32::try_from(date.signed_duration_since(chrono::NaiveDate::default()).num_days()).unwrap());
            prop_assert_eq!(date(text.as_bytes()), expected);
        }

        #[test]
        fn doubles_agree_with_std(digits in "-?[0-9]{1,19}(\\.[0-9]{0,12})?(e-?[0-9]{1,2})?") {
            prop_assert_eq!(double(digits.as_bytes()), digits.parse::<f64>().ok());
            let exact = exact_double(digits.as_bytes());
            prop_assert!(exact.is_none() || exact == digits.parse().ok());
        }

        #[test]
        fn integers_agree_with_std(text in "[-+]?[0-9]{0,21}") {
            prop_assert_eq!(integer(text.as_bytes()), text.parse::<i64>().ok());
            prop_assert_eq!(unsigned(text.as_bytes()), text.parse::<u64>().ok());
        }
    }
}
