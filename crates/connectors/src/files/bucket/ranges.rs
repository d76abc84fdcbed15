//! An object by ranges: for formats that are read from their end, or in columns.
//!
//! Promise: what is near is got with what is asked for, up to a window in each span (a column of a row group), and
//! windows are all that is held. Windows of spans are got side by side at the start. Read next: `object.rs`.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::object::StoredObject;
use crate::files::error::FilesError;

/// All windows of a row group.
const WINDOWS: u64 = 16 << 20;
const LARGEST: u64 = 1 << 20;
const SMALLEST: u64 = 64 << 10;
/// What is got at once at the end of an object: a footer, or the list of an archive.
const TAIL: u64 = 64 << 10;
/// Windows where there are no spans.
const MOST: usize = 4;
/// Requests at once.
const AT_ONCE: usize = 8;

/// Reads an object by ranges.
#[derive(Debug)]
pub(crate) struct Ranged {
    object: Arc<StoredObject>,
    spans: Vec<Range<u64>>,
    window: u64,
    held: Mutex<VecDeque<(u64, Bytes)>>,
}

/// How much is held of each of so many spans.
fn window(spans: usize) -> u64 {
    let each = WINDOWS / u64::try_from(spans.max(1)).unwrap_or(WINDOWS);
    each.clamp(SMALLEST, LARGEST)
}

/// What a read of these spans holds at most, beside what it gives.
pub(crate) fn held_bytes(spans: &[Range<u64>]) -> u64 {
    let window = window(spans.len());
    let sizes = spans.iter().map(|span| span.end.saturating_sub(span.start));
    sizes.map(|size| size.min(window)).sum()
}

fn early_end() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

impl Ranged {
    pub(crate) fn new(object: &Arc<StoredObject>) -> Self {
        Self {
            object: Arc::clone(object),
            spans: Vec::new(),
            window: LARGEST,
            held: Mutex::new(VecDeque::new()),
        }
    }

    /// For a read of these spans, whose first bytes are got at once.
    pub(crate) fn within(object: &Arc<StoredObject>, spans: Vec<Range<u64>>) -> io::Result<Self> {
        let window = window(spans.len());
        let firsts: Vec<Range<u64>> = spans
            .iter()
            .map(|span| {
                span.start
                    ..span
                        .end
                        .min(span.start.saturating_add(window))
                        .min(object.size())
            })
            .collect();
        let got = stream::iter(firsts.into_iter().map(|range| async move {
            let bytes = object.get(range.clone()).await?;
            Ok::<_, FilesError>((range.start, bytes))
        }))
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>();
        let got = object.handle().block_on(got);
        let got = got.map_err(|error| object.noted(error))?;
        Ok(Self {
            object: Arc::clone(object),
            spans,
            window,
            held: Mutex::new(got.into()),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.object.size()
    }

    /// Exactly these bytes.
    pub(crate) fn bytes(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let wanted = u64::try_from(length).map_err(|_| early_end())?;
        let end = start.checked_add(wanted).ok_or_else(early_end)?;
        if end > self.size() {
            return Err(early_end());
        }
        let (from, bytes) = self.covering(start, end)?;
        let skip = usize::try_from(start - from).map_err(|_| early_end())?;
        match skip + length <= bytes.len() {
            true => Ok(bytes.slice(skip..skip + length)),
            false => Err(early_end()),
        }
    }

    /// At least one byte from here on, unless this is the end.
    fn some(&self, start: u64) -> io::Result<Bytes> {
        if start >= self.size() {
            return Ok(Bytes::new());
        }
        let (from, bytes) = self.covering(start, start + 1)?;
        let skip = usize::try_from(start - from).map_err(|_| early_end())?;
        Ok(bytes.slice(skip.min(bytes.len())..))
    }

    /// A window with these bytes in it, and where it begins.
    fn covering(&self, start: u64, end: u64) -> io::Result<(u64, Bytes)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let covers =
            |(from, bytes): &&(u64, Bytes)| *from <= start && end <= from + bytes.len() as u64;
        if let Some(window) = held.iter().find(covers) {
            return Ok(window.clone());
        }
        let span = self.spans.iter().find(|span| span.contains(&start));
        let (first, last) = match span {
            Some(span) => (start, span.end.min(start.saturating_add(self.window))),
            None => {
                let tail = self.size().saturating_sub(TAIL);
                (start.min(tail), start.saturating_add(self.window))
            }
        };
        let range = first..last.max(end).min(self.size());
        let bytes = self.object.get_now(range)?;
        match span {
            Some(span) => held.retain(|(from, _)| !span.contains(from)),
            None => held.truncate(MOST.saturating_sub(1)),
        }
        held.push_front((first, bytes.clone()));
        Ok((first, bytes))
    }
}

/// A place in an object that moves on as it is read.
#[derive(Debug)]
pub(crate) struct RangeCursor {
    ranged: Arc<Ranged>,
    at: u64,
}

impl RangeCursor {
    pub(crate) fn new(ranged: Arc<Ranged>, at: u64) -> Self {
        Self { ranged, at }
    }
}

impl Read for RangeCursor {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let bytes = self.ranged.some(self.at)?;
        let count = bytes.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for RangeCursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.ranged.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
