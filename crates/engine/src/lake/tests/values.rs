//! Every mapped type with its extremes, there and back.

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::{Int32Type, IntervalDayTime, IntervalMonthDayNano};
use arrow_array::*;
use arrow_cast::cast;
use arrow_schema::TimeUnit;
use deltalake_core::arrow::datatypes::i256;
use towpath_vocab::WriteMode;
use towpath_vocab::types::SOURCE_TYPE;

use super::*;
use crate::lake::from_text;

/// Writes one column, reads it from a reopened lakehouse, gives field and values.
async fn through(column: ArrayRef) -> Result<(Field, ArrayRef), Failure> {
    let f = Fixture::new();
    let schema = Arc::new(Schema::new(vec![Field::new(
        "v",
        column.data_type().clone(),
        true,
    )]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    load(&f.lake, intent(WriteMode::Replace, schema, 1), batch).await?;
    let lake = f.reopened();
    let held = lake.schema(&table()).await.unwrap().unwrap();
    let batches = read_all(lake.source(&table()).unwrap().as_ref()).await;
    let columns: Vec<&dyn Array> = batches
        .iter()
        .map(|batch| batch.column(0).as_ref())
        .collect();
    Ok((
        held.field(0).clone(),
        arrow_select::concat::concat(&columns).unwrap(),
    ))
}

#[tokio::test]
async fn native_values_come_back_unchanged() {
    let native: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int8Array::from(vec![i8::MIN, i8::MAX])),
        Arc::new(Int16Array::from(vec![i16::MIN, i16::MAX])),
        Arc::new(Int32Array::from(vec![i32::MIN, i32::MAX])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])),
        Arc::new(Float32Array::from(vec![
            f32::MIN,
            f32::MAX,
            f32::MIN_POSITIVE,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ])),
        Arc::new(Float64Array::from(vec![
            f64::MIN,
            f64::MAX,
            5e-324,
            -0.0,
            f64::INFINITY,
        ])),
        Arc::new(Date32Array::from(vec![-719_162, 0, 2_932_896])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            -62_135_596_800_000_000,
            -1,
            253_402_300_799_999_999,
        ])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![
                -62_135_596_800_000_000,
                -1,
                253_402_300_799_999_999,
            ])
            .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from(vec![
            Some(""),
            None,
            Some("Größe\n\"\u{1F600}\0"),
            Some(&"x".repeat(100_000)),
        ])),
        Arc::new(BinaryArray::from(vec![&b""[..], &[0, 255, 254]])),
        Arc::new(
            Decimal128Array::from(vec![10i128.pow(38) - 1, 1 - 10i128.pow(38), 0])
                .with_precision_and_scale(38, 10)
                .unwrap(),
        ),
        Arc::new(
            Decimal128Array::from(vec![-99_999, 1])
                .with_precision_and_scale(5, 5)
                .unwrap(),
        ),
    ];
    for column in native {
        let (field, read) = through(Arc::clone(&column)).await.unwrap();
        assert_eq!(field.data_type(), column.data_type());
        assert_eq!(&read, &column);
        assert!(field.metadata().is_empty());
    }
}

#[tokio::test]
async fn not_a_number_stays_one() {
    let (_, read) = through(Arc::new(Float64Array::from(vec![f64::NAN, 1.0])))
        .await
        .unwrap();
    assert!(
        read.as_any()
            .downcast_ref::<Float64Array>()
            .unwrap()
            .value(0)
            .is_nan()
    );
}

#[tokio::test]
async fn other_representations_become_the_same_values() {
    let mapped: Vec<(ArrayRef, DataType)> = vec![
        (
            Arc::new(UInt8Array::from(vec![0, u8::MAX])),
            DataType::Int16,
        ),
        (
            Arc::new(UInt16Array::from(vec![0, u16::MAX])),
            DataType::Int32,
        ),
        (
            Arc::new(UInt32Array::from(vec![0, u32::MAX])),
            DataType::Int64,
        ),
        (
            Arc::new(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)])),
            DataType::Decimal128(20, 0),
        ),
        (
            cast(&Float32Array::from(vec![1.5, -65504.0]), &DataType::Float16).unwrap(),
            DataType::Float32,
        ),
        (
            Arc::new(LargeStringArray::from(vec!["a", "b"])),
            DataType::Utf8,
        ),
        (
            Arc::new(StringViewArray::from(vec![
                "a",
                "a string longer than twelve bytes",
            ])),
            DataType::Utf8,
        ),
        (
            Arc::new(LargeBinaryArray::from(vec![&b"a"[..]])),
            DataType::Binary,
        ),
        (
            Arc::new(BinaryViewArray::from(vec![&b"a"[..]])),
            DataType::Binary,
        ),
        (
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8, 2], [3, 4]].iter()).unwrap()),
            DataType::Binary,
        ),
        (
            Arc::new(Date64Array::from(vec![-86_400_000, 86_400_000])),
            DataType::Date32,
        ),
        (
            Arc::new(TimestampSecondArray::from(vec![-1, 253_402_300_799])),
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
        (
            Arc::new(TimestampMillisecondArray::from(vec![-1, 1])),
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
        (
            Arc::new(TimestampMillisecondArray::from(vec![-1, 1]).with_timezone("Europe/Berlin")),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
        (
            Arc::new(
                Decimal32Array::from(vec![-99_999])
                    .with_precision_and_scale(5, 2)
                    .unwrap(),
            ),
            DataType::Decimal128(5, 2),
        ),
        (
            Arc::new(
                Decimal64Array::from(vec![-99_999])
                    .with_precision_and_scale(18, 2)
                    .unwrap(),
            ),
            DataType::Decimal128(18, 2),
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![-7, 12])
                    .with_precision_and_scale(5, -3)
                    .unwrap(),
            ),
            DataType::Decimal128(8, 0),
        ),
        (
            cast(
                &Decimal128Array::from(vec![-7, 12])
                    .with_precision_and_scale(30, 3)
                    .unwrap(),
                &DataType::Decimal256(30, 3),
            )
            .unwrap(),
            DataType::Decimal128(30, 3),
        ),
        (
            Arc::new(
                vec!["a", "b", "a"]
                    .into_iter()
                    .collect::<DictionaryArray<Int32Type>>(),
            ),
            DataType::Utf8,
        ),
    ];
    for (column, expected) in mapped {
        let (field, read) = through(Arc::clone(&column)).await.unwrap();
        assert_eq!(field.data_type(), &expected, "{}", column.data_type());
        assert!(field.metadata().is_empty());
        assert_eq!(
            &cast(&read, column.data_type()).unwrap(),
            &column,
            "{}",
            column.data_type()
        );
    }
}

#[tokio::test]
async fn what_delta_lacks_travels_as_text_and_comes_back() {
    let texts: Vec<(ArrayRef, &str, &str)> = vec![
        (
            Arc::new(Time32SecondArray::from(vec![0, 86_399])),
            "time(s)",
            "23:59:59",
        ),
        (
            Arc::new(Time32MillisecondArray::from(vec![0, 86_399_999])),
            "time(ms)",
            "23:59:59.999",
        ),
        (
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(0),
                None,
                Some(86_399_999_999),
            ])),
            "time(us)",
            "23:59:59.999999",
        ),
        (
            Arc::new(Time64NanosecondArray::from(vec![1, 86_399_999_999_999])),
            "time(ns)",
            "23:59:59.999999999",
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![i64::MIN, -1, i64::MAX])),
            "timestamp(ns)",
            "2262-04-11T23:47:16.854775807",
        ),
        (
            Arc::new(
                TimestampNanosecondArray::from(vec![i64::MIN, 0, i64::MAX]).with_timezone("UTC"),
            ),
            "timestamptz(ns)",
            "2262-04-11T23:47:16.854775807Z",
        ),
        (
            Arc::new(DurationSecondArray::from(vec![i64::MIN, i64::MAX])),
            "duration(s)",
            "PT9223372036854775807S",
        ),
        (
            Arc::new(DurationMillisecondArray::from(vec![i64::MIN, -1500])),
            "duration(ms)",
            "PT-1.500S",
        ),
        (
            Arc::new(DurationMicrosecondArray::from(vec![i64::MIN, i64::MAX])),
            "duration(us)",
            "PT9223372036854.775807S",
        ),
        (
            Arc::new(DurationNanosecondArray::from(vec![i64::MIN, -1])),
            "duration(ns)",
            "PT-0.000000001S",
        ),
        (
            Arc::new(IntervalYearMonthArray::from(vec![i32::MIN, 14])),
            "interval(month)",
            "P14M",
        ),
        (
            Arc::new(IntervalDayTimeArray::from(vec![
                IntervalDayTime::new(i32::MIN, i32::MAX),
                IntervalDayTime::new(3, -1),
            ])),
            "interval(day)",
            "P3DT-0.001S",
        ),
        (
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                IntervalMonthDayNano::new(i32::MIN, i32::MAX, i64::MIN),
                IntervalMonthDayNano::new(-1, 2, 3_000_000_000),
            ])),
            "interval(nano)",
            "P-1M2DT3.000000000S",
        ),
        (
            Arc::new(
                Decimal256Array::from(vec![
                    i256::ZERO,
                    i256_of("123456789012345678901234567890123456789012345"),
                ])
                .with_precision_and_scale(50, 5)
                .unwrap(),
            ),
            "decimal(50,5)",
            "1234567890123456789012345678901234567890.12345",
        ),
        (new_null_array(&DataType::Null, 3), "null", ""),
    ];
    for (column, word, last) in texts {
        let (field, read) = through(Arc::clone(&column)).await.unwrap();
        assert_eq!(
            (
                field.data_type(),
                field.metadata().get(SOURCE_TYPE).map(String::as_str)
            ),
            (&DataType::Utf8, Some(word))
        );
        let text = read.as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(text.value(text.len() - 1), last);
        let back = from_text(text, word, "v").unwrap().unwrap();
        assert_eq!(&back, &column, "{word}");
    }
    assert!(
        from_text(&StringArray::from(vec!["x"]), "inet", "v")
            .unwrap()
            .is_none()
    );
    assert!(from_text(&StringArray::from(vec!["25 Uhr"]), "time(us)", "v").is_err());
}

fn i256_of(text: &str) -> i256 {
    text.parse().unwrap()
}

#[tokio::test]
async fn nested_values_keep_their_shape() {
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1), None]);
    list.append_null();
    list.append_value([]);
    let list: ArrayRef = Arc::new(list.finish());
    let (field, read) = through(Arc::clone(&list)).await.unwrap();
    assert!(matches!(field.data_type(), DataType::List(item) if item.name() == "element"));
    assert_eq!(&cast(&read, list.data_type()).unwrap(), &list);

    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let map: ArrayRef = Arc::new(map.finish());
    let (_, read) = through(Arc::clone(&map)).await.unwrap();
    assert_eq!(
        read.as_any()
            .downcast_ref::<MapArray>()
            .unwrap()
            .value_length(0),
        1
    );
    assert!(read.is_null(1));

    let time: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![1]));
    let inner = StructArray::from(vec![(
        Arc::new(Field::new("t", time.data_type().clone(), true)),
        time,
    )]);
    let (field, read) = through(Arc::new(inner)).await.unwrap();
    let DataType::Struct(fields) = field.data_type() else {
        panic!("{field}")
    };
    assert_eq!(
        fields[0].metadata().get(SOURCE_TYPE).map(String::as_str),
        Some("time(us)")
    );
    assert_eq!(
        read.as_any()
            .downcast_ref::<StructArray>()
            .unwrap()
            .column(0)
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap()
            .value(0),
        "00:00:00.000001"
    );
}

#[tokio::test]
async fn what_is_not_in_the_table_is_refused() {
    let mut times = ListBuilder::new(arrow_array::builder::Time64MicrosecondBuilder::new());
    times.append_value([Some(1)]);
    let refused: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(times.finish()), "R0401"),
        (Arc::new(Date64Array::from(vec![1])), "R0402"),
        (Arc::new(Date32Array::from(vec![i32::MAX])), "R0402"),
        (Arc::new(Date32Array::from(vec![-719_163])), "R0402"),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX])),
            "R0402",
        ),
        (
            Arc::new(TimestampSecondArray::from(vec![i64::MAX])),
            "R0402",
        ),
    ];
    for (column, code) in refused {
        let failure = through(Arc::clone(&column)).await.unwrap_err();
        assert_eq!(
            failure.code,
            code,
            "{}: {}",
            column.data_type(),
            failure.message
        );
        assert!(
            failure.message.contains("`v`") && !failure.help.is_empty(),
            "{}",
            failure.message
        );
    }
}

#[tokio::test]
async fn both_zeros_and_every_nan_are_one_key() {
    let f = Fixture::new();
    let columns = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Float64, true),
        Field::new("name", DataType::Utf8, true),
    ]));
    let some = |pairs: &[(f64, &str)]| {
        let ids: ArrayRef = Arc::new(Float64Array::from_iter_values(pairs.iter().map(|p| p.0)));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(pairs.iter().map(|p| p.1)));
        RecordBatch::try_new(Arc::clone(&columns), vec![ids, names]).unwrap()
    };
    let merge = |generation| intent(WriteMode::Merge, Arc::clone(&columns), generation);
    let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
    load(
        &f.lake,
        merge(1),
        some(&[(-0.0, "old"), (other_nan, "old")]),
    )
    .await
    .unwrap();
    let done = load(&f.lake, merge(2), some(&[(0.0, "new"), (f64::NAN, "new")]))
        .await
        .unwrap();
    assert_eq!(done.committed.stats.updated, 2);
    assert_eq!(done.committed.stats.rows_after, Some(2));
    let twice = load(&f.lake, merge(3), some(&[(0.0, "a"), (-0.0, "b")])).await;
    assert_eq!(twice.unwrap_err().code, "R0406");
}

#[tokio::test]
async fn floats_have_no_bounds_that_leave_nan_out() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    let f = Fixture::new();
    let columns = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("y", DataType::Float32, true),
    ]));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(Float64Array::from(vec![f64::NAN, 1.0])),
        Arc::new(Float32Array::from(vec![f32::NAN, 1.0])),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&columns), arrays).unwrap();
    load(&f.lake, intent(WriteMode::Replace, columns, 1), batch)
        .await
        .unwrap();
    let at = f.lake.snapshot_at(&table(), 0).await.unwrap();
    let [file] = at.files.as_slice() else {
        panic!("one file");
    };
    let stats: serde_json::Value = serde_json::from_str(file.stats.as_deref().unwrap()).unwrap();
    assert_eq!(stats["minValues"]["id"], 1);
    for bounds in ["minValues", "maxValues"] {
        assert!(stats[bounds].get("x").is_none() && stats[bounds].get("y").is_none());
    }
    let parquet = SerializedFileReader::new(
        std::fs::File::open(root(&f.lake).join(file.key.as_ref())).unwrap(),
    )
    .unwrap();
    let group = parquet.metadata().row_group(0);
    let known: Vec<bool> = group
        .columns()
        .iter()
        .map(|column| {
            column
                .statistics()
                .is_some_and(|s| s.min_bytes_opt().is_some())
        })
        .collect();
    assert_eq!(known, [true, false, false]);
}

#[tokio::test]
async fn a_batch_that_is_read_is_bounded_by_bytes_whatever_its_columns_are() {
    let fixture = Fixture::new();
    let numbers = |at: usize| {
        let values = (0..2_000).map(|row| row * 7 + i64::try_from(at).unwrap());
        Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![("id".to_owned(), numbers(0))];
    columns.extend((1..1_000).map(|at| (format!("c{at}"), numbers(at))));
    // One value that a file holds once, and a batch in every row.
    let text = "x".repeat(20_000);
    let texts = StringArray::from_iter_values((0..2_000).map(|_| text.as_str()));
    columns.push(("text".to_owned(), Arc::new(texts)));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let intent = intent(WriteMode::Replace, batch.schema(), 1);
    load(&fixture.lake, intent, batch.clone()).await.unwrap();
    let source = fixture.lake.source(&table()).unwrap();
    let spec = ReadSpec {
        batch_rows: 8_192,
        ..read_spec()
    };
    let mut reader = source.open(&spec, None).await.unwrap();
    let mut splits = reader.splits();
    let mut rows = 0;
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment.unwrap() else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            if let Event::Rows(read) = event.unwrap() {
                rows += read.batch.num_rows();
                let bytes = read.batch.get_array_memory_size();
                assert!(bytes < 3 << 20, "{bytes} bytes");
            }
        }
    }
    assert_eq!(rows, 2_000);
}
