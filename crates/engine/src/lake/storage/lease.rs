//! A lease in an object store: an object that its holder writes again and again.
//!
//! Promise: each write is put only in the place of the one before, and no two writes have the same bytes, so
//! a version of the object is never taken for another one, and a put that lands late changes nothing that
//! somebody else has written. A lease is given back by a put under the same condition, never by a deletion
//! that could hit somebody else's. It does not know when a holder is dead. Read next: `bucket.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::task::JoinHandle;

use super::{HeldLease, Key, Lease, LeaseKind};
use crate::lake::cause::brief;
use crate::lake::error::{LakeError, LakeResult};

/// A holder that could not write its lease for this long has lost it.
pub(super) const HELD_FOR: Duration = Duration::from_secs(60);

/// How the object of a lease begins that was given back.
const FREE: &str = "free ";
/// Its size; that of a lease that is held is larger.
const FREE_BYTES: u64 = 37;

/// The holder of a lease that was abandoned.
const NOBODY: &str = "00000000000000000000000000000000";

/// Times a put is tried again on the version that an earlier put of the same holder left.
const ROUNDS: usize = 4;

/// What the object of a lease holds: one line with its holder and a count, then what the lease is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    holder: String,
    count: u64,
    about: Bytes,
}

impl Body {
    /// That of a new holder.
    pub(super) fn new(about: Bytes) -> Self {
        Self {
            holder: uuid::Uuid::new_v4().simple().to_string(),
            count: 0,
            about,
        }
    }

    pub(super) fn bytes(&self) -> Bytes {
        let line = format!("{} {:020}\n", self.holder, self.count);
        [line.as_bytes(), &self.about].concat().into()
    }

    /// What a stored lease says; `None` when it was given back.
    pub(super) fn read(stored: &Bytes) -> Option<Self> {
        let end = stored.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(stored.get(..end)?).ok()?;
        let (holder, count) = line.split_once(' ')?;
        Some(Self {
            holder: holder.to_owned(),
            count: count.parse().ok()?,
            about: stored.slice(end + 1..),
        })
    }

    /// That of a lease whose holder says that it is dead: whoever comes next takes it over.
    pub(super) fn abandoned(&self) -> Self {
        Self {
            holder: NOBODY.to_owned(),
            ..self.next(None)
        }
    }

    /// True when its holder has said that it is dead.
    pub(super) fn is_abandoned(&self) -> bool {
        self.holder == NOBODY
    }

    /// What the lease is for.
    pub(super) fn about(&self) -> &Bytes {
        &self.about
    }

    fn next(&self, about: Option<Bytes>) -> Self {
        Self {
            holder: self.holder.clone(),
            count: self.count + 1,
            about: about.unwrap_or_else(|| self.about.clone()),
        }
    }
}

/// True when the size of an object says that its lease was given back.
pub(super) fn is_free(bytes: u64) -> bool {
    bytes == FREE_BYTES
}

fn free() -> Bytes {
    format!("{FREE}{}", uuid::Uuid::new_v4().simple()).into()
}

/// The version of an object, as its metadata says.
pub(super) fn version_of(meta: &object_store::ObjectMeta) -> UpdateVersion {
    UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    }
}

/// Puts these bytes; `None` when the condition does not hold and the object is not this holder's.
///
/// The answer to an earlier put of this holder may have been lost: then the object is its own, and the put
/// is tried again in that one's place.
pub(super) async fn put(
    objects: &dyn ObjectStore,
    key: &Key,
    (holder, bytes): (&str, &Bytes),
    mode: PutMode,
) -> object_store::Result<Option<UpdateVersion>> {
    let mut mode = mode;
    for _ in 0..ROUNDS {
        let payload = PutPayload::from_bytes(bytes.clone());
        let put = objects.put_opts(key, payload, PutOptions::from(mode)).await;
        match put {
            Ok(put) => {
                return Ok(Some(UpdateVersion {
                    e_tag: put.e_tag,
                    version: put.version,
                }));
            }
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. },
            ) => {}
            Err(error) => return Err(error),
        }
        let got = match objects.get(key).await {
            Err(error) if super::absent(&error) => return Ok(None),
            got => got?,
        };
        let version = version_of(&got.meta);
        let stored = got.bytes().await?;
        if stored == *bytes {
            return Ok(Some(version));
        }
        if Body::read(&stored).is_none_or(|stored| stored.holder != holder) {
            return Ok(None);
        }
        mode = PutMode::Update(version);
    }
    Ok(None)
}

/// Puts the first version of a lease under a condition; `None` when it does not hold.
pub(super) async fn take(
    objects: &Arc<dyn ObjectStore>,
    (key, kind): (&Key, LeaseKind),
    body: Body,
    (mode, address): (PutMode, String),
) -> object_store::Result<Option<Lease>> {
    let began = Moment::now();
    let bytes = body.bytes();
    let version = put(&**objects, key, (&body.holder, &bytes), mode).await?;
    Ok(version.map(|version| {
        let state = Arc::new(Renewed {
            objects: Arc::clone(objects),
            key: key.clone(),
            lost: AtomicBool::new(false),
            last: tokio::sync::Mutex::new((body, version)),
            renewed: Mutex::new(began),
        });
        let renewing = Arc::clone(&state);
        let renewal = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HELD_FOR / 4).await;
                if !renewing.renew().await {
                    break;
                }
            }
        });
        Lease::new(Leased {
            state,
            renewal,
            address,
            kind,
        })
    }))
}

/// A moment on both clocks: the one of the process stands still while the machine is suspended, the other
/// one may be set.
#[derive(Clone, Copy, Debug)]
struct Moment {
    process: Instant,
    wall: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self {
            process: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// True when neither clock says that so much time has passed at `now`.
    fn is_within(&self, time: Duration, now: Moment) -> bool {
        let wall = now.wall.duration_since(self.wall);
        let wall = wall.unwrap_or_else(|set_back| set_back.duration());
        now.process.saturating_duration_since(self.process) < time && wall < time
    }
}

/// A lease that is written again and again.
#[derive(Debug)]
struct Renewed {
    objects: Arc<dyn ObjectStore>,
    key: Key,
    lost: AtomicBool,
    /// What was written last; one write at a time.
    last: tokio::sync::Mutex<(Body, UpdateVersion)>,
    /// When the last write began that was answered.
    renewed: Mutex<Moment>,
}

impl Renewed {
    /// Writes it once more; false when it is lost.
    async fn renew(&self) -> bool {
        match self.write(None).await {
            Ok(held) => held,
            // Not lost yet: tried again until it is.
            Err(error) => {
                tracing::debug!(error = %brief(&error), key = %self.key, "a lease could not be renewed");
                true
            }
        }
    }

    /// Writes it once more, with what it is for from now on; false when it is lost.
    async fn write(&self, about: Option<Bytes>) -> object_store::Result<bool> {
        let mut last = self.last.lock().await;
        let began = Moment::now();
        let body = last.0.next(about);
        // A put without an answer may have landed with this count: the next one has another.
        last.0.count = body.count;
        let (bytes, mode) = (body.bytes(), PutMode::Update(last.1.clone()));
        let written = put(&*self.objects, &self.key, (&body.holder, &bytes), mode).await?;
        let Some(version) = written else {
            self.lost.store(true, Ordering::Release);
            return Ok(false);
        };
        *last = (body, version);
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = began;
        Ok(true)
    }

    /// Ends it with these last bytes; false when it is not held any more.
    async fn end(&self, bytes: impl FnOnce(&Body) -> Bytes) -> object_store::Result<bool> {
        let last = self.last.lock().await;
        let (bytes, mode) = (bytes(&last.0), PutMode::Update(last.1.clone()));
        let freed = put(&*self.objects, &self.key, (&last.0.holder, &bytes), mode).await?;
        self.lost.store(true, Ordering::Release);
        Ok(freed.is_some())
    }
}

#[derive(Debug)]
struct Leased {
    state: Arc<Renewed>,
    renewal: JoinHandle<()>,
    address: String,
    kind: LeaseKind,
}

impl Leased {
    fn failed(&self, doing: &'static str) -> impl FnOnce(object_store::Error) -> LakeError + '_ {
        move |source| LakeError::Storage {
            doing,
            address: self.address.clone(),
            source,
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[async_trait]
impl HeldLease for Leased {
    fn is_held(&self) -> bool {
        let renewed = *self
            .state
            .renewed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        !self.state.lost.load(Ordering::Acquire) && renewed.is_within(HELD_FOR, Moment::now())
    }

    async fn confirm(&self, about: Bytes) -> LakeResult<bool> {
        if self.state.lost.load(Ordering::Acquire) {
            return Ok(false);
        }
        let written = self.state.write(Some(about)).await;
        written.map_err(self.failed("writing"))
    }

    async fn release(&self) -> LakeResult<()> {
        self.renewal.abort();
        let freed = self.state.end(|_| free()).await;
        let freed = freed.map_err(self.failed("writing"))?;
        if !freed || self.kind == LeaseKind::Shared {
            return Ok(());
        }
        // Nobody takes a key that is one holder's own once that one has given it back.
        match self.state.objects.delete(&self.state.key).await {
            Err(error) if !super::absent(&error) => Err(self.failed("deleting")(error)),
            _ => Ok(()),
        }
    }

    async fn abandon(&self) -> LakeResult<()> {
        self.renewal.abort();
        let ended = self.state.end(|body| body.abandoned().bytes()).await;
        ended.map(drop).map_err(self.failed("writing"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use object_store::memory::InMemory;

    use super::*;
    use crate::lake::storage::key;

    #[test]
    fn sizes_tell_a_free_lease_from_one_that_is_held() {
        assert!(is_free(free().len() as u64));
        assert!(!is_free(Body::new(Bytes::new()).bytes().len() as u64));
        assert_eq!(Body::read(&free()), None);
        let body = Body::new("a\nb".into()).next(None);
        assert_eq!(Body::read(&body.bytes()), Some(body));
    }

    #[test]
    fn the_time_of_a_suspended_machine_counts() {
        let began = Moment::now();
        let second = Duration::from_secs(1);
        let suspended = Moment {
            process: began.process + second,
            wall: began.wall + HELD_FOR,
        };
        assert!(!began.is_within(HELD_FOR, suspended));
        let set_back = Moment {
            process: began.process + second,
            wall: began.wall - HELD_FOR,
        };
        assert!(
            !began.is_within(HELD_FOR, set_back),
            "nobody knows how long"
        );
        let short = Moment {
            process: began.process + second,
            wall: began.wall + second,
        };
        assert!(began.is_within(HELD_FOR, short));
    }

    #[tokio::test]
    async fn a_lease_whose_answer_was_lost_is_our_own() {
        let objects = InMemory::new();
        let name = key("care/t.json");
        let (body, other) = (Body::new("a".into()), Body::new("a".into()));
        let write = async |body: &Body, mode| {
            let bytes = body.bytes();
            let written = put(&objects, &name, (&body.holder, &bytes), mode).await;
            written.unwrap()
        };
        let first = write(&body, PutMode::Create).await.unwrap();
        // The client asks again, as it does when no answer came.
        let again = write(&body, PutMode::Create).await.unwrap();
        assert_eq!(again.e_tag, first.e_tag);
        assert!(write(&other, PutMode::Create).await.is_none());
        let next = body.next(None);
        assert!(write(&next, PutMode::Update(first.clone())).await.is_some());
        let later = next.next(None);
        let found = write(&later, PutMode::Update(first.clone())).await;
        assert!(found.is_some(), "renewed, though it was not heard");
        assert!(write(&other, PutMode::Update(first)).await.is_none());
    }

    #[tokio::test]
    async fn a_lease_of_others_is_neither_written_nor_deleted() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for kind in [LeaseKind::Own, LeaseKind::Shared] {
            let name = key("writers/a.json");
            let taken = |body, mode| take(&objects, (&name, kind), body, (mode, String::new()));
            let lease = taken(Body::new("a".into()), PutMode::Create).await;
            let lease = lease.unwrap().unwrap();
            let meta = objects.head(&name).await.unwrap();
            let mode = PutMode::Update(version_of(&meta));
            let other = Body::new("b".into());
            let theirs = taken(other.clone(), mode).await.unwrap().unwrap();
            assert!(lease.is_held(), "it has not noticed");
            lease.release().await.unwrap();
            let stored = objects.get(&name).await.unwrap().bytes().await.unwrap();
            assert_eq!(Body::read(&stored).unwrap(), other, "{kind:?}");
            assert!(!lease.confirm("c".into()).await.unwrap());
            assert!(theirs.confirm("d".into()).await.unwrap());
            theirs.release().await.unwrap();
            let left = objects.head(&name).await;
            match kind {
                LeaseKind::Own => assert!(left.is_err(), "its key is gone with it"),
                LeaseKind::Shared => assert!(is_free(left.unwrap().size)),
            }
            let _ = objects.delete(&name).await;
        }
    }
}
