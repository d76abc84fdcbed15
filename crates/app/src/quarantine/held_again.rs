//! After a table was set back: records that were replayed into it since wait again.
//!
//! A replay's commit names the records it took. When the table is set back to before it, the rows they
//! became are gone, so they are held again. It knows nothing of versions: which commits are undone is
//! said by the caller.

use std::collections::BTreeSet;

use towpath_engine::lake::{Carried, TaskThen};
use towpath_flow::quarantine_table;
use towpath_vocab::{StepName, TableName, TaskKey};

use super::noting::{marked, taken_of};
use super::records::{Change, mark};
use crate::Result;
use crate::house::House;

/// How the step of a replay's task ends.
const REPLAY: &str = " replay";

/// Records that one load's replays took since then, and passed.
pub(crate) struct Again {
    replay: TaskKey,
    ids: BTreeSet<String>,
}

/// True for the task of a replay, which no run has.
pub(crate) fn is_replay(task: &TaskKey) -> bool {
    task.step.to_string().ends_with(REPLAY)
}

/// Finds the records whose replays are about to be undone.
pub(crate) async fn records(house: &House, behind: &[TaskThen]) -> Result<Vec<Again>> {
    let mut found = Vec::new();
    for then in behind.iter().filter(|then| is_replay(&then.task)) {
        let undone = house.lake.positions_since(&then.task, then.then).await?;
        let mut ids = BTreeSet::new();
        for position in &undone {
            if let Some(taken) = taken_of(position)? {
                ids.extend(taken.passed());
            }
        }
        if !ids.is_empty() {
            found.push(Again {
                replay: then.task.clone(),
                ids,
            });
        }
    }
    Ok(found)
}

/// Gives them their status back; how many there are.
pub(crate) async fn hold(
    house: &House,
    table: &TableName,
    again: Vec<Again>,
    carried: &[Carried],
) -> Result<u64> {
    let mut held = 0;
    if house
        .lake
        .version(&quarantine_table(table))
        .await?
        .is_none()
    {
        return Ok(held);
    }
    for Again { replay, ids } in again {
        let Some(carried) = carried.iter().find(|carried| carried.task == replay) else {
            continue;
        };
        let task = TaskKey {
            step: StepName::new(format!("{} mark", replay.step)),
            ..replay
        };
        let change = Change::of(&ids, "held");
        mark(house, &task, vec![change], marked(carried.generation)).await?;
        held += ids.len() as u64;
    }
    Ok(held)
}
