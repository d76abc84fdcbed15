//! Workers and their leases, judged by the clock of the state store.
//!
//! Promise: a worker has one row, whatever it does. A worker whose lease has expired, or whose process is
//! certainly dead, is lost, and its name can be used again. It knows only which tasks a worker runs. Read
//! next: `tasks.rs` (the tasks of a lost worker).

use crate::error::StateError;
use crate::tx::{Row, Tx, cells};

/// Sets the lease of a worker.
pub(crate) async fn lease(tx: &Tx<'_>, worker: &str, lease_us: i64) -> Result<(), StateError> {
    tx.execute(
        "INSERT INTO worker (id, lease_us, expires_us) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET lease_us = excluded.lease_us, expires_us = excluded.expires_us",
        cells![worker, lease_us, tx.now_us.saturating_add(lease_us)],
    )
    .await?;
    Ok(())
}

/// Registers a worker; false if a live worker has its name.
pub(crate) async fn register(
    tx: &Tx<'_>,
    worker: &str,
    lease_us: i64,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<bool, StateError> {
    if is_live(tx, worker).await? && !is_dead(worker) {
        return Ok(false);
    }
    lease(tx, worker, lease_us).await?;
    Ok(true)
}

/// Renews the lease of a worker; false if the lease was lost.
pub(crate) async fn renew(tx: &Tx<'_>, worker: &str) -> Result<bool, StateError> {
    let renewed = tx
        .execute(
            "UPDATE worker SET expires_us = ?2 + lease_us WHERE id = ?1",
            cells![worker, tx.now_us],
        )
        .await?;
    Ok(renewed == 1)
}

/// True while the lease of a worker is valid.
pub(crate) async fn is_live(tx: &Tx<'_>, worker: &str) -> Result<bool, StateError> {
    let found = tx
        .one(
            "SELECT expires_us FROM worker WHERE id = ?1",
            cells![worker],
        )
        .await?;
    let expires_us = found.map(|row| row.int(0)).transpose()?;
    Ok(expires_us.is_some_and(|expires_us| expires_us > tx.now_us))
}

/// True if a run has a live worker: the one that opened it, or one that runs a task of it.
pub(crate) async fn has_live_worker(
    tx: &Tx<'_>,
    run: i64,
    owner: &str,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<bool, StateError> {
    let rows = tx
        .rows(
            "SELECT worker.id FROM worker WHERE worker.expires_us > ?3 AND (worker.id = ?2 OR EXISTS (
                 SELECT 1 FROM task WHERE task.run = ?1 AND task.worker = worker.id AND task.state = 'running'))",
            cells![run, owner, tx.now_us],
        )
        .await?;
    for row in rows {
        if !is_dead(row.text(0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The runs of these rows (row id, worker) that have no live worker.
pub(crate) async fn without_live(
    tx: &Tx<'_>,
    rows: &[Row],
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<(i64, String)>, StateError> {
    let mut found = Vec::new();
    for row in rows {
        let (id, worker) = (row.int(0)?, row.text(1)?);
        if !has_live_worker(tx, id, worker, is_dead).await? {
            found.push((id, worker.to_owned()));
        }
    }
    Ok(found)
}

/// Workers whose lease has expired or whose process is dead, and those of running tasks that have no lease
/// at all.
pub(crate) async fn lost_workers(
    tx: &Tx<'_>,
    is_dead: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<String>, StateError> {
    let rows = tx
        .rows(
            "SELECT id, expires_us FROM worker
             UNION
             SELECT task.worker, 0 FROM task
             WHERE task.state = 'running' AND task.worker IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = task.worker)
             ORDER BY 1",
            cells![],
        )
        .await?;
    let mut lost = Vec::new();
    for row in rows {
        let worker = row.text(0)?;
        if row.int(1)? <= tx.now_us || is_dead(worker) {
            lost.push(worker.to_owned());
        }
    }
    Ok(lost)
}

/// Removes a worker.
pub(crate) async fn remove(tx: &Tx<'_>, worker: &str) -> Result<(), StateError> {
    tx.execute("DELETE FROM worker WHERE id = ?1", cells![worker])
        .await?;
    Ok(())
}

/// True if a worker has no run and no task any more.
pub(crate) async fn is_idle(tx: &Tx<'_>, worker: &str) -> Result<bool, StateError> {
    let found = tx
        .one(
            "SELECT (SELECT count(*) FROM run WHERE worker = ?1 AND state = 'running')
                  + (SELECT count(*) FROM task WHERE worker = ?1 AND state = 'running')",
            cells![worker],
        )
        .await?;
    Ok(found.map_or(Ok(0), |row| row.int(0))? == 0)
}
