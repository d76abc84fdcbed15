//! The changes of runs and tasks, each a function over an open transaction.
//!
//! Promise: a task changes only from the state and fence its caller expects, together with its event
//! row; a run that another process took over accepts nothing from the old one, because all fences of
//! its unfinished tasks were raised. It decides nothing about graphs: `orchestrator::decide` does.

use rusqlite::{Connection, OptionalExtension};
use serde_json::{Value, json};
use towpath_ports::{NewRun, Opened, RunEvent, RunRecord, RunState, TaskState, Transition};
use towpath_vocab::{Environment, RunName, TaskId};

use crate::codec::{run_state, signed, task_state, to_column};
use crate::error::StateError;
use crate::history::run_by_id;
use crate::liveness::Liveness;

/// What `open_run` found, and the worker whose leftovers can go.
pub(crate) struct Opening {
    pub(crate) opened: Opened,
    pub(crate) dead_worker: Option<String>,
}

/// The run that `open_run` has to judge.
struct Latest {
    id: i64,
    graph_hash: String,
    worker: String,
    expires_us: i64,
    is_hold: bool,
}

/// Begins, resumes or refuses a run. A hold, which asks for `what` and not for tasks of the pipeline,
/// lays an interrupted run aside and never takes its place; a run overlooks holds.
pub(crate) fn open(
    connection: &Connection,
    run: &NewRun,
    liveness: &Liveness,
) -> Result<Opening, StateError> {
    let mut dead_worker = None;
    let is_hold = run.request.get("what").is_some_and(|what| !what.is_null());
    if let Some(live) = going(connection, run)? {
        if live.expires_us > run.now_us && !liveness.is_dead(&live.worker) {
            return Ok(Opening {
                opened: Opened::Busy(run_by_id(connection, live.id)?),
                dead_worker,
            });
        }
        drop_worker(connection, &live.worker)?;
        dead_worker = Some(live.worker.clone());
        if live.graph_hash == run.graph_hash && live.is_hold == is_hold {
            return Ok(Opening {
                opened: resume(connection, live.id, run)?,
                dead_worker,
            });
        }
        match is_hold && !live.is_hold {
            true => lay_aside(connection, live.id, run)?,
            false => supersede(connection, live.id, run)?,
        }
    }
    if !is_hold
        && let Some(stopped) = stopped(connection, run)?
        && stopped.graph_hash == run.graph_hash
    {
        return Ok(Opening {
            opened: resume(connection, stopped.id, run)?,
            dead_worker,
        });
    }
    Ok(Opening {
        opened: begin(connection, run)?,
        dead_worker,
    })
}

const LATEST: &str = "SELECT run.id, run.state, run.graph_hash, run.worker,
            coalesce(worker.expires_us, 0), json_extract(run.request, '$.d.what') IS NOT NULL
     FROM run LEFT JOIN worker ON worker.id = run.worker
     WHERE run.pipeline = ?1 AND run.environment = ?2";

/// The running run or hold of this pipeline and environment.
fn going(connection: &Connection, run: &NewRun) -> Result<Option<Latest>, StateError> {
    let only = format!("{LATEST} AND run.state = 'running'");
    Ok(one(connection, &only, run)?.map(|(_, latest)| latest))
}

/// The newest run of this pipeline and environment, if it was stopped. Holds are none.
fn stopped(connection: &Connection, run: &NewRun) -> Result<Option<Latest>, StateError> {
    let newest = format!(
        "{LATEST} AND json_extract(run.request, '$.d.what') IS NULL
         ORDER BY run.number DESC LIMIT 1"
    );
    let newest = one(connection, &newest, run)?;
    Ok(newest
        .filter(|(found, _)| found == run_state(RunState::Cancelled))
        .map(|(_, latest)| latest))
}

fn one(
    connection: &Connection,
    query: &str,
    run: &NewRun,
) -> Result<Option<(String, Latest)>, StateError> {
    Ok(connection
        .prepare_cached(query)?
        .query_row((run.pipeline.as_str(), run.environment.as_str()), |row| {
            let latest = Latest {
                id: row.get(0)?,
                graph_hash: row.get(2)?,
                worker: row.get(3)?,
                expires_us: row.get(4)?,
                is_hold: row.get(5)?,
            };
            Ok((row.get(1)?, latest))
        })
        .optional()?)
}

fn begin(connection: &Connection, run: &NewRun) -> Result<Opened, StateError> {
    let number: i64 = connection.query_row(
        "SELECT coalesce(max(number), 0) + 1 FROM run WHERE pipeline = ?1 AND environment = ?2",
        (run.pipeline.as_str(), run.environment.as_str()),
        |row| row.get(0),
    )?;
    connection.execute(
        "INSERT INTO run (pipeline, environment, number, state, graph_hash, started_us, worker, request, last_seq)
         VALUES (?1, ?2, ?3, 'running', ?4, ?5, ?6, ?7, 0)",
        (
            run.pipeline.as_str(),
            run.environment.as_str(),
            number,
            &run.graph_hash,
            run.now_us,
            &run.worker,
            to_column("request", &run.request)?,
        ),
    )?;
    let id = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached(
        "INSERT INTO task (run, position, id, state, attempt, fence) VALUES (?1, ?2, ?3, 'waiting', 0, 0)",
    )?;
    for (position, task) in run.tasks.iter().enumerate() {
        insert.execute((id, signed(position as u64), task.as_str()))?;
    }
    lease(connection, run)?;
    add_event(
        connection,
        id,
        run.now_us,
        None,
        "run_started",
        &json!({ "worker": run.worker }),
    )?;
    Ok(Opened::New(run_by_id(connection, id)?))
}

fn resume(connection: &Connection, id: i64, run: &NewRun) -> Result<Opened, StateError> {
    connection.execute(
        "UPDATE run SET state = 'running', ended_us = NULL, worker = ?2 WHERE id = ?1",
        (id, &run.worker),
    )?;
    lease(connection, run)?;
    add_event(
        connection,
        id,
        run.now_us,
        None,
        "run_resumed",
        &json!({ "worker": run.worker }),
    )?;
    // What ran was lost with its process; what the user stopped starts over from its parents. What
    // failed may have been mended since, what was skipped because of it gets its turn again, and so
    // nothing may be ahead of its parents.
    let failed = tasks_in(connection, id, TaskState::Failed)?;
    let skipped = tasks_in(connection, id, TaskState::Skipped)?;
    let next = match failed.is_empty() && skipped.is_empty() {
        true => [(TaskState::Running, TaskState::Ready)].as_slice(),
        false => &[
            (TaskState::Failed, TaskState::Waiting),
            (TaskState::Skipped, TaskState::Waiting),
            (TaskState::Ready, TaskState::Waiting),
            (TaskState::Running, TaskState::Waiting),
            (TaskState::Retrying, TaskState::Waiting),
        ],
    };
    for &(from, to) in [(TaskState::Cancelled, TaskState::Waiting)]
        .iter()
        .chain(next)
    {
        for task in tasks_in(connection, id, from)? {
            connection.execute(
                "UPDATE task SET state = ?3, started_us = NULL, ended_us = NULL, failure = NULL, outcome = NULL
                 WHERE run = ?1 AND id = ?2",
                (id, &task, task_state(to)),
            )?;
            let body = json!({ "from": task_state(from), "because": "resumed" });
            add_event(
                connection,
                id,
                run.now_us,
                Some(&task),
                &format!("task_{}", task_state(to)),
                &body,
            )?;
        }
    }
    raise_fences(connection, id)?;
    Ok(Opened::Resumed(run_by_id(connection, id)?))
}

/// Sets tasks of a running run back to waiting, whatever became of them.
pub(crate) fn reopen(
    connection: &Connection,
    name: &RunName,
    environment: &Environment,
    tasks: &[TaskId],
    now_us: i64,
) -> Result<RunRecord, StateError> {
    let id: i64 = connection
        .query_row(
            "SELECT id FROM run WHERE pipeline = ?1 AND environment = ?2 AND number = ?3 AND state = 'running'",
            (
                name.pipeline.as_str(),
                environment.as_str(),
                signed(name.number),
            ),
            |row| row.get(0),
        )
        .optional()?
        .ok_or_else(|| StateError::TakenOver { run: name.clone() })?;
    for task in tasks {
        connection.execute(
            "UPDATE task SET state = 'waiting', fence = fence + 1, started_us = NULL, ended_us = NULL,
                    failure = NULL, outcome = NULL, fingerprint = NULL
             WHERE run = ?1 AND id = ?2",
            (id, task.as_str()),
        )?;
        add_event(
            connection,
            id,
            now_us,
            Some(task.as_str()),
            "task_waiting",
            &json!({ "because": "inputs changed" }),
        )?;
    }
    run_by_id(connection, id)
}

fn supersede(connection: &Connection, id: i64, run: &NewRun) -> Result<(), StateError> {
    let body = json!({ "graph_hash": run.graph_hash });
    put_down(connection, id, run, RunState::Superseded, &body)
}

/// An interrupted run that a hold comes before: as if the user had stopped it, so that it goes on later.
fn lay_aside(connection: &Connection, id: i64, run: &NewRun) -> Result<(), StateError> {
    let body = json!({ "because": "interrupted" });
    put_down(connection, id, run, RunState::Cancelled, &body)
}

/// Ends a run whose process is gone, with every task that was not at its end.
fn put_down(
    connection: &Connection,
    id: i64,
    run: &NewRun,
    state: RunState,
    body: &Value,
) -> Result<(), StateError> {
    let because = match state {
        RunState::Superseded => "superseded",
        _ => "interrupted",
    };
    connection.execute(
        "UPDATE run SET state = ?3, ended_us = ?2 WHERE id = ?1",
        (id, run.now_us, run_state(state)),
    )?;
    for from in [
        TaskState::Waiting,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Retrying,
    ] {
        for task in tasks_in(connection, id, from)? {
            connection.execute(
                "UPDATE task SET state = 'cancelled', fence = fence + 1, ended_us = ?3 WHERE run = ?1 AND id = ?2",
                (id, &task, run.now_us),
            )?;
            let body = json!({ "from": task_state(from), "because": because });
            add_event(
                connection,
                id,
                run.now_us,
                Some(&task),
                "task_cancelled",
                &body,
            )?;
        }
    }
    let kind = format!("run_{}", run_state(state));
    add_event(connection, id, run.now_us, None, &kind, body)
}

/// After this no transition that an older process still has in hand can match.
fn raise_fences(connection: &Connection, id: i64) -> Result<(), StateError> {
    connection.execute(
        "UPDATE task SET fence = fence + 1
         WHERE run = ?1 AND state IN ('waiting', 'ready', 'running', 'retrying')",
        [id],
    )?;
    Ok(())
}

fn tasks_in(connection: &Connection, id: i64, state: TaskState) -> Result<Vec<String>, StateError> {
    let mut statement = connection
        .prepare_cached("SELECT id FROM task WHERE run = ?1 AND state = ?2 ORDER BY position")?;
    let tasks = statement.query_map((id, task_state(state)), |row| row.get(0))?;
    Ok(tasks.collect::<Result<_, _>>()?)
}

fn lease(connection: &Connection, run: &NewRun) -> Result<(), StateError> {
    connection.execute(
        "INSERT INTO worker (id, lease_us, expires_us) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET lease_us = excluded.lease_us, expires_us = excluded.expires_us",
        (&run.worker, run.lease_us, run.now_us.saturating_add(run.lease_us)),
    )?;
    Ok(())
}

fn drop_worker(connection: &Connection, worker: &str) -> Result<(), StateError> {
    connection.execute("DELETE FROM worker WHERE id = ?1", [worker])?;
    Ok(())
}

/// Renews a worker's lease; false when another process took its place.
pub(crate) fn renew(
    connection: &Connection,
    worker: &str,
    now_us: i64,
) -> Result<bool, StateError> {
    let renewed = connection
        .prepare_cached("UPDATE worker SET expires_us = ?2 + lease_us WHERE id = ?1")?
        .execute((worker, now_us))?;
    Ok(renewed == 1)
}

/// When a worker's lease ends; `None` when it has none.
pub(crate) fn expires_us(connection: &Connection, worker: &str) -> Result<Option<i64>, StateError> {
    Ok(connection
        .query_row(
            "SELECT expires_us FROM worker WHERE id = ?1",
            [worker],
            |row| row.get(0),
        )
        .optional()?)
}

/// Applies all transitions or none; false when one did not find what it expected.
pub(crate) fn transition_all(
    connection: &Connection,
    all: &[Transition],
) -> Result<bool, StateError> {
    connection.execute_batch("SAVEPOINT transitions")?;
    let mut done = true;
    for transition in all {
        if !transition_one(connection, transition)? {
            done = false;
            break;
        }
    }
    let end = if done {
        "RELEASE transitions"
    } else {
        "ROLLBACK TO transitions; RELEASE transitions"
    };
    connection.execute_batch(end)?;
    Ok(done)
}

fn transition_one(connection: &Connection, transition: &Transition) -> Result<bool, StateError> {
    let Some(id) = live_run(connection, transition)? else {
        return Ok(false);
    };
    let changed = match transition.to {
        TaskState::Running => start(connection, id, transition)?,
        to if to.is_final() || to == TaskState::Retrying => end(connection, id, transition)?,
        _ => connection
            .prepare_cached("UPDATE task SET state = ?4 WHERE run = ?1 AND id = ?2 AND state = ?3 AND fence = ?5")?
            .execute((
                id,
                transition.task.as_str(),
                task_state(transition.from),
                task_state(transition.to),
                signed(transition.fence),
            ))?,
    };
    if changed == 0 {
        return Ok(false);
    }
    let kind = match transition.to {
        TaskState::Retrying => "retry_scheduled".to_owned(),
        to => format!("task_{}", task_state(to)),
    };
    let mut body = json!({ "from": task_state(transition.from) });
    if let Some(failure) = transition.end.as_ref().and_then(|end| end.failure.as_ref()) {
        let failure = serde_json::to_value(failure).map_err(|error| StateError::Stored {
            what: "failure",
            detail: error.to_string(),
        })?;
        body["failure"] = failure;
    }
    // What a person should know stands in the history, whether it is told again or not.
    if let Some(end) = &transition.end
        && let Some(notes) = end.outcome.get("notes").and_then(Value::as_array)
        && !notes.is_empty()
    {
        body["notes"] = notes.clone().into();
    }
    add_event(
        connection,
        id,
        transition.now_us,
        Some(transition.task.as_str()),
        &kind,
        &body,
    )?;
    Ok(true)
}

fn live_run(connection: &Connection, transition: &Transition) -> Result<Option<i64>, StateError> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM run WHERE pipeline = ?1 AND environment = ?2 AND number = ?3 AND state = 'running'",
    )?;
    Ok(statement
        .query_row(
            (
                transition.run.pipeline.as_str(),
                transition.environment.as_str(),
                signed(transition.run.number),
            ),
            |row| row.get(0),
        )
        .optional()?)
}

fn start(connection: &Connection, id: i64, transition: &Transition) -> Result<usize, StateError> {
    Ok(connection
        .prepare_cached(
            "UPDATE task SET state = 'running', attempt = attempt + 1, fence = fence + 1, started_us = ?5,
                    ended_us = NULL, failure = NULL, outcome = NULL
             WHERE run = ?1 AND id = ?2 AND state = ?3 AND fence = ?4",
        )?
        .execute((
            id,
            transition.task.as_str(),
            task_state(transition.from),
            signed(transition.fence),
            transition.now_us,
        ))?)
}

fn end(connection: &Connection, id: i64, transition: &Transition) -> Result<usize, StateError> {
    let end = transition.end.as_ref();
    let failure = end.and_then(|end| end.failure.as_ref());
    let outcome = end
        .map(|end| &end.outcome)
        .filter(|outcome| !outcome.is_null());
    Ok(connection
        .prepare_cached(
            "UPDATE task SET state = ?5, ended_us = ?6, failure = ?7, outcome = ?8, fingerprint = ?9
             WHERE run = ?1 AND id = ?2 AND state = ?3 AND fence = ?4",
        )?
        .execute((
            id,
            transition.task.as_str(),
            task_state(transition.from),
            signed(transition.fence),
            task_state(transition.to),
            transition.now_us,
            failure.map(|failure| to_column("failure", failure)).transpose()?,
            outcome.map(|outcome| to_column("outcome", outcome)).transpose()?,
            end.and_then(|end| end.fingerprint.as_deref()),
        ))?)
}

/// Ends a run; gives the worker that has nothing left to do. A run that already ended so is fine.
pub(crate) fn close(
    connection: &Connection,
    name: &RunName,
    environment: &Environment,
    state: RunState,
    now_us: i64,
    liveness: &Liveness,
) -> Result<Option<String>, StateError> {
    let (id, found, worker, expires_us) = connection
        .query_row(
            "SELECT run.id, run.state, run.worker, coalesce(worker.expires_us, 0)
             FROM run LEFT JOIN worker ON worker.id = run.worker
             WHERE run.pipeline = ?1 AND run.environment = ?2 AND run.number = ?3",
            (
                name.pipeline.as_str(),
                environment.as_str(),
                signed(name.number),
            ),
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, i64>(3)?,
                ))
            },
        )
        .optional()?
        .ok_or_else(|| StateError::NoSuchRun { run: name.clone() })?;
    if found == run_state(state) && state != RunState::Running {
        return Ok(None);
    }
    let ours = liveness.holds(&worker) || expires_us <= now_us || liveness.is_dead(&worker);
    if found != run_state(RunState::Running) || !ours {
        return Err(StateError::TakenOver { run: name.clone() });
    }
    connection.execute(
        "UPDATE run SET state = ?2, ended_us = ?3 WHERE id = ?1",
        (id, run_state(state), now_us),
    )?;
    add_event(
        connection,
        id,
        now_us,
        None,
        &format!("run_{}", run_state(state)),
        &Value::Null,
    )?;
    let others: i64 = connection.query_row(
        "SELECT count(*) FROM run WHERE worker = ?1 AND state = 'running'",
        [&worker],
        |row| row.get(0),
    )?;
    if others > 0 {
        return Ok(None);
    }
    drop_worker(connection, &worker)?;
    Ok(Some(worker))
}

/// Adds a line to a run's history; its number is given here.
pub(crate) fn append_event(
    connection: &Connection,
    name: &RunName,
    environment: &Environment,
    event: &RunEvent,
) -> Result<(), StateError> {
    let id = connection
        .query_row(
            "SELECT id FROM run WHERE pipeline = ?1 AND environment = ?2 AND number = ?3",
            (
                name.pipeline.as_str(),
                environment.as_str(),
                signed(name.number),
            ),
            |row| row.get(0),
        )
        .optional()?
        .ok_or_else(|| StateError::NoSuchRun { run: name.clone() })?;
    add_event(
        connection,
        id,
        event.at_us,
        event.task.as_ref().map(TaskId::as_str),
        &event.kind,
        &event.body,
    )
}

fn add_event(
    connection: &Connection,
    id: i64,
    at_us: i64,
    task: Option<&str>,
    kind: &str,
    body: &Value,
) -> Result<(), StateError> {
    let seq: i64 = connection
        .prepare_cached("UPDATE run SET last_seq = last_seq + 1 WHERE id = ?1 RETURNING last_seq")?
        .query_row([id], |row| row.get(0))?;
    connection
        .prepare_cached(
            "INSERT INTO event (run, seq, at_us, task, kind, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((id, seq, at_us, task, kind, to_column("event", body)?))?;
    Ok(())
}
