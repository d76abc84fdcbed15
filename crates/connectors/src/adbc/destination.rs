//! What DuckDB does for the tables of a file (`relational/destination.rs`): opens it, and makes the stage.
//!
//! Promise: a database whose transactions and types are not known here is refused before rows come (R1416). A file that
//! does not exist is created by a write, not by a look. Read next: `writer.rs`.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{Memory, StateBeforeWrite, TableState, WriteRequest};
use towpath_vocab::{Failure, TableName, TaskKey, WriteMode};

use super::align::align;
use super::error::{AdbcError, Result};
use super::session::Session;
use super::settings::Settings;
use super::sql::Writing;
use super::stage;
use super::state::state;
use super::subject::Subject;
use super::target::Target;
use super::vendor::Vendor;
use super::writer::AdbcWrite;
use crate::relational::destination::Tables;

/// The tables of a database.
pub(super) struct AdbcTables {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl AdbcTables {
    fn target(&self, table: &TableName) -> Target {
        Target::of(&self.settings.connection, table)
    }

    /// A session of a database that can be written.
    async fn session(&self) -> std::result::Result<Session, Failure> {
        let session = Session::open(&self.settings).await?;
        match session.vendor() {
            Vendor::DuckDb => Ok(session),
            Vendor::Postgres | Vendor::Sqlite | Vendor::Other => Err(AdbcError::ReadsOnly {
                product: session.product.shown.clone(),
            }
            .into()),
        }
    }
}

#[async_trait]
impl Tables for AdbcTables {
    const BEGIN: &'static str = "adbc::begin";
    type Error = AdbcError;
    type Session = Writing;
    type Write = AdbcWrite;

    fn connection(&self) -> (&str, bool) {
        (&self.settings.connection, self.settings.writable)
    }

    fn shown(&self, table: &TableName) -> String {
        self.target(table).shown()
    }

    async fn look(&self, table: &TableName) -> std::result::Result<Option<Writing>, Failure> {
        if !self.settings.exists() {
            return Ok(None);
        }
        Ok(Some(Writing {
            session: self.session().await?,
            target: self.target(table),
        }))
    }

    /// Waits for a COMMIT whose caller is gone.
    async fn lock_task(&self, looking: &Writing, _: &TaskKey) -> Result<()> {
        looking.session.take_turn().await
    }

    async fn state(&self, looking: &Writing, _: Option<&TableState>) -> Result<Option<TableState>> {
        state(looking).await
    }

    async fn open(
        &self,
        intent: WriteRequest,
        before: Option<StateBeforeWrite>,
    ) -> std::result::Result<AdbcWrite, Failure> {
        let target = self.target(&intent.table);
        check_names(&intent, &target.shown())?;
        let session = self.session().await?;
        // Only to refuse early: the table is looked at again when it is this write's turn.
        let look = target.clone();
        let present = session.run(move |work| look.look(work)).await?;
        align(&target, present.as_ref(), &intent, &[]).await?;
        let schema = Arc::clone(&intent.schema);
        let merges = intent.write.mode == WriteMode::Merge;
        session
            .run(move |work| stage::create(work, &schema, merges))
            .await?;
        Ok(AdbcWrite {
            writing: Writing { session, target },
            intent,
            before,
            memory: Arc::clone(&self.memory),
            bytes: 0,
        })
    }

    async fn schema(&self, table: &TableName) -> std::result::Result<Option<SchemaRef>, Failure> {
        let Some(Writing { session, target }) = self.look(table).await? else {
            return Ok(None);
        };
        let schema = session.run(move |work| {
            let Some(present) = target.look(work)? else {
                return Ok(None);
            };
            let subject = Subject {
                object: target.shown(),
                from: target.sql(),
                raws: Vec::new(),
                table: None,
                vendor: Vendor::DuckDb,
            };
            let subject = subject.with_columns(work)?;
            let columns = subject.plain(work, &subject.names())?;
            let is_required = |name: &str| {
                let mut columns = present.columns.iter();
                columns.any(|column| column.name == name && column.is_required)
            };
            let fields = columns.iter().map(|column| {
                column
                    .field
                    .clone()
                    .with_nullable(!is_required(&column.name))
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
        if earlier.any(|other| Vendor::DuckDb.same(other.name(), field.name())) {
            return Err(AdbcError::SameName {
                object: table.to_owned(),
                column: field.name().clone(),
            });
        }
    }
    Ok(())
}
