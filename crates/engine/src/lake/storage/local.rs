//! A lakehouse in a folder of this machine, as durable as its disk.
//!
//! Promise: bytes are synced before an object has its name, the name before a put returns, and every
//! new folder on the way to it. `PutMode::Create` is a link to a name that must be free, which decides
//! who wins. A lease is a file locked by the operating system: it is free as soon as its process is
//! gone, however that ended. Read next: `disk.rs`, which does all of this without async.

mod disk;
mod lock;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};
use url::Url;

use super::{Key, Lease, LeaseKind, Storage, Unfinished};
use crate::lake::error::{LakeError, LakeResult};
use crate::lake::names::OWN;

/// A folder.
#[derive(Debug)]
pub(crate) struct LocalFolder {
    root: PathBuf,
    files: Arc<DurableFiles>,
    objects: Arc<dyn ObjectStore>,
}

impl LocalFolder {
    /// Names a folder by any path; touches nothing.
    ///
    /// # Errors
    /// `Io` when the present folder cannot be asked where a relative path leads.
    pub(crate) fn at(path: &Path) -> LakeResult<Self> {
        let root = std::path::absolute(path)
            .and_then(|path| disk::without_parents(&path))
            .map_err(disk::failed("opening", path))?;
        let prefix = Key::from_absolute_path(&root).map_err(|_| LakeError::Location {
            location: root.display().to_string(),
        })?;
        let files = Arc::new(DurableFiles::default());
        Ok(Self {
            root,
            objects: Arc::new(PrefixStore::new(Arc::clone(&files), prefix)),
            files,
        })
    }

    fn path(&self, key: &Key) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(key.parts().map(|part| part.as_ref().to_owned()));
        path
    }
}

#[async_trait]
impl Storage for LocalFolder {
    fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    fn absolute(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.files) as _
    }

    fn url(&self, prefix: &Key) -> LakeResult<Url> {
        Url::from_directory_path(self.path(prefix)).map_err(|()| LakeError::Location {
            location: self.address(prefix),
        })
    }

    fn address(&self, key: &Key) -> String {
        self.path(key).display().to_string()
    }

    fn lands_late(&self) -> bool {
        false
    }

    fn dead_after(&self) -> Option<Duration> {
        None
    }

    async fn lease(&self, key: &Key, _kind: LeaseKind, about: Bytes) -> LakeResult<Option<Lease>> {
        let path = self.path(key);
        let locked = disk::blocking(move || lock::take(&path, &about)).await?;
        Ok(locked.map(Lease::new))
    }

    async fn leases(&self, prefix: &Key) -> LakeResult<Vec<(String, Bytes)>> {
        let mut leases = Vec::new();
        for name in super::names(self, prefix).await? {
            if name.starts_with('_') {
                continue;
            }
            let about = super::get(self, &super::child(prefix, &name)).await?;
            leases.extend(about.map(|about| (name, about)));
        }
        Ok(leases)
    }

    async fn dead_leases(&self, prefix: &Key) -> LakeResult<Vec<(Bytes, Lease)>> {
        let folder = self.path(prefix);
        let dead = disk::blocking(move || lock::take_dead(&folder)).await?;
        Ok(dead
            .into_iter()
            .map(|(about, locked)| (about, Lease::new(locked)))
            .collect())
    }

    async fn delete_prefix(&self, prefix: &Key) -> LakeResult<bool> {
        let (folder, away) = (self.path(prefix), self.root.join(OWN).join("dropped"));
        disk::blocking(move || disk::delete_folder(&folder, &away)).await?;
        Ok(true)
    }

    async fn is_deleting(&self, _prefix: &Key) -> LakeResult<bool> {
        Ok(false)
    }

    async fn finish_deletion(&self, _prefix: &Key) -> LakeResult<bool> {
        // One rename took it all away.
        Ok(true)
    }

    async fn finish_deletions(&self) -> LakeResult<()> {
        let away = self.root.join(OWN).join("dropped");
        disk::blocking(move || disk::delete_moved(&away)).await
    }

    async fn make_durable(&self, key: &Key) -> LakeResult<()> {
        let path = self.path(key);
        disk::blocking(move || disk::sync_named(&path)).await
    }

    async fn unfinished(&self, prefix: &Key) -> LakeResult<Vec<Unfinished>> {
        let folder = self.path(prefix);
        disk::blocking(move || disk::unfinished(&folder)).await
    }

    async fn delete_unfinished(&self, prefix: &Key, name: &str) -> LakeResult<()> {
        let path = self.path(prefix).join(name);
        disk::blocking(move || disk::remove(&path)).await
    }
}

/// The files of this machine, by absolute path, written durably. Reading is the library's.
#[derive(Debug, Default)]
struct DurableFiles {
    inner: LocalFileSystem,
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableFiles")
    }
}

fn refused(error: LakeError) -> object_store::Error {
    let path = match &error {
        LakeError::Io { path, .. } => path.display().to_string(),
        _ => String::new(),
    };
    let exists = matches!(&error, LakeError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists);
    let source = Box::new(error);
    match exists {
        true => object_store::Error::AlreadyExists { path, source },
        false => object_store::Error::Generic {
            store: "a local folder",
            source,
        },
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let path = self.inner.path_to_filesystem(location)?;
        let mode = match options.mode {
            PutMode::Overwrite => disk::Put::Replace,
            PutMode::Create => disk::Put::Create,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        disk::blocking(move || disk::put(&path, &payload, mode))
            .await
            .map_err(refused)?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let folder = path.clone();
        disk::blocking(move || folder.parent().map_or(Ok(()), disk::create_folder))
            .await
            .map_err(refused)?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload { inner, path }))
    }

    async fn get_opts(
        &self,
        location: &Key,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Key,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Key>,
        offset: &Key,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Key,
        to: &Key,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        disk::blocking(move || disk::sync_named(&path))
            .await
            .map_err(refused)
    }
}

/// An upload whose file is durable when it is complete.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let done = self.inner.complete().await?;
        let path = self.path.clone();
        disk::blocking(move || disk::sync_named(&path))
            .await
            .map_err(refused)?;
        Ok(done)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use object_store::ObjectStoreExt as _;

    use super::*;
    use crate::lake::storage::{child, key, names};

    #[tokio::test]
    async fn the_first_put_of_a_name_wins_and_nothing_else_stays() {
        let home = tempfile::tempdir().unwrap();
        let storage = LocalFolder::at(&home.path().join("new/lake")).unwrap();
        let name = key("raw/t~2e/_delta_log/00000000000000000007.json");
        let put = |text: &'static str, mode| {
            let (objects, name) = (storage.objects(), name.clone());
            async move {
                objects
                    .put_opts(&name, text.into(), PutOptions::from(mode))
                    .await
            }
        };
        put("first", PutMode::Create).await.unwrap();
        let second = put("second", PutMode::Create).await.unwrap_err();
        assert!(matches!(second, object_store::Error::AlreadyExists { .. }));
        let log = key("raw/t~2e/_delta_log");
        assert_eq!(
            names(&storage, &log).await.unwrap(),
            [name.filename().unwrap()]
        );
        let got = storage.objects().get(&name).await.unwrap();
        assert_eq!(got.bytes().await.unwrap(), "first");
        put("third", PutMode::Overwrite).await.unwrap();
        let raw = std::fs::read_dir(storage.path(&log)).unwrap().count();
        assert_eq!(raw, 1, "no unfinished file stays");
    }

    #[tokio::test]
    async fn a_lease_is_dead_only_when_nobody_holds_it_and_is_taken_over_once() {
        let home = tempfile::tempdir().unwrap();
        let storage = LocalFolder::at(home.path()).unwrap();
        let folder = key("_towpath/writers");
        let name = child(&folder, "a.json");
        let held = storage
            .lease(&name, LeaseKind::Own, "what".into())
            .await
            .unwrap()
            .unwrap();
        assert!(
            storage
                .lease(&name, LeaseKind::Own, "other".into())
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            storage.dead_leases(&folder).await.unwrap().is_empty(),
            "it lives"
        );
        drop(held);
        let dead = storage.dead_leases(&folder).await.unwrap();
        assert_eq!(dead.len(), 1);
        assert_eq!(dead.first().unwrap().0, "what");
        assert!(
            storage.dead_leases(&folder).await.unwrap().is_empty(),
            "somebody clears up"
        );
        dead.first().unwrap().1.release().await.unwrap();
        assert!(names(&storage, &folder).await.unwrap().is_empty());
        let again = storage
            .lease(&name, LeaseKind::Own, "again".into())
            .await
            .unwrap();
        assert!(again.is_some_and(|lease| lease.is_held()));
    }

    #[tokio::test]
    async fn a_deleted_prefix_is_out_of_sight_at_once() {
        let home = tempfile::tempdir().unwrap();
        let storage = LocalFolder::at(home.path()).unwrap();
        let name = key("raw/t/part-1.parquet");
        storage.objects().put(&name, "x".into()).await.unwrap();
        storage.delete_prefix(&key("raw/t")).await.unwrap();
        storage.delete_prefix(&key("raw/t")).await.unwrap();
        assert!(names(&storage, &key("raw")).await.unwrap().is_empty());
        let away = home.path().join(OWN).join("dropped/left");
        std::fs::create_dir_all(&away).unwrap();
        storage.finish_deletions().await.unwrap();
        assert!(!away.exists());
    }
}
