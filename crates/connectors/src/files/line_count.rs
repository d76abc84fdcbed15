//! Counts line ends, in bytes at hand and in bytes that are passed over.
//!
//! Promise: what is passed over is read in pieces and not kept; an input that ends before is an error. It knows no
//! records. `chunk.rs` uses it.

use std::io::{self, Read};

/// The line ends in some bytes.
pub(super) fn count(newline: u8, bytes: &[u8]) -> u64 {
    memchr::memchr_iter(newline, bytes).count() as u64
}

/// Passes over so many bytes, and counts the line ends in them.
pub(super) fn pass_over(input: &mut impl Read, bytes: u64, newline: u8) -> io::Result<u64> {
    let mut input = input.take(bytes);
    let mut buffer = vec![0; if bytes == 0 { 0 } else { 256 << 10 }];
    let (mut lines, mut passed) = (0, 0);
    while passed < bytes {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lines += count(newline, buffer.get(..read).unwrap_or_default());
        passed += read as u64;
    }
    Ok(lines)
}
