//! Sessions that see one moment of a table: all of them begin while nobody can change it.
//!
//! Promise: every session sees exactly the same rows of the table, or there is only the first one, and a reason.
//! The lock (`LOCK TABLES … READ`) is held for two round trips; whoever changes the table waits for it, at
//! most `LOCK_SECONDS` while it is not free yet. That the lock holds, and that all sessions are of one server, is
//! asked and not believed: poolers and servers that only speak the protocol accept both without doing either.
//! It knows no rows. Read next: `docs/decisions/0022-ranges.md`, `pump.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::catalog::CatalogTable;
use super::error::{MysqlError, Result};
use super::literal::text;
use super::session::Session;
use super::settings::Settings;
use crate::relational::random;

const DOING: &str = "opening connections that see one moment";
/// So many seconds others wait at most for a lock that is not free.
const LOCK_SECONDS: u32 = 1;
/// The lock is given up when the sessions have not begun by then.
const HOLD: Duration = Duration::from_secs(5);

/// Sessions on one moment, each of which reads one piece at a time.
pub(super) struct Lanes {
    idle: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
}

/// A session for one piece.
pub(super) struct Lane {
    pub(super) session: Session,
    lanes: Arc<Lanes>,
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    pub(super) fn of(sessions: Vec<Session>) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(sessions.len())),
            idle: Mutex::new(sessions),
        })
    }

    /// Waits for a session. One that broke is not replaced: another one would see another moment.
    pub(super) async fn lane(self: Arc<Self>) -> Result<Lane> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| MysqlError::Misused {
            reason: "was asked to read after its read had ended",
        })?;
        let session = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Ok(Lane {
            session: session.ok_or_else(|| MysqlError::Lost {
                doing: "reading beside a connection that broke".to_owned(),
            })?,
            lanes: self,
            _permit: permit,
        })
    }
}

impl Lane {
    /// All rows of a piece were taken: the session can read the next one.
    pub(super) fn done(self) {
        let idle = self.lanes.idle.lock();
        idle.unwrap_or_else(PoisonError::into_inner)
            .push(self.session);
    }
}

/// What became of the wish for several sessions.
pub(super) enum Together {
    /// These see what the first one sees now.
    Joined(Vec<Session>),
    /// There is only the first one, in its own transaction as before, and why.
    Alone(String),
}

/// Opens up to `more` sessions beside `first`, which is in a reading transaction, and brings all of them to one
/// moment of a table in InnoDB.
pub(super) async fn together(
    settings: &Settings,
    first: &mut Session,
    table: &CatalogTable,
    more: usize,
) -> Result<Together> {
    let opened = join_all((0..=more).map(|_| Session::open(settings))).await;
    let (mut sessions, mut why) = (Vec::with_capacity(opened.len()), String::new());
    for session in opened {
        match session {
            Ok(session) => sessions.push(session),
            // The first one was let in, so the server has no room for more: go on with those there are.
            Err(failure) => why = failure.message,
        }
    }
    let (Some(mut holder), false) = (sessions.pop(), sessions.is_empty()) else {
        return Ok(Together::Alone(why));
    };
    match begin(&mut holder, first, &mut sessions, table).await {
        Ok(None) => Ok(Together::Joined(sessions)),
        Ok(Some(reason)) => Ok(Together::Alone(reason)),
        Err(error) => Err(error),
    }
}

/// Locks the table, begins all transactions, and lets go. The reason where that cannot be.
async fn begin(
    holder: &mut Session,
    first: &mut Session,
    others: &mut [Session],
    table: &CatalogTable,
) -> Result<Option<String>> {
    try_join_all(others.iter_mut().map(Session::isolate)).await?;
    let mut all: Vec<&mut Session> = std::iter::once(first).chain(others).collect();
    let marks = match mark(&mut all).await {
        Ok(marks) => marks,
        Err(error) => return alone(error, "the server has no named locks"),
    };
    match are_marked(holder, &marks).await {
        Ok(true) => {}
        Ok(false) => return Ok(Some("its connections end at several servers".to_owned())),
        Err(error) => return alone(error, "the server has no named locks"),
    }
    // Rows come from another server there, by no way that a lock could close.
    match holder.rows("SELECT @@innodb_read_only", DOING).await {
        Ok(rows) if rows == [[Some("0".to_owned())]] => {}
        Ok(_) => return Ok(Some("InnoDB is read-only on this server".to_owned())),
        Err(error) => return alone(error, "the server does not say whether it is read-only"),
    }
    if let Some(reason) = lock(holder, table).await? {
        return Ok(Some(reason));
    }
    let began = tokio::time::timeout(HOLD, async {
        try_join_all(all.into_iter().map(Session::start_read)).await?;
        is_locked(holder, table).await
    });
    match began.await {
        Ok(Ok(true)) => {}
        Ok(Err(error)) => return Err(error),
        Ok(Ok(false)) | Err(_) => {
            return Err(MysqlError::Passing {
                doing: DOING.to_owned(),
                reason: "the table was not locked for long enough".to_owned(),
            });
        }
    }
    holder.run("UNLOCK TABLES", DOING).await?;
    Ok(None)
}

/// Keeps others from changing the table, and waits until nobody is in the middle of that; the reason where it
/// cannot be.
async fn lock(holder: &mut Session, table: &CatalogTable) -> Result<Option<String>> {
    // With `autocommit = 0` InnoDB locks the table too: against rows that a foreign key changes, and against
    // transactions that were prepared before the server started. A client that is gone is noticed soon.
    let patience = format!(
        "SET SESSION autocommit = 0, innodb_table_locks = 1, lock_wait_timeout = {LOCK_SECONDS}, \
         innodb_lock_wait_timeout = {LOCK_SECONDS}, wait_timeout = 10"
    );
    if let Err(error) = holder.run(&patience, DOING).await {
        return alone(error, "its user may not set how long a lock is waited for");
    }
    let lock = format!("LOCK TABLES {} READ", table.sql());
    match holder.run(&lock, DOING).await {
        Ok(()) => {}
        Err(MysqlError::NoRight { .. }) => {
            return Ok(Some(format!(
                "its user may not lock it for the moment in which they begin (`GRANT LOCK TABLES ON {}.* TO …`)",
                table.database
            )));
        }
        Err(MysqlError::Waited { .. } | MysqlError::Passing { .. }) => {
            return Ok(Some(format!(
                "a transaction of others that changed it was open for more than {LOCK_SECONDS} s"
            )));
        }
        Err(error) => return alone(error, "the server refuses `LOCK TABLES`"),
    }
    Ok(match is_locked(holder, table).await? {
        true => None,
        false => Some("the server ignores `LOCK TABLES`".to_owned()),
    })
}

/// One connection is enough where the server does not want to do this; a broken one is a failure.
fn alone(error: MysqlError, reason: &str) -> Result<Option<String>> {
    match error {
        MysqlError::Lost { .. } | MysqlError::Protocol { .. } => Err(error),
        _ => Ok(Some(reason.to_owned())),
    }
}

/// Gives each session a lock of a name that nobody else has.
async fn mark(sessions: &mut [&mut Session]) -> Result<Vec<String>> {
    let marked = sessions.iter_mut().map(|session| async move {
        let digits = random::digits().ok_or(MysqlError::Misused {
            reason: "gets no random numbers from this machine",
        })?;
        let name = text(&format!("towpath:{digits}"));
        session
            .rows(&format!("SELECT GET_LOCK({name}, 0)"), DOING)
            .await?;
        Ok::<_, MysqlError>(name)
    });
    try_join_all(marked).await
}

/// Whether the server of this session knows all of them.
async fn are_marked(session: &mut Session, marks: &[String]) -> Result<bool> {
    let known = marks
        .iter()
        .map(|name| format!("IS_USED_LOCK({name}) IS NOT NULL"));
    let sql = format!("SELECT {}", known.collect::<Vec<_>>().join(" AND "));
    let rows = session.rows(&sql, DOING).await?;
    Ok(rows == [[Some("1".to_owned())]])
}

/// A session that has locked a table may not read it by another name: the server says so (1100).
async fn is_locked(session: &mut Session, table: &CatalogTable) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM {} AS towpath_not_locked LIMIT 0",
        table.sql()
    );
    match session.rows(&sql, DOING).await {
        Err(MysqlError::Server { code: 1100, .. }) => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Err(error),
    }
}
