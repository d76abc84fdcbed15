//! Parquet: every type with its edge values beside what pyarrow reads, declared types, odd schemas,
//! files that contradict themselves.

use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{
    ByteArray, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;
use towpath_ports::{ExactValues, exact_json};

use super::*;
use crate::damage::Dice;

/// A file that `make.py` beside it has made with another implementation.
pub(super) fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

/// The lines of a fixture: a name and its texts.
pub(super) fn lines(name: &str) -> Vec<(String, Vec<String>)> {
    let text = String::from_utf8(fixture(name)).unwrap();
    let plain = |text: &str| {
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(sign) = chars.next() {
            out.push(match sign {
                '\\' => match chars.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(other) => other,
                    None => '\\',
                },
                other => other,
            });
        }
        out
    };
    text.lines()
        .map(|line| {
            let mut parts = line.split('\t').map(plain);
            (parts.next().unwrap(), parts.collect())
        })
        .collect()
}

/// The values of one column, exactly; `None` for a row that was rejected.
pub(super) fn exact(
    project: &Project,
    spec: &ReadSpec,
    rows: usize,
) -> Result<Vec<Option<String>>> {
    run(async {
        let mut texts = vec![None; rows];
        let mut reader = project.source().open(spec, None).await?;
        let mut splits = reader.splits();
        while let Some(assigned) = splits.next().await {
            let Assignment::Assigned(mut split) = assigned? else {
                continue;
            };
            while let Some(event) = split.events.next().await {
                let Event::Rows(rows) = event? else { continue };
                let column = rows.batch.column(0);
                let values = ExactValues::of(column).unwrap();
                for row in 0..rows.len() {
                    let mut text = Vec::new();
                    if values.is_null(row) {
                        text.extend_from_slice(b"NULL");
                    } else if column.data_type().is_nested() {
                        exact_json(&values, row, &mut text).unwrap();
                    } else {
                        values.write(row, &mut text).unwrap();
                    }
                    let at = usize::try_from(rows.ordinals.value(row)).unwrap();
                    texts[at] = Some(String::from_utf8(text).unwrap());
                }
            }
        }
        Ok(texts)
    })
}

pub(super) fn one_column(file: &str, name: &str, word: Option<&str>) -> ReadSpec {
    let mut spec = spec(file);
    spec.projection = Some(vec![name.to_owned()]);
    if let Some(word) = word {
        spec.declared = declared(&[(name, word)]);
    }
    spec
}

#[test]
fn every_type_gives_the_values_that_pyarrow_gives() {
    let project = Project::new().file("types.parquet", fixture("parquet/types.parquet"));
    for (name, expected) in lines("parquet/types.txt") {
        let given = exact(&project, &one_column("types.parquet", &name, None), 5).unwrap();
        let expected: Vec<Option<String>> = expected.into_iter().map(Some).collect();
        assert_eq!(given, expected, "{name}");
    }
}

#[test]
fn a_declared_type_gives_the_value_of_pyarrow_or_rejects_the_row() {
    let project = Project::new().file("types.parquet", fixture("parquet/types.parquet"));
    let plain = lines("parquet/types.txt");
    let mut wrong = Vec::new();
    for (what, expected) in lines("parquet/declared.txt") {
        let (name, word) = what.split_once(" as ").unwrap();
        let given = match exact(&project, &one_column("types.parquet", name, Some(word)), 5) {
            Ok(given) => given,
            Err(failure) => {
                assert_eq!(failure.code, "R0142", "{what}: {failure}");
                continue;
            }
        };
        let (_, own) = plain.iter().find(|(other, _)| other == name).unwrap();
        for (at, value) in given.iter().enumerate() {
            let Some(value) = value else {
                // NULL fits every type.
                assert!(own[at] != "NULL" || name == "text", "{what}: row {at}");
                continue;
            };
            if (value == "NULL") != (own[at] == "NULL") && own[at] != "NULL" && name != "text" {
                wrong.push(format!("{what}: row {at} `{}` became NULL", own[at]));
            }
            let is_text = ["text", "binary"].contains(&word);
            if !is_text && expected[at] != "!" && *value != expected[at] {
                wrong.push(format!(
                    "{what}: row {at} `{value}`, pyarrow `{}`",
                    expected[at]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Writes one column.
type ColumnWrite = Box<dyn Fn(&mut parquet::file::writer::SerializedColumnWriter<'_>)>;

/// Writes a file with a schema and a closure for each column of its only row group.
fn write(project: &Project, message: &str, columns: Vec<ColumnWrite>) {
    write_type(project, parse_message_type(message).unwrap(), columns);
}

fn write_type(project: &Project, schema: Type, columns: Vec<ColumnWrite>) {
    let file = std::fs::File::create(project.data().join("t.parquet")).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for write in columns {
        let mut column = group.next_column().unwrap().unwrap();
        write(&mut column);
        column.close().unwrap();
    }
    assert!(group.next_column().unwrap().is_none());
    group.close().unwrap();
    writer.close().unwrap();
}

/// A timestamp as INT96: a day, and nanoseconds of it.
fn int96(day: i64, nanos: u64) -> Int96 {
    let mut value = Int96::new();
    let day = u32::try_from(day + 2_440_588).unwrap();
    value.set_data(nanos as u32, (nanos >> 32) as u32, day);
    value
}

#[test]
fn int96_says_every_year_and_loses_no_digit() {
    let project = Project::new();
    let days = [0, 2_932_896, -719_162, 11_016, -150_000];
    write(
        &project,
        "message m { required int96 at; }",
        vec![Box::new(move |column| {
            let values: Vec<Int96> = days
                .iter()
                .map(|day| int96(*day, 86_399_999_999_000))
                .collect();
            column
                .typed::<Int96Type>()
                .write_batch(&values, None, None)
                .unwrap();
        })],
    );
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["at timestamp"]);
    let texts = exact(&project, &spec("t"), 5).unwrap();
    let expected = [
        "1970-01-01T23:59:59.999999",
        "9999-12-31T23:59:59.999999",
        "0001-01-01T23:59:59.999999",
        "2000-02-29T23:59:59.999999",
        "1559-04-26T23:59:59.999999",
    ];
    assert_eq!(texts, expected.map(|text| Some(text.to_owned())));
    // Where one value needs its last digits, the column is text, and a note says so.
    write(
        &project,
        "message m { optional int96 at; }",
        vec![Box::new(|column| {
            let values = [int96(2_932_896, 1), int96(0, 2_000)];
            column
                .typed::<Int96Type>()
                .write_batch(&values, Some(&[1, 0, 1]), None)
                .unwrap();
        })],
    );
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["at text"]);
    assert_eq!(
        outcome.rows,
        [
            "9999-12-31T00:00:00.000000001",
            "∅",
            "1970-01-01T00:00:00.000002"
        ]
    );
    assert_eq!(outcome.notes.len(), 1, "{:?}", outcome.notes);
    assert!(
        outcome.notes[0].contains("below a microsecond"),
        "{:?}",
        outcome.notes
    );
    let mut spec = spec("t");
    spec.declared = declared(&[("at", "timestamp")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["∅", "1970-01-01T00:00:00.000002"]);
    assert_eq!(
        outcome.rejects[0].raw,
        RawRecord::Row("{\"at\":\"9999-12-31T00:00:00.000000001\"}".to_owned())
    );
    assert!(
        outcome.rejects[0].reasons[0]
            .message
            .contains("declare `text`")
    );
}

#[test]
fn an_interval_keeps_its_months() {
    let project = Project::new();
    let leaf = Type::primitive_type_builder("i", PhysicalType::FIXED_LEN_BYTE_ARRAY)
        .with_repetition(Repetition::OPTIONAL)
        .with_converted_type(ConvertedType::INTERVAL)
        .with_length(12)
        .build()
        .unwrap();
    let schema = Type::group_type_builder("m")
        .with_fields(vec![Arc::new(leaf)])
        .build()
        .unwrap();
    let bytes = |months: u32, days: u32, millis: u32| {
        let parts = [months, days, millis].map(u32::to_le_bytes).concat();
        FixedLenByteArray::from(ByteArray::from(parts))
    };
    let values = [
        bytes(14, 3, 4_500),
        bytes(0, 0, u32::MAX),
        bytes(u32::MAX, 0, 0),
    ];
    write_type(
        &project,
        schema,
        vec![Box::new(move |column| {
            let column = column.typed::<FixedLenByteArrayType>();
            column
                .write_batch(&values, Some(&[1, 1, 1, 0]), None)
                .unwrap();
        })],
    );
    let texts = exact(&project, &spec("t"), 4).unwrap();
    assert_eq!(texts[0].as_deref(), Some("P14M3DT4.500000000S"));
    assert_eq!(texts[1].as_deref(), Some("P0M0DT4294967.295000000S"));
    assert_eq!((&texts[2], texts[3].as_deref()), (&None, Some("NULL")));
    let mut spec = spec("t");
    spec.declared = declared(&[("i", "text")]);
    assert_eq!(exact(&project, &spec, 4).unwrap()[0], texts[0]);
}

#[test]
fn columns_that_repeat_without_an_annotation_are_lists() {
    let project = Project::new();
    write(
        &project,
        "message m { required int32 id; optional group phones { repeated group phone { required int64 number; } } repeated int32 n; }",
        vec![
            Box::new(|column| {
                column
                    .typed::<Int32Type>()
                    .write_batch(&[1, 2, 3], None, None)
                    .unwrap();
            }),
            Box::new(|column| {
                let column = column.typed::<Int64Type>();
                column
                    .write_batch(&[5, 6], Some(&[0, 1, 2, 2]), Some(&[0, 0, 0, 1]))
                    .unwrap();
            }),
            Box::new(|column| {
                let column = column.typed::<Int32Type>();
                column
                    .write_batch(&[7, 8], Some(&[1, 1, 0, 0]), Some(&[0, 1, 0, 0]))
                    .unwrap();
            }),
        ],
    );
    let mut spec = spec("t");
    spec.declared = declared(&[("phones", "text"), ("n", "text")]);
    let outcome = project.read_as(&spec);
    assert_eq!(
        outcome.rows,
        [
            "1|∅|[7,8]",
            "2|{\"phone\":[]}|[]",
            "3|{\"phone\":[{\"number\":5},{\"number\":6}]}|[]"
        ]
    );
}

/// A footer that counts other rows in the only row group.
fn recount(project: &Project, rows: i64) {
    use parquet::file::metadata::{
        FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
    };
    let path = project.data().join("t.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&std::fs::File::open(&path).unwrap())
        .unwrap();
    let tail = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap());
    bytes.truncate(tail - length as usize);
    let file = metadata.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        rows,
        None,
        None,
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let groups = metadata.row_groups().iter().cloned();
    let groups = groups.map(|group| group.into_builder().set_num_rows(rows).build().unwrap());
    let changed = ParquetMetaData::new(file, groups.collect());
    ParquetMetaDataWriter::new(&mut bytes, &changed)
        .finish()
        .unwrap();
    std::fs::write(&path, bytes).unwrap();
}

fn three_numbers(project: &Project, repetition: &str) {
    let levels = repetition == "repeated";
    write(
        project,
        &format!("message m {{ {repetition} int32 n; }}"),
        vec![Box::new(move |column| {
            let column = column.typed::<Int32Type>();
            let (definitions, repetitions) = ([1_i16; 3], [0_i16; 3]);
            match levels {
                true => column.write_batch(&[1, 2, 3], Some(&definitions), Some(&repetitions)),
                false => column.write_batch(&[1, 2, 3], None, None),
            }
            .unwrap();
        })],
    );
}

#[test]
fn a_footer_that_counts_no_rows_loses_none() {
    let project = Project::new();
    three_numbers(&project, "required");
    let path = project.data().join("t.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    // The count of the file, 3, between its schema and its list of one row group.
    let count = [0x16, 0x06, 0x19, 0x1C];
    let at = bytes.windows(4).position(|window| window == count).unwrap();
    bytes[at + 1] = 0;
    std::fs::write(&path, bytes).unwrap();
    let outcome = project.read("t");
    assert_eq!(outcome.rows, ["1", "2", "3"]);
    assert_eq!(outcome.boundaries, [3]);
    assert!(
        outcome.notes[0].contains("counts 0 rows and its row groups 3"),
        "{:?}",
        outcome.notes
    );
}

#[test]
fn a_row_group_with_other_rows_than_counted_is_an_error() {
    for repetition in ["required", "repeated"] {
        for counted in [2, 4] {
            let project = Project::new();
            three_numbers(&project, repetition);
            recount(&project, counted);
            let mut spec = spec("t");
            spec.declared = declared(&[("n", "text")]);
            let read = project.try_read(&spec);
            match read {
                Err(failure) => {
                    assert!(
                        ["R0140", "R0141"].contains(&failure.code.as_str()),
                        "{failure}"
                    );
                    assert!(failure.message.contains("row group 1"), "{failure}");
                }
                Ok(outcome) => panic!("{repetition} {counted}: {:?}", outcome.rows),
            }
        }
    }
}

#[test]
fn a_column_behind_an_empty_group_has_its_values() {
    let project = Project::new();
    let empty = Type::group_type_builder("nothing")
        .with_repetition(Repetition::OPTIONAL)
        .build()
        .unwrap();
    let number = |name| {
        let leaf = Type::primitive_type_builder(name, PhysicalType::INT32)
            .with_repetition(Repetition::REQUIRED);
        Arc::new(leaf.build().unwrap())
    };
    let schema = Type::group_type_builder("m")
        .with_fields(vec![number("a"), Arc::new(empty), number("b"), number("c")])
        .build()
        .unwrap();
    let of = |value: i32| -> Box<dyn Fn(&mut parquet::file::writer::SerializedColumnWriter<'_>)> {
        Box::new(move |column| {
            column
                .typed::<Int32Type>()
                .write_batch(&[value], None, None)
                .unwrap();
        })
    };
    write_type(&project, schema, vec![of(1), of(100), of(7)]);
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["a int", "b int", "c int"]);
    assert_eq!(outcome.rows, ["1|100|7"]);
    let mut spec = spec("t");
    spec.projection = Some(vec!["b".to_owned()]);
    assert_eq!(project.read_as(&spec).rows, ["100"]);
}

#[test]
fn a_column_without_a_value_takes_every_declared_type() {
    let project = Project::new();
    let leaf = Type::primitive_type_builder("n", PhysicalType::INT32)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::Unknown))
        .build()
        .unwrap();
    let schema = Type::group_type_builder("m")
        .with_fields(vec![Arc::new(leaf)])
        .build()
        .unwrap();
    write_type(
        &project,
        schema,
        vec![Box::new(|column| {
            let column = column.typed::<Int32Type>();
            column.write_batch(&[], Some(&[0, 0]), None).unwrap();
        })],
    );
    assert_eq!(project.read("t").columns, ["n text"]);
    for word in [
        "bigint",
        "date",
        "timestamptz",
        "decimal(9,2)",
        "binary",
        "bool",
        "text",
    ] {
        let mut spec = spec("t");
        spec.declared = declared(&[("n", word)]);
        let outcome = project.read_as(&spec);
        assert_eq!(
            (outcome.columns, outcome.rows),
            (vec![format!("n {word}")], vec!["∅".to_owned(); 2])
        );
    }
}

#[test]
fn values_that_contradict_their_type_are_rejected_exactly() {
    let project = Project::new();
    write(
        &project,
        "message m { required int32 d (DECIMAL(3,1)); required int32 t (TIME_MILLIS); required int64 m (TIMESTAMP_MILLIS); }",
        vec![
            Box::new(|column| {
                column
                    .typed::<Int32Type>()
                    .write_batch(&[123, 12345, 1, 1], None, None)
                    .unwrap();
            }),
            Box::new(|column| {
                column
                    .typed::<Int32Type>()
                    .write_batch(&[0, 0, 86_400_000, 0], None, None)
                    .unwrap();
            }),
            Box::new(|column| {
                column
                    .typed::<Int64Type>()
                    .write_batch(&[0, 0, 0, i64::MAX], None, None)
                    .unwrap();
            }),
        ],
    );
    let outcome = project.read("t");
    assert_eq!(outcome.rows, ["12.3|00:00:00|1970-01-01T00:00:00Z"]);
    let raws = [
        r#"{"d":"1234.5","m":"1970-01-01T00:00:00Z","t":"00:00:00"}"#,
        r#"{"d":"0.1","m":"1970-01-01T00:00:00Z","t":"86400000"}"#,
        r#"{"d":"0.1","m":"+292278994-08-17T07:12:55.807000Z","t":"00:00:00"}"#,
    ];
    for (reject, raw) in outcome.rejects.iter().zip(raws) {
        let RawRecord::Row(text) = &reject.raw else {
            panic!()
        };
        let (given, expected): (Value, Value) = (
            serde_json::from_str(text).unwrap(),
            serde_json::from_str(raw).unwrap(),
        );
        assert_eq!(given, expected);
    }
    assert_eq!(outcome.rejects.len(), 3);
}

#[test]
fn a_type_that_no_value_can_have_is_refused_before_the_read() {
    let project = Project::new().file("types.parquet", fixture("parquet/types.parquet"));
    for (name, word) in [
        ("int64", "timestamp"),
        ("struct", "bigint"),
        ("uuid", "bigint"),
        ("bytes", "int"),
    ] {
        match exact(&project, &one_column("types.parquet", name, Some(word)), 5) {
            Err(failure) => assert_eq!(failure.code, "R0142", "{failure}"),
            Ok(values) => assert!(
                values[..4].iter().all(Option::is_none),
                "{name} as {word}: {values:?}"
            ),
        }
    }
}

#[test]
fn a_damaged_file_is_an_error_or_gives_all_of_its_rows() {
    let whole = fixture("parquet/types.parquet");
    let project = Project::new();
    let mut dice = Dice::new(1);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(8);
    let (mut tried, mut refused) = (0, 0);
    while std::time::Instant::now() < end && tried < 3_000 {
        let bytes = dice.damaged(&whole);
        std::fs::write(project.data().join("t.parquet"), &bytes).unwrap();
        tried += 1;
        match project.try_read(&spec("t")) {
            Err(failure) => {
                refused += 1;
                assert_ne!(failure.remedy, towpath_vocab::Remedy::Bug, "{failure}");
                assert!(failure.message.contains("t.parquet"), "{failure}");
            }
            Ok(outcome) => {
                let counted: u64 = outcome.boundaries.iter().sum();
                let given = outcome.rows.len() + outcome.rejects.len();
                assert_eq!(counted, given as u64);
            }
        }
    }
    assert!(refused > 0 && tried > 50, "{refused} of {tried}");
}
