//! Discovers a SQLite database: tables, columns, keys, row counts.
//!
//! Promise: it only reads, and names likely cursor columns. It does not choose how to load a table:
//! `app/src/init` does. Read next: `catalog.rs`, `types.rs`.

use std::sync::Arc;

use arrow_schema::Schema;
use async_trait::async_trait;
use glob::Pattern;
use towpath_ports::{Discover, Discovered, Result, TestReport};

use super::catalog;
use super::error::{ErrorContext as _, SqliteError};
use super::names::quoted;
use super::session::{Settings, blocking};
use super::types::{Column, settle};

/// Names of columns that tell when a row was changed, best first.
const CURSORS: [&str; 5] = [
    "updated_at",
    "modified_at",
    "changed_at",
    "last_modified",
    "created_at",
];

/// A database to look around in.
pub(super) struct SqliteDiscover {
    pub(super) settings: Settings,
}

#[async_trait]
impl Discover for SqliteDiscover {
    async fn tables(&self, pattern: &str) -> Result<Vec<String>> {
        let settings = self.settings.clone();
        let pattern = Pattern::new(pattern).map_err(|error| SqliteError::Option {
            connection: settings.connection.clone(),
            option: "pattern",
            why: format!("is not a valid glob: {}", error.msg),
        })?;
        let names = blocking(&self.settings.shown, move || {
            catalog::names(&settings.open_read()?, &settings.shown)
        })
        .await?;
        Ok(names
            .into_iter()
            .filter(|name| pattern.matches(name))
            .collect())
    }

    async fn describe(&self, object: &str) -> Result<Discovered> {
        let (settings, object) = (self.settings.clone(), object.to_owned());
        Ok(blocking(&self.settings.shown, move || describe(&settings, &object)).await?)
    }

    async fn test(&self) -> Result<TestReport> {
        let settings = self.settings.clone();
        let report = blocking(&self.settings.shown, move || {
            let connection = settings.open_read()?;
            let shown = &*settings.shown;
            let journal: String = connection
                .query_row("PRAGMA journal_mode", [], |row| row.get(0))
                .doing(shown, "testing")?;
            let count = catalog::names(&connection, shown)?.len();
            let mut notes = vec![format!(
                "{count} tables and views, journal mode `{journal}`"
            )];
            if journal != "wal" {
                notes.push("a writer and readers wait for each other; with WAL mode they could work at once".to_owned());
            }
            Ok(TestReport {
                system: format!("SQLite {}", rusqlite::version()),
                notes,
            })
        });
        Ok(report.await?)
    }
}

fn describe(settings: &Settings, object: &str) -> super::error::Result<Discovered> {
    let shown = &*settings.shown;
    let connection = settings.open_read()?;
    let found = catalog::find(&connection, object, shown)?;
    let from = quoted(&found.name);
    let columns = settle(&connection, &from, &found.columns, &|_| None, shown)?;
    let rows: i64 = connection
        .query_row(&format!("SELECT count(*) FROM {from}"), [], |row| {
            row.get(0)
        })
        .doing(shown, "counting rows")?;
    let cursor = CURSORS.iter().find_map(|name| {
        columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    });
    let mut notes: Vec<String> = columns
        .iter()
        .filter_map(|column| column.note.clone())
        .collect();
    if found.is_view {
        notes.push(
            "it is a view: its columns have no declared types, and it is read in one piece"
                .to_owned(),
        );
    }
    Ok(Discovered {
        object: found.name,
        cursor: cursor.map(|column| column.name.clone()),
        schema: Arc::new(Schema::new(
            columns.iter().map(Column::field).collect::<Vec<_>>(),
        )),
        key: found.key,
        rows: u64::try_from(rows).ok(),
        notes,
    })
}
