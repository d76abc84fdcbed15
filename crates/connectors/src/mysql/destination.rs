//! What MySQL does for the tables of a connection (`relational/destination.rs`): sessions, and the stage.
//!
//! Promise: a write that cannot work (an old server, a storage engine without transactions, columns that do not
//! fit) is refused before rows come. The stage is a temporary table, so whatever dies leaves none behind. Read
//! next: `writer.rs`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{Memory, StateBeforeWrite, TableState, WriteRequest};
use towpath_vocab::{Failure, TableName, TaskKey};

use super::align::{align, check_names, stage};
use super::catalog;
use super::encode::DAYS;
use super::error::{MysqlError, Result};
use super::foreign::refuse_cascades;
use super::present;
use super::session::Session;
use super::settings::Settings;
use super::sql::Writing;
use super::state::state;
use super::subject::Subject;
use super::target::{Facts, Target, check_version};
use super::task_lock;
use super::types::Column;
use super::writer::{Job, MysqlWrite};
use crate::relational::commits;
use crate::relational::destination::Tables;
use crate::relational::effects::Effects;
use crate::relational::reader::ReadColumn as _;

/// The tables of a MySQL or MariaDB database.
pub(super) struct MysqlTables {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl MysqlTables {
    /// A session for a table. `connection.object` means the object in the connection's database, any other
    /// first part is a database.
    async fn writing(&self, table: &TableName) -> std::result::Result<Writing, Failure> {
        let mut session = Session::open_to_write(&self.settings).await?;
        let facts = Facts::ask(&mut session).await?;
        let is_own = table.schema() == self.settings.connection;
        let target = Target {
            database: match is_own {
                true => session.database.clone(),
                false => table.schema().to_owned(),
            },
            table: table.table().to_owned(),
        };
        Ok(Writing::new(session, target, facts))
    }

    async fn columns(&self, writing: &Writing) -> Result<Option<SchemaRef>> {
        let mut session = writing.session.lock().await;
        let found = catalog::exact(&mut session, &writing.target, &writing.facts).await?;
        let Some(found) = found else {
            return Ok(None);
        };
        let present = present::columns(&mut session, &found).await?;
        let subject = Subject::of_table(&mut session, found).await?;
        let fields = subject.columns.iter().map(|definition| {
            let column = present.iter().find(|column| column.name == definition.name);
            let nullable = column.is_none_or(|column| column.nullable);
            Column::of(definition, None).field().with_nullable(nullable)
        });
        Ok(Some(Arc::new(Schema::new(fields.collect::<Vec<_>>()))))
    }
}

#[async_trait]
impl Tables for MysqlTables {
    const BEGIN: &'static str = "mysql::begin";
    type Error = MysqlError;
    type Session = Writing;
    type Write = MysqlWrite;

    fn connection(&self) -> (&str, bool) {
        (&self.settings.connection, self.settings.writable)
    }

    fn shown(&self, table: &TableName) -> String {
        table.to_string()
    }

    async fn look(&self, table: &TableName) -> std::result::Result<Option<Writing>, Failure> {
        self.writing(table).await.map(Some)
    }

    async fn lock_task(&self, asking: &Writing, task: &TaskKey) -> Result<()> {
        task_lock::lock(asking, task).await
    }

    async fn state(&self, asking: &Writing, _: Option<&TableState>) -> Result<Option<TableState>> {
        state(asking, false).await
    }

    async fn open(
        &self,
        intent: WriteRequest,
        before: Option<StateBeforeWrite>,
    ) -> std::result::Result<MysqlWrite, Failure> {
        check_names(&intent.schema, &intent.table.to_string())?;
        let job = Job {
            before,
            zero_dates: self.settings.zero_dates_of_target()?,
            settings: self.settings.clone(),
            memory: Arc::clone(&self.memory),
            intent,
        };
        let writing = self.writing(&job.intent.table).await?;
        Box::pin(open_stage(&writing, &job.intent)).await?;
        Ok(MysqlWrite::new(writing, job))
    }

    async fn schema(&self, table: &TableName) -> std::result::Result<Option<SchemaRef>, Failure> {
        let writing = self.writing(table).await?;
        Ok(self.columns(&writing).await?)
    }

    /// Dates before the year 1 and after 9999 have no text in MySQL.
    fn days(&self) -> Option<RangeInclusive<i32>> {
        Some(DAYS)
    }
}

/// Refuses what cannot work, makes the commit table and the stage.
async fn open_stage(writing: &Writing, intent: &WriteRequest) -> Result<()> {
    {
        let mut session = writing.session.lock().await;
        check_version(&session)?;
        // Only to refuse early: the table is looked at again when the rows are there.
        let of = (&writing.target, &writing.facts);
        let (alignment, found) = align(&mut session, of, intent, &[]).await?;
        if let Some(found) = found {
            let effects = Effects::of(intent, &alignment, false);
            refuse_cascades(&mut session, &found, &effects).await?;
        }
    }
    // It commits by itself, so it must be there before the transaction begins.
    commits::ensure(writing).await?;
    let sql = stage(intent, &writing.facts)?;
    writing.define(&sql, "creating the stage").await
}
