//! Reads graphs, runs, tasks and events.
//!
//! Promise: a run and its tasks are read in one snapshot. Runs come newest first, tasks in the order of the
//! graph, events in the order of `seq`. Nothing here writes. Read next: `runs.rs`.

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_ports::{
    Interval, RunEvent, RunFilter, RunKind, RunPage, RunRecord, RunState, RunSummary, TaskRecord,
};
use towpath_vocab::{Environment, PipelineName, RunName, TaskId};

use crate::codec::{
    event_kind, from_column, json, maybe_json, outcome, parse_run_kind, parse_run_state,
    parse_task_state, run_kind, run_state,
};
use crate::error::StateError;
use crate::tx::{Cell, Row, Tx, cells};
use crate::workers;

const RUN: &str = "SELECT id, pipeline, environment, number, state, graph_hash, started_us, ended_us, \
    worker, request, kind, interval_start_us, interval_end_us, params, last_seq, \
    deadline_us, stop FROM run";
const TASK: &str = "SELECT task.id, task.state, task.attempt, task.fence, task.started_us, task.ended_us, \
    task.failure, task.outcome, task.fingerprint, task.worker, task.due_us FROM task";

/// The row id of a run, by its name.
pub(crate) async fn id_of(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
) -> Result<Option<i64>, StateError> {
    let found = tx
        .one(
            "SELECT id FROM run WHERE pipeline = ?1 AND environment = ?2 AND number = ?3",
            cells![name.pipeline.as_str(), environment.as_str(), name.number],
        )
        .await?;
    found.map(|row| row.int(0)).transpose()
}

/// Whether a client submitted a run.
pub(crate) async fn is_submitted(tx: &Tx<'_>, id: i64) -> Result<bool, StateError> {
    let found = "SELECT 1 FROM submission WHERE run = ?1 LIMIT 1";
    Ok(tx.one(found, cells![id]).await?.is_some())
}

/// One run with its tasks.
pub(crate) async fn run_by_id(tx: &Tx<'_>, id: i64) -> Result<RunRecord, StateError> {
    let found = tx.one(&format!("{RUN} WHERE id = ?1"), cells![id]).await?;
    match found {
        Some(row) => run(tx, &row).await,
        None => Err(StateError::Stored {
            what: "run",
            detail: format!("row {id} is missing"),
        }),
    }
}

/// One run, by its name.
pub(crate) async fn run_by_name(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
) -> Result<Option<RunRecord>, StateError> {
    match id_of(tx, name, environment).await? {
        Some(id) => run_by_id(tx, id).await.map(Some),
        None => Ok(None),
    }
}

/// Runs that match the filter, newest first.
pub(crate) async fn runs(tx: &Tx<'_>, filter: &RunFilter) -> Result<Vec<RunRecord>, StateError> {
    let rows = tx
        .rows(
            &format!(
                "{RUN} WHERE (CAST(?1 AS TEXT) IS NULL OR pipeline = ?1)
                   AND (CAST(?2 AS TEXT) IS NULL OR environment = ?2)
                 ORDER BY started_us DESC, id DESC LIMIT ?3"
            ),
            cells![
                filter.pipeline.as_ref().map(PipelineName::as_str),
                filter.environment.as_ref().map(Environment::as_str),
                filter
                    .limit
                    .map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX)),
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(run(tx, row).await?);
    }
    Ok(found)
}

/// A page of runs, newest first.
pub(crate) async fn page(tx: &Tx<'_>, page: &RunPage) -> Result<Vec<RunRecord>, StateError> {
    let after = match &page.after {
        None => None,
        Some(name) => Some(place_of(tx, name, &page.environment).await?),
    };
    let mut values = vec![
        Cell::from(page.environment.as_str()),
        Cell::from(page.limit),
    ];
    values.extend(page.pipeline.as_ref().map(|name| Cell::from(name.as_str())));
    values.extend(page.state.map(|state| Cell::from(run_state(state))));
    values.extend(
        after
            .into_iter()
            .flat_map(|(us, id)| [us, id])
            .map(Cell::from),
    );
    let asked = (
        page.pipeline.is_some(),
        page.state.is_some(),
        after.is_some(),
    );
    let is_file = tx.only_on_server("server").is_empty();
    let rows = tx.rows(&page_statement(asked, is_file), &values).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(run(tx, row).await?);
    }
    Ok(found)
}

/// The statement of a page: each condition that is asked for, and the index that has its order. A file has no
/// statistics by which it would find the index.
pub(crate) fn page_statement(
    (pipeline, state, after): (bool, bool, bool),
    is_file: bool,
) -> String {
    let index = match (pipeline, state) {
        (true, _) => "run_of_pipeline",
        (false, true) => "run_in_state",
        (false, false) => "run_began",
    };
    let by = match is_file {
        true => format!(" INDEXED BY {index}"),
        false => String::new(),
    };
    let mut last = 2;
    let mut next = || {
        last += 1;
        last
    };
    let mut conditions = String::new();
    for (column, is_asked) in [("pipeline", pipeline), ("state", state)] {
        if is_asked {
            conditions.push_str(&format!(" AND {column} = ?{}", next()));
        }
    }
    if after {
        conditions.push_str(&format!(
            " AND (started_us, id) < (?{}, ?{})",
            next(),
            next()
        ));
    }
    format!(
        "{RUN}{by} WHERE environment = ?1{conditions} ORDER BY started_us DESC, id DESC LIMIT ?2"
    )
}

/// When a run began, and its row.
async fn place_of(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
) -> Result<(i64, i64), StateError> {
    let found = tx
        .one(
            "SELECT started_us, id FROM run WHERE pipeline = ?1 AND environment = ?2 AND number = ?3",
            cells![name.pipeline.as_str(), environment.as_str(), name.number],
        )
        .await?;
    match found {
        Some(row) => Ok((row.int(0)?, row.int(1)?)),
        None => Err(StateError::NoSuchRun { run: name.clone() }),
    }
}

/// The newest runs of a pipeline: their numbers are unique.
pub(crate) const NEWEST: &str = "SELECT id, number, state, started_us, ended_us, worker FROM run
    WHERE pipeline = ?1 AND environment = ?2 AND (CAST(?4 AS TEXT) IS NULL OR kind = ?4)
    ORDER BY number DESC LIMIT ?3";

/// The newest runs of a pipeline, of one kind or of all, without their tasks.
pub(crate) async fn newest(
    tx: &Tx<'_>,
    environment: &Environment,
    pipeline: &PipelineName,
    (kind, limit): (Option<RunKind>, u64),
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<RunSummary>, StateError> {
    let rows = tx
        .rows(
            NEWEST,
            cells![
                pipeline.as_str(),
                environment.as_str(),
                limit,
                kind.map(run_kind)
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let state = parse_run_state(row.text(2)?)?;
        let interrupted = state == RunState::Running
            && !workers::has_live_worker(tx, row.int(0)?, row.text(5)?, is_dead).await?;
        found.push(RunSummary {
            name: RunName {
                pipeline: pipeline.clone(),
                number: row.count(1)?,
            },
            state,
            interrupted,
            started_us: row.int(3)?,
            ended_us: row.maybe_int(4)?,
        });
    }
    Ok(found)
}

async fn run(tx: &Tx<'_>, row: &Row) -> Result<RunRecord, StateError> {
    let rows = tx
        .rows(
            &format!("{TASK} WHERE task.run = ?1 ORDER BY task.position"),
            cells![row.int(0)?],
        )
        .await?;
    let interval = match (row.maybe_int(11)?, row.maybe_int(12)?) {
        (Some(start_us), Some(end_us)) => Some(Interval { start_us, end_us }),
        _ => None,
    };
    let params: Option<BTreeMap<String, String>> = maybe_json("parameters", row, 13)?;
    Ok(RunRecord {
        name: RunName {
            pipeline: PipelineName::new(row.text(1)?),
            number: row.count(3)?,
        },
        environment: Environment::new(row.text(2)?),
        kind: parse_run_kind(row.text(10)?)?,
        interval,
        params: params.unwrap_or_default(),
        state: parse_run_state(row.text(4)?)?,
        graph_hash: row.text(5)?.to_owned(),
        started_us: row.int(6)?,
        ended_us: row.maybe_int(7)?,
        deadline_us: row.maybe_int(15)?,
        left_us: row
            .maybe_int(15)?
            .map(|at_us| at_us.saturating_sub(tx.now_us)),
        stop: maybe_json("request to stop", row, 16)?,
        worker: row.text(8)?.to_owned(),
        request: json("request", row, 9)?,
        seq: row.count(14)?,
        tasks: rows.iter().map(task).collect::<Result<_, _>>()?,
    })
}

fn task(row: &Row) -> Result<TaskRecord, StateError> {
    Ok(TaskRecord {
        id: TaskId::new(row.text(0)?),
        state: parse_task_state(row.text(1)?)?,
        attempt: u32::try_from(row.count(2)?).unwrap_or(u32::MAX),
        fence: row.count(3)?,
        worker: row.maybe_text(9)?.map(str::to_owned),
        due_us: row.maybe_int(10)?,
        started_us: row.maybe_int(4)?,
        ended_us: row.maybe_int(5)?,
        failure: maybe_json("failure", row, 6)?,
        outcome: outcome(row, 7)?,
        fingerprint: row.maybe_text(8)?.map(str::to_owned),
    })
}

/// A run's events after `seq`.
pub(crate) async fn events(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
    after_seq: u64,
    limit: u64,
) -> Result<Vec<RunEvent>, StateError> {
    match id_of(tx, name, environment).await? {
        Some(id) => some_events(tx, id, after_seq, limit).await,
        None => Ok(Vec::new()),
    }
}

/// The events of a run after `seq`, by its row id.
pub(crate) async fn events_of(
    tx: &Tx<'_>,
    id: i64,
    after_seq: u64,
) -> Result<Vec<RunEvent>, StateError> {
    some_events(tx, id, after_seq, u64::MAX).await
}

async fn some_events(
    tx: &Tx<'_>,
    id: i64,
    after_seq: u64,
    limit: u64,
) -> Result<Vec<RunEvent>, StateError> {
    let rows = tx
        .rows(
            "SELECT seq, at_us, task, kind, body FROM event WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            cells![id, after_seq, limit],
        )
        .await?;
    rows.iter().map(|row| event(row, 0)).collect()
}

/// An event from the columns `seq, at_us, task, kind, body`, the first at `from`.
pub(crate) fn event(row: &Row, from: usize) -> Result<RunEvent, StateError> {
    Ok(RunEvent {
        seq: row.count(from)?,
        at_us: row.int(from + 1)?,
        task: row.maybe_text(from + 2)?.map(TaskId::new),
        kind: event_kind(row.text(from + 3)?)?,
        body: json("event", row, from + 4)?,
    })
}

/// The last record of this task that ended well.
pub(crate) async fn last_success(
    tx: &Tx<'_>,
    environment: &Environment,
    pipeline: &PipelineName,
    id: &TaskId,
) -> Result<Option<(RunName, TaskRecord)>, StateError> {
    // Ids of runs increase with their numbers.
    let newest = tx
        .one(
            "SELECT task.run, run.number FROM task JOIN run ON run.id = task.run
             WHERE task.id = ?1 AND task.state IN ('succeeded', 'unchanged')
               AND run.pipeline = ?2 AND run.environment = ?3
             ORDER BY task.run DESC LIMIT 1",
            cells![id.as_str(), pipeline.as_str(), environment.as_str()],
        )
        .await?;
    let Some(newest) = newest else {
        return Ok(None);
    };
    let found = tx
        .one(
            &format!("{TASK} WHERE task.run = ?1 AND task.id = ?2"),
            cells![newest.int(0)?, id.as_str()],
        )
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let name = RunName {
        pipeline: pipeline.clone(),
        number: newest.count(1)?,
    };
    Ok(Some((name, task(&found)?)))
}

/// A stored graph.
pub(crate) async fn graph(tx: &Tx<'_>, hash: &str) -> Result<Option<Value>, StateError> {
    let found = tx
        .one("SELECT body FROM graph WHERE hash = ?1", cells![hash])
        .await?;
    let text = found.as_ref().map(|row| row.text(0)).transpose()?;
    text.map(|text| from_column("graph", text)).transpose()
}

/// How a run ended before this event of it: itself, before it was resumed, or else the last pipeline run before it.
pub(crate) async fn ended_before(
    tx: &Tx<'_>,
    run: &RunName,
    environment: &Environment,
    seq: u64,
) -> Result<Option<RunState>, StateError> {
    let own = tx
        .one(
            "SELECT event.kind FROM run JOIN event ON event.run = run.id
             WHERE run.pipeline = ?1 AND run.environment = ?2 AND run.number = ?3 AND event.seq < ?4
               AND event.kind IN ('run_failed', 'run_succeeded')
             ORDER BY event.seq DESC LIMIT 1",
            cells![run.pipeline.as_str(), environment.as_str(), run.number, seq],
        )
        .await?;
    let found = match own {
        Some(row) => Some(row),
        None => {
            tx.one(
                "SELECT 'run_' || state FROM run
                 WHERE pipeline = ?1 AND environment = ?2 AND number < ?3 AND kind = 'run'
                   AND state IN ('failed', 'succeeded')
                 ORDER BY number DESC LIMIT 1",
                cells![run.pipeline.as_str(), environment.as_str(), run.number],
            )
            .await?
        }
    };
    let Some(row) = found else { return Ok(None) };
    Ok(match row.text(0)? {
        "run_failed" => Some(RunState::Failed),
        _ => Some(RunState::Succeeded),
    })
}

/// When the last run of a pipeline that succeeded ended, in microseconds since 1970 UTC.
pub(crate) async fn last_succeeded(
    tx: &Tx<'_>,
    pipeline: &PipelineName,
    environment: &Environment,
) -> Result<Option<i64>, StateError> {
    let found = tx
        .one(
            "SELECT ended_us FROM run
             WHERE pipeline = ?1 AND environment = ?2 AND kind = 'run' AND state = 'succeeded'
             ORDER BY number DESC LIMIT 1",
            cells![pipeline.as_str(), environment.as_str()],
        )
        .await?;
    found.map_or(Ok(None), |row| row.maybe_int(0))
}
