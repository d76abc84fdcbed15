//! After a table was set back: records that were replayed into it since wait again.
//!
//! A replay's commit names the records it took. When the table is set back to before it, the rows they
//! became are gone, so they are held again; when it is set back to behind one that had been undone, its
//! rows are there again, and its records no longer wait. A commit that set the table back names the one
//! it led to, so commits are a tree: what a restore changes are the replays on the way from the newest
//! to the restored one, and nothing that an earlier restore undid.

use std::collections::{BTreeMap, BTreeSet};

use towpath_engine::lake::TaskThen;
use towpath_flow::quarantine_table;
use towpath_vocab::{Generation, TableName, TaskKey, TaskKind, Token};

use super::noting::{Taken, marked, taken_of};
use super::records::{Change, mark};
use crate::Result;
use crate::services::ProjectServices;

pub(crate) use super::noting::set_back;

/// Records of one load's replays whose rows come or go with a restore.
pub(crate) struct Again {
    replay: TaskKey,
    /// Their rows go.
    held: BTreeSet<String>,
    /// Their rows are there again.
    replayed: BTreeSet<String>,
}

/// True for the task of a replay, which no run has.
pub(crate) fn is_replay(task: &TaskKey) -> bool {
    task.kind == TaskKind::Replay
}

/// Finds the records whose replays are about to be undone, or to stand again.
pub(crate) async fn records(services: &ProjectServices, behind: &[TaskThen]) -> Result<Vec<Again>> {
    let mut found = Vec::new();
    for then in behind.iter().filter(|then| is_replay(&then.task)) {
        let commits = commits(services, &then.task).await?;
        let (held, replayed) = changed(&commits, then.now, then.then);
        found.push(Again {
            replay: then.task.clone(),
            held,
            replayed,
        });
    }
    Ok(found)
}

/// What the replays took whose rows a table has, as far as that is kept.
pub(super) async fn standing_replays(
    services: &ProjectServices,
    replay: &TaskKey,
) -> Result<Vec<Taken>> {
    let mut commits = commits(services, replay).await?;
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
    services: &ProjectServices,
    replay: &TaskKey,
) -> Result<BTreeMap<Generation, Taken>> {
    let mut commits = BTreeMap::new();
    for token in services.lake.tokens(replay).await? {
        commits.insert(
            token.generation,
            taken_of(&token.annotations)?.unwrap_or_default(),
        );
    }
    Ok(commits)
}

/// Records whose rows go, and those whose rows are there again.
fn changed(
    commits: &BTreeMap<Generation, Taken>,
    now: Generation,
    then: Option<Generation>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let stand_now = standing(commits, now);
    let stand_then = standing(commits, then.unwrap_or(Generation(0)));
    let ids = |replays: &BTreeSet<Generation>, without: &BTreeSet<Generation>| {
        let some = replays.difference(without);
        let some = some.filter_map(|generation| commits.get(generation));
        some.flat_map(Taken::passed).collect::<BTreeSet<_>>()
    };
    let (gone, back) = (ids(&stand_now, &stand_then), ids(&stand_then, &stand_now));
    (&gone - &back, &back - &gone)
}

/// The replays whose rows a table has behind a commit.
fn standing(commits: &BTreeMap<Generation, Taken>, from: Generation) -> BTreeSet<Generation> {
    let (mut found, mut from) = (BTreeSet::new(), from);
    while let Some((generation, taken)) = commits.range(..=from).next_back() {
        // Always further back: a commit that leads elsewhere is damaged, and the end of the way.
        let before = Generation(generation.0 - 1);
        from = match taken.back_to {
            Some(then) => before.min(Generation(then)),
            None => {
                found.insert(*generation);
                before
            }
        };
    }
    found
}

/// Gives them the status they have then; how many wait again.
pub(crate) async fn hold(
    services: &ProjectServices,
    table: &TableName,
    again: Vec<Again>,
    carried: &[Token],
) -> Result<u64> {
    let mut waiting = 0;
    if services
        .lake
        .version(&quarantine_table(table))
        .await?
        .is_none()
    {
        return Ok(waiting);
    }
    for Again {
        replay,
        held,
        replayed,
    } in again
    {
        let Some(carried) = carried.iter().find(|carried| carried.task == replay) else {
            continue;
        };
        let task = replay.beside(TaskKind::ReplayMark);
        let changes = vec![Change::of(&held, "held"), Change::of(&replayed, "replayed")];
        mark(services, &task, changes, marked(carried.generation)).await?;
        waiting += held.len() as u64;
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(ids: &[&str]) -> Taken {
        Taken {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Taken::default()
        }
    }

    fn back(to: i64) -> Taken {
        Taken {
            back_to: Some(to),
            ..Taken::default()
        }
    }

    fn told(commits: Vec<Taken>, then: i64) -> (String, String) {
        let commits: BTreeMap<_, _> = (1..).map(Generation).zip(commits).collect();
        let now = Generation(i64::try_from(commits.len()).unwrap_or(0));
        let (held, replayed) = changed(&commits, now, Some(Generation(then)));
        let line = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>().join(" ");
        (line(held), line(replayed))
    }

    #[test]
    fn a_restore_undoes_no_replay_twice() {
        let says = |held: &str, replayed: &str| (held.to_owned(), replayed.to_owned());
        let (a, b) = (|| replay(&["a"]), || replay(&["b"]));
        assert_eq!(told(vec![a(), b()], 0), says("a b", ""));
        assert_eq!(told(vec![a(), b()], 1), says("b", ""));
        // `a` was undone, and given up since: only `b` waits again.
        assert_eq!(told(vec![a(), back(0), b()], 0), says("b", ""));
        assert_eq!(told(vec![a(), back(0), b()], 2), says("b", ""));
        // Back to behind a replay that was undone: its rows are there again.
        assert_eq!(told(vec![a(), back(0), b()], 1), says("b", "a"));
        assert_eq!(told(vec![a(), back(0)], 1), says("", "a"));
        // The same record in both: its row is there before and after.
        assert_eq!(told(vec![a(), back(0), a()], 1), says("", ""));
        assert_eq!(told(vec![a(), back(0), a(), back(1)], 0), says("a", ""));
        assert_eq!(told(vec![a(), back(9)], 0), says("a", ""));
    }
}
