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

/// What an operator gives.
#[derive(Debug, Default)]
pub struct OperatorOutput {
    /// Rows that go on.
    pub rows: Vec<Rows>,
    /// Rows that were rejected.
    pub rejects: Vec<Reject>,
    /// Rows that were left out because a condition says so.
    pub filtered_rows: u64,
    /// Rows that were left out because another row has their key.
    pub repeated_rows: u64,
}

impl OperatorOutput {
    /// Rows that go on, and nothing else.
    pub fn of(rows: Rows) -> Self {
        Self {
            rows: vec![rows],
            ..Self::default()
        }
    }

    /// Takes over what another output gives, behind what is here.
    pub fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.rejects.extend(other.rejects);
        self.filtered_rows += other.filtered_rows;
        self.repeated_rows += other.repeated_rows;
    }
}

/// One step of a table's way. State that must outlast a commit is frozen there.
#[async_trait]
pub trait Operator: Send {
    /// Names it among the operators of its table, in messages and in stored state.
    fn name(&self) -> &'static str;

    /// The columns it gives.
    fn schema(&self) -> SchemaRef;

    /// Takes one batch.
    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput>;

    /// No row with an earlier event time will come.
    async fn watermark(&mut self, _event_time_us: i64) -> Result<OperatorOutput> {
        Ok(OperatorOutput::default())
    }

    /// A commit is due: what is held back for it, in parts. Called until it gives `None`.
    async fn flush(&mut self) -> Result<Option<OperatorOutput>> {
        Ok(None)
    }

    /// The input has ended, behind the last `flush`: what is still held, in parts. Called until it gives
    /// `None`.
    async fn finish(&mut self) -> Result<Option<OperatorOutput>> {
        Ok(None)
    }

    /// Its state behind a `flush`, as columns, to be stored with the commit. Empty when it has none.
    fn freeze(&self) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }

    /// Goes on from a frozen state. Called before the first batch, never with an empty state.
    ///
    /// # Errors
    /// `Bug` when the state is not one of this operator.
    fn restore(&mut self, _state: Vec<RecordBatch>) -> Result<()> {
        let message = format!(
            "operator `{}` got a stored state, but has none",
            self.name()
        );
        Err(Failure::new("R0722", Remedy::Bug, message))
    }
}
