//! The requests that runs stop, as they are stored: functions over an open transaction.
//!
//! Promise: a request is kept with its run, together with its event, and only a stronger one replaces it. It ends
//! no run. Read next: `run_stops.rs`.

use serde_json::{Value, json};
use towpath_ports::{RunEventKind, RunStop, StopReason};
use towpath_vocab::{Environment, RunName};

use crate::codec::{maybe_json, to_column};
use crate::error::StateError;
use crate::journal::Journal;
use crate::tx::{Tx, cells};

/// Keeps a request with a run that is locked, unless that has one which is as strong.
pub(crate) async fn put(
    tx: &Tx<'_>,
    journal: &mut Journal,
    stop: &RunStop,
) -> Result<(), StateError> {
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
pub(crate) fn because(stop: &RunStop) -> Value {
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
