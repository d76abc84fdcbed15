//! Writes the output of a program to a log file: whole lines, with limits for memory and size.
//!
//! Promise: a line contains text of one stream only. A line is kept up to 64 KiB and says how much was cut;
//! a log stops at its size limit while the program continues. At most three buffers of 64 KiB are in
//! memory. Values of secrets are removed from each line before it is written, and only the owner can read
//! the log.

use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdout};
use towpath_ports::Redaction;

/// The longest line that is not cut.
pub(crate) const LINE_BYTES: usize = 64 * 1024;
const CHUNK_BYTES: usize = 32 * 1024;

/// The largest size of a log.
pub(crate) const LOG_BYTES: u64 = 256 * 1024 * 1024;

/// Splits a stream of bytes into lines.
#[derive(Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
    left_out: u64,
    redaction: Redaction,
}

impl Lines {
    /// Splits lines and removes these values from them.
    pub(crate) fn new(redaction: Redaction) -> Self {
        Self {
            redaction,
            ..Self::default()
        }
    }

    /// Adds bytes; complete lines go to `out`, each with its line feed.
    pub(crate) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_BYTES.saturating_sub(self.pending.len());
            let (kept, left_out) = text.split_at(room.min(text.len()));
            self.pending.extend_from_slice(kept);
            self.left_out += left_out.len() as u64;
            if ended {
                self.flush(out);
            }
        }
    }

    /// Ends the stream; the rest without a line feed is a line too.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.flush(out);
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.pending);
        out.append(&mut match self.left_out {
            0 => self.redaction.apply(&line),
            _ => self.redaction.apply_to_head(&line),
        });
        if self.left_out > 0 {
            out.extend_from_slice(
                format!(" … {} more bytes of this line were left out", self.left_out).as_bytes(),
            );
            self.left_out = 0;
        }
        out.push(b'\n');
    }
}

/// A log file being written.
pub(crate) struct Log {
    file: File,
    left: u64,
    redaction: Redaction,
}

impl Log {
    /// Creates the file, or appends to the existing one.
    pub(crate) async fn open(path: &Path, redaction: Redaction) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            tokio::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .await?;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .await?;
        let size = file.metadata().await?.len();
        Ok(Self {
            file,
            left: LOG_BYTES.saturating_sub(size),
            redaction,
        })
    }

    async fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() || self.left == 0 {
            return Ok(());
        }
        let size = lines.len() as u64;
        if size < self.left {
            self.left -= size;
            self.file.write_all(lines).await?;
        } else {
            self.left = 0;
            self.file
                .write_all("… this log is full; the program continues\n".as_bytes())
                .await?;
        }
        self.file.flush().await
    }

    /// Copies both streams until both have ended. May be dropped between any two lines.
    pub(crate) async fn copy(
        &mut self,
        out: Option<ChildStdout>,
        err: Option<ChildStderr>,
    ) -> io::Result<()> {
        let mut out = Stream::new(out, self.redaction.clone());
        let mut err = Stream::new(err, self.redaction.clone());
        let mut lines = Vec::with_capacity(CHUNK_BYTES);
        while out.open() || err.open() {
            lines.clear();
            tokio::select! {
                read = out.fill(), if out.open() => out.cut(read?, &mut lines),
                read = err.fill(), if err.open() => err.cut(read?, &mut lines),
            }
            self.write(&lines).await?;
        }
        Ok(())
    }
}

struct Stream<R> {
    reader: Option<R>,
    chunk: Vec<u8>,
    lines: Lines,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn new(reader: Option<R>, redaction: Redaction) -> Self {
        Self {
            reader,
            chunk: vec![0; CHUNK_BYTES],
            lines: Lines::new(redaction),
        }
    }

    fn open(&self) -> bool {
        self.reader.is_some()
    }

    async fn fill(&mut self) -> io::Result<usize> {
        match &mut self.reader {
            Some(reader) => reader.read(&mut self.chunk).await,
            None => Ok(0),
        }
    }

    fn cut(&mut self, read: usize, out: &mut Vec<u8>) {
        match self.chunk.get(..read) {
            Some(bytes) if read > 0 => self.lines.take(bytes, out),
            _ => {
                self.reader = None;
                self.lines.finish(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_chunks_end() {
        let text = b"one\ntwo\r\n\nthree \xff\nlast";
        for size in 1..text.len() {
            let (mut lines, mut out) = (Lines::default(), Vec::new());
            text.chunks(size)
                .for_each(|chunk| lines.take(chunk, &mut out));
            assert!(!out.ends_with(b"last"));
            lines.finish(&mut out);
            assert_eq!(out, b"one\ntwo\r\n\nthree \xff\nlast\n");
        }
    }

    #[test]
    fn a_secret_is_taken_out_wherever_chunks_end_and_lines_are_cut() {
        let redaction = Redaction::new(["hunter2-secret".to_owned()]);
        let text = b"a hunter2-secret b\nhunter2-secret";
        for size in 1..text.len() {
            let (mut lines, mut out) = (Lines::new(redaction.clone()), Vec::new());
            text.chunks(size)
                .for_each(|chunk| lines.take(chunk, &mut out));
            lines.finish(&mut out);
            assert_eq!(out, b"a *** b\n***\n");
        }
        let (mut lines, mut out) = (Lines::new(redaction), Vec::new());
        let before = vec![b'x'; LINE_BYTES - 9];
        lines.take(
            &[&before, b"hunter2-secret\n".as_slice()].concat(),
            &mut out,
        );
        assert!(!String::from_utf8_lossy(&out).contains("hunt"));
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        let chunk = vec![b'x'; 1024 * 1024];
        for _ in 0..100 {
            lines.take(&chunk, &mut out);
            assert!(lines.pending.capacity() <= 2 * LINE_BYTES);
        }
        lines.take(b"\nnext\n", &mut out);
        let left_out = 100 * chunk.len() - LINE_BYTES;
        let tail = format!("x … {left_out} more bytes of this line were left out\nnext\n");
        assert!(out.ends_with(tail.as_bytes()));
        assert!(out.len() < LINE_BYTES + 200);
    }
}
