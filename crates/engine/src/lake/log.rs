//! The log of a table on local disk, whose entries are durable before anyone can see them.
//!
//! The Delta library links an entry into the log without syncing it: after a power cut a visible
//! version could be empty. Here the bytes are synced first, linked under a name that must be free
//! (which decides who wins), then the name is synced. Checkpoints are durable likewise (`store.rs`).
//! All else is the library's own log store.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::Version;
use deltalake_core::kernel::transaction::TransactionError;
use deltalake_core::logstore::{CommitOrBytes, LogStore, LogStoreConfig, LogStoreRef};
use object_store::ObjectStore;
use uuid::Uuid;

use super::error::LakeResult;
use super::folder::{self, LOG, failed};
use super::store::TableStore;

/// How names of entries that were not yet linked begin and end.
pub(crate) const UNLINKED: (&str, &str) = ("_commit_", ".json.tmp");

/// The library's log store with durable entries.
pub(crate) struct DurableLog {
    inner: LogStoreRef,
    folder: PathBuf,
}

impl DurableLog {
    /// Over the log of the table in this folder.
    pub(crate) fn over(inner: LogStoreRef, table: &Path) -> Self {
        Self {
            inner,
            folder: table.join(LOG),
        }
    }

    fn durable(&self, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(TableStore::over(store, self.folder.clone()))
    }
}

/// Puts an entry; false when its version is taken.
fn put(log: &Path, version: Version, entry: &[u8], operation: Uuid) -> LakeResult<bool> {
    folder::create_folder(log)?;
    let (begin, end) = UNLINKED;
    let unlinked = log.join(format!("{begin}{}{end}", operation.simple()));
    let path = log.join(format!("{version:020}.json"));
    let written = File::create(&unlinked).and_then(|mut file| {
        file.write_all(entry)?;
        file.sync_all()
    });
    fail::fail_point!("lake::before_link");
    let linked = written.and_then(|()| fs::hard_link(&unlinked, &path));
    // Left behind it is swept; it is no reason to fail.
    let _ = fs::remove_file(&unlinked);
    match linked {
        Ok(()) => folder::sync_folder(log).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed("writing", &path)(error)),
    }
}

#[async_trait]
impl LogStore for DurableLog {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn refresh(&self) -> Result<(), DeltaTableError> {
        self.inner.refresh().await
    }

    async fn read_commit_entry(&self, version: Version) -> Result<Option<Bytes>, DeltaTableError> {
        self.inner.read_commit_entry(version).await
    }

    async fn write_commit_entry(
        &self,
        version: Version,
        entry: CommitOrBytes,
        operation: Uuid,
    ) -> Result<(), TransactionError> {
        let CommitOrBytes::LogBytes(bytes) = entry else {
            return self
                .inner
                .write_commit_entry(version, entry, operation)
                .await;
        };
        let log = self.folder.clone();
        match folder::blocking(move || put(&log, version, &bytes, operation)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(TransactionError::VersionAlreadyExists(version)),
            Err(error) => Err(TransactionError::LogStoreError {
                msg: error.to_string(),
                source: Box::new(error),
            }),
        }
    }

    async fn abort_commit_entry(
        &self,
        version: Version,
        entry: CommitOrBytes,
        operation: Uuid,
    ) -> Result<(), TransactionError> {
        self.inner
            .abort_commit_entry(version, entry, operation)
            .await
    }

    async fn get_latest_version(&self, from: Version) -> Result<Version, DeltaTableError> {
        self.inner.get_latest_version(from).await
    }

    fn object_store(&self, operation: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.durable(self.inner.object_store(operation))
    }

    fn root_object_store(&self, operation: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.durable(self.inner.root_object_store(operation))
    }

    fn config(&self) -> &LogStoreConfig {
        self.inner.config()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_first_entry_of_a_version_wins_and_nothing_else_stays() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("t").join(LOG);
        assert!(put(&log, 7, b"first", Uuid::new_v4()).unwrap());
        assert!(!put(&log, 7, b"second", Uuid::new_v4()).unwrap());
        let name = "00000000000000000007.json";
        assert_eq!(folder::names(&log).unwrap(), [name]);
        assert_eq!(fs::read(log.join(name)).unwrap(), b"first");
    }
}
