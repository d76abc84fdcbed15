//! How SQLite distinguishes the rows at the end of a read (`relational/boundary.rs`): rows are compared as
//! they are read, by digests that are made here.
//!
//! Promise: equal rows have equal digests, whatever else they are. It decides nothing about when it is
//! needed: `cursor.rs`; the rows are left out in `pump.rs`.

use std::collections::BTreeMap;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};
use sha2::{Digest as _, Sha256};

use super::error::{ErrorContext as _, Result};
use super::names::quoted;
use crate::relational::boundary::{Boundary, DIGEST_BYTES, MOST_ROWS};

/// The rows of `from_sql` whose `cursor` is `value`; `None` when there are too many.
pub(super) fn read(
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

/// Of these values, each with its storage class and its length.
pub(super) fn digest(row: &Row<'_>, places: &[usize]) -> rusqlite::Result<String> {
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
