//! Moves rows: one piece of a read per split, each on a blocking thread of its own, a few batches ahead.
//!
//! Promise: a slow taker stops the reading; memory for two batches per piece is held while it is read.
//! It does not decide what is read: `source.rs` and `cursor.rs` do.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Event, Memory, Rows};
use towpath_vocab::{Failure, RecordLocation, Reject};

use super::boundary::Given;
use super::cells::{Batch, raw};
use super::error::{Doing as _, Result, SqliteError};
use super::session::Session;
use crate::relational::reader::{Pieces, ReadLayout};

/// Events on their way to the taker.
const WAITING: usize = 2;
/// Rejects are handed over in groups.
const REJECTS: usize = 1_000;

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
        batch: Batch::new(&shape.schema),
        rejects: Vec::new(),
        number: 0,
        first: 0,
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
    batch: Batch,
    rejects: Vec<Reject>,
    /// The next row's.
    number: u64,
    /// The batch's first row's. Rows between rejects are numbered without a gap: a batch ends where a
    /// row is missing.
    first: u64,
}

impl Out<'_> {
    /// Reads a query; false when nobody listens any more.
    fn read(&mut self, connection: &Connection, mut query: Query, path: &str) -> Result<bool> {
        if !self.send_rows()? {
            return Ok(false);
        }
        (self.number, self.first) = (query.first, query.first);
        let shape = self.shape;
        let doing = || format!("reading `{}`", shape.object);
        let mut statement = connection.prepare(&query.sql).doing(path, doing())?;
        let mut rows = statement
            .query(params_from_iter(&query.params))
            .doing(path, doing())?;
        while let Some(row) = rows.next().doing(path, doing())? {
            let was_given = query.given.as_mut().map(|given| given.holds(row));
            if was_given.transpose().doing(path, "comparing rows")? == Some(true) {
                continue;
            }
            if !self.take(row, path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a row; false when nobody listens any more.
    fn take(&mut self, row: &Row<'_>, path: &str) -> Result<bool> {
        let shape = self.shape;
        let taken = self.batch.take(row);
        let taken = taken.doing(path, format!("reading `{}`", shape.object))?;
        if let Err(reasons) = taken {
            if !self.send_rows()? {
                return Ok(false);
            }
            self.first = self.number + 1;
            self.rejects.push(Reject {
                table: shape.table.clone(),
                place: RecordLocation {
                    object: shape.object.clone(),
                    line: None,
                    ordinal: self.number + 1,
                },
                raw: raw(row, &shape.schema),
                reasons,
            });
        }
        self.number += 1;
        if self.batch.rows >= shape.batch_rows || self.batch.bytes >= shape.batch_bytes {
            if !self.send_rows()? {
                return Ok(false);
            }
            self.first = self.number;
        }
        Ok(self.rejects.len() < REJECTS || self.send_rejects())
    }

    fn end(mut self) -> Result<()> {
        if self.send_rows()? && !self.rejects.is_empty() {
            self.send_rejects();
        }
        Ok(())
    }

    /// Hands the batch over; false when nobody listens any more.
    fn send_rows(&mut self) -> Result<bool> {
        if self.batch.rows == 0 {
            return Ok(true);
        }
        fail::fail_point!("sqlite::read");
        let (table, object) = (&self.shape.table, &self.shape.object);
        let finished = self.batch.finish().map_err(|error| SqliteError::Columns {
            object: object.clone(),
            why: error.to_string(),
        })?;
        let rows = Rows::of_batch(table.clone(), object, finished, self.first);
        Ok(self.to.blocking_send(Ok(Event::Rows(rows))).is_ok())
    }

    /// Hands the rejects over; false when nobody listens any more.
    fn send_rejects(&mut self) -> bool {
        let rejects = std::mem::take(&mut self.rejects);
        self.to.blocking_send(Ok(Event::Rejects(rejects))).is_ok()
    }
}
