//! Runs a writer in its own task, so that encoding happens in parallel with reading and checking.
//!
//! Promise: the channel is short, so a slow destination slows the source down. A write that is abandoned is
//! aborted and leaves nothing incomplete. Read next: `ports/src/destination.rs`.

use arrow_array::RecordBatch;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use towpath_ports::{OpColumn, Prepared, Result, Writer};
use towpath_vocab::{Failure, Remedy};

/// The most batches on their way to the writer.
const IN_FLIGHT: usize = 2;

type Batch = (RecordBatch, Option<OpColumn>);

/// A write in progress.
pub(crate) struct Writing {
    sender: Option<mpsc::Sender<Batch>>,
    /// `None` after a failure was reported and the writer aborted.
    task: Option<JoinHandle<Written>>,
}

/// The writer, returned from its task, with its failure.
struct Written {
    writer: Box<dyn Writer>,
    result: Result<()>,
}

impl Writing {
    pub(crate) fn start(mut writer: Box<dyn Writer>) -> Self {
        let (sender, mut batches) = mpsc::channel::<Batch>(IN_FLIGHT);
        let task = tokio::spawn(async move {
            while let Some((batch, ops)) = batches.recv().await {
                if let Err(failure) = writer.write(batch, ops).await {
                    return Written {
                        writer,
                        result: Err(failure),
                    };
                }
            }
            Written {
                writer,
                result: Ok(()),
            }
        });
        Self {
            sender: Some(sender),
            task: Some(task),
        }
    }

    /// Passes a batch to the writer; waits while the writer is busy.
    pub(crate) async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        let accepted = match &self.sender {
            Some(sender) => sender.send((batch, ops)).await.is_ok(),
            None => false,
        };
        if accepted {
            return Ok(());
        }
        let written = self.join().await?;
        let failure = written.result.err().unwrap_or_else(lost);
        // The first failure is reported; a failure of the abort adds nothing.
        if let Err(second) = written.writer.abort().await {
            tracing::debug!(code = second.code, "abort after a failed write: {second}");
        }
        Err(failure)
    }

    /// Ends the write and returns the candidate. `is_whole` is true if no row of the source was rejected.
    pub(crate) async fn prepare(mut self, is_whole: bool) -> Result<Box<dyn Prepared>> {
        let mut written = self.join().await?;
        if !is_whole {
            written.writer.rows_are_missing();
        }
        match written.result {
            Ok(()) => written.writer.prepare().await,
            Err(failure) => {
                written.writer.abort().await?;
                Err(failure)
            }
        }
    }

    /// Aborts the write; after a failure it is already aborted.
    pub(crate) async fn abandon(mut self) -> Result<()> {
        match self.task {
            Some(_) => self.join().await?.writer.abort().await,
            None => Ok(()),
        }
    }

    async fn join(&mut self) -> Result<Written> {
        self.sender = None;
        match self.task.take() {
            Some(task) => task.await.map_err(|_| lost()),
            None => Err(lost()),
        }
    }
}

fn lost() -> Failure {
    Failure::new("R0603", Remedy::Bug, "the writer's task ended early")
        .help("nothing was committed; run again, and please report this")
}
