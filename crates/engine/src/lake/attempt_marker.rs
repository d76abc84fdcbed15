//! Who writes now: each attempt holds a lease `_towpath/writers/<attempt>.json` of the lakehouse.
//!
//! A lease whose holder is dead says which table it wrote, so that its leftovers are found without
//! reading any log, and which version it may have put. It deletes nothing but leases. Read next: `sweep.rs`.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::names::{OWN, object_of};
use super::storage::{Key, Lease, LeaseKind, StorageRef, child, key};

/// Version of the stored form.
const VERSION: u32 = 1;

/// What an attempt writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    version: u32,
    pub(crate) attempt: String,
    pub(crate) table: TableName,
    /// The version of the table it started from.
    pub(crate) base: Option<u64>,
    /// The version it puts, from when it may be on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commits: Option<u64>,
}

impl About {
    pub(crate) fn new(attempt: &str, table: &TableName, base: Option<u64>) -> Self {
        Self {
            version: VERSION,
            attempt: attempt.to_owned(),
            table: table.clone(),
            base,
            commits: None,
        }
    }

    /// The same for an attempt that puts this version.
    pub(crate) fn committing(self, version: u64) -> Self {
        Self {
            commits: Some(version),
            ..self
        }
    }

    fn text(&self) -> LakeResult<Bytes> {
        let text = serde_json::to_vec(self);
        let text = text.map_err(|_| LakeError::Misuse("what an attempt writes is plain data"))?;
        Ok(text.into())
    }
}

/// The marker of an attempt of this process. Dropped it stays, and says that the attempt is dead.
#[derive(Clone, Debug)]
pub(crate) struct AttemptMarker {
    lease: Arc<Lease>,
    about: About,
}

impl AttemptMarker {
    /// Says that an attempt begins.
    pub(crate) async fn set(storage: &StorageRef, about: &About) -> LakeResult<Self> {
        let name = child(&writers(), &format!("{}.json", about.attempt));
        let lease = storage.lease(&name, LeaseKind::Own, about.text()?).await?;
        let lease = lease.ok_or(LakeError::Misuse("two attempts have one name"))?;
        Ok(Self {
            lease: Arc::new(lease),
            about: about.clone(),
        })
    }

    /// Says that the attempt puts this version into the log from now on. Asks the storage whether it
    /// still holds its lease; false when others may have deleted its files.
    pub(crate) async fn commits(&self, version: u64) -> LakeResult<bool> {
        let about = self.about.clone().committing(version);
        self.lease.confirm(about.text()?).await
    }

    /// False when others may take the attempt for dead: it must not commit any more.
    pub(crate) fn is_held(&self) -> bool {
        self.lease.is_held()
    }

    /// The attempt has ended and left nothing behind.
    pub(crate) async fn lift(&self) {
        if let Err(error) = self.lease.release().await {
            tracing::debug!(%error, "a writer's marker stays until the next write");
        }
    }
}

/// The marker of an attempt whose process is gone; held, so that only one process clears up after it.
pub(crate) struct Dead {
    pub(crate) about: About,
    marker: AttemptMarker,
}

impl Dead {
    /// Whether nobody else can have taken it over.
    ///
    /// # Errors
    /// `LeaseLost`: nothing more may be deleted.
    pub(crate) fn check(&self) -> LakeResult<()> {
        match self.marker.is_held() {
            true => Ok(()),
            false => Err(LakeError::LeaseLost {
                table: self.about.table.to_string(),
            }),
        }
    }

    /// Everything it left is gone.
    pub(crate) async fn bury(self) {
        self.marker.lift().await;
    }
}

/// Attempts whose processes are gone.
pub(crate) async fn dead(storage: &StorageRef) -> LakeResult<Vec<Dead>> {
    let mut dead = Vec::new();
    for (text, lease) in storage.dead_leases(&writers()).await? {
        match serde_json::from_slice::<About>(&text) {
            Ok(about) if about.version <= VERSION => {
                let marker = AttemptMarker {
                    lease: Arc::new(lease),
                    about: about.clone(),
                };
                dead.push(Dead { about, marker });
            }
            Ok(_) => {}
            // A power cut took the text: what it wrote waits for `vacuum`.
            Err(_) => lease.release().await?,
        }
    }
    Ok(dead)
}

/// Attempts that are marked, dead or alive, with what they write.
pub(crate) async fn all(storage: &StorageRef) -> LakeResult<Vec<(String, Option<About>)>> {
    let mut marked = Vec::new();
    for (name, about) in storage.leases(&writers()).await? {
        let Some(attempt) = name.strip_suffix(".json") else {
            continue;
        };
        let about = serde_json::from_slice(&about).ok();
        marked.push((attempt.to_owned(), about));
    }
    Ok(marked)
}

/// True when an attempt, dead or alive, has said that it puts an entry into the log of a table.
pub(crate) async fn is_committing(storage: &StorageRef, table: &TableName) -> LakeResult<bool> {
    let marked = all(storage).await?;
    let mut abouts = marked.iter().filter_map(|(_, about)| about.as_ref());
    Ok(abouts.any(|about| about.table == *table && about.commits.is_some()))
}

/// Locks a table for maintenance; `None` when somebody has it.
pub(crate) async fn hold(storage: &StorageRef, table: &TableName) -> LakeResult<Option<Lease>> {
    let name = child(&key(&format!("{OWN}/care")), &object_of(table));
    let about = object_of(table).into();
    storage.lease(&name, LeaseKind::Shared, about).await
}

fn writers() -> Key {
    key(&format!("{OWN}/writers"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::lake::storage::LocalFolder;

    #[tokio::test]
    async fn a_mark_is_dead_only_when_nobody_holds_it_and_is_buried_once() {
        let home = tempfile::tempdir().unwrap();
        let storage: StorageRef = Arc::new(LocalFolder::at(home.path()).unwrap());
        let about = About::new("a1", &TableName::new("raw", "t"), Some(3));
        let marker = AttemptMarker::set(&storage, &about).await.unwrap();
        assert!(dead(&storage).await.unwrap().is_empty(), "it lives");
        drop(marker);
        let mut found = dead(&storage).await.unwrap();
        assert_eq!(found.len(), 1);
        assert!(
            dead(&storage).await.unwrap().is_empty(),
            "somebody clears up"
        );
        let only = found.pop().unwrap();
        assert_eq!(
            (only.about.attempt.as_str(), only.about.base),
            ("a1", Some(3))
        );
        only.bury().await;
        assert!(all(&storage).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_table_is_held_by_one() {
        let home = tempfile::tempdir().unwrap();
        let storage: StorageRef = Arc::new(LocalFolder::at(home.path()).unwrap());
        let (one, other) = (TableName::new("raw", "t"), TableName::new("raw", "u"));
        let held = hold(&storage, &one).await.unwrap();
        assert!(held.is_some());
        assert!(hold(&storage, &one).await.unwrap().is_none());
        assert!(hold(&storage, &other).await.unwrap().is_some());
        drop(held);
        assert!(hold(&storage, &one).await.unwrap().is_some());
    }
}
