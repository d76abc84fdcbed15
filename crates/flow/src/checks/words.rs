//! Numbers and times as people write them.
//!
//! Promise: text only; it knows no check. Read next: `kinds.rs`, which uses it.

/// Units of time, longest first, in seconds.
const TIMES: [(&str, u64); 4] = [
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
    ("second", 1),
];

/// Formats a time in the longest unit that is exact.
pub(super) fn exact_time(seconds: u64) -> String {
    let exact = |(_, size): &&(&str, u64)| seconds >= *size && seconds.is_multiple_of(*size);
    let (unit, size) = TIMES.iter().find(exact).unwrap_or(&("second", 1));
    counted((seconds / size) as f64, unit, &format!("{unit}s"))
}

/// Formats a time in the longest unit of which it has two or more, rounded down.
pub(super) fn rough_time(seconds: f64) -> String {
    let fits = |(_, size): &&(&str, u64)| seconds >= 2.0 * *size as f64;
    let (unit, size) = TIMES.iter().find(fits).unwrap_or(&("second", 1));
    let count = (seconds / *size as f64).floor();
    counted(count, unit, &format!("{unit}s"))
}

/// A number with its noun: `1 row`, `7,602 rows`.
pub(super) fn counted(count: f64, one: &str, many: &str) -> String {
    let noun = if count == 1.0 { one } else { many };
    format!("{} {noun}", group_thousands(count))
}

/// A whole number with commas.
pub(crate) fn group_thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(group_thousands(7602.0), "7,602");
        assert_eq!(group_thousands(336_776.0), "336,776");
        assert_eq!(group_thousands(999.0), "999");
    }

    #[test]
    fn times_have_a_unit_a_person_can_weigh() {
        let exact = [86_400, 90_000, 3_600, 90, 0].map(exact_time);
        assert_eq!(
            exact,
            ["1 day", "25 hours", "1 hour", "90 seconds", "0 seconds"]
        );
        let rough = [91_009_869.0, 86_401.0, 100.0, 0.4].map(rough_time);
        assert_eq!(
            rough,
            ["1,053 days", "24 hours", "100 seconds", "0 seconds"]
        );
    }
}
