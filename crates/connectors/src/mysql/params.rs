//! Values of a statement's parameters, and of its answer, as the shared algorithms have them.
//!
//! Promise: a whole number and a text come out as they went in; nothing is quoted, so nothing can be taken for
//! SQL. It knows no connection. Read next: `session.rs`. Source: MySQL's manual of the client/server protocol,
//! "COM_STMT_EXECUTE".

use super::cells::{self, text_of};
use crate::relational::session::Value;

const LONG_LONG: [u8; 2] = [8, 0];
const TEXT: [u8; 2] = [253, 0];
const NULL: [u8; 2] = [6, 0];

/// The payload that runs a statement with these values.
pub(super) fn execution(statement: u32, values: &[Value]) -> Vec<u8> {
    let mut payload = statement.to_le_bytes().to_vec();
    payload.push(0);
    payload.extend_from_slice(&1_u32.to_le_bytes());
    if values.is_empty() {
        return payload;
    }
    let mut nulls = vec![0_u8; values.len().div_ceil(8)];
    for (at, _) in values
        .iter()
        .enumerate()
        .filter(|(_, v)| **v == Value::Null)
    {
        if let Some(byte) = nulls.get_mut(at / 8) {
            *byte |= 1 << (at % 8);
        }
    }
    payload.extend_from_slice(&nulls);
    payload.push(1);
    for value in values {
        payload.extend_from_slice(match value {
            Value::Null => &NULL,
            Value::Int(_) => &LONG_LONG,
            Value::Text(_) => &TEXT,
        });
    }
    for value in values {
        match value {
            Value::Null => {}
            Value::Int(value) => payload.extend_from_slice(&value.to_le_bytes()),
            Value::Text(text) => {
                put_length(text.len(), &mut payload);
                payload.extend_from_slice(text.as_bytes());
            }
        }
    }
    payload
}

/// A length, in as few bytes as the protocol allows.
fn put_length(length: usize, out: &mut Vec<u8>) {
    let bytes = (length as u64).to_le_bytes();
    match length {
        0..=250 => out.extend_from_slice(&bytes[..1]),
        251..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&bytes);
        }
    }
}

/// A value of an answer.
pub(super) fn answer(value: &cells::Value<'_>) -> Value {
    match value {
        cells::Value::Null => Value::Null,
        cells::Value::Int(value) => Value::Int(*value),
        cells::Value::Unsigned(value) => i64::try_from(*value).map_or(Value::Null, Value::Int),
        cells::Value::Bytes(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        other => text_of(other).map_or(Value::Null, Value::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_types_and_lengths() {
        let values = [Value::Int(-1), Value::Null, Value::Text("ab".to_owned())];
        let payload = execution(7, &values);
        let expected = [
            &[7, 0, 0, 0, 0, 1, 0, 0, 0, 0b010, 1][..],
            &[8, 0, 6, 0, 253, 0],
            &[255; 8],
            &[2, b'a', b'b'],
        ];
        assert_eq!(payload, expected.concat());
        assert_eq!(execution(7, &[]), [7, 0, 0, 0, 0, 1, 0, 0, 0]);
        let mut lengths = Vec::new();
        for length in [250, 251, 65_536, 16_777_216] {
            put_length(length, &mut lengths);
        }
        let expected = [
            &[250, 0xFC, 251, 0, 0xFD, 0, 0, 1][..],
            &[0xFE, 0, 0, 0, 1, 0, 0, 0, 0],
        ];
        assert_eq!(lengths, expected.concat());
    }
}
