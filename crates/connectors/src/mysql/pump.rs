//! From the socket to events: a task reads the rows of a piece, a few batches ahead of who takes them.
//!
//! Promise: a slow taker slows the server; memory for two batches is held while a piece is read; a dropped
//! stream ends the session. It does not decide what is read: `source.rs` and `cursor.rs` do.

use std::sync::Arc;

use arrow_schema::ArrowError;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Mutex, mpsc};
use towpath_ports::{BoxStream, Event, Memory};
use towpath_vocab::Failure;

use super::cells::{cells, digest, raw, values};
use super::error::{MysqlError, Result};
use super::lanes::{Lane, Lanes};
use super::session::Session;
use super::settings::ZeroDates;
use super::task_lock;
use super::types::Column;
use crate::relational::boundary::Given;
use crate::relational::gather::{Gather, Misfit};
use crate::relational::reader::{Pieces, ReadLayout, events_of, send};

/// Batches on their way to the taker.
const WAITING: usize = 1;

/// A query; its columns are those of the read and, behind them, those `given` looks at.
pub(super) struct Query {
    pub(super) sql: String,
    /// The number of its first row.
    pub(super) first: u64,
    /// Rows that are left out.
    pub(super) given: Option<Given>,
}

/// A session that a read uses.
pub(super) enum Held {
    /// It ends with the read.
    Own(Session),
    /// Other pieces of the read are read in it too, and in others on the same moment.
    Shared(Arc<Lanes>),
    /// A write goes on in it.
    OfWrite(Arc<Mutex<Session>>),
}

/// A session, when it is its turn.
enum Turn {
    Own(Session),
    Lane(Lane),
    OfWrite(Arc<Mutex<Session>>),
}

impl Held {
    async fn turn(self) -> Result<Turn> {
        Ok(match self {
            Self::Own(session) => Turn::Own(session),
            Self::Shared(lanes) => Turn::Lane(lanes.lane().await?),
            Self::OfWrite(session) => Turn::OfWrite(session),
        })
    }
}

/// A part of a read: rows of queries in one session, one after the other.
pub(super) struct Piece {
    pub(super) id: String,
    pub(super) session: Held,
    pub(super) queries: Vec<Query>,
}

/// How pieces are read: each by its queries.
pub(super) struct Queries {
    pub(super) layout: ReadLayout,
    pub(super) columns: Arc<[Column]>,
    pub(super) zero_dates: ZeroDates,
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
        let (columns, zero_dates) = (Arc::clone(&self.columns), self.zero_dates);
        let start = async move {
            // First a session, then memory: pieces that wait for one must not keep writers waiting.
            let turn = piece.session.turn().await?;
            let lease = layout.lease(memory.as_ref()).await?;
            let (sender, receiver) = mpsc::channel(WAITING);
            let of_write = matches!(turn, Turn::OfWrite(_));
            let task = tokio::spawn(async move {
                let reading = Reading {
                    gather: Gather::new(&layout),
                    layout,
                    columns,
                    zero_dates,
                    sender: sender.clone(),
                    events: Vec::new(),
                };
                let (last, lane) = match Box::pin(reading.read(turn, piece.queries)).await {
                    Ok(lane) => (Ok(Event::End), lane),
                    Err(error) => (Err(Failure::from(error)), None),
                };
                // A taker that left needs no end.
                let _ = sender.send(last).await;
                drop(lease);
                // Only now, so that never more pieces hold memory than there are sessions.
                if let Some(lane) = lane {
                    lane.done();
                }
            });
            // A command that is stopped in the middle would leave its answer to the next one of the write.
            Ok::<_, Failure>(match of_write {
                true => received(receiver).boxed(),
                false => events_of(receiver, task).boxed(),
            })
        };
        stream::once(start).try_flatten().boxed()
    }
}

/// The events of a task that goes on when they are dropped, until its session is free.
fn received(
    receiver: mpsc::Receiver<towpath_ports::Result<Event>>,
) -> impl Stream<Item = towpath_ports::Result<Event>> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((event, receiver))
    })
}

struct Reading {
    layout: ReadLayout,
    columns: Arc<[Column]>,
    zero_dates: ZeroDates,
    gather: Gather,
    sender: mpsc::Sender<towpath_ports::Result<Event>>,
    events: Vec<Event>,
}

impl Reading {
    /// Reads all rows; gives a lane back that can be used again.
    async fn read(mut self, turn: Turn, queries: Vec<Query>) -> Result<Option<Lane>> {
        let mut used = None;
        let all = match turn {
            Turn::Own(mut session) => self.queries(&mut session, queries).await?,
            Turn::Lane(mut lane) => {
                let all = self.queries(&mut lane.session, queries).await?;
                used = Some(lane).filter(|_| all);
                all
            }
            Turn::OfWrite(session) => {
                let mut locked = session.lock().await;
                let read = self.of_write(&mut locked, queries, || Arc::strong_count(&session) > 1);
                let read = read.await;
                if read.is_err() {
                    // The server may have ended the transaction, and perhaps nobody listens any more.
                    locked.refuse_commands();
                }
                read?
            }
        };
        if all {
            let finished = self.gather.finish(&mut self.events);
            finished.map_err(|error| columns(&self.layout, &error))?;
            send(&self.sender, &mut self.events).await;
        }
        Ok(used)
    }

    /// Reads in the session of a write, and leaves it as it was, unless the write is gone.
    async fn of_write(
        &mut self,
        session: &mut Session,
        queries: Vec<Query>,
        is_used: impl Fn() -> bool,
    ) -> Result<bool> {
        task_lock::be_patient(session).await?;
        let all = self.queries(session, queries).await?;
        if all || is_used() {
            let doing = format!("reading `{}`", self.layout.object);
            session.skip_rows(&doing).await?;
            task_lock::be_alert(session).await?;
        }
        Ok(all)
    }

    async fn queries(&mut self, session: &mut Session, queries: Vec<Query>) -> Result<bool> {
        for query in queries {
            if !self.rows(session, query).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a query; false when nobody listens any more.
    async fn rows(&mut self, session: &mut Session, mut query: Query) -> Result<bool> {
        let doing = format!("reading `{}`", self.layout.object);
        let started = self.gather.start_at(query.first, &mut self.events);
        started.map_err(|error| columns(&self.layout, &error))?;
        let statement = session.prepare(&query.sql, &doing).await?;
        let mut of_read = statement.columns.iter().zip(self.columns.iter());
        if !of_read.all(|(now, then)| *now == then.definition) {
            return Err(MysqlError::Passing {
                doing,
                reason: "the columns were changed meanwhile".to_owned(),
            });
        }
        let answered = session.execute(&statement, &doing).await?;
        while let Some(row) = session.row(&doing).await? {
            let values = values(&row, &answered).ok_or_else(|| MysqlError::Protocol {
                doing: doing.clone(),
            })?;
            if let Some(given) = &mut query.given
                && given.holds(&digest(&values, &given.places))
            {
                continue;
            }
            let cells = cells(&values, &self.columns, self.zero_dates);
            let row = cells.map_err(|reasons| Misfit {
                raw: raw(&values, &self.columns),
                reasons,
            });
            let taken = self.gather.take(row, &mut self.events);
            taken.map_err(|error| columns(&self.layout, &error))?;
            if !self.events.is_empty() && !send(&self.sender, &mut self.events).await {
                return Ok(false);
            }
        }
        session.close(statement, &doing).await?;
        Ok(send(&self.sender, &mut self.events).await)
    }
}

fn columns(layout: &ReadLayout, error: &ArrowError) -> MysqlError {
    MysqlError::Columns {
        object: layout.object.clone(),
        reason: error.to_string(),
    }
}
