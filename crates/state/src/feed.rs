//! The feed: the events of all runs in the order of their commits.
//!
//! Promise: a reader that goes on behind the place it was given misses no event and gets none twice. In a file there
//! is one writer at a time, which numbers the events. On a server an event has the number of its transaction, and is
//! in the feed when no older transaction is open: an open one could still add an event before it. So a long
//! transaction that writes, of any program on that server, holds the feed back. Read next: `journal.rs`.

use towpath_ports::{FeedEvent, FeedPiece, FeedPosition};
use towpath_vocab::{Environment, PipelineName, RunName};

use crate::error::StateError;
use crate::run_history::event;
use crate::tx::{Tx, cells};

/// A file has no statistics: without these words it would read all runs and all of their events.
pub(crate) const FROM_FILE: &str =
    "event INDEXED BY event_feed CROSS JOIN run ON run.id = event.run";
const FROM_SERVER: &str = "event JOIN run ON run.id = event.run";

/// The events behind a place.
pub(crate) fn statement(from: &str) -> String {
    format!(
        "SELECT event.feed, event.run, run.pipeline, run.number,
                event.seq, event.at_us, event.task, event.kind, event.body
         FROM {from}
         WHERE event.feed > 0 AND event.feed >= ?2 AND event.feed <= ?6
           AND (event.feed, event.run, event.seq) > (?2, ?3, ?4)
           AND run.environment = ?1
         ORDER BY event.feed, event.run, event.seq LIMIT ?5"
    )
}

/// The events behind a place, up to the end of the feed at this moment.
pub(crate) async fn after(
    tx: &Tx<'_>,
    environment: &Environment,
    after: FeedPosition,
    limit: u64,
) -> Result<FeedPiece, StateError> {
    // What comes later than this end is left to the next call, so that the whole of it was looked at.
    let end = end(tx).await?;
    let rows = tx
        .rows(
            &statement(tx.of_database(FROM_FILE, FROM_SERVER)),
            cells![
                environment.as_str(),
                after.transaction,
                after.run,
                after.seq,
                limit,
                end.transaction
            ],
        )
        .await?;
    let read = rows.iter().map(|row| {
        let event = event(row, 4)?;
        Ok(FeedEvent {
            position: FeedPosition {
                transaction: row.count(0)?,
                run: row.count(1)?,
                seq: event.seq,
            },
            run: RunName {
                pipeline: PipelineName::new(row.text(2)?),
                number: row.count(3)?,
            },
            event,
        })
    });
    let events = read.collect::<Result<Vec<_>, StateError>>()?;
    let position = match events.last() {
        Some(last) if events.len() as u64 >= limit => last.position,
        // Events of other environments are not looked at again.
        _ => end.max(after),
    };
    Ok(FeedPiece { events, position })
}

/// The place behind which later events come.
pub(crate) async fn end(tx: &Tx<'_>) -> Result<FeedPosition, StateError> {
    let last = tx.of_database(
        "SELECT coalesce(max(feed), 0) FROM event WHERE feed > 0",
        "SELECT base + txid_snapshot_xmin(txid_current_snapshot()) - 1 FROM feed_base",
    );
    let last = tx.one(last, &[]).await?;
    Ok(FeedPosition {
        transaction: last.map_or(Ok(0), |row| row.count(0))?,
        run: i64::MAX.unsigned_abs(),
        seq: i64::MAX.unsigned_abs(),
    })
}
