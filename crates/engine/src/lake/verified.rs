//! The data files of a table, each range of which is compared with its checksums when it is read.
//!
//! Promise: no byte of a file with checksums reaches a reader before its whole block was compared; a file
//! without (of an older version, of another program) is read as it is. What differs is an error with the
//! place in the file. It knows no columns: `data_file_error.rs` says whose bytes they are.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use parquet::file::metadata::ParquetMetaData;

use super::block_sums::BlockSums;
use super::candidate::LakeFile;
use super::storage::Key;

/// A file that does not have the bytes that were written.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Mismatch {
    /// Some of them differ.
    #[error("the bytes {} to {} are not those that were written", .0.start, .0.end)]
    Bytes(Range<u64>),
    /// Some of them differ in the blocks of the footer.
    #[error("the bytes {} to {} are not those that were written", range.start, range.end)]
    Footer {
        range: Range<u64>,
        /// What the footer seems to say, to name what else is in its blocks.
        about: Arc<ParquetMetaData>,
    },
    /// There are fewer or more.
    #[error("it has {found} bytes and was written with {written}")]
    Size {
        /// The size it has.
        found: u64,
        /// The size it was written with.
        written: u64,
    },
    /// An entry of a log differs from the checksum that it holds.
    #[error("it is not the entry that was written")]
    Entry,
    /// The checksums themselves are damaged.
    #[error("its checksums in the log of the table are damaged")]
    Tag,
}

impl Mismatch {
    /// The mismatch behind an error.
    pub(crate) fn within(error: &object_store::Error) -> Option<&Self> {
        match error {
            object_store::Error::Generic { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

impl From<Mismatch> for object_store::Error {
    fn from(mismatch: Mismatch) -> Self {
        object_store::Error::Generic {
            store: "lakehouse",
            source: Box::new(mismatch),
        }
    }
}

/// Files that are compared with their checksums.
#[derive(Debug)]
pub(crate) struct VerifiedFiles {
    inner: Arc<dyn ObjectStore>,
    files: HashMap<Key, Known>,
}

#[derive(Debug)]
struct Known {
    tag: Arc<str>,
    size: u64,
    sums: OnceLock<Option<BlockSums>>,
}

impl VerifiedFiles {
    /// These files of a store.
    pub(crate) fn of<'a>(
        inner: Arc<dyn ObjectStore>,
        files: impl IntoIterator<Item = &'a LakeFile>,
    ) -> Self {
        let known = |file: &LakeFile| {
            let known = Known {
                tag: Arc::clone(file.sums.as_ref()?),
                size: file.bytes,
                sums: OnceLock::new(),
            };
            Some((file.key.clone(), known))
        };
        Self {
            inner,
            files: files.into_iter().filter_map(known).collect(),
        }
    }

    /// The checksums of a file; `None` when it has none.
    pub(crate) fn sums(&self, location: &Key) -> Result<Option<&BlockSums>> {
        let Some(known) = self.files.get(location) else {
            return Ok(None);
        };
        let sums = known
            .sums
            .get_or_init(|| BlockSums::of_tag(&known.tag, known.size));
        match sums {
            Some(sums) => Ok(Some(sums)),
            None => Err(Mismatch::Tag.into()),
        }
    }

    async fn compared(
        &self,
        location: &Key,
        sums: &BlockSums,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        if let Some(behind) = ranges.iter().find(|range| range.end > sums.size()) {
            return Err(Mismatch::Bytes(behind.clone()).into());
        }
        let blocks = sums.around(ranges);
        let got = match self.inner.get_ranges(location, &blocks).await {
            Ok(got) => got,
            Err(error @ object_store::Error::NotFound { .. }) => return Err(error),
            Err(error) => {
                self.has_size(location, sums).await?;
                return Err(error);
            }
        };
        for (range, bytes) in blocks.iter().zip(&got) {
            if bytes.len() as u64 != range.end - range.start {
                self.has_size(location, sums).await?;
                return Err(Mismatch::Bytes(range.clone()).into());
            }
            if let Some(differs) = sums.differing(range.start, bytes).into_iter().next() {
                return Err(Mismatch::Bytes(differs).into());
            }
        }
        let wanted = ranges.iter().map(|range| {
            let at = blocks.partition_point(|block| block.start <= range.start);
            let (block, bytes) = at
                .checked_sub(1)
                .and_then(|at| Some((blocks.get(at)?, got.get(at)?)))?;
            let begins = usize::try_from(range.start - block.start).ok()?;
            let length = usize::try_from(range.end.saturating_sub(range.start)).ok()?;
            (begins + length <= bytes.len()).then(|| bytes.slice(begins..begins + length))
        });
        let wanted: Option<Vec<Bytes>> = wanted.collect();
        wanted.ok_or_else(|| Mismatch::Bytes(0..sums.size()).into())
    }

    /// Refuses a file of another size than it was written with.
    async fn has_size(&self, location: &Key, sums: &BlockSums) -> Result<ObjectMeta> {
        let meta = self.inner.head(location).await?;
        match meta.size == sums.size() {
            true => Ok(meta),
            false => Err(Mismatch::Size {
                found: meta.size,
                written: sums.size(),
            }
            .into()),
        }
    }
}

impl fmt::Display for VerifiedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedFiles({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for VerifiedFiles {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        let Some(sums) = self.sums(location)? else {
            return self.inner.get_opts(location, options).await;
        };
        let meta = self.has_size(location, sums).await?;
        if options.head {
            return self.inner.get_opts(location, options).await;
        }
        let range = match &options.range {
            None => 0..sums.size(),
            Some(GetRange::Bounded(range)) => range.start..range.end.min(sums.size()),
            Some(GetRange::Offset(from)) => *from..sums.size(),
            Some(GetRange::Suffix(length)) => sums.size().saturating_sub(*length)..sums.size(),
        };
        let got = self
            .compared(location, sums, std::slice::from_ref(&range))
            .await?;
        let chunks = got.into_iter().map(Ok);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter(chunks).boxed()),
            meta,
            range,
            attributes: Default::default(),
        })
    }

    async fn get_ranges(&self, location: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.sums(location)? {
            Some(sums) => self.compared(location, sums, ranges).await,
            None => self.inner.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Key>,
        offset: &Key,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
