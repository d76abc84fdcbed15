//! The rows at the end of what a cursor has read: distinguished by digests, so that none comes twice.
//!
//! Promise: of the rows whose cursor equals the last value a position stores a digest each, with their
//! number, so that a later read gives exactly those that were not given. Too many are not stored: then a
//! read that needs them is refused, or gives all of them where they are written by a key, and never repeats
//! rows without a word. What a digest is made of, and where rows are compared, is the database's:
//! `postgres/boundary.rs` asks the server, `sqlite/boundary.rs` compares rows as they come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So many rows at the end are distinguished.
pub(crate) const MOST_ROWS: u64 = 10_000;
/// Bytes of a digest that is made here: enough for `MOST_ROWS` of them.
pub(crate) const DIGEST_BYTES: usize = 8;
/// No other piece of a read counts up to here.
pub(crate) const FIRST_ORDINAL: u64 = 1 << 60;

/// The rows that were given at the end of a read, as a position stores them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Boundary {
    /// The digest, where a database has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The columns the digests are made of.
    columns: Vec<String>,
    /// How many rows have each digest.
    rows: BTreeMap<String, u64>,
}

impl Boundary {
    /// Of rows that were counted by their digests; `None` when there are too many.
    pub(crate) fn of(
        digest: Option<&str>,
        columns: &[String],
        rows: BTreeMap<String, u64>,
    ) -> Option<Self> {
        let count: u64 = rows.values().sum();
        (count <= MOST_ROWS).then(|| Self {
            digest: digest.map(str::to_owned),
            columns: columns.to_vec(),
            rows,
        })
    }

    /// The digest, where a database has several.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The columns the digests are made of.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows have each digest.
    pub(crate) fn rows(&self) -> &BTreeMap<String, u64> {
        &self.rows
    }
}

/// Rows that were given by an earlier read and are met again.
#[derive(Debug)]
pub(crate) struct Given {
    /// Columns that are read only to distinguish rows.
    pub(crate) more: Vec<String>,
    /// Where the columns are that digests are made of.
    pub(crate) places: Vec<usize>,
    left: BTreeMap<String, u64>,
}

impl Given {
    /// In a query for `wanted` and, behind them, for `more`. `same` says when two names mean one column.
    pub(crate) fn of(
        boundary: &Boundary,
        wanted: &[String],
        same: impl Fn(&str, &str) -> bool,
    ) -> Self {
        let mut given = Self {
            more: Vec::new(),
            places: Vec::with_capacity(boundary.columns.len()),
            left: boundary.rows.clone(),
        };
        for name in &boundary.columns {
            let place = wanted.iter().position(|other| same(other, name));
            given.places.push(place.unwrap_or_else(|| {
                given.more.push(name.clone());
                wanted.len() + given.more.len() - 1
            }));
        }
        given
    }

    /// Whether a row with this digest is one of them. Each counts once.
    pub(crate) fn holds(&mut self, digest: &str) -> bool {
        let Some(left) = self.left.get_mut(digest) else {
            return false;
        };
        let is_one = *left > 0;
        *left = left.saturating_sub(1);
        is_one
    }
}

/// How a read goes on behind the last one, where only the cursor's value distinguishes new rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resume<'a> {
    /// All rows from the lookback on come, those at the end among them.
    LookBack,
    /// Rows above the last value come, and of those at the end the ones that the boundary does not count.
    Behind(&'a Boundary),
    /// Rows above the last value come, and all of those at the end once more: they are written by a key.
    /// This is why.
    Again(String),
    /// Nothing distinguishes the rows at the end from new ones. This is why.
    Lost(String),
}

/// Decides how a read goes on. `is_there` says whether a column still exists; `may_repeat` says that rows
/// which were given may come again.
pub(crate) fn resume<'a>(
    boundary: Option<&'a Boundary>,
    (cursor, lookback): (&str, u64),
    may_repeat: bool,
    is_there: impl Fn(&str) -> bool,
) -> Resume<'a> {
    if lookback > 0 {
        return Resume::LookBack;
    }
    let reason = match boundary {
        None => format!("too many rows have the last `{cursor}`"),
        Some(boundary) => match boundary.columns.iter().find(|name| !is_there(name)) {
            None => return Resume::Behind(boundary),
            Some(gone) => format!("column `{gone}`, which distinguishes them, no longer exists"),
        },
    };
    match may_repeat {
        true => Resume::Again(reason),
        false => Resume::Lost(reason),
    }
}

/// What a person should know when rows at the end come again.
pub(crate) fn again_note(cursor: &str, reason: &str) -> String {
    format!("rows at the last `{cursor}` are read again and written by key: {reason}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn boundary(rows: u64) -> Option<Boundary> {
        let rows = BTreeMap::from([("00".to_owned(), rows)]);
        Boundary::of(None, &["id".to_owned(), "name".to_owned()], rows)
    }

    #[test]
    fn rows_at_the_end_come_once_or_by_key_or_not_at_all() {
        let one = boundary(1).unwrap();
        let ask = |boundary, lookback, may_repeat, there: &'static str| {
            resume(boundary, ("at", lookback), may_repeat, |name| {
                there.contains(name)
            })
        };
        assert_eq!(ask(Some(&one), 0, false, "id name"), Resume::Behind(&one));
        assert_eq!(ask(Some(&one), 1, false, "id"), Resume::LookBack);
        let gone = "column `name`, which distinguishes them, no longer exists".to_owned();
        assert_eq!(ask(Some(&one), 0, true, "id"), Resume::Again(gone.clone()));
        assert_eq!(ask(Some(&one), 0, false, "id"), Resume::Lost(gone));
        let many = "too many rows have the last `at`".to_owned();
        assert_eq!(ask(None, 0, false, "id name"), Resume::Lost(many));
        assert_eq!(boundary(MOST_ROWS + 1), None);
    }

    #[test]
    fn the_stored_forms_of_both_databases_are_read() {
        let server = r#"{"digest":"md5","columns":["id"],"rows":{"00":2}}"#;
        let read: Boundary = serde_json::from_str(server).unwrap();
        assert_eq!((read.digest(), read.rows()["00"]), (Some("md5"), 2));
        assert_eq!(serde_json::to_string(&read).unwrap(), server);
        let file = r#"{"columns":["id"],"rows":{"00":2}}"#;
        let read: Boundary = serde_json::from_str(file).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), file);
    }
}
