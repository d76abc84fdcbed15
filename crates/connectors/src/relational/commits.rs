//! `_towpath_commits`: the token of every commit, in the same transaction as its rows.
//!
//! Promise: one row per task and generation (primary key), so the first commit of a generation wins. The
//! form of a row carries a version. Who waits for whom, the connector decides: it holds a lock from the
//! question to the end of its transaction. It does not know what was written.

use serde::{Deserialize, Serialize};
use towpath_ports::{Committed, Intent, PreparedStats, TableState};
use towpath_vocab::{Generation, Position, TaskKey, Token};

use super::fault::Fault;
use super::session::{Session, Value};

/// Its name.
pub(crate) const TABLE: &str = "_towpath_commits";
const FORMAT: i64 = 1;
/// Older tokens of a task are dropped.
const KEPT: i64 = 100;

/// What a commit did, and the table it left.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    stats: PreparedStats,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<TableState>,
}

/// The newest commit of a task in an existing commit table.
pub(crate) async fn last<S: Session + ?Sized>(
    session: &S,
    commits: &str,
    task: &TaskKey,
) -> Result<Option<Committed>, S::Error> {
    let sql = format!(
        "SELECT format, generation, position, stats FROM {commits} WHERE app_id = {} ORDER BY generation DESC LIMIT 1",
        session.dialect().placeholder(1)
    );
    let rows = session
        .rows(
            &sql,
            &[Value::Text(task.app_id())],
            "asking for the last commit",
        )
        .await?;
    let Some([format, generation, position, stats]) = rows.first().map(Vec::as_slice) else {
        return Ok(None);
    };
    let wrong = |reason: &str| wrong(task, reason);
    if format.int() != FORMAT {
        return Err(wrong("its form is not known").into());
    }
    let position: Position = serde_json::from_str(position.text())
        .map_err(|_| wrong("its position is not valid JSON of a position"))?;
    let stats: PreparedStats =
        serde_json::from_str(stats.text()).map_err(|_| wrong("its statistics are not JSON"))?;
    let generation = Generation(generation.int());
    Ok(Some(committed(task, generation, position, stats)))
}

fn wrong(task: &TaskKey, reason: &str) -> Fault {
    Fault::Commit {
        table: task.table.to_string(),
        reason: reason.to_owned(),
    }
}

/// The table as the newest commit of a task left it, when that was stored with it.
pub(crate) async fn state<S: Session + ?Sized>(
    session: &S,
    commits: &str,
    task: &TaskKey,
) -> Result<Option<TableState>, S::Error> {
    let sql = format!(
        "SELECT stats FROM {commits} WHERE app_id = {} ORDER BY generation DESC LIMIT 1",
        session.dialect().placeholder(1)
    );
    let params = [Value::Text(task.app_id())];
    let rows = session
        .rows(&sql, &params, "asking for the last commit")
        .await?;
    let Some([stats]) = rows.first().map(Vec::as_slice) else {
        return Ok(None);
    };
    let stored: Stored = serde_json::from_str(stats.text())
        .map_err(|_| wrong(task, "its statistics are not JSON"))?;
    Ok(stored.left)
}

/// A commit in the port's words.
pub(crate) fn committed(
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

/// What a commit that was asked for under the lock means for a write: this generation's, which an
/// earlier attempt made, or none, and the write may go on.
pub(crate) fn compare(
    last: Option<Committed>,
    intent: &Intent,
    table: &str,
) -> Result<Option<Committed>, Fault> {
    let held = last.as_ref().map_or(0, |last| last.token.generation.0);
    let generation = intent.generation.0;
    let table = table.to_owned();
    match intent.after {
        _ if held > generation => Err(Fault::Stale {
            table,
            generation,
            last: held,
        }),
        _ if last.is_some() && held == generation => Ok(last),
        Some(after) if after.0 != held => Err(Fault::Overtaken {
            table,
            held,
            after: after.0,
        }),
        _ => Ok(None),
    }
}

/// Stores a token, and the table it leaves; `exists` says whether the commit table does.
pub(crate) async fn store<S: Session + ?Sized>(
    session: &S,
    (commits, exists): (&str, bool),
    intent: &Intent,
    position: &Position,
    (stats, left): (&PreparedStats, TableState),
) -> Result<(), S::Error> {
    let dialect = session.dialect();
    let stored = Stored {
        stats: *stats,
        left: Some(left),
    };
    if !exists {
        let sql = definition(session, commits);
        session.create_commits(commits, &sql).await?;
    }
    let marks: Vec<String> = (1..=8).map(|at| dialect.placeholder(at)).collect();
    let insert = format!(
        "INSERT INTO {commits} (app_id, generation, format, table_name, run, task, position, stats) VALUES ({})",
        marks.join(", ")
    );
    let app_id = Value::Text(intent.task.app_id());
    let generation = intent.generation.0;
    let params = [
        app_id.clone(),
        Value::Int(generation),
        Value::Int(FORMAT),
        Value::Text(intent.table.to_string()),
        Value::Text(intent.run.clone()),
        json(&intent.task)?,
        json(position)?,
        json(&stored)?,
    ];
    session
        .execute(&insert, &params, "storing the commit's token")
        .await?;
    if session.may_prune(commits).await? {
        let prune = format!(
            "DELETE FROM {commits} WHERE app_id = {} AND generation < {}",
            dialect.placeholder(1),
            dialect.placeholder(2)
        );
        let params = [app_id, Value::Int(generation - KEPT)];
        session
            .execute(&prune, &params, "dropping old tokens")
            .await?;
    }
    Ok(())
}

fn definition<S: Session + ?Sized>(session: &S, commits: &str) -> String {
    let types = session.dialect().commit_types();
    let (text, moment) = (types.text, types.moment);
    format!(
        "CREATE TABLE IF NOT EXISTS {commits} (app_id {text} NOT NULL, generation {} NOT NULL, format {} NOT NULL, \
         table_name {text} NOT NULL, run {text} NOT NULL, task {text} NOT NULL, position {text} NOT NULL, stats {text} NOT NULL, \
         committed_at {moment}, PRIMARY KEY (app_id, generation)){}",
        types.bigint, types.integer, types.options
    )
}

fn json<T: Serialize>(value: &T) -> Result<Value, Fault> {
    let text = serde_json::to_string(value).map_err(|error| Fault::Commit {
        table: TABLE.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Value::Text(text))
}
