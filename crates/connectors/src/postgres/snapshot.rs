//! Many sessions that see one moment: the first exports its snapshot, the others join it.
//!
//! Promise: every lane of a read sees exactly the same rows, at most `limits.connections` sessions
//! are open, and a server that gives fewer makes the read slower, not wrong. The snapshot lives as
//! long as the first session. Transactions are the only state, so a pooler in transaction mode and a
//! standby work. It knows no tables. Read next: `pump.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;
use towpath_vocab::Failure;

use super::error::{ErrorContext as _, PgError, Result};
use super::session::Session;
use super::settings::Settings;

/// Where copies run.
#[derive(Clone)]
pub(super) enum Lanes {
    /// Sessions on one exported snapshot.
    Snapshot(Arc<Pool>),
    /// One session in the middle of its own transaction: one copy at a time.
    Held(Arc<Session>, Arc<tokio::sync::Mutex<()>>),
}

/// Sessions on one snapshot.
pub(super) struct Pool {
    settings: Settings,
    snapshot: Option<String>,
    idle: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
}

/// One session for one copy.
pub(super) enum Lane {
    Pooled {
        session: Option<Session>,
        pool: Arc<Pool>,
        _permit: OwnedSemaphorePermit,
    },
    Held {
        session: Arc<Session>,
        _turn: OwnedMutexGuard<()>,
    },
}

impl Pool {
    /// A pool around a session that is already in a reading transaction.
    pub(super) async fn around(
        settings: Settings,
        first: Session,
        parallel: usize,
    ) -> Result<Self> {
        let lanes = parallel.min(settings.connections).max(1);
        let snapshot = if lanes > 1 {
            let row = first
                .client()
                .query_one("SELECT pg_catalog.pg_export_snapshot()", &[])
                .await;
            Some(row.doing("exporting the snapshot")?.get(0))
        } else {
            None
        };
        Ok(Self {
            settings,
            snapshot,
            idle: Mutex::new(vec![first]),
            permits: Arc::new(Semaphore::new(lanes)),
        })
    }

    async fn lane(self: Arc<Self>) -> std::result::Result<Lane, Failure> {
        loop {
            let permit = Arc::clone(&self.permits)
                .acquire_owned()
                .await
                .map_err(|_| PgError::Misused {
                    reason: "was asked to read after its read had ended",
                })?;
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let session = match idle {
                Some(session) => session,
                None => match self.join().await {
                    Ok(session) => session,
                    // The server has no room for one more: go on with those there are.
                    Err(failure) if failure.remedy.may_pass() && self.others_work() => {
                        permit.forget();
                        continue;
                    }
                    Err(failure) => return Err(failure),
                },
            };
            return Ok(Lane::Pooled {
                session: Some(session),
                pool: self,
                _permit: permit,
            });
        }
    }

    /// True when another lane holds a session, so that waiting for one makes sense. Each lane that
    /// cannot open a session gives up its permit for good, so this ends.
    fn others_work(&self) -> bool {
        let open = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        open > 0 || Arc::strong_count(&self.permits) > 1 + 1
    }

    async fn join(&self) -> std::result::Result<Session, Failure> {
        let Some(snapshot) = &self.snapshot else {
            return Err(PgError::Misused {
                reason: "has one lane and lost it",
            }
            .into());
        };
        let session = Session::open(&self.settings).await?;
        session
            .begin_read(Some(snapshot), &self.settings.schema)
            .await?;
        Ok(session)
    }
}

impl Lanes {
    /// Waits for a session.
    pub(super) async fn lane(&self) -> std::result::Result<Lane, Failure> {
        match self {
            Lanes::Snapshot(pool) => Arc::clone(pool).lane().await,
            Lanes::Held(session, turn) => Ok(Lane::Held {
                session: Arc::clone(session),
                _turn: Arc::clone(turn).lock_owned().await,
            }),
        }
    }
}

impl Lane {
    pub(super) fn client(&self) -> Result<&Client> {
        match self {
            Lane::Pooled {
                session: Some(session),
                ..
            } => Ok(session.client()),
            Lane::Pooled { session: None, .. } => Err(PgError::Misused {
                reason: "used a lane twice",
            }),
            Lane::Held { session, .. } => Ok(session.client()),
        }
    }

    /// The copy begins: until `done`, dropping a pooled lane cuts its connection.
    pub(super) fn begin_copy(&self) {
        if let Lane::Pooled {
            session: Some(session),
            ..
        } = self
        {
            session.set_copying(true);
        }
    }

    /// The copy has been read to its end: the session can serve the next one.
    pub(super) fn done(mut self) {
        if let Lane::Pooled { session, pool, .. } = &mut self
            && let Some(session) = session.take()
        {
            session.set_copying(false);
            pool.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(session);
        }
    }
}
