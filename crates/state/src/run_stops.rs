//! Requests that a run stops: functions over an open transaction.
//!
//! Promise: a request is kept with its run, together with its event, and only a stronger one replaces it. After
//! it no task of the run is claimed. A run whose process has died ends at once, so that nobody resumes it. It
//! stops nothing itself: the process of the run reads the request. Read next: `runs.rs`, `tasks.rs` (claims).

use serde_json::{Value, json};
use towpath_ports::{RunEventKind, RunState, RunStop, StopReason, StopResult};
use towpath_vocab::{Environment, RunName};

use crate::codec::{maybe_json, to_column};
use crate::error::StateError;
use crate::journal::Journal;
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

/// Keeps a request with a run that is locked, unless that has one which is as strong.
async fn put(tx: &Tx<'_>, journal: &mut Journal, stop: &RunStop) -> Result<(), StateError> {
    if !stop.is_stronger(journal.stop.as_ref()) {
        return Ok(());
    }
    let body = to_column("request to stop", stop)?;
    tx.execute(
        "UPDATE run SET stop = ?2 WHERE id = ?1",
        cells![journal.id, body],
    )
    .await?;
    let kind = RunEventKind::StopRequested;
    journal
        .add(tx, tx.now_us, None, kind, &because(stop))
        .await?;
    journal.stop = Some(stop.clone());
    Ok(())
}

/// What the events of a run say about a request.
fn because(stop: &RunStop) -> Value {
    let why = match stop.why {
        StopReason::User => "cancelled",
        StopReason::Overlap => "overlap",
    };
    match &stop.by {
        Some(by) => json!({ "because": why, "by": by, "at_once": stop.at_once }),
        None => json!({ "because": why, "at_once": stop.at_once }),
    }
}

/// Asks the runs of the intervals of a schedule to stop, whose row is locked. One that a user goes on with is waited
/// for.
pub(crate) async fn request_of_schedule(
    tx: &Tx<'_>,
    (environment, pipeline): (&str, &str),
    stop: &RunStop,
) -> Result<(), StateError> {
    let rows = tx
        .rows(
            "SELECT run.id FROM scheduled_interval one JOIN run
                 ON run.pipeline = one.pipeline AND run.environment = one.environment
                 AND run.number = one.run_number
             WHERE one.environment = ?1 AND one.pipeline = ?2 AND one.state = 'running'
               AND run.state = 'running' AND run.scheduled = 1",
            cells![environment, pipeline],
        )
        .await?;
    for row in rows {
        let mut journal = Journal::of_row(tx, row.int(0)?).await?;
        // It may have ended meanwhile.
        if journal.is_running() {
            put(tx, &mut journal, stop).await?;
            journal.finish(tx).await?;
        }
    }
    Ok(())
}

/// The request about a run, by its row id.
pub(crate) async fn of_row(tx: &Tx<'_>, id: i64) -> Result<Option<RunStop>, StateError> {
    let found = tx
        .one("SELECT stop FROM run WHERE id = ?1", cells![id])
        .await?;
    match found {
        Some(row) => maybe_json("request to stop", &row, 0),
        None => Ok(None),
    }
}

/// The request about a run, by its name.
pub(crate) async fn of(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
) -> Result<Option<RunStop>, StateError> {
    let found = tx
        .one(
            "SELECT stop FROM run WHERE pipeline = ?1 AND environment = ?2 AND number = ?3",
            cells![name.pipeline.as_str(), environment.as_str(), name.number],
        )
        .await?;
    match found {
        Some(row) => maybe_json("request to stop", &row, 0),
        None => Ok(None),
    }
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
    let mut found = Vec::new();
    for row in &rows {
        let (id, worker) = (row.int(0)?, row.text(1)?);
        if !workers::has_live_worker(tx, id, worker, is_dead).await? {
            found.push((id, worker.to_owned()));
        }
    }
    Ok(found)
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
