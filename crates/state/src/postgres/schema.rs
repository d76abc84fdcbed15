//! The tables of a state store on a server, and their format version.
//!
//! Promise: the format version is in table `meta` since version 1. A newer format is refused before
//! anything changes; an older one is migrated in one transaction; several processes that start at once
//! create the tables once. A store belongs to one project. It knows no operation. A new format is a new
//! entry at the end of `MIGRATIONS`; `../sqlite/schema.rs` has the same tables.

use tokio_postgres::Client;

use super::statement::{execute, rows};
use crate::error::StateError;
use crate::tx::cells;

/// Script N leads from format N to N + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_schedules.sql"),
    include_str!("schema_reported_notes.sql"),
    include_str!("schema_changed_schedules.sql"),
    include_str!("schema_paused_schedules.sql"),
    include_str!("schema_backfills.sql"),
    include_str!("schema_stopped_runs.sql"),
    include_str!("schema_api.sql"),
    include_str!("schema_alerts.sql"),
];

/// On a server that counts lower than what the store holds, because the store was copied from another one, the feed
/// goes on above that. One snapshot sees no event of a transaction above its own end, so this changes nothing on the
/// same server.
const RAISE_FEED: &str = "UPDATE feed_base SET base = held.last
    FROM (SELECT coalesce(max(feed), 0) AS last FROM event WHERE feed > 0) AS held
    WHERE held.last >= base + txid_snapshot_xmax(txid_current_snapshot())";

/// The advisory lock for creating the tables, because two sessions that create them at once would conflict.
const LOCK: i64 = 0x546f_7770_5374;

/// Creates or migrates the tables, in one transaction.
pub(crate) async fn prepare(
    client: &Client,
    schema: &str,
    project: Option<&str>,
) -> Result<(), StateError> {
    client.batch_execute("BEGIN").await?;
    match prepare_in(client, schema, project).await {
        Ok(()) => Ok(client.batch_execute("COMMIT").await?),
        Err(error) => {
            // The failure that led here is the one that is reported.
            let _ = client.batch_execute("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn prepare_in(
    client: &Client,
    schema: &str,
    project: Option<&str>,
) -> Result<(), StateError> {
    execute(client, "SELECT pg_advisory_xact_lock(?1)", cells![LOCK]).await?;
    let found = rows(
        client,
        "SELECT CAST(count(*) AS BIGINT) FROM pg_catalog.pg_namespace WHERE nspname = ?1",
        cells![schema],
    )
    .await?;
    if found.first().map_or(Ok(0), |row| row.int(0))? == 0 {
        client
            .batch_execute(&format!("CREATE SCHEMA {schema}"))
            .await?;
    }
    client
        .batch_execute(&format!("SET LOCAL search_path = {schema}"))
        .await?;
    let format = format(client, schema).await?;
    if format > MIGRATIONS.len() {
        return Err(StateError::Newer {
            found: u32::try_from(format).unwrap_or(u32::MAX),
            known: u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX),
        });
    }
    if format < MIGRATIONS.len() {
        for script in MIGRATIONS.iter().skip(format) {
            client.batch_execute(script).await?;
        }
        put(client, "format", &MIGRATIONS.len().to_string()).await?;
        put(client, "written_by", env!("CARGO_PKG_VERSION")).await?;
    }
    client.batch_execute(RAISE_FEED).await?;
    owner(client, project).await
}

async fn format(client: &Client, schema: &str) -> Result<usize, StateError> {
    let tables = rows(
        client,
        "SELECT CAST(tablename AS TEXT) FROM pg_catalog.pg_tables WHERE schemaname = ?1 ORDER BY 1",
        cells![schema],
    )
    .await?;
    let mut has_meta = false;
    for table in &tables {
        has_meta |= table.text(0)? == "meta";
    }
    match (tables.is_empty(), has_meta) {
        (true, _) => Ok(0),
        (false, false) => Err(StateError::Foreign),
        (false, true) => match meta(client, "format").await? {
            Some(text) => text.parse().map_err(|_| StateError::Foreign),
            None => Err(StateError::Foreign),
        },
    }
}

/// Checks the project of a store: it belongs to the first project that used it.
async fn owner(client: &Client, project: Option<&str>) -> Result<(), StateError> {
    let Some(project) = project else {
        return Ok(());
    };
    match meta(client, "project").await? {
        None => put(client, "project", project).await,
        Some(owner) if owner == project => Ok(()),
        Some(owner) => Err(StateError::OtherProject { owner }),
    }
}

async fn meta(client: &Client, key: &str) -> Result<Option<String>, StateError> {
    let found = rows(client, "SELECT value FROM meta WHERE key = ?1", cells![key]).await?;
    let first = found.first().map(|row| row.text(0)).transpose()?;
    Ok(first.map(str::to_owned))
}

async fn put(client: &Client, key: &str, value: &str) -> Result<(), StateError> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    execute(client, sql, cells![key, value]).await?;
    Ok(())
}
