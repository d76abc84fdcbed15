//! Names of PostgreSQL objects: how a person writes them and how SQL wants them.
//!
//! Promise: whatever a name holds (blanks, umlauts, quotes), `quoted` gives one SQL identifier and
//! `literal` one SQL string. Quoting happens here and nowhere else. It does not ask a server whether
//! a name exists: that is `catalog.rs`.

use std::fmt;

/// One SQL identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// One SQL string literal, safe whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A table, view or other relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
}

impl Relation {
    pub(super) fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// As SQL names it.
    pub(super) fn sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// What a person's text can mean, most likely first: `schema.table`, `"quoted"."parts"`, or a
    /// table (whose name may hold a dot) of the default schema.
    pub(super) fn readings(text: &str, default_schema: &str) -> Vec<Self> {
        let parts = parts(text);
        let mut readings = Vec::new();
        if let [schema, name] = parts.as_slice() {
            readings.push(Self::new(schema.clone(), name.clone()));
        }
        if let [name] = parts.as_slice() {
            readings.push(Self::new(default_schema, name.clone()));
        }
        let whole = Self::new(default_schema, text);
        if !readings.contains(&whole) {
            readings.push(whole);
        }
        readings
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Cuts at dots outside of double quotes; quotes are taken off.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut inside = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(last) = parts.last_mut() else { break };
        match letter {
            '"' if inside && letters.peek() == Some(&'"') => {
                letters.next();
                last.push('"');
            }
            '"' if inside || last.is_empty() => inside = !inside,
            '.' if !inside => parts.push(String::new()),
            other => last.push(other),
        }
    }
    parts
}

/// The candidate most like `wanted`, if one is close.
pub(super) fn most_similar<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let wanted = wanted.to_lowercase();
    candidates
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= wanted.chars().count().div_ceil(3))
        .map(|(_, candidate)| candidate.to_owned())
}

/// Edits (insert, delete, change, swap of neighbours) that lead from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_anything() {
        assert_eq!(quoted("Größe \"x\""), "\"Größe \"\"x\"\"\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn a_name_can_mean_more_than_one_thing() {
        assert_eq!(
            Relation::readings("orders", "public"),
            [Relation::new("public", "orders")]
        );
        assert_eq!(
            Relation::readings("sales.orders", "public"),
            [
                Relation::new("sales", "orders"),
                Relation::new("public", "sales.orders")
            ]
        );
        assert_eq!(
            Relation::readings("\"My S\".\"a.b\"", "public")[0],
            Relation::new("My S", "a.b")
        );
    }

    #[test]
    fn near_misses_are_found() {
        let names = ["orders", "customers"];
        assert_eq!(
            most_similar("ordres", names.into_iter()),
            Some("orders".into())
        );
        assert_eq!(most_similar("invoices", names.into_iter()), None);
    }
}
