//! How the intervals of backfills get their runs, each operation a function over an open transaction.
//!
//! Promise: the state of an interval changes in the transaction that changes its run. What has run since the
//! backfill was created, or what the schedule has, is asked again when a run is to begin; a run of a cancelled
//! backfill whose process has died is found. Read next: `backfills.rs`, `runs.rs`, `lost_runs.rs`.

use std::collections::BTreeSet;

use towpath_ports::{
    BackfillPlan, BackfillSkip, BackfillState, IntervalState, NewRun, PastRuns, RunState,
    ScheduledInterval,
};
use towpath_vocab::{Environment, PipelineName};

use crate::backfills::{give_to_others, lock, set_at};
use crate::codec::{
    backfill_skip, interval_state, json, parse_backfill_state, parse_interval_state,
};
use crate::error::StateError;
use crate::interval_runs::{interval, name_of_run, whole_runs};
use crate::schedules::{self, done_again};
use crate::stop_requests;
use crate::tx::{Tx, cells};
use crate::workers;

/// Of each pipeline the interval that is next, if a backfill of it is active: one whose run has begun, else
/// the first one of the oldest backfill.
pub(crate) async fn next(
    tx: &Tx<'_>,
    environment: &Environment,
) -> Result<Vec<ScheduledInterval>, StateError> {
    let rows = tx
        .rows(
            "SELECT backfill.pipeline, backfill.number, one.start_us, one.end_us, one.state,
                    one.pipeline, one.run_number
             FROM backfill JOIN backfill_interval one
                 ON one.environment = backfill.environment AND one.backfill = backfill.number
             WHERE backfill.environment = ?1 AND backfill.state = 'active'
               AND one.position = coalesce(
                   (SELECT min(position) FROM backfill_interval begun
                    WHERE begun.environment = backfill.environment
                      AND begun.backfill = backfill.number AND begun.state = 'running'),
                   (SELECT min(position) FROM backfill_interval due
                    WHERE due.environment = backfill.environment
                      AND due.backfill = backfill.number AND due.state = 'waiting'))
             ORDER BY CASE one.state WHEN 'running' THEN 0 ELSE 1 END, backfill.number",
            cells![environment.as_str()],
        )
        .await?;
    let (mut found, mut pipelines) = (Vec::new(), BTreeSet::new());
    for row in &rows {
        let pipeline = PipelineName::new(row.text(0)?);
        if pipelines.insert(pipeline.clone()) {
            found.push(ScheduledInterval {
                pipeline,
                interval: interval(row, 2)?,
                state: parse_interval_state(row.text(4)?)?,
                reason: None,
                intervals: 1,
                run: name_of_run(row, 5)?,
                backfill: Some(row.count(1)?),
            });
        }
    }
    Ok(found)
}

/// True when a run of this backfill may begin: the backfill is active, the interval waits or has an
/// interrupted run, and neither the schedule nor a run that was begun meanwhile keeps it from being run. Until
/// this transaction ends, nobody can pause the backfill.
pub(crate) async fn is_open(tx: &Tx<'_>, run: &NewRun, number: u64) -> Result<bool, StateError> {
    let Some(interval) = run.interval else {
        return Ok(false);
    };
    let lock = tx.only_on_server("FOR SHARE");
    let query = format!(
        "SELECT body FROM backfill
         WHERE environment = ?1 AND number = ?2 AND pipeline = ?3 AND state = 'active' {lock}"
    );
    let (environment, pipeline) = (run.environment.as_str(), run.pipeline.as_str());
    let values = cells![environment, number, pipeline];
    let Some(backfill) = tx.one(&query, values).await? else {
        return Ok(false);
    };
    let plan: BackfillPlan = json("backfill", &backfill, 0)?;
    let lock = tx.only_on_server("FOR UPDATE");
    let query = format!(
        "SELECT position, state FROM backfill_interval
         WHERE environment = ?1 AND backfill = ?2 AND start_us = ?3 AND end_us = ?4
           AND state IN ('waiting', 'running') {lock}"
    );
    let values = cells![environment, number, interval.start_us, interval.end_us];
    let Some(found) = tx.one(&query, values).await? else {
        return Ok(false);
    };
    if parse_interval_state(found.text(1)?)? == IntervalState::Running {
        return Ok(true);
    }
    let reason = match schedules::has(tx, run, interval).await? {
        true => Some(BackfillSkip::Scheduled),
        false => {
            let runs = whole_runs(tx, run, interval).await?;
            PastRuns::new(runs).skip(plan.on_existing, interval)
        }
    };
    let Some(reason) = reason else {
        return Ok(true);
    };
    let set = format!("state = 'skipped', reason = '{}'", backfill_skip(reason));
    set_at(tx, environment, number, &[found.count(0)?], &set, "waiting").await?;
    Ok(false)
}

/// The run has begun or goes on: its interval has it. Without a number, the interval that had it before.
pub(crate) async fn begun(tx: &Tx<'_>, run: i64, number: Option<u64>) -> Result<(), StateError> {
    let Some(number) = number else {
        tx.execute(
            "UPDATE backfill_interval SET state = 'running'
             WHERE state IN ('waiting', 'running') AND (environment, pipeline, run_number)
                 = (SELECT environment, pipeline, number FROM run WHERE id = ?1)",
            cells![run],
        )
        .await?;
        return Ok(());
    };
    tx.execute(
        "UPDATE backfill_interval SET state = 'running',
                run_number = (SELECT number FROM run WHERE id = ?1)
         WHERE backfill = ?2 AND state IN ('waiting', 'running')
           AND (environment, pipeline, start_us, end_us)
             = (SELECT environment, pipeline, interval_start_us, interval_end_us FROM run WHERE id = ?1)",
        cells![run, number],
    )
    .await?;
    Ok(())
}

/// The run has ended: so has its interval, or it waits again, or is given up if the backfill was cancelled or the
/// run was asked to stop.
pub(crate) async fn ended(tx: &Tx<'_>, run: i64, state: RunState) -> Result<(), StateError> {
    let query = "SELECT one.environment, one.pipeline, one.backfill, one.start_us, one.end_us
         FROM backfill_interval one, run
         WHERE run.id = ?1 AND one.state = 'running' AND one.environment = run.environment
           AND one.pipeline = run.pipeline AND one.run_number = run.number";
    let found = tx.one(query, cells![run]).await?;
    if let Some(row) = &found {
        let (environment, pipeline) = (row.text(0)?, row.text(1)?);
        lock(tx, environment, pipeline).await?;
        let share = tx.only_on_server("FOR SHARE");
        let query =
            format!("SELECT state FROM backfill WHERE environment = ?1 AND number = ?2 {share}");
        let backfill = tx.one(&query, cells![environment, row.count(2)?]).await?;
        let backfill = backfill.map(|row| parse_backfill_state(row.text(0)?));
        let cancelled = backfill.transpose()? == Some(BackfillState::Cancelled);
        let stopped = stop_requests::of_row(tx, run).await?.is_some();
        let given_up = match (cancelled, stopped) {
            (true, _) => Some(BackfillSkip::Cancelled),
            (false, true) => Some(BackfillSkip::RunCancelled),
            (false, false) => None,
        };
        let (end, reason) = match state {
            RunState::Succeeded => (IntervalState::Succeeded, None),
            RunState::Failed => (IntervalState::Failed, None),
            RunState::Running | RunState::Cancelled | RunState::Superseded => match given_up {
                Some(skip) => (IntervalState::Skipped, Some(backfill_skip(skip))),
                None => (IntervalState::Waiting, None),
            },
        };
        tx.execute(
            "UPDATE backfill_interval SET state = ?2, reason = ?3
             WHERE state = 'running' AND (environment, pipeline, run_number)
                 = (SELECT environment, pipeline, number FROM run WHERE id = ?1)",
            cells![run, interval_state(end), reason],
        )
        .await?;
        if end == IntervalState::Skipped {
            give_to_others(tx, environment, pipeline, &[interval(row, 3)?]).await?;
        }
    }
    if state == RunState::Succeeded {
        done_again(tx, "backfill_interval", run).await?;
    }
    Ok(())
}

/// The runs of cancelled backfills whose process has died: the row of each, and its worker.
pub(crate) async fn lost_and_cancelled(
    tx: &Tx<'_>,
    environment: &Environment,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<(i64, String)>, StateError> {
    let rows = tx
        .rows(
            "SELECT run.id, run.worker FROM backfill
             JOIN backfill_interval one
                 ON one.environment = backfill.environment AND one.backfill = backfill.number
             JOIN run ON run.pipeline = one.pipeline AND run.environment = one.environment
                 AND run.number = one.run_number
             WHERE backfill.environment = ?1 AND backfill.state = 'cancelled'
               AND one.state = 'running' AND run.state = 'running'",
            cells![environment.as_str()],
        )
        .await?;
    workers::without_live(tx, &rows, is_dead).await
}
