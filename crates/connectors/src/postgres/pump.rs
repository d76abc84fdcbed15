//! From sockets to events: one task per piece of a table decodes while others read.
//!
//! Promise: a piece starts when it is first polled, holds a fixed share of the memory budget while
//! it runs, and stops (with its connection) when its stream is dropped. Socket, decoding and consumer
//! are three tasks joined by bounded channels, so a slow consumer slows the server. It knows neither
//! types (`decode.rs`) nor what the pieces are (`pieces.rs`).

use std::sync::Arc;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Event, Memory};
use towpath_vocab::Failure;

use super::assemble::{Assembler, BatchLayout};
use super::error::ErrorContext as _;
use super::snapshot::{Lane, Lanes};
use crate::relational::reader::{Pieces, ReadLayout, events_of, send};

/// Batches that wait between decoder and consumer.
const WAITING: usize = 1;

/// A part of a read: one copy.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Its name: `public.orders ctid 0..2048`.
    pub(super) id: String,
    /// The query whose rows are copied.
    pub(super) query: String,
    /// The ordinal of its first row; pieces of one table leave room for each other.
    pub(super) first_ordinal: u64,
}

/// How pieces are read: each by one copy.
pub(super) struct Copies {
    pub(super) shape: BatchLayout,
    pub(super) lanes: Lanes,
    pub(super) memory: Arc<dyn Memory>,
}

impl Pieces for Copies {
    type Piece = Piece;

    fn layout(&self) -> &ReadLayout {
        &self.shape.read
    }

    fn id(piece: &Piece) -> &str {
        &piece.id
    }

    fn events(&self, piece: Piece) -> BoxStream<towpath_ports::Result<Event>> {
        let (shape, lanes) = (self.shape.clone(), self.lanes.clone());
        events(piece, shape, lanes, Arc::clone(&self.memory)).boxed()
    }
}

fn events(
    piece: Piece,
    shape: BatchLayout,
    lanes: Lanes,
    memory: Arc<dyn Memory>,
) -> impl Stream<Item = towpath_ports::Result<Event>> + Send {
    let start = async move {
        // First a lane, then memory: pieces that wait for a session must not keep writers waiting.
        let lane = lanes.lane().await?;
        let lease = shape.read.lease(memory.as_ref()).await?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let task = tokio::spawn(async move {
            let outcome = pump(lane, &piece, shape, &sender).await;
            let last = match outcome {
                Ok(()) => Ok(Event::End),
                Err(failure) => Err(failure),
            };
            // A consumer that left needs no end.
            let _ = sender.send(last).await;
            drop(lease);
        });
        Ok::<_, Failure>(events_of(receiver, task))
    };
    stream::once(start).try_flatten()
}

async fn pump(
    lane: Lane,
    piece: &Piece,
    shape: BatchLayout,
    sender: &mpsc::Sender<towpath_ports::Result<Event>>,
) -> towpath_ports::Result<()> {
    let doing = format!("reading `{}`", shape.read.object);
    let sql = format!("COPY ({}) TO STDOUT (FORMAT binary)", piece.query);
    lane.begin_copy();
    let copy = lane.client()?.copy_out(&sql).await.doing(&doing)?;
    let mut copy = std::pin::pin!(copy);
    let mut assembler = Assembler::new(shape, piece.first_ordinal);
    let mut events = Vec::new();
    while let Some(data) = copy.next().await {
        assembler.feed(&data.doing(&doing)?, &mut events)?;
        if !events.is_empty() && !send(sender, &mut events).await {
            return Ok(());
        }
    }
    assembler.finish(&mut events)?;
    lane.done();
    send(sender, &mut events).await;
    Ok(())
}
