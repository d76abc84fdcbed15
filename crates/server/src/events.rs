//! `GET /events`: the events of all runs as server-sent events.
//!
//! Promise: a client that asks again with the `id` of the last event it got misses none. A stream ends when the
//! token of its client is revoked, and when the server ends. The feed itself, and its order, are the state
//! store's (`ports::ApiStore`). Read next: `crates/state/src/feed.rs`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{Stream, unfold};
use tokio::sync::OwnedSemaphorePermit;
use towpath_app::LiveProject;
use towpath_ports::{FeedEvent, FeedPosition};
use towpath_vocab::{Environment, Failure, Remedy};

use crate::answers::{Answer, Api, Call, wrong_parameter};

/// How often the feed is read for a client that has all of it.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// How often it is looked whether the token is still valid.
const TOKEN_INTERVAL: Duration = Duration::from_secs(5);

/// The most events that are read at once.
const PIECE: u64 = 500;

/// One client.
struct Follower {
    api: Arc<Api>,
    environment: Environment,
    pipeline: Option<String>,
    position: FeedPosition,
    waiting: VecDeque<FeedEvent>,
    /// The public part of the client's token.
    token: Option<String>,
    looked: Instant,
    _permit: OwnedSemaphorePermit,
}

pub(crate) async fn follow(call: Call) -> Answer {
    let permit = Arc::clone(&call.api.streams).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Failure::new("R1113", Remedy::Retry, "too many clients follow the events")
            .help("ask again when one of them has ended")
    })?;
    let project: &LiveProject = &call.api.project;
    let store = &project.services().store;
    let position = match call.headers.get("last-event-id") {
        None => store.api().feed_end().await?,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            id.ok_or_else(|| wrong_parameter("`Last-Event-ID` is the id of an event"))?
        }
    };
    let follower = Follower {
        environment: project.plan().environment.clone(),
        pipeline: call.parameter("pipeline").map(str::to_owned),
        position,
        waiting: VecDeque::new(),
        token: call.caller.as_ref().map(|token| token.id.clone()),
        looked: Instant::now(),
        _permit: permit,
        api: call.api,
    };
    let keep = KeepAlive::new().interval(Duration::from_secs(10));
    Ok(Sse::new(stream(follower)).keep_alive(keep).into_response())
}

/// The first message says where the stream begins, so that also a client that got no event can go on there.
fn stream(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let begin = Event::default()
        .id(follower.position.to_string())
        .event("begin")
        .data("{}");
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
            if let Some(event) = self.waiting.pop_front() {
                let text = serde_json::to_string(&event).ok()?;
                return Some(Event::default().id(event.position.to_string()).data(text));
            }
            if self.looked.elapsed() >= TOKEN_INTERVAL {
                self.looked = Instant::now();
                if !self.is_valid().await {
                    return None;
                }
            }
            let api = Arc::clone(&self.api);
            let store = &api.project.services().store;
            let found = store.api().feed(&self.environment, self.position, PIECE);
            let found = tokio::select! {
                () = api.stop.cancelled() => return None,
                found = found => found,
            };
            // The client asks again behind its last event when the store answers.
            let found = found.ok()?;
            let is_all = (found.len() as u64) < PIECE;
            if let Some(last) = found.last() {
                self.position = last.position;
            }
            let wanted = |one: &FeedEvent| {
                let pipeline = self.pipeline.as_deref();
                pipeline.is_none_or(|pipeline| one.run.pipeline.as_str() == pipeline)
            };
            self.waiting = found.into_iter().filter(wanted).collect();
            if self.waiting.is_empty() && is_all {
                tokio::select! {
                    () = api.stop.cancelled() => return None,
                    () = tokio::time::sleep(POLL_INTERVAL) => {}
                }
            }
        }
    }

    async fn is_valid(&self) -> bool {
        let Some(id) = &self.token else {
            return true;
        };
        let store = &self.api.project.services().store;
        let found = store.api().token(&self.environment, id).await;
        matches!(found, Ok(Some((token, _))) if token.revoked_us.is_none())
    }
}
