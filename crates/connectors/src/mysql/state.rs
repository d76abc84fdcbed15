//! What tells a target from one that others changed: when it was created, and its rows.
//!
//! Promise: a table that was made again, emptied by TRUNCATE or altered has another time. What a commit leaves is
//! worked out, not counted. It decides nothing. Read next: `docs/decisions/0011-targets.md`.

use towpath_ports::{PreparedStats, StateBeforeWrite, TableState};
use towpath_vocab::WriteMode;

use super::catalog::{self, CatalogTable};
use super::error::Result;
use super::sql::Writing;
use crate::relational::session::count;

/// The table as it is now; `None` when there is none. `lock` keeps others from changing it until the end of the
/// transaction; they can still read it.
pub(super) async fn state(writing: &Writing, lock: bool) -> Result<Option<TableState>> {
    let Some(found) = look_up(writing).await? else {
        return Ok(None);
    };
    // Without an index all of the rows are locked, not only what an index has of them.
    let lock = match lock {
        true => format!(" USE INDEX (){LOCKED}"),
        false => String::new(),
    };
    let sql = format!("SELECT count(*) FROM {}{lock}", found.sql());
    let rows = count(writing, &sql, "counting rows").await?;
    Ok(Some(TableState {
        rows: Some(rows.unsigned_abs()),
        ..of(&found)
    }))
}

/// The table as it is now, without its rows.
pub(super) async fn identity(writing: &Writing) -> Result<Option<String>> {
    Ok(look_up(writing).await?.map(|found| of(&found).identity))
}

/// Reads rows as they are committed now, and locks them, and what is between them.
pub(super) const LOCKED: &str = " LOCK IN SHARE MODE";

/// What a commit leaves that was planned on this state.
pub(super) async fn leaves(
    writing: &Writing,
    before: &StateBeforeWrite,
    (mode, stats): (WriteMode, &PreparedStats),
) -> Result<Option<TableState>> {
    let found = look_up(writing).await?;
    Ok(found.map(|found| TableState {
        rows: before.rows_after(mode, stats),
        ..of(&found)
    }))
}

async fn look_up(writing: &Writing) -> Result<Option<CatalogTable>> {
    let mut session = writing.session.lock().await;
    catalog::exact(&mut session, &writing.target, &writing.facts).await
}

/// The table's identity.
fn of(found: &CatalogTable) -> TableState {
    let created = found.created.clone().unwrap_or_default();
    let engine = found.engine.clone().unwrap_or_default();
    TableState {
        identity: format!("{created} {engine}"),
        ..TableState::default()
    }
}
