//! Backfills and their intervals, each operation a function over an open transaction.
//!
//! Promise: an interval waits or runs in one backfill of a pipeline at a time (a unique index sees to it); its
//! state changes in the transaction that changes its run. Locks are taken in the order run, backfill,
//! interval. Read next: `runs.rs`, `schedules.rs`.

use std::collections::{BTreeMap, BTreeSet};

use towpath_ports::{
    BackfillChange, BackfillInterval, BackfillRecord, BackfillState, IntervalState, NewBackfill,
    NewRun, RunState, ScheduleEvent, ScheduleEventDetails, ScheduledInterval,
};
use towpath_vocab::{Environment, Interval, PipelineName, RunName};

use crate::codec::{
    backfill_skip, backfill_state, interval_state, json, parse_backfill_skip, parse_backfill_state,
    parse_interval_state, parse_run_state, to_column,
};
use crate::error::StateError;
use crate::schedules::{add_event, done_again, events_of};
use crate::tx::{Row, Tx, cells};

/// So often a new backfill looks for a number that nobody else has taken.
const NUMBERS: usize = 100;

/// Creates a backfill; returns its number. An interval that waits or runs in another one is skipped.
pub(crate) async fn create(tx: &Tx<'_>, new: &NewBackfill) -> Result<u64, StateError> {
    let (environment, pipeline) = (new.environment.as_str(), new.pipeline.as_str());
    let body = to_column("backfill", &new.plan)?;
    let mut number = None;
    for _ in 0..NUMBERS {
        let sql = "INSERT INTO backfill (environment, number, pipeline, state, body, created_us)
             SELECT ?1, coalesce(max(number), 0) + 1, ?2, 'active', ?3, CAST(?4 AS BIGINT)
             FROM backfill WHERE environment = ?1
             ON CONFLICT (environment, number) DO NOTHING RETURNING number";
        let inserted = tx
            .one(sql, cells![environment, pipeline, &body, tx.now_us])
            .await?;
        if let Some(row) = inserted {
            number = Some(row.count(0)?);
            break;
        }
    }
    let number = number.ok_or_else(|| StateError::Stored {
        what: "backfill",
        detail: "a new row has no number".to_owned(),
    })?;
    for (position, (interval, skip)) in new.intervals.iter().enumerate() {
        let values = |skip: Option<&str>| {
            let state = match skip {
                None => IntervalState::Waiting,
                Some(_) => IntervalState::Skipped,
            };
            cells![
                environment,
                number,
                position as u64,
                pipeline,
                interval.start_us,
                interval.end_us,
                interval_state(state),
                skip,
            ]
            .to_vec()
        };
        let sql = "INSERT INTO backfill_interval
                 (environment, backfill, position, pipeline, start_us, end_us, state, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
        let inserted = tx.execute(sql, &values(skip.map(backfill_skip))).await?;
        if inserted == 0 {
            tx.execute(sql, &values(Some("other_backfill"))).await?;
        }
    }
    skip_existing(tx, new, number).await?;
    let details = ScheduleEventDetails {
        by: Some(new.by.clone()),
        ..ScheduleEventDetails::default()
    };
    let subject = subject(number);
    add_event(tx, (environment, pipeline, &subject), "created", &details).await?;
    Ok(number)
}

/// Skips what has had its run. It comes after the rows: an interval that another backfill has just ended is
/// found here, and one that it still has was found there.
async fn skip_existing(tx: &Tx<'_>, new: &NewBackfill, number: u64) -> Result<(), StateError> {
    let range = new.plan.range;
    let mut runs: BTreeMap<Interval, Vec<RunState>> = BTreeMap::new();
    for (interval, _, state) in interval_runs(tx, &new.environment, &new.pipeline, range).await? {
        runs.entry(interval).or_default().push(state);
    }
    for (interval, states) in runs {
        let Some(reason) = new.plan.on_existing.skip(states.into_iter()) else {
            continue;
        };
        tx.execute(
            "UPDATE backfill_interval SET state = 'skipped', reason = ?5
             WHERE environment = ?1 AND backfill = ?2 AND start_us = ?3 AND end_us = ?4
               AND state = 'waiting'",
            cells![
                new.environment.as_str(),
                number,
                interval.start_us,
                interval.end_us,
                backfill_skip(reason)
            ],
        )
        .await?;
    }
    Ok(())
}

fn subject(number: u64) -> String {
    format!("backfill {number}")
}

/// Changes a backfill: false when it has this state already, or was cancelled.
pub(crate) async fn change(tx: &Tx<'_>, change: &BackfillChange) -> Result<bool, StateError> {
    let environment = change.environment.as_str();
    let changed = tx
        .one(
            "UPDATE backfill SET state = ?3
             WHERE environment = ?1 AND number = ?2 AND state <> ?3 AND state <> 'cancelled'
             RETURNING pipeline",
            cells![environment, change.number, backfill_state(change.state)],
        )
        .await?;
    let Some(row) = changed else {
        one(tx, &change.environment, change.number).await?;
        return Ok(false);
    };
    if change.state == BackfillState::Cancelled {
        tx.execute(
            "UPDATE backfill_interval SET state = 'skipped', reason = 'cancelled'
             WHERE environment = ?1 AND backfill = ?2 AND state = 'waiting'",
            cells![environment, change.number],
        )
        .await?;
    }
    let kind = match change.state {
        BackfillState::Active => "resumed",
        BackfillState::Paused => "paused",
        BackfillState::Cancelled => "cancelled",
    };
    let details = ScheduleEventDetails {
        by: Some(change.by.clone()),
        reason: change.reason.clone(),
        until_us: None,
    };
    let subject = subject(change.number);
    add_event(tx, (environment, row.text(0)?, &subject), kind, &details).await?;
    Ok(true)
}

/// One backfill.
pub(crate) async fn one(
    tx: &Tx<'_>,
    environment: &Environment,
    number: u64,
) -> Result<BackfillRecord, StateError> {
    let mut found = list(tx, environment, Some(number)).await?;
    found.pop().ok_or(StateError::NoSuchBackfill { number })
}

/// All backfills of an environment or one of them, newest first.
pub(crate) async fn list(
    tx: &Tx<'_>,
    environment: &Environment,
    number: Option<u64>,
) -> Result<Vec<BackfillRecord>, StateError> {
    let rows = tx
        .rows(
            "SELECT number, pipeline, body, state, created_us FROM backfill
             WHERE environment = ?1 AND (CAST(?2 AS BIGINT) IS NULL OR number = ?2)
             ORDER BY number DESC",
            cells![environment.as_str(), number],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(BackfillRecord {
            number: row.count(0)?,
            pipeline: PipelineName::new(row.text(1)?),
            plan: json("backfill", row, 2)?,
            state: parse_backfill_state(row.text(3)?)?,
            created_us: row.int(4)?,
            waiting: 0,
            running: 0,
            succeeded: 0,
            failed: 0,
            skipped: 0,
        });
    }
    let counts = tx
        .rows(
            "SELECT backfill, state, count(*) FROM backfill_interval
             WHERE environment = ?1 AND (CAST(?2 AS BIGINT) IS NULL OR backfill = ?2)
             GROUP BY backfill, state",
            cells![environment.as_str(), number],
        )
        .await?;
    for row in &counts {
        let (number, count) = (row.count(0)?, row.count(2)?);
        let state = parse_interval_state(row.text(1)?)?;
        let Some(record) = found.iter_mut().find(|one| one.number == number) else {
            continue;
        };
        match state {
            IntervalState::Waiting => record.waiting = count,
            IntervalState::Running => record.running = count,
            IntervalState::Succeeded => record.succeeded = count,
            IntervalState::Failed => record.failed = count,
            IntervalState::Skipped => record.skipped = count,
        }
    }
    Ok(found)
}

/// The intervals of a backfill, in the order in which they are run.
pub(crate) async fn intervals(
    tx: &Tx<'_>,
    environment: &Environment,
    number: u64,
) -> Result<Vec<BackfillInterval>, StateError> {
    let rows = tx
        .rows(
            "SELECT start_us, end_us, state, reason, pipeline, run_number FROM backfill_interval
             WHERE environment = ?1 AND backfill = ?2 ORDER BY position",
            cells![environment.as_str(), number],
        )
        .await?;
    let read = |row: &Row| {
        Ok(BackfillInterval {
            interval: interval(row, 0)?,
            state: parse_interval_state(row.text(2)?)?,
            reason: row.maybe_text(3)?.map(parse_backfill_skip).transpose()?,
            run: run(row, 4)?,
        })
    };
    rows.iter().map(read).collect()
}

fn interval(row: &Row, column: usize) -> Result<Interval, StateError> {
    Ok(Interval {
        start_us: row.int(column)?,
        end_us: row.int(column + 1)?,
    })
}

/// A run from the columns of its pipeline and its number.
fn run(row: &Row, column: usize) -> Result<Option<RunName>, StateError> {
    let pipeline = PipelineName::new(row.text(column)?);
    let number = row.maybe_int(column + 1)?;
    let number = number.and_then(|number| u64::try_from(number).ok());
    Ok(number.map(|number| RunName { pipeline, number }))
}

/// What users did to a backfill, in order.
pub(crate) async fn events(
    tx: &Tx<'_>,
    environment: &Environment,
    number: u64,
) -> Result<Vec<ScheduleEvent>, StateError> {
    events_of(tx, environment, None, &subject(number)).await
}

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
                run: run(row, 5)?,
                backfill: Some(row.count(1)?),
            });
        }
    }
    Ok(found)
}

/// True when a run of this backfill may begin: the backfill is active, and the interval waits or has an
/// interrupted run. Until this transaction ends, nobody can pause the backfill.
pub(crate) async fn is_open(tx: &Tx<'_>, run: &NewRun, number: u64) -> Result<bool, StateError> {
    let Some(interval) = run.interval else {
        return Ok(false);
    };
    let lock = tx.only_on_server("FOR SHARE");
    let query = format!(
        "SELECT number FROM backfill
         WHERE environment = ?1 AND number = ?2 AND pipeline = ?3 AND state = 'active' {lock}"
    );
    let (environment, pipeline) = (run.environment.as_str(), run.pipeline.as_str());
    let values = cells![environment, number, pipeline];
    if tx.one(&query, values).await?.is_none() {
        return Ok(false);
    }
    let lock = tx.only_on_server("FOR UPDATE");
    let query = format!(
        "SELECT position FROM backfill_interval
         WHERE environment = ?1 AND backfill = ?2 AND start_us = ?3 AND end_us = ?4
           AND state IN ('waiting', 'running') {lock}"
    );
    let values = cells![environment, number, interval.start_us, interval.end_us];
    Ok(tx.one(&query, values).await?.is_some())
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

/// The run has ended: so has its interval, or it waits again, or is skipped if the backfill was cancelled.
pub(crate) async fn ended(tx: &Tx<'_>, run: i64, state: RunState) -> Result<(), StateError> {
    let lock = tx.only_on_server("FOR SHARE");
    let query = format!(
        "SELECT state FROM backfill WHERE (environment, number) IN (
             SELECT one.environment, one.backfill FROM backfill_interval one, run
             WHERE run.id = ?1 AND one.state = 'running' AND one.environment = run.environment
               AND one.pipeline = run.pipeline AND one.run_number = run.number) {lock}"
    );
    let cancelled = match tx.one(&query, cells![run]).await? {
        Some(row) => parse_backfill_state(row.text(0)?)? == BackfillState::Cancelled,
        None => false,
    };
    let (state, reason) = match state {
        RunState::Succeeded => (IntervalState::Succeeded, None),
        RunState::Failed => (IntervalState::Failed, None),
        RunState::Running | RunState::Cancelled | RunState::Superseded => match cancelled {
            true => (IntervalState::Skipped, Some("cancelled")),
            false => (IntervalState::Waiting, None),
        },
    };
    tx.execute(
        "UPDATE backfill_interval SET state = ?2, reason = ?3
         WHERE state = 'running' AND (environment, pipeline, run_number)
             = (SELECT environment, pipeline, number FROM run WHERE id = ?1)",
        cells![run, interval_state(state), reason],
    )
    .await?;
    if state == IntervalState::Succeeded {
        done_again(tx, "backfill_interval", run).await?;
    }
    Ok(())
}

/// The runs of a pipeline about intervals in a range: the interval, the run and its state, oldest first.
pub(crate) async fn interval_runs(
    tx: &Tx<'_>,
    environment: &Environment,
    pipeline: &PipelineName,
    range: Interval,
) -> Result<Vec<(Interval, RunName, RunState)>, StateError> {
    let rows = tx
        .rows(
            "SELECT interval_start_us, interval_end_us, pipeline, number, state FROM run
             WHERE pipeline = ?1 AND environment = ?2 AND kind = 'run'
               AND interval_start_us >= ?3 AND interval_end_us <= ?4 ORDER BY number",
            cells![
                pipeline.as_str(),
                environment.as_str(),
                range.start_us,
                range.end_us
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(name) = run(row, 2)? {
            found.push((interval(row, 0)?, name, parse_run_state(row.text(4)?)?));
        }
    }
    Ok(found)
}
