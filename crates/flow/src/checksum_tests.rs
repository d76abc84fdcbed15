//! Which differences the sums of columns find, and which forms of a value they take for one.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use super::*;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Date64Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn sums(batch: &RecordBatch) -> Checksums {
    let mut sums = Checksums::of(batch.schema_ref());
    sums.add(batch).unwrap();
    sums
}

/// What a table with the values of `found` differs in from one with those of `written`.
fn compared(written: ArrayRef, found: ArrayRef) -> Vec<SumDifference> {
    let written = sums(&batch(vec![("v", written)]));
    let mut read = written.empty();
    read.add(&batch(vec![("V", found)])).unwrap();
    written.differences(&read)
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn decimals(values: Vec<i128>, scale: i8) -> ArrayRef {
    Arc::new(
        Decimal128Array::from(values)
            .with_precision_and_scale(20, scale)
            .unwrap(),
    )
}

fn column() -> SumDifference {
    SumDifference::Column("v".to_owned())
}

#[test]
fn a_value_is_the_same_in_every_type_that_has_it() {
    let small: ArrayRef = Arc::new(Int8Array::from(vec![Some(-1), None, Some(0)]));
    let large: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), None, Some(0)]));
    assert_eq!(compared(Arc::clone(&small), large), []);
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("-1"), None, Some("0")]));
    assert_eq!(compared(small, text), []);
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    assert_eq!(compared(flags, Arc::new(Int8Array::from(vec![1, 0]))), []);
    let money = || decimals(vec![-1050, 0, 100, 5], 2);
    assert_eq!(
        compared(money(), decimals(vec![-10500, 0, 1000, 50], 3)),
        []
    );
    assert_eq!(
        compared(money(), texts(&["-10.50", "0.00", "1", "0.05"])),
        []
    );
    let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]));
    let nanos = TimestampNanosecondArray::from(vec![0, 1_500_000_000]).with_timezone("UTC");
    assert_eq!(compared(Arc::clone(&moments), Arc::new(nanos)), []);
    let written = texts(&["1970-01-01 00:00:00", "1970-01-01 00:00:01.5"]);
    assert_eq!(compared(moments, written), []);
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    assert_eq!(compared(dates, texts(&["1970-01-02"])), []);
    let far: ArrayRef = Arc::new(Date64Array::from(vec![86_400_000]));
    assert_eq!(compared(far, texts(&["1970-01-02"])), []);
    let clock: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![1_500_000]));
    assert_eq!(compared(clock, texts(&["00:00:01.500000"])), []);
    let singles: ArrayRef = Arc::new(Float32Array::from(vec![0.1, f32::NAN]));
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![f64::from(0.1_f32), f64::NAN]));
    assert_eq!(compared(Arc::clone(&singles), doubles), []);
    assert_eq!(compared(singles, texts(&["0.1", "NaN"])), []);
}

#[test]
fn a_value_that_is_another_one_is_a_difference() {
    let doubles = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    assert_eq!(
        compared(doubles(0.1), doubles(0.1 + f64::EPSILON / 8.0)),
        [column()]
    );
    assert_eq!(compared(doubles(0.0), doubles(-0.0)), [column()]);
    assert_eq!(
        compared(decimals(vec![105], 2), decimals(vec![105], 1)),
        [column()]
    );
    assert_eq!(compared(texts(&["a"]), texts(&["a "])), [column()]);
    assert_eq!(compared(texts(&["1.0"]), texts(&["1.00"])), [column()]);
    let nothing: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    assert_eq!(compared(texts(&[""]), nothing), [column()]);
    // A lost row, and one that came twice instead of another.
    let lost = compared(texts(&["a", "b"]), texts(&["a"]));
    assert_eq!(lost, [SumDifference::Rows(2, 1)]);
    assert_eq!(compared(texts(&["a", "b"]), texts(&["a", "a"])), [column()]);
    // What a sum without multiples or an exclusive or would not see.
    assert_eq!(
        compared(texts(&["a", "a", "b"]), texts(&["b", "b", "b"])),
        [column()]
    );
}

#[test]
fn blanks_and_the_order_of_members_do_not_count_in_json() {
    let json = |text: &str| {
        let field = Field::new("v", DataType::Utf8, true);
        let field = field.with_metadata([(SOURCE_TYPE.to_owned(), "jsonb".to_owned())].into());
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![texts(&[text])]).unwrap()
    };
    let written = sums(&json(r#"{"b":[{"y":1,"x":null}],"a":2}"#));
    let differences = |text: &str| {
        let mut read = written.empty();
        read.add(&json(text)).unwrap();
        written.differences(&read)
    };
    assert_eq!(differences(r#"{"a": 2, "b": [{"x": null, "y": 1}]}"#), []);
    assert_eq!(
        differences(r#"{"a": 2, "b": [{"x": null, "y": 2}]}"#),
        [column()]
    );
}

#[test]
fn values_that_changed_places_between_rows_are_a_difference() {
    let rows =
        |keys: &[&str], values: &[&str]| batch(vec![("k", texts(keys)), ("v", texts(values))]);
    let written = sums(&rows(&["a", "b"], &["1", "2"]));
    let differences = |found: &RecordBatch| {
        let mut read = written.empty();
        read.add(found).unwrap();
        written.differences(&read)
    };
    assert_eq!(differences(&rows(&["b", "a"], &["2", "1"])), []);
    assert_eq!(
        differences(&rows(&["a", "b"], &["2", "1"])),
        [SumDifference::Together]
    );
    let swapped = batch(vec![("k", texts(&["1", "2"])), ("v", texts(&["a", "b"]))]);
    assert_eq!(differences(&swapped).len(), 2);
}

#[test]
fn columns_that_are_not_there_are_named() {
    let written = sums(&batch(vec![("k", texts(&["a"])), ("v", texts(&["a"]))]));
    let found = batch(vec![("K", texts(&["a"])), ("w", texts(&["a"]))]);
    assert_eq!(missing_columns(&written, found.schema_ref()), ["v"]);
    assert!(written.empty().add(&found).is_err());
}

/// Any order and any batches give the same sums; any one change gives others.
#[test]
fn order_does_not_count_and_a_change_does() {
    let table = |rows: &[(i64, String)]| {
        let keys = rows.iter().map(|(key, _)| Some(*key));
        let values = rows.iter().map(|(_, text)| Some(text.as_str()));
        let keys: ArrayRef = Arc::new(keys.collect::<Int64Array>());
        let values: ArrayRef = Arc::new(values.collect::<StringArray>());
        batch(vec![("k", keys), ("v", values)])
    };
    let texts = (0..200_i64).map(|n| (n / 3, "x".repeat(usize::try_from(n % 7).unwrap())));
    let mut rows: Vec<(i64, String)> = texts.collect();
    let written = sums(&table(&rows));
    rows.reverse();
    for at in [0, 1, 99, 200] {
        rows.rotate_left(at);
        let mut read = written.empty();
        read.add(&table(&rows[..at])).unwrap();
        read.add(&table(&rows[at..])).unwrap();
        assert_eq!(written.differences(&read), []);
    }
    for at in 0..rows.len() {
        let before = rows[at].1.clone();
        rows[at].1.push('x');
        let mut read = written.empty();
        read.add(&table(&rows)).unwrap();
        assert_eq!(written.differences(&read), [column()]);
        rows[at].1 = before;
    }
}
