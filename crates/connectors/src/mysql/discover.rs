//! Discovers a MySQL or MariaDB database: tables, columns, keys, approximate row counts.
//!
//! Promise: it only reads, and types are those a read would give. A cursor is only a guess: a column named
//! like a time of change. It does not choose how to load a table: `app/src/init` does.

use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use async_trait::async_trait;
use glob::Pattern;
use towpath_ports::{Discover, Discovered, Result, TestReport};

use super::catalog;
use super::error::MysqlError;
use super::session::Session;
use super::settings::Settings;
use super::source::snapshot_note;
use super::subject::Subject;
use super::target::{Facts, check_version};
use super::types::Column;
use crate::relational::names::guessed_cursor;
use crate::relational::reader::ReadColumn as _;

/// A database to look around in.
pub(super) struct MysqlDiscover {
    pub(super) settings: Settings,
}

#[async_trait]
impl Discover for MysqlDiscover {
    async fn tables(&self, pattern: &str) -> Result<Vec<String>> {
        let glob = Pattern::new(pattern).map_err(|error| MysqlError::Option {
            connection: self.settings.connection.clone(),
            option: "pattern",
            reason: format!("is not a valid glob: {}", error.msg),
        })?;
        let mut session = Session::open(&self.settings).await?;
        let own = session.database.clone();
        let names = catalog::names(&mut session).await?.into_iter();
        let matching = names.filter_map(|(database, table)| {
            let full = format!("{database}.{table}");
            if database == own {
                return (glob.matches(&table) || glob.matches(&full)).then_some(table);
            }
            (pattern.contains('.') && glob.matches(&full)).then_some(full)
        });
        Ok(matching.collect())
    }

    async fn describe(&self, object: &str) -> Result<Discovered> {
        let mut session = Session::open(&self.settings).await?;
        Ok(describe(&mut session, object).await?)
    }

    async fn test(&self) -> Result<TestReport> {
        let mut session = Session::open(&self.settings).await?;
        let names = catalog::names(&mut session).await?;
        let own = names
            .iter()
            .filter(|(database, _)| *database == session.database);
        let system = match session.is_mariadb() {
            true => "MariaDB",
            false => "MySQL",
        };
        let version = session.version.split('-').next().unwrap_or_default();
        let system = format!("{system} {version}");
        let mut notes = vec![format!("{} tables and views", own.count())];
        if self.settings.writable {
            check_version(&session)?;
            notes.push(match Facts::ask(&mut session).await?.loads {
                true => "rows are written by `LOAD DATA LOCAL`".to_owned(),
                false => {
                    "rows are written by `INSERT`, which is slower: the server forbids `LOAD DATA LOCAL` (`local_infile = OFF`)".to_owned()
                }
            });
        }
        Ok(TestReport { system, notes })
    }
}

async fn describe(session: &mut Session, object: &str) -> super::error::Result<Discovered> {
    let table = catalog::find(session, object).await?;
    let key = catalog::key(session, &table).await?;
    let indexed = catalog::indexed(session, &table).await?;
    let (rows, is_view) = (table.rows, table.is_view);
    let subject = Subject::of_table(session, table).await?;
    let columns = subject
        .columns
        .iter()
        .map(|column| Column::of(column, None));
    let columns: Vec<Column> = columns.collect();
    let mut notes: Vec<String> = columns
        .iter()
        .filter_map(|column| column.note.clone())
        .collect();
    notes.extend(snapshot_note(&subject));
    if is_view {
        notes.push(format!("`{}` is a view", subject.object));
    }
    let fields: Vec<_> = columns.iter().map(|column| column.field()).collect();
    let times = fields.iter().filter(|field| {
        matches!(
            field.data_type(),
            DataType::Timestamp(..) | DataType::Date32
        )
    });
    let cursor = guessed_cursor(times.map(|field| field.name().as_str()), &indexed);
    if let Some(cursor) = cursor.as_ref().filter(|cursor| !indexed.contains(cursor)) {
        notes.push(format!(
            "`{cursor}` has no index: asking for its largest value reads the table"
        ));
    }
    Ok(Discovered {
        object: object.to_owned(),
        schema: Arc::new(Schema::new(fields)),
        key,
        cursor,
        rows,
        notes,
    })
}
