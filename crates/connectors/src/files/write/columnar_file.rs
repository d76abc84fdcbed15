//! An Avro or Arrow file on its way.
//!
//! Promise: what is held in memory is one batch encoded, or one block. The library encodes values; the Avro container
//! around them is written here, because the library compresses each batch as one block. Rows come in the columns
//! of `written_types.rs`. What was committed is noted beside the file, as beside a text file.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_avro::errors::AvroError;
use arrow_avro::schema::SCHEMA_METADATA_KEY;
use arrow_avro::writer::format::AvroBinaryFormat;
use arrow_avro::writer::{Encoder, WriterBuilder};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use flate2::write::DeflateEncoder;

use super::error::{Result, WriteError};
use super::location::FileTarget;
use super::text::Counted;
use super::written::Written;
use crate::files::avro::{put_bytes, put_long};
use crate::files::options::{Compression, Format};

/// Records of one Avro block, before they are compressed; a larger record has a block of its own.
const BLOCK_BYTES: usize = 256 << 10;
/// Rows that are encoded together.
const ENCODED_ROWS: usize = 4096;
/// A larger batch is written in halves.
const BATCH_BYTES: usize = 8 << 20;
const ZSTD_LEVEL: i32 = 3;

/// A file on its way.
pub(super) struct ColumnarFile {
    out: Out,
    rows: u64,
    shown: String,
}

enum Out {
    Avro(Box<Blocks>),
    Arrow(Box<FileWriter<BufWriter<Counted>>>),
    /// The form without a footer, of files `.arrows`.
    Stream(Box<StreamWriter<BufWriter<Counted>>>),
}

fn broken(shown: &str, error: ArrowError) -> WriteError {
    match error {
        ArrowError::IoError(_, source) => WriteError::Io {
            path: shown.to_owned(),
            source,
        },
        other => WriteError::Encode {
            path: shown.to_owned(),
            why: other.to_string(),
        },
    }
}

fn not_encoded(shown: &str, error: &AvroError) -> WriteError {
    WriteError::Encode {
        path: shown.to_owned(),
        why: error.to_string(),
    }
}

impl ColumnarFile {
    /// Opens the file and writes its head.
    pub(super) fn open(path: &Path, target: &FileTarget, schema: &SchemaRef) -> Result<Self> {
        let shown = target.location.shown.clone();
        let file = Counted::create(path).map_err(WriteError::io(&*shown))?;
        let file = BufWriter::new(file);
        let arrow = |error| broken(&shown, error);
        let name = target.location.name.to_ascii_lowercase();
        let is_stream = !target.location.many && name.ends_with(".arrows");
        let out = match target.format {
            Format::Avro => Out::Avro(Box::new(Blocks::open(file, target, schema)?)),
            _ if is_stream => {
                let options = options(target.compression).map_err(arrow)?;
                let writer = StreamWriter::try_new_with_options(file, schema, options);
                Out::Stream(Box::new(writer.map_err(arrow)?))
            }
            _ => {
                let options = options(target.compression).map_err(arrow)?;
                let writer = FileWriter::try_new_with_options(file, schema, options);
                Out::Arrow(Box::new(writer.map_err(arrow)?))
            }
        };
        Ok(Self {
            out,
            rows: 0,
            shown,
        })
    }

    /// Adds rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let shown = &*self.shown;
        match &mut self.out {
            Out::Avro(blocks) => blocks.write(batch, shown)?,
            Out::Arrow(writer) => in_parts(batch, &mut |part| writer.write(part))
                .map_err(|error| broken(shown, error))?,
            Out::Stream(writer) => in_parts(batch, &mut |part| writer.write(part))
                .map_err(|error| broken(shown, error))?,
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Ends the file and makes it last.
    pub(super) fn finish(self) -> Result<Written> {
        let shown = self.shown;
        // Both write their end when they are taken apart, if it was not written before.
        let file = match self.out {
            Out::Avro(blocks) => blocks.finish().map_err(WriteError::io(&*shown))?,
            Out::Arrow(writer) => writer.into_inner().map_err(|error| broken(&shown, error))?,
            Out::Stream(writer) => writer.into_inner().map_err(|error| broken(&shown, error))?,
        };
        let file = file.into_inner().map_err(|error| WriteError::Io {
            path: shown.clone(),
            source: error.into_error(),
        })?;
        let (bytes, sha256) = file.finish().map_err(WriteError::io(&*shown))?;
        Ok(Written {
            rows: self.rows,
            bytes,
            head_bytes: 0,
            sha256,
        })
    }
}

fn options(compression: Compression) -> Result<IpcWriteOptions, ArrowError> {
    let packed = match compression {
        Compression::Zstd => Some(CompressionType::ZSTD),
        // `location.rs` refuses what Arrow does not have.
        Compression::None | Compression::Gzip => None,
    };
    IpcWriteOptions::default().try_with_compression(packed)
}

/// A reader holds a record batch as a whole: a large one becomes several.
fn in_parts(
    batch: &RecordBatch,
    write: &mut dyn FnMut(&RecordBatch) -> Result<(), ArrowError>,
) -> Result<(), ArrowError> {
    let bytes: usize = batch.columns().iter().map(values_bytes).sum();
    let rows = batch.num_rows();
    match rows {
        0 => Ok(()),
        _ if bytes <= BATCH_BYTES || rows == 1 => write(batch),
        _ => {
            in_parts(&batch.slice(0, rows / 2), write)?;
            in_parts(&batch.slice(rows / 2, rows - rows / 2), write)
        }
    }
}

/// About what the values of a column take, of lists and maps only those that it has: their items may be shared.
fn values_bytes(column: &ArrayRef) -> usize {
    let items = |items: &ArrayRef, offsets: &[i32]| {
        let at = |offset: Option<&i32>| offset.and_then(|at| usize::try_from(*at).ok());
        let (first, last) = (at(offsets.first()), at(offsets.last()));
        match first.zip(last) {
            Some((first, last)) => values_bytes(&items.slice(first, last - first)),
            None => 0,
        }
    };
    let own = 4 * column.len();
    match column.data_type() {
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            own + items(list.values(), list.value_offsets())
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            own + items(&entries, map.value_offsets())
        }
        DataType::Struct(_) => column.as_struct().columns().iter().map(values_bytes).sum(),
        _ => {
            let bytes = column.to_data().get_slice_memory_size();
            bytes.unwrap_or_else(|_| column.get_array_memory_size())
        }
    }
}

/// An Avro object container file.
struct Blocks {
    encoder: Encoder,
    file: BufWriter<Counted>,
    /// Behind the head and each block.
    mark: [u8; 16],
    compression: Compression,
    /// Records of the block on its way.
    records: Vec<u8>,
    count: i64,
}

impl Blocks {
    fn open(mut file: BufWriter<Counted>, target: &FileTarget, schema: &SchemaRef) -> Result<Self> {
        let shown = &*target.location.shown;
        // The type of values that are all NULL says so itself.
        let field = |field: &FieldRef| {
            let data_type = field.data_type().clone();
            let is_nullable = data_type != DataType::Null;
            Field::new(field.name(), data_type, is_nullable)
        };
        let fields: Vec<Field> = schema.fields().iter().map(field).collect();
        let encoder = WriterBuilder::new(Schema::new(fields)).build_encoder::<AvroBinaryFormat>();
        let encoder = encoder.map_err(|error| not_encoded(shown, &error))?;
        let said = encoder.schema();
        let said = said.metadata().get(SCHEMA_METADATA_KEY);
        let said = said.map(String::as_bytes).unwrap_or_default();
        let codec: &[u8] = match target.compression {
            Compression::None => b"null",
            Compression::Gzip => b"deflate",
            Compression::Zstd => b"zstandard",
        };
        let mark = *uuid::Uuid::new_v4().as_bytes();
        let mut head = b"Obj\x01".to_vec();
        // Two pairs, the end of the pairs, the mark.
        put_long(2, &mut head);
        put_bytes(b"avro.schema", &mut head);
        put_bytes(said, &mut head);
        put_bytes(b"avro.codec", &mut head);
        put_bytes(codec, &mut head);
        put_long(0, &mut head);
        head.extend_from_slice(&mark);
        file.write_all(&head).map_err(WriteError::io(shown))?;
        Ok(Self {
            encoder,
            file,
            mark,
            compression: target.compression,
            records: Vec::new(),
            count: 0,
        })
    }

    fn write(&mut self, batch: &RecordBatch, shown: &str) -> Result<()> {
        for from in (0..batch.num_rows()).step_by(ENCODED_ROWS) {
            let rows = ENCODED_ROWS.min(batch.num_rows() - from);
            let part = batch.slice(from, rows);
            let part = RecordBatch::try_new(self.encoder.schema(), part.columns().to_vec());
            let part = part.map_err(|error| broken(shown, error))?;
            let encoded = self.encoder.encode(&part);
            encoded.map_err(|error| not_encoded(shown, &error))?;
            let encoded = self.encoder.flush();
            let (mut from, bytes) = (0, encoded.bytes());
            for end in encoded.offsets().iter().skip(1) {
                let record = bytes.get(from..*end).unwrap_or_default();
                from = *end;
                if self.count > 0 && self.records.len() + record.len() > BLOCK_BYTES {
                    self.end_block().map_err(WriteError::io(shown))?;
                }
                self.records.extend_from_slice(record);
                self.count += 1;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let packed = match self.compression {
            Compression::None => None,
            Compression::Gzip => {
                let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&self.records)?;
                Some(encoder.finish()?)
            }
            Compression::Zstd => Some(zstd::encode_all(&*self.records, ZSTD_LEVEL)?),
        };
        let block = packed.as_ref().unwrap_or(&self.records);
        let mut head = Vec::new();
        put_long(self.count, &mut head);
        put_bytes(block, &mut head);
        self.file.write_all(&head)?;
        self.file.write_all(&self.mark)?;
        self.records.clear();
        self.count = 0;
        Ok(())
    }

    fn finish(mut self) -> io::Result<BufWriter<Counted>> {
        if self.count > 0 {
            self.end_block()?;
        }
        Ok(self.file)
    }
}
