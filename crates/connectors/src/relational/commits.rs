//! `_towpath_commits`: the token of every commit, in the same transaction as its rows.
//!
//! Promise: one row per task and generation (primary key), so the first commit of a generation wins. The
//! form of a row carries a version: in version 1 `position` held the position alone, in version 2 it holds
//! the fingerprint and annotations beside it; both are read. Who waits for whom, the connector decides: it holds a lock from the
//! question to the end of its transaction. It does not know what was written.

use serde::{Deserialize, Serialize};
use towpath_ports::{Commit, Committed, PreparedStats, StateBeforeWrite, TableState, WriteRequest};
use towpath_vocab::{Annotations, Generation, Position, TaskKey, Token};

use super::fault::Fault;
use super::session::{Session, Value};

/// Its name.
pub(crate) const TABLE: &str = "_towpath_commits";
const FORMAT: i64 = 2;
/// A row whose position stands alone.
const POSITION_ONLY: i64 = 1;
/// Older tokens of a task are dropped.
const KEPT: i64 = 100;

/// What the column `stats` holds: what a commit did, and the table it left.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredStats {
    #[serde(flatten)]
    pub(crate) stats: PreparedStats,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<TableState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plain_keys: Option<PlainKeys>,
    /// Which attempt of the generation made the commit; not stored by earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<AttemptId>,
}

/// Tells an attempt of a generation from every other one: a random number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AttemptId(String);

impl AttemptId {
    /// A new one; `None` on a machine without random numbers.
    pub(crate) fn new() -> Option<Self> {
        super::random::digits().map(Self)
    }
}

/// What became of a write whose COMMIT was not answered.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It is committed.
    Own(Committed),
    /// Another attempt committed its generation.
    Another(Committed),
    /// It is not committed, and nothing later is.
    Not,
    /// It is not committed, and another run has committed this later generation.
    Overtaken(i64),
    /// So many later commits came that its row would be gone.
    Unknown,
}

/// Key columns in which a write found no value with blanks that its rows come without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlainKeys {
    pub(crate) columns: Vec<String>,
    /// `Session::storage` of the table.
    pub(crate) storage: String,
}

/// What the column `position` holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    position: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

/// Columns of the newest commit of a task; no rows when there is none.
async fn newest<S: Session + ?Sized>(
    session: &S,
    columns: &str,
    task: &TaskKey,
) -> Result<Vec<Vec<Value>>, S::Error> {
    if !session.has_commits().await? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {columns} FROM {} WHERE app_id = {} ORDER BY generation DESC LIMIT 1",
        session.commits(),
        session.dialect().placeholder(1)
    );
    let params = [Value::Text(task.app_id())];
    session
        .rows(&sql, &params, "asking for the last commit")
        .await
}

/// The newest commit of a task.
pub(crate) async fn last<S: Session + ?Sized>(
    session: &S,
    task: &TaskKey,
) -> Result<Option<Committed>, S::Error> {
    let rows = newest(session, WHOLE, task).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(read(task, row)?.0))
}

/// What became of an attempt whose COMMIT was not answered. To be asked under the lock of its task.
pub(crate) async fn settle<S: Session + ?Sized>(
    session: &S,
    intent: &WriteRequest,
    attempt: &AttemptId,
) -> Result<Settled, S::Error> {
    let Some(last) = last(session, &intent.task).await? else {
        return Ok(Settled::Not);
    };
    let (own, newest) = (intent.generation.0, last.token.generation.0);
    let rows = of_generation(session, &intent.task, own).await?;
    let Some(row) = rows.first() else {
        return Ok(match newest.saturating_sub(own) {
            ..=0 => Settled::Not,
            later if later > KEPT => Settled::Unknown,
            _ => Settled::Overtaken(newest),
        });
    };
    let (committed, stored) = read(&intent.task, row)?;
    Ok(match stored.attempt.as_ref() == Some(attempt) {
        true => Settled::Own(committed),
        false => Settled::Another(committed),
    })
}

/// The columns that say everything of a commit.
const WHOLE: &str = "format, generation, position, stats";

/// The commit of one generation; no rows when there is none.
async fn of_generation<S: Session + ?Sized>(
    session: &S,
    task: &TaskKey,
    generation: i64,
) -> Result<Vec<Vec<Value>>, S::Error> {
    let dialect = session.dialect();
    let sql = format!(
        "SELECT {WHOLE} FROM {} WHERE app_id = {} AND generation = {}",
        session.commits(),
        dialect.placeholder(1),
        dialect.placeholder(2)
    );
    let params = [Value::Text(task.app_id()), Value::Int(generation)];
    session
        .rows(&sql, &params, "asking for a commit of this task")
        .await
}

/// A row with the columns `WHOLE`.
fn read(task: &TaskKey, row: &[Value]) -> Result<(Committed, StoredStats), Fault> {
    let [format, generation, position, stats] = row else {
        return Err(wrong(task, "it does not have the columns of a commit"));
    };
    let generation = Generation(generation.int());
    let token = token(task, generation, format.int(), position.text())
        .map_err(|reason| wrong(task, reason))?;
    let stored: StoredStats = serde_json::from_str(stats.text())
        .map_err(|_| wrong(task, "its statistics are not JSON"))?;
    Ok((committed(token, stored.stats), stored))
}

/// The token of a row.
fn token(
    task: &TaskKey,
    generation: Generation,
    format: i64,
    text: &str,
) -> Result<Token, &'static str> {
    let wrong = "its position is not valid JSON of a position";
    match format {
        POSITION_ONLY => {
            let position = serde_json::from_str(text).map_err(|_| wrong)?;
            Ok(Token::from_position(task.clone(), generation, position))
        }
        FORMAT => {
            let stored: Stored = serde_json::from_str(text).map_err(|_| wrong)?;
            Ok(Token {
                task: task.clone(),
                generation,
                position: stored.position,
                fingerprint: stored.fingerprint,
                annotations: stored.annotations,
            })
        }
        _ => Err("its form is not known"),
    }
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
    task: &TaskKey,
) -> Result<Option<TableState>, S::Error> {
    Ok(stored(session, task).await?.and_then(|stored| stored.left))
}

/// What the newest commit of a task found of the keys.
pub(crate) async fn plain_keys<S: Session + ?Sized>(
    session: &S,
    task: &TaskKey,
) -> Result<Option<PlainKeys>, S::Error> {
    let stored = stored(session, task).await?;
    Ok(stored.and_then(|stored| stored.plain_keys))
}

async fn stored<S: Session + ?Sized>(
    session: &S,
    task: &TaskKey,
) -> Result<Option<StoredStats>, S::Error> {
    let rows = newest(session, "stats", task).await?;
    let Some([stats]) = rows.first().map(Vec::as_slice) else {
        return Ok(None);
    };
    let stored = serde_json::from_str(stats.text())
        .map_err(|_| wrong(task, "its statistics are not JSON"))?;
    Ok(Some(stored))
}

/// A commit in the port's words.
pub(crate) fn committed(token: Token, stats: PreparedStats) -> Committed {
    Committed {
        version: format!("commit {}", token.generation),
        token,
        stats,
    }
}

/// What a commit that was asked for under the lock means for a write: this generation's, which an
/// earlier attempt made, or none, and the write may go on.
pub(crate) fn compare(
    last: Option<Committed>,
    intent: &WriteRequest,
    table: &str,
) -> Result<Option<Committed>, Fault> {
    let committed = last.as_ref().map_or(0, |last| last.token.generation.0);
    let generation = intent.generation.0;
    let table = table.to_owned();
    match intent.after {
        _ if committed > generation => Err(Fault::Stale {
            table,
            generation,
            last: committed,
        }),
        _ if last.is_some() && committed == generation => Ok(last),
        Some(after) if after.0 != committed => Err(Fault::Overtaken {
            table,
            committed,
            after: after.0,
        }),
        _ => Ok(None),
    }
}

/// Refuses a write that deletes rows because of a look at a table which others have changed since; to be
/// asked under the lock.
pub(crate) fn check_state_before(
    before: &StateBeforeWrite,
    now: Option<&TableState>,
    table: &str,
) -> Result<(), Fault> {
    match before.is_overtaken(now) {
        true => Err(Fault::Moved {
            table: table.to_owned(),
        }),
        false => Ok(()),
    }
}

/// Stores a token, what the commit did, and the table it leaves where somebody looked.
pub(crate) async fn store<S: Session + ?Sized>(
    session: &S,
    intent: &WriteRequest,
    commit: &Commit,
    stored: &StoredStats,
) -> Result<(), S::Error> {
    let (dialect, commits) = (session.dialect(), session.commits());
    ensure(session).await?;
    let placeholders: Vec<String> = (1..=8).map(|at| dialect.placeholder(at)).collect();
    let insert = format!(
        "INSERT INTO {commits} (app_id, generation, format, table_name, run, task, position, stats) VALUES ({})",
        placeholders.join(", ")
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
        json(&Stored {
            position: commit.position.clone(),
            fingerprint: commit.fingerprint.clone(),
            annotations: commit.annotations.clone(),
        })?,
        json(stored)?,
    ];
    session
        .execute(&insert, &params, "storing the commit's token")
        .await?;
    if session.may_prune().await? {
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

/// Creates the commit table where it does not exist.
pub(crate) async fn ensure<S: Session + ?Sized>(session: &S) -> Result<(), S::Error> {
    if !session.has_commits().await? {
        let sql = definition(session, &session.commits());
        session.create_commits(&sql).await?;
    }
    Ok(())
}

fn definition<S: Session + ?Sized>(session: &S, commits: &str) -> String {
    let types = session.dialect().commit_types();
    let (text, moment) = (types.text, types.moment);
    format!(
        "CREATE TABLE IF NOT EXISTS {commits} (app_id {} NOT NULL, generation {} NOT NULL, format {} NOT NULL, \
         table_name {text} NOT NULL, run {text} NOT NULL, task {text} NOT NULL, position {text} NOT NULL, stats {text} NOT NULL, \
         committed_at {moment}, PRIMARY KEY (app_id, generation)){}",
        types.key, types.bigint, types.integer, types.options
    )
}

fn json<T: Serialize>(value: &T) -> Result<Value, Fault> {
    let text = serde_json::to_string(value).map_err(|error| Fault::Commit {
        table: TABLE.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Value::Text(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use towpath_vocab::{SplitPosition, TableName, TaskKind};

    use super::*;

    #[test]
    fn rows_of_version_1_are_read() {
        let task = TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "shop".into(),
            step: "publish".into(),
            kind: TaskKind::Step,
            table: TableName::new("public", "t"),
        };
        let old = r#"{"lake":{"order":7,"resume":{"table":"a"}},"towpath:fingerprint":{"order":3,"resume":"print"}}"#;
        let read = |format, text| token(&task, Generation(3), format, text);
        let token = read(POSITION_ONLY, old).unwrap();
        assert_eq!(token.fingerprint.as_deref(), Some("print"));
        assert_eq!(token.position.splits().count(), 1);
        let stored = Stored {
            position: Position::single("lake", SplitPosition::at(7)),
            fingerprint: Some("print".to_owned()),
            annotations: Annotations::default(),
        };
        let text = serde_json::to_string(&stored).unwrap();
        let again = read(FORMAT, &text).unwrap();
        assert_eq!(
            (again.position, again.fingerprint),
            (stored.position, stored.fingerprint)
        );
        assert!(read(FORMAT + 1, &text).is_err());
    }
}
