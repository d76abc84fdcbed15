//! One write: rows into a hidden file, then the file as it will be.
//!
//! Promise: dropping it at any point removes what it wrote and frees the place. A generation that was
//! committed before takes rows and forgets them. Read next: `prepared.rs`.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use towpath_ports::{OpColumn, Prepared, ReservedMemory, Result, StagedFile, Writer};

use super::begin::{Claim, Job};
use super::candidate::Reading;
use super::error::WriteError;
use super::finish;
use super::format_writer::{FormatWriter, Pump};
use super::location::Temporary;
use super::prepared::FilesPrepared;

/// A file on its way.
pub(super) struct FilesWriter {
    job: Arc<Job>,
    claim: Claim,
    /// `None` when there is nothing to write: the commit was made before.
    pump: Option<Pump>,
    reading: Reading,
    _lease: Option<ReservedMemory>,
}

impl FilesWriter {
    /// Opens the hidden file.
    pub(super) async fn open(
        job: Job,
        mut claim: Claim,
        reading: Reading,
        lease: Option<ReservedMemory>,
    ) -> Result<Self, WriteError> {
        let job = Arc::new(job);
        let mut pump = None;
        if job.adopted.is_none() {
            for what in [Temporary::Rows, Temporary::Whole, Temporary::Note] {
                claim.scratch.add(job.temporary(what));
            }
            let asked = Arc::clone(&job);
            let writer = blocking(&job, move || {
                FormatWriter::open(
                    &asked.temporary(Temporary::Rows),
                    &asked.target,
                    &asked.columns.schema,
                    asked.group_bytes,
                )
            });
            pump = Some(Pump::new(writer.await?, job.location().shown.clone()));
        }
        Ok(Self {
            job,
            claim,
            pump,
            reading,
            _lease: lease,
        })
    }
}

/// Runs blocking work of a job.
pub(super) async fn blocking<T: Send + 'static>(
    job: &Job,
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| WriteError::Broken {
        path: job.location().shown.clone(),
    })?;
    done.map_err(|error| job.location().on_disk(error))
}

#[async_trait]
impl Writer for FilesWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        fail::fail_point!("files::write");
        if ops.is_some() {
            return Err(WriteError::Misused {
                reason: "takes no operations",
            }
            .into());
        }
        let Some(pump) = &mut self.pump else {
            return Ok(());
        };
        let batch = self.job.columns.shape(&batch, &self.job.location().shown)?;
        let written = pump.write(batch).await;
        Ok(written.map_err(|error| self.job.location().on_disk(error))?)
    }

    async fn add_files(&mut self, _: Vec<StagedFile>) -> Result<()> {
        Err(WriteError::Misused {
            reason: "cannot take files",
        }
        .into())
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        let this = *self;
        let mut written = None;
        if let Some(pump) = this.pump {
            let rows = pump.finish().await;
            let rows = rows.map_err(|error| this.job.location().on_disk(error))?;
            let (job, asked) = (Arc::clone(&this.job), rows.clone());
            let whole = blocking(&this.job, move || finish::whole(&job, &asked)).await?;
            written = Some((rows, whole));
        }
        fail::fail_point!("files::prepared");
        Ok(Box::new(FilesPrepared::new(
            this.job,
            this.claim,
            written,
            this.reading,
        )))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        if let Some(pump) = self.pump {
            pump.stop().await;
        }
        Ok(())
    }
}
