//! Looks a table up and fits the rows' columns to it, by SQLite's type table (`sql.rs`).
//!
//! Promise: a value is only stored where SQLite keeps it exactly (`stage.rs` knows). SQLite cannot
//! change a column's type, so nothing widens. What it comes to is in `relational/align.rs`.

use arrow_schema::SchemaRef;
use towpath_vocab::SchemaChange;

use super::catalog::{CatalogTable, look_up};
use super::error::Result;
use super::keys::{EXACT, collation};
use super::names::quoted;
use super::session::Session;
use super::sql::{SqliteDialect, SqliteTypes};
use crate::relational::align::{self, Alignment, Request};
use crate::relational::fault::Fault;

/// Decides for a table that may or may not exist. `primary` becomes the primary key of a new one.
pub(super) async fn align(
    session: &Session,
    table: &str,
    schema: &SchemaRef,
    change: SchemaChange,
    primary: &[String],
) -> Result<Alignment> {
    let (name, shown) = (table.to_owned(), session.shown.clone());
    let found = session
        .run(move |connection| look_up(connection, &name, &shown))
        .await?;
    let present = found.iter().flat_map(|found| &found.columns);
    let present: Vec<String> = present.map(|column| column.name.clone()).collect();
    let mut alignment = fit(found, table, schema, change, primary).await?;
    let (name, shown) = (table.to_owned(), session.shown.clone());
    let columns = std::mem::take(&mut alignment.columns);
    alignment.columns = session
        .run(move |connection| {
            let mut columns = columns;
            let old = columns.iter_mut().filter(|new| present.contains(&new.name));
            for column in old {
                let of = (name.as_str(), column.name.as_str());
                column.equates = !collation(connection, of, &shown)?.eq_ignore_ascii_case(EXACT);
            }
            Ok(columns)
        })
        .await?;
    Ok(alignment)
}

/// Decides for what was found.
pub(super) async fn fit(
    found: Option<CatalogTable>,
    table: &str,
    schema: &SchemaRef,
    change: SchemaChange,
    primary: &[String],
) -> Result<Alignment> {
    if found.as_ref().is_some_and(|found| found.is_view) {
        return Err(Fault::Changed {
            table: table.to_owned(),
            change: "it is a view".to_owned(),
        }
        .into());
    }
    let quoted = quoted(found.as_ref().map_or(table, |found| &found.name));
    let request = Request {
        dialect: &SqliteDialect,
        table: &quoted,
        shown: table,
        schema,
        change,
        primary,
    };
    let present = found.as_ref().map(|found| found.columns.as_slice());
    align::align(&SqliteTypes, &request, present).await
}
