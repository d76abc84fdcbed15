//! `_towpath_commits`: the token of every commit, in the same transaction as its rows.
//!
//! Promise: one row per task and generation (primary key), so the first commit of a generation wins;
//! the writer's lock on the database makes a second attempt wait for the first one's end. The row's form
//! carries a version. It does not know what was written.

use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use towpath_ports::{Committed, Intent, PreparedStats};
use towpath_vocab::{Generation, Position, TaskKey, Token};

use super::error::{Doing as _, Result, SqliteError};

pub(super) const TABLE: &str = "_towpath_commits";
const FORMAT: i64 = 1;
/// Older tokens of a task are dropped.
const KEPT: i64 = 100;
const ASKING: &str = "asking for the last commit";

/// The newest commit of a task.
pub(super) fn last(
    connection: &Connection,
    task: &TaskKey,
    shown: &str,
) -> Result<Option<Committed>> {
    let sql = "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = ?1";
    let there: i64 = connection
        .query_row(sql, [TABLE], |row| row.get(0))
        .doing(shown, ASKING)?;
    if there == 0 {
        return Ok(None);
    }
    let sql = format!(
        "SELECT format, generation, position, stats FROM main.{TABLE} WHERE app_id = ?1 ORDER BY generation DESC LIMIT 1"
    );
    let row = connection.query_row(&sql, [task.app_id()], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
        ))
    });
    let Some((format, generation, position, stats)) = row.optional().doing(shown, ASKING)? else {
        return Ok(None);
    };
    let wrong = |why: &str| SqliteError::Position {
        object: task.table.to_string(),
        why: why.to_owned(),
    };
    if format != FORMAT {
        return Err(wrong("a newer Towpath wrote it"));
    }
    let position: Position =
        serde_json::from_str(&position).map_err(|_| wrong("it is not JSON of a position"))?;
    let stats: PreparedStats =
        serde_json::from_str(&stats).map_err(|_| wrong("its statistics are not JSON"))?;
    Ok(Some(committed(
        task,
        Generation(generation),
        position,
        stats,
    )))
}

/// A commit in the port's words.
pub(super) fn committed(
    task: &TaskKey,
    generation: Generation,
    position: Position,
    stats: PreparedStats,
) -> Committed {
    Committed {
        token: Token {
            task: task.clone(),
            generation,
            position,
        },
        version: format!("commit {generation}"),
        stats,
    }
}

/// Stores a token; creates the table when it is missing.
pub(super) fn store(
    connection: &Connection,
    intent: &Intent,
    position: &Position,
    stats: &PreparedStats,
    shown: &str,
) -> Result<()> {
    let doing = "storing the commit's token";
    let create = format!(
        "CREATE TABLE IF NOT EXISTS main.{TABLE} (app_id TEXT NOT NULL, generation INTEGER NOT NULL, format INTEGER NOT NULL, \
         table_name TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, position TEXT NOT NULL, stats TEXT NOT NULL, \
         committed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), PRIMARY KEY (app_id, generation)) WITHOUT ROWID"
    );
    connection
        .execute_batch(&create)
        .doing(shown, "creating `_towpath_commits`")?;
    let app_id = intent.task.app_id();
    let insert = format!(
        "INSERT INTO main.{TABLE} (app_id, generation, format, table_name, run, task, position, stats) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    );
    let values = (
        &app_id,
        intent.generation.0,
        FORMAT,
        intent.table.to_string(),
        &intent.run,
        json(&intent.task)?,
        json(position)?,
        json(stats)?,
    );
    connection.execute(&insert, values).doing(shown, doing)?;
    let prune = format!("DELETE FROM main.{TABLE} WHERE app_id = ?1 AND generation < ?2");
    connection
        .execute(&prune, (&app_id, intent.generation.0 - KEPT))
        .doing(shown, doing)?;
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| SqliteError::Position {
        object: TABLE.to_owned(),
        why: error.to_string(),
    })
}
