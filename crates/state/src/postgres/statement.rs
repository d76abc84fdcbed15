//! One statement on an open PostgreSQL session, with the values of `tx.rs`.
//!
//! Promise: one round trip per statement, with types given and no named statement; `?1` becomes `$1`.
//! It does not know which table a statement is about. Read next: `../tx.rs`.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::error::StateError;
use crate::tx::{Cell, Row};

impl ToSql for Cell {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Cell::Null => Ok(IsNull::Yes),
            Cell::Int(number) => number.to_sql(ty, out),
            Cell::Real(number) => number.to_sql(ty, out),
            Cell::Text(text) => text.as_str().to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Cell::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Cell::Int(i32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Cell::Real(f64::from_sql(ty, raw)?),
            _ => Cell::Text(<&str>::from_sql(ty, raw)?.to_owned()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Cell::Null)
    }

    fn accepts(ty: &Type) -> bool {
        let known = [
            Type::INT8,
            Type::INT4,
            Type::FLOAT8,
            Type::TEXT,
            Type::VARCHAR,
        ];
        known.contains(ty)
    }
}

fn typed(values: &[Cell]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    values
        .iter()
        .map(|value| {
            // The server infers the type of NULL from its position.
            let ty = match value {
                Cell::Null => Type::UNKNOWN,
                Cell::Int(_) => Type::INT8,
                Cell::Real(_) => Type::FLOAT8,
                Cell::Text(_) => Type::TEXT,
            };
            (value as &(dyn ToSql + Sync), ty)
        })
        .collect()
}

/// All rows of a query.
pub(crate) async fn rows(
    client: &Client,
    sql: &str,
    values: &[Cell],
) -> Result<Vec<Row>, StateError> {
    let sql = sql.replace('?', "$");
    let rows = client.query_typed(&sql, &typed(values)).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let cells = (0..row.len()).map(|column| row.try_get::<_, Cell>(column));
        found.push(Row(cells.collect::<Result<_, _>>()?));
    }
    Ok(found)
}

/// Executes a statement; returns the number of changed rows.
pub(crate) async fn execute(
    client: &Client,
    sql: &str,
    values: &[Cell],
) -> Result<u64, StateError> {
    let sql = sql.replace('?', "$");
    Ok(client.execute_typed(&sql, &typed(values)).await?)
}
