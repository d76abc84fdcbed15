//! The lock of a task: of two attempts, one commits and the other waits.
//!
//! Promise: it outlives a commit, because MySQL commits by itself before it creates a table. A server gives it up
//! within about a minute after its client is gone without a word; a client that is there says so all the time
//! (`Awake`). Only while a check reads through the session, nobody can say so: then the server waits for hours, however
//! slow the check is. It knows no rows. Read next: `writer.rs`, `pump.rs`.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use towpath_vocab::TaskKey;

use super::error::{MysqlError, Result};
use super::session::Session;
use super::sql::Writing;
use crate::relational::session::{Session as _, Value};

/// How long one attempt waits for another one of the same task, in seconds.
const WAIT_SECONDS: u32 = 600;
/// What a session sets before it takes a lock: the server ends it when it hears nothing for so long.
const NOTICE_DEATH: &str = "SET SESSION wait_timeout = 60, net_read_timeout = 60";
/// What it sets before a check reads: a slow one leaves the server without a word for longer.
const NOTICE_NOTHING: &str = "SET SESSION wait_timeout = 28800";
/// How often a session that holds a lock says that it is there.
const PING_EVERY: Duration = Duration::from_secs(15);

/// The name of a task's lock: at most 64 characters, and of the whole server.
fn name(writing: &Writing, task: &TaskKey) -> String {
    let mut hash = Sha256::new();
    hash.update(writing.target.database.as_bytes());
    hash.update([0]);
    hash.update(task.app_id().as_bytes());
    let digest = hash.finalize();
    let digits = digest.iter().take(20).map(|byte| format!("{byte:02x}"));
    format!("towpath:{}", digits.collect::<String>())
}

/// Waits until no other session is in the middle of a commit of this task.
pub(super) async fn lock(writing: &Writing, task: &TaskKey) -> Result<()> {
    let doing = "waiting for another attempt of this task";
    writing.execute(NOTICE_DEATH, &[], doing).await?;
    let params = [Value::Text(name(writing, task))];
    let sql = format!("SELECT GET_LOCK(?, {WAIT_SECONDS})");
    let rows = writing.rows(&sql, &params, doing).await?;
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Int(1)) => Ok(()),
        _ => Err(MysqlError::Passing {
            doing: doing.to_owned(),
            reason: format!("it did not end within {WAIT_SECONDS} seconds"),
        }),
    }
}

/// A check begins to read through a session that holds a lock.
pub(super) async fn be_patient(session: &mut Session) -> Result<()> {
    session.run(NOTICE_NOTHING, "beginning a check").await
}

/// A check has read, and whoever is there can say so again.
pub(super) async fn be_alert(session: &mut Session) -> Result<()> {
    session.run(NOTICE_DEATH, "ending a check").await
}

/// Lets others go on after a commit. Where this fails, the lock ends with the session.
pub(super) async fn release(writing: &Writing, task: &TaskKey) {
    let params = [Value::Text(name(writing, task))];
    let sql = "SELECT RELEASE_LOCK(?)";
    let _ = writing.rows(sql, &params, "releasing a lock").await;
}

/// Says to the server that the client is there, until it is dropped.
pub(super) struct Awake(JoinHandle<()>);

impl Awake {
    pub(super) fn keep(session: &Arc<Mutex<Session>>) -> Self {
        let session = Arc::downgrade(session);
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(PING_EVERY).await;
                let Some(session) = session.upgrade() else {
                    return;
                };
                // Whoever has the session speaks to the server.
                let Ok(mut session) = session.try_lock() else {
                    continue;
                };
                if session.ping().await.is_err() {
                    return;
                }
            }
        }))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.abort();
    }
}
