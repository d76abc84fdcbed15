//! Decides the status of replayed records, from commits alone: pure functions.
//!
//! Promise: nothing here queries a table or waits; equal commits give equal results. The commits of replays
//! form a tree, because a commit that restores the table names the replay whose state it restored.
//! `replay.rs` and `after_restore.rs` read the commits and write the status; `admission.rs` decides which row
//! of a key is loaded.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use towpath_vocab::Generation;

use crate::admission::LetIn;

/// The records of a replay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ReplayedRecords {
    /// The commit of the load from which these records were rejected.
    pub(crate) of: i64,
    /// The ids of all records.
    pub(crate) ids: BTreeSet<String>,
    /// The ids of those that were rejected again, or must wait.
    pub(crate) failed: BTreeSet<String>,
    /// The ids of those whose key has a newer row.
    #[serde(default)]
    pub(crate) outdated: BTreeSet<String>,
    /// The keys of those that became rows and had been rejected from the load's last commit, for tables
    /// with a key.
    #[serde(default, skip_serializing_if = "LetIn::is_empty")]
    pub(crate) keys: LetIn,
    /// For a commit that restored the table: the replay whose state it restored, 0 for the state before the
    /// first. The other fields are then those of that replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) back_to: Option<i64>,
}

impl ReplayedRecords {
    /// The ids of those that became rows.
    pub(crate) fn passed(&self) -> BTreeSet<String> {
        let is_row = |id: &&String| !self.failed.contains(*id) && !self.outdated.contains(*id);
        self.ids.iter().filter(is_row).cloned().collect()
    }
}

/// Records that get a status after a replay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StatusesDue {
    /// Those that became rows.
    pub(crate) replayed: BTreeSet<String>,
    /// Those whose key has a newer row.
    pub(crate) outdated: BTreeSet<String>,
}

/// The records of the last committed replay whose status must still be set. `None` if that was done, or if the
/// load has decided about these records again since. `last_with_statuses` is the last replay whose
/// records have their status.
pub(crate) fn statuses_due(
    replay: Generation,
    taken: &ReplayedRecords,
    last_with_statuses: Option<u64>,
    decided_anew: bool,
) -> Option<StatusesDue> {
    let order = u64::try_from(replay.0).unwrap_or(0);
    let have_statuses = last_with_statuses.is_some_and(|last| last >= order);
    (!have_statuses && !decided_anew).then(|| StatusesDue {
        replayed: taken.passed(),
        outdated: taken.outdated.clone(),
    })
}

/// Records whose rows disappear with a restore, and those whose rows are there again.
pub(crate) fn changed(
    commits: &BTreeMap<Generation, ReplayedRecords>,
    now: Generation,
    then: Option<Generation>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let stand_now = standing(commits, now);
    let stand_then = standing(commits, then.unwrap_or(Generation(0)));
    let ids = |replays: &BTreeSet<Generation>, without: &BTreeSet<Generation>| {
        let some = replays.difference(without);
        let some = some.filter_map(|generation| commits.get(generation));
        some.flat_map(ReplayedRecords::passed)
            .collect::<BTreeSet<_>>()
    };
    let (gone, back) = (ids(&stand_now, &stand_then), ids(&stand_then, &stand_now));
    (&gone - &back, &back - &gone)
}

/// The replays whose rows are in a table after a commit.
pub(crate) fn standing(
    commits: &BTreeMap<Generation, ReplayedRecords>,
    from: Generation,
) -> BTreeSet<Generation> {
    let (mut found, mut from) = (BTreeSet::new(), from);
    while let Some((generation, taken)) = commits.range(..=from).next_back() {
        // Always further back: a commit that refers to a later one is damaged, and ends the search.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(ids: &[&str]) -> ReplayedRecords {
        ReplayedRecords {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..ReplayedRecords::default()
        }
    }

    fn back(to: i64) -> ReplayedRecords {
        ReplayedRecords {
            back_to: Some(to),
            ..ReplayedRecords::default()
        }
    }

    fn changed_ids(commits: Vec<ReplayedRecords>, then: i64) -> (String, String) {
        let commits: BTreeMap<_, _> = (1..).map(Generation).zip(commits).collect();
        let now = Generation(i64::try_from(commits.len()).unwrap_or(0));
        let (held, replayed) = changed(&commits, now, Some(Generation(then)));
        let line = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>().join(" ");
        (line(held), line(replayed))
    }

    #[test]
    fn a_replay_that_died_before_its_statuses_is_finished_once() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let taken = ReplayedRecords {
            failed: ids(&["b"]),
            outdated: ids(&["c"]),
            ..replay(&["a", "b", "c"])
        };
        let due = |last_with_statuses, anew| {
            statuses_due(Generation(3), &taken, last_with_statuses, anew)
        };
        let all = StatusesDue {
            replayed: ids(&["a"]),
            outdated: ids(&["c"]),
        };
        assert_eq!(due(None, false).as_ref(), Some(&all));
        assert_eq!(due(Some(2), false), Some(all));
        assert_eq!(due(Some(3), false), None);
        assert_eq!(due(None, true), None, "the load read every record again");
    }

    #[test]
    fn a_restore_undoes_no_replay_twice() {
        let says = |held: &str, replayed: &str| (held.to_owned(), replayed.to_owned());
        let (a, b) = (|| replay(&["a"]), || replay(&["b"]));
        assert_eq!(changed_ids(vec![a(), b()], 0), says("a b", ""));
        assert_eq!(changed_ids(vec![a(), b()], 1), says("b", ""));
        // `a` was undone, and given up since: only `b` waits again.
        assert_eq!(changed_ids(vec![a(), back(0), b()], 0), says("b", ""));
        assert_eq!(changed_ids(vec![a(), back(0), b()], 2), says("b", ""));
        // Back to behind a replay that was undone: its rows are there again.
        assert_eq!(changed_ids(vec![a(), back(0), b()], 1), says("b", "a"));
        assert_eq!(changed_ids(vec![a(), back(0)], 1), says("", "a"));
        // The same record in both: its row is there before and after.
        assert_eq!(changed_ids(vec![a(), back(0), a()], 1), says("", ""));
        assert_eq!(
            changed_ids(vec![a(), back(0), a(), back(1)], 0),
            says("a", "")
        );
        assert_eq!(changed_ids(vec![a(), back(9)], 0), says("a", ""));
    }
}
