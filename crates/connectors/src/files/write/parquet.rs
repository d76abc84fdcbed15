//! A Parquet file on its way: the columns of a batch are encoded by two threads, row groups are bounded
//! by bytes and rows, and the commit's note goes into the footer at the last moment.
//!
//! Promise: what is held in memory is one row group, packed. Writing the note changes only the footer:
//! the pages in front of it stay where they are, so the audited file is the committed one.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{FieldRef, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
    ParquetMetaDataWriter,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::commit_notes::FOOTER_KEY;
use super::disk;
use super::error::{Result, WriteError};
use super::format_writer::Written;
use super::location::FileTarget;
use crate::files::options::Compression;

const MEBIBYTE: u64 = 1 << 20;
const GROUP_ROWS: usize = 1 << 20;
/// From this many rows on a batch is shared by two threads.
const SHARE_ROWS: usize = 512;
/// More rows at once would let a row group grow too far over its bound.
const SLICE_ROWS: usize = 64 << 10;
/// Behind the footer: its length and `PAR1`.
const TAIL_BYTES: u64 = 8;

/// How large a row group may grow in memory, of this budget.
pub(super) fn group_bytes(budget_bytes: u64) -> u64 {
    (budget_bytes / 16).clamp(MEBIBYTE / 4, 64 * MEBIBYTE)
}

pub(super) fn broken(shown: &str, error: ParquetError) -> WriteError {
    if let ParquetError::External(source) = error {
        return match source.downcast::<std::io::Error>() {
            Ok(source) => WriteError::Io {
                path: shown.to_owned(),
                source: *source,
            },
            Err(other) => WriteError::Encode {
                path: shown.to_owned(),
                why: other.to_string(),
            },
        };
    }
    WriteError::Encode {
        path: shown.to_owned(),
        why: error.to_string(),
    }
}

fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::None => Codec::UNCOMPRESSED,
        Compression::Gzip => Codec::GZIP(GzipLevel::default()),
        Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
    }
}

/// The writers of one column: one per leaf.
type Leaves = Vec<ArrowColumnWriter>;

/// A Parquet file on its way.
pub(super) struct ParquetWriter {
    schema: SchemaRef,
    out: SerializedFileWriter<BufWriter<File>>,
    factory: ArrowRowGroupWriterFactory,
    columns: Vec<Leaves>,
    group_rows: usize,
    group_bytes: u64,
    rows: u64,
    shown: String,
}

impl ParquetWriter {
    /// Opens the file.
    pub(super) fn open(
        path: &Path,
        target: &FileTarget,
        schema: &SchemaRef,
        group_bytes: u64,
    ) -> Result<Self> {
        let shown = target.location.shown.clone();
        let file = disk::create(path).map_err(WriteError::io(&*shown))?;
        let properties = WriterProperties::builder()
            .set_compression(codec(target.compression))
            .set_created_by(concat!("towpath ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer =
            ArrowWriter::try_new(BufWriter::new(file), Arc::clone(schema), Some(properties))
                .and_then(ArrowWriter::into_serialized_writer);
        let (out, factory) = writer.map_err(|error| match error {
            ParquetError::NYI(why) | ParquetError::ArrowError(why) => WriteError::Target {
                object: shown.clone(),
                why,
                way_out: "give the column a type that Parquet has",
            },
            other => broken(&shown, other),
        })?;
        Ok(Self {
            schema: Arc::clone(schema),
            out,
            factory,
            columns: Vec::new(),
            group_rows: 0,
            group_bytes,
            rows: 0,
            shown,
        })
    }

    /// Adds rows; ends the row group when it is full.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut start = 0;
        while start < batch.num_rows() {
            let count = (batch.num_rows() - start)
                .min(SLICE_ROWS)
                .min(GROUP_ROWS - self.group_rows);
            self.write_slice(&batch.slice(start, count))?;
            start += count;
        }
        Ok(())
    }

    fn write_slice(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = self
                .new_columns()
                .map_err(|error| broken(&self.shown, error))?;
        }
        let parts: Vec<ColumnPart<'_>> = self
            .columns
            .iter_mut()
            .zip(self.schema.fields())
            .zip(batch.columns())
            .map(|((leaves, field), array)| (leaves, field, array))
            .collect();
        let threads = if batch.num_rows() >= SHARE_ROWS { 2 } else { 1 };
        let encoded = shared(parts, threads, &self.shown, |(leaves, field, array)| {
            encode(leaves, field, array)
        });
        encoded?;
        self.group_rows += batch.num_rows();
        self.rows += batch.num_rows() as u64;
        let encoded_bytes: usize = self
            .columns
            .iter()
            .flatten()
            .map(ArrowColumnWriter::memory_size)
            .sum();
        if self.group_rows >= GROUP_ROWS || encoded_bytes as u64 >= self.group_bytes {
            self.end_group()?;
        }
        Ok(())
    }

    fn new_columns(&self) -> Result<Vec<Leaves>, ParquetError> {
        let mut writers = self
            .factory
            .create_column_writers(self.out.flushed_row_groups().len())?
            .into_iter();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let empty = arrow_array::new_empty_array(field.data_type());
            let leaves = compute_leaves(field, &empty)?.len();
            columns.push(writers.by_ref().take(leaves).collect());
        }
        Ok(columns)
    }

    fn end_group(&mut self) -> Result<()> {
        let columns = std::mem::take(&mut self.columns);
        self.group_rows = 0;
        let leaves: Vec<ArrowColumnWriter> = columns.into_iter().flatten().collect();
        let chunks = shared(leaves, 2, &self.shown, ArrowColumnWriter::close)?;
        self.append(chunks)
            .map_err(|error| broken(&self.shown, error))
    }

    fn append(&mut self, chunks: Vec<ArrowColumnChunk>) -> Result<(), ParquetError> {
        let mut group = self.out.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// Adds the row groups of another file of the same columns, as they stand.
    fn copy_groups(&mut self, file: &File, metadata: &ParquetMetaData) -> Result<(), ParquetError> {
        for (at, group) in metadata.row_groups().iter().enumerate() {
            let mut out = self.out.next_row_group()?;
            for (column, chunk) in group.columns().iter().enumerate() {
                let closed = ColumnCloseResult {
                    bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or(0),
                    rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                    metadata: chunk.clone(),
                    bloom_filter: None,
                    column_index: metadata
                        .column_index()
                        .and_then(|all| all.get(at)?.get(column).cloned()),
                    offset_index: metadata
                        .offset_index()
                        .and_then(|all| all.get(at)?.get(column).cloned()),
                };
                out.append_column(file, closed)?;
            }
            out.close()?;
            self.rows += u64::try_from(group.num_rows()).unwrap_or(0);
        }
        Ok(())
    }

    /// Adds all row groups of another file if it has the same columns; false when it has not.
    pub(super) fn copy(&mut self, path: &Path) -> Result<bool> {
        let file = File::open(path).map_err(WriteError::io(&*self.shown))?;
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let mut reader = reader;
        let metadata = reader
            .try_parse(&file)
            .and_then(|()| reader.finish())
            .map_err(|error| broken(&self.shown, error))?;
        if metadata.file_metadata().schema() != self.out.schema_descr().root_schema() {
            return Ok(false);
        }
        if !self.columns.is_empty() {
            self.end_group()?;
        }
        self.copy_groups(&file, &metadata)
            .map_err(|error| broken(&self.shown, error))?;
        Ok(true)
    }

    /// Ends the file and makes it last.
    pub(super) fn finish(mut self) -> Result<Written> {
        if !self.columns.is_empty() {
            self.end_group()?;
        }
        let shown = self.shown;
        let file = self
            .out
            .into_inner()
            .map_err(|error| broken(&shown, error))?;
        let file = file.into_inner().map_err(|error| WriteError::Io {
            path: shown.clone(),
            source: error.into_error(),
        })?;
        file.sync_all().map_err(WriteError::io(&*shown))?;
        let bytes = file.metadata().map_err(WriteError::io(&*shown))?.len();
        Ok(Written {
            rows: self.rows,
            bytes,
            head_bytes: 0,
            sha256: String::new(),
        })
    }
}

type ColumnPart<'a> = (&'a mut Leaves, &'a FieldRef, &'a ArrayRef);

fn encode(leaves: &mut Leaves, field: &FieldRef, array: &ArrayRef) -> Result<(), ParquetError> {
    for (writer, leaf) in leaves.iter_mut().zip(compute_leaves(field, array)?) {
        writer.write(&leaf)?;
    }
    Ok(())
}

/// Encodes all parts on up to two threads, whoever is free taking the next; results in order.
fn shared<P: Send, T: Send>(
    parts: Vec<P>,
    threads: usize,
    shown: &str,
    each: impl Fn(P) -> Result<T, ParquetError> + Sync,
) -> Result<Vec<T>> {
    let queue = Mutex::new(parts.into_iter().enumerate());
    let drain = || -> Result<Vec<(usize, T)>, ParquetError> {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, item)) = next else {
                return Ok(done);
            };
            done.push((at, each(item)?));
        }
    };
    let mut done = std::thread::scope(|scope| -> Result<Vec<(usize, T)>> {
        let other = (threads > 1).then(|| scope.spawn(drain));
        let mine = drain().map_err(|error| broken(shown, error));
        let mut all = match other.map(|thread| thread.join()) {
            None => Vec::new(),
            Some(Ok(theirs)) => theirs.map_err(|error| broken(shown, error))?,
            Some(Err(_)) => {
                return Err(WriteError::Broken {
                    path: shown.to_owned(),
                });
            }
        };
        all.extend(mine?);
        Ok(all)
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Writes the footer of a finished file anew, with this note in it, and makes it last.
pub(super) fn write_note(path: &Path, shown: &str, note: String) -> Result<()> {
    let io = |source| WriteError::Io {
        path: shown.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io)?;
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&file)
        .map_err(|error| broken(shown, error))?;
    let end = file
        .metadata()
        .map_err(io)?
        .len()
        .saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(end)).map_err(io)?;
    let mut length = [0_u8; 4];
    file.read_exact(&mut length).map_err(io)?;
    let start = end.saturating_sub(u64::from(u32::from_le_bytes(length)));
    let mut footer = Vec::new();
    let noted = with_note(&metadata, note);
    ParquetMetaDataWriter::new(&mut footer, &noted)
        .finish()
        .map_err(|error| broken(shown, error))?;
    file.set_len(start).map_err(io)?;
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    file.write_all(&footer).map_err(io)?;
    file.sync_all().map_err(io)
}

/// The metadata with the note; places of page indexes stay as they are.
fn with_note(metadata: &ParquetMetaData, note: String) -> ParquetMetaData {
    let file = metadata.file_metadata();
    let others = file
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter(|pair| pair.key != FOOTER_KEY)
        .cloned();
    let pairs = others
        .chain([KeyValue::new(FOOTER_KEY.to_owned(), note)])
        .collect();
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        Some(pairs),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    ParquetMetaData::new(file, metadata.row_groups().to_vec())
}
