//! The databases that drivers lead to, and how each writes SQL where they differ.
//!
//! Promise: pure text. What a database does not say in the standard's way is here for DuckDB, PostgreSQL and SQLite;
//! any other one gets the standard's SQL, and a value that has no safe form in it is refused, not guessed. Read next:
//! `literal.rs`, `look/`.

use crate::relational::names::quoted;

/// A database whose ways are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    DuckDb,
    Postgres,
    Sqlite,
    /// Any other: the standard's SQL.
    Other,
}

/// What a driver says about its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) vendor: Vendor,
    /// Name and version: `duckdb v1.5.6`.
    pub(super) shown: String,
    /// The driver and its version, if it says them.
    pub(super) driver: String,
}

impl Vendor {
    /// By the name that the driver gives.
    pub(super) fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "duckdb" => Self::DuckDb,
            "postgresql" => Self::Postgres,
            "sqlite" => Self::Sqlite,
            _ => Self::Other,
        }
    }

    /// One identifier.
    pub(super) fn quoted(self, name: &str) -> String {
        quoted(name)
    }

    /// Whether two names of columns mean one column.
    pub(super) fn same(self, one: &str, other: &str) -> bool {
        match self {
            Self::DuckDb | Self::Sqlite => one.eq_ignore_ascii_case(other),
            Self::Postgres | Self::Other => one == other,
        }
    }

    /// Whether a session can read several statements in one transaction, so that all see the same rows or a boundary
    /// separates them.
    pub(super) fn has_transactions(self) -> bool {
        self != Self::Other
    }

    /// The first statement of a read, which fixes what it sees.
    pub(super) fn snapshot(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            // What the first SELECT sees stays.
            Self::DuckDb | Self::Sqlite | Self::Other => None,
        }
    }

    /// Text as it stands in SQL; `None` if it has no form that every database takes for the same.
    pub(super) fn text(self, text: &str) -> Option<String> {
        if text.contains('\0') {
            return None;
        }
        let doubled = text.replace('\'', "''");
        match (self, text.contains('\\')) {
            (Self::Postgres, true) => Some(format!("E'{}'", doubled.replace('\\', "\\\\"))),
            // Some take a backslash for the beginning of another character.
            (Self::Other, true) => None,
            _ => Some(format!("'{doubled}'")),
        }
    }

    /// A limit behind a query; not every database has it in these words.
    pub(super) fn limit(self, rows: Option<u64>) -> String {
        match self {
            Self::Other => String::new(),
            _ => crate::relational::reader::limit(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_text_everywhere_or_refused() {
        let of = |vendor: Vendor, text| vendor.text(text);
        assert_eq!(of(Vendor::Other, "it's").as_deref(), Some("'it''s'"));
        assert_eq!(of(Vendor::Other, "a\\' OR 1=1 --"), None);
        assert_eq!(of(Vendor::DuckDb, "a\\'").as_deref(), Some("'a\\'''"));
        assert_eq!(of(Vendor::Postgres, "a\\'").as_deref(), Some("E'a\\\\'''"));
        assert_eq!(of(Vendor::Sqlite, "a\0b"), None);
    }
}
