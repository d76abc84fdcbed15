//! Ends a statement that makes no progress, such as operators that wait for memory from each other.
//!
//! Promise: if a statement returns no rows and the counters of its operators do not change for a long time
//! while somebody waits for it, it ends with a failure that names the holders of the memory. A slow
//! statement counts (rows, time, spilled bytes) and continues; while nobody waits for rows, no time is
//! counted. It does not know why there is no progress. Read next: `pool.rs`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::ExecutionPlan;
use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep};
use towpath_vocab::{Failure, Remedy};

/// After this time without progress, a statement is ended.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The rows of a statement, with a watchdog while somebody waits for them.
pub(crate) struct Watched {
    batches: SendableRecordBatchStream,
    plan: Arc<dyn ExecutionPlan>,
    pool: Arc<dyn MemoryPool>,
    subject: String,
    patience: Duration,
    /// While somebody waits: the time limit, and the counters of the operators at its start.
    wait: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Watched {
    pub(crate) fn new(
        batches: SendableRecordBatchStream,
        plan: Arc<dyn ExecutionPlan>,
        pool: Arc<dyn MemoryPool>,
        subject: &str,
        patience: Duration,
    ) -> Self {
        Self {
            batches,
            plan,
            pool,
            subject: subject.to_owned(),
            patience,
            wait: None,
        }
    }

    fn stuck(&self) -> Failure {
        let message = format!(
            "{} was stopped: it made no progress for {} seconds",
            self.subject,
            self.patience.as_secs()
        );
        Failure::new("R0729", Remedy::Retry, message)
            .help(format!("memory: {}", self.pool))
            .help("raise `memory:` in `towpath.yml`, or run fewer tasks at once with `parallel:`")
    }
}

/// The sum of all counters of a plan's operators, which changes with any progress.
fn counted(plan: &dyn ExecutionPlan) -> usize {
    let own = plan.metrics().map_or(0, |metrics| {
        let values = metrics.iter().map(|metric| metric.value().as_usize());
        values.fold(0, usize::wrapping_add)
    });
    let below = plan.children().into_iter();
    below
        .map(|child| counted(child.as_ref()))
        .fold(own, usize::wrapping_add)
}

impl Stream for Watched {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(batch) = self.batches.poll_next_unpin(context) {
            self.wait = None;
            return Poll::Ready(batch);
        }
        let patience = self.patience;
        if self.wait.is_none() {
            let counted = counted(self.plan.as_ref());
            self.wait = Some((Box::pin(sleep(patience)), counted));
        }
        loop {
            let Some((timer, before)) = &mut self.wait else {
                return Poll::Pending;
            };
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let before = *before;
            let now = counted(self.plan.as_ref());
            if now == before {
                self.wait = None;
                let stuck = self.stuck();
                return Poll::Ready(Some(Err(DataFusionError::External(Box::new(stuck)))));
            }
            if let Some((timer, before)) = &mut self.wait {
                *before = now;
                timer.as_mut().reset(Instant::now() + patience);
            }
        }
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use datafusion::arrow::datatypes::Schema;
    use datafusion::execution::memory_pool::MemoryConsumer;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::stream;

    use super::*;
    use crate::session::pool::SharedPool;

    fn watched<S>(batches: S) -> Watched
    where
        S: Stream<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
    {
        let schema = Arc::new(Schema::empty());
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(1 << 20));
        let sort = MemoryConsumer::new("sort 7")
            .with_can_spill(true)
            .register(&pool);
        sort.try_grow(512 << 10).unwrap();
        std::mem::forget(sort);
        Watched::new(
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), batches)),
            Arc::new(EmptyExec::new(schema)),
            pool,
            "model `a.b`",
            Duration::from_millis(200),
        )
    }

    #[tokio::test]
    async fn a_statement_in_which_nothing_moves_names_who_holds_memory() {
        let error = watched(stream::pending())
            .next()
            .await
            .unwrap()
            .unwrap_err();
        let failure = crate::session::failure::failure("x", &error);
        assert_eq!(failure.code, "R0729");
        assert!(failure.message.starts_with("model `a.b`"), "{failure}");
        let help = failure.help.join("\n");
        assert!(help.contains("`sort 7` holds 512.0 KB"), "{help}");
    }

    #[tokio::test]
    async fn who_does_not_ask_is_not_waited_for() {
        let empty = || RecordBatch::new_empty(Arc::new(Schema::empty()));
        let first = stream::iter([Ok(empty())]);
        let second = stream::once(async move {
            sleep(Duration::from_millis(20)).await;
            Ok(empty())
        });
        let mut watched = watched(first.chain(second));
        assert!(watched.next().await.unwrap().is_ok());
        sleep(Duration::from_millis(300)).await;
        assert!(watched.next().await.unwrap().is_ok());
    }
}
