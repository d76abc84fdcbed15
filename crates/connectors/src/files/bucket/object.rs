//! One version of an object of a bucket, or of a file of a server, read from a thread that may wait.
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
use url::Url;

use super::client::{BucketClient, Version};
use crate::files::error::FilesError;
use crate::files::http::HttpVersion;
use crate::files::http::client::{HttpClient, shown};
use crate::files::room::Room;

/// An object to read.
pub(crate) struct StoredObject {
    remote: Remote,
    handle: Handle,
    failure: Mutex<Option<Failure>>,
    /// All of it, where it is small: files are looked at more than once.
    kept: OnceLock<Bytes>,
}

/// Who is asked for it.
enum Remote {
    Bucket(Arc<BucketClient>, Key, Version),
    Server(Arc<HttpClient>, Url, HttpVersion),
}

impl Remote {
    fn size(&self) -> u64 {
        match self {
            Self::Bucket(_, _, version) => version.size,
            Self::Server(_, _, version) => version.size,
        }
    }

    fn room(&self) -> &Room {
        match self {
            Self::Bucket(client, ..) => &client.room,
            Self::Server(client, ..) => &client.room,
        }
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes, FilesError> {
        match self {
            Self::Bucket(client, key, version) => client.get(key, version, range).await,
            Self::Server(client, url, version) => client.get(url, version, range).await,
        }
    }
}

/// Objects up to this size may be kept.
const SMALL: u64 = 256 << 10;

impl fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remote {
            Remote::Bucket(_, key, version) => write!(f, "StoredObject({key}, {version:?})"),
            Remote::Server(_, url, version) => {
                write!(f, "StoredObject({}, {version:?})", shown(url))
            }
        }
    }
}

impl Drop for StoredObject {
    fn drop(&mut self) {
        if self.kept.get().is_some() {
            self.remote.room().give(self.remote.size());
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
        Self::of(Remote::Bucket(Arc::clone(client), key, version), handle)
    }

    /// A version of a file of a server; `bytes` are all of it, if they are known.
    pub(crate) fn of_server(
        client: &Arc<HttpClient>,
        (url, version): (Url, HttpVersion),
        bytes: Option<Bytes>,
        handle: Handle,
    ) -> Self {
        let object = Self::of(Remote::Server(Arc::clone(client), url, version), handle);
        if let Some(bytes) = bytes {
            object.keep(bytes);
        }
        object
    }

    fn of(remote: Remote, handle: Handle) -> Self {
        Self {
            remote,
            handle,
            failure: Mutex::new(None),
            kept: OnceLock::new(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.remote.size()
    }

    /// What no other version has.
    pub(crate) fn identity(&self) -> String {
        match &self.remote {
            Remote::Bucket(_, _, version) => format!("object:{}:{}", version.size, version.e_tag),
            Remote::Server(_, _, version) => version.identity(),
        }
    }

    /// Keeps all of it, if there is room.
    fn keep(&self, bytes: Bytes) {
        let size = self.size();
        if self.remote.room().take(size) && self.kept.set(bytes).is_err() {
            self.remote.room().give(size);
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A range of it.
    pub(super) async fn get(&self, range: Range<u64>) -> Result<Bytes, FilesError> {
        let size = self.size();
        if size > SMALL {
            return self.remote.get(range).await;
        }
        if let Some(part) = self.kept.get().and_then(|kept| part(kept, &range)) {
            return Ok(part);
        }
        let bytes = self.remote.get(range.clone()).await?;
        if range == (0..size) {
            self.keep(bytes.clone());
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
        let failure: Failure = error.into();
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
