//! The destination of a `singer` connection: a target, which gets the rows of a commit on its standard input.
//!
//! Promise: a write that a target cannot hold is refused before it begins. What was delivered is known from
//! the project's own files, never from the target. Read next: `target_writer.rs`, `delivered.rs`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{
    Committed, ConnectorContext, DELETE_ABSENT, Destination, Result, TableState, TableStates,
    WriteRequest, Writer,
};
use towpath_vocab::{TableName, TaskKey, WriteMode};

use super::delivered::Delivered;
use super::error::SingerError;
use super::settings::Settings;
use super::target_writer::TargetWriter;

/// Years 1 to 9999: what programs in Python can hold.
const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

/// A target to write to.
#[derive(Clone)]
pub(super) struct SingerTarget {
    pub(super) settings: Arc<Settings>,
    pub(super) context: ConnectorContext,
}

impl SingerTarget {
    /// What was delivered to it.
    pub(super) fn delivered(&self) -> Delivered {
        Delivered::new(&self.context.project_dir, &self.settings.connection)
    }

    fn check(&self, intent: &WriteRequest) -> Result<(), SingerError> {
        let table = intent.table.to_string();
        if !self.settings.writable {
            return Err(SingerError::NotWritable {
                connection: self.settings.connection.clone(),
            });
        }
        let mode = intent.write.mode;
        if !matches!(mode, WriteMode::Append | WriteMode::Merge) {
            return Err(SingerError::Mode {
                table,
                why: "replaces or deletes rows",
            });
        }
        if intent.write.options.contains_key(DELETE_ABSENT) {
            return Err(SingerError::Mode {
                table,
                why: "deletes the rows that are absent",
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Destination for SingerTarget {
    async fn last(&self, task: &TaskKey, _: &TableName) -> Result<Option<Committed>> {
        Ok(self.delivered().last(task)?)
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        self.check(&intent)?;
        Ok(Box::new(TargetWriter::begin(self.clone(), intent)?))
    }

    async fn schema(&self, _: &TableName) -> Result<Option<SchemaRef>> {
        // Nobody can ask a target.
        Ok(None)
    }

    async fn states(&self, task: &TaskKey, _: &TableName) -> Result<TableStates> {
        // That the table is there is known since the first delivery; what it holds now is not.
        let now = self.delivered().last(task)?.map(|_| TableState::default());
        Ok(TableStates {
            committed: None,
            now,
        })
    }

    fn days(&self) -> Option<RangeInclusive<i32>> {
        Some(DAYS)
    }
}
