//! Where a lakehouse keeps its objects: the only thing between the lake and a disk or a bucket.
//!
//! Promise: names are keys relative to the lakehouse; what a put or a finished upload acknowledges is
//! durable; `PutMode::Create` puts an object only where there is none; a lease has one holder, and
//! what a dead holder leaves is taken over by one process. It knows no table and no log.
//! Read next: `local.rs` (a folder), `bucket.rs` (any object store), `lease.rs`, `remote.rs`, `objects.rs` (what both share).

mod bucket;
#[cfg(test)]
mod faults;
mod lease;
mod local;
mod objects;
mod remote;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::ObjectStore;
use url::Url;

use super::error::LakeResult;

pub(crate) use bucket::Bucket;
#[cfg(test)]
pub(crate) use faults::{Fault, FaultyObjects, Ignored};
pub(crate) use local::LocalFolder;
pub(crate) use objects::{
    Key, absent, all, child, get, get_json, head, key, names, objects_below, put_json, remove,
};
pub(crate) use remote::{is_bucket, open as open_bucket};

/// The objects of one lakehouse.
#[async_trait]
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// The objects, by key below the lakehouse.
    fn objects(&self) -> Arc<dyn ObjectStore>;

    /// The objects by the path of their URL (see `url`).
    fn absolute(&self) -> Arc<dyn ObjectStore>;

    /// The URL of a prefix, with `/` at its end.
    fn url(&self, prefix: &Key) -> LakeResult<Url>;

    /// Where a person finds an object: a path on this machine, or a URL without credentials.
    fn address(&self, key: &Key) -> String;

    /// True when a put or a deletion that was given up may still be carried out.
    fn lands_late(&self) -> bool;

    /// After which time a holder of a lease that was killed is known to be dead; `None` for at once.
    fn dead_after(&self) -> Option<Duration>;

    /// Takes a lease and stores with it what it is for; `None` when somebody holds it.
    async fn lease(&self, key: &Key, kind: LeaseKind, about: Bytes) -> LakeResult<Option<Lease>>;

    /// The leases below a prefix that are held, by dead holders too: their names and what they are for.
    async fn leases(&self, prefix: &Key) -> LakeResult<Vec<(String, Bytes)>>;

    /// Leases below a prefix whose holders are dead, with what they were for. They are taken over, so
    /// that only one process clears up after each.
    async fn dead_leases(&self, prefix: &Key) -> LakeResult<Vec<(Bytes, Lease)>>;

    /// Deletes everything below a prefix; false while somebody else is doing so. What a crash leaves is
    /// deleted by `finish_deletions`.
    async fn delete_prefix(&self, prefix: &Key) -> LakeResult<bool>;

    /// True while a call of `delete_prefix` for this prefix goes on, or was cut off.
    async fn is_deleting(&self, prefix: &Key) -> LakeResult<bool>;

    /// Deletes what an earlier call left below this prefix; false while that call goes on. Nothing
    /// may be put there before.
    async fn finish_deletion(&self, prefix: &Key) -> LakeResult<bool>;

    /// Deletes what earlier calls of `delete_prefix` could not finish.
    async fn finish_deletions(&self) -> LakeResult<()>;

    /// Makes an object durable whose put did not answer.
    async fn make_durable(&self, key: &Key) -> LakeResult<()>;

    /// What puts right below a prefix left behind, and what they have not finished yet.
    async fn unfinished(&self, prefix: &Key) -> LakeResult<Vec<Unfinished>>;

    /// Deletes one of them.
    async fn delete_unfinished(&self, prefix: &Key, name: &str) -> LakeResult<()>;
}

/// A file that has not got its final name: its writer died, or is not known to live.
#[derive(Debug)]
pub(crate) struct Unfinished {
    /// Its name below the prefix.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was last written.
    pub(crate) changed: SystemTime,
    /// True when its writer is known to be gone.
    pub(crate) writer_is_gone: bool,
}

/// The storage of a lakehouse, shared.
pub(crate) type StorageRef = Arc<dyn Storage>;

/// Who may take the key of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseKind {
    /// One holder, and who clears up after it.
    Own,
    /// One after the other.
    Shared,
}

/// A lease of this process. Dropped without `release`, it stays and says that its holder is dead.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Box<dyn HeldLease>,
}

impl Lease {
    fn new(held: impl HeldLease + 'static) -> Self {
        Self {
            held: Box::new(held),
        }
    }

    /// True while nobody else can have taken it over.
    pub(crate) fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// Asks the storage whether it is held, and stores with it what it is for from now on; false when
    /// somebody else has it.
    pub(crate) async fn confirm(&self, about: Bytes) -> LakeResult<bool> {
        self.held.confirm(about).await
    }

    /// Says that its holder is dead: what it is for was not finished.
    async fn abandon(&self) -> LakeResult<()> {
        self.held.abandon().await
    }

    /// Gives it back, if it is held.
    pub(crate) async fn release(&self) -> LakeResult<()> {
        self.held.release().await
    }
}

/// How a storage holds a lease.
#[async_trait]
trait HeldLease: fmt::Debug + Send + Sync {
    fn is_held(&self) -> bool;
    async fn confirm(&self, about: Bytes) -> LakeResult<bool>;
    async fn abandon(&self) -> LakeResult<()>;
    async fn release(&self) -> LakeResult<()>;
}
