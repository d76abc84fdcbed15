//! Appends to one file and to a folder: old and new rows in one piece, or nothing.

use super::*;

#[tokio::test]
async fn appends_add_to_one_file() {
    for object in [
        "x.csv",
        "x.csv.gz",
        "x.csv.zst",
        "x.jsonl",
        "x.jsonl.zst",
        "x.parquet",
    ] {
        let project = TestProject::new();
        for generation in 1..=3 {
            let how = append(object, generation);
            let prepared = project
                .prepare(&how, &rows((generation - 1) * 10..generation * 10))
                .await
                .unwrap();
            assert_eq!(
                prepared.stats().rows_after,
                Some(u64::try_from(generation * 10).unwrap()),
                "{object}"
            );
            assert_eq!(
                candidate(prepared.as_ref(), CandidateRows::AfterCommit).await,
                rows(0..generation * 10),
                "{object}"
            );
            let incoming = candidate(prepared.as_ref(), CandidateRows::OfThisWrite).await;
            assert_eq!(
                incoming,
                rows((generation - 1) * 10..generation * 10),
                "{object}"
            );
            prepared
                .commit(Commit {
                    audited: false,
                    position: position(generation),
                    ..Commit::default()
                })
                .await
                .unwrap();
        }
        let how = append(object, 3);
        assert!(project.write(&how, &rows(0..5)).await.unwrap().adopted);
        assert_eq!(project.last(&how).await, Some(3));
        assert_eq!(
            project.read(&how, object, &rows(0..1).schema()).await,
            rows(0..30),
            "{object}"
        );
        project
            .write(&append(object, 4), &rows(0..0))
            .await
            .unwrap();
        assert_eq!(
            project.read(&how, object, &rows(0..1).schema()).await,
            rows(0..30),
            "{object}"
        );
    }
}

#[tokio::test]
async fn appends_to_a_foreign_csv_file_follow_its_header() {
    let project = TestProject::new();
    std::fs::create_dir(project.path("")).unwrap();
    std::fs::write(project.path("x.csv"), "t,extra,n\r\nold,1,7").unwrap();
    project
        .write(&append("x.csv", 1), &rows(0..2))
        .await
        .unwrap();
    assert_eq!(
        project.text("x.csv"),
        "t,extra,n\r\nold,1,7\nrow 0,,0\nrow 1,,1\n"
    );
    std::fs::write(project.path("y.csv"), "n\n1\n").unwrap();
    let failure = project
        .begin(&append("y.csv", 1), rows(0..1).schema())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.code, "R0125");
    assert_eq!(
        failure.message,
        "the rows do not fit the file `out/y.csv`: it has no column `t`"
    );
    let ignore = How {
        change: SchemaChange::Ignore,
        ..append("y.csv", 1)
    };
    project.write(&ignore, &rows(5..6)).await.unwrap();
    assert_eq!(project.text("y.csv"), "n\n1\n5\n");
    std::fs::write(project.path("z.csv"), "n,t,extra\n").unwrap();
    let strict = How {
        change: SchemaChange::Fail,
        ..append("z.csv", 1)
    };
    assert_eq!(
        project
            .begin(&strict, rows(0..1).schema())
            .await
            .err()
            .unwrap()
            .code,
        "R0125"
    );
}

#[tokio::test]
async fn parquet_files_get_new_columns() {
    let project = TestProject::new();
    project
        .write(&append("x.parquet", 1), &rows(0..2))
        .await
        .unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from(vec![9]))),
        ("new", Arc::new(StringArray::from(vec!["x"]))),
    ];
    let wide = RecordBatch::try_from_iter(columns).unwrap();
    let strict = How {
        change: SchemaChange::Fail,
        ..append("x.parquet", 2)
    };
    assert_eq!(
        project.prepare(&strict, &wide).await.err().unwrap().code,
        "R0125"
    );
    let prepared = project
        .prepare(&append("x.parquet", 2), &wide)
        .await
        .unwrap();
    let seen = candidate(prepared.as_ref(), CandidateRows::AfterCommit).await;
    prepared
        .commit(Commit {
            audited: false,
            position: position(2),
            ..Commit::default()
        })
        .await
        .unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from(vec![0, 1, 9]))),
        (
            "t",
            Arc::new(StringArray::from(vec![Some("row 0"), Some("row 1"), None])),
        ),
        (
            "new",
            Arc::new(StringArray::from(vec![None, None, Some("x")])),
        ),
    ];
    let expected = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    assert_eq!(seen, expected);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["9"]));
    let other = RecordBatch::try_from_iter([("n", text)]).unwrap();
    let failure = project
        .prepare(&append("x.parquet", 3), &other)
        .await
        .err()
        .unwrap();
    assert_eq!(
        failure.message,
        "the rows do not fit the file `out/x.parquet`: column `n` is `bigint` in the file and `text` in the rows"
    );
    assert_eq!(project.last(&append("x.parquet", 3)).await, Some(2));
}

#[tokio::test]
async fn a_folder_gets_one_file_per_commit() {
    for (format, extension) in [
        ("csv", "csv.gz"),
        ("jsonl", "jsonl.gz"),
        ("parquet", "parquet"),
        ("avro", "avro"),
        ("arrow", "arrow"),
    ] {
        let project = TestProject::new();
        let packed = if format == "arrow" { "zstd" } else { "gzip" };
        let how = |generation| {
            append("y/x/", generation)
                .with("format", json!(format))
                .with("compression", json!(packed))
        };
        project.write(&how(1), &rows(0..3)).await.unwrap();
        let prepared = project.prepare(&how(2), &rows(3..5)).await.unwrap();
        assert_eq!(
            candidate(prepared.as_ref(), CandidateRows::AfterCommit).await,
            rows(0..5),
            "{format}"
        );
        assert_eq!(
            candidate(prepared.as_ref(), CandidateRows::OfThisWrite).await,
            rows(3..5),
            "{format}"
        );
        assert_eq!(prepared.stats().rows_after, Some(5));
        prepared
            .commit(Commit {
                audited: false,
                position: position(2),
                ..Commit::default()
            })
            .await
            .unwrap();
        let names = project.names("y/x");
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(
            names[1].starts_with("part-000001-") && names[1].ends_with(extension),
            "{names:?}"
        );
        let glob = format!("y/x/*.{extension}");
        assert_eq!(
            project.read(&how(1), &glob, &rows(0..1).schema()).await,
            rows(0..5)
        );
        let anew = How {
            mode: WriteMode::Replace,
            ..how(3)
        };
        project.write(&anew, &rows(0..1)).await.unwrap();
        assert_eq!(project.names("y/x").len(), 2);
        assert_eq!(
            project.read(&how(1), &glob, &rows(0..1).schema()).await,
            rows(0..1)
        );
        assert_eq!(project.last(&how(1)).await, Some(3));
        assert!(project.write(&anew, &rows(0..7)).await.unwrap().adopted);
    }
}

#[tokio::test]
async fn parts_of_a_folder_keep_its_columns() {
    for format in ["parquet", "avro", "arrow"] {
        parts_keep_their_columns(format).await;
    }
}

async fn parts_keep_their_columns(format: &str) {
    let project = TestProject::new();
    let how = |generation| append("x/", generation).with("format", json!(format));
    let one = |name: &str, array: ArrayRef| RecordBatch::try_from_iter([(name, array)]).unwrap();
    project.write(&how(1), &rows(0..2)).await.unwrap();
    // Refused before a row comes, and nothing of it is left.
    let other = one("n", Arc::new(StringArray::from(vec!["9"])));
    let failure = project.begin(&how(2), other.schema()).await.err().unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.remedy, failure.help.len()),
        ("R0125", towpath_vocab::Remedy::FixData, 1)
    );
    assert_eq!(
        failure.message,
        "the rows do not fit the file `out/x/`: column `n` is `bigint` in the file and `text` in the rows"
    );
    assert_eq!(project.names("x").len(), 2);
    assert_eq!(project.last(&how(2)).await, Some(1));
    // `replace` is the way out; until then columns are added and missing ones are NULL.
    let wide = one("new", Arc::new(StringArray::from(vec!["x"])));
    let change = |change| How { change, ..how(2) };
    let strict = project
        .begin(&change(SchemaChange::Fail), wide.schema())
        .await;
    assert_eq!(strict.err().unwrap().code, "R0125");
    project.write(&how(2), &wide).await.unwrap();
    let narrow = How {
        change: SchemaChange::Ignore,
        ..how(3)
    };
    let unknown = one("unknown", Arc::new(Int64Array::from(vec![5])));
    project.write(&narrow, &unknown).await.unwrap();
    let nothing = one("n", Arc::new(arrow_array::NullArray::new(1)));
    project.write(&how(4), &nothing).await.unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "n",
            Arc::new(Int64Array::from(vec![Some(0), Some(1), None, None, None])),
        ),
        (
            "t",
            Arc::new(StringArray::from(vec![
                Some("row 0"),
                Some("row 1"),
                None,
                None,
                None,
            ])),
        ),
        (
            "new",
            Arc::new(StringArray::from(vec![None, None, Some("x"), None, None])),
        ),
    ];
    let expected = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let seen = project
        .prepare(&how(5), &expected.slice(0, 0))
        .await
        .unwrap();
    assert_eq!(
        candidate(seen.as_ref(), CandidateRows::AfterCommit).await,
        expected
    );
    drop(seen);
    // Each part by itself has every column the parts before it had.
    let mut widths = Vec::new();
    for name in project.names("x") {
        if name.starts_with("part-") {
            let spec = read_spec(&format!("x/{name}"), &replace("x/", 0), None);
            let part = drain(project.source().as_ref(), &spec).await;
            widths.push(part.num_columns());
        }
    }
    assert_eq!(widths, [2, 3, 3, 3]);
    let anew = How {
        mode: WriteMode::Replace,
        ..how(5)
    };
    project.write(&anew, &other).await.unwrap();
    assert_eq!(project.names("x").len(), 2);
}

#[tokio::test]
async fn a_folder_without_its_manifest_keeps_its_files() {
    let project = TestProject::new();
    let how = |generation| append("x/", generation).with("format", json!("csv"));
    project.write(&how(1), &rows(0..3)).await.unwrap();
    std::fs::remove_file(project.path("x/_manifest.json")).unwrap();
    assert_eq!(project.last(&how(1)).await, None);
    project.write(&how(2), &rows(3..5)).await.unwrap();
    assert_eq!(
        project.read(&how(1), "x/*.csv", &rows(0..1).schema()).await,
        rows(0..5)
    );
}

#[tokio::test]
async fn rows_added_to_a_csv_file_stand_between_its_own_delimiters() {
    let project = TestProject::new();
    std::fs::create_dir(project.path("")).unwrap();
    for (name, delimiter) in [("semicolon.csv", ";"), ("tab.csv", "\t"), ("bar.csv", "|")] {
        let before = format!("n{delimiter}\"t,1\"\n1{delimiter}x\n");
        std::fs::write(project.path(name), &before).unwrap();
        let texts = StringArray::from(vec![format!("a,b{delimiter}c"), "d,e".to_owned()]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from(vec![2, 3]))),
            ("t,1", Arc::new(texts)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let how = How {
            object: name,
            ..append(name, 1)
        };
        let prepared = project.prepare(&how, &batch).await.unwrap();
        let seen = candidate(prepared.as_ref(), CandidateRows::AfterCommit).await;
        assert_eq!((seen.num_rows(), seen.num_columns()), (3, 2));
        let commit = Commit {
            audited: false,
            position: position(1),
            ..Commit::default()
        };
        prepared.commit(commit).await.unwrap();
        let expected = format!("{before}2{delimiter}\"a,b{delimiter}c\"\n3{delimiter}d,e\n");
        assert_eq!(project.text(name), expected);
    }
}

#[tokio::test]
async fn a_text_file_in_another_encoding_gets_no_rows() {
    let project = TestProject::new();
    std::fs::create_dir(project.path("")).unwrap();
    let wide: Vec<u8> = "n,t\n1,x\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let marked = [&[0xFF, 0xFE], wide.as_slice()].concat();
    let split = format!("n,t\n1,{}\u{e4}\n", "x".repeat((64 << 10) - 7));
    for (name, bytes, good) in [
        ("wide.csv", marked, false),
        ("latin.csv", b"n,t\n1,\xe4\n".to_vec(), false),
        ("cut.jsonl", b"{\"n\":1,\"t\":\"\xc3".to_vec(), false),
        ("split.csv", split.into_bytes(), true),
        ("old.csv", b"n,t\r1,x\r".to_vec(), false),
    ] {
        std::fs::write(project.path(name), &bytes).unwrap();
        let how = How {
            object: name,
            ..append(name, 1)
        };
        let begun = project.begin(&how, rows(0..1).schema()).await;
        assert_eq!(begun.is_ok(), good, "{name}");
        if let Err(failure) = begun {
            assert_eq!(failure.code, "R0125", "{failure:?}");
            assert_eq!(std::fs::read(project.path(name)).unwrap(), bytes);
        }
    }
}

/// Columns of whole numbers.
fn numbers(columns: &[(&str, i64)]) -> RecordBatch {
    let columns = columns.iter().map(|(name, value)| {
        let column: arrow_array::ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![*value]));
        (*name, column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[tokio::test]
async fn appends_to_text_keep_to_schema_change() {
    for (object, format) in [
        ("x.jsonl", "jsonl"),
        ("x.jsonl.gz", "jsonl"),
        ("x/", "jsonl"),
        ("x/", "csv"),
    ] {
        let project = TestProject::new();
        let how = |generation, change| How {
            change,
            ..append(object, generation).with("format", json!(format))
        };
        let write = async |generation, change, columns: &[(&str, i64)]| {
            let rows = numbers(columns);
            project.write(&how(generation, change), &rows).await
        };
        let columns = async || {
            let table = how(1, SchemaChange::Fail).table();
            let schema = project.destination().schema(&table).await;
            let schema = schema.unwrap().unwrap();
            let names = schema.fields().iter().map(|field| field.name().clone());
            names.collect::<Vec<_>>()
        };
        write(1, SchemaChange::Fail, &[("a", 1), ("b", 1)])
            .await
            .unwrap();
        for (columns, named) in [
            ([("a", 2), ("c", 2)].as_slice(), "no column `c`"),
            (&[("a", 2)], "no column `b`"),
            (&[("b", 2), ("a", 2), ("c", 2)], "no column `c`"),
        ] {
            let failure = write(2, SchemaChange::Fail, columns).await.unwrap_err();
            assert_eq!(failure.code, "R0125", "{object} {format}");
            assert!(failure.message.contains(named), "{failure:?}");
        }
        assert_eq!(columns().await, ["a", "b"], "{object} {format}");
        write(2, SchemaChange::Fail, &[("b", 2), ("a", 2)])
            .await
            .unwrap();
        write(3, SchemaChange::Ignore, &[("c", 3), ("a", 3)])
            .await
            .unwrap();
        assert_eq!(columns().await, ["a", "b"], "{object} {format}");
        write(4, SchemaChange::Evolve, &[("c", 4), ("a", 4)])
            .await
            .unwrap();
        assert_eq!(columns().await, ["a", "b", "c"], "{object} {format}");
        // What is checked before the commit is what readers see after it.
        let (last, more) = (how(5, SchemaChange::Evolve), numbers(&[("b", 5)]));
        let prepared = project.prepare(&last, &more).await.unwrap();
        let all = candidate(prepared.as_ref(), CandidateRows::AfterCommit).await;
        let shown = |name: &str| {
            let column = all.column_by_name(name).unwrap();
            let text = arrow_cast::cast(column, &arrow_schema::DataType::Utf8).unwrap();
            let text = text
                .as_any()
                .downcast_ref::<arrow_array::StringArray>()
                .unwrap()
                .clone();
            text.iter()
                .map(|text| text.unwrap_or("-").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(shown("a"), ["1", "2", "3", "4", "-"], "{object} {format}");
        assert_eq!(shown("b"), ["1", "2", "-", "-", "5"], "{object} {format}");
        assert_eq!(shown("c"), ["-", "-", "-", "4", "-"], "{object} {format}");
    }
}

#[tokio::test]
async fn appends_to_foreign_json_lines_know_every_key_of_them() {
    let project = TestProject::new();
    std::fs::create_dir(project.path("")).unwrap();
    std::fs::write(project.path("x.jsonl"), "{\"a\":1}\n{\"b\":2}").unwrap();
    let fail = How {
        change: SchemaChange::Fail,
        ..append("x.jsonl", 1)
    };
    let failure = project
        .write(&fail, &numbers(&[("a", 3)]))
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0125");
    project
        .write(&fail, &numbers(&[("b", 3), ("a", 3)]))
        .await
        .unwrap();
    assert_eq!(
        project.text("x.jsonl"),
        "{\"a\":1}\n{\"b\":2}\n{\"a\":3,\"b\":3}\n"
    );
}

#[tokio::test]
async fn a_folder_of_csv_without_headers_keeps_the_number_of_its_columns() {
    let project = TestProject::new();
    let how = |generation| {
        let how = append("x/", generation).with("format", json!("csv"));
        how.with("header", json!(false))
    };
    project
        .write(&how(1), &numbers(&[("a", 1), ("b", 1)]))
        .await
        .unwrap();
    let failure = project
        .write(&how(2), &numbers(&[("a", 2)]))
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0125");
    assert!(failure.message.contains("2 columns"), "{failure:?}");
    project
        .write(&how(2), &numbers(&[("a", 2), ("c", 2)]))
        .await
        .unwrap();
}
