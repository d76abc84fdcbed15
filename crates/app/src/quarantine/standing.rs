//! Which records wait, derived from the commits of the load they were kept out of.
//!
//! A record waits when the commit that rejected it exists and no later one decided about it anew.
//! An attempt that never committed read nothing for good: the next attempt reads its records again, so
//! they are marked `outdated` before it begins. That cannot be told later, when the same
//! generation may have been committed by another attempt. It knows no replay: see `replay.rs`.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use towpath_flow::quarantine_table;
use towpath_vocab::{Generation, Position, TableName, TaskKey, TaskKind, WriteMode};

use super::records::{Change, Owner, ask, mark, quoted};
use crate::Result;
use crate::services::ProjectServices;

/// The status of a record that was decided anew.
pub(super) const OUTDATED: &str = "outdated";

/// How histories call a write that replaces all rows.
const REPLACE: &str = "replace";

/// The SQL condition of records that wait for this load.
pub(super) async fn waiting(services: &ProjectServices, owner: &Owner<'_>) -> Result<String> {
    let held = owner.generation(services).await?;
    let since = match owner.load.table.write.mode {
        WriteMode::Replace => held,
        _ => replaced(services, &owner.key(TaskKind::Step), owner.table()).await?,
    };
    let of = owned(&owner.key(TaskKind::Step));
    Ok(format!(
        "status = 'held' and task = {of} and generation between {since} and {held}"
    ))
}

/// The newest commit of a task that replaced all rows, as far as the log tells: it read every record.
async fn replaced(
    services: &ProjectServices,
    key: &TaskKey,
    table: &TableName,
) -> Result<Generation> {
    if services.lake.version(table).await?.is_none() {
        return Ok(Generation(0));
    }
    let app_id = key.app_id();
    let history = services.lake.history(table, usize::MAX).await?;
    let found = history.into_iter().find_map(|entry| {
        let (task, generation) = entry.task?;
        let is_it = task == app_id && entry.write.as_deref() == Some(REPLACE);
        is_it.then_some(Generation(generation))
    });
    Ok(found.unwrap_or(Generation(0)))
}

/// Lays aside what attempts of a task left that never committed, before its next attempt begins.
pub(crate) async fn outdate_uncommitted(
    services: &ProjectServices,
    key: &TaskKey,
    committed: Generation,
) -> Result<()> {
    let condition = format!(
        "status = 'held' and task = {} and generation > {committed}",
        owned(key)
    );
    outdate(services, key, condition).await
}

/// Lays aside what was kept out of commits that a restore has undone: they are read again.
pub(crate) async fn outdate_undone(
    services: &ProjectServices,
    key: &TaskKey,
    then: Option<Generation>,
    undone: Generation,
) -> Result<()> {
    let then = then.unwrap_or(Generation(0));
    let condition = format!(
        "status = 'held' and task = {} and generation > {then} and generation <= {undone}",
        owned(key)
    );
    outdate(services, key, condition).await
}

async fn outdate(services: &ProjectServices, key: &TaskKey, condition: String) -> Result<()> {
    // Only a step's own work rejects records under its name.
    if key.kind != TaskKind::Step {
        return Ok(());
    }
    let quarantine = quarantine_table(&key.table);
    if services.lake.version(&quarantine).await?.is_none() {
        return Ok(());
    }
    let sql = format!(
        "select count(*) from {} where {condition}",
        quoted(&quarantine)
    );
    let found = ask(services, &sql).await?;
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
    mark(services, &task, vec![change], Position::default()).await
}

/// A task as the quarantine's rows name it.
fn owned(key: &TaskKey) -> String {
    let task = TaskKey {
        table: quarantine_table(&key.table),
        ..key.clone()
    };
    towpath_sql::literal(&task.app_id())
}
