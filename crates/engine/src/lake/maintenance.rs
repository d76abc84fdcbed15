//! Maintenance of a table: set it back to an older version, write small files together.
//!
//! Both make a new version, so history stays and readers of older ones go on. A restore gives every task
//! that has committed since a new generation with the position of the restored version: its next run
//! reads on from there, and a load that was read from the later position is refused at its commit.
//! Compaction changes no row and no token; a writer that got in between is built upon when it left the
//! compacted files alone. One such work at a time per table (`attempt_marker.rs`). Read next: `sweep.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use deltalake_core::kernel::{Action, Add, Metadata, Transaction};
use deltalake_core::protocol::DeltaOperation;
use futures::TryStreamExt as _;
use serde_json::json;
use towpath_ports::{PreparedStats, Result};
use towpath_vocab::{Generation, TableName, TaskKey, Token};

use super::attempt_marker::AttemptMarker;
use super::candidate::LakeFile;
use super::entry::{self, Entry, LogWrite};
use super::error::{LakeError, LakeResult, is_unsettled};
use super::files::{self, FileWriter, lake_file};
use super::open::Lake;
use super::position::{self, Positions, Stored};
use super::read::{BatchSize, read_files};
use super::storage::{Key, head};
use super::table::{Snapshot, Table};
use super::table_history::{self, TowpathCommitInfo};

/// Tries against writers that keep getting in between.
const TRIES: usize = 50;
/// Times a compaction starts over when others changed what it wrote together.
const ROUNDS: usize = 3;
/// How a compaction is called in histories.
const COMPACT: &str = "compact";

/// A task that has written a table, now and as of an older version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitsAtVersion {
    /// The task.
    pub task: TaskKey,
    /// Its last commit.
    pub now: Generation,
    /// Its last commit as of the older version; `None` before its first.
    pub then: Option<Generation>,
    /// Its token then; `None` when that is not kept any more.
    pub token: Option<Token>,
}

/// A restore that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The version it made.
    pub version: u64,
    /// Rows it has, when the log says.
    pub rows: Option<u64>,
    /// Files that came back.
    pub files_added: u64,
    /// Files that went out of sight.
    pub files_removed: u64,
}

/// A compaction that was done; no version when there was nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The version it made.
    pub version: Option<u64>,
    /// Files that were written together.
    pub files_before: u64,
    /// Files they became.
    pub files_after: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after.
    pub bytes_after: u64,
}

impl Lake {
    /// The version a table had at a time, in milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// `FixConfig` when the table did not exist then, or its log does not reach so far back.
    pub async fn version_at(&self, name: &TableName, at_ms: i64) -> Result<u64> {
        let (table, now) = self.existing(name).await?;
        let entries = table_history::history(&table, now.version(), usize::MAX).await?;
        let found = entries
            .iter()
            .find(|entry| entry.at_ms.is_some_and(|committed| committed <= at_ms));
        Ok(found.map(|entry| entry.version).ok_or_else(|| {
            let oldest = entries.last().map_or(0, |entry| entry.version);
            LakeError::Gone {
                table: name.to_string(),
                version: oldest,
                why: "it is the oldest version with a known time, and it is later".to_owned(),
            }
        })?)
    }

    /// The version whose rows a version has: compactions change none, and neither do loads that found
    /// nothing new.
    pub async fn version_of_rows(&self, name: &TableName, version: u64) -> Result<u64> {
        let table = self.table(name)?;
        let mut at = version;
        while at > 0 && table_history::keeps_rows(&table, at).await? {
            at -= 1;
        }
        Ok(at)
    }

    /// Every task that has written a table, as of now and of an older version.
    pub async fn tasks_then(
        &self,
        name: &TableName,
        version: u64,
    ) -> Result<Vec<CommitsAtVersion>> {
        let (table, now) = self.existing(name).await?;
        let then = older(&table, &now, version).await?;
        let mut tasks = Vec::new();
        for task in position::tasks(&table).await? {
            let app_id = task.app_id();
            let Some(present) = generation(&table, &now, &app_id).await? else {
                continue;
            };
            let before = generation(&table, &then, &app_id).await?;
            // A kill may have left the newest one unsettled.
            self.committed(&table, &now, &task).await?;
            let stored = match before {
                Some(before) => Positions::of(&table, &app_id).settled(before).await?,
                None => None,
            };
            let token = match (before, stored) {
                (None, _) => Some(Token::of(task.clone(), Generation(0))),
                (Some(_), stored) => stored.map(|stored| stored.committed().token),
            };
            tasks.push(CommitsAtVersion {
                task,
                now: present,
                then: before,
                token,
            });
        }
        Ok(tasks)
    }

    /// Makes an older version the newest one. `carried` are the tasks that have committed since: each
    /// with a generation nobody else was given, and where its next run reads on.
    ///
    /// # Errors
    /// `FixConfig` when that version is no longer there; `Refused` while other maintenance runs; `Retry`
    /// when a task that is not carried has committed meanwhile: its rows would go and never come again.
    pub async fn restore(
        &self,
        name: &TableName,
        version: u64,
        carried: Vec<Token>,
        run: &str,
    ) -> Result<Restored> {
        let restored = self.restore_held(name, version, &carried, run);
        Ok(self.holding(name, restored).await?)
    }

    async fn restore_held(
        &self,
        name: &TableName,
        version: u64,
        carried: &[Token],
        run: &str,
    ) -> LakeResult<Restored> {
        let attempt = uuid::Uuid::new_v4().simple().to_string();
        let marker = {
            let (table, now) = self.existing(name).await?;
            self.set_marker(&attempt, &table, Some(now.version()))
                .await?
        };
        for _ in 0..TRIES {
            let back = self.set_back(name, version, carried, (run, &attempt, &marker));
            if let Some(restored) = back.await? {
                return Ok(restored);
            }
        }
        Err(LakeError::Conflict {
            table: name.to_string(),
        })
    }

    async fn set_back(
        &self,
        name: &TableName,
        version: u64,
        carried: &[Token],
        (run, attempt, marker): (&str, &str, &AttemptMarker),
    ) -> LakeResult<Option<Restored>> {
        let (table, now) = self.existing(name).await?;
        now.check_writable(&table)?;
        let then = older(&table, &now, version).await?;
        let (old, new) = (then.files(&table), now.files(&table));
        let was: HashSet<&Key> = old.iter().map(|file| &file.key).collect();
        let is: HashSet<&Key> = new.iter().map(|file| &file.key).collect();
        let back: Vec<usize> = places(&old, |file| !is.contains(&file.key));
        let away: Vec<usize> = places(&new, |file| !was.contains(&file.key));
        all_there(&table, version, &old).await?;
        all_carried(&table, &now, &then, carried).await?;
        let next = now.version() + 1;
        let stats = PreparedStats {
            rows_after: old.iter().map(|file| file.rows).sum(),
            ..PreparedStats::default()
        };
        let stored: Vec<Stored> = carried
            .iter()
            .map(|carried| Stored::new(attempt, next, carried.clone(), stats))
            .collect();
        put_positions(&table, &stored).await?;
        fail::fail_point!("lake::restore_position_written");
        let operation = DeltaOperation::Restore {
            version: Some(version),
            datetime: None,
        };
        let own = own("restore", run, attempt, stats);
        let mut actions = vec![entry::info(&operation, Some(&now), own, false, json!({}))?];
        if now.state.metadata() != then.state.metadata() {
            let metadata: Metadata = then.state.metadata().clone();
            actions.push(Action::Metadata(metadata));
        }
        actions.extend(
            away.iter()
                .filter_map(|at| now.remove(*at))
                .map(Action::Remove),
        );
        actions.extend(back.iter().filter_map(|at| then.add(*at)).map(Action::Add));
        let entry = Entry {
            attempt,
            operation,
            actions,
            tokens: carried
                .iter()
                .map(|carried| Transaction::new(carried.task.app_id(), carried.generation.0))
                .collect(),
        };
        fail::fail_point!("lake::before_restore");
        entry::announce(&table, Some(&now), marker, &[]).await?;
        let tried = entry::put(&table, Some(&now), entry).await?;
        if matches!(tried, LogWrite::VersionTaken) {
            return Ok(None);
        }
        fail::fail_point!("lake::after_restore");
        settle_positions(&table, &stored).await?;
        entry::finish(&table, tried.post(), marker).await;
        Ok(Some(Restored {
            version: next,
            rows: stats.rows_after,
            files_added: back.len() as u64,
            files_removed: away.len() as u64,
        }))
    }

    /// Writes small files of a table together.
    ///
    /// # Errors
    /// `Retry` when others keep changing the very files; `Refused` while other maintenance runs.
    pub async fn compact(&self, name: &TableName, run: &str) -> Result<Compacted> {
        let compacted = Box::pin(async {
            self.clear_up().await;
            let mut round = 1;
            loop {
                match self.write_together(name, run).await {
                    Err(LakeError::Conflict { .. }) if round < ROUNDS => round += 1,
                    done => break done,
                }
            }
        });
        Ok(self.holding(name, compacted).await?)
    }

    async fn write_together(&self, name: &TableName, run: &str) -> LakeResult<Compacted> {
        let (table, now) = self.existing(name).await?;
        now.check_writable(&table)?;
        let small = self.sizes().file_bytes() / 2;
        let files: Vec<LakeFile> = now
            .files(&table)
            .into_iter()
            .filter(|file| file.bytes < small)
            .collect();
        if files.len() < 2 {
            return Ok(Compacted::default());
        }
        let attempt = uuid::Uuid::new_v4().simple().to_string();
        let marker = self
            .set_marker(&attempt, &table, Some(now.version()))
            .await?;
        let mut adds = self.rewritten(&table, &now, &files, &attempt).await?;
        fail::fail_point!("lake::compacted");
        let committed = match adds.len() < files.len() {
            true => put_together((&table, &marker), &now, &files, &mut adds, (run, &attempt)).await,
            false => Ok(None),
        };
        match &committed {
            Ok(Some(_)) => {}
            // The marker stays: whoever clears up asks the log whether it names the files.
            Err(error) if is_unsettled(error) => {
                drop(marker);
                return committed.map(|_| Compacted::default());
            }
            _ => {
                files::delete(&table, &adds).await?;
                marker.lift().await;
            }
        }
        let Some(version) = committed? else {
            return Ok(Compacted::default());
        };
        let new: Vec<LakeFile> = adds.iter().map(|add| lake_file(&table, add)).collect();
        Ok(Compacted {
            version: Some(version),
            files_before: files.len() as u64,
            files_after: new.len() as u64,
            bytes_before: files.iter().map(|file| file.bytes).sum(),
            bytes_after: new.iter().map(|file| file.bytes).sum(),
        })
    }

    async fn rewritten(
        &self,
        table: &Arc<Table>,
        now: &Snapshot,
        files: &[LakeFile],
        attempt: &str,
    ) -> LakeResult<Vec<Add>> {
        let schema = Arc::clone(&now.schema);
        let mut writer = FileWriter::new(
            Arc::clone(table),
            Arc::clone(&schema),
            self.sizes(),
            attempt,
        )?;
        let storage = Arc::clone(&table.storage);
        let mut batches = read_files(storage, files.to_vec(), schema, BatchSize::default());
        loop {
            match batches.try_next().await {
                Ok(Some(batch)) => writer.write(&batch).await?,
                Ok(None) => break,
                Err(error) => {
                    writer.abort().await?;
                    return Err(error);
                }
            }
        }
        let read = writer.rows();
        let adds = writer.close().await?;
        let expected: Option<u64> = files.iter().map(|file| file.rows).sum();
        match expected.filter(|expected| *expected != read) {
            None => Ok(adds),
            Some(expected) => {
                files::delete(table, &adds).await?;
                Err(LakeError::Rows {
                    address: table.address(),
                    read,
                    expected,
                })
            }
        }
    }
}

/// Puts new files in the place of old ones. None of their rows changes.
async fn put_together(
    (table, marker): (&Arc<Table>, &AttemptMarker),
    base: &Snapshot,
    old: &[LakeFile],
    adds: &mut [Add],
    (run, attempt): (&str, &str),
) -> LakeResult<Option<u64>> {
    for add in adds.iter_mut() {
        add.data_change = false;
    }
    let stats = PreparedStats {
        bytes: adds
            .iter()
            .map(|add| u64::try_from(add.size).unwrap_or(0))
            .sum(),
        ..PreparedStats::default()
    };
    let conflict = || LakeError::Conflict {
        table: table.name.to_string(),
    };
    for _ in 0..TRIES {
        let now = table.now().await?.ok_or_else(conflict)?;
        let removed = now.leaving(table, old);
        let Some(removed) = removed.filter(|_| now.same_shape(base)) else {
            return Err(conflict());
        };
        let operation = DeltaOperation::Optimize {
            predicate: None,
            target_size: 0,
        };
        let own = own(COMPACT, run, attempt, stats);
        let metrics = json!({
            "numFilesRemoved": old.len().to_string(),
            "numFilesAdded": adds.len().to_string(),
        });
        let mut actions = vec![entry::info(&operation, Some(&now), own, false, metrics)?];
        actions.extend(removed.into_iter().map(Action::Remove));
        actions.extend(adds.iter().cloned().map(Action::Add));
        let entry = Entry {
            attempt,
            operation,
            actions,
            tokens: Vec::new(),
        };
        entry::announce(table, Some(&now), marker, adds).await?;
        let tried = entry::put(table, Some(&now), entry).await?;
        if !matches!(tried, LogWrite::VersionTaken) {
            entry::finish(table, tried.post(), marker).await;
            return Ok(Some(now.version() + 1));
        }
    }
    Err(conflict())
}

async fn older(table: &Table, now: &Snapshot, version: u64) -> LakeResult<Snapshot> {
    if version > now.version() {
        return Err(LakeError::Missing {
            what: "version",
            name: format!("{version}` of `{}", table.name),
        });
    }
    table
        .open_at(Some(version))
        .await
        .map_err(|error| LakeError::Gone {
            table: table.name.to_string(),
            version,
            why: error.to_string(),
        })
}

/// Refuses a restore that would take rows of a task away and leave it standing behind them.
async fn all_carried(
    table: &Table,
    now: &Snapshot,
    then: &Snapshot,
    carried: &[Token],
) -> LakeResult<()> {
    for task in position::tasks(table).await? {
        let app_id = task.app_id();
        let present = generation(table, now, &app_id).await?;
        if present == generation(table, then, &app_id).await? {
            continue;
        }
        let above = |carried: &Token| present.is_none_or(|present| carried.generation > present);
        if !carried.iter().any(|c| c.task == task && above(c)) {
            return Err(LakeError::Conflict {
                table: table.name.to_string(),
            });
        }
    }
    Ok(())
}

/// Refuses a version some of whose files were vacuumed.
async fn all_there(table: &Table, version: u64, files: &[LakeFile]) -> LakeResult<()> {
    let mut missing = 0_u64;
    for file in files {
        missing += u64::from(head(&*table.storage, &file.key).await?.is_none());
    }
    match missing {
        0 => Ok(()),
        gone => Err(LakeError::Gone {
            table: table.name.to_string(),
            version,
            why: format!(
                "{gone} of its {} files were deleted by `lake vacuum`",
                files.len()
            ),
        }),
    }
}

async fn generation(table: &Table, at: &Snapshot, app_id: &str) -> LakeResult<Option<Generation>> {
    let present = at.state.transaction_version(&table.log, app_id).await;
    Ok(present
        .map_err(table.delta("reading the log of"))?
        .map(Generation))
}

fn places(files: &[LakeFile], wanted: impl Fn(&LakeFile) -> bool) -> Vec<usize> {
    let all = files.iter().enumerate();
    all.filter(|(_, file)| wanted(file))
        .map(|(at, _)| at)
        .collect()
}

fn own(write: &str, run: &str, attempt: &str, stats: PreparedStats) -> TowpathCommitInfo {
    TowpathCommitInfo {
        run: run.to_owned(),
        app_id: String::new(),
        generation: 0,
        attempt: attempt.to_owned(),
        write: write.to_owned(),
        stats,
    }
}

async fn put_positions(table: &Table, stored: &[Stored]) -> LakeResult<()> {
    for stored in stored {
        Positions::of(table, &stored.app_id()).put(stored).await?;
    }
    Ok(())
}

async fn settle_positions(table: &Table, stored: &[Stored]) -> LakeResult<()> {
    for stored in stored {
        Positions::of(table, &stored.app_id())
            .settle(stored.generation(), stored.attempt())
            .await?;
    }
    Ok(())
}
