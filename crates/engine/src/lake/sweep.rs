//! Clears away what killed writers left behind: data files no version names, attempts that never won.
//!
//! Each write begins by clearing up after attempts whose processes are gone (`mark.rs`), whoever they
//! were: their files bear their name, so nothing of a live writer, of another program or of an old
//! version is touched. `sweep` and `vacuum` look at a whole table and go by age, for what other programs
//! left; `vacuum` also takes files that were removed from the table longer ago than the retention.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::folder::{self, LOG, OWN};
use super::history;
use super::log::UNLINKED;
use super::mark::{self, About, AttemptMarker, Dead};
use super::open::Lake;
use super::store::{UNNAMED, part_of};
use super::table::Table;

/// What was, or would be, deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
}

/// What a look at a whole table may take.
#[derive(Clone, Copy)]
struct Aim {
    age: Duration,
    removed_too: bool,
    dry_run: bool,
}

impl Lake {
    /// Deletes orphans of a table that are older than `age`; with `dry_run` only lists them.
    pub async fn sweep(&self, name: &TableName, age: Duration, dry_run: bool) -> Result<Swept> {
        let aim = Aim {
            age,
            removed_too: false,
            dry_run,
        };
        Ok(self.clear(name, aim).await?)
    }

    /// Deletes orphans and files of versions that ended longer ago than `retention`: those versions
    /// can no longer be read. With `dry_run` only lists them.
    ///
    /// # Errors
    /// `Refused` while the table is restored, compacted or dropped.
    pub async fn vacuum(
        &self,
        name: &TableName,
        retention: Duration,
        dry_run: bool,
    ) -> Result<Swept> {
        let _held = self.hold(name).await?;
        self.clear_up().await;
        let aim = Aim {
            age: retention,
            removed_too: true,
            dry_run,
        };
        Ok(self.clear(name, aim).await?)
    }

    /// Takes a table for care; one at a time.
    pub(crate) async fn hold(&self, name: &TableName) -> LakeResult<std::fs::File> {
        let (root, table) = (self.root().to_path_buf(), name.clone());
        let held = folder::blocking(move || mark::hold(&root, &table)).await?;
        held.ok_or_else(|| LakeError::Held {
            table: name.to_string(),
        })
    }

    /// Says that an attempt begins to write a table.
    pub(crate) async fn mark(
        &self,
        attempt: &str,
        table: &Table,
        base: Option<u64>,
    ) -> LakeResult<Option<AttemptMarker>> {
        let about = About::new(attempt, &table.name, base);
        let root = self.root().to_path_buf();
        folder::blocking(move || AttemptMarker::set(&root, &about)).await
    }

    /// How many attempts of live processes write a table now.
    pub async fn writers(&self, name: &TableName) -> Result<usize> {
        self.clear_up().await;
        let root = self.root().to_path_buf();
        let marked = folder::blocking(move || mark::all(&root)).await?;
        let of = |about: &Option<About>| about.as_ref().is_some_and(|about| about.table == *name);
        Ok(marked.iter().filter(|(_, about)| of(about)).count())
    }

    /// Clears up after attempts whose processes are gone, in every table. That it fails is no reason
    /// not to write: the next write tries again.
    pub(crate) async fn clear_up(&self) {
        let root = self.root().to_path_buf();
        let found = folder::blocking(move || {
            bury_dropped(&root)?;
            mark::dead(&root)
        });
        let dead = match found.await {
            Ok(dead) => dead,
            Err(error) => {
                tracing::warn!(%error, "looking for leftovers of killed writers");
                return;
            }
        };
        for dead in dead {
            let table = dead.about.table.clone();
            if let Err(error) = self.clear_up_after(dead).await {
                tracing::warn!(%table, %error, "leftovers of a killed writer stay");
            }
        }
    }

    async fn clear_up_after(&self, dead: Dead) -> LakeResult<()> {
        let table = self.table(&dead.about.table)?;
        let mut known = HashSet::new();
        let mut committed = false;
        if let Some(now) = table.standing().await? {
            let (base, attempt) = (dead.about.base, &dead.about.attempt);
            committed = history::has_committed(&table, base, now.version(), attempt).await?;
            known = self.known(&table, None).await?;
        }
        folder::blocking(move || {
            let attempt = dead.about.attempt.as_str();
            let (part, home) = (part_of(attempt), &table.folder);
            for name in folder::names(home)?
                .iter()
                .filter(|name| name.starts_with(&part))
            {
                let path = home.join(name);
                if !known.contains(&path) {
                    folder::remove(&path)?;
                }
            }
            if !committed {
                for name in folder::names(&home.join(LOG))? {
                    if name.starts_with(UNLINKED.0) && name.contains(attempt) {
                        folder::remove(&home.join(LOG).join(name))?;
                    }
                }
                for app in folder::names(&home.join(OWN))? {
                    let app = home.join(OWN).join(app);
                    for name in folder::names(&app)? {
                        if name.contains(attempt) {
                            folder::remove(&app.join(name))?;
                        }
                    }
                }
            }
            fail::fail_point!("lake::before_burial");
            dead.bury();
            Ok(())
        })
        .await
    }

    /// Files that a version names: of the present one, and those that left the table. With an age only
    /// of those that left it since.
    async fn known(
        &self,
        table: &Table,
        left_within: Option<Duration>,
    ) -> LakeResult<HashSet<PathBuf>> {
        let mut known: HashSet<PathBuf> = HashSet::new();
        let Some(snapshot) = table.standing().await? else {
            return Ok(known);
        };
        let counts = |at: Option<i64>| left_within.is_none_or(|age| !ended_before(at, age));
        known.extend(snapshot.files(table).into_iter().map(|file| file.path));
        let mut tombstones = snapshot.state.all_tombstones(&table.log);
        while let Some(tombstone) = tombstones
            .try_next()
            .await
            .map_err(table.delta("reading the log of"))?
        {
            if counts(tombstone.deletion_timestamp()) {
                known.insert(table.file(&tombstone.path()));
            }
        }
        // Checkpoints forget removals after a week; entries do not.
        for (path, at) in history::removals(table, snapshot.version()).await? {
            if counts(at) {
                known.insert(table.file(&path));
            }
        }
        Ok(known)
    }

    async fn clear(&self, name: &TableName, aim: Aim) -> LakeResult<Swept> {
        let table = self.table(name)?;
        // Who began before this is marked; who begins later writes files that are younger.
        let begun = SystemTime::now();
        let root = self.root().to_path_buf();
        let marked = folder::blocking(move || mark::all(&root)).await?;
        let live: Vec<String> = marked.iter().map(|(attempt, _)| part_of(attempt)).collect();
        let known = self
            .known(&table, aim.removed_too.then_some(aim.age))
            .await?;
        let is_kept = move |path: &PathBuf, name: &str| {
            known.contains(path) || live.iter().any(|part| name.starts_with(part))
        };
        folder::blocking(move || clear_folder(&table, aim, begun, is_kept)).await
    }
}

fn clear_folder(
    table: &Arc<Table>,
    aim: Aim,
    begun: SystemTime,
    is_kept: impl Fn(&PathBuf, &str) -> bool,
) -> LakeResult<Swept> {
    let folder = &table.folder;
    let mut swept = Swept::default();
    for name in folder::names(folder)?
        .iter()
        .filter(|name| !matches!(name.as_str(), OWN | LOG))
    {
        let path = folder.join(name);
        if path.is_file() && !is_kept(&path, name) {
            sweep_file(path, aim, begun, &mut swept)?;
        }
    }
    for name in folder::names(&folder.join(LOG))? {
        let unfinished = [UNLINKED, UNNAMED]
            .iter()
            .any(|(begin, end)| name.starts_with(begin) && name.ends_with(end));
        if unfinished {
            sweep_file(folder.join(LOG).join(name), aim, begun, &mut swept)?;
        }
    }
    for app in folder::names(&folder.join(OWN))? {
        sweep_attempts(&folder.join(OWN).join(app), aim, begun, &mut swept)?;
    }
    Ok(swept)
}

/// Tables that were taken away and not yet deleted: nobody can see them, whoever deletes them.
pub(crate) fn bury_dropped(root: &Path) -> LakeResult<()> {
    let grave = root.join(OWN).join("dropped");
    for name in folder::names(&grave)? {
        bury(&grave.join(name))?;
    }
    Ok(())
}

/// Deletes a folder; another process may be at it too.
pub(crate) fn bury(folder: &Path) -> LakeResult<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(folder::failed("deleting", folder)(error))
        }
        _ => Ok(()),
    }
}

/// A removal without a time is never old enough.
fn ended_before(removed_ms: Option<i64>, age: Duration) -> bool {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    removed_ms.is_some_and(|at| chrono::Utc::now().timestamp_millis().saturating_sub(at) >= age_ms)
}

/// Attempts of generations below the newest settled one can no longer win.
fn sweep_attempts(app: &Path, aim: Aim, begun: SystemTime, swept: &mut Swept) -> LakeResult<()> {
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
            sweep_file(app.join(name), aim, begun, swept)?;
        }
    }
    Ok(())
}

fn sweep_file(path: PathBuf, aim: Aim, begun: SystemTime, swept: &mut Swept) -> LakeResult<()> {
    let Ok(metadata) = path.metadata() else {
        return Ok(());
    };
    let old = metadata
        .modified()
        .ok()
        .and_then(|at| begun.duration_since(at).ok())
        .is_some_and(|passed| passed >= aim.age);
    if old {
        if !aim.dry_run {
            folder::remove(&path)?;
        }
        swept.bytes += metadata.len();
        swept.files.push(path);
    }
    Ok(())
}
