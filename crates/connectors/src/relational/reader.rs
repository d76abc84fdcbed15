//! An opened read of a table, view or query: its pieces, and the position that holds when all were read.
//!
//! Promise: each piece is given out once, as a split of its own, before the position. A piece holds memory
//! for two batches while it is read; all pieces together hold at most a quarter of the budget. How a
//! database reads a piece is its `Pieces`. Read next: `postgres/pump.rs`, `sqlite/pump.rs`.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use towpath_ports::{
    Assignment, BoxStream, Event, Memory, ReadSpec, Reader, ReservedMemory, Result, Split,
    TableSchema,
};
use towpath_vocab::{Position, SplitId, TableName};

/// A column, as a read of this database gives it.
pub(crate) trait ReadColumn: Send + Sync {
    /// Its name and its type.
    fn field(&self) -> Field;
    /// What is selected for it.
    fn selected(&self) -> String;
}

/// Columns as a select list.
pub(crate) fn select_list<C: ReadColumn>(columns: &[C]) -> String {
    let selected: Vec<String> = columns.iter().map(ReadColumn::selected).collect();
    selected.join(", ")
}

/// Columns as a schema.
pub(crate) fn schema_of<C: ReadColumn>(columns: &[C]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(ReadColumn::field).collect();
    Arc::new(Schema::new(fields))
}

/// A limit as SQL has it behind a query.
pub(crate) fn limit(rows: Option<u64>) -> String {
    rows.map_or_else(String::new, |rows| format!(" LIMIT {rows}"))
}

/// What all pieces of a read share.
#[derive(Clone)]
pub(crate) struct ReadLayout {
    pub(crate) table: TableName,
    /// As a person names what is read.
    pub(crate) object: String,
    pub(crate) schema: SchemaRef,
    pub(crate) batch_rows: usize,
    pub(crate) batch_bytes: usize,
}

impl ReadLayout {
    /// For a read of `pieces` pieces at once.
    pub(crate) fn of<C: ReadColumn>(
        spec: &ReadSpec,
        object: String,
        columns: &[C],
        (pieces, memory): (usize, &dyn Memory),
    ) -> Self {
        Self {
            table: spec.table.clone(),
            object,
            schema: schema_of(columns),
            batch_rows: spec.batch_rows.max(1),
            batch_bytes: batch_bytes(spec.batch_bytes, pieces, memory),
        }
    }

    /// The memory of one piece: a batch that grows, and one that waits. Never all of the budget: who takes
    /// the rows keeps a part of it.
    pub(crate) async fn lease(&self, memory: &dyn Memory) -> Result<ReservedMemory> {
        let bytes = (2 * self.batch_bytes as u64).min(memory.limit_bytes() / 4);
        let holder = format!("a read of {}", self.table);
        memory.lease(&holder, bytes).await
    }
}

/// How many bytes a batch may have, so that all pieces together stay within a quarter of the budget.
fn batch_bytes(wanted: usize, pieces: usize, memory: &dyn Memory) -> usize {
    const LEAST: usize = 64 << 10;
    const MOST: usize = 256 << 20;
    let share = memory.limit_bytes() / (8 * pieces.max(1) as u64);
    wanted
        .min(usize::try_from(share).unwrap_or(MOST))
        .clamp(LEAST, MOST)
}

/// How a database reads pieces of a table.
pub(crate) trait Pieces: Send + Sync {
    /// A part of a read.
    type Piece: Send + Sync;

    /// What the pieces share.
    fn layout(&self) -> &ReadLayout;

    /// The name of a piece: `public.orders ctid 0..2048`.
    fn id(piece: &Self::Piece) -> &str;

    /// Reads one. Nothing happens before the stream is polled; dropping it ends the read.
    fn events(&self, piece: Self::Piece) -> BoxStream<Result<Event>>;
}

/// Stops its task when dropped.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The events of a task that reads a piece; the task stops when they are dropped.
pub(crate) fn events_of(
    receiver: mpsc::Receiver<Result<Event>>,
    task: JoinHandle<()>,
) -> impl Stream<Item = Result<Event>> + Send {
    stream::unfold(
        (receiver, Running(task)),
        |(mut receiver, running)| async move {
            let event: Result<Event> = receiver.recv().await?;
            Some((event, (receiver, running)))
        },
    )
}

/// Hands events over; false when nobody listens any more.
pub(crate) async fn send(sender: &mpsc::Sender<Result<Event>>, events: &mut Vec<Event>) -> bool {
    for event in events.drain(..) {
        if sender.send(Ok(event)).await.is_err() {
            return false;
        }
    }
    true
}

/// An opened read.
pub(crate) struct TableReader<P: Pieces> {
    pub(crate) reads: P,
    pub(crate) pieces: Vec<P::Piece>,
    /// Holds when all pieces have been read.
    pub(crate) position: Position,
    pub(crate) notes: Vec<String>,
}

#[async_trait]
impl<P: Pieces> Reader for TableReader<P> {
    fn tables(&self) -> Vec<TableSchema> {
        let layout = self.reads.layout();
        vec![TableSchema {
            table: layout.table.clone(),
            schema: Arc::clone(&layout.schema),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let pieces = std::mem::take(&mut self.pieces).into_iter();
        let split = |piece: P::Piece| {
            let id = SplitId(P::id(&piece).to_owned());
            let events = self.reads.events(piece);
            Ok(Assignment::Assigned(Split { id, events }))
        };
        let mut splits: Vec<_> = pieces.map(split).collect();
        splits.push(Ok(Assignment::Complete(self.position.clone())));
        stream::iter(splits).boxed()
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
