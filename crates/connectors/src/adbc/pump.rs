//! Moves rows: the queries of a read, one after the other, on a blocking thread, a few batches ahead of who takes them.
//!
//! Promise: the driver gives one batch at a time, and the next one only when there is room; memory for two batches is
//! held while a read goes on, and more for a batch of the driver that is larger; one of more than half of the budget
//! stops the read. A reader that is dropped cancels the statement. It does not decide what is read: `source.rs` and
//! `cursor.rs` do.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Event, Memory, ReservedMemory};
use towpath_vocab::Failure;

use super::answer::Answer;
use super::batches::Gather;
use super::error::{AdbcError, Result};
use super::progress::digests;
use super::session::{Session, Work};
use super::types::Column;
use crate::relational::boundary::Given;
use crate::relational::reader::{Pieces, ReadLayout};

/// Events on their way to the taker.
const WAITING: usize = 1;

/// A query. Its columns are those of the read and, behind them, those that rows are told apart by.
pub(super) struct Query {
    pub(super) columns: Arc<[Column]>,
    pub(super) sql: String,
    /// The number of its first row.
    pub(super) first: u64,
    pub(super) filter: Filter,
}

/// Rows of a query that are given or left out by their digests.
#[derive(Default)]
pub(super) struct Filter {
    /// Only these are given.
    pub(super) counted: Option<Given>,
    /// These are left out.
    pub(super) given: Option<Given>,
}

impl Filter {
    /// Which rows are given; `None` for all.
    fn keep(
        &mut self,
        batch: &RecordBatch,
        columns: &[Column],
    ) -> std::result::Result<Option<BooleanArray>, ArrowError> {
        let places = self.counted.as_ref().or(self.given.as_ref());
        let Some(places) = places.map(|given| given.places.clone()) else {
            return Ok(None);
        };
        // Both may be told apart by other columns.
        let own = match &self.given {
            Some(given) if given.places != places => Some(digests(batch, columns, &given.places)?),
            _ => None,
        };
        let all = digests(batch, columns, &places)?;
        let keep = all.iter().enumerate().map(|(row, digest)| {
            let of_given = own.as_ref().and_then(|own| own.get(row)).unwrap_or(digest);
            let was_given = self
                .given
                .as_mut()
                .is_some_and(|given| given.holds(of_given));
            // Counted in any case: those that were given before are among them.
            let is_counted = self
                .counted
                .as_mut()
                .is_none_or(|counted| counted.holds(digest));
            is_counted && !was_given
        });
        Ok(Some(keep.map(Some).collect()))
    }
}

/// A read: rows of queries on one session, one after the other.
pub(super) struct Piece {
    pub(super) id: String,
    pub(super) session: Session,
    pub(super) queries: Vec<Query>,
    /// So many rows at most.
    pub(super) limit: Option<u64>,
    /// A write goes on in the session, which must not be cancelled.
    pub(super) of_write: bool,
}

/// How a piece is read.
pub(super) struct Queries {
    pub(super) layout: ReadLayout,
    /// The columns of the read.
    pub(super) columns: Arc<[Column]>,
    pub(super) memory: Arc<dyn Memory>,
}

impl Pieces for Queries {
    type Piece = Piece;

    fn layout(&self) -> &ReadLayout {
        &self.layout
    }

    fn id(piece: &Piece) -> &str {
        &piece.id
    }

    fn events(&self, piece: Piece) -> BoxStream<towpath_ports::Result<Event>> {
        let (layout, memory) = (self.layout.clone(), Arc::clone(&self.memory));
        let columns = Arc::clone(&self.columns);
        let started = stream::once(async move {
            let lease = layout.lease(memory.as_ref()).await?;
            let (to, mut from) = mpsc::channel(WAITING);
            let mut running = piece.session.cancel_on_drop();
            if piece.of_write {
                running.disarm();
            }
            let thread = tokio::task::spawn_blocking(move || {
                let session = piece.session.clone();
                let reading = Reading {
                    gather: Gather::new(&layout, columns),
                    layout,
                    memory,
                    more: None,
                    to: to.clone(),
                    events: Vec::new(),
                    left: piece.limit,
                };
                let last = match reading.read(&mut session.lock(), piece.queries) {
                    Ok(()) => Ok(Event::End),
                    Err(error) => Err(error),
                };
                // Nobody listens any more when this fails.
                let _ = to.blocking_send(last);
                drop(lease);
            });
            // A thread that broke off has sent no end: its panic must not look like one.
            let checked = stream::once(async move {
                let ended = thread.await;
                running.disarm();
                let broken = AdbcError::Misused {
                    reason: "lost a task that read with a driver",
                };
                ended.err().map(|_| Err(Failure::from(broken)))
            });
            let events = stream::poll_fn(move |context| from.poll_recv(context))
                .chain(checked.filter_map(future::ready));
            Ok::<_, Failure>(events)
        });
        Box::pin(started.try_flatten())
    }
}

struct Reading {
    layout: ReadLayout,
    memory: Arc<dyn Memory>,
    /// For batches of the driver that are larger than what is held anyway, and their size.
    more: Option<(u64, ReservedMemory)>,
    gather: Gather,
    to: mpsc::Sender<towpath_ports::Result<Event>>,
    events: Vec<Event>,
    left: Option<u64>,
}

impl Reading {
    fn read(
        mut self,
        work: &mut Work<'_>,
        queries: Vec<Query>,
    ) -> std::result::Result<(), Failure> {
        for query in queries {
            if !self.query(work, query)? {
                return Ok(());
            }
        }
        let finished = self.gather.finish(&mut self.events);
        finished.map_err(|error| columns(&self.layout, &error))?;
        self.send();
        Ok(())
    }

    /// Reads a query; false when nobody listens any more.
    fn query(
        &mut self,
        work: &mut Work<'_>,
        mut query: Query,
    ) -> std::result::Result<bool, Failure> {
        if self.left == Some(0) {
            return Ok(true);
        }
        let doing = format!("reading `{}`", self.layout.object);
        let mut answer = work.asked(&query.columns, &query.sql, &doing)?;
        check(&answer, &query.columns, &doing)?;
        self.gather.start_at(query.first);
        while let Some(batch) = answer.next().map_err(|error| work.failed(&error, &doing))? {
            self.reserve(&batch)?;
            let wrong = |error: ArrowError| columns(&self.layout, &error);
            let keep = query.filter.keep(&batch, &query.columns).map_err(wrong)?;
            let batch = match keep {
                Some(keep) => filter_record_batch(&batch, &keep).map_err(wrong)?,
                None => batch,
            };
            let batch = match self.left {
                Some(left) => batch.slice(
                    0,
                    batch
                        .num_rows()
                        .min(usize::try_from(left).unwrap_or(usize::MAX)),
                ),
                None => batch,
            };
            self.left = self
                .left
                .map(|left| left.saturating_sub(batch.num_rows() as u64));
            let taken = self.gather.take(&batch, &mut self.events);
            taken.map_err(|error| columns(&self.layout, &error))?;
            if !self.send() {
                return Ok(false);
            }
            if self.left == Some(0) {
                break;
            }
        }
        Ok(true)
    }

    /// Holds memory for a batch that is larger than any before.
    fn reserve(&mut self, batch: &RecordBatch) -> std::result::Result<(), Failure> {
        let bytes = batch.get_array_memory_size() as u64;
        let own = 2 * self.layout.batch_bytes as u64;
        let held = self.more.as_ref().map_or(0, |(held, _)| *held);
        if bytes <= own + held {
            return Ok(());
        }
        let limit = self.memory.limit_bytes();
        if bytes > limit / 2 {
            return Err(AdbcError::Memory {
                object: self.layout.object.clone(),
                bytes,
                limit,
            }
            .into());
        }
        // Given back first: two waits for each other's memory would never end.
        self.more = None;
        let holder = format!("a batch of a driver for {}", self.layout.table);
        let lease = Handle::current().block_on(self.memory.lease(&holder, bytes - own))?;
        self.more = Some((bytes - own, lease));
        Ok(())
    }

    /// Hands events over; false when nobody listens any more.
    fn send(&mut self) -> bool {
        for event in self.events.drain(..) {
            if self.to.blocking_send(Ok(event)).is_err() {
                return false;
            }
        }
        true
    }
}

/// Refuses an answer of other types than the driver said before.
fn check(answer: &Answer, columns: &[Column], doing: &str) -> Result<()> {
    let schema = answer.schema();
    let mut pairs = schema.fields().iter().zip(columns);
    let is_same = schema.fields().len() == columns.len()
        && pairs.all(|(field, column)| *field.data_type() == column.from);
    match is_same {
        true => Ok(()),
        false => Err(AdbcError::Passing {
            doing: doing.to_owned(),
            reason: "the driver gives other types than it said before".to_owned(),
        }),
    }
}

fn columns(layout: &ReadLayout, error: &ArrowError) -> AdbcError {
    AdbcError::Columns {
        object: layout.object.clone(),
        reason: error.to_string(),
    }
}
