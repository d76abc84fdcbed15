//! A table with one column for each type of `vocab::types`, filled with edge values and a NULL.
//!
//! Row `n` has the `n`th edge value of each type. There are no lists, because some systems do not have
//! them.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::DataType;
use towpath_vocab::types;

/// 0001-01-01 and 9999-12-31: the range that every system can store.
const DAYS: (i32, i32) = (-719_162, 2_932_896);
const MICROS: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

/// A batch of nullable columns.
pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn decimal(values: [Option<i128>; 4], precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from(values.to_vec());
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

fn whole() -> Vec<(&'static str, ArrayRef)> {
    macro_rules! edges {
        ($array:ident, $of:ident) => {
            Arc::new($array::from(vec![
                Some($of::MIN),
                Some($of::MAX),
                None,
                Some(1),
            ])) as ArrayRef
        };
    }
    vec![
        ("n", Arc::new(Int64Array::from(vec![0, 1, 2, 3]))),
        ("tinyint", edges!(Int8Array, i8)),
        ("smallint", edges!(Int16Array, i16)),
        ("int", edges!(Int32Array, i32)),
        ("bigint", edges!(Int64Array, i64)),
        ("utinyint", edges!(UInt8Array, u8)),
        ("usmallint", edges!(UInt16Array, u16)),
        ("uint", edges!(UInt32Array, u32)),
        ("ubigint", edges!(UInt64Array, u64)),
    ]
}

fn fractions() -> Vec<(&'static str, ArrayRef)> {
    let nines = 10_i128.pow(38) - 1;
    vec![
        (
            "float",
            Arc::new(Float32Array::from(vec![
                Some(f32::MIN),
                Some(1e-40),
                None,
                Some(0.1),
            ])),
        ),
        (
            "float_odd",
            Arc::new(Float32Array::from(vec![
                Some(f32::NAN),
                Some(f32::INFINITY),
                Some(f32::NEG_INFINITY),
                Some(-0.0),
            ])),
        ),
        (
            "double",
            Arc::new(Float64Array::from(vec![
                Some(f64::MIN),
                Some(5e-324),
                None,
                Some(0.1 + 0.2),
            ])),
        ),
        (
            "double_odd",
            Arc::new(Float64Array::from(vec![
                Some(f64::NAN),
                Some(f64::INFINITY),
                Some(f64::NEG_INFINITY),
                Some(-0.0),
            ])),
        ),
        (
            "decimal_18_2",
            decimal([Some(-5), Some(10_i128.pow(18) - 1), None, Some(0)], 18, 2),
        ),
        (
            "decimal_38_0",
            decimal([Some(nines), Some(-nines), None, Some(1)], 38, 0),
        ),
        (
            "decimal_38_10",
            decimal([Some(nines), Some(-nines), None, Some(1)], 38, 10),
        ),
        (
            "decimal_38_38",
            decimal([Some(nines), Some(-nines), None, Some(1)], 38, 38),
        ),
    ]
}

fn others() -> Vec<(&'static str, ArrayRef)> {
    let micros =
        || TimestampMicrosecondArray::from(vec![Some(MICROS.0), Some(MICROS.1), None, Some(-1)]);
    vec![
        (
            "bool",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
            ])),
        ),
        (
            "date",
            Arc::new(Date32Array::from(vec![
                Some(DAYS.0),
                Some(DAYS.1),
                None,
                Some(-1),
            ])),
        ),
        ("timestamp", Arc::new(micros())),
        ("timestamptz", Arc::new(micros().with_timezone("UTC"))),
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some(""),
                Some("0012"),
                None,
                Some("NULL"),
            ])),
        ),
        (
            "binary",
            Arc::new(BinaryArray::from(vec![
                Some(b"".as_slice()),
                Some(b"\x00\xff\\x00"),
                None,
                Some(b"text"),
            ])),
        ),
    ]
}

/// Every type, four rows.
pub(super) fn every_type() -> RecordBatch {
    let columns: Vec<_> = whole()
        .into_iter()
        .chain(fractions())
        .chain(others())
        .collect();
    let known: Vec<&DataType> = columns.iter().map(|(_, array)| array.data_type()).collect();
    for (word, data_type) in types::WORDS {
        assert!(
            known.contains(&data_type),
            "the suite has no column of `{word}`"
        );
    }
    assert!(known.contains(&&types::instant()));
    batch(columns)
}

/// Texts that become something else if they are quoted incorrectly; without NUL.
pub(super) fn odd_texts() -> Vec<Option<&'static str>> {
    vec![
        Some(""),
        None,
        Some("NULL"),
        Some("null"),
        Some("\\N"),
        Some("a\"b'c`d\\e"),
        Some("\"quoted\""),
        Some("two\nlines"),
        Some("\r\n"),
        Some("\t tab, comma; semicolon | pipe \t"),
        Some(" spaces "),
        Some("'; DROP TABLE t; --"),
        Some("$1 ${x} {{ y }} %s"),
        Some("äöü ß é"),
        Some("\u{1F600}\u{10FFFF}"),
        Some("e\u{301}"),
        Some("\u{FEFF}mark"),
        Some("\u{1}\u{1F}\u{7F}"),
        Some("#comment"),
        Some("true"),
        Some("1e3"),
        Some("{\"a\":1}"),
    ]
}
