//! The writer thread: it owns the writing connection and commits all waiting changes together.
//!
//! Promise: a caller gets the result of its change only after the change is durable. A change that fails
//! leaves nothing behind and does not affect those committed with it. Changes are applied in the order in
//! which they came. It does not know what a change means. Read next: `../tx.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use towpath_vocab::Failure;

use crate::clock::StoreClock;
use crate::error::{Place, StateError};
use crate::tx::{Operation, Tx, Wire};

/// The most changes in one commit.
const GROUP: usize = 256;

/// Sends the result to a caller; the argument is the failure of the whole group, if there was one.
type Reply = Box<dyn FnOnce(Option<Failure>) + Send>;

/// A change: runs in the open transaction, and returns the failure for which it must be undone, if there is
/// one.
type Change = Box<dyn FnOnce(Result<&Tx<'_>, Failure>) -> (Option<Failure>, Reply) + Send>;

/// The handle of the writer thread. Dropping it waits until all changes are durable.
pub(crate) struct Writer {
    changes: Option<mpsc::Sender<Change>>,
    thread: Option<JoinHandle<()>>,
    place: Arc<Place>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        connection: Connection,
        place: Arc<Place>,
        clock: StoreClock,
    ) -> Result<Self, StateError> {
        let (sender, receiver) = mpsc::channel(GROUP * 4);
        let thread = std::thread::Builder::new().name("towpath-state".to_owned());
        let owned = Arc::clone(&place);
        let thread = thread.spawn(move || write_all(connection, &owned, &clock, receiver))?;
        Ok(Self {
            changes: Some(sender),
            thread: Some(thread),
            place,
        })
    }

    /// Applies one change and waits until it is durable. A change that fails is undone.
    pub(crate) async fn write<T, F>(&self, operation: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Operation<T>,
    {
        let (sender, receiver) = oneshot::channel();
        let place = Arc::clone(&self.place);
        let change: Change = Box::new(move |tx| {
            let result = tx.and_then(|tx| {
                futures::executor::block_on(operation(tx))
                    .map_err(|error| error.into_failure(&place))
            });
            let refusal = result.as_ref().err().cloned();
            let reply: Reply = Box::new(move |group_failure| {
                // A caller that is gone needs no result.
                let _ = sender.send(match group_failure {
                    Some(failure) if result.is_ok() => Err(failure),
                    _ => result,
                });
            });
            (refusal, reply)
        });
        let stopped = || StateError::Stopped.into_failure(&self.place);
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
            tracing::error!(store = %self.place, "the writer of the state store panicked");
        }
    }
}

fn write_all(
    connection: Connection,
    place: &Place,
    clock: &StoreClock,
    mut changes: mpsc::Receiver<Change>,
) {
    let connection = Mutex::new(connection);
    while let Some(first) = changes.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = changes.try_recv()
        {
            group.push(next);
        }
        for (reply, failure) in write_group(&connection, place, clock, group) {
            reply(failure);
        }
    }
}

/// Applies a group of changes in one transaction; returns the reply of each change with the failure of the
/// group.
fn write_group(
    connection: &Mutex<Connection>,
    place: &Place,
    clock: &StoreClock,
    group: Vec<Change>,
) -> Vec<(Reply, Option<Failure>)> {
    let batch = |sql: &str| {
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let done = connection.execute_batch(sql);
        done.map_err(|error| StateError::Sqlite(error).into_failure(place))
    };
    let is_undone = || {
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.is_autocommit()
    };
    if let Err(failure) = batch("BEGIN IMMEDIATE") {
        let refused = group.into_iter();
        return refused
            .map(|change| (change(Err(failure.clone())).1, None))
            .collect();
    }
    let tx = Tx::new(Wire::Sqlite(connection), clock.now_us());
    let mut replies = Vec::with_capacity(group.len());
    let mut lost: Option<Failure> = None;
    for change in group {
        let ready = match &lost {
            Some(failure) => Err(failure.clone()),
            None => batch("SAVEPOINT change"),
        };
        let opened = ready.is_ok();
        let (refusal, reply) = change(ready.map(|()| &tx));
        replies.push(reply);
        if !opened {
            continue;
        }
        // A full disk or an I/O error can make SQLite undo the whole transaction by itself.
        lost = match refusal {
            Some(failure) if is_undone() => Some(failure),
            Some(_) => batch("ROLLBACK TO change; RELEASE change").err(),
            None => batch("RELEASE change").err(),
        };
    }
    fail::fail_point!("state::before_commit");
    if lost.is_none()
        && let Err(failure) = batch("COMMIT")
    {
        lost = Some(failure);
    }
    if lost.is_some() && !is_undone() {
        // Nothing was stored; the failure that led here is reported.
        let _ = batch("ROLLBACK");
    }
    fail::fail_point!("state::after_commit");
    replies
        .into_iter()
        .map(|reply| (reply, lost.clone()))
        .collect()
}
