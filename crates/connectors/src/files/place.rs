//! Where a file is, and how its bytes are had: a file of this machine, or one version of an object.
//!
//! Promise: the readers of formats see bytes, by a stream or by ranges, and not where they come from. An
//! object's bytes are all of one version. It is read from threads that may wait. It knows no format.
//! Read next: `bucket/object.rs`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::bucket::object::StoredObject;
use super::bucket::ranges::{RangeCursor, Ranged, held_bytes};
use super::bucket::stream::ObjectStream;
use super::error::FilesError;

/// Where a file is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Local(PathBuf),
    Object(Arc<StoredObject>),
}

impl Place {
    /// All bytes, from the first on.
    pub(crate) fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Local(path) => Box::new(File::open(path)?),
            Self::Object(object) => Box::new(ObjectStream::new(object)),
        })
    }

    /// Bytes from any place.
    pub(crate) fn open(&self) -> io::Result<OpenFile> {
        Ok(match self {
            Self::Local(path) => OpenFile::Local(File::open(path)?),
            Self::Object(object) => {
                OpenFile::Object(RangeCursor::new(Arc::new(Ranged::new(object)), 0))
            }
        })
    }

    /// Bytes by ranges.
    pub(crate) fn ranges(&self) -> io::Result<RangedFile> {
        Ok(match self {
            Self::Local(path) => RangedFile::Local(File::open(path)?),
            Self::Object(object) => RangedFile::Object(Arc::new(Ranged::new(object))),
        })
    }

    /// The same for a read that goes through each of these spans.
    pub(crate) fn spans(&self, spans: Vec<Range<u64>>) -> io::Result<RangedFile> {
        Ok(match self {
            Self::Local(path) => RangedFile::Local(File::open(path)?),
            Self::Object(object) => RangedFile::Object(Arc::new(Ranged::within(object, spans)?)),
        })
    }

    /// What a read of these spans holds, beside what it gives.
    pub(crate) fn held_bytes(&self, spans: &[Range<u64>]) -> u64 {
        match self {
            Self::Local(_) => 0,
            Self::Object(_) => held_bytes(spans),
        }
    }

    /// What tells its contents from others, where that is known without reading them.
    pub(crate) fn identity(&self) -> Option<String> {
        match self {
            Self::Local(_) => None,
            Self::Object(object) => Some(object.identity()),
        }
    }

    /// Why a read of it has failed, where a library may have only said that it did.
    pub(crate) fn failure(&self) -> Option<FilesError> {
        match self {
            Self::Local(_) => None,
            Self::Object(object) => object.failure(),
        }
    }

    /// Whether each look at it takes a request.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Object(_))
    }
}

/// A file whose bytes are read from any place.
#[derive(Debug)]
pub(crate) enum OpenFile {
    Local(File),
    Object(RangeCursor),
}

impl Read for OpenFile {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(to),
            Self::Object(cursor) => cursor.read(to),
        }
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Local(file) => file.seek(to),
            Self::Object(cursor) => cursor.seek(to),
        }
    }
}

/// A file that is read by ranges.
#[derive(Debug)]
pub(crate) enum RangedFile {
    Local(File),
    Object(Arc<Ranged>),
}

impl Length for RangedFile {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Object(ranged) => ranged.size(),
        }
    }
}

impl ChunkReader for RangedFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(match self {
            Self::Local(file) => Box::new(file.get_read(start)?),
            Self::Object(ranged) => Box::new(RangeCursor::new(Arc::clone(ranged), start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Object(ranged) => Ok(ranged.bytes(start, length)?),
        }
    }
}
