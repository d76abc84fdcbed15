//! The destination face: what is there, what was committed last, and the way to a writer.
//!
//! Promise: a connection is written only when the project says `writable: true`; what cannot work is
//! refused before rows come. Read next: `writer.rs`.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{Committed, Destination, Intent, Memory, Writer};
use towpath_vocab::{Failure, TableName, TaskKey, WriteMode};

use super::align::align;
use super::apply::{is_keyed, mode_word};
use super::catalog::look_up;
use super::commits;
use super::error::{Result, SqliteError};
use super::names::{quoted, same};
use super::session::{Session, Settings, blocking};
use super::stage;
use super::types::{Column, settle};
use super::writer::{Job, SqliteWriter};

/// Writes to a SQLite database.
pub(super) struct SqliteDestination {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

/// The name of a table: `connection.object` means the object, any other first part belongs to the name.
fn table_name(settings: &Settings, table: &TableName) -> String {
    if table.schema() == settings.connection || table.schema() == "main" {
        table.table().to_owned()
    } else {
        table.to_string()
    }
}

#[async_trait]
impl Destination for SqliteDestination {
    async fn last(
        &self,
        task: &TaskKey,
        _: &TableName,
    ) -> std::result::Result<Option<Committed>, Failure> {
        let (settings, task) = (self.settings.clone(), task.clone());
        let last = blocking(&self.settings.shown, move || {
            if !settings.exists() {
                return Ok(None);
            }
            commits::last(&settings.open_read()?, &task, &settings.shown)
        });
        Ok(last.await?)
    }

    async fn begin(&self, intent: Intent) -> std::result::Result<Box<dyn Writer>, Failure> {
        fail::fail_point!("sqlite::begin");
        if !self.settings.writable {
            return Err(SqliteError::ReadOnly {
                connection: self.settings.connection.clone(),
            }
            .into());
        }
        let job = Job {
            table: table_name(&self.settings, &intent.table),
            intent,
            memory: Arc::clone(&self.memory),
        };
        check(&job)?;
        let settings = self.settings.clone();
        let begun = blocking(&self.settings.shown, move || {
            let connection = settings.open_write()?;
            let shown = &*settings.shown;
            let intent = &job.intent;
            // Only to refuse early: the table is looked at again, under the lock, when the rows are there.
            align(
                &connection,
                &job.table,
                &intent.schema,
                intent.write.schema_change,
                &[],
                shown,
            )?;
            stage::create(
                &connection,
                intent.schema.fields().len(),
                intent.write.mode == WriteMode::Merge,
                shown,
            )?;
            Ok(SqliteWriter::new(Session::new(connection, shown), job))
        });
        Ok(Box::new(begun.await?))
    }

    async fn schema(&self, table: &TableName) -> std::result::Result<Option<SchemaRef>, Failure> {
        let (settings, name) = (self.settings.clone(), table_name(&self.settings, table));
        let schema = blocking(&self.settings.shown, move || {
            if !settings.exists() {
                return Ok(None);
            }
            let connection = settings.open_read()?;
            let Some(found) = look_up(&connection, &name, &settings.shown)? else {
                return Ok(None);
            };
            let columns = settle(
                &connection,
                &quoted(&found.name),
                &found.columns,
                &|_| None,
                &settings.shown,
            )?;
            Ok(Some(Arc::new(Schema::new(
                columns.iter().map(Column::field).collect::<Vec<_>>(),
            ))))
        });
        Ok(schema.await?)
    }
}

fn check(job: &Job) -> Result<()> {
    let (mode, key) = (job.intent.write.mode, &job.intent.write.key);
    let fields = job.intent.schema.fields();
    for (at, field) in fields.iter().enumerate() {
        if fields
            .iter()
            .take(at)
            .any(|other| same(other.name(), field.name()))
        {
            return Err(SqliteError::SameName {
                object: job.table.clone(),
                column: field.name().clone(),
            });
        }
    }
    match mode {
        WriteMode::Replace | WriteMode::Append => Ok(()),
        mode if is_keyed(mode) && key.is_empty() => Err(SqliteError::NoKey {
            table: job.table.clone(),
            mode: mode_word(mode),
        }),
        mode if is_keyed(mode) => match key
            .iter()
            .find(|name| job.intent.schema.field_with_name(name).is_err())
        {
            Some(column) => Err(SqliteError::KeyMissing {
                table: job.table.clone(),
                column: column.clone(),
            }),
            None => Ok(()),
        },
        other => Err(SqliteError::Mode {
            mode: mode_word(other),
        }),
    }
}
