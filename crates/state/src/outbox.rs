//! Events that wait for their subscribers.
//!
//! Promise: an event is put into the outbox of every subscriber that exists when the event is written and
//! gets events of its kind, in the same transaction. It stays there until it is removed, so it is delivered at least once. Nothing is
//! sent here. Who sends is a duty, which one process has at a time, by the clock of the store. Read next: `journal.rs`, which fills the outbox.

use towpath_ports::{OutboxEvent, Subscription};
use towpath_vocab::{Environment, PipelineName, RunName};

use crate::error::StateError;
use crate::run_history::event;
use crate::tx::{Tx, cells};

/// Creates the outbox of a subscriber, which gets the later events that it asks for. One that exists keeps what
/// waits, and is in use from now on.
pub(crate) async fn subscribe(tx: &Tx<'_>, subscription: &Subscription) -> Result<(), StateError> {
    let words: Vec<&str> = subscription
        .kinds
        .iter()
        .map(|kind| kind.as_str())
        .collect();
    // Each word is between commas, so that none is found in another.
    let kinds = (!words.is_empty()).then(|| format!(",{},", words.join(",")));
    let environment = subscription.environment.as_ref();
    tx.execute(
        "INSERT INTO subscriber (name, since_us, kinds, environment, used_us) VALUES (?1, ?2, ?3, ?4, ?2)
         ON CONFLICT (name) DO UPDATE
         SET kinds = excluded.kinds, environment = excluded.environment, used_us = excluded.used_us",
        cells![
            subscription.name.as_str(),
            tx.now_us,
            kinds.as_deref(),
            environment.map(Environment::as_str)
        ],
    )
    .await?;
    Ok(())
}

/// Removes the subscribers whose names begin so and that nobody has used for so long, with what waits for them.
pub(crate) async fn forget(tx: &Tx<'_>, begin: &str, unused_us: i64) -> Result<(), StateError> {
    let before_us = tx.now_us.saturating_sub(unused_us);
    let unused = "SELECT name FROM subscriber WHERE used_us < ?1";
    for row in tx.rows(unused, cells![before_us]).await? {
        let name = row.text(0)?;
        if name.starts_with(begin) {
            tx.execute("DELETE FROM subscriber WHERE name = ?1", cells![name])
                .await?;
        }
    }
    Ok(())
}

/// How many events wait for each subscriber.
pub(crate) async fn counts(tx: &Tx<'_>) -> Result<Vec<(String, u64)>, StateError> {
    let sql = "SELECT subscriber, CAST(count(*) AS BIGINT) FROM outbox GROUP BY subscriber";
    let rows = tx.rows(sql, cells![]).await?;
    rows.iter()
        .map(|row| Ok((row.text(0)?.to_owned(), row.count(1)?)))
        .collect()
}

/// Takes or renews a duty. False while another holder has it.
pub(crate) async fn take_duty(
    tx: &Tx<'_>,
    name: &str,
    holder: &str,
    for_us: i64,
) -> Result<bool, StateError> {
    let taken = tx
        .execute(
            "INSERT INTO duty (name, holder, until_us) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_us = excluded.until_us
             WHERE duty.holder = excluded.holder OR duty.until_us <= ?4",
            cells![name, holder, tx.now_us.saturating_add(for_us), tx.now_us],
        )
        .await?;
    Ok(taken == 1)
}

/// Gives a duty back, so that another holder need not wait.
pub(crate) async fn leave_duty(tx: &Tx<'_>, name: &str, holder: &str) -> Result<(), StateError> {
    tx.execute(
        "DELETE FROM duty WHERE name = ?1 AND holder = ?2",
        cells![name, holder],
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
