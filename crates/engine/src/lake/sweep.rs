//! Deletes what killed writers left: data files that no version names, attempts that never committed.
//!
//! Promise: files have the name of their attempt, so nothing of a live writer, of another program or of an old
//! version is deleted. Each write begins with this for attempts whose processes have ended. `sweep` and `vacuum`
//! go over a whole table by age; `vacuum` also deletes files that were removed from the table longer ago than
//! the retention. Read next: `attempt_marker.rs`.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use object_store::ObjectMeta;
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::attempt_files::part_of;
use super::attempt_marker::{self, About, AttemptMarker, Dead};
use super::error::{LakeError, LakeResult, is_unsettled};
use super::names::OWN;
use super::open::Lake;
use super::storage::{Key, Lease, Unfinished, child, names, objects_below, remove};
use super::table::{Snapshot, Table};
use super::table_history;

/// What was, or would be, deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedFiles {
    /// Where the files are: paths on this machine, or URLs.
    pub files: Vec<String>,
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
    pub async fn sweep(
        &self,
        name: &TableName,
        age: Duration,
        dry_run: bool,
    ) -> Result<DeletedFiles> {
        let aim = Aim {
            age,
            removed_too: false,
            dry_run,
        };
        Ok(self.clear(name, (aim, None)).await?)
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
    ) -> Result<DeletedFiles> {
        let lease = self.hold(name).await?;
        self.clear_up().await;
        let aim = Aim {
            age: retention,
            removed_too: true,
            dry_run,
        };
        let swept = self.clear(name, (aim, Some(&lease))).await;
        give_back(&lease).await;
        Ok(swept?)
    }

    /// Does something to a table while no other maintenance of it runs.
    pub(crate) async fn holding<T>(
        &self,
        name: &TableName,
        work: impl Future<Output = LakeResult<T>>,
    ) -> LakeResult<T> {
        let lease = self.hold(name).await?;
        let done = work.await;
        // What may still land keeps the table: a restore needs files that a vacuum would delete.
        if !done.as_ref().is_err_and(is_unsettled) {
            give_back(&lease).await;
        }
        done
    }

    /// The error of a table that another command holds.
    pub(crate) fn under_maintenance(&self, name: &TableName) -> LakeError {
        LakeError::UnderMaintenance {
            table: name.to_string(),
            dead_after: self.storage().dead_after(),
        }
    }

    /// Locks a table for maintenance; one at a time.
    pub(crate) async fn hold(&self, name: &TableName) -> LakeResult<Lease> {
        let lease = attempt_marker::hold(self.storage(), name).await?;
        lease.ok_or_else(|| self.under_maintenance(name))
    }

    /// Says that an attempt begins to write a table.
    pub(crate) async fn set_marker(
        &self,
        attempt: &str,
        table: &Table,
        base: Option<u64>,
    ) -> LakeResult<AttemptMarker> {
        AttemptMarker::set(self.storage(), &About::new(attempt, &table.name, base)).await
    }

    /// For how long a process that was killed seems to go on; `None` for not at all.
    pub fn dead_after(&self) -> Option<Duration> {
        self.storage().dead_after()
    }

    /// How many attempts of live processes write a table now.
    pub async fn writers(&self, name: &TableName) -> Result<usize> {
        self.clear_up().await;
        let marked = attempt_marker::all(self.storage()).await?;
        let of = |about: &Option<About>| about.as_ref().is_some_and(|about| about.table == *name);
        Ok(marked.iter().filter(|(_, about)| of(about)).count())
    }

    /// Clears up after attempts whose processes are gone, in every table. That it fails is no reason
    /// not to write: the next write tries again.
    pub(crate) async fn clear_up(&self) {
        let found = match self.storage().finish_deletions().await {
            Ok(()) => attempt_marker::dead(self.storage()).await,
            Err(error) => Err(error),
        };
        let dead = match found {
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
        let now = table.standing().await?;
        let latest = now.as_ref().map(Snapshot::version);
        // A put that was given up may still land where no entry is yet: then it needs its files.
        let open = dead.about.commits.filter(|version| Some(*version) > latest);
        if open.is_some() && self.storage().lands_late() {
            return Ok(());
        }
        if let Some(now) = now {
            let (base, attempt) = (dead.about.base, &dead.about.attempt);
            committed = table_history::has_committed(&table, base, now.version(), attempt).await?;
            known = self.known(&table, None).await?;
        }
        let (storage, attempt) = (&**self.storage(), dead.about.attempt.as_str());
        let part = part_of(attempt);
        for name in names(storage, &table.prefix).await? {
            let file = child(&table.prefix, &name);
            if name.starts_with(&part) && !known.contains(&file) {
                dead.check()?;
                remove(storage, &file).await?;
            }
        }
        let own = child(&table.prefix, OWN);
        let mut prefixes = vec![table.prefix.clone(), table.log_prefix()];
        for app in names(storage, &own).await? {
            let app = child(&own, &app);
            let all = names(storage, &app).await?;
            for name in all.iter().filter(|name| name.contains(attempt)) {
                let generation = name.split('.').next().unwrap_or_default();
                // What it committed is settled from it, unless that was done.
                if !committed || all.contains(&format!("{generation}.json")) {
                    dead.check()?;
                    remove(storage, &child(&app, name)).await?;
                }
            }
            prefixes.push(app);
        }
        for prefix in prefixes {
            for unfinished in storage.unfinished(&prefix).await? {
                if unfinished.writer_is_gone || unfinished.name.contains(attempt) {
                    storage.delete_unfinished(&prefix, &unfinished.name).await?;
                }
            }
        }
        fail::fail_point!("lake::before_burial");
        dead.bury().await;
        if self.storage().lands_late() {
            // Its log may have waited for this attempt.
            self.finish_hidden(&table).await?;
        }
        Ok(())
    }

    /// Files that a version names: of the present one, and those that left the table. With an age only
    /// of those that left it since.
    async fn known(
        &self,
        table: &Table,
        left_within: Option<Duration>,
    ) -> LakeResult<HashSet<Key>> {
        let mut known: HashSet<Key> = HashSet::new();
        let Some(snapshot) = table.standing().await? else {
            return Ok(known);
        };
        let counts = |at: Option<i64>| left_within.is_none_or(|age| !ended_before(at, age));
        known.extend(snapshot.files(table).into_iter().map(|file| file.key));
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
        for (path, at) in table_history::removals(table, snapshot.version()).await? {
            if counts(at) {
                known.insert(table.file(&path));
            }
        }
        Ok(known)
    }

    async fn clear(
        &self,
        name: &TableName,
        (aim, lease): (Aim, Option<&Lease>),
    ) -> LakeResult<DeletedFiles> {
        let table = self.table(name)?;
        // Who began before this is marked; who begins later writes files that are younger.
        let begun = SystemTime::now();
        let marked = attempt_marker::all(self.storage()).await?;
        let live: Vec<String> = marked.iter().map(|(attempt, _)| part_of(attempt)).collect();
        let known = self
            .known(&table, aim.removed_too.then_some(aim.age))
            .await?;
        let mut sweep = Sweep {
            table: &table,
            aim,
            lease,
            begun,
            swept: DeletedFiles::default(),
        };
        sweep.data(&known, &live).await?;
        sweep.unfinished(&table.log_prefix(), &[]).await?;
        let own = child(&table.prefix, OWN);
        for app in names(&**self.storage(), &own).await? {
            sweep.attempts(&child(&own, &app)).await?;
        }
        Ok(sweep.swept)
    }
}

/// A look at a whole table.
struct Sweep<'a> {
    table: &'a Table,
    aim: Aim,
    /// The lease without which nothing more may be deleted.
    lease: Option<&'a Lease>,
    begun: SystemTime,
    swept: DeletedFiles,
}

impl Sweep<'_> {
    /// Data files that no version names.
    async fn data(&mut self, known: &HashSet<Key>, live: &[String]) -> LakeResult<()> {
        for object in objects_below(&*self.table.storage, &self.table.prefix).await? {
            let name = object.location.filename().unwrap_or_default();
            if !known.contains(&object.location) && !live.iter().any(|part| name.starts_with(part))
            {
                self.object(&object).await?;
            }
        }
        self.unfinished(&self.table.prefix.clone(), live).await
    }

    /// Puts that were never finished.
    async fn unfinished(&mut self, prefix: &Key, live: &[String]) -> LakeResult<()> {
        let storage = &*self.table.storage;
        for Unfinished {
            name,
            bytes,
            changed,
            ..
        } in storage.unfinished(prefix).await?
        {
            if live.iter().any(|part| name.starts_with(part)) || !self.is_old(changed) {
                continue;
            }
            if !self.aim.dry_run {
                self.check()?;
                storage.delete_unfinished(prefix, &name).await?;
            }
            self.took(storage.address(&child(prefix, &name)), bytes);
        }
        Ok(())
    }

    /// Attempts of generations below the newest settled one can no longer win.
    async fn attempts(&mut self, app: &Key) -> LakeResult<()> {
        let objects = objects_below(&*self.table.storage, app).await?;
        let name_of =
            |object: &ObjectMeta| object.location.filename().unwrap_or_default().to_owned();
        let newest = objects
            .iter()
            .filter_map(|object| name_of(object).strip_suffix(".json")?.parse::<i64>().ok())
            .max();
        for object in &objects {
            let name = name_of(object);
            let generation = name
                .split_once('.')
                .and_then(|(generation, _)| generation.parse::<i64>().ok());
            let settled = name.matches('.').count() == 1 && generation.is_some();
            let lost = matches!((generation, newest), (Some(generation), Some(newest)) if generation <= newest);
            if !settled && lost {
                self.object(object).await?;
            }
        }
        self.unfinished(app, &[]).await
    }

    async fn object(&mut self, object: &ObjectMeta) -> LakeResult<()> {
        if !self.is_old(object.last_modified.into()) {
            return Ok(());
        }
        let storage = &*self.table.storage;
        if !self.aim.dry_run {
            self.check()?;
            remove(storage, &object.location).await?;
        }
        self.took(storage.address(&object.location), object.size);
        Ok(())
    }

    fn check(&self) -> LakeResult<()> {
        match self.lease.is_none_or(Lease::is_held) {
            true => Ok(()),
            false => Err(LakeError::LeaseLost {
                table: self.table.name.to_string(),
            }),
        }
    }

    fn is_old(&self, changed: SystemTime) -> bool {
        let passed = self.begun.duration_since(changed);
        passed.is_ok_and(|passed| passed >= self.aim.age)
    }

    fn took(&mut self, file: String, bytes: u64) {
        self.swept.files.push(file);
        self.swept.bytes += bytes;
    }
}

/// What was done is done: a lease that cannot be given back now is free when its holder counts as dead.
pub(super) async fn give_back(lease: &Lease) {
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, "the lease of a table could not be given back");
    }
}

/// A removal without a time is never old enough.
fn ended_before(removed_ms: Option<i64>, age: Duration) -> bool {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    removed_ms.is_some_and(|at| chrono::Utc::now().timestamp_millis().saturating_sub(at) >= age_ms)
}
