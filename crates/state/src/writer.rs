//! One thread owns the connection that writes; everything waiting is committed together.
//!
//! Promise: a caller hears of its change only after it is durable; a change that fails leaves no
//! trace and does not disturb the ones committed with it; changes are applied in the order they
//! were handed in. It knows nothing of what a change is.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use towpath_vocab::Failure;

use crate::error::StateError;

/// At most this many changes share a commit.
const GROUP: usize = 256;

/// Tells a caller how it ended; the argument is the failure of the whole group, if there was one.
type Reply = Box<dyn FnOnce(Option<Failure>) + Send>;

/// A change: given the open transaction it says why its effects are not kept, if they are not.
type Change = Box<dyn FnOnce(Result<&Connection, Failure>) -> (Option<Failure>, Reply) + Send>;

/// The door to the writing thread. Dropping it waits until everything handed in is durable.
pub(crate) struct Writer {
    changes: Option<mpsc::Sender<Change>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(connection: Connection, path: &Path) -> Result<Self, StateError> {
        let (sender, receiver) = mpsc::channel(GROUP * 4);
        let owned = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("towpath-state store".to_owned())
            .spawn(move || write_all(connection, &owned, receiver))?;
        Ok(Self {
            changes: Some(sender),
            thread: Some(thread),
            path: path.to_owned(),
        })
    }

    /// Applies one change and waits until it is durable. A change that gives an error is undone.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StateError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let path = self.path.clone();
        let change: Change = Box::new(move |connection| {
            let result =
                connection.and_then(|c| work(c).map_err(|error| error.into_failure(&path)));
            let refusal = result.as_ref().err().cloned();
            let reply: Reply = Box::new(move |group_failure| {
                // A caller that went away does not want to know.
                let _ = sender.send(match group_failure {
                    Some(failure) if result.is_ok() => Err(failure),
                    _ => result,
                });
            });
            (refusal, reply)
        });
        let stopped = || StateError::Stopped.into_failure(&self.path);
        let Some(changes) = &self.changes else {
            return Err(stopped());
        };
        changes.send(change).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the writer of the state file panicked");
        }
    }
}

fn write_all(mut connection: Connection, path: &Path, mut changes: mpsc::Receiver<Change>) {
    while let Some(first) = changes.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = changes.try_recv()
        {
            group.push(next);
        }
        for (reply, failure) in write_group(&mut connection, path, group) {
            reply(failure);
        }
    }
}

/// Applies a group in one transaction; gives each member's reply with the failure of the group.
fn write_group(
    connection: &mut Connection,
    path: &Path,
    group: Vec<Change>,
) -> Vec<(Reply, Option<Failure>)> {
    let failed = |error: rusqlite::Error| StateError::Sqlite(error).into_failure(path);
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            let failure = failed(error);
            return group
                .into_iter()
                .map(|change| (change(Err(failure.clone())).1, None))
                .collect();
        }
    };
    let mut replies = Vec::with_capacity(group.len());
    let mut lost: Option<Failure> = None;
    for change in group {
        let ready = match &lost {
            Some(failure) => Err(failure.clone()),
            None => transaction
                .execute_batch("SAVEPOINT change")
                .map_err(failed),
        };
        let opened = ready.is_ok();
        let (refusal, reply) = change(ready.map(|()| &*transaction));
        replies.push(reply);
        if !opened {
            continue;
        }
        // A full disk or an I/O error can make SQLite undo the whole transaction by itself.
        lost = match refusal {
            Some(failure) if transaction.is_autocommit() => Some(failure),
            Some(_) => transaction
                .execute_batch("ROLLBACK TO change; RELEASE change")
                .map_err(failed)
                .err(),
            None => transaction
                .execute_batch("RELEASE change")
                .map_err(failed)
                .err(),
        };
    }
    fail::fail_point!("state::before_commit");
    if lost.is_none()
        && let Err(error) = transaction.commit()
    {
        lost = Some(failed(error));
    }
    fail::fail_point!("state::after_commit");
    replies
        .into_iter()
        .map(|reply| (reply, lost.clone()))
        .collect()
}
