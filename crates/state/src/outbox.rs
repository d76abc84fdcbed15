//! Events that wait for their subscribers.
//!
//! Promise: an event is put into the outbox of every subscriber that exists when the event is written, in
//! the same transaction. It stays there until it is removed, so it is delivered at least once. Nothing is
//! sent here. Read next: `journal.rs`, which fills the outbox.

use towpath_ports::OutboxEvent;
use towpath_vocab::{Environment, PipelineName, RunName};

use crate::error::StateError;
use crate::run_history::event;
use crate::tx::{Tx, cells};

/// Creates the outbox of a subscriber, which gets every later event.
pub(crate) async fn subscribe(tx: &Tx<'_>, subscriber: &str) -> Result<(), StateError> {
    tx.execute(
        "INSERT INTO subscriber (name, since_us) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
        cells![subscriber, tx.now_us],
    )
    .await?;
    Ok(())
}

/// The events that wait for a subscriber, oldest first.
pub(crate) async fn waiting(
    tx: &Tx<'_>,
    subscriber: &str,
    limit: u64,
) -> Result<Vec<OutboxEvent>, StateError> {
    let rows = tx
        .rows(
            "SELECT outbox.id, run.pipeline, run.number, run.environment,
                    event.seq, event.at_us, event.task, event.kind, event.body
             FROM outbox JOIN run ON run.id = outbox.run
                  JOIN event ON event.run = outbox.run AND event.seq = outbox.seq
             WHERE outbox.subscriber = ?1 ORDER BY outbox.id LIMIT ?2",
            cells![subscriber, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(OutboxEvent {
                id: row.count(0)?,
                run: RunName {
                    pipeline: PipelineName::new(row.text(1)?),
                    number: row.count(2)?,
                },
                environment: Environment::new(row.text(3)?),
                event: event(row, 4)?,
            })
        })
        .collect()
}

/// Removes delivered events, each by its number, because an event with a smaller number may appear later.
pub(crate) async fn delivered(
    tx: &Tx<'_>,
    subscriber: &str,
    ids: &[u64],
) -> Result<(), StateError> {
    for id in ids {
        tx.execute(
            "DELETE FROM outbox WHERE subscriber = ?1 AND id = ?2",
            cells![subscriber, *id],
        )
        .await?;
    }
    Ok(())
}
