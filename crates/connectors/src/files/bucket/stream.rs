//! An object as a stream of bytes, with a few ranges on their way ahead of the reader.
//!
//! Promise: at most `MOST_AHEAD` ranges of `LARGEST` bytes are held; who reads only the begin gets little more
//! than that. A reader that stops ends the requests. Read next: `object.rs`.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use tokio::task::JoinHandle;

use super::object::StoredObject;
use crate::files::error::FilesError;

const FIRST: u64 = 256 << 10;
const LARGEST: u64 = 1 << 20;
const MOST_AHEAD: usize = 4;

/// The bytes of an object from its first to its last.
pub(crate) struct ObjectStream {
    object: Arc<StoredObject>,
    /// Where the next range begins.
    next: u64,
    piece: u64,
    most: usize,
    ahead: VecDeque<JoinHandle<Result<Bytes, FilesError>>>,
    current: Bytes,
}

impl ObjectStream {
    pub(crate) fn new(object: &Arc<StoredObject>) -> Self {
        Self {
            object: Arc::clone(object),
            next: 0,
            piece: FIRST,
            most: 1,
            ahead: VecDeque::new(),
            current: Bytes::new(),
        }
    }

    fn ask(&mut self) {
        while self.ahead.len() < self.most && self.next < self.object.size() {
            let end = (self.next + self.piece).min(self.object.size());
            let (object, range) = (Arc::clone(&self.object), self.next..end);
            let asked = self
                .object
                .handle()
                .spawn(async move { object.get(range).await });
            self.ahead.push_back(asked);
            self.next = end;
        }
    }

    /// The next range; `None` at the end.
    fn take(&mut self) -> io::Result<Option<Bytes>> {
        self.ask();
        let Some(first) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let got = self.object.handle().block_on(first);
        let got = got.unwrap_or_else(|_| {
            Err(FilesError::Broken {
                path: format!("{:?}", self.object),
            })
        });
        let bytes = got.map_err(|error| self.object.noted(error))?;
        (self.piece, self.most) = (
            (2 * self.piece).min(LARGEST),
            (2 * self.most).min(MOST_AHEAD),
        );
        Ok(Some(bytes))
    }
}

impl Read for ObjectStream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        if self.current.is_empty() {
            let Some(bytes) = self.take()? else {
                return Ok(0);
            };
            self.current = bytes;
            if self.most > 1 {
                self.ask();
            }
        }
        let count = to.len().min(self.current.len());
        if let Some(to) = to.get_mut(..count) {
            self.current.copy_to_slice(to);
        }
        Ok(count)
    }
}

impl Drop for ObjectStream {
    fn drop(&mut self) {
        for asked in &self.ahead {
            asked.abort();
        }
    }
}
