//! A database file: options, opening it, and work on it on blocking threads.
//!
//! Promise: reading opens the file read-only and never creates it; waiting for others ends after
//! `busy_timeout_ms`. A session that is dropped rolls back what it had begun.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use towpath_ports::ConnectorContext;
use towpath_vocab::ConnectionPlan;

use super::error::{ErrorContext as _, Result, SqliteError};

const DEFAULT_BUSY_MS: u64 = 5_000;

/// A connection's options.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) connection: String,
    pub(super) writable: bool,
    /// As the project says it.
    pub(super) shown: String,
    path: PathBuf,
    busy: Duration,
}

impl Settings {
    pub(super) fn read(plan: &ConnectionPlan, context: &ConnectorContext) -> Result<Self> {
        let wrong = |option, why: &str| SqliteError::Option {
            connection: plan.name.clone(),
            option,
            why: why.to_owned(),
        };
        let path = plan
            .text("path")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| wrong("path", "is missing"))?;
        let busy_ms = match plan.plain("busy_timeout_ms") {
            None => DEFAULT_BUSY_MS,
            Some(value) => value
                .as_u64()
                .filter(|ms| *ms <= 3_600_000)
                .ok_or_else(|| wrong("busy_timeout_ms", "is not a number of milliseconds"))?,
        };
        Ok(Self {
            connection: plan.name.clone(),
            writable: plan.writable,
            shown: path.to_owned(),
            path: context.project_dir.join(path),
            busy: Duration::from_millis(busy_ms),
        })
    }

    /// Whether there is a file to read.
    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Opens the file to read.
    pub(super) fn open_read(&self) -> Result<Connection> {
        if !self.path.is_file() {
            let why = if self.path.exists() {
                "it is a folder"
            } else {
                "there is no such file"
            };
            return Err(SqliteError::Open {
                path: self.shown.clone(),
                why: why.to_owned(),
                missing: !self.path.exists(),
            });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match self.open(flags) {
            Err(SqliteError::Unfinished { .. }) => {
                self.recover()?;
                self.open(flags)
            }
            opened => opened,
        }
    }

    /// A process died in the middle of a write. What it left is rolled back by the first connection
    /// that may write; one that only reads may not, and cannot tell which pages are old.
    fn recover(&self) -> Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match self.open(flags) {
            Ok(_) => Ok(()),
            Err(SqliteError::Open { why, .. }) => Err(SqliteError::Unfinished {
                path: self.shown.clone(),
                why,
            }),
            Err(other) => Err(other),
        }
    }

    /// Opens the file to write; creates it and its folder when they are missing.
    pub(super) fn open_write(&self) -> Result<Connection> {
        let cannot = |error: std::io::Error| SqliteError::Open {
            path: self.shown.clone(),
            why: error.to_string(),
            missing: false,
        };
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(cannot)?;
        }
        self.open(
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection> {
        let connection =
            Connection::open_with_flags(&self.path, flags).doing(&self.shown, "opening")?;
        connection
            .busy_timeout(self.busy)
            .doing(&self.shown, "opening")?;
        // The first look at the file shows whether it is a database.
        connection
            .query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
            .doing(&self.shown, "opening")?;
        Ok(connection)
    }
}

/// A connection that several tasks may use, one after the other, on blocking threads.
#[derive(Clone)]
pub(super) struct Session {
    connection: Arc<Mutex<Connection>>,
    pub(super) shown: String,
}

impl Session {
    pub(super) fn new(connection: Connection, shown: &str) -> Self {
        Self {
            connection: Arc::new(Mutex::new(connection)),
            shown: shown.to_owned(),
        }
    }

    /// The connection; waits for the task that has it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on a blocking thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let session = self.clone();
        blocking(&self.shown, move || work(&session.lock())).await
    }
}

/// Runs blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    shown: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| SqliteError::Broken {
        path: shown.to_owned(),
    })?
}
