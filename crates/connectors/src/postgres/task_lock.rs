//! What PostgreSQL adds to the commit table (`relational/commits.rs`): the lock of a task and rights.
//!
//! Promise: a lock per task makes a second attempt wait for the first one's end, also for one whose
//! COMMIT was sent and never answered.

use tokio_postgres::Client;

use super::definition;
use super::error::{ErrorContext as _, PgError, Result};
use super::names::Relation;

/// Waits until no other session is in the middle of a commit of this task. What is asked afterwards
/// must see what that session committed: never call it in a transaction with one snapshot.
pub(super) async fn lock(client: &Client, app_id: &str) -> Result<()> {
    definition::take(client, app_id)
        .await
        .doing("waiting for another attempt of this task")
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
