//! `CommitLog`: the commits of a table before the last one, for table formats that have a log.
//!
//! Promise: the token of a commit is listed as long as the table can be restored to that commit. The
//! lakehouse has such a log; databases and files do not. It only reads. Read next: `destination.rs` (the
//! last commit).

use async_trait::async_trait;
use towpath_vocab::{Generation, TableName, TaskKey, Token};

use crate::Result;

/// Tables with a log of their commits.
#[async_trait]
pub trait CommitLog: Send + Sync {
    /// All tables.
    async fn tables(&self) -> Result<Vec<TableName>>;

    /// The tokens of a task's commits, oldest first, as far back as the log goes.
    async fn tokens(&self, task: &TaskKey) -> Result<Vec<Token>>;

    /// The newest commit of a task that replaced all rows of its table, if the log has one.
    async fn replaced(&self, task: &TaskKey) -> Result<Option<Generation>>;
}
