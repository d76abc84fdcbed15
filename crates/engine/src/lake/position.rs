//! How far a source had been read, stored beside the table before the commit that names it.
//!
//! Each attempt writes its own file `_towpath/<app id>/<generation>.<attempt>.json`; the attempt whose
//! log entry won renames its own to `<generation>.json`. Two attempts of one generation can so never
//! overwrite each other's position. A crash between log entry and rename is settled from the log,
//! where the winner's commit info names its attempt.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use towpath_ports::{Committed, PreparedStats};
use towpath_vocab::{Generation, TaskKey, Token};

use super::error::{LakeError, LakeResult};
use super::folder::{self, OWN};

/// Version of the stored form.
const VERSION: u32 = 1;
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
    folder: PathBuf,
}

impl Positions {
    /// Of this task beside this table.
    pub(crate) fn of(table: &Path, app_id: &str) -> Self {
        Self {
            folder: table.join(OWN).join(folder::app_folder(app_id)),
        }
    }

    /// Stores the position of an attempt, durably.
    pub(crate) fn put(&self, stored: &Stored) -> LakeResult<()> {
        folder::put_json(
            &self.attempt_path(stored.token.generation, &stored.attempt),
            stored,
        )
    }

    /// Forgets an attempt that did not win.
    pub(crate) fn forget(&self, generation: Generation, attempt: &str) -> LakeResult<()> {
        folder::remove(&self.attempt_path(generation, attempt))
    }

    /// Makes the winning attempt's position the generation's, and drops what is no longer needed.
    pub(crate) fn settle(&self, generation: Generation, attempt: &str) -> LakeResult<()> {
        let (from, to) = (
            self.attempt_path(generation, attempt),
            self.path(generation),
        );
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && to.exists() => {}
            Err(error) => return Err(folder::failed("writing", &to)(error)),
            Ok(()) => folder::sync_folder(&self.folder)?,
        }
        let mut settled: Vec<i64> = folder::names(&self.folder)?
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        settled.retain(|other| *other < generation.0);
        settled.sort_unstable();
        let old = settled.len().saturating_sub(KEPT);
        settled
            .iter()
            .take(old)
            .try_for_each(|other| folder::remove(&self.path(Generation(*other))))
    }

    /// The settled position of a generation.
    pub(crate) fn settled(&self, generation: Generation) -> LakeResult<Option<Stored>> {
        read(&self.path(generation))
    }

    /// The settled positions that are kept, oldest first.
    pub(crate) fn all(&self) -> LakeResult<Vec<Stored>> {
        let mut settled: Vec<i64> = folder::names(&self.folder)?
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        settled.sort_unstable();
        settled
            .into_iter()
            .filter_map(|generation| self.settled(Generation(generation)).transpose())
            .collect()
    }

    /// Attempts of a generation that were not settled.
    pub(crate) fn attempts(&self, generation: Generation) -> LakeResult<Vec<Stored>> {
        let prefix = format!("{generation}.");
        let names = folder::names(&self.folder)?;
        let attempts = names
            .iter()
            .filter(|name| name.starts_with(&prefix) && **name != format!("{generation}.json"));
        attempts
            .filter_map(|name| read(&self.folder.join(name)).transpose())
            .collect()
    }

    fn path(&self, generation: Generation) -> PathBuf {
        self.folder.join(format!("{generation}.json"))
    }

    fn attempt_path(&self, generation: Generation, attempt: &str) -> PathBuf {
        self.folder.join(format!("{generation}.{attempt}.json"))
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
pub(crate) fn tasks(table: &Path) -> LakeResult<Vec<TaskKey>> {
    let home = table.join(OWN);
    let mut tasks = Vec::new();
    for app in folder::names(&home)? {
        for name in folder::names(&home.join(&app))? {
            if !name.ends_with(".json") || name.starts_with('.') {
                continue;
            }
            if let Some(stored) = read(&home.join(&app).join(name))? {
                tasks.push(stored.token.task);
                break;
            }
        }
    }
    Ok(tasks)
}

fn read(path: &Path) -> LakeResult<Option<Stored>> {
    let Some(stored) = folder::get_json::<Stored>(path)? else {
        return Ok(None);
    };
    if stored.version > VERSION {
        return Err(LakeError::Stored {
            path: path.to_path_buf(),
            why: format!(
                "it has version {}, this Towpath reads up to {VERSION}",
                stored.version
            ),
        });
    }
    Ok(Some(stored))
}
