//! A settled read as a reader: one split per file, chunks parsed side by side, events in order.
//!
//! Promise: a slow reader of the events stops the reading of files. One blocking thread per file unpacks and
//! cuts, as many as there are cores parse; channels are short, so a slow taker stops the reading. Nothing of
//! a file is touched before its split is polled. Read next: `pieces.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use futures::{StreamExt, future, stream};
use tokio::sync::Semaphore;
use towpath_ports::{
    Assignment, BoxStream, Event, Memory, ReadSpec, Reader, Result, Rows, Split, TableSchema,
};
use towpath_vocab::{Failure, Position, SplitId, SplitPosition, TableName};

use super::binary;
use super::columnar::ColumnarRead;
use super::error::FilesError;
use super::file_position::FilePosition;
use super::find::InputFile;
use super::job::{How, Job, Settled};
use super::pieces::{Piece, pieces, workers};
use super::rows::parse;
use super::spare::SpareBuffers;

/// The events of one piece of a file.
type Events = Box<dyn Iterator<Item = Event> + Send>;

/// A reader of files.
pub(crate) struct FilesReader {
    table: TableName,
    settled: Settled,
    memory: Arc<dyn Memory>,
    buffers: SpareBuffers,
    batch_rows: usize,
    batch_bytes: usize,
    open_files: usize,
    limit: Option<u64>,
    /// The positions of the files, in their order; none where a read keeps no position.
    positions: Vec<FilePosition>,
    /// One permit per file that may be open.
    lanes: Arc<Semaphore>,
}

impl FilesReader {
    pub(crate) fn new(
        spec: &ReadSpec,
        settled: Settled,
        memory: Arc<dyn Memory>,
        chunk_bytes: usize,
    ) -> Self {
        let open_files = spec.parallel.clamp(1, 64);
        Self {
            table: spec.table.clone(),
            settled,
            memory,
            buffers: SpareBuffers::new(chunk_bytes),
            batch_rows: spec.batch_rows.max(1),
            batch_bytes: spec.batch_bytes,
            open_files,
            limit: spec.limit,
            positions: Vec::new(),
            lanes: Arc::new(Semaphore::new(open_files)),
        }
    }

    /// Lets each file end at its position, one for each job.
    pub(crate) fn ending_at(mut self, positions: Vec<FilePosition>) -> Self {
        self.positions = positions;
        self
    }

    fn split(
        &self,
        job: Job,
        position: Option<FilePosition>,
        left: Option<Arc<AtomicU64>>,
    ) -> Split {
        let id = SplitId(job.file.object.clone());
        let left_open = Arc::new(AtomicBool::new(false));
        let events = match &job.how {
            How::Text { .. } => self.text_events(&job, &left_open),
            How::Columns { schema } => binary::events(
                job.file.clone(),
                ColumnarRead {
                    schema: Arc::clone(schema),
                    table: self.table.clone(),
                    batch_rows: self.batch_rows,
                    batch_bytes: self.batch_bytes,
                    lanes: self.open_files,
                },
                &self.memory,
            ),
        };
        let events = match position {
            Some(position) => ending_at(events, position, job.file, left_open),
            None => events,
        };
        Split {
            id,
            events: in_lane(limited(events, left), &self.lanes),
        }
    }

    /// Sets `left_open` before the end where a quote stands open there.
    fn text_events(&self, job: &Job, left_open: &Arc<AtomicBool>) -> BoxStream<Result<Event>> {
        let How::Text { layout, .. } = &job.how else {
            return Box::pin(stream::empty());
        };
        let (layout, path) = (Arc::clone(layout), job.file.object.clone());
        let ends_open = Arc::clone(left_open);
        let events = pieces(job, &self.memory, &self.buffers)
            .map(move |piece| {
                let (layout, path) = (Arc::clone(&layout), path.clone());
                let ends_open = Arc::clone(&ends_open);
                async move {
                    match piece? {
                        Piece::End { bytes, left_open } => {
                            ends_open.store(left_open, Ordering::SeqCst);
                            let ends = [Event::Boundary(SplitPosition::at(bytes)), Event::End];
                            Ok(Box::new(ends.into_iter()) as Events)
                        }
                        Piece::Chunk(chunk) => {
                            match tokio::task::spawn_blocking(move || parse(chunk, &layout)).await {
                                Ok(parsed) => parsed.map(|events| Box::new(events) as Events),
                                Err(_) => Err(FilesError::Broken { path }),
                            }
                        }
                    }
                }
            })
            .buffered(workers())
            .flat_map(|events: Result<Events, FilesError>| {
                let events: Box<dyn Iterator<Item = Result<Event>> + Send> = match events {
                    Ok(events) => Box::new(events.map(Ok)),
                    Err(error) => Box::new(std::iter::once(Err(Failure::from(error)))),
                };
                stream::iter(events)
            });
        Box::pin(events)
    }
}

/// Waits for a lane before the first event and keeps it to the last: a taker may poll all splits of a
/// thousand files at once.
fn in_lane(events: BoxStream<Result<Event>>, lanes: &Arc<Semaphore>) -> BoxStream<Result<Event>> {
    let lanes = Arc::clone(lanes);
    let waited = stream::once(async move {
        // Lanes are never closed.
        let lane = lanes.acquire_owned().await.ok();
        events.map(move |event| {
            let _kept = &lane;
            event
        })
    });
    Box::pin(waited.flatten())
}

/// A file that is done as a whole or not at all: its one boundary is its end, and it is there only
/// when what was read is what the position says.
fn ending_at(
    events: BoxStream<Result<Event>>,
    position: FilePosition,
    file: InputFile,
    left_open: Arc<AtomicBool>,
) -> BoxStream<Result<Event>> {
    let asked = Arc::new((position, file, left_open));
    let events = events.then(move |event| {
        let asked = Arc::clone(&asked);
        async move {
            match event {
                Ok(Event::Boundary(_)) => Vec::new(),
                Ok(Event::End) => match reached(&asked).await {
                    Ok(position) => vec![Ok(Event::Boundary(position)), Ok(Event::End)],
                    Err(error) => vec![Err(Failure::from(error))],
                },
                other => vec![other],
            }
        }
    });
    Box::pin(events.flat_map(stream::iter))
}

async fn reached(
    asked: &Arc<(FilePosition, InputFile, Arc<AtomicBool>)>,
) -> Result<SplitPosition, FilesError> {
    let file = Arc::clone(asked);
    let looked = tokio::task::spawn_blocking(move || {
        let left_open = file.2.load(Ordering::SeqCst);
        file.0.reached(&file.1, left_open)
    });
    let looked = looked.await;
    looked.map_err(|_| FilesError::Broken {
        path: asked.1.object.clone(),
    })?
}

/// Cuts a stream of events after so many rows; `left` is shared by the splits of a read.
fn limited(
    events: BoxStream<Result<Event>>,
    left: Option<Arc<AtomicU64>>,
) -> BoxStream<Result<Event>> {
    let Some(left) = left else { return events };
    let cut = stream::unfold(Some((events, left)), |state| async move {
        let (mut events, left) = state?;
        if left.load(Ordering::SeqCst) == 0 {
            return Some((Ok(Event::End), None));
        }
        match events.next().await? {
            Ok(Event::Rows(rows)) => {
                let count = rows.len() as u64;
                let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    Some(left.saturating_sub(count))
                });
                let kept = usize::try_from(taken.unwrap_or(0).min(count)).unwrap_or(usize::MAX);
                Some((Ok(Event::Rows(head_of(rows, kept))), Some((events, left))))
            }
            other => Some((other, Some((events, left)))),
        }
    });
    Box::pin(cut)
}

fn head_of(rows: Rows, count: usize) -> Rows {
    Rows {
        batch: rows.batch.slice(0, count),
        ordinals: rows.ordinals.slice(0, count),
        ops: rows.ops.map(|ops| ops.slice(0, count)),
        ..rows
    }
}

#[async_trait]
impl Reader for FilesReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: self.table.clone(),
            schema: Arc::clone(&self.settled.schema),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let left = self.limit.map(|limit| Arc::new(AtomicU64::new(limit)));
        let jobs = std::mem::take(&mut self.settled.jobs);
        let positions = std::mem::take(&mut self.positions);
        let positions = positions
            .into_iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        let splits: Vec<Result<Assignment>> = jobs
            .into_iter()
            .zip(positions)
            .map(|(job, position)| {
                Ok(Assignment::Assigned(self.split(
                    job,
                    position,
                    left.clone(),
                )))
            })
            .collect();
        let complete = stream::once(future::ready(Ok(Assignment::Complete(Position::default()))));
        Box::pin(stream::iter(splits).chain(complete))
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.settled.notes.clone()
    }
}
