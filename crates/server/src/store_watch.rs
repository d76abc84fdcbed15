//! Whether the state store answers, and where the feed of events ends: asked once for all clients.
//!
//! Promise: however many ask, the state store is asked at most once in an interval, and nobody waits longer than the
//! time limit. It says nothing about why the store does not answer: the log does. Read next: `events.rs`, `gate.rs`.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use towpath_ports::{FeedPosition, StateStore};

/// How old an answer may be for those who follow the events.
pub(crate) const FEED_AGE: Duration = Duration::from_millis(250);

/// How old an answer may be for those who ask for the health.
const HEALTH_AGE: Duration = Duration::from_secs(1);

/// How long the store may take.
const LIMIT: Duration = Duration::from_secs(2);

/// The last answer, and when it came; nothing in it if the store did not answer.
#[derive(Default)]
pub(crate) struct StoreWatch(Mutex<Option<(Instant, Option<FeedPosition>)>>);

impl StoreWatch {
    /// The end of the feed, which may be as old as `FEED_AGE`; nothing if the store does not answer.
    pub(crate) async fn feed_end(&self, store: &dyn StateStore) -> Option<FeedPosition> {
        self.ask(store, FEED_AGE).await
    }

    /// Whether the store answers.
    pub(crate) async fn is_well(&self, store: &dyn StateStore) -> bool {
        self.ask(store, HEALTH_AGE).await.is_some()
    }

    async fn ask(&self, store: &dyn StateStore, age: Duration) -> Option<FeedPosition> {
        // Those who ask meanwhile wait for this answer.
        let mut last = self.0.lock().await;
        if let Some((at, found)) = *last
            && at.elapsed() < age
        {
            return found;
        }
        let found = match tokio::time::timeout(LIMIT, store.api().feed_end()).await {
            Ok(Ok(end)) => Some(end),
            Ok(Err(failure)) => {
                tracing::warn!(%failure, "the state store does not answer");
                None
            }
            Err(_) => {
                tracing::warn!("the state store has not answered in time");
                None
            }
        };
        *last = Some((Instant::now(), found));
        found
    }
}
