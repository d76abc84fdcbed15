//! Runs that clients submit with a key: functions over an open transaction.
//!
//! Promise: a key has one run. The run and its key are committed together, so of two servers that get the same
//! request one begins the run, and a client that asks again after a crash gets that run. A submitted run that has
//! lost too many processes in a row is given up, as a scheduled one. It does not know HTTP. Read next: `runs.rs`.

use serde_json::Value;
use towpath_ports::{NewRun, Opened, RunRecord, RunState, Submission};
use towpath_vocab::Environment;

use crate::codec::{json, to_column};
use crate::error::StateError;
use crate::run_history::{id_of, run_by_id};
use crate::runs::Opening;
use crate::tx::{Row, Tx, cells};
use crate::{lost_runs, runs, workers};

/// What became of a submission.
pub(crate) enum Submitting {
    /// The run was opened, or was not, as any other.
    Opened(Opening),
    /// The key has this run already.
    Known(RunRecord),
    /// The key belongs to another request.
    OtherRequest,
}

const SUBMISSION: &str =
    "SELECT submission.key, submission.request, submission.submitted_by, submission.run
    FROM submission JOIN run ON run.id = submission.run WHERE submission.environment = ?1";

/// Opens the run of a submission.
pub(crate) async fn open(
    tx: &Tx<'_>,
    run: &NewRun,
    submission: &Submission,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Submitting, StateError> {
    let mut dead_worker = None;
    if let Some((found, id)) = one(tx, &submission.environment, &submission.key).await? {
        if found.request != submission.request {
            return Ok(Submitting::OtherRequest);
        }
        let record = run_by_id(tx, id).await?;
        if record.worker == run.worker {
            // The answer to the commit was lost, and this is the second try.
            let opened = Opened::New(record);
            return Ok(Submitting::Opened(Opening {
                opened,
                dead_worker,
            }));
        }
        let lives = workers::has_live_worker(tx, id, &record.worker, is_dead).await?;
        if record.state != RunState::Running || lives {
            return Ok(Submitting::Known(record));
        }
        if lost_runs::give_up(tx, id).await? {
            workers::remove(tx, &record.worker).await?;
            dead_worker = Some(record.worker);
            let opened = Opened::GivenUp(run_by_id(tx, id).await?);
            return Ok(Submitting::Opened(Opening {
                opened,
                dead_worker,
            }));
        }
    }
    let opening = runs::open(tx, run, is_dead).await?;
    match &opening.opened {
        Opened::New(record) | Opened::Resumed(record) => keep(tx, submission, record).await?,
        Opened::Busy(record) => {
            // Another server may have been quicker with the same request.
            let found = one(tx, &submission.environment, &submission.key).await?;
            let id = id_of(tx, &record.name, &record.environment).await?;
            if let Some((found, its_run)) = found
                && Some(its_run) == id
            {
                return Ok(match found.request == submission.request {
                    true => Submitting::Known(record.clone()),
                    false => Submitting::OtherRequest,
                });
            }
        }
        Opened::Decided | Opened::GivenUp(_) => {}
    }
    Ok(Submitting::Opened(opening))
}

async fn keep(tx: &Tx<'_>, submission: &Submission, record: &RunRecord) -> Result<(), StateError> {
    let Some(id) = id_of(tx, &record.name, &record.environment).await? else {
        return Err(StateError::NoSuchRun {
            run: record.name.clone(),
        });
    };
    // A run that superseded the one of this key takes its place.
    tx.execute(
        "INSERT INTO submission (environment, key, request, submitted_by, submitted_us, run)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (environment, key) DO UPDATE SET run = excluded.run",
        cells![
            submission.environment.as_str(),
            &submission.key,
            to_column("submission", &submission.request)?,
            &submission.by,
            tx.now_us,
            id
        ],
    )
    .await?;
    Ok(())
}

/// The submission with this key, and the row of its run.
async fn one(
    tx: &Tx<'_>,
    environment: &Environment,
    key: &str,
) -> Result<Option<(Submission, i64)>, StateError> {
    let found = format!("{SUBMISSION} AND submission.key = ?2");
    let found = tx.one(&found, cells![environment.as_str(), key]).await?;
    found.map(|row| submission(&row, environment)).transpose()
}

/// The submission with this key, and its run.
pub(crate) async fn with_run(
    tx: &Tx<'_>,
    environment: &Environment,
    key: &str,
) -> Result<Option<(Submission, RunRecord)>, StateError> {
    match one(tx, environment, key).await? {
        Some((submission, id)) => Ok(Some((submission, run_by_id(tx, id).await?))),
        None => Ok(None),
    }
}

/// The submissions whose run has not ended, oldest first.
pub(crate) async fn unfinished(
    tx: &Tx<'_>,
    environment: &Environment,
) -> Result<Vec<(Submission, RunRecord)>, StateError> {
    // There is an index over the few runs that go on.
    let going = format!("{SUBMISSION} AND run.state = 'running' ORDER BY submission.submitted_us");
    let rows = tx.rows(&going, cells![environment.as_str()]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (submission, id) = submission(row, environment)?;
        found.push((submission, run_by_id(tx, id).await?));
    }
    Ok(found)
}

fn submission(row: &Row, environment: &Environment) -> Result<(Submission, i64), StateError> {
    let request: Value = json("submission", row, 1)?;
    let submission = Submission {
        environment: environment.clone(),
        key: row.text(0)?.to_owned(),
        request,
        by: row.text(2)?.to_owned(),
    };
    Ok((submission, row.int(3)?))
}
