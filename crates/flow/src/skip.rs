//! When a write makes no commit, because its table would stay as it is.
//!
//! Promise: rows, columns and the state of operators are never lost by it. It does not know where the position
//! of the read is kept then: that is for the caller, which chooses. Read next: `output.rs`.

use arrow_schema::SchemaRef;
use towpath_ports::{Checkpoint, Result};
use towpath_vocab::{CheckOutcome, CheckResult};

use crate::output::OutputSpec;
use crate::summary::OutputSummary;

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

/// True if a commit would make a version that is equal to the one before.
pub(crate) async fn adds_nothing(
    summary: &OutputSummary,
    columns: &SchemaRef,
    checkpoint: &Checkpoint,
    spec: &OutputSpec,
) -> Result<bool> {
    let complains = |result: &CheckResult| result.outcome != CheckOutcome::Pass;
    if spec.skip != SkipCommit::NoRows
        || summary.rows_loaded > 0
        || !checkpoint.is_empty()
        || summary.checks.iter().any(complains)
    {
        return Ok(false);
    }
    let known = spec.destination.schema(&spec.plan.target).await?;
    Ok(known.is_some_and(|known| {
        let mut columns = columns.fields().iter();
        columns.all(|column| known.field_with_name(column.name()).is_ok())
    }))
}
