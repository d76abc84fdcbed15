//! What the log says about each version: what was done, by which run, how much it changed.
//!
//! Promise: commit info is not part of checkpoints: versions whose log entry was cleaned away are not listed.
//! Read next: `entry.rs`.

use bytes::Bytes;
use deltalake_core::kernel::{Action, CommitInfo};
use deltalake_core::logstore::get_actions;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use towpath_ports::PreparedStats;

use super::damage;
use super::error::LakeResult;
use super::table::Table;

/// The key of our part of commit info.
pub(crate) const OWN_INFO: &str = "towpath";

/// What we add to commit info.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TowpathCommitInfo {
    pub(crate) run: String,
    /// The task; empty for the maintenance of a table.
    pub(crate) app_id: String,
    pub(crate) generation: i64,
    pub(crate) attempt: String,
    pub(crate) write: String,
    pub(crate) stats: PreparedStats,
}

/// One version of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableHistoryEntry {
    /// The version.
    pub version: u64,
    /// When it was committed, in milliseconds since 1970 UTC.
    pub at_ms: Option<i64>,
    /// What was done, in Delta's words.
    pub operation: String,
    /// How it was written, in ours: `merge`.
    pub write: Option<String>,
    /// The run that did it.
    pub run: Option<String>,
    /// The task's id and generation.
    pub task: Option<(String, i64)>,
    /// Who wrote it: name and version.
    pub engine: Option<String>,
    /// How much it changed.
    pub stats: Option<PreparedStats>,
    /// Files added.
    pub files_added: u64,
    /// Files removed.
    pub files_removed: u64,
}

/// The newest versions, newest first.
pub(crate) async fn history(
    table: &Table,
    latest: u64,
    limit: usize,
) -> LakeResult<Vec<TableHistoryEntry>> {
    let mut entries = Vec::new();
    let mut version = Some(latest);
    while let Some(at) = version.filter(|_| entries.len() < limit) {
        let Some(actions) = actions(table, at).await? else {
            break;
        };
        entries.push(entry(at, &actions));
        version = at.checked_sub(1);
    }
    Ok(entries)
}

pub(crate) async fn actions(table: &Table, version: u64) -> LakeResult<Option<Vec<Action>>> {
    entry_text(table, version)
        .await?
        .map(|bytes| get_actions(version, &bytes))
        .transpose()
        .map_err(table.delta("reading the log of"))
}

async fn entry_text(table: &Table, version: u64) -> LakeResult<Option<Bytes>> {
    match table.log.read_commit_entry(version).await {
        Ok(text) => Ok(text),
        Err(source) => match damage::of_entry(table, version).await? {
            Some(damage) => Err(table.damaged(damage)),
            None => Err(table.delta("reading the log of")(source)),
        },
    }
}

/// What tells the commit of a version from every other one, also from one that got its number in another
/// history of the table: a hash of the log entry, which names files, times and attempts that do not
/// repeat, whoever wrote it. `None` when the entry was cleaned away.
pub(crate) async fn commit_id(table: &Table, version: u64) -> LakeResult<Option<String>> {
    let text = entry_text(table, version).await?;
    Ok(text.map(|text| {
        let digest = Sha256::digest(&text);
        let hex = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        hex.collect()
    }))
}

/// A version in words that no other one of any table has: its number, the identity the table was made
/// with, and its commit.
pub(crate) async fn version_text(table: &Table, version: u64, id: &str) -> LakeResult<String> {
    let commit = commit_id(table, version).await?;
    let commit = commit.as_deref().unwrap_or("not in the log any more");
    Ok(format!("version {version} of {id}, commit {commit}"))
}

/// The version and the attempt that committed this generation, as far back as the log's entries go.
pub(crate) async fn winner(
    table: &Table,
    latest: u64,
    app_id: &str,
    generation: i64,
) -> LakeResult<Option<(u64, String)>> {
    for at in (0..=latest).rev() {
        // Entries are cleaned away from the oldest on.
        let Some(actions) = actions(table, at).await? else {
            break;
        };
        if let Some(attempt) = attempt_of(&actions, app_id, generation) {
            return Ok(Some((at, attempt)));
        }
    }
    Ok(None)
}

/// Who committed a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Committer {
    /// Nobody yet.
    Nobody,
    /// An attempt of ours.
    Attempt(String),
    /// Another program.
    Other,
}

/// Who committed this version.
pub(crate) async fn committer_of(table: &Table, version: u64) -> LakeResult<Committer> {
    let Some(actions) = actions(table, version).await? else {
        return Ok(Committer::Nobody);
    };
    let own = actions
        .iter()
        .find_map(|action| own_info(commit_info(action)?));
    Ok(own.map_or(Committer::Other, |own| Committer::Attempt(own.attempt)))
}

/// True when a version has the rows and columns of the one before; false also when its entry is gone.
pub(crate) async fn keeps_rows(table: &Table, version: u64) -> LakeResult<bool> {
    let changes = |action: &Action| match action {
        Action::Add(add) => add.data_change,
        Action::Remove(remove) => remove.data_change,
        Action::CommitInfo(_) | Action::Txn(_) | Action::DomainMetadata(_) => false,
        _ => true,
    };
    let actions = actions(table, version).await?;
    Ok(actions.is_some_and(|actions| !actions.iter().any(changes)))
}

/// True when an attempt committed one of the versions behind `base`, as far as the log's entries tell:
/// where one is gone, it may have.
pub(crate) async fn has_committed(
    table: &Table,
    base: Option<u64>,
    latest: u64,
    attempt: &str,
) -> LakeResult<bool> {
    let first = base.map_or(0, |base| base + 1);
    for at in (first..=latest).rev() {
        let Some(actions) = actions(table, at).await? else {
            return Ok(true);
        };
        let own = actions
            .iter()
            .find_map(|action| own_info(commit_info(action)?));
        if own.is_some_and(|own| own.attempt == attempt) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Paths of files that entries took out of the table, with the time in milliseconds since 1970 UTC.
pub(crate) async fn removals(table: &Table, latest: u64) -> LakeResult<Vec<(String, Option<i64>)>> {
    let mut removed = Vec::new();
    for at in (0..=latest).rev() {
        // Entries are cleaned away from the oldest on.
        let Some(actions) = actions(table, at).await? else {
            break;
        };
        removed.extend(actions.into_iter().filter_map(|action| match action {
            Action::Remove(remove) => {
                let path = Path::from_url_path(&remove.path).map(|path| path.to_string());
                Some((path.unwrap_or(remove.path), remove.deletion_timestamp))
            }
            _ => None,
        }));
    }
    Ok(removed)
}

fn attempt_of(actions: &[Action], app_id: &str, generation: i64) -> Option<String> {
    actions
        .iter()
        .find_map(|action| own_info(commit_info(action)?))
        .filter(|own| own.app_id == app_id && own.generation == generation)
        .map(|own| own.attempt)
}

fn commit_info(action: &Action) -> Option<&CommitInfo> {
    match action {
        Action::CommitInfo(info) => Some(info),
        _ => None,
    }
}

fn own_info(info: &CommitInfo) -> Option<TowpathCommitInfo> {
    serde_json::from_value(info.info.get(OWN_INFO)?.clone()).ok()
}

fn entry(version: u64, actions: &[Action]) -> TableHistoryEntry {
    let info = actions.iter().find_map(commit_info);
    let own = info.and_then(own_info);
    let count =
        |wanted: fn(&Action) -> bool| actions.iter().filter(|action| wanted(action)).count() as u64;
    TableHistoryEntry {
        version,
        at_ms: info.and_then(|info| info.timestamp),
        operation: info
            .and_then(|info| info.operation.clone())
            .unwrap_or_default(),
        engine: info.and_then(|info| info.engine_info.clone()),
        files_added: count(|action| matches!(action, Action::Add(_))),
        files_removed: count(|action| matches!(action, Action::Remove(_))),
        write: own.as_ref().map(|own| own.write.clone()),
        run: own.as_ref().map(|own| own.run.clone()),
        task: own
            .as_ref()
            .filter(|own| !own.app_id.is_empty())
            .map(|own| (own.app_id.clone(), own.generation)),
        stats: own.map(|own| own.stats),
    }
}
