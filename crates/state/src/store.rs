//! Which database a state store is in, and which workers of this machine are known to be alive.
//!
//! Promise: an operation runs in one transaction of that database; a worker of this process is shown to other
//! processes of the machine where the store is a file. It knows no operation. Read next: `state_store.rs` (the
//! operations), `tx.rs`.

use std::sync::Arc;

use towpath_ports::{Opened, Result};

use crate::postgres::{PostgresServer, Redo};
use crate::runs::Opening;
use crate::sqlite::SqliteFile;
use crate::sqlite::liveness::Liveness;
use crate::tx::Operation;

/// A state store.
pub(crate) enum Store {
    Sqlite(SqliteFile),
    Postgres(PostgresServer),
}

impl Store {
    pub(crate) async fn write<T, F>(&self, redo: Redo, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        match self {
            Store::Sqlite(file) => file.write(operation).await,
            Store::Postgres(server) => server.run(redo, operation).await,
        }
    }

    pub(crate) async fn read<T, F>(&self, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        match self {
            Store::Sqlite(file) => file.read(operation).await,
            Store::Postgres(server) => server.run(Redo::Harmless, operation).await,
        }
    }

    /// The locks that show which workers on this machine are alive, if there are any.
    pub(crate) fn liveness(&self) -> Option<Arc<Liveness>> {
        match self {
            Store::Sqlite(file) => Some(Arc::clone(&file.liveness)),
            Store::Postgres(_) => None,
        }
    }

    /// Takes the lock of a worker of this process; true if it was not taken before.
    pub(crate) fn show(&self, worker: &str) -> Result<bool> {
        match self {
            Store::Sqlite(file) => file
                .liveness
                .claim(worker)
                .map_err(|error| error.into_failure(file.place())),
            Store::Postgres(_) => Ok(false),
        }
    }

    /// Opens a run with the lock of its worker taken; the lock is given back if the worker gets no run.
    pub(crate) async fn opening<F: Operation<Opening>>(
        &self,
        worker: &str,
        operation: F,
    ) -> Result<Opened> {
        let fresh = self.show(worker)?;
        let opened = match self.write(Redo::Harmless, operation).await {
            Ok(opening) => {
                if let (Some(dead), Some(liveness)) = (opening.dead_worker, self.liveness()) {
                    liveness.forget(&dead);
                }
                Ok(opening.opened)
            }
            Err(failure) => Err(failure),
        };
        if fresh && !matches!(opened, Ok(Opened::New(_) | Opened::Resumed(_))) {
            self.hide(worker);
        }
        opened
    }

    pub(crate) fn hide(&self, worker: &str) {
        if let Store::Sqlite(file) = self {
            file.liveness.release(worker);
        }
    }
}

/// True if the process of a worker is certainly dead.
pub(crate) fn dead(liveness: &Option<Arc<Liveness>>, worker: &str) -> bool {
    liveness
        .as_ref()
        .is_some_and(|liveness| liveness.is_dead(worker))
}
