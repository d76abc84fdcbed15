//! A text file on its way: rows encoded on two threads, packed, hashed, written in order.
//!
//! Promise: the header is packed by itself, so that the rows behind it can be added to another file as they
//! stand (gzip members and zstd frames join by standing one after the other). Read next: `csv.rs`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::commit_notes::hex;
use super::csv::CsvStyle;
use super::disk;
use super::error::{Result, WriteError};
use super::jsonl;
use super::location::FileTarget;
use super::written::Written;
use crate::files::options::{Compression, Format};

/// From this many rows on a batch is shared by two threads.
const SHARE_ROWS: usize = 1024;
const ZSTD_LEVEL: i32 = 3;

/// A file that counts and hashes what is written to it.
pub(super) struct Counted {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Counted {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: disk::create(path)?,
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// Makes the file last.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        self.file.sync_all()?;
        Ok((self.bytes, hex(self.hash)))
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

enum Packed {
    Plain(Counted),
    Gzip(GzEncoder<Counted>),
    Zstd(zstd::Encoder<'static, Counted>),
}

impl Packed {
    fn open(file: Counted, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => Self::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Ends the member or frame.
    fn close(self) -> io::Result<Counted> {
        match self {
            Self::Plain(file) => Ok(file),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// How rows become text.
#[derive(Clone, Debug)]
pub(super) enum Style {
    Csv(CsvStyle),
    Jsonl,
}

/// A text file on its way.
pub(super) struct TextWriter {
    style: Style,
    out: Option<Packed>,
    head_bytes: u64,
    rows: u64,
    shown: String,
}

impl TextWriter {
    /// Opens the file and writes its header.
    pub(super) fn open(path: &Path, target: &FileTarget, schema: &SchemaRef) -> Result<Self> {
        let shown = target.location.shown.clone();
        let io = |source| WriteError::Io {
            path: shown.clone(),
            source,
        };
        let style = match target.format {
            Format::Csv => Style::Csv(CsvStyle::of(target)),
            _ => Style::Jsonl,
        };
        let mut head = Vec::new();
        if let Style::Csv(csv) = &style
            && csv.header
        {
            csv.head(schema, &mut head)?;
        }
        let mut file = Counted::create(path).map_err(io)?;
        if !head.is_empty() {
            let mut packed = Packed::open(file, target.compression).map_err(io)?;
            packed.write(&head).map_err(io)?;
            file = packed.close().map_err(io)?;
        }
        let head_bytes = file.bytes;
        let out = Some(Packed::open(file, target.compression).map_err(io)?);
        Ok(Self {
            style,
            out,
            head_bytes,
            rows: 0,
            shown,
        })
    }

    /// Adds rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let half = if rows >= SHARE_ROWS { rows / 2 } else { rows };
        let (first, second) = (batch.slice(0, half), batch.slice(half, rows - half));
        let (first, second) = std::thread::scope(|scope| {
            let other = (second.num_rows() > 0).then(|| scope.spawn(|| self.encoded(&second)));
            let first = self.encoded(&first);
            let second = other.map_or(Ok(Vec::new()), |thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(WriteError::Broken {
                        path: self.shown.clone(),
                    })
                })
            });
            (first, second)
        });
        let (first, second) = (first?, second?);
        let out = self.out.as_mut().ok_or_else(|| WriteError::Broken {
            path: self.shown.clone(),
        })?;
        out.write(&first).map_err(WriteError::io(&*self.shown))?;
        out.write(&second).map_err(WriteError::io(&*self.shown))?;
        self.rows += rows as u64;
        Ok(())
    }

    fn encoded(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(batch.num_rows() * batch.num_columns() * 10);
        match &self.style {
            Style::Csv(csv) => csv.rows(batch, &mut out)?,
            Style::Jsonl => jsonl::rows(batch, &mut out).map_err(|error| WriteError::Encode {
                path: self.shown.clone(),
                why: error.to_string(),
            })?,
        }
        Ok(out)
    }

    /// Ends the file and makes it last.
    pub(super) fn finish(mut self) -> Result<Written> {
        let out = self.out.take().ok_or_else(|| WriteError::Broken {
            path: self.shown.clone(),
        })?;
        let file = out.close().map_err(WriteError::io(&*self.shown))?;
        let (bytes, sha256) = file.finish().map_err(WriteError::io(&*self.shown))?;
        Ok(Written {
            rows: self.rows,
            bytes,
            head_bytes: self.head_bytes,
            sha256,
        })
    }
}
