//! After a restore of a table: records whose replay was undone are in the quarantine again.
//!
//! The commit of a replay names its records. If the table is restored to a version before that commit, the
//! rows are gone and the records wait again. If it is restored to a version after a replay that had been
//! undone, the rows are there again and the records no longer wait. A commit that restores the table names
//! the replay whose state it restored, so commits form a tree: a restore changes the replays between the
//! newest and the restored one, and nothing that an earlier restore undid.

use std::collections::{BTreeMap, BTreeSet};

use towpath_flow::quarantine_table;
use towpath_ports::Result;
use towpath_vocab::{Generation, TableName, TaskKey, TaskKind, Token};

use crate::QuarantinePorts;
use crate::decide::{ReplayedRecords, changed, standing};
use crate::records::{Change, set_statuses};
use crate::replay_note::{replay_position, taken_of};

/// A task of a table that is restored.
pub struct RestoredTask {
    /// The task.
    pub task: TaskKey,
    /// Its last commit.
    pub now: Generation,
    /// Its last commit in the restored version; `None` if that is before its first.
    pub then: Option<Generation>,
}

/// Records of one load's replays whose rows appear or disappear with a restore.
pub struct RestoreEffect {
    replay: TaskKey,
    /// Records whose rows disappear.
    held: BTreeSet<String>,
    /// Records whose rows are there again.
    replayed: BTreeSet<String>,
}

/// True for the task of a replay, which is not in any run.
pub fn is_replay(task: &TaskKey) -> bool {
    task.kind == TaskKind::Replay
}

/// Finds the records whose replays a restore will undo or bring back.
///
/// # Errors
/// Those of the lakehouse.
pub async fn records(
    ports: &QuarantinePorts,
    behind: &[RestoredTask],
) -> Result<Vec<RestoreEffect>> {
    let mut found = Vec::new();
    for then in behind.iter().filter(|then| is_replay(&then.task)) {
        let commits = commits(ports, &then.task).await?;
        let (held, replayed) = changed(&commits, then.now, then.then);
        found.push(RestoreEffect {
            replay: then.task.clone(),
            held,
            replayed,
        });
    }
    Ok(found)
}

/// The records of the replays whose rows are in a table, as far back as the log goes.
pub(crate) async fn standing_replays(
    ports: &QuarantinePorts,
    replay: &TaskKey,
) -> Result<Vec<ReplayedRecords>> {
    let mut commits = commits(ports, replay).await?;
    let standing = match commits.keys().next_back() {
        Some(last) => standing(&commits, *last),
        None => BTreeSet::new(),
    };
    let standing = standing.iter();
    Ok(standing
        .filter_map(|generation| commits.remove(generation))
        .collect())
}

async fn commits(
    ports: &QuarantinePorts,
    replay: &TaskKey,
) -> Result<BTreeMap<Generation, ReplayedRecords>> {
    let mut commits = BTreeMap::new();
    for token in ports.log.tokens(replay).await? {
        commits.insert(
            token.generation,
            taken_of(&token.annotations)?.unwrap_or_default(),
        );
    }
    Ok(commits)
}

/// Sets their status after the restore; returns how many wait again.
///
/// # Errors
/// Those of the lakehouse.
pub async fn hold(
    ports: &QuarantinePorts,
    table: &TableName,
    again: Vec<RestoreEffect>,
    carried: &[Token],
) -> Result<u64> {
    let mut waiting = 0;
    if ports.lake.schema(&quarantine_table(table)).await?.is_none() {
        return Ok(waiting);
    }
    for RestoreEffect {
        replay,
        held,
        replayed,
    } in again
    {
        let Some(carried) = carried.iter().find(|carried| carried.task == replay) else {
            continue;
        };
        let task = replay.beside(TaskKind::ReplayStatus);
        let changes = vec![Change::of(&held, "held"), Change::of(&replayed, "replayed")];
        set_statuses(ports, &task, changes, replay_position(carried.generation)).await?;
        waiting += held.len() as u64;
    }
    Ok(waiting)
}
