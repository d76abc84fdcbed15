//! Names of PostgreSQL objects: how a person writes them and how SQL wants them.
//!
//! Promise: whatever a name holds (blanks, umlauts, quotes), `Relation` gives one SQL name and
//! `literal` one SQL string. It does not ask a server whether
//! a name exists: that is `catalog.rs`.

use std::fmt;

pub(super) use crate::relational::names::{nearest, quoted};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_anything() {
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
}
