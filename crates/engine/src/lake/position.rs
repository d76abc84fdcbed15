//! How far a source had been read, stored beside the table before the commit that names it.
//!
//! Promise: each attempt writes its own file `_towpath/<app id>/<generation>.<attempt>.json`; the attempt
//! whose log entry won makes its own the `<generation>.json`. Two attempts of one generation can so never
//! overwrite each other's position. A crash between the two is settled from the log, where the winner's
//! commit info names its attempt. Version 2 holds a typed token; version 1 is read. Read next: `commit.rs`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use towpath_ports::{Committed, PreparedStats};
use towpath_vocab::{Generation, TaskKey, Token};

use super::error::{LakeError, LakeResult};
use super::names::{self, OWN};
use super::storage::{
    Key, Storage, StorageRef, child, get_json, head, names as names_below, put_json, remove,
};
use super::table::Table;

/// Version of the stored form.
const VERSION: u32 = 2;
/// Positions kept behind the last one, so that a table set back to an older version still has its own.
const KEPT: usize = 32;

/// What is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    version: u32,
    attempt: String,
    table_version: u64,
    token: Token,
    stats: PreparedStats,
}

impl Stored {
    /// The position of an attempt that means to become `table_version`.
    pub(crate) fn new(
        attempt: &str,
        table_version: u64,
        token: Token,
        stats: PreparedStats,
    ) -> Self {
        Self {
            version: VERSION,
            attempt: attempt.to_owned(),
            table_version,
            token,
            stats,
        }
    }

    /// As the port says it.
    pub(crate) fn committed(self) -> Committed {
        Committed {
            token: self.token,
            version: format!("version {}", self.table_version),
            stats: self.stats,
        }
    }
}

/// The positions of one task beside one table.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    storage: StorageRef,
    prefix: Key,
}

impl Positions {
    /// Of this task beside this table.
    pub(crate) fn of(table: &Table, app_id: &str) -> Self {
        let own = child(&table.prefix, OWN);
        Self {
            storage: Arc::clone(&table.storage),
            prefix: child(&own, &names::app_part(app_id)),
        }
    }

    /// Stores the position of an attempt, durably.
    pub(crate) async fn put(&self, stored: &Stored) -> LakeResult<()> {
        let key = self.attempt_key(stored.token.generation, &stored.attempt);
        put_json(&*self.storage, &key, stored).await
    }

    /// Forgets an attempt that did not win.
    pub(crate) async fn forget(&self, generation: Generation, attempt: &str) -> LakeResult<()> {
        remove(&*self.storage, &self.attempt_key(generation, attempt)).await
    }

    /// Makes the winning attempt's position the generation's, and drops what is no longer needed.
    pub(crate) async fn settle(&self, generation: Generation, attempt: &str) -> LakeResult<()> {
        let (from, to) = (self.attempt_key(generation, attempt), self.key(generation));
        match read(&*self.storage, &from).await? {
            Some(won) => {
                put_json(&*self.storage, &to, &won).await?;
                remove(&*self.storage, &from).await?;
            }
            // Settled before.
            None if head(&*self.storage, &to).await?.is_some() => {}
            None => {
                return Err(LakeError::Stored {
                    address: self.storage.address(&from),
                    why: "it is gone".to_owned(),
                });
            }
        }
        let mut settled = self.generations().await?;
        settled.retain(|other| *other < generation.0);
        let old = settled.len().saturating_sub(KEPT);
        for other in settled.iter().take(old) {
            remove(&*self.storage, &self.key(Generation(*other))).await?;
        }
        Ok(())
    }

    /// The settled position of a generation.
    pub(crate) async fn settled(&self, generation: Generation) -> LakeResult<Option<Stored>> {
        read(&*self.storage, &self.key(generation)).await
    }

    /// The settled positions that are kept, oldest first.
    pub(crate) async fn all(&self) -> LakeResult<Vec<Stored>> {
        let mut all = Vec::new();
        for generation in self.generations().await? {
            all.extend(self.settled(Generation(generation)).await?);
        }
        Ok(all)
    }

    /// Attempts of a generation that were not settled.
    pub(crate) async fn attempts(&self, generation: Generation) -> LakeResult<Vec<Stored>> {
        let prefix = format!("{generation}.");
        let settled = format!("{generation}.json");
        let mut attempts = Vec::new();
        for name in names_below(&*self.storage, &self.prefix).await? {
            if name.starts_with(&prefix) && name != settled {
                attempts.extend(read(&*self.storage, &child(&self.prefix, &name)).await?);
            }
        }
        Ok(attempts)
    }

    /// Generations that are settled, in order.
    async fn generations(&self) -> LakeResult<Vec<i64>> {
        let names = names_below(&*self.storage, &self.prefix).await?;
        let numbers = names
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        let mut generations: Vec<i64> = numbers.collect();
        generations.sort_unstable();
        Ok(generations)
    }

    fn key(&self, generation: Generation) -> Key {
        child(&self.prefix, &format!("{generation}.json"))
    }

    fn attempt_key(&self, generation: Generation, attempt: &str) -> Key {
        child(&self.prefix, &format!("{generation}.{attempt}.json"))
    }
}

impl Stored {
    /// The attempt that wrote it.
    pub(crate) fn attempt(&self) -> &str {
        &self.attempt
    }

    /// Its generation.
    pub(crate) fn generation(&self) -> Generation {
        self.token.generation
    }

    /// Its task's id.
    pub(crate) fn app_id(&self) -> String {
        self.token.task.app_id()
    }
}

/// Every task that has stored a position beside this table.
pub(crate) async fn tasks(table: &Table) -> LakeResult<Vec<TaskKey>> {
    let (storage, own) = (&*table.storage, child(&table.prefix, OWN));
    let mut tasks = Vec::new();
    for app in names_below(storage, &own).await? {
        let app = child(&own, &app);
        for name in names_below(storage, &app).await? {
            if !name.ends_with(".json") || name.starts_with('.') {
                continue;
            }
            if let Some(stored) = read(storage, &child(&app, &name)).await? {
                tasks.push(stored.token.task);
                break;
            }
        }
    }
    Ok(tasks)
}

async fn read(storage: &dyn Storage, key: &Key) -> LakeResult<Option<Stored>> {
    let Some(stored) = get_json::<Stored>(storage, key).await? else {
        return Ok(None);
    };
    if stored.version > VERSION {
        return Err(LakeError::Stored {
            address: storage.address(key),
            why: format!(
                "it has version {}, and this version of Towpath reads up to {VERSION}",
                stored.version
            ),
        });
    }
    Ok(Some(stored))
}
