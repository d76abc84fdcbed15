//! The packets of MySQL's protocol: cut from a stream, and taken apart.
//!
//! Promise: a packet is whole or an error, however the stream was cut; what a server sends is never trusted
//! to be long enough, and memory grows with what came, not with what a length says. It knows no command:
//! `login.rs` and `session.rs` do. Source: MySQL's manual of the client/server protocol, "Packets".

use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A packet of this length is continued by the next one.
const FULL: usize = 0xFF_FFFF;
/// No row is longer: servers have no larger `max_allowed_packet`.
pub(super) const LONGEST: usize = 1 << 30;
const AT_ONCE: usize = 128 << 10;
/// How long a server's end of the connection is told that this is the end of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// A stream to a server, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Sends and receives packets.
pub(super) struct Channel {
    stream: Box<dyn Stream>,
    received: BytesMut,
    sequence: u8,
}

impl Channel {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            received: BytesMut::with_capacity(AT_ONCE),
            sequence: 0,
        }
    }

    /// The next packet's number is 0: a command begins.
    pub(super) fn restart(&mut self) {
        self.sequence = 0;
    }

    /// Numbers packets as another channel on the same connection did.
    pub(super) fn continue_from(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// The stream and the next packet's number. An error when the server sent more than it was asked for:
    /// an attacker may have put it there before encryption began.
    pub(super) fn into_stream(self) -> io::Result<(Box<dyn Stream>, u8)> {
        match self.received.is_empty() {
            true => Ok((self.stream, self.sequence)),
            false => Err(malformed()),
        }
    }

    /// Tells the other side that nothing more comes. Whether it hears that, nobody knows.
    pub(super) async fn close(&mut self) {
        let _ = tokio::time::timeout(FAREWELL, self.stream.shutdown()).await;
    }

    /// Sends a packet.
    pub(super) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(FULL));
            let length = u32::try_from(now.len()).map_err(|_| malformed())?;
            let mut packet = Vec::with_capacity(now.len() + 4);
            packet.extend_from_slice(&length.to_le_bytes()[..3]);
            packet.push(self.sequence);
            packet.extend_from_slice(now);
            self.sequence = self.sequence.wrapping_add(1);
            self.stream.write_all(&packet).await?;
            rest = later;
            if now.len() < FULL {
                break;
            }
        }
        self.stream.flush().await
    }

    /// Receives a packet.
    pub(super) async fn receive(&mut self) -> io::Result<Bytes> {
        let mut part = self.receive_part().await?;
        if part.len() < FULL {
            return Ok(part);
        }
        let mut whole = BytesMut::from(part.as_ref());
        while part.len() == FULL {
            part = self.receive_part().await?;
            if whole.len() + part.len() > LONGEST {
                return Err(malformed());
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    async fn receive_part(&mut self) -> io::Result<Bytes> {
        self.fill(4).await?;
        let header = self.received.get_uint_le(3);
        let sequence = self.received.get_u8();
        if sequence != self.sequence {
            return Err(malformed());
        }
        self.sequence = self.sequence.wrapping_add(1);
        let length = usize::try_from(header).map_err(|_| malformed())?;
        self.fill(length).await?;
        Ok(self.received.split_to(length).freeze())
    }

    async fn fill(&mut self, length: usize) -> io::Result<()> {
        while self.received.len() < length {
            self.received.reserve(AT_ONCE);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// What a server must not send.
pub(super) fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The fields of a packet, from the first to the last. `None` when it is too short.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An integer whose first byte says how long it is.
    pub(super) fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            0xFC => self.u16().map(u64::from),
            0xFD => {
                let [a, b, c] = self.array()?;
                Some(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            0xFE => self.u64(),
            0xFB | 0xFF => None,
            small => Some(u64::from(small)),
        }
    }

    /// Bytes behind their length.
    pub(super) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.lenenc()?).ok()?;
        self.bytes(length)
    }

    /// Bytes before a zero byte, or to the end.
    pub(super) fn terminated(&mut self) -> &'a [u8] {
        match self.0.iter().position(|byte| *byte == 0) {
            Some(at) => {
                let (taken, rest) = self.0.split_at(at);
                self.0 = rest.get(1..).unwrap_or_default();
                taken
            }
            None => std::mem::take(&mut self.0),
        }
    }
}

/// An error that the server reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) code: u16,
    /// SQLSTATE, five letters; empty before the login.
    pub(super) state: String,
    pub(super) message: String,
}

/// The error in a packet, if it is one.
pub(super) fn server_error(packet: &[u8]) -> Option<ServerError> {
    let mut fields = Fields(packet);
    if fields.u8()? != 0xFF {
        return None;
    }
    let code = fields.u16()?;
    let mut state = String::new();
    if fields.0.first() == Some(&b'#') {
        state = String::from_utf8_lossy(fields.bytes(6)?.get(1..)?).into_owned();
    }
    Some(ServerError {
        code,
        state,
        message: String::from_utf8_lossy(fields.0).into_owned(),
    })
}

/// Whether a packet ends a list of definitions or rows.
pub(super) fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xFE) && packet.len() < 9
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn fields_are_taken_or_missed() {
        let mut fields = Fields(b"\x03abc\xFC\x01\x01\xFD\x01\x00\x01ab\0c");
        assert_eq!(fields.counted(), Some(b"abc".as_slice()));
        assert_eq!(fields.lenenc(), Some(257));
        assert_eq!(fields.lenenc(), Some(65_537));
        assert_eq!(fields.terminated(), b"ab");
        assert_eq!(fields.u8(), Some(b'c'));
        assert_eq!(fields.u32(), None);
        assert_eq!(Fields(b"\x05ab").counted(), None);
        assert_eq!(Fields(b"\xFB").lenenc(), None);
    }

    #[test]
    fn errors_are_read_with_and_without_a_state() {
        let error = server_error(b"\xFF\x15\x04#28000Access denied").unwrap();
        assert_eq!((error.code, error.state.as_str()), (1045, "28000"));
        assert_eq!(error.message, "Access denied");
        let early = server_error(b"\xFF\x10\x04Too many connections").unwrap();
        assert_eq!((early.code, early.state.as_str()), (1040, ""));
        assert_eq!(server_error(b"\x00\x00"), None);
    }

    #[tokio::test]
    async fn packets_survive_any_cut_and_a_closed_stream_is_an_error() {
        let long = vec![7_u8; FULL + 3];
        let (client, server) = tokio::io::duplex(1_000);
        let sent = long.clone();
        let sending = tokio::spawn(async move {
            let mut channel = Channel::new(client);
            channel.send(&sent).await.unwrap();
            channel.send(b"").await.unwrap();
        });
        let mut channel = Channel::new(server);
        assert_eq!(channel.receive().await.unwrap(), long);
        assert_eq!(channel.receive().await.unwrap(), b"".as_slice());
        sending.await.unwrap();
        let closed = channel.receive().await.unwrap_err();
        assert_eq!(closed.kind(), io::ErrorKind::UnexpectedEof);
    }
}
