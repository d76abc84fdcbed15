//! Values as JSON: numbers where JSON can represent them exactly, otherwise exact text in quotes.
//!
//! Promise: integers have all their digits, and finite doubles the shortest digits that give the same
//! double. Decimals, NaN, infinities, dates, timestamps and bytes are strings of exact text (`exact.rs`). A
//! map with text keys is an object; any other map is a list of its entries.

use std::ops::Range;

use arrow_buffer::OffsetBuffer;
use arrow_schema::ArrowError;

use super::exact::{ExactKind, ExactValues};

/// Adds one value.
pub fn exact_json(values: &ExactValues, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match &values.kind {
        ExactKind::Text(texts) => json_string(texts.value(row).as_bytes(), out),
        ExactKind::Map(offsets, entries) => map(offsets, entries, row, out)?,
        ExactKind::List(offsets, items) => {
            out.push(b'[');
            for (at, item) in items_of(offsets, row).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                exact_json(items, item, out)?;
            }
            out.push(b']');
        }
        ExactKind::Struct(members) => {
            for (at, (name, member)) in members.iter().enumerate() {
                out.push(if at == 0 { b'{' } else { b',' });
                json_string(name.as_bytes(), out);
                out.push(b':');
                exact_json(member, row, out)?;
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        }
        _ if values.is_plain_json(row) => values.write(row, out)?,
        ExactKind::Shown(_) => {
            let mut text = Vec::new();
            values.write(row, &mut text)?;
            json_string(&text, out);
        }
        ExactKind::Bytes(_) => {
            out.extend_from_slice(b"\"\\");
            values.write(row, out)?;
            out.push(b'"');
        }
        // Their text has no character that must be escaped.
        _ => {
            out.push(b'"');
            values.write(row, out)?;
            out.push(b'"');
        }
    }
    Ok(())
}

fn items_of(offsets: &OffsetBuffer<i32>, row: usize) -> Range<usize> {
    let bound = |at: usize| {
        offsets
            .get(at)
            .and_then(|offset| usize::try_from(*offset).ok())
            .unwrap_or(0)
    };
    bound(row)..bound(row + 1)
}

/// A map with text keys is an object; any other map is a list of its entries.
fn map(
    offsets: &OffsetBuffer<i32>,
    entries: &[ExactValues; 2],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let [keys, members] = entries;
    let object = matches!(keys.kind, ExactKind::Text(_));
    out.push(if object { b'{' } else { b'[' });
    for (at, entry) in items_of(offsets, row).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if !object {
            out.extend_from_slice(b"{\"key\":");
        }
        exact_json(keys, entry, out)?;
        out.extend_from_slice(if object { b":" } else { b",\"value\":" });
        exact_json(members, entry, out)?;
        if !object {
            out.push(b'}');
        }
    }
    out.push(if object { b'}' } else { b']' });
    Ok(())
}

/// Adds a text as a JSON string.
pub fn json_string(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut start = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(text.get(start..at).unwrap_or_default());
        start = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let hex = |digit: u8| HEX.get(usize::from(digit)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(text.get(start..).unwrap_or_default());
    out.push(b'"');
}
