//! A file on its way, of any format, and the pump that writes it one batch behind.
//!
//! Encoding runs on blocking threads while the next batch is read; at most one batch waits. It does not
//! know the final path of the file.

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use tokio::task::JoinHandle;

use super::columnar_file::ColumnarFile;
use super::error::{Result, WriteError};
use super::location::FileTarget;
use super::parquet::ParquetFile;
use super::text::TextWriter;
use super::written::Written;
use crate::files::options::Format;

/// A file on its way.
pub(super) enum FormatWriter {
    Text(Box<TextWriter>),
    Parquet(Box<ParquetFile>),
    Columnar(Box<ColumnarFile>),
}

impl FormatWriter {
    /// Opens a file; an old one of this name is overwritten.
    pub(super) fn open(
        path: &Path,
        target: &FileTarget,
        schema: &SchemaRef,
        group_bytes: u64,
    ) -> Result<Self> {
        Ok(match target.format {
            Format::Parquet => Self::Parquet(Box::new(ParquetFile::open(
                path,
                target,
                schema,
                group_bytes,
            )?)),
            Format::Avro | Format::Arrow => {
                Self::Columnar(Box::new(ColumnarFile::open(path, target, schema)?))
            }
            _ => Self::Text(Box::new(TextWriter::open(path, target, schema)?)),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Text(writer) => writer.write(batch),
            Self::Parquet(writer) => writer.write(batch),
            Self::Columnar(writer) => writer.write(batch),
        }
    }

    fn finish(self) -> Result<Written> {
        match self {
            Self::Text(writer) => writer.finish(),
            Self::Parquet(writer) => writer.finish(),
            Self::Columnar(writer) => writer.finish(),
        }
    }
}

/// Writes batches on blocking threads, in order.
pub(super) struct Pump {
    state: State,
    shown: String,
}

enum State {
    Idle(FormatWriter),
    Busy(JoinHandle<(FormatWriter, Result<()>)>),
    /// It failed, and said so.
    Gone,
}

impl Pump {
    pub(super) fn new(writer: FormatWriter, shown: String) -> Self {
        Self {
            state: State::Idle(writer),
            shown,
        }
    }

    async fn idle(&mut self) -> Result<FormatWriter> {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Idle(writer) => Ok(writer),
            State::Busy(task) => {
                let (writer, written) = task.await.map_err(|_| self.broken())?;
                written.map(|()| writer)
            }
            State::Gone => Err(self.broken()),
        }
    }

    fn broken(&self) -> WriteError {
        WriteError::Broken {
            path: self.shown.clone(),
        }
    }

    /// Waits for the batch before, then starts on this one.
    pub(super) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let mut writer = self.idle().await?;
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            let written = writer.write(&batch);
            (writer, written)
        }));
        Ok(())
    }

    /// Ends the file.
    pub(super) async fn finish(mut self) -> Result<Written> {
        let writer = self.idle().await?;
        let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
        finished.map_err(|_| self.broken())?
    }

    /// Waits until nothing touches the file any more.
    pub(super) async fn stop(mut self) {
        if let Err(error) = self.idle().await {
            tracing::debug!("after a write was discarded: {error}");
        }
    }
}
