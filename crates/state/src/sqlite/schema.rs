//! The tables of the state store in SQLite, their format version, and how a connection is opened.
//!
//! Promise: the format version is in the file since version 1 (`user_version` and `meta.format`). A newer
//! format is refused before a byte of the file changes; an older one is migrated in one transaction; a file
//! of another program is never changed. It knows no operation. A new format is a new entry at the end of
//! `MIGRATIONS`; `postgres/schema.rs` has the same tables.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::error::StateError;

/// The format this binary writes.
#[cfg(test)]
pub(crate) const FORMAT: u32 = 11;

/// The application id of the file: `Towp`.
const APPLICATION_ID: i64 = 0x546f_7770;

/// How long a process waits for the commit of another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause between two tries to open the file.
const OPEN_PAUSE: Duration = Duration::from_millis(10);

/// Script N leads from format N to N + 1.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_schedules.sql"),
    include_str!("schema_reported_notes.sql"),
    include_str!("schema_changed_schedules.sql"),
    include_str!("schema_paused_schedules.sql"),
    include_str!("schema_backfills.sql"),
    include_str!("schema_stopped_runs.sql"),
    include_str!("schema_api.sql"),
    include_str!("schema_alerts.sql"),
];

/// Opens the writing connection, after checks that do not change the file.
///
/// While another process makes the file or changes its journal to WAL, SQLite answers "busy" without
/// waiting; so this waits.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StateError> {
    let began = Instant::now();
    loop {
        match try_open_writer(path) {
            Err(StateError::Sqlite(error))
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(OPEN_PAUSE);
            }
            opened => return opened,
        }
    }
}

fn try_open_writer(path: &Path) -> Result<Connection, StateError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        return Err(StateError::NoFolder {
            folder: folder.to_owned(),
        });
    }
    match std::fs::metadata(path) {
        Ok(file) if file.is_dir() => return Err(StateError::IsFolder),
        Ok(file) if file.len() > 0 => inspect(path)?,
        _ => {}
    }
    // Readable only by its owner; SQLite gives its other files the same permissions, and reports an error
    // of this call.
    let _ = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// Opens a connection that can only read.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StateError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Checks an existing file without changing it.
fn inspect(path: &Path) -> Result<(), StateError> {
    let connection = open_reader(path)?;
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StateError::Foreign);
    }
    refuse_newer(stored_format(&connection)?, MIGRATIONS.len())
}

fn stored_format(connection: &Connection) -> Result<u32, StateError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn refuse_newer(found: u32, known: usize) -> Result<(), StateError> {
    let known = u32::try_from(known).unwrap_or(u32::MAX);
    if found > known {
        Err(StateError::Newer { found, known })
    } else {
        Ok(())
    }
}

/// Migrates a file from its format to the last one of `migrations`, in one transaction.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StateError> {
    if stored_format(connection)? as usize == migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster, so the format is read again under the lock.
    let found = stored_format(&transaction)?;
    refuse_newer(found, migrations.len())?;
    for script in migrations.iter().skip(found as usize) {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(
        None,
        "user_version",
        i64::try_from(migrations.len()).unwrap_or(i64::MAX),
    )?;
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('format', ?1), ('written_by', ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (migrations.len().to_string(), env!("CARGO_PKG_VERSION")),
    )?;
    fail::fail_point!("state::migrate");
    transaction.commit()?;
    Ok(())
}
