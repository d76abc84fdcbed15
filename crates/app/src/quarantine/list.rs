//! Lists the tables with rejected rows, and discards rejected rows.
//!
//! Promise: a discarded record stays in the quarantine table but is never replayed. It does not read the
//! records themselves (`show.rs`) and does not load them (`replay.rs`). Read next: `records.rs`.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use serde::Serialize;
use towpath_flow::QUARANTINE_SCHEMA;
use towpath_ports::RunKind;
use towpath_vocab::{Plan, Position, TableName, TaskKind};

use super::records::{Change, Owner, all_ids, ask, mark, need_quarantine, quoted};
use super::standing::{OUTDATED, waiting};
use crate::Result;
use crate::pipeline_lock::lock_pipeline;
use crate::services::ProjectServices;

/// One table with rejected rows.
#[derive(Clone, Debug, Serialize)]
pub struct QuarantineLine {
    /// The table.
    pub table: String,
    /// Records that wait.
    pub held: u64,
    /// Records that were replayed.
    pub replayed: u64,
    /// Records that were given up.
    pub discarded: u64,
    /// Records that were decided anew: a later load read them again, or has to because theirs never
    /// committed, or the table holds a newer row of their key.
    pub outdated: u64,
}

/// Every table with rejected rows.
pub async fn quarantine_list(
    services: &ProjectServices,
    plan: &Plan,
) -> Result<Vec<QuarantineLine>> {
    let tables = services.lake.tables().await?.into_iter();
    let mut lines = Vec::new();
    for quarantine in tables.filter(|table| table.schema() == QUARANTINE_SCHEMA) {
        let owner = quarantine
            .table()
            .parse()
            .ok()
            .and_then(|table| Owner::of(plan, &table).ok());
        let waiting = match owner {
            Some(owner) => waiting(services, &owner).await?,
            None => "status = 'held'".to_owned(),
        };
        let count =
            |condition: &str, name: &str| format!("count(*) filter (where {condition}) as {name}");
        let sql = format!(
            "select {}, {}, {}, {}, {} from {}",
            count(&waiting, "held"),
            count("status = 'replayed'", "replayed"),
            count("status = 'discarded'", "discarded"),
            count("status = 'held'", "all_held"),
            count(&format!("status = '{OUTDATED}'"), "outdated"),
            quoted(&quarantine)
        );
        let batches = ask(services, &sql).await?;
        let number = |column: usize| -> u64 {
            let first = batches.iter().find(|batch| batch.num_rows() > 0);
            let cell = first.and_then(|batch| {
                Some(
                    batch
                        .columns()
                        .get(column)?
                        .as_primitive::<Int64Type>()
                        .value(0),
                )
            });
            cell.and_then(|number| u64::try_from(number).ok())
                .unwrap_or(0)
        };
        lines.push(QuarantineLine {
            table: quarantine.table().to_owned(),
            held: number(0),
            replayed: number(1),
            discarded: number(2),
            outdated: number(3).saturating_sub(number(0)) + number(4),
        });
    }
    Ok(lines)
}

/// Gives the waiting rows of a table up; how many there were. A load that reads one again sets it
/// aside again.
pub async fn quarantine_discard(
    services: &ProjectServices,
    plan: &Plan,
    table: &TableName,
) -> Result<u64> {
    need_quarantine(services, table).await?;
    let owner = Owner::of(plan, table)?;
    let held = lock_pipeline(
        services,
        &plan.environment,
        owner.pipeline,
        RunKind::Lock,
        &format!("discard {table}"),
    )
    .await?;
    let given_up = held.during(give_up(services, &owner)).await;
    held.release(given_up.is_ok()).await?;
    given_up
}

async fn give_up(services: &ProjectServices, owner: &Owner<'_>) -> Result<u64> {
    let ids = all_ids(services, owner).await?;
    if !ids.is_empty() {
        mark(
            services,
            &owner.key(TaskKind::Discard),
            vec![Change::of(&ids, "discarded")],
            Position::default(),
        )
        .await?;
    }
    Ok(ids.len() as u64)
}
