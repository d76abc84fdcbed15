//! Arrow files and streams: every type beside what pyarrow reads, files that contradict themselves.

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, NullArray, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

use super::avro::never_a_panic;
use super::columnar::{exact, fixture, lines, one_column};
use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn numbers(from: i64, to: i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(from..to))
}

fn file(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let schema = batches[0].schema();
    let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let schema = batches[0].schema();
    let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn plain() -> IpcWriteOptions {
    IpcWriteOptions::default()
}

#[test]
fn every_type_gives_the_values_that_pyarrow_gives() {
    let files = [
        ("types.arrow", "parquet/types.txt"),
        ("types.feather", "parquet/types.txt"),
        ("types.arrows", "parquet/types.txt"),
        ("more.arrow", "arrow/more.txt"),
    ];
    for (name, texts) in files {
        let project = Project::new().file(name, fixture(&format!("arrow/{name}")));
        for (column, expected) in lines(texts) {
            let given = exact(&project, &one_column(name, &column, None), 5).unwrap();
            let expected: Vec<Option<String>> = expected.into_iter().map(Some).collect();
            assert_eq!(given, expected, "{name}: {column}");
        }
    }
}

#[test]
fn declared_types_are_exact_or_refused_as_of_parquet() {
    let project = Project::new()
        .file("types.arrow", fixture("arrow/types.arrow"))
        .file("types.parquet", fixture("parquet/types.parquet"));
    for (what, _) in lines("parquet/declared.txt") {
        let (name, word) = what.split_once(" as ").unwrap();
        let read = |file| exact(&project, &one_column(file, name, Some(word)), 5);
        match (read("types.arrow"), read("types.parquet")) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "{what}"),
            (Err(one), Err(other)) => assert_eq!(one.code, other.code, "{what}"),
            (one, other) => panic!("{what}: {one:?} {other:?}"),
        }
    }
}

#[test]
fn all_columns_of_a_file_are_found_with_their_types() {
    let project = Project::new().file("more.arrow", fixture("arrow/more.arrow"));
    let outcome = project.read("more");
    for column in [
        "ts_s timestamp",
        "tz_tokyo_s timestamptz",
        "text_view text",
        "bytes_view binary",
        "list_view list(bigint)",
        "runs text",
        "decimal32 decimal(9,2)",
        "dictionary_of_numbers bigint",
        "dense_union struct(word text, number bigint)",
    ] {
        assert!(
            outcome.columns.contains(&column.to_owned()),
            "{:?}",
            outcome.columns
        );
    }
    assert_eq!(
        (outcome.rows.len(), outcome.boundaries.as_slice()),
        (5, &[5][..])
    );
    let described = run(async { project.discover().describe("more.arrow").await.unwrap() });
    assert_eq!(described.rows, Some(5));
}

#[test]
fn batches_are_read_in_order_and_rows_are_numbered() {
    let batches = [
        batch(vec![("n", numbers(0, 3)), ("m", numbers(10, 13))]),
        batch(vec![("n", numbers(3, 3)), ("m", numbers(3, 3))]),
        batch(vec![("n", numbers(3, 8)), ("m", numbers(13, 18))]),
    ];
    for (name, bytes) in [
        ("t.arrow", file(&batches, plain())),
        ("t.arrows", stream(&batches, plain())),
        // The bytes say which of the two it is.
        ("t.ipc", stream(&batches, plain())),
        ("t.feather", file(&batches, plain())),
    ] {
        let project = Project::new().file(name, bytes);
        let mut spec = spec("t");
        spec.batch_rows = 2;
        spec.projection = Some(vec!["m".to_owned()]);
        let outcome = project.read_as(&spec);
        let expected: Vec<String> = (10..18).map(|n| n.to_string()).collect();
        assert_eq!(outcome.rows, expected, "{name}");
        assert_eq!(outcome.ordinals, (0..8).collect::<Vec<u64>>());
        assert!(outcome.batches.iter().all(|batch| batch.num_rows() <= 2));
        assert_eq!((outcome.boundaries.as_slice(), outcome.ends), (&[8][..], 1));
    }
}

#[test]
fn dictionaries_that_change_between_batches_keep_their_values() {
    let words = |words: Vec<Option<&str>>| -> ArrayRef {
        Arc::new(words.into_iter().collect::<DictionaryArray<Int32Type>>())
    };
    let batches = [
        batch(vec![("w", words(vec![Some("a"), Some("b"), None]))]),
        batch(vec![("w", words(vec![Some("c"), Some("a")]))]),
        batch(vec![("w", words(vec![None, None]))]),
    ];
    let outcome = Project::new()
        .file("t.arrows", stream(&batches, plain()))
        .read("t");
    assert_eq!(outcome.columns, ["w text"]);
    assert_eq!(outcome.rows, ["a", "b", "∅", "c", "a", "∅", "∅"]);
}

#[test]
fn a_cut_file_is_an_error_wherever_it_is_cut() {
    let batches = [
        batch(vec![("n", numbers(0, 3))]),
        batch(vec![("n", numbers(3, 5))]),
    ];
    for whole in [file(&batches, plain()), stream(&batches, plain())] {
        let project = Project::new().file("t.arrow", &whole);
        assert_eq!(project.read("t").rows.len(), 5);
        for cut in 0..whole.len() {
            project.put("t.arrow", &whole[..cut]);
            let failure = project.fail("t");
            assert!(
                ["R0112", "R0140"].contains(&failure.code.as_str()),
                "{cut}: {failure}"
            );
        }
    }
    // Two streams in one file: the second one would be lost.
    let one = stream(&batches, plain());
    let project = Project::new().file("t.arrows", [one.clone(), one].concat());
    let failure = project.fail("t");
    assert_eq!(failure.code, "R0140");
    assert!(
        failure.message.contains("behind the mark of its end"),
        "{failure}"
    );
}

#[test]
fn files_of_another_kind_are_not_readable() {
    for (name, bytes, why) in [
        ("t.arrow", Vec::new(), "it is empty"),
        (
            "t.arrow",
            b"a,b\n1,2\n".to_vec(),
            "does not begin as an Arrow file",
        ),
        (
            "t.arrows",
            b"{\"a\":1}\n".to_vec(),
            "does not begin as an Arrow file",
        ),
        (
            "t.feather",
            fixture("parquet/types.parquet"),
            "does not begin as an Arrow file",
        ),
        (
            "t.ipc",
            fixture("avro/types.avro"),
            "does not begin as an Arrow file",
        ),
        ("t.feather", b"FEA1....FEA1".to_vec(), "Feather version 1"),
        (
            "t.avro",
            fixture("arrow/types.arrow"),
            "does not begin as an Avro file",
        ),
    ] {
        let failure = Project::new().file(name, bytes).fail("t");
        assert_eq!(failure.code, "R0112", "{failure}");
        assert!(failure.message.contains(why), "{failure}");
    }
}

#[test]
fn damaged_files_are_errors_or_rows_and_never_a_panic() {
    for name in ["types.arrow", "types.feather", "types.arrows", "more.arrow"] {
        never_a_panic("t.arrow", &fixture(&format!("arrow/{name}")));
    }
}

#[test]
fn a_batch_that_says_more_rows_than_it_has_is_damaged() {
    let nulls = batch(vec![("n", Arc::new(NullArray::new(3)) as ArrayRef)]);
    let whole = stream(&[nulls], plain());
    assert_eq!(
        Project::new().file("t.arrows", &whole).read("t").rows.len(),
        3
    );
    // Only a count says how many values a column without buffers has.
    let three = 3_i64.to_le_bytes();
    let places: Vec<usize> = (0..whole.len() - 8)
        .filter(|at| whole[*at..*at + 8] == three)
        .collect();
    assert!(places.len() >= 2, "{places:?}");
    let mut many = whole;
    for at in places {
        many[at..at + 8].copy_from_slice(&i64::MAX.to_le_bytes());
    }
    let failure = Project::new().file("t.arrows", many).fail("t");
    assert_eq!(failure.code, "R0140", "{failure}");
    assert!(failure.message.contains("record batch 1"), "{failure}");
}

#[test]
fn a_batch_that_takes_more_than_memory_is_refused() {
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 4 << 20]));
    for compression in [CompressionType::ZSTD, CompressionType::LZ4_FRAME] {
        let options = plain().try_with_compression(Some(compression)).unwrap();
        let bytes = file(&[batch(vec![("n", Arc::clone(&zeros))])], options);
        assert!(bytes.len() < 1 << 20);
        let mut project = Project::new().file("t.arrow", bytes);
        project.memory = super::bounds::tight(256 << 20);
        let mut spec = spec("t");
        spec.batch_rows = 1 << 20;
        let rows: usize = project
            .read_as(&spec)
            .batches
            .iter()
            .map(RecordBatch::num_rows)
            .sum();
        assert_eq!(rows, 4 << 20);
        project.memory = super::bounds::tight(64 << 20);
        let failure = project.fail("t");
        assert_eq!(failure.code, "R0156", "{failure}");
        assert!(
            failure.message.contains("record batch 1 of `data/t.arrow`"),
            "{failure}"
        );
    }
}

#[test]
fn a_buffer_that_unpacks_to_more_than_it_says_is_damaged() {
    let options = plain().try_with_compression(Some(CompressionType::LZ4_FRAME));
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 1 << 20]));
    let mut bytes = file(&[batch(vec![("n", zeros)])], options.unwrap());
    // The length of a buffer, and the beginning of its frame.
    let head = [&(8_u64 << 20).to_le_bytes()[..], &[0x04, 0x22, 0x4D, 0x18]].concat();
    let at = bytes.windows(head.len()).position(|bytes| bytes == head);
    bytes[at.unwrap()..][..8].copy_from_slice(&8_u64.to_le_bytes());
    let failure = Project::new().file("t.arrow", bytes).fail("t");
    assert_eq!(failure.code, "R0140", "{failure}");
    assert!(
        failure
            .message
            .contains("unpacks to more bytes than it says"),
        "{failure}"
    );
}

#[test]
fn large_values_of_a_dictionary_come_in_small_batches() {
    let words: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20)]));
    let keys = arrow_array::Int32Array::from(vec![0; 2100]);
    let column = DictionaryArray::<Int32Type>::try_new(keys, words);
    let column: ArrayRef = Arc::new(column.unwrap());
    let bytes = file(&[batch(vec![("w", column)])], plain());
    let project = Project::new().file("t.arrow", bytes);
    let (mut rows, mut most) = (0_usize, 0_usize);
    run(async {
        let mut reader = project.source().open(&spec("t"), None).await.unwrap();
        let mut splits = reader.splits();
        while let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await {
            while let Some(event) = split.events.next().await {
                if let Event::Rows(batch) = event.unwrap() {
                    rows += batch.len();
                    most = most.max(batch.len());
                }
            }
        }
    });
    // Together they do not fit into one column of text.
    assert_eq!(rows, 2100);
    assert!(most <= 4, "{most}");
}

#[test]
fn a_taker_that_keeps_most_of_the_budget_stalls_no_arrow_read() {
    let batches: Vec<_> = (0..40)
        .map(|at| {
            let texts = (0..50).map(|row| format!("{row:0>1000}"));
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
            batch(vec![("a", numbers(at * 50, at * 50 + 50)), ("b", texts)])
        })
        .collect();
    for bytes in [file(&batches, plain()), stream(&batches, plain())] {
        let mut project = Project::new().file("t.arrow", bytes);
        for limit in [1_u64 << 20, 4 << 20, 64 << 20] {
            let memory = super::bounds::tight(limit);
            project.memory = Arc::clone(&memory);
            let all = run(async {
                let reader = project.source().open(&spec("t"), None).await.unwrap();
                let _kept = memory.hold(limit / 4 * 3).await;
                super::bounds::numbers(reader).await
            });
            assert_eq!(all, (0..2000).collect::<Vec<i64>>(), "{limit}");
        }
    }
}

#[test]
fn files_with_different_columns_are_one_table_or_an_error() {
    let one = |name: &str, values: ArrayRef| file(&[batch(vec![(name, values)])], plain());
    let project = Project::new()
        .file(
            "1.arrow",
            one("n", Arc::new(arrow_array::Int8Array::from(vec![1]))),
        )
        .file(
            "2.arrow",
            stream(&[batch(vec![("n", numbers(300, 301))])], plain()),
        );
    assert_eq!(project.read("*.arrow").rows, ["1", "300"]);
    project.put("3.arrow", one("n", Arc::new(StringArray::from(vec!["x"]))));
    assert_eq!(project.fail("*.arrow").code, "R0117");
    project.put("3.arrow", one("m", numbers(7, 8)));
    assert_eq!(project.fail("*.arrow").code, "R0110");
    // A format for each table.
    project.put("3.parquet", "PAR1");
    assert_eq!(project.fail("*").code, "R0106");
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let two = arrow_schema::Schema::new(vec![
        arrow_schema::Field::new("n", arrow_schema::DataType::Int64, true),
        arrow_schema::Field::new("n", arrow_schema::DataType::Int64, true),
    ]);
    let rows = RecordBatch::try_new(Arc::new(two), vec![numbers(0, 1), numbers(1, 2)]).unwrap();
    let failure = Project::new()
        .file("t.arrow", file(&[rows], plain()))
        .fail("t");
    assert_eq!(failure.code, "R0109", "{failure}");
}
