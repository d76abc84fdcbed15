//! An open state file: passes operations to its writer thread and its reading connections.
//!
//! Promise: the file is opened, created or migrated when it is first used. Its clock is that of the
//! machine, since all its users are on it. It stores nothing itself except the locks that show that its
//! workers are alive. Read next: `writer.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::liveness::Liveness;
use super::schema;
use super::writer::Writer;
use crate::clock::StoreClock;
use crate::error::{Place, StateError};
use crate::tx::{Operation, Tx, Wire};

/// More idle reading connections than this are closed.
const IDLE_READERS: usize = 4;

/// A state file.
pub(crate) struct SqliteFile {
    path: PathBuf,
    place: Arc<Place>,
    // Before `liveness`, so a process counts as alive until its last change is durable.
    writer: Writer,
    readers: Arc<Mutex<Vec<Mutex<Connection>>>>,
    clock: StoreClock,
    pub(crate) liveness: Arc<Liveness>,
}

impl SqliteFile {
    /// Opens the file, or creates one in an existing folder.
    pub(crate) fn open(path: &Path, clock: StoreClock) -> Result<Self, StateError> {
        let place = Arc::new(Place::File(path.to_owned()));
        let connection = schema::open_writer(path)?;
        let writer = Writer::start(connection, Arc::clone(&place), clock.clone())?;
        Ok(Self {
            path: path.to_owned(),
            place,
            writer,
            readers: Arc::default(),
            clock,
            liveness: Arc::new(Liveness::new(path)),
        })
    }

    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Writes and waits until it is durable.
    pub(crate) async fn write<T, F>(&self, operation: F) -> towpath_ports::Result<T>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        self.writer.write(operation).await
    }

    /// Reads in one transaction, so that all statements see the same state.
    pub(crate) async fn read<T, F>(&self, operation: F) -> towpath_ports::Result<T>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        let (path, place) = (self.path.clone(), Arc::clone(&self.place));
        let readers = Arc::clone(&self.readers);
        let now_us = self.clock.now_us();
        let reading = tokio::task::spawn_blocking(move || {
            let failed = |error: StateError| error.into_failure(&place);
            let idle = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => Mutex::new(schema::open_reader(&path).map_err(failed)?),
            };
            let found = snapshot(&connection, now_us, operation).map_err(failed)?;
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < IDLE_READERS {
                readers.push(connection);
            }
            Ok(found)
        });
        reading
            .await
            .map_err(|_| StateError::Stopped.into_failure(&self.place))?
    }
}

/// Reads on a connection. A connection that failed is not used again, so its open transaction ends with it.
fn snapshot<T>(
    connection: &Mutex<Connection>,
    now_us: i64,
    operation: impl Operation<T>,
) -> Result<T, StateError> {
    let batch = |sql: &str| {
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.execute_batch(sql)
    };
    batch("BEGIN")?;
    let tx = Tx::new(Wire::Sqlite(connection), now_us);
    let found = futures::executor::block_on(operation(&tx))?;
    batch("COMMIT")?;
    Ok(found)
}
