//! Reads files of a table as a stream of batches, and as a `Source` like any other.
//!
//! Promise: each split reads one file and one row group at a time, with only the requested columns. A batch ends at
//! a number of rows or bytes, so that a table of many columns takes no more memory. Columns that a file does not
//! have are NULL; narrower types of older files are widened exactly. Read next: `object_file.rs`, `verified.rs`.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::file::metadata::ParquetMetaData;
use towpath_ports::{
    Assignment, BoxStream, Event, InputVersion, ReadSpec, Reader, RejectedRecord, Result, Rows,
    Source, Split, TableSchema,
};
use towpath_vocab::{Failure, Position, ReadMode, Remedy, SplitId, SplitPosition, TableName};

use super::candidate::{LakeCandidate, LakeFile};
use super::convert::batch_to_lake;
use super::data_file_error::FileName;
use super::error::{LakeError, LakeResult};
use super::object_file::ObjectFile;
use super::storage::StorageRef;
use super::table::Table;
use super::table_history;
use super::verified::VerifiedFiles;

const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;
/// Batches read ahead.
const AHEAD: usize = 4;

/// How many rows and bytes a batch may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSize {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Default for BatchSize {
    fn default() -> Self {
        Self {
            rows: BATCH_ROWS,
            bytes: BATCH_BYTES,
        }
    }
}

impl BatchSize {
    /// What a read asks for; nothing means the usual.
    fn of(spec: &ReadSpec) -> Self {
        let usual = Self::default();
        let or = |wanted: usize, usual: usize| if wanted == 0 { usual } else { wanted };
        Self {
            rows: or(spec.batch_rows, usual.rows),
            bytes: or(spec.batch_bytes, usual.bytes),
        }
    }

    /// How many rows of these columns of a file a batch has.
    fn rows_of(self, schema: &Schema, file: &ParquetMetaData, roots: &[usize]) -> usize {
        let fixed: usize = schema
            .fields()
            .iter()
            .map(|f| cell_bytes(f.data_type()))
            .sum();
        let leaves = file.file_metadata().schema_descr();
        let is_text = |leaf: &usize| {
            leaves.column(*leaf).physical_type() == parquet::basic::Type::BYTE_ARRAY
                && roots
                    .binary_search(&leaves.get_column_root_idx(*leaf))
                    .is_ok()
        };
        let texts: Vec<usize> = (0..leaves.num_columns()).filter(is_text).collect();
        let bytes = file.row_groups().iter().flat_map(|group| {
            texts.iter().map(|leaf| {
                let column = group.column(*leaf);
                let bytes = column.unencoded_byte_array_data_bytes();
                bytes
                    .unwrap_or_else(|| column.uncompressed_size())
                    .unsigned_abs()
            })
        });
        let rows = file.file_metadata().num_rows().unsigned_abs().max(1);
        let texts = usize::try_from(bytes.sum::<u64>() / rows).unwrap_or(usize::MAX);
        (self.bytes / fixed.saturating_add(texts).max(1)).clamp(1, self.rows.max(1))
    }
}

/// What a cell takes in a batch, without its text.
fn cell_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|f| cell_bytes(f.data_type())).sum(),
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
            4 + cell_bytes(item.data_type())
        }
        DataType::Utf8View | DataType::BinaryView => 16,
        other => other.primitive_width().unwrap_or(4),
    }
}

/// The rows of one file as batches of `schema` (some of a table's columns, by name).
pub(crate) async fn read_file(
    storage: StorageRef,
    file: LakeFile,
    schema: SchemaRef,
    size: BatchSize,
) -> LakeResult<BoxStream<LakeResult<RecordBatch>>> {
    let name = FileName {
        address: storage.address(&file.key),
        version: file.version,
    };
    let objects = Arc::new(VerifiedFiles::of(storage.objects(), [&file]));
    let file = ObjectFile::at(objects, storage.objects(), file.key);
    read_rows(file, name, schema, size).await
}

/// The rows of a Parquet file of this name.
pub(crate) async fn read_rows(
    file: impl AsyncFileReader + Unpin + 'static,
    name: FileName,
    schema: SchemaRef,
    size: BatchSize,
) -> LakeResult<BoxStream<LakeResult<RecordBatch>>> {
    let builder = ParquetRecordBatchStreamBuilder::new(file)
        .await
        .map_err(|source| name.unreadable(&source, None))?;
    let about = Arc::clone(builder.metadata());
    let present = Arc::clone(builder.schema());
    // A group without members is a root of the file and no column of it.
    let file = builder.parquet_schema();
    let mut places: Vec<usize> = (0..file.num_columns())
        .map(|leaf| file.get_column_root_idx(leaf))
        .collect();
    places.dedup();
    let place = |name: &str| places.get(present.index_of(name).ok()?).copied();
    let wanted: Vec<Option<usize>> = schema
        .fields()
        .iter()
        .map(|field| place(field.name()))
        .collect();
    let mut roots: Vec<usize> = wanted.iter().flatten().copied().collect();
    roots.sort_unstable();
    roots.dedup();
    let from: Vec<Option<usize>> = wanted
        .iter()
        .map(|root| root.and_then(|root| roots.binary_search(&root).ok()))
        .collect();
    let rows = size.rows_of(&schema, builder.metadata(), &roots);
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batches = builder
        .with_projection(mask)
        .with_batch_size(rows)
        .build()
        .map_err(|source| name.unreadable(&source, Some(&about)))?;
    Ok(Box::pin(batches.map(move |batch| {
        let batch = batch.map_err(|source| name.unreadable(&source, Some(&about)))?;
        batch_to_lake(&batch, &schema, &from)
    })))
}

/// The rows of several files, one after the other.
pub(crate) fn read_files(
    storage: StorageRef,
    files: Vec<LakeFile>,
    schema: SchemaRef,
    size: BatchSize,
) -> BoxStream<LakeResult<RecordBatch>> {
    Box::pin(
        stream::iter(files)
            .then(move |file| read_file(Arc::clone(&storage), file, Arc::clone(&schema), size))
            .try_flatten(),
    )
}

/// Reads on while the last batches are worked on: decoding and what follows run side by side.
pub(crate) fn read_ahead(
    mut batches: BoxStream<LakeResult<RecordBatch>>,
) -> BoxStream<LakeResult<RecordBatch>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
    let reading = tokio::spawn(async move {
        while let Some(batch) = batches.next().await {
            // Nobody waits for more once the receiver is gone.
            if sender.send(batch).await.is_err() {
                break;
            }
        }
    });
    let state = (receiver, Some(reading));
    Box::pin(stream::unfold(
        state,
        |(mut receiver, mut reading)| async move {
            if let Some(batch) = receiver.recv().await {
                return Some((batch, (receiver, reading)));
            }
            // No more batches is the end only when the reading itself came to its end.
            match reading.take()?.await {
                Ok(()) => None,
                Err(_) => Some((Err(LakeError::Stopped), (receiver, None))),
            }
        },
    ))
}

/// A fixed set of files.
pub(crate) struct FilesSource(pub(crate) Arc<LakeCandidate>);

#[async_trait]
impl Source for FilesSource {
    async fn open(&self, spec: &ReadSpec, _from: Option<&Position>) -> Result<Box<dyn Reader>> {
        Ok(Box::new(FilesReader::new(spec, Arc::clone(&self.0))?))
    }

    async fn version(&self, _spec: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(self
            .0
            .version
            .map(|version| InputVersion(format!("version {version}"))))
    }

    async fn replay(
        &self,
        _spec: &ReadSpec,
        _records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>> {
        Err(no_replay())
    }
}

/// A table at the version it has when it is opened.
pub(crate) struct TableSource(pub(crate) Arc<Table>);

impl TableSource {
    async fn pinned(&self) -> LakeResult<LakeCandidate> {
        let missing = || LakeError::Missing {
            what: "table",
            name: self.0.name.to_string(),
        };
        Ok(self.0.now().await?.ok_or_else(missing)?.candidate(&self.0))
    }
}

#[async_trait]
impl Source for TableSource {
    async fn open(&self, spec: &ReadSpec, _from: Option<&Position>) -> Result<Box<dyn Reader>> {
        let pinned = self.pinned().await?;
        Ok(Box::new(FilesReader::new(spec, Arc::new(pinned))?))
    }

    async fn version(&self, _spec: &ReadSpec) -> Result<Option<InputVersion>> {
        // One that was dropped and made anew is another, and so is one that was set back and went on.
        let Some(now) = self.0.now().await? else {
            return Ok(None);
        };
        let id = now.state.metadata().id();
        let text = table_history::version_text(&self.0, now.version(), id).await?;
        Ok(Some(InputVersion(text)))
    }

    async fn replay(
        &self,
        _spec: &ReadSpec,
        _records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>> {
        Err(no_replay())
    }
}

fn no_replay() -> Failure {
    Failure::new(
        "R0421",
        Remedy::Bug,
        "rows of a lakehouse table have no raw records, so they cannot be replayed",
    )
}

struct FilesReader {
    name: TableName,
    object: String,
    schema: SchemaRef,
    storage: StorageRef,
    files: Vec<LakeFile>,
    version: Option<u64>,
    parallel: usize,
    size: BatchSize,
    limit: Option<u64>,
}

impl FilesReader {
    fn new(spec: &ReadSpec, candidate: Arc<LakeCandidate>) -> Result<Self> {
        if spec.mode != ReadMode::Full {
            let message = format!("`{}` can only be read in full", candidate.table);
            return Err(Failure::new("R0422", Remedy::FixConfig, message)
                .help("set `mode: full`; a lakehouse table is read at one version"));
        }
        let schema = match &spec.projection {
            None => Arc::clone(&candidate.schema),
            Some(names) => project(&candidate, names)?,
        };
        Ok(Self {
            name: spec.table.clone(),
            object: candidate.table.to_string(),
            schema,
            storage: Arc::clone(&candidate.storage),
            files: candidate.files.clone(),
            version: candidate.version,
            parallel: if spec.limit.is_some() {
                1
            } else {
                spec.parallel.max(1)
            },
            size: BatchSize::of(spec),
            limit: spec.limit,
        })
    }

    fn split(&self, number: usize, files: Vec<LakeFile>, first: u64) -> Split {
        let (table, object, limit) = (self.name.clone(), self.object.clone(), self.limit);
        let storage = Arc::clone(&self.storage);
        let rows = read_files(storage, files, Arc::clone(&self.schema), self.size)
            .scan(0u64, move |read, batch| {
                let batch = batch.map(|batch| {
                    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(*read));
                    let keep = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(batch.num_rows());
                    let rows =
                        Rows::of_batch(table.clone(), &object, batch.slice(0, keep), first + *read);
                    *read += keep as u64;
                    rows
                });
                let done = matches!(&batch, Ok(rows) if rows.is_empty());
                async move { (!done).then_some(batch) }
            })
            .map(|rows| rows.map(Event::Rows).map_err(Failure::from));
        let position = SplitPosition::at(self.version.unwrap_or(0));
        let end = stream::iter([Ok(Event::Boundary(position)), Ok(Event::End)]);
        Split {
            id: SplitId(format!("part {number}")),
            events: Box::pin(rows.chain(end)),
        }
    }
}

fn project(candidate: &LakeCandidate, names: &[String]) -> LakeResult<SchemaRef> {
    let fields = names
        .iter()
        .map(|name| match candidate.schema.field_with_name(name) {
            Ok(field) => Ok(field.clone()),
            Err(_) => Err(LakeError::Missing {
                what: "column",
                name: format!("{}.{name}", candidate.table),
            }),
        })
        .collect::<LakeResult<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

#[async_trait]
impl Reader for FilesReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: self.name.clone(),
            schema: Arc::clone(&self.schema),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let files = std::mem::take(&mut self.files);
        let per_split = files.len().div_ceil(self.parallel).max(1);
        let mut first = 0;
        let mut assignments = Vec::new();
        for (number, group) in files.chunks(per_split).enumerate() {
            let split = self.split(number, group.to_vec(), first);
            assignments.push(Ok(Assignment::Assigned(split)));
            // Ordinals stay apart between splits even when a file does not say how many rows it has.
            first += group
                .iter()
                .map(|file| file.rows.unwrap_or(u64::from(u32::MAX)))
                .sum::<u64>();
        }
        assignments.push(Ok(Assignment::Complete(Position::default())));
        Box::pin(stream::iter(assignments))
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn reading_that_dies_is_not_the_end_of_the_file() {
        let empty = || Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
        let dying: BoxStream<LakeResult<RecordBatch>> =
            Box::pin(stream::iter(0..3).map(move |at| match at {
                2 => std::panic::panic_any("the decoder died"),
                _ => empty(),
            }));
        let mut batches = read_ahead(dying);
        assert!(batches.next().await.unwrap().is_ok());
        assert!(batches.next().await.unwrap().is_ok());
        let end = batches.next().await.unwrap();
        assert!(matches!(end, Err(LakeError::Stopped)));
        assert!(batches.next().await.is_none());
        let whole = read_ahead(Box::pin(stream::iter([empty(), empty()])));
        assert_eq!(whole.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    }
}
