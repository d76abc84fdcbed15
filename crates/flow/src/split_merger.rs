//! Merges the splits of a reader into one stream of events, and can stop all of them at a boundary.
//!
//! Promise: each split is read ahead by its own task through a short channel, which gives back-pressure.
//! For a checkpoint, `align` holds the splits that are at a boundary until the others have reached theirs.
//! It does not know what the events contain. Read next: `transfer.rs`.

use std::task::Poll;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use towpath_ports::{Assignment, BoxStream, Event, Result, Split};
use towpath_vocab::{Failure, Position, Remedy, SplitId};

/// Events read ahead per split.
const READ_AHEAD: usize = 2;

/// The next event for the loop.
#[expect(clippy::large_enum_variant, reason = "one at a time, moved once")]
pub(crate) enum NextEvent {
    /// An event of a split.
    Event(SplitId, Event),
    /// A split was assigned to another reader.
    Revoked {
        /// The split.
        split: SplitId,
        /// True if none of its events came after its last boundary.
        at_boundary: bool,
    },
    /// All splits wait at a boundary, after `align`.
    Aligned,
    /// All splits have ended; this is the reader's closing position.
    Done(Position),
}

pub(crate) struct SplitMerger {
    assignments: Option<BoxStream<Result<Assignment>>>,
    closing: Position,
    splits: Vec<OpenSplit>,
    next: usize,
    aligning: bool,
}

struct OpenSplit {
    id: SplitId,
    events: mpsc::Receiver<Result<Event>>,
    at_boundary: bool,
    task: JoinHandle<()>,
}

impl Drop for OpenSplit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SplitMerger {
    pub(crate) fn new(assignments: BoxStream<Result<Assignment>>) -> Self {
        Self {
            assignments: Some(assignments),
            closing: Position::default(),
            splits: Vec::new(),
            next: 0,
            aligning: false,
        }
    }

    /// Stops each split at its next boundary, until `release`.
    pub(crate) fn align(&mut self) {
        self.aligning = true;
    }

    /// True between `align` and `release`.
    pub(crate) fn is_aligning(&self) -> bool {
        self.aligning
    }

    /// Lets the splits continue.
    pub(crate) fn release(&mut self) {
        self.aligning = false;
    }

    /// Starts again with the splits that the reader now assigns.
    pub(crate) fn restart(&mut self, assignments: BoxStream<Result<Assignment>>) {
        *self = Self::new(assignments);
    }

    /// The splits that are being read.
    pub(crate) fn splits(&self) -> impl Iterator<Item = &SplitId> {
        self.splits.iter().map(|split| &split.id)
    }

    /// True if no event of a split came after its last boundary.
    pub(crate) fn at_boundary(&self, id: &SplitId) -> bool {
        let mut splits = self.splits.iter();
        splits.any(|split| split.id == *id && split.at_boundary)
    }

    /// Waits for the next event. Cancel-safe.
    pub(crate) async fn take(&mut self) -> Result<NextEvent> {
        std::future::poll_fn(|cx| {
            if let Some(taken) = self.poll_assignments(cx)? {
                return Poll::Ready(Ok(taken));
            }
            if let Some(taken) = self.poll_splits(cx) {
                return Poll::Ready(taken);
            }
            if self.aligning && self.splits.iter().all(|split| split.at_boundary) {
                return Poll::Ready(Ok(NextEvent::Aligned));
            }
            if self.splits.is_empty() && self.assignments.is_none() {
                return Poll::Ready(Ok(NextEvent::Done(std::mem::take(&mut self.closing))));
            }
            Poll::Pending
        })
        .await
    }

    fn poll_assignments(&mut self, cx: &mut std::task::Context<'_>) -> Result<Option<NextEvent>> {
        while let Some(assignments) = self.assignments.as_mut() {
            match assignments.poll_next_unpin(cx) {
                Poll::Pending => return Ok(None),
                Poll::Ready(None) => return Err(unfinished()),
                Poll::Ready(Some(assignment)) => match assignment? {
                    Assignment::Assigned(split) => self.splits.push(open(split)),
                    Assignment::Revoked(id) => {
                        let at_boundary =
                            self.at_boundary(&id) || self.splits().all(|split| *split != id);
                        self.splits.retain(|split| split.id != id);
                        return Ok(Some(NextEvent::Revoked {
                            split: id,
                            at_boundary,
                        }));
                    }
                    Assignment::Complete(position) => {
                        self.closing = position;
                        self.assignments = None;
                    }
                },
            }
        }
        Ok(None)
    }

    /// Polls each split once, beginning after the one that returned an event last.
    fn poll_splits(&mut self, cx: &mut std::task::Context<'_>) -> Option<Result<NextEvent>> {
        let count = self.splits.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            let Some(split) = self.splits.get_mut(index) else {
                continue;
            };
            if self.aligning && split.at_boundary {
                continue;
            }
            match split.events.poll_recv(cx) {
                Poll::Pending => {}
                Poll::Ready(None) => return Some(Err(broken_off(&split.id))),
                Poll::Ready(Some(Ok(Event::End))) => {
                    let ended = self.splits.swap_remove(index);
                    self.next = index;
                    return Some(Ok(NextEvent::Event(ended.id.clone(), Event::End)));
                }
                Poll::Ready(Some(Err(failure))) => return Some(Err(failure)),
                Poll::Ready(Some(Ok(event))) => {
                    // New columns come directly after a boundary, and the split is still at that boundary.
                    if !matches!(event, Event::Schema(_)) {
                        split.at_boundary = matches!(event, Event::Boundary(_));
                    }
                    self.next = index + 1;
                    return Some(Ok(NextEvent::Event(split.id.clone(), event)));
                }
            }
        }
        None
    }
}

/// The failure of a reader that ended without `Complete`: there may be splits that it did not assign.
fn unfinished() -> Failure {
    Failure::new(
        "R0626",
        Remedy::Bug,
        "the source ended before it had listed all its splits",
    )
    .help("nothing of it was committed; run again, and please report this")
}

/// The failure of a split that stopped without `End`: its task ended, but not its rows.
fn broken_off(split: &SplitId) -> Failure {
    Failure::new(
        "R0601",
        Remedy::Bug,
        format!("split `{}` ended too early", split.0),
    )
    .help("nothing of it was committed; run again, and please report this")
}

fn open(split: Split) -> OpenSplit {
    let (sender, events) = mpsc::channel(READ_AHEAD);
    let mut stream = split.events;
    let task = tokio::spawn(async move {
        while let Some(event) = stream.next().await {
            let stop = event.is_err();
            if sender.send(event).await.is_err() || stop {
                break;
            }
        }
    });
    // Nothing has been read, so the split is at its last commit.
    OpenSplit {
        id: split.id,
        events,
        at_boundary: true,
        task,
    }
}
