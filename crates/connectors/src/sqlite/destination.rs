//! What SQLite does for the tables of a file (`relational/destination.rs`): opens it, and makes the stage.
//!
//! Promise: what cannot work is refused before rows come; a file that does not exist is created by a write, not
//! by a look. Read next: `writer.rs`.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{Memory, StateBeforeWrite, TableState, WriteRequest};
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
use crate::relational::destination::Tables;

/// The tables of a SQLite database.
pub(super) struct SqliteTables {
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
impl Tables for SqliteTables {
    const BEGIN: &'static str = "sqlite::begin";
    type Error = SqliteError;
    type Session = Writing;
    type Write = SqliteWrite;

    fn connection(&self) -> (&str, bool) {
        (&self.settings.connection, self.settings.writable)
    }

    fn shown(&self, table: &TableName) -> String {
        table_name(&self.settings, table)
    }

    fn has_type(&self, data_type: &DataType) -> bool {
        stage::stored_as(data_type).is_some()
    }

    async fn look(&self, table: &TableName) -> std::result::Result<Option<Writing>, Failure> {
        let settings = self.settings.clone();
        let opened = blocking(&self.settings.shown, move || {
            settings.exists().then(|| settings.open_read()).transpose()
        });
        Ok(opened.await?.map(|connection| Writing {
            session: Session::new(connection, &self.settings.shown),
            table: table_name(&self.settings, table),
        }))
    }

    /// Whoever is about to commit holds the lock of the file: what is read afterwards is committed.
    async fn lock_task(&self, _: &Writing, _: &TaskKey) -> Result<()> {
        Ok(())
    }

    async fn state(&self, looking: &Writing, _: Option<&TableState>) -> Result<Option<TableState>> {
        state(looking).await
    }

    async fn open(
        &self,
        intent: WriteRequest,
        before: Option<StateBeforeWrite>,
    ) -> std::result::Result<SqliteWrite, Failure> {
        let table = table_name(&self.settings, &intent.table);
        check_names(&intent, &table)?;
        let settings = self.settings.clone();
        let connection = blocking(&self.settings.shown, move || settings.open_write()).await?;
        let session = Session::new(connection, &self.settings.shown);
        // Only to refuse early: the table is looked at again, under the lock, when the rows are there.
        let (shown, change) = (session.shown.clone(), intent.write.schema_change);
        align(&session, &table, &intent.schema, change, &[]).await?;
        let columns = intent.schema.fields().len();
        let merges = intent.write.mode == WriteMode::Merge;
        session
            .run(move |connection| stage::create(connection, columns, merges, &shown))
            .await?;
        let job = Job {
            before,
            intent,
            memory: Arc::clone(&self.memory),
        };
        Ok(SqliteWrite::new(Writing { session, table }, job))
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

fn check_names(intent: &WriteRequest, table: &str) -> Result<()> {
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
    Ok(())
}
