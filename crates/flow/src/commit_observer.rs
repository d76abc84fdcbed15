//! `CommitObserver`: is called for every commit when it happens (history, lineage, metrics, live views).
//!
//! Promise: a commit is reported before it is confirmed to the source, and before the next commit begins.
//! It does not know what the observer does. Read next: `tables.rs`.

use async_trait::async_trait;
use towpath_ports::Result;

use crate::summary::OutputSummary;

/// Is called for every commit.
#[async_trait]
pub trait CommitObserver: Send + Sync {
    /// A table was committed, or its data stopped it (`stopped` says why). The counts are those of this
    /// commit only.
    ///
    /// # Errors
    /// An error ends the transfer, but the commit stays.
    async fn table_committed(&self, table: &OutputSummary) -> Result<()>;
}
