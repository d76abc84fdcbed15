//! What happens to rows between reader and writer.

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_vocab::Reject;

use crate::{Result, Rows};

/// What an operator gives for one batch.
#[derive(Debug, Default)]
pub struct Output {
    /// Rows that go on.
    pub rows: Vec<Rows>,
    /// Rows that were set aside.
    pub rejects: Vec<Reject>,
}

/// One step of a table's way. Operators of one table run in order; state is frozen at boundaries.
#[async_trait]
pub trait Operator: Send {
    /// The columns it gives.
    fn schema(&self) -> SchemaRef;

    /// Takes one batch.
    async fn process(&mut self, rows: Rows) -> Result<Output>;

    /// No row with an earlier event time will come.
    async fn watermark(&mut self, event_time_us: i64) -> Result<Output>;

    /// The input has ended: what is still held.
    async fn finish(&mut self) -> Result<Output>;

    /// Its state at a boundary, to be stored with the checkpoint.
    fn freeze(&self) -> Result<serde_json::Value>;

    /// Goes on from a frozen state.
    fn restore(&mut self, state: serde_json::Value) -> Result<()>;
}
