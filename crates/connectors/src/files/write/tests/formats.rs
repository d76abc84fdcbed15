//! What is written reads back: every type, nasty texts, every format and compression.

use arrow_array::Array as _;
use arrow_array::types::Int32Type;
use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, DictionaryArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, IntervalMonthDayNanoArray,
    LargeStringArray, ListArray, NullArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, Schema, UnionMode};
use proptest::prelude::*;

use super::*;

/// One column of every type text can be read as, with its extremes and a NULL.
fn every_type() -> RecordBatch {
    let columns = numbers()
        .into_iter()
        .chain(unsigned_and_fractions())
        .chain(others());
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn numbers() -> Vec<(&'static str, ArrayRef)> {
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
            "i8",
            Arc::new(Int8Array::from(vec![
                Some(i8::MIN),
                Some(i8::MAX),
                None,
                Some(0),
            ])),
        ),
        (
            "i16",
            Arc::new(Int16Array::from(vec![
                Some(i16::MIN),
                Some(i16::MAX),
                None,
                Some(0),
            ])),
        ),
        (
            "i32",
            Arc::new(Int32Array::from(vec![
                Some(i32::MIN),
                Some(i32::MAX),
                None,
                Some(0),
            ])),
        ),
        (
            "i64",
            Arc::new(Int64Array::from(vec![
                Some(i64::MIN),
                Some(i64::MAX),
                None,
                Some(9_007_199_254_740_993),
            ])),
        ),
    ]
}

fn unsigned_and_fractions() -> Vec<(&'static str, ArrayRef)> {
    vec![
        (
            "u8",
            Arc::new(UInt8Array::from(vec![
                Some(0),
                Some(u8::MAX),
                None,
                Some(1),
            ])),
        ),
        (
            "u16",
            Arc::new(UInt16Array::from(vec![
                Some(0),
                Some(u16::MAX),
                None,
                Some(1),
            ])),
        ),
        (
            "u32",
            Arc::new(UInt32Array::from(vec![
                Some(0),
                Some(u32::MAX),
                None,
                Some(1),
            ])),
        ),
        (
            "u64",
            Arc::new(UInt64Array::from(vec![
                Some(0),
                Some(u64::MAX),
                None,
                Some(1),
            ])),
        ),
        (
            "f32",
            Arc::new(Float32Array::from(vec![
                Some(f32::MIN),
                Some(1e-40),
                None,
                Some(f32::INFINITY),
            ])),
        ),
        (
            "f64",
            Arc::new(Float64Array::from(vec![
                Some(f64::MIN),
                Some(0.1 + 0.2),
                None,
                Some(f64::NEG_INFINITY),
            ])),
        ),
        (
            "nan",
            Arc::new(Float64Array::from(vec![
                Some(f64::NAN),
                Some(-0.0),
                None,
                Some(5e-324),
            ])),
        ),
        (
            "dec",
            Arc::new(
                Decimal128Array::from(vec![Some(1 - 10_i128.pow(38)), Some(1), None, Some(0)])
                    .with_precision_and_scale(38, 10)
                    .unwrap(),
            ),
        ),
    ]
}

fn others() -> Vec<(&'static str, ArrayRef)> {
    let (micros_min, micros_max) = (-62_135_596_800_000_000, 253_402_300_799_999_999);
    vec![
        (
            "date",
            Arc::new(Date32Array::from(vec![
                Some(-719_162),
                Some(2_932_896),
                None,
                Some(0),
            ])),
        ),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(micros_min),
                Some(micros_max),
                None,
                Some(0),
            ])),
        ),
        (
            "tz",
            Arc::new(
                TimestampMicrosecondArray::from(vec![
                    Some(micros_min),
                    Some(micros_max),
                    None,
                    Some(-1),
                ])
                .with_timezone("UTC"),
            ),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some(""),
                Some("a\"b,c\r\nd"),
                None,
                Some("NULL"),
            ])),
        ),
        (
            "odd name, \"quoted\"\n",
            Arc::new(StringArray::from(vec![
                Some(" x "),
                Some("ä€😀"),
                None,
                Some("\u{1}\t\\"),
            ])),
        ),
    ]
}

#[tokio::test]
async fn every_type_reads_back_from_every_format() {
    let batch = every_type();
    for object in [
        "x.csv",
        "x.csv.gz",
        "x.csv.zst",
        "x.tsv",
        "x.jsonl",
        "x.jsonl.gz",
        "x.jsonl.zst",
        "x.parquet",
    ] {
        let (project, how) = (TestProject::new(), replace(object, 1));
        let prepared = project.prepare(&how, &batch).await.unwrap();
        assert!(!project.path(object).exists(), "{object}");
        // A batch equals itself only without NaN.
        assert_eq!(
            format!(
                "{:?}",
                candidate(prepared.as_ref(), CandidateRows::AfterCommit).await
            ),
            format!("{batch:?}"),
            "{object}"
        );
        let receipt = prepared
            .commit(Commit {
                audited: false,
                position: position(1),
                ..Commit::default()
            })
            .await
            .unwrap();
        assert!(!receipt.adopted);
        assert_eq!(receipt.committed.stats.rows_after, Some(4));
        assert_eq!(
            receipt.committed.stats.bytes,
            receipt.committed.stats.bytes.max(1)
        );
        let back = project.read(&how, object, &batch.schema()).await;
        assert_eq!(format!("{back:?}"), format!("{batch:?}"), "{object}");
        assert_eq!(project.last(&how).await, Some(1), "{object}");
    }
}

/// Columns that text cannot be read as, in the form in which Avro and Arrow are read.
fn nested() -> RecordBatch {
    use arrow_array::types::Int64Type;
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        Some(vec![]),
        None,
        Some(vec![Some(i64::MIN)]),
    ]);
    let members: Vec<(Arc<Field>, ArrayRef)> = vec![
        (
            Arc::new(Field::new("s", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("ä"), None, None, Some("x")])),
        ),
        (
            Arc::new(Field::new("l", list.data_type().clone(), true)),
            Arc::new(list.clone()),
        ),
    ];
    let valid = vec![true, true, false, true].into();
    let structs = StructArray::new(
        members.iter().map(|(field, _)| Arc::clone(field)).collect(),
        members.into_iter().map(|(_, array)| array).collect(),
        Some(valid),
    );
    let wide = Decimal256Array::from(vec![
        Some(i256::from_i128(i128::MAX).wrapping_mul(i256::from(1000))),
        Some(i256::from(-1)),
        None,
        Some(i256::from(0)),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("list", Arc::new(list)),
        ("struct", Arc::new(structs)),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![
                Some(b"".as_slice()),
                Some(b"\0\xff"),
                None,
                Some(b"a"),
            ])),
        ),
        (
            "wide",
            Arc::new(wide.with_precision_and_scale(60, 3).unwrap()),
        ),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(0),
                Some(86_399_999_999),
                None,
                Some(1),
            ])),
        ),
        ("nothing", Arc::new(NullArray::new(4))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// The batch with names that Avro has, whole numbers in the types that it has, and nested columns behind them.
fn as_avro(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let to = match field.data_type() {
                DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => {
                    DataType::Int32
                }
                DataType::UInt32 => DataType::Int64,
                DataType::UInt64 => DataType::Decimal128(20, 0),
                DataType::Null => DataType::Utf8,
                other => other.clone(),
            };
            let name = field
                .name()
                .replace(|char: char| !char.is_ascii_alphanumeric(), "_");
            (name, arrow_cast::cast(column, &to).unwrap(), true)
        });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn beside(batch: &RecordBatch, more: &RecordBatch) -> RecordBatch {
    let all = [batch, more].into_iter().flat_map(|batch| {
        let fields = batch.schema().fields().clone();
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        names.into_iter().zip(batch.columns().to_vec())
    });
    RecordBatch::try_from_iter_with_nullable(all.map(|(name, array)| (name, array, true))).unwrap()
}

#[tokio::test]
async fn avro_and_arrow_keep_every_value() {
    let plain = beside(&every_type(), &nested());
    let schema = plain.schema();
    let names = schema.fields().iter();
    let names = names.map(|field| {
        field
            .name()
            .replace(|char: char| !char.is_ascii_alphanumeric(), "_")
    });
    let named = names.zip(plain.columns().to_vec());
    let named =
        RecordBatch::try_from_iter_with_nullable(named.map(|(name, array)| (name, array, true)))
            .unwrap();
    let avro = as_avro(&plain);
    // A column without a type is read as text.
    let nothing = plain.num_columns() - 1;
    let mut columns = plain.columns().to_vec();
    columns[nothing] = arrow_array::new_null_array(&DataType::Utf8, plain.num_rows());
    let fields = schema.fields().iter().zip(columns);
    let read = RecordBatch::try_from_iter_with_nullable(
        fields.map(|(field, column)| (field.name().clone(), column, true)),
    );
    let read = read.unwrap();
    for (object, compression, given, expected) in [
        ("x.avro", "none", &named, &avro),
        ("x.avro", "gzip", &named, &avro),
        ("x.avro", "zstd", &named, &avro),
        ("x.arrow", "none", &plain, &read),
        ("x.arrow", "zstd", &plain, &read),
        ("x.feather", "none", &plain, &read),
        ("x.arrows", "zstd", &plain, &read),
    ] {
        let what = format!("{object}, {compression}");
        let (project, how) = (TestProject::new(), replace(object, 1));
        let how = how.with("compression", json!(compression));
        let prepared = project.prepare(&how, given).await.unwrap();
        let seen = candidate(prepared.as_ref(), CandidateRows::AfterCommit).await;
        // A batch equals itself only without NaN.
        assert_eq!(format!("{seen:?}"), format!("{expected:?}"), "{what}");
        let commit = Commit {
            audited: false,
            position: position(1),
            ..Commit::default()
        };
        let receipt = prepared.commit(commit).await.unwrap();
        assert_eq!(receipt.committed.stats.rows_after, Some(4));
        // No type is known beforehand.
        let spec = read_spec(object, &replace(object, 1), None);
        let back = drain(project.source().as_ref(), &spec).await;
        assert_eq!(format!("{back:?}"), format!("{expected:?}"), "{what}");
        assert_eq!(project.last(&how).await, Some(1), "{what}");
        let start = std::fs::read(project.path(object)).unwrap();
        let is_file = object == "x.arrow" || object == "x.feather";
        assert_eq!(start.starts_with(b"ARROW1"), is_file, "{what}");
        assert_eq!(start.starts_with(b"Obj\x01"), object == "x.avro", "{what}");
    }
}

#[tokio::test]
async fn many_rows_become_many_blocks_and_empty_tables_are_files() {
    for object in ["x.avro", "x.arrow", "x.arrows"] {
        let project = TestProject::new();
        let batch = rows(0..100_000);
        project.write(&replace(object, 1), &batch).await.unwrap();
        let back = project
            .read(&replace(object, 1), object, &batch.schema())
            .await;
        assert_eq!(back, batch, "{object}");
        let none = batch.slice(0, 0);
        project.write(&replace(object, 2), &none).await.unwrap();
        let back = project
            .read(&replace(object, 2), object, &batch.schema())
            .await;
        assert_eq!(back, none, "{object}");
        assert_eq!(project.last(&replace(object, 2)).await, Some(2), "{object}");
    }
}

#[tokio::test]
async fn batches_of_arrow_are_bounded_and_no_smaller_than_that() {
    use arrow_array::types::Int64Type;
    let project = TestProject::new();
    let items = |count: usize| vec![Some(7_i64); count];
    // 20 MB of items, of which a slice has a part.
    let list =
        ListArray::from_iter_primitive::<Int64Type, _, _>((0..25_000).map(|_| Some(items(100))));
    let list: ArrayRef = Arc::new(list);
    let batch = RecordBatch::try_from_iter_with_nullable([("l", list, true)]).unwrap();
    for (object, batch, parts) in [
        ("x.arrow", batch.clone(), 4),
        ("y.arrow", batch.slice(10, 100), 1),
    ] {
        project.write(&replace(object, 1), &batch).await.unwrap();
        let file = std::fs::File::open(project.path(object)).unwrap();
        let reader = arrow_ipc::reader::FileReader::try_new(file, None).unwrap();
        assert_eq!(reader.num_batches(), parts, "{object}");
        let back = project
            .read(&replace(object, 1), object, &batch.schema())
            .await;
        assert_eq!(back.num_rows(), batch.num_rows());
    }
}

#[tokio::test]
async fn what_avro_and_arrow_do_not_have_is_refused_by_name() {
    let project = TestProject::new();
    let intervals: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![None; 1]));
    let intervals = RecordBatch::try_from_iter([("i", intervals)]).unwrap();
    for (how, batch, said) in [
        (
            replace("x.avro", 1),
            intervals.clone(),
            "column `i` is `Interval(MonthDayNano)`",
        ),
        (
            replace("x.avro", 1),
            every_type(),
            "a name that Avro does not have",
        ),
        (replace("x.avro.gz", 1), rows(0..1), "compressed inside"),
        (
            replace("x.arrow", 1).with("compression", json!("gzip")),
            rows(0..1),
            "no gzip",
        ),
        (
            append("x.avro", 1),
            rows(0..1),
            "rows are not added to one avro file",
        ),
        (
            append("x.arrow", 1),
            rows(0..1),
            "rows are not added to one arrow file",
        ),
    ] {
        let failure = project.prepare(&how, &batch).await.err().unwrap();
        assert_eq!(failure.code, "R0120", "{failure:?}");
        assert!(failure.message.contains(said), "{}", failure.message);
        assert_eq!(failure.help.len(), 1);
    }
    let how = replace("x.arrow", 1);
    project.write(&how, &intervals).await.unwrap();
    assert_eq!(
        project
            .read(&how, "x.arrow", &intervals.schema())
            .await
            .num_rows(),
        1
    );
    let lines = replace("x.avro", 1).with("delimiter", json!(";"));
    let failure = project.prepare(&lines, &rows(0..1)).await.err().unwrap();
    assert!(failure.message.contains("delimiter"), "{}", failure.message);
}

#[tokio::test]
async fn a_csv_file_is_what_people_expect() {
    let (project, how) = (TestProject::new(), replace("a/x.csv", 1));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), None]))),
        (
            "amount",
            Arc::new(
                Decimal128Array::from(vec![Some(-5), Some(1200)])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            ),
        ),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("Europe/Berlin"),
            ),
        ),
        (
            "name",
            Arc::new(StringArray::from(vec![Some(""), Some("a,b")])),
        ),
        (
            "kind",
            Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("x"), None])),
        ),
        ("large", Arc::new(LargeStringArray::from(vec!["\"", "y"]))),
    ];
    project
        .write(&how, &RecordBatch::try_from_iter(columns).unwrap())
        .await
        .unwrap();
    let expected = "id,amount,at,name,kind,large\n\
                    1,-0.05,1970-01-01T00:00:00Z,\"\",x,\"\"\"\"\n\
                    ,12.00,1970-01-01T00:00:01.500000Z,\"a,b\",,y\n";
    assert_eq!(project.text("a/x.csv"), expected);
    assert_eq!(project.names("a"), [".x.csv.towpath.json", "x.csv"]);
}

#[tokio::test]
async fn csv_options_shape_what_is_written() {
    let batch = rows(0..2);
    let written = async |how: How| {
        let project = TestProject::new();
        project.write(&how, &batch).await.unwrap();
        assert_eq!(project.read(&how, how.object, &batch.schema()).await, batch);
        project.text(how.object)
    };
    let semicolons = replace("x.txt", 1)
        .with("format", json!("csv"))
        .with("delimiter", json!(";"));
    assert_eq!(written(semicolons).await, "n;t\n0;row 0\n1;row 1\n");
    let named = replace("x.csv", 1).with("null_values", json!(["row 1", "0"]));
    assert_eq!(written(named).await, "n,t\n\"0\",row 0\n1,\"row 1\"\n");
    let blanks = replace("x.csv", 1)
        .with("delimiter", json!(" "))
        .with("quote", json!("'"));
    assert_eq!(written(blanks).await, "n t\n0 'row 0'\n1 'row 1'\n");
    let digits = replace("x.csv", 1).with("delimiter", json!("1"));
    assert_eq!(written(digits).await, "n1t\n01row 0\n\"1\"1\"row 1\"\n");

    let (project, how) = (
        TestProject::new(),
        replace("x.csv", 1).with("header", json!(false)),
    );
    let prepared = project.prepare(&how, &batch).await.unwrap();
    assert_eq!(
        candidate(prepared.as_ref(), CandidateRows::AfterCommit).await,
        batch
    );
    prepared
        .commit(Commit {
            audited: false,
            position: position(1),
            ..Commit::default()
        })
        .await
        .unwrap();
    assert_eq!(project.text("x.csv"), "0,row 0\n1,row 1\n");

    let (project, how) = (
        TestProject::new(),
        replace("x.csv", 1).with("quote", json!("")),
    );
    let odd: ArrayRef = Arc::new(StringArray::from(vec!["a,b"]));
    let odd = RecordBatch::try_from_iter([("c", odd)]).unwrap();
    let failure = project.prepare(&how, &odd).await.err().unwrap();
    assert_eq!(failure.code, "R0126");
    assert_eq!(project.names(""), [""; 0]);
}

#[tokio::test]
async fn numbers_get_the_decimal_sign_they_are_read_by() {
    let prices = Decimal128Array::from(vec![Some(123_450), Some(-5), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("f", Arc::new(Float64Array::from(vec![1234.5, 1e-7, 3.0]))),
        (
            "d",
            Arc::new(prices.with_precision_and_scale(18, 2).unwrap()),
        ),
        ("t", Arc::new(StringArray::from(vec!["1.5", "a,b", "c"]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let comma = replace("x.csv", 1).with("decimal", json!(","));
    for (how, expected) in [
        (
            comma.with("delimiter", json!(";")),
            "f;d;t\n1234,5;1234,50;1.5\n1e-7;-0,05;a,b\n3,0;;c\n",
        ),
        (
            replace("x.csv", 1).with("decimal", json!(",")),
            "f,d,t\n\"1234,5\",\"1234,50\",1.5\n1e-7,\"-0,05\",\"a,b\"\n\"3,0\",,c\n",
        ),
    ] {
        let project = TestProject::new();
        project.write(&how, &batch).await.unwrap();
        assert_eq!(project.text("x.csv"), expected);
        assert_eq!(project.read(&how, "x.csv", &batch.schema()).await, batch);
    }
}

#[tokio::test]
async fn dates_are_written_in_the_pattern_they_are_read_by() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("d", Arc::new(Date32Array::from(vec![15_706]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![1_357_000_000_000_000])),
        ),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let how = |pattern: &str| {
        replace("x.csv", 1)
            .with("date_format", json!("%d.%m.%Y"))
            .with("timestamp_format", json!(pattern))
    };
    let (project, exact) = (TestProject::new(), how("%d.%m.%Y %H:%M:%S"));
    project.write(&exact, &batch).await.unwrap();
    assert_eq!(
        project.text("x.csv"),
        "d,at\n01.01.2013,01.01.2013 00:26:40\n"
    );
    assert_eq!(project.read(&exact, "x.csv", &batch.schema()).await, batch);
    let failure = TestProject::new()
        .prepare(&how("%d.%m.%Y %H:%M"), &batch)
        .await
        .err()
        .unwrap();
    assert_eq!(failure.code, "R0126");
}

#[tokio::test]
async fn parquet_row_groups_are_bounded_and_readable() {
    let (project, how) = (TestProject::new(), replace("x.parquet", 1));
    // 64 MB of budget makes row groups of 4 MB.
    let mut writer = None;
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 11
    };
    for _ in 0..40 {
        let texts: StringArray = (0..4096)
            .map(|_| {
                Some(format!(
                    "{:x}{:x}{:x}{:x}{:x}{:x}",
                    random(),
                    random(),
                    random(),
                    random(),
                    random(),
                    random()
                ))
            })
            .collect();
        let column: ArrayRef = Arc::new(texts);
        let batch = RecordBatch::try_from_iter_with_nullable([("t", column, true)]).unwrap();
        if writer.is_none() {
            writer = Some(project.begin(&how, batch.schema()).await.unwrap());
        }
        writer.as_mut().unwrap().write(batch, None).await.unwrap();
    }
    let prepared = writer.unwrap().prepare().await.unwrap();
    assert_eq!(prepared.stats().rows_after, Some(40 * 4096));
    prepared
        .commit(Commit {
            audited: false,
            position: position(1),
            ..Commit::default()
        })
        .await
        .unwrap();
    let file = std::fs::File::open(project.path("x.parquet")).unwrap();
    let reader = parquet::file::metadata::ParquetMetaDataReader::new();
    let reader = reader.with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required);
    let mut reader = reader;
    reader.try_parse(&file).unwrap();
    let metadata = reader.finish().unwrap();
    assert!(
        metadata.num_row_groups() > 1,
        "{}",
        metadata.num_row_groups()
    );
    for group in metadata.row_groups() {
        assert!(
            group.compressed_size() < 6 << 20,
            "{}",
            group.compressed_size()
        );
        assert!(
            group
                .column(0)
                .statistics()
                .unwrap()
                .min_bytes_opt()
                .is_some()
        );
    }
    assert_eq!(project.last(&how).await, Some(1));
}

const FULL: &str = "TOWPATH_TEST_FULL_DISK";

/// The same test again in a process whose files may have 100 KB and no more.
#[test]
fn a_full_disk_is_named() {
    if std::env::var_os(FULL).is_none() {
        let own = std::env::current_exe().unwrap();
        let limited = "trap '' XFSZ; ulimit -f 100; exec \"$0\" --exact \"$1\"";
        let name = "files::write::tests::formats::a_full_disk_is_named";
        let ran = std::process::Command::new("sh")
            .args(["-c", limited])
            .arg(own)
            .arg(name)
            .env(FULL, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let project = TestProject::new();
    let batch = rows(0..100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let how = replace("x.csv", 1);
        project.write(&how, &rows(0..10)).await.unwrap();
        let next = append("x.csv", 2);
        let mut writer = project.begin(&next, batch.schema()).await.unwrap();
        let failure = match writer.write(batch.clone(), None).await {
            Ok(()) => writer.prepare().await.err().unwrap(),
            Err(failure) => {
                writer.abort().await.unwrap();
                failure
            }
        };
        assert_eq!(failure.code, "R0122", "{failure}");
        assert_eq!(project.last(&how).await, Some(1));
        assert_eq!(project.names(""), [".x.csv.towpath.json", "x.csv"]);
    });
}

fn nasty() -> impl Strategy<Value = Option<String>> {
    let piece = prop_oneof![
        Just(String::new()),
        Just("\"".to_owned()),
        Just(",".to_owned()),
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("\\".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("#".to_owned()),
        Just(" ".to_owned()),
        Just("NULL".to_owned()),
        "\\PC{0,3}",
    ];
    let text = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    prop::option::weighted(0.9, text)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nasty_texts_read_back(
        pairs in prop::collection::vec((nasty(), nasty()), 1..8),
        style in 0..5_usize,
    ) {
        let (first, second): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("a", Arc::new(StringArray::from(first))), ("b", Arc::new(StringArray::from(second)))];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
            .unwrap();
        let how = match style {
            0 => replace("x.csv", 1),
            1 => replace("x.csv", 1).with("escape", json!("\\")).with("null_values", json!(["NULL"])),
            2 => replace("x.csv", 1).with("comment", json!("#")).with("trim", json!(true)),
            3 => replace("x.jsonl", 1),
            _ => replace("x.csv", 1).with("header", json!(false)).with("delimiter", json!("\\")),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let back = runtime.block_on(async {
            let project = TestProject::new();
            let prepared = project.prepare(&how, &batch).await.unwrap();
            let seen = candidate(prepared.as_ref(), CandidateRows::OfThisWrite).await;
            prepared.commit(Commit { audited: false, position: position(1), ..Commit::default() }).await.unwrap();
            seen
        });
        prop_assert_eq!(back, batch);
    }
}

/// A map of texts and one of numbers, with an empty map and a NULL.
fn maps() -> RecordBatch {
    use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
    let mut of_texts = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    of_texts.keys().append_value("a\"b");
    of_texts.values().append_value(1);
    of_texts.keys().append_value("c");
    of_texts.values().append_null();
    of_texts.append(true).unwrap();
    of_texts.append(true).unwrap();
    of_texts.append(false).unwrap();
    let mut of_numbers = MapBuilder::new(None, Int64Builder::new(), StringBuilder::new());
    of_numbers.keys().append_value(7);
    of_numbers.values().append_value("x");
    of_numbers.append(true).unwrap();
    of_numbers.append(true).unwrap();
    of_numbers.append(true).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("m", Arc::new(of_texts.finish())),
        ("k", Arc::new(of_numbers.finish())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn maps_are_json_and_types_without_a_text_are_refused() {
    let project = TestProject::new();
    project
        .write(&replace("m.jsonl", 1), &maps())
        .await
        .unwrap();
    let expected = concat!(
        r#"{"m":{"a\"b":1,"c":null},"k":[{"key":7,"value":"x"}]}"#,
        "\n",
        r#"{"m":{},"k":[]}"#,
        "\n",
        r#"{"m":null,"k":[]}"#,
        "\n",
    );
    assert_eq!(project.text("m.jsonl"), expected);
    project.write(&replace("m.csv", 1), &maps()).await.unwrap();
    let text = project.text("m.csv");
    let first = r#""{""a\""b"":1,""c"":null}","[{""key"":7,""value"":""x""}]""#;
    assert_eq!(text.lines().nth(1), Some(first));
    let variants = [(0, Arc::new(Field::new("x", DataType::Int64, true)))];
    let union = DataType::Union(variants.into_iter().collect(), UnionMode::Sparse);
    let schema = Arc::new(Schema::new(vec![Field::new("u", union, true)]));
    for object in ["u.csv", "u.jsonl"] {
        let begun = project
            .begin(&replace(object, 1), Arc::clone(&schema))
            .await;
        let failure = begun.err().unwrap();
        assert_eq!(failure.code, "R0120");
        assert!(failure.message.contains("column `u`"), "{failure:?}");
    }
}
