//! Record batches of an Arrow file, decoded one after the other.
//!
//! Promise: what a batch takes is known, also of compressed buffers, before one of its values is decoded; a buffer that
//! unpacks to more than it says is refused before it is unpacked (`lz4.rs`; the library's zstd stops by itself).
//! Dictionaries are kept as long as the file is read, and counted with each batch. A dictionary is decoded before memory
//! is held for the batch behind it. It knows no declared types.

use std::collections::HashMap;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::{read_dictionary, read_record_batch};

use super::lz4;
use super::messages::{Message, Messages};
use crate::files::columnar::{
    FileColumn, FileSummary, Limits, Opened, Part, Parts, damaged, fitting, quietly,
};
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// Rows of one batch: places in it are 32 bits wide.
const MOST_ROWS: i64 = i32::MAX as i64;

/// A block of zstd has at most 128 KB and at least four bytes; lz4 packs less.
const MOST_GROWTH: u64 = 32 << 10;

/// A file's columns; with `count`, the rows that its batches say they have.
pub(in crate::files) fn summary(file: &InputFile, count: bool) -> Result<FileSummary, FilesError> {
    let read = quietly(|| -> Result<FileSummary, FilesError> {
        let mut messages = Messages::open(file)?;
        let columns = FileColumn::of_schema(messages.schema());
        let mut rows = None;
        if count {
            let mut sum = 0;
            while let Some(message) = messages.next()? {
                sum += rows_of(&message).map_err(|why| damaged(file, &message.name, why))?;
            }
            rows = Some(sum);
        }
        FileSummary::of(file, &columns, rows, Vec::new())
    });
    read.map_err(|panic| FilesError::Unreadable {
        path: file.object.clone(),
        kind: "Arrow",
        why: panic,
    })?
}

/// The rows of a record batch; none of a dictionary.
fn rows_of(message: &Message) -> Result<u64, String> {
    let Some(batch) = message.header()?.header_as_record_batch() else {
        return Ok(0);
    };
    match batch.length() {
        rows @ 0..=MOST_ROWS => Ok(rows.unsigned_abs()),
        rows => Err(format!("it says that it has {rows} rows")),
    }
}

/// Opens a file for a read of the columns of these names.
pub(in crate::files) fn open(
    file: &InputFile,
    is_read: &dyn Fn(&str) -> bool,
    limits: Limits,
) -> Result<Opened, FilesError> {
    let messages = Messages::open(file)?;
    let mut columns = FileColumn::of_schema(messages.schema());
    columns.retain(|column| is_read(&column.name));
    Ok(Opened {
        parts: Box::new(Batches {
            file: file.clone(),
            limits,
            messages,
            projection: columns.iter().map(|column| column.root).collect(),
            dictionaries: HashMap::new(),
            current: None,
        }),
        columns,
    })
}

struct Batches {
    file: InputFile,
    limits: Limits,
    messages: Messages,
    projection: Vec<usize>,
    dictionaries: HashMap<i64, ArrayRef>,
    current: Option<Message>,
}

impl Batches {
    /// What a message takes with the buffers it is decoded to, and the dictionaries beside it.
    fn weigh(&self, message: &Message) -> Result<u64, String> {
        let header = message.header()?;
        let dictionary = header.header_as_dictionary_batch();
        let batch = header
            .header_as_record_batch()
            .or_else(|| dictionary.and_then(|dictionary| dictionary.data()))
            .ok_or("it has no values")?;
        let kept: usize = self
            .dictionaries
            .values()
            .map(|values| values.get_array_memory_size())
            .sum();
        // What was decoded, and what it is turned into.
        let plain = message.body_bytes.saturating_mul(2);
        let packed = match batch.compression() {
            None => 0,
            Some(_) => self.unpacked(message, &batch)?.saturating_mul(2),
        };
        Ok(plain.saturating_add(packed).saturating_add(kept as u64))
    }

    /// The size of all buffers of a compressed batch, which each of them says at its start.
    fn unpacked(
        &self,
        message: &Message,
        batch: &arrow_ipc::RecordBatch<'_>,
    ) -> Result<u64, String> {
        let mut sum: u64 = 0;
        for buffer in batch.buffers().into_iter().flatten() {
            if buffer.length() == 0 {
                continue;
            }
            let at = u64::try_from(buffer.offset()).map_err(|_| "a buffer is before it")?;
            let length = self.messages.read(message.body.saturating_add(at), 8)?;
            let length = length.as_ref().try_into().map_or(0, i64::from_le_bytes);
            // Below zero: it is not compressed.
            let length = u64::try_from(length).unwrap_or(0);
            let packed = u64::try_from(buffer.length()).unwrap_or(0);
            if length > packed.saturating_mul(MOST_GROWTH) {
                return Err("a buffer of it says that it has more bytes than it can".to_owned());
            }
            sum = sum.saturating_add(length);
        }
        Ok(sum)
    }

    /// The buffers of a batch, of which none unpacks to more than it says.
    fn body(
        &self,
        message: &Message,
        batch: &arrow_ipc::RecordBatch<'_>,
    ) -> Result<Buffer, String> {
        let body = self.messages.read(message.body, message.body_bytes)?;
        let codec = batch.compression().map(|packed| packed.codec());
        if codec == Some(CompressionType::LZ4_FRAME) {
            for buffer in batch.buffers().into_iter().flatten() {
                let start = usize::try_from(buffer.offset()).ok();
                let bytes = start.zip(usize::try_from(buffer.length()).ok());
                let bytes = bytes.and_then(|(start, count)| {
                    let end = start.checked_add(count)?;
                    body.get(start..end)
                });
                let bytes = bytes.ok_or("a buffer of it is outside of it")?;
                if !bytes.is_empty() {
                    lz4::check(bytes)?;
                }
            }
        }
        Ok(Buffer::from(body))
    }

    fn keep_dictionary(&mut self, message: &Message) -> Result<(), String> {
        let header = message.header()?;
        let batch = header
            .header_as_dictionary_batch()
            .ok_or("it has no values")?;
        let body = self.body(message, &batch.data().ok_or("it has no values")?)?;
        let schema = self.messages.schema();
        let kept = read_dictionary(
            &body,
            batch,
            schema,
            &mut self.dictionaries,
            &header.version(),
        );
        kept.map_err(|error| error.to_string())
    }

    fn decoded(&self, message: &Message) -> Result<RecordBatch, String> {
        rows_of(message)?;
        let header = message.header()?;
        let batch = header.header_as_record_batch().ok_or("it has no values")?;
        let body = self.body(message, &batch)?;
        let rows = read_record_batch(
            &body,
            batch,
            self.messages.schema().clone(),
            &self.dictionaries,
            Some(&self.projection),
            &header.version(),
        );
        rows.map_err(|error| error.to_string())
    }
}

impl Parts for Batches {
    fn next(&mut self) -> Result<Option<Part>, FilesError> {
        loop {
            let Some(message) = self.messages.next()? else {
                return Ok(None);
            };
            let name = message.name.clone();
            let wrong = |why: String| damaged(&self.file, &name, why);
            let bytes = self.weigh(&message).map_err(wrong)?;
            let part = Part {
                name: name.clone(),
                bytes,
            };
            let part = fitting(&self.file, part, self.limits)?;
            let header = message.header().map_err(wrong)?;
            if header.header_as_record_batch().is_some() {
                self.current = Some(message);
                return Ok(Some(part));
            }
            let kept = self.keep_dictionary(&message);
            kept.map_err(|why| damaged(&self.file, &name, why))?;
        }
    }

    fn rows(&mut self) -> Result<RecordBatch, FilesError> {
        let Some(message) = self.current.take() else {
            return Err(damaged(&self.file, "its end", "no part was asked for"));
        };
        let decoded = self.decoded(&message);
        decoded.map_err(|why| damaged(&self.file, &message.name, why))
    }
}
