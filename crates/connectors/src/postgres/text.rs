//! Values that travel as text, printed as the server prints them.
//!
//! Promise: each gives exactly what `::text` would, `date` and `timestamp` also for years that no
//! column of ours holds. It appends to a column's buffer and allocates nothing on the way.

/// `8a6e0804-2bd0-4672-b79d-d97027f9071a`.
pub(super) fn push_uuid(bytes: &[u8; 16], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    out.extend_from_slice(&text);
}

/// Microseconds of a day as `04:05:06.789`.
pub(super) fn push_time(micros: i64, out: &mut Vec<u8>) {
    let micros = micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    two(seconds / 3600, out);
    out.push(b':');
    two(seconds / 60 % 60, out);
    out.push(b':');
    two(seconds % 60, out);
    let mut fraction = micros % 1_000_000;
    if fraction > 0 {
        out.push(b'.');
        let mut unit = 100_000;
        while fraction > 0 {
            out.push(digit(fraction / unit));
            fraction %= unit;
            unit /= 10;
        }
    }
}

fn two(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(number / 10), digit(number % 10)]);
}

fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

/// A date, in days since 2000: `2024-02-29`, `0044-03-15 BC`.
pub(super) fn date(days: i64) -> String {
    let (date, era) = day(days);
    format!("{date}{era}")
}

/// A timestamp, in microseconds since 2000, in UTC: `294276-12-31 23:59:59.999999+00`.
pub(super) fn timestamp(micros: i64, zone: bool) -> String {
    const DAY: i64 = 86_400_000_000;
    let (date, era) = day(micros.div_euclid(DAY));
    let mut time = Vec::new();
    push_time(micros.rem_euclid(DAY), &mut time);
    let zone = if zone { "+00" } else { "" };
    format!("{date} {}{zone}{era}", String::from_utf8_lossy(&time))
}

/// A day counted from 2000, and the era it lies in where that is not ours.
fn day(days: i64) -> (String, &'static str) {
    let (year, month, day) = civil(days + 10_957);
    let (year, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

/// The proleptic Gregorian date of a day counted from 1970, by eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Bytes as text; what is not UTF-8 stands as `\xNN`.
pub(super) fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_like_the_server() {
        let print = |micros| {
            let mut out = Vec::new();
            push_time(micros, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(print(0), "00:00:00");
        assert_eq!(print(86_400_000_000), "24:00:00");
        assert_eq!(print(14_706_789_000), "04:05:06.789");
        assert_eq!(print(1), "00:00:00.000001");
    }

    #[test]
    fn the_last_timestamp_prints_like_the_server() {
        assert_eq!(
            timestamp(9_223_371_331_199_999_999, true),
            "294276-12-31 23:59:59.999999+00"
        );
        assert_eq!(timestamp(0, false), "2000-01-01 00:00:00");
        assert_eq!(date(-730_119), "0001-01-01");
        assert_eq!(date(-730_120), "0001-12-31 BC");
    }
}
