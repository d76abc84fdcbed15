//! Foreign keys through which a write would change rows of other tables behind the user's back.
//!
//! Promise: a write whose deletions or updates another table would follow (`CASCADE`, `SET NULL`, `SET DEFAULT`) is
//! refused, where this SQLite enforces foreign keys. It is asked under the lock of the file, so nobody defines
//! one before the commit. Read next: `writer.rs`, `relational/effects.rs`.

use rusqlite::Connection;

use super::catalog::look_up;
use super::error::{ErrorContext as _, Result, SqliteError};
use super::names::same;
use crate::relational::effects::Effects;

const LOOKING: &str = "looking at foreign keys";
const RULES: [&str; 3] = ["CASCADE", "SET NULL", "SET DEFAULT"];

/// One column of a foreign key.
struct Key {
    other: String,
    /// The column that it refers to; the primary key if `None`.
    column: Option<String>,
    on_delete: String,
    on_update: String,
}

/// Refuses a write whose effects other tables would follow.
pub(super) fn refuse_cascades(
    connection: &Connection,
    (table, effects): (&str, &Effects),
    shown: &str,
) -> Result<()> {
    if effects.are_none() {
        return Ok(());
    }
    let enforced: bool = connection
        .query_row("SELECT foreign_keys FROM pragma_foreign_keys", [], |row| {
            row.get(0)
        })
        .doing(shown, LOOKING)?;
    if !enforced {
        return Ok(());
    }
    let primary = look_up(connection, table, shown)?.map_or_else(Vec::new, |found| found.key);
    let refused = |done, key: &Key| SqliteError::Cascade {
        table: table.to_owned(),
        done,
        other: key.other.clone(),
    };
    for key in keys(connection, table).doing(shown, LOOKING)? {
        let follows = |rule: &str| RULES.iter().any(|known| rule.eq_ignore_ascii_case(known));
        if effects.deletes && follows(&key.on_delete) {
            return Err(refused("deleted", &key));
        }
        let refers_to = |updated: &String| match &key.column {
            Some(column) => same(column, updated),
            None => primary.iter().any(|column| same(column, updated)),
        };
        if follows(&key.on_update) && effects.updates.iter().any(refers_to) {
            return Err(refused("updated", &key));
        }
    }
    Ok(())
}

fn keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Key>> {
    let sql = "SELECT m.name, f.\"to\", f.on_delete, f.on_update FROM main.sqlite_master m \
               JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE";
    let mut statement = connection.prepare(sql)?;
    let keys = statement.query_map([table], |row| {
        Ok(Key {
            other: row.get(0)?,
            column: row.get(1)?,
            on_delete: row.get(2)?,
            on_update: row.get(3)?,
        })
    })?;
    keys.collect()
}
