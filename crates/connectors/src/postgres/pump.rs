//! From sockets to events: one task per piece of a table decodes while others read.
//!
//! Promise: a piece starts when it is first polled, holds a fixed share of the memory budget while
//! it runs, and stops (with its connection) when its stream is dropped. Socket, decoding and consumer
//! are three tasks joined by bounded channels, so a slow consumer slows the server. It knows neither
//! types (`decode.rs`) nor what the pieces are (`pieces.rs`).

use std::sync::Arc;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use towpath_ports::{Assignment, BoxStream, Event, Memory, Reader, Split, TableSchema};
use towpath_vocab::{Failure, Position, SplitId};

use super::assemble::{Assembler, BatchLayout};
use super::error::Doing as _;
use super::snapshot::{Lane, Lanes};

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

/// An opened read of one table.
pub(super) struct TableReader {
    pub(super) shape: BatchLayout,
    pub(super) pieces: Vec<Piece>,
    pub(super) lanes: Lanes,
    pub(super) memory: Arc<dyn Memory>,
    /// Holds when all pieces have been read.
    pub(super) position: Position,
    pub(super) notes: Vec<String>,
}

#[async_trait::async_trait]
impl Reader for TableReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: self.shape.table.clone(),
            schema: Arc::clone(&self.shape.schema),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<towpath_ports::Result<Assignment>> {
        let assigned: Vec<_> = std::mem::take(&mut self.pieces)
            .into_iter()
            .map(|piece| {
                let id = SplitId(piece.id.clone());
                let events = events(
                    piece,
                    self.shape.clone(),
                    self.lanes.clone(),
                    Arc::clone(&self.memory),
                );
                Ok(Assignment::Assigned(Split {
                    id,
                    events: events.boxed(),
                }))
            })
            .chain(std::iter::once(Ok(Assignment::Complete(
                self.position.clone(),
            ))))
            .collect();
        stream::iter(assigned).boxed()
    }

    async fn committed(&mut self, _position: &Position) -> towpath_ports::Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// Stops its task when dropped.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
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
        // Twice a batch: one that grows, one that waits.
        // Never all of the budget: who takes the rows keeps a part of it.
        let bytes = (2 * shape.batch_bytes as u64).min(memory.limit_bytes() / 4);
        let holder = format!("a read of {}", shape.table);
        let lease = memory.lease(&holder, bytes).await?;
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
        let running = Running(task);
        Ok::<_, Failure>(stream::unfold(
            (receiver, running),
            |(mut receiver, running)| async move {
                let event: towpath_ports::Result<Event> = receiver.recv().await?;
                Some((event, (receiver, running)))
            },
        ))
    };
    stream::once(start).try_flatten()
}

async fn pump(
    lane: Lane,
    piece: &Piece,
    shape: BatchLayout,
    sender: &mpsc::Sender<towpath_ports::Result<Event>>,
) -> towpath_ports::Result<()> {
    let doing = format!("reading `{}`", shape.object);
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

/// False when nobody listens any more.
async fn send(
    sender: &mpsc::Sender<towpath_ports::Result<Event>>,
    events: &mut Vec<Event>,
) -> bool {
    for event in events.drain(..) {
        if sender.send(Ok(event)).await.is_err() {
            return false;
        }
    }
    true
}

/// How many bytes a batch may have, so that all lanes together stay within a quarter of the budget.
pub(super) fn batch_bytes(wanted: usize, lanes: usize, memory: &dyn Memory) -> usize {
    const LEAST: usize = 64 << 10;
    const MOST: usize = 256 << 20;
    let share = memory.limit_bytes() / (8 * lanes.max(1) as u64);
    wanted
        .min(usize::try_from(share).unwrap_or(MOST))
        .clamp(LEAST, MOST)
}
