//! One statement on an open SQLite connection, with the values of `tx.rs`.
//!
//! Promise: statements are prepared once per connection; a column holds an integer, a float, text or
//! nothing. It does not know which table a statement is about. Read next: `../tx.rs`.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::error::StateError;
use crate::tx::{Cell, Row};

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Null => ValueRef::Null,
            Cell::Int(number) => ValueRef::Integer(*number),
            Cell::Real(number) => ValueRef::Real(*number),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// All rows of a query.
pub(crate) fn rows(
    connection: &Connection,
    sql: &str,
    values: &[Cell],
) -> Result<Vec<Row>, StateError> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut found = Vec::new();
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(columns);
        for column in 0..columns {
            cells.push(cell(row.get_ref(column)?, column)?);
        }
        found.push(Row(cells));
    }
    Ok(found)
}

fn cell(value: ValueRef<'_>, column: usize) -> Result<Cell, StateError> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(_) => Cell::Text(value.as_str().map_err(rusqlite::Error::from)?.to_owned()),
        ValueRef::Blob(_) => {
            return Err(StateError::Stored {
                what: "column",
                detail: format!("column {column} holds bytes"),
            });
        }
    })
}

/// Executes a statement; returns the number of changed rows.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    values: &[Cell],
) -> Result<u64, StateError> {
    let changed = connection
        .prepare_cached(sql)?
        .execute(params_from_iter(values))?;
    Ok(changed as u64)
}
