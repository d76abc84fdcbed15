//! Rows as JSON lines: one object per line, every column a member, NULL as `null`.
//!
//! Whole numbers are JSON numbers with all their digits; finite doubles have the shortest digits that
//! lead back to them. What a JSON number cannot hold safely is a string of exact text: decimals,
//! NaN, infinities, dates, timestamps, bytes. Our own source reads it back by declared type.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_buffer::OffsetBuffer;
use arrow_schema::ArrowError;

use super::values::{Kind, Values};

/// Adds all rows of a batch.
pub(super) fn rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(Values::of)
        .collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<Vec<u8>> = batch
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let mut key = vec![if at == 0 { b'{' } else { b',' }];
            string(field.name().as_bytes(), &mut key);
            key.push(b':');
            key
        })
        .collect();
    for row in 0..batch.num_rows() {
        for (key, values) in keys.iter().zip(&columns) {
            out.extend_from_slice(key);
            value(values, row, out)?;
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

/// Adds one value.
pub(super) fn value(values: &Values, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match &values.kind {
        Kind::Text(texts) => string(texts.value(row).as_bytes(), out),
        Kind::Map(offsets, entries) => map(offsets, entries, row, out)?,
        Kind::List(offsets, items) => {
            out.push(b'[');
            for (at, item) in items_of(offsets, row).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                value(items, item, out)?;
            }
            out.push(b']');
        }
        Kind::Struct(members) => {
            for (at, (name, member)) in members.iter().enumerate() {
                out.push(if at == 0 { b'{' } else { b',' });
                string(name.as_bytes(), out);
                out.push(b':');
                value(member, row, out)?;
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        }
        _ if values.is_plain_json(row) => values.write(row, out)?,
        Kind::Shown(_) => {
            let mut text = Vec::new();
            values.write(row, &mut text)?;
            string(&text, out);
        }
        Kind::Bytes(_) => {
            out.extend_from_slice(b"\"\\");
            values.write(row, out)?;
            out.push(b'"');
        }
        // Their text holds nothing to escape.
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

/// A map with texts as keys is an object, any other a list of its entries.
fn map(
    offsets: &OffsetBuffer<i32>,
    entries: &[Values; 2],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let [keys, members] = entries;
    let object = matches!(keys.kind, Kind::Text(_));
    out.push(if object { b'{' } else { b'[' });
    for (at, entry) in items_of(offsets, row).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if !object {
            out.extend_from_slice(b"{\"key\":");
        }
        value(keys, entry, out)?;
        out.extend_from_slice(if object { b":" } else { b",\"value\":" });
        value(members, entry, out)?;
        if !object {
            out.push(b'}');
        }
    }
    out.push(if object { b'}' } else { b']' });
    Ok(())
}

fn string(text: &[u8], out: &mut Vec<u8>) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{
        ArrayRef, BinaryArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    };

    use super::*;

    #[test]
    fn members_are_exact() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "a\"b",
                Arc::new(StringArray::from(vec![Some("x\\\u{1}\n\u{e4}"), None])),
            ),
            ("i", Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN]))),
            (
                "d",
                Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, 1.0])),
            ),
            (
                "m",
                Arc::new(
                    Decimal128Array::from(vec![100, -1])
                        .with_precision_and_scale(9, 2)
                        .unwrap(),
                ),
            ),
            (
                "b",
                Arc::new(BinaryArray::from(vec![b"\x00\xff".as_slice(), b""])),
            ),
            (
                "l",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                    Some(vec![Some(1), None]),
                    Some(vec![]),
                ])),
            ),
        ];
        let mut out = Vec::new();
        rows(&RecordBatch::try_from_iter(columns).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = concat!(
            r#"{"a\"b":"x\\\u0001\nä","i":9223372036854775807,"d":"-inf","m":"1.00","b":"\\x00ff","l":[1,null]}"#,
            "\n",
            r#"{"a\"b":null,"i":-9223372036854775808,"d":1.0,"m":"-0.01","b":"\\x","l":[]}"#,
            "\n",
        );
        assert_eq!(text, expected);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
