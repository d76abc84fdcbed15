//! How runs begin, resume and end: functions over an open transaction.
//!
//! Promise: one run of a pipeline and environment is active at a time. If another process takes a run over,
//! all changes of the old process are refused, because the fences of the unfinished tasks were raised. It
//! does not know what tasks do or when they may start. Read next: `tasks.rs`.

use serde_json::{Value, json};
use towpath_ports::{
    Interval, NewRun, Opened, RunEvent, RunEventKind, RunKind, RunRecord, RunState, RunStop,
    TaskState,
};
use towpath_vocab::{Environment, RunName, TaskId};

use crate::codec::{
    maybe_json, parse_run_kind, parse_run_state, run_kind, run_state, task_state, to_column,
};
use crate::error::StateError;
use crate::journal::Journal;
use crate::run_history::{is_submitted, run_by_id};
use crate::tx::{Row, Tx, cells};
use crate::{backfill_runs, lost_runs, run_stops, schedules, workers};

/// The result of `open_run`, and the worker whose leftover files can be deleted.
pub(crate) struct Opening {
    pub(crate) opened: Opened,
    pub(crate) dead_worker: Option<String>,
}

/// The run about which `open_run` must decide.
struct Latest {
    id: i64,
    state: RunState,
    kind: RunKind,
    graph_hash: String,
    worker: String,
    interval: Option<Interval>,
    stop: Option<RunStop>,
    /// True if a scheduler carries it out.
    is_scheduled: bool,
}

impl Latest {
    /// True when a run that begins can go on with this one: the same graph, and the same interval where
    /// it has one.
    fn is_same(&self, run: &NewRun) -> bool {
        let interval = run.interval.is_none() || run.interval == self.interval;
        self.graph_hash == run.graph.hash && interval
    }
}

/// Which run may be resumed.
#[derive(Clone, Copy)]
pub(crate) enum Resumes {
    /// The newest one of the pipeline, if it has the same graph.
    Any,
    /// Only this one: the run of a submission's key, if it has one.
    Only(Option<i64>),
}

impl Resumes {
    fn allows(self, id: i64) -> bool {
        match self {
            Resumes::Any => true,
            Resumes::Only(own) => own == Some(id),
        }
    }
}

/// Creates, resumes or refuses a run. A run of another kind than `Run` interrupts one whose process is
/// dead, and does not replace it; a run of kind `Run` ignores the other kinds.
pub(crate) async fn open(
    tx: &Tx<'_>,
    run: &NewRun,
    resumes: Resumes,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Opening, StateError> {
    let opening = |opened, dead_worker| {
        Ok(Opening {
            opened,
            dead_worker,
        })
    };
    if run.scheduled && run.backfill.is_none() && !schedules::may_begin(tx, run).await? {
        return opening(Opened::Decided, None);
    }
    let mut dead_worker = None;
    let mut latest = running(tx, run).await?;
    if let Some(found) = &latest {
        if workers::has_live_worker(tx, found.id, &found.worker, is_dead).await? {
            return opening(Opened::Busy(run_by_id(tx, found.id).await?), None);
        }
        if let Some(stop) = &found.stop {
            // Its process died before it had stopped: nobody goes on with it.
            workers::remove(tx, &found.worker).await?;
            run_stops::end(tx, found.id, stop).await?;
            dead_worker = Some(found.worker.clone());
            latest = None;
        }
    }
    let open = match run.backfill {
        _ if !run.scheduled => true,
        Some(backfill) => backfill_runs::is_open(tx, run, backfill).await?,
        None => schedules::is_open(tx, run).await?,
    };
    if !open {
        return opening(Opened::Decided, dead_worker);
    }
    if let Some(latest) = latest {
        if is_left_to_servers(tx, run, resumes, &latest).await? {
            return opening(Opened::Busy(run_by_id(tx, latest.id).await?), dead_worker);
        }
        workers::remove(tx, &latest.worker).await?;
        dead_worker = Some(latest.worker.clone());
        if resumes.allows(latest.id) && latest.is_same(run) && latest.kind == run.kind {
            if run.scheduled && lost_runs::give_up(tx, latest.id).await? {
                let given_up = run_by_id(tx, latest.id).await?;
                return opening(Opened::GivenUp(given_up), dead_worker);
            }
            return opening(resume(tx, latest.id, run).await?, dead_worker);
        }
        match !run.kind.is_run() && latest.kind.is_run() {
            true => interrupt(tx, latest.id).await?,
            false => supersede(tx, latest.id, run).await?,
        }
    }
    let opened = match stopped(tx, run).await? {
        Some(stopped)
            if resumes.allows(stopped.id) && run.kind.is_run() && stopped.is_same(run) =>
        {
            resume(tx, stopped.id, run).await?
        }
        _ => begin(tx, run).await?,
    };
    opening(opened, dead_worker)
}

/// True if servers go on with the run of a dead process by themselves, so that another run waits for it: a run of
/// the schedule waits for a submitted one, a submitted one for every other.
async fn is_left_to_servers(
    tx: &Tx<'_>,
    run: &NewRun,
    resumes: Resumes,
    latest: &Latest,
) -> Result<bool, StateError> {
    let waits = match resumes {
        Resumes::Any => run.scheduled && !latest.is_same(run),
        Resumes::Only(_) => !resumes.allows(latest.id),
    };
    if !waits {
        return Ok(false);
    }
    let is_scheduled = latest.is_scheduled && matches!(resumes, Resumes::Only(_));
    Ok(is_scheduled || is_submitted(tx, latest.id).await?)
}

const LATEST: &str = "SELECT id, state, kind, graph_hash, worker, interval_start_us, \
    interval_end_us, stop, scheduled FROM run WHERE pipeline = ?1 AND environment = ?2";

/// The active run of this pipeline and environment, of any kind.
async fn running(tx: &Tx<'_>, run: &NewRun) -> Result<Option<Latest>, StateError> {
    let lock = tx.only_on_server("FOR UPDATE");
    latest(tx, &format!("{LATEST} AND state = 'running' {lock}"), run).await
}

/// The newest run of the pipeline itself, if its terminal stopped it. One that was asked to stop from elsewhere
/// stays ended: who waits for it, or comes next, begins a run of its own.
async fn stopped(tx: &Tx<'_>, run: &NewRun) -> Result<Option<Latest>, StateError> {
    let newest = format!("{LATEST} AND kind = 'run' ORDER BY number DESC LIMIT 1");
    let newest = latest(tx, &newest, run).await?;
    Ok(newest.filter(|found| found.state == RunState::Cancelled && found.stop.is_none()))
}

async fn latest(tx: &Tx<'_>, query: &str, run: &NewRun) -> Result<Option<Latest>, StateError> {
    let values = cells![run.pipeline.as_str(), run.environment.as_str()];
    let read = |row: Row| {
        Ok(Latest {
            id: row.int(0)?,
            state: parse_run_state(row.text(1)?)?,
            kind: parse_run_kind(row.text(2)?)?,
            graph_hash: row.text(3)?.to_owned(),
            worker: row.text(4)?.to_owned(),
            interval: row
                .maybe_int(5)?
                .zip(row.maybe_int(6)?)
                .map(|(start_us, end_us)| Interval { start_us, end_us }),
            stop: maybe_json("request to stop", &row, 7)?,
            is_scheduled: row.int(8)? != 0,
        })
    };
    tx.one(query, values).await?.map(read).transpose()
}

async fn begin(tx: &Tx<'_>, run: &NewRun) -> Result<Opened, StateError> {
    keep_graph(tx, run).await?;
    let id = insert(tx, run).await?;
    for (position, task) in run.graph.tasks.iter().enumerate() {
        if let Some(pool) = &task.pool {
            need_pool(tx, pool, &task.id).await?;
        }
        tx.execute(
            "INSERT INTO task (run, position, id, state, attempt, fence, pool)
             VALUES (?1, ?2, ?3, 'waiting', 0, 0, ?4)",
            cells![id, position as u64, task.id.as_str(), task.pool.as_ref()],
        )
        .await?;
    }
    workers::lease(tx, &run.worker, run.lease_us).await?;
    let mut journal = Journal::of_row(tx, id).await?;
    let body = match (run.interval, run.backfill) {
        (Some(interval), Some(backfill)) => {
            json!({ "worker": run.worker, "interval": interval, "backfill": backfill })
        }
        (Some(interval), None) => json!({ "worker": run.worker, "interval": interval }),
        (None, _) => json!({ "worker": run.worker }),
    };
    match run.backfill {
        _ if !run.scheduled => {}
        Some(_) => backfill_runs::begun(tx, id, run.backfill).await?,
        None => schedules::begun(tx, id).await?,
    }
    journal
        .add(tx, tx.now_us, None, RunEventKind::RunStarted, &body)
        .await?;
    journal.finish(tx).await?;
    Ok(Opened::New(run_by_id(tx, id).await?))
}

async fn insert(tx: &Tx<'_>, run: &NewRun) -> Result<i64, StateError> {
    let number = tx
        .one(
            "SELECT coalesce(max(number), 0) + 1 FROM run WHERE pipeline = ?1 AND environment = ?2",
            cells![run.pipeline.as_str(), run.environment.as_str()],
        )
        .await?;
    let number = number.map_or(Ok(1), |row| row.int(0))?;
    let params = match run.params.is_empty() {
        true => None,
        false => Some(to_column("parameters", &run.params)?),
    };
    let inserted = tx
        .one(
            "INSERT INTO run (pipeline, environment, number, kind, state, graph_hash, started_us, worker,
                              request, interval_start_us, interval_end_us, params, parallel, last_seq,
                              deadline_us, scheduled)
             VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, ?13, ?14) RETURNING id",
            cells![
                run.pipeline.as_str(),
                run.environment.as_str(),
                number,
                run_kind(run.kind),
                &run.graph.hash,
                tx.now_us,
                &run.worker,
                to_column("request", &run.request)?,
                run.interval.map(|interval| interval.start_us),
                run.interval.map(|interval| interval.end_us),
                params,
                u64::from(run.graph.parallel),
                deadline_us(tx, run),
                i64::from(run.scheduled),
            ],
        )
        .await?;
    match inserted {
        Some(row) => row.int(0),
        None => Err(StateError::Stored {
            what: "run",
            detail: "a new row has no id".to_owned(),
        }),
    }
}

/// Stores a graph once, for all of its runs.
async fn keep_graph(tx: &Tx<'_>, run: &NewRun) -> Result<(), StateError> {
    if run.graph.body.is_null() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO graph (hash, body, stored_us) VALUES (?1, ?2, ?3) ON CONFLICT (hash) DO NOTHING",
        cells![
            &run.graph.hash,
            to_column("graph", &run.graph.body)?,
            tx.now_us
        ],
    )
    .await?;
    Ok(())
}

async fn need_pool(tx: &Tx<'_>, pool: &str, task: &TaskId) -> Result<(), StateError> {
    let found = tx
        .one("SELECT slots FROM pool WHERE name = ?1", cells![pool])
        .await?;
    match found {
        Some(_) => Ok(()),
        None => Err(StateError::NoSuchPool {
            pool: pool.to_owned(),
            task: task.clone(),
        }),
    }
}

/// The moment at which a run fails that begins now and has not ended then.
fn deadline_us(tx: &Tx<'_>, run: &NewRun) -> Option<i64> {
    let us = run.deadline_ms?.saturating_mul(1000);
    Some(
        tx.now_us
            .saturating_add(i64::try_from(us).unwrap_or(i64::MAX)),
    )
}

async fn resume(tx: &Tx<'_>, id: i64, run: &NewRun) -> Result<Opened, StateError> {
    // A run that its user stopped has all of its time again; one that a user goes on with has no deadline.
    tx.execute(
        "UPDATE run SET state = 'running', ended_us = NULL, worker = ?2, scheduled = ?4,
                deadline_us = CASE WHEN CAST(?3 AS BIGINT) IS NOT NULL AND state = 'running' THEN deadline_us
                                   ELSE CAST(?3 AS BIGINT) END
         WHERE id = ?1",
        cells![id, &run.worker, deadline_us(tx, run), i64::from(run.scheduled)],
    )
    .await?;
    keep_graph(tx, run).await?;
    workers::lease(tx, &run.worker, run.lease_us).await?;
    let mut journal = Journal::of_row(tx, id).await?;
    let body = json!({ "worker": run.worker });
    journal
        .add(tx, tx.now_us, None, RunEventKind::RunResumed, &body)
        .await?;
    // Running tasks were lost with their process; tasks that the user stopped start again after their
    // parents. The cause of a failed task may have been corrected, so failed tasks and those that were
    // skipped because of them run again; no task may be ahead of its parents.
    let failed = tasks_in(tx, id, TaskState::Failed).await?;
    let skipped = tasks_in(tx, id, TaskState::Skipped).await?;
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
        for task in tasks_in(tx, id, from).await? {
            tx.execute(
                "UPDATE task SET state = ?3, started_us = NULL, ended_us = NULL, failure = NULL, outcome = NULL,
                        worker = NULL, due_us = NULL, ready_us = ?4
                 WHERE run = ?1 AND id = ?2",
                cells![id, &task, task_state(to), tx.now_us],
            )
            .await?;
            let body = json!({ "from": task_state(from), "because": "resumed" });
            let kind = RunEventKind::Task(to);
            journal.add(tx, tx.now_us, Some(&task), kind, &body).await?;
        }
    }
    raise_fences(tx, id).await?;
    if run.backfill.is_none() {
        schedules::begun(tx, id).await?;
    }
    backfill_runs::begun(tx, id, run.backfill).await?;
    journal.finish(tx).await?;
    Ok(Opened::Resumed(run_by_id(tx, id).await?))
}

/// Makes tasks of an active run wait again, in any state.
pub(crate) async fn reopen(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
    tasks: &[TaskId],
    now_us: i64,
) -> Result<RunRecord, StateError> {
    let journal = Journal::of(tx, name, environment).await?;
    let Some(mut journal) = journal.filter(Journal::is_running) else {
        return Err(StateError::TakenOver { run: name.clone() });
    };
    for task in tasks {
        tx.execute(
            "UPDATE task SET state = 'waiting', fence = fence + 1, started_us = NULL, ended_us = NULL,
                    failure = NULL, outcome = NULL, fingerprint = NULL, worker = NULL, due_us = NULL
             WHERE run = ?1 AND id = ?2",
            cells![journal.id, task.as_str()],
        )
        .await?;
        let body = json!({ "because": "inputs changed" });
        journal
            .add(
                tx,
                now_us,
                Some(task.as_str()),
                RunEventKind::Task(TaskState::Waiting),
                &body,
            )
            .await?;
    }
    journal.finish(tx).await?;
    run_by_id(tx, journal.id).await
}

async fn supersede(tx: &Tx<'_>, id: i64, run: &NewRun) -> Result<(), StateError> {
    let body = json!({ "graph_hash": run.graph.hash });
    put_down(tx, id, RunState::Superseded, &body).await
}

/// Interrupts a run whose process is dead, because another run comes first: as if the user had stopped it,
/// so that it can be resumed.
pub(crate) async fn interrupt(tx: &Tx<'_>, id: i64) -> Result<(), StateError> {
    let body = json!({ "because": "interrupted" });
    put_down(tx, id, RunState::Cancelled, &body).await
}

/// Ends a run whose process is dead, with all of its unfinished tasks.
pub(crate) async fn put_down(
    tx: &Tx<'_>,
    id: i64,
    state: RunState,
    body: &Value,
) -> Result<(), StateError> {
    let because = body["because"].as_str().unwrap_or("superseded");
    let mut journal = Journal::of_row(tx, id).await?;
    tx.execute(
        "UPDATE run SET state = ?3, ended_us = ?2 WHERE id = ?1",
        cells![id, tx.now_us, run_state(state)],
    )
    .await?;
    for from in [
        TaskState::Waiting,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Retrying,
    ] {
        for task in tasks_in(tx, id, from).await? {
            tx.execute(
                "UPDATE task SET state = 'cancelled', fence = fence + 1, ended_us = ?3, worker = NULL
                 WHERE run = ?1 AND id = ?2",
                cells![id, &task, tx.now_us],
            )
            .await?;
            let body = json!({ "from": task_state(from), "because": because });
            journal
                .add(
                    tx,
                    tx.now_us,
                    Some(&task),
                    RunEventKind::Task(TaskState::Cancelled),
                    &body,
                )
                .await?;
        }
    }
    schedules::ended(tx, id, state).await?;
    backfill_runs::ended(tx, id, state).await?;
    let kind = RunEventKind::RunEnded(state);
    journal.add(tx, tx.now_us, None, kind, body).await?;
    journal.finish(tx).await
}

/// Raises the fences, so that no later change of an older process can match.
async fn raise_fences(tx: &Tx<'_>, id: i64) -> Result<(), StateError> {
    tx.execute(
        "UPDATE task SET fence = fence + 1
         WHERE run = ?1 AND state IN ('waiting', 'ready', 'running', 'retrying')",
        cells![id],
    )
    .await?;
    Ok(())
}

pub(crate) async fn tasks_in(
    tx: &Tx<'_>,
    id: i64,
    state: TaskState,
) -> Result<Vec<String>, StateError> {
    let rows = tx
        .rows(
            "SELECT id FROM task WHERE run = ?1 AND state = ?2 ORDER BY position",
            cells![id, task_state(state)],
        )
        .await?;
    rows.iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

/// Ends a run; returns the worker if it has nothing left to do. If the run has already ended in the same
/// way, nothing changes.
pub(crate) async fn close(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
    state: RunState,
    worker: &str,
    now_us: i64,
) -> Result<Option<String>, StateError> {
    let journal = Journal::of(tx, name, environment).await?;
    let Some(mut journal) = journal else {
        return Err(StateError::NoSuchRun { run: name.clone() });
    };
    if journal.state == run_state(state) && state != RunState::Running {
        return Ok(None);
    }
    let may = journal.worker == worker || open_tasks(tx, journal.id).await? == 0;
    if !journal.is_running() || !may {
        return Err(StateError::TakenOver { run: name.clone() });
    }
    tx.execute(
        "UPDATE run SET state = ?2, ended_us = ?3 WHERE id = ?1",
        cells![journal.id, run_state(state), now_us],
    )
    .await?;
    schedules::ended(tx, journal.id, state).await?;
    backfill_runs::ended(tx, journal.id, state).await?;
    let kind = RunEventKind::RunEnded(state);
    journal.add(tx, now_us, None, kind, &Value::Null).await?;
    journal.finish(tx).await?;
    if !workers::is_idle(tx, &journal.worker).await? {
        return Ok(None);
    }
    workers::remove(tx, &journal.worker).await?;
    Ok(Some(journal.worker))
}

async fn open_tasks(tx: &Tx<'_>, id: i64) -> Result<u64, StateError> {
    let found = tx
        .one(
            "SELECT count(*) FROM task
             WHERE run = ?1 AND state IN ('waiting', 'ready', 'running', 'retrying')",
            cells![id],
        )
        .await?;
    found.map_or(Ok(0), |row| row.count(0))
}

/// Whether a live worker has a run.
pub(crate) async fn is_live(
    tx: &Tx<'_>,
    run: &RunRecord,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<bool, StateError> {
    if run.state != RunState::Running {
        return Ok(false);
    }
    match crate::run_history::id_of(tx, &run.name, &run.environment).await? {
        Some(id) => workers::has_live_worker(tx, id, &run.worker, is_dead).await,
        None => Ok(false),
    }
}

/// Adds an event to the history of a run, with the next number.
pub(crate) async fn append_event(
    tx: &Tx<'_>,
    name: &RunName,
    environment: &Environment,
    event: &RunEvent,
) -> Result<(), StateError> {
    let journal = Journal::of(tx, name, environment).await?;
    let Some(mut journal) = journal else {
        return Err(StateError::NoSuchRun { run: name.clone() });
    };
    let task = event.task.as_ref().map(TaskId::as_str);
    journal
        .add(tx, event.at_us, task, event.kind, &event.body)
        .await?;
    journal.finish(tx).await
}
