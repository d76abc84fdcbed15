//! One attempt of one task: the interface to the code that executes it, and its time limit.
//!
//! Promise: an attempt that reaches its time limit is asked to stop, gets a grace period, and is dropped.
//! If it ends well within the grace period, its result counts. What the task does is unknown here: it is
//! behind `TaskExecutor`. Read next: `driver.rs`.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use towpath_ports::{Result, System, TaskOutcome};
use towpath_vocab::{Failure, PlannedTask};

use crate::error::RunError;
use crate::notification::{DriveObserver, RunNotification};
use crate::reconnect::{ReconnectLimit, ReconnectPause, reach};

/// What a task did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttemptSuccess {
    /// True if its fingerprint was equal and nothing was done.
    pub unchanged: bool,
    /// What it did, for the state store and the report.
    pub outcome: TaskOutcome,
    /// Its fingerprint.
    pub fingerprint: Option<String>,
}

/// Executes tasks.
#[async_trait]
pub trait TaskExecutor: Send + Sync {
    /// Makes one attempt, counted from 1. If `cancel` fires, it stops soon and cleanly, usually with a
    /// `Cancelled` failure; if its future is dropped, it stops at once. There is another attempt only after
    /// a failure that may disappear (`Remedy::may_pass`); if a system could not be reached, it has the same
    /// number.
    async fn execute(
        &self,
        task: &PlannedTask,
        attempt: u32,
        cancel: CancellationToken,
    ) -> Result<AttemptSuccess>;

    /// Programs that are asked to stop get no more time from now on: they are killed with all that they have started.
    fn kill(&self) {}

    /// A help line for an attempt that was stopped: where its log is.
    fn log_hint(&self, _task: &PlannedTask, _attempt: u32) -> Option<String> {
        None
    }
}

/// An attempt before it is made.
pub(crate) struct Attempt {
    pub(crate) task: Arc<PlannedTask>,
    pub(crate) number: u32,
    pub(crate) cancel: CancellationToken,
    pub(crate) executor: Arc<dyn TaskExecutor>,
    pub(crate) system: Arc<dyn System>,
    pub(crate) grace: Duration,
    /// Shared by all attempts of the task.
    pub(crate) patience: Arc<ReconnectLimit>,
    pub(crate) observer: Arc<dyn DriveObserver>,
}

impl Attempt {
    /// Makes the attempt.
    pub(crate) async fn make(self) -> Result<AttemptSuccess, Failure> {
        let mut execution = pin!(self.execute());
        let Some(limit) = self.task.retry.timeout_ms.map(Duration::from_millis) else {
            return execution.await;
        };
        tokio::select! {
            biased;
            end = &mut execution => return end,
            () = self.system.sleep(limit) => {}
        }
        self.cancel.cancel();
        let late = tokio::select! {
            biased;
            end = &mut execution => end.ok(),
            () = self.system.sleep(self.grace) => None,
        };
        late.ok_or_else(|| {
            let failure: Failure = RunError::TimedOut {
                task: self.task.id.clone(),
                after: limit,
            }
            .into();
            match self.executor.log_hint(&self.task, self.number) {
                Some(log_hint) => failure.help(log_hint),
                None => failure,
            }
        })
    }

    /// Executes the task, again and again while an external system cannot be reached.
    async fn execute(&self) -> Result<AttemptSuccess> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let notify = |pause: ReconnectPause<'_>| {
            self.observer.notify(RunNotification::Waiting {
                task: self.task.id.clone(),
                failure: pause.failure.clone(),
                pause_us: micros(pause.pause),
                left_us: micros(pause.left),
            });
        };
        let make = || {
            self.executor
                .execute(&self.task, self.number, self.cancel.clone())
        };
        reach(&self.patience, &*self.system, &self.cancel, &notify, make).await
    }
}
