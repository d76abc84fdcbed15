//! The destination of a `rest` connection: an API that takes the rows of publishes.
//!
//! Promise: a write that cannot work is refused before it begins. What the API has is known from the project's
//! own files, never from the API. Read next: `writer.rs`, `outbox.rs`.

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{
    Committed, ConnectorContext, DELETE_ABSENT, Destination, FINISH_DELIVERY, Leftover, Result,
    TableState, TableStates, WriteRequest, Writer,
};
use towpath_vocab::{ConnectionPlan, TableName, TaskKey, WriteMode};

use super::super::connection::ConnectionOptions;
use super::super::endpoint::of_table;
use super::super::error::RestError;
use super::options::{Change, SEND, SendOptions};
use super::outbox::Outbox;
use super::writer::RestWriter;

/// An API to write to.
#[derive(Clone)]
pub(in super::super) struct RestDestination {
    pub(in super::super) plan: ConnectionPlan,
    pub(in super::super) options: ConnectionOptions,
    pub(in super::super) context: ConnectorContext,
}

impl RestDestination {
    /// What is remembered of the rows of a task.
    pub(super) fn outbox(&self, task: &TaskKey) -> Outbox {
        let (project, options) = (&self.context.project_dir, &self.options);
        Outbox::of(project, &options.name, &options.url, task)
    }

    fn send(&self, intent: &WriteRequest) -> Result<SendOptions, RestError> {
        let table = intent.table.table();
        let own = intent.write.options.get(SEND);
        let value = own.or_else(|| self.options.table_option(table, SEND));
        SendOptions::read(table, value)
    }

    fn check(&self, intent: &WriteRequest, send: &SendOptions) -> Result<(), RestError> {
        if !self.plan.writable {
            return Err(self.options.wrong("writable", "is not true"));
        }
        let is_by_key = intent.write.mode == WriteMode::Merge && !intent.write.key.is_empty();
        if !is_by_key || intent.write.options.contains_key(DELETE_ABSENT) {
            return Err(RestError::WriteMode {
                table: intent.table.to_string(),
            });
        }
        let is_there = |column: &str| intent.schema.field_with_name(column).is_ok();
        if intent.write.options.contains_key(FINISH_DELIVERY) {
            return Ok(());
        }
        for change in Change::ALL {
            let columns = send.call(change).map(|call| call.path.columns());
            let absent = columns
                .into_iter()
                .flatten()
                .find(|column| !is_there(column));
            if let Some(column) = absent {
                let option = format!("{SEND}.{}", change.word());
                let why = format!("needs a column `{column}`, which the rows do not have");
                return Err(of_table(intent.table.table(), &option, why));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Destination for RestDestination {
    async fn last(&self, task: &TaskKey, _: &TableName) -> Result<Option<Committed>> {
        Ok(self.outbox(task).last()?)
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        let send = self.send(&intent)?;
        self.check(&intent, &send)?;
        Ok(Box::new(
            RestWriter::begin(self.clone(), intent, send).await?,
        ))
    }

    async fn schema(&self, _: &TableName) -> Result<Option<SchemaRef>> {
        // Nobody can ask an API for the columns that it takes.
        Ok(None)
    }

    async fn states(&self, task: &TaskKey, _: &TableName) -> Result<TableStates> {
        // That rows were sent is known; what the API holds now is not.
        let now = self.outbox(task).last()?.map(|_| TableState::default());
        Ok(TableStates {
            committed: None,
            now,
        })
    }

    async fn leftover(&self, task: &TaskKey, _: &TableName) -> Result<Leftover> {
        let outbox = self.outbox(task);
        Ok(Leftover {
            unfinished: outbox.unfinished()?.map(|head| head.token),
            refused: outbox.count_refused()?,
        })
    }
}
