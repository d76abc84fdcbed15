//! What happens to runs whose process has died, where nobody is to resume them.
//!
//! Promise: the run of a cancelled backfill ends, and so does one that was asked to stop; a scheduled run that has lost `MOST_LOST_PROCESSES` processes
//! in a row, without a task having ended well in between, fails with R0814, and a submitted one that cannot go on
//! fails with its reason. All are events of the run, in the
//! transaction that ends it. It does not know what killed a process. Read next: `runs.rs`.

use serde_json::{Value, json};
use towpath_ports::{MOST_LOST_PROCESSES, RunEventKind, RunState, TaskState};
use towpath_vocab::{Environment, Failure, RunName};

use crate::backfill_runs::lost_and_cancelled;
use crate::codec::to_column;
use crate::error::{StateError, lost_too_often};
use crate::journal::Journal;
use crate::tx::{Tx, cells};
use crate::{run_history, run_stops, runs, workers};

/// The runs whose process has died and which nobody is to resume: those of cancelled backfills, and those that
/// were asked to stop.
pub(crate) async fn not_resumed(
    tx: &Tx<'_>,
    environment: &Environment,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<(i64, String)>, StateError> {
    let mut found = lost_and_cancelled(tx, environment, is_dead).await?;
    found.extend(run_stops::lost(tx, environment, is_dead).await?);
    Ok(found)
}

/// Ends these runs. Returns their workers.
pub(crate) async fn end_cancelled(
    tx: &Tx<'_>,
    environment: &Environment,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<String>, StateError> {
    let mut ended = Vec::new();
    for (id, _) in not_resumed(tx, environment, is_dead).await? {
        let journal = Journal::of_row(tx, id).await?;
        // Somebody may have resumed it meanwhile.
        let worker = journal.worker.clone();
        if journal.is_running() && !workers::has_live_worker(tx, id, &worker, is_dead).await? {
            workers::remove(tx, &worker).await?;
            match &journal.stop {
                Some(stop) => run_stops::end(tx, id, stop).await?,
                None => runs::interrupt(tx, id).await?,
            }
            ended.push(worker);
        }
    }
    Ok(ended)
}

/// How many processes in a row have died while they had this run, which is running and has no live one.
pub(crate) async fn lost_processes(tx: &Tx<'_>, id: i64) -> Result<u64, StateError> {
    let resumed = tx
        .one(
            "SELECT count(*) FROM event WHERE run = ?1 AND kind = 'run_resumed' AND seq > (
                 SELECT coalesce(max(seq), 0) FROM event WHERE run = ?1
                   AND kind IN ('task_succeeded', 'task_unchanged', 'run_cancelled', 'run_failed'))",
            cells![id],
        )
        .await?;
    Ok(resumed.map_or(Ok(0), |row| row.count(0))? + 1)
}

/// The same of a run by its name; 0 while its process lives, or when it is not running.
pub(crate) async fn lost_processes_of(
    tx: &Tx<'_>,
    run: &RunName,
    environment: &Environment,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<u64, StateError> {
    let Some(id) = run_history::id_of(tx, run, environment).await? else {
        return Ok(0);
    };
    let record = run_history::run_by_id(tx, id).await?;
    if record.state != RunState::Running
        || workers::has_live_worker(tx, id, &record.worker, is_dead).await?
    {
        return Ok(0);
    }
    lost_processes(tx, id).await
}

/// Fails a run that has lost so many processes in a row, if these are too many; true then.
pub(crate) async fn give_up(tx: &Tx<'_>, id: i64) -> Result<bool, StateError> {
    let lost = lost_processes(tx, id).await?;
    if lost < MOST_LOST_PROCESSES {
        return Ok(false);
    }
    let name = run_history::run_by_id(tx, id).await?.name;
    let body = json!({ "because": "lost", "processes": lost });
    fail(tx, id, &lost_too_often(&name, lost), &body).await?;
    Ok(true)
}

/// Fails a run that has no live process: the tasks that it was at, or else the first that waits.
pub(crate) async fn fail(
    tx: &Tx<'_>,
    id: i64,
    failure: &Failure,
    body: &Value,
) -> Result<(), StateError> {
    let failure = to_column("failure", failure)?;
    let mut failed = runs::tasks_in(tx, id, TaskState::Running).await?;
    // It may be that no task had begun.
    for state in [TaskState::Ready, TaskState::Retrying, TaskState::Waiting] {
        if failed.is_empty() {
            failed.extend(runs::tasks_in(tx, id, state).await?.into_iter().next());
        }
    }
    let mut journal = Journal::of_row(tx, id).await?;
    for task in &failed {
        tx.execute(
            "UPDATE task SET state = 'failed', fence = fence + 1, ended_us = ?3, worker = NULL, failure = ?4
             WHERE run = ?1 AND id = ?2",
            cells![id, task, tx.now_us, &failure],
        )
        .await?;
        let kind = RunEventKind::Task(TaskState::Failed);
        journal.add(tx, tx.now_us, Some(task), kind, body).await?;
    }
    journal.finish(tx).await?;
    runs::put_down(tx, id, RunState::Failed, body).await
}

/// Fails a run of a submission that cannot go on. Returns its worker; nothing if it has ended or goes on.
pub(crate) async fn fail_unable(
    tx: &Tx<'_>,
    run: &RunName,
    environment: &Environment,
    failure: &Failure,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Option<String>, StateError> {
    let journal = Journal::of(tx, run, environment).await?;
    let Some(journal) = journal.filter(Journal::is_running) else {
        return Ok(None);
    };
    if workers::has_live_worker(tx, journal.id, &journal.worker, is_dead).await? {
        return Ok(None);
    }
    workers::remove(tx, &journal.worker).await?;
    match &journal.stop {
        Some(stop) => run_stops::end(tx, journal.id, stop).await?,
        None => {
            let body = json!({ "because": "cannot go on", "code": failure.code });
            fail(tx, journal.id, failure, &body).await?;
        }
    }
    Ok(Some(journal.worker))
}
