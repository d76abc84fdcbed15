//! Rejected records of a table: counted, stored in its quarantine, and compared with its limit.
//!
//! Promise: records that operators reject and rows that a system refuses while they are delivered go the same
//! way. A row that is refused was counted as loaded before; afterwards it counts as rejected. It does not know
//! why a record is rejected. Read next: `output.rs`, `limits.rs`.

use async_trait::async_trait;
use towpath_ports::{RefusedRows, Result};
use towpath_vocab::{BadRows, Reject};

use crate::limits::{
    first_bad_row, first_refused, over_share, shown, shown_reasons, stopped_delivery, too_many,
};
use crate::output::Context;
use crate::quarantine::Quarantine;
use crate::seal::RecordSeal;
use crate::summary::{OutputSummary, SAMPLES};

/// Counts and stores records; an error with remedy `FixData` means that there are too many.
pub(crate) async fn reject(
    summary: &mut OutputSummary,
    quarantine: &mut Option<Quarantine>,
    rejects: Vec<Reject>,
    context: &Context<'_>,
) -> Result<()> {
    let Some(first) = rejects.first() else {
        return Ok(());
    };
    let plan = &context.spec.plan;
    if plan.bad_rows == BadRows::Fail {
        return Err(first_bad_row(&plan.target, &shown(plan, first)));
    }
    keep(summary, quarantine, rejects, context).await?;
    let bad = summary.rows_rejected + summary.rows_dropped;
    match (plan.fail_above.rows, plan.fail_above.percent) {
        (Some(most), None) if bad > most => Err(too_many(summary, &plan.target, most, "rows")),
        _ => Ok(()),
    }
}

async fn keep(
    summary: &mut OutputSummary,
    quarantine: &mut Option<Quarantine>,
    rejects: Vec<Reject>,
    context: &Context<'_>,
) -> Result<()> {
    let plan = &context.spec.plan;
    let count = rejects.len() as u64;
    let room = SAMPLES.saturating_sub(summary.samples.len());
    let samples = rejects.iter().take(room).map(|reject| shown(plan, reject));
    summary.samples.extend(samples);
    if plan.bad_rows == BadRows::Drop {
        summary.rows_dropped += count;
        return Ok(());
    }
    summary.rows_rejected += count;
    let rejects = rejects.into_iter().map(|reject| Reject {
        reasons: shown_reasons(plan, &reject.reasons),
        ..reject
    });
    if quarantine.is_none() {
        let Context {
            spec,
            generation,
            run,
            services,
            ..
        } = context;
        let now_us = services.clock.now_us();
        let seal = RecordSeal::of(plan, services.secrets.as_ref()).await?;
        let lake = spec.quarantine.as_ref();
        let opened = Quarantine::open(lake, &spec.task, *generation, run, now_us, seal);
        *quarantine = Some(opened.await?);
    }
    match quarantine {
        Some(quarantine) => quarantine.add(rejects.collect()).await,
        None => Ok(()),
    }
}

/// Takes the rows that a system refuses while a table is delivered.
pub(crate) struct Refusals<'o, 'c> {
    /// Rows that were refused before and are refused again.
    pub(crate) again: u64,
    pub(crate) summary: &'o mut OutputSummary,
    pub(crate) quarantine: &'o mut Option<Quarantine>,
    pub(crate) context: &'o Context<'c>,
}

#[async_trait]
impl RefusedRows for Refusals<'_, '_> {
    fn begins(&mut self, rows: u64) {
        // Those that an earlier write left.
        let others = rows.saturating_sub(self.summary.rows_loaded);
        self.summary.rows_read += others;
        self.summary.rows_loaded += others;
    }

    async fn refuse(&mut self, rows: Vec<Reject>, again: u64) -> Result<()> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let plan = &self.context.spec.plan;
        let stops = plan.bad_rows == BadRows::Fail;
        let first = shown(plan, first);
        let count = rows.len() as u64;
        self.summary.rows_loaded = self.summary.rows_loaded.saturating_sub(count);
        // Rows before it are taken already, so also the first one is stored.
        keep(self.summary, self.quarantine, rows, self.context).await?;
        if stops {
            return Err(first_refused(&plan.target, &first));
        }
        self.again += again;
        let counted = OutputSummary {
            rows_read: self.summary.rows_read.saturating_sub(self.again),
            rows_rejected: self.summary.rows_rejected.saturating_sub(self.again),
            ..OutputSummary::of(plan.target.clone())
        };
        let failure = match (plan.fail_above.rows, plan.fail_above.percent) {
            (Some(most), None) => (counted.rows_rejected > most)
                .then(|| too_many(&counted, &plan.target, most, "rows")),
            _ => over_share(&counted, plan),
        };
        failure.map_or(Ok(()), |failure| {
            Err(stopped_delivery(failure, &plan.target))
        })
    }
}
