//! What a first write defines: schemas, and the order in which several tasks define things.
//!
//! Promise: of several sessions that meet a schema or a table that does not exist, one creates it and
//! the others wait for the end of its transaction; none fails because another was faster. It does not
//! know columns: `align.rs` says what a table looks like.

use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;

use super::error::{ErrorContext as _, Result};
use super::names::quoted;

/// Waits until no other session defines what `name` names. Held to the transaction's end.
pub(super) async fn lock(client: &Client, name: &str) -> Result<()> {
    take(client, &format!("definition of {name}"))
        .await
        .doing(&format!("waiting for another task to define `{name}`"))
}

/// Takes the advisory lock of a text, to the transaction's end.
pub(super) async fn take(
    client: &Client,
    text: &str,
) -> std::result::Result<(), tokio_postgres::Error> {
    let digest = Sha256::digest(text.as_bytes());
    let key = digest
        .first_chunk::<8>()
        .map_or(0, |bytes| i64::from_be_bytes(*bytes));
    client
        .execute("SELECT pg_advisory_xact_lock($1)", &[&key])
        .await?;
    Ok(())
}

/// Creates a schema that does not exist.
pub(super) async fn ensure_schema(client: &Client, schema: &str) -> Result<()> {
    if exists(client, schema).await? {
        return forget_its_absence(client).await;
    }
    lock(client, schema).await?;
    if exists(client, schema).await? {
        return forget_its_absence(client).await;
    }
    client
        .batch_execute(&format!("CREATE SCHEMA {}", quoted(schema)))
        .await
        .doing("creating the schema")
}

/// Lets the session read what others have changed in the catalog. A session that has looked for a schema
/// that did not exist remembers that, and a lock of another catalog table is what makes it look again.
async fn forget_its_absence(client: &Client) -> Result<()> {
    client
        .batch_execute("SELECT FROM pg_catalog.pg_language LIMIT 0")
        .await
        .doing("looking for the schema")
}

async fn exists(client: &Client, schema: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let row = client
        .query_one(sql, &[&schema])
        .await
        .doing("looking for the schema")?;
    Ok(row.get(0))
}
