//! Formats numbers, durations and sizes for people: `336,776`, `3 rows`, `2 min 5 s`.
//!
//! It prints nothing and knows no report.

/// `336,776`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `3 rows`
pub(crate) fn plural(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{} {noun}s", count(number))
    }
}

/// `1.1 s`, `2 min 5 s`
pub(crate) fn seconds(microseconds: u64) -> String {
    let tenths = microseconds / 100_000;
    match tenths {
        0..=599 => format!("{}.{} s", tenths / 10, tenths % 10),
        _ => format!("{} min {} s", tenths / 600, tenths % 600 / 10),
    }
}

/// `310 MB`, `4.2 GB`
pub(crate) fn bytes(number: u64) -> String {
    let megabytes = number / 1_000_000;
    match megabytes {
        0 => format!("{} kB", number / 1000),
        1..=999 => format!("{megabytes} MB"),
        _ => format!("{}.{} GB", megabytes / 1000, megabytes % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            (count(7), count(1234), count(336_776)),
            ("7".into(), "1,234".into(), "336,776".into())
        );
        assert_eq!(
            (plural(1, "row"), plural(2000, "row")),
            ("1 row".into(), "2,000 rows".into())
        );
        assert_eq!(
            (seconds(1_149_000), seconds(125_000_000)),
            ("1.1 s".into(), "2 min 5 s".into())
        );
        assert_eq!(
            (bytes(310_400_000), bytes(4_250_000_000)),
            ("310 MB".into(), "4.2 GB".into())
        );
    }
}
