//! The chunks of a text file as a stream, read and unpacked on a thread of their own.
//!
//! Promise: chunks come in the order of the file, and so are their leases taken, so who waits for
//! memory waits for chunks before its own only. A thread that breaks off is a failure, never an end.

use std::sync::Arc;

use futures::{StreamExt, future, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Memory, Result};

use super::ahead::MOST;
use super::chunk::{Chunk, ChunkReader};
use super::error::FilesError;
use super::job::{How, Job, cutter};
use super::spare::SpareBuffers;

/// What the reading thread of a file gives.
pub(crate) enum Piece {
    Chunk(Chunk),
    End {
        /// The size of the unpacked file.
        bytes: u64,
        /// A quote stands open there: the last records may be others once the file is longer.
        left_open: bool,
    },
}

/// Chunks worked on at once.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(1, 16)
}

/// The chunks of a text file, read on a thread of its own, started when first polled.
pub(crate) fn pieces(
    job: &Job,
    memory: &Arc<dyn Memory>,
    buffers: &SpareBuffers,
) -> BoxStream<Result<Piece, FilesError>> {
    let (job, memory, buffers) = (job.clone(), Arc::clone(memory), buffers.clone());
    let started = stream::once(async move {
        let (to, mut from) = mpsc::channel(1);
        let handle = Handle::current();
        let path = job.file.object.clone();
        let mut thread = Some(tokio::task::spawn_blocking(move || {
            read(&job, &memory, &buffers, &handle, &to)
        }));
        let received = stream::poll_fn(move |context| from.poll_recv(context));
        // A thread that broke off has sent no end: its panic must not look like one.
        let checked = stream::once(async move {
            match thread.take() {
                Some(thread) => thread.await.err().map(|_| Err(FilesError::Broken { path })),
                None => None,
            }
        });
        received.chain(checked.filter_map(future::ready))
    });
    Box::pin(started.flatten())
}

fn read(
    job: &Job,
    memory: &Arc<dyn Memory>,
    buffers: &SpareBuffers,
    handle: &Handle,
    to: &mpsc::Sender<Result<Piece, FilesError>>,
) {
    let How::Text {
        layout,
        head,
        length,
    } = &job.how
    else {
        return;
    };
    let most = memory.limit_bytes() / MOST;
    let holder = format!("a read of {}", job.file.object);
    let mut hold = |bytes: u64| {
        let lease = handle.block_on(memory.lease(&holder, bytes.min(most).max(1)));
        lease.map_err(|failure| FilesError::Memory(Box::new(failure)))
    };
    let mut run = || -> Result<(), FilesError> {
        let mut reader =
            ChunkReader::open(&job.file, (head, *length), cutter(&layout.shape), buffers)?;
        while let Some(chunk) = reader.next_chunk(&mut hold)? {
            if to.blocking_send(Ok(Piece::Chunk(chunk))).is_err() {
                return Ok(());
            }
        }
        // No one listens any more when this fails.
        let _ = to.blocking_send(Ok(Piece::End {
            bytes: reader.offset(),
            left_open: reader.left_open(),
        }));
        Ok(())
    };
    if let Err(error) = run() {
        let _ = to.blocking_send(Err(error));
    }
}
