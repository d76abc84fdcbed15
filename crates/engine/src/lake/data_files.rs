//! The Parquet files of one write: encoded on blocking threads while the next rows are made, put part by part.
//!
//! Promise: a file ends when it reaches its size, looked at after each slice of a batch; the end of a file is put
//! beside the rows of the next. When `close` says that all went well, every row is in a durable file, in its order.
//! After a failure, or a call that was given up, no row is taken any more, and `close` fails. It knows no log.
//! Read next: `file_stats.rs`, `files.rs`.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::Add;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use parquet::file::properties::WriterProperties;
use tokio::io::AsyncWriteExt as _;
use tokio::task::{JoinError, JoinSet};
use towpath_parquet::{Finished, Limits, ParquetWriter, row_bytes};
use uuid::Uuid;

use super::cause::brief;
use super::file_stats::stats;
use super::storage::key;

type Result<T> = std::result::Result<T, DeltaTableError>;

/// Bytes of a part: the least that all services take.
const PART_BYTES: usize = 5 << 20;
/// Parts on their way at once.
const PARTS: usize = 10;

/// How files are written.
#[derive(Clone)]
pub(super) struct DataFileSettings {
    pub(super) schema: SchemaRef,
    pub(super) properties: WriterProperties,
    pub(super) group: Limits,
    /// Bytes that a file aims for.
    pub(super) file_bytes: u64,
    /// The columns whose statistics the log gets.
    pub(super) stats: Vec<String>,
}

/// A file that takes rows.
struct OpenFile {
    name: String,
    upload: BufWriter,
    encoder: ParquetWriter<Vec<u8>>,
    rows: u64,
}

impl OpenFile {
    /// Bytes that it would have if it ended now.
    fn bytes(&self) -> u64 {
        self.encoder.written_bytes() + self.encoder.open_bytes()
    }

    /// Adds rows, and puts the row groups that ended.
    async fn add(self, rows: RecordBatch) -> Result<Self> {
        let Self {
            name,
            mut upload,
            mut encoder,
            rows: before,
        } = self;
        let added = rows.num_rows() as u64;
        let encoding = tokio::task::spawn_blocking(move || {
            encoder.write(&rows)?;
            let bytes = encoder.take_bytes()?;
            Ok((encoder, bytes))
        });
        let encoded = joined(encoding.await);
        let put = match encoded {
            Ok((encoder, bytes)) => put(&mut upload, bytes).await.map(|()| encoder),
            Err(error) => Err(error),
        };
        match put {
            Ok(encoder) => Ok(Self {
                name,
                upload,
                encoder,
                rows: before + added,
            }),
            Err(error) => {
                abort(&mut upload).await;
                Err(error)
            }
        }
    }

    /// Ends the file; it is durable then.
    async fn end(self, columns: Vec<String>) -> Result<EndedFile> {
        let Self {
            name,
            mut upload,
            encoder,
            rows,
        } = self;
        let finishing = tokio::task::spawn_blocking(move || Ok(encoder.finish_in_memory()?));
        let finished = joined(finishing.await);
        let put = match finished {
            Ok(Finished {
                rest,
                size,
                metadata,
            }) => put(&mut upload, rest).await.map(|()| (size, metadata)),
            Err(error) => Err(error),
        };
        let (size, metadata) = match put {
            Ok(put) => put,
            Err(error) => {
                abort(&mut upload).await;
                return Err(error);
            }
        };
        let ended = upload.shutdown().await;
        ended.map_err(|error| match error.downcast::<object_store::Error>() {
            Ok(error) => DeltaTableError::from(error),
            Err(source) => DeltaTableError::Io { source },
        })?;
        let add = Add {
            path: name,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            modification_time: now_ms(),
            data_change: true,
            stats: Some(stats(&metadata, &columns)),
            ..Add::default()
        };
        Ok(EndedFile { add, rows })
    }
}

/// A file that is whole.
struct EndedFile {
    add: Add,
    rows: u64,
}

/// What is done with rows.
enum State {
    /// The next rows begin a file.
    Idle,
    /// One task, which adds rows to a file.
    Busy(JoinSet<Result<OpenFile>>),
    /// A call failed or was given up: rows are missing.
    Failed,
}

/// The files of one write.
pub(super) struct DataFiles {
    store: Arc<dyn ObjectStore>,
    settings: DataFileSettings,
    id: Uuid,
    state: State,
    begun: usize,
    /// At most one file.
    ending: JoinSet<Result<EndedFile>>,
    ended: Vec<EndedFile>,
}

impl DataFiles {
    /// Prepares to write files; creates nothing yet.
    pub(super) fn new(store: Arc<dyn ObjectStore>, settings: DataFileSettings) -> Self {
        Self {
            store,
            settings,
            id: Uuid::new_v4(),
            state: State::Idle,
            begun: 0,
            ending: JoinSet::new(),
            ended: Vec::new(),
        }
    }

    /// Takes rows. They may still be on their way when it returns; their failure comes with a later call.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let quarter = self.settings.file_bytes / 4 / row_bytes(batch);
        let rows = usize::try_from(quarter).unwrap_or(usize::MAX).max(1);
        let mut start = 0;
        while start < batch.num_rows() {
            let count = rows.min(batch.num_rows() - start);
            self.write_slice(batch.slice(start, count)).await?;
            start += count;
        }
        Ok(())
    }

    async fn write_slice(&mut self, rows: RecordBatch) -> Result<()> {
        // Whoever leaves this call early leaves it failed.
        let file = match std::mem::replace(&mut self.state, State::Failed) {
            State::Failed => return Err(failed()),
            State::Idle => self.begin()?,
            State::Busy(mut task) => {
                let file = only(&mut task).await?;
                if file.bytes() < self.settings.file_bytes {
                    file
                } else {
                    self.end(file).await?;
                    self.begin()?
                }
            }
        };
        let mut task = JoinSet::new();
        task.spawn(file.add(rows));
        self.state = State::Busy(task);
        Ok(())
    }

    fn name(&self, number: usize) -> String {
        format!("part-{number:05}-{}-c000.zstd.parquet", self.id)
    }

    fn begin(&mut self) -> Result<OpenFile> {
        let settings = &self.settings;
        let name = self.name(self.begun);
        self.begun += 1;
        let upload = BufWriter::with_capacity(Arc::clone(&self.store), key(&name), PART_BYTES)
            .with_max_concurrency(PARTS);
        let properties = settings.properties.clone();
        let encoder = ParquetWriter::new(Vec::new(), &settings.schema, properties, settings.group)?;
        Ok(OpenFile {
            name,
            upload,
            encoder,
            rows: 0,
        })
    }

    /// Ends a file beside what follows; waits for the one before.
    async fn end(&mut self, mut file: OpenFile) -> Result<()> {
        if let Err(error) = self.wait().await {
            abort(&mut file.upload).await;
            return Err(error);
        }
        self.ending.spawn(file.end(self.settings.stats.clone()));
        Ok(())
    }

    /// Waits until the file that ends is durable.
    async fn wait(&mut self) -> Result<()> {
        let mut all = Ok(());
        while let Some(ended) = self.ending.join_next().await {
            match joined(ended) {
                Ok(file) => self.ended.push(file),
                Err(error) => all = all.and(Err(error)),
            }
        }
        all
    }

    async fn end_last(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Failed => Err(failed()),
            State::Idle => Ok(()),
            State::Busy(mut task) => {
                let file = only(&mut task).await?;
                self.end(file).await
            }
        }
    }

    /// The names of all files that were begun. Not all of them need to be there.
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.begun).map(|number| self.name(number)).collect()
    }

    /// Ends all files. Returns them in order, with the number of rows in them.
    pub(super) async fn close(mut self) -> Result<(Vec<Add>, u64)> {
        let last = self.end_last().await;
        let all = self.wait().await;
        last.and(all)?;
        let rows = self.ended.iter().map(|file| file.rows).sum();
        let adds = self.ended.into_iter().map(|file| file.add).collect();
        Ok((adds, rows))
    }

    /// Gives up the file that takes rows, and waits for the others.
    pub(super) async fn abort(mut self) {
        if let State::Busy(task) = &mut self.state
            && let Ok(mut file) = only(task).await
        {
            abort(&mut file.upload).await;
        }
        if let Err(error) = self.wait().await {
            tracing::debug!(error = %brief(&error), "a file of a write that is given up failed");
        }
    }
}

/// The result of the only task.
async fn only<T: 'static>(tasks: &mut JoinSet<Result<T>>) -> Result<T> {
    tasks
        .join_next()
        .await
        .map_or_else(|| Err(failed()), joined)
}

fn failed() -> DeltaTableError {
    DeltaTableError::Generic("the write failed before".to_owned())
}

async fn put(upload: &mut BufWriter, bytes: Vec<u8>) -> Result<()> {
    if !bytes.is_empty() {
        upload.put(bytes.into()).await?;
    }
    Ok(())
}

/// Gives up an upload that has not been ended.
async fn abort(upload: &mut BufWriter) {
    if let Err(error) = upload.abort().await {
        tracing::debug!(error = %brief(&error), "parts of a file that is given up stay");
    }
}

/// The result of a thread or task; its panic goes on here.
fn joined<T>(result: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    result.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // The runtime ends.
        Err(_) => Err(failed()),
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis();
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "data_files_tests.rs"]
mod tests;
