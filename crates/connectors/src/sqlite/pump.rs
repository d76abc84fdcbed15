//! Moves rows: one piece of a read per split, each on a blocking thread of its own, a few batches ahead.
//!
//! Promise: a slow taker stops the reading; memory for two batches per piece is held while it is read.
//! It does not decide what is read: `source.rs` and `cursor.rs` do.

use std::sync::Arc;

use arrow_schema::ArrowError;
use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Event, Memory};
use towpath_vocab::Failure;

use super::boundary::digest;
use super::cells::{cells, raw};
use super::error::{ErrorContext as _, Result, SqliteError};
use super::session::Session;
use crate::relational::boundary::Given;
use crate::relational::gather::{Gather, Misfit};
use crate::relational::reader::{Pieces, ReadLayout};

/// Events on their way to the taker.
const WAITING: usize = 2;

/// A query, its columns those of the layout and, behind them, those `given` looks at.
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) params: Vec<Value>,
    /// The number of its first row.
    pub(super) first: u64,
    /// Rows that are left out.
    pub(super) given: Option<Given>,
}

/// A part of a read: rows of queries on one session, one after the other.
pub(super) struct Piece {
    pub(super) id: String,
    pub(super) session: Session,
    pub(super) queries: Vec<Query>,
}

/// How pieces are read: each by its queries, on a thread.
pub(super) struct Queries {
    pub(super) layout: ReadLayout,
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
        events(piece, self.layout.clone(), Arc::clone(&self.memory))
    }
}

type Sender = mpsc::Sender<towpath_ports::Result<Event>>;

fn events(
    piece: Piece,
    shape: ReadLayout,
    memory: Arc<dyn Memory>,
) -> BoxStream<towpath_ports::Result<Event>> {
    let started = stream::once(async move {
        let lease = shape.lease(memory.as_ref()).await?;
        let (to, mut from) = mpsc::channel(WAITING);
        let path = piece.session.shown.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let session = piece.session.clone();
            let last = match read(&session.lock(), piece, &shape, &to) {
                Ok(()) => Ok(Event::End),
                Err(error) => Err(Failure::from(error)),
            };
            // Nobody listens any more when this fails.
            let _ = to.blocking_send(last);
            drop(lease);
        });
        // A thread that broke off has sent no end: its panic must not look like one.
        let checked = stream::once(async move {
            thread
                .await
                .err()
                .map(|_| Err(Failure::from(SqliteError::Broken { path })))
        });
        let events = stream::poll_fn(move |context| from.poll_recv(context))
            .chain(checked.filter_map(future::ready));
        Ok::<_, Failure>(events)
    });
    Box::pin(started.try_flatten())
}

fn read(connection: &Connection, piece: Piece, shape: &ReadLayout, to: &Sender) -> Result<()> {
    let mut out = Out {
        shape,
        to,
        gather: Gather::new(shape),
        events: Vec::new(),
    };
    for query in piece.queries {
        if !out.read(connection, query, &piece.session.shown)? {
            return Ok(());
        }
    }
    out.end()
}

/// What a piece has read and not handed over yet.
struct Out<'a> {
    shape: &'a ReadLayout,
    to: &'a Sender,
    gather: Gather,
    events: Vec<Event>,
}

impl Out<'_> {
    /// Reads a query; false when nobody listens any more.
    fn read(&mut self, connection: &Connection, mut query: Query, path: &str) -> Result<bool> {
        let shape = self.shape;
        let started = self.gather.start_at(query.first, &mut self.events);
        started.map_err(|error| columns(shape, &error))?;
        let doing = || format!("reading `{}`", shape.object);
        let mut statement = connection.prepare(&query.sql).doing(path, doing())?;
        let mut rows = statement
            .query(params_from_iter(&query.params))
            .doing(path, doing())?;
        while let Some(row) = rows.next().doing(path, doing())? {
            if let Some(given) = &mut query.given {
                let digest = digest(row, &given.places).doing(path, "comparing rows")?;
                if given.holds(&digest) {
                    continue;
                }
            }
            let cells = cells(row, &shape.schema).doing(path, doing())?;
            let row = cells.map_err(|reasons| Misfit {
                raw: raw(row, &shape.schema),
                reasons,
            });
            let taken = self.gather.take(row, &mut self.events);
            taken.map_err(|error| columns(shape, &error))?;
            if !send(self.to, &mut self.events)? {
                return Ok(false);
            }
        }
        send(self.to, &mut self.events)
    }

    fn end(mut self) -> Result<()> {
        let finished = self.gather.finish(&mut self.events);
        finished.map_err(|error| columns(self.shape, &error))?;
        send(self.to, &mut self.events)?;
        Ok(())
    }
}

fn columns(shape: &ReadLayout, error: &ArrowError) -> SqliteError {
    SqliteError::Columns {
        object: shape.object.clone(),
        why: error.to_string(),
    }
}

/// Hands events over; false when nobody listens any more.
fn send(to: &Sender, events: &mut Vec<Event>) -> Result<bool> {
    for event in events.drain(..) {
        if matches!(event, Event::Rows(_)) {
            fail::fail_point!("sqlite::read");
        }
        if to.blocking_send(Ok(event)).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
