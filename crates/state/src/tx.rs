//! An open transaction of either database, and the values of parameters and columns.
//!
//! Promise: an operation that is written over `Tx` means the same on SQLite and PostgreSQL: parameters are
//! `?1`, `?2`, …, integers have 64 bits, JSON is text, times are microseconds. `Tx::only_on_server` and
//! `Tx::of_database` mark the few differences. It does not know how a transaction begins, ends or is repeated: see
//! `sqlite/writer.rs` and `postgres/pool.rs`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tokio_postgres::Client;

use crate::error::StateError;
use crate::{postgres, sqlite};

/// The result of an operation.
pub(crate) type TxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StateError>> + Send + 'a>>;

/// The work of one transaction. It may be repeated if the transaction was aborted.
pub(crate) trait Operation<T>:
    for<'a> Fn(&'a Tx<'a>) -> TxFuture<'a, T> + Send + Sync + 'static
{
}

impl<T, F> Operation<T> for F where
    F: for<'a> Fn(&'a Tx<'a>) -> TxFuture<'a, T> + Send + Sync + 'static
{
}

/// Gives an operation its type.
pub(crate) fn typed_operation<T, F>(operation: F) -> F
where
    F: for<'a> Fn(&'a Tx<'a>) -> TxFuture<'a, T> + Send + Sync + 'static,
{
    operation
}

/// Makes an operation from an expression that uses the transaction and owns its values.
macro_rules! operation {
    ($tx:ident, [$($own:ident),*] => $body:expr) => {{
        $(let $own = $own.clone();)*
        $crate::tx::typed_operation(move |$tx| {
            $(let $own = $own.clone();)*
            Box::pin(async move { $body.await })
        })
    }};
}
pub(crate) use operation;

/// The connection of a transaction.
pub(crate) enum Wire<'c> {
    Sqlite(&'c Mutex<Connection>),
    Postgres(&'c Client),
}

/// An open transaction.
pub(crate) struct Tx<'c> {
    wire: Wire<'c>,
    /// The store's clock when the transaction began, in microseconds since 1970 UTC.
    pub(crate) now_us: i64,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row(pub(crate) Vec<Cell>);

/// Parameters of a statement.
macro_rules! cells {
    ($($value:expr),* $(,)?) => { &[$($crate::tx::Cell::from($value)),*][..] };
}
pub(crate) use cells;

impl<'c> Tx<'c> {
    pub(crate) fn new(wire: Wire<'c>, now_us: i64) -> Self {
        Self { wire, now_us }
    }

    /// `sql` on PostgreSQL, and an empty text on SQLite, which has one writer at a time and needs no row
    /// locks.
    pub(crate) fn only_on_server<'s>(&self, sql: &'s str) -> &'s str {
        match self.wire {
            Wire::Sqlite(_) => "",
            Wire::Postgres(_) => sql,
        }
    }

    /// A statement of which the two databases need different texts.
    pub(crate) fn of_database<'s>(&self, sqlite: &'s str, server: &'s str) -> &'s str {
        match self.wire {
            Wire::Sqlite(_) => sqlite,
            Wire::Postgres(_) => server,
        }
    }

    /// All rows of a query.
    pub(crate) async fn rows(&self, sql: &str, values: &[Cell]) -> Result<Vec<Row>, StateError> {
        match self.wire {
            Wire::Sqlite(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                sqlite::rows(&connection, sql, values)
            }
            Wire::Postgres(client) => postgres::rows(client, sql, values).await,
        }
    }

    /// The first row of a query.
    pub(crate) async fn one(&self, sql: &str, values: &[Cell]) -> Result<Option<Row>, StateError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Executes a statement; returns the number of changed rows.
    pub(crate) async fn execute(&self, sql: &str, values: &[Cell]) -> Result<u64, StateError> {
        match self.wire {
            Wire::Sqlite(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                sqlite::execute(&connection, sql, values)
            }
            Wire::Postgres(client) => postgres::execute(client, sql, values).await,
        }
    }
}

impl Row {
    fn cell(&self, column: usize) -> &Cell {
        self.0.get(column).unwrap_or(&Cell::Null)
    }

    fn wrong(&self, column: usize) -> StateError {
        StateError::Stored {
            what: "column",
            detail: format!("column {column} holds {:?}", self.cell(column)),
        }
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, StateError> {
        self.maybe_text(column)?.ok_or_else(|| self.wrong(column))
    }

    pub(crate) fn maybe_text(&self, column: usize) -> Result<Option<&str>, StateError> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            _ => Err(self.wrong(column)),
        }
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, StateError> {
        self.maybe_int(column)?.ok_or_else(|| self.wrong(column))
    }

    pub(crate) fn maybe_int(&self, column: usize) -> Result<Option<i64>, StateError> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(*number)),
            _ => Err(self.wrong(column)),
        }
    }

    pub(crate) fn maybe_real(&self, column: usize) -> Result<Option<f64>, StateError> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            Cell::Real(number) => Ok(Some(*number)),
            _ => Err(self.wrong(column)),
        }
    }

    /// A number that is not negative.
    pub(crate) fn count(&self, column: usize) -> Result<u64, StateError> {
        u64::try_from(self.int(column)?).map_err(|_| self.wrong(column))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Cell::Text(text.clone())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Cell::Int(number)
    }
}

impl From<u64> for Cell {
    /// Converts a counter; it never comes near the end of i64.
    fn from(number: u64) -> Self {
        Cell::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Cell {
    /// Converts a number; NaN is stored as NULL, because only one of the databases can store it.
    fn from(number: f64) -> Self {
        match number.is_nan() {
            true => Cell::Null,
            false => Cell::Real(number),
        }
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}
