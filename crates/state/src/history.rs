//! Reading runs, tasks and events back.
//!
//! Promise: a run and its tasks are read in one snapshot; order is newest first for runs, the order
//! of the graph for tasks, `seq` for events. Nothing here writes.

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;
use towpath_ports::{RunEvent, RunFilter, RunRecord, TaskRecord};
use towpath_vocab::{Environment, PipelineName, RunName, TaskId};

use crate::codec::{counter, json, maybe_json, parse_run_state, parse_task_state, signed};
use crate::error::StateError;

const RUN: &str = "SELECT id, pipeline, environment, number, state, graph_hash, started_us, ended_us, worker, request FROM run";
const TASK: &str = "SELECT task.id, task.state, task.attempt, task.fence, task.started_us, task.ended_us, task.failure,
    task.outcome, task.fingerprint FROM task";

/// One run with its tasks.
pub(crate) fn run_by_id(connection: &Connection, id: i64) -> Result<RunRecord, StateError> {
    let mut statement = connection.prepare_cached(&format!("{RUN} WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    match rows.next()? {
        Some(row) => run(connection, row),
        None => Err(rusqlite::Error::QueryReturnedNoRows.into()),
    }
}

/// One run by what people call it.
pub(crate) fn run_by_name(
    connection: &Connection,
    name: &RunName,
    environment: &Environment,
) -> Result<Option<RunRecord>, StateError> {
    let mut statement = connection.prepare_cached(&format!(
        "{RUN} WHERE pipeline = ?1 AND environment = ?2 AND number = ?3"
    ))?;
    let mut rows = statement.query((
        name.pipeline.as_str(),
        environment.as_str(),
        signed(name.number),
    ))?;
    rows.next()?.map(|row| run(connection, row)).transpose()
}

/// Runs that pass the filter, newest first.
pub(crate) fn runs(
    connection: &Connection,
    filter: &RunFilter,
) -> Result<Vec<RunRecord>, StateError> {
    let mut statement = connection.prepare_cached(&format!(
        "{RUN} WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR environment = ?2)
         ORDER BY started_us DESC, id DESC LIMIT ?3"
    ))?;
    let limit = filter.limit.map_or(-1, signed);
    let mut rows = statement.query((
        filter.pipeline.as_ref().map(PipelineName::as_str),
        filter.environment.as_ref().map(Environment::as_str),
        limit,
    ))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(run(connection, row)?);
    }
    Ok(found)
}

fn run(connection: &Connection, row: &Row<'_>) -> Result<RunRecord, StateError> {
    let mut statement =
        connection.prepare_cached(&format!("{TASK} WHERE run = ?1 ORDER BY position"))?;
    let mut rows = statement.query([row.get::<_, i64>("id")?])?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(task(row)?);
    }
    Ok(RunRecord {
        name: RunName {
            pipeline: PipelineName::new(row.get::<_, String>("pipeline")?),
            number: counter(row, "number")?,
        },
        environment: Environment::new(row.get::<_, String>("environment")?),
        state: parse_run_state(&row.get::<_, String>("state")?)?,
        graph_hash: row.get("graph_hash")?,
        started_us: row.get("started_us")?,
        ended_us: row.get("ended_us")?,
        worker: row.get("worker")?,
        request: json("request", row, "request")?,
        tasks,
    })
}

fn task(row: &Row<'_>) -> Result<TaskRecord, StateError> {
    let attempt = counter(row, "attempt")?;
    Ok(TaskRecord {
        id: TaskId::new(row.get::<_, String>("id")?),
        state: parse_task_state(&row.get::<_, String>("state")?)?,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        fence: counter(row, "fence")?,
        started_us: row.get("started_us")?,
        ended_us: row.get("ended_us")?,
        failure: maybe_json("failure", row, "failure")?,
        outcome: maybe_json("outcome", row, "outcome")?.unwrap_or(Value::Null),
        fingerprint: row.get("fingerprint")?,
    })
}

/// A run's events after `seq`.
pub(crate) fn events(
    connection: &Connection,
    name: &RunName,
    environment: &Environment,
    after_seq: u64,
) -> Result<Vec<RunEvent>, StateError> {
    let mut statement = connection.prepare_cached(
        "SELECT event.seq, event.at_us, event.task, event.kind, event.body
         FROM event JOIN run ON run.id = event.run
         WHERE run.pipeline = ?1 AND run.environment = ?2 AND run.number = ?3 AND event.seq > ?4
         ORDER BY event.seq",
    )?;
    let mut rows = statement.query((
        name.pipeline.as_str(),
        environment.as_str(),
        signed(name.number),
        signed(after_seq),
    ))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(RunEvent {
            seq: counter(row, "seq")?,
            at_us: row.get("at_us")?,
            task: row.get::<_, Option<String>>("task")?.map(TaskId::new),
            kind: row.get("kind")?,
            body: json("event", row, "body")?,
        });
    }
    Ok(found)
}

/// The last time this task ended well.
pub(crate) fn last_success(
    connection: &Connection,
    environment: &Environment,
    pipeline: &PipelineName,
    id: &TaskId,
) -> Result<Option<(RunName, TaskRecord)>, StateError> {
    let mut statement =
        connection.prepare_cached(&format!("{TASK} WHERE task.run = ?1 AND task.id = ?2"))?;
    // Ids of runs rise with their numbers.
    let newest = connection
        .prepare_cached(
            "SELECT task.run, run.number FROM task JOIN run ON run.id = task.run
             WHERE task.id = ?1 AND task.state IN ('succeeded', 'unchanged')
               AND run.pipeline = ?2 AND run.environment = ?3
             ORDER BY task.run DESC LIMIT 1",
        )?
        .query_row(
            (id.as_str(), pipeline.as_str(), environment.as_str()),
            |row| Ok((row.get::<_, i64>(0)?, counter(row, "number"))),
        )
        .optional()?;
    let Some((run, number)) = newest else {
        return Ok(None);
    };
    let mut rows = statement.query((run, id.as_str()))?;
    match rows.next()? {
        Some(row) => Ok(Some((
            RunName {
                pipeline: pipeline.clone(),
                number: number?,
            },
            task(row)?,
        ))),
        None => Ok(None),
    }
}
