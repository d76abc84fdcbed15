//! A connection whose client must take what it is sent.
//!
//! Promise: a write that makes no progress for its time ends the connection, so that slow clients cannot hold all
//! connections. It does not limit a client that takes little at a time. Read next: `listen.rs`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream with a time limit for writes.
pub(crate) struct TimedWrites<S> {
    stream: S,
    limit: Duration,
    /// Set while the client does not take anything.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedWrites<S> {
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            waiting: None,
        }
    }

    /// Passes a finished operation on, and ends one that waits for too long.
    fn timed<T>(
        &mut self,
        context: &mut Context<'_>,
        found: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if found.is_ready() {
            self.waiting = None;
            return found;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedWrites<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedWrites<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let found = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(context, found)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let found = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.timed(context, found)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let found = Pin::new(&mut self.stream).poll_flush(context);
        self.timed(context, found)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let found = Pin::new(&mut self.stream).poll_shutdown(context);
        self.timed(context, found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (client, server) = tokio::io::duplex(16);
        let mut server = TimedWrites::new(server, Duration::from_millis(50));
        server.write_all(&[1; 16]).await.unwrap();
        let late = server.write_all(&[1; 16]).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_takes_little_goes_on() {
        let (mut client, server) = tokio::io::duplex(16);
        let reading = tokio::spawn(async move {
            let (mut all, mut piece) = (0, [0; 8]);
            loop {
                tokio::time::sleep(Duration::from_millis(40)).await;
                match client.read(&mut piece).await.unwrap() {
                    0 => return all,
                    read => all += read,
                }
            }
        });
        let mut server = TimedWrites::new(server, Duration::from_millis(400));
        // In all it takes longer than a write may wait.
        server.write_all(&[1; 160]).await.unwrap();
        drop(server);
        assert_eq!(reading.await.unwrap(), 160);
    }
}
