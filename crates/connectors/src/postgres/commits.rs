//! What PostgreSQL adds to the commit table (`relational/commits.rs`): the lock of a task and rights.
//!
//! Promise: a lock per task makes a second attempt wait for the first one's end, also for one whose
//! COMMIT was sent and never answered.

use tokio_postgres::Client;
use towpath_ports::{Committed, TableState};
use towpath_vocab::TaskKey;

use super::definition;
use super::error::{Doing as _, PgError, Result};
use super::names::Relation;
use super::sql::Writing;
use crate::relational::commits;

/// Waits until no other session is in the middle of a commit of this task. What is asked afterwards
/// must see what that session committed: never call it in a transaction with one snapshot.
pub(super) async fn lock(client: &Client, app_id: &str) -> Result<()> {
    definition::take(client, app_id)
        .await
        .doing("waiting for another attempt of this task")
}

/// True when the table exists.
pub(super) async fn exists(client: &Client, commits: &Relation) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = $2)";
    Ok(client
        .query_one(sql, &[&commits.schema, &commits.name])
        .await
        .doing("looking for `_towpath_commits`")?
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
        .doing("checking permissions")?;
    if row.get(0) {
        Ok(())
    } else {
        Err(PgError::NoCommits {
            schema: commits.schema.clone(),
        })
    }
}

/// The table as the newest commit of a task left it.
pub(super) async fn state_left(
    writing: &Writing<'_>,
    task: &TaskKey,
) -> Result<Option<TableState>> {
    if !exists(writing.client, writing.commits).await? {
        return Ok(None);
    }
    commits::state(writing, &writing.commits.sql(), task).await
}

/// The newest commit of a task.
pub(super) async fn last(writing: &Writing<'_>, task: &TaskKey) -> Result<Option<Committed>> {
    if !exists(writing.client, writing.commits).await? {
        return Ok(None);
    }
    commits::last(writing, &writing.commits.sql(), task).await
}
