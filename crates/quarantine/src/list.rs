//! Lists the tables with rejected rows, and discards rejected rows.
//!
//! Promise: a discarded record stays in the quarantine table but is never replayed. It does not read the
//! records themselves (`show.rs`) and does not load them (`replay.rs`). Read next: `records.rs`.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use serde::Serialize;
use towpath_flow::QUARANTINE_SCHEMA;
use towpath_vocab::{Plan, Position, TaskKind};

use crate::QuarantinePorts;
use crate::records::{Change, Owner, all_ids, ask, quoted, set_statuses};
use crate::waiting::{OUTDATED, waiting};
use towpath_ports::Result;

/// One table with rejected rows.
#[derive(Clone, Debug, Serialize)]
pub struct QuarantineLine {
    /// The table.
    pub table: String,
    /// Records that wait.
    pub held: u64,
    /// Records that were replayed.
    pub replayed: u64,
    /// Records that were discarded.
    pub discarded: u64,
    /// Records that are no longer replayed: a later load read them again, or must do so because theirs
    /// never committed, or the table has a newer row with their key.
    pub outdated: u64,
}

/// All tables with rejected rows.
///
/// # Errors
/// Those of the lakehouse.
pub async fn list(ports: &QuarantinePorts, plan: &Plan) -> Result<Vec<QuarantineLine>> {
    let tables = ports.log.tables().await?.into_iter();
    let mut lines = Vec::new();
    for quarantine in tables.filter(|table| table.schema() == QUARANTINE_SCHEMA) {
        let owner = quarantine
            .table()
            .parse()
            .ok()
            .and_then(|table| Owner::of(plan, &table).ok());
        let waiting = match owner {
            Some(owner) => waiting(ports, &owner).await?,
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
        let batches = ask(ports, &sql).await?;
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

/// Discards the waiting rows of a table, and returns their number. A load that reads one of them again
/// rejects it again. The caller has locked the pipeline.
///
/// # Errors
/// Those of the lakehouse.
pub async fn discard(ports: &QuarantinePorts, owner: &Owner<'_>) -> Result<u64> {
    let ids = all_ids(ports, owner).await?;
    if !ids.is_empty() {
        set_statuses(
            ports,
            &owner.key(TaskKind::Discard),
            vec![Change::of(&ids, "discarded")],
            Position::default(),
        )
        .await?;
    }
    Ok(ids.len() as u64)
}
