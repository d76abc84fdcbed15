//! Whether the shortest text of a double has the digits of a given text, without printing the double.
//!
//! Promise: the answer is the one that printing gives, or `None`, and then only printing can tell: for
//! exponents, numbers far from 1, halves between two texts. It knows no column. Read next: `../text.rs`.

/// A number without an exponent: `digits` divided by ten to the power of `places`, its sign left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    digits: u64,
    places: u32,
}

/// Texts of this length stand for zero or for a normal double, so that 15 digits never get lost.
const LONGEST: usize = 64;

const FIVES: [u64; 23] = {
    let mut fives = [1; 23];
    let mut at = 1;
    while at < fives.len() {
        fives[at] = fives[at - 1] * 5;
        at += 1;
    }
    fives
};

/// Adds the digits at the start of a text to those before it; `None` when they do not fit.
#[inline]
fn run(before: u64, text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut digits, mut rest) = (before, text);
    while let Some((eight, behind)) = rest.split_first_chunk::<8>()
        && let Some(number) = eight_digits(*eight)
    {
        digits = digits.checked_mul(100_000_000)?.checked_add(number)?;
        rest = behind;
    }
    while let [byte @ b'0'..=b'9', behind @ ..] = rest {
        digits = digits
            .checked_mul(10)?
            .checked_add(u64::from(byte - b'0'))?;
        rest = behind;
    }
    Some((digits, rest))
}

/// The number of eight digits, all at once: bytes become pairs, then all of it is one sum.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    let each = |byte: u8| u64::from_le_bytes([byte; 8]);
    let word = u64::from_le_bytes(text);
    // Digits have a high half of 3, also when 6 is added to the low one.
    let highs = |word: u64| word & each(0xF0);
    if highs(word) != each(0x30) || highs(word.wrapping_add(each(6))) != each(0x30) {
        return None;
    }
    let digits = word - each(b'0');
    let pairs = digits * 10 + (digits >> 8);
    let first = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let second = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    Some(first.wrapping_add(second) >> 32)
}

impl Plain {
    /// Reads digits with at most one point and a minus; `None` for all else, and for too many digits.
    #[inline]
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = text.strip_prefix(b"-").unwrap_or(text);
        if text.len() > LONGEST || !text.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let (digits, rest) = run(0, text)?;
        let (digits, places) = match rest {
            [] => (digits, 0),
            [b'.', fraction @ ..] => match run(digits, fraction)? {
                (digits, []) => (digits, u32::try_from(fraction.len()).ok()?),
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { digits, places })
    }

    /// The nearest double, without its sign, where one division gives it.
    #[inline]
    pub(super) fn double(self) -> Option<f64> {
        if self.digits >= 1 << 53 {
            return None;
        }
        let power = super::POWERS.get(usize::try_from(self.places).ok()?)?;
        #[allow(
            clippy::cast_precision_loss,
            reason = "below 2^53 every whole number is a double"
        )]
        let value = self.digits as f64 / power;
        Some(value)
    }

    /// Whether the shortest text of `value`, the nearest double of this number, is the same number.
    #[inline]
    pub(super) fn is_shortest(self, value: f64) -> Option<bool> {
        // Two numbers of up to 15 digits never have the same nearest double.
        if self.digits < 1_000_000_000_000_000 {
            return Some(true);
        }
        self.of_many_digits(value.abs())
    }

    fn of_many_digits(self, value: f64) -> Option<bool> {
        let (mut digits, mut places) = (self.digits, i64::from(self.places));
        while digits.is_multiple_of(10) {
            digits /= 10;
            places -= 1;
        }
        match digits {
            ..1_000_000_000_000_000 => return Some(true),
            // A shortest text has at most 17 digits.
            100_000_000_000_000_000.. => return Some(false),
            _ => {}
        }
        let five = *FIVES.get(usize::try_from(places).ok()?)?;
        // `value` is `mantissa * 2^doublings / 2^halvings`.
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let mantissa = fraction | 1 << 52;
        let (doublings, halvings) = match (bits >> 52).checked_sub(1075) {
            Some(doublings) => (doublings, 0),
            None => (0, 1075 - (bits >> 52)),
        };
        // Below the smallest mantissa doubles are closer to each other than above it.
        if fraction == 0 {
            return None;
        }
        // All become whole numbers by the factor `10^places * 2^halvings`. They are below 2^127: the
        // mantissa is below 2^53, ten to the power of 22 below 2^74, and the text is as large as the double.
        let unit = 1_u128 << halvings;
        let text = u128::from(digits) << halvings;
        let shift = u64::try_from(places).ok()? + doublings;
        let double = (u128::from(mantissa) * u128::from(five)) << shift;
        // What is less than half the distance between neighbouring doubles away becomes this double.
        let distance = u128::from(five) << shift;
        let below = text - u128::from(digits % 10) * unit;
        for shorter in [below, below + 10 * unit] {
            let twice = 2 * shorter.abs_diff(double);
            if twice < distance {
                return Some(false);
            }
            if twice == distance {
                return None;
            }
        }
        // No text with fewer digits is left. Of those with as many digits the closest one counts.
        (2 * text.abs_diff(double) < unit).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::super::{double, exact_double, survives};
    use super::Plain;

    /// What printing says.
    fn printed(text: &str) -> Option<f64> {
        let value = double(text.as_bytes())?;
        let is_kept = !value.is_finite() || survives(text.as_bytes(), &format!("{value:e}"));
        is_kept.then_some(value)
    }

    fn agrees(text: &str) {
        let bits = |value: Option<f64>| value.map(f64::to_bits);
        let exact = exact_double(text.as_bytes());
        assert_eq!(bits(exact), bits(printed(text)), "{text}");
    }

    /// The text with another last digit.
    fn moved(text: &str, by: u8) -> String {
        let Some((rest, last)) = text.split_at_checked(text.len().saturating_sub(1)) else {
            return text.to_owned();
        };
        match last.bytes().next() {
            Some(digit @ b'0'..=b'9') => format!("{rest}{}", (digit - b'0' + by) % 10),
            _ => text.to_owned(),
        }
    }

    #[test]
    fn the_borders_of_the_ways() {
        for text in [
            "0",
            "-0",
            "0.0",
            "-0.000",
            "5.",
            "-",
            "",
            ".",
            ".5",
            "+5",
            "1.2.3",
            "999999999999999",
            "1000000000000000",
            "1000000000000001",
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "90071992547409930",
            "123456789012345678",
            "99999999999999999",
            "9223372036854775807",
            "9223372036854775000",
            "18446744073709551615",
            "18446744073709551616",
            "0.1234567890123456",
            "0.12345678901234567",
            "0.123456789012345678",
            "0.30000000000000004",
            "0.300000000000000040",
            "0.3000000000000000",
            "10.357019999999999",
            "0.1000000000000000055511151231257827",
            // Two texts with as many digits are as close to these: halves are not rounded as
            // everywhere.
            "0.000000029802322387695312",
            "0.000000029802322387695313",
            "0.00000017881393432617187",
            "0.00000017881393432617188",
            "0.5000000000000001",
            "0.49999999999999994",
            "1.9999999999999998",
            "2.0000000000000004",
            "0.0000000000000000000001234567890123456",
            "0.00000000000000000000001234567890123456",
            "1234567890123456.7",
            "12345678901234567.8",
            "90071992547409.931",
            "0.0000009007199254740993",
            // Behind the nine are the characters that look most like digits.
            "1234567890123456:",
            "123456789012345;678",
            "0.1234567?",
            "0.12345678/12345678",
        ] {
            agrees(text);
            agrees(&format!("-{text}"));
        }
    }

    /// The others are printed, which takes several times as long.
    #[test]
    fn usual_numbers_need_no_printing() {
        for (text, expected) in [
            ("0.30000000000000004", true),
            ("0.50000000000000011", false),
            ("-1.123456789012345678", false),
            ("1234567.123456789", true),
            ("12.5", true),
            ("9223372036854775807", false),
            ("9007199254740994", true),
            ("12345678901234568", true),
        ] {
            let plain = Plain::read(text.as_bytes()).unwrap();
            let value: f64 = text.parse().unwrap();
            assert_eq!(plain.is_shortest(value), Some(expected), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        /// What a program printed, one digit beside it, and with more digits than are needed.
        #[test]
        fn printed_doubles(bits in any::<u64>(), exponent in 950_u64..1100, by in 0_u8..10, places in 0_usize..20) {
            let value = f64::from_bits(bits & ((1 << 63) | ((1 << 52) - 1)) | exponent << 52);
            for text in [format!("{value}"), format!("{value:.places$}"), format!("{value:.16e}")] {
                agrees(&text);
                agrees(&moved(&text, by));
                agrees(&format!("{text}0"));
            }
        }

        #[test]
        fn doubles_at_powers_of_two(exponent in 960_u64..1090, offset in -2_i64..=2, by in 0_u8..10) {
            let value = f64::from_bits((exponent << 52).wrapping_add_signed(offset));
            let text = format!("{value}");
            agrees(&text);
            agrees(&moved(&text, by));
        }

        #[test]
        fn any_digits(text in "-?[0-9]{1,20}(\\.[0-9]{0,24})?") {
            agrees(&text);
        }

        #[test]
        fn many_digits(text in "-?[1-9][0-9]{15,17}", point in 0_usize..19) {
            let mut text = text;
            text.insert(point.min(text.len()).max(1), '.');
            agrees(&text);
        }
    }
}
