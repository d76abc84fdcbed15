//! Which runs intervals have had: functions over an open transaction.
//!
//! Promise: a run whose process has died is not taken for one that goes on. It changes nothing, and does not
//! know what follows for an interval: `backfills.rs`, `backfill_runs.rs` and `schedules.rs` do.

use towpath_ports::{IntervalRun, NewRun, RunState};
use towpath_vocab::{Environment, Interval, PipelineName, RunName};

use crate::codec::parse_run_state;
use crate::error::StateError;
use crate::tx::{Row, Tx, cells};
use crate::workers;

/// The runs of a pipeline about intervals that overlap a range, oldest first.
pub(crate) async fn interval_runs(
    tx: &Tx<'_>,
    environment: &Environment,
    pipeline: &PipelineName,
    range: Interval,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<IntervalRun>, StateError> {
    let rows = tx
        .rows(
            "SELECT interval_start_us, interval_end_us, pipeline, number, state, id, worker FROM run
             WHERE pipeline = ?1 AND environment = ?2 AND kind = 'run'
               AND interval_start_us < ?4 AND interval_end_us > ?3 ORDER BY number",
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
        let state = parse_run_state(row.text(4)?)?;
        let is_live = state == RunState::Running
            && workers::has_live_worker(tx, row.int(5)?, row.text(6)?, is_dead).await?;
        if let Some(run) = name_of_run(row, 2)? {
            found.push(IntervalRun {
                interval: interval(row, 0)?,
                run,
                state,
                is_live,
            });
        }
    }
    Ok(found)
}

/// The runs of exactly this interval that have ended and had as many tasks as the run that is to begin: a part
/// of the pipeline that a user ran again is not the run of an interval.
pub(crate) async fn whole_runs(
    tx: &Tx<'_>,
    run: &NewRun,
    interval: Interval,
) -> Result<Vec<IntervalRun>, StateError> {
    let rows = tx
        .rows(
            "SELECT pipeline, number, state FROM run
             WHERE pipeline = ?1 AND environment = ?2 AND kind = 'run'
               AND interval_start_us = ?3 AND interval_end_us = ?4
               AND state IN ('succeeded', 'failed')
               AND (SELECT count(*) FROM task WHERE task.run = run.id) >= ?5
             ORDER BY number",
            cells![
                run.pipeline.as_str(),
                run.environment.as_str(),
                interval.start_us,
                interval.end_us,
                run.graph.tasks.len() as u64,
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(name) = name_of_run(row, 0)? {
            found.push(IntervalRun {
                interval,
                run: name,
                state: parse_run_state(row.text(2)?)?,
                is_live: false,
            });
        }
    }
    Ok(found)
}

/// An interval from two columns.
pub(crate) fn interval(row: &Row, column: usize) -> Result<Interval, StateError> {
    Ok(Interval {
        start_us: row.int(column)?,
        end_us: row.int(column + 1)?,
    })
}

/// A run from the columns of its pipeline and its number.
pub(crate) fn name_of_run(row: &Row, column: usize) -> Result<Option<RunName>, StateError> {
    let pipeline = PipelineName::new(row.text(column)?);
    let number = row.maybe_int(column + 1)?;
    let number = number.and_then(|number| u64::try_from(number).ok());
    Ok(number.map(|number| RunName { pipeline, number }))
}
