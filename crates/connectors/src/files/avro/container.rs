//! The frame of an Avro file: its header and its blocks.
//!
//! Promise: no length in the file is believed before it was compared with the size of the file, and one in the header
//! with a limit; a block that is not whole, or has not the mark of the file behind it, is an error. It reads no record.
//! Read next: `codec.rs`.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};

use parquet::file::reader::Length;

use super::codec::Codec;
use crate::files::columnar::{damaged, unread};
use crate::files::error::FilesError;
use crate::files::find::InputFile;

const MAGIC: [u8; 4] = *b"Obj\x01";
const SCHEMA: &[u8] = b"avro.schema";
const CODEC: &[u8] = b"avro.codec";
/// Keys and values of the header.
const MOST_PAIRS: u64 = 10_000;
const MOST_KEY: u64 = 64 << 10;
const MOST_VALUE: u64 = 64 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// A mark, made for each file.
type Mark = [u8; 16];

/// A block whose bytes were not read yet.
#[derive(Clone, Copy)]
pub(super) struct BlockHead {
    /// Rows in it.
    pub(super) count: u64,
    /// Its bytes, compressed.
    pub(super) bytes: u64,
}

/// A file that is read block by block.
pub(super) struct Container {
    file: InputFile,
    bytes: BufReader<Box<dyn Read + Send>>,
    /// Bytes that were not read yet.
    left: u64,
    mark: Mark,
    /// Blocks that were begun.
    pub(super) blocks: u64,
    pub(super) codec: Codec,
    /// The schema of its records, as the file has it.
    pub(super) schema: Vec<u8>,
}

impl Container {
    /// Opens a file and reads its header; `whole` says that all of it will be read.
    pub(super) fn open(file: &InputFile, whole: bool) -> Result<Self, FilesError> {
        let size = file.place.ranges().map_err(unread(file))?.len();
        let bytes: Box<dyn Read + Send> = match whole {
            true => file.place.stream().map_err(unread(file))?,
            false => Box::new(file.place.open().map_err(unread(file))?),
        };
        let mut container = Self {
            file: file.clone(),
            bytes: BufReader::with_capacity(BUFFER_BYTES, bytes),
            left: size,
            mark: Mark::default(),
            blocks: 0,
            codec: Codec::Null,
            schema: Vec::new(),
        };
        match container.header() {
            Ok(()) => Ok(container),
            Err(why) => Err(unreadable(file, why)),
        }
    }

    fn header(&mut self) -> Result<(), String> {
        if self.left == 0 {
            return Err("it is empty".to_owned());
        }
        if self.array::<4>()? != MAGIC {
            return Err("it does not begin as an Avro file does".to_owned());
        }
        let (mut schema, mut pairs) = (None, 0);
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                pairs += 1;
                if pairs > MOST_PAIRS {
                    return Err(format!("its header has more than {MOST_PAIRS} pairs"));
                }
                let (key, value) = (self.text(MOST_KEY)?, self.text(MOST_VALUE)?);
                match key.as_slice() {
                    SCHEMA => schema = Some(value),
                    CODEC => {
                        let name = String::from_utf8_lossy(&value).into_owned();
                        let codec = Codec::named(&value);
                        self.codec =
                            codec.ok_or_else(|| format!("its codec `{name}` is not known"))?;
                    }
                    _ => {}
                }
            }
        }
        self.mark = self.array()?;
        self.schema = schema.ok_or("its header has no schema")?;
        Ok(())
    }

    /// A part of the file, for messages.
    pub(super) fn name(&self) -> String {
        format!("block {}", self.blocks)
    }

    fn damaged(&self, why: impl Display) -> FilesError {
        damaged(&self.file, &self.name(), why)
    }

    /// The next block; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<BlockHead>, FilesError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.blocks += 1;
        let head = self.head();
        head.map(Some).map_err(|why| self.damaged(why))
    }

    fn head(&mut self) -> Result<BlockHead, String> {
        let below = |_| "it says a length below zero".to_owned();
        let count = u64::try_from(self.long()?).map_err(below)?;
        let bytes = u64::try_from(self.long()?).map_err(below)?;
        match bytes <= self.left {
            true => Ok(BlockHead { count, bytes }),
            false => Err(cut()),
        }
    }

    /// The bytes of the block, and the mark behind them.
    pub(super) fn block(&mut self, head: BlockHead) -> Result<Vec<u8>, FilesError> {
        let bytes = self.exactly(head.bytes);
        let bytes = bytes.map_err(|why| self.damaged(why))?;
        self.pass_mark()?;
        Ok(bytes)
    }

    /// Goes behind the block.
    pub(super) fn pass(&mut self, head: BlockHead) -> Result<(), FilesError> {
        let passed = std::io::copy(
            &mut self.bytes.by_ref().take(head.bytes),
            &mut std::io::sink(),
        );
        match passed {
            Ok(count) if count == head.bytes => self.left -= count,
            Ok(_) => return Err(self.damaged(cut())),
            Err(error) => return Err(self.damaged(error)),
        }
        self.pass_mark()
    }

    fn pass_mark(&mut self) -> Result<(), FilesError> {
        match self.array::<16>() {
            Ok(mark) if mark == self.mark => Ok(()),
            Ok(_) => Err(self.damaged("the mark behind it is not the one of the file")),
            Err(why) => Err(self.damaged(why)),
        }
    }

    fn exactly(&mut self, count: u64) -> Result<Vec<u8>, String> {
        if count > self.left {
            return Err(cut());
        }
        let mut bytes = Vec::new();
        let read = self.bytes.by_ref().take(count).read_to_end(&mut bytes);
        let read = read.map_err(|error| error.to_string())?;
        if read as u64 != count {
            return Err(cut());
        }
        self.left -= count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.exactly(N as u64)?.try_into().map_err(|_| cut())
    }

    /// A key or a value of the header.
    fn text(&mut self, most: u64) -> Result<Vec<u8>, String> {
        let count = u64::try_from(self.long()?);
        let count = count.map_err(|_| "it says a length below zero".to_owned())?;
        if count > most {
            return Err(format!(
                "its header has a key or a value of more than {most} bytes"
            ));
        }
        self.exactly(count)
    }

    fn long(&mut self) -> Result<i64, String> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let buffer = self.bytes.fill_buf().map_err(|error| error.to_string())?;
            let Some(byte) = buffer.first().copied().filter(|_| self.left > 0) else {
                return Err(cut());
            };
            self.bytes.consume(1);
            self.left -= 1;
            if shift > 63 {
                return Err("a number in it is too long".to_owned());
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

fn cut() -> String {
    "the file ends inside it".to_owned()
}

/// Why a file is no Avro file that can be read.
pub(super) fn unreadable(file: &InputFile, why: impl Display) -> FilesError {
    let failure = file.place.failure();
    failure.unwrap_or_else(|| FilesError::Unreadable {
        path: file.object.clone(),
        kind: "Avro",
        why: why.to_string(),
    })
}
