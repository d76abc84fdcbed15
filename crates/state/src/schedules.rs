//! Schedules and the intervals that were due, each operation a function over an open transaction.
//!
//! Promise: how far a schedule is decided moves only with its fence and never back, in the transaction
//! that adds the intervals; the state of an interval changes in the transaction that changes its run.
//! Locks are taken in the order schedule, run, interval. Read next: `runs.rs`.

use towpath_ports::{
    IntervalState, NewRun, RunState, ScheduleEvent, ScheduleEventDetails, ScheduleEventKind,
    ScheduleRecord, ScheduleRecords, ScheduleUpdate, ScheduledInterval, SkipReason, StopReason,
};
use towpath_vocab::{Environment, Failure, Interval, PipelineName, Remedy, RunName};

use crate::codec::{
    interval_state, json, maybe_json, parse_interval_state, parse_skip_reason, schedule_event_kind,
    skip_reason, to_column,
};
use crate::error::StateError;
use crate::interval_runs::whole_runs;
use crate::stop_requests;
use crate::tx::{Row, Tx, cells};

const INTERVAL: &str = "SELECT pipeline, start_us, end_us, state, reason, intervals, run_number \
    FROM scheduled_interval WHERE environment = ?1";

/// All schedules of an environment, with what waits or runs.
pub(crate) async fn list(
    tx: &Tx<'_>,
    environment: &Environment,
) -> Result<ScheduleRecords, StateError> {
    let rows = tx
        .rows(
            "SELECT pipeline, body, decided_us, fence, since_us, queued_us,
                    removed_us, paused FROM schedule
             WHERE environment = ?1 ORDER BY pipeline",
            cells![environment.as_str()],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for row in &rows {
        match record(row, environment) {
            Ok(record) => found.push(record),
            Err(error) => unreadable.push((PipelineName::new(row.text(0)?), refused(row, &error)?)),
        }
    }
    let query = format!("{INTERVAL} AND state IN ('waiting', 'running') ORDER BY end_us");
    for row in tx.rows(&query, cells![environment.as_str()]).await? {
        match read(&row) {
            Ok(open) => {
                let schedule = found.iter_mut().find(|one| one.pipeline == open.pipeline);
                if let Some(schedule) = schedule {
                    schedule.open.push(open);
                }
            }
            Err(error) => {
                let pipeline = PipelineName::new(row.text(0)?);
                if let Some(place) = found.iter().position(|one| one.pipeline == pipeline) {
                    found.remove(place);
                    unreadable.push((pipeline, refused(&row, &error)?));
                }
            }
        }
    }
    Ok(ScheduleRecords {
        now_us: tx.now_us,
        schedules: found,
        unreadable,
    })
}

fn record(row: &Row, environment: &Environment) -> Result<ScheduleRecord, StateError> {
    Ok(ScheduleRecord {
        pipeline: PipelineName::new(row.text(0)?),
        environment: environment.clone(),
        plan: json("schedule", row, 1)?,
        decided_us: row.int(2)?,
        fence: row.count(3)?,
        since_us: row.maybe_int(4)?,
        queued_us: row.maybe_int(5)?,
        removed_us: row.maybe_int(6)?,
        paused: maybe_json("pause", row, 7)?,
        open: Vec::new(),
    })
}

/// One schedule that cannot be read.
fn refused(row: &Row, error: &StateError) -> Result<Failure, StateError> {
    let message = format!(
        "the schedule of `{}` in the state store cannot be read: {error}",
        row.text(0)?
    );
    Ok(Failure::new("R0810", Remedy::Bug, message)
        .help("the other schedules go on; please report this with the message"))
}

/// The last intervals that were due, newest first.
pub(crate) async fn intervals(
    tx: &Tx<'_>,
    environment: &Environment,
    pipeline: Option<&PipelineName>,
    limit: u64,
) -> Result<Vec<ScheduledInterval>, StateError> {
    let query = format!(
        "{INTERVAL} AND (CAST(?2 AS TEXT) IS NULL OR pipeline = ?2)
         ORDER BY end_us DESC, pipeline LIMIT ?3"
    );
    let pipeline = pipeline.map(PipelineName::as_str);
    let rows = tx
        .rows(&query, cells![environment.as_str(), pipeline, limit])
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ScheduledInterval, StateError> {
    let pipeline = PipelineName::new(row.text(0)?);
    let number = row
        .maybe_int(6)?
        .and_then(|number| u64::try_from(number).ok());
    Ok(ScheduledInterval {
        interval: Interval {
            start_us: row.int(1)?,
            end_us: row.int(2)?,
        },
        state: parse_interval_state(row.text(3)?)?,
        reason: row.maybe_text(4)?.map(parse_skip_reason).transpose()?,
        intervals: row.count(5)?,
        run: number.map(|number| RunName {
            pipeline: pipeline.clone(),
            number,
        }),
        pipeline,
        backfill: None,
    })
}

/// Writes a decision down; false when another scheduler was quicker.
pub(crate) async fn update(tx: &Tx<'_>, update: &ScheduleUpdate) -> Result<bool, StateError> {
    let (environment, pipeline) = (update.environment.as_str(), update.pipeline.as_str());
    let body = to_column("schedule", &update.plan)?;
    let paused = update.paused.as_ref();
    let paused = paused.map(|pause| to_column("pause", pause)).transpose()?;
    let mut values = cells![
        environment,
        pipeline,
        body,
        update.decided_us,
        update.since_us,
        update.queued_us,
        update.removed_us,
        paused,
    ]
    .to_vec();
    let sql = match update.fence {
        None => {
            "INSERT INTO schedule (environment, pipeline, body, decided_us, fence, since_us, queued_us,
                                   removed_us, paused)
             VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8) ON CONFLICT (environment, pipeline) DO NOTHING"
        }
        Some(fence) => {
            values.push(fence.into());
            "UPDATE schedule SET body = ?3, decided_us = ?4, fence = fence + 1, since_us = ?5,
                    queued_us = ?6, removed_us = ?7, paused = ?8
             WHERE environment = ?1 AND pipeline = ?2 AND fence = ?9 AND decided_us <= ?4"
        }
    };
    let changed = tx.execute(sql, &values).await?;
    if changed == 0 {
        return Ok(false);
    }
    if let Some(stop) = &update.stop {
        stop_requests::request_of_schedule(tx, (environment, pipeline), stop).await?;
    }
    for decision in &update.due {
        let state = match decision.skip {
            None => IntervalState::Waiting,
            Some(_) => IntervalState::Skipped,
        };
        tx.execute(
            "INSERT INTO scheduled_interval
                 (environment, pipeline, start_us, end_us, state, reason, intervals, decided_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            cells![
                environment,
                pipeline,
                decision.interval.start_us,
                decision.interval.end_us,
                interval_state(state),
                decision.skip.map(skip_reason),
                decision.intervals,
                tx.now_us,
            ],
        )
        .await?;
    }
    for (end_us, reason) in &update.skipped {
        tx.execute(
            "UPDATE scheduled_interval SET state = 'skipped', reason = ?4
             WHERE environment = ?1 AND pipeline = ?2 AND end_us = ?3 AND state = 'waiting'
               AND (run_number IS NULL OR ?4 IN ('removed', 'replaced'))",
            cells![environment, pipeline, *end_us, skip_reason(*reason)],
        )
        .await?;
    }
    if let Some((kind, details)) = &update.event {
        add_event(tx, (environment, pipeline, "schedule"), *kind, details).await?;
    }
    Ok(true)
}

/// Adds an event of a schedule or of a backfill, whose row this transaction has locked.
pub(crate) async fn add_event(
    tx: &Tx<'_>,
    (environment, pipeline, subject): (&str, &str, &str),
    kind: ScheduleEventKind,
    details: &ScheduleEventDetails,
) -> Result<(), StateError> {
    tx.execute(
        "INSERT INTO schedule_event (environment, pipeline, subject, seq, at_us, kind, body)
         SELECT ?1, ?2, ?3, coalesce(max(seq), 0) + 1, CAST(?4 AS BIGINT), ?5, ?6
         FROM schedule_event
         WHERE environment = ?1 AND pipeline = ?2 AND subject = ?3",
        cells![
            environment,
            pipeline,
            subject,
            tx.now_us,
            kind.as_str(),
            to_column("event of a schedule", details)?,
        ],
    )
    .await?;
    Ok(())
}

/// The events of a schedule, in their order.
pub(crate) async fn events(
    tx: &Tx<'_>,
    environment: &Environment,
    pipeline: &PipelineName,
) -> Result<Vec<ScheduleEvent>, StateError> {
    events_of(tx, environment, Some(pipeline), "schedule").await
}

/// The events of a schedule or of a backfill, in their order.
pub(crate) async fn events_of(
    tx: &Tx<'_>,
    environment: &Environment,
    pipeline: Option<&PipelineName>,
    subject: &str,
) -> Result<Vec<ScheduleEvent>, StateError> {
    let pipeline = pipeline.map(PipelineName::as_str);
    let rows = tx
        .rows(
            "SELECT seq, at_us, kind, body FROM schedule_event
             WHERE environment = ?1 AND (CAST(?2 AS TEXT) IS NULL OR pipeline = ?2)
               AND subject = ?3 ORDER BY seq",
            cells![environment.as_str(), pipeline, subject],
        )
        .await?;
    let read = |row: &Row| {
        Ok(ScheduleEvent {
            seq: row.count(0)?,
            at_us: row.int(1)?,
            kind: schedule_event_kind(row.text(2)?)?,
            details: json("event of a schedule", row, 3)?,
        })
    };
    rows.iter().map(read).collect()
}

/// True when runs of the schedule may begin: it is there and is not paused. Until this transaction ends,
/// nobody can pause it.
pub(crate) async fn may_begin(tx: &Tx<'_>, run: &NewRun) -> Result<bool, StateError> {
    let lock = tx.only_on_server("FOR SHARE");
    let query = format!(
        "SELECT fence FROM schedule
         WHERE environment = ?1 AND pipeline = ?2 AND paused IS NULL {lock}"
    );
    let values = cells![run.environment.as_str(), run.pipeline.as_str()];
    Ok(tx.one(&query, values).await?.is_some())
}

/// True when the interval of a run that the scheduler begins has not had its run yet; locks it.
pub(crate) async fn is_open(tx: &Tx<'_>, run: &NewRun) -> Result<bool, StateError> {
    let Some(interval) = run.interval else {
        return Ok(false);
    };
    let lock = tx.only_on_server("FOR UPDATE");
    let query = format!(
        "SELECT end_us, state FROM scheduled_interval
         WHERE environment = ?1 AND pipeline = ?2 AND end_us = ?3 AND start_us = ?4
           AND state IN ('waiting', 'running') {lock}"
    );
    let values = cells![
        run.environment.as_str(),
        run.pipeline.as_str(),
        interval.end_us,
        interval.start_us,
    ];
    let Some(found) = tx.one(&query, values).await? else {
        return Ok(false);
    };
    if parse_interval_state(found.text(1)?)? == IntervalState::Running {
        return Ok(true);
    }
    // A user or a backfill may have run it already.
    let runs = whole_runs(tx, run, interval).await?;
    let well = runs.iter().rfind(|one| one.state == RunState::Succeeded);
    let Some(well) = well else {
        return Ok(true);
    };
    tx.execute(
        "UPDATE scheduled_interval SET state = 'succeeded', run_number = ?4
         WHERE environment = ?1 AND pipeline = ?2 AND end_us = ?3",
        cells![
            run.environment.as_str(),
            run.pipeline.as_str(),
            interval.end_us,
            well.run.number
        ],
    )
    .await?;
    Ok(false)
}

/// True when the schedule of a run's pipeline has this interval waiting or running.
pub(crate) async fn has(tx: &Tx<'_>, run: &NewRun, interval: Interval) -> Result<bool, StateError> {
    let query = "SELECT one.end_us FROM scheduled_interval one JOIN schedule
             ON schedule.environment = one.environment AND schedule.pipeline = one.pipeline
         WHERE one.environment = ?1 AND one.pipeline = ?2 AND one.start_us = ?3 AND one.end_us = ?4
           AND one.state IN ('waiting', 'running') AND schedule.removed_us IS NULL";
    let values = cells![
        run.environment.as_str(),
        run.pipeline.as_str(),
        interval.start_us,
        interval.end_us,
    ];
    Ok(tx.one(query, values).await?.is_some())
}

/// The run has begun or goes on: its interval has it, if that waits.
pub(crate) async fn begun(tx: &Tx<'_>, run: i64) -> Result<(), StateError> {
    tx.execute(
        "UPDATE scheduled_interval SET state = 'running',
                run_number = (SELECT number FROM run WHERE id = ?1)
         WHERE state IN ('waiting', 'running') AND (environment, pipeline, start_us, end_us)
             = (SELECT environment, pipeline, interval_start_us, interval_end_us
                FROM run WHERE id = ?1)",
        cells![run],
    )
    .await?;
    Ok(())
}

/// The run has ended: so has its interval, or it waits again. The interval of a run that was asked to stop gets no
/// other one.
pub(crate) async fn ended(tx: &Tx<'_>, run: i64, state: RunState) -> Result<(), StateError> {
    let stop = stop_requests::of_row(tx, run).await?;
    let (end, reason) = match (state, stop.map(|stop| stop.why)) {
        (RunState::Succeeded, _) => (IntervalState::Succeeded, None),
        (RunState::Failed, _) => (IntervalState::Failed, None),
        (RunState::Cancelled, Some(StopReason::User)) => {
            (IntervalState::Skipped, Some(SkipReason::Cancelled))
        }
        (RunState::Cancelled, Some(StopReason::Overlap)) => {
            (IntervalState::Skipped, Some(SkipReason::Replaced))
        }
        (RunState::Running | RunState::Cancelled | RunState::Superseded, _) => {
            (IntervalState::Waiting, None)
        }
    };
    tx.execute(
        "UPDATE scheduled_interval SET state = ?2, reason = ?3
         WHERE state = 'running' AND (environment, pipeline, run_number)
             = (SELECT environment, pipeline, number FROM run WHERE id = ?1)",
        cells![run, interval_state(end), reason.map(skip_reason)],
    )
    .await?;
    if end == IntervalState::Succeeded {
        done_again(tx, "scheduled_interval", run).await?;
    }
    Ok(())
}

/// An interval of a table of intervals whose run failed or was stopped, and was done again and ended well.
pub(crate) async fn done_again(
    tx: &Tx<'_>,
    table: &'static str,
    run: i64,
) -> Result<(), StateError> {
    let update = format!(
        "UPDATE {table} SET state = 'succeeded', reason = NULL,
                run_number = (SELECT number FROM run WHERE id = ?1)
         WHERE (state = 'failed' OR (state = 'skipped' AND run_number IS NOT NULL
                                     AND reason IN ('cancelled', 'replaced', 'run_cancelled'))) AND (environment, pipeline, start_us, end_us)
             = (SELECT environment, pipeline, interval_start_us, interval_end_us
                FROM run WHERE id = ?1)"
    );
    tx.execute(&update, cells![run]).await?;
    Ok(())
}
