//! One version of an object, read from a thread that may wait.
//!
//! Promise: every byte is of this version. Why a read failed is kept beside the error of the library that read,
//! which may only have its words. It must not be read from a thread that drives others. Read next: `stream.rs`
//! and `ranges.rs`.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use object_store::path::Path as Key;
use tokio::runtime::Handle;
use towpath_vocab::Failure;

use super::client::{BucketClient, Version};
use crate::files::error::FilesError;

/// An object to read.
pub(crate) struct StoredObject {
    client: Arc<BucketClient>,
    key: Key,
    version: Version,
    handle: Handle,
    failure: Mutex<Option<Failure>>,
    /// All of it, where it is small: files are looked at more than once.
    kept: OnceLock<Bytes>,
}

/// Objects up to this size may be kept.
const SMALL: u64 = 256 << 10;

impl fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredObject({}, {:?})", self.key, self.version)
    }
}

impl Drop for StoredObject {
    fn drop(&mut self) {
        if self.kept.get().is_some() {
            self.client.give_room(self.version.size);
        }
    }
}

fn part(kept: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let start = usize::try_from(range.start).ok()?;
    let end = usize::try_from(range.end).ok()?;
    (start <= end && end <= kept.len()).then(|| kept.slice(start..end))
}

impl StoredObject {
    /// A version of an object; requests run where `handle` leads.
    pub(crate) fn new(
        client: &Arc<BucketClient>,
        key: Key,
        version: Version,
        handle: Handle,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            key,
            version,
            handle,
            failure: Mutex::new(None),
            kept: OnceLock::new(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.version.size
    }

    /// What no other version has.
    pub(crate) fn identity(&self) -> String {
        format!("object:{}:{}", self.version.size, self.version.e_tag)
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A range of it.
    pub(super) async fn get(&self, range: Range<u64>) -> Result<Bytes, FilesError> {
        let size = self.version.size;
        if size > SMALL {
            return self.client.get(&self.key, &self.version, range).await;
        }
        if let Some(part) = self.kept.get().and_then(|kept| part(kept, &range)) {
            return Ok(part);
        }
        let bytes = self
            .client
            .get(&self.key, &self.version, range.clone())
            .await?;
        let is_whole = range == (0..size);
        if is_whole && self.client.take_room(size) && self.kept.set(bytes.clone()).is_err() {
            self.client.give_room(size);
        }
        Ok(bytes)
    }

    /// The same from a thread that may wait.
    pub(super) fn get_now(&self, range: Range<u64>) -> io::Result<Bytes> {
        let got = self.handle.block_on(self.get(range));
        got.map_err(|error| self.noted(error))
    }

    /// An error for a library, with the failure kept.
    pub(super) fn noted(&self, error: FilesError) -> io::Error {
        let failure = Failure::from(error);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
        io::Error::other(FilesError::Carried(Box::new(failure)))
    }

    /// Why a read of it has failed, if one has.
    pub(crate) fn failure(&self) -> Option<FilesError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure
            .clone()
            .map(|failure| FilesError::Carried(Box::new(failure)))
    }
}
