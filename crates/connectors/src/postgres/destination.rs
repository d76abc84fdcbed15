//! What PostgreSQL does for the tables of a connection (`relational/destination.rs`): sessions, and the stage.
//!
//! Promise: a write that cannot work (replica, no right to keep tokens, columns that do not fit) is refused
//! before rows come.
//! Everything a write does is one transaction of one session, so whatever dies leaves nothing behind.
//! Read next: `writer.rs`.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{Memory, StateBeforeWrite, TableState, WriteRequest};
use towpath_vocab::{Failure, TableName, TaskKey, WriteMode};

use super::align::{LONGEST_NAME, align, stage_types};
use super::apply::refuse_cascades;
use super::catalog::{look_up, table_columns};
use super::error::{ErrorContext as _, PgError, Result};
use super::names::Relation;
use super::new_table::NewTable;
use super::session::Session;
use super::settings::Settings;
use super::sql::{ORDINAL, STAGE, Writing};
use super::states;
use super::task_lock;
use super::types::stored_as;
use super::writer::{Job, PostgresWrite};
use crate::relational;
use crate::relational::destination::Tables;
use crate::relational::effects::Effects;
use crate::relational::statements::OP;

/// The tables of a PostgreSQL database.
pub(super) struct PostgresTables {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl PostgresTables {
    /// Where a table lives: `connection.object` means the object in the connection's schema, any
    /// other first part is a schema.
    fn relation(&self, table: &TableName) -> Relation {
        if table.schema() != self.settings.connection {
            return Relation::new(table.schema(), table.table());
        }
        let mut readings = Relation::readings(table.table(), &self.settings.schema);
        readings.swap_remove(0)
    }

    fn commits(&self, relation: &Relation) -> Relation {
        let schema = self
            .settings
            .commits_schema
            .as_ref()
            .unwrap_or(&relation.schema);
        Relation::new(schema.clone(), relational::commits::TABLE)
    }

    /// A session for a table.
    fn writing(&self, session: Session, table: &TableName) -> Writing {
        let relation = self.relation(table);
        Writing {
            session: Arc::new(session),
            commits: self.commits(&relation),
            relation,
        }
    }
}

#[async_trait]
impl Tables for PostgresTables {
    const BEGIN: &'static str = "postgres::begin";
    type Error = PgError;
    type Session = Writing;
    type Write = PostgresWrite;

    fn connection(&self) -> (&str, bool) {
        (&self.settings.connection, self.settings.writable)
    }

    fn shown(&self, table: &TableName) -> String {
        self.relation(table).to_string()
    }

    fn has_type(&self, data_type: &DataType) -> bool {
        stored_as(data_type).is_some()
    }

    async fn look(&self, table: &TableName) -> std::result::Result<Option<Writing>, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_look().await?;
        Ok(Some(self.writing(session, table)))
    }

    async fn lock_task(&self, asking: &Writing, task: &TaskKey) -> Result<()> {
        task_lock::lock(asking.client(), &task.app_id()).await
    }

    async fn state(
        &self,
        asking: &Writing,
        committed: Option<&TableState>,
    ) -> Result<Option<TableState>> {
        states::state(asking.client(), &asking.relation, committed).await
    }

    async fn end_look(&self, asking: &Writing) -> Result<()> {
        let ended = asking.client().batch_execute("COMMIT").await;
        ended.doing("ending a look at a table")
    }

    async fn open(
        &self,
        intent: WriteRequest,
        before: Option<StateBeforeWrite>,
    ) -> std::result::Result<PostgresWrite, Failure> {
        let relation = self.relation(&intent.table);
        let job = Job {
            truncate: truncate(&intent, &self.settings)?,
            settings: self.settings.clone(),
            memory: Arc::clone(&self.memory),
            before,
            intent,
        };
        check_names([&relation, &self.commits(&relation)])?;
        let session = Session::open(&self.settings).await?;
        let writing = self.writing(session, &job.intent.table);
        let new_table = Box::pin(open_stage(&writing, &job.intent)).await?;
        Ok(PostgresWrite::new(writing, job, new_table))
    }

    async fn schema(&self, table: &TableName) -> std::result::Result<Option<SchemaRef>, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_read(None, &self.settings.schema).await?;
        let client = session.client();
        let Some(found) = look_up(client, &self.relation(table)).await? else {
            return Ok(None);
        };
        let raw = table_columns(client, found.oid).await?;
        let fields: Vec<_> = raw.iter().map(|column| column.column(None).field).collect();
        Ok(Some(Arc::new(Schema::new(fields))))
    }
}

/// What the table says, or else the connection.
fn truncate(intent: &WriteRequest, settings: &Settings) -> Result<bool> {
    let word = intent.write.options.get("replace");
    match word
        .or(settings.replace.as_ref())
        .map(|word| (word, word.as_str()))
    {
        None | Some((_, Some("delete"))) => Ok(false),
        Some((_, Some("truncate"))) => Ok(intent.write.mode == WriteMode::Replace),
        Some((other, _)) => Err(PgError::BadOption {
            connection: settings.connection.clone(),
            option: "replace",
            reason: format!("is `{other}`, but must be one of delete, truncate"),
        }),
    }
}

/// PostgreSQL would cut a longer name, and write another table.
fn check_names(relations: [&Relation; 2]) -> Result<()> {
    let names = relations
        .iter()
        .flat_map(|found| [&found.schema, &found.name]);
    match names.into_iter().find(|name| name.len() > LONGEST_NAME) {
        Some(name) => Err(PgError::LongName { name: name.clone() }),
        None => Ok(()),
    }
}

/// Opens the transaction, refuses what cannot work, makes the stage: a temporary table, or the table itself
/// where it is new.
async fn open_stage(writing: &Writing, intent: &WriteRequest) -> Result<Option<NewTable>> {
    let (client, relation) = (writing.client(), &writing.relation);
    let write = &intent.write;
    let standby = client
        .query_one("SELECT pg_is_in_recovery()", &[])
        .await
        .doing("asking whether this is a replica")?;
    if standby.get(0) {
        return Err(PgError::Replica);
    }
    writing.session.begin_write(&relation.schema).await?;
    task_lock::check_rights(client, &writing.commits).await?;
    let found = look_up(client, relation).await?;
    let (found, change) = (found.as_ref(), (write.schema_change, [].as_slice()));
    // Only to refuse early: the table is looked at again, under its lock, when the rows are there. Which types
    // are too narrow shows then.
    let alignment = align(client, relation, found, &intent.schema, change, &[]).await?;
    if let Some(found) = found {
        let effects = Effects::of(intent, &alignment, false);
        refuse_cascades(client, found, &effects).await?;
    }
    if let Some(new_table) = NewTable::open(client, relation, intent, &alignment).await? {
        return Ok(Some(new_table));
    }
    let mut columns: Vec<String> = stage_types(&intent.schema)?
        .iter()
        .enumerate()
        .map(|(index, stored)| format!("c{index} {stored}"))
        .collect();
    if write.mode == WriteMode::Merge {
        columns.push(format!("{OP} smallint NOT NULL, {ORDINAL} bigint NOT NULL"));
    }
    let sql = format!(
        "CREATE TEMPORARY TABLE {STAGE} ({}) ON COMMIT DROP",
        columns.join(", ")
    );
    let created = client.batch_execute(&sql).await;
    created.doing("creating the stage")?;
    Ok(None)
}
