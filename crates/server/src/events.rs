//! `GET /events`: the events of all runs as server-sent events.
//!
//! Promise: a client that asks again with the `id` of the last event it got misses none. A stream ends when the
//! token or the session of its client does, and when the server ends. The feed itself, and its order, are the state
//! store's (`ports::ApiStore`). Read next: `crates/state/src/feed.rs`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{Stream, unfold};
use tokio::sync::OwnedSemaphorePermit;
use towpath_app::{LiveProject, valid_token};
use towpath_ports::{FeedEvent, FeedPosition};
use towpath_vocab::{Environment, Failure, Remedy};

use crate::answers::{Answer, Api, Call, Caller, wrong_parameter};
use crate::session::no_store;
use crate::store_watch::FEED_AGE;

/// How often it is looked whether the token is still valid while nothing happens.
const IDLE_TOKEN_INTERVAL: Duration = Duration::from_secs(2);

/// How old a look at the token may be when an event is sent.
const TOKEN_AGE: Duration = Duration::from_millis(500);

/// The most events that are read at once.
const PIECE: u64 = 500;

/// One client.
struct Follower {
    api: Arc<Api>,
    environment: Environment,
    pipeline: Option<String>,
    position: FeedPosition,
    waiting: VecDeque<FeedEvent>,
    caller: Option<Caller>,
    looked: Instant,
    /// True if the place from which the client wants to go on is beyond the end of the feed.
    has_gap: bool,
    _permit: OwnedSemaphorePermit,
}

pub(crate) async fn follow(call: Call) -> Answer {
    let permit = Arc::clone(&call.api.streams).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Failure::new("R1113", Remedy::Retry, "too many clients follow the events")
            .help("ask again when one of them has ended")
    })?;
    let project: &LiveProject = &call.api.project;
    let end = call.api.watch.feed_end(project.services().store.as_ref());
    let end = end.await.ok_or_else(no_store)?;
    let wanted = match call.headers.get("last-event-id") {
        None => end,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            id.ok_or_else(|| wrong_parameter("`Last-Event-ID` is the id of an event"))?
        }
    };
    // A state store that was restored from a copy counts from an earlier place.
    let has_gap = wanted.transaction > end.transaction && wanted > next_end(&call).await?;
    let position = if has_gap { end } else { wanted };
    let follower = Follower {
        environment: project.plan().environment.clone(),
        pipeline: call.parameter("pipeline").map(str::to_owned),
        position,
        waiting: VecDeque::new(),
        caller: call.caller,
        looked: Instant::now(),
        has_gap,
        _permit: permit,
        api: call.api,
    };
    let keep = KeepAlive::new().interval(Duration::from_secs(10));
    Ok(Sse::new(stream(follower)).keep_alive(keep).into_response())
}

/// The end of the feed as it is now: the one of the watch may be older than the event that a client has.
async fn next_end(call: &Call) -> Result<FeedPosition, Failure> {
    call.api.project.services().store.api().feed_end().await
}

/// The first message says where the stream begins, so that also a client that got no event can go on there,
/// and whether something may be missing before it.
fn stream(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let begin = Event::default()
        .id(follower.position.to_string())
        .event("begin")
        .data(match follower.has_gap {
            true => "{\"gap\":true}",
            false => "{}",
        });
    let begin = futures::stream::iter([Ok(begin)]);
    let rest = unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    futures::StreamExt::chain(begin, rest)
}

impl Follower {
    /// The next event; nothing when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let age = match self.waiting.is_empty() {
                true => IDLE_TOKEN_INTERVAL,
                false => TOKEN_AGE,
            };
            if self.looked.elapsed() >= age {
                self.looked = Instant::now();
                if !self.is_valid().await {
                    return None;
                }
            }
            if let Some(event) = self.waiting.pop_front() {
                let text = serde_json::to_string(&event).ok()?;
                return Some(Event::default().id(event.position.to_string()).data(text));
            }
            let api = Arc::clone(&self.api);
            tokio::select! {
                () = api.stop.cancelled() => return None,
                // The client asks again behind its last event when the store answers.
                read = self.read() => read?,
            }
        }
    }

    /// Reads what is new, or waits for a moment; nothing if the store does not answer.
    async fn read(&mut self) -> Option<()> {
        let store = self.api.project.services().store.as_ref();
        if self.api.watch.feed_end(store).await? <= self.position {
            tokio::time::sleep(FEED_AGE).await;
            return Some(());
        }
        let found = store.api().feed(&self.environment, self.position, PIECE);
        let found = found.await.ok()?;
        let is_all = found.events.is_empty();
        self.position = found.position;
        let wanted = |one: &FeedEvent| {
            let pipeline = self.pipeline.as_deref();
            pipeline.is_none_or(|pipeline| one.run.pipeline.as_str() == pipeline)
        };
        self.waiting = found.events.into_iter().filter(wanted).collect();
        if is_all {
            tokio::time::sleep(FEED_AGE).await;
        }
        Some(())
    }

    async fn is_valid(&self) -> bool {
        let Some(caller) = &self.caller else {
            return true;
        };
        let services = self.api.project.services();
        if let Some(session) = &caller.session
            && !self.api.sessions.is_open(services, session)
        {
            return false;
        }
        let found = valid_token(services, &self.environment, &caller.token.id).await;
        matches!(found, Ok(Some(_)))
    }
}
