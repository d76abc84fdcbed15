//! A file that is read from its start to its end, part by part: blocks, record batches.
//!
//! Promise: a part is decoded only when memory for it is held, at most a quarter of the budget; one that would take
//! more than half of it is refused. What a format does to find a part (unpack a block, decode a dictionary) comes before
//! that, bounded by the same half. Rows are handed on in the order of the file, in batches, cut so that what dictionaries,
//! runs and views become stays near `batch_bytes`. Two batches at most are ahead of the taker. A panic of a library is an
//! error that names the part. It knows no format. Read next: `shape.rs`, `expand.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::{StreamExt, future, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Event, Memory, ReservedMemory, Result};
use towpath_vocab::{Failure, SplitPosition, TableName};

use super::columns::FileColumn;
use super::expand::{self, widest};
use super::fine::FineTimes;
use super::guard::quietly;
use super::shape::shape;
use crate::files::ahead::MOST;
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// So many batches fit into the budget: one must be had while a taker keeps most of it.
pub(in crate::files) const BATCHES: u64 = 64;

/// What is asked of a file.
#[derive(Clone)]
pub(in crate::files) struct ColumnarRead {
    pub(in crate::files) schema: SchemaRef,
    pub(in crate::files) table: TableName,
    pub(in crate::files) batch_rows: usize,
    pub(in crate::files) batch_bytes: usize,
    /// Files that are read at once.
    pub(in crate::files) lanes: usize,
}

/// How much of a file is decoded at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::files) struct Limits {
    /// What a part should take, where that can be chosen.
    pub(in crate::files) part: u64,
    /// What no part may take.
    pub(in crate::files) most: u64,
}

impl Limits {
    fn of(batch_bytes: usize, budget: u64) -> Self {
        Self {
            part: (batch_bytes as u64).min(budget / BATCHES).max(1),
            most: (budget / 2).max(1),
        }
    }
}

/// A part that was not decoded yet.
pub(in crate::files) struct Part {
    /// What a person calls it, such as `block 3`.
    pub(in crate::files) name: String,
    /// What it takes, with what it is decoded to.
    pub(in crate::files) bytes: u64,
}

/// The parts of a file, in its order.
pub(in crate::files) trait Parts {
    /// Goes on to the next part; `None` behind the last one, where the file is whole.
    fn next(&mut self) -> Result<Option<Part>, FilesError>;

    /// The rows of this part, in the columns that were asked for.
    fn rows(&mut self) -> Result<RecordBatch, FilesError>;
}

/// An opened file.
pub(in crate::files) struct Opened {
    /// The columns of the rows, in their order.
    pub(in crate::files) columns: Vec<FileColumn>,
    pub(in crate::files) parts: Box<dyn Parts>,
}

/// Opens a file for a read of the columns of these names.
pub(in crate::files) type Open =
    fn(&InputFile, &dyn Fn(&str) -> bool, Limits) -> Result<Opened, FilesError>;

/// A failed call to open a file.
pub(in crate::files) fn unread(file: &InputFile) -> impl FnOnce(std::io::Error) -> FilesError + '_ {
    |source| FilesError::Read {
        path: file.object.clone(),
        source,
    }
}

/// Why a part cannot be decoded.
pub(in crate::files) fn damaged(
    file: &InputFile,
    part: &str,
    why: impl std::fmt::Display,
) -> FilesError {
    file.place.failure().unwrap_or_else(|| FilesError::Damaged {
        path: file.object.clone(),
        part: part.to_owned(),
        column: None,
        why: why.to_string(),
    })
}

/// Refuses a part that would take more than memory allows.
pub(in crate::files) fn fitting(
    file: &InputFile,
    part: Part,
    limits: Limits,
) -> Result<Part, FilesError> {
    if part.bytes <= limits.most {
        return Ok(part);
    }
    Err(FilesError::LargePart {
        path: file.object.clone(),
        part: part.name,
        bytes: part.bytes,
        most: limits.most,
        is_fixed: false,
    })
}

/// The rows of a file, in batches.
pub(in crate::files) fn events(
    file: InputFile,
    asked: ColumnarRead,
    memory: &Arc<dyn Memory>,
    open: Open,
) -> BoxStream<Result<Event>> {
    let memory = Arc::clone(memory);
    let started = stream::once(async move {
        let (to, mut from) = mpsc::channel(2);
        let path = file.object.clone();
        let sender = Sender {
            to,
            memory,
            handle: Handle::current(),
        };
        let mut thread = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = read(&file, &asked, open, &sender) {
                // No one listens any more when this fails.
                let _ = sender.to.blocking_send(Err(Failure::from(error)));
            }
        }));
        let received = stream::poll_fn(move |context| from.poll_recv(context));
        // A thread that broke off has sent no end: its panic must not look like one.
        let checked = stream::once(async move {
            let ended = thread.take()?.await;
            ended
                .err()
                .map(|_| Err(Failure::from(FilesError::Broken { path })))
        });
        received.chain(checked.filter_map(future::ready))
    });
    Box::pin(started.flatten())
}

/// The side that decodes.
struct Sender {
    to: mpsc::Sender<Result<Event>>,
    memory: Arc<dyn Memory>,
    handle: Handle,
}

impl Sender {
    /// Waits for memory; `None` when the taker has left, or was told that none came.
    fn hold(&self, bytes: u64) -> Option<ReservedMemory> {
        let bytes = bytes.min(self.memory.limit_bytes() / MOST).max(1);
        self.handle.block_on(async {
            let lease = tokio::select! {
                lease = self.memory.lease("a read of a file", bytes) => lease,
                () = self.to.closed() => return None,
            };
            match lease {
                Ok(lease) => Some(lease),
                Err(failure) => {
                    // No one listens any more when this fails.
                    let _ = self.to.send(Err(failure)).await;
                    None
                }
            }
        })
    }

    /// Whether it was taken.
    fn send(&self, event: Event) -> bool {
        self.to.blocking_send(Ok(event)).is_ok()
    }
}

fn read(
    file: &InputFile,
    asked: &ColumnarRead,
    open: Open,
    sender: &Sender,
) -> Result<(), FilesError> {
    let limits = Limits::of(asked.batch_bytes, sender.memory.limit_bytes());
    let is_read = |name: &str| asked.schema.field_with_name(name).is_ok();
    let opened = quietly(|| open(file, &is_read, limits));
    let opened = opened.map_err(|panic| damaged(file, "its head", panic))??;
    let (columns, mut parts) = (opened.columns, opened.parts);
    let (mut first, mut name) = (0, "its head".to_owned());
    loop {
        fail::fail_point!("files::read");
        let Some(mut lease) = sender.hold(limits.part) else {
            return Ok(());
        };
        let next = match quietly(|| parts.next()) {
            Ok(next) => next?,
            // Nothing of it may be used any more, not even to be dropped.
            Err(panic) => {
                std::mem::forget(parts);
                return Err(damaged(file, &format!("behind {name}"), panic));
            }
        };
        let Some(part) = next else { break };
        name = part.name;
        if part.bytes > limits.part {
            // Who waits for more must not keep others from theirs.
            drop(lease);
            let Some(larger) = sender.hold(part.bytes) else {
                return Ok(());
            };
            lease = larger;
        }
        let batch = match quietly(|| parts.rows()) {
            Ok(batch) => batch?,
            Err(panic) => {
                std::mem::forget(parts);
                return Err(damaged(file, &name, panic));
            }
        };
        if !hand_on(file, asked, &columns, &batch, (first, &name), lease, sender)? {
            return Ok(());
        }
        first += batch.num_rows() as u64;
    }
    for event in [Event::Boundary(SplitPosition::at(first)), Event::End] {
        if !sender.send(event) {
            break;
        }
    }
    Ok(())
}

/// Hands the rows of a part on, a batch at a time; false when the taker has left. `place` is the number of the
/// first row and the name of the part.
fn hand_on(
    file: &InputFile,
    asked: &ColumnarRead,
    columns: &[FileColumn],
    rows: &RecordBatch,
    place: (u64, &str),
    lease: ReservedMemory,
    sender: &Sender,
) -> Result<bool, FilesError> {
    let (first, name) = place;
    let lease = Arc::new(lease);
    let mut at = 0;
    while at < rows.num_rows() {
        let cut = quietly(|| next_batch(file, asked, rows, at, (first, name)));
        let batch = cut.map_err(|panic| damaged(file, name, panic))??;
        let (start, count) = (first + at as u64, batch.num_rows());
        let kept: ReservedMemory = Box::new(Arc::clone(&lease));
        let shaped = quietly(|| shape(asked, file, columns, batch, start, kept));
        let shaped = shaped.map_err(|panic| damaged(file, name, panic))?;
        for event in shaped.map_err(|error| damaged(file, name, error))? {
            if !sender.send(event) {
                return Ok(false);
            }
        }
        at += count;
    }
    Ok(true)
}

/// The rows of a part from here on that become one batch: fewer where their values take many bytes.
fn next_batch(
    file: &InputFile,
    asked: &ColumnarRead,
    rows: &RecordBatch,
    at: usize,
    (first, name): (u64, &str),
) -> Result<RecordBatch, FilesError> {
    let most = (asked.batch_bytes as u64).min(expand::MOST);
    let mut batch = rows.slice(at, asked.batch_rows.min(rows.num_rows() - at));
    loop {
        let bytes = widest(&batch);
        if bytes <= most {
            return Ok(batch);
        }
        if batch.num_rows() > 1 {
            batch = batch.slice(0, batch.num_rows() / 2);
            continue;
        }
        if bytes <= expand::MOST {
            return Ok(batch);
        }
        return Err(FilesError::LargePart {
            path: file.object.clone(),
            part: format!("row {} in {name}", first + at as u64 + 1),
            bytes,
            most: expand::MOST,
            is_fixed: true,
        });
    }
}

/// Looks at the timestamps of these columns of a file.
pub(in crate::files) fn look_at_times(
    file: &InputFile,
    asked: &BTreeSet<String>,
    found: &mut FineTimes,
    open: Open,
    budget: u64,
) -> Result<(), FilesError> {
    const PART_BYTES: usize = 1 << 20;
    let limits = Limits::of(PART_BYTES, budget);
    let looked = quietly(|| -> Result<(), FilesError> {
        let is_open = |name: &str| found.is_open(name, asked);
        let mut opened = open(file, &is_open, limits)?;
        while let Some(part) = opened.parts.next()? {
            let rows = opened.parts.rows()?;
            for (column, array) in opened.columns.iter().zip(rows.columns()) {
                let seen = found.see(file, column, array);
                seen.map_err(|error| damaged(file, &part.name, error))?;
            }
        }
        Ok(())
    });
    looked.map_err(|panic| damaged(file, "its values", panic))?
}
