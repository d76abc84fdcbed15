//! How SQLite distinguishes the rows at the end of a read (`relational/boundary.rs`): rows are compared as
//! they are read, by digests that are made here.
//!
//! Promise: each row that was given is left out once. It decides nothing about when it is needed:
//! `cursor.rs`; the rows are left out in `pump.rs`.

use std::collections::BTreeMap;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};
use sha2::{Digest as _, Sha256};

use super::error::{Doing as _, Result};
use super::names::{quoted, same};
use crate::relational::boundary::{Boundary, MOST_ROWS};

/// Bytes of a digest: enough for `MOST_ROWS` of them.
const DIGEST_BYTES: usize = 8;

/// The rows of `from_sql` whose `cursor` is `value`; `None` when there are too many.
pub(super) fn look(
    connection: &Connection,
    from_sql: &str,
    (cursor, value): (&str, &Value),
    columns: &[String],
    shown: &str,
) -> Result<Option<Boundary>> {
    let list: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let sql = format!(
        "SELECT {} FROM {from_sql} WHERE {} = ?1 LIMIT {}",
        list.join(", "),
        quoted(cursor),
        MOST_ROWS + 1
    );
    let places: Vec<usize> = (0..columns.len()).collect();
    let rows = || -> rusqlite::Result<BTreeMap<String, u64>> {
        let mut statement = connection.prepare(&sql)?;
        let mut answers = statement.query([value])?;
        let mut rows = BTreeMap::new();
        while let Some(row) = answers.next()? {
            *rows.entry(digest(row, &places)?).or_default() += 1;
        }
        Ok(rows)
    };
    let rows = rows().doing(shown, "looking at the rows at the last cursor value")?;
    Ok(Boundary::of(None, columns, rows))
}

/// How rows that were given are met again: in a query for `wanted` and what `Given` adds to it.
pub(super) fn given(boundary: &Boundary, wanted: &[String]) -> Given {
    let mut given = Given {
        more: Vec::new(),
        places: Vec::with_capacity(boundary.columns().len()),
        left: boundary.rows().clone(),
    };
    for name in boundary.columns() {
        let place = wanted.iter().position(|other| same(other, name));
        given.places.push(place.unwrap_or_else(|| {
            given.more.push(name.clone());
            wanted.len() + given.more.len() - 1
        }));
    }
    given
}

/// Rows that were given by an earlier read and are met again.
#[derive(Debug)]
pub(super) struct Given {
    /// Columns that are read only to tell rows apart.
    pub(super) more: Vec<String>,
    places: Vec<usize>,
    left: BTreeMap<String, u64>,
}

impl Given {
    /// Whether this is one of them. Each counts once.
    pub(super) fn holds(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let Some(left) = self.left.get_mut(&digest(row, &self.places)?) else {
            return Ok(false);
        };
        let is_one = *left > 0;
        *left = left.saturating_sub(1);
        Ok(is_one)
    }
}

/// Of these values, each with its storage class and its length.
fn digest(row: &Row<'_>, places: &[usize]) -> rusqlite::Result<String> {
    let mut hash = Sha256::new();
    let mut put = |class: u8, bytes: &[u8]| {
        hash.update([class]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for place in places {
        match row.get_ref(*place)? {
            ValueRef::Null => put(0, &[]),
            ValueRef::Integer(value) => put(1, &value.to_le_bytes()),
            ValueRef::Real(value) => put(2, &value.to_bits().to_le_bytes()),
            ValueRef::Text(text) => put(3, text),
            ValueRef::Blob(bytes) => put(4, bytes),
        }
    }
    let bytes = hash.finalize();
    Ok(bytes
        .iter()
        .take(DIGEST_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
