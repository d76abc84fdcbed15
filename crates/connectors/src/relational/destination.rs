//! The destination of a SQL database: what its tables hold, what was committed last, and the way to a writer.
//!
//! Promise: a connection is written only when the project says `writable: true`; a mode without its key is refused
//! before anything is opened; the last commit of a task is asked for behind the end of every attempt that is about
//! to commit. How a database opens a session, and what only it refuses, is its `Tables`. Read next: `writer.rs`.

use std::ops::RangeInclusive;

use arrow_schema::{DataType, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{
    Committed, Destination, StateBeforeWrite, TableState, TableStates, WriteRequest, Writer,
};
use towpath_vocab::{Failure, TableName, TaskKey};

use super::commits;
use super::fault::{Fault, RelationalError};
use super::modes;
use super::nested::JsonTexts;
use super::session::Session;
use super::writer::{TableWrite, TableWriter};

/// What a database does for the tables of a connection.
#[async_trait]
pub(crate) trait Tables: Send + Sync + 'static {
    /// The name of the failpoint at the beginning of a write.
    const BEGIN: &'static str;
    /// What fails.
    type Error: RelationalError;
    /// A session that asks or writes.
    type Session: Session<Error = Self::Error>;
    /// One write.
    type Write: TableWrite<Error = Self::Error, Session = Self::Session>;

    /// The name of the connection, and whether it may be written.
    fn connection(&self) -> (&str, bool);

    /// The table as a person names it.
    fn shown(&self, table: &TableName) -> String;

    /// Whether a list, struct or map has a type of its own; else it is written as JSON text.
    fn has_type(&self, _: &DataType) -> bool {
        false
    }

    /// A session that only asks; `None` where there is no database yet.
    async fn look(&self, table: &TableName) -> Result<Option<Self::Session>, Failure>;

    /// Waits for the end of an attempt of this task that is about to commit.
    async fn lock_task(&self, session: &Self::Session, task: &TaskKey) -> Result<(), Self::Error>;

    /// The table as it is now; `committed` is how the newest commit of the task left it.
    async fn state(
        &self,
        session: &Self::Session,
        committed: Option<&TableState>,
    ) -> Result<Option<TableState>, Self::Error>;

    /// Ends a look, where others would wait until the server notices that its session is gone.
    async fn end_look(&self, _: &Self::Session) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Refuses what cannot work, and opens the stage.
    async fn open(
        &self,
        intent: WriteRequest,
        before: Option<StateBeforeWrite>,
    ) -> Result<Self::Write, Failure>;

    /// The columns of a table that exists.
    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>, Failure>;

    /// The dates that it stores, in days since 1970; all of them if `None`.
    fn days(&self) -> Option<RangeInclusive<i32>> {
        None
    }
}

/// Writes to a SQL database.
pub(crate) struct TableDestination<T>(pub(crate) T);

#[async_trait]
impl<T: Tables> Destination for TableDestination<T> {
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>, Failure> {
        let Some(asking) = self.0.look(table).await? else {
            return Ok(None);
        };
        // A COMMIT that was sent and not answered may be about to be the last one.
        let locked = self.0.lock_task(&asking, task).await;
        locked.map_err(Into::<Failure>::into)?;
        commits::last(&asking, task).await.map_err(Into::into)
    }

    async fn states(&self, task: &TaskKey, table: &TableName) -> Result<TableStates, Failure> {
        let Some(asking) = self.0.look(table).await? else {
            return Ok(TableStates::default());
        };
        let look = async {
            let committed = commits::state(&asking, task).await?;
            let now = self.0.state(&asking, committed.as_ref()).await?;
            self.0.end_look(&asking).await?;
            Ok::<_, T::Error>(TableStates { committed, now })
        };
        look.await.map_err(Into::into)
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>, Failure> {
        fail::fail_point!(T::BEGIN);
        if let (connection, false) = self.0.connection() {
            let connection = connection.to_owned();
            return Err(Fault::ReadOnly { connection }.into());
        }
        let (texts, intent) = JsonTexts::of(intent, |data_type| self.0.has_type(data_type));
        let before = StateBeforeWrite::of(&intent.write)?;
        modes::check(&intent, &self.0.shown(&intent.table))?;
        let write = Box::pin(self.0.open(intent, before)).await?;
        Ok(texts.before(TableWriter::new(write)))
    }

    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>, Failure> {
        self.0.schema(table).await
    }

    fn days(&self) -> Option<RangeInclusive<i32>> {
        self.0.days()
    }
}
