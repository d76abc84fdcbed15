//! Text of any encoding as UTF-8, while it is read.
//!
//! Promise: a byte that means nothing becomes 0xFF, which no UTF-8 holds; nothing is left out. It does not know which
//! encoding a file has: see `encodings.rs`.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding};

/// Turns another encoding into UTF-8, with 0xFF for what means nothing.
pub(crate) struct Transcoder<R> {
    input: R,
    decoder: Decoder,
    raw: Vec<u8>,
    at: usize,
    filled: usize,
    out: Vec<u8>,
    given: usize,
    ended: bool,
    finished: bool,
}

impl<R: Read> Transcoder<R> {
    pub(crate) fn new(input: R, encoding: &'static Encoding) -> Self {
        Self {
            input,
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: vec![0; 64 << 10],
            at: 0,
            filled: 0,
            out: Vec::new(),
            given: 0,
            ended: false,
            finished: false,
        }
    }

    fn decode(&mut self) -> io::Result<()> {
        if self.at == self.filled && !self.ended {
            self.filled = self.input.read(&mut self.raw)?;
            self.at = 0;
            self.ended = self.filled == 0;
        }
        let raw = self.raw.get(self.at..self.filled).unwrap_or_default();
        self.out.clear();
        self.given = 0;
        self.out.resize(128 << 10, 0);
        let (result, read, written) =
            self.decoder
                .decode_to_utf8_without_replacement(raw, &mut self.out, self.ended);
        self.at += read;
        self.out.truncate(written);
        match result {
            DecoderResult::InputEmpty => self.finished = self.ended,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => self.out.push(0xFF),
        }
        Ok(())
    }
}

impl<R: Read> Read for Transcoder<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            if self.finished {
                return Ok(0);
            }
            self.decode()?;
        }
        let ready = self.out.get(self.given..).unwrap_or_default();
        let count = ready.len().min(to.len());
        for (to, from) in to.iter_mut().zip(ready) {
            *to = *from;
        }
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use encoding_rs::UTF_16LE;

    use super::*;

    #[test]
    fn other_encodings_become_utf8() {
        let mut text = String::new();
        Transcoder::new(&b"M\xFCnchen"[..], encoding_rs::WINDOWS_1252)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "München");
        let utf16: Vec<u8> = "a,ß\n😀"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut text = String::new();
        Transcoder::new(utf16.as_slice(), UTF_16LE)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "a,ß\n😀");
    }

    #[test]
    fn half_a_pair_is_marked() {
        let mut bytes = Vec::new();
        Transcoder::new(&[b'a', 0, 0x00, 0xD8, b'b', 0][..], UTF_16LE)
            .read_to_end(&mut bytes)
            .unwrap();
        assert_eq!(bytes, b"a\xFFb");
    }
}
