//! Backfills and their intervals, each operation a function over an open transaction.
//!
//! Promise: an interval waits or runs in one backfill of a pipeline at a time (a unique index sees to it); what
//! one gives up, another one that wanted it gets. Locks are taken in the order run, backfills of the pipeline,
//! backfill, interval. Read next: `backfill_runs.rs` (how their intervals get runs).

use std::collections::{BTreeMap, BTreeSet};

use towpath_ports::{
    BackfillChange, BackfillInterval, BackfillRecord, BackfillSkip, BackfillState, IntervalState,
    NewBackfill, PastRuns, ScheduleEvent, ScheduleEventDetails, ScheduleEventKind,
};
use towpath_vocab::{Environment, Interval, PipelineName};

use crate::codec::{
    backfill_skip, backfill_state, interval_state, json, parse_backfill_skip, parse_backfill_state,
    parse_interval_state, to_column,
};
use crate::error::StateError;
use crate::interval_runs::{interval, interval_runs, name_of_run};
use crate::schedules::{add_event, events_of};
use crate::tx::{Row, Tx, cells};

/// So often a new backfill looks for a number that nobody else has taken.
const NUMBERS: usize = 100;

/// So many rows are written with one statement.
const ROWS: usize = 500;

/// Creates a backfill; returns its number. An interval that waits or runs in another one, or in the schedule,
/// is skipped, and so is one that has had its run.
pub(crate) async fn create(
    tx: &Tx<'_>,
    new: &NewBackfill,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<u64, StateError> {
    let (environment, pipeline) = (new.environment.as_str(), new.pipeline.as_str());
    lock(tx, environment, pipeline).await?;
    let number = insert(tx, new).await?;
    let all: Vec<u64> = (0..new.intervals.len() as u64).collect();
    let inserted = insert_intervals(tx, new, number, &all, None).await?;
    let mut others = all;
    others.retain(|position| !inserted.contains(position));
    let elsewhere = Some(BackfillSkip::OtherBackfill);
    insert_intervals(tx, new, number, &others, elsewhere).await?;
    skip_scheduled(tx, new, number).await?;
    skip_existing(tx, new, number, is_dead).await?;
    let details = ScheduleEventDetails {
        by: Some(new.by.clone()),
        ..ScheduleEventDetails::default()
    };
    let subject = subject(number);
    add_event(
        tx,
        (environment, pipeline, &subject),
        ScheduleEventKind::Created,
        &details,
    )
    .await?;
    Ok(number)
}

/// Keeps all others from creating or ending backfills of this pipeline, until this transaction ends: so an
/// interval that one backfill gives up is seen by another one that wants it.
pub(crate) async fn lock(tx: &Tx<'_>, environment: &str, pipeline: &str) -> Result<(), StateError> {
    let sql = tx.only_on_server("SELECT pg_advisory_xact_lock(hashtextextended(?1, 0))");
    if !sql.is_empty() {
        let key = format!("towpath backfills of {environment} {pipeline}");
        tx.execute(sql, cells![key]).await?;
    }
    Ok(())
}

async fn insert(tx: &Tx<'_>, new: &NewBackfill) -> Result<u64, StateError> {
    let body = to_column("backfill", &new.plan)?;
    let (environment, pipeline) = (new.environment.as_str(), new.pipeline.as_str());
    for _ in 0..NUMBERS {
        let sql = "INSERT INTO backfill (environment, number, pipeline, state, body, created_us)
             SELECT ?1, coalesce(max(number), 0) + 1, ?2, 'active', ?3, CAST(?4 AS BIGINT)
             FROM backfill WHERE environment = ?1
             ON CONFLICT (environment, number) DO NOTHING RETURNING number";
        let inserted = tx
            .one(sql, cells![environment, pipeline, &body, tx.now_us])
            .await?;
        if let Some(row) = inserted {
            return row.count(0);
        }
    }
    Err(StateError::Stored {
        what: "backfill",
        detail: "a new row has no number".to_owned(),
    })
}

/// Inserts the intervals at these positions, all of them skipped when a reason is given. Returns the positions
/// that were inserted: the others are intervals that another backfill has.
async fn insert_intervals(
    tx: &Tx<'_>,
    new: &NewBackfill,
    number: u64,
    positions: &[u64],
    reason: Option<BackfillSkip>,
) -> Result<BTreeSet<u64>, StateError> {
    let mut inserted = BTreeSet::new();
    for chunk in positions.chunks(ROWS) {
        let mut rows = Vec::with_capacity(chunk.len());
        for position in chunk {
            let index = usize::try_from(*position).unwrap_or(usize::MAX);
            let Some((interval, skip)) = new.intervals.get(index) else {
                continue;
            };
            let (state, reason) = match reason.or(*skip) {
                None => (IntervalState::Waiting, "NULL".to_owned()),
                Some(reason) => (
                    IntervalState::Skipped,
                    format!("'{}'", backfill_skip(reason)),
                ),
            };
            let (start_us, end_us) = (interval.start_us, interval.end_us);
            rows.push(format!(
                "(?1, ?2, {position}, ?3, {start_us}, {end_us}, '{}', {reason})",
                interval_state(state)
            ));
        }
        let sql = format!(
            "INSERT INTO backfill_interval
                 (environment, backfill, position, pipeline, start_us, end_us, state, reason)
             VALUES {} ON CONFLICT DO NOTHING RETURNING position",
            rows.join(", ")
        );
        let (environment, pipeline) = (new.environment.as_str(), new.pipeline.as_str());
        for row in tx.rows(&sql, cells![environment, number, pipeline]).await? {
            inserted.insert(row.count(0)?);
        }
    }
    Ok(inserted)
}

/// Leaves to the schedule what waits or runs there.
async fn skip_scheduled(tx: &Tx<'_>, new: &NewBackfill, number: u64) -> Result<(), StateError> {
    tx.execute(
        "UPDATE backfill_interval SET state = 'skipped', reason = 'scheduled'
         WHERE environment = ?1 AND backfill = ?2 AND state = 'waiting' AND (start_us, end_us) IN (
             SELECT one.start_us, one.end_us FROM scheduled_interval one JOIN schedule
                 ON schedule.environment = one.environment AND schedule.pipeline = one.pipeline
             WHERE one.environment = ?1 AND one.pipeline = ?3 AND schedule.removed_us IS NULL
               AND one.state IN ('waiting', 'running'))",
        cells![new.environment.as_str(), number, new.pipeline.as_str()],
    )
    .await?;
    Ok(())
}

/// Skips what has had its run. It comes after the rows: an interval that another backfill has just ended is
/// found here, and one that it still has was found there.
async fn skip_existing(
    tx: &Tx<'_>,
    new: &NewBackfill,
    number: u64,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(), StateError> {
    let (environment, range) = (&new.environment, new.plan.range);
    let runs = interval_runs(tx, environment, &new.pipeline, range, is_dead).await?;
    let runs = PastRuns::new(runs);
    let mut skipped: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (position, (interval, _)) in new.intervals.iter().enumerate() {
        if let Some(reason) = runs.skip(new.plan.on_existing, *interval) {
            let positions = skipped.entry(backfill_skip(reason)).or_default();
            positions.push(position as u64);
        }
    }
    for (reason, positions) in skipped {
        let set = format!("state = 'skipped', reason = '{reason}'");
        set_at(
            tx,
            environment.as_str(),
            number,
            &positions,
            &set,
            "waiting",
        )
        .await?;
    }
    Ok(())
}

/// Changes the intervals of a backfill at these positions that have this state.
pub(crate) async fn set_at(
    tx: &Tx<'_>,
    environment: &str,
    number: u64,
    positions: &[u64],
    set: &str,
    from: &str,
) -> Result<(), StateError> {
    for chunk in positions.chunks(ROWS) {
        let list: Vec<String> = chunk.iter().map(u64::to_string).collect();
        let sql = format!(
            "UPDATE backfill_interval SET {set}
             WHERE environment = ?1 AND backfill = ?2 AND state = '{from}' AND position IN ({})",
            list.join(", ")
        );
        tx.execute(&sql, cells![environment, number]).await?;
    }
    Ok(())
}

fn subject(number: u64) -> String {
    format!("backfill {number}")
}

/// Changes a backfill: false when it has this state already, was cancelled, or has ended.
pub(crate) async fn change(tx: &Tx<'_>, change: &BackfillChange) -> Result<bool, StateError> {
    let environment = change.environment.as_str();
    let query = "SELECT pipeline FROM backfill WHERE environment = ?1 AND number = ?2";
    let found = tx.one(query, cells![environment, change.number]).await?;
    let Some(row) = found else {
        return Err(StateError::NoSuchBackfill {
            number: change.number,
        });
    };
    let pipeline = row.text(0)?;
    lock(tx, environment, pipeline).await?;
    let changed = tx
        .execute(
            "UPDATE backfill SET state = ?3
             WHERE environment = ?1 AND number = ?2 AND state <> ?3 AND state <> 'cancelled'
               AND EXISTS (SELECT 1 FROM backfill_interval one
                           WHERE one.environment = ?1 AND one.backfill = ?2
                             AND (one.state IN ('waiting', 'running')
                                  OR (?3 = 'cancelled' AND one.reason = 'other_backfill')))",
            cells![environment, change.number, backfill_state(change.state)],
        )
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    if change.state == BackfillState::Cancelled {
        let rows = tx
            .rows(
                "UPDATE backfill_interval SET state = 'skipped', reason = 'cancelled'
                 WHERE environment = ?1 AND backfill = ?2 AND state = 'waiting'
                 RETURNING start_us, end_us",
                cells![environment, change.number],
            )
            .await?;
        let given_up: Result<Vec<_>, _> = rows.iter().map(|row| interval(row, 0)).collect();
        give_to_others(tx, environment, pipeline, &given_up?).await?;
    }
    let kind = match change.state {
        BackfillState::Active => ScheduleEventKind::Resumed,
        BackfillState::Paused => ScheduleEventKind::Paused,
        BackfillState::Cancelled => ScheduleEventKind::Cancelled,
    };
    let details = ScheduleEventDetails {
        by: Some(change.by.clone()),
        reason: change.reason.clone(),
        until_us: None,
    };
    let subject = subject(change.number);
    add_event(tx, (environment, pipeline, &subject), kind, &details).await?;
    Ok(true)
}

/// What a backfill has given up waits in the oldest other one that wanted it.
pub(crate) async fn give_to_others(
    tx: &Tx<'_>,
    environment: &str,
    pipeline: &str,
    intervals: &[Interval],
) -> Result<(), StateError> {
    let mut given_up: BTreeSet<Interval> = intervals.iter().copied().collect();
    if given_up.is_empty() {
        return Ok(());
    }
    let rows = tx
        .rows(
            "SELECT one.start_us, one.end_us, one.backfill, one.position
             FROM backfill JOIN backfill_interval one
                 ON one.environment = backfill.environment AND one.backfill = backfill.number
             WHERE backfill.environment = ?1 AND backfill.pipeline = ?2
               AND backfill.state <> 'cancelled'
               AND one.state = 'skipped' AND one.reason = 'other_backfill'
             ORDER BY one.backfill, one.position",
            cells![environment, pipeline],
        )
        .await?;
    let mut takers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for row in &rows {
        if given_up.remove(&interval(row, 0)?) {
            takers.entry(row.count(2)?).or_default().push(row.count(3)?);
        }
    }
    for (number, positions) in takers {
        let set = "state = 'waiting', reason = NULL";
        set_at(tx, environment, number, &positions, set, "skipped").await?;
    }
    Ok(())
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
            run: name_of_run(row, 4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// What users did to a backfill, in order.
pub(crate) async fn events(
    tx: &Tx<'_>,
    environment: &Environment,
    number: u64,
) -> Result<Vec<ScheduleEvent>, StateError> {
    events_of(tx, environment, None, &subject(number)).await
}
