//! Bytes of a record as text that people read and a replay reads again.
//!
//! Promise: bytes that are UTF-8 stay as they are, every other one is `\xNN` and comes back from it. It
//! knows no records: `rejects.rs` and `rows.rs` make them, `replay.rs` reads them again.

use encoding_rs::{CoderResult, Encoding};

/// Text with bytes that are not UTF-8 as `\xNN`: the form of `RawRecord::Text`.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        for byte in part.invalid() {
            use std::fmt::Write as _;
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

/// Bytes of a text made by `readable`, in the encoding of the file, turned into UTF-8 again.
pub(crate) fn from_readable(text: &str, encoding: Option<&'static Encoding>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|byte| *byte >= 0x80);
        match byte {
            Some(byte) => {
                push_decoded(&mut bytes, byte, encoding);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn push_decoded(bytes: &mut Vec<u8>, byte: u8, encoding: Option<&'static Encoding>) {
    let Some(encoding) = encoding.filter(|encoding| encoding.is_single_byte()) else {
        bytes.push(byte);
        return;
    };
    let mut out = [0_u8; 8];
    let (result, _, written, failed) =
        encoding
            .new_decoder_without_bom_handling()
            .decode_to_utf8(&[byte], &mut out, true);
    if failed || result != CoderResult::InputEmpty {
        bytes.push(byte);
    } else {
        bytes.extend_from_slice(out.get(..written).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_text_leads_back() {
        let raw = b"M\xFCnchen, 100 \\x";
        let text = readable(raw);
        assert_eq!(text, "M\\xFCnchen, 100 \\x");
        assert_eq!(from_readable(&text, None), raw);
        assert_eq!(
            from_readable(&text, Some(encoding_rs::WINDOWS_1252)),
            "München, 100 \\x".as_bytes()
        );
    }
}
