//! Pages that are asked for before the one in front of them was read.
//!
//! Promise: the answers come in the order of the pages, at most so many are on their way or wait, and one
//! that turns out to be another page than the one that follows is not used. It does not know what a page
//! holds: `listing.rs` decides which one follows. Read next: `paginate.rs`, which says what will follow.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};

use super::answer::Answer;
use super::client::Client;
use super::error::Result;
use super::request::Request;

type Answers<'a> = Pin<Box<dyn Stream<Item = (Request, Result<Answer>)> + Send + 'a>>;

/// Pages that are on their way.
#[derive(Default)]
pub(super) struct Ahead<'a>(Option<Answers<'a>>);

impl<'a> Ahead<'a> {
    /// Asks for these pages, so many at once.
    pub(super) fn new(client: &'a Client, requests: Vec<Request>, at_once: usize) -> Self {
        if requests.is_empty() || at_once < 2 {
            return Self(None);
        }
        let answers = stream::iter(requests).map(move |request| async move {
            let answer = client.ask(&request).await;
            (request, answer)
        });
        Self(Some(Box::pin(answers.buffered(at_once))))
    }

    /// The answer to a request: the next of those on their way, if it is that one.
    pub(super) async fn ask(&mut self, client: &Client, request: &Request) -> Result<Answer> {
        if let Some(answers) = &mut self.0 {
            match answers.next().await {
                Some((known, answer)) if known == *request => return answer,
                // The others are not what follows either.
                _ => self.0 = None,
            }
        }
        client.ask(request).await
    }
}
