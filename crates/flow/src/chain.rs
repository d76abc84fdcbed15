//! The operators of one table in their order: the only way in which its rows change.
//!
//! Promise: every batch, watermark and commit passes all operators; the output of one is the input of the
//! next. Their state is frozen after a flush and restored before the first batch. It does not know what an
//! operator does, or where rows and rejects go. Read next: `output.rs`.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use towpath_ports::{Checkpoint, Operator, OperatorOutput, Result, Rows};

/// Operators in order.
pub(crate) struct Chain {
    operators: Vec<Box<dyn Operator>>,
    /// The operator that is being flushed.
    emptying: usize,
}

/// Why operators are flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushReason {
    /// A commit is due.
    Commit,
    /// The input has ended.
    End,
}

impl Chain {
    pub(crate) fn new(operators: Vec<Box<dyn Operator>>) -> Self {
        Self {
            operators,
            emptying: 0,
        }
    }

    /// Passes one batch through the operators.
    pub(crate) async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        self.pass(0, OperatorOutput::of(rows)).await
    }

    /// Passes on that no row with an earlier event time will come. Each operator gets this after the rows
    /// that the operators before it returned.
    pub(crate) async fn watermark(&mut self, event_time_us: i64) -> Result<OperatorOutput> {
        let mut output = OperatorOutput::default();
        for at in 0..self.operators.len() {
            let rows = std::mem::take(&mut output.rows);
            for rows in rows {
                output.append(self.one(at, rows).await?);
            }
            if let Some(operator) = self.operators.get_mut(at) {
                output.append(operator.watermark(event_time_us).await?);
            }
        }
        Ok(output)
    }

    /// Flushes the next part of what operators keep; `None` if they keep nothing.
    pub(crate) async fn empty(&mut self, why: FlushReason) -> Result<Option<OperatorOutput>> {
        while let Some(operator) = self.operators.get_mut(self.emptying) {
            let flushed = match why {
                FlushReason::Commit => operator.flush().await?,
                FlushReason::End => operator.finish().await?,
            };
            match flushed {
                Some(flushed) => return self.pass(self.emptying + 1, flushed).await.map(Some),
                None => self.emptying += 1,
            }
        }
        self.emptying = 0;
        Ok(None)
    }

    /// The state of every operator that has one.
    pub(crate) fn freeze(&self) -> Result<Checkpoint> {
        let mut states: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        for operator in &self.operators {
            let state = operator.freeze()?;
            if !state.is_empty() {
                states.insert(operator.name().to_owned(), state);
            }
        }
        Ok(Checkpoint { states })
    }

    /// Continues from a frozen state. The state of an operator that no longer exists is dropped, because
    /// the plan has changed.
    pub(crate) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for operator in &mut self.operators {
            if let Some(state) = checkpoint.states.get(operator.name()) {
                operator.restore(state.clone())?;
            }
        }
        Ok(())
    }

    /// Passes rows to this operator and those after it.
    async fn pass(&mut self, first: usize, mut output: OperatorOutput) -> Result<OperatorOutput> {
        for at in first..self.operators.len() {
            let rows = std::mem::take(&mut output.rows);
            for rows in rows {
                output.append(self.one(at, rows).await?);
            }
        }
        Ok(output)
    }

    async fn one(&mut self, at: usize, rows: Rows) -> Result<OperatorOutput> {
        match self.operators.get_mut(at) {
            Some(operator) => operator.process(rows).await,
            None => Ok(OperatorOutput::of(rows)),
        }
    }
}
