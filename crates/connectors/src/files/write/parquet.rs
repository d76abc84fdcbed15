//! A Parquet file on its way: row groups are bounded by bytes and rows, and the commit's note goes into the footer
//! at the last moment.
//!
//! Promise: what is held in memory is one row group, packed. Writing the note changes only the footer:
//! the pages in front of it stay where they are, so the audited file is the committed one.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
    ParquetMetaDataWriter,
};
use parquet::file::properties::WriterProperties;
use towpath_parquet::{Limits, ParquetWriter};

use super::commit_notes::FOOTER_KEY;
use super::disk;
use super::error::{Result, WriteError};
use super::location::FileTarget;
use super::written::Written;
use crate::files::options::Compression;

const MEBIBYTE: u64 = 1 << 20;
const GROUP_ROWS: usize = 1 << 20;
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

/// A Parquet file on its way.
pub(super) struct ParquetFile {
    writer: ParquetWriter<BufWriter<File>>,
    rows: u64,
    shown: String,
}

impl ParquetFile {
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
        let limits = Limits {
            encoded_bytes: group_bytes,
            memory_bytes: group_bytes,
            rows: GROUP_ROWS,
        };
        let writer = ParquetWriter::new(BufWriter::new(file), schema, properties, limits);
        let writer = writer.map_err(|error| match error {
            ParquetError::NYI(why) | ParquetError::ArrowError(why) => WriteError::Target {
                object: shown.clone(),
                why,
                way_out: "give the column a type that Parquet has",
            },
            other => broken(&shown, other),
        })?;
        Ok(Self {
            writer,
            rows: 0,
            shown,
        })
    }

    /// Adds rows; ends the row group when it is full.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let written = self.writer.write(batch);
        written.map_err(|error| broken(&self.shown, error))?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Adds the row groups of another file of the same columns, as they stand.
    fn copy_groups(&mut self, file: &File, metadata: &ParquetMetaData) -> Result<(), ParquetError> {
        for (at, group) in metadata.row_groups().iter().enumerate() {
            let mut out = self.writer.file().next_row_group()?;
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
        if metadata.file_metadata().schema() != self.writer.file().schema_descr().root_schema() {
            return Ok(false);
        }
        let ended = self.writer.end_group();
        ended
            .and_then(|()| self.copy_groups(&file, &metadata))
            .map_err(|error| broken(&self.shown, error))?;
        Ok(true)
    }

    /// Ends the file and makes it last.
    pub(super) fn finish(self) -> Result<Written> {
        let shown = self.shown;
        let file = self.writer.finish();
        let file = file.map_err(|error| broken(&shown, error))?;
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
