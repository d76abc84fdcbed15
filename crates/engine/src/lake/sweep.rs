//! Clears away what killed writers left behind: data files no version names, attempts that never won.
//!
//! Only files older than the given age go, so a write on its way loses nothing: choose an age above
//! the longest load. `sweep` leaves files that older versions hold; `vacuum` takes those too, once
//! they were removed from the table longer ago than the retention.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::error::LakeResult;
use super::folder::{self, LOG, OWN};
use super::log::UNLINKED;
use super::open::Lake;

/// What was, or would be, deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// Deletes orphans of a table that are older than `age`; with `dry_run` only lists them.
    pub async fn sweep(&self, name: &TableName, age: Duration, dry_run: bool) -> Result<Swept> {
        Ok(self.clear(name, age, false, dry_run).await?)
    }

    /// Deletes orphans and files of versions that ended longer ago than `retention`: those versions
    /// can no longer be read. With `dry_run` only lists them.
    pub async fn vacuum(
        &self,
        name: &TableName,
        retention: Duration,
        dry_run: bool,
    ) -> Result<Swept> {
        Ok(self.clear(name, retention, true, dry_run).await?)
    }

    async fn clear(
        &self,
        name: &TableName,
        age: Duration,
        removed_too: bool,
        dry_run: bool,
    ) -> LakeResult<Swept> {
        let table = self.table(name)?;
        let mut known: HashSet<PathBuf> = HashSet::new();
        if let Some(snapshot) = table.now().await? {
            known.extend(snapshot.files(&table).into_iter().map(|file| file.path));
            let mut tombstones = snapshot.state.all_tombstones(&table.log);
            while let Some(tombstone) = tombstones
                .try_next()
                .await
                .map_err(table.delta("reading the log of"))?
            {
                if !removed_too || !ended_before(tombstone.deletion_timestamp(), age) {
                    known.insert(table.file(&tombstone.path()));
                }
            }
        }
        let folder = table.folder.clone();
        folder::blocking(move || {
            let mut swept = Swept::default();
            for name in folder::names(&folder)?
                .iter()
                .filter(|name| !matches!(name.as_str(), OWN | LOG))
            {
                let path = folder.join(name);
                if path.is_file() && !known.contains(&path) {
                    sweep_file(path, age, dry_run, &mut swept)?;
                }
            }
            for name in folder::names(&folder.join(LOG))? {
                if name.starts_with(UNLINKED.0) && name.ends_with(UNLINKED.1) {
                    sweep_file(folder.join(LOG).join(name), age, dry_run, &mut swept)?;
                }
            }
            for app in folder::names(&folder.join(OWN))? {
                sweep_attempts(&folder.join(OWN).join(app), age, dry_run, &mut swept)?;
            }
            Ok(swept)
        })
        .await
    }
}

/// A removal without a time is never old enough.
fn ended_before(removed_ms: Option<i64>, age: Duration) -> bool {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    removed_ms.is_some_and(|at| chrono::Utc::now().timestamp_millis().saturating_sub(at) >= age_ms)
}

/// Attempts of generations below the newest settled one can no longer win.
fn sweep_attempts(app: &Path, age: Duration, dry_run: bool, swept: &mut Swept) -> LakeResult<()> {
    let names = folder::names(app)?;
    let newest = names
        .iter()
        .filter_map(|name| name.strip_suffix(".json")?.parse::<i64>().ok())
        .max();
    for name in names {
        let generation = name
            .split_once('.')
            .and_then(|(generation, _)| generation.parse::<i64>().ok());
        let settled = name.matches('.').count() == 1 && generation.is_some();
        let lost = matches!((generation, newest), (Some(generation), Some(newest)) if generation <= newest);
        if !settled && (lost || name.starts_with('.')) {
            sweep_file(app.join(name), age, dry_run, swept)?;
        }
    }
    Ok(())
}

fn sweep_file(path: PathBuf, age: Duration, dry_run: bool, swept: &mut Swept) -> LakeResult<()> {
    let Ok(metadata) = path.metadata() else {
        return Ok(());
    };
    let old = metadata
        .modified()
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok())
        .is_some_and(|passed| passed >= age);
    if old {
        if !dry_run {
            folder::remove(&path)?;
        }
        swept.bytes += metadata.len();
        swept.files.push(path);
    }
    Ok(())
}
