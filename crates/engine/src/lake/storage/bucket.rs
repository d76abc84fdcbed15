//! A lakehouse in any object store that knows conditional puts.
//!
//! A lease is an object that its holder writes again and again, each time only if it is still the one
//! it wrote last. It is dead when that has not happened for `DEAD_AFTER` on the store's own clock; whoever
//! takes it over replaces it under the same condition, so only one process does. A holder that could not
//! write for `HELD_FOR` on its own clock no longer holds it: that is much shorter, so a holder that is only
//! slow has stopped by itself long before anybody clears up after it. A lease names its holder, so that one
//! whose answer was lost is known to be our own. Before the first lease the store must show that it obeys the
//! conditions (`prove`). Read next: `mod.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use url::Url;

use super::objects::{all, failed, get, remove, replace};
use super::{HeldLease, Key, Lease, Storage, Unfinished, child, key};
use crate::lake::error::{LakeError, LakeResult};
use crate::lake::names::OWN;

/// A holder that has not written its lease for this long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(900);
/// A holder that could not write its lease for this long has lost it.
const HELD_FOR: Duration = Duration::from_secs(60);

/// A tag that no object has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";

/// An object store.
#[derive(Debug)]
pub(crate) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    url: Url,
    dead_after: Duration,
    /// Set once the store is known to obey conditions.
    proved: OnceCell<()>,
}

impl Bucket {
    /// Over objects whose keys begin at the lakehouse; `url` names it for people, with `/` at its end.
    pub(crate) fn over(objects: Arc<dyn ObjectStore>, url: Url) -> Self {
        Self {
            objects,
            url,
            dead_after: DEAD_AFTER,
            proved: OnceCell::new_with(Some(())),
        }
    }

    /// The same for a store that must show before the first lease that it obeys conditions.
    pub(crate) fn proved_first(self) -> Self {
        Self {
            proved: OnceCell::new(),
            ..self
        }
    }

    /// Puts an object under conditions that do not hold: the store must refuse both.
    async fn prove(&self) -> LakeResult<()> {
        let probe = key(&format!("{OWN}/probe/{}", uuid::Uuid::new_v4().simple()));
        let body = Bytes::from_static(b"conditional puts");
        replace(self, &probe, body.clone()).await?;
        let created = self.obeys(&probe, PutMode::Create).await;
        let wrong = UpdateVersion {
            e_tag: Some(NO_ETAG.to_owned()),
            version: None,
        };
        let updated = self.obeys(&probe, PutMode::Update(wrong)).await;
        remove(self, &probe).await?;
        match (created?, updated?) {
            (true, true) => Ok(()),
            (false, _) => Err(self.unconditional("creates an object where there is one")),
            (true, false) => Err(self.unconditional("replaces an object that has changed")),
        }
    }

    /// False when an object is put although the condition does not hold, or conditions are not known.
    async fn obeys(&self, probe: &Key, mode: PutMode) -> LakeResult<bool> {
        let payload = PutPayload::from_static(b"put in spite of the condition");
        let put = self
            .objects
            .put_opts(probe, payload, PutOptions::from(mode));
        match put.await {
            Ok(_)
            | Err(
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. },
            ) => Ok(false),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(true),
            Err(error) => Err(failed(self, "writing", probe)(error)),
        }
    }

    fn unconditional(&self, what: &'static str) -> LakeError {
        LakeError::Unconditional {
            address: self.url.to_string(),
            what,
        }
    }

    /// The same with another time after which a holder is dead.
    #[cfg(test)]
    pub(crate) fn dead_after(self, dead_after: Duration) -> Self {
        Self { dead_after, ..self }
    }

    /// What the store's clock shows, by an object that is put there.
    async fn now(&self) -> LakeResult<SystemTime> {
        let clock = key(&format!("{OWN}/clock/{}", uuid::Uuid::new_v4().simple()));
        replace(self, &clock, Bytes::new()).await?;
        let meta = self.objects.head(&clock).await;
        remove(self, &clock).await?;
        let meta = meta.map_err(failed(self, "reading", &clock))?;
        Ok(SystemTime::from(meta.last_modified))
    }

    fn is_dead(&self, meta: &ObjectMeta, now: SystemTime) -> bool {
        let written = SystemTime::from(meta.last_modified);
        now.duration_since(written)
            .is_ok_and(|passed| passed >= self.dead_after)
    }

    /// Writes a lease, only if it is still this version of it; `None` when it is not.
    async fn write(
        &self,
        key: &Key,
        body: &Body,
        mode: PutMode,
    ) -> LakeResult<Option<UpdateVersion>> {
        let put = put_lease(&*self.objects, key, body, mode).await;
        put.map_err(failed(self, "writing", key))
    }

    fn holding(&self, key: &Key, body: Body, version: UpdateVersion) -> Lease {
        let state = Arc::new(Renewed {
            objects: Arc::clone(&self.objects),
            key: key.clone(),
            body,
            lost: AtomicBool::new(false),
            last: Mutex::new((version, Instant::now())),
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
            address: self.address(key),
        })
    }

    fn deletion(&self, prefix: &Key) -> Key {
        let digest = Sha256::digest(prefix.as_ref().as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        child(&dropped(), &format!("{name}.json"))
    }

    async fn delete_below(&self, prefix: &Key) -> LakeResult<()> {
        let mut keys: Vec<Key> = all(self, prefix)
            .await?
            .into_iter()
            .map(|object| object.location)
            .collect();
        // The log goes first and its newest entry before the others: until the last one is gone, the
        // table can be opened, and is known by its id to be the one that is dropped.
        let in_log = |key: &Key| key.as_ref().contains(crate::lake::names::LOG);
        keys.sort_by(|a, b| (in_log(b), b.as_ref()).cmp(&(in_log(a), a.as_ref())));
        for key in keys {
            remove(self, &key).await?;
        }
        Ok(())
    }
}

fn dropped() -> Key {
    key(&format!("{OWN}/dropped"))
}

/// What the object of a lease holds: one line with its holder's own name, then what the lease is for.
#[derive(Clone, Debug)]
struct Body {
    holder: String,
    bytes: Bytes,
}

impl Body {
    /// That of a new holder.
    fn new(about: &[u8]) -> Self {
        let holder = uuid::Uuid::new_v4().simple().to_string();
        let bytes = [holder.as_bytes(), b"\n", about].concat().into();
        Self { holder, bytes }
    }

    /// What a stored lease is for.
    fn about(stored: &Bytes) -> Bytes {
        let end = stored.iter().position(|byte| *byte == b'\n');
        stored.slice(end.map_or(0, |end| end + 1)..)
    }

    fn is(&self, stored: &Bytes) -> bool {
        stored.starts_with(self.holder.as_bytes())
    }
}

/// Puts a lease; `None` when the condition does not hold.
async fn put_lease(
    objects: &dyn ObjectStore,
    key: &Key,
    body: &Body,
    mode: PutMode,
) -> object_store::Result<Option<UpdateVersion>> {
    let payload = PutPayload::from_bytes(body.bytes.clone());
    match objects.put_opts(key, payload, PutOptions::from(mode)).await {
        Ok(put) => Ok(Some(UpdateVersion {
            e_tag: put.e_tag,
            version: put.version,
        })),
        Err(
            object_store::Error::AlreadyExists { .. }
            | object_store::Error::Precondition { .. }
            | object_store::Error::NotFound { .. },
        ) => ours(objects, key, body).await,
        Err(error) => Err(error),
    }
}

/// The version of a lease that this holder put itself: the answer was lost, and the client asked again.
async fn ours(
    objects: &dyn ObjectStore,
    key: &Key,
    body: &Body,
) -> object_store::Result<Option<UpdateVersion>> {
    let got = match objects.get(key).await {
        Err(error) if super::absent(&error) => return Ok(None),
        got => got?,
    };
    let version = version_of(&got.meta);
    Ok(body.is(&got.bytes().await?).then_some(version))
}

fn version_of(meta: &ObjectMeta) -> UpdateVersion {
    UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    }
}

/// A lease that is written again and again.
#[derive(Debug)]
struct Renewed {
    objects: Arc<dyn ObjectStore>,
    key: Key,
    body: Body,
    lost: AtomicBool,
    /// The version that was written last, and when that began.
    last: Mutex<(UpdateVersion, Instant)>,
}

impl Renewed {
    /// Writes it once more; false when it is lost.
    async fn renew(&self) -> bool {
        let (version, _) = self.last();
        let began = Instant::now();
        let mode = PutMode::Update(version);
        match put_lease(&*self.objects, &self.key, &self.body, mode).await {
            Ok(Some(version)) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (version, began);
                true
            }
            Ok(None) => {
                self.lost.store(true, Ordering::Release);
                false
            }
            // Not lost yet: tried again until it is.
            Err(error) => {
                tracing::debug!(%error, key = %self.key, "a lease could not be renewed");
                true
            }
        }
    }

    fn last(&self) -> (UpdateVersion, Instant) {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[derive(Debug)]
struct Leased {
    state: Arc<Renewed>,
    renewal: JoinHandle<()>,
    address: String,
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[async_trait]
impl HeldLease for Leased {
    fn is_held(&self) -> bool {
        let (_, renewed) = self.state.last();
        !self.state.lost.load(Ordering::Acquire) && renewed.elapsed() < HELD_FOR
    }

    async fn release(&self) -> LakeResult<()> {
        self.renewal.abort();
        match self.state.objects.delete(&self.state.key).await {
            Err(source) if !super::absent(&source) => Err(LakeError::Storage {
                doing: "deleting",
                address: self.address.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for Bucket {
    fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    fn absolute(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    fn url(&self, prefix: &Key) -> LakeResult<Url> {
        // Keys begin at the lakehouse, so its own path is not part of theirs.
        let mut url = self.url.clone();
        url.set_path(&format!("/{prefix}/"));
        Ok(url)
    }

    fn address(&self, key: &Key) -> String {
        format!("{}{key}", self.url)
    }

    async fn lease(&self, key: &Key, about: Bytes) -> LakeResult<Option<Lease>> {
        self.proved.get_or_try_init(|| self.prove()).await?;
        let body = Body::new(&about);
        if let Some(version) = self.write(key, &body, PutMode::Create).await? {
            return Ok(Some(self.holding(key, body, version)));
        }
        let Some(meta) = super::head(self, key).await? else {
            return Ok(None);
        };
        if !self.is_dead(&meta, self.now().await?) {
            return Ok(None);
        }
        let mode = PutMode::Update(version_of(&meta));
        let taken = self.write(key, &body, mode).await?;
        Ok(taken.map(|version| self.holding(key, body, version)))
    }

    async fn dead_leases(&self, prefix: &Key) -> LakeResult<Vec<(Bytes, Lease)>> {
        let leases: Vec<ObjectMeta> = all(self, prefix).await?;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now().await?;
        let mut dead = Vec::new();
        for meta in leases.iter().filter(|meta| self.is_dead(meta, now)) {
            let Some(stored) = get(self, &meta.location).await? else {
                continue;
            };
            let about = Body::about(&stored);
            let body = Body::new(&about);
            let mode = PutMode::Update(version_of(meta));
            if let Some(version) = self.write(&meta.location, &body, mode).await? {
                let lease = self.holding(&meta.location, body, version);
                dead.push((about, lease));
            }
        }
        Ok(dead)
    }

    async fn delete_prefix(&self, prefix: &Key) -> LakeResult<bool> {
        let about = Bytes::from(prefix.to_string());
        let Some(lease) = self.lease(&self.deletion(prefix), about).await? else {
            return Ok(false);
        };
        self.delete_below(prefix).await?;
        lease.release().await?;
        Ok(true)
    }

    async fn finish_deletion(&self, prefix: &Key) -> LakeResult<bool> {
        match super::head(self, &self.deletion(prefix)).await? {
            Some(_) => self.delete_prefix(prefix).await,
            None => Ok(true),
        }
    }

    async fn finish_deletions(&self) -> LakeResult<()> {
        for (prefix, lease) in self.dead_leases(&dropped()).await? {
            let prefix = String::from_utf8_lossy(&prefix);
            self.delete_below(&key(&prefix)).await?;
            lease.release().await?;
        }
        Ok(())
    }

    async fn make_durable(&self, _key: &Key) -> LakeResult<()> {
        Ok(())
    }

    async fn unfinished(&self, _prefix: &Key) -> LakeResult<Vec<Unfinished>> {
        // An object is there when its put is done, never before.
        Ok(Vec::new())
    }

    async fn delete_unfinished(&self, _prefix: &Key, _name: &str) -> LakeResult<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use object_store::memory::InMemory;

    use super::*;
    use crate::lake::storage::{FaultyObjects, Ignored, names};

    fn bucket(objects: &Arc<InMemory>, dead_after: Duration) -> Bucket {
        let url = Url::parse("memory://lake/").unwrap();
        Bucket::over(Arc::clone(objects) as _, url).dead_after(dead_after)
    }

    #[tokio::test]
    async fn a_lease_has_one_holder_and_a_dead_one_is_taken_over_once() {
        let objects = Arc::new(InMemory::new());
        let (patient, hasty) = (
            bucket(&objects, DEAD_AFTER),
            bucket(&objects, Duration::ZERO),
        );
        let folder = key("_towpath/writers");
        let name = child(&folder, "a.json");
        let held = patient.lease(&name, "what".into()).await.unwrap().unwrap();
        assert!(held.is_held());
        assert!(
            patient
                .lease(&name, "other".into())
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            patient.dead_leases(&folder).await.unwrap().is_empty(),
            "it lives"
        );
        let dead = hasty.dead_leases(&folder).await.unwrap();
        assert_eq!(dead.first().unwrap().0, "what");
        dead.first().unwrap().1.release().await.unwrap();
        assert!(names(&patient, &folder).await.unwrap().is_empty());
        assert!(
            names(&patient, &key("_towpath/clock"))
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn who_was_taken_over_no_longer_holds_it() {
        let objects = Arc::new(InMemory::new());
        let hasty = bucket(&objects, Duration::ZERO);
        let name = key("care/t.json");
        let body = Body::new(b"a");
        let version = hasty.write(&name, &body, PutMode::Create).await.unwrap();
        let slow = Renewed {
            objects: Arc::clone(&objects) as _,
            key: name.clone(),
            body,
            lost: AtomicBool::new(false),
            last: Mutex::new((version.unwrap(), Instant::now())),
        };
        assert!(slow.renew().await);
        let taken = hasty.lease(&name, "b".into()).await.unwrap();
        assert!(taken.is_some_and(|lease| lease.is_held()));
        assert!(!slow.renew().await);
        assert!(slow.lost.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn nothing_is_put_where_somebody_deletes() {
        let objects = Arc::new(InMemory::new());
        let bucket = bucket(&objects, DEAD_AFTER);
        let table = key("raw/t");
        assert!(bucket.finish_deletion(&table).await.unwrap());
        let deleting = bucket.lease(&bucket.deletion(&table), "raw/t".into()).await;
        assert!(!bucket.finish_deletion(&table).await.unwrap());
        deleting.unwrap().unwrap().release().await.unwrap();
        assert!(bucket.finish_deletion(&table).await.unwrap());
    }

    #[tokio::test]
    async fn a_deletion_that_was_cut_off_is_finished() {
        let objects = Arc::new(InMemory::new());
        let bucket = bucket(&objects, Duration::ZERO);
        let (table, other) = (key("raw/t"), key("raw/u/x"));
        for name in ["raw/t/_delta_log/0.json", "raw/t/part-1"] {
            replace(&bucket, &key(name), "x".into()).await.unwrap();
        }
        replace(&bucket, &other, "x".into()).await.unwrap();
        let note = bucket.deletion(&table);
        let body = Body::new(b"raw/t");
        replace(&bucket, &note, body.bytes).await.unwrap();
        bucket.finish_deletions().await.unwrap();
        let left = all(&bucket, &key("")).await.unwrap();
        assert_eq!(
            left.iter().map(|meta| &meta.location).collect::<Vec<_>>(),
            [&other]
        );
    }

    #[tokio::test]
    async fn a_lease_whose_answer_was_lost_is_our_own() {
        let objects = Arc::new(InMemory::new());
        let name = key("care/t.json");
        let (body, other) = (Body::new(b"a"), Body::new(b"a"));
        let first = put_lease(&*objects, &name, &body, PutMode::Create).await;
        let version = first.unwrap().unwrap();
        // The client asks again, as it does when no answer came.
        let again = put_lease(&*objects, &name, &body, PutMode::Create).await;
        assert_eq!(again.unwrap().unwrap().e_tag, version.e_tag);
        let theirs = put_lease(&*objects, &name, &other, PutMode::Create).await;
        assert!(theirs.unwrap().is_none());
        let renewed = put_lease(&*objects, &name, &body, PutMode::Update(version.clone())).await;
        assert!(renewed.unwrap().is_some());
        let again = put_lease(&*objects, &name, &body, PutMode::Update(version.clone())).await;
        assert!(again.unwrap().is_some(), "renewed, though it was not heard");
        let theirs = put_lease(&*objects, &name, &other, PutMode::Update(version)).await;
        assert!(theirs.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_store_that_ignores_conditions_gives_no_lease() {
        let url = || Url::parse("memory://lake/").unwrap();
        let obeys = Bucket::over(Arc::new(InMemory::new()), url()).proved_first();
        assert!(obeys.lease(&key("a"), "x".into()).await.unwrap().is_some());
        for ignored in [Ignored::Create, Ignored::Update] {
            let objects = FaultyObjects::over(Arc::new(InMemory::new())).ignoring(ignored);
            let bucket = Bucket::over(Arc::new(objects), url()).proved_first();
            let error = bucket.lease(&key("a"), "x".into()).await.err().unwrap();
            assert!(matches!(error, LakeError::Unconditional { .. }), "{error}");
            assert!(all(&bucket, &key("")).await.unwrap().is_empty());
        }
    }
}
