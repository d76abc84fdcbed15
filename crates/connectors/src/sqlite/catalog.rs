//! What is in a database: tables, views, their columns and keys.
//!
//! SQLite knows no schemas here: `main` and attached databases are not distinguished, names are of `main`.

use rusqlite::{Connection, OptionalExtension as _};

use super::error::{ErrorContext as _, Result, SqliteError};
use super::names::{nearest, quoted, same};
use super::types::Raw;
use crate::relational::commits;

const ASKING: &str = "looking at the catalogue";

/// A table or view.
#[derive(Clone, Debug)]
pub(super) struct CatalogTable {
    /// As the database spells it.
    pub(super) name: String,
    pub(super) is_view: bool,
    /// The name the row number goes by, when there is one.
    pub(super) rowid: Option<&'static str>,
    pub(super) columns: Vec<Raw>,
    /// Columns that take no NULL.
    pub(super) required: Vec<String>,
    /// Primary key, in its order.
    pub(super) key: Vec<String>,
}

/// Names of tables and views, sorted.
pub(super) fn names(connection: &Connection, shown: &str) -> Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> ?1 ORDER BY name";
    let mut statement = connection.prepare(sql).doing(shown, ASKING)?;
    let names = statement
        .query_map([commits::TABLE], |row| row.get(0))
        .doing(shown, ASKING)?;
    names.collect::<rusqlite::Result<_>>().doing(shown, ASKING)
}

/// A table or view, if it is there.
pub(super) fn look_up(
    connection: &Connection,
    name: &str,
    shown: &str,
) -> Result<Option<CatalogTable>> {
    let sql = "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
    let found = connection
        .query_row(sql, [name], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()
        .doing(shown, ASKING)?;
    let Some((name, kind)) = found else {
        return Ok(None);
    };
    let mut key = Vec::new();
    // Generated columns (2, 3) are values like others; hidden ones (1) belong to virtual tables.
    let sql = "SELECT name, type, pk, \"notnull\" FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let mut statement = connection.prepare(sql).doing(shown, ASKING)?;
    let rows = statement.query_map([&name], |row| {
        let raw = Raw {
            name: row.get(0)?,
            declared: row.get(1)?,
        };
        Ok((raw, row.get::<_, i64>(2)?, row.get::<_, bool>(3)?))
    });
    let (mut columns, mut required) = (Vec::new(), Vec::new());
    for row in rows.doing(shown, ASKING)? {
        let (raw, place, is_required) = row.doing(shown, ASKING)?;
        if is_required || place > 0 {
            required.push(raw.name.clone());
        }
        if place > 0 {
            key.push((place, raw.name.clone()));
        }
        columns.push(raw);
    }
    key.sort();
    let is_view = kind == "view";
    let rowid = if is_view {
        None
    } else {
        rowid(connection, &name, &columns)
    };
    Ok(Some(CatalogTable {
        name,
        is_view,
        rowid,
        columns,
        required,
        key: key.into_iter().map(|(_, name)| name).collect(),
    }))
}

fn rowid(connection: &Connection, name: &str, columns: &[Raw]) -> Option<&'static str> {
    let free = ["_rowid_", "rowid", "oid"]
        .into_iter()
        .find(|word| !columns.iter().any(|column| same(&column.name, word)))?;
    let is_there = connection
        .prepare(&format!("SELECT {free} FROM {} LIMIT 0", quoted(name)))
        .is_ok();
    is_there.then_some(free)
}

/// A table or view that must be there.
pub(super) fn find(connection: &Connection, name: &str, shown: &str) -> Result<CatalogTable> {
    let wanted = name.strip_prefix("main.").unwrap_or(name);
    for reading in [name, wanted] {
        if let Some(found) = look_up(connection, reading, shown)? {
            return Ok(found);
        }
    }
    let present = names(connection, shown)?;
    Err(SqliteError::NoTable {
        object: wanted.to_owned(),
        path: shown.to_owned(),
        nearest: nearest(wanted, present.iter().map(String::as_str)),
        present: present.into_iter().take(8).collect(),
    })
}

/// The columns of a query.
pub(super) fn query_columns(connection: &Connection, sql: &str) -> Result<Vec<Raw>> {
    let refused = |error: rusqlite::Error| SqliteError::Query {
        why: error.to_string(),
    };
    let statement = connection
        .prepare(&format!("SELECT * FROM ({sql}\n)"))
        .map_err(refused)?;
    if !statement.readonly() {
        return Err(SqliteError::Query {
            why: "it does more than read".to_owned(),
        });
    }
    let columns = statement.columns();
    Ok(columns
        .into_iter()
        .map(|column| Raw {
            name: column.name().to_owned(),
            declared: column.decl_type().unwrap_or_default().to_owned(),
        })
        .collect())
}
