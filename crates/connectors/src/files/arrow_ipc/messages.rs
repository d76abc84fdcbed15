//! The messages of an Arrow file: where each is, and its header.
//!
//! Promise: no length in the file is believed before it was compared with the size of the file. Messages come in
//! the order in which they must be decoded. It decodes no values: see `batches.rs`.

use std::collections::VecDeque;
use std::fmt::Display;

use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::{Block, MessageHeader, MetadataVersion, root_as_footer, root_as_message};
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::file::reader::{ChunkReader, Length};

use crate::files::columnar::{damaged, unread};
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::place::RangedFile;

const MAGIC: &[u8] = b"ARROW1";
const FEATHER_1: &[u8] = b"FEA1";
/// The mark before a length; files of before 2019 do not have it.
const CONTINUED: [u8; 4] = [0xFF; 4];
/// A file: its magic, filled up to eight bytes; at its end a length and the magic.
const HEAD: u64 = 8;
const TAIL: u64 = 10;

/// A message without its body.
pub(super) struct Message {
    /// What a person calls it.
    pub(super) name: String,
    header: Bytes,
    pub(super) body: u64,
    pub(super) body_bytes: u64,
    end: u64,
}

impl Message {
    /// Its header, which was checked when it was found.
    pub(super) fn header(&self) -> Result<arrow_ipc::Message<'_>, String> {
        root_as_message(&self.header).map_err(|error| error.to_string())
    }
}

/// Where messages are.
enum Order {
    /// As the footer says, with the lengths that it says.
    Blocks(VecDeque<Block>),
    /// One behind the other, from here on.
    Stream(u64),
    /// Behind the last one.
    Done,
}

/// The messages of a file.
pub(super) struct Messages {
    file: InputFile,
    bytes: RangedFile,
    size: u64,
    order: Order,
    schema: SchemaRef,
    batches: usize,
}

impl Messages {
    /// Opens a file up to its schema.
    pub(super) fn open(file: &InputFile) -> Result<Self, FilesError> {
        let bytes = file.place.ranges().map_err(unread(file))?;
        let mut messages = Self {
            file: file.clone(),
            size: bytes.len(),
            bytes,
            order: Order::Done,
            schema: Schema::empty().into(),
            batches: 0,
        };
        let head = messages.read(0, messages.size.min(HEAD));
        let head = head.map_err(|why| messages.unreadable(why))?;
        if head.is_empty() {
            return Err(messages.unreadable("it is empty"));
        }
        if head.starts_with(FEATHER_1) {
            return Err(messages.unreadable("it is Feather version 1; write it as version 2"));
        }
        let found = match head.starts_with(MAGIC) {
            true => messages.footer(),
            false => messages.stream_head(),
        };
        found.map_err(|why| messages.unreadable(why))?;
        Ok(messages)
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn unreadable(&self, why: impl Display) -> FilesError {
        let failure = self.file.place.failure();
        failure.unwrap_or_else(|| FilesError::Unreadable {
            path: self.file.object.clone(),
            kind: "Arrow",
            why: why.to_string(),
        })
    }

    /// These bytes, if the file has them.
    pub(super) fn read(&self, start: u64, count: u64) -> Result<Bytes, String> {
        let end = start.checked_add(count).filter(|end| *end <= self.size);
        let (Some(_), Ok(count)) = (end, usize::try_from(count)) else {
            return Err("the file ends inside it".to_owned());
        };
        let read = self.bytes.get_bytes(start, count);
        read.map_err(|error| error.to_string())
    }

    fn footer(&mut self) -> Result<(), String> {
        let cut = || "its end is missing".to_owned();
        let tail_at = self.size.checked_sub(TAIL).filter(|at| *at >= HEAD);
        let tail_at = tail_at.ok_or_else(cut)?;
        let tail = self.read(tail_at, TAIL)?;
        let (length, magic) = tail.split_at_checked(4).ok_or_else(cut)?;
        if magic != MAGIC {
            return Err(cut());
        }
        let length = length.try_into().map_or(-1, i32::from_le_bytes);
        let length = u64::try_from(length).map_err(|_| cut())?;
        let start = tail_at.checked_sub(length).filter(|at| *at >= HEAD);
        let footer = self.read(start.ok_or_else(cut)?, length)?;
        let footer = root_as_footer(&footer).map_err(|error| error.to_string())?;
        let schema = footer.schema().ok_or("its footer has no schema")?;
        self.schema = schema_of(schema, footer.version())?;
        let dictionaries = footer.dictionaries().into_iter().flatten().copied();
        let batches = footer.recordBatches().into_iter().flatten().copied();
        self.order = Order::Blocks(dictionaries.chain(batches).collect());
        Ok(())
    }

    fn stream_head(&mut self) -> Result<(), String> {
        let other = || "it does not begin as an Arrow file or stream does".to_owned();
        let found = self.message_at(0).map_err(|_| other())?;
        let first = found.ok_or_else(other)?;
        let message = first.header()?;
        let schema = message.header_as_schema().ok_or_else(other)?;
        self.schema = schema_of(schema, message.version())?;
        self.order = Order::Stream(first.end);
        Ok(())
    }

    /// The message at this place; `None` where the mark of the end is.
    fn message_at(&self, at: u64) -> Result<Option<Message>, String> {
        let word = |at: u64| -> Result<[u8; 4], String> {
            let bytes = self.read(at, 4)?;
            bytes.as_ref().try_into().map_err(|_| String::new())
        };
        let mark = word(at)?;
        let (length, header_at) = match mark == CONTINUED {
            true => (word(at + 4)?, at + 8),
            false => (mark, at + 4),
        };
        let length = u64::try_from(i32::from_le_bytes(length));
        let length = length.map_err(|_| "its length is below zero".to_owned())?;
        if length == 0 {
            return self.at_end(header_at).map(|()| None);
        }
        let header = self.read(header_at, length)?;
        let message = root_as_message(&header).map_err(|error| error.to_string())?;
        let body_bytes = u64::try_from(message.bodyLength());
        let body_bytes = body_bytes.map_err(|_| "its length is below zero".to_owned())?;
        let body = header_at + length;
        let end = body.checked_add(body_bytes).filter(|end| *end <= self.size);
        Ok(Some(Message {
            name: String::new(),
            end: end.ok_or("the file ends inside it")?,
            header,
            body,
            body_bytes,
        }))
    }

    /// Rows behind the end, as of two streams in one file, must not be lost.
    fn at_end(&self, at: u64) -> Result<(), String> {
        match self.size == at {
            true => Ok(()),
            false => Err("there are bytes behind the mark of its end".to_owned()),
        }
    }

    /// The next message with values; `None` behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<Message>, FilesError> {
        let name = format!("record batch {}", self.batches + 1);
        let found = self.following();
        let found = found.map_err(|why| damaged(&self.file, &name, why))?;
        let Some(mut message) = found else {
            self.order = Order::Done;
            return Ok(None);
        };
        let kind = message.header().map(|header| header.header_type());
        let kind = kind.map_err(|why| damaged(&self.file, &name, why))?;
        message.name = match kind {
            MessageHeader::RecordBatch => {
                self.batches += 1;
                name
            }
            MessageHeader::DictionaryBatch => format!("the dictionary before {name}"),
            _ => {
                let why = "it is neither a record batch nor a dictionary";
                return Err(damaged(&self.file, &name, why));
            }
        };
        Ok(Some(message))
    }

    fn following(&mut self) -> Result<Option<Message>, String> {
        match &mut self.order {
            Order::Done => Ok(None),
            Order::Stream(at) if *at == self.size => {
                Err("the file ends before the mark of its end".to_owned())
            }
            Order::Stream(at) => {
                let at = *at;
                let message = self.message_at(at)?;
                if let Some(message) = &message {
                    self.order = Order::Stream(message.end);
                }
                Ok(message)
            }
            Order::Blocks(blocks) => {
                let Some(block) = blocks.pop_front() else {
                    return Ok(None);
                };
                let at = u64::try_from(block.offset());
                let at = at.map_err(|_| "its place is below zero".to_owned())?;
                let other = || "the footer and the message say different lengths".to_owned();
                let message = self.message_at(at)?.ok_or_else(other)?;
                let header = u64::try_from(block.metaDataLength());
                let body = u64::try_from(block.bodyLength());
                let is_same = header == Ok(message.body - at) && body == Ok(message.body_bytes);
                is_same.then_some(Some(message)).ok_or_else(other)
            }
        }
    }
}

fn schema_of(schema: arrow_ipc::Schema<'_>, version: MetadataVersion) -> Result<SchemaRef, String> {
    if version < MetadataVersion::V4 {
        return Err("it was written before version 0.8 of Arrow".to_owned());
    }
    if !schema.endianness().equals_to_target_endianness() {
        return Err("its numbers are in the byte order of another kind of machine".to_owned());
    }
    Ok(fb_to_schema(schema).into())
}
