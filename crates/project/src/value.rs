//! Parses scalar values: durations, sizes, limits, types.
//!
//! Promise: each format has one parser, for the check and the plan. It knows no positions. Read next:
//! `shape.rs`.

use towpath_vocab::{Threshold, types};

use crate::keys::Kind;
use crate::yaml::{Node, Value};

/// The smallest memory budget a run can work with.
const LEAST_BYTES: u64 = 16_000_000;

/// Checks that a text parses as `kind`; the error is a line of help.
pub(crate) fn check(kind: Kind, text: &str) -> Result<(), String> {
    let fits = match kind {
        Kind::Integer => text.parse::<u64>().is_ok(),
        Kind::Boolean => matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE"),
        Kind::Duration => duration_ms(text).is_some(),
        Kind::Size => memory_bytes(text).is_some(),
        Kind::Limit => threshold(text).is_some(),
        Kind::Type => types::parse(text).is_ok(),
        Kind::OneOf(words) => words.contains(&text),
        _ => true,
    };
    if fits {
        return Ok(());
    }
    Err(match kind {
        Kind::Integer => "write a whole number: 3",
        Kind::Boolean => "write true or false",
        Kind::Duration => "write 30s, 10m, 24h or 2d",
        Kind::Size => "write 512MB or 4GB; 16MB at least",
        Kind::Limit => "write 1%, a number of rows, or { percent: 1, rows: 10 }",
        _ => "write one of the words that this key takes",
    }
    .to_owned())
}

/// Milliseconds of `500ms`, `30s`, `10m`, `1h30m`, `2d`; a bare number is seconds.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let tail = rest.get(digits..)?;
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let factor = match tail.get(..unit)?.trim() {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = tail.get(unit..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// A memory budget that a run or a copy can work with: at least 16 MB.
pub fn memory_bytes(text: &str) -> Option<u64> {
    size_bytes(text).filter(|bytes| *bytes >= LEAST_BYTES)
}

/// Bytes of `256MB` (10^6), `256MiB` (2^20), `4GB`; a bare number is bytes.
fn size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text.get(..split)?.parse().ok()?;
    let factor = match text.get(split..)?.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// A limit in one word: `1%` or a row count.
pub fn threshold(text: &str) -> Option<Threshold> {
    let text = text.trim();
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().ok()?;
        return (0.0..=100.0).contains(&percent).then_some(Threshold {
            rows: None,
            percent: Some(percent),
        });
    }
    Some(Threshold {
        rows: Some(text.parse().ok()?),
        percent: None,
    })
}

/// A limit in one of its three forms.
pub(crate) fn limit(node: &Node) -> Option<Threshold> {
    match &node.value {
        Value::Scalar { text, .. } => threshold(text),
        Value::Map(map) => {
            let number = |key: &str| map.get(key).and_then(|entry| entry.value.text());
            let percent = match number("percent") {
                Some(text) => Some(
                    text.trim_end_matches('%')
                        .trim()
                        .parse()
                        .ok()
                        .filter(|p| (0.0..=100.0).contains(p))?,
                ),
                None => None,
            };
            let rows = match number("rows") {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            };
            let known = map.keys().all(|key| key == "percent" || key == "rows");
            (known && (rows.is_some() || percent.is_some())).then_some(Threshold { rows, percent })
        }
        _ => None,
    }
}

/// Words for types, for suggestions.
pub(crate) fn type_words() -> impl Iterator<Item = &'static str> {
    types::WORDS
        .iter()
        .map(|(word, _)| *word)
        .chain(["decimal(18,2)", "timestamptz"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(duration_ms("24h"), Some(86_400_000));
        assert_eq!(duration_ms("90"), Some(90_000));
        for bad in ["", "h", "1x", "-1s", "1h 30"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
        assert_eq!(size_bytes("256MB"), Some(256_000_000));
        assert_eq!(size_bytes("1 GiB"), Some(1 << 30));
        assert_eq!(size_bytes("2G"), Some(2_000_000_000));
        assert_eq!(size_bytes("lots"), None);
        assert_eq!(size_bytes("0MB"), None);
        assert!(check(Kind::Size, "16MB").is_ok());
        let least = |help: String| help.contains("16MB at least");
        assert!(check(Kind::Size, "15MB").is_err_and(least));
    }

    #[test]
    fn limits() {
        assert_eq!(
            threshold("1%"),
            Some(Threshold {
                rows: None,
                percent: Some(1.0)
            })
        );
        assert_eq!(
            threshold("100"),
            Some(Threshold {
                rows: Some(100),
                percent: None
            })
        );
        assert_eq!(threshold("101%"), None);
        assert_eq!(threshold("few"), None);
    }
}
