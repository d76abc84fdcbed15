//! The Delta library's view of a table's objects: data files bear the attempt that writes them in
//! their names, so what a killed writer left behind is distinguished from what others write.
//!
//! Promise: a file that was put has checksums, and what cannot be completed is aborted. It knows no log. Read next:
//! `storage/mod.rs`.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use super::block_sums::{BlockSums, Summing};
use super::cause::brief;
use super::storage::{Key, key};

/// How names of data files begin.
const PART: &str = "part-";

/// How names of data files of an attempt begin.
pub(crate) fn part_of(attempt: &str) -> String {
    format!("{PART}{attempt}-")
}

/// The name of a data file of an attempt, from the one without it.
pub(crate) fn named(name: &str, attempt: &str) -> String {
    let rest = name.strip_prefix(PART).unwrap_or(name);
    format!("{}{rest}", part_of(attempt))
}

/// A table's objects, for one attempt that writes data files.
#[derive(Debug)]
pub(crate) struct AttemptFiles {
    inner: Arc<dyn ObjectStore>,
    attempt: String,
    sums: FileSums,
}

/// The checksums of the files that were put, by name.
#[derive(Clone, Debug, Default)]
struct FileSums(Arc<Mutex<HashMap<String, BlockSums>>>);

impl FileSums {
    fn keep(&self, name: &str, sums: BlockSums) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), sums);
    }
}

impl AttemptFiles {
    /// The data files of an attempt.
    pub(crate) fn of(attempt: &str, inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            attempt: attempt.to_owned(),
            sums: FileSums::default(),
        }
    }

    /// The checksums of a file that was put, by the name it has; given out once.
    pub(crate) fn sums(&self, name: &str) -> Option<BlockSums> {
        let mut all = self.sums.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(name)
    }

    /// Where a data file goes.
    fn place(&self, location: &Key) -> Key {
        let name = named(location.filename().unwrap_or_default(), &self.attempt);
        match location.as_ref().rsplit_once('/') {
            Some((above, _)) => key(&format!("{above}/{name}")),
            None => key(&name),
        }
    }
}

impl fmt::Display for AttemptFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptFiles({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for AttemptFiles {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let place = self.place(location);
        let mut summing = Summing::default();
        payload.iter().for_each(|bytes| summing.add(bytes));
        let name = place.filename().unwrap_or_default();
        self.sums.keep(name, summing.finish());
        self.inner.put_opts(&place, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let place = self.place(location);
        let upload = self.inner.put_multipart_opts(&place, options).await?;
        Ok(Box::new(AttemptUpload {
            upload: Some(upload),
            objects: Arc::clone(&self.inner),
            place,
            summing: Summing::default(),
            sums: self.sums.clone(),
        }))
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
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

/// A file that is put in parts. What of it is not completed is aborted: parts cost room that no listing
/// of files shows.
#[derive(Debug)]
struct AttemptUpload {
    /// Until it is complete or aborted.
    upload: Option<Box<dyn MultipartUpload>>,
    objects: Arc<dyn ObjectStore>,
    place: Key,
    summing: Summing,
    sums: FileSums,
}

/// The file of an upload whose completion had no answer, if it is there; else the upload is aborted.
async fn settled(
    objects: Arc<dyn ObjectStore>,
    (place, bytes): (Key, u64),
    mut upload: Box<dyn MultipartUpload>,
    error: object_store::Error,
) -> Result<PutResult> {
    match objects.head(&place).await {
        // The name is this attempt's alone.
        Ok(meta) if meta.size == bytes => Ok(PutResult {
            e_tag: meta.e_tag,
            version: meta.version,
        }),
        _ => {
            abort(&mut upload).await;
            Err(error)
        }
    }
}

async fn abort(upload: &mut Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::debug!(error = %brief(&error), "parts of a file that is given up stay");
    }
}

fn ended() -> object_store::Error {
    object_store::Error::Generic {
        store: "AttemptFiles",
        source: "the upload has ended".into(),
    }
}

impl Drop for AttemptUpload {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), runtime) {
            runtime.spawn(async move { abort(&mut upload).await });
        }
    }
}

#[async_trait]
impl MultipartUpload for AttemptUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        // Parts are called for in their order, whenever each of them arrives.
        data.iter().for_each(|bytes| self.summing.add(bytes));
        match &mut self.upload {
            Some(upload) => upload.put_part(data),
            None => Box::pin(async { Err(ended()) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let sums = std::mem::take(&mut self.summing).finish();
        let bytes = sums.size();
        self.sums
            .keep(self.place.filename().unwrap_or_default(), sums);
        // It stays here while it waits: a completion that is given up is aborted.
        let completed = match &mut self.upload {
            Some(upload) => upload.complete().await,
            None => return Err(ended()),
        };
        match (completed, self.upload.take()) {
            (Err(error), Some(upload)) => {
                let objects = Arc::clone(&self.objects);
                settled(objects, (self.place.clone(), bytes), upload, error).await
            }
            (completed, _) => completed,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        match self.upload.take() {
            Some(mut upload) => upload.abort().await,
            None => Ok(()),
        }
    }
}
