//! What tells a table of DuckDB from one that others changed: its definition and the number of its rows.
//!
//! Promise: what a commit leaves is worked out, not counted: only this process can write the file. It decides nothing.
//! Read next: `docs/decisions/0011-targets.md`.

use towpath_ports::{PreparedStats, StateBeforeWrite, TableState};
use towpath_vocab::WriteMode;

use super::error::Result;
use super::sql::Writing;
use crate::relational::session::count;

/// The table as it is now; `None` when there is none.
pub(super) async fn state(writing: &Writing) -> Result<Option<TableState>> {
    let Some(identity) = identity(writing).await? else {
        return Ok(None);
    };
    let sql = format!("SELECT count(*) FROM {}", writing.target.sql());
    let rows = count(writing, &sql, "counting rows").await?;
    Ok(Some(TableState {
        identity,
        rows: Some(rows.unsigned_abs()),
        ..TableState::default()
    }))
}

async fn identity(writing: &Writing) -> Result<Option<String>> {
    let target = writing.target.clone();
    let present = writing.session.run(move |work| target.look(work)).await?;
    Ok(present.map(|present| present.definition))
}

/// What a commit leaves that was planned after this look.
pub(super) async fn leaves(
    writing: &Writing,
    before: &StateBeforeWrite,
    mode: WriteMode,
    stats: &PreparedStats,
) -> Result<Option<TableState>> {
    let Some(identity) = identity(writing).await? else {
        return Ok(None);
    };
    Ok(Some(TableState {
        identity,
        rows: before.rows_after(mode, stats),
        ..TableState::default()
    }))
}
