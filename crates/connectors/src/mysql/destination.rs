//! The destination capability: what is there, what was committed last, and the way to a writer.
//!
//! Promise: a connection is written only when the project says `writable: true`; a write that cannot work (an old
//! server, a storage engine without transactions, columns that do not fit) is refused before rows come. The
//! stage is a temporary table, so whatever dies leaves none behind. Read next: `writer.rs`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{
    Committed, Destination, Intent, Memory, StateBeforeWrite, TableStates, Writer,
};
use towpath_vocab::{Failure, TableName, TaskKey, WriteMode};

use super::align::{align, check_names, stage};
use super::catalog::{self, CatalogTable};
use super::encode::DAYS;
use super::error::{MysqlError, Result};
use super::literal::text;
use super::present;
use super::session::Session;
use super::settings::Settings;
use super::sql::Writing;
use super::state::state;
use super::subject::Subject;
use super::target::{Facts, Target, check_version};
use super::types::Column;
use super::writer::{Job, MysqlWrite, lock};
use crate::relational::commits;
use crate::relational::fault::Fault;
use crate::relational::modes::{self, deletes_absent};
use crate::relational::nested::JsonTexts;
use crate::relational::reader::ReadColumn as _;
use crate::relational::writer::TableWriter;

/// Writes to a MySQL or MariaDB database.
pub(super) struct MysqlDestination {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl MysqlDestination {
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
impl Destination for MysqlDestination {
    async fn last(
        &self,
        task: &TaskKey,
        table: &TableName,
    ) -> std::result::Result<Option<Committed>, Failure> {
        let asking = self.writing(table).await?;
        // A COMMIT that was sent and not answered may be about to be the last one.
        lock(&asking, task).await?;
        Ok(commits::last(&asking, task).await?)
    }

    async fn states(
        &self,
        task: &TaskKey,
        table: &TableName,
    ) -> std::result::Result<TableStates, Failure> {
        let asking = self.writing(table).await?;
        Ok(TableStates {
            committed: commits::state(&asking, task).await?,
            now: state(&asking, false).await?,
        })
    }

    async fn begin(&self, intent: Intent) -> std::result::Result<Box<dyn Writer>, Failure> {
        fail::fail_point!("mysql::begin");
        if !self.settings.writable {
            return Err(Fault::ReadOnly {
                connection: self.settings.connection.clone(),
            }
            .into());
        }
        let (texts, intent) = JsonTexts::of(intent, |_| false);
        let job = Job {
            before: StateBeforeWrite::of(&intent.write)?,
            zero_dates: self.settings.zero_dates_of_target()?,
            settings: self.settings.clone(),
            memory: Arc::clone(&self.memory),
            intent,
        };
        let table = job.intent.table.to_string();
        modes::check(&job.intent, &table)?;
        check_names(&job.intent.schema, &table)?;
        let writing = self.writing(&job.intent.table).await?;
        Box::pin(open_stage(&writing, &job.intent)).await?;
        let write = MysqlWrite::new(writing, job);
        Ok(texts.before(TableWriter::new(write)))
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
async fn open_stage(writing: &Writing, intent: &Intent) -> Result<()> {
    {
        let mut session = writing.session.lock().await;
        check_version(&session)?;
        // Only to refuse early: the table is looked at again when the rows are there.
        let of = (&writing.target, &writing.facts);
        let (_, found) = align(&mut session, of, intent, &[]).await?;
        let mode = intent.write.mode;
        let deletes = matches!(mode, WriteMode::Replace | WriteMode::DeleteInsert);
        if let Some(found) = found.filter(|_| deletes || deletes_absent(&intent.write)) {
            refuse_cascades(&mut session, &found).await?;
        }
    }
    // It commits by itself, so it must be there before the transaction begins.
    commits::ensure(writing).await?;
    let sql = stage(intent, &writing.facts)?;
    writing.define(&sql, "creating the stage").await
}

/// Deleting rows must not change rows of other tables behind the user's back.
pub(super) async fn refuse_cascades(session: &mut Session, found: &CatalogTable) -> Result<()> {
    let (database, name) = (text(&found.database), text(&found.name));
    let sql = format!(
        "SELECT constraint_name, table_name FROM information_schema.referential_constraints \
         WHERE unique_constraint_schema = {database} AND referenced_table_name = {name} \
         AND delete_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT') LIMIT 1"
    );
    let rows = session.rows(&sql, "looking at foreign keys").await?;
    match rows.into_iter().next().as_deref() {
        Some([Some(constraint), Some(other), ..]) => Err(MysqlError::Cascade {
            table: found.name.clone(),
            constraint: constraint.clone(),
            other: other.clone(),
        }),
        _ => Ok(()),
    }
}
