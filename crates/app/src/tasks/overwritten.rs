//! Finds out whether a table of the lakehouse still contains what a task committed to it.
//!
//! Another task, another environment with the same lakehouse, or another program may have changed the rows
//! since. Then the task must not be skipped as unchanged. Promise: it reads only the table's log, in most
//! cases one entry of it.

use towpath_engine::Lake;
use towpath_engine::lake::TableHistoryEntry;
use towpath_vocab::{TaskKey, TaskKind};

use crate::Result;

/// The operation of a compaction in a table's history; it changes no row.
const COMPACT: &str = "compact";
/// The operation of a compaction by other programs.
const OPTIMIZE: &str = "OPTIMIZE";

/// True if rows were changed after the last commit of this task, except by a replay of its rejected
/// records. Log entries that were cleaned up are assumed to be its own.
pub(super) async fn is_overwritten(lake: &Lake, task: &TaskKey) -> Result<bool> {
    for limit in [1, 16, usize::MAX] {
        let entries = lake.history(&task.table, limit).await?;
        if let Some(answer) = entries.iter().find_map(|entry| overwrote(entry, task)) {
            return Ok(answer);
        }
        if entries.len() < limit {
            return Ok(false);
        }
    }
    Ok(false)
}

/// What one version says about this; `None` if it says nothing.
fn overwrote(entry: &TableHistoryEntry, task: &TaskKey) -> Option<bool> {
    let changed = entry.files_added + entry.files_removed > 0;
    let replay = task.beside(TaskKind::Replay);
    match (&entry.task, entry.write.as_deref()) {
        (Some((app_id, _)), _) if *app_id == task.app_id() => Some(false),
        (Some((app_id, _)), _) if *app_id == replay.app_id() => None,
        (Some(_), _) => changed.then_some(true),
        (None, Some(COMPACT)) => None,
        // A restore gives every task its earlier position.
        (None, Some(_)) => Some(false),
        (None, None) if entry.operation == OPTIMIZE => None,
        (None, None) => changed.then_some(true),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(environment: &str, step: &str) -> TaskKey {
        TaskKey {
            project: "p".into(),
            environment: environment.into(),
            pipeline: "p".into(),
            step: step.into(),
            kind: TaskKind::Step,
            table: "raw.t".parse().unwrap(),
        }
    }

    fn entry(task: Option<&TaskKey>, write: Option<&str>) -> TableHistoryEntry {
        TableHistoryEntry {
            version: 1,
            at_ms: None,
            operation: "WRITE".to_owned(),
            write: write.map(str::to_owned),
            run: None,
            task: task.map(|task| (task.app_id(), 1)),
            engine: None,
            stats: None,
            files_added: 1,
            files_removed: 0,
        }
    }

    #[test]
    fn only_changes_of_others_overwrite() {
        let ours = key("dev", "pull");
        let say = |task: Option<&TaskKey>, write| overwrote(&entry(task, write), &ours);
        assert_eq!(say(Some(&ours), Some("replace")), Some(false));
        assert_eq!(
            say(Some(&ours.beside(TaskKind::Replay)), Some("merge")),
            None
        );
        assert_eq!(say(Some(&key("prod", "pull")), Some("replace")), Some(true));
        assert_eq!(say(Some(&key("dev", "other")), Some("merge")), Some(true));
        assert_eq!(say(None, Some("compact")), None);
        assert_eq!(say(None, Some("restore")), Some(false));
        assert_eq!(say(None, None), Some(true));
        let nothing = TableHistoryEntry {
            files_added: 0,
            ..entry(None, None)
        };
        assert_eq!(overwrote(&nothing, &ours), None);
    }
}
