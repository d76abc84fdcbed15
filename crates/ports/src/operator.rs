//! The interface of an operator: the only way in which rows change between reader and writer.
//!
//! Promise: the operators of a table run in order, and each gets every batch, every watermark and every
//! commit. Operators respect `Rows::ops`: a delete passes filters and rules unchanged, and its columns
//! outside the key may be NULL. It does not know which operators there are. Read next: `flow/src/chain.rs`.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_vocab::{Failure, Reject, Remedy};

use crate::{Result, Rows};

/// The output of an operator.
#[derive(Debug, Default)]
pub struct OperatorOutput {
    /// Rows for the next operator.
    pub rows: Vec<Rows>,
    /// Rows that were rejected.
    pub rejects: Vec<Reject>,
    /// The number of rows that a condition removed.
    pub filtered_rows: u64,
    /// The number of rows that were removed because another row has their key.
    pub repeated_rows: u64,
}

impl OperatorOutput {
    /// An output with rows only.
    pub fn of(rows: Rows) -> Self {
        Self {
            rows: vec![rows],
            ..Self::default()
        }
    }

    /// Appends another output to this one.
    pub fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.rejects.extend(other.rejects);
        self.filtered_rows += other.filtered_rows;
        self.repeated_rows += other.repeated_rows;
    }
}

/// One step between reader and writer. State that is needed after a commit is frozen at the commit.
#[async_trait]
pub trait Operator: Send {
    /// Its name among the operators of its table, for messages and for the stored state.
    fn name(&self) -> &'static str;

    /// The columns of its output.
    fn schema(&self) -> SchemaRef;

    /// Processes one batch.
    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput>;

    /// No row with an earlier event time will come.
    async fn watermark(&mut self, _event_time_us: i64) -> Result<OperatorOutput> {
        Ok(OperatorOutput::default())
    }

    /// Returns, before a commit, the rows that were kept until then, in parts. It is called until it
    /// returns `None`.
    async fn flush(&mut self) -> Result<Option<OperatorOutput>> {
        Ok(None)
    }

    /// Returns, after the last `flush`, the rows that are still kept, in parts. It is called until it
    /// returns `None`.
    async fn finish(&mut self) -> Result<Option<OperatorOutput>> {
        Ok(None)
    }

    /// Its state after a `flush`, as record batches, to be stored with the commit. Empty if it has none.
    fn freeze(&self) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }

    /// Continues from a frozen state. It is called before the first batch, never with an empty state.
    ///
    /// # Errors
    /// `Bug` if the state does not belong to this operator.
    fn restore(&mut self, _state: Vec<RecordBatch>) -> Result<()> {
        let message = format!(
            "operator `{}` got a stored state, but has none",
            self.name()
        );
        Err(Failure::new("R0722", Remedy::Bug, message))
    }
}
