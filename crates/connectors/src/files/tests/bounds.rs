//! Huge records, small budgets, files that change, threads that break.

use tokio::sync::Semaphore;

use super::*;

/// A budget that really makes askers wait.
struct Tight {
    limit: u64,
    free: Arc<Semaphore>,
}

#[async_trait]
impl Memory for Tight {
    fn limit_bytes(&self) -> u64 {
        self.limit
    }

    async fn hold(&self, bytes: u64) -> ReservedMemory {
        let wanted = u32::try_from(bytes.min(self.limit)).unwrap();
        Box::new(
            Arc::clone(&self.free)
                .acquire_many_owned(wanted)
                .await
                .unwrap(),
        )
    }
}

pub(super) fn tight(limit: u64) -> Arc<dyn Memory> {
    Arc::new(Tight {
        limit,
        free: Arc::new(Semaphore::new(usize::try_from(limit).unwrap())),
    })
}

#[test]
fn a_cell_of_fifty_megabytes_arrives_whole() {
    let cell = "x,\"\"\n".repeat(10 << 20);
    let mut project = Project::new().file("t.csv", format!("a,b\n1,\"{cell}\"\n2,y\n"));
    project.memory = tight(64 << 20);
    let outcome = run(async {
        let mut reader = project.source().open(&spec("t"), None).await.unwrap();
        let mut sizes = Vec::new();
        let mut splits = reader.splits();
        while let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await {
            while let Some(event) = split.events.next().await {
                if let Event::Rows(rows) = event.unwrap() {
                    let column = rows
                        .batch
                        .column(1)
                        .as_any()
                        .downcast_ref::<arrow_array::StringArray>()
                        .unwrap()
                        .clone();
                    sizes.extend(column.iter().map(|text| text.unwrap().len()));
                }
            }
        }
        sizes
    });
    assert_eq!(outcome, [cell.len() - (10 << 20), 1]);
}

#[test]
fn a_record_beyond_the_limit_is_set_aside_and_reading_goes_on() {
    let long = "x".repeat(5000);
    for text in [
        format!("a,b\n1,2\n3,{long}\n4,5\n"),
        format!("a,b\n1,2\n3,\"{long}\"\n4,5\n"),
        format!("a,b\n\"1\",2\n3,\"{long}\"\n4,5\n"),
    ] {
        for batch_bytes in [64, 700, 1 << 20] {
            let project = Project::new()
                .with("max_record_bytes", json!(1000))
                .file("t.csv", &text);
            let mut spec = spec("t");
            spec.batch_bytes = batch_bytes;
            let outcome = project.read_as(&spec);
            assert_eq!(outcome.rows, ["1|2", "4|5"], "{batch_bytes}");
            assert_eq!(outcome.rejects.len(), 1);
            assert_eq!(outcome.rejects[0].place.line, Some(3));
            assert_eq!(outcome.place(1).line, Some(4));
            assert_eq!(outcome.boundaries, [text.len() as u64]);
        }
    }
    let project = Project::new().with("max_record_bytes", json!(1000)).file(
        "t.jsonl",
        format!("{{\"a\":\"{long}\"}}\n{{\"a\":\"b\"}}\n"),
    );
    let mut spec = spec("t");
    for batch_bytes in [64, 1 << 20] {
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        assert_eq!(
            (outcome.rows, outcome.rejects[0].reasons[0].code.as_str()),
            (vec!["b".to_owned()], "too_long")
        );
    }
}

#[test]
fn a_small_budget_is_kept_and_suffices() {
    let mut text = String::from("a,b\n");
    for row in 0..40_000 {
        text.push_str(&format!("{row},\"text {row}\"\n"));
    }
    let mut project = Project::new().file("1.csv", &text).file("2.csv", &text);
    project.memory = tight(1 << 20);
    let counted = |project: &Project, spec: &ReadSpec| {
        run(async { count(project.source().open(spec, None).await.unwrap()).await })
    };
    assert_eq!(counted(&project, &spec("*.csv")), 80_000);
    let ample = Arc::new(Ample::default());
    project.memory = Arc::clone(&ample) as Arc<dyn Memory>;
    let mut spec = spec("*.csv");
    spec.batch_bytes = 16 << 10;
    assert_eq!(counted(&project, &spec), 80_000);
    // A few chunks per core, text and columns each.
    let most = ample.most.load(Ordering::SeqCst);
    assert!(
        most > 0 && most <= (16 << 10) * 3 * (2 * super::super::pieces::workers() as u64 + 4),
        "{most}"
    );
    assert_eq!(ample.held.load(Ordering::SeqCst), 0);
}

#[test]
fn a_header_that_changes_after_opening_stops_the_read() {
    let project = Project::new().file("t.csv", "a,b\n1,2\n");
    let failure = run(async {
        let reader = project.source().open(&spec("t"), None).await.unwrap();
        project.put("t.csv", "b,a\n1,2\n");
        drain(reader).await.unwrap_err()
    });
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0116", towpath_vocab::Remedy::Retry)
    );
}

#[test]
fn a_taker_who_leaves_stops_the_reading() {
    let text = format!("a\n{}", "1\n".repeat(2 << 20));
    let project = Project::new().file("t.csv", text);
    let ample = Arc::new(Ample::default());
    let project = Project {
        memory: Arc::clone(&ample) as Arc<dyn Memory>,
        ..project
    };
    let mut spec = spec("t");
    spec.batch_bytes = 4096;
    spec.declared = declared(&[("a", "bigint")]);
    run(async {
        let mut reader = project.source().open(&spec, None).await.unwrap();
        let mut splits = reader.splits();
        let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await else {
            panic!("no split")
        };
        assert!(matches!(
            split.events.next().await,
            Some(Ok(Event::Rows(_)))
        ));
    });
    // The runtime has waited for its threads: nothing is held and nothing hangs.
    assert_eq!(ample.held.load(Ordering::SeqCst), 0);
}

#[test]
fn a_file_of_bad_rows_only_is_placed_quickly_and_rightly() {
    let text: String = std::iter::once("a\n".to_owned())
        .chain((0..60_000).map(|row| format!("x{row}\n")))
        .collect();
    let project = Project::new().file("t.csv", &text);
    let mut spec = spec("t");
    spec.declared = declared(&[("a", "bigint")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rejects.len(), 60_000);
    for (row, reject) in outcome.rejects.iter().enumerate() {
        assert_eq!(reject.place.line, Some(row as u64 + 2));
        assert_eq!(reject.raw, RawRecord::Text(format!("x{row}")));
    }
}

#[test]
fn a_thousand_files_polled_at_once_are_read_a_few_at_a_time() {
    let project = Project::new();
    for file in 0..1000 {
        project.put(&format!("{file:04}.csv"), "a\n1\n");
    }
    let ample = Arc::new(Ample::default());
    let project = Project {
        memory: Arc::clone(&ample) as Arc<dyn Memory>,
        ..project
    };
    let mut spec = spec("*.csv");
    spec.declared = declared(&[("a", "bigint")]);
    spec.batch_bytes = 1024;
    let rows = run(async {
        let mut reader = project.source().open(&spec, None).await.unwrap();
        let mut splits = reader.splits();
        let mut tasks = Vec::new();
        while let Some(assignment) = splits.next().await {
            let Assignment::Assigned(mut split) = assignment.unwrap() else {
                continue;
            };
            tasks.push(tokio::spawn(async move {
                let mut rows = 0;
                while let Some(event) = split.events.next().await {
                    if let Event::Rows(batch) = event.unwrap() {
                        rows += batch.len();
                    }
                }
                rows
            }));
        }
        let mut rows = 0;
        for task in tasks {
            rows += task.await.unwrap();
        }
        rows
    });
    assert_eq!(rows, 1000);
    let most = ample.most.load(Ordering::SeqCst);
    assert!(most <= 1024 * 3 * 2 * 4, "{most}");
}

/// A Parquet file of equal row groups, two columns each.
fn groups(project: &Project, groups: usize, rows: usize) {
    let schema = Arc::new(arrow_schema::Schema::new(vec![
        arrow_schema::Field::new("a", arrow_schema::DataType::Int64, true),
        arrow_schema::Field::new("b", arrow_schema::DataType::Utf8, true),
    ]));
    let to = std::fs::File::create(project.data().join("t.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(to, Arc::clone(&schema), None).unwrap();
    for group in 0..groups {
        let numbers = (group * rows..(group + 1) * rows).map(|row| row as i64);
        let numbers = arrow_array::Int64Array::from_iter_values(numbers);
        let texts = (0..rows).map(|row| format!("{:0>1000}", group * rows + row));
        let texts = arrow_array::StringArray::from_iter_values(texts);
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(numbers), Arc::new(texts)],
        );
        writer.write(&batch.unwrap()).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

/// The first column's values; a stuck read is a failure.
pub(super) async fn numbers(reader: Box<dyn Reader>) -> Vec<i64> {
    let mut reader = reader;
    let mut numbers = Vec::new();
    let work = async {
        let mut splits = reader.splits();
        while let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await {
            while let Some(event) = split.events.next().await {
                if let Event::Rows(rows) = event.unwrap() {
                    let column = rows.batch.column(0).as_any();
                    let column = column.downcast_ref::<arrow_array::Int64Array>().unwrap();
                    numbers.extend(column.values());
                }
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), work)
        .await
        .expect("the read is stuck");
    numbers
}

#[test]
fn row_groups_ahead_never_keep_the_one_in_turn_from_memory() {
    let mut project = Project::new();
    groups(&project, 4, 400);
    let mut spec = spec("t");
    spec.batch_rows = 100;
    // A batch takes about 100 KB, and as much again: room for two.
    for limit in [100 << 10, 400 << 10, 2 << 20, 64 << 20] {
        project.memory = tight(limit);
        for _ in 0..5 {
            let all =
                run(async { numbers(project.source().open(&spec, None).await.unwrap()).await });
            assert_eq!(all, (0..1600).collect::<Vec<i64>>(), "{limit}");
        }
    }
}

#[test]
fn a_taker_that_keeps_most_of_the_budget_stalls_no_parquet_read() {
    let mut project = Project::new();
    groups(&project, 8, 400);
    let spec = spec("t");
    for limit in [1_u64 << 20, 4 << 20, 16 << 20] {
        let memory = tight(limit);
        project.memory = Arc::clone(&memory);
        for _ in 0..5 {
            let all = run(async {
                let reader = project.source().open(&spec, None).await.unwrap();
                let _kept = memory.hold(limit / 4 * 3).await;
                numbers(reader).await
            });
            assert_eq!(all, (0..3200).collect::<Vec<i64>>(), "{limit}");
        }
    }
}

#[test]
fn a_parquet_batch_is_as_large_as_asked_in_the_columns_that_are_read() {
    let project = Project::new();
    groups(&project, 1, 4000);
    let ample = Arc::new(Ample::default());
    let project = Project {
        memory: Arc::clone(&ample) as Arc<dyn Memory>,
        ..project
    };
    let mut spec = spec("t");
    spec.batch_bytes = 64 << 10;
    let count = run(async {
        numbers(project.source().open(&spec, None).await.unwrap())
            .await
            .len()
    });
    assert_eq!(count, 4000);
    // Two in the channel, one with the taker, one on its way; each twice as large as its rows.
    let most = ample.most.load(Ordering::SeqCst);
    assert!(most > 64 << 10 && most <= 2 * 4 * (64 << 10), "{most}");
    ample.most.store(0, Ordering::SeqCst);
    spec.projection = Some(vec!["a".to_owned()]);
    run(async { numbers(project.source().open(&spec, None).await.unwrap()).await });
    let most = ample.most.load(Ordering::SeqCst);
    assert!(most <= 4000 * 64, "{most}");
}

#[test]
fn an_array_that_was_cut_short_is_a_failure() {
    let whole = "[{\"a\":1},\n {\"a\":2},{\"a\":[3]} ]\n";
    let project = Project::new().file("t.json", whole);
    let mut spec = spec("t");
    for batch_bytes in [64, 1 << 20] {
        spec.batch_bytes = batch_bytes;
        assert_eq!(project.read_as(&spec).rows, ["1", "2", "[3]"]);
    }
    let end = whole.rfind(']').unwrap();
    for length in 1..=end {
        project.put("t.json", &whole[..length]);
        match project.try_read(&spec) {
            Err(failure) => assert_eq!(
                (failure.code.as_str(), failure.remedy),
                ("R0107", towpath_vocab::Remedy::FixData)
            ),
            // Cut right behind a bracket inside of a record: that one is set aside.
            Ok(outcome) => assert_eq!(outcome.rejects.len(), 1, "{}", &whole[..length]),
        }
    }
    // A sequence of objects has no end of its own.
    project.put("t.json", "{\"a\":1}\n{\"a\":2}");
    assert_eq!(project.read_as(&spec).rows, ["1", "2"]);
}

#[test]
fn keys_that_are_data_stop_the_read() {
    let project = Project::new();
    let object = |keys: std::ops::Range<usize>| {
        let members: Vec<String> = keys.map(|key| format!("\"k{key}\":1")).collect();
        format!("{{{}}}\n", members.join(","))
    };
    project.put("t.jsonl", object(0..1000) + &object(1000..2000));
    assert_eq!(project.read("t").columns.len(), 2000);
    for text in [
        object(0..2001),
        object(0..2000) + &object(2000..2001),
        object(0..9000),
    ] {
        project.put("t.jsonl", text);
        let failure = project.fail("t");
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0113", towpath_vocab::Remedy::FixData)
        );
        assert!(
            failure.message.contains("`data/t.jsonl`"),
            "{}",
            failure.message
        );
    }
}

#[test]
fn more_columns_than_a_table_may_have_stop_the_read_at_once() {
    let began = std::time::Instant::now();
    let many = |count: usize, name: fn(usize) -> String| {
        let names: Vec<String> = (0..count).map(name).collect();
        let cells = vec!["1"; count].join(",");
        format!("{}\n{cells}\n", names.join(","))
    };
    let names: [fn(usize) -> String; 4] = [
        |at| format!("c{at}"),
        |at| format!("Column {at}"),
        |_| "same".to_owned(),
        |_| String::new(),
    ];
    for name in names {
        let project = Project::new().file("t.csv", many(200_000, name));
        let failure = project.fail("t.csv");
        assert_eq!(failure.code, "R0113");
        assert!(
            failure.message.contains("more than 10000 columns"),
            "{failure:?}"
        );
        assert!(failure.help[0].contains("`max_columns`"), "{failure:?}");
        // What is asked for by name is read all the same.
        if name(1) == "c1" {
            let mut spec = spec("t.csv");
            spec.projection = Some(vec!["c7".to_owned(), "c199999".to_owned()]);
            assert_eq!(project.read_as(&spec).rows, ["1|1"]);
        }
    }
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_table_may_have_as_many_columns_as_its_options_say() {
    let names: Vec<String> = (0..12).map(|at| format!("c{at}")).collect();
    let csv = names.join(",") + "\n" + &["1"; 12].join(",") + "\n";
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
    let json = format!("{{{}}}\n", members.join(","));
    for (most, is_read) in [(11, false), (12, true)] {
        let project = Project::new()
            .with("max_columns", json!(most))
            .file("a.csv", &csv)
            .file("b.jsonl", &json);
        for file in ["a.csv", "b.jsonl"] {
            match project.try_read(&spec(file)) {
                Ok(outcome) => assert!(is_read && outcome.columns.len() == 12, "{file}"),
                Err(failure) => assert!(!is_read && failure.code == "R0113", "{failure:?}"),
            }
        }
    }
    let said = Project::new().with("max_columns", json!(0)).options_fail();
    assert!(said.contains("is not a whole number above 0"), "{said}");
}

#[test]
fn ten_thousand_columns_are_read_in_seconds() {
    let names: Vec<String> = (0..10_000).map(|at| format!("Column {at}")).collect();
    let row = vec!["17"; 10_000].join(",") + "\n";
    let project = Project::new().file("t.csv", names.join(",") + "\n" + &row.repeat(20));
    let began = std::time::Instant::now();
    let first = project.read("t.csv");
    assert_eq!((first.columns.len(), first.rows.len()), (10_000, 20));
    // The next time the types are known, under the names that the columns have in the table.
    let known = |at: usize| {
        let source = (types::SOURCE_NAME.to_owned(), format!("Column {at}"));
        let field =
            arrow_schema::Field::new(format!("column_{at}"), arrow_schema::DataType::Int64, true);
        field.with_metadata(std::collections::HashMap::from([source]))
    };
    let fields: Vec<arrow_schema::Field> = (0..10_000).map(known).collect();
    let mut spec = spec("t.csv");
    spec.observed = Some(Arc::new(arrow_schema::Schema::new(fields)));
    assert_eq!(project.read_as(&spec).rows.len(), 20);
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_quoted_cell_beyond_the_limit_is_one_reject_whatever_its_lines() {
    let cells = [
        "x\n".repeat(5000),
        "x,\"\"\n\"\"".repeat(2000),
        "\"\"".repeat(6000),
        format!("\n{}", "\"\"".repeat(6000)),
        "x".repeat(9000) + "\ny",
        format!("{}\n{}", "1,2,3,4\n".repeat(1000), "\r\n".repeat(500)),
    ];
    for cell in cells {
        for rest in ["", ",z", ",\"z\nz\""] {
            let width = if rest.is_empty() { "" } else { ",c" };
            let one = if rest.is_empty() { "" } else { ",9" };
            let text = format!("a,b{width}\n1,2{one}\n3,\"{cell}\"{rest}\n\"4\",5{one}\n");
            for batch_bytes in [64, 700, 1 << 20] {
                let project = Project::new()
                    .with("max_record_bytes", json!(1000))
                    .file("t.csv", &text);
                let mut spec = spec("t");
                spec.batch_bytes = batch_bytes;
                let outcome = project.read_as(&spec);
                let given: Vec<&str> = outcome.rows.iter().map(|row| &row[..3]).collect();
                assert_eq!(given, ["1|2", "4|5"], "{batch_bytes} {rest}");
                assert!(outcome.reasons() == ["3: too_long"], "{batch_bytes} {rest}");
                let line = text.matches('\n').count() as u64;
                assert_eq!(outcome.place(1).line, Some(line));
                assert_eq!(outcome.boundaries, [text.len() as u64]);
            }
        }
    }
}

#[test]
fn a_stray_quote_spoils_its_line_however_long_the_file() {
    let text = format!("a,b\n1,\"x\n{}", "2,3\n".repeat(5000));
    let project = Project::new()
        .with("max_record_bytes", json!(1000))
        .file("t.csv", &text);
    for batch_bytes in [64, 1 << 20] {
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        assert_eq!(outcome.rows.len(), 5000);
        assert_eq!(outcome.reasons(), ["2: quote"]);
    }
    // What is behind this one is no record, and it never closes: its line alone is broken.
    project.put("t.csv", format!("a,b\n1,2\n1,\"x\n{}", "2\n".repeat(5000)));
    for batch_bytes in [64, 1 << 20] {
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        assert_eq!(outcome.rows, ["1|2"]);
        assert_eq!(outcome.rejects.len(), 5001);
        assert_eq!(outcome.reasons()[..2], ["3: quote", "4: columns"]);
        assert_eq!(outcome.rejects[5000].place.line, Some(5003));
    }
}

#[test]
fn a_stray_quote_among_quoted_lines_or_in_one_column_spoils_its_line() {
    let lines = "2,3\n".repeat(5000);
    let numbers: String = (0..5000).map(|row| format!("{row}\n")).collect();
    let cases = [
        // Empty quoted fields behind it, and one that would close it.
        ("a,b\n", "1,\"x\n", "2,\"\"\n".repeat(5000), 5000),
        ("a,b\n", "1,\"x\n", format!("2,\"y\"\n{lines}"), 5001),
        // One column: nothing behind it, pairs behind it, a quote behind it that closes nothing.
        ("a\n", "\"x\n", numbers.clone(), 5000),
        ("a\n", "\"x\n", format!("{numbers}\"\"\n"), 5001),
        ("a\n", "\"x\n", format!("{numbers}\"y\"\n{numbers}"), 10_001),
    ];
    for (header, stray, rest, rows) in cases {
        let text = format!("{header}{stray}{rest}");
        for packed in [false, true] {
            for batch_bytes in [64, 700, 1 << 20] {
                let project = Project::new().with("max_record_bytes", json!(1000));
                match packed {
                    true => project.put("t.csv.gz", gzip(text.as_bytes())),
                    false => project.put("t.csv", &text),
                }
                let mut spec = spec("*");
                spec.batch_bytes = batch_bytes;
                let outcome = project.read_as(&spec);
                assert_eq!(
                    outcome.rows.len(),
                    rows,
                    "{header} {rest:.20} {batch_bytes}"
                );
                assert_eq!(outcome.reasons(), ["2: quote"]);
                assert_eq!(outcome.raw_rejects(), [stray.trim_end()]);
                assert_eq!(outcome.boundaries, [text.len() as u64]);
                let last = text.lines().count() as u64;
                assert_eq!(outcome.place(rows - 1).line, Some(last));
            }
        }
    }
}

#[test]
fn a_stray_quote_in_a_line_beyond_the_limit_spoils_that_line() {
    let text = format!("a\n1\n\"{}\n2\n3\n", "x".repeat(5000));
    for batch_bytes in [64, 1 << 20] {
        let project = Project::new()
            .with("max_record_bytes", json!(1000))
            .file("t.csv", &text);
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        assert_eq!(outcome.rows, ["1", "2", "3"]);
        assert_eq!(outcome.reasons(), ["3: too_long"]);
        assert_eq!(outcome.place(1).line, Some(4));
        assert_eq!(outcome.boundaries, [text.len() as u64]);
        let message = &outcome.rejects[0].reasons[0].message;
        assert!(message.contains("it has 5002 bytes"), "{message}");
    }
}

#[test]
fn too_many_stray_quotes_that_nothing_closes_stop_the_read() {
    let strays = format!("\"x\n{}\"\"\n", "1\n".repeat(1000)).repeat(70);
    let project = Project::new()
        .with("max_record_bytes", json!(1000))
        .file("t.csv", format!("a\n{strays}"));
    let failure = project.fail("t");
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0115", towpath_vocab::Remedy::FixData)
    );
    assert!(!failure.help.is_empty());
}

#[test]
fn what_a_long_record_swallows_is_told_and_never_replayed_as_a_row() {
    // One column: the quote in line 2 may be a stray one, the one that closes it stands far behind.
    let swallowed: String = (0..2000).map(|row| format!("{row}\n")).collect();
    let texts = [
        (
            format!("a\n\"x\n{swallowed}y\"\nz\n"),
            vec!["z"],
            "line 2 to line 2003 (2002 lines",
        ),
        (
            format!("a\n{}\nz\n", "x".repeat(9000)),
            vec!["z"],
            "9001 bytes",
        ),
        (
            format!("a\n\"{0}\",\"{0}\"\nz\n", "x\n".repeat(3000)),
            vec!["z"],
            "line 2 to line 6002",
        ),
    ];
    for (text, rows, words) in texts {
        for batch_bytes in [64, 1 << 20] {
            let project = Project::new()
                .with("max_record_bytes", json!(1000))
                .file("t.csv", &text);
            let mut spec = spec("t");
            spec.batch_bytes = batch_bytes;
            let outcome = project.read_as(&spec);
            assert_eq!(outcome.rows, rows);
            assert_eq!(outcome.reasons(), ["2: too_long"]);
            let message = &outcome.rejects[0].reasons[0].message;
            assert!(message.contains(words), "{message}");
            assert!(message.contains("too few for a replay"), "{message}");
            // A larger limit makes a record of the head, but not a row.
            let records = rejected_in("data/t.csv", vec![outcome.rejects[0].raw.clone()]);
            let again = run(async {
                let source = project.source();
                drain(source.replay(&spec, records).await.unwrap()).await
            });
            let again = again.unwrap();
            assert_eq!(
                (again.rows.len(), again.reasons()),
                (0, vec!["0: too_long".to_owned()])
            );
        }
    }
}

#[test]
fn millions_of_bad_records_come_a_few_at_a_time() {
    for (name, text) in [
        ("t.csv", format!("a,b\n1,2\n{}", "x\n".repeat(20_000))),
        ("t.jsonl", format!("{{\"a\":1}}\n{}", "x\n".repeat(20_000))),
        ("u.csv", format!("a,b\n1,2\n{}", "x,y\n".repeat(20_000))),
    ] {
        let project = Project::new().file(name, &text);
        let mut spec = spec(name);
        spec.declared = declared(&[("a", "bigint")]);
        let (sizes, lines) = run(async {
            let mut reader = project.source().open(&spec, None).await.unwrap();
            let (mut sizes, mut lines) = (Vec::new(), Vec::new());
            let mut splits = reader.splits();
            while let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await {
                while let Some(event) = split.events.next().await {
                    if let Event::Rejects(rejects) = event.unwrap() {
                        sizes.push(rejects.len());
                        lines.extend(rejects.iter().filter_map(|reject| reject.place.line));
                        assert!(rejects.iter().all(|reject| reject.reasons.len() == 1));
                    }
                }
            }
            (sizes, lines)
        });
        assert_eq!(lines.len(), 20_000, "{name}");
        assert!(lines.is_sorted(), "{name}");
        assert!(sizes.iter().all(|size| *size <= 256), "{name}");
    }
}

#[test]
fn a_file_that_is_written_while_it_is_read_gets_no_mark() {
    let project = Project::new()
        .file("1.csv", "a\n1\n")
        .file("2.csv", "a\n2\n");
    let mut spec = spec("*.csv");
    spec.mode = ReadMode::Incremental;
    let open = || async { project.source().open(&spec, None).await.unwrap() };
    // Of the same length, or longer, and before the row is read.
    for text in ["a\n3\n", "a\n5\n4\n"] {
        let failure = run(async {
            let reader = open().await;
            project.put("2.csv", text);
            drain(reader).await.unwrap_err()
        });
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0116", towpath_vocab::Remedy::Retry)
        );
        assert!(failure.message.contains("`data/2.csv`"), "{failure:?}");
        assert!(failure.help[0].contains("rename them"), "{failure:?}");
    }
    let outcome = run(async { drain(open().await).await.unwrap() });
    assert_eq!(outcome.rows, ["1", "5", "4"]);
}

#[test]
fn other_rights_names_and_times_of_a_file_stop_no_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::new().file("t.csv", "a\n1\n");
    let mut spec = spec("t.csv");
    spec.mode = ReadMode::Incremental;
    let path = project.data().join("t.csv");
    let changes: [&dyn Fn(); 4] = [
        &|| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap(),
        &|| std::fs::hard_link(&path, project.dir.path().join("link")).unwrap(),
        &|| std::fs::write(&path, "a\n1\n").unwrap(),
        &|| {
            std::fs::copy(&path, project.dir.path().join("copy")).unwrap();
            std::fs::rename(project.dir.path().join("copy"), &path).unwrap();
        },
    ];
    for change in changes {
        let outcome = run(async {
            let reader = project.source().open(&spec, None).await.unwrap();
            change();
            drain(reader).await.unwrap()
        });
        assert_eq!(
            (outcome.rows, outcome.boundaries.len()),
            (vec!["1".to_owned()], 1)
        );
    }
}

#[test]
fn a_file_that_grows_gives_the_whole_lines_of_its_start() {
    use std::io::Write as _;
    for (name, start, more) in [
        ("t.csv", "a\n1\n2\n", "3\n4"),
        ("t.jsonl", "{\"a\":1}\n{\"a\":2}\n", "{\"a\":3}\n{\"a\":4"),
    ] {
        let project = Project::new().file(name, start);
        let mut spec = spec(name);
        spec.mode = ReadMode::Incremental;
        let grow = |more: &str| {
            let path = project.data().join(name);
            let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(more.as_bytes()).unwrap();
        };
        let open = || async { project.source().open(&spec, None).await.unwrap() };
        let outcome = run(async {
            let reader = open().await;
            grow(more);
            drain(reader).await.unwrap()
        });
        assert_eq!(
            (outcome.rows, outcome.boundaries.len()),
            (vec!["1".to_owned(), "2".to_owned()], 1)
        );
        // In the middle of a line: nothing is taken for a row that is none.
        let outcome = run(async {
            let reader = open().await;
            grow("5");
            drain(reader).await
        });
        match outcome {
            // An object that is not closed waits.
            Ok(outcome) => assert_eq!((outcome.rows.len(), name), (3, "t.jsonl")),
            Err(failure) => assert_eq!((failure.code.as_str(), name), ("R0116", "t.csv")),
        }
        // What was there is not what was there any more.
        let failure = run(async {
            project.put(name, start);
            let reader = open().await;
            project.put(name, format!("{start}{more}").replace('1', "7"));
            drain(reader).await.unwrap_err()
        });
        assert_eq!(failure.code, "R0116");
    }
}

#[test]
fn a_long_cell_behind_one_of_several_lines_is_passed_over() {
    let cell = "x,\"\"y\"\" ".repeat(1000);
    let text = format!("a,b\n\"1\n\n\",\"{cell}\"\n2,3\n");
    for batch_bytes in [64, 700, 1 << 20] {
        let project = Project::new()
            .with("max_record_bytes", json!(1000))
            .file("t.csv", &text);
        let mut spec = spec("t");
        spec.batch_bytes = batch_bytes;
        let outcome = project.read_as(&spec);
        assert_eq!(outcome.rows, ["2|3"]);
        assert!(outcome.reasons() == ["2: too_long"]);
    }
}

/// Waits for one of these for a while: a read that hangs fails instead.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let most = std::time::Duration::from_mins(1);
    tokio::time::timeout(most, work).await.unwrap()
}

#[test]
fn a_taker_that_keeps_most_of_the_budget_stalls_no_text_read() {
    let cell = "x".repeat(100 << 10);
    let text = format!("a,b\n1,\"{cell}\"\n2,y\n{}", "3,z\n".repeat(5000));
    let mut project = Project::new().file("t.csv", text);
    for limit in [64_u64 << 10, 256 << 10, 1 << 20] {
        let memory = tight(limit);
        project.memory = Arc::clone(&memory);
        let rows = run(soon(async {
            let reader = project.source().open(&spec("t"), None).await.unwrap();
            let _kept = memory.hold(limit / 4 * 3).await;
            count(reader).await
        }));
        assert_eq!(rows, 5002, "{limit}");
    }
}

#[test]
fn a_file_that_grows_from_inside_a_quoted_cell_gets_no_mark() {
    use std::io::Write as _;
    let long = "y\n".repeat(1000);
    for (start, more) in [
        (
            "id,note\n1,x\n322,\"Dear all\n100222,hello\n".to_owned(),
            "bye\"\n",
        ),
        // The last line is that of no record, or the cell is longer than the limit.
        (
            "id,note\n1,x\n322,\"Dear all\nhello\n".to_owned(),
            "bye\"\n",
        ),
        (format!("id,note\n1,x\n322,\"{long}"), "bye\"\n"),
        (format!("id,note\n1,x\n\"{long}\",\"z\n5,6\n"), "bye\"\n"),
    ] {
        for batch_bytes in [64, 1 << 20] {
            let project = Project::new()
                .with("max_record_bytes", json!(1000))
                .file("t.csv", &start);
            let mut spec = spec("t.csv");
            spec.mode = ReadMode::Incremental;
            spec.may_repeat = true;
            spec.batch_bytes = batch_bytes;
            let open = || async { project.source().open(&spec, None).await.unwrap() };
            let failure = run(async {
                let reader = open().await;
                let path = project.data().join("t.csv");
                let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(more.as_bytes()).unwrap();
                drain(reader).await.unwrap_err()
            });
            assert_eq!(
                (failure.code.as_str(), failure.remedy),
                ("R0116", towpath_vocab::Remedy::Retry),
                "{start:.60}"
            );
            let outcome = run(async { drain(open().await).await.unwrap() });
            assert_eq!(outcome.rows[0], "1|x");
            assert!(!outcome.rows.iter().any(|row| row.starts_with("100222|")));
        }
    }
}

#[test]
fn a_long_closed_cell_is_not_blamed_for_a_later_stray_quote() {
    let cell = format!("no record\n{}", "7,8\n".repeat(1000));
    let cell = cell.replace("7,8\n7,8\n", "7,8\ntext\n");
    let behind = "2,3\n";
    // Never closed, and too long to tell; never closed up to the end; broken.
    for (stray, rows) in [
        (format!("z\n{}", "w\n".repeat(2000)), 0),
        (format!("z\n{}", behind.repeat(3)), 3),
        (format!("z\n{}4,\"5\"\n", "w\n".repeat(2000)), 1),
    ] {
        let text = format!("a,b\n1,2\n\"{cell}\",\"{stray}");
        for batch_bytes in [64, 700, 1 << 20] {
            let project = Project::new()
                .with("max_record_bytes", json!(1000))
                .file("t.csv", &text);
            let mut spec = spec("t");
            spec.batch_bytes = batch_bytes;
            let outcome = project.read_as(&spec);
            assert_eq!(outcome.rows[0], "1|2");
            assert_eq!(outcome.rows.len(), rows + 1, "{:?}", outcome.rows);
            assert!(!outcome.rows.contains(&"7|8".to_owned()));
            assert_eq!(outcome.reasons()[0], "3: too_long");
            let next = cell.matches('\n').count() as u64 + 4;
            let found = outcome.rejects.get(1).map(|reject| reject.place.line);
            assert!(found.is_none_or(|line| line == Some(next)));
            let message = &outcome.rejects[0].reasons[0].message;
            assert!(message.contains(&format!("line {}", next - 1)), "{message}");
            assert_eq!(outcome.boundaries, [text.len() as u64]);
        }
    }
}

#[test]
fn a_long_record_ends_at_no_line_end_inside_its_later_cells() {
    let (cell, plain) = ("x\n".repeat(1000), "p".repeat(3000));
    for rest in [
        format!("{plain},\"two\n5,6\n\""),
        format!("{plain},\"{plain}\n5,6\n\""),
        format!("{plain}\"{plain},\"two\n5,6\"\"\n\",{plain}"),
        format!("{plain},{plain},\"\"\"\n5,6\n\",\"{cell}\",\"\n7,8\n\""),
    ] {
        let text = format!("a,b\n1,2\n\"{cell}\",{rest}\n3,4\n");
        for batch_bytes in [64, 700, 1 << 20] {
            let project = Project::new()
                .with("max_record_bytes", json!(1000))
                .file("t.csv", &text);
            let mut spec = spec("t");
            spec.batch_bytes = batch_bytes;
            let outcome = project.read_as(&spec);
            assert_eq!(outcome.rows, ["1|2", "3|4"], "{rest:.20} {batch_bytes}");
            assert_eq!(outcome.reasons(), ["3: too_long"]);
            let line = text.matches('\n').count() as u64;
            assert_eq!(outcome.place(1).line, Some(line));
            assert_eq!(outcome.boundaries, [text.len() as u64]);
        }
    }
}
