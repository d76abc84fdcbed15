//! Which records wait for a replay, derived from the commits of the load that rejected them.
//!
//! Promise: a record waits if the commit that rejected it exists and no later commit decided about it
//! again. An attempt that never committed does not count: the next attempt reads its records again, so they
//! are marked `outdated` before it begins. Later that is not possible, because another attempt may have
//! committed the same generation. It knows no replay: see `replay.rs`.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use towpath_flow::quarantine_table;
use towpath_ports::Result;
use towpath_vocab::{Generation, Position, TaskKey, TaskKind, WriteMode};

use crate::QuarantinePorts;
use crate::records::{Change, Owner, ask, quoted, set_statuses};

/// The status of a record that is no longer replayed.
pub(crate) const OUTDATED: &str = "outdated";

/// The SQL condition of records that wait for this load.
pub(crate) async fn waiting(ports: &QuarantinePorts, owner: &Owner<'_>) -> Result<String> {
    let last = owner.generation(ports).await?;
    let since = match owner.load.table.write.mode {
        WriteMode::Replace => last,
        _ => ports
            .log
            .replaced(&owner.key(TaskKind::Step))
            .await?
            .unwrap_or(Generation(0)),
    };
    let of = owned(&owner.key(TaskKind::Step));
    Ok(format!(
        "status = 'held' and task = {of} and generation between {since} and {last}"
    ))
}

/// Marks the records of uncommitted attempts of a task, before its next attempt begins.
///
/// # Errors
/// Those of the lakehouse.
pub async fn outdate_uncommitted(
    ports: &QuarantinePorts,
    key: &TaskKey,
    committed: Generation,
) -> Result<()> {
    let condition = format!(
        "status = 'held' and task = {} and generation > {committed}",
        owned(key)
    );
    outdate(ports, key, condition).await
}

/// Marks the records of earlier commits of a task whose last commit has decided about all of them again.
///
/// # Errors
/// Those of the lakehouse.
pub async fn outdate_decided(
    ports: &QuarantinePorts,
    key: &TaskKey,
    committed: Generation,
) -> Result<()> {
    let condition = format!(
        "status = 'held' and task = {} and generation < {committed}",
        owned(key)
    );
    outdate(ports, key, condition).await
}

/// Marks the records of commits that a restore has undone, because they are read again.
///
/// # Errors
/// Those of the lakehouse.
pub async fn outdate_undone(
    ports: &QuarantinePorts,
    key: &TaskKey,
    then: Option<Generation>,
    undone: Generation,
) -> Result<()> {
    let then = then.unwrap_or(Generation(0));
    let condition = format!(
        "status = 'held' and task = {} and generation > {then} and generation <= {undone}",
        owned(key)
    );
    outdate(ports, key, condition).await
}

async fn outdate(ports: &QuarantinePorts, key: &TaskKey, condition: String) -> Result<()> {
    // Only the step itself rejects records with its name.
    if key.kind != TaskKind::Step {
        return Ok(());
    }
    let quarantine = quarantine_table(&key.table);
    if ports.lake.schema(&quarantine).await?.is_none() {
        return Ok(());
    }
    let sql = format!(
        "select count(*) from {} where {condition}",
        quoted(&quarantine)
    );
    let found = ask(ports, &sql).await?;
    let count = found.first().filter(|batch| batch.num_rows() > 0);
    let count = count.and_then(|batch| Some(batch.columns().first()?.as_primitive::<Int64Type>()));
    if count.is_none_or(|count| count.value(0) == 0) {
        return Ok(());
    }
    let task = key.beside(TaskKind::Outdate);
    let change = Change {
        conditions: BTreeSet::from([condition]),
        status: OUTDATED,
    };
    set_statuses(ports, &task, vec![change], Position::default()).await
}

/// The name of a task in the rows of the quarantine.
fn owned(key: &TaskKey) -> String {
    let task = TaskKey {
        table: quarantine_table(&key.table),
        ..key.clone()
    };
    towpath_vocab::literal(&task.app_id())
}
