//! `_towpath_commits`: the token of every commit, in the same transaction as its rows.
//!
//! Promise: one row per task and generation (primary key), so the first commit of a generation wins;
//! a lock per task makes a second attempt wait for the first one's end, also for one whose COMMIT was
//! sent and never answered. The row's form carries a version. It does not know what was written.

use serde_json::Value;
use tokio_postgres::Client;
use towpath_ports::{Committed, Intent, PreparedStats};
use towpath_vocab::{Generation, Position, TaskKey, Token};

use super::definition;
use super::error::{Doing as _, PgError, Result};
use super::names::Relation;

pub(super) const TABLE: &str = "_towpath_commits";
const FORMAT: i32 = 1;
/// Older tokens of a task are dropped.
const KEPT: i64 = 100;
const ASKING: &str = "asking for the last commit";

/// Waits until no other session is in the middle of a commit of this task. What is asked afterwards
/// must see what that session committed: never call it in a transaction with one snapshot.
pub(super) async fn lock(client: &Client, app_id: &str) -> Result<()> {
    definition::take(client, app_id)
        .await
        .doing("waiting for another attempt of this task")
}

/// True when the table is there.
async fn exists(client: &Client, commits: &Relation) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = $2)";
    Ok(client
        .query_one(sql, &[&commits.schema, &commits.name])
        .await
        .doing(ASKING)?
        .get(0))
}

/// Refuses when this user could not store a token.
pub(super) async fn check_rights(client: &Client, commits: &Relation) -> Result<()> {
    let sql = "SELECT CASE WHEN c.oid IS NOT NULL THEN has_table_privilege(c.oid, 'SELECT, INSERT') \
                      WHEN n.oid IS NOT NULL THEN has_schema_privilege(n.oid, 'CREATE') \
                      ELSE has_database_privilege(current_database(), 'CREATE') END \
               FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1 \
               LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = $2";
    let row = client
        .query_one(sql, &[&commits.schema, &commits.name])
        .await
        .doing("checking rights")?;
    if row.get(0) {
        Ok(())
    } else {
        Err(PgError::NoCommits {
            schema: commits.schema.clone(),
        })
    }
}

/// The newest commit of a task.
pub(super) async fn last(
    client: &Client,
    commits: &Relation,
    task: &TaskKey,
) -> Result<Option<Committed>> {
    if !exists(client, commits).await? {
        return Ok(None);
    }
    let sql = format!(
        "SELECT format, generation, position, stats FROM {} WHERE app_id = $1 ORDER BY generation DESC LIMIT 1",
        commits.sql()
    );
    let Some(row) = client
        .query_opt(&sql, &[&task.app_id()])
        .await
        .doing(ASKING)?
    else {
        return Ok(None);
    };
    let wrong = |reason: &str| PgError::Position {
        object: task.table.to_string(),
        reason: reason.to_owned(),
    };
    if row.get::<_, i32>("format") != FORMAT {
        return Err(wrong("a newer Towpath wrote it"));
    }
    let position: Position = serde_json::from_str(row.get("position"))
        .map_err(|_| wrong("it is not JSON of a position"))?;
    let stats: PreparedStats =
        serde_json::from_str(row.get("stats")).map_err(|_| wrong("its statistics are not JSON"))?;
    let generation = Generation(row.get("generation"));
    Ok(Some(committed(task, generation, position, stats)))
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

/// What the held commit, asked for under the lock, means for a write.
pub(super) enum ExistingCommit {
    /// It is this generation: an earlier attempt made it.
    Ours(Box<Committed>),
    /// The write may go on.
    Before,
}

/// Looks at the commits once the lock is held, which it is until the transaction's end: nobody can
/// commit this task between this answer and our own COMMIT.
pub(super) async fn compare(
    client: &Client,
    commits: &Relation,
    intent: &Intent,
    table: &Relation,
) -> Result<ExistingCommit> {
    let last = last(client, commits, &intent.task).await?;
    let held = last.as_ref().map_or(0, |last| last.token.generation.0);
    let generation = intent.generation.0;
    if held > generation {
        return Err(PgError::Stale {
            table: table.to_string(),
            generation,
            last: held,
        });
    }
    match (last, intent.after) {
        (Some(last), _) if held == generation => Ok(ExistingCommit::Ours(Box::new(last))),
        (_, Some(after)) if after.0 != held => Err(PgError::Overtaken {
            table: table.to_string(),
            generation,
            after: after.0,
            held,
        }),
        _ => Ok(ExistingCommit::Before),
    }
}

/// Stores a token; creates the table when it is missing.
pub(super) async fn store(
    client: &Client,
    commits: &Relation,
    intent: &Intent,
    position: &Position,
    stats: &PreparedStats,
) -> Result<()> {
    if !exists(client, commits).await? {
        create(client, commits).await?;
    }
    let sql = format!(
        "INSERT INTO {} (app_id, generation, format, table_name, run, task, position, stats) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        commits.sql()
    );
    let app_id = intent.task.app_id();
    let json = |value: serde_json::Result<Value>| value.unwrap_or(Value::Null).to_string();
    let task = json(serde_json::to_value(&intent.task));
    let position = json(serde_json::to_value(position));
    let stats = json(serde_json::to_value(stats));
    let generation = intent.generation.0;
    client
        .execute(
            &sql,
            &[
                &app_id,
                &generation,
                &FORMAT,
                &intent.table.to_string(),
                &intent.run,
                &task,
                &position,
                &stats,
            ],
        )
        .await
        .doing("storing the commit's token")?;
    let prune = format!(
        "DELETE FROM {} WHERE app_id = $1 AND generation < $2",
        commits.sql()
    );
    let may_prune = format!(
        "SELECT has_table_privilege('{}', 'DELETE')",
        commits.sql().replace('\'', "''")
    );
    if client
        .query_one(&may_prune, &[])
        .await
        .doing("checking rights")?
        .get(0)
    {
        client
            .execute(&prune, &[&app_id, &(generation - KEPT)])
            .await
            .doing("dropping old tokens")?;
    }
    Ok(())
}

async fn create(client: &Client, commits: &Relation) -> Result<()> {
    let doing = "creating `_towpath_commits`";
    // Two first commits at once would collide in the catalogue.
    definition::lock(client, &commits.to_string()).await?;
    definition::ensure_schema(client, &commits.schema).await?;
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {} (app_id text NOT NULL, generation bigint NOT NULL, format integer NOT NULL, \
         table_name text NOT NULL, run text NOT NULL, task text NOT NULL, position text NOT NULL, stats text NOT NULL, \
         committed_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (app_id, generation))",
        commits.sql()
    );
    client.batch_execute(&sql).await.doing(doing)
}
