//! Lists the tables with rejected rows, and discards rejected rows.
//!
//! Promise: a discarded record stays in the quarantine table but is never replayed. It does not read the
//! records themselves (`show.rs`) and does not load them (`replay.rs`). Read next: `records.rs`.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt as _;
use serde::Serialize;
use towpath_flow::{QUARANTINE_SCHEMA, quarantine_table};
use towpath_vocab::{Plan, Position, Reason, TableName, TaskKind};

use crate::QuarantinePorts;
use crate::records::{Change, Owner, all_ids, ask, quoted, set_statuses, texts};
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
    let mut lines = Vec::new();
    for quarantine in listed(ports).await? {
        lines.push(count(ports, plan, &quarantine).await?);
    }
    Ok(lines)
}

/// The tables of the quarantine; the last part of each name is that of the table whose rows were rejected.
///
/// # Errors
/// Those of the lakehouse.
pub async fn listed(ports: &QuarantinePorts) -> Result<Vec<TableName>> {
    let tables = ports.log.tables().await?.into_iter();
    Ok(tables
        .filter(|table| table.schema() == QUARANTINE_SCHEMA)
        .collect())
}

/// Counts the records of a table of the quarantine.
///
/// # Errors
/// Those of the lakehouse.
pub async fn count(
    ports: &QuarantinePorts,
    plan: &Plan,
    quarantine: &TableName,
) -> Result<QuarantineLine> {
    let table = quarantine.table().parse().ok();
    let owner = table.and_then(|table| Owner::of(plan, &table).ok());
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
        quoted(quarantine)
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
    Ok(QuarantineLine {
        table: quarantine.table().to_owned(),
        held: number(0),
        replayed: number(1),
        discarded: number(2),
        outdated: number(3).saturating_sub(number(0)) + number(4),
    })
}

/// How many waiting records have a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// The code of the rule or parse error.
    pub code: String,
    /// The column, if it is about one.
    pub column: Option<String>,
    /// What the rule says.
    pub message: String,
    /// The records that have it.
    pub rows: u64,
}

/// The reasons of the waiting records of a table, most frequent first. At most `most` records are looked at; false
/// when there are more.
///
/// # Errors
/// Those of the lakehouse.
pub async fn reasons(
    ports: &QuarantinePorts,
    plan: &Plan,
    table: &TableName,
    most: u64,
) -> Result<(Vec<ReasonCount>, bool)> {
    let condition = match Owner::of(plan, table) {
        Ok(owner) => waiting(ports, &owner).await?,
        Err(_) => "status = 'held'".to_owned(),
    };
    let from = quoted(&quarantine_table(table));
    let sql = format!(
        "select reasons from {from} where {condition} limit {}",
        most.saturating_add(1)
    );
    let mut result = ports.query.query(&sql, &BTreeMap::new()).await?;
    let (mut counts, mut looked) = (BTreeMap::new(), 0_u64);
    while let Some(batch) = result.batches.try_next().await? {
        let Some(column) = batch.columns().first() else {
            continue;
        };
        for text in texts(column).into_iter().flatten() {
            looked += 1;
            if looked > most {
                break;
            }
            let found: Vec<Reason> = serde_json::from_str(&text).unwrap_or_default();
            let found: BTreeSet<_> = found
                .into_iter()
                .map(|one| (one.code, one.column, one.message))
                .collect();
            for one in found {
                *counts.entry(one).or_insert(0_u64) += 1;
            }
        }
    }
    let mut lines: Vec<ReasonCount> = counts
        .into_iter()
        .map(|((code, column, message), rows)| ReasonCount {
            code,
            column,
            message,
            rows,
        })
        .collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.rows));
    Ok((lines, looked <= most))
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
