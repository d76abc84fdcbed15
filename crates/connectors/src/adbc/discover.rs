//! Looks around in a database: tables, columns, keys, and row counts where counting is cheap.
//!
//! Promise: it only reads, and types are those a read would give. A cursor is only a guess: a column named like a time
//! of change. It does not choose how to load a table: `app/src/init` does.

use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use async_trait::async_trait;
use glob::Pattern;
use towpath_ports::{Discover, Discovered, TestReport};
use towpath_vocab::{Failure, Selection};

use super::catalog::{self, Current};
use super::error::{AdbcError, Result};
use super::session::{Session, Work};
use super::settings::Settings;
use super::source::vendor_note;
use super::subject::Subject;
use super::vendor::Vendor;
use crate::relational::names::guessed_cursor;
use crate::relational::reader::schema_of;

/// A database to look around in.
pub(super) struct AdbcDiscover {
    pub(super) settings: Settings,
}

#[async_trait]
impl Discover for AdbcDiscover {
    async fn tables(&self, pattern: &str) -> std::result::Result<Vec<String>, Failure> {
        let glob = Pattern::new(pattern).map_err(|error| AdbcError::Option {
            connection: self.settings.connection.clone(),
            option: "pattern",
            reason: format!("is not a valid glob: {}", error.msg),
        })?;
        let has_point = pattern.contains('.');
        let session = Session::open(&self.settings).await?;
        let names = session.run(move |work| {
            let current = Current::of(work)?;
            let tables = catalog::list(work, None)?.ok_or_else(|| AdbcError::Driver {
                doing: "listing tables".to_owned(),
                reported: super::messages::Reported {
                    kind: super::messages::Kind::Rejected,
                    message: "the driver does not list tables; name them yourself".to_owned(),
                },
            })?;
            let matching = tables.iter().filter_map(|table| {
                let shown = current.shown(table);
                let full = format!("{}.{}", table.schema, table.name);
                let is_own = shown == table.name;
                let matches = match is_own {
                    true => glob.matches(&table.name) || glob.matches(&full),
                    false => has_point && glob.matches(&full),
                };
                matches.then_some(shown)
            });
            Ok(matching.collect())
        });
        Ok(names.await?)
    }

    async fn describe(&self, object: &str) -> std::result::Result<Discovered, Failure> {
        let session = Session::open(&self.settings).await?;
        let object = object.to_owned();
        Ok(session.run(move |work| describe(work, &object)).await?)
    }

    async fn test(&self) -> std::result::Result<TestReport, Failure> {
        let session = Session::open(&self.settings).await?;
        let product = Arc::clone(&session.product);
        let tables = session.run(|work| {
            let current = Current::of(work)?;
            let tables = catalog::list(work, None)?;
            let is_own = |table: &&catalog::Table| current.shown(table) == table.name;
            Ok(tables.map(|tables| tables.iter().filter(is_own).count()))
        });
        let mut notes = vec![match tables.await? {
            Some(count) => format!("{count} tables and views"),
            None => "the driver does not list tables".to_owned(),
        }];
        if !product.driver.is_empty() {
            notes.push(format!("driver: {}", product.driver));
        }
        notes.extend(vendor_note(product.vendor, &product.shown));
        Ok(TestReport {
            system: product.shown.clone(),
            notes,
        })
    }
}

fn describe(work: &mut Work<'_>, object: &str) -> Result<Discovered> {
    let subject = Subject::look_at(work, &Selection::Object(object.to_owned()))?;
    let columns = subject.plain(work, &subject.names())?;
    let mut notes: Vec<String> = columns
        .iter()
        .filter_map(|column| column.note.clone())
        .collect();
    let key = match &subject.table {
        Some(table) => catalog::key(work, table)?,
        None => Vec::new(),
    };
    if subject.table.as_ref().is_some_and(catalog::Table::is_view) {
        notes.push(format!("`{}` is a view", subject.object));
    }
    let rows = match work.vendor() {
        Vendor::DuckDb | Vendor::Sqlite => {
            let sql = format!("SELECT count(*) FROM {}", subject.from);
            let rows = work.rows(&sql, "counting rows")?;
            let count = rows.into_iter().flatten().next().flatten();
            count.and_then(|count| count.parse().ok())
        }
        // To count may cost money, or minutes.
        Vendor::Postgres | Vendor::Other => None,
    };
    let times = columns.iter().filter(|column| {
        matches!(
            column.field.data_type(),
            DataType::Timestamp(..) | DataType::Date32
        )
    });
    let cursor = guessed_cursor(times.map(|column| column.name.as_str()), &[]);
    Ok(Discovered {
        object: subject.object.clone(),
        schema: Arc::new(Schema::new(schema_of(&columns).fields().clone())),
        key,
        cursor,
        rows,
        notes,
    })
}
