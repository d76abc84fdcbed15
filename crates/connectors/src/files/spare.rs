//! Buffers of chunks that are done, to be filled again.
//!
//! Promise: the system clears each page before it gives it, which takes longer than to copy a file into
//! it; a buffer that is used again is not cleared. No more than `MOST` buffers of the usual size wait, and
//! only as long as a read goes on. It knows no file. Read next: `chunk.rs`.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that wait: no budget counts them.
const MOST: usize = 2;

/// The buffers of one read, shared by its files.
#[derive(Clone, Debug)]
pub(crate) struct SpareBuffers {
    waiting: Arc<Mutex<Vec<Vec<u8>>>>,
    chunk_bytes: usize,
}

impl SpareBuffers {
    /// For chunks of this size.
    pub(crate) fn new(chunk_bytes: usize) -> Self {
        Self {
            waiting: Arc::default(),
            chunk_bytes,
        }
    }

    /// The usual size of a chunk.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// An empty buffer with room for so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let waiting = self.lock().pop_if(|buffer| buffer.capacity() >= bytes);
        let mut buffer = waiting.unwrap_or_else(|| Vec::with_capacity(bytes));
        buffer.clear();
        buffer
    }

    /// Takes back a buffer that is done, unless it is a large one of a long record.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        let mut waiting = self.lock();
        if waiting.len() < MOST && buffer.capacity() <= self.chunk_bytes {
            waiting.push(buffer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A vector is whole whatever broke off.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_only_a_few_wait() {
        let spare = SpareBuffers::new(100);
        let mut buffers: Vec<Vec<u8>> = (0..4).map(|_| spare.take(100)).collect();
        for buffer in &mut buffers {
            buffer.push(7);
        }
        let first = buffers.first().map(|buffer| buffer.as_ptr());
        for buffer in buffers {
            spare.put(buffer);
        }
        assert_eq!(spare.lock().len(), MOST);
        spare.take(100);
        let again = spare.take(60);
        assert_eq!((again.len(), again.capacity()), (0, 100));
        assert_eq!(Some(again.as_ptr()), first);
    }

    #[test]
    fn buffers_of_long_records_are_not_kept() {
        let spare = SpareBuffers::new(100);
        spare.put(Vec::with_capacity(200));
        assert!(spare.lock().is_empty());
        spare.put(spare.take(100));
        assert_eq!(spare.take(150).capacity(), 150);
        assert_eq!(spare.lock().len(), 1);
    }
}
