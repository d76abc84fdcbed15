//! The commits of the lakehouse before the last one, as the quarantine asks for them.
//!
//! Promise: only what is stored is listed: settled positions and entries of the Delta log. It changes
//! nothing. Read next: `position.rs` (stored tokens), `table_history.rs` (the log).

use async_trait::async_trait;
use towpath_ports::{CommitLog, Result};
use towpath_vocab::{Generation, TableName, TaskKey, Token};

use super::Lake;
use super::position::Positions;

/// How histories call a write that replaces all rows.
const REPLACE: &str = "replace";

#[async_trait]
impl CommitLog for Lake {
    async fn tables(&self) -> Result<Vec<TableName>> {
        Lake::tables(self).await
    }

    async fn tokens(&self, task: &TaskKey) -> Result<Vec<Token>> {
        let table = self.table(&task.table)?;
        let stored = Positions::of(&table, &task.app_id()).all().await?;
        let tokens = stored.into_iter().map(|stored| stored.committed().token);
        Ok(tokens.collect())
    }

    async fn replaced(&self, task: &TaskKey) -> Result<Option<Generation>> {
        if self.version(&task.table).await?.is_none() {
            return Ok(None);
        }
        let app_id = task.app_id();
        let history = self.history(&task.table, usize::MAX).await?;
        Ok(history.into_iter().find_map(|entry| {
            let (task, generation) = entry.task?;
            let is_it = task == app_id && entry.write.as_deref() == Some(REPLACE);
            is_it.then_some(Generation(generation))
        }))
    }
}
