//! Runs the checks of a view before it is stored: no rows are written, so every check is a query.
//!
//! Promise: checks, severities and results are the same as for a table. It stores nothing and does not know
//! the SQL of the view. Read next: `audit.rs`.

use std::collections::BTreeMap;

use towpath_ports::{Candidate, Result};
use towpath_vocab::TablePlan;

use crate::audit::{audit, stopped_view};
use crate::check_query::CheckRunner;
use crate::checks::Known;
use crate::services::TransferServices;
use crate::summary::OutputSummary;

/// Runs the checks of `plan` on a view that is not visible yet; `stopped` says why it must not become
/// visible.
///
/// # Errors
/// Those of a check that cannot be measured.
pub async fn judge_view(
    plan: &TablePlan,
    candidate: Candidate,
    services: &TransferServices,
) -> Result<OutputSummary> {
    let mut summary = OutputSummary::of(plan.target.clone());
    let asking = CheckRunner {
        table: &plan.target,
        candidates: &BTreeMap::from([(plan.target.clone(), candidate)]),
        query: services.query.as_ref(),
        clock: services.clock.as_ref(),
        share: services.share(),
    };
    let known = plan.checks.iter().map(|_| Known::Nothing).collect();
    summary.checks = audit(&plan.checks, known, &asking).await?;
    summary.stopped = stopped_view(&plan.target, &summary.checks);
    Ok(summary)
}
