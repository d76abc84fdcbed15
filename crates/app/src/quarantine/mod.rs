//! Connects the quarantine: locks the pipeline, reads the records of a load again, calls
//! `towpath-quarantine`.
//!
//! Promise: nothing about records is decided here. This code needs the project: which load writes a table,
//! its source, and the known types of its columns. Read next: `crates/quarantine/src/lib.rs`.

mod read_again;
mod typed;

use std::sync::Arc;

use towpath_flow::Progress;
use towpath_ports::RunKind;
use towpath_quarantine::{Owner, QuarantinePorts, Replay, need_quarantine};
pub use towpath_quarantine::{
    QuarantineLine, ReasonCount, RejectedCell, RejectedRecord, ReplayReport,
};
use towpath_vocab::{Plan, TableName};

use crate::Result;
use crate::pipeline_lock::{PipelineLock, lock_pipeline};
use crate::services::ProjectServices;

/// All tables with rejected rows.
pub(crate) async fn quarantine_list(
    services: &ProjectServices,
    plan: &Plan,
) -> Result<Vec<QuarantineLine>> {
    towpath_quarantine::list(&services.quarantine_ports(), plan).await
}

/// The tables of the quarantine.
pub(crate) async fn quarantine_tables(services: &ProjectServices) -> Result<Vec<TableName>> {
    towpath_quarantine::listed(&services.quarantine_ports()).await
}

/// The rejected rows of one of them, counted.
pub(crate) async fn quarantine_count(
    services: &ProjectServices,
    plan: &Plan,
    quarantine: &TableName,
) -> Result<QuarantineLine> {
    towpath_quarantine::count(&services.quarantine_ports(), plan, quarantine).await
}

/// The most records whose reasons are counted.
const COUNTED: u64 = 100_000;

/// The reasons of the waiting records of a table, and whether all records were looked at.
///
/// # Errors
/// Those of the lakehouse and the state store.
pub(crate) async fn quarantine_reasons(
    services: &ProjectServices,
    plan: &Plan,
    table: &TableName,
) -> Result<(Vec<ReasonCount>, bool)> {
    towpath_quarantine::reasons(&services.quarantine_ports(), plan, table, COUNTED).await
}

/// The rejected records of a table, newest first, without the first `skip`.
///
/// # Errors
/// Those of the lakehouse and the state store.
pub(crate) async fn quarantine_show(
    services: &ProjectServices,
    plan: &Plan,
    table: &TableName,
    (skip, limit): (u64, u64),
) -> Result<Vec<RejectedRecord>> {
    let load = match Owner::of(plan, table) {
        Ok(owner) => Some((
            owner.load,
            read_again::columns(services, plan, owner.load).await?,
        )),
        Err(_) => None,
    };
    towpath_quarantine::show(&services.quarantine_ports(), load, table, (skip, limit)).await
}

/// Discards the waiting rows of a table, and returns their number.
///
/// # Errors
/// `FixConfig` if no load of the project writes this table, `Refused` while its pipeline runs.
pub async fn quarantine_discard(
    services: &ProjectServices,
    plan: &Plan,
    table: &TableName,
) -> Result<u64> {
    let ports = services.quarantine_ports();
    let what = format!("discard {table}");
    let (owner, lock) = lock_owner(services, &ports, (plan, table), (RunKind::Lock, &what)).await?;
    let discarded = lock
        .during(towpath_quarantine::discard(&ports, &owner))
        .await;
    lock.release(discarded.is_ok()).await?;
    discarded
}

/// Replays the waiting rows of a table.
///
/// # Errors
/// `FixConfig` if no load of the project writes this table, `Refused` while its pipeline runs.
pub async fn quarantine_replay(
    services: &ProjectServices,
    plan: &Plan,
    table: &TableName,
) -> Result<ReplayReport> {
    let ports = services.quarantine_ports();
    let what = format!("replay {table}");
    let (owner, lock) =
        lock_owner(services, &ports, (plan, table), (RunKind::Replay, &what)).await?;
    let transfers = services.transfer_services(Arc::new(Progress::default()));
    let read_again = read_again::reader_of(services, &owner);
    let replay = Replay::new(&ports, transfers, &owner, lock.run.to_string(), read_again);
    let report = lock.during(Box::pin(replay.all())).await;
    let ended_well = report.as_ref().is_ok_and(|report| report.stopped.is_none());
    lock.release(ended_well).await?;
    services.close_quarantine();
    report
}

/// Finds the load that writes a table with rejected rows, and locks its pipeline.
async fn lock_owner<'a>(
    services: &'a ProjectServices,
    ports: &QuarantinePorts,
    (plan, table): (&'a Plan, &TableName),
    (kind, what): (RunKind, &str),
) -> Result<(Owner<'a>, PipelineLock<'a>)> {
    need_quarantine(ports, table).await?;
    let owner = Owner::of(plan, table)?;
    let lock = lock_pipeline(services, &plan.environment, owner.pipeline, kind, what).await?;
    Ok((owner, lock))
}
