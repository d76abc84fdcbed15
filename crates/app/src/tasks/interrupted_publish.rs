//! What earlier publishes of a table have left: a delivery that was interrupted, and rows that were refused.
//!
//! Promise: an interrupted delivery is ended before anything else is compared or sent, because the next changes
//! follow from what it leaves. Records of refused rows wait in the quarantine until a later commit has decided
//! about these rows again. Only destinations that take rows one by one leave something. Read next:
//! `publish.rs`.

use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use towpath_orchestrator::AttemptSuccess;
use towpath_ports::{Destination, FINISH_DELIVERY, Reader};
use towpath_quarantine::outdate_decided;
use towpath_vocab::{PlannedTask, PublishPlan, TaskKey, Token};

use super::changes::{Noted, Pinned, no_rows};
use super::executor::RunExecutor;
use super::generation::GenerationClaim;
use super::load_lineage::published_lineage;
use super::publish::is_applied;
use super::write_table::TableWrite;
use crate::Result;

/// What was left, after the interrupted delivery was ended.
pub(super) struct LeftAfter {
    /// The end of the delivery, if there was one.
    pub(super) finished: Option<AttemptSuccess>,
    /// Rows that wait because the system refused them, if they were not sent again just now.
    pub(super) refused: u64,
}

/// A publish that may have been interrupted before.
pub(super) struct Interrupted<'a> {
    pub(super) executor: &'a RunExecutor,
    pub(super) task: &'a PlannedTask,
    pub(super) publish: &'a PublishPlan,
    pub(super) now: &'a Pinned,
    pub(super) destination: &'a Arc<dyn Destination>,
}

impl Interrupted<'_> {
    fn key(&self) -> TaskKey {
        let target = &self.publish.table.target;
        self.executor.key(&self.task.step, target)
    }

    /// Ends an interrupted delivery.
    pub(super) async fn finish(&self, cancel: &CancellationToken) -> Result<LeftAfter> {
        let (key, target) = (self.key(), &self.publish.table.target);
        let left = self.destination.leftover(&key, target).await?;
        let Some(token) = left.unfinished else {
            return Ok(LeftAfter {
                finished: None,
                refused: left.refused,
            });
        };
        let finished = self.end(token, &key, cancel.clone()).await?;
        self.outdate_refused().await?;
        Ok(LeftAfter {
            finished: Some(finished),
            refused: 0,
        })
    }

    async fn end(
        &self,
        token: Token,
        key: &TaskKey,
        cancel: CancellationToken,
    ) -> Result<AttemptSuccess> {
        let target = self.publish.table.target.clone();
        let mut plan = self.publish.table.clone();
        plan.lineage = published_lineage(self.publish, self.now);
        is_applied(&mut plan);
        let options = &mut plan.write.options;
        options.insert(FINISH_DELIVERY.to_owned(), Value::Bool(true));
        let note = "an earlier delivery was interrupted: the rest of its rows was sent first";
        let reader: Box<dyn Reader> = Box::new(Noted {
            reader: no_rows(self.publish, self.now),
            notes: vec![note.to_owned()],
        });
        let claim = GenerationClaim {
            generation: token.generation,
            last: self.destination.last(key, &target).await?,
            is_done: false,
        };
        let write = TableWrite {
            task: self.task,
            plan,
            source_table: target,
            destination: Arc::clone(self.destination),
            claim,
            reader,
            opened_at: token.position,
            fingerprint: token.fingerprint,
            annotations: token.annotations,
            rows_before: None,
            cancel,
        };
        self.executor.write_table(write).await
    }

    /// Marks the records of refused rows about which the last commit has decided again.
    pub(super) async fn outdate_refused(&self) -> Result<()> {
        let (key, target) = (self.key(), &self.publish.table.target);
        let last = self.destination.last(&key, target).await?;
        let Some(last) = last else {
            return Ok(());
        };
        let ports = self.executor.services.quarantine_ports();
        outdate_decided(&ports, &key, last.token.generation).await
    }
}
