//! A lakehouse in any object store that knows conditional puts.
//!
//! A lease is an object that its holder writes again and again, each time only if it is still the one
//! it wrote last. It is dead when that has not happened for `DEAD_AFTER` on the store's own clock; whoever
//! takes it over replaces it under the same condition, so only one process does. A holder that could not
//! write for `HELD_FOR` on its own clock no longer holds it: that is much shorter, so a holder that is only
//! slow has stopped by itself long before anybody clears up after it. Read next: `mod.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use sha2::{Digest as _, Sha256};
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

/// An object store.
#[derive(Debug)]
pub(crate) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    url: Url,
    dead_after: Duration,
}

impl Bucket {
    /// Over objects whose keys begin at the lakehouse; `url` names it for people, with `/` at its end.
    pub(crate) fn over(objects: Arc<dyn ObjectStore>, url: Url) -> Self {
        Self {
            objects,
            url,
            dead_after: DEAD_AFTER,
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
        about: &Bytes,
        mode: PutMode,
    ) -> LakeResult<Option<UpdateVersion>> {
        let put = put_lease(&*self.objects, key, about, mode).await;
        put.map_err(failed(self, "writing", key))
    }

    fn holding(&self, key: &Key, about: Bytes, version: UpdateVersion) -> Lease {
        let state = Arc::new(Renewed {
            objects: Arc::clone(&self.objects),
            key: key.clone(),
            about,
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

async fn put_lease(
    objects: &dyn ObjectStore,
    key: &Key,
    about: &Bytes,
    mode: PutMode,
) -> object_store::Result<Option<UpdateVersion>> {
    let payload = PutPayload::from_bytes(about.clone());
    match objects.put_opts(key, payload, PutOptions::from(mode)).await {
        Ok(put) => Ok(Some(UpdateVersion {
            e_tag: put.e_tag,
            version: put.version,
        })),
        Err(
            object_store::Error::AlreadyExists { .. }
            | object_store::Error::Precondition { .. }
            | object_store::Error::NotFound { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
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
    about: Bytes,
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
        match put_lease(&*self.objects, &self.key, &self.about, mode).await {
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
        if let Some(version) = self.write(key, &about, PutMode::Create).await? {
            return Ok(Some(self.holding(key, about, version)));
        }
        let Some(meta) = super::head(self, key).await? else {
            return Ok(None);
        };
        if !self.is_dead(&meta, self.now().await?) {
            return Ok(None);
        }
        let mode = PutMode::Update(version_of(&meta));
        let taken = self.write(key, &about, mode).await?;
        Ok(taken.map(|version| self.holding(key, about, version)))
    }

    async fn dead_leases(&self, prefix: &Key) -> LakeResult<Vec<(Bytes, Lease)>> {
        let leases: Vec<ObjectMeta> = all(self, prefix).await?;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now().await?;
        let mut dead = Vec::new();
        for meta in leases.iter().filter(|meta| self.is_dead(meta, now)) {
            let Some(about) = get(self, &meta.location).await? else {
                continue;
            };
            let mode = PutMode::Update(version_of(meta));
            if let Some(version) = self.write(&meta.location, &about, mode).await? {
                let lease = self.holding(&meta.location, about.clone(), version);
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
    use crate::lake::storage::names;

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
        let version = hasty
            .write(&name, &"a".into(), PutMode::Create)
            .await
            .unwrap();
        let slow = Renewed {
            objects: Arc::clone(&objects) as _,
            key: name.clone(),
            about: "a".into(),
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
        replace(&bucket, &note, "raw/t".into()).await.unwrap();
        bucket.finish_deletions().await.unwrap();
        let left = all(&bucket, &key("")).await.unwrap();
        assert_eq!(
            left.iter().map(|meta| &meta.location).collect::<Vec<_>>(),
            [&other]
        );
    }
}
