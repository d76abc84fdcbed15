//! What becomes of runs that were asked to stop: functions over an open transaction.
//!
//! Promise: after a request no task of the run is claimed. A run whose process has died ends at once, so that nobody
//! resumes it. It stops nothing itself: the process of the run reads the request. Read next: `stop_requests.rs`,
//! `runs.rs`, `tasks.rs` (claims).

use towpath_ports::{RunState, RunStop, StopResult};
use towpath_vocab::{Environment, RunName};

use crate::error::StateError;
use crate::journal::Journal;
use crate::stop_requests::{because, put};
use crate::tx::{Tx, cells};
use crate::{runs, workers};

/// Asks a run to stop. Returns its worker, if that is dead: then the run has ended.
pub(crate) async fn request(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
    stop: &RunStop,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(StopResult, Option<String>), StateError> {
    let journal = Journal::of(tx, name, environment).await?;
    let Some(mut journal) = journal.filter(Journal::is_running) else {
        return Ok((StopResult::NotRunning, None));
    };
    put(tx, &mut journal, stop).await?;
    journal.finish(tx).await?;
    if workers::has_live_worker(tx, journal.id, &journal.worker, is_dead).await? {
        return Ok((StopResult::Requested, None));
    }
    workers::remove(tx, &journal.worker).await?;
    end(tx, journal.id, stop).await?;
    Ok((StopResult::Ended, Some(journal.worker)))
}

/// The runs that were asked to stop and whose process has died: the row of each, and its worker.
pub(crate) async fn lost(
    tx: &Tx<'_>,
    environment: &Environment,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<(i64, String)>, StateError> {
    let rows = tx
        .rows(
            "SELECT id, worker FROM run
             WHERE environment = ?1 AND state = 'running' AND stop IS NOT NULL ORDER BY id",
            cells![environment.as_str()],
        )
        .await?;
    workers::without_live(tx, &rows, is_dead).await
}

/// Ends a run that was asked to stop and whose process is dead. One whose tasks had all ended is not cancelled.
pub(crate) async fn end(tx: &Tx<'_>, id: i64, stop: &RunStop) -> Result<(), StateError> {
    let found = tx
        .one(
            "SELECT count(*), count(CASE WHEN state IN ('succeeded', 'unchanged', 'skipped', 'failed', 'cancelled')
                                    THEN 1 END),
                    count(CASE WHEN state = 'failed' THEN 1 END),
                    count(CASE WHEN state = 'cancelled' THEN 1 END)
             FROM task WHERE run = ?1",
            cells![id],
        )
        .await?;
    let state = match found {
        Some(row) if row.count(0)? == row.count(1)? => match (row.count(2)?, row.count(3)?) {
            (0, 0) => RunState::Succeeded,
            (0, _) => RunState::Cancelled,
            _ => RunState::Failed,
        },
        _ => RunState::Cancelled,
    };
    runs::put_down(tx, id, state, &because(stop)).await
}
