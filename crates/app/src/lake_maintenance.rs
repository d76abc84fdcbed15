//! Maintenance of lakehouse tables: vacuum, restore, compact, drop.
//!
//! Promise: each function changes one table and reports the result. A restore gives a new generation to
//! every task that has committed since the restored version, so that its next run reads from the position
//! of that version; the pipelines of these tasks are locked meanwhile. It does not know files:
//! `engine::lake` does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;
use towpath_engine::lake::CommitsAtVersion;
use towpath_ports::{Destination, RunKind};
use towpath_quarantine::{RestoredTask, hold, is_replay, outdate_undone, records_to_hold};
use towpath_vocab::{
    Environment, Failure, Generation, PipelineName, Remedy, RunName, TableName, TaskKey, Token,
};

use crate::Result;
use crate::lake::existing;
use crate::pipeline_lock::{PipelineLock, during, lock_pipeline};
use crate::services::ProjectServices;

/// The age above which a vacuum deletes files of old versions without `--force`.
const RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// What a vacuum deleted, or would delete.
#[derive(Clone, Debug, Serialize)]
pub struct LakeVacuumed {
    /// Version of this form; 1.
    pub version: u32,
    /// The table.
    pub table: String,
    /// True if nothing was deleted.
    pub dry_run: bool,
    /// The age, in seconds.
    pub older_than_s: u64,
    /// The files.
    pub files: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
}

/// What a restore did.
#[derive(Clone, Debug, Serialize)]
pub struct LakeRestored {
    /// Version of this form; 1.
    pub version: u32,
    /// The table.
    pub table: String,
    /// The version that was restored.
    pub restored: u64,
    /// The version that readers see.
    pub table_version: u64,
    /// The number of its rows, if the files have it.
    pub rows: Option<u64>,
    /// Files that were added again.
    pub files_added: u64,
    /// Files that were removed.
    pub files_removed: u64,
    /// Tasks whose next run continues from the restored version.
    pub tasks: Vec<String>,
    /// Rejected records that wait again, because their rows were removed.
    pub held_again: u64,
}

/// What a compaction did.
#[derive(Clone, Debug, Serialize)]
pub struct LakeCompacted {
    /// Version of this form; 1.
    pub version: u32,
    /// The table.
    pub table: String,
    /// The new version; `None` if there was nothing to do.
    pub table_version: Option<u64>,
    /// Files that were combined.
    pub files_before: u64,
    /// The files into which they were combined.
    pub files_after: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after.
    pub bytes_after: u64,
}

/// What was dropped.
#[derive(Clone, Debug, Serialize)]
pub struct LakeDropped {
    /// Version of this form; 1.
    pub version: u32,
    /// The table or view.
    pub table: String,
    /// `table` or `view`.
    pub kind: &'static str,
    /// The number of its rows, if the files had it.
    pub rows: Option<u64>,
    /// Versions it had.
    pub versions: u64,
    /// Bytes of its last version.
    pub bytes: u64,
}

/// How a table is vacuumed.
#[derive(Clone, Copy, Debug)]
pub struct VacuumRequest {
    /// The age above which files that the table no longer uses are deleted.
    pub older_than: Duration,
    /// True allows less than seven days.
    pub force: bool,
    /// True deletes nothing and only lists the files.
    pub dry_run: bool,
}

/// Deletes files that no version within the retention period uses.
///
/// # Errors
/// `FixConfig` if there is no such table; `Refused` for less than seven days without `force`.
pub async fn lake_vacuum(
    services: &ProjectServices,
    table: &str,
    request: VacuumRequest,
) -> Result<LakeVacuumed> {
    let name = existing(services, table).await?;
    if request.older_than < RETENTION && !request.force && !request.dry_run {
        let message = format!("files of `{name}` that are younger than 7 days are kept");
        return Err(Failure::new("R0985", Remedy::Refused, message)
            .help("queries and other programs that are reading an older version or writing to the table would lose files")
            .help("those versions could no longer be queried or restored")
            .help("if no program reads or writes it and no older version is needed: add --force"));
    }
    let swept = services
        .lake
        .vacuum(&name, request.older_than, request.dry_run)
        .await?;
    Ok(LakeVacuumed {
        version: 1,
        table: name.to_string(),
        dry_run: request.dry_run,
        older_than_s: request.older_than.as_secs(),
        files: swept.files,
        bytes: swept.bytes,
    })
}

/// Restores a table to a version or a time, as a new version.
///
/// # Errors
/// `FixConfig` if that version no longer exists; `Refused` while a pipeline that writes the table is
/// running, or if the position of a load at that version is no longer known.
pub async fn lake_restore(
    services: &ProjectServices,
    table: &str,
    to: &str,
) -> Result<LakeRestored> {
    let name = existing(services, table).await?;
    let version = wanted(services, &name, to).await?;
    let now = services.lake.version(&name).await?.unwrap_or(version);
    if version == now {
        let message = format!("`{name}` is at version {version}");
        return Err(
            Failure::new("R0986", Remedy::FixConfig, message).help(format!(
                "to list older versions: towpath lake history {name}"
            )),
        );
    }
    let behind = behind(services, &name, version).await?;
    let pipelines = Pipelines::lock_pipeline(services, &name, &behind).await?;
    let work = set_back(services, &name, version, &pipelines);
    let done = Box::pin(during(pipelines.locks.values(), work)).await;
    pipelines.release(done.is_ok()).await?;
    done
}

/// Combines small files.
///
/// # Errors
/// `FixConfig` if there is no such table; `Retry` if others keep changing it.
pub async fn lake_compact(services: &ProjectServices, table: &str) -> Result<LakeCompacted> {
    let name = existing(services, table).await?;
    let done = services.lake.compact(&name, "lake compact").await?;
    Ok(LakeCompacted {
        version: 1,
        table: name.to_string(),
        table_version: done.version,
        files_before: done.files_before,
        files_after: done.files_after,
        bytes_before: done.bytes_before,
        bytes_after: done.bytes_after,
    })
}

/// Drops a table or a view with all of its versions.
///
/// # Errors
/// `FixConfig` if there is none; `Refused` without `yes`, or while it is being written.
pub async fn lake_drop(services: &ProjectServices, table: &str, yes: bool) -> Result<LakeDropped> {
    let view = match table.parse::<TableName>() {
        Ok(name) if services.lake.version(&name).await?.is_none() => {
            services.lake.view(&name).await?
        }
        _ => None,
    };
    if let Some(view) = view {
        need_yes(&format!("view `{}`", view.name), "its text", yes)?;
        services.lake.drop_view(&view.name).await?;
        return Ok(LakeDropped {
            version: 1,
            table: view.name.to_string(),
            kind: "view",
            rows: None,
            versions: view.version,
            bytes: 0,
        });
    }
    let name = existing(services, table).await?;
    let found = services.lake.describe(&name).await?;
    let rows = found.rows.map(|rows| counted(rows, "row") + " in ");
    let (files, versions) = (counted(found.files, "file"), found.version + 1);
    let goes = format!(
        "{}{files}, and {}",
        rows.unwrap_or_default(),
        counted(versions, "version")
    );
    need_yes(&format!("table `{name}`"), &goes, yes)?;
    if services.lake.writers(&name).await? > 0 {
        let message = format!("`{name}` is being written");
        let refused = Failure::new("R0988", Remedy::Refused, message);
        let refused = refused.help("wait for the run: towpath runs");
        return Err(match services.lake.dead_after() {
            None => refused,
            Some(time) => refused.help(format!(
                "a run that was killed, or whose commit may still arrive, seems to go on for {} minutes",
                time.as_secs().div_ceil(60)
            )),
        });
    }
    services.lake.drop_table(&name).await?;
    Ok(LakeDropped {
        version: 1,
        table: name.to_string(),
        kind: "table",
        rows: found.rows,
        versions,
        bytes: found.bytes,
    })
}

fn counted(number: u64, noun: &str) -> String {
    let more = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{more}")
}

fn need_yes(what: &str, goes: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    Err(Failure::new(
        "R0987",
        Remedy::Refused,
        format!("{what} would be deleted permanently: {goes}"),
    )
    .help("to do it: add --yes")
    .help("the next run that writes it builds it again from its source"))
}

/// The version for the user's `--to`.
async fn wanted(services: &ProjectServices, table: &TableName, to: &str) -> Result<u64> {
    let words = to.trim().trim_start_matches("version").trim();
    if let Ok(version) = words.parse::<u64>() {
        return Ok(version);
    }
    let moment = moment(words).ok_or_else(|| {
        let message = format!("`{to}` is neither a version nor a time");
        Failure::new("R0989", Remedy::FixConfig, message)
            .help("a version: --to 3; a time: --to 2026-01-31T18:00:00Z, --to '2026-01-31 18:00' (UTC)")
            .help(format!("to list them: towpath lake history {table}"))
    })?;
    services
        .lake
        .version_at(table, moment.as_millisecond())
        .await
}

/// Parses a time with a zone, or in UTC; a date is its first moment.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(with_zone) = text.parse::<Timestamp>() {
        return Some(with_zone);
    }
    let civil = text.parse::<DateTime>().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Tasks that have committed since a version.
async fn behind(
    services: &ProjectServices,
    table: &TableName,
    version: u64,
) -> Result<Vec<CommitsAtVersion>> {
    let tasks = services.lake.tasks_then(table, version).await?;
    let mut behind = Vec::new();
    for task in tasks {
        if task.then == Some(task.now) {
            continue;
        }
        if task.token.is_none() && needs_position(services, table, &task).await? {
            let message = format!(
                "the position of `{}` at version {version} of `{table}` is no longer stored",
                task.task.step
            );
            return Err(Failure::new("R0938", Remedy::Refused, message)
                .help(
                    "positions are kept only for the most recent commits: restore a later version",
                )
                .help(format!("look: towpath lake history {table}")));
        }
        behind.push(task);
    }
    Ok(behind)
}

/// True if a task needs its position: a task that always reads everything does not.
async fn needs_position(
    services: &ProjectServices,
    table: &TableName,
    task: &CommitsAtVersion,
) -> Result<bool> {
    let last = services.lake.last(&task.task, table).await?;
    Ok(last.is_some_and(|last| !last.token.position.is_empty()))
}

/// Pipelines that are locked while a table that they write is restored. A pipeline with the same name in
/// another environment is a different one, with its own lease.
struct Pipelines<'a> {
    locks: BTreeMap<(Environment, PipelineName), PipelineLock<'a>>,
}

impl<'a> Pipelines<'a> {
    async fn lock_pipeline(
        services: &'a ProjectServices,
        table: &TableName,
        tasks: &[CommitsAtVersion],
    ) -> Result<Self> {
        let names: BTreeSet<_> = tasks
            .iter()
            .map(|then| (then.task.environment.clone(), then.task.pipeline.clone()))
            .collect();
        let mut pipelines = Self {
            locks: BTreeMap::new(),
        };
        let what = format!("restore {table}");
        for name in names {
            match lock_pipeline(services, &name.0, &name.1, RunKind::Lock, &what).await {
                Ok(lock) => {
                    pipelines.locks.insert(name, lock);
                }
                Err(busy) => {
                    pipelines.release(false).await?;
                    return Err(busy);
                }
            }
        }
        Ok(pipelines)
    }

    fn run(&self, task: &TaskKey) -> Option<&RunName> {
        let name = (task.environment.clone(), task.pipeline.clone());
        Some(&self.locks.get(&name)?.run)
    }

    async fn release(self, ended_well: bool) -> Result<()> {
        for lock in self.locks.into_values() {
            lock.release(ended_well).await?;
        }
        Ok(())
    }
}

async fn set_back(
    services: &ProjectServices,
    table: &TableName,
    version: u64,
    pipelines: &Pipelines<'_>,
) -> Result<LakeRestored> {
    // These pipelines are locked now, so the commits are read again.
    let behind = behind(services, table, version).await?;
    let mut carried = Vec::with_capacity(behind.len());
    for then in &behind {
        let Some(run) = pipelines.run(&then.task) else {
            let message = format!("another process wrote `{table}` while it was being restored");
            return Err(Failure::new("R0937", Remedy::Retry, message).help("run it again"));
        };
        let reserved = services.store.generation(&then.task).await?;
        let highest = reserved.map_or(Generation(0), |(_, generation)| generation);
        let generation = highest.max(then.now).next();
        services
            .store
            .reserve_generation(&then.task, run, generation)
            .await?;
        carried.push(token_then(then, generation, version)?);
    }
    let run = pipelines.locks.values().next();
    let run = run.map_or_else(|| "lake restore".to_owned(), |lock| lock.run.to_string());
    let ports = services.quarantine_ports();
    let set_back = behind.iter().map(|then| RestoredTask {
        task: then.task.clone(),
        now: then.now,
        then: then.then,
    });
    let again = records_to_hold(&ports, &set_back.collect::<Vec<_>>()).await?;
    let restored = services
        .lake
        .restore(table, version, carried.clone(), &run)
        .await?;
    let held_again = hold(&ports, table, again, &carried).await?;
    for then in &behind {
        outdate_undone(&ports, &then.task, then.then, then.now).await?;
    }
    Ok(LakeRestored {
        version: 1,
        table: table.to_string(),
        restored: version,
        table_version: restored.version,
        rows: restored.rows,
        files_added: restored.files_added,
        files_removed: restored.files_removed,
        tasks: carried
            .iter()
            .filter(|carried| !is_replay(&carried.task))
            .map(|carried| format!("{}.{}", carried.task.pipeline, carried.task.step))
            .collect(),
        held_again,
    })
}

/// The token of a task whose table is restored. A token without a fingerprint must not look like that of
/// the last success.
fn token_then(then: &CommitsAtVersion, generation: Generation, version: u64) -> Result<Token> {
    let known = then.token.clone();
    let mut token = known.unwrap_or_else(|| Token::of(then.task.clone(), generation));
    token.generation = generation;
    if is_replay(&then.task) {
        let back_to = then.then.unwrap_or(Generation(0));
        token.annotations = towpath_quarantine::set_back(&token.annotations, back_to)?;
    }
    token
        .fingerprint
        .get_or_insert_with(|| format!("restored to version {version}"));
    Ok(token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use towpath_vocab::{ProjectId, StepName, TaskKind};

    use super::*;

    #[tokio::test]
    async fn pipelines_of_one_name_are_held_in_each_environment() {
        let (services, _scratch) = ProjectServices::of_files(std::path::Path::new(".")).unwrap();
        let table: TableName = "raw.t".parse().unwrap();
        let then = |environment: &str| CommitsAtVersion {
            task: TaskKey {
                project: ProjectId::new("p"),
                environment: Environment::new(environment),
                pipeline: PipelineName::new("shop"),
                step: StepName::new("load"),
                kind: TaskKind::Step,
                table: table.clone(),
            },
            now: Generation(2),
            then: None,
            token: None,
        };
        let tasks = [then("dev"), then("prod")];
        // Both leases are given back: the second round is not refused.
        for round in 1..3 {
            let pipelines = Pipelines::lock_pipeline(&services, &table, &tasks)
                .await
                .unwrap();
            assert_eq!(pipelines.locks.len(), 2, "round {round}");
            for then in &tasks {
                assert!(pipelines.run(&then.task).is_some());
            }
            pipelines.release(true).await.unwrap();
        }
    }
}
