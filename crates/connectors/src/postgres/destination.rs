//! The destination face: what is there, what was committed last, and the way to a writer.
//!
//! Promise: a connection is written only when the project says `writable: true`; a write that cannot
//! work (replica, no right to keep tokens, columns that do not fit) is refused before rows come.
//! Everything a write does is one transaction of one session, so whatever dies leaves nothing behind.
//! Read next: `writer.rs`.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{Committed, Destination, Intent, Look, Memory, TableStates, Writer};
use towpath_vocab::{Failure, TableName, TaskKey, WriteMode};

use super::align::{LONGEST_NAME, align, stage_types};
use super::apply::refuse_cascades;
use super::catalog::{look_up, table_columns};
use super::commits;
use super::error::{Doing as _, PgError, Result};
use super::names::Relation;
use super::session::Session;
use super::settings::Settings;
use super::sql::{ORDINAL, STAGE, Writing};
use super::states;
use super::types::stored_as;
use super::writer::{Job, PostgresWriter};
use crate::relational::fault::Fault;
use crate::relational::nested::JsonTexts;
use crate::relational::statements::OP;
use crate::relational::{self, modes};

/// Writes to a PostgreSQL database.
pub(super) struct PostgresDestination {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl PostgresDestination {
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
}

#[async_trait]
impl Destination for PostgresDestination {
    async fn last(
        &self,
        task: &TaskKey,
        table: &TableName,
    ) -> std::result::Result<Option<Committed>, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_look().await?;
        let relation = self.relation(table);
        let commits = self.commits(&relation);
        // A COMMIT that was sent and not answered may be about to be the last one.
        commits::lock(session.client(), &task.app_id()).await?;
        let asking = Writing {
            client: session.client(),
            relation: &relation,
            commits: &commits,
        };
        Ok(commits::last(&asking, task).await?)
    }

    async fn states(
        &self,
        task: &TaskKey,
        table: &TableName,
    ) -> std::result::Result<TableStates, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_look().await?;
        let relation = self.relation(table);
        let commits = self.commits(&relation);
        let asking = Writing {
            client: session.client(),
            relation: &relation,
            commits: &commits,
        };
        let committed = commits::state_left(&asking, task).await?;
        let now = states::state(session.client(), &relation, committed.as_ref()).await?;
        // The server would notice later that the connection is gone, and until then keep others waiting.
        session
            .client()
            .batch_execute("COMMIT")
            .await
            .doing("ending a look at a table")?;
        Ok(TableStates { committed, now })
    }

    async fn begin(&self, intent: Intent) -> std::result::Result<Box<dyn Writer>, Failure> {
        fail::fail_point!("postgres::begin");
        if !self.settings.writable {
            return Err(Fault::ReadOnly {
                connection: self.settings.connection.clone(),
            }
            .into());
        }
        let (texts, intent) = JsonTexts::of(intent, |data_type| stored_as(data_type).is_some());
        let relation = self.relation(&intent.table);
        let job = Job {
            commits: self.commits(&relation),
            truncate: truncate(&intent, &self.settings.connection)?,
            settings: self.settings.clone(),
            memory: Arc::clone(&self.memory),
            relation,
            look: Look::of(&intent.write)?,
            intent,
        };
        check_names(&job)?;
        modes::check(&job.intent, &job.relation.to_string())?;
        let session = Session::open(&self.settings).await?;
        Box::pin(open_stage(&session, &job)).await?;
        Ok(texts.before(PostgresWriter::new(session, job)))
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

fn truncate(intent: &Intent, connection: &str) -> Result<bool> {
    match intent
        .write
        .options
        .get("replace")
        .map(|word| (word, word.as_str()))
    {
        None | Some((_, Some("delete"))) => Ok(false),
        Some((_, Some("truncate"))) => Ok(intent.write.mode == WriteMode::Replace),
        Some((other, _)) => Err(PgError::BadOption {
            connection: connection.to_owned(),
            option: "replace",
            reason: format!("is `{other}`, but must be one of delete, truncate"),
        }),
    }
}

/// PostgreSQL would cut a longer name, and write another table.
fn check_names(job: &Job) -> Result<()> {
    let relations = [&job.relation, &job.commits];
    let names = relations
        .iter()
        .flat_map(|found| [&found.schema, &found.name]);
    match names.into_iter().find(|name| name.len() > LONGEST_NAME) {
        Some(name) => Err(PgError::LongName { name: name.clone() }),
        None => Ok(()),
    }
}

/// Opens the transaction, refuses what cannot work, makes the stage.
async fn open_stage(session: &Session, job: &Job) -> Result<()> {
    let client = session.client();
    let standby = client
        .query_one("SELECT pg_is_in_recovery()", &[])
        .await
        .doing("asking whether this is a replica")?;
    if standby.get(0) {
        return Err(PgError::Replica);
    }
    session.begin_write(&job.relation.schema).await?;
    commits::check_rights(client, &job.commits).await?;
    let found = look_up(client, &job.relation).await?;
    if let Some(found) = &found {
        let deletes = modes::deletes_absent(&job.intent.write);
        refuse_cascades(client, found, job.intent.write.mode, deletes).await?;
    }
    let change = job.intent.write.schema_change;
    // Only to refuse early: the table is looked at again, under its lock, when the rows are there.
    align(
        client,
        &job.relation,
        found.as_ref(),
        &job.intent.schema,
        change,
        &[],
    )
    .await?;
    let mut columns: Vec<String> = stage_types(&job.intent.schema)?
        .iter()
        .enumerate()
        .map(|(index, stored)| format!("c{index} {stored}"))
        .collect();
    if job.intent.write.mode == WriteMode::Merge {
        columns.push(format!("{OP} smallint NOT NULL, {ORDINAL} bigint NOT NULL"));
    }
    let sql = format!(
        "CREATE TEMPORARY TABLE {STAGE} ({}) ON COMMIT DROP",
        columns.join(", ")
    );
    client.batch_execute(&sql).await.doing("creating the stage")
}
