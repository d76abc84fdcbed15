//! Writes the events of a run while the row of the run is locked.
//!
//! Promise: the events of a run are numbered without a gap, in the order of the changes, and are committed
//! with these changes. The outbox of every subscriber gets the same events in the same transaction. It does
//! not know what an event means. Read next: `tasks.rs`.

use serde_json::Value;
use towpath_ports::{RunEventKind, RunStop};
use towpath_vocab::{Environment, RunName};

use crate::codec::{maybe_json, to_column};
use crate::error::StateError;
use crate::tx::{Tx, cells};

/// A run whose row this transaction has locked.
pub(crate) struct Journal {
    pub(crate) id: i64,
    pub(crate) state: String,
    pub(crate) worker: String,
    pub(crate) graph_hash: String,
    pub(crate) parallel: u64,
    /// The request that the run stops.
    pub(crate) stop: Option<RunStop>,
    /// The number of the last event before this transaction.
    pub(crate) began: u64,
    /// The number of the last event now.
    pub(crate) seq: u64,
}

const LOCKED: &str =
    "SELECT id, state, worker, graph_hash, parallel, last_seq, stop FROM run WHERE ";

/// Gives an event the next place in the feed: a file has one writer at a time.
const ADD_TO_FILE: &str = "INSERT INTO event (run, seq, at_us, task, kind, body, feed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6,
            (SELECT coalesce(max(feed), 0) + 1 FROM event INDEXED BY event_feed WHERE feed > 0))";

/// On a server the place is the number of the transaction, above the base of this server.
const ADD_TO_SERVER: &str = "INSERT INTO event (run, seq, at_us, task, kind, body, feed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT base FROM feed_base) + txid_current())";

impl Journal {
    /// Locks a run, by its name.
    pub(crate) async fn of(
        tx: &Tx<'_>,
        name: &RunName,
        environment: &Environment,
    ) -> Result<Option<Self>, StateError> {
        let lock = tx.only_on_server("FOR UPDATE");
        let sql = format!("{LOCKED} pipeline = ?1 AND environment = ?2 AND number = ?3 {lock}");
        let values = cells![name.pipeline.as_str(), environment.as_str(), name.number];
        let found = tx.one(&sql, values).await?;
        found.map(|row| Self::read(&row)).transpose()
    }

    /// Locks a run, by its row id.
    pub(crate) async fn of_row(tx: &Tx<'_>, id: i64) -> Result<Self, StateError> {
        let lock = tx.only_on_server("FOR UPDATE");
        let found = tx
            .one(&format!("{LOCKED} id = ?1 {lock}"), cells![id])
            .await?;
        match found {
            Some(row) => Self::read(&row),
            None => Err(StateError::Stored {
                what: "run",
                detail: format!("row {id} is missing"),
            }),
        }
    }

    fn read(row: &crate::tx::Row) -> Result<Self, StateError> {
        let seq = row.count(5)?;
        Ok(Self {
            id: row.int(0)?,
            state: row.text(1)?.to_owned(),
            worker: row.text(2)?.to_owned(),
            graph_hash: row.text(3)?.to_owned(),
            parallel: row.count(4)?,
            stop: maybe_json("request to stop", row, 6)?,
            began: seq,
            seq,
        })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// Adds one event.
    pub(crate) async fn add(
        &mut self,
        tx: &Tx<'_>,
        at_us: i64,
        task: Option<&str>,
        kind: RunEventKind,
        body: &Value,
    ) -> Result<(), StateError> {
        self.seq += 1;
        tx.execute(
            tx.of_database(ADD_TO_FILE, ADD_TO_SERVER),
            cells![
                self.id,
                self.seq,
                at_us,
                task,
                kind.as_str(),
                to_column("event", body)?
            ],
        )
        .await?;
        Ok(())
    }

    /// Stores the number of the last event, and adds the new events to the outbox of every subscriber.
    pub(crate) async fn finish(&self, tx: &Tx<'_>) -> Result<(), StateError> {
        if self.seq == self.began {
            return Ok(());
        }
        tx.execute(
            "UPDATE run SET last_seq = ?2 WHERE id = ?1",
            cells![self.id, self.seq],
        )
        .await?;
        tx.execute(
            "INSERT INTO outbox (subscriber, run, seq)
             SELECT subscriber.name, event.run, event.seq
             FROM event JOIN run ON run.id = event.run CROSS JOIN subscriber
             WHERE event.run = ?1 AND event.seq > ?2
               AND (subscriber.environment IS NULL OR subscriber.environment = run.environment)
               AND (subscriber.kinds IS NULL OR subscriber.kinds LIKE '%,' || event.kind || ',%')
             ORDER BY event.seq",
            cells![self.id, self.began],
        )
        .await?;
        Ok(())
    }
}
