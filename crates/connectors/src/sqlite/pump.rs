//! Moves rows: one piece of a read per split, each on a blocking thread of its own, a few batches ahead.
//!
//! Promise: a slow taker stops the reading; memory for two batches per piece is held while it is read.
//! It does not decide what is read: `source.rs` and `cursor.rs` do.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt as _, future, stream};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::mpsc;
use towpath_ports::{Assignment, BoxStream, Event, Memory, Reader, Rows, Split, TableSchema};
use towpath_vocab::{Failure, Place, Position, Reject, SplitId, TableName};

use super::cells::{Batch, raw};
use super::error::{Doing as _, Result, SqliteError};
use super::session::Session;

/// Events on their way to the taker.
const WAITING: usize = 2;
/// Rejects are handed over in groups.
const REJECTS: usize = 1_000;

/// A part of a read: rows of one query on one session.
pub(super) struct Piece {
    pub(super) id: String,
    pub(super) session: Session,
    pub(super) sql: String,
    pub(super) params: Vec<Value>,
    /// The number of its first row.
    pub(super) first: u64,
}

/// What all pieces of a read share.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) table: TableName,
    pub(super) object: String,
    pub(super) schema: SchemaRef,
    pub(super) batch_rows: usize,
    pub(super) batch_bytes: usize,
}

/// A planned read.
pub(super) struct TableReader {
    pub(super) shape: Shape,
    pub(super) pieces: Vec<Piece>,
    pub(super) memory: Arc<dyn Memory>,
    pub(super) position: Position,
    pub(super) notes: Vec<String>,
}

/// How many bytes a batch may have, so that all pieces together stay within a quarter of the budget.
pub(super) fn batch_bytes(wanted: usize, pieces: usize, memory: &dyn Memory) -> usize {
    let share =
        usize::try_from(memory.limit_bytes() / (8 * pieces.max(1) as u64)).unwrap_or(usize::MAX);
    wanted.min(share).clamp(64 << 10, 256 << 20)
}

#[async_trait]
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
        let pieces = std::mem::take(&mut self.pieces).into_iter();
        let splits: Vec<_> = pieces
            .map(|piece| {
                let id = SplitId(piece.id.clone());
                Ok(Assignment::Assigned(Split {
                    id,
                    events: events(piece, self.shape.clone(), Arc::clone(&self.memory)),
                }))
            })
            .collect();
        let complete = Ok(Assignment::Complete(self.position.clone()));
        Box::pin(stream::iter(splits).chain(stream::once(future::ready(complete))))
    }

    async fn committed(&mut self, _: &Position) -> towpath_ports::Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

type Sender = mpsc::Sender<towpath_ports::Result<Event>>;

fn events(
    piece: Piece,
    shape: Shape,
    memory: Arc<dyn Memory>,
) -> BoxStream<towpath_ports::Result<Event>> {
    let started = stream::once(async move {
        let lease = memory.hold(2 * shape.batch_bytes as u64).await;
        let (to, mut from) = mpsc::channel(WAITING);
        let path = piece.session.shown.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let session = piece.session.clone();
            let last = match read(&session.lock(), &piece, &shape, &to) {
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
        stream::poll_fn(move |context| from.poll_recv(context))
            .chain(checked.filter_map(future::ready))
    });
    Box::pin(started.flatten())
}

fn read(connection: &Connection, piece: &Piece, shape: &Shape, to: &Sender) -> Result<()> {
    let path = &*piece.session.shown;
    let doing = || format!("reading `{}`", shape.object);
    let mut statement = connection.prepare(&piece.sql).doing(path, doing())?;
    let mut rows = statement
        .query(params_from_iter(&piece.params))
        .doing(path, doing())?;
    let mut batch = Batch::new(&shape.schema);
    let mut rejects = Vec::new();
    let mut number = piece.first;
    // Rows between rejects are numbered without a gap: a batch ends where a row is missing.
    let mut first = number;
    while let Some(row) = rows.next().doing(path, doing())? {
        match batch.take(row).doing(path, doing())? {
            Ok(()) => {}
            Err(reasons) => {
                if !send_rows(&mut batch, first, shape, to)? {
                    return Ok(());
                }
                first = number + 1;
                rejects.push(Reject {
                    table: shape.table.clone(),
                    place: Place {
                        object: shape.object.clone(),
                        line: None,
                        ordinal: number + 1,
                    },
                    raw: raw(row, &shape.schema),
                    reasons,
                });
            }
        }
        number += 1;
        if batch.rows >= shape.batch_rows || batch.bytes >= shape.batch_bytes {
            fail::fail_point!("sqlite::read");
            if !send_rows(&mut batch, first, shape, to)? {
                return Ok(());
            }
            first = number;
        }
        if rejects.len() >= REJECTS
            && to
                .blocking_send(Ok(Event::Rejects(std::mem::take(&mut rejects))))
                .is_err()
        {
            return Ok(());
        }
    }
    if send_rows(&mut batch, first, shape, to)? && !rejects.is_empty() {
        // Nobody listens any more when this fails.
        let _ = to.blocking_send(Ok(Event::Rejects(rejects)));
    }
    Ok(())
}

/// Hands the batch over; false when nobody listens any more.
fn send_rows(batch: &mut Batch, first: u64, shape: &Shape, to: &Sender) -> Result<bool> {
    if batch.rows == 0 {
        return Ok(true);
    }
    let finished = batch.finish().map_err(|error| SqliteError::Columns {
        object: shape.object.clone(),
        why: error.to_string(),
    })?;
    let rows = Rows::of_batch(shape.table.clone(), &shape.object, finished, first);
    Ok(to.blocking_send(Ok(Event::Rows(rows))).is_ok())
}
