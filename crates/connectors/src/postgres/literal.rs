//! Values of binary copies as the server prints them, for records that fit no column.
//!
//! Promise: an array's text, cast to its type, is that array again: dimensions, bounds, NULL and the
//! text `NULL` are distinguished. Only rejected records pay for it. It decides nothing about what fits a
//! column: `decode.rs`.

use super::decode::{fixed, next_cell, push_bytes};
use super::numeric::Numeric;
use super::text;
use super::types::Kind;

/// No server sends more.
const MOST_DIMENSIONS: i32 = 6;

/// One dimension of an array.
struct Dimension {
    length: usize,
    lower: i32,
}

/// The text of an array of elements of this kind; `None` when its bytes are not those of an array.
pub(super) fn array(kind: &Kind, bytes: &[u8]) -> Option<String> {
    let (count, rest) = number(bytes)?;
    if !(0..=MOST_DIMENSIONS).contains(&count) {
        return None;
    }
    let (_has_nulls, rest) = number(rest)?;
    let (_element_type, mut rest) = number(rest)?;
    let mut dimensions = Vec::new();
    for _ in 0..count {
        let (length, after) = number(rest)?;
        let (lower, after) = number(after)?;
        let length = usize::try_from(length).ok()?;
        dimensions.push(Dimension { length, lower });
        rest = after;
    }
    // Each element has at least its length: what promises more would be printed for ever.
    let promised = dimensions.iter().try_fold(1_usize, |all, dimension| {
        all.checked_mul(dimension.length).filter(|all| *all > 0)
    });
    if !dimensions.is_empty() && promised.is_none_or(|all| all > rest.len() / 4) {
        return None;
    }
    let mut out = String::new();
    if dimensions.iter().any(|dimension| dimension.lower != 1) {
        for Dimension { length, lower } in &dimensions {
            let upper = i64::from(*lower) + i64::try_from(*length).ok()? - 1;
            out.push_str(&format!("[{lower}:{upper}]"));
        }
        out.push('=');
    }
    if dimensions.is_empty() {
        return Some("{}".to_owned());
    }
    elements(kind, &dimensions, &mut rest, &mut out)?;
    Some(out)
}

fn elements(
    kind: &Kind,
    dimensions: &[Dimension],
    rest: &mut &[u8],
    out: &mut String,
) -> Option<()> {
    let Some((first, inner)) = dimensions.split_first() else {
        let (cell, after) = next_cell(rest)?;
        *rest = after;
        match cell {
            None => out.push_str("NULL"),
            Some(cell) => quote(&value(kind, cell)?, out),
        }
        return Some(());
    };
    out.push('{');
    for at in 0..first.length {
        if at > 0 {
            out.push(',');
        }
        elements(kind, inner, rest, out)?;
    }
    out.push('}');
    Some(())
}

fn quote(text: &str, out: &mut String) {
    let is_plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|letter: char| {
            matches!(letter, '{' | '}' | '"' | '\\' | ',') || letter.is_ascii_whitespace()
        });
    if is_plain {
        out.push_str(text);
        return;
    }
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

/// The text of one value.
fn value(kind: &Kind, bytes: &[u8]) -> Option<String> {
    Some(match kind {
        Kind::Bool => if fixed::<1>(bytes).ok()?[0] == 0 {
            "f"
        } else {
            "t"
        }
        .to_owned(),
        Kind::Int2 => i16::from_be_bytes(fixed(bytes).ok()?).to_string(),
        Kind::Int4 => i32::from_be_bytes(fixed(bytes).ok()?).to_string(),
        Kind::Int8 => i64::from_be_bytes(fixed(bytes).ok()?).to_string(),
        Kind::Float4 => float(f32::from_be_bytes(fixed(bytes).ok()?)),
        Kind::Float8 => float(f64::from_be_bytes(fixed(bytes).ok()?)),
        Kind::Decimal { .. } | Kind::NumericText => Numeric::read(bytes)?.text(),
        Kind::Date => match i32::from_be_bytes(fixed(bytes).ok()?) {
            i32::MAX => "infinity".to_owned(),
            i32::MIN => "-infinity".to_owned(),
            days => text::date(i64::from(days)),
        },
        Kind::Timestamp | Kind::Instant => match i64::from_be_bytes(fixed(bytes).ok()?) {
            i64::MAX => "infinity".to_owned(),
            i64::MIN => "-infinity".to_owned(),
            micros => text::timestamp(micros, *kind == Kind::Instant),
        },
        Kind::Bytes => bytes
            .iter()
            .fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
        Kind::Text | Kind::Time | Kind::Uuid | Kind::Jsonb => {
            let mut out = Vec::new();
            push_bytes(kind, bytes, &mut out).ok()?;
            text::escaped(&out)
        }
        Kind::List(_) => return None,
    })
}

/// The shortest digits that mean this number, in the server's words where it is none.
fn float<F: std::fmt::Debug>(value: F) -> String {
    match format!("{value:?}").as_str() {
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        digits => digits.strip_suffix(".0").unwrap_or(digits).to_owned(),
    }
}

fn number(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*number), rest))
}
