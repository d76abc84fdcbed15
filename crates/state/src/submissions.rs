//! Runs that clients submit with a key: functions over an open transaction.
//!
//! Promise: a key of a token has one run. The row of the key is written first, so that of two requests at once one
//! waits for the other, on every database; run and key are committed together. A run that was asked to stop is not
//! begun again, and one that has lost too many processes in a row is given up. It does not know HTTP. Read next:
//! `runs.rs`.

use serde_json::Value;
use towpath_ports::{NewRun, Opened, RunRecord, Submission};
use towpath_vocab::Environment;

use crate::codec::{json, to_column};
use crate::error::StateError;
use crate::journal::Journal;
use crate::run_history::{id_of, run_by_id};
use crate::runs::{Opening, Resumes};
use crate::tx::{Row, Tx, cells};
use crate::{lost_runs, run_stops, runs, workers};

/// How long a key is remembered after its request.
const KEPT_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// What became of a submission.
pub(crate) enum Submitting {
    /// The run was opened, or was not, as any other.
    Opened(Opening),
    /// The key has this run already; and its worker, if that is dead and the run has been ended.
    Known(RunRecord, Option<String>),
    /// The key belongs to another request.
    OtherRequest,
}

const COLUMNS: &str = "SELECT submission.token, submission.key, submission.request, submission.submitted_by, \
    submission.run";

/// Opens the run of a submission.
pub(crate) async fn open(
    tx: &Tx<'_>,
    run: &NewRun,
    submission: &Submission,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Submitting, StateError> {
    forget_old(tx, &submission.environment).await?;
    let mut own = None;
    if !claim(tx, submission).await? {
        let (environment, token, key) = (
            &submission.environment,
            submission.token.as_str(),
            submission.key.as_str(),
        );
        let Some((found, Some(id))) = one(tx, environment, token, key).await? else {
            return Err(StateError::Stored {
                what: "submission",
                detail: format!("the key {key} has no run"),
            });
        };
        if found.request != submission.request {
            return Ok(Submitting::OtherRequest);
        }
        if let Some(known) = known(tx, run, id, is_dead).await? {
            return Ok(known);
        }
        own = Some(id);
    }
    let opening = runs::open(tx, run, Resumes::Only(own), is_dead).await?;
    match &opening.opened {
        Opened::New(record) | Opened::Resumed(record) => keep(tx, submission, record).await?,
        // The next request with the key tries again.
        _ if own.is_none() => release(tx, submission).await?,
        _ => {}
    }
    Ok(Submitting::Opened(opening))
}

/// The answer for a key that has this run; nothing if its process died and it is to go on.
async fn known(
    tx: &Tx<'_>,
    run: &NewRun,
    id: i64,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Option<Submitting>, StateError> {
    let journal = Journal::of_row(tx, id).await?;
    if journal.worker == run.worker {
        // The answer to the commit was lost, and this is the second try.
        return Ok(Some(Submitting::Opened(Opening {
            opened: Opened::New(run_by_id(tx, id).await?),
            dead_worker: None,
        })));
    }
    let lives = workers::has_live_worker(tx, id, &journal.worker, is_dead).await?;
    if !journal.is_running() || lives {
        return Ok(Some(Submitting::Known(run_by_id(tx, id).await?, None)));
    }
    let dead_worker = Some(journal.worker.clone());
    if let Some(stop) = &journal.stop {
        workers::remove(tx, &journal.worker).await?;
        run_stops::end(tx, id, stop).await?;
        let ended = run_by_id(tx, id).await?;
        return Ok(Some(Submitting::Known(ended, dead_worker)));
    }
    if lost_runs::give_up(tx, id).await? {
        workers::remove(tx, &journal.worker).await?;
        return Ok(Some(Submitting::Opened(Opening {
            opened: Opened::GivenUp(run_by_id(tx, id).await?),
            dead_worker,
        })));
    }
    Ok(None)
}

/// Writes the row of a key; false if it has one. Another transaction that writes it at this moment is waited for.
async fn claim(tx: &Tx<'_>, submission: &Submission) -> Result<bool, StateError> {
    let written = tx
        .execute(
            "INSERT INTO submission (environment, token, key, request, submitted_by, submitted_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (environment, token, key) DO NOTHING",
            cells![
                submission.environment.as_str(),
                &submission.token,
                &submission.key,
                to_column("submission", &submission.request)?,
                &submission.by,
                tx.now_us
            ],
        )
        .await?;
    Ok(written == 1)
}

async fn release(tx: &Tx<'_>, submission: &Submission) -> Result<(), StateError> {
    let sql = "DELETE FROM submission WHERE environment = ?1 AND token = ?2 AND key = ?3";
    let environment = submission.environment.as_str();
    tx.execute(sql, cells![environment, &submission.token, &submission.key])
        .await?;
    Ok(())
}

/// Forgets keys whose request is long ago and whose run has ended.
async fn forget_old(tx: &Tx<'_>, environment: &Environment) -> Result<(), StateError> {
    tx.execute(
        "DELETE FROM submission WHERE environment = ?1 AND submitted_us < ?2
           AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = submission.run AND run.state = 'running')",
        cells![environment.as_str(), tx.now_us.saturating_sub(KEPT_US)],
    )
    .await?;
    Ok(())
}

/// The run is the one of the key from here on: a new one, or one that superseded it.
async fn keep(tx: &Tx<'_>, submission: &Submission, record: &RunRecord) -> Result<(), StateError> {
    let Some(id) = id_of(tx, &record.name, &record.environment).await? else {
        return Err(StateError::NoSuchRun {
            run: record.name.clone(),
        });
    };
    let environment = submission.environment.as_str();
    tx.execute(
        "UPDATE submission SET run = ?4 WHERE environment = ?1 AND token = ?2 AND key = ?3",
        cells![environment, &submission.token, &submission.key, id],
    )
    .await?;
    Ok(())
}

/// The submission with this key, and the row of its run.
async fn one(
    tx: &Tx<'_>,
    environment: &Environment,
    token: &str,
    key: &str,
) -> Result<Option<(Submission, Option<i64>)>, StateError> {
    let found =
        format!("{COLUMNS} FROM submission WHERE environment = ?1 AND token = ?2 AND key = ?3");
    let values = cells![environment.as_str(), token, key];
    let found = tx.one(&found, values).await?;
    found.map(|row| submission(&row, environment)).transpose()
}

/// The submission with this key, and its run.
pub(crate) async fn with_run(
    tx: &Tx<'_>,
    environment: &Environment,
    token: &str,
    key: &str,
) -> Result<Option<(Submission, RunRecord)>, StateError> {
    match one(tx, environment, token, key).await? {
        Some((submission, Some(id))) => Ok(Some((submission, run_by_id(tx, id).await?))),
        _ => Ok(None),
    }
}

/// There is an index over the few runs that go on, which a file would not find by itself.
pub(crate) const FROM_FILE: &str =
    "run INDEXED BY run_live CROSS JOIN submission ON submission.run = run.id";
const FROM_SERVER: &str = "run JOIN submission ON submission.run = run.id";

pub(crate) fn unfinished_statement(from: &str) -> String {
    format!(
        "{COLUMNS} FROM {from}
         WHERE submission.environment = ?1 AND run.state = 'running' AND run.stop IS NULL
         ORDER BY submission.submitted_us, submission.run"
    )
}

/// The submissions whose run has not ended and was not asked to stop, oldest first.
pub(crate) async fn unfinished(
    tx: &Tx<'_>,
    environment: &Environment,
) -> Result<Vec<(Submission, RunRecord)>, StateError> {
    let going = unfinished_statement(tx.of_database(FROM_FILE, FROM_SERVER));
    let rows = tx.rows(&going, cells![environment.as_str()]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        if let (submission, Some(id)) = submission(row, environment)? {
            found.push((submission, run_by_id(tx, id).await?));
        }
    }
    Ok(found)
}

fn submission(
    row: &Row,
    environment: &Environment,
) -> Result<(Submission, Option<i64>), StateError> {
    let request: Value = json("submission", row, 2)?;
    let submission = Submission {
        environment: environment.clone(),
        token: row.text(0)?.to_owned(),
        key: row.text(1)?.to_owned(),
        request,
        by: row.text(3)?.to_owned(),
    };
    Ok((submission, row.maybe_int(4)?))
}
