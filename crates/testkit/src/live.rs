//! An endless source that a test controls: it sends the events of each split, and can rewind.
//!
//! Promise: it stores all events, so a reader that opens or rewinds it gets each split again from a
//! boundary on. The test assigns and revokes splits, and ends the source. It does not know time: use it
//! inside `SimulatedSystem::run`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio::sync::{mpsc, watch};
use towpath_ports::{
    Assignment, BoxStream, Event, OpColumn, Reader, Result, Rows, Split, TableSchema,
};
use towpath_vocab::{Position, SplitId, SplitPosition, TableName};

use crate::script::ScriptedSource;

/// An event that a test sends in a split.
#[derive(Clone, Debug)]
pub enum LiveEvent {
    /// Rows of a table, with the operation of each.
    Rows(TableName, RecordBatch, Option<Vec<u8>>),
    /// A boundary of this order.
    Boundary(u64),
    /// A table was emptied.
    Truncate(TableName),
    /// A table has other columns.
    Schema(TableSchema),
    /// A table is complete up to this event time.
    Watermark(TableName, i64),
}

#[derive(Default)]
struct Inner {
    tables: Vec<TableSchema>,
    /// The events of each split so far.
    said: BTreeMap<SplitId, Vec<LiveEvent>>,
    /// The splits the reader has.
    owned: Vec<SplitId>,
    /// Each reader has all splits, as when an attempt is replaced that does not know it yet.
    to_readers: Vec<mpsc::UnboundedSender<Result<Assignment>>>,
    committed: Vec<Position>,
}

/// The source.
#[derive(Clone)]
pub struct LiveSource {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
}

impl LiveSource {
    /// A source of these tables, with these splits assigned.
    pub fn new(tables: Vec<TableSchema>, splits: &[&str]) -> Self {
        let inner = Inner {
            tables,
            owned: splits.iter().map(|s| SplitId((*s).to_owned())).collect(),
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            changed: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event in a split.
    pub fn say(&self, split: &str, event: LiveEvent) {
        let split = SplitId(split.to_owned());
        self.lock().said.entry(split).or_default().push(event);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Revokes a split.
    pub fn revoke(&self, split: &str) {
        let split = SplitId(split.to_owned());
        let mut inner = self.lock();
        inner.owned.retain(|owned| *owned != split);
        for to_reader in &inner.to_readers {
            // A reader that is gone has no splits to revoke.
            let _ = to_reader.send(Ok(Assignment::Revoked(split.clone())));
        }
    }

    /// The positions that were confirmed to the reader, in order.
    pub fn committed(&self) -> Vec<Position> {
        self.lock().committed.clone()
    }

    /// A reader from this position.
    pub fn reader(&self, from: &Position) -> LiveReader {
        LiveReader {
            source: self.clone(),
            from: from.clone(),
        }
    }

    fn assign(&self, from: &Position) -> BoxStream<Result<Assignment>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inner = self.lock();
        for id in &inner.owned {
            let said = inner.said.get(id).map(Vec::as_slice).unwrap_or_default();
            let next = from
                .get(id)
                .map_or(0, |position| behind(said, position.order));
            let split = Split {
                id: id.clone(),
                events: self.events(id.clone(), next),
            };
            // The receiver is here.
            let _ = sender.send(Ok(Assignment::Assigned(split)));
        }
        inner.to_readers.push(sender);
        let next = |mut receiver: mpsc::UnboundedReceiver<_>| async move {
            receiver
                .recv()
                .await
                .map(|assignment| (assignment, receiver))
        };
        stream::unfold(receiver, next).boxed()
    }

    fn events(&self, id: SplitId, next: usize) -> BoxStream<Result<Event>> {
        let (source, changed) = (self.clone(), self.changed.subscribe());
        let state = (source, changed, id, next);
        stream::unfold(state, |(source, mut changed, id, next)| async move {
            loop {
                changed.mark_unchanged();
                let said = {
                    let inner = source.lock();
                    inner.said.get(&id).and_then(|said| said.get(next)).cloned()
                };
                match said {
                    Some(said) => {
                        let event = event(said, &id, next as u64);
                        return Some((Ok(event), (source, changed, id, next + 1)));
                    }
                    // A source that is dropped sends nothing more.
                    None => changed.changed().await.ok()?,
                }
            }
        })
        .boxed()
    }
}

/// The index of the first event of a split after a boundary.
fn behind(said: &[LiveEvent], order: u64) -> usize {
    let is_mark = |event: &LiveEvent| matches!(event, LiveEvent::Boundary(at) if *at == order);
    said.iter().position(is_mark).map_or(0, |at| at + 1)
}

/// An endless source of one table and one split with these events, which ends after them so that a test can
/// end.
pub fn endless_events(table: TableName, schema: SchemaRef, said: Vec<LiveEvent>) -> ScriptedSource {
    ScriptedSource::of_split(TableSchema { table, schema }, "wal", move |from| {
        let id = SplitId("wal".to_owned());
        let next = from.map_or(0, |position| behind(&said, position.order));
        let rest = said.iter().cloned().enumerate().skip(next);
        let events = rest.map(|(at, said)| Ok(event(said, &id, at as u64)));
        let events: Vec<_> = events.chain([Ok(Event::End)]).collect();
        stream::iter(events).boxed()
    })
}

fn event(said: LiveEvent, split: &SplitId, ordinal: u64) -> Event {
    match said {
        LiveEvent::Rows(table, batch, ops) => Event::Rows(Rows {
            ops: ops.map(OpColumn::from),
            ..Rows::of_batch(table, &split.0, batch, ordinal)
        }),
        LiveEvent::Boundary(order) => Event::Boundary(SplitPosition::at(order)),
        LiveEvent::Truncate(table) => Event::Truncate(table),
        LiveEvent::Schema(schema) => Event::Schema(schema),
        LiveEvent::Watermark(table, event_time_us) => Event::Watermark {
            table,
            event_time_us,
        },
    }
}

/// An opened live source.
pub struct LiveReader {
    source: LiveSource,
    from: Position,
}

#[async_trait]
impl Reader for LiveReader {
    fn tables(&self) -> Vec<TableSchema> {
        self.source.lock().tables.clone()
    }

    fn bounded(&self) -> bool {
        false
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        self.source.assign(&self.from)
    }

    async fn committed(&mut self, position: &Position) -> Result<()> {
        self.source.lock().committed.push(position.clone());
        Ok(())
    }

    async fn rewind(
        &mut self,
        position: &Position,
    ) -> Result<Option<BoxStream<Result<Assignment>>>> {
        Ok(Some(self.source.assign(position)))
    }
}
