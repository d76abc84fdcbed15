//! The destination capability: what is there, what was committed last, and the way to a writer.
//!
//! Promise: a connection is written only when the project says `writable: true`; what cannot work is
//! refused before rows come. Read next: `writer.rs`.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{
    Committed, Destination, Intent, Memory, StateBeforeWrite, TableStates, Writer,
};
use towpath_vocab::{Failure, TableName, TaskKey, WriteMode};

use super::align::align;
use super::catalog::look_up;
use super::error::{Result, SqliteError};
use super::names::{quoted, same};
use super::session::{Session, Settings, blocking};
use super::sql::Writing;
use super::stage;
use super::state::state;
use super::types::settle;
use super::writer::{Job, SqliteWrite};
use crate::relational::commits;
use crate::relational::fault::Fault;
use crate::relational::modes;
use crate::relational::nested::JsonTexts;
use crate::relational::writer::TableWriter;

/// Writes to a SQLite database.
pub(super) struct SqliteDestination {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl SqliteDestination {
    /// A session that reads; `None` when there is no database yet.
    async fn looking(&self, table: &TableName) -> Result<Option<Writing>> {
        let settings = self.settings.clone();
        let opened = blocking(&self.settings.shown, move || {
            settings.exists().then(|| settings.open_read()).transpose()
        });
        Ok(opened.await?.map(|connection| Writing {
            session: Session::new(connection, &self.settings.shown),
            table: table_name(&self.settings, table),
        }))
    }
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
        table: &TableName,
    ) -> std::result::Result<Option<Committed>, Failure> {
        match self.looking(table).await? {
            Some(looking) => Ok(commits::last(&looking, task).await?),
            None => Ok(None),
        }
    }

    async fn states(
        &self,
        task: &TaskKey,
        table: &TableName,
    ) -> std::result::Result<TableStates, Failure> {
        let Some(looking) = self.looking(table).await? else {
            return Ok(TableStates::default());
        };
        Ok(TableStates {
            committed: commits::state(&looking, task).await?,
            now: state(&looking).await?,
        })
    }

    async fn begin(&self, intent: Intent) -> std::result::Result<Box<dyn Writer>, Failure> {
        fail::fail_point!("sqlite::begin");
        if !self.settings.writable {
            return Err(Fault::ReadOnly {
                connection: self.settings.connection.clone(),
            }
            .into());
        }
        let has_type = |data_type: &DataType| stage::stored_as(data_type).is_some();
        let (texts, intent) = JsonTexts::of(intent, has_type);
        let table = table_name(&self.settings, &intent.table);
        let job = Job {
            before: StateBeforeWrite::of(&intent.write)?,
            intent,
            memory: Arc::clone(&self.memory),
        };
        check(&job.intent, &table)?;
        let settings = self.settings.clone();
        let connection = blocking(&self.settings.shown, move || settings.open_write()).await?;
        let session = Session::new(connection, &self.settings.shown);
        // Only to refuse early: the table is looked at again, under the lock, when the rows are there.
        let (intent, shown) = (&job.intent, session.shown.clone());
        let change = intent.write.schema_change;
        align(&session, &table, &intent.schema, change, &[]).await?;
        let columns = intent.schema.fields().len();
        let merges = intent.write.mode == WriteMode::Merge;
        session
            .run(move |connection| stage::create(connection, columns, merges, &shown))
            .await?;
        let write = SqliteWrite::new(Writing { session, table }, job);
        Ok(texts.before(TableWriter::new(write)))
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
            let fields = columns.iter().map(|column| {
                let is_required = found.required.contains(&column.name);
                column.field().with_nullable(!is_required)
            });
            Ok(Some(Arc::new(Schema::new(fields.collect::<Vec<_>>()))))
        });
        Ok(schema.await?)
    }
}

fn check(intent: &Intent, table: &str) -> Result<()> {
    let fields = intent.schema.fields();
    for (at, field) in fields.iter().enumerate() {
        let mut earlier = fields.iter().take(at);
        if earlier.any(|other| same(other.name(), field.name())) {
            return Err(SqliteError::SameName {
                object: table.to_owned(),
                column: field.name().clone(),
            });
        }
    }
    Ok(modes::check(intent, table)?)
}
