//! Rows of Parquet files set aside later, and read again from the record that was kept.

use arrow_array::builder::{ListBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int64Array, StringArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field};

use super::*;

fn write_column(project: &Project, column: ArrayRef) {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
    let to = std::fs::File::create(project.data().join("t.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(to, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A file of one column and what its rows are when each is read again from its record.
fn again(column: ArrayRef, plan: &[(&str, &str)]) -> (Outcome, Outcome) {
    let project = Project::new();
    write_column(&project, column);
    let mut spec = spec("t");
    spec.declared = declared(plan);
    let first = project.read_as(&spec);
    let records = rejected_in("data/t.parquet", first.raws());
    let count = records.len();
    let again = run(async {
        drain(project.source().replay(&spec, records).await.unwrap())
            .await
            .unwrap()
    });
    assert_eq!(again.rows.len() + again.rejects.len(), count);
    (first, again)
}

#[test]
fn every_type_comes_back_from_its_record() {
    let mut words = StringDictionaryBuilder::<Int32Type>::new();
    words.append_value("x");
    words.append_null();
    let fixed = FixedSizeBinaryArray::try_from_iter([[0_u8, 255], [1, 2]].iter()).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int8Array::from(vec![Some(-128), None])),
        Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
        Arc::new(UInt64Array::from(vec![u64::MAX])),
        Arc::new(Float32Array::from(vec![0.1, f32::INFINITY])),
        Arc::new(Float64Array::from(vec![
            0.1,
            -0.0,
            f64::NAN,
            f64::NEG_INFINITY,
            1e300,
        ])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(
            Decimal128Array::from(vec![-5, 12_345])
                .with_precision_and_scale(9, 3)
                .unwrap(),
        ),
        Arc::new(Date32Array::from(vec![-1, 0, 20_000])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            -1,
            1_357_017_300_123_456,
        ])),
        Arc::new(TimestampMicrosecondArray::from(vec![-1, 0]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![
            Some("a \"b\" \\ \n\u{e4}"),
            Some(""),
            None,
        ])),
        Arc::new(BinaryArray::from_opt_vec(vec![
            Some(b"\x00\xFFab"),
            Some(b""),
            None,
        ])),
        Arc::new(fixed),
        Arc::new(words.finish()),
    ];
    for column in columns {
        let name = column.data_type().to_string();
        let (first, again) = again(column, &[]);
        assert_eq!(again.rows, first.rows, "{name}");
        assert_eq!(again.reasons(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn nested_and_rare_values_come_back_from_their_record() {
    let mut list = ListBuilder::new(arrow_array::builder::Int64Builder::new());
    list.append_value([Some(1), None]);
    list.append_value([]);
    list.append_null();
    let field = Arc::new(Field::new("x", DataType::Utf8, true));
    let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("NULL"), Some(""), None]));
    let mut map = arrow_array::builder::MapBuilder::new(
        None,
        arrow_array::builder::Int32Builder::new(),
        arrow_array::builder::StringBuilder::new(),
    );
    map.keys().append_value(7);
    map.values().append_value("a\"b");
    map.append(true).unwrap();
    map.append(true).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(list.finish()),
        Arc::new(StructArray::from(vec![(field, inner)])),
        Arc::new(map.finish()),
        Arc::new(Time64MicrosecondArray::from(vec![
            Some(5),
            None,
            Some(86_399_999_999),
        ])),
        Arc::new(TimestampNanosecondArray::from(vec![5_000, -1_000])),
        Arc::new(TimestampNanosecondArray::from(vec![5, -1])),
        Arc::new(Date32Array::from(vec![
            i32::MAX,
            i32::MIN,
            2_932_897,
            -719_163,
        ])),
        Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN])),
        Arc::new(arrow_array::DurationMicrosecondArray::from(vec![
            -1, 3_000_000,
        ])),
        Arc::new(
            Decimal256Array::from(vec![i256::from_i128(5), i256::MAX])
                .with_precision_and_scale(76, 2)
                .unwrap(),
        ),
    ];
    for column in columns {
        let name = column.data_type().to_string();
        let (first, again) = again(column, &[]);
        assert_eq!(
            again.reasons(),
            Vec::<String>::new(),
            "{name}: {:?}",
            again.rejects
        );
        assert_eq!(again.rows, first.rows, "{name}");
        assert_eq!(again.raws(), first.raws(), "{name}");
    }
}

#[test]
fn a_record_of_an_earlier_version_that_says_too_little_stays_rejected() {
    let mut list = ListBuilder::new(arrow_array::builder::Int64Builder::new());
    list.append_value([Some(1)]);
    let project = Project::new();
    write_column(&project, Arc::new(list.finish()));
    let records = vec![RawRecord::Row("{\"c\":\"[1]\"}".to_owned())];
    let records = rejected_in("data/t.parquet", records);
    let outcome = run(async {
        let source = project.source();
        drain(source.replay(&spec("t"), records).await.unwrap())
            .await
            .unwrap()
    });
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (0, 1));
    let message = &outcome.rejects[0].reasons[0].message;
    assert!(message.contains("load it again"), "{message}");
}

#[test]
fn declared_types_are_those_of_the_first_read() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"abc".as_slice(), b"\xFF"]));
    let (first, again) = again(bytes, &[("c", "text")]);
    assert_eq!(
        (first.rows, first.rejects.len()),
        (vec!["abc".to_owned()], 1)
    );
    assert_eq!(again.rows, ["abc"]);
}

#[test]
fn no_record_vanishes() {
    let project = Project::new()
        .file("t.csv", "a,b\n1,x\n")
        .file("t.jsonl", "{\"a\":1}\n");
    for table in ["t.csv", "t.jsonl"] {
        for text in ["", "\n", "1,x\n2,y", "{\"a\":1}\n{\"a\":2}", "[", "{\"a\":"] {
            for record in [
                RawRecord::Text(text.to_owned()),
                RawRecord::Row(text.to_owned()),
            ] {
                let records = rejected_in("data/t", vec![record.clone()]);
                let outcome = run(async {
                    drain(
                        project
                            .source()
                            .replay(&spec(table), records)
                            .await
                            .unwrap(),
                    )
                    .await
                    .unwrap()
                });
                assert_eq!(
                    (outcome.rows.len(), outcome.rejects.len()),
                    (0, 1),
                    "{table} {record:?}"
                );
                assert_eq!(outcome.rejects[0].raw, record);
            }
        }
    }
}
