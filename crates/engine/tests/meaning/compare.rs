//! When two results are equal.
//!
//! Promise: numbers are compared as numbers (floating point to its last digits, rounded decimals of at least
//! 16 digits after the point to half of the last digit), everything else as text, to the letter. If
//! PostgreSQL fails for a value, Towpath must fail; if PostgreSQL does not accept the types at all, Towpath
//! may accept them.

use std::fmt;

use arrow_schema::DataType;
use datafusion::arrow::datatypes::i256;

use crate::cases::Case;
use crate::ours::{self, Ours};
use crate::postgres::{self, Theirs};

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// Another value.
    Value,
    /// PostgreSQL fails, Towpath gives a value.
    Lenient,
    /// PostgreSQL gives a value, Towpath fails for this row.
    Strict,
    /// PostgreSQL answers, Towpath does not compile it.
    Refused,
    /// Our mistake: R0515.
    Bug,
}

/// One case in which one kind of difference was seen.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) case: Case,
    pub(crate) what: What,
    pub(crate) rows: usize,
    pub(crate) examples: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} [{}]: {}",
            self.what,
            self.case.name(),
            self.rows,
            self.examples.join(" ;; ")
        )
    }
}

pub(crate) fn compare(
    case: &Case,
    theirs: &postgres::Answer,
    ours: &ours::Answer,
) -> Vec<Difference> {
    let theirs = match theirs {
        // Types PostgreSQL does not take: nobody expects another meaning.
        postgres::Answer::Refused => {
            return match ours {
                ours::Answer::Refused(why) if why.starts_with("R0515") => {
                    vec![one(case, What::Bug, why.clone())]
                }
                ours::Answer::Rows(_, rows) => bugs(case, rows),
                ours::Answer::Refused(_) => Vec::new(),
            };
        }
        postgres::Answer::Rows(rows) => rows,
    };
    let (data_type, rows) = match ours {
        ours::Answer::Refused(why) if why.starts_with("R0515") => {
            return vec![one(case, What::Bug, why.clone())];
        }
        ours::Answer::Refused(_)
            if theirs
                .iter()
                .all(|row| matches!(row, Theirs::Fails(_) | Theirs::Value(None))) =>
        {
            return Vec::new();
        }
        ours::Answer::Refused(why) => return vec![one(case, What::Refused, why.clone())],
        ours::Answer::Rows(data_type, rows) => (data_type, rows),
    };
    let written = Written::of(data_type);
    let mut found: Vec<Difference> = bugs(case, rows);
    for (at, (theirs, ours)) in theirs.iter().zip(rows).enumerate() {
        let what = match (theirs, ours) {
            (Theirs::Value(theirs), Ours::Value(ours)) if alike(theirs, ours, written) => continue,
            (Theirs::Value(_), Ours::Value(_)) => What::Value,
            (Theirs::Fails(_), Ours::Value(_)) => What::Lenient,
            (Theirs::Value(_), Ours::Fails(why)) if !why.starts_with("R0515") => What::Strict,
            (_, Ours::Fails(_)) => continue,
        };
        let values: Vec<String> = case
            .kinds
            .iter()
            .zip(&case.rows[at])
            .map(|(kind, at)| format!("{:?}", kind.values[*at].unwrap_or("NULL")))
            .collect();
        let example = format!(
            "({}) theirs {} ours {}",
            values.join(", "),
            shown(theirs),
            match ours {
                Ours::Value(None) => "NULL".to_owned(),
                Ours::Value(Some(text)) => format!("{text:?}"),
                Ours::Fails(why) => why.clone(),
            }
        );
        match found.iter_mut().find(|known| known.what == what) {
            Some(known) => {
                known.rows += 1;
                if known.examples.len() < 3 {
                    known.examples.push(example);
                }
            }
            None => found.push(one(case, what, format!("{data_type}: {example}"))),
        }
    }
    found
}

fn shown(theirs: &Theirs) -> String {
    match theirs {
        Theirs::Value(None) => "NULL".to_owned(),
        Theirs::Value(Some(text)) => format!("{text:?}"),
        Theirs::Fails(state) => format!("error {state}"),
    }
}

fn bugs(case: &Case, rows: &[Ours]) -> Vec<Difference> {
    let bug = rows.iter().find_map(|row| match row {
        Ours::Fails(why) if why.starts_with("R0515") => Some(why.clone()),
        _ => None,
    });
    bug.map(|why| one(case, What::Bug, why))
        .into_iter()
        .collect()
}

fn one(case: &Case, what: What, example: String) -> Difference {
    Difference {
        case: case.clone(),
        what,
        rows: 1,
        examples: vec![example],
    }
}

/// How a type of ours is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As text, to the letter.
    Text,
    /// Floating point: to its last digits.
    Floating,
    /// Integers and decimals: exactly, and rounded results to half of the last digit.
    Exact,
}

impl Written {
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            data_type if data_type.is_floating() => Self::Floating,
            data_type if data_type.is_integer() || data_type.is_decimal() => Self::Exact,
            _ => Self::Text,
        }
    }
}

pub(crate) fn alike(theirs: &Option<String>, ours: &Option<String>, written: Written) -> bool {
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        return theirs == ours;
    };
    theirs == ours
        || match written {
            Written::Text => false,
            Written::Floating => floats(theirs, ours),
            Written::Exact => exact(theirs, ours),
        }
}

fn floats(theirs: &str, ours: &str) -> bool {
    let looks = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let (Ok(a), Ok(b)) = (theirs.parse::<f64>(), ours.parse::<f64>()) else {
        return false;
    };
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a.is_infinite() || b.is_infinite() || !looks(theirs) || !looks(ours) {
        return a == b;
    }
    // Theirs is numeric, and ends there.
    let is_rounded = !theirs.contains('e') && places(theirs) >= ROUNDED_PLACES;
    let last = if is_rounded { 0.51e-16 } else { 0.0 };
    (a - b).abs() <= (4e-15 * a.abs().max(b.abs())).max(last) || a == b
}

/// The fewest digits after the point of a result that is rounded.
const ROUNDED_PLACES: usize = 16;

/// Equal numbers. Rounded ones, of at least 16 digits after the point, differ by at most half of the last
/// digit of each.
fn exact(theirs: &str, ours: &str) -> bool {
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || "-.".contains(c))
    };
    if !plain(theirs) || !plain(ours) {
        // Theirs is a double.
        return floats(theirs, ours);
    }
    if trimmed(theirs) == trimmed(ours) {
        return true;
    }
    let (a, b) = (places(theirs), places(ours));
    // PostgreSQL's have at least 16 digits that count, so fewer after the point if the number is large.
    let digits = theirs
        .trim_start_matches(['-', '0', '.'])
        .replace('.', "")
        .len();
    let rounds = b >= ROUNDED_PLACES && (a >= ROUNDED_PLACES || digits >= ROUNDED_PLACES);
    if !rounds || a == b {
        return false;
    }
    // Twice the difference, in units of the longer one.
    let most = a.max(b);
    let units = |text: &str, has: usize| {
        let digits = format!("{}{}", text.replacen('.', "", 1), "0".repeat(most - has));
        i256::from_string(&digits)
    };
    let (Some(one), Some(other)) = (units(theirs, a), units(ours, b)) else {
        return false;
    };
    let unit = i256::from_string(&format!("1{}", "0".repeat(most - a.min(b)))).unwrap();
    let twice = one
        .wrapping_sub(other)
        .wrapping_abs()
        .wrapping_mul(i256::from(2));
    twice <= unit.wrapping_add(i256::ONE)
}

fn places(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, part)| part.len())
}

/// Without the zeros behind the last digit after the point.
fn trimmed(text: &str) -> &str {
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    if text == "-0" { "0" } else { text }
}

#[test]
fn rounded_numbers_are_alike_to_half_of_the_last_digit() {
    let is =
        |theirs: &str, ours: &str| alike(&Some(theirs.into()), &Some(ours.into()), Written::Exact);
    assert!(is("1.50", "1.5") && is("3", "3.0000") && is("-0.00", "0"));
    assert!(is("66.6666666666666667", "66.666666666666666667"));
    assert!(is(
        "615324827.22063037",
        "615324827.220630372492836676217765"
    ));
    assert!(!is("615324827.22063037", "615324827.220630381"));
    assert!(!is("66.6666666666666667", "66.66666666666666679"));
    assert!(!is("66.6666666666666667", "66.666667") && !is("1.5", "1.50000000000000000001"));
    assert!(!alike(
        &Some("1.50".into()),
        &Some("1.5".into()),
        Written::Text
    ));
}
