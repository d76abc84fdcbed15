//! Several files, packed files, JSON, Parquet, replay, versions, discovery.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, LargeStringArray, StringArray, StringViewArray,
};
use arrow_schema::{DataType, Field, Schema};
use towpath_vocab::Remedy;

use super::*;

#[test]
fn files_of_a_glob_are_joined_by_name() {
    let project = Project::new()
        .file("d/1.csv", "a,b\n1,x\n")
        .file("d/2.csv", "c,b,a\n2.5,y,2\n")
        .file("d/3.csv", "b,c,a\nz,3,\n");
    let outcome = project.read("d/*.csv");
    assert_eq!(outcome.columns, ["a bigint", "b text", "c double"]);
    assert_eq!(outcome.rows, ["1|x|∅", "2|y|2.5", "∅|z|3.0"]);
    assert_eq!(outcome.place(2).object, "data/d/3.csv");
    assert_eq!(outcome.ends, 3);
}

#[test]
fn a_column_that_vanishes_stops_the_read_unless_told() {
    let project = Project::new()
        .file("d/1.csv", "a,bee\n1,x\n")
        .file("d/2.csv", "a,be\n2,y\n");
    let failure = project.fail("d/*.csv");
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0110", Remedy::FixData)
    );
    assert_eq!(failure.message, "`data/d/2.csv` has no column `bee`");
    assert_eq!(failure.help[0], "`data/d/1.csv` has it");
    assert_eq!(failure.help[1], "did you mean `be`?");
    let project = project.with("missing_columns", json!("null"));
    assert_eq!(project.read("d/*.csv").rows, ["1|x|∅", "2|∅|y"]);
}

#[test]
fn declared_columns_must_exist() {
    let project = Project::new().file("t.csv", "Order ID,Total\n7,1.50\n");
    let mut spec = spec("t");
    spec.declared = declared(&[("order_id", "text"), ("Total", "decimal(9,2)")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["Order ID text", "Total decimal(9,2)"]);
    spec.declared = declared(&[("totals", "double")]);
    let failure = project.try_read(&spec).unwrap_err();
    assert_eq!(
        failure.help,
        [
            "its type is declared",
            "did you mean `Total`?",
            "`missing_columns: null` on the table reads it as NULL"
        ]
    );
}

#[test]
fn known_types_spare_inference_and_set_misfits_aside() {
    let project = Project::new().file("t.csv", "a,b\n1,x\noops,y\n");
    let mut spec = spec("t");
    spec.known = Some(Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
    ])));
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["a bigint", "b text"]);
    assert_eq!(outcome.reasons(), ["3: type a"]);
}

#[test]
fn an_empty_file_among_others_is_passed_over_with_a_note() {
    let project = Project::new().file("d/1.csv", "").file("d/2.csv", "a\n1\n");
    let outcome = project.read("d/*");
    assert_eq!(outcome.rows, ["1"]);
    assert_eq!(outcome.notes, ["`data/d/1.csv` is empty and was skipped"]);
}

#[test]
fn packed_files() {
    let mut two_members = gzip(b"a,b\n1,\"x\n");
    two_members.extend(gzip(b"y\"\n2,z\n"));
    let mut two_frames = zstd::encode_all(&b"a,b\n1,\"x\n"[..], 1).unwrap();
    two_frames.extend(zstd::encode_all(&b"y\"\n2,z\n"[..], 1).unwrap());
    let project = Project::new()
        .file("g.csv.gz", &two_members)
        .file("z.csv.zst", two_frames)
        .file("odd.csv.bin", &two_members);
    for name in ["g", "z"] {
        let outcome = project.read(name);
        assert_eq!(outcome.rows, ["1|x\ny", "2|z"]);
        assert_eq!((outcome.place(1).line, outcome.ordinals[1]), (Some(4), 12));
        assert_eq!(outcome.boundaries, [16]);
    }
    let project = project
        .with("compression", json!("gzip"))
        .with("format", json!("csv"));
    assert_eq!(project.read("odd.csv.bin").rows.len(), 2);
}

#[test]
fn a_damaged_archive_says_so() {
    let mut cut = gzip("a,b\n1,2\n".repeat(1000).as_bytes());
    cut.truncate(cut.len() / 2);
    let failure = Project::new().file("t.csv.gz", cut).fail("t");
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0107", Remedy::FixData)
    );
    assert!(
        failure.message.contains("`data/t.csv.gz`"),
        "{}",
        failure.message
    );
}

const JSON_LINES: &str = r#"{"id": 1, "name": "a\u00e4\n", "tags": ["x", {"y": 1}], "at": "2013-01-01T00:00:00Z"}
{"name": null, "id": 2, "extra": 0.5}

{"id": 3, "name": "12"}
{"id": 4,
[1]
{"id": 5, "id": 6}
{"id": 7, "at": "2013-01-02T00:00:00Z"}"#;

#[test]
fn json_lines() {
    let project = Project::new().file("t.jsonl", JSON_LINES);
    let outcome = project.read("t");
    assert_eq!(
        outcome.columns,
        [
            "id bigint",
            "name text",
            "tags text",
            "at timestamptz",
            "extra double"
        ]
    );
    assert_eq!(
        outcome.rows[0],
        "1|aä\n|[\"x\", {\"y\": 1}]|2013-01-01T00:00:00Z|∅"
    );
    assert_eq!(outcome.rows[1], "2|∅|∅|∅|0.5");
    assert_eq!(outcome.rows[2], "3|12|∅|∅|∅");
    assert_eq!(outcome.rows.len(), 4);
    assert_eq!(outcome.reasons(), ["5: json", "6: json", "7: columns"]);
    assert_eq!(
        outcome.raw_rejects(),
        ["{\"id\": 4,", "[1]", "{\"id\": 5, \"id\": 6}"]
    );
}

#[test]
fn json_keys_that_repeat_are_set_aside() {
    let project = Project::new().file("t.jsonl", "{\"id\": 5, \"id\": 6}\n{\"id\": 1}\n");
    let outcome = project.read("t");
    assert_eq!(outcome.rows, ["1"]);
    assert_eq!(
        outcome.rejects[0].reasons[0].message,
        "the object has the key `id` twice"
    );
}

#[test]
fn json_values_that_do_not_fit() {
    let project = Project::new().file(
        "t.jsonl",
        "{\"a\": 1, \"b\": true}\n{\"a\": \"x\", \"b\": {}}\n",
    );
    let mut spec = spec("t");
    spec.declared = declared(&[("a", "bigint"), ("b", "bool"), ("c", "date")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["a bigint", "b bool", "c date"]);
    assert_eq!(outcome.rows, ["1|true|∅"]);
    assert_eq!(outcome.reasons(), ["2: type a", "2: type b"]);
}

#[test]
fn json_arrays() {
    let text = "[\n  {\"a\": 1, \"b\": \"]},{[\"},\n  {\"a\": bad},\n  7,\n  {\"a\": 3, \"b\": \"\\\"\"}\n]\n";
    for batch_bytes in [64, 1 << 20] {
        let project = Project::new().file("t.json", text);
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        assert_eq!(outcome.rows, ["1|]},{[", "3|\""]);
        assert_eq!(outcome.reasons(), ["3: json", "4: json"]);
        assert_eq!(outcome.raw_rejects(), ["{\"a\": bad}", "7"]);
    }
    let outcome = Project::new()
        .file("t.json", "[{\"a\": 1}, {\"a\": {\"b\": 2}, {\"a\": 3}]")
        .read("t");
    assert_eq!(outcome.rows, ["1"]);
    assert_eq!(outcome.reasons(), ["1: json"]);
}

fn write_parquet(project: &Project, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(project.data().join(name)).unwrap();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .build();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_files() {
    let project = Project::new();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
    let names: ArrayRef = Arc::new(StringViewArray::from(vec![
        Some("a"),
        None,
        Some("c"),
        Some("d"),
        Some("e"),
    ]));
    write_parquet(
        &project,
        "1.parquet",
        vec![("id", Arc::clone(&ids)), ("name", names)],
    );
    let names: ArrayRef = Arc::new(LargeStringArray::from(vec!["f", "g", "h", "i", "j"]));
    write_parquet(&project, "2.parquet", vec![("name", names), ("id", ids)]);
    let outcome = project.read("*.parquet");
    assert_eq!(outcome.columns, ["id bigint", "name text"]);
    assert_eq!(
        outcome.rows,
        [
            "1|a", "2|∅", "3|c", "4|d", "5|e", "1|f", "2|g", "3|h", "4|i", "5|j"
        ]
    );
    assert_eq!(outcome.ordinals, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    assert_eq!(outcome.boundaries, [5, 5]);
    assert_eq!(text(&outcome.raw(2)), "{\"id\":\"3\",\"name\":\"c\"}");
    let mut spec = spec("1");
    spec.projection = Some(vec!["name".to_owned()]);
    assert_eq!(project.read_as(&spec).rows, ["a", "∅", "c", "d", "e"]);
    project.put("broken.parquet", "PAR1 no more");
    assert_eq!(project.fail("broken").code, "R0112");
}

#[test]
fn declared_types_of_parquet_are_exact_or_set_aside() {
    let project = Project::new();
    write_parquet(
        &project,
        "t.parquet",
        vec![
            (
                "n",
                Arc::new(Float64Array::from(vec![1.0, 2.5, 3.0])) as ArrayRef,
            ),
            ("s", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
        ],
    );
    let mut spec = spec("t");
    spec.declared = declared(&[("n", "bigint")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["n bigint", "s text"]);
    assert_eq!(outcome.rows, ["1|x", "3|z"]);
    assert_eq!(outcome.rejects[0].place.ordinal, 2);
    assert_eq!(
        outcome.rejects[0].raw,
        RawRecord::Row("{\"n\":\"2.5\",\"s\":\"y\"}".to_owned())
    );
}

#[test]
fn types_that_differ_between_parquet_files_stop_the_read() {
    let project = Project::new();
    write_parquet(
        &project,
        "1.parquet",
        vec![("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)],
    );
    write_parquet(
        &project,
        "2.parquet",
        vec![("n", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)],
    );
    let failure = project.fail("*.parquet");
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        (
            "R0117",
            "column `n` is `bigint` in one file and `double` in `data/2.parquet`"
        )
    );
}

#[test]
fn a_declared_type_settles_parquet_files_that_differ() {
    let project = Project::new();
    let small: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1, 2]));
    let large: ArrayRef = Arc::new(Int64Array::from(vec![3_000_000_000, 4]));
    write_parquet(&project, "1.parquet", vec![("n", small)]);
    write_parquet(&project, "2.parquet", vec![("n", large)]);
    // Numbers of one kind have the widest type.
    let outcome = project.read_as(&spec("*.parquet"));
    assert_eq!(outcome.columns, ["n bigint"]);
    assert_eq!(outcome.rows, ["1", "2", "3000000000", "4"]);
    let double: ArrayRef = Arc::new(Float64Array::from(vec![5.0]));
    write_parquet(&project, "3.parquet", vec![("n", double)]);
    let failure = project.fail("*.parquet");
    assert_eq!(failure.code, "R0117");
    assert!(failure.help[0].contains("declare the type of `n`"));
    let mut spec = spec("*.parquet");
    spec.declared = declared(&[("n", "bigint")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.columns, ["n bigint"]);
    assert_eq!(outcome.rows, ["1", "2", "3000000000", "4", "5"]);
    spec.declared = declared(&[("n", "int")]);
    let outcome = project.read_as(&spec);
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (4, 1));
}

#[test]
fn two_parquet_columns_of_one_name_are_refused() {
    let project = Project::new();
    let fields: Vec<_> = ["n", "x", "n"]
        .map(|name| arrow_schema::Field::new(name, arrow_schema::DataType::Int64, true))
        .into();
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let batch = RecordBatch::try_new(schema, vec![column(), column(), column()]).unwrap();
    let to = std::fs::File::create(project.data().join("t.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(to, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let failure = project.fail("t");
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        (
            "R0109",
            "`data/t.parquet` has two columns named `n`, the 1. and the 3."
        )
    );
}

fn replay(project: &Project, spec: &ReadSpec, records: Vec<RawRecord>) -> Outcome {
    let records = rejected_in("data/t.csv", records);
    run(async {
        drain(project.source().replay(spec, records).await.unwrap())
            .await
            .unwrap()
    })
}

#[test]
fn records_set_aside_are_read_again() {
    let project = Project::new().file("t.csv", b"n,city\nx1,\"a\nb\"\n2,M\xFCnchen\n3\n4,c\n");
    let mut spec = spec("t");
    spec.declared = declared(&[("n", "bigint")]);
    let records: Vec<RawRecord> = project
        .read_as(&spec)
        .rejects
        .into_iter()
        .map(|reject| reject.raw)
        .collect();
    assert_eq!(records.len(), 3);
    let again = replay(&project, &spec, records.clone());
    assert_eq!((again.rows.len(), again.rejects.len()), (0, 3));
    assert_eq!(
        again
            .rejects
            .iter()
            .map(|reject| reject.raw.clone())
            .collect::<Vec<_>>(),
        records
    );
    spec.declared = declared(&[("n", "text")]);
    spec.options
        .insert("encoding".to_owned(), json!("windows-1252"));
    let again = replay(&project, &spec, records.clone());
    assert_eq!(again.rows, ["x1|a\nb", "2|München"]);
    assert_eq!(again.ordinals, [0, 1]);
    assert_eq!(again.raws(), records[..2]);
    let row = RawRecord::Row("{\"n\":\"7\",\"city\":null}".to_owned());
    assert_eq!(replay(&project, &spec, vec![row]).rows, ["7|∅"]);
}

#[test]
fn a_replayed_record_that_fits_two_orders_stays_aside() {
    let project = Project::new()
        .file("1.csv", "a,b\nx,1\n")
        .file("2.csv", "b,a\n2,y\n");
    let mut spec = spec("*.csv");
    spec.declared = declared(&[("a", "text"), ("b", "bigint")]);
    let records = vec![
        RawRecord::Text("z,9".to_owned()),
        RawRecord::Text("8,9".to_owned()),
    ];
    let again = replay(&project, &spec, records);
    assert_eq!(again.rows, ["z|9"]);
    assert_eq!(again.rejects[0].place.ordinal, 1);
}

#[test]
fn of_a_folder_that_was_written_only_committed_files_are_read() {
    let manifest = r#"{"version":2,"files":[{"name":"part-000002-0011aabb.csv","rows":1,"bytes":4}],"commits":{}}"#;
    let project = Project::new()
        .file("d/part-000001-0011aabb.csv", "a\n1\n")
        .file("d/part-000002-0011aabb.csv", "a\n2\n")
        .file("d/part-000003-0011aabb.csv", "a\n3\n")
        .file("d/other.csv", "a\n4\n");
    assert_eq!(project.read("d/*.csv").rows, ["4", "1", "2", "3"]);
    // One was replaced before a crash, one was never committed.
    project.put("d/_manifest.json", manifest);
    assert_eq!(project.read("d/*.csv").rows, ["4", "2"]);
    let found = run(async { project.discover().tables("d/*.csv").await.unwrap() });
    assert_eq!(found, ["d/other.csv", "d/part-000002-0011aabb.csv"]);
    // A file that was committed is not there.
    let lost = manifest.replace("part-000002", "part-000007");
    project.put("d/_manifest.json", &lost);
    let failure = project.fail("d/*.csv");
    assert_eq!(failure.code, "R0116", "{}", failure.message);
    assert_eq!(project.read("d/o*.csv").rows, ["4"]);
    project.put("d/_manifest.json", "{");
    assert_eq!(project.read("d/*.csv").rows.len(), 4);
}

#[test]
fn versions_follow_names_and_contents() {
    let project = Project::new()
        .file("1.csv", "a\n1\n")
        .file("2.csv", "a\n2\n");
    let version = |selection: &str| {
        run(async {
            project
                .source()
                .version(&spec(selection))
                .await
                .unwrap()
                .unwrap()
        })
    };
    let before = version("*.csv");
    assert_eq!(before, version("*.csv"));
    assert_ne!(before, version("1.csv"));
    project.put("2.csv", "a\n3\n");
    assert_ne!(before, version("*.csv"));
    project.put("2.csv", "a\n2\n");
    assert_eq!(before, version("*.csv"));
    project.put("3.csv", "a\n2\n");
    assert_ne!(before, version("*.csv"));
}

#[test]
fn discovery() {
    let project = Project::new()
        .file("a.csv", "id,zip\n1,01\n2,\n")
        .file("b.jsonl", "{}")
        .file("readme.md", "");
    run(async {
        let discover = project.discover();
        assert_eq!(discover.tables("*").await.unwrap(), ["a.csv", "b.jsonl"]);
        assert_eq!(discover.tables("a*").await.unwrap(), ["a.csv"]);
        let a = discover.describe("a").await.unwrap();
        assert_eq!(a.rows, Some(2));
        assert_eq!(types::name(a.schema.field(1).data_type()), "text");
        let report = discover.test().await.unwrap();
        assert_eq!(
            (report.system.as_str(), report.notes[0].as_str()),
            ("folder `data`", "3 files, 2 of a known format")
        );
    });
    let nowhere = Project::new().with("path", json!("elsewhere"));
    let failure = run(async { nowhere.discover().test().await.unwrap_err() });
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("R0101", "there is no `elsewhere`")
    );
}

#[test]
fn rows_inside_an_object_are_found_or_named() {
    let text = r#"{"count": 2, "data": [{"id": 1}, {"id": 2, "x": "]"}], "tags": ["a"]}"#;
    let outcome = Project::new().file("t.json", text).read("t");
    assert_eq!(outcome.columns, ["id bigint", "x text"]);
    assert_eq!(outcome.rows, ["1|∅", "2|]"]);
    assert_eq!(
        outcome.notes,
        ["the rows of `data/t.json` are in its member `data`; `records: data` sets this"]
    );
    let nested = r#"{"data": {"items": [{"id": 1}], "more": [{"y": 1}]}}"#;
    let project = Project::new()
        .with("records", json!("data.items"))
        .file("t.json", nested);
    let outcome = project.read("t");
    assert_eq!(
        (outcome.rows, outcome.notes.len()),
        (vec!["1".to_owned()], 0)
    );
    let missing = Project::new()
        .with("records", json!("data.rows"))
        .file("t.json", nested)
        .fail("t");
    assert_eq!(missing.code, "R0170");
    // Packed, in small chunks, with a broken record.
    let many: Vec<String> = (0..500).map(|n| format!("{{\"id\": {n}}}")).collect();
    let text = format!("{{\"rows\": [{}, 7], \"end\": true}}", many.join(",\n"));
    let project = Project::new().file("t.json.gz", gzip(text.as_bytes()));
    let mut small = spec("t");
    small.batch_bytes = 64;
    let outcome = project.read_as(&small);
    assert_eq!((outcome.rows.len(), outcome.reasons().len()), (500, 1));
}

#[test]
fn json_without_a_column_says_which_record_is_none() {
    let fail = |text: &str| {
        let failure = Project::new().file("t.json", text).fail("t");
        assert_eq!(failure.code, "R0171", "{text}");
        failure.message
    };
    assert_eq!(
        fail("[]"),
        "`data/t.json` has no columns: it has no records"
    );
    assert_eq!(
        fail("{}"),
        "`data/t.json` has no columns: its 1 objects have no members"
    );
    assert!(
        fail("\n[1,2]").contains("the record in line 2 is not a valid JSON object"),
        "{}",
        fail("\n[1,2]")
    );
}

#[test]
fn a_member_without_a_name_is_a_column() {
    let project = Project::new().file(
        "t.jsonl",
        "{\"a\": 1}\n{\"a\": 2, \"\": \"x\"}\n{\"\": 1, \"column0\": 2}\n{\"\\u0061\": 3, \"\": null}\n",
    );
    let outcome = project.read("t");
    assert_eq!(outcome.columns, ["a bigint", "column0 text"]);
    assert_eq!(outcome.rows, ["1|∅", "2|x", "3|∅"]);
    assert_eq!(outcome.reasons(), ["3: columns"]);
    let why = &outcome.rejects[0].reasons[0].message;
    assert_eq!(why, "the object has the key `column0` twice");
    let said = "members of `data/t.jsonl` without a name are read as the column `column0`";
    assert_eq!(outcome.notes, [said]);
}

#[test]
fn a_spreadsheet_is_refused_by_name() {
    for selection in ["plan.ods", "*"] {
        let failure = Project::new()
            .file("plan.ods", "PK")
            .file("a.csv", "a\n1\n")
            .fail(selection);
        assert_eq!(failure.code, "R0106", "{selection}");
        assert!(
            failure.help.iter().any(|line| line.contains("spreadsheet")),
            "{failure:?}"
        );
    }
}

/// What an option may be where it has an effect.
fn of_option(option: &str) -> Value {
    match option {
        "compression" => json!("gzip"),
        "header" | "trim" => json!(true),
        "null_values" => json!(["NA"]),
        "skip_lines" | "max_record_bytes" => json!(100),
        "nested" => json!("types"),
        "missing_columns" => json!("null"),
        "encoding" => json!("utf-8"),
        "range" => json!("A1:B2"),
        "date_format" => json!("%d.%m.%Y"),
        "timestamp_format" => json!("%d.%m.%Y %H:%M"),
        "thousands" => json!("'"),
        "decimal" | "delimiter" => json!(";"),
        _ => json!("x"),
    }
}

/// An option that nothing reads for a format is never accepted for it alone.
#[test]
fn options_of_other_formats_are_refused() {
    const OF_CSV: [&str; 10] = [
        "delimiter",
        "quote",
        "escape",
        "comment",
        "header",
        "skip_lines",
        "trim",
        "null_values",
        "decimal",
        "thousands",
    ];
    const OF_TEXT: [&str; 4] = [
        "encoding",
        "date_format",
        "timestamp_format",
        "max_record_bytes",
    ];
    const OF_JSON: [&str; 2] = ["nested", "records"];
    const OF_SHEETS: [&str; 2] = ["sheet", "range"];
    let project = Project::new();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    write_parquet(&project, "t.parquet", vec![("a", ids)]);
    let parquet = std::fs::read(project.data().join("t.parquet")).unwrap();
    let csv: Vec<&str> = [OF_JSON, OF_SHEETS].concat();
    let json = [&OF_CSV[..], &OF_SHEETS, &["missing_columns"]].concat();
    let jsonl = [&json[..], &["records"]].concat();
    let binary = [
        &OF_CSV[..],
        &OF_TEXT,
        &OF_JSON,
        &OF_SHEETS,
        &["compression"],
    ]
    .concat();
    for (name, bytes, options) in [
        ("t.csv", &b"a\n1\n"[..], csv),
        ("t.json", br#"[{"a": 1}]"#, json),
        ("t.jsonl", br#"{"a": 1}"#, jsonl),
        ("t.parquet", &parquet, binary),
    ] {
        for option in options {
            let value = of_option(option);
            let mut of_table = spec(name);
            of_table.options.insert(option.to_owned(), value.clone());
            let failure = Project::new().file(name, bytes).try_read(&of_table);
            let failure = failure.unwrap_err();
            assert_eq!(failure.code, "R0103", "{name} {option}: {failure:?}");
            assert!(failure.message.contains("do not have it"), "{failure:?}");
            // A connection may have files of several formats, unless it says which.
            let mixed = Project::new().file(name, bytes).with(option, value);
            if (name, option) == ("t.parquet", "compression") {
                continue;
            }
            assert_eq!(mixed.read(name).rows, ["1"], "{name} {option}");
            let (_, format) = name.split_once('.').unwrap();
            let one = mixed.with("format", json!(format));
            assert!(
                one.options_fail().contains("do not have it"),
                "{name} {option}"
            );
        }
    }
}
