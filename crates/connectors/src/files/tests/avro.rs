//! Avro: every type with what fastavro writes, under every codec; files that contradict themselves; schemas that
//! other libraries write.

use serde_json::Value;

use towpath_vocab::Position;

use super::columnar::{exact, fixture, lines, one_column};
use super::*;
use crate::damage::Dice;

const MARK: [u8; 16] = [7; 16];

fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push((rest as u8 & 0x7F) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn bytes(value: &[u8]) -> Vec<u8> {
    [long(value.len() as i64), value.to_vec()].concat()
}

fn head(schema: &Value, codec: &str) -> Vec<u8> {
    [
        b"Obj\x01".to_vec(),
        long(2),
        bytes(b"avro.schema"),
        bytes(schema.to_string().as_bytes()),
        bytes(b"avro.codec"),
        bytes(codec.as_bytes()),
        long(0),
        MARK.to_vec(),
    ]
    .concat()
}

fn block(count: i64, data: &[u8]) -> Vec<u8> {
    [long(count), bytes(data), MARK.to_vec()].concat()
}

/// A file of records with these fields.
fn file(fields: Value, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let schema = json!({"type": "record", "name": "r", "fields": fields});
    let blocks = blocks.iter().map(|(count, data)| block(*count, data));
    [head(&schema, "null")]
        .into_iter()
        .chain(blocks)
        .collect::<Vec<_>>()
        .concat()
}

fn field(name: &str, kind: Value) -> Value {
    json!([{"name": name, "type": kind}])
}

#[test]
fn every_type_under_every_codec_gives_what_fastavro_wrote() {
    let codecs = ["", "_deflate", "_snappy", "_zstandard", "_bzip2", "_xz"];
    for codec in codecs {
        let name = format!("types{codec}.avro");
        let project = Project::new().file(&name, fixture(&format!("avro/{name}")));
        for (column, expected) in lines("avro/types.txt") {
            let given = exact(&project, &one_column(&name, &column, None), 5).unwrap();
            let expected: Vec<Option<String>> = expected.into_iter().map(Some).collect();
            assert_eq!(given, expected, "{name}: {column}");
        }
    }
}

#[test]
fn every_type_declared_as_text_keeps_its_exact_value() {
    let project = Project::new().file("types.avro", fixture("avro/types.avro"));
    for (column, expected) in lines("avro/types.txt") {
        // Binary text is the characters of the bytes.
        if ["bytes", "fixed"].contains(&column.as_str()) {
            continue;
        }
        let spec = one_column("types.avro", &column, Some("text"));
        let given = exact(&project, &spec, 5).unwrap();
        let expected: Vec<Option<String>> = expected.into_iter().map(Some).collect();
        assert_eq!(given, expected, "{column}");
    }
}

#[test]
fn all_columns_of_a_file_are_found_with_their_types() {
    let project = Project::new().file("types.avro", fixture("avro/types.avro"));
    let outcome = project.read("types");
    for column in [
        "int int",
        "ts_us timestamptz",
        "ts_ns text",
        "local_us timestamp",
        "decimal decimal(38,10)",
        "uuid text",
        "enum text",
        "fixed binary",
        "array list(bigint)",
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
    assert!(outcome.notes[0].contains("`ts_ns`"), "{:?}", outcome.notes);
    let described = run(async { project.discover().describe("types.avro").await.unwrap() });
    assert_eq!(described.rows, Some(5));
    assert_eq!(described.schema.fields().len(), 34);
}

#[test]
fn a_cut_file_is_an_error_but_between_two_blocks() {
    let fields = field("n", json!(["null", "long"]));
    let blocks = [
        (2, [long(1), long(300), long(1), long(-1)].concat()),
        (1, long(0)),
        (1, [long(1), long(5)].concat()),
    ];
    let whole = file(fields.clone(), &blocks);
    let mut ends = Vec::new();
    for count in 0..=blocks.len() {
        ends.push(file(fields.clone(), &blocks[..count]).len());
    }
    let all = ["300", "-1", "∅", "5"];
    for cut in 0..=whole.len() {
        let project = Project::new().file("t.avro", &whole[..cut]);
        match ends.iter().position(|end| *end == cut) {
            Some(count) => {
                let rows: i64 = blocks[..count].iter().map(|(rows, _)| rows).sum();
                assert_eq!(project.read("t").rows, all[..rows as usize], "{cut}");
            }
            None => {
                let code = project.fail("t").code;
                let expected = if cut < ends[0] { "R0112" } else { "R0140" };
                assert_eq!(code, expected, "{cut}");
            }
        }
    }
}

#[test]
fn a_block_gives_as_many_rows_as_it_says_of_all_of_its_bytes() {
    let fields = field("n", json!("long"));
    let three = [long(1), long(2), long(3)].concat();
    for (count, data, why) in [
        (2, three.clone(), ""),
        (4, three.clone(), ""),
        (0, three.clone(), "do not end where it ends"),
        (3, Vec::new(), ""),
        (-1, three.clone(), "below zero"),
        (i64::MAX, three.clone(), "too many rows"),
        // What is left over looks like a longer list.
        (
            1,
            [long(9), long(1), long(8), long(0)].concat(),
            "do not end where it ends",
        ),
    ] {
        let project = Project::new().file("t.avro", file(fields.clone(), &[(count, data)]));
        let failure = project.fail("t");
        assert_eq!(failure.code, "R0140", "{count}: {failure}");
        assert!(
            failure
                .message
                .contains("`data/t.avro` is damaged: block 1: "),
            "{failure}"
        );
        assert!(failure.message.contains(why), "{failure}");
    }
    // Blocks are decoded together; the message says which.
    let two = file(fields, &[(3, three.clone()), (2, three)]);
    let failure = Project::new().file("t.avro", two).fail("t");
    assert!(failure.message.contains("blocks 1 to 2"), "{failure}");
}

#[test]
fn what_one_block_has_too_many_the_next_one_may_not_have_too_few() {
    let fields = field("n", json!("long"));
    let three = [long(1), long(2), long(3)].concat();
    for counts in [[3, 3], [2, 4], [4, 2], [0, 6], [6, 0]] {
        let blocks = counts.map(|count| (count, three.clone()));
        let project = Project::new().file("t.avro", file(fields.clone(), &blocks));
        match project.try_read(&spec("t")) {
            Ok(outcome) => {
                assert_eq!(counts, [3, 3]);
                assert_eq!(outcome.rows, ["1", "2", "3", "1", "2", "3"]);
            }
            Err(failure) => {
                assert_ne!(counts, [3, 3]);
                assert_eq!(failure.code, "R0140", "{failure}");
            }
        }
    }
    // A block without rows is one, too.
    let blocks = [(0, Vec::new()), (3, three), (0, Vec::new())];
    let project = Project::new().file("t.avro", file(fields, &blocks));
    assert_eq!(project.read("t").rows, ["1", "2", "3"]);
}

#[test]
fn a_header_with_a_key_or_a_value_without_measure_is_refused() {
    let start = [b"Obj\x01".to_vec(), long(1)].concat();
    let long_key = bytes(&[b'k'; (64 << 10) + 1]);
    for (pair, why) in [
        ([long_key, bytes(b"v")].concat(), "more than 65536 bytes"),
        (
            [bytes(b"avro.schema"), long((64 << 20) + 1)].concat(),
            "more than 67108864 bytes",
        ),
    ] {
        let failure = Project::new()
            .file("t.avro", [start.clone(), pair].concat())
            .fail("t");
        assert_eq!(failure.code, "R0112", "{failure}");
        assert!(failure.message.contains(why), "{failure}");
    }
}

#[test]
fn a_block_without_the_mark_of_the_file_is_damaged() {
    let mut bytes = file(field("n", json!("long")), &[(1, long(1)), (1, long(2))]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let failure = Project::new().file("t.avro", bytes).fail("t");
    assert_eq!(failure.code, "R0140");
    assert!(
        failure.message.contains("block 2: the mark behind it"),
        "{failure}"
    );
}

#[test]
fn bytes_of_snappy_with_another_checksum_are_damaged() {
    let mut packed = snap::raw::Encoder::new().compress_vec(&long(7)).unwrap();
    packed.extend_from_slice(&crc32fast::hash(&long(7)).to_be_bytes());
    let schema = json!({"type": "record", "name": "r", "fields": field("n", json!("long"))});
    let whole = [head(&schema, "snappy"), block(1, &packed)].concat();
    assert_eq!(Project::new().file("t.avro", &whole).read("t").rows, ["7"]);
    *packed.last_mut().unwrap() ^= 1;
    let other = [head(&schema, "snappy"), block(1, &packed)].concat();
    let failure = Project::new().file("t.avro", other).fail("t");
    assert!(failure.message.contains("checksum"), "{failure}");
    // Too short for one.
    let other = [head(&schema, "snappy"), block(1, &[1, 2])].concat();
    assert_eq!(Project::new().file("t.avro", other).fail("t").code, "R0140");
}

#[test]
fn a_block_that_unpacks_to_more_than_memory_is_refused() {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes(&vec![b'x'; 64 << 20])).unwrap();
    let packed = encoder.finish().unwrap();
    let schema = json!({"type": "record", "name": "r", "fields": field("s", json!("string"))});
    let whole = [head(&schema, "deflate"), block(1, &packed)].concat();
    let mut project = Project::new().file("t.avro", whole);
    assert_eq!(project.read("t").rows[0].len(), 64 << 20);
    project.memory = super::bounds::tight(32 << 20);
    let failure = project.fail("t");
    assert_eq!(failure.code, "R0156", "{failure}");
    assert!(
        failure.message.contains("block 1 of `data/t.avro`"),
        "{failure}"
    );
}

#[test]
fn files_of_another_kind_are_not_readable() {
    for (name, bytes, why) in [
        ("t.avro", Vec::new(), "it is empty"),
        (
            "t.avro",
            b"a,b\n1,2\n".to_vec(),
            "does not begin as an Avro file",
        ),
        (
            "t.avro",
            fixture("parquet/types.parquet"),
            "does not begin as an Avro file",
        ),
        (
            "t.avro",
            fixture("arrow/types.arrow"),
            "does not begin as an Avro file",
        ),
        ("t.parquet", fixture("avro/types.avro"), ""),
    ] {
        let project = Project::new().file(name, bytes);
        let failure = project.fail("t");
        assert_eq!(failure.code, "R0112", "{failure}");
        assert!(failure.message.contains(why), "{failure}");
    }
    let schema = json!({"type": "record", "name": "r", "fields": field("n", json!("long"))});
    for (schema, codec, why) in [
        (schema.clone(), "lzo", "its codec `lzo` is not known"),
        (json!("long"), "null", "its rows are not records"),
        (
            json!({"type": "array", "items": schema}),
            "null",
            "its rows are not records",
        ),
        (
            json!({"type": "record", "name": "r", "fields": field("n", json!("q"))}),
            "null",
            "does not say what `q` is",
        ),
        (
            json!({"type": "record", "name": "r", "fields": field("next", json!(["null", "r"]))}),
            "null",
            "the type `r` contains itself",
        ),
        (
            json!({"type": "record", "name": "r", "fields": field("d", json!({"type": "bytes", "logicalType": "decimal", "precision": 80}))}),
            "null",
            "80",
        ),
    ] {
        let failure = Project::new()
            .file("t.avro", head(&schema, codec))
            .fail("t");
        assert_eq!(failure.code, "R0112", "{failure}");
        assert!(failure.message.contains(why), "{failure}");
    }
}

#[test]
fn a_schema_that_grows_where_its_names_are_used_again_is_refused() {
    // Each type has the one before it twice.
    let mut kind =
        json!({"type": "record", "name": "t0", "fields": [{"name": "a", "type": "int"}]});
    for at in 1..25 {
        kind = json!({"type": "record", "name": format!("t{at}"), "fields": [
            {"name": "a", "type": kind}, {"name": "b", "type": format!("t{}", at - 1)}]});
    }
    let failure = Project::new().file("t.avro", head(&kind, "null")).fail("t");
    assert_eq!(failure.code, "R0112");
    assert!(
        failure.message.contains("more than 100000 types"),
        "{failure}"
    );
    // Each type is inside the one behind it.
    let mut fields = vec![
        json!({"name": "f0", "type": {"type": "record", "name": "t0", "fields": [{"name": "a", "type": "int"}]}}),
    ];
    for at in 1..5_000 {
        fields.push(
            json!({"name": format!("f{at}"), "type": {"type": "record", "name": format!("t{at}"),
            "fields": [{"name": "a", "type": format!("t{}", at - 1)}]}}),
        );
    }
    let kind = json!({"type": "record", "name": "r", "fields": fields});
    let failure = Project::new().file("t.avro", head(&kind, "null")).fail("t");
    assert!(
        failure
            .message
            .contains("more than 64 types inside each other"),
        "{failure}"
    );
}

#[test]
fn names_with_and_without_a_namespace_are_found() {
    let point =
        json!({"type": "record", "name": "a.b.Point", "fields": [{"name": "x", "type": "int"}]});
    let other = json!({"type": "record", "name": "Point", "namespace": "c", "fields": [{"name": "y", "type": "int"}]});
    let schema = json!({"type": "record", "name": "r", "namespace": "a.b", "fields": [
        {"name": "p", "type": point},
        {"name": "q", "type": "Point"},
        {"name": "o", "type": other},
        {"name": "u", "type": ["null", "a.b.Point", "c.Point"]},
    ]});
    let row = [long(1), long(2), long(3), long(2), long(4)].concat();
    let project = Project::new().file("t.avro", [head(&schema, "null"), block(1, &row)].concat());
    let outcome = project.read("t");
    assert_eq!(
        outcome.columns,
        [
            "p struct(x int)",
            "q struct(x int)",
            "o struct(y int)",
            "u struct(Point struct(x int), Point_2 struct(y int))"
        ]
    );
    let mut spec = spec("t");
    spec.declared = declared(&[("p", "text"), ("q", "text"), ("o", "text"), ("u", "text")]);
    assert_eq!(
        project.read_as(&spec).rows,
        ["{\"x\":1}|{\"x\":2}|{\"y\":3}|{\"Point\":null,\"Point_2\":{\"y\":4}}"]
    );
}

#[test]
fn a_value_that_its_type_cannot_hold_is_rejected() {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    let span = json!({"type": "fixed", "name": "d", "size": 12, "logicalType": "duration"});
    let text_uuid = json!({"type": "string", "logicalType": "uuid"});
    for (kind, good, bad, why) in [
        (
            decimal,
            bytes(&[0x27, 0x0F]),
            bytes(&[0x27, 0x10]),
            "more digits",
        ),
        (
            json!({"type": "int", "logicalType": "time-millis"}),
            long(0),
            long(86_400_000),
            "not a time of day",
        ),
        (
            json!({"type": "long", "logicalType": "timestamp-millis"}),
            long(0),
            long(i64::MAX),
            "out of range",
        ),
        (
            span,
            vec![0; 12],
            vec![255; 12],
            "out of range for an interval",
        ),
    ] {
        let bytes = file(field("v", kind), &[(2, [good, bad].concat())]);
        let outcome = Project::new().file("t.avro", bytes).read("t");
        assert_eq!((outcome.rows.len(), outcome.rejects.len()), (1, 1), "{why}");
        let reason = &outcome.rejects[0].reasons[0];
        assert!(reason.message.contains(why), "{reason:?}");
        assert_eq!(outcome.rejects[0].place.ordinal, 2);
    }
    // What is written in the place of a UUID is a text.
    let texts = [
        bytes(b"{ABC}"),
        bytes(b"00000000-0000-0000-0000-00000000000A"),
    ]
    .concat();
    let outcome = Project::new()
        .file("t.avro", file(field("v", text_uuid), &[(2, texts)]))
        .read("t");
    assert_eq!(
        outcome.rows,
        ["{ABC}", "00000000-0000-0000-0000-00000000000A"]
    );
}

#[test]
fn fields_that_are_always_null_take_no_bytes() {
    let inner = json!({"type": "record", "name": "i", "fields": [
        {"name": "nothing", "type": "null"}, {"name": "x", "type": "int"}]});
    let fields = json!([
        {"name": "first", "type": "null"},
        {"name": "n", "type": "long"},
        {"name": "i", "type": inner},
        {"name": "last", "type": {"type": "null"}},
    ]);
    let rows = [long(1), long(2), long(3), long(4)].concat();
    let project = Project::new().file("t.avro", file(fields, &[(2, rows)]));
    let outcome = project.read("t");
    assert_eq!(
        outcome.columns,
        ["first text", "n bigint", "i struct(x int)", "last text"]
    );
    assert_eq!(outcome.rows, ["∅|1|{x: 2}|∅", "∅|3|{x: 4}|∅"]);
    let mut last = spec("t");
    last.projection = Some(vec!["last".to_owned(), "n".to_owned()]);
    assert_eq!(project.read_as(&last).rows, ["1|∅", "3|∅"]);
    for (kind, why) in [
        (json!("null"), "have no values"),
        (
            json!({"type": "record", "name": "e", "fields": []}),
            "have no values",
        ),
        (
            json!({"type": "array", "items": "null"}),
            "lists without values",
        ),
        (
            json!({"type": "fixed", "name": "f", "size": 0}),
            "how long `f` is",
        ),
    ] {
        let bytes = file(field("n", kind), &[(3, Vec::new())]);
        let failure = Project::new().file("t.avro", bytes).fail("t");
        assert_eq!(failure.code, "R0112", "{failure}");
        assert!(failure.message.contains(why), "{failure}");
    }
}

#[test]
fn a_file_without_rows_has_its_columns() {
    let none = Project::new().file("t.avro", file(field("n", json!("long")), &[]));
    let outcome = none.read("t");
    assert_eq!(
        (outcome.columns.as_slice(), outcome.rows.len()),
        (&["n bigint".to_owned()][..], 0)
    );
    assert_eq!((outcome.boundaries.as_slice(), outcome.ends), (&[0][..], 1));
}

#[test]
fn files_with_different_schemas_are_one_table_or_an_error() {
    let row = |kind: &str, value: Vec<u8>| file(field("n", json!(kind)), &[(1, value)]);
    let project = Project::new()
        .file("1.avro", row("int", long(1)))
        .file("2.avro", row("long", long(1 << 40)));
    assert_eq!(project.read("*.avro").columns, ["n bigint"]);
    project.put("3.avro", row("string", bytes(b"x")));
    assert_eq!(project.fail("*.avro").code, "R0117");
    let mut spec = spec("*.avro");
    spec.declared = declared(&[("n", "text")]);
    assert_eq!(project.read_as(&spec).rows, ["1", "1099511627776", "x"]);
    project.put(
        "3.avro",
        file(field("other", json!("long")), &[(1, long(5))]),
    );
    assert_eq!(project.fail("*.avro").code, "R0110");
    let project = project.with("missing_columns", json!("null"));
    assert_eq!(
        project.read("*.avro").rows,
        ["1|∅", "1099511627776|∅", "∅|5"]
    );
}

#[test]
fn damaged_files_are_errors_or_rows_and_never_a_panic() {
    for name in [
        "types",
        "types_deflate",
        "types_snappy",
        "types_zstandard",
        "types_bzip2",
        "types_xz",
    ] {
        never_a_panic("t.avro", &fixture(&format!("avro/{name}.avro")));
    }
}

/// Reads damaged copies of a file of five rows.
pub(super) fn never_a_panic(name: &str, whole: &[u8]) {
    let (project, mut dice) = (Project::new(), Dice::new(3));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let (mut tried, mut refused) = (0, 0);
    while std::time::Instant::now() < end && tried < 400 {
        project.put(name, dice.damaged(whole));
        tried += 1;
        match project.try_read(&spec("t")) {
            Err(failure) => {
                refused += 1;
                assert_ne!(failure.remedy, towpath_vocab::Remedy::Bug, "{failure}");
                assert!(failure.message.contains(name), "{failure}");
            }
            Ok(outcome) => {
                let given = outcome.rows.len() + outcome.rejects.len();
                assert_eq!(outcome.boundaries, [given as u64]);
            }
        }
    }
    assert!(refused > 20, "{refused} of {tried}");
}

#[test]
fn a_taker_that_keeps_most_of_the_budget_stalls_no_avro_read() {
    let fields = json!([{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]);
    let blocks: Vec<_> = (0..200)
        .map(|block| {
            let rows = (0..20).map(|row| {
                let number = block * 20 + row;
                [long(number), bytes(format!("{number:0>1000}").as_bytes())].concat()
            });
            (20, rows.collect::<Vec<_>>().concat())
        })
        .collect();
    let mut project = Project::new().file("t.avro", file(fields, &blocks));
    for limit in [1_u64 << 20, 4 << 20, 64 << 20] {
        let memory = super::bounds::tight(limit);
        project.memory = Arc::clone(&memory);
        let all = run(async {
            let reader = project.source().open(&spec("t"), None).await.unwrap();
            let _kept = memory.hold(limit / 4 * 3).await;
            super::bounds::numbers(reader).await
        });
        assert_eq!(all, (0..4000).collect::<Vec<i64>>(), "{limit}");
    }
}

#[test]
fn an_incremental_read_leaves_out_what_was_read() {
    let project = Project::new().file("1.avro", file(field("n", json!("long")), &[(1, long(1))]));
    let mut spec = spec("*.avro");
    spec.mode = ReadMode::Incremental;
    let read = |from: Option<&Position>| {
        run(async {
            let mut reader = project.source().open(&spec, from).await.unwrap();
            let (mut splits, mut position) = (reader.splits(), Position::default());
            let mut rows = Vec::new();
            while let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await {
                while let Some(event) = split.events.next().await {
                    match event.unwrap() {
                        Event::Rows(batch) => rows.extend(super::lines(&batch.batch)),
                        Event::Boundary(at) => position.advance(&split.id, at),
                        _ => {}
                    }
                }
            }
            (rows, position)
        })
    };
    let (rows, position) = read(None);
    assert_eq!(rows, ["1"]);
    project.put("2.avro", file(field("n", json!("long")), &[(1, long(2))]));
    assert_eq!(read(Some(&position)).0, ["2"]);
}
