//! Changes of tasks: conditional updates, claims, and the tasks of lost workers.
//!
//! Promise: a task changes only from the state and fence that the caller expects, together with its event.
//! A claim raises the fence, so only one of two workers gets the task, and a claim takes no more tasks than
//! the run and the pool allow. It decides nothing about graphs: `orchestrator::decide` does. Locks are
//! taken in one order: run, task, pool. Read next: `journal.rs`.

use serde_json::{Value, json};
use towpath_ports::{RunEventKind, RunUpdate, RunUpdateResult, TaskClaim, TaskState, Transition};
use towpath_vocab::{Environment, PipelineName, RunName, TaskId};

use crate::codec::{outcome_to_column, task_state, to_column};
use crate::error::StateError;
use crate::journal::Journal;
use crate::run_history::events_of;
use crate::tx::{Tx, cells};
use crate::workers::{is_live, lost_workers};

/// The most runs that are searched for one claim.
const RUNS: u64 = 64;

/// Changes tasks of one run and claims ready tasks.
///
/// # Errors
/// `Stale` if the run or a task was not as expected; then the transaction must be undone.
pub(crate) async fn advance(
    tx: &Tx<'_>,
    advance: &RunUpdate,
) -> Result<RunUpdateResult, StateError> {
    let journal = Journal::of(tx, &advance.run, &advance.environment).await?;
    let Some(mut journal) = journal.filter(Journal::is_running) else {
        return Err(StateError::Stale);
    };
    if let Some(after) = advance.after_seq
        && journal.seq > after
    {
        return Ok(RunUpdateResult::Behind(
            events_of(tx, journal.id, after).await?,
        ));
    }
    for transition in &advance.transitions {
        change(tx, &mut journal, transition, &advance.worker).await?;
    }
    let mut claims = Vec::new();
    // A worker whose lease has expired starts nothing, because it may be about to lose its tasks.
    // A run that was asked to stop begins no task.
    if advance.claim > 0 && journal.stop.is_none() && is_live(tx, &advance.worker).await? {
        let name = (&advance.run, &advance.environment);
        claims = claim_in(
            tx,
            &mut journal,
            name,
            &advance.worker,
            advance.claim,
            advance.now_us,
        )
        .await?;
    }
    journal.finish(tx).await?;
    Ok(RunUpdateResult::Done {
        seq: journal.seq,
        claims,
    })
}

async fn change(
    tx: &Tx<'_>,
    journal: &mut Journal,
    transition: &Transition,
    worker: &str,
) -> Result<(), StateError> {
    let changed = match transition.to {
        TaskState::Running => start(tx, journal.id, transition, worker).await?,
        to if to.is_final() || to == TaskState::Retrying => end(tx, journal.id, transition).await?,
        to => {
            let ready_us = (to == TaskState::Ready).then_some(tx.now_us);
            tx.execute(
                "UPDATE task SET state = ?4, ready_us = ?6, due_us = NULL
                 WHERE run = ?1 AND id = ?2 AND state = ?3 AND fence = ?5",
                cells![
                    journal.id,
                    transition.task.as_str(),
                    task_state(transition.from),
                    task_state(to),
                    transition.fence,
                    ready_us,
                ],
            )
            .await?
        }
    };
    if changed == 0 {
        return Err(StateError::Stale);
    }
    let kind = RunEventKind::Task(transition.to);
    let body = body_of(transition, worker)?;
    let task = Some(transition.task.as_str());
    journal.add(tx, transition.now_us, task, kind, &body).await
}

fn body_of(transition: &Transition, worker: &str) -> Result<Value, StateError> {
    let mut body = json!({ "from": task_state(transition.from) });
    if transition.to == TaskState::Running && !worker.is_empty() {
        body["worker"] = worker.into();
    }
    if let Some(due_us) = transition.due_us {
        body["due_us"] = due_us.into();
    }
    if let Some(failure) = transition.end.as_ref().and_then(|end| end.failure.as_ref()) {
        let failure = serde_json::to_value(failure).map_err(|error| StateError::Stored {
            what: "failure",
            detail: error.to_string(),
        })?;
        body["failure"] = failure;
    }
    // Notes are in the history, whether or not they are reported again.
    if let Some(end) = &transition.end
        && let Some(summary) = end.outcome.summary()
        && let Some(notes) = summary["notes"].as_array()
        && !notes.is_empty()
    {
        body["notes"] = notes.clone().into();
    }
    Ok(body)
}

async fn start(
    tx: &Tx<'_>,
    id: i64,
    transition: &Transition,
    worker: &str,
) -> Result<u64, StateError> {
    tx.execute(
        "UPDATE task SET state = 'running', attempt = attempt + 1, fence = fence + 1, started_us = ?5,
                worker = ?6, due_us = NULL, ended_us = NULL, failure = NULL, outcome = NULL
         WHERE run = ?1 AND id = ?2 AND state = ?3 AND fence = ?4",
        cells![
            id,
            transition.task.as_str(),
            task_state(transition.from),
            transition.fence,
            transition.now_us,
            (!worker.is_empty()).then_some(worker),
        ],
    )
    .await
}

async fn end(tx: &Tx<'_>, id: i64, transition: &Transition) -> Result<u64, StateError> {
    let end = transition.end.as_ref();
    let failure = end.and_then(|end| end.failure.as_ref());
    let outcome = end.map(|end| outcome_to_column(&end.outcome)).transpose()?;
    tx.execute(
        "UPDATE task SET state = ?5, ended_us = ?6, failure = ?7, outcome = ?8, fingerprint = ?9,
                due_us = ?10, worker = NULL
         WHERE run = ?1 AND id = ?2 AND state = ?3 AND fence = ?4",
        cells![
            id,
            transition.task.as_str(),
            task_state(transition.from),
            transition.fence,
            task_state(transition.to),
            transition.now_us,
            failure
                .map(|failure| to_column("failure", failure))
                .transpose()?,
            outcome.flatten(),
            end.and_then(|end| end.fingerprint.as_deref()),
            transition.due_us,
        ],
    )
    .await
}

/// Claims ready tasks of any run.
pub(crate) async fn claim_ready(
    tx: &Tx<'_>,
    worker: &str,
    limit: u32,
) -> Result<Vec<TaskClaim>, StateError> {
    if !is_live(tx, worker).await? {
        return Ok(Vec::new());
    }
    // A run that another worker has locked is skipped, because that worker is claiming from it.
    let skip = tx.only_on_server("FOR UPDATE SKIP LOCKED");
    let runs = tx
        .rows(
            &format!(
                "SELECT id, pipeline, environment, number FROM run
                 WHERE state = 'running' AND kind = 'run' AND stop IS NULL
                   AND EXISTS (SELECT 1 FROM task WHERE task.run = run.id AND task.state = 'ready')
                 ORDER BY id LIMIT ?1 {skip}"
            ),
            cells![RUNS],
        )
        .await?;
    let mut claims = Vec::new();
    for row in runs {
        let left = limit.saturating_sub(u32::try_from(claims.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let mut journal = Journal::of_row(tx, row.int(0)?).await?;
        let name = RunName {
            pipeline: PipelineName::new(row.text(1)?),
            number: row.count(3)?,
        };
        let environment = Environment::new(row.text(2)?);
        let now_us = tx.now_us;
        let found = claim_in(
            tx,
            &mut journal,
            (&name, &environment),
            worker,
            left,
            now_us,
        )
        .await?;
        journal.finish(tx).await?;
        claims.extend(found);
    }
    Ok(claims)
}

/// A ready task.
struct Candidate {
    position: i64,
    task: String,
    fence: u64,
    attempt: u64,
}

/// Claims ready tasks of a locked run, in the order of its graph.
async fn claim_in(
    tx: &Tx<'_>,
    journal: &mut Journal,
    name: (&RunName, &Environment),
    worker: &str,
    limit: u32,
    now_us: i64,
) -> Result<Vec<TaskClaim>, StateError> {
    let running = tx
        .one(
            "SELECT count(*) FROM task WHERE run = ?1 AND state = 'running'",
            cells![journal.id],
        )
        .await?;
    let running = running.map_or(Ok(0), |row| row.count(0))?;
    let room = journal
        .parallel
        .saturating_sub(running)
        .min(u64::from(limit));
    let mut claims = Vec::new();
    for ready in candidates(tx, journal.id, room).await? {
        let transition = Transition {
            run: name.0.clone(),
            environment: name.1.clone(),
            task: TaskId::new(ready.task),
            from: TaskState::Ready,
            fence: ready.fence,
            to: TaskState::Running,
            now_us,
            due_us: None,
            end: None,
        };
        change(tx, journal, &transition, worker).await?;
        claims.push(TaskClaim {
            run: transition.run,
            environment: transition.environment,
            graph_hash: journal.graph_hash.clone(),
            task: transition.task,
            attempt: u32::try_from(ready.attempt + 1).unwrap_or(u32::MAX),
            fence: ready.fence + 1,
        });
    }
    Ok(claims)
}

/// The ready tasks of a run that may start: for each pool not more than its free slots.
async fn candidates(tx: &Tx<'_>, run: i64, room: u64) -> Result<Vec<Candidate>, StateError> {
    if room == 0 {
        return Ok(Vec::new());
    }
    let pools = tx
        .rows(
            "SELECT DISTINCT pool FROM task WHERE run = ?1 AND state = 'ready' ORDER BY pool",
            cells![run],
        )
        .await?;
    let mut found = Vec::new();
    for row in pools {
        let pool = row.maybe_text(0)?;
        let most = match pool {
            Some(pool) => free_slots(tx, pool).await?.min(room),
            None => room,
        };
        let rows = tx
            .rows(
                "SELECT position, id, fence, attempt FROM task
                 WHERE run = ?1 AND state = 'ready'
                   AND (pool = ?2 OR (pool IS NULL AND CAST(?2 AS TEXT) IS NULL))
                 ORDER BY position LIMIT ?3",
                cells![run, pool, most],
            )
            .await?;
        for row in rows {
            found.push(Candidate {
                position: row.int(0)?,
                task: row.text(1)?.to_owned(),
                fence: row.count(2)?,
                attempt: row.count(3)?,
            });
        }
    }
    found.sort_by_key(|candidate| candidate.position);
    found.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    Ok(found)
}

/// The free slots of a pool; the pool stays locked, so that the number stays correct.
async fn free_slots(tx: &Tx<'_>, pool: &str) -> Result<u64, StateError> {
    let lock = tx.only_on_server("FOR UPDATE");
    let slots = tx
        .one(
            &format!("SELECT slots FROM pool WHERE name = ?1 {lock}"),
            cells![pool],
        )
        .await?;
    let slots = slots.map_or(Ok(0), |row| row.count(0))?;
    let taken = tx
        .one(
            "SELECT count(*) FROM task WHERE pool = ?1 AND state = 'running'",
            cells![pool],
        )
        .await?;
    Ok(slots.saturating_sub(taken.map_or(Ok(0), |row| row.count(0))?))
}

/// Makes the tasks of lost workers ready again, with new fences; returns their number.
pub(crate) async fn reap(
    tx: &Tx<'_>,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(u64, Vec<String>), StateError> {
    let lost = lost_workers(tx, is_dead).await?;
    let mut count = 0;
    for worker in &lost {
        let runs = tx
            .rows(
                "SELECT DISTINCT run FROM task WHERE worker = ?1 AND state = 'running' ORDER BY run",
                cells![worker],
            )
            .await?;
        for run in runs {
            let mut journal = Journal::of_row(tx, run.int(0)?).await?;
            if journal.is_running() {
                count += give_back(tx, &mut journal, worker).await?;
            }
            journal.finish(tx).await?;
        }
        tx.execute("DELETE FROM worker WHERE id = ?1", cells![worker])
            .await?;
    }
    Ok((count, lost))
}

async fn give_back(tx: &Tx<'_>, journal: &mut Journal, worker: &str) -> Result<u64, StateError> {
    let tasks = tx
        .rows(
            "SELECT id FROM task WHERE run = ?1 AND worker = ?2 AND state = 'running' ORDER BY position",
            cells![journal.id, worker],
        )
        .await?;
    let body = json!({ "from": "running", "because": "lost", "worker": worker });
    for task in &tasks {
        let task = task.text(0)?;
        tx.execute(
            "UPDATE task SET state = 'ready', fence = fence + 1, worker = NULL, started_us = NULL, ready_us = ?3
             WHERE run = ?1 AND id = ?2",
            cells![journal.id, task, tx.now_us],
        )
        .await?;
        journal
            .add(
                tx,
                tx.now_us,
                Some(task),
                RunEventKind::Task(TaskState::Ready),
                &body,
            )
            .await?;
    }
    Ok(tasks.len() as u64)
}

/// Sets the number of slots of pools.
pub(crate) async fn put_pools(
    tx: &Tx<'_>,
    pools: &std::collections::BTreeMap<String, u32>,
) -> Result<(), StateError> {
    for (name, slots) in pools {
        tx.execute(
            "INSERT INTO pool (name, slots) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET slots = excluded.slots",
            cells![name, u64::from(*slots)],
        )
        .await?;
    }
    Ok(())
}
