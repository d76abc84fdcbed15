//! Puts under a condition, and what became of one whose answer was lost.
//!
//! Promise: an object appears as a whole, and only in the place of the version that was seen, or of none. Each put
//! has a mark, which is in the metadata of the object: after an answer that says nothing for certain, the object is
//! looked at, and its mark says whose it is. A put that was given up may still be carried out; its condition
//! holds then, too. It knows no table. Read next: `write/commit_bucket.rs`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as Key;
use object_store::{
    Error, GetOptions, MultipartUpload, ObjectMeta, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};
use towpath_buckets::{Condition, Unproved, ends_if, mark_of, marked};

use super::client::{BucketClient, Version};
use crate::files::error::{FilesError, said};

/// A file up to this size is put by one request; the parts of a larger one have this size, or more.
const PART_BYTES: u64 = 8 << 20;
/// The most parts that a file is put in; services take 10,000.
const MOST_PARTS: u64 = 9_000;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 2;
/// What is held of a file that is put in parts.
pub(crate) const HELD_BYTES: u64 = PART_BYTES * PARTS_AT_ONCE as u64;
/// The prefix of the objects with which a service is tried.
const PROBES: &str = "_towpath/probe";

/// An object that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) size: u64,
    version: UpdateVersion,
    /// Of the put that made it, if Towpath did.
    pub(crate) mark: Option<String>,
}

/// A put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put<'a> {
    pub(crate) key: &'a Key,
    /// What no other put has.
    pub(crate) mark: &'a str,
    /// What must be there; nothing may be if it is `None`.
    pub(crate) over: Option<&'a Seen>,
}

/// How it is known that the condition of a put holds, for a large file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MustHold<'a> {
    /// The prefix below which the service is tried.
    pub(crate) tried_below: &'a str,
    /// What is put at once at most.
    pub(crate) most_bytes: u64,
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Something else is there than was seen.
    Overtaken,
}

impl Seen {
    fn of(meta: &ObjectMeta, mark: Option<&str>) -> Self {
        Self {
            size: meta.size,
            version: UpdateVersion {
                e_tag: meta.e_tag.clone(),
                version: meta.version.clone(),
            },
            mark: mark.map(str::to_owned),
        }
    }

    /// The version, to read it.
    pub(crate) fn readable(&self) -> Option<Version> {
        Version::of(self.size, self.version.e_tag.as_deref())
    }
}

impl Put<'_> {
    fn mode(&self) -> PutMode {
        match self.over {
            None => PutMode::Create,
            Some(seen) => PutMode::Update(seen.version.clone()),
        }
    }

    fn condition(&self) -> Condition {
        match self.over {
            None => Condition::Absent,
            Some(seen) => Condition::Unchanged(seen.version.clone()),
        }
    }
}

/// Why a put was not answered with success.
enum Failed {
    Local(PathBuf, io::Error),
    Service(Error),
}

impl BucketClient {
    /// Finds out once whether the service obeys conditions of puts; `prefix` is where files are written.
    pub(crate) async fn prove(&self, prefix: &str) -> Result<(), FilesError> {
        let prove = || async {
            let proved = towpath_buckets::prove(&*self.store, &probes(prefix)).await;
            match proved
                .map_err(|unproved| self.unproved(unproved))?
                .keeps_metadata
            {
                true => Ok(()),
                false => Err(self.unproved(Unproved::Condition(
                    "does not keep the metadata of an object",
                ))),
            }
        };
        self.proved.puts.get_or_try_init(prove).await.map(|_| ())
    }

    /// The same for the end of uploads in parts.
    async fn prove_parts(&self, prefix: &str) -> Result<(), FilesError> {
        let prove = || async {
            let proved = towpath_buckets::prove_parts(&*self.store, &probes(prefix)).await;
            proved.map_err(|unproved| self.unproved(unproved))
        };
        self.proved.parts.get_or_try_init(prove).await.map(|_| ())
    }

    fn unproved(&self, unproved: Unproved) -> FilesError {
        match unproved {
            Unproved::Condition(what) => FilesError::Unconditional {
                address: self.address(""),
                what,
            },
            Unproved::Request { doing, key, source } => self.failed(doing, key.as_ref())(source),
        }
    }

    /// What a put of this file holds in memory.
    pub(crate) fn held_bytes(&self, bytes: u64) -> u64 {
        match self.ends_under_conditions() {
            true => HELD_BYTES.min(bytes),
            false => bytes,
        }
    }

    /// What is there now; `None` when nothing is.
    pub(crate) async fn look(&self, key: &Key) -> Result<Option<Seen>, FilesError> {
        let options = GetOptions::new().with_head(true);
        match self.store.get_opts(key, options).await {
            Ok(got) => Ok(Some(Seen::of(&got.meta, mark_of(&got.attributes)))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("looking for", key.as_ref())(error)),
        }
    }

    /// All of an object, and which one it was; `None` when there is none.
    pub(crate) async fn whole_seen(&self, key: &Key) -> Result<Option<(Bytes, Seen)>, FilesError> {
        let got = match self.store.get(key).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("reading", key.as_ref())(error)),
        };
        let seen = Seen::of(&got.meta, mark_of(&got.attributes));
        let bytes = got.bytes().await;
        let bytes = bytes.map_err(self.failed("reading", key.as_ref()))?;
        Ok(Some((bytes, seen)))
    }

    /// Puts a few bytes.
    pub(crate) async fn put(&self, put: Put<'_>, bytes: Bytes) -> Result<Outcome, FilesError> {
        let sent = self.send(put, bytes).await;
        self.outcome(put, sent.map_err(Failed::Service)).await
    }

    /// Puts a file of this machine. A large one goes in parts, and appears when the last one is there. Where the
    /// condition must hold, it is put at once if the cloud knows no condition at the end of an upload in parts.
    pub(crate) async fn put_file(
        &self,
        put: Put<'_>,
        file: &Path,
        must_hold: Option<MustHold<'_>>,
    ) -> Result<Outcome, FilesError> {
        let local = |error| Failed::Local(file.to_path_buf(), error);
        let size = match std::fs::metadata(file) {
            Ok(metadata) => metadata.len(),
            Err(error) => return self.outcome(put, Err(local(error))).await,
        };
        let parted = must_hold.is_none() || self.ends_under_conditions();
        let sent = if size > PART_BYTES && parted {
            if let Some(how) = must_hold {
                self.prove_parts(how.tried_below).await?;
            }
            let under_condition = must_hold.is_some() && self.ends_under_conditions();
            self.send_parts(put, (file, size), under_condition).await
        } else {
            let most = must_hold.map_or(PART_BYTES, |how| how.most_bytes.max(PART_BYTES));
            if size > most {
                return Err(FilesError::TooLarge {
                    path: self.address(put.key.as_ref()),
                    bytes: size,
                    most,
                });
            }
            match range(file.to_path_buf(), 0, size).await {
                Ok(bytes) => self.send(put, bytes).await.map_err(Failed::Service),
                Err(error) => Err(local(error)),
            }
        };
        self.outcome(put, sent).await
    }

    async fn send(&self, put: Put<'_>, bytes: Bytes) -> Result<(), Error> {
        let options = PutOptions {
            attributes: marked(put.mark),
            ..PutOptions::from(put.mode())
        };
        let payload = PutPayload::from_bytes(bytes);
        self.store
            .put_opts(put.key, payload, options)
            .await
            .map(drop)
    }

    async fn send_parts(
        &self,
        put: Put<'_>,
        (file, size): (&Path, u64),
        under_condition: bool,
    ) -> Result<(), Failed> {
        let options = PutMultipartOptions {
            attributes: marked(put.mark),
            ..PutMultipartOptions::default()
        };
        let upload = self.store.put_multipart_opts(put.key, options).await;
        let mut upload = upload.map_err(Failed::Service)?;
        let sent = match parts(upload.as_mut(), file, size).await {
            Ok(()) => {
                let ended = match under_condition {
                    true => ends_if(put.condition(), upload.complete()).await,
                    false => upload.complete().await,
                };
                ended.map(drop).map_err(Failed::Service)
            }
            Err(failed) => Err(failed),
        };
        if sent.is_err() {
            // Parts that stay are removed by the rules of the bucket.
            if let Err(error) = upload.abort().await {
                tracing::debug!("an upload could not be ended: {}", said(&error));
            }
        }
        sent
    }

    /// Looks where an answer says nothing for certain: it may be lost, or it may be that to a second try.
    async fn outcome(&self, put: Put<'_>, sent: Result<(), Failed>) -> Result<Outcome, FilesError> {
        let error = match sent {
            Ok(()) => return Ok(Outcome::Done),
            Err(Failed::Local(path, source)) => {
                let path = path.display().to_string();
                return Err(FilesError::Read { path, source });
            }
            Err(Failed::Service(error)) => error,
        };
        let there = self.look(put.key).await?;
        if there.is_some_and(|there| there.mark.as_deref() == Some(put.mark)) {
            return Ok(Outcome::Done);
        }
        match error {
            Error::Precondition { .. } | Error::AlreadyExists { .. } => Ok(Outcome::Overtaken),
            error => Err(self.failed("writing", put.key.as_ref())(error)),
        }
    }

    /// Removes an object that nobody needs any more; one that stays is removed by a later write.
    pub(crate) async fn remove(&self, key: &Key) {
        match self.store.delete(key).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => {
                let (address, said) = (self.address(key.as_ref()), said(&error));
                tracing::warn!("`{address}` could not be removed: {said}");
            }
        }
    }
}

/// Whether an object, by its name below the prefix of a connection, is one that a write tries the service with.
pub(in crate::files) fn is_probe(name: &str) -> bool {
    name.strip_prefix(PROBES)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn probes(prefix: &str) -> Key {
    Key::parse(format!("{prefix}{PROBES}")).unwrap_or_else(|_| Key::from(PROBES))
}

/// Sends the parts of a file.
async fn parts(upload: &mut dyn MultipartUpload, file: &Path, size: u64) -> Result<(), Failed> {
    let part = PART_BYTES.max(size.div_ceil(MOST_PARTS));
    let starts = (0..size.div_ceil(part)).map(|at| at * part);
    let local = |error| Failed::Local(file.to_path_buf(), error);
    stream::iter(starts)
        .map(|start| range(file.to_path_buf(), start, part.min(size - start)))
        // The next one is read while others are on their way.
        .buffered(1)
        .map_err(local)
        .map_ok(|bytes| {
            let sent = upload.put_part(PutPayload::from_bytes(bytes));
            async move { sent.await.map_err(Failed::Service) }
        })
        .try_buffered(PARTS_AT_ONCE)
        .try_collect()
        .await
}

/// A range of a file of this machine.
async fn range(file: PathBuf, start: u64, length: u64) -> io::Result<Bytes> {
    let read = move || {
        let mut file = File::open(file)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        match bytes.len() as u64 == length {
            true => Ok(Bytes::from(bytes)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|_| io::Error::other("it was not read to its end"))?
}
