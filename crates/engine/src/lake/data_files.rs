//! The Parquet files of one write: encoded on blocking threads while the next rows are made, put part by part.
//!
//! Promise: a file ends when it reaches its size, looked at after each slice of a batch; the last part of a file is
//! put while the next file is encoded. `close` returns when all are durable, in the order of their rows. It knows
//! no log. Read next: `file_stats.rs`, `files.rs`.

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
use tokio::task::{JoinError, JoinHandle, JoinSet};
use towpath_parquet::{Limits, ParquetWriter};
use uuid::Uuid;

use super::file_stats::stats;
use super::storage::key;

type Result<T> = std::result::Result<T, DeltaTableError>;

/// Bytes of a part: the least that all services take.
const PART_BYTES: usize = 5 << 20;
/// Parts on their way at once.
const PARTS: usize = 10;
/// The fewest rows between two looks at the size of a file.
const LEAST_ROWS: usize = 8 << 10;

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

/// Encodes one file in memory.
type Encoder = ParquetWriter<Vec<u8>>;

/// What a blocking thread gives back.
struct Encoded {
    encoder: Encoder,
    /// Row groups that ended.
    bytes: Vec<u8>,
}

/// The file that takes rows.
struct OpenFile {
    name: String,
    upload: BufWriter,
    encoding: JoinHandle<Result<Encoded>>,
}

/// The files of one write.
pub(super) struct DataFiles {
    store: Arc<dyn ObjectStore>,
    settings: DataFileSettings,
    id: Uuid,
    open: Option<OpenFile>,
    begun: usize,
    /// At most one file: its last part is on its way.
    ending: JoinSet<Result<Add>>,
    ended: Vec<Add>,
}

impl DataFiles {
    /// Prepares to write files; creates nothing yet.
    pub(super) fn new(store: Arc<dyn ObjectStore>, settings: DataFileSettings) -> Self {
        Self {
            store,
            settings,
            id: Uuid::new_v4(),
            open: None,
            begun: 0,
            ending: JoinSet::new(),
            ended: Vec::new(),
        }
    }

    /// Takes rows. They may still be on their way when it returns; a failure comes with a later call.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = self.slice_rows(batch);
        let mut start = 0;
        while start < batch.num_rows() {
            let count = rows.min(batch.num_rows() - start);
            self.write_slice(batch.slice(start, count)).await?;
            start += count;
        }
        Ok(())
    }

    /// Rows of about a quarter of a file.
    fn slice_rows(&self, batch: &RecordBatch) -> usize {
        let bytes = batch.get_array_memory_size() as u64;
        let row_bytes = (bytes / batch.num_rows().max(1) as u64).max(1);
        let rows = usize::try_from(self.settings.file_bytes / 4 / row_bytes).unwrap_or(usize::MAX);
        rows.max(LEAST_ROWS)
    }

    async fn write_slice(&mut self, rows: RecordBatch) -> Result<()> {
        let (name, upload, encoder) = match self.open.take() {
            None => self.begin()?,
            Some(OpenFile {
                name,
                mut upload,
                encoding,
            }) => {
                let encoded = joined(encoding.await)?;
                let encoder = encoded.encoder;
                put(&mut upload, encoded.bytes).await?;
                if encoder.written_bytes() + encoder.open_bytes() < self.settings.file_bytes {
                    (name, upload, encoder)
                } else {
                    self.end(name, upload, encoder).await?;
                    self.begin()?
                }
            }
        };
        let encoding = tokio::task::spawn_blocking(move || {
            let mut encoder = encoder;
            encoder.write(&rows)?;
            let bytes = encoder.take_bytes()?;
            Ok(Encoded { encoder, bytes })
        });
        self.open = Some(OpenFile {
            name,
            upload,
            encoding,
        });
        Ok(())
    }

    fn begin(&mut self) -> Result<(String, BufWriter, Encoder)> {
        let settings = &self.settings;
        let name = format!("part-{:05}-{}-c000.zstd.parquet", self.begun, self.id);
        self.begun += 1;
        let upload = BufWriter::with_capacity(Arc::clone(&self.store), key(&name), PART_BYTES)
            .with_max_concurrency(PARTS);
        let properties = settings.properties.clone();
        let encoder = Encoder::new(Vec::new(), &settings.schema, properties, settings.group)?;
        Ok((name, upload, encoder))
    }

    /// Ends a file beside what follows; waits for the one before.
    async fn end(&mut self, name: String, upload: BufWriter, encoder: Encoder) -> Result<()> {
        self.wait().await?;
        let columns = self.settings.stats.clone();
        self.ending.spawn(finish(name, upload, encoder, columns));
        Ok(())
    }

    /// Waits until the file that ends is durable.
    async fn wait(&mut self) -> Result<()> {
        while let Some(ended) = self.ending.join_next().await {
            self.ended.push(joined(ended)?);
        }
        Ok(())
    }

    /// Ends all files; returns them when they are durable.
    pub(super) async fn close(mut self) -> Result<Vec<Add>> {
        if let Some(open) = self.open.take() {
            let encoded = joined(open.encoding.await)?;
            let mut upload = open.upload;
            put(&mut upload, encoded.bytes).await?;
            self.end(open.name, upload, encoded.encoder).await?;
        }
        self.wait().await?;
        Ok(self.ended)
    }
}

/// Encodes the rest of a file and puts it.
async fn finish(
    name: String,
    mut upload: BufWriter,
    encoder: Encoder,
    columns: Vec<String>,
) -> Result<Add> {
    let finishing = tokio::task::spawn_blocking(move || Ok(encoder.finish_in_memory()?));
    let file = joined(finishing.await)?;
    put(&mut upload, file.rest).await?;
    let ended = upload.shutdown().await;
    ended.map_err(|error| match error.downcast::<object_store::Error>() {
        Ok(error) => DeltaTableError::from(error),
        Err(source) => DeltaTableError::Io { source },
    })?;
    Ok(Add {
        path: name,
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: now_ms(),
        data_change: true,
        stats: Some(stats(&file.metadata, &columns)),
        ..Add::default()
    })
}

async fn put(upload: &mut BufWriter, bytes: Vec<u8>) -> Result<()> {
    if !bytes.is_empty() {
        upload.put(bytes.into()).await?;
    }
    Ok(())
}

/// The result of a thread or task.
fn joined<T>(result: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    result.unwrap_or_else(|error| {
        Err(DeltaTableError::Generic(format!(
            "the writer of a data file ended early: {error}"
        )))
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis();
    i64::try_from(ms).unwrap_or(i64::MAX)
}
