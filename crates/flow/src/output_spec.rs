//! What a transfer needs to know about one table that it writes.
//!
//! Promise: values only; every table of a transfer has its own destination, quarantine and checkpoint. It does
//! not know how rows are written. Read next: `output.rs`.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use towpath_ports::{Checkpoint, Destination, Operator, Result};
use towpath_vocab::{Annotations, Generation, Position, TablePlan, TaskKey};

/// Makes an operator for rows with these columns; called again for every commit.
pub type OperatorFactory = Arc<dyn Fn(&SchemaRef) -> Result<Box<dyn Operator>> + Send + Sync>;

/// One table that a transfer writes.
pub struct OutputSpec {
    /// The table name of its rows in the reader.
    pub source_table: towpath_vocab::TableName,
    /// What happens to them.
    pub plan: TablePlan,
    /// The task that writes.
    pub task: TaskKey,
    /// The generation of the first commit; endless reads count up from it.
    pub generation: Generation,
    /// The commit from whose position the source is read: see `WriteRequest::after`.
    pub after: Option<Generation>,
    /// The destination of the rows.
    pub destination: Arc<dyn Destination>,
    /// The destination of bad rows.
    pub quarantine: Arc<dyn Destination>,
    /// The position that the destination has; rows before it are skipped.
    pub committed: Position,
    /// The fingerprint of every commit.
    pub fingerprint: Option<String>,
    /// The caller's annotations of every commit.
    pub annotations: Annotations,
    /// The state of operators that the destination stored with that position.
    pub checkpoint: Checkpoint,
    /// More operators, between those of the plan and the writer.
    pub operators: Vec<OperatorFactory>,
    /// The rows of the table that a full load from an empty source would delete.
    pub rows_before: Option<u64>,
    /// When a bounded read makes no commit.
    pub skip: SkipCommit,
}

/// When a bounded read makes no commit, because its table would not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SkipCommit {
    /// Never: the commit stores the position, or that the table was replaced.
    #[default]
    Never,
    /// If the read found nothing and ended at its start.
    NothingRead,
    /// If no row was written, the table has the columns, and no check complains. The checks run.
    NoRows,
}
