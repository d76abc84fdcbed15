//! Rows as JSON lines: one object per line, every column a member, NULL as `null`.
//!
//! Whole numbers are JSON numbers with all their digits; finite doubles have the shortest digits that
//! lead back to them. What a JSON number cannot hold safely is a string of exact text: decimals,
//! NaN, infinities, dates, timestamps, bytes. Our own source reads it back by declared type.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use towpath_ports::{ExactValues, exact_json, json_string};

/// Adds all rows of a batch.
pub(super) fn rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(ExactValues::of)
        .collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<Vec<u8>> = batch
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let mut key = vec![if at == 0 { b'{' } else { b',' }];
            json_string(field.name().as_bytes(), &mut key);
            key.push(b':');
            key
        })
        .collect();
    for row in 0..batch.num_rows() {
        for (key, values) in keys.iter().zip(&columns) {
            out.extend_from_slice(key);
            exact_json(values, row, out)?;
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
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
