//! A lakehouse in any object store that knows conditional puts.
//!
//! A lease (`lease.rs`) is dead when its holder has not written it for `DEAD_AFTER` on the store's own
//! clock; whoever takes it over replaces it under the same condition, so only one process does. A holder that
//! is only slow has stopped by itself long before. Before the first lease the store must show that it obeys
//! the conditions of a put (`prove`). A request that was given up may still be carried out, at any time:
//! whoever puts or deletes something must be right even then. Read next: `lease.rs`, then `mod.rs`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use towpath_buckets::Unproved;
use url::Url;

use super::lease::{self, Body, is_free, version_of};
use super::objects::{all, failed, get, remove, replace};
use super::{Key, Lease, LeaseKind, Storage, Unfinished, child, key};
use crate::lake::error::{LakeError, LakeResult};
use crate::lake::names::{LOG, OWN};

/// A holder that has not written its lease for this long is dead. A request is signed while its lease is
/// held, and services refuse signatures that are 15 minutes old: what a dead holder sent does not land any
/// more.
const DEAD_AFTER: Duration = Duration::from_secs(1_200);
/// Objects that are deleted before the lease is looked at again.
const DELETED_AT_ONCE: usize = 500;

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

    /// Finds out whether the store obeys the conditions of a put.
    async fn prove(&self) -> LakeResult<()> {
        let probes = key(&format!("{OWN}/probe"));
        match towpath_buckets::prove(self.objects.as_ref(), &probes).await {
            Ok(_) => Ok(()),
            Err(Unproved::Condition(what)) => Err(LakeError::Unconditional {
                address: self.url.to_string(),
                what,
            }),
            Err(Unproved::Request { doing, key, source }) => Err(failed(self, doing, &key)(source)),
        }
    }

    /// The same with another time after which a holder is dead.
    #[cfg(test)]
    pub(crate) fn dead_after(self, dead_after: Duration) -> Self {
        Self { dead_after, ..self }
    }

    /// What the store's clock shows, by an object that is put there.
    async fn now(&self) -> LakeResult<SystemTime> {
        let clock = key(&format!("{OWN}/clock"));
        replace(self, &clock, Bytes::new()).await?;
        let meta = self.objects.head(&clock).await;
        let meta = meta.map_err(failed(self, "reading", &clock))?;
        Ok(SystemTime::from(meta.last_modified))
    }

    fn is_dead(&self, meta: &ObjectMeta, now: SystemTime) -> bool {
        let written = SystemTime::from(meta.last_modified);
        now.duration_since(written)
            .is_ok_and(|passed| passed >= self.dead_after)
    }

    /// Takes a lease under a condition; `None` when it does not hold.
    async fn take(
        &self,
        key: &Key,
        kind: LeaseKind,
        (body, mode): (Body, PutMode),
    ) -> LakeResult<Option<Lease>> {
        let how = (mode, self.address(key));
        let taken = lease::take(&self.objects, (key, kind), body, how).await;
        taken.map_err(failed(self, "writing", key))
    }

    /// True when a lease that is not free was left by its holder.
    async fn is_left(&self, key: &Key, meta: &ObjectMeta) -> LakeResult<bool> {
        if self.is_dead(meta, self.now().await?) {
            return Ok(true);
        }
        // The key in the metadata of one object may be that of the whole bucket.
        let stored = get(self, key).await?;
        Ok(
            stored
                .is_some_and(|stored| Body::read(&stored).is_some_and(|body| body.is_abandoned())),
        )
    }

    fn deletion(&self, prefix: &Key) -> Key {
        let digest = Sha256::digest(prefix.as_ref().as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        child(&dropped(), &format!("{name}.json"))
    }

    /// Deletes what is below a prefix, for as long as the lease for it is held.
    async fn delete_below(&self, prefix: &Key, lease: &Lease) -> LakeResult<()> {
        let found = all(self, prefix).await?.into_iter();
        let (mut log, others): (Vec<Key>, Vec<Key>) = found
            .map(|object| object.location)
            .partition(|key| key.prefix_matches(&child(prefix, LOG)));
        for some in others.chunks(DELETED_AT_ONCE) {
            self.delete(some, (prefix, lease)).await?;
        }
        // The log goes last and its newest entry before the others: until the last one is gone, the
        // table can be opened, and is known by its id to be the one that is dropped.
        log.sort_by(|a, b| b.as_ref().cmp(a.as_ref()));
        for key in log {
            self.delete(&[key], (prefix, lease)).await?;
        }
        Ok(())
    }

    async fn delete(&self, keys: &[Key], (prefix, lease): (&Key, &Lease)) -> LakeResult<()> {
        if !lease.is_held() {
            return Err(LakeError::LeaseLost {
                table: prefix.to_string(),
            });
        }
        let located: Vec<_> = keys.iter().cloned().map(Ok).collect();
        let mut deleted = self.objects.delete_stream(stream::iter(located).boxed());
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Err(error) if !super::absent(&error) => {
                    return Err(failed(self, "deleting", prefix)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes what is below a prefix, and ends the lease for it.
    async fn delete_held(&self, prefix: &Key, lease: Lease) -> LakeResult<()> {
        match self.delete_below(prefix, &lease).await {
            Ok(()) => lease.release().await,
            Err(error) => {
                if let Err(source) = lease.abandon().await {
                    tracing::debug!(error = %source, "a lease stays until its holder counts as dead");
                }
                Err(error)
            }
        }
    }
}

fn dropped() -> Key {
    key(&format!("{OWN}/dropped"))
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

    fn lands_late(&self) -> bool {
        true
    }

    fn dead_after(&self) -> Option<Duration> {
        Some(self.dead_after)
    }

    async fn lease(&self, key: &Key, kind: LeaseKind, about: Bytes) -> LakeResult<Option<Lease>> {
        self.proved.get_or_try_init(|| self.prove()).await?;
        let body = Body::new(about);
        let first = (body.clone(), PutMode::Create);
        if let Some(lease) = self.take(key, kind, first).await? {
            return Ok(Some(lease));
        }
        let Some(meta) = super::head(self, key).await? else {
            return Ok(None);
        };
        if !is_free(meta.size) && !self.is_left(key, &meta).await? {
            return Ok(None);
        }
        let mode = PutMode::Update(version_of(&meta));
        self.take(key, kind, (body, mode)).await
    }

    async fn leases(&self, prefix: &Key) -> LakeResult<Vec<(String, Bytes)>> {
        let mut leases = Vec::new();
        for meta in all(self, prefix).await? {
            let name = meta.location.filename().map(str::to_owned);
            let (Some(name), false) = (name, is_free(meta.size)) else {
                continue;
            };
            let stored = get(self, &meta.location).await?;
            let body = stored.and_then(|stored| Body::read(&stored));
            leases.extend(body.map(|body| (name, body.about().clone())));
        }
        Ok(leases)
    }

    async fn dead_leases(&self, prefix: &Key) -> LakeResult<Vec<(Bytes, Lease)>> {
        let leases: Vec<ObjectMeta> = all(self, prefix).await?;
        if leases.iter().all(|meta| is_free(meta.size)) {
            return Ok(Vec::new());
        }
        let kind = match *prefix == dropped() {
            true => LeaseKind::Shared,
            false => LeaseKind::Own,
        };
        let now = self.now().await?;
        let mut dead = Vec::new();
        for meta in leases.iter().filter(|meta| self.is_dead(meta, now)) {
            if is_free(meta.size) {
                if kind == LeaseKind::Own {
                    remove(self, &meta.location).await?;
                }
                continue;
            }
            // A listing may write the ETag and the time of an object in another way than the object itself.
            let held = super::head(self, &meta.location).await?;
            let Some(held) = held.filter(|held| !is_free(held.size) && self.is_dead(held, now))
            else {
                continue;
            };
            let Some(stored) = get(self, &meta.location).await? else {
                continue;
            };
            let about = Body::read(&stored).map_or(Bytes::new(), |body| body.about().clone());
            // Only if nobody has written it since.
            let mode = PutMode::Update(version_of(&held));
            let body = Body::new(about.clone());
            let taken = self.take(&meta.location, kind, (body, mode)).await?;
            dead.extend(taken.map(|lease| (about, lease)));
        }
        Ok(dead)
    }

    async fn delete_prefix(&self, prefix: &Key) -> LakeResult<bool> {
        let about = Bytes::from(prefix.to_string());
        let deletion = self.deletion(prefix);
        let Some(lease) = self.lease(&deletion, LeaseKind::Shared, about).await? else {
            return Ok(false);
        };
        self.delete_held(prefix, lease).await?;
        Ok(true)
    }

    async fn is_deleting(&self, prefix: &Key) -> LakeResult<bool> {
        let note = super::head(self, &self.deletion(prefix)).await?;
        Ok(note.is_some_and(|note| !is_free(note.size)))
    }

    async fn finish_deletion(&self, prefix: &Key) -> LakeResult<bool> {
        match self.is_deleting(prefix).await? {
            true => self.delete_prefix(prefix).await,
            false => Ok(true),
        }
    }

    async fn finish_deletions(&self) -> LakeResult<()> {
        for (prefix, lease) in self.dead_leases(&dropped()).await? {
            let prefix = String::from_utf8_lossy(&prefix);
            if prefix.is_empty() {
                continue;
            }
            self.delete_held(&key(&prefix), lease).await?;
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
    use object_store::prefix::PrefixStore;

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
        let held = patient
            .lease(&name, LeaseKind::Own, "what".into())
            .await
            .unwrap()
            .unwrap();
        assert!(held.is_held());
        assert!(
            patient
                .lease(&name, LeaseKind::Own, "other".into())
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
    }

    #[tokio::test]
    async fn nothing_is_put_where_somebody_deletes() {
        let objects = Arc::new(InMemory::new());
        let bucket = bucket(&objects, DEAD_AFTER);
        let table = key("raw/t");
        assert!(bucket.finish_deletion(&table).await.unwrap());
        let deleting = bucket
            .lease(&bucket.deletion(&table), LeaseKind::Shared, "raw/t".into())
            .await;
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
        let body = Body::new("raw/t".into()).bytes();
        replace(&bucket, &note, body).await.unwrap();
        bucket.finish_deletions().await.unwrap();
        let left = all(&bucket, &key("")).await.unwrap();
        assert_eq!(
            left.iter()
                .map(|meta| &meta.location)
                .filter(|key| !key.as_ref().starts_with(OWN))
                .collect::<Vec<_>>(),
            [&other]
        );
    }

    #[tokio::test]
    async fn a_lease_that_was_given_back_or_abandoned_is_free_at_once() {
        let objects = PrefixStore::new(InMemory::new(), "prod");
        let url = Url::parse("memory://lake/prod/").unwrap();
        let bucket = Bucket::over(Arc::new(objects), url);
        let (name, kind) = (key("care/t.json"), LeaseKind::Shared);
        let take = || bucket.lease(&name, kind, "a".into());
        let first = take().await.unwrap().unwrap();
        assert!(take().await.unwrap().is_none());
        first.release().await.unwrap();
        let second = take().await.unwrap().unwrap();
        first.release().await.unwrap();
        assert!(take().await.unwrap().is_none(), "it is of another holder");
        second.abandon().await.unwrap();
        assert!(take().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn who_lost_the_lease_deletes_nothing_more() {
        let objects = Arc::new(InMemory::new());
        let (bucket, hasty) = (
            bucket(&objects, DEAD_AFTER),
            bucket(&objects, Duration::ZERO),
        );
        let table = key("raw/t");
        replace(&bucket, &key("raw/t/part-1"), "x".into())
            .await
            .unwrap();
        let (note, kind) = (bucket.deletion(&table), LeaseKind::Shared);
        let slow = bucket.lease(&note, kind, "raw/t".into()).await.unwrap();
        let slow = slow.unwrap();
        let taken = hasty.lease(&note, kind, "raw/t".into()).await.unwrap();
        assert!(!slow.confirm("raw/t".into()).await.unwrap());
        let error = bucket.delete_held(&table, slow).await.err().unwrap();
        assert!(matches!(error, LakeError::LeaseLost { .. }), "{error}");
        assert_eq!(all(&bucket, &table).await.unwrap().len(), 1);
        assert!(taken.is_some_and(|lease| lease.is_held()));
        assert!(bucket.is_deleting(&table).await.unwrap());
    }

    #[tokio::test]
    async fn a_store_that_ignores_conditions_gives_no_lease() {
        let url = || Url::parse("memory://lake/").unwrap();
        let obeys = Bucket::over(Arc::new(InMemory::new()), url()).proved_first();
        assert!(
            obeys
                .lease(&key("a"), LeaseKind::Own, "x".into())
                .await
                .unwrap()
                .is_some()
        );
        for ignored in [Ignored::Create, Ignored::Update] {
            let objects = FaultyObjects::over(Arc::new(InMemory::new())).ignoring(ignored);
            let bucket = Bucket::over(Arc::new(objects), url()).proved_first();
            let error = bucket
                .lease(&key("a"), LeaseKind::Own, "x".into())
                .await
                .err()
                .unwrap();
            assert!(matches!(error, LakeError::Unconditional { .. }), "{error}");
            assert!(all(&bucket, &key("")).await.unwrap().is_empty());
        }
    }
}
