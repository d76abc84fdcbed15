//! `CommitObserver`: is called for every commit when it happens (history, lineage, metrics, live views).
//!
//! Promise: a commit is reported before it is confirmed to the source, and before the next commit begins.
//! It does not know what the observer does. Read next: `tables.rs`.

use async_trait::async_trait;
use towpath_ports::Result;

use crate::summary::OutputSummary;

/// Hears of commits.
#[async_trait]
pub trait CommitObserver: Send + Sync {
    /// A table was committed, or stopped by its data (`stopped` says why). The counts are of this commit
    /// alone.
    ///
    /// # Errors
    /// End the transfer; the commit is made all the same.
    async fn table_committed(&self, table: &OutputSummary) -> Result<()>;
}
