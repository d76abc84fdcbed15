//! What tells a target from one that others changed: its first page, its definition, and its rows.
//!
//! Promise: a table that was made again has another first page or another definition. What a commit leaves is
//! worked out, not counted, unless triggers decide row by row. It decides nothing. Read next:
//! `docs/decisions/0011-targets.md`.

use towpath_ports::{PreparedStats, StateBeforeWrite, TableState};
use towpath_vocab::WriteMode;

use super::error::Result;
use super::names::quoted;
use super::sql::Writing;
use crate::relational::session::{Session as _, Value, count};

/// The table as it is now; `None` when there is none. One that was made again has another first page or
/// another definition; else its rows tell.
pub(super) async fn state(writing: &Writing) -> Result<Option<TableState>> {
    let Some((name, identity)) = identity(writing).await? else {
        return Ok(None);
    };
    let rows = rows_of(writing, &name).await?;
    Ok(Some(TableState {
        identity,
        rows,
        ..TableState::default()
    }))
}

/// The table's own spelling of its name, and what tells it from one that was made again.
async fn identity(writing: &Writing) -> Result<Option<(String, String)>> {
    let sql = "SELECT name, coalesce(rootpage, 0), coalesce(sql, '') FROM main.sqlite_master \
               WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
    let params = [Value::Text(writing.table.clone())];
    let found = writing.rows(sql, &params, "looking at the table").await?;
    let Some([name, page, definition]) = found.first().map(Vec::as_slice) else {
        return Ok(None);
    };
    let identity = format!("{} {}", page.int(), definition.text());
    Ok(Some((name.text().to_owned(), identity)))
}

async fn rows_of(writing: &Writing, name: &str) -> Result<Option<u64>> {
    let sql = format!("SELECT count(*) FROM {}", quoted(name));
    let rows = count(writing, &sql, "counting rows").await?;
    Ok(Some(rows.unsigned_abs()))
}

/// What a commit leaves that was planned after this look.
pub(super) async fn leaves(
    writing: &Writing,
    before: &StateBeforeWrite,
    mode: WriteMode,
    stats: &PreparedStats,
) -> Result<Option<TableState>> {
    let Some((name, identity)) = identity(writing).await? else {
        return Ok(None);
    };
    let rows = match writing.interferes().await? {
        true => rows_of(writing, &name).await?,
        false => before.rows_after(mode, stats),
    };
    Ok(Some(TableState {
        identity,
        rows,
        ..TableState::default()
    }))
}
