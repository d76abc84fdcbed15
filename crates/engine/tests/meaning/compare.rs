//! When two results are equal.
//!
//! Promise: numbers are compared as numbers (floating point to its last digits, decimals to the digits of
//! Towpath's type), everything else as text. If PostgreSQL fails for a value, Towpath must fail; if
//! PostgreSQL does not accept the types at all, Towpath may accept them.

use std::fmt;

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
    let mut found: Vec<Difference> = bugs(case, rows);
    for (at, (theirs, ours)) in theirs.iter().zip(rows).enumerate() {
        let what = match (theirs, ours) {
            (Theirs::Value(theirs), Ours::Value(ours)) if alike(theirs, ours) => continue,
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

pub(crate) fn alike(theirs: &Option<String>, ours: &Option<String>) -> bool {
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        return theirs == ours;
    };
    theirs == ours || numbers(theirs, ours)
}

/// Numbers that are the same to the digits either has.
fn numbers(theirs: &str, ours: &str) -> bool {
    let looks = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let (Ok(a), Ok(b)) = (theirs.parse::<f64>(), ours.parse::<f64>()) else {
        return false;
    };
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a.is_infinite() || b.is_infinite() {
        return a == b;
    }
    if !looks(theirs) || !looks(ours) {
        return false;
    }
    let plain = |text: &str| !text.contains(['e', 'E']);
    if plain(theirs) && plain(ours) {
        if trimmed(theirs) == trimmed(ours) {
            return true;
        }
        // What one has more digits of, to the digits of the other.
        if a.abs() > 1e15 && !theirs.contains('.') && !ours.contains('.') {
            return false;
        }
    }
    (a - b).abs() <= 4e-15 * a.abs().max(b.abs()) || a == b || rounded(theirs, ours)
}

fn trimmed(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// Decimals of fewer places: at least four, and not more than one in the last of them away.
fn rounded(theirs: &str, ours: &str) -> bool {
    let places = |text: &str| text.split_once('.').map_or(0, |(_, part)| part.len());
    let fewer = places(ours).min(places(theirs));
    if fewer < 4 || places(ours) == places(theirs) {
        return false;
    }
    let (Ok(a), Ok(b)) = (theirs.parse::<f64>(), ours.parse::<f64>()) else {
        return false;
    };
    (a - b).abs() <= 1.000001 * 10_f64.powi(-i32::try_from(fewer).unwrap_or(i32::MAX))
}
